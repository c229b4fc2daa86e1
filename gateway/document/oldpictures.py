"""The pictures in office documents that are no packages: in the records of the old kinds, in RTF, and in one XML."""

from __future__ import annotations

import binascii
import re
import struct
import zlib
from collections.abc import Iterator

from gateway.document import hidden_binary, sniff
from gateway.document.compound import Compound, Damaged

_STREAMS = ("Pictures", "Data", "WordDocument")  # of PowerPoint, and of Word
_BOOKS, _DRAWINGS, _GOES_ON = ("Workbook", "Book"), 0xEB, 0x3C  # streams of Excel, and records in them (MS-XLS)
# a record of a picture (MS-ODRAW, OfficeArtBlip): its version and instance, its type; then its length
_BLIP = re.compile(
    rb"(?:[\x40\x50]\x3d\x1a|[\x60\x70]\x21\x1b|[\xa0\xb0]\x46\x1d|[\x20\x30]\x6e\x1d|[\xa0\xb0]\x46\x2a|[\x20\x30]\x6e\x2a"
    rb"|[\x00\x10]\x6e\x1e|[\x80\x90]\x7a\x1f|[\x40\x50]\x6e\x29)\xf0"
)
_METAFILES = {0x1A: "emf", 0x1B: "wmf"}
_BITMAPS = {0x1D: "jpg", 0x2A: "jpg", 0x1E: "png", 0x1F: "dib", 0x29: "tif"}
_HEAD = 8  # bytes of a record's head
_SUM = 16  # bytes of a sum, of which there are one or two
_ABOUT = 34  # bytes of what is said of a metafile
_DEFLATED = b"\0"  # says the last but one of these
_LONGEST = 64 << 20  # bytes of a metafile
_PICTURE = re.compile(rb"(\\nonshppict\s*)?\{\s*\\pict(?![a-z])")  # the first is for programs that know no others
_TOKEN = re.compile(rb"\\bin(\d{1,9}) ?|\\([a-z]+)-?\d* ?|\\[^a-z]|[{}]|[^\\{}]+", re.DOTALL)
_KINDS = {b"pngblip": "png", b"jpegblip": "jpg", b"emfblip": "emf", b"wmetafile": "wmf", b"dibitmap": "dib"}
_IN_XML = re.compile(  # of OpenDocument, and of Word 2003 with its name
    rb"<draw:image\b[^<>]*>\s*<office:binary-data>([^<]*)|<w:binData\b[^<>]*\bw:name=\"[^\"]*?(\.\w+)\"[^<>]*>([^<]*)"
)


def found(document: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    """The pictures of a document of an office ``kind``, each with a name that says which it is, and of which kind."""
    each = {sniff.OLE: _in_compound, sniff.RTF: _in_rtf, sniff.OFFICE_XML: _in_xml}[kind](document)
    for number, (ending, data) in enumerate(each, 1):
        yield f"picture {number}{ending}", data


def _in_compound(document: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        source = Compound(document)
        for name in _STREAMS:
            yield from _blips(source.read(name))
        for name in _BOOKS:
            yield from _blips(_drawings(source.read(name)))
    except Damaged:  # LibreOffice is to judge it
        return


def _drawings(book: bytes) -> bytes:
    """What all sheets of a workbook have of drawings, which goes on from record to record."""
    pieces, is_drawing = [], False
    for _, kind, data in hidden_binary.records(book):
        is_drawing = kind == _DRAWINGS or (is_drawing and kind == _GOES_ON)
        if is_drawing:
            pieces.append(data)
    return b"".join(pieces)


def _blips(stream: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while record := _BLIP.search(stream, at):
        start = record.start()
        if len(stream) < start + _HEAD:
            return
        instance, kind, size = struct.unpack_from("<HBxI", stream, start)
        at = start + _HEAD + size
        data = stream[start + _HEAD + (_SUM * 2 if instance & 0x10 else _SUM) : at]
        if kind in _BITMAPS:
            yield f".{_BITMAPS[kind]}", data[1:]
        else:
            is_packed, metafile = data[_ABOUT - 2 : _ABOUT - 1] == _DEFLATED, data[_ABOUT:]
            yield f".{_METAFILES[kind]}", _inflated(metafile) if is_packed else metafile


def _inflated(data: bytes) -> bytes:
    """As far as there is something, which is missed in the metafile; b"" where it is damaged."""
    try:
        return zlib.decompressobj().decompress(data, _LONGEST)
    except zlib.error:
        return b""


def _in_rtf(document: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while group := _PICTURE.search(document, at):
        at, ending, pieces, depth = group.end(), "", [], 1
        while depth and (token := _TOKEN.match(document, at)):
            at, binary = token.end(), int(token[1] or 0)
            if token[0] in (b"{", b"}"):
                depth += 1 if token[0] == b"{" else -1
            elif depth == 1 and token[1]:
                pieces.append(document[at : at + binary].hex().encode())
            elif depth == 1 and token[2]:
                ending = f".{_KINDS[token[2]]}" if token[2] in _KINDS else ending
            elif depth == 1:
                pieces.append(token[0])
            at += binary
        if ending and not group[1] and (digits := b"".join(b"".join(pieces).split())):
            yield ending, _of_digits(digits)


def _of_digits(digits: bytes) -> bytes:
    """What they say, b"" where one of them is none."""
    try:
        return binascii.unhexlify(digits[: len(digits) // 2 * 2])
    except binascii.Error:
        return b""


def _in_xml(document: bytes) -> Iterator[tuple[str, bytes]]:
    for open_document, ending, word in _IN_XML.findall(document):
        try:
            data = binascii.a2b_base64(open_document or word)
        except binascii.Error:
            data = b""
        yield ending.decode(), data
