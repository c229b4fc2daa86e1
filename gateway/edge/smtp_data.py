"""The bytes of an SMTP conversation: command lines of bounded length, and DATA in bulk.

Only CRLF.CRLF ends data, whatever else it holds; a byte cap holds even when no line ever ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

END = b"\r\n.\r\n"
CHUNK = 256 << 10


class LineTooLong(ValueError):
    """A command line that is longer than any can be."""


class Closed(ConnectionError):
    """The client has gone, or closed its sending side."""


class Input:
    """What comes from the client, with room to push back what was read too far."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._held = b""

    @property
    def pending(self) -> bool:
        """Whether more was sent already."""
        return bool(self._held)

    def clear(self) -> None:
        """Forget what was sent before TLS began (RFC 3207 section 4.2)."""
        self._held = b""

    async def line(self, limit: int, timeout: float) -> bytes:  # noqa: ASYNC109  # one deadline for the whole line
        """A line without its end. Raises :class:`LineTooLong`, :class:`Closed`, TimeoutError."""
        async with asyncio.timeout(timeout):
            while b"\n" not in self._held:
                if len(self._held) > limit:
                    raise LineTooLong
                chunk = await self._read()
                self._held += chunk
        line, _, self._held = self._held.partition(b"\n")
        if len(line) > limit:
            raise LineTooLong
        return line.removesuffix(b"\r")

    async def _read(self) -> bytes:
        chunk = await self._reader.read(CHUNK)
        if not chunk:
            raise Closed
        return chunk

    async def data(self, sink: Callable[[bytes], None], most: int, timeout: float) -> int:  # noqa: ASYNC109
        """Read a message to its end into ``sink``, dot-unstuffed; returns its size in bytes.

        ``timeout`` is the longest silence between two chunks. Beyond twice ``most`` bytes it raises
        :class:`LineTooLong`: whatever speaks there is not sending a mail. Raises :class:`Closed`, TimeoutError.
        """
        held, first = b"\r\n", True  # the first line may be the end already
        size = 0
        while True:
            if self._held:
                chunk, self._held = self._held, b""
            else:
                async with asyncio.timeout(timeout):
                    chunk = await self._read()
            data = held + chunk
            end = data.find(END)
            if end >= 0:
                self._held = data[end + len(END) :]
                data, held = data[: end + 2], b""
            else:
                keep = _start_of_end(data)
                data, held = data[: len(data) - keep], data[len(data) - keep :]
            if data:
                plain = data.replace(b"\r\n.", b"\r\n") if b"\r\n." in data else data
                if first:
                    plain, first = plain[2:], False  # the line end we put before it
                size += len(plain)
                if size > 2 * most:
                    raise LineTooLong
                if plain:
                    sink(plain)
            if end >= 0:
                return size


def _start_of_end(data: bytes) -> int:
    """How many bytes at the end of ``data`` may be the start of CRLF.CRLF."""
    for length in (4, 3, 2, 1):
        if data.endswith(END[:length]):
            return length
    return 0
