"""What is written upon a PDF page and says how it looks by its properties only: drawn as in print, else told."""

from __future__ import annotations

import io
import warnings
import zlib
from typing import Any

import pikepdf
import pytest
from pikepdf import Array, Dictionary, Name, Stream, String
from PIL import Image

from gateway.document import progress

from .conftest import Fax, Pages
from .made import Sheet, letter, saved
from .test_pdf import Refusal, bounds, ink

_BOX = (100, 600, 300, 700)  # points from the bottom left of letter paper
_PLACE = (_BOX[0] / 612, 1 - _BOX[3] / 792, _BOX[2] / 612, 1 - _BOX[1] / 792)
_LONG = "This is a rather long comment that takes several lines of its box, as people write them into forms."


def annotated(kind: str, flags: int = 4, *, rotate: int = 0, **fields: Any) -> bytes:
    document = pikepdf.new()
    Sheet(Rotate=rotate).add_to(document)
    made = Dictionary(Type=Name.Annot, Subtype=Name("/" + kind), Rect=Array(_BOX), F=flags, **fields)
    document.pages[0].obj["/Annots"] = Array([document.make_indirect(made)])
    return saved(document)


@pytest.mark.parametrize("words", ["Approved by J. Example", "Привет, мир", _LONG, "one\rtwo\rthree\rfour"])
def test_a_text_is_written_whole_into_its_box(pages: Pages, words: str) -> None:
    plain: dict[str, Any] = {"BS": Dictionary(W=0), "DA": String("0 g /Helv 14 Tf")}
    (page,) = pages(annotated("FreeText", Contents=String(words), **plain))
    left, top, right, bottom = bounds(page)
    assert left == pytest.approx(_BOX[0] / 72, abs=0.05)
    assert top == pytest.approx(1.3, abs=0.08)
    assert right < _BOX[2] / 72
    lines = 4 if words == _LONG or "\r" in words else 1
    assert bottom - top == pytest.approx((lines * 17.5 - 5) / 72, abs=0.09)


def test_a_text_too_long_for_its_box_is_written_smaller_or_told(fax: Fax) -> None:
    fits, much = (annotated("FreeText", Contents=String(_LONG * times), DA=String("/F 12 Tf")) for times in (6, 60))
    assert fax.make(fax.part("a.pdf", fits))["ledger"][0]["note"] == ""
    (entry,) = fax.make(fax.part("a.pdf", much))["ledger"]
    assert entry["note"] == "a text is cut off at the edge of its box: page 1"


def test_a_text_lets_see_what_is_below_it_unless_it_has_a_ground(pages: Pages) -> None:
    def over(**fields: Any) -> bytes:
        document = pikepdf.new()
        Sheet().box(100, 92, 200, 100).add_to(document)
        note = Dictionary(Type=Name.Annot, Subtype=Name.FreeText, Rect=Array(_BOX), F=4, Contents=String("x"), **fields)
        document.pages[0].obj["/Annots"] = Array([note])
        return saved(document)

    (clear,), (white,) = pages(over()), pages(over(C=Array([1, 1, 1])))
    assert ink(clear, *_PLACE) > 0.95
    assert ink(white, *_PLACE) < 0.1


