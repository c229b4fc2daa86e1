"""What a sender may ask for beside the number: the grammar of options, wherever they stand in a mail.

Pure, but that the time zone of this machine is looked at.

They stand in the local part (``+15551234567/cover=none``), in ``X-Fax-...`` header fields, in ``[fax: cover=none, ref=4711]``
anywhere in the subject or at the very beginning of the text. Whoever wrote one means it: what cannot be understood is
refused, never printed and never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_tz
from types import MappingProxyType

from gateway.errors import Refused
from gateway.mail import markup as marked
from gateway.mail import trim
from gateway.mail.words import one_line
from gateway.model import FaxOptions

Asked = Mapping[str, str]  # option name -> value, both in their one form

STATUS = "5.6.0"  # RFC 3463: what is wrong is in the mail
FIELD = "x-fax-"  # how the header fields begin

_LONGEST = 1000  # characters between the brackets
_SHOWN = 40  # characters of a wrong name or value that a refusal repeats
_YES, _NO = {"yes", "on", "true", "1"}, {"no", "off", "false", "0"}
_PRIORITIES = {"high": 1, "normal": 0, "low": -1}
OTHER_NAMES = {
    "reference": "ref",
    "billing": "ref",
    "billing-code": "ref",
    "res": "resolution",
    "at": "send-at",
    "to": "attn",
    "company": "org",
}
_MARKS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # of direction
_BLANK = rf"[\s\u200b\u200c\ufeff{_MARKS}]"
# one with a number alone is of a letterhead: [Fax: 030 123456]
_FAX = r"\[[ \t\xa0]{0,3}fax[ \t\xa0]{0,3}:(?!\s{0,3}(?:[+(]\d|\d[\d ()/-]{4})[\d\s()./\xa0\u2013-]{0,30}\])"
_BOLD = r"[*_/\\]{0,3}"  # how programs write it without HTML, and keep such signs from being taken for that
_OPEN = re.compile(rf"{_BLANK}*{_BOLD}{_FAX}", re.IGNORECASE)
_BRACKET = re.compile(
    rf"{_BLANK}*(?P<bold>{_BOLD}){_FAX}(?P<said>[^\[\]]{{0,{_LONGEST}}})\](?:(?P=bold))?", re.IGNORECASE
)
_IN_LINE = re.compile(rf"(?<![ \t])[ \t]*{_FAX}([^\[\]]*)\]", re.IGNORECASE)
_ANYWHERE = re.compile(r"fax|ｆａｘ", re.IGNORECASE)
_LATER = re.compile(rf"^[ \t{_MARKS}]*{_BOLD}{_FAX}[^\]\n]*=", re.IGNORECASE | re.MULTILINE)
# signs of double width, as keyboards of East Asia write them, marks of direction, and a forgotten colon
_WRITTEN = re.compile(
    rf"[\[［](?:{_BLANK}){{0,3}}(?:fax|ｆａｘ)(?:{_BLANK}){{0,3}}(?:[:：]|[ \xa0\u3000](?=\s*[\w-]{{2,20}}\s*[=＝]))"
    rf"[^\[\]［］]{{0,{_LONGEST}}}[\]］]", re.IGNORECASE,
)  # fmt: skip
_NARROW = (
    {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | dict.fromkeys(b"\t\xa0", " ") | {0x3000: " ", 0x3001: ","}
)
_NARROW |= dict.fromkeys((0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)), " ")
_QUOTES = re.compile(r"""=(\s*)[“”„‟«»]([^“”„‟«»"]*)[“”‟«»"]""")  # as programs turn them
_LINKED = re.compile(r"\s*<(?:https?://|mailto:)[^<>\s]*>")  # what they make of an address
_PAIR = re.compile(r"""\s*([^=,;"]*?)\s*=\s*(?:"([^"]*)"|((?!")[^,;\r\n]*?))\s*(?:[,;\r\n]+\s*|\Z)""")
_SOON = re.compile(r"\+?([0-9]{1,4})([mhd])")
_CLOCK = re.compile(r"([0-9]{1,2}):?([0-9]{2})")
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):?([0-9]{2})(?::?[0-9]{2})?\s*(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_OF_NO_ZONE = re.compile(r"(?:.*[Tt ])?[0-9]{1,2}:?[0-9]{2}(?::?[0-9]{2})?")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


# --- values -----------------------------------------------------------------------------------------------------------


def _one_of(*words: str, **synonyms: str) -> tuple[Callable[[str], str | None], str]:
    def check(value: str) -> str | None:
        word = synonyms.get(value.lower(), value.lower())
        return word if word in words else None

    return check, f"write {', '.join(words[:-1])} or {words[-1]}"


def _shaped(pattern: str, said: str, *, lower: bool = False) -> tuple[Callable[[str], str | None], str]:
    def check(value: str) -> str | None:
        value = value.lower() if lower else value
        return value if re.fullmatch(pattern, value) else None

    return check, said


def _yes_or_no(value: str) -> str | None:
    return "yes" if value.lower() in _YES else "no" if value.lower() in _NO else None


def _a_time(value: str) -> str | None:
    try:
        _resolved(value, datetime(2000, 1, 1, tzinfo=UTC))
    except ValueError:
        return None
    return value


_A_LINE = _shaped(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,60}", "write one line of at most 60 characters")
OPTIONS: Mapping[str, tuple[Callable[[str], str | None], str]] = MappingProxyType(
    {
        "cover": _shaped(r"[a-z0-9][a-z0-9_-]{0,39}", "write none, auto or the name of a cover page", lower=True),
        "header": (_yes_or_no, "write yes or no"),
        "resolution": _one_of("fine", "standard", high="fine", normal="standard"),
        "paper": _one_of("letter", "a4"),
        "body": _one_of("with-text", "always", "without-attachment", "never", yes="always", no="never"),
        "ref": _A_LINE,
        "attn": _A_LINE,
        "org": _A_LINE,
        "language": _one_of("en", "de", "fr", "es"),
        "from-company": _A_LINE,
        "from-department": _A_LINE,
        "from-voice": _A_LINE,
        "tsi": _shaped(r"[A-Za-z0-9+. -]{1,20}", "write at most 20 letters, digits, spaces and + - ."),
        "priority": _one_of(*_PRIORITIES),
        "send-at": (_a_time, "write a time like 2026-12-01T08:00, 08:00, +30m or +2h"),
    }
)


# --- where they stand -------------------------------------------------------------------------------------------------


def read(pairs: Iterable[tuple[str, str]], where: str) -> Asked:
    """Options by their names, values in their one form; ``where`` they stand is told in a refusal.

    Raises Refused (5.6.0) for an option that is unknown, wrong, or given twice with different values.
    """
    found: dict[str, str] = {}
    for given, text in pairs:
        name = OTHER_NAMES.get(given.lower(), given.lower())
        if name not in OPTIONS:
            raise _refused(f"{_shown(given)} {where} is not a fax option; there are {', '.join(OPTIONS)}")
        check, said = OPTIONS[name]
        value = check(text.strip())
        if value is None:
            raise _refused(f"{name}={_shown(text)} {where} cannot be understood; {said}")
        if found.setdefault(name, value) != value:
            raise _refused(f"{name} is given twice {where}; give it once")
    return found


def from_fields(fields: Iterable[tuple[str, str]]) -> Asked:
    """Options of header fields, of which only ``X-Fax-...`` are looked at. Raises Refused."""
    asked = [(name.lower().removeprefix(FIELD), value) for name, value in fields if name.lower().startswith(FIELD)]
    return read(asked, "in an X-Fax header field")


def from_subject(subject: str) -> Asked:
    """What each ``[fax: ...]`` in the subject says. Raises Refused."""
    subject = _plain(subject)
    pairs = [pair for bracket in _IN_LINE.finditer(subject) for pair in _pairs(bracket[1], "in the subject")]
    if _OPEN.search(without(subject)):
        raise _refused("the [fax: in the subject has no closing ]; write it like [fax: cover=none, ref=4711]")
    return read(pairs, "in the subject")


def without(subject: str) -> str:
    """A subject without its ``[fax: ...]``, whatever they say."""
    return _IN_LINE.sub("", _plain(subject)).strip()


def _plain(text: str) -> str:
    """``text`` with options as they should be written, each character in its place."""

    def narrowed(match: re.Match[str]) -> str:
        said = match[0].translate(_NARROW)
        if "=" not in said:
            return match[0]
        return said if ":" in said.partition("=")[0] else re.sub(r"(?i)(?<=fax) ", ":", said, count=1)

    return _WRITTEN.sub(narrowed, text) if _ANYWHERE.search(text) else text


def from_text(text: str, *, markup: bool, subject: str = "", further: bool = True) -> tuple[str, Asked]:
    """A message text without the ``[fax: ...]`` at its beginning, and what they say; of HTML (``markup``) what is seen.

    Raises Refused, also where one begins a later line (``further``): it was meant, and would be printed. A mail with the
    ``subject`` of an answer may quote some.
    """
    where = "at the beginning of the text"
    pieces = list(_first(marked.pieces(text))) if markup else [(text, 0, len(text))]
    seen = _plain("".join(piece for piece, _, _ in pieces))
    pairs: list[tuple[str, str]] = []
    taken = 0
    while bracket := _BRACKET.match(seen, taken):
        pairs += _pairs(" ".join(bracket["said"].split()) if markup else bracket["said"], where)
        taken = bracket.end()
    if _OPEN.match(seen, taken):
        raise _refused(f"the [fax: {where} has no closing ]; write it like [fax: cover=none, ref=4711]")
    rest = text
    if taken:
        rest = _cut(text, pieces, taken) if markup else re.sub(r"\A[ \t]*(?:\r\n|\n|\r)*", "", text[taken:])
    if further:
        refuse_in(rest, markup=markup, subject=subject)
    return rest, read(pairs, where)


def refuse_in(text: str, *, markup: bool, subject: str = "") -> None:
    """Raise Refused where options begin a line of a text, but for what it quotes."""
    if not (_ANYWHERE.search(text) and _is_said(text, markup=markup)):
        return
    rules = trim.trim_html if markup else trim.trim
    if _is_said(rules(text, (trim.QUOTED,), subject).text, markup=markup):
        raise _refused("options stand at the very beginning of the text: move [fax: ...] there, or remove it")


def _is_said(text: str, *, markup: bool) -> bool:
    lines = (line.text for line in marked.lines(text)) if markup else [text]
    return any(_LATER.search(_plain(line)) for line in lines)


def _first(pieces: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
    """As many as there may be options in: a text may be large, and its sender waits."""
    room = 4 * _LONGEST
    for piece, start, end in pieces:
        yield piece, start, end
        room -= len(piece)
        if room < 0:
            return


def _cut(text: str, pieces: list[tuple[str, int, int]], taken: int) -> str:
    """``text``, an HTML source, without the first ``taken`` characters that are seen."""
    kept, position = [], 0
    for piece, start, end in pieces:
        cut = min(taken, len(piece))
        kept.append(text[position:start])
        position = end if cut == len(piece) else start + cut
        taken -= cut
    return "".join(kept) + text[position:]


def _pairs(content: str, where: str) -> Iterator[tuple[str, str]]:
    """``name=value`` of one bracket, between commas, semicolons or line ends. Raises Refused."""
    content = _QUOTES.sub(r'=\1"\2"', _LINKED.sub("", content.replace("\xa0", " "))).strip().rstrip("\\")
    position = 0
    while position < len(content) or not position:
        pair = _PAIR.match(content, position)
        if not pair or not pair[1]:
            raise _refused(
                f"[fax: {_shown(content)}] {where} cannot be understood; write it like [fax: cover=none, ref=4711]"
            )
        yield pair[1], pair[3] if pair[2] is None else pair[2]
        position = pair.end()


def _refused(sentence: str) -> Refused:
    return Refused(sentence, status=STATUS)


def _shown(text: str) -> str:
    return one_line(text, _SHOWN).encode("ascii", "replace").decode() or "nothing"


# --- what they mean ---------------------------------------------------------------------------------------------------


def decide(*layers: Asked, now: float, date: str = "", most: float = 30 * 86400.0) -> FaxOptions:
    """The options of a fax: of each the one in the first layer that has it.

    A time without a zone is in that of ``date``, the Date field of the mail, which is the sender's; without one in UTC.
    Raises Refused for a time that is past, or more than ``most`` seconds away.
    """
    asked: dict[str, str] = {}
    for layer in reversed(layers):
        asked |= layer
    return FaxOptions(
        cover=asked.get("cover", ""),
        header={"yes": True, "no": False}.get(asked.get("header", "")),
        resolution=asked.get("resolution", ""),
        paper=asked.get("paper", ""),
        body=asked.get("body", ""),
        reference=asked.get("ref", ""),
        attn=asked.get("attn", ""),
        org=asked.get("org", ""),
        language=asked.get("language", ""),
        from_company=asked.get("from-company", ""),
        from_department=asked.get("from-department", ""),
        from_voice=asked.get("from-voice", ""),
        tsi=asked.get("tsi", ""),
        priority=_PRIORITIES[asked.get("priority", "normal")],
        send_at=_send_at(asked["send-at"], now, date, most) if "send-at" in asked else 0.0,
    )


def _send_at(value: str, now: float, date: str, most: float) -> float:
    here = datetime.fromtimestamp(now, zone_of(date))
    moment = _resolved(value, here)
    at = moment.timestamp()
    if at < now - 60:
        raise _refused(f"send-at={value} is in the past; give a later time, or leave it out to send at once")
    if at > now + most:
        latest = datetime.fromtimestamp(now + most, here.tzinfo)
        raise _refused(f"send-at={value} is too far ahead: a fax waits until {latest:%Y-%m-%dT%H:%M} at most")
    return at - _clocks_change(here, at) if _OF_NO_ZONE.fullmatch(value) else at


def _clocks_change(here: datetime, at: float) -> float:
    """By how much (s) the clock of the sender is put on between ``here`` and ``at``, 0 where nobody knows.

    A Date field tells an offset, not its summer time. Where the offset is that of this machine, the sender most likely lives
    by the same clock.
    """
    ours, then = here.astimezone(), datetime.fromtimestamp(at).astimezone()
    if ours.utcoffset() != here.utcoffset():
        return 0.0
    return ((then.utcoffset() or timedelta()) - (ours.utcoffset() or timedelta())).total_seconds()


def zone_of(date: str) -> timezone:
    """Where the computer stands that wrote this Date field; UTC where it does not tell."""
    parsed = parsedate_tz(date)
    offset = parsed[9] if parsed else None
    return timezone(timedelta(seconds=offset)) if offset and abs(offset) < 86400 else UTC


def _resolved(value: str, now: datetime) -> datetime:
    """The moment a value names, seen from ``now``; a mere time of day is the next such. Raises ValueError."""
    if soon := _SOON.fullmatch(value):
        return now + timedelta(**{_UNITS[soon[2]]: int(soon[1])})
    if clock := _CLOCK.fullmatch(value):
        at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return at if at > now else at + timedelta(days=1)
    moment = _MOMENT.fullmatch(value)
    if not moment:
        raise ValueError(value)
    zone = now.tzinfo
    if moment[6]:
        zone = UTC
    elif moment[7]:
        offset = timedelta(hours=int(moment[8]), minutes=int(moment[9]))
        zone = timezone(offset if moment[7] == "+" else -offset)
    year, month, day, hour, minute = map(int, moment.groups()[:5])
    return datetime(year, month, day, hour, minute, tzinfo=zone)
