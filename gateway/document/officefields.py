"""Fields of a text keep the words that they were saved with, as Word prints them: LibreOffice would work them out anew, knows
nothing of a choice (IF) and prints nothing for it, and takes its own copy for the file that a field names.
"""

from __future__ import annotations

import contextlib
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from gateway.document import comments, package, sniff
from gateway.document.compound import Compound, Damaged

# not those that count pages, are of today, or show nothing
_KEPT = (
    rb"(?:AUTHOR|COMMENTS|COMPARE|CREATEDATE|DOCPROPERTY|EDITTIME|FILENAME|FILLIN|IF|INFO|KEYWORDS|LASTSAVEDBY|NOTEREF|NUMCHARS"
    rb"|NUMWORDS|PRINTDATE|REF|REVNUM|SAVEDATE|STYLEREF|SUBJECT|TEMPLATE|TITLE|USERADDRESS|USERINITIALS|USERNAME)\b"
)
_UNKNOWN = rb"X"  # makes of the name of a field one that LibreOffice leaves alone
_IN_WORD = re.compile(  # the first words of a field behind its beginning, or of a simple one
    rb"(fldCharType=[\"']begin[\"'](?:(?!fldCharType=|<w:instrText\b[^>]*>\s*\w).)*+<w:instrText\b[^>]*>\s*"
    rb"|<w:fldSimple\b[^>]*\bw:instr=[\"']\s*)(?=" + _KEPT + rb")",
    re.DOTALL | re.IGNORECASE,
)  # fmt: skip
_IN_RTF = re.compile(rb"(\\fldinst(?![a-z])(?:\s|[{}]|\\\*|\\[a-z]++-?\d*+ ?)*+)(?=" + _KEPT + rb")", re.IGNORECASE)
_OPEN = re.compile(rb"(<text:file-name\b)(?![^<>]*\btext:fixed=)")
# heads and feet of a sheet, which may name the folder that its file is in
_SHEETS, _FOOT = (
    re.compile(r"xl/(?:work|chart)sheets/[^/]+\.xml"),
    re.compile(rb"<(?:\w+:)?(?:odd|even|first)(?:Header|Footer)>[^<]*&amp;Z[^<]*"),
)
# the sheet that is shown first is printed, hidden or not, as programs write it that hide the first
_BOOK, _SHOWN_FIRST, _SHEET = (
    re.compile(r"xl/workbook\d*\.xml"),
    re.compile(rb"(<(?:\w+:)?workbookView\b[^<>]*?\s)activeTab=[\"'](\d{1,5})[\"']|(<(?:\w+:)?workbookView\b)"),
    re.compile(rb"<(?:\w+:)?sheet\s[^<>]*>"),
)
_HIDDEN = re.compile(rb"\bstate\s*=\s*[\"'](?:veryH|h)idden[\"']")
# of a text of Word 97 and later (MS-DOC): where its head tells of tables of fields, and which of the two streams has them
_TABLES, _WHICH, _HEAD = (0x11A, 0x122, 0x12A, 0x21A, 0x262, 0x272), 0x0B, 0x27A
_BEGINS, _CHOICE = 0x13, 7
_KEPT_OLD = {3, 10, 14, *range(15, 26), 27, 28, 29, 30, 39, 60, 61, 62, 72, 80, 85}  # those of above, by their numbers


def settle(document: Path, kind: str) -> None:
    """Write a text of an office ``kind`` anew so that its fields stay as they are. Raises OSError, and what zipfile does."""
    if kind == sniff.OFFICE:
        changed: dict[str, bytes] = {}
        with zipfile.ZipFile(document) as source:
            for entry in source.infolist():
                rule = _rule(entry.filename)
                if rule and entry.file_size <= comments.LONGEST:
                    data = source.read(entry)
                    if (kept := rule(data)) != data:
                        changed[entry.filename] = kept
        package.change(document, changed)
    elif rule := {sniff.RTF: _of_rtf, sniff.OFFICE_XML: _of_xml, sniff.OLE: _of_word}.get(kind):
        data = document.read_bytes()
        if (kept := rule(data)) != data:
            document.write_bytes(kept)


def _rule(name: str) -> Callable[[bytes], bytes] | None:
    if comments.TEXTS.fullmatch(name) or comments.OPEN_TEXTS.fullmatch(name):
        return _of_xml
    if _BOOK.fullmatch(name):
        return _of_book
    return _of_sheet if _SHEETS.fullmatch(name) else None


def _of_xml(text: bytes) -> bytes:
    kept = _IN_WORD.sub(rb"\1" + _UNKNOWN, text) if b"fldCharType" in text or b"<w:fldSimple" in text else text
    return _OPEN.sub(rb'\1 text:fixed="true"', kept)


def _of_sheet(text: bytes) -> bytes:
    return _FOOT.sub(lambda foot: foot[0].replace(b"&amp;Z", b""), text)


def _of_book(text: bytes) -> bytes:
    shown = [number for number, sheet in enumerate(_SHEET.findall(text)) if not _HIDDEN.search(sheet)]

    def put(view: re.Match[bytes]) -> bytes:
        if not shown or int(view[2] or 0) in shown:
            return view[0]
        return (view[1] or view[3] + b" ") + b'activeTab="%d"' % shown[0]

    return _SHOWN_FIRST.sub(put, text)


def _of_rtf(text: bytes) -> bytes:
    return _IN_RTF.sub(rb"\1" + _UNKNOWN, text)


def _of_word(data: bytes) -> bytes:
    """The table of fields of a text, its heads, notes and boxes says then that each is a choice, which LibreOffice leaves alone."""
    changed = bytearray(data)
    with contextlib.suppress(Damaged, struct.error, IndexError, KeyError):  # LibreOffice is to judge it
        source = Compound(data)
        head = source.read(comments.TEXT)[:_HEAD]
        if len(head) < _HEAD or struct.unpack_from("<H", head, comments.VERSION)[0] < comments.WORD_97:
            return data
        stream = "1Table" if head[_WHICH] & 2 else "0Table"
        table = source.read(stream)
        for place in _TABLES:
            start, size = struct.unpack_from("<II", head, place)
            count = max(0, size - 4) // 6
            for at in range(start + 4 * (count + 1), start + 4 * (count + 1) + 2 * count, 2):
                if table[at] & 0x1F == _BEGINS and table[at + 1] in _KEPT_OLD:
                    changed[source.place(stream, at + 1)] = _CHOICE
    return bytes(changed)
