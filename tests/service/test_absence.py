"""A send without an answer is sent again only when history and balance show that it never happened."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.edge.admin.queue import Queue
from gateway.errors import GatewayError, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.model import FaxNumber, JobState, MailKind, Receipt, Verdict
from gateway.ports import HistoryEntry, HistoryPage, JobStatus, Submitted
from gateway.service.absence import lacks
from gateway.service.history import Reading
from gateway.service.outbound import OutboundSettings
from gateway.service.settle import SettleSettings

from .conftest import Build
from .house import House
from .scripted import away


def unknown(_ref: int) -> Submitted:
    raise OutcomeUnknown("no answer")


def later(_ref: int) -> Submitted:
    raise TryLater("later")


async def doubtful(house: House, *, executed: bool) -> None:
    """A fax whose send got no answer."""
    house.provider.execute = executed
    answer, house.provider.answer_submit = house.provider.answer_submit, unknown
    await house.uploaded()
    await house.turn("submit")
    house.provider.answer_submit, house.provider.execute = answer, True
    assert (await house.jobs())[-1].state is JobState.IN_DOUBT


def operator(house: House) -> Queue:
    return Queue(house.database, house.outbound, house.divided, "US", house.clock)


async def poll(house: House, hours: float) -> None:
    """The history is looked into as often as it is due."""
    for _ in range(int(hours * 60)):
        house.now += 60
        await house.turn("doubt", "result")


async def delivered(house: House) -> None:
    """A fax that went well, whose document is still at the provider."""
    house.now += 3600  # the same mail again is a new wish by then
    job = await house.submitted()
    house.provider.statuses[job.provider_ref or 0] = JobStatus(Verdict.SUCCESS, "ok", "Sent!")
    house.now += 3600
    await house.turn("result")


@pytest.mark.parametrize(("to_the_end", "missing"), [(True, {3, 7}), (False, {7})])
def test_a_list_has_to_show_what_it_goes_back_to(to_the_end: bool, missing: set[int]) -> None:
    shown = [HistoryEntry(ref, 1, "12025550123", Verdict.SUCCESS, None) for ref in (5, 9)]
    reading = Reading(tuple(shown), complete=True, to_the_end=to_the_end)
    assert lacks(reading, {5, 9}) == ""
    for ref in (3, 7):
        assert (lacks(reading, {5, ref}) != "") is (ref in missing)


async def test_never_sent_and_shown_so_is_sent_once_more(house: House) -> None:
    await delivered(house)
    await doubtful(house, executed=False)
    await poll(house, 2)
    await house.turn("submit")
    assert house.provider.submits == 3
    assert len(house.provider.executed) == 2


async def test_a_history_that_shows_nothing_at_all_proves_nothing_when_money_is_gone(house: House) -> None:
    house.provider.hide_history = True
    await doubtful(house, executed=True)
    house.provider.amount = Decimal("8.90")
    await poll(house, 6)
    (job,) = await house.jobs()
    assert (job.state, house.provider.submits) == (JobState.IN_DOUBT, 1)
    assert "balance fell from 9 to 8.90" in job.hold
    assert [kind for kind, _ in await house.told(job.id)] == [MailKind.UNKNOWN]


async def test_a_new_account_without_a_fax_may_have_an_empty_history(house: House) -> None:
    await doubtful(house, executed=False)
    await poll(house, 2)
    await house.turn("submit")
    assert len(house.provider.executed) == 1


async def test_a_list_that_lacks_our_other_fax_proves_nothing(house: House) -> None:
    await delivered(house)
    await doubtful(house, executed=True)
    house.provider.history_pages = [(HistoryEntry(77, 1, "12025550000", Verdict.SUCCESS, None),)]
    await poll(house, 6)
    job = (await house.jobs())[-1]
    assert job.hold
    assert "the list lacks fax 9000" in job.hold
    assert house.provider.submits == 2


async def test_a_stale_list_is_found_out_by_a_fax_sent_since(house: House) -> None:
    await delivered(house)
    stale = tuple((await house.provider.history(1, 100)).entries)
    await doubtful(house, executed=True)
    await delivered(house)
    house.provider.history_pages = [stale]
    await poll(house, 6)
    (held,) = [job for job in await house.jobs() if job.hold]
    assert "the list lacks fax 9002" in held.hold
    assert house.provider.submits == 3


@pytest.mark.parametrize(
    ("status", "sends"),
    [(JobStatus(Verdict.SUCCESS, "ok", "Sent"), 1), (away(), 1), (NotFound("no such fax"), 2)],
)
async def test_a_list_that_lacks_a_fax_of_which_a_receipt_told_proves_nothing(
    house: House, status: JobStatus | GatewayError, sends: int
) -> None:
    """It comes before the list is up to date; of a fax that the provider does not know anybody may have made it up."""
    house.provider.hide_history = True
    await doubtful(house, executed=True)
    house.provider.statuses[9000] = status
    await house.outbound.receipt(Receipt(9000, Verdict.SUCCESS, "ok", "Sent", house.now))
    await poll(house, 2)
    await house.turn("submit")
    assert house.provider.submits == sends


async def test_a_receipt_that_comes_while_the_list_is_read_is_heard(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.provider.hide_history = True
    await doubtful(house, executed=True)
    house.provider.statuses[9000] = JobStatus(Verdict.SUCCESS, "ok", "Sent")
    read = house.provider.history

    async def history(page: int, limit: int) -> HistoryPage:
        await house.outbound.receipt(Receipt(9000, Verdict.SUCCESS, "ok", "Sent", house.now))
        return await read(page, limit)

    await poll(house, 0.7)  # to all readings but the last
    monkeypatch.setattr(house.provider, "history", history)
    await poll(house, 2)
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["in_doubt"], 1)


async def test_faxes_whose_document_is_gone_need_not_be_listed(house: House) -> None:
    await delivered(house)
    await house.turn("erase")
    await doubtful(house, executed=False)
    house.provider.history_pages = []
    await poll(house, 2)
    await house.turn("submit")
    assert house.provider.submits == 3


async def test_behind_a_long_outage_the_proof_is_still_made(house: House) -> None:
    await doubtful(house, executed=False)
    house.provider.history_error = away()
    await poll(house, 3.5)
    house.now += 5 * 3600  # the key was refused, say
    house.provider.history_error = None
    await poll(house, 4)
    await house.turn("submit")
    (job,) = await house.jobs()
    assert (job.state, job.hold) == (JobState.SUBMITTED, "")
    assert await house.mails() == []


@pytest.mark.parametrize("as_dialled", ["0112025550123", "2025550123"])
async def test_a_list_that_writes_the_number_in_another_way_proves_nothing(house: House, as_dialled: str) -> None:
    await doubtful(house, executed=True)
    (job,) = await house.jobs()
    assert job.document_ref is not None
    house.provider.history_pages = [(HistoryEntry(9000, job.document_ref, as_dialled, Verdict.SUCCESS, None),)]
    await poll(house, 6)
    held = await house.job(job.id)
    assert (held.state, house.provider.submits) == (JobState.IN_DOUBT, 1)
    assert f"the list shows its document as sent to {as_dialled}, fax 9000" in held.hold
    assert [kind for kind, _ in await house.told(job.id)] == [MailKind.UNKNOWN]


async def test_an_earlier_send_that_is_known_is_no_sign_however_its_number_is_written(build: Build) -> None:
    house = await build(outbound=OutboundSettings(settle=SettleSettings(redial={"busy": 1})))
    job = await house.submitted()
    house.provider.statuses[9000] = JobStatus(Verdict.FAILED, "busy", "busy")
    entry = HistoryEntry(9000, job.document_ref or 0, "0112025550123", Verdict.FAILED, None)
    house.provider.history_pages = [(entry,)]
    house.now += 60
    await house.turn("result")
    house.provider.answer_submit, house.provider.execute = unknown, False
    house.now += 300
    await house.turn("submit")
    assert await house.states() == ["in_doubt"]
    await poll(house, 2)
    assert await house.states() == ["uploaded"]


@pytest.mark.parametrize(
    ("error", "sends"), [(Refused("there is no such call"), 2), (Refused("payment required"), 1), (away(), 1)]
)
async def test_a_balance_that_cannot_be_had(house: House, error: Exception, sends: int) -> None:
    await doubtful(house, executed=False)
    house.provider.balance_error = error  # type: ignore[assignment]
    await poll(house, 2)
    await house.turn("submit")
    assert house.provider.submits == sends


async def test_an_account_of_our_own_is_asked_for_its_balance_always(build: Build) -> None:
    house = await build(outbound=OutboundSettings(settle=SettleSettings(alone=True)))
    await delivered(house)
    await doubtful(house, executed=True)
    house.provider.history_pages = [tuple((await house.provider.history(1, 100)).entries[:1])]
    house.provider.amount = Decimal("8.9")
    await poll(house, 6)
    assert "the balance fell" in (await house.jobs())[-1].hold
    assert house.provider.submits == 2


async def test_what_other_faxes_cost_is_no_sign(build: Build) -> None:
    house = await build(outbound=OutboundSettings(settle=SettleSettings(alone=True)))
    await doubtful(house, executed=False)
    await delivered(house)
    house.provider.amount = Decimal("8.9")
    await poll(house, 2)
    await house.turn("submit")
    assert house.provider.submits == 3


@pytest.mark.parametrize("jump", [3600.0, 86400.0, 5 * 365 * 86400.0, -3600.0, -5 * 365 * 86400.0])
async def test_no_jump_of_the_clock_shortens_the_proof(build: Build, jump: float) -> None:
    steady = [0.0]
    house = await build(steady=lambda: steady[0])
    await doubtful(house, executed=False)
    house.now += jump
    for _ in range(5):
        house.now += 7200.0
        await house.turn("doubt")
    assert house.provider.submits == 1
    steady[0] += 1801.0
    for _ in range(5):
        await house.outbound.mend_times()
        house.now += 7200.0
        await house.turn("doubt")
        steady[0] += 1801.0
    await house.turn("submit")
    assert house.provider.submits == 2 or (await house.jobs())[0].hold


async def test_what_the_history_shows_behind_the_proof_is_not_sent_again(house: House) -> None:
    """A fax may have to wait between its proof and the send: for credit, a limit, or a person."""
    await doubtful(house, executed=True)
    house.provider.hide_history = True
    await poll(house, 1)
    (job,) = await house.jobs()
    assert [attempt.outcome for attempt in await house.attempts(job.id)] == ["absent"]
    house.provider.hide_history = False
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], 1)
    assert [attempt.outcome for attempt in await house.attempts(job.id)] == ["absent", "found"]
    assert house.on_disk("SELECT faxes FROM spent WHERE scope = 'total' AND span = 3600") == [(1,)]


@pytest.mark.parametrize("meanwhile", ["", "put off"])
async def test_a_list_that_cannot_wholly_be_read_behind_the_proof_lets_nothing_be_sent(
    house: House, meanwhile: str
) -> None:
    await doubtful(house, executed=True)
    house.provider.hide_history = True
    await poll(house, 1)
    assert await house.states() == ["uploaded"]
    if meanwhile:
        house.provider.execute = False
        house.provider.answer_submit = later
        await house.turn("submit")
    sends = house.provider.submits
    whole = house.provider.history

    async def in_part(_page: int, _limit: int) -> HistoryPage:
        return HistoryPage((), skipped=1)

    house.provider.history = in_part  # type: ignore[assignment, method-assign]
    house.now += 3600
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["uploaded"], sends)
    house.provider.history, house.provider.hide_history = whole, False  # type: ignore[method-assign]
    house.now += 3600
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], sends)


async def test_a_stale_list_behind_the_proof_lets_nothing_be_sent(house: House) -> None:
    await doubtful(house, executed=True)
    await delivered(house)
    other = HistoryEntry(9001, 501, "12025550123", Verdict.SUCCESS, None)
    house.provider.history_pages = [(other,)]
    await poll(house, 1)
    assert await house.states() == ["uploaded", "delivered"]
    house.provider.history_pages = [()]  # of before both
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["uploaded", "delivered"], 2)
    house.provider.history_pages = [(other, HistoryEntry(9000, 500, "12025550123", Verdict.SUCCESS, None))]
    house.now += 3600
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted", "delivered"], 2)


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_receipt_behind_the_proof_is_heard(house: House, *, is_known: bool) -> None:
    await doubtful(house, executed=True)
    house.provider.hide_history = True
    await poll(house, 1)
    assert await house.states() == ["uploaded"]
    if not is_known:
        house.provider.statuses[9000] = NotFound("no such fax")
    await house.outbound.receipt(Receipt(9000, Verdict.SUCCESS, "ok", "Sent!", house.now))
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["uploaded" if is_known else "submitted"], 2 - is_known)
    house.provider.hide_history = False
    await house.outbound.receipt(Receipt(4711, Verdict.SUCCESS, "ok", "Sent!", house.now))  # of which no list tells
    house.now += 3600
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], 2 - is_known)


@pytest.mark.parametrize("is_put_off", [False, True])
async def test_a_receipt_that_comes_behind_the_last_look_is_heard(
    house: House, monkeypatch: pytest.MonkeyPatch, *, is_put_off: bool
) -> None:
    await doubtful(house, executed=True)
    house.provider.hide_history = True
    await poll(house, 1)
    if is_put_off:
        house.provider.execute, house.provider.answer_submit = False, later
        await house.turn("submit")
        house.now += 3600
    sends = house.provider.submits
    cost = house.provider.cost

    async def meanwhile(ref: int, number: FaxNumber) -> Decimal:
        await house.outbound.receipt(Receipt(9000, Verdict.SUCCESS, "ok", "Sent!", house.now))
        return await cost(ref, number)

    monkeypatch.setattr(house.provider, "cost", meanwhile)
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["uploaded"], sends)
    house.provider.hide_history = False
    house.now += 3600
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], sends)


async def test_a_person_decides_where_no_list_behind_the_proof_tells_for_hours(house: House) -> None:
    await doubtful(house, executed=False)
    await poll(house, 1)
    await house.outbound.receipt(Receipt(4711, Verdict.SUCCESS, "ok", "Sent!", house.now))
    for _ in range(10):
        house.now += 1800
        await house.turn("submit")
    (job,) = await house.jobs()
    assert job.may_be_sent
    assert "(the list lacks fax 4711, of which a receipt told)" in job.hold
    assert await house.told(job.id) == [("unknown", "held")]
    assert house.provider.submits == 1
    assert (await operator(house).retry([job.id], resend=True))["changed"] == [job.id]
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], 2)


async def test_a_person_decides_where_no_list_tells_for_days_whether_a_no_was_one(house: House) -> None:
    job = await house.uploaded()
    house.provider.answer_submit = later
    await house.turn("submit")
    house.provider.history_error = TryLater("later")
    for _ in range(200):
        house.now += 3600
        await house.turn("submit")
    assert (await house.job(job.id)).may_be_sent
    assert (await operator(house).retry([job.id], resend=True))["changed"] == [job.id]
    await house.turn("submit")
    assert house.provider.submits == 2


async def test_what_the_history_shows_behind_the_proof_of_a_cancelled_fax_is_told(house: House) -> None:
    await doubtful(house, executed=True)
    house.provider.hide_history = True
    await poll(house, 1)
    (job,) = await house.jobs()
    assert await house.outbound.settle.cancel(job, silent=False)
    house.provider.hide_history = False
    house.provider.statuses[9000] = JobStatus(Verdict.SUCCESS, "ok", "Sent!")
    house.now += 3600
    await house.turn("erase")
    assert [kind for kind, _ in await house.told(job.id)] == ["failed", "delivered"]
    assert house.provider.deleted == [job.document_ref]


@pytest.mark.parametrize(("boots", "state"), [("aaa", JobState.UPLOADED), ("abc", JobState.IN_DOUBT)])
async def test_a_proof_goes_on_over_restarts_of_the_gateway_but_not_of_the_machine(
    house: House, monkeypatch: pytest.MonkeyPatch, boots: str, state: JobState
) -> None:
    await doubtful(house, executed=False)
    for boot in boots:
        monkeypatch.setattr("gateway.service.doubt.boot_id", lambda boot=boot: boot)
        house = await house.crash()
        await house.outbound.recover()
        await poll(house, 1 / 3)
    assert [job.state for job in await house.jobs()] == [state]


async def test_an_earlier_fax_whose_document_had_the_same_id_is_no_sign(house: House) -> None:
    house.provider.upload_refs = [500, 500]
    await delivered(house)
    await house.turn("erase")
    await doubtful(house, executed=False)
    await poll(house, 2)
    await house.turn("submit")
    assert house.provider.executed == [(500, "12025550123")] * 2


# --- another key ------------------------------------------------------------------------------------------------------


async def with_another_key(house: House) -> None:
    """What a start does that comes with another key."""
    house.provider.account = "another"
    await house.reconcile.begin()
    await house.reconcile.look()
    assert house.gate.is_open


async def test_the_list_of_another_account_proves_nothing(house: House) -> None:
    await house.reconcile.begin()
    await doubtful(house, executed=True)
    house.provider.hide_history, house.provider.amount = True, Decimal(50)
    await with_another_key(house)
    await delivered(house)
    house.provider.history_pages = [(HistoryEntry(9001, 501, "12025550123", Verdict.SUCCESS, None),)]
    await poll(house, 6)
    (held,) = [job for job in await house.jobs() if job.hold]
    assert "the key is another now" in held.hold
    assert house.provider.submits == 2
    assert await house.told(held.id) == [("unknown", "held")]


async def test_another_key_of_the_same_account_hinders_no_proof(house: House) -> None:
    await house.reconcile.begin()
    await delivered(house)
    await doubtful(house, executed=False)
    await with_another_key(house)
    await poll(house, 2)
    await house.settle()  # the document is uploaded anew
    assert house.provider.submits == 3


async def test_a_key_that_was_mistyped_for_a_while_hinders_no_proof(house: House) -> None:
    await house.reconcile.begin()
    await doubtful(house, executed=False)
    await with_another_key(house)
    house.provider.account = "ours"
    await house.reconcile.begin()
    await house.reconcile.look()
    await poll(house, 2)
    await house.turn("submit")
    assert house.provider.submits == 2


async def test_a_document_is_sent_from_no_account_but_the_one_it_was_uploaded_to(house: House) -> None:
    await house.reconcile.begin()
    job = await house.uploaded()
    await with_another_key(house)
    await house.settle()
    assert house.provider.executed == [((job.document_ref or 0) + 1, job.number.digits)]


async def test_the_list_of_another_account_behind_the_proof_lets_nothing_be_sent(house: House) -> None:
    await house.reconcile.begin()
    await delivered(house)
    await house.settle()
    await doubtful(house, executed=True)
    old = HistoryEntry(9000, 500, "12025550123", Verdict.SUCCESS, None)
    house.provider.history_pages = [(old,)]
    await poll(house, 1)
    assert await house.states() == ["delivered", "uploaded"]
    await with_another_key(house)
    house.provider.history_pages = [()]
    await house.settle()
    assert (await house.states(), house.provider.submits) == (["delivered", "uploaded"], 2)
    house.provider.history_pages = [(old,)]  # another key of the same account
    house.now += 3600
    await house.settle()
    assert (await house.states(), house.provider.submits) == (["delivered", "submitted"], 3)


async def test_nor_where_a_person_has_it_sent_again_when_the_account_has_changed(house: House) -> None:
    await house.reconcile.begin()
    await doubtful(house, executed=False)
    (job,) = await house.jobs()
    await with_another_key(house)
    await poll(house, 6)
    assert (await house.job(job.id)).may_be_sent
    assert (await operator(house).retry([job.id], resend=True))["changed"] == [job.id]
    await house.settle()
    assert house.provider.executed == [((job.document_ref or 0) + 1, job.number.digits)]


async def test_nor_where_a_call_is_made_again_when_the_account_has_changed(build: Build) -> None:
    house = await build(outbound=OutboundSettings(settle=SettleSettings(redial={"busy": 1}, confirm_receipts=False)))
    await house.reconcile.begin()
    job = await house.submitted()
    await with_another_key(house)
    await house.outbound.receipt(Receipt(9000, Verdict.FAILED, "busy", "Busy", house.now))
    await house.settle()
    house.now += 3600
    await house.settle()
    assert [ref for ref, _ in house.provider.executed] == [job.document_ref, (job.document_ref or 0) + 1]


async def test_a_document_is_deleted_in_no_account_but_the_one_it_was_uploaded_to(house: House) -> None:
    await house.reconcile.begin()
    job = await house.submitted()
    await with_another_key(house)
    house.provider.statuses[9000] = JobStatus(Verdict.SUCCESS, "ok", "Sent!")
    house.now += 3600
    await house.settle()
    assert (await house.job(job.id)).state is JobState.DELIVERED
    assert house.provider.deleted == []
    assert "is left where it is" in (await house.history(job.id))[-1]
