"""The Rich Text of Outlook's mails: unpacked (MS-OXRTFCP), read as plain text (RTF 1.9), and as the HTML it was made of
(MS-OXRTFEX).
"""

from __future__ import annotations

import codecs
import html
import re
import struct
from dataclasses import dataclass, replace

MOST = 2 << 20  # bytes of an unpacked text
_DEEPEST = 500  # groups in groups

_PACKED, _STORED = b"LZFu", b"MELA"
_START = (  # what the dictionary holds before the first byte, MS-OXRTFCP section 2.1.3.1
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript \fdecor MS Sans SerifSymbol"
    rb"ArialTimes New RomanCourier{\colortbl\red0\green0\blue0" + b"\r\n" + rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_RING = 4096

_TOKEN = re.compile(
    r"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\(.)|([{}])|([^\\{}\r\n]+)|[\r\n]+|\\", re.DOTALL
)
_HIDDEN = frozenset(
    "fonttbl colortbl stylesheet info pict object themedata colorschememapping datastore listtable listoverridetable"
    " rsidtbl generator latentstyles header footer headerf footerf fldinst".split()
)
_MEANT = {
    "par": "\n", "line": "\n", "row": "\n", "sect": "\n", "page": "\f", "tab": "\t", "cell": "\t", "emdash": "—", "endash": "–",
    "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
}  # fmt: skip
_OF_HTML = re.compile(rb"\\fromhtml1?(?![a-z0-9])")
_HEAD = 512  # bytes in which it says so
_FONTS = 65_536  # bytes in which the table of fonts is
_FONT = re.compile(r"\\f(\d{1,5})(?:\\(?!fcharset)[a-z]++-?\d*+ ?+|\{[^{}]*+\}|\s)*+\\fcharset(\d{1,3})")
_CHARSETS = {  # of fonts, where it is not that of the whole text
    "128": "cp932", "129": "cp949", "134": "gb18030", "136": "big5", "161": "cp1253", "162": "cp1254", "163": "cp1258",
    "177": "cp1255", "178": "cp1256", "186": "cp1257", "204": "cp1251", "222": "cp874", "238": "cp1250",
}  # fmt: skip
_SYMBOLS = {"~": "\u00a0", "_": "\u2011", "\n": "\n", "\r": "\n", "\\": "\\", "{": "{", "}": "}"}


def decompressed(data: bytes) -> bytes | None:
    """The RTF in a compressed property; None when it is cut off, damaged or larger than :data:`MOST`."""
    if len(data) < 16:
        return None
    packed, size, kind = struct.unpack_from("<II4s", data)
    if size > MOST or packed + 4 > len(data):
        return None
    if kind == _STORED:
        return data[16 : 16 + size] if len(data) >= 16 + size else None
    if kind != _PACKED:
        return None
    out = bytearray(_START)  # the whole of it is the dictionary: of its last 4096 bytes, by their place in a ring
    wanted = len(_START) + size
    position, end = 16, packed + 4
    while position < end and len(out) < wanted:
        control = data[position]
        position += 1
        for bit in range(8):
            if position >= end or len(out) >= wanted:
                break
            if not control >> bit & 1:
                out.append(data[position])
                position += 1
                continue
            if position + 2 > end:
                return None
            reference = data[position] << 8 | data[position + 1]
            position += 2
            back = (len(out) - (reference >> 4)) % _RING
            if back == 0:  # a reference to the place of writing ends it
                return bytes(out[len(_START) :]) if len(out) == wanted else None
            start = len(out) - back
            if start < 0:
                return None
            for at in range(start, start + (reference & 15) + 2):  # what it has just written too
                out.append(out[at])
    return bytes(out[len(_START) : wanted]) if len(out) >= wanted else None


def to_text(rtf: bytes) -> str | None:
    """The words of an RTF text; pictures, tables of fonts and the like are no words. None when it is nested beyond sense."""
    return _read(rtf, as_html=False)


def to_html(rtf: bytes) -> str:
    """The HTML that an RTF text was made of, "" where it was not, or is nested beyond sense."""
    return (_OF_HTML.search(rtf, 0, _HEAD) and _read(rtf, as_html=True)) or ""


@dataclass(slots=True)
class _State:
    """What holds within a group."""

    charset: str
    hidden: bool = False
    fallback: int = 1  # characters that stand for a Unicode one, and are passed over behind it
    is_tag: bool = False  # a piece of the HTML that it was made of
    is_made: bool = False  # what was made of that


def _read(rtf: bytes, *, as_html: bool) -> str | None:  # noqa: PLR0912  # a branch for each kind of token
    source = rtf[:MOST].decode("latin-1")
    its_own = _charset(source)
    fonts = {font: _CHARSETS[kind] for font, kind in _FONT.findall(source[:_FONTS]) if kind in _CHARSETS}
    out: list[str] = []
    stack: list[_State] = []
    state = _State(its_own)
    skip = 0
    pending = bytearray()

    def put(text: str) -> None:
        if not (state.hidden or state.is_made):
            out.append(html.escape(text, quote=False) if as_html and not state.is_tag else text)

    for token in _TOKEN.finditer(source):
        word, number, byte, symbol, brace, plain = token.groups("")
        if byte:
            if skip:
                skip -= 1
            else:
                pending.append(int(byte, 16))
            continue
        if pending:
            put(pending.decode(state.charset, "replace"))
            pending.clear()
        if brace == "{":
            stack.append(replace(state))
            if len(stack) > _DEEPEST:
                return None
        elif brace == "}":
            state = stack.pop() if stack else _State(its_own)
            skip = 0
        elif as_html and word == "htmltag":
            state.hidden, state.is_tag = False, True
        elif as_html and word == "htmlrtf":
            state.is_made = number != "0"
        elif symbol == "*" or word in _HIDDEN:
            state.hidden = True
        elif word == "uc":
            state.fallback = min(int(number or 1), 8)
        elif word in ("f", "plain"):
            state.charset = fonts.get(number, its_own)
        elif word == "u" and number:
            put(chr(int(number) & 0xFFFF))
            skip = state.fallback
        elif plain:
            put(plain[skip:])
            skip = max(0, skip - len(plain))
        elif word or symbol:
            put(_MEANT.get(word, "") or _SYMBOLS.get(symbol, ""))
    put(pending.decode(state.charset, "replace"))
    return "".join(out).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _charset(source: str) -> str:
    page = re.search(r"\\ansicpg(\d{1,5})", source[:4096])
    try:
        return codecs.lookup(f"cp{page[1]}").name if page else "cp1252"
    except LookupError:
        return "cp1252"
