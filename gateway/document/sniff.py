"""What a file is, by its first bytes: names and declared types are hints for people, never evidence."""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path

from gateway.document import utf16

_START = 4096  # bytes looked at; a PDF may have up to 1024 bytes before its header

PDF = "application/pdf"
TIFF = "image/tiff"
JPEG = "image/jpeg"
TEXT = "text/plain"
HTML = "text/html"
OFFICE = "application/x-office"
OLE = "application/x-ole"
RTF = "application/rtf"
OFFICE_XML = "application/x-office-xml"  # one that is a single XML
OFFICES = {OFFICE, OLE, RTF, OFFICE_XML}
ZIP = "application/zip"
ARCHIVE = "application/gzip"
HEIC = "image/heic"
AVIF = "image/avif"
ENCRYPTED = "application/pkcs7-mime"
UNKNOWN = "application/octet-stream"
IMAGES = {TIFF, JPEG, "image/png", "image/gif", "image/bmp", "image/webp", HEIC, AVIF}
SAVED_MAIL = "{} is a mail as Outlook saves it; forward the mail itself, or print it to PDF"
SUPPORTED = "PDF, TIFF, JPEG, PNG, GIF, BMP, WEBP, AVIF or plain text"

_MAGIC: tuple[tuple[int, bytes, str], ...] = (  # where it stands
    (0, b"II*\0", TIFF),
    (0, b"MM\0*", TIFF),
    (0, b"II+\0", TIFF),  # BigTIFF
    (0, b"MM\0+", TIFF),
    (0, b"\xff\xd8\xff", JPEG),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"\xd0\xcf\x11\xe0", OLE),
    (0, b"{\\rtf", RTF),
    (0, b"%!", "application/postscript"),
    (0, b"\x04%!", "application/postscript"),  # as Windows prints it
    (0, b"\xc5\xd0\xd3\xc6", "application/postscript"),  # with a preview
    (0, b"%FDF-", "application/fdf"),
    (0, b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (0, b"-----BEGIN PGP MESSAGE-----", ENCRYPTED),
    (0, b"(This file must be converted with BinHex", "application/mac-binhex40"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"\x1f\x8b", ARCHIVE),
    (0, b"7z\xbc\xaf", ARCHIVE),
    (0, b"Rar!", ARCHIVE),
    (0, b"\xfd7zXZ\0", ARCHIVE),
    (0, b"\x28\xb5\x2f\xfd", ARCHIVE),  # Zstandard
    (4, b"1AY&SY", ARCHIVE),  # bzip2
    (257, b"ustar\x0000", ARCHIVE),
    (257, b"ustar  \0", ARCHIVE),
    (0, b"\0\0\0\x0cjP  ", "image/jp2"),
    (0, b"\xffO\xffQ", "image/jp2"),
    (0, b"\0\0\0\x0cJXL ", "image/jxl"),
    (0, b"\xff\n", "image/jxl"),  # without a box around it
    (0, b"\xd7\xcd\xc6\x9a", "image/wmf"),
    (0, b"\1\0\x09\0\0\3", "image/wmf"),
    (0, b"\1\0\x09\0\0\1", "image/wmf"),
    (40, b" EMF\0\0", "image/wmf"),
    (0, b"8BPS\0", "image/vnd.adobe.photoshop"),
    (0, b"\xb1\x68\xde\x3a", "image/x-pcx"),  # several of them: fax pages of old programs
    *((0, b"\n%c\1" % version, "image/x-pcx") for version in (0, 2, 3, 4, 5)),
    (0, b"AT&TFORM", "image/vnd.djvu"),
    (128, b"DICM\x02\0", "application/dicom"),
    *((0, b"AC10%02d\0" % number, "image/vnd.dwg") for number in range(9, 33)),
    (0, b"ID3\2", "video/audio"),
    (0, b"ID3\3", "video/audio"),
    (0, b"ID3\4", "video/audio"),
    (0, b"OggS\0", "video/audio"),
    (0, b"fLaC\0", "video/audio"),
    (0, b".snd\0", "video/audio"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "video/audio"),  # Windows Media
    (0, b"#!AMR", "video/audio"),
    (8, b"AIFFCOMM", "video/audio"),
    (8, b"AIFCFVER", "video/audio"),
    (0, b"\x1aE\xdf\xa3", "video/audio"),  # Matroska, WebM
)
_ENVELOPED = bytes.fromhex("06092a864886f70d010703")  # of PKCS #7, in the first bytes of S/MIME
_OFFICE_FILES = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"customXml/", b"word/", b"xl/", b"ppt/", b"mimetype")
_OFFICE_ROOTS = (  # in lower case
    b"<office:document", b"http://schemas.microsoft.com/office/word/2003/wordml", b"urn:schemas-microsoft-com:office:spreadsheet",
    b"http://schemas.microsoft.com/office/2006/xmlpackage",
)  # fmt: skip
_NETPBM = re.compile(  # nothing but numbers; or three numbers; or two, and what no text in UTF-8 has
    rb"P(?:[1-3]\s(?:#.*(?:\n|\Z)|[\d\s])*\Z|[56]\s(?:#.*\n|\s)*\d+\s+\d+\s+\d+\s|4\s(?:#.*\n|\s)*\d+\s+\d+\s[^\0\xfe\xff]{0,64}[\0\xfe\xff])"
)
_IN_C = re.compile(
    rb"(?:/\*(?:(?!\*/).)*\*/\s*)?#define \w+_width \d+\s+#define \w+_height \d|/\* XPM \*/|! XPM2\s", re.DOTALL
)
_SHORTCUT = re.compile(  # of Windows, the Mac and Google Drive
    rb"\[internetshortcut\]|<\?xml.*<plist\b.*<key>url</key>|\{\s*\"(?:\"\s*:\s*\"warning! do not edit|url\"\s*:\s*\"https://docs\.google\.com/)",
    re.DOTALL,
)
_TABLE = re.compile(rb"ID;P[A-Z]{2,}|TABLE\r?\n0,1\r?\n\"")
_FILMS = {b"WAVE", b"AVI ", b"RMID"}
_DXF = re.compile(rb"(?:\s*999\r?\n.*\n)*\s*0\r?\n\s*SECTION\r?\n\s*2\r?\n")
_IN_TEXT = (
    (_DXF, "image/vnd.dwg"), (_TABLE, "text/x-sylk"), (_NETPBM, "image/x-portable-anymap"), (_IN_C, "image/x-xbitmap"),
)  # fmt: skip
_PIECE = re.compile(  # of HTML, as web programs write it into files for Excel and Word
    rb"(?:<!--.*?-->\s*)?(?:<(?:meta|link)\s[^>]*=|<title>.*?</title>\s*<|<(?:br|hr)\s*/?>|<table\b[^>]*>\s*(?:<(?:caption|colgroup|col|thead|tbody)\b[^>]*>.*?)?\s*<tr\b|<style\b.*?</style>\s*<"
    rb"|<(div|p|center|font|h[1-6]|span|b|i|u|strong|em|ul|ol|blockquote)\b[^>]*>.*?</\1>|<pre\b[^>]*>)", re.DOTALL
)  # fmt: skip
_SOUND = re.compile(rb"\xff[\xf1-\xf3\xf9-\xfb]")  # MP3 and AAC without a head
_PDF = re.compile(rb"(?<![ -~])%PDF-")
TEXT_NAMES = (".txt", ".htm", ".html")  # how names of texts end: of an empty one nothing else tells
_STRAYS = 2  # control characters in a text of a line or two
_PICTURES = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"}

