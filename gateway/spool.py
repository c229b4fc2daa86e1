"""Payload files: written in full, synced, renamed into place, and only then named in a row.

The order of every durable step is the crash rule "file before row, row before reply; on delete the row first".
A file no row names is an orphan: it is set aside at a start, and removed when it has grown old.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Set
from pathlib import Path

import structlog

from gateway.errors import NoSpace, TryLater
from gateway.faultpoint import reach

log = structlog.get_logger("spool")

KINDS = ("mail", "document", "inbound")
ORPHANS = "orphan"  # where what no row names is kept for a while
_ORDINARY = 5 << 18  # bytes of a mail that is not small and all the same in memory
_HELD = 4  # such mails at once
_FEW_FILES = 100  # that what was accepted still needs
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class SyncFailed(RuntimeError):
    """fsync failed: what the disk holds is unknown, and a second fsync would lie. The process must end."""


def _translate(error: OSError, what: str) -> TryLater:
    if error.errno in _FULL:
        return NoSpace("the gateway's disk is full", f"{what}: {error}")
    return TryLater("the gateway cannot write to its disk", f"{what}: {error}")


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. Raises :class:`SyncFailed`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise SyncFailed(f"fsync of directory {path}: {error}") from error
    finally:
        os.close(descriptor)


class Draft:
    """One file being written in ``tmp/``: exclusive, mode 0600. It ends in :meth:`commit` or :meth:`discard`.

    ``written``: one that is whole already, on the same file system.
    """

    def __init__(self, spool: Spool, written: Path | None = None, *, hashing: bool = True) -> None:
        self._spool = spool
        self._hashing = hashing
        self.path = written or spool.root / "tmp" / new_name()
        self.size = 0
        self._hash = hashlib.sha256()
        how = 0 if written else os.O_CREAT | os.O_EXCL
        try:
            self._descriptor: int | None = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | how, 0o600)
            if written:
                written.chmod(0o600)
        except OSError as error:
            raise _translate(error, "open") from error

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append. Raises :class:`NoSpace` or :class:`TryLater`; the draft is then only good to discard."""
        assert self._descriptor is not None, "the draft is closed"
        view = memoryview(data)
        if self._hashing:
            self._hash.update(view)
        self.size += len(view)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise _translate(error, "write") from error

    @property
    def sha256(self) -> str:
        """Hex digest of what was written so far."""
        assert self._hashing, "nobody was to ask"
        return self._hash.hexdigest()

    async def commit(self, kind: str) -> str:
        """Make it durable under ``kind`` and return its spool name.

        Raises :class:`NoSpace`/:class:`TryLater` (nothing is left behind) and :class:`SyncFailed`. A cancelled caller
        does not stop the steps: the file then becomes an orphan.
        """
        try:
            return await asyncio.shield(asyncio.to_thread(self._commit, kind))
        except SyncFailed as error:
            self._spool.fatal(error)
            raise

    def _commit(self, kind: str) -> str:
        assert kind in KINDS
        assert self._descriptor is not None, "the draft is closed"
        descriptor, self._descriptor = self._descriptor, None
        name = f"{kind}/{new_name()}"
        try:
            reach("spool.written")
            try:
                os.fsync(descriptor)
            except OSError as error:
                if error.errno in _FULL:  # delayed allocation: the data never had a place
                    raise
                raise SyncFailed(f"fsync of {self.path}: {error}") from error
            finally:
                os.close(descriptor)
            reach("spool.synced")
            self.path.rename(self._spool.root / name)
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise _translate(error, "commit") from error
        reach("spool.renamed")
        sync_directory(self._spool.root / kind)
        reach("spool.kept")
        return name

    def discard(self) -> None:
        """Close and remove; harmless when repeated or after a commit."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self.path.unlink(missing_ok=True)


class MailDraft:
    """A mail that comes in: in memory while it is of ordinary size and few others are, in a :class:`Draft` from there on.

    One of up to ``small`` bytes is always in memory. It ends in one of :meth:`keep` (as a file), :meth:`discard`, or, when
    it :attr:`is_small`, in the database as :attr:`content`.
    """

    def __init__(self, spool: Spool, small: int) -> None:
        self._spool = spool
        self._small = small
        self._memory: io.BytesIO | None = io.BytesIO()  # however small the pieces are that come
        self._file: Draft | None = None
        self.size = 0
        self.body_sha256 = ""  # see keep

    def write(self, data: bytes) -> None:
        """As :meth:`Draft.write`; :class:`NoSpace` too where a file would have to be begun below the floor."""
        self.size += len(data)
        if self._memory is not None:
            self._memory.write(data)
            if self.size > self._small and not self._has_room():
                self.spill()
        elif self._file is not None:
            self._file.write(data)

    def _has_room(self) -> bool:
        """Whether a mail that is not small may stay in memory."""
        held = self._spool.held
        if self.size <= _ORDINARY and (self in held or len(held) < _HELD):
            held.add(self)
            return True
        return False

    @property
    def is_small(self) -> bool:
        return self._memory is not None and self.size <= self._small

    @property
    def content(self) -> bytes | None:
        """All of a mail that is in memory; None when it is in a file."""
        return None if self._memory is None else self._memory.getvalue()

    def read(self) -> bytes:
        """All of it, wherever it is. Raises :class:`TryLater`."""
        content = self.content
        if content is not None:
            return content
        try:
            return self.spill().read_bytes()
        except OSError as error:
            raise _translate(error, "read") from error

    def spill(self) -> Path:
        """Have it in a file, whose path is returned; a small one stays in memory as well.

        Raises as :meth:`Spool.draft` and :meth:`Draft.write`.
        """
        if self._file is None:
            content = self.content or b""
            if not self.is_small:
                self._memory = None
                self._spool.held.discard(self)
            self._file = self._spool.draft(hashing=False)
            self._file.write(content)
        return self._file.path

    async def keep(self, *, body: int | None = None) -> str:
        """Make it a durable file of the spool; returns its spool name. Raises as :meth:`spill` and :meth:`Draft.commit`.

        Where ``body`` is given, :attr:`body_sha256` is the hex digest of what begins at that offset, made on the way.
        """
        file, self._file = self._file, None  # the thread ends it, whatever becomes of the caller meanwhile
        try:
            kept = asyncio.to_thread(self._keep, self.content, file, body)
            name, self.body_sha256 = await asyncio.shield(kept)
        except SyncFailed as error:
            self._spool.fatal(error)
            raise
        return name

    def _keep(self, content: bytes | None, file: Draft | None, body: int | None) -> tuple[str, str]:
        """In a thread: the other cores may hash, copy and wait for the disk."""
        is_new = file is None
        file = file or self._spool.draft(hashing=False)
        try:
            if is_new:
                file.write(content or b"")
            digest = "" if body is None else _digest(file.path if content is None else content, body)
        except BaseException:
            file.discard()
            raise
        return file._commit("mail"), digest

    def discard(self) -> None:
        """Harmless when repeated, or after :meth:`keep`."""
        self._memory = None
        self._spool.held.discard(self)
        if self._file is not None:
            self._file.discard()


def _digest(mail: bytes | Path, start: int) -> str:
    """Hex digest of a mail from an offset on. Raises :class:`TryLater`."""
    if isinstance(mail, bytes):
        return hashlib.sha256(memoryview(mail)[start:]).hexdigest()
    try:
        with mail.open("rb") as stream:
            stream.seek(start)
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _translate(error, "read") from error


def new_name() -> str:
    """A generated file name that sorts by time of creation; nothing of a sender's ever becomes a name."""
    return f"{time.time_ns():016x}-{secrets.token_hex(6)}"


