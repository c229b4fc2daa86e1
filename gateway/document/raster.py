"""From grey to black and white, as legible as one bit allows, and onto the grid of a fax machine.

Text is compared with its own background, so that small, light and tinted-ground text stays; regions of continuous tone
(photographs) are halftoned; large dark areas stay dark, with light text in them.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageFilter, TiffImagePlugin

# one strip a page: fax software and img2pdf both want it
TiffImagePlugin.STRIP_SIZE = 1 << 30

WIDTH = 1728  # pixels of a G3 line, ITU-T T.4
X_DPI = 204
FINE, STANDARD = 196, 98
PAPER_HEIGHT = {"letter": 11.0, "a4": 11.69}  # inches
_MARGIN = 0.2  # inches kept free at the edges of what is placed
_MAX_LENGTH = 60.0  # inches of a long page

_RATIO = 0.80  # darker than this part of its background is ink
_DARK = 118  # darker than this is ink whatever the background
_TILE = 32
_PHOTO_SHARE = 115  # of 255: share of middle tones in a tile of a photograph
_PHOTO_DETAIL = 3  # grey levels of mean change in it; a flat tint has less

_LOG = [round(math.log(max(v, 4)) * 46) for v in range(256)]
_RATIO_STEP = round(-math.log(_RATIO) * 46)


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a page is put: pixels, dots per inch down (across it is always 204), inches of the paper's length."""

    y_dpi: int
    inches: float

    @property
    def height(self) -> int:
        return round(self.inches * self.y_dpi)


def grid(paper: str, resolution: str) -> Grid:
    """The fax grid for ``letter`` or ``a4``, ``fine`` (204x196) or ``standard`` (204x98)."""
    return Grid(STANDARD if resolution == "standard" else FINE, PAPER_HEIGHT[paper])


def placed(width: float, height: float, target: Grid, *, enlarge: bool) -> tuple[int, int, bool]:
    """Pixels across and down for something of ``width`` x ``height`` inches, and whether to turn it by 90 degrees.

    It is shrunk to fit, or fitted to the page when ``enlarge``, and turned when that prints it larger.
    """
    room_x, room_y = WIDTH / X_DPI - _MARGIN, target.inches - _MARGIN
    upright = min(room_x / width, room_y / height)
    turned = min(room_x / height, room_y / width)
    if not enlarge:
        upright, turned = min(upright, 1.0), min(turned, 1.0)
    turn = turned > upright * 1.05
    if turn:
        width, height = height, width
    scale = turned if turn else upright
    if height > 2 * width and scale * width < room_x * 0.75:  # a roll: keep it legible, let the page grow
        scale = min(room_x / width, _MAX_LENGTH / height, 1.0 if not enlarge else room_x / width)
        turn = False
    return (
        max(1, min(WIDTH, round(width * scale * X_DPI))),
        max(1, round(height * scale * target.y_dpi)),
        turn,
    )


def on_page(image: Image.Image, target: Grid) -> Image.Image:
    """Centre a grey image that fits the width on a white page; a longer one makes the page longer."""
    if image.width == WIDTH and image.height >= target.height:
        return image
    page = Image.new("L", (WIDTH, max(target.height, image.height)), 255)
    left = (WIDTH - image.width) // 2
    top = round(_MARGIN / 2 * target.y_dpi) if image.height < target.height else 0
    page.paste(image, (left, min(top, page.height - image.height)))
    return page


def to_bilevel(image: Image.Image) -> Image.Image:
    """Black and white of a grey page."""
    if image.mode == "1":
        return image
    grey = image if image.mode == "L" else image.convert("L")
    ink = _ink(grey)
    photo = _photographs(grey)
    if photo is None:
        return ink
    return Image.composite(grey.convert("1"), ink, photo)


def _ink(grey: Image.Image) -> Image.Image:
    """Ink where a point is clearly darker than the paper around it, or dark at all."""
    ground = _ground(grey).point(_LOG)
    # how much darker than its ground, on a logarithmic scale, so that it means a ratio
    contrast = ImageChops.subtract(ground, grey.point(_LOG))
    white = contrast.point([255 if v < _RATIO_STEP else 0 for v in range(256)])
    light = grey.point([0 if v < _DARK else 255 for v in range(256)])
    return ImageChops.darker(white, light).convert("1", dither=Image.Dither.NONE)


def _ground(grey: Image.Image) -> Image.Image:
    """The brightness of the paper around each point: the brightest near it, smoothed."""
    small = grey.reduce(8)
    if small.width >= 9 and small.height >= 9:
        small = small.filter(ImageFilter.MaxFilter(5)).filter(ImageFilter.BoxBlur(2))
    return small.resize(grey.size, Image.Resampling.BILINEAR)


def _photographs(grey: Image.Image) -> Image.Image | None:
    """A mask of continuous-tone regions, or None: tiles full of middle tones that change."""
    tiles = (max(1, grey.width // _TILE), max(1, grey.height // _TILE))
    if min(tiles) < 4:
        return None
    middle = grey.point([255 if 30 < v < 215 else 0 for v in range(256)]).resize(tiles, Image.Resampling.BOX)
    if middle.getextrema()[1] < _PHOTO_SHARE:  # type: ignore[operator]  # one band
        return None
    half = grey.reduce(2)
    change = ImageChops.difference(half, half.filter(ImageFilter.BoxBlur(6))).resize(tiles, Image.Resampling.BOX)
    mask = ImageChops.darker(
        middle.point([255 if v >= _PHOTO_SHARE else 0 for v in range(256)]),
        change.point([255 if v >= _PHOTO_DETAIL else 0 for v in range(256)]),
    )
    mask = mask.filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.MaxFilter(3))
    if mask.getextrema()[1] == 0:
        return None
    return mask.resize(grey.size, Image.Resampling.NEAREST).convert("1", dither=Image.Dither.NONE)


def g4(page: Image.Image, y_dpi: int) -> bytes:
    """A one-page TIFF with one G4 strip (ITU-T T.6)."""
    out = io.BytesIO()
    page.save(out, format="TIFF", compression="group4", dpi=(X_DPI, y_dpi))
    return out.getvalue()


def strip_size(tiff: bytes) -> int:
    """Bytes of the G4 data in what :func:`g4` made."""
    with Image.open(io.BytesIO(tiff)) as image:
        return strip_bytes(image)


def strip_bytes(frame: Image.Image) -> int:
    """Bytes of the G4 data of a page of an open TIFF."""
    counts = frame.tag_v2[279]  # type: ignore[attr-defined]  # StripByteCounts
    return int(sum(counts) if isinstance(counts, tuple) else counts)
