"""Shapes of an office document that are hidden, or not to be printed, are taken out: LibreOffice would print them all the same. Of ink
on slides its picture is taken: LibreOffice would leave both out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from gateway.document import package

_Rule: TypeAlias = Callable[[bytes], tuple[bytes, str, int]]  # what is left of a file, what was taken out, and how many
# of Word: what stood for a shape in old versions, with a style that hides it; a shape, within which may be text with others; its end;
# and what says of it that it is hidden, as the eye of its Selection Pane does; a run, whose words may be hidden, and it with them
_SHAPE = re.compile(
    rb"(?P<gone><w:pict\b[^<>]*>\s*(?:<v:shapetype\b(?:(?!</v:shapetype|<w:pict).)*+</v:shapetype>\s*)?"
    rb"<v:(?!shapetype)\w+\b[^<>]*\bstyle=[\"'][^\"'<>]*\bvisibility:\s*hidden)"
    rb"|(?P<begins><w:(?:drawing|pict)\b(?:[^<>]*[^<>/])?>)|(?P<ends></w:(?:drawing|pict)\s*>)"
    rb"|(?P<formerly><w:rPrChange\b(?:(?!</?w:rPrChange\b).)*+</w:rPrChange>)|(?P<veils><w:vanish(?: w:val=\"(?:1|true|on)\")? ?/>)"
    rb"|(?P<run></?w:r[ >]|</w:pPr>)|(?P<hides><wp:docPr\b[^<>]*\bhidden=[\"'](?:1|true)[\"'])",
    re.DOTALL,
)
# of Excel: a shape by where on its sheet it is, what says that it is not to be printed, and what hides it, as it does a button that
# stands there once more
_DRAWINGS = re.compile(r"xl/drawings/[^/]+\.xml")
_ANCHOR = re.compile(
    rb"<((?:\w+:)?(?:twoCell|oneCell|absolute)Anchor)\b(?:(?!</?(?:\w+:)?(?:twoCell|oneCell|absolute)Anchor\b).)*+</\1\s*>",
    re.DOTALL,
)
_UNPRINTED = re.compile(rb"<(?:\w+:)?clientData\b[^<>]*\bfPrintsWithSheet=[\"'](?:0|false)[\"']")
_HIDDEN = re.compile(rb"<(?:\w+:)?cNvPr\b[^<>]*\bhidden=[\"'](?:1|true)[\"']")
# of PowerPoint: what was drawn with a pen, which programs that do not know what it requires show as a picture
_SLIDES = re.compile(r"ppt/slides/[^/]+\.xml")
_INK = re.compile(rb"(<mc:Choice\b[^<>]*\bRequires=[\"'])(?=[^<>]*>\s*<p:contentPart\b)")


def take_out(document: Path) -> Counter[str]:
    """Write a package anew without them; returns how many there were, by what they are. Raises OSError, and what zipfile does."""
    found: Counter[str] = Counter()

    def counted(rule: _Rule) -> Callable[[bytes], bytes]:
        def without(text: bytes) -> bytes:
            changed, what, count = rule(text)
            found[what] += count
            return changed

        return without

    package.rewrite(document, lambda name: counted(rule) if (rule := _rule(name)) else None)
    return +found


def _rule(name: str) -> _Rule | None:
    if package.TEXTS.fullmatch(name):
        return _of_text
    if _SLIDES.fullmatch(name):
        return _of_slide
    return _of_sheet if _DRAWINGS.fullmatch(name) else None


def _of_text(text: bytes) -> tuple[bytes, str, int]:
    kept: list[bytes] = []
    at = drawn = 0
    opened: list[int] = []  # where each begins
    gone = 0  # how many were open when one was found to be hidden
    veiled = False  # the words of the run are hidden
    for tag in _SHAPE.finditer(text) if b"hidden" in text or b"<w:vanish" in text else ():
        veiled = not tag["run"] and (veiled or tag["veils"] is not None)
        if tag["begins"] or tag["gone"]:
            opened.append(tag.start())
        if (tag["hides"] or tag["gone"] or (tag["begins"] and veiled)) and opened and not gone:
            gone = len(opened)
            kept.append(text[at : opened[-1]])
            drawn += tag["gone"] is None  # which may stand there for old versions too
        elif tag["ends"] and opened:
            if gone == len(opened):
                gone, at = 0, tag.end()
            opened.pop()
    if gone:
        return text, "", 0
    return b"".join([*kept, text[at:]]), "hidden shape", drawn or len(kept)


def _of_sheet(text: bytes) -> tuple[bytes, str, int]:
    count = 0

    def put(anchor: re.Match[bytes]) -> bytes:
        nonlocal count
        if not _UNPRINTED.search(anchor[0]):
            return anchor[0]
        count += not _HIDDEN.search(anchor[0])
        return b""

    without = _ANCHOR.sub(put, text)
    return without, "non-printing shape", count


def _of_slide(text: bytes) -> tuple[bytes, str, int]:
    return _INK.sub(rb"\1ink-", text), "", 0
