"""Images: every common kind, at its own size, upright, on white paper; damaged ones refused by name."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageOps, TiffImagePlugin

from gateway.document import picture, raster
from gateway.document.bilevel import to_bilevel
from gateway.document.raster import Page, TiffWriter
from gateway.document.refusal import Unfaxable

from .conftest import Pages
from .made import fax_page, photo

Refusal = Callable[..., Unfaxable]


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def scene(width: int = 800, height: int = 1000) -> Image.Image:
    """White, with a black corner at the top left: it shows where up is."""
    image = Image.new("L", (width, height), 255)
    ImageDraw.Draw(image).rectangle((0, 0, width // 4, height // 4), fill=0)
    return image


def bounds(page: Page) -> tuple[float, float, float, float]:
    """The box of what is black, in inches."""
    box = ImageChops.invert(to_bilevel(page.image, page.y_dpi).convert("L")).getbbox()
    assert box
    return box[0] / raster.X_DPI, box[1] / page.y_dpi, box[2] / raster.X_DPI, box[3] / page.y_dpi


def size(page: Page) -> tuple[float, float]:
    left, top, right, bottom = bounds(page)
    return right - left, bottom - top


# --- kinds and modes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "tiff_adobe_deflate"}),
        ("TIFF", {"compression": "packbits"}), ("TIFF", {"compression": "jpeg"}), ("TIFF", {"big_tiff": True}),
        ("JPEG", {"quality": 95}), ("JPEG", {"progressive": True, "quality": 95}), ("PNG", {}), ("GIF", {}), ("BMP", {}),
        ("WEBP", {"lossless": True}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_kind_is_shown(pages: Pages, kind: str, options: dict[str, Any], mode: str) -> None:
    (page,) = pages(encoded(scene().convert(mode), kind, dpi=(100, 100), **options))
    assert page.image.size == (1728, 2156)
    assert size(page) == pytest.approx((2, 2.5), abs=0.1) or kind in ("GIF", "WEBP")
    left, top, *_ = bounds(page)
    assert left < 1
    assert top < 2


def test_transparency_is_paper(pages: Pages) -> None:
    black_on_nothing = Image.new("RGBA", (800, 1000), (0, 0, 0, 0))
    ImageDraw.Draw(black_on_nothing).rectangle((0, 0, 200, 250), fill=(0, 0, 0, 255))
    palette = black_on_nothing.convert("P")
    keyed = scene().convert("RGB")
    for image, options in (
        (black_on_nothing, {}),
        (black_on_nothing.convert("LA"), {}),
        (palette, {"transparency": palette.getpixel((700, 900))}),
        (scene(), {"transparency": 255}),
        (scene().convert("1"), {"transparency": 1}),
        (keyed, {"transparency": (255, 255, 255)}),
    ):
        (page,) = pages(encoded(image, "PNG", dpi=(100, 100), **options))
        assert size(page) == pytest.approx((2, 2.5), abs=0.1), (image.mode, options)


def test_white_on_nothing_is_seen(pages: Pages) -> None:
    white = Image.new("RGBA", (800, 1000), (255, 255, 255, 0))
    ImageDraw.Draw(white).rectangle((0, 0, 200, 250), fill=(255, 255, 255, 255))
    (page,) = pages(encoded(white, "PNG", dpi=(100, 100)))
    assert size(page) == pytest.approx((2, 2.5), abs=0.1)
    (page,) = pages(encoded(Image.new("RGBA", (800, 1000), (255, 255, 255, 255)), "PNG"))
    assert page.image.getextrema() == (255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("top", [65535, 4095, 255])
def test_sixteen_bits_keep_their_greys(pages: Pages, kind: str, top: int) -> None:
    deep = Image.new("I;16", (800, 1000), top)
    deep.paste(Image.new("I;16", (200, 250), top // 10), (0, 0))
    (page,) = pages(encoded(deep, kind, dpi=(100, 100)))
    assert size(page) == pytest.approx((2, 2.5), abs=0.05)
    assert page.image.getextrema()[1] == 255


@pytest.mark.parametrize(("bottom", "top"), [(0, 1.0), (0, 255.0), (0, 70000.0), (-0.2, 4.2), (-3.0, -1.0)])
def test_floating_point_greys(pages: Pages, bottom: float, top: float) -> None:
    deep = Image.new("F", (800, 1000), top)
    deep.paste(bottom, (0, 0, 200, 250))
    (page,) = pages(encoded(deep, "TIFF", dpi=(100, 100)))
    assert size(page) == pytest.approx((2, 2.5), abs=0.05)


def test_cmyk_lab_and_ycbcr(pages: Pages) -> None:
    colours = scene().convert("RGB")
    lab = Image.merge("LAB", (scene(), Image.new("L", (800, 1000), 128), Image.new("L", (800, 1000), 128)))
    for data in (
        encoded(colours.convert("CMYK"), "JPEG", dpi=(100, 100)),
        encoded(colours.convert("CMYK"), "TIFF", dpi=(100, 100)),
        encoded(colours.convert("YCbCr"), "JPEG", dpi=(100, 100)),
        encoded(lab, "TIFF", dpi=(100, 100)),
    ):
        (page,) = pages(data)
        assert size(page) == pytest.approx((2, 2.5), abs=0.1)


def tagged(data: bytes, **tags: int | tuple[int, ...]) -> bytes:
    """A TIFF of 800 x 1000 points as one strip; ``tags``: by their numbers, ``t256`` for 256."""
    known: dict[str, int | tuple[int, ...]] = {
        "t256": 800,
        "t257": 1000,
        "t259": 1,
        "t273": 8,
        "t278": 1000,
        "t279": len(data),
    }
    entries, beside = b"", b""
    tags = dict(sorted((known | tags).items()))
    end = 8 + len(data) + 2 + 12 * len(tags) + 4
    for name, value in tags.items():
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"<{len(values)}I", *values)
        if len(values) > 1:
            packed, beside = struct.pack("<I", end + len(beside)), beside + packed
        entries += struct.pack("<HHI", int(name[1:]), 4, len(values)) + packed
    return (
        b"II*\0" + struct.pack("<I", 8 + len(data)) + data + struct.pack("<H", len(tags)) + entries + bytes(4) + beside
    )


@pytest.mark.parametrize("deep", [Image.new("I;16", (800, 1000)), Image.new("F", (800, 1000))])
def test_many_bits_whose_white_is_zero(pages: Pages, deep: Image.Image) -> None:
    deep.paste(60000 if deep.mode == "I;16" else 1, (0, 0, 200, 250))
    bits, kind = (16, 1) if deep.mode == "I;16" else (32, 3)
    (page,) = pages(tagged(deep.tobytes(), t258=bits, t262=0, t277=1, t339=kind))
    assert size(page) == pytest.approx((200 / 96, 250 / 96), abs=0.05)


def test_colours_of_sixteen_bits_that_lie_apart_are_understood(pages: Pages) -> None:
    strips = tuple(8 + 1_600_000 * band for band in range(3))
    points = scene().point(lambda v: v * 257, "I").convert("I;16").tobytes() * 3
    (page,) = pages(tagged(points, t258=(16,) * 3, t262=2, t273=strips, t277=3, t279=(1_600_000,) * 3, t284=2))
    assert size(page) == pytest.approx((2 * 100 / 96, 2.5 * 100 / 96), abs=0.1)


def test_colours_that_are_fewer_than_the_greys_are_understood(pages: Pages) -> None:
    greys, points = scene().tobytes(), bytearray()
    for row in range(0, 800_000, 1600):
        for at in range(row, row + 800, 2):  # four greys and two colours
            points += greys[at : at + 2] + greys[at + 800 : at + 802] + b"\x80\x80"
    (page,) = pages(tagged(bytes(points), t258=(8, 8, 8), t262=6, t277=3, t530=(2, 2)))
    assert size(page) == pytest.approx((2 * 100 / 96, 2.5 * 100 / 96), abs=0.1)


def test_what_pillow_would_read_as_another_picture_is_refused(refusal: Refusal) -> None:
    raw = tagged(bytes(800_000), t254=1, t258=8, t262=1, t277=1, t330=8)
    assert refusal(raw).public == "x.bin is a raw photo, of which only a thumbnail can be read; send it as JPEG or PDF"
    deep = tagged(b"\xff\xff\xff\xff" * 800_000, t258=32, t262=1, t277=1)
    assert "rare kind" in refusal(deep).public


@pytest.mark.parametrize("opaque", [0, 255])
def test_a_screenshot_whose_transparency_was_left_empty_is_seen(pages: Pages, opaque: int) -> None:
    image = scene().convert("RGBA")
    image.putalpha(opaque)
    points = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes("raw", "BGRA")
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    head = struct.pack("<IiiHHIIiiII", 124, 800, 1000, 1, 32, 3, len(points), 3937, 3937, 0, 0) + masks
    data = b"BM" + struct.pack("<IHHI", 138 + len(points), 0, 0, 138) + head + bytes(124 - len(head)) + points
    (page,) = pages(data)
    assert size(page) == pytest.approx((2, 2.5), abs=0.1)


def test_a_tiff_whose_transparency_was_left_empty_is_seen(pages: Pages) -> None:
    points = Image.merge("RGBA", [*scene().convert("RGB").split(), Image.new("L", (800, 1000))]).tobytes()
    (page,) = pages(tagged(points, t258=(8, 8, 8, 8), t262=2, t277=4))
    assert page.image.getextrema() == (0, 255)


def test_a_palette_of_eight_bits_is_understood(pages: Pages) -> None:
    frame = scene().quantize(4)
    reds, greens, blues = ((frame.getpalette() or [])[colour::3] for colour in range(3))
    eight = tuple(value for colours in (reds, greens, blues) for value in (colours + [0] * 256)[:256])
    (page,) = pages(tagged(frame.tobytes(), t258=8, t262=3, t277=1, t320=eight))
    assert size(page) == pytest.approx((2 * 100 / 96, 2.5 * 100 / 96), abs=0.1)


@pytest.mark.parametrize("mode", ["RGBa", "La", "PA", "HSV", "RGBX", "I;16B"])
def test_modes_that_few_files_have(mode: str) -> None:
    grey = picture._grey(Image.new(mode, (40, 40)))
    assert grey.mode == "L"


def test_an_animation_is_one_page(pages: Pages) -> None:
    frames = [scene(), Image.new("L", (800, 1000), 0)]
    for kind in ("GIF", "WEBP", "PNG"):
        (page,) = pages(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert page.image.getextrema() == (0, 255)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("first", ["white", "clear"])
def test_an_animation_that_begins_blank_shows_what_comes(pages: Pages, kind: str, first: str) -> None:
    blank = Image.new("RGBA", (800, 1000), (255, 255, 255, 0 if first == "clear" else 255))
    (page,) = pages(encoded(blank, kind, save_all=True, append_images=[scene().convert("RGBA"), blank]))
    assert page.image.getextrema()[0] < 50
    (page,) = pages(encoded(blank, kind, save_all=True, append_images=[blank, blank]))
    assert page.image.getextrema() == (255, 255)


def test_a_photo_with_more_pictures_in_its_file_is_one_page(pages: Pages) -> None:
    assert len(pages(encoded(scene().convert("RGB"), "MPO", save_all=True, append_images=[photo(64, 64)]))) == 1


# --- size and direction -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_was_held_differently(pages: Pages, kind: str, orientation: int) -> None:
    seen = scene(600, 700)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> the transposition that stores it so
    stored = seen.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else seen
    exif = Image.Exif()
    exif[0x0112] = orientation
    (page,) = pages(encoded(stored, kind, exif=exif, dpi=(100, 100)))
    left, _, right, bottom = bounds(page)
    assert left < 3, "the black corner is on the left"
    assert right < 4.3
    assert bottom < 3


@pytest.mark.parametrize("orientation", [1, 6])
def test_oblong_points_turn_with_the_picture(pages: Pages, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    black = Image.new("L", (400, 400), 0)
    (page,) = pages(encoded(black, "TIFF", exif=exif, dpi=(200, 100)))
    assert size(page) == pytest.approx((2, 4) if orientation == 1 else (4, 2), abs=0.05)


@pytest.mark.parametrize("dpi", [(150, 150), (300, 300), (600, 600), (204, 98), (204, 196), (204, 391), (200, 100)])
def test_a_scan_prints_at_its_own_size(pages: Pages, dpi: tuple[int, int]) -> None:
    black = Image.new("1", (dpi[0] * 4, dpi[1] * 5), 0)
    (page,) = pages(encoded(black, "TIFF", compression="group4", dpi=dpi))
    assert size(page) == pytest.approx((4, 5), abs=0.05)


def test_centimetres_are_understood(pages: Pages) -> None:
    black = Image.new("L", (800, 1000), 0)
    (page,) = pages(encoded(black, "TIFF", resolution=80, resolution_unit="cm"))
    assert size(page) == pytest.approx((800 / 203.2, 1000 / 203.2), abs=0.05)


def test_a_photo_fills_the_page(pages: Pages) -> None:
    for resolution in ({}, {"dpi": (72, 72)}, {"dpi": (1, 1)}):
        (page,) = pages(encoded(Image.new("L", (3000, 4000), 0), "JPEG", **resolution))
        width, height = size(page)
        assert width > 8
        assert height == pytest.approx(width * 4 / 3, rel=0.02)


def test_a_landscape_photo_is_turned(pages: Pages) -> None:
    (page,) = pages(encoded(Image.new("L", (4000, 3000), 0), "JPEG"))
    width, height = size(page)
    assert height == pytest.approx(width * 4 / 3, rel=0.02)
    assert height > 10
    (page,) = pages(encoded(scene(1100, 850), "PNG", dpi=(100, 100)))
    left, top, *_ = bounds(page)
    assert (left > 4, top < 3) == (True, True), "clockwise, as a page of a PDF"


@pytest.mark.parametrize("dpi", [{}, {"dpi": (150, 150)}])
def test_a_panorama_keeps_its_shape_on_a_long_page(pages: Pages, dpi: dict[str, tuple[int, int]]) -> None:
    wide = Image.new("L", (6000, 800), 255)
    ImageDraw.Draw(wide).rectangle((100, 100, 1600, 400), fill=0)  # five times as wide as high
    (page,) = pages(encoded(wide, "PNG", **dpi))
    across, down = size(page)
    assert down / across == pytest.approx(5, rel=0.05)
    assert bounds(page)[3] < page.image.height / page.y_dpi / 2  # turned as other landscape pictures are


def test_a_small_picture_is_not_blown_up(pages: Pages) -> None:
    (page,) = pages(encoded(Image.new("L", (192, 96), 0), "PNG"))
    assert size(page) == pytest.approx((2, 1), abs=0.05)


def test_a_large_jpeg_is_decoded_no_larger_than_needed(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, int]] = []
    scaled = picture._scaled

    def spy(grey: Image.Image, *more: int) -> Image.Image:
        decoded.append(grey.size)
        return scaled(grey, *more)

    monkeypatch.setattr(picture, "_scaled", spy)
    data = encoded(scene(4000, 5200), "JPEG", dpi=(600, 600))
    (page,) = pages(data)
    assert decoded == [(2000, 2600)]
    assert size(page) == pytest.approx((1000 / 600, 1300 / 600), abs=0.03)


@pytest.mark.parametrize("resolution", ["fine", "standard"])
def test_the_resolution_of_the_fax_does_not_change_the_size(pages: Pages, resolution: str) -> None:
    (page,) = pages(encoded(Image.new("L", (600, 900), 0), "PNG", dpi=(150, 150)), resolution=resolution)
    assert size(page) == pytest.approx((4, 6), abs=0.05)


# --- fax TIFF ---------------------------------------------------------------------------------------------------------


def tiff(image: Image.Image, compression: str | None = "group4", **tags: Any) -> bytes:
    """A TIFF with tags set by name."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    numbers = {"fill_order": 266, "subfile": 254}
    for name, value in tags.items():
        directory[numbers[name]] = value
    return encoded(image, "TIFF", compression=compression, dpi=(204, 196), tiffinfo=directory)


