"""What a mail is judged by, and what comes out of it, beyond the golden mails."""

from __future__ import annotations

import base64
import hashlib
import os
import quopri
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from gateway.errors import Refused
from gateway.mail.parse import extract, inspect
from gateway.model import MailPart, MailSummary


class Reader:
    """Writes a mail down and reads it."""

    def __init__(self, directory: Path) -> None:
        self._mail = directory / "mail"
        self._directory = directory

    def inspect(self, raw: bytes, **more: Any) -> MailSummary:
        self._mail.write_bytes(raw)
        return MailSummary(**inspect(str(self._mail), **more))

    def extract(self, raw: bytes) -> dict[str, Any]:
        self._mail.write_bytes(raw)
        return extract(str(self._mail), mkdtemp(dir=self._directory))

    def parts(self, raw: bytes) -> list[MailPart]:
        return [MailPart(**part) for part in self.extract(raw)["parts"]]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def part(content: str, *fields: str) -> str:
    return "".join(f"{field}\r\n" for field in fields) + "\r\n" + content + "\r\n"


def multipart(*parts: str, kind: str = "mixed", head: str = "") -> bytes:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts)
    return f"{head}Content-Type: multipart/{kind}; boundary=b\r\n\r\n{body}--b--\r\n".encode()


# --- inspect ----------------------------------------------------------------------------------------------------------


def test_summary(reader: Reader) -> None:
    body = b"See you.\r\n"
    head = (
        b"Received: by a\r\nReceived: by b\r\nFrom: =?utf-8?q?J=C3=BCrgen?= <j@example.com>\r\nSubject: Hello\r\n you\r\n"
        b"Date: Mon, 23 Nov 2026 10:15:00 +0000\r\nMessage-ID:\r\n <abc@example.com>\r\n\r\n"
    )
    summary = reader.inspect(head + body)
    assert summary == MailSummary(
        message_id="<abc@example.com>",
        subject="Hello you",
        exact_subject="Hello you",
        date="Mon, 23 Nov 2026 10:15:00 +0000",
        body_sha256=hashlib.sha256(body).hexdigest(),
        body_at=len(head),
        starts=[],
    )


def test_bodies_tell_mails_apart_and_headers_do_not(reader: Reader) -> None:
    one = reader.inspect(b"X: 1\r\n\r\nsame").body_sha256
    assert reader.inspect(b"X: 2\r\nY: 3\r\n\r\nsame").body_sha256 == one
    assert reader.inspect(b"X: 1\r\n\r\nother").body_sha256 != one


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("Auto-Submitted: auto-generated", "it says that a machine sent it (Auto-Submitted: auto-generated)"),
        ("Auto-Submitted: Auto-Replied; x=y", "it says that a machine sent it (Auto-Submitted: auto-replied)"),
        ("Auto-Submitted: no", ""),
        ("Auto-Submitted: No (says a person)", ""),
        ("Auto-Submitted:", ""),
        ("Auto-Submitted: (by rule) auto-replied", "it says that a machine sent it (Auto-Submitted: auto-replied)"),
        ('Auto-Submitted: "auto-replied"', "it says that a machine sent it (Auto-Submitted: auto-replied)"),
        ("Auto-Submitted: (by hand) no", ""),
        ("Precedence: (x) bulk", "it is bulk mail (Precedence: bulk)"),
        ("Content-Type: (x) multipart/report; boundary=b", "it is a delivery report"),
        ('Content-Type: "multipart/report"; boundary=b', "it is a delivery report"),
        ("Return-Path: < >", "it is a delivery report"),
        ("X-Mail-Autoreply: yes", "it is an automatic answer or a report (X-Mail-Autoreply)"),
        ("Precedence: BULK", "it is bulk mail (Precedence: bulk)"),
        ("Precedence: list", "it is bulk mail (Precedence: list)"),
        ("Precedence: junk ", "it is bulk mail (Precedence: junk)"),
        ("Precedence: first-class", ""),
        ("List-Id: <x.example.com>", "it comes from a mailing list (List-Id)"),
        ("LIST-POST: NO", "it comes from a mailing list (List-Post)"),
        ("X-Faxgateway-Loop: gw", "it is a mail of a fax gateway (write a new mail to send its content on)"),
        (
            "Auto-Submitted: no\r\nAuto-Submitted: auto-replied",
            "it says that a machine sent it (Auto-Submitted: auto-replied)",
        ),
        ("Precedence: first-class\r\nPrecedence: bulk (x)", "it is bulk mail (Precedence: bulk)"),
        ("Precedence: auto_reply", "it is bulk mail (Precedence: auto_reply)"),
        ("X-Precedence: auto_reply", "it is bulk mail (X-Precedence: auto_reply)"),
        ("Preference: auto_reply", "it is bulk mail (Preference: auto_reply)"),
        ("X-FC-MachineGenerated: true", "it is an automatic answer or a report (X-Fc-Machinegenerated)"),
        ("X-POST-MessageClass: 9; Autoresponder", "it is an automatic answer or a report (X-Post-Messageclass)"),
        ("From: Mail Delivery System <MAILER-DAEMON@mx.example.org>", "it is a delivery report"),
        ("From: mailer-daemon@example.org (failure notice)", "it is a delivery report"),
        ("From: Ann <mailer-daemons@example.org>", ""),
        ("List-Unsubscribe-Post: List-Unsubscribe=One-Click", "it comes from a mailing list (List-Unsubscribe-Post)"),
        ("X-Autoreply: yes", "it is an automatic answer or a report (X-Autoreply)"),
        ("X-Failed-Recipients: a@b", "it is an automatic answer or a report (X-Failed-Recipients)"),
        (
            "X-MS-Exchange-Generated-Message-Source: Mailbox Rules Agent",
            "it is an automatic answer or a report (X-Ms-Exchange-Generated-Message-Source)",
        ),
        ("X-Auto-Response-Suppress: DR, RN", ""),
        ("X-Auto-Response-Suppress: All", ""),  # business programs ask so; out-of-office answers say more
        ("Return-Path: <>", "it is a delivery report"),
        ("Return-Path: <a@b>", ""),
        ("Content-Type: message/disposition-notification", "it is a delivery report"),
        (
            "Message-ID: <failed.abc-1@gw.example>",
            "it is a mail of a fax gateway (write a new mail to send its content on)",
        ),
        ("Message-ID: <failed.abc-1@other.example>", ""),
        ("Message-ID: <a.b@gw.example>", ""),
        ("Content-Type: multipart/report; boundary=b", "it is a delivery report"),
        ("\r\n".join(["Received: x"] * 99), ""),
        ("\r\n".join(["Received: x"] * 100), "it went through 100 servers, so it goes round in a loop"),
    ],
)
def test_automatic_mails(reader: Reader, field: str, why: str) -> None:
    raw = f"From: a@example.com\r\n{field}\r\n\r\ntext".encode()
    assert reader.inspect(raw, hostname="GW.example").automatic == why


