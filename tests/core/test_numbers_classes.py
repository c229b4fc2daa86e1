"""Region and class of numbers, with care where countries share a code and money is at stake."""

from __future__ import annotations

import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.model import FaxNumber, NumberClass
from gateway.numbers import COUNTRIES, NumberFacts, classify, parse_number


@pytest.mark.parametrize(
    ("number", "region", "number_class", "place"),
    [
        ("+12025550123", "US", "ordinary", "the United States (+1)"),
        ("+15551234567", "US", "ordinary", "the United States (+1)"),
        ("+12345678901", "US", "ordinary", "the United States (+1)"),
        ("+12001234567", "US", "ordinary", "the United States (+1)"),  # nobody's area code
        ("+10001234567", "US", "ordinary", "the United States (+1)"),
        ("+14165550123", "CA", "ordinary", "Canada (+1 416)"),
        ("+14160001234", "CA", "ordinary", "Canada (+1 416)"),  # the subscriber part is not assigned
        ("+18765551234", "JM", "ordinary", "Jamaica (+1 876)"),
        ("+18760001234", "JM", "ordinary", "Jamaica (+1 876)"),
        ("+16585551234", "JM", "ordinary", "Jamaica (+1 658)"),
        ("+12685551234", "AG", "ordinary", "Antigua and Barbuda (+1 268)"),
        ("+12680000000", "AG", "ordinary", "Antigua and Barbuda (+1 268)"),
        ("+12645551234", "AI", "ordinary", "Anguilla (+1 264)"),
        ("+14735551234", "GD", "ordinary", "Grenada (+1 473)"),
        ("+18095551234", "DO", "ordinary", "the Dominican Republic (+1 809)"),
        ("+18005551234", "US", "toll-free", "the United States (+1)"),
        ("+18001234567", "US", "toll-free", "the United States (+1)"),  # 800 1... is no Dominican number
        ("+18885551234", "US", "toll-free", "the United States (+1)"),
        ("+19005551234", "US", "premium", "the United States (+1)"),
        ("+19000001234", "US", "premium", "the United States (+1)"),
        ("+12129761234", "US", "premium", "the United States (+1 212)"),
        ("+12025551212", "US", "premium", "the United States (+1 202)"),  # directory enquiries
        ("+16045551212", "CA", "premium", "Canada (+1 604)"),
        ("+16005551234", "CA", "unknown", "Canada (+1 600)"),  # satellites among others
        ("+17005551234", "US", "unknown", "the United States (+1 700)"),
        ("+17102345678", "US", "unknown", "the United States (+1 710)"),
        ("+14562345678", "US", "unknown", "the United States (+1 456)"),
        ("+15005551234", "US", "shared-cost", "the United States (+1)"),
        ("+49301234567", "DE", "ordinary", "Germany (+49)"),
        ("+491711234567", "DE", "ordinary", "Germany (+49)"),
        ("+498001234567", "DE", "toll-free", "Germany (+49)"),
        ("+499001234567", "DE", "premium", "Germany (+49)"),
        ("+4990012", "DE", "unknown", "Germany (+49)"),
        ("+491801234567", "DE", "shared-cost", "Germany (+49)"),
        ("+442079460018", "GB", "ordinary", "the United Kingdom (+44)"),
        ("+443001234567", "GB", "ordinary", "the United Kingdom (+44)"),
        ("+41581234567", "CH", "ordinary", "Switzerland (+41)"),  # of a company, at the price of a landline
        ("+46102345678", "SE", "ordinary", "Sweden (+46)"),
        ("+12462921234", "BB", "ordinary", "Barbados (+1 246)"),
        ("+81570123456", "JP", "shared-cost", "Japan (+81)"),  # of a company, dearer
        ("+351707123456", "PT", "shared-cost", "Portugal (+351)"),
        ("+3278102345", "BE", "shared-cost", "Belgium (+32)"),
        ("+31841234567", "NL", "shared-cost", "the Netherlands (+31)"),
        ("+31881234567", "NL", "ordinary", "the Netherlands (+31)"),
        ("+4781501234", "NO", "shared-cost", "Norway (+47)"),
        ("+4702345", "NO", "ordinary", "Norway (+47)"),
        ("+358100100", "FI", "shared-cost", "Finland (+358)"),  # directory enquiries
        ("+358202021234", "FI", "shared-cost", "Finland (+358)"),
        ("+358101234567", "FI", "ordinary", "Finland (+358)"),
        ("+3640123456", "HU", "shared-cost", "Hungary (+36)"),
        ("+3680123456", "HU", "toll-free", "Hungary (+36)"),
        ("+40805123456", "RO", "shared-cost", "Romania (+40)"),
        ("+40371234567", "RO", "ordinary", "Romania (+40)"),
        ("+420970123456", "CZ", "shared-cost", "the Czech Republic (+420)"),
        ("+56600123456", "CL", "shared-cost", "Chile (+56)"),
        ("+5931700123456", "EC", "shared-cost", "Ecuador (+593)"),
        ("+601300881234", "MY", "shared-cost", "Malaysia (+60)"),
        ("+212801001234", "MA", "shared-cost", "Morocco (+212)"),
        ("+212800001234", "MA", "toll-free", "Morocco (+212)"),
        ("+61147123456", "AU", "satellite", "Australia (+61)"),
        ("+61480012345", "AU", "satellite", "Australia (+61)"),
        ("+61480112345", "AU", "ordinary", "Australia (+61)"),
        ("+84672123456", "VN", "satellite", "Vietnam (+84)"),
        ("+8617401234567", "CN", "satellite", "China (+86)"),
        ("+62868123456", "ID", "satellite", "Indonesia (+62)"),
        ("+79541234567", "RU", "satellite", "Russia (+7)"),
        ("+78401234567", "RU", "shared-cost", "Russia (+7)"),  # Abkhazia
        ("+447012345678", "GB", "shared-cost", "the United Kingdom (+44)"),
        ("+448712345678", "GB", "premium", "the United Kingdom (+44)"),
        ("+441534123456", "JE", "ordinary", "Jersey (+44)"),
        ("+441632960123", "GB", "unknown", "the United Kingdom (+44)"),
        ("+33891234567", "FR", "premium", "France (+33)"),
        ("+34807123456", "ES", "premium", "Spain (+34)"),
        ("+390612345678", "IT", "ordinary", "Italy (+39)"),
        ("+77011234567", "KZ", "ordinary", "Kazakhstan (+7)"),
        ("+74951234567", "RU", "ordinary", "Russia (+7)"),
        ("+80012345678", None, "toll-free", "+800"),
        ("+80812345678", None, "shared-cost", "+808"),
        ("+870773111632", None, "satellite", "+870"),
        ("+878101234567890", None, "unknown", "+878"),
        ("+881612345678", None, "satellite", "+881"),
        ("+8816123456789", None, "satellite", "+881"),
        ("+88216123456", None, "satellite", "+882"),
        ("+883510012345", None, "satellite", "+883"),
        ("+883999999", None, "satellite", "+883"),
        ("+888123456789", None, "unknown", "+888"),
        ("+979123456789", None, "premium", "+979"),
        ("+9799999999", None, "premium", "+979"),
        ("+99999990001", None, "test", "+999"),
        ("+9991234", None, "test", "+999"),
        ("+2101234567", None, "unknown", "+210"),
    ],
)
def test_classify(number: str, region: str | None, number_class: str, place: str) -> None:
    facts = classify(FaxNumber(number))
    assert (facts.region, facts.number_class, facts.place) == (region, number_class, place)


