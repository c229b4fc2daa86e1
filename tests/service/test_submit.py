"""uploaded -> submitting -> submitted: the intent on disk before the request, one request, and no answer lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gateway.errors import GatewayError, KeyRefused, NoSpace, NotFound, OutcomeUnknown, Refused, SlowDown, TryLater
from gateway.mail.compose import Letterhead, compose
from gateway.model import JobState, MailKind, Receipt, Verdict
from gateway.ports import HistoryEntry, HistoryPage, JobStatus, Submitted
from gateway.service import settle
from gateway.service.outbound import OutboundSettings
from gateway.service.settle import SettleSettings
from gateway.store import jobs, receipts, witness
from gateway.store.db import Tx

from .conftest import Build
from .house import LETTER, NUMBER, Crash, House, state_of
from .scripted import ScriptedProvider, away

SECOND = "+12025550124"


def answer(error: BaseException) -> Any:
    def raise_it(_ref: int) -> Submitted:
        raise error

    return raise_it


# --- the intent -------------------------------------------------------------------------------------------------------


async def test_the_attempt_is_on_disk_before_the_request_leaves(house: House) -> None:
    job = await house.uploaded()
    seen: list[Any] = []
    query = (
        "SELECT job.state, n, attempt.document_ref, attempt.number, attempt.outcome FROM job JOIN attempt ON job = id"
    )
    house.provider.on_submit = lambda: seen.append(house.on_disk(query))
    await house.turn("submit")
    assert seen == [[("submitting", 1, 500, NUMBER, "")]]
    assert house.on_disk(query) == [("submitted", 1, 500, NUMBER, "sent")]
    assert (await house.job(job.id)).provider_ref == 9000


async def test_the_number_is_the_one_that_was_accepted(house: House) -> None:
    await house.submit(NUMBER, SECOND)
    await house.settle()
    assert house.provider.executed == [(500, NUMBER[1:]), (501, SECOND[1:])]


async def test_an_intent_that_cannot_be_recorded_sends_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.uploaded()

    def full(*_: object) -> None:
        raise NoSpace("the gateway's disk is full")

    monkeypatch.setattr(jobs, "begin_attempt", full)
    await house.turn("submit")
    assert (house.provider.submits, await house.states()) == (0, ["uploaded"])
    assert len(house.failed_steps) == 1


# --- a clear yes ------------------------------------------------------------------------------------------------------


async def test_a_yes_is_recorded_with_its_price_and_asked_about_later(house: House) -> None:
    job = await house.submitted()
    assert (job.state, job.cost, job.next_at) == (JobState.SUBMITTED, Decimal("0.10"), house.now + 60)
    (attempt,) = await house.attempts(job.id)
    assert (attempt.outcome, attempt.provider_ref, attempt.cost) == ("sent", 9000, Decimal("0.10"))


async def test_a_price_that_is_not_told_hinders_nothing(house: House) -> None:
    house.provider.cost_error = Refused("no price list")
    house.provider.answer_submit = Submitted
    job = await house.submitted()
    assert (job.state, job.cost) == (JobState.SUBMITTED, None)


async def test_a_yes_that_says_failed_in_the_same_breath_is_asked_about_at_once(house: House) -> None:
    house.provider.answer_submit = lambda ref: Submitted(ref, failed=True)
    house.provider.statuses[9000] = JobStatus(Verdict.FAILED, "busy", "Fax Failed - Line Busy")
    await house.submit()
    await house.settle()
    (job,) = await house.jobs()
    assert (job.state, job.outcome) == (JobState.FAILED, "busy")
    assert house.provider.submits == 1


async def test_a_receipt_that_is_faster_than_the_answer_is_adopted(house: House) -> None:
    await house.uploaded()
    house.provider.statuses[9000] = JobStatus(Verdict.SUCCESS, "ok", "Sent!")
    loop = asyncio.get_running_loop()
    early: list[asyncio.Task[None]] = []

    async def submit(*arguments: Any) -> Submitted:
        task = loop.create_task(house.outbound.receipt(Receipt(9000, Verdict.SUCCESS, "ok", "sent", house.now)))
        early.append(task)
        await task
        return await ScriptedProvider.submit(house.provider, *arguments)

    house.provider.submit = submit  # type: ignore[method-assign, assignment]
    await house.settle()
    (job,) = await house.jobs()
    assert job.state is JobState.DELIVERED
    assert [r.provider_ref for r in await house.database.read(lambda tx: receipts.of_job(tx, job.id))] == [9000]


# --- a clear no -------------------------------------------------------------------------------------------------------


async def test_an_old_receipt_of_an_id_that_is_given_again_says_nothing(house: House) -> None:
    """A fax of another program on the account, days ago: had it been believed, it would be told within the hour."""
    old = Receipt(9000, Verdict.SUCCESS, "ok", "Sent!", house.now - 5 * 86400)
    await house.outbound.receipt(old)
    job = await house.submitted()
    house.now += 4 * 3600
    await house.turn("result")
    assert (await house.job(job.id)).state is JobState.SUBMITTED
    await house.outbound.receipt(replace(old, received_at=house.now))
    house.provider.statuses[9000] = JobStatus(Verdict.SUCCESS, "ok", "Sent!")
    await house.turn("result")
    assert await house.told(job.id) == [("delivered", "ok")]


async def test_a_permanent_no_fails_the_fax(house: House) -> None:
    house.provider.execute = False
    house.provider.answer_submit = answer(Refused("Invalid fax number"))
    await house.submit()
    await house.settle()
    (job,) = await house.jobs()
    assert (job.state, job.outcome, job.last_error) == (JobState.FAILED, "refused", "Invalid fax number")
    assert await house.told(job.id) == [("failed", "refused")]
    assert [attempt.outcome for attempt in await house.attempts(job.id)] == ["not_sent"]


@pytest.mark.parametrize(
    "words", ["Insufficient credit", "Your balance is too low", "not enough FUNDS", "payment required"]
)
async def test_an_account_without_credit_stops_all_sends_with_one_alarm_until_the_balance_is_back(
    house: House, words: str
) -> None:
    house.provider.execute, house.provider.amount = False, Decimal("0.09")
    house.provider.answer_submit = answer(Refused(words))
    for n in range(3):
        await house.submit(f"+1202555012{n}", mail=LETTER + str(n).encode())
    await house.settle()
    assert (house.gate.is_open, house.gate.lacks_credit, house.provider.submits) == (False, True, 1)
    assert [state_of(job) for job in await house.jobs()] == [(JobState.UPLOADED, False)] * 3
    assert await house.alarms() == ["The fax account lacks credit: faxes wait"]
    assert words in str((await house.mails(MailKind.OPERATOR))[0].facts["text"])
    house.now += 3600
    house.gate.balance(Decimal("0.09"))  # does not pay for the fax that was refused
    await house.settle()
    assert house.provider.submits == 1
    house.provider.execute, house.provider.answer_submit = True, Submitted
    house.gate.balance(Decimal("0.10"))
    await house.turn("submit")
    assert await house.states() == ["submitted"] * 3
    assert len(await house.alarms()) == 1


async def test_a_fax_refused_for_credit_that_is_there_waits_alone(house: House) -> None:
    """The provider contradicts itself: that is no reason to stop the others."""
    house.provider.execute = False
    house.provider.answer_submit = answer(Refused("Insufficient credit"))
    job = await house.submitted()
    assert (state_of(job), house.gate.is_open, job.next_at) == ((JobState.UPLOADED, False), True, house.now + 900)
    assert await house.alarms() == ["The fax account lacks credit: faxes wait"]
    house.provider.execute, house.provider.answer_submit = True, Submitted
    house.now += 900
    await house.turn("submit")
    assert await house.states() == ["submitted"]


async def test_a_fax_that_was_sent_though_refused_for_credit_is_found_once_the_history_can_be_read(
    house: House,
) -> None:
    house.provider.answer_submit = answer(Refused("Insufficient credit"))
    house.provider.history_error = away()
    job = await house.submitted()
    assert (state_of(job), await house.told(job.id)) == ((JobState.UPLOADED, False), [])
    house.now = job.next_at
    await house.turn("submit")
    assert await house.states() == ["uploaded"]
    house.provider.history_error, house.now = None, (await house.job(job.id)).next_at
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], 1)


async def test_a_price_that_is_not_known_waits_for_any_balance(house: House) -> None:
    house.provider.execute, house.provider.balance_error = False, TryLater("no answer")
    house.provider.cost_error = Refused("no price list")
    house.provider.answer_submit = answer(Refused("Insufficient credit"))
    await house.submitted()
    house.gate.balance(Decimal(0))
    assert house.gate.lacks_credit
    house.gate.balance(Decimal("0.01"))
    assert house.gate.is_open


async def test_not_now_is_tried_again_later_with_the_same_document(house: House) -> None:
    house.provider.execute = False
    house.provider.answer_submit = answer(away())
    await house.submit()
    pauses = []
    for _ in range(3):
        await house.settle()
        (job,) = await house.jobs()
        assert job.state is JobState.UPLOADED
        pauses.append(job.next_at - house.now)
        house.now = job.next_at
    assert pauses == [30, 60, 120]
    house.provider.execute = True
    house.provider.answer_submit = Submitted
    await house.turn("submit")
    assert house.provider.executed == [(500, NUMBER[1:])]
    assert len(house.provider.names) == 1


async def test_a_fax_that_is_never_taken_is_given_up_after_days_and_real_tries(house: House) -> None:
    house.provider.execute = False
    house.provider.answer_submit = answer(away())
    await house.submit()
    house.now += 6 * 86400
    for _ in range(20):
        assert await house.states() in (["accepted"], ["uploaded"])
        await house.turn("prepare", "upload", "submit")
        house.now += 900
    (job,) = await house.jobs()
    assert (job.state, job.outcome) == (JobState.FAILED, "expired")
    assert {attempt.outcome for attempt in await house.attempts(job.id)} == {"not_sent"}
    assert [kind for kind, _ in await house.told(job.id)] == ["failed"]


async def too_old(house: House) -> str:
    """A fax that is due once more after 19 sends that were refused, or so it was said; returns its id."""
    house.provider.execute = False
    house.provider.answer_submit = answer(away())
    queue_id = await house.submit()
    house.now += 6 * 86400
    for _ in range(19):
        await house.turn("prepare", "upload", "submit")
        house.now += 900
    return f"{queue_id}-1"


async def test_no_send_is_the_last_thing_before_a_fax_is_given_up(house: House) -> None:
    """Each no is looked up in the history after a pause, also the last one."""
    id_ = await too_old(house)
    house.provider.execute = True
    await house.turn("submit")
    assert (house.provider.executed, await house.told(id_)) == ([], [("failed", "expired")])


async def test_no_price_is_asked_for_what_the_history_shows(house: House) -> None:
    id_ = await too_old(house)
    house.provider.executed.append((500, NUMBER[1:]))
    house.provider.cost_error = SlowDown("slow down")
    await house.turn("submit")
    assert (await house.job(id_)).state is JobState.SUBMITTED


async def test_what_is_given_up_is_not_told_as_unsent_while_the_history_cannot_be_read(house: House) -> None:
    id_ = await too_old(house)
    house.provider.history_error = away()
    await house.turn("submit")
    assert state_of(await house.job(id_)) == (JobState.UPLOADED, True)
    assert await house.told(id_) == [("unknown", "held")]
    house.provider.history_error = None
    house.provider.executed.append((500, NUMBER[1:]))
    await house.database.write(lambda tx: jobs.release(tx, job, house.now) if (job := jobs.get(tx, id_)) else False)
    await house.turn("submit")
    assert await house.states() == ["submitted"]


@pytest.mark.parametrize(
    "error", [SlowDown("slow down"), Refused("Insufficient credit"), KeyRefused("no such key"), away()]
)
async def test_what_all_wait_for_in_vain_is_given_up_in_time(house: House, error: GatewayError) -> None:
    house.provider.execute, house.provider.amount = False, Decimal(0)
    house.provider.answer_submit = answer(error)
    for n in range(5):
        await house.submit(f"+1202555012{n}", mail=LETTER + str(n).encode())
    house.now += 4 * 86400
    for _ in range(48):
        house.now += 1800
        await house.turn()
        if house.gate.is_shut:  # as the probe of the account does
            house.gate.failed(error)
    assert await house.states() == ["uploaded"] * 5
    for _ in range(3):
        house.now += 1800
        await house.turn()
    assert [(job.state, job.outcome) for job in await house.jobs()] == [(JobState.FAILED, "expired")] * 5
    for job in await house.jobs():
        assert [kind for kind, _ in await house.told(job.id)] == ["delayed", "failed"]


async def test_a_clock_that_jumps_while_the_provider_is_away_gives_nothing_up(house: House) -> None:
    house.provider.execute = False
    house.provider.answer_submit = answer(SlowDown("slow down"))
    await house.submit()
    for _ in range(10):
        house.now += 1800
        await house.turn()
    house.now += 30 * 86400
    await house.turn()
    assert await house.states() == ["uploaded"]


async def test_a_fax_that_all_wait_for_is_left_to_a_person_where_it_may_have_been_sent(house: House) -> None:
    house.provider.answer_submit = answer(SlowDown("slow down"))
    job = await house.submitted()
    house.provider.history_error = away()
    house.now += 4 * 86400
    for _ in range(48 + 3):
        house.now += 1800
        await house.turn()
    assert state_of(await house.job(job.id)) == (JobState.UPLOADED, True)
    assert [kind for kind, _ in await house.told(job.id)] == ["delayed", "unknown"]


@pytest.mark.parametrize("is_listed", [False, True])
async def test_what_nobody_tries_any_more_is_left_to_a_person_where_it_may_have_been_sent(
    house: House, is_listed: bool
) -> None:
    house.provider.answer_submit = answer(away())
    job = await house.submitted()
    house.provider.history_error = None if is_listed else away()
    house.now += 6 * 86400
    await house.handle("expire", job)
    held = await house.job(job.id)
    assert state_of(held) == (JobState.UPLOADED, True)
    assert ("shows it as fax 9000" if is_listed else "its history cannot be read") in held.hold
    assert await house.told(job.id) == [("unknown", "held")]


async def test_a_fax_that_was_tried_again_while_it_was_looked_for_is_not_given_up(house: House) -> None:
    house.provider.execute = False
    house.provider.answer_submit = answer(away())
    before = await house.submitted()
    house.now = before.next_at
    await house.turn("submit")
    assert (await house.job(before.id)).attempts == before.attempts + 1
    await house.handle("expire", before)
    assert (await house.states(), await house.told(before.id)) == (["uploaded"], [])


async def test_a_lost_document_is_not_uploaded_again_before_the_history_was_read(house: House) -> None:
    house.provider.answer_submit = answer(NotFound("Document not found"))
    house.provider.history_error = away()
    job = await house.submitted()
    assert job.state is JobState.UPLOADED
    house.provider.history_error, house.now = None, job.next_at
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], 1)


async def test_a_document_that_the_provider_lost_is_uploaded_again_but_not_for_ever(house: House) -> None:
    house.provider.execute = False
    house.provider.answer_submit = answer(NotFound("Document not found"))
    await house.submit()
    for _ in range(3):
        await house.settle()
        house.now += 30
    (job,) = await house.jobs()
    assert (job.state, job.outcome) == (JobState.FAILED, "refused")
    assert house.provider.names == [f"{job.id}-{n}.pdf" for n in (1, 2, 3)]
    assert [attempt.document_ref for attempt in await house.attempts(job.id)] == [500, 501, 502]


@pytest.mark.parametrize(("error", "asked"), [(Refused("there is no such call"), 1), (TryLater("not now"), 3)])
async def test_a_provider_that_tells_no_balance_is_not_asked_for_it_before_every_send(
    house: House, error: GatewayError, asked: int
) -> None:
    calls: list[float] = []

    async def balance() -> Decimal:
        calls.append(house.now)
        raise error

    house.provider.balance = balance  # type: ignore[method-assign]
    house.provider.answer_submit = Submitted  # nor does its answer to a send
    for n in range(3):
        await house.submit(f"+120255501{n:02}")
    await house.turn("prepare", "upload", "submit")
    assert (house.provider.submits, len(calls)) == (3, asked)
    house.now += 601
    await house.submit("+12025550199")
    await house.turn("prepare", "upload", "submit")
    assert len(calls) == asked + 1


# --- unknown ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [OutcomeUnknown("no clear answer", "HTTP 502"), RuntimeError("a bug"), ValueError("odd"), OSError("reset")],
)
async def test_anything_unclear_is_in_doubt_and_not_sent_again(house: House, error: Exception) -> None:
    house.provider.answer_submit = answer(error)
    await house.submit()
    await house.settle()
    (job,) = await house.jobs()
    assert (job.state, job.next_at) == (JobState.IN_DOUBT, house.now + 120)
    assert [attempt.outcome for attempt in await house.attempts(job.id)] == ["unknown"]
    house.now += 120
    await house.settle()
    assert await house.states() == ["submitted"]  # found in the history
    assert house.provider.submits == 1


async def test_after_some_sends_without_an_answer_no_other_is_begun_for_a_while(house: House) -> None:
    house.provider.answer_submit = answer(OutcomeUnknown("no answer"))
    for n in range(8):
        await house.submit(f"+120255501{n:02}")
    await house.turn("prepare", "upload", "submit")
    assert (house.provider.submits, house.gate.is_open) == (5, False)
    assert sorted(await house.states()) == ["in_doubt"] * 5 + ["uploaded"] * 3


async def test_an_id_that_another_fax_has_is_no_clear_answer(house: House) -> None:
    await house.submitted()
    house.provider.answer_submit = lambda _ref: Submitted(9000)
    await house.submit(SECOND)
    await house.turn("prepare", "upload", "submit")
    first, second = await house.jobs()
    assert (first.provider_ref, second.provider_ref) == (9000, None)
    assert second.state is JobState.IN_DOUBT
    house.provider.history_pages = [(HistoryEntry(9000, 501, SECOND[1:], Verdict.SUCCESS, None),)]
    house.now += 120
    await house.turn("doubt")
    assert state_of(await house.job(second.id)) == (JobState.IN_DOUBT, True)
    assert await house.told(second.id) == [("unknown", "held")]
    (mail,) = await house.mails(MailKind.UNKNOWN)
    text = " ".join(compose(mail, Letterhead("fax@example.org")).decode().split())
    assert "the provider gave no reliable answer" in text, "it did answer: no connection broke off"


async def test_a_doubt_that_a_person_settles_meanwhile_is_left_to_him(house: House) -> None:
    house.provider.answer_submit = answer(OutcomeUnknown("no answer"))
    await house.submit()
    await house.settle()
    (job,) = await house.jobs()
    real = house.provider.history

    async def history(page: int, limit: int) -> Any:
        current = await house.job(job.id)
        if not current.state.terminal:
            await house.outbound.settle.cancel(current, silent=True)
        return await real(page, limit)

    house.provider.history = history  # type: ignore[method-assign]
    house.now += 120
    await house.turn("doubt")
    assert await house.states() == ["cancelled"]
    assert (await house.attempts(job.id))[0].outcome == "unknown"
    await house.handle("doubt", job)
    assert await house.mails() == []


async def test_killed_while_sending_is_in_doubt_after_the_start(house: House) -> None:
    job = await house.uploaded()
    house.provider.answer_submit = answer(Crash())
    with pytest.raises(Crash):
        await house.turn("submit")
    reborn = await house.crash()
    assert await reborn.outbound.recover() == 1
    assert await reborn.states() == ["in_doubt"]
    assert "stopped while sending" in (await reborn.history(job.id))[-1]
    house.provider.answer_submit = Submitted
    reborn.now += 120
    await reborn.settle()
    assert await reborn.states() == ["submitted"]
    assert house.provider.executed == [(500, NUMBER[1:])]
    await reborn.close()


@pytest.mark.parametrize("trouble", [NoSpace("the gateway's disk is full"), MemoryError()])
async def test_an_answer_that_cannot_be_recorded_blocks_the_next_send_until_it_can(
    house: House, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    monkeypatch.setattr(settle, "_RECORD_PAUSE", 0.01)
    await house.uploaded()
    full = [3]
    real = receipts.adopt

    def adopt(*arguments: Any) -> int:
        if full[0]:
            full[0] -= 1
            raise trouble
        return real(*arguments)

    monkeypatch.setattr(receipts, "adopt", adopt)
    await house.turn("submit")
    (job,) = await house.jobs()
    assert (job.state, job.provider_ref, full) == (JobState.SUBMITTED, 9000, [0])
    assert house.provider.submits == 1


async def test_a_no_whose_history_fails_in_an_unexpected_way_is_a_doubt(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No loop takes up what is being sent: it would stay so until the next start, and nobody would hear of it."""
    job = await house.uploaded()
    house.provider.answer_submit = answer(Refused("Invalid fax number"))

    async def history(*_: object) -> HistoryPage:
        raise ValueError("a page that nobody thought of")

    with monkeypatch.context() as patched:
        patched.setattr(house.provider, "history", history)
        await house.turn("submit")
    assert await house.states() == ["in_doubt"]
    assert [attempt.outcome for attempt in await house.attempts(job.id)] == ["unknown"]


