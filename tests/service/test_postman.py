"""Mails leave at least once, are never given up on a whim, and when they are it is visible and somebody is told."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import io
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from PIL import Image, ImageDraw, ImageFont

import gateway.document
from gateway.errors import Refused, TryLater
from gateway.mail.compose import Letterhead
from gateway.mail.transport import RelaySettings, Transport
from gateway.model import Envelope, FaxArrival, MailKind, MailState, OutgoingMail
from gateway.service.postman import Postman, PostmanSettings
from gateway.store import files, inbound, outbox, retention
from gateway.store.db import Tx

from .conftest import Build
from .house import LETTER, PEER, House

HEAD = Letterhead(sender="Fax gateway <fax@example.org>", hostname="gw.example")
PDF = b"%PDF-1.4 received"
DAY = 86400.0
FONT = Path(gateway.document.__file__).parent / "fonts" / "DejaVuSans.ttf"


class Sink:
    """A smarthost. ``rcpt`` and ``data`` answer in turn, with 250 when they are empty."""

    def __init__(self) -> None:
        self.mails: list[Any] = []
        self.rcpt: deque[str] = deque()
        self.data: deque[str] = deque()

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        answer = self.rcpt.popleft() if self.rcpt else "250 ok"
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        answer = self.data.popleft() if self.data else "250 2.0.0 queued"
        if answer.startswith("2"):
            self.mails.append(envelope)
        return answer

    def message(self, n: int = 0) -> Any:
        return email.message_from_bytes(self.mails[n].content, policy=email.policy.default)


@asynccontextmanager
async def relay(sink: Sink) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, loop=loop, hostname="sink"), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


@asynccontextmanager
async def speaking(first: bytes) -> AsyncIterator[int]:
    """A server that says one thing and no more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


class Office:
    """A postman in a house. ``due`` delivers what is due now."""

    def __init__(self, house: House, carrier: Any, **settings: Any) -> None:
        self.house = house
        self.postman = Postman(
            house.database, house.spool, house.workshop, carrier, HEAD, house.notices, PostmanSettings(**settings),  # type: ignore[arg-type]
            clock=house.clock,
        )  # fmt: skip

    async def due(self) -> int:
        loop = self.postman._loop
        items = await loop._due(self.house.now, 100)
        for item in items:
            await loop._handle(item)
        return len(items)

    async def mail(self, id_: str = "") -> OutgoingMail:
        mails = await self.house.mails()
        return mails[0] if not id_ else next(mail for mail in mails if mail.id == id_)


class Carrier:
    """Hands over to nobody; answers in turn, and keeps what it was given."""

    def __init__(self, *answers: BaseException | str) -> None:
        self.answers = deque(answers)
        self.sent: list[tuple[str, str, bytes]] = []

    @asynccontextmanager
    async def handed_over(self, mail_from: str, rcpt_to: str, message: bytes) -> AsyncIterator[str]:
        self.sent.append((mail_from, rcpt_to, message))
        answer = self.answers.popleft() if self.answers else "250 ok"
        if isinstance(answer, BaseException):
            raise answer
        yield answer


def to_relay(port: int, **settings: Any) -> Transport:
    return Transport(RelaySettings(**{"host": "127.0.0.1", "port": port, "timeout": 5.0, **settings}))


async def a_result(house: House) -> OutgoingMail:
    """A fax that failed, so that a mail waits."""
    await house.submit()
    house.workshop.faults.append({"refused": "it is a picture of a cat"})
    await house.turn("prepare")
    (mail,) = await house.mails()
    return mail


async def a_received_fax(house: House, *mailboxes: str) -> None:
    await house.route("+12025550100", *(mailboxes or ("desk@example.org",)))
    draft = house.inbound.draft()
    draft.write(PDF)
    await house.inbound.arrival(FaxArrival("u1", "+12025550199", "+12025550100"), draft, "application/pdf")


# --- taken ------------------------------------------------------------------------------------------------------------


