"""PDFs: shown as a viewer prints them, opened where that can be done, else refused by name."""

from __future__ import annotations

import base64
import io
import re
import struct
import time
import zlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from pikepdf import Array, Dictionary, Encryption, Name, Stream, String
from PIL import Image, ImageChops

from gateway.document import jpeg, losses, pdf, progress, raster
from gateway.document.bilevel import to_bilevel
from gateway.document.raster import Page
from gateway.document.refusal import Unfaxable
from gateway.document.render import tiff_to_pdf

from .conftest import Pages
from .made import A4, LANDSCAPE, LETTER, Sheet, fax_page, letter, letters, photo, saved
from .made import pdf as pdf_of

Refusal = Callable[..., Unfaxable]


def ink(page: Page, left: float = 0, top: float = 0, right: float = 1, bottom: float = 1) -> float:
    """The share of black in a part of a page, the corners given as parts of it."""
    black = to_bilevel(page.image, page.y_dpi).convert("L")
    width, height = black.size
    box = black.crop((round(left * width), round(top * height), round(right * width), round(bottom * height)))
    return 1 - sum(v * n for v, n in enumerate(box.histogram())) / 255 / (box.width * box.height)


def corner(page: Page) -> str:
    """In which corner of the page the ink is."""
    shares = {
        "top left": ink(page, 0, 0, 0.5, 0.5), "top right": ink(page, 0.5, 0, 1, 0.5),
        "bottom left": ink(page, 0, 0.5, 0.5, 1), "bottom right": ink(page, 0.5, 0.5, 1, 1),
    }  # fmt: skip
    return max(shares, key=shares.__getitem__)


def bounds(page: Page) -> tuple[float, float, float, float]:
    """The box of what is black, in inches."""
    box = ImageChops.invert(to_bilevel(page.image, page.y_dpi).convert("L")).getbbox()
    assert box
    return box[0] / raster.X_DPI, box[1] / page.y_dpi, box[2] / raster.X_DPI, box[3] / page.y_dpi


# --- pages ------------------------------------------------------------------------------------------------------------


def test_every_page_comes_in_order(pages: Pages) -> None:
    sheets = [Sheet().box(72, 72 * n, 72, 36) for n in range(1, 8)]
    found = pages(pdf_of(sheets))
    assert [round(bounds(page)[1]) for page in found] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(("resolution", "rows"), [("fine", 196), ("standard", 98)])
@pytest.mark.parametrize(("paper", "inches"), [("letter", 11), ("a4", 11.69)])
def test_a_page_is_on_the_grid(pages: Pages, paper: str, inches: float, resolution: str, rows: int) -> None:
    for size in (LETTER, A4):
        (page,) = pages(letters(1, size), paper=paper, resolution=resolution)
        assert page.image.size == (1728, round(inches * rows))
        assert page.y_dpi == rows


def test_letter_prints_at_its_own_size(pages: Pages) -> None:
    (page,) = pages(pdf_of([Sheet(LETTER).box(72, 72, 360, 576)]))
    assert bounds(page) == pytest.approx((1, 1, 6, 9), abs=0.05)


def test_a4_on_letter_paper_is_shrunk_whole(pages: Pages) -> None:
    (page,) = pages(pdf_of([Sheet(A4).box(0, 0, *A4)]))
    left, top, right, bottom = bounds(page)
    assert (top, bottom) == pytest.approx((0, 11), abs=0.02)
    assert (right - left) / (bottom - top) == pytest.approx(A4[0] / A4[1], rel=0.01)


def test_landscape_is_turned_to_fill_the_page(pages: Pages) -> None:
    (page,) = pages(pdf_of([Sheet(LANDSCAPE).box(0, 0, *LANDSCAPE)]))
    left, top, right, bottom = bounds(page)
    assert (right - left, bottom - top) == pytest.approx((8.3, 10.74), abs=0.1)


@pytest.mark.parametrize(
    ("rotate", "where"), [(0, "top left"), (90, "top right"), (180, "bottom right"), (270, "bottom left"), (-90, "bottom left")]
)  # fmt: skip
def test_rotation_is_obeyed(pages: Pages, rotate: int, where: str) -> None:
    # square, so that nothing else turns it
    (page,) = pages(pdf_of([Sheet((576, 576), Rotate=rotate).box(30, 30, 200, 200)]))
    assert corner(page) in (where, "top " + where.split()[1])
    assert ink(page) > 0.03
    left, top, *_ = bounds(page)
    assert (left < 3) == where.endswith("left")
    assert (top < 2) == where.startswith("top")


@pytest.mark.parametrize("rotate", [90, -90])
def test_a_page_that_was_scanned_sideways_is_not_turned_upside_down(pages: Pages, rotate: int) -> None:
    (page,) = pages(pdf_of([Sheet(Rotate=rotate).box(30, 30, 100, 100)]))
    assert corner(page) == "top left"


def test_the_crop_box_is_what_is_shown(pages: Pages) -> None:
    sheet = Sheet((1000, 1200), MediaBox=Array([-100, -50, 900, 1150]), CropBox=Array([100, 100, 712, 892]))
    sheet.raw(b"0 g -100 -50 200 1200 re f 200 200 144 144 re f")  # the first lies outside
    (page,) = pages(pdf_of([sheet]))
    left, top, right, bottom = bounds(page)
    assert (right - left, bottom - top) == pytest.approx((2, 2), abs=0.05)
    assert left == pytest.approx(100 / 72, abs=0.05)


def test_a_page_measured_in_larger_units_has_its_true_size(pages: Pages) -> None:
    sheet = Sheet((306, 396), UserUnit=2).box(36, 36, 180, 288)
    page, other = pages(pdf_of([sheet, Sheet((306, 396)).box(36, 36, 180, 288)]))
    left, top, right, bottom = bounds(page)
    assert (right - left, bottom - top) == pytest.approx((5, 8), abs=0.05)
    left, top, right, bottom = bounds(other)
    assert (right - left, bottom - top) == pytest.approx((2.5, 4), abs=0.05)


def test_boxes_upside_down_are_understood(pages: Pages) -> None:
    (page,) = pages(pdf_of([Sheet(MediaBox=Array([612, 792, 0, 0])).box(72, 72, 144, 144)]))
    assert bounds(page) == pytest.approx((1, 1, 3, 3), abs=0.05)


def test_a_page_without_a_size_is_letter_paper(pages: Pages) -> None:
    sheet = Sheet(MediaBox=Array([0, 0, 0, 0])).box(72, 72, 144, 144)
    without = pdf_of([Sheet().box(72, 72, 144, 144)]).replace(b"/MediaBox", b"/MediaBix")
    for data, notes in ((pdf_of([sheet]), []), (without, ["pages that say no size are shown on letter paper"])):
        progress.begin("x.bin")
        (page,) = pages(data)
        assert page.image.size == (1728, 2156)
        assert ink(page) > 0.01
        assert progress.notes() == notes


@pytest.mark.parametrize(
    "box", [(0, 0, -612, -792), (1000, 1000, 1500, 1500), (-600, 0, -100, 792), (612, 0, 1224, 792)]
)
def test_a_crop_box_beside_the_page_is_none(pages: Pages, box: tuple[float, ...]) -> None:
    (page,) = pages(pdf_of([Sheet(CropBox=Array(box)).box(72, 72, 144, 144)]))
    assert bounds(page) == pytest.approx((1, 1, 3, 3), abs=0.05)


def test_a_poster_is_shrunk_onto_one_page(pages: Pages) -> None:
    (page,) = pages(pdf_of([Sheet((3000, 4000)).box(0, 0, 3000, 4000)]))
    assert page.image.size == (1728, 2156)
    left, top, right, bottom = bounds(page)
    assert (right - left) / (bottom - top) == pytest.approx(0.75, rel=0.01)


def test_an_enormous_page_costs_no_more_than_another(pages: Pages) -> None:
    (page,) = pages(pdf_of([Sheet((14400, 14400)).box(0, 0, 7200, 14400)]))
    assert page.image.size == (1728, 2156)
    assert ink(page) > 0.2


def test_a_roll_becomes_a_long_page(pages: Pages) -> None:
    (page,) = pages(pdf_of([Sheet((576, 2880)).box(0, 0, 576, 2880)]))
    assert page.image.size == (1728, 40 * 196)


def test_a_small_page_is_not_enlarged(pages: Pages) -> None:
    (page,) = pages(pdf_of([Sheet((144, 216)).box(0, 0, 144, 216)]))
    left, top, right, bottom = bounds(page)
    assert (right - left, bottom - top) == pytest.approx((2, 3), abs=0.03)
    assert page.image.size == (1728, 2156)


def test_an_empty_page_stays_a_page(pages: Pages) -> None:
    first, second = pages(pdf_of([Sheet(), Sheet().box(72, 72, 72, 72)]))
    assert first.image.getextrema() == (255, 255)
    assert ink(second) > 0.005


