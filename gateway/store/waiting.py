"""Jobs that wait: whose senders are to be told, and whose times a restart or a wrong clock has put too far away."""

from __future__ import annotations

from gateway.model import FaxJob, JobState
from gateway.store import jobs, pauses
from gateway.store.db import Tx

UNSENT = (JobState.ACCEPTED, JobState.PREPARED, JobState.UPLOADED)


def overdue(tx: Tx, before: float, limit: int) -> list[FaxJob]:
    """Jobs wanted before ``before`` that were not sent, held ones too, whose senders were not told, the oldest first."""
    return jobs.where(tx, "overdue AND wanted_at < ? ORDER BY wanted_at LIMIT ?", before, limit)


def too_old(tx: Tx, before: float, limit: int) -> list[FaxJob]:
    """Jobs wanted before ``before`` that wait for the provider, the oldest first; none that a person has let go since."""
    condition = "active AND state IN (?, ?) AND NOT approved AND wanted_at < ? ORDER BY wanted_at LIMIT ?"
    return jobs.where(tx, condition, JobState.PREPARED, JobState.UPLOADED, before, limit)


def of_identity(tx: Tx, identity: str) -> list[FaxJob]:
    """Jobs of a sender that were not sent, held ones too, the oldest first."""
    condition = (
        f"finished_at IS NULL AND state IN ({', '.join('?' * len(UNSENT))}) AND EXISTS (SELECT 1 FROM submission"
        " WHERE submission.id = job.submission AND identity = ?) ORDER BY rowid"
    )
    return jobs.where(tx, condition, *UNSENT, identity)


def open_ids(tx: Tx) -> list[str]:
    """All jobs that have not ended, held ones too, the newest first."""
    rows = tx.execute("SELECT id FROM job INDEXED BY job_open WHERE finished_at IS NULL ORDER BY rowid DESC")
    return [id_ for (id_,) in rows]


def held_of(tx: Tx, sender: str) -> list[str]:
    """Held jobs of an identity (user:NAME, ip:ADDRESS), or of an envelope sender, the oldest first."""
    rows = tx.execute(
        "SELECT job.id, identity, sender FROM job INDEXED BY job_held JOIN submission ON submission.id = job.submission"
        " WHERE hold <> '' ORDER BY job.rowid"
    )
    return [id_ for id_, identity, address in rows if sender == identity or sender.lower() == address.lower()]


def oldest_untold(tx: Tx) -> float | None:
    """When the oldest job was wanted that was not sent and whose sender was not told."""
    row = tx.execute("SELECT min(wanted_at) FROM job WHERE overdue").fetchone()
    return None if row[0] is None else float(row[0])


def told(tx: Tx, job: FaxJob, now: float) -> bool:
    """Note that the sender hears of the wait, in the transaction that queues the mail; False when he did before."""
    return bool(tx.execute("UPDATE job SET delayed_at = ? WHERE id = ? AND delayed_at IS NULL", (now, job.id)).rowcount)


def resume(tx: Tx, now: float, first: float, most: float) -> None:
    """See :func:`pauses.resume`; what was sent is asked about in its time."""
    waits = f"active AND state IN ({', '.join('?' * len(UNSENT))})"
    pauses.resume(tx, "job", waits, *UNSENT, tries="strikes", now=now, first=first, most=most)


def not_after(tx: Tx, latest: float, now: float) -> None:
    """See :func:`pauses.not_after`; what is wanted later waits until then."""
    tx.execute(
        "UPDATE job SET next_at = max(?, send_at) WHERE active AND next_at > max(?, send_at)",
        (min(now, latest), latest),
    )
