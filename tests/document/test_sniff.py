"""What a file is, told by its first bytes alone."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.document import sniff
from gateway.document.refusal import Unfaxable

from . import made_office
from .made import letters, photo


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    photo(60, 40).save(out, format=kind, **options)
    return out.getvalue()


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return out.getvalue()


def tarred(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


KNOWN: list[tuple[str, bytes]] = [
    (sniff.PDF, letters(1)),
    (sniff.PDF, b"\r\n" * 300 + b"%PDF-1.4\n"),
    (sniff.PDF, b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n%PDF-1.7"),
    (sniff.TIFF, saved("TIFF")),
    (sniff.TIFF, saved("TIFF", big_tiff=True)),
    (sniff.TIFF, b"MM\0*\0\0\0\x08"),
    (sniff.TIFF, b"II*\0" + b"%PDF-1.4 stands in a tag"),
    ("image/jpeg", saved("JPEG")),
    ("image/png", saved("PNG")),
    ("image/gif", saved("GIF")),
    ("image/bmp", saved("BMP")),
    ("image/webp", saved("WEBP")),
    (sniff.TEXT, b"BM is how this text begins"),
    (sniff.TEXT, b""),
    (sniff.TEXT, "Grüße".encode("latin-1")),
    (sniff.TEXT, "Grüße".encode("utf-16")),
    (sniff.TEXT, "Grüße".encode("utf-32")),
    (sniff.TEXT, "ファックス".encode("iso-2022-jp")),
    (sniff.TEXT, b"\xef\xbb\xbfa mark before the text"),
    (sniff.TEXT, b"%P is not enough"),
    (sniff.TEXT, b"<note>angle brackets make no HTML</note>"),
    (sniff.HTML, b"\xef\xbb\xbf  <!DOCTYPE html><title>x</title>"),
    (sniff.HTML, b"<HTML><body>x"),
    (sniff.HTML, b"<?xml version='1.0'?>\n<html xmlns='http://www.w3.org/1999/xhtml'>"),
    (sniff.HTML, b"<!-- made by a program --><html>"),
    ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    ("image/svg+xml", b"<?xml version='1.0'?><!DOCTYPE svg><svg/>"),
    ("application/zip", zipped("a.txt")),
    ("application/zip", zipped()),
    ("application/zip", zipped("a.pdf").replace(b"x", b"%PDF-1.4")),
    ("application/zip", zipped("letters/[Content_Types].xml")),
    ("application/gzip", b"Rar!\x1a\x07"),
    ("application/gzip", b"7z\xbc\xaf\x27\x1c"),
    ("application/x-office", zipped("[Content_Types].xml", "word/document.xml")),
    ("application/x-office", zipped("xl/workbook.xml")),
    ("application/x-office-xml", made_office.flat("text")),
    ("application/x-office-xml", made_office.word_2003()),
    ("application/x-office-xml", made_office.excel_2003()),
    (sniff.TEXT, b"<?xml version='1.0'?><order>of an office document</order>"),
    ("application/x-ole", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    ("application/rtf", b"{\\rtf1 x}"),
    ("application/postscript", b"%!PS-Adobe-3.0\n"),
    ("application/ms-tnef", b"\x78\x9f\x3e\x22\0\0"),
    ("image/x-portable-anymap", b"P5\n# by a scanner\n1728 2200\n255\n\x7f\xff"),
    ("image/x-portable-anymap", b"P1 8 8 0 1 0 1"),
    ("application/mac-binhex40", b"(This file must be converted with BinHex 4.0)\r\n:$f*TEQ"),
    ("application/x-executable", b"MZ\x90\0" + b"\0" * 60),
    ("application/x-executable", b"\x7fELF\x02\x01"),
    ("application/gzip", b"\x1f\x8b\x08\0"),
    ("image/heic", b"\0\0\0\x18ftypheic"),
    ("image/avif", b"\0\0\0\x18ftypavif"),
    ("image/jp2", b"\0\0\0\x0cjP  \r\n\x87\n"),
    ("video/audio", b"\0\0\0\x18ftypmp42"),
    ("video/audio", b"RIFF\0\0\0\0WAVEfmt "),
    ("video/audio", b"ID3\x03\0"),
    ("video/audio", b"\xff\xfb\x90\x64\0\x0f\xf0\0\0\x69\0\0\0\x08"),
    ("video/audio", b"0&\xb2u\x8ef\xcf\x11\xa6\xd9"),
    ("text/plain", "ясно, спасибо".encode("cp1251")),
    ("video/audio", b"FORM\0\0\0\x40AIFFCOMM\0\0"),
    ("video/audio", b"OggS\0\x02"),
    ("application/gzip", bz2.compress(b"x")),
    ("application/gzip", lzma.compress(b"x")),
    ("application/gzip", tarred("a.txt")),
    ("application/postscript", b"\xc5\xd0\xd3\xc6\x20\0\0\0"),
    ("image/jxl", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("image/wmf", b"\xd7\xcd\xc6\x9a\0\0"),
    ("image/wmf", b"\x01\0\0\0" + b"\0" * 36 + b" EMF\0\0\x01\0"),
    ("image/vnd.adobe.photoshop", b"8BPS\0\x01"),
    ("image/vnd.djvu", b"AT&TFORM\0\0\0\x10DJVU"),
    ("image/vnd.dwg", b"AC1027\0\0\0"),
    ("image/vnd.dwg", b"999\r\nmade by hand\r\n  0\r\nSECTION\r\n  2\r\nHEADER\r\n"),
    (sniff.TEXT, b"AC1027 is the order"),
    ("application/dicom", b"\0" * 128 + b"DICM\x02\0\0\0"),
    (sniff.TEXT, b"FORM 1040, U.S. Individual Income Tax Return"),
    (sniff.TEXT, "Grüße".encode("utf-16-le")),
    (sniff.HTML, "<!DOCTYPE html><p>Grüße".encode("utf-16")),
    (sniff.HTML, b'<table border="1"><thead><tr><td>A</td></tr></thead></table>'),
    (sniff.HTML, b"<TABLE>\n<TR><TD>A"),
    (sniff.HTML, b'<meta http-equiv="Content-Type" content="text/html; charset=utf-8"><p>Hello'),
    (sniff.HTML, b"<style>p { color: red }</style>\n<p>Hello</p>"),
    (sniff.HTML, b"<div class=a>Hello<div>you</div></div>"),
    (sniff.TEXT, b"<table><row>1</row></table>"),
    (sniff.TEXT, b"<p is a mark of HTML"),
    (sniff.TEXT, b"<project><title>x</title></project>"),
    (sniff.HTML, "<html><p>Grüße".encode("utf-16-be")),
    (sniff.TEXT, b"padded" + b"\0" * 90),
    (sniff.TEXT, b"old\x1a"),
    ("application/vnd.hp-pcl", b"\x1bE\x1b&l1O"),
    ("application/vnd.hp-pcl", b"\x1b%-12345X@PJL\r\n"),
    (sniff.ENCRYPTED, b"-----BEGIN PGP MESSAGE-----\n\nhQEMA"),
    (sniff.ENCRYPTED, bytes.fromhex("3080 06092a864886f70d010703 a080")),
    *(
        (sniff.TEXT, b"Please call back " + bytes([byte]) + b"tomorrow\n" + b"\x1a\r\n")
        for byte in (7, 8, 12, 15, 26, 27)
    ),
    (sniff.TEXT, b"P2 20 30 pieces of each, please"),
    (sniff.TEXT, "P4 20 30 Grüße".encode()),
    (sniff.TEXT, b"MZ 12-34 is the number of the order"),
    (sniff.TEXT, b"ID3 is the third"),
    (sniff.TEXT, b"A file of the kind %PDF-1.4 cannot be read here."),
    (sniff.PDF, b"kept by a filter: %PDF-1.4\n1 0 obj\n<<>>"),
    ("image/x-portable-anymap", b"P2 4 4 # grey\n15\n" + b"0 15\n" * 2000),
    ("image/x-portable-anymap", b"P4 20 30\n" + b"\xff" * 90),
    ("image/x-portable-anymap", b"P4\n104 100\n\xef{\x7f\xfe\xdf\xff\xf0\xdd"),
    (sniff.UNKNOWN, b"H\xd2\x0f"),
    (sniff.UNKNOWN, b"\1\2\3 of some program"),
    (sniff.UNKNOWN, b"\0" * 500),
    (sniff.UNKNOWN, b"\x01\0\x02\0" * 100),
    (sniff.UNKNOWN, bytes(range(256)) * 4),
    (sniff.UNKNOWN, b"text with a NUL\0 in it"),
]


@pytest.mark.parametrize(("kind", "data"), KNOWN)
def test_the_kind_is_told_by_the_content(kind: str, data: bytes, tmp_path: Path) -> None:
    for name in ("x.pdf", "x.jpg", "x.exe"):  # which no name changes
        (tmp_path / name).write_bytes(data)
        assert sniff.sniff(tmp_path / name) == kind


@pytest.mark.parametrize("kind", sorted(sniff.REFUSED.keys() - sniff.OFFICES - {sniff.ARCHIVE}))
def test_what_cannot_be_faxed_is_said_with_what_can(kind: str, refusal: Callable[..., Unfaxable]) -> None:
    data = next(data for known, data in KNOWN if known == kind)
    refused = refusal(data)
    assert refused.public == (
        f"x.bin is {sniff.REFUSED[kind]}, which cannot be faxed from here; send it as PDF, TIFF, JPEG, PNG, GIF, BMP, WEBP, AVIF "
        "or plain text, for example by printing it to PDF"
    )
    assert refused.status == "5.6.1"
