"""What is said of a page can be seen: small pictures for the mail that says it."""

from __future__ import annotations

import base64
import io
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.document import sources
from gateway.document.raster import STANDARD, Page, g4
from gateway.document.render import tiff_to_pdf
from gateway.document.snapshots import snapshots

from .made import Sheet, fax_page, photo
from .test_legibility import LINE, made, words


def pictures(tmp_path: Path, sheets: list[Sheet], **options: Any) -> tuple[list[Image.Image], list[Any]]:
    """Of all pages, and the region of each."""
    regions = [sheet["region"] for sheet in made(tmp_path, sheets, **options)["sheets"]]
    return shown(tmp_path / "fax.pdf", regions), regions


def shown(fax: Path, regions: list[Any]) -> list[Image.Image]:
    wanted = [{"page": n, "region": region} for n, region in enumerate(regions, 1)]
    found = []
    for picture in snapshots(str(fax), wanted):
        data = base64.b64decode(picture)
        assert len(data) <= 60_000
        found.append(Image.open(io.BytesIO(data)))
    return found


def test_small_print_is_shown_as_it_is_printed(tmp_path: Path) -> None:
    sheet = words(12, rows=20)
    for row in range(14):
        sheet.text(70, 650 + row * 6, LINE + LINE, 4.2)
    (picture,), (region,) = pictures(tmp_path, [sheet])
    assert (picture.mode, picture.size) == ("1", (864, 448))
    assert region[1] > 1400  # where the small print is
    rows = [picture.crop((0, y, picture.width, y + 1)).getextrema()[0] for y in range(picture.height)]
    assert rows.count(0) > 100


def test_light_writing_is_shown_where_it_is(tmp_path: Path) -> None:
    sheet = words(12, rows=10)
    for row in range(14):
        sheet.text(300, 560 + row * 14, "light grey words that are hard to read", 10, grey=0.8)
    (picture,), ((left, top, right, bottom),) = pictures(tmp_path, [sheet])
    assert left < 300 * 204 / 72 < right
    assert top < 650 * 196 / 72 < bottom
    assert picture.size == (864, 448)


def test_in_standard_resolution_it_has_its_true_shape(tmp_path: Path) -> None:
    (picture,), ((_, top, _, bottom),) = pictures(tmp_path, [words(7, rows=30)], resolution="standard")
    assert (bottom - top, picture.height) == (224, 448)


def test_photographs_and_black_pages_are_shown_whole(tmp_path: Path) -> None:
    sheets = [Sheet().picture(40, 40, 530, 700, photo(1060, 1400)), Sheet().box(40, 40, 530, 700, 0)]
    (tones, black), regions = pictures(tmp_path, sheets)
    assert regions == [None, None]
    assert 1.2 < tones.height / tones.width < 1.35
    assert len(tones.convert("L").getcolors() or []) > 8
    assert black.width == 648


@pytest.mark.parametrize(("height", "y_dpi"), [(300, 196), (300, STANDARD), (11_000, 196)])
def test_pages_of_any_length_have_a_picture_of_the_same_shape(tmp_path: Path, height: int, y_dpi: int) -> None:
    tiff, fax = tmp_path / "fax.tif", tmp_path / "fax.pdf"
    tiff.write_bytes(g4(fax_page(height), y_dpi))
    tiff_to_pdf(str(tiff), str(fax))
    (picture,) = shown(fax, [None])
    assert picture.height / picture.width == pytest.approx(height * (196 / y_dpi) / 1728, rel=0.02)


def test_noise_is_no_larger_than_it_may_be(tmp_path: Path) -> None:
    tiff, fax = tmp_path / "fax.tif", tmp_path / "fax.pdf"
    tiff.write_bytes(g4(Image.effect_noise((1728, 2292), 120).convert("1"), 196))
    tiff_to_pdf(str(tiff), str(fax))
    assert len(shown(fax, [None])) == len(shown(fax, [(0, 0, 864, 448)])) == 1


def test_of_a_long_fax_no_more_pages_are_held_than_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[weakref.ref[Image.Image]] = []

    def pages(*_: object) -> Iterator[Page]:
        for _ in range(60):
            assert sum(each() is not None for each in made) <= 3  # two that are shown, and the one before
            image = Image.new("1", (1728, 200), 1)
            made.append(weakref.ref(image))
            yield Page(image, STANDARD)

    monkeypatch.setattr(sources, "pages", pages)
    (tmp_path / "fax.pdf").write_bytes(b"%PDF-1.4")
    snapshots(str(tmp_path / "fax.pdf"), [{"page": number, "region": None} for number in (2, 59, 60)])
    assert len(made) == 60