def test_a_missing_content_stream_is_an_empty_page(pages: Pages) -> None:
    document = pikepdf.new()
    document.add_blank_page(page_size=LETTER)
    assert "/Contents" not in document.pages[0] or not document.pages[0].Contents.read_bytes()
    (page,) = pages(saved(document))
    assert page.image.getextrema() == (255, 255)


# --- forms, notes, pictures -------------------------------------------------------------------------------------------


def with_field(flags: int = 4, value: str = "Jane Example, Springfield") -> bytes:
    document = pikepdf.new()
    Sheet().add_to(document)
    font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica)
    field = document.make_indirect(
        Dictionary(
            Type=Name.Annot, Subtype=Name.Widget, FT=Name.Tx, T=String("name"), V=String(value),
            Rect=Array([72, 600, 372, 640]), DA=String("/Helv 24 Tf 0 g"), F=flags, P=document.pages[0].obj,
        )
    )  # fmt: skip
    document.pages[0].obj["/Annots"] = Array([field])
    document.Root["/AcroForm"] = Dictionary(
        Fields=Array([field]), DR=Dictionary(Font=Dictionary(Helv=font)), DA=String("/Helv 24 Tf 0 g"),
        NeedAppearances=True,
    )  # fmt: skip
    return saved(document)


def test_what_was_typed_into_a_form_is_shown(pages: Pages) -> None:
    (page,) = pages(with_field())
    assert ink(page, 0.1, 0.18, 0.65, 0.25) > 0.02


def test_notes_with_an_appearance_are_shown_and_hidden_ones_are_not(pages: Pages) -> None:
    def annotated(flags: int) -> bytes:
        document = pikepdf.new()
        Sheet().add_to(document)
        look = Stream(
            document, b"0 g 0 0 100 100 re f", Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 100, 100])
        )
        stamp = Dictionary(
            Type=Name.Annot, Subtype=Name.Stamp, Rect=Array([100, 600, 200, 700]), F=flags, AP=Dictionary(N=look)
        )
        document.pages[0].obj["/Annots"] = Array([document.make_indirect(stamp)])
        return saved(document)

    (shown,) = pages(annotated(4))
    (hidden,) = pages(annotated(2))
    assert ink(shown) > 0.01
    assert ink(hidden) == 0


@pytest.mark.parametrize("value", ["Łukasz Żółć", "Иван Примеров", "Ελένη Παράδειγμα"])
def test_letters_that_a_form_has_no_font_for_are_shown(pages: Pages, value: str) -> None:
    (page,) = pages(with_field(value=value))
    left, top, right, _ = bounds(page)
    assert (left, top) == pytest.approx((1, 2.15), abs=0.1)
    assert right - left > 0.12 * len(value)


def test_a_field_for_print_alone_is_shown(pages: Pages) -> None:
    (page,) = pages(with_field(flags=36))
    assert ink(page, 0.1, 0.18, 0.65, 0.25) > 0.02


@pytest.mark.parametrize(
    ("usage", "rules", "seen"),
    [
        ({}, (), True),
        ({"Print": {"PrintState": Name.OFF}}, (), True),  # nobody asks for it
        ({"View": {"ViewState": Name.OFF}}, ("View",), True),
        ({"Print": {"PrintState": Name.OFF}}, ("View", "Print"), False),
    ],
)
def test_a_layer_is_shown_as_in_print(
    pages: Pages, usage: dict[str, Any], rules: tuple[str, ...], *, seen: bool
) -> None:
    document = pikepdf.new()
    Sheet().raw(b"/OC /L BDC 72 500 200 200 re f EMC").add_to(document)
    layer = document.make_indirect(
        Dictionary(
            Type=Name.OCG,
            Name=String("layer"),
            Usage=Dictionary(**{name: Dictionary(**said) for name, said in usage.items()}),
        )
    )
    asked = [
        Dictionary(Event=Name("/" + each), OCGs=Array([layer]), Category=Array([Name("/" + each)])) for each in rules
    ]
    document.Root.OCProperties = Dictionary(OCGs=Array([layer]), D=Dictionary(ON=Array([layer]), AS=Array(asked)))
    document.pages[0].obj.Resources.Properties = Dictionary(L=layer)
    progress.begin("x.bin")
    (page,) = pages(saved(document))
    assert (ink(page) > 0.05) == seen
    assert progress.notes() == ([] if seen else ["without the layer not to be printed"])


