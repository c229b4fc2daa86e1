"""Mail for the postmaster: taken from everybody, kept as a fax is, sent on to a person, never faxed."""

from __future__ import annotations

import email
import email.policy

import pytest
from smtp_harness import LOCAL, Doors, House, talking

from gateway.edge.smtp_settings import ListenerSettings
from gateway.mail.compose import Letterhead, compose
from gateway.model import MailKind, OutgoingMail
from gateway.store import jobs, outbox

MAIL = b"From: you@example.org\r\nSubject: help\r\n\r\nThe fax is broken.\r\n"
FAX = "+12025550123@fax.local"


async def queued(house: House) -> list[OutgoingMail]:
    return await house.database.read(lambda tx: outbox.due(tx, 1e12, 100))


@pytest.mark.parametrize(
    "address", ["postmaster", "Postmaster", "POSTMASTER@fax.local", "postmaster@FAX.local.", '"postmaster"@fax.local']
)
@pytest.mark.parametrize("sender", ["you@example.org", ""])
async def test_it_is_kept_and_sent_on(doors: Doors, house: House, address: str, sender: str) -> None:
    (door,) = await doors.open(house.accept)
    async with talking(door) as client:
        reply = await client.mail(MAIL, address, sender=sender)
        assert reply.code == 250
    (mail,) = await queued(house)
    assert (mail.kind, mail.to, mail.envelope_from) == (MailKind.POSTMASTER, "admin@example.org", "")
    assert mail.cause in reply.text
    assert house.mails_queued == 1
    assert await house.jobs() == []
    original = house.spool.path(mail.file).read_bytes()
    assert original.endswith(MAIL + b"\r\n")
    submission = await house.database.read(lambda tx: jobs.get_submission(tx, mail.cause))
    assert submission is not None
    assert submission.mail_file == mail.file
    message = email.message_from_bytes(
        compose(mail, Letterhead("Fax <fax@example.org>"), original), policy=email.policy.default
    )
    attachment = next(iter(message.iter_attachments()))
    assert (attachment.get_filename(), attachment.get_content()) == ("mail.eml", original)
    assert (sender or "nobody: it is a report") in message.get_body().get_content()  # type: ignore[union-attr]


async def test_a_stranger_may_write_to_him_a_little_and_nothing_else(doors: Doors, house: House) -> None:
    (door,) = await doors.open(house.accept, ListenerSettings("mail", "127.0.0.1:0", networks=("192.0.2.0/24",)))
    async with talking(door) as client:
        assert await client.asks("MAIL FROM:<>", f"RCPT TO:<{FAX}>", "RCPT TO:<postmaster@elsewhere.example>") == [
            250,
            550,
            550,
        ]
        assert await client.asks("RSET") == [250]
        assert (await client.mail(MAIL, "postmaster")).code == 250
        assert (await client.mail(MAIL + b"x" * 78 + b"\r\n" * 700_000, "postmaster")).code == 552
    assert len(await queued(house)) == 1
    assert len([name for name in house.files if name.startswith(("mail/", "tmp/"))]) == 1


async def test_strangers_cannot_bury_him(doors: Doors, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.service.postmaster._AN_HOUR", 30.0)
    strange, known = await doors.open(
        house.accept,
        ListenerSettings("mail", "127.0.0.1:0", networks=("192.0.2.0/24",)),
        ListenerSettings("office", "127.0.0.1:0", networks=LOCAL),
    )
    async with talking(strange) as client:
        for _ in range(20):
            assert (await client.mail(MAIL, "postmaster")).code == 250
        assert str(await client.mail(MAIL, "postmaster")).startswith("451 4.3.2 the postmaster has had much mail")
        monkeypatch.setattr("gateway.service.postmaster._AN_HOUR", 0.0)
        assert (await client.mail(MAIL, "postmaster")).code == 250
        monkeypatch.setattr("gateway.service.postmaster._AN_HOUR", 30.0)
        assert (await client.mail(MAIL, "postmaster")).code == 451
    async with talking(known) as client:
        assert (await client.mail(MAIL, "postmaster")).code == 250
    assert len(await queued(house)) == 22


async def test_he_and_fax_numbers_get_mails_of_their_own(doors: Doors, house: House) -> None:
    (door,) = await doors.open(house.accept)
    async with talking(door) as client:
        assert await client.asks("MAIL FROM:<a@example.org>", f"RCPT TO:<{FAX}>", "RCPT TO:<postmaster>") == [
            250,
            250,
            452,
        ]
        assert await client.asks("RSET", "MAIL FROM:<a@example.org>", "RCPT TO:<postmaster>", f"RCPT TO:<{FAX}>") == [
            250, 250, 250, 452,
        ]  # fmt: skip


@pytest.mark.parametrize("header", [b"X-Faxgateway-Loop: fax.local\r\n", b"Received: x\r\n" * 51])
async def test_a_mail_that_goes_round_is_refused(doors: Doors, house: House, header: bytes) -> None:
    (door,) = await doors.open(house.accept)
    async with talking(door) as client:
        assert str(await client.mail(header + MAIL, "postmaster")).startswith("550 5.4.6")
    assert await queued(house) == []
    assert house.files == [] or all(not name.startswith(("mail", "tmp")) for name in house.files)


async def test_where_there_is_a_login_it_is_asked_for_first(doors: Doors, house: House) -> None:
    (door,) = await doors.open(house.accept, ListenerSettings("mail", "127.0.0.1:0", networks=LOCAL, auth="required"))
    async with talking(door) as client:
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 530
