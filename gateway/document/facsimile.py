"""Whether a picture that is coded as a facsimile (ITU-T T.4, T.6) is whole: decoders fill what they cannot decode."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pikepdf
import pypdfium2
from PIL import Image, ImageChops, TiffImagePlugin
from pypdfium2 import raw as pdfium

MOST = 64 << 20  # bytes, or pixels, looked at of one picture
_PAGE_END = re.compile("(?:0{11}1[01]?0*){2}")  # ITU-T T.4 and T.6
_BEHIND = 1024  # bytes in which it is looked for
_GAP = b"\0\0"  # is in no code of T.6: libtiff takes it for the end
_PADDING = b"\0\r\n"  # may follow the end
_CODING, _ORDER, _T6 = 259, 266, 4  # Compression and FillOrder of TIFF
_OPTIONS, _BY_THE_LAST = 292, 1  # T4Options, and of them: lines are coded by the one before
_TELLING = 4  # rows: a few are understood in either coding
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LINES = int(("0000000000011" + "101111" * 8) * 400, 2)  # of T.4, some black in each
# what a picture of which rows are missing goes on with, and a whole one does not
_NOISE = b"\x55" * 2048 + _LINES.to_bytes(400 * 61 // 8, "big")
# for others to judge
_UNREAD = (OSError, ValueError, pikepdf.PdfError, pypdfium2.PdfiumError, Image.DecompressionBombError)
_EDGE = 16  # rows of a picture that nobody misses at its end: one of its blocks


def lacks_rows(data: bytes, decoded: Callable[[bytes], Image.Image], end: bytes = b"") -> bool:
    """Whether rows of a picture are missing, which decoders fill; of one that only lacks the mark of its end none are.

    What is whole is the same whatever follows it.
    """
    try:
        one, other = (decoded(data + filling + end) for filling in (b"", _NOISE))
    except _UNREAD:
        return False
    differing = ImageChops.difference(one, other).getbbox()
    return differing is not None and one.height - differing[1] > _EDGE


@contextlib.contextmanager
def complaints() -> Iterator[list[bytes]]:
    """What libtiff says of lines that it cannot decode, to be read at the end."""
    heard: list[bytes] = []
    said = os.memfd_create("complaints")
    kept = os.dup(2)
    os.dup2(said, 2)
    try:
        yield heard
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        with os.fdopen(said, "rb") as stream:
            stream.seek(0)
            heard += [line for line in stream.read().splitlines() if b"ode" in line and b" at line " in line]


def breaks(stream: pikepdf.Stream, data: bytes) -> bool:
    """Whether something of a picture of a PDF is missing or cannot be decoded. Raises LookupError and others for one that does not
    say how.
    """
    if int(stream.Width) * int(stream.Height) > MOST:
        return False
    settings = _settings(stream)
    if settings is None or settings.get("/K", 0) >= 0:  # T.4, of which libtiff knows fewer kinds
        return not _ends(data) and lacks_rows(data, partial(_drawn, stream))
    with complaints() as heard, contextlib.suppress(*_UNREAD):
        whole, space = pikepdf.PdfImage(stream), stream.get("/ColorSpace", pikepdf.Name.DeviceGray)
        is_plain = len(whole.filters) == 1 and isinstance(space, pikepdf.Name)
        image = whole.as_pil_image() if is_plain else _picture(stream, data)  # the first is faster
        image.load()
    return bool(heard) or _has_gap(data) or (not _ends(data) and lacks_rows(data, partial(_picture, stream)))


def _settings(stream: pikepdf.Stream) -> Any:
    settings = stream.get("/DecodeParms")
    return settings[-1] if isinstance(settings, pikepdf.Array) else settings  # of the codings around it, too


def _copied(document: pikepdf.Pdf, stream: pikepdf.Stream, data: bytes) -> Any:
    """The picture in another document, with this data."""
    picture: Any = document.copy_foreign(stream)
    picture.write(data, filter=pikepdf.Name.CCITTFaxDecode, decode_parms=_settings(picture))
    return picture


def _picture(stream: pikepdf.Stream, data: bytes) -> Image.Image:
    with pikepdf.new() as scratch:
        picture = _copied(scratch, stream, data)
        picture.ColorSpace = pikepdf.Name.DeviceGray  # whatever it is: pikepdf does not know all
        return pikepdf.PdfImage(picture).as_pil_image().convert("L")


def _drawn(stream: pikepdf.Stream, data: bytes) -> Image.Image:
    """As pdfium decodes it."""
    with pikepdf.new() as scratch:
        alone = sheet(scratch, _copied(scratch, stream, data))
    with pypdfium2.PdfDocument(alone) as document:
        (found,) = document[0].get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE])
        image: Image.Image = found.get_bitmap().to_pil()
        return image.convert("L")


def sheet(document: pikepdf.Pdf, picture: pikepdf.Object) -> io.BytesIO:
    """The file of a ``document`` that had no page, with one of nothing but this picture."""
    page = document.add_blank_page(page_size=(72, 72))
    page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(I=picture))
    page.Contents = pikepdf.Stream(document, b"72 0 0 72 0 0 cm /I Do")
    out = io.BytesIO()
    document.save(out)
    return out


def strip_breaks_off(data: bytes, tags: dict[int, int]) -> bool:
    """Whether a strip of a fax TIFF, with these tags of its own, ends before its rows do, which libtiff fills without a word."""
    if tags[_ORDER] == 2:
        data, tags = data.translate(_MIRRORED), {**tags, _ORDER: 1}
    if tags[_CODING] == _T6 and _has_gap(data):
        return True
    return not _ends(data) and lacks_rows(data, partial(_strip, tags))


def strip_is_misnamed(data: bytes, tags: dict[int, int]) -> bool:
    """Whether a strip of a fax TIFF that is empty has something in it if no line is coded by the one before, as its tags say."""
    if not (options := tags.get(_OPTIONS, 0)) & _BY_THE_LAST or tags[TiffImagePlugin.IMAGELENGTH] < _TELLING:
        return False
    shades = 1
    with complaints() as heard, contextlib.suppress(*_UNREAD):
        shades = len(set(_strip({**tags, _OPTIONS: options - _BY_THE_LAST}, data).getextrema()))
    return shades > 1 and not heard


def _strip(tags: dict[int, int], data: bytes) -> Image.Image:
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    directory[TiffImagePlugin.STRIPBYTECOUNTS], directory[TiffImagePlugin.STRIPOFFSETS] = len(data), 0
    out = io.BytesIO()
    directory.save(out)  # which knows where it ends
    with Image.open(io.BytesIO(out.getvalue() + data), formats=["TIFF"]) as picture:
        return picture.convert("L")


def _has_gap(data: bytes) -> bool:
    """Whether it has one before its end, behind which programs of scanners leave other pieces of the TIFF it was in."""
    at = data.rstrip(_PADDING).find(_GAP)
    return at >= 0 and not _ends(data[:at])


def _ends(data: bytes) -> bool:
    return bool(_PAGE_END.search(f"{int.from_bytes(data[-_BEHIND:], 'big'):b}"))
