"""Whether what a PDF page is drawn from can be decoded: pdfium leaves out what it cannot, without a word."""

from __future__ import annotations

import binascii
import contextlib
import io
import re
import warnings
import zlib
from collections.abc import Iterator
from decimal import Decimal

import pikepdf
import pypdfium2
from PIL import Image
from pypdfium2 import raw as pdfium

from gateway.document import codings, facsimile, jbig2, jpeg, named

_FLATE = {"/FlateDecode", "/Fl"}
_JPEG, _FAX = {"/DCTDecode", "/DCT"}, {"/CCITTFaxDecode", "/CCF"}
_JPEG_2000, _JBIG2 = "/JPXDecode", "/JBIG2Decode"
_PICTURES = {*_JPEG, *_FAX, _JPEG_2000, _JBIG2}
_NONE = "/Crypt"  # is undone already
_PACKED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")  # how compressed data begins, and no content
_COMPONENTS = {
    "/DeviceGray": 1, "/CalGray": 1, "/Indexed": 1, "/Separation": 1, "/DeviceRGB": 3, "/CalRGB": 3, "/Lab": 3,
    "/DeviceCMYK": 4,
}  # fmt: skip
_WINDOW = 1 << 20
_MOST = facsimile.MOST  # bytes, or pixels, looked at of one stream
_LESS_THAN_A_SCAN = 1 << 21  # points: to look for a gap within a scan of a page takes as long as to draw it
_OPERATORS = set(
    b"""b B b* B* BDC BI BMC BT BX c cm CS cs d d0 d1 Do DP EI EMC ET EX f F f* G g gs h i ID j J K k l m M MP n q Q re RG rg ri s
    S SC sc SCN scn sh T* Tc Td TD Tf Tj TJ TL Tm Tr Ts Tw Tz v w W W* y ' \"""".split()
) | {b"INLINE IMAGE"}
_ALIEN = b"\xff"
_FOREIGN = re.compile(rb"[^\t\n\f\r -~]")  # is in no operator
# are said of streams that are no page's content
_OTHER = ("/Length1", "/N", "/FunctionType", "/ShadingType", "/PatternType", "/Width", "/CMapName")
_SUM = 16  # bytes at the end of compressed data, and of a line, at most
_FLUSHED = b"\0\0\xff\xff"  # ends one whose program never said that it is complete


class _WrongSum(zlib.error):
    """Compressed data does not have the sum that is written at its end, or none is."""

    def __init__(self, *, is_missing: bool) -> None:
        super().__init__("a wrong sum")
        self.is_missing = is_missing


class Soundness:
    """Judges the pages of one document in turn; what they share is judged with the first."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._right_sums = self._wrong_sums = False

    def damaged(self, page: pikepdf.Page) -> bool:
        """Whether the content of a page, of a form, a picture or a note on it is not whole, or shows what is not there."""
        contents, resources = page.obj.get("/Contents"), page.resources
        if contents is None:
            content: list[object] = []
            lost = any(_may_be_content(each) for _, each in page.obj.items())
        else:
            content = list(contents) if isinstance(contents, pikepdf.Array) else [contents]
            content = [each for each in content if each is not None]
            lost = not all(isinstance(each, pikepdf.Stream) and not _is_other(each) for each in content)
        if lost or not all(_is_box(page.obj.get(name)) for name in ("/MediaBox", "/CropBox")) or _is_veiled(resources):
            return True
        waiting: list[tuple[object, tuple[object, ...]]] = [
            (each, (resources,)) for each in (*content, *_shown(resources))
        ]
        waiting += [(each, ()) for each in _looks(page.obj.get("/Annots"))]  # what they show may be said elsewhere
        while waiting:
            stream, around = waiting.pop()
            if not isinstance(stream, pikepdf.Stream) or stream.objgen in self._seen:
                continue
            self._seen.add(stream.objgen)
            own = stream.get("/Resources")
            is_drawn = stream.get("/Subtype") == "/Form" or "/PatternType" in stream
            if (
                self._breaks(stream)
                or _is_veiled(own)
                or (is_drawn and around and named.is_lost(_content([stream]), own, *around))
            ):
                return True
            waiting += [(each, (own, around[-1]) if around else ()) for each in _shown(own)]
        return named.is_lost(_content(content), resources) or (self._wrong_sums and self._right_sums)

    def _breaks(self, stream: pikepdf.Stream) -> bool:
        try:
            breaks = _breaks(stream)
        except _WrongSum as error:  # as some programs write it, to all that they compress
            self._wrong_sums |= not error.is_missing
            return _is_drawn(stream) and not _makes_sense(stream)
        self._right_sums |= not _FLATE.isdisjoint(_filters(stream))
        return breaks


def _may_be_content(value: object) -> bool:
    """Whether the value of a page's dictionary may be its content, of which the name is damaged."""
    pieces = list(value) if isinstance(value, pikepdf.Array) else [value]
    return bool(pieces) and all(isinstance(each, pikepdf.Stream) and is_content(each) for each in pieces)


