"""Plain text becomes grey pages: wrapped, in fonts we ship, with system fonts for scripts they lack."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path

import charset_normalizer
from PIL import Image, ImageDraw, ImageFont

from gateway import charsets
from gateway.document import progress, systemfonts, utf16
from gateway.document.raster import FINE, STANDARD, WIDTH, X_DPI, Grid

_FONTS = Path(__file__).parent / "fonts"
_ROOTS = ("/usr/share/fonts", "/usr/local/share/fonts")
_SYSTEM = (  # tried in this order for characters our own fonts lack
    "noto/NotoSansCJK-Regular.ttc",
    "opentype/noto/NotoSansCJK-Regular.ttc",
    "truetype/noto/NotoSans-Regular.ttf",
    "truetype/noto/NotoSansArabic-Regular.ttf",
    "truetype/noto/NotoSansHebrew-Regular.ttf",
    "truetype/noto/NotoSansDevanagari-Regular.ttf",
    "truetype/noto/NotoSansThai-Regular.ttf",
    "truetype/unifont/unifont.ttf",
    "truetype/wqy/wqy-microhei.ttc",
    "truetype/freefont/FreeSans.ttf",
)
_SIDE, _TOP = 0.6, 0.6  # inches of margin
_POINTS, _POINTS_MONO = 11, 10.12
_LEAST = {FINE: 22, STANDARD: 25}  # pixels of a font, by rows to the inch: smaller is very small print (see legibility)
_SAMPLE = 20_000  # characters of a text, in which lines that are broken a little beyond the page are looked for
_SEVERAL, _SHARE, _MOST_OF = 5, 1 / 8, 0.9  # lines; of all; of those, that are to fit at least
_SHEETS = 1 / 2  # share of those that a text with form feeds has, which are too long for a page
_LEADING = 1.25
_TAB = 8
_MOST = 1000  # characters of a printed line, which holds far fewer unless they have no width
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_DAMAGED = 0.02  # the share of characters that may be wrong in a charset that is right all the same
_PUNCTUATION = "€‚„…‹‘’“”•–—™› §©«®°·»".encode(charsets.WESTERN)
_PAIRS = re.compile(rb"[\x80-\xbf]|[\xc0-\xff]{2}")  # what a text of other letters, and few Western words, have
_FRAME = re.compile(rb"[\xc4\xcd]{6}|\xdb{6}|[\xb0-\xb2]{6}")  # lines and areas of DOS, which are no words of others
_CYRILLIC_OF_DOS = frozenset(range(0x80, 0xB0)) | frozenset(range(0xE0, 0xF0))
_LATIN = re.compile(rb"[A-Za-z]")
_KANA = re.compile(rb"\x82[\x9f-\xf1]|\x83[\x40-\x96]")  # in Shift JIS; nothing that is usual in others
# what steers a terminal (ECMA-48): colours, the title of its window, a set of letters
_STEERING = re.compile(r"\x1b(?:\[[0-?]{0,20}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,200}(?:\x07|\x1b\\)|[ -/][0-~])")
_LINE_ENDS = re.compile("\r?\r\n|[\r\v\x85\u2028\u2029]")  # CR CR LF: encoded twice
_BLANK_SHEETS = re.compile(r"\A\s*\f")  # before the first word, as printers are made to begin anew
_FROM_RIGHT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_SIGNS = {"\uf0b7": "•"}  # of Symbol, as Word's lists have it; others are of Wingdings
_JOINERS = "\u200c\u200d"  # shape the letters beside them


def decode(data: bytes, charset: str | None) -> str:
    """Text in any charset: as declared, or as HTML and XML say of themselves, if that is true; else as it looks. Never fails."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            return data.decode(name, "replace")
    if unmarked := utf16.charset(data[:4096]):
        return data.decode(unmarked, "replace")
    declared = charsets.codec(charset)
    if not (declared or "").startswith(("utf-16", "utf-32")):
        data = data.rstrip(b"\0\x1a")
    charset = charsets.meant(charset, data)
    declared = charsets.codec(charset)
    if (sure := charsets.read_surely(data, declared)) is not None:
        return sure
    if declared in (None, "utf-8", charsets.WESTERN) and (text := charsets.mostly_utf8(data)) is not None:
        return text
    if declared not in (None, "utf-8") and not charsets.says_nothing(charset):
        text = data.decode(declared, "replace")
        if text.count("\ufffd") <= len(text) * _DAMAGED:
            return text
    return data.decode(_guessed(data[:100_000]), "replace")