def test_the_line_of_a_mailbox_file_before_the_header_ends_no_header(reader: Reader) -> None:
    """Our own trace field stands before it, and what was behind it was taken for text."""
    trace = b"Received: from x\r\n\tby y; Fri, 27 Nov 2026 14:00:00 +0000\r\n"
    for line in (b"From a@example.com Fri Nov 27 14:00:00 2026\r\n", b">From - Fri Nov 27 14:00:00 2026\r\n"):
        assert reader.inspect(trace + line + b"Auto-Submitted: auto-replied\r\n\r\ntext").automatic
        assert reader.inspect(trace + line + b"Subject: Offer\r\n\r\ntext").subject == "Offer"


def test_a_text_without_a_header_keeps_its_first_line(reader: Reader) -> None:
    found = reader.inspect(b"Received: x\r\nFrom 8 on we are here\r\nand again from 9 on\r\n")
    assert found.body_sha256 == hashlib.sha256(b"From 8 on we are here\r\nand again from 9 on\r\n").hexdigest()


def test_the_number_of_servers_that_proves_a_loop_is_an_option(reader: Reader) -> None:
    raw = b"Received: x\r\n" * 5 + b"\r\ntext"
    assert "5 servers" in reader.inspect(raw, hops=5).automatic
    assert not reader.inspect(raw, hops=6).automatic


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "8bit"])
def test_attachments_are_known_by_their_first_bytes(reader: Reader, encoding: str) -> None:
    content = b"%PDF-1.7\r\n" + b"x" * 50_000
    coded = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)(content)
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n"
        b"Content-Transfer-Encoding: " + encoding.encode() + b"\r\n\r\n" + coded + b"\r\n--b--\r\n"
    )
    ((name, start),) = reader.inspect(raw).starts
    assert (name, start[:10], len(start) <= 4096) == ("a.pdf", "%PDF-1.7\r\n", True)


@pytest.mark.parametrize(
    ("raw", "refused"),
    [
        (b"", True),
        (b"\r\n \r\n", True),
        (
            b"Content-Type: text/html\r\n\r\n<html><head><title>x</title><style>p {}</style></head><p>&nbsp;<!-- x -->",
            True,
        ),
        (b"Content-Type: text/html\r\n\r\n<?xml version=1?><script>x", True),
        (b"Content-Type: text/html\r\n\r\n<p>a", False),
        (b"Content-Type: text/html\r\n\r\n<style>p</style>a", False),
        (b"\r\nx", False),
    ],
)
def test_nothing_to_fax(reader: Reader, raw: bytes, refused: bool) -> None:
    said = "there is nothing to fax: the mail has no text and no attachment"
    assert reader.inspect(raw).refusal == (said if refused else "")


def test_a_file_without_content_is_no_mail_without_a_file(reader: Reader) -> None:
    raw = b"Content-Type: text/plain; name=list.txt\r\nContent-Disposition: attachment; filename=list.txt\r\n\r\n"
    assert reader.inspect(raw).refusal == "there is nothing to fax: list.txt is left out, it is empty"


def test_a_long_blank_beginning_is_read_to_its_end(reader: Reader) -> None:
    assert not reader.inspect(b"\r\n" + b" \r\n" * 200_000 + b"text").refusal
    assert reader.inspect(b"\r\n" + b" \r\n" * 200_000).refusal


