"""Office documents that a password or rights keep shut: each kind says so in a place of its own, LibreOffice not at all."""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
from itertools import islice

from gateway.document import package
from gateway.document.compound import WORD, Compound, Damaged
from gateway.document.hidden_binary import records
from gateway.document.refusal import Unfaxable

_PACKAGE = "EncryptedPackage".encode("utf-16-le")  # a stream's name in an OLE file: an encrypted DOCX, XLSX or PPTX
# rights (MS-OFFCRYPTO, IRM), the second of a package; beside the first stands a document that says no more than that
_RIGHTS = ("\tDRMContent".encode("utf-16-le"), "DRMEncryptedTransform".encode("utf-16-le"))
# MS-DOC fEncrypted, MS-XLS FilePass, MS-PPT headerToken
_LOCKED_WORD, _LOCKED_BOOK, _LOCKED_SHOW = 0x01, 0x2F, 0xF3D1C4DF
_FIRST = 8  # records of a book: a password is in one of them
_MANIFEST = "META-INF/manifest.xml"
_LOCKED_OPEN = re.compile(  # the whole of it (LibreOffice 24.8 and later) or its text: macros alone may have a password too
    rb"<(?:\w+:)?file-entry\b(?=[^<>]*\bfull-path=[\"'](?:content\.xml|encrypted-package)[\"'])[^<>]*(?<!/)>\s*<(?:\w+:)?encryption-data\b"
)


def protected(name: str) -> Unfaxable:
    """The refusal of a document of that name."""
    return Unfaxable(f"{name} is protected by a password; send it without one, or print it to a PDF", status="5.7.4")


def check_compound(data: bytes, name: str) -> None:
    """Refuse an OLE file that is locked for sure. Raises Unfaxable, naming it by ``name``."""
    if any(each in data for each in _RIGHTS):
        raise Unfaxable(
            f"{name} is protected by usage rights (IRM, a sensitivity label); have them removed, or print it to a PDF and send that",
            status="5.7.4",
        )
    if _PACKAGE in data:
        raise protected(name)


def check_package(source: zipfile.ZipFile, name: str) -> None:
    """Refuse an OpenDocument with a password. Raises Unfaxable, naming it by ``name``, and what zipfile does."""
    if _MANIFEST in source.namelist() and _LOCKED_OPEN.search(package.read(source, _MANIFEST)):
        raise protected(name)


def has_password(data: bytes) -> bool:
    """Whether an old document says that it is encrypted; some open all the same: their password is one that all programs know."""
    with contextlib.suppress(Damaged, struct.error):
        source = Compound(data)
        text, show = source.read(WORD)[:12], source.read("Current User")[:16]
        if (len(text) == 12 and text[11] & _LOCKED_WORD) or show[12:] == struct.pack("<I", _LOCKED_SHOW):
            return True
        book = source.read("Workbook") or source.read("Book")
        return any(kind == _LOCKED_BOOK for _, kind, _ in islice(records(book), _FIRST))
    return False
