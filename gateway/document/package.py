"""Office documents of today are ZIP packages of files, or such a package as one XML."""

from __future__ import annotations

import binascii
import contextlib
import html
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote
from xml.parsers import expat

from gateway.document.refusal import Unfaxable

LONGEST = 64 << 20  # bytes of a file in one that are looked through
TEXTS = re.compile(r"word/(?!comments)[^/]+\.xml|content\.xml")  # also heads and feet, by whatever names
OPEN_TEXTS = re.compile(r"(?:content|styles)\.xml")  # of OpenDocument, with heads and feet
BOOK = re.compile(r"xl/workbook\d*\.xml")  # Excel on the web gives its files numbers
# of a sheet in one, by its number there: what of it is printed
PRINT_AREA = re.compile(
    rb"<(?:\w+:)?definedName\b(?=[^<>]*\bname=\"_xlnm\.Print_Area\")(?=[^<>]*\blocalSheetId=\"(\d{1,5})\")[^<>]*>([^<]*)</[^<>]*>"
)
WORD_2003 = b"office/word/2003/wordml"  # says a text of Word that is one XML
_RELATION = re.compile(rb"<(?:\w+:)?Relationship\b[^<>]*>")
_SAID = re.compile(rb"\b(Id|Type|Target|TargetMode)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
# of one XML ("Flat OPC"), as Word and PowerPoint write it
_ROOT, _START = re.compile(rb"<pkg:package\b"), 2048
_PART = re.compile(
    rb"<pkg:part\b([^<>]*)>\s*(?:<pkg:xmlData\b[^<>]*>((?:(?!</?pkg:xmlData\b).)*+)</pkg:xmlData>|<pkg:binaryData\b[^<>]*>([^<]*)<)",
    re.DOTALL,
)
_NAME, _TYPE = re.compile(rb'pkg:name="/([^"]+)"'), re.compile(rb'pkg:contentType="([^"]+)"')
# LibreOffice may know the coding, and all of it stands before what is behind its end
_HARMLESS = [
    expat.errors.codes[each]
    for each in (expat.errors.XML_ERROR_UNKNOWN_ENCODING, expat.errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT)
]
_RELATIONS = "application/vnd.openxmlformats-package.relationships+xml"
_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    f'<Default Extension="rels" ContentType="{_RELATIONS}"/>%s</Types>'
)


def of_one_xml(document: Path, name: str) -> Path | None:
    """The package that such an XML stands for, written beside it; None of any other XML. Raises OSError, and
    Unfaxable, naming it by ``name``, where it is no XML or breaks off: LibreOffice might make a blank page of it.

    What is damaged in it is empty, and so judged with the rest of the package.
    """
    text = document.read_bytes()
    _check(text, name)
    if not _ROOT.search(text, 0, _START):
        return None
    made, types = document.with_suffix(".docx"), ""
    with zipfile.ZipFile(made, "w") as target:
        for head, xml, digits in _PART.findall(text):
            place, kind = _NAME.search(head), _TYPE.search(head)
            data = xml
            with contextlib.suppress(binascii.Error):
                data = xml or binascii.a2b_base64(digits)
            if place and kind:
                called = place[1].decode("utf-8", "replace")
                target.writestr(called, data)
                if not called.endswith(".rels"):
                    types += f'<Override PartName="/{called}" ContentType="{kind[1].decode("utf-8", "replace")}"/>'
        target.writestr("[Content_Types].xml", _TYPES % types)
    return made


def read(source: zipfile.ZipFile, name: str) -> bytes:
    """A file of a package, as much of it as is looked through. Raises what zipfile does."""
    with source.open(name) as stream:
        return stream.read(LONGEST)


def relations(source: zipfile.ZipFile, name: str) -> Iterator[tuple[str, str, str]]:
    """What a file of a package refers to, by its list ``name`` (``word/_rels/document.xml.rels``): the id, the kind, and the name in the
    package, "" of what lies elsewhere. Raises what zipfile does.
    """
    folder = posixpath.dirname(posixpath.dirname(name))
    for relation in _RELATION.findall(read(source, name)):
        said = {
            key: html.unescape((one or other).decode("utf-8", "replace")) for key, one, other in _SAID.findall(relation)
        }
        place = "" if said.get(b"TargetMode") == "External" else unquote(said.get(b"Target", ""))
        target = place and posixpath.normpath(posixpath.join("/" + folder, place)).lstrip("/")
        yield said.get(b"Id", ""), said.get(b"Type", ""), target


def rewrite(document: Path, rule_of: Callable[[str], Callable[[bytes], bytes] | None]) -> None:
    """Write a package anew with what becomes of its files by the rules that ``rule_of`` has for their names, but for the longest.
    Raises OSError, and what zipfile does.
    """
    changed: dict[str, bytes] = {}
    with zipfile.ZipFile(document) as source:
        for entry in source.infolist():
            if (rule := rule_of(entry.filename)) and entry.file_size <= LONGEST:
                data = source.read(entry)
                if (made := rule(data)) != data:
                    changed[entry.filename] = made
    change(document, changed)


def change(document: Path, changed: Mapping[str, bytes]) -> None:
    """Write a package anew with this content of some of its files. Raises OSError, and what zipfile does."""
    if not changed:
        return
    made = document.with_suffix(".new")
    with zipfile.ZipFile(document) as source, zipfile.ZipFile(made, "w") as target:
        for entry in source.infolist():
            target.writestr(entry, changed[entry.filename] if entry.filename in changed else source.read(entry))
    made.replace(document)


def _check(xml: bytes, name: str) -> None:
    parser = expat.ParserCreate()
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        if error.code not in _HARMLESS:
            raise Unfaxable(f"{name} is a damaged office document; send it again", str(error)) from error
    except (ValueError, LookupError):  # of a coding that is not known here
        pass
