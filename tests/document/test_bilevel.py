"""Black and white that can be read: measured against the same text in black on white."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from PIL import Image, ImageChops, ImageFilter

from gateway.document import exposure, photographs
from gateway.document.bilevel import inked, to_bilevel
from gateway.document.neighbourhood import smoothed
from gateway.document.raster import FINE, STANDARD

from .conftest import Pages
from .made import Sheet, grain, photo
from .made import pdf as pdf_of

Draw = Callable[[Sheet], Sheet]
LINE = "The quick brown fox jumps over the lazy dog 0123456789"
TOP, LEFT, SIZE = 200, 80, 10


def words(sheet: Sheet, grey: float | tuple[float, float, float] = 0, size: float = SIZE, rows: int = 6) -> Sheet:
    for row in range(rows):
        sheet.text(LEFT, TOP + row * size * 1.5, f"{row} {LINE}", size, grey=grey)
    return sheet


class Reading:
    """Bilevel pages of sheets, and how much of the words of one is in another."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def grey(self, sheet: Sheet, resolution: str = "fine") -> Image.Image:
        (page,) = self._pages(pdf_of([sheet]), resolution=resolution)
        return page.image

    def black(self, sheet: Sheet, resolution: str = "fine") -> Image.Image:
        """White where the page is white, 0 where it is black."""
        grey = self.grey(sheet, resolution)
        return to_bilevel(grey, STANDARD if resolution == "standard" else FINE).convert("L")


@pytest.fixture
def reading(pages: Pages) -> Reading:
    return Reading(pages)


def box(size: float = SIZE, rows: int = 6, y_dpi: int = FINE) -> tuple[int, int, int, int]:
    """Pixels around the words."""
    right = LEFT + len(LINE) * size * 0.5
    bottom = TOP + (rows - 1) * size * 1.5 + size * 0.4
    return (
        round((LEFT - 2) / 72 * 204), round((TOP - size) / 72 * y_dpi), round(right / 72 * 204), round(bottom / 72 * y_dpi)
    )  # fmt: skip


def legible(shown: Image.Image, ideal: Image.Image, where: tuple[int, int, int, int]) -> tuple[float, float]:
    """The share of the ideal's ink that is black, and of its ground, a pixel off the ink, that is white."""
    shown, ideal = shown.crop(where), ideal.crop(where)
    core = ideal
    ground = ideal.filter(ImageFilter.MinFilter(5))  # without the edges of letters
    ink = ImageChops.lighter(core, shown).histogram()[0] / core.histogram()[0]
    clear = ImageChops.darker(ground, shown).histogram()[255] / ground.histogram()[255]
    return ink, clear


def reads(shown: Image.Image, ideal: Image.Image, where: tuple[int, int, int, int], *, ink: float = 0.85) -> bool:
    found, clear = legible(shown, ideal, where)
    return found >= ink and clear >= 0.98


@pytest.mark.parametrize("resolution", ["fine", "standard"])
@pytest.mark.parametrize("grey", [0, 0.3, 0.5, 0.6, 0.7, (0.8, 0, 0), (0, 0.4, 0.8), (0.2, 0.6, 0.2)])
def test_grey_and_coloured_text_is_whole(reading: Reading, grey: float, resolution: str) -> None:
    ideal = reading.black(words(Sheet()), resolution)
    shown = reading.black(words(Sheet(), grey), resolution)
    assert reads(shown, ideal, box(y_dpi=98 if resolution == "standard" else 196), ink=0.7)


@pytest.mark.parametrize("size", [7, 8, 9, 10, 12, 18])
@pytest.mark.parametrize("grey", [0, 0.6])
def test_text_of_any_size_is_whole(reading: Reading, size: float, grey: float) -> None:
    ideal = reading.black(words(Sheet(), 0, size))
    shown = reading.black(words(Sheet(), grey, size))
    assert reads(shown, ideal, box(size), ink=0.8)


@pytest.mark.parametrize("size", [6.5, 8, 10])
@pytest.mark.parametrize("grey", [0.7, 0.75])
def test_strokes_of_light_text_are_as_wide_as_those_of_black(reading: Reading, grey: float, size: float) -> None:
    ideal = reading.black(words(Sheet(), 0, size))
    shown = reading.black(words(Sheet(), grey, size))
    assert reads(shown, ideal, box(size), ink=0.9)


