"""Fax addresses: each accepted form to its exact number, everything else refused in words."""

from __future__ import annotations

import re

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from gateway.errors import Refused
from gateway.model import FaxNumber
from gateway.numbers import COUNTRIES, check_region, format_human, meaning, parse_number, read_address

ODD = ("AR", "KI", "PM")  # mobile numbers that change abroad, numbers as short as extensions
DOMAINS = ("fax.local", "fax.example.org")


def read(address: str, region: str = "US") -> str:
    return read_address(address, domains=DOMAINS).number(region).e164


def refusal(address: str, region: str = "US") -> Refused:
    with pytest.raises(Refused) as caught:
        read_address(address, domains=DOMAINS).number(region)
    assert caught.value.public.isascii()
    assert "\n" not in caught.value.public
    return caught.value


# --- refusals that keep a page from a stranger ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "1 (555) 123-4567@fax.local",  # a comment: the area code would vanish
        "1(555)1234567@fax.local",
        "(555)1234567@fax.local",
        "+15551234567(home)@fax.local",
        "+15551234567@(x)fax.local",
        "FAX=9p040p22.63.38@fax.local",  # pauses
        "fax=#001@fax.local",  # address book keys of a copier
        "fax=#**05@fax.local",
        "5035550123^COMPANY=FaxBack^NOCOVER@fax.local",
        "Name.Company.5035550123@fax.local",
        "IMCEAFAX-+12065551234@fax.local",  # +12 is an octet, no country
        "IMCEAFAX-+2B1206555123w@fax.local",
        "IMCEAFAX-John@fax.local",
        "IMCEAFAX-Joe+4012345678901@fax.local",  # what stands behind the name is not canonical
        "IMCEAFAX-+E9+2B12065551234@fax.local",
        "IMCEAFAX-1.2@fax.local",
        "IMCEAEX-_O=ACME_CN=JOE@fax.local",
        "IMCEAFAX-@fax.local",
        "+1555+1234567@fax.local",
        "++15551234567@fax.local",
        "+-15551234567@fax.local",
        "15551234567+@fax.local",
        "+1555 1234567@fax.local",
        " +15551234567@fax.local",
        "+15551234567 @fax.local",
        "-15551234567@fax.local",
        "15551234567-@fax.local",
        "+1555%1234567@fax.local",
        "+15551234567%evil.com@fax.local",
        "evil.com!15551234567@fax.local",
        "+1@evil@fax.local",
        "+1555123456７@fax.local",
        "+١٥٥٥١٢٣٤٥٦٧@fax.local",
        "+1555123456²@fax.local",
        "+1555１234567@fax.local",
        "+15551234567\x00@fax.local",
        "+15551234567\r\nRCPT TO:<x>@fax.local",
        "+15551234567\n@fax.local",
        '"+15551234567\n"@fax.local',
        '"+1 ((202)) 5550123"@fax.local',
        '"+1 (202 5550123"@fax.local',
        '"+1 202) 5550123"@fax.local',
        '"+1 () 2025550123"@fax.local',
        '"+1 (202) (555) 0123"@fax.local',
        '"FAX=+1 202 555 0123"@fax.local',  # the grammar of FAX= has no blanks
        '"+12025550123"x@fax.local',
        '"+12025550123@fax.local',
        '""@fax.local',
        '"+420 (0) 2 1234"@fax.local',
        '"+1 (0) 202 555 0123"@fax.local',
        "@a.example,@b.example:+15551234567@fax.local",
        "@fax.local",
        "john@fax.local",
        "fax@fax.local",
        "FAX=@fax.local",
        "FAX=/ATTN=Joe@fax.local",
        "//FAX=+15551234567@fax.local",
        "FAX=+15551234567//ATTN=Joe@fax.local",
        "FAX=+15551234567/ATTN@fax.local",
        "FAX=+15551234567/=x@fax.local",
        "VOICE=+15551234567@fax.local",
        "+15551234567/ATTN@fax.local",
        "",
        "x" * 600 + "@fax.local",
    ],
)
def test_refused_as_no_number(address: str) -> None:
    refused = refusal(address)
    assert refused.status == "5.1.3"
    assert "+15551234567@fax.local" in refused.public


@pytest.mark.parametrize("qualifier", ["T33S=8745", "t33s=", "ISUB=1234", "POSTD=98765"])
def test_what_changes_the_call_is_refused_not_dropped(qualifier: str) -> None:
    refused = refusal(f"FAX=+12024557622/ATTN=Joe/{qualifier}@fax.local")
    assert refused.status == "5.3.3"
    assert "+12024557622" in refused.public
    assert f"/{qualifier.partition('=')[0].upper()}=" in refused.public
    assert "98765" not in refused.public, "a POSTD may be a PIN"
    assert refusal(f"+12024557622/{qualifier}@fax.local").status == "5.3.3", "without FAX= too"


