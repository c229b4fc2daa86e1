"""What the gateway itself has on disk, read beside it: its rows and its files."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KINDS = ("mail", "document", "inbound")


@dataclass(frozen=True, slots=True)
class Records:
    """Tables as dictionaries, and the files in the spool with their sizes in bytes."""

    submissions: dict[str, dict[str, Any]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    attempts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    inbound: list[dict[str, Any]] = field(default_factory=list)
    outbox: list[dict[str, Any]] = field(default_factory=list)
    bodies: dict[str, int] = field(default_factory=dict)  # bytes of mails that are kept in the database
    files: Mapping[str, int] = field(default_factory=dict)
    drafts: frozenset[str] = frozenset()

    @property
    def open_jobs(self) -> list[dict[str, Any]]:
        """Neither ended nor held."""
        return [job for job in self.jobs.values() if job["finished_at"] is None and not job["hold"]]

    @property
    def waiting_mails(self) -> list[dict[str, Any]]:
        return [mail for mail in self.outbox if mail["state"] == "queued"]

    @property
    def quiet(self) -> bool:
        """Nothing is under way any more."""
        pending = [fax for fax in self.inbound if fax["state"] == "pending"]
        return not self.open_jobs and not self.waiting_mails and not pending


@contextlib.contextmanager
def reading(database: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def read(state: Path) -> Records:
    """All of it, in one read transaction. A directory in which no gateway ever ran has nothing."""
    database = state / "faxgateway.db"
    if not database.exists():
        return Records()
    with reading(database) as db:
        db.execute("BEGIN")

        def rows(sql: str) -> list[dict[str, Any]]:
            return [dict(row) for row in db.execute(sql)]

        events: dict[str, list[dict[str, Any]]] = {}
        for row in rows("SELECT * FROM event ORDER BY id"):
            events.setdefault(row["job"], []).append(row)
        attempts: dict[str, list[dict[str, Any]]] = {}
        for row in rows("SELECT * FROM attempt ORDER BY job, n"):
            attempts.setdefault(row["job"], []).append(row)
        return Records(
            submissions={row["id"]: row for row in rows("SELECT * FROM submission")},
            jobs={row["id"]: row for row in rows("SELECT * FROM job")},
            events=events,
            attempts=attempts,
            inbound=rows("SELECT * FROM inbound"),
            outbox=rows("SELECT * FROM outbox"),
            bodies={
                row["submission"]: row["size"] for row in rows("SELECT submission, length(content) size FROM mail_body")
            },
            files={name: size for kind in KINDS for name, size in _sizes(state / "spool", kind)},
            drafts=frozenset(each.name for each in (state / "spool" / "tmp").iterdir()),
        )


def _sizes(spool: Path, kind: str) -> Iterator[tuple[str, int]]:
    for each in (spool / kind).iterdir():
        with contextlib.suppress(FileNotFoundError):  # the gateway may be at work
            yield f"{kind}/{each.name}", each.stat().st_size


def under_way(state: Path) -> int:
    """How many jobs, mails and received faxes have not come to their end; cheap enough to ask often."""
    with reading(state / "faxgateway.db") as db:
        return sum(
            db.execute(sql).fetchone()[0]
            for sql in (
                "SELECT count(*) FROM job WHERE finished_at IS NULL AND hold = ''",
                "SELECT count(*) FROM outbox WHERE state = 'queued'",
                "SELECT count(*) FROM inbound WHERE state = 'pending'",
            )
        )


def is_quiet(state: Path) -> bool:
    """Whether nothing is under way."""
    return (state / "faxgateway.db").exists() and not under_way(state)


def integrity(state: Path) -> str:
    """SQLite's own judgement of the database: "ok", or what is wrong."""
    with reading(state / "faxgateway.db") as db:
        return "; ".join(str(row[0]) for row in db.execute("PRAGMA integrity_check(5)"))