async def test_what_fails_behind_a_recorded_answer_leaves_it_as_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await house.uploaded()

    def fail(_tx: Tx) -> int:
        raise ValueError("of the balance that the answer tells")

    monkeypatch.setattr(house.provider, "balance_error", away())
    monkeypatch.setattr(witness, "last_event", fail)
    await house.turn("submit")
    assert await house.states() == ["submitted"]
    assert [(each.outcome, each.provider_ref) for each in await house.attempts(job.id)] == [("sent", 9000)]


@pytest.mark.parametrize(
    ("error", "executes"), [(None, True), (Refused("Invalid fax number"), False), (away(), False), (OSError(), True)]
)
async def test_a_commit_that_fails_after_the_answer_is_a_doubt_after_the_start(
    build: Build, error: Exception | None, executes: bool
) -> None:
    house = await build(outbound=OutboundSettings(settle=SettleSettings(doubt_min_polls=3, doubt_min_time=600)))
    job = await house.uploaded()
    house.provider.execute = executes
    if error is not None:
        house.provider.answer_submit = answer(error)
    broken = house.database._broken

    def break_it() -> None:
        house.database._broken = OSError("disk I/O error")

    house.provider.on_submit = break_it
    task = asyncio.create_task(house.turn("submit"))
    async with asyncio.timeout(30):
        while not house.provider.submits:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert not task.done()  # it waits to record, and begins nothing else
    task.cancel()  # as a stop does
    with pytest.raises(asyncio.CancelledError):
        await task
    house.database._broken = broken
    assert house.on_disk("SELECT state FROM job") == [("submitting",)]
    reborn = await house.crash()
    house.provider.on_submit = lambda: None
    house.provider.answer_submit = Submitted
    assert await reborn.outbound.recover() == 1
    for _ in range(6):
        reborn.now += 300
        await reborn.settle()
    assert (await reborn.job(job.id)).state in (JobState.SUBMITTED, JobState.IN_DOUBT) if executes else True
    assert len(house.provider.executed) <= 1
    assert house.provider.submits == (1 if executes else 2)
    await reborn.close()