@pytest.mark.parametrize(
    ("local", "number", "options"),
    [
        ("+12025550123", "+12025550123", {}),
        ("+12025550123/", "+12025550123", {}),
        ("+12025550123/cover=none/ref=4711", "+12025550123", {"cover": "none", "ref": "4711"}),
        ("2025550123/REF=A=B", "+12025550123", {"ref": "A=B"}),
        ("FAX=+12025550123/ATTN=Joe/OFNO=12/ZIP=20001/", "+12025550123", {"attn": "Joe"}),  # no postal address
        ('"+1 (202) 555-0123/attn=Joe Doe"', "+12025550123", {"attn": "Joe Doe"}),
        ("IMCEAFAX-+2B12025550123_ref=4711", "+12025550123", {"ref": "4711"}),
    ],
)
def test_options_stand_behind_the_number(local: str, number: str, options: dict[str, str]) -> None:
    address = read_address(f"{local}@fax.local", domains=DOMAINS)
    assert address.number("US").e164 == number
    assert dict(address.options) == options


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("+15551234567@example.org", "example.org"),
        ("+15551234567@sub.fax.local", "sub.fax.local"),
        ("+15551234567@fax.local.evil.com", "fax.local.evil.com"),
        ("+15551234567@", "nothing"),
        ("+15551234567@[127.0.0.1]", "[127.0.0.1]"),
        ("+15551234567@fax.loc\u0430l", "fax.loc?l"),
        ('"+15551234567"@evil.com', "evil.com"),
        ('"+1@fax.local"@evil.com', "evil.com"),
    ],
)
def test_other_domains_are_relaying(address: str, domain: str) -> None:
    refused = refusal(address)
    assert refused.status == "5.7.1"
    assert refused.public == (
        f"relaying denied: {domain} is not one of this gateway's domains; write it like +15551234567@fax.local"
    )


@pytest.mark.parametrize("domain", ["fax.local", "FAX.Local", "fax.local.", "fax.EXAMPLE.org"])
def test_our_domains_in_any_case(domain: str) -> None:
    assert read(f"+15551234567@{domain}") == "+15551234567"


def test_a_domain_literal_that_is_ours() -> None:
    number = read_address("+15551234567@[192.0.2.1]", domains=["[192.0.2.1]"]).number("US")
    assert number == FaxNumber("+15551234567")


# --- numbers without a plus -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "digits", "first", "second"),
    [
        ("US", "4930123456", "+1 493 012 3456", "+49 30 123456"),
        ("DE", "15551234567", "+49 15551 234567", "+1 555 123 4567"),
        ("DE", "12025550123", "+49 12025550123", "+1 202 555 0123"),
        ("DE", "4930123456", "+49 4930 123456", "+49 30 123456"),
        ("FI", "999012345", "+358 9 99012345", "+999 0123 45"),
        ("FR", "0596300000", "+33 5 96 30 00 00 (France)", "+596 596 30 00 00 (Martinique)"),
        ("FR", "596300000", "+33 5 96 30 00 00 (France)", "+596 596 30 00 00 (Martinique)"),
        ("FR", "0508412345", "+33 5 08 41 23 45 (France)", "+508 41 23 45"),
        ("RE", "0142345678", "+262 142345678", "+33 1 42 34 56 78 (France)"),
        ("IE", "04890241234", "+353 48 9024 1234 (Ireland)", "+44 28 9024 1234 (the United Kingdom)"),
        ("MY", "0265551234", "+60 265551234", "+65 6555 1234 (Singapore)"),
    ],
)
def test_two_readings_are_refused_and_named(region: str, digits: str, first: str, second: str) -> None:
    public = refusal(f"{digits}@fax.local", region).public
    assert first in public
    assert second in public


@pytest.mark.parametrize(
    ("region", "digits", "number"),
    [
        ("MQ", "0596300000", "+596596300000"),
        ("YT", "0269610000", "+262269610000"),
        ("RE", "0262300000", "+262262300000"),
    ],
)
def test_who_dials_at_home_overseas_means_home(region: str, digits: str, number: str) -> None:
    assert read(f"{digits}@fax.local", region) == number


def test_a_service_that_is_dialled_everywhere_is_one_number() -> None:
    assert read("0800123456@fax.local", "FR") == "+33800123456"


def test_international_prefixes_that_do_not_begin_with_00() -> None:
    assert read("990442079460018@fax.local", "FI") == "+442079460018"  # by one carrier of Finland
    assert read("810442079460018@fax.local", "RU") == "+442079460018"


def test_a_zero_in_front_makes_no_country_code() -> None:
    assert "it is not understood" in refusal("012025550123@fax.local").public  # 01 is not 1


