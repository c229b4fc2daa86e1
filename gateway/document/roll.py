"""An HTML text laid out by WeasyPrint, on an endless roll as wide as a fax page that is cut between the lines.

The engine could break pages itself, but loses what it cannot break: the rest of a floating table, what is higher than its
box. It is printed as browsers print, in black and without grounds; what is wider than the page is made smaller, not cut off.
"""

from __future__ import annotations

import io
import logging
import mimetypes
import os
import re
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import pikepdf
from PIL import ImageFile

from gateway.document import dingbats, raster
from gateway.document.shown import Pictures

_FONTS = Path(__file__).parent / "fonts"
_SIDE, _TOP = 0.5, 0.6  # inches of margin
_DPI, _POINTS = 96, 0.75  # CSS pixels to the inch, and points to a pixel
_WIDTH = (raster.WIDTH / raster.X_DPI - 2 * _SIDE) * _DPI
_MOST_PAGES = 60  # of a roll: drawing a page passes over all others
_HIDDEN_AT = -1000.0  # CSS pixels: further to the left, or above, stands what is not to be seen
_ABOVE = 0.15  # of a line, which only accents reach
_TALLEST = 0.85  # of a page that a picture may be high: a few words before it have room
_LINE = 1.0  # CSS pixels of the line around the head of a table
_HEAD = 0.25  # of a page that it may take
_CUT = 0.3  # of a page that may stay empty for a cut between two lines
_SCROLLED = re.compile(r"(overflow(?:-[xy])?)\s*:\s*(?:auto|scroll)", re.IGNORECASE)
_WHOLE = r"\1:visible;height:auto!important;max-height:none!important"
_DECLARED = re.compile(r"(?<![^{}])[^{}]++(?=\}|\Z)")  # of a style sheet: what is said of something, not of what
_CUT_OFF = re.compile(r"overflow(?:-[xy])?\s*:\s*(?:hidden|clip)\b", re.IGNORECASE)
_UNSEEN = re.compile(  # and not for want of room: it is as good as nothing wide or high, or moved away
    r"(?<![-\w])(?:(?:max-)?(?:height|width)|font-size|line-height|opacity)\s*:\s*(?:0(?:px|pt|em|rem|%)?|(?:1|[01]?\.\d+)p[xt])\s*(?:[;!]|$)"
    r"|(?<![-\w])clip(?:-path)?\s*:|text-indent|display\s*:\s*none|visibility\s*:\s*hidden|mso-hide", re.IGNORECASE,
)  # fmt: skip
_HOLDS = "min-height:.01px;"  # or the engine draws what comes next over what floats in it
_ROOM, _LINES = ";height:auto!important;max-height:none!important", ";white-space:normal!important;text-overflow:clip"
_ONE_LINE = re.compile(r"\b(?:nowrap|ellipsis)\b", re.IGNORECASE)
_HEIGHT, _GROWING = re.compile(r"(?<![-\w])height(?=\s*:)", re.IGNORECASE), {"a", "center", "div", "li", "p", "span"}
_WINDOW_TEXT = re.compile(r"\bwindowtext\b", re.IGNORECASE)
_LONG_WORD = re.compile(r"\S{25,}")
_ENDLESS = re.compile(r"[!-~]{20}(?=[!-~]{5})")

_STYLE = """
@page {{ size: {width}px {height}px !important; margin: 0 !important }}
html {{ font: 11pt/1.35 "DejaVu Sans", sans-serif }}
html, body {{ margin: 0 !important; padding: 0 !important; width: auto !important; min-width: 0 !important;
  height: auto !important; min-height: 0 !important; columns: auto !important }}
[align] table, center table {{ text-align: start }}
* {{ color: black !important; background-image: none !important; list-style-image: none !important;
  position: static !important; transform: none !important; page: auto !important; break-before: auto !important;
  break-after: auto !important; overflow-wrap: break-word }}
:not(:empty) {{ background-color: transparent !important }}
img, svg {{ max-width: {width}px !important; max-height: {tallest}px !important; object-fit: contain !important }}
input, button, select, textarea {{ display: inline-block; max-width: 100% }}
button, select, textarea, input:not([type=checkbox i], [type=radio i]) {{ height: auto !important; min-height: 1.2em }}
input::before, option, textarea {{ overflow: visible !important; white-space: pre-wrap !important }}
input[type=hidden i], dialog:not([open]) {{ display: none !important }}
input[type=password i]::before, select::before {{ content: "" !important }}
option[selected] {{ font-weight: bold }}
blockquote blockquote blockquote blockquote {{ margin: 0 !important; padding: 0 0 0 2px !important }}
"""
_GIVES_WAY = """
:not(img, [type=checkbox i], [type=radio i]) { width: auto !important; min-width: 0 !important }
* { white-space: normal !important }
pre, pre * { white-space: pre-wrap !important }
"""
# how many times as wide as the page what is made smaller is at least, and may be, and what is done before; words are broken
# last: a table of so many columns that all of them would be in pieces at full size
_FITS = (
    (1.0, 1.7, ""), (1.0, 1.9, _GIVES_WAY), (1.9, 2.6, _GIVES_WAY + "* { overflow-wrap: anywhere !important }")
)  # fmt: skip


