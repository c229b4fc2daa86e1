"""One daemon per state directory, for as long as the process lives."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType

from gateway.errors import TryLater


class StateLock:
    """``flock`` on ``DIRECTORY/lock`` and, as that may be removed, on the directory; the kernel releases them however the
    process ends.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptors: list[int] = []

    def acquire(self) -> None:
        """Raises :class:`TryLater` when another process holds the directory, OSError where it cannot be written."""
        directory = self._path.parent
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(directory))
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._descriptors = [descriptor, os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            for each in self._descriptors:
                fcntl.flock(each, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
            self.release()
            raise TryLater(
                f"another faxgateway{f' (process {holder})' if holder else ''} is using {directory}",
                str(error),
            ) from error
        owner = directory.stat()
        if os.geteuid() == 0 and owner.st_uid != 0:  # root's commands must not shut the daemon out
            with contextlib.suppress(PermissionError):
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
        with contextlib.suppress(OSError):  # on a full disk nobody learns who holds it
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        while self._descriptors:
            os.close(self._descriptors.pop())

    def __enter__(self) -> StateLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
