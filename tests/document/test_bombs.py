"""Documents made to hurt: each ends as pages, or as a refusal that names it, within its limits, and the next is served."""

from __future__ import annotations

import asyncio
import re
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pikepdf
import pytest
import pytest_asyncio
from pikepdf import Array, Dictionary, Name, Stream

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.errors import GatewayError, Refused, TryLater

from .conftest import Fax
from .made import LETTER, Sheet, letter, letters, saved
from .made import pdf as pdf_of

MEMORY = 512 << 20


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(1, WorkerLimits(timeout=60, memory=MEMORY))
    await pool.start()
    yield pool
    await pool.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def impatient_pool() -> AsyncIterator[WorkerPool]:
    """For what would take as long as it may."""
    pool = WorkerPool(1, WorkerLimits(timeout=3, memory=MEMORY))
    await pool.start()
    yield pool
    await pool.close()


class Sender:
    """Sends one document through a worker."""

    def __init__(self, pool: WorkerPool, fax: Fax) -> None:
        self._pool = pool
        self._fax = fax

    async def send(self, *parts: dict[str, Any], **options: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self._pool.run(
            "gateway.document.render:render", parts=list(parts), left_out=[], out=str(self._fax.out), options=options
        )
        return made

    async def outcome(self, data: bytes, role: str = "attachment", **options: Any) -> int | GatewayError:
        """The pages of a document called ``x.bin``, or what was raised; either way the next one is served in time."""
        part = self._fax.part("x.bin", data, role)
        outcome: int | GatewayError
        try:
            outcome = (await self.send(part, **options))["pages"]
        except (Refused, TryLater) as error:
            outcome = error
        assert isinstance(outcome, int) or "x.bin" in outcome.public
        assert (await self.send(self._fax.text("still here")))["pages"] == 1
        return outcome


@pytest.fixture
def sender(pool: WorkerPool, fax: Fax) -> Sender:
    return Sender(pool, fax)


@pytest.fixture
def impatient(impatient_pool: WorkerPool, fax: Fax) -> Sender:
    return Sender(impatient_pool, fax)


pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


def refused(outcome: int | GatewayError, because: str, kind: type[GatewayError] = Refused) -> bool:
    return isinstance(outcome, kind) and re.search(because, outcome.public) is not None


# --- pictures ---------------------------------------------------------------------------------------------------------


def png(width: int, height: int, *, colour: int = 0, bits: int = 1) -> bytes:
    """A white picture of any size, a row of zeros compressed thousandfold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + b"\xff" * -(-width * bits * (3 if colour == 2 else 1) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(*tags: tuple[int, int, int, int], after: int = 0, data: bytes = b"\0" * 64) -> bytes:
    """A little-endian TIFF of one directory with these raw entries (tag, type, count, value)."""
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", after) + data


def plain_tiff(width: int, height: int, *more: tuple[int, int, int, int], **rest: Any) -> bytes:
    base = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 1), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 200),
            278: (4, 1, height), 279: (4, 1, 64)}  # fmt: skip
    base |= {tag: tuple(entry) for tag, *entry in more}
    return tiff(*((tag, *entry) for tag, entry in base.items()), **rest)


PICTURES: dict[str, Callable[[], bytes]] = {
    "900 million points": lambda: png(30000, 30000),
    "a line of 2 thousand million": lambda: png(0x7FFFFFFF, 1),
    "a TIFF as wide as numbers go": lambda: plain_tiff(0xFFFFFFFF, 0xFFFFFFFF),
    "a TIFF of 4 thousand million strips": lambda: plain_tiff(1000, 1000, (273, 4, 0xFFFFFFFF, 8)),
    "a TIFF with strips outside": lambda: plain_tiff(1000, 1000, (273, 4, 1, 0x7FFFFFF0)),
    "a TIFF with a tag of 4 GB": lambda: plain_tiff(100, 100, (270, 2, 0xFFFFFFFF, 8)),
    "a TIFF with impossible bits": lambda: plain_tiff(100, 100, (258, 3, 1, 65535)),
    "a TIFF without anything": tiff,
    "a TIFF of strange types": lambda: plain_tiff(100, 100, (256, 99, 7, 7)),
    "a TIFF of G4 rubbish": lambda: plain_tiff(1728, 2000, (259, 3, 1, 4), data=bytes(range(256)) * 8),
    "a GIF of no size": lambda: b"GIF89a" + b"\0" * 40,
    "a JPEG of no lines": lambda: b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x00\xff\xff\x01\x01\x11\x00\xff\xd9",
    "a BMP of negative size": lambda: b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, -9, -0x7FFFFFFF, 1, 24, 0, 0, 1, 1, 0, 0),
    "a WEBP of nothing": lambda: b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff",
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
async def test_a_picture_that_is_none_is_refused_by_name(sender: Sender, name: str) -> None:
    outcome = await sender.outcome(PICTURES[name]())
    assert refused(outcome, "too many pixels|damaged|empty"), outcome


async def test_a_directory_that_follows_itself_is_one_page(sender: Sender) -> None:
    assert await sender.outcome(plain_tiff(8, 8, after=8, data=b"\xff" * 300)) == 1


async def test_the_largest_picture_allowed_is_within_the_limits(sender: Sender) -> None:
    outcome = await sender.outcome(png(12000, 9999, bits=8))
    assert outcome == 1 or refused(outcome, "needs more memory"), outcome


async def test_colour_beyond_the_memory_is_refused_by_name(sender: Sender) -> None:
    outcome = await sender.outcome(png(12000, 9999, colour=2, bits=16))
    assert outcome == 1 or refused(outcome, "needs more memory"), outcome


async def test_an_animation_of_thousands_is_one_page(sender: Sender) -> None:
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 20_000 + b";"
    assert await sender.outcome(gif) == 1


async def test_a_tiff_of_thousands_of_pages_is_refused_before_they_are_read(sender: Sender) -> None:
    one = plain_tiff(8, 8, data=b"\xff" * 100)
    size = len(one)
    directory = bytearray(one[8:-100])
    whole = bytearray(one)
    for n in range(3000):
        at = 8 if n == 0 else size + (n - 1) * len(directory)
        struct.pack_into("<I", whole, at + len(directory) - 4, size + n * len(directory) if n < 2999 else 0)
        if n < 2999:
            whole += directory
    assert refused(await sender.outcome(bytes(whole)), "has 3000 pages, and the fax has room for 200 more")


# --- PDF --------------------------------------------------------------------------------------------------------------


def recursive_forms() -> bytes:
    document = pikepdf.new()
    page = letter(1).raw(b"/X0 Do").add_to(document)
    form = document.make_indirect(
        Stream(
            document, b"/X0 Do 0 g 10 10 50 50 re f /X0 Do", Type=Name.XObject, Subtype=Name.Form,
            BBox=Array([0, 0, 612, 792]),
        )
    )  # fmt: skip
    form["/Resources"] = Dictionary(XObject=Dictionary(X0=form))
    page.obj["/Resources"]["/XObject"]["/X0"] = form
    return saved(document)


def a_billion_forms() -> bytes:
    """Each form draws the next ten times."""
    document = pikepdf.new()
    page = letter(1).raw(b"/X0 Do").add_to(document)
    below = None
    for depth in range(9, -1, -1):
        content = b"/N Do " * 10 if below is not None else b"0 g 1 1 5 5 re f"
        form = Stream(document, content, Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 612, 792]))
        if below is not None:
            form["/Resources"] = Dictionary(XObject=Dictionary(N=below))
        below = document.make_indirect(form)
        assert depth >= 0
    page.obj["/Resources"]["/XObject"]["/X0"] = below
    return saved(document)


def circular_page_tree() -> bytes:
    whole = letters(1, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    number = re.search(rb"/Pages (\d+) 0 R", whole)
    assert number
    return re.sub(rb"/Kids \[[^]]*\]", b"/Kids [ %s 0 R ]" % number[1], whole)


def deep_page_tree() -> bytes:
    document = pikepdf.new()
    letter(1).add_to(document)
    node = document.Root.Pages
    for _ in range(3000):
        node = document.make_indirect(Dictionary(Type=Name.Pages, Kids=Array([node]), Count=1))
    document.Root.Pages = node
    return saved(document, object_stream_mode=pikepdf.ObjectStreamMode.disable)


def deep_arrays() -> bytes:
    document = pikepdf.new()
    letter(1).raw(b"[" * 200_000).add_to(document)
    whole = saved(document, compress_streams=False, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return whole.replace(b"/Type /Catalog", b"/Type /Catalog /X " + b"[" * 50_000 + b"]" * 50_000)


def inflated(content: bytes, times: int) -> bytes:
    document = pikepdf.new()
    document.add_blank_page(page_size=LETTER)
    packed = content
    for _ in range(times):
        packed = zlib.compress(packed, 9)
    stream = Stream(document, b"")
    stream.write(packed, filter=Array([Name.FlateDecode] * times))
    document.pages[0].Contents = stream
    return saved(document, compress_streams=False)


def huge_picture() -> bytes:
    document = pikepdf.new()
    page = letter(1).raw(b"q 612 0 0 792 0 0 cm /I0 Do Q").add_to(document)
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(15000 * 3)) for _ in range(15000)) + packer.flush()
    picture = Stream(
        document, b"", Type=Name.XObject, Subtype=Name.Image, Width=15000, Height=15000, ColorSpace=Name.DeviceRGB,
        BitsPerComponent=8,
    )  # fmt: skip
    picture.write(rows, filter=Name.FlateDecode)
    page.obj["/Resources"]["/XObject"]["/I0"] = picture
    return saved(document)


def endless_pattern() -> bytes:
    document = pikepdf.new()
    page = letter(1).raw(b"/Pattern cs /P scn 0 0 612 792 re f").add_to(document)
    page.obj["/Resources"]["/Pattern"] = Dictionary(
        P=Stream(
            document, b"0 g 0 0 1 1 re f", PatternType=1, PaintType=1, TilingType=1, BBox=Array([0, 0, 1, 1]),
            XStep=0.0001, YStep=0.0001, Resources=Dictionary(),
        )
    )  # fmt: skip
    return saved(document)


def a_million_lines() -> bytes:
    sheet = Sheet().raw(b"0 w " + b"".join(b"%d 0 m %d 792 l S " % (n % 612, n * 7 % 612) for n in range(300_000)))
    return pdf_of([sheet])


def masks_in_masks(depth: int) -> bytes:
    """A black page behind a mask that lets all of it through, behind another, and so on."""
    document = pikepdf.new()
    document.add_blank_page(page_size=LETTER)
    states, content = Dictionary(), b"1 g 0 0 612 792 re f"
    for _ in range(depth):
        mask = Stream(
            document, content, Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, *LETTER]),
            Group=Dictionary(S=Name.Transparency, CS=Name.DeviceGray), Resources=Dictionary(ExtGState=states),
        )  # fmt: skip
        states = Dictionary(G=Dictionary(SMask=Dictionary(S=Name.Luminosity, G=document.make_indirect(mask))))
        content = b"/G gs 1 g 0 0 612 792 re f"
    document.pages[0].obj.Resources = Dictionary(ExtGState=states)
    document.pages[0].obj.Contents = Stream(document, b"/G gs 0 g 0 0 612 792 re f")
    return saved(document)


def jpeg_2000(width: int, height: int) -> bytes:
    """A picture of which there is only a head (ISO 15444-1 annex A) that says so."""
    size = struct.pack(">HHHIIIIIIIIH", 0xFF51, 47, 0, width, height, 0, 0, width, height, 0, 0, 3) + b"\7\1\1" * 3
    coding = bytes.fromhex("ff52 000c 00 00 0001 00 05 04 04 00 01 ff5c 0013 40") + b"\x40" * 16
    data = b"\xff\x4f" + size + coding + bytes.fromhex("ff90 000a 0000 00000000 0001 ff93 ffd9")
    document = pikepdf.new()
    page = Sheet().raw(b"q 612 0 0 792 0 0 cm /I0 Do Q").add_to(document)
    picture = Stream(
        document, data, Type=Name.XObject, Subtype=Name.Image, Width=width, Height=height, BitsPerComponent=8
    )
    picture.ColorSpace, picture.Filter = Name.DeviceRGB, Name.JPXDecode
    page.obj.Resources = Dictionary(XObject=Dictionary(I0=picture))
    return saved(document, compress_streams=False)


def nameless(name: str) -> bytes:
    """Words in a font of this name that is not there."""
    document = pikepdf.new()
    page = Sheet().raw(b"BT /F 20 Tf 50 500 Td <4e004e01> Tj ET").add_to(document)
    inner = Dictionary(
        Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=Name("/" + name),
        CIDSystemInfo=Dictionary(Registry=b"Adobe", Ordering=b"Identity", Supplement=0),
    )  # fmt: skip
    font = Dictionary(
        Type=Name.Font,
        Subtype=Name.Type0,
        BaseFont=Name("/" + name),
        Encoding=Name("/Identity-H"),
        DescendantFonts=Array([inner]),
    )
    page.obj.Resources = Dictionary(Font=Dictionary(F=font))
    return saved(document)


PDFS: dict[str, Callable[[], bytes]] = {
    "forms that draw themselves": recursive_forms,
    "ten thousand million forms": a_billion_forms,
    "a page tree that bites its tail": circular_page_tree,
    "a page tree as deep as a well": deep_page_tree,
    "arrays in arrays": deep_arrays,
    "content that inflates to 200 MB": lambda: inflated(b"\n" * 200_000_000 + b"0 g 1 1 100 100 re f", 1),
    "content deflated three times": lambda: inflated(b"q 1 0 0 1 0 0 cm Q\n" * 5_000_000, 3),
    "a picture of 225 million points": huge_picture,
}


@pytest.mark.parametrize("name", PDFS)
async def test_a_pdf_made_to_hurt_ends_by_name(sender: Sender, name: str) -> None:
    document = await asyncio.to_thread(PDFS[name])
    outcome = await sender.outcome(document)
    assert outcome == 1 or isinstance(outcome, GatewayError)


async def test_twenty_thousand_pages_are_refused_before_they_are_drawn(sender: Sender) -> None:
    document = pikepdf.new()
    for _ in range(20_000):
        document.add_blank_page(page_size=LETTER)
    assert refused(await sender.outcome(saved(document)), "x.bin has 20000 pages, and the fax has room for 200 more")


async def test_what_the_memory_does_not_suffice_for_is_not_left_out(sender: Sender) -> None:
    assert await sender.outcome(masks_in_masks(3)) == 1
    outcome = await sender.outcome(masks_in_masks(30))
    assert refused(outcome, "x.bin needs more memory to convert than a fax may have"), outcome


async def test_a_picture_that_says_it_is_huge_is_no_crash(sender: Sender) -> None:
    outcome = await sender.outcome(jpeg_2000(60000, 60000))
    assert refused(outcome, "page 1 of x.bin"), outcome


async def test_a_name_in_a_refusal_is_short_and_on_one_line(sender: Sender) -> None:
    outcome = await sender.outcome(nameless("Nowhere\x1b[31m" + "N" * 100_000))
    assert refused(outcome, "has letters of a font .Nowhere.* is neither in the PDF"), outcome
    assert isinstance(outcome, Refused) and outcome.public.isprintable() and len(outcome.public) < 400


# --- text -------------------------------------------------------------------------------------------------------------

TEXTS: dict[str, Callable[[], bytes]] = {
    "one line of 7 MB": lambda: b"x" * (7 << 20),
    "6 MB of marks upon one letter": lambda: b"a" + "\u0301".encode() * (3 << 20),
    "7 MB of form feeds": lambda: b"\f" * (7 << 20) + b".",
    "7 MB of tabs": lambda: b"\t" * (7 << 20) + b".",
    "more than 8 MB": lambda: b"line\n" * (2 << 20),
    "markup that never closes": lambda: b"<html>" + b"<div>" * 200_000 + b"deep",
    "a million attributes": lambda: b"<html><p " + b"a=b " * 500_000 + b">x",
}


@pytest.mark.parametrize("name", TEXTS)
async def test_a_text_made_to_hurt_ends_by_name(sender: Sender, name: str) -> None:
    outcome = await sender.outcome(TEXTS[name](), max_pages=20)
    assert isinstance(outcome, int) or refused(outcome, "pages|too long|more memory")


# --- what takes for ever ----------------------------------------------------------------------------------------------

ENDLESS: dict[str, Callable[[], bytes]] = {
    "an endless pattern": endless_pattern,
    "a million lines": a_million_lines,
    "half-open comments": lambda: b"<html>" + b"<!--" * 200_000,
    "half-open tags": lambda: b"<html>" + b"<a " * 200_000,
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_what_takes_for_ever_is_ended(impatient: Sender, name: str) -> None:
    """Some of it a later version of a library may do in no time."""
    outcome = await impatient.outcome(ENDLESS[name]())
    assert outcome == 1 or refused(outcome, "took longer than 3 seconds", GatewayError)
