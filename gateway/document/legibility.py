"""What of a fax page will be hard to read, or long on the line, in words for its sender, and where it is seen best."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import median

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from gateway.document.neighbourhood import around, grown, marked, opened
from gateway.document.raster import FINE, STANDARD

_BANDS = 4  # parts of the width in which lines of writing are looked for
_HIGH = range(4, 80)  # rows of a line: no speck, no picture
_PLAIN = 40  # lines of a page that goes across without doubt
_PERHAPS, _TURNED = 1.5, 3  # times as many lines down as across, where writing may go down, and where it does
_SMALL = {FINE: range(6, 16), STANDARD: range(4, 10)}  # rows that a line of small print is high, by rows to the inch
_SMALL_DOWN = {FINE: range(6, 16), STANDARD: range(8, 19)}  # points that it is wide, where it goes down the page
_LETTER = {FINE: 40, STANDARD: 20}  # rows that a letter of ordinary print is never high
_LOW = 12  # rows of a fine page: a line that is lower may be of full stops
_WORD = {FINE: 18, STANDARD: 9}  # rows of a word of two small digits that goes down the page; less was cut from one
_LINES = re.compile(rb"\x01(?:\x00{0,2}\x01)*")  # rows that are written on, and the gap below the dot of an i
_WORDS = re.compile(rb"[^\x00](?:\x00{0,4}[^\x00])*")  # of a line that goes down, and the blanks of small print
_WRITTEN = [2 if v < 100 else 1 if v < 254 else 0 for v in range(256)]  # what a row shows: a rule, writing or nothing
_SMALL_LINES = 6  # bands of small lines that are worth a word
_BLACK = 0.35  # share of ink of a page that is mostly black
_LONG = 120.0  # seconds on the line of a page that old machines may not bear
_FAINT = range(24, 46)  # grey levels between light writing and its ground, in the mean of a cell
_FILLED = 70  # of 255: share of a tile that writing fills
_FAINT_TILES = 60  # tiles of 32 pixels that hold nothing darker: about three lines
_PALE = range(4, 40)  # grey levels between pale writing and its ground, in the mean of a cell
_GONE = range(34)  # and in the deepest around, where there is nothing darker
_STEP = range(4, 45)  # and from one point of it to the next
_STEPS = 12  # of 255: share of the points of a tile with such a step
_THROUGH = 200  # of 255: share of those in a row or column of a tile that a rule goes through
_UNINKED = range(251, 256)  # the mean of a tile without ink, but a trace
_LOST_TILES = 4  # a word
_SQUARE = 8  # points across: the rounded mean of so few is still of one number of them
_SPECKS = 3000  # points of ink of a page that may be only specks
_NO_SPECK = (
    (3, 3),
    (8, 1),
    (1, 6),
)  # points across and down of a full stop, and of a thin rule, or a stroke of small print
_TILE = 32  # pixels across, and rows of a fine page, of the tiles that are marked
_PART = (27, 14)  # tiles of the part of a page that shows how small or light its writing is

Box = tuple[int, int, int, int]
Line = tuple[int, int, int]  # its band, where it starts, and ends


@dataclass(frozen=True, slots=True)
class Opinion:
    """Sentences on a page, none for one that is as it should be; ``region``: the part of it where they are seen, None: all."""

    warnings: tuple[str, ...] = ()
    region: Box | None = None


def is_blank(page: Image.Image) -> bool:
    """Whether a black-and-white page shows nothing but short specks of two points."""
    if not (ink := _ink(page)):
        return True
    if ink >= _SPECKS:
        return False
    lights = ImageChops.invert(page.convert("L"))
    return not any(opened(lights, *size).getbbox() for size in _NO_SPECK)


def opinion(
    page: Image.Image,
    y_dpi: int,
    *,
    seconds: float,
    faint: Image.Image | None,
    lost: Image.Image | None,
    photographs: bool,
    cleared: bool,
) -> Opinion:
    """What a sender should know of a black-and-white page.

    ``seconds`` it takes on the line, ``faint`` as :func:`faintness` marked it and ``lost`` as :func:`lost_in`, ``photographs``:
    some were found on it, ``cleared``: the ground around a sheet was left white.
    """
    found = []
    marks = None
    share = _ink(page) / (page.width * page.height)
    if share > _BLACK:
        found.append(f"is {share:.0%} black, which costs the recipient toner and may smear")
    if seconds > _LONG:
        why = "photographs" if photographs else "shades or fine patterns"
        found.append(f"takes about {seconds / 60:.0f} minutes to send because of its {why}; old machines may give up")
    elif photographs:
        found.append("holds photographs, which are printed in black dots")
    if cleared:
        found.append("is a photo of a sheet of paper; the background around it was left white")
    if faint is not None and faint.histogram()[255] >= _FAINT_TILES:
        found.append("has light writing on it, which may be hard to read")
        marks = faint
    if lost is not None:
        found.append("has writing or drawings on it that are too pale to show on a fax; send them darker")
        marks = lost
    if not photographs:
        lines, small = _small_lines(page, y_dpi)
        if lines >= _SMALL_LINES:
            remedy = "send it in fine resolution, or larger" if y_dpi == STANDARD else "send it larger if it matters"
            found.append(f"has very small print on it, which may be hard to read; {remedy}")
            marks = marks or small  # where writing is light is surer
    return Opinion(tuple(found), None if marks is None else _around(marks, page, y_dpi))


def _ink(page: Image.Image) -> int:
    """Points of ink of a black-and-white page, counted in squares: the histogram of a whole page takes as long as its G4."""
    points = _SQUARE**2
    counts = page.convert("L").reduce(_SQUARE).histogram()
    return sum(count * round((255 - mean) * points / 255) for mean, count in enumerate(counts))


def faintness(below: Image.Image, deepest: Image.Image) -> Image.Image:
    """Marks the tiles that hold light writing and none that is darker.

    ``below``: how far each cell is below its ground, ``deepest``: how far the deepest around it are.
    """
    size = max(1, below.width // 8), max(1, below.height // 8)
    half = deepest.resize((4 * size[0], 4 * size[1]), Image.Resampling.NEAREST)
    darkest = grown(half, 1).resize(size, Image.Resampling.BOX)
    inked = marked(below, _FAINT.start // 2)
    return ImageChops.darker(_within(darkest, _FAINT), _filled(inked, size))  # a rule fills less of a tile than writing


def lost_in(
    page: Image.Image, grey: Image.Image, ground: Image.Image, below: Image.Image, deepest: Image.Image
) -> Image.Image | None:
    """Marks the tiles of a black-and-white page where next to nothing is ink, and the ``grey`` one has writing: what is uneven across and
    down, and does not go through them as a rule does. None where that is less than a word.

    ``ground``, of the paper, ``below`` and ``deepest`` as in :func:`faintness`, of a page without grain.
    """
    size = max(1, below.width // 8), max(1, below.height // 8)
    pale = ImageChops.darker(_within(below, _PALE), _within(deepest, _GONE))
    if not _are_lost(_filled(pale, size)):
        return None
    counts = ground.histogram()
    paper = counts.index(max(counts))
    marks = _filled(ImageChops.darker(pale, _within(ground, range(paper - 1, paper + 2))), size)
    if not _are_lost(marks):
        return None
    marks = ImageChops.darker(marks, _within(_ink_around(marks, page, below.size), _UNINKED))
    if not _are_lost(marks):
        return None
    for x, y in ((1, 0), (0, 1)):
        steps = _within(ImageChops.difference(grey, grey.crop((x, y, grey.width + x, grey.height + y))), _STEP)
        lines = steps.resize((grey.width, size[1]) if x else (size[0], grey.height), Image.Resampling.BOX)
        share = lines.point([v if v < _THROUGH else 0 for v in range(256)]).resize(size, Image.Resampling.BOX)
        marks = ImageChops.darker(marks, marked(share, _STEPS))
    return marks if _are_lost(marks) else None


def _are_lost(marks: Image.Image) -> bool:
    """Whether so many tiles are marked as a word has."""
    return marks.histogram()[255] >= _LOST_TILES


def _filled(cells: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Marks the tiles of which as many cells are marked as writing fills; ``size``: how many there are across and down."""
    return marked(cells.resize(size, Image.Resampling.BOX), _FILLED)