def test_a_text_on_a_turned_page_stands_upright(pages: Pages) -> None:
    (page,) = pages(
        annotated(
            "FreeText", rotate=90, Rotate=90, Contents=String("A line"), BS=Dictionary(W=0), DA=String("/F 20 Tf")
        )
    )
    left, top, right, bottom = bounds(page)
    assert bottom - top > 2 * (right - left)  # the sheet lies on its side on the fax


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("Line", {"L": Array([110, 610, 290, 690])}),
        ("PolyLine", {"Vertices": Array([110, 610, 200, 690, 290, 610])}),
        ("Polygon", {"Vertices": Array([110, 610, 200, 690, 290, 610])}),
        ("Stamp", {"Name": Name.NotApproved}),
        ("Square", {"C": Array([0]), "AP": Dictionary()}),
        ("Ink", {"C": Array([0]), "InkList": Array([Array([110, 610, 200, 690, 290, 610])])}),
    ],
)
def test_what_viewers_draw_by_its_properties_is_drawn(pages: Pages, kind: str, fields: dict[str, Any]) -> None:
    (page,) = pages(annotated(kind, **fields))
    assert ink(page, *_PLACE) > 0.005
    left, top, right, bottom = bounds(page)
    assert (left, right) == pytest.approx((1.4, 4.15), abs=0.2)
    assert (top, bottom) == pytest.approx((1.3, 2.65), abs=0.2)


@pytest.mark.parametrize("kind", ["Highlight", "Underline", "StrikeOut", "Squiggly"])
def test_words_are_marked_in_whatever_order_their_corners_are(pages: Pages, kind: str) -> None:
    left, bottom, right, top = _BOX
    adobe, standard, other = (
        pages(annotated(kind, C=Array([0]), QuadPoints=Array(corners)))[0].image.tobytes()
        for corners in (
            [left, top, right, top, left, bottom, right, bottom],
            [left, bottom, right, bottom, right, top, left, top],
            [left, bottom, right, bottom, left, top, right, top],
        )
    )
    assert adobe == standard == other
    assert ink(*pages(annotated(kind, C=Array([0]), QuadPoints=Array([100, 600, 300, 600, 300, 700, 100, 700])))) > 0


def test_a_line_is_not_clipped_by_a_box_without_height(pages: Pages) -> None:
    data = annotated("Line", L=Array([100, 650, 300, 650]), BS=Dictionary(W=4)).replace(
        b"100 600 300 700", b"100 650 300 650"
    )
    left, top, right, bottom = bounds(*pages(data))
    assert (right - left, bottom - top) == pytest.approx((200 / 72, 4 / 72), abs=0.03)


@pytest.mark.parametrize(
    "end",
    ["OpenArrow", "ClosedArrow", "ROpenArrow", "RClosedArrow", "Square", "Diamond", "Circle", "Butt", "Slash"],
)  # fmt: skip
def test_the_ends_of_a_line_are_drawn(pages: Pages, end: str) -> None:
    line = Array([120, 620, 280, 680])
    (plain,), (ended,) = (pages(annotated("Line", L=line, LE=Array([Name("/None"), last]))) for last in _ends(end))
    assert ink(ended) > 1.03 * ink(plain)
    at_its_end = (265 / 612, 1 - 695 / 792, 295 / 612, 1 - 665 / 792)
    assert ink(ended, *at_its_end) > ink(plain, *at_its_end)
    assert ink(ended, 0, 0, 265 / 612, 1) == ink(plain, 0, 0, 265 / 612, 1)


def _ends(end: str) -> tuple[Name, Name]:
    return Name("/None"), Name("/" + end)


def test_what_a_polygon_encloses_is_filled_and_seen_through_where_it_says_so(pages: Pages) -> None:
    corners = Array([110, 610, 290, 610, 290, 690, 110, 690])
    inside = (120 / 612, 1 - 680 / 792, 280 / 612, 1 - 620 / 792)
    shown = [
        next(iter(pages(annotated("Polygon", Vertices=corners, IC=Array(colour), CA=opacity)))).image
        for colour, opacity in (([], 1), ([0.2], 1), ([1, 0, 0], 1), ([0, 0, 0, 0.8], 1), ([0], 0.25))
    ]
    levels = [image.crop(_pixels(image, inside)).getextrema() for image in shown]
    assert [low for low, high in levels if low == high] == pytest.approx([255, 51, 77, 87, 191], abs=6)


