"""Something to fax for who has nothing at hand: two pages drawn for the purpose, as a PDF."""

from __future__ import annotations

import io
import math
from datetime import datetime
from importlib.resources import files

from PIL import Image, ImageChops, ImageDraw, ImageFont

_DPI = 200
_SIZE = (1700, 2200)  # letter
_LEFT, _RIGHT = 170, 1530
_GREY = 110

_WORDS = (
    "This page was drawn by faxgateway. It left as the PDF attachment of a mail, came in at the gateway's SMTP door, was"
    " made into the black and white dots that a fax machine prints, and went on to the sandbox: a stand-in for the fax"
    " service on this very machine. No telephone rang.",
    "Where the mail was for the number that calls back, the same pages return as a received fax, as a mail with a PDF.",
)
_SIZES = (8, 9, 10, 12, 14, 16)


def pdf(*, heading: str = "A sample fax", at: datetime) -> bytes:
    """Two pages with text in several sizes, shades and a photograph's greys."""
    pages = [_letter(heading, at), _pictures(heading)]
    out = io.BytesIO()
    pages[0].save(out, format="PDF", save_all=True, append_images=pages[1:], resolution=_DPI, quality=92)
    return out.getvalue()


def _font(points: float) -> ImageFont.FreeTypeFont:
    source = files("gateway.document").joinpath("fonts", "DejaVuSans.ttf").read_bytes()
    return ImageFont.truetype(io.BytesIO(source), round(points * _DPI / 72))


def _page(heading: str, number: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    page = Image.new("L", _SIZE, 255)
    draw = ImageDraw.Draw(page)
    draw.text((_LEFT, 160), heading, 0, font=_font(30))
    draw.line((_LEFT, 290, _RIGHT, 290), fill=0, width=6)
    draw.text((_RIGHT, 2080), f"page {number} of 2", _GREY, font=_font(10), anchor="rs")
    return page, draw


def _letter(heading: str, at: datetime) -> Image.Image:
    page, draw = _page(heading, 1)
    draw.text((_LEFT, 320), f"{at:%A} {at.day} {at:%B %Y, %H:%M}", _GREY, font=_font(11))
    top = 420.0
    for words in _WORDS:
        top = _paragraph(draw, words, top, _font(13)) + 50
    draw.rounded_rectangle((_LEFT, top, _RIGHT, top + 400), 24, fill=228)
    draw.text((_LEFT + 50, top + 40), "Text on a grey ground stays text.", 0, font=_font(16))
    draw.text((_LEFT + 50, top + 135), "So does small print, which many gateways turn to mud.", 40, font=_font(9))
    draw.rounded_rectangle((_LEFT + 50, top + 210, _RIGHT - 50, top + 350), 16, fill=30)
    draw.text((_LEFT + 90, top + 243), "and white on black", 255, font=_font(18))
    top += 480
    for points in _SIZES:
        draw.text((_LEFT, top), f"{points} points: The quick brown fox jumps over the lazy dog", 0, font=_font(points))
        top += points * 4.2 + 26
    return page


def _pictures(heading: str) -> Image.Image:
    page, draw = _page(heading, 2)
    draw.text((_LEFT, 330), "A photograph becomes dots, as in a newspaper:", 0, font=_font(13))
    page.paste(_landscape(_RIGHT - _LEFT, 760), (_LEFT, 410))
    draw.text((_LEFT, 1240), "Lines stay lines:", 0, font=_font(13))
    for index, gap in enumerate((12, 16, 24, 40, 64)):
        left = _LEFT + index * 272
        for x in range(left, left + 256, gap):
            draw.line((x, 1320, x, 1460), fill=0, width=gap // 4)
    draw.text((_LEFT, 1540), "Every page arrives, in its order:", 0, font=_font(13))
    draw.text(((_LEFT + _RIGHT) // 2, 1820), "2", 0, font=_font(130), anchor="mm")
    return page


def _landscape(width: int, height: int) -> Image.Image:
    """Hills under a low sun, in a photograph's many tones."""
    scene = _haze(width, height, 130, 235)
    draw = ImageDraw.Draw(scene)
    draw.ellipse((width * 0.68, height * 0.14, width * 0.68 + 170, height * 0.14 + 170), fill=252)
    for ridge in range(4):
        base, swell = height * (0.45 + 0.14 * ridge), height * (0.10 - 0.012 * ridge)
        top = [
            (x, base - swell * (math.sin(x / (190 - 25 * ridge) + ridge * 2.1) + 0.5 * math.sin(x / 61 + ridge)))
            for x in range(0, width + 8, 8)
        ]
        hill = Image.new("L", (width, height))
        ImageDraw.Draw(hill).polygon([(0, height), *top, (width, height)], fill=255)
        scene.paste(_haze(width, height, 220 - 40 * ridge, 130 - 25 * ridge), mask=hill)
    return ImageChops.add(scene, Image.effect_noise((width, height), 12), 1, -128)


def _haze(width: int, height: int, top: int, bottom: int) -> Image.Image:
    """Grey from ``top`` to ``bottom``, with clouds in it."""
    shade = Image.linear_gradient("L").point([top + (bottom - top) * v // 255 for v in range(256)])
    clouds = Image.effect_noise((14, 9), 20).resize((width, height), Image.Resampling.BICUBIC)
    return ImageChops.add(shade.resize((width, height)), clouds, 1, -128)


def _paragraph(draw: ImageDraw.ImageDraw, words: str, top: float, font: ImageFont.FreeTypeFont) -> float:
    """Draw wrapped text; returns where it ends."""
    line = ""
    for word in words.split():
        longer = f"{line} {word}".strip()
        if font.getlength(longer) > _RIGHT - _LEFT:
            draw.text((_LEFT, top), line, 0, font=font)
            top, line = top + font.size * 1.45, word
        else:
            line = longer
    draw.text((_LEFT, top), line, 0, font=font)
    return top + font.size * 1.45
