"""What of a fax page will be hard to read, or long on the line, in words for its sender."""

from __future__ import annotations

import re

from PIL import Image, ImageChops, ImageFilter

from gateway.document.neighbourhood import grown
from gateway.document.raster import FINE, STANDARD

_BANDS = 4  # parts of the width in which lines of writing are looked for
_SMALL = {FINE: range(6, 16), STANDARD: range(4, 10)}  # rows that a line of small print is high, by rows to the inch
_LINES = re.compile(rb"\x01(?:\x00{0,2}\x01)*")  # rows that are written on, and the gap below the dot of an i
_WRITTEN = [2 if v < 100 else 1 if v < 254 else 0 for v in range(256)]  # what a row shows: a rule, writing or nothing
_SMALL_LINES = 6  # bands of small lines that are worth a word
_BLACK = 0.35  # share of ink of a page that is mostly black
_LONG = 120.0  # seconds on the line of a page that old machines may not bear
_FAINT = range(24, 46)  # grey levels between light writing and its ground, in the mean of a cell
_FILLED = 70  # of 255: share of a tile that writing fills
_FAINT_TILES = 60  # tiles of 32 pixels that hold nothing darker: about three lines
_SPECKS = 3000  # points of ink of a page that may be only specks


def is_blank(page: Image.Image) -> bool:
    """Whether a black-and-white page shows nothing but specks of two points."""
    ink = page.histogram()[0]
    if not ink:
        return True
    return ink < _SPECKS and page.convert("L").filter(ImageFilter.MaxFilter(3)).getextrema()[0] == 255


def warnings(page: Image.Image, y_dpi: int, *, seconds: float, faint: int, photographs: bool) -> list[str]:
    """Sentences on a black-and-white page; none for one that is as it should be.

    ``seconds`` it takes on the line, ``faint`` as :func:`faintness` counted it, ``photographs``: some were found on it.
    """
    found = []
    share = page.histogram()[0] / (page.width * page.height)
    if share > _BLACK:
        found.append(f"is {share:.0%} black, which costs the recipient toner and may smear")
    if seconds > _LONG:
        why = "photographs" if photographs else "shades or fine patterns"
        found.append(f"takes about {seconds / 60:.0f} minutes on the line for its {why}; old machines may give up")
    elif photographs:
        found.append("holds photographs, which are printed in black dots")
    if faint >= _FAINT_TILES:
        found.append("has light writing on it, which may be hard to read")
    if not photographs and _small_lines(page, y_dpi) >= _SMALL_LINES:
        remedy = "send it in fine resolution, or larger" if y_dpi == STANDARD else "send it larger if it matters"
        found.append(f"has very small print on it, which may be hard to read; {remedy}")
    return found


def faintness(below: Image.Image) -> int:
    """Tiles that hold light writing and none that is darker; ``below``: how far each cell is below its ground."""
    size = max(1, below.width // 8), max(1, below.height // 8)
    darkest = grown(below, 4).resize(size, Image.Resampling.BOX).point([255 if v in _FAINT else 0 for v in range(256)])
    inked = below.point([255 if v >= _FAINT.start // 2 else 0 for v in range(256)]).resize(size, Image.Resampling.BOX)
    filled = inked.point([255 if v >= _FILLED else 0 for v in range(256)])  # a rule fills less of a tile than writing
    return ImageChops.darker(darkest, filled).histogram()[255]


def _small_lines(page: Image.Image, y_dpi: int) -> int:
    """How often a line of small print is seen: lower than six points, in standard resolution eight."""
    bands = page.convert("L").reduce((page.width // _BANDS, 1))
    found = 0
    for band in range(_BANDS):
        rows = bands.crop((band, 0, band + 1, bands.height)).point(_WRITTEN).tobytes()
        found += sum(len(run) in _SMALL[y_dpi] for run in _LINES.findall(rows))
    return found