def test_every_region_of_the_nanp_is_told_by_its_area_code_alone() -> None:
    """No Caribbean number passes as American because its subscriber part is unusual."""
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[1]:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region(region)
        assert metadata is not None
        assert metadata.fixed_line is not None
        if region in ("US", "CA"):
            continue
        sample = metadata.fixed_line.example_number
        assert sample is not None
        assert classify(FaxNumber(f"+1{sample}")).region == region
        assert classify(FaxNumber(f"+1{sample[:3]}0000000")).region == region
        assert classify(FaxNumber(f"+1{sample[:3]}5551234")).region == region


def test_every_region_has_a_name_in_ascii() -> None:
    assert set(COUNTRIES) == set(phonenumbers.SUPPORTED_REGIONS)
    assert all(name.isascii() and name.isprintable() and name == name.strip() for name in COUNTRIES.values())


def test_fixed_lines_that_the_library_shows_are_ordinary() -> None:
    dear = set()
    for region in sorted(COUNTRIES):
        sample = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.FIXED_LINE)
        assert sample is not None
        number = FaxNumber(phonenumbers.format_number(sample, phonenumbers.PhoneNumberFormat.E164))
        if classify(number).number_class is not NumberClass.ORDINARY:
            dear.add(number.e164)
    assert dear == {"+56600123456"}  # no line at all, but a service for which both pay