def is_content(stream: pikepdf.Stream) -> bool:
    """Whether it may be the content of a page: whatever else is a stream says of what kind it is."""
    return "/Type" not in stream and not _is_other(stream)


def _is_other(stream: pikepdf.Stream) -> bool:
    return stream.get("/Subtype", "/Form") != "/Form" or any(name in stream for name in _OTHER)


def _is_box(value: object) -> bool:
    """Whether it is four numbers, or nothing."""
    return value is None or (
        isinstance(value, pikepdf.Array) and len(value) == 4 and all(isinstance(each, int | Decimal) for each in value)
    )


def _looks(notes: object) -> Iterator[object]:
    """Those of annotations, in the state in which each is."""
    for each in notes if isinstance(notes, pikepdf.Array) else ():
        looks = each.get("/AP") if isinstance(each, pikepdf.Dictionary) else None
        look = looks.get("/N") if isinstance(looks, pikepdf.Dictionary) else None
        state = each.get("/AS") if isinstance(each, pikepdf.Dictionary) else None
        if isinstance(look, pikepdf.Dictionary):
            look = look.get(state if isinstance(state, pikepdf.Name) else pikepdf.Name.Off)
        yield look


def _shown(resources: object) -> Iterator[object]:
    """Forms, pictures, the masks that are laid over them and over all else, patterns and fonts."""
    for each in (*named.entries(resources, "/XObject").values(), *named.entries(resources, "/Pattern").values()):
        if isinstance(each, pikepdf.Stream):
            yield each
            yield from (each[name] for name in ("/SMask", "/Mask") if name in each)
    for state in named.entries(resources, "/ExtGState").values():
        mask = state.get("/SMask") if isinstance(state, pikepdf.Dictionary) else None
        if isinstance(mask, pikepdf.Dictionary):
            yield mask.get("/G")
    for font in named.entries(resources, "/Font").values():
        yield from named.entries(font, "/CharProcs").values()  # of a font that is drawn
        inner = font.get("/DescendantFonts") if isinstance(font, pikepdf.Dictionary) else None
        for each in inner if isinstance(inner, pikepdf.Array) else [font]:
            about = each.get("/FontDescriptor") if isinstance(each, pikepdf.Dictionary) else None
            if isinstance(about, pikepdf.Dictionary):
                yield from (about.get(name) for name in ("/FontFile", "/FontFile2", "/FontFile3"))


def _is_veiled(resources: object) -> bool:
    """Whether an opacity in it is no number, which pdfium takes for none."""
    return any(
        type(state.get(name, 1)) not in (int, Decimal)  # true is one of Python's
        for state in named.entries(resources, "/ExtGState").values() if isinstance(state, pikepdf.Dictionary) for name in ("/ca", "/CA")
    )  # fmt: skip


