"""One document file becomes grey or black-and-white pages on the fax grid, or a refusal that names it.

Every format is opened by the library that reads it best, by its content and never by its name. A file that cannot be read
whole is refused: half a document is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gateway.document import cards, html, html_text, pdf, picture, progress, raster, sniff, text
from gateway.document.raster import Grid, Page
from gateway.document.refusal import TooLong, Unfaxable

_MAX_TEXT = 8 << 20  # bytes of a text
_MANY = 1_000_000  # pages: no limit


def pages(
    path: Path, kind: str, name: str, target: Grid, *, charset: str | None = None, room: int = _MANY
) -> Iterator[Page]:
    """The pages of a document of a sniffed ``kind``, at most ``room``. Raises Refused naming it by ``name``."""
    if kind == sniff.PDF:
        return pdf.pages(path, name, target, room)
    if kind in sniff.IMAGES:
        return picture.pages(path, kind, name, target, room)
    if kind in (sniff.TEXT, sniff.HTML):
        return _text(path, kind, name, target, charset, room)
    raise Unfaxable(sniff.refusal(kind, name) or sniff.refusal(sniff.UNKNOWN, name))


def _text(path: Path, kind: str, name: str, target: Grid, charset: str | None, room: int) -> Iterator[Page]:
    with path.open("rb") as stream:
        data = stream.read(_MAX_TEXT + 1)
    if len(data) > _MAX_TEXT:
        raise TooLong(f"{name} is too long for a fax; send it in parts")
    content = text.decode(data, charset)
    if kind == sniff.HTML:
        for said in html.unshown(content):
            progress.note(said)
        content = html_text.from_html(content)
    elif shown := cards.for_people(content):
        progress.note("what people read of a calendar entry or business card")
        if files := cards.files(content):
            progress.note(f"without {progress.the(files, 'file')} in it")
        content = shown
    for number, image in enumerate(text.pages(content, target, mono=kind == sniff.TEXT and _is_table(content)), 1):
        if number > room:
            raise raster.no_room(name, f"more than {room} pages", room)
        yield Page(image, target.y_dpi)


def _is_table(content: str) -> bool:
    """Columns made with blanks want a font of one width."""
    lines = [line for line in content.splitlines()[:200] if line.strip()]
    return sum("   " in line.strip() or "\t" in line for line in lines) * 4 > len(lines)