def test_premium_lines_that_the_library_shows_are_premium() -> None:
    for region in sorted(COUNTRIES):
        sample = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.PREMIUM_RATE)
        if sample is None:
            continue
        number = FaxNumber(phonenumbers.format_number(sample, phonenumbers.PhoneNumberFormat.E164))
        assert classify(number).number_class is NumberClass.PREMIUM, number


@pytest.mark.parametrize(
    "kind", [phonenumbers.PhoneNumberType.SHARED_COST, phonenumbers.PhoneNumberType.PERSONAL_NUMBER]
)
def test_shared_cost_lines_that_the_library_shows_are_shared_cost(kind: int) -> None:
    shown = 0
    for region in sorted(COUNTRIES):
        sample = phonenumbers.example_number_for_type(region, kind)
        if sample is not None:
            number = FaxNumber(phonenumbers.format_number(sample, phonenumbers.PhoneNumberFormat.E164))
            assert classify(number).number_class is NumberClass.SHARED_COST, number
            shown += 1
    assert shown > 50


def test_no_emergency_or_short_number_of_any_country_is_dialled_as_an_ordinary_one() -> None:
    """As people write it at home, and behind the country code: refused, or of a class that is not allowed."""
    tried = 0
    for region in sorted(COUNTRIES):
        metadata = phonenumbers.PhoneMetadata.short_metadata_for_region(region)
        if metadata is None:
            continue
        kinds = (
            "emergency",
            "short_code",
            "premium_rate",
            "standard_rate",
            "toll_free",
            "carrier_specific",
            "sms_services",
        )
        described = [getattr(metadata, kind) for kind in kinds]
        shorts = {each.example_number for each in described if each is not None and each.example_number}
        shorts |= {"110", "112", "911", "999", "000"}
        for written in (*shorts, *(f"+{phonenumbers.country_code_for_region(region)}{short}" for short in shorts)):
            tried += 1
            try:
                number = parse_number(written, region=region)
            except Refused:
                continue
            assert classify(number).number_class not in (NumberClass.ORDINARY, NumberClass.TOLL_FREE), (region, written)
    assert tried > 3000


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_any_number_has_facts(number: str) -> None:
    facts = classify(FaxNumber(number))
    assert isinstance(facts, NumberFacts)
    assert facts.region is None or facts.region in COUNTRIES
    assert number.startswith(facts.prefix.replace(" ", ""))


LACKING = """
import builtins
from gateway.numbers import parse_number

def without_descriptors(name, *rest, read=builtins.__import__, **more):
    if name.startswith("region_"):
        raise OSError(24, "Too many open files")
    return read(name, *rest, **more)

read, builtins.__import__ = builtins.__import__, without_descriptors
for _ in range(2):
    try:
        parse_number("+493012345678", region="DE")
    except OSError as error:
        print(error.strerror)
builtins.__import__ = read
print(parse_number("+493012345678", region="DE"))
"""


def test_a_plan_that_cannot_be_read_now_is_read_the_next_time() -> None:
    said = subprocess.run(
        [sys.executable, "-c", LACKING], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert said.splitlines() == ["Too many open files", "Too many open files", "+493012345678"]
