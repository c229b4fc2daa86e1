"""Paper in shade, told from what is dark by ink: it ends softly, where a box or a photograph ends sharply, or dark writing is on it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageFilter

from gateway.document.neighbourhood import around, grown, marked

_TILE = 8  # cells across
_SHARP = 26  # grey levels within three cells (a millimetre and a half) that no shadow's edge has
_HARD = 0.4  # share of its border that is sharp, of what is no shade
_BLACK = 50  # paper in shade is lighter
_NEAR = 4  # tiles: edges further away change nothing
_BORDER = 12  # tiles of border within the page that are enough to judge by
_AROUND = 3  # cells: further than from the middle of a stroke to its ground
_WRITTEN = 32  # grey levels by which dark writing differs from its ground
_WORD = 2 * 255  # tiles of its ground around a short word
_MORE = 1.5  # times as much ground as writing
_RUN = re.compile(rb"[^\0]+")


def edges(ground: Image.Image) -> Image.Image:
    """For each tile of 8 cells, 255 where a sharp edge of the ground is within two tiles, else 0."""
    dark = ImageChops.invert(grown(ImageChops.invert(ground), 1))
    sharp = marked(ImageChops.subtract(grown(ground, 1), dark), _SHARP)
    tiles = marked(sharp.reduce(_TILE), 1)
    return tiles.filter(ImageFilter.MaxFilter(5))


def is_soft(tiles: Sequence[int], sharp: Image.Image) -> bool | None:
    """Whether the border of an area of tiles, by their numbers, is that of shade; None where the page's edge hides it."""
    width, height = sharp.size
    seen, inside = sharp.tobytes(), set(tiles)
    border = [
        tile for tile in tiles
        if (tile % width and tile - 1 not in inside) or ((tile + 1) % width and tile + 1 not in inside)
        or (tile >= width and tile - width not in inside)
        or (tile < width * (height - 1) and tile + width not in inside)
    ]  # fmt: skip
    if len(border) < _BORDER:
        return None
    return sum(seen[tile] > 0 for tile in border) < _HARD * len(border)


def shaded(small: Image.Image, ground: Image.Image, dark: int) -> Image.Image | None:
    """A mask, a point a cell, of ``ground`` below ``dark`` that is paper in shade; None where there is none.

    ``small`` is the page with its writing.
    """
    tiles = marked(ground.reduce(_TILE), 0, dark + 6)
    where = tiles.getbbox()
    if where is None:
        return None
    part = around(where, _NEAR, _TILE, ground.size)
    sharp = _pasted(edges(ground.crop(part)), part, tiles.size)
    paper = marked(ground, _BLACK)
    beside = grown(ImageChops.invert(paper.crop(part)), 2 * _AROUND)  # the edge of a dark table is no writing
    levels = small.crop(part).point([min(v, dark) for v in range(256)])  # nor is that of the shadow
    sides = (ImageChops.subtract(side, beside) for side in _sides(levels))
    lighter, darker = (_pasted(side.reduce(_TILE), part, tiles.size).tobytes() for side in sides)
    mask = bytearray(len(tiles.tobytes()))
    for area in areas(tiles):
        if is_soft(area, sharp) or _is_written(area, lighter, darker):
            for tile in area:
                mask[tile] = 255
    if not any(mask):
        return None
    size = tiles.width * _TILE, tiles.height * _TILE
    found = Image.frombytes("L", tiles.size, bytes(mask)).filter(ImageFilter.MaxFilter(3))
    return ImageChops.darker(found.resize(size, Image.Resampling.NEAREST).crop((0, 0, *ground.size)), paper)


def _sides(small: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Around writing, 255 in the first where a cell is like the lightest near it, in the second where it is like the darkest."""
    above = ImageChops.subtract(grown(small, _AROUND), small)
    below = ImageChops.subtract(small, ImageChops.invert(grown(ImageChops.invert(small), _AROUND)))
    seen = marked(ImageChops.add(above, below), _WRITTEN)
    lighter = ImageChops.darker(seen, marked(ImageChops.subtract(below, above), 1))
    return lighter, ImageChops.subtract(seen, lighter)


def _is_written(area: Sequence[int], lighter: bytes, darker: bytes) -> bool:
    """Whether what is written on an area is dark, as on paper in the hard shadow of a hand: writing covers less than its ground."""
    light, dark = sum(lighter[tile] for tile in area), sum(darker[tile] for tile in area)
    return light >= max(_WORD, _MORE * dark)


def _pasted(tiles: Image.Image, part: tuple[int, int, int, int], size: tuple[int, int]) -> Image.Image:
    """The tiles of a part of the cells in a page of so many."""
    page = Image.new("L", size)
    page.paste(tiles, (part[0] // _TILE, part[1] // _TILE))
    return page


def areas(tiles: Image.Image) -> list[list[int]]:
    """Connected tiles, by their numbers: runs of a row, joined with those they touch in the row above."""
    width = tiles.width + 1  # with an empty column, or a run would touch the next row's first
    wide = Image.new("L", (width, tiles.height))
    wide.paste(tiles)
    runs = [run.span() for run in _RUN.finditer(wide.tobytes())]
    first = list(range(len(runs)))  # a run of the same area that comes before, or itself
    above = 0
    for run, (start, end) in enumerate(runs):
        while runs[above][1] < start - width:
            above += 1
        other = above
        while runs[other][0] <= end - width:
            a, b = _root(first, other), _root(first, run)
            first[max(a, b)] = min(a, b)
            other += 1
    found: dict[int, list[int]] = {}
    for run, (start, end) in enumerate(runs):
        row = start // width
        found.setdefault(_root(first, run), []).extend(range(start - row, end - row))
    return list(found.values())


def _root(first: list[int], run: int) -> int:
    while first[run] != run:
        first[run] = first[first[run]]
        run = first[run]
    return run
