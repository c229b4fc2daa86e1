"""A copy made beside a running gateway is of one instant, is checked, and says that it is a copy."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import Refused, TryLater
from gateway.model import FaxJob, FaxNumber, JobState, Submission
from gateway.store import jobs, origin, snapshot
from gateway.store.db import Database, migrations, set_meta
from gateway.store.file import StoreBroken

WHY = "restored"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "faxgateway.db")
    await database.open()
    yield database
    await database.close()


def accepted(n: int) -> tuple[Submission, FaxJob]:
    submission = Submission(f"S{n}", 5.0, f"mail/{n}", 1, "a@example.org", "ip:1", "a@example.org", "client")
    job = FaxJob(f"S{n}-1", f"S{n}", "x@fax.local", FaxNumber("+12025550123"), JobState.ACCEPTED, 5.0, 5.0)
    return submission, job


async def add(database: Database, n: int) -> None:
    submission, job = accepted(n)
    await database.write(lambda tx: jobs.add(tx, submission, [job], f"key{n}"))


async def test_a_copy_holds_what_was_committed_and_is_marked_as_one(database: Database, tmp_path: Path) -> None:
    await add(database, 1)
    await add(database, 2)
    target = tmp_path / "copy.db"
    contents = await asyncio.to_thread(snapshot.copy, database.path, target, WHY, 7.0)
    assert contents == snapshot.Contents(frozenset({"mail/1", "mail/2"}), 2, 0, 0)
    assert target.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("copy")] == ["copy.db"]
    copy = Database(target)
    await copy.open()
    assert await copy.read(origin.read) == origin.Mark(WHY, 2, 7.0)
    assert await copy.read(lambda tx: [job.id for job in jobs.in_state(tx, JobState.ACCEPTED)]) == ["S1-1", "S2-1"]
    await copy.close()
    assert await database.read(origin.read) is None
    assert snapshot.check(target) == contents


async def test_copies_made_while_it_is_written_are_each_of_one_instant(database: Database, tmp_path: Path) -> None:
    """Two rows are always written together: no copy has one of them."""
    stop = asyncio.Event()

    async def write() -> int:
        n = 0
        while not stop.is_set():
            n += 1
            await database.write(lambda tx, n=n: (set_meta(tx, "one", str(n)), set_meta(tx, "other", str(n))))  # type: ignore[misc]
            await add(database, n)
        return n

    writing = asyncio.create_task(write())
    counts = []
    for n in range(20):
        target = tmp_path / f"copy{n}.db"
        await asyncio.to_thread(snapshot.copy, database.path, target, WHY, 7.0)
        tx = sqlite3.connect(target)
        one, other = (tx.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone() for key in ("one", "other"))
        assert one == other
        assert tx.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        counts.append(tx.execute("SELECT count(*) FROM job").fetchone()[0])
        tx.close()
    stop.set()
    assert await writing > counts[-1] > counts[0]
    assert counts == sorted(counts)


async def test_a_copy_of_a_database_that_is_compared_itself_distrusts_all_of_it(
    database: Database, tmp_path: Path
) -> None:
    await add(database, 1)
    await database.write(lambda tx: origin.mark(tx, "an earlier reason", 1.0))
    await add(database, 2)
    await asyncio.to_thread(snapshot.copy, database.path, tmp_path / "copy.db", WHY, 7.0)
    copy = Database(tmp_path / "copy.db")
    await copy.open()
    assert await copy.read(origin.read) == origin.Mark(WHY, 2, 7.0)
    await copy.close()


def test_what_is_not_there_or_no_database_is_not_copied(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"there is no database .*none\.db"):
        snapshot.copy(tmp_path / "none.db", tmp_path / "copy.db", WHY, 7.0)
    (tmp_path / "text.db").write_text("no database at all, but long enough to be read as a header" * 10)
    with pytest.raises(StoreBroken, match=r"text\.db is damaged, so no backup of it was made: file is not a database"):
        snapshot.copy(tmp_path / "text.db", tmp_path / "copy.db", WHY, 7.0)
    with pytest.raises(Refused, match="is damaged"):
        snapshot.check(tmp_path / "text.db")


async def test_a_database_that_was_cut_off_is_damaged_and_not_the_copy(database: Database, tmp_path: Path) -> None:
    for n in range(300):
        await add(database, n)
    await database.close()
    os.truncate(database.path, 20_000)
    with pytest.raises(StoreBroken, match="database disk image is malformed"):
        snapshot.copy(database.path, tmp_path / "copy.db", WHY, 7.0)


def test_a_copy_that_cannot_be_written_may_be_later(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "one.db")) as tx:
        tx.execute("CREATE TABLE t (a)")
    with pytest.raises(TryLater, match=r"one\.db cannot be copied"):
        snapshot.copy(tmp_path / "one.db", tmp_path / "nowhere" / "copy.db", WHY, 7.0)


async def test_damage_inside_a_database_is_found(database: Database, tmp_path: Path) -> None:
    for n in range(300):
        await add(database, n)
    target = tmp_path / "copy.db"
    await asyncio.to_thread(snapshot.copy, database.path, target, WHY, 7.0)
    with target.open("r+b") as stream:
        stream.seek(4096 * (target.stat().st_size // 4096 // 2))
        stream.write(b"\xff" * 4096)
    with pytest.raises(Refused, match="damaged"):
        snapshot.check(target)


@pytest.mark.parametrize("schema", [0, migrations()[-1][0] + 1])
async def test_a_copy_of_another_version_is_refused(database: Database, tmp_path: Path, schema: int) -> None:
    target = tmp_path / "copy.db"
    await asyncio.to_thread(snapshot.copy, database.path, target, WHY, 7.0)
    tx = sqlite3.connect(target)
    tx.execute(f"PRAGMA user_version = {schema}")
    tx.close()
    with pytest.raises(Refused, match=f"has schema {schema}, this version of faxgateway knows 1 to"):
        snapshot.check(target)
