"""Comments are taken out of an office document: they are not printed, a LibreOffice without its windows opens no text with them, and
of a table it would print those that are shown, over the cells behind them.

Nor does it open a sheet of labels while they are to be kept alike.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

from gateway.document import hidden_binary, package, sniff
from gateway.document.compound import WORD, Compound

_SETTINGS = "settings.xml"
_COMMENT = re.compile(  # of Word, and of OpenDocument; what marks to which words it belongs
    rb"<office(?:ooo)?:annotation(?![\w-])(?:[^<>]*/>|(?:(?!</?office(?:ooo)?:annotation(?![\w-])).)*+</office(?:ooo)?:annotation\s*>)"
    rb"|<(w:comment(?:Reference|RangeStart|RangeEnd)|office:annotation-end)(?![\w-])[^<>]*(?:(?<=/)>|(?<!/)>\s*</\1\s*>)",
    re.DOTALL,
)
# of Excel, whose sheets refer to theirs
_RELATIONS = re.compile(r"xl/worksheets/_rels/[^/]+\.rels")
_OF_SHEET = re.compile(rb"<(?:\w+:)?Relationship\b[^<>]*/comments[\"'][^<>]*/>")
_BOOK = "Workbook"  # a stream
_MARKS = (b"w:commentRangeStart", b"w:commentRangeEnd", b"office:annotation-end")  # which come beside a comment
_KEPT_ALIKE = re.compile(rb'("IsLabelDocument"[^<>]*>)true')
_GROUP = re.compile(rb"\\bin(\d{1,9}) ?|\\[^a-z]|\{\s*\\\*\s*\\(annotation|atrfstart|atrfend)(?![a-z])|[{}]", re.DOTALL)
# of the head of a Word text (MS-DOC, Fib): how long the tables of comments and of their texts are, and bytes of each place
_PLACES, _TEXTS_OF_COMMENTS, _PLACE = 0xBE, 0xC6, 34


def take_out(document: Path, kind: str) -> int:
    """Write a document of an office ``kind`` anew without its comments; returns the number of those of a text.

    Raises OSError, struct.error, and what zipfile and Compound do.
    """
    if kind == sniff.OFFICE:
        return _of_package(document)
    rules = {sniff.OLE: _of_compound, sniff.RTF: _of_rtf, sniff.OFFICE_XML: _of_xml}
    data = document.read_bytes()
    changed, count = rules[kind](data)
    if changed != data:
        document.write_bytes(changed)
    return count


def _of_package(document: Path) -> int:
    counts: list[int] = []

    def without(text: bytes) -> bytes:
        changed, count = _of_xml(text)
        counts.append(count)
        return changed

    def rule(name: str) -> Callable[[bytes], bytes] | None:
        if package.TEXTS.fullmatch(name) or name == _SETTINGS:
            return without
        return _unrelated if _RELATIONS.fullmatch(name) else None

    package.rewrite(document, rule)
    return sum(counts)


def _unrelated(relations: bytes) -> bytes:
    return _OF_SHEET.sub(b"", relations)


def _of_xml(text: bytes) -> tuple[bytes, int]:
    count = 0

    def put(found: re.Match[bytes]) -> bytes:
        nonlocal count
        count += found[1] not in _MARKS
        return b""

    return _KEPT_ALIKE.sub(rb"\1false", _COMMENT.sub(put, text)), count


def _of_compound(data: bytes) -> tuple[bytes, int]:
    source = Compound(data)
    return (_of_book if source.read(_BOOK) else _of_word)(source, data)


def _of_book(source: Compound, data: bytes) -> tuple[bytes, int]:
    """None is shown then."""
    changed = bytearray(data)
    for at in hidden_binary.shown_comments(source.read(_BOOK)):
        changed[source.place(_BOOK, at)] &= ~hidden_binary.COMMENT_IS_SHOWN
    return bytes(changed), 0


def _of_word(source: Compound, data: bytes) -> tuple[bytes, int]:
    """Its head says then that there are none."""
    head, _ = source.text_of_word()
    if not head:
        return data, 0
    count = max(0, struct.unpack_from("<I", head, _PLACES)[0] - 4) // _PLACE
    changed = bytearray(data)
    for field in (_PLACES, _TEXTS_OF_COMMENTS):
        for byte in range(field, field + 4):
            changed[source.place(WORD, byte)] = 0
    return bytes(changed), count


def _of_rtf(data: bytes) -> tuple[bytes, int]:
    """Without the groups of comments, and the marks of where they belong."""
    kept: list[bytes] = []
    count = depth = start = 0  # depth within such a group, start of what is kept
    position = 0
    if b"\\annotation" not in data:  # the usual case, at little cost
        return data, 0
    while token := _GROUP.search(data, position):
        position = token.end()
        if token[1]:
            position += int(token[1])
        elif token[2] and not depth:
            kept.append(data[start : token.start()])
            count += token[2] == b"annotation"
            depth = 1
        elif depth and token[0].startswith(b"{"):
            depth += 1
        elif depth and token[0] == b"}":
            depth -= 1
            start = position
    return (data, 0) if depth else (b"".join(kept) + data[start:], count)
