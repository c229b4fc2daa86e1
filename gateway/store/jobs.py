"""Submissions, their jobs, the attempts to send them, and the history of every change.

A job changes state only through :func:`change`: a compare-and-set along an arrow of ``TRANSITIONS`` that writes its
event in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any

from gateway.model import (
    NEEDS_APPROVAL,
    TRANSITIONS,
    Attempt,
    FaxDocument,
    FaxJob,
    FaxNumber,
    FaxOptions,
    FaxPage,
    JobState,
    LedgerEntry,
    Notify,
    Submission,
)
from gateway.store import spending
from gateway.store.db import Tx

_SUBMISSION = (
    "id, created_at, mail_file, size, sender, identity, results_to, client, subject, message_id, date, envid, ret,"
    " address, route"
)
_JOB = (
    "id, submission, rcpt, number, state, created_at, updated_at, next_at, hold, approved, strikes, attempts, redials,"
    " document_file, document_pages, document_size, document_sha256, document_seconds, document_ledger,"
    " document_sheets, document_ref, provider_ref, tsi, options, priority, send_at, orcpt, notify, cost, outcome, last_error"
)
_ASKED = tuple(each.name for each in fields(FaxOptions) if each.name not in ("priority", "send_at"))
_PRIORITIES = (1, 0, -1)
RELEASED = "released"  # what the event of it says
_APPROVED, _LET_GO = 1, 2  # what the column "approved" says of a job that a person has released: see release()
SAID_ABSENT = "the operator says it was not sent"  # of an attempt that ended by the word of a person
_SETTABLE = {
    "next_at", "hold", "strikes", "polls", "attempts", "redials", "document_ref", "provider_ref",
    "erased_at", "cost", "outcome", "last_error",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's history."""

    at: float
    from_state: str
    to_state: str
    what: str


def _job(row: tuple[Any, ...]) -> FaxJob:
    (id_, submission, rcpt, number, state, created_at, updated_at, next_at, hold, approved, strikes, attempts, redials,
     file, pages, size, sha256, seconds, ledger, sheets,
     document_ref, provider_ref, tsi, options, priority, send_at, orcpt, notify, cost, outcome, last_error) = row  # fmt: skip
    document = None
    if sha256 is not None:
        entries = tuple(LedgerEntry(**entry) for entry in json.loads(ledger))
        weighed = tuple(FaxPage.of(each) for each in json.loads(sheets))
        document = FaxDocument(file, pages, size, sha256, seconds, entries, weighed)
    return FaxJob(
        id=id_, submission=submission, rcpt=rcpt, number=FaxNumber(number), state=JobState(state),
        created_at=created_at, updated_at=updated_at, next_at=next_at, hold=hold, released=approved != 0,
        approved=approved == _APPROVED, strikes=strikes, attempts=attempts, redials=redials, document=document, document_ref=document_ref, provider_ref=provider_ref, tsi=tsi,
        options=FaxOptions(**json.loads(options), priority=priority, send_at=send_at), orcpt=orcpt,
        notify=frozenset(Notify(word) for word in notify.split()), cost=None if cost is None else Decimal(cost),
        outcome=outcome, last_error=last_error,
    )  # fmt: skip


def _attempt(row: tuple[Any, ...]) -> Attempt:
    job, n, document_ref, number, started_at, ended_at, outcome, provider_ref, cost, detail = row
    return Attempt(
        job, n, document_ref, FaxNumber(number), started_at, ended_at, outcome, provider_ref,
        None if cost is None else Decimal(cost), detail,
    )  # fmt: skip


def _options(options: FaxOptions) -> str:
    """What was asked for and has no column of its own, as JSON."""
    return json.dumps({name: value for name in _ASKED if (value := getattr(options, name)) not in ("", None)})


# --- accepting --------------------------------------------------------------------------------------------------------


def add(tx: Tx, submission: Submission, jobs: Sequence[FaxJob], dedupe_key: str) -> None:
    """Store an accepted mail and its jobs."""
    tx.execute(
        f"INSERT INTO submission ({_SUBMISSION}, dedupe_key) VALUES ({', '.join('?' * 16)})",
        (
            submission.id, submission.created_at, submission.mail_file, submission.size, submission.sender,
            submission.identity, submission.results_to, submission.client, submission.subject, submission.message_id,
            submission.date, submission.envid, submission.ret, submission.address, submission.route, dedupe_key,
        ),
    )  # fmt: skip
    for job in jobs:
        tx.execute(
            "INSERT INTO job (id, submission, rcpt, number, state, created_at, updated_at, next_at, tsi, options, priority,"
            " send_at, orcpt, notify) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                job.id, job.submission, job.rcpt, job.number.e164, job.state, job.created_at, job.updated_at,
                job.next_at, job.tsi, _options(job.options), job.options.priority, job.options.send_at,
                job.orcpt, " ".join(sorted(job.notify)),
            ),
        )  # fmt: skip
        _event(tx, job.id, job.created_at, "", job.state, f"accepted for {job.number}")


