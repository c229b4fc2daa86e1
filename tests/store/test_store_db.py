"""One writer, group commit, and nothing believed that was not read back."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import ConfigError, NoSpace, TryLater
from gateway.store import aliases
from gateway.store.db import Database, StoreBroken, _prepare, get_meta, migrations, set_meta

PUBLISHED = {1: "9fbb700025943100", 2: "ff21394f717ed87a", 3: "748cf39ccd417492"}  # the beginning of the hash of each


async def opened(path: Path, **settings: object) -> Database:
    database = Database(path / "db.sqlite", **settings)  # type: ignore[arg-type]
    await database.open()
    return database


def failing(code: int) -> Callable[[sqlite3.Connection], None]:
    """What fails as SQLite does, with one of its codes."""

    def fail(_tx: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("it fails")
        error.sqlite_errorcode = code  # type: ignore[misc]
        raise error

    return fail


async def test_modes_are_durable_ones(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    modes = await database.write(
        lambda tx: [
            tx.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert modes == ["wal", 2, 1]
    await database.close()


async def test_what_is_written_is_read_and_survives(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda tx: set_meta(tx, "a", "1"))
    assert await database.read(lambda tx: get_meta(tx, "a")) == "1"
    await database.close()
    database = await opened(tmp_path)
    assert await database.read(lambda tx: get_meta(tx, "a")) == "1"
    await database.close()


async def test_the_reader_cannot_write(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    with pytest.raises(sqlite3.OperationalError):
        await database.read(lambda tx: set_meta(tx, "a", "1"))
    await database.close()


async def test_what_is_read_together_is_of_one_instant(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    began, changed = threading.Event(), threading.Event()

    def twice(tx: sqlite3.Connection) -> list[str | None]:
        first = get_meta(tx, "a")
        began.set()
        assert changed.wait(30)
        return [first, get_meta(tx, "a")]

    async def change() -> None:
        await asyncio.to_thread(began.wait, 30)
        await database.write(lambda tx: set_meta(tx, "a", "1"))
        changed.set()

    found, _ = await asyncio.gather(database.read(twice), change())
    assert found == [None, None]
    assert await database.read(lambda tx: get_meta(tx, "a")) == "1"
    await database.close()


async def test_a_log_that_a_long_read_made_grow_is_short_again_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 1 << 20
    monkeypatch.setattr("gateway.store.db._LONGEST_LOG", most)
    database = await opened(tmp_path)
    log = tmp_path / "db.sqlite-wal"
    other = sqlite3.connect(f"file:{tmp_path}/db.sqlite?mode=ro", uri=True, isolation_level=None)
    other.execute("BEGIN")
    other.execute("SELECT * FROM meta").fetchall()
    await database.write(lambda tx: set_meta(tx, "a", "x" * 6 * most))
    await database.write(lambda tx: set_meta(tx, "b", "y"))
    assert log.stat().st_size > 6 * most
    other.close()
    for n in range(2):  # all is put into the database, then the log begins anew
        await database.write(lambda tx, n=n: set_meta(tx, "c", str(n)))
    assert log.stat().st_size <= most
    await database.close()


async def test_one_failure_in_a_batch_undoes_only_itself(tmp_path: Path) -> None:
    database = await opened(tmp_path)

    def half_done(tx: sqlite3.Connection) -> None:
        set_meta(tx, "bad", "1")
        raise KeyError("no")

    results = await asyncio.gather(
        *(database.write(lambda tx, n=n: set_meta(tx, f"k{n}", "1")) for n in range(5)),
        database.write(half_done),
        *(database.write(lambda tx, n=n: set_meta(tx, f"k{n}", "1")) for n in range(5, 10)),
        return_exceptions=True,
    )
    assert [type(r) for r in results if r is not None] == [KeyError]
    keys = await database.read(lambda tx: {k for (k,) in tx.execute("SELECT key FROM meta WHERE key LIKE 'k_'")})
    assert len(keys) == 10
    assert await database.read(lambda tx: get_meta(tx, "bad")) is None
    await database.close()


async def test_many_writers_share_commits(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    commits = await database.write(lambda tx: tx.total_changes)
    await asyncio.gather(*(database.write(lambda tx, n=n: set_meta(tx, f"k{n}", "1")) for n in range(500)))
    count = await database.read(lambda tx: tx.execute("SELECT count(*) FROM meta WHERE key LIKE 'k%'").fetchone()[0])
    assert count == 500
    assert commits >= 0
    await database.close()


async def test_what_fails_among_short_writes_undoes_only_itself(tmp_path: Path) -> None:
    database = await opened(tmp_path)

    def half_done(tx: sqlite3.Connection) -> None:
        set_meta(tx, "bad", "1")
        raise KeyError("half done")

    database.write_later(half_done)
    results = await asyncio.gather(
        database.write(lambda tx: set_meta(tx, "a", "1"), short=True),
        database.write(half_done, short=True),
        database.write(lambda tx: set_meta(tx, "b", "1"), short=True),
        return_exceptions=True,
    )
    assert [type(each) for each in results if each is not None] == [KeyError]
    assert await database.read(lambda tx: [get_meta(tx, key) for key in ("a", "b", "bad")]) == ["1", "1", None]
    await database.close()


async def test_a_short_write_waits_for_a_lock_without_holding_the_loop(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    other = sqlite3.connect(tmp_path / "db.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = asyncio.get_running_loop().time()
    waiting = asyncio.ensure_future(database.write(lambda tx: set_meta(tx, "a", "1"), short=True))
    for _ in range(10):
        await asyncio.sleep(0.02)
    assert asyncio.get_running_loop().time() - begun < 2  # seconds; the lock is waited for up to five
    assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    await waiting
    assert await database.read(lambda tx: get_meta(tx, "a")) == "1"
    await database.close()


async def test_what_many_write_at_once_goes_to_disk_with_their_commit_alone(tmp_path: Path) -> None:
    """A full page cache is written by the statement that needs a page, and the head of a new log synced: in the event loop."""
    database = await opened(tmp_path)
    log = tmp_path / "db.sqlite-wal"
    sizes: list[int] = []

    def large(tx: sqlite3.Connection, n: int) -> None:
        set_meta(tx, f"k{n}", "x" * 131_072)
        sizes.append(log.stat().st_size)

    before = log.stat().st_size
    await asyncio.gather(*(database.write(lambda tx, n=n: large(tx, n), short=True) for n in range(50)))
    assert sizes == [before] * 50
    assert log.stat().st_size > 50 * 131_072
    await database.close()


@pytest.mark.parametrize("short", [False, True])
async def test_memory_that_runs_out_is_a_break_and_nobody_waits_for_ever(tmp_path: Path, short: bool) -> None:
    """SQLite may have ended the transaction by itself then, and what Python raises is no error of SQLite's."""
    told: list[Exception] = []
    database = await opened(tmp_path, on_fatal=told.append)

    def spoilt(tx: sqlite3.Connection) -> None:
        tx.execute("ROLLBACK")
        raise MemoryError

    results = await asyncio.gather(
        database.write(lambda tx: set_meta(tx, "a", "1"), short=short),
        database.write(spoilt, short=short),
        return_exceptions=True,
    )
    assert [type(each) for each in results] == [TryLater, TryLater]
    assert [type(each) for each in told] == [MemoryError]
    assert await database.read(lambda tx: get_meta(tx, "a")) is None
    with pytest.raises(TryLater):
        await database.write(lambda tx: set_meta(tx, "b", "1"))
    await database.close()


