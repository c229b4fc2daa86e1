"""Worker functions: what a mail is (:func:`inspect`, before the 250) and what is in it (:func:`extract`, for the fax).

They run in worker processes: paths in, plain values out, files written by names of our own.
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from gateway.charsets import to_text
from gateway.errors import Refused
from gateway.mail import asked, author, automatic, bodies, buffer, options, partial, structure, transfer
from gateway.mail import trim as trimming
from gateway.mail.buffer import Buffer
from gateway.mail.headers import Headers, of_mail
from gateway.mail.leaf import Leaf
from gateway.mail.room import Room, TooMuch
from gateway.mail.structure import Mail
from gateway.mail.words import decode_words
from gateway.model import MailPart, MailSummary

_SUBJECT = 500  # characters
_START = 4096  # bytes of an attachment that tell what it is
SIMPLE_SIZE = 2 << 20  # bytes, see summary_of_simple
_SIMPLE_HEADER = 16 << 10  # bytes
_SIMPLE_TEXT = 256 << 10  # bytes
_SIMPLE_DASHES = 4000
_SIMPLE_STEPS = 16_000
# fields, and characters of those in which a person may be the last of many
_SHOWN = dict.fromkeys(("from", "reply-to", "date", "subject", "message-id"), _SUBJECT) | dict.fromkeys(
    ("to", "cc"), 50_000
)


def inspect(mail: str, hops: int = 100, hostname: str = "", authserv_id: str = "") -> dict[str, Any]:
    """Judge the raw mail at path ``mail`` by its structure; ``hops`` and ``hostname`` as in :func:`automatic.reason`.

    ``authserv_id`` names the mail server whose word on the author is taken, "" for none.

    Returns the fields of a :class:`~gateway.model.MailSummary`. Attachments are not decoded here but for their first
    bytes, so that the 250 comes fast. Raises OSError only.
    """
    with _opened(mail) as source:
        return asdict(summary(source, hops=hops, hostname=hostname, authserv_id=authserv_id))


def summary(
    source: Buffer,
    *,
    hops: int = 100,
    hostname: str = "",
    authserv_id: str = "",
    room: Room | None = None,
    digesting: bool = True,
) -> MailSummary:
    """As :func:`inspect`, of the mail itself. Raises :class:`TooMuch` where there is no ``room`` for it.

    ``digesting``: whether the digest of the body is wanted.
    """
    try:
        headers, body = of_mail(source, 0, len(source))
        part = partial.read(headers)
    except Refused as error:
        return MailSummary(refusal=error.public, refusal_status=error.status)
    judged = {} if part else _judge(source, headers, body, room or Room())  # first: by the texts the header is read
    return MailSummary(
        message_id=headers.line("message-id"),
        subject=options.without(headers.line("subject")),
        exact_subject=options.without(decode_words("\n".join(headers.every("subject"))))[:_SUBJECT],
        date=headers.line("date"),
        automatic=automatic.reason(headers, hops=hops, hostname=hostname),
        **judged,
        body_at=body,
        body_sha256=_digest(source, body) if digesting else "",
        author=author.proven(headers, authserv_id) if authserv_id else "",
        partial=part,
    )


def summary_of_simple(mail: bytes, **asked: Any) -> MailSummary | None:
    """As :func:`summary`; None of a mail that could take more than a few hundredths of a second, whoever wrote it.

    Every step is linear in what is counted: here bytes, those of the header, dashes of what may be boundaries; the rest
    where the mail is walked.
    """
    if not (
        len(mail) <= SIMPLE_SIZE
        and 0 < mail.find(b"\r\n\r\n", 0, _SIMPLE_HEADER + 4) <= _SIMPLE_HEADER
        and _has_few_dashes(mail)
    ):
        return None
    try:
        return summary(mail, room=Room(_SIMPLE_TEXT, _SIMPLE_HEADER, _SIMPLE_STEPS), **asked)
    except TooMuch:
        return None


def _has_few_dashes(mail: bytes) -> bool:
    """Where they are rare, as in base64, this is ten times as quick as a count."""
    at = -1
    for _ in range(_SIMPLE_DASHES + 1):
        at = mail.find(b"-", at + 1)
        if at < 0:
            return True
    return False


def extract(
    mail: str, directory: str, trim: Sequence[str] = (), *, head: bool = False, html: bool = False
) -> dict[str, Any]:
    """Decode the leaves of the raw mail at path ``mail`` into files in ``directory``, in mail order.

    ``trim`` names the ends that message texts are to lose, of :data:`gateway.mail.trim.ALL`.

    Returns ``parts`` (fields of :class:`~gateway.model.MailPart`), ``left_out`` (``part``, ``type``, ``reason``) and
    ``headers`` (decoded values by lower-case name). With ``head`` a mail without a text has a first part all the same, which
    says who writes about what. With ``html`` a mail whose text comes plain and in HTML has a ``rich`` too: that
    text in HTML as a ``part``, and what is ``left_out`` when it is printed instead. A part that did not come whole has its
    ``defect`` set. Raises Refused for what :func:`inspect` refuses by structure, OSError.
    """
    parts: list[dict[str, Any]] = []
    rich: dict[str, Any] = {}
    with _opened(mail) as source:
        found = structure.read(source)
        asked.take(found)
        _refuse(found)
        headers = {
            name: options.without(line) for name, limit in _SHOWN.items() if (line := found.headers.line(name, limit))
        }
        subject = headers.get("subject", "")
        text = _only_text(found, trim)
        if head and not any(leaf.message_text and leaf.substance and not leaf.left_out for leaf in found.leaves):
            parts.append(asdict(_head(headers, Path(directory) / "head.part")))
        if text:
            _trim_pictures(found, trim, subject)
        left_out = list(_left_out(found.leaves))
        other = asked.rich(text, subject) if text and html else None
        if text and other:
            swapped = [_swapped(entry, text, other) for entry in left_out]
            rich = {
                "left_out": _trim(other, trim, subject) + swapped,
                "part": asdict(_write(replace(other, name=text.name), Path(directory) / "rich.part", found)),
            }
        left_out = (_trim(text, trim, subject) if text else []) + left_out
        logos = bodies.logos(to_text(leaf.data or b"", leaf.charset) for leaf in found.leaves if leaf.pictures)
        for leaf in found.leaves:
            if not leaf.left_out and not leaf.is_blank:
                path = Path(directory) / f"{len(parts) + 1:03}.part"
                logo = (leaf.content_id or "").lower() in logos
                parts.append(asdict(replace(_write(leaf, path, found), logo=logo)))
    return {"parts": parts, "left_out": left_out, "headers": headers, **({"rich": rich} if rich else {})}


def _left_out(leaves: Sequence[Leaf]) -> Iterator[dict[str, str]]:
    """What the ledger says of parts that become no pages, and not twice in a row."""
    before: dict[str, str] = {}
    for leaf in leaves:
        entry = {"part": leaf.name, "type": leaf.type, "reason": leaf.left_out}
        if leaf.left_out and entry != before:
            yield entry
            before = entry


def _only_text(found: Mail, wanted: Sequence[str]) -> Leaf | None:
    """The text of a mail; None where several stand around documents: which of them ends the mail is not sure.

    One that is nothing but a signature, a notice or an advert, beside another or a document, is left out where those go.
    """
    texts = [leaf for leaf in found.leaves if leaf.message_text and not leaf.left_out and leaf.substance]
    has_more = len(texts) > 1 or any(
        not (leaf.message_text or leaf.left_out or found.shows(leaf)) for leaf in found.leaves
    )
    if texts and has_more:
        last = texts[-1]
        last.left_out = trimming.spare(to_text(last.data or b"", last.charset), wanted, html=last.is_html)
        texts = texts[:-1] if last.left_out else texts
    return texts[0] if len(texts) == 1 else None


def _swapped(entry: dict[str, str], text: Leaf, other: Leaf) -> dict[str, str]:
    """What the ledger says of the form of a text that is left out, when it is the one for the other."""
    return {**entry, "type": text.type} if (entry["part"], entry["type"]) == (other.name, other.type) else entry


def _trim(leaf: Leaf, wanted: Sequence[str], subject: str) -> list[dict[str, str]]:
    """Take off the end of a message text that a rule knows; returns what went, for the ledger.

    A text of which nothing would be left stays.
    """
    rules = trimming.trim_html if leaf.is_html else trimming.trim
    whole, charset = leaf.editable
    text, removed = rules(whole, wanted, subject)
    if removed:
        leaf.rewrite(text, charset)
    return [{"part": part, "type": leaf.type, "reason": reason} for part, reason in removed]


def _trim_pictures(found: Mail, wanted: Sequence[str], subject: str) -> None:
    """Leave out the pictures that an HTML text shows in what it loses alone, even where its other form is printed."""
    kept: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    for leaf in found.leaves:
        if leaf.is_html and leaf.pictures:
            text, removed = trimming.trim_html(to_text(leaf.data or b"", leaf.charset), wanted, subject)
            shown = bodies.shown_ids(text.encode("utf-8", "replace"), "utf-8")
            kept |= shown
            lost |= leaf.pictures - shown if removed else frozenset()
    for leaf in found.leaves:
        content_id = (leaf.content_id or "").lower()
        if content_id in lost and content_id not in kept:
            leaf.left_out = leaf.left_out or "it is shown only in a piece of the message text that is left out"


def _head(headers: dict[str, str], path: Path) -> MailPart:
    lines = [f"{name.title()}: {headers[name]}" for name in ("from", "date", "subject") if name in headers]
    path.write_text("\n".join(lines) or "A mail without a text", encoding="utf-8")
    return MailPart(str(path), "body-text", "message", "text/plain", path.stat().st_size, charset="utf-8")


@contextmanager
def _opened(path: str) -> Iterator[Buffer]:
    """The file mapped into memory, so that a large mail costs no memory of ours."""
    with Path(path).open("rb") as stream:
        if not stream.seek(0, 2):
            yield b""
            return
        with mmap(stream.fileno(), 0, access=ACCESS_READ) as source:
            yield source


# --- judging ----------------------------------------------------------------------------------------------------------


def _judge(source: Buffer, headers: Headers, body: int, room: Room) -> dict[str, Any]:
    """Fields of the summary: why it can never become a fax, its options, and how its attachments begin."""
    try:
        found = structure.walk(source, headers, body, room)
        wishes = asked.take(found)
        _refuse(found)
    except Refused as error:
        return {"refusal": error.public, "refusal_status": error.status}
    used = [leaf for leaf in found.leaves if not leaf.left_out]
    broken = [leaf for leaf in used if leaf.defect]
    refusal = f"{broken[0].name} cannot be faxed: {broken[0].defect}; send it again" if broken else ""
    starts = [(leaf.name, start) for leaf in used if not leaf.message_text and (start := _start(leaf, room))]
    return {"refusal": refusal, "options": wishes, "starts": starts}


def _refuse(found: Mail) -> None:
    """Raise Refused for a mail whose document is elsewhere, but for one it quotes, or that has nothing in it."""
    for leaf in found.leaves:
        text = to_text(leaf.data or b"", leaf.charset) if leaf.message_text and leaf.is_html else ""
        if bodies.elsewhere(text):  # perhaps only in what is quoted
            subject = options.without(found.headers.line("subject"))
            if why := bodies.elsewhere(trimming.trim_html(text, (trimming.QUOTED,), subject).text):
                raise Refused(why, status="5.6.1")
    if all(leaf.left_out or leaf.is_blank for leaf in found.leaves):
        why = "the mail has no text and no attachment"
        if any(leaf.is_html and bodies.shows_web(to_text(leaf.data or b"", leaf.charset)) for leaf in found.leaves):
            why = "the pictures it shows are on the web; attach them"
        elif told := [
            leaf
            for leaf in found.leaves
            if not leaf.message_text
            and leaf.left_out
            and (leaf.left_out != structure.EMPTY or leaf.disposition == "attachment")
        ]:
            why = f"{told[0].name} is left out, {told[0].left_out}"
        raise Refused(f"there is nothing to fax: {why}", status="5.6.1")


def _start(leaf: Leaf, room: Room) -> str:
    """The first bytes of an attachment, decoded, as Latin-1; "" when that is not known without a closer look."""
    if leaf.data is not None:
        return leaf.data[:_START].decode("latin-1") if leaf.preface is None else ""
    chunks: list[bytes] = []
    end = min(leaf.end, leaf.start + 2 * _START)
    if end < leaf.end:  # between two lines, so that no group of base64 is cut
        end = leaf.source.rfind(b"\n", leaf.start, end) + 1 or end
    room.lines(leaf.source, leaf.start, end)
    transfer.decode(leaf.source, leaf.start, end, leaf.encoding, chunks.append)
    return b"".join(chunks)[:_START].decode("latin-1")


def _digest(source: Buffer, start: int) -> str:
    digest = hashlib.sha256()
    for window in buffer.windows(source, start):
        digest.update(window)
    return digest.hexdigest()


# --- writing ----------------------------------------------------------------------------------------------------------


def _write(leaf: Leaf, path: Path, found: Mail) -> MailPart:
    charset = leaf.charset
    defect = leaf.defect
    with path.open("xb") as stream:
        if leaf.preface is not None:
            stream.write(_with_preface(leaf))
            charset = "utf-8"
        elif leaf.data is not None:
            stream.write(leaf.data)
        else:
            text = leaf.type.startswith("text/")
            defect = defect or transfer.decode(
                leaf.source, leaf.start, leaf.end, leaf.encoding, stream.write, text=text
            )
        size = stream.tell()
    role = "attachment" if not leaf.message_text else "body-html" if leaf.is_html else "body-text"
    return MailPart(
        path=str(path),
        role=role,
        name=leaf.name,
        declared_type=leaf.type,
        size=size,
        charset=charset,
        content_id=leaf.content_id,
        referenced=found.shows(leaf),
        disposition=leaf.disposition,
        defect=defect or ("" if size or leaf.message_text else structure.EMPTY),
    )


def _with_preface(leaf: Leaf) -> bytes:
    """A text of an attached mail, in UTF-8 and marked as HTML if it is that: it has no header any more to say so."""
    text = to_text(leaf.data or b"", leaf.charset)
    lines = (leaf.preface or "").splitlines()
    if leaf.is_html:
        preface = "<br>\n".join(html.escape(line) for line in lines)
        head = f"<p>{preface}</p>\n<hr>\n" if lines else ""
        return f"<!DOCTYPE html>\n{head}{text}".encode()
    return "\n".join([*lines, "", text] if lines else [text]).encode()
