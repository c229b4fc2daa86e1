"""Options of a fax: what is understood, wherever it stands, and that nothing else passes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.mail import options
from gateway.model import FaxOptions

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC).timestamp()
HOUR = 3600.0


def refused(call: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(Refused) as caught:
        call(*args, **more)
    assert caught.value.status == "5.6.0"
    assert caught.value.public.isascii()
    assert len(caught.value.public) < 400
    return caught.value.public


# --- names and values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "value", "asked"),
    [
        ("cover", "Formal", {"cover": "formal"}),
        ("COVER", "none", {"cover": "none"}),
        ("header", "Off", {"header": "no"}),
        ("header", "YES", {"header": "yes"}),
        ("header", "1", {"header": "yes"}),
        ("res", "HIGH", {"resolution": "fine"}),
        ("resolution", "normal", {"resolution": "standard"}),
        ("paper", "A4", {"paper": "a4"}),
        ("body", "no", {"body": "never"}),
        ("body", "Yes", {"body": "always"}),
        ("body", "without-attachment", {"body": "without-attachment"}),
        ("ref", " 4711/a, Müller ", {"ref": "4711/a, Müller"}),
        ("Billing-Code", "4711", {"ref": "4711"}),
        ("to", "Joe Doe", {"attn": "Joe Doe"}),
        ("org", "Acme", {"org": "Acme"}),
        ("company", "Acme", {"org": "Acme"}),
        ("language", "DE", {"language": "de"}),
        ("From-Company", "Miller & Sons", {"from-company": "Miller & Sons"}),
        ("from-department", "Claims", {"from-department": "Claims"}),
        ("from-voice", "+1 202 555", {"from-voice": "+1 202 555"}),
        ("tsi", "+1 202 555", {"tsi": "+1 202 555"}),
        ("priority", "High", {"priority": "high"}),
        ("at", "+2h", {"send-at": "+2h"}),
    ],
)
def test_names_and_values_get_their_one_form(given: str, value: str, asked: dict[str, str]) -> None:
    assert options.read([(given, value)], "here") == asked


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("covr", "x", "covr here is not a fax option; there are cover, header, resolution"),
        ("", "x", "nothing here is not a fax option"),
        ("cover\r\nX: y", "x", "is not a fax option"),
        ("cover", "../etc/passwd", "write none, auto or the name of a cover page"),
        ("cover", "", "cover=nothing here cannot be understood"),
        ("header", "maybe", "write yes or no"),
        ("resolution", "best", "write fine or standard"),
        ("paper", "a3", "write letter or a4"),
        ("body", "sometimes", "write with-text, always, without-attachment or never"),
        ("ref", "x" * 61, "one line of at most 60 characters"),
        ("ref", "a\nb", "one line"),
        ("tsi", "Müller", "at most 20 letters"),
        ("priority", "urgent", "write high, normal or low"),
        ("send-at", "tomorrow", "write a time like 2026-12-01T08:00"),
        ("send-at", "25:00", "write a time like"),
        ("send-at", "2026-02-30T08:00", "write a time like"),
        ("send-at", "2026-12-01T08:00+99:00", "write a time like"),
    ],
)
def test_anything_else_is_refused_by_name_with_what_there_is(name: str, value: str, words: str) -> None:
    assert words in refused(options.read, [(name, value)], "here")


def test_twice_is_once_unless_it_says_two_things() -> None:
    assert options.read([("ref", "1"), ("reference", "1")], "here") == {"ref": "1"}
    assert "ref is given twice here" in refused(options.read, [("ref", "1"), ("ref", "2")], "here")


# --- header fields and subject ----------------------------------------------------------------------------------------


def test_of_header_fields_only_those_of_ours_are_read() -> None:
    fields = [("x-mailer", "y"), ("X-Fax-Cover", "none"), ("x-fax-ref", "4711"), ("x-faxgateway-loop", "gw")]
    assert options.from_fields(fields) == {"cover": "none", "ref": "4711"}
    assert "pages in an X-Fax header field" in refused(options.from_fields, [("X-Fax-Pages", "3")])


@pytest.mark.parametrize(
    ("subject", "rest", "asked"),
    [
        ("Invoice", "Invoice", {}),
        ("Invoice [fax: cover=formal, ref=4711]", "Invoice", {"cover": "formal", "ref": "4711"}),
        ("[FAX:cover=none]Invoice", "Invoice", {"cover": "none"}),
        ("Re: [fax: cover=none] your [fax: paper=a4] letter", "Re: your letter", {"cover": "none", "paper": "a4"}),
        ('[fax: ref="4711, second"; attn=Joe Doe]', "", {"ref": "4711, second", "attn": "Joe Doe"}),
        ("[fax: send-at=2026-12-01 08:00]", "", {"send-at": "2026-12-01 08:00"}),
        ("Invoice [ Fax : cover=none ]", "Invoice", {"cover": "none"}),
        ("Invoice [\xa0fax:\xa0cover=none]", "Invoice", {"cover": "none"}),
        ("Telefax: 4711 [urgent]", "Telefax: 4711 [urgent]", {}),
        ("Your letter [Fax: +49 (0)30 / 12-34]", "Your letter [Fax: +49 (0)30 / 12-34]", {}),
    ],
)
def test_subject(subject: str, rest: str, asked: dict[str, str]) -> None:
    assert options.from_subject(subject) == asked
    assert options.without(subject) == rest


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ("[fax: cover]", "[fax: cover] in the subject cannot be understood; write it like [fax: cover=none"),
        ("[fax:]", "cannot be understood"),
        ("[fax: =x]", "cannot be understood"),
        ("[fax: ref=a fine]x[fax:", "has no closing ]"),
        ("[fax: cover=none", "has no closing ]"),
        ('[fax: ref="a]', "cannot be understood"),
        ("[fax: cover=none][fax: cover=auto]", "cover is given twice in the subject"),
        ("[fax: number=+1555]", "number in the subject is not a fax option"),
    ],
)
def test_a_subject_that_cannot_be_understood(subject: str, words: str) -> None:
    assert words in refused(options.from_subject, subject)


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rest", "asked"),
    [
        ("Dear all,\r\n", "Dear all,\r\n", {}),
        ("", "", {}),
        ("[fax: cover=none]\r\nDear all,\r\n", "Dear all,\r\n", {"cover": "none"}),
        ("[ fax: cover=none ]\r\nDear all,\r\n", "Dear all,\r\n", {"cover": "none"}),
        ("\ufeff\r\n [fax: cover=none]\n[Fax: ref=4711]\n\n  Dear all", "  Dear all", {"cover": "none", "ref": "4711"}),
        ("[fax: cover=none,\r\n ref=4711]\r\n", "", {"cover": "none", "ref": "4711"}),
        ("[fax: cover=none\r\nref=4711]\r\n", "", {"cover": "none", "ref": "4711"}),
        ("[fax ref=my fax of today]\r\n", "", {"ref": "my fax of today"}),
        ("[fax: cover=none] Dear all", "Dear all", {"cover": "none"}),
        ("[fax: cover=none, ref=1,]\nDear all", "Dear all", {"cover": "none", "ref": "1"}),
        ("\\[fax: cover=none\\]\nDear all", "Dear all", {"cover": "none"}),  # as Markdown escapes it
        ("Hi\n> [fax: cover=none]\n", "Hi\n> [fax: cover=none]\n", {}),  # a quotation
        ("Joe\n[Fax: +1 202 555 0123]\n", "Joe\n[Fax: +1 202 555 0123]\n", {}),  # a signature
        ("[Fax: 030 123456]\nDear all,\n", "[Fax: 030 123456]\nDear all,\n", {}),  # a letterhead
    ],
)
def test_plain_text(text: str, rest: str, asked: dict[str, str]) -> None:
    assert options.from_text(text, markup=False) == (rest, asked)


@pytest.mark.parametrize(
    ("text", "rest", "asked"),
    [
        ("<p>Dear all</p>", "<p>Dear all</p>", {}),
        ("<div>[fax: cover=none]</div><div>Hi</div>", "<div></div><div>Hi</div>", {"cover": "none"}),
        (
            "<style>[fax: a=b]</style><p>&nbsp;[fax: <b>cover</b>=none,\n&nbsp;attn=Joe\nDoe &amp; Co]<br>Hi",
            "<style>[fax: a=b]</style><p><b></b><br>Hi",
            {"cover": "none", "attn": "Joe Doe & Co"},
        ),
        (  # as Outlook marks a word it does not know
            "<p>[<span class=SpellE>fax</span>: ref=1]</p><p>Hi",
            "<p><span class=SpellE></span></p><p>Hi",
            {"ref": "1"},
        ),
        (  # as a program writes it that trusts no bracket
            "<p>&#91;fax: cover=none, ref&#61;&quot;a, b&quot;&#93; &#x5B;FAX: attn=J&ouml;&rsqb;Hi &#91;1&#93;</p>",
            "<p>Hi &#91;1&#93;</p>",
            {"cover": "none", "ref": "a, b", "attn": "Jö"},
        ),
        (  # the mail that is answered, as in a plain text
            "<p>Hi</p><blockquote>[fax: cover=none]<br>Dear Ann</blockquote>",
            "<p>Hi</p><blockquote>[fax: cover=none]<br>Dear Ann</blockquote>",
            {},
        ),
        ("<p>[fax: cover=none]</p>\n<p>[fax: ref=1]</p><p>x", "<p></p><p></p><p>x", {"cover": "none", "ref": "1"}),
    ],
)
def test_html(text: str, rest: str, asked: dict[str, str]) -> None:
    assert options.from_text(text, markup=True) == (rest, asked)


@pytest.mark.parametrize(
    ("text", "markup", "words"),
    [
        ("[fax: cover=none", False, "at the beginning of the text has no closing ]"),
        ("[fax: cover]", False, "cannot be understood"),
        ("[fax: covr=none]\nHi", False, "covr at the beginning of the text is not a fax option"),
        ("Hi\n [fax: cover=none]\n", False, "options stand at the very beginning of the text"),
        ("[fax: ref=1]\nHi\n[fax: cover=none]\n", False, "options stand at the very beginning"),
        ("<p>Hi</p><p>[fax: cover=none]</p>", True, "options stand at the very beginning"),
        ("<p>[fax: ref=1]</p><p>Hi</p><p>[fax: ref=1]</p>", True, "options stand at the very beginning"),
        ("<p>[fax: ref=1<p>", True, "has no closing ]"),
        ("<p>&#91;fax: ref=1<p>", True, "has no closing ]"),
        ("<p>&lbrack;fax: covr=none]</p>", True, "covr at the beginning of the text is not a fax option"),
        ("<p>Hi</p><p>&#91;fax: cover=none&#93;</p>", True, "options stand at the very beginning"),
        ("<p>Hi<br>&nbsp;[<span class=SpellE>fax</span>: cover=none]</p>", True, "options stand at the very beginning"),
    ],
)
def test_a_text_that_would_print_options(text: str, markup: bool, words: str) -> None:
    assert words in refused(options.from_text, text, markup=markup)


def test_of_a_long_text_only_the_beginning_is_searched_for_options_but_all_of_it_for_stray_ones() -> None:
    long = "<p>word</p>" * 2000
    assert options.from_text(f"[fax: ref=1]{long}", markup=True) == (long, {"ref": "1"})
    assert "options stand at the very beginning" in refused(
        options.from_text, f"{long}<p>[fax: ref=1]</p>", markup=True
    )


@given(st.text(alphabet="[]fax: =,;\"'\n<b>&ref1", max_size=80), st.booleans())
def test_no_text_passes_with_options_at_its_beginning(text: str, markup: bool) -> None:
    try:
        rest, _ = options.from_text(text, markup=markup)
    except Refused:
        return
    again, asked = options.from_text(rest, markup=markup)
    assert (again, asked) == (rest, {})


# --- what they mean ---------------------------------------------------------------------------------------------------


def decide(*layers: options.Asked, date: str = "") -> FaxOptions:
    return options.decide(*layers, now=NOW, date=date)


def test_nothing_asked() -> None:
    assert decide() == decide({}, {}) == FaxOptions()
    assert FaxOptions().document == {}


def test_the_first_layer_that_has_an_option_counts() -> None:
    found = decide({"cover": "none", "header": "no"}, {"cover": "formal", "ref": "1"}, {"ref": "2", "paper": "a4"})
    assert found == FaxOptions(cover="none", header=False, reference="1", paper="a4")
    assert found.document == {"cover": "none", "header": False, "paper": "a4"}
    assert decide({"priority": "low"}).priority == -1
    assert decide({"priority": "high"}).priority == 1


def test_no_option_is_lost() -> None:
    names = dict.fromkeys(options.OPTIONS, "x") | {"header": "yes", "priority": "low", "send-at": "+1h"}
    assert decide(names) == FaxOptions(
        cover="x", header=True, resolution="x", paper="x", body="x", reference="x", attn="x", org="x", language="x",
        from_company="x", from_department="x", from_voice="x", tsi="x", priority=-1, send_at=NOW + HOUR,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "date", "hours"),
    [
        ("+90m", "", 1.5),
        ("2h", "", 2),
        ("+1d", "", 24),
        ("13:00", "", 1),
        ("1300", "", 1),
        ("12:30", "", 0.5),
        ("11:00", "", 23),
        ("12:00", "", 24),
        ("15:00", "Fri, 27 Nov 2026 14:00:00 +0200", 1),
        ("2026-11-27T15:00", "Fri, 27 Nov 2026 14:00:00 +0200", 1),
        ("2026-11-27 15:00", "", 3),
        ("2026-11-27t1500", "", 3),
        ("2026-11-27T15:00Z", "Fri, 27 Nov 2026 14:00:00 +0200", 3),
        ("2026-11-27T15:00:00+02:00", "", 1),
        ("2026-11-27T15:00-0100", "", 4),
        ("2026-11-27T18:30+05:30", "", 1),
        ("2026-11-27T11:59", "", -1 / 60),  # it became a minute later on the way
        ("13:00", "no date", 1),
        ("13:00", "Fri, 27 Nov 2026 14:00:00 +9999", 1),
    ],
)
def test_send_at(value: str, date: str, hours: float) -> None:
    asked = options.read([("send-at", value)], "here")
    assert decide(asked, date=date).send_at == NOW + hours * HOUR


def test_a_time_of_day_is_the_full_minute() -> None:
    assert options.decide({"send-at": "13:30"}, now=NOW + 20.5).send_at == NOW + 1.5 * HOUR


@pytest.mark.parametrize(
    ("value", "date", "told"),
    [
        ("2026-10-26T08:00", "+0200", "2026-10-26T08:00+01:00"),  # the clocks are put back in between
        ("2026-10-25T01:30", "+0200", "2026-10-25T01:30+02:00"),
        ("08:00", "+0200", "2026-10-25T08:00+01:00"),
        ("2026-10-26T08:00+0200", "+0200", "2026-10-26T08:00+02:00"),
        ("+1d", "+0200", "2026-10-25T12:00+02:00"),
        ("2026-10-26T08:00", "+0300", "2026-10-26T08:00+03:00"),  # somebody who lives elsewhere
        ("2026-10-26T08:00", "+0000", "2026-10-26T08:00+00:00"),
        ("2026-10-26T08:00Z", "+0000", "2026-10-26T08:00+00:00"),
    ],
)
def test_send_at_across_a_change_of_the_clocks(
    value: str, date: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = sent_at(value, "2026-10-24T12:00+02:00", f"Sat, 24 Oct 2026 12:00:00 {date}", "Europe/Berlin", monkeypatch)
    assert found == datetime.fromisoformat(told).timestamp()


@pytest.mark.parametrize(
    ("value", "hour"),
    [("2026-04-01T08:00", 7), ("2026-04-01 080000", 7), ("2026-04-01T08:00Z", 8), ("2026-04-01 0800 z", 8),
     ("2026-04-01T08:00+00:00", 8), ("2026-04-01T08:00:00-0000", 8)],
)  # fmt: skip
def test_a_time_with_a_zone_is_meant_in_that(value: str, hour: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sent_at(value, "2026-03-20T12:00+00:00", "Fri, 20 Mar 2026 12:00:00 +0000", "Europe/London", monkeypatch)
    assert found == datetime(2026, 4, 1, hour, tzinfo=UTC).timestamp()


def sent_at(value: str, now: str, date: str, zone: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """When a fax goes, on a machine in ``zone``."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        asked = options.read([("send-at", value)], "here")
        return options.decide(asked, now=datetime.fromisoformat(now).timestamp(), date=date).send_at
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("2026-11-27T11:58", "is in the past"),
        ("+31d", "is too far ahead: a fax waits until 2026-12-27T12:00 at most"),
    ],
)
def test_a_time_that_cannot_be_meant(value: str, words: str) -> None:
    assert words in refused(decide, {"send-at": value})
