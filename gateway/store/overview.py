"""What people are shown of all faxes: lists of them, and how many there are."""

from __future__ import annotations

from gateway.model import FaxJob, JobState, Submission
from gateway.store import jobs
from gateway.store.db import Tx

_SPAN = 10_000  # rows of the history that one listing looks at: some 10 ms


def listing(
    tx: Tx,
    *,
    state: JobState | None = None,
    number: str = "",
    sender: str = "",
    message_id: str = "",
    held: bool = False,
    ended: bool = False,
    limit: int = 1000,
    below: int | None = None,
) -> tuple[list[tuple[FaxJob, Submission]], int]:
    """Jobs with their mails, the newest first: open ones, ended ones too, or of one state.

    ``sender`` is an identity or an envelope sender; a Message-ID may lack its brackets.

    Only some of the history is looked at in one go; the second value is the ``below`` with which to go on, 0 at the end.
    """
    oldest, newest = tx.execute("SELECT (SELECT min(rowid) FROM job), (SELECT max(rowid) FROM job)").fetchone()
    if newest is None:
        return [], 0
    end = newest + 1 if below is None else below
    start = max(end - _SPAN, oldest)
    where, values = ["rowid >= ? AND rowid < ?"], [start, end]
    if state is not None or not ended:
        states = [each for each in JobState if (not each.terminal if state is None else each is state)]
        where.append(f"state IN ({', '.join('?' * len(states))})")
        values += states
        if not states[0].terminal:
            where.append("finished_at IS NULL")  # for which there is an index
    if number:
        where.append("number = ?")
        values.append(number)
    if held:
        where.append("hold <> ''")
    if sender or message_id:
        where.append(
            "EXISTS (SELECT 1 FROM submission s WHERE s.id = job.submission AND (? IN ('', s.identity) OR lower(?) = lower(s.sender))"
            " AND (? = '' OR trim(s.message_id, '<> ') = trim(?, '<> ')))"
        )
        values += [sender, sender, message_id, message_id]
    rows = tx.execute(
        f"SELECT rowid, id FROM job WHERE {' AND '.join(where)} ORDER BY rowid DESC LIMIT ?",
        (*values, limit),
    ).fetchall()
    found = []
    for _, job_id in rows:
        job = jobs.get(tx, job_id)
        assert job is not None
        found.append((job, jobs.submission_of(tx, job)))
    more = rows[-1][0] if len(rows) == limit else start
    return found, more if more > oldest else 0


def counts(tx: Tx) -> dict[str, int]:
    """Open jobs by state; held ones under ``held``."""
    rows = tx.execute("SELECT state, count(*) FROM job WHERE active GROUP BY state")
    result = {str(state): int(number) for state, number in rows}
    result["held"] = tx.execute("SELECT count(*) FROM job WHERE hold <> '' AND finished_at IS NULL").fetchone()[0]
    return result
