"""HTML drawn as its reader sees it, where the extra ``html`` is installed (:mod:`gateway.document.roll`); else it is printed as text.

One job draws one text. Only pictures that came with it are shown; nothing is fetched.
"""

from __future__ import annotations

import html.parser
import re
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.document import cover, html_text, progress, raster, roll, text
from gateway.document.shown import Pictures
from gateway.model import MailPart

_LONGEST = 2 << 20  # characters of HTML, which take about a minute
_INLINE = re.compile(r"data:[^\s\"'()<>]*", re.IGNORECASE)
_SMALL = 300 * 300  # CSS pixels: a smaller picture is a logo or a spacer
_PIXEL = 2.0  # CSS pixels across or down, of what is no picture but counts its readers
_AWAY = "not in the mail, so left out"
_EMBEDS = {
    "iframe": "src",
    "frame": "src",
    "embed": "src",
    "object": "data",
}  # elements, and where each says what it shows
_SHOWING = re.compile(r"<(?:img|i?frame|embed|object)\b", re.IGNORECASE)
_NOTHING = re.compile(r"\Z|cid:|about:|javascript:", re.IGNORECASE)  # shows nothing, or is drawn
_GONE = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_NO_CELL = (-1, False)  # of a row before its first: words there are in none
_SMALLER = 0.85  # of its size, to which nobody minds


def draw(
    path: str,
    part: dict[str, Any],
    parts: list[dict[str, Any]],
    directory: str,
    paper: str,
    *,
    alone: bool,
    covered: bool,
) -> dict[str, Any]:
    """Worker function: the HTML ``part``, which lies at ``path``, as a PDF in ``directory``.

    ``parts``: those of the mail that it may show by their Content-ID (RFC 2392). A text without a table or a picture of
    some size is not worth it unless it stands ``alone``, without a plain form, and has no room on the cover page (``covered``).

    Returns the ``path`` of what was made, "" for nothing; ``why`` it could not be, "" for no trouble; ``notes`` for the ledger;
    and the paths of what is ``shown``. Raises OSError.
    """
    given = MailPart(**part)
    progress.begin(given.name)
    source = text.decode(Path(path).read_bytes(), given.charset)
    pictures = Pictures([MailPart(**each) for each in parts])
    answer: dict[str, Any] = {"path": "", "why": "", "notes": [], "shown": []}
    covered = covered and given.role == "body-html" and given.size <= cover.LARGEST
    if not _is_worth_it(source, pictures, alone=alone, short=cover.SHORT if covered else 0):
        return answer
    if len(_INLINE.sub("", source)) > _LONGEST:
        return {**answer, "why": "its HTML is too long to be drawn"}
    try:
        with _patience():
            made = roll.draw(source, pictures, Path(directory), raster.PAPER_HEIGHT[paper])
    except roll.Undrawable as undrawable:
        return {**answer, "why": str(undrawable)}
    text.look_for(made.characters)
    notes = [*_notes(_Shape(source), pictures, made.scale), *progress.notes()]
    return {**answer, "path": str(made.path), "notes": notes, "shown": sorted(pictures.shown)}


@contextmanager
def _patience() -> Iterator[None]:
    """Raise Undrawable when half of the time that this process may compute is over."""
    seconds, _ = resource.getrlimit(resource.RLIMIT_CPU)
    if seconds == resource.RLIM_INFINITY:
        yield
        return

    def over(*_: object) -> None:
        raise roll.Undrawable("drawing its HTML takes too long")

    signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds / 2, 1.0)  # again and again: the engine goes on without a picture
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


# --- what there is to draw --------------------------------------------------------------------------------------------


