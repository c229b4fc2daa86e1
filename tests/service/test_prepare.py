"""A mail becomes one document for all its faxes, or a truthful refusal for each; one that kills is set aside."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.document.cover_choice import CoverChoice
from gateway.document.workshop import ENDED_BY_SYSTEM
from gateway.errors import NoSpace, Refused
from gateway.model import MAY_BE_SENT, JobState, MailKind, Notify
from gateway.service import prepare
from gateway.service.outbound import OutboundSettings
from gateway.service.prepare import PrepareSettings
from gateway.store import files, jobs, waiting
from gateway.store.db import Tx

from .conftest import Build
from .house import LETTER, NUMBER, Crash, House

SECOND = "+12025550124"
DIED = {"failed": "the converter crashed (exit -11)"}
KILLED = f"letter.pdf could not be converted: {ENDED_BY_SYSTEM}, most likely for want of memory"


async def test_all_faxes_of_a_mail_share_one_document(house: House) -> None:
    await house.submit(NUMBER, SECOND)
    assert await house.turn("prepare") == 1
    first, second = await house.jobs()
    assert first.state is second.state is JobState.PREPARED
    assert first.document == second.document
    assert first.document is not None
    assert (first.document.pages, [entry.text for entry in first.document.ledger]) == (1, ["message text: page 1"])
    assert [path.name for path in house.files("document")] == [first.document.file.partition("/")[2]]
    assert house.spool.path(first.document.file).read_bytes().startswith(b"%PDF-")
    assert house.files("tmp") == []
    assert house.workshop.calls == ["extract", "render"]


async def test_with_a_header_line_each_number_has_pages_of_its_own(build: Build) -> None:
    house = await build(outbound=OutboundSettings(prepare=PrepareSettings(document={"header": True})))
    await house.submit(NUMBER, SECOND)
    await house.turn("prepare")
    first, second = [job.document for job in await house.jobs()]
    assert first is not None and second is not None
    assert first.sha256 != second.sha256
    assert [page.seconds > 0 for page in first.sheets] == [True]
    assert len(house.files("document")) == 2


async def test_what_cannot_be_faxed_fails_every_fax_with_one_notice_each(house: House) -> None:
    header = b"Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n"
    broken = base64.b64encode(b"%PDF-1.4\nno more of it")
    queue_id = await house.submit(NUMBER, SECOND, mail=header + LETTER.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + broken)
    await house.settle()
    for job in await house.jobs():
        assert (job.state, job.outcome, job.attempts) == (JobState.FAILED, "content", 0)
        assert await house.told(job.id) == [("failed", "content")]
    (first, second) = await house.mails()
    assert first.facts["status"].startswith("5.6")
    assert first.message_id != second.message_id
    assert house.provider.names == []
    assert house.files("document") == house.files("tmp") == []
    assert queue_id in first.facts["job"]


async def test_who_asked_for_no_failure_notice_gets_none(house: House) -> None:
    await house.submit(notify=frozenset({Notify.NEVER}))
    house.workshop.faults.append({"refused": "it is a picture of a cat", "status": "5.6.1"})
    await house.settle()
    assert await house.states() == ["failed"]
    assert await house.mails() == []


async def test_a_fax_cancelled_meanwhile_stays_so_and_the_others_go_on(house: House) -> None:
    await house.submit(NUMBER, SECOND)
    (first, _) = await house.jobs()
    await house.outbound.settle.cancel(first, silent=True)
    await house.turn("prepare")
    assert await house.states() == ["cancelled", "prepared"]


async def test_a_mail_all_of_whose_faxes_were_cancelled_leaves_no_document(house: House) -> None:
    await house.submit()
    (job,) = await house.jobs()
    real = house.workshop.run

    async def slow(function: str, /, **arguments: object) -> object:
        result = await real(function, **arguments)
        if function.endswith("render"):
            await house.outbound.settle.cancel(job, silent=True)
        return result

    house.workshop.run = slow  # type: ignore[method-assign]
    await house.turn("prepare")
    assert await house.states() == ["cancelled"]
    assert house.files("document") == []


@pytest.mark.parametrize(("largest", "at_once"), [(10, 1), (10_000, 2)])
async def test_large_mails_are_converted_in_turn(
    house: House, monkeypatch: pytest.MonkeyPatch, largest: int, at_once: int
) -> None:
    monkeypatch.setattr(prepare, "LARGE", largest)
    run = house.workshop.run
    running, seen = [0], set[int]()
    together = asyncio.Event()

    async def watched(function: str, /, **arguments: Any) -> Any:
        running[0] += 1
        seen.add(running[0])
        if running[0] == 2:
            together.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05 if at_once == 1 else 30.0):
                await together.wait()
        answer = await run(function, **arguments)
        running[0] -= 1
        return answer

    monkeypatch.setattr(house.workshop, "run", watched)
    await house.submit()
    await house.submit(SECOND)
    seen.clear()
    await asyncio.gather(*(house.handle("prepare", job) for job in await house.jobs()))
    assert max(seen) == at_once
    assert await house.states() == ["prepared", "prepared"]


async def test_a_stale_turn_prepares_and_fails_nothing(house: House) -> None:
    await house.submit()
    (job,) = await house.jobs()
    await house.outbound.settle.cancel(job, silent=True)
    await house.handle("prepare", job)
    assert house.workshop.calls == []
    await house.submit(SECOND)
    (_, other) = await house.jobs()

    async def refuses(function: str, /, **_: object) -> object:
        await house.outbound.settle.cancel(other, silent=True)
        raise Refused("it is a picture of a cat")

    house.workshop.run = refuses  # type: ignore[method-assign]
    await house.turn("prepare")
    assert await house.states() == ["cancelled", "cancelled"]
    assert await house.mails() == []


async def test_a_held_mail_is_not_prepared(house: House) -> None:
    await house.submit()
    (job,) = await house.jobs()
    await house.database.write(lambda tx: jobs.hold(tx, job, house.now, "by the operator"))
    assert await house.turn("prepare") == 0
    held = await house.job(job.id)
    await house.database.write(lambda tx: jobs.release(tx, held, house.now))
    assert await house.turn("prepare") == 1
    assert await house.states() == ["prepared"]


async def test_content_that_fails_takes_held_faxes_of_the_mail_along(house: House) -> None:
    await house.submit(NUMBER, SECOND)
    (_, second) = await house.jobs()
    await house.database.write(lambda tx: jobs.hold(tx, second, house.now, "by the operator"))
    house.workshop.faults.append({"refused": "it is a picture of a cat"})
    await house.turn("prepare")
    assert [(job.state, job.hold) for job in await house.jobs()] == [(JobState.FAILED, "")] * 2


async def test_content_that_fails_ends_no_fax_that_may_have_been_sent(house: House) -> None:
    """As after a restore: the mail was a fax before, and the history shows it."""
    await house.submit(NUMBER, SECOND)
    (_, second) = await house.jobs()
    await house.database.write(lambda tx: jobs.hold(tx, second, house.now, f"{MAY_BE_SENT}: the history shows it"))
    house.workshop.faults.append({"refused": "it is a picture of a cat"})
    await house.turn("prepare")
    assert [(job.state, job.may_be_sent) for job in await house.jobs()] == [
        (JobState.FAILED, False), (JobState.ACCEPTED, True),
    ]  # fmt: skip
    assert await house.told(second.id) == []


# --- strikes ----------------------------------------------------------------------------------------------------------


async def killed(house: House, times: int) -> House:
    """The gateway ends so often while it prepares, and is started again."""
    for _ in range(times):
        house.workshop.faults.append(Crash())
        house.now += 1000
        with pytest.raises(Crash):
            await house.turn("prepare")
        house = await house.crash()
        await house.outbound.recover()
    return house


async def test_a_mail_that_kills_the_process_three_times_is_set_aside_and_the_others_go_on(house: House) -> None:
    many = [f"+1202555{n:04}" for n in range(100, 130)]
    poison = await house.submit(*many)
    reborn = await killed(house, 3)
    good = await reborn.submit("+12025550199", mail=LETTER.replace(b"Please", b"Do"))
    reborn.now += 1000
    await reborn.turn("prepare")
    for job in await reborn.jobs():
        if job.submission == good:
            assert job.state is JobState.PREPARED
        else:
            assert (job.state, "the gateway itself ended each of the 3 times" in job.hold) == (JobState.ACCEPTED, True)
            assert await reborn.told(job.id) == [("delayed", "held")]
    assert await reborn.alarms() == [f"The mail {poison} is set aside"]
    (alarm,) = await reborn.mails(MailKind.OPERATOR)
    assert f"faxgateway queue release {poison};" in alarm.facts["remedy"]
    for job in await reborn.jobs():
        await reborn.database.write(lambda tx, job=job: jobs.release(tx, job, reborn.now))  # type: ignore[misc]
    await reborn.turn("prepare")  # it was the machine
    assert set(await reborn.states()) == {"prepared"}
    await reborn.close()


async def test_trouble_from_before_the_process_was_killed_says_nothing(house: House) -> None:
    await house.submit()
    house.workshop.faults.append(DIED)
    await house.turn("prepare")
    reborn = await killed(house, 2)
    reborn.now += 1000
    await reborn.turn("prepare")
    (job,) = await reborn.jobs()
    assert "the gateway itself ended" in job.hold
    await reborn.close()


async def test_a_conversion_that_dies_is_tried_three_times_with_growing_pauses(house: House) -> None:
    await house.submit(NUMBER, SECOND)
    house.workshop.faults.extend([DIED] * 3)
    pauses = []
    for _ in range(3):
        assert await house.turn("prepare") == 1
        first, second = await house.jobs()
        assert (first.next_at, first.strikes) == (second.next_at, second.strikes)
        pauses.append(first.next_at - house.now)
        house.now = first.next_at
    assert pauses == [30, 60, 120]
    await house.turn("prepare")
    assert await house.states() == ["failed", "failed"]
    failed = (await house.mails(MailKind.FAILED))[0].facts
    assert "the converter crashed" in failed["text"]
    assert failed["status"] == "5.6.5"
    assert len(await house.alarms()) == 1


@pytest.mark.parametrize(
    ("strikes", "error", "most"),
    [(0, "", 3), (1, "", 3), (2, "", 1), (2, "it crashed", 3), (1, KILLED, 3), (2, KILLED, 1)],
)
async def test_the_last_try_after_ends_of_ours_is_made_alone(house: House, strikes: int, error: str, most: int) -> None:
    """Else a mail that was converted beside the one that ends us, or takes all memory, would be set aside with it."""
    for n in range(3):
        await house.submit(f"+1202555012{n}", mail=LETTER + str(n).encode())
    one, suspect, another = await house.jobs()
    await house.database.write(lambda tx: jobs.touch(tx, suspect, house.now, strikes=strikes, last_error=error))
    running, seen, run = 0, [], house.workshop.run

    async def watched(function: str, /, **arguments: Any) -> Any:
        nonlocal running
        running += 1
        seen.append(running)
        try:
            return await run(function, **arguments)
        finally:
            running -= 1

    house.workshop.run = watched  # type: ignore[method-assign]
    in_order = [one, await house.job(suspect.id), another]
    await asyncio.gather(*(house.handle("prepare", job) for job in in_order))
    assert await house.states() == ["prepared"] * 3
    assert max(seen) == most


async def test_a_mail_whose_conversions_take_for_ever_together_is_ended(build: Build) -> None:
    house = await build(outbound=OutboundSettings(prepare=PrepareSettings(timeout=0.02, retry_max=1.0)))
    await house.submit()

    async def slow(_function: str, /, **_arguments: Any) -> Any:
        for _ in range(50):  # documents, none of which takes too long
            await asyncio.sleep(0.02)

    house.workshop.run = slow  # type: ignore[method-assign]
    await house.turn("prepare")
    (job,) = await house.jobs()
    assert (job.state, job.strikes) == (JobState.ACCEPTED, 1)
    assert "the documents of the mail together took longer than" in job.last_error
    assert house.files("tmp") == []


async def test_mails_whose_conversion_hung_before_leave_a_place_to_others(house: House) -> None:
    for n in range(3):
        await house.submit(f"+1202555012{n}", mail=LETTER + str(n).encode())
    hung, hung_too, good = await house.jobs()

    def tried(tx: Tx) -> None:
        for job in (hung, hung_too):
            jobs.touch(tx, job, house.now, strikes=1)

    await house.database.write(tried)
    (loop,) = (loop for loop in house.loops if loop.name == "prepare")
    assert await loop._begin(2) == 2
    assert loop._busy.keys() == {hung.submission, good.submission}
    await asyncio.gather(*loop._busy.values())
    assert await house.states() == ["prepared", "accepted", "prepared"]


async def test_the_number_of_tries_is_a_setting(build: Build) -> None:
    house = await build(outbound=OutboundSettings(prepare=PrepareSettings(tries=1)))
    await house.submit()
    house.workshop.faults.append(DIED)
    await house.turn("prepare")
    house.now += 30
    await house.turn("prepare")
    assert await house.states() == ["failed"]


async def test_it_may_succeed_at_the_third_try(house: House) -> None:
    await house.submit()
    house.workshop.faults.extend([DIED, DIED])
    for _ in range(3):
        await house.turn("prepare")
        house.now += 300
    assert await house.states() == ["prepared"]
    assert (await house.jobs())[0].strikes == 0


async def test_after_a_start_a_lost_try_is_made_again_at_once_and_a_second_one_soon(house: House) -> None:
    await house.submit()
    for wait in (0, 30):
        house.workshop.faults.append(Crash())
        with pytest.raises(Crash):
            await house.turn("prepare")
        house = await house.crash()
        assert (await house.jobs())[0].next_at > house.now + 600
        assert await house.outbound.recover() == 0
        assert (await house.jobs())[0].next_at == house.now + wait


async def test_a_mail_whose_html_kills_its_converter_is_printed_as_text(build: Build) -> None:
    document = {"paper": "letter", "body": "with-text"}
    house = await build(outbound=OutboundSettings(prepare=PrepareSettings(html=True, document=document)))
    await house.submit(mail=b"Subject: Offer\r\nContent-Type: text/html\r\n\r\n<p>Paper, 42.00</p>\r\n")
    real = house.workshop.run

    async def dies(function: str, /, **arguments: object) -> object:
        house.workshop.faults.extend([DIED] * function.endswith("html:draw"))
        return await real(function, **arguments)

    house.workshop.run = dies  # type: ignore[method-assign]
    await house.turn("prepare")
    (job,) = await house.jobs()
    assert job.document is not None
    assert (job.state, job.strikes) == (JobState.PREPARED, 0)
    assert [entry.text for entry in job.document.ledger] == [
        "message text: page 1; printed as text: drawing its HTML failed or took too much time or memory"
    ]


# --- trouble of ours --------------------------------------------------------------------------------------------------


async def test_a_full_disk_is_never_held_against_a_mail(build: Build) -> None:
    free = [10**9]
    house = await build(free=lambda _path: free[0])
    await house.submit()
    free[0] = 0
    for _ in range(10):
        await house.turn("prepare")
        (job,) = await house.jobs()
        assert job.state is JobState.ACCEPTED
        house.now = job.next_at
    free[0] = 10**9
    await house.turn("prepare")
    assert await house.states() == ["prepared"]


async def test_a_conversion_that_dies_of_the_full_disk_does_not_count(build: Build) -> None:
    free = [10**9]
    house = await build(free=lambda _path: free[0])
    await house.submit()
    real = house.workshop.run

    async def fills_the_disk(function: str, /, **arguments: object) -> object:
        if function.endswith("render"):
            free[0] = 0
            house.workshop.faults.append({"failed": "the disk is full or the file too large"})
        return await real(function, **arguments)

    house.workshop.run = fills_the_disk  # type: ignore[method-assign]
    for _ in range(5):
        free[0] = 10**9
        await house.turn("prepare")
        (job,) = await house.jobs()
        assert (job.state, job.strikes) == (JobState.ACCEPTED, 0)
        house.now = job.next_at


@pytest.mark.parametrize("missing", ["tmp", "document"])
async def test_a_spool_without_a_directory_is_waited_for(house: House, missing: str) -> None:
    await house.submit()
    shutil.rmtree(house.root / "spool" / missing)
    for _ in range(5):
        await house.turn("prepare")
        (job,) = await house.jobs()
        assert (job.state, job.strikes) == (JobState.ACCEPTED, 0)
        house.now = job.next_at
    (house.root / "spool" / missing).mkdir()
    await house.turn("prepare")
    assert await house.states() == ["prepared"]


async def test_a_mail_whose_file_is_lost_says_so(house: House) -> None:
    queue_id = await house.submit()
    house.spool.path((await house.submission(queue_id)).mail_file).unlink()
    await house.turn("prepare")
    (mail,) = await house.mails()
    assert "lost the file" in mail.facts["text"]


async def test_a_mail_whose_file_is_cut_off_is_not_faxed_in_part(house: House) -> None:
    queue_id = await house.submit(mail=LETTER + b"More lines.\r\n" * 200)
    os.truncate(house.spool.path((await house.submission(queue_id)).mail_file), 1000)
    await house.turn("prepare")
    (mail,) = await house.mails()
    assert "no longer whole" in mail.facts["text"]
    assert await house.states() == ["failed"]


async def test_rows_that_cannot_be_written_leave_no_document(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.submit()

    def full(*_: object) -> None:
        raise NoSpace("the gateway's disk is full")

    monkeypatch.setattr(jobs, "set_document", full)
    await house.turn("prepare")
    monkeypatch.undo()
    assert house.files("document") == []
    assert len(house.failed_steps) == 1
    house.now = (await house.jobs())[0].next_at
    await house.turn("prepare")
    assert await house.states() == ["prepared"]


async def test_a_document_without_its_row_is_an_orphan_after_a_crash(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.submit()

    def die(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(house.database, "write", _until_prepared(house, die))
    with pytest.raises(Crash):
        await house.turn("prepare")
    monkeypatch.undo()
    reborn = await house.crash()
    await reborn.outbound.recover()
    (orphan,) = reborn.files("document")
    reborn.now += 3600
    await reborn.turn("prepare")
    known = set(await reborn.database.read(files.named))
    assert reborn.spool.sweep(known, older_than=orphan.stat().st_mtime + 0.001) == [f"document/{orphan.name}"]
    (job,) = await reborn.jobs()
    assert job.document is not None
    assert reborn.spool.path(job.document.file).exists()
    await reborn.close()


def _until_prepared(house: House, die: object) -> object:
    """The database's write, which ends the process when the document is to be bound to its jobs."""
    real = house.database.write

    async def write(function: object) -> object:
        if getattr(function, "__qualname__", "").startswith("Prepare._prepared"):
            die()  # type: ignore[operator]
        return await real(function)  # type: ignore[arg-type]

    return write


