"""What people write upon a PDF page: a look for what has none and would be drawn by its properties (ISO 32000-2, 12.5).

pdfium draws most of them, but of a text only one line of Latin letters, and no lines. What is not shown is noted.
"""

from __future__ import annotations

import math
import re
import zlib
from decimal import Decimal
from typing import Any

import pikepdf
from pikepdf import Array, Dictionary, Name, Stream, String
from PIL import Image, ImageDraw

from gateway.document import html_text, layers, linework, progress, text
from gateway.document.raster import FINE

_HIDDEN, _PRINT, _NO_VIEW = 2, 4, 32  # of its flags
_LINES = {"/Line": "/L", "/PolyLine": "/Vertices", "/Polygon": "/Vertices"}
_BY_PDFIUM = {"/Text", "/Square", "/Circle", "/Ink", "/Highlight", "/Underline", "/Squiggly", "/StrikeOut"}
# what is nothing of its own in print
_UNPRINTED = {"/Link", "/Popup", "/Redact", "/Watermark", "/PrinterMark", "/TrapNet"}
_NOTED = {"/Text", "/Caret"}  # of the words in them, which stand nowhere on the page, a sign is shown
_NOTES = (
    _FILES := "files attached to a page are not faxed",
    _WORDS := "the words in notes are not shown",
    _REDACTIONS := "what is marked for redaction is shown, as the redaction was never applied",
    _UNSEEN := "annotations that are set not to print are not shown",
    _UNKNOWN := "annotations that cannot be drawn are not shown",
    _CUT := "a text is cut off at the edge of its box",
    _CAPTIONS := "the caption of a line is not shown",
)
_PLACES = ("/Rect", "/QuadPoints", "/InkList", "/L", "/Vertices", "/CL")
_FAR = 100_000  # points
_PASSWORD, _RADIO, _PUSHED, _COMBO = 1 << 13, 1 << 15, 1 << 16, 1 << 17  # of the flags of a field
_ROUND, _TICK = "l", "4"  # marks of radio buttons and of check boxes, in ZapfDingbats
_SHARE, _WIDE, _HIGH = 0.8, 0.78, 0.7  # the size of a mark, in its box; how wide and high it is, in its size
_DEEPEST = 16  # fields within fields
_SIZE = re.compile(rb"(?<![0-9.])([0-9.]++)\s++Tf")  # points, in its default appearance
_NOTHING = re.compile(rb"(?:\(\s*\)|<\s*>|\[\s*\])\s*T[jJ]\b")  # text of no letter
_WRITES = re.compile(rb"\b(?:T[jJ]|Do)\b|['\"]")  # a look that shows something typed
_SHORT = 512  # bytes of a look that may show nothing
_POINTS, _LEAST = 12.0, 5.0  # of a text that says no size, and of one that is too long for its box
_FINER = 2.0  # dots of a text's picture to one of the fax
_WIDEST = 4000  # dots of it across or down
_WRONG = (pikepdf.PdfError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)


