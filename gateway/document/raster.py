"""The grid of a fax machine: where a page is put on it, and how its pixels are coded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image, TiffImagePlugin

from gateway.document.refusal import TooLong

# one strip a page: fax software and img2pdf both want it
TiffImagePlugin.STRIP_SIZE = 1 << 30

WIDTH = 1728  # pixels of a G3 line, ITU-T T.4
X_DPI = 204
FINE, STANDARD = 196, 98
PAPER_HEIGHT = {"letter": 11.0, "a4": 11.69}  # inches
_MARGIN = 0.2  # inches kept free at the edges of what is placed
_MAX_LENGTH = 60.0  # inches of a long page


@dataclass(frozen=True, slots=True)
class Grid:
    """Where a page is put: pixels, dots per inch down (across it is always 204), inches of the paper's length."""

    y_dpi: int
    inches: float

    @property
    def height(self) -> int:
        return round(self.inches * self.y_dpi)


@dataclass(frozen=True, slots=True)
class Page:
    """A page on the grid: mode L, or mode 1 when it is final. ``y_dpi`` is 196 or 98."""

    image: Image.Image
    y_dpi: int


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
    return (
        max(1, min(WIDTH, round(width * scale * X_DPI))),
        max(1, round(height * scale * target.y_dpi)),
        turn,
    )


def fax_dpi(x_dpi: float, y_dpi: float) -> int | None:
    """The grid's dots per inch down, when a page of :data:`WIDTH` pixels has a resolution of fax machines, else None."""
    if abs(x_dpi - X_DPI) > 10:
        return None
    return next((rows for rows in (FINE, STANDARD) if abs(y_dpi - rows) <= 10), None)


def check_room(name: str, count: int, room: int) -> None:
    """Refuse a document of ``count`` pages where only ``room`` are left."""
    if count > room:
        pages = "1 page" if count == 1 else f"{count} pages"
        raise no_room(name, pages, room)


def no_room(name: str, pages: str, room: int) -> TooLong:
    """The refusal of a document of so many ``pages`` (in words) where only ``room`` are left."""
    return TooLong(f"{name} has {pages}, and the fax has room for {room or 'no'} more; send it in parts")


def on_page(image: Image.Image, target: Grid, *, margin: bool = True) -> Image.Image:
    """Centre a grey image that fits the width on a white page, with a ``margin`` above it; a longer one makes the page longer."""
    if image.width == WIDTH and image.height >= target.height:
        return image
    page = Image.new("L", (WIDTH, max(target.height, image.height)), 255)
    left = (WIDTH - image.width) // 2
    top = round(_MARGIN / 2 * target.y_dpi) if margin else 0
    page.paste(image, (left, min(top, page.height - image.height)))
    return page


class TiffWriter(TiffImagePlugin.AppendingTiffWriter):
    """A TIFF file that gets its pages one by one."""

    def close(self) -> None:
        """Python closes it once more when nobody needs it any longer."""
        if not self.f.closed:
            super().close()


def g4(page: Image.Image, y_dpi: int) -> bytes:
    """A one-page TIFF with one G4 strip (ITU-T T.6)."""
    out = io.BytesIO()
    page.save(out, format="TIFF", compression="group4", dpi=(X_DPI, y_dpi))
    return out.getvalue()


def tags(frame: Image.Image) -> TiffImagePlugin.ImageFileDirectory_v2 | dict[int, Any]:
    """Those of a page of an open TIFF, none of any other picture."""
    return frame.tag_v2 if isinstance(frame, TiffImagePlugin.TiffImageFile) else {}


def strip_size(tiff: bytes) -> int:
    """Bytes of the G4 data in what :func:`g4` made."""
    with Image.open(io.BytesIO(tiff)) as image:
        return strip_bytes(image)


def strip_bytes(frame: Image.Image) -> int:
    """Bytes of the G4 data of a page of an open TIFF."""
    return int(sum(tags(frame)[TiffImagePlugin.STRIPBYTECOUNTS]))
