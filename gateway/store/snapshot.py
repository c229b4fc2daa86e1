"""A copy of the database at one instant, made beside a running gateway, and what is asked of it before it is used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import Refused, TryLater
from gateway.store import files, origin
from gateway.store.db import Tx, migrations
from gateway.store.file import StoreBroken

DATABASE = "faxgateway.db"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a copy holds: the spool names that it names, faxes that have not ended, received ones, mails that wait."""

    files: frozenset[str]
    open_jobs: int
    received: int
    mails: int


def copy(source: Path, target: Path, why: str, now: float) -> Contents:
    """Copy a database in one read transaction (SQLite, ``VACUUM INTO``), check the copy, and mark it (see store.origin).

    Raises TryLater when it cannot be read or written, Refused when there is none, StoreBroken when it is damaged.
    """
    if not source.exists():
        raise Refused(f"there is no database {source}, so there is nothing to save")
    try:
        with closing(_connect(source, "ro")) as reader:
            reader.execute("SELECT count(*) FROM sqlite_schema")  # or VACUUM blames the copy for what it cannot read
            reader.execute("VACUUM INTO ?", (str(target),))
        target.chmod(0o600)
        with closing(_connect(target, "rw")) as made:
            _check(made)
            made.execute("BEGIN")
            origin.mark(made, why, now)
            made.execute("COMMIT")
            return _contents(made)
    except sqlite3.OperationalError as error:
        raise TryLater(f"the database {source} cannot be copied: {error}") from error
    except sqlite3.Error as error:
        raise StoreBroken(
            f"the database {source} is damaged, so no backup of it was made: {error}; keep those that you have"
        ) from error


def check(database: Path) -> Contents:
    """Read a copy. Raises Refused when it is damaged, or of a newer version than this."""
    try:
        with closing(_connect(database, "rw")) as tx:
            _check(tx)
            return _contents(tx)
    except sqlite3.Error as error:
        raise Refused(f"the database {database} is damaged: {error}") from error


def _connect(path: Path, mode: str) -> Tx:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=30.0, isolation_level=None)


def _check(tx: Tx) -> None:
    found = tx.execute("PRAGMA integrity_check(3)").fetchall()
    if found != [("ok",)]:
        raise Refused(f"the database is damaged: {found[0][0]}")
    schema, known = tx.execute("PRAGMA user_version").fetchone()[0], migrations()[-1][0]
    if not 0 < schema <= known:
        raise Refused(f"the database has schema {schema}, this version of faxgateway knows 1 to {known}")


def _contents(tx: Tx) -> Contents:
    jobs, received, mails = (
        int(tx.execute(sql).fetchone()[0])
        for sql in (
            "SELECT count(*) FROM job WHERE finished_at IS NULL",
            "SELECT count(*) FROM inbound WHERE state <> 'baseline'",
            "SELECT count(*) FROM outbox WHERE state = 'queued'",
        )
    )
    return Contents(frozenset(files.named(tx)), jobs, received, mails)
