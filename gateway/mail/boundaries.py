"""The lines that part a multipart (RFC 2046 section 5.1.1), found where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import chain

from gateway.mail import buffer
from gateway.mail.buffer import Buffer
from gateway.mail.parameters import without_comment

PART_FIELD = re.compile(rb"^content-(?:type|transfer-encoding|disposition)[ \t]*:", re.MULTILINE | re.IGNORECASE)
_LONGEST_FIELD = 40  # bytes of its name
_GUESS = 65_536  # bytes of a damaged multipart that are searched for its boundary

# parts that stand in what is labelled a text; a sentence for programs that know no parts may stand before them
_UNSAID = re.compile(
    rb"\s*+(?:[^\r\n]*(?:MIME|multi-?part)[^\r\n]*\r?\n\s*)?--(-*[^\s-]\S{0,199})[ \t]*\r?\nContent-[a-z-]+[ \t]*:",
    re.IGNORECASE,
)
_SOON = 1024  # bytes in which they begin

_PART = re.compile(rb"^--\S.*\nContent-(?:type|transfer-encoding|disposition)[ \t]*:", re.MULTILINE | re.IGNORECASE)
# of a part whose boundary line is lost or damaged: its header, where no field of the whole has slipped into the body, and a text
_HEADER = re.compile(
    rb"^Content-type[ \t]*:[ \t]*+(?!multipart/).*\n(?:[!-9;-~]++[ \t]*:.*\n|[ \t].*\n)*+", re.MULTILINE | re.IGNORECASE
)
_BODY = re.compile(rb"\r?\n\s*+(?!--)\S")
_DASHED = re.compile(rb"^--([^\s]{2,200})[ \t]*\r?$", re.MULTILINE)


def spans(source: Buffer, start: int, end: int, said: str, most: int) -> list[tuple[int, int, bool]]:
    """Where the parts between the boundary lines lie, and whether a boundary line ends them.

    ``said``: the boundary as the mail names it; where there is none such, one is guessed. No more than one more part than
    ``most`` is looked for. Parts behind the closing line are found too: no page is lost to a wrong line.
    """
    for boundary in dict.fromkeys((said, without_comment(said))):
        if found := _between(source, start, end, boundary.encode(), most):
            return found
    return _between(source, start, end, _guessed(source, start, end), most)


def unsaid(source: Buffer, start: int, end: int) -> str:
    """The boundary of a body that is made of parts, though nothing in its header says so; "" where it is a text."""
    found = _UNSAID.match(source[start : min(end, start + _SOON)])
    return found[1].decode("latin-1") if found and found[1].isascii() else ""


def begins_with_fields(source: Buffer, start: int, end: int) -> bool:
    """Whether there are such fields right at ``start``."""
    return bool(PART_FIELD.match(source[start : min(start + _LONGEST_FIELD, end)]))


def loses_parts(source: Buffer, start: int, end: int, spans: Sequence[tuple[int, int, bool]]) -> bool:
    """Whether there are parts that are in none of the ``spans``: where there is none, fields as parts have them."""
    if not spans:
        return bool(PART_FIELD.search(source[start : min(start + _GUESS, end)]))
    stops = [start, *(stop for _, stop, _ in spans)]
    gaps = zip(stops, [*(at for at, _, _ in spans), end], strict=True)
    blocks = (source[stop : min(at, stop + _GUESS)] for stop, at in gaps)
    return any(_PART.search(block) or _holds_headed(block) for block in blocks)


def _holds_headed(block: bytes) -> bool:
    return any(_BODY.match(block, header.end()) for header in _HEADER.finditer(block))


def _between(source: Buffer, start: int, end: int, boundary: bytes, most: int) -> list[tuple[int, int, bool]]:
    found: list[tuple[int, int, bool]] = []
    opened: int | None = None
    for at, following, closing in _boundary_lines(source, start, end, b"--" + boundary) if boundary else ():
        if opened is not None:
            found.append((opened, max(opened, _before_line(source, at)), True))
        opened = None if closing else following
        if len(found) > most:
            return found  # refused when they are walked
    if opened is not None:
        found.append((opened, end, False))
    return found


def _boundary_lines(source: Buffer, start: int, end: int, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Offset, offset of the line behind, and whether it is the closing one, of each boundary line."""
    first = [start] if source[start : start + len(delimiter)] == delimiter else []
    others = (found + 1 for found in buffer.find_all(source, b"\n" + delimiter, start, end))
    for at in merge(chain(first, others), _glued(source, start, end, delimiter)):
        behind = at + len(delimiter)
        if behind < end and source[behind] not in b" \t\r\n-":
            continue  # a longer boundary that starts the same, or text: there may be a million of them
        line_end = source.find(b"\n", at, end)
        following = line_end + 1 if line_end >= 0 else end
        rest = source[behind : min(following, behind + 100)].strip(b" \t\r\n")
        if rest in (b"", b"--"):
            yield at, following, rest == b"--"


def _glued(source: Buffer, start: int, end: int, delimiter: bytes) -> Iterator[int]:
    """Offsets of those that stand behind text, as programs write them that forget to end its last line."""
    tail = source[max(start, end - _SOON) : end].rstrip()
    last = len(tail) - len(delimiter) - 2
    closing = [max(start, end - _SOON) + last] if tail.endswith(delimiter + b"--") else []
    for at in chain(buffer.find_all(source, delimiter + b"\r\nContent-", start, end), closing):
        if source[max(start, at - 1) : at] not in (b"", b"\n", b"-"):
            yield at


def _before_line(source: Buffer, at: int) -> int:
    """The end of the text before a boundary line: its line end belongs to the boundary."""
    if source[at - 1 : at] != b"\n":
        return at
    if source[at - 2 : at] == b"\r\n":
        return at - 2
    return at - 1


def _guessed(source: Buffer, start: int, end: int) -> bytes:
    """The boundary of a multipart that names none or a wrong one: its first line of dashes and a word behind it."""
    block = source[start : min(end, start + _GUESS)]
    match = _DASHED.search(block)
    return match[1] if match and PART_FIELD.search(block, match.end()) else b""