class Spool:
    """The payload directory. ``floor`` is the free space in bytes below which nothing new is begun.

    ``reserve`` bytes are kept in a file that :meth:`release_reserve` frees, so that outcomes can still be recorded on a
    full disk.
    """

    def __init__(
        self,
        root: Path,
        *,
        floor: int = 64 << 20,
        reserve: int = 8 << 20,
        free: Callable[[Path], int] | None = None,
        on_fatal: Callable[[Exception], None] | None = None,
    ) -> None:
        self.root = root
        self.floor = floor
        self._reserve_size = reserve
        self._free = free or _free_bytes
        self._on_fatal = on_fatal or (lambda _error: None)
        self._is_frozen = False
        self.held: set[MailDraft] = set()  # those that are not small and all the same in memory

    def open(self) -> None:
        """Create the directories, empty ``tmp/`` and keep the reserve. Raises OSError."""
        for directory in (self.root, *(self.root / name for name in ("tmp", ORPHANS, *KINDS))):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
        for left in (self.root / "tmp").iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
        self.keep_reserve()

    @property
    def reserve(self) -> Path:
        return self.root / "reserve"

    @property
    def orphans(self) -> Path:
        """Where files are set aside that no row names."""
        return self.root / ORPHANS

    def keep_reserve(self) -> bool:
        """Fill the reserve file while there is room; True when it stands."""
        if not self._reserve_size or (self.reserve.exists() and self.reserve.stat().st_size >= self._reserve_size):
            return True
        if self._free(self.root) < self.floor + self._reserve_size:
            return False
        try:
            with self.reserve.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, self._reserve_size)
        except OSError:
            self.reserve.unlink(missing_ok=True)
            return False
        return True

    def release_reserve(self) -> bool:
        """Give the reserve back to the file system; False when there was none."""
        try:
            self.reserve.unlink()
        except FileNotFoundError:
            return False
        return True

    def fatal(self, error: Exception) -> None:
        """Say that the disk can no longer be believed; the composition root ends the process."""
        log.critical("spool broken", error=str(error))
        self._on_fatal(error)

    def check_room(self, size: int = 0) -> None:
        """Raise :class:`NoSpace` when ``size`` more bytes would leave less than the floor, or for want of inodes, TryLater
        where nobody can tell.
        """
        try:
            free, files = self._free(self.root), _free_files(self.root)
        except OSError as error:
            raise _translate(error, "statvfs") from error
        if files is not None and files < _FEW_FILES:
            raise NoSpace("the gateway's disk has no room for more files", f"{files} are left, see df -i")
        if free < self.floor + size:
            raise NoSpace(
                "the gateway is short of disk space", f"{free >> 20} MiB free, {self.floor + size >> 20} MiB needed"
            )

    def draft(self, *, hashing: bool = True) -> Draft:
        """Begin a file. Raises :class:`NoSpace` below the floor, :class:`TryLater` on other trouble."""
        self.check_room()
        return Draft(self, hashing=hashing)

    def mail_draft(self, small: int) -> MailDraft:
        """Begin a mail."""
        return MailDraft(self, small)

    def work_directory(self) -> Path:
        """A fresh private directory for a conversion, on the spool's file system; the caller removes it."""
        path = self.root / "tmp" / new_name()
        path.mkdir(mode=0o700)
        return path

    async def adopt(self, path: Path, kind: str) -> str:
        """Make a file that another process wrote (on this file system) durable under ``kind``; returns its spool name.

        Raises as :meth:`Draft.commit` does.
        """
        return await Draft(self, path, hashing=False).commit(kind)

    def path(self, name: str) -> Path:
        """The file of a spool name as :meth:`Draft.commit` gave it."""
        kind, _, file = name.partition("/")
        if kind not in KINDS or not file or "/" in file or file.startswith("."):
            raise ValueError(f"not a spool name: {name!r}")
        return self.root / kind / file

    def freeze(self) -> None:
        """Remove nothing any more: whether a row names a file is unknown, because a commit has failed in the middle."""
        self._is_frozen = True

    def remove(self, names: Iterable[str]) -> None:
        """Unlink files whose rows are already gone. Absent ones are fine."""
        for name in names:
            if self._is_frozen:
                return
            self.path(name).unlink(missing_ok=True)
            reach("spool.unlinked")

    @property
    def was_opened(self) -> bool:
        """Whether a gateway has used it; before :meth:`open` too. A directory that only stands ready counts not."""
        return any((self.root / kind).is_dir() for kind in KINDS)

    def names(self) -> set[str]:
        """Every spool name that has a file; before :meth:`open` too."""
        found: set[str] = set()
        for kind in KINDS:
            with contextlib.suppress(FileNotFoundError):
                found.update(f"{kind}/{file.name}" for file in (self.root / kind).iterdir())
        return found

    def set_aside(self, known: Set[str]) -> list[str]:
        """Move every file that no row knows to ``orphan/``, durably; returns their names.

        Nothing may be under way: what is being accepted has no row yet. Raises OSError, :class:`SyncFailed`.
        """
        orphans = sorted(self.names() - known)
        for name in orphans:
            file = self.path(name)
            os.utime(file)  # its time there begins now
            file.rename(self.orphans / name.replace("/", "-"))
        if orphans:
            for changed in (ORPHANS, *{name.partition("/")[0] for name in orphans}):
                sync_directory(self.root / changed)
        return orphans

    def sweep(self, known: Set[str], *, older_than: float) -> list[str]:
        """Remove files last changed before ``older_than`` (epoch) that no row knows; returns their names."""
        removed = []
        for kind in (ORPHANS, *KINDS):
            for file in (self.root / kind).iterdir():
                name = f"{kind}/{file.name}"
                if name not in known and file.stat().st_mtime < older_than and not self._is_frozen:
                    file.unlink(missing_ok=True)
                    removed.append(name)
        return removed


def _free_files(path: Path) -> int | None:
    """How many more files there may be; None where their number has no limit of its own."""
    stat = os.statvfs(path)
    return stat.f_favail if stat.f_files else None


def _free_bytes(path: Path) -> int:
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize
