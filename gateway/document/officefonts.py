"""Fonts for office documents that want one of Microsoft's which the system lacks: LibreOffice asks fontconfig for another.

It would get DejaVu Sans for most, a quarter wider: a letter would need another page, and numbers would not fit into their
columns, where Calc prints ### or 1E+07 instead. A font that a book's columns are measured by must not be narrower than it was.
"""

from __future__ import annotations

import ctypes
import re
import zipfile
from pathlib import Path

from gateway.document import package, sniff, systemfonts

_NARROW = ("Liberation Sans Narrow", "Nimbus Sans Narrow")
_PLAIN = ("Liberation Sans", "Nimbus Sans")
_SERIF = ("Liberation Serif", "Nimbus Roman")
_OF_THE_WIDTH_OF_ARIAL = (
    "Aptos", "Aptos Display", "Franklin Gothic Book", "Gill Sans MT", "Helvetica Neue", "Segoe UI", "Segoe UI Light",
    "Segoe UI Semibold", "Tahoma", "Trebuchet MS", "Lato", "Open Sans", "Roboto",
)  # fmt: skip
_INSTEAD = {  # the first that is there
    **dict.fromkeys(("Calibri", "Calibri Light"), ("Carlito", *_NARROW)),
    **dict.fromkeys(("Aptos Narrow", "Candara", "Corbel"), _NARROW),
    **dict.fromkeys(_OF_THE_WIDTH_OF_ARIAL, _PLAIN),
    "Cambria": ("Caladea", *_SERIF),
    **dict.fromkeys(("Constantia", "Garamond"), _SERIF),
}
_STYLES = "xl/styles.xml"
_MEASURE = re.compile(rb"<fonts\b(?:(?!<fonts\b).)*?<name\s+val=\"([^\"]+)\"", re.DOTALL)  # the first of its fonts


def settle(document: Path, kind: str) -> None:
    """Tell fontconfig of this process, where it is new enough to be told (2.12.4), before a document of an office ``kind`` is
    loaded. Raises OSError.
    """
    library = systemfonts.ready()
    if library is None or not hasattr(library, "FcConfigParseAndLoadFromMemory"):
        return
    library.FcConfigGetCurrent.restype = ctypes.c_void_p
    load = library.FcConfigParseAndLoadFromMemory
    load.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    load(library.FcConfigGetCurrent(), _rules(_measure(document, kind)).encode(), False)


def _measure(document: Path, kind: str) -> str:
    """The font that the columns of a book of Excel are measured by, "" of any other document."""
    if kind != sniff.OFFICE:
        return ""
    with zipfile.ZipFile(document) as book:
        found = _MEASURE.search(package.read(book, _STYLES)) if _STYLES in book.namelist() else None
    return found[1].decode("utf-8", "replace") if found else ""


def _rules(measure: str) -> str:
    """As fonts.conf has them; what the system's own says of a font goes before."""
    return f"<fontconfig>{''.join(_alias(family, wide=family == measure) for family in _INSTEAD)}</fontconfig>"


def _alias(family: str, *, wide: bool) -> str:
    others = [each for each in _INSTEAD[family] if not (wide and each in _NARROW)]
    accepted = "".join(f"<family>{each}</family>" for each in (*others, *_PLAIN))
    return f"<alias><family>{family}</family><accept>{accepted}</accept></alias>"