# --- who is not sent --------------------------------------------------------------------------------------------------


async def test_a_held_fax_is_not_sent_until_it_is_released(house: House) -> None:
    job = await house.uploaded()
    assert await house.outbound.settle.hold(job, "look at it")
    assert await house.turn("submit") == 0
    held = await house.job(job.id)
    await house.database.write(lambda tx: jobs.release(tx, held, house.now))
    assert await house.turn("submit") == 1
    assert await house.states() == ["submitted"]


async def test_a_fax_held_or_cancelled_in_the_last_moment_is_not_sent(house: House) -> None:
    await house.submit(NUMBER, SECOND)
    await house.turn("prepare", "upload")
    first, second = await house.jobs()
    real = house.provider.cost

    async def cost(document_ref: int, number: Any) -> Decimal:
        current = first if document_ref == 500 else second
        if document_ref == 500:
            await house.database.write(lambda tx: jobs.hold(tx, current, house.now, "stop"))
        else:
            await house.outbound.settle.cancel(current, silent=True)
        return await real(document_ref, number)

    house.provider.cost = cost  # type: ignore[method-assign]
    await house.turn("submit")
    assert house.provider.submits == 0
    assert await house.states() == ["uploaded", "cancelled"]


async def test_a_stale_turn_sends_nothing(house: House) -> None:
    await house.submit()
    await house.turn("prepare")
    (prepared,) = await house.jobs()
    await house.turn("upload")
    (uploaded,) = await house.jobs()
    await house.turn("submit")
    await house.handle("submit", uploaded)
    await house.handle("upload", prepared)
    assert house.provider.submits == 1
    assert len(house.provider.names) == 1


