"""A sheet of paper photographed on a table: the plain dark ground around it is no part of it.

It is taken for that where nothing else can be: it surrounds a sheet of four straight sides that are not those of the picture and
has writing on it, in lines, and nothing at all is on it itself, not even the grain of wood: that might be the sheet's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise

from PIL import Image, ImageChops, ImageDraw

from gateway.document import exposure
from gateway.document.neighbourhood import grown, marked, painted, smoothed
from gateway.document.shade import areas

_LIGHTER, _LIGHTEST = 1.3, 1.5  # times as light as the ground: the least of the sheet, and the lightest of it
_LIGHT = 15  # grey levels that it is lighter besides
_LEAST = 0.4  # of the picture that is the sheet
_OFF = 0.01  # of a sheet that may be beside its four sides
_SKEW = 0.01  # of a side, from that of the picture: a page with a dark frame of its own lies straight
# so many cells from the sheet, what differs by more than this part of its level within so many cells is seen on the ground
_PLAIN = ((3, 1, 0.1), (10, 3, 0.06))
_GRAIN = 5  # grey levels of it that are noise
_DRAWN = 2  # grey levels of a ground that a camera took, at the least
_INK = 0.13  # of the lightest of the sheet, from writing to its ground
_BANDS = 4  # parts of a sheet's width in which lines are looked for
_HIGH = range(2, 13)  # cells of a line
_WRITTEN = 6  # lines in them
_RUN = re.compile(rb"\xff+")

Point = tuple[int, int]


def find(small: Image.Image, paper: Image.Image) -> Image.Image | None:
    """The ground on a page that is nothing but a picture of a sheet, 255, a point a cell; None where that is not sure.

    ``small`` is the page, a point a cell, ``paper`` it without dark writing.
    """
    box = exposure.bounds(small)
    if box is None:
        return None
    brightest = max(int(paper.crop(edge).getextrema()[1]) for edge in exposure.edges(box))  # type: ignore[arg-type]  # one band
    light = _LIGHTEST * brightest + _LIGHT
    if light > 255:
        return None
    picture = small.crop(box)
    lightest = exposure.lightest(picture.histogram())
    if lightest < light:
        return None
    paper = paper.crop(box)
    least = round(_LIGHTER * brightest) + _LIGHT // 2
    dark = marked(paper, 0, least)
    sheet = ImageChops.invert(painted(areas(dark)[0], dark.size))  # the first of them holds the edges
    if len(areas(sheet)) > 1 or sheet.histogram()[255] < _LEAST * sheet.width * sheet.height:
        return None
    corners = _corners(sheet)
    sides = Image.new("L", sheet.size)
    ImageDraw.Draw(sides).polygon(corners, fill=255)
    if ImageChops.difference(sheet, sides).histogram()[255] > _OFF * sheet.histogram()[255] or not _is_skew(corners):
        return None
    sheet = ImageChops.lighter(sheet, sides)
    writing = marked(ImageChops.subtract(paper, picture), math.ceil(_INK * lightest))
    if not _is_plain(picture, sheet) or not _is_written(writing, corners):
        return None
    ground = Image.new("L", small.size, 255)
    ground.paste(ImageChops.invert(sheet), box[:2])
    return ground


def _corners(sheet: Image.Image) -> list[Point]:
    """From the left top one, with the clock."""
    rows = (sheet.crop((0, y, sheet.width, y + 1)).getbbox() for y in range(sheet.height))
    ends = [(x, y) for y, row in enumerate(rows) if row for x in (row[0], row[2] - 1)]
    return [max(ends, key=lambda end: x * end[0] + y * end[1]) for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1))]


def _is_skew(corners: Sequence[Point]) -> bool:
    ways = [(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in pairwise((*corners, corners[0]))]
    return any(min(way) > _SKEW * max(way) for way in ways)


def _is_plain(picture: Image.Image, sheet: Image.Image) -> bool:
    """Whether nothing is seen on the ground around the sheet, which is no colour of a drawing either."""
    soft = smoothed(picture)
    for near, reach, share in _PLAIN:
        darkest = ImageChops.invert(grown(ImageChops.invert(soft), reach))
        same = darkest.point([min(255, round(v * (1 + share)) + _GRAIN) for v in range(256)])
        seen = ImageChops.subtract(grown(soft, reach), same)
        if ImageChops.subtract(seen, grown(sheet, near)).getbbox():
            return False
    counts = picture.histogram(ImageChops.invert(grown(sheet, 2 * near)))
    levels = [level for level, count in enumerate(counts) if count > 0.05 * sum(counts)]
    return max(levels, default=0) - min(levels, default=0) >= _DRAWN


def _is_written(writing: Image.Image, corners: Sequence[Point]) -> bool:
    """Whether lines of words are on the sheet, across it or down: some letters wide, and other words at least twice as long."""
    a, b, c, d = corners
    size = max(b[0] - a[0], c[0] - d[0]), max(d[1] - a[1], c[1] - b[1])
    flat = writing.transform(size, Image.Transform.QUAD, (*a, *d, *c, *b), Image.Resampling.NEAREST)
    return any(_lines(way) >= _WRITTEN for way in (flat, flat.transpose(Image.Transpose.TRANSPOSE)))


def _lines(flat: Image.Image) -> int:
    """How many lines of words there are, each a part of the sheet's width."""
    found = 0
    for n in range(_BANDS):
        band = flat.crop((flat.width * n // _BANDS, 0, flat.width * (n + 1) // _BANDS, flat.height))
        for top, bottom in (run.span() for run in _RUN.finditer(_shown(band, (1, band.height)))):
            line = _shown(band.crop((0, top, band.width, bottom)), (band.width, 1))
            words = [len(word) for word in _RUN.findall(line)][1:-1]  # the others may be parts
            if bottom - top in _HIGH and len(words) > 1 and max(words) >= 2 * min(words):
                found += 2 * line.count(b"\xff") >= band.width
    return found


def _shown(band: Image.Image, size: tuple[int, int]) -> bytes:
    """In which rows, or columns, something is."""
    return marked(band.resize(size, Image.Resampling.BOX), 1).tobytes()
