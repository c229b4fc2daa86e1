"""The sandbox's own database: documents, executions, callbacks, received faxes, numbers. Survives a restart.

An execution is recorded at the moment the fax is executed and never looked at when an answer is made to lie, so it tells
what really happened. Statements are short and run on the caller's thread; one process has the database.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

Row = dict[str, Any]

# Ids of different things start apart, so that a document's id taken for a job's is noticed at once.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY CHECK (id = 1), cents INTEGER NOT NULL);
INSERT OR IGNORE INTO account VALUES (1, 10000);
CREATE TABLE IF NOT EXISTS users (
  email TEXT PRIMARY KEY, salt BLOB NOT NULL, password BLOB NOT NULL, api_key TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS documents (
  id INTEGER PRIMARY KEY AUTOINCREMENT, filename TEXT NOT NULL, pages INTEGER NOT NULL, size INTEGER NOT NULL,
  sha256 TEXT NOT NULL, created_at REAL NOT NULL, deleted_at REAL);
CREATE TABLE IF NOT EXISTS executions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL, document TEXT NOT NULL, fax_number TEXT NOT NULL,
  tsi_number TEXT NOT NULL, pages INTEGER NOT NULL, outcome TEXT NOT NULL, msg_code TEXT NOT NULL, line TEXT NOT NULL,
  line_seconds REAL NOT NULL, sha256 TEXT NOT NULL, delete_file INTEGER NOT NULL, executed_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS progress (
  job INTEGER PRIMARY KEY REFERENCES executions, due_at REAL NOT NULL, finished_at REAL);
CREATE TABLE IF NOT EXISTS callbacks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, fields TEXT NOT NULL, shape TEXT NOT NULL, file TEXT,
  state TEXT NOT NULL, due_at REAL NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
  callback INTEGER NOT NULL REFERENCES callbacks, at REAL NOT NULL, status INTEGER, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS inbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, number TEXT NOT NULL, sender TEXT NOT NULL,
  pages INTEGER NOT NULL, size INTEGER NOT NULL, created_at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS numbers (
  id INTEGER PRIMARY KEY AUTOINCREMENT, number TEXT NOT NULL UNIQUE, did_group_id INTEGER NOT NULL,
  country_code TEXT NOT NULL, area_code TEXT NOT NULL, city_name TEXT, created_at REAL NOT NULL);
"""
_EXECUTE = """
INSERT INTO executions (document_id, document, fax_number, tsi_number, pages, outcome, msg_code, line, line_seconds,
  sha256, delete_file, executed_at)
VALUES (:document_id, :document, :fax_number, :tsi_number, :pages, :outcome, :msg_code, :line, :line_seconds,
  :sha256, :delete_file, :executed_at)
"""
_FIRST_IDS = {"documents": 3000, "executions": 200_000, "inbox": 700, "numbers": 40}