def test_missing_file_is_no_refusal(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect(str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        extract(str(tmp_path / "missing"), str(tmp_path))


# --- extract ----------------------------------------------------------------------------------------------------------


def test_headers_come_decoded(reader: Reader) -> None:
    found = reader.extract(
        b"Subject: =?utf-8?q?=C3=9C?=\r\nFROM: a@example.com\r\nBcc: secret\r\nX-Other: x\r\n\r\ntext"
    )
    assert found["headers"] == {"subject": "Ü", "from": "a@example.com"}


def test_the_last_of_many_recipients_has_a_name(reader: Reader) -> None:
    to = ",\r\n ".join(f"=?utf-8?Q?M=C3=BCller=2C_{n}?= <+120255501{n:02}@fax.local>" for n in range(99))
    headers = reader.extract(f"To: {to}\r\nFrom: =?utf-8?Q?M=C3=BCller=2C_J?= <j@x>\r\n\r\nhi\r\n".encode())["headers"]
    assert headers["to"].endswith('"Müller, 98" <+12025550198@fax.local>')
    assert headers["from"] == '"Müller, J" <j@x>'


def test_files_get_names_of_our_own(reader: Reader, tmp_path: Path) -> None:
    message = EmailMessage(policy=SMTP)
    message.set_content("text")
    for name in ("../../a.pdf", "b.pdf"):
        message.add_attachment(b"x", maintype="application", subtype="pdf", filename=name)
    parts = reader.parts(message.as_bytes())
    assert [Path(part.path).name for part in parts] == ["001.part", "002.part", "003.part"]
    assert {Path(part.path).parent.parent for part in parts} == {tmp_path}
    assert [part.name for part in parts] == ["message text", "a.pdf", "b.pdf"]


def test_parts_without_a_name_are_numbered(reader: Reader) -> None:
    raw = multipart(part("text"), part("x", "Content-Type: application/pdf"))
    assert [part.name for part in reader.parts(raw)] == ["message text", "attachment 2"]


@pytest.mark.parametrize(
    "fields",
    [
        ("Content-Disposition: attachment; filename=a.pdf", "Content-Type: application/pdf; name=b.pdf"),
        ("Content-Disposition: attachment; name=a.pdf", "Content-Type: application/pdf; name=b.pdf"),
        ("Content-Disposition: attachment", "Content-Type: application/pdf; name=a.pdf"),
    ],
)
def test_the_name_of_a_part_is_taken_from_where_it_is(reader: Reader, fields: tuple[str, ...]) -> None:
    assert [each.name for each in reader.parts(multipart(part("text"), part("x", *fields)))][1:] == ["a.pdf"]


def test_refusals_are_raised(reader: Reader) -> None:
    with pytest.raises(Refused, match="nothing to fax") as caught:
        reader.extract(b"")
    assert caught.value.status == "5.6.1"
    with pytest.raises(Refused, match="encrypted") as caught:
        reader.extract(b"Content-Type: multipart/encrypted; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n")
    assert caught.value.status == "5.7.5"


@pytest.mark.parametrize(
    ("field", "referenced"),
    [("<logo@x>", True), ("logo@x", True), ("<LOGO@X>", True), ("<other@x>", False), ("", False)],
)
def test_pictures_shown_in_the_text_are_marked(reader: Reader, field: str, referenced: bool) -> None:
    raw = multipart(
        part('<p>Hello</p><img src="cid:logo@x">', "Content-Type: text/html"),
        part("x", "Content-Type: image/png", f"Content-ID: {field}"),
        kind="related",
    )
    assert [part.referenced for part in reader.parts(raw)] == [False, referenced]


@pytest.mark.parametrize(
    ("shown", "logo"),
    [
        ("<img width=200 height=100 src='cid:p@x'>", True),
        ('<IMG style="height:1.04in" HEIGHT="100" Width="299" src="cid:P@X">', True),
        ("<img src='cid:p@x' style='max-height:9px;width: 200px;height:99.5px'/>", True),
        ("<!--[if vml]><v:imagedata src='cid:p@x'/><![endif]--><img width=20 height=20 src=cid:p@x>", True),
        ("<img width=300 height=100 src='cid:p@x'>", False),
        ("<img width=200 src='cid:p@x'>", False),
        ("<img width=20% height=20% src='cid:p@x'>", False),
        ("<img src='cid:p@x' style='max-width:20px;max-height:20px'>", False),
        ("<img src='cid:p@x'>", False),
        ("<img width=0 height=0 src='cid:p@x'>", False),
        ("<img width=20 height=20 src='cid:p@x'><img src='cid:p@x'>", False),
        ("<img width=20 height=20 src='cid:other@x'><img src='cid:p@x'>", False),
    ],
)
def test_pictures_shown_as_small_as_a_logo_are_marked(reader: Reader, shown: str, *, logo: bool) -> None:
    raw = multipart(
        part(f"<p>Hello</p>{shown}", "Content-Type: text/html"),
        part("x", "Content-Type: image/png", "Content-ID: <p@x>"),
        kind="related",
    )
    assert [part.logo for part in reader.parts(raw)] == [False, logo]


@pytest.mark.parametrize(
    ("plain", "printed"),
    [
        ("Hello\r\nAnn\r\n[cid:Logo@x]\r\n\r\nBye", "Hello\nAnn\n\nBye"),  # Outlook
        ("Hello [image: logo.png] Ann [cid:logo@x]", "Hello  Ann"),  # Gmail
        ("Hello\r\n> <logo.png>\r\nAnn", "Hello\nAnn"),  # Apple Mail
        ("Hello [cid:other@x] <notes.png> [image: Ann]", "Hello [cid:other@x] <notes.png> [image: Ann]"),
        ("[cid:logo@x]", None),
    ],
)
def test_marks_of_places_of_pictures_in_a_plain_text_are_not_printed(
    reader: Reader, plain: str, printed: str | None
) -> None:
    forms = multipart(
        part(plain, "Content-Type: text/plain"),
        part(
            '<p>Hello Ann</p><img src="cid:logo@x">' if printed else '<img src="cid:logo@x">', "Content-Type: text/html"
        ),
        kind="alternative; boundary=c",
    ).replace(b"--b", b"--c")
    logo = part("x", "Content-Type: image/png; name=logo.png", "Content-ID: <logo@x>")
    found = reader.parts(multipart(forms.decode(), logo, kind="related"))
    texts = [Path(each.path).read_text().strip() for each in found if each.role == "body-text"]
    assert [text.replace("\r\n", "\n") for text in texts] == [printed] * (printed is not None)
    assert found[-1].name == "logo.png"


@pytest.mark.parametrize(
    ("fields", "role"),
    [
        (["Content-Type: text/plain"], "body-text"),
        (["Content-Type: text"], "body-text"),
        ([], "body-text"),
        (["Content-Type: text/html"], "body-html"),
        (["Content-Type: text/plain", "Content-Disposition: inline"], "body-text"),
        (["Content-Type: text/plain", "Content-Disposition: attachment"], "attachment"),
        (["Content-Type: text/plain", "Content-Disposition: strange"], "attachment"),
        (["Content-Type: text/plain; name=notes.txt"], "attachment"),
        (["Content-Type: text/plain", "Content-Disposition: inline; filename=notes.txt"], "attachment"),
        (["Content-Type: text/csv"], "attachment"),
        (["Content-Type: application/pdf"], "attachment"),
        (["Content-Type: .pdf"], "attachment"),
    ],
)
def test_roles(reader: Reader, fields: list[str], role: str) -> None:
    (found,) = reader.parts(multipart(part("content", *fields)))
    assert found.role == role


ENRICHED = "<color><param>FFFF,0,0</param>Five\r\nof A</color>\r\n\r\n<nofill>a\r\nb</nofill> <x-big>is <<10"


def test_a_text_with_marks_is_read_without_them(reader: Reader) -> None:
    (found,) = reader.parts(f"Content-Type: text/enriched\r\n\r\n{ENRICHED}".encode())
    assert (found.role, Path(found.path).read_text()) == ("body-text", "Five of A\na\nb is <10")


def test_marks_are_no_words_that_another_form_lacks(reader: Reader) -> None:
    marked = part(ENRICHED, "Content-Type: text/enriched")
    for form in (part("Five of A", "Content-Type: text/plain"), part("<p>Five of A</p>", "Content-Type: text/html")):
        for parts in ((marked, form), (form, marked)):
            (found,) = reader.parts(multipart(*parts, kind="alternative"))
            assert "Five of A" in Path(found.path).read_text()


@pytest.mark.parametrize("kind", ["mixed", "related"])
@pytest.mark.parametrize(
    ("plain", "rich", "printed"),
    [
        ("Dear Ann,\r\n\r\nfive of A & B", "<title>x</title><p>Dear Ann,</p><p>five of <b>A</b> &amp; B</p>", 1),
        ("Dear Ann, five of A", "<p>Dear Ann, six of A</p>", 2),
        ("five of A", "<p>five of A</p><p>five of A</p>", 2),
    ],
)
def test_a_text_and_the_same_in_html_are_one(reader: Reader, kind: str, plain: str, rich: str, printed: int) -> None:
    texts = part(plain, "Content-Type: text/plain"), part(rich, "Content-Type: text/html")
    found = reader.extract(multipart(*texts, part("1", "Content-Type: text/csv; name=a.csv"), kind=kind))
    assert [each["role"] for each in found["parts"]] == ["body-text", *["body-html"] * (printed - 1), "attachment"]
    assert [each["type"] for each in found["left_out"]] == ["text/html"] * (2 - printed)


def test_an_alternative_may_carry_names(reader: Reader) -> None:
    raw = multipart(
        part("plain", "Content-Type: text/plain; name=body.txt"),
        part("<p>rich</p>", "Content-Type: text/html; name=body.html"),
        kind="alternative",
    )
    assert [(part.role, part.size) for part in reader.parts(raw)] == [("body-text", 7)]


def test_a_calendar_alone_is_an_attachment(reader: Reader) -> None:
    raw = multipart(part("BEGIN:VCALENDAR", "Content-Type: text/calendar"), kind="alternative")
    assert [(part.role, part.declared_type) for part in reader.parts(raw)] == [("attachment", "text/calendar")]


def test_documents_in_an_alternative_are_kept(reader: Reader) -> None:
    raw = multipart(
        part("plain", "Content-Type: text/plain"),
        part("<p>rich</p>", "Content-Type: text/html"),
        part("x", "Content-Type: application/pdf; name=a.pdf"),
        kind="alternative",
    )
    assert [part.name for part in reader.parts(raw)] == ["message text", "a.pdf"]


def test_blank_forms_are_not_talked_about(reader: Reader) -> None:
    raw = multipart(
        multipart(
            part("", "Content-Type: text/plain"), part("<p></p>", "Content-Type: text/html"), kind="alternative"
        ).decode(),
        part("x", "Content-Type: application/pdf; name=a.pdf"),
    ).replace(b"--b--\r\n\r\n--b", b"--b", 1)
    found = reader.extract(raw)
    assert [part["name"] for part in found["parts"]] == ["a.pdf"]
    assert found["left_out"] == []


def test_attached_mails_inside_attached_mails(reader: Reader) -> None:
    inner = "From: carol@example.com\r\nSubject: inner\r\n\r\nInner text."
    middle = f"From: bob@example.com\r\nSubject: middle\r\nContent-Type: message/rfc822\r\n\r\n{inner}"
    (found,) = reader.parts(f"From: ann@example.com\r\nContent-Type: message/rfc822\r\n\r\n{middle}".encode())
    assert (found.role, found.name, found.charset) == ("attachment", 'attached mail "inner"', "utf-8")
    assert Path(found.path).read_text() == "From: carol@example.com\nSubject: inner\n\nInner text."


def test_attached_html_mail_is_html_still(reader: Reader) -> None:
    inner = "From: <bob@example.com>\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<p>Grüße</p>"
    raw = b"Content-Type: message/rfc822\r\n\r\n" + inner.encode("latin-1")
    (found,) = reader.parts(raw)
    assert found.declared_type == "text/html"
    text = Path(found.path).read_text()
    assert text.startswith("<!DOCTYPE html>\n<p>From: &lt;bob@example.com&gt;</p>")
    assert text.endswith("<p>Grüße</p>")


def test_attached_mail_in_base64(reader: Reader) -> None:
    inner = base64.encodebytes(b"Subject: hidden\r\n\r\nFound.")
    (found,) = reader.parts(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + inner)
    assert found.name == 'attached mail "hidden"'
    broken = reader.parts(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n" + inner[:-4])
    assert broken[0].defect == "its data is cut off"


def test_attached_mail_with_nothing_in_it_is_named(reader: Reader) -> None:
    raw = multipart(part("text"), part("Subject: void\r\n\r\n", "Content-Type: message/rfc822"))
    assert reader.extract(raw)["left_out"] == [
        {"part": 'attached mail "void"', "type": "message/rfc822", "reason": "it is empty"}
    ]


def test_an_attached_mail_of_a_document_alone_tells_that_its_head_is_not_printed(reader: Reader) -> None:
    document = part("x", "Content-Type: application/pdf; name=a.pdf")
    found = reader.extract(
        multipart(part("text"), part(f"Subject: scan\r\n{document}", "Content-Type: message/rfc822"))
    )
    assert [each["name"] for each in found["parts"]] == ["message text", "a.pdf"]
    (told,) = found["left_out"]
    assert told["part"] == 'attached mail "scan"'
    assert "its sender, date and subject are not printed" in told["reason"]


def test_a_file_called_eml_that_is_no_mail(reader: Reader) -> None:
    raw = multipart(part("just text", "Content-Type: application/octet-stream; name=x.eml"))
    (found,) = reader.parts(raw)
    assert (found.name, found.size) == ("x.eml", 11)


@pytest.mark.parametrize(
    "field",
    [
        "Content-Type: application/octet-stream; name=x.eml",
        "Content-Type: application/x-rfc822; name=X.EML",
        "Content-Type: application/octet-stream; name=page.mht",
        "Content-Type: application/x-mimearchive; name=page.mhtml",
    ],
)
def test_a_mail_or_web_page_saved_as_a_file_is_read(reader: Reader, field: str) -> None:
    saved = "From: Ann\r\nSubject: Plan\r\nContent-Transfer-Encoding: base64\r\n\r\nSGVsbG8=\r\n"
    (found,) = reader.parts(multipart(part(saved, field)))
    assert found.name == 'attached mail "Plan"'
    assert Path(found.path).read_text() == "From: Ann\nSubject: Plan\n\nHello"


def test_digest(reader: Reader) -> None:
    raw = multipart(part("Subject: one\r\n\r\nFirst."), part("Subject: two\r\n\r\nSecond."), kind="digest")
    assert [part.name for part in reader.parts(raw)] == ['attached mail "one"', 'attached mail "two"']


def test_parts_behind_the_closing_boundary_are_found(reader: Reader) -> None:
    raw = multipart(part("text")) + b"--b\r\nContent-Type: application/pdf; name=late.pdf\r\n\r\nx\r\n--b--\r\n"
    assert [part.name for part in reader.parts(raw)] == ["message text", "late.pdf"]


def test_preamble_and_epilogue_are_no_content(reader: Reader) -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\r\ntext\r\n--b--\r\nepilogue\r\n"
    (found,) = reader.parts(raw)
    assert Path(found.path).read_bytes() == b"text"


def test_multipart_that_is_only_text(reader: Reader) -> None:
    (found,) = reader.parts(b"Content-Type: multipart/mixed; boundary=b\r\n\r\nJust text.\r\n-- \r\nAnn\r\n")
    assert found.role == "body-text"


def test_boundary_with_a_blank_and_a_comment(reader: Reader) -> None:
    raw = b'Content-Type: multipart/mixed; boundary="a b "\r\n\r\n--a b\r\n\r\ntext\r\n--a b--\r\n'
    assert reader.parts(raw)[0].size == 4
    raw = b"Content-Type: multipart/mixed; boundary=ab (said so)\r\n\r\n--ab  \r\n\r\ntext\r\n--ab--  \r\n"
    assert reader.parts(raw)[0].size == 4


@pytest.mark.parametrize("name", ["winmail.dat", "ATT00008.dat"])
def test_tnef_under_any_name(reader: Reader, name: str) -> None:
    tnef = base64.b64encode(b"\x78\x9f\x3e\x22" + b"x" * 50).decode()
    raw = multipart(
        part("text"),
        part(tnef, f"Content-Type: application/octet-stream; name={name}", "Content-Transfer-Encoding: base64"),
    )
    assert name in reader.inspect(raw).refusal
    assert "HTML or plain text" in reader.inspect(raw).refusal


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data",
        "Content-Type: application/octet-stream; name=smime.p7m",
        "Content-Type: application/pgp-encrypted",
        "Content-Type: application/x-microsoft-rpmsg-message; name=message.rpmsg",
        "Content-Type: application/octet-stream; name=message_v4.rpmsg",
    ],
)
def test_sealed_parts(reader: Reader, fields: str) -> None:
    assert "encrypted" in reader.inspect(multipart(part("x", fields))).refusal


def test_signatures_are_left_out(reader: Reader) -> None:
    raw = multipart(part("text"), part("x", "Content-Type: application/octet-stream; name=smime.p7s"))
    assert [entry["part"] for entry in reader.extract(raw)["left_out"]] == ["smime.p7s"]


def test_several_uuencoded_files(reader: Reader) -> None:
    raw = b"\r\nbegin 644 a.pdf\n#0V%T\n`\nend\nbetween\nbegin 755 b.pdf\n#0V%T\n`\nend\n"
    found = reader.parts(raw)
    assert [(part.role, part.name, part.size) for part in found] == [
        ("attachment", "a.pdf", 3),
        ("body-text", "message text", 9),
        ("attachment", "b.pdf", 3),
    ]
    with pytest.raises(Refused, match="more than 200 parts"):
        reader.extract(b"\r\n" + raw * 150)


def test_data_that_decodes_to_nothing_is_empty(reader: Reader) -> None:
    raw = multipart(
        part("=", "Content-Type: application/pdf; name=a.pdf", "Content-Transfer-Encoding: quoted-printable")
    )
    assert reader.parts(raw)[0].defect == "it is empty"


def test_large_parts_come_out_whole(reader: Reader) -> None:
    data = os.urandom(3_000_000)
    message = EmailMessage(policy=SMTP)
    message.set_content("text")
    message.add_attachment(data, maintype="application", subtype="pdf", filename="a.pdf")
    assert Path(reader.parts(message.as_bytes())[1].path).read_bytes() == data


def test_a_plain_form_that_lacks_much_of_the_html_is_not_the_one_that_is_printed(reader: Reader) -> None:
    html = "<p>Please send:</p><table><tr><td>5 of A</td></tr><tr><td>6 of B</td></tr></table>"
    for plain, printed in (("Please send 5 of A, 6 B", "body-text"), ("Please send:", "body-html")):
        raw = multipart(
            part(plain, "Content-Type: text/plain"), part(html, "Content-Type: text/html"), kind="alternative"
        )
        assert [each.role for each in reader.parts(raw)] == [printed]


@pytest.mark.parametrize(
    ("plain", "html", "printed"),
    [
        ("To view the message, please use an HTML compatible email viewer!", "<p>Order 4711 of 3 December: please send"
         " five boxes of A4 paper to our branch</p>", "body-html"),
        ("Read it at https://news.example.org/view/4f9b3c56d9cf4461?to=bob&from=ann", "<p>Your appointment: 3 p.m.</p>",
         "body-html"),
        ("> 下記の件ご確認ください。\r\n> 会議は十二月\r\n> 三日です。", "<p>下記の件ご確認ください。会議は<b>十二月三日</b>です。</p>",
         "body-text"),
        ("Dear Ann, please send what the table names to our branch in Boston, order 4711", "<p>Dear Ann, please send what the table"
         " names to our branch in Boston, order 4711</p><table><tr><td>Paper</td><td>520</td></tr></table>", "body-html"),
        ("Our hall has 25 m2, order 4711 of 3.12.", "<p>Our hall has 25 m<sup>2</sup>, order <b>47</b>11 of 3.12.", "body-text"),
        ("* Hello *Bob*, [1]\r\n\r\n[1] https://example.org/a?b=c", "<h1>HELLO</h1><a href=x><b>Bob</b></a>,", "body-text"),
    ],
)  # fmt: skip
def test_a_plain_form_that_says_something_else_is_not_the_one_that_is_printed(
    reader: Reader, plain: str, html: str, printed: str
) -> None:
    """PHPMailer and newsletters write what is to be read into the HTML alone."""
    fields = "Content-Type: text/{}; charset=utf-8"
    raw = multipart(part(plain, fields.format("plain")), part(html, fields.format("html")), kind="alternative")
    assert [each.role for each in reader.parts(raw)] == [printed]


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [("plain", "ATT00001.txt", "And five more."), ("html", "ATT00002.htm", "<p>And five more.</p>")],
)
def test_text_that_exchange_has_cut_off_is_text_of_the_mail(reader: Reader, kind: str, name: str, text: str) -> None:
    fields = f"Content-Type: text/{kind}; name={name}\r\nContent-Disposition: attachment; filename={name}"
    raw = multipart(part("Dear Ann", "Content-Type: text/plain"), part(text, fields))
    assert [each.role[:4] for each in reader.parts(raw)] == ["body", "body"]
    raw = multipart(part("Dear Ann", "Content-Type: text/plain"), part("", fields))
    found = reader.extract(raw)
    assert [each["name"] for each in found["parts"]] == ["message text"]
    assert [(each["part"], each["reason"]) for each in found["left_out"]] == [(name, "it is empty")]


