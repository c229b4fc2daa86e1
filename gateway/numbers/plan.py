"""Dial plans: which E.164 number a string of dialled digits means, seen from a region.

A number is a country code and a national number and never goes through the library's parser, which repairs: it drops a
superfluous trunk zero, adds the Argentine mobile 9, reads letters as digits. Here a number is the digits that were
given, or it is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumber, PhoneNumberFormat, ValidationResult

from gateway.errors import Refused
from gateway.model import FaxNumber
from gateway.numbers.countries import COUNTRIES

NANP = 1  # North American Numbering Plan
TEST = 999  # no country; the sandbox's scenario numbers
SHORTEST, LONGEST = 7, 15  # digits with the country code (ITU-T E.164)
_CODES = {str(code) for code in (TEST, *phonenumbers.COUNTRY_CODE_TO_REGION_CODE)}
_FRANCE = 33
_FRENCH = (_FRANCE, 262, 508, 590, 594, 596)  # one plan of ten digits, from Paris to Martinique
_NEIGHBOURS = (  # a call within this code that begins so reaches that code, where the number begins so instead
    (_FRANCE, "508", 508, ""),  # Saint Pierre, from France
    (353, "48", 44, "28"),  # Northern Ireland, from Ireland
    (60, "2", 65, ""),  # Singapore, from Malaysia
)
ZERO = "the (0) may or may not belong to the number"
_SERVICE = re.compile(r"\+1.11")
_SHORT_NUMBER = 6  # digits; a number of this length or less reaches a service or an extension


class _NoLock:
    """In place of the library's, under which it reads a country's plan when it is first asked for. Where the file cannot be
    opened, as for lack of descriptors, it keeps that lock, and whoever asks next waits for ever. An import has its own.
    """

    def acquire(self) -> None: ...

    def release(self) -> None: ...


PhoneMetadata._metadata_lock = _NoLock()  # type: ignore[assignment]  # all of a lock that it uses


class Unreadable(Exception):
    """Why a text is no number. The address parser makes a sentence of it, unless it is a ``whole`` one."""

    def __init__(self, why: str, *, whole: bool = False, status: str = "5.1.3") -> None:
        super().__init__(why)
        self.why = why
        self.whole = whole
        self.status = status


class Fit(IntEnum):
    """How well a national number fits the plan of its country code."""

    NO = 0
    LOCAL = 1  # a subscriber number without its area code
    POSSIBLE = 2  # the length is right, the range is not known to be assigned
    VALID = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read digits: a country calling code and a national number."""

    code: int
    national: str

    @classmethod
    def of(cls, digits: str) -> Reading | None:
        """The reading of E.164 digits; None when no country has such a code."""
        for length in (1, 2, 3):
            code = digits[:length]
            if code in _CODES:
                return cls(int(code), digits[length:])
        return None

    @property
    def number(self) -> FaxNumber:
        return FaxNumber(f"+{self.code}{self.national}")

    @property
    def parsed(self) -> PhoneNumber:
        """What the library takes for exactly these digits."""
        significant = self.national.lstrip("0") or "0"
        zeros = max(0, len(self.national) - len(significant))
        return PhoneNumber(
            country_code=self.code,
            national_number=int(significant),
            italian_leading_zero=zeros > 0,
            number_of_leading_zeros=zeros,
        )

    @property
    def fit(self) -> Fit:
        """How well the number fits the plan of its country code."""
        return _fit(self)

    @property
    def reaches(self) -> bool:
        """Whether it may reach a line. In the NANP, whose numbers are all of one shape, also where none is assigned."""
        return self.fit >= (Fit.POSSIBLE if self.code == NANP else Fit.VALID)

    @property
    def country(self) -> str:
        """The country for people; "+882" where the number belongs to none."""
        region = phonenumbers.region_code_for_number(self.parsed)
        return COUNTRIES.get(region or phonenumbers.region_code_for_country_code(self.code), f"+{self.code}")

    def __str__(self) -> str:
        return f"{format_human(self.number)} ({self.country})"


@lru_cache(maxsize=1000)
def _fit(reading: Reading) -> Fit:
    if not SHORTEST <= len(str(reading.code)) + len(reading.national) <= LONGEST:
        return Fit.NO
    if reading.code == TEST or phonenumbers.is_valid_number(reading.parsed):
        return Fit.VALID
    length = phonenumbers.is_possible_number_with_reason(reading.parsed)
    if length == ValidationResult.IS_POSSIBLE_LOCAL_ONLY:
        return Fit.LOCAL
    # in front of an unassigned number a zero is a trunk prefix too many; NANP area codes start with 2 to 9
    wrong_start = reading.national[0] == "0" or (reading.code == NANP and reading.national[0] == "1")
    return Fit.POSSIBLE if length == ValidationResult.IS_POSSIBLE and not wrong_start else Fit.NO