def _breaks(stream: pikepdf.Stream) -> bool:
    """Whether its data goes wrong before its end, or is not enough for a picture, which pdfium then fills with black.

    Raises _WrongSum.
    """
    if "/F" in stream:  # its data is in another file: told where it would be seen
        return False
    if stream.get("/Subtype") == "/Image" and not _is_described(stream):
        return True
    data = stream.read_raw_bytes()
    pieces, is_open = iter([data]), False
    try:
        for number, coding in enumerate(_filters(stream)):
            data = b"".join(pieces)
            if coding in _PICTURES:
                return _picture_breaks(stream, coding, data)
            pieces, is_open = _undone(stream, number, coding, data)
        if is_open and _is_drawn(stream) and not _is_closed(b"".join(pieces)):
            return True
        if not _filters(stream) and _is_drawn(stream) and _is_garbled(data):
            return True
        return sum(len(piece) for piece in pieces) < min(_wanted(stream), _MOST)
    except _WrongSum:
        raise
    except (zlib.error, binascii.Error):
        return True
    except (ValueError, TypeError, LookupError, AttributeError):  # for pdfium to judge
        return False


def _undone(stream: pikepdf.Stream, number: int, coding: str, data: bytes) -> tuple[Iterator[bytes], bool]:
    """What the ``coding``, the stream's with that ``number``, makes of data, and whether its end is not marked there, where it should be.

    Raises binascii.Error for what is damaged or of a coding that there is not, LookupError for what would take long.
    """
    if coding in _FLATE:
        return _inflated(data), False
    if coding == _NONE:
        return iter([data]), False
    if coding not in codings.KNOWN:
        raise binascii.Error(coding)
    if len(data) > _WINDOW and coding not in codings.QUICK:
        raise LookupError(coding)
    settings = stream.get("/DecodeParms")
    if isinstance(settings, pikepdf.Array):
        settings = settings[number] if number < len(settings) else None
    whole, has_end = codings.decoded(data, coding, settings if isinstance(settings, pikepdf.Dictionary) else None)
    return iter([whole]), not has_end


def _picture_breaks(stream: pikepdf.Stream, coding: str, data: bytes) -> bool:
    if coding in _JPEG:
        if jpeg.is_rare(data) or jpeg.breaks_off(data, most=_LESS_THAN_A_SCAN):
            return True
        return not (_opens(data, "JPEG") or _is_read(stream))
    if coding == _JPEG_2000:
        return not ((jpeg.END in data[-jpeg.BEHIND :] and _opens(data, "JPEG2000")) or _is_read(stream))
    if coding == _JBIG2:
        return jbig2.breaks_off(data)
    return facsimile.breaks(stream, data)


def _is_described(picture: pikepdf.Stream) -> bool:
    """Whether a picture says its size and its colours: pdfium takes it for a mask without them."""
    if not all(isinstance(picture.get(name), int | Decimal) and picture.get(name) for name in ("/Width", "/Height")):
        return False
    space = picture.get("/ColorSpace")
    parts = list(space) if isinstance(space, pikepdf.Array) else []
    if (parts[:1] == ["/Separation"] and parts[1:2] == ["/None"]) or (parts[:1] == ["/Indexed"] and parts[-1] is None):
        return False  # of no colour, or of a palette that is lost: pdfium takes them for black
    is_mask = bool(picture.get("/ImageMask")) or picture.get("/BitsPerComponent") == 1
    return space is not None or is_mask or _JPEG_2000 in _filters(picture)


def _is_drawn(stream: pikepdf.Stream) -> bool:
    """Whether it is content, and no picture or font."""
    return stream.get("/Subtype", "/Form") == "/Form" and "/Length1" not in stream


def _is_garbled(data: bytes) -> bool:
    """Whether content that says no coding is compressed, as its dictionary has lost the word for it, or has operators that no
    program writes.
    """
    if data[:2] in _PACKED or len(data) > named.LONGEST:
        return data[:2] in _PACKED
    data = data.replace(b"\0", _ALIEN)  # a blank that no program writes between them
    if not _FOREIGN.search(data):
        return False
    with warnings.catch_warnings(action="ignore"):  # of content that ends within an operand
        return any(_FOREIGN.search(each) for each in _operators(data))


def _operators(content: bytes) -> list[bytes]:
    """Those of content of a page. Raises PdfError."""
    with pikepdf.new() as scratch:
        instructions = pikepdf.parse_content_stream(pikepdf.Stream(scratch, content))
        return [bytes(each.operator.unparse()) for each in instructions]


