"""Pictures in an office document: where LibreOffice cannot read one it leaves a blank, or half of it, without a word."""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.parsers import expat

from PIL import Image

from gateway.document import jpeg, oldpictures, package, picture, sniff
from gateway.document.refusal import Unfaxable, file_name

_RELATIONS = re.compile(r"(?:(?:word|xl|ppt)(?!/notes|/handout)/.*)_rels/[^/]+\.rels", re.IGNORECASE)
_PICTURE = "picture"
_RELATED = {"image": _PICTURE, "chart": "chart"}  # by the ends of the kinds of relations
_OPEN_DOCUMENT = {"content.xml", "styles.xml"}
_HREF = re.compile(rb"<draw:image\b[^<>]*\bxlink:href=[\"'](?:\./)?(Pictures/[^\"']+)")
_MANIFEST, _ENCRYPTED = "META-INF/manifest.xml", b"encryption-data"
_AS_PNG = {sniff.TIFF, sniff.HEIC, sniff.AVIF, "image/webp"}  # which LibreOffice reads in part, or by its version
_WIDEST = 3456  # points of such a one, twice those of a fax
_PACKED = b"\x1f\x8b"  # EMZ, WMZ, SVGZ
_EMF = "<II"  # kind and bytes of a record
_WMF, _WMF_HEAD, _PLACEABLE = "<I", 18, 22  # words of a record; bytes of its head, and of one in front
_KNOWN = re.compile(
    r"\.(?:png|jpe?g|jpe|jfif|gif|bmp|dib|tiff?|webp|avif|hei[cf]|emf|wmf|emz|wmz|svg|eps|jp2|jxl)", re.IGNORECASE
)
_UNSHOWN = {"application/postscript", "image/jp2", "image/jxl"}


def settle(document: Path, name: str) -> Iterator[str]:
    """Write a package anew with its pictures of rare kinds as PNG, and say how many of them and of its charts are missing in it, and
    how many have more pages than the one that a document shows.

    Raises Unfaxable, naming the document by ``name``, for one that is damaged, or of a kind that cannot be shown; OSError;
    what zipfile does.
    """
    with zipfile.ZipFile(document) as source:
        names = {each.filename.casefold(): each for each in source.infolist()}
        if _MANIFEST in source.namelist() and _ENCRYPTED in package.read(source, _MANIFEST):
            return  # LibreOffice is to say so
        wanted = dict(_wanted(source))
        changed: dict[str, bytes] = {}
        pages = 0
        for each in sorted(wanted.keys() & names.keys()):
            if wanted[each] == _PICTURE and names[each].file_size <= package.LONGEST:
                data = source.read(names[each])
                if (shown := _shown(data, names[each].filename, name)) is not data:
                    changed[names[each].filename] = shown
                    pages += picture.has_pages(data)
    package.change(document, changed)
    missing = Counter(what for each, what in wanted.items() if each not in names)
    for what, count in sorted(missing.items(), reverse=True):
        yield f"without {f'a {what} that is' if count == 1 else f'{count} {what}s that are'} missing from it"
    if pages:
        yield f"only the first page of {'a picture' if pages == 1 else f'{pages} pictures'} of several pages in it"


def check(document: Path, kind: str, name: str) -> None:
    """Raise Unfaxable, naming the document by ``name``, where one that is no package holds a picture that cannot be shown.

    Raises OSError.
    """
    for called, data in oldpictures.found(document.read_bytes(), kind):
        _shown(data, called, name)


def _wanted(source: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """The pictures and charts that a document speaks of, by their names in it in lower case."""
    for name in source.namelist():
        if _RELATIONS.fullmatch(name):
            for _, kind, target in package.relations(source, name):
                if target and (what := _RELATED.get(kind.rpartition("/")[2])):
                    yield target.casefold(), what
        elif name in _OPEN_DOCUMENT:
            for href in _HREF.findall(package.read(source, name)):
                yield unquote(href.decode("utf-8", "replace")).casefold(), _PICTURE


def _shown(data: bytes, called: str, document: str) -> bytes:
    """A picture as LibreOffice can read it: the very same, or as PNG. Raises Unfaxable for one of which something is missing."""
    try:
        kind = sniff.sniff_bytes(data)
        if kind in _AS_PNG:
            out = io.BytesIO()
            picture.inside(data, called, _WIDEST).save(out, format="PNG", compress_level=1)
            return out.getvalue()
        if kind not in _UNSHOWN and _is_whole(data, kind, called):
            return data
        why = kind
    except (Unfaxable, zlib.error, expat.ExpatError, struct.error, ValueError, SyntaxError, OSError) as error:
        why = repr(error)
    raise Unfaxable(
        f"{document} holds a picture ({file_name(called)}) that is damaged, or of a kind that cannot be shown here;"
        " insert it again, or print the document to a PDF and send that",
        why,
    )


def _is_whole(data: bytes, kind: str, called: str) -> bool:
    """What is no picture by its content nor by its name is whole: LibreOffice knows more kinds. Raises what decoders do."""
    if data.startswith(_PACKED):
        data = zlib.decompressobj(wbits=31).decompress(data, package.LONGEST)
        kind = sniff.sniff_bytes(data)
    if kind == sniff.JPEG:
        with Image.open(io.BytesIO(data), formats=["JPEG"]):
            return not jpeg.breaks_off(data)
    if kind == "image/png":
        try:
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                image.verify()
        except OSError:  # it may lack nothing but the mark of its end, as some in the templates of LibreOffice
            picture.inside(data, called, _WIDEST)
    elif kind in sniff.IMAGES:
        picture.inside(data, called, _WIDEST)
    elif called.endswith(".dib"):
        with Image.open(io.BytesIO(data), formats=["DIB"]) as image:
            image.load()
    elif kind == "image/wmf":
        return _has_its_records(data)
    elif kind == "image/svg+xml":
        expat.ParserCreate().Parse(data, True)
    else:
        return not _KNOWN.fullmatch(posixpath.splitext(called)[1])
    return True


def _has_its_records(data: bytes) -> bool:
    """Whether no record of a Windows metafile ends behind its end. Raises struct.error."""
    is_new = data[40:44] == b" EMF"
    at = 0 if is_new else _WMF_HEAD + _PLACEABLE * data.startswith(b"\xd7\xcd\xc6\x9a")
    while at < len(data):
        if is_new:
            kind, size = struct.unpack_from(_EMF, data, at)
            last = kind == 14
        else:
            size = 2 * struct.unpack_from(_WMF, data, at)[0]
            last = size == 6 and data[at + 4 : at + 6] == b"\0\0"
        at += max(size, 6)
        if last:
            break
    return at <= len(data)