def _guessed(start: bytes) -> str:
    """A few letters beyond ASCII, or a short text, are too little to guess from: most likely they are Western."""
    high = bytes(byte for byte in start if byte > 127)
    if _FRAME.search(start):
        russian = sum(byte in _CYRILLIC_OF_DOS for byte in high)
        return "cp866" if russian > len(_LATIN.findall(start)) else "cp437"
    if not charsets.is_foreign(start) and (
        len(high) * 12 < len(start)
        or (len(high) * 4 < len(start) and len(start) < 100)
        or not high.translate(None, _PUNCTUATION)
        or not _PAIRS.search(start)
    ):
        return "cp850" if charsets.is_of_dos(start) else charsets.WESTERN
    if len(_KANA.findall(start)) * 4 > len(high):
        return "cp932"
    guess = charset_normalizer.from_bytes(start).best()
    return guess.encoding if guess else charsets.WESTERN


class Typesetter:
    """Measures and draws lines of ``points`` in a font we ship (``face``: the name of its file) and in fallback fonts."""

    def __init__(self, face: str = "DejaVuSans", points: float = _POINTS) -> None:
        self._size = size = round(points * FINE / 72)
        self._fonts = [ImageFont.truetype(str(_FONTS / f"{name}.ttf"), size) for name in (face, "DejaVuSans")]
        self._missing = [_shape(font, "\uffff") for font in self._fonts]
        self._system: list[ImageFont.FreeTypeFont] | None = None
        self.line_height = round(size * _LEADING)
        self._has = lru_cache(maxsize=4096)(self._look)
        self._choice = lru_cache(maxsize=4096)(self._choose)
        self._advance = lru_cache(maxsize=4096)(self._measure)

    def _choose(self, character: str) -> int:
        for n in range(2):
            if self._has(n, character):
                return n
        if self._system is None:
            self._system = _system_fonts(self._size)
            self._fonts += self._system
            self._missing += [_shape(font, "\uffff") for font in self._system]
        for n in range(2, len(self._fonts)):
            if self._has(n, character):
                return n
        if found := _asked_for(character, self._size):
            self._fonts.append(found)
            self._missing.append(_shape(found, "\uffff"))
            return len(self._fonts) - 1
        progress.lacking(character)
        return 0  # drawn as the font's box for what it lacks: visible, not silently dropped

    def _look(self, n: int, character: str) -> bool:
        return character.isspace() or _shape(self._fonts[n], character) != self._missing[n]

    def runs(self, line: str) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
        """The pieces of a line and their fonts, from left to right: what is read from the right is one, where a font has all of it."""
        if _FROM_RIGHT.search(line):
            for n, font in enumerate(self._fonts):
                if all(self._has(n, character) for character in line):
                    yield font, line
                    return
            if next((way for way in map(unicodedata.bidirectional, line) if way in ("L", "R", "AL")), "L") != "L":
                yield from reversed(list(self._pieces(line)))
                return
        yield from self._pieces(line)

    def _pieces(self, line: str) -> Iterator[tuple[ImageFont.FreeTypeFont, str]]:
        start, font = 0, -1
        for n, character in enumerate(line):
            chosen = self._choice(character)
            if chosen != font:
                if n > start:
                    yield self._fonts[font], line[start:n]
                start, font = n, chosen
        if line[start:]:
            yield self._fonts[font], line[start:]

    def _measure(self, character: str) -> float:
        return float(self._fonts[self._choice(character)].getlength(character))

    def length(self, line: str) -> float:
        """Its width in pixels."""
        return sum(float(font.getlength(text)) for font, text in self.runs(line))

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, line: str, fill: int = 0) -> None:
        for font, text in self.runs(line):
            canvas.text((x, y), text, font=font, fill=fill)
            x += font.getlength(text)

    def wrap(self, line: str, room: float) -> Iterator[str]:
        """Break at blanks where there are some, anywhere where a word is wider than the page."""
        start = 0
        while (end := self._fits(line, start, room)) < len(line):
            at = line.rfind(" ", start + 1, end + 1)
            cut = at if at > start and line[start:at].strip() else _before_marks(line, start, end)
            yield line[start:cut].rstrip()
            start = cut
            while cut == at and line[start : start + 1] == " ":
                start += 1
        yield line[start:]

    def _fits(self, line: str, start: int, room: float) -> int:
        """Where the longest piece from ``start`` ends that fits, at least one character long."""
        end = min(len(line), start + _MOST)
        for at in range(start, end):
            room -= self._advance(line[at])
            if room < 0:
                return max(at, start + 1)
        return end


def look_for(characters: Iterable[str]) -> None:
    """Note those that no font has."""
    setter = Typesetter()
    for character in sorted(characters):
        setter.length(clean(character))


def _before_marks(line: str, start: int, cut: int) -> int:
    """Do not part a letter from the marks upon it."""
    at = cut
    while at > start and (unicodedata.combining(line[at]) or line[at] in _JOINERS):
        at -= 1
    return at if at > start else cut


def _shape(font: ImageFont.FreeTypeFont, character: str) -> bytes:
    return bytes(font.getmask(character))


