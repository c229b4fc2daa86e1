"""A PDF becomes pages: what its viewer shows in print, or a refusal that names it.

pdfium draws; qpdf (pikepdf) mends what pdfium cannot open, and judges structure. A PDF of nothing but fax pages, such as a
received fax that is sent on, comes through with exactly its pixels.
"""

from __future__ import annotations

import io
import logging
import mmap
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pikepdf
import pypdfium2
from PIL import Image, ImageChops
from pypdfium2 import raw as pdfium

from gateway.document import allocation, glyphs, layers, losses, named, pale, progress, raster, xfa
from gateway.document.annotations import Annotations
from gateway.document.glyphs import Borrowed
from gateway.document.raster import Grid, Page
from gateway.document.refusal import Unfaxable, short
from gateway.document.soundness import Soundness

logging.getLogger("pypdfium2").setLevel(logging.ERROR)  # it warns of forms it shows well

_MAX_INCHES = 200.0
_LINEARIZED = re.compile(rb"/Linearized\b[^>]*?/L\s+(\d+)")
_OBJECT = re.compile(rb"(?<![0-9])[0-9]++ [0-9]++ obj\b")
# what pikepdf raises for pages and pictures it cannot take apart
_WRONG = (
    pikepdf.PdfError, pikepdf.PasswordError, pikepdf.UnsupportedImageTypeError, ValueError, RuntimeError, OSError, LookupError, TypeError,
    AttributeError, ArithmeticError, Image.DecompressionBombError,
)  # fmt: skip
_JBIG2 = "JBIG2Decode"
_FILTERS = {"/CCITTFaxDecode", "/FlateDecode"}  # others may start a program
_LAID_OVER = ("/SMask", "/Mask", "/SMaskInData", "/OC")  # what may hide a picture
_MASKS = (*_LAID_OVER, "/ImageMask")  # of a picture that may not hide the paper
_ANY = [0] + [255] * 255
_LEAST = 1.0  # pixels of a scan to a point of the page: fewer are too few to choose from, twice as many are reduced
_AROUND = ((1 / 4, 1 / 4), (3 / 4, 3 / 4))  # where in a point they are: no line of pixels falls between
_PLACE = ["q", "cm", "Do", "Q"]  # operators of a page that shows one picture
_SHORT = 512  # bytes of a page's content that may be no more than these


def pages(path: Path, name: str, target: Grid, room: int) -> Iterator[Page]:
    """The pages of a PDF; more than ``room`` of them are refused before the first is drawn."""
    document = _open(path, name)
    try:
        count = len(document)
        raster.check_room(name, count, room)
        if xfa.is_dynamic(document, path):
            raise Unfaxable(
                f"{name} is a form (XFA) that only Adobe Reader can show; print it to a new PDF from there and send that"
            )
        if attached := document.count_attachments():
            if _is_portfolio(path):
                raise Unfaxable(f"{name} is a PDF portfolio, a folder of files; send the files in it")
            progress.note(f"without {progress.the(attached, 'file')} attached to it")
        if found := fax_pages(path):
            raster.check_room(name, len(found), room)
            for fax in found:
                yield fax.page
            return
        told, mended, fonts = _told(path, name, count)
        if mended:
            document.close()
            document = _opened(mended, name)
            raster.check_room(name, len(document), room)
        if borrowed := [number for number in told if told[number].borrowed]:
            document = _with_letters(document, mended or path, borrowed, fonts, name)
        covered: list[int] = []
        for number in range(len(document)):
            yield Page(_draw(document, number, name, target, told.get(number, _Told()), covered), target.y_dpi)
        progress.note_pages("pale writing with something drawn over it may not be seen", covered)
    finally:
        document.close()


# --- opening ----------------------------------------------------------------------------------------------------------


def _open(path: Path, name: str) -> pypdfium2.PdfDocument:
    """pdfium opens what it can; what it cannot, or opens without pages, is mended by qpdf first."""
    _check_whole(path, name)
    return _read(path) or _opened(_mended(path, name), name)


