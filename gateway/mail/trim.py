"""What a message text repeats or carries along, found by rule: quoted mails, signatures, legal notices, adverts of programs.

Only an end of the text is ever taken away, and only where a rule is sure; what is not sure stays. Each removal is told.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

QUOTED, SIGNATURE, DISCLAIMER, FOOTER = "quoted", "signature", "disclaimer", "footer"
ALL = (QUOTED, SIGNATURE, DISCLAIMER, FOOTER)

_WHY = {
    QUOTED: ("quoted mail in the message text", "it repeats an earlier mail"),
    SIGNATURE: ("signature of the message text", "signatures are not faxed here"),
    DISCLAIMER: ("legal notice of the message text", "legal notices of mails are not faxed here"),
    FOOTER: ("footer of the message text", "it is an advert of the mail program"),
}
_SIGNATURE_LINES, _SIGNATURE_SIZE = 15, 1000  # more is no signature
_NOTICE_SIZE = 3000  # characters of a legal notice
_INTRO_LINES = 3  # an "On ... wrote:" may be wrapped

_REPLY = re.compile(r"\s*(?:re|aw|antw|sv|vs|odp|ref|rif|r|antwort)\s*(?:\[\d+\])?\s*:", re.IGNORECASE)
_WROTE = re.compile(
    r"\b(?:wrote|writes|schrieb|schreef|skrev|a écrit|ha scritto|escribió|escreveu|napisał\(a\)|napisał|napisała|kirjoitti"
    r"|написал|написала|пише|írta|napsal\(a\)|napsal)\b.{0,120}:\s*$",
    re.IGNORECASE | re.DOTALL,
)
_WHEN = re.compile(r"\s*(?:(?:on|am|le|el|il|op|den|em|dnia|w dniu|em|no dia|в)\b|\d|.{0,80}@)", re.IGNORECASE)
_POINTS = re.compile(  # to what stands further down: it is meant to be read, or answered there
    r"\b(?:below|beneath|underneath|in-?line|in red|in blue|unten|unterhalb|ci-dessous|ci-après|en bas|abajo|a continuación|sotto"
    r"|di seguito|hieronder|onderstaande?|abaixo|nedan|nedenfor|poniżej|ниже|нижче)\b", re.IGNORECASE
)  # fmt: skip
_ORIGINAL = re.compile(
    r"\s*(?:-{3,}\s*(?:original message|ursprüngliche nachricht|originalnachricht|message d'origine|mensaje original"
    r"|messaggio originale|oorspronkelijk bericht|oprindelig meddelelse|ursprungligt meddelande)\s*-{3,}|_{10,})\s*",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"[*\s]*(?:from|sent|date|to|cc|subject|von|gesendet|datum|an|betreff|de|envoyé|date|à|objet|para|enviado|asunto|assunto"
    r"|da|inviato|a|oggetto|van|verzonden|aan|onderwerp)\s*:[*\s]",
    re.IGNORECASE,
)
_HEADERS = 3  # lines of such a head that must stand together
_FOOTER = re.compile(
    r"\s*(?:sent from my \S.{0,40}|get outlook for (?:ios|android)\b.{0,60}|sent (?:from|via) (?:mail for windows|outlook|yahoo|"
    r"proton|samsung|galaxy).{0,60}|von meinem .{1,30} gesendet|gesendet mit .{1,40}|envoyé de mon .{1,30}|enviado desde mi .{1,30}"
    r"|inviato da(?:l mio)? .{1,30}|outlook für (?:ios|android) .{0,60}|virus-free\.? .{0,60})\s*",
    re.IGNORECASE,
)
_LEGAL = tuple(
    re.compile(words, re.IGNORECASE)
    for words in (
        r"\bconfidential|\bprivileged|vertraulich|confidentiel|confidencial|riservat|vertrouwelijk",
        r"intended (?:only|solely|exclusively)|(?:only|solely) (?:for|to) the (?:use|person|addressee|individual|intended)"
        r"|ausschließlich für|nur für den|exclusivement|exclusivamente|esclusivamente|uitsluitend bestemd",
        r"if you (?:have received|are not the|received)|not the intended|irrtümlich|nicht der richtige adressat|par erreur|por error"
        r"|per errore|ten onrechte",
        r"\bdelete\b|\bdestroy\b|vernichten|löschen|détruire|supprimer|eliminar|cancellar|verwijder",
        r"unauthori[sz]ed|strictly prohibited|nicht gestattet|unbefugte|interdite|prohibid|vietat|verboden",
    )
)
_LEGAL_SIGNS = 3  # of these must be there


class Trimmed(NamedTuple):
    """``removed``: what and why, for the ledger."""

    text: str
    removed: list[tuple[str, str]]


def trim(text: str, wanted: Collection[str], subject: str) -> Trimmed:
    """``text`` without the ends that ``wanted`` (of :data:`ALL`) names. A text of nothing else is left as it is."""
    lines = text.splitlines()
    found: list[str] = []
    for _ in range(len(ALL)):  # one may stand behind another
        for kind, rule in _RULES:
            if kind not in wanted or (kind == QUOTED and not _REPLY.match(subject)):
                continue
            at = rule(lines)
            if at is not None and not any(line.strip() for line in lines[:at]):
                return Trimmed(text, [])
            if at is not None:
                found.append(kind)
                lines = lines[:at]
                break
        else:
            break
    removed = [_WHY[kind] for kind in dict.fromkeys(reversed(found))]
    return Trimmed("\n".join(lines).rstrip() if removed else text, removed)


def _quoted(lines: list[str]) -> int | None:
    """Where the mail that is answered begins: lines with ``>`` to the end behind a line that says whose they are, or all
    that follows a head of From, Sent, To, Subject. Where the answer points to it, it is part of what is said.
    """
    for at, line in enumerate(lines):
        if _ORIGINAL.fullmatch(line) and _is_head(lines, at + 1):
            return None if _POINTS.search("\n".join(lines[:at])) else at
    end = _end(lines)
    at = end
    while at and (not lines[at - 1].strip() or lines[at - 1].lstrip().startswith(">")):
        at -= 1
    if not any(line.strip() for line in lines[at:end]):
        return None
    for start in range(at - 1, max(-1, at - _INTRO_LINES - 1), -1):
        if not lines[start].strip():
            return None
        if _WROTE.search(intro := " ".join(lines[start:at])) and _WHEN.match(intro):
            return None if _POINTS.search("\n".join(lines[:start])) else start
    return None


def _is_head(lines: list[str], at: int) -> bool:
    """Whether the head of a mail stands there."""
    filled = [line for line in lines[at : at + 12] if line.strip()][:_HEADERS]
    return len(filled) == _HEADERS and all(_HEADER.match(line) for line in filled)


def _signature(lines: list[str]) -> int | None:
    """Where the signature begins: the last line of two dashes and a blank, RFC 3676 section 4.3, with little behind it."""
    for at in range(len(lines) - 1, max(-1, len(lines) - _SIGNATURE_LINES - 2), -1):
        if lines[at] == "-- ":
            behind = lines[at + 1 :]
            return at if sum(map(len, behind)) <= _SIGNATURE_SIZE else None
    return None


def _disclaimer(lines: list[str]) -> int | None:
    """Where the legal notice begins: in the last paragraph, or behind a drawn line, when what stands there speaks as such."""
    end = _end(lines)
    starts = [
        at
        for at in range(end)
        if lines[at].strip() and (at == 0 or not lines[at - 1].strip() or _is_rule(lines[at - 1]))
    ]
    for start in starts[-1:-4:-1]:
        notice = " ".join(lines[start:end])
        if len(notice) > _NOTICE_SIZE:
            return None
        behind_rule = start > 0 and _is_rule(lines[start - 1])
        if (start == starts[-1] or behind_rule) and sum(bool(sign.search(notice)) for sign in _LEGAL) >= _LEGAL_SIGNS:
            if behind_rule:
                return start - 1
            # what stands before its first sign may be the sender's own: he set no blank line
            return next((at for at in range(start, end) if any(sign.search(lines[at]) for sign in _LEGAL)), start)
    return None


def _is_rule(line: str) -> bool:
    return bool(re.fullmatch(r"\s*[-_*=]{3,}\s*", line))


def _footer(lines: list[str]) -> int | None:
    """Where the last line stands when it is an advert of the program."""
    end = _end(lines)
    return end - 1 if end and _FOOTER.fullmatch(lines[end - 1]) else None


def _end(lines: list[str]) -> int:
    """How many lines there are without the blank ones at the end."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return end


_RULES = ((FOOTER, _footer), (DISCLAIMER, _disclaimer), (QUOTED, _quoted), (SIGNATURE, _signature))
