"""One document file becomes grey or black-and-white pages on the fax grid, or a refusal that names it.

Every format is opened by the library that reads it best, never by name. A file that cannot be read whole is refused: half
a document is worse than none.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pikepdf
import pypdfium2
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError
from pypdfium2 import raw as pdfium

from gateway.document import raster, sniff, text
from gateway.errors import Refused

MAX_PIXELS = 120_000_000  # of one image: A3 at 600 dpi, twice over
_MAX_TEXT = 8 << 20  # bytes of a text
_MAX_INCHES = 200.0
_SCREEN_DPI = 96
_FORMATS = ("TIFF", "JPEG", "PNG", "GIF", "BMP", "WEBP")
_TOO_LONG = "5.2.3"

Image.MAX_IMAGE_PIXELS = MAX_PIXELS


@dataclass(frozen=True, slots=True)
class Page:
    """A page on the grid: mode L, or mode 1 when it is final. ``y_dpi`` is 196 or 98."""

    image: Image.Image
    y_dpi: int


def pages(path: Path, kind: str, name: str, target: raster.Grid, charset: str | None = None) -> Iterator[Page]:
    """The pages of a document of a sniffed ``kind``. Raises Refused naming it by ``name``."""
    if kind == sniff.PDF:
        yield from _pdf(path, name, target)
    elif kind in sniff.IMAGES:
        yield from _images(path, name, target)
    elif kind in (sniff.TEXT, sniff.HTML):
        yield from _text(path, kind, target, charset)
    else:
        what = sniff.REFUSED.get(kind, "a file of an unknown kind")
        raise Refused(
            f"{name} is {what}, which cannot be faxed from here; send {sniff.SUPPORTED}, for example by printing it to PDF"
        )


# --- PDF --------------------------------------------------------------------------------------------------------------


def _pdf(path: Path, name: str, target: raster.Grid) -> Iterator[Page]:
    document = _open_pdf(path, name)
    try:
        document.init_forms()
        if not len(document):
            raise Refused(f"{name} is a PDF without a page")
        for number in range(len(document)):
            yield Page(_pdf_page(document, number, name, target), target.y_dpi)
    finally:
        document.close()


def _open_pdf(path: Path, name: str) -> pypdfium2.PdfDocument:
    """pdfium opens what it can; what it cannot, or opens without pages, is repaired by qpdf first."""
    protected = Refused(
        f"{name} is protected by a password; send it without one (print it to a new PDF)", status="5.7.4"
    )
    _check_whole(path, name)
    try:
        document = pypdfium2.PdfDocument(path)
        if len(document):
            return document
        document.close()
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium.FPDF_ERR_PASSWORD:
            raise protected from error
    try:
        with pikepdf.open(path) as broken:
            mended = io.BytesIO()
            broken.save(mended)
    except pikepdf.PasswordError as error:
        raise protected from error
    except (pikepdf.PdfError, ValueError, RuntimeError) as error:
        raise Refused(f"{name} is a damaged PDF that cannot be read; make it anew and send it again") from error
    try:
        return pypdfium2.PdfDocument(mended.getvalue())
    except pypdfium2.PdfiumError as error:
        raise Refused(f"{name} is a damaged PDF that cannot be read; make it anew and send it again") from error


def _check_whole(path: Path, name: str) -> None:
    """A PDF cut off in transit ends without its end mark; readers would mend it with pages missing."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(max(0, size - 4096))
        end = stream.read()
    if b"%%EOF" not in end and b"startxref" not in end:
        raise Refused(f"{name} is incomplete: the PDF breaks off before its end; send it again")


def _pdf_page(document: pypdfium2.PdfDocument, number: int, name: str, target: raster.Grid) -> Image.Image:
    try:
        page = document[number]
    except pypdfium2.PdfiumError as error:
        raise Refused(f"page {number + 1} of {name} is damaged; make the PDF anew and send it again") from error
    try:
        points_x, points_y = page.get_size()
        if points_x <= 0 or points_y <= 0:
            raise Refused(f"page {number + 1} of {name} has no size")
        width, height = min(points_x / 72, _MAX_INCHES), min(points_y / 72, _MAX_INCHES)
        full = _is_sheet(width, height)
        across, down, turn = raster.placed(width, height, target, enlarge=False)
        if full and not turn:  # a sheet of paper keeps its own margins
            scale = min(raster.WIDTH / raster.X_DPI / width, target.inches / height, 1.0)
            across, down = round(width * scale * raster.X_DPI), round(height * scale * target.y_dpi)
        bitmap = pypdfium2.PdfBitmap.new_native(across, down, pdfium.FPDFBitmap_Gray)
        try:
            bitmap.fill_rect((255, 255, 255, 255), 0, 0, across, down)
            flags = pdfium.FPDF_ANNOT | pdfium.FPDF_PRINTING | pdfium.FPDF_GRAYSCALE
            where = (bitmap, page, 0, 0, across, down, 1 if turn else 0)
            pdfium.FPDF_RenderPageBitmap(*where, flags)
            if document.formenv:
                pdfium.FPDF_FFLDraw(document.formenv, *where, flags)
            image = bitmap.to_pil().copy()
        finally:
            bitmap.close()
        return _centred(image, target) if full and not turn else raster.on_page(image, target)
    finally:
        page.close()


def _is_sheet(width: float, height: float) -> bool:
    """Letter, A4, legal and their like, upright."""
    return 7.5 <= width <= 9.0 and 10.0 <= height <= 14.5


