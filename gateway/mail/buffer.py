"""A raw mail, mapped into memory: read from one end to the other it takes a window of memory, not its size."""

from __future__ import annotations

from collections.abc import Iterator
from mmap import MADV_DONTNEED, mmap
from typing import TypeAlias

Buffer: TypeAlias = bytes | mmap

WINDOW = 1 << 16  # bytes: a larger copy would cost the system fresh pages of memory each time


def windows(source: Buffer, start: int) -> Iterator[bytes]:
    """The content from ``start`` on, in pieces."""
    for position in range(start, len(source), WINDOW):
        yield source[position : position + WINDOW]
        _let_go(source)


def find_all(source: Buffer, wanted: bytes, start: int, end: int) -> Iterator[int]:
    """Where ``wanted`` stands, which has a dash in it: base64 has none, and is passed over in no time."""
    for position in range(start, end, WINDOW):
        window = source[position : min(end, position + WINDOW + len(wanted) - 1)]
        found = window.find(wanted) if b"-" in window else -1
        while found >= 0:
            yield position + found
            found = window.find(wanted, found + 1)
        _let_go(source)


def _let_go(source: Buffer) -> None:
    """What was read leaves our memory; it stays in the system's cache, and is there again when it is asked for."""
    if isinstance(source, mmap):
        source.madvise(MADV_DONTNEED)