def test_a_narrow_pale_tint_between_light_words_leaves_no_bar(reading: Reading) -> None:
    sheet = Sheet()
    for row in range(12):
        sheet.box(LEFT, TOP + row * 18, 450, 9, 0.88)
        for column in range(4):
            sheet.text(LEFT + column * 130, TOP + 6.5 + row * 18, LINE[:9], 6.5, grey=0.7)
    where = round(LEFT / 72 * 204), round(TOP / 72 * 196), round((LEFT + 450) / 72 * 204), round((TOP + 216) / 72 * 196)
    shown = reading.black(sheet).crop(where)
    assert shown.histogram()[0] < 0.1 * shown.width * shown.height


@pytest.mark.parametrize("size", [60, 90])
def test_the_large_pale_letters_of_a_watermark_leave_little(reading: Reading, size: float) -> None:
    plain = words(Sheet(), 0.7, rows=4)
    # filled and stroked, or it would be outlined
    marked = words(Sheet(), 0.7, rows=4).raw(b"2 Tr 0.88 G 0.1 w").text(LEFT, 600, "DRAFT", size, grey=0.88)
    ink = [reading.black(sheet).histogram()[0] for sheet in (plain, marked)]
    assert ink[1] < 1.25 * ink[0]


TINTS = [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, (1, 0.95, 0.6), (0.75, 0.8, 0.9), (0.9, 0.7, 0.7), (0.6, 0.85, 0.6)]


@pytest.mark.parametrize("resolution", ["fine", "standard"])
@pytest.mark.parametrize("tint", TINTS)
def test_text_on_a_tinted_box_is_not_turned_to_mud(
    reading: Reading, tint: float | tuple[float, float, float], resolution: str
) -> None:
    ideal = reading.black(words(Sheet()), resolution)
    shown = reading.black(words(Sheet().box(LEFT - 12, TOP - 20, 420, 110, tint)), resolution)
    assert reads(shown, ideal, box(y_dpi=98 if resolution == "standard" else 196))


@pytest.mark.parametrize("tint", [0.9, 0.75, 0.6, (1, 0.93, 0.7), (0.75, 0.8, 0.9)])
def test_text_on_tinted_paper_is_not_turned_to_mud(reading: Reading, tint: float | tuple[float, float, float]) -> None:
    ideal = reading.black(words(Sheet(), rows=30))
    shown = reading.black(words(Sheet().box(0, 0, 612, 792, tint), rows=30))
    assert reads(shown, ideal, box(rows=30))


@pytest.mark.parametrize("tint", [0.85, 0.75, 0.65, (0.85, 0.9, 0.95)])
@pytest.mark.parametrize("height", [14, 18, 24])
def test_a_table_with_tinted_rows_is_readable(
    reading: Reading, tint: float | tuple[float, float, float], height: float
) -> None:
    def table(sheet: Sheet, *, tinted: bool) -> Sheet:
        for row in range(8):
            if tinted and row % 2 == 0:
                sheet.box(LEFT - 6, TOP + row * height, 400, height, tint)
            sheet.text(LEFT, TOP + (row + 0.68) * height, f"{row} {LINE}", 9)
        return sheet

    ideal = reading.black(table(Sheet(), tinted=False))
    shown = reading.black(table(Sheet(), tinted=True))
    for row in range(0, 8, 2):  # within each tinted row, off its outline
        top, bottom = TOP + row * height, TOP + (row + 1) * height
        where = (
            round(LEFT / 72 * 204), round((top + 0.25 * height) / 72 * 196), round((LEFT + 260) / 72 * 204),
            round((bottom - 0.25 * height) / 72 * 196),
        )  # fmt: skip
        assert legible(shown, ideal, where)[0] > 0.85
        assert legible(shown, ideal, where)[1] > 0.95


@pytest.mark.parametrize("resolution", ["fine", "standard"])
@pytest.mark.parametrize("tint", [0.85, 0.78, 0.7, (0.8, 0.88, 1), (0.7, 0.9, 0.7)])
@pytest.mark.parametrize("height", [7.5, 8.5, 10])
def test_low_tinted_rows_are_not_black_between_their_cells(
    reading: Reading, tint: float | tuple[float, float, float], height: float, resolution: str
) -> None:
    sheet = Sheet()
    for row in range(0, 40, 2):
        sheet.box(LEFT - 6, TOP + row * height, 460, height, tint)
        for column in range(4):
            sheet.text(LEFT + column * 120, TOP + (row + 0.75) * height, "23.11 due", height * 0.82)
    rows = FINE if resolution == "fine" else STANDARD
    where = (
        round(LEFT / 72 * 204), round(TOP / 72 * rows), round((LEFT + 440) / 72 * 204),
        round((TOP + 39 * height) / 72 * rows),
    )  # fmt: skip
    shown = reading.black(sheet, resolution).crop(where)
    assert shown.histogram()[0] < 0.3 * shown.width * shown.height  # the words are a tenth, and rows have an outline


