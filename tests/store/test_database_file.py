"""Before SQLite opens it, the file is looked at: a lost database is no new one, and a copy is told from the original."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from gateway.errors import NoSpace, TryLater
from gateway.store import db, file, origin
from gateway.store.db import Database, get_meta, set_meta
from gateway.store.file import StoreBroken, claim, is_same_place


async def made(path: Path) -> Path:
    """A database that was used and closed."""
    database = Database(path / "faxgateway.db")
    await database.open()
    await database.write(lambda tx: set_meta(tx, "a", "1"))
    await database.close()
    return database.path


def test_a_new_file_is_private_and_empty(tmp_path: Path) -> None:
    assert claim(tmp_path / "db", may_be_new=True)
    assert (tmp_path / "db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "db").stat().st_size == 0


async def test_what_another_program_holds_is_not_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "_LOCK_PATIENCE", 0.1)
    path = await made(tmp_path)
    shell = sqlite3.connect(path, isolation_level=None)
    database = Database(path)
    shell.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TryLater, match=rf"another program holds the database {path}: end it \(fuser"):
        await database.open()
    shell.execute("ROLLBACK")
    await database.open()
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(TryLater, match="cannot record anything now: another program holds its database"):
        await database.write(lambda tx: set_meta(tx, "b", "1"))
    shell.close()
    await database.write(lambda tx: set_meta(tx, "b", "2"))
    await database.close()


@pytest.mark.parametrize("how", ["missing", "empty"])
async def test_a_database_that_has_lost_all_is_not_taken_for_a_new_one(tmp_path: Path, how: str) -> None:
    if how == "empty":
        (tmp_path / "db").touch()
    with pytest.raises(StoreBroken, match=f"is {how}, but the spool beside it was in use"):
        await Database(tmp_path / "db").open(may_be_new=False)
    assert (tmp_path / "db").exists() is (how == "empty")


async def test_a_database_without_tables_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "db")
    foreign.execute("CREATE TABLE t (n)")
    foreign.close()
    with pytest.raises(StoreBroken, match="is empty, but the spool"):
        await Database(tmp_path / "db").open(may_be_new=False)


async def test_an_emptied_database_keeps_its_log_for_who_mends_it(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    await database.open()
    await database.write(lambda tx: set_meta(tx, "a", "1"))
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(tmp_path / "db-wal", copy / "db-wal")
    await database.close()
    (copy / "db").touch()
    with pytest.raises(StoreBroken):
        await Database(copy / "db").open(may_be_new=False)
    assert (copy / "db-wal").stat().st_size > 0  # SQLite would have deleted it


async def test_a_damaged_log_is_refused_with_the_way_out(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    await database.open()
    for n in range(5):
        await database.write(lambda tx, n=n: set_meta(tx, "a", str(n)))  # type: ignore[misc]
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("db", "db-wal"):
        shutil.copy(tmp_path / name, copy / name)
    await database.close()
    size = (copy / "db-wal").stat().st_size
    with (copy / "db-wal").open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(b"damage")
    with pytest.raises(StoreBroken, match=r"db-wal is damaged, and what was recorded last is lost") as caught:
        await Database(copy / "db").open()
    command = caught.value.public.partition("to go on with what is left: ")[2].split()
    assert (command[:2], command[3]) == (["truncate", "-s"], str(copy / "db-wal"))
    os.truncate(copy / "db-wal", int(command[2]))
    again = Database(copy / "db")
    await again.open()
    await again.close()


async def test_after_a_crash_the_log_is_written_back_so_that_it_never_holds_the_rests_of_two(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    await database.open()
    await database.write(lambda tx: set_meta(tx, "a", "1"))
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("db", "db-wal"):
        shutil.copy(tmp_path / name, copy / name)
    await database.close()
    before = (copy / "db-wal").stat().st_size
    again = Database(copy / "db")
    await again.open()
    assert (copy / "db-wal").stat().st_size < before
    assert await again.read(lambda tx: get_meta(tx, "a")) == "1"
    await again.close()


# --- its place --------------------------------------------------------------------------------------------------------


async def test_a_copy_is_elsewhere_and_what_was_moved_is_not(tmp_path: Path) -> None:
    path = await made(tmp_path)
    place = claim(path, may_be_new=False)
    assert claim(path, may_be_new=False) == place
    shutil.copy2(path, tmp_path / "copy")
    assert not is_same_place(claim(tmp_path / "copy", may_be_new=False), place)
    path.rename(tmp_path / "moved")
    assert claim(tmp_path / "moved", may_be_new=False) == place


def test_an_inode_that_is_used_again_is_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_same_place("12.7", "12.7")
    assert not is_same_place("12.7", "12.8")
    assert not is_same_place("12.7", "13.7")
    assert is_same_place("12", "12.8")  # a file system or a kernel that tells no generation says nothing
    assert not is_same_place("12", "13")

    def no_generation(*_: object) -> bytes:
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(file.fcntl, "ioctl", no_generation)
    assert claim(tmp_path / "db", may_be_new=True) == str((tmp_path / "db").stat().st_ino)


async def test_where_it_is_used_is_remembered(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")
    await database.open()
    place = database.place
    assert not await database.read(lambda tx: origin.was_elsewhere(tx, place))  # never used before
    await database.write(lambda tx: origin.settle_at(tx, place))
    assert not await database.read(lambda tx: origin.was_elsewhere(tx, place))
    assert await database.read(lambda tx: origin.was_elsewhere(tx, "1.1"))
    await database.close()


# --- a full disk ------------------------------------------------------------------------------------------------------


class Full:
    """Tables fill their file: as a full disk, by SQLite's own limit. The reserve gives ``more`` pages."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
        from gateway.store import db

        self.more, self.pages, self.asked = more, 3, 0
        prepare = db._prepare

        def limited(tx: sqlite3.Connection) -> None:
            tx.execute(f"PRAGMA max_page_count = {self.pages}")
            prepare(tx)

        monkeypatch.setattr(db, "_prepare", limited)

    def relieve(self) -> bool:
        self.asked += 1
        self.pages += self.more
        return self.more > 0


