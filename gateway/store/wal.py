"""The write-ahead log as a crash may leave it, told from one that was damaged (https://www.sqlite.org/fileformat2.html).

SQLite reads the log as far as its checksums hold and forgets the rest without a word. After a crash the rest is a
commit nobody was told of: one at most, since the next is not begun before it is synced. More than one is damage, and
what was accepted is lost.
"""

from __future__ import annotations

import struct
from array import array
from pathlib import Path
from sys import byteorder

_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, salt 1, salt 2, checksum 1, checksum 2
_FRAME = struct.Struct(">6I")  # page, database size after a commit or 0, salt 1, salt 2, checksum 1, checksum 2
_MAGIC = 0x377F0682  # with the last bit set: checksums over big-endian words
_MASK = 0xFFFFFFFF


def lost_after(log: Path) -> int | None:
    """Where in a log damage begins behind which commits are lost, in bytes; None when a crash explains what is there."""
    try:
        data = memoryview(log.read_bytes())
    except FileNotFoundError:
        return None
    if len(data) < _HEADER.size + _FRAME.size or not any(data[: _HEADER.size]):
        return None  # never written, or not synced
    magic, _, page, _, *salts, first, second = _HEADER.unpack_from(data)
    is_big = bool(magic & 1)
    sums = _sum(data[:24], (0, 0), is_big)
    if magic & ~1 != _MAGIC or not 512 <= page <= 65536 or page & (page - 1) or sums != (first, second):
        return 0
    size = _FRAME.size + page
    places = range(_HEADER.size, len(data) - size + 1, size)
    end = _HEADER.size  # of the last commit that SQLite will find
    broken = 0
    for n, place in enumerate(places):
        _, commit, one, two, first, second = _FRAME.unpack_from(data, place)
        if [one, two] == salts:
            sums = _sum(data[place : place + 8], sums, is_big)
            sums = _sum(data[place + _FRAME.size : place + size], sums, is_big)
        if [one, two] != salts or sums != (first, second):
            broken = n
            break
        if commit:
            end = place + size
    else:
        return None
    behind = [_FRAME.unpack_from(data, place) for place in places[broken:]]
    commits = sum(1 for _, commit, one, two, *_ in behind if commit and [one, two] == salts)
    return end if commits > 1 else None


def _sum(data: memoryview, sums: tuple[int, int], is_big: bool) -> tuple[int, int]:
    """SQLite's checksum goes on from ``sums`` over 8 bytes at a time."""
    words = array("I")
    assert words.itemsize == 4
    words.frombytes(data)
    if is_big != (byteorder == "big"):
        words.byteswap()
    one, two = sums
    for n in range(0, len(words), 2):
        one = (one + words[n] + two) & _MASK
        two = (two + words[n + 1] + one) & _MASK
    return one, two