@pytest.mark.parametrize(
    "link",
    [
        '<div class="gmail_chip gmail_drive_chip"><a href="https://drive.google.com/file/d/1/view">scan.pdf</a></div>',
        '<div id="OwaReferenceAttachments"><div id="OwaReferenceAttachmentFileLink1">scan.pdf</div></div>',
        '<a href="https://www.icloud.com/attachment/?u=https%3A%2F%2Fcvws">Click to Download</a>',
        '<div id="cloudAttachmentListRoot"><a href="https://example.com/1">scan.pdf</a></div>',
    ],
)
def test_a_document_that_was_uploaded_instead_of_attached_is_refused(reader: Reader, link: str) -> None:
    text = "Here is the scan, please sign it"
    for raw in (
        f"Content-Type: text/html\r\n\r\n<p>{text}</p>{link}\r\n".encode(),
        multipart(
            part(f"{text}: scan.pdf <https://example.com/1>", "Content-Type: text/plain"),
            part(f"<p>{text}</p>{link}", "Content-Type: text/html"),
            kind="alternative",
        ),
    ):
        assert "only a link to a file on the web" in reader.inspect(raw).refusal
    quoted = f"<p>{text}</p><div class=gmail_attr>On Monday Bob wrote:</div><blockquote>{link}</blockquote>"
    assert reader.inspect(f"Subject: Re: x\r\nContent-Type: text/html\r\n\r\n{quoted}\r\n".encode()).refusal == ""


