"""A write-ahead log as a crash leaves it is no damage; one that has lost commits is told from it, to the byte."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import tracemalloc
from pathlib import Path

import pytest

from gateway.store.wal import lost_after

PAGE = 4096
FRAME = 24 + PAGE


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """The log of a killed process with five commits of a page each, beside its database."""
    live = tmp_path / "live.db"
    database = sqlite3.connect(live, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute("CREATE TABLE t (n)")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for n in range(5):
        database.execute("INSERT INTO t VALUES (?)", (n,))
    for end in ("", "-wal"):
        shutil.copy(f"{live}{end}", tmp_path / f"crashed.db{end}")
    database.close()
    return tmp_path / "crashed.db-wal"


def survivors(log: Path) -> int:
    """How many rows SQLite finds."""
    database = sqlite3.connect(str(log).removesuffix("-wal"))
    try:
        return int(database.execute("SELECT count(*) FROM t").fetchone()[0])
    finally:
        database.close()


def flip(log: Path, place: int) -> None:
    with log.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ 0x55]))


def test_a_log_that_was_left_by_a_kill_is_whole(crashed: Path) -> None:
    assert crashed.stat().st_size == 32 + 5 * FRAME
    assert lost_after(crashed) is None
    assert survivors(crashed) == 5


def test_no_log_and_an_empty_log_are_none(tmp_path: Path) -> None:
    assert lost_after(tmp_path / "none") is None
    (tmp_path / "empty").touch()
    assert lost_after(tmp_path / "empty") is None
    (tmp_path / "unsynced").write_bytes(bytes(32 + FRAME))
    assert lost_after(tmp_path / "unsynced") is None


@pytest.mark.parametrize("frame", range(4))
@pytest.mark.parametrize("within", [0, 4, 8, 16, 24, 24 + PAGE - 1])
def test_damage_before_the_last_commit_is_told_with_the_place_where_it_begins(
    crashed: Path, frame: int, within: int
) -> None:
    flip(crashed, 32 + frame * FRAME + within)
    place = lost_after(crashed)
    if frame == 3 and within in (4, 8):  # the fourth is no commit any more, as far as can be seen: a crash may do that
        assert place in (None, 32 + 3 * FRAME)
        return
    assert place == 32 + frame * FRAME
    os.truncate(crashed, place)  # the way out that the refusal names
    assert lost_after(crashed) is None
    assert survivors(crashed) == frame


def test_a_torn_last_commit_is_what_a_power_cut_leaves(crashed: Path) -> None:
    flip(crashed, 32 + 4 * FRAME + 100)
    assert lost_after(crashed) is None
    os.truncate(crashed, crashed.stat().st_size - 1000)
    assert lost_after(crashed) is None
    assert survivors(crashed) == 4


def test_frames_of_an_earlier_round_behind_the_end_are_no_damage(tmp_path: Path) -> None:
    live = tmp_path / "live.db"
    database = sqlite3.connect(live, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE t (n)")
    for n in range(20):
        database.execute("INSERT INTO t VALUES (?)", (n,))
    database.execute("PRAGMA wal_checkpoint(RESTART)")
    database.execute("INSERT INTO t VALUES (99)")
    log = tmp_path / "live.db-wal"
    assert log.stat().st_size > 32 + 15 * FRAME  # the old ones are still there
    assert lost_after(log) is None
    database.close()


def test_a_long_log_is_not_read_into_memory(crashed: Path) -> None:
    os.truncate(crashed, 64 << 20)
    tracemalloc.start()
    assert lost_after(crashed) is None
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 20


@pytest.mark.parametrize("place", [0, 8, 17, 25])
def test_a_damaged_header_loses_all(crashed: Path, place: int) -> None:
    flip(crashed, place)
    assert lost_after(crashed) == 0


def test_checksums_in_the_other_order_of_bytes_are_understood(crashed: Path) -> None:
    """A log that was begun on a big-endian machine."""
    data = bytearray(crashed.read_bytes())
    header = list(struct.unpack_from(">8I", data))
    header[0] |= 1
    sums = (0, 0)

    def add(words: bytes, sums: tuple[int, int]) -> tuple[int, int]:
        one, two = sums
        values = struct.unpack(f">{len(words) // 4}I", words)
        for a, b in zip(values[::2], values[1::2], strict=True):
            one = (one + a + two) & 0xFFFFFFFF
            two = (two + b + one) & 0xFFFFFFFF
        return one, two

    sums = add(struct.pack(">6I", *header[:6]), sums)
    struct.pack_into(">8I", data, 0, *header[:6], *sums)
    for place in range(32, len(data), FRAME):
        sums = add(bytes(data[place : place + 8]), sums)
        sums = add(bytes(data[place + 24 : place + FRAME]), sums)
        struct.pack_into(">2I", data, place + 16, *sums)
    crashed.write_bytes(data)
    assert lost_after(crashed) is None
    flip(crashed, 32 + 100)
    assert lost_after(crashed) == 32
    flip(crashed, 32 + 100)
    assert survivors(crashed) == 5