def _ink_around(marks: Image.Image, page: Image.Image, cells: tuple[int, int]) -> Image.Image:
    """The mean of each tile that is marked on a black-and-white page of so many cells."""
    x, y = round(page.width / cells[0]), round(page.height / cells[1])
    left, top, right, bottom = around(marks.getbbox() or (0, 0, 0, 0), 1, 8, cells)
    means = Image.new("L", cells, 255)
    means.paste(page.crop((left * x, top * y, right * x, bottom * y)).convert("L").reduce((x, y)), (left, top))
    return means.resize(marks.size, Image.Resampling.BOX)


def _within(image: Image.Image, levels: range) -> Image.Image:
    return marked(image, levels.start, levels.stop)


def _small_lines(page: Image.Image, y_dpi: int) -> tuple[int, Image.Image]:
    """How often a line of small print is seen: lower than six points, in standard resolution eight; and in which tiles."""
    rows = _TILE * y_dpi // FINE
    marks = Image.new("L", (page.width // _TILE, max(1, page.height // rows)))
    grey = page.convert("L")
    across, turned = _lines(grey.reduce((page.width // _BANDS, 1))), False
    found, count = _small(across, _SMALL[y_dpi]), sum(map(len, across))
    is_plain = count >= _PLAIN
    # else they may go down the page, as on one that was turned to fit
    if not is_plain or (len(found) >= _SMALL_LINES and _has_few_words(grey, y_dpi, found)):
        down = _lines(grey.reduce((1, max(1, page.height // _BANDS))).transpose(Image.Transpose.TRANSPOSE))
        small = _small(down, _SMALL_DOWN[y_dpi])
        more = sum(map(len, down)) / max(count, 1)
        if is_plain:
            if turned := _is_longer(grey, y_dpi, down, found):
                found = [line for line in small if _longest(grey, line, down=True) > _WORD[y_dpi]]
        elif turned := more > _TURNED:
            found = [line for line in small if _longest(grey, line, down=True) > _LETTER[y_dpi]]
        elif more > _PERHAPS and len(small) < _SMALL_LINES:
            found = []
    draw = ImageDraw.Draw(marks)
    for band, start, end in found:
        size, tile = (marks.height, _TILE) if turned else (marks.width, rows)
        left, right = size * band // _BANDS, size * (band + 1) // _BANDS - 1
        top, bottom = start // tile, end // tile
        draw.rectangle((top, left, bottom, right) if turned else (left, top, right, bottom), fill=255)
    return len(found), marks


def _has_few_words(grey: Image.Image, y_dpi: int, lines: list[Line]) -> bool:
    """Whether most of what seems to be lines across has no word of three digits: those of a table, or letters of lines down, one beside the
    other, as in a table in letters of one width.
    """
    words = sum(
        _longest(grey, (band, start, end), down=False) > 2 * max(_LOW, (end - start) * FINE // y_dpi)
        for band, start, end in lines
    )
    return 2 * words < len(lines)


def _is_longer(grey: Image.Image, y_dpi: int, down: list[list[tuple[int, int]]], across: list[Line]) -> bool:
    """Whether words are mostly longer along the lines ``down`` a page than along those ``across``."""
    lengths = [
        _longest(grey, (band, *line), down=True) * FINE // y_dpi for band, lines in enumerate(down) for line in lines
    ]
    others = [_longest(grey, line, down=False) for line in across]
    return bool(lengths) and median(lengths) > median(others)


def _longest(grey: Image.Image, line: Line, *, down: bool) -> int:
    """How long the longest word is in what seems to be a line, in columns, or ``down`` the page in rows; more than a letter of lines the
    other way, one beside or below the other?
    """
    band, start, end = line
    size = max(1, (grey.height if down else grey.width) // _BANDS)
    first, last = band * size, (band + 1) * size
    part = grey.crop((start, first, end, last) if down else (first, start, last, end))
    written = part.reduce((end - start, 1) if down else (1, end - start)).point(_WRITTEN).tobytes()
    return max(map(len, _WORDS.findall(written)), default=0)


def _lines(bands: Image.Image) -> list[list[tuple[int, int]]]:
    """What looks like lines of writing in each band of a page, a column of the picture: where each starts, and ends."""
    rows = (bands.crop((band, 0, band + 1, bands.height)).point(_WRITTEN).tobytes() for band in range(_BANDS))
    runs = ([run.span() for run in _LINES.finditer(written)] for written in rows)
    return [[(start, end) for start, end in band if end - start in _HIGH] for band in runs]


def _small(bands: list[list[tuple[int, int]]], high: range) -> list[Line]:
    """Of the lines in each band those that are so high, and so are those beside it: the band, where it starts, and ends.

    Single words of larger print are as low, without ascenders.
    """
    found = []
    for band, lines in enumerate(bands):
        small = [True, *(end - start in high for start, end in lines), True]
        found += [(band, *line) for n, line in enumerate(lines) if all(small[n : n + 3])]
    return found


def _around(marks: Image.Image, page: Image.Image, y_dpi: int) -> Box:
    """The part of the page with the most marks."""
    counted = marks.filter(ImageFilter.GaussianBlur((_PART[0] // 3, _PART[1] // 3)))
    y, x = divmod(counted.tobytes().index(int(counted.getextrema()[1])), marks.width)  # type: ignore[arg-type]  # one band
    rows = _TILE * y_dpi // FINE
    width, height = min(_PART[0] * _TILE, page.width), min(_PART[1] * rows, page.height)
    left = min(max(0, (x - _PART[0] // 2) * _TILE), page.width - width)
    top = min(max(0, (y - _PART[1] // 2) * rows), page.height - height)
    return left, top, left + width, top + height