def stripped(image: Image.Image, rows: int, *, inverted: bool = False) -> bytes:
    """A TIFF of several G4 strips, put together by hand; ``inverted``: written with black for white, and says so."""
    if inverted:
        image = ImageChops.invert(image.convert("L")).convert("1")
    strips = []
    for top in range(0, image.height, rows):
        piece = image.crop((0, top, image.width, min(image.height, top + rows)))
        one = raster.g4(piece, 196)
        with Image.open(io.BytesIO(one)) as opened:
            (offset,), (length,), photometric = opened.tag_v2[273], opened.tag_v2[279], opened.tag_v2[262]
        strips.append(one[offset : offset + length])
    entries: list[tuple[int, int, list[int]]] = [
        (256, 4, [image.width]), (257, 4, [image.height]), (258, 3, [1]), (259, 3, [4]), (262, 3, [photometric ^ inverted]),
        (273, 4, [0] * len(strips)), (277, 3, [1]), (278, 4, [rows]), (279, 4, [len(strip) for strip in strips]),
    ]  # fmt: skip
    after = 8 + 2 + 12 * len(entries) + 4
    place = after + (8 * len(strips) if len(strips) > 1 else 0)  # their lists stand between
    offsets = []
    for strip in strips:
        offsets.append(place)
        place += len(strip)
    entries[5] = (273, 4, offsets)
    directory, beyond = struct.pack("<H", len(entries)), b""
    for tag, kind, values in entries:
        packed = struct.pack(f"<{len(values)}{'I' if kind == 4 else 'H'}", *values)
        if len(packed) > 4:
            value = struct.pack("<I", after + len(beyond))
            beyond += packed
        else:
            value = packed.ljust(4, b"\0")
        directory += struct.pack("<HHI", tag, kind, len(values)) + value
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + beyond + b"".join(strips)


