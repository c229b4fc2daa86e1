"""The brightest and the darkest around each point of a grey image, by doubling: far faster than rank filters."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageChops

STROKE = 7  # cells of half a millimetre: what is narrower is writing, what is wider is ground

Pick = Callable[[Image.Image, Image.Image], Image.Image]


def closed(image: Image.Image, size: int) -> Image.Image:
    """Without what is dark and narrower than ``size``: it is filled with what surrounds it; other edges stay in place."""
    return _run(_run(image, size, ImageChops.lighter, 1), size, ImageChops.darker, -1)


def opened(image: Image.Image, size: int) -> Image.Image:
    """Without what is light and narrower than ``size``."""
    return _run(_run(image, size, ImageChops.darker, 1), size, ImageChops.lighter, -1)


def grown(image: Image.Image, by: int) -> Image.Image:
    """What is lighter reaches ``by`` points further to all sides."""
    return ImageChops.offset(_run(image, 2 * by + 1, ImageChops.lighter, 1), -by, -by)


def _run(image: Image.Image, size: int, pick: Pick, sign: int) -> Image.Image:
    """The pick of each square of ``size`` points to one side of a point."""
    for across, down in ((sign, 0), (0, sign)):
        have = 1
        while have < size:
            step = min(have, size - have)
            image = pick(image, ImageChops.offset(image, step * across, step * down))
            have += step
    return image