def test_a_low_row_with_white_words_stays_black(reading: Reading) -> None:
    sheet = Sheet().box(LEFT - 6, TOP, 460, 9, 0.65)
    for column in range(4):
        sheet.text(LEFT + column * 120, TOP + 7, "Amount", 7, grey=1, bold=True)
        sheet.text(LEFT + column * 120, TOP + 20, "23.11 due", 7)
    where = (
        round((LEFT + 50) / 72 * 204),
        round((TOP + 2) / 72 * 196),
        round((LEFT + 110) / 72 * 204),
        round((TOP + 7) / 72 * 196),
    )
    assert reading.black(sheet).crop(where).getextrema() == (0, 0)


def light_text(reading: Reading, ground: float | tuple[float, float, float]) -> tuple[float, float]:
    """How much of white words is white, and of what is close to them black."""
    ideal = reading.black(words(Sheet(), size=12))
    shown = reading.black(words(Sheet().box(LEFT - 20, TOP - 30, 460, 140, ground), 1, 12))
    where = box(12)
    letters = ImageChops.invert(ideal).crop(where)  # white where the letters are
    close = ImageChops.subtract(letters.filter(ImageFilter.MaxFilter(9)), letters.filter(ImageFilter.MaxFilter(5)))
    white, shown = letters.filter(ImageFilter.MinFilter(3)), shown.crop(where)
    kept = ImageChops.darker(white, shown).histogram()[255] / max(1, white.histogram()[255])
    rim = ImageChops.darker(close, ImageChops.invert(shown)).histogram()[255] / close.histogram()[255]
    return kept, rim


@pytest.mark.parametrize("ground", [0, 0.2, 0.4, 0.5, 0.6, (0.31, 0.51, 0.74), (0, 0.45, 0.25), (0.75, 0.1, 0.1)])
def test_light_text_on_a_dark_or_middle_ground_stands_out(
    reading: Reading, ground: float | tuple[float, float, float]
) -> None:
    kept, rim = light_text(reading, ground)
    assert kept > 0.8
    assert rim > 0.85


@pytest.mark.parametrize("ground", [(0, 0.45, 0.25), 0.35, (0.85, 0.1, 0.1), (0.1, 0.3, 0.8)])
def test_black_text_on_a_dark_ground_stands_out(reading: Reading, ground: float | tuple[float, float, float]) -> None:
    ideal = reading.black(words(Sheet(), size=12))
    shown = reading.black(words(Sheet().box(LEFT - 20, TOP - 30, 460, 140, ground), 0, 12))
    ink, clear = legible(shown, ideal, box(12))
    assert ink > 0.85
    assert clear > 0.45, "a rim around the letters at least"


def test_what_is_dark_and_large_stays_black(reading: Reading) -> None:
    shown = reading.black(Sheet().box(72, 72, 200, 100, (0.1, 0.3, 0.8)).box(72, 300, 300, 8).text(72, 500, "LOGO", 90))
    inside = shown.crop((220, 210, 740, 450))
    assert inside.getextrema() == (0, 0)
    assert shown.crop((210, 820, 1040, 836)).getextrema() == (0, 0)


def test_a_pale_tint_leaves_no_trace_and_a_middle_one_an_outline(reading: Reading) -> None:
    pale = reading.black(Sheet().box(100, 100, 300, 300, 0.93))
    assert pale.getextrema() == (255, 255)
    middle = reading.black(Sheet().box(100, 100, 300, 300, 0.6))
    assert middle.crop((310, 300, 1100, 1050)).getextrema() == (255, 255)
    outline = middle.crop((270, 260, 1145, 1105)).histogram()[0]
    assert outline / (4 * 835) < 12, "pixels wide"
    assert outline > 4 * 835


