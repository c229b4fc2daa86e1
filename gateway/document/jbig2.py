"""Whether a JBIG2 picture of a PDF is whole (ITU-T T.88, 7.2): pdfium draws as much of it as there is, or nothing."""

from __future__ import annotations

import struct

_LEAST = 11  # bytes of the head of a segment
_KINDS = frozenset((0, 4, 6, 7, 16, 20, 22, 23, 36, 38, 39, 40, 42, 43, 48, 49, 50, 51, 52, 53, 62))
_PAGE, _ENDS = 48, (49, 51)  # what a page is; the end of a page, of a file
_LONG = 7  # segments that one refers to, and more: their number stands in four bytes
_UNSAID = 0xFFFFFFFF  # a length
_MISSED = 2  # bytes at its end that no decoder misses


def breaks_off(data: bytes) -> bool:
    """Whether a segment ends behind the end of the data, or is of a kind that there is not, or nothing says what the page is."""
    at, has_page = 0, False
    try:
        while at + _LEAST <= len(data):
            number, flags, referred = struct.unpack_from(">IBB", data, at)
            count, place = referred >> 5, at + 6
            if count == _LONG:
                count = struct.unpack_from(">I", data, at + 5)[0] & 0x1FFFFFFF
                place = at + 9 + (count + 8) // 8
            place += count * (1 if number <= 1 << 8 else 2 if number <= 1 << 16 else 4) + (4 if flags & 0x40 else 1)
            size = struct.unpack_from(">I", data, place)[0]
            kind = flags & 0x3F
            if kind not in _KINDS:
                return True
            if kind in _ENDS or size == _UNSAID:  # for pdfium to judge
                return False
            has_page |= kind == _PAGE
            at = place + 4 + size
    except struct.error:
        return True
    return at > len(data) + _MISSED or not has_page
