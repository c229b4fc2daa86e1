"""Three hundred documents and mails made to hurt, each generated: ``python -m tests.document.bombs`` runs them all.

Each must end as pages or as a refusal that names it, within 60 s of computing and 512 MiB, without one connection to the
listener that half of them ask for, and without a byte of the file that others ask for.
"""

from __future__ import annotations

import asyncio
import base64
import io
import resource
import socket
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pikepdf
from pikepdf import Array, Dictionary, Name, Stream

MEMORY, SECONDS = 512 << 20, 60.0
SECRET = "faxgateway-canary-7391"  # what stands in the file that is not to be read

Make = Callable[["Bait"], bytes]
Case = tuple[str, str, Make]  # name, "document" or "mail", maker


class Bait:
    """Where bombs point: a port that counts connections, a file nobody may read."""

    def __init__(self, port: int, file: str) -> None:
        self.urls = (f"http://127.0.0.1:{port}/x", f"file://{file}", file, f"\\\\127.0.0.1@{port}\\x")
        self.file = file


# --- pictures ---------------------------------------------------------------------------------------------------------


def png(width: int, height: int, colour: int, bits: int, rows: int = 4) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + b"\xff" * min(1 << 20, -(-width * bits // 8))
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * rows)) + chunk(b"IEND", b"")
    )