async def test_a_submitted_fax_cannot_be_cancelled(house: House) -> None:
    job = await house.submitted()
    assert not await house.outbound.settle.cancel(job, silent=False)
    assert await house.states() == ["submitted"]


async def test_a_doubt_that_a_person_closes_is_not_told_as_not_sent(house: House) -> None:
    house.provider.answer_submit = answer(OutcomeUnknown("no answer"))
    await house.submit()
    await house.settle()
    (job,) = await house.jobs()
    assert await house.outbound.settle.cancel(job, silent=False)
    assert await house.told(job.id) == [("no_result", "cancelled")]
    assert [each.outcome for each in await house.jobs()] == ["no_result"]


# --- the gate ---------------------------------------------------------------------------------------------------------


async def many(house: House, count: int) -> None:
    await house.submit(*(f"+1202555{n:04}" for n in range(100, 100 + count)))
    await house.turn("prepare", "upload")


@pytest.mark.parametrize("where", ["cost", "submit"])
async def test_a_refused_key_stops_all_sends_at_once_and_they_go_on_later(house: House, where: str) -> None:
    await many(house, 10)
    refused = KeyRefused("the key is refused")
    calls: list[str] = []
    real = house.provider.cost

    async def cost(*arguments: Any) -> Decimal:
        calls.append("cost")
        if where == "cost" and house.provider.cost_error:
            raise house.provider.cost_error
        return await real(*arguments)

    house.provider.cost = cost  # type: ignore[method-assign]
    house.provider.on_submit = lambda: calls.append("submit")
    house.provider.execute = False
    if where == "cost":
        house.provider.cost_error = refused
    else:
        house.provider.answer_submit = answer(refused)
    await house.settle()
    assert calls == (["cost"] if where == "cost" else ["cost", "submit"])
    assert not house.gate.is_open
    assert set(await house.states()) == {"uploaded"}
    house.now += 10_000
    assert await house.turn("submit", "upload", "erase") == 0
    house.provider.cost_error = None
    house.provider.execute = True
    house.provider.answer_submit = Submitted
    house.gate.succeeded()
    await house.turn("submit")
    assert set(await house.states()) == {"submitted"}
    assert len(set(house.provider.executed)) == len(house.provider.executed) == 10