def as_is(page: Page, image: Image.Image) -> bool:
    return page.image.mode == "1" and page.image.tobytes() == image.tobytes()


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", "tiff_lzw", "packbits", None])
def test_a_fax_page_goes_out_bit_for_bit(pages: Pages, compression: str | None) -> None:
    image = fax_page()
    (page,) = pages(tiff(image, compression))
    assert as_is(page, image)
    assert page.y_dpi == 196


@pytest.mark.parametrize(
    ("dpi", "height", "rows"), [((204, 98), 1146, 98), ((204, 196), 2292, 196), ((200, 100), 1100, 98), ((200, 200), 2200, 196)]
)  # fmt: skip
def test_fax_resolutions_are_kept(pages: Pages, dpi: tuple[int, int], height: int, rows: int) -> None:
    image = fax_page(height)
    (page,) = pages(encoded(image, "TIFF", compression="group4", dpi=dpi))
    assert as_is(page, image)
    assert page.y_dpi == rows


@pytest.mark.parametrize(("height", "rows"), [(2292, 196), (1146, 98)])
def test_a_fax_page_that_says_no_resolution_has_the_likely_one(pages: Pages, height: int, rows: int) -> None:
    image = fax_page(height)
    (page,) = pages(encoded(image, "TIFF", compression="group4"))
    assert as_is(page, image)
    assert page.y_dpi == rows