def _opened(data: bytes, name: str) -> pypdfium2.PdfDocument:
    document = _read(data)
    if document is None:
        raise _damaged(name)
    return document


def _read(source: Path | bytes) -> pypdfium2.PdfDocument | None:
    """A document with its forms, or None when pdfium sees no page in it."""
    document = None
    try:
        document = pypdfium2.PdfDocument(source)
        document.init_forms()  # before its pages are counted, or fields are not shown
        if len(document):
            return document
    except pypdfium2.PdfiumError:
        pass
    if document is not None:
        document.close()
    return None


def _mended(path: Path, name: str) -> bytes:
    """The PDF as qpdf writes it anew."""
    try:
        with pikepdf.open(path) as broken:
            if not broken.pages:
                raise Unfaxable(f"{name} is a PDF without a page; make it again and send that")
            if losses.has_lost(broken.get_warnings()):
                raise _damaged(name)
            return _written(broken, name)
    except pikepdf.PasswordError as error:
        raise Unfaxable(
            f"{name} is protected by a password; send it without one (print it to a new PDF)", status="5.7.4"
        ) from error
    except (pikepdf.PdfError, ValueError, RuntimeError) as error:
        if "encryption" in str(error):
            raise Unfaxable(
                f"{name} is protected by a certificate, or so that only one program opens it; print it to a new PDF and send that",
                status="5.7.4",
            ) from error
        raise _damaged(name) from error


def _written(document: pikepdf.Pdf, name: str) -> bytes:
    out = io.BytesIO()
    try:
        with warnings.catch_warnings(action="ignore"):  # of fields that are in no form
            document.save(out)
    except (pikepdf.PdfError, ValueError, RuntimeError) as error:
        raise _damaged(name) from error
    return out.getvalue()


def _damaged(name: str) -> Unfaxable:
    return Unfaxable(f"{name} is a damaged PDF that cannot be read; make it again and send that")


def _damaged_page(number: int, name: str) -> Unfaxable:
    return Unfaxable(f"page {number + 1} of {name} is damaged; make the PDF again and send that")


