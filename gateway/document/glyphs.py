"""Letters of a PDF whose font is not in it, or cannot be read: pdfium draws nothing where its own fonts lack one, and our fonts
have more. Where they are known by their numbers in that font alone, it draws others.
"""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pikepdf
import pypdfium2
from pikepdf import Dictionary, Name
from PIL import Image, ImageFont
from pypdfium2 import raw as pdfium

from gateway.document import dingbats, named

_FONTS = Path(__file__).parent / "fonts"
_EMBEDDED = ("/FontFile", "/FontFile2", "/FontFile3")
_FIXED, _SERIF, _PLAIN = 1, 2, 32  # of the flags of a font
# a name that says a letter of its own font alone
_NUMBER = re.compile(r"/(?:[gc]|cid|gid|glyph|index)[0-9]+", re.IGNORECASE)
_SCALE = 2.0  # pixels to a point, of a look at what was drawn
_MOST = 3000  # and pixels across or down
_MARGIN = 0.2  # of the place of a letter, into which its neighbours may reach
_INVISIBLE = pdfium.FPDF_TEXTRENDERMODE_INVISIBLE


class Lacking(NamedTuple):
    """A letter that is not drawn: on which page (from 0), in a font of which name; "" where none of its letters are known."""

    page: int
    font: str
    letter: str


class Borrowed:
    """Finds the pages of one document with fonts that are not in it, and may hold more than Western letters."""

    def __init__(self) -> None:
        self.fonts: list[pikepdf.Object] = []
        self.numbered: set[str] = set()  # names of those whose letters are known by their numbers alone
        self.downward: set[str] = set()  # and of those that are written from top to bottom
        self.signs = False  # whether any has signs in place of letters
        self._known: dict[tuple[int, int], bool] = {}

    def on(self, page: pikepdf.Page) -> bool:
        """Whether such a font is on a page."""
        return self._within(page.resources)

    def _within(self, resources: object) -> bool:
        things = [each for name in ("/Font", "/XObject") for each in named.entries(resources, name).values()]
        found = [self._is(each) for each in things if isinstance(each, Dictionary | pikepdf.Stream)]  # look at all
        return any(found)

    def _is(self, each: pikepdf.Object) -> bool:
        if each.objgen not in self._known or each.objgen == (0, 0):
            self._known[each.objgen] = False  # a form may show itself
            if each.get("/Subtype") == "/Form":
                self._known[each.objgen] = self._within(each.get("/Resources"))
            elif _is_borrowed(each):
                self._known[each.objgen] = True
                self.fonts.append(each)
                if dingbats.of(each) or dingbats.standard(each):
                    self.signs = True
                elif _is_numbered(each):
                    self.numbered.add(_called(each))
                if _is_downward(each):
                    self.downward.add(_called(each))
        return self._known[each.objgen]


def _is_borrowed(font: pikepdf.Object) -> bool:
    if font.get("/Type", "/Font") != "/Font" or font.get("/Subtype") == "/Type3":
        return False
    if font.get("/Subtype") == "/Type0":
        return not any(_program(each) for each in font.get("/DescendantFonts", []))
    encoding, program = font.get("/Encoding"), _program(font)
    is_foreign = isinstance(encoding, Dictionary) and "/Differences" in encoding
    is_foreign = is_foreign or bool(dingbats.of(font) or dingbats.standard(font))
    return program is None or (not program and is_foreign)


def _is_numbered(font: pikepdf.Object) -> bool:
    """Whether nothing says which letters those of a font are that is not there."""
    if font.get("/Subtype") != "/Type0":
        return "/Encoding" not in font or _is_of_numbers(font)
    orders = [each.get("/CIDSystemInfo", Dictionary()).get("/Ordering") for each in font.get("/DescendantFonts", [])]
    return "/ToUnicode" not in font and all(str(order) == "Identity" for order in orders)


def _is_of_numbers(font: pikepdf.Object) -> bool:
    """Whether all names of letters are numbers of that font."""
    names = named.differences(font.get("/Encoding"))
    return bool(names) and all(map(_NUMBER.fullmatch, names))


def _called(font: pikepdf.Object) -> str:
    return named.said(font.get("/BaseFont", ""), "replace")[1:]


def _is_downward(font: pikepdf.Object) -> bool:
    coded = font.get("/Encoding")
    is_said = isinstance(coded, pikepdf.Stream) and coded.get("/WMode") == 1
    return font.get("/Subtype") == "/Type0" and (
        is_said or (isinstance(coded, Name) and named.said(coded).endswith("V"))
    )


def _program(font: pikepdf.Object) -> bool | None:
    """Whether a font is in the document; None for one that is there and cannot be read."""
    about = font.get("/FontDescriptor", Dictionary())
    found = [about[name] for name in _EMBEDDED if isinstance(about.get(name), pikepdf.Stream)]
    if not found:
        return False
    try:
        ImageFont.truetype(io.BytesIO(found[0].read_bytes()), 10)
    except (OSError, pikepdf.PdfError):
        return None
    return True


def lacking(document: pypdfium2.PdfDocument, pages: Iterable[int], fonts: Borrowed) -> list[Lacking]:
    """The letters and signs on these pages that pdfium does not draw."""
    return [each for number in pages for each in _lacking(document, number, fonts)]