async def test_sends_begun_together_stop_when_one_of_them_shuts_the_gate(build: Build) -> None:
    house = await build(outbound=OutboundSettings(concurrency=4))
    await many(house, 8)
    together = asyncio.Event()
    asked = 0

    async def cost(*_: Any) -> Decimal:
        nonlocal asked
        asked += 1
        if asked == 1:
            await together.wait()
            raise KeyRefused("the key is refused")
        while house.gate.is_open:
            together.set()
            await asyncio.sleep(0.005)
        return Decimal(1)

    house.provider.cost = cost  # type: ignore[method-assign, assignment]
    house.outbound.start()
    async with asyncio.timeout(30):
        while house.gate.is_open or any(loop.busy for loop in house.outbound._loops):
            await asyncio.sleep(0.005)
    await house.outbound.stop(5.0)
    assert (asked, house.provider.submits) == (2, 0)
    assert set(await house.states()) == {"uploaded"}
    assert {job.strikes for job in await house.jobs()} == {0}  # a try that the gate stopped is none
    assert all(job.next_at <= house.now for job in await house.jobs())  # and each keeps its place


# --- running ----------------------------------------------------------------------------------------------------------


async def test_running_loops_take_a_mail_to_its_end_and_stop_quietly(build: Build) -> None:
    settings = OutboundSettings(settle=SettleSettings(poll_after=(0.0,)))
    house = await build(outbound=settings)
    house.provider.statuses.update({ref: JobStatus(Verdict.SUCCESS, "ok", "Sent!") for ref in range(9000, 9010)})
    house.outbound.start()
    await house.submit(*(f"+1202555{n:04}" for n in range(100, 110)))
    async with asyncio.timeout(30):
        while len(house.provider.deleted) < 10:
            await asyncio.sleep(0.01)
    await house.outbound.stop(5.0)
    assert set(await house.states()) == {"delivered"}
    assert len(await house.mails(MailKind.DELIVERED)) == 10
    assert len(set(house.provider.executed)) == 10


