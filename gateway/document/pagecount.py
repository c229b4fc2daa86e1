"""How many pages a received document has, for the mail that brings it: its provider may have told another number."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
from PIL import Image, TiffImagePlugin

from gateway.document import sniff


def pagecount(document: str) -> int:
    """The pages that can be had of a PDF or TIFF, by the document itself. Raises whatever its library does."""
    path = Path(document)
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
