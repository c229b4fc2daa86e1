"""What is hidden of tables and slides that are XML, in one reading of its source."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from xml.parsers import expat

SHEET_2003 = re.compile(rb"<(?:\w+:)?Visible>\s*Sheet(?:Very)?Hidden\s*<")  # what says so of a sheet of Excel 2003
_HIDES_OPEN = re.compile(rb":(?:visibility|display|print(?:-ranges)?)\s*=")
NO_WIDTH = rb"\bwidth=[\"']0(?:\.0*)?[\"']"  # of a column, which Excel does not show
_HIDES_SHEET = re.compile(rb"\bhidden\s*=|" + NO_WIDTH)
_HIDES_2003 = re.compile(rb"\bHidden\s*=\s*[\"']1")
_OFFICE, _STYLE, _TABLE, _DRAWING, _PRESENTATION = (
    f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0 "
    for name in ("office", "style", "table", "drawing", "presentation")
)
_EXCEL = "urn:schemas-microsoft-com:office:spreadsheet "
_COLUMNS, _ROWS = 16_384, 1 << 20  # that a table has at most
_GONE = ("collapse", "filter")
_TRUE = ("1", "true")
# of a sheet; or whole columns, or rows
_AREA = re.compile(r"!\$?([A-Z]{0,3})\$?(\d*)(?::\$?([A-Z]{0,3})\$?(\d*))?(?=,|\Z)")
_OPEN_AREA = re.compile(r"\.\$?([A-Z]{1,3})\$?(\d+)(?::\$?(?:'[^']*'|[^\s'.:])*+\.\$?([A-Z]{1,3})\$?(\d+))?(?=\s|\Z)")
_WORKED_OUT = re.compile(r"(?:\A|,)\w+\(")  # by a formula
_COPY = "'#$"  # in the name of a table that is what was seen last of another file
_LETTERS = re.compile(r"[A-Z]{1,3}")


def of_open_document(text: bytes) -> Counter[str]:
    """The hidden slides, sheets, rows and columns of an OpenDocument, by what they are. Raises ExpatError, ValueError."""
    return _OpenDocument().read(text) if _HIDES_OPEN.search(text) else Counter()


def of_sheet(text: bytes, printed: str) -> Counter[str]:
    """The hidden rows and columns of a sheet of Excel (SpreadsheetML), and the cells that are not ``printed`` ("A!$A$1:$B$2,A!$D$1"; ""
    is all). Raises ExpatError, ValueError.
    """
    areas = [] if _WORKED_OUT.search(printed) else [_area(each) for each in _AREA.findall(printed)]
    return _Sheet(areas).read(text) if areas or _HIDES_SHEET.search(text) else Counter()


def of_book_of_2003(text: bytes) -> Counter[str]:
    """The hidden rows and columns of a book of Excel 2003 (XML). Raises ExpatError, ValueError."""
    return _Book2003().read(text) if _HIDES_2003.search(text) else Counter()


Area = tuple[range, range]  # columns, rows


class Table:
    """Which hidden rows and columns of a table have something in them: others nobody misses. And how many cells that have are not in
    its ``areas``, which alone are printed, if there are any.
    """

    def __init__(self, areas: Sequence[Area] = ()) -> None:
        self._areas = areas
        self._hidden: list[range] = []  # columns
        self._row = range(0)  # and those that are its like
        self._row_is_hidden = False
        self._rows: set[int] = set()
        self._columns: set[int] = set()
        self._outside = 0
        self.closed = False  # none of it is printed anyway

    @property
    def found(self) -> Counter[str]:
        if self.closed:
            return Counter()
        return Counter({
            "hidden row": len(self._rows), "hidden column": len(self._columns), "non-printing cell": self._outside,
        })  # fmt: skip

    def hide(self, first: int, count: int) -> None:
        """These columns."""
        self._hidden.append(range(first, min(first + count, _COLUMNS)))

    def row(self, number: int, *, hidden: bool, count: int = 1) -> None:
        """It begins, and stands for so many."""
        self._row, self._row_is_hidden = range(number, min(number + count, _ROWS + 1)), hidden

    def filled(self, first: int, count: int = 1) -> None:
        """There is something in the cells of these columns."""
        cells = range(first, first + count)
        if self._areas:
            inside = sum(_shared(cells, columns) * _shared(self._row, rows) for columns, rows in self._areas)
            self._outside += max(0, count * len(self._row) - inside)
            if not inside:
                return
        if self._row_is_hidden:
            self._rows.add(self._row.start)
            return
        for hidden in self._hidden:
            self._columns.update(range(max(first, hidden.start), min(first + count, hidden.stop)))


class _Reader:
    """Has its methods called by the names of tags."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self.table = Table()
        self.row = self.column = 0  # where it stands
        self._handlers: dict[tuple[str, str], Callable[..., None] | None] = {}

    def read(self, text: bytes) -> Counter[str]:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.Parse(text, True)
        return self.found + self.table.found

    def _start(self, name: str, said: dict[str, str]) -> None:
        if handler := self._named("on", name):
            handler(said)

    def _end(self, name: str) -> None:
        if handler := self._named("off", name):
            handler()

    def _named(self, when: str, tag: str) -> Callable[..., None] | None:
        try:
            return self._handlers[when, tag]
        except KeyError:
            name = f"{when}_{tag.rpartition(' ')[2].replace('-', '_')}"
            return self._handlers.setdefault((when, tag), getattr(self, name, None))


