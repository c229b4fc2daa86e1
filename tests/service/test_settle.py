"""What became of a send: a hint is confirmed, a doubt is settled by history or left to a person, an end is told once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.errors import KeyRefused, NotFound
from gateway.model import FaxDocument, FaxJob, FaxNumber, JobState, MailKind, Notify, Receipt, Submission, Verdict
from gateway.ports import HistoryEntry, JobStatus
from gateway.service.absence import Absence
from gateway.service.doubt import Doubt
from gateway.service.gate import Gate
from gateway.service.history import History
from gateway.service.notices import Notices, NoticeSettings
from gateway.service.settle import Settle, SettleSettings
from gateway.store import jobs, outbox, receipts
from gateway.store.db import Database, Tx

from .scripted import ScriptedProvider, away

NUMBER = FaxNumber("+12025550123")
SUCCESS = JobStatus(Verdict.SUCCESS, "ok", "Sent! Fax Has Been Answered.")
FAILED = JobStatus(Verdict.FAILED, "unknown", "Fax Failed")
PROGRESS = JobStatus(Verdict.PROGRESS, "", "sending")


class World:
    """A settled corner of the house: real database, scripted provider, a clock in hand."""

    def __init__(self, database: Database, settings: SettleSettings, *, notify_success: bool = True) -> None:
        self.now = 10_000.0
        self.database = database
        self.provider = ScriptedProvider()
        self.gate = Gate(clock=lambda: self.now)
        self.mails = self.nudges = 0
        self.set_back = 0.0  # by how much the clock was set back, or forward if negative
        mailboxes = "gw.example", "bounce@example.org", "admin@example.org"
        notices = Notices(NoticeSettings(*mailboxes, notify_success=notify_success))
        history = History(self.provider)
        self.settle = Settle(
            database, self.provider, history, notices, settings, gate=self.gate, on_mail=self._mail, nudge=self._nudge,
            clock=lambda: self.now,
        )  # fmt: skip
        absence = Absence(database, self.provider, history, alone=settings.alone)
        self.doubt = Doubt(
            database, absence, notices, settings, self.settle, on_mail=self._mail, nudge=self._nudge,
            clock=lambda: self.now, steady=lambda: self.now + self.set_back,
        )  # fmt: skip

    def _mail(self) -> None:
        self.mails += 1

    def _nudge(self) -> None:
        self.nudges += 1

    async def job(self, state: JobState, id_: str = "S1", notify: frozenset[Notify] = frozenset()) -> FaxJob:
        """A job brought into a state by the way it would take."""
        at = self.now
        submission = Submission(
            id=id_, created_at=at, mail_file=f"mail/{id_}", size=1, sender="a@example.org", identity="ip:1",
            results_to="a@example.org", client="c", subject="Invoice", message_id="<m@x>",
        )  # fmt: skip
        job = FaxJob(
            id=f"{id_}-1", submission=id_, rcpt="+12025550123@fax.local", number=NUMBER, state=JobState.ACCEPTED,
            created_at=at, updated_at=at, next_at=at, notify=notify,
        )  # fmt: skip

        def build(tx: Tx) -> None:
            jobs.add(tx, submission, [job], id_)
            jobs.set_document(tx, job.id, FaxDocument("document/d", 2, 10, "00", 40.0))
            current = job
            ref = 500 + int(id_[1:])
            for step in (JobState.PREPARED, JobState.UPLOADED):
                jobs.change(tx, current, step, at, "x", **({"document_ref": ref} if step is JobState.UPLOADED else {}))
                current = jobs.get(tx, job.id) or job
            if state is JobState.UPLOADED:
                return
            jobs.begin_attempt(tx, current, at, Decimal("0.10"))
            current = jobs.get(tx, job.id) or job
            if state is JobState.IN_DOUBT:
                jobs.end_attempt(tx, job.id, 1, at, "unknown")
                jobs.change(tx, current, JobState.IN_DOUBT, at, "unknown")
            elif state is JobState.SUBMITTED:
                self._sent(tx, current)

        await self.database.write(build)
        return await self.get(job.id)

    def _sent(self, tx: Tx, job: FaxJob) -> None:
        jobs.end_attempt(tx, job.id, 1, self.now, "sent", provider_ref=9000)
        jobs.change(tx, job, JobState.SUBMITTED, self.now, "sent", provider_ref=9000)

    async def send(self) -> None:
        """Have the provider take the job that waits."""
        waiting = await self.get()
        await self.database.write(lambda tx: jobs.begin_attempt(tx, waiting, self.now, Decimal("0.10")))
        begun = await self.get()
        await self.database.write(lambda tx: self._sent(tx, begun))

    async def get(self, id_: str = "S1-1") -> FaxJob:
        job = await self.database.read(lambda tx: jobs.get(tx, id_))
        assert job is not None
        return job

    async def told(self, cause: str = "S1-1") -> list[tuple[MailKind, str, bool]]:
        mails = await self.database.read(lambda tx: outbox.of_cause(tx, cause))
        return [(mail.kind, mail.facts["code"], mail.facts["confirmed"]) for mail in mails]

    async def alarms(self) -> list[str]:
        rows = await self.database.read(lambda tx: outbox.due(tx, 1e12, 100))
        return [mail.facts["title"] for mail in rows if mail.kind is MailKind.OPERATOR]

    async def receive(self, verdict: Verdict, code: str, ref: int = 9000) -> None:
        await self.settle.receipt(Receipt(ref, verdict, code, f"text of {code}", self.now))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "db.sqlite")
    await database.open()
    yield database
    await database.close()


@pytest.fixture
def world(database: Database) -> World:
    return World(database, SettleSettings())


# --- results ----------------------------------------------------------------------------------------------------------


async def test_status_alone_ends_a_fax_whose_receipt_never_comes(world: World) -> None:
    job = await world.job(JobState.SUBMITTED)
    world.provider.statuses[9000] = PROGRESS
    await world.settle.result(job)
    assert (await world.get()).state is JobState.SUBMITTED
    world.provider.statuses[9000] = SUCCESS
    await world.settle.result(await world.get())
    assert (await world.get()).state is JobState.DELIVERED
    assert await world.told() == [(MailKind.DELIVERED, "ok", True)]


async def test_a_receipt_is_confirmed_and_names_the_cause(world: World) -> None:
    await world.job(JobState.SUBMITTED)
    await world.receive(Verdict.FAILED, "busy")
    due = await world.database.read(lambda tx: jobs.due(tx, JobState.SUBMITTED, world.now, 5))
    assert [job.id for job in due] == ["S1-1"]
    world.provider.statuses[9000] = FAILED
    await world.settle.result(due[0])
    ended = await world.get()
    assert (ended.state, ended.outcome) == (JobState.FAILED, "busy")
    assert await world.told() == [(MailKind.FAILED, "busy", True)]


async def test_a_doubled_receipt_has_no_effect(world: World) -> None:
    await world.job(JobState.SUBMITTED)
    world.provider.statuses[9000] = SUCCESS
    await world.receive(Verdict.SUCCESS, "ok")
    await world.settle.result(await world.get())
    await world.receive(Verdict.SUCCESS, "ok")
    assert await world.told() == [(MailKind.DELIVERED, "ok", True)]
    assert await world.alarms() == []


async def test_a_lying_receipt_is_not_believed_against_status_and_history(world: World) -> None:
    job = await world.job(JobState.SUBMITTED)
    await world.receive(Verdict.SUCCESS, "ok")
    world.provider.statuses[9000] = FAILED
    world.provider.history_pages = [(HistoryEntry(9000, 501, NUMBER.digits, Verdict.FAILED, None),)]
    await world.settle.result(job)
    assert (await world.get()).state is JobState.FAILED


async def test_history_decides_when_status_and_receipt_differ(world: World) -> None:
    job = await world.job(JobState.SUBMITTED)
    await world.receive(Verdict.FAILED, "hangup")
    world.provider.statuses[9000] = SUCCESS
    world.provider.history_pages = [(HistoryEntry(9000, 501, NUMBER.digits, Verdict.FAILED, None),)]
    await world.settle.result(job)
    assert (await world.get()).outcome == "hangup"


async def test_where_status_and_history_differ_without_a_receipt_it_waits_for_their_agreement(world: World) -> None:
    job = await world.job(JobState.SUBMITTED)
    world.provider.statuses[9000] = FAILED
    world.provider.history_pages = [(HistoryEntry(9000, 501, NUMBER.digits, Verdict.SUCCESS, None),)]
    await world.settle.result(job)
    assert ((await world.get()).state, await world.told()) == (JobState.SUBMITTED, [])
    world.provider.statuses[9000] = SUCCESS
    await world.settle.result(await world.get())
    assert await world.told() == [(MailKind.DELIVERED, "ok", True)]


async def test_nobody_decides_and_it_waits_then_says_not_confirmed(world: World) -> None:
    job = await world.job(JobState.SUBMITTED)
    await world.receive(Verdict.SUCCESS, "ok")
    world.provider.statuses[9000] = away()
    await world.settle.result(job)
    assert (await world.get()).state is JobState.SUBMITTED
    world.now += 3601
    await world.settle.result(await world.get())
    assert await world.told() == [(MailKind.DELIVERED, "ok", False)]


@pytest.mark.parametrize(
    ("received", "shown", "told"),
    [
        (Verdict.SUCCESS, Verdict.SUCCESS, (MailKind.DELIVERED, "ok")),
        (Verdict.SUCCESS, Verdict.FAILED, (MailKind.FAILED, "unknown")),
        (Verdict.FAILED, Verdict.FAILED, (MailKind.FAILED, "busy")),
    ],
)
async def test_where_the_status_cannot_be_had_the_history_has_the_last_word(
    world: World, received: Verdict, shown: Verdict, told: tuple[MailKind, str]
) -> None:
    job = await world.job(JobState.SUBMITTED)
    await world.receive(received, "ok" if received is Verdict.SUCCESS else "busy")
    world.provider.statuses[9000] = NotFound("who?")
    world.provider.history_pages = [(HistoryEntry(9000, 501, NUMBER.digits, shown, None),)]
    world.now += 3601
    await world.settle.result(job)
    assert await world.told() == [(*told, True)]


async def test_receipts_that_contradict_each_other_are_told_only_when_confirmed(world: World) -> None:
    """A sender who reads that it failed sends it again, and it may have arrived."""
    job = await world.job(JobState.SUBMITTED)
    await world.receive(Verdict.SUCCESS, "ok")
    await world.receive(Verdict.FAILED, "busy")
    world.provider.statuses[9000] = away()
    for _ in range(12):
        world.now += 3601
        await world.settle.result(await world.get())
    assert (await world.get()).state is JobState.SUBMITTED
    world.provider.history_pages = [(HistoryEntry(9000, 501, NUMBER.digits, Verdict.SUCCESS, None),)]
    await world.settle.result(job)
    assert await world.told() == [(MailKind.DELIVERED, "ok", True)]


async def test_without_confirmation_the_receipt_is_told_as_such(database: Database) -> None:
    world = World(database, SettleSettings(confirm_receipts=False))
    job = await world.job(JobState.SUBMITTED)
    await world.receive(Verdict.SUCCESS, "ok")
    await world.settle.result(job)
    assert await world.told() == [(MailKind.DELIVERED, "ok", False)]


async def test_no_result_ever_is_told_as_unknown(world: World) -> None:
    job = await world.job(JobState.SUBMITTED)
    world.provider.statuses[9000] = NotFound("who?")
    world.now += 50 * 3600
    await world.settle.result(job)
    assert (await world.get()).state is JobState.SUBMITTED  # a clock may jump: it has not been asked about for 50 hours
    for _ in range(9):
        await world.settle.result(await world.get())
    ended = await world.get()
    assert (ended.state, ended.outcome) == (JobState.FAILED, "no_result")
    assert await world.told() == [(MailKind.NO_RESULT, "no_result", True)]


async def test_a_refused_key_shuts_the_gate_and_a_good_answer_opens_it(world: World) -> None:
    job = await world.job(JobState.SUBMITTED)
    world.provider.statuses[9000] = KeyRefused("the key is refused")
    await world.settle.result(job)
    assert not world.gate.is_open
    world.provider.statuses[9000] = PROGRESS
    await world.settle.result(await world.get())
    assert world.gate.is_open


async def test_busy_is_dialled_again_only_as_often_as_allowed(database: Database) -> None:
    world = World(database, SettleSettings(redial={"busy": 1}, redial_after=300))
    job = await world.job(JobState.SUBMITTED)
    await world.receive(Verdict.FAILED, "busy")
    world.provider.statuses[9000] = FAILED
    await world.settle.result(job)
    again = await world.get()
    assert (again.state, again.redials, again.next_at) == (JobState.UPLOADED, 1, world.now + 300)
    assert await world.told() == []

    def second(tx: Tx) -> None:
        jobs.begin_attempt(tx, again, world.now)
        current = jobs.get(tx, "S1-1")
        assert current is not None
        jobs.end_attempt(tx, "S1-1", 2, world.now, "sent", provider_ref=9001)
        jobs.change(tx, current, JobState.SUBMITTED, world.now, "sent", provider_ref=9001)

    await world.database.write(second)
    await world.receive(Verdict.FAILED, "busy", ref=9001)
    world.provider.statuses[9001] = FAILED
    await world.settle.result(await world.get())
    assert (await world.get()).state is JobState.FAILED
    assert await world.told() == [(MailKind.FAILED, "busy", True)]


async def test_a_result_for_a_job_that_has_ended_meanwhile_changes_nothing(world: World) -> None:
    stale = await world.job(JobState.SUBMITTED)
    world.provider.statuses[9000] = SUCCESS
    await world.settle.result(stale)
    await world.settle.result(stale)
    assert await world.told() == [(MailKind.DELIVERED, "ok", True)]


@pytest.mark.parametrize(
    ("notify", "status", "told"),
    [
        ({Notify.NEVER}, FAILED, False),
        ({Notify.SUCCESS}, FAILED, False),
        ({Notify.FAILURE}, FAILED, True),
        ({Notify.FAILURE}, SUCCESS, False),
        ({Notify.SUCCESS}, SUCCESS, True),
        (set(), SUCCESS, True),
        (set(), FAILED, True),
    ],
)
async def test_who_hears_follows_notify(world: World, notify: set[Notify], status: JobStatus, told: bool) -> None:
    job = await world.job(JobState.SUBMITTED, notify=frozenset(notify))
    world.provider.statuses[9000] = status
    await world.settle.result(job)
    assert bool(await world.told()) is told


@pytest.mark.parametrize("notify", [set(), {Notify.DELAY}, {Notify.DELAY, Notify.FAILURE}])
@pytest.mark.parametrize("end", [SUCCESS, FAILED, None])
async def test_who_was_told_that_another_mail_comes_gets_it(
    database: Database, notify: set[Notify], end: JobStatus | None
) -> None:
    world = World(database, SettleSettings(), notify_success=False)
    job = await world.job(JobState.UPLOADED, notify=frozenset(notify))
    await world.settle.delayed(job)
    if end is None:
        assert await world.settle.cancel(await world.get(), silent=False)
    else:
        await world.send()
        world.provider.statuses[9000] = end
        await world.settle.result(await world.get())
    assert [kind for kind, *_ in await world.told()] == [
        MailKind.DELAYED, MailKind.DELIVERED if end is SUCCESS else MailKind.FAILED,
    ]  # fmt: skip


# --- receipts that come early, late or for others -------------------------------------------------------------------


async def test_a_receipt_for_nobody_is_kept_and_makes_doubts_look(world: World) -> None:
    doubtful = await world.job(JobState.IN_DOUBT)
    await world.database.write(lambda tx: jobs.touch(tx, doubtful, 1.0, next_at=99_999.0))
    await world.receive(Verdict.SUCCESS, "ok", ref=4711)
    assert await world.database.read(lambda tx: receipts.strange(tx, 0.0)) == {4711}
    assert (await world.get()).next_at == world.now


async def test_a_late_contradiction_changes_nothing_but_is_told_to_the_operator(world: World) -> None:
    job = await world.job(JobState.SUBMITTED)
    world.provider.statuses[9000] = SUCCESS
    await world.settle.result(job)
    await world.receive(Verdict.PROGRESS, "")
    assert await world.alarms() == []
    await world.receive(Verdict.FAILED, "busy")
    assert (await world.get()).state is JobState.DELIVERED
    assert len(await world.alarms()) == 1
    assert len(await world.told()) == 1


# --- doubt --------------------------------------------------------------------------------------------------------


def listed(*refs: int, document: int = 501) -> list[tuple[HistoryEntry, ...]]:
    return [tuple(HistoryEntry(ref, document, NUMBER.digits, Verdict.SUCCESS, None) for ref in refs)]


async def test_a_send_found_in_history_is_adopted_with_its_early_receipt(world: World) -> None:
    job = await world.job(JobState.IN_DOUBT)
    await world.receive(Verdict.SUCCESS, "ok", ref=9000)
    world.provider.history_pages = listed(9000)
    await world.doubt(job)
    found = await world.get()
    assert (found.state, found.provider_ref) == (JobState.SUBMITTED, 9000)
    assert len(await world.database.read(lambda tx: receipts.of_job(tx, "S1-1"))) == 1
    (attempt,) = await world.database.read(lambda tx: jobs.attempts(tx, "S1-1"))
    assert (attempt.outcome, attempt.provider_ref) == ("found", 9000)


async def test_another_number_or_document_is_not_ours(world: World) -> None:
    job = await world.job(JobState.IN_DOUBT)
    world.provider.history_pages = [
        (
            HistoryEntry(1, 999, NUMBER.digits, Verdict.SUCCESS, None),
            HistoryEntry(2, 501, "1202", Verdict.SUCCESS, None),
        )
    ]
    await world.doubt(job)
    assert (await world.get()).state is JobState.IN_DOUBT


async def test_two_sends_of_one_job_are_adopted_once_and_told(world: World) -> None:
    job = await world.job(JobState.IN_DOUBT)
    world.provider.history_pages = listed(9001, 9000)
    await world.doubt(job)
    assert (await world.get()).provider_ref == 9000
    assert len(await world.alarms()) == 1


async def test_absence_needs_three_good_readings_over_half_an_hour(world: World) -> None:
    await world.job(JobState.IN_DOUBT)
    for minutes in (2, 3, 5, 10):
        world.now += minutes * 60
        await world.doubt(await world.get())
        assert (await world.get()).state is JobState.IN_DOUBT
    world.now += 20 * 60
    await world.doubt(await world.get())
    again = await world.get()
    assert (again.state, again.document_ref) == (JobState.UPLOADED, 501)
    (attempt,) = await world.database.read(lambda tx: jobs.attempts(tx, "S1-1"))
    assert attempt.outcome == "absent"


async def test_unreadable_history_proves_nothing_and_ends_with_a_person(world: World) -> None:
    await world.job(JobState.IN_DOUBT)
    world.provider.history_error = away()
    for _ in range(5):
        world.now += 3600
        await world.doubt(await world.get())
    held = await world.get()
    assert (held.state, bool(held.hold)) == (JobState.IN_DOUBT, True)
    assert await world.told() == [(MailKind.UNKNOWN, "held", True)]
    assert len(await world.alarms()) == 1
    events = await world.database.read(lambda tx: jobs.events(tx, held.id))
    assert sum(event.what.startswith("no proof in the history: ") for event in events) == 5


async def test_an_absence_more_than_may_be_sent_again_is_for_a_person(database: Database) -> None:
    world = World(database, SettleSettings(doubt_resends=0, doubt_min_polls=1, doubt_min_time=0))
    job = await world.job(JobState.IN_DOUBT)
    await world.doubt(job)
    assert (await world.get()).hold
    other = World(database, SettleSettings(doubt_resends=1, doubt_min_polls=1, doubt_min_time=0))
    job = await other.job(JobState.IN_DOUBT, "S2")
    await other.doubt(job)
    again = await other.get("S2-1")
    assert again.state is JobState.UPLOADED

    def doubt_again(tx: Tx) -> None:
        jobs.begin_attempt(tx, again, other.now)
        current = jobs.get(tx, "S2-1")
        assert current is not None
        jobs.end_attempt(tx, "S2-1", 2, other.now, "unknown")
        jobs.change(tx, current, JobState.IN_DOUBT, other.now, "unknown")

    await database.write(doubt_again)
    await other.doubt(await other.get("S2-1"))
    assert (await other.get("S2-1")).hold


async def test_a_held_doubt_is_not_asked_about(world: World) -> None:
    job = await world.job(JobState.IN_DOUBT)
    assert await world.settle.hold(job, "look")
    assert not await world.settle.hold(job, "look twice")
    world.provider.history_pages = listed(9000)
    await world.doubt(await world.get())
    assert (await world.get()).state is JobState.IN_DOUBT


# --- ends by a person ---------------------------------------------------------------------------------------------


async def test_cancel_before_the_send_and_never_after(world: World) -> None:
    job = await world.job(JobState.UPLOADED)
    assert await world.settle.cancel(job, silent=False)
    assert await world.told() == [(MailKind.FAILED, "cancelled", True)]
    sent = await world.job(JobState.SUBMITTED, "S2")
    assert not await world.settle.cancel(sent, silent=True)
    silent = await world.job(JobState.UPLOADED, "S3")
    assert await world.settle.cancel(silent, silent=True)
    assert await world.told("S3-1") == []
