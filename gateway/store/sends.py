"""What the database knows of sends, when it is compared with what the provider's history shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.model import FaxJob, JobState
from gateway.store import jobs, receipts
from gateway.store.db import Tx

UNSURE = (JobState.ACCEPTED, JobState.PREPARED, JobState.UPLOADED, JobState.IN_DOUBT, JobState.SUBMITTED)


def unsure(tx: Tx, last: int) -> list[FaxJob]:
    """Jobs up to the row ``last`` that have not ended, held ones too: if the database is old, they may have been sent."""
    states = ", ".join("?" * len(UNSURE))
    condition = f"finished_at IS NULL AND rowid <= ? AND state IN ({states}) ORDER BY rowid"
    return jobs.where(tx, condition, last, *UNSURE)


def sent(tx: Tx, refs: Iterable[int]) -> set[int]:
    """Those of ``refs``, the provider's ids of faxes, that are sends we know of, and the newest of all."""
    newest = tx.execute("SELECT max(provider_ref) FROM attempt WHERE provider_ref IS NOT NULL").fetchone()[0]
    return jobs.known_refs(tx, refs) | ({newest} if newest is not None else set())


def found(tx: Tx, job: FaxJob, ref: int, now: float, what: str, **columns: Any) -> bool:
    """The last send of a job is the provider's fax ``ref``, as its history shows; False when the job has moved on."""
    if not jobs.change(tx, job, JobState.SUBMITTED, now, what, provider_ref=ref, **columns):
        return False
    jobs.end_attempt(tx, job.id, job.attempts, now, "found", provider_ref=ref)
    receipts.adopt(tx, ref, job.id)
    return True


def of_others(tx: Tx, job: FaxJob) -> set[int]:
    """The provider's ids of known sends of other jobs to the number of ``job``, of a document that had the id of its own."""
    rows = tx.execute(
        "SELECT provider_ref FROM attempt WHERE document_ref = ? AND number = ? AND job <> ? AND provider_ref IS NOT NULL",
        (job.document_ref, job.number.e164, job.id),
    )
    return {row[0] for row in rows}


def answered(tx: Tx) -> list[tuple[int, int]]:
    """Document and id, as the provider's answer told it, of the last hundred sends."""
    rows = tx.execute(
        "SELECT document_ref, provider_ref FROM attempt WHERE provider_ref IS NOT NULL AND outcome = 'sent'"
        " ORDER BY ended_event DESC LIMIT 100"
    )
    return rows.fetchall()
