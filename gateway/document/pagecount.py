"""How many pages a received document has, for the mail that brings it: its provider may have told another number."""

from __future__ import annotations

import struct
from pathlib import Path

import pypdfium2
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from gateway.document import sniff

# what the libraries raise on a document of which a piece is wrong
_BROKEN = (
    pypdfium2.PdfiumError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError, struct.error,
)  # fmt: skip


def pagecount(document: str) -> int:
    """The pages that can be had of a PDF or TIFF, by the document itself: none of one that cannot be opened."""
    try:
        return _count(Path(document))
    except _BROKEN:
        return 0


def _count(path: Path) -> int:
    if sniff.sniff(path) == sniff.TIFF:
        with Image.open(path) as image:
            assert isinstance(image, TiffImagePlugin.TiffImageFile), "its type was looked at"
            return image.n_frames
    with pypdfium2.PdfDocument(path) as pdf:
        return sum(_is_there(pdf, number) for number in range(len(pdf)))  # len is what the document says


def _is_there(pdf: pypdfium2.PdfDocument, number: int) -> bool:
    try:
        pdf[number].close()
    except pypdfium2.PdfiumError:
        return False
    return True
