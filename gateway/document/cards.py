"""What people read in calendar entries and business cards (RFC 5545, RFC 6350 and its forerunners 2.1 and 3.0)."""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from gateway.document import text

_BEGIN = re.compile(r"\s*BEGIN:V(?:CALENDAR|CARD)\s", re.IGNORECASE)
_FOLD = re.compile(r"\r\n?|\n")
_LINE = re.compile(r'(?:[\w-]+\.)?([\w-]+)((?:;(?:"[^"]*"|[^":])*)?):(.*)', re.DOTALL)
_PARAMETER = re.compile(r';([\w-]+)(?:=("[^"]*"|[^";]*))?')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_TIME = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)\d\d(Z?))?")
_LENGTH = re.compile(r"\+?P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:\d+S)?)?")
_ENTRIES = ("VEVENT", "VTODO", "VJOURNAL", "VCARD")
_OF_A_CARD = (
    ("TEL", "Phone"), ("EMAIL", "E-mail"), ("IMPP", "Chat"), ("ADR", "Address"), ("URL", "See"), ("BDAY", "Born"), ("RELATED", "Related"),
)  # fmt: skip
_IN_IT = "a file, which is not printed"
_DAYS = "Mon Tue Wed Thu Fri Sat Sun".split()
_MONTHS = "January February March April May June July August September October November December".split()


@dataclass(slots=True)
class _Field:
    name: str
    parameters: dict[str, str]  # by upper-case name; of several of one name the last
    types: list[str]
    value: str

    @property
    def text(self) -> str:
        return _plain(self.value)

    @property
    def parts(self) -> list[str]:
        """The components of a structured value, those without a text left out."""
        return [part for each in re.split(r"(?<!\\);", self.value) if (part := _plain(each))]

    @property
    def person(self) -> str:
        address = re.sub(r"(?i)^mailto:", "", self.text)
        name = self.parameters.get("CN", "")
        return f"{name} <{address}>" if name and name != address else address


@dataclass(slots=True)
class _Entry:
    kind: str
    fields: list[_Field] = field(default_factory=list)

    def all(self, name: str) -> list[_Field]:
        return [each for each in self.fields if each.name == name and each.value.strip()]

    def first(self, name: str) -> _Field | None:
        return next(iter(self.all(name)), None)


def for_people(content: str) -> str:
    """The text of a calendar entry or business card as people read it, "" of any other text or where it has none."""
    if not _BEGIN.match(content):
        return ""
    cancelled, entries = _entries(content)
    shown = [
        "\n".join(_card(each) if each.kind == "VCARD" else _event(each, cancelled)) for each in entries if each.fields
    ]
    return "\n\n".join(filter(None, shown))


def files(content: str) -> int:
    """How many files there are in calendar entries, which are not printed."""
    return sum(_is_binary(each) for entry in _entries(content)[1] for each in entry.all("ATTACH"))


# --- reading ----------------------------------------------------------------------------------------------------------


def _entries(content: str) -> tuple[bool, list[_Entry]]:
    """Whether they are called off, and the entries; zones of time and alarms are none."""
    found: list[_Entry] = []
    inside: list[str] = []
    cancelled = False
    for each in _fields(content):
        if each.name == "BEGIN":
            inside.append(each.value.strip().upper())
            if inside[-1] in _ENTRIES:
                found.append(_Entry(inside[-1]))
        elif each.name == "END":
            inside = inside[:-1]
        elif inside and inside[-1] in _ENTRIES:
            found[-1].fields.append(each)
        elif each.name == "METHOD":
            cancelled = each.value.strip().upper() == "CANCEL"
    return cancelled, found


def _fields(content: str) -> Iterator[_Field]:
    for line in _unfolded(_FOLD.split(content)):
        match = _LINE.match(line)
        if not match:
            continue
        parameters: dict[str, str] = {}
        types: list[str] = []
        for name, value in _PARAMETER.findall(match[2]):
            value = value.strip('"')
            parameters[name.upper()] = value
            if name.upper() == "TYPE" or not value:  # 2.1 has the type alone
                types += [each.lower() for each in (value or name).split(",")]
        value = match[3]
        if _is_quoted(match[2]):
            data = quopri.decodestring(value.encode("utf-8", "replace"))
            value = text.decode(data, parameters.get("CHARSET"))
        yield _Field(match[1].upper(), parameters, types, value)


def _unfolded(lines: Iterable[str]) -> Iterator[str]:
    """Lines put together that were folded: the next begins with a blank, or the last ends with = (quoted-printable)."""
    whole: list[str] = []
    quoted = False
    for line in lines:
        if whole and quoted and whole[-1].endswith("="):
            whole[-1] = whole[-1][:-1]
            whole.append(line)
        elif whole and line[:1] in (" ", "\t"):
            whole.append(line[1:])
        else:
            if whole:
                yield "".join(whole)
            whole, quoted = [line], _is_quoted(line.partition(":")[0])
    if whole:
        yield "".join(whole)