def test_a_mail_whose_text_is_on_the_web_is_refused(reader: Reader) -> None:
    text = "<p>Ann has sent you an email</p><a href='https://confidential-mail.google.com/msg/AOIS'>View the email</a>"
    raw = f"Content-Type: text/html\r\n\r\n{text}\r\n".encode()
    assert reader.inspect(raw).refusal == (
        "the mail is only a link to its text on the web (confidential mode); send it without that mode"
    )


FORK = "AAUWBwACAABNYWMgT1MgWA=="
APPLE = "Content-Type: application/{}; name=a.pdf\r\nContent-Transfer-Encoding: base64"


@pytest.mark.parametrize("kind", ["appledouble", "mixed"])
def test_what_a_macintosh_keeps_beside_a_file_is_no_page_wherever_it_stands(reader: Reader, kind: str) -> None:
    fork, file = part(FORK, APPLE.format("octet-stream")), part("JVBERi0xLjQK", APPLE.format("pdf"))
    for parts in ((fork, file), (file, fork)):
        found = reader.extract(multipart(*parts, kind=kind))
        assert [each["declared_type"] for each in found["parts"]] == ["application/pdf"]
        assert [each["part"] for each in found["left_out"]] == ["Macintosh data of a.pdf"]


def test_a_table_in_an_alternative_is_a_document(reader: Reader) -> None:
    raw = multipart(
        part("Dear Ann, the prices", "Content-Type: text/plain"),
        part("a;5\r\nb;6", "Content-Type: text/csv; name=prices.csv"),
        kind="alternative",
    )
    assert [(each.role, each.name) for each in reader.parts(raw)] == [
        ("body-text", "message text"), ("attachment", "prices.csv"),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["", "-b\r\n", "This is a multi-part message.\r\n\r\n"])