async def test_a_stop_waits_for_the_send_under_way_and_records_it(house: House) -> None:
    await house.uploaded()
    begun, release = asyncio.Event(), asyncio.Event()

    async def submit(*arguments: Any) -> Submitted:
        begun.set()
        await release.wait()
        return await ScriptedProvider.submit(house.provider, *arguments)

    house.provider.submit = submit  # type: ignore[method-assign, assignment]
    house.outbound.start()
    await asyncio.wait_for(begun.wait(), 10)
    asyncio.get_running_loop().call_later(0.05, release.set)
    await house.outbound.stop(10.0)
    assert await house.states() == ["submitted"]


async def test_a_stop_that_cannot_wait_leaves_a_doubt(house: House) -> None:
    await house.uploaded()
    begun = asyncio.Event()

    async def submit(*_: Any) -> Submitted:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    house.provider.submit = submit  # type: ignore[method-assign, assignment]
    house.outbound.start()
    await asyncio.wait_for(begun.wait(), 10)
    await house.outbound.stop(0.01)
    assert await house.states() == ["submitting"]
    assert await house.outbound.recover() == 1


async def test_a_full_disk_makes_no_hot_loop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.uploaded()
    strikes = 0

    def full(*_: object) -> int:
        nonlocal strikes
        strikes += 1
        raise NoSpace("the gateway's disk is full")

    monkeypatch.setattr(jobs, "strike", full)
    house.outbound.start()
    async with asyncio.timeout(30):
        while not strikes:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.3)
    await house.outbound.stop(5.0)
    assert strikes == 1
    assert house.provider.submits == 0