class _OpenDocument(_Reader):
    def __init__(self) -> None:
        super().__init__()
        self._style = ("", "")
        self._hiding: set[tuple[str, str | None]] = set()  # styles
        self._is_book = False
        self._sheets = 0
        self._objects = 0  # a chart has a table of its own
        self._like = 1  # rows that the last one stood for

    def read(self, text: bytes) -> Counter[str]:
        found = super().read(text)
        if found["non-printing sheet"] == self._sheets:  # LibreOffice prints all of them then
            del found["non-printing sheet"]
        return found

    def on_style(self, said: dict[str, str]) -> None:
        self._style = (said.get(_STYLE + "family", ""), said.get(_STYLE + "name", ""))

    def on_table_properties(self, said: dict[str, str]) -> None:
        if said.get(_TABLE + "display") == "false":
            self._hiding.add(self._style)

    def on_drawing_page_properties(self, said: dict[str, str]) -> None:
        if said.get(_PRESENTATION + "visibility") == "hidden":
            self._hiding.add(self._style)

    def on_page(self, said: dict[str, str]) -> None:
        self.found["hidden slide"] += ("drawing-page", said.get(_DRAWING + "style-name")) in self._hiding

    def on_spreadsheet(self, _: dict[str, str]) -> None:
        self._is_book = True

    def on_object(self, _: dict[str, str]) -> None:
        self._objects += 1

    def off_object(self) -> None:
        self._objects -= 1

    def on_table(self, said: dict[str, str]) -> None:
        if self._objects:
            return
        self.found += self.table.found
        self.table = Table([_area(each, 0) for each in _OPEN_AREA.findall(said.get(_TABLE + "print-ranges", ""))])
        self.row, self.column = 0, 0
        if _COPY in said.get(_TABLE + "name", ""):
            self.table.closed = True
            return
        self._sheets += 1
        self._like = 1
        if self._is_book and ("table", said.get(_TABLE + "style-name")) in self._hiding:
            self.found["hidden sheet"] += 1
            self.table.closed = True
        elif self._is_book and said.get(_TABLE + "print") == "false":
            self.found["non-printing sheet"] += 1
            self.table.closed = True

    def on_table_column(self, said: dict[str, str]) -> None:
        count = int(said.get(_TABLE + "number-columns-repeated", "1"))
        if self._is_book and said.get(_TABLE + "visibility") in _GONE:
            self.table.hide(self.column, count)
        self.column += count

    def on_table_row(self, said: dict[str, str]) -> None:
        self.row, self.column = self.row + self._like, 0
        self._like = int(said.get(_TABLE + "number-rows-repeated", "1"))
        hidden = self._is_book and said.get(_TABLE + "visibility") in _GONE
        self.table.row(self.row, hidden=hidden, count=self._like)

    def on_table_cell(self, said: dict[str, str]) -> None:
        count = int(said.get(_TABLE + "number-columns-repeated", "1"))
        if _OFFICE + "value-type" in said and not self._objects:
            self.table.filled(self.column, count)
        self.column += count

    on_covered_table_cell = on_table_cell


class _Sheet(_Reader):
    def __init__(self, areas: list[Area]) -> None:
        super().__init__()
        self.table = Table(areas)

    def on_col(self, said: dict[str, str]) -> None:
        if said.get("hidden") in _TRUE or not said.get("width", "1").strip("0."):
            first = int(said["min"])
            self.table.hide(first, int(said["max"]) - first + 1)

    def on_row(self, said: dict[str, str]) -> None:
        self.row, self.column = int(said.get("r", self.row + 1)), 0
        self.table.row(self.row, hidden=said.get("hidden") in _TRUE)

    def on_c(self, said: dict[str, str]) -> None:
        letters = _LETTERS.match(said.get("r", ""))
        self.column = _number(letters[0]) if letters else self.column + 1

    def on_v(self, _: dict[str, str]) -> None:
        self.table.filled(self.column)

    on_is = on_v


class _Book2003(_Reader):
    def __init__(self) -> None:
        super().__init__()
        self._like = 0  # rows that are as the last one
        self._merged = 0  # cells with the last one

    def on_Worksheet(self, _: dict[str, str]) -> None:
        self.found += self.table.found
        self.table, self.row, self.column, self._like = Table(), 0, 0, 0

    def on_Visible(self, _: dict[str, str]) -> None:
        self.table.closed = True

    def on_Column(self, said: dict[str, str]) -> None:
        first, count = int(said.get(_EXCEL + "Index", self.column + 1)), int(said.get(_EXCEL + "Span", "0")) + 1
        if said.get(_EXCEL + "Hidden") == "1":
            self.table.hide(first, count)
        self.column = first + count - 1

    def on_Row(self, said: dict[str, str]) -> None:
        self.row, self.column = int(said.get(_EXCEL + "Index", self.row + self._like + 1)), 0
        self._like = int(said.get(_EXCEL + "Span", "0"))
        self.table.row(self.row, hidden=said.get(_EXCEL + "Hidden") == "1")

    def on_Cell(self, said: dict[str, str]) -> None:
        self.column = int(said.get(_EXCEL + "Index", self.column + 1))
        self._merged = int(said.get(_EXCEL + "MergeAcross", "0"))

    def on_Data(self, _: dict[str, str]) -> None:
        self.table.filled(self.column)

    def off_Cell(self) -> None:
        self.column += self._merged


def _area(place: tuple[str, str, str, str], first: int = 1) -> Area:
    """``first``: the number of the first column."""
    left, top, right, bottom = place
    columns = range(_number(left) - 1, _number(right or left)) if left else range(_COLUMNS)
    rows = range(int(top), int(bottom or top) + 1) if top else range(1, _ROWS + 1)
    return range(columns.start + first, columns.stop + first), rows


def _shared(one: range, other: range) -> int:
    """How much they have in common."""
    return max(0, min(one.stop, other.stop) - max(one.start, other.start))


def _number(letters: str) -> int:
    """Of a column: A is 1."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("A") + 1
    return number
