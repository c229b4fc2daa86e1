"""When and where of a meeting, as Outlook says it in its own properties (MS-OXOCAL), as a calendar entry (RFC 5545)."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

Named: TypeAlias = tuple[bytes, int]

_OF_APPOINTMENTS = bytes.fromhex("0220060000000000c000000000000046")  # a set of properties, MS-OXPROPS section 1.3.2
_OF_MEETINGS = bytes.fromhex("90dad86e0b451b1098da00aa003f1305")
_TIMES: dict[str, tuple[int | Named, ...]] = {  # in UTC; PidLidAppointmentStartWhole, else PidTagStartDate
    "start": ((_OF_APPOINTMENTS, 0x820D), 0x0060),
    "end": ((_OF_APPOINTMENTS, 0x820E), 0x0061),
}
_LOCATION, _WHERE, _PATTERN = (_OF_APPOINTMENTS, 0x8208), (_OF_MEETINGS, 0x0002), (_OF_APPOINTMENTS, 0x8232)
WORDS: tuple[Named, ...] = (_LOCATION, _WHERE, _PATTERN)  # those of the properties that are read as texts
_WHOLE_DAY = (_OF_APPOINTMENTS, 0x8215)
_ZONES = ((_OF_APPOINTMENTS, 0x825E), (_OF_APPOINTMENTS, 0x8260))  # PidLidAppointmentTimeZoneDefinition...
_ZONE_OF_ALL = (_OF_APPOINTMENTS, 0x8233)  # PidLidTimeZoneStruct
_VALID_NAME, _IN_EFFECT = 0x2, 0x2  # flags of a zone, and of a rule
_RULE = 66  # bytes
_BIASES, _CHANGE = "<iii", "<8H"  # minutes; a SYSTEMTIME
_DAY = 24 * 60  # minutes
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_NEVER = 0x0CB34557A3DD4000  # tenths of microseconds: says that there is none, in the year 4500
_CANCELLED = re.compile(r"Cancel|MtgCncl", re.IGNORECASE)
_SIGNS = re.compile(r"([\\;,])")


@dataclass(frozen=True, slots=True)
class _Zone:
    """Time of a place: minutes behind UTC, as it is and in summer, and when in the year each begins, () where it does not."""

    name: str
    standard: int
    summer: int
    begins: tuple[tuple[int, ...], tuple[int, ...]]  # of standard time, of summer time

    def local(self, moment: datetime) -> datetime:
        return moment - timedelta(minutes=self.summer if self._is_summer(moment) else self.standard)

    def _is_summer(self, moment: datetime) -> bool:
        winter, summer = self.begins
        if not (winter and summer):
            return False
        year = (moment - timedelta(minutes=self.standard)).year
        end = _turn(winter, year) + timedelta(minutes=self.summer)
        begin = _turn(summer, year) + timedelta(minutes=self.standard)
        return begin <= moment < end if begin < end else not end <= moment < begin


@dataclass(slots=True)
class Meeting:
    """What a message says of one; none where it has no ``start``. Times are in UTC."""

    times: dict[str, datetime] = field(default_factory=dict)  # start, end
    clocks: dict[str, datetime] = field(default_factory=dict)  # as old programs write them, of no zone
    where: str = ""
    pattern: str = ""  # in words, of one that comes again and again
    whole_day: bool = False
    zone: _Zone | None = None

    def written(self, which: str, value: bytes) -> None:
        """The ``start`` or ``end`` as an attribute of its own says it (attDateStart). Raises struct.error."""
        with contextlib.suppress(ValueError):  # no date
            self.clocks[which] = datetime(*struct.unpack_from("<6H", value))  # noqa: DTZ001  # of no zone

    def said(self, values: Mapping[int | Named, bytes | int], words: Mapping[Named, str]) -> None:
        """What the properties say, ``words`` those that are texts."""
        for which, names in _TIMES.items():
            found = next((value for name in names if isinstance(value := values.get(name), int) and value), 0)
            if 0 < found < _NEVER:
                self.times[which] = _EPOCH + timedelta(microseconds=found // 10)
        self.where = words[_LOCATION] or words[_WHERE]
        self.pattern = words[_PATTERN]
        self.whole_day = bool(values.get(_WHOLE_DAY))
        self.zone = _zone(values)

    def entry(self, kind: str, subject: str, sender: str) -> str:
        """As a calendar entry, of a message of such a kind (IPM.Schedule.Meeting.Request), "" where there is none."""
        if not (self.times.get("start") or self.clocks.get("start")):
            return ""
        fields = ["BEGIN:VCALENDAR", "METHOD:CANCEL" if _CANCELLED.search(kind) else "METHOD:REQUEST", "BEGIN:VEVENT"]
        fields += [f"DT{which.upper()}{self._moment(which)}" for which in _TIMES if self._moment(which)]
        texts = (("SUMMARY", subject), ("LOCATION", self.where), ("ORGANIZER", sender), ("RRULE", self.pattern))
        fields += [f"{name}:{_escaped(text)}" for name, text in texts if text]
        return "\r\n".join([*fields, "END:VEVENT", "END:VCALENDAR", ""])

    def _moment(self, which: str) -> str:
        """The value of its property, with its parameters."""
        moment = self.times.get(which)
        if moment is None:
            clock = None if self.times.get("start") else self.clocks.get(which)
            return f":{clock:%Y%m%dT%H%M%S}" if clock else ""
        local = self.zone.local(moment) if self.zone else moment
        if self.whole_day and (self.zone or (local.hour, local.minute) == (0, 0)):
            return f";VALUE=DATE:{local:%Y%m%d}"
        if self.zone is None:
            return f":{moment:%Y%m%dT%H%M%S}Z"
        hours, minutes = divmod(abs(int((local - moment).total_seconds() // 60)), 60)
        name = self.zone.name or f"UTC{'+' if local >= moment else '-'}{hours}:{minutes:02}"
        return f';TZID="{name}":{local:%Y%m%dT%H%M%S}'


def _zone(values: Mapping[int | Named, bytes | int]) -> _Zone | None:
    """Of the properties, None where they say none or it does not add up."""
    try:
        for name in _ZONES:
            if isinstance(data := values.get(name), bytes) and (zone := _defined(data)):
                return zone
        data = values.get(_ZONE_OF_ALL)
        return _ruled("", data, 0, 14, 32) if isinstance(data, bytes) else None
    except (struct.error, ValueError):
        return None


def _defined(data: bytes) -> _Zone | None:
    """Of a zone's definition, MS-OXOCAL section 2.2.1.41, the rule that is in effect."""
    flags, size = struct.unpack_from("<4xHH", data)
    if not flags & _VALID_NAME:
        return None
    at = 8 + 2 * size
    name = re.sub(r'[\x00-\x1f";:]', "", data[8:at].decode("utf-16-le", "replace"))
    for start in range(at + 2, len(data) - _RULE + 1, _RULE):
        if struct.unpack_from("<4xH", data, start)[0] & _IN_EFFECT:
            return _ruled(name, data, start + 22, start + 34, start + 50)
    return None


