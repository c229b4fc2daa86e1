"""Fonts that have signs where others have letters: Wingdings and Wingdings 2 of Microsoft, by our own font's, and Symbol and
ZapfDingbats.
"""

from __future__ import annotations

import re

from pikepdf import Array, Dictionary, Name, Object

from gateway.document import named

_CALLED = re.compile(r"(?:^|[/+])wingdings(?:[\s-]*([23]))?", re.IGNORECASE)
# fonts that every reader of a PDF has (ISO 32000-2, 9.6.2.2), as programs call them
_STANDARD = {
    Name.Symbol: re.compile(r"(?:^/|\+)Symbol(?:PS)?(?:MT)?(?:[-,]\w*)?$", re.IGNORECASE),
    Name.ZapfDingbats: re.compile(r"(?:^/|\+)(?:ITC)?Zapf-?Dingbats(?:[-,]\w*)?$", re.IGNORECASE),
}
_IN_STYLE = re.compile(r"(?<![-\w])font(?:-family)?\s*:([^;]*)", re.IGNORECASE)  # of CSS
_FIRST = re.compile(r"[^,]*\bwingdings(?:[\s-]*([23]))?\b", re.IGNORECASE)
_PRIVATE = 0xF000  # where Unicode has the codes of fonts of signs
UNKNOWN = "\ufffd"
Signs = dict[int, str]  # from a code on; those that our font has
_NONE: Signs = {}
_WINGDINGS: Signs = {
    0x21: "✏✂✁", 0x28: "☎✆✉", 0x3E: "✇✍", 0x41: "✌", 0x45: "☜☞☝☟", 0x4A: "☺😐☹", 0x4E: "☠", 0x51: "✈☼", 0x54: "❄",
    0x58: "✠✡☪☯", 0x6C: "●❍■□□❑❒◆◊◆❖◆☒", 0x7A: "⌘", 0x80: "0①②③④⑤⑥⑦⑧⑨⑩0❶❷❸❹❺❻❼❽❾❿", 0x9E: "·•", 0xA1: "○○○◉◎", 0xA7: "▪□",
    0xAB: "★", 0xAC: "✶", 0xD8: "➢", 0xDC: "➲", 0xDF: "←→↑↓↖↗↙↘←→↑↓↖↗↙↘⇦⇨⇧⇩⬄", 0xFB: "✗✓☒☑",
}  # fmt: skip
_BY_NUMBER: dict[str | None, Signs] = {
    None: _WINGDINGS,
    "2": {0x4F: "✗✓☒☑☒☒", 0x69: "0①②③④⑤⑥⑦⑧⑨⑩0❶❷❸❹❺❻❼❽❾❿", 0x97: "●●", 0xA3: "□"},
}  # of the third hardly any


def of(font: Object) -> Signs:
    """Those of a font of a PDF, by its codes; none where it is one of letters."""
    called = _CALLED.search(named.said(font.get("/BaseFont", "")))
    return _BY_NUMBER.get(called[1], _NONE) if called and font.get("/Subtype") != "/Type0" else _NONE


def standard(font: Object) -> Name | None:
    """The font that every reader has, of which a font of a PDF is a form that pdfium takes for one of letters."""
    name = font.get("/BaseFont")
    if font.get("/Subtype") == "/Type0" or (font.get("/Subtype") == "/Type1" and name in _STANDARD):
        return None
    return next((known for known, called in _STANDARD.items() if called.search(named.said(name))), None)


def encoding(found: Signs) -> Dictionary:
    """The codes of such a font by names of its signs (ISO 32000-2, 9.6.5); what we have no sign for is a mark that says so."""
    signs = [_sign(code, found) for code in range(0x21, 0x100)]
    names = [Name(f"/u{ord(sign):04X}" if ord(sign) > 0xFFFF else f"/uni{ord(sign):04X}") for sign in signs]
    return Dictionary(Type=Name.Encoding, Differences=Array([0x21, *names]))


def in_html(style: str, face: str) -> Signs | None:
    """Those of the font of an element, by its style and by the ``face`` of an old one, none of letters; None where it says no font."""
    said = [*([face] if face else []), *_IN_STYLE.findall(style)]
    if not said:
        return None
    called = _FIRST.match(said[-1])
    return _BY_NUMBER.get(called[1], _NONE) if called else _NONE


def signs(words: str, found: Signs = _WINGDINGS, *, private: bool = False) -> str:
    """What is set in it as the signs that are seen; ``private``: only what stands where Unicode has them."""
    return "".join(_seen(letter, found, private=private) for letter in words)


def _seen(letter: str, found: Signs, *, private: bool) -> str:
    code = ord(letter) - _PRIVATE
    if not private and code < 0:
        western = letter.encode("cp1252", "replace")
        code = western[0] if western != b"?" or letter == "?" else 0
    return _sign(code, found) if 0x21 <= code <= 0xFF and code != 0xA0 else letter


def _sign(code: int, found: Signs) -> str:
    for first, row in found.items():
        if first <= code < first + len(row):
            return row[code - first]
    return UNKNOWN
