"""Outlook's winmail.dat is opened: its files become documents, its text is printed where the mail has no other."""

from __future__ import annotations

import binascii
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.document import cards
from gateway.mail import rtf, tnef
from gateway.mail.parse import extract, inspect

from .made_tnef import (
    APPOINTMENTS,
    BINARY,
    BOOLEAN,
    LONG,
    STRING,
    TIME,
    UNICODE,
    ZONE_OF_ALL,
    Property,
    attribute,
    file,
    held,
    inner,
    mail,
    message,
    moment,
    properties,
    stored,
    stream,
    wide,
    zone,
)

PDF = b"%PDF-1.4\n" + b"x" * 200 + b"\n%%EOF\n"


def found(tmp_path: Path, raw: bytes) -> tuple[dict[str, bytes], list[tuple[str, str]]]:
    """The parts by name, and what was left out with its reason."""
    source = tmp_path / "mail"
    source.write_bytes(raw)
    assert inspect(str(source))["refusal"] == ""
    directory = tmp_path / "parts"
    directory.mkdir()
    made: dict[str, Any] = extract(str(source), str(directory))
    assert [part["defect"] for part in made["parts"] if part["defect"]] == []
    parts = {part["name"]: Path(part["path"]).read_bytes() for part in made["parts"]}
    return parts, [(entry["part"], entry["reason"]) for entry in made["left_out"]]


def refusal(tmp_path: Path, raw: bytes) -> str:
    source = tmp_path / "mail"
    source.write_bytes(raw)
    return str(inspect(str(source))["refusal"])


def test_files_come_out_whole_and_with_their_long_names(tmp_path: Path) -> None:
    content = stream(message(), file("Angebot für März.pdf", PDF), file("second.pdf", PDF + b"2"))
    parts, left_out = found(tmp_path, mail(content, "Please see the files."))
    assert parts["Angebot für März.pdf"] == PDF
    assert parts["second.pdf"] == PDF + b"2"
    assert parts["message text"].strip() == b"Please see the files."
    assert left_out == []


def test_the_text_inside_is_printed_where_there_is_none_outside(tmp_path: Path) -> None:
    body = stored(rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}\f0 Gr\'fc\'dfe\par aus \u8364?uro\tab x}")
    parts, _ = found(tmp_path, mail(stream(message((0x1009, BINARY, body)), file("a.pdf", PDF))))
    assert parts["message text"].decode() == "Grüße\naus €uro\tx"


def test_html_inside_wins_over_a_stub_outside(tmp_path: Path) -> None:
    html = b"<p>" + b"This is the whole text of the mail, and a long one. " * 5
    parts, _ = found(tmp_path, mail(stream(message((0x1013, BINARY, html), (0x3FDE, LONG, 65001))), "See below."))
    assert html in parts.values()


def test_the_text_inside_is_not_printed_twice(tmp_path: Path) -> None:
    content = stream(message((0x1000, UNICODE, wide("Please find it attached."))), file("a.pdf", PDF))
    parts, left_out = found(tmp_path, mail(content, "Please find it attached."))
    assert list(parts) == ["message text", "a.pdf"]
    assert left_out == [("message text in another form", "the message text is taken from its other form")]


def test_a_notice_outside_does_not_stand_for_the_text_inside(tmp_path: Path) -> None:
    content = stream(message((0x1000, UNICODE, wide("Please sign the contract by Friday."))), file("a.pdf", PDF))
    parts, left_out = found(
        tmp_path, mail(content, "This mail has been scanned for viruses by Example Ltd, and found clean.")
    )
    assert b"Please sign the contract by Friday." in parts.values()
    assert left_out == []


def test_a_mail_in_it_is_walked(tmp_path: Path) -> None:
    below = stream(
        message((0x0037, UNICODE, wide("Old offer")), (0x0C1A, STRING, b"Bob\0"), (0x1000, STRING, b"Inner text\0")),
        file("in.pdf", PDF),
    )
    parts, _ = found(tmp_path, mail(stream(message(), inner(below)), "Outer text"))
    assert parts["in.pdf"] == PDF
    assert parts['attached mail "Old offer"'].decode() == "From: Bob\nSubject: Old offer\n\nInner text"


