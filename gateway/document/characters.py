"""The characters of an office document, of which LibreOffice draws a box or nothing where the system has no font for one."""

from __future__ import annotations

import html
import re
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pikepdf

from gateway.document import package, sniff

_TEXTS = re.compile(r"(?:word|xl|xl/worksheets|ppt/slides)/[^/]+\.xml|(?:content|styles)\.xml")
_WORDS = re.compile(r">([^<]+)<")
# how LibreOffice says in a PDF, in hexadecimal UTF-16, which characters it has drawn
_SAID = re.compile(rb"/ActualText<FEFF((?:[0-9A-F]{4})+)>|^<[0-9A-F]{2}> <((?:[0-9A-F]{4})+)>$", re.MULTILINE)


def of(source: Path, kind: str, made: Path) -> set[str]:
    """Those of a document of an office ``kind`` that is written in XML, and of the PDF that LibreOffice has made of any.
    Not those of symbol fonts, which have no meaning outside of them. Raises OSError.
    """
    return {each for each in _written(source, kind) | _drawn(made) if unicodedata.category(each) != "Co"}


def _written(source: Path, kind: str) -> set[str]:
    found: set[str] = set()
    for data in _files(source, kind):
        if not data.isascii() or b"&#" in data:
            for words in _WORDS.finditer(data.decode("utf-8", "ignore")):
                found.update(html.unescape(words[1]))
    return found


def _files(source: Path, kind: str) -> Iterator[bytes]:
    if kind == sniff.OFFICE_XML:
        yield source.read_bytes()
    elif kind == sniff.OFFICE:
        with zipfile.ZipFile(source) as document:
            for name in filter(_TEXTS.fullmatch, document.namelist()):
                yield package.read(document, name)


def _drawn(made: Path) -> set[str]:
    found: set[str] = set()
    with pikepdf.open(made) as document:
        for each in document.objects:
            # no picture, no font
            if isinstance(each, pikepdf.Stream) and "/Subtype" not in each and "/Length1" not in each:
                for said in _SAID.findall(each.read_bytes()):
                    found.update(bytes.fromhex(b"".join(said).decode()).decode("utf-16-be", "ignore"))
    return found
