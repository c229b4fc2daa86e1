"""Old office documents are compound files (MS-CFB): a file system in a file, whose streams are found by their names."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from functools import cache

_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_STREAM = 2  # a kind of directory entry
_ENTRY = 128  # bytes of one
_NONE = 0xFFFFFFF0  # numbers from here on are of no sector, and of no entry
_SHORT = 64  # bytes of a sector in the stream of short streams
WORD = "WordDocument"  # the stream of a text
# of its head (MS-DOC, Fib): its version, and which of two streams has its tables
_VERSION, _WORD_97, _WHICH = 0x02, 0xC1, 0x0B
# and where the table of the pages is that have the properties of letters; bytes of such a page, and what of its number counts
_LETTERS, _PAGE, _NUMBER = 0xFA, 512, 0x3FFFFF


class Damaged(Exception):
    """It is no compound file, or it does not add up."""


class Compound:
    """The streams at the root of a compound file. Raises Damaged."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._places = cache(self._find)  # a text has thousands of fields to look for
        if not data.startswith(_MAGIC) or len(data) < 512 or data[30] not in (9, 12):
            raise Damaged
        self._size = 1 << data[30]
        first, self._least, first_short, _, first_table, _ = struct.unpack_from("<I4xIIIII", data, 48)
        tables = list(struct.unpack_from("<109I", data, 76))
        try:
            while first_table < _NONE and len(tables) < len(data) // self._size:
                more = struct.unpack(f"<{self._size // 4}I", self._sector(first_table))
                tables += more[:-1]
                first_table = more[-1]
            self._next = array("I", b"".join(self._sector(each) for each in tables if each < _NONE))
            self._next_short = array("I", b"".join(map(self._sector, self._chain(first_short, self._next))))
            self._entries = b"".join(map(self._sector, self._chain(first, self._next)))
            self._shorts = self._chain(struct.unpack_from("<I", self._entries, 116)[0], self._next)
            self._streams = self._of_the_root()
        except (struct.error, IndexError, ValueError) as error:
            raise Damaged from error

    def read(self, name: str) -> bytes:
        """What is in a stream, b"" where there is none of that name. Raises Damaged."""
        if name not in self._streams:
            return b""
        places, unit = self._places(name)
        return b"".join(self._data[at : at + unit].ljust(unit, b"\0") for at in places)[: self._streams[name][1]]

    def text_of_word(self) -> tuple[bytes, str]:
        """The stream of a text of Word 97 and later, and the name of the one with its tables; b"" where there is none. Raises Damaged,
        and struct.error where it has no head.
        """
        text = self.read(WORD)
        if not text or struct.unpack_from("<H", text, _VERSION)[0] < _WORD_97:
            return b"", ""
        return text, "1Table" if struct.unpack_from("<B", text, _WHICH)[0] & 2 else "0Table"

    def letters_of_word(self) -> Iterator[bytes]:
        """The properties of the letters of a text (MS-DOC, ChpxFkp), as often as they change. Raises as :meth:`text_of_word`."""
        text, tables = self.text_of_word()
        if not text:
            return
        start, size = struct.unpack_from("<II", text, _LETTERS)
        count = size // 8  # behind one place in the text more
        for number in struct.unpack_from(f"<{count}I", self.read(tables), start + 4 * (count + 1)) if count else ():
            page = text[(number & _NUMBER) * _PAGE :][:_PAGE].ljust(_PAGE, b"\0")
            runs = page[-1]
            for at in page[4 * (runs + 1) : 4 * (runs + 1) + runs]:
                yield page[2 * at + 1 :][: page[2 * at]] if at else b""

    def place(self, name: str, byte: int) -> int:
        """Where in the file a byte of a stream stands. Raises Damaged."""
        places, unit = self._places(name)
        return places[byte // unit] + byte % unit

    def _find(self, name: str) -> tuple[list[int], int]:
        """Where the sectors of a stream stand, and bytes of each."""
        start, size = self._streams[name]
        if size < self._least:
            return [self._short(each) for each in self._chain(start, self._next_short)], _SHORT
        return [(each + 1) * self._size for each in self._chain(start, self._next)], self._size

    def _short(self, number: int) -> int:
        """Where a short sector stands."""
        sector, within = divmod(number * _SHORT, self._size)
        if sector >= len(self._shorts):
            raise Damaged
        return (self._shorts[sector] + 1) * self._size + within

    def _sector(self, number: int) -> bytes:
        sector = self._data[(number + 1) * self._size : (number + 2) * self._size]
        return sector.ljust(self._size, b"\0")  # the last one may be written short

    def _chain(self, start: int, following: array[int]) -> list[int]:
        found = []
        while start < _NONE:
            found.append(start)
            if len(found) > len(following) or start >= len(following):
                raise Damaged
            start = following[start]
        return found

    def _of_the_root(self) -> dict[str, tuple[int, int]]:
        """First sector and size of each: an embedded document has others of the same names."""
        found: dict[str, tuple[int, int]] = {}
        waiting = [struct.unpack_from("<I", self._entries, 76)[0]]
        for _ in range(len(self._entries) // _ENTRY):
            if not waiting:
                break
            number = waiting.pop()
            if number >= _NONE:
                continue
            at = number * _ENTRY
            length, kind, left, right = struct.unpack_from("<HBxII", self._entries, at + 64)
            waiting += [each for each in (left, right) if each < _NONE]
            if kind == _STREAM:
                name = self._entries[at : at + max(0, length - 2)].decode("utf-16-le", "replace")
                start, size = struct.unpack_from("<IQ", self._entries, at + 116)
                found[name] = (start, size & 0xFFFFFFFF if self._size == 512 else size)
        return found
