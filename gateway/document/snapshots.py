"""Small pictures of pages of a fax, for the mail that says what on them will be hard to read."""

from __future__ import annotations

import base64
import io
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from gateway.document import raster, sniff, sources

_LARGEST = 60_000  # bytes of a picture
_WIDTHS = (648, 540, 432, 360, 288)  # pixels, tried in turn for a whole page
_TALLEST = 1.4  # times its width
_TONES = 16


def snapshots(document: str, wanted: list[dict[str, Any]]) -> list[str]:
    """PNGs in base64 of some pages of a fax PDF, each of :data:`_LARGEST` bytes at most.

    ``wanted``: ``page`` from 1, and ``region``, the pixels of it that are shown as they are printed; None for the page as it
    is seen from afar, in grey.
    """
    path = Path(document)
    numbers = {each["page"] for each in wanted}
    found = sources.pages(path, sniff.sniff(path), "the document", raster.grid("a4", "fine"))
    # of a long fax not all pages are held at once
    sheets = {number: page for number, page in enumerate(islice(found, max(numbers)), 1) if number in numbers}
    return [base64.b64encode(_snapshot(sheets[each["page"]], each["region"])).decode() for each in wanted]


def _snapshot(page: raster.Page, region: tuple[int, int, int, int] | None) -> bytes:
    image = page.image.crop(region) if region else page.image
    rows = image.height * raster.FINE // page.y_dpi
    if region:
        return _png(image.resize((image.width, rows)))
    grey = image.convert("L")
    for width in _WIDTHS:
        fit = min(width / grey.width, _TALLEST * width / rows)
        small = grey.resize((max(1, round(grey.width * fit)), max(1, round(rows * fit))), Image.Resampling.BOX)
        if len(made := _png(small.quantize(_TONES, dither=Image.Dither.NONE))) <= _LARGEST:
            break
    return made


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, format="PNG", optimize=True)
    return out.getvalue()
