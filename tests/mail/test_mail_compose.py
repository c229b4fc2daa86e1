"""The mails we write: golden files for the eye, and checks no stranger's word can break.

``python tests/mail/test_mail_compose.py`` writes the golden files anew; read the difference before you commit it.
"""

from __future__ import annotations

import email
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mail.compose import Letterhead, compose
from gateway.mail.parse import inspect
from gateway.model import MailKind, OutgoingMail

GOLDEN = Path(__file__).parent / "golden_out"
HEAD = Letterhead(
    sender="Fax gateway <fax@example.org>",
    hostname="gw.example.org",
    domain="fax.example.org",
    version="0.1.0",
)
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
PDF = b"%PDF-1.4\n" + bytes(range(256)) + b"\n%%EOF\n"
RESULT: dict[str, Any] = {
    "job": "01JDXYZ-1",
    "submission": "01JDXYZ",
    "rcpt": "2025550123@fax.example.org",
    "number": "+12025550123",
    "subject": "Invoice 4711",
    "message_id": "<abc@mail.example.com>",
    "date": "Mon, 23 Nov 2026 11:14:50 +0100",
    "accepted_at": 1795428900.0,
    "submitted_at": 1795428960.0,
    "finished_at": 1795429100.0,
    "pages": 3,
    "ledger": ["message text: page 1", "invoice.pdf: pages 2-3", "smime.p7s: left out, it is a digital signature"],
    "cost": "0.07",
    "provider_ref": 1234567,
    "code": "ok",
    "text": "Sent! Fax Has Been Answered.",
    "status": "2.0.0",
    "confirmed": True,
    "notify": [],
    "orcpt": None,
    "envid": None,
    "ret": None,
    "sandbox": False,
}
INBOUND: dict[str, Any] = {
    "inbound": "01JDFAX",
    "from": "12025550123",
    "to": "12025550100",
    "time": "2026-11-23 10:15:01",
    "received_at": 1795428900.0,
    "pages": 2,
    "rsid": "ACME CORP",
    "speed": "14400",
    "duration": "65",
    "ecm": "on",
    "compression": "MMR",
    "file_type": "application/pdf",
    "sha256": "0123456789abcdef" * 4,
    "note": "",
    "sandbox": False,
}
OPERATOR: dict[str, Any] = {
    "sandbox": False,
    "title": "Fax 01JDXYZ-1 is held",
    "text": "The fax from ann@example.com to +12025550123 is held: its outcome could not be found out.",
    "remedy": "Look for it in the history at the provider. If it was not sent: faxgateway queue retry 01JDXYZ-1. If it"
    " was: faxgateway queue cancel 01JDXYZ-1.",
}


def mail(kind: MailKind, facts: dict[str, Any], **changes: Any) -> OutgoingMail:
    base = OutgoingMail(
        id="01JDMAIL",
        kind=kind,
        cause="01JDXYZ-1",
        to="ann@example.com",
        envelope_from="",
        message_id=f"<{kind}.01JDXYZ-1@gw.example.org>",
        created_at=1795429101.5,
        facts=facts,
    )
    return replace(base, **changes)


def failed(code: str, text: str, **more: Any) -> OutgoingMail:
    return mail(MailKind.FAILED, {**RESULT, "code": code, "text": text, "status": "", **more})