@pytest.mark.parametrize("digits", ["911", "112"])
def test_emergency_numbers_have_their_own_sentence(digits: str) -> None:
    assert refusal(f"{digits}@fax.local").public == (
        f"{digits} is an emergency number and never faxed; call it by telephone"
    )


@pytest.mark.parametrize(("region", "digits"), [("DE", "110"), ("GB", "999"), ("AU", "000"), ("JP", "119")])
def test_emergency_numbers_of_other_countries(region: str, digits: str) -> None:
    assert "emergency" in refusal(f"{digits}@fax.local", region).public


@pytest.mark.parametrize("digits", ["0", "411", "4711", "116117"])
def test_short_numbers_have_their_own_sentence(digits: str) -> None:
    assert f"{digits} is a short number or an extension" in refusal(f"{digits}@fax.local").public


@pytest.mark.parametrize(
    ("region", "local", "words"),
    [
        ("US", "5550123", "lacks an area code of the United States"),
        ("US", "2900123", "lacks an area code of the United States"),  # not Saint Helena
        ("GB", "79460018", "lacks an area code of the United Kingdom"),
        ("US", "202555012", "as dialled in the United States it is not understood"),
        ("US", "0049301234567", "as dialled in the United States it is not understood"),
        ("US", "1202555012", "as dialled in the United States it is not understood"),
        ("US", "0114930", "Germany has no such area code"),
        ("US", "011492", "short number"),
        ("US", "01144207946", "lacks an area code of the United Kingdom"),
        ("US", "0112101234567", "it is not understood"),
        ("BR", "0151131234567", "as dialled in Brazil it is not understood"),  # the code of a carrier
        ("US", "011999123", "+999 has no such"),
        ("US", "0110", "short number"),
        ("AU", "0011353", "too short for Ireland"),
        ("US", "+1202555012", "too short for the United States"),
        ("US", "+5550123", "too short for Brazil"),
        ("US", "+120255501234", "too long for the United States"),
        ("US", "+10255501234", "no such area code"),
        ("US", "+4479460018", "lacks an area code of the United Kingdom"),
        ("US", "+123456", "too short for a number with country code"),
        ("US", "+1234567890123456", "at most 15 digits"),
        ("US", "+0301234567", "none starts with 0"),
        ("US", "+2101234567", "no country has a code that begins +210"),
        ("US", "+4402079460018", "no 0 follows the country code +44; +442079460018 may be meant"),
        ("US", "+490301234567", "+49301234567 may be meant"),
        ("US", "+112025550123", "+12025550123 may be meant"),
        ("US", "+784951234567", "+74951234567 may be meant"),
        ("DE", "4711234", "may lack the area code, which begins with 0 in Germany"),
        ("XX", "5551234567", "where the region is 'XX'"),
        ("US", "+1 555 123 4567", "spaces are accepted only in quotes"),
        ("US", "+15551234567x", "cannot contain 'x'"),
        ("US", "+15551234567x89", "an extension cannot be dialled"),
        ("US", "2025550123.ext.89", "an extension cannot be dialled"),
        ("US", "9p040p22.63.38", "pauses cannot be dialled"),
        ("US", "2025550123,,89", "pauses cannot be dialled"),
        ("US", "#**05", "the keys * and # cannot be dialled"),
        ("US", "printer", "cannot contain 'p'"),
    ],
)
def test_why_not(region: str, local: str, words: str) -> None:
    refused = refusal(f"{local}@fax.local", region)
    assert words in refused.public
    assert local in refused.public
    assert refused.status == "5.1.3"


def test_a_number_with_plus_needs_no_region() -> None:
    assert read("+15551234567@fax.local", "XX") == "+15551234567"


def test_what_was_given_is_shown_in_one_short_line() -> None:
    public = refusal("\u4f60" * 100 + "\r\n@fax.local").public
    assert "?" * 60 + "..." in public


@pytest.mark.parametrize("region", sorted(COUNTRIES))
def test_each_country_as_its_people_dial(region: str) -> None:
    """Examples of the library in the forms in which they are dialled at home and from abroad: the number or a refusal,
    never another number.
    """
    for kind in (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE):
        sample = phonenumbers.example_number_for_type(region, kind)
        if sample is None:
            continue
        e164 = phonenumbers.format_number(sample, PhoneNumberFormat.E164)
        from_us = phonenumbers.format_out_of_country_calling_number(sample, "US")
        at_home = phonenumbers.format_number(sample, PhoneNumberFormat.NATIONAL)
        assert read(f"{e164}@fax.local", region) == e164
        for dialled, where in (
            (from_us, "US"),
            (f"00{e164[1:]}", "DE"),
            (f"0011{e164[1:]}", "AU"),
            (at_home, region),
            (phonenumbers.national_significant_number(sample), region),
        ):
            digits = re.sub("[^0-9]", "", dialled)
            result = outcome(f"{digits}@fax.local", where)
            if isinstance(result, Refused):
                assert where == region, "with an international prefix or a plus nothing is unclear"
                assert "it may lack the area code" in result.public or "it can mean" in result.public or region in ODD
            else:
                assert result.e164 == e164


