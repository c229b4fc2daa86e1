"""What is hidden in workbooks and slides of the old kinds, which are records: a type, a length, and what it says."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator

from gateway.document.hidden_xml import Area, Table

# records of Excel (MS-XLS)
_BEGIN, _END, _SHEET, _ROW, _COLUMNS, _NUMBERS, _NAME = 0x809, 0x0A, 0x85, 0x208, 0x7D, 0xBD, 0x18
_CELLS = {0x203, 0x27E, 0xFD, 0x204, 0xD6, 0x205, 0x06}  # a number, a text, a truth, a formula...
_NOTE, COMMENT_IS_SHOWN = 0x1C, 0x2  # and among its flags
_EXCEL_97 = b"\0\6"  # a version
_PRINT_AREA = b"\x00\x06"  # how a name that is built in begins
BUILT_IN = 0x20  # in the first byte of its flags
_AREA, _CELL = 0x1B, 0x1A  # in formulas, of whatever class
_SIZES = {_AREA: 11, _CELL: 7, 0x09: 3, 0x10: 1, 0x15: 1}  # bytes; and of what joins several
_ROW_IS_HIDDEN = 0x20
_PAGES = (0, 2)  # kinds of sheets: tables and charts
_SHEET_OF_2007 = 0x9C  # in binary (MS-XLSB)
# and of PowerPoint (MS-PPT)
_SLIDES, _SLIDE, _SHOWING = 0xFF0, 0x3F3, 0x3F9
_SLIDE_IS_HIDDEN = 0x4


def of_book(stream: bytes) -> Counter[str]:
    """The hidden sheets, rows and columns of a workbook, and its comments. Raises struct.error and IndexError where it is damaged."""
    found: Counter[str] = Counter()
    sheets: set[int] = set()  # where in the stream a hidden one begins
    numbers: dict[int, int] = {}  # of each, by where it does
    areas: dict[int, list[Area]] = {}  # that alone are printed of each, by its number
    rows: set[int] = set()
    table = Table()
    depth = 0  # a chart on a sheet has a beginning and an end of its own
    for at, kind, data in records(stream):
        if kind == _BEGIN:
            depth += 1
            if depth == 1:
                found += table.found
                table, rows = Table(areas.get(numbers.get(at, 0), ())), set()
                table.closed = at in sheets
        elif kind == _END:
            depth -= 1
        elif kind == _SHEET:
            place = struct.unpack_from("<I", data)[0]
            numbers[place] = len(numbers) + 1
            if data[4] & 3:
                sheets.add(place)
                found["hidden sheet"] += data[5] in _PAGES
        elif kind == _NAME and stream[4:6] == _EXCEL_97 and _is_print_area(data):
            areas[struct.unpack_from("<H", data, 8)[0]] = _areas(data[16 : 16 + struct.unpack_from("<H", data, 4)[0]])
        elif depth == 1 and kind == _NOTE:
            found["comment"] += not table.closed
        elif depth == 1 and kind == _COLUMNS and data[8] & 1:
            first, last = struct.unpack_from("<HH", data)
            table.hide(first, last - first + 1)
        elif depth == 1 and kind == _ROW and data[12] & _ROW_IS_HIDDEN:
            rows.add(struct.unpack_from("<H", data)[0])
        elif depth == 1 and (kind in _CELLS or kind == _NUMBERS):
            row, column = struct.unpack_from("<HH", data)
            table.row(row, hidden=row in rows)
            table.filled(column, (len(data) - 6) // 6 if kind == _NUMBERS else 1)
    return found + table.found


def areas_of_hidden(stream: bytes) -> Iterator[int]:
    """Where in a workbook of Excel 97 and later the flags of the print areas of its hidden sheets stand."""
    hidden: list[bool] = []
    for at, kind, data in records(stream):
        if kind == _SHEET:
            hidden.append(bool(data[4] & 3))
        elif kind == _NAME and _is_print_area(data):
            number = struct.unpack_from("<H", data, 8)[0]
            if 0 < number <= len(hidden) and hidden[number - 1]:
                yield at + 4
        elif kind == _END:
            return


def shown_comments(stream: bytes) -> Iterator[int]:
    """Where in a workbook of Excel 97 and later the flags of the comments stand that are shown."""
    for at, kind, data in records(stream):
        if kind == _NOTE and len(data) > 4 and data[4] & COMMENT_IS_SHOWN:
            yield at + 8


def _is_print_area(name: bytes) -> bool:
    return name[14:16] == _PRINT_AREA and name[0] & BUILT_IN != 0


def _areas(formula: bytes) -> list[Area]:
    """Those of a formula that names nothing else."""
    found: list[Area] = []
    at = 0
    while at < len(formula):
        kind = formula[at] & 0x1F
        if kind == _AREA:
            top, bottom, left, right = struct.unpack_from("<HHHH", formula, at + 3)
            found.append((range(left & 0xFF, (right & 0xFF) + 1), range(top, bottom + 1)))
        elif kind == _CELL:
            row, column = struct.unpack_from("<HH", formula, at + 3)
            found.append((range(column & 0xFF, (column & 0xFF) + 1), range(row, row + 1)))
        elif kind not in _SIZES:
            return []
        at += _SIZES[kind]
    return found


def records(stream: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where each begins, its type, and what it says."""
    at = 0
    while at + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, at)
        yield at, kind, stream[at + 4 : at + 4 + size]
        at += 4 + size