def _pixels(image: Image.Image, share: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    left, top, right, bottom = share
    return (
        round(left * image.width),
        round(top * image.height),
        round(right * image.width),
        round(bottom * image.height),
    )


def test_a_text_points_to_what_it_is_about(pages: Pages) -> None:
    (page,) = pages(
        annotated(
            "FreeText", Contents=String("Wrong"), RD=Array([120, 10, 0, 60]), LE=Name.OpenArrow,
            CL=Array([105, 605, 150, 650, 220, 670]),
        )
    )  # fmt: skip
    left, top, right, bottom = bounds(page)
    assert (left, top, right, bottom) == pytest.approx((105 / 72, 102 / 72, 300 / 72, 187 / 72), abs=0.06)
    assert ink(page, 0.3, 0, 1, 0.17) > 0  # its own box stands where the line ends
    assert ink(page, 0, 0, 0.3, 0.16) == 0


@pytest.mark.parametrize("kind", ["Squiggly", "Ink", "Underline"])
@pytest.mark.parametrize("flags", [0, 4])
def test_what_is_further_away_than_any_page_is_left_out(pages: Pages, kind: str, flags: int) -> None:
    progress.begin("x.bin")
    far = Array([0, 620, 10_000_000, 620, 0, 600, 10_000_000, 600])
    (page,) = pages(annotated(kind, flags, QuadPoints=far, InkList=Array([far])))
    assert ink(page) == 0
    assert progress.notes() == ["annotations that cannot be drawn are not shown: page 1"]


def test_the_words_beside_a_line_are_told(fax: Fax) -> None:
    data = annotated("Line", L=Array([110, 610, 290, 690]), Cap=True, Contents=String("5.20 m"))
    (entry,) = fax.make(fax.part("a.pdf", data))["ledger"]
    assert entry["note"] == "the caption of a line is not shown: page 1"


def test_what_cannot_be_drawn_is_told_with_its_page(fax: Fax) -> None:
    document = pikepdf.new()
    for number in range(12):
        letter(number).add_to(document)
        if number:
            caret = Dictionary(Type=Name.Annot, Subtype=Name.Caret, Rect=Array(_BOX), F=4)
            document.pages[number].obj["/Annots"] = Array([caret, caret])
    (entry,) = fax.make(fax.part("a.pdf", saved(document)))["ledger"]
    assert entry["note"] == ("annotations that cannot be drawn are not shown: pages 2, 3, 4, 5, 6, 7, 8, 9 and others")


@pytest.mark.parametrize(
    ("kind", "flags", "note"),
    [
        ("FreeText", 0, "annotations that are set not to print are not shown: page 1"),
        ("FreeText", 2, ""),
        ("FreeText", 6, ""),
        ("FreeText", 32, ""),
        ("Link", 0, ""),
        ("Popup", 4, ""),
        ("FileAttachment", 4, "files attached to a page are not faxed: page 1"),
        ("Redact", 4, "what is marked for redaction is shown, as the redaction was never applied: page 1"),
        ("FreeText", 4, "annotations that cannot be drawn are not shown: page 1"),
    ],
)
def test_what_is_not_printed_is_told_where_somebody_sees_it(pages: Pages, kind: str, flags: int, note: str) -> None:
    progress.begin("x.bin")
    damaged: dict[str, Any] = (
        {"BS": Dictionary(W=String("none"))} if note.startswith("annotations that cannot be drawn") else {}
    )
    (page,) = pages(annotated(kind, flags, Contents=String("a note"), **damaged))
    if not damaged:
        assert ink(page) == 0
    assert "; ".join(progress.notes()) == note


@pytest.mark.parametrize(
    ("fields", "note"),
    [
        ({"Contents": String("Check this")}, "the words in notes are not shown: page 1"),
        ({"Contents": String("Check this"), "AP": Dictionary()}, "the words in notes are not shown: page 1"),
        ({}, ""),
        ({"Contents": String("Done"), "IRT": Dictionary()}, ""),  # a reply
    ],
)
def test_the_words_of_a_note_are_told(fax: Fax, fields: dict[str, Any], note: str) -> None:
    (entry,) = fax.make(fax.part("a.pdf", annotated("Text", 28, **fields)))["ledger"]
    assert entry["note"] == note


def test_the_words_that_a_mark_wants_put_in_are_told(fax: Fax) -> None:
    document = pikepdf.new()
    Sheet().text(72, 72, "Dear Ann").add_to(document)
    look = Stream(document, b"0 g 0 0 10 10 re f", Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 10, 10]))
    mark = Dictionary(
        Type=Name.Annot, Subtype=Name.Caret, Rect=Array(_BOX), F=4, Contents=String("Mrs"), AP=Dictionary(N=look)
    )
    document.pages[0].obj["/Annots"] = Array([document.make_indirect(mark)])
    (entry,) = fax.make(fax.part("a.pdf", saved(document)))["ledger"]
    assert entry["note"] == "the words in notes are not shown: page 1"


