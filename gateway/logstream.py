"""Where the log goes: what reads it may be gone, full or standing still, and no fax may wait for that or fail of it."""

from __future__ import annotations

import contextlib
import os
import select
from typing import TextIO

_PIECE = select.PIPE_BUF  # bytes for which there is room when a pipe says that there is some
_PATIENCE = 1000  # milliseconds for a reader that is slow; one that stands still is not waited for again


class LogStream:
    """Writes as ``stream`` does, without its buffer and its errors. ``lost`` is how often it could not, since it could."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0
        self._rest = b""  # of a line that was begun
        try:
            self._descriptor = stream.fileno()
        except (OSError, ValueError):  # one in memory
            self._descriptor = -1

    @property
    def is_journal(self) -> bool:
        """Whether it goes to systemd's journal, and not only comes from a program whose output does: the variable that
        says so names the device and the inode (systemd.exec(5), "$JOURNAL_STREAM").
        """
        if self._descriptor < 0:
            return False
        found = os.fstat(self._descriptor)
        return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"

    def write(self, text: str) -> int:
        """Write ``text`` now, or never. Raises nothing."""
        try:
            if self._descriptor < 0:
                self._stream.write(text)
            else:
                self._put(text.encode("utf-8", "backslashreplace"))
        except (OSError, ValueError):
            self.lost += 1
        else:
            self.lost = 0
        return len(text)

    def flush(self) -> None:
        if self._descriptor < 0:
            with contextlib.suppress(OSError, ValueError):
                self._stream.flush()

    def _put(self, line: bytes) -> None:
        """Write ``line`` behind what is left of one that was begun, which no other may cut. Raises OSError where it is not begun."""
        ready = select.poll()
        ready.register(self._descriptor, select.POLLOUT)
        left = self._rest + line
        try:
            while left:
                if not ready.poll(0 if self.lost or self._rest else _PATIENCE):
                    raise BlockingIOError
                left = left[os.write(self._descriptor, left[:_PIECE]) :]
        except OSError:
            if len(left) >= len(line):
                self._rest = left[: len(left) - len(line)]
                raise
        self._rest = left
