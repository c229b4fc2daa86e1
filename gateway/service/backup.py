"""Backups of a state directory: a consistent copy of a running gateway, checked when it is made and when it is used.

The database is copied first, in one read transaction (SQLite, ``VACUUM INTO``), then the files its rows name: a file is
never changed once it has its name, and none is removed while the copy is made. A gateway started on a restored directory
compares it with the provider's history before it sends anything, see :mod:`gateway.service.reconcile`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.errors import Refused, TryLater
from gateway.spool import KINDS, sync_directory
from gateway.store import snapshot
from gateway.store.lock import StateLock
from gateway.store.snapshot import DATABASE

_MANIFEST = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds; ``created_at`` in epoch seconds, ``size`` in bytes."""

    path: Path
    created_at: float
    files: int
    size: int


def create(state: Path, target: Path, *, version: str, now: float) -> Backup:
    """Copy the state of a gateway, running or not, to ``target``, which must not exist; durable when this returns.

    Raises Refused when ``target`` exists, TryLater when it cannot be written, or the database not be read.
    """
    if target.exists():
        raise Refused(f"{target} exists already: name a new directory")
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(mode=0o700, parents=True)
        names = snapshot.copy(state / DATABASE, part / DATABASE)
        digests = {DATABASE: _sync(part / DATABASE)}
        for kind in KINDS:
            (part / "spool" / kind).mkdir(mode=0o700, parents=True)
        for name in sorted(names):
            digests[f"spool/{name}"] = _copy(state / "spool" / name, part / "spool" / name)
        manifest = {"format": _FORMAT, "version": version, "created_at": now, "sha256": digests}
        (part / _MANIFEST).write_text(json.dumps(manifest, indent=1))
        _sync(part / _MANIFEST)
        for kind in KINDS:
            sync_directory(part / "spool" / kind)
        for directory in (part / "spool", part):
            sync_directory(directory)
        part.rename(target)
        sync_directory(target.absolute().parent)
    except OSError as error:
        raise TryLater(f"the backup was not made: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return check(target)


def check(source: Path) -> Backup:
    """Read a backup whole and see that it is what was made. Raises Refused, naming what is wrong with it."""
    manifest = _manifest(source)
    size = 0
    for name, digest in manifest["sha256"].items():
        path = source / name
        try:
            if _digest(path) != digest:
                raise Refused(f"the backup is damaged: {path} is not the file that was saved")
            size += path.stat().st_size
        except OSError as error:
            raise Refused(f"the backup is damaged: {path}: {error.strerror}") from error
    return Backup(source, float(manifest["created_at"]), len(manifest["sha256"]) - 1, size)


def restore(source: Path, state: Path, *, now: float) -> Path | None:
    """Put a checked backup in the place of a state directory that no gateway uses; durable when this returns.

    What was there is kept beside it; returns where, None when there was nothing. Raises Refused for a damaged backup,
    TryLater when a gateway is running on ``state`` or the copy cannot be written.
    """
    backup = check(source)
    kept: Path | None = None
    try:
        fresh = state.with_name(f"{state.name}.restoring")
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns(_MANIFEST))
        made = time.strftime("%F %T", time.gmtime(backup.created_at))
        snapshot.mark(fresh / DATABASE, f"restored from a backup of {made} UTC")
        for path in (*sorted(fresh.rglob("*"), reverse=True), fresh):
            path.chmod(0o700 if path.is_dir() else 0o600)
            sync_directory(path) if path.is_dir() else _sync(path)
        with StateLock(state):
            kept = _aside(state, now)
            fresh.rename(state)
        sync_directory(state.absolute().parent)
    except OSError as error:
        raise TryLater(f"the backup was not restored: {error}") from error
    return kept


def _aside(state: Path, now: float) -> Path | None:
    """Move the old directory away, if it holds anything but the lock that was just made."""
    if [each.name for each in state.iterdir()] == ["lock"]:
        shutil.rmtree(state)
        return None
    kept = state.with_name(f"{state.name}.before-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}")
    state.rename(kept)
    return kept


def _manifest(source: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((source / _MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise Refused(f"{source} is no backup of a gateway: {_MANIFEST}: {error}") from error
    if (
        not isinstance(manifest, dict)
        or manifest.get("format") != _FORMAT
        or DATABASE not in manifest.get("sha256", ())
    ):
        raise Refused(f"{source} is no backup that this version can read")
    return manifest


def _copy(source: Path, target: Path) -> str:
    shutil.copyfile(source, target)
    target.chmod(0o600)
    return _sync(target)


def _sync(path: Path) -> str:
    """fsync, and the sha256 of what is there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
