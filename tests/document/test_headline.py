"""The line at the top of a fax page hides nothing of it."""

from __future__ import annotations

import pytest
from PIL import Image, ImageChops, ImageDraw

from gateway.document.headline import TEXT, stamped
from gateway.document.raster import FINE, STANDARD

FACTS = {"date": "2026-01-31 12:00", "from": "ACME", "to": "+15550100", "page": 1, "pages": 2}


def page(height: int, *inked: tuple[int, int]) -> Image.Image:
    """A white page with ink in these rows."""
    made = Image.new("1", (1728, height), 1)
    for first, last in inked:
        ImageDraw.Draw(made).rectangle((300, first, 900, last), fill=0)
    return made


def ink(image: Image.Image) -> int:
    return image.histogram()[0]


@pytest.mark.parametrize(("y_dpi", "height"), [(FINE, 2292), (STANDARD, 1146)])
def test_the_line_stands_in_a_blank_margin(y_dpi: int, height: int) -> None:
    before = page(height, (200, 400))
    after = stamped(before, y_dpi, TEXT, FACTS)
    assert after.size == before.size
    below = (0, 40, 1728, height)
    assert ImageChops.difference(after.crop(below).convert("L"), before.crop(below).convert("L")).getbbox() is None
    assert ink(after) > ink(before)


def test_what_is_printed_at_the_top_moves_down_and_none_of_it_is_lost() -> None:
    before = page(2292, (0, 60))
    after = stamped(before, FINE, TEXT, FACTS)
    assert after.size == before.size
    assert after.crop((300, 30, 901, 91)).getextrema() == (0, 0)


def test_a_page_without_any_margin_grows() -> None:
    before = page(2292, (0, 60), (2200, 2291))
    after = stamped(before, FINE, TEXT, FACTS)
    assert after.height > before.height
    assert (
        ImageChops.difference(
            after.crop((0, after.height - 2292, 1728, after.height)).convert("L"), before.convert("L")
        ).getbbox()
        is None
    )


def test_a_line_that_is_too_long_is_narrowed_to_the_page() -> None:
    after = stamped(page(2292), FINE, TEXT, {**FACTS, "from": "A company of a very long name indeed " * 6})
    left, _top, right, _bottom = ImageChops.invert(after.convert("L")).getbbox() or (0, 0, 0, 0)
    assert left >= 50
    assert right <= 1678