@pytest.mark.parametrize("said", [(204.0, 98.0), (2.0, 1.0), (8.0, 3.85)])
@pytest.mark.parametrize("unit", [1, 2])
@pytest.mark.parametrize("width", [1728, 2048])
def test_points_without_a_size_keep_their_shape(pages: Pages, said: tuple[float, float], unit: int, width: int) -> None:
    black = Image.new("1", (width, 1550), 0)
    tags = {282: said[0], 283: said[1], 296: unit}
    (page,) = pages(encoded(black, "TIFF", compression="group4", tiffinfo=tags))
    across, down = size(page)
    assert down / across == pytest.approx((1550 / 98) / (width / 204), rel=0.05)


@pytest.mark.parametrize("said", [1.0, 72.0, 96.0])
def test_the_numbers_of_a_screen_without_a_unit_are_no_resolution(pages: Pages, said: float) -> None:
    image = fax_page().crop((0, 0, 1728, 1100))
    tags = {282: said, 283: said, 296: 1}
    (page,) = pages(encoded(image, "TIFF", compression="group4", tiffinfo=tags))
    assert page.y_dpi == raster.STANDARD
    assert as_is(page, image)


def test_a_png_says_the_shape_of_its_points(pages: Pages) -> None:
    data = encoded(Image.new("L", (1600, 1000), 0), "PNG", dpi=(200, 100))
    at = data.index(b"pHYs")
    shape = b"pHYs" + struct.pack(">IIB", 2, 1, 0)
    data = data[:at] + shape + struct.pack(">I", zlib.crc32(shape)) + data[at + len(shape) + 4 :]
    across, down = size(pages(data)[0])
    assert down / across == pytest.approx(2000 / 1600, rel=0.02)


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_a_fax_page_that_is_not_turned_goes_out_bit_for_bit(pages: Pages, orientation: int) -> None:
    image = fax_page()
    entry = struct.pack("<HHI", 0x0112, 3, 1)
    data = encoded(image, "TIFF", compression="group4", dpi=(204, 196), tiffinfo={0x0112: 1})
    assert entry in data
    (page,) = pages(data.replace(entry + b"\1", entry + bytes([orientation])))
    assert as_is(page, image)


