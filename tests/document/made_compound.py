"""Old office documents: as much of a workbook, a show or a text as says what is hidden in it."""

from __future__ import annotations

import struct

_END, _TABLE = 0xFFFFFFFE, 0xFFFFFFFD
_SECTOR, _SHORT, _LEAST = 512, 64, 4096


def compound(streams: dict[str, bytes]) -> bytes:
    """A compound file (MS-CFB) of one table of sectors, 64 KB at most."""
    following: list[int] = [_TABLE]
    sectors: list[bytes] = [b""]
    following_short: list[int] = []
    shorts = b""

    def put(data: bytes) -> int:
        first = len(sectors)
        pieces = [data[at : at + _SECTOR].ljust(_SECTOR, b"\0") for at in range(0, len(data), _SECTOR)]
        # from behind to the front, with a gap: a chain is to be followed
        sectors.extend(reversed(pieces))
        last = first + len(pieces) - 1
        following.extend([_END, *range(first, last)])
        return last if pieces else _END

    entries = [("Root Entry", 5, _END, 0)]
    for name, data in streams.items():
        if len(data) >= _LEAST:
            entries.append((name, 2, put(data), len(data)))
            continue
        first, count = len(following_short), -(-len(data) // _SHORT)
        following_short += [*range(first + 1, first + count), _END][:count]
        shorts += data.ljust(count * _SHORT, b"\0")
        entries.append((name, 2, first if count else _END, len(data)))
    entries[0] = ("Root Entry", 5, put(shorts), len(shorts))
    directory = b""
    for number, (name, kind, start, size) in enumerate(entries):
        right = number + 1 if 0 < number < len(entries) - 1 else 0xFFFFFFFF
        child = 1 if not number else 0xFFFFFFFF
        directory += struct.pack(
            "<64sHBBIII36xIQ",
            name.encode("utf-16-le"),
            2 * len(name) + 2,
            kind,
            1,
            0xFFFFFFFF,
            right,
            child,
            start,
            size,
        )
    at_directory = put(directory)
    at_shorts = put(struct.pack(f"<{len(following_short)}I", *following_short).ljust(_SECTOR, b"\xff"))
    sectors[0] = struct.pack(f"<{len(following)}I", *following).ljust(_SECTOR, b"\xff")
    assert len(following) <= _SECTOR // 4
    head = struct.pack(
        "<8s16xHHHHH6xIIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, 1, at_directory, 0, _LEAST,
        at_shorts, 1, _END, 0, 0,
    )  # fmt: skip
    return head.ljust(_SECTOR, b"\xff") + b"".join(sectors)


def _record(kind: int, data: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(data)) + data


def _cell(row: int, column: int) -> bytes:
    return _record(0x203, struct.pack("<HHHd", row, column, 0, 1.0))


def _row(number: int, flags: int) -> bytes:
    return _record(0x208, struct.pack("<HHHHII", number, 0, 9, 255, 0, flags))


def _columns(first: int, last: int, flags: int) -> bytes:
    return _record(0x7D, struct.pack("<HHHHHH", first, last, 9, 0, flags, 0))


def xls(*, padding: int = 0) -> bytes:
    """Sheets of a cell each: one that is shown, with hidden rows and columns, filled and not; one hidden, one very hidden; a
    hidden sheet of macros.
    """
    begin, end = _record(0x809, bytes(16)), _record(0x0A)
    shown = (
        begin + _columns(2, 3, 1) + _columns(7, 255, 1) + _columns(0, 1, 0) + _row(0, 0) + _row(1, 0x20) + _row(2, 0x20)
        + _cell(0, 0) + _cell(0, 2) + _cell(1, 0) + _cell(1, 1) + begin + _cell(0, 3) + end
        + _record(0xBD, struct.pack("<HH", 0, 1) + bytes(12) + struct.pack("<H", 2)) + _record(0x1C, bytes(12)) + end
    )  # fmt: skip
    hidden = begin + _row(0, 0x20) + _cell(0, 0) + end
    names = ((0, 0, shown), (1, 0, hidden), (2, 0, hidden), (1, 1, hidden))
    at = len(begin + end) + 4 * len(_record(0x85, bytes(8))) + padding + 4
    sheets, bodies = b"", b""
    for state, kind, body in names:
        sheets += _record(0x85, struct.pack("<IBBBB", at + len(bodies), state, kind, 0, 0))
        bodies += body
    return compound({"Workbook": begin + sheets + _record(0x3C, bytes(padding)) + end + bodies, "\5Summary": b"x"})


def xls_with_area(formula: bytes, *, version: bytes = b"\0\6", state: int = 0, flags: int = 0x20) -> bytes:
    """Two sheets of four cells each, and what is to be printed of the second; its ``state``, and ``flags`` of that."""
    begin, end = _record(0x809, version + bytes(14)), _record(0x0A)
    body = begin + b"".join(_cell(row, column) for row in (0, 1) for column in (0, 1)) + end
    name = _record(0x18, struct.pack("<HBBHHH5x", flags, 0, 1, len(formula), 0, 2) + b"\6" + formula)
    at = len(begin + end) + 2 * len(_record(0x85, bytes(8))) + len(name)
    sheets = b"".join(_record(0x85, struct.pack("<IBBBB", at + len(body) * n, n * state, 0, 0, 0)) for n in (0, 1))
    return compound({"Workbook": begin + sheets + name + end + 2 * body})


def _block(kind: int, data: bytes, instance: int = 0) -> bytes:
    return struct.pack("<HHI", instance << 4 | 0xF, kind, len(data)) + data


def _entry(number: int) -> bytes:
    return _block(0x3F3, struct.pack("<I", number) + bytes(16))


def _info(flags: int) -> bytes:
    showing = bytes(10) + struct.pack("<HI", flags, 0)
    return _block(0x3EE, _block(0x3EF, bytes(24)) + _block(0x3F9, showing))


def ppt() -> bytes:
    """Two slides, of which the second was hidden when the show was saved again; and a hidden page of notes."""
    show = _block(0x3E8, _block(0xFF0, _entry(4), 2) + _block(0xFF0, _entry(2) + _entry(3)))
    stream = b""
    places = {}
    for number, what in ((1, show), (2, _info(1)), (3, _info(0)), (4, _info(4))):
        places[number] = len(stream)
        stream += what
    directory = len(stream)
    stream += _block(0x1772, struct.pack("<I4I", 4 << 20 | 1, *places.values()))
    edit = len(stream)
    stream += _block(0xFF5, struct.pack("<IIIIII", 0, 0, 0, directory, 1, 5))
    again = len(stream)
    stream += _info(5)
    directory = len(stream)
    stream += _block(0x1772, struct.pack("<II", 1 << 20 | 3, again))
    last = len(stream)
    stream += _block(0xFF5, struct.pack("<IIIIII", 0, 0, edit, directory, 1, 5))
    return compound({"Current User": bytes(16) + struct.pack("<I", last), "PowerPoint Document": stream})


def doc(comments: int, *, size: int = 600) -> bytes:
    """The head of a text that says how many comments there are."""
    length = 4 + comments * 34 if comments else 0
    head = bytearray(max(size, 900))
    head[:4] = struct.pack("<HH", 0xA5EC, 0xC1)
    struct.pack_into("<IIII", head, 0xBA, 10, length, 99, 77 if comments else 0)
    return compound({"WordDocument": bytes(head)})


def doc_of_runs(properties: bytes, *, end: int = 0x800, behind: bytes = b"") -> bytes:
    """A text of one run of letters with these properties, which ends there; ``behind`` it is something else."""
    head = bytearray(1024)
    head[:4] = struct.pack("<HH", 0xA5EC, 0xC1)
    struct.pack_into("<II", head, 0xFA, 4, 12)
    page = struct.pack("<IIB", 0x400, end, 200).ljust(400, b"\0") + bytes([len(properties)]) + properties
    text = bytes(head) + page.ljust(511, b"\0") + b"\1" + behind
    return compound({"WordDocument": text, "0Table": bytes(4) + struct.pack("<III", 0x400, end, len(head) // 512)})
