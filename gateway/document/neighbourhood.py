"""The brightest, the darkest and the mean around each point of a grey image, far faster than by Pillow's own filters; and marks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PIL import Image, ImageChops

STROKE = 7  # cells of half a millimetre: what is narrower is writing, what is wider is ground

Pick = Callable[[Image.Image, Image.Image], Image.Image]


def marked(image: Image.Image, low: int, high: int = 256) -> Image.Image:
    """255 where a point has from ``low`` to below ``high`` grey levels, 0 elsewhere."""
    low, high = max(0, low), min(256, high)
    return image.point(bytes(low) + b"\xff" * (high - low) + bytes(256 - high))


def painted(points: Iterable[int], size: tuple[int, int]) -> Image.Image:
    """255 in these points, by their numbers, 0 elsewhere."""
    mask = bytearray(size[0] * size[1])
    for point in points:
        mask[point] = 255
    return Image.frombytes("L", size, bytes(mask))


def closed(image: Image.Image, size: int) -> Image.Image:
    """Without what is dark and narrower than ``size``: it is filled with what surrounds it; other edges stay in place."""
    return _run(_run(_framed(image, size - 1), size, ImageChops.lighter), size, ImageChops.darker)


def opened(image: Image.Image, size: int, down: int | None = None) -> Image.Image:
    """Without what is light and narrower than ``size``, or lower than ``down``."""
    down = size if down is None else down
    wide = _wider(image, size - 1, down - 1)
    return _run(_run(wide, size, ImageChops.darker, down), size, ImageChops.lighter, down)


def grown(image: Image.Image, by: int) -> Image.Image:
    """What is lighter reaches ``by`` points further to all sides."""
    return _run(_framed(image, by), 2 * by + 1, ImageChops.lighter)


def smoothed(image: Image.Image) -> Image.Image:
    """The mean of each point and its eight neighbours."""
    return _mixed(_mixed(image, (1, 0), 1 / 3), (0, 1), 1 / 3)


def doubled(image: Image.Image) -> Image.Image:
    """Twice as large, with soft edges: what bilinear interpolation makes, in a third of the time."""
    width, height = image.size
    wide = _mixed(image.resize((2 * width, height), Image.Resampling.NEAREST), (1, 0), 1 / 2)
    tall = _wider(wide, 1)
    rows = Image.new(image.mode, (4 * width, height))  # each beside the next
    for n, neighbour in enumerate((0, 2)):
        mixed = Image.blend(tall.crop((1, neighbour, 1 + wide.width, neighbour + height)), wide, 3 / 4)
        rows.paste(mixed, (n * wide.width, 0))
    return Image.frombytes(image.mode, (2 * width, 2 * height), rows.tobytes())


def _mixed(image: Image.Image, way: tuple[int, int], own: float) -> Image.Image:
    """Each point with ``own`` of itself, and the rest of those before and behind it."""
    wide, (x, y), (width, height) = _wider(image, 1), way, image.size
    before = wide.crop((1 - x, 1 - y, 1 - x + width, 1 - y + height))
    behind = wide.crop((1 + x, 1 + y, 1 + x + width, 1 + y + height))
    return Image.blend(Image.blend(before, behind, 1 / 2), image, own)


def around(tiles: tuple[int, int, int, int], by: int, tile: int, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The points of a box of tiles, each ``tile`` across, and of ``by`` tiles more to all sides, in an image of ``size``."""
    left, top, right, bottom = tiles
    return (
        max(0, left - by) * tile, max(0, top - by) * tile,
        min(size[0], (right + by) * tile), min(size[1], (bottom + by) * tile),
    )  # fmt: skip


def _framed(image: Image.Image, by: int) -> Image.Image:
    """With a black frame, which no search for the brightest sees: quicker than :func:`_wider`."""
    return image.crop((-by, -by, image.width + by, image.height + by))


def _wider(image: Image.Image, by: int, down: int | None = None) -> Image.Image:
    """With its edges repeated ``by`` times on all sides; ``down`` times above and below."""
    down = by if down is None else down
    width, height = image.size
    wide = Image.new(image.mode, (width + 2 * by, height + 2 * down))
    wide.paste(image, (by, down))
    for x, to in ((0, 0), (width - 1, by + width)):
        wide.paste(image.crop((x, 0, x + 1, height)).resize((by or 1, height)), (to, down))
    for y, to in ((down, 0), (down + height - 1, down + height)):
        wide.paste(wide.crop((0, y, wide.width, y + 1)).resize((wide.width, down or 1)), (0, to))
    return wide


def _run(image: Image.Image, size: int, pick: Pick, down: int | None = None) -> Image.Image:
    """The pick of each square of ``size`` points, or ``down`` points high, of which the image holds ``size - 1`` fewer across
    and down.
    """
    for wanted, way in ((size, (1, 0)), (size if down is None else down, (0, 1))):
        have = 1
        while have < wanted:
            step = min(have, wanted - have)
            # chops are as large as the smaller of the two
            image = pick(image, image.crop((step * way[0], step * way[1], *image.size)))
            have += step
    return image