def test_superfine_keeps_its_shape(pages: Pages) -> None:
    (page,) = pages(encoded(Image.new("1", (1728, 4584), 0), "TIFF", compression="group4", dpi=(204, 391)))
    width, height = size(page)
    assert height / width == pytest.approx((4584 / 391) / (1728 / 204), rel=0.02)


def test_both_fill_orders(pages: Pages) -> None:
    image = fax_page()
    for order in (1, 2):
        (page,) = pages(tiff(image, "group4", fill_order=order))
        assert as_is(page, image)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("rows", [8, 100, 1000, 4000])
def test_several_strips_and_black_as_zero_or_one(pages: Pages, rows: int, inverted: bool) -> None:
    image = fax_page()
    (page,) = pages(stripped(image, rows, inverted=inverted))
    assert as_is(page, image)


def test_every_page_of_a_tiff_in_order_with_its_own_resolution(pages: Pages) -> None:
    images = [fax_page(2292, 1), fax_page(1146, 2), fax_page(2292, 3)]
    out = io.BytesIO()
    with TiffWriter(out, True) as writer:
        for image in images:
            image.save(writer, format="TIFF", compression="group4", dpi=(204, 98 if image.height < 1500 else 196))
            writer.newFrame()
    found = pages(out.getvalue())
    assert [as_is(page, image) for page, image in zip(found, images, strict=True)] == [True] * 3
    assert [page.y_dpi for page in found] == [196, 98, 196]