CASES: dict[str, tuple[OutgoingMail, bytes | None]] = {
    "01-delivered": (mail(MailKind.DELIVERED, RESULT), None),
    "02-delivered-not-confirmed": (
        mail(MailKind.DELIVERED, {**RESULT, "confirmed": False, "notify": ["failure"]}),
        None,
    ),
    "03-delivered-success-was-asked-for": (
        mail(
            MailKind.DELIVERED,
            {
                **RESULT,
                "notify": ["failure", "success"],
                "envid": "QQ314159",
                "orcpt": "rfc822;FAX=+12025550123@fax.example.org",
                "rcpt": "FAX=+12025550123@fax.example.org",
            },
        ),
        None,
    ),
    "04-delivered-in-the-sandbox-without-a-subject": (
        mail(MailKind.DELIVERED, {**RESULT, "sandbox": True, "subject": "", "number": "+99999990001"}),
        None,
    ),
    "05-busy": (
        failed(
            "busy",
            "Fax Failed - Line Busy (The fax machine could be busy)",
            attempts=5,
            dialled=2,
        ),
        None,
    ),
    "06-no-answer": (failed("no_answer", "Fax Failed - No Answer from Fax machine", ret="FULL"), None),
    "07-hangup": (failed("hangup", "Fax Failed - Early Hangup"), None),
    "08-file-error": (failed("file_error", "Fax Failed - File conversion failed. Re-upload and Retry"), None),
    "09-unknown-reason": (failed("unknown", "Fax Failed - Unknown Error (â€¦ contact us for more info)"), None),
    "10-refused": (failed("refused", "Invalid fax number", provider_ref=None, cost=None), None),
    "11-content": (
        failed(
            "content",
            "Angebot Größe.docx is an office document (Word, Excel, PowerPoint or OpenDocument), which cannot be faxed"
            " from here; send PDF, TIFF, JPEG, PNG, GIF, BMP, WEBP and plain text, for example by printing it to PDF",
            subject="Angebot für Müller, Schmidt und alle anderen, die schon lange darauf warten",
            status="5.6.1",
            pages=None,
            ledger=[],
            attempts=0,
            provider_ref=None,
            cost=None,
        ),
        None,
    ),
    "12-cancelled": (
        failed("cancelled", "cancelled by the administrator", attempts=0, provider_ref=None, cost=None),
        None,
    ),
    "13-expired": (failed("expired", "it waited five days for the provider"), None),
    "14-a-code-nobody-knows": (failed("quantum", "Fax Failed - Cat on the line"), None),
    "15-in-doubt": (
        mail(MailKind.UNKNOWN, {**RESULT, "code": "held", "text": "the fax may have been sent", "status": ""}),
        None,
    ),
    "16-no-result": (
        mail(MailKind.NO_RESULT, {**RESULT, "code": "no_result", "text": "never reported", "notify": ["success"]}),
        None,
    ),
    "17-fax-received": (mail(MailKind.INBOUND, INBOUND), PDF),
    "18-fax-received-from-nobody": (
        mail(
            MailKind.INBOUND,
            {**INBOUND, "from": "anonymous", "rsid": "Büro\u202e 1\r\nBcc: eve@example.com", "pages": 1},
        ),
        b"II*\0tiff",
    ),
    "19-fax-received-without-its-document": (mail(MailKind.INBOUND, {**INBOUND, "sandbox": True}), None),
    "20-fax-nobody-wanted": (
        mail(MailKind.INBOUND, {**INBOUND, "note": "This fax could not be delivered to bob@example.com: 550 gone"}),
        PDF,
    ),
    "21-operator": (mail(MailKind.OPERATOR, OPERATOR), None),
    "22-delayed": (
        mail(
            MailKind.DELAYED,
            {
                **RESULT,
                "code": "waiting",
                "text": "the fax provider cannot be reached",
                "status": "4.4.1",
                "attempts": 0,
                "cost": None,
                "provider_ref": None,
                "retry_until": 1795860900.0,
            },
        ),
        None,
    ),
    "27-scheduled": (
        mail(
            MailKind.ACCEPTED,
            {
                **{
                    key: value
                    for key, value in RESULT.items()
                    if key not in ("rcpt", "number", "orcpt", "submitted_at")
                },
                "job": "01JDXYZ",
                "recipients": [
                    {"rcpt": "2025550123@fax.example.org", "number": "+12025550123", "orcpt": ""},
                    {"rcpt": "+12025550124@fax.example.org", "number": "+12025550124", "orcpt": ""},
                ],
                "code": "scheduled",
                "text": "",
                "attempts": 0,
                "cost": None,
                "provider_ref": None,
                "next_at": 1795514400.0,
            },
        ),
        None,
    ),
    "23-held-for-lack-of-credit": (
        mail(
            MailKind.DELAYED,
            {
                **RESULT,
                "code": "held",
                "text": "the fax account lacks credit: Insufficient balance",
                "status": "5.0.0",
                "provider_ref": None,
                "cost": None,
                "notify": ["delay", "failure"],
                "envid": "QQ314159",
            },
        ),
        None,
    ),
    "24-closed-in-doubt": (
        mail(MailKind.NO_RESULT, {**RESULT, "code": "cancelled", "text": "cancelled by the administrator"}),
        None,
    ),
    "25-delivered-with-pages-hard-to-read": (
        mail(MailKind.DELIVERED, {**RESULT, "warnings": ["page 2 has light writing on it, which may be hard to read"]}),
        None,
    ),
    "26-busy-with-pages-hard-to-read": (
        failed(
            "busy",
            "Fax Failed - Line Busy",
            warnings=["page 2 is 41% black, which costs the recipient toner and may smear", "page 3 holds photographs"],
        ),
        None,
    ),
}
ORIGINALS = {
    "05-busy": b"From: Ann <ann@example.com>\r\nSubject: Invoice 4711\r\nX-Long: " + b"x" * 2000 + b"\r\n\r\nHello",
    "06-no-answer": b"From: Ann <ann@example.com>\r\nSubject: Invoice 4711\r\n\r\nPlease read.\r\n",
}
PICTURES = {
    "25-delivered-with-pages-hard-to-read": [("part-of-page-2.png", PICTURE)],
    "26-busy-with-pages-hard-to-read": [("page-2.png", PICTURE), ("page-3.png", PICTURE)],
}


