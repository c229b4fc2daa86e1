"""What a step costs with few and with many jobs in the table: accept, look for what is due, count, and a start.

python bench/long_queue.py --jobs 1000,100000
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness

from gateway.model import FaxJob, FaxNumber, JobState, Submission
from gateway.store import files, jobs, overview, uploads, waiting
from gateway.store.db import Database, Tx

_NOW = 1_795_428_900.0
_QUEUED = 100  # each so many jobs one has not ended


def main() -> None:
    options = harness.parser(__doc__, rounds=30)
    options.add_argument("--jobs", default="1000,100000", help="in the table (default %(default)s)")
    chosen = options.parse_args()
    columns: dict[int, dict[str, float]] = {}
    with harness.work_directory(chosen.workdir) as folder:
        for count in map(int, chosen.jobs.split(",")):
            columns[count] = asyncio.run(_measure(folder / f"{count}.db", count, chosen.rounds))
    first = next(iter(columns.values()))
    rows: list[dict[str, Any]] = [
        {"step": step, **{f"{count} jobs, us": column[step] for count, column in columns.items()}} for step in first
    ]
    harness.table(rows)
    harness.save(chosen.out, rows)


async def _measure(path: Path, count: int, rounds: int) -> dict[str, float]:
    database = Database(path)
    await database.open()
    for start in range(0, count, 1000):
        await database.write(lambda tx, start=start: _fill(tx, start, min(1000, count - start)))  # type: ignore[misc]
    await database.close()
    begun = time.perf_counter()
    await database.open()
    found = {"start": (time.perf_counter() - begun) * 1e6}
    serial = iter(range(count, count + 10 * rounds))
    steps: dict[str, Callable[[Tx], Any]] = {
        "accept": lambda tx: _add(tx, next(serial)),
        "due": lambda tx: jobs.due(tx, JobState.ACCEPTED, _NOW + 1e9, 8),
        "next due": lambda tx: jobs.next_due(tx, [JobState.ACCEPTED]),
        "next erasable": uploads.next_erasable,
        "oldest untold": waiting.oldest_untold,
        "counts": overview.counts,
        "listing of 100": lambda tx: overview.listing(tx, limit=100),
        "file names": files.named,
    }
    for name, step in steps.items():
        times = []
        for _ in range(rounds):
            begun = time.perf_counter()
            await (database.write if name == "accept" else database.read)(step)
            times.append(time.perf_counter() - begun)
        found[name] = harness.median(times) * 1e6
    await database.close()
    return found


def _fill(tx: sqlite3.Connection, start: int, count: int) -> None:
    for number in range(start, start + count):
        _add(tx, number)
        if number % _QUEUED:
            tx.execute("UPDATE job SET state = 'delivered', finished_at = ? WHERE id = ?", (_NOW, f"S{number:09}-1"))


def _add(tx: sqlite3.Connection, number: int) -> None:
    at = _NOW + number
    submission = Submission(
        id=f"S{number:09}", created_at=at, mail_file="database", size=4000, sender="ann@example.org",
        identity="ip:127.0.0.1", results_to="ann@example.org", client="desk", subject="papers",
        message_id=f"<{number}@example.org>", date="",
    )  # fmt: skip
    job = FaxJob(
        id=f"{submission.id}-1", submission=submission.id, rcpt="+15552368001@fax.local",
        number=FaxNumber("+15552368001"), state=JobState.ACCEPTED, created_at=at, updated_at=at, next_at=at,
    )  # fmt: skip
    jobs.add(tx, submission, [job], f"key{number}")


if __name__ == "__main__":
    main()
