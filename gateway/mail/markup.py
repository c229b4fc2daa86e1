"""HTML texts, scanned where they stand: what is seen of them, and its lines, each with its place in the source. Pure.

Nothing is built or mended: what is found can be cut out of the source, or the source be cut off there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

# What is no visible text. Every alternative ends before the next "<", so that a scan is linear in the text.
_MARK = re.compile(r"<!--|<[!?][^<>]*>?|<(/?)([A-Za-z][A-Za-z0-9]*)[^<>]*>?")
_ENTITY = re.compile(r"(&(?:#[0-9]{1,8}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,40});?)")
_HIDDEN = {"style", "script", "title", "template"}
_PARAGRAPHS = frozenset("p h1 h2 h3 h4 h5 h6 ul ol dl blockquote pre".split())
_BLOCKS = _PARAGRAPHS | frozenset("div br table tr li dt dd hr section article header footer center".split())
_LAID_OUT = _BLOCKS | {"img", "td", "th"}
_BLANKS = re.compile(r"\s+")
_NAMES = re.compile(r"\b(?:class|id)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_PICTURE = re.compile(r"\bsrc\s*=\s*+[\"']?\s*+(?:cid|data):", re.IGNORECASE)
_LINE_ABOVE = re.compile(r"\bborder-top\s*:(?!\s*(?:none|0))", re.IGNORECASE)
_DRAWN = re.compile(r"\s*[-_*=]{3,}\s*")
_RULE = "_" * 20
PICTURE = "\ufffc"  # how a picture that comes with the mail stands in a line

# how mail programs name what quotes the mail that is answered, the sentence before it, and the head of all that follows
_QUOTES = ("yahoo_quoted", "protonmail_quote")
_INTROS = ("gmail_attr", "moz-cite-prefix")
_HEAD = "divrplyfwdmsg"


class Line(NamedTuple):
    """A line as it is shown, blanks made one: the last of them stays, as the mark of a signature has it.

    ``start``: where in the source it begins, to be cut off there. ``intro`` and ``head``: a mail program says that what it
    quotes, or all that follows, is the mail that is answered. A line of a quotation begins with ``>``, a drawn one is of
    underscores.
    """

    text: str
    start: int
    intro: bool = False
    head: bool = False

    @property
    def rule(self) -> bool:
        """Whether it is drawn."""
        return bool(_DRAWN.fullmatch(self.text))


def visible_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the text between the tags stands, without what browsers do not show."""
    return ((start, end) for start, end, tag, _ in _tokens(text) if not tag)


def images(text: str) -> Iterator[str]:
    """The tags that show a picture."""
    return (text[start:end] for start, end, tag, _ in _tokens(text) if tag == "img")


def pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """What is seen between the tags, and from where to where it stands. An entity is a piece of its own, and all others
    are as long as they are in the source.
    """
    for start, end in visible_spans(text):
        at = start
        for number, piece in enumerate(_ENTITY.split(text[start:end])):  # every other one is an entity
            if piece:
                yield html.unescape(piece) if number % 2 else piece, at, at + len(piece)
            at += len(piece)


def lines(text: str) -> list[Line]:
    """The lines of an HTML text as its reader sees them."""
    reader = _Lines()
    for start, end, tag, closing in _tokens(text):
        if not tag:
            reader.words(text[start:end], start)
        else:
            reader.tag(tag, text[start:end], start, end, closing=closing)
    reader.end_line(len(text))
    return reader.found


class _Lines:
    """Puts lines together."""

    def __init__(self) -> None:
        self.found: list[Line] = []
        self._parts: list[str] = []
        self._start = 0
        self._intro = self._head = self._gap = False
        self._loose = True  # a paragraph has air around it
        self._quotes = self._pre = self._divs = 0
        self._quoting: list[int] = []  # depths of the <div> that quote

    def words(self, source: str, start: int) -> None:
        if not self._pre:
            self._parts.append(html.unescape(source))
            return
        for line in source.splitlines(keepends=True):
            start += len(line)
            self._parts.append(html.unescape(line))
            if line.endswith(("\n", "\r")):
                self.end_line(start)

    def tag(self, tag: str, source: str, start: int, end: int, *, closing: bool) -> None:
        if tag not in _LAID_OUT and (closing or "=" not in source):
            return  # the usual case of a long text
        marks = "" if closing else " ".join(map("".join, _NAMES.findall(source))).lower()
        if tag == "img":
            self._parts.append(PICTURE if _PICTURE.search(source) else "")
        elif tag in ("td", "th"):
            self._parts.append(" ")
        if tag in _BLOCKS:
            self.end_line(end if closing or tag == "br" else start, broken=tag == "br")
        if tag in _PARAGRAPHS:
            self._loose = self._loose if closing else not marks.startswith("mso")  # Outlook's lines are paragraphs
            self._gap |= self._loose
        change = -1 if closing else 1
        if tag == "blockquote":
            self._quotes = max(0, self._quotes + change)
        elif tag == "pre":
            self._pre = max(0, self._pre + change)
        elif tag == "div":
            self._divs += change
            if any(name in marks for name in _QUOTES):
                self._quoting.append(self._divs)
            while self._quoting and self._quoting[-1] > self._divs:
                self._quoting.pop()
        if not closing and (tag == "hr" or (tag == "div" and _LINE_ABOVE.search(source))):
            self._parts.append(_RULE)
            self.end_line(end)
        self._intro |= any(name in marks for name in _INTROS)
        self._head |= _HEAD in marks

    def end_line(self, following: int, *, broken: bool = False) -> None:
        """The line is whole, even without a word where it is ``broken`` off; the next begins at ``following``."""
        text = "".join(self._parts).rstrip("\t\r\n")
        blank = broken or "\xa0" in text
        text = text.replace("\xa0", " ")
        if not self._pre:
            text = _BLANKS.sub(" ", text).lstrip()
        self._parts.clear()
        if text:
            if self._gap and self.found and not self.found[-1].rule:
                self.found.append(Line("", self._start))
            text = f"> {text}" if self._quotes or self._quoting else text
            self.found.append(Line(text, self._start, self._intro, self._head))
            self._intro = self._head = self._gap = False
        elif blank or self._pre:
            self.found.append(Line("", self._start))
        else:
            return  # what comes next may be cut off from here
        self._start = following


def _tokens(text: str) -> Iterator[tuple[int, int, str, bool]]:
    """From where to where each tag and each visible text stands; of a tag its name in lower case, and whether it closes."""
    position = 0
    while mark := _MARK.search(text, position):
        if position < mark.start():
            yield position, mark.start(), "", False
        start, position = mark.span()
        if mark[0] == "<!--":
            close = text.find("-->", position)
            position = close + 3 if close >= 0 else len(text)
        elif mark[2] is None:
            continue
        elif not mark[1] and (tag := mark[2].lower()) in _HIDDEN:
            close_tag = re.compile(f"</{tag}", re.IGNORECASE).search(text, position)
            position = close_tag.start() if close_tag else len(text)
        else:
            yield start, position, mark[2].lower(), bool(mark[1])
    if position < len(text):
        yield position, len(text), "", False