def _is_closed(content: bytes) -> bool:
    """Whether content whose coding does not say that it ends may be whole: all that it begins has an end."""
    with warnings.catch_warnings(action="error", category=UserWarning):
        try:
            operators = _operators(content)
        except (pikepdf.PdfError, UserWarning):
            return False
    pairs = ((b"q", b"Q"), (b"BT", b"ET"), (b"BI", b"EI"))
    return _OPERATORS.issuperset(operators) and all(operators.count(a) <= operators.count(b) for a, b in pairs)


def _inflated(whole: bytes) -> Iterator[bytes]:
    """As much as is looked at. Raises zlib.error where it breaks off, and _WrongSum; none at its end takes nothing away."""
    inflater = zlib.decompressobj()
    data, room = whole, _MOST
    try:
        while data and room > 0:
            piece = inflater.decompress(data, _WINDOW)
            yield piece
            room -= len(piece)
            data = inflater.unconsumed_tail
        if not whole or data or inflater.eof or whole.endswith(_FLUSHED):
            return
        inflater.decompress(bytes(4))  # in place of a sum that may be missing
    except zlib.error as error:
        if "data check" in str(error):
            raise _WrongSum(is_missing=not data) from error
        raise
    if not inflater.eof:
        raise zlib.error("incomplete")


def _makes_sense(stream: pikepdf.Stream) -> bool:
    """Whether compressed content whose sum is wrong holds nothing but what a page may."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # which knows of no sum
    with warnings.catch_warnings(action="error", category=UserWarning):
        try:
            content = inflater.decompress(stream.read_raw_bytes()[2:], _MOST)
            return len(inflater.unused_data) <= _SUM and _OPERATORS.issuperset(_operators(content))
        except (pikepdf.PdfError, zlib.error, UserWarning):
            return False


def _wanted(stream: pikepdf.Stream) -> int:
    """Bytes of a picture but its last row, 0 where they are not known."""
    if stream.get("/Subtype") != "/Image":
        return 0
    is_mask = bool(stream.get("/ImageMask"))
    bits = 1 if is_mask else int(stream.get("/BitsPerComponent", 0)) * _components(stream.get("/ColorSpace"))
    return (int(stream.get("/Width", 0)) * bits + 7) // 8 * (int(stream.get("/Height", 0)) - 1)


def _components(space: object) -> int:
    """Of a colour, 0 where they are not known."""
    if not isinstance(space, pikepdf.Array):
        return _COMPONENTS.get(str(space), 0)
    if space[0] == "/ICCBased":
        return int(space[1].get("/N", 0))
    return _COMPONENTS.get(str(space[0]), 0)


def _opens(data: bytes, form: str) -> bool:
    """Whether the head of a picture is one. Raises nothing."""
    try:
        with Image.open(io.BytesIO(data), formats=[form]):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _is_read(stream: pikepdf.Stream) -> bool:
    """Whether pdfium can read a picture, asked where it may be one that it does not list: of a pattern, a note, a mask."""
    with pikepdf.new() as scratch:
        alone = facsimile.sheet(scratch, scratch.copy_foreign(stream))
    with pypdfium2.PdfDocument(alone) as document:
        pictures = document[0].get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE])
        return all(picture.get_metadata().bits_per_pixel for picture in pictures)


def _content(streams: list[object]) -> bytes:
    """What a page is drawn by, as much as is looked at; of a coding that is not looked into nothing. It was found whole."""
    pieces = []
    for stream in streams:
        assert isinstance(stream, pikepdf.Stream)
        data = stream.read_raw_bytes()
        for number, coding in enumerate(_filters(stream)):
            held: list[bytes] = []
            with contextlib.suppress(zlib.error, binascii.Error, LookupError):
                held.extend(_undone(stream, number, coding, data)[0])
            data = b"".join(held)
        pieces += [data, b"\n"]
    return b"".join(pieces)


def _filters(stream: pikepdf.Stream) -> list[str]:
    coded = stream.get("/Filter")
    if coded is None:
        return []
    # written out, as a damaged name may be no text
    return [each.unparse().decode("latin-1") for each in (coded if isinstance(coded, pikepdf.Array) else [coded])]