# --- what every error of a send does ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "state", "outcome"),
    [
        (Refused("no"), JobState.FAILED, "not_sent"),
        (NotFound("who?"), JobState.PREPARED, "not_sent"),
        (TryLater("later"), JobState.UPLOADED, "not_sent"),
        (NoSpace("later"), JobState.UPLOADED, "not_sent"),
        (KeyRefused("key"), JobState.UPLOADED, "not_sent"),
        (OutcomeUnknown("what?"), JobState.IN_DOUBT, "unknown"),
        (GatewayError("bare"), JobState.IN_DOUBT, "unknown"),
        (KeyError("bug"), JobState.IN_DOUBT, "unknown"),
    ],
)
async def test_each_error_leads_where_it_must(house: House, error: Exception, state: JobState, outcome: str) -> None:
    house.provider.execute = False
    house.provider.answer_submit = answer(error)
    job = await house.uploaded()
    await house.turn("submit")
    assert (await house.job(job.id)).state is state
    assert [attempt.outcome for attempt in await house.attempts(job.id)] == [outcome]
    assert house.provider.submits == 1


async def test_the_documents_of_two_mails_are_never_mixed_up(house: House) -> None:
    first = await house.submit(NUMBER, mail=LETTER)
    second = await house.submit(SECOND, mail=LETTER.replace(b"Please read", b"Something else entirely"))
    await house.settle()
    digits = dict(house.provider.executed)

    def of(tx: Tx, id_: str) -> Any:
        job = jobs.get(tx, f"{id_}-1")
        assert job is not None
        assert job.document is not None
        return job.document.file, job.document_ref

    for queue_id, number in ((first, NUMBER), (second, SECOND)):
        file, ref = await house.database.read(lambda tx, queue_id=queue_id: of(tx, queue_id))  # type: ignore[misc]
        assert digits[ref] == number[1:]
        assert house.provider.uploads[ref] == house.spool.path(file).read_bytes()