def test_settings_alone_are_no_document(tmp_path: Path) -> None:
    _, left_out = found(tmp_path, mail(stream(message((0x0037, STRING, b"Offer\0"))), "Just text."))
    assert left_out == [("winmail.dat", "it holds nothing but settings of Outlook")]


def test_a_contact_or_an_appointment_without_a_text_is_told(tmp_path: Path) -> None:
    why = "it is a contact, an appointment or a task of Outlook without a text; write down what is to be read"
    contact = (0x001A, UNICODE, wide("IPM.Contact")), (0x0037, UNICODE, wide("Bob"))
    _, left_out = found(tmp_path, mail(stream(message(), inner(stream(message(*contact)))), "Call him."))
    assert left_out == [('attached mail "Bob"', why)]
    (tmp_path / "parts").rename(tmp_path / "first")
    meeting = attribute(1, 0x8008, b"IPM.Microsoft Schedule.MtgReq\0", 7)
    assert found(tmp_path, mail(stream(meeting, message()), "See you."))[1] == [("winmail.dat", why)]


START, END = (APPOINTMENTS, 0x820D), (APPOINTMENTS, 0x820E)
ON_A_SUMMER_DAY = ((START, TIME, moment(2026, 7, 5, 8, 0)), (END, TIME, moment(2026, 7, 5, 9, 30)))
ALL_OF_IT = (
    (START, TIME, moment(2026, 7, 4, 22, 0)), (END, TIME, moment(2026, 7, 5, 22, 0)), ((APPOINTMENTS, 0x8215), BOOLEAN, 1),
)  # fmt: skip
IN_BERLIN = ((APPOINTMENTS, 0x825E), BINARY, zone("W. Europe"))


@pytest.mark.parametrize(
    ("said", "when"),
    [
        (ON_A_SUMMER_DAY, "Sun 5 July 2026, 08:00 UTC to 09:30 UTC"),
        ((*ON_A_SUMMER_DAY, IN_BERLIN), "Sun 5 July 2026, 10:00 to 11:30 (W. Europe)"),
        ((*ON_A_SUMMER_DAY, ((APPOINTMENTS, 0x8233), BINARY, ZONE_OF_ALL)), "Sun 5 July 2026, 10:00 to 11:30 (UTC+2:00)"),
        (((START, TIME, moment(2026, 10, 25, 0, 59)), IN_BERLIN), "Sun 25 October 2026, 02:59 (W. Europe)"),
        (((START, TIME, moment(2026, 10, 25, 1, 0)), IN_BERLIN), "Sun 25 October 2026, 02:00 (W. Europe)"),
        (((0x0060, TIME, moment(2026, 1, 5, 8, 0)), IN_BERLIN), "Mon 5 January 2026, 09:00 (W. Europe)"),
        ((*ALL_OF_IT, IN_BERLIN), "Sun 5 July 2026"),
        (ALL_OF_IT, "Sat 4 July 2026, 22:00 UTC to Sun 5 July 2026, 22:00 UTC"),
        ((*ON_A_SUMMER_DAY, ((APPOINTMENTS, 0x825E), BINARY, b"damaged")), "Sun 5 July 2026, 08:00 UTC to 09:30 UTC"),
    ],
)  # fmt: skip
def test_when_and_where_of_a_meeting_are_printed(tmp_path: Path, said: tuple[Property, ...], when: str) -> None:
    about = ((0x0037, UNICODE, wide("Budget; review")), (0x0C1A, STRING, b"Bob\0"))
    there = (((APPOINTMENTS, 0x8208), UNICODE, wide("Room 4, Münster")),)
    parts, _ = found(tmp_path, mail(stream(message(*about, *said, *there)), "Please come."))
    entry = cards.for_people(parts["calendar entry"].decode())
    assert entry == f"Budget; review\nWhen: {when}\nWhere: Room 4, Münster\nFrom: Bob"


def test_a_meeting_of_an_old_program_has_no_zone(tmp_path: Path) -> None:
    dates = (attribute(1, name, struct.pack("<7H", 2026, 7, 5, hour, 0, 0, 0), 3) for name, hour in ((6, 8), (7, 9)))
    kind = attribute(1, 0x8008, b"IPM.Microsoft Schedule.MtgCncl\0", 7)
    parts, _ = found(tmp_path, mail(stream(kind, *dates, message()), "It is off."))
    entry = cards.for_people(parts["calendar entry"].decode())
    assert entry == "Cancelled: Calendar entry\nWhen: Sun 5 July 2026, 08:00 to 09:00"