def known_refs(tx: Tx, refs: Iterable[int]) -> set[int]:
    """Those of ``refs``, the provider's ids of faxes, that are sends we know of, of whatever job."""
    known = (tx.execute("SELECT provider_ref FROM attempt WHERE provider_ref = ?", (ref,)).fetchone() for ref in refs)
    return {row[0] for row in known if row is not None}


# --- changing ---------------------------------------------------------------------------------------------------------


def _event(tx: Tx, job: str, at: float, from_state: str, to_state: str, what: str) -> None:
    tx.execute(
        "INSERT INTO event (job, at, from_state, to_state, what) VALUES (?, ?, ?, ?, ?)",
        (job, at, from_state, to_state, what[:1000]),
    )


def note(tx: Tx, job: str, now: float, what: str) -> None:
    """Write a line into a job's history that changes no state."""
    state = tx.execute("SELECT state FROM job WHERE id = ?", (job,)).fetchone()
    if state is not None:
        _event(tx, job, now, state[0], state[0], what)


def change(tx: Tx, job: FaxJob, to: JobState, now: float, what: str, **columns: Any) -> bool:
    """Move a job along an arrow, if it still is in the state ``job`` says; False when it is not.

    One that was sent since and is in that state again is another story: what was found out is of an earlier send.

    A hold does not hinder it: what has happened is recorded. That nothing new is begun is the business of
    :func:`strike`, :func:`due` and :func:`begin_attempt`.

    ``columns`` are set with it; ``strikes``, ``polls`` and ``next_at`` start anew unless given, and a job that ends is
    held no more. Raises ValueError for an arrow that TRANSITIONS does not have.
    """
    if to not in TRANSITIONS[job.state]:
        raise ValueError(f"no way from {job.state} to {to}")
    values = {"strikes": 0, "polls": 0, "next_at": now, **({"hold": ""} if to.terminal else {}), **columns}
    unknown = values.keys() - _SETTABLE
    assert not unknown, unknown
    if isinstance(values.get("cost"), Decimal):
        values["cost"] = str(values["cost"])
    assignments = "".join(f", {name} = ?" for name in values)
    changed = tx.execute(
        f"UPDATE job SET state = ?, updated_at = ?, finished_at = ?{assignments} WHERE id = ? AND state = ? AND attempts = ?",
        (to, now, now if to.terminal else None, *values.values(), job.id, job.state, job.attempts),
    ).rowcount
    if changed:
        _event(tx, job.id, now, job.state, to, what)
    return bool(changed)


def set_document(tx: Tx, job: str, document: FaxDocument) -> None:
    """Bind a finished document to a job, in the transaction that makes it prepared."""
    tx.execute(
        "UPDATE job SET document_file = ?, document_pages = ?, document_size = ?, document_sha256 = ?,"
        " document_seconds = ?, document_ledger = ?, document_sheets = ? WHERE id = ?",
        (
            document.file, document.pages, document.size, document.sha256, document.seconds,
            json.dumps([asdict(entry) for entry in document.ledger]),
            json.dumps([asdict(page) for page in document.sheets]), job,
        ),
    )  # fmt: skip


def touch(tx: Tx, job: FaxJob, now: float, what: str = "", **columns: Any) -> bool:
    """Set columns without a change of state; False when the job has left ``job.state``."""
    assert not columns.keys() - _SETTABLE, columns
    assignments = ", ".join(f"{name} = ?" for name in columns)
    changed = tx.execute(
        f"UPDATE job SET updated_at = ?{', ' if assignments else ''}{assignments} WHERE id = ? AND state = ?",
        (now, *columns.values(), job.id, job.state),
    ).rowcount
    if changed and what:
        _event(tx, job.id, now, job.state, job.state, what)
    return bool(changed)


def strike(tx: Tx, job: FaxJob, now: float, again_at: float) -> int:
    """Count a try of the present step before it is begun, due again at ``again_at`` if it never ends.

    Returns the number of tries, this one included; 0 when the job has moved on or is held.
    """
    row = tx.execute(
        "UPDATE job SET strikes = strikes + 1, next_at = ?, updated_at = ? WHERE id = ? AND state = ? AND hold = ''"
        " RETURNING strikes",
        (again_at, now, job.id, job.state),
    ).fetchone()
    return 0 if row is None else int(row[0])