async def test_a_cancelled_caller_does_not_undo_the_commit(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    task = asyncio.create_task(database.write(lambda tx: set_meta(tx, "a", "1")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.write(lambda tx: None)
    assert await database.read(lambda tx: get_meta(tx, "a")) == "1"
    await database.close()


async def test_a_full_disk_is_relieved_once(tmp_path: Path) -> None:
    relieved = []
    database = await opened(tmp_path, on_full=lambda: relieved.append(1) or database_limit(0) or True)
    limit = {"pages": 0}

    def database_limit(pages: int) -> None:
        limit["pages"] = pages

    def big(tx: sqlite3.Connection) -> None:
        tx.execute(f"PRAGMA max_page_count = {limit['pages'] or 1_000_000}").fetchone()
        set_meta(tx, "big", "x" * 300_000)

    database_limit(await database.write(lambda tx: tx.execute("PRAGMA page_count").fetchone()[0]))
    await database.write(big)
    assert relieved == [1]
    assert await database.read(lambda tx: len(get_meta(tx, "big") or "")) == 300_000
    await database.close()


async def test_a_disk_that_stays_full_is_told_and_harms_nothing(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda tx: set_meta(tx, "a", "1"))

    def big(tx: sqlite3.Connection) -> None:
        pages = tx.execute("PRAGMA page_count").fetchone()[0]
        tx.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        set_meta(tx, "big", "x" * 300_000)

    with pytest.raises(NoSpace):
        await database.write(big)
    assert await database.read(lambda tx: get_meta(tx, "a")) == "1"
    await database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000").fetchone() and None)
    await database.write(lambda tx: set_meta(tx, "b", "2"))
    assert await database.read(lambda tx: get_meta(tx, "b")) == "2"
    await database.close()


async def test_a_disk_that_stays_full_after_the_reserve_was_given_back_is_told(tmp_path: Path) -> None:
    relieved = []
    database = await opened(tmp_path, on_full=lambda: relieved.append(1) or True)

    def big(tx: sqlite3.Connection) -> None:
        pages = tx.execute("PRAGMA page_count").fetchone()[0]
        tx.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        set_meta(tx, "big", "x" * 300_000)

    with pytest.raises(NoSpace):
        await database.write(big)
    assert relieved == [1]
    await database.close()


async def test_a_lock_that_another_holds_is_no_break(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda tx: tx.execute("PRAGMA busy_timeout = 10").fetchone() and None)
    other = sqlite3.connect(tmp_path / "db.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TryLater):
        await database.write(lambda tx: set_meta(tx, "a", "1"))
    other.execute("ROLLBACK")
    other.close()
    await database.write(lambda tx: set_meta(tx, "a", "2"))
    assert await database.read(lambda tx: get_meta(tx, "a")) == "2"
    await database.close()


async def test_a_transaction_that_was_left_open_is_undone_first(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    assert database._writer is not None
    await database._writer.run(lambda tx: (tx.execute("BEGIN"), set_meta(tx, "left", "1")))
    await database.write(lambda tx: set_meta(tx, "a", "1"))
    assert await database.read(lambda tx: (get_meta(tx, "left"), get_meta(tx, "a"))) == (None, "1")
    await database.close()


def test_modes_that_cannot_be_had_are_refused() -> None:
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(StoreBroken, match="modes"):
        _prepare(memory)
    memory.close()


async def test_a_row_that_cannot_be_is_found_after_an_unclean_stop(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.close()
    raw = sqlite3.connect(tmp_path / "db.sqlite", isolation_level=None)
    sql = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    raw.execute("PRAGMA writable_schema = ON")
    raw.execute("UPDATE sqlite_master SET sql = replace(sql, 'TEXT NOT NULL', 'TEXT') WHERE name = 'meta'")
    raw.close()
    raw = sqlite3.connect(tmp_path / "db.sqlite", isolation_level=None)
    raw.execute("UPDATE meta SET value = '0' WHERE key = 'clean'")
    raw.execute("INSERT INTO meta VALUES ('bad', NULL)")
    raw.execute("PRAGMA writable_schema = ON")
    raw.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'meta'", (sql,))
    raw.close()
    with pytest.raises(StoreBroken, match="damaged"):
        await opened(tmp_path)


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    await database.write(lambda tx: tx.execute("PRAGMA user_version = 9999").fetchone() and None)
    await database.close()
    with pytest.raises(ConfigError, match="9999"):
        await opened(tmp_path)


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db.sqlite").write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreBroken):
        await opened(tmp_path)


async def test_a_damaged_page_is_found_after_an_unclean_stop(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    for n in range(200):
        await database.write(lambda tx, n=n: set_meta(tx, f"key{n}", "x" * 500))
    await database.close()
    path = tmp_path / "db.sqlite"
    raw = sqlite3.connect(path)
    raw.execute("UPDATE meta SET value = '0' WHERE key = 'clean'")
    raw.commit()
    raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    root = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    size = raw.execute("PRAGMA page_size").fetchone()[0]
    raw.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * size + 8 : root * size] = b"\xff" * (size - 8)
    path.write_bytes(data)
    with pytest.raises(StoreBroken):
        await opened(tmp_path)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_PROTOCOL])
async def test_a_break_under_way_is_told_once_and_stops_writing(tmp_path: Path, code: int) -> None:
    """PROTOCOL is what is left of a lock of ours whose release failed: nothing is read or written again in this process."""
    told: list[Exception] = []
    database = await opened(tmp_path, on_fatal=told.append)
    with pytest.raises(TryLater):
        await database.write(failing(code))
    assert len(told) == 1
    with pytest.raises(TryLater):
        await database.write(lambda tx: set_meta(tx, "a", "1"))
    await database.close()


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_PROTOCOL])
async def test_a_database_that_cannot_be_read_is_as_broken(tmp_path: Path, code: int) -> None:
    told: list[Exception] = []
    database = await opened(tmp_path, on_fatal=told.append)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError):
            await database.read(failing(code))
    assert len(told) == 1
    with pytest.raises(TryLater):
        await database.write(lambda tx: set_meta(tx, "a", "1"))
    await database.close()


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM]
)
async def test_a_read_that_fails_for_what_passes_is_no_break(tmp_path: Path, code: int) -> None:
    """A sort that needs a file finds no room or no descriptor, say."""
    told: list[Exception] = []
    database = await opened(tmp_path, on_fatal=told.append)
    with pytest.raises(sqlite3.OperationalError):
        await database.read(failing(code))
    await database.write(lambda tx: set_meta(tx, "a", "1"))
    assert not told
    await database.close()


