"""Where on a page photographs are: regions of many middle tones.

A tint has few levels once the writing on it is filled in, dark or light, however large it is; a photograph has many.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from PIL import Image, ImageChops, ImageFilter, ImageStat

from gateway.document.neighbourhood import STROKE, around, marked, opened, painted
from gateway.document.shade import areas, edges, is_soft

_STEP = 2  # cells of the ground between samples
_TILE = 4  # samples to a tile: 32 pixels across
_REACH = 2  # tiles to each side that a tile is judged with
_BIN = 8  # grey levels that count as one
_LOW, _HIGH = 32, 232  # a middle tone lies between
_MIDDLE = 100  # of 255: share of middle tones in a region that may be a photograph
_TONED = 26  # of 255: share of them in a tile of one
_MANY, _SOME = 0.63, 0.88  # its three most common levels hold less than this part of them
_LEAST, _LEAST_SHARE = 8, 0.05  # tiles of many levels that make a photograph, and their share of all of it
_AROUND = 6  # tiles around what has middle tones: more than a tile is judged with
_DENSE = 0.15  # such a share where there is writing, or what looks like it: a shadow on a page of text has a few, too
_FULL = 0.7  # of its rectangle: a region that fills more is the whole rectangle
_CHANGE, _ROUGH = 3, 38  # grey levels that are a change; of 255: share of changes in a photograph
_GRAIN = range(2, 12)  # grey levels of a change that is no edge
_WIDE = 40  # tiles, 4 square centimetres, of a smooth photograph at the least
_LEVELS = 8  # steps of _BIN grey levels, each in a fiftieth of it, that it has at the least
_PALE, _GRAINED = 4, 0.4  # such levels of a pale photograph, and the share of it that changes
_WRITTEN, _UNWRITTEN = 32, 0.045  # grey levels of writing from its ground; the share of it that is no writing yet
_NOTHING = 0.001  # the same of a line on a page: one without is no paper, but a photograph, however dark
_SLOPE = range(5, 81)  # grey levels over two tiles in a sky

Box = tuple[int, int, int, int]


def find(small: Image.Image, ground: Image.Image, cell: tuple[int, int]) -> Iterator[tuple[Box, Image.Image | None]]:
    """The photographs, each as a box in pixels and the mask of what of the box belongs to it, None for all of it.

    ``small`` is the grey page, each of its points a cell of ``cell`` pixels across and down; ``ground`` is it without dark
    writing.
    """
    if min(ground.size) < 8 * _STEP * _TILE:
        return
    where = _candidate(_share(_samples(ground), _LOW, _HIGH)).getbbox()
    if where is None:
        return
    # only that part of the page, and a few tiles around it, is looked at
    part = around(where, _AROUND, _STEP * _TILE, ground.size)
    shift = part[0] * cell[0], part[1] * cell[1]
    for (left, top, right, bottom), mask in _found(small.crop(part), ground.crop(part), cell):
        yield (left + shift[0], top + shift[1], right + shift[0], bottom + shift[1]), mask


def _candidate(middle: Image.Image) -> Image.Image:
    return marked(middle, _MIDDLE)


def _found(small: Image.Image, ground: Image.Image, cell: tuple[int, int]) -> Iterator[tuple[Box, Image.Image | None]]:
    """As :func:`find`, of a part of the page."""
    samples = _samples(ground)
    middle = _share(samples, _LOW, _HIGH)
    candidate = _candidate(middle)
    slopes = ImageChops.darker(candidate, _slopes(samples))
    change = ImageChops.difference(samples, samples.filter(ImageFilter.BoxBlur(2)))
    grained = _rough(change, _GRAIN.start, _GRAIN.stop)
    strong = ImageChops.darker(candidate, ImageChops.darker(grained, _rough(change, _CHANGE, 256)))
    if strong.getbbox() is not None:
        common = _common(samples)
        strong = ImageChops.darker(strong, _fewer(common, middle, _MANY))
    below = _samples(ImageChops.subtract(ground, small))
    found: list[list[int]] = []
    if strong.getbbox() is not None:
        lit = _samples(opened(small, STROKE))  # without light writing
        strong = ImageChops.darker(strong, _fewer(_common(lit), _share(lit, _LOW, _HIGH), _MANY))
        weak = ImageChops.lighter(ImageChops.darker(candidate, _fewer(common, middle, _SOME)), slopes)
        found += [
            tiles
            for tiles in _regions(strong, ImageChops.lighter(weak, strong))
            if not _is_written(below, _bounds(tiles, strong.size)[0]) or _share_of(strong, tiles) >= _DENSE
        ]
    found += _smooth(slopes, candidate, found, samples, below, grained)
    if not found:
        return
    toned = _toned(samples)
    found = [part for tiles in found for part in _parts(tiles, toned)]
    across, down = cell[0] * _STEP, cell[1] * _STEP  # pixels of a sample
    area = strong.width * strong.height
    sharp = edges(ground).crop((0, 0, *strong.size))
    dark = marked(samples.reduce(_TILE), 0, _LOW).tobytes()
    for tiles in found:
        if is_soft(tiles, sharp) and (
            2 * len(tiles) < area or _is_written(below, _bounds(tiles, strong.size)[0], _NOTHING)
        ):
            continue  # paper in uneven light
        box, full = _bounds(tiles, strong.size, dark)
        left, top, right, bottom = _within(samples, box)
        mask = None
        if not full:
            shape = _mask(tiles, strong.size)
            shape = shape.resize((shape.width * _TILE, shape.height * _TILE), Image.Resampling.NEAREST)
            size = (right - left) * across, (bottom - top) * down
            mask = shape.crop((left, top, right, bottom)).resize(size, Image.Resampling.NEAREST)
        yield (left * across, top * down, right * across, bottom * down), mask


def _within(samples: Image.Image, tiles: Box) -> Box:
    """The part of a box of tiles that is no paper, in samples, and one more: a caption may begin right below it."""
    left, top, right, bottom = _in_samples(tiles)
    paper = marked(samples.crop((left, top, right, bottom)), 0, _HIGH)
    bounds = paper.getbbox()
    if bounds is None:
        return left, top, right, bottom
    return (
        left + max(0, bounds[0] - 1), top + max(0, bounds[1] - 1),
        min(right, left + bounds[2] + 1), min(bottom, top + bounds[3] + 1),
    )  # fmt: skip


def _smooth(
    slopes: Image.Image,
    candidate: Image.Image,
    found: list[list[int]],
    samples: Image.Image,
    below: Image.Image,
    grained: Image.Image,
) -> Iterator[list[int]]:
    """Rectangles of soft gradients without writing: a sky, a wall, a dawn; and pale photographs.

    Few levels are near each other in them, but there are many in all, or some, and grain. Paper in uneven light is no
    rectangle, or has writing on it, or is lighter than what is around it.
    """
    rest = ImageChops.subtract(candidate, painted(chain(*found), candidate.size))
    for tiles in _regions(ImageChops.darker(slopes, rest), rest):
        bounds, full = _bounds(tiles, candidate.size)
        if len(tiles) < _WIDE or not full:
            continue
        if _is_written(below, bounds):
            continue
        inside = samples.crop(_in_samples(bounds))
        area, counts = inside.width * inside.height, inside.histogram()
        levels = sum(sum(counts[low : low + _BIN]) > 0.02 * area for low in range(_LOW, _HIGH, _BIN))
        if levels >= _LEVELS or (
            levels >= _PALE and _share_of(grained, tiles) >= _GRAINED and _is_darker(samples, _in_samples(bounds))
        ):
            yield tiles


def _is_written(below: Image.Image, tiles: Box, share: float = _UNWRITTEN) -> bool:
    """Whether a box of tiles holds as much that is dark and narrow as writing is: this share of it."""
    counts = below.crop(_in_samples(tiles)).histogram()
    return sum(counts[_WRITTEN:]) >= share * sum(counts)


def _in_samples(tiles: Box) -> Box:
    left, top, right, bottom = tiles
    return left * _TILE, top * _TILE, right * _TILE, bottom * _TILE


def _share_of(marked: Image.Image, tiles: list[int]) -> float:
    """The share of tiles that are marked."""
    marks = marked.tobytes()
    return sum(marks[tile] > 0 for tile in tiles) / len(tiles)


def _is_darker(samples: Image.Image, box: Box) -> bool:
    """Whether what is in a box is darker than what is around it."""
    left, top, right, bottom = box
    rim = 2 * _TILE
    wide = samples.crop((
        max(0, left - rim), max(0, top - rim), min(samples.width, right + rim), min(samples.height, bottom + rim)
    ))  # fmt: skip
    inside, both = (ImageStat.Stat(each) for each in (samples.crop(box), wide))
    beyond = both.count[0] - inside.count[0]
    return beyond > 0 and (both.sum[0] - inside.sum[0]) / beyond > inside.mean[0] + 2 * _BIN


def _samples(cells: Image.Image) -> Image.Image:
    return cells.resize((cells.width // _STEP, cells.height // _STEP), Image.Resampling.NEAREST)


def _share(samples: Image.Image, low: int, high: int) -> Image.Image:
    """For each tile the share of samples from ``low`` to below ``high`` around it."""
    return marked(samples, low, high).reduce(_TILE).filter(ImageFilter.BoxBlur(_REACH))


def _common(samples: Image.Image) -> Image.Image:
    """For each tile the share of its three most common levels."""
    counts = samples.histogram()
    none = _share(samples, 0, 0)
    first, second, third = none, none, none
    for low in range(_LOW, _HIGH, _BIN):
        if not any(counts[low : low + _BIN]):
            continue
        share = _share(samples, low, low + _BIN)
        first, share = ImageChops.lighter(first, share), ImageChops.darker(first, share)
        second, share = ImageChops.lighter(second, share), ImageChops.darker(second, share)
        third = ImageChops.lighter(third, share)
    return ImageChops.add(ImageChops.add(first, second), third)


def _fewer(common: Image.Image, middle: Image.Image, part: float) -> Image.Image:
    limit = middle.point([round(v * part) for v in range(256)])
    return marked(ImageChops.subtract(limit, common), 1)


def _rough(change: Image.Image, low: int, high: int) -> Image.Image:
    """Tiles around which enough changes from sample to sample, by ``low`` to below ``high`` grey levels.

    Paper in uneven light has many levels too, but changes little.
    """
    return marked(_share(change, low, high), _ROUGH)


def _slopes(samples: Image.Image) -> Image.Image:
    """Tiles in wide gradients."""
    tiles = samples.reduce(_TILE)
    change = ImageChops.lighter(
        ImageChops.difference(ImageChops.offset(tiles, 1, 0), ImageChops.offset(tiles, -1, 0)),
        ImageChops.difference(ImageChops.offset(tiles, 0, 1), ImageChops.offset(tiles, 0, -1)),
    )
    # the edges of a tint are narrower than half the filter
    return marked(change, _SLOPE.start, _SLOPE.stop).filter(ImageFilter.MedianFilter(5))


def _regions(strong: Image.Image, weak: Image.Image) -> Iterator[list[int]]:
    """Connected tiles, by their numbers, of which enough are strong."""
    seeds = strong.tobytes()
    for tiles in areas(weak):
        if sum(seeds[tile] > 0 for tile in tiles) >= max(_LEAST, _LEAST_SHARE * len(tiles)):
            yield tiles


def _toned(samples: Image.Image) -> Image.Image:
    """Tiles that hold middle tones themselves."""
    return marked(marked(samples, _LOW, _HIGH).reduce(_TILE), _TONED)


def _parts(tiles: list[int], toned: Image.Image) -> list[list[int]]:
    """The photographs that a region is: between two of them, and beside, may be paper with small print."""
    parts = areas(ImageChops.darker(painted(tiles, toned.size), toned))
    return [part for part in parts if len(part) >= _LEAST] or [tiles]


def _bounds(tiles: list[int], size: tuple[int, int], dark: bytes = b"") -> tuple[Box, bool]:
    """The rectangle around tiles and one tile more, for dark or light edges, and whether they are a rectangle.

    ``dark``: marks of tiles that belong to it where they lie in it, a black coat or the night.
    """
    columns, rows = [tile % size[0] for tile in tiles], [tile // size[0] for tile in tiles]
    left, top, right, bottom = min(columns), min(rows), max(columns) + 1, max(rows) + 1
    filled = set(tiles)
    if dark:
        filled.update(
            tile
            for row in range(top, bottom)
            for tile in range(row * size[0] + left, row * size[0] + right)
            if dark[tile]
        )
    full = len(filled) >= _FULL * (right - left) * (bottom - top)
    return (max(0, left - 1), max(0, top - 1), min(size[0], right + 1), min(size[1], bottom + 1)), full


def _mask(tiles: list[int], size: tuple[int, int]) -> Image.Image:
    """The tiles with their neighbours, without holes."""
    return painted(tiles, size).filter(ImageFilter.MaxFilter(7)).filter(ImageFilter.MinFilter(5))
