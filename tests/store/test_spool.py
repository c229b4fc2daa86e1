"""A file is whole, synced and named before anything speaks of it, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import shutil
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.errors import NoSpace, TryLater
from gateway.spool import Spool, SyncFailed
from gateway.store.lock import StateLock


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool", floor=0, reserve=1 << 16)
    spool.open()
    return spool


def left(spool: Spool) -> list[str]:
    return sorted(str(p.relative_to(spool.root)) for p in spool.root.rglob("*") if p.is_file() and p.name != "reserve")


async def test_a_committed_draft_is_private_whole_and_hashed(spool: Spool) -> None:
    draft = spool.draft()
    draft.write(b"hello ")
    draft.write(memoryview(b"world"))
    name = await draft.commit("mail")
    path = spool.path(name)
    assert path.read_bytes() == b"hello world"
    assert path.stat().st_mode & 0o777 == 0o600
    assert draft.sha256 == "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"
    assert draft.size == 11
    draft.discard()
    assert left(spool) == [name]
    with pytest.raises(AssertionError, match="closed"):
        draft.write(b"more")


async def test_a_discarded_draft_leaves_nothing(spool: Spool) -> None:
    draft = spool.draft()
    draft.write(b"x")
    draft.discard()
    draft.discard()
    assert left(spool) == []


def test_a_mail_in_memory_takes_its_size_however_small_its_pieces_are(spool: Spool) -> None:
    draft = spool.mail_draft(1 << 20)
    tracemalloc.start()
    try:
        for n in range(1 << 16):
            draft.write(n.to_bytes(2, "big"))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2 * draft.size
    assert draft.content == b"".join(n.to_bytes(2, "big") for n in range(1 << 16))


@pytest.mark.parametrize("small", [0, 1 << 20], ids=["in a file", "in memory"])
async def test_a_mail_whose_caller_is_cancelled_while_it_is_synced_is_whole_and_nobodys(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    draft = spool.mail_draft(small)
    draft.write(b"hello")
    if not small:
        draft.spill()
    syncing, go = threading.Event(), threading.Event()
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (syncing.set(), go.wait(30), real(fd))[2])
    keeping = asyncio.ensure_future(draft.keep(body=0))
    await asyncio.to_thread(syncing.wait, 30)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    draft.discard()
    go.set()
    async with asyncio.timeout(30):
        while [name.partition("/")[0] for name in left(spool)] != ["mail"]:
            await asyncio.sleep(0.005)
    assert [spool.path(name).read_bytes() for name in left(spool)] == [b"hello"]
    gc.collect()
    assert told == []


async def test_the_file_is_synced_then_renamed_then_the_directory_synced(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append(os.readlink(f"/proc/self/fd/{fd}")), real_fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda self, to: (steps.append("rename"), real_rename(self, to))[1])
    draft = spool.draft()
    tmp = str(draft.path)
    draft.write(b"x")
    await draft.commit("inbound")
    assert steps == [tmp, "rename", str(spool.root / "inbound")]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
async def test_a_full_disk_is_no_space(spool: Spool, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    draft = spool.draft()

    def full(*_: object) -> int:
        raise OSError(code, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NoSpace):
        draft.write(b"x")
    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace):
        await draft.commit("mail")
    monkeypatch.undo()
    assert left(spool) == []


async def test_a_failed_fsync_is_fatal_and_never_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Exception] = []
    spool = Spool(tmp_path / "spool", floor=0, reserve=0, on_fatal=told.append)
    spool.open()
    draft = spool.draft()
    calls = []

    def failing(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(SyncFailed):
        await draft.commit("mail")
    assert len(calls) == 1
    assert len(told) == 1
    draft.discard()


def test_other_trouble_is_try_later(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise OSError(errno.EIO, "I/O error")

    draft = spool.draft()
    monkeypatch.setattr(os, "write", failing)
    with pytest.raises(TryLater) as caught:
        draft.write(b"x")
    assert not isinstance(caught.value, NoSpace)
    draft.discard()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        with pytest.raises(TryLater):
            spool.draft()


def test_below_the_floor_nothing_is_begun(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", floor=1000, reserve=0, free=lambda _: 999)
    spool.open()
    with pytest.raises(NoSpace):
        spool.draft()
    roomy = Spool(tmp_path / "spool", floor=1000, reserve=0, free=lambda _: 5000)
    roomy.check_room(3000)
    with pytest.raises(NoSpace):
        roomy.check_room(4001)


@pytest.mark.parametrize(("files", "left", "enough"), [(5000, 99, False), (5000, 100, True), (0, 0, True)])
def test_a_disk_without_inodes_is_full(
    tmp_path: Path, files: int, left: int, enough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems count none."""
    spool = Spool(tmp_path / "spool", floor=1000, reserve=0)
    spool.open()
    disk = SimpleNamespace(f_bavail=1 << 20, f_frsize=4096, f_files=files, f_favail=left)
    monkeypatch.setattr(os, "statvfs", lambda _path: disk)
    with contextlib.nullcontext() if enough else pytest.raises(NoSpace, match="no room for more files"):
        spool.check_room()


