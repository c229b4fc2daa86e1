"""Signs of Wingdings in texts of Word and on slides: LibreOffice knows most of them where the font is missing, but not in a
run of text, as PowerPoint writes its arrows. And it sets the words behind a sign, in the same run, in the font of the sign.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from xml.sax.saxutils import escape

from gateway.document import dingbats, package

_SLIDES = re.compile(r"ppt/slides/[^/]+\.xml")
_NAME = re.compile(rb"wingdings\"|<w:sym\b", re.IGNORECASE)
_RUN = re.compile(
    r"<(w|a):r(?:\s[^<>]*)?>(?:(?!<\1:r[\s>]).)*?</\1:r>", re.DOTALL
)  # the inner ones, where some hold a box with a text
_ALL = re.compile(
    r'<w:rFonts\b[^<>]*\bw:(?:ascii|hAnsi)="wingdings"|<a:latin\b[^<>]*\btypeface="wingdings"', re.IGNORECASE
)
# what stands in Unicode's private area alone
_PRIVATE = re.compile(r'<a:sym\b[^<>]*\btypeface="wingdings"', re.IGNORECASE)
_START = re.compile(r"<w:r(?:\s[^<>]*)?>(?:\s*<w:rPr>.*?</w:rPr>|\s*<w:rPr\s*/>)?", re.DOTALL)
_SIGN = re.compile(r"<w:sym\b[^<>]*>(?:\s*</w:sym>)?")
_TEXT = re.compile(r"(<(w|a):t(?:\s[^<>]*)?>)([^<]*)(?=</\2:t>)")


def settle(document: Path) -> None:
    """Write a package anew with the signs that Unicode has in place of Wingdings' own. Raises OSError, and what zipfile does."""
    package.rewrite(document, lambda name: _seen if package.TEXTS.fullmatch(name) or _SLIDES.fullmatch(name) else None)


def _seen(data: bytes) -> bytes:
    if not _NAME.search(data):
        return data
    text = data.decode("utf-8", "surrogateescape")
    return _RUN.sub(lambda run: _alone(_run(run)), text).encode("utf-8", "surrogateescape")


def _run(run: re.Match[str]) -> str:
    everything = bool(_ALL.search(run[0]))
    if not everything and not _PRIVATE.search(run[0]):
        return run[0]

    def put(text: re.Match[str]) -> str:
        return text[1] + escape(dingbats.signs(html.unescape(text[3]), private=not everything))

    return _TEXT.sub(put, run[0])


def _alone(run: str) -> str:
    """Its signs in runs of their own, of the same properties."""
    if "<w:sym" not in run or "<w:t" not in run:
        return run
    start = _START.match(run)
    assert start is not None, "it is a run"
    return start[0] + _SIGN.sub(lambda sign: f"</w:r>{start[0]}{sign[0]}</w:r>{start[0]}", run[start.end() :])
