"""What a file is, by its first bytes: names and declared types are hints for people, never evidence."""

from __future__ import annotations

from pathlib import Path

_START = 4096  # bytes looked at; a PDF may have up to 1024 bytes before its header

PDF = "application/pdf"
TIFF = "image/tiff"
TEXT = "text/plain"
HTML = "text/html"
UNKNOWN = "application/octet-stream"
IMAGES = {TIFF, "image/jpeg", "image/png", "image/gif", "image/bmp", "image/webp"}
SUPPORTED = "PDF, TIFF, JPEG, PNG, GIF, BMP, WEBP or plain text"

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"II*\0", TIFF),
    (b"MM\0*", TIFF),
    (b"II+\0", TIFF),  # BigTIFF
    (b"MM\0+", TIFF),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)

# type -> what a person calls it, for what cannot be converted
REFUSED = {
    "application/zip": "a ZIP archive",
    "application/x-office": "an office document (Word, Excel, PowerPoint or OpenDocument)",
    "application/x-ole": "an old office document (Word, Excel or PowerPoint)",
    "application/rtf": "an RTF document",
    "application/postscript": "a PostScript file",
    "image/heic": "a HEIC or AVIF photo",
    "application/ms-tnef": "an Outlook winmail.dat",
    "application/x-executable": "a program",
    "application/gzip": "a compressed archive",
    "video/audio": "a sound or video file",
    "image/svg+xml": "an SVG drawing",
    "image/jp2": "a JPEG 2000 picture",
    UNKNOWN: "a file of an unknown kind",
}


def sniff(path: Path) -> str:
    """The type of a file: one of :data:`PDF`, :data:`IMAGES`, :data:`TEXT`, :data:`HTML`, or a key of :data:`REFUSED`."""
    with path.open("rb") as stream:
        start = stream.read(_START)
    return sniff_bytes(start)


def refusal(kind: str, name: str) -> str:
    """Why a document of such a kind can become no page, "" when it may."""
    if kind not in REFUSED:
        return ""
    return (
        f"{name} is {REFUSED[kind]}, which cannot be faxed from here; send it as {SUPPORTED}, for example by printing it"
        " to PDF"
    )


def sniff_bytes(start: bytes) -> str:
    """As :func:`sniff`, from the first bytes (4096 suffice)."""
    for magic, kind in _MAGIC:
        if start.startswith(magic) and (kind != "image/bmp" or start[6:10] == b"\0\0\0\0"):
            return kind
    if b"%PDF-" in start[:1024]:
        return PDF
    if start[:4] == b"RIFF":
        return "image/webp" if start[8:12] == b"WEBP" else "video/audio"
    if start[4:8] == b"ftyp":
        return "image/heic" if start[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"heim", b"avif") else "video/audio"
    if start.startswith(b"PK\x03\x04"):
        office = (b"[Content_Types].xml", b"word/", b"xl/", b"ppt/", b"mimetypeapplication/vnd.oasis")
        return "application/x-office" if any(mark in start for mark in office) else "application/zip"
    for magic, kind in (
        (b"\xd0\xcf\x11\xe0", "application/x-ole"),
        (b"{\\rtf", "application/rtf"),
        (b"%!", "application/postscript"),
        (b"\x78\x9f\x3e\x22", "application/ms-tnef"),
        (b"\x7fELF", "application/x-executable"),
        (b"MZ", "application/x-executable"),
        (b"\x1f\x8b", "application/gzip"),
        (b"7z\xbc\xaf", "application/zip"),
        (b"Rar!", "application/zip"),
        (b"\0\0\0\x0cjP  ", "image/jp2"),
        (b"\xffO\xffQ", "image/jp2"),
        (b"ID3", "video/audio"),
    ):
        if start.startswith(magic):
            return kind
    return _text(start)


def _text(start: bytes) -> str:
    """Text has no NUL (but for UTF-16 and UTF-32 with their marks) and few control characters."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        return TEXT
    controls = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in start)
    if b"\0" in start or controls * 50 > len(start):
        return UNKNOWN
    head = start[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!doctype svg")) and b"<svg" in head):
        return "image/svg+xml"
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return HTML
    return HTML if head.startswith((b"<?xml", b"<!--")) and b"<html" in head else TEXT