def made(case: str) -> bytes:
    return compose(CASES[case][0], HEAD, CASES[case][1], PICTURES.get(case, ()), original=ORIGINALS.get(case, b""))


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def body(raw: bytes) -> str:
    """The text for people."""
    part = parsed(raw).get_body()
    assert isinstance(part, EmailMessage)
    return str(part.get_content())


def check_form(raw: bytes) -> EmailMessage:
    """What every mail of ours must be, whatever the facts say."""
    assert raw.isascii()
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", raw)
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    head, _, _ = raw.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= 998
    message = parsed(raw)
    for part in message.walk():
        assert not part.defects
    names = [name.lower() for name in message.keys()]  # noqa: SIM118  # a mail may have a field twice
    assert len(names) == len(set(names))
    for name in ("date", "from", "to", "subject", "message-id", "auto-submitted", "mime-version", "x-faxgateway-loop"):
        assert name in names
    allowed = {"reply-to", "in-reply-to", "references", "message-context", "x-auto-response-suppress"}
    assert all(name in allowed or name.startswith(("content-", "x-faxgateway-")) for name in names[5:] if name not in (
        "auto-submitted", "mime-version"
    ))  # fmt: skip
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", body(raw).replace("\r\n", "\n"))
    assert all(len(line) <= 78 for line in body(raw).splitlines())
    return message


# --- golden -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_mail_is_composed_as_expected(case: str) -> None:
    raw = made(case)
    assert raw == (GOLDEN / f"{case}.eml").read_bytes()
    check_form(raw)


def test_golden_folder_is_complete() -> None:
    assert {path.stem for path in GOLDEN.glob("*.eml")} == set(CASES)


def test_same_row_same_bytes() -> None:
    assert made("17-fax-received") == made("17-fax-received")


@pytest.mark.parametrize("case", CASES)
def test_our_own_mails_are_never_faxed(case: str, tmp_path: Path) -> None:
    path = tmp_path / "mail"
    path.write_bytes(made(case))
    assert inspect(str(path))["automatic"]


# --- reports ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [case for case in CASES if "05" <= case < "15"])
def test_failures_are_delivery_reports(case: str) -> None:
    """RFC 3464, 6522: machines read them."""
    message = parsed(made(case))
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    text, status, returned = message.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert status.get_content_type() == "message/delivery-status"
    is_whole = CASES[case][0].facts["ret"] == "FULL"
    assert returned.get_content_type() == ("message/rfc822" if is_whole else "text/rfc822-headers")
    about, recipient = status.get_payload()
    assert about["Reporting-MTA"] == "dns; gw.example.org"
    assert about["Arrival-Date"] == "Mon, 23 Nov 2026 10:15:00 +0000"
    assert recipient["Action"] == "failed"
    assert re.fullmatch(r"[45]\.\d\.\d", recipient["Status"])
    assert recipient["Final-Recipient"] == "rfc822; 2025550123@fax.example.org"
    assert recipient["Diagnostic-Code"].startswith("X-Fax; ")
    assert recipient["Final-Log-Id"] == "01JDXYZ-1"
    assert "Original-Recipient" not in recipient  # RFC 3464 section 2.3.1: only what ORCPT said
    assert "Original-Envelope-Id" not in about
    assert "What to do now:" in text.get_content()
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["In-Reply-To"] == message["References"] == "<abc@mail.example.com>"


