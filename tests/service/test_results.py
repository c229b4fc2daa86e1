"""What became of a fax that was sent: receipts in every order, questions where none comes, and one truthful end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from gateway import telemetry
from gateway.edge.admin.queue import _release, _retry
from gateway.errors import KeyRefused, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.mail.compose import Letterhead, compose
from gateway.model import FaxJob, FaxNumber, JobState, MailKind, Receipt, Verdict
from gateway.ports import HistoryEntry, HistoryPage, JobStatus, Submitted
from gateway.service.outbound import OutboundSettings
from gateway.service.settle import SettleSettings
from gateway.store import jobs, receipts

from .conftest import Build
from .house import NUMBER, House, state_of
from .scripted import away

DONE = JobStatus(Verdict.SUCCESS, "ok", "Sent! Fax Has Been Answered.")
FAILED = JobStatus(Verdict.FAILED, "unknown", "Fax Failed")
SENDING = JobStatus(Verdict.PROGRESS, "", "sending")


def with_settle(**settings: Any) -> OutboundSettings:
    return OutboundSettings(settle=SettleSettings(**settings))


async def receive(house: House, verdict: Verdict, code: str, ref: int = 9000) -> None:
    await house.outbound.receipt(Receipt(ref, verdict, code, f"text of {code}", house.now))


async def say(house: House, status: JobStatus | Exception, ref: int = 9000) -> None:
    house.provider.statuses[ref] = status  # type: ignore[assignment]


async def only(house: House) -> FaxJob:
    (job,) = await house.jobs()
    return job


# --- no receipt comes -------------------------------------------------------------------------------------------------


async def test_a_fax_is_asked_about_at_growing_intervals_until_there_is_a_result(house: House) -> None:
    job = await house.submitted()
    begun = house.now
    await say(house, SENDING)
    waits = [job.next_at - house.now]
    for _ in range(7):
        house.now = (await only(house)).next_at
        assert await house.turn("result") == 1
        waits.append((await only(house)).next_at - house.now)
    assert waits == [60, 60, 120, 300, 900, 1800, 1800, 1800]
    await say(house, DONE)
    house.now = (await only(house)).next_at
    await house.turn("result")
    assert await house.states() == ["delivered"]
    assert await house.told(job.id) == [("delivered", "ok")]
    (told,) = await house.mails()
    assert (told.facts["submitted_at"], told.facts["finished_at"]) == (begun, house.now)


async def test_while_the_api_is_away_a_fax_stays_as_it_is(house: House) -> None:
    await house.submitted()
    for error in (away(), NotFound("who?"), Refused("no")):
        await say(house, error)
        house.now += 4000
        await house.turn("result")
        assert await house.states() == ["submitted"]
    assert await house.mails() == []


async def test_no_result_is_told_after_its_time_and_real_questions_and_a_late_one_is_told_to_the_operator(
    house: House,
) -> None:
    job = await house.submitted()
    await say(house, SENDING)
    asked = 0
    while await house.states() == ["submitted"]:
        house.now = (await only(house)).next_at
        asked += await house.turn("result")
    assert house.now - job.created_at > 49 * 3600
    assert asked > 90
    assert await house.told(job.id) == [("no_result", "no_result")]
    await receive(house, Verdict.FAILED, "busy")
    assert len(await house.alarms()) == 1
    assert len(await house.told(job.id)) == 1


@pytest.mark.parametrize(
    ("verdict", "other", "told"),
    [
        (Verdict.SUCCESS, 0, ("delivered", "ok")),
        (Verdict.FAILED, 0, ("failed", "unknown")),
        (Verdict.PROGRESS, 0, ("no_result",) * 2),
        (Verdict.SUCCESS, 1, ("no_result",) * 2),  # the list counts in its own way: this is another fax
    ],
)
async def test_where_nothing_else_ever_tells_the_end_the_history_does(
    build: Build, verdict: Verdict, other: int, told: tuple[str, str]
) -> None:
    house = await build(outbound=with_settle(result_timeout=3600.0, redial={"unknown": 1}))
    job = await house.submitted()
    await say(house, SENDING)
    assert job.document_ref is not None
    house.provider.history_pages = [(HistoryEntry(9000, job.document_ref + other, NUMBER[1:], verdict, None),)]
    while await house.states() == ["submitted"]:
        house.now = (await only(house)).next_at
        await house.turn("result")
    assert await house.told(job.id) == [told]


@pytest.mark.parametrize(
    ("by_id", "shown", "earlier", "told"),
    [
        (FAILED, Verdict.SUCCESS, 7, ("delivered", "ok")),
        (DONE, Verdict.FAILED, 7, ("failed", "unknown")),
        (DONE, Verdict.PROGRESS, 7, None),
        (DONE, None, 7, None),  # no longer listed
        (DONE, Verdict.PROGRESS, 0, ("delivered", "ok")),  # the same ids everywhere
        (FAILED, Verdict.PROGRESS, 0, ("failed", "unknown")),
    ],
)
async def test_of_a_send_that_a_history_with_ids_of_its_own_told_it_tells_the_end(
    by_id: JobStatus, shown: Verdict | None, earlier: int, told: tuple[str, str] | None, house: House
) -> None:
    """There the id is that of another fax everywhere else, as an ``earlier`` fax shows whose id the answer told."""
    other = await house.submitted()
    house.accept.confirmed(other.submission)  # or the same mail again is none
    job = await house.uploaded()

    def nothing(_ref: int) -> Any:
        raise OutcomeUnknown("no answer")

    house.provider.answer_submit = nothing
    await house.turn("submit")
    await say(house, by_id, 9005)
    assert other.provider_ref and other.document_ref and job.document_ref
    known = HistoryEntry(other.provider_ref + earlier, other.document_ref, NUMBER[1:], Verdict.PROGRESS, None)
    for verdict in (Verdict.PROGRESS, shown):
        entries = [HistoryEntry(9005, job.document_ref, NUMBER[1:], verdict, None)] if verdict else []
        house.provider.history_pages = [(*entries, known)]
        for _ in range(3):
            house.now = (await house.job(job.id)).next_at
            await house.turn("doubt", "result")
    assert await house.told(job.id) == ([] if told is None else [told])
    if told and earlier:  # a late receipt by the id speaks of the other fax, too; the history of this
        swapped, code = (Verdict.FAILED, "unknown") if shown is Verdict.SUCCESS else (Verdict.SUCCESS, "ok")
        house.provider.history_pages = [(HistoryEntry(9005, job.document_ref, NUMBER[1:], swapped, None), known)]
        await receive(house, swapped, "", ref=9005)
        assert [code for _, code in await house.told(job.id)] == [told[1], code]


async def test_a_clock_that_jumps_years_ends_nothing_early(house: House) -> None:
    await house.submitted()
    await say(house, SENDING)
    house.now += 5 * 365 * 86400
    await house.turn("result")
    assert await house.states() == ["submitted"]
    await say(house, DONE)
    house.now += 60
    await house.turn("result")
    assert await house.states() == ["delivered"]


# --- receipts ---------------------------------------------------------------------------------------------------------


async def test_a_receipt_makes_us_ask_at_once_and_then_soon_again(house: House) -> None:
    await house.submitted()
    await say(house, away())
    await receive(house, Verdict.SUCCESS, "ok")
    waits = []
    for _ in range(5):
        assert await house.turn("result") == 1
        waits.append((await only(house)).next_at - house.now)
        house.now = (await only(house)).next_at
    assert waits == [1, 5, 15, 60, 60]
    await say(house, DONE)
    await house.turn("result")
    (mail,) = await house.mails()
    assert (mail.kind, mail.facts["confirmed"]) == (MailKind.DELIVERED, True)


async def test_an_api_that_stays_away_lets_the_receipt_be_told_as_such(house: House) -> None:
    job = await house.submitted()
    await say(house, away())
    await receive(house, Verdict.SUCCESS, "ok")
    house.now += 3600
    await house.turn("result")
    assert await house.states() == ["submitted"]
    house.now += 61
    await house.turn("result")
    (mail,) = await house.mails()
    assert (mail.facts["confirmed"], "not confirmed" in (await house.history(job.id))[-1]) == (False, True)


async def test_a_receipt_of_progress_ends_nothing(house: House) -> None:
    await house.submitted()
    await say(house, SENDING)
    await receive(house, Verdict.PROGRESS, "")
    await house.turn("result")
    assert await house.states() == ["submitted"]


@pytest.mark.parametrize("order", [("ok", "busy"), ("busy", "ok")])
async def test_receipts_that_contradict_are_settled_by_the_api(house: House, order: tuple[str, str]) -> None:
    await house.submitted()
    for code in order:
        await receive(house, Verdict.SUCCESS if code == "ok" else Verdict.FAILED, code)
    await say(house, DONE)
    await house.turn("result")
    assert await house.states() == ["delivered"]
    assert len(await house.mails()) == 1


async def test_a_receipt_that_a_later_one_has_put_right_corrects_no_end(house: House) -> None:
    """Though the history, which lags behind, still says so."""
    job = await house.submitted()
    await receive(house, Verdict.FAILED, "busy")
    await receive(house, Verdict.SUCCESS, "ok")
    await say(house, DONE)
    house.provider.history_pages = [(HistoryEntry(9000, 500, job.number.digits, Verdict.FAILED, None),)]
    await house.settle()
    assert house.provider.deleted == [500]
    assert await house.told(job.id) == [("delivered", "ok")]


async def test_where_the_api_contradicts_a_receipt_for_long_the_api_is_told(house: House) -> None:
    """The history tells nothing; a status is still more than a hint."""
    job = await house.submitted()
    house.provider.hide_history = True
    await receive(house, Verdict.SUCCESS, "ok")
    await say(house, FAILED)
    await house.turn("result")
    assert await house.states() == ["submitted"]
    house.now += 3601
    await house.turn("result")
    assert await house.told(job.id) == [("failed", "unknown")]


async def test_doubled_and_late_receipts_change_nothing(house: House) -> None:
    job = await house.submitted()
    await say(house, DONE)
    for _ in range(3):
        await receive(house, Verdict.SUCCESS, "ok")
    await house.settle()
    for _ in range(3):
        await receive(house, Verdict.SUCCESS, "ok")
    assert await house.told(job.id) == [("delivered", "ok")]
    assert await house.alarms() == []
    calls = house.mail_calls
    await receive(house, Verdict.FAILED, "hangup")
    assert (await house.states(), len(await house.alarms())) == (["delivered"], 1)
    assert house.mail_calls == calls + 1


# --- an end that is belied later --------------------------------------------------------------------------------------


async def corrections(house: House) -> list[tuple[str, str, str]]:
    """What was told as another end than before: kind, code, and the kind of the mail that it corrects."""
    return [
        (str(mail.kind), str(mail.facts["code"]), str(mail.facts["corrects"]))
        for mail in await house.mails()
        if mail.facts.get("corrects")
    ]


@pytest.mark.parametrize(
    ("first", "then", "code", "told"),
    [
        (DONE, FAILED, "hangup", ("failed", "hangup", "delivered")),
        (FAILED, DONE, "ok", ("delivered", "ok", "failed")),
    ],
)
async def test_a_late_receipt_that_the_records_confirm_is_told_to_the_sender(
    first: JobStatus, then: JobStatus, code: str, told: tuple[str, str, str], house: House
) -> None:
    job = await house.submitted()
    await say(house, first)
    house.now += 60
    await house.settle()
    await say(house, then)
    for _ in range(2):
        await receive(house, then.verdict, code)
    assert await corrections(house) == [told]
    assert (await only(house)).state is (JobState.DELIVERED if first is DONE else JobState.FAILED)
    assert (await only(house)).outcome == code
    assert len(await house.told(job.id)) == 2
    (alarm,) = await house.mails(MailKind.OPERATOR)
    assert "the sender is told" in alarm.facts["remedy"]


async def test_a_late_receipt_that_the_records_belie_is_left_to_a_person(house: House) -> None:
    await house.submitted()
    await say(house, DONE)
    house.now += 60
    await house.settle()
    await receive(house, Verdict.FAILED, "hangup")
    assert await corrections(house) == []
    (alarm,) = await house.mails(MailKind.OPERATOR)
    assert alarm.facts["remedy"].startswith("Compare with the history")


async def test_where_receipts_are_believed_a_late_one_is_told_to_the_sender_unasked(build: Build) -> None:
    house = await build(outbound=with_settle(confirm_receipts=False))
    await house.submitted()
    await receive(house, Verdict.FAILED, "hangup")
    await house.turn("result")
    await say(house, NotFound("no such fax"))
    await receive(house, Verdict.SUCCESS, "ok")
    assert await corrections(house) == [("delivered", "ok", "failed")]
    assert (await house.mails(MailKind.DELIVERED))[0].facts["confirmed"] is False


async def test_a_callback_does_not_wait_for_records_that_do_not_come(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.submitted()
    await say(house, DONE)
    house.now += 60
    await house.settle()

    async def never(_ref: int) -> JobStatus:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("gateway.service.settle._ANSWER_WITHIN", 0.05)
    monkeypatch.setattr(house.provider, "status", never)
    async with asyncio.timeout(10):
        await receive(house, Verdict.FAILED, "hangup")
    (alarm,) = await house.mails(MailKind.OPERATOR)
    assert alarm.facts["remedy"].startswith("Compare with the history")


async def test_a_result_that_comes_after_all_is_told(build: Build) -> None:
    house = await build(outbound=with_settle(result_timeout=600.0))
    await house.submitted()
    await say(house, SENDING)
    for _ in range(20):
        house.now += 900
        await house.settle()
    await say(house, DONE)
    await receive(house, Verdict.SUCCESS, "ok")
    assert await corrections(house) == [("delivered", "ok", "no_result")]


def no_that_is_none(house: House) -> None:
    """The provider refuses what it sends, and shows it half an hour later."""

    def refuse(_ref: int) -> Any:
        raise Refused("Invalid fax number")

    house.provider.answer_submit = refuse
    house.provider.hide_history = True


@pytest.mark.parametrize(
    ("first", "second", "told"), [(DONE, FAILED, [("delivered", "ok", "failed")]), (FAILED, DONE, []), (DONE, DONE, [])]
)
async def test_of_two_sends_by_a_persons_word_it_is_told_when_one_arrived(
    first: JobStatus, second: JobStatus, told: list[tuple[str, str, str]], house: House
) -> None:
    """A person said wrongly that the first was none."""
    job = await house.uploaded()
    answer = house.provider.answer_submit

    def nothing(_ref: int) -> Any:
        raise OutcomeUnknown("no answer")

    house.provider.answer_submit, house.provider.hide_history = nothing, True
    await house.turn("submit")
    house.provider.answer_submit = answer
    await house.outbound.settle.leave_to_person(await house.job(job.id), "no answer")
    in_doubt = await house.job(job.id)
    await house.database.write(lambda tx: _retry(tx, in_doubt, house.now, resend=True, named=True))
    house.now += 60
    await house.turn("submit")
    house.provider.statuses |= {9000: first, 9001: second}
    house.provider.hide_history = False
    for _ in range(3):
        house.now += 1800
        await house.settle()
    assert await corrections(house) == told
    assert [attempt.provider_ref for attempt in await house.attempts(job.id)] == [9000, 9001]
    assert house.provider.deleted == [500]


@pytest.mark.parametrize("when", ["at once", "later"])
async def test_a_refused_fax_that_was_sent_for_all_that_is_told_before_its_document_goes(
    when: str, house: House
) -> None:
    job = await house.uploaded()
    no_that_is_none(house)
    await house.settle()
    assert (await house.told(job.id), house.provider.deleted) == ([("failed", "refused")], [])
    await receive(house, Verdict.PROGRESS, "")  # of a fax that nobody knows
    house.provider.hide_history = False
    await say(house, DONE if when == "at once" else SENDING)
    house.now += 1800
    await house.settle()
    if when == "later":
        assert (await corrections(house), house.provider.deleted) == ([], [])
        await say(house, DONE)
        house.now += 900
        await house.settle()
    assert await corrections(house) == [("delivered", "ok", "failed")]
    assert house.provider.deleted == [500]
    ended = await only(house)
    assert (ended.state, ended.outcome, ended.provider_ref) == (JobState.FAILED, "ok", 9000)
    (attempt,) = await house.attempts(job.id)
    assert (attempt.outcome, attempt.provider_ref) == ("found", 9000)
    assert len(await house.database.read(lambda tx: receipts.of_job(tx, job.id))) == 1
    (used,) = await house.database.read(
        lambda tx: tx.execute("SELECT money FROM spending WHERE job = ?", (job.id,)).fetchall()
    )
    assert used[0] > 0
    assert house.provider.submits == 1


async def test_a_refused_fax_that_was_sent_and_never_reported_is_told_as_not_known(house: House) -> None:
    job = await house.uploaded()
    no_that_is_none(house)
    await house.settle()
    house.provider.hide_history = False
    await say(house, SENDING)
    house.now += 50 * 3600
    await house.settle()
    assert await corrections(house) == [("no_result", "no_result", "failed")]
    await say(house, DONE)
    await receive(house, Verdict.SUCCESS, "ok")
    assert (await house.told(job.id))[-1] == ("delivered", "ok")


async def test_a_refused_fax_that_failed_anyway_is_told_once(house: House) -> None:
    job = await house.uploaded()
    no_that_is_none(house)
    await house.settle()
    house.provider.hide_history = False
    await say(house, FAILED)
    house.now += 1800
    await house.settle()
    assert await house.told(job.id) == [("failed", "refused")]
    assert house.provider.deleted == [500]


async def test_a_history_that_cannot_be_read_does_not_keep_the_document_for_ever(house: House) -> None:
    await house.uploaded()
    no_that_is_none(house)
    await house.settle()
    house.provider.history_error = away()
    house.now += 1800
    await house.settle()
    assert house.provider.deleted == []
    house.now += 49 * 3600
    await house.settle()
    assert house.provider.deleted == [500]


async def test_what_was_cancelled_in_doubt_and_is_found_is_told(house: House) -> None:
    job = await house.uploaded()
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    await house.turn("submit")
    await house.database.write(lambda tx: jobs.hold(tx, job, house.now, "look"))
    doubtful = await only(house)
    assert await house.outbound.settle.cancel(doubtful, silent=False)
    await say(house, DONE)
    house.now += 1800
    await house.settle()
    assert await house.told(job.id) == [("no_result", "cancelled"), ("delivered", "ok")]
    assert await corrections(house) == [("delivered", "ok", "no_result")]


async def test_what_was_cancelled_without_a_word_stays_without_one(house: House) -> None:
    job = await house.uploaded()
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    await house.turn("submit")
    doubtful = await only(house)
    assert await house.outbound.settle.cancel(doubtful, silent=True)
    await say(house, DONE)
    house.now += 1800
    await house.settle()
    assert await house.told(job.id) == []


async def test_a_receipt_for_nobody_waits_and_is_forgotten_in_the_end(house: House) -> None:
    await receive(house, Verdict.SUCCESS, "ok", ref=4711)
    assert await house.database.read(lambda tx: receipts.strange(tx, 0.0)) == {4711}
    assert await house.database.write(lambda tx: receipts.purge_orphans(tx, house.now + 1)) == 1


async def test_a_held_fax_is_not_asked_about(house: House) -> None:
    job = await house.submitted()
    await house.database.write(lambda tx: jobs.hold(tx, job, house.now, "look"))
    await receive(house, Verdict.SUCCESS, "ok")
    assert await house.turn("result") == 0
    held = await only(house)
    await house.outbound.settle.result(held)
    assert await house.states() == ["submitted"]


@pytest.mark.parametrize("told", [True, False])
async def test_while_the_key_is_refused_senders_hear_what_is_known(house: House, *, told: bool) -> None:
    job = await house.submitted()
    await say(house, KeyRefused("the key is refused"))
    house.provider.history_error = KeyRefused("the key is refused")
    if told:
        await receive(house, Verdict.SUCCESS, "ok")
    for _ in range(120):
        house.now += 1800
        await house.turn("result")
    assert house.gate.is_shut
    assert await house.told(job.id) == [("delivered", "ok") if told else ("no_result", "no_result")]
    (mail,) = [mail for mail in await house.mails() if mail.cause == job.id]
    assert mail.facts["confirmed"] is not told


async def test_a_result_that_could_not_be_asked_for_is_told_when_it_can(house: House) -> None:
    job = await house.submitted()
    await say(house, KeyRefused("the key is refused"))
    house.provider.history_error = KeyRefused("the key is refused")
    for _ in range(120):
        house.now += 1800
        await house.settle()
    await say(house, DONE)
    house.provider.history_error = None
    house.gate.succeeded()
    await house.settle()
    assert await house.told(job.id) == [("no_result", "no_result"), ("delivered", "ok")]
    assert await corrections(house) == [("delivered", "ok", "no_result")]
    assert house.provider.deleted == [500]


async def test_of_a_fax_that_is_cancelled_before_its_next_call_nothing_is_asked(build: Build) -> None:
    house, job = await busy_at_first(build)
    await receive(house, Verdict.SUCCESS, "ok")
    assert await house.outbound.settle.cancel(await only(house), silent=False)
    await house.settle()
    assert (await house.told(job.id))[-1] == ("no_result", "cancelled")
    assert house.provider.deleted == [500]


async def test_while_the_key_is_refused_the_sender_of_a_fax_in_doubt_hears_that_it_is(house: House) -> None:
    job = await house.uploaded()
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    await house.turn("submit")
    house.provider.history_error = KeyRefused("the key is refused")
    for _ in range(10):
        house.now += 1800
        await house.turn("doubt")
    assert house.gate.is_shut
    assert await house.told(job.id) == [("unknown", "held")]


# --- dialling again ---------------------------------------------------------------------------------------------------


async def test_a_clear_failure_is_dialled_again_as_often_as_allowed_with_the_same_document(build: Build) -> None:
    house = await build(outbound=with_settle(redial={"busy": 2}, redial_after=300.0))
    job = await house.submitted()
    for n in range(3):
        assert await house.told(job.id) == []
        await say(house, FAILED, ref=9000 + n)
        await receive(house, Verdict.FAILED, "busy", ref=9000 + n)
        await house.turn("result")
        house.now += 300
        await house.turn("submit")
    assert await house.told(job.id) == [("failed", "busy")]
    assert house.provider.executed == [(500, NUMBER[1:])] * 3
    assert (await only(house)).redials == 2
    assert len(house.provider.names) == 1


async def test_another_failure_is_not_dialled_again(build: Build) -> None:
    house = await build(outbound=with_settle(redial={"busy": 2}))
    await house.submitted()
    await say(house, FAILED)
    await receive(house, Verdict.FAILED, "hangup")
    await house.turn("result")
    assert await house.states() == ["failed"]


async def test_nothing_is_dialled_again_on_the_mere_word_of_a_callback(build: Build) -> None:
    house = await build(outbound=with_settle(redial={"busy": 2}))
    await house.submitted()
    await say(house, away())
    await receive(house, Verdict.FAILED, "busy")
    house.now += 3601
    await house.turn("result")
    assert await house.states() == ["failed"]
    believing = await build(outbound=with_settle(redial={"busy": 2}, confirm_receipts=False))
    await believing.submitted()
    await receive(believing, Verdict.FAILED, "busy")
    await believing.turn("result")
    assert await believing.states() == ["uploaded"]


async def busy_at_first(build: Build) -> tuple[House, FaxJob]:
    """A fax whose first call met a busy line, and which waits to be dialled again."""
    house = await build(outbound=with_settle(redial={"busy": 2}, redial_after=300.0))
    job = await house.submitted()
    await say(house, FAILED)
    await receive(house, Verdict.FAILED, "busy")
    await house.turn("result")
    return house, job


def vain(house: House) -> Callable[[int, FaxNumber, str], Awaitable[Submitted]]:
    """A send that is put off, while the success of the first call is reported."""

    async def not_now(_document_ref: int, _number: FaxNumber, _tsi: str) -> Submitted:
        await receive(house, Verdict.SUCCESS, "ok")
        raise TryLater("not now")

    return not_now


async def test_a_success_that_is_reported_before_the_next_try_stops_it(build: Build) -> None:
    house, job = await busy_at_first(build)
    counted = telemetry.registry.get_sample_value("faxgateway_faxes_held_total") or 0.0
    await receive(house, Verdict.SUCCESS, "ok")
    assert telemetry.registry.get_sample_value("faxgateway_faxes_held_total") == counted + 1
    house.now += 300
    assert await house.turn("submit") == 0
    assert state_of(await only(house)) == (JobState.UPLOADED, True)
    assert await house.told(job.id) == [("unknown", "late")]
    (asked,) = await house.mails(MailKind.OPERATOR)
    assert asked.facts["remedy"].startswith("Ask the recipient. If it was not sent: faxgateway queue retry --resend")
    assert house.provider.submits == 1
    house.now += 4 * 3600
    assert await house.turn("delay") == 0  # he was told that it may have arrived
    (held,) = await house.jobs()
    assert held.may_be_sent
    assert await house.outbound.settle.cancel(held, silent=False)
    assert await house.told(job.id) == [("unknown", "late"), ("no_result", "cancelled")]


@pytest.mark.parametrize("uploaded", [True, False])
async def test_a_success_that_is_reported_before_the_next_try_counts_for_what_is_held_too(
    build: Build, *, uploaded: bool
) -> None:
    house, job = await busy_at_first(build)
    waits = await only(house)
    if uploaded:
        await house.database.write(lambda tx: jobs.hold(tx, waits, house.now, "wrong letter?"))
    else:  # the provider has lost its document since
        await house.database.write(
            lambda tx: jobs.change(tx, waits, JobState.PREPARED, house.now, "lost", document_ref=None)
        )
    await receive(house, Verdict.SUCCESS, "ok")
    held = await only(house)
    assert held.may_be_sent
    assert not held.released  # nobody has released it
    assert held.hold.endswith("; it was held before: wrong letter?" if uploaded else "is now reported as successful")
    assert "may have been faxed already" in await house.database.write(lambda tx: _release(tx, held, house.now))
    assert await house.told(job.id) == [("unknown", "late")]
    assert await house.alarms() == [f"The fax from a@example.org to {job.number} is held ({job.id})"]


async def test_a_success_that_is_reported_while_the_next_try_is_found_does_not_hold_that(build: Build) -> None:
    """It would never be asked about, nor could it be cancelled: the provider has it."""
    house, job = await busy_at_first(build)
    house.now += 300
    answers, house.provider.answer_submit = house.provider.answer_submit, Mock(side_effect=OutcomeUnknown("no answer"))
    await house.turn("submit")
    house.provider.answer_submit = answers
    read = house.provider.history

    async def history(page: int, limit: int) -> HistoryPage:
        await receive(house, Verdict.SUCCESS, "ok")
        return await read(page, limit)

    house.provider.history = history  # type: ignore[method-assign]
    await house.handle("doubt", await only(house))
    house.provider.history = read  # type: ignore[method-assign]
    found = await only(house)
    assert (found.state, found.provider_ref, found.hold) == (JobState.SUBMITTED, 9001, "")
    await say(house, JobStatus(Verdict.SUCCESS, "ok", "Sent!"), ref=9001)
    await house.turn("result")
    assert await house.told(job.id) == [("unknown", "late"), ("delivered", "ok")]


async def test_a_fax_that_waits_to_be_dialled_again_is_not_told_as_never_sent(build: Build) -> None:
    house = await build(outbound=with_settle(redial={"hangup": 2}, redial_after=300.0))
    job = await house.submitted()
    house.now += 4 * 3600 + 1
    await say(house, FAILED)
    await receive(house, Verdict.FAILED, "hangup")
    await house.turn("result")
    await house.turn("delay")
    (mail,) = await house.mails(MailKind.DELAYED)
    assert (mail.facts["dialled"], mail.facts["text"]) == (1, "text of hangup")
    assert mail.facts["next_at"] == (await only(house)).next_at == house.now + 300
    words = " ".join(compose(mail, Letterhead("fax@example.org")).decode().split())
    assert "has not got through yet. It waits, and the gateway keeps trying. It was dialled once before" in words
    assert await house.outbound.settle.cancel(await only(house), silent=False)
    assert (await house.mails(MailKind.FAILED))[0].facts["dialled"] == 1
    assert await house.told(job.id) == [("delayed", "waiting"), ("failed", "cancelled")]


async def test_a_success_that_is_reported_after_the_next_try_is_told_to_the_operator(build: Build) -> None:
    house, _ = await busy_at_first(build)
    house.now += 300
    await house.turn("submit")
    await receive(house, Verdict.SUCCESS, "ok")
    assert await house.states() == ["submitted"]
    (alarm,) = await house.mails(MailKind.OPERATOR)
    assert "of fax 9000 the provider now reports success" in alarm.facts["text"]
    await say(house, FAILED, ref=9001)
    await receive(house, Verdict.FAILED, "busy", ref=9001)
    await house.turn("result")
    assert await house.states() == ["failed"]  # and not dialled once more


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_success_of_an_earlier_call_that_is_reported_after_the_end_is_told_to_the_sender(
    build: Build, *, cancelled: bool
) -> None:
    house, job = await busy_at_first(build)
    if cancelled:
        assert await house.outbound.settle.cancel(await only(house), silent=False)
    else:
        house.now += 300
        await house.turn("submit")
        await say(house, FAILED, ref=9001)
        await receive(house, Verdict.FAILED, "hangup", ref=9001)
    await house.settle()
    await receive(house, Verdict.SUCCESS, "ok")  # of which the records know nothing yet
    await say(house, DONE)
    assert await corrections(house) == []
    await receive(house, Verdict.SUCCESS, "unknown")
    assert await corrections(house) == [("delivered", "unknown", "failed")]
    assert len(await house.told(job.id)) == 2
    await receive(house, Verdict.FAILED, "no_answer")  # one that arrived is enough
    assert len(await corrections(house)) == 1
    assert len(await house.mails(MailKind.OPERATOR)) == 2


@pytest.mark.parametrize("ends", ["failed", "refused", "no_result"])
async def test_a_success_of_an_earlier_call_that_is_reported_before_the_end_is_told_to_the_sender(
    build: Build, ends: str
) -> None:
    house, job = await busy_at_first(build)

    async def refused(document_ref: int, number: FaxNumber, tsi: str) -> Submitted:
        await receive(house, Verdict.SUCCESS, "ok")
        raise Refused("Invalid fax number")

    house.now += 300
    with pytest.MonkeyPatch.context() as patch:
        if ends == "refused":
            patch.setattr(house.provider, "submit", refused)
        await house.turn("submit")
    await say(house, DONE)
    if ends != "refused":
        await receive(house, Verdict.SUCCESS, "ok")
        await say(house, FAILED if ends == "failed" else SENDING, ref=9001)
    for _ in range(60):
        house.now += 3600
        await house.settle()
    assert house.provider.deleted == [500]
    first = "no_result" if ends == "no_result" else "failed"
    assert [kind for kind, _ in await house.told(job.id)] == [first, "delivered"]
    assert await corrections(house) == [("delivered", "ok", first)]


@pytest.mark.parametrize("ref", [9000, 9001])
async def test_what_is_reported_while_the_provider_is_asked_is_weighed_before_it_is_dialled_again(
    build: Build, ref: int
) -> None:
    """A success of this call, or of the one before it."""
    house, job = await busy_at_first(build)
    house.now += 300
    await house.turn("submit")
    await say(house, FAILED, ref=9001)
    await receive(house, Verdict.FAILED, "busy", ref=9001)
    ask = house.provider.status

    async def slowly(provider_ref: int) -> JobStatus:
        await receive(house, Verdict.SUCCESS, "ok", ref=ref)
        return await ask(provider_ref)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.provider, "status", slowly)
        await house.turn("result")
    assert await house.states() == ["submitted"]
    if ref == 9001:
        await say(house, DONE, ref=9001)
    house.now += 100
    await house.turn("result")
    assert await house.states() == ["delivered" if ref == 9001 else "failed"]
    assert [kind for kind, _ in await house.told(job.id)] == await house.states()
    assert house.provider.submits == 2


async def test_what_is_reported_while_the_provider_is_asked_is_weighed_before_the_end_is_told(house: House) -> None:
    job = await house.submitted()
    await say(house, FAILED)
    await receive(house, Verdict.FAILED, "busy")
    ask = house.provider.status

    async def slowly(provider_ref: int) -> JobStatus:
        await receive(house, Verdict.SUCCESS, "ok")
        return await ask(provider_ref)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.provider, "status", slowly)
        await house.turn("result")
    assert (await house.states(), await house.told(job.id)) == (["submitted"], [])
    await say(house, DONE)
    await house.turn("result")
    assert await house.told(job.id) == [("delivered", "ok")]


@pytest.mark.parametrize("ends", ["cancelled", "expired"])
async def test_a_fax_that_a_late_receipt_holds_while_it_is_ended_is_not_told_as_never_sent(
    build: Build, ends: str
) -> None:
    house, job = await busy_at_first(build)
    seen = await only(house)
    await receive(house, Verdict.SUCCESS, "ok")
    if ends == "expired":
        await house.outbound.settle.fail(seen, code="expired", text="it waited too long")
        assert state_of(await only(house)) == (JobState.UPLOADED, True)
        assert await house.told(job.id) == [("unknown", "late")]
        return
    assert await house.outbound.settle.cancel(seen, silent=False)
    assert await house.told(job.id) == [("unknown", "late"), ("no_result", "cancelled")]
    assert (await only(house)).outcome == "no_result"


@pytest.mark.parametrize("approved", [False, True])
async def test_a_success_that_is_reported_while_the_next_try_is_made_in_vain_stops_a_further_one(
    approved: bool, build: Build
) -> None:
    """Also of a fax that a person has let go before, for another reason."""
    house, job = await busy_at_first(build)
    if approved:
        waits = await only(house)
        assert await house.database.write(lambda tx: jobs.hold(tx, waits, house.now, "it is dear"))
        assert await house.database.write(lambda tx: jobs.release(tx, waits, house.now))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.provider, "submit", vain(house))
        house.now += 300
        await house.turn("submit")
    assert state_of(await only(house)) == (JobState.UPLOADED, False)
    house.now += 3600
    await house.turn("submit")
    held = await only(house)
    assert (held.state, held.may_be_sent, house.provider.submits) == (JobState.UPLOADED, True, 1)
    assert await house.told(job.id) == [("unknown", "held")]
    assert await house.database.write(lambda tx: _retry(tx, held, house.now, resend=True, named=True)) == ""
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], 2)  # a person has asked the recipient


async def test_a_success_that_is_reported_after_a_person_had_it_sent_again_stops_a_further_one(build: Build) -> None:
    """He did not know of it when he said so."""
    house, _job = await busy_at_first(build)
    await house.outbound.settle.leave_to_person(await only(house), "nobody knows")
    held = await only(house)
    assert await house.database.write(lambda tx: _retry(tx, held, house.now, resend=True, named=True)) == ""
    house.now += 300
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(house.provider, "submit", vain(house))
        await house.turn("submit")
    house.now += 3600
    await house.turn("submit")
    held = await only(house)
    assert (held.state, held.may_be_sent, house.provider.submits) == (JobState.UPLOADED, True, 1)


async def test_a_success_that_is_reported_while_the_next_try_is_in_doubt_stops_that(build: Build) -> None:
    house, job = await busy_at_first(build)
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    house.now += 300
    await house.turn("submit")
    await receive(house, Verdict.SUCCESS, "ok")
    assert state_of(await only(house)) == (JobState.IN_DOUBT, True)
    for _ in range(10):
        house.now += 3600
        await house.turn("doubt")
    assert await house.told(job.id) == [("unknown", "late")]
    assert house.provider.submits == 2


async def test_who_lets_it_be_looked_for_once_more_has_not_said_that_an_earlier_call_failed(build: Build) -> None:
    house, _job = await busy_at_first(build)
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    house.provider.execute = False
    house.now += 300
    await house.turn("submit")
    await receive(house, Verdict.SUCCESS, "ok")
    held = await only(house)
    house.now += 60
    assert await house.database.write(lambda tx: _release(tx, held, house.now)) == ""
    for _ in range(10):
        house.now += 3600
        await house.turn("doubt", "submit")
    absent = await only(house)
    assert (absent.state, absent.may_be_sent, house.provider.submits) == (JobState.UPLOADED, True, 2)
    assert await house.database.write(lambda tx: _retry(tx, absent, house.now, resend=True, named=True)) == ""
    await house.turn("submit")
    assert house.provider.submits == 3


async def test_who_says_of_one_in_doubt_that_it_was_not_sent_has_seen_what_was_reported(build: Build) -> None:
    house, _job = await busy_at_first(build)
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    house.now += 300
    await house.turn("submit")
    await receive(house, Verdict.SUCCESS, "ok")
    held = await only(house)
    house.now += 60
    assert await house.database.write(lambda tx: _retry(tx, held, house.now, resend=True, named=True)) == ""
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["in_doubt"], 3)


# --- ends that race ---------------------------------------------------------------------------------------------------


async def test_only_the_first_of_two_ends_is_told(house: House) -> None:
    job = await house.submitted()
    await house.outbound.settle.fail(job, code="refused", text="one")
    await house.outbound.settle.fail(job, code="busy", text="two")
    assert await house.told(job.id) == [("failed", "refused")]


async def test_what_was_found_out_of_a_send_says_nothing_of_one_that_a_person_ordered_meanwhile(build: Build) -> None:
    house = await build(outbound=with_settle(doubt_min_polls=1, doubt_min_time=0.0))
    provider, history = house.provider, house.provider.history

    def no_answer(_ref: int) -> Submitted:
        raise OutcomeUnknown("no answer")

    provider.answer_submit, provider.execute = no_answer, False
    job = await house.submitted()

    async def slowly(page: int, limit: int) -> HistoryPage:
        seen = await history(page, limit)
        if provider.submits == 1:
            doubtful = await only(house)
            assert await house.database.write(lambda tx: jobs.hold(tx, doubtful, house.now, "it takes too long"))
            held = await only(house)
            assert not await house.database.write(lambda tx: _retry(tx, held, house.now, resend=True, named=True))
            provider.execute = True
            await house.turn("submit")
        return seen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provider, "history", slowly)
        await house.handle("doubt", await only(house))
    assert [attempt.outcome for attempt in await house.attempts(job.id)] == ["absent", "unknown"]
    for _ in range(3):
        house.now += 3600
        await house.settle()
    assert (await house.states(), provider.submits) == (["submitted"], 2)


async def test_a_fax_that_was_sent_in_vain_while_it_is_cancelled_is_cancelled(house: House) -> None:
    seen = await house.uploaded()
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(TryLater("not now"))
    house.provider.execute = False
    await house.turn("submit")
    assert await house.outbound.settle.cancel(seen, silent=False)
    assert await house.told(seen.id) == [("failed", "cancelled")]


async def test_a_receipt_that_comes_at_the_moment_of_an_end_which_it_belies_is_told_to_the_sender(house: House) -> None:
    await house.submitted()
    await say(house, DONE)
    house.now += 60
    settle = house.outbound.settle
    look = settle._belied

    async def meanwhile(receipt: Receipt) -> Any:
        found = await look(receipt)
        await house.turn("result")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settle, "_belied", meanwhile)
        await receive(house, Verdict.FAILED, "hangup")
    assert await house.states() == ["delivered"]
    await say(house, FAILED)
    await house.settle()
    assert await corrections(house) == [("failed", "hangup", "delivered")]


async def test_a_cancelled_fax_took_as_long_as_it_did(house: House) -> None:
    job = await house.uploaded()
    house.now = job.created_at + 3600
    with capture_logs() as logs:
        assert await house.outbound.settle.cancel(job, silent=True)
    assert [line["delay"] for line in logs if line["event"] == "cancelled"] == [3600.0]


async def test_a_silent_cancel_in_doubt_is_silent(house: House) -> None:
    job = await house.submitted()
    assert not await house.outbound.settle.cancel(job, silent=True)
    assert await house.mails() == []


async def test_history_that_agrees_with_the_status_is_believed_against_a_receipt(house: House) -> None:
    job = await house.submitted()
    await receive(house, Verdict.SUCCESS, "ok")
    await say(house, FAILED)
    house.provider.history_pages = [(HistoryEntry(9000, 500, NUMBER[1:], Verdict.FAILED, None),)]
    await house.turn("result")
    assert await house.told(job.id) == [("failed", "unknown")]