def test_hairlines_are_kept(reading: Reading) -> None:
    shown = reading.black(Sheet().line(72, 300, 540, 300, 0.25, 0.4).line(72, 400, 540, 400, 0.5, 0.5))
    for y in (300, 400):
        rows = shown.crop((210, round(y / 72 * 196) - 4, 1500, round(y / 72 * 196) + 4))
        assert rows.histogram()[0] > 0.95 * rows.width


def test_the_edge_of_a_stroke_is_straight_where_others_join_it(reading: Reading) -> None:
    sheet = Sheet()
    columns = [100 + n * 20.3 for n in range(16)]  # at every place on the cells
    for x in columns:
        sheet.line(x, 100, x, 300, 1.0, 0.3)
        for y in range(105, 300, 7):
            sheet.line(x, y, x + 6, y, 1.0, 0.3)
    shown = ImageChops.invert(reading.black(sheet))
    uneven = 0
    for x in columns:
        half = shown.crop((round((x - 2) / 612 * 1728), 290, round(x / 612 * 1728), 800))
        widths = {sum(half.crop((0, row, half.width, row + 1)).tobytes()) // 255 for row in range(half.height)}
        uneven += len(widths) - 1
    assert uneven <= 2


def test_the_mean_around_each_point_is_that_of_nine() -> None:
    picture = grain((40, 30), 60)
    found = smoothed(picture)
    assert found.size == picture.size
    exact = picture.filter(ImageFilter.BoxBlur(1))
    assert max(ImageChops.difference(found, exact).getextrema()) <= 3


# --- scans ------------------------------------------------------------------------------------------------------------


def scanned(grey: Image.Image, paper: int, noise: float) -> Image.Image:
    """As a scanner sees it: paper of a grey, a little blurred, darker to one side, grained."""
    blurred = grey.filter(ImageFilter.GaussianBlur(0.7)).point([round(v * paper / 255) for v in range(256)])
    shade = Image.linear_gradient("L").rotate(90).resize(grey.size).point([255 - v // 8 for v in range(256)])
    return ImageChops.add(ImageChops.multiply(blurred, shade), grain(grey.size, noise * 2), 1, -128)


@pytest.mark.parametrize("paper", [245, 205, 165])
@pytest.mark.parametrize("noise", [2, 5])
def test_a_scan_of_grey_or_grained_paper_is_clean(reading: Reading, paper: int, noise: float) -> None:
    sheet = words(Sheet(), 0.1, rows=25)
    ideal = reading.black(sheet)
    shown = to_bilevel(scanned(reading.grey(sheet), paper, noise), FINE).convert("L")
    ink, clear = legible(shown, ideal, box(rows=25))
    assert ink > 0.8
    assert clear > 0.99
    empty = shown.crop((100, 1600, 1600, 2100))
    assert empty.histogram()[0] < empty.width * empty.height * 0.003


@pytest.mark.parametrize("resolution", ["fine", "standard"])
@pytest.mark.parametrize("height", [14, 18, 40])
@pytest.mark.parametrize("tint", [0.5, 0.6, 0.7])
def test_a_box_of_a_middle_tint_with_light_words_is_black_as_a_whole(
    reading: Reading, tint: float, height: float, resolution: str
) -> None:
    sheet = Sheet().box(LEFT, TOP, 420, height, tint)
    for column in range(3):
        sheet.text(LEFT + 8 + column * 150, TOP + height / 2 + 3, "Description", 9, grey=1)
    words(sheet, rows=0).text(LEFT, TOP + height + 12, LINE, 9)  # the first row of a table
    shown = reading.black(sheet, resolution)
    rows = 98 if resolution == "standard" else 196
    gap = (LEFT + 90) / 72 * 204, (TOP + 2) / 72 * rows, (LEFT + 140) / 72 * 204, (TOP + height - 2) / 72 * rows
    assert shown.crop(tuple(map(round, gap))).getextrema() == (0, 0)
    first = (
        (LEFT + 8) / 72 * 204,
        (TOP + height / 2 - 4) / 72 * rows,
        (LEFT + 50) / 72 * 204,
        (TOP + height / 2 + 4) / 72 * rows,
    )
    assert (
        shown.crop(tuple(map(round, first))).histogram()[255]
        / ((round(first[2]) - round(first[0])) * (round(first[3]) - round(first[1])))
        > 0.15
    )


@pytest.mark.parametrize(("tint", "grey"), [(0.5, 0), (0.6, 0), (0.7, 0), (0.5, 0.35), (0.6, 0.4), (0.7, 0.5)])
def test_dark_words_in_a_box_with_light_words_stand_in_a_light_patch(
    reading: Reading, tint: float, grey: float
) -> None:
    def form(sheet: Sheet) -> Sheet:
        return sheet.text(LEFT, TOP + 60, f"0 {LINE}", SIZE, grey=grey)

    boxed = Sheet().box(LEFT - 12, TOP, 420, 110, tint).text(LEFT, TOP + 20, "Light words", 9, grey=1)
    where = (
        round((LEFT - 2) / 72 * 204),
        round((TOP + 50) / 72 * FINE),
        round(340 / 72 * 204),
        round((TOP + 64) / 72 * FINE),
    )
    ink, clear = legible(reading.black(form(boxed)), reading.black(form(Sheet())), where)
    assert ink > 0.85
    assert clear > 0.9


def test_a_page_in_uneven_light_is_no_photograph(reading: Reading) -> None:
    """As a phone takes it: bright in the middle, blotches and a shadow."""
    sheet = words(Sheet(), 0.15, rows=30)
    ideal = reading.black(sheet)
    light = grain((7, 9), 30, 3).resize((1728, 2156), Image.Resampling.BICUBIC).point([90 + v for v in range(256)])
    lit = ImageChops.multiply(reading.grey(sheet), light)
    assert lit.resize((9, 9), Image.Resampling.BOX).getextrema()[0] < 170  # type: ignore[operator]  # one band
    shown = to_bilevel(ImageChops.add(lit, grain(lit.size, 4), 1, -128), FINE).convert("L")
    assert reads(shown, ideal, box(rows=30), ink=0.8)


# --- photographs ------------------------------------------------------------------------------------------------------


def mean(image: Image.Image) -> float:
    return sum(v * n for v, n in enumerate(image.histogram())) / (image.width * image.height)


def test_a_photograph_keeps_its_tones_and_the_text_beside_it_stays_sharp(reading: Reading) -> None:
    picture = photo(1000, 700)
    sheet = words(Sheet(), rows=8).picture(80, 400, 420, 294, picture)
    shown, grey = reading.black(sheet), reading.grey(sheet)
    ideal = reading.black(words(Sheet(), rows=8))
    assert reads(shown, ideal, box(rows=8))
    left, top, right, bottom = (round(v) for v in (110 / 72 * 204, 430 / 72 * 196, 470 / 72 * 204, 660 / 72 * 196))
    for row in range(3):  # bands of different tone keep it
        band = (left, top + row * (bottom - top) // 3, right, top + (row + 1) * (bottom - top) // 3)
        assert mean(shown.crop(band)) == pytest.approx(mean(grey.crop(band)), abs=25)


def test_a_photograph_that_fills_the_page(pages: Pages) -> None:
    import io

    out = io.BytesIO()
    photo(1700, 2200).save(out, format="JPEG")
    (page,) = pages(out.getvalue())
    shown = to_bilevel(page.image, page.y_dpi).convert("L")
    assert mean(shown) == pytest.approx(mean(page.image), abs=20)


def test_a_photograph_on_tinted_paper_whitens_the_paper(reading: Reading) -> None:
    sheet = Sheet().box(0, 0, 612, 792, 0.8).picture(150, 300, 300, 210, photo(1000, 700))
    shown = reading.black(words(sheet, rows=3))
    ideal = reading.black(words(Sheet(), rows=3))
    assert reads(shown, ideal, box(rows=3))
    assert mean(shown.crop((100, 1700, 1600, 2100))) == 255


def test_two_photographs_near_each_other_leave_what_is_between_them_and_beside_them_sharp(reading: Reading) -> None:
    def page(*, pictures: bool) -> Sheet:
        sheet = Sheet()
        if pictures:
            sheet.picture(60, 80, 300, 200, photo(1000, 667)).picture(140, 316, 300, 200, photo(1000, 667, 2))
        for n in range(9):
            sheet.text(372, 92 + n * 10, f"beside the picture {n}", 7)
        return sheet.text(60, 292, "what the first picture shows", 7).text(140, 528, "and the second one", 7)

    shown, ideal = reading.black(page(pictures=True)), reading.black(page(pictures=False))
    for left, top, right, bottom in ((60, 284, 360, 296), (371, 84, 470, 180), (140, 520, 440, 532)):
        where = (round(left / 72 * 204), round(top / 72 * 196), round(right / 72 * 204), round(bottom / 72 * 196))
        assert reads(shown, ideal, where)


@pytest.mark.parametrize(("base", "part"), [(100, 2), (150, 3)])
def test_a_pale_photograph_keeps_its_tones(reading: Reading, base: int, part: int) -> None:
    light = photo(1000, 667).point([base + v // part for v in range(256)] * 3)
    sheet = Sheet().picture(100, 100, 400, 267, light)
    shown, grey = reading.black(sheet), reading.grey(sheet)
    where = (400, 350, 1300, 900)
    assert mean(shown.crop(where)) == pytest.approx(mean(grey.crop(where)), abs=12)


def test_a_photograph_with_much_black_in_it_is_halftoned_as_a_whole(reading: Reading) -> None:
    night = photo(1000, 700)
    night.paste((8, 8, 8), (0, 350, 620, 700))  # a coat
    wall = Image.linear_gradient("L").rotate(90).resize((380, 350)).point([120 + v // 8 for v in range(256)])
    night.paste(wall.convert("RGB"), (620, 350))
    shown, grey = (
        reading.black(Sheet().picture(100, 100, 400, 280, night)),
        reading.grey(Sheet().picture(100, 100, 400, 280, night)),
    )
    ((_, mask),) = photographs.find(grey.reduce(4), grey.reduce(4), (4, 4))
    assert mask is None
    part = (1080, 700, 1390, 1000)  # the wall beside it
    assert mean(shown.crop(part)) == pytest.approx(mean(grey.crop(part)), abs=15)


def test_the_bars_of_a_chart_are_no_photograph(reading: Reading) -> None:
    sheet = Sheet()
    for bar in range(12):
        sheet.box(80 + bar * 38, 740 - 40 - bar * 9, 26, 40 + bar * 9, 0.25 + bar * 0.04)
    shown = reading.black(sheet)
    assert not regions(reading.grey(sheet))
    for bar in range(12):
        left = 80 + bar * 38
        inside = shown.crop((round((left + 9) / 72 * 204), 1930, round((left + 17) / 72 * 204), 1980))
        assert inside.getextrema() in ((0, 0), (255, 255))


def regions(image: Image.Image, y_dpi: int = FINE) -> list[photographs.Box]:
    cell = (4, 2 if y_dpi == STANDARD else 4)
    return [box for box, _ in photographs.find(image.reduce(cell), image.reduce(cell), cell)]


def test_where_a_photograph_is(reading: Reading) -> None:
    for resolution, y_dpi in (("fine", FINE), ("standard", STANDARD)):
        grey = reading.grey(Sheet().picture(100, 100, 400, 280, photo(1000, 700)), resolution)
        (found,) = regions(grey, y_dpi)
        place = (100 / 72 * 204, 100 / 72 * y_dpi, 500 / 72 * 204, 380 / 72 * y_dpi)
        assert all(abs(a - b) <= 80 for a, b in zip(found, place, strict=True)), (found, place)


def test_a_picture_that_is_no_rectangle_is_masked(reading: Reading) -> None:
    grey = reading.grey(
        Sheet().picture(100, 100, 400, 80, photo(1000, 200)).picture(100, 180, 90, 400, photo(200, 900))
    )
    cell = (4, 4)
    ((box, mask),) = photographs.find(grey.reduce(cell), grey.reduce(cell), cell)
    assert mask is not None
    assert mask.size == (box[2] - box[0], box[3] - box[1])
    assert mask.getpixel((mask.width - 1, mask.height - 1)) == 0
    assert mask.getpixel((60, 60)) == 255


@pytest.mark.parametrize("size", [(1728, 60), (1728, 30), (100, 2000), (5, 5)])
def test_a_page_too_small_to_look_for_photographs(size: tuple[int, int]) -> None:
    shown = to_bilevel(Image.linear_gradient("L").resize(size), FINE)
    assert (shown.mode, shown.size) == ("1", size)


def test_other_modes() -> None:
    white = Image.new("1", (1728, 2156), 1)
    assert to_bilevel(white, FINE) is white
    assert to_bilevel(Image.new("RGB", (1728, 2156), (255, 255, 255)), FINE).getextrema() == (255, 255)
    assert to_bilevel(Image.new("L", (1728, 2156), 0), FINE).getextrema() == (0, 0)


def test_a_gradient_is_no_crash_and_monotonous() -> None:
    shown = to_bilevel(Image.linear_gradient("L").resize((1728, 2156)), FINE).convert("L")
    top, bottom = shown.crop((0, 0, 1728, 700)), shown.crop((0, 1500, 1728, 2156))
    assert mean(top) < mean(bottom)
    assert math.isclose(mean(shown.crop((0, 0, 1728, 400))), 0, abs_tol=60)


# --- shade ------------------------------------------------------------------------------------------------------------


def shadow(image: Image.Image, across: float) -> Image.Image:
    """The page as a book's spine at its left darkens it, down to two fifths, over this part of its width."""
    light = Image.new("L", (200, 1))
    light.putdata([round(255 * (1 - 0.6 * max(0.0, 1 - x / (200 * across)))) for x in range(200)])
    return ImageChops.multiply(image, light.resize(image.size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("across", [0.3, 0.8])
def test_paper_in_shade_is_white_and_its_words_are_whole(reading: Reading, across: float) -> None:
    sheet = words(Sheet(), rows=30)
    ideal = reading.black(sheet)
    shown = to_bilevel(shadow(reading.grey(sheet), across), FINE).convert("L")
    assert reads(shown, ideal, box(rows=30))
    assert shown.crop((0, 0, LEFT, shown.height)).histogram()[0] < 0.01 * LEFT * shown.height


def taken(page: Image.Image, margin: int) -> Image.Image:
    """A picture of a page, on a page that leaves a margin around it."""
    taken = Image.new("L", page.size, 255)
    taken.paste(page.crop((margin, margin, page.width - margin, page.height - margin)), (margin, margin))
    return taken


@pytest.mark.parametrize("margin", [0, 2, 20, 97])
def test_a_picture_of_paper_in_shade_is_white_and_its_words_are_whole(reading: Reading, margin: int) -> None:
    sheet = words(Sheet(), rows=30)
    ideal = reading.black(sheet)
    shown = to_bilevel(taken(shadow(reading.grey(sheet), 0.8), margin), FINE).convert("L")
    assert reads(shown, ideal, box(rows=30))
    assert shown.crop((0, 0, LEFT, shown.height)).histogram()[0] < 0.01 * LEFT * shown.height


@pytest.mark.parametrize("table", [0, 60])
@pytest.mark.parametrize("light", [0.25, 0.35, 0.43])
def test_paper_in_the_hard_shadow_of_a_hand_is_white_and_its_words_are_whole(
    reading: Reading, light: float, table: int
) -> None:
    sheet = words(Sheet(), rows=30)
    ideal = reading.black(sheet)
    page = reading.grey(sheet).point([20 + v * 9 // 10 for v in range(256)])
    top = box(rows=30)[1]
    dark = (500, top - 10, 1500, page.height - 100)
    page.paste(page.crop(dark).point([round(v * light) for v in range(256)]), dark)
    seen = Image.new("L", page.size, 30)  # on a dark table
    seen.paste(page.crop((table, table, page.width - table, page.height - table)), (table, table))
    shown = to_bilevel(taken(seen, 20), FINE).convert("L")
    left, _, right, bottom = box(rows=30)
    assert reads(shown, ideal, (520, top, right, bottom))
    assert reads(shown, ideal, (left, top, 480, bottom))
    assert mean(shown.crop((520, bottom + 20, 1480, page.height - 120))) > 250


@pytest.mark.parametrize("ground", [0.23, 0.3, 0.4])
def test_a_dark_screen_full_of_light_words_stays_black(reading: Reading, ground: float) -> None:
    sheet = words(Sheet().box(10, 10, 592, 772, ground), 0.9, rows=30)
    assert mean(reading.black(sheet)) < 80


@pytest.mark.parametrize("margin", [0, 20])
@pytest.mark.parametrize("light", [0.3, 0.45, 0.6])
def test_a_picture_of_paper_in_dim_light_is_white_and_its_words_are_whole(
    reading: Reading, light: float, margin: int
) -> None:
    sheet = words(Sheet(), rows=30)
    ideal = reading.black(sheet)
    dim = reading.grey(sheet).point([round((20 + v * 0.9) * light) for v in range(256)])
    shown = to_bilevel(taken(ImageChops.add(dim, grain(dim.size, 2), 1, -128), margin), FINE).convert("L")
    assert reads(shown, ideal, box(rows=30))
    assert shown.crop((0, 0, LEFT, shown.height)).histogram()[0] < 0.01 * LEFT * shown.height


@pytest.mark.parametrize("light", [0.25, 0.4, 0.8])
def test_a_dark_smooth_photograph_that_is_the_page_keeps_its_tones(light: float) -> None:
    levels = [round(max(0.0, 230 - v * 1.3) * light) for v in range(256)]
    tones = Image.radial_gradient("L").resize((1728, 2156)).point(levels)
    shown = to_bilevel(taken(ImageChops.add(tones, grain(tones.size, 2), 1, -128), 20), FINE)
    middle, between, edge = (mean(shown.crop((764 + by, 978, 964 + by, 1178))) for by in (0, 250, 500))
    assert 20 < between < 0.85 * middle < 0.85 * 250
    assert edge < 0.85 * between


def test_a_page_of_words_alone_is_no_picture(reading: Reading) -> None:
    grey = reading.grey(words(Sheet(), 0.3, rows=30))
    assert exposure.picture(grey, grey.reduce(4)) is None


@pytest.mark.parametrize("paper", [205, 217, 222])
def test_a_picture_of_grey_paper_has_no_frame(reading: Reading, paper: int) -> None:
    page = words(Sheet(), rows=30)
    grey = reading.grey(page).point([round(v * paper / 255) for v in range(256)])
    shown = to_bilevel(taken(grey, 21), FINE).convert("L")
    where = ImageChops.invert(shown).getbbox()
    assert where is not None
    left, top, _, bottom = box(rows=30)
    assert where[0] > left - 10
    assert where[1] > top - 10
    assert where[3] < bottom + 10


def test_light_words_on_a_dark_picture_stay_light(reading: Reading) -> None:
    sheet = Sheet().box(20, 20, 572, 752, (0.25, 0.25, 0.3)).text(100, 300, "few light words", 14, grey=0.95)
    shown = reading.black(sheet)
    assert mean(shown) < 60
    assert mean(shown.crop((290, 790, 600, 820))) > mean(shown.crop((290, 1000, 600, 1030))) + 20


def test_where_writing_is_light_in_a_picture_is_told_of_the_page(reading: Reading) -> None:
    sheet = Sheet()
    for row in range(30):
        sheet.text(300, 500 + row * 9, "written with a pencil", 8, grey=0.7)
    grey = reading.grey(sheet).point([round(v * 0.8) for v in range(256)])
    _, look = inked(taken(grey, 320), FINE)
    assert look.faint is not None
    assert look.faint.size == (1728 // 32, 2156 // 32)
    where = look.faint.getbbox()
    assert where is not None
    assert where[0] * 32 >= 300 / 72 * 204 - 64
    assert where[1] * 32 >= 500 / 72 * 196 - 96


def test_a_smooth_photograph_beside_text_is_halftoned_and_the_text_is_not(reading: Reading) -> None:
    sky = Image.linear_gradient("L").resize((900, 600)).point([110 + v // 2 for v in range(256)])
    sheet = words(Sheet()).picture(LEFT, 400, 300, 200, sky)
    shown = reading.black(sheet)
    for top, bottom, light in ((405, 425, 115), (490, 510, 173), (575, 595, 232)):
        part = shown.crop(tuple(round(v) for v in (100 / 72 * 204, top / 72 * 196, 360 / 72 * 204, bottom / 72 * 196)))
        assert math.isclose(mean(part), light, abs_tol=25)
    ideal = reading.black(words(Sheet()))
    assert reads(shown, ideal, box())


def test_a_smooth_photograph_with_narrow_things_in_it_is_halftoned(reading: Reading) -> None:
    """Masts before a sky: less dark than writing, and not by much."""
    sky = Image.linear_gradient("L").resize((900, 600)).point([110 + v // 2 for v in range(256)])
    for mast in range(20, 900, 120):
        sky.paste(40, (mast, 0, mast + 4, 600))
    grey = reading.grey(Sheet().picture(LEFT, 400, 300, 200, sky))
    assert inked(grey, FINE)[1].photographs


def test_a_dark_box_is_no_shade(reading: Reading) -> None:
    shown = reading.black(Sheet().box(LEFT, TOP, 300, 200, 0.3))
    assert mean(shown.crop((300, 600, 900, 1000))) < 5