def _lacking(document: pypdfium2.PdfDocument, number: int, fonts: Borrowed) -> Iterator[Lacking]:
    try:
        page = document[number]
        text = page.get_textpage()
    except pypdfium2.PdfiumError:
        return  # damaged, which is for the one who draws it to say
    drawn: Image.Image | None = None
    try:
        unknown = _used(page, fonts.numbered) | _unseen(page, fonts.downward)
        yield from (Lacking(number, name, "") for name in sorted(unknown))
        if unknown:
            return
        for n in range(text.count_chars()):
            letter = chr(pdfium.FPDFText_GetUnicode(text, n))
            thing = pdfium.FPDFText_GetTextObject(text, n)
            font = pdfium.FPDFTextObj_GetFont(thing) if thing else None
            if (
                not font
                or pdfium.FPDFFont_GetIsEmbedded(font)
                or pdfium.FPDFTextObj_GetTextRenderMode(thing) == _INVISIBLE
            ):
                continue
            if letter.isspace() or not letter.isprintable() or pdfium.FPDFFont_GetGlyphPath(font, ord(letter), 1.0):
                continue
            drawn = drawn or page.render(scale=min(_SCALE, _MOST / max(page.get_size())), grayscale=True).to_pil()
            if _is_empty(drawn, page, text, n):
                yield Lacking(number, _name(font), letter)
    finally:
        text.close()
        page.close()


def _used(page: pypdfium2.PdfPage, numbered: set[str]) -> set[str]:
    """Those fonts in which something is written: pdfium does not tell all letters that are known by numbers alone."""
    return {
        name for name, thing in _written(page, numbered)
        if pdfium.FPDFTextObj_GetTextRenderMode(thing) != _INVISIBLE
    }  # fmt: skip


def _unseen(page: pypdfium2.PdfPage, downward: set[str]) -> set[str]:
    """Those fonts of which no letter is drawn: pdfium does not tell of words from top to bottom that are as wide as nothing."""
    seen: dict[str, bool] = {}
    for name, thing in _written(page, downward):
        left, _, right, _ = thing.get_bounds()
        is_seen = right > left or pdfium.FPDFTextObj_GetTextRenderMode(thing) == _INVISIBLE
        seen[name] = seen.get(name, False) or is_seen
    return {name for name, is_seen in seen.items() if not is_seen}


def _written(page: pypdfium2.PdfPage, names: set[str]) -> Iterator[tuple[str, pypdfium2.PdfObject]]:
    """What is written in fonts of these names that are not in the document."""
    for thing in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_TEXT]) if names else ():
        font = pdfium.FPDFTextObj_GetFont(thing)
        if font and not pdfium.FPDFFont_GetIsEmbedded(font) and (name := _name(font)) in names:
            yield name, thing


def _is_empty(drawn: Image.Image, page: pypdfium2.PdfPage, text: pypdfium2.PdfTextPage, n: int) -> bool:
    """Whether there is nothing at the place of a letter, which is on the page."""
    place = pdfium.FS_RECTF()
    pdfium.FPDFText_GetLooseCharBox(text, n, place)
    x, y = ctypes.c_int(), ctypes.c_int()
    across, down = [], []
    for right in (_MARGIN, 1 - _MARGIN):
        at = place.left + right * (place.right - place.left), place.bottom + right * (place.top - place.bottom)
        pdfium.FPDF_PageToDevice(page, 0, 0, *drawn.size, 0, *at, x, y)
        across.append(x.value)
        down.append(y.value)
    box = (max(0, min(across)), max(0, min(down)), min(drawn.width, max(across) + 1), min(drawn.height, max(down) + 1))
    if box[0] >= box[2] or box[1] >= box[3]:
        return False
    darkest, lightest = drawn.crop(box).getextrema()
    return darkest == lightest


def _name(font: pdfium.FPDF_FONT) -> str:
    size = pdfium.FPDFFont_GetBaseFontName(font, None, 0)
    buffer = ctypes.create_string_buffer(size)
    pdfium.FPDFFont_GetBaseFontName(font, buffer, size)
    return buffer.value.decode("utf-8", "replace")


def lend(document: pikepdf.Pdf, *, letters: bool) -> None:
    """Give the fonts that are not in a document the ``letters`` of ours, or the signs alone; not those whose letters are known by
    their numbers alone.
    """
    files: dict[str, pikepdf.Object] = {}
    borrowed = Borrowed()
    for page in document.pages:
        borrowed.on(page)
    for font in borrowed.fonts:
        signs = dingbats.of(font)
        if standard := dingbats.standard(font):
            font["/BaseFont"], font["/Subtype"] = standard, Name.Type1
            if "/FontDescriptor" in font:  # with a file that cannot be read
                del font["/FontDescriptor"]
            continue
        if font.get("/Subtype") == "/Type0" or _is_of_numbers(font) or not (letters or signs):
            continue
        if signs:
            font["/Encoding"] = dingbats.encoding(signs)
        name = font.get("/BaseFont", Name.Unknown)
        about = font.get("/FontDescriptor", Dictionary(Type=Name.FontDescriptor, FontName=name))
        face = _face(named.said(name), int(about.get("/Flags", 0)))
        if face not in files:
            files[face] = document.make_indirect(pikepdf.Stream(document, (_FONTS / f"{face}.ttf").read_bytes()))
        for each in _EMBEDDED:  # one that cannot be read
            if each in about:
                del about[each]
        about["/FontFile2"], about["/Flags"] = files[face], _PLAIN
        font["/FontDescriptor"], font["/Subtype"] = about, Name.TrueType


def _face(name: str, flags: int) -> str:
    """The file of ours that looks most like a font."""
    name = name.lower()
    if flags & _FIXED or "courier" in name or "mono" in name:
        return "DejaVuSansMono"
    kind = "DejaVuSerif" if flags & _SERIF or "times" in name or "roman" in name else "DejaVuSans"
    return f"{kind}-Bold" if "bold" in name else kind