def _is_quoted(parameters: str) -> bool:
    return "QUOTED-PRINTABLE" in parameters.upper()


def _is_binary(attached: _Field) -> bool:
    """Whether it is a file, and not where one is."""
    return attached.parameters.get("ENCODING", "").upper() == "BASE64"


def _plain(value: str) -> str:
    return _ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], value).strip()


# --- writing ----------------------------------------------------------------------------------------------------------


def _event(entry: _Entry, cancelled: bool) -> Iterator[str]:
    def line(label: str, name: str) -> Iterator[str]:
        if found := entry.first(name):
            yield f"{label}: {found.text}"

    title = entry.first("SUMMARY")
    status = entry.first("STATUS")
    off = cancelled or bool(status and status.value.strip().upper() == "CANCELLED")
    yield ("Cancelled: " if off else "") + (title.text if title else "Calendar entry")
    yield from _when(entry)
    yield from line("Where", "LOCATION")
    yield from (f"From: {each.person}" for each in entry.all("ORGANIZER")[:1])
    if people := entry.all("ATTENDEE"):
        yield "With: " + ", ".join(each.person for each in people)
    for label, name in (("Contact", "CONTACT"), ("Needed", "RESOURCES"), ("Remark", "COMMENT")):
        yield from (f"{label}: {each.text}" for each in entry.all(name))
    yield from line("See", "URL")
    for attached in entry.all("ATTACH"):  # what it names of its mail is there anyway
        if not attached.value.lower().startswith("cid:"):
            yield f"Attached: {_IN_IT if _is_binary(attached) else attached.text}"
    if description := entry.first("DESCRIPTION"):
        yield f"\n{description.text}"


def _when(entry: _Entry) -> Iterator[str]:
    start, end = entry.first("DTSTART"), entry.first("DTEND")
    if start:
        said = _moment(start)
        if end and (until := _moment(_last(end), start)):
            said += f" to {until}" if until != said else ""
        elif length := _length(entry):
            said += f", for {length}"
        zone = start.parameters.get("TZID", "")
        yield f"When: {said}" + (f" ({zone})" if zone else "")
    if due := entry.first("DUE"):
        yield f"Due: {_moment(due)}"
    if repeated := entry.first("RRULE"):
        yield f"Repeated: {repeated.text}"
    for label, name in (("Also", "RDATE"), ("Not", "EXDATE")):
        if days := [day for each in entry.all(name) for day in each.value.split(",")]:
            yield f"{label}: " + "; ".join(_moment(replace(entry.all(name)[0], value=day)) for day in days)


def _last(end: _Field) -> _Field:
    """An end that is a day is the first that is none of it, RFC 5545 section 3.6.1."""
    try:
        last = datetime.strptime(end.value.strip(), "%Y%m%d") - timedelta(days=1)  # noqa: DTZ007  # a day of the calendar
    except (ValueError, OverflowError):
        return end
    return replace(end, value=f"{last:%Y%m%d}")


def _moment(at: _Field, start: _Field | None = None) -> str:
    """A time in words, without its day where it is that of ``start``; what is none, as it stands."""
    match = _TIME.fullmatch(at.value.strip())
    if not match:
        return at.text
    try:
        day = date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return at.text
    clock = f"{match[4]}:{match[5]}{' UTC' if match[6] else ''}" if match[4] else ""
    if start and clock and start.value[:8] == at.value[:8]:
        return clock
    said = f"{_DAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]} {day.year}"
    return f"{said}, {clock}" if clock else said


def _length(entry: _Entry) -> str:
    lasting = entry.first("DURATION")
    match = _LENGTH.fullmatch(lasting.value.strip()) if lasting else None
    if not match:
        return lasting.text if lasting else ""
    units = zip(match.groups(), ("w", "d", "h", "min"), strict=True)
    return " ".join(f"{count} {unit}" for count, unit in units if count)


def _card(entry: _Entry) -> Iterator[str]:
    name = entry.first("FN")
    full = name.text if name else " ".join(part for each in entry.all("N")[:1] for part in each.parts)
    if full:
        yield full
    for plain in ("NICKNAME", "TITLE", "ROLE", "ORG"):
        yield from (", ".join(each.parts) for each in entry.all(plain))
    for name_, label in _OF_A_CARD:
        for each in entry.all(name_):
            types = [kind for kind in each.types if kind not in ("pref", "internet", "quoted-printable")]
            what = f"{label} ({', '.join(types)})" if types else label
            value = re.sub(r"(?i)^(?:tel|mailto):", "", each.text) if name_ != "ADR" else ", ".join(each.parts)
            yield f"{what}: {' '.join(value.splitlines())}"
    yield from (f"\n{each.text}" for each in entry.all("NOTE"))