def test_a_part_whose_first_boundary_is_lost_is_not(reader: Reader, line: str) -> None:
    fields = "Content-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
    head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    raw = f"{head}{line}{fields}five of A\r\n--b\r\n{fields}Dear Ann\r\n--b--\r\n"
    assert "its parts cannot be told apart" in reader.inspect(raw.encode()).refusal
    for harmless in (
        head,
        "Content-Transfer-Encoding: 7bit\r\n\r\n",
        "Content-type: x/y\r\n",
        "Content-type: x/y\r\n\r\n",
    ):
        raw = f"{head}{line.removeprefix('-')}{harmless}--b\r\n{fields}Dear Ann\r\n--b--\r\n"
        assert not reader.inspect(raw.encode()).refusal


@pytest.mark.parametrize("place", ["before", "between", "behind"])
def test_parts_that_stand_between_the_parts_are_not_lost(reader: Reader, place: str) -> None:
    stray = "--x\r\nContent-Type: text/plain\r\n\r\nfive more\r\n--x--\r\n"
    first, second = "--b\r\n\r\nDear Ann\r\n", "--b\r\n\r\nfive of A\r\n"
    body = {
        "before": stray + first + second + "--b--\r\n",
        "between": f"{first}--b--\r\n{stray}{second}--b--\r\n",
        "behind": f"{first}{second}--b--\r\n{stray}",
    }[place]
    summary = reader.inspect(f"Content-Type: multipart/mixed; boundary=b\r\n\r\n{body}".encode())
    assert "its parts cannot be told apart" in summary.refusal


