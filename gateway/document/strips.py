"""Strips of a light tint that are no higher than a stroke may be wide: the rows of a dense table are ground, no writing."""

from __future__ import annotations

from PIL import Image, ImageChops

from gateway.document.neighbourhood import grown, marked, opened, painted
from gateway.document.shade import areas

_TINTS = range(150, 245)
_WHITE = 190  # a darker tint may have white writing on it
_SEEN = 8  # grey levels between it and the paper
_EVEN, _SAME = 10, 3  # grey levels that a tint is off by, and the mean of a tile from any of its cells
_DARKER = 24  # grey levels between it and writing on it
_LEAST = 7  # cells of a row between two words: closer ones have a ground of their own
_LONG = 14  # cells of a row that are no bar of a letter
_EDGE = 4  # cells between it and writing
_TILE = (4, 2)  # cells that lie within the lowest strip, wherever it is
_TILES = 4  # of them in a row, somewhere on a page with strips


def find(small: Image.Image, ground: Image.Image) -> Image.Image | None:
    """A mask of the strips on a grey page, a point a cell; None where there are none.

    ``ground`` is the page without what is dark and narrower than a stroke may be, so without these strips.
    """
    tiles = small.reduce(_TILE)
    if tiles.width < _TILES:
        return None
    one, paper = (image.resize(tiles.size, Image.Resampling.NEAREST) for image in (small, ground))
    row = _tinted(tiles, paper, ImageChops.difference(tiles, one), _SAME)
    for _ in range(1, _TILES):
        row = ImageChops.darker(row, row.crop((1, 0, *row.size)))
    if row.getbbox() is None:
        return None
    darkest = ImageChops.invert(grown(ImageChops.invert(small), 1))
    strips = opened(_tinted(small, ground, ImageChops.subtract(grown(small, 1), darkest), _EVEN), _LEAST, 1)
    if strips.getbbox() is None:
        return None
    seen = small.tobytes()
    found = (cell for cells in areas(strips) if _is_ground(seen, cells) for cell in cells)
    return grown(painted(found, small.size), 1)


def _tinted(small: Image.Image, ground: Image.Image, uneven: Image.Image, most: int) -> Image.Image:
    """255 where a light tint is darker than its ground, and ``uneven`` by no more than ``most``, else 0."""
    even = marked(uneven, 0, most + 1)
    return ImageChops.darker(
        ImageChops.darker(marked(small, _TINTS.start, _TINTS.stop), even),
        marked(ImageChops.subtract(ground, small), _SEEN),
    )


def _is_ground(seen: bytes, cells: list[int]) -> bool:
    """Whether dark writing is at an end of a strip, or the strip is too light for light writing and too long for a letter."""
    start = 0
    for n, cell in enumerate(cells):
        if n + 1 == len(cells) or cells[n + 1] != cell + 1:
            if n + 1 - start >= _LONG and seen[cell] > _WHITE:
                return True
            if any(
                _meets_writing(seen[at : at + _EDGE * way : way], seen[cell])
                for at, way in ((cells[start] - 1, -1), (cell + 1, 1))
            ):
                return True
            start = n + 1
    return False


def _meets_writing(beyond: bytes, tint: int) -> bool:
    for v in beyond:
        if not tint - _DARKER < v <= tint + _EVEN:
            return v < tint
    return False
