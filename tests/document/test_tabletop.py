"""The plain dark ground around a photographed sheet is left white, and nothing else ever is."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from gateway.document import tabletop
from gateway.document.bilevel import inked
from gateway.document.neighbourhood import STROKE, closed, grown
from gateway.document.raster import FINE, STANDARD

from .conftest import Fax, Pages
from .made import Sheet, grain, pdf

LINE = "The quick brown fox jumps over the lazy dog 0123456789 and so on"
PAGE = (1728, 2156)


def letter() -> Sheet:
    sheet = Sheet()
    for row in range(30):
        sheet.text(80, 160 + row * 16, f"{row} {LINE}", 12)
    return sheet


@pytest.fixture
def paper(pages: Pages) -> Callable[[Sheet], Image.Image]:
    def drawn(sheet: Sheet) -> Image.Image:
        (page,) = pages(pdf([sheet]))
        return page.image

    return drawn


def where(angle: float = 3, share: float = 0.8, at: tuple[int, int] = (0, 0)) -> Image.Image:
    """The pixels of a picture that are the sheet, 255."""
    size = round(PAGE[0] * share), round(PAGE[1] * share)
    turned = Image.new("L", size, 255).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    mask = Image.new("L", PAGE)
    mask.paste(turned, ((PAGE[0] - turned.width) // 2 + at[0], (PAGE[1] - turned.height) // 2 + at[1]))
    return mask


def within(by: int) -> Image.Image:
    """Those that are further than this from its edges."""
    return ImageChops.invert(grown(ImageChops.invert(where()), by))


def photographed(
    paper: Image.Image,
    ground: int | Image.Image = 45,
    *,
    angle: float = 3,
    share: float = 0.8,
    at: tuple[int, int] = (0, 0),
    light: float = 0.9,
    noise: float = 3,
) -> Image.Image:
    """A page that is a picture of the sheet on a ground of this grey."""
    size = round(PAGE[0] * share), round(PAGE[1] * share)
    turned = paper.resize(size, Image.Resampling.LANCZOS).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    sheet = Image.new("L", PAGE)
    sheet.paste(turned, ((PAGE[0] - turned.width) // 2 + at[0], (PAGE[1] - turned.height) // 2 + at[1]))
    table = Image.new("L", PAGE, ground) if isinstance(ground, int) else ground
    seen = Image.composite(sheet, table, where(angle, share, at)).filter(ImageFilter.GaussianBlur(1))
    seen = seen.point([round(v * light) for v in range(256)])
    return ImageChops.add(seen, grain(PAGE, noise), 1, -128) if noise else seen


def is_cleared(page: Image.Image) -> bool:
    return inked(page, FINE)[1].cleared


def ink(page: Image.Image, mask: Image.Image) -> int:
    return ImageChops.invert(page.convert("L")).histogram(mask)[255]


@pytest.mark.parametrize(("ground", "light"), [(12, 0.9), (45, 0.4), (120, 0.9)])
def test_the_ground_is_white_and_the_sheet_is_as_it_was(
    paper: Callable[[Sheet], Image.Image], monkeypatch: pytest.MonkeyPatch, ground: int, light: float
) -> None:
    page = photographed(paper(letter()), ground, light=light)
    shown, look = inked(page, FINE)
    assert look.cleared
    assert ink(shown, ImageChops.invert(grown(where(), 8))) == 0
    monkeypatch.setattr(tabletop, "find", lambda *_: None)
    before, _ = inked(page, FINE)
    changed = ImageChops.difference(shown.convert("L"), before.convert("L"))
    assert ImageChops.darker(changed, within(2)).getbbox() is None


def test_what_is_dark_at_the_very_edge_of_the_sheet_is_kept(paper: Callable[[Sheet], Image.Image]) -> None:
    sheet = letter().box(0, 300, 30, 40, 0.1).box(300, 0, 120, 30, 0.6).text(320, 20, "stamp", 14)
    shown, look = inked(photographed(paper(sheet)), FINE)
    assert look.cleared
    beside = Image.new("L", PAGE)
    beside.paste(within(2).crop((0, 0, 300, PAGE[1])))
    assert ink(shown, beside) > 0.9 * (30 / 72 * 204 * 0.8) * (40 / 72 * 196 * 0.8)


def test_in_standard_resolution(pages: Pages, paper: Callable[[Sheet], Image.Image]) -> None:
    out = io.BytesIO()
    photographed(paper(letter())).save(out, format="JPEG")
    (page,) = pages(out.getvalue(), resolution="standard")
    shown, look = inked(page.image, STANDARD)
    assert look.cleared
    assert 0.005 < ImageChops.invert(shown.convert("L")).histogram()[255] / (shown.width * shown.height) < 0.15


def test_the_sender_is_told(fax: Fax, paper: Callable[[Sheet], Image.Image]) -> None:
    out = io.BytesIO()
    photographed(paper(letter())).save(out, format="JPEG")
    made = fax.make(fax.part("photo.jpg", out.getvalue()))
    (page,) = made["sheets"]
    assert page["warnings"] == ("is a photo of a sheet of paper; the background around it was left white",)


def table(draw: Callable[[ImageDraw.ImageDraw], None], ground: int = 45) -> Image.Image:
    image = Image.new("L", PAGE, ground)
    draw(ImageDraw.Draw(image))
    return image


def banded(grey: float) -> Sheet:
    """With a band across its top."""
    return letter().box(0, 0, 612, 90, grey)


@pytest.mark.parametrize("ground", [5, 45, 90])
@pytest.mark.parametrize("words", [0.12, 0.4, 0.9])
def test_a_dark_band_of_the_sheet_with_words_on_it_stays(
    paper: Callable[[Sheet], Image.Image], ground: int, words: float
) -> None:
    same = ground / 255
    sheet = banded(same).text(80, 60, "Northgate Medical Supply", 24, grey=words if abs(words - same) > 0.08 else 0)
    page = photographed(paper(sheet), ground)
    assert not is_cleared(page)


@pytest.mark.parametrize("by", [-0.12, -0.06, 0.06, 0.12])
def test_a_dark_band_of_the_sheet_that_is_seen_stays(paper: Callable[[Sheet], Image.Image], by: float) -> None:
    shown, _ = inked(photographed(paper(banded(50 / 255 + by)), 50), FINE)
    band = within(12)
    band.paste(0, (0, 380, *PAGE))
    assert ink(shown, band) > 0.99 * band.histogram()[255]


def test_a_dark_frame_of_the_sheet_stays(paper: Callable[[Sheet], Image.Image]) -> None:
    framed = Image.new("L", PAGE, 30)
    framed.paste(paper(letter()).resize((1500, 1930)), (114, 113))
    assert not is_cleared(photographed(framed, 45))


def test_what_lies_beside_the_sheet_stays(paper: Callable[[Sheet], Image.Image]) -> None:
    sheet = paper(letter())
    for level in (60, 80, 240):
        note = table(lambda draw, level=level: draw.rectangle((20, 20, 200, 90), fill=level))  # type: ignore[misc]
        assert not is_cleared(photographed(sheet, note, share=0.75))
    chalk = table(lambda draw: draw.text((600, 30), "chalk", fill=80, font_size=50))
    assert not is_cleared(photographed(sheet, chalk, share=0.75))


def test_a_ground_with_a_pattern_stays(paper: Callable[[Sheet], Image.Image]) -> None:
    """It cannot be told from what is printed on the sheet's own edge."""
    dice = grain((PAGE[0] // 90, PAGE[1] // 4), 40)
    wood = dice.resize(PAGE, Image.Resampling.BICUBIC).point([40 + v // 4 for v in range(256)])
    assert not is_cleared(photographed(paper(letter()), wood))


def test_a_page_with_a_frame_of_its_own_stays(paper: Callable[[Sheet], Image.Image]) -> None:
    """A slide, a certificate, a document before the dark window of its viewer: they lie straight, or have no grain."""
    sheet = paper(letter())
    assert not is_cleared(photographed(sheet, angle=0))
    assert not is_cleared(photographed(sheet, noise=0))


def test_a_sheet_that_is_not_all_there_or_small_stays_as_it_is(paper: Callable[[Sheet], Image.Image]) -> None:
    sheet = paper(letter())
    assert not is_cleared(photographed(sheet, at=(250, 0)))
    assert not is_cleared(photographed(sheet, share=0.5))


def window(kind: str) -> Image.Image:
    view = Image.new("L", PAGE, 250)
    draw = ImageDraw.Draw(view)
    if kind == "blinds":
        for y in range(0, PAGE[1], 40):
            draw.rectangle((0, y, PAGE[0], y + 14), fill=60)
    elif kind == "facade":
        for y in range(60, PAGE[1] - 60, 60):
            for x in range(60, PAGE[0] - 60, 60):
                draw.rectangle((x, y, x + 36, y + 30), fill=50)
    elif kind == "birds":
        for n in range(200):
            x, y = n * 7919 % (PAGE[0] - 40), n * 6271 % (PAGE[1] - 20)
            draw.line((x, y, x + 18, y + 10, x + 36, y), fill=30, width=6)
    draw.line((PAGE[0] // 2, 0, PAGE[0] // 2, PAGE[1]), fill=30, width=30)
    return view


@pytest.mark.parametrize("kind", ["sky", "blinds", "facade", "birds"])
def test_a_window_in_a_dark_room_stays(kind: str) -> None:
    assert not is_cleared(photographed(window(kind), 12))


def test_a_page_with_a_light_edge_is_not_looked_at(
    paper: Callable[[Sheet], Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = paper(letter().box(0, 0, 612, 90, 0.2)).reduce(4)
    monkeypatch.delattr(tabletop, "areas")
    assert tabletop.find(small, closed(small, STROKE)) is None
