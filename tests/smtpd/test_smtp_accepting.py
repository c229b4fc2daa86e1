"""The door with the gateway's real service, store and spool behind it: 250 is said once, and only for what is on disk."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from smtp_harness import Client, Doors, House, talking, until
from structlog.testing import capture_logs

from gateway.model import Notify
from gateway.store import db

LINES = ("MAIL FROM:<you@example.org>", "RCPT TO:<+12025550123@fax.local>", "DATA")


def mail(text: str = "Please read.", **headers: str) -> bytes:
    """A mail as a program writes it, without the final dot."""
    message = EmailMessage(policy=SMTP)
    message["Subject"] = "Report"
    message["From"] = "you@example.org"
    message["Message-ID"] = "<1@example.org>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message.as_bytes().removesuffix(b"\r\n")


# --- recipients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rcpt",
    [
        "<+12025550123@fax.local>",
        "<FAX=+12025550123@fax.local>",
        "<fax=+1-202-555-0123@FAX.LOCAL>",
        "</FAX=+12025550123/@fax.local>",
        '<"FAX=+1-202-555-0123"@fax.local>',
        '<"+1 (202) 555-0123"@fax.local>',
        "<12025550123@fax.local>",
        "<+1.202.555.0123@fax.local.>",
        "<@relay.example:+12025550123@fax.local>",
        "<IMCEAFAX-+2B12025550123@fax.local>",
        "+12025550123@fax.local",
        " <+12025550123@fax.local>",
    ],
)
async def test_the_forms_of_a_fax_address_name_one_number(doors: Doors, house: House, rcpt: str) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 250
        assert str(await client.ask(f"RCPT TO:{rcpt}")) == "250 2.1.5 will fax to +12025550123"


@pytest.mark.parametrize(
    ("rcpt", "code"),
    [
        ("<FAX=+12025550123/T33S=1234@fax.local>", "550 5.3.3"),
        ("<FAX=9p040p2025550123@fax.local>", "553 5.1.3"),
        ('<"FAX=+1 202 555 0123"@fax.local>', "553 5.1.3"),
        ("<1 (202) 555-0123@fax.local>", "553 5.1.3"),
        ("<(202)5550123@fax.local>", "553 5.1.3"),
        ("<+12025550123@elsewhere.example>", "550 5.7.1"),
        ("<+442079460000@fax.local>", "550 5.7.1"),
        ("<+19005550123@fax.local>", "550 5.7.1"),
        ("<+12025550123\x00@fax.local>", "553 5.1.3"),
        ("<>", "501 5.1.3"),
        ("<+12025550123@fax.local", "501 5.5.4"),
        ("<+12025550123@fax.local> NOTIFY=SOMETIMES", "501 5.5.4"),
        ("<+12025550123@fax.local> X-FOO=1", "555 5.5.4"),
    ],
)
async def test_what_nobody_should_guess_at_is_refused(doors: Doors, house: House, rcpt: str, code: str) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 250
        assert str(await client.ask(f"RCPT TO:{rcpt}")).startswith(code)
        assert (await client.ask("DATA")).code == 554


async def test_of_three_recipients_the_wrong_one_alone_is_refused_with_number_and_remedy(
    doors: Doors, house: House
) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert (await client.ask("MAIL FROM:<you@example.org> ENVID=QQ314159 RET=HDRS")).code == 250
        assert (await client.ask("RCPT TO:<+12025550123@fax.local> NOTIFY=SUCCESS ORCPT=rfc822;a@b")).code == 250
        reply = await client.ask("RCPT TO:<+1202555@fax.local>")
        assert str(reply).startswith("553 5.1.3 ")
        assert "+1202555" in reply.text
        assert "+15551234567@fax.local" in reply.text
        assert (await client.ask("RCPT TO:<FAX=+12025550124@fax.local>")).code == 250
        assert (await client.ask("DATA")).code == 354
        reply = await client.ask(mail() + b"\r\n.")
        assert reply.code == 250
    queue_id = reply.text.rpartition(" ")[2]
    jobs = sorted(await house.jobs(), key=lambda job: job.number)
    assert [job.number.e164 for job in jobs] == ["+12025550123", "+12025550124"]
    assert [job.rcpt for job in jobs] == ["+12025550123@fax.local", "FAX=+12025550124@fax.local"]
    assert (jobs[0].notify, jobs[0].orcpt) == ({Notify.SUCCESS}, "rfc822;a@b")
    (submission,) = await house.submissions()
    assert (submission.id, submission.sender, submission.envid, submission.ret, submission.subject) == (
        queue_id, "you@example.org", "QQ314159", "HDRS", "Report",
    )  # fmt: skip
    stored = house.spool.path(submission.mail_file).read_bytes()
    assert stored.endswith(mail() + b"\r\n")
    assert house.files == [submission.mail_file]
    assert house.woken == 1


async def test_a_size_that_is_told_is_refused_before_it_is_sent(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept, max_message=1_000_000)
    async with talking(address) as client:
        assert (await client.ask("MAIL FROM:<you@example.org> SIZE=1000000")).code == 250
        assert (await client.ask("RSET")).code == 250
        assert str(await client.ask("MAIL FROM:<you@example.org> SIZE=1000001")).startswith("552 5.3.4 ")
        assert str(await client.ask("MAIL FROM:<you@example.org> SIZE=99999999999999999999")).startswith("552 5.3.4 ")
        house.accept._settings = replace(house.accept._settings, max_message=500_000)
        assert "than the 0.5 MB accepted" in str(await client.ask("MAIL FROM:<you@example.org> SIZE=500001"))
        house.spool.floor = (1 << 60) - 1000
        assert str(await client.ask("MAIL FROM:<you@example.org> SIZE=500")).startswith("452 4.3.1 ")


# --- what can never become a fax --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        (b"", "554 5.6.1 there is nothing to fax"),
        (b"Subject: nothing\r\n\r\n \r\n", "554 5.6.1 there is nothing to fax"),
        (mail(Auto_Submitted="auto-replied"), "550 5.7.1 automatic mails are not faxed"),
        (mail(List_Id="<list.example.org>"), "550 5.7.1 automatic mails are not faxed"),
        (mail().replace(b"text/plain", b"application/pkcs7-mime"), "550 5.7.5 the mail is encrypted"),
        (b"X: " + b"y" * 110_000 + b"\r\n\r\nhello", "554 5.6.0 the mail has a header larger than 100 KiB"),
        (
            b"Subject: x [fax: covr=none]\r\n\r\nhello",
            "554 5.6.0 covr in the subject is not a fax option; there are cover,",
        ),
    ],
)
async def test_what_can_never_become_a_fax_is_refused_at_its_end_in_a_sentence(
    doors: Doors, house: House, content: bytes, reply: str
) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert await client.asks(*LINES) == [250, 250, 354]
        await client.send(content + (b"\r\n.\r\n" if content else b".\r\n"))
        assert str(await client.reply()).startswith(reply)
        assert house.files == []
        assert (await client.mail(mail())).code == 250
    assert len(await house.jobs()) == 1


async def test_the_null_sender_is_not_faxed(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert await client.asks("MAIL FROM:<>") == [250]
        reply = await client.ask("RCPT TO:<+12025550123@fax.local>")
        assert str(reply).startswith("550 5.7.1 mails from the null sender")
        assert (await client.ask("DATA")).code == 554


async def test_a_mail_many_times_too_large_leaves_nothing(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept, max_message=1_000_000)
    async with talking(address) as client:
        assert await client.asks(*LINES) == [250, 250, 354]
        for _ in range(20):
            await client.send((b"y" * 78 + b"\r\n") * 12_500)
        await client.send(b".\r\n")
        assert str(await client.reply()).startswith("552 5.3.4 ")
        assert (await client.mail(mail())).code == 250
    assert len(house.files) == 1


# --- repeats ----------------------------------------------------------------------------------------------------------


async def send_and_vanish(address: str, content: bytes, house: House) -> None:
    """Send a mail whole and go before the answer can be read; returns when it is stored."""
    jobs = len(await house.jobs())
    async with talking(address) as client:
        assert await client.asks(*LINES) == [250, 250, 354]
        await client.send(content + b"\r\n.\r\n")
    async with asyncio.timeout(30):
        while len(await house.jobs()) == jobs:
            await asyncio.sleep(0.005)


async def test_who_never_saw_the_250_and_sends_again_gets_the_same_id_and_no_second_fax(
    doors: Doors, house: House
) -> None:
    (address,) = await doors.open(house.accept)
    await send_and_vanish(address, mail(), house)
    (first,) = await house.submissions()
    for _ in range(2):  # and once more, as this 250 is not read for sure either
        async with talking(address) as client:
            assert str(await client.mail(mail())) == f"250 2.0.0 queued as {first.id}"
    assert len(await house.jobs()) == 1
    assert house.files == [first.mail_file]
    assert house.woken == 1


async def test_a_mail_that_differs_is_another_wish(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept)
    await send_and_vanish(address, mail(), house)
    async with talking(address) as client:
        for content, to in (
            (mail("Please read it."), "+12025550123"),
            (mail(Date="Mon, 1 Jan 2024 00:00:00 +0000"), "+12025550123"),
            (mail(), "+12025550124"),
        ):
            assert (await client.mail(content, f"{to}@fax.local")).code == 250
    assert len(await house.submissions()) == 4


async def test_who_has_seen_the_250_may_wish_for_the_same_again(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert (await client.mail(mail())).code == 250
        assert (await client.ask("QUIT")).code == 221
    await until(doors.empty)
    async with talking(address) as client:
        assert (await client.mail(mail())).code == 250
    assert len(await house.submissions()) == 2


async def test_two_at_once_with_the_same_mail_get_one_id(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept)

    async def one() -> str:
        async with talking(address) as client:
            reply = await client.mail(mail())
            assert reply.code == 250
            return reply.text

    assert len({*await asyncio.gather(*(one() for _ in range(5)))}) == 1
    assert len(await house.jobs()) == 1
    assert len(house.files) == 1


# --- trouble of ours --------------------------------------------------------------------------------------------------


async def check_refused(client: Client, house: House, start: str) -> None:
    """A mail is refused for now and leaves nothing."""
    reply = await client.mail(mail())
    assert str(reply).startswith(start)
    assert reply.code // 100 == 4
    assert await house.jobs() == []
    assert house.files == []


async def test_a_disk_that_fills_up_is_a_452_and_nothing_is_left(
    doors: Doors, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        with monkeypatch.context() as patch:
            rooms = iter([1 << 40, 1 << 40, 0])  # at MAIL, at DATA, at the end
            patch.setattr(house.spool, "_free", lambda _path: next(rooms))
            house.spool.floor = 1
            await check_refused(client, house, "452 4.3.1 the gateway is short of disk space")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", raising(OSError(28, "No space left on device")))
            await check_refused(client, house, "452 4.3.1 the gateway's disk is full")
        with monkeypatch.context() as patch:
            full = sqlite3.OperationalError("database or disk is full")
            full.sqlite_errorcode = 13
            patch.setattr(db, "_end", raising(full))
            await check_refused(client, house, "452 4.3.1 the gateway's disk is full")
        assert (await client.mail(mail())).code == 250
    assert len(house.files) == 1


def raising(error: Exception):  # type: ignore[no-untyped-def]
    def function(*_arguments: object) -> None:
        raise error

    return function


async def test_a_store_in_trouble_is_a_451_and_nothing_is_left(
    doors: Doors, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        with monkeypatch.context() as patch:
            patch.setattr(db, "_end", raising(sqlite3.OperationalError("database is locked")))
            await check_refused(client, house, "451 4.3.0 the gateway cannot record anything now")
        assert (await client.mail(mail())).code == 250
        await house.database.close()
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 451
        assert (await client.ask("NOOP")).code == 250


async def test_an_fsync_that_fails_is_a_451_before_the_process_ends(
    doors: Doors, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    (address,) = await doors.open(house.accept)
    told: list[Exception] = []
    monkeypatch.setattr(house.spool, "_on_fatal", told.append)
    async with talking(address) as client:
        monkeypatch.setattr(os, "fsync", raising(OSError(5, "Input/output error")))
        assert (await client.mail(mail())).code == 451
    assert len(told) == 1
    assert await house.jobs() == []


async def test_a_reader_that_dies_is_our_trouble_and_the_next_mail_finds_another(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert (await client.mail(mail())).code == 250
        process = house.reader._all[0].process
        assert process is not None
        os.kill(process.pid, signal.SIGSTOP)
        assert await client.asks(*LINES) == [250, 250, 354]
        await client.send(mail("Another.") + b"\r\n.\r\n")
        await until(house.reader._idle.empty)
        os.kill(process.pid, signal.SIGKILL)
        assert str(await client.reply()) == "451 4.3.0 the gateway could not look into the mail; try again later"
        assert len(house.files) == 1
        assert (await client.mail(mail("A third one."))).code == 250
    assert len(await house.jobs()) == 2


async def test_the_door_closes_in_the_middle_of_a_commit_and_the_mail_stands(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept)
    process = house.reader._all[0].process
    assert process is not None
    async with talking(address) as client:
        os.kill(process.pid, signal.SIGSTOP)
        assert await client.asks(*LINES) == [250, 250, 354]
        await client.send(mail() + b"\r\n.\r\n")
        await until(house.reader._idle.empty)
        stopping = asyncio.create_task(doors.opened[0].stop(0.05))
        await asyncio.sleep(0.2)  # the commit outlives the grace of its conversation
        os.kill(process.pid, signal.SIGCONT)
        assert (await client.reply()).code == 250
        await asyncio.wait_for(stopping, 30)
    (submission,) = await house.submissions()
    assert house.files == [submission.mail_file]
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert str(await client.mail(mail())) == f"250 2.0.0 queued as {submission.id}"


async def test_refusals_are_logged_once_each_and_say_why(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept, max_message=1000)
    with capture_logs() as logs:
        async with talking(address) as client:
            assert await client.asks("MAIL FROM:<>", "RCPT TO:<+12025550123@fax.local>", "RSET") == [250, 550, 250]
            assert await client.asks("MAIL FROM:<you@example.org>", "RCPT TO:<1@fax.local>") == [250, 553]
            assert (await client.ask("RSET")).code == 250
            assert (await client.mail(b"x" * 1500)).code == 552
            assert (await client.mail(b"")).code == 554
    rejected = [entry for entry in logs if entry["event"] == "rejected"]
    assert [entry["status"] for entry in rejected] == ["5.7.1", "5.1.3", "5.3.4", "5.6.1"]
    assert [entry.get("sender") for entry in rejected] == [None, *["you@example.org"] * 3]
    assert not [entry for entry in logs if entry["log_level"] == "error"]