@pytest.mark.parametrize("b", ["b", "a:b"])
def test_a_missing_or_added_blank_line_loses_no_part(reader: Reader, b: str) -> None:
    head = f'Subject: x\r\nContent-Type: multipart/mixed; boundary="{b}"\r\n'
    file = part("a;5", "Content-Type: text/csv; name=a.csv", "Content-Disposition: attachment")
    for between in ("", " \r\n", "This is a multi-part message in MIME format.\r\n"):
        raw = f"{head}{between}--{b}\r\nContent-Type: text/plain\r\n\r\nDear Ann\r\n--{b}\r\n{file}--{b}--\r\n".encode()
        assert [each.name for each in reader.parts(raw)] == ["message text", "a.csv"]
    raw = f"{head}\r\n--{b}\r\n\r\nDear Ann\r\n--{b}\r\n\r\n{file}--{b}--\r\n".encode()
    assert [each.name for each in reader.parts(raw)] == ["message text", "a.csv"]


@pytest.mark.parametrize(
    ("encoding", "data"), [("base64", "JVBERi0xLjQK"), ("x-uuencode", "begin 644 a.pdf\r\n))5!$1BTQ+C0*\r\n`\r\nend")]
)
def test_a_part_behind_another_is_not_lost_without_a_word(reader: Reader, encoding: str, data: str) -> None:
    file = part(data, "Content-Type: application/pdf; name=a.pdf", f"Content-Transfer-Encoding: {encoding}")
    stray = "-b\r\nContent-Type: text/plain\r\n\r\nfive more\r\n"  # the boundary between them is damaged
    assert [each.defect for each in reader.parts(multipart(part("Dear Ann"), file))] == ["", ""]
    raw = multipart(part("Dear Ann"), file + stray)
    assert [each.defect for each in reader.parts(raw)] == ["", "its data was damaged on the way"]