def test_what_has_a_look_of_its_own_keeps_it(pages: Pages) -> None:
    document = pikepdf.new()
    Sheet().add_to(document)
    look = Stream(document, b"0 g 0 0 10 10 re f", Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 10, 10]))
    note = Dictionary(
        Type=Name.Annot, Subtype=Name.FreeText, Rect=Array(_BOX), F=4, Contents=String("a"), AP=Dictionary(N=look)
    )
    document.pages[0].obj["/Annots"] = Array([document.make_indirect(note), Name.Nothing, Dictionary(Subtype=3)])
    (page,) = pages(saved(document))
    assert ink(page, *_PLACE) > 0.95


def test_a_look_that_breaks_off_is_damaged(pages: Pages, refusal: Refusal) -> None:
    whole = b"0 g 0 0 100 100 re f" + b" 0 0 m 50 50 l S" * 2000
    cut = zlib.compress(whole)[:-40]

    def ticked(state: str) -> bytes:
        document = pikepdf.new()
        Sheet().add_to(document)
        yes, no = (
            document.make_indirect(
                Stream(
                    document, data, Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 100, 100]), Filter=coding
                )
            )
            for data, coding in ((cut, Name.FlateDecode), (whole, None))
        )
        looks = Dictionary(N=Dictionary(Yes=yes, No=no))
        box = Dictionary(Type=Name.Annot, Subtype=Name.Stamp, Rect=Array(_BOX), F=4, AP=looks, AS=Name("/" + state))
        document.pages[0].obj["/Annots"] = Array([document.make_indirect(box), Name.Nothing])
        return saved(document)

    assert refusal(ticked("Yes")).public == "page 1 of x.bin is damaged; make the PDF again and send that"
    assert ink(*pages(ticked("No"))) > 0.01


_CHOICES = Array([Array([String("de"), String("Германия")]), Array([String("pl"), String("Польша")])])
_COMBO, _EDITABLE, _MANY = 1 << 17, 1 << 18, 1 << 21


def choice(value: Any, flags: int, *, labels: Array = _CHOICES) -> bytes:
    document = pikepdf.new()
    Sheet().add_to(document)
    field = document.make_indirect(
        Dictionary(
            Type=Name.Annot, Subtype=Name.Widget, FT=Name.Ch, T=String("land"), Ff=flags, V=value, Opt=labels,
            Rect=Array(_BOX), F=4, DA=String("/Helv 14 Tf 0 g"),
        )
    )  # fmt: skip
    document.pages[0].obj["/Annots"] = Array([field])
    document.Root["/AcroForm"] = Dictionary(Fields=Array([field]), NeedAppearances=True)
    return saved(document)