class Undrawable(Exception):
    """Why a text cannot be drawn, as the end of a sentence."""


class _Box(NamedTuple):
    """Where something stands on the roll, in CSS pixels. ``whole``: it is not to be cut in two, ``row``: rather not, as it is
    one of a table; ``text``: the words it is; ``until``: where the table ends of which it is the head, that is repeated.
    """

    left: float
    top: float
    right: float
    bottom: float
    whole: bool = False
    row: bool = False
    text: str = ""
    until: float = 0.0

    @property
    def begins(self) -> float:
        """From where on it must not be cut: above most letters of a line there is room, which the line before may use."""
        return self.top + _ABOVE * (self.bottom - self.top) if self.text else self.top


class Drawn(NamedTuple):
    """The PDF that was made, how much smaller than it says the text is in it, and the characters in it."""

    path: Path
    scale: float
    characters: set[str]


def draw(source: str, pictures: Pictures, directory: Path, paper: float) -> Drawn:
    """Write a PDF of an HTML text to ``directory``, on pages ``paper`` inches long. Raises Undrawable, OSError."""
    engine = _engine(directory)
    document = engine.HTML(string=source, base_url="mail:", url_fetcher=pictures)
    _with_signs(document.etree_element)
    _loosen(document.etree_element)
    roll, boxes, left, width = _fitted(engine, document, paper)
    page = io.BytesIO()
    roll.write_pdf(page)
    if pictures.exhausted:
        raise MemoryError
    room = _room(paper) * width / _WIDTH
    heads = [box for box in boxes if box.until]
    cuts = [(top, bottom, _head(heads, top, room)) for top, bottom in _cuts(boxes, room)]
    if not cuts:
        raise Undrawable("nothing of its HTML is seen when it is drawn")
    if len(cuts) > _MOST_PAGES:
        raise Undrawable(f"its HTML takes {len(cuts)} pages, and at most {_MOST_PAGES} are drawn")
    out = directory / "drawn.pdf"
    _write(page, out, cuts, left, width, paper)
    return Drawn(out, _WIDTH / width, {character for box in boxes for character in box.text if character.isprintable()})


