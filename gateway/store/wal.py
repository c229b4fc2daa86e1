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
from typing import BinaryIO

_HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoint, salt 1, salt 2, checksum 1, checksum 2
_FRAME = struct.Struct(">6I")  # page, database size after a commit or 0, salt 1, salt 2, checksum 1, checksum 2
_MAGIC = 0x377F0682  # with the last bit set: checksums over big-endian words
_MASK = 0xFFFFFFFF
_LARGEST = 65536  # bytes of a page


def lost_after(log: Path) -> int | None:
    """Where in a log damage begins behind which commits are lost, in bytes; None when a crash explains what is there."""
    try:
        with log.open("rb") as stream:
            return _lost_after(stream)
    except FileNotFoundError:
        return None


def _lost_after(log: BinaryIO) -> int | None:
    header = log.read(_HEADER.size)
    page = _HEADER.unpack(header)[2] if len(header) == _HEADER.size else 0
    frame = log.read(_FRAME.size + min(page, _LARGEST))
    if len(frame) < _FRAME.size or not any(header):
        return None  # never written, or not synced
    magic, _, page, _, *salts, first, second = _HEADER.unpack(header)
    is_big = bool(magic & 1)
    sums = _sum(header[:24], (0, 0), is_big)
    if magic & ~1 != _MAGIC or not 512 <= page <= _LARGEST or page & (page - 1) or sums != (first, second):
        return 0
    place = end = _HEADER.size  # the latter is of the last commit that SQLite will find
    is_whole, behind = True, 0
    while len(frame) == _FRAME.size + page:
        _, commit, one, two, first, second = _FRAME.unpack_from(frame)
        is_ours = [one, two] == salts
        if is_whole and is_ours:
            sums = _sum(frame[:8], sums, is_big)
            sums = _sum(frame[_FRAME.size :], sums, is_big)
        is_whole = is_whole and is_ours and sums == (first, second)
        place += len(frame)
        if is_whole and commit:
            end = place
        behind += not is_whole and bool(commit) and is_ours
        frame = log.read(len(frame))
    return end if behind > 1 else None


def _sum(data: bytes, sums: tuple[int, int], is_big: bool) -> tuple[int, int]:
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
