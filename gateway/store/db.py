"""The one SQLite file: a single connection that writes and checkpoints, with group commit, and one that only reads.

SQLite before 3.51.3 can lose commits when two connections write or checkpoint one WAL database, so nothing else in the
whole system writes. What is asked for while a commit runs shares the next one. Where all of that is short, its statements
run in the event loop and only the commit, which waits for the disk, in the writer's thread: a thread that takes the
interpreter's lock for each statement costs both more than the statements do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite
import structlog

from gateway.errors import ConfigError, NoSpace, TryLater
from gateway.faultpoint import reach
from gateway.store.file import StoreBroken, claim, inodes, lost

log = structlog.get_logger("store")

Tx = sqlite3.Connection
T = TypeVar("T")

_FULL, _IO, _CANNOT_OPEN, _BUSY = 13, 10, 14, 5  # primary result codes, https://www.sqlite.org/rescode.html
_FATAL = {
    8: "read-only", 10: "I/O error", 11: "corrupt", 26: "not a database",
    15: "stuck lock",  # one of ours that could not be given back, for the system said no: it goes with the process
}  # fmt: skip
_BATCH = 200
_PATIENCE = 0.2  # seconds
_LOCK_PATIENCE = 5.0  # seconds for which another process may hold the file
# bytes of the log that are kept once all is in the database: a backup makes it grow, and a start reads it
_LONGEST_LOG = 64 << 20
_LEAST = 1 << 20  # bytes that a start needs at most


@dataclass(frozen=True, slots=True)
class _Work:
    """``future`` is None where nobody waits for its end."""

    function: Callable[[Tx], Any]
    future: asyncio.Future[Any] | None
    is_short: bool


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection with one more verb: run a whole function in its thread, not one statement a hop."""

    async def run(self, function: Callable[[Tx], T]) -> T:
        result = await self._execute(function, self._conn)  # type: ignore[no-untyped-call]  # untyped upstream
        return cast(T, result)

    @property
    def idle(self) -> Tx:
        """SQLite's connection, for whoever knows that its thread has nothing to do."""
        return self._conn


def _connect(path: str) -> _Connection:
    def connector() -> sqlite3.Connection:
        return sqlite3.connect(path, uri=True, isolation_level=None, timeout=_LOCK_PATIENCE, check_same_thread=False)

    return _Connection(connector, 64)