class Annotations:
    """Those of one document, page by page."""

    def __init__(self, document: pikepdf.Pdf) -> None:
        self._document = document
        self._off = layers.hidden(document)
        self._pages: dict[str, set[int]] = {what: set() for what in _NOTES}
        self._are_renewed = False  # the looks of fields
        self.changed = False

    def complete(self, page: pikepdf.Page, number: int) -> None:
        """Give those of a page that are printed, and have no look, one."""
        found = page.obj.get("/Annots")
        for each in list(found) if isinstance(found, Array) else ():
            if isinstance(each, Dictionary):
                try:
                    self._look_at(page, each, number)
                except _WRONG:
                    self._pages[_UNKNOWN].add(number)

    def tell(self) -> None:
        """Note what their sender should know."""
        for what, where in self._pages.items():
            progress.note_pages(what, where)

    def _look_at(self, page: pikepdf.Page, each: Dictionary, number: int) -> None:
        kind, flags = str(each.get("/Subtype")), int(each.get("/F", 0))
        if "/OC" in each and layers.is_hidden(each["/OC"], self._off):  # which pdfium does not ask
            self._hide(each, flags)
            return
        if kind == "/FileAttachment":
            self._pages[_FILES].add(number)
        if kind == "/Redact":
            self._pages[_REDACTIONS].add(number)
        if flags & _HIDDEN or kind in _UNPRINTED:
            return
        if kind == "/Widget":
            self._look_at_field(each, flags, number)
            return
        if kind in _NOTED and flags & _PRINT and each.get("/Contents") and "/IRT" not in each:
            self._pages[_WORDS].add(number)
        looks = each.get("/AP")
        has_look = isinstance(looks, Dictionary) and "/N" in looks
        if not has_look and _is_far(each):  # pdfium would draw for ever, even what is not to be printed
            self._hide(each, flags)
            self._pages[_UNKNOWN].add(number)
            return
        if flags & _PRINT and not has_look:
            self._give_look(page, each, kind, number)
        elif not flags & (_PRINT | _NO_VIEW):
            self._pages[_UNSEEN].add(number)

    def _hide(self, each: Dictionary, flags: int) -> None:
        each["/F"] = flags | _HIDDEN
        self.changed = True

    def _give_look(self, page: pikepdf.Page, each: Dictionary, kind: str, number: int) -> None:
        if "/AP" in each:  # without a look pdfium takes it for one all the same
            del each["/AP"]
            self.changed = True
        if "/CL" in each:
            ends = Array([each.get("/LE", Name("/None"))])
            line = Dictionary(
                Type=Name.Annot, Subtype=Name.PolyLine, F=_PRINT, LE=ends, BS=Dictionary(W=_border(each) or 1)
            )
            self._draw_line(line, each["/CL"], closed=False)
            page.obj["/Annots"].append(self._document.make_indirect(line))
        if kind in _LINES:
            self._draw_line(each, each[_LINES[kind]], closed=kind == "/Polygon")
            if each.get("/Cap") and each.get("/Contents"):
                self._pages[_CAPTIONS].add(number)
        elif "/QuadPoints" in each:
            self._settle_corners(each)
        elif words := _words(each, kind):
            self._write(each, words, number)
        elif kind not in _BY_PDFIUM | {"/FreeText", "/FileAttachment"}:
            self._pages[_UNKNOWN].add(number)

    def _settle_corners(self, each: Dictionary) -> None:
        """Of marks on words: pdfium draws nothing but what has them in the order of Adobe's programs, which is not that of the
        standard (12.5.6.10).
        """
        said = [float(value) for value in each["/QuadPoints"]]
        corners: list[float] = []
        for n in range(0, len(said) - 7, 8):
            (left, right), (bottom, top) = ((min(of), max(of)) for of in (said[n : n + 8 : 2], said[n + 1 : n + 8 : 2]))
            corners += [left, top, right, top, left, bottom, right, bottom]
        if corners != said:
            each["/QuadPoints"] = Array(corners)
            self.changed = True

    def _look_at_field(self, each: Dictionary, flags: int, number: int) -> None:
        """pdfium draws fields, also those that are not to be printed: only buttons ("Reset") are taken away, as what was filled in by
        a program may not say that it is. It does not draw those for print alone, nor letters that the fonts of the form lack.
        """
        if _is(each, "/Btn", _PUSHED) and not flags & (_PRINT | _NO_VIEW):
            self._hide(each, flags)
            self._pages[_UNSEEN].add(number)
            return
        if flags & _NO_VIEW:
            if not flags & _PRINT:
                return
            each["/F"] = flags & ~_NO_VIEW
            self.changed = True
        form = self._document.Root.get("/AcroForm")
        if not isinstance(form, Dictionary):  # lost where PDFs were put together: pdfium would show none of its fields
            self._document.Root["/AcroForm"] = form = Dictionary(Fields=Array())
            self.changed = True
        if form.get("/NeedAppearances"):  # pdfium would renew those of buttons, too, and lose their frames
            form["/NeedAppearances"], self._are_renewed, self.changed = False, True, True
        if self._are_renewed and "/AP" in each and _inherited(each, "/FT") in ("/Tx", "/Ch"):
            del each["/AP"]
        self._settle_look(each)
        words = "" if "/AP" in each else _value(each)
        field = each if "/T" in each else each.get("/Parent", each)
        if "/AP" not in each and _is(each, "/Ch", _COMBO):  # pdfium would draw the button beside it, over its words
            field["/FT"], field["/Ff"], field["/V"] = Name.Tx, 0, String(words)
            self.changed = True
        if len(words) > int(_inherited(each, "/MaxLen") or len(words)):  # typed by a program; pdfium would cut it
            field["/MaxLen"] = len(words)
            self.changed = True
        if not _is_western(words):
            each["/Subtype"], each["/F"] = Name.FreeText, _PRINT  # no field any more
            each["/DA"] = _inherited(each, "/DA") or String("")
            each["/Q"] = _inherited(each, "/Q") or 0
            each["/Border"] = Array([0, 0, 0])
            self._write(each, words, number)

    def _settle_look(self, each: Dictionary) -> None:
        """Programs that fill in forms may leave the look of an empty field, or not say which look is that of its value."""
        looks, value = each.get("/AP"), _inherited(each, "/V")
        look = looks.get("/N") if isinstance(looks, Dictionary) else None
        if isinstance(look, Stream):
            is_short = len(look.read_raw_bytes()) <= _SHORT
            if is_short and _value(each).strip() and not _WRITES.search(_NOTHING.sub(b"", look.read_bytes())):
                del each["/AP"]
                self.changed = True
        elif isinstance(look, Dictionary) and "/AS" not in each:
            each["/AS"] = value if isinstance(value, Name) and value in look else Name.Off
            self.changed = True
        if _inherited(each, "/FT") == "/Btn" and not _is(each, "/Btn", _PUSHED):
            self._settle_mark(each, look)

    def _settle_mark(self, each: Dictionary, look: Any) -> None:
        """What is ticked or chosen is seen: of what has no look for its state pdfium shows little, and of a look for all nothing."""
        state = _state(each)
        if not isinstance(look, Stream):
            if state == "/Off" or (isinstance(look, Dictionary) and state in look):
                return
            look = self._mark(each)
        looks = Dictionary()
        looks[state] = look
        each["/AP"], each["/AS"] = Dictionary(N=looks), state
        self.changed = True

    def _mark(self, each: Dictionary) -> pikepdf.Object:
        """The look of a box that is ticked, or of a button that is chosen (12.5.6.19)."""
        left, bottom, right, top = _box(each)
        width, height, about = right - left, top - bottom, each.get("/MK", Dictionary())
        mark = str(about.get("/CA", _ROUND if _is(each, "/Btn", _RADIO) else _TICK))
        edge = _border(each) / 2
        points = [edge, edge, width - edge, edge, width - edge, height - edge, edge, height - edge]
        if mark == _ROUND:
            turns = [n * math.pi / 16 for n in range(32)]
            reach = min(width, height) / 2 - edge
            points = [
                at for turn in turns for at in (width / 2 + reach * math.cos(turn), height / 2 + reach * math.sin(turn))
            ]
        size = _SHARE * min(width, height)
        at = ((width - _WIDE * size) / 2, (height - _HIGH * size) / 2)
        frame = linework.drawn(points, 2 * edge, closed=True) if "/BC" in about else b""
        font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.ZapfDingbats)
        return self._look(
            b"%s 0 g BT /Z %f Tf %f %f Td <%02x> Tj ET" % (frame, size, *at, ord(mark[:1]) & 0xFF),
            [0, 0, width, height], Dictionary(Font=Dictionary(Z=font)),
        )  # fmt: skip

    def _draw_line(self, each: Dictionary, vertices: pikepdf.Object, *, closed: bool) -> None:
        points, width = [float(value) for value in vertices], _border(each)
        ends = [str(end) for end in each.get("/LE", [])]
        beyond = linework.reach(width) if ends else width
        across, down = points[::2], points[1::2]
        box = [min(across) - beyond, min(down) - beyond, max(across) + beyond, max(down) + beyond]
        each["/Rect"] = Array(box)  # which clips
        opacity = Dictionary(ExtGState=Dictionary(G=Dictionary(ca=each.get("/CA", 1))))
        look = linework.drawn(points, width, closed=closed, fill=_inside(each), ends=ends)
        each["/AP"] = Dictionary(N=self._look(b"/G gs " + look, box, opacity))
        self.changed = True

    def _write(self, each: Dictionary, words: str, number: int) -> None:
        """Black in its box, on white where it has a ground, with its border."""
        left, bottom, right, top = _box(each)
        each["/Rect"] = Array([left, bottom, right, top])
        width, height, border = right - left, top - bottom, _border(each)
        quarters = int(each.get("/Rotate", 0)) // 90 % 4
        if quarters % 2:
            width, height = height, width
        size = _SIZE.search(bytes(each.get("/DA", b"")))
        image, whole = _picture(
            words, width - 2 * border, height - 2 * border, float(size[1]) if size else 0, int(each.get("/Q", 0))
        )
        if not whole:
            self._pages[_CUT].add(number)
        picture = Stream(
            self._document, zlib.compress(image.tobytes(), 1), Type=Name.XObject, Subtype=Name.Image, Width=image.width,
            Height=image.height, ImageMask=True, BitsPerComponent=1, Filter=Name.FlateDecode,
        )  # fmt: skip
        shown = b"q 1 g 0 0 %f %f re f Q " % (width, height) if each.get("/C") else b""
        shown += b"q %f 0 0 %f %f %f cm /I Do Q " % (width - 2 * border, height - 2 * border, border, border)
        around = [border / 2, border / 2, width - border / 2, border / 2]
        around += [width - border / 2, height - border / 2, border / 2, height - border / 2]
        turn = [round(f(quarters * math.pi / 2)) for f in (math.cos, math.sin)]
        look = self._look(
            shown + linework.drawn(around, border, closed=True), [0, 0, width, height],
            Dictionary(XObject=Dictionary(I=self._document.make_indirect(picture))),
        )  # fmt: skip
        look["/Matrix"] = Array([turn[0], turn[1], -turn[1], turn[0], 0, 0])
        each["/AP"] = Dictionary(N=look)
        self.changed = True

    def _look(self, content: bytes, box: list[float], resources: Dictionary) -> pikepdf.Object:
        look = Stream(
            self._document, content, Type=Name.XObject, Subtype=Name.Form, BBox=Array(box), Resources=resources
        )
        return self._document.make_indirect(look)


