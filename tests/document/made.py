"""Documents for the tests, made here: PDFs by content stream, pictures by arithmetic."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pikepdf
from pikepdf import Dictionary, Name, Pdf, Stream
from PIL import Image, ImageDraw, ImageFilter

LETTER, A4, LANDSCAPE = (612, 792), (595.28, 841.89), (792, 612)


# --- PDF --------------------------------------------------------------------------------------------------------------


class Sheet:
    """One page of a PDF, drawn in points from the top left."""

    def __init__(self, size: tuple[float, float] = LETTER, **fields: Any) -> None:
        self.size = size
        self.fields = fields  # of the page dictionary, without the slash
        self.images: list[Image.Image] = []
        self._operators: list[bytes] = []

    def text(
        self, x: float, y: float, line: str, size: float = 11, *, grey: float | Sequence[float] = 0, bold: bool = False
    ) -> Sheet:
        escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)").encode("cp1252")
        font = b"FB" if bold else b"F"
        self._operators.append(
            b"BT /%s %g Tf %s 1 0 0 1 %g %g Tm (%s) Tj ET" % (font, size, _colour(grey), x, self.size[1] - y, escaped)
        )
        return self

    def box(self, x: float, y: float, width: float, height: float, grey: float | Sequence[float] = 0) -> Sheet:
        self._operators.append(
            b"%s %g %g %g %g re f" % (_colour(grey), x, self.size[1] - y - height, width, height)
        )  # fmt: skip
        return self

    def line(self, x: float, y: float, to_x: float, to_y: float, width: float = 0.5, grey: float = 0) -> Sheet:
        top = self.size[1]
        self._operators.append(b"%g G %g w %g %g m %g %g l S" % (grey, width, x, top - y, to_x, top - to_y))
        return self

    def picture(self, x: float, y: float, width: float, height: float, image: Image.Image) -> Sheet:
        self.images.append(image)
        place = (width, height, x, self.size[1] - y - height, b"I%d" % (len(self.images) - 1))
        self._operators.append(b"q %g 0 0 %g %g %g cm /%s Do Q" % place)
        return self

    def raw(self, operators: bytes) -> Sheet:
        self._operators.append(operators)
        return self

    def add_to(self, document: Pdf) -> pikepdf.Page:
        fonts = {
            name: Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name(base), Encoding=Name.WinAnsiEncoding)
            for name, base in (("/F", "/Helvetica"), ("/FB", "/Helvetica-Bold"))
        }
        images = {f"/I{n}": _picture(document, image) for n, image in enumerate(self.images)}
        document.add_blank_page(page_size=self.size)
        page = document.pages[-1]
        page.obj["/Resources"] = Dictionary(Font=Dictionary(fonts), XObject=Dictionary(images))
        page.obj["/Contents"] = Stream(document, b"\n".join(self._operators))
        for name, value in self.fields.items():
            page.obj["/" + name] = value
        return page


def _colour(grey: float | Sequence[float]) -> bytes:
    if isinstance(grey, int | float):
        return b"%g g" % grey
    return b"%g %g %g rg" % tuple(grey)


def _picture(document: Pdf, image: Image.Image) -> Stream:
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=88)
    space = {"L": Name.DeviceGray, "RGB": Name.DeviceRGB, "CMYK": Name.DeviceCMYK}[image.mode]
    return Stream(
        document, out.getvalue(), Type=Name.XObject, Subtype=Name.Image, Width=image.width, Height=image.height,
        ColorSpace=space, BitsPerComponent=8, Filter=Name.DCTDecode,
    )  # fmt: skip


def pdf(sheets: Iterable[Sheet], **save: Any) -> bytes:
    """A PDF of these sheets; ``save`` goes to :meth:`pikepdf.Pdf.save`."""
    document = pikepdf.new()
    for sheet in sheets:
        sheet.add_to(document)
    return saved(document, **save)


def saved(document: Pdf, **save: Any) -> bytes:
    out = io.BytesIO()
    document.save(out, **save)
    return out.getvalue()


def letter(number: int = 1, size: tuple[float, float] = LETTER, **fields: Any) -> Sheet:
    """A page of business letter with its number on it."""
    sheet = Sheet(size, **fields).text(72, 72, f"Page {number}", 20, bold=True)
    for row in range(24):
        sheet.text(72, 110 + row * 16, f"{row:02} The quick brown fox jumps over the lazy dog, and back again.")
    return sheet


def letters(count: int, size: tuple[float, float] = LETTER, **save: Any) -> bytes:
    """A PDF of ``count`` letters."""
    return pdf([letter(n, size) for n in range(1, count + 1)], **save)


# --- pictures ---------------------------------------------------------------------------------------------------------


def grain(size: tuple[int, int], deviation: float, seed: int = 1) -> Image.Image:
    """Grey points around 128, evenly spread, with this standard deviation; always the same ones."""
    points = Image.frombytes("L", size, random.Random(seed).randbytes(size[0] * size[1]))
    return points.point([max(0, min(255, round(128 + (v - 127.5) * deviation / 73.9))) for v in range(256)])


def photo(width: int, height: int, seed: int = 1) -> Image.Image:
    """A colour picture of continuous tone: sky, hills, a textured ground and a smooth ball."""
    dice = random.Random(seed)
    sky = Image.linear_gradient("L").resize((width, height)).point([90 + v // 2 for v in range(256)])
    red, green, blue = sky.copy(), sky.copy(), sky.point([min(255, v + 30) for v in range(256)])
    picture = Image.merge("RGB", (red, green, blue))
    draw = ImageDraw.Draw(picture)
    for layer in range(4):
        top = height * (0.35 + 0.15 * layer)
        ridge = [(0.0, float(height)), (0.0, top)]
        while ridge[-1][0] < width:
            x, y = ridge[-1]
            ridge.append((x + width / 40, top + (y - top) * 0.8 + dice.uniform(-1, 1) * height / 25))
        ridge.append((float(width), float(height)))
        tone = 150 - layer * 28
        draw.polygon(ridge, fill=(tone, tone + 15, tone - 20))
    picture = picture.filter(ImageFilter.GaussianBlur(max(1, width / 400)))
    shades = grain((max(2, width // 30), max(2, height // 30)), 60, seed).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    picture = Image.blend(picture, shades.convert("RGB"), 0.25)
    noise = grain((width, height), 36, seed).convert("RGB")
    ground = Image.linear_gradient("L").resize((width, height)).point([max(0, v - 90) for v in range(256)])
    picture = Image.composite(Image.blend(picture, noise, 0.35), picture, ground)
    side = min(width, height) // 3
    ball = Image.radial_gradient("L").resize((side, side)).point([max(20, 235 - v) for v in range(256)])
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).ellipse((0, 0, side, side), fill=255)
    picture.paste(ball.convert("RGB"), (width // 2, height // 3), mask)
    return picture


def fax_page(height: int = 2292, seed: int = 1) -> Image.Image:
    """A black-and-white page as a fax machine scans it, 1728 pixels wide."""
    dice = random.Random(seed)
    page = Image.new("1", (1728, height), 1)
    draw = ImageDraw.Draw(page)
    for _ in range(400):
        x, y = dice.randrange(100, 1600), dice.randrange(20, height - 20)
        draw.rectangle((x, y, x + dice.randrange(1, 60), y + dice.randrange(1, 8)), fill=0)
    return page
