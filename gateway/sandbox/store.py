"""The sandbox's own database: documents, executions, callbacks, received faxes, numbers. Survives a restart and a kill.

An execution is recorded at the moment the fax is executed and never looked at when an answer is made to lie, so it tells
what really happened. Statements are short and run on the caller's thread; one process has the database.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

Row = dict[str, Any]

_LOCK_WAIT = 1.0  # seconds for a sandbox that is just ending
_UNIT = 10_000  # money is kept in ten-thousandths
# Ids of different things start apart, so that a document's id taken for a job's is noticed at once.
_FIRST_IDS = {"documents": 3000, "executions": 200_000, "numbers": 40}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (id INTEGER PRIMARY KEY CHECK (id = 1), balance INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS users (
  email TEXT PRIMARY KEY, salt BLOB NOT NULL, password BLOB NOT NULL, api_key TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS conversions (sha256 TEXT PRIMARY KEY, tiff TEXT NOT NULL, pages INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS documents (
  id INTEGER PRIMARY KEY AUTOINCREMENT, filename TEXT NOT NULL, size INTEGER NOT NULL, sha256 TEXT NOT NULL,
  tiff TEXT NOT NULL, pages INTEGER NOT NULL, created_at REAL NOT NULL, deleted_at REAL) STRICT;
CREATE TABLE IF NOT EXISTS executions (
  id INTEGER PRIMARY KEY AUTOINCREMENT, document_id INTEGER NOT NULL REFERENCES documents, fax_number TEXT NOT NULL,
  tsi_number TEXT NOT NULL, scenario TEXT NOT NULL, pages INTEGER NOT NULL, received TEXT NOT NULL,
  msg_code TEXT NOT NULL, line TEXT NOT NULL, seconds REAL NOT NULL, rate INTEGER, ecm INTEGER, compression TEXT,
  cost INTEGER NOT NULL, delete_file INTEGER NOT NULL, executed_at REAL NOT NULL, due_at REAL, finished_at REAL) STRICT;
CREATE INDEX IF NOT EXISTS executions_running ON executions (due_at) WHERE finished_at IS NULL;
CREATE TABLE IF NOT EXISTS callbacks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, about INTEGER NOT NULL, fields TEXT NOT NULL,
  shape TEXT NOT NULL, state TEXT NOT NULL, due_at REAL NOT NULL, created_at REAL NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS callbacks_waiting ON callbacks (id) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS answers (
  id INTEGER PRIMARY KEY, callback INTEGER NOT NULL REFERENCES callbacks, at REAL NOT NULL, status INTEGER,
  text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS inbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, number TEXT NOT NULL, sender TEXT NOT NULL,
  tiff TEXT NOT NULL, pages INTEGER NOT NULL, size INTEGER NOT NULL, created_at REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS numbers (
  id INTEGER PRIMARY KEY AUTOINCREMENT, number TEXT NOT NULL UNIQUE, did_group_id INTEGER NOT NULL,
  country_code TEXT NOT NULL, area_code TEXT NOT NULL, city_name TEXT, created_at REAL NOT NULL) STRICT;
"""
_JOBS = """
SELECT e.*, d.filename, d.sha256, d.tiff, d.pages AS document_pages, d.deleted_at IS NOT NULL AS deleted
FROM executions e JOIN documents d ON d.id = e.document_id
"""


def units(money: Decimal) -> int:
    """Money in ten-thousandths."""
    return int(money * _UNIT)


def money(amount: int) -> float:
    """Ten-thousandths as the number an answer has."""
    return amount / _UNIT


class InUse(Exception):  # it is no error of ours
    """Another process has the database."""