async def test_a_result_goes_out_from_the_null_sender_and_counts_as_sent_when_it_is_taken(house: House) -> None:
    waiting, sink = await a_result(house), Sink()
    async with relay(sink) as port:
        office = Office(house, to_relay(port))
        assert await office.due() == 1
        assert await office.due() == 0
    assert (sink.mails[0].mail_from, sink.mails[0].rcpt_tos) == ("<>", ["a@example.org"])
    assert sink.message()["Message-ID"] == waiting.message_id
    sent = await office.mail()
    assert (sent.state, sent.tries, sent.last_error) == (MailState.SENT, 1, "250 2.0.0 queued")


async def test_a_received_fax_brings_its_document_from_the_bounce_mailbox(house: House) -> None:
    await a_received_fax(house)
    sink = Sink()
    async with relay(sink) as port:
        await Office(house, to_relay(port)).due()
    assert sink.mails[0].mail_from == "bounce@example.org"
    (document,) = sink.message().iter_attachments()
    assert document.get_content() == PDF


async def test_one_mail_for_a_kind_a_cause_and_a_mailbox(house: House) -> None:
    waiting = await a_result(house)
    twin = replace(waiting, id="other", facts={"code": "busy"})
    assert not await house.database.write(lambda tx: outbox.add(tx, twin))
    assert await house.database.write(lambda tx: outbox.add(tx, replace(twin, to="b@example.org")))
    assert Counter(mail.to for mail in await house.mails()) == {"a@example.org": 1, "b@example.org": 1}


# --- not now ----------------------------------------------------------------------------------------------------------


async def test_pauses_double_to_a_limit_and_are_spread(house: House) -> None:
    await a_result(house)
    office = Office(house, Carrier(*[TryLater("away")] * 7))
    pauses = []
    for _ in range(7):
        assert await office.due() == 1
        mail = await office.mail()
        pauses.append(mail.next_at - house.now)
        assert mail.last_error == "away"
        house.now = mail.next_at
    for pause, wanted in zip(pauses, [300, 600, 1200, 2400, 3600, 3600, 3600], strict=True):
        assert 0.9 * wanted <= pause <= 1.1 * wanted
    assert len({round(pause / 300, 3) for pause in pauses}) > 4


async def test_a_pause_that_the_relay_names_is_heeded(house: House) -> None:
    await a_result(house)
    office = Office(house, Carrier(TryLater("later", after=5000.0)))
    await office.due()
    assert (await office.mail()).next_at == house.now + 5000


async def test_a_grey_list_takes_the_very_same_mail_the_second_time(house: House) -> None:
    waiting, sink = await a_result(house), Sink()
    sink.rcpt.append("450 4.7.1 greylisted, come back later")
    async with relay(sink) as port:
        office = Office(house, to_relay(port))
        await office.due()
        mail = await office.mail()
        assert (mail.state, mail.tries) == (MailState.QUEUED, 1)
        assert "greylisted" in mail.last_error
        house.now = mail.next_at
        await office.due()
    assert sink.message()["Message-ID"] == waiting.message_id
    assert (await office.mail()).state is MailState.SENT


async def test_a_retry_is_the_same_mail_byte_for_byte(house: House) -> None:
    await a_received_fax(house)
    carrier = Carrier(TryLater("away"), TryLater("away"))
    office = Office(house, carrier)
    for _ in range(3):
        await office.due()
        house.now += 10_000
    assert len({hashlib.sha256(message).hexdigest() for _, _, message in carrier.sent}) == 1


@pytest.mark.parametrize("reply", ["451 4.3.0 disk trouble", "452 4.2.2 mailbox full", "421 4.3.2 shutting down"])
async def test_temporary_answers_to_the_data_keep_the_mail(house: House, reply: str) -> None:
    await a_result(house)
    sink = Sink()
    sink.data.append(reply)
    async with relay(sink) as port:
        office = Office(house, to_relay(port))
        await office.due()
    assert (await office.mail()).state is MailState.QUEUED


