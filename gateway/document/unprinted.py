"""What of an office document in a ZIP is on no page: comments, the slides and sheets that are hidden, perhaps formulas."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

_LONGEST = 64 << 20  # bytes of a text that is looked through
_HEAD = 16 << 10  # bytes of a slide in which its first tag ends
_SLIDE = re.compile(r"ppt/slides/[^/]+\.xml")
_HIDDEN_SLIDE = re.compile(rb"<(?:\w+:)?sld\b[^>]*\bshow\s*=\s*[\"'](?:0|false)[\"']")
_SHEETS, _HIDDEN_SHEET = (
    "xl/workbook.xml",
    re.compile(rb"<(?:\w+:)?sheet\b[^>]*\bstate\s*=\s*[\"'](?:veryH|h)idden[\"']"),
)
_TEXTS = re.compile(r"word/(?:document|footnotes|endnotes)\.xml|content\.xml")
_COMMENT = re.compile(  # of Word, and of OpenDocument; what marks to which words it belongs
    rb"<office:annotation(?![\w-])(?:[^>]*/>|.*?</office:annotation\s*>)"
    rb"|<(w:comment(?:Reference|RangeStart|RangeEnd)|office:annotation-end)(?![\w-])[^>]*?(?:/>|>\s*</\1\s*>)",
    re.DOTALL,
)
_MARKS = (b"w:commentRangeStart", b"w:commentRangeEnd", b"office:annotation-end")  # which come beside a comment
# what zipfile says of an archive that is damaged, locked or of a newer kind: LibreOffice is to judge it
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, LookupError, NotImplementedError, RuntimeError, EOFError)


def left_out(document: Path, *, comments: bool) -> Iterator[str]:
    """Say of a document what is on no page of it; ``comments``: take those out of a text, which LibreOffice could not open
    with them. Raises OSError.
    """
    try:
        with zipfile.ZipFile(document) as source:
            slides = sum(_holds(source, name, _HIDDEN_SLIDE) for name in source.namelist() if _SLIDE.fullmatch(name))
            sheets = len(_HIDDEN_SHEET.findall(source.read(_SHEETS))) if _SHEETS in source.namelist() else 0
            for count, what in ((slides, "slide"), (sheets, "sheet")):
                if count:
                    yield f"without the hidden {what}" if count == 1 else f"without the {count} hidden {what}s"
            count = _take_out(source, document) if comments else 0
        if count:
            yield "without the comment in it" if count == 1 else f"without the {count} comments in it"
    except _DAMAGED:
        return


def has_formulas(document: Path) -> bool:
    """Whether there is a formula in a text of Word. Raises OSError."""
    try:
        with zipfile.ZipFile(document) as source:
            names = [name for name in source.namelist() if _TEXTS.fullmatch(name)]
            return any(b"<m:oMath" in source.open(name).read(_LONGEST) for name in names)
    except _DAMAGED:
        return False


def _holds(source: zipfile.ZipFile, name: str, what: re.Pattern[bytes]) -> bool:
    with source.open(name) as stream:
        return bool(what.search(stream.read(_HEAD)))


def _take_out(source: zipfile.ZipFile, document: Path) -> int:
    """Write a text anew without its comments; returns their number."""
    count = 0
    changed: dict[str, bytes] = {}
    for entry in source.infolist():
        if _TEXTS.fullmatch(entry.filename) and entry.file_size <= _LONGEST:
            text = source.read(entry)
            found = [match[1] for match in _COMMENT.finditer(text)]
            count += sum(each not in _MARKS for each in found)
            if found:
                changed[entry.filename] = _COMMENT.sub(b"", text)
    if changed:
        made = document.with_suffix(".new")
        with zipfile.ZipFile(made, "w") as target:
            for entry in source.infolist():
                target.writestr(entry, changed.get(entry.filename) or source.read(entry))
        made.replace(document)
    return count