# type -> what a person calls it, for what cannot be converted
REFUSED = {
    ZIP: "a ZIP archive",
    OFFICE: "an office document (Word, Excel, PowerPoint or OpenDocument)",
    OFFICE_XML: "an office document (Word, Excel, PowerPoint or OpenDocument)",
    OLE: "an old office document (Word, Excel or PowerPoint)",
    RTF: "an RTF document",
    "application/postscript": "a PostScript file",
    "application/fdf": "only what was typed into a PDF form, without the form (FDF)",
    "application/x-shortcut": "only a shortcut to a document",
    "text/x-sylk": "a table in a format for programs (SYLK, DIF)",
    "application/vnd.hp-pcl": "a file for a printer (PCL)",
    "application/ms-tnef": "an Outlook winmail.dat",
    ENCRYPTED: "an encrypted file",
    "application/mac-binhex40": "a BinHex file",
    "application/x-executable": "a program",
    ARCHIVE: "a compressed archive",
    "video/audio": "a sound or video file",
    "image/svg+xml": "an SVG drawing",
    "image/jp2": "a JPEG 2000 picture",
    "image/x-portable-anymap": "a PBM, PGM or PPM picture",
    "image/x-pcx": "a PCX or DCX picture",
    "image/x-xbitmap": "an XBM or XPM picture",
    "image/jxl": "a JPEG XL picture",
    "image/x-raw": "a raw photo",
    "image/wmf": "a Windows metafile",
    "image/vnd.adobe.photoshop": "a Photoshop picture",
    "image/vnd.djvu": "a DjVu document",
    "application/dicom": "a DICOM picture",
    "image/vnd.dwg": "a CAD drawing (DWG, DXF)",
    UNKNOWN: "a file of an unknown kind",
}


def sniff(path: Path) -> str:
    """The type of a file: one of :data:`PDF`, :data:`IMAGES`, :data:`TEXT`, :data:`HTML`, or a key of :data:`REFUSED`."""
    return sniff_bytes(start_of(path))