def _ruled(name: str, data: bytes, biases: int, winter: int, summer: int) -> _Zone:
    """A zone by the places of what says when which time holds. Raises struct.error, ValueError."""
    bias, of_winter, of_summer = struct.unpack_from(_BIASES, data, biases)
    minutes = bias + of_winter, bias + of_summer
    if max(map(abs, minutes)) > _DAY:
        raise ValueError(minutes)
    changes = tuple(_change(struct.unpack_from(_CHANGE, data, at)) for at in (winter, summer))
    return _Zone(name, *minutes, (changes[0], changes[1]))


def _change(said: tuple[int, ...]) -> tuple[int, ...]:
    """Month, day of the week (0: Sunday), which one of the month (5: the last), hour and minute. Raises ValueError."""
    year, month, day, week, hour, minute, *_ = said
    if not month:
        return ()
    if year or month > 12 or day > 6 or not 0 < week < 6 or hour > 23 or minute > 59:
        raise ValueError(said)
    return month, day, week, hour, minute


def _turn(change: tuple[int, ...], year: int) -> datetime:
    """When it is in a year, by the clock that holds until then."""
    month, day, week, hour, minute = change
    first = datetime(year, month, 1, hour, minute, tzinfo=UTC)
    found = first + timedelta(days=(day - first.isoweekday()) % 7 + 7 * (week - 1))
    return found if found.month == month else found - timedelta(days=7)


def _escaped(text: str) -> str:
    return _SIGNS.sub(r"\\\1", text.strip()).replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "")
