"""Mails that come in parts (message/partial), over real connections into a real store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from smtp_harness import LOCAL, Client, Doors, House, Reply, talking

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.edge.smtp_settings import ListenerSettings
from gateway.model import MailKind, OutgoingMail
from gateway.policy import PolicySettings
from gateway.service import divided as service
from gateway.service.accept import AcceptSettings
from gateway.spool import Spool
from gateway.store import bodies, outbox
from gateway.store.db import Database, Tx

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 40


def scan(pdf: bytes = PDF) -> bytes:
    """What a copier would have sent as one mail."""
    made = EmailMessage(policy=SMTP)
    made["From"], made["To"], made["Subject"] = "copier@example.org", "+12025550123@fax.local", "Scan of today"
    made["Message-ID"], made["Date"] = "<scan.1@copier.example.org>", "Tue, 24 Nov 2026 10:00:00 +0000"
    made.set_content("See attachment.\r\n")
    made.add_attachment(pdf, maintype="application", subtype="pdf", filename="scan.pdf")
    made.set_boundary("of-the-copier")
    return made.as_bytes()


def parts(mail: bytes, count: int, id_: str = "20261124.1000@copier", *, only_last_tells: bool = False) -> list[bytes]:
    """The mail as ``count`` mails, divided between lines (RFC 2046 section 5.2.2)."""
    lines = mail.splitlines(keepends=True)
    size = -(-len(lines) // count)
    made = []
    for n in range(1, count + 1):
        total = "" if only_last_tells and n < count else f"; total={count}"
        header = (
            f"From: copier@example.org\r\nTo: +12025550123@fax.local\r\nSubject: [{n}/{count}] Scan of today\r\n"
            f"Date: Tue, 24 Nov 2026 10:00:0{n % 10} +0000\r\nMessage-ID: <part.{n}.{id_}>\r\nMIME-Version: 1.0\r\n"
            f'Content-Type: message/partial; number={n}; id="{id_}"{total}\r\n\r\n'
        )
        made.append(header.encode() + b"".join(lines[(n - 1) * size : n * size]))
    return made


class Front:
    """A door with all behind it."""

    def __init__(self, house: House, address: str) -> None:
        self.house = house
        self.address = address

    async def give(self, mail: bytes, *to: str, sender: str = "you@example.org") -> Reply:
        """Hand over a mail on a connection of its own, and leave as clients do."""
        async with talking(self.address) as client:
            return await client.mail(mail, *to, sender=sender)

    async def id(self, mail: bytes, *to: str, sender: str = "you@example.org") -> str:
        reply = await self.give(mail, *to, sender=sender)
        assert reply.code == 250, str(reply)
        return reply.text.split()[-1]

    async def whole(self, submission: str) -> bytes:
        """An accepted mail as it is kept."""
        (file,) = [row[0] for row in self.rows("SELECT mail_file FROM submission WHERE id = ?", submission)]
        if file != bodies.HERE:
            return self.house.spool.path(file).read_bytes()
        content = await self.house.database.read(lambda tx: bodies.get(tx, submission))
        assert content is not None
        return content

    def rows(self, query: str, *values: Any) -> list[Any]:
        other = sqlite3.connect(f"{self.house.database.path.as_uri()}?mode=ro", uri=True)
        try:
            return other.execute(query, values).fetchall()
        finally:
            other.close()

    async def told(self) -> list[OutgoingMail]:
        def read(tx: Tx) -> list[OutgoingMail]:
            ids = [row[0] for row in tx.execute("SELECT id FROM outbox ORDER BY rowid")]
            return [mail for id_ in ids if (mail := outbox.get(tx, id_)) is not None]

        return await self.house.database.read(read)

    async def pass_time(self, seconds: float) -> None:
        """Make what waits so much older, and look for what has waited too long."""
        await self.house.database.write(
            lambda tx: tx.execute("UPDATE divided SET waits_from = waits_from - ?", (seconds,)).rowcount
        )
        await self.house.divided.give_up()

    def agrees(self) -> None:
        """Whether each file has its row, each row its file, and each content its mail."""
        named = {
            row[0] for row in self.rows("SELECT mail_file FROM submission WHERE mail_file NOT IN ('', 'database')")
        }
        assert self.house.spool.names() == named
        here = {row[0] for row in self.rows("SELECT id FROM submission WHERE mail_file = 'database'")}
        assert {row[0] for row in self.rows("SELECT submission FROM mail_body")} == here
        assert list((self.house.spool.root / "tmp").iterdir()) == []


@pytest.fixture(params=[1, 1_000_000], ids=["files", "rows"])
async def front(request: pytest.FixtureRequest, spool: Spool, doors: Doors, tmp_path: Path) -> AsyncIterator[Front]:
    database = Database(tmp_path / "faxgateway.db")
    reader = WorkerPool(1, WorkerLimits(), fork=False)
    await database.open()
    await reader.start()
    settings = AcceptSettings(
        ("fax.local",), "US", PolicySettings(), max_message=100_000, small_mail=request.param, hostname="fax.local"
    )
    house = House(spool, database, reader, settings)
    (address,) = await doors.open(house.accept)
    yield Front(house, address)
    await reader.close()
    await database.close()


def same(one: bytes, other: bytes) -> bool:
    """Whether two mails have the same bodies, and the same attachment."""
    first, second = message_from_bytes(one, policy=SMTP), message_from_bytes(other, policy=SMTP)
    return [part.get_content() for part in first.walk() if not part.is_multipart()] == [
        part.get_content() for part in second.walk() if not part.is_multipart()
    ]


# --- they come together -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
@pytest.mark.parametrize("only_last_tells", [False, True])
async def test_in_any_order_they_are_one_mail(front: Front, order: tuple[int, ...], only_last_tells: bool) -> None:
    made = parts(scan(), 4, only_last_tells=only_last_tells)
    ids = []
    for n in order:
        assert await front.house.jobs() == []
        ids.append(await front.id(made[n]))
    assert len(set(ids)) == 4
    (job,) = await front.house.jobs()
    assert (job.submission, job.number.e164) == (ids[-1], "+12025550123")
    assert front.house.woken == 1
    assert same(await front.whole(ids[-1]), scan())
    front.agrees()
    await front.house.database.write(service.store.forget_content)


async def test_the_header_of_the_whole_is_as_the_rfc_says(front: Front) -> None:
    inner = scan().replace(b"To: +1", b"X-Fax-Reference: inner\r\nBcc: x@example.org\r\nTo: +1", 1)
    made = parts(inner, 2)
    made[0] = b"X-Fax-Reference: outer\r\nX-Long: a\r\n b\r\n" + made[0]
    made[1] = b"X-Fax-Reference: second\r\n" + made[1]
    await front.id(made[1])
    whole = message_from_bytes(await front.whole(await front.id(made[0])), policy=SMTP)
    assert whole["subject"] == "Scan of today"
    assert whole["message-id"] == "<scan.1@copier.example.org>"
    assert whole["date"].startswith("Tue, 24 Nov 2026 10:00:01")
    assert whole["x-long"] == "a b"
    assert (whole["bcc"], whole.get_all("x-fax-reference"), whole.get_all("mime-version")) == (None, ["outer"], ["1.0"])
    assert len(whole.get_all("received", [])) == 1
    assert whole.get_content_type() == "multipart/mixed"
    (job,) = await front.house.jobs()
    assert job.options.reference == "outer"
    (submission,) = await front.house.submissions()
    assert (submission.subject, submission.message_id) == ("Scan of today", "<scan.1@copier.example.org>")


async def test_at_once_over_many_connections_they_are_one_mail(front: Front) -> None:
    made = parts(scan(), 6)
    replies = await asyncio.gather(*(front.give(each) for each in made * 3))
    assert {reply.code for reply in replies} == {250}
    ids = [reply.text.split()[-1] for reply in replies]
    assert ids[:6] == ids[6:12] == ids[12:]
    (job,) = await front.house.jobs()
    assert job.submission in ids
    assert same(await front.whole(job.submission), scan())
    front.agrees()


async def test_the_last_part_twice_at_once_makes_one_mail(front: Front) -> None:
    first, last = parts(scan(), 2)
    await front.id(first)
    both = await asyncio.gather(front.id(last), front.id(last))
    assert both[0] == both[1]
    assert [job.submission for job in await front.house.jobs()] == [both[0]]
    front.agrees()


async def test_one_connection_brings_them_all(front: Front) -> None:
    async with talking(front.address) as client:
        ids = [(await client.mail(each)).text.split()[-1] for each in parts(scan(), 3)]
        assert await client.asks("QUIT") == [221]
    assert [job.submission for job in await front.house.jobs()] == [ids[-1]]


async def test_a_part_again_has_the_id_it_had(front: Front) -> None:
    made = parts(scan(), 3)
    first = await front.id(made[0])
    assert await front.id(made[0]) == first
    second, third = await front.id(made[1]), await front.id(made[2])
    assert [await front.id(each) for each in made] == [first, second, third]  # behind the whole too
    assert len(await front.house.jobs()) == 1
    front.agrees()


async def test_the_whole_that_comes_in_new_parts_is_the_same_mail(front: Front) -> None:
    """A copier that has missed the last 250 begins anew."""
    for each in parts(scan(), 2):
        async with talking(front.address) as client:
            reply = await client.mail(each)
            client.cut()  # and has not seen it
    again = [await front.id(each) for each in parts(scan(), 2, "another")]
    assert again[-1] == reply.text.split()[-1]
    assert len(await front.house.jobs()) == 1
    assert [await front.id(each) for each in parts(scan(), 2, "another")] == again
    front.agrees()


async def test_an_id_that_a_device_uses_again_is_of_another_mail(front: Front) -> None:
    same_document = scan().replace(b"Scan of today", b"Scan of tomorrow")  # so only its first part differs
    for mail in (scan(), same_document, scan(b"%PDF-1.4" + PDF)):
        ids = [await front.id(each) for each in parts(mail, 3)]
        assert same(await front.whole(ids[-1]), mail)
    assert len(await front.house.jobs()) == 3
    assert await front.told() == []


async def test_the_content_of_parts_goes_when_the_whole_is_there(front: Front) -> None:
    ids = [await front.id(each) for each in parts(scan(), 3)]
    front.house.spool.remove(await front.house.database.write(service.store.forget_content))
    kept = front.rows("SELECT id FROM submission WHERE mail_file <> ''")
    assert kept == [(ids[-1],)]
    front.agrees()
    assert await front.house.database.write(service.store.forget_content) == []


async def test_a_mail_of_one_part_is_a_mail(front: Front) -> None:
    (only,) = parts(scan(), 1)
    id_ = await front.id(only)
    assert [job.submission for job in await front.house.jobs()] == [id_]
    assert front.rows("SELECT * FROM divided") == []


async def test_more_recipients_have_a_fax_each(front: Front) -> None:
    numbers = ("+12025550123@fax.local", "+12025550124@fax.local")
    first, last = parts(scan(), 2)
    await front.id(first, *numbers)
    await front.id(last, *reversed(numbers))
    assert sorted(job.number.e164 for job in await front.house.jobs()) == ["+12025550123", "+12025550124"]


# --- they do not ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "sender"),
    [
        (("+12025550123@fax.local",), "eve@example.org"),
        (("+12025550199@fax.local",), "you@example.org"),
        (("+12025550123@fax.local", "+12025550199@fax.local"), "you@example.org"),
        (("+12025550123/cover=modern@fax.local",), "you@example.org"),
    ],
    ids=["sender", "number", "one number more", "options"],
)
async def test_parts_that_are_not_one_persons_to_one_number_never_meet(
    front: Front, to: tuple[str, ...], sender: str
) -> None:
    first, last = parts(scan(), 2)
    await front.id(first)
    await front.id(last, *to, sender=sender)
    assert await front.house.jobs() == []
    assert len(front.rows("SELECT * FROM divided WHERE ended_at IS NULL")) == 2


async def test_nor_do_those_of_two_clients(front: Front, doors: Doors, tmp_path: Path) -> None:
    (other,) = await doors.open(
        front.house.accept, ListenerSettings("unix", f"unix:{tmp_path / 'door'}", networks=LOCAL)
    )
    first, last = parts(scan(), 2)
    await front.id(first)
    assert await Front(front.house, other).id(last)
    assert await front.house.jobs() == []


async def test_what_is_missing_is_told_once_and_then_it_is_too_late(front: Front) -> None:
    made = parts(scan(), 5)
    first = await front.id(made[0])
    for n in (1, 3):
        await front.id(made[n])
    await front.pass_time(86_000)
    assert await front.told() == []
    await front.pass_time(500)
    await front.pass_time(86_400)
    (mail,) = await front.told()
    assert (mail.kind, mail.cause, mail.to, mail.envelope_from) == (MailKind.FAILED, first, "you@example.org", "")
    assert mail.facts["text"] == "parts 3 and 5 of 5 did not come in time"
    assert mail.facts["number"] == "+12025550123"
    assert front.house.mails_queued == 1
    for late in (made[2], made[0]):
        reply = await front.give(late)
        assert reply.code == 554
        assert "parts 3 and 5 of 5 did not come in time; in the device, switch off" in reply.text
    assert await front.house.jobs() == []
    front.house.spool.remove(await front.house.database.write(service.store.forget_content))
    assert front.house.files == []
    front.agrees()
    await front.pass_time(86_400)
    assert len(await front.told()) == 1


async def test_without_the_last_part_nobody_knows_how_many_there_are(front: Front) -> None:
    made = parts(scan(), 5, only_last_tells=True)
    for n in (0, 2):
        await front.id(made[n])
    await front.pass_time(90_000)
    (mail,) = await front.told()
    assert mail.facts["text"] == (
        "part 2 and what comes behind part 3 (none told how many there are) did not come in time"
    )


async def test_two_contents_of_a_part_end_the_mail(front: Front) -> None:
    first, last = parts(scan(), 2)[0], parts(scan(b"%PDF-1.4 other"), 2)[0]
    await front.id(first)
    reply = await front.give(last)
    assert str(reply).startswith(
        "554 5.6.0 this mail came in parts and is not faxed: two different mails came as part 1"
    )
    assert [mail.facts["text"] for mail in await front.told()] == ["two different mails came as part 1 of one"]
    assert (await front.give(parts(scan(), 2)[1])).code == 554
    assert len(await front.told()) == 1
    assert await front.house.jobs() == []


@pytest.mark.parametrize("counts", [(2, 3, 4), (3, 2, 4), (0, 9, 4)])
async def test_parts_that_do_not_agree_end_the_mail(front: Front, counts: tuple[int, int, int]) -> None:
    total, number, other = counts
    first = parts(scan(), 2)[0].replace(b"; total=2", f"; total={total}".encode() if total else b"")
    await front.id(first)
    wrong = parts(scan(), 2)[1].replace(b"number=2", f"number={number}".encode())
    wrong = wrong.replace(b"; total=2", f"; total={other}".encode() if number <= other else b"")
    reply = await front.give(wrong)
    if counts == (0, 9, 4):  # no total on either: they may all be right
        assert reply.code == 250
    else:
        assert "do not agree on how many they are" in reply.text
        assert len(await front.told()) == 1


async def test_together_they_may_not_be_larger_than_a_mail(front: Front) -> None:
    made = parts(scan(bytes(range(256)) * 320), 3)
    assert sum(map(len, made)) > 100_000
    for each in made[:2]:
        await front.id(each)
    for again in (made[2], made[2], made[0]):
        reply = await front.give(again)
        assert reply.code in (552, 554)
        assert "the mail with all its parts is larger than the 0.1 MB accepted here" in reply.text
    await front.pass_time(90_000)
    assert await front.told() == []  # the refusal has told it
    front.house.spool.remove(await front.house.database.write(service.store.forget_content))
    front.agrees()


@pytest.mark.parametrize(
    ("mail", "why"),
    [
        (scan(b"MZ\x90\0" + bytes(5000)), "scan.pdf"),
        (parts(scan(), 2, "inner")[0], "is itself a part of another mail"),
        (b"Subject: nothing\r\n\r\n \r\n \r\n", "nothing to fax"),
    ],
    ids=["program", "nested", "empty"],
)
async def test_a_whole_that_is_no_fax_is_refused_to_who_brings_the_last_part(
    front: Front, mail: bytes, why: str
) -> None:
    made = parts(mail, 2)
    await front.id(made[1])
    for each in (made[0], made[0], made[1]):
        reply = await front.give(each)
        assert 550 <= reply.code < 560
        assert why in reply.text
    await front.pass_time(90_000)
    assert await front.told() == []
    assert await front.house.jobs() == []
    front.house.spool.remove(await front.house.database.write(service.store.forget_content))
    front.agrees()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b"number=1", b"number=x", "does not say which it is"),
        (b"number=1; ", b"", "does not say which it is"),
        (b'; id="20261124.1000@copier"', b"", "does not say which it is"),
        (b"total=2", b"total=0", "does not say which it is"),
        (b"number=1", b"number=3", "does not say which it is"),
        (b"total=2", b"total=101", "more than 100 parts"),
        (b"MIME-Version: 1.0", b"Content-Transfer-Encoding: base64", "is encoded, which no part may be"),
        (b"From:", b"Auto-Submitted: auto-replied\r\nFrom:", "automatic mails are not faxed"),
    ],
)
async def test_a_part_that_cannot_be_one_is_refused(front: Front, old: bytes, new: bytes, why: str) -> None:
    part = parts(scan(), 2)[0]
    assert old in part
    reply = await front.give(part.replace(old, new, 1))
    assert 550 <= reply.code < 560
    assert why in reply.text
    assert front.rows("SELECT * FROM submission") == []
    front.agrees()


async def test_a_sender_has_so_many_waiting_and_no_more(front: Front) -> None:
    for n in range(20):
        await front.id(parts(scan(), 3, f"mail {n}")[0])
    reply = await front.give(parts(scan(), 3, "one more")[0])
    assert str(reply).startswith("452 4.3.1 20 divided mails of yours wait for their other parts")
    await front.id(parts(scan(), 3, "mail 7")[1])  # what has begun goes on
    await front.id(parts(scan(), 3, "mail 7")[2])
    await front.id(parts(scan(), 3, "one more")[0])
    front.agrees()


async def test_and_so_many_bytes(front: Front) -> None:
    large = parts(scan(bytes(range(256)) * 250), 2)
    for n in range(10):
        await front.id(large[0].replace(b"20261124", b"%d" % n, 2))
    reply = await front.give(large[0].replace(b"20261124", b"one more", 2))
    assert reply.code == 452


async def test_no_mail_is_taken_in_parts_where_that_is_off(spool: Spool, house: House, doors: Doors) -> None:
    house.divided._settings = service.DividedSettings(timeout=0)
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        reply = await client.mail(parts(scan(), 2)[0])
    assert str(reply).startswith(
        "554 5.6.1 the device cut the mail into several: in its settings, switch off what divides mails ('divided data'"
    )


async def test_a_part_inside_of_a_mail_is_refused_as_ever(front: Front) -> None:
    inner = parts(scan(), 2)[0].partition(b"MIME-Version: 1.0\r\n")[2]
    mail = b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
    reply = await front.give(mail + inner + b"--b--\r\n")
    assert str(reply).startswith("554 5.6.1 the device cut the mail into several")


async def test_who_wants_no_failures_told_has_none(front: Front) -> None:
    async with talking(front.address) as client:
        await client.asks("MAIL FROM:<you@example.org> ENVID=e1")
        await client.asks("RCPT TO:<+12025550123@fax.local> NOTIFY=NEVER")
        await client.asks("RCPT TO:<+12025550124@fax.local> NOTIFY=FAILURE ORCPT=rfc822;me@example.org")
        await client.asks("RCPT TO:<+12025550125@fax.local>")
        await client.asks("DATA")
        await client.send(parts(scan(), 2)[0] + b"\r\n.\r\n")
        assert (await client.reply()).code == 250
    await front.pass_time(90_000)
    (mail,) = await front.told()
    assert [each["number"] for each in mail.facts["recipients"]] == ["+12025550124", "+12025550125"]
    assert (mail.facts["envid"], mail.facts["recipients"][0]["orcpt"]) == ("e1", "rfc822;me@example.org")


async def test_a_client_that_goes_away_leaves_nothing_half(front: Front) -> None:
    first, last = parts(scan(), 2)
    await front.id(first)
    client = await Client.connect(front.address)
    await client.reply()
    await client.asks("EHLO me", "MAIL FROM:<you@example.org>", "RCPT TO:<+12025550123@fax.local>", "DATA")
    await client.send(last[:-500])
    client.cut()
    await front.id(last)
    assert len(await front.house.jobs()) == 1
