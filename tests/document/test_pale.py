"""Writing that is nearly as light as what it stands on: it can be read all the same, and else its sender is told."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pikepdf
import pytest
from pikepdf import Dictionary, Name, Stream
from PIL import Image, ImageChops

from gateway.document import progress
from gateway.document.bilevel import to_bilevel

from .conftest import Pages
from .made import Sheet, pdf, saved

WORDS = "The quick brown fox jumps over 13 lazy dogs"
BLACK = Sheet().text(72, 100, WORDS, 9).text(72, 130, WORDS, 14)
PLACE = (150, 210, 1300, 400)  # of these words on the page


def shown(pages: Pages, document: bytes) -> Image.Image:
    (page,) = pages(document)
    return to_bilevel(page.image, page.y_dpi).convert("L")


def differing(pages: Pages, sheet: Sheet) -> float:
    """How many points of the words are other than of black ones on white, as a share of these."""
    black, made = (shown(pages, pdf([each])).crop(PLACE) for each in (BLACK, sheet))
    return ImageChops.difference(black, made).histogram()[255] / black.histogram()[0]


@pytest.mark.parametrize("grey", [0.83, 0.87, 0.93, 0.96, (1, 1, 0), (1, 1, 0.6), (0.8, 1, 0.8)])
def test_pale_words_are_as_black_ones(pages: Pages, grey: float | Sequence[float]) -> None:
    sheet = Sheet().text(72, 100, WORDS, 9, grey=grey).text(72, 130, WORDS, 14, grey=grey)
    assert differing(pages, sheet) < 0.01


@pytest.mark.parametrize("tint", [0.93, 0.87, (1, 0.9, 0.7)])
def test_white_words_on_a_light_tint_are_black(pages: Pages, tint: float | Sequence[float]) -> None:
    sheet = Sheet().box(36, 36, 540, 200, tint)
    assert differing(pages, sheet.text(72, 100, WORDS, 9, grey=1).text(72, 130, WORDS, 14, grey=1)) < 0.05


def test_dark_words_on_a_dark_ground_are_white(pages: Pages) -> None:
    sheet = Sheet().box(36, 36, 540, 200, 0.2).text(72, 100, WORDS, 9, grey=0.35).text(72, 130, WORDS, 14, grey=0.35)
    black, made = (shown(pages, pdf([each])).crop(PLACE) for each in (BLACK, sheet))
    assert made.histogram()[255] == pytest.approx(black.histogram()[0], rel=0.15)


def test_what_nobody_sees_stays_unseen(pages: Pages) -> None:
    assert differing(pages, Sheet().text(72, 100, WORDS, 9, grey=1).text(72, 130, WORDS, 14, grey=0.98)) == 1
    covered = Sheet().text(72, 100, WORDS, 9, grey=0.9).text(72, 130, WORDS, 14, grey=0.9)
    assert differing(pages, covered.box(36, 36, 540, 200, 1)) == 1


def test_pale_words_in_a_form_on_a_turned_page(pages: Pages) -> None:
    def of(grey: float) -> Image.Image:
        document = pikepdf.new()
        page = Sheet(Rotate=90).add_to(document)
        form = Stream(document, b"BT %g g /F 9 Tf 20 50 Td (%s) Tj ET" % (grey, WORDS.encode()))
        form.update(Dictionary(Subtype=Name.Form, BBox=[0, 0, 400, 100], Matrix=[1, 0, 0, 1, 50, 0]))
        form.Resources = page.obj.Resources
        page.obj.Resources = Dictionary(XObject=Dictionary(M=document.make_indirect(form)))
        page.obj.Contents = Stream(document, b"q 0 1 -1 0 300 200 cm /M Do Q")
        return shown(pages, saved(document))

    assert of(0).getextrema() == (0, 255)
    assert ImageChops.difference(of(0), of(0.9)).histogram()[255] < of(0).histogram()[0] / 100


@pytest.mark.parametrize(("kind", "flags"), [("Stamp", 4), ("FreeText", 4), ("Widget", 4), ("Widget", 0)])
@pytest.mark.parametrize("rotate", [0, 90])
def test_pale_words_in_notes_and_fields(pages: Pages, kind: str, flags: int, rotate: int) -> None:
    def of(grey: float) -> Image.Image:
        document = pikepdf.new()
        page = Sheet(Rotate=rotate).text(72, 300, WORDS).text(72, 330, WORDS, grey=grey).add_to(document)
        look = Stream(document, b"q 0.5 g 0 0 4 4 re f Q BT %g g /F 9 Tf 20 50 Td (%s) Tj ET" % (grey, WORDS.encode()))
        look.update(Dictionary(Subtype=Name.Form, BBox=[0, 0, 400, 100], Resources=page.obj.Resources))
        note = Dictionary(Subtype=Name("/" + kind), Rect=[100, 600, 500, 700], F=flags, AP=Dictionary(N=look))
        if kind == "Widget":
            note.update(Dictionary(FT=Name.Tx, T="of a form", V=WORDS))
            document.Root.AcroForm = Dictionary(Fields=[note := document.make_indirect(note)])
        box = Dictionary(Subtype=Name.Square, Rect=[100, 300, 200, 400], C=[0, 0, 0], F=4)
        marked = Dictionary(Subtype=Name.Highlight, Rect=[72, 480, 300, 510], C=[1, 1, 0], F=4)
        marked.QuadPoints = [72, 510, 300, 510, 72, 480, 300, 480]
        unseen = Dictionary(Subtype=Name.Square, Rect=[300, 300, 400, 400], C=[0, 0, 0], F=0)
        page.obj.Annots = [document.make_indirect(each) for each in (note, box, marked, unseen)]
        return shown(pages, saved(document))

    assert of(0).getextrema() == (0, 255)
    assert ImageChops.difference(of(0), of(0.9)).histogram()[255] < of(0).histogram()[0] / 100


def test_large_pale_letters_are_outlined_behind_what_is_written_on_them(pages: Pages) -> None:
    def of(pale: bool) -> Image.Image:
        sheet = Sheet().text(72, 160, "DRAFT", 120, grey=0.87, bold=True) if pale else Sheet()
        return shown(pages, pdf([sheet.text(72, 100, WORDS, 9).text(72, 130, WORDS, 14)]))

    words, both = of(False), of(True)
    added = ImageChops.subtract(words, both).histogram()[255]
    assert ImageChops.subtract(both, words).histogram()[255] < words.histogram()[0] / 50  # no word has lost a stroke
    assert 2000 < added < 20_000


def test_pale_words_behind_others_are_told(pages: Pages) -> None:
    progress.begin("x.bin")
    sheet = Sheet().text(72, 100, WORDS, 9, grey=0.9).text(74, 102, WORDS, 9)
    document = pikepdf.open(io.BytesIO(pdf([Sheet(), sheet, Sheet()])))
    assert len(pages(saved(document))) == 3
    assert progress.notes() == ["pale writing with something drawn over it may not be seen: page 2"]