def check_region(region: str) -> None:
    """Raise Refused unless ``region`` is a known ISO 3166 code in capitals."""
    if region not in COUNTRIES:
        raise Refused(f"{region!a} is not a country code such as US or DE", status="5.5.4")


def with_plus(digits: str) -> FaxNumber:
    """The number in global form, given without its ``+``. Raises :class:`Unreadable`."""
    if digits.startswith("0"):
        raise Unreadable("a country code follows the +, and none starts with 0")
    if len(digits) > LONGEST:
        raise Unreadable(f"it is too long: a number has at most {LONGEST} digits")
    if len(digits) < SHORTEST:
        raise Unreadable("it is too short for a number with country code and area code")
    reading = Reading.of(digits)
    if reading is None:
        raise Unreadable(f"no country has a code that begins +{digits[:3]}")
    if reading.fit < Fit.POSSIBLE:
        raise Unreadable(_fault(reading))
    return reading.number


def without_plus(digits: str, region: str) -> FaxNumber:
    """The number reached by dialling ``digits`` in ``region`` (ISO 3166 code). Raises :class:`Unreadable`.

    The region's international prefix makes it international, its trunk prefix national. Without either it is national
    when it is a valid number of the region that lacks no area code, and international when it can be nothing else.
    Where two readings reach two lines, it is refused.
    """
    if region not in COUNTRIES:
        raise Unreadable(f"numbers without + cannot be read here, where the region is {region!a}")
    if phonenumbers.is_emergency_number(digits, region):
        raise Unreadable(f"{digits} is an emergency number and never faxed; call it by telephone", whole=True)
    code = phonenumbers.country_code_for_region(region)
    home, away = Reading(code, digits), Reading.of(digits)
    complete = _has_area_code(digits, region)
    if len(digits) <= _SHORT_NUMBER and not (complete and home.fit is Fit.VALID):
        raise Unreadable(f"{digits} is a short number or an extension, which no fax reaches")
    ways_abroad, national = _after_international_prefix(digits, region), _after_trunk_prefix(digits, region)
    # 00 is what people write, also where 001, 002... lead abroad
    elsewhere = Reading.of(digits[2:]) if digits.startswith("00") else None
    abroad = max(ways_abroad, key=lambda reading: reading.fit, default=None)
    if abroad and abroad.fit >= Fit.POSSIBLE:
        return _only(abroad, *ways_abroad, elsewhere, national, home)
    if national and national.fit >= Fit.POSSIBLE:
        return _only(national, home, *_across(national))
    if home.fit is Fit.VALID and code == NANP:  # ten digits are how one dials there, whatever they are elsewhere
        return home.number
    if home.reaches and complete:
        return _only(home, away, elsewhere, *_across(home))
    if home.fit is Fit.LOCAL and not abroad:
        raise Unreadable(f"it lacks an area code of {COUNTRIES[region]}; other countries need + and the country code")
    if away and away.reaches:
        if home.fit is not Fit.NO:
            raise _ambiguous(home, away)
        return _only(away, _behind_outside_line(digits, code))
    if home.reaches:
        raise Unreadable(
            f"it may lack the area code, which begins with {_metadata(region).national_prefix} in {COUNTRIES[region]};"
            " other countries need + and the country code"
        )
    if abroad:
        raise Unreadable(_fault(abroad))
    raise Unreadable(
        f"as dialled in {COUNTRIES[region]} it is not understood; other countries need + and the country code"
    )


def refuse_service(number: FaxNumber) -> None:
    """Raise :class:`Unreadable` for 911 and its kin in the place of a NANP area code: some lines reach them whatever is
    dialled behind.
    """
    if _SERVICE.match(number.e164):
        raise Unreadable(f"{number.digits[1:4]} is a service number, not an area code")


def meaning(digits: str, region: str) -> str:
    """What short ``digits`` are for who dials them in ``region``, "" when they are nothing there."""
    if phonenumbers.is_emergency_number(digits, region):
        return "an emergency number"
    home = Reading(phonenumbers.country_code_for_region(region), digits)
    return "a number" if home.fit is Fit.VALID else ""


def optional_zero(before: str, after: str) -> str:
    """The digits meant by ``+49 (0) 30...``: a zero in brackets behind the country code. Raises :class:`Unreadable`.

    It is the trunk prefix of national calls and left out, except where the zero belongs to the number (Italy).
    """
    region = phonenumbers.region_code_for_country_code(int(before))
    readings = [Reading(int(before), f"0{after}")]
    if region in COUNTRIES and _metadata(region).national_prefix == "0":
        readings.append(Reading(int(before), after))
    fitting = [reading for reading in readings if reading.fit is Fit.VALID]
    if len(fitting) != 1:
        raise Unreadable(ZERO)
    return fitting[0].number.digits


