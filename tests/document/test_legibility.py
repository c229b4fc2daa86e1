"""A sender is told what of his pages will be hard to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from gateway.document import legibility
from gateway.document.render import render
from gateway.model import FaxPage

from .made import Sheet, photo
from .made import pdf as pdf_of

LINE = "The quick brown fox jumps over the lazy dog 0123456789 and more of it"


def made(tmp_path: Path, sheets: list[Sheet], **options: Any) -> dict[str, Any]:
    source = tmp_path / "paper.pdf"
    source.write_bytes(pdf_of(sheets))
    part = {"path": str(source), "name": "paper.pdf", "declared_type": "application/pdf", "size": source.stat().st_size,
            "role": "attachment", "disposition": "attachment"}  # fmt: skip
    return render([part], [], str(tmp_path / "fax.pdf"), options)


def said(tmp_path: Path, sheet: Sheet, **options: Any) -> str:
    (page,) = made(tmp_path, [sheet], **options)["sheets"]
    return "; ".join(page["warnings"])


def words(size: float, grey: float = 0, rows: int = 12) -> Sheet:
    sheet = Sheet()
    for row in range(rows):
        sheet.text(70, 100 + row * size * 1.5, LINE, size, grey=grey)
    return sheet


@pytest.mark.parametrize("size", [8, 10, 12])
def test_a_common_letter_needs_no_word(tmp_path: Path, size: float) -> None:
    assert said(tmp_path, words(size)) == ""


def test_tiny_print_is_told(tmp_path: Path) -> None:
    assert "very small print" in said(tmp_path, words(5))


def turned(size: float, layout: str, rows: int) -> Sheet:
    """A landscape page, which is turned to fit."""
    sheet = Sheet((792, 612))
    named = "Invoice number of March due Within thirty days Please pay at once To the account Given below 4711".split()
    for row in range(rows):
        y = 60 + row * size * 1.25
        if layout == "prose":
            sheet.text(60, y, " ".join(named[(row * 7 + n * n) % len(named)] for n in range(150 // round(size))), size)
        elif layout == "table":
            for column in range(5):
                sheet.text(60 + column * 140, y, named[(row * 3 + column * 5) % len(named)].title(), size)
        else:
            sheet.text(60, y, "- " + " ".join(named[row % 5 : row % 5 + 1 + row * row % 4]), size)
    return sheet


@pytest.mark.parametrize("layout", ["prose", "table", "list"])
@pytest.mark.parametrize("resolution", ["fine", "standard"])
def test_print_on_a_landscape_page_is_looked_at_along_its_lines(tmp_path: Path, layout: str, resolution: str) -> None:
    assert "very small print" in said(tmp_path, turned(5, layout, 40), resolution=resolution)
    for size in (10, 11, 12):
        assert said(tmp_path, turned(size, layout, 30), resolution=resolution) == ""


def test_letters_of_one_width_below_each_other_are_no_lines(tmp_path: Path) -> None:
    """Of a report on a landscape page they seem to be lines of small print across it."""
    for size, told in ((6, True), (9, False), (10, False)):
        sheet = Sheet((792, 612))
        for row in range(round(500 / size / 1.25)):
            figures = "".join(
                f"{(row * 7919 + column * 104729) % 99991 / 100:9.2f}" for column in range(round(110 / size))
            )
            for at, digit in enumerate(figures):
                if digit != " ":
                    sheet.text(40 + at * size * 0.66, 50 + row * size * 1.25, digit, size)
        assert ("very small print" in said(tmp_path, sheet)) == told


def test_small_print_of_a_landscape_page_is_shown(tmp_path: Path) -> None:
    (page,) = made(tmp_path, [turned(5, "prose", 20)])["sheets"]
    left, _, right, _ = page["region"]
    assert left > 800 and right > 1500  # turned clockwise: what was at the top is at the right


@pytest.mark.parametrize("resolution", ["fine", "standard"])
def test_the_letters_of_a_few_lines_are_no_small_print(tmp_path: Path, resolution: str) -> None:
    for size in (8, 10, 12):
        for rows in (["Please call me at 192.168.111.111"], ["Hi,", "the bill of 1,234.50 is still to be filled in.", "Bill"],
                     3 * ["1 2 3 4 5 6 7 8 9 10 11 12 13 14"]):  # fmt: skip
            sheet = Sheet()
            for row, text in enumerate(rows):
                sheet.text(70, 100 + row * size * 1.25, text, size)
            assert said(tmp_path, sheet, resolution=resolution) == ""


def test_words_without_ascenders_are_no_small_print(tmp_path: Path) -> None:
    sheet = Sheet()
    for row in range(40):
        for column in range(4):
            sheet.text(70 + 120 * column, 80 + row * 15, "summary" if (row + column * 3) % 5 else "once", 10)
    assert said(tmp_path, sheet) == ""


def test_rules_are_no_print(tmp_path: Path) -> None:
    sheet = words(11, rows=4)
    for row in range(6):
        sheet.line(40, 300 + 40 * row, 572, 300 + 40 * row, 3)
    assert said(tmp_path, sheet) == ""
    for row in range(12):
        sheet.text(70, 310 + 40 * row, LINE, 5)
    assert "very small print" in said(tmp_path, sheet)


def test_small_print_in_standard_resolution_is_told_with_the_remedy(tmp_path: Path) -> None:
    assert "fine resolution" in said(tmp_path, words(7), resolution="standard")


def test_light_writing_is_told(tmp_path: Path) -> None:
    assert "light writing" in said(tmp_path, words(10, 0.8))


def picture(*greys: int) -> Image.Image:
    """As of a screen, bold words in these greys."""
    font = ImageFont.truetype(str(Path(legibility.__file__).parent / "fonts" / "DejaVuSans-Bold.ttf"), 24)
    made = Image.new("L", (1240, 1754), 255)
    for row, grey in enumerate(greys):
        ImageDraw.Draw(made).text((100, 100 + 60 * row), LINE, fill=grey, font=font)
    return made


@pytest.mark.parametrize("grey", [0xEB, 0xF0])
@pytest.mark.parametrize("paper", [255, 0xFB])
def test_writing_in_a_picture_that_is_too_pale_is_told(tmp_path: Path, grey: int, paper: int) -> None:
    shown = ImageChops.subtract(picture(0, grey, 0), Image.new("L", (1240, 1754), 255 - paper))
    shown.save(tmp_path / "paper.jpg", quality=85)
    with Image.open(tmp_path / "paper.jpg") as page:
        assert "too pale to show on a fax" in said(tmp_path, Sheet().picture(0, 0, 612, 792, page))


def test_rules_shadows_and_grain_are_no_pale_writing(tmp_path: Path) -> None:
    ruled, shaded, grainy = picture(0), picture(0), picture(0)
    for n in range(100, 1600, 60):
        ImageDraw.Draw(ruled).line((100, n, 1140, n), fill=0xE8, width=2)
        ImageDraw.Draw(ruled).line((n, 200, n, 1600), fill=0xE8, width=2)
    ImageDraw.Draw(shaded).rectangle((300, 400, 900, 800), fill=0xD0)
    shaded = ImageChops.darker(picture(0), shaded.filter(ImageFilter.GaussianBlur(12)))
    ImageDraw.Draw(shaded).rectangle((300, 400, 900, 800), fill=255)
    grainy = ImageChops.multiply(
        grainy, Image.effect_noise(grainy.size, 12).point([min(255, v + 110) for v in range(256)])
    )
    for each in (ruled, shaded, grainy):
        assert "too pale" not in said(tmp_path, Sheet().picture(0, 0, 612, 792, each))


def test_a_black_page_is_told(tmp_path: Path) -> None:
    assert "% black" in said(tmp_path, Sheet().box(40, 40, 530, 700, 0))


def test_a_photograph_is_told_with_its_time_on_the_line(tmp_path: Path) -> None:
    sheet = Sheet().picture(40, 40, 530, 700, photo(1060, 1400))
    assert "minutes to send because of its photographs" in said(tmp_path, sheet)


def test_each_page_has_its_weight(tmp_path: Path) -> None:
    fax = made(tmp_path, [words(10, rows=2), words(10, rows=40)])
    light, heavy = (FaxPage(**sheet).seconds for sheet in fax["sheets"])
    assert light < heavy
    assert fax["seconds"] == pytest.approx(11.6 + light + heavy, abs=0.2)


def test_blank_pages_are_left_out_where_that_is_wished_and_told(tmp_path: Path) -> None:
    sheets = [words(10), Sheet(), words(10), Sheet()]
    assert made(tmp_path, sheets)["pages"] == 4
    fax = made(tmp_path, sheets, blank_pages="remove")
    assert fax["pages"] == 2
    (entry,) = fax["ledger"]
    assert entry["note"] == "blank, so left out: its pages 2, 4"


def test_a_document_that_is_blank_is_told(tmp_path: Path) -> None:
    (entry,) = made(tmp_path, [Sheet(), Sheet()])["ledger"]
    assert (entry["last_page"], entry["note"]) == (2, "all of it is blank")


@pytest.mark.parametrize("black", range(65))
def test_ink_is_counted_to_the_point(black: int) -> None:
    page = Image.new("1", (1728, 2160), 1)
    for n in range(black):
        page.putpixel((800 + n % 8, 1600 + n // 8), 0)
    assert legibility._ink(page) == black == page.histogram()[0]


def test_ink_in_the_last_rows_is_seen() -> None:
    page = Image.new("1", (1728, 2156), 1)
    page.putpixel((1727, 2155), 0)
    assert legibility._ink(page) > 0
    assert legibility._ink(Image.new("1", (1728, 2156), 1)) == 0


def test_specks_are_blank_and_a_full_stop_is_not() -> None:
    page = Image.new("1", (1728, 2292), 1)
    draw = ImageDraw.Draw(page)
    for n in range(200):
        draw.rectangle((100 + n * 7, 100, 101 + n * 7, 101), fill=0)
    assert legibility.is_blank(page)
    draw.rectangle((800, 1000, 803, 1003), fill=0)
    assert not legibility.is_blank(page)


@pytest.mark.parametrize("resolution", ["fine", "standard"])
@pytest.mark.parametrize(
    "sheet",
    [Sheet().text(72, 720, "7", 9), Sheet().text(72, 720, "Left blank on purpose", 6), Sheet().line(72, 300, 540, 300)],
)
def test_a_page_of_a_thin_rule_or_a_line_of_small_print_is_not_blank(
    tmp_path: Path, sheet: Sheet, resolution: str
) -> None:
    fax = made(tmp_path, [words(10), sheet], blank_pages="remove", resolution=resolution)
    assert fax["pages"] == 2


def test_each_page_has_the_header_and_its_number(tmp_path: Path) -> None:
    sheets = [words(10), words(10)]
    plain = made(tmp_path, sheets)
    headed = made(tmp_path, sheets, header=True, header_facts={"date": "2026-01-31", "from": "A", "to": "+1555"})
    assert headed["pages"] == plain["pages"]
    assert headed["size"] > plain["size"]
