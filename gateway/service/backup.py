"""Backups of a state directory: a consistent copy of a gateway, running or not, checked when it is made and when used.

The database is copied first, in one read transaction, then the files its rows name: a file is never changed once it has
its name, and none is removed while the copy is made. A gateway started on what was restored compares it with the
provider's history before it sends anything, see reconcile.py.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from gateway.errors import Refused, TryLater
from gateway.spool import KINDS, sync_directory
from gateway.store import snapshot
from gateway.store.file import StoreBroken
from gateway.store.lock import StateLock
from gateway.store.snapshot import DATABASE

_MANIFEST = "manifest.json"
_FORMAT = 1
_PART = ".faxgateway-backup-"  # how the name begins of one that is being made
_HALF = "restoring"  # in a state directory: a checked copy that takes the place of what is there
_OURS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "spool")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds; ``created_at`` in epoch seconds, ``size`` in bytes. ``missing`` are files that rows name and
    that were not there.
    """

    path: Path
    created_at: float
    version: str
    files: int
    size: int
    open_jobs: int
    received: int
    mails: int
    missing: tuple[str, ...] = ()


def create(state: Path, target: Path, *, version: str, now: float) -> Backup:
    """Copy the state of a gateway to ``target``, which must not exist; durable and checked when this returns.

    No file may be removed meanwhile. Raises Refused when ``target`` exists or there is no database, StoreBroken when that
    is damaged, TryLater when something cannot be read or written.
    """
    target = target.absolute()
    if target.exists():
        raise Refused(f"{target} exists already: name a new directory")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _clear_dead(target.parent)
        part = Path(tempfile.mkdtemp(prefix=_PART, dir=target.parent))
        try:
            with _locked(part):
                _fill(part, state, version, now)
                part.rename(target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        sync_directory(target.parent)
    except OSError as error:
        raise TryLater(f"the backup was not made: {error}") from error
    return check(target)


@contextlib.contextmanager
def _locked(part: Path) -> Iterator[bool]:
    """Show others that a backup is being made, where the file system can; the value is false where it cannot or another is it."""
    descriptor = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _clear_dead(directory: Path) -> None:
    """Remove what backups of ours left behind that were killed."""
    for part in directory.glob(f"{_PART}*"):
        with contextlib.suppress(OSError), _locked(part) as is_dead:
            if is_dead and part.stat().st_uid == os.geteuid():
                shutil.rmtree(part, ignore_errors=True)


def _fill(part: Path, state: Path, version: str, now: float) -> None:
    why = f"the state was restored from a backup of {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC"
    contents = snapshot.copy(state / DATABASE, part / DATABASE, why, now)
    digests = {DATABASE: _sync(part / DATABASE)}
    missing = []
    _make_spool(part)
    for name in sorted(contents.files):
        try:
            digests[f"spool/{name}"] = _copy(state / "spool" / name, part / "spool" / name)
        except FileNotFoundError:
            missing.append(name)
    manifest = {
        "format": _FORMAT, "version": version, "created_at": now, "open_jobs": contents.open_jobs,
        "received": contents.received, "mails": contents.mails, "missing": missing, "sha256": digests,
    }  # fmt: skip
    (part / _MANIFEST).write_text(json.dumps(manifest, indent=1))
    (part / _MANIFEST).chmod(0o600)
    _sync(part / _MANIFEST)
    _sync_tree(part)


def check(source: Path) -> Backup:
    """Read a backup whole and see that it is what was made. Raises Refused, naming what is wrong with it."""
    backup, digests = _manifest(source)
    size = 0
    for name, digest in digests.items():
        path = source / name
        try:
            if _digest(path) != digest:
                raise _damaged(path, "it is not the file that was saved")
            size += path.stat().st_size
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from error
    return Backup(size=size, **backup)


def _damaged(path: Path, why: str) -> Refused:
    return Refused(f"the backup is damaged: {path}: {why}")


def _manifest(source: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The facts of a backup but its size, and the digest of each file."""
    try:
        found = json.loads((source / _MANIFEST).read_text())
        if found["format"] != _FORMAT:
            raise Refused(f"{source} is a backup of a newer version, {found['version']}: install that")
        digests = {str(name): str(digest) for name, digest in found["sha256"].items()}
        facts = {
            "path": source, "created_at": float(found["created_at"]), "version": str(found["version"]),
            "files": len(digests) - 1, "missing": tuple(map(str, found["missing"])),
            **{key: int(found[key]) for key in ("open_jobs", "received", "mails")},
        }  # fmt: skip
    except OSError as error:
        raise Refused(f"{source} is no backup of a gateway: {source / _MANIFEST}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused(
            f"{source} is no backup of a gateway: {source / _MANIFEST} is not what a backup writes"
        ) from error
    if DATABASE not in digests or not all(map(_is_ours, digests)):
        raise Refused(f"{source} is no backup of a gateway: {_MANIFEST} names other files")
    return facts, digests


def _is_ours(name: str) -> bool:
    parts = PurePosixPath(name).parts
    is_payload = len(parts) == 3 and parts[0] == "spool" and parts[1] in KINDS and parts[2] != ".."
    return name == DATABASE or is_payload


# --- restoring --------------------------------------------------------------------------------------------------------


def refuse_half_restored(state: Path) -> None:
    """Raises StoreBroken where a restore ended in the middle: neither what was there nor the backup is in place."""
    if (state / _HALF).exists():
        raise StoreBroken(f"a restore of {state} was begun and did not end: run faxgateway restore again")


def restore(source: Path, state: Path, *, now: float) -> tuple[Backup, Path | None]:
    """Put a checked backup in the place of the state that no gateway uses; durable when this returns.

    What was there is kept in a directory beside it, which is returned, or None when there was nothing. Raises Refused
    for a backup that is damaged or too new, and where the spool is a mount, TryLater when a gateway is running or something
    cannot be written.
    """
    spool = state / "spool"
    if spool.is_mount() or str(spool.resolve()) in {mount for mount, _kind in mounts()}:
        raise Refused(
            f"{spool} is a mount of its own, which cannot be set aside: unmount it, restore, move what is then in it to that"
            " disk, emptied, and mount it again"
        )
    backup = check(source)
    _, digests = _manifest(source)
    try:
        with StateLock(state):
            kept = _restore(source, digests, state, now)
    except OSError as error:
        raise TryLater(f"the backup was not restored: {error}") from error
    return backup, kept


def mounts() -> Iterator[tuple[str, str]]:
    """Where file systems are mounted, and the type of each; also a directory of the same disk. Nothing is told without proc(5)."""
    with contextlib.suppress(FileNotFoundError):
        told = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        yield from map(_mount, told.splitlines())


def _mount(line: str) -> tuple[str, str]:
    _device, mount, kind, *_ = line.split(" ")
    return re.sub(r"\\([0-7]{3})", lambda form: chr(int(form[1], 8)), mount), kind


def _restore(source: Path, digests: dict[str, str], state: Path, now: float) -> Path | None:
    for left in state.glob(f".{_HALF}.*"):  # of one that was killed: we hold the lock
        shutil.rmtree(left)
    part = Path(tempfile.mkdtemp(prefix=f".{_HALF}.", dir=state))
    try:
        _make_spool(part)
        for name, digest in digests.items():
            if _copy(source / name, part / name) != digest:
                raise _damaged(source / name, "it changed while it was read")
        snapshot.check(part / DATABASE)
        _give_to_owner(part, state)
        _sync_tree(part)
        half = state / _HALF
        if half.exists():  # of a restore that did not end
            shutil.rmtree(half)
        part.rename(half)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    sync_directory(state)
    kept = _set_aside(state, now)
    for name in (DATABASE, "spool"):
        (half / name).rename(state / name)
    sync_directory(state)
    half.rmdir()
    sync_directory(state)
    return kept


def _set_aside(state: Path, now: float) -> Path | None:
    """Move away what is there, into a new directory."""
    there = [name for name in _OURS if (state / name).exists()]
    if not there:
        return None
    stem = f"before-restore-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    kept = next(path for path in _numbered(state, stem) if not path.exists())
    kept.mkdir(mode=0o700)
    _give_to_owner(kept, state)
    for name in there:
        (state / name).rename(kept / name)
    sync_directory(kept)
    sync_directory(state)
    return kept


def _numbered(directory: Path, stem: str) -> Iterator[Path]:
    yield directory / stem
    n = 2
    while True:
        yield directory / f"{stem}-{n}"
        n += 1


def _give_to_owner(tree: Path, state: Path) -> None:
    """What root restores belongs to whom the state directory belongs to."""
    owner = state.stat()
    for path in (tree, *tree.rglob("*")):
        if path.stat().st_uid != owner.st_uid:
            os.chown(path, owner.st_uid, owner.st_gid)


# --- files ------------------------------------------------------------------------------------------------------------


def _make_spool(root: Path) -> None:
    for directory in (root / "spool", *(root / "spool" / kind for kind in KINDS)):
        directory.mkdir(mode=0o700)


def _sync_tree(root: Path) -> None:
    """Make the names in it durable; the files are."""
    for directory in (*(root / "spool" / kind for kind in KINDS), root / "spool", root):
        sync_directory(directory)


def _copy(source: Path, target: Path) -> str:
    """Copy a file, durably; returns the sha256 of what was read."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("xb") as writer:
        target.chmod(0o600)
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


def _sync(path: Path) -> str:
    """fsync, and the sha256 of what is there."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
