"""From grey to black and white, as legible as one bit allows.

A point is ink when it is clearly darker than the ground it stands on: the paper, or the flat tint of a box or a table's
row. So small, light and tinted-ground text stays, a tint becomes white within an outline, a box of a middle tint with light
text becomes black, and what is dark stays dark. Photographs are halftoned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image, ImageChops

from gateway.document import boxes, exposure, photographs, shade, strips, tabletop
from gateway.document.exposure import Box
from gateway.document.legibility import faintness, lost_in
from gateway.document.neighbourhood import STROKE, around, closed, doubled, grown, marked, opened, smoothed
from gateway.document.raster import STANDARD

_TILE = 8  # cells across of the tiles that are marked (see legibility)
_CELL = 4  # pixels across of the cells in which the ground is looked at, about half a millimetre
_DARK = 118  # darker than this is ink, unless something darker still is written on it
_WRITTEN = 32  # grey levels by which dark writing differs from a dark ground
_PAPER = 160  # paper is at least as light
_RIM = 16  # cells around a photograph in which its paper is looked at
_EDGE = 0.64  # of the way from the ground to the deepest cells around, which strokes fill in part: beyond it is ink
_RATIO, _NOISE_RATIO, _LEAST_RATIO = 0.86, 0.02, 0.70  # of the ground: what is lighter is ink in light writing only
_SEEN, _FLAT = 16, 3  # grey levels of light writing, over what is so many cells wide and high: a tint, a watermark


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a page on the way: the tiles of light writing, and of writing that is lost (see legibility), whether
    photographs are on it, and whether the ground around a sheet was left white.
    """

    faint: Image.Image | None = None
    lost: Image.Image | None = None
    photographs: bool = False
    cleared: bool = False

    def moved(self, at: tuple[int, int], cells: tuple[int, int]) -> Look:
        """The same of a page of so many cells, of which this is the part that begins ``at`` one."""
        size, corner = (max(1, cells[0] // _TILE), max(1, cells[1] // _TILE)), (at[0] // _TILE, at[1] // _TILE)

        def whole(tiles: Image.Image) -> Image.Image:
            page = Image.new("L", size)
            page.paste(tiles, corner)
            return page

        return Look(self.faint and whole(self.faint), self.lost and whole(self.lost), self.photographs)


def to_bilevel(image: Image.Image, y_dpi: int) -> Image.Image:
    """Black and white of a grey page, whose rows are ``y_dpi`` to the inch."""
    return inked(image, y_dpi)[0]


def inked(image: Image.Image, y_dpi: int) -> tuple[Image.Image, Look]:
    """As :func:`to_bilevel`, and what was seen of the page."""
    if image.mode == "1":
        return image, Look()
    grey = image if image.mode == "L" else image.convert("L")
    cell = (_CELL, _CELL // 2 if y_dpi == STANDARD else _CELL)
    small = grey.reduce(cell)
    paper = closed(small, STROKE)
    ink, look = _page(grey, small, paper, cell)
    if (ground := tabletop.find(small, paper)) is None:
        return ink, look
    pixels = ground.resize((ground.width * cell[0], ground.height * cell[1]), Image.Resampling.NEAREST)
    ink.paste(255, mask=pixels.crop((0, 0, *ink.size)))
    return ink, replace(look, cleared=True)


def _page(grey: Image.Image, small: Image.Image, paper: Image.Image, cell: tuple[int, int]) -> tuple[Image.Image, Look]:
    """As :func:`inked`, of all that is on a page. ``small`` is it, a point a cell, ``paper`` without dark writing."""
    found = list(photographs.find(small, paper, cell))
    if not found and (box := exposure.picture(grey, small)) is not None:
        return _alone(grey, box, cell)
    writing = _Writing.on(small, paper)
    ink = writing.inked(grey, cell)
    for region, mask in found:
        tones = grey.crop(region).point(_curve(_paper(writing.ground, region, cell))).convert("1")
        ink.paste(tones, region, mask)
    return ink, Look(photographs=True) if found else writing.look(ink, grey)


def _alone(grey: Image.Image, box: Box, cell: tuple[int, int]) -> tuple[Image.Image, Look]:
    """As :func:`inked`, of a page that is nothing but the picture in this box."""
    picture = grey.crop(box)
    small = picture.reduce(cell)
    paper = closed(small, STROKE)
    found = list(photographs.find(small, paper, cell))
    if not found and (lit := exposure.lit(picture, small)) is not None:
        picture, small = lit, lit.reduce(cell)
        paper = closed(small, STROKE)
        found = list(photographs.find(small, paper, cell))
    writing = _Writing.on(small, paper)
    part = writing.inked(picture, cell)
    for region, mask in found:
        part.paste(picture.crop(region).convert("1"), region, mask)
    ink = Image.new("1", grey.size, 255)
    ink.paste(part, box[:2])
    at, cells = (box[0] // cell[0], box[1] // cell[1]), (grey.width // cell[0], grey.height // cell[1])
    return ink, Look(photographs=True) if found else writing.look(part, picture).moved(at, cells)


@dataclass(frozen=True, slots=True)
class _Writing:
    """What is written on a page, a point a cell: the page without strips of a light tint, its ground, how far each cell is below that and
    how far the deepest around it, the tiles of light writing, and the grain of the paper.
    """

    plain: Image.Image
    ground: Image.Image
    below: Image.Image
    deepest: Image.Image
    faint: Image.Image
    noise: int

    @classmethod
    def on(cls, small: Image.Image, paper: Image.Image) -> _Writing:
        """``small`` is the page, ``paper`` it without dark writing."""
        plain, ground = small, paper
        if (rows := strips.find(small, paper)) is not None:
            ground, plain = Image.composite(small, paper, rows), Image.composite(paper, small, rows)
        below = ImageChops.subtract_modulo(ground, small)  # the faster one: no ground is darker
        deepest = smoothed(grown(below, 2))  # or a letter would have strokes of several widths
        return cls(plain, ground, below, deepest, faintness(below, deepest), _noise(below))

    def inked(self, grey: Image.Image, cell: tuple[int, int]) -> Image.Image:
        """The page in black and white."""
        is_faint = self.faint.getbbox() is not None
        levels = _levels(self.plain, self.ground, self.below, self.deepest, self.noise, faint=is_faint)
        ink = Image.new("1", grey.size, 255)
        if (used := ImageChops.invert(ImageChops.subtract_modulo(self.ground, self.below)).getbbox()) is not None:
            box, lights = _spread(levels, used, grey.size, cell)
            # their mean is 128 or more where a point is lighter than its level
            ink.paste(Image.blend(grey.crop(box), lights, 0.5).convert("1", dither=Image.Dither.NONE), box)
        return ink

    def look(self, ink: Image.Image, grey: Image.Image) -> Look:
        """What of it is hard to see."""
        lost = None if self.noise else lost_in(ink, grey, self.ground, self.below, self.deepest)
        return Look(self.faint, lost)


def _spread(cells: Image.Image, used: Box, size: tuple[int, int], cell: tuple[int, int]) -> tuple[Box, Image.Image]:
    """The box of those ``used`` in pixels of a page of this ``size``, and the opposite of its cells as pixels, with soft edges in half
    steps: whole ones are seen by nobody, and slow.
    """
    left, top, right, bottom = used
    box = left * cell[0], top * cell[1], min(size[0], right * cell[0]), min(size[1], bottom * cell[1])
    wide = around(used, 1, 1, cells.size)
    x, y = 2 / cell[0], 2 / cell[1]
    from_x, from_y = 2 * wide[0], 2 * wide[1]
    part = (box[0] * x - from_x, box[1] * y - from_y, box[2] * x - from_x, box[3] * y - from_y)
    halves = ImageChops.invert(doubled(cells.crop(wide)))
    return box, halves.resize((box[2] - box[0], box[3] - box[1]), Image.Resampling.NEAREST, box=part)


def _levels(
    plain: Image.Image, ground: Image.Image, below: Image.Image, deepest: Image.Image, noise: int, *, faint: bool
) -> Image.Image:
    """For each cell the grey level up to which a point is ink.

    ``plain``: the page without strips of a light tint, ``below``: how far each cell is below its ground, ``deepest``: how far
    the deepest around it are, ``noise``: the grain of the paper, ``faint``: whether light writing is on the page,
    whose strokes may be lighter than what else is ink.
    """
    ratio = max(_LEAST_RATIO, _RATIO - _NOISE_RATIO * noise)
    # the ground reaches one cell further than it is seen, so that tints have an outline and light letters a rim
    wide = grown(ground, 1)
    levels = wide.point([round(v * ratio) for v in range(256)])
    strokes = deepest.point([round(v * _EDGE) for v in range(256)])
    levels = ImageChops.darker(levels, ImageChops.subtract(wide, strokes))
    if faint:
        writing = marked(ImageChops.subtract(deepest, opened(below, _FLAT)), _SEEN + noise)
        levels = ImageChops.lighter(levels, ImageChops.darker(writing, ImageChops.subtract(ground, strokes)))
    shaded = shade.shaded(plain, ground, _DARK)
    boxed = boxes.levels(plain, ground, _DARK)
    if boxed is not None:
        levels = ImageChops.lighter(levels, boxed)
    floor = levels.point([max(_DARK, v) for v in range(256)])
    levels = floor if shaded is None else Image.composite(levels, floor, shaded)
    dark = marked(ground, 0, _DARK)
    if dark.getbbox() is None:
        return levels
    written = ImageChops.darker(dark, marked(below, _WRITTEN))
    if written.getbbox() is None:
        return levels
    light = marked(plain, _DARK)
    written = ImageChops.subtract(written, grown(light, 3))  # the edges of light writing are none of dark
    return Image.composite(ground.point([round(v * ratio) for v in range(256)]), levels, grown(written, 2))


def _noise(below: Image.Image) -> int:
    """The grain of the paper: grey levels between a cell and its ground, where there is no writing. 0 for what no scanner made."""
    counts = below.histogram()[:_WRITTEN]
    seen = 0
    for level, count in enumerate(counts):
        seen += count
        if seen * 2 >= sum(counts):
            return level
    return 0


def _paper(ground: Image.Image, region: tuple[int, int, int, int], cell: tuple[int, int]) -> int:
    """The grey level of the paper of a photograph, 255 where none is to be seen.

    It is around the photograph, and may be in it; beyond the edge of what was scanned there may be other.
    """
    left, top, right, bottom = region[0] // cell[0], region[1] // cell[1], region[2] // cell[0], region[3] // cell[1]
    inside = ground.crop((left, top, right, bottom)).histogram()
    wide = ground.crop((
        max(0, left - _RIM), max(0, top - _RIM), min(ground.width, right + _RIM), min(ground.height, bottom + _RIM)
    ))  # fmt: skip
    around = [n - own for n, own in zip(wide.histogram(), inside, strict=True)]
    for counts in (inside, around):
        paper = max(range(_PAPER, 256), key=counts.__getitem__)
        near = slice(max(0, paper - 6), paper + 7)
        if any(around) and sum(around[near]) * 5 >= sum(around):
            return paper
    return 255


def _curve(paper: int) -> list[int]:
    """Tones of a photograph on paper of this level, which becomes white."""
    return [min(255, round(v * 255 / (paper * 0.97))) for v in range(256)]
