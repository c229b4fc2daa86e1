"""Boxes of a middle tint with light writing, such as the head of a table: black as a whole, or the writing stands in patches."""

from __future__ import annotations

from PIL import Image, ImageChops, ImageFilter

from gateway.document.neighbourhood import STROKE, around, grown, marked, opened
from gateway.document.shade import areas

_TILE = 4  # cells across
_LIGHT = 40  # grey levels by which light writing differs from the box
_EVEN = 10  # grey levels that a tint is off by
_EVEN_SHARE = 0.9  # of its cells that have it
_LIGHTEST = 190  # lighter tints become paper
_WRITTEN = 12  # cells of light writing: a digit
_PATCH = 4  # cells around dark writing that stay light
_AROUND = 6  # tiles around what has a middle tint: more than writing is wide
_LEAST = 6  # tiles
_LARGEST = 0.33  # share of the page: what is larger is no box


def levels(small: Image.Image, ground: Image.Image, darkest: int) -> Image.Image | None:
    """For each cell of a page the grey level of the box it is in, 0 elsewhere; None where there are none.

    ``small`` is the grey page, a point a cell; ``ground`` is it without dark writing. What is darker than ``darkest`` is
    black anyway.
    """
    where = marked(ground.reduce(_TILE), darkest, _LIGHTEST + 1).getbbox()
    if where is None:
        return None
    # only that part of the page, and a few tiles around it, is looked at
    looked_at = around(where, _AROUND, _TILE, small.size)
    left, top, *_ = looked_at
    page, small = small, small.crop(looked_at)
    flat = opened(small, STROKE)  # without light writing; what is dark stays
    means = flat.reduce(_TILE)
    whole = flat.crop((0, 0, means.width * _TILE, means.height * _TILE))
    one = whole.resize(means.size, Image.Resampling.NEAREST)
    even = marked(ImageChops.difference(means, one), 0, _EVEN + 1)
    candidates = ImageChops.darker(marked(means, darkest, _LIGHTEST + 1), even)
    if candidates.getbbox() is None:
        return None
    found = None
    for tiles in areas(candidates):
        if not _LEAST <= len(tiles) <= _LARGEST * page.width * page.height / _TILE**2:
            continue
        area, corner = _picture(tiles, means.width)
        cells = area.resize((area.width * _TILE, area.height * _TILE), Image.Resampling.NEAREST)
        at = corner[0] * _TILE, corner[1] * _TILE
        part = flat.crop((*at, at[0] + cells.width, at[1] + cells.height))
        counts = part.histogram(cells)
        tint = max(range(256), key=counts.__getitem__)
        same = range(tint - _EVEN, tint + _EVEN + 1)
        if sum(counts[same.start : same.stop]) < _EVEN_SHARE * sum(counts):
            continue
        is_tint = marked(part, same.start, same.stop)
        seen = small.crop((*at, at[0] + cells.width, at[1] + cells.height))
        # between the box and dark writing on the paper beside it, the paper is as narrow as light writing
        beside = grown(marked(part, 0, same.start), STROKE - 1)
        inside = ImageChops.subtract(ImageChops.darker(cells, is_tint), beside)
        if sum(ImageChops.subtract(seen, part).histogram(inside)[_LIGHT:]) < _WRITTEN:
            continue
        # to its edges, which share a tile with the paper
        wide = area.filter(ImageFilter.MaxFilter(3)).resize(cells.size, Image.Resampling.NEAREST)
        black = ImageChops.subtract(ImageChops.darker(wide, is_tint), _around_dark(seen, same))
        found = found or Image.new("L", page.size)
        found.paste(tint + _EVEN, (left + at[0], top + at[1]), black)
    return found


def _around_dark(seen: Image.Image, tint: range) -> Image.Image:
    """The patches in which dark writing in the box stands, 255; writing on the paper beside it has none."""
    dark = marked(seen, 0, tint.start)
    box = marked(seen, 0, tint.stop)
    for _ in range(_PATCH):
        dark = ImageChops.darker(grown(dark, 1), box)
    return dark


def _picture(tiles: list[int], across: int) -> tuple[Image.Image, tuple[int, int]]:
    """An area and two tiles around it as a picture, 255 inside, and its left top corner; ``across``: tiles in a row."""
    columns, rows = [tile % across for tile in tiles], [tile // across for tile in tiles]
    left, top = min(columns) - 2, min(rows) - 2
    width, height = max(columns) - left + 3, max(rows) - top + 3
    mask = bytearray(width * height)
    for column, row in zip(columns, rows, strict=True):
        mask[(row - top) * width + column - left] = 255
    return Image.frombytes("L", (width, height), bytes(mask)), (left, top)