def test_a_resolution_is_not_handed_on_to_the_next_page(pages: Pages) -> None:
    out = io.BytesIO()
    with TiffWriter(out, True) as writer:
        fax_page(2292).save(writer, format="TIFF", compression="group4", dpi=(204, 196))
        writer.newFrame()
        fax_page(1146).save(writer, format="TIFF", compression="group4")
        writer.newFrame()
    assert [page.y_dpi for page in pages(out.getvalue())] == [196, 98]


def test_a_thumbnail_is_no_page(pages: Pages) -> None:
    out = io.BytesIO()
    thumbnail = TiffImagePlugin.ImageFileDirectory_v2()
    thumbnail[254] = 1
    with TiffWriter(out, True) as writer:
        fax_page().save(writer, format="TIFF", compression="group4", dpi=(204, 196))
        writer.newFrame()
        photo(100, 100).save(writer, format="TIFF", tiffinfo=thumbnail)
        writer.newFrame()
    assert len(pages(out.getvalue())) == 1
    assert len(pages(tiff(fax_page(), subfile=1))) == 1, "but a page on its own is one, whatever it says"


def test_a_mask_of_a_page_is_no_page(pages: Pages) -> None:
    out = io.BytesIO()
    mask = TiffImagePlugin.ImageFileDirectory_v2()
    mask[254] = 4
    with TiffWriter(out, True) as writer:
        for said in (TiffImagePlugin.ImageFileDirectory_v2(), mask):
            fax_page().save(writer, format="TIFF", compression="group4", dpi=(204, 196), tiffinfo=said)
            writer.newFrame()
    data = out.getvalue()
    assert len(pages(data)) == 1
    kind = data.rindex(struct.pack("<HHI", 262, 3, 1)) + 8
    assert len(pages(data[:kind] + b"\4" + data[kind + 1 :])) == 1, "of a kind of its own, which Pillow does not read"


def test_a_mask_may_stand_before_its_page(pages: Pages) -> None:
    out = io.BytesIO()
    mask = TiffImagePlugin.ImageFileDirectory_v2()
    mask[254] = 4
    with TiffWriter(out, True) as writer:
        for said, image in (
            (mask, Image.new("1", (1728, 2292))),
            (TiffImagePlugin.ImageFileDirectory_v2(), fax_page()),
        ):
            image.save(writer, format="TIFF", compression="group4", dpi=(204, 196), tiffinfo=said)
            writer.newFrame()
    data = out.getvalue()
    kind = data.index(struct.pack("<HHI", 262, 3, 1)) + 8
    (page,) = pages(data[:kind] + b"\4" + data[kind + 1 :])
    assert as_is(page, fax_page())


