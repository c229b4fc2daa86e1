"""Texts of old mail programs with marks for bold and colours (text/enriched, RFC 1896; text/richtext, RFC 1341), without them."""

from __future__ import annotations

import re

TYPES = {"text/enriched", "text/richtext"}

_TAG = re.compile(r"<<|<(/?)([-A-Za-z0-9]{1,60})>")
_BREAKS = re.compile(r"(?:\r?\n)+")


def plain(text: str) -> str:
    """The words: one line end is a blank, of several one goes, but where lines are not to be filled."""
    pieces: list[str] = []
    inside = {"param": 0, "nofill": 0}
    position = 0

    def add(end: int) -> None:
        if not inside["param"]:
            piece = text[position:end]
            pieces.append(piece if inside["nofill"] else _BREAKS.sub(_filled, piece))

    for tag in _TAG.finditer(text):
        add(tag.start())
        position = tag.end()
        name = (tag[2] or "").lower()
        if name in inside:
            inside[name] = max(0, inside[name] + (-1 if tag[1] else 1))
        elif not name or name in ("lt", "nl"):
            pieces.append("\n" if name == "nl" else "<")
    add(len(text))
    return "".join(pieces)


def _filled(breaks: re.Match[str]) -> str:
    return "\n" * (breaks[0].count("\n") - 1) or " "