def test_a_comment_behind_the_id_of_a_mail_does_not_part_its_result_from_it() -> None:
    facts = {"number": "+12025550123", "message_id": "<abc@mail.example.com> (added by the server)"}
    message = parsed(compose(mail(MailKind.DELIVERED, facts), HEAD))
    assert message["In-Reply-To"] == message["References"] == "<abc@mail.example.com>"


def test_pictures_of_a_report_are_in_the_part_for_people() -> None:
    """RFC 6522 section 3: the first part is for people, and may be of any type."""
    message = parsed(made("26-busy-with-pages-hard-to-read"))
    assert message.get_param("report-type") == "delivery-status"
    people, status, headers = message.iter_parts()
    assert (status.get_content_type(), headers.get_content_type()) == ("message/delivery-status", "text/rfc822-headers")
    assert people.get_content_type() == "multipart/mixed"
    text, *pictures = people.iter_parts()
    assert "How this comes out of a fax machine is attached: page-2.png, page-3.png" in text.get_content()
    assert [picture.get_filename() for picture in pictures] == ["page-2.png", "page-3.png"]
    assert {picture.get_content_disposition() for picture in pictures} == {"inline"}
    assert pictures[0].get_content() == PICTURE


def test_what_the_sender_gave_comes_back() -> None:
    message = parsed(made("03-delivered-success-was-asked-for"))
    _, status, headers = message.iter_parts()
    about, recipient = status.get_payload()
    assert about["Original-Envelope-Id"] == "QQ314159"
    assert recipient["Original-Recipient"] == "rfc822; FAX=+12025550123@fax.example.org"
    assert recipient["Action"] == "delivered"
    assert recipient["Status"].startswith("2.")
    assert "Message-ID: <abc@mail.example.com>" in headers.as_string()


@pytest.mark.parametrize(
    ("kind", "code", "notify", "action"),
    [
        (MailKind.DELIVERED, "ok", [], None),
        (MailKind.DELIVERED, "ok", ["success"], "delivered"),
        (MailKind.NO_RESULT, "no_result", [], None),
        (MailKind.NO_RESULT, "no_result", ["success"], "relayed"),
        (MailKind.DELAYED, "waiting", [], "delayed"),
        (MailKind.DELAYED, "held", ["delay"], "delayed"),
        (MailKind.UNKNOWN, "held", ["success"], None),
        (MailKind.UNKNOWN, "held", ["delay", "failure"], "delayed"),
        (MailKind.FAILED, "busy", [], "failed"),
    ],
)
def test_who_gets_a_report(kind: MailKind, code: str, notify: list[str], action: str | None) -> None:
    """RFC 3461 section 5.2."""
    raw = compose(mail(kind, {**RESULT, "code": code, "notify": notify, "status": ""}), HEAD)
    found = re.search(rb"\r\nAction: (\w+)\r\n", raw)
    assert (found[1].decode() if found else None) == action
    assert (parsed(raw).get_content_type() == "multipart/report") == bool(action)
    check_form(raw)


@pytest.mark.parametrize(
    ("code", "status"),
    [("busy", "4.4.1"), ("no_answer", "4.4.1"), ("hangup", "4.4.2"), ("file_error", "5.6.5"), ("refused", "5.1.1"),
     ("file_refused", "5.6.1"), ("content", "5.6.1"), ("expired", "4.4.7"), ("over_limit", "5.7.1"), ("denied", "5.7.1"),
     ("cancelled", "5.0.0"), ("nonsense", "5.0.0")],
)  # fmt: skip
@pytest.mark.parametrize("given_status", ["", "2.0.0", "rubbish", None])
def test_status_of_a_failure(code: str, status: str, given_status: str | None) -> None:
    assert f"\r\nStatus: {status}\r\n".encode() in compose(failed(code, "x", status=given_status), HEAD)


@pytest.mark.parametrize(("case", "status"), [("22-delayed", "4.4.1"), ("23-held-for-lack-of-credit", "4.3.5")])
def test_a_delay_is_a_report_that_says_so(case: str, status: str) -> None:
    """RFC 3464 section 2.3.3: a delay never has a permanent status; the sender reads that he need not do anything."""
    text, report, _headers = parsed(made(case)).iter_parts()
    recipient = report.get_payload()[1]
    assert (recipient["Action"], recipient["Status"]) == ("delayed", status)
    assert recipient["Diagnostic-Code"].startswith("X-Fax; ")
    words = " ".join(text.get_content().split())
    assert "has not been sent yet" in words
    assert "You need not send it again" in words
    assert "Reported " not in words


