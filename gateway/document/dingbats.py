"""Fonts that have signs where others have letters: Wingdings of Microsoft, by our own font's, and Symbol and ZapfDingbats."""

from __future__ import annotations

import re

from pikepdf import Array, Dictionary, Name, Object

from gateway.document import named

_CALLED = re.compile(r"(?:^|[/+])wingdings(?!\s*-?\s*[23])", re.IGNORECASE)  # its two sequels have others
# fonts that every reader of a PDF has (ISO 32000-2, 9.6.2.2), as programs call them
_STANDARD = {
    Name.Symbol: re.compile(r"(?:^/|\+)Symbol(?:PS)?(?:MT)?(?:[-,]\w*)?$", re.IGNORECASE),
    Name.ZapfDingbats: re.compile(r"(?:^/|\+)(?:ITC)?Zapf-?Dingbats(?:[-,]\w*)?$", re.IGNORECASE),
}
_IN_STYLE = re.compile(r"(?<![-\w])font(?:-family)?\s*:([^;]*)", re.IGNORECASE)  # of CSS
_FIRST = re.compile(r"[^,]*\bwingdings\b(?!\s*-?\s*[23])", re.IGNORECASE)
_PRIVATE = 0xF000  # where Unicode has the codes of fonts of signs
UNKNOWN = "\ufffd"
_SIGNS = {  # from a code on; those that our font has
    0x21: "✏✂✁", 0x28: "☎✆✉", 0x3E: "✇✍", 0x41: "✌", 0x45: "☜☞☝☟", 0x4A: "☺😐☹", 0x4E: "☠", 0x51: "✈☼", 0x54: "❄",
    0x58: "✠✡☪☯", 0x6C: "●❍■□□❑❒◆◊◆❖◆☒", 0x7A: "⌘", 0x80: "0①②③④⑤⑥⑦⑧⑨⑩0❶❷❸❹❺❻❼❽❾❿", 0x9E: "·•", 0xA1: "○○○◉◎", 0xA7: "▪□",
    0xAB: "★", 0xAC: "✶", 0xD8: "➢", 0xDC: "➲", 0xDF: "←→↑↓↖↗↙↘←→↑↓↖↗↙↘⇦⇨⇧⇩⬄", 0xFB: "✗✓☒☑",
}  # fmt: skip


def has(font: Object) -> bool:
    """Whether a font of a PDF is called so, and its signs are known by its codes."""
    return font.get("/Subtype") != "/Type0" and bool(_CALLED.search(named.said(font.get("/BaseFont", ""))))


def standard(font: Object) -> Name | None:
    """The font that every reader has, of which a font of a PDF is a form that pdfium takes for one of letters."""
    name = font.get("/BaseFont")
    if font.get("/Subtype") == "/Type0" or (font.get("/Subtype") == "/Type1" and name in _STANDARD):
        return None
    return next((known for known, called in _STANDARD.items() if called.search(named.said(name))), None)


def encoding() -> Dictionary:
    """Its codes by names of the signs (ISO 32000-2, 9.6.5); what we have no sign for is a mark that says so."""
    signs = [_sign(code) for code in range(0x21, 0x100)]
    names = [Name(f"/u{ord(sign):04X}" if ord(sign) > 0xFFFF else f"/uni{ord(sign):04X}") for sign in signs]
    return Dictionary(Type=Name.Encoding, Differences=Array([0x21, *names]))


def is_font(style: str, face: str = "") -> bool | None:
    """Whether an element of HTML is set in it, by its style and by the ``face`` of an old one; None where it says no font."""
    said = [*([face] if face else []), *_IN_STYLE.findall(style)]
    return bool(_FIRST.match(said[-1])) if said else None


def signs(words: str, *, private: bool = False) -> str:
    """What is set in it as the signs that are seen; ``private``: only what stands where Unicode has them."""
    return "".join(_seen(letter, private=private) for letter in words)


def _seen(letter: str, *, private: bool) -> str:
    code = ord(letter) - _PRIVATE
    if not private and code < 0:
        western = letter.encode("cp1252", "replace")
        code = western[0] if western != b"?" or letter == "?" else 0
    return _sign(code) if 0x21 <= code <= 0xFF and code != 0xA0 else letter


def _sign(code: int) -> str:
    for first, found in _SIGNS.items():
        if first <= code < first + len(found):
            return found[code - first]
    return UNKNOWN
