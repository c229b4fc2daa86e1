"""What of an office document is on no page: what is hidden in it, lies elsewhere or is a comment, perhaps formulas."""

from __future__ import annotations

import contextlib
import html
import posixpath
import re
import struct
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from xml.parsers import expat

from gateway.document import comments, hidden_binary, hidden_xml, officeshapes, package, progress, sniff
from gateway.document.compound import Compound, Damaged

_HIDDEN_SLIDE = re.compile(rb"<(?:\w+:)?sld\b[^<>]*\bshow\s*=\s*[\"'](?:0|false)[\"']")
_HIDDEN_SHEET = re.compile(rb"<(?:\w+:)?sheet\b[^<>]*\bstate\s*=\s*[\"'](?:veryH|h)idden[\"']")
# and whether it is hidden
_SHEET_PLACE = re.compile(
    rb"<(?:\w+:)?sheet\b(?=[^<>]*\br:id=\"([^\"]+))(?=([^<>]*\bstate\s*=\s*[\"'](?:veryH|h)idden)?)"
)
_SHEET = re.compile(r"xl/worksheets/[^/]+\.xml")
# where a sheet's head or foot has a picture, a letterhead say, which LibreOffice leaves out
_HEAD_PICTURE = re.compile(rb"<(?:\w+:)?(?:odd|even|first)(?:Header|Footer)>[^<]*&amp;G")
# a cell that is nothing but a picture, as Excel has them since 2023; others show an error there
_CELL_PICTURES = "xl/richData/richValueRel.xml"
_CELL_PICTURE = re.compile(rb"<(?:\w+:)?c\b(?=[^<>]*\bvm=\")(?=[^<>]*\bt=\"e\")[^<>]*>")
_REMARKS, _REMARK = re.compile(r"(?:xl|ppt)/comments[^.]*\.xml"), re.compile(rb"<(?:\w+:)?(?:comment|cm)\s")
# of Word, of Excel
_COMMENT_2003 = re.compile(rb"<aml:annotation\b[^<>]*\bw:type=\"Word\.Comment\"|<(?:ss:)?Comment[ >]")
_NOTES = re.compile(r"ppt/notesSlides/[^/]+\.xml")
_MARGIN = re.compile(rb"<p:ph\b[^<>]*\btype=\"(?:hdr|ftr|dt|sldNum)\"")
_BINARY_SHEETS = "xl/workbook.bin"
_OPEN_DOCUMENT = "content.xml"
_PAGES = re.compile(r"(?:word|(?i:ppt/slides)|xl/drawings)/[^/]+\.xml|content\.xml")
_LINKED = re.compile(  # a picture that lies elsewhere
    rb"<(?:\w+:)?(?:blip(?=[^<>]*\br:link=)(?![^<>]*\br:embed=)|imagedata(?=[^<>]*\br:href=)(?![^<>]*\br:id=))[^<>]*>"
    rb"|<draw:image(?=[^<>]*\bxlink:href=[\"'](?:https?:|file:|\.\./))[^<>]*>"
)
_VANISHED = re.compile(  # words that are hidden: in Word with text behind what says so, in OpenDocument by a style made for them
    rb"<w:rPr>(?:(?!</?w:rPr>|<w:vanish(?: w:val=\"(?:1|true|on)\")? ?/>).)*+<w:vanish(?: w:val=\"(?:1|true|on)\")? ?/>"
    rb"(?:(?!</?w:rPr>).)*+(?:<w:rPr>(?:(?!</?w:rPr>).)*+</w:rPr>(?:(?!</?w:rPr>).)*+)?+"  # which they were before
    rb"</w:rPr>(?:<w:[a-z]+/>)*+<w:t[ >]"
    rb"|<style:text-properties\b[^<>]*\btext:display=\"none\""
    rb"|<text:section\b[^<>]*\btext:display=\"none\"", re.DOTALL,
)  # fmt: skip
_EQUATION = re.compile(  # a field of Word for fractions and circled signs; LibreOffice knows those for ruby and for two lines in one
    rb"<w:instrText\b[^<>]*>\s*EQ\s+\\(?!\*\s*jc|o\s*\(\s*\\s\\up)", re.IGNORECASE
)
_OBJECT = re.compile(  # of another program, without the picture that stands for it
    rb"<w:object\b(?:(?!</?w:object\b|imagedata\b|:blip\b|<w:control\b).)*+</w:object>", re.DOTALL
)
_PART_ELSEWHERE = re.compile(rb"<w:subDoc\b")  # a text of its own
_LINKED_IN_XML = re.compile(rb"<draw:image(?=[^<>]*\bxlink:href=[\"'][^#\"'])[^<>]*/>")
_LINKED_IN_RTF = re.compile(rb"\bINCLUDEPICTURE\b[^{}]*\\\\d\b")  # and not kept within
_HIDDEN_IN_RTF = re.compile(  # words behind what hides them, but not the name of such a style
    rb"\\v(?![a-z0-9])[ \r\n]*+(?:\\(?!v0|v(?![a-z])|plain|u-?\d)[a-z]++-?+\d*+[ \r\n]*+)*+"
    rb"(?:[^\\{}\s]|\\'|\\u-?\d)[^\\{}]*+(?<!;)[\\{}]"
)
_HIDDEN_IN_OLD_WORD = b"\x3c\x08\x01"  # says among the properties of letters (sprmCFVanish, MS-DOC 2.6.1) that they are
_NEW_CHART = re.compile(r"(?:word|ppt|xl)/charts/chartEx\d*\.xml")  # which LibreOffice does not draw
_DIAGRAM, _RUN = re.compile(r"(?:word|ppt|xl)/diagrams/data[^/]*\.xml"), re.compile(rb"<(?:\w+:)?t>([^<]+)<")
_DRAWN = re.compile(r"ppt/slides/[^/]+\.xml|xl/drawings/[^/]+\.xml")
_FORMULA = re.compile(rb"<a14:m\b(?:(?!</?a14:m\b).)*+</a14:m>", re.DOTALL)
_RELATIONS = re.compile(r"word/_rels/[^/]+\.rels")
_BOOKS, _SHOW, _EDITED = ("Workbook", "Book"), "PowerPoint Document", "Current User"  # streams
# what zipfile says of an archive that is damaged, locked or of a newer kind: LibreOffice is to judge it
DAMAGED = (
    zipfile.BadZipFile, zlib.error, ValueError, LookupError, NotImplementedError, RuntimeError, EOFError, Damaged, struct.error,
    expat.ExpatError,
)  # fmt: skip


