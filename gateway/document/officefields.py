"""Fields of a text keep the words that they were saved with, as Word prints them: LibreOffice would work them out anew, knows
nothing of a choice (IF) and prints nothing for it, and takes its own copy for the file that a field names.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable
from pathlib import Path

from gateway.document import hidden_binary, hidden_xml, package, sniff
from gateway.document.compound import Compound, Damaged

# not those that count pages, are of today, or show nothing
_KEPT = (
    rb"(?:AUTHOR|COMMENTS|COMPARE|CREATEDATE|DOCPROPERTY|EDITTIME|FILENAME|FILLIN|IF|INFO|KEYWORDS|LASTSAVEDBY|NOTEREF|NUMCHARS"
    rb"|NUMWORDS|PRINTDATE|REF|REVNUM|SAVEDATE|STYLEREF|SUBJECT|TEMPLATE|TITLE|USERADDRESS|USERINITIALS|USERNAME)\b"
)
_UNKNOWN = rb"X"  # makes of the name of a field one that LibreOffice leaves alone
_IN_WORD = re.compile(  # the first words of a field behind its beginning, or of a simple one
    rb"(fldCharType=[\"']begin[\"'](?:(?!fldCharType=|<w:instrText\b[^<>]*>\s*\w).)*+<w:instrText\b[^<>]*>\s*"
    rb"|<w:fldSimple\b[^<>]*\bw:instr=[\"']\s*)(?=" + _KEPT + rb")",
    re.DOTALL | re.IGNORECASE,
)  # fmt: skip
_IN_RTF = re.compile(
    rb"(\\fldinst(?![a-z])(?:\s|[{}]|\\\*|\\(?!fldinst(?![a-z]))[a-z]++-?\d*+ ?)*+)(?=" + _KEPT + rb")", re.IGNORECASE
)
_OPEN = re.compile(rb"(<text:file-name\b)(?![^<>]*\btext:fixed=)")
# what of an OpenDocument is on paper alone, or on screens alone: LibreOffice makes a PDF as for a screen
_MEDIUM, _ON_PAPER = (
    re.compile(rb"(\bdraw:display=[\"'])(printer|screen)(?=[\"'])"),
    {b"printer": b"always", b"screen": b"none"},
)
# heads and feet of a sheet, which may name the folder that its file is in
_SHEETS = re.compile(r"xl/(?:work|chart)sheets/[^/]+\.xml")
_FOOT = re.compile(rb"<(?:\w+:)?(?:odd|even|first)(?:Header|Footer)>[^<]*&amp;Z[^<]*")
# a column of no width is printed all the same, unless it is hidden too
_NARROW = re.compile(rb"(<(?:\w+:)?col\b)(?=[^<>]*" + hidden_xml.NO_WIDTH + rb")(?![^<>]*\bhidden=)")
# a hidden sheet is printed all the same where it is the one that is shown first, as programs write it that hide the first, or has
# a print area; and any of Excel 2003 (SpreadsheetML), unless each of its rows is hidden
_SHOWN_FIRST = re.compile(
    rb"(<(?:\w+:)?workbookView\b[^<>]*?\s)activeTab=[\"'](\d{1,5})[\"']|(<(?:\w+:)?workbookView\b)"
)
_SHEET = re.compile(rb"<(?:\w+:)?sheet\s[^<>]*>")
# a run of Word 2003 in one XML with its properties, which may hide its words: LibreOffice prints them all the same; and what they
# were before they were changed
_FORMERLY = re.compile(
    rb"<aml:annotation\b[^<>]*\bw:type=\"Word\.Formatting\"[^<>]*(?<!/)>(?:(?!</?aml:annotation\b).)*+</aml:annotation\s*>",
    re.DOTALL,
)
_RUN_2003 = re.compile(
    rb"(<w:r\b[^<>]*>\s*<w:rPr>((?:(?!</?w:rPr>).)*+)</w:rPr>)(?:(?!</?w:r\b).)*+(?=</w:r>)", re.DOTALL
)
_VANISHED = re.compile(rb"<w:vanish(?: w:val=\"(?:on|1|true)\")? ?/>")
_HIDING_STYLE = re.compile(
    rb"<style:style\b(?=[^<>]*\bstyle:name=\"([^\"<>]*))[^<>]*>\s*<style:table-properties\b[^<>]*\btable:display=\"false\""
)
_TABLE, _TABLE_STYLE = re.compile(rb"<table:table\s[^<>]*>"), re.compile(rb"\btable:style-name=\"([^\"]*)")
_RANGES = re.compile(rb"\stable:print-ranges=\"[^\"]*\"")
_SHEET_2003_END = re.compile(rb"(</(?:\w+:)?Worksheet\s*>)")
_ROW_2003 = re.compile(rb"(<(?:\w+:)?Row\b)(?![^<>]*\bHidden=)")
_HIDDEN = re.compile(rb"\bstate\s*=\s*[\"'](?:veryH|h)idden[\"']")
# where the head of a text of Word 97 and later (MS-DOC) tells of tables of fields
_TABLES = (0x11A, 0x122, 0x12A, 0x21A, 0x262, 0x272)
_BEGINS, _CHOICE = 0x13, 7
_OLD_BOOK = "Workbook"  # the stream of a book of Excel 97 and later
_KEPT_OLD = {3, 10, 14, *range(15, 26), 27, 28, 29, 30, 39, 60, 61, 62, 72, 80, 85}  # those of above, by their numbers


def settle(document: Path, kind: str) -> None:
    """Write a text of an office ``kind`` anew so that its fields stay as they are. Raises OSError, and what zipfile does."""
    if kind == sniff.OFFICE:
        package.rewrite(document, _rule)
    elif rule := {sniff.RTF: _of_rtf, sniff.OFFICE_XML: _of_xml, sniff.OLE: _of_compound}.get(kind):
        data = document.read_bytes()
        if (kept := rule(data)) != data:
            document.write_bytes(kept)


def _rule(name: str) -> Callable[[bytes], bytes] | None:
    if package.TEXTS.fullmatch(name) or package.OPEN_TEXTS.fullmatch(name):
        return _of_xml
    if package.BOOK.fullmatch(name):
        return _of_book
    return _of_sheet if _SHEETS.fullmatch(name) else None


def _of_xml(text: bytes) -> bytes:
    kept = _IN_WORD.sub(rb"\1" + _UNKNOWN, text) if b"fldCharType" in text or b"<w:fldSimple" in text else text
    kept = _OPEN.sub(rb'\1 text:fixed="true"', kept)
    kept = _MEDIUM.sub(lambda said: said[1] + _ON_PAPER[said[2]], kept)
    if hidden_xml.SHEET_2003.search(kept):
        return _of_book_of_2003(kept)
    if package.WORD_2003 in kept:
        kept = _FORMERLY.sub(b"", kept)
        return _RUN_2003.sub(lambda run: run[1] if _VANISHED.search(run[2]) else run[0], kept)
    return _of_open_book(kept) if b"table:print-ranges" in kept else kept


def _of_book_of_2003(text: bytes) -> bytes:
    sheets = _SHEET_2003_END.split(text)
    return b"".join(
        _ROW_2003.sub(rb'\1 ss:Hidden="1"', each) if hidden_xml.SHEET_2003.search(each) else each for each in sheets
    )


def _of_open_book(text: bytes) -> bytes:
    hiding = set(_HIDING_STYLE.findall(text))

    def put(table: re.Match[bytes]) -> bytes:
        style = _TABLE_STYLE.search(table[0])
        return _RANGES.sub(b"", table[0]) if style and style[1] in hiding else table[0]

    return _TABLE.sub(put, text) if hiding else text


def _of_sheet(text: bytes) -> bytes:
    text = _NARROW.sub(rb'\1 hidden="1"', text)
    return _FOOT.sub(lambda foot: foot[0].replace(b"&amp;Z", b""), text)


def _of_book(text: bytes) -> bytes:
    shown = [number for number, sheet in enumerate(_SHEET.findall(text)) if not _HIDDEN.search(sheet)]

    def put(view: re.Match[bytes]) -> bytes:
        if not shown or int(view[2] or 0) in shown:
            return view[0]
        return (view[1] or view[3] + b" ") + b'activeTab="%d"' % shown[0]

    text = package.PRINT_AREA.sub(lambda area: area[0] if not shown or int(area[1]) in shown else b"", text)
    return _SHOWN_FIRST.sub(put, text)


def _of_rtf(text: bytes) -> bytes:
    return _IN_RTF.sub(rb"\1" + _UNKNOWN, text)


def _of_compound(data: bytes) -> bytes:
    changed = bytearray(data)
    with contextlib.suppress(Damaged, struct.error, IndexError, KeyError):  # LibreOffice is to judge it
        source = Compound(data)
        for at in hidden_binary.areas_of_hidden(source.read(_OLD_BOOK)):
            changed[source.place(_OLD_BOOK, at)] &= ~hidden_binary.BUILT_IN
        _keep_old_fields(source, changed)
    return bytes(changed)


def _keep_old_fields(source: Compound, changed: bytearray) -> None:
    """The table of fields of a text, its heads, notes and boxes says then that each is a choice, which LibreOffice leaves alone."""
    head, stream = source.text_of_word()
    if not head:
        return
    table = source.read(stream)
    for place in _TABLES:
        start, size = struct.unpack_from("<II", head, place)
        count = max(0, size - 4) // 6
        for at in range(start + 4 * (count + 1), start + 4 * (count + 1) + 2 * count, 2):
            if table[at] & 0x1F == _BEGINS and table[at + 1] in _KEPT_OLD:
                changed[source.place(stream, at + 1)] = _CHOICE