@pytest.mark.parametrize(
    ("calls", "kind", "code", "words"),
    [
        (0, MailKind.DELAYED, "waiting", "has not been sent yet. It waits, and the gateway keeps trying. Reason:"),
        (
            1,
            MailKind.DELAYED,
            "waiting",
            "has not got through yet. It waits, and the gateway keeps trying. It was dialled once",
        ),
        (
            2,
            MailKind.DELAYED,
            "held",
            "have seen to it. It was dialled 2 times before; if a call broke off, some of its pages",
        ),
        (
            2,
            MailKind.FAILED,
            "expired",
            "did not get through: it could not be handed to the provider in time. It was",
        ),
        (1, MailKind.DELIVERED, "ok", "the receiving machine took it. Subject"),
        (
            1,
            MailKind.FAILED,
            "busy",
            "did not get through: the line was busy at the last call. It was dialled once before",
        ),
        (0, MailKind.FAILED, "cancelled", "was cancelled before it was sent. Reason:"),
        (1, MailKind.FAILED, "cancelled", "was cancelled before it got through. It was dialled once before"),
    ],
)
def test_of_a_fax_that_was_dialled_before_it_is_not_told_that_it_was_not_sent(
    calls: int, kind: MailKind, code: str, words: str
) -> None:
    facts = {**RESULT, "code": code, "dialled": calls, "next_at": 1795429000.0 if code == "waiting" else None}
    told = " ".join(body(compose(mail(kind, facts), HEAD)).split())
    assert words in told
    assert ("Next try Mon 23 November 2026, 11:16 UTC+01:00" in told) == (code == "waiting")


@pytest.mark.parametrize(
    ("dialled", "ref", "tries", "price"),
    [
        (0, 7, 1, "provider's price)"),
        (2, 7, 3, "provider's price of one call)"),
        (2, None, 2, "provider's price of one"),
    ],
)
def test_only_what_the_provider_took_counts_as_a_try(dialled: int, ref: int | None, tries: int, price: str) -> None:
    """What it refused for want of credit, or because it was asked too often, rang nobody's telephone."""
    told = compose(mail(MailKind.DELIVERED, {**RESULT, "attempts": 17, "dialled": dialled, "provider_ref": ref}), HEAD)
    assert f"  Tries       {tries}\r\n  Cost        0.07 (the {price}".encode() in told


def test_of_what_may_not_have_been_taken_no_machine_is_told_that_it_was() -> None:
    facts = {**RESULT, "code": "cancelled", "notify": ["success"], "provider_ref": None}
    assert b"Action:" not in compose(mail(MailKind.NO_RESULT, facts), HEAD)


def test_who_hears_that_a_fax_is_ready_hears_when_it_goes_in_his_time_and_gets_no_report() -> None:
    told = made("27-scheduled")
    assert b"Reporting-MTA" not in told
    assert b"\r\nSubject: Scheduled: Invoice 4711 to 2 numbers\r\n" in told
    words = " ".join(body(told).split())
    assert "Not before Tue 24 November 2026, 11:00 UTC+01:00" in words
    assert "+1 202 555 0123" in words and "+1 202 555 0124" in words
    assert "invoice.pdf: pages 2-3" in words
    assert "Reported " not in words and "Tries" not in words


def test_until_when_it_is_tried_is_told_where_it_is_known() -> None:
    _text, report, _headers = parsed(made("22-delayed")).iter_parts()
    assert report.get_payload()[1]["Will-Retry-Until"] == "Sat, 28 Nov 2026 10:15:00 +0000"
    assert "Tried until Sat 28 November 2026, 11:15 UTC+01:00" in body(made("22-delayed"))
    assert "Will-Retry-Until" not in made("23-held-for-lack-of-credit").decode()


@pytest.mark.parametrize(
    ("date", "told"),
    [
        ("Mon, 23 Nov 2026 15:44:50 +0530", "Accepted    Mon 23 November 2026, 15:45 UTC+05:30"),
        ("Sun, 22 Nov 2026 22:14:50 -1200", "Accepted    Sun 22 November 2026, 22:15 UTC-12:00"),
        ("Mon, 23 Nov 2026 10:14:50 -0000", "Accepted    Mon 23 November 2026, 10:15 UTC\n"),
        ("yesterday +9999", "Accepted    Mon 23 November 2026, 10:15 UTC\n"),
    ],
)
def test_times_are_those_of_the_senders_clock(date: str, told: str) -> None:
    assert told in body(compose(mail(MailKind.DELIVERED, {**RESULT, "date": date}), HEAD)).replace("\r", "")