# --- a no to what was done --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("no", [Refused("invalid number"), NotFound("no such document"), SlowDown("slow down")])
async def test_a_fax_that_was_sent_in_spite_of_a_no_is_found_and_not_sent_again(house: House, no: Exception) -> None:
    def refuse(_ref: int) -> Submitted:
        raise no

    house.provider.answer_submit = refuse
    await house.uploaded()
    await house.turn("submit")
    house.now += 10_000
    await house.turn("submit")
    (job,) = await house.jobs()
    assert (job.state, job.provider_ref) == (JobState.SUBMITTED, 9000)
    assert (await house.attempts(job.id))[-1].outcome == "found"
    assert len(house.provider.executed) == 1


@pytest.mark.parametrize("no", [Refused("invalid number"), SlowDown("slow down")])
async def test_a_no_is_not_believed_when_the_history_shows_the_document_under_another_number(
    house: House, no: GatewayError
) -> None:
    house.provider.answer_submit = answer(no)
    job = await house.uploaded()
    assert job.document_ref is not None
    house.provider.history_pages = [(HistoryEntry(9000, job.document_ref, "0112025550123", Verdict.SUCCESS, None),)]
    for _ in range(150):
        await house.turn("submit", "doubt")
        house.now += 3600
    assert (len(house.provider.executed), (await house.job(job.id)).may_be_sent) == (1, True)
    assert [kind for kind, _ in await house.told(job.id)] == ["unknown"]


@pytest.mark.parametrize("was_sent", [True, False])
async def test_a_no_is_not_told_as_final_while_the_history_cannot_be_read(house: House, was_sent: bool) -> None:
    house.provider.answer_submit = answer(Refused("invalid number"))
    house.provider.execute = was_sent
    house.provider.history_error = away()
    await house.uploaded()
    await house.turn("submit")
    (job,) = await house.jobs()
    assert job.state is JobState.IN_DOUBT
    assert await house.told(job.id) == []
    house.provider.history_error, house.provider.execute = None, False
    for _ in range(12):
        house.now += 600
        await house.settle()
    (job,) = await house.jobs()
    if was_sent:
        assert (job.provider_ref, len(house.provider.executed)) == (9000, 1)
    else:  # proven absent, it was tried once more, and the history was there to confirm the no
        assert (job.state, job.outcome, house.provider.submits) == (JobState.FAILED, "refused", 2)


async def test_a_fax_is_not_tried_again_while_the_history_cannot_be_read(house: House) -> None:
    house.provider.answer_submit = answer(SlowDown("slow down"))
    house.provider.execute = False
    await house.uploaded()
    await house.turn("submit")
    house.provider.history_error = away()
    for _ in range(3):
        house.now += 10_000
        await house.turn("submit")
    assert house.provider.submits == 1
    house.provider.history_error, house.provider.execute = None, True
    house.provider.answer_submit = Submitted
    house.now += 10_000
    await house.turn("submit")
    assert await house.states() == ["submitted"]


async def test_a_provider_without_a_history_does_not_stop_a_second_try(house: House) -> None:
    house.provider.history_error = Refused("there is no such call")
    house.provider.answer_submit = answer(SlowDown("slow down"))
    house.provider.execute = False
    await house.uploaded()
    await house.turn("submit")
    house.provider.answer_submit, house.provider.execute = Submitted, True
    house.now += 10_000
    await house.turn("submit")
    assert await house.states() == ["submitted"]


async def test_who_is_asked_to_slow_down_keeps_the_order_of_faxes(house: House) -> None:
    await many(house, 6)
    expected = [job.number.digits for job in await house.jobs()]
    house.provider.execute = False
    house.provider.answer_submit = answer(SlowDown("slow down", after=5.0))
    await house.turn("submit")
    house.provider.execute, house.provider.answer_submit = True, Submitted
    house.now += 6
    await house.turn("submit")
    assert [number for _, number in house.provider.executed] == expected