def test_a_mail_of_pictures_on_the_web_is_told_so(reader: Reader) -> None:
    head, picture = b"Content-Type: text/html\r\n\r\n", b'<img alt="Offer" src="https://example.com/offer.png">'
    assert "are on the web; attach them" in reader.inspect(head + picture).refusal
    assert "no text and no attachment" in reader.inspect(head + b"<p></p>").refusal


def test_an_invitation_without_a_text_is_the_document(reader: Reader) -> None:
    blank = part("\r\n", "Content-Type: text/plain"), part("<p></p>", "Content-Type: text/html")
    raw = multipart(*blank, part("BEGIN:VCALENDAR", "Content-Type: text/calendar"), kind="alternative")
    assert [(each.role, each.declared_type) for each in reader.parts(raw)] == [("attachment", "text/calendar")]


def test_an_invitation_says_when_and_where_once(reader: Reader) -> None:
    """Outlook writes nothing of it in the text; others attach it, too."""
    entry = part("BEGIN:VCALENDAR", "Content-Type: text/calendar; method=REQUEST")
    invitation = (
        part("Please come.", "Content-Type: text/plain"),
        part("<p>Please come.</p>", "Content-Type: text/html"),
        entry,
    )
    raw = multipart(*invitation, kind="alternative")
    assert [each.name for each in reader.parts(raw)] == ["message text", "calendar entry"]
    file = part("BEGIN:VCALENDAR", "Content-Type: application/ics; name=invite.ics")
    within = raw.decode().replace("=b", "=i").replace("--b", "--i")
    found = reader.extract(multipart(within, file))
    assert [each["name"] for each in found["parts"]] == ["message text", "invite.ics"]
    assert {"part": "calendar entry", "type": "text/calendar", "reason": "it is also attached"} in found["left_out"]


def test_a_mail_of_nothing_but_what_is_left_out_is_told_why(reader: Reader) -> None:
    signature = part("x", "Content-Type: application/pkcs7-signature; name=smime.p7s")
    refusal = reader.inspect(multipart(part(" "), signature)).refusal
    assert refusal == "there is nothing to fax: smime.p7s is left out, it is a digital signature, nothing to print"


def test_two_plain_texts_that_differ_are_no_forms_of_one(reader: Reader) -> None:
    first, second = part("5 of A", "Content-Type: text/plain"), part("6 of B, and more", "Content-Type: text/plain")
    assert len(reader.parts(multipart(first, second, kind="alternative"))) == 2
    assert len(reader.parts(multipart(first, first, kind="alternative"))) == 1
