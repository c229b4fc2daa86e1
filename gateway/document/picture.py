"""An image file becomes pages: grey on white, at its own size where it says one that can be true.

A TIFF page that is a fax page already goes out bit for bit. A file that cannot be read whole is refused.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from PIL import AvifImagePlugin, Image, ImageOps, TiffImagePlugin

from gateway.document import allocation, facsimile, jpeg, progress, raster, sniff
from gateway.document.raster import Grid, Page
from gateway.document.refusal import TooLong, Unfaxable

FORMATS = ["TIFF", "JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF"]  # what of Pillow is used
MAX_PIXELS = 120_000_000  # of one image: A3 at 600 dpi, twice over
_SCREEN_DPI = 96
_RESOLUTIONS = ("dpi", "resolution", "aspect")  # as Pillow calls it: with a unit, without one in a TIFF, and in a PNG
_OBLONG = 2.5  # times as long as wide, or the other way round: no points of a fax are more so
_STANDARD_ROWS = 1500  # a fax page with fewer rows has 98 to the inch
_ORIENTATION, _SUBFILE, _COMPRESSION = 0x0112, 0x00FE, 0x0103
_TURNS = {  # by the orientation that a picture says
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
_PHOTOMETRIC, _BITS, _WITHIN = 0x0106, 0x0102, 0x014A
_HEIGHT, _ROWS, _COLOURS = 0x0101, 0x0116, 0x0140
# tags that say how a fax page is decoded (its width, ..., FillOrder, T4Options, T6Options), and what they are unsaid
_SAID: dict[int, int | None] = {
    0x0100: None, _BITS: 1, _COMPRESSION: None, _PHOTOMETRIC: 0, 0x010A: 1, 0x0124: None, 0x0125: None,
}  # fmt: skip
_ANIMATED = {"GIF", "PNG", "WEBP", "AVIF", "HEIF"}
_LOOKED_AT = 50  # pictures of an animation, for one that is not blank
_FAX_CODED = {2: 0.05, 3: 0.05, 4: 0.0}  # MH, MR and MMR: the share of lines that may be damaged; MMR does not recover
_THUMBNAIL, _MASK = 0x1, 0x4  # of _SUBFILE: a smaller version or a mask of another image
_OTHERS = _THUMBNAIL | _MASK

# what Pillow raises for damaged files
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError,
    struct.error,
)  # fmt: skip


def _can_read_heic() -> bool:
    """Whether the photos of iPhones can be read: by pillow-heif, which the extra ``heic`` installs."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.options.DECODE_THREADS = 0
    pillow_heif.register_heif_opener(thumbnails=False)
    FORMATS.append("HEIF")
    return True


TiffImagePlugin.READ_LIBTIFF = True  # of uncompressed pages, too: Pillow itself knows fewer kinds

for _order in (b"II", b"MM"):  # kinds of TIFF that Pillow decodes and does not list: CMYK with alpha, ICCLab, a mask
    TiffImagePlugin.OPEN_INFO |= {
        (_order, 5, (1,), 1, (8,) * 5, (1,)): ("CMYK", "CMYKX"), (_order, 5, (1,), 1, (8,) * 5, (2,)): ("CMYK", "CMYKX"),
        (_order, 9, (1,), 1, (8,) * 3, ()): ("LAB", "LAB"),
        (_order, 4, (1,), 1, (1,), ()): ("1", "1"), (_order, 4, (1,), 2, (1,), ()): ("1", "1;R"),
    }  # fmt: skip

HEIC = _can_read_heic()

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # a job may start none

Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses what has twice as many, and warns before


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Whatever Pillow finds wrong with an image is a refusal that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Image.DecompressionBombError as error:
        raise TooLong(f"{name} has too many pixels for a fax; send it smaller") from error
    except _DAMAGED as error:
        raise Unfaxable(
            f"{name} is a damaged or incomplete image, or one of a rare kind; send it again, or as PDF", repr(error)
        ) from error


