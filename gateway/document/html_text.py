"""The readable text of HTML, where it is not drawn: what its reader sees, with what its marks say put into letters."""

from __future__ import annotations

import html.parser
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.document import dingbats

_BLANKS = re.compile(r"[ \t\n\r\f]+")  # of HTML, without the one that stays
_BETWEEN = " " * 3  # cells of a table
_RULE = "-" * 40
_NOTHING = "–"  # in a cell
_COLUMNS = 3  # at least, of a table in which empty cells are shown: fewer are a layout


_GONE = re.compile(
    r"(?<![-\w])(?:display\s*:\s*none|visibility\s*:\s*hidden|opacity\s*:\s*0(?![.\d])|max-height\s*:\s*0(?![.\d]))",
    re.IGNORECASE,
)
_SEEN = re.compile(r"(?<![-\w])(?:display|visibility)\s*:\s*+(?!none|hidden)", re.IGNORECASE)  # what another rule hides
_NAMED = re.compile(r"[a-z]*[.#][-\w]+", re.IGNORECASE)  # a selector: one class or one id, of an element or of all
_STRUCK = re.compile(r"\btext-decoration(?:-line)?\s*:[^;]*line-through", re.IGNORECASE)
_STROKE = "\u0336"  # through the letter before it
_SMALL = {
    "sup": str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻"),  # also the true minus
    "sub": str.maketrans("0123456789+-−", "₀₁₂₃₄₅₆₇₈₉₊₋₋"),
}
_RAISED = re.compile(r"(?<![-\w])vertical-align\s*:\s*+(sup|sub)", re.IGNORECASE)
_COUNTED = re.compile(
    r"(?<![-\w])list-style(?:-type)?\s*:[^;]{0,40}?(?<![-\w])(decimal|(?:lower|upper)-(?:alpha|latin|roman))(?![-\w])"
    r"|(?<![-\w])list-style(?:-type)?\s*:\s*+(none)\s*+(?![^;!])",
    re.IGNORECASE,
)
_COUNTS = {  # by what the style of a list calls its numbers, how its field "type" does
    "decimal": "1", "lower-alpha": "a", "lower-latin": "a", "lower-roman": "i", "upper-alpha": "A", "upper-latin": "A",
    "upper-roman": "I", "none": "",
}  # fmt: skip
_BULLET = "•"
_SPACED = re.compile(r"(?<![-\w])white-space(?:-collapse)?\s*:\s*+([-a-z]+)", re.IGNORECASE)
_BLOCK = re.compile(r"(?<![-\w])display\s*:\s*+(?:block|flex|grid|list-item)", re.IGNORECASE)
_CELLS = frozenset({"td", "th"})
_ROWS = frozenset("table thead tbody tfoot tr".split())  # elements with nothing to read between the cells
_ROMAN = ((100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i"))
_MOST_ROMAN = 399
_EMPTY = frozenset("area base br col embed hr img input link meta source track wbr".split())  # elements
_ENDED_BY = {  # elements that end before such a one begins
    "li": {"li"}, "td": {"td", "th"}, "th": {"td", "th"}, "tr": {"td", "th", "tr"}, "dt": {"dt", "dd"}, "dd": {"dt", "dd"},
}  # fmt: skip
_MENTION = 300  # letters that mail programs show of a mail in their lists, at most
_LISTS = ("ul", "ol")
_DEEPEST = 200  # elements within each other
_INSETS = 8  # of lists within each other
_IS_GONE, _IS_STRUCK = "(gone)", "(struck)"  # no tags
_TICKED, _UNTICKED = "☒", "☐"
_UNSAID = frozenset("hidden password submit button reset image file".split())  # kinds of fields of a form


@dataclass(slots=True)
class _Element:
    """One that is open."""

    tag: str
    marks: tuple[str, ...]  # its tag, and what becomes of the words in it
    number: int = 0  # of the last line of a numbered list
    style: str = ""  # of its numbers, "" for a list without
    signs: dingbats.Signs | None = None  # those of the font it is set in
    small: str = ""  # sup or sub: it is raised or lowered
    spaced: bool = False  # its blanks and line ends are to be seen
    block: bool = False  # its style makes lines of it, as of a <div>


class _Text(html.parser.HTMLParser):
    """The readable text of a page of HTML: blocks on lines of their own, paragraphs and cells of a table apart."""

    _APART = frozenset("p h1 h2 h3 h4 h5 h6 ul ol dl blockquote pre".split())
    _BLOCKS = _APART | frozenset(
        "div tr li dt dd table hr section article header footer center address aside details fieldset figcaption figure form legend"
        " main nav summary".split()
    )
    _HIDDEN = frozenset("script style title template".split())

    def __init__(self, *, whole: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[str] = []
        self.gone = 0  # letters that its reader does not see
        self._whole = whole  # has those too
        self._open: list[_Element] = []
        self._within: Counter[str] = Counter()  # their tags, and whether they are gone or struck
        self._parts: list[str] = []
        self._hidden = 0
        self._gap = False  # air is due before the line
        self._ended = self._then = False  # it is whole unless a cell comes next, and air is due behind it
        self._in_cell = False  # at its beginning, or that of a line of a list, where a block begins no line
        self._columns = 0  # of the table, once they were all filled
        self._pictured = False  # there is a picture in the line
        self._loose = True
        self._choices: list[tuple[int, bool]] = []  # of a list: where each begins, and whether it is chosen
        self._rules: dict[str, bool] = {}  # of a style sheet: selectors, and whether their elements are hidden

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attributes}
        apart = tag in self._APART and not self._in_list(tag)
        self._begin(tag, said)
        block = tag not in _EMPTY and tag not in self._BLOCKS and bool(_BLOCK.search(said.get("style", "")))
        if tag in self._HIDDEN:
            self._hidden += 1
        elif tag == "body":  # a head left open hides nothing of it
            self._hidden = 0
        elif tag in _CELLS:
            self._parts.append("\t")
            self._ended = self._then = False
            self._in_cell = True
        elif tag == "br":
            if self._ended:
                self.end_line()
            self.end_line(broken=True)
        elif self._in_cell and (block or tag in ("p", "div")):
            self._loose = False
        elif block or tag in self._BLOCKS:
            self.end_line()
            self._loose = said.get("class") != "MsoNormal"  # Outlook's lines are paragraphs
            self._gap |= self._loose and apart
            self._parts += [self._mark(said)] if tag == "li" else [_RULE] if tag == "hr" else []
            self._in_cell = tag == "li"
        if tag == "hr":
            self.end_line()
        elif tag == "table":
            self._columns = 0
        self._pictured |= tag == "img"

    def _begin(self, tag: str, said: dict[str, str]) -> None:
        """It is open from here."""
        while self._open and (
            self._open[-1].tag in _ENDED_BY.get(tag, ()) or (self._open[-1].tag == "p" and tag in self._BLOCKS)
        ):
            self._leave()
        style = said.get("style", "")
        kind = said.get("type", "text").lower() if tag == "input" else ""
        if kind in ("checkbox", "radio"):
            self.handle_data(_TICKED if "checked" in said else _UNTICKED)
        elif kind and kind not in _UNSAID:
            self.handle_data(said.get("value", ""))
        elif tag == "textarea":
            self.handle_data(" ")
        elif tag == "select":
            if self._ended:  # which would move where each of its choices begins
                self.end_line()
            self._choices = []
        elif tag == "option":
            self._choices.append((len(self._parts), "selected" in said))
            self.handle_data(" ")
        if tag not in _EMPTY and len(self._open) < _DEEPEST:
            names = [f".{name}" for name in said.get("class", "").split()] + [f"#{said.get('id', '')}"]
            hides = any(self._rules.get(each) for name in names for each in (name, f"{tag}{name}"))
            gone = (
                "hidden" in said
                or (tag == "dialog" and "open" not in said)
                or bool(_GONE.search(style))
                or (hides and not _SEEN.search(style))
            )
            struck = tag in ("s", "strike", "del") or bool(_STRUCK.search(style))
            marks = (tag, *[_IS_GONE] * gone, *[_IS_STRUCK] * struck)
            self._within.update(marks)
            start = said.get("start", "")
            number = int(start) - 1 if start.isdecimal() and len(start) < 9 else 0
            around = self._open[-1] if self._open else _Element("", ())
            signs = dingbats.in_html(style, said.get("face", ""))
            raised = _RAISED.search(style)
            small = tag if tag in _SMALL else raised[1].lower() if raised else around.small
            count = _count(said, said.get("type", "1") if tag == "ol" else _BULLET)
            white = _SPACED.search(style)
            spaced = (
                white[1].lower().startswith(("pre", "break")) if white else tag in ("pre", "textarea") or around.spaced
            )
            signs = around.signs if signs is None else signs
            block = bool(_BLOCK.search(style))
            self._open.append(_Element(tag, marks, number, count, signs, small, spaced, block))

    def _leave(self) -> _Element:
        """The innermost element ends."""
        element = self._open.pop()
        self._within.subtract(element.marks)
        return element

    def _in_list(self, tag: str) -> bool:
        """Whether it is a list within another."""
        return tag in _LISTS and any(self._within[each] for each in _LISTS)

    def _mark(self, said: dict[str, str]) -> str:
        """What stands before a line of a list."""
        lists = [each for each in self._open if each.tag in _LISTS]
        inset = "\xa0" * 4 * (min(len(lists), _INSETS) - 1)
        if not lists:
            return f"{_BULLET} "
        value = said.get("value", "")
        lists[-1].number = int(value) if value.isdecimal() and len(value) < 9 else lists[-1].number + 1
        count = _count(said, (said.get("type", "") if lists[-1].tag == "ol" else "") or lists[-1].style)
        if count in ("", _BULLET):
            return f"{inset}{count} "
        return f"{inset}{_numbered(lists[-1].number, count)}. "

    def handle_endtag(self, tag: str) -> None:
        block = False
        if self._within[tag]:
            while (element := self._leave()).tag != tag:
                pass
            block = element.block
        if tag in self._HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag == "select":
            self._choose()
        elif tag in ("p", "div") or (block and tag not in self._BLOCKS | _CELLS):
            self._ended = True
            self._then |= self._loose and tag == "p"
        elif tag in self._BLOCKS:
            self.end_line()
            self._gap |= self._loose and tag in self._APART and not self._in_list(tag)

    def _choose(self) -> None:
        """Of a list to choose from, what is chosen stays; where nothing is, the first."""
        ends = [*(start for start, _ in self._choices[1:]), len(self._parts)]
        pieces = [self._parts[start:end] for (start, _), end in zip(self._choices, ends, strict=False)]
        chosen = [piece for piece, (_, is_chosen) in zip(pieces, self._choices, strict=False) if is_chosen] or pieces[
            :1
        ]
        if self._choices:
            self._parts[self._choices[0][0] :] = [part for piece in chosen for part in piece]
        self._choices = []

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1].tag == "style":
            self._rules.update(_rules(data))
        if self._hidden:
            return
        if self._within[_IS_GONE]:
            self.gone += len(data.strip())
            if not self._whole:
                return
        if self._open and self._open[-1].small:
            data = data.translate(_SMALL[self._open[-1].small])
        if self._open and self._open[-1].signs:
            data = dingbats.signs(data, self._open[-1].signs)
        if self._within[_IS_STRUCK]:
            data = re.sub(r"(\S)", rf"\1{_STROKE}", data)
        if data.strip():
            if self._ended:
                self.end_line()
            self._in_cell = False
        if not (self._open and self._open[-1].spaced and self._open[-1].tag not in _ROWS):
            self._parts.append(_BLANKS.sub(" ", data))
            return
        for line in data.splitlines(keepends=True):
            self._parts.append(line.rstrip("\r\n").expandtabs().replace(" ", "\xa0"))  # which no other swallows
            if line.endswith(("\r", "\n")):
                self.end_line(broken=True)

    def end_line(self, *, broken: bool = False) -> None:
        """The line is whole, even without a word where it is ``broken`` off or holds a blank that is to be seen."""
        cells = [_BLANKS.sub(" ", cell).strip(" ") for cell in "".join(self._parts).split("\t")]
        line = _BETWEEN.join(filter(None, self._row(cells)))
        self._parts.clear()
        if line or broken:
            if self._gap:
                self.lines.append("")
            self.lines.append(line.replace("\xa0", " ").rstrip())
            self._gap = False
        self._gap |= self._then
        self._ended = self._then = self._in_cell = self._pictured = False

    def _row(self, cells: list[str]) -> list[str]:
        """A dash stands for an empty cell, below columns that were all filled: what comes next is in a column of its own."""
        before, *row = cells
        filled = [bool(cell.strip(" \xa0")) for cell in row]
        if len(row) >= _COLUMNS and all(filled):
            self._columns = len(row)
        elif len(row) == self._columns and any(filled) and not self._pictured:
            row = [cell if is_filled else _NOTHING for cell, is_filled in zip(row, filled, strict=True)]
        return [before, *row]


def _rules(sheet: str) -> Iterator[tuple[str, bool]]:
    """The selectors of a class or an id whose elements a style sheet hides, or shows, on screens of any kind."""
    first, *commented = sheet.split("/*")
    pieces = re.split(r"([{}])", first + "".join(each.partition("*/")[2] for each in commented))
    opened: list[str] = []  # what each open brace is for
    for piece, brace in zip(pieces[::2], pieces[1::2], strict=False):
        if brace == "{":
            opened.append(piece.rpartition(";")[2].replace("<!--", ""))
        elif opened:
            selectors = opened.pop()
            hides = bool(_GONE.search(piece))
            if not opened and (hides or _SEEN.search(piece)):
                names = (each.strip() for each in selectors.split(","))
                yield from ((name, hides) for name in names if _NAMED.fullmatch(name))


def _count(said: dict[str, str], otherwise: str) -> str:
    """How a list, or a line of one, is numbered: as its style says, else ``otherwise``."""
    found = _COUNTED.search(said.get("style", ""))
    return _COUNTS[(found[1] or found[2]).lower()] if found else otherwise[:1]


def _numbered(number: int, style: str) -> str:
    """A number of a list, as a letter or a Roman one where its style is that."""
    if style in ("a", "A") and 0 < number <= 26:
        return chr(ord(style) + number - 1)
    if style not in ("i", "I") or not 0 < number <= _MOST_ROMAN:
        return str(number)
    roman = ""
    for worth, sign in _ROMAN:
        roman += sign * (number // worth)
        number %= worth
    return roman.upper() if style == "I" else roman


def from_html(source: str) -> str:
    """The readable text of HTML; nothing is fetched, nothing is run. What its reader does not see is left out where it is
    little, as a line that mail programs show in their lists; much of it is rather a mistake.
    """
    source = source.replace("<![", "<! [")  # sections that HTML does not know, and the parser stumbles over
    reader = _read(source, whole=False)
    shown = sum(map(len, reader.lines))
    if reader.gone > max(shown, _MENTION if shown else 0):
        reader = _read(source, whole=True)
    kept: list[str] = []
    for line in reader.lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip("\n")


def _read(source: str, *, whole: bool) -> _Text:
    reader = _Text(whole=whole)
    reader.feed(source)
    reader.close()
    reader.end_line()
    return reader