def format_human(number: FaxNumber) -> str:
    """``+1 202 555 0123``: grouped as its country does, by single blanks."""
    reading = Reading.of(number.digits)
    if reading is None:
        return number.e164
    if reading.code == TEST:
        return f"+{TEST} {reading.national[:4]} {reading.national[4:]}".rstrip()
    written = phonenumbers.format_number(reading.parsed, PhoneNumberFormat.INTERNATIONAL)
    grouped = "+" + " ".join(re.findall("[0-9]+", written))
    return grouped if grouped.replace(" ", "") == number.e164 else number.e164


def _after_international_prefix(digits: str, region: str) -> list[Reading]:
    """What may be behind it: in Hong Kong 00 and 001 both lead abroad, and 0012... is +1 2... or +2..."""
    prefix = re.compile(_metadata(region).international_prefix or "(?!)")
    ends = (end for end in range(1, len(digits)) if prefix.fullmatch(digits, 0, end))
    return [reading for end in ends if (reading := Reading.of(digits[end:]))]


def _after_trunk_prefix(digits: str, region: str) -> Reading | None:
    """What is behind it. A few have two: Belarus dials 80 in front of an area code, Lithuania writes its old 8 still."""
    metadata = _metadata(region)
    several = metadata.national_prefix_for_parsing or ""  # with groups they are choices of a carrier, too
    prefix = re.compile((metadata.national_prefix if "(" in several else several) or "(?!)")
    code = phonenumbers.country_code_for_region(region)
    readings = [Reading(code, digits[end:]) for end in range(1, len(digits)) if prefix.fullmatch(digits, 0, end)]
    return max(readings, key=lambda reading: reading.fit, default=None)


def _across(home: Reading) -> list[Reading]:
    """What a call within one country code may reach in another, without any international prefix."""
    plan: tuple[int, ...] = ()
    # 08 are services, the same everywhere; what is known overseas is there, whatever France is said to have
    if home.code in _FRENCH and home.national[:1] != "8" and (home.code == _FRANCE or home.fit is not Fit.VALID):
        plan = _FRENCH
    return [Reading(code, home.national) for code in plan if code != home.code] + [
        Reading(there, instead + home.national[len(start) :])
        for code, start, there, instead in _NEIGHBOURS
        if home.code == code and home.national.startswith(start)
    ]


def _behind_outside_line(digits: str, code: int) -> Reading | None:
    """What is dialled behind the 9 that leads out of many an office in the NANP: 9 1 202 555 0123, which looks Indian."""
    behind = Reading.of(digits[1:]) if code == NANP and digits.startswith("9") else None
    return behind if behind and behind.code == NANP else None


def _has_area_code(digits: str, region: str) -> bool:
    """Whether a number without trunk prefix cannot be the mere subscriber's part, as neighbours dial it.

    It cannot where there is no such prefix, for then all dial the whole number, nor when it is as long as the longest
    number of a fixed line.
    """
    metadata = _metadata(region)
    assert metadata.fixed_line is not None, "every region has fixed lines"
    return not metadata.national_prefix or len(digits) >= max(metadata.fixed_line.possible_length)


def _metadata(region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region(region)
    assert metadata is not None, "COUNTRIES has only regions the library knows"
    return metadata


def _only(reading: Reading, *rivals: Reading | None) -> FaxNumber:
    """The number, unless a rival reaches another line."""
    for rival in rivals:
        if rival and rival.reaches and rival.number != reading.number:
            raise _ambiguous(reading, rival)
    return reading.number


def _ambiguous(first: Reading, second: Reading) -> Unreadable:
    return Unreadable(f"it can mean {first} or {second}; + and the country code make it clear")


def _fault(reading: Reading) -> str:
    """Why a number with country code does not fit, with the number that may be meant."""
    region = phonenumbers.region_code_for_country_code(reading.code)
    trunk = _metadata(region).national_prefix if region in COUNTRIES else ""
    if trunk and reading.national.startswith(trunk):
        meant = Reading(reading.code, reading.national[len(trunk) :])
        if meant.fit >= Fit.POSSIBLE:
            return f"no {trunk} follows the country code +{reading.code}; {meant.number} may be meant"
    reason = phonenumbers.is_possible_number_with_reason(reading.parsed)
    if reason == ValidationResult.TOO_SHORT:
        return f"it is too short for {reading.country}"
    if reason == ValidationResult.TOO_LONG:
        return f"it is too long for {reading.country}"
    if reading.fit is Fit.LOCAL:
        return f"it lacks an area code of {reading.country}"
    return f"{reading.country} has no such area code, or none of that length"
