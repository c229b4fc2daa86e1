"""The line at the top of each fax page: when, from whom, to whom, page n of m.

It stands in the page's own top margin. Where something is printed there the page is moved down under it, so that the line
hides nothing; the paper grows only when the foot of the page is not blank either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gateway.document.raster import FINE, STANDARD, WIDTH

TEXT = "{date}   From: {from}   To: {to}   Page {page} of {pages}"
_FIELDS = ("date", "from", "to", "page", "pages")
_FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
_SIZE = 23  # pixels of the font, 8 point
_ROWS = 30  # of a fine page, which the line takes
_SIDE = 60  # pixels to its left and right


def stamped(page: Image.Image, y_dpi: int, template: str, facts: Mapping[str, str | int]) -> Image.Image:
    """The black-and-white page with its line; ``facts`` fill the fields of the template, those missing are empty."""
    line = _line(template.format(**{**dict.fromkeys(_FIELDS, ""), **facts}), y_dpi)
    if _is_blank(page.crop((0, 0, page.width, line.height + line.height // 4))):
        made = page.copy()
    else:
        foot = page.crop((0, page.height - line.height, page.width, page.height))
        made = Image.new("1", (page.width, page.height + (0 if _is_blank(foot) else line.height)), 1)
        made.paste(page, (0, line.height))
    made.paste(line, (0, 0))
    return made


def _line(text: str, y_dpi: int) -> Image.Image:
    font = ImageFont.truetype(str(_FONT), _SIZE)
    text = "".join(character if character.isprintable() else " " for character in text)
    width = max(1, round(font.getlength(text)))
    words = Image.new("L", (width + 4, _ROWS), 255)
    ImageDraw.Draw(words).text((2, 1), text, font=font, fill=0)
    rows = _ROWS // 2 if y_dpi == STANDARD else _ROWS
    words = words.resize((min(words.width, WIDTH - 2 * _SIDE), rows), Image.Resampling.BOX)
    line = Image.new("L", (WIDTH, rows), 255)
    line.paste(words, (_SIDE, 0))
    return line.point([0 if v < (160 if y_dpi == FINE else 190) else 255 for v in range(256)], "1")


def _is_blank(part: Image.Image) -> bool:
    return part.histogram()[0] == 0
