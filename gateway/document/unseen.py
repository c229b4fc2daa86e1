"""Words of an office document that are on no page of its print: in a table wider than its paper, below a box or a slide that is
too small for its text, behind the full cell beside theirs. LibreOffice leaves them out without a word, as Office does.
"""

from __future__ import annotations

import contextlib
import html
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from gateway.document import openwords, package, unprinted

_TEXTS = re.compile(
    r"word/(?:document|footnotes|endnotes)\d*\.xml|ppt/slides/[^/]+\.xml|xl/(?:sharedStrings\d*|worksheets/[^/]+)\.xml"
)
_OF_TABLE, _SHEETS = "xl/", re.compile(r"xl/(?:workbook\d*|worksheets/[^/]+)\.xml")
_OPEN, _OPEN_XML = "content.xml", b"<office:document"
_HEAD = 4096  # bytes in which one XML says what it is
_HIDES = re.compile(rb"Print_Area\b|\bstate=\"(?:veryH|h)idden\"|<(?:x:)?(?:row|col)\b[^<>]*\bhidden=\"(?:1|true)\"")
_UNREADABLE = re.compile(  # slides that are hidden; letters that are drawn as shapes (WordArt)
    rb"<p:sld\b[^<>]*\bshow=\"(?:0|false)\"|\bprst=\"text(?!NoShape)|<v:textpath\b"
)
_STEP = re.compile(
    rb"<(?:[wax]:)?t(?: [^<>]*)?>(?P<text>[^<]*)</"
    rb"|<(?P<end>/?)(?:mc:Fallback|w:moveFrom|w:fldSimple|a:fld|(?:x:)?rPh|aml:annotation|w:rt)\b(?:[^<>]*[^<>/])?>"  # printed by another, moved, counted anew, or not at all
    rb"|\bw:fldCharType=\"(?P<field>begin|end)\"|<w:instrText\b[^<>]*>\s*(?P<says>\w+)"
    rb"|(?P<hides><w:vanish ?/>)|(?P<run></w:r>)"
)
_LINK = b"HYPERLINK"  # the field whose words are printed as they stand
_WORD = re.compile(r"[^\W_]+")
# what stands in a PDF in the order in which it is written, whatever letters a font lacks: LibreOffice draws these afterwards. And
# three of them, as less may be a sign of a font of signs
_SURE = re.compile("[0-9A-Za-z]{3,}|[\u0391-\u03a9\u03b1-\u03c9]{3,}|[\u0400-\u045f]{3,}")
_COUNTED, _NAMED, _LONGEST = 1000, 3, 24  # words; letters of each that is named


def told(document: Path, printed: Iterable[str], plain: Path | None = None) -> Iterator[str]:
    """Say which words of a package or of one XML are not on its pages as they are ``printed``; of another document, which of those
    that LibreOffice has written to ``plain``. Raises OSError.
    """
    wanted: list[str] = []
    with contextlib.suppress(*unprinted.DAMAGED):  # LibreOffice has judged it
        wanted += dict.fromkeys(_words(document, plain))
    if not wanted:
        return
    shown = _WORD.findall(unicodedata.normalize("NFKC", " ".join(printed)).casefold())
    known, joined = set(shown), "".join(shown)  # a word that is broken at the end of a line is in the second alone
    missing = (
        each for each in wanted
        if each.casefold() not in known and not all(sure in joined for sure in _SURE.findall(each.lower()))
    )  # fmt: skip
    if lost := list(islice(missing, _COUNTED)):  # each of them is looked for in the whole text
        named = ", ".join(each[:_LONGEST] for each in lost[:_NAMED]) + ("..." if len(lost) > _NAMED else "")
        count = "a word" if len(lost) == 1 else f"{len(lost)} {'words or more' if len(lost) == _COUNTED else 'words'}"
        yield f"{count} {'is' if len(lost) == 1 else 'are'} missing from its pages: {named}"


def _words(document: Path, plain: Path | None) -> Iterator[str]:
    for text in _texts(document, plain):
        yield from _WORD.findall(unicodedata.normalize("NFC", text))


def _texts(document: Path, plain: Path | None) -> Iterator[str]:
    if not zipfile.is_zipfile(document):
        with (plain or document).open("rb") as stream:
            text = stream.read(package.LONGEST)
        if plain:
            yield text.decode("utf-8", "replace")
        elif package.WORD_2003 in text[:_HEAD]:
            yield from _shown(text)
        elif _OPEN_XML in text[:_HEAD]:
            yield openwords.of(text)
        return
    with zipfile.ZipFile(document) as source:
        if _OPEN in source.namelist():
            yield openwords.of(package.read(source, _OPEN))
        names = list(filter(_TEXTS.fullmatch, source.namelist()))
        if any(name.startswith(_OF_TABLE) for name in names) and _is_part(source):
            return
        for name in names:
            yield from _shown(package.read(source, name))


def _shown(text: bytes) -> Iterator[str]:
    if not _UNREADABLE.search(text):
        yield from (html.unescape(piece.decode("utf-8", "ignore")) for piece in _pieces(text))


def _is_part(book: zipfile.ZipFile) -> bool:
    """Whether some of a book is not to be printed anyway."""
    places = (name for name in book.namelist() if _SHEETS.fullmatch(name))
    return any(_HIDES.search(package.read(book, name)) for name in places)


def _pieces(text: bytes) -> Iterator[bytes]:
    """Each piece of text that is to be seen as it stands."""
    fields: list[bytes] = []  # that are open, by what they say
    within, hidden = 0, False
    for step in _STEP.finditer(text):
        if step["text"] is not None:
            if not (within or hidden) and (not fields or fields[-1] == _LINK):
                yield step["text"]
        elif step["end"] is not None:
            within += -1 if step["end"] else 1
        elif step["field"]:
            if step["field"] == b"begin":
                fields.append(b"")
            elif fields:
                fields.pop()
        elif step["says"]:
            if fields:
                fields[-1] = fields[-1] or step["says"].upper()
        else:
            hidden = bool(step["hides"])