class Store:
    """``sandbox.db`` in a directory that is created when missing."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(directory / "sandbox.db", isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        for table, first in _FIRST_IDS.items():
            self._db.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)", (table, first, table),
            )  # fmt: skip

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _one(self, sql: str, *values: Any) -> Row | None:
        row = self._db.execute(sql, values).fetchone()
        return dict(row) if row else None

    def _all(self, sql: str, *values: Any) -> list[Row]:
        return [dict(row) for row in self._db.execute(sql, values)]

    def _insert(self, sql: str, *values: Any) -> int:
        identifier = self._db.execute(sql, values).lastrowid
        assert identifier is not None
        return identifier

    # Account

    def balance(self) -> float:
        """Credit of the account."""
        return int(self._db.execute("SELECT cents FROM account").fetchone()[0]) / 100

    def add_user(self, email: str, salt: bytes, password: bytes, api_key: str) -> bool:
        """Register somebody; False when the address is taken."""
        return self._db.execute(
            "INSERT OR IGNORE INTO users VALUES (?, ?, ?, ?)", (email, salt, password, api_key)
        ).rowcount == 1  # fmt: skip

    def user(self, email: str) -> Row | None:
        """The registered user of this address."""
        return self._one("SELECT * FROM users WHERE email = ?", email)

    def is_user_key(self, api_key: str) -> bool:
        """Whether a registered user has this key."""
        return self._one("SELECT 1 FROM users WHERE api_key = ?", api_key) is not None

    # Documents

    def add_document(self, filename: str, pages: int, size: int, sha256: str, now: float) -> int:
        """Keep the record of an upload; ``sha256`` and ``size`` are of the bytes as uploaded."""
        return self._insert(
            "INSERT INTO documents (filename, pages, size, sha256, created_at) VALUES (?, ?, ?, ?, ?)",
            filename, pages, size, sha256, now,
        )  # fmt: skip

    def document(self, identifier: int) -> Row | None:
        """A document that is not deleted."""
        return self._one("SELECT * FROM documents WHERE id = ? AND deleted_at IS NULL", identifier)

    def documents(self, limit: int, page: int) -> list[Row]:
        """Documents that are not deleted, newest first."""
        return self._all(
            "SELECT * FROM documents WHERE deleted_at IS NULL ORDER BY id DESC LIMIT ? OFFSET ?",
            limit, (page - 1) * limit,
        )  # fmt: skip

    def delete_document(self, identifier: int, now: float) -> bool:
        """Mark a document deleted; its faxes stay in the history. False when there is none."""
        return self._db.execute(
            "UPDATE documents SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL", (now, identifier)
        ).rowcount == 1  # fmt: skip

    # Executions

    def execute(self, fax: Row, cents: int, due_at: float) -> int:
        """Record that a fax is executed and debit its price, in one transaction; returns the job's id."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            job = int(self._db.execute(_EXECUTE, fax).lastrowid or 0)
            self._db.execute("INSERT INTO progress VALUES (?, ?, NULL)", (job, due_at))
            self._db.execute("UPDATE account SET cents = cents - ?", (cents,))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        return job

    def job(self, identifier: int) -> Row | None:
        """An execution with its ``finished_at`` (None while it is being sent)."""
        return self._one("SELECT * FROM executions JOIN progress ON job = id WHERE id = ?", identifier)

    def jobs(self, limit: int = -1, page: int = 1, before: float = float("inf")) -> list[Row]:
        """Executions up to an instant, newest first."""
        return self._all(
            "SELECT * FROM executions JOIN progress ON job = id WHERE executed_at <= ? "
            "ORDER BY id DESC LIMIT ? OFFSET ?", before, limit, max(0, (page - 1) * limit),
        )  # fmt: skip

    def running(self) -> list[Row]:
        """Executions that are still being sent."""
        return self._all("SELECT * FROM executions JOIN progress ON job = id WHERE finished_at IS NULL ORDER BY id")

    def finish(self, job: int, now: float) -> bool:
        """The call is over; False when that was known."""
        return self._db.execute(
            "UPDATE progress SET finished_at = ? WHERE job = ? AND finished_at IS NULL", (now, job)
        ).rowcount == 1  # fmt: skip

    # Callbacks

    def add_callback(
        self, kind: str, fields: dict[str, str], now: float, *, shape: str = "urlencoded", file: str | None = None,
        state: str = "waiting", due_at: float | None = None,
    ) -> int:  # fmt: skip
        """Keep a callback that is to go out (or, in state ``lost``, that never will)."""
        return self._insert(
            "INSERT INTO callbacks (kind, fields, shape, file, state, due_at, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            kind, json.dumps(fields), shape, file, state, now if due_at is None else due_at, now,
        )  # fmt: skip

    def callback(self, identifier: int) -> Row:
        """One callback with the answers it got."""
        row = self._one("SELECT * FROM callbacks WHERE id = ?", identifier)
        assert row is not None
        return self._with_answers(row)

    def callbacks(self) -> list[Row]:
        """Every callback, oldest first, with the answers it got."""
        return [self._with_answers(row) for row in self._all("SELECT * FROM callbacks ORDER BY id")]

    def waiting_callbacks(self) -> list[int]:
        """Ids of the callbacks still to be delivered."""
        return [row["id"] for row in self._all("SELECT id FROM callbacks WHERE state = 'waiting' ORDER BY id")]

    def answer(self, callback: int, at: float, status: int | None, text: str, state: str, due_at: float) -> None:
        """Record what a callback was answered (status None: no answer) and what becomes of it."""
        self._db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (callback, at, status, text))
        self._db.execute("UPDATE callbacks SET state = ?, due_at = ? WHERE id = ?", (state, due_at, callback))

    def _with_answers(self, row: Row) -> Row:
        row["fields"] = json.loads(row["fields"])
        row["answers"] = self._all("SELECT at, status, text FROM answers WHERE callback = ? ORDER BY rowid", row["id"])
        return row

    # Received faxes and numbers

    def add_inbound(self, uuid: str, number: str, sender: str, pages: int, size: int, now: float) -> int:
        """A fax has arrived at ``number``."""
        return self._insert(
            "INSERT INTO inbox (uuid, number, sender, pages, size, created_at) VALUES (?, ?, ?, ?, ?, ?)",
            uuid, number, sender, pages, size, now,
        )  # fmt: skip

    def inbound(self, identifier: int) -> Row | None:
        """One received fax."""
        return self._one("SELECT * FROM inbox WHERE id = ?", identifier)

    def inbox(self, limit: int, page: int, digits: str = "") -> tuple[list[Row], int]:
        """Received faxes, newest first, and how many there are; ``digits`` narrows to one number of ours."""
        number = f"+{digits}" if digits else ""
        total = self._one("SELECT count(*) AS n FROM inbox WHERE ? IN ('', number)", number)
        assert total is not None
        rows = self._all(
            "SELECT * FROM inbox WHERE ? IN ('', number) ORDER BY id DESC LIMIT ? OFFSET ?",
            number, limit, (page - 1) * limit,
        )  # fmt: skip
        return rows, int(total["n"])

    def add_number(self, number: str, group: int, country: str, area: str, city: str | None, now: float) -> int:
        """A number of ours; one that is known keeps its id."""
        self._db.execute(
            "INSERT OR IGNORE INTO numbers (number, did_group_id, country_code, area_code, city_name, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?)", (number, group, country, area, city, now),
        )  # fmt: skip
        row = self._one("SELECT id FROM numbers WHERE number = ?", number)
        assert row is not None
        return int(row["id"])

    def numbers(self) -> list[Row]:
        """All numbers of ours, oldest first."""
        return self._all("SELECT * FROM numbers ORDER BY id")
