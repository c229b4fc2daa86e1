"""Pictures in office documents: shown, or the document is refused by their names; none is left blank without a word."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gateway.document import officepictures
from gateway.document.refusal import Unfaxable

from . import made_office
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
    "a.emf": EMF, "a.wmf": WMF, "b.wmf": PLACEABLE, "a.emz": gzip.compress(EMF), "a.tmp": encoded("PNG"),
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


def test_a_picture_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert settled(tmp_path, made_office.with_picture(None, "NULL")) == ["without the missing picture"]


def test_pictures_of_an_opendocument_are_looked_at(tmp_path: Path) -> None:
    shown = b'<draw:frame svg:width="2cm" svg:height="2cm"><draw:image xlink:href="Pictures/1.png"/></draw:frame>'
    text = made_office.changed(made_office.opendocument("text"), "content.xml", b"Word", shown)
    assert settled(tmp_path, text) == ["without the missing picture"]
    with zipfile.ZipFile(tmp_path / "document.docx", "a") as package:
        package.writestr("Pictures/1.png", PICTURES["a.png"][:-30])
    with pytest.raises(Unfaxable, match="damaged"):
        list(officepictures.settle(tmp_path / "document.docx", "x.odt"))
    locked = b"<m:encryption-data/></m:"  # its pictures cannot be read either
    (tmp_path / "document.docx").write_bytes(
        made_office.changed((tmp_path / "document.docx").read_bytes(), "META-INF/manifest.xml", b"</m:", locked)
    )
    assert not list(officepictures.settle(tmp_path / "document.docx", "x.odt"))