def strike_mail(tx: Tx, job: FaxJob, now: float, again_at: float) -> int:
    """As :func:`strike`, for a step that is taken once for all jobs of a mail: they are struck and put off together.

    Otherwise a mail that kills whoever prepares it would do so as often as it has recipients. An error that is there
    later is of this try: without one, whoever made it ended.
    """
    tries = strike(tx, job, now, again_at)
    if tries:
        tx.execute(
            "UPDATE job SET strikes = ?, next_at = ?, updated_at = ?, last_error = ''"
            " WHERE submission = ? AND state = ? AND hold = ''",
            (tries, again_at, now, job.submission, job.state),
        )
    return tries


def put_off_mail(tx: Tx, job: FaxJob, now: float, again_at: float, why: str, *, strikes: int) -> None:
    """The step taken for all jobs of a mail did not succeed now: they wait together."""
    tx.execute(
        "UPDATE job SET strikes = ?, next_at = ?, updated_at = ?, last_error = ? WHERE submission = ? AND state = ?",
        (strikes, again_at, now, why, job.submission, job.state),
    )


def count_poll(tx: Tx, job: FaxJob, waits: Sequence[float], now: float) -> int:
    """Count a question to the provider before it is asked, and set the time of the next by ``waits`` (the last repeats).

    Returns how many, this one included, or 0 when the job has moved on or is held.
    """
    row = tx.execute(
        "UPDATE job SET polls = polls + 1 WHERE id = ? AND state = ? AND hold = '' RETURNING polls", (job.id, job.state)
    ).fetchone()
    if row is None:
        return 0
    polls = int(row[0])
    tx.execute("UPDATE job SET next_at = ? WHERE id = ?", (now + waits[min(polls, len(waits)) - 1], job.id))
    return polls


def hold(tx: Tx, job: FaxJob, now: float, why: str, *, instead: bool = False) -> bool:
    """Stop a job that is not terminal until a person releases it; ``instead``: also one that is held for another reason, which
    stays told. As with :func:`change`, one that was sent since is another story.
    """
    if job.state.terminal:
        return False
    if instead and job.hold:
        why = f"{why}; it was held before: {job.hold}"
    changed = tx.execute(
        "UPDATE job SET hold = ?, updated_at = ? WHERE id = ? AND state = ? AND attempts = ? AND (hold = '' OR ?)",
        (why, now, job.id, job.state, job.attempts, instead),
    ).rowcount
    if changed:
        _event(tx, job.id, now, job.state, job.state, f"held: {why}")
    return bool(changed)


def release(tx: Tx, job: FaxJob, now: float) -> bool:
    """Let a held job go on now, or one that was not sent when its sender wants it, with fresh tries.

    Who releases it has looked at it: nothing unusual stops it again. It is approved where that was what it was held for;
    of one that was held for another reason it may not have been asked yet whether it needs an approver.
    """
    is_sent = job.state in (JobState.SUBMITTED, JobState.IN_DOUBT)  # be it before its time, by a person's word
    changed = tx.execute(
        "UPDATE job SET approved = CASE WHEN approved = ? OR substr(hold, 1, length(?)) = ? THEN ? ELSE ? END, hold = '',"
        " strikes = 0, next_at = max(?, iif(?, 0, send_at)), updated_at = ? WHERE id = ? AND state = ? AND hold <> ''",
        (_APPROVED, NEEDS_APPROVAL, NEEDS_APPROVAL, _APPROVED, _LET_GO, now, is_sent, now, job.id, job.state),
    ).rowcount
    if changed:
        _event(tx, job.id, now, job.state, job.state, RELEASED)
    return bool(changed)


# --- attempts ---------------------------------------------------------------------------------------------------------

_ATTEMPT = "job, n, document_ref, number, started_at, ended_at, outcome, provider_ref, cost, detail"


def begin_attempt(tx: Tx, job: FaxJob, now: float, cost: Decimal | None = None) -> Attempt | None:
    """The intent of a send: uploaded -> submitting with its attempt row. None when the job is not free to send."""
    assert job.document_ref is not None
    held = tx.execute("SELECT hold FROM job WHERE id = ?", (job.id,)).fetchone()
    if held is None or held[0] != "":
        return None
    n = job.attempts + 1
    if not change(tx, job, JobState.SUBMITTING, now, f"attempt {n} begun", attempts=n, cost=cost):
        return None
    attempt = Attempt(job.id, n, job.document_ref, job.number, now)
    tx.execute(
        "INSERT INTO attempt (job, n, document_ref, number, started_at, cost, begun_event)"
        " VALUES (?, ?, ?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM event))",
        (job.id, n, attempt.document_ref, attempt.number.e164, now, None if cost is None else str(cost)),
    )
    return attempt