async def test_a_start_on_a_full_disk_takes_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Full(monkeypatch, 1000)
    database = Database(tmp_path / "db", on_full=disk.relieve)
    await database.open()
    assert disk.asked == 1
    await database.close()


@pytest.mark.parametrize("more", [0, 1])
async def test_a_start_on_a_full_disk_without_enough_reserve_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    database = Database(tmp_path / "db", on_full=Full(monkeypatch, more).relieve)
    with pytest.raises(NoSpace, match="the disk is full"):
        await database.open()
    await database.close()


# --- taken away while it is in use ------------------------------------------------------------------------------------


@pytest.mark.parametrize("removed", [("", "-wal", "-shm"), ("",), ("-wal",)])
@pytest.mark.parametrize("is_stopped", [False, True])
async def test_what_is_removed_while_in_use_is_there_again_at_the_next_start(
    tmp_path: Path, removed: tuple[str, ...], *, is_stopped: bool
) -> None:
    told: list[Exception] = []
    database = Database(tmp_path / "faxgateway.db", on_fatal=told.append)
    await database.open()
    await database.write(lambda tx: set_meta(tx, "a", "1"))
    for each in removed:
        Path(f"{database.path}{each}").unlink()
    if not is_stopped:
        with pytest.raises(TryLater, match="cannot record anything now"):
            await database.write(lambda tx: set_meta(tx, "b", "1"))
        assert "removed or replaced while in use" in str(told[0])
    await database.close()
    again = Database(database.path)
    await again.open(may_be_new=False)
    assert await again.read(lambda tx: (get_meta(tx, "a"), get_meta(tx, "b"))) == ("1", None)
    await again.close()


async def test_what_is_replaced_while_in_use_is_kept_beside_it(tmp_path: Path) -> None:
    other = await made(tmp_path)
    other.rename(tmp_path / "other")
    database = Database(tmp_path / "faxgateway.db")
    await database.open()
    await database.write(lambda tx: set_meta(tx, "a", "2"))
    (tmp_path / "other").rename(database.path)
    with pytest.raises(TryLater):
        await database.write(lambda tx: set_meta(tx, "b", "1"))
    await database.close()
    for path, value in ((database.path, "1"), (tmp_path / "faxgateway.db.kept", "2")):
        again = Database(path)
        await again.open(may_be_new=False)
        assert await again.read(lambda tx: get_meta(tx, "a")) == value
        await again.close()