async def test_an_old_wait_is_cut_where_a_clock_had_set_it(house: House, tmp_path: Path) -> None:
    await house.submit()
    (job,) = await house.jobs()
    await house.database.write(lambda tx: jobs.touch(tx, job, house.now, next_at=house.now + 5 * 365 * 86400))
    await house.outbound.mend_times()
    (job,) = await house.jobs()
    assert job.next_at <= house.now + 3600
    await house.database.write(lambda tx: waiting.not_after(tx, house.now - 1, house.now))
    assert (await house.jobs())[0].next_at == house.now - 1


# --- cover pages ------------------------------------------------------------------------------------------------------

COVERS = CoverChoice("on-request", "classic", ("classic", "compact", "modern"))


async def test_a_cover_page_names_its_recipient_so_each_has_a_document_of_its_own(build: Build) -> None:
    document = {"paper": "a4", "resolution": "standard"}
    facts = {"from_company": "Miller & Sons", "language": "de"}
    house = await build(
        outbound=OutboundSettings(prepare=PrepareSettings(document=document, cover=COVERS, cover_facts=facts))
    )
    await house.submit(NUMBER, SECOND, mail=LETTER.replace(b"Invoice", b"Invoice [fax: cover=compact]"))
    await house.submit(NUMBER, SECOND, mail=LETTER)
    await house.settle()
    plain, plain_too, first, second = await house.jobs()
    if first.document == second.document:
        plain, plain_too, first, second = first, second, plain, plain_too
    assert plain.document == plain_too.document != None  # noqa: E711
    assert first.document is not None
    assert second.document is not None
    assert first.document.sha256 != second.document.sha256
    ledger = ["cover page compact: page 1", "message text, on the cover page: page 1"]
    assert [entry.text for entry in first.document.ledger] == ledger
    assert [job.state for job in await house.jobs()] == [JobState.SUBMITTED] * 4


async def test_a_cover_page_that_is_gone_fails_the_fax_in_words(build: Build) -> None:
    """Accepted, and then the configuration changed."""
    house = await build(outbound=OutboundSettings(prepare=PrepareSettings(cover=CoverChoice("none", "classic"))))
    queue_id = await house.submit(mail=LETTER.replace(b"Invoice", b"Invoice [fax: cover=auto]"))
    await house.settle()
    job = await house.job(f"{queue_id}-1")
    assert (job.state, job.outcome) == (JobState.FAILED, "content")
    assert job.last_error == "cover pages are not used here; send it without asking for one"
