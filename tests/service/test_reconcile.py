"""A database that is older than reality: what was sent meanwhile is found, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.errors import KeyRefused, Refused, TryLater
from gateway.model import MAY_BE_SENT, FaxJob, JobState, MailKind, Notify, Receipt, Verdict
from gateway.ports import HistoryEntry, JobStatus, StoredFile, Submitted
from gateway.service import reconcile
from gateway.service.outbound import OutboundSettings
from gateway.service.settle import SettleSettings
from gateway.store import jobs, origin, outbox, sends, uploads

from .house import LETTER, NUMBER, START, House, state_of
from .scripted import away

OTHER = "+12025550124"


def outbound(**settle: object) -> OutboundSettings:
    values = {"doubt_poll_after": (120, 300), "doubt_min_polls": 3, "doubt_min_time": 1800, **settle}
    return OutboundSettings(settle=SettleSettings(**values))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
async def _all_are_closed(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    opened: list[House] = []
    really_open = House.open

    async def tracked(house: House) -> House:
        opened.append(house)
        return await really_open(house)

    monkeypatch.setattr(House, "open", tracked)
    yield
    for house in opened:
        await house.close()


@pytest.fixture
async def today(tmp_path: Path) -> House:
    """The house as reality knows it."""
    house = await House(tmp_path / "state", outbound=outbound()).open()
    await house.reconcile.begin()
    return house


async def started(house: House, now: float = START + 3600) -> House:
    """What happens at a start before anything is sent."""
    house.now = now
    await house.open()
    await house.outbound.recover()
    await house.reconcile.begin()
    return house


async def looked(house: House, most: int = 20) -> list[float]:
    """Look until it is over, with the clock in hand; returns the waits between."""
    waits = []
    while (wait := await house.reconcile.look()) is not None:
        waits.append(wait)
        assert len(waits) < most, "it never ends"
        house.now += wait
    return waits


async def sent_for_good(house: House, number: str = NUMBER) -> None:
    """All that waits is sent, delivered, and erased at the provider."""
    await house.settle()
    for job in await house.jobs():
        if job.provider_ref is not None and not job.state.terminal:
            house.provider.statuses[job.provider_ref] = JobStatus(Verdict.SUCCESS, "ok", "Sent")
            await house.database.write(lambda tx, job=job: jobs.touch(tx, job, house.now, next_at=house.now))  # type: ignore[misc]
    await house.settle()


async def only(house: House) -> FaxJob:
    (job,) = await house.jobs()
    return job


# --- what was sent ----------------------------------------------------------------------------------------------------


async def test_a_fax_that_was_sent_since_is_adopted_and_goes_on_to_its_result(today: House) -> None:
    await today.uploaded()
    copy = today.copy("old")
    await today.turn("submit")
    assert len(today.provider.executed) == 1
    await started(copy)
    assert not copy.gate.is_open
    assert await copy.settle() is None
    assert (await only(copy)).state is JobState.UPLOADED  # nothing is sent while it is looked for
    assert sum(await looked(copy)) == 1800
    job = await only(copy)
    assert (job.state, job.provider_ref, job.attempts) == (JobState.SUBMITTED, 9000, 1)
    (attempt,) = await copy.attempts(job.id)
    assert (attempt.outcome, attempt.provider_ref, attempt.document_ref) == ("found", 9000, job.document_ref)
    counted = "SELECT count(*), sum(faxes), sum(spent.pages) FROM spending, spent WHERE scope = 'total' AND span = 300"
    assert copy.on_disk(counted) == [(1, 1, 1)]  # it was paid for, so the limits know of it
    assert copy.gate.is_open
    report = (await copy.mails(MailKind.OPERATOR))[-1].facts["text"]
    assert report.splitlines()[1:] == ["1 fax had been sent already: results are reported as usual."]
    copy.provider.statuses[9000] = JobStatus(Verdict.SUCCESS, "ok", "Sent")
    copy.now += 60
    await copy.settle()
    assert (await only(copy)).state is JobState.DELIVERED
    assert await copy.told(job.id) == [("delivered", "ok")]
    assert len(copy.provider.executed) == 1


async def test_a_receipt_that_came_before_it_was_adopted_is_its_own(today: House) -> None:
    await today.uploaded()
    copy = today.copy("old")
    await today.turn("submit")
    await started(copy)
    await copy.outbound.receipt(Receipt(9000, Verdict.FAILED, "busy", "Busy", copy.now))
    await looked(copy)
    assert "receipt" in str(copy.on_disk("SELECT job, 'receipt' FROM receipt WHERE job IS NOT NULL"))


async def test_a_fax_uploaded_and_sent_since_is_known_by_the_name_of_its_document(today: House) -> None:
    queue_id = await today.submit()
    await today.turn("prepare")
    copy = today.copy("old")
    await today.turn("upload", "submit")
    await started(copy)
    await looked(copy)
    job = await copy.job(f"{queue_id}-1")
    assert (job.state, job.document_ref, job.provider_ref) == (JobState.SUBMITTED, 500, 9000)
    assert await copy.database.read(lambda tx: uploads.begun(tx, [job.id])) == {job.id: 1}


@pytest.mark.parametrize("steps", [(), ("prepare",)])
async def test_a_fax_that_has_ended_since_cannot_be_told_for_certain_and_is_left_to_a_person(
    today: House, steps: tuple[str, ...]
) -> None:
    queue_id = await today.submit()
    if steps:
        await today.turn(*steps)
    copy = today.copy("old")
    await sent_for_good(today)
    assert await today.states() == ["delivered"]
    assert today.provider.deleted == [500]
    await started(copy)
    await looked(copy)
    await copy.settle()
    job = await copy.job(f"{queue_id}-1")
    assert job.may_be_sent
    assert job.hold.startswith(f"{MAY_BE_SENT}: the provider's history shows fax 9000 to this number")
    assert await copy.told(job.id) == [("unknown", "set_back")]
    report = (await copy.mails(MailKind.OPERATOR))[-1].facts
    assert (
        f"1 fax may have been sent: held for you to decide, and senders told not to send again before asking:\n{job.id} to {NUMBER}: the provider's history shows fax 9000"
        in report["text"]
    )
    assert "shows 1 fax newer than all" in report["text"]
    assert f"faxgateway queue retry --resend {job.id}" in report["remedy"]
    copy.now += 86400  # no mail says that it was not sent
    await copy.settle()
    assert [kind for kind, _ in await copy.told(job.id)] == ["unknown"]
    assert len(copy.provider.executed) == 1


async def test_an_accepted_fax_whose_document_is_still_there_is_told_for_certain(today: House) -> None:
    queue_id = await today.submit()
    copy = today.copy("old")
    await today.turn("prepare", "upload", "submit")
    await started(copy)
    await looked(copy)
    job = await copy.job(f"{queue_id}-1")
    assert "the provider's history shows it as fax 9000" in job.hold


async def test_a_fax_without_its_document_at_the_provider_may_have_ended(today: House) -> None:
    await today.uploaded()
    copy = today.copy("old")
    await sent_for_good(today)
    copy.provider.hide_history = True  # as a provider may that forgets faxes without a document
    await started(copy)
    await looked(copy)
    assert "no longer has its document" in (await only(copy)).hold
    assert len(copy.provider.executed) == 1


async def test_where_documents_cannot_be_listed_at_all_the_history_decides_alone(
    today: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_list(page: int, limit: int) -> tuple[StoredFile, ...]:
        raise Refused("no such operation")

    await today.uploaded()
    copy = today.copy("old")
    monkeypatch.setattr(copy.provider, "files", no_list)
    await started(copy)
    await looked(copy)
    await copy.settle()
    assert len(copy.provider.executed) == 1


async def test_a_hold_by_the_operator_ends_when_the_fax_was_sent_and_is_replaced_when_it_may_have_been(
    today: House,
) -> None:
    first = await today.uploaded()
    second = await today.submit(OTHER)
    await today.turn("prepare")
    for job in await today.jobs():
        await today.database.write(lambda tx, job=job: jobs.hold(tx, job, START, "by the operator"))  # type: ignore[misc]
    copy = today.copy("old")
    for job in await today.jobs():
        await today.database.write(lambda tx, job=job: jobs.release(tx, job, START))  # type: ignore[misc]
    await today.settle()
    today.provider.stored = []
    await started(copy)
    await looked(copy)
    assert state_of(await copy.job(first.id)) == (JobState.SUBMITTED, False)
    held = await copy.job(f"{second}-1")
    assert held.may_be_sent
    assert held.hold.endswith("it was held before: by the operator")
    assert len(copy.provider.executed) == 2


async def test_a_sender_who_wants_no_mail_gets_none(today: House) -> None:
    queue_id = await today.submit(notify=frozenset({Notify.NEVER}))
    copy = today.copy("old")
    await sent_for_good(today)
    await started(copy)
    await looked(copy)
    assert (await copy.job(f"{queue_id}-1")).may_be_sent
    assert await copy.told(f"{queue_id}-1") == []


# --- what was not -----------------------------------------------------------------------------------------------------


async def test_what_was_not_sent_is_sent_once_and_only_when_that_is_proven(today: House) -> None:
    await today.submit()
    await today.submit(OTHER)
    await today.turn("prepare")
    copy = today.copy("old")
    await started(copy)
    await copy.settle()
    assert copy.provider.names == []  # not even uploaded
    assert await looked(copy) == [120, 300, 300, 300, 300, 300, 180]
    report = (await copy.mails(MailKind.OPERATOR))[-1].facts["text"]
    assert report.splitlines()[1:] == ["2 faxes had not been sent, and can go now."]
    await copy.settle()
    assert sorted(digits for _, digits in copy.provider.executed) == [NUMBER[1:], OTHER[1:]]


async def test_a_fax_that_the_history_shows_late_is_not_sent_again(today: House) -> None:
    await today.uploaded()
    copy = today.copy("old")
    await today.turn("submit")
    copy.provider.hide_history = True
    await started(copy)
    for _ in range(3):
        wait = await copy.reconcile.look()
        assert wait is not None
        copy.now += wait
    copy.provider.hide_history = False
    await looked(copy)
    assert (await only(copy)).state is JobState.SUBMITTED


async def test_a_fax_shown_once_counts_though_later_readings_lack_it(today: House) -> None:
    await today.uploaded()
    copy = today.copy("old")
    await today.turn("submit")
    await started(copy)
    copy.now += await copy.reconcile.look() or 0
    copy.provider.hide_history = True
    await looked(copy)
    assert (await only(copy)).state is JobState.SUBMITTED


async def test_mails_accepted_meanwhile_wait_and_are_not_suspected(today: House) -> None:
    await today.submit()
    copy = today.copy("old")
    await sent_for_good(today)
    await started(copy)
    new = await copy.submit()  # to the very same number
    await copy.turn("prepare")
    await looked(copy)
    await copy.settle()
    assert (await copy.job(f"{new}-1")).state is JobState.SUBMITTED
    assert len(copy.provider.executed) == 2


def shown(
    ref: int, document: int, at: float | None, number: str = NUMBER, verdict: Verdict = Verdict.SUCCESS
) -> HistoryEntry:
    return HistoryEntry(ref, document, number[1:], verdict, at)


@pytest.mark.parametrize(
    ("at", "suspected"),
    [(None, True), (START - 3600, True), (START + 60, True), (START - 2 * 86400, False)],
)
async def test_a_fax_to_the_same_number_is_suspected_unless_it_is_surely_older(
    today: House, at: float | None, suspected: bool
) -> None:
    await today.submit()
    await today.turn("prepare")
    copy = today.copy("old")
    copy.provider.history_pages = [(shown(77, 12, at),)]
    await started(copy)
    await looked(copy)
    assert (await only(copy)).may_be_sent is suspected


@pytest.mark.parametrize("written", ["+0112025550123", "+0012025550123", "+2025550123", "+12025550123"])
async def test_a_fax_that_has_ended_since_is_suspected_however_its_number_is_written(
    today: House, written: str
) -> None:
    await today.submit()
    await today.turn("prepare")
    copy = today.copy("old")
    copy.provider.history_pages = [(shown(77, 12, START + 60, written),)]
    await started(copy)
    await looked(copy)
    assert (await only(copy)).may_be_sent
    assert copy.provider.submits == 0


async def test_a_fax_whose_document_went_to_the_number_as_it_was_dialled_is_suspected(today: House) -> None:
    job = await today.uploaded()
    copy = today.copy("old")
    assert job.document_ref is not None
    copy.provider.history_pages = [(shown(9000, job.document_ref, START, "+0112025550123"),)]
    await started(copy)
    await looked(copy)
    assert (await only(copy)).may_be_sent
    assert copy.provider.submits == 0


async def test_when_our_clock_was_ahead_as_the_mail_came_no_date_clears_a_fax(today: House) -> None:
    today.now = START + 400 * 86400
    await today.submit()
    copy = today.copy("old")
    copy.provider.history_pages = [(shown(77, 12, START),)]
    await started(copy)
    await looked(copy)
    assert (await only(copy)).may_be_sent


async def test_faxes_of_other_jobs_to_the_same_number_are_not_suspected(today: House) -> None:
    await today.submitted()  # known
    waiting = f"{await today.submit(mail=LETTER + b'Once more.')}-1"
    await today.turn("prepare")
    copy = today.copy("old")
    await today.database.write(lambda tx: jobs.hold(tx, jobs.in_state(tx, JobState.PREPARED)[0], START, "not yet"))
    await today.submit(mail=LETTER + b"And again.")  # not known, but its document is named for it
    await today.turn("prepare", "upload", "submit")
    assert len(today.provider.executed) == 2
    await started(copy)
    await looked(copy)
    assert not (await copy.job(waiting)).hold


async def test_a_fax_that_was_uploaded_again_and_sent_since_is_adopted_with_its_new_document(today: House) -> None:
    job = await today.uploaded()
    copy = today.copy("old")
    await today.database.write(
        lambda tx: jobs.change(tx, job, JobState.PREPARED, START, "the provider lost it", document_ref=None)
    )
    await today.turn("upload", "submit")
    await started(copy)
    await looked(copy)
    found = await copy.job(job.id)
    assert (found.state, found.document_ref, found.provider_ref) == (JobState.SUBMITTED, 501, 9000)
    assert await copy.database.read(lambda tx: uploads.begun(tx, [job.id])) == {job.id: 2}


# --- jobs at the provider ---------------------------------------------------------------------------------------------


async def test_a_fax_in_doubt_is_left_to_the_search_for_it_unless_it_was_uploaded_again(today: House) -> None:
    first = await today.uploaded()
    second = await today.submit(OTHER)
    await today.turn("prepare", "upload")
    for job in await today.jobs():
        await today.database.write(lambda tx, job=job: jobs.begin_attempt(tx, job, START))  # type: ignore[misc]
    copy = today.copy("old")
    copy.provider.history_pages = [(shown(70, 500, START), shown(71, 900, START, OTHER))]
    await started(copy)
    await looked(copy)
    assert state_of(await copy.job(first.id)) == (JobState.IN_DOUBT, False)
    doubtful = await copy.job(f"{second}-1")
    assert state_of(doubtful) == (JobState.IN_DOUBT, True)
    assert doubtful.may_be_sent
    await copy.turn("doubt")
    assert (await copy.job(first.id)).provider_ref == 70


async def test_a_fax_in_doubt_that_was_uploaded_again_and_sent_since_is_left_to_a_person(today: House) -> None:
    job = await today.uploaded()
    await today.database.write(lambda tx: jobs.begin_attempt(tx, job, START))
    copy = today.copy("old")
    await today.database.write(lambda tx: jobs.end_attempt(tx, job.id, 1, START, "not_sent"))
    for state, columns in ((JobState.UPLOADED, {}), (JobState.PREPARED, {"document_ref": None})):
        now = await today.job(job.id)
        await today.database.write(
            lambda tx, now=now, to=state, more=columns: jobs.change(tx, now, to, START, "", **more)
        )
    await today.turn("upload", "submit")
    await started(copy)
    await looked(copy)
    doubtful = await copy.job(job.id)
    assert state_of(doubtful) == (JobState.IN_DOUBT, True)
    assert doubtful.hold == f"{MAY_BE_SENT}: the provider's history shows it as fax 9000"


@pytest.mark.parametrize("forgets", [True, False])
async def test_a_fax_in_doubt_without_its_document_at_the_provider_may_have_ended(
    today: House, *, forgets: bool
) -> None:
    job = await today.uploaded()
    await today.database.write(lambda tx: jobs.begin_attempt(tx, job, START))
    copy = today.copy("old")
    today.provider.deleted.append(job.document_ref or 0)
    today.provider.history_pages = [() if forgets else (shown(70, 500, START),)]
    await started(copy)
    await looked(copy)
    doubtful = await only(copy)
    assert (doubtful.may_be_sent, "no longer has its document" in doubtful.hold) == (forgets, forgets)
    await copy.turn("doubt")
    assert (await only(copy)).provider_ref == (None if forgets else 70)


REDIAL = outbound(redial={"busy": 2})


async def busy(house: House, ref: int) -> None:
    house.provider.statuses[ref] = JobStatus(Verdict.FAILED, "busy", "Busy")
    house.now += 60
    await house.turn("result")


async def test_a_fax_dialled_again_since_is_not_dialled_for_it_once_more(tmp_path: Path) -> None:
    house = await House(tmp_path / "state", outbound=REDIAL).open()
    await house.reconcile.begin()
    job = await house.submitted()
    copy = house.copy("old")
    await busy(house, 9000)
    house.now += 300
    await house.turn("submit")
    assert len(house.provider.executed) == 2
    await started(copy, house.now)
    await looked(copy)
    found = await copy.job(job.id)
    assert (found.state, found.provider_ref, found.redials, found.attempts) == (JobState.SUBMITTED, 9001, 1, 2)
    assert [attempt.outcome for attempt in await copy.attempts(job.id)] == ["sent", "found"]


async def test_a_fax_that_may_have_been_dialled_again_is_reported_but_not_dialled(tmp_path: Path) -> None:
    house = await House(tmp_path / "state", outbound=REDIAL).open()
    await house.reconcile.begin()
    job = await house.submitted()
    copy = house.copy("old")
    copy.provider.history_pages = [(shown(9000, 500, None, verdict=Verdict.FAILED), shown(9500, 777, None))]
    await started(copy)
    await looked(copy)
    await busy(copy, 9000)
    ended = await copy.job(job.id)
    assert (ended.state, ended.outcome) == (JobState.FAILED, "busy")
    assert any(line.startswith("not dialled again: ") for line in await copy.history(job.id))


async def test_faxes_that_only_wait_for_their_result_keep_nobody_waiting(today: House) -> None:
    await today.submitted()
    copy = today.copy("old")
    await started(copy)
    assert copy.gate.is_open
    assert copy.reconcile.state is None
    assert await copy.alarms() == ["Sending goes on: the faxes were compared with the provider's history"]


# --- when the provider does not tell ----------------------------------------------------------------------------------


async def test_nothing_is_sent_while_the_history_cannot_be_read_and_the_state_says_why(today: House) -> None:
    await today.uploaded()
    copy = today.copy("old")
    copy.provider.history_error = away()
    await started(copy)
    for _ in range(500):
        copy.now += await copy.reconcile.look() or pytest.fail("it ended")
    assert copy.provider.executed == []
    assert copy.reconcile.state is not None
    assert "the provider is away" in copy.reconcile.state["trouble"]
    assert "the state directory is a copy" in copy.reconcile.state["why"]
    copy.provider.history_error = None
    await looked(copy)
    await copy.settle()
    assert len(copy.provider.executed) == 1


async def test_a_history_that_is_never_whole_leaves_all_to_a_person_in_the_end(today: House) -> None:
    await today.uploaded()
    copy = today.copy("old")
    entries = tuple(shown(n, n, START, OTHER) for n in range(1, 20))
    copy.provider.history_pages = [entries] * 2000  # it does not page
    await started(copy)
    waits = await looked(copy, most=1000)
    assert 4 * 3600 < sum(waits) < 5 * 3600
    job = await only(copy)
    assert job.may_be_sent
    assert "the provider's history could not be relied on: the provider repeats its first page" in job.hold
    assert copy.gate.is_open


async def test_a_list_that_lacks_what_it_should_show_proves_nothing(today: House) -> None:
    await today.submitted()
    await today.submit(OTHER)
    await today.turn("prepare")
    copy = today.copy("old")
    copy.provider.hide_history = True
    await started(copy)
    for _ in range(50):
        copy.now += await copy.reconcile.look() or pytest.fail("it ended")
    assert copy.reconcile.state == {
        "why": origin_text(), "trouble": "the list lacks fax 9000, which the provider has taken",
    }  # fmt: skip


@pytest.mark.parametrize("forgets", ["everything", "what has ended"])
async def test_a_list_that_forgets_what_has_ended_proves_nothing_and_leaves_all_to_a_person_in_the_end(
    today: House, forgets: str
) -> None:
    await today.submitted()
    await sent_for_good(today)
    await today.submit(OTHER)
    await today.turn("prepare")
    copy = today.copy("old")
    await sent_for_good(today)
    assert len(today.provider.executed) == 2
    copy.provider.history_pages = [] if forgets == "everything" else [(shown(9300, 800, None, "+12025550129"),)]
    await started(copy)
    assert 4 * 3600 < sum(await looked(copy, most=1000)) < 5 * 3600
    (held,) = [job for job in await copy.jobs() if job.hold]
    assert "the list shows no fax whose document was deleted: it forgets them, or is of another account" in held.hold
    assert (held.number.e164, held.may_be_sent) == (OTHER, True)
    assert len(copy.provider.executed) == 2


async def test_an_empty_list_proves_nothing_when_money_is_gone(today: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a gateway that has sent nothing yet: only the balance that it asked for tells."""

    async def balance() -> Decimal:
        return Decimal("9.00") - Decimal("0.10") * len(today.provider.executed)

    def not_now(_ref: int) -> Submitted:
        raise TryLater("not now")

    monkeypatch.setattr(today.provider, "balance", balance)
    first = await today.uploaded()
    taken, today.provider.answer_submit, today.provider.execute = today.provider.answer_submit, not_now, False
    await today.turn("submit")
    today.provider.answer_submit, today.provider.execute = taken, True
    await today.submit(OTHER)
    await today.turn("prepare")
    copy = today.copy("old")
    today.now += 900
    await sent_for_good(today)
    assert len(today.provider.executed) == 2
    copy.provider.hide_history = True
    await started(copy)
    copy.now += await copy.reconcile.look() or 0
    assert copy.reconcile.state is not None
    assert copy.reconcile.state["trouble"] == "the balance fell from 9.00 to 8.80, and other faxes explain 0 of it"
    copy.provider.hide_history = False
    await looked(copy)
    assert (await copy.job(first.id)).state is JobState.SUBMITTED
    assert len(copy.provider.executed) == 2