def sheets_of_2007(stream: bytes) -> int:
    """The hidden sheets of a workbook in the binary form of Excel 2007. Raises IndexError where it is damaged."""
    at = count = 0
    while at < len(stream):
        kind, at = _number(stream, at, 2)
        size, at = _number(stream, at, 4)
        count += kind == _SHEET_OF_2007 and stream[at] != 0
        at += size
    return count


def _number(stream: bytes, at: int, most: int) -> tuple[int, int]:
    """One of up to so many bytes, seven bits in each, and where the next begins."""
    number = 0
    for place in range(most):
        number |= (stream[at] & 0x7F) << 7 * place
        at += 1
        if not stream[at - 1] & 0x80:
            break
    return number, at


def slides(stream: bytes, edited: bytes) -> int:
    """The hidden slides of a show; ``edited``: its stream that says where the last edit is. Raises struct.error where it is
    damaged.
    """
    if not stream:
        return 0
    places, show = _places(stream, struct.unpack_from("<I", edited, 16)[0])
    count = 0
    for kind, start, end in _inside(stream, places[show]):
        # not those of notes and masters
        if kind == _SLIDES and struct.unpack_from("<H", stream, start - 8)[0] >> 4 == 0:
            for inner, at, _ in _children(stream, start, end):
                if inner == _SLIDE:
                    slide = places[struct.unpack_from("<I", stream, at)[0]]
                    count += any(
                        kind == _SHOWING and struct.unpack_from("<H", stream, at + 10)[0] & _SLIDE_IS_HIDDEN
                        for kind, at, _ in _inside(stream, slide)
                    )
    return count


def _places(stream: bytes, edit: int) -> tuple[dict[int, int], int]:
    """Where each thing stands as it was saved last, by its number, and the number of the show."""
    places: dict[int, int] = {}
    show = struct.unpack_from("<I", stream, edit + 24)[0]
    seen: set[int] = set()
    while edit and edit not in seen:
        seen.add(edit)
        edit_before, directory = struct.unpack_from("<II", stream, edit + 16)
        size = struct.unpack_from("<I", stream, directory + 4)[0]
        at, end = directory + 8, directory + 8 + size
        while at < end:
            first = struct.unpack_from("<I", stream, at)[0]
            number, count = first & 0xFFFFF, first >> 20
            for each, place in enumerate(struct.unpack_from(f"<{count}I", stream, at + 4), number):
                places.setdefault(each, place)
            at += 4 + 4 * count
        edit = edit_before
    return places, show


def _inside(stream: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    size = struct.unpack_from("<I", stream, at + 4)[0]
    return _children(stream, at + 8, at + 8 + size)


def _children(stream: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The type of each record there, and from where to where its content stands."""
    while at < end:
        kind, size = struct.unpack_from("<2xHI", stream, at)
        yield kind, at + 8, at + 8 + size
        at += 8 + size