def left_out(document: Path, kind: str) -> Iterator[str]:
    """Say of a document of an office ``kind`` what is on no page of it; comments are taken out, and shapes that are not to be seen.
    Raises OSError.
    """
    found: Counter[str] = Counter()
    with contextlib.suppress(*DAMAGED):
        found += _HIDDEN[kind](document)
    with contextlib.suppress(*DAMAGED):
        found += Counter(comment=comments.take_out(document, kind))
    if kind == sniff.OFFICE:
        with contextlib.suppress(*DAMAGED):
            found += officeshapes.take_out(document)
    for what, count in found.items():
        yield f"without {progress.the(count, what)}"


def undrawn(document: Path, printed: Iterable[str]) -> Iterator[str]:
    """Say of the diagrams (SmartArt) of a document, and of the formulas on its slides, which have no word on its pages as they are
    ``printed``: LibreOffice draws those alone that bring their drawing along, and these not in each of its versions. Raises OSError.
    """
    found: dict[str, list[set[str]]] = {"SmartArt drawing": [], "formula": []}
    with contextlib.suppress(*DAMAGED), zipfile.ZipFile(document) as source:
        for name in source.namelist():
            if _DIAGRAM.fullmatch(name):
                found["SmartArt drawing"].append(_words(package.read(source, name)))
            elif _DRAWN.fullmatch(name):
                formulas = map(_words, _FORMULA.findall(package.read(source, name)))
                found["formula"] += [{max(words, key=len)} for words in formulas if words]
    if not any(map(any, found.values())):
        return
    shown = _joined("".join(printed))
    for what, all_of_them in found.items():
        if lost := sum(bool(words) and not any(each in shown for each in words) for words in all_of_them):
            yield f"without {progress.the(lost, what)}"


def _words(text: bytes) -> set[str]:
    """The pieces of text."""
    return {_joined(html.unescape(each.decode("utf-8", "ignore"))) for each in _RUN.findall(text)} - {""}


def _joined(words: str) -> str:
    return "".join(unicodedata.normalize("NFKC", words).split()).casefold()


def has_formulas(document: Path) -> bool:
    """Whether there is a formula in a text of Word. Raises OSError."""
    with contextlib.suppress(*DAMAGED), zipfile.ZipFile(document) as source:
        names = filter(package.TEXTS.fullmatch, source.namelist())
        return any(b"<m:oMath" in package.read(source, name) for name in names)
    return False