def _inherited(field: pikepdf.Object, name: str) -> Any:
    """What a field says itself, or one of those it belongs to (12.7.4.1)."""
    for _ in range(_DEEPEST):
        if name in field or "/Parent" not in field:
            break
        field = field["/Parent"]
    return field.get(name)


def _state(widget: Dictionary) -> Name:
    """That of a check box or radio button, by its value where it does not say it and is the only one that has it."""
    state = widget.get("/AS")
    if state is None and ("/V" in widget or len(widget.get("/Parent", widget).get("/Kids", ())) == 1):
        state = _inherited(widget, "/V")
    return state if isinstance(state, Name) else Name.Off


def _is(field: Dictionary, kind: str, flag: int) -> bool:
    """Whether a field is of a kind, and has a flag."""
    return _inherited(field, "/FT") == kind and bool(int(_inherited(field, "/Ff") or 0) & flag)


def _value(field: Dictionary) -> str:
    """What was typed into a field, or the names of what was chosen in it, "" of a password and of buttons."""
    value, kind = _inherited(field, "/V"), _inherited(field, "/FT")
    if kind not in ("/Tx", "/Ch") or int(_inherited(field, "/Ff") or 0) & _PASSWORD:
        return ""
    choices = _inherited(field, "/Opt") if kind == "/Ch" else None
    names: dict[str, str] = {}  # by what stands for them
    for each in choices if isinstance(choices, Array) else ():
        if isinstance(each, Array) and len(each) == 2:
            names.setdefault(str(each[0]), str(each[1]))
    chosen = [str(each) for each in (value if isinstance(value, Array) else [value]) if isinstance(each, String)]
    return "\n".join(names.get(each, each) for each in chosen)