class Database:
    """``on_fatal`` is called once when the database breaks under way; ``on_full`` frees the reserve of a full disk."""

    def __init__(
        self,
        path: Path,
        *,
        on_fatal: Callable[[Exception], None] | None = None,
        on_full: Callable[[], bool] | None = None,
    ) -> None:
        self.path = path
        self._on_fatal = on_fatal or (lambda _error: None)
        self._on_full = on_full or (lambda: False)
        self._writer: _Connection | None = None
        self._reader: _Connection | None = None
        self._queue: asyncio.Queue[_Work | None] = asyncio.Queue()
        self._patient: list[_Work] = []
        self._task: asyncio.Task[None] | None = None
        self._broken: Exception | None = None
        self.place = ""  # where the file is, see store.file; known once it is open
        self._inodes: list[int] = []  # of the open file and its log

    async def open(self, *, may_be_new: bool = True) -> None:
        """Open, check and migrate; one without content is made only where it ``may_be_new``.

        Raises :class:`StoreBroken`, :class:`ConfigError` on a newer schema, :class:`TryLater` on a full disk or while another
        program holds it, OSError.
        """
        self.place = await asyncio.to_thread(claim, self.path, may_be_new=may_be_new)
        try:
            await self._connect(may_be_new)
        except sqlite3.Error as error:
            if not self._is_full(error) or not self._on_full():
                raise self._refusal(error) from error
            try:
                await self._connect(may_be_new)
            except sqlite3.Error as again:
                raise self._refusal(again) from again
        self.path.chmod(0o600)
        self._task = asyncio.create_task(self._commit_loop(), name="store-writer")

    async def _connect(self, may_be_new: bool) -> None:
        try:
            self._writer = writer = _connect(self.path.absolute().as_uri())
            await writer
            await writer.run(_prepare)
            await writer.run(lambda tx: _migrate(tx, self.path, may_be_new))
            # or what does not fit into 2 MB is written, and synced, by the statement that makes it: in the event loop
            await writer.run(lambda tx: tx.execute("PRAGMA cache_spill = OFF").close())
            self._reader = reader = _connect(self.path.absolute().as_uri() + "?mode=ro")
            await reader
            await reader.run(lambda tx: tx.execute("PRAGMA query_only = ON").close())
            self._inodes = inodes(self.path)
        except BaseException:
            await self._close_connections()
            raise

    def _is_full(self, error: sqlite3.Error) -> bool:
        """Whether it failed for lack of space, which SQLite calls an I/O error where it maps its shared memory."""
        if _code(error) == _FULL:
            return True
        disk = os.statvfs(self.path.parent)
        return _code(error) in (_IO, _CANNOT_OPEN) and disk.f_bavail * disk.f_frsize < _LEAST

    def _refusal(self, error: sqlite3.Error) -> StoreBroken | TryLater:
        if _code(error) == _BUSY:
            text = f"another program holds the database {self.path}: end it (fuser {self.path} tells which it is)"
            return TryLater(text, str(error))
        if self._is_full(error):
            return NoSpace(f"the disk is full: there is no room for the database {self.path}", str(error))
        return StoreBroken(
            f"the database {self.path} cannot be used: {error}; if it is damaged, restore a backup (faxgateway restore)"
        )

    async def close(self) -> None:
        """Commit what was asked for, checkpoint, close."""
        if self._task is not None:
            task, self._task = self._task, None  # so nothing is asked for behind the end
            self._queue.put_nowait(None)
            await task
        if self._writer is not None and self._broken is None:
            with contextlib.suppress(sqlite3.Error, StoreBroken):
                await self._stay_in_place()
                await self._writer.run(_leave_clean)
        await self._close_connections()

    async def _close_connections(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error, ValueError):
                    await connection.close()
        self._reader = self._writer = None

    def check(self) -> None:
        """Raise :class:`TryLater` when nothing can be recorded, as :meth:`write` would."""
        if self._broken is not None or self._task is None:
            raise TryLater("the gateway cannot record anything now", str(self._broken or "the database is closed"))

    async def write(self, function: Callable[[Tx], T], *, short: bool = False) -> T:
        """Run ``function`` in a transaction and return its result once it is on disk.

        One that is ``short``, a few rows by their keys, may run in the event loop.

        ``function`` may run more than once (after another's failure or a full disk) and must do nothing but SQL. A
        cancelled caller does not undo it. Raises what ``function`` raised (then nothing of it is stored),
        :class:`NoSpace`, or :class:`TryLater` when the database is broken.
        """
        self.check()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Work(function, future, short))
        return await future

    def write_later(self, function: Callable[[Tx], object]) -> None:
        """Run a short ``function`` as :meth:`write` does, with the next commit, or soon. Nobody hears of its failure."""
        if not self._patient:
            asyncio.get_running_loop().call_later(_PATIENCE, self._wake)
        self._patient.append(_Work(function, None, is_short=True))

    async def read(self, function: Callable[[Tx], T]) -> T:
        """Run ``function`` on the read-only connection: all that it reads is of one instant.

        Raises what it raised, :class:`TryLater` when the database is closed.
        """
        if self._reader is None:
            raise TryLater("the gateway cannot read its records now", "the database is closed")
        try:
            return await self._reader.run(lambda tx: _at_one_instant(tx, function))
        except sqlite3.Error as error:
            if not self._is_full(error):
                self._note_break(error, _FATAL.get(_code(error)))
            raise

    def _wake(self) -> None:
        if self._patient:
            self._queue.put_nowait(self._patient.pop(0))

    async def _commit_loop(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while not self._queue.empty() and len(batch) < _BATCH:
                batch.append(self._queue.get_nowait())
            patient, self._patient = self._patient, []
            work = [*patient, *(each for each in batch if each is not None)]
            if work:
                await self._commit(work)
            if None in batch:
                return

    async def _commit(self, work: list[_Work]) -> None:
        functions = [each.function for each in work]
        try:
            results = await self._run(functions, at_once=all(each.is_short for each in work))
        except Exception as error:  # noqa: BLE001  # whatever it was, nobody is to wait for ever
            results = await self._failed(error, functions)
        for each, result in zip(work, results, strict=True):
            if each.future is None or each.future.cancelled():
                continue
            if isinstance(result, BaseException):
                each.future.set_exception(result)
            else:
                each.future.set_result(result)

    async def _run(self, functions: Sequence[Callable[[Tx], Any]], *, at_once: bool) -> list[Any]:
        """What each returned or raised. Raises what has undone all of them."""
        assert self._writer is not None
        if self._broken is not None:  # they were asked for before that was known
            raise self._broken
        await self._stay_in_place()
        results = _run_at_once(self._writer.idle, functions) if at_once else None
        if results is None:
            return await self._writer.run(lambda tx: _run_batch(tx, functions))
        await self._writer.run(_end)
        return results

    async def _stay_in_place(self) -> None:
        """See that what is written will be found: somebody may have removed the file or its log, or put another there.

        Raises :class:`StoreBroken` then, with all that was ever committed kept in a file that has a name.
        """
        assert self._writer is not None
        there = inodes(self.path)
        if there != self._inodes:
            database, log_ = (is_ == was for is_, was in zip(there, self._inodes, strict=True))
            kept = await self._writer.run(lambda tx: _keep(tx, self.path, has_database=database, has_log=log_))
            raise StoreBroken(f"the database was removed or replaced while in use; what it held is kept in {kept}")

    async def _failed(self, error: Exception, functions: Sequence[Callable[[Tx], Any]]) -> list[Any]:
        """The whole commit failed. A full disk gets one more try after the reserve is given back."""
        assert self._writer is not None
        if _code(error) == _FULL and self._on_full():
            try:
                return await self._writer.run(lambda tx: _run_batch(tx, functions))
            except Exception as again:  # noqa: BLE001
                error = again
        if _code(error) == _FULL:
            return [NoSpace("the gateway's disk is full", str(error)) for _ in functions]
        # what is no error of SQLite's, as memory that has run out, may come from a commit that stands
        self._note_break(error, _FATAL.get(_code(error)) if isinstance(error, sqlite3.Error) else type(error).__name__)
        why = ": another program holds its database" if _code(error) == _BUSY else ""
        return [TryLater(f"the gateway cannot record anything now{why}", str(error)) for _ in functions]

    def _note_break(self, error: Exception, kind: str | None) -> None:
        """Tell once that the database cannot be used any more; ``kind`` is None for what passes."""
        if kind and self._broken is None:
            self._broken = error
            log.critical("store broken", error=str(error), kind=kind)
            self._on_fatal(error)


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _at_one_instant(tx: Tx, function: Callable[[Tx], T]) -> T:
    tx.execute("BEGIN")
    try:
        return function(tx)
    finally:
        tx.rollback()


def _run_at_once(tx: Tx, functions: Sequence[Callable[[Tx], Any]]) -> list[Any] | None:
    """All functions in a transaction that is still to be ended; None, and nothing done, where one fails or has to wait."""
    if tx.in_transaction:
        return None
    try:
        tx.execute("PRAGMA busy_timeout = 0")
        try:
            tx.execute("BEGIN IMMEDIATE")
        finally:
            tx.execute(f"PRAGMA busy_timeout = {_LOCK_PATIENCE * 1000:.0f}")
        return [function(tx) for function in functions]
    except Exception:  # noqa: BLE001  # seen again where each is alone
        tx.rollback()
        return None


def _run_batch(tx: Tx, functions: Sequence[Callable[[Tx], Any]]) -> list[Any]:
    """All functions in one transaction; each one's failure undoes only itself. Raises sqlite3.Error if all failed."""
    if tx.in_transaction:  # left by a failed commit
        tx.execute("ROLLBACK")
    results: list[Any] = []
    tx.execute("BEGIN IMMEDIATE")
    try:
        for function in functions:
            tx.execute("SAVEPOINT one")
            try:
                results.append(function(tx))
            except Exception as error:
                if not tx.in_transaction or (isinstance(error, sqlite3.Error) and _code(error) in {_FULL, *_FATAL}):
                    raise  # SQLite gave the whole transaction up, or must
                tx.execute("ROLLBACK TO one")
                results.append(error)
            tx.execute("RELEASE one")
    except BaseException:
        if tx.in_transaction:
            tx.execute("ROLLBACK")
        raise
    _end(tx)
    return results


def _end(tx: Tx) -> None:
    """Commit. Raises sqlite3.Error; nothing is left of the transaction then."""
    reach("store.begun")
    try:
        tx.execute("COMMIT")
    except BaseException:
        if tx.in_transaction:
            tx.execute("ROLLBACK")
        raise
    reach("store.committed")


def _keep(tx: Tx, path: Path, *, has_database: bool, has_log: bool) -> Path:
    """Put all that was committed where the next start finds it, or beside a file that is not ours; returns where.

    ``has_database``, ``has_log``: what lies there is still ours.
    """
    if has_database:
        tx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return path
    kept = Path(f"{path}.kept")
    _copy(tx, kept)
    if has_log:  # or the next start would read it into a file that it does not belong to
        for rest in ("-wal", "-shm"):
            Path(f"{path}{rest}").unlink(missing_ok=True)
    return kept if path.exists() else kept.rename(path)


def _pragma(tx: Tx, name: str) -> Any:
    return tx.execute(f"PRAGMA {name}").fetchone()[0]


def _prepare(tx: Tx) -> None:
    """Set the modes and believe only what is read back; check the file when the last stop was not a clean one."""
    for name, value in (("journal_mode", "WAL"), ("synchronous", "FULL"), ("foreign_keys", "ON")):
        tx.execute(f"PRAGMA {name} = {value}").fetchall()
    tx.execute("PRAGMA trusted_schema = OFF")
    tx.execute(f"PRAGMA journal_size_limit = {_LONGEST_LOG}").fetchall()
    modes = (_pragma(tx, "journal_mode"), _pragma(tx, "synchronous"), _pragma(tx, "foreign_keys"))
    if modes != ("wal", 2, 1):
        raise StoreBroken(f"SQLite did not take the modes the gateway needs: it says {modes}")
    if _pragma(tx, "user_version") == 0:
        return
    clean = tx.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone()
    if clean is None or clean[0] != "1":
        log.info(
            "the last stop was no clean one: the whole database is read",
            size=_pragma(tx, "page_count") * _pragma(tx, "page_size"),
        )
        found = tx.execute("PRAGMA quick_check(3)").fetchall()
        if found != [("ok",)]:
            raise StoreBroken(
                f"the database is damaged ({'; '.join(str(row[0]) for row in found)}): restore a backup (faxgateway restore)"
            )
        tx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # so that a log never holds the rests of two crashes


def _leave_clean(tx: Tx) -> None:
    tx.execute("INSERT OR REPLACE INTO meta VALUES ('clean', '1')")
    tx.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def migrations() -> list[tuple[int, str]]:
    """(version, SQL) of every migration, ascending."""
    found = []
    for file in resources.files("gateway.store").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found.append((int(match[1]), file.read_text("utf-8")))
    return sorted(found)


def refuse_newer(schema: int) -> None:
    """Raises ConfigError for the schema of a version that is newer than this."""
    newest = migrations()[-1][0]
    if schema > newest:
        raise ConfigError(
            f"the database has schema {schema}, this version knows up to {newest}: install the newer faxgateway again"
        )


def _migrate(tx: Tx, path: Path, may_be_new: bool) -> None:
    """Bring the schema up, one transaction a step, after a copy of what was there. Raises ConfigError on a newer."""
    have = _pragma(tx, "user_version")
    if not have and not may_be_new:
        raise lost(path, "empty")
    refuse_newer(have)
    steps = migrations()
    if 0 < have < steps[-1][0]:
        copy = Path(f"{path}.schema-{have}")
        if not copy.exists():
            _copy(tx, copy)
    for version, script in steps:
        if version > have:
            tx.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {version}; COMMIT;")
            log.info("store migrated", version=version)
    tx.execute("INSERT OR REPLACE INTO meta VALUES ('clean', '0')")
    tx.execute("INSERT OR IGNORE INTO meta VALUES ('created_at', ?)", (str(time.time()),))


def _copy(tx: Tx, target: Path) -> None:
    """Copy the database to ``target``, whole or not at all. Raises sqlite3.Error."""
    begun = Path(f"{target}.tmp")
    begun.unlink(missing_ok=True)  # of a copy that was killed
    try:
        begun.touch(0o600)  # whatever the umask of who opens it: an empty file is filled
    except OSError as error:
        raise sqlite3.OperationalError(f"{begun} cannot be made: {error}") from error
    try:
        tx.execute("VACUUM INTO ?", (str(begun),))
        begun.rename(target)
    finally:
        begun.unlink(missing_ok=True)


def get_meta(tx: Tx, key: str) -> str | None:
    """A small fact kept beside the tables, or None."""
    row = tx.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(tx: Tx, key: str, value: str) -> None:
    tx.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