def has_insertions(document: Path) -> bool:
    """Whether a text of Word has texts of another kind inserted, HTML say, of which LibreOffice prints nothing. Raises OSError."""
    with contextlib.suppress(*DAMAGED), zipfile.ZipFile(document) as source:
        for name in filter(_RELATIONS.fullmatch, source.namelist()):
            for _, what, target in package.relations(source, name):
                is_chunk = what.endswith("/aFChunk") and target in source.namelist()
                if is_chunk and not package.read(source, target).startswith(b"PK"):
                    return True
    return False


def _in_package(document: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    with zipfile.ZipFile(document) as source:
        printed, names = _printed(source), set(source.namelist())
        for name in source.namelist():
            if _PAGES.fullmatch(name):
                page = package.read(source, name)
                found["linked picture"] += len(_LINKED.findall(page))
                found["hidden text"] += bool(_VANISHED.search(page))
                found["embedded object"] += len(_OBJECT.findall(page))
                found["linked document"] += len(_PART_ELSEWHERE.findall(page))
                found["equation field"] += len(_EQUATION.findall(page))
                found["hidden slide"] += bool(_HIDDEN_SLIDE.search(page))
                if name == _OPEN_DOCUMENT:
                    found += hidden_xml.of_open_document(page)
            found["Office 2016 chart"] += bool(_NEW_CHART.fullmatch(name))
            if package.BOOK.fullmatch(name):
                found["hidden sheet"] += len(_HIDDEN_SHEET.findall(package.read(source, name)))
            elif name == _BINARY_SHEETS:
                found["hidden sheet"] += hidden_binary.sheets_of_2007(package.read(source, name))
            elif _REMARKS.fullmatch(name):
                found["comment"] += len(_REMARK.findall(package.read(source, name)))
            elif _NOTES.fullmatch(name):
                shapes = package.read(source, name).split(b"</p:sp>")
                found["speaker note"] += any(
                    b"".join(_RUN.findall(each)).strip() and not _MARGIN.search(each) for each in shapes
                )
            elif _SHEET.fullmatch(name):
                sheet = package.read(source, name)
                found += hidden_xml.of_sheet(sheet, printed.get(name, ""))
                found["header or footer picture"] += len(_HEAD_PICTURE.findall(sheet))
                if _CELL_PICTURES in names:
                    found["cell picture"] += len(_CELL_PICTURE.findall(sheet))
    return found


def _printed(book: zipfile.ZipFile) -> dict[str, str]:
    """What is to be printed of sheets of Excel of which that is not all, by their names in the package."""
    sheets = next(filter(package.BOOK.fullmatch, book.namelist()), "")
    named = f"xl/_rels/{posixpath.basename(sheets)}.rels"
    if named not in book.namelist():
        return {}
    text = package.read(book, sheets)
    targets = {number: target for number, _, target in package.relations(book, named)}
    names = ["" if hidden else targets.get(each.decode(), "") for each, hidden in _SHEET_PLACE.findall(text)]
    areas = (
        (int(number), html.unescape(area.decode("utf-8", "ignore")))
        for number, area in package.PRINT_AREA.findall(text)
    )
    return {names[number]: area for number, area in areas if area and number < len(names)}


def _in_xml(document: Path) -> Counter[str]:
    text = document.read_bytes()
    found = Counter(
        {
            "linked picture": len(_LINKED_IN_XML.findall(text)),
            "hidden sheet": len(hidden_xml.SHEET_2003.findall(text)),
            "comment": len(_COMMENT_2003.findall(text)),
            "hidden text": bool(_VANISHED.search(text)),
        }
    )
    return hidden_xml.of_open_document(text) + hidden_xml.of_book_of_2003(text) + found


def _in_rtf(document: Path) -> Counter[str]:
    text = document.read_bytes()
    return Counter(
        {"linked picture": len(_LINKED_IN_RTF.findall(text)), "hidden text": bool(_HIDDEN_IN_RTF.search(text))}
    )


def _in_compound(document: Path) -> Counter[str]:
    source = Compound(document.read_bytes())
    found = Counter(
        {
            "hidden slide": hidden_binary.slides(source.read(_SHOW), source.read(_EDITED)),
            "hidden text": any(_HIDDEN_IN_OLD_WORD in each for each in source.letters_of_word()),
        }
    )
    for name in _BOOKS:
        found += hidden_binary.of_book(source.read(name))
    return found


_HIDDEN: dict[str, Callable[[Path], Counter[str]]] = {
    sniff.OFFICE: _in_package, sniff.OFFICE_XML: _in_xml, sniff.OLE: _in_compound, sniff.RTF: _in_rtf,
}  # fmt: skip
