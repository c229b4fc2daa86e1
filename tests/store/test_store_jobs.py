"""A job moves along arrows only, every change leaves an event, and a send is recorded before it is made."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from gateway.model import (
    TRANSITIONS,
    FaxDocument,
    FaxJob,
    FaxNumber,
    FaxOptions,
    JobState,
    LedgerEntry,
    MailKind,
    Notify,
    OutgoingMail,
    Receipt,
    Submission,
    Verdict,
)
from gateway.store import files, jobs, outbox, overview, receipts, repeats, retention, uploads
from gateway.store.db import Database, _prepare, migrations

NUMBER = FaxNumber("+12025550123")
DOCUMENT = FaxDocument("document/x", 2, 100, "ab" * 32, 40.0, (LedgerEntry("a.pdf", "application/pdf", 1, 2),))


def submission(id_: str = "S1", at: float = 1000.0) -> Submission:
    return Submission(
        id=id_, created_at=at, mail_file=f"mail/{id_}", size=10, sender="a@example.org", identity="ip:127.0.0.1",
        results_to="a@example.org", client="c [127.0.0.1]",
    )  # fmt: skip


def job(id_: str = "S1-1", sub: str = "S1", at: float = 1000.0) -> FaxJob:
    return FaxJob(
        id=id_, submission=sub, rcpt="+12025550123@fax.local", number=NUMBER, state=JobState.ACCEPTED, created_at=at,
        updated_at=at, next_at=at, tsi="X", orcpt="rfc822;a", notify=frozenset({Notify.SUCCESS, Notify.FAILURE}),
    )  # fmt: skip


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "db.sqlite")
    await database.open()
    yield database
    await database.close()


async def advance(database: Database, id_: str, *states: JobState, **columns: object) -> FaxJob:
    for state in states:
        current = await database.read(lambda tx: jobs.get(tx, id_))
        assert current is not None
        assert await database.write(
            lambda tx, state=state, current=current: jobs.change(tx, current, state, 1001.0, "x", **columns)
        )
    current = await database.read(lambda tx: jobs.get(tx, id_))
    assert current is not None
    return current


async def test_what_goes_in_comes_out(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    assert await database.read(lambda tx: jobs.get(tx, "S1-1")) == job()
    assert await database.read(lambda tx: jobs.get_submission(tx, "S1")) == submission()
    assert await database.read(lambda tx: jobs.of_submission(tx, "S1")) == [job()]


async def test_a_document_is_bound_with_its_ledger(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    await database.write(lambda tx: jobs.set_document(tx, "S1-1", DOCUMENT))
    stored = await database.read(lambda tx: jobs.get(tx, "S1-1"))
    assert stored is not None
    assert stored.document == DOCUMENT


async def test_a_change_is_a_compare_and_set(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    assert await database.write(lambda tx: jobs.change(tx, job(), JobState.PREPARED, 1001.0, "2 pages"))
    assert not await database.write(lambda tx: jobs.change(tx, job(), JobState.PREPARED, 1002.0, "again"))
    events = await database.read(lambda tx: jobs.events(tx, "S1-1"))
    assert [(e.from_state, e.to_state) for e in events] == [("", "accepted"), ("accepted", "prepared")]


@pytest.mark.parametrize("start", list(JobState))
async def test_no_way_but_the_arrows(database: Database, start: JobState) -> None:
    here = dataclasses.replace(job(), state=start)
    for to in JobState:
        if to not in TRANSITIONS[start]:
            with pytest.raises(ValueError, match="no way"):
                await database.write(lambda tx, to=to: jobs.change(tx, here, to, 1.0, ""))


async def test_an_attempt_stands_before_the_send(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    uploaded = await advance(database, "S1-1", JobState.PREPARED, JobState.UPLOADED, document_ref=7)
    attempt = await database.write(lambda tx: jobs.begin_attempt(tx, uploaded, 1002.0, Decimal("0.10")))
    assert attempt is not None
    assert (attempt.n, attempt.document_ref, attempt.number, attempt.outcome) == (1, 7, NUMBER, "")
    assert await database.write(lambda tx: jobs.begin_attempt(tx, uploaded, 1003.0)) is None
    await database.write(
        lambda tx: jobs.end_attempt(tx, "S1-1", 1, 1004.0, "sent", provider_ref=99, cost=Decimal("0.2"), detail="ok")
    )
    assert await database.read(lambda tx: jobs.known_refs(tx, [98, 99])) == {99}
    (ended,) = await database.read(lambda tx: jobs.attempts(tx, "S1-1"))
    assert (ended.outcome, ended.provider_ref, ended.cost) == ("sent", 99, Decimal("0.2"))
    found = await database.read(lambda tx: jobs.by_provider_ref(tx, 99))
    assert found is not None
    assert found.id == "S1-1"
    assert await database.read(lambda tx: jobs.by_provider_ref(tx, 98)) is None


async def test_a_held_job_is_not_sent(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    uploaded = await advance(database, "S1-1", JobState.PREPARED, JobState.UPLOADED, document_ref=7)
    assert await database.write(lambda tx: jobs.hold(tx, uploaded, 1002.0, "look"))
    assert not await database.write(lambda tx: jobs.hold(tx, uploaded, 1002.0, "twice"))
    assert await database.write(lambda tx: jobs.begin_attempt(tx, uploaded, 1003.0)) is None
    assert await database.write(lambda tx: jobs.strike(tx, uploaded, 1003.0, 2000.0)) == 0
    assert await database.write(lambda tx: jobs.count_poll(tx, uploaded, (60,), 1003.0)) == 0
    assert await database.read(lambda tx: jobs.due(tx, JobState.UPLOADED, 9999.0, 10)) == []
    assert (await database.read(overview.counts))["held"] == 1
    assert await database.write(lambda tx: jobs.release(tx, uploaded, 1004.0))
    assert not await database.write(lambda tx: jobs.release(tx, uploaded, 1004.0))
    assert len(await database.read(lambda tx: jobs.due(tx, JobState.UPLOADED, 9999.0, 10))) == 1


async def test_a_job_that_was_sent_since_is_not_held_for_what_was_found_of_an_earlier_send(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    first = await advance(database, "S1-1", JobState.PREPARED, JobState.UPLOADED, document_ref=7)
    await database.write(lambda tx: jobs.begin_attempt(tx, first, 1002.0))
    again = await advance(database, "S1-1", JobState.IN_DOUBT, JobState.UPLOADED)
    assert (first.state, first.attempts, again.attempts) == (again.state, 0, 1)
    assert not await database.write(lambda tx: jobs.hold(tx, first, 1003.0, "nobody knows"))
    assert await database.write(lambda tx: jobs.hold(tx, again, 1003.0, "nobody knows"))


async def test_what_has_happened_to_a_held_job_is_recorded_and_only_its_end_ends_the_hold(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    await database.write(lambda tx: jobs.hold(tx, job(), 1001.0, "look"))
    assert (await advance(database, "S1-1", JobState.PREPARED)).hold == "look"
    assert (await advance(database, "S1-1", JobState.FAILED)).hold == ""


async def test_a_released_job_has_fresh_tries_and_goes_no_earlier_than_its_sender_wants(database: Database) -> None:
    for n, (send_at, next_at) in enumerate(((0.0, 1004.0), (5000.0, 5000.0)), 1):
        later = dataclasses.replace(job(), id=f"S{n}-1", submission=f"S{n}", options=FaxOptions(send_at=send_at))
        mail = dataclasses.replace(submission(), id=f"S{n}")
        await database.write(lambda tx, mail=mail, later=later: jobs.add(tx, mail, [later], mail.id))
        await database.write(lambda tx, later=later: jobs.strike(tx, later, 1001.0, 9000.0))
        await database.write(lambda tx, later=later: jobs.hold(tx, later, 1002.0, "look"))
        assert await database.write(lambda tx, later=later: jobs.release(tx, later, 1004.0))
        released = await database.read(lambda tx, later=later: jobs.get(tx, later.id))
        assert released is not None
        assert (released.hold, released.released, released.approved) == ("", True, False)
        assert (released.strikes, released.next_at) == (0, next_at)
        assert (await database.read(lambda tx, later=later: jobs.events(tx, later.id)))[-1].what == "released"


async def test_an_ended_job_is_not_held(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    failed = await advance(database, "S1-1", JobState.FAILED)
    assert not await database.write(lambda tx: jobs.hold(tx, failed, 1002.0, "late"))


async def test_tries_and_questions_are_counted_before_they_are_made(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    assert await database.write(lambda tx: jobs.strike(tx, job(), 1001.0, 1500.0)) == 1
    assert await database.write(lambda tx: jobs.strike(tx, job(), 1001.0, 1600.0)) == 2
    assert await database.read(lambda tx: jobs.due(tx, JobState.ACCEPTED, 1599.0, 10)) == []
    assert await database.read(lambda tx: jobs.next_due(tx, [JobState.ACCEPTED, JobState.PREPARED])) == 1600.0
    for poll, wait in ((1, 10), (2, 20), (3, 20)):
        assert await database.write(lambda tx: jobs.count_poll(tx, job(), (10, 20), 2000.0)) == poll
        assert await database.read(lambda tx: jobs.next_due(tx, [JobState.ACCEPTED])) == 2000.0 + wait
    assert await database.write(lambda tx: jobs.touch(tx, job(), 2000.0, "note", last_error="x"))
    stored = await database.read(lambda tx: jobs.get(tx, "S1-1"))
    assert stored is not None
    assert stored.last_error == "x"


async def test_in_each_state_tries_and_questions_are_counted_anew(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    await database.write(lambda tx: jobs.strike(tx, job(), 1001.0, 1500.0))
    await database.write(lambda tx: jobs.count_poll(tx, job(), (10, 20), 2000.0))
    prepared = await advance(database, "S1-1", JobState.PREPARED)
    assert (prepared.strikes, prepared.next_at) == (0, 1001.0)
    assert await database.write(lambda tx: jobs.strike(tx, prepared, 1001.0, 1500.0)) == 1
    assert await database.write(lambda tx: jobs.count_poll(tx, prepared, (10, 20), 2000.0)) == 1


async def test_a_step_for_all_jobs_of_a_mail_strikes_and_puts_off_all_but_the_held_ones(database: Database) -> None:
    several = [dataclasses.replace(job(), id=f"S1-{n}") for n in (1, 2, 3)]
    await database.write(lambda tx: jobs.add(tx, submission(), several, "key"))
    await database.write(lambda tx: jobs.hold(tx, several[2], 1001.0, "look"))
    await database.write(lambda tx: jobs.put_off_mail(tx, several[0], 1001.0, 1002.0, "no room", strikes=0))
    assert await database.write(lambda tx: jobs.strike_mail(tx, several[0], 1003.0, 1500.0)) == 1
    first, second, held = await database.read(lambda tx: jobs.of_submission(tx, "S1"))
    for struck in (first, second):
        assert (struck.strikes, struck.next_at, struck.last_error) == (1, 1500.0, "")
    assert (held.strikes, held.next_at, held.last_error) == (0, 1002.0, "no room")
    await database.write(lambda tx: jobs.put_off_mail(tx, first, 1501.0, 1600.0, "no room", strikes=1))
    for waits in (await database.read(lambda tx: jobs.of_submission(tx, "S1")))[:2]:
        assert (waits.strikes, waits.next_at, waits.last_error) == (1, 1600.0, "no room")
    assert await database.write(lambda tx: jobs.strike_mail(tx, held, 1700.0, 1800.0)) == 0


async def test_each_upload_has_a_number(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    assert [await database.write(lambda tx: uploads.next_number(tx, job())) for _ in range(3)] == [1, 2, 3]
    for seen, following in ((2, 4), (7, 8)):  # what the provider has gives no name twice, and takes none back
        await database.write(lambda tx, seen=seen: uploads.at_least(tx, "S1-1", seen))  # type: ignore[misc]
        assert await database.write(lambda tx: uploads.next_number(tx, job())) == following


async def test_two_jobs_never_share_a_document_at_the_provider(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job(), job("S1-2")], "key"))
    await advance(database, "S1-1", JobState.PREPARED, JobState.UPLOADED, document_ref=7)
    with pytest.raises(sqlite3.IntegrityError) as caught:
        await advance(database, "S1-2", JobState.PREPARED, JobState.UPLOADED, document_ref=7)
    assert uploads.is_duplicate(caught.value)
    assert not uploads.is_duplicate(ValueError())
    with pytest.raises(sqlite3.IntegrityError) as caught:
        await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    assert not uploads.is_duplicate(caught.value)


async def test_whose_an_upload_is_how_long_it_is_needed_and_when_it_goes(database: Database) -> None:
    """The ids of deleted documents may be given again: a living job goes before one whose document was deleted."""
    await database.write(lambda tx: jobs.add(tx, submission(), [job(f"S1-{n}") for n in (1, 2, 3)], "key"))
    first = await advance(database, "S1-1", JobState.PREPARED, JobState.UPLOADED, document_ref=7)
    await advance(database, "S1-2", JobState.PREPARED, JobState.UPLOADED, document_ref=8)

    async def facts(ref: int) -> tuple[str, dict[int, str], bool]:
        owner = await database.read(lambda tx: uploads.job_of(tx, ref))
        needed = await database.read(lambda tx: uploads.is_needed(tx, ref))
        return owner.id if owner else "", await database.read(lambda tx: uploads.owners(tx, [ref, 99])), needed

    assert [await facts(ref) for ref in (7, 8, 9)] == [
        ("S1-1", {7: "S1-1"}, True),
        ("S1-2", {8: "S1-2"}, True),
        ("", {}, False),
    ]

    await database.write(lambda tx: jobs.begin_attempt(tx, first, 1002.0))
    await database.write(lambda tx: jobs.end_attempt(tx, "S1-1", 1, 1003.0, "not_sent"))
    back = await advance(database, "S1-1", JobState.UPLOADED, JobState.PREPARED, document_ref=None)
    assert await facts(7) == ("", {7: "S1-1"}, True)  # it was sent from: the history is searched by it

    assert await database.read(uploads.next_erasable) is None
    await database.write(lambda tx: jobs.change(tx, back, JobState.CANCELLED, 1004.0, "x"))
    await advance(database, "S1-2", JobState.CANCELLED)
    assert [await facts(ref) for ref in (7, 8)] == [("", {7: "S1-1"}, False), ("S1-2", {8: "S1-2"}, False)]

    ended = await database.read(lambda tx: jobs.get(tx, "S1-2"))
    assert ended is not None
    assert await database.read(uploads.next_erasable) == ended.next_at
    for now, due in ((ended.next_at - 1, []), (ended.next_at, ["S1-2"])):
        assert [each.id for each in await database.read(lambda tx, now=now: uploads.erasable(tx, now, 9))] == due  # type: ignore[misc]
    await database.write(lambda tx: jobs.touch(tx, ended, 1005.0, erased_at=1005.0))
    assert await database.read(uploads.next_erasable) is None
    await advance(database, "S1-3", JobState.PREPARED, JobState.UPLOADED, document_ref=8)
    assert await facts(8) == ("S1-3", {8: "S1-3"}, True)


async def test_when_the_last_mail_came_is_known_of_those_whose_content_has_gone_too(database: Database) -> None:
    assert await database.read(repeats.last_accepted) is None
    for kept in (submission("S1", 1000.0), dataclasses.replace(submission("S2", 2000.0), mail_file="")):
        await database.write(lambda tx, kept=kept: jobs.add(tx, kept, [], kept.id))  # type: ignore[misc]
    for before, last in ((5000.0, 2000.0), (2000.0, 1000.0), (1000.0, None)):
        assert await database.read(lambda tx, before=before: repeats.last_accepted(tx, before)) == last  # type: ignore[misc]


async def test_what_a_client_has_seen_it_saw_the_first_time(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [], "key"))
    for at in (1001.0, 1002.0):
        await database.write(lambda tx, at=at: repeats.confirm(tx, "S1", at))  # type: ignore[misc]
    assert await database.read(lambda tx: tx.execute("SELECT confirmed_at FROM submission").fetchone()) == (1001.0,)
    assert await database.read(lambda tx: repeats.unconfirmed(tx, "key", 0.0)) == []


async def test_negative_readings_are_counted_with_their_span(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    uploaded = await advance(database, "S1-1", JobState.PREPARED, JobState.UPLOADED, document_ref=7)
    await database.write(lambda tx: jobs.begin_attempt(tx, uploaded, 1002.0))
    assert await database.write(lambda tx: jobs.good_poll(tx, "S1-1", 1, "boot", 100.0)) == (1, 0.0)
    assert await database.write(lambda tx: jobs.good_poll(tx, "S1-1", 1, "boot", 130.0)) == (2, 30.0)
    assert await database.write(lambda tx: jobs.good_poll(tx, "S1-1", 1, "later", 900.0)) == (3, 30.0)
    assert await database.write(lambda tx: jobs.good_poll(tx, "S1-1", 1, "later", 910.0)) == (4, 40.0)


async def test_only_an_unconfirmed_equal_mail_counts_as_the_same(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    assert await database.read(lambda tx: repeats.unconfirmed(tx, "key", 999.0)) == ["S1"]
    assert await database.read(lambda tx: repeats.unconfirmed(tx, "key", 1001.0)) == []
    assert await database.read(lambda tx: repeats.unconfirmed(tx, "other", 999.0)) == []
    await database.write(lambda tx: repeats.confirm(tx, "S1", 1001.0))
    assert await database.read(lambda tx: repeats.unconfirmed(tx, "key", 999.0)) == []


async def test_listing_open_ended_by_state_and_number(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job(), job("S1-2")], "key"))
    await advance(database, "S1-2", JobState.FAILED)

    async def ids(**how: Any) -> list[str]:
        found, below = await database.read(lambda tx: overview.listing(tx, **how))
        assert not below
        return [job.id for job, _ in found]

    assert await ids() == ["S1-1"]
    assert await ids(ended=True) == ["S1-2", "S1-1"]
    assert await ids(state=JobState.FAILED) == ["S1-2"]
    assert await ids(state=JobState.ACCEPTED) == ["S1-1"]
    assert await ids(number="+12025550199") == []
    assert await ids(held=True) == []
    assert await database.read(overview.counts) == {"accepted": 1, "held": 0}


async def test_a_receipt_waits_for_its_job(database: Database) -> None:
    receipt = Receipt(99, Verdict.SUCCESS, "ok", "sent", 1000.0)
    assert await database.write(lambda tx: receipts.add(tx, receipt))
    assert not await database.write(lambda tx: receipts.add(tx, receipt))
    await database.write(lambda tx: jobs.add(tx, submission(), [job()], "key"))
    assert await database.read(lambda tx: receipts.of_job(tx, "S1-1")) == []
    assert await database.write(lambda tx: receipts.adopt(tx, 99, "S1-1")) == 1
    assert await database.read(lambda tx: receipts.of_job(tx, "S1-1")) == [receipt]
    await database.write(lambda tx: receipts.add(tx, Receipt(5, Verdict.FAILED, "busy", "", 10.0)))
    assert await database.write(lambda tx: receipts.purge_orphans(tx, 500.0)) == 1


async def test_purging_forgets_rows_before_files_and_open_jobs_never(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [job(), job("S1-2")], "key"))
    await database.write(lambda tx: jobs.set_document(tx, "S1-1", DOCUMENT))
    assert await database.read(files.named) == {"mail/S1": "the mail S1", "document/x": "the fax pages of mail S1"}
    await advance(database, "S1-1", JobState.FAILED)
    assert await database.write(lambda tx: retention.forget_documents(tx, 5000.0)) == []
    await advance(database, "S1-2", JobState.FAILED)
    assert sorted(await database.write(lambda tx: retention.forget_documents(tx, 5000.0))) == ["document/x", "mail/S1"]
    assert await database.read(files.named) == {}
    assert await database.write(lambda tx: retention.forget_history(tx, 900.0)) == 0
    assert await database.write(lambda tx: retention.forget_history(tx, 5000.0)) == 1
    assert await database.read(lambda tx: jobs.get(tx, "S1-1")) is None


async def test_a_mail_that_waits_to_be_sent_on_is_kept(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, submission(), [], "key"))
    waiting = OutgoingMail("M1", MailKind.POSTMASTER, "S1", "admin@example.org", "", "<m1@fax.local>", 1000.0)
    await database.write(lambda tx: outbox.add(tx, waiting))
    assert await database.write(lambda tx: retention.forget_documents(tx, 5000.0)) == []
    await database.write(lambda tx: outbox.sent(tx, "M1", 2000.0, "250"))
    assert await database.write(lambda tx: retention.forget_documents(tx, 5000.0)) == ["mail/S1"]


class JobMachine(RuleBasedStateMachine):
    """Whatever is asked in whatever order, the stored state follows the arrows and its events tell the same story."""

    jobs_ = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.tx = sqlite3.connect(":memory:", isolation_level=None)
        for _, script in migrations():
            self.tx.executescript(script)
        self.n = 0

    @rule(target=jobs_)
    def accept(self) -> str:
        self.n += 1
        sub = submission(f"S{self.n}")
        jobs.add(self.tx, sub, [job(f"S{self.n}-1", f"S{self.n}")], f"k{self.n}")
        return f"S{self.n}-1"

    @rule(id_=jobs_, to=st.sampled_from(list(JobState)))
    def try_change(self, id_: str, to: JobState) -> None:
        current = jobs.get(self.tx, id_)
        assert current is not None
        if to in TRANSITIONS[current.state]:
            assert jobs.change(self.tx, current, to, 2000.0, "x")
        else:
            with pytest.raises(ValueError, match="no way"):
                jobs.change(self.tx, current, to, 2000.0, "x")

    @rule(id_=jobs_, stale=st.sampled_from(list(JobState)), to=st.sampled_from(list(JobState)))
    def stale_change(self, id_: str, stale: JobState, to: JobState) -> None:
        current = jobs.get(self.tx, id_)
        assert current is not None
        if stale is not current.state and to in TRANSITIONS[stale]:
            assert not jobs.change(self.tx, dataclasses.replace(current, state=stale), to, 2000.0, "x")

    @invariant()
    def events_tell_the_state(self) -> None:
        for n in range(1, self.n + 1):
            current = jobs.get(self.tx, f"S{n}-1")
            assert current is not None
            events = jobs.events(self.tx, f"S{n}-1")
            assert events[-1].to_state == current.state
            for before, after in pairwise(events):
                assert before.to_state == after.from_state
                assert JobState(after.to_state) in TRANSITIONS[JobState(after.from_state)]

    def teardown(self) -> None:
        self.tx.close()


JobMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestJobMachine = pytest.mark.slow(JobMachine.TestCase)


def test_prepare_is_used_on_a_plain_connection(tmp_path: Path) -> None:
    tx = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    _prepare(tx)
    tx.close()
