"""A backup is whole, private and checked; a restore loses nothing, neither of the backup nor of what was there."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from gateway.errors import Refused, TryLater
from gateway.service import backup
from gateway.service.backup import check, create, refuse_half_restored, restore
from gateway.service.keeping import Keeping
from gateway.store import files, origin
from gateway.store.file import StoreBroken
from gateway.store.lock import StateLock

from .house import START, House


async def backed_up(house: House, target: Path) -> backup.Backup:
    return await asyncio.to_thread(create, house.root, target, version="1.2.3", now=START)


def modes(tree: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in (tree, *tree.rglob("*")) if path.is_dir()}


async def test_a_backup_of_a_house_at_work_holds_what_its_rows_name_and_no_more(house: House, tmp_path: Path) -> None:
    await house.uploaded()
    orphan = house.root / "spool/mail/orphan"
    orphan.write_text("no row names it")
    made = await backed_up(house, tmp_path / "there" / "b1")
    named = await house.database.read(files.named)
    assert len(named) == 2
    assert (made.files, made.open_jobs, made.received, made.mails, made.missing) == (2, 1, 0, 0, ())
    assert (made.created_at, made.version) == (START, "1.2.3")
    for name in named:
        copy = made.path / "spool" / name
        assert copy.read_bytes() == (house.root / "spool" / name).read_bytes()
        assert copy.stat().st_mode & 0o777 == 0o600
    assert made.size == sum(
        (made.path / name).stat().st_size for name in ("faxgateway.db", *(f"spool/{n}" for n in named))
    )
    assert modes(made.path) == {0o700}
    assert (made.path / "manifest.json").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in (tmp_path / "there").iterdir()] == ["b1"]
    assert check(made.path) == made


async def test_nothing_that_exists_is_written_over(house: House, tmp_path: Path) -> None:
    (tmp_path / "b1").mkdir()
    (tmp_path / "b1" / "precious").touch()
    with pytest.raises(Refused, match="exists already: name a new directory"):
        await backed_up(house, tmp_path / "b1")
    assert [each.name for each in (tmp_path / "b1").iterdir()] == ["precious"]


async def test_a_file_that_is_lost_does_not_make_backups_impossible(house: House, tmp_path: Path) -> None:
    await house.uploaded()
    (document,) = house.files("document")
    document.unlink()
    made = await backed_up(house, tmp_path / "b1")
    assert made.missing == (f"document/{document.name}",)
    assert made.files == 1


async def test_a_backup_that_cannot_be_written_leaves_nothing(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.uploaded()
    place = tmp_path / "there"

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup, "_copy", full)
    with pytest.raises(TryLater, match=r"the backup was not made: .*No space left"):
        await backed_up(house, place / "b1")
    assert list(place.iterdir()) == []


async def test_what_a_killed_backup_left_goes_with_the_next_one_and_what_is_being_made_stays(
    house: House, tmp_path: Path
) -> None:
    await house.uploaded()
    left, other, ours = (tmp_path / f".faxgateway-backup-{name}" for name in ("left", "other", "ours"))
    for each in (left, other):
        (each / "spool").mkdir(parents=True)
    ours.symlink_to(house.root)
    with backup._locked(other):
        await backed_up(house, tmp_path / "b1")
    assert sorted(each.name for each in tmp_path.glob(".faxgateway-backup-*")) == [other.name, ours.name]
    assert list((house.root / "spool").iterdir())


async def test_it_is_synced_before_it_gets_its_name(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.uploaded()
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        steps.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real_fsync(descriptor)

    def rename(path: Path, to: Path) -> Path:
        steps.append(f"rename {to}")
        return real_rename(path, to)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    await backed_up(house, tmp_path / "b1")
    named = steps.index(f"rename {tmp_path / 'b1'}")
    synced = {Path(step).name for step in steps[:named]}
    assert {"faxgateway.db", "manifest.json", "mail", "document", "inbound", "spool"} <= synced
    assert {file.name for kind in ("mail", "document") for file in house.files(kind)} <= synced
    assert steps[named + 1 :] == [str(tmp_path)]


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (lambda b: (b / "faxgateway.db").write_bytes(b"x"), "is not the file that was saved"),
        (lambda b: next((b / "spool/mail").iterdir()).write_bytes(b"x"), "is not the file that was saved"),
        (lambda b: next((b / "spool/mail").iterdir()).unlink(), "No such file"),
        (
            lambda b: (b / "manifest.json").unlink(),
            r"is no backup of a gateway: \S+/manifest\.json: No such file or directory$",
        ),
        (lambda b: (b / "manifest.json").write_text("{"), "is no backup of a gateway: .* is not what a backup writes$"),
        (lambda b: (b / "manifest.json").write_text("[]"), "is no backup of a gateway"),
        (lambda b: edit(b, format=2), "is a backup of a newer version, 1.2.3"),
        (lambda b: edit(b, sha256={"../../etc/passwd": "0", "faxgateway.db": "0"}), "names other files"),
        (lambda b: edit(b, sha256={"spool/mail/..": "0", "faxgateway.db": "0"}), "names other files"),
        (lambda b: edit(b, sha256={}), "names other files"),
    ],
)
async def test_what_is_damaged_or_none_is_neither_checked_nor_restored(
    house: House, tmp_path: Path, hurt: Callable[[Path], object], words: str
) -> None:
    await house.uploaded()
    made = await backed_up(house, tmp_path / "b1")
    hurt(made.path)
    with pytest.raises(Refused, match=words):
        check(made.path)
    with pytest.raises(Refused, match=words):
        restore(made.path, tmp_path / "new", now=START)
    assert not (tmp_path / "new").exists()


def edit(place: Path, **changes: object) -> None:
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps({**manifest, **changes}))


# --- restoring --------------------------------------------------------------------------------------------------------


async def test_what_is_restored_is_what_was_saved_and_what_was_there_is_kept(house: House, tmp_path: Path) -> None:
    job = await house.uploaded()
    made = await backed_up(house, tmp_path / "b1")
    later = await house.submit("+12025550124")
    await house.close()
    (house.root / "notes.txt").write_text("not ours")
    restored, kept = restore(made.path, house.root, now=START)
    assert restored == made
    assert kept == house.root / "before-restore-20261123-101500"
    assert (house.root / "notes.txt").read_text() == "not ours"
    assert modes(kept) == modes(house.root / "spool") == {0o700}
    before = sqlite3.connect(kept / "faxgateway.db")
    assert before.execute("SELECT count(*) FROM submission WHERE id = ?", (later,)).fetchone() == (1,)
    before.close()
    assert len(list((kept / "spool/mail").iterdir())) == 2
    again = House(house.root, house.provider)
    await again.open()
    assert [each.id for each in await again.jobs()] == [job.id]
    mark = await again.database.read(origin.read)
    assert mark is not None
    assert mark.why == "the state was restored from a backup of 2026-11-23 10:15 UTC"
    assert again.spool.names() == set(await again.database.read(files.named))
    await again.reconcile.begin()
    assert not again.gate.is_open
    await again.close()


async def test_a_restore_to_a_new_place_keeps_nothing(house: House, tmp_path: Path) -> None:
    made = await backed_up(house, tmp_path / "b1")
    _, kept = restore(made.path, tmp_path / "new", now=START)
    assert kept is None
    assert sorted(each.name for each in (tmp_path / "new").iterdir()) == ["faxgateway.db", "lock", "spool"]


async def test_two_restores_within_a_second_keep_both_states(house: House, tmp_path: Path) -> None:
    made = await backed_up(house, tmp_path / "b1")
    await house.close()
    _, first = restore(made.path, house.root, now=START)
    _, second = restore(made.path, house.root, now=START)
    assert first is not None
    assert second == first.with_name(f"{first.name}-2")
    assert (first / "faxgateway.db").exists()
    assert (second / "faxgateway.db").exists()


async def test_a_log_of_what_was_there_is_not_taken_for_one_of_the_backup(house: House, tmp_path: Path) -> None:
    made = await backed_up(house, tmp_path / "b1")
    await house.uploaded()
    killed = house.copy("killed")
    assert (killed.root / "faxgateway.db-wal").stat().st_size > 0
    _, kept = restore(made.path, killed.root, now=START)
    assert kept is not None
    assert (kept / "faxgateway.db-wal").exists()
    assert not (killed.root / "faxgateway.db-wal").exists()
    await killed.open()
    assert await killed.jobs() == []
    await killed.close()


async def test_a_running_gateway_is_not_restored_over(house: House, tmp_path: Path) -> None:
    made = await backed_up(house, tmp_path / "b1")
    with StateLock(house.root), pytest.raises(TryLater, match=r"another faxgateway .* is using"):
        restore(made.path, house.root, now=START)


async def test_a_restore_that_cannot_be_written_changes_nothing(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await house.uploaded()
    made = await backed_up(house, tmp_path / "b1")
    await house.close()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(backup, "_copy", full)
    with pytest.raises(TryLater, match=r"the backup was not restored: .*No space left"):
        restore(made.path, house.root, now=START)
    assert sorted(each.name for each in house.root.iterdir()) == ["faxgateway.db", "lock", "spool"]
    refuse_half_restored(house.root)
    again = await House(house.root).open()
    assert [each.id for each in await again.jobs()] == [job.id]
    await again.close()


async def test_a_spool_that_is_a_mount_of_its_own_is_told_before_anything_is_moved(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await backed_up(house, tmp_path / "b1")
    await house.close()
    there = sorted(house.root.iterdir())
    told = f"/dev/sda {str(house.root).replace('s', chr(92) + '163')}/spool ext4 rw 0 0\n"  # a bind mount, too
    monkeypatch.setattr(Path, "read_text", lambda _path, **_more: told)
    with pytest.raises(Refused, match="is a mount of its own, which cannot be set aside: unmount it"):
        restore(made.path, house.root, now=START)
    assert sorted(house.root.iterdir()) == there


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(8))
async def test_killed_at_any_step_a_restore_is_refused_by_a_start_or_has_not_begun_and_can_be_made_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    job = await house.uploaded()
    made = await backed_up(house, tmp_path / "b1")
    later = await house.submit("+12025550124")
    await house.close()
    steps = 0
    real_rename, real_rmdir = Path.rename, Path.rmdir

    def step() -> None:
        nonlocal steps
        if steps == at:
            raise Killed
        steps += 1

    monkeypatch.setattr(Path, "rename", lambda path, to: (step(), real_rename(path, to))[1])
    monkeypatch.setattr(Path, "rmdir", lambda path: (step(), real_rmdir(path))[1])
    try:
        restore(made.path, house.root, now=START)
        ended = True
    except Killed:
        ended = False
    monkeypatch.undo()
    assert ended == (at >= 6)  # six steps: it is ready, two that go, two that come, and the end
    if not ended:
        if at:
            with pytest.raises(StoreBroken, match="was begun and did not end: run faxgateway restore again"):
                refuse_half_restored(house.root)
        else:
            refuse_half_restored(house.root)
        restore(made.path, house.root, now=START)
    refuse_half_restored(house.root)
    again = await House(house.root).open()
    assert [each.id for each in await again.jobs()] == [job.id]
    assert again.spool.names() == set(await again.database.read(files.named))
    await again.close()
    mails = {file.read_bytes() for file in house.root.glob("before-restore-*/spool/mail/*")}
    assert len(mails) == 1  # the two mails are alike
    rows = []
    for database in house.root.glob("before-restore-*/faxgateway.db"):
        with closing(sqlite3.connect(database)) as tx:
            rows += tx.execute("SELECT id FROM submission").fetchall()
    assert (later,) in rows


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_what_root_restores_belongs_to_whom_the_directory_belongs_to(house: House, tmp_path: Path) -> None:
    await house.uploaded()
    made = await backed_up(house, tmp_path / "b1")
    await house.close()
    for path in (house.root, *house.root.rglob("*")):
        os.chown(path, 65534, 65534)
    shutil.rmtree(house.root / "lock", ignore_errors=True)
    (house.root / "lock").unlink(missing_ok=True)
    restore(made.path, house.root, now=START)
    assert {path.stat().st_uid for path in (house.root, *house.root.rglob("*"))} == {65534}


# --- files are kept while they are copied -----------------------------------------------------------------------------


async def test_while_files_are_copied_none_is_removed() -> None:
    now = 100.0
    keeping = Keeping(steady=lambda: now)
    async with keeping.removing() as may:
        assert may
        asked = asyncio.create_task(keeping.keep(60))
        await asyncio.sleep(0)
        assert not asked.done()  # what is being removed is gone first
    await asked
    now = 159.0
    async with keeping.removing() as may:
        assert not may
    now = 161.0  # who copied has not been heard of again
    async with keeping.removing() as may:
        assert may
    await keeping.keep(60)
    await keeping.keep(0)
    async with keeping.removing() as may:
        assert may