async def test_a_sync_that_failed_is_not_tried_again_and_the_reserve_stays_for_a_full_disk(tmp_path: Path) -> None:
    done: list[str] = []
    database = await opened(tmp_path, on_full=lambda: done.append("freed") or True)

    def broken(tx: sqlite3.Connection) -> None:
        done.append("tried")
        failing(sqlite3.SQLITE_IOERR_FSYNC)(tx)

    with pytest.raises(TryLater):
        await database.write(broken)
    assert done == ["tried"]
    await database.close()


async def test_what_was_asked_for_before_the_break_is_not_tried_behind_it(tmp_path: Path) -> None:
    """A sync that failed may seem to succeed the next time: nothing may be told to be on disk then."""
    told: list[Exception] = []
    database = await opened(tmp_path, on_fatal=told.append)
    later: list[asyncio.Future[None]] = []
    ran: list[str] = []

    def broken(_tx: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(
            lambda: later.append(asyncio.ensure_future(database.write(lambda _tx: ran.append(""))))
        )
        asked.wait(5)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC  # type: ignore[misc]
        raise error

    loop, asked = asyncio.get_running_loop(), threading.Event()
    breaking = asyncio.ensure_future(database.write(broken))
    while not later:
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # the second has asked now
    asked.set()
    for each in (breaking, later[0]):
        with pytest.raises(TryLater):
            await each
    assert (ran, len(told)) == ([], 1)
    await database.close()


async def test_what_is_asked_for_while_it_closes_is_put_off(tmp_path: Path) -> None:
    database = await opened(tmp_path)
    closing = asyncio.ensure_future(database.close())
    for _ in range(3):
        await asyncio.sleep(0)
    while not closing.done():
        with pytest.raises(TryLater):
            await asyncio.wait_for(database.write(lambda tx: set_meta(tx, "a", "1"), short=True), 5)
        await asyncio.sleep(0)
    await closing


async def test_nothing_is_written_when_closed(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite")
    with pytest.raises(TryLater):
        await database.write(lambda tx: None)
    with pytest.raises(TryLater):
        await database.read(lambda tx: None)


async def test_an_old_schema_is_copied_before_it_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = await opened(tmp_path)
    await database.write(lambda tx: set_meta(tx, "a", "1"))
    await database.close()
    newer = [*migrations(), (len(migrations()) + 1, "CREATE TABLE more (x TEXT) STRICT")]
    monkeypatch.setattr("gateway.store.db.migrations", lambda: newer)
    database = await opened(tmp_path)
    assert await database.read(lambda tx: get_meta(tx, "a")) == "1"
    await database.write(lambda tx: set_meta(tx, "a", "2"))
    await database.close()
    # the copy of the first try is the one that counts
    newest = [*newer, (len(newer) + 1, "CREATE TABLE most (x TEXT) STRICT")]
    (tmp_path / f"db.sqlite.schema-{len(newer)}").write_bytes(b"kept")
    monkeypatch.setattr("gateway.store.db.migrations", lambda: newest)
    database = await opened(tmp_path)
    await database.close()
    assert (tmp_path / f"db.sqlite.schema-{len(newer)}").read_bytes() == b"kept"
    copy = sqlite3.connect(tmp_path / f"db.sqlite.schema-{len(newer) - 1}")
    assert copy.execute("SELECT value FROM meta WHERE key = 'a'").fetchone() == ("1",)
    copy.close()


async def test_the_copy_of_an_old_schema_is_whole_or_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = await opened(tmp_path)
    await database.write(lambda tx: set_meta(tx, "a", "1" * 2_000_000))
    await database.close()
    newer = [*migrations(), (len(migrations()) + 1, "CREATE TABLE more (x TEXT) STRICT")]
    monkeypatch.setattr("gateway.store.db.migrations", lambda: newer)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))  # as if the disk were full
    try:
        with pytest.raises((StoreBroken, NoSpace)):
            await opened(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.glob("*schema*"))
    (tmp_path / f"db.sqlite.schema-{len(newer) - 1}.tmp").write_bytes(b"killed")
    database = await opened(tmp_path)
    await database.close()
    (made,) = tmp_path.glob("*schema*")
    assert made.stat().st_mode & 0o777 == 0o600, "what people faxed is in it"
    copy = sqlite3.connect(made)
    assert copy.execute("SELECT length(value) FROM meta WHERE key = 'a'").fetchone() == (2_000_000,)
    copy.close()


async def test_an_address_book_of_the_first_schema_is_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = migrations()[:1]
    with monkeypatch.context() as patch:
        patch.setattr("gateway.store.db.migrations", lambda: first)
        database = await opened(tmp_path)
        old = "INSERT INTO alias (name, number, scope, note, created_at) VALUES ('desk', '+12025550123', '*', '', 1.0)"
        await database.write(lambda tx: tx.execute(old) and None)
        await database.close()
    database = await opened(tmp_path)
    (desk,) = await database.read(aliases.listing)
    assert (desk.name, desk.addressee) == ("desk", "")
    await database.write(lambda tx: aliases.put(tx, replace(desk, addressee="Front desk")))
    assert await database.read(lambda tx: aliases.addressed(tx, desk.number)) == [replace(desk, addressee="Front desk")]
    await database.close()


def test_a_migration_that_was_published_stays_as_it_is() -> None:
    """A database that has it never sees a change of it: what is new is a migration of its own."""
    known = dict(migrations())
    assert {version: hashlib.sha256(known[version].encode()).hexdigest()[:16] for version in PUBLISHED} == PUBLISHED


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [version for version, _ in migrations()] == list(range(1, len(migrations()) + 1))