def start_of(path: Path) -> bytes:
    """As much of a file as is looked at."""
    with path.open("rb") as stream:
        return stream.read(_START)


def refusal(kind: str, name: str, *, opened: Container[str] = ()) -> str:
    """Why a document of such a kind can become no page, "" when it may; ``opened``: kinds that are made into others."""
    if kind not in REFUSED or kind in opened:
        return ""
    if kind == UNKNOWN and name.lower().endswith((".pgp", ".gpg")):  # without armour it looks like anything
        kind = ENCRYPTED
    if kind == OLE and name.lower().endswith(".msg"):
        return SAVED_MAIL.format(name)
    if kind in OFFICES:
        return f"{name} is {REFUSED[kind]}, which cannot be printed here, as this gateway has no LibreOffice; send it as PDF"
    if kind == ARCHIVE:
        return f"{name} is {REFUSED[kind]} that cannot be opened here; send the files in it, or pack them as ZIP"
    return (
        f"{name} is {REFUSED[kind]}, which cannot be faxed from here; send it as {SUPPORTED}, for example by printing it"
        " to PDF"
    )


def sniff_bytes(data: bytes) -> str:
    """As :func:`sniff`, from what is in the file, or its first bytes."""
    start = data[:_START]
    if start[:4] == b"RIFF":
        return "image/webp" if start[8:12] == b"WEBP" else "video/audio" if start[8:12] in _FILMS else UNKNOWN
    if start[4:8] == b"ftyp":
        return _boxes(start)
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):  # the second of one without a file
        name = start[30 : 30 + int.from_bytes(start[26:28], "little")]  # of its first file
        return OFFICE if name.startswith(_OFFICE_FILES) else ZIP
    for at, magic, kind in _MAGIC:
        if start.startswith(magic, at):
            return kind
    if start.startswith(b"BM") and start[6:10] == bytes(4):
        return "image/bmp"
    if start[:1] == b"0" and _ENVELOPED in start[:24]:
        return ENCRYPTED
    # last: an archive may begin with a PDF that is not all of it, and a text may speak of one
    is_pdf = _PDF.search(start, 0, 1024) or (b"%PDF-" in start[:1024] and b" obj" in start)
    return PDF if is_pdf else _text(start)


def _boxes(start: bytes) -> str:
    """What an ISO media file is, by its brands: a picture or a film."""
    brands = {start[at : at + 4] for at in range(8, min(int.from_bytes(start[:4], "big"), 256), 4)}
    if b"avif" in brands:
        return AVIF
    if brands & _PICTURES:
        return HEIC
    return "image/x-raw" if b"crx " in brands else "video/audio"


def is_binary(start: bytes) -> bool:
    """Whether these are the first bytes of no text, whatever says so: a PDF, or bytes that no text has."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")) or utf16.charset(start):
        return False
    if len(start) < _START:  # what DOS and old programs put behind the end of a text
        start = start.rstrip(b"\0\x1a") or start
    controls = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in start)
    if b"\0" in start and not start.isascii():  # a few are in reports of old machines, as blanks
        return True
    return start.startswith(b"%PDF-1.") or controls * (10 if controls <= _STRAYS else 50) > len(start)


def _text(start: bytes) -> str:
    """Text has no NUL (but for UTF-16 and UTF-32) and few control characters."""
    if start.startswith((b"\x1bE", b"\x1b%-12345X")):
        return "application/vnd.hp-pcl"
    for shape, kind in _IN_TEXT:
        if shape.match(start):
            return kind
    if start.startswith(b"MZ") and b"\0" in start:
        return "application/x-executable"
    if is_binary(start):
        return "video/audio" if _SOUND.match(start) else UNKNOWN
    wide = "utf-16" if start.startswith((b"\xff\xfe", b"\xfe\xff")) else utf16.charset(start)
    head = start.decode(wide, "replace").encode("utf-8", "replace") if wide else start.removeprefix(b"\xef\xbb\xbf")
    head = head[:1024].lstrip().lower()
    if head.startswith(b"{\\rtf") and not wide:  # behind a mark of UTF-8, or a blank line
        return RTF
    if head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!doctype svg")) and b"<svg" in head):
        return "image/svg+xml"
    if head.startswith((b"<xfdf", b"<?xml")) and b"<xfdf" in head:
        return "application/fdf"
    if _SHORTCUT.match(head):
        return "application/x-shortcut"
    if head.startswith(b"<?xml") and any(root in head for root in _OFFICE_ROOTS):
        return OFFICE_XML
    if head.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return HTML
    return HTML if (head.startswith((b"<?xml", b"<!--")) and b"<html" in head) or _PIECE.match(head) else TEXT