@pytest.mark.parametrize(
    ("value", "flags", "shown"),
    [
        (String("pl"), _COMBO, "Польша"),
        (String("pl"), 0, "Польша"),
        (Array([String("de"), String("pl")]), _MANY, "Германия\nПольша"),
        (String("Чехия"), _COMBO | _EDITABLE, "Чехия"),
    ],
)
def test_what_was_chosen_in_a_form_is_shown_by_its_name(pages: Pages, value: Any, flags: int, shown: str) -> None:
    written = annotated("FreeText", Contents=String(shown), Border=Array([0, 0, 0]), DA=String("/Helv 14 Tf"))
    ((page,), (wanted,)) = pages(choice(value, flags)), pages(written)
    assert ink(page) > 0
    assert page.image.tobytes() == wanted.image.tobytes()


@pytest.mark.parametrize("in_parent", [False, True])
@pytest.mark.parametrize("flags", [0, 1 << 24])
def test_what_a_program_typed_beyond_the_length_of_a_field_is_shown(
    pages: Pages, flags: int, *, in_parent: bool
) -> None:
    def typed(length: int) -> bytes:
        data = filled(Name.Tx, String("12345-6789"), None, Ff=flags, MaxLen=length)
        if not in_parent:
            return data
        with pikepdf.open(io.BytesIO(data)) as document:
            kid = document.pages[0].Annots[0]
            parent = document.make_indirect(Dictionary(Kids=Array([kid])))
            for name in ("/T", "/FT", "/Ff", "/V", "/MaxLen"):
                parent[name] = kid[name]
                del kid[name]
            kid.Parent, document.Root.AcroForm.Fields = parent, Array([parent])
            return saved(document)

    ((cut,), (whole,)) = pages(typed(5)), pages(typed(10))
    assert ink(whole) > 0
    assert cut.image.tobytes() == whole.image.tobytes()


@pytest.mark.parametrize("state", [Name.Yes, Name.Off])
def test_a_form_whose_looks_are_to_be_renewed_keeps_those_of_its_buttons(pages: Pages, state: Name) -> None:
    with pikepdf.open(io.BytesIO(filled(Name.Btn, state, b"0 0 50 50 re f", AS=state))) as document:
        frame = Stream(document, b"2 w 5 5 90 90 re S", Subtype=Name.Form, BBox=Array([0, 0, 200, 100]))
        document.pages[0].Annots[0].AP.N.Off = document.make_indirect(frame)
        (wanted,) = pages(saved(document))
        document.Root.AcroForm.NeedAppearances = True
        (page,) = pages(saved(document))
    assert ink(page) > 0
    assert page.image.tobytes() == wanted.image.tobytes()


@pytest.mark.parametrize("look", [None, b"0 0 200 100 re f"])
def test_buttons_for_the_screen_are_not_printed(pages: Pages, look: bytes | None) -> None:
    def button(flags: int) -> bytes:
        about = Dictionary(CA=String("Reset"), BC=Array([0]))
        with pikepdf.open(io.BytesIO(filled(Name.Btn, Name.Off, None, Ff=1 << 16, MK=about))) as document:
            each = document.pages[0].Annots[0]
            each.F = flags
            if look:
                each.AP = Dictionary(N=Stream(document, look, Subtype=Name.Form, BBox=Array([0, 0, 200, 100])))
            return saved(document)

    ((printed,), (left,)) = pages(button(4)), pages(button(0))
    assert ink(printed) > 0
    assert not ink(left)


@pytest.mark.parametrize("value", [String("fr"), None])
def test_no_button_is_printed_beside_what_was_chosen(pages: Pages, value: Any) -> None:
    labels = Array([Array([String("fr"), String("France")])])
    (page,) = pages(choice(value, _COMBO, labels=labels))
    left, top, right, bottom = _PLACE
    assert not ink(page, (left + right) / 2, top, right, bottom)
    assert bool(ink(page)) == bool(value)


