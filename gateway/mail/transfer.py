"""Content-Transfer-Encodings (RFC 2045 section 6) and uuencode: decoded in windows, with a sharp eye for lost data.

A decoder tells what it could not trust as a *defect*, a clause such as ``its data is cut off``; "" means that every
byte is there. Text that mail servers hang behind the data (disclaimers, list footers) is no defect and is left off.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import TypeAlias

from gateway.mail.boundaries import PART_FIELD
from gateway.mail.buffer import Buffer

Write: TypeAlias = Callable[[bytes], object]

CUT_OFF = "its data is cut off"
DAMAGED = "its data was damaged on the way"
NOT_BASE64 = "its data is not what the mail says (base64)"

_WINDOW = 1 << 18  # bytes decoded at a time
_LINE = 40  # symbols that make a line of base64 too long to be a word of a footer
_WORD = 20  # characters a word of prose has at most on average
_GROUPS = 1000  # padded groups in one body; more are no encoder's work

_SYMBOLS = re.compile(rb"[A-Za-z0-9+/]*={0,2}")
_GROUP = re.compile(rb"([A-Za-z0-9+/]+)=*")
_BAD_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n|\r?\Z)")
_BEGIN = re.compile(rb"begin [0-7]{3,4} ([^\r\n]+)")
_NOTHING = re.compile(rb"(?:[ `\t\r]*\n)?end[ \t\r]*(?:\n|\Z)")  # of a file that is empty


def encoding(field: str) -> str:
    """The encoding a Content-Transfer-Encoding field means: base64, quoted-printable, uuencode, or "" for none.

    Survives comments, quotes, semicolons, blanks and upper case; an unknown word is taken as none, as mailers do.
    """
    word = re.sub(r"\([^()]*\)", "", field).lower()
    if "base64" in word or "base-64" in word:
        return "base64"
    if "quoted" in word:
        return "quoted-printable"
    if "uue" in word:
        return "uuencode"
    return ""


def decode(source: Buffer, start: int, end: int, how: str, write: Write, *, text: bool = False) -> str:
    """Decode ``source[start:end]`` into ``write``; returns the defect, "" when there is none.

    ``text`` may stand unencoded under a wrong label, as some mailers write it.
    """
    if how == "base64":
        return _base64(source, start, end, write, text=text)
    if how == "quoted-printable":
        return _quoted_printable(source, start, end, write, text=text)
    if how == "uuencode":
        return _uuencode(source, start, end, write)
    for position in range(start, end, _WINDOW):
        write(source[position : min(position + _WINDOW, end)])
    return ""


def whole(source: Buffer, start: int, end: int, how: str, *, text: bool = True) -> tuple[bytes, str]:
    """Decode into memory; returns the data and the defect."""
    chunks: list[bytes] = []
    defect = decode(source, start, end, how, chunks.append, text=text)
    return b"".join(chunks), defect


# --- base64 -----------------------------------------------------------------------------------------------------------


def _base64(source: Buffer, start: int, end: int, write: Write, *, text: bool) -> str:
    end = _without_trailing_blanks(source, start, end)
    position = start
    while position < end:
        stop = _window(source, position, end)
        data = _clean_base64(source[position:stop], last=stop == end)
        if data is None:
            return _base64_by_line(source, position, end, write, first=position == start, text=text)
        write(data)
        position = stop
    return ""


def _window(source: Buffer, position: int, end: int) -> int:
    """Where the window at ``position`` ends: behind a line, and the last one holds the whole tail."""
    if end - position < 2 * _WINDOW:
        return end
    stop = position + _WINDOW
    line = source.rfind(b"\n", position, stop) + 1
    return line or stop


def _clean_base64(window: bytes, *, last: bool) -> bytes | None:
    """Decode a window that holds nothing but whole groups and line ends; None when it needs a closer look."""
    if last and (b"\n\r\n" in window or b"\n\n" in window):
        return None  # there may be a footer behind a blank line that looks like data
    try:
        data = binascii.a2b_base64(window)
    except binascii.Error:
        return None
    symbols = len(window) - window.count(b"\n") * (2 if b"\r" in window else 1)  # a mixture does not add up
    padding = symbols and window.endswith(b"=") + window.endswith(b"==")
    # the decoder skips what is no symbol: then it made fewer bytes than there are characters for
    return data if symbols % 4 == 0 and len(data) == symbols // 4 * 3 - padding else None


def _base64_by_line(source: Buffer, start: int, end: int, write: Write, *, first: bool, text: bool) -> str:
    """The closer look: where does the data end, is foreign text behind it or in its middle, is a group short?"""
    stop, defect = _end_of_base64(source, start, end, unlabelled=first and text)
    if defect:
        return defect
    if stop == start and first:  # no data at all
        if not text:
            return NOT_BASE64
        write(source[start:end])
        return ""
    data = source[start:stop].translate(None, b" \t\r\n")
    for number, group in enumerate(_GROUP.finditer(data)):
        symbols = group[1]
        short = len(symbols) % 4
        if number == _GROUPS:
            return DAMAGED
        if short == 1:
            return CUT_OFF if group.end() == len(data) else DAMAGED
        decoded = binascii.a2b_base64(symbols + b"=" * (-short % 4))
        # Without padding, as some encoders do it, the last bits must be nothing: else more was to come.
        if group[0] == symbols and binascii.b2a_base64(decoded, newline=False).rstrip(b"=")[-4:] != symbols[-4:]:
            return CUT_OFF
        write(decoded)
    return ""


def _end_of_base64(source: Buffer, start: int, end: int, *, unlabelled: bool) -> tuple[int, str]:
    """Where the data ends, and the defect when foreign text stands in its middle.

    Data ends before the first line that is no base64, or already at the padding or the blank line before it when only
    short words stand between; behind padding and a blank line, words alone are foreign too. ``unlabelled``: it may be
    no base64 from the first line on.
    """
    position = start
    footer: int | None = None  # where a footer would begin: behind padding or a blank line
    padded = sealed = False  # padding was seen; and a blank line behind it
    foreign: int | None = None  # where foreign text certainly begins
    longest = 8
    while position < end:
        newline = source.find(b"\n", position, end)
        following = newline + 1 if newline >= 0 else end
        line = source[position:following].strip()
        if foreign is not None:
            if (len(line) >= _LINE and _SYMBOLS.fullmatch(line)) or PART_FIELD.match(line):
                return foreign, DAMAGED  # more data, or the beginning of another part
        elif not line:
            footer = following if footer is None else footer
            sealed = padded
        elif not _SYMBOLS.fullmatch(line):
            if footer is None and not _is_prose(line) and not (unlabelled and position == start and not _is_data(line)):
                return position, DAMAGED
            foreign = position if footer is None else footer
        elif line.endswith(b"="):
            footer, padded, sealed = following, True, False
        elif len(line) >= min(_LINE, longest):
            footer, padded, sealed = None, False, False
            longest = max(longest, len(line))
        position = following
    if foreign is None:
        foreign = footer if footer is not None and sealed else end
    return foreign, ""


def _is_data(line: bytes) -> bool:
    """Whether a line begins like one of base64, though there is more in it."""
    begin = _SYMBOLS.match(line)
    return begin is not None and begin.end() >= _LINE


def _is_prose(line: bytes) -> bool:
    """Whether a line is text that somebody added, rather than a line of base64 with a wrong character in it."""
    words = len(line.split())
    return not _SYMBOLS.fullmatch(line[:1]) or (words > 1 and len(line) < _WORD * words)


# --- the others -------------------------------------------------------------------------------------------------------


def _quoted_printable(source: Buffer, start: int, end: int, write: Write, *, text: bool) -> str:
    position = start
    defect = ""
    while position < end:
        stop = _window(source, position, end)
        if stop < end:
            escape = source.rfind(b"=", max(position, stop - 2), stop)
            stop = escape if escape > position and source[stop - 1 : stop] != b"\n" else stop
        window = source[position:stop]
        if not text and _BAD_ESCAPE.search(window):
            defect = DAMAGED
        write(binascii.a2b_qp(window))
        position = stop
    return defect


def _uuencode(source: Buffer, start: int, end: int, write: Write) -> str:
    begin = find_uuencode(source, start, end)
    if begin is None:
        return DAMAGED
    position = begin[2]
    out = bytearray()
    while position < end:
        newline = source.find(b"\n", position, end)
        following = newline + 1 if newline >= 0 else end
        line = source[position:following].rstrip(b"\r\n")
        position = following
        if line.rstrip() == b"end":
            write(bytes(out))
            return DAMAGED if PART_FIELD.search(source[position : min(end, position + _WINDOW)]) else ""
        if not line.strip(b" `"):
            continue
        data = _uu_line(line)
        if data is None:
            return DAMAGED
        out += data
        if len(out) > _WINDOW:
            write(bytes(out))
            out.clear()
    write(bytes(out))
    return CUT_OFF


def _uu_line(line: bytes) -> bytes | None:
    """One line of uuencode, None when it is none. Blanks at its end may have been stripped on the way."""
    size = (line[0] - 32) & 63
    symbols = (size + 2) // 3 * 4
    try:
        return binascii.a2b_uu(line[: symbols + 1])
    except binascii.Error:
        return None


def find_uuencode(source: Buffer, start: int, end: int) -> tuple[int, bytes, int] | None:
    """Find uuencoded data in text: the offset of its ``begin`` line, the name there, and the offset of its data.

    Prose with a line like "begin 100 mg daily" is told apart by the line behind it; a short one is data where an end follows.
    """
    position, last = start, source.rfind(b"\nend", start, end)
    while True:
        if position > start or source[position : position + 6] != b"begin ":
            position = source.find(b"\nbegin ", position, end) + 1
            if not position:
                return None
        newline = source.find(b"\n", position, end)
        if newline < 0:
            return None
        match = _BEGIN.match(source[position : min(newline, position + 500)])
        following = source.find(b"\n", newline + 1, end)
        line = source[newline + 1 : following if following >= 0 else end].rstrip(b"\r\n")
        behind = source[newline + 1 : min(end, newline + 100)]
        if match and (_looks_like_uuencode(line, is_whole=newline > last) or _NOTHING.match(behind)):
            return position, match[1].strip(), newline + 1
        position += 1


def _looks_like_uuencode(line: bytes, *, is_whole: bool) -> bool:
    """Whether this is a line of data, ``is_whole``: without a blank of its end lost on the way."""
    size = (line[0] - 32) & 63 if line else 0
    symbols = (size + 2) // 3 * 4
    return 0 < size <= 45 and symbols * is_whole < len(line) <= symbols + 2 and _uu_line(line) is not None


# --- is it all there? -------------------------------------------------------------------------------------------------


def _without_trailing_blanks(source: Buffer, start: int, end: int) -> int:
    while end > start:
        tail = source[max(start, end - 1024) : end]
        kept = len(tail.rstrip())
        end -= len(tail) - kept
        if kept:
            break
    return end


def ends_whole(source: Buffer, start: int, end: int, how: str) -> bool:
    """Whether a part without a boundary behind it ends like a whole one: by padding, or by its document's end mark."""
    end = _without_trailing_blanks(source, start, end)
    tail = source[max(start, end - 4096) : end]
    if how == "uuencode":
        return tail.endswith(b"\nend")
    if how == "base64":
        if tail.endswith(b"="):
            return True
        tail = tail.translate(None, b" \t\r\n")
        try:
            tail = binascii.a2b_base64(tail[len(tail) % 4 :])
        except binascii.Error:
            return False
    elif how == "quoted-printable":
        tail = binascii.a2b_qp(tail)
    # PDF, JPEG, PNG
    return b"%%EOF" in tail[-64:] or tail.endswith((b"\xff\xd9", b"IEND\xaeB`\x82"))