@pytest.mark.parametrize("time", [0, 0x5AE980DF, 0x0CB34557A3DD4000, (1 << 64) - 1])
def test_a_time_that_is_none_is_no_meeting(time: int) -> None:
    assert "20" not in tnef.read(stream(message((START, TIME, time)))).calendar


def test_a_winmail_is_the_whole_mail(tmp_path: Path) -> None:
    content = stream(message(), file("a.pdf", PDF))
    raw = b"Subject: x\r\nContent-Type: application/ms-tnef\r\nContent-Transfer-Encoding: binary\r\n\r\n" + content
    assert found(tmp_path, raw)[0]["a.pdf"] == PDF


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (stream(message(), file("a.pdf", PDF))[:-150], "cut off"),
        (stream(message(), file("a.pdf", PDF))[:30], "cut off"),
        (stream(message(), attribute(2, 0x800F, PDF)), "damaged"),
        (stream(message(), attribute(3, 0x9002, bytes(14))), "damaged"),
        (stream(message(), file("a.pdf", PDF).replace(b"xxxx", b"xyxx")), "damaged"),
        (stream(message(), file("a.pdf", b"")), "empty"),
        (stream(message(), held(6, bytes(600))), "set the format of the message to HTML"),
        (stream(message(), held(7, b"http://example.com/x.pdf", BINARY)), "attach the file itself"),
        (stream(message((0x1009, BINARY, b"\0" * 40))), "damaged"),
        (stream(attribute(1, 0x9003, struct.pack("<I", 5000))), "damaged"),
        (stream(attribute(1, 0x9003, struct.pack("<IHHI", 1, 0x1E, 0x37, 1) + b"\xff\xff\0\0ab")), "cut off"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_refused_by_name(tmp_path: Path, content: bytes, why: str) -> None:
    said = refusal(tmp_path, mail(content, "Text"))
    assert why in said
    assert "winmail.dat" in said or "a.pdf" in said or "attachment" in said


def test_mails_in_mails_end_somewhere(tmp_path: Path) -> None:
    content = stream(message((0x1000, STRING, b"deepest\0")))
    for _ in range(60):
        content = stream(message(), inner(content))
    assert "nested" in refusal(tmp_path, mail(content, "Text"))


def test_many_attachments_are_too_many(tmp_path: Path) -> None:
    content = stream(message(), *(file(f"{n}.pdf", PDF) for n in range(250)))
    assert "more than 200 parts" in refusal(tmp_path, mail(content, "Text"))


def test_files_of_macintoshes_lose_their_head() -> None:
    head = bytearray(128)
    struct.pack_into(">I", head, 83, len(PDF))
    raw = attribute(2, 0x9002, struct.pack("<HIHHI", 1, 0, 32, 32, 1)) + attribute(
        2, 0x800F, bytes(head) + PDF + b"\0" * 99
    )
    assert tnef.read(stream(raw)).attachments[0].data == PDF


def test_named_properties_and_lists_are_passed_over() -> None:
    named = struct.pack("<I", 3)
    named += (
        struct.pack("<HH", 0x1F, 0x8000)
        + bytes(16)
        + struct.pack("<II", 1, 6)
        + b"a\0b\0\0\0\0\0"
        + struct.pack("<II", 1, 4)
        + b"x\0\0\0"
    )
    named += struct.pack("<HHI", 0x1003, 0x6001, 2) + bytes(8)
    named += struct.pack("<HHII", 0x1E, 0x37, 1, 3) + b"Hi\0\0"
    assert tnef.read(stream(attribute(1, 0x9003, named))).subject == "Hi"


# --- compressed RTF, the examples of MS-OXRTFCP section 4 -------------------------------------------------------------


def test_each_font_of_rich_text_has_its_letters() -> None:
    fonts = rb"{\fonttbl{\f0\fswiss Arial;}{\f1\fnil\fprq2{\*\panose 02}\fcharset204 Arial CYR;}{\f12\fcharset128 MS Gothic;}}"
    words = rb"Gr\'fc\'dfe {\f1 \'cf\'f0\'e8}\f12 \'93\'fa\'96\'7b\plain  \'fc \f99 \'fc"
    assert rtf.to_text(rb"{\rtf1\ansi\ansicpg1252" + fonts + words + b"}") == "Grüße При日本 ü ü"


OF_HTML = (
    rb"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0 Arial;}{\f1\fcharset204 Arial;}}{\*\mhtmltag0 x}" + b"\r\n"
    rb"{\*\htmltag19 <html>}{\*\htmltag161 <style>p \{\par color: red\}</style>}{\*\htmltag64 <p class=\'e4>}\htmlrtf {\htmlrtf0"
    rb" Gr\'fc\'dfe & {\*\htmltag84 <b>}\htmlrtf {\b \htmlrtf0 \f1\'cf\u8364?{\*\htmltag92 </b>}\htmlrtf \'cf}\htmlrtf0"
    rb"{\*\htmltag84 &nbsp;}\htmlrtf \'a0\htmlrtf0 end{\*\htmltag72 </p>}\htmlrtf \par}\htmlrtf0 "
    rb"{\*\htmltag148 <td>}12{\*\htmltag156 </td>}{\*\htmltag148 <td>}34{\*\htmltag156 </td>}{\*\htmltag27 </html>}}"
)


def test_rich_text_that_was_html_is_html(tmp_path: Path) -> None:
    shown = "<p class=ä>Grüße &amp; <b>П€</b>&nbsp;end</p><td>12</td><td>34</td></html>"
    assert rtf.to_html(OF_HTML) == "<html><style>p {\n color: red}</style>".replace("\n ", "\n") + shown
    assert rtf.to_html(OF_HTML.replace(b"fromhtml", b"fromtext")) == ""
    parts, _ = found(tmp_path, mail(stream(message((0x1009, BINARY, stored(OF_HTML))), file("a.pdf", PDF))))
    assert b"<td>12</td><td>34</td>" in parts["message text"]
    assert b"Gr&#252;&#223;e" in parts["message text"]


@pytest.mark.parametrize(
    ("packed", "plain"),
    [
        (
            "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0",
            b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n",
        ),
        ("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0", b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
        ("1a0000001c0000004c5a4675e2d44b514100042057", None),
    ],
)  # fmt: skip
def test_compressed_rtf(packed: str, plain: bytes | None) -> None:
    assert rtf.decompressed(bytes.fromhex(packed)) == plain


def test_groups_in_groups_end_somewhere() -> None:
    assert rtf.to_text(b"{" * 2_000_000) is None


def test_empty_paragraphs_of_rich_text_take_no_time() -> None:
    assert rtf.to_text(rb"{\rtf1\ansi\f0 " + rb"\par " * 60 + b"x}") == "\n" * 60 + "x"
    assert tnef.read(stream(message((0x1009, BINARY, stored(b"{" * 9000))))).defect


@given(st.binary(max_size=300))
@settings(max_examples=200)
def test_rubbish_is_survived(rubbish: bytes) -> None:
    tnef.read(b"\x78\x9f\x3e\x22" + rubbish)
    rtf.decompressed(struct.pack("<II4sI", len(rubbish) + 12, 5000, b"LZFu", 0) + rubbish)
    rtf.to_text(b"{\\rtf1 " + rubbish)


@given(st.data())
@settings(max_examples=100)
def test_a_damaged_winmail_is_survived(data: st.DataObject) -> None:
    whole = bytearray(stream(message((0x1000, UNICODE, wide("text"))), file("a.pdf", PDF), inner(stream(message()))))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(6, len(whole) - 1))] = data.draw(st.integers(0, 255))
    tnef.read(bytes(whole))
    assert properties()


def uuencoded(name: str, data: bytes) -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"\r\nSee it.\r\nbegin 644 %s\n" % name.encode() + b"".join(lines) + b"`\nend\n"


@pytest.mark.parametrize("is_packed", [True, False])
@pytest.mark.parametrize("is_mail", [True, False])
def test_files_in_a_winmail_dat_and_uuencoded_ones_are_opened_as_others_are(
    tmp_path: Path, is_packed: bool, is_mail: bool
) -> None:
    attached = mail(stream(file("a.pdf", PDF))) if is_mail else stream(file("a.pdf", PDF))
    name = "attached.eml" if is_mail else "winmail.dat"
    raw = mail(stream(file(name, attached)), "See it.") if is_packed else uuencoded(name, attached)
    parts, _ = found(tmp_path, raw)
    assert parts == {"message text": parts["message text"], "a.pdf": PDF}