@pytest.mark.parametrize("greeting", [b"421 4.3.2 busy\r\n", b"554 5.3.2 go away\r\n", b"", b"nonsense\r\n"])
async def test_a_relay_that_does_not_talk_is_waited_for(house: House, greeting: bytes) -> None:
    await a_result(house)
    async with speaking(greeting) as port:
        office = Office(house, to_relay(port, timeout=0.3))
        await office.due()
    assert ((await office.mail()).state, (await office.mail()).tries) == (MailState.QUEUED, 1)


async def test_a_relay_that_is_not_there_is_waited_for(house: House, unused_tcp_port: int) -> None:
    await a_result(house)
    office = Office(house, to_relay(unused_tcp_port))
    await office.due()
    assert (await office.mail()).state is MailState.QUEUED


async def test_a_mail_that_cannot_even_be_made_is_tried_again_and_told_in_the_end(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a_result(house)
    monkeypatch.setattr("gateway.service.postman.compose", lambda *_: 1 / 0)
    office = Office(house, Carrier(), expire_after=DAY)
    await office.due()
    mail = await office.mail()
    assert (mail.state, mail.tries) == (MailState.QUEUED, 1)
    assert "ZeroDivisionError" in mail.last_error
    for _ in range(5):
        house.now += DAY
        await office.due()
    assert (await office.mail(mail.id)).state is MailState.DEAD


async def test_a_document_that_is_not_there_is_waited_for_and_then_told(house: House) -> None:
    await a_received_fax(house)
    house.files("inbound")[0].rename(house.root / "elsewhere")
    carrier = Carrier()
    office = Office(house, carrier)
    await office.due()
    mail = await office.mail()
    assert (mail.state, carrier.sent) == (MailState.QUEUED, [])
    assert "cannot be read" in mail.last_error


async def test_a_document_that_is_not_the_one_that_came_is_mailed_to_nobody_and_told(house: House) -> None:
    await a_received_fax(house)
    document = house.files("inbound")[0]
    document.write_bytes(document.read_bytes()[:-1])
    carrier = Carrier()
    office = Office(house, carrier)
    while await office.due():
        pass
    (notice,) = await house.mails(MailKind.OPERATOR)
    assert "on disk is not the one that came" in notice.facts["text"]
    assert [to for _, to, _ in carrier.sent] == ["admin@example.org"]


# --- given up ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["550 5.1.1 no such user", "554 5.7.1 not you", "552 5.3.4 too large"])
async def test_a_permanent_no_ends_it_at_once_and_the_operator_is_told(house: House, reply: str) -> None:
    waiting = await a_result(house)
    sink = Sink()
    sink.rcpt.append(reply)
    async with relay(sink) as port:
        office = Office(house, to_relay(port))
        await office.due()
        dead = await office.mail(waiting.id)
        assert dead.state is MailState.DEAD
        assert reply.split(" ", 2)[2] in dead.last_error
        assert await house.alarms() == ["A result mail to a@example.org could not be delivered"]
        await office.due()
    assert [envelope.rcpt_tos for envelope in sink.mails] == [["admin@example.org"]]
    assert waiting.cause in sink.message().get_content()


async def test_it_is_given_up_by_age_and_real_tries_together(house: House) -> None:
    waiting = await a_result(house)
    office = Office(house, Carrier(*[TryLater("away")] * 1000))
    house.now += 10 * DAY
    for tries in range(1, 5):
        await office.due()
        assert (await office.mail(waiting.id)).state is MailState.QUEUED, tries
        house.now += 10_000
    await office.due()
    dead = await office.mail(waiting.id)
    assert (dead.state, dead.tries) == (MailState.DEAD, 5)
    assert "away" in dead.last_error


async def test_within_its_time_it_is_tried_as_often_as_it_takes(house: House) -> None:
    waiting = await a_result(house)
    office = Office(house, Carrier(*[TryLater("away")] * 1000))
    while house.now - waiting.created_at <= 5 * DAY:
        await office.due()
        mail = await office.mail(waiting.id)
        assert mail.state is MailState.QUEUED
        house.now = mail.next_at
    assert mail.tries > 100


async def test_a_received_fax_that_a_mailbox_refuses_goes_to_the_fallback_and_stays_visible(house: House) -> None:
    await a_received_fax(house, "gone@example.org", "desk@example.org")
    sink = Sink()
    sink.rcpt.append("550 5.1.1 no such user")
    async with relay(sink) as port:
        office = Office(house, to_relay(port))
        while await office.due():
            pass
    mails = {mail.to: mail for mail in await house.mails()}
    assert {to: str(mail.state) for to, mail in mails.items()} == {
        "gone@example.org": "dead", "desk@example.org": "sent", "admin@example.org": "sent",
    }  # fmt: skip
    note = mails["admin@example.org"].facts["note"]
    assert "could not be delivered to gone@example.org" in note and "faxgateway route list" in note
    assert len({mail.message_id for mail in mails.values()}) == 3
    (document,) = sink.message(1).iter_attachments()
    assert document.get_content() == PDF
    assert (await house.database.read(outbox.counts))["dead"] == 1


async def test_a_mailbox_that_refuses_a_received_fax_again_and_again_is_told_each_time(house: House) -> None:
    await a_received_fax(house)
    office = Office(house, carrier := Carrier())
    for told in (0, 1, 2):  # the first time by the fax itself, which goes to the fallback
        carrier.answers.append(Refused("554 5.7.1 no"))
        while await office.due():
            pass
        assert len(await house.mails(MailKind.OPERATOR)) == told
        house.now += 3600
        await house.inbound.redeliver((await house.faxes())[0].id, "desk@example.org")


async def test_the_operator_is_told_of_a_received_fax_that_a_mailbox_puts_off_for_hours(house: House) -> None:
    await a_received_fax(house, "full@example.org")
    office = Office(house, Carrier(*[TryLater("452 4.2.2 mailbox full")] * 9), retry_max=1800.0)
    for _ in range(5):
        assert await house.alarms() == []
        await office.due()
        house.now += 3600
    await office.due()
    assert await house.alarms() == ["A received fax could not be delivered yet"]
    told = (await house.mails(MailKind.OPERATOR))[0].facts["text"]
    assert (
        "to full@example.org, and perhaps others, could not be handed over for 5 hours: 452 4.2.2 mailbox full." in told
    )
    assert (await office.mail()).state is MailState.QUEUED


async def test_a_received_fax_too_large_for_the_relay_is_told_without_it_and_its_document_is_kept(house: House) -> None:
    await a_received_fax(house)
    carrier = Carrier(Refused("too large"), Refused("too large"))
    office = Office(house, carrier)
    while await office.due():
        pass
    *_, (_, to, notice) = carrier.sent
    said = email.message_from_bytes(notice, policy=email.policy.default).get_content()
    (fax,) = await house.faxes()
    assert (to, len(carrier.sent)) == ("admin@example.org", 3)
    assert "too large" in said
    assert "could not be delivered to desk@example.org" in said.replace("\n", " ")  # which is not told by another mail
    assert f"faxgateway inbound redeliver {fax.id}" in said.replace("\n", " ")
    assert f"spool/{fax.file}" in said  # which no mail server may ever take


async def test_a_fallback_that_is_dead_itself_ends_it_and_keeps_the_document(house: House) -> None:
    await a_received_fax(house)
    office = Office(house, Carrier(Refused("no"), Refused("no"), Refused("no")))
    while await office.due():
        pass
    assert [str(mail.state) for mail in await house.mails()] == ["dead", "dead", "queued"]
    house.now += 1000 * DAY
    assert await house.database.write(lambda tx: inbound.forget_documents(tx, house.now)) == []
    assert len(house.files("inbound")) == 1


async def test_a_mailbox_that_is_the_fallback_gets_it_once(house: House) -> None:
    await a_received_fax(house, "gone@example.org", "admin@example.org")
    carrier = Carrier(Refused("no"))
    office = Office(house, carrier)
    while await office.due():
        pass
    assert [to for _, to, _ in carrier.sent] == ["gone@example.org", "admin@example.org", "admin@example.org"]
    said = " ".join(carrier.sent[2][2].decode().split())  # or nobody would hear of the other mailbox
    assert "could not be delivered to gone@example.org" in said


async def test_each_mailbox_that_refuses_is_told(house: House) -> None:
    await a_received_fax(house, "gone@example.org", "full@example.org")
    carrier = Carrier(Refused("no"), Refused("no"))
    office = Office(house, carrier)
    while await office.due():
        pass
    said = [" ".join(message.decode().split()) for _, to, message in carrier.sent if to == "admin@example.org"]
    assert len(said) == 2
    assert all(any(f"could not be delivered to {who}" in each for each in said) for who in ("gone@", "full@"))


async def test_a_notice_to_the_operator_that_dies_causes_no_other(house: House) -> None:
    alarm = house.notices.operator("k", house.now, title="t", text="x", remedy="y")
    await house.database.write(lambda tx: outbox.add(tx, alarm))
    office = Office(house, Carrier(*[Refused("no")] * 5), expire_after=DAY)
    while (await office.mail()).state is MailState.QUEUED:
        await office.due()
        house.now += DAY
    assert [(str(mail.state), mail.tries) for mail in await house.mails()] == [("dead", 5)]


async def test_after_a_mail_server_that_refused_everybody_the_operator_is_told_what_died(house: House) -> None:
    await a_received_fax(house)
    office = Office(house, carrier := Carrier(*[Refused("554 5.7.1 Relay access denied")] * 3))
    while await office.due():
        pass
    assert len(carrier.sent) == 3  # to the mailbox, to the fallback, about both to the fallback
    carrier.sent.clear()
    house.now += 3600
    await office.due()
    ((_, to, message),) = carrier.sent
    assert to == "admin@example.org" and b"could not be delivered to desk@example.org" in message


async def test_what_an_approver_does_not_get_the_operator_gets(house: House) -> None:
    asked = house.notices.operator(
        "k", house.now, title="Fax 1 is held", text="It costs 9.", remedy="y", to="boss@example.org"
    )
    await house.database.write(lambda tx: outbox.add(tx, asked))
    office = Office(house, Carrier(Refused("no such user"), Refused("nor here")))
    await office.due()
    _, told = await house.mails()
    assert (told.to, told.facts["title"]) == ("admin@example.org", "Fax 1 is held")
    assert "The mail that asks boss@example.org was given up: no such user" in told.facts["text"]
    assert "It costs 9." in told.facts["text"] and told.facts["remedy"] == "y"
    await office.due()
    assert len(await house.mails()) == 2


async def test_mail_for_the_postmaster_that_nobody_takes_is_told_and_kept_for_a_while(house: House) -> None:
    draft = house.accept.draft()
    draft.write(b"Subject: help\r\n\r\nIt does not fax.\r\n")
    await house.accept.accept(Envelope(PEER, "ann@example.org", (), postmaster="postmaster@fax.local"), draft)
    house.now += 10 * DAY
    office = Office(house, Carrier(Refused("it looks like spam")))
    await office.due()
    _, told = await house.mails()
    assert (told.kind, told.to) == (MailKind.OPERATOR, "admin@example.org")
    assert "ann@example.org" in told.facts["text"] and "it looks like spam" in told.facts["text"]
    (file,) = house.files("mail")
    assert f"spool/mail/{file.name}" in told.facts["remedy"]
    await office.due()

    def forget(tx: Tx) -> list[str]:
        return retention.forget_documents(tx, house.now - 7 * DAY)

    assert await house.database.write(forget) == []
    house.now += 8 * DAY
    assert await house.database.write(forget) == [f"mail/{file.name}"]
    assert await house.database.read(files.named) == {}, "a start would miss it"


async def test_a_received_fax_that_is_forgotten_is_told_as_a_mail_that_died(house: House) -> None:
    await a_received_fax(house)
    await house.database.write(lambda tx: tx.execute("DELETE FROM inbound").rowcount)
    await Office(house, Carrier(Refused("no"))).due()
    assert len(await house.alarms()) == 1


async def test_a_file_is_never_purged_while_its_mail_waits(house: House) -> None:
    await a_received_fax(house)
    office = Office(house, Carrier(TryLater("away")))
    await office.due()

    def forget(tx: Tx) -> list[str]:
        return inbound.forget_documents(tx, house.now + 1000 * DAY)

    assert await house.database.write(forget) == []
    house.now += 10_000
    await office.due()
    (name,) = await house.database.write(forget)
    assert name.startswith("inbound/")


# --- crashes and clocks -----------------------------------------------------------------------------------------------


async def test_the_try_is_counted_before_it_is_made(house: House) -> None:
    await a_result(house)
    seen: list[Any] = []

    class Looking(Carrier):
        @asynccontextmanager
        async def handed_over(self, mail_from: str, rcpt_to: str, message: bytes) -> AsyncIterator[str]:
            seen.append(house.on_disk("SELECT tries, state FROM outbox"))
            yield "250 ok"

    await Office(house, Looking()).due()
    assert seen == [[(1, "queued")]]


async def test_killed_while_it_is_handed_over_it_goes_again_with_the_same_message_id(house: House) -> None:
    waiting = await a_result(house)

    class Dying(Carrier):
        @asynccontextmanager
        async def handed_over(self, mail_from: str, rcpt_to: str, message: bytes) -> AsyncIterator[str]:
            async with super().handed_over(mail_from, rcpt_to, message):
                raise asyncio.CancelledError
            yield ""

    first = Dying()
    with pytest.raises(asyncio.CancelledError):
        await Office(house, first).due()
    reborn = await house.crash()
    second = Carrier()
    office = Office(reborn, second)
    await office.postman.recover()
    await office.due()  # the try that was broken off is made again at once
    assert first.sent == second.sent
    assert waiting.message_id.encode() in second.sent[0][2]
    await reborn.close()


async def test_a_mail_that_was_taken_counts_as_sent_before_the_farewell_is_answered(house: House) -> None:
    await a_result(house)

    class Slow(Carrier):
        @asynccontextmanager
        async def handed_over(self, mail_from: str, rcpt_to: str, message: bytes) -> AsyncIterator[str]:
            async with super().handed_over(mail_from, rcpt_to, message) as reply:
                yield reply
            raise asyncio.CancelledError  # the end of the daemon's patience

    with pytest.raises(asyncio.CancelledError):
        await Office(house, Slow()).due()
    assert house.on_disk("SELECT state, last_error FROM outbox") == [("sent", "250 ok")]


async def test_a_time_that_a_wrong_clock_has_set_is_cut(house: House) -> None:
    waiting = await a_result(house)
    await house.database.write(lambda tx: outbox.deferred(tx, waiting.id, house.now + 1e9, "x"))
    office = Office(house, Carrier())
    await office.postman.mend_times()
    assert (await office.mail()).next_at == house.now


async def test_a_stale_turn_sends_nothing(house: House) -> None:
    waiting = await a_result(house)
    carrier = Carrier()
    office = Office(house, carrier)
    await office.due()
    await office.postman._deliver(waiting)
    assert len(carrier.sent) == 1


# --- running ----------------------------------------------------------------------------------------------------------


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(("large", "together"), [(len(PDF), 3), (len(PDF) - 1, 1)])
async def test_large_mails_go_one_after_the_other(
    large: int, together: int, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.postman._LARGE", large)
    await a_received_fax(house, "a@example.org", "b@example.org", "c@example.org")
    under_way: set[str] = set()
    most = 0

    class Slow(Carrier):
        @asynccontextmanager
        async def handed_over(self, mail_from: str, rcpt_to: str, message: bytes) -> AsyncIterator[str]:
            nonlocal most
            under_way.add(rcpt_to)
            most = max(most, len(under_way))
            if together > 1:
                await until(lambda: most == together)
            else:
                await asyncio.sleep(0.05)  # for others to begin, which they must not
            under_way.remove(rcpt_to)
            async with super().handed_over(mail_from, rcpt_to, message) as reply:
                yield reply

    carrier = Slow()
    office = Office(house, carrier)
    office.postman.start()
    try:
        await until(lambda: len(carrier.sent) == 3)
    finally:
        await office.postman.stop(20)
    assert most == together


async def test_a_received_fax_that_lacks_a_page_is_told_as_such(house: House) -> None:
    await house.route("+12025550100", "desk@example.org")
    carrier, document = Carrier(), io.BytesIO()
    Image.new("1", (1728, 2000), 1).save(document, "TIFF", save_all=True, append_images=[Image.new("1", (1728, 9), 1)])
    for n, told in enumerate([3, 2, None]):
        draft = house.inbound.draft()
        draft.write(document.getvalue())
        await house.inbound.arrival(
            FaxArrival(f"u{n}", "+12025550199", "+12025550100", pages=told), draft, "image/tiff"
        )
        await Office(house, carrier).due()
    heads = [email.message_from_bytes(message)["Subject"].partition(", ")[2] for _, _, message in carrier.sent]
    assert heads == ["2 of 3 pages", "2 pages", ""]
    assert house.workshop.calls.count("pagecount") == 2  # nothing is counted where nothing was told


async def test_a_received_fax_does_not_wait_for_converters_that_are_not_free(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.service.postman._COUNTED_WITHIN", 0.05)

    async def never(_function: str, **_arguments: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(house.workshop, "run", never)
    await house.route("+12025550100", "desk@example.org")
    draft, carrier = house.inbound.draft(), Carrier()
    draft.write(PDF)
    await house.inbound.arrival(FaxArrival("u1", "+12025550199", "+12025550100", pages=2), draft, "application/pdf")
    await Office(house, carrier).due()
    ((_, _, message),) = carrier.sent
    assert email.message_from_bytes(message)["Subject"].endswith(", 2 pages")


async def test_running_it_delivers_what_comes_and_stops_quietly(house: House) -> None:
    sink = Sink()
    async with relay(sink) as port:
        office = Office(house, to_relay(port), concurrency=3)
        office.postman.start()
        await house.route("+12025550100", *(f"desk{n}@example.org" for n in range(10)))
        draft = house.inbound.draft()
        draft.write(PDF)
        await house.inbound.arrival(FaxArrival("u1", "+12025550199", "+12025550100"), draft, "application/pdf")
        office.postman.nudge()
        await until(lambda: len(sink.mails) == 10)
        await office.postman.stop(5.0)
    assert {mail.state for mail in await house.mails(MailKind.INBOUND)} == {MailState.SENT}
    assert len({envelope.rcpt_tos[0] for envelope in sink.mails}) == 10


# --- the mail it is about ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("small_mail", [0, 100_000])
@pytest.mark.parametrize(
    ("mail", "ret", "is_whole"),
    [
        (LETTER, "FULL", True),
        (LETTER, "HDRS", False),
        (LETTER, None, False),
        (LETTER + b"x\r\n" * 20_000, "FULL", False),
        (LETTER + "Grüße\r\n".encode(), "FULL", False),
    ],
)
async def test_a_failure_returns_the_mail_as_its_sender_asked(
    build: Build, small_mail: int, mail: bytes, ret: str | None, is_whole: bool
) -> None:
    """RFC 3461 section 4.3; one that is large or not 7bit comes back as its header alone."""
    house = await build(small_mail=small_mail)
    await house.submit(mail=mail, ret=ret)
    house.workshop.faults.append({"refused": "it is a picture of a cat"})
    await house.turn("prepare")
    carrier = Carrier()
    await Office(house, carrier).due()
    returned = list(email.message_from_bytes(carrier.sent[0][2], policy=email.policy.default).iter_parts())[2]
    if is_whole:
        assert returned.get_content_type() == "message/rfc822"
        assert returned.get_content().as_bytes(policy=email.policy.SMTP) == mail
    else:
        assert returned.get_content_type() == "text/rfc822-headers"
        assert returned.get_payload(decode=True).strip() == LETTER.partition(b"\r\n\r\n")[0]


async def test_a_report_goes_out_without_a_mail_that_is_gone(house: House) -> None:
    await a_result(house)
    (file,) = house.files("mail")
    file.unlink()
    carrier = Carrier()
    await Office(house, carrier).due()
    assert b"Content-Type: text/rfc822-headers\r\n\r\nSubject: Invoice\r\n" in carrier.sent[0][2]


# --- pictures ---------------------------------------------------------------------------------------------------------


async def a_fax_hard_to_read(house: House, ret: str | None = None) -> None:
    """Four pages of small print, one by one, and a common one between; it failed after it was prepared."""
    small = Image.new("L", (1728, 2156), 255)
    draw = ImageDraw.Draw(small)
    font = ImageFont.truetype(str(FONT), 14)
    for y in range(100, 900, 24):
        draw.text((100, y), "The quick brown fox jumps over the lazy dog " * 4, font=font)
    common = Image.new("L", (1728, 2156), 255)
    ImageDraw.Draw(common).text((100, 100), "Good morning", font=ImageFont.truetype(str(FONT), 40))
    pages = io.BytesIO()
    pictures = [page.convert("1", dither=Image.Dither.NONE) for page in (common, small, small, small, small)]
    pictures[0].save(pages, "TIFF", save_all=True, append_images=pictures[1:], dpi=(204, 196), compression="group4")
    mail = EmailMessage()
    mail["Subject"] = "Small"
    mail.add_attachment(pages.getvalue(), "image", "tiff", filename="small.tif")
    await house.submit(mail=mail.as_bytes(policy=email.policy.SMTP), ret=ret)
    await house.turn("prepare")
    (job,) = await house.jobs()
    assert job.document is not None
    await house.outbound.settle.fail(job, code="busy", text="Fax Failed - Line Busy")


def names_of(message: bytes) -> list[str]:
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    return [name for part in parsed.walk() if (name := part.get_filename())]


async def test_a_result_shows_the_first_pages_it_warns_of(house: House) -> None:
    await a_fax_hard_to_read(house)
    carrier = Carrier()
    await Office(house, carrier).due()
    message = carrier.sent[0][2]
    assert names_of(message) == [f"part-of-page-{n}.png" for n in (2, 3, 4)]
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    picture = next(part for part in parsed.walk() if part.get_content_type() == "image/png")
    with Image.open(io.BytesIO(picture.get_content())) as shown:
        assert (shown.size, shown.mode) == ((864, 448), "1")


async def test_a_sender_who_wants_nothing_of_the_mail_back_gets_no_pictures_of_it(house: House) -> None:
    await a_fax_hard_to_read(house, ret="HDRS")
    carrier = Carrier()
    await Office(house, carrier).due()
    assert names_of(carrier.sent[0][2]) == []
    assert b"page 5 has very small print" in carrier.sent[0][2]


async def test_without_pictures_the_words_go_out_all_the_same(house: House) -> None:
    await a_fax_hard_to_read(house)
    carrier = Carrier(*[TryLater("away")] * 3)
    (waiting,) = await house.mails()

    async def sent(**settings: Any) -> bytes:
        await house.database.write(lambda tx: outbox.deferred(tx, waiting.id, house.now, ""))
        await Office(house, carrier, **settings).due()
        return carrier.sent[-1][2]

    assert names_of(await sent(pictures=False)) == []
    house.workshop.faults.append({"failed": "the converter crashed"})
    assert names_of(await sent()) == []
    (document,) = house.files("document")
    document.unlink()
    message = await sent()
    assert names_of(message) == []
    assert b"page 5 has very small print" in message
    house.now += 40 * DAY
    await house.database.write(lambda tx: retention.forget_documents(tx, house.now))
    assert names_of(await sent()) == []
    assert house.workshop.calls.count("snapshots") == 1  # none of what is gone
