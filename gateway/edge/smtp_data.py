"""The bytes of an SMTP conversation: command lines of bounded length, and messages in bulk.

Only CRLF.CRLF ends a message, whatever else it holds. Nothing here keeps more than a chunk, even if no line ever ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

END = b"\r\n.\r\n"
CHUNK = 64 << 10

_FAIR_PACE = 10_000  # bytes per second of a client that is not slow
_CREDIT = 60.0  # seconds of silence at most that quick bytes have earned: a page is scanned
_TLS_HELLO = b"\x16\x03"  # a TLS record that begins a handshake
_WRONG_ENDS = (b"\n.\n", b"\n.\r\n", b"\r.\r")
_WRONG_END_SILENCE = 5.0  # seconds


class LineTooLong(ValueError):
    """A command line that is longer than any can be."""


class SpeaksTls(ValueError):
    """The client begins TLS where a command is expected."""


class WrongLineEnds(ValueError):
    """The client means to have ended its message, but with line ends that are none in SMTP (RFC 5321 section 2.3.8)."""


class Closed(ConnectionError):
    """The client has gone, or closed its sending side."""


class Input:
    """What comes from the client, with room to push back what was read too far, and a stopwatch for how slowly it comes."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._held = b""
        self._waiting_since: float | None = None
        self._for_bytes = False  # what we wait for is more to read
        self._waited = 0.0  # seconds, less those that what came was worth

    @contextmanager
    def waiting(self, *, for_bytes: bool = False) -> Iterator[None]:
        """Meanwhile it is the client's turn: to say more, or to take what we say."""
        self._waiting_since, self._for_bytes = time.monotonic(), for_bytes
        try:
            yield
        finally:
            self._waited += time.monotonic() - self._waiting_since
            self._waiting_since = None

    @property
    def slowness(self) -> float | None:
        """How many seconds the client has kept us waiting beyond what it has sent; None while it is our turn."""
        if self._waiting_since is None:
            return None
        if self._for_bytes and self._reader._buffer:  # type: ignore[attr-defined]  # nothing public tells
            return None
        return self._waited + time.monotonic() - self._waiting_since

    def forgive(self) -> None:
        """Forget how slow it was."""
        self._waited = 0.0

    @property
    def pending(self) -> bool:
        """Whether more was sent already."""
        return bool(self._held or self._reader._buffer)  # type: ignore[attr-defined]  # nothing public tells

    def clear(self) -> None:
        """Forget what was sent before TLS began (RFC 3207 section 4.2)."""
        self._held = b""
        self._reader._buffer.clear()  # type: ignore[attr-defined]

    def push_back(self, data: bytes) -> None:
        """Have ``data`` read again, before anything else."""
        self._held = data + self._held

    async def line(self, limit: int, timeout: float) -> bytes:  # noqa: ASYNC109  # one deadline for the whole line
        """A line without its end. Raises :class:`LineTooLong`, :class:`SpeaksTls`, :class:`Closed`, TimeoutError."""
        async with asyncio.timeout(timeout):
            while True:
                if self._held.startswith(_TLS_HELLO):
                    raise SpeaksTls
                if b"\n" in self._held[: limit + 2]:
                    break
                if len(self._held) > limit + 1:
                    raise LineTooLong
                self._held += await self.chunk()
        line, _, self._held = self._held.partition(b"\n")
        line = line.removesuffix(b"\r")
        if len(line) > limit:
            raise LineTooLong
        return line

    async def chunk(self) -> bytes:
        """Whatever comes next, at most :data:`CHUNK` bytes beyond what was pushed back. Raises :class:`Closed`."""
        try:
            with self.waiting(for_bytes=True):
                chunk = await self._reader.read(CHUNK)
        except OSError as error:  # what the connection ended with
            raise Closed from error
        if not chunk:
            raise Closed
        self._waited = max(self._waited - len(chunk) / _FAIR_PACE, -_CREDIT)
        return chunk

    async def next(self) -> bytes:
        """What was pushed back, else the next chunk. Raises :class:`Closed`."""
        if self._held:
            data, self._held = self._held, b""
            return data
        return await self.chunk()


class Source(Protocol):
    """Something of known end in the stream: a message, or a chunk of one."""

    ended: bool

    async def read(self, sink: Callable[[bytes], None], timeout: float) -> None: ...  # noqa: ASYNC109


class Chunk:
    """The ``size`` octets that follow one BDAT. A :meth:`read` that was broken off can be taken up again."""

    def __init__(self, source: Input, size: int) -> None:
        self._source = source
        self._left = size
        self.ended = not size

    async def read(self, sink: Callable[[bytes], None], timeout: float) -> None:  # noqa: ASYNC109
        """Read on to the end into ``sink``, as :meth:`Message.read` does."""
        while not self.ended:
            async with asyncio.timeout(timeout):
                data = await self._source.next()
            if len(data) > self._left:
                self._source.push_back(data[self._left :])
                data = data[: self._left]
            self._left -= len(data)
            self.ended = not self._left
            sink(data)


class Message:
    """The message that follows one DATA. A :meth:`read` that was broken off can be taken up again."""

    def __init__(self, source: Input) -> None:
        self._source = source
        self._tail = b"\r\n"  # may be the start of the end; at first a line end of ours: the first line may be the end
        self._ours = 2  # bytes of that line end that are not the client's
        self._lines = False  # whether any line has ended as it should
        self._last = b""
        self.ended = False

    async def read(self, sink: Callable[[bytes], None], timeout: float) -> None:  # noqa: ASYNC109
        """Read on to the end into ``sink``, dot-unstuffed (RFC 5321 section 4.5.2).

        ``timeout`` is the longest silence between two chunks. Raises what ``sink`` does, :class:`Closed`, TimeoutError,
        and :class:`WrongLineEnds` after a short silence behind what only the client can take for the end.
        """
        while not self.ended:
            wrong = self._wrong_end
            try:
                async with asyncio.timeout(min(timeout, _WRONG_END_SILENCE) if wrong else timeout):
                    chunk = await self._source.next()
            except TimeoutError:
                if wrong:
                    raise WrongLineEnds from None
                raise
            plain = self._unstuffed(self._tail + chunk)
            del chunk  # or each client that is waited for would hold two
            if plain:
                sink(plain)
            del plain

    def _unstuffed(self, data: bytes) -> bytes:
        """The message bytes in ``data`` as far as they are known to be no end; the rest is kept for later."""
        has_dot = b"." in data  # base64 has none: then the dearer searches are spared
        end = data.find(END) if has_dot else -1
        if end >= 0:
            self._source.push_back(data[end + len(END) :])
            data, self._tail, self.ended = data[: end + 2], b"", True
        else:
            self._lines = self._lines or data.find(b"\r\n", self._ours, -2) >= 0
            self._last = data[-4:]
            keep = _start_of_end(data)
            data, self._tail = data[: len(data) - keep], data[len(data) - keep :]
        if not data:
            return b""
        plain = (data.replace(b"\r\n.", b"\r\n") if has_dot else data)[self._ours :]
        self._ours = 0
        return plain

    @property
    def _wrong_end(self) -> bool:
        """Whether the last bytes look like an end in a message whose lines never end in CRLF."""
        return not self._lines and self._last.endswith(_WRONG_ENDS)


def _start_of_end(data: bytes) -> int:
    """How many bytes at the end of ``data`` may be the start of CRLF.CRLF."""
    for length in (4, 3, 2, 1):
        if data.endswith(END[:length]):
            return length
    return 0