def filled(kind: Name, value: Any, look: bytes | None, **more: Any) -> bytes:
    """A page with a field; with a look it is that of its state "Yes" where it is a button."""
    document = pikepdf.new()
    Sheet().add_to(document)
    field = Dictionary(
        Type=Name.Annot,
        Subtype=Name.Widget,
        FT=kind,
        T=String("f"),
        V=value,
        Rect=Array(_BOX),
        F=4,
        DA=String("/Helv 14 Tf"),
        **more,
    )
    if look is not None:
        drawn = Stream(document, look, Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 200, 100]))
        each = document.make_indirect(drawn)
        field["/AP"] = Dictionary(N=Dictionary(Yes=each) if kind == Name.Btn else each)
    field = document.make_indirect(field)
    document.pages[0].obj["/Annots"] = Array([field])
    document.Root["/AcroForm"] = Dictionary(Fields=Array([field]))
    return saved(document)


def test_what_was_typed_into_a_field_that_kept_its_empty_look_is_shown(pages: Pages) -> None:
    ((page,), (wanted,)) = (pages(filled(Name.Tx, String("typed"), look)) for look in (b"/Tx BMC EMC", None))
    assert ink(page) > 0
    assert page.image.tobytes() == wanted.image.tobytes()
    (blank,) = pages(filled(Name.Tx, String("typed"), b"/Tx BMC q BT /Helv 14 Tf 2 6 Td () Tj ET Q EMC"))
    assert blank.image.tobytes() == wanted.image.tobytes()
    (kept,) = pages(filled(Name.Tx, String("typed"), b"0 0 50 50 re f BT /Helv 14 Tf (other) Tj ET"))
    assert ink(kept) > ink(page)


def test_fields_without_a_form_are_shown(pages: Pages) -> None:
    """As where filled forms were put together to one PDF."""
    for whole in (filled(Name.Tx, String("typed"), None), filled(Name.Btn, Name.Yes, b"0 0 50 50 re f", AS=Name.Yes)):
        (page,) = pages(whole)
        assert ink(page) > 0
        for form in (None, Name.Lost):
            with pikepdf.open(io.BytesIO(whole)) as document, warnings.catch_warnings(action="ignore"):
                del document.Root["/AcroForm"]
                if form is not None:
                    document.Root["/AcroForm"] = form
                (alone,) = pages(saved(document))
            assert alone.image.tobytes() == page.image.tobytes()


def test_a_box_that_does_not_say_its_state_is_ticked_by_its_value(pages: Pages) -> None:
    ticked, said, empty = (
        pages(filled(Name.Btn, value, b"0 0 50 50 re f", **more))[0].image.tobytes()
        for value, more in ((Name.Yes, {}), (Name.Yes, {"AS": Name.Yes}), (Name.Off, {}))
    )
    assert ticked == said != empty


def test_a_box_of_neither_state_nor_value_has_the_frame_of_an_empty_one(pages: Pages) -> None:
    with pikepdf.open(io.BytesIO(filled(Name.Btn, Name.Off, b"0 0 50 50 re f", AS=Name.Off))) as document:
        each = document.pages[0].Annots[0]
        frame = Stream(document, b"2 w 5 5 90 90 re S", Subtype=Name.Form, BBox=Array([0, 0, 200, 100]))
        each.AP.N.Off = document.make_indirect(frame)
        (wanted,) = pages(saved(document))
        del each.AS, each.V
        (page,) = pages(saved(document))
    assert ink(page) > 0
    assert page.image.tobytes() == wanted.image.tobytes()


