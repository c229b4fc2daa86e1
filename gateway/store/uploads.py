"""Uploads: the documents of jobs that the provider keeps for us, by its ids of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from gateway.model import FaxJob, JobState
from gateway.store import jobs, origin, pauses
from gateway.store.db import Tx


def next_number(tx: Tx, job: FaxJob) -> int:
    """Number the upload about to be made, so that each has a name of its own at the provider."""
    row = tx.execute("UPDATE job SET uploads = uploads + 1 WHERE id = ? RETURNING uploads", (job.id,)).fetchone()
    return int(row[0])


def begun(tx: Tx, job_ids: Iterable[str]) -> dict[str, int]:
    """How many uploads were begun of each of these jobs that is known."""
    known = ((id_, tx.execute("SELECT uploads FROM job WHERE id = ?", (id_,)).fetchone()) for id_ in job_ids)
    return {id_: int(row[0]) for id_, row in known if row is not None}


def at_least(tx: Tx, job: str, n: int) -> None:
    """The provider has upload ``n`` of a job: the next one gets another name."""
    tx.execute("UPDATE job SET uploads = ? WHERE id = ? AND uploads < ?", (n, job, n))


def is_duplicate(error: Exception) -> bool:
    """Whether ``error`` says that two jobs would share one document at the provider."""
    return isinstance(error, sqlite3.IntegrityError) and "job.document_ref" in str(error)


def is_elsewhere(tx: Tx, job: FaxJob, account: str) -> bool:
    """Whether the document of a job was uploaded to another account than ``account``, where its id may be that of another."""
    uploaded = tx.execute(
        "SELECT max(id) FROM event WHERE job = ? AND from_state = ? AND to_state = ?",
        (job.id, JobState.PREPARED, JobState.UPLOADED),
    ).fetchone()[0]
    return int(uploaded) <= origin.moved_after(tx, account)


def again(tx: Tx, job: FaxJob, now: float) -> bool:
    """What was uploaded to another account is of no use. False when the job has moved on."""
    why = "the account at the provider may be another; uploading again"
    return jobs.change(tx, job, JobState.PREPARED, now, why, document_ref=None, next_at=job.next_at)


# --- whose they are ---------------------------------------------------------------------------------------------------


def job_of(tx: Tx, document_ref: int) -> FaxJob | None:
    """The job whose document the provider keeps, or is believed to keep, as ``document_ref``."""
    return next(iter(jobs.where(tx, "document_ref = ? AND erased_at IS NULL", document_ref)), None)


def owners(tx: Tx, document_refs: Iterable[int]) -> dict[int, str]:
    """Those of ``document_refs`` that are uploads we know of, deleted ones too, each with its job."""
    found = {}
    for ref in document_refs:
        row = tx.execute(
            "SELECT id FROM (SELECT 1 AS first, id, created_at AS at FROM job WHERE document_ref = ? AND erased_at IS NULL"
            " UNION ALL SELECT 2, job, started_at FROM attempt WHERE document_ref = ?) ORDER BY first, at DESC LIMIT 1",
            (ref, ref),
        ).fetchone()
        if row is not None:
            found[ref] = str(row[0])
    return found


# --- when they go -----------------------------------------------------------------------------------------------------


def is_needed(tx: Tx, document_ref: int) -> bool:
    """Whether a job that has not ended has this upload, or has sent it: the history is searched by it."""
    row = tx.execute(
        "SELECT 1 FROM job WHERE document_ref = ? AND erased_at IS NULL AND finished_at IS NULL UNION ALL SELECT 1 FROM job JOIN attempt"
        " ON attempt.job = job.id WHERE job.finished_at IS NULL AND attempt.document_ref = ? LIMIT 1",
        (document_ref, document_ref),
    ).fetchone()
    return row is not None


def erasable(tx: Tx, now: float, limit: int) -> list[FaxJob]:
    """Ended jobs whose document the provider still keeps, those whose time has come."""
    return jobs.where(tx, "erasable AND next_at <= ? ORDER BY next_at LIMIT ?", now, limit)


def next_erasable(tx: Tx) -> float | None:
    """When the first of them is due."""
    return pauses.next_due(tx, "job", "erasable")


def not_after(tx: Tx, latest: float, now: float) -> None:
    pauses.not_after(tx, "job", "erasable", latest, now)