def test_a_received_fax_has_the_time_of_those_who_receive_it() -> None:
    india = timezone(timedelta(hours=5, minutes=30), "IST")
    there = replace(HEAD, clock=lambda at: datetime.fromtimestamp(at, india))
    message = parsed(compose(mail(MailKind.INBOUND, INBOUND), there, PDF))
    assert "Received    Mon 23 November 2026, 15:45 IST" in str(message)
    assert "fax-2026-11-23-1545-from-12025550123.pdf" in str(message)


def test_orcpt_without_its_type() -> None:
    raw = compose(failed("busy", "x", orcpt="fax+2@example.org", envid="a\r\nb"), HEAD)
    assert b"\r\nOriginal-Recipient: rfc822; fax+2@example.org\r\n" in raw
    assert b"\r\nOriginal-Envelope-Id: a b\r\n" in raw


# --- words ------------------------------------------------------------------------------------------------------------


def test_the_senders_subject_leads() -> None:
    raw = made("01-delivered")
    assert parsed(raw)["Subject"] == "Faxed: Invoice 4711 to +1 202 555 0123"
    assert body(raw).startswith('Your fax "Invoice 4711" to +1 202 555 0123 went through')
    assert parsed(made("05-busy"))["Subject"] == "Not faxed: Invoice 4711 to +1 202 555 0123 (line busy)"


def test_honest_words() -> None:
    assert "confirmed" not in body(made("02-delivered-not-confirmed")).replace("Confirmed   no", "")
    assert "may have arrived" in body(made("07-hangup"))
    assert "Do NOT send it again" in body(made("15-in-doubt"))
    assert "Do NOT send it again" in body(made("16-no-result"))


def test_each_of_many_recipients_is_named() -> None:
    many = [{"rcpt": f"1202555{n:04}@fax.example.org", "number": f"+1202555{n:04}", "orcpt": None} for n in range(100)]
    said = " ".join(body(compose(mail(MailKind.ACCEPTED, {**RESULT, "recipients": many}), HEAD)).split())
    assert all(f"+1 202 555 {n:04}" in said for n in range(100))


@pytest.mark.parametrize("kind", list(MailKind))
def test_the_sandbox_is_marked(kind: MailKind) -> None:
    facts = {MailKind.INBOUND: INBOUND, MailKind.OPERATOR: OPERATOR}.get(kind, RESULT)
    raw = compose(mail(kind, {**facts, "sandbox": True}), HEAD)
    assert parsed(raw)["Subject"].startswith("[SANDBOX] ")
    assert parsed(raw)["X-Faxgateway-Sandbox"] == "yes"
    assert "Nothing was really faxed" in body(raw)
    assert "SANDBOX" not in compose(mail(kind, facts), HEAD).decode()


def test_ledger_is_told() -> None:
    assert "  - invoice.pdf: pages 2-3\n" in body(made("01-delivered")).replace("\r\n", "\n")


def test_address_as_written_is_shown_only_when_it_differs() -> None:
    assert "(you wrote 2025550123@fax.example.org)" in body(made("01-delivered"))
    same = mail(MailKind.DELIVERED, {**RESULT, "rcpt": "+12025550123@fax.example.org"})
    assert "you wrote" not in body(compose(same, HEAD))


# --- received faxes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "is_cut"),
    [(PDF, False), (PDF + b" " * 3000, False), (PDF[:-8], True), (b"II*\0tiff", False), (None, False)],
)
def test_a_document_without_its_end_is_told(document: bytes | None, is_cut: bool) -> None:
    said = body(compose(mail(MailKind.INBOUND, INBOUND), HEAD, document))
    assert ("without its end: pages may be missing" in said.replace("\n", " ")) == is_cut
    assert ("send the fax again" in said.replace("\n", " ")) == (is_cut or document is None)


