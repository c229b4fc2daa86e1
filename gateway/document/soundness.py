"""Whether what a PDF page is drawn from can be decoded: pdfium leaves out what it cannot, without a word."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pikepdf

_FLATE = {"/FlateDecode", "/Fl"}
_WINDOW = 1 << 20
_MOST = 64 << 20  # bytes looked at of one stream
_FLUSHED = b"\0\0\xff\xff"  # ends one whose program never said that it is complete


class Soundness:
    """Judges the pages of one document in turn; what they share is judged with the first."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def damaged(self, page: pikepdf.Page) -> bool:
        """Whether the content of a page, or of a form on it, is not whole."""
        contents = page.obj.get("/Contents")
        waiting: list[object] = list(contents) if isinstance(contents, pikepdf.Array) else [contents]
        waiting += _forms(page.resources)
        while waiting:
            stream = waiting.pop()
            if not isinstance(stream, pikepdf.Stream) or stream.objgen in self._seen:
                continue
            self._seen.add(stream.objgen)
            if _breaks(stream):
                return True
            waiting += _forms(stream.get("/Resources"))
        return False


def _forms(resources: object) -> Iterator[pikepdf.Object]:
    objects = resources.get("/XObject") if isinstance(resources, pikepdf.Dictionary) else None
    for _, each in objects.items() if isinstance(objects, pikepdf.Dictionary) else ():
        if isinstance(each, pikepdf.Stream) and each.get("/Subtype") == "/Form":
            yield each


def _breaks(stream: pikepdf.Stream) -> bool:
    """Whether its compressed data goes wrong before its end. A wrong sum at the end, or none, takes nothing away."""
    if not (coded := _filters(stream)) or coded[0] not in _FLATE:
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


def _filters(stream: pikepdf.Stream) -> list[str]:
    coded = stream.get("/Filter")
    return [str(each) for each in coded] if isinstance(coded, pikepdf.Array) else [str(coded)]
