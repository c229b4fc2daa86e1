"""What kind of line a number reaches, and where, as far as its digits tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberType

from gateway.model import FaxNumber, NumberClass
from gateway.numbers.countries import COUNTRIES
from gateway.numbers.plan import NANP, TEST, Reading

_BY_TYPE = {
    PhoneNumberType.FIXED_LINE: NumberClass.ORDINARY,
    PhoneNumberType.MOBILE: NumberClass.ORDINARY,
    PhoneNumberType.FIXED_LINE_OR_MOBILE: NumberClass.ORDINARY,
    PhoneNumberType.VOIP: NumberClass.ORDINARY,
    PhoneNumberType.TOLL_FREE: NumberClass.TOLL_FREE,
    PhoneNumberType.SHARED_COST: NumberClass.SHARED_COST,
    PhoneNumberType.PREMIUM_RATE: NumberClass.PREMIUM,
    PhoneNumberType.PERSONAL_NUMBER: NumberClass.SHARED_COST,  # the caller pays for the way to the person
    PhoneNumberType.UAN: NumberClass.SHARED_COST,  # or for that to the company's branch
}
# regions where numbers of a company (UAN) cost what a landline does: 03 in Britain, 058 in Switzerland, 010 in Sweden
_AS_LANDLINES = frozenset("AX BB BS CH CZ ES FI FR GB GG HK IE IM JE NL NO RO SE SJ SK".split())
# what the library counts among ordinary or free numbers, and the plan of the country does not
_DEARER = {
    NumberClass.SHARED_COST: r"""
        212 80[1-7]  # Morocco: only 0800 is free
        | 31 8[47]  # the Netherlands: services that find a person, or take messages for him
        | 358 (100|20[02]|300|606)  # Finland: enquiries and services, beside companies at 010, 020 and 030
        | 36 40  # Hungary
        | 40 80[578]  # Romania
        | 420 970  # the Czech Republic: ways into the Internet
        | 47 81  # Norway
        | 56 600  # Chile
        | 593 1700  # Ecuador
        | 60 1[37]00  # Malaysia
        | 7 [89]40  # Abkhazia: under the code of Russia, but not at its price""",
    NumberClass.SATELLITE: r"""
        61 (14|42010|480[08]|4858|4899)  # Australia
        | 62 868  # Indonesia
        | 7 954  # Russia
        | 84 672  # Vietnam
        | 86 (1349|1740)  # China""",
}
_DEARER_RANGES = [(kind, re.compile(ranges, re.VERBOSE)) for kind, ranges in _DEARER.items()]
_BY_CODE = {  # codes that belong to no country (ITU-T list of assigned country codes)
    TEST: NumberClass.TEST,
    800: NumberClass.TOLL_FREE,
    808: NumberClass.SHARED_COST,
    870: NumberClass.SATELLITE,
    881: NumberClass.SATELLITE,
    882: NumberClass.SATELLITE,
    883: NumberClass.SATELLITE,
    979: NumberClass.PREMIUM,
}
_PLAUSIBLE = "2345678"  # a subscriber number that fits every NANP area code
_INFORMATION = "976"  # NANP exchange of pay-per-call services, in every area code
_ENQUIRIES = "5551212"  # subscriber number of directory enquiries, in every area code
_OF_CARRIERS = {"456", "600", "700", "710"}  # NANP codes of no place: satellites, services of single carriers


@dataclass(frozen=True, slots=True)
class NumberFacts:
    """``region`` is an ISO 3166 code, None where no country has the number; ``prefix`` is "+49", "+1 876"."""

    region: str | None
    number_class: NumberClass
    prefix: str

    @property
    def place(self) -> str:
        """Where it is, for people: "Jamaica (+1 876)", "+881"."""
        return f"{COUNTRIES[self.region]} ({self.prefix})" if self.region else self.prefix


@lru_cache(maxsize=1000)
def classify(number: FaxNumber) -> NumberFacts:
    """Region and class of a number. Never fails: what is not known is ``UNKNOWN``, in no region."""
    reading = Reading.of(number.digits)
    if reading is None:
        return NumberFacts(None, NumberClass.UNKNOWN, number.e164[:4])
    if reading.code == NANP:
        return _classify_nanp(reading)
    prefix = f"+{reading.code}"
    if phonenumbers.region_code_for_country_code(reading.code) not in COUNTRIES:
        return NumberFacts(None, _BY_CODE.get(reading.code, NumberClass.UNKNOWN), prefix)
    region = phonenumbers.region_code_for_number(reading.parsed)
    dearer = (kind for kind, ranges in _DEARER_RANGES if ranges.match(number.digits))
    kind = next(dearer, None) or _class_of(reading, region, NumberClass.UNKNOWN)
    return NumberFacts(region or phonenumbers.region_code_for_country_code(reading.code), kind, prefix)


def _class_of(reading: Reading, region: str | None, otherwise: NumberClass) -> NumberClass:
    kind = phonenumbers.number_type(reading.parsed)
    if kind == PhoneNumberType.UAN and region in _AS_LANDLINES:
        return NumberClass.ORDINARY
    return _BY_TYPE.get(kind, otherwise)


def _classify_nanp(reading: Reading) -> NumberFacts:
    """Twenty-five countries share +1, some of them dear, so the area code decides also where the rest is unassigned.

    Area codes that nobody has (555) count as the United States and ordinary: no call to them costs anything.
    """
    area = reading.national[:3]
    known = reading if phonenumbers.is_valid_number(reading.parsed) else Reading(NANP, area + _PLAUSIBLE)
    region = phonenumbers.region_code_for_number(known.parsed) or "US"
    kind = _class_of(known, region, NumberClass.ORDINARY)
    if reading.national[3:6] == _INFORMATION or reading.national[3:] == _ENQUIRIES:  # an area code alone names neither
        return NumberFacts(region, NumberClass.PREMIUM, f"+1 {area}")
    if area in _OF_CARRIERS:
        return NumberFacts(region, NumberClass.UNKNOWN, f"+1 {area}")
    return NumberFacts(region, kind, "+1" if region == "US" else f"+1 {area}")