def pages(path: Path, kind: str, name: str, target: Grid, room: int) -> Iterator[Page]:
    """The pages of an image file of a sniffed ``kind``: all of a TIFF, else one."""
    if kind == sniff.HEIC and not HEIC:
        raise Unfaxable(
            f"{name} is a HEIC photo, which this gateway is not set up to read; send it as JPEG or PDF (on an iPhone: Settings,"
            " Camera, Formats, Most Compatible)"
        )
    with reading(name), _opened(path, kind) as source:
        if source.format != "TIFF":
            raster.check_room(name, 1, room)
            if source.format in _ANIMATED and (count := getattr(source, "n_frames", 1)) > 1:
                which = _first_seen(source, min(count, _LOOKED_AT))
                progress.note(
                    f"only {'the first' if not which else f'number {which + 1}'} of the {count} pictures in it"
                )
            yield _page(source, name, target)
            return
        frames = _frames(source, _count(path))
        raster.check_room(name, len(frames), room)
        for frame in frames:
            if frame != source.tell():
                for key in _RESOLUTIONS:  # which Pillow hands on from frame to frame
                    source.info.pop(key, None)
            source.seek(frame)
            yield _page(source, name, target)


def _opened(path: Path, kind: str) -> Image.Image:
    with allocation.checked():  # a WEBP is given all it needs here
        return Image.open(_whole(path, kind), formats=FORMATS)


def _whole(path: Path, kind: str) -> Path | io.BytesIO:
    """What to open: of a JPEG whose program left out its end nothing is missing. Raises ValueError where something is."""
    if kind != sniff.JPEG or path.stat().st_size > facsimile.MOST:
        return path
    data = path.read_bytes()
    whole = jpeg.whole(data)
    return path if whole is data else io.BytesIO(whole)


