"""Command by command over a real socket: what is answered, in which order, and when it is enough."""

from __future__ import annotations

import asyncio
import smtplib

import pytest
from smtp_harness import LOCAL, Client, Doors, Stub, talking, until
from structlog.testing import capture_logs

from gateway.edge.smtp_settings import ListenerSettings
from gateway.errors import NoSpace, Refused, TryLater


async def test_the_greeting_offers_what_is_there(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_message=12_345)
    async with talking(address, greeting="") as client:
        reply = await client.ask("EHLO copier.example")
    assert reply.lines[0] == "fax.local"
    assert set(reply.lines[1:]) == {"SIZE 12345", "8BITMIME", "PIPELINING", "ENHANCEDSTATUSCODES", "DSN", "CHUNKING"}


@pytest.mark.parametrize("greeting", ["HELO copier", "helo", "EHLO", "ehlo [192.0.2.1]", "EHLO a b c", ""])
async def test_every_greeting_and_none_may_send(doors: Doors, stub: Stub, greeting: str) -> None:
    (address,) = await doors.open(stub)
    async with talking(address, greeting=greeting) as client:
        assert (await client.mail(b"Subject: x\r\n\r\nhello")).code == 250
    assert len(stub.mails) == 1


async def test_the_small_commands(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address, greeting="") as client:
        assert await client.asks("NOOP", "noop again", "RSET", "VRFY postmaster", "HELP", "HELP MAIL") == [
            250, 250, 250, 252, 214, 214,
        ]  # fmt: skip
        assert (await client.ask("QUIT")).code == 221
        assert await client.closed() == b""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("EXPN list", "502 5.5.1"),
        ("ETRN fax.local", "502 5.5.1"),
        ("", "500 5.5.2"),
        ("XYZ\x01\x02", "500 5.5.1 XYZ??"),
        ("BDAT 0 LAST", "503 5.5.1 MAIL comes first"),
        ("MAIL TO:<a@b>", "501 5.5.4"),
        ("RCPT TO:<+12025550123@fax.local>", "503 5.5.1 MAIL comes first"),
        ("DATA", "503 5.5.1 MAIL comes first"),
        ("DATA now", "501 5.5.4"),
        ("STARTTLS", "502 5.5.1"),
        ("STARTTLS x", "501 5.5.4"),
        ("AUTH PLAIN AGEAYg==", "502 5.5.1"),
    ],
)
async def test_what_cannot_be_done_is_said_with_an_enhanced_code(
    doors: Doors, stub: Stub, line: str, code: str
) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        assert str(await client.ask(line)).startswith(code)
        assert (await client.ask("NOOP")).code == 250