def tiff(tag: int, kind: int, count: int, value: int) -> bytes:
    base = {256: (4, 1, 1000), 257: (4, 1, 1000), 258: (3, 1, 1), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 200),
            278: (4, 1, 1000), 279: (4, 1, 64)}  # fmt: skip
    base[tag] = (kind, count, value)
    entries = b"".join(struct.pack("<HHII", name, *entry) for name, entry in sorted(base.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(base)) + entries + bytes(4) + b"\x55" * 300


def real_picture(kind: str) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.effect_mandelbrot((300, 200), (-2, -1, 1, 1), 20).save(out, format=kind)
    return out.getvalue()


def cut(kind: str, share: float, _bait: Bait) -> bytes:
    data = real_picture(kind)
    return data[: int(len(data) * share)]


def scrambled(kind: str, seed: int, _bait: Bait) -> bytes:
    import random

    data = bytearray(real_picture(kind))
    chance = random.Random(seed)
    for _ in range(20):
        data[chance.randrange(20, len(data))] = chance.randrange(256)
    return bytes(data)


def pictures() -> Iterator[Case]:
    for colour, depths in ((0, (1, 8, 16)), (2, (8, 16)), (3, (1, 8)), (6, (8, 16))):
        for bits in depths:
            for width, height in ((60000, 60000), (0x7FFFFFFF, 1), (1, 0x7FFFFFFF), (0, 0)):
                yield (
                    f"png {colour}/{bits} {width}x{height}",
                    "document",
                    lambda _, a=(width, height, colour, bits): png(*a),
                )
    for tag in (256, 257, 258, 259, 262, 273, 278, 279, 284, 339, 530):
        for kind, count, value in ((4, 1, 0xFFFFFFFF), (4, 0xFFFFFFFF, 8), (3, 1, 0), (5, 9, 0x7FFFFFFF), (200, 1, 1)):
            yield f"tiff tag {tag} {kind}/{count}/{value}", "document", lambda _, a=(tag, kind, count, value): tiff(*a)
    for kind in ("JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF"):
        for share in (0.1, 0.5, 0.95):
            yield f"{kind} cut at {share}", "document", partial(cut, kind, share)
        for seed in range(3):
            yield f"{kind} scrambled {seed}", "document", partial(scrambled, kind, seed)


# --- PDF --------------------------------------------------------------------------------------------------------------


def pdf(change: Callable[[pikepdf.Pdf, pikepdf.Page], None], content: bytes = b"0 g 100 100 200 200 re f") -> bytes:
    document = pikepdf.new()
    page = document.add_blank_page(page_size=(612, 792))
    page.Contents = Stream(document, content)
    change(document, page)
    out = io.BytesIO()
    document.save(out, compress_streams=False, object_stream_mode=pikepdf.ObjectStreamMode.disable)
    return out.getvalue()


def with_action(action: Callable[[Bait], Dictionary], bait: Bait) -> bytes:
    def change(document: pikepdf.Pdf, page: pikepdf.Page) -> None:
        document.Root.OpenAction = action(bait)
        page.obj.AA = Dictionary(O=action(bait), C=action(bait))

    return pdf(change)


def with_foreign_stream(where: int, bait: Bait) -> bytes:
    """Content, a picture and a form whose data lies elsewhere."""
    target = bait.urls[where]

    def change(document: pikepdf.Pdf, page: pikepdf.Page) -> None:
        spec = Dictionary(Type=Name.Filespec, F=target, UF=target, FS=Name.URL)
        picture = Stream(
            document, b"", Type=Name.XObject, Subtype=Name.Image, Width=9, Height=9, BitsPerComponent=8,
            ColorSpace=Name.DeviceGray, F=spec,
        )  # fmt: skip
        form = Stream(document, b"", Type=Name.XObject, Subtype=Name.Form, BBox=Array([0, 0, 99, 99]), F=spec)
        form.Ref = Dictionary(F=spec, Page=0)
        page.obj.Resources = Dictionary(XObject=Dictionary(I=picture, X=form))

    return pdf(change, b"q 612 0 0 792 0 0 cm /I Do /X Do Q 0 g 1 1 50 50 re f")


ACTIONS: dict[str, Callable[[Bait], Dictionary]] = {
    "JavaScript": lambda b: Dictionary(S=Name.JavaScript, JS=f"while(1){{app.launchURL('{b.urls[0]}');}}"),
    "Launch": lambda _: Dictionary(S=Name.Launch, F="/bin/sh", Win=Dictionary(F="cmd.exe", P="/c calc")),
    "URI": lambda b: Dictionary(S=Name.URI, URI=b.urls[0]),
    "GoToR": lambda b: Dictionary(S=Name.GoToR, F=b.urls[1], D=Array([0, Name.Fit])),
    "SubmitForm": lambda b: Dictionary(S=Name.SubmitForm, F=Dictionary(FS=Name.URL, F=b.urls[0])),
    "ImportData": lambda b: Dictionary(S=Name.ImportData, F=b.urls[1]),
    "Rendition": lambda b: Dictionary(S=Name.Rendition, JS=f"this.submitForm('{b.urls[0]}')"),
}


def boxed(box: list[Any], turn: Any, unit: Any, _bait: Bait) -> bytes:
    def change(_document: pikepdf.Pdf, page: pikepdf.Page) -> None:
        page.obj.MediaBox = Array(box)
        page.obj.Rotate = turn
        page.obj.UserUnit = unit

    return pdf(change)


def packed(filters: list[str], size: int, _bait: Bait) -> bytes:
    data = b"q Q\n" * (size // 4)
    for each in reversed(filters):
        data = {"FlateDecode": lambda d: zlib.compress(d, 9), "ASCIIHexDecode": lambda d: d.hex().encode() + b">",
                "RunLengthDecode": lambda d: d, "LZWDecode": lambda d: d}[each](data)  # fmt: skip

    def change(document: pikepdf.Pdf, page: pikepdf.Page) -> None:
        stream = Stream(document, b"")
        stream.write(data, filter=Array([Name("/" + each) for each in filters]))
        page.Contents = stream

    return pdf(change)


def pdf_cut(share: float, _bait: Bait) -> bytes:
    whole = pdf(lambda *_: None)
    return whole[: int(len(whole) * share)]


def pdf_scrambled(seed: int, _bait: Bait) -> bytes:
    import random

    data = bytearray(pdf(lambda *_: None))
    chance = random.Random(seed)
    for _ in range(12):
        data[chance.randrange(10, len(data))] = chance.randrange(32, 127)
    return bytes(data)


def type3(depth: int, _bait: Bait) -> bytes:
    """A font whose letters are drawn with letters of the font."""

    def change(document: pikepdf.Pdf, page: pikepdf.Page) -> None:
        font = document.make_indirect(
            Dictionary(
                Type=Name.Font, Subtype=Name.Type3, FontBBox=Array([0, 0, 9, 9]), FontMatrix=Array([0.1, 0, 0, 0.1, 0, 0]),
                Encoding=Dictionary(Differences=Array([65, Name.A])), FirstChar=65, LastChar=65, Widths=Array([9]),
            )
        )  # fmt: skip
        font.CharProcs = Dictionary(A=Stream(document, b"9 0 d0 BT /F 9 Tf (" + b"A" * depth + b") Tj ET 0 0 5 5 re f"))
        font.Resources = Dictionary(Font=Dictionary(F=font))
        page.obj.Resources = Dictionary(Font=Dictionary(F=font))

    return pdf(change, b"BT /F 12 Tf 50 500 Td (" + b"A" * depth + b") Tj ET")


def shaded(kind: int, _bait: Bait) -> bytes:
    def change(document: pikepdf.Pdf, page: pikepdf.Page) -> None:
        function = Stream(
            document, b"{ " + b"dup mul " * 3000 + b"}", FunctionType=4, Domain=Array([0, 1]), Range=Array([0, 1])
        )
        page.obj.Resources = Dictionary(
            Shading=Dictionary(S=Dictionary(ShadingType=kind, ColorSpace=Name.DeviceGray, Coords=Array([0, 0, 0, 9, 9, 99]), Function=function))
        )  # fmt: skip

    return pdf(change, b"/S sh " * 300)


def pages(count: int, _bait: Bait) -> bytes:
    document = pikepdf.new()
    page = document.make_indirect(Dictionary(Type=Name.Page, MediaBox=Array([0, 0, 612, 792])))
    document.Root.Pages = document.make_indirect(Dictionary(Type=Name.Pages, Kids=Array([page] * count), Count=count))
    page.Parent = document.Root.Pages
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def pdfs() -> Iterator[Case]:
    for name, action in ACTIONS.items():
        yield f"pdf {name}", "document", partial(with_action, action)
    for where in range(4):
        yield f"pdf with data at {where}", "document", partial(with_foreign_stream, where)
    boxes: list[list[Any]] = [
        [0, 0, 0, 0], [0, 0, -9, -9], [0, 0, 10**9, 10**9], [10**8, 10**8, 10**8 + 612, 10**8 + 792], [612, 792, 0, 0],
        [0, 0, 1, 14400], [0, 0, 14400, 1], [0, 0], ["a", "b", "c", "d"],
    ]  # fmt: skip
    for box in boxes:
        for turn, unit in ((0, 1), (37, 1), (-90, 75000), (2**31, 0)):
            yield f"pdf box {box} {turn} {unit}", "document", partial(boxed, box, turn, unit)
    for filters in (["FlateDecode"], ["FlateDecode"] * 2, ["FlateDecode"] * 4, ["ASCIIHexDecode", "FlateDecode"], ["LZWDecode"], ["RunLengthDecode"]):  # fmt: skip
        for size in (1 << 12, 40 << 20):
            yield f"pdf {'+'.join(filters)} {size}", "document", partial(packed, filters, size)
    for tenth in range(1, 10):
        yield f"pdf cut at {tenth}/10", "document", partial(pdf_cut, tenth / 10)
    for seed in range(16):
        yield f"pdf scrambled {seed}", "document", partial(pdf_scrambled, seed)
    for depth in (1, 30):
        yield f"pdf font of itself {depth}", "document", partial(type3, depth)
    for kind in range(1, 8):
        yield f"pdf shading {kind}", "document", partial(shaded, kind)
    for count in (201, 20_000):
        yield f"pdf of {count} pages", "document", partial(pages, count)


# --- HTML -------------------------------------------------------------------------------------------------------------

LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
SVG = (
    '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "{}"><!ENTITY l0 "ha">' + LAUGHS.replace("{", "{{") + "]>"
    '<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><text y="20">&x;&l9;</text></svg>'
)  # fmt: skip
LAYOUT: dict[str, str] = {
    "deep tables": "<table><tr><td>" * 3000 + "words",
    "deep boxes": "<div style='display:flex'>" * 500 + "words",
    "a cell of all columns": "<table border=1><tr><td colspan=1000000>words<td>x</table>",
    "a cell of all rows": "<table border=1><tr><td rowspan=1000000>words<td>x</table>",
    "a million columns": "<table><colgroup span=1000000><tr><td>words<td>x</table>",
    "10 MB": "<p>words " * 1_100_000,
    "a table of 40,000 cells": "<table border=1>" + ("<tr>" + "<td>words" * 20) * 2000 + "</table>",
    "very wide": "<p style='width:1e30px;border:1e30px solid;padding:1e9px'>words",
    "very large letters": "<p style='font-size:99999999px;line-height:1e9'>words",
    "rules that match all": "<style>" + "".join(f"* * * * *:nth-child({n}n+1) i{{color:red}}" for n in range(900)) + "</style>" + "<b>" * 200 + "<p>words" * 2000,
    "variables of variables": "<style>p{" + "".join(f"--v{n}:var(--v{n - 1}) var(--v{n - 1});" for n in range(1, 60)) + "--v0:x;content:var(--v59);font-family:var(--v59)}</style><p>words",
    "many columns of text": "<div style='columns:1000000'>" + "words " * 5000 + "</div>",
    "a grid of a million": "<div style='display:grid;grid-template-columns:repeat(1000000,1px)'><p>words</div>",
    "counters": "<style>p::before{counter-increment:c 2147483647;content:counters(c,'" + "x" * 9999 + "')}</style>" + "<p>words" * 500,
    "endless margins": "<p style='margin:-1e9px'>words<p style='margin:99999999px;page-break-before:always'>x",
    "a hundred thousand pictures": "<p>words" + "<img src='data:image/png;base64,{png}'>" * 3000,
    "a huge picture": "<p>words<img width=9000000 height=9000000 src='data:image/png;base64,{huge}'>",
    "a path without an end": "<p>words<svg width=9><path d='M0 0" + "l1 1" * 300_000 + "'/></svg>",
    "an image that uses itself": "<p>words<svg><g id=a><use href='#b'/><use href='#b'/></g><g id=b><use href='#a'/><use href='#a'/></g></svg>",
    "a pattern of patterns": "<p>words<svg><defs><pattern id=a width=.0001 height=.0001><rect width=9 height=9 fill='url(#a)'/></pattern></defs><rect width=999 height=999 fill='url(#a)'/></svg>",
}  # fmt: skip


def layout(name: str, _bait: Bait) -> bytes:
    pictures = {"{png}": real_picture("PNG"), "{huge}": png(60000, 2000, 0, 8, 2000)}
    body = "<table><tr><td>a<td>b</table>" + LAYOUT[name]  # which is worth drawing
    for mark, data in pictures.items():
        if mark in body:
            body = body.replace(mark, base64.b64encode(data).decode())
    return f"<html><body>{body}</body></html>".encode()


def svg(where: int, bait: Bait) -> bytes:
    drawing = SVG.format(bait.urls[where])
    data = base64.b64encode(drawing.encode()).decode()
    return f"<html><p>words<table><tr><td>a<td>b</table><img src='data:image/svg+xml;base64,{data}'>{drawing}".encode()


def htmls() -> Iterator[Case]:
    for name in LAYOUT:
        yield f"html of {name}", "document", partial(layout, name)
    for where in (0, 1):
        yield f"html with entities at {where}", "document", partial(svg, where)


# --- text, archives, office -------------------------------------------------------------------------------------

MARKUP = (
    '<img src="{}">', '<img srcset="{} 2x">', '<iframe src="{}"></iframe>', '<link rel="stylesheet" href="{}">',
    "<style>@import url('{}');</style>", '<div style="background:url({})">x</div>', '<object data="{}"></object>',
    '<meta http-equiv="refresh" content="0;url={}">', '<svg><image href="{}"/></svg>', '<base href="{}"><img src="a">',
    "<style>@font-face{{font-family:x;src:url({})}} p{{font-family:x}}</style>", '<embed src="{}">', '<script src="{}"></script>',
    '<!DOCTYPE html [<!ENTITY x SYSTEM "{}">]><p>&x;',
)  # fmt: skip


def html(pattern: str, where: int, bait: Bait) -> bytes:
    return f"<html><body><p>words</p>{pattern.format(bait.urls[where])}</body></html>".encode()


def rtf(where: int, bait: Bait) -> bytes:
    target = bait.urls[where].replace("\\", "\\\\\\\\")
    return rb"{\rtf1 words {\field{\*\fldinst { INCLUDEPICTURE \"%s\" \\d }}{\fldrslt x}}}" % target.encode()


def archive(names: list[str], size: int, _bait: Bait) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packer:
        for name in names:
            packer.writestr(name, b"a" * size)
    return out.getvalue()


def others() -> Iterator[Case]:
    for pattern in MARKUP:
        for where in (0, 1):
            yield f"html {pattern[:20]} at {where}", "document", partial(html, pattern, where)
    for where in range(4):
        yield f"rtf at {where}", "document", partial(rtf, where)
    for opened, closed in ((b"<div>", b""), (b"<table><tr><td>", b""), (b"<b>", b"</i>"), (b"<!--", b"")):
        yield f"html {opened.decode()} deep", "document", lambda _, a=opened, z=closed: b"<html>" + (a + z) * 100_000
    yield "text of one word", "document", lambda _: b"x" * (6 << 20)
    yield "text of marks", "document", lambda _: b"a" + "\u0301".encode() * (1 << 20)
    yield (
        "text of all characters",
        "document",
        lambda _: "".join(map(chr, [*range(32, 0xD800), *range(0xE000, 0x11000)])).encode(),
    )
    for names, size in (
        (["a.txt"], 150 << 20),
        (["../../x", "/etc/x", "C:\\x", "a\0b"], 9),
        ([f"{n}" for n in range(5000)], 1),
    ):
        yield f"zip of {len(names)} x {size}", "document", partial(archive, names, size)


# --- mails ------------------------------------------------------------------------------------------------------------


def nested(depth: int, kind: str, _bait: Bait) -> bytes:
    body = b"Content-Type: text/plain\r\n\r\ndeep\r\n"
    for level in range(depth):
        if kind == "message/rfc822":
            body = b"Content-Type: message/rfc822\r\n\r\n" + body
        else:
            edge = b"b%d" % level
            body = b"Content-Type: %s; boundary=%s\r\n\r\n--%s\r\n%s\r\n--%s--\r\n" % (
                kind.encode(),
                edge,
                edge,
                body,
                edge,
            )
        if len(body) > 20 << 20:
            break
    return b"Subject: x\r\n" + body


def wide(count: int, part: bytes, _bait: Bait) -> bytes:
    return b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + (b"--b\r\n" + part) * count + b"--b--\r\n"


def field(name: str, value: str, _bait: Bait) -> bytes:
    return f"{name}: {value}\r\nContent-Type: text/plain\r\n\r\ntext\r\n".encode()


def html_mail(pattern: str, bait: Bait) -> bytes:
    return b"Subject: x\r\nContent-Type: text/html\r\n\r\n" + html(pattern, 0, bait)


def coded(encoding: str, data: bytes, _bait: Bait) -> bytes:
    head = f"Content-Type: application/pdf; name=x.pdf\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode() + data


def mails() -> Iterator[Case]:
    for depth in (19, 25, 300, 3000):
        for kind in ("multipart/mixed", "multipart/alternative", "multipart/digest", "message/rfc822"):
            yield f"mail {kind} {depth} deep", "mail", partial(nested, depth, kind)
    for count in (199, 5000, 100_000):
        yield f"mail of {count} empty parts", "mail", partial(wide, count, b"\r\n\r\n")
        yield (
            f"mail of {count} files",
            "mail",
            partial(wide, min(count, 20_000), b"Content-Type: text/csv; name=a\r\n\r\na,b\r\n"),
        )
    for name, value in (
        ("Subject", "=?utf-8?b?" + "QUFB" * 20_000 + "?="), ("Subject", "=?x?q?=41?= " * 8000), ("To", "(" * 90_000),
        ("To", '"' * 90_000), ("Content-Disposition", "attachment; " + "; ".join(f"filename*{n}*=%41" for n in range(6000))),
        ("Content-Type", "text/plain; charset=" + "a" * 90_000), ("X", "y" * 200_000), ("Content-Type", ";" * 90_000),
        ("Content-Type", "multipart/mixed; boundary=" + "b" * 9000), ("Subject", "\u202e\u0000\u2066" * 1000),
    ):  # fmt: skip
        yield f"mail {name} {value[:12]!r}", "mail", partial(field, name, value)
    for pattern in MARKUP:
        yield f"mail of html {pattern[:20]}", "mail", partial(html_mail, pattern)
    for encoding, data in (
        ("base64", b"====" * 100_000), ("base64", base64.b64encode(bytes(99_999))[:-1]), ("base64", b"!" * 100_000),
        ("quoted-printable", b"=" * 500_000), ("quoted-printable", b"=\r\n" * 300_000), ("uuencode", b"begin 644 x\n" * 50_000),
        ("7bit", b"begin 644 x\nM" + b"x" * 100_000),
    ):  # fmt: skip
        yield f"mail {encoding} {data[:9]!r}", "mail", partial(coded, encoding, data)


def cases() -> list[Case]:
    return [*pictures(), *pdfs(), *htmls(), *others(), *mails()]


# --- running ----------------------------------------------------------------------------------------------------------


class Range:
    """Where bombs go off: a pool of workers, a port and a file as bait."""

    def __init__(self, directory: Path, office: str = "") -> None:
        self._directory = directory
        self._office = office
        secret = directory / "secret.txt"
        secret.write_text(SECRET)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.bait = Bait(self._listener.getsockname()[1], str(secret))
        self.wrong: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.drawn = 0  # HTML that was, or was to be

    async def go(self, wanted: list[Case]) -> None:
        from gateway.document.worker import WorkerLimits, WorkerPool

        pool = WorkerPool(1, WorkerLimits(timeout=SECONDS, memory=MEMORY))
        await pool.start()
        try:
            for number, (name, kind, make) in enumerate(wanted):
                work = self._directory / f"{number}"
                work.mkdir()
                source = work / "bomb"
                source.write_bytes(await asyncio.to_thread(make, self.bait))
                began = time.monotonic()
                await self._one(pool, name, kind, source, work)
                if time.monotonic() - began > 2 * SECONDS + 10:  # HTML that could not be drawn is printed as text
                    self.wrong.append(f"{name}: took {time.monotonic() - began:.0f} s")
                if self._connected():
                    self.wrong.append(f"{name}: opened a connection")
        finally:
            await pool.close()
            self._listener.close()

    async def _one(self, pool: Any, name: str, kind: str, source: Path, work: Path) -> None:
        from gateway.document import engine
        from gateway.document.opening import opened
        from gateway.errors import Refused, TryLater

        try:
            found = await self._found(pool, kind, source, work)
            options = {"paper": "letter", "body": "with-text", "cover": "", "max_pages": 60}
            found = await opened(pool, found, work, self._office, None if engine.missing() else options)
            self.drawn += any(part.get("note") or part["path"].endswith("drawn.pdf") for part in found["parts"])
            made = await pool.run(
                "gateway.document.render:render",
                parts=found["parts"], left_out=found["left_out"], out=str(work / "fax.pdf"), options=options,
            )  # fmt: skip
            self.outcomes["pages"] += 1
            if any(SECRET in str(entry) for entry in made["ledger"]):
                self.wrong.append(f"{name}: has read a file")
        except Refused as refused:
            self.outcomes["refused"] += 1
            if len(refused.public.split()) < 4 or (kind == "document" and "x.bin" not in refused.public):
                self.wrong.append(f"{name}: {refused.public!r} says too little")
        except TryLater as failed:
            self.outcomes["crashed"] += 1
            if "x.bin" not in failed.public and kind == "document":
                self.wrong.append(f"{name}: {failed}")

    @staticmethod
    async def _found(pool: Any, kind: str, source: Path, work: Path) -> dict[str, Any]:
        """The parts of a mail, or a document as the only part."""
        from gateway.errors import Refused

        if kind == "document":
            part = {
                "path": str(source), "role": "attachment", "name": "x.bin", "declared_type": "application/octet-stream",
                "size": source.stat().st_size, "disposition": "attachment",
            }  # fmt: skip
            return {"parts": [part], "left_out": []}
        summary = await pool.run("gateway.mail.parse:inspect", mail=str(source))
        if summary["refusal"]:
            raise Refused(summary["refusal"])
        found: dict[str, Any] = await pool.run("gateway.mail.parse:extract", mail=str(source), directory=str(work))
        return found

    def _connected(self) -> bool:
        try:
            self._listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True


def main() -> int:
    from gateway.document import libreoffice

    with tempfile.TemporaryDirectory() as scratch:
        place = Range(Path(scratch), libreoffice.find(libreoffice.AUTO))
        began = time.monotonic()
        asyncio.run(place.go(cases()))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(f"{len(cases())} bombs in {time.monotonic() - began:.0f} s, at most {peak} MiB: {dict(place.outcomes)}")
    print(*place.wrong, sep="\n")
    return bool(place.wrong)


if __name__ == "__main__":
    sys.exit(main())