def inside(data: bytes, name: str, widest: int) -> Image.Image:
    """The first picture of a file that a text shows: grey, upright, at most ``widest`` pixels across. Raises Refused."""
    with reading(name), Image.open(io.BytesIO(jpeg.whole(data)), formats=FORMATS) as frame:
        frame.draft("L", (widest, widest))
        frame.load()
        image = _upright(_grey(frame), frame)
        return _scaled(image, widest, max(1, image.height * widest // image.width)) if image.width > widest else image


def has_pages(data: bytes) -> bool:
    """Whether a picture that can be read is a TIFF of several pages, of which a text shows the first."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as frame:
        return frame.format == "TIFF" and getattr(frame, "n_frames", 1) > 1


def size(file: Path | io.BytesIO) -> tuple[int, int]:
    """Pixels across and down of a picture, which is not decoded; (0, 0) of what is none, or damaged."""
    try:
        with reading("it"), Image.open(file, formats=FORMATS) as frame:
            return frame.size
    except Unfaxable:
        return 0, 0


def _first_seen(source: Image.Image, count: int) -> int:
    """Go to the first picture with something to see on it, but rather to the one that the file calls the main one (HEIF)."""
    main = source.tell()
    for number in chain((main,), range(count)):
        source.seek(number)
        darkest, lightest = _grey(source).getextrema()
        if darkest != lightest:
            return number
    source.seek(main)
    return main


def _count(path: Path) -> int:
    """The directories of a TIFF. Raises ValueError where their chain leaves the file: there Pillow would just end."""
    with path.open("rb") as stream:
        head = stream.read(16)
        order, big = "<" if head[:2] == b"II" else ">", 43 in head[2:4]
        entry, number, link = (20, "Q", "Q") if big else (12, "H", "I")

        def read(kind: str) -> int:
            size = struct.calcsize(order + kind)
            data = stream.read(size)
            if len(data) < size:
                raise ValueError("the chain of pages leaves the file")
            return int(struct.unpack(order + kind, data)[0])

        stream.seek(8 if big else 4)
        seen: set[int] = set()
        while (at := read(link)) and at not in seen:
            seen.add(at)
            stream.seek(at)
            stream.seek(read(number) * entry, os.SEEK_CUR)
    return len(seen)


def _frames(source: Image.Image, count: int) -> list[int]:
    """The frames that are pages: a thumbnail of a page is none, but what is called one and is as large as a page is."""
    kinds, sizes = [], []
    for number in range(count):
        source.seek(number)
        kinds.append(raster.tags(source).get(_SUBFILE, 0))
        sizes.append(source.width)
    widest = max((size for size, kind in zip(sizes, kinds, strict=True) if not kind & _OTHERS), default=0)
    return [
        number for number, kind in enumerate(kinds)
        if not kind & _OTHERS or not (kind & _MASK or sizes[number] * 1.5 <= widest)
    ] or [0]  # fmt: skip


def _is_negative(frame: Image.Image) -> bool:
    """Whether white is 0 in a picture of many bits, of which Pillow leaves that to others."""
    return (frame.mode.startswith("I") or frame.mode == "F") and raster.tags(frame).get(_PHOTOMETRIC) == 0


def _page(frame: Image.Image, name: str, target: Grid) -> Page:
    orientation = frame.getexif().get(_ORIENTATION, 1)
    known, x_dpi, y_dpi = _dpi(frame)
    before = frame.size
    frame.draft("L", (raster.WIDTH, raster.WIDTH))  # a JPEG is decoded no larger and no more colourful than needed
    x_dpi, y_dpi = x_dpi * frame.width / before[0], y_dpi * frame.height / before[1]
    _load(frame, name)
    rows = raster.fax_dpi(x_dpi, y_dpi)
    is_fax = (frame.mode, frame.width, frame.format) == ("1", raster.WIDTH, "TIFF")
    if rows and is_fax and orientation not in range(2, 9):
        return Page(frame.copy(), rows)
    if orientation in range(5, 9):
        x_dpi, y_dpi = y_dpi, x_dpi
    image = frame
    if frame.format in ("BMP", "TIFF") and frame.mode == "RGBA" and frame.getchannel("A").getextrema() == (0, 0):
        image = frame.convert("RGB")  # screenshots of Windows, and old programs, leave that byte empty
    grey = _upright(ImageOps.invert(_grey(image)) if _is_negative(frame) else _grey(image), frame)
    width, height = grey.width / x_dpi, grey.height / y_dpi
    # what fills no page at its own size is enlarged only if it has the pixels for it
    enlarge = min(before) >= 1000 and (width > raster.WIDTH / raster.X_DPI or not known)
    across, down, turn = raster.placed(width, height, target, enlarge=enlarge)
    if turn:
        grey = grey.transpose(Image.Transpose.ROTATE_270)  # clockwise, as pages of a PDF
    return Page(raster.on_page(_scaled(grey, across, down), target), target.y_dpi)


def _load(frame: Image.Image, name: str) -> None:
    """Decode, and believe libtiff's complaints: it fills lines of a fax page that it cannot decode with white."""
    if frame.format != "TIFF":
        with allocation.checked():
            frame.load()
        return
    tags = raster.tags(frame)
    if tags.get(_SUBFILE, 0) & _THUMBNAIL and _WITHIN in tags:
        raise Unfaxable(f"{name} is a raw photo, of which only a thumbnail can be read; send it as JPEG or PDF")
    compression, colours = tags.get(_COMPRESSION, 1), tags.get(_COLOURS, ())
    strips = list(_fax_strips(frame)) if compression in _FAX_CODED else []
    with facsimile.complaints() as complaints:
        frame.load()
    if len(complaints) > _FAX_CODED.get(compression, 0.0) * frame.height:
        raise Unfaxable(f"{name} holds a damaged fax page; send it again", complaints[0].decode(errors="replace"))
    with facsimile.complaints():
        if any(facsimile.strip_breaks_off(*strip) for strip in strips):
            raise Unfaxable(f"{name} holds a fax page that breaks off before its end; send it again")
    is_empty = bool(strips) and len(set(frame.getextrema())) == 1
    if is_empty and any(facsimile.strip_is_misnamed(*strip) for strip in strips):
        raise Unfaxable(f"{name} holds a fax page in another coding than it says (T4Options); send it as PDF")
    if frame.mode == "P" and max(colours, default=256) < 256:  # of 8 bits in place of 16, as old programs write them
        third = len(colours) // 3
        frame.putpalette([colours[n + start] for n in range(third) for start in (0, third, 2 * third)])


def _fax_strips(frame: Image.Image) -> Iterator[tuple[bytes, dict[int, int]]]:
    """Of a page that is not decoded yet, the data of each strip and the tags that say how to."""
    tags, file = raster.tags(frame), frame.fp  # type: ignore[attr-defined]  # it comes from one
    height = tags[_HEIGHT]
    most = min(tags.get(_ROWS, height), height)
    said = {tag: value for tag, default in _SAID.items() if (value := tags.get(tag, default)) is not None}
    places = zip(
        tags.get(TiffImagePlugin.STRIPOFFSETS, ()), tags.get(TiffImagePlugin.STRIPBYTECOUNTS, ()), strict=False
    )
    for number, (at, size) in enumerate(places):
        file.seek(at)
        rows = min(most, height - number * most)
        yield file.read(size), {**said, _HEIGHT: rows, _ROWS: rows}


def _dpi(frame: Image.Image) -> tuple[bool, float, float]:
    """Whether the file says a print resolution, and dots per inch across and down: its own, or likely ones."""
    unit = next((key for key in _RESOLUTIONS if key in frame.info), "")
    x_dpi, y_dpi = (float(v) for v in frame.info.get(unit, (0, 0)))
    is_print = max(x_dpi, y_dpi) > 100
    if 50 <= x_dpi <= 2400 and 50 <= y_dpi <= 2400 and (is_print or unit == "dpi"):  # programs write 72 for not known
        return is_print, x_dpi, y_dpi
    # what can be no size may still be the shape of the points
    shape = y_dpi / x_dpi if 0 < x_dpi <= _OBLONG * y_dpi and y_dpi <= _OBLONG * x_dpi else 1.0
    if frame.width == raster.WIDTH and frame.mode == "1":
        is_standard = (
            frame.height < _STANDARD_ROWS or raster.fax_dpi(raster.X_DPI, raster.X_DPI * shape) == raster.STANDARD
        )
        return True, raster.X_DPI, raster.STANDARD if is_standard else raster.FINE
    return False, _SCREEN_DPI, _SCREEN_DPI * shape


def _scaled(grey: Image.Image, across: int, down: int) -> Image.Image:
    factor = min(grey.width // across, grey.height // down) // 2
    if factor > 1:  # box-averaging first is fast and loses nothing at this size
        grey = grey.reduce(factor)
    return grey.resize((across, down), Image.Resampling.LANCZOS)


def _upright(grey: Image.Image, frame: Image.Image) -> Image.Image:
    """As ``frame``, which it was made of, says that it is to be turned: grey first, as colours take four times the memory."""
    turn = _TURNS.get(frame.getexif().get(_ORIENTATION, 1))
    return grey if turn is None else grey.transpose(turn)


def _grey(image: Image.Image) -> Image.Image:
    """Grey on white: transparency is paper, many bits become 8, CMYK is read as print is."""
    if image.mode.startswith("I") or image.mode == "F":
        deep = image.convert("F")
        low, high = (float(v) for v in deep.getextrema())  # type: ignore[arg-type]  # one band
        if low < 0 and image.mode != "F":
            raise ValueError("greys below black, or of more than 31 bits")
        scales = (1.0,) if image.mode == "F" else ()
        top = next((top for top in (*scales, 255.0, 4095.0, 65535.0) if high <= top), high)
        if low < 0:  # measured by something that knows no black
            deep, top = deep.point(lambda v: v * 1.0 - low), max(high - low, 1e-9)
        return deep.point(lambda v: v * (255.0 / top)).convert("L")
    if image.mode == "LAB":
        return image.getchannel("L")
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info:
        if image.mode != "LA":
            image = image.convert("RGBA")
        paper, opaque = Image.new("L", image.size, 255), image.getchannel("A")
        paper.paste(image.convert("L"), mask=opaque)
        is_lost = paper.getextrema()[0] == 255 and opaque.getextrema() == (0, 255)  # white on clear, for a dark screen
        return ImageOps.invert(opaque) if is_lost else paper
    return image.convert("L")
