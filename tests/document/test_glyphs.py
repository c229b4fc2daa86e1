"""PDFs written in fonts that are not in them: each letter is drawn, or the page is refused."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image

from gateway.document import glyphs, progress

from .conftest import Pages
from .made import LETTER, Sheet, saved
from .test_pdf import Refusal, ink

_POLISH = ("lslash", "zacute", "aogonek", "ccaron")
_RUSSIAN = ("afii10017", "afii10018", "afii10019", "afii10020")


def simple(*letters: str, name: str = "Arial", mode: int = 0, in_form: bool = False, **fields: Any) -> bytes:
    """A page of these letters, by their names, in a font that is not in it."""
    document = pikepdf.new()
    Sheet().add_to(document)
    encoding = Dictionary(Type=Name.Encoding, Differences=Array([65, *(Name("/" + each) for each in letters)]))
    font = Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name("/" + name), Encoding=encoding, **fields)
    codes = bytes(range(65, 65 + len(letters)))
    show(
        document,
        document.make_indirect(font),
        b"BT %d Tr /A 40 Tf 72 648 Td (%s) Tj ET" % (mode, codes),
        in_form=in_form,
    )
    return saved(document)


def numbered(text: str, name: str = "ArialMT") -> bytes:
    """A page of letters by their numbers in a font that is not in it."""
    document = pikepdf.new()
    Sheet().add_to(document)
    readable = b"begincmap 1 begincodespacerange <0000> <FFFF> endcodespacerange 1 beginbfrange <0000> <FFFF> <0000> endbfrange endcmap"
    inner = Dictionary(
        Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=Name("/" + name), DW=1000,
        CIDSystemInfo=Dictionary(Registry=pikepdf.String("Adobe"), Ordering=pikepdf.String("Identity"), Supplement=0),
    )  # fmt: skip
    font = Dictionary(
        Type=Name.Font, Subtype=Name.Type0, BaseFont=Name("/" + name), Encoding=Name("/Identity-H"),
        DescendantFonts=Array([inner]), ToUnicode=Stream(document, readable),
    )  # fmt: skip
    show(document, font, b"BT /A 40 Tf 72 648 Td <%s> Tj ET" % text.encode("utf-16-be").hex().encode())
    return saved(document)


def show(document: pikepdf.Pdf, font: pikepdf.Object, content: bytes, *, in_form: bool = False) -> None:
    page = document.pages[0]
    resources = Dictionary(Font=Dictionary(A=font))
    if in_form:
        form = Stream(
            document, content, Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, *LETTER]), Resources=resources
        )
        resources, content = Dictionary(XObject=Dictionary(F=document.make_indirect(form))), b"/F Do"
    page.obj["/Resources"], page.Contents = resources, Stream(document, content)


@pytest.mark.parametrize("letters", [(), _POLISH])
def test_names_in_other_codings_than_utf_8_are_names(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, letters: tuple[str, ...]
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)
    with pikepdf.open(
        io.BytesIO(simple("A", *letters, FirstChar=65, LastChar=69, Widths=Array([700] * 5)))
    ) as document:
        font = document.pages[0].Resources.Font.A
        font.BaseFont = pikepdf.Object.parse(b"/#cb#ce#cc#e5")  # a Chinese one
        font.Encoding.Differences.append(pikepdf.Object.parse(b"/#e4"))
        (page,) = pages(saved(document))
    assert not notes
    for n in range(1 + len(letters)):
        assert ink(page, (72 + 28 * n) / 612, 0.12, (92 + 28 * n) / 612, 0.19) > 0.03


@pytest.mark.parametrize("in_form", [False, True])
@pytest.mark.parametrize("name", ["Arial", "Times-Bold", "CourierNew"])
@pytest.mark.parametrize("letters", [_POLISH, _RUSSIAN])
def test_letters_that_the_programs_own_fonts_lack_are_drawn(
    pages: Pages, letters: tuple[str, ...], name: str, *, in_form: bool
) -> None:
    (page,) = pages(simple(*letters, name=name, in_form=in_form, FirstChar=65, LastChar=68, Widths=Array([700] * 4)))
    for n in range(4):
        assert ink(page, (72 + 28 * n) / 612, 0.12, (92 + 28 * n) / 612, 0.19) > 0.03


def test_letters_of_the_west_are_drawn_as_ever(pages: Pages) -> None:
    progress.begin("x.bin")
    (page,) = pages(simple("A", "adieresis", "Euro", "quotesingle"))
    assert ink(page) > 0.001
    assert progress.notes() == []


def test_letters_that_only_their_own_font_names_are_no_boxes(refusal: Refusal) -> None:
    assert "letters of a font (NoSuchFont)" in refusal(simple("g1", "g23", name="NoSuchFont")).public


@pytest.mark.parametrize(
    ("name", "code", "least"),
    [
        ("Wingdings", b"n", 0.7), ("Wingdings-Regular", b"n", 0.7), ("ABCDEF+Wingdings", b"n", 0.7),  # a black square
        ("Wingdings2", b"\\230", 0.6), ("ABCDEF+Wingdings-2", b"\\230", 0.6),  # a disc
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", [{}, {"Encoding": Name.WinAnsiEncoding}])
def test_the_signs_of_wingdings_are_no_letters(
    pages: Pages, name: str, code: bytes, least: float, encoding: dict[str, Any]
) -> None:
    document = pikepdf.new()
    Sheet().add_to(document)
    font = Dictionary(Type=Name.Font, Subtype=Name.TrueType, BaseFont=Name("/" + name), **encoding)
    show(document, font, b"BT /A 100 Tf 72 648 Td (%s) Tj ET" % code)
    (page,) = pages(saved(document))
    assert ink(page, 80 / 612, 60 / 792, 150 / 612, 140 / 792) > least


@pytest.mark.parametrize(
    ("kind", "name", "fields"),
    [
        ("TrueType", "Symbol", {}),
        ("TrueType", "SymbolMT", {"Encoding": Name.WinAnsiEncoding}),
        (
            "TrueType",
            "SymbolMT",
            {"FontDescriptor": Dictionary(Type=Name.FontDescriptor, FontName=Name.SymbolMT, Flags=4)},
        ),
        ("Type1", "Symbol,Bold", {}),
        ("TrueType", "ABCDEF+ZapfDingbats", {}),
    ],
)
def test_the_signs_of_the_fonts_that_every_reader_has_are_no_letters(
    pages: Pages, kind: str, name: str, fields: dict[str, Any]
) -> None:
    """A my in front of a gram is no m."""

    def page(kind: str, name: str, **fields: Any) -> Image.Image:
        document = pikepdf.new()
        Sheet().add_to(document)
        font = Dictionary(Type=Name.Font, Subtype=Name("/" + kind), BaseFont=Name("/" + name), **fields)
        show(document, font, b"BT /A 40 Tf 72 648 Td (\\267 m) Tj ET")
        return pages(saved(document))[0].image

    signs = page("Type1", "ZapfDingbats" if "Zapf" in name else "Symbol")
    assert page(kind, name, **fields) == signs


@pytest.mark.parametrize("text", ["Привет", "Łódź"])
def test_letters_that_are_nowhere_are_refused(refusal: Refusal, text: str) -> None:
    assert refusal(numbered(text)).public == (
        "page 1 of x.bin has letters of a font (ArialMT) that is neither in the PDF nor on this gateway; save the PDF with its fonts"
        " embedded, or print it to a new one"
    )


def japanese(encoding: str) -> bytes:
    """A page of two kanji, beside a black box."""
    document = pikepdf.new()
    Sheet().add_to(document)
    inner = Dictionary(
        Type=Name.Font, Subtype=Name.CIDFontType0, BaseFont=Name.NoSuchFont,
        CIDSystemInfo=Dictionary(Registry=pikepdf.String("Adobe"), Ordering=pikepdf.String("Japan1"), Supplement=2),
    )  # fmt: skip
    font = Dictionary(
        Type=Name.Font, Subtype=Name.Type0, BaseFont=Name.NoSuchFont, Encoding=Name("/" + encoding),
        DescendantFonts=Array([inner]),
    )  # fmt: skip
    show(document, font, b"0 0 72 72 re f BT /A 40 Tf 72 648 Td <34413b7a> Tj ET")
    return saved(document)


def test_letters_from_top_to_bottom_that_are_nowhere_are_missed(refusal: Refusal) -> None:
    with pypdfium2.PdfDocument(japanese("H")) as document:
        if not glyphs.lacking(document, [0], glyphs.Borrowed()):
            pytest.skip("a font with kanji is installed here")
    for encoding in ("H", "V"):
        assert (
            "letters of a font (NoSuchFont) that is neither in the PDF nor on this gateway"
            in refusal(japanese(encoding)).public
        )


def test_signs_that_are_nowhere_are_told(pages: Pages) -> None:
    progress.begin("x.bin")
    assert len(pages(numbered("➔➔✓"))) == 1
    assert progress.notes() == [
        "symbols of a font that is neither in it nor on this gateway are not shown: U+2794 U+2713"
    ]


def test_letters_that_nobody_is_to_see_are_not_missed(pages: Pages) -> None:
    (page,) = pages(simple(*_RUSSIAN, mode=3))  # what a program has read on a scan
    assert ink(page) == 0


def test_a_page_that_cannot_be_read_is_for_the_one_who_draws_it() -> None:
    with pypdfium2.PdfDocument(simple("A")) as document:
        assert glyphs.lacking(document, [0, 7], glyphs.Borrowed()) == []


def test_a_look_at_an_enormous_page_costs_no_more_than_another(refusal: Refusal) -> None:
    with pikepdf.open(io.BytesIO(numbered("Привет"))) as document:
        document.pages[0].MediaBox = Array([0, 0, 200_000, 200_000])
        assert "has letters of a font" in refusal(saved(document)).public


def embedded(program: bytes, text: str = "Total 123.45", *, readable: bool = False, mode: int = 0) -> bytes:
    """A page of letters by their numbers in a font whose program is this."""
    with pikepdf.open(io.BytesIO(numbered(text))) as document:
        font = document.pages[0].Resources.Font.A
        font.Encoding = Name("/Identity-H")
        if not readable:
            del font["/ToUnicode"]
        font.DescendantFonts[0].FontDescriptor = Dictionary(
            Type=Name.FontDescriptor, FontName=Name.ArialMT, Flags=4, FontBBox=Array([0, -200, 1000, 900]), ItalicAngle=0,
            Ascent=900, Descent=-200, CapHeight=700, StemV=80, FontFile2=Stream(document, program),
        )  # fmt: skip
        content = document.pages[0].Contents.read_bytes()
        document.pages[0].Contents = Stream(document, b"%d Tr " % mode + content)
        return saved(document)


@pytest.mark.parametrize("program", [b"", b"no font", bytes(20_000)])
def test_a_font_that_cannot_be_read_is_not_taken_for_another(pages: Pages, refusal: Refusal, program: bytes) -> None:
    assert "has letters of a font (ArialMT)" in refusal(embedded(program)).public
    (page,) = pages(embedded(program, readable=True))  # the PDF says what its letters are
    assert ink(page) > 0.002
    (page,) = pages(embedded(program, mode=3))
    assert ink(page) == 0


@pytest.mark.parametrize("readable", [False, True])
def test_a_font_that_breaks_off_is_damaged(refusal: Refusal, *, readable: bool) -> None:
    with pikepdf.open(io.BytesIO(embedded(b"a font", readable=readable))) as document:
        about = document.pages[0].Resources.Font.A.DescendantFonts[0].FontDescriptor
        packed = zlib.compress((Path(glyphs.__file__).parent / "fonts" / "DejaVuSans.ttf").read_bytes())
        about.FontFile2.write(packed[: len(packed) * 9 // 10], filter=Name.FlateDecode)
        data = saved(document, compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.none)
    assert refusal(data).public == "page 1 of x.bin is damaged; make the PDF again and send that"


def test_of_a_font_that_is_whole_no_letters_need_be_known(pages: Pages) -> None:
    whole = (Path(glyphs.__file__).parent / "fonts" / "DejaVuSans.ttf").read_bytes()
    (page,) = pages(embedded(whole))
    assert ink(page) > 0.002