def _is_western(words: str) -> bool:
    try:
        words.encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _words(each: Dictionary, kind: str) -> str:
    """What stands in a text box, or on one of the stamps that readers bring along (12.5.6.12), called NotApproved or so."""
    if kind == "/FreeText":
        return str(each.get("/Contents", "")).strip() or html_text.from_html(str(each.get("/RC", "")))
    if kind == "/Stamp":
        name = str(each.get("/Name", "/Draft"))
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name[1:]).upper() if name[1:].isalpha() else ""
    return ""


def _border(each: Dictionary) -> float:
    """Its width in points."""
    border = each.get("/Border", [0, 0, 1])
    style = each.get("/BS", Dictionary())
    return min(max(float(style.get("/W", border[2])), 0.0), 12.0)


def _box(each: Dictionary) -> tuple[float, float, float, float]:
    """Left, bottom, right and top of a text's own box, which is within that of the whole (12.5.6.6)."""
    edges = [float(edge) for edge in each["/Rect"]]
    across, down = edges[::2], edges[1::2]
    left, top, right, bottom = (float(inset) for inset in each.get("/RD", [0, 0, 0, 0]))
    return min(across) + left, min(down) + bottom, max(across) - right, max(down) - top


def _inside(each: Dictionary) -> bytes:
    """The operator for the colour of what a line encloses."""
    colour = [float(part) for part in each.get("/IC", [])]
    operator = {1: b"g", 3: b"rg", 4: b"k"}.get(len(colour))
    return b"%s %s" % (b" ".join(b"%f" % part for part in colour), operator) if operator else b""


