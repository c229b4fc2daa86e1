"""Papers for the benchmarks, made here: what offices fax, and what is written where on each.

Text is set in the URW fonts (Debian: fonts-urw-base35, which Ghostscript brings along), embedded, so that every renderer
draws the same letters. All is made from fixed seeds: each run measures the same papers.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import img2pdf
import pikepdf
import pypdfium2
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

FONTS = Path("/usr/share/fonts/opentype/urw-base35")
SANS, BOLD, SERIF, MONO = "NimbusSans-Regular", "NimbusSans-Bold", "NimbusRoman-Regular", "NimbusMonoPS-Regular"
LETTER = (612.0, 792.0)
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

Colour = tuple[float, float, float]
Box = tuple[float, float, float, float]  # points, from the top left

_WORDS = """account address agreement amount appointment approved attached balance billing branch cardiology claim clinic
closing company confirm contract copy court customer date deadline delivery deposit diagnosis discharge doctor document dosage
employer estate evidence examination expires family february filed follow hearing hospital insurance interest invoice issued
january laboratory lawyer letter license loan medical member monthly mortgage notice number office order original overdue
owner page patient payment pending pharmacy physician please policy practice prescription price product project property
quantity receipt received record referral reference refund release report request result review sample schedule seller
service settlement shipping signature specialist statement street supplier surgery tablet tenant therapy total transfer
treatment value verified visit warehouse warranty weekly witness within without""".split()


def grey(level: float) -> Colour:
    return (level, level, level)


@dataclass
class Words:
    """What is written in a box of a page."""

    box: Box
    text: str


@dataclass
class Paper:
    """One page: a PDF, what is written on it, and where its photographs are."""

    name: str
    pdf: bytes
    words: list[Words]
    photos: list[Box] = field(default_factory=list)


class Sheet:
    """A page being drawn, in points from the top left."""

    def __init__(self, seed: int, size: tuple[float, float] = LETTER) -> None:
        self.size = size
        self.dice = random.Random(seed)
        self.words: list[Words] = []
        self.photos: list[Box] = []
        self._operators: list[str] = []
        self._images: list[tuple[Image.Image, int]] = []
        self._fonts: dict[str, str] = {}

    def sentence(self, count: int) -> str:
        words = [
            self.dice.choice(_WORDS) if self.dice.random() > 0.15 else f"{self.dice.randrange(10, 99999)}"
            for _ in range(count)
        ]
        return " ".join(words)

    def text(
        self, x: float, y: float, line: str, size: float, *, font: str = SANS, colour: Colour = BLACK, read: bool = True
    ) -> float:
        """Write a line whose baseline is ``y``; returns where it ends. ``read``: it is one the benchmark reads back."""
        name = self._fonts.setdefault(font, f"F{len(self._fonts)}")
        escaped = line.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        r, g, b = colour
        self._operators.append(
            f"BT /{name} {size:g} Tf {r:g} {g:g} {b:g} rg 1 0 0 1 {x:g} {self.size[1] - y:g} Tm ({escaped}) Tj ET"
        )
        end = x + _face(font).getlength(line) * size / 1000
        if read:
            self.words.append(Words((x, y - size * 0.8, end, y + size * 0.25), line))
        return end

    def lines(self, x: float, y: float, count: int, size: float, *, wide: float = 460, **style: object) -> float:
        """Write lines of made text that fill ``wide`` points; returns the baseline after them."""
        font = str(style.get("font", SANS))
        for _ in range(count):
            line = self.sentence(3)
            while _face(font).getlength(longer := f"{line} {self.sentence(1)}") * size / 1000 < wide:
                line = longer
            self.text(x, y, line, size, **style)  # type: ignore[arg-type]
            y += size * 1.35
        return y

    def box(self, x: float, y: float, width: float, height: float, colour: Colour) -> None:
        r, g, b = colour
        self._operators.append(
            f"{r:g} {g:g} {b:g} rg {x:g} {self.size[1] - y - height:g} {width:g} {height:g} re f"
        )  # fmt: skip

    def frame(self, x: float, y: float, width: float, height: float, line: float = 0.5, colour: Colour = BLACK) -> None:
        r, g, b = colour
        self._operators.append(
            f"{r:g} {g:g} {b:g} RG {line:g} w {x:g} {self.size[1] - y - height:g} {width:g} {height:g} re S"
        )

    def rule(self, x: float, y: float, to_x: float, to_y: float, line: float = 0.5, colour: Colour = BLACK) -> None:
        r, g, b = colour
        top = self.size[1]
        self._operators.append(f"{r:g} {g:g} {b:g} RG {line:g} w {x:g} {top - y:g} m {to_x:g} {top - to_y:g} l S")

    def curve(self, points: Sequence[float], line: float = 0.4, colour: Colour = BLACK) -> None:
        r, g, b = colour
        x0, y0, *rest = (v if n % 2 == 0 else self.size[1] - v for n, v in enumerate(points))
        numbers = " ".join(f"{v:g}" for v in rest)
        self._operators.append(f"{r:g} {g:g} {b:g} RG {line:g} w {x0:g} {y0:g} m {numbers} c S")

    def picture(self, x: float, y: float, width: float, height: float, image: Image.Image, quality: int = 88) -> None:
        self._operators.append(
            f"q {width:g} 0 0 {height:g} {x:g} {self.size[1] - y - height:g} cm /I{len(self._images)} Do Q"
        )
        self._images.append((image, quality))

    def photo(self, x: float, y: float, width: float, height: float, image: Image.Image) -> None:
        self.picture(x, y, width, height, image)
        self.photos.append((x, y, x + width, y + height))

    def pdf(self) -> bytes:
        document = pikepdf.new()
        document.add_blank_page(page_size=self.size)
        page = document.pages[0]
        page.obj["/Resources"] = Dictionary(
            Font=Dictionary({f"/{name}": _font(document, font) for font, name in self._fonts.items()}),
            XObject=Dictionary({f"/I{n}": _image(document, *each) for n, each in enumerate(self._images)}),
        )
        page.obj["/Contents"] = Stream(document, "\n".join(self._operators).encode("ascii"))
        out = io.BytesIO()
        document.save(out)
        return out.getvalue()

    def paper(self, name: str) -> Paper:
        return Paper(name, self.pdf(), self.words, self.photos)


_faces: dict[str, ImageFont.FreeTypeFont] = {}


def _face(font: str) -> ImageFont.FreeTypeFont:
    if font not in _faces:
        # a PDF sets letter by letter: with kerning and ligatures a line would seem shorter, and its end be cut off
        _faces[font] = ImageFont.truetype(str(FONTS / f"{font}.otf"), 1000, layout_engine=ImageFont.Layout.BASIC)
    return _faces[font]


def _font(document: pikepdf.Pdf, font: str) -> pikepdf.Object:
    face = _face(font)
    widths = [round(face.getlength(chr(code))) for code in range(32, 127)]
    program = Stream(document, (FONTS / f"{font}.otf").read_bytes(), Subtype=Name.OpenType)
    descriptor = Dictionary(
        Type=Name.FontDescriptor, FontName=Name("/" + font), Flags=32, FontBBox=Array([-200, -300, 1200, 1000]),
        ItalicAngle=0, Ascent=800, Descent=-200, CapHeight=700, StemV=80, FontFile3=program,
    )  # fmt: skip
    return document.make_indirect(
        Dictionary(
            Type=Name.Font,
            Subtype=Name.Type1,
            BaseFont=Name("/" + font),
            FirstChar=32,
            LastChar=126,
            Widths=Array(widths),
            Encoding=Name.WinAnsiEncoding,
            FontDescriptor=document.make_indirect(descriptor),
        )
    )


def _image(document: pikepdf.Pdf, image: Image.Image, quality: int) -> Stream:
    out = io.BytesIO()
    image.save(out, format="JPEG", quality=quality)
    space = {"L": Name.DeviceGray, "RGB": Name.DeviceRGB}[image.mode]
    return Stream(
        document, out.getvalue(), Type=Name.XObject, Subtype=Name.Image, Width=image.width, Height=image.height,
        ColorSpace=space, BitsPerComponent=8, Filter=Name.DCTDecode,
    )  # fmt: skip


# --- pictures ---------------------------------------------------------------------------------------------------------


def noise(size: tuple[int, int], deviation: float, seed: int) -> Image.Image:
    """Grey points evenly spread around 128 with this standard deviation."""
    points = Image.frombytes("L", size, random.Random(seed).randbytes(size[0] * size[1]))
    return points.point([max(0, min(255, round(128 + (v - 127.5) * deviation / 73.9))) for v in range(256)])


def landscape(width: int, height: int, seed: int) -> Image.Image:
    """A colour photograph of sorts: a smooth sky, hills, a rough ground, a house with a shadow."""
    dice = random.Random(seed)
    sky = Image.linear_gradient("L").resize((width, height))
    picture = Image.merge(
        "RGB", (sky.point([110 + v // 2 for v in range(256)]), sky.point([130 + v // 2 for v in range(256)]),
                sky.point([min(255, 190 + v // 4) for v in range(256)])),
    )  # fmt: skip
    draw = ImageDraw.Draw(picture)
    for layer in range(4):
        top = height * (0.4 + 0.13 * layer)
        ridge = [(0.0, float(height)), (0.0, top)]
        while ridge[-1][0] < width:
            x, y = ridge[-1]
            ridge.append((x + width / 40, top + (y - top) * 0.8 + dice.uniform(-1, 1) * height / 25))
        ridge.append((float(width), float(height)))
        tone = 150 - layer * 28
        draw.polygon(ridge, fill=(tone, tone + 15, tone - 20))
    left, base = width * 0.55, height * 0.8
    draw.rectangle((left, base - height * 0.2, left + width * 0.2, base), fill=(205, 190, 170))
    draw.polygon(
        [
            (left - 8, base - height * 0.2),
            (left + width * 0.1, base - height * 0.32),
            (left + width * 0.2 + 8, base - height * 0.2),
        ],
        fill=(120, 60, 50),
    )
    draw.rectangle((left + width * 0.08, base - height * 0.11, left + width * 0.12, base), fill=(70, 50, 40))
    picture = picture.filter(ImageFilter.GaussianBlur(max(1, width / 500)))
    ground = Image.linear_gradient("L").resize((width, height)).point([max(0, v - 110) for v in range(256)])
    return Image.composite(Image.blend(picture, noise((width, height), 40, seed).convert("RGB"), 0.35), picture, ground)


def portrait(width: int, height: int, seed: int) -> Image.Image:
    """A face of sorts before a wall in soft light: almost nothing but smooth gradients."""
    wall = (
        Image.radial_gradient("L")
        .resize((width * 2, height * 2))
        .crop((width // 3, height // 3, width // 3 + width, height // 3 + height))
    )
    picture = wall.point([max(0, 225 - v // 2) for v in range(256)])
    for centre, size, light in (((0.5, 1.0), (0.8, 0.55), 90), ((0.5, 0.42), (0.36, 0.5), 215)):
        w, h = round(width * size[0]), round(height * size[1])
        body = Image.radial_gradient("L").resize((w * 2, h * 2)).crop((w // 3, h // 3, w // 3 + w, h // 3 + h))
        body = body.point([max(0, light - v // 2) for v in range(256)])
        mask = Image.new("L", (w, h))
        ImageDraw.Draw(mask).ellipse((0, 0, w, h), fill=255)
        picture.paste(
            body,
            (round(width * centre[0] - w / 2), round(height * centre[1] - h / 2)),
            mask.filter(ImageFilter.GaussianBlur(3)),
        )
    return ImageChops.add(
        picture.filter(ImageFilter.GaussianBlur(width / 300)), noise((width, height), 3, seed), 1, -128
    )


def gradient(width: int, height: int, seed: int) -> Image.Image:
    """A dawn: one smooth gradient from dark to light, and a sun."""
    picture = Image.linear_gradient("L").resize((width, height)).point([60 + v * 3 // 4 for v in range(256)])
    side = height // 3
    sun = Image.radial_gradient("L").resize((side, side)).point([max(0, 255 - 2 * v) for v in range(256)])
    at = (random.Random(seed).randrange(width // 4, width // 2), height // 3)
    picture.paste(Image.new("L", (side, side), 250), at, sun)
    return picture


def _logo(seed: int) -> Image.Image:
    """A company's mark with a gradient."""
    size = 400
    mark = Image.linear_gradient("L").resize((size, size))
    red = mark.point([max(0, 30 + v // 3) for v in range(256)])
    green = mark.point([60 + v // 2 for v in range(256)])
    blue = mark.point([150 + v // 3 for v in range(256)])
    logo = Image.new("RGB", (size, size), "white")
    mask = Image.new("L", (size, size))
    draw = ImageDraw.Draw(mask)
    draw.ellipse((10, 10, size - 10, size - 10), fill=255)
    draw.polygon([(200, 60 + seed % 40), (330, 300), (70, 300)], fill=0)
    logo.paste(Image.merge("RGB", (red, green, blue)), mask=mask)
    return logo


# --- the classes ------------------------------------------------------------------------------------------------------


def black_text() -> Iterator[Paper]:
    for n, (font, name) in enumerate(((SANS, "sans"), (SERIF, "serif"), (MONO, "mono"))):
        sheet = Sheet(10 + n)
        y = 60.0
        for size in (6, 7, 8, 9, 10, 11, 12):
            y = sheet.lines(70, y, 7, size, font=font) + 8
        yield sheet.paper(name)


def grey_text() -> Iterator[Paper]:
    for n, font in enumerate((SANS, SERIF)):
        sheet = Sheet(20 + n)
        y = 60.0
        for level in (0.25, 0.4, 0.5, 0.6, 0.7, 0.75):
            for size in (6.5, 8, 10):
                y = sheet.lines(70, y, 3, size, font=font, colour=grey(level)) + 3
        yield sheet.paper(font)


COLOURS: tuple[Colour, ...] = (
    (0.8, 0, 0), (0, 0.2, 0.7), (0, 0.5, 0.1), (0.9, 0.45, 0), (0.3, 0.6, 0.95), (0.6, 0.1, 0.6), (0, 0.6, 0.6), (1, 0.2, 0.2),
)  # fmt: skip


def coloured_text() -> Iterator[Paper]:
    for n, font in enumerate((SANS, SERIF)):
        sheet = Sheet(30 + n)
        y = 60.0
        for colour in COLOURS:
            for size in (7, 9):
                y = sheet.lines(70, y, 3, size, font=font, colour=colour) + 4
        yield sheet.paper(font)


TINTS: tuple[Colour, ...] = (
    grey(0.92), grey(0.85), grey(0.75), grey(0.65), (1, 0.96, 0.65), (0.8, 0.88, 1), (1, 0.8, 0.8), (0.7, 0.9, 0.7),
)  # fmt: skip


def tinted() -> Iterator[Paper]:
    sheet = Sheet(40)
    y = 50.0
    for tint in TINTS:
        sheet.box(60, y, 490, 78, tint)
        y = sheet.lines(70, y + 14, 3, 7.5)
        y = sheet.lines(70, y + 2, 2, 10, colour=(0, 0, 0.5)) + 12
    yield sheet.paper("boxes")
    for n, tint in enumerate((grey(0.82), (1.0, 0.93, 0.7))):
        sheet = Sheet(41 + n)
        sheet.box(0, 0, *LETTER, tint)
        y = 70.0
        for size in (7, 8, 10):
            y = sheet.lines(70, y, 8, size) + 6
            y = sheet.lines(70, y, 5, size, colour=grey(0.35)) + 8
        yield sheet.paper(f"paper {n + 1}")


GROUNDS: tuple[Colour, ...] = (
    BLACK, grey(0.25), (0, 0.2, 0.5), (0.6, 0, 0.1), (0, 0.4, 0.2), grey(0.45), (0.2, 0.5, 0.8), (0.85, 0.4, 0.1),
)  # fmt: skip


def reversed_text() -> Iterator[Paper]:
    sheet = Sheet(50)
    y = 50.0
    for ground in GROUNDS:
        sheet.box(60, y, 490, 78, ground)
        y = sheet.lines(70, y + 14, 3, 8, colour=WHITE)
        y = sheet.lines(70, y + 2, 2, 10, colour=WHITE, font=BOLD) + 12
    yield sheet.paper("white on dark")
    sheet = Sheet(51)
    y = 50.0
    for ground in GROUNDS[:5]:
        sheet.box(60, y, 490, 96, ground)
        y = sheet.lines(70, y + 16, 3, 9, colour=(1, 0.95, 0.6))
        y = sheet.lines(70, y + 2, 3, 9, colour=grey(0.75)) + 14
    yield sheet.paper("light on dark")


def forms() -> Iterator[Paper]:
    sheet = Sheet(60)
    sheet.box(60, 50, 492, 22, grey(0.2))
    sheet.text(70, 66, "APPLICATION FOR REFERRAL AND TREATMENT", 12, font=BOLD, colour=WHITE)
    labels = "Family name|First name|Date of birth|Member number|Street|City|Telephone|Fax number|Physician|Diagnosis"
    y = 90.0
    for n, label in enumerate(labels.split("|") * 2):
        x = 60 + (n % 2) * 246
        tinted = n // 2 % 2 == 0
        if tinted:
            sheet.box(x, y, 246, 34, grey(0.9) if n < 10 else (0.85, 0.92, 1.0))
        sheet.frame(x, y, 246, 34, 0.4, grey(0.4))
        sheet.text(x + 4, y + 8, label, 6, colour=grey(0.45))
        sheet.text(x + 6, y + 25, sheet.sentence(4), 10, font=MONO, colour=(0, 0, 0.6) if n % 3 else BLACK)
        y += 34 * (n % 2)
    y += 20
    for n in range(6):
        sheet.frame(62, y - 7, 8, 8, 0.5)
        if n % 2:
            sheet.rule(62, y - 7, 70, y + 1, 0.8)
            sheet.rule(70, y - 7, 62, y + 1, 0.8)
        sheet.text(78, y, sheet.sentence(11), 8)
        y += 15
    y = sheet.lines(60, y + 14, 6, 6.5, wide=480, colour=grey(0.4))
    sheet.rule(60, y + 50, 260, y + 50, 0.4)
    sheet.text(60, y + 60, "Signature of the patient or guardian", 6.5, colour=grey(0.5))
    yield sheet.paper("form")


def tables() -> Iterator[Paper]:
    for n, (head, stripe, lines) in enumerate((
        ((0.1, 0.3, 0.55), grey(0.92), None), (grey(0.55), (0.86, 0.92, 0.98), grey(0.7)), (grey(0.8), WHITE, grey(0.3)),
    )):  # fmt: skip
        sheet = Sheet(70 + n)
        light = head[0] < 0.6
        y, step, columns = 70.0, 15.0, (60, 130, 330, 400, 470)
        sheet.box(60, y - 11, 492, 16, head)
        for x, title in zip(
            columns, ("Reference", "Description of service", "Quantity", "Price", "Amount due"), strict=True
        ):
            sheet.text(x + 3, y, title, 8.5, font=BOLD, colour=WHITE if light else BLACK)
        for row in range(38):
            y += step
            if row % 2 == 0:
                sheet.box(60, y - 11, 492, step, stripe)
            if lines:
                sheet.frame(60, y - 11, 492, step, 0.35, lines)
            dice = sheet.dice
            for x, cell in zip(
                columns, (f"{dice.randrange(10**6, 10**7)}", sheet.sentence(4), str(dice.randrange(1, 90)),
                          f"{dice.randrange(100, 90000) / 100:.2f}", f"{dice.randrange(10000, 900000) / 100:,.2f}"),
                strict=True,
            ):  # fmt: skip
                sheet.text(x + 3, y, cell, 7.5 if row % 3 else 8.5)
        yield sheet.paper(f"table {n + 1}")


def invoices() -> Iterator[Paper]:
    for n, colour in enumerate(((0.0, 0.35, 0.65), (0.75, 0.1, 0.15))):
        sheet = Sheet(80 + n)
        sheet.picture(60, 40, 60, 60, _logo(n * 20))
        sheet.text(130, 65, "Northgate Medical Supply", 18, font=BOLD, colour=colour)
        sheet.text(130, 80, "42 Harbour Street, Springfield 62704", 8, colour=grey(0.5))
        sheet.text(130, 91, "Telephone 555 010 4477   Fax 555 010 4478", 8, colour=grey(0.5))
        sheet.text(400, 130, "INVOICE", 22, font=BOLD, colour=grey(0.7), read=False)
        sheet.lines(60, 130, 4, 9, wide=180)
        sheet.box(60, 200, 492, 18, colour)
        for x, title in ((66, "Item"), (300, "Quantity"), (380, "Unit price"), (470, "Total")):
            sheet.text(x, 213, title, 9, font=BOLD, colour=WHITE)
        y = 232.0
        for row in range(14):
            if row % 2:
                sheet.box(60, y - 11, 492, 16, grey(0.94))
            sheet.text(66, y, sheet.sentence(5), 8.5)
            for x in (300, 380, 470):
                sheet.text(x, y, f"{sheet.dice.randrange(100, 99999) / 100:.2f}", 8.5)
            y += 16
        sheet.box(370, y + 6, 182, 22, (0.9, 0.95, 1.0))
        sheet.text(378, y + 21, f"Amount due {sheet.dice.randrange(1000, 9999)}.50", 11, font=BOLD)
        y = sheet.lines(60, y + 60, 5, 8, colour=grey(0.3))
        sheet.rule(60, 700, 552, 700, 0.5, colour)
        sheet.lines(60, 715, 3, 6.5, wide=480, colour=grey(0.55))
        yield sheet.paper(f"invoice {n + 1}")


def _scanned(
    sheet: Sheet,
    name: str,
    *,
    dpi: int,
    paper: int,
    contrast: float,
    grainy: float,
    shade: Image.Image,
    blur: float,
    angle: float = 0.0,
) -> Paper:
    """The sheet as a scanner or a telephone takes it."""
    document = pypdfium2.PdfDocument(sheet.pdf())
    page = document[0].render(scale=dpi / 72, grayscale=True).to_pil().convert("L")
    document.close()
    page = page.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(blur))
    page = page.point([round(paper - (255 - v) * contrast) for v in range(256)])
    page = ImageChops.multiply(page, shade.resize(page.size, Image.Resampling.BICUBIC))
    page = ImageChops.add(page, noise(page.size, grainy, 7).filter(ImageFilter.GaussianBlur(0.5)), 1, -128)
    out = io.BytesIO()
    page.save(out, format="JPEG", quality=75, dpi=(dpi, dpi))
    layout = img2pdf.get_layout_fun(sheet.size)
    return Paper(name, img2pdf.convert(out.getvalue(), layout_fun=layout), sheet.words)


def scans() -> Iterator[Paper]:
    flat = Image.new("L", (64, 64), 255)
    gutter = Image.new("L", (64, 64))  # the shadow at the spine of a book, and a darker lower half
    gutter.putdata(
        [round(255 * (1 - 0.55 * max(0.0, 1 - x / 14) - 0.15 * y / 64)) for y in range(64) for x in range(64)]
    )
    lamp = Image.new("L", (64, 64))  # one lamp, and the shadow of the hand with the telephone
    lamp.putdata([
        round(255 * (1 - 0.35 * ((x - 20) ** 2 + (y - 15) ** 2) / 4500) * (0.62 if (x - 50) ** 2 + (y - 46) ** 2 < 230 else 1))
        for y in range(64) for x in range(64)
    ])  # fmt: skip
    lamp = lamp.filter(ImageFilter.GaussianBlur(3))
    for n, (name, look) in enumerate((
        ("clean", {"dpi": 300, "paper": 245, "contrast": 0.85, "grainy": 4, "shade": flat, "blur": 0.7}),
        ("shadow", {"dpi": 300, "paper": 235, "contrast": 0.8, "grainy": 8, "shade": gutter, "blur": 0.9}),
        ("faint", {"dpi": 300, "paper": 225, "contrast": 0.35, "grainy": 7, "shade": flat, "blur": 0.9}),
        ("telephone", {"dpi": 250, "paper": 215, "contrast": 0.65, "grainy": 9, "shade": lamp, "blur": 1.0, "angle": 0.4}),
    )):  # fmt: skip
        sheet = Sheet(90 + n)
        y = sheet.lines(80, 80, 10, 11, wide=440, font=SERIF)
        y = sheet.lines(80, y + 10, 10, 9, wide=440)
        sheet.box(76, y + 2, 450, 60, grey(0.8))
        y = sheet.lines(80, y + 16, 4, 9, wide=440) + 10
        y = sheet.lines(80, y + 10, 8, 8, wide=440, colour=grey(0.3))
        yield _scanned(sheet, name, **look)  # type: ignore[arg-type]


def photographs() -> Iterator[Paper]:
    for n, (name, take) in enumerate((("landscape", landscape), ("portrait", portrait), ("gradient", gradient))):
        sheet = Sheet(100 + n)
        sheet.text(70, 60, "Report of the damage, with pictures", 13, font=BOLD)
        y = sheet.lines(70, 80, 4, 9.5)
        sheet.photo(70, y, 300, 210, take(1200, 840, n + 1))
        sheet.lines(380, y + 14, 9, 7.5, wide=150)
        sheet.text(70, y + 222, sheet.sentence(9), 7.5, colour=grey(0.35))
        sheet.photo(150, y + 240, 300, 190, take(900, 570, n + 11))
        sheet.text(150, y + 442, sheet.sentence(9), 7.5)
        sheet.lines(70, y + 462, 6, 9)
        yield sheet.paper(name)


TEXT_CLASSES = {
    "black text": black_text, "grey text": grey_text, "coloured text": coloured_text, "tinted grounds": tinted,
    "light on dark": reversed_text, "forms": forms, "tables": tables, "invoices": invoices,
}  # fmt: skip
CLASSES = {**TEXT_CLASSES, "scans": scans, "photographs": photographs}