def _centred(image: Image.Image, target: raster.Grid) -> Image.Image:
    page = Image.new("L", (raster.WIDTH, max(target.height, image.height)), 255)
    page.paste(image, ((raster.WIDTH - image.width) // 2, 0))
    return page


# --- images -----------------------------------------------------------------------------------------------------------


def _images(path: Path, name: str, target: raster.Grid) -> Iterator[Page]:
    try:
        with Image.open(path, formats=_FORMATS) as source:
            animated = source.format in ("GIF", "WEBP", "PNG")
            for frame in ImageSequence.Iterator(source):
                yield _image_page(frame, name, target)
                if animated:  # an animation is one picture
                    break
    except Image.DecompressionBombError as error:
        raise Refused(f"{name} has too many pixels for a fax; send it smaller", status=_TOO_LONG) from error
    except UnidentifiedImageError as error:
        raise Refused(f"{name} is a damaged image that cannot be read; send it again") from error
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError) as error:
        raise Refused(f"{name} is a damaged or incomplete image; send it again", repr(error)) from error


def _image_page(frame: Image.Image, name: str, target: raster.Grid) -> Page:
    if frame.width * frame.height > MAX_PIXELS:
        raise Refused(f"{name} has too many pixels for a fax; send it smaller", status=_TOO_LONG)
    if frame.width < 1 or frame.height < 1:
        raise Refused(f"{name} holds an empty image")
    frame.load()
    x_dpi, y_dpi = _dpi(frame)
    ready = _fax_page(frame, y_dpi)
    if ready is not None:
        return ready
    image = ImageOps.exif_transpose(frame)
    if image.size != frame.size:
        x_dpi, y_dpi = y_dpi, x_dpi
    grey = _grey(image)
    width, height = grey.width / x_dpi, grey.height / y_dpi
    # what fills no page at its own size is enlarged only if it has the pixels for it
    enlarge = min(grey.width, grey.height) >= 1000 and (width > raster.WIDTH / raster.X_DPI or _dpi_unknown(frame))
    across, down, turn = raster.placed(width, height, target, enlarge=enlarge)
    if turn:
        grey = grey.transpose(Image.Transpose.ROTATE_90)
    return Page(raster.on_page(_scaled(grey, across, down), target), target.y_dpi)


def _fax_page(frame: Image.Image, y_dpi: float) -> Page | None:
    """A page that is a fax page already goes out bit for bit."""
    if frame.mode != "1" or frame.width != raster.WIDTH or frame.format != "TIFF":
        return None
    standard = abs(y_dpi - raster.STANDARD) < 10
    if not standard and abs(y_dpi - raster.FINE) > 10:
        return None
    if frame.getexif().get(0x0112, 1) != 1:
        return None
    return Page(frame.copy(), raster.STANDARD if standard else raster.FINE)


def _scaled(grey: Image.Image, across: int, down: int) -> Image.Image:
    factor = min(grey.width // across, grey.height // down) // 2
    if factor > 1:  # box-averaging first is fast and loses nothing at this size
        grey = grey.reduce(factor)
    return grey.resize((across, down), Image.Resampling.LANCZOS)


def _dpi_unknown(frame: Image.Image) -> bool:
    found = frame.info.get("dpi")
    return not found or min(map(float, found)) < 50 or max(map(float, found)) > 2400 or max(map(float, found)) <= 100


def _dpi(frame: Image.Image) -> tuple[float, float]:
    """Dots per inch across and down; screen resolution when the file says none that can be true."""
    try:
        x_dpi, y_dpi = (float(v) for v in frame.info.get("dpi", (0, 0)))
    except (TypeError, ValueError, ZeroDivisionError):
        x_dpi = y_dpi = 0.0
    if 50 <= x_dpi <= 2400 and 50 <= y_dpi <= 2400:
        return x_dpi, y_dpi
    if frame.width == raster.WIDTH and frame.height < 1500 and frame.mode == "1":
        return raster.X_DPI, raster.STANDARD
    return _SCREEN_DPI, _SCREEN_DPI


def _grey(image: Image.Image) -> Image.Image:
    """Grey on white: transparency is paper, 16 bits become 8, CMYK is read as print is."""
    if image.mode.startswith("I") or image.mode == "F":
        _, high = image.getextrema()
        top = 65535.0 if float(high) > 255 else 255.0  # type: ignore[arg-type]  # one band
        return image.convert("F").point(lambda v: v * (255.0 / top)).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        over = image.convert("RGBA")
        paper = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(paper, over).convert("L")
    return image.convert("L")


# --- text -------------------------------------------------------------------------------------------------------------


def _text(path: Path, kind: str, target: raster.Grid, charset: str | None) -> Iterator[Page]:
    with path.open("rb") as stream:
        data = stream.read(_MAX_TEXT + 1)
    if len(data) > _MAX_TEXT:
        raise Refused("the text is too long for a fax", status=_TOO_LONG)
    content = text.decode(data, charset)
    if kind == sniff.HTML:
        content = text.from_html(content)
    for image in text.pages(content, target, mono=kind == sniff.TEXT and _is_table(content)):
        yield Page(image, target.y_dpi)


def _is_table(content: str) -> bool:
    """Columns made with blanks want a font of one width."""
    lines = [line for line in content.splitlines()[:200] if line.strip()]
    return sum("   " in line.strip() or "\t" in line for line in lines) * 4 > len(lines)