@pytest.mark.parametrize(
    ("there", "counted", "row"),
    [
        (None, ", 2 pages", "2"),
        (2, ", 2 pages", "2"),
        (1, ", 1 of 2 pages", "1 in the document, 2 reported by the provider"),
        (0, ", 0 of 2 pages", "0 in the document, 2 reported by the provider"),
        (3, ", 3 pages", "3 in the document, 2 reported by the provider"),
    ],
)
def test_a_document_with_fewer_pages_than_told_is_told(there: int | None, counted: str, row: str) -> None:
    message = parsed(compose(mail(MailKind.INBOUND, {**INBOUND, "pages": 2}), HEAD, PDF, pages=there))
    said = " ".join(message.get_body().get_content().split())
    assert message["Subject"].endswith(counted)
    assert f" Pages {row} " in said
    assert ("more pages than the document has" in said) == (there == 1)
    assert ("cannot be opened here: it seems to be damaged" in said) == (there == 0)
    assert ("send the fax again" in said) == (there in (0, 1))


def test_a_fax_that_only_the_list_tells_of_has_the_time_of_that() -> None:
    late = {
        **INBOUND,
        "time": "",
        "received_at": INBOUND["received_at"] + 3 * 86400.0,
        "listed_at": INBOUND["received_at"],
    }
    said = " ".join(parsed(compose(mail(MailKind.INBOUND, late), HEAD)).get_content().split())
    assert (
        "Received Thu 26 November 2026, 10:15 UTC Call time Mon 23 November 2026, 10:15 UTC (by the provider's list)"
        in said
    )


def test_received_fax_is_attached() -> None:
    message = parsed(made("17-fax-received"))
    (document,) = message.iter_attachments()
    assert document.get_content() == PDF
    assert document.get_content_type() == "application/pdf"
    assert document.get_filename() == "fax-2026-11-23-1015-from-12025550123.pdf"
    assert message["From"].addresses[0].display_name == "Fax from +1 202 555 0123"
    assert message["From"].addresses[0].addr_spec == "fax@example.org"
    assert message["Message-Context"] == "fax-message"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Reply-To"] is None
    assert "A reply to this mail does not reach the sender of the fax." in " ".join(
        body(made("17-fax-received")).split()
    )


def test_received_tiff() -> None:
    (document,) = parsed(made("18-fax-received-from-nobody")).iter_attachments()
    assert document.get_content_type() == "image/tiff"
    assert document.get_filename() == "fax-2026-11-23-1015-from-unknown.tif"
    unknown = compose(mail(MailKind.INBOUND, {**INBOUND, "file_type": "?"}), HEAD, b"GIF")
    (document,) = parsed(unknown).iter_attachments()
    assert document.get_filename() == "fax-2026-11-23-1015-from-12025550123.bin"


@pytest.mark.parametrize(
    ("caller", "who"),
    [
        ("+1 (202) 555-0123", "12025550123"), ("202 555 0123", "2025550123"), ("", "unknown"), ("+", "unknown"),
        ("sip:+12025550123@192.0.2.1", "unknown"), ("٢٠٢٥٥٥٠١٢٣", "unknown"),
    ],
)  # fmt: skip
def test_the_document_is_named_for_the_number_of_the_caller_in_whatever_form(caller: str, who: str) -> None:
    (document,) = parsed(compose(mail(MailKind.INBOUND, {**INBOUND, "from": caller}), HEAD, PDF)).iter_attachments()
    assert document.get_filename() == f"fax-2026-11-23-1015-from-{who}.pdf"


def test_missing_document_is_said() -> None:
    raw = made("19-fax-received-without-its-document")
    assert "(document missing)" in parsed(raw)["Subject"]
    assert "could not be fetched" in body(raw)
    assert not list(parsed(raw).iter_attachments())


# --- strangers' words -------------------------------------------------------------------------------------------------

nasty = st.text(max_size=60) | st.sampled_from(
    [
        "a\r\nBcc: eve@example.com",
        "\n\n.\r\nQUIT",
        "=?utf-8?q?x?=",
        "x" * 3000,
        "\u202e\0",
        "ü" * 500,
        '"\\<>',
        "{{ 7*7 }}",
    ]
)
facts_of_strangers = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        "job rcpt number subject message_id date code text envid orcpt status headers inbound from to time rsid speed"
        " duration ecm compression file_type sha256 note title remedy cost extra".split(),
        nasty,
    )
    | {
        "ledger": st.lists(nasty, max_size=3),
        "notify": st.lists(st.sampled_from(["success", "failure", "delay"])),
        "pages": st.none() | st.integers(0, 10**6) | nasty,
        "attempts": st.none() | st.integers(0, 99),
        "accepted_at": st.none() | st.floats(0, 4e9),
        "received_at": st.floats(0, 4e9),
        "provider_ref": st.none() | st.integers(),
        "confirmed": st.booleans(),
        "sandbox": st.booleans(),
    },
)


