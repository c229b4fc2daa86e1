"""A received fax is stored once and mailed to each of its mailboxes, in whatever shape and order it is told."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.errors import NoSpace, NotFound, Refused, TryLater
from gateway.model import FaxArrival, InboundState, MailKind, MailState
from gateway.service.inbound import InboundSettings
from gateway.spool import Draft
from gateway.store import files, inbound, outbox

from .conftest import Build
from .house import House
from .scripted import away

CALLER, DID = "+12025550199", "+12025550100"
PDF = b"%PDF-1.4 one %%EOF"
OTHER = b"%PDF-1.4 two %%EOF"
TIFF = b"II*\0 three"
DAY = 86400.0


def told(uuid: str = "u1", **more: object) -> FaxArrival:
    return replace(FaxArrival(uuid, CALLER, DID, time="2026-11-23 10:15:00", pages=1), **more)  # type: ignore[arg-type]


def draft(house: House, data: bytes) -> Draft:
    made = house.inbound.draft()
    made.write(data)
    return made


async def arrive(house: House, arrival: FaxArrival, data: bytes | None = PDF, kind: str = "application/pdf") -> None:
    await house.inbound.arrival(arrival, None if data is None else draft(house, data), kind)


async def mailed(house: House) -> list[tuple[str, bytes]]:
    """To whom which document goes."""
    return [
        (mail.to, house.spool.path(mail.file).read_bytes() if mail.file else b"")
        for mail in await house.mails(MailKind.INBOUND)
    ]


@pytest.fixture
async def desk(house: House) -> House:
    """A house whose number leads to a desk."""
    await house.route(DID, "desk@example.org")
    return house


@pytest.mark.parametrize(
    ("written", "box"),
    [
        ("+12025550100", "desk"), ("12025550100", "desk"), ("0012025550100", "desk"), ("+1 (202) 555-0100", "desk"),
        ("2025550100", "desk"), ("(202) 555 0100", "desk"), ("030 1234567", "berlin"), ("+2025550100", "all"),
        ("5550100", "all"),  # two numbers end so
        ("550100", "all"), ("", "all"), ("anonymous", "all"), ("12025550199", "all"),
    ],
)  # fmt: skip
async def test_a_number_finds_its_route_however_it_is_written(written: str, box: str, house: House) -> None:
    for match, name in ((DID, "desk"), ("+493012345670", "x"), ("+49301234567", "berlin"), ("+442075550100", "x")):
        await house.route(match, f"{name}@example.org")
    await house.route("*", "all@example.org")
    await arrive(house, told(recipient=written))
    assert [to for to, _ in await mailed(house)] == [f"{box}@example.org"]


# --- a callback with its document -------------------------------------------------------------------------------------


async def test_a_fax_is_a_file_a_row_and_a_mail_before_the_provider_reads_200(desk: House) -> None:
    await arrive(desk, told(rsid="ACME"))
    (fax,) = await desk.faxes()
    assert (fax.state, fax.did, fax.size, fax.sha256) == (
        InboundState.DISPATCHED, DID[1:], len(PDF), hashlib.sha256(PDF).hexdigest(),
    )  # fmt: skip
    assert desk.on_disk("SELECT recipient, envelope_from FROM outbox") == [("desk@example.org", "bounce@example.org")]
    assert await mailed(desk) == [("desk@example.org", PDF)]
    (mail,) = await desk.mails()
    assert (mail.facts["from"], mail.facts["rsid"], mail.facts["pages"]) == (CALLER, "ACME", 1)
    assert desk.files("tmp") == []


async def test_each_mailbox_gets_one_mail_and_a_doubled_one_too(house: House) -> None:
    await house.route(DID, "desk@example.org", "copy@example.org", "desk@example.org")
    await arrive(house, told())
    mails = await house.mails()
    assert [mail.to for mail in mails] == ["desk@example.org", "copy@example.org"]
    assert len({mail.message_id for mail in mails}) == 2


async def test_without_a_route_it_goes_to_the_fallback_mailbox_and_says_why(house: House) -> None:
    await arrive(house, told())
    (mail,) = await house.mails()
    assert mail.to == "admin@example.org"
    assert mail.facts["note"] == (
        "No route leads from +12025550100 to a mailbox, so it came to you."
        " To give it one: faxgateway route add did +12025550100 ADDRESS"
    )


async def test_words_of_a_stranger_stand_in_no_command(house: House) -> None:
    await arrive(house, told(recipient="+12025550100;reboot"))
    (mail,) = await house.mails()
    assert mail.facts["note"] == "No route leads from +12025550100;reboot to a mailbox, so it came to you."


async def test_the_route_for_all_numbers_takes_what_has_none_of_its_own(desk: House) -> None:
    await desk.route("*", "all@example.org")
    await arrive(desk, told("u1"))
    await arrive(desk, told("u2", recipient="12025550101"), OTHER)
    assert [to for to, _ in await mailed(desk)] == ["desk@example.org", "all@example.org"]


async def test_the_same_callback_again_has_no_effect(desk: House) -> None:
    for _ in range(3):
        await arrive(desk, told())
    assert len(await desk.faxes()) == len(await mailed(desk)) == len(desk.files("inbound")) == 1


async def test_many_at_once_are_one(desk: House) -> None:
    await asyncio.gather(*(arrive(desk, told()) for _ in range(50)))
    assert len(await desk.faxes()) == len(await mailed(desk)) == len(desk.files("inbound")) == 1


async def test_without_an_id_the_same_content_at_the_same_time_is_the_same_fax(desk: House) -> None:
    await arrive(desk, told(""))
    await arrive(desk, told(""))
    assert len(await mailed(desk)) == 1
    await arrive(desk, told("", time="2026-11-23 11:00:00"))
    await arrive(desk, told(""), OTHER)
    assert [data for _, data in await mailed(desk)] == [PDF, PDF, OTHER]


async def test_the_same_content_under_two_ids_is_two_faxes(desk: House) -> None:
    await arrive(desk, told("u1"))
    await arrive(desk, told("u2"))
    assert len(await mailed(desk)) == 2


async def test_one_id_for_two_documents_keeps_both_and_warns(desk: House) -> None:
    for data in (PDF, OTHER, OTHER, PDF):
        await arrive(desk, told(), data)
    assert [data for _, data in await mailed(desk)] == [PDF, OTHER]
    assert await desk.alarms() == ["The provider gave two received faxes the same id"]
    assert len(desk.files("inbound")) == 2


# --- trouble ----------------------------------------------------------------------------------------------------------


async def test_trouble_is_told_and_leaves_nothing(desk: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise NoSpace("the gateway's disk is full")

    monkeypatch.setattr(outbox, "add", full)
    with pytest.raises(NoSpace):
        await arrive(desk, told())
    monkeypatch.undo()
    assert desk.files("inbound") == desk.files("tmp") == []
    assert await desk.faxes() == []
    await arrive(desk, told())
    assert len(await mailed(desk)) == 1


async def test_a_spool_that_cannot_take_the_file_is_told(desk: House) -> None:
    (desk.root / "spool" / "inbound").rmdir()
    with pytest.raises(TryLater):
        await arrive(desk, told())
    assert (await desk.faxes(), desk.files("tmp")) == ([], [])


async def test_killed_between_file_and_row_leaves_only_an_orphan(desk: House) -> None:
    made = draft(desk, PDF)
    await made.commit("inbound")
    reborn = await desk.crash()
    (orphan,) = reborn.files("inbound")
    assert (await reborn.faxes(), await reborn.mails()) == ([], [])
    known = set(await reborn.database.read(files.named))
    assert reborn.spool.sweep(known, older_than=orphan.stat().st_mtime + 1) == [f"inbound/{orphan.name}"]
    await arrive(reborn, told())  # the provider repeats what was not answered
    assert await mailed(reborn) == [("desk@example.org", PDF)]
    await reborn.close()


async def test_killed_after_the_row_nothing_is_lost_and_the_repeat_has_no_effect(desk: House) -> None:
    await arrive(desk, told())
    reborn = await desk.crash()
    await arrive(reborn, told())
    assert await mailed(reborn) == [("desk@example.org", PDF)]
    await reborn.close()


# --- a callback without its document ----------------------------------------------------------------------------------


async def test_a_document_that_lies_elsewhere_is_fetched_and_mailed(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = TIFF
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    assert await mailed(desk) == []
    await desk.turn("fetch")
    assert await mailed(desk) == [("desk@example.org", TIFF)]
    (fax,) = await desk.faxes()
    assert (fax.state, fax.file_type) == (InboundState.DISPATCHED, "image/tiff")
    assert await desk.turn("fetch") == 0


async def test_a_document_that_comes_later_makes_one_fax_received(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = TIFF
    with capture_logs() as logs:
        await arrive(desk, told(file_url="https://fax.to/1"), None)
        await desk.turn("fetch")
    said = [(each["event"], each.get("source")) for each in logs if each["event"].startswith("received")]
    assert said == [("received without its document", None), ("received", "fetch")]


async def test_the_same_content_elsewhere_under_two_ids_is_two_faxes(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = PDF
    for uuid in ("u1", "u2"):
        await arrive(desk, told(uuid, file_url="https://fax.to/1"), None)
    await desk.turn("fetch")
    assert [data for _, data in await mailed(desk)] == [PDF, PDF]


async def test_without_an_id_the_same_content_elsewhere_weeks_later_is_another_fax(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = PDF
    for time in ("2026-11-23 10:15:00", "2026-12-23 10:15:00"):
        await arrive(desk, told("", time=time, file_url="https://fax.to/1"), None)
        await desk.turn("fetch")
        desk.now += 30 * DAY
    assert [data for _, data in await mailed(desk)] == [PDF, PDF]


async def test_the_repeat_brings_the_document(desk: House) -> None:
    await arrive(desk, told(), None)
    await arrive(desk, told())
    assert await mailed(desk) == [("desk@example.org", PDF)]
    assert len(await desk.faxes()) == 1


async def test_the_repeat_brings_the_address(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = PDF
    await arrive(desk, told(), None)
    await desk.turn("fetch")
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    desk.now += 30
    await desk.turn("fetch")
    assert await mailed(desk) == [("desk@example.org", PDF)]


async def test_it_is_fetched_once_however_often_it_is_told(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = PDF
    for _ in range(3):
        await arrive(desk, told(file_url="https://fax.to/1"), None)
    await desk.turn("fetch")
    for _ in range(2):
        await arrive(desk, told(file_url="https://fax.to/1"), None)
    assert await desk.turn("fetch") == 0
    assert desk.provider.fetched == ["https://fax.to/1"]
    assert len(await mailed(desk)) == 1


async def test_a_fetch_that_fails_is_tried_with_growing_pauses_and_given_up_truthfully(desk: House) -> None:
    desk.provider.fetch_error = away()
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    pauses = []
    began = desk.now
    while (await desk.faxes())[0].state is InboundState.PENDING:
        await desk.turn("fetch")
        (fax,) = await desk.faxes()
        pauses.append(fax.next_at - desk.now)
        desk.now = max(fax.next_at, desk.now)
    assert pauses[:7] == [30, 60, 120, 240, 480, 900, 900]
    assert desk.now - began >= 2 * DAY
    assert await mailed(desk) == [("desk@example.org", b"")]
    assert (await desk.mails(MailKind.INBOUND))[0].facts["note"] == "The last trouble was: the provider is away."
    assert await desk.turn("fetch") == 0


async def test_who_runs_it_is_told_of_a_document_that_is_long_in_coming(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = b"<html>log in</html>"
    for uuid in ("u1", "u2"):
        await arrive(desk, told(uuid, file_url="https://fax.to/1"), None)
    for hours, mails in ((4.0, 0), (4.1, 1), (5.0, 1), (28.2, 2)):
        desk.now = max(fax.received_at for fax in await desk.faxes()) + hours * 3600
        await desk.turn("fetch")
        assert len(await desk.mails(MailKind.OPERATOR)) == mails
    (notice, _) = await desk.mails(MailKind.OPERATOR)
    assert notice.to == "admin@example.org"
    assert "from +12025550199 to +12025550100 was told 4 hours ago" in notice.facts["text"]
    assert "neither a PDF nor a TIFF" in notice.facts["text"]
    assert await mailed(desk) == []


async def test_age_alone_does_not_give_up(desk: House) -> None:
    desk.provider.fetch_error = away()
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    desk.now += 3 * DAY
    for _ in range(9):
        await desk.turn("fetch")
        desk.now += 900
        assert await mailed(desk) == []
    desk.provider.fetch_error = None
    desk.provider.documents["https://fax.to/1"] = PDF
    await desk.turn("fetch")
    assert await mailed(desk) == [("desk@example.org", PDF)]


async def test_a_document_that_comes_after_all_is_mailed_on_its_own(build: Build) -> None:
    house = await build(inbound=InboundSettings(give_up_after=60.0))
    await arrive(house, told(file_url="https://fax.to/1"), None)
    for _ in range(12):
        await house.turn("fetch")
        house.now += 900
    assert await mailed(house) == [("admin@example.org", b"")]
    for _ in range(2):
        await arrive(house, told())
    assert [data for _, data in await mailed(house)] == [b"", PDF]
    assert len({mail.message_id for mail in await house.mails()}) == 2


@pytest.mark.parametrize("junk", [b"", b"<html>not found</html>", b"\x89PNG"])
async def test_what_is_no_fax_document_is_not_mailed_as_one(desk: House, junk: bytes) -> None:
    desk.provider.documents["https://fax.to/1"] = junk
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    await desk.turn("fetch")
    (fax,) = await desk.faxes()
    assert fax.state is InboundState.PENDING
    assert "neither a PDF nor a TIFF" in fax.last_error
    assert desk.files("inbound") == desk.files("tmp") == []


async def test_a_document_that_breaks_off_is_fetched_once_more(desk: House) -> None:
    """The connection ended, and HTTP did not tell: what is whole at the second time is mailed."""
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    desk.provider.documents["https://fax.to/1"] = PDF
    desk.provider.cuts = [9, None]
    await desk.turn("fetch")
    assert await mailed(desk) == [("desk@example.org", PDF)]
    assert desk.files("tmp") == []


async def test_a_document_that_breaks_off_elsewhere_each_time_is_waited_for(desk: House) -> None:
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    desk.provider.documents["https://fax.to/1"] = PDF
    desk.provider.cuts = [9, 10, None]
    await desk.turn("fetch")
    assert (await mailed(desk), desk.files("tmp"), desk.files("inbound")) == ([], [], [])
    desk.now += 30
    await desk.turn("fetch")
    assert await mailed(desk) == [("desk@example.org", PDF)]


async def test_a_document_that_the_provider_has_without_its_end_is_mailed_as_it_is(desk: House) -> None:
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    desk.provider.documents["https://fax.to/1"] = PDF[:9]
    await desk.turn("fetch")
    assert await mailed(desk) == [("desk@example.org", PDF[:9])]


async def test_a_fetch_whose_rows_cannot_be_written_leaves_no_file(
    desk: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.provider.documents["https://fax.to/1"] = PDF
    await arrive(desk, told(file_url="https://fax.to/1"), None)

    def full(*_: object) -> None:
        raise NoSpace("the gateway's disk is full")

    monkeypatch.setattr(outbox, "add", full)
    await desk.turn("fetch")
    monkeypatch.undo()
    assert desk.files("inbound") == []
    desk.now += 30
    await desk.turn("fetch")
    assert await mailed(desk) == [("desk@example.org", PDF)]


async def test_a_callback_that_is_faster_than_the_fetch_wins(desk: House) -> None:
    await arrive(desk, told(file_url="https://fax.to/1"), None)

    async def fetch(_url: str, write: object) -> None:
        await arrive(desk, told())
        await write(PDF)  # type: ignore[operator]

    desk.provider.fetch = fetch  # type: ignore[method-assign, assignment]
    await desk.turn("fetch")
    assert await mailed(desk) == [("desk@example.org", PDF)]
    assert len(desk.files("inbound")) == 1


async def test_a_stale_turn_fetches_nothing(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = PDF
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    (fax,) = await desk.faxes()
    await desk.turn("fetch")
    await desk.inbound._fetch(fax)
    assert desk.provider.fetched == ["https://fax.to/1"]


async def test_after_a_start_a_lost_fetch_is_made_again_soon(desk: House) -> None:
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    (fax,) = await desk.faxes()
    await desk.database.write(lambda tx: inbound.begin_fetch(tx, fax.id, desk.now + 900))
    for wait in (0, 30, 60):
        await desk.inbound.recover()
        assert (await desk.faxes())[0].next_at == desk.now + wait
        await desk.database.write(lambda tx: inbound.begin_fetch(tx, fax.id, desk.now + 900))
    await desk.database.write(lambda tx: inbound.failed(tx, fax.id, desk.now + 1e9, "a clock was wrong"))
    await desk.inbound.mend_times()
    assert (await desk.faxes())[0].next_at == desk.now


# --- again, by the operator's wish ------------------------------------------------------------------------------------


async def test_a_fax_is_mailed_again_to_its_mailboxes_or_to_another(desk: House) -> None:
    await arrive(desk, told())
    (fax,) = await desk.faxes()
    (mail,) = await desk.mails()
    assert await desk.inbound.redeliver(fax.id, "") == 0  # it waits to be sent already
    await desk.database.write(lambda tx: outbox.sent(tx, mail.id, desk.now, "250 ok"))
    desk.now += 10 * DAY
    assert await desk.inbound.redeliver(fax.id, "") == 1
    (again,) = await desk.mails()
    assert (again.state, again.tries, again.created_at) == (MailState.QUEUED, 0, desk.now)
    assert again.message_id != mail.message_id  # or a mail system that had the first drops it
    assert await desk.inbound.redeliver(fax.id, "boss@example.org") == 1
    assert [to for to, _ in await mailed(desk)] == ["desk@example.org", "boss@example.org"]
    assert len({each.message_id for each in await desk.mails()}) == 2  # or a reader of both would see one
    assert await desk.inbound.redeliver(fax.id, "boss@example.org") == 0
    for each in await desk.mails():
        await desk.database.write(lambda tx, each=each: outbox.sent(tx, each.id, desk.now, "250 ok"))  # type: ignore[misc]
    assert await desk.inbound.redeliver(fax.id, "boss@example.org") == 1
    assert [each.to for each in await desk.mails() if each.state is MailState.QUEUED] == ["boss@example.org"]


async def test_what_is_not_here_is_not_mailed_again(desk: House) -> None:
    with pytest.raises(NotFound):
        await desk.inbound.redeliver("nothing", "")
    await arrive(desk, told(), None)
    (fax,) = await desk.faxes()
    with pytest.raises(Refused, match="not here"):
        await desk.inbound.redeliver(fax.id, "")


async def test_what_never_had_its_document_is_mailed_again_without_it(desk: House) -> None:
    await arrive(desk, told(), None)
    while (await desk.faxes())[0].state is InboundState.PENDING:
        await desk.turn("fetch")
        desk.now += 6 * 3600
    (mail,) = await desk.mails(MailKind.INBOUND)
    await desk.database.write(lambda tx: outbox.dead(tx, mail.id, desk.now, "no such user"))
    assert await desk.inbound.redeliver(mail.cause, "boss@example.org") == 1  # as the notice of a dead mail advises
    assert await desk.inbound.redeliver(mail.cause, "") == 1
    assert [each.to for each in await desk.mails(MailKind.INBOUND) if each.state is MailState.QUEUED] == [
        "desk@example.org", "boss@example.org",
    ]  # fmt: skip


# --- running ----------------------------------------------------------------------------------------------------------


async def test_running_it_fetches_what_is_told_and_stops_quietly(desk: House) -> None:
    desk.provider.documents["https://fax.to/1"] = PDF
    desk.inbound.start()
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    async with asyncio.timeout(30):
        while not await mailed(desk):
            await asyncio.sleep(0.01)
    await desk.inbound.stop(5.0)
    assert await mailed(desk) == [("desk@example.org", PDF)]


# --- forgetting -------------------------------------------------------------------------------------------------------


async def test_a_document_is_kept_until_a_mail_with_it_was_taken(house: House) -> None:
    await house.route(DID, "desk@example.org", "copy@example.org")
    await arrive(house, told())
    first, second = await house.mails()

    async def forget() -> int:
        return len(await house.database.write(lambda tx: inbound.forget_documents(tx, house.now + 1)))

    assert await forget() == 0
    await house.database.write(lambda tx: outbox.sent(tx, first.id, house.now, "250 ok"))
    assert await forget() == 0  # the other one waits
    await house.database.write(lambda tx: outbox.dead(tx, second.id, house.now, "550 gone"))
    assert await forget() == 0  # and was given up: nobody has it in its place
    (fax,) = await house.faxes()
    await house.inbound.redeliver(fax.id, "admin@example.org")
    assert await forget() == 0
    third = (await house.mails())[-1]
    await house.database.write(lambda tx: outbox.sent(tx, third.id, house.now, "250 ok"))
    assert await forget() == 1
    assert (await house.faxes())[0].file == ""
    await arrive(house, told())  # a late repeat is still known
    assert len(await house.mails()) == 3
