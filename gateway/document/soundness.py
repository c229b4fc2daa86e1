"""Whether what a PDF page is drawn from can be decoded: pdfium leaves out what it cannot, without a word."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import pikepdf
from PIL import Image, ImageChops

_FLATE = {"/FlateDecode", "/Fl"}
_JPEG = (["/DCTDecode"], ["/DCT"])
_END = b"\xff\xd9"  # of a JPEG
_BEHIND = 1024  # bytes that may follow it
_EDGE = 16  # rows of a picture that nobody misses at its end: one of its blocks
_WINDOW = 1 << 20
_MOST = 64 << 20  # bytes, or pixels, looked at of one stream
_FLUSHED = b"\0\0\xff\xff"  # ends one whose program never said that it is complete


class Soundness:
    """Judges the pages of one document in turn; what they share is judged with the first."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def damaged(self, page: pikepdf.Page) -> bool:
        """Whether the content of a page, of a form on it, or a JPEG is not whole."""
        contents = page.obj.get("/Contents")
        waiting: list[object] = list(contents) if isinstance(contents, pikepdf.Array) else [contents]
        waiting += _shown(page.resources)
        while waiting:
            stream = waiting.pop()
            if not isinstance(stream, pikepdf.Stream) or stream.objgen in self._seen:
                continue
            self._seen.add(stream.objgen)
            if _breaks(stream):
                return True
            waiting += _shown(stream.get("/Resources"))
        return False


def _shown(resources: object) -> Iterator[pikepdf.Object]:
    """Forms and JPEGs."""
    objects = resources.get("/XObject") if isinstance(resources, pikepdf.Dictionary) else None
    for _, each in objects.items() if isinstance(objects, pikepdf.Dictionary) else ():
        if isinstance(each, pikepdf.Stream) and (each.get("/Subtype") == "/Form" or _filters(each) in _JPEG):
            yield each


def _breaks(stream: pikepdf.Stream) -> bool:
    """Whether its compressed data goes wrong before its end. A wrong sum at the end, or none, takes nothing away."""
    if (coded := _filters(stream)) in _JPEG:
        return _jpeg_breaks(stream.read_raw_bytes())
    if not coded or coded[0] not in _FLATE:
        return False
    inflater = zlib.decompressobj()
    whole = data = stream.read_raw_bytes()
    room = _MOST
    try:
        while data and room > 0:
            room -= len(inflater.decompress(data, _WINDOW))
            data = inflater.unconsumed_tail
        if not whole or data or inflater.eof or whole.endswith(_FLUSHED):
            return False
        inflater.decompress(bytes(4))  # in place of a sum that may be missing
    except zlib.error as error:
        return "data check" not in str(error)
    return not inflater.eof


def _jpeg_breaks(data: bytes) -> bool:
    """Whether rows of a JPEG are missing: decoders fill them with grey. Of one that only lacks its end mark none are.

    What is whole is the same whatever follows it.
    """
    if _END in data[-_BEHIND:]:
        return False
    try:
        one, other = (_decoded(data + filling + _END) for filling in (b"", b"\x55" * 4096))
    except (OSError, ValueError, Image.DecompressionBombError):  # for pdfium to judge
        return False
    differing = ImageChops.difference(one, other).getbbox()
    return differing is not None and differing[3] - differing[1] > _EDGE


def _decoded(data: bytes) -> Image.Image:
    """Raises OSError, and ValueError for one that is too large to be looked at twice."""
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
        if picture.width * picture.height > _MOST:
            raise ValueError(f"{picture.size} pixels")
        return picture.convert("L")


def _filters(stream: pikepdf.Stream) -> list[str]:
    coded = stream.get("/Filter")
    return [str(each) for each in coded] if isinstance(coded, pikepdf.Array) else [str(coded)]