@pytest.mark.slow
@settings(max_examples=100)
@given(st.sampled_from(MailKind), facts_of_strangers, st.none() | st.binary(max_size=200), nasty, nasty)
def test_no_fact_breaks_the_form(
    kind: MailKind, facts: dict[str, Any], attachment: bytes | None, to: str, message_id: str
) -> None:
    raw = compose(mail(kind, facts, to=to, message_id=message_id), HEAD, attachment)
    message = check_form(raw)
    assert message["From"].addresses[0].addr_spec == "fax@example.org"
    if kind is MailKind.INBOUND and attachment is not None:
        (document,) = message.iter_attachments()
        assert document.get_payload(decode=True) == attachment


def test_the_text_of_a_mail_without_a_header_is_not_returned_as_one() -> None:
    raw = compose(failed("busy", "x", ret="HDRS"), HEAD, original=b"\r\nDiagnosis: secret\r\n\r\nmore\r\n")
    check_form(raw)
    assert b"Diagnosis" not in raw


def test_original_headers_do_not_break_out() -> None:
    boundary = re.search(rb'boundary="([^"]+)"', made("05-busy"))
    assert boundary
    evil = b"A: b\r\n--%b--\r\nGr\xfc\xdfe\x00\r\n\r\nx" % boundary[1]
    for ret in ("HDRS", "FULL"):
        raw = compose(failed("busy", "x", ret=ret), HEAD, original=evil)
        message = check_form(raw)
        assert len(list(message.iter_parts())) == 3
        assert b"Gr??e?" in raw


@pytest.mark.parametrize(
    ("original", "is_whole"),
    [
        (b"A: b\r\n\r\nx\r\n", True),
        (b"A: b\r\n\r\nx", True),
        (b"A: b\r\n\r\n" + b"x" * 998, True),
        (b"A: b\r\n\r\n" + b"x" * 999, False),
        (b"A: b\r\n\r\nx\ny\r\n", False),
        (b"A: b\r\n\r\nx\ry\r\n", False),
        (b"A: b\r\n\r\nx\0", False),
        (b"A: b\r\n\r\n\xe4", False),
        ((b"A: b\r\n\r\n" + b"x\r\n" * 20000)[:50_000], True),
        ((b"A: b\r\n\r\n" + b"x\r\n" * 20000)[:50_001], False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("kind", [MailKind.FAILED, MailKind.DELAYED])
def test_only_a_failure_returns_a_whole_mail_and_only_what_needs_no_encoding(
    kind: MailKind, original: bytes, is_whole: bool
) -> None:
    """RFC 3461 section 4.3, RFC 2046 section 5.2.1."""
    raw = compose(mail(kind, {**RESULT, "code": "busy", "ret": "FULL"}), HEAD, original=original)
    check_form(raw)
    assert (b"Content-Type: message/rfc822\r\n\r\n" + original + b"\r\n--" in raw) == (
        is_whole and kind is MailKind.FAILED
    )


def test_what_looks_like_an_encoded_word_is_shown_as_it_came() -> None:
    claimed = "=?utf-8?q?=E2=80=AE?="
    message = parsed(compose(mail(MailKind.INBOUND, {**INBOUND, "from": claimed}), HEAD, b"%PDF-1.4 %%EOF"))
    assert message["From"].addresses[0].display_name == f"Fax from {claimed}"
    assert message["Subject"] == f"Fax from {claimed}, 2 pages"


def test_facts_are_no_templates() -> None:
    assert "{{ 7*7 }}" in body(compose(failed("content", "{{ 7*7 }}"), HEAD))


def test_recipient_beyond_ascii() -> None:
    message = parsed(compose(mail(MailKind.DELIVERED, RESULT, to="jürgen@example.com"), HEAD))
    assert message["To"] == "undisclosed-recipients:;"


def test_sender_without_a_name() -> None:
    plain = parsed(compose(mail(MailKind.DELIVERED, RESULT), Letterhead(sender="fax@example.org")))
    assert plain["From"] == "fax@example.org"
    named = parsed(compose(mail(MailKind.DELIVERED, RESULT), Letterhead(sender='"Büro, Fax" <fax@example.org>')))
    assert named["From"].addresses[0].display_name == "Büro, Fax"


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in CASES:
        (GOLDEN / f"{name}.eml").write_bytes(made(name))
