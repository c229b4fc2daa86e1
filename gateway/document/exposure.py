"""A page that is nothing but a picture, as of paper before a camera: the white around it is none of that paper, and no light on it."""

from __future__ import annotations

from PIL import Image, ImageChops

Box = tuple[int, int, int, int]

_WITHIN = 3  # cells from its edge, which may be a rule, or half a cell; a margin that is narrower is none
_LEAST = 100  # cells across and down, 5 cm: what is smaller may be a word
_PAPER, _BLACK = 160, 50  # paper in good light is at least as light, and in the worst that can be mended
_GAPS = 0.2  # of its edges that may be white, where a lamp shines: between lines of words there is more
_WHITE = 224  # no darker paper is told from the white around it by its edge
_WRITTEN = 12  # cells that are lighter may be a highlight; more are light writing
_FLAT = 0.75  # of its lightest: one that is nowhere darker has nothing on it
_GOOD = 235  # grey of paper in good light


def picture(grey: Image.Image, small: Image.Image) -> Box | None:
    """Where the picture is, in pixels of the ``grey`` page; None where there is more than one on it, nothing on that, or no other light.

    ``small`` is the page, a point a cell.
    """
    box = bounds(small)
    if box is None:
        return None
    left, top, right, bottom = box
    sides = [small.crop(edge).histogram() for edge in edges(box)]
    is_light = not any(any(side[:_WHITE]) for side in sides)
    if is_light or sum(side[255] for side in sides) > _GAPS * 2 * (right - left + bottom - top):
        return None
    counts = small.crop(box).histogram()
    levels = [level for level, count in enumerate(counts) if count]
    margin = max(left, top, small.width - right, small.height - bottom) - _WITHIN
    if levels[0] > _FLAT * levels[-1] or (margin < _WITHIN and not _is_dim(lightest(counts))):
        return None
    return ImageChops.invert(grey).getbbox()


def bounds(small: Image.Image) -> Box | None:
    """The cells of a page of which a picture may be all there is, without its very edge; None of too few."""
    where = ImageChops.invert(small).getbbox()
    if where is None:
        return None
    left, top, right, bottom = (v + by for v, by in zip(where, (_WITHIN, _WITHIN, -_WITHIN, -_WITHIN), strict=True))
    return None if min(right - left, bottom - top) < _LEAST else (left, top, right, bottom)


def edges(box: Box) -> tuple[Box, ...]:
    """The cells at the four edges of a box."""
    left, top, right, bottom = box
    return (
        (left, top, right, top + 1), (left, bottom - 1, right, bottom),
        (left, top, left + 1, bottom), (right - 1, top, right, bottom),
    )  # fmt: skip


def lit(image: Image.Image, small: Image.Image) -> Image.Image | None:
    """A picture of paper in dim light as it were in a good one; None of one that is light enough, or no paper.

    ``small`` is the picture, a point a cell.
    """
    level = lightest(small.histogram())
    if not _is_dim(level):
        return None
    return image.point([min(255, round(v * _GOOD / level)) for v in range(256)])


def lightest(counts: list[int]) -> int:
    """The level of the lightest ground, by how many cells have each."""
    above = 0
    for level in range(255, 0, -1):
        above += counts[level]
        if above > _WRITTEN:
            return level
    return 0


def _is_dim(level: int) -> bool:
    return _BLACK <= level < _PAPER