def _check_whole(path: Path, name: str) -> None:
    """A PDF cut off in transit lacks its end; readers would mend it with pages missing. What is no part of one may follow."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        told = _LINEARIZED.search(data[:2048])
        end = max(data.rfind(b"%%EOF"), data.rfind(b"startxref"))
        if end < 0 or _OBJECT.search(data, end) or (told and int(told[1]) > len(data)):
            raise Unfaxable(f"{name} is incomplete: the PDF breaks off before its end; send it again")


def _is_portfolio(path: Path) -> bool:
    """Whether its one page only says that another reader is needed for the files within."""
    try:
        with pikepdf.open(path) as document:
            return "/Collection" in document.Root
    except _WRONG:
        return False


# --- drawing ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Told:
    """What pdfium does not ask: whether a page is whole, how many points its unit is, whether it is nothing but a scan in grey, or
    has fonts that are not in the PDF.
    """

    whole: bool = False
    unit: float = 1.0
    scan: bool = False
    borrowed: bool = False


def _told(path: Path, name: str, count: int) -> tuple[dict[int, _Told], bytes, Borrowed]:
    """Of each page; the PDF without what pdfium would not draw as a viewer does, b"" where that is nothing; and the fonts that
    are not in it. ``count``: of the pages that pdfium sees. Raises Unfaxable for a page whose content is damaged.
    """
    told: dict[int, _Told] = {}
    mended = b""
    damaged, borrowed = Soundness().damaged, Borrowed()
    try:
        with pikepdf.open(path) as document:
            annotations, blanks = Annotations(document), losses.Blanks(document, path)
            found, complaints = list(document.pages), document.get_warnings()
            if losses.has_lost(complaints) or (len(found) < count and losses.may_lack_a_page(document, complaints)):
                raise _damaged(name)
            for number, page in enumerate(found):
                is_damaged = damaged(page) or not blanks.may_be(page, complaints)
                complaints += document.get_warnings()
                if is_damaged or losses.has_lost(complaints):
                    raise _damaged_page(number, name)
                told[number] = _Told(True, _unit(page), _is_scan(page), borrowed.on(page))
                annotations.complete(page, number)
            annotations.tell()
            if unprinted := layers.for_screens(document):
                progress.note(f"without {progress.the(unprinted, 'layer')} not to be printed")
            if losses.has_no_size(complaints):
                progress.note("pages that say no size are shown on letter paper")
            # it believes a count that is wrong, opens no page that says it is none, and loses what is not where the PDF says
            misled = len(told) != count or losses.is_called_other(complaints) or losses.is_sought(complaints)
            if layers.settle(document) or annotations.changed or misled:
                mended = _written(document, name)
    except _WRONG as error:
        if "pages tree" in str(error):  # pdfium takes the tree for a page
            raise _damaged(name) from error
        progress.note("it is damaged, or of a rare kind: something may be missing from its pages")
    return told, mended, borrowed


def _with_letters(
    document: pypdfium2.PdfDocument, source: Path | bytes, borrowed: list[int], fonts: Borrowed, name: str
) -> pypdfium2.PdfDocument:
    """The document, with our fonts where pdfium lacks a letter, or has one for a sign. Raises Unfaxable where they lack it too; notes
    a sign.
    """
    missing = glyphs.lacking(document, borrowed, fonts)
    if not missing and not fonts.signs:
        return document
    try:
        with pikepdf.open(io.BytesIO(source) if isinstance(source, bytes) else source) as lent:
            glyphs.lend(lent, letters=bool(missing))
            document.close()
            document = _opened(_written(lent, name), name)
    except _WRONG as error:
        raise _damaged(name) from error
    missing = glyphs.lacking(document, borrowed, fonts)
    for each in missing:
        if each.letter.isalnum() or not each.letter:
            document.close()
            raise Unfaxable(
                f"page {each.page + 1} of {name} has letters of a font ({short(each.font)}) that is neither in the PDF nor on this gateway;"
                " save the PDF with its fonts embedded, or print it to a new one"
            )
    if missing:
        signs = " ".join(dict.fromkeys(f"U+{ord(each.letter):04X}" for each in missing[:8]))
        progress.note(f"symbols of a font that is neither in it nor on this gateway are not shown: {signs}")
    return document


def _unit(page: pikepdf.Page) -> float:
    unit = float(page.obj.get("/UserUnit", 1.0))
    return unit if unit > 0 else 1.0


def _is_scan(page: pikepdf.Page) -> bool:
    try:
        picture = _sole_picture(page)
    except _WRONG:
        return False
    if picture is None or picture.get("/BitsPerComponent") != 8 or any(key in picture for key in _MASKS):
        return False
    space = picture.get("/ColorSpace")
    if isinstance(space, pikepdf.Array) and space[0] == "/ICCBased":
        return bool(space[1].get("/N") == 1)
    return bool(space == "/DeviceGray")


def _draw(
    document: pypdfium2.PdfDocument, number: int, name: str, target: Grid, told: _Told, covered: list[int]
) -> Image.Image:
    """A page; its number is added to ``covered`` where pale writing may not be seen."""
    try:
        page = document[number]
    except pypdfium2.PdfiumError as error:
        raise _damaged_page(number, name) from error
    try:
        if not all(page.get_size()):
            page.set_cropbox(0, 0, 0, 0)  # none: what it says lies beside the page
        kinds = pale.kinds(page)
        points_x, points_y = page.get_size()
        width, height = min(points_x * told.unit / 72, _MAX_INCHES), min(points_y * told.unit / 72, _MAX_INCHES)
        across, down, turn = raster.placed(width, height, target, enlarge=False)
        sheet = _is_sheet(width, height) and not turn
        if sheet:  # paper keeps its own margins
            scale = min(raster.WIDTH / raster.X_DPI / width, target.inches / height, 1.0)
            across, down = round(width * scale * raster.X_DPI), round(height * scale * target.y_dpi)
        image = _sampled(page, across, down) if told.scan and not turn else None
        if image is None:
            size = (raster.WIDTH, max(target.height, down)) if sheet else (across, down)
            # back to how the page lies in the PDF, as printers do: what was scanned sideways has its top up again
            quarters = (3 if page.get_rotation() == 90 else 1) if turn else 0
            place = ((size[0] - across) // 2, 0, across, down, quarters)
            image = _rendered(document, page, size, place)
            is_changed, is_left = pale.strengthen(page, kinds, image, place)
            if is_changed:
                image = _rendered(document, page, size, place)
            if pale.join_notes(page):
                page.close()
                page = document[number]
                joined = _rendered(document, page, size, place)
                kinds = pale.kinds(page)
                is_changed, is_covered = pale.strengthen(page, kinds, joined, place)
                is_left |= is_covered
                if is_changed:  # and nothing else is taken from there, where pdfium draws what marks words otherwise
                    strong = _rendered(document, page, size, place)
                    image.paste(strong, mask=ImageChops.difference(joined, strong).point(_ANY))
            covered += [number] * is_left
        _check_pictures(page, kinds, number, name, image)
        if not told.whole and image.getextrema() == (255, 255):
            raise _damaged_page(number, name)
        return raster.on_page(image, target, margin=not sheet)
    finally:
        page.close()


def _sampled(page: pypdfium2.PdfPage, across: int, down: int) -> Image.Image | None:
    """The picture of a scan as so many points, faster than pdfium draws it. None where its pixels are too few.

    Each point is the mean of two pixels of the picture around its centre: enough against the grain of a scan.
    """
    try:
        (picture,) = page.get_objects()
        bitmap = picture.get_bitmap()
    except (pypdfium2.PdfiumError, ValueError, AttributeError):
        return None
    try:
        image: Image.Image = bitmap.to_pil()
        if image.mode != "L":
            return None
        fold = int(image.width / across / _LEAST), int(image.height / down / _LEAST)
        if not all(fold):
            return None
        image = image.reduce(fold) if max(fold) > 1 else image  # which would copy it
        x, y = image.width / across, image.height / down
        first, second = (
            image.resize(
                (across, down), Image.Resampling.NEAREST,
                box=(x * left, y * top, image.width - x * (1 - left), image.height - y * (1 - top)),
            )
            for left, top in _AROUND
        )  # fmt: skip
        return Image.blend(first, second, 1 / 2)
    finally:
        bitmap.close()


def _rendered(
    document: pypdfium2.PdfDocument, page: pypdfium2.PdfPage, size: tuple[int, int], place: pale.Place
) -> Image.Image:
    """A picture of this size, with the page at its ``place``. Raises MemoryError where something on it may be missing."""
    bitmap = pypdfium2.PdfBitmap.new_native(*size, pdfium.FPDFBitmap_Gray)
    try:
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, *size)
        # not FPDF_GRAYSCALE: the bitmap is grey anyway, and it would hold a second copy of each picture
        flags = pdfium.FPDF_ANNOT | pdfium.FPDF_PRINTING
        where = (bitmap, page, *place)
        with allocation.checked():
            pdfium.FPDF_RenderPageBitmap(*where, flags)
            if document.formenv:
                pdfium.FPDF_FFLDraw(document.formenv, *where, flags)
        image: Image.Image = bitmap.to_pil()  # which keeps the memory that is drawn in
        return image
    finally:
        bitmap.close()


def _check_pictures(page: pypdfium2.PdfPage, kinds: list[int], number: int, name: str, shown: Image.Image) -> None:
    """What cannot be decoded is left out by pdfium without a word; on a blank page each picture is looked at whole, and so is JBIG2,
    of which the head tells nothing.
    """
    if not {pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_FORM} & set(kinds):
        return  # from a drawing of thousands of lines
    told = pdfium.FPDF_IMAGEOBJ_METADATA()
    wrong = Unfaxable(
        f"page {number + 1} of {name} holds a picture that cannot be read; make the PDF again and send that"
    )
    coarse = shown.resize((shown.width // 8 or 1, shown.height // 8 or 1), Image.Resampling.NEAREST)
    blank = all(each.getextrema() == (255, 255) for each in (coarse, shown))  # mostly a look at the first is enough
    for picture in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE]):
        if pdfium.FPDFImageObj_GetImageMetadata(picture.raw, page.raw, told) and not told.bits_per_pixel:
            raise wrong
        if blank or _JBIG2 in picture.get_filters():
            try:
                picture.get_bitmap().close()
            except pypdfium2.PdfiumError as error:
                raise wrong from error


def _is_sheet(width: float, height: float) -> bool:
    """Letter, A4, legal and their like, upright."""
    return 7.5 <= width <= 9.0 and 10.0 <= height <= 14.5


# --- fax pages in a PDF -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Packed:
    """A page of a fax, its points packed: all of a long fax are held at once."""

    size: tuple[int, int]
    y_dpi: int
    points: bytes

    @property
    def page(self) -> Page:
        return Page(Image.frombytes("1", self.size, self.points), self.y_dpi)


def fax_pages(path: Path) -> list[Packed]:
    """The pages of a PDF that holds nothing but one upright and whole fax page on each; none of any other PDF."""
    found = []
    damaged = Soundness().damaged
    try:
        with pikepdf.open(path) as document:
            for page in document.pages:
                fax = _fax_page(page)
                if fax is None or damaged(page):
                    return []
                found.append(fax)
            complaints = document.get_warnings()
            if losses.has_lost(complaints) or losses.is_sought(complaints):
                return []
    except _WRONG:
        return []
    return found


def _sole_picture(page: pikepdf.Page) -> pikepdf.Stream | None:
    """The picture that is all there is on an upright page, from edge to edge."""
    objects = list(named.entries(page.resources, "/XObject").values())
    if len(objects) != 1 or not isinstance(found := objects[0], pikepdf.Stream) or found.get("/Subtype") != "/Image":
        return None
    if any(name in page for name in ("/Annots", "/Rotate", "/UserUnit")):
        return None
    contents = page.obj.get("/Contents")
    pieces = list(contents) if isinstance(contents, pikepdf.Array) else [contents]
    if sum(len(each.read_raw_bytes()) for each in pieces if isinstance(each, pikepdf.Stream)) > _SHORT:
        return None  # reading it all would take long
    operators = pikepdf.parse_content_stream(page)
    if [str(each.operator) for each in operators] != _PLACE or list(page.cropbox) != list(page.mediabox):
        return None
    left, bottom, right, top = (float(edge) for edge in page.mediabox)
    matrix = [float(number) for number in operators[1].operands]
    whole = [right - left, 0, 0, top - bottom, left, bottom]
    if any(abs(a - b) > 1 for a, b in zip(matrix, whole, strict=True)):
        return None
    return found


def _fax_page(page: pikepdf.Page) -> Packed | None:
    found = _sole_picture(page)
    if found is None:
        return None
    picture = pikepdf.PdfImage(found)
    if picture.width != raster.WIDTH or picture.bits_per_component != 1 or any(key in found for key in _LAID_OVER):
        return None
    if found.get("/ColorSpace", "/DeviceGray") != "/DeviceGray":  # pikepdf knows no palette of two colours
        return None
    if not set(picture.filters) <= _FILTERS:
        return None
    left, bottom, right, top = (float(edge) for edge in page.mediabox)
    rows = raster.fax_dpi(picture.width / (right - left) * 72, picture.height / (top - bottom) * 72)
    if rows is None:
        return None
    image = picture.as_pil_image().convert("1", dither=Image.Dither.NONE)
    return Packed(image.size, rows, image.tobytes()) if image.size == (picture.width, picture.height) else None