@pytest.mark.parametrize(("kind", "more"), [(5, 1), (5, 2), (9, None)])
def test_tiffs_of_print_shops(pages: Pages, kind: int, more: int | None) -> None:
    grey = scene()
    bands = [b"\0" * 3 + bytes([255 - v, 255]) if kind == 5 else bytes([v, 128, 128]) for v in range(256)]
    data = b"".join(map(bands.__getitem__, grey.tobytes()))
    tags = {256: 800, 257: 1000, 259: 1, 262: kind, 273: 0, 277: len(bands[0]), 278: 1000, 279: len(data)}
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {**tags, 258: (8,) * len(bands[0]), **({338: more} if more else {})}.items():
        directory[tag] = value
    out = io.BytesIO()
    directory.save(out)
    (page,) = pages(out.getvalue() + data)
    (expected,) = pages(encoded(grey, "TIFF"))
    assert page.image == expected.image


def test_pages_that_all_call_themselves_thumbnails_are_pages(pages: Pages) -> None:
    out = io.BytesIO()
    called = TiffImagePlugin.ImageFileDirectory_v2()
    called[254] = 1
    with TiffWriter(out, True) as writer:
        for _ in range(3):
            fax_page().save(writer, format="TIFF", compression="group4", dpi=(204, 196), tiffinfo=called)
            writer.newFrame()
    assert len(pages(out.getvalue())) == 3