def test_a_count_of_pages_that_is_too_low_hides_none(pages: Pages, refusal: Refusal) -> None:
    whole = letters(3, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    wrong = whole.replace(b"/Count 3", b"/Count 2")
    assert wrong != whole
    assert len(pages(wrong)) == 3
    assert "3 pages, and the fax has room for 2 more" in refusal(wrong, room=2).public


@pytest.mark.parametrize("count", [4, 20])
def test_a_count_of_pages_that_is_too_high_refuses_none(pages: Pages, refusal: Refusal, count: int) -> None:
    whole = letters(3, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    wrong = whole.replace(b"/Count 3", b"/Count %d" % count)
    assert wrong != whole
    assert [page.image for page in pages(wrong)] == [page.image for page in pages(whole)]
    unlisted = re.sub(rb"(/Kids \[ \d+ 0 R \d+ 0 R) \d+ 0 R", rb"\1      ", wrong)  # the page itself lies in the file
    assert unlisted != wrong
    assert "damaged" in refusal(unlisted).public


def test_a_page_that_says_it_is_something_else_is_one(pages: Pages) -> None:
    whole = letters(3, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    wrong = re.sub(rb"/Type /Page\b", b"/Type /Pago", whole, count=1)
    assert wrong != whole
    assert [page.image for page in pages(wrong)] == [page.image for page in pages(whole)]


def test_a_photograph_in_colour_and_in_cmyk(pages: Pages) -> None:
    picture = photo(600, 400)
    for image in (picture, picture.convert("CMYK"), picture.convert("L")):
        (page,) = pages(pdf_of([Sheet().picture(72, 72, 400, 266, image)]))
        assert 0.02 < ink(page) < 0.3


@pytest.mark.parametrize("beside", ["", "A text beside it"])
def test_a_picture_that_cannot_be_decoded_is_not_left_out_without_a_word(refusal: Refusal, beside: str) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    Sheet().text(72, 72, beside, 12).raw(b"q 612 0 0 792 0 0 cm /I0 Do Q").add_to(document)
    document.pages[1].obj["/Resources"]["/XObject"]["/I0"] = Stream(
        document, b"this is no JPEG 2000 picture", Type=Name.XObject, Subtype=Name.Image, Width=2000, Height=2600,
        ColorSpace=Name.DeviceGray, BitsPerComponent=8, Filter=Name.JPXDecode,
    )  # fmt: skip
    assert refusal(saved(document)).public == "page 2 of x.bin is damaged; make the PDF again and send that"


def with_picture(data: bytes, coding: object, **fields: Any) -> bytes:
    document = pikepdf.new()
    Sheet().text(72, 72, "The photograph", 12).raw(b"q 400 0 0 266 72 300 cm /I0 Do Q").add_to(document)
    fields = {"ColorSpace": Name.DeviceGray, "BitsPerComponent": 8, "Width": 600, "Height": 400} | fields
    document.pages[0].obj["/Resources"]["/XObject"] = Dictionary(
        I0=Stream(document, data, Type=Name.XObject, Subtype=Name.Image, Filter=coding, **fields)
    )
    return saved(document)


_DAMAGED = "page 1 of x.bin is damaged; make the PDF again and send that"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_breaks_off_is_not_filled_with_grey(pages: Pages, refusal: Refusal, progressive: bool) -> None:
    coded = io.BytesIO()
    photo(600, 400).convert("L").save(coded, "JPEG", progressive=progressive)
    whole = coded.getvalue()
    broken = whole[: len(whole) // 3]
    for data, coding in (
        (broken, Name.DCTDecode),
        (whole[: -len(whole) // 10], Name.DCTDecode),
        (zlib.compress(broken), Array([Name.FlateDecode, Name.DCTDecode])),
        (base64.a85encode(zlib.compress(broken)) + b"~>", Array([Name.A85, Name.Fl, Name.DCT])),
        (zlib.compress(whole)[:-2000], Array([Name.FlateDecode, Name.DCTDecode])),
    ):
        assert refusal(with_picture(data, coding)).public == _DAMAGED
    for fine in (whole, whole[:-2], whole + bytes(100), whole + b"\r\n"):  # some lack the end mark alone
        (page,) = pages(with_picture(fine, Name.DCTDecode))
        assert ink(page) > 0.01
    assert len(pages(with_picture(base64.a85encode(whole) + b"~>", Array([Name.ASCII85Decode, Name.DCTDecode])))) == 1


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_pdfium_would_make_black_is_refused(pages: Pages, refusal: Refusal, progressive: bool) -> None:
    coded = io.BytesIO()
    photo(600, 400).convert("L").save(coded, "JPEG", progressive=progressive)
    whole = coded.getvalue()
    assert pages(with_picture(whole, Name.DCTDecode))
    at = whole.index(b"\xff\xc2" if progressive else b"\xff\xc0")
    arithmetic = (
        whole[: at + 1] + bytes([whole[at + 1] + (8 if progressive else 9)]) + whole[at + 2 :]
    )  # ITU-T T.81, table B.1
    twelve_bits = whole[: at + 4] + b"\x0c" + whole[at + 5 :]
    for rare in (arithmetic, twelve_bits, arithmetic[:2] + b"\xff" + arithmetic[2:]):
        assert refusal(with_picture(rare, Name.DCTDecode)).public == _DAMAGED


_CODED: list[dict[str, Any]] = [{"quality": 30}, {"quality": 90, "subsampling": 0}, {"restart_marker_rows": 1}]


@pytest.mark.parametrize("said", [*_CODED, {"progressive": True}, {"restart_marker_blocks": 3}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_that_is_whole_lacks_nothing(said: dict[str, Any], mode: str) -> None:
    coded = io.BytesIO()
    photo(600, 400).convert(mode).save(coded, "JPEG", **said)
    whole = coded.getvalue()
    second = whole + whole  # as phones add another picture
    for fine in (whole, second, whole[:-2] + bytes(5) + whole[-2:], whole[:-2] + b"\xff\xff" + whole[-2:]):
        assert not jpeg.breaks_off(fine)


@pytest.mark.parametrize("said", _CODED)
def test_a_jpeg_of_which_something_within_is_missing_is_damaged(
    pages: Pages, refusal: Refusal, said: dict[str, Any]
) -> None:
    coded = io.BytesIO()
    photo(600, 400).convert("L").save(coded, "JPEG", **said)
    whole = coded.getvalue()
    assert ink(*pages(with_picture(whole, Name.DCTDecode)))
    middle = len(whole) // 2
    for broken in (whole[:middle] + whole[middle + 2000 :], whole[:middle] + b"\xff\x33" + whole[middle + 2 :]):
        assert refusal(with_picture(broken, Name.DCTDecode)).public == _DAMAGED
        assert "damaged or incomplete image" in refusal(broken).public


def test_within_a_scan_of_a_page_nothing_is_looked_for(refusal: Refusal) -> None:
    """It would take as long as to draw it; its end is looked for, and within a picture that comes alone everything is."""
    coded = io.BytesIO()
    photo(1700, 1300).convert("L").save(coded, "JPEG")
    whole = coded.getvalue()
    broken = whole[: len(whole) // 2] + whole[len(whole) // 2 + 2000 :]
    assert not jpeg.breaks_off(broken, most=1 << 21)
    assert jpeg.breaks_off(whole[: len(whole) // 2], most=1 << 21)
    assert "damaged or incomplete image" in refusal(broken).public


_SPOT = Dictionary(FunctionType=2, Domain=Array([0, 1]), C0=Array([0]), C1=Array([1]), N=1)


@pytest.mark.parametrize(
    ("is_all", "space"),
    [
        (False, Name.DeviceGray),
        (True, Name.DeviceGray),
        (True, Array([Name.Separation, Name.Black, Name.DeviceGray, _SPOT])),
        (False, Array([Name.Indexed, Name.DeviceGray, 1, String(b"\x00\xff")])),
    ],
)
def test_a_fax_that_breaks_off_is_not_filled(
    pages: Pages, refusal: Refusal, is_all: bool, space: pikepdf.Object
) -> None:
    coded = io.BytesIO()
    fax_page().save(coded, "TIFF", compression="group4")
    with Image.open(coded) as tiff:
        start, size = tiff.tag_v2[273][0], tiff.tag_v2[279][0]  # type: ignore[attr-defined]
    whole = coded.getvalue()[start : start + size]

    def shown(data: bytes, coding: Any = Name.CCITTFaxDecode) -> bytes:
        document = pikepdf.new()
        place = b"q 610 0 0 842.14 0 0 cm /I0 Do Q"
        Sheet((610, 842.14)).raw(place if is_all else place + b" BT ET").add_to(document)
        settings = Dictionary(K=-1, Columns=1728, BlackIs1=True)
        if coding != Name.CCITTFaxDecode:
            settings = Array([Dictionary(), settings])
        document.pages[0].obj["/Resources"]["/XObject"] = Dictionary(
            I0=Stream(
                document, data, Type=Name.XObject, Subtype=Name.Image, Width=1728, Height=2292, Filter=coding,
                ColorSpace=space, BitsPerComponent=1, DecodeParms=settings,
            )
        )  # fmt: skip
        return saved(document)

    directory = struct.pack("<HHIIHHII", 262, 3, 1, 0, 273, 4, 1, 8)  # of the TIFF it was in
    for data in (whole, whole[:-3], whole + bytes(100), whole + directory):  # some lack the end mark alone
        (page,) = pages(shown(data))
        assert 0.01 < ink(page) < 0.1
    half = len(whole) // 2
    holes = [whole[:half] + hole + whole[half + 64 :] for hole in (bytes(64), b"\3\xff" * 32)]
    for broken in (whole[:half], whole[: -len(whole) // 20], *holes):
        assert refusal(shown(broken)).public == _DAMAGED
        assert refusal(shown(zlib.compress(broken), Array([Name.FlateDecode, Name.CCF]))).public == _DAMAGED


@pytest.mark.parametrize(
    ("compression", "settings"),
    [("group3", {"K": 0, "EndOfLine": True}), ("group3", {"K": 4, "EndOfLine": True}), ("tiff_ccitt", {"EncodedByteAlign": True})],
)  # fmt: skip
def test_a_fax_of_group_3_that_breaks_off_is_not_filled(
    pages: Pages, refusal: Refusal, compression: str, settings: dict[str, Any]
) -> None:
    image, coded = fax_page(), io.BytesIO()
    image.save(coded, "TIFF", compression=compression, tiffinfo={292: 1} if settings.get("K") else {})
    with Image.open(coded) as tiff:
        places = zip(tiff.tag_v2[273], tiff.tag_v2[279], strict=True)  # type: ignore[attr-defined]
        whole = b"".join(coded.getvalue()[at : at + size] for at, size in places)
    said = {"BitsPerComponent": 1, "Width": 1728, "Height": 2292}
    said["DecodeParms"] = Dictionary(Columns=1728, BlackIs1=True, **settings)
    for fine in (whole, whole + b"\0\0", whole + bytes.fromhex("001001001001001001")):
        (page,) = pages(with_picture(fine, Name.CCITTFaxDecode, **said))
        assert 0.002 < ink(page) < 0.1
    for kept in (0.3, 0.95):
        assert refusal(with_picture(whole[: int(len(whole) * kept)], Name.CCF, **said)).public == _DAMAGED


def jbig2_of(image: Image.Image) -> bytes:
    """A picture of one segment, coded as a fax (MMR), behind what says how large the page is."""
    with Image.open(io.BytesIO(raster.g4(image, 196))) as tiff:
        start, size = tiff.tag_v2[273][0], tiff.tag_v2[279][0]  # type: ignore[attr-defined]
    page = struct.pack(">II9x2x", *image.size)
    drawn = struct.pack(">II9xB", *image.size, 1) + raster.g4(image, 196)[start : start + size]
    heads = (
        struct.pack(">IBBBI", number, kind, 0, 1, len(data)) for number, kind, data in ((0, 48, page), (1, 38, drawn))
    )
    return b"".join(head + data for head, data in zip(heads, (page, drawn), strict=True))


def test_a_jbig2_picture_that_breaks_off_is_not_filled(pages: Pages, refusal: Refusal) -> None:
    whole = jbig2_of(photo(600, 400).convert("1"))
    fields = {"BitsPerComponent": 1}
    end_of_page = struct.pack(">IBBBI", 2, 49, 0, 1, 0)
    many = (
        struct.pack(">IBI", 2, 62, 0xE0000009) + bytes(2 + 9) + struct.pack(">BI", 1, 4) + bytes(4)
    )  # that it refers to
    for fine in (whole, whole + b"\r\n", whole + end_of_page + b"\xff" * 50, whole[:-2], whole + many):
        (page,) = pages(with_picture(fine, Name.JBIG2Decode, **fields))
        assert ink(page) > 0.01
    unsaid = whole[:37] + b"\xff" * 4 + whole[41:] + bytes(6) + struct.pack(">I", 400)  # how long it is
    assert len(pages(with_picture(unsaid, Name.JBIG2Decode, **fields))) == 1
    for broken in (
        whole[: len(whole) // 2],
        b"\x97JB2\r\n\x1a\n" + whole,
        bytes(500),
        b"",
        whole[:4] + b"\x0d" + whole[5:],
    ):
        assert refusal(with_picture(broken, Name.JBIG2Decode, **fields)).public == _DAMAGED
    symbols = struct.pack(">IBBBBI", 1, 6, 0x20, 0, 1, 20) + whole[41:61]  # which are not there
    said = refusal(with_picture(whole[:30] + symbols, Name.JBIG2Decode, **fields)).public
    assert said.startswith("page 1 of x.bin holds a picture that cannot be read")


_UNREAD = {
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(500), Name.DCTDecode),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(500), Name.JPXDecode),
    "jbig2": (bytes(500), Name.JBIG2Decode),
}


@pytest.mark.parametrize("kind", _UNREAD)
@pytest.mark.parametrize("place", ["mask", "pattern", "note"])
def test_a_picture_that_cannot_be_read_is_missed_wherever_it_is(refusal: Refusal, kind: str, place: str) -> None:
    data, coding = _UNREAD[kind]
    with pikepdf.open(io.BytesIO(with_picture(bytes(600 * 400), None))) as document:
        page = document.pages[0]
        unread = document.make_indirect(Stream(
            document, data, Type=Name.XObject, Subtype=Name.Image, Width=600, Height=400, ColorSpace=Name.DeviceGray,
            BitsPerComponent=1 if kind == "jbig2" else 8, Filter=coding,
        ))  # fmt: skip
        within = {"Resources": Dictionary(XObject=Dictionary(I=unread)), "BBox": Array([0, 0, 400, 266])}
        drawn = b"400 0 0 266 0 0 cm /I Do"
        if place == "mask":
            page.Resources.XObject.I0.SMask = unread
        elif place == "pattern":
            tile = Stream(document, drawn, PatternType=1, PaintType=1, TilingType=1, XStep=400, YStep=266, **within)
            page.Resources.Pattern = Dictionary(P=document.make_indirect(tile))
        else:
            look = document.make_indirect(Stream(document, drawn, Type=Name.XObject, Subtype=Name.Form, **within))
            note = Dictionary(Subtype=Name.Stamp, F=4, Rect=Array([72, 300, 472, 566]), AP=Dictionary(N=look))
            page.obj["/Annots"] = Array([document.make_indirect(note)])
        assert refusal(saved(document)).public == _DAMAGED


@pytest.mark.parametrize(
    ("mode", "space"),
    [
        ("L", Name.DeviceGray),
        ("RGB", Array([Name.CalRGB, Dictionary(WhitePoint=Array([0.95, 1, 1.09]))])),
        ("CMYK", Name.DeviceCMYK),
        ("L", Array([Name.Indexed, Name.DeviceGray, 255, String(bytes(range(256)))])),
        ("1", None),
    ],
)
def test_a_picture_with_rows_missing_is_not_filled_with_black(
    pages: Pages, refusal: Refusal, mode: str, space: Any
) -> None:
    whole = photo(600, 400).convert(mode).tobytes()
    fields = {"ImageMask": True, "BitsPerComponent": 1, "ColorSpace": None} if mode == "1" else {"ColorSpace": space}
    for data in (whole, whole[: -len(whole) // 400]):  # nobody misses the last row
        assert len(pages(with_picture(zlib.compress(data), Name.FlateDecode, **fields))) == 1
    for data in (zlib.compress(whole[: len(whole) // 2]), zlib.compress(whole)[:-1000]):
        assert refusal(with_picture(data, Name.FlateDecode, **fields)).public == _DAMAGED


@pytest.mark.parametrize(
    "space",
    [
        Array([Name.Separation, Name("/None"), Name.DeviceGray, Dictionary(FunctionType=2, Domain=[0, 1], C0=[1], C1=[0], N=1)]),
        Array([Name.Indexed, Name.DeviceGray, 255, None]),
    ],
)  # fmt: skip
def test_a_picture_of_no_colour_is_no_black_box(refusal: Refusal, space: Array) -> None:
    data = zlib.compress(photo(600, 400).convert("L").tobytes())
    assert refusal(with_picture(data, Name.FlateDecode, ColorSpace=space)).public == _DAMAGED


def test_a_palette_may_look_like_damaged_words(pages: Pages) -> None:
    space = Array([Name.Indexed, Name.DeviceGray, 255, String(b"\xfe\xff\xd8\x00" + bytes(range(252)))])
    progress.begin("x.bin")
    assert len(pages(with_picture(zlib.compress(bytes(600 * 400)), Name.FlateDecode, ColorSpace=space))) == 1
    assert progress.notes() == []


def test_the_size_of_a_picture_may_have_a_point(pages: Pages) -> None:
    data = zlib.compress(photo(600, 400).convert("L").tobytes())
    one, other = (
        pages(with_picture(data, Name.FlateDecode, Width=width, Height=height))[0]
        for width, height in ((600, 400), (Decimal("600.0"), Decimal("400.0")))
    )
    assert other.image == one.image


@pytest.mark.parametrize("kind", ["SMask", "Mask"])
def test_a_mask_with_rows_missing_is_damaged(pages: Pages, refusal: Refusal, kind: str) -> None:
    def masked(data: bytes) -> bytes:
        with pikepdf.open(io.BytesIO(with_picture(bytes(600 * 400), None))) as document:
            mask = Stream(document, data, Type=Name.XObject, Subtype=Name.Image, Width=600, Height=400)
            mask.BitsPerComponent, mask.ColorSpace, mask.ImageMask = 1, Name.DeviceGray, kind == "Mask"
            document.pages[0].Resources.XObject.I0["/" + kind] = document.make_indirect(mask)
            return saved(document)

    assert len(pages(masked(bytes(75 * 400)))) == 1
    assert refusal(masked(bytes(75 * 200))).public == _DAMAGED


# --- what is protected, damaged, or no document -----------------------------------------------------------------------


@pytest.mark.parametrize("strength", [2, 3, 4, 6])
def test_an_owner_password_does_not_matter(pages: Pages, strength: int) -> None:
    options = {"metadata": False, "aes": strength >= 4}
    found = pages(letters(2, encryption=Encryption(owner="secret", user="", R=strength, **options)))
    assert len(found) == 2
    assert ink(found[1]) > 0.01


@pytest.mark.parametrize("strength", [2, 3, 4, 6])
def test_a_user_password_is_refused_with_the_remedy(refusal: Refusal, strength: int) -> None:
    options = {"metadata": False, "aes": strength >= 4}
    refused = refusal(letters(1, encryption=Encryption(owner="secret", user="open", R=strength, **options)))
    assert refused.public == "x.bin is protected by a password; send it without one (print it to a new PDF)"
    assert refused.status == "5.7.4"


@pytest.mark.parametrize(
    "kind", ["/Filter/Adobe.PubSec/V 4", "/Filter/EBX_HANDLER/V 3", "/Filter/Standard/V 9/R 9/P 0"]
)
def test_protection_that_is_no_password_is_told_from_damage(refusal: Refusal, kind: str) -> None:
    whole = letters(1, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    refused = refusal(whole.replace(b"trailer <<", f"trailer << /Encrypt <<{kind}>>".encode()))
    assert refused.public == (
        "x.bin is protected by a certificate, or so that only one program opens it; print it to a new PDF and send that"
    )
    assert refused.status == "5.7.4"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.97])
@pytest.mark.parametrize("linearized", [False, True])
def test_a_pdf_cut_off_in_transit_is_refused(refusal: Refusal, share: float, linearized: bool) -> None:
    whole = letters(30, linearize=linearized)
    refused = refusal(whole[: int(len(whole) * share)])
    assert refused.public == "x.bin is incomplete: the PDF breaks off before its end; send it again"


def test_a_linearized_pdf_tells_that_its_end_is_missing_even_if_it_looks_whole(refusal: Refusal) -> None:
    whole = letters(30, linearize=True)
    first_end = whole.index(b"%%EOF") + 6  # of its first part, which stands at the start
    assert "breaks off" in refusal(whole[:first_end]).public


def test_an_update_cut_off_in_transit_is_refused(refusal: Refusal) -> None:
    whole = letters(2)
    update = b"4 0 obj\n<</Type/Page/Parent 1 0 R/MediaBox[0 0 612 792]>>\nendobj\n"
    assert "breaks off" in refusal(whole + update).public
    assert "breaks off" in refusal(whole + update * 200).public


@pytest.mark.parametrize(
    "tail", [b"\0" * 6000, b"\r\n" * 4000, b"<!-- scanned by a gateway -->\r\n", b"<p>no virus found</p>\n" * 4000]
)
def test_what_comes_after_the_end_does_not_matter(pages: Pages, tail: bytes) -> None:
    assert len(pages(letters(2) + tail)) == 2


def test_junk_before_the_header_does_not_matter(pages: Pages) -> None:
    assert len(pages(b"\x1b%-12345X@PJL JOB\r\n" + letters(2))) == 2


def test_a_broken_cross_reference_is_mended(pages: Pages) -> None:
    whole = letters(3, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    broken = re.sub(rb"startxref\s+\d+", b"startxref\n99", whole)
    assert broken != whole
    assert len(pages(broken)) == 3


def test_what_is_a_byte_beside_its_place_is_found(pages: Pages) -> None:
    whole = letters(12, compress_streams=False, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    found = pages(whole.replace(b"The quick", b"The quic", 1))
    assert all(ink(page) > 0.01 for page in found)
    assert len(found) == 12


@pytest.mark.parametrize("number", [1, 5, 12])
def test_a_page_that_is_lost_is_not_left_out(refusal: Refusal, number: int) -> None:
    whole = letters(12, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    lost = [match.start() for match in re.finditer(rb"\d+ 0 obj\s*<<[^>]*/Contents", whole)][number - 1]
    # and nothing is any more where the PDF says
    assert "damaged" in refusal(whole[:lost] + b"q" + whole[lost + 8 :]).public


def test_a_tree_of_pages_that_is_lost_is_no_page(refusal: Refusal) -> None:
    whole = letters(12, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    assert b"\n22 0 obj" in whole
    assert "damaged" in refusal(whole.replace(b"\n22 0 obj", b"\n2 0 obj")).public  # which is the tree's number


def test_a_missing_trailer_is_mended(pages: Pages) -> None:
    whole = letters(3, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    broken = re.sub(rb"trailer.*?startxref", b"startxref", whole, flags=re.DOTALL)
    assert broken != whole
    assert len(pages(broken)) == 3


def test_nonsense_with_a_header_is_refused(refusal: Refusal) -> None:
    said = "x.bin is a damaged PDF that cannot be read; make it again and send that"
    assert refusal(b"%PDF-1.7\n" + bytes(range(256)) * 40 + b"\n%%EOF\n").public == said


def test_no_page_is_said(refusal: Refusal) -> None:
    assert refusal(saved(pikepdf.new())).public == "x.bin is a PDF without a page; make it again and send that"


@pytest.mark.parametrize(
    ("content", "is_whole"),
    [
        (b"q 1 0 0 1 0 0 cm 0 g 72 72 200 200 re f Q BI /W 1 /H 1 /BPC 8 /CS /G ID \0 EI", True),
        (b"q 1 0 0 1 0 0 cm 0 g 72 72 200 20 gre f Q", False),
        (b"0 g 72 72 200 200 re f BT /F 12 Tf (never closed Tj ET", False),
    ],
)
def test_content_with_a_wrong_sum_is_whole_where_it_makes_sense(
    pages: Pages, refusal: Refusal, content: bytes, *, is_whole: bool
) -> None:
    document = pikepdf.new()
    Sheet().add_to(document)
    document.pages[0].Contents = Stream(document, zlib.compress(content)[:-4] + b"sums", Filter=Name.FlateDecode)
    data = saved(document, compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.none)
    if is_whole:
        assert ink(*pages(data)) > 0.01
    else:
        assert refusal(data).public == _DAMAGED


@pytest.mark.parametrize("what", [b"/Contents", b"/I0"])
@pytest.mark.parametrize("is_all", [False, True])
def test_a_page_of_which_bytes_were_lost_is_damaged(refusal: Refusal, what: bytes, *, is_all: bool) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    letter(2).picture(72, 500, 200, 133, photo(300, 200)).add_to(document)
    whole = saved(document, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    number = re.findall(what + rb" (\d+) 0 R", whole)[-1]
    start = whole.index(b"\n" + number + b" 0 obj") + 1
    end = whole.index(b"endobj", start) if is_all else start + 8
    lost = whole[:start] + bytes(end - start) + whole[end:]
    assert refusal(lost).public == "page 2 of x.bin is damaged; make the PDF again and send that"


def test_a_damaged_page_is_refused_by_its_number(refusal: Refusal) -> None:
    document = pikepdf.new()
    for n in range(3):
        letter(n).add_to(document)
    document.Root.Pages.Kids[1] = Dictionary(Type=Name.Font)
    assert refusal(saved(document)).public == "page 2 of x.bin is damaged; make the PDF again and send that"


def test_damaged_content_does_not_crash(pages: Pages) -> None:
    document = pikepdf.new()
    sheet = letter(1)
    sheet.raw(b"BT /F 12 Tf ((( Tj ET q q q Q ] >> 1 0 0 re f /Nothing Do " + bytes(range(256)))
    sheet.add_to(document)
    (page,) = pages(saved(document))
    assert ink(page) > 0.01


def with_xfa(xml: bytes, says: str = "Please wait...", *, in_parts: bool = False, **fields: bool) -> bytes:
    document = pikepdf.new()
    Sheet().text(72, 72, says).add_to(document)
    template = document.make_indirect(Stream(document, xml))
    form = Array([String("config"), template]) if in_parts else template
    document.Root["/AcroForm"] = Dictionary(Fields=Array([]), XFA=form)
    for name, value in fields.items():
        document.Root["/" + name] = value
    return saved(document)


_XFA = b'<xdp:xdp xmlns:xdp="http://ns.adobe.com/xdp/">%s<template/></xdp:xdp>'
_OLD = b"<acrobat7><dynamicRender>required</dynamicRender></acrobat7>"


@pytest.mark.parametrize(
    "data",
    [
        with_xfa(_XFA % b"", NeedsRendering=True),
        with_xfa(_XFA % _OLD),
        with_xfa(_OLD, in_parts=True),
        with_xfa(_XFA % b"", "Please wait... If this message is not eventually replaced with the proper contents"),
    ],
    ids=["new", "old", "in parts", "by its page"],
)
def test_a_dynamic_form_is_refused_as_its_page_only_says_please_wait(refusal: Refusal, data: bytes) -> None:
    refused = refusal(data)
    assert "only Adobe Reader can show" in refused.public
    assert "print it to a new PDF" in refused.public


def test_a_form_whose_pages_are_there_is_shown(pages: Pages) -> None:
    assert len(pages(with_xfa(_XFA % _OLD.replace(b"required", b"forbidden")))) == 1


@pytest.mark.parametrize("is_in_form", [False, True])
def test_an_opacity_that_is_no_number_is_damage(pages: Pages, refusal: Refusal, is_in_form: bool) -> None:
    def of(opacity: Any) -> bytes:
        document = pikepdf.new()
        page = Sheet().raw(b"/G gs").text(72, 72, "Words").add_to(document)
        page.obj.Resources.ExtGState = Dictionary(G=Dictionary(ca=opacity))
        if is_in_form:
            form = Stream(document, page.obj.Contents.read_bytes())
            form.update(Dictionary(Subtype=Name.Form, BBox=[0, 0, 612, 792], Resources=page.obj.Resources))
            page.obj.Resources = Dictionary(XObject=Dictionary(M=form))
            page.obj.Contents = Stream(document, b"/M Do")
        return saved(document)

    assert ink(*pages(of(1))) > 0
    for opacity in (Name.Normal, True):
        assert "page 1" in refusal(of(opacity)).public


def test_a_portfolio_is_refused_and_a_pdf_with_an_attachment_is_not(pages: Pages, refusal: Refusal) -> None:
    def attached(*, portfolio: bool) -> bytes:
        document = pikepdf.new()
        Sheet().text(72, 72, "Open this in another reader").add_to(document)
        document.attachments["data.xml"] = pikepdf.AttachedFileSpec(document, b"<invoice/>")
        if portfolio:
            document.Root["/Collection"] = Dictionary(Type=Name.Collection, View=Name.T)
        return saved(document)

    assert len(pages(attached(portfolio=False))) == 1
    assert "portfolio" in refusal(attached(portfolio=True)).public


def test_a_pdf_only_one_of_the_two_readers_opens(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    document.attachments["data.xml"] = pikepdf.AttachedFileSpec(document, b"<invoice/>")

    def broken(*_: object) -> None:
        raise pikepdf.PdfError

    monkeypatch.setattr(pikepdf, "open", broken)
    assert len(pages(saved(document))) == 1


def test_a_form_that_cannot_be_shown_is_mended_or_refused(
    pages: Pages, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = letters(2)
    shown = pypdfium2.PdfDocument.init_forms
    calls: list[object] = []

    def failing(document: pypdfium2.PdfDocument) -> bool:
        calls.append(document)
        if len(calls) == 1:
            raise pypdfium2.PdfiumError("no form")
        return bool(shown(document))

    monkeypatch.setattr(pypdfium2.PdfDocument, "init_forms", failing)
    assert len(pages(whole)) == 2
    monkeypatch.setattr(pypdfium2.PdfDocument, "__len__", lambda _: 0)
    assert refusal(whole).public == "x.bin is a damaged PDF that cannot be read; make it again and send that"


def test_more_pages_than_there_is_room_for_are_refused_before_any_is_drawn(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "_draw", None)
    refused = refusal(letters(5), room=4)
    assert refused.public == "x.bin has 5 pages, and the fax has room for 4 more; send it in parts"
    assert refused.status == "5.2.3"
    assert "1 page, and the fax has room for no more" in refusal(letters(1), room=0).public


# --- scans ------------------------------------------------------------------------------------------------------------


def scanned(dpi: int, mode: str = "L", size: tuple[float, float] = LETTER, **fields: object) -> bytes:
    """A page of writing as a scanner sends it: one picture from edge to edge."""
    document = pypdfium2.PdfDocument(pdf_of([letter(1, size=size).box(500, 700, 40, 20, 0.5)]))
    picture = document[0].render(scale=dpi / 72).to_pil().convert(mode)
    document.close()
    return pdf_of([Sheet(size, **fields).picture(0, 0, *size, picture)])


def sampling(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each page that was taken for a scan could be sampled."""
    found = []
    sampled = pdf._sampled

    def seen(*arguments: object) -> Image.Image | None:
        image = sampled(*arguments)  # type: ignore[arg-type]
        found.append(image is not None)
        return image

    monkeypatch.setattr(pdf, "_sampled", seen)
    return found


@pytest.mark.parametrize("resolution", ["fine", "standard"])
@pytest.mark.parametrize("dpi", [250, 300, 400, 600])
@pytest.mark.parametrize("size", [LETTER, A4])
def test_a_scan_in_grey_is_sampled_and_looks_as_pdfium_draws_it(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, dpi: int, resolution: str, size: tuple[float, float]
) -> None:
    data = scanned(dpi, size=size)
    found = sampling(monkeypatch)
    (page,) = pages(data, resolution=resolution)
    assert found == [True]
    monkeypatch.setattr(pdf, "_is_scan", lambda _: False)
    (drawn,) = pages(data, resolution=resolution)
    assert page.image.size == drawn.image.size
    difference = ImageChops.difference(page.image, drawn.image)
    # of all that is written, most is where pdfium has it: what is left is at the edges of letters
    written = 255 * page.image.width * page.image.height - sum(v * n for v, n in enumerate(drawn.image.histogram()))
    assert sum(v * n for v, n in enumerate(difference.histogram())) < 0.4 * written
    assert bounds(page) == pytest.approx(bounds(drawn), abs=0.02)


@pytest.mark.parametrize("dpi", [100, 200])
def test_a_scan_of_few_pixels_is_drawn(pages: Pages, monkeypatch: pytest.MonkeyPatch, dpi: int) -> None:
    found = sampling(monkeypatch)
    (page,) = pages(scanned(dpi))
    assert found == [False]
    assert ink(page) > 0.01


def mask_it(document: pikepdf.Pdf) -> None:
    mask = Stream(
        document, bytes(64), Type=Name.XObject, Subtype=Name.Image, Width=8, Height=8, ColorSpace=Name.DeviceGray,
        BitsPerComponent=8,
    )  # fmt: skip
    document.pages[0].Resources.XObject.I0["/SMask"] = mask


def turn_it(document: pikepdf.Pdf) -> None:
    document.Root.Pages["/Rotate"] = 180


def write_on_it(document: pikepdf.Pdf) -> None:
    content = document.pages[0].Contents.read_bytes()
    document.pages[0].Contents = Stream(document, content + b"\n1 g 0 0 612 792 re f")


def cut_it(document: pikepdf.Pdf) -> None:
    document.pages[0].obj["/CropBox"] = Array([0, 0, 612, 400])


def note_it(document: pikepdf.Pdf) -> None:
    document.pages[0].obj["/Annots"] = Array([])


def make_it_small(document: pikepdf.Pdf) -> None:
    document.pages[0].Contents = Stream(document, b"q 306 0 0 396 100 100 cm /I0 Do Q")


@pytest.mark.parametrize("change", [mask_it, turn_it, write_on_it, cut_it, note_it, make_it_small])
def test_what_is_more_than_a_scan_is_drawn_as_a_viewer_draws_it(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, change: Callable[[pikepdf.Pdf], None]
) -> None:
    with pikepdf.open(io.BytesIO(scanned(300))) as document:
        change(document)
        data = saved(document)
    found = sampling(monkeypatch)
    assert len(pages(data)) == 1
    assert found == []


def test_a_scan_in_colour_is_drawn(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    found = sampling(monkeypatch)
    (page,) = pages(scanned(300, "RGB"))
    assert found == []
    assert ink(page) > 0.01


# --- fax pages --------------------------------------------------------------------------------------------------------


def fax_pdf(tmp_path: Path, image: Image.Image, rows: int = 196) -> bytes:
    tiff, out = tmp_path / "fax.tif", tmp_path / "made.pdf"
    tiff.write_bytes(raster.g4(image, rows))
    tiff_to_pdf(str(tiff), str(out))
    return out.read_bytes()


@pytest.mark.parametrize(("height", "rows"), [(2292, 196), (1146, 98), (2156, 196), (6000, 196)])
def test_a_received_fax_sent_on_keeps_its_pixels(tmp_path: Path, pages: Pages, height: int, rows: int) -> None:
    image = fax_page(height)
    (page,) = pages(fax_pdf(tmp_path, image, rows))
    assert page.image.mode == "1"
    assert page.image.tobytes() == image.tobytes()
    assert page.y_dpi == rows


def test_a_page_that_is_lost_beside_a_received_fax_is_not_left_out(tmp_path: Path, refusal: Refusal) -> None:
    with pikepdf.open(io.BytesIO(fax_pdf(tmp_path, fax_page()))) as document:
        letter(2).add_to(document)
        whole = saved(document, compress_streams=False)
    at = whole.rfind(b"/Type /Page >>")
    assert "damaged" in refusal(whole[:at] + b"/Type /Page \0>" + whole[at + 14 :]).public


_INVERSE = Array([Name.Indexed, Name.DeviceGray, 1, String(b"\xff\0")])


def spoil_rotation(document: pikepdf.Pdf) -> None:
    document.pages[0].obj["/Rotate"] = 180


def spoil_contents(document: pikepdf.Pdf) -> None:
    content = document.pages[0].Contents.read_bytes()
    document.pages[0].Contents = Stream(document, content + b"\n0 g 100 100 200 200 re f")


def spoil_place(document: pikepdf.Pdf) -> None:
    document.pages[0].Contents = Stream(document, b"q 300 0 0 400 100 100 cm /Im0 Do Q")


def spoil_annotation(document: pikepdf.Pdf) -> None:
    document.pages[0].obj["/Annots"] = Array([])


def spoil_crop(document: pikepdf.Pdf) -> None:
    document.pages[0].obj["/CropBox"] = Array([0, 400, 610, 792])


def spoil_second_page(document: pikepdf.Pdf) -> None:
    letter(2).add_to(document)


def spoil_size(document: pikepdf.Pdf) -> None:
    document.pages[0].obj["/MediaBox"] = Array([0, 0, 305, 396])
    document.pages[0].Contents = Stream(document, b"q 305 0 0 396 0 0 cm /Im0 Do Q")


def spoil_picture(document: pikepdf.Pdf) -> None:
    stream = document.pages[0].Resources.XObject.Im0
    stream.write(b"\xff" * 40, filter=Name.JBIG2Decode)


def spoil_objects(document: pikepdf.Pdf) -> None:
    document.pages[0].Resources.XObject = pikepdf.Object.parse(b"<< /Im0 12 >>")


def spoil_colours(document: pikepdf.Pdf) -> None:
    document.pages[0].Resources.XObject.Im0.ColorSpace = _INVERSE


def spoil_mask(document: pikepdf.Pdf) -> None:
    mask = Stream(document, b"\0", Type=Name.XObject, Subtype=Name.Image, Width=1, Height=1, BitsPerComponent=8)
    mask.ColorSpace = Name.DeviceGray
    document.pages[0].Resources.XObject.Im0.SMask = document.make_indirect(mask)


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_objects, spoil_rotation, spoil_contents, spoil_place, spoil_annotation, spoil_crop, spoil_second_page, spoil_size,
        spoil_picture, spoil_colours, spoil_mask,
    ],
)  # fmt: skip
def test_anything_more_than_fax_pages_is_drawn_as_a_viewer_draws_it(
    tmp_path: Path, spoil: Callable[[pikepdf.Pdf], None]
) -> None:
    with pikepdf.open(io.BytesIO(fax_pdf(tmp_path, fax_page()))) as document:
        spoil(document)
        document.save(tmp_path / "spoilt.pdf")
    assert pdf.fax_pages(tmp_path / "spoilt.pdf") == []


@pytest.mark.parametrize(("palette", "coding"), [(b"\0\xff", None), (b"\xff\0", Array([1, 0]))])
def test_a_fax_page_of_two_colours_is_none_in_black(pages: Pages, palette: bytes, coding: Array | None) -> None:
    image = fax_page(2156)
    document = pikepdf.new()
    Sheet((610, 792)).raw(b"q 610 0 0 792 0 0 cm /I0 Do Q").add_to(document)
    picture = Stream(document, image.tobytes(), Type=Name.XObject, Subtype=Name.Image, Width=1728, Height=2156)
    picture.ColorSpace, picture.BitsPerComponent = Array([Name.Indexed, Name.DeviceGray, 1, String(palette)]), 1
    if coding is not None:
        picture.Decode = coding
    document.pages[0].obj["/Resources"]["/XObject"] = Dictionary(I0=picture)
    (page,) = pages(saved(document))
    assert ink(page) == pytest.approx(ink(Page(image, 196)), rel=0.05)


def test_what_qpdf_takes_for_locked_and_pdfium_does_not_is_no_fax_page(tmp_path: Path) -> None:
    locked = tmp_path / "locked.pdf"
    locked.write_bytes(letters(1, encryption=Encryption(owner="owner", user="user")))
    assert pdf.fax_pages(locked) == []


def test_a_photo_of_fax_width_is_no_fax_page(tmp_path: Path) -> None:
    sheet = Sheet((610, 792)).raw(b"")
    sheet.images.append(photo(1728, 2156).convert("L"))
    document = pikepdf.new()
    sheet.add_to(document)
    document.pages[0].Contents = Stream(document, b"q 610 0 0 792 0 0 cm /I0 Do Q")
    document.save(tmp_path / "photo.pdf")
    assert pdf.fax_pages(tmp_path / "photo.pdf") == []


# --- damaged content --------------------------------------------------------------------------------------------------


def compressed(stream: pikepdf.Object, change: Callable[[bytes], bytes]) -> None:
    stream.write(change(zlib.compress(stream.read_bytes())), filter=Name.FlateDecode)


@pytest.mark.parametrize("in_form", [False, True])
def test_a_page_whose_content_is_damaged_on_the_way_is_no_blank_page(
    pages: Pages, refusal: Refusal, in_form: bool
) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    page = document.pages[0]
    stream = page.Contents
    if in_form:
        form = Stream(document, stream.read_bytes(), Resources=page.obj["/Resources"], BBox=Array([0, 0, 612, 792]))
        form["/Type"], form["/Subtype"] = Name.XObject, Name.Form
        stream = document.make_indirect(form)
        page.obj["/Resources"] = Dictionary(XObject=Dictionary(Fm=stream))
        page.Contents = Stream(document, b"/Fm Do")
    (whole,) = pages(saved(document, compress_streams=False))
    assert ink(whole)
    compressed(stream, lambda data: data[:30] + b"\xff\0" * 8 + data[46:])
    assert "page 1 of x.bin is damaged" in refusal(saved(document, compress_streams=False)).public


def test_a_wrong_sum_behind_the_content_takes_nothing_away(pages: Pages) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    for end in (b"\0\0\0\0", b""):
        compressed(document.pages[0].Contents, lambda data, end=end: data[:-4] + end)
        (page,) = pages(saved(document, compress_streams=False))
        assert ink(page)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_content_that_breaks_off_is_damaged(refusal: Refusal, kept: float) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    compressed(document.pages[0].Contents, lambda data: data[: int(len(data) * kept)])
    assert "page 1 of x.bin is damaged" in refusal(saved(document, compress_streams=False)).public


def test_content_whose_program_never_said_that_it_ends_is_whole(pages: Pages) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)

    def flushed(data: bytes) -> bytes:
        packer = zlib.compressobj()
        return packer.compress(zlib.decompress(data)) + packer.flush(zlib.Z_SYNC_FLUSH)

    compressed(document.pages[0].Contents, flushed)
    (page,) = pages(saved(document, compress_streams=False))
    assert ink(page)


_LOST_WORDS = [
    (b"/FlateDecode", b"/Fl`teDecode"), (b"/FlateDecode", b"/FlateDeco\xaae"), (b"/Filter", b"/Filte~"), (b"stream\nx", b"3tream\nx"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "lost"), _LOST_WORDS)
def test_content_of_which_a_word_is_damaged_is_no_blank_page(refusal: Refusal, word: bytes, lost: bytes) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    compressed(document.pages[0].Contents, lambda data: data)
    whole = saved(document, compress_streams=False)
    assert whole.count(word) == 1
    assert "page 1 of x.bin is damaged" in refusal(whole.replace(word, lost)).public


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("place", ["letter", "mask"])
def test_letters_that_are_drawn_and_masks_over_all_are_looked_at(
    pages: Pages, refusal: Refusal, place: str, damaged: bool
) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    drawn = zlib.compress(
        b"750 0 d0 " + b"0 0 750 750 re f " * 99 if place == "letter" else b"1 g 0 0 612 792 re f " * 99
    )
    stream = Stream(document, drawn[: 20 if damaged else None], Filter=Name.FlateDecode)
    resources = document.pages[0].Resources
    if place == "letter":
        resources.Font.T = Dictionary(
            Type=Name.Font, Subtype=Name.Type3, FontBBox=Array([0, 0, 750, 750]), FontMatrix=Array([0.001, 0, 0, 0.001, 0, 0]),
            CharProcs=Dictionary(a=document.make_indirect(stream)), FirstChar=97, LastChar=97, Widths=Array([750]),
            Encoding=Dictionary(Differences=Array([97, Name.a])),
        )  # fmt: skip
    else:
        stream.Type, stream.Subtype, stream.BBox = Name.XObject, Name.Form, Array([0, 0, 612, 792])
        stream.Group = Dictionary(S=Name.Transparency, CS=Name.DeviceGray)
        resources.ExtGState = Dictionary(
            M=Dictionary(SMask=Dictionary(S=Name.Luminosity, G=document.make_indirect(stream)))
        )
    if damaged:
        assert refusal(saved(document, compress_streams=False)).public == _DAMAGED
    else:
        assert len(pages(saved(document, compress_streams=False))) == 1


def test_a_drawn_letter_that_lost_its_name_is_missed(pages: Pages, refusal: Refusal) -> None:
    def drawn(*names: str, encoding: str = "/Encoding") -> bytes:
        document = pikepdf.new()
        letter(1).raw(b"BT /T 20 Tf 72 40 Td (ab) Tj ET").add_to(document)
        letters = {"/" + name: Stream(document, b"750 0 d0 0 0 750 750 re f") for name in names}
        document.pages[0].Resources.Font.T = Dictionary(
            Type=Name.Font, Subtype=Name.Type3, FontBBox=Array([0, 0, 750, 750]), FontMatrix=Array([0.001, 0, 0, 0.001, 0, 0]),
            CharProcs=Dictionary(letters), FirstChar=97, LastChar=98, Widths=Array([750, 750]),
        )  # fmt: skip
        document.pages[0].Resources.Font.T[encoding] = Dictionary(Differences=Array([97, Name.a, Name.b]))
        return saved(document)

    for whole in (drawn("a", "b"), drawn("a", "b", "c"), drawn("a")):  # as programs write them
        assert ink(*pages(whole))
    assert refusal(drawn("a", "~")).public == _DAMAGED
    assert refusal(drawn("a", "b", encoding="/Encod~ng")).public == _DAMAGED


@pytest.mark.parametrize("end", [b"~>", b"~>\n", b"~", b""])
def test_content_in_letters_that_is_damaged_is_no_blank_page(pages: Pages, refusal: Refusal, end: bytes) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    content = document.pages[0].Contents
    written = base64.a85encode(zlib.compress(content.read_bytes()), wrapcol=72)
    for data in (written, written[:90] + b"\xa4\xb2" + written[92:]):
        content.write(data + end, filter=Array([Name.ASCII85Decode, Name.FlateDecode]))
        whole = saved(document, compress_streams=False)
        if data == written:
            assert ink(pages(whole)[0])
        else:
            assert refusal(whole).public == _DAMAGED


def lzw(data: bytes) -> bytes:
    """As TIFF has it, too: one row of bytes."""
    out = io.BytesIO()
    Image.frombytes("L", (len(data), 1), data).save(out, "TIFF", compression="tiff_lzw")
    with Image.open(out) as made:
        at, size = made.tag_v2[273][0], made.tag_v2[279][0]  # type: ignore[attr-defined]  # a TIFF has tags
    return out.getvalue()[at : at + size]


def runs(data: bytes) -> bytes:
    return b"".join(bytes([len(data[n : n + 99]) - 1]) + data[n : n + 99] for n in range(0, len(data), 99)) + b"\x80"


_CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "LZWDecode": lzw,
    "RunLengthDecode": runs,
    "ASCIIHexDecode": lambda data: data.hex().encode() + b">",
    "ASCII85Decode": lambda data: base64.a85encode(data, wrapcol=72) + b"~>",
}


@pytest.mark.parametrize("coding", _CODINGS)
def test_content_in_another_coding_that_breaks_off_is_damaged(pages: Pages, refusal: Refusal, coding: str) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    content = document.pages[0].Contents
    (wanted,) = pages(saved(document))
    written = _CODINGS[coding](content.read_bytes() + b"\n" * 40)
    for kept in (len(written), len(written) - 2):  # of some that mark no end all is there
        content.write(written[:kept], filter=Name("/" + coding))
        (page,) = pages(saved(document, compress_streams=False))
        assert page.image.tobytes() == wanted.image.tobytes()
    for share in (0.3, 0.7, 0.95):
        content.write(written[: int(len(written) * share)], filter=Name("/" + coding))
        assert refusal(saved(document, compress_streams=False)).public == _DAMAGED


@pytest.mark.parametrize("coding", _CODINGS)
def test_a_picture_in_another_coding_with_rows_missing_is_damaged(pages: Pages, refusal: Refusal, coding: str) -> None:
    data = _CODINGS[coding](photo(600, 400).convert("L").tobytes())
    assert ink(*pages(with_picture(data, Name("/" + coding))))
    assert refusal(with_picture(data[: len(data) // 2], Name("/" + coding))).public == _DAMAGED


def test_content_that_ends_early_and_has_a_wrong_sum_is_damaged(refusal: Refusal) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    compressed(document.pages[0].Contents, lambda data: zlib.compress(b"BT ET\n")[:-4] + data)
    assert "page 1 of x.bin is damaged" in refusal(saved(document, compress_streams=False)).public


def moved(whole: bytes) -> bytes:
    """As where bytes were lost: the places of all objects are wrong."""
    return whole.replace(b"/Type /Catalog", b"/Type  /Catalog").replace(b"startxref\n", b"startxref\n9")


def test_for_pages_without_content_a_pdf_is_looked_through_once(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    referred = losses._referred
    monkeypatch.setattr(losses, "_referred", lambda objects: looks.append(objects) or referred(objects))
    document = pikepdf.open(io.BytesIO(letters(4)))
    for page in list(document.pages)[1:]:
        del page.obj["/Contents"]
    assert len(pages(saved(document))) == 4
    assert len(looks) == 1


def test_a_page_is_blank_in_a_damaged_pdf_where_nothing_is_lost(pages: Pages) -> None:
    document = pikepdf.new()
    for number in (1, 2):
        letter(number).add_to(document)
    del document.pages[1].obj["/Contents"]
    for whole in (saved(document), moved(saved(document, compress_streams=False))):
        first, second = pages(whole)
        assert ink(first)
        assert not ink(second)


def test_a_piece_of_content_that_never_was_is_not_missed(pages: Pages, refusal: Refusal) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    document.pages[0].Contents = Array([document.pages[0].obj["/Contents"]] * 2)
    whole = re.sub(rb"(/Contents \[ \d+ 0 R) \d", rb"\1 9", saved(document, compress_streams=False))
    assert ink(pages(whole)[0])
    (piece,) = re.findall(rb"/Contents \[ (\d+) 0 R 9", whole)
    lost = moved(whole).replace(b"\n%b 0 obj" % piece, b"\nX 0 obj")
    assert "damaged" in refusal(lost).public


@pytest.mark.parametrize("number", [1, 2])
def test_a_page_whose_content_is_not_found_again_is_damaged(refusal: Refusal, number: int) -> None:
    document = pikepdf.new()
    for each in (1, 2):
        letter(each).add_to(document)
    whole = saved(document, compress_streams=False)
    content = re.findall(rb"/Contents (\d+) 0 R", whole)[number - 1]
    lost = whole.replace(b"\n%b 0 obj" % content, b"\nX 0 obj")
    assert lost != whole
    assert f"page {number} of x.bin is damaged" in refusal(moved(lost)).public


_OF_A_PAGE = [
    (b"/Contents", b"/Cont~nts"),  # its content is that of nothing
    (b"/Contents", b"%Contents"),
    (b"/Contents ", b"/Contents 9"),  # it is nowhere
    (b"/Resources", b"/Res\xa4urces"),
    (b"/Resources", b"KResources"),
    (b"/MediaBox [ 0 0 612", b"/MediaBox [ 0 0 \xff12"),
    (b"/CropBox [ 0 0 612", b"/CropBox [ 0 0 6 2"),
    (b"/XObject", b"/XObje~t"),
    (b"/Font", b"/F`nt"),
    (b"/Subtype /Image", b"/Subtyp~ /Image"),
    (b"/Subtype /Type1", b"/Subtype /T~pe1"),
    (b"/Subtype /Type1", b"/Subtype /Type0"),
    (b"/ColorSpace", b"/Color~pace"),
    (b"/Height", b"/He~ght"),
    (b" cm /I0 Do", b" cm /IO Do"),
    (b"q 200 0", b"q 2\xc60 0"),
    (b"<< /Length", b"<x< /Length"),
    (b" cm /I0 Do Q", bytes(12)),
]


@pytest.mark.parametrize(("word", "lost"), _OF_A_PAGE)
def test_what_a_page_lacks_by_a_damaged_word_is_not_left_out(
    pages: Pages, refusal: Refusal, word: bytes, lost: bytes
) -> None:
    sheet = Sheet(CropBox=Array([0, 0, 612, 792])).text(72, 72, "The quick brown fox", 20)
    whole = pdf_of([sheet.picture(72, 100, 200, 200, photo(200, 200))], compress_streams=False)
    assert ink(pages(whole)[0])
    assert word in whole
    assert "damaged" in refusal(whole.replace(word, lost, 1)).public


def test_what_looks_like_a_lost_picture_or_font_and_is_none(pages: Pages) -> None:
    document = pikepdf.new()
    letter(1).text(72, 600, "/Lost Do, /Lost 12 Tf").raw(b"BT /None 12 Tf ET q BT /None 12 Tf ET Q /F#42 12 Tf").add_to(
        document
    )
    inner = Stream(document, b"BT /F 12 Tf (letters) Tj ET", BBox=Array([0, 0, 612, 792]))  # of the page's font
    inner["/Type"], inner["/Subtype"] = Name.XObject, Name.Form
    document.pages[0].Resources.XObject["/Fm"] = document.make_indirect(inner)
    outer = Stream(document, b"/In Do /G 12 Tf (letters) Tj", BBox=Array([0, 0, 612, 792]))  # of what it is in
    outer["/Type"], outer["/Subtype"] = Name.XObject, Name.Form
    innermost = Stream(document, b"BT /G 12 Tf (letters) Tj ET", BBox=Array([0, 0, 612, 792]))
    innermost["/Type"], innermost["/Subtype"] = Name.XObject, Name.Form
    outer["/Resources"] = Dictionary(
        Font=Dictionary(G=document.pages[0].Resources.Font.F), XObject=Dictionary(In=document.make_indirect(innermost))
    )
    document.pages[0].Resources.XObject["/Out"] = document.make_indirect(outer)
    document.pages[0].Contents = [document.pages[0].Contents, Stream(document, b"/Fm Do /Out Do")]
    document.Root.Pages["/Resources"] = document.pages[0].obj["/Resources"]
    del document.pages[0].obj["/Resources"]
    assert len(pages(saved(document))) == 1


def test_a_font_with_a_wrong_sum_among_right_ones_is_damaged(pages: Pages, refusal: Refusal) -> None:
    document = pikepdf.new()
    letter(1).add_to(document)
    program = Stream(
        document, zlib.compress(bytes(range(256)) * 9)[:-4] + b"\1\2\3\4", Filter=Name.FlateDecode, Length1=2304
    )
    font = document.pages[0].Resources.Font.FB
    font["/FontDescriptor"] = Dictionary(Type=Name.FontDescriptor, FontFile2=document.make_indirect(program))
    content = document.pages[0].Contents
    for end, is_damaged in ((b"\1\2\3\4", False), (None, True)):
        packed = zlib.compress(content.read_bytes())
        content.write(packed[:-4] + (end or packed[-4:]), filter=Name.FlateDecode)
        data = saved(document, compress_streams=False)
        assert _DAMAGED in refusal(data).public if is_damaged else pages(data)


def test_a_blank_page_of_what_only_one_reader_opens_is_damaged(
    refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise pikepdf.PdfError

    whole = pdf_of([letter(1), Sheet()])
    monkeypatch.setattr(pikepdf, "open", broken)
    assert "page 2 of x.bin is damaged" in refusal(whole).public


def test_digits_behind_the_end_are_looked_through_in_no_time(pages: Pages) -> None:
    start = time.process_time()
    assert len(pages(letters(1) + b"0" * 400_000)) == 1
    assert time.process_time() - start < 5
