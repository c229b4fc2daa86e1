"""Forms in a PDF (XFA) whose pages are made by Adobe's reader when it opens them: all others show the one page that says so."""

from __future__ import annotations

import re
from pathlib import Path

import pikepdf
import pypdfium2
from pypdfium2 import raw as pdfium

_DYNAMIC = re.compile(rb"<dynamicRender>\s*required")  # says a form of old programs in its XML
_WAITING = "If this message is not eventually replaced"  # says the page
_WRONG = (pikepdf.PdfError, pikepdf.PasswordError, ValueError, RuntimeError, LookupError, TypeError, AttributeError)


def is_dynamic(document: pypdfium2.PdfDocument, path: Path) -> bool:
    """Whether the PDF at ``path``, which is open as ``document``, is such a form."""
    kind = document.get_formtype()
    if kind != pdfium.FORMTYPE_XFA_FOREGROUND:
        return bool(kind == pdfium.FORMTYPE_XFA_FULL)
    return _says_so(path) or (len(document) == 1 and _waits(document))


def _says_so(path: Path) -> bool:
    try:
        with pikepdf.open(path) as document:
            form = document.Root.AcroForm.XFA
            pieces = [form] if isinstance(form, pikepdf.Stream) else list(form)
            return any(_DYNAMIC.search(each.read_bytes()) for each in pieces if isinstance(each, pikepdf.Stream))
    except _WRONG:
        return False


def _waits(document: pypdfium2.PdfDocument) -> bool:
    try:
        return _WAITING in " ".join(document[0].get_textpage().get_text_bounded().split())
    except pypdfium2.PdfiumError:
        return False