def _engine(directory: Path) -> Any:
    """WeasyPrint, with our fonts beside those of the system; it finds no place to write to but ``directory``."""
    fonts = directory / "fonts.conf"
    places = "".join(
        f"<{tag}>{escape(str(where))}</{tag}>" for tag, where in (("dir", _FONTS), ("cachedir", directory))
    )
    fonts.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd"><fontconfig>'
        f'<include ignore_missing="yes">/etc/fonts/fonts.conf</include>{places}</fontconfig>',
        encoding="utf-8",
    )
    os.environ |= {"FONTCONFIG_FILE": str(fonts), "HOME": str(directory), "TMPDIR": str(directory)}
    mimetypes.knownfiles = []  # which are out of sight
    for name in ("weasyprint", "fontTools"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import weasyprint
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # which it sets: half a picture is none
    return weasyprint


def _fonts() -> Any:
    """Those that are installed: what a text brings along is not looked at."""
    from weasyprint.text.fonts import FontConfiguration

    fonts = FontConfiguration()
    fonts.add_font_face = lambda *_: None
    return fonts


def _loosen(root: Any) -> None:
    """What is shown in part on a screen, to be scrolled or for want of room, is shown whole, and what comes next stands below it.

    A long address may be broken where it has signs, and anywhere where it has none. Outlook's word for black, the colour of
    its tables' lines, is one.
    """
    for element in root.iter():
        if element.tag == "style":
            element.text = _translated(element.text or "")
        else:
            element.text = _LONG_WORD.sub(_breakable, element.text or "")
        if "style" in element.attrib:
            style = _translated(element.get("style"))
            element.set("style", _HEIGHT.sub("min-height", style) if _grows(element.tag, style) else style)
        element.tail = _LONG_WORD.sub(_breakable, element.tail or "")


def _grows(tag: str, style: str) -> bool:
    """Whether a box with text, of so high, may be higher: our letters may be wider, and take more lines."""
    return tag in _GROWING and "overflow" not in style.lower()


def _with_signs(root: Any) -> None:
    """Letters in Wingdings, as Outlook writes its arrows and smileys, and Word its ticks, are the signs they stand for."""
    waiting: list[tuple[Any, dingbats.Signs]] = [(root, {})]
    while waiting:
        element, within = waiting.pop()
        said = dingbats.in_html(element.get("style", ""), element.get("face", ""))
        within = within if said is None else said
        if within:
            element.text = dingbats.signs(element.text or "", within)
        for child in element:
            if within:
                child.tail = dingbats.signs(child.tail or "", within)
            waiting.append((child, within))


def _translated(style: str) -> str:
    return _WINDOW_TEXT.sub("black", _SCROLLED.sub(_WHOLE, _DECLARED.sub(_with_room, style)))


def _with_room(declared: re.Match[str]) -> str:
    said = declared[0]
    if not _CUT_OFF.search(said):
        return said
    room = "" if _UNSEEN.search(said) else _ROOM + _LINES * bool(_ONE_LINE.search(said))
    return _HOLDS + said + room


def _breakable(word: re.Match[str]) -> str:
    return _ENDLESS.sub("\\g<0>\u200b", re.sub(r"(?<=[/_.,;:=&?@-])(?=\w)", "\u200b", word[0]))


def _fitted(engine: Any, document: Any, paper: float) -> tuple[Any, list[_Box], float, float]:
    """The document on a roll that is wide enough; what stands on it, and from where it is how wide."""
    fonts = _fonts()
    for least, most, style in _FITS:
        width = least * _WIDTH
        for _ in range(3):  # what is given more room may take more
            sheet = engine.CSS(string=_style(width, paper) + style)
            roll = document.render(font_config=fonts, stylesheets=[sheet], presentational_hints=True)
            if len(roll.pages) > 1:
                raise Undrawable(f"its HTML takes more than the {_MOST_PAGES} pages that are drawn")
            boxes = [*_boxes(roll.pages[0]._page_box), *_heads(roll.pages[0]._page_box)]
            left = min(0.0, min((box.left for box in boxes), default=0.0))
            wanted = max((box.right for box in boxes), default=0.0) - left
            if wanted <= width + 1:
                return roll, boxes, left, width
            if wanted > most * _WIDTH:
                break
            width = wanted
    raise Undrawable("its HTML is wider than a page")


def _style(width: float, paper: float) -> str:
    """The style sheet of a roll of this width."""
    tallest = _room(paper) * width / _WIDTH
    return _STYLE.format(width=width, height=tallest * _MOST_PAGES * 2, tallest=tallest * _TALLEST)


def _boxes(page: Any) -> Iterator[_Box]:
    """What is seen on a page: words, pictures, and boxes with a border."""
    from weasyprint.formatting_structure.boxes import ReplacedBox, TableRowBox, TextBox

    for box in page.descendants(placeholders=True):  # the marks before the lines of a list are no part of the flow
        if isinstance(box, TextBox):
            x, y = box.position_x, box.position_y
            if box.text.strip() and min(x, y) > _HIDDEN_AT:
                yield _Box(x, y, x + box.width, y + box.height, whole=True, text=box.text)
        elif isinstance(box, TableRowBox):
            yield _Box(0, box.position_y, 0, box.position_y + box.height, row=True)
        elif isinstance(box, ReplacedBox) or _has_border(box):
            x, y = box.border_box_x(), box.border_box_y()
            if min(x, y) > _HIDDEN_AT:
                yield _Box(x, y, x + box.border_width(), y + box.border_height(), whole=isinstance(box, ReplacedBox))


def _heads(page: Any) -> Iterator[_Box]:
    """The heads of the tables on a page."""
    from weasyprint.formatting_structure.boxes import TableBox

    for box in page.descendants():
        if isinstance(box, TableBox) and box.children and box.children[0].is_header:
            top, height = box.children[0].position_y, box.children[0].height
            yield _Box(0, top - _LINE, 0, top + height + _LINE, row=True, until=box.position_y + box.border_height())


def _has_border(box: Any) -> bool:
    return any(getattr(box, f"border_{side}_width", 0) for side in ("top", "left", "bottom", "right"))


def _cuts(boxes: list[_Box], room: float) -> Iterator[tuple[float, float]]:
    """From where to where the roll is cut into pages of at most ``room``: through few lines, and then through few rows."""
    lines, rows = _Edges([box for box in boxes if box.whole]), _Edges([box for box in boxes if box.row])
    seen = [box for box in boxes if not box.row]
    pictures = [box for box in seen if box.whole and not box.text]  # which go to the next page whole
    heads = [box for box in boxes if box.until]
    end = max((box.bottom for box in seen), default=0.0)
    at = min((box.top for box in seen), default=0.0)
    while at < end:
        # no page begins with nothing, nor with letters that have lost their accents
        at = min(box.top if box.begins >= at else at for box in seen if box.bottom > at)
        last = at + room - _height(_head(heads, at, room))
        if last < end:
            between = [y for edges in (lines, rows) for y in edges.ends(last - _CUT * room, last)]
            last = min((*between, last), key=lambda y: (lines.cut(y), rows.cut(y), -y))
            top = min((each.top for each in pictures if at < each.top < last < each.bottom), default=last)
            last = max((y for y in (top, *lines.ends(at, top)) if not lines.cut(y)), default=last)
        yield at, min(last, end)
        at = last


def _head(heads: list[_Box], at: float, room: float) -> _Box | None:
    """The head of the table that a page begins in, unless it takes too much of the page."""
    around = [
        box for box in heads if box.bottom - 2 * _LINE <= at < box.until - 2 * _LINE and _height(box) <= _HEAD * room
    ]
    return max(around, key=lambda box: box.top, default=None)


def _height(box: _Box | None) -> float:
    return box.bottom - box.top if box else 0.0


class _Edges:
    """Where boxes begin and end, sorted."""

    def __init__(self, boxes: list[_Box]) -> None:
        self._tops = sorted(box.begins for box in boxes)
        self._bottoms = sorted(box.bottom for box in boxes)

    def ends(self, after: float, until: float) -> list[float]:
        return self._bottoms[bisect_right(self._bottoms, after) : bisect_right(self._bottoms, until)]

    def cut(self, y: float) -> int:
        """How many boxes a cut there goes through."""
        return bisect_left(self._tops, y) - bisect_right(self._bottoms, y)


def _write(
    roll: io.BytesIO, out: Path, cuts: list[tuple[float, float, _Box | None]], left: float, width: float, paper: float
) -> None:
    """A PDF of pages that each show their piece of the roll, below the head of the table it begins in."""
    with pikepdf.open(roll) as source, pikepdf.new() as document:
        whole = source.pages[0]
        height = float(whole.mediabox[3])
        form = document.copy_foreign(whole.as_form_xobject())
        above = min([0.0, *(top for top, _, _ in cuts)])
        # what hangs out is seen, too
        form.BBox = [left * _POINTS, 0, float(whole.mediabox[2]), height - above * _POINTS]
        scale = _WIDTH / width
        x = _SIDE * 72 - scale * left * _POINTS
        for top, bottom, head in cuts:
            page = document.add_blank_page(page_size=(raster.WIDTH / raster.X_DPI * 72, paper * 72))
            name = page.add_resource(form, pikepdf.Name.XObject)
            shown, at = [], (paper - _TOP) * 72
            for begin, end in [(head.top, head.bottom), (top, bottom)] if head else [(top, bottom)]:
                high = scale * (end - begin) * _POINTS
                y = at - scale * (height - begin * _POINTS)
                at -= high
                shown.append(
                    f"q 0 {at:.3f} {float(page.mediabox[2]):.3f} {high:.3f} re W n {scale:.6f} 0 0 {scale:.6f} {x:.3f} {y:.3f} cm"
                    f" {name} Do Q"
                )
            page.Contents = document.make_stream(" ".join(shown).encode())
        document.save(out)


def _room(paper: float) -> float:
    """CSS pixels of a roll of :data:`_WIDTH` that a page holds."""
    return (paper - 2 * _TOP) * _DPI