def test_where_nobody_can_tell_how_much_room_there_is_nothing_is_begun(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", floor=1000, reserve=0)
    spool.open()
    shutil.rmtree(spool.root)
    with pytest.raises(TryLater, match="cannot write to its disk"):
        spool.check_room()


def test_the_reserve_is_kept_given_back_and_kept_again(spool: Spool) -> None:
    assert spool.reserve.stat().st_size == 1 << 16
    assert spool.release_reserve()
    assert not spool.release_reserve()
    assert spool.keep_reserve()
    assert spool.keep_reserve()


def test_no_reserve_is_taken_from_a_full_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", floor=1000, reserve=1000, free=lambda _: 1500)
    spool.open()
    assert not spool.reserve.exists()


async def test_opening_empties_tmp_and_keeps_the_rest(spool: Spool) -> None:
    draft = spool.draft()
    draft.write(b"kept")
    name = await draft.commit("mail")
    work = spool.work_directory()
    (work / "part").write_bytes(b"x")
    (work / "deep").mkdir()
    (work / "deep" / "er").write_bytes(b"x")
    (spool.root / "tmp" / "half").write_bytes(b"x")
    again = Spool(spool.root, floor=0, reserve=1 << 16)
    again.open()
    assert left(again) == [name]


async def test_orphans_are_swept_when_old_and_known_files_stay(spool: Spool) -> None:
    names = []
    for _ in range(3):
        draft = spool.draft()
        names.append(await draft.commit("document"))
    os.utime(spool.path(names[0]), (10, 10))
    os.utime(spool.path(names[1]), (10, 10))
    assert spool.sweep({names[0]}, older_than=1000) == [names[1]]
    spool.remove([names[0], names[0]])
    assert left(spool) == [names[2]]


async def test_a_file_of_another_process_is_adopted(spool: Spool) -> None:
    work = spool.work_directory()
    (work / "out").write_bytes(b"made")
    name = await spool.adopt(work / "out", "document")
    assert spool.path(name).read_bytes() == b"made"


@pytest.mark.parametrize("name", ["", "mail/", "mail/../x", "other/x", "mail/a/b", "mail/.hidden", "x"])
def test_only_spool_names_become_paths(spool: Spool, name: str) -> None:
    with pytest.raises(ValueError, match="spool name"):
        spool.path(name)


def test_one_daemon_a_directory(tmp_path: Path) -> None:
    with StateLock(tmp_path), pytest.raises(TryLater, match=f"process {os.getpid()}"):
        StateLock(tmp_path).acquire()
    with StateLock(tmp_path):
        (tmp_path / "lock").unlink()  # as what was left behind by a crash
        with pytest.raises(TryLater, match="another faxgateway is using"):
            StateLock(tmp_path).acquire()
    with StateLock(tmp_path):
        pass
    StateLock(tmp_path).release()


async def test_what_no_row_knows_is_set_aside_for_good_and_known_files_stay(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for kind in ("mail", "document", "inbound", "mail"):
        draft = spool.draft()
        draft.write(kind.encode())
        names.append(await draft.commit(kind))
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append(os.readlink(f"/proc/self/fd/{fd}")), real_fsync(fd))[1])
    monkeypatch.setattr(Path, "rename", lambda self, to: (steps.append("rename"), real_rename(self, to))[1])
    assert spool.set_aside({names[0]}) == sorted(names[1:])
    assert steps[:3] == ["rename"] * 3
    assert sorted(steps[3:]) == sorted(str(spool.root / name) for name in ("orphan", "mail", "document", "inbound"))
    assert spool.names() == {names[0]}
    aside = {file.name: file.read_bytes() for file in spool.orphans.iterdir()}
    assert aside == {name.replace("/", "-"): name.partition("/")[0].encode() for name in names[1:]}
    assert spool.set_aside({names[0]}) == []
    assert len(steps) == 7  # with nothing to do nothing is synced


async def test_what_was_set_aside_is_removed_a_while_after_that(spool: Spool) -> None:
    draft = spool.draft()
    draft.write(b"x")
    name = await draft.commit("mail")
    os.utime(spool.path(name), (1000, 1000))  # it came long ago
    spool.set_aside(set())
    (aside,) = spool.orphans.iterdir()
    since = aside.stat().st_mtime
    assert spool.sweep(set(), older_than=since) == []
    assert spool.sweep(set(), older_than=since + 1) == [f"orphan/{aside.name}"]
    assert left(spool) == []


async def test_frozen_it_keeps_whatever_it_has(spool: Spool) -> None:
    draft = spool.draft()
    draft.write(b"content")
    name = await draft.commit("mail")
    spool.freeze()
    spool.remove([name])
    assert spool.sweep(set(), older_than=2e10) == []
    assert left(spool) == [name]


def test_before_it_is_opened_a_spool_has_no_names_and_makes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    assert spool.names() == set()
    assert not spool.root.exists()


def test_a_directory_one_cannot_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool", floor=0, reserve=0)
    spool.open()
    denied = str(spool.root / "inbound")
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != denied and real(path, mode))
    with pytest.raises(PermissionError) as caught:
        spool.open()
    assert caught.value.filename == denied