def _is_far(each: Dictionary) -> bool:
    """Whether some of it is further away than any page is long."""
    waiting: list[Any] = [each.get(name) for name in _PLACES]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Array):
            waiting.extend(list(value))
        elif isinstance(value, int | Decimal) and abs(float(value)) > _FAR:
            return True
    return False


def _picture(words: str, width: float, height: float, points: float, alignment: int) -> tuple[Image.Image, bool]:
    """Words in a box of so many points; smaller where they are too many, and whether all of them are in it."""
    dots = min(_FINER * FINE / 72, _WIDEST / width, _WIDEST / height)  # to a point
    image = Image.new("L", (max(1, round(width * dots)), max(1, round(height * dots))), 255)
    points = min(points or _POINTS, height)
    lines = re.split(r"\r\n|\r|\n", words)
    while True:
        setter = text.Typesetter(points=points * dots * 72 / FINE)
        printed = [piece for line in lines for piece in setter.wrap(text.clean(line), image.width)]
        whole = len(printed) * setter.line_height <= image.height
        if whole or points * 0.9 < _LEAST:
            break
        points *= 0.9
    canvas = ImageDraw.Draw(image)
    for row, line in enumerate(printed):
        free = image.width - setter.length(line)
        setter.draw(canvas, max(0, free) * (alignment % 3) / 2, row * setter.line_height, line)
    return image.convert("1", dither=Image.Dither.NONE), whole