def _asked_for(character: str, size: int) -> ImageFont.FreeTypeFont | None:
    """The font that the system names for a character, if it can be opened and has it."""
    place = systemfonts.find(character)
    if place is None:
        return None
    try:
        font = ImageFont.truetype(place[0], size, index=place[1])
        return font if _shape(font, character) != _shape(font, "\uffff") else None
    except (OSError, ValueError):
        return None


def _system_fonts(size: int) -> list[ImageFont.FreeTypeFont]:
    found = []
    for root in _ROOTS:
        for name in _SYSTEM:
            path = Path(root) / name
            if path.is_file():
                found.append(ImageFont.truetype(str(path), size))
    return found


def pages(text: str, target: Grid, *, mono: bool) -> Iterator[Image.Image]:
    """Grey pages of a text; a form feed begins a new page. A table that is too wide for upright pages lies across them."""
    # laid out on fine rows: letters come out 4 per cent narrower than drawn, and crisper than scaled ones
    upright = size = WIDTH, round(target.inches * FINE)
    text = _BLANK_SHEETS.sub("", _LINE_ENDS.sub("\n", text).rstrip())
    setter, stands = _setter(text, *_room(size), _LEAST[target.y_dpi], mono=mono)
    if mono and not stands and target.y_dpi == FINE:
        turned, stands = _setter(text, *_room(size[::-1]), _LEAST[FINE], mono=mono)
        setter, size = (turned, size[::-1]) if stands else (setter, size)
    room, down = _room(size)
    per_page = max(1, int(down // setter.line_height))
    for sheet in text.split("\f"):
        lines = (wrapped for line in sheet.rstrip().split("\n") for wrapped in setter.wrap(clean(line), room))
        while page_lines := list(islice(lines, per_page)):
            page = Image.new("L", size, 255)
            canvas = ImageDraw.Draw(page)
            for row, line in enumerate(page_lines):
                setter.draw(canvas, _SIDE * X_DPI, _TOP * FINE + row * setter.line_height, line)
            if size != upright:
                page = page.transpose(Image.Transpose.ROTATE_270)
            yield page if page.height == target.height else page.resize((WIDTH, target.height), Image.Resampling.BOX)


def _room(size: tuple[int, int]) -> tuple[float, float]:
    """Between the margins of a page."""
    return size[0] - 2 * _SIDE * X_DPI, size[1] - 2 * _TOP * FINE


def _setter(text: str, room: float, down: float, least: int, *, mono: bool) -> tuple[Typesetter, bool]:
    """Smaller, to that ``least``, where that lets lines and sheets stand as they are: those of a table, a log, notes that are broken
    a little beyond this width, and the sheets of old printers, of 60 lines or 66. A line above a blank one says nothing, as it may be
    a paragraph. And whether the lines stand.
    """
    face, points = ("DejaVuSansMono", _POINTS_MONO) if mono else ("DejaVuSans", _POINTS)
    setter = Typesetter(face, points)
    sheets = [sheet.rstrip().split("\n") for sheet in text[:_SAMPLE].split("\f")]
    lines = [[clean(line[:_MOST]) for line in sheet] for sheet in sheets]
    widths = sorted(setter.length(line) for sheet in lines for line, below in pairwise(sheet) if below)
    heights = sorted(float(setter.line_height * len(sheet)) for sheet in lines if len(lines) > 1)
    size = most = round(points * FINE / 72)
    stands = True
    for found, fits, enough in (
        (widths, room, max(_SEVERAL, _SHARE * len(widths))), (heights, down, max(1, _SHEETS * len(heights))),
    ):  # fmt: skip
        if len(more := found[bisect(found, fits) :]) >= enough:
            wished = [int(most * fits / value) for value in (more[-1], more[int(_MOST_OF * len(more))])]
            size = min(size, next((each for each in wished if each >= least), size))
            stands &= found is heights or wished[-1] >= least
    return Typesetter(face, size * 72 / FINE) if size < most else setter, stands


def clean(line: str) -> str:
    """Tabs become blanks, control characters too; marks that only steer other programs, and the colours of terminals, go."""
    line = _STEERING.sub("", line)
    return "".join(filter(None, map(_printed, line.expandtabs(_TAB)))).rstrip()


@lru_cache(maxsize=4096)
def _printed(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    kind = unicodedata.category(character)
    if kind == "Co":
        return _SIGNS.get(character) or _sign(character)
    # what Unicode has got since is a box, of which is told
    return character if kind == "Cn" else "" if kind == "Cf" else " "


def _sign(character: str) -> str:
    """One of a font of signs, which programs leave in a text without it."""
    from gateway.document import dingbats

    sign = dingbats.signs(character, private=True)
    return character if sign == dingbats.UNKNOWN else sign
