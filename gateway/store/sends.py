"""What the database knows of sends, when it is compared with what the provider's history shows."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.model import FaxJob, JobState
from gateway.store import jobs, repeats
from gateway.store.db import Tx

UNSURE = (JobState.ACCEPTED, JobState.PREPARED, JobState.UPLOADED, JobState.IN_DOUBT, JobState.SUBMITTED)


def unsure(tx: Tx, last: int) -> list[FaxJob]:
    """Jobs up to the row ``last`` that have not ended, held ones too: if the database is old, they may have been sent."""
    rows = tx.execute(
        f"SELECT id FROM job WHERE finished_at IS NULL AND rowid <= ? AND state IN ({', '.join('?' * len(UNSURE))})"
        " ORDER BY rowid",
        (last, *UNSURE),
    ).fetchall()
    return [job for (id_,) in rows if (job := jobs.get(tx, id_)) is not None]


def sent(tx: Tx, refs: Iterable[int]) -> set[int]:
    """Those of ``refs``, the provider's ids of faxes, that are sends we know of, and the newest of all."""
    newest = tx.execute("SELECT max(provider_ref) FROM attempt WHERE provider_ref IS NOT NULL").fetchone()[0]
    return jobs.known_refs(tx, refs) | ({newest} if newest is not None else set())


def documents(tx: Tx, refs: Iterable[int]) -> dict[int, str]:
    """Those of ``refs``, the provider's ids of documents, that are uploads we know of, each with its job."""
    found = {}
    for ref in refs:
        row = tx.execute(
            "SELECT id FROM (SELECT 1 AS first, id, created_at AS at FROM job WHERE document_ref = ? AND erased_at IS NULL"
            " UNION ALL SELECT 2, job, started_at FROM attempt WHERE document_ref = ?) ORDER BY first, at DESC LIMIT 1",
            (ref, ref),
        ).fetchone()
        if row is not None:
            found[ref] = str(row[0])
    return found


def by_document(tx: Tx, document_ref: int) -> FaxJob | None:
    """The job whose document the provider keeps, or is believed to keep, as ``document_ref``."""
    row = tx.execute("SELECT id FROM job WHERE document_ref = ? AND erased_at IS NULL", (document_ref,)).fetchone()
    return None if row is None else jobs.get(tx, row[0])


def of_others(tx: Tx, job: FaxJob) -> set[int]:
    """The provider's ids of known sends of other jobs to the number of ``job``, of a document that had the id of its own."""
    rows = tx.execute(
        "SELECT provider_ref FROM attempt WHERE document_ref = ? AND number = ? AND job <> ? AND provider_ref IS NOT NULL",
        (job.document_ref, job.number.e164, job.id),
    )
    return {row[0] for row in rows}


def uploads(tx: Tx, job_ids: Iterable[str]) -> dict[str, int]:
    """How many uploads were begun of each of these jobs that is known."""
    known = ((id_, tx.execute("SELECT uploads FROM job WHERE id = ?", (id_,)).fetchone()) for id_ in job_ids)
    return {id_: int(row[0]) for id_, row in known if row is not None}


def at_least(tx: Tx, job: str, n: int) -> None:
    """The provider has upload ``n`` of a job: the next one gets another name."""
    tx.execute("UPDATE job SET uploads = ? WHERE id = ? AND uploads < ?", (n, job, n))


def upload_again(tx: Tx, now: float) -> None:
    """What was uploaded to another account is of no use: its ids may be those of other documents."""
    for job in jobs.in_state(tx, JobState.UPLOADED):
        why = "the account at the provider may be another; uploading again"
        jobs.change(tx, job, JobState.PREPARED, now, why, document_ref=None, next_at=job.next_at)


def last_accepted_at(tx: Tx) -> float:
    """When the newest mail was accepted; 0 for none."""
    return repeats.last_accepted(tx) or 0.0
