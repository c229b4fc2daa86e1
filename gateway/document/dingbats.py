"""The signs of Wingdings, a font of Microsoft that is full of them where others have letters, by our own font's."""

from __future__ import annotations

import re

from pikepdf import Array, Dictionary, Name, Object

_CALLED = re.compile(r"(?:^|[/+])wingdings(?!\s*-?\s*[23])", re.IGNORECASE)  # its two sequels have others
_UNKNOWN = "\ufffd"
_SIGNS = {  # from a code on; those that our font has
    0x21: "✏✂✁", 0x28: "☎✆✉", 0x3E: "✇✍", 0x41: "✌", 0x45: "☜☞☝☟", 0x4A: "☺😐☹", 0x4E: "☠", 0x51: "✈☼", 0x54: "❄",
    0x58: "✠✡☪☯", 0x6C: "●❍■□□❑❒◆◊◆❖◆☒", 0x7A: "⌘", 0x80: "0①②③④⑤⑥⑦⑧⑨⑩0❶❷❸❹❺❻❼❽❾❿", 0x9E: "·•", 0xA1: "○○○◉◎", 0xA7: "▪□",
    0xAB: "★", 0xAC: "✶", 0xD8: "➢", 0xDC: "➲", 0xDF: "←→↑↓↖↗↙↘←→↑↓↖↗↙↘⇦⇨⇧⇩⬄", 0xFB: "✗✓☒☑",
}  # fmt: skip


def has(font: Object) -> bool:
    """Whether a font of a PDF is called so, and its signs are known by its codes."""
    return font.get("/Subtype") != "/Type0" and bool(_CALLED.search(str(font.get("/BaseFont", ""))))


def encoding() -> Dictionary:
    """Its codes by names of the signs (ISO 32000-2, 9.6.5); what we have no sign for is a mark that says so."""
    signs = dict.fromkeys(range(0x21, 0x100), _UNKNOWN)
    for first, found in _SIGNS.items():
        signs |= dict(enumerate(found, first))
    names = [Name(f"/u{ord(sign):04X}" if ord(sign) > 0xFFFF else f"/uni{ord(sign):04X}") for sign in signs.values()]
    return Dictionary(Type=Name.Encoding, Differences=Array([0x21, *names]))