def test_an_upside_down_fax_page_is_turned(pages: Pages) -> None:
    image = fax_page()
    exif = Image.Exif()
    exif[0x0112] = 3
    (page,) = pages(encoded(image, "TIFF", compression="group4", dpi=(204, 196), exif=exif))
    assert not as_is(page, image)
    upright = ImageOps.flip(ImageOps.mirror(image)).convert("L")
    black = to_bilevel(page.image, page.y_dpi).convert("L")
    scaled = upright.resize((1687, black.height)).resize((432, 573), Image.Resampling.BOX)
    shown = black.crop((20, 0, 1708, black.height)).resize((432, 573), Image.Resampling.BOX)
    assert sum(ImageChops.difference(scaled, shown).histogram()[128:]) < 432 * 573 * 0.05


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("GIF", {}), ("BMP", {}), ("WEBP", {}), ("TIFF", {}),
     ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "jpeg"})],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_picture_cut_off_is_refused(refusal: Refusal, kind: str, options: dict[str, Any], share: float) -> None:
    whole = encoded(photo(600, 800), kind, **options)
    refused = refusal(whole[: int(len(whole) * share)])
    assert "damaged" in refused.public
    assert "send it again" in refused.public
    assert refused.status == "5.6.1"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_nothing_but_its_end_is_shown(pages: Pages, refusal: Refusal, progressive: bool) -> None:
    whole = encoded(photo(600, 800), "JPEG", progressive=progressive)
    (page,) = pages(whole)
    for data in (whole[:-2], whole[:-2] + bytes(3000), whole + bytes(3000)):
        assert pages(data)[0].image.tobytes() == page.image.tobytes()
        assert picture.inside(data, "x.bin", 300).size == (300, 400)
    assert "damaged" in refusal(whole[: len(whole) * 9 // 10] + bytes(3000)).public


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_fax_page_cut_off_is_refused(refusal: Refusal, compression: str, share: float) -> None:
    whole = tiff(fax_page(), compression)
    refusal(whole[: int(len(whole) * share)])


def test_a_tiff_cut_off_between_its_pages_is_refused(pages: Pages) -> None:
    out = io.BytesIO()
    pictures = [fax_page(2292, seed) for seed in range(4)]
    pictures[0].save(out, "TIFF", compression="group4", dpi=(204, 196), save_all=True, append_images=pictures[1:])
    whole = out.getvalue()
    last = whole.rindex(b"\x01\x01\x03\x00") - 30  # somewhere in the last directory
    for length in range(200, last, 61):
        with pytest.raises(Unfaxable):
            pages(whole[:length])


def test_lines_that_cannot_be_decoded_are_not_sent_as_white(refusal: Refusal) -> None:
    whole = bytearray(tiff(fax_page(), "group4"))
    dice = random.Random(1)
    for _ in range(20):
        whole[dice.randrange(300, len(whole) - 500)] ^= 1 << dice.randrange(8)
    assert refusal(bytes(whole)).public == "x.bin holds a damaged fax page; send it again"


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("coding", [2, 3, 4])
def test_a_fax_page_whose_data_end_early_is_not_filled(pages: Pages, refusal: Refusal, coding: int, order: int) -> None:
    """Nothing is missing in the file but rows: it says that its data are as long as they are."""
    page = Image.new("1", (raster.WIDTH, 2156), 1)
    for row in range(100, 2100, 50):
        ImageDraw.Draw(page).text((100, row), f"line {row} of a letter", fill=0)
    name = {2: "tiff_ccitt", 3: "group3", 4: "group4"}[coding]
    file = tiff(page, name)
    with Image.open(io.BytesIO(file)) as whole:
        (at,), (size,) = (whole.tag_v2[tag] for tag in (273, 279))  # type: ignore[attr-defined]
    data = file[at : at + size]
    if order == 2:
        data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)

    def with_data(data: bytes) -> bytes:
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        said = {256: page.width, 257: page.height, 258: 1, 259: coding, 262: 0, 266: order, 273: 0, 278: page.height}
        for tag, value in {**said, 279: len(data)}.items():
            tags[tag] = value
        out = io.BytesIO()
        tags.save(out)
        return out.getvalue() + data

    assert len(pages(with_data(data))) == 1
    assert len(pages(with_data(data[: -4 if coding == 4 else None]))) == 1  # without the mark of its end
    for share in (0.3, 0.5, 0.7, 0.9):
        refused = refusal(with_data(data[: int(len(data) * share)])).public
        assert coding == 2 or "fax page" in refused
    if coding == 4:  # zeros, as of a block of a disk
        half = len(data) // 2
        assert "fax page" in refusal(with_data(data[:half] + bytes(64) + data[half + 64 :])).public


def test_a_fax_page_that_says_a_wrong_coding_is_not_empty(pages: Pages, refusal: Refusal) -> None:
    framed, empty = (Image.new("1", (1728, 2200), 1) for _ in range(2))
    ImageDraw.Draw(framed).rectangle((100, 100, 1627, 2099), outline=0, width=9)
    for options in (0, 1):
        for image in (framed, empty):
            assert pages(encoded(image, "TIFF", compression="group3", dpi=(204, 196), tiffinfo={292: options}))
    for rows in (1601, 1602, 1603):  # of which the last strip has one, two or three
        strips = encoded(
            empty.crop((0, 0, 1728, rows)), "TIFF", compression="group3", dpi=(204, 196), tiffinfo={292: 1, 278: 16}
        )
        assert pages(strips)
    by_lines = encoded(framed, "TIFF", compression="group3", dpi=(204, 196), tiffinfo={292: 0})
    entry = struct.pack("<HHI", 292, 4, 1)
    assert entry in by_lines
    assert "T4Options" in refusal(by_lines.replace(entry + b"\0", entry + b"\1")).public


def test_a_few_lines_damaged_on_the_line_are_no_damaged_document(pages: Pages) -> None:
    whole = bytearray(tiff(fax_page(), "group3"))
    dice = random.Random(1)
    for _ in range(3):
        whole[dice.randrange(2000, len(whole) - 500)] ^= 1 << dice.randrange(8)
    assert len(pages(bytes(whole))) == 1


def test_more_pages_than_there_is_room_for_are_refused(refusal: Refusal) -> None:
    out = io.BytesIO()
    fax_page().save(out, "TIFF", compression="group4", save_all=True, append_images=[fax_page()] * 4)
    assert (
        refusal(out.getvalue(), room=3).public == "x.bin has 5 pages, and the fax has room for 3 more; send it in parts"
    )


@pytest.mark.parametrize(("mode", "bytes_each"), [("1", 1 / 8), ("RGB", 3)])
def test_more_pixels_than_a_fax_needs_are_refused(refusal: Refusal, mode: str, bytes_each: float) -> None:
    side = 11_000
    header = encoded(Image.new(mode, (8, 8)), "BMP")
    data = bytearray(header)
    struct.pack_into("<ii", data, 18, side, side)
    assert "too many pixels" in refusal(bytes(data)).public
