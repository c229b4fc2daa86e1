"""What the content of a PDF page asks for by a name that nothing has: a picture, a form or a font that is lost.

pdfium leaves out the picture and takes another font, without a word.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

import pikepdf

_DO, _FONT, _TEXTS = "Do", "Tf", {"Tj", "TJ", "'", '"'}
_ASKED = re.compile(rb"/([^\s/<>()\[\]{}%]++)\s++(?:[-+.\d]++\s++Tf|Do)\b")
_ESCAPED = re.compile(rb"#([0-9A-Fa-f]{2})")  # a byte of a name
LONGEST = 8 << 20  # bytes of content that is taken apart
_CLASSES = {"/XObject": pikepdf.Stream, "/Font": pikepdf.Dictionary}
_KINDS = {
    "/XObject": {"/Image", "/Form", "/PS"},
    "/Font": {"/Type0", "/Type1", "/MMType1", "/TrueType", "/Type3"},
}


def is_lost(content: bytes, *resources: object) -> bool:
    """Whether ``content`` shows what is in none of the ``resources``: those of its own and of what it is in."""
    named = {kind: {name for each in resources for name in _named(each, kind)} for kind in _KINDS}
    known = {name[1:].encode("utf-8", "surrogateescape") for names in named.values() for name in names}
    if known.issuperset(_plain(match[1]) for match in _ASKED.finditer(content)) or len(content) > LONGEST:
        return False
    with warnings.catch_warnings(action="ignore"):  # of content that ends within an operand
        try:  # it may be words of a text that look like it, or a font without a letter
            return _shows_other(content, named["/XObject"], named["/Font"])
        except pikepdf.PdfError:
            return False


def said(name: object, errors: str = "surrogateescape") -> str:
    """A name as text, which may be in any coding (7.3.5): ``str()`` fails where it is not UTF-8."""
    return bytes(name).decode("utf-8", errors) if isinstance(name, pikepdf.Name) else str(name)


def _plain(name: bytes) -> bytes:
    return _ESCAPED.sub(lambda digits: bytes.fromhex(digits[1].decode()), name) if b"#" in name else name


def entries(resources: object, kind: str) -> dict[str, pikepdf.Object]:
    """The things of a kind (``/Font``) in resources, by their names."""
    found = resources.get(kind) if isinstance(resources, pikepdf.Dictionary) else None
    return dict(found.items()) if isinstance(found, pikepdf.Dictionary) else {}


def differences(encoding: object) -> list[str]:
    """The names of letters that an encoding of a font has in place of others (9.6.5)."""
    codes = encoding.get("/Differences") if isinstance(encoding, pikepdf.Dictionary) else None
    return [said(each) for each in codes if isinstance(each, pikepdf.Name)] if isinstance(codes, pikepdf.Array) else []


def _named(resources: object, kind: str) -> Iterator[str]:
    for name, each in entries(resources, kind).items():
        if isinstance(each, _CLASSES[kind]) and said(each.get("/Subtype")) in _KINDS[kind] and _has_its_letters(each):
            yield name


def _has_its_letters(font: pikepdf.Object) -> bool:
    """Whether a font that is made of others has one, and one that is drawn (9.6.4) says of which code each drawing is, and has lost
    none by a damaged name: then one is of no code, and a code has none.
    """
    kind = font.get("/Subtype")
    if kind == "/Type0":
        found = font.get("/DescendantFonts")
        return isinstance(found, pikepdf.Array) and len(found) > 0 and isinstance(found[0], pikepdf.Dictionary)
    drawn, encoding = font.get("/CharProcs"), font.get("/Encoding")
    if kind != "/Type3" or not isinstance(drawn, pikepdf.Dictionary) or not isinstance(encoding, pikepdf.Dictionary):
        return kind != "/Type3" or encoding is not None
    coded, names = set(differences(encoding)), set(drawn.keys())
    return "/BaseEncoding" in encoding or not (names - coded and coded - names)


def _shows_other(content: bytes, objects: set[str], fonts: set[str]) -> bool:
    found, lacks_font, kept = True, False, []
    with pikepdf.new() as scratch:
        for instruction in pikepdf.parse_content_stream(pikepdf.Stream(scratch, content)):
            operator, operands = str(instruction.operator), instruction.operands
            name = said(operands[0]) if operands else ""
            if operator == "q":
                kept.append(lacks_font)
            elif operator == "Q":
                lacks_font = kept.pop() if kept else False
            elif operator == "gs":  # may set one
                lacks_font = False
            elif operator == _FONT:
                lacks_font = name not in fonts
            elif operator == _DO:
                found = name in objects
            elif operator in _TEXTS and lacks_font:
                found = not any(map(_has_letters, operands))
            if not found:
                return True
    return False


def _has_letters(operand: object) -> bool:
    if isinstance(operand, pikepdf.Array):
        return any(_has_letters(each) for each in operand)
    return isinstance(operand, pikepdf.String) and bool(bytes(operand).strip())
