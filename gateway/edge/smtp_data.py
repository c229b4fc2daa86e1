"""The bytes of an SMTP conversation: command lines of bounded length, and messages in bulk.

Only CRLF.CRLF ends a message, whatever else it holds. Nothing here keeps more than a few chunks, even if no line ever
ends.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

END = b"\r\n.\r\n"
CHUNK = 64 << 10  # bytes that may wait before the client is held back
_PIECE = 4096  # bytes: smaller pieces are joined while they wait, or each would cost more than it holds

_FEW_DOTS = 100  # in a chunk
_FAIR_PACE = 10_000  # bytes per second of a client that is not slow
_CREDIT = 60.0  # seconds of silence at most that quick bytes have earned: a page is scanned
_TLS_HELLO = b"\x16\x03"  # a TLS record that begins a handshake
_WRONG_END = re.compile(rb"(?:\n\.\r?\n|\r\.\r)(?:quit\r?\n?)?\Z", re.IGNORECASE)  # some scripts wait for no answer
_LONGEST_END = 10  # bytes
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
    """What comes from the client, with room to push back what was read too far, and a stopwatch for how slowly it comes.

    The protocol gives it what arrives, by :meth:`feed` and :meth:`end`. A client is held back while nobody takes what it
    has sent.
    """

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self._loop = asyncio.get_running_loop()
        self._arrived: deque[bytes] = deque()
        self._size = 0  # bytes that have arrived and are not taken
        self._held = b""  # of them nothing is in _arrived: pushed back, or the start of a line
        self._holds_back = False
        self._ended = False
        self._error: Exception | None = None  # what the connection ended with
        self._waiter: asyncio.Future[None] | None = None
        self._due = 0.0  # when the waiter has waited long enough, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_since: float | None = None
        self._waited = 0.0  # seconds, less those that what came was worth

    # --- what the protocol tells ----------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """The client has sent ``data``."""
        if self._arrived and len(self._arrived[-1]) < _PIECE:
            self._arrived[-1] += data
        else:
            self._arrived.append(data)
        self._size += len(data)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        elif self._size > CHUNK and not self._holds_back:
            self._holds_back = True
            self.transport.pause_reading()

    def end(self, error: Exception | None = None) -> None:
        """The client has gone, or closed its sending side. With an ``error`` what it has sent last is forgotten."""
        self._ended, self._error = True, error
        if error is not None:
            self._arrived.clear()
            self._size = 0
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Nothing will be waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- how slow it is -------------------------------------------------------------------------------------------

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Meanwhile it is the client's turn: to take what we say."""
        self._waiting_since = time.monotonic()
        try:
            yield
        finally:
            self._waited += time.monotonic() - self._waiting_since
            self._waiting_since = None

    @property
    def slowness(self) -> float | None:
        """How many seconds the client has kept us waiting beyond what it has sent; None while it is our turn."""
        if self._waiting_since is None or (self._waiter is not None and self._waiter.done()):
            return None
        return self._waited + time.monotonic() - self._waiting_since

    def forgive(self) -> None:
        """Forget how slow it was."""
        self._waited = 0.0

    # --- reading --------------------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Whether more was sent already."""
        return bool(self._held or self._arrived)

    def clear(self) -> None:
        """Forget what was sent before TLS began (RFC 3207 section 4.2)."""
        self._held = b""
        self._arrived.clear()
        self._size = 0
        self._holds_back = False  # TLS begins to read by itself

    def push_back(self, data: bytes) -> None:
        """Have ``data`` read again, before anything else."""
        self._held = data + self._held

    async def line(self, limit: int, timeout: float) -> bytes:  # noqa: ASYNC109  # one deadline for the whole line
        """A line without its end. Raises :class:`LineTooLong`, :class:`SpeaksTls`, :class:`Closed`, TimeoutError."""
        due = self._loop.time() + timeout
        while (end := self._held.find(b"\n", 0, limit + 2)) < 0 or self._held.startswith(_TLS_HELLO):
            if self._held.startswith(_TLS_HELLO):
                raise SpeaksTls
            if len(self._held) > limit + 1:
                raise LineTooLong
            self._held += await self._next(due)
        line, self._held = self._held[:end].removesuffix(b"\r"), self._held[end + 1 :]
        if len(line) > limit:
            raise LineTooLong
        return line

    async def next(self, timeout: float) -> bytes:  # noqa: ASYNC109
        """What was pushed back, else what comes next. Raises :class:`Closed`, TimeoutError."""
        if self._held:
            data, self._held = self._held, b""
            return data
        return await self._next(self._loop.time() + timeout)

    async def _next(self, due: float) -> bytes:
        if not self._arrived:
            await self._wait(due)
        if not self._arrived:
            raise Closed from self._error
        data = self._arrived.popleft()
        self._size -= len(data)
        if self._holds_back and self._size <= CHUNK:
            self._holds_back = False
            self.transport.resume_reading()
        self._waited = max(self._waited - len(data) / _FAIR_PACE, -_CREDIT)
        return data

    async def _wait(self, due: float) -> None:
        """Until something has come, or the client has gone. Raises TimeoutError."""
        if self._ended:
            return
        self._waiter = self._loop.create_future()
        self._wake_at(due)
        self._waiting_since = since = time.monotonic()
        try:
            await self._waiter
        finally:
            self._waiter = self._waiting_since = None
            self._waited += time.monotonic() - since

    # one timer that is seldom set serves a connection, not one for each wait

    def _wake_at(self, due: float) -> None:
        self._due = due
        if self._timer is None or self._timer.when() > due:
            self.close()
            self._timer = self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._due:
            self._wake_at(self._due)
        else:
            self._waiter.set_exception(TimeoutError())


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
            data = await self._source.next(timeout)
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
        self._last = self._tail
        self.ended = False

    async def read(self, sink: Callable[[bytes], None], timeout: float) -> None:  # noqa: ASYNC109
        """Read on to the end into ``sink``, dot-unstuffed (RFC 5321 section 4.5.2).

        ``timeout`` is the longest silence between two chunks. Raises what ``sink`` does, :class:`Closed`, TimeoutError,
        and :class:`WrongLineEnds` after a short silence, or no more, behind what only the client can take for the end.
        """
        while not self.ended:
            wrong = self._wrong_end
            try:
                chunk = await self._source.next(min(timeout, _WRONG_END_SILENCE) if wrong else timeout)
            except (TimeoutError, Closed):
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
        end, is_stuffed = _dots(data)
        if end >= 0:
            self._source.push_back(data[end + len(END) :])
            data, self._tail, self.ended = data[: end + 2], b"", True
        else:
            self._lines = self._lines or data.find(b"\r\n", self._ours, -2) >= 0
            self._last = (self._last + data[max(len(self._tail), len(data) - _LONGEST_END) :])[-_LONGEST_END:]
            keep = _start_of_end(data)
            data, self._tail = data[: len(data) - keep], data[len(data) - keep :]
        if not data:
            return b""
        plain = (data.replace(b"\r\n.", b"\r\n") if is_stuffed else data)[self._ours :]
        self._ours = 0
        return plain

    @property
    def _wrong_end(self) -> bool:
        """Whether the last bytes look like an end in a message whose lines never end in CRLF."""
        return not self._lines and _WRONG_END.search(self._last) is not None


def _dots(data: bytes) -> tuple[int, bool]:
    """Where the end is in ``data``, or -1, and whether a line before it may begin with a dot.

    Where dots are few, as in base64, each is looked at: the search for what stands around them is far dearer.
    """
    is_stuffed = False
    at = data.find(b".")
    for _ in range(_FEW_DOTS):
        if at < 0:
            return -1, is_stuffed
        if at >= 2 and data.startswith(b"\r\n", at - 2):
            if data.startswith(b"\r\n", at + 1):
                return at - 2, is_stuffed
            is_stuffed = True
        at = data.find(b".", at + 1)
    return data.find(END), True


def _start_of_end(data: bytes) -> int:
    """How many bytes at the end of ``data`` may be the start of CRLF.CRLF."""
    for length in (4, 3, 2, 1):
        if data.endswith(END[:length]):
            return length
    return 0
