"""Calendar entries and business cards are printed as people read them, not as programs do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.document import cards
from gateway.document.cards import for_people

from .conftest import Fax

MEETING = """BEGIN:VCALENDAR
METHOD:REQUEST
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19701025T040000
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
DTSTART;TZID=Europe/Berlin:20261203T140000
DTEND;TZID=Europe/Berlin:20261203T153000
SUMMARY:Review\\, second round
LOCATION:Room 4\\; ground floor
ORGANIZER;CN="Ann: Sales":mailto:ann@example.org
ATTENDEE;CN=bob@example.org;RSVP=TRUE:mailto:bob@example.org
ATTENDEE;CN=Eve Adams:MAILTO:eve@example.org
RRULE:FREQ=WEEKLY;COUNT=4
DESCRIPTION:Please bring the papers that were sent\\nlast week\\, and
  the stamp.
BEGIN:VALARM
DESCRIPTION:Reminder
END:VALARM
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")

CARD = """BEGIN:VCARD
VERSION:3.0
N:Adams;Eve;;Dr.;
FN:Dr. Eve Adams
ORG:Acme\\, Inc.;Claims
TITLE:Head of Claims
TEL;TYPE=work,voice:+1 202 555 0123
item1.TEL;WORK;FAX:+1 202 555 0124
EMAIL;TYPE=INTERNET,PREF:eve@example.org
ADR;TYPE=WORK:;;1 Main Street;Springfield;IL;62701;USA
NOTE:Call before noon.
PHOTO;ENCODING=b;TYPE=JPEG:/9j/4AAQSkZJRgABAQ
 AAAQABAAD
END:VCARD
"""


def test_an_invitation_says_what_when_where_and_who() -> None:
    assert for_people(MEETING).splitlines() == [
        "Review, second round",
        "When: Thu 3 December 2026, 14:00 to 15:30 (Europe/Berlin)",
        "Repeated: FREQ=WEEKLY;COUNT=4",
        "Where: Room 4; ground floor",
        "From: Ann: Sales <ann@example.org>",
        "With: bob@example.org, Eve Adams <eve@example.org>",
        "",
        "Please bring the papers that were sent",
        "last week, and the stamp.",
    ]


@pytest.mark.parametrize(
    ("fields", "when"),
    [
        ("DTSTART;VALUE=DATE:20261203", "When: Thu 3 December 2026"),
        ("DTSTART;VALUE=DATE:20261203\nDTEND;VALUE=DATE:20261204", "When: Thu 3 December 2026"),
        ("DTSTART;VALUE=DATE:20261203\nDTEND;VALUE=DATE:20261206", "When: Thu 3 December 2026 to Sat 5 December 2026"),
        ("DTSTART:20261203T140000Z\nDTEND:20261204T010000Z",
         "When: Thu 3 December 2026, 14:00 UTC to Fri 4 December 2026, 01:00 UTC"),
        ("DTSTART:20261203T140000\nDURATION:P1DT2H30M", "When: Thu 3 December 2026, 14:00, for 1 d 2 h 30 min"),
        ("DTSTART:20269999T140000", "When: 20269999T140000"),
        ("DUE:20261203T140000", "Due: Thu 3 December 2026, 14:00"),
    ],
)  # fmt: skip
def test_times(fields: str, when: str) -> None:
    shown = for_people(f"BEGIN:VCALENDAR\nBEGIN:VTODO\nSUMMARY:x\n{fields}\nEND:VTODO\nEND:VCALENDAR")
    assert shown == f"x\n{when}"


@pytest.mark.parametrize("field", ["METHOD:CANCEL\nBEGIN:VEVENT", "BEGIN:VEVENT\nSTATUS:CANCELLED"])
def test_what_is_called_off_is_said_first(field: str) -> None:
    assert for_people(f"BEGIN:VCALENDAR\n{field}\nSUMMARY:x\nEND:VEVENT").startswith("Cancelled: x")


def test_a_business_card_says_who_and_how_to_reach_him() -> None:
    assert for_people(CARD).splitlines() == [
        "Dr. Eve Adams",
        "Head of Claims",
        "Acme, Inc., Claims",
        "Phone (work, voice): +1 202 555 0123",
        "Phone (work, fax): +1 202 555 0124",
        "E-mail: eve@example.org",
        "Address (work): 1 Main Street, Springfield, IL, 62701, USA",
        "",
        "Call before noon.",
    ]


def test_old_cards_are_quoted_and_several_stand_below_each_other() -> None:
    old = "BEGIN:VCARD\r\nVERSION:2.1\r\nN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:M=FCller;J=\r\n=F6rg\r\nEND:VCARD\r\n"
    assert for_people(old + old) == "Müller Jörg\n\nMüller Jörg"


@pytest.mark.parametrize(
    "content", ["BEGIN:VCALENDAR\nEND:VCALENDAR", "BEGIN:VCARD\n:\nEND:VCARD", "Dear Eve,\nBEGIN:VCARD", "", "BEGIN:VCARDS\nFN:x"]
)  # fmt: skip
def test_what_holds_nothing_for_people_stays_as_it_is(content: str) -> None:
    assert for_people(content) == ""


@given(st.text())
def test_no_text_breaks_it(content: str) -> None:
    for_people(f"BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART{content}")
    for_people(f"BEGIN:VCARD\nTEL;{content}:{content}")


def test_the_ledger_tells_that_it_is_not_the_file(fax: Fax) -> None:
    made = fax.make(fax.part("invite.ics", MEETING.encode(), charset="utf-8"))
    assert made["ledger"][0]["note"] == "what people read of a calendar entry or business card"


def test_an_old_card_that_says_no_charset_is_guessed() -> None:
    said = "BEGIN:VCARD\r\nVERSION:2.1\r\nFN;ENCODING=QUOTED-PRINTABLE:{}\r\nEND:VCARD\r\n"
    for name in ("J=F6rg", "J=C3=B6rg"):
        assert for_people(said.format(name)) == "Jörg"


def test_what_else_an_entry_says_is_printed() -> None:
    more = """EXDATE;TZID=Europe/Berlin:20261210T140000,20261217T140000
RDATE;VALUE=DATE:20261224
CONTACT:Ann at the desk
RESOURCES:Projector
COMMENT:In the old house
ATTACH:https://example.org/agenda.pdf
ATTACH:cid:agenda@example.org
ATTACH;FMTTYPE=text/plain;ENCODING=BASE64;VALUE=BINARY:aGVsbG8=
DESCRIPTION:""".replace("\n", "\r\n")
    entry = MEETING.replace("DESCRIPTION:", more, 1)
    lines = for_people(entry).splitlines()
    assert [each for each in lines if each.startswith(("Also", "Not", "Contact", "Needed", "Remark", "Attached"))] == [
        "Also: Thu 24 December 2026",
        "Not: Thu 10 December 2026, 14:00; Thu 17 December 2026, 14:00",
        "Contact: Ann at the desk",
        "Needed: Projector",
        "Remark: In the old house",
        "Attached: https://example.org/agenda.pdf",
        "Attached: a file, which is not printed",
    ]
    assert cards.files(entry) == 1
    assert cards.files(MEETING) == 0


def test_what_else_a_card_says_is_printed() -> None:
    card = CARD.replace("NOTE:", "NICKNAME:Evie\nROLE:Judge\nIMPP:xmpp:eve@example.org\nNOTE:")
    assert {"Evie", "Judge", "Chat: xmpp:eve@example.org"} <= set(for_people(card).splitlines())