def end_attempt(
    tx: Tx,
    job: str,
    n: int,
    now: float,
    outcome: str,
    *,
    provider_ref: int | None = None,
    cost: Decimal | None = None,
    detail: str = "",
) -> None:
    """Record what became of attempt ``n``, and what it is known to have cost."""
    spending.settle(tx, job, n, outcome, cost)
    tx.execute(
        "UPDATE attempt SET ended_at = ?, outcome = ?, provider_ref = ?, cost = coalesce(?, cost), detail = ?,"
        " ended_event = (SELECT coalesce(max(id), 0) FROM event) WHERE job = ? AND n = ?",
        (now, outcome, provider_ref, None if cost is None else str(cost), detail[:1000], job, n),
    )


def say_absent(tx: Tx, job: FaxJob) -> None:
    """By a person's word the last send of a job, to which the provider never said yes, was none."""
    tx.execute(
        "UPDATE attempt SET outcome = iif(outcome = 'unknown', 'absent', outcome), detail = ?"
        " WHERE job = ? AND n = ? AND outcome IN ('unknown', 'absent', 'not_sent')",
        (SAID_ABSENT, job.id, job.attempts),
    )


def good_poll(tx: Tx, job: str, n: int, boot: str, at: float) -> tuple[int, float]:
    """Count a reading of the history that proves attempt ``n`` absent, ``at`` seconds into the run ``boot`` of the machine.

    Returns how many there were, and over how many seconds they are spread. Those between two runs are not known.
    """
    row = tx.execute(
        "UPDATE attempt SET good_polls = good_polls + 1, looked_boot = ?, looked_at = ?,"
        " good_seconds = good_seconds + iif(looked_boot = ?, max(0, ? - looked_at), 0)"
        " WHERE job = ? AND n = ? RETURNING good_polls, good_seconds",
        (boot, at, boot, at, job, n),
    ).fetchone()
    return int(row[0]), float(row[1])


def attempts(tx: Tx, job: str) -> list[Attempt]:
    """All attempts of a job, the first first."""
    rows = tx.execute(f"SELECT {_ATTEMPT} FROM attempt WHERE job = ? ORDER BY n", (job,))
    return [_attempt(row) for row in rows]


# --- finding ----------------------------------------------------------------------------------------------------------


def where(tx: Tx, condition: str, *values: Any) -> list[FaxJob]:
    """Jobs that meet a condition in SQL; their order, and how many, may stand behind it."""
    return [_job(row) for row in tx.execute(f"SELECT {_JOB} FROM job WHERE {condition}", values)]


def get(tx: Tx, job: str) -> FaxJob | None:
    return next(iter(where(tx, "id = ?", job)), None)


def get_submission(tx: Tx, submission: str) -> Submission | None:
    row = tx.execute(f"SELECT {_SUBMISSION} FROM submission WHERE id = ?", (submission,)).fetchone()
    return None if row is None else Submission(*row)


def submission_of(tx: Tx, job: FaxJob) -> Submission:
    """The mail that a job on record is of."""
    submission = get_submission(tx, job.submission)
    assert submission is not None, "its row is forgotten after those of its jobs"
    return submission


def of_submission(tx: Tx, submission: str) -> list[FaxJob]:
    return where(tx, "submission = ? ORDER BY rowid", submission)


def by_provider_ref(tx: Tx, provider_ref: int) -> FaxJob | None:
    """The job one of whose attempts the provider calls ``provider_ref``."""
    return next(iter(where(tx, "id = (SELECT job FROM attempt WHERE provider_ref = ?)", provider_ref)), None)


def due(tx: Tx, state: JobState, now: float, limit: int) -> list[FaxJob]:
    """Jobs of one state whose time has come, those of high priority first, of each the longest waiting."""
    found: list[FaxJob] = []
    for priority in _PRIORITIES:  # a query each: the index then leads to those that are due alone
        condition = "active AND state = ? AND priority = ? AND next_at <= ? ORDER BY next_at, rowid LIMIT ?"
        found += where(tx, condition, state, priority, now, limit - len(found))
    return found


def next_due(tx: Tx, states: Iterable[JobState]) -> float | None:
    """When the next job of these states is due."""
    times = [
        tx.execute(
            "SELECT min(next_at) FROM job WHERE active AND state = ? AND priority = ?", (state, priority)
        ).fetchone()[0]
        for state in states
        for priority in _PRIORITIES
    ]
    return min((time for time in times if time is not None), default=None)


def in_state(tx: Tx, state: JobState) -> list[FaxJob]:
    """Every job of a state that is not terminal, held ones too."""
    return where(tx, "state = ? AND finished_at IS NULL ORDER BY rowid", state)


def events(tx: Tx, job: str) -> list[Event]:
    rows = tx.execute("SELECT at, from_state, to_state, what FROM event WHERE job = ? ORDER BY id", (job,))
    return [Event(*row) for row in rows]
