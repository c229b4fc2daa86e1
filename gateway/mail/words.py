"""Text out of strangers' words: encoded ones (RFC 2047), one clean line, file names that are only names."""

from __future__ import annotations

import binascii
import re

from gateway.charsets import to_text

_LINE = 500  # characters a header value may have on its way into our own texts
_NAME = 120  # characters of a file name

_BREAKS = re.compile(r"[\t-\r\x1c-\x1f\x85\u2028\u2029]+")
# controls, lone surrogates, and what turns or hides text: bidi marks, zero width, tags
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]+"
)
_ENCODED_WORD = re.compile(r"=\?([!->@-~]{1,60})\?([bBqQ])\?([^?]*)\?=")
_NAME_PART = re.compile(rf'(?<!\\)"(?:[^"\\]|\\.)*+"|(?:{_ENCODED_WORD.pattern}\s*)+')
_SPECIAL = re.compile(r'[,;:@<>()\[\]."\\]')  # RFC 5322 section 3.2.3
_DRIVE = re.compile(r"^[A-Za-z]:")


def one_line(text: str, limit: int = _LINE) -> str:
    """``text`` as one printable line of at most ``limit`` characters: no controls, no tricks with direction."""
    if not text:
        return text
    text = text[: limit * 20]
    if not (text.isascii() and text.isprintable()):
        text = _UNSAFE.sub("", _BREAKS.sub(" ", text))
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def decode_words(text: str) -> str:
    """Decode the encoded words of RFC 2047 wherever they stand, inside quotes and glued to other text too.

    Neighbours of one charset are joined before they are decoded, because mailers cut characters in two.
    """
    if "=?" not in text:
        return text
    out: list[str] = []
    pending = b""
    charset = ""
    position = 0
    for match in _ENCODED_WORD.finditer(text):
        between = text[position : match.start()]
        name = match[1].partition("*")[0].lower()  # RFC 2231 section 5 adds a language
        data = _word_bytes(match[2], match[3])
        if pending and (name != charset or between.strip()):
            out.append(to_text(pending, charset))
            pending = b""
            if between.strip():
                out.append(between)
        elif between.strip() or not position:
            out.append(between)
        charset = name
        pending += data
        position = match.end()
    if pending:
        out.append(to_text(pending, charset))
    out.append(text[position:])
    return "".join(out)


def decode_mailboxes(text: str) -> str:
    """As :func:`decode_words`, of a field of addresses: a name with signs that part addresses stands in quotes."""
    return _NAME_PART.sub(lambda match: _quoted(match[0]), text) if "=?" in text else text


def _quoted(part: str) -> str:
    name = part.strip()
    said = decode_words(re.sub(r"\\(.)", r"\1", name[1:-1]) if name.startswith('"') else name)
    said = re.sub(r'["\\]', "", said) if _SPECIAL.search(said) else said
    return (f'"{said}"' if _SPECIAL.search(said) else said) + part[len(part.rstrip()) :]


def _word_bytes(encoding: str, text: str) -> bytes:
    if encoding in "qQ":
        return binascii.a2b_qp(text.encode("utf-8", "replace"), header=True)
    symbols = re.sub(r"[^A-Za-z0-9+/]", "", text)
    if len(symbols) % 4 == 1:
        symbols = symbols[:-1]
    return binascii.a2b_base64(symbols + "=" * (-len(symbols) % 4))


def file_name(claimed: str) -> str:
    """A claimed file name as one to show: its last component, printable, without leading dots; "" when none is left.

    RFC 2183 section 2.3: the name is a stranger's word and never becomes a path of ours.
    """
    if not claimed:
        return claimed
    name = one_line(claimed).replace("\\", "/").rpartition("/")[2]
    name = _DRIVE.sub("", name).strip(" .\"'")
    if len(name) > _NAME:
        stem, dot, extension = name.rpartition(".")
        if dot and 0 < len(extension) <= 10:
            name = stem[: _NAME - len(extension) - 2].rstrip() + "…." + extension
        else:
            name = name[: _NAME - 1].rstrip() + "…"
    return name
