"""Pictures in office documents: shown, or the document is refused by their names; none is left blank without a word."""

from __future__ import annotations

import base64
import gzip
import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.document import officepictures, package, sniff
from gateway.document.refusal import Unfaxable

from . import made_compound, made_office
from .made import photo

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><circle cx="4" cy="4" r="4"/></svg>'
EMF = struct.pack("<II32x4s44x", 1, 88, b" EMF") + struct.pack("<II8x", 14, 16) * 2
WMF = b"\1\0\x09\0\0\3" + bytes(12) + struct.pack("<IH4x", 5, 0x201) + struct.pack("<IH", 3, 0)
PLACEABLE = b"\xd7\xcd\xc6\x9a" + bytes(18) + WMF


def encoded(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    photo(200, 150).save(out, kind, **options)
    return out.getvalue()


PICTURES = {
    "a.png": encoded("PNG"), "a.jpg": encoded("JPEG"), "a.gif": encoded("GIF"), "a.bmp": encoded("BMP"), "a.svg": SVG,
    "a.tif": encoded("TIFF", compression="tiff_lzw"), "a.webp": encoded("WEBP"), "a.avif": encoded("AVIF"),
    "a.emf": EMF, "a.wmf": WMF, "b.wmf": PLACEABLE, "a.emz": gzip.compress(EMF), "a.tmp": encoded("PNG"), "b.png": encoded("PNG")[:-12],
}  # fmt: skip


def settled(tmp_path: Path, data: bytes) -> list[str]:
    document = tmp_path / "document.docx"
    document.write_bytes(data)
    return list(officepictures.settle(document, "x.docx"))


@pytest.mark.parametrize("called", PICTURES)
def test_a_picture_is_handed_on_as_it_is_or_as_png(tmp_path: Path, called: str) -> None:
    assert not settled(tmp_path, made_office.with_picture(PICTURES[called], called))
    with zipfile.ZipFile(tmp_path / "document.docx") as made:
        assert made.testzip() is None
        data = made.read(f"word/media/{called}")
    if called in ("a.tif", "a.webp", "a.avif"):
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            assert image.size == (200, 150)
    else:
        assert data == PICTURES[called]


@pytest.mark.parametrize("called", PICTURES)
def test_a_picture_that_breaks_off_is_refused_by_name(tmp_path: Path, called: str) -> None:
    data = PICTURES[called]
    with pytest.raises(Unfaxable, match=rf"x\.docx holds a picture \({called}\) that is damaged"):
        settled(tmp_path, made_office.with_picture(data[: len(data) * 6 // 10], called))


@pytest.mark.parametrize(
    ("called", "data"), [("a.png", b""), ("a.JPEG", b"no picture"), ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0")]
)
def test_what_cannot_be_shown_is_refused_by_name(tmp_path: Path, called: str, data: bytes) -> None:
    with pytest.raises(Unfaxable, match="of a kind that cannot be shown here"):
        settled(tmp_path, made_office.with_picture(data, called))


@pytest.mark.parametrize("called", ["a.wdp", "a.svm"])
def test_what_is_not_known_here_is_left_to_libreoffice(tmp_path: Path, called: str) -> None:
    assert not settled(tmp_path, made_office.with_picture(b"\1\2\3", called))


def test_the_name_of_a_picture_is_told_short_and_on_one_line(tmp_path: Path) -> None:
    with pytest.raises(Unfaxable, match="of a kind that cannot be shown here") as refused:
        settled(tmp_path, made_office.with_picture(b"", "a\r\n\x1b" + "b" * 3000 + ".png"))
    assert refused.value.public.isprintable() and len(refused.value.public) < 400


def test_a_picture_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert settled(tmp_path, made_office.with_picture(None, "NULL")) == ["without a picture that is missing from it"]


def test_a_chart_that_is_not_there_is_told(tmp_path: Path) -> None:
    lost, name = b"/relationships/chart", "word/_rels/document.xml.rels"
    text = made_office.changed(made_office.with_picture(None, "chart1.xml"), name, b"/relationships/image", lost)
    assert settled(tmp_path, text) == ["without a chart that is missing from it"]


def test_a_picture_of_several_pages_is_told(tmp_path: Path) -> None:
    """Word and LibreOffice show its first."""
    pages = encoded("TIFF", save_all=True, append_images=[photo(200, 150)])
    assert settled(tmp_path, made_office.with_picture(pages, "a.tif")) == [
        "only the first page of a picture of several pages in it"
    ]


def test_pictures_of_an_opendocument_are_looked_at(tmp_path: Path) -> None:
    shown = b'<draw:frame svg:width="2cm" svg:height="2cm"><draw:image xlink:href="Pictures/1.png"/></draw:frame>'
    text = made_office.changed(made_office.opendocument("text"), "content.xml", b"Word", shown)
    assert settled(tmp_path, text) == ["without a picture that is missing from it"]
    with zipfile.ZipFile(tmp_path / "document.docx", "a") as written:
        written.writestr("Pictures/1.png", PICTURES["a.png"][:-30])
    with pytest.raises(Unfaxable, match="damaged"):
        list(officepictures.settle(tmp_path / "document.docx", "x.odt"))
    locked = b"<m:encryption-data/></m:"  # its pictures cannot be read either
    (tmp_path / "document.docx").write_bytes(
        made_office.changed((tmp_path / "document.docx").read_bytes(), "META-INF/manifest.xml", b"</m:", locked)
    )
    assert not list(officepictures.settle(tmp_path / "document.docx", "x.odt"))


# --- documents that are no packages -----------------------------------------------------------------------------------


def blip(called: str, data: bytes, *, sums: int = 1) -> bytes:
    """A picture as a record of the old kinds (MS-ODRAW)."""
    instance, kind = {"png": (0x6E0, 0xF01E), "jpg": (0x46A, 0xF01D), "emf": (0x3D4, 0xF01A), "wmf": (0x216, 0xF01B)}[
        called
    ]
    if called in ("emf", "wmf"):
        packed = zlib.compress(data)
        said = struct.pack("<I24xIBB", len(data), len(packed), 0, 0xFE) + packed
    else:
        said = b"\xff" + data
    said = bytes(16 * sums) + said
    return struct.pack("<HHI", (instance + sums - 1) << 4, kind, len(said)) + said


def show(called: str, data: bytes) -> bytes:
    return made_compound.compound({"Pictures": blip("jpg", PICTURES["a.jpg"]) + blip(called, data, sums=2)})


def old_text(called: str, data: bytes) -> bytes:
    return made_compound.compound({"WordDocument": bytes(600), "Data": bytes(99) + blip(called, data)})


def book(called: str, data: bytes) -> bytes:
    """The record of a picture goes on in another."""
    drawing = blip(called, data)
    records = ((0x809, bytes(16)), (0xEB, drawing[:99]), (0x3C, drawing[99:]), (0x85, b""), (0x3C, b"x"), (0x0A, b""))
    return made_compound.compound({"Workbook": b"".join(struct.pack("<HH", k, len(d)) + d for k, d in records)})


def rich(called: str, data: bytes) -> bytes:
    """One in hexadecimal digits, one in bytes; the other form of one, for old programs, is not looked at."""
    word = {"png": b"\\pngblip", "jpg": b"\\jpegblip", "emf": b"\\emfblip", "wmf": b"\\wmetafile8"}[called]
    digits = data.hex("\n", 64).encode()
    return (
        rb"{\rtf1 {\nonshppict{\pict\pngblip 00}}{\*\shppict{\pict{\*\picprop{\sp{\sn x}}}\picwgoal300%s %s}}" % (word, digits)
        + rb"{\pict%s{\*\blipuid 0011}\bin%d " % (word, len(data)) + data + b"} Word}"
    )  # fmt: skip


def in_one_xml(_: str, data: bytes) -> bytes:
    shown = b"<draw:frame><draw:image><office:binary-data>%s</office:binary-data></draw:image></draw:frame>"
    return made_office.flat("text").replace(b"Word", b"Word" + shown % base64.encodebytes(data))


def of_word_2003(called: str, data: bytes) -> bytes:
    space = b'<?xml version="1.0"?><w:wordDocument xmlns:w="http://schemas.microsoft.com/office/word/2003/wordml">'
    shown = b'<w:pict><w:binData w:name="wordml://1.%s">%s</w:binData></w:pict></w:wordDocument>'
    return space + shown % (called.encode(), base64.encodebytes(data))


@pytest.mark.parametrize("made", [show, old_text, book, rich, in_one_xml, of_word_2003])
@pytest.mark.parametrize("called", ["png", "jpg", "emf", "wmf"])
def test_pictures_of_other_documents_are_looked_at(tmp_path: Path, made: Any, called: str) -> None:
    def check(data: bytes) -> None:
        document = tmp_path / "document"
        document.write_bytes(made(called, data))
        officepictures.check(document, sniff.sniff(document), "x.doc")

    whole = PICTURES[f"a.{called}"]
    check(whole)
    with pytest.raises(Unfaxable, match=r"x\.doc holds a picture \(picture \d.*\) that is damaged"):
        check(whole[: len(whole) * 6 // 10])


def test_a_bitmap_of_a_rich_text_is_looked_at(tmp_path: Path) -> None:
    document = tmp_path / "document"
    for data, damaged in ((PICTURES["a.bmp"][14:], False), (PICTURES["a.bmp"][14:-999], True)):
        document.write_bytes(rb"{\rtf1 {\pict{\*\blipuid\bin2 }}}\dibitmap0 " + data.hex().encode() + b"}}")
        if damaged:
            with pytest.raises(Unfaxable, match=r"picture 1\.dib"):
                officepictures.check(document, sniff.RTF, "x.rtf")
        else:
            officepictures.check(document, sniff.RTF, "x.rtf")


def test_a_document_that_is_damaged_itself_is_left_to_libreoffice(tmp_path: Path) -> None:
    document = tmp_path / "document"
    for data, kind in ((made_compound.doc(0)[:700], sniff.OLE), (rb"{\rtf1 {\pict\pngblip", sniff.RTF)):
        document.write_bytes(data)
        officepictures.check(document, kind, "x.doc")


def test_a_package_as_one_xml_is_one(tmp_path: Path) -> None:
    document = tmp_path / "document.xml"
    document.write_bytes(made_office.flat("text"))
    assert package.of_one_xml(document, "x.xml") is None
    whole = made_office.one_xml(made_office.with_picture(PICTURES["a.png"], "a.png"))
    for data in (whole, whole.replace(b"iVBOR", b"AiVBOR")):
        document.write_bytes(data)
        assert sniff.sniff(document) == sniff.OFFICE_XML
        made = package.of_one_xml(document, "x.xml")
        assert made
        if data is whole:
            assert not list(officepictures.settle(made, "x.xml"))
        else:
            with pytest.raises(Unfaxable, match=r"x\.xml holds a picture \(a\.png\) that is damaged"):
                list(officepictures.settle(made, "x.xml"))


def test_what_a_file_refers_to_is_read_however_it_is_written(tmp_path: Path) -> None:
    name = "word/_rels/document.xml.rels"
    with zipfile.ZipFile(tmp_path / "document", "w") as made:
        made.writestr(
            name,
            '<Relationship Id="a" Type="x/image" Target="media/a&amp;b%20c.png"/>'
            "<r:Relationship Target='/word/it\"s.png' Type='x/image' Id='b'/>"
            '<Relationship Id="c" Target="file:///c" TargetMode="External"/><Relationship Id="d"/>',
        )
    with zipfile.ZipFile(tmp_path / "document") as source:
        assert list(package.relations(source, name)) == [
            ("a", "x/image", "word/media/a&b c.png"), ("b", "x/image", 'word/it"s.png'), ("c", "", ""), ("d", "", ""),
        ]  # fmt: skip