class Store:
    """``sandbox.db`` in a directory that is created when missing; a new account starts with ``balance``.

    Raises OSError when the directory cannot be used, :class:`InUse` when another sandbox has it.
    """

    def __init__(self, directory: Path, balance: Decimal) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(directory / "sandbox.db", isolation_level=None, timeout=_LOCK_WAIT)
            try:
                self._open(balance)
            except BaseException:
                self.close()
                raise
        except sqlite3.Error as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise InUse(f"another sandbox uses {directory}") from error
            raise OSError(None, str(error)) from error

    def _open(self, balance: Decimal) -> None:
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")  # one process has it
        self._db.execute("PRAGMA journal_mode = WAL")
        # a commit survives the end of the process, however it ends, not a power cut: enough for trials, and fast
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(_SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO account VALUES (1, ?)", (units(balance),))
        for table, first in _FIRST_IDS.items():
            self._db.execute(
                "INSERT INTO sqlite_sequence (name, seq) SELECT ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)", (table, first, table),
            )  # fmt: skip

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written in the block (which must not wait for anything)."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _one(self, sql: str, *values: Any) -> Row | None:
        row = self._db.execute(sql, values).fetchone()
        return dict(row) if row else None

    def _all(self, sql: str, *values: Any) -> list[Row]:
        return [dict(row) for row in self._db.execute(sql, values)]

    def _insert(self, table: str, **values: Any) -> int:
        marks = ", ".join("?" * len(values))
        # table and columns are names of ours
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608
        identifier = self._db.execute(sql, tuple(values.values())).lastrowid
        assert identifier is not None
        return identifier

    # --- account ------------------------------------------------------------------------------------------------------

    def balance(self) -> int:
        """Credit of the account, in ten-thousandths."""
        return int(self._db.execute("SELECT balance FROM account").fetchone()[0])

    def set_balance(self, amount: int) -> None:
        """Credit of the account from now on."""
        self._db.execute("UPDATE account SET balance = ?", (amount,))

    def add_user(self, email: str, salt: bytes, password: bytes, api_key: str) -> bool:
        """Register somebody; False when the address is taken."""
        added = self._db.execute("INSERT OR IGNORE INTO users VALUES (?, ?, ?, ?)", (email, salt, password, api_key))
        return added.rowcount == 1

    def user(self, email: str) -> Row | None:
        """The registered user of this address."""
        return self._one("SELECT * FROM users WHERE email = ?", email)

    def is_user_key(self, api_key: str) -> bool:
        """Whether a registered user has this key."""
        return self._one("SELECT 1 FROM users WHERE api_key = ?", api_key) is not None

    # --- documents ----------------------------------------------------------------------------------------------------

    def conversion(self, sha256: str) -> Row | None:
        """The TIFF made of a document with this hash."""
        return self._one("SELECT * FROM conversions WHERE sha256 = ?", sha256)

    def add_conversion(self, sha256: str, tiff: str, pages: int) -> None:
        """Remember what a document became."""
        self._db.execute("INSERT OR REPLACE INTO conversions VALUES (?, ?, ?)", (sha256, tiff, pages))

    def add_document(self, filename: str, size: int, sha256: str, tiff: str, pages: int, now: float) -> int:
        """Keep an upload; ``sha256`` and ``size`` are of the bytes as uploaded."""
        return self._insert(
            "documents", filename=filename, size=size, sha256=sha256, tiff=tiff, pages=pages, created_at=now
        )

    def document(self, identifier: int) -> Row | None:
        """A document that is not deleted."""
        return self._one("SELECT * FROM documents WHERE id = ? AND deleted_at IS NULL", identifier)

    def documents(self, before: float, limit: int, offset: int) -> list[Row]:
        """Documents that are not deleted and were there at an instant, newest first."""
        return self._all(
            "SELECT * FROM documents WHERE deleted_at IS NULL AND created_at <= ? ORDER BY id DESC LIMIT ? OFFSET ?",
            before, limit, offset,
        )  # fmt: skip

    def delete_document(self, identifier: int, now: float) -> bool:
        """Mark a document deleted; its faxes stay in the history. False when there is none."""
        sql = "UPDATE documents SET deleted_at = ? WHERE id = ? AND deleted_at IS NULL"
        return self._db.execute(sql, (now, identifier)).rowcount == 1

    # --- executions ---------------------------------------------------------------------------------------------------

    def execute(self, cost: int, **fax: Any) -> int | None:
        """Record that a fax is executed and debit its price, both or neither; the job's id, None without the credit."""
        with self.transaction():
            paid = self._db.execute("UPDATE account SET balance = balance - ? WHERE balance >= ?", (cost, cost))
            return self._insert("executions", cost=cost, **fax) if paid.rowcount == 1 else None

    def job(self, identifier: int) -> Row | None:
        """An execution with its document; ``finished_at`` is None while it is being sent."""
        return self._one(f"{_JOBS} WHERE e.id = ?", identifier)

    def job_before(self, identifier: int) -> int | None:
        """The id of the execution before this one."""
        row = self._one("SELECT max(id) AS id FROM executions WHERE id < ?", identifier)
        return row["id"] if row else None

    def jobs(self, before: float, limit: int = -1, offset: int = 0, *, forget_deleted: bool = False) -> list[Row]:
        """Executions up to an instant, newest first; with or without those whose document is deleted."""
        return self._all(
            f"{_JOBS} WHERE e.executed_at <= ? AND (d.deleted_at IS NULL OR NOT ?) ORDER BY e.id DESC LIMIT ? OFFSET ?",
            before, forget_deleted, limit, offset,
        )  # fmt: skip

    def executions(self, after: int) -> list[Row]:
        """Executions whose id is greater, oldest first."""
        return self._all(f"{_JOBS} WHERE e.id > ? ORDER BY e.id", after)

    def running(self) -> list[Row]:
        """Executions that will end but have not."""
        return self._all(f"{_JOBS} WHERE e.finished_at IS NULL AND e.due_at IS NOT NULL ORDER BY e.id")

    def finish(self, job: int, now: float) -> None:
        """The call is over."""
        self._db.execute("UPDATE executions SET finished_at = ? WHERE id = ?", (now, job))

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def add_callback(
        self, kind: str, about: int, fields: dict[str, str], *, shape: str, state: str, due_at: float, now: float
    ) -> int:
        """Keep a callback that is to go out (``waiting``) or that never will, about a job or an entry of the inbox."""
        return self._insert(
            "callbacks", kind=kind, about=about, fields=json.dumps(fields), shape=shape, state=state, due_at=due_at,
            created_at=now,
        )  # fmt: skip

    def callback(self, identifier: int) -> Row:
        """One callback."""
        row = self._one("SELECT * FROM callbacks WHERE id = ?", identifier)
        assert row is not None
        return {**row, "fields": json.loads(row["fields"])}

    def callbacks(self) -> list[Row]:
        """Every callback, oldest first, with the answers it got."""
        answers: dict[int, list[Row]] = {}
        for row in self._all("SELECT callback, at, status, text FROM answers ORDER BY id"):
            answers.setdefault(row.pop("callback"), []).append(row)
        return [
            {**row, "fields": json.loads(row["fields"]), "answers": answers.get(row["id"], [])}
            for row in self._all("SELECT * FROM callbacks ORDER BY id")
        ]

    def waiting_callbacks(self) -> list[Row]:
        """The callbacks still to be delivered."""
        return self._all("SELECT id, due_at FROM callbacks WHERE state = 'waiting' ORDER BY id")

    def answer(self, callback: int, at: float, status: int | None, text: str, state: str, due_at: float) -> None:
        """Record what a callback was answered (status None: no answer) and what becomes of it."""
        with self.transaction():
            self._insert("answers", callback=callback, at=at, status=status, text=text)
            self._db.execute("UPDATE callbacks SET state = ?, due_at = ? WHERE id = ?", (state, due_at, callback))

    # --- received faxes and numbers -----------------------------------------------------------------------------------

    def add_inbound(self, **fax: Any) -> int:
        """A fax has arrived, or will at its ``created_at``."""
        return self._insert("inbox", **fax)

    def inbound(self, identifier: int) -> Row | None:
        """One received fax."""
        return self._one("SELECT * FROM inbox WHERE id = ?", identifier)

    def inbox(self, before: float, digits: str = "") -> list[Row]:
        """Faxes received up to an instant, newest first; ``digits`` narrows to one number of ours."""
        return self._all(
            "SELECT * FROM inbox WHERE created_at <= ? AND ? IN ('', ltrim(number, '+')) ORDER BY id DESC",
            before, digits,
        )  # fmt: skip

    def add_number(self, number: str, group: int, country: str, area: str, city: str | None, now: float) -> int:
        """A number of ours; one that is known keeps its id."""
        known = self._one("SELECT id FROM numbers WHERE number = ?", number)
        if known is not None:
            return int(known["id"])
        return self._insert(
            "numbers", number=number, did_group_id=group, country_code=country, area_code=area, city_name=city,
            created_at=now,
        )  # fmt: skip

    def numbers(self) -> list[Row]:
        """All numbers of ours, oldest first."""
        return self._all("SELECT * FROM numbers ORDER BY id")
