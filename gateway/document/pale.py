"""Writing of a PDF page that differs so little from what it stands on that one bit a point would lose it: pale grey or yellow on
white, white on a light tint. It is drawn in black, or in white on dark; what is large, such as a watermark, in outline.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

import pypdfium2
from PIL import Image
from pypdfium2 import raw as pdfium

_SEEN, _CLEAR = 8, 50  # grey levels between writing and its ground that eyes see, and that one bit a point keeps
_LOST = 36  # and below which it loses all
_DARK = 118  # ground below becomes black
_DARKEST = 64  # writing below is clear on light ground, and on dark ground hardly seen
_LARGE = 64  # points: larger writing may have other over it, and is seen by its outline
_OUTLINE = 0.5  # of the units of its page
_OTHERS = 0.02  # share of the place of writing that other things may have
_FAR = 10_000  # units of a page
_DEEPEST = 15  # forms within forms, as in pypdfium2
_WRITTEN = (pdfium.FPDF_PAGEOBJ_TEXT, pdfium.FPDF_PAGEOBJ_FORM)
_FILLED, _OUTLINED = pdfium.FPDF_TEXTRENDERMODE_FILL, pdfium.FPDF_TEXTRENDERMODE_STROKE

# of a page in a picture, in points: left, top, across, down; quarters it is turned
Place = tuple[int, int, int, int, int]
_Matrix = tuple[float, float, float, float, float, float]
_AS_IT_IS: _Matrix = (1, 0, 0, 1, 0, 0)


def kinds(page: pypdfium2.PdfPage) -> list[int]:
    """What pdfium calls the kinds of the things on a page, in order."""
    return _kinds(page.raw, pdfium.FPDFPage_CountObjects, pdfium.FPDFPage_GetObject)


def strengthen(page: pypdfium2.PdfPage, found: list[int], shown: Image.Image, place: Place) -> tuple[bool, bool]:
    """Have such writing drawn strongly from now on. Returns whether there is some, and whether some is left as it is, for what
    is over it.

    ``found``: their :func:`kinds`, ``shown``: the page as it is drawn now, at ``place`` in that picture.
    """
    is_changed = is_left = False
    on_page, colours = _on_page(page, place), tuple(ctypes.c_uint() for _ in range(4))
    for thing, around in _texts(page.raw, found, pdfium.FPDFPage_GetObject, on_page):
        if not (told := _pale(thing, *colours)) or not (seen := _cut(thing, around, shown)):
            continue
        levels = seen.histogram()
        ground = levels.index(max(levels))
        level = round(ground + (told[0] - ground) * told[1])
        if not _SEEN <= abs(ground - level) < _CLEAR:
            continue
        ink = [255 if ground < _DARK else 0] * 3 + [255]
        others = sum(levels[: max(0, min(ground, level) - _SEEN)]) + sum(levels[max(ground, level) + _SEEN :])
        if min(seen.size) > _LARGE:
            pdfium.FPDFTextObj_SetTextRenderMode(thing, _OUTLINED)
            pdfium.FPDFPageObj_SetStrokeColor(thing, *ink)
            pdfium.FPDFPageObj_SetStrokeWidth(thing, _OUTLINE)
        elif others <= _OTHERS * seen.width * seen.height:
            pdfium.FPDFPageObj_SetFillColor(thing, *ink)
        else:
            is_left |= abs(ground - level) < _LOST and levels[level] > 0
            continue
        is_changed = True
    return is_changed, is_left


def join_notes(page: pypdfium2.PdfPage) -> bool:
    """Make the notes upon a page and the fields on it, once they were drawn, a part of it where they have writing that may be pale.
    Returns whether it is to be loaded anew.
    """
    if not _is_noted_palely(page):
        return False
    for note in _notes(page):  # pdfium draws fields that are not said to be for print
        flags = pdfium.FPDFAnnot_GetFlags(note)
        if pdfium.FPDFAnnot_GetSubtype(note) == pdfium.FPDF_ANNOT_WIDGET and not flags & pdfium.FPDF_ANNOT_FLAG_NOVIEW:
            pdfium.FPDFAnnot_SetFlags(note, flags | pdfium.FPDF_ANNOT_FLAG_PRINT)
    return bool(pdfium.FPDFPage_Flatten(page, pdfium.FLAT_PRINT) == pdfium.FLATTEN_SUCCESS)


def _is_noted_palely(page: pypdfium2.PdfPage) -> bool:
    colours = tuple(ctypes.c_uint() for _ in range(4))
    return any(
        _pale(thing, *colours)
        for note in _notes(page)
        for thing, _ in _texts(
            note,
            _kinds(note, pdfium.FPDFAnnot_GetObjectCount, pdfium.FPDFAnnot_GetObject),
            pdfium.FPDFAnnot_GetObject,
            _AS_IT_IS,
        )
    )


def _notes(page: pypdfium2.PdfPage) -> Iterator[Any]:
    for number in range(pdfium.FPDFPage_GetAnnotCount(page)):
        note = pdfium.FPDFPage_GetAnnot(page, number)
        try:
            yield note
        finally:
            pdfium.FPDFPage_CloseAnnot(note)


def _on_page(page: pypdfium2.PdfPage, place: Place) -> _Matrix:
    """What makes a point of a picture of a point of a page."""
    x, y = ctypes.c_int(), ctypes.c_int()
    found = []
    for corner in ((0, 0), (_FAR, 0), (0, _FAR)):
        pdfium.FPDF_PageToDevice(page, *place, *corner, x, y)
        found.append((x.value, y.value))
    (e, f), across, up = found
    return (across[0] - e) / _FAR, (across[1] - f) / _FAR, (up[0] - e) / _FAR, (up[1] - f) / _FAR, e, f


def _kinds(holder: Any, count: Callable[[Any], int], get: Callable[[Any, int], Any]) -> list[int]:
    """By pdfium's own names, and without a loop: a drawing has thousands of things, and pypdfium2's objects take as long as to draw
    them.
    """
    return list(map(pdfium.FPDFPageObj_GetType, map(get, repeat(holder), range(count(holder)))))


def _texts(
    holder: Any, kinds: list[int], get: Callable[[Any, int], Any], around: _Matrix, deep: int = 0
) -> Iterator[tuple[Any, _Matrix]]:
    """The pieces of text among the things of these kinds on a page or in a form, and what makes points of the picture of theirs."""
    for n in [n for n, kind in enumerate(kinds) if kind in _WRITTEN]:
        thing, kind = get(holder, n), kinds[n]
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            yield thing, around
        elif deep < _DEEPEST:
            own = pdfium.FS_MATRIX()
            pdfium.FPDFPageObj_GetMatrix(thing, own)
            a, b, c, d, e, f = around
            inner = (
                own.a * a + own.b * c, own.a * b + own.b * d, own.c * a + own.d * c, own.c * b + own.d * d,
                own.e * a + own.f * c + e, own.e * b + own.f * d + f,
            )  # fmt: skip
            within = _kinds(thing, pdfium.FPDFFormObj_CountObjects, pdfium.FPDFFormObj_GetObject)
            yield from _texts(thing, within, pdfium.FPDFFormObj_GetObject, inner, deep + 1)


def _pale(
    thing: Any, red: ctypes.c_uint, green: ctypes.c_uint, blue: ctypes.c_uint, opacity: ctypes.c_uint
) -> tuple[int, float] | None:
    """The grey level of a piece of text that may be pale, and how opaque it is; the rest is room to read them in."""
    if not pdfium.FPDFPageObj_GetFillColor(thing, red, green, blue, opacity):
        return None  # a pattern
    colour, share = (30 * red.value + 59 * green.value + 11 * blue.value) // 100, opacity.value / 255
    if 255 - (255 - colour) * share < _DARKEST or pdfium.FPDFTextObj_GetTextRenderMode(thing) != _FILLED:
        return None
    return colour, share


def _cut(thing: Any, around: _Matrix, shown: Image.Image) -> Image.Image | None:
    """The part of the picture where a piece of text is; None of what is beside the page, or as wide as nothing."""
    left, bottom, right, top = (ctypes.c_float() for _ in range(4))
    pdfium.FPDFPageObj_GetBounds(thing, left, bottom, right, top)
    a, b, c, d, e, f = around
    across, down = [], []
    for x in (left.value, right.value):
        for y in (bottom.value, top.value):
            across.append(a * x + c * y + e)
            down.append(b * x + d * y + f)
    box = (
        max(0, int(min(across))), max(0, int(min(down))), min(shown.width, int(max(across))),
        min(shown.height, int(max(down))),
    )  # fmt: skip
    return shown.crop(box) if box[0] < box[2] and box[1] < box[3] else None
