"""The tolerant readers: what they accept, what they refuse, and that nothing makes them fail otherwise."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from datetime import UTC
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Verdict
from gateway.provider import wording
from gateway.provider.reading import (
    Unreadable,
    as_int,
    as_money,
    as_object,
    as_price,
    as_sizes,
    as_time,
    clean,
    digits,
    first,
    message,
    read_json,
)

# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "sizes"),
    [
        (3950, (3949, 3951)), ("3950", (3949, 3951)), ("3950 bytes", (3949, 3951)), ("1 KB", (500, 1536)),
        ("1.5MiB", (1_450_000, 1_625_293)), ("0.00 kb", (-5, 6)), (None, None), ("", None), ("big", None),
        ("1,5 KB", None), ("-3", None), (True, None), ([], None), ("9" * 16, None), ("1.2.3", None),
    ],
)  # fmt: skip
def test_a_size_for_people_is_a_span_of_bytes(value: Any, sizes: tuple[int, int] | None) -> None:
    assert as_sizes(value) == sizes


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a":1}', {"a": 1}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b' [1,2 , ]\n', [1, 2]),
        (b'{"a":[1,],"b":{"c":"x,}",},}', {"a": [1], "b": {"c": "x,}"}}),
        (b'{"a":"\\",]",}', {"a": '",]'}),
        (b'{"a":0.10}', {"a": Decimal("0.10")}),
        (b'{"a":"gr\xfc\xdfe"}', {"a": "gr\ufffd\ufffde"}),
        (b'{"a":1,"a":1}', {"a": 1}),
        (b"[" * 40 + b"]" * 40, json.loads("[" * 40 + "]" * 40)),
    ],
)  # fmt: skip
def test_json_and_the_slips_of_the_documentation_are_read(body: bytes, value: Any) -> None:
    assert read_json(body) == value


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"<html>", b"{'a':1}", b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":1}{"a":1}', b'{"a":1,"a":2}',
        b'{"a":1 "b":2}', b",", b'{,"a":1}', b"[" * 41 + b"]" * 41, b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":1e99999999999999999999}',
        b'{"url":"http:\\\\a\\b"}'.replace(b"\\\\", b"\\"), '{"a":1}'.encode("utf-16"),
    ],
)  # fmt: skip
def test_everything_else_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_json(body)


@given(st.binary(max_size=300) | st.text(alphabet='{}[]",:\\ \n0e-.naNtrue', max_size=200).map(str.encode))
def test_no_bytes_make_the_reader_fail_in_another_way(body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        read_json(body)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(JSON_VALUES)
def test_whatever_is_json_is_read_as_it_is(value: Any) -> None:
    text = json.dumps(value)
    assert read_json(text.encode()) == json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize(
    "body", [b'{"a":"' + b"x" * (4 << 20), b'{"a":' + b"," * (4 << 20), b"[" * (4 << 20), b'{"' + b"\\x" * (2 << 20)]
)
def test_a_large_body_that_is_none_costs_little(body: bytes) -> None:
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(Unreadable):
            read_json(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20
    assert time.monotonic() - began < 20


def test_an_object_is_an_object() -> None:
    assert as_object({"a": 1}) == {"a": 1}
    for other in ([], None, "x", 1):
        with pytest.raises(Unreadable):
            as_object(other)


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1), ("1", 1), (" 12 ", 12), ("007", 7), (5.0, 5), (Decimal("5.0"), 5), (Decimal("5E+2"), 500),
        (2**53 - 1, 2**53 - 1), (2**53, None), (0, None), (-1, None), ("0", None), ("-1", None), ("+1", None),
        (1.5, None), (Decimal("1.5"), None), (True, None), (False, None), (None, None), ("", None), ("1.0", None),
        ("1e3", None), ("٣", None), ("1" * 19, None), ("9" * 5000, None), (float("inf"), None), (float("nan"), None),
        (Decimal("1E+999999"), None), (Decimal("-1E+999999"), None), (Decimal("1E-999999"), None), ([1], None),
        ({"a": 1}, None), (b"1", None), (10**400, None),
    ],
)  # fmt: skip
def test_an_id_is_a_positive_whole_number(value: Any, number: int | None) -> None:
    assert as_int(value) == number


@pytest.mark.parametrize(
    ("value", "money"),
    [
        (100, "100"), (100.2, "100.2"), (Decimal("0.10"), "0.10"), ("0.15", "0.15"), (" 1,234.50 ", "1234.50"),
        ("1,234,567", "1234567"), ("-5", "-5"), (0, "0"), ("0,15", None), ("1,23", None), ("12,34.5", None),
        ("1.2.3", None), ("1e3", None), ("1_000", None), ("٣", None), ("NaN", None), ("Infinity", None), ("", None),
        ("$5", None), (None, None), (True, None), ([], None), (10**12, None), (Decimal("-1E+999999999"), None),
        (float("inf"), None), ("9" * 41, None), ("9" * 40, None), (Decimal("NaN"), None),
    ],
)  # fmt: skip
def test_money_is_a_plain_amount(value: Any, money: str | None) -> None:
    assert as_money(value) == (None if money is None else Decimal(money))


def test_a_price_is_no_gift() -> None:
    assert [as_price(value) for value in ("0.10", 0, -1, "no")] == [Decimal("0.10"), Decimal(0), None, None]


MARCH = 1489073728.0


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2017-03-09 15:35:28", MARCH),
        ("2017-03-09 15:35:28.123456", MARCH),
        ("2017-03-09T15:35:28Z", MARCH),
        ("2017-03-09T16:35:28+01:00", MARCH),
        (" 2017-03-09 ", 1489017600.0),
        ({"date": "2017-03-09 15:35:28.000000", "timezone_type": 3, "timezone": "UTC"}, MARCH),
        ({"date": "2017-03-09 15:35:28", "timezone": "gmt"}, MARCH),
        ({"date": "2017-03-09 15:35:28", "timezone": "Z"}, MARCH),
        ({"date": "2017-03-09 17:35:28", "timezone": "+0200"}, MARCH),
        ({"date": "2017-03-09 12:05:28", "timezone": "-03:30"}, MARCH),
        ({"date": "2017-03-09 10:35:28", "timezone": "EST"}, MARCH),
        ({"date": "2017-03-09 16:35:28", "timezone": "Europe/Berlin"}, MARCH),
        # of a zone nobody knows
        ({"date": "2017-03-09 15:35:28", "timezone": "CEST-7"}, MARCH),
        ({"date": "2017-03-09 15:35:28", "timezone": "+25:00"}, MARCH),
        ({"date": "2017-03-09 15:35:28", "timezone": "+01:99"}, MARCH),
        ({"date": "2017-03-09 15:35:28", "timezone": "/etc/passwd"}, MARCH),
        ({"date": "2017-03-09 15:35:28", "timezone": "Europe"}, MARCH),
        ({"date": "2017-03-09 15:35:28", "timezone": "a\0b"}, MARCH),
        ({"date": "2017-03-09 15:35:28", "timezone": ""}, MARCH),
        ({"date": None}, None),
        ({}, None),
        ("0000-00-00 00:00:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (1489073728, None),
        ([], None),
    ],
)
def test_a_time_in_every_form(value: Any, moment: float | None) -> None:
    assert as_time(value) == moment


def test_a_time_without_a_zone_is_in_the_configured_one() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")
    assert as_time("2017-03-10 00:35:28", tokyo) == MARCH
    assert as_time({"date": "2017-03-10 00:35:28"}, tokyo) == MARCH
    assert as_time({"date": "2017-03-09 15:35:28", "timezone": "UTC"}, tokyo) == MARCH
    assert as_time("2017-03-09 15:35:28", UTC) == MARCH


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_text_makes_a_time_fail(date: str, zone: str) -> None:
    assert isinstance(as_time({"date": date, "timezone": zone}), float | None)
    assert isinstance(as_time({"date": "2017-03-09 15:35:28", "timezone": zone}), float)


def test_the_first_key_that_is_there_counts() -> None:
    assert first({"a": None, "b": 0, "c": 1}, "a", "b", "c") == 0
    assert first({}, "a") is None
    assert digits("+1 (202) 555-0123 ٣") == "12025550123"
    assert digits(441224459292) == "441224459292"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"message": "no"}, "no"),
        ({"message": "", "error": "no"}, "no"),
        ({"errors": ["a", "", "b"]}, "a; b"),
        ({"errors": {"fax_number": ["bad"], "x": "worse"}}, "bad; worse"),
        ({"msg": "no"}, "no"),
        ({"message": 5, "error": None}, ""),
        ({"errors": [[[[["deep"]]]]]}, ""),
        ({"message": "a\r\nb\0c"}, "a b c"),
        ([], ""),
        ("no", ""),
        (None, ""),
    ],
)
def test_the_words_of_an_answer_are_found(answer: Any, words: str) -> None:
    assert message(answer) == words


@pytest.mark.parametrize(
    "text",
    [
        "https://fax.to/x?api_key=SECRET&y=1", "API_KEY=SECRET", '{"api_key":"SECRET"}', "{'api_key': 'SECRET'}",
        '{\\"api_key\\":\\"SECRET\\"}', 'api_key="SECRET', "api_key: SECRET, more",
    ],
)  # fmt: skip
def test_a_key_is_cleaned_away_however_it_is_written(text: str) -> None:
    assert "SECRET" not in clean(text)


def test_a_text_for_people_is_one_short_line() -> None:
    assert clean("a\tb\x1b[31m\u202ec\n") == "a b [31m c"
    assert clean("x" * 400) == "x" * 299 + "…"
    assert clean("x" * 10, 5) == "xxxx…"


# --- wording ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verdict", "code"),
    [
        ("Sent! Fax Has Been Answered.", Verdict.SUCCESS, "ok"),
        ("Success! Your fax has been sent!", Verdict.SUCCESS, "ok"),
        ("DELIVERED", Verdict.SUCCESS, "ok"),
        ("Fax Failed - Unknown Error (we canâ€™t say)", Verdict.FAILED, "unknown"),
        ("Fax Failed - No Answer from Fax machine", Verdict.FAILED, "no_answer"),
        ("Fax Failed - Line Busy (The fax machine could be busy)", Verdict.FAILED, "busy"),
        ("Fax Failed - File conversion failed. Re-upload and Retry", Verdict.FAILED, "file_error"),
        ("Fax Failed - Early Hangup", Verdict.FAILED, "hangup"),
        ("failed: early hang up", Verdict.FAILED, "hangup"),
        ("Cancelled by user", Verdict.FAILED, "unknown"),
        ("Insufficient funds", Verdict.FAILED, "unknown"),
        # what sounds like success and is none
        ("Unsuccessful", Verdict.FAILED, "unknown"),
        ("Undelivered", Verdict.FAILED, "unknown"),
        ("Delivery failed, sent to nobody", Verdict.FAILED, "unknown"),
        ("Not delivered yet", Verdict.PROGRESS, ""),
        ("Your fax has not been sent", Verdict.PROGRESS, ""),
        ("It hasn't been completed", Verdict.PROGRESS, ""),
        ("Success! Your fax has been queued", Verdict.PROGRESS, ""),
        ("Fax successfully submitted", Verdict.PROGRESS, ""),
        ("Sent to the queue", Verdict.PROGRESS, ""),
        ("To be delivered", Verdict.PROGRESS, ""),
        ("Called 3 times without success", Verdict.PROGRESS, ""),
        ("Partially delivered", Verdict.PROGRESS, ""),
        ("Sent 1 of 2 pages", Verdict.PROGRESS, ""),
        ("Sent 1 of 12 pages", Verdict.PROGRESS, ""),
        ("Sent 2 of 2 pages", Verdict.SUCCESS, "ok"),
        ("Sent on 11/28, 3/3 pages", Verdict.SUCCESS, "ok"),
        ("Sent without errors", Verdict.SUCCESS, "ok"),
        # one call that failed is not the end of the fax
        ("Fax Failed - Line Busy. Retrying in 5 minutes", Verdict.PROGRESS, ""),
        ("Attempt 1 failed: busy; will be retried", Verdict.PROGRESS, ""),
        ("Fax Failed - Line Busy. Please try again", Verdict.FAILED, "busy"),
        ("", Verdict.PROGRESS, ""),
        ("Sending", Verdict.PROGRESS, ""),
        ("Dialling, will retry", Verdict.PROGRESS, ""),
        ("Was ist das?", Verdict.PROGRESS, ""),
    ],
)
def test_a_text_says_what_became_of_a_fax(text: str, verdict: Verdict, code: str) -> None:
    assert wording.classify(text) == (verdict, code)
    assert wording.classify(text.upper()) == (verdict, code)


def test_a_code_beats_the_text() -> None:
    assert wording.classify("Fax Failed", "OK ") == (Verdict.SUCCESS, "ok")
    assert wording.classify("Sent!", "busy") == (Verdict.FAILED, "busy")
    assert wording.classify("Sent!", "line_quality") == (Verdict.SUCCESS, "ok")


def test_a_text_not_seen_before_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "_seen", set())
    with structlog.testing.capture_logs() as lines:
        for text in ("Abracadabra", "Abracadabra", "Sending", ""):
            wording.classify(text)
        for n in range(200):
            wording.classify(f"word {n}")
    assert [line["text"] for line in lines][:2] == ["Abracadabra", "word 0"]
    assert len(lines) == 100


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("success", Verdict.SUCCESS), (" OK ", Verdict.SUCCESS), ("Sent", Verdict.SUCCESS), ("1", Verdict.SUCCESS),
        ("delivered", Verdict.SUCCESS), ("completed", Verdict.SUCCESS), ("failed", Verdict.FAILED),
        ("Failure", Verdict.FAILED), ("FAIL", Verdict.FAILED), ("error", Verdict.FAILED), ("", Verdict.PROGRESS),
        ("executed", Verdict.PROGRESS), ("queued", Verdict.PROGRESS), ("unsuccessful", Verdict.PROGRESS),
        ("True", Verdict.PROGRESS),
    ],
)  # fmt: skip
def test_a_word_says_what_became_of_a_fax(word: str, verdict: Verdict) -> None:
    assert wording.verdict_of_word(word) is verdict