# --- what people write ------------------------------------------------------------------------------------------------


def test_a_number_by_itself() -> None:
    assert parse_number(" +1 (202) 555-0123 ", region="DE").e164 == "+12025550123"
    assert parse_number("030 1234567", region="DE").e164 == "+49301234567"
    with pytest.raises(Refused, match="sales cannot be faxed to: a number cannot contain 's'; write it like"):
        parse_number("sales", region="US")


def test_a_local_part_alone() -> None:
    assert read("+15551234567") == "+15551234567"
    assert read("5551234567") == "+15551234567"


@pytest.mark.parametrize(
    ("number", "human"),
    [
        ("+12025550123", "+1 202 555 0123"),
        ("+15551234567", "+1 555 123 4567"),
        ("+49301234567", "+49 30 1234567"),
        ("+33123456789", "+33 1 23 45 67 89"),
        ("+390612345678", "+39 06 1234 5678"),
        ("+99999990001", "+999 9999 0001"),
        ("+9991234", "+999 1234"),
        ("+5491112345678", "+54 9 11 1234 5678"),
        ("+2101234567", "+2101234567"),
    ],
)
def test_format_human(number: str, human: str) -> None:
    assert format_human(FaxNumber(number)) == human


@pytest.mark.parametrize(
    ("digits", "region", "what"),
    [("911", "US", "an emergency number"), ("201234", "FO", "a number"), ("201234", "US", ""), ("4711", "DE", "")],
)
def test_what_short_digits_are_in_a_region(digits: str, region: str, what: str) -> None:
    assert meaning(digits, region) == what


def test_check_region() -> None:
    check_region("US")
    for wrong in ("us", "UK", "", "XX"):
        with pytest.raises(Refused, match="not a country code"):
            check_region(wrong)


# --- properties -------------------------------------------------------------------------------------------------------

REGIONS = st.sampled_from(sorted(COUNTRIES))
SEPARATED = st.text("0123456789-.", min_size=1, max_size=24)
LOCAL = st.one_of(
    SEPARATED,
    SEPARATED.map("+{}".format),
    SEPARATED.map("FAX=+{}".format),
    st.text("0123456789 ()-.+", max_size=24).map('"{}"'.format),
    st.text("+2B01HFAX-_=", max_size=24).map("IMCEAFAX-{}".format),
    st.text(max_size=40),
    st.from_regex(r'"?/?(FAX=)?\+?[0-9().\- ]{5,18}(/[A-Z0-9]{2,5}=[a-z]{0,5})?/?"?', fullmatch=True),
)


def outcome(address: str, region: str) -> FaxNumber | Refused:
    """The number, or a refusal that is fit for an SMTP reply. Anything else is a crash."""
    try:
        return read_address(address, domains=DOMAINS).number(region)
    except Refused as refused:
        return refused


def fit_for_a_reply(refused: Refused) -> bool:
    public = refused.public
    return (
        public.isascii()
        and public.isprintable()
        and len(public) < 400
        and refused.status in {"5.1.3", "5.3.3", "5.7.1"}
    )


def _is_within(short: str, long: str) -> bool:
    rest = iter(long)
    return all(digit in rest for digit in short)


@pytest.mark.slow
@given(LOCAL, REGIONS)
@example("+4402079460018", "GB")
@example("011 15 1234-5678", "AR")
@example("05511", "BR")
def test_a_number_has_only_digits_that_were_given_in_their_order(local: str, region: str) -> None:
    number = outcome(f"{local}@fax.local", region)
    if isinstance(number, Refused):
        assert fit_for_a_reply(number)
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number.e164)
    given_digits = "".join(re.findall("[0-9]", local))
    if "IMCEA" in local.upper():
        given_digits = re.sub(r"\+(..)", lambda octet: chr(int(octet[1], 16)), local[9:])
    # the country code may come from the region, all the rest was given
    assert any(_is_within(number.digits[length:], given_digits) for length in range(4))


@given(st.text(max_size=80), REGIONS)
def test_any_text_is_a_number_or_refused(address: str, region: str) -> None:
    result = outcome(address, region)
    assert isinstance(result, FaxNumber) or fit_for_a_reply(result)


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_human_form_keeps_every_digit(text: str) -> None:
    assert format_human(FaxNumber(text)).replace(" ", "") == text


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True), REGIONS)
def test_with_plus_the_number_is_what_was_given(text: str, region: str) -> None:
    result = outcome(f"{text}@fax.local", region)
    assert result == FaxNumber(text) or (isinstance(result, Refused) and result.status == "5.1.3")