class _Shape(html.parser.HTMLParser):
    """Counts what plain text cannot show."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.table = False  # a row of two cells with words
        self.pictures: list[tuple[str, float, float]] = []  # source, width and height in CSS pixels, 0 where not said
        self.embedded: set[str] = set()  # pages, films, documents, by their addresses
        self.inserted = 0  # pages that stand in the HTML
        self.styles: list[str] = []  # sheets, by their addresses
        # the last row of each open table: how many of its cells have words, and whether that is so of where it is now; then it
        # is so of the rows of the tables around it
        self._rows: list[tuple[int, bool]] = []
        self.feed(source.replace("<![", "<! ["))
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attributes}
        if tag == "table":
            self._rows.append(_NO_CELL)
        elif tag == "tr":
            self._rows[-1:] = [_NO_CELL]
        elif tag in ("td", "th") and self._rows:
            self._rows[-1] = (max(0, self._rows[-1][0]), False)
        elif tag == "img":
            self.pictures.append((said.get("src", "").strip(), _length(said, "width"), _length(said, "height")))
        elif tag in _EMBEDS and _is_seen(said):
            url = said.get(_EMBEDS[tag], "").strip()
            if tag == "iframe" and ("srcdoc" in said or url.lower().startswith("data:")):
                self.inserted += 1
            elif not _NOTHING.match(url) and not url.lower().startswith("data:"):
                self.embedded.add(url)
        elif tag == "link" and "stylesheet" in said.get("rel", "").lower():
            self.styles.append(said.get("href", "").strip())

    def handle_endtag(self, tag: str) -> None:
        if tag == "table" and self._rows:
            self._rows.pop()

    def strangers(self) -> tuple[set[str], set[str]]:
        """The pictures that lie elsewhere, and those that stand in the HTML, but for the invisible ones."""
        seen = {url for url, *sides in self.pictures if url and min(side or _PIXEL + 1 for side in sides) > _PIXEL}
        within = {url for url in seen if url.lower().startswith("data:")}
        return {url for url in seen - within if not url.lower().startswith("cid:")}, within

    def handle_data(self, data: str) -> None:
        if not self.table and data.strip():
            for n in reversed(range(len(self._rows))):
                count, has_words = self._rows[n]
                if has_words:
                    break
                self._rows[n] = (count + 1, True)
                self.table |= count > 0


def _is_seen(said: dict[str, str]) -> bool:
    """Whether what an element embeds takes room on the page."""
    sides = (_length(said, name) or _PIXEL + 1 if said.get(name) != "0" else 0 for name in ("width", "height"))
    return min(sides) > _PIXEL and not _GONE.search(said.get("style", ""))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}"


def unshown(source: str) -> Iterator[str]:
    """What HTML that is printed as text is without, for the ledger: pictures and the like that are no parts of the mail."""
    if not _SHOWING.search(source):
        return
    shape = _Shape(source)
    away, within = shape.strangers()
    yield from _left_out(shape, {"picture": len(away)})
    if within:
        yield f"printed as text, so left out: {_counted(len(within), 'picture')}"


def _length(said: dict[str, str], name: str) -> float:
    """CSS pixels of a width or height, 0 where none is said or it depends on others."""
    found = re.search(rf"(?<![-\w]){name}\s*:\s*([0-9.]{{1,9}})px", said.get("style", "")) or re.fullmatch(
        r"\s*([0-9.]{1,9})(?:px)?\s*", said.get(name, "")
    )
    try:
        return float(found[1]) if found else 0.0
    except ValueError:
        return 0.0


def _is_worth_it(source: str, pictures: Pictures, *, alone: bool, short: int) -> bool:
    words = html_text.from_html(source)
    if not words.strip():  # a photo that is all the mail holds is a document of its own
        return False
    if alone and len(words) > short:
        return True
    shape = _Shape(source)
    return shape.table or any(pictures.area(*each) >= _SMALL for each in shape.pictures)


def _notes(shape: _Shape, pictures: Pictures, scale: float) -> Iterator[str]:
    if scale < _SMALLER:
        yield f"reduced to {scale:.0%}, as it is wider than the page"
    away, _ = shape.strangers()
    away |= pictures.missing.difference(shape.styles)
    sheets = [url for url in shape.styles if not url.lower().startswith("cid:")]
    yield from _left_out(shape, {"picture": len(away), "style sheet": len(sheets)})
    if pictures.damaged:
        yield "left out of it: a picture that cannot be read"


def _left_out(shape: _Shape, counts: dict[str, int]) -> Iterator[str]:
    """Say what of it lies elsewhere, and which pages are within the page."""
    counts |= {"embedded object": len(shape.embedded)}
    if left := [_counted(count, what) for what, count in counts.items() if count]:
        yield f"{_AWAY}: {' and '.join([', '.join(left[:-1]), left[-1]] if left[1:] else left)}"
    if shape.inserted:
        yield f"left out of it: {_counted(shape.inserted, 'embedded page')}"
