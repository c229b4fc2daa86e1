"""The database as a file, looked at before SQLite opens it: is it there, whole, ours to write, and where it was before?

SQLite takes an empty file for a new database, and forgets the part of a write-ahead log that it cannot read. Neither may
pass for a start.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from gateway.errors import GatewayError
from gateway.store import wal

_GETVERSION = 0x80087601  # FS_IOC_GETVERSION of linux/fs.h: the generation of an inode, as its number is used again


class StoreBroken(GatewayError):
    """The database cannot be trusted or written: the daemon must not accept or send anything."""


def claim(path: Path, *, may_be_new: bool) -> str:
    """Make sure that SQLite may open ``path``, created empty if it may be new; returns its place, see :func:`_place`.

    It must not be open in this process: closing a file drops all locks that the process has on it. Raises as
    :func:`look`, and OSError for one that cannot be read and written.
    """
    look(path, may_be_new=may_be_new)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        return _place(descriptor)
    finally:
        os.close(descriptor)


def look(path: Path, *, may_be_new: bool) -> None:
    """Raises :class:`StoreBroken` for a database that has lost what it held, as far as its files tell."""
    missing = not path.exists() or path.stat().st_size == 0
    if missing and not may_be_new:
        raise lost(path, "empty" if path.exists() else "missing")
    if (offset := wal.lost_after(Path(f"{path}-wal"))) is not None:
        raise StoreBroken(
            f"the write-ahead log {path}-wal is damaged, and what was recorded last is lost: restore a backup"
            f" (faxgateway restore); to go on with what is left: truncate -s {offset} {path}-wal"
        )


def lost(path: Path, how: str) -> StoreBroken:
    """The refusal of a database that must have held something and holds nothing."""
    return StoreBroken(
        f"the database {path} is {how}, but the spool beside it was in use, and mails and faxes would be forgotten:"
        " restore a backup (faxgateway restore); to begin anew, move the directory spool away"
    )


def inodes(path: Path) -> list[int]:
    """What lies where the database and its log should be; 0 for nothing."""
    found = []
    for each in (path, f"{path}-wal"):
        try:
            found.append(os.stat(each).st_ino)  # noqa: PTH116  # at each commit, and several times as fast
        except FileNotFoundError:
            found.append(0)
    return found


def _place(descriptor: int) -> str:
    """Where a file is: inode and its generation. A copy has another, one that was moved or whose disk was has not.

    Device numbers are none of it, as they change with every boot; some file systems tell no generation.
    """
    try:
        generation = struct.unpack("I", fcntl.ioctl(descriptor, _GETVERSION, bytes(8))[:4])[0]
    except OSError:
        return f"{os.fstat(descriptor).st_ino}"
    return f"{os.fstat(descriptor).st_ino}.{generation}"


def is_same_place(one: str, other: str) -> bool:
    """Whether two places may be one: a generation that is told only once says nothing."""
    inode, _, generation = one.partition(".")
    other_inode, _, other_generation = other.partition(".")
    return inode == other_inode and (generation == other_generation or not generation or not other_generation)