def origin_text() -> str:
    return "the state directory is a copy, and the one it was copied from may have sent faxes since"


async def test_documents_that_cannot_be_listed_now_are_asked_for_again(
    today: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await today.uploaded()
    copy = today.copy("old")
    really_files = copy.provider.files

    async def not_now(page: int, limit: int) -> tuple[StoredFile, ...]:
        raise away()

    monkeypatch.setattr(copy.provider, "files", not_now)
    await started(copy)
    for _ in range(50):
        copy.now += await copy.reconcile.look() or pytest.fail("it ended")
    assert copy.reconcile.state is not None
    assert copy.reconcile.state["trouble"] == "the documents at the provider cannot be listed: the provider is away"
    monkeypatch.setattr(copy.provider, "files", really_files)
    await looked(copy)
    assert copy.gate.is_open


async def test_with_a_refused_key_it_waits_for_the_right_one(today: House) -> None:
    await today.uploaded()
    copy = today.copy("old")
    await started(copy)
    copy.gate.failed(KeyRefused("the fax provider refuses the API key"))
    copy.provider.history_error = KeyRefused("the fax provider refuses the API key")
    for _ in range(500):
        copy.now += await copy.reconcile.look() or pytest.fail("it ended")
    copy.provider.history_error = None
    copy.gate.succeeded()
    assert not copy.gate.is_open
    await looked(copy)
    assert copy.gate.is_open


# --- kills and starts -------------------------------------------------------------------------------------------------


async def test_killed_in_the_middle_it_begins_anew_and_tells_nothing_twice(today: House) -> None:
    queue_id = await today.submit()
    copy = today.copy("old")
    await sent_for_good(today)
    await started(copy)
    copy.now += await copy.reconcile.look() or 0
    new = await copy.submit(OTHER)
    again = await copy.crash()
    await again.close()
    await started(again, copy.now)
    assert sum(await looked(again)) == 1800
    await again.settle()
    assert (await again.job(f"{queue_id}-1")).may_be_sent
    assert (await again.job(f"{new}-1")).may_be_sent is False
    assert await again.told(f"{queue_id}-1") == [("unknown", "set_back")]
    once_more = await again.crash()
    await once_more.close()
    await started(once_more, again.now)
    await looked(once_more)
    assert await once_more.told(f"{queue_id}-1") == [("unknown", "set_back")]


async def test_after_it_has_ended_a_start_is_like_any_other(today: House) -> None:
    await today.submit()
    copy = today.copy("old")
    await sent_for_good(today)
    await started(copy)
    await looked(copy)
    await copy.submit()  # to the number of a fax whose job is not known
    await copy.turn("prepare")
    await copy.close()
    again = House(copy.root, copy.provider, outbound=outbound())
    await started(again, copy.now + 60)
    assert await looked(again) == []
    assert again.reconcile.state is None
    assert again.gate.is_open


async def test_a_directory_that_was_moved_is_no_copy(today: House) -> None:
    await today.uploaded()
    await today.close()
    moved = today.root.with_name("moved")
    today.root.rename(moved)
    house = House(moved, today.provider, outbound=outbound())
    await started(house)
    assert await looked(house) == []
    await house.settle()
    assert len(house.provider.executed) == 1
    assert await house.alarms() == []


async def test_a_copy_of_a_copy_that_is_still_compared_distrusts_all_it_knows(today: House) -> None:
    await today.submit()
    copy = today.copy("old")
    await started(copy)
    later = await copy.submit(OTHER)
    await copy.turn("prepare")
    second = copy.copy("second")
    await looked(copy)
    await sent_for_good(copy)
    await started(second)
    await looked(second)
    assert (await second.job(f"{later}-1")).may_be_sent


async def test_the_loop_looks_by_itself_and_lets_go(tmp_path: Path) -> None:
    quick = outbound(doubt_poll_after=(0.01,), doubt_min_polls=2, doubt_min_time=0.05)
    house = await House(tmp_path / "state", outbound=quick).open()
    await house.reconcile.begin()
    await house.uploaded()
    copy = house.copy("old")
    await house.close()
    loop = asyncio.get_running_loop()
    copy._settings["steady"] = loop.time  # type: ignore[assignment]
    live = House(copy.root, copy.provider, **copy._settings)  # type: ignore[arg-type]
    await started(live)
    live.provider.history_error = away()
    live.reconcile.start()
    while not (live.reconcile.state or {}).get("trouble"):
        await asyncio.sleep(0.01)
    live.provider.history_error = None
    while not live.gate.is_open:
        await asyncio.sleep(0.01)
    await live.reconcile.stop()


@pytest.mark.parametrize("error", [away(), RuntimeError("a bug")])
async def test_a_look_that_fails_keeps_the_gate_and_is_taken_again(
    today: House, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    await today.uploaded()
    copy = today.copy("old")
    await started(copy)
    monkeypatch.setattr(reconcile, "_PAUSE", 0.0)
    looks = 0

    async def look() -> float | None:
        nonlocal looks
        looks += 1
        if looks < 5:
            raise error
        return None

    monkeypatch.setattr(copy.reconcile, "look", look)
    copy.reconcile.start()
    while looks < 5:
        await asyncio.sleep(0.01)
        assert not copy.gate.is_open
    await copy.reconcile.stop()


async def test_what_a_person_has_to_decide_already_is_left_as_it_is(today: House) -> None:
    copy, job = await suspect(today)
    second = copy.copy("second")
    await started(second, copy.now)
    await looked(second)
    assert await only(second) == job
    assert await second.told(job.id) == [("unknown", "set_back")]


# --- a machine that was set back --------------------------------------------------------------------------------------


async def set_back(house: House, copy: House) -> House:
    """The files are as they were, in the same place: as when a machine is set back to a snapshot."""
    await house.close()
    for file in copy.root.rglob("*"):
        if file.is_file():
            place = house.root / file.relative_to(copy.root)
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("r+b" if place.exists() else "wb") as stream:  # the inode stays
                stream.truncate()
                stream.write(file.read_bytes())
    shutil.rmtree(copy.root)
    return House(house.root, house.provider, outbound=outbound())


@pytest.mark.parametrize("steps", [(), ("prepare",), ("prepare", "upload")])
async def test_a_machine_that_was_set_back_notices_and_sends_nothing_twice(
    today: House, steps: tuple[str, ...]
) -> None:
    await today.submit()
    if steps:
        await today.turn(*steps)
    copy = today.copy("old")
    await sent_for_good(today)
    house = await started(await set_back(today, copy))
    assert not house.gate.is_open
    waits = await looked(house)
    assert sum(waits) == 1800
    await house.settle()
    assert len(house.provider.executed) == 1
    assert "Nothing is sent before it was looked for in the provider's history" in await house.alarms()


async def test_an_upload_that_is_not_known_tells_of_a_set_back_too(today: House) -> None:
    await today.submit()
    await today.turn("prepare")
    copy = today.copy("old")
    await today.turn("upload")
    house = await started(await set_back(today, copy))
    await house.reconcile.look()
    assert house.reconcile.state is not None
    assert "has upload 1 of fax" in house.reconcile.state["why"]


async def test_a_document_of_a_fax_that_is_not_known_tells_of_a_set_back_too(today: House) -> None:
    await today.submit()
    await today.turn("prepare")
    copy = today.copy("old")
    today.now += 60
    await today.submit(OTHER)
    await today.database.write(
        lambda tx: [jobs.hold(tx, job, START, "wait") for job in jobs.in_state(tx, JobState.PREPARED)]
    )
    await today.turn("prepare", "upload")
    assert len(today.provider.names) == 1
    house = await started(await set_back(today, copy))
    await house.submit("+12025550125")  # while it is being looked, a newer mail comes
    await house.reconcile.look()
    assert house.reconcile.state is not None
    assert "has a document of fax" in house.reconcile.state["why"]
    await looked(house)
    await house.close()
    again = House(house.root, house.provider, outbound=outbound())
    await started(again, house.now)  # it has been compared with that
    assert await looked(again) == []


async def test_a_document_that_went_to_the_number_as_it_was_dialled_tells_of_a_set_back_too(today: House) -> None:
    job = await today.uploaded()
    copy = today.copy("old")
    assert job.document_ref is not None
    today.provider.history_pages = [(shown(9000, job.document_ref, START, "+0112025550123"),)]
    house = await started(await set_back(today, copy))
    await house.reconcile.look()
    assert house.reconcile.state is not None
    assert "shows the document of fax" in house.reconcile.state["why"]


async def test_a_start_like_any_other_looks_once_and_goes_on(today: House, tmp_path: Path) -> None:
    await today.submitted()
    await today.submit(OTHER)
    await today.turn("prepare", "upload")
    await today.close()
    house = House(today.root, today.provider, outbound=outbound())
    await started(house)
    assert await looked(house) == []
    await house.turn("submit")
    assert len(house.provider.executed) == 2
    assert await house.alarms() == []


async def test_a_start_with_nothing_to_send_asks_nobody(today: House) -> None:
    await today.submitted()
    await today.close()
    house = House(today.root, today.provider, outbound=outbound())
    house.provider.history_error = away()
    await started(house)
    assert house.gate.is_open


async def test_a_provider_that_cannot_be_asked_holds_a_start_up_for_so_long_and_no_longer(today: House) -> None:
    await today.uploaded()
    await today.close()
    house = House(today.root, today.provider, outbound=outbound())
    house.provider.history_error = Refused("no such operation")
    await started(house)
    assert 1800 <= sum(await looked(house)) < 2000
    assert house.gate.is_open


async def test_a_mark_is_for_jobs_that_were_there_and_ends_for_good(today: House) -> None:
    await today.submit()
    mark = await today.database.write(lambda tx: origin.mark(tx, "restored", START))
    await today.submit(OTHER)
    assert [job.number.e164 for job in await today.database.read(lambda tx: sends.unsure(tx, mark.last))] == [NUMBER]
    assert await today.database.read(origin.read) == mark
    await today.database.write(lambda tx: origin.clear(tx, origin.Compared(7, 8.5)))
    await today.database.write(lambda tx: origin.clear(tx, origin.Compared(3, 2.0)))
    assert await today.database.read(origin.read) is None
    assert await today.database.read(origin.compared_to) == origin.Compared(7, 8.5)


# --- what a person then does ------------------------------------------------------------------------------------------


async def suspect(today: House) -> tuple[House, FaxJob]:
    await today.submit()
    copy = today.copy("old")
    await sent_for_good(today)
    await started(copy)
    await looked(copy)
    return copy, await only(copy)


async def test_a_person_who_closes_it_does_not_say_that_it_failed(today: House) -> None:
    copy, job = await suspect(today)
    assert await copy.outbound.settle.cancel(job, silent=False)
    assert await copy.told(job.id) == [("unknown", "set_back"), ("no_result", "cancelled")]


async def test_the_mails_of_the_comparison_go_out_once(today: House) -> None:
    copy, _ = await suspect(today)
    assert len(await copy.alarms()) == 2
    assert copy.mail_calls > 0
    assert await copy.database.read(lambda tx: outbox.due(tx, copy.now, 10))