@pytest.mark.parametrize("flags", [0, 1 << 15])
@pytest.mark.parametrize("mark", [{}, {"MK": Dictionary(CA=String("8"), BC=Array([0]))}])
def test_a_box_that_is_ticked_and_has_no_look_for_it_is_seen(pages: Pages, flags: int, mark: dict[str, Any]) -> None:
    other = b"0 0 50 50 re f"  # is that of Yes
    latin = pikepdf.Object.parse(b"/M#e4nnlich")  # is no UTF-8
    for value, more in (
        (Name.On, {"AS": Name.On}), (Name.On, {}), (Name.Yes, {"AS": Name.On}), (latin, {"AS": latin}), (latin, {}),
    ):  # fmt: skip
        (ticked,) = pages(filled(Name.Btn, value, None, Ff=flags, **more, **mark))
        assert 0.01 < ink(ticked, *_PLACE) < 0.5
    (ticked,) = pages(filled(Name.Btn, Name.On, other, Ff=flags, AS=Name.On, **mark))
    (empty,) = pages(filled(Name.Btn, Name.Off, other, Ff=flags, AS=Name.Off, **mark))
    (left,) = pages(filled(Name.Btn, Name.Off, None, Ff=flags, AS=Name.Off))
    middle = tuple(edge + (0.5 - n // 2) * 0.02 for n, edge in enumerate(_PLACE))  # without its frame
    assert ink(ticked, *middle) > 0.01
    assert not ink(empty, *middle)
    assert not ink(left, *middle)


def test_a_box_with_one_look_for_all_states_shows_it(pages: Pages) -> None:
    with pikepdf.open(io.BytesIO(filled(Name.Btn, Name.Yes, b"0 0 50 50 re f", AS=Name.Yes))) as document:
        (wanted,) = pages(saved(document))
        looks = document.pages[0].Annots[0].AP
        looks.N = looks.N.Yes
        (page,) = pages(saved(document))
    assert page.image.tobytes() == wanted.image.tobytes()


def layered(note: dict[str, Any], rule: dict[str, Any] | None, *, off: bool) -> bytes:
    """A page with a note in the first of two layers, or in both by a rule; the first is ``off``."""
    document = pikepdf.new()
    Sheet().add_to(document)
    first, second = (document.make_indirect(Dictionary(Type=Name.OCG, Name=String(name))) for name in "ab")
    document.Root["/OCProperties"] = Dictionary(
        OCGs=Array([first, second]), D=Dictionary(OFF=Array([first] if off else []))
    )
    layer = first
    if rule is not None:
        if "VE" in rule:
            rule = {"VE": Array([Name.Not, Array([Name.And, first, second])])}
        layer = document.make_indirect(Dictionary(Type=Name.OCMD, OCGs=Array([first, second]), **rule))
    made = document.make_indirect(Dictionary(Type=Name.Annot, Rect=Array(_BOX), F=4, OC=layer, **note))
    document.pages[0].obj["/Annots"] = Array([made])
    if "FT" in note:
        document.Root["/AcroForm"] = Dictionary(Fields=Array([made]), NeedAppearances=True)
    return saved(document)


_NOTE = {"Subtype": Name.FreeText, "Contents": String("for us alone")}
_FIELD = {"Subtype": Name.Widget, "FT": Name.Tx, "V": String("for us"), "T": String("a"), "DA": String("/Helv 14 Tf")}


@pytest.mark.parametrize("note", [_NOTE, _FIELD, {"Subtype": Name.Square, "C": Array([0])}])
@pytest.mark.parametrize("off", [True, False])
def test_a_note_in_a_layer_that_is_off_is_not_printed(pages: Pages, note: dict[str, Any], *, off: bool) -> None:
    (page,) = pages(layered(note, None, off=off))
    assert (ink(page) > 0) != off


@pytest.mark.parametrize(
    ("rule", "with_one_off", "with_none_off"),
    [
        ({}, True, True),
        ({"P": Name.AllOn}, False, True),
        ({"P": Name.AnyOff}, True, False),
        ({"P": Name.AllOff}, False, False),
        ({"VE": None}, True, False),  # not (a and b)
    ],
)
def test_a_note_in_several_layers_is_printed_by_their_rule(
    pages: Pages, rule: dict[str, Any], *, with_one_off: bool, with_none_off: bool
) -> None:
    for off, shown in ((True, with_one_off), (False, with_none_off)):
        (page,) = pages(layered(_NOTE, rule, off=off))
        assert (ink(page) > 0) == shown