async def test_the_order_of_a_transaction(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        assert await client.asks("MAIL FROM:<a@example.org>", "MAIL FROM:<b@example.org>", "DATA") == [250, 503, 554]
        assert await client.asks("RSET", "RCPT TO:<+12025550123@fax.local>") == [250, 503]
        assert await client.asks("MAIL FROM:<a@example.org>", "RCPT TO:<+12025550123@fax.local>", "EHLO again") == [
            250, 250, 250,
        ]  # fmt: skip
        assert (await client.ask("DATA")).code == 503
        assert (await client.mail(b"x", sender="c@example.org")).code == 250
        assert (await client.ask("DATA")).code == 503
    assert [envelope.sender for envelope, _ in stub.mails] == ["c@example.org"]


async def test_what_the_envelope_says_arrives_as_it_was_said(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address, greeting="EHLO copier.example") as client:
        assert await client.asks(
            "MAIL FROM:<you@example.org> SIZE=99 BODY=8BITMIME RET=HDRS ENVID=Ab+2Bc AUTH=<>",
            "RCPT TO:<FAX=+12025550123@fax.local> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;you+40there",
            "RCPT TO:<+12025550124@fax.local> NOTIFY=NEVER",
            "RCPT TO:<+12025550125@fax.local> ORCPT=rfc822;me+40there",
            "RCPT TO:<+1-202-555-0123@fax.local>",
            "RCPT TO:<+12025550124/ref=1@fax.local>",  # one fax cannot be both
            "DATA",
        ) == [250, 250, 250, 250, 250, 554, 354]
        await client.send("Subject: x\r\n\r\nGrüße\r\n..\r\n.\r\n".encode())
        assert str(await client.reply()) == "250 2.0.0 queued as Q1"
    ((envelope, content),) = stub.mails
    assert (envelope.sender, envelope.ret, envelope.envid) == ("you@example.org", "HDRS", "Ab+c")
    first, second, third = envelope.recipients  # the same number twice is one fax
    assert (first.address, first.number.e164, first.orcpt) == (
        "FAX=+12025550123@fax.local", "+12025550123", "rfc822;you@there",
    )  # fmt: skip
    assert first.notify == {"success", "failure", "delay"}
    assert second.notify == {"never"}
    assert third.orcpt == "rfc822;me@there"
    peer = envelope.peer
    assert (peer.address, peer.helo, peer.protocol, peer.trusted_network) == (
        "127.0.0.1", "copier.example", "ESMTP", True,
    )  # fmt: skip
    trace, _, rest = content.partition(b"Subject:")
    assert trace.startswith(
        b"Received: from copier.example ([127.0.0.1])\r\n\tby fax.local (faxgateway) with ESMTP;\r\n"
    )
    assert rest == " x\r\n\r\nGrüße\r\n.\r\n".encode()


@pytest.mark.parametrize(
    ("first", "again", "told"),
    [
        ("NOTIFY=NEVER", "NOTIFY=FAILURE", {"failure"}),
        ("NOTIFY=NEVER", "", set()),
        ("", "NOTIFY=NEVER", set()),
        ("NOTIFY=SUCCESS", "NOTIFY=DELAY", {"success", "delay"}),
        ("NOTIFY=SUCCESS", "", {"success", "failure", "delay"}),
        ("", "", set()),
        ("NOTIFY=NEVER", "NOTIFY=NEVER", {"never"}),
    ],
)
async def test_of_a_number_named_twice_all_is_told_that_is_wanted_for_either(
    doors: Doors, stub: Stub, first: str, again: str, told: set[str]
) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        assert await client.asks(
            "MAIL FROM:<you@example.org>", f"RCPT TO:<+12025550123@fax.local> {first}",
            f"RCPT TO:<12025550123@fax.local> {again}", "DATA",
        ) == [250, 250, 250, 354]  # fmt: skip
        await client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        assert (await client.reply()).code == 250
    ((envelope, _),) = stub.mails
    assert [recipient.notify for recipient in envelope.recipients] == [told]


@pytest.mark.parametrize(
    "line",
    ["MAIL FROM:<j\xfcrgen@example.org>", "MAIL FROM:<a\rBcc: b@example.org>", "MAIL FROM:<a\x00@example.org>"],
)
async def test_a_sender_no_report_could_be_sent_to_is_refused(doors: Doors, stub: Stub, line: str) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        for raw in (line.encode("utf-8"), line.encode("latin-1")):
            assert str(await client.ask(raw)).startswith("553 5.1.7 ")


async def test_pipelined_commands_are_answered_one_by_one_in_order(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        await client.send(
            b"MAIL FROM:<you@example.org>\r\nRCPT TO:<+12025550123@fax.local>\r\nRCPT TO:<nobody@fax.local>\r\n"
            b"RCPT TO:<+12025550124@fax.local>\r\nDATA\r\n"
        )
        assert [(await client.reply()).code for _ in range(5)] == [250, 250, 553, 250, 354]
        await client.send(b"hello\r\n.\r\nRSET\r\nMAIL FROM:<b@example.org>\r\nQUIT\r\n")
        assert [(await client.reply()).code for _ in range(4)] == [250, 250, 250, 221]
    assert [r.number.e164 for r in stub.mails[0][0].recipients] == ["+12025550123", "+12025550124"]


async def test_commands_cut_at_every_byte_are_still_commands(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        for byte in b"NOOP\r\nRSET\nQUIT\r\n":
            await client.send(bytes([byte]))
            await asyncio.sleep(0.001)
        assert [(await client.reply()).code for _ in range(3)] == [250, 250, 221]


async def test_a_mail_sent_before_data_was_answered_is_not_taken_for_commands(doors: Doors, stub: Stub) -> None:
    """Body lines behind a DATA that is refused could otherwise be a mail of their own."""
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        await client.send(
            b"MAIL FROM:<you@example.org>\r\nRCPT TO:<nobody@fax.local>\r\nDATA\r\n"
            b"RSET\r\nMAIL FROM:<you@example.org>\r\nRCPT TO:<+12025550123@fax.local>\r\nDATA\r\nspoofed\r\n.\r\n"
        )
        assert [(await client.reply()).code for _ in range(3)] == [250, 553, 421]
        assert await client.closed() == b""
    assert stub.mails == []


async def test_too_many_errors_end_the_session(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_errors=3)
    async with talking(address) as client:
        assert await client.asks("A", "B", "C", "D") == [500, 500, 500, 421]
        assert await client.closed() == b""


async def test_pipelined_errors_end_the_session_and_the_client_can_read_why(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_errors=3)
    async with talking(address) as client:
        await client.send(b"WHAT\r\n" * 100_000)
        assert [(await client.reply()).code for _ in range(4)] == [500, 500, 500, 421]


async def test_an_accepted_mail_forgives_earlier_errors(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_errors=2)
    async with talking(address) as client:
        for _ in range(4):
            assert await client.asks("WHAT", "WHAT") == [500, 500]
            assert (await client.mail(b"x")).code == 250


async def test_temporary_refusals_are_no_errors_of_the_clients(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_errors=2, max_recipients=2)
    async with talking(address) as client:
        numbers = [f"RCPT TO:<+1202555{n:04}@fax.local>" for n in range(100, 110)]
        assert await client.asks("MAIL FROM:<you@example.org>", *numbers) == [250, 250, 250, *[452] * 8]
        assert await client.asks("RCPT TO:<+12025550100@fax.local>", "DATA") == [250, 354]
        assert str(await client.ask("x\r\n.")).startswith("250")
    assert len(stub.mails[0][0].recipients) == 2


async def test_each_wrong_number_or_mail_of_many_has_its_answer_and_the_good_ones_are_faxed(
    doors: Doors, stub: Stub
) -> None:
    within, outside = (
        ListenerSettings(name, "127.0.0.1:0", networks=networks) for name, networks in (("a", LOCAL), ("b", ()))
    )
    permitted, strange = await doors.open(stub, within, outside, max_errors=5)
    numbers = [f"RCPT TO:<+1202555{n:03}@fax.local>" for n in range(40)]
    async with talking(permitted) as client:
        assert await client.asks("MAIL FROM:<you@example.org>", *numbers) == [250, *[553] * 40]
        assert (await client.ask("RCPT TO:<+12025550123@fax.local>")).code == 250
        assert await client.asks("DATA") == [354]
        assert str(await client.ask("x\r\n.")).startswith("250")
    async with talking(permitted) as client:
        stub.fail["accept"] = Refused("nothing to fax", status="5.6.1")
        assert [(await client.mail(b"x")).code for _ in range(10)] == [554] * 10
        del stub.fail["accept"]
        assert (await client.mail(b"x")).code == 250
    async with talking(strange) as client:
        assert await client.asks("MAIL FROM:<you@example.org>", *numbers[:6]) == [250, *[550] * 5, 421]


async def test_a_session_has_a_budget_of_commands_that_lead_nowhere(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    for line in ("NOOP", "RCPT TO:<+12025550123@fax.local>"):
        async with talking(address) as client:
            assert (await client.ask("MAIL FROM:<you@example.org>")).code == 250
            await client.send(f"{line}\r\n".encode() * 1200)
            codes = []
            while not codes or codes[-1] == 250:
                codes.append((await client.reply()).code)
            assert codes[-1] == 421
            assert 1000 < len(codes) < 1200


async def test_a_command_line_has_a_length(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        assert (await client.ask("NOOP " + "x" * 12_283)).code == 250
        assert str(await client.ask("NOOP " + "x" * 12_284)).startswith("500 5.5.2")
        assert await client.closed() == b""
    async with talking(address) as client:
        await client.send(b"x" * 1_000_000)
        assert (await client.reply()).code == 500


@pytest.mark.parametrize("first", [b"POST / HTTP/1.1\r\nHost: 127.0.0.1:2525\r\n\r\n", b"get /x HTTP/1.0\r\n"])
async def test_a_browser_cannot_be_made_to_send_faxes(doors: Doors, stub: Stub, first: bytes) -> None:
    """A web page can have a browser post text to a port of this machine, which counts as a trusted client."""
    (address,) = await doors.open(stub)
    async with talking(address, greeting="") as client:
        await client.send(
            first + b"EHLO x\r\nMAIL FROM:<you@example.org>\r\nRCPT TO:<+12025550123@fax.local>\r\nDATA\r\nx\r\n.\r\n"
        )
        assert (await client.reply()).code == 421
        assert await client.closed() == b""
    assert stub.mails == []


async def test_tls_on_a_plain_port_is_closed_at_once(
    doors: Doors, stub: Stub, caplog: pytest.LogCaptureFixture
) -> None:
    (address,) = await doors.open(stub)
    async with talking(address, greeting="") as client:
        await client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert await client.closed() == b""


# --- refusals and trouble ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (Refused("no", status="5.7.1"), "550 5.7.1 no"),
        (Refused("no", status="5.1.3"), "553 5.1.3 no"),
        (Refused("no", status="5.3.4"), "552 5.3.4 no"),
        (Refused("no", status="5.6.1"), "554 5.6.1 no"),
        (Refused("no", status="4.2.2"), "550 5.7.1 no"),
        (TryLater("wait"), "451 4.3.0 wait"),
        (TryLater("wait", status="5.6.5"), "451 4.3.0 wait"),
        (NoSpace("full"), "452 4.3.1 full"),
        (Refused("two\r\nlines \u00fc"), "550 5.7.1 two??lines ?"),
    ],
)
async def test_an_error_of_the_gateways_is_told_as_what_it_is(
    doors: Doors, stub: Stub, error: Exception, reply: str
) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        stub.fail = {"check_sender": error}
        assert str(await client.ask("MAIL FROM:<you@example.org>")) == reply
        stub.fail = {"accept": error}
        assert str(await client.mail(b"x")) == reply
        stub.fail = {}
        assert (await client.mail(b"x")).code == 250
    assert stub.left == []


@pytest.mark.parametrize("where", ["check_sender", "check_recipient", "draft", "accept"])
async def test_what_nobody_foresaw_is_a_451_and_the_session_goes_on(doors: Doors, stub: Stub, where: str) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        stub.fail = {where: ZeroDivisionError("secret detail")}
        for line in ("MAIL FROM:<you@example.org>", "RCPT TO:<+12025550123@fax.local>", "DATA", "x\r\n."):
            reply = await client.ask(line)
            if reply.code not in (250, 354):
                break
        assert str(reply) == "451 4.3.0 the gateway has trouble of its own; try again later"
        stub.fail = {}
        assert (await client.ask("RSET")).code == 250
        assert (await client.mail(b"x")).code == 250
    assert len(stub.mails) == 1
    assert stub.left == []


async def test_trouble_in_the_middle_of_a_mail_ends_the_session_before_a_line_of_it_is_obeyed(
    doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gateway.edge.smtp_data.Message.read", fail)
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        assert await client.asks("MAIL FROM:<you@example.org>", "RCPT TO:<+12025550123@fax.local>") == [250, 250]
        await client.send(b"DATA\r\n")
        assert [(await client.reply()).code for _ in range(2)] == [354, 421]
        await client.send(b"MAIL FROM:<evil@example.org>\r\n")
        assert await client.closed() == b""
    await until(lambda: stub.left == [])


async def test_smtplib_sends_through_it(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    host, _, port = address.rpartition(":")

    def send() -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP(host, int(port), timeout=20) as client:
            return client.sendmail(
                "you@example.org", ["+12025550123@fax.local", "1@fax.local"], "Subject: x\n\n.dot\nhello",
                ["BODY=8BITMIME"], ["NOTIFY=FAILURE"],
            )  # fmt: skip

    refused = await asyncio.to_thread(send)
    assert list(refused) == ["1@fax.local"]
    assert stub.mails[0][1].endswith(b"\r\n\r\n.dot\r\nhello\r\n")
    await until(lambda: stub.seen == ["Q1"])


async def test_a_client_that_only_looks_in_leaves_nothing(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    client = await Client.connect(address)
    assert (await client.reply()).code == 220
    client.writer.write_eof()
    assert await client.closed() == b""
    client.cut()


async def test_commands_that_cannot_be_read_are_in_the_log(doors: Doors, stub: Stub) -> None:
    """Somebody whose mails do not come must find out why, also when they fail at the first line."""
    (address,) = await doors.open(stub)
    with capture_logs() as logs:
        async with talking(address) as client:
            assert await client.asks("MAIL FROM:you", "RSET", "MAIL FROM:<a@b> SIZE=x", "MAIL FROM:<a@b> NO=SUCH") == [
                250, 250, 501, 555,
            ]  # fmt: skip
            await client.ask("MAIL FROM:<a@b>")
            assert await client.asks("RCPT TO:<(1)202@fax.local>", "RCPT TO:<>") == [553, 501]
    rejected = [(line["status"], line["client"], line.get("sender")) for line in logs if line["event"] == "rejected"]
    assert rejected == [
        (status, "127.0.0.1", sender)
        for status, sender in (("5.5.4", None), ("5.5.4", None), ("5.1.3", "a@b"), ("5.1.3", "a@b"))
    ]


async def test_a_number_that_is_the_subject_stands_alone(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    subject, number = "RCPT TO:<subject@fax.local> NOTIFY=NEVER ORCPT=rfc822;a", "RCPT TO:<+12025550123@fax.local>"
    async with talking(address) as client:
        assert await client.asks("MAIL FROM:<you@example.org>", subject) == [250, 250]
        again = "RCPT TO:<Subject@fax.local> NOTIFY=SUCCESS"  # else it would be sent with a mail of its own, and faxed twice
        assert await client.asks(number, again, "RCPT TO:<subject/ref=1@fax.local>") == [452, 250, 554]
        assert await client.asks("RCPT TO:<postmaster>", "DATA") == [452, 354]
        await client.send(b"Subject: +12025550124\r\n\r\nx\r\n.\r\n")
        assert (await client.reply()).code == 250
        assert await client.asks("MAIL FROM:<you@example.org>", number, subject) == [250, 250, 452]
    ((envelope, _),) = stub.mails
    assert envelope.unnumbered is not None
    assert (envelope.recipients, envelope.unnumbered.notify) == ((), {"success"})
    assert envelope.unnumbered.orcpt == "rfc822;a"
