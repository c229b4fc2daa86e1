"""How well fax pages can be read: ours against Ghostscript, fixed thresholds and a dither, read back by tesseract.

    python bench/readability.py [--resolution fine|standard] [--class NAME]... [--every N] [--keep DIR]

Needs ghostscript and tesseract-ocr. Each line of each paper (bench/papers.py) is cut out of the fax page and read alone;
the character error rate is edits over characters. Seconds are those on the line (gateway.document.weight). On photographs
the error of the tones counts too: how far the page, seen from a distance, is from the grey picture.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import papers
import pypdfium2
from PIL import Image, ImageChops, ImageFilter, ImageStat

from gateway.document import raster, sniff, sources
from gateway.document.bilevel import to_bilevel
from gateway.document.weight import page_seconds

OURS = "ours"
WAYS = ("gs tiffg4", "50 %", "75 %", "dither", OURS)


@dataclass
class Sum:
    """What a way did with a class of papers."""

    characters: int = 0
    errors: int = 0
    seconds: float = 0.0
    tones: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return 100 * self.errors / max(1, self.characters)

    @property
    def tone(self) -> float:
        return sum(self.tones) / max(1, len(self.tones))


# --- the ways ---------------------------------------------------------------------------------------------------------


@dataclass
class Shown:
    """A fax page and how points of the paper become its pixels."""

    page: Image.Image
    x_scale: float
    y_scale: float

    def crop(self, box: papers.Box, pad: float = 0.0) -> Image.Image:
        left, top, right, bottom = box
        return self.page.crop((
            max(0, round((left - pad * 1.5) * self.x_scale)), max(0, round((top - pad) * self.y_scale)),
            min(self.page.width, round((right + pad * 1.5) * self.x_scale)),
            min(self.page.height, round((bottom + pad) * self.y_scale)),
        ))  # fmt: skip


def shown(paper: papers.Paper, y_dpi: int, resolution: str, directory: Path) -> Iterator[tuple[str, Shown]]:
    """The fax page of each way."""
    source = directory / "paper.pdf"
    source.write_bytes(paper.pdf)
    out = directory / "gs.tif"
    subprocess.run(
        ["gs", "-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sDEVICE=tiffg4", f"-r204x{y_dpi}", f"-g1728x{11 * y_dpi}",
         "-dFIXEDMEDIA", f"-sOutputFile={out}", str(source)],
        check=True,
    )  # fmt: skip
    with Image.open(out) as image:
        yield WAYS[0], Shown(image.convert("1"), 204 / 72, y_dpi / 72)
    document = pypdfium2.PdfDocument(source)
    width = document[0].get_width()
    document.close()
    target = raster.grid("letter", resolution)
    (page,) = sources.pages(source, sniff.PDF, "the paper", target)
    scale = min(1.0, raster.WIDTH / raster.X_DPI / (width / 72))
    scales = scale * raster.X_DPI / 72, scale * y_dpi / 72
    grey = page.image
    for way, level in ((WAYS[1], 127), (WAYS[2], 191)):
        yield way, Shown(grey.point([0 if v <= level else 255 for v in range(256)], "1"), *scales)
    yield WAYS[3], Shown(grey.convert("1"), *scales)
    yield OURS, Shown(to_bilevel(grey, y_dpi), *scales)


# --- reading ----------------------------------------------------------------------------------------------------------


def read(pieces: list[Image.Image], directory: Path) -> list[str]:
    """What tesseract reads on each piece, which is one line."""
    names = []
    for n, piece in enumerate(pieces):
        name = directory / f"{n:04}.png"
        piece.save(name, dpi=(400, 400))
        names.append(str(name))
    listing = directory / "pieces.txt"
    listing.write_text("\n".join(names) + "\n")
    done = subprocess.run(
        ["tesseract", str(listing), "stdout", "--psm", "7", "-l", "eng"],
        check=True, capture_output=True, env={**os.environ, "OMP_THREAD_LIMIT": "1"},
    )  # fmt: skip
    texts = done.stdout.decode(errors="replace").split("\f")
    assert len(texts) >= len(pieces), (len(texts), len(pieces))
    return [" ".join(text.split()) for text in texts[: len(pieces)]]


def upright(piece: Image.Image, y_dpi: int) -> Image.Image:
    """A line with square pixels at 400 dpi, as an OCR program wants it."""
    size = (round(piece.width * 400 / raster.X_DPI), round(piece.height * 400 / y_dpi))
    return piece.convert("L").resize((max(1, size[0]), max(1, size[1])), Image.Resampling.BICUBIC)


def edits(a: str, b: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def tone(paper: papers.Paper, page: Shown) -> list[float]:
    """Mean difference in grey levels between each photograph and what the eye makes of its dots at a distance."""
    document = pypdfium2.PdfDocument(paper.pdf)
    grey = Shown(document[0].render(scale=2, grayscale=True).to_pil().convert("L"), 2.0, 2.0)
    document.close()
    found = []
    for box in paper.photos:
        wanted = grey.crop(box)
        got = page.crop(box).convert("L").resize(wanted.size, Image.Resampling.BOX)
        blur = ImageFilter.GaussianBlur(4)
        difference = ImageChops.difference(wanted.filter(blur), got.filter(blur))
        found.append(ImageStat.Stat(difference).mean[0])
    return found


# --- the run ----------------------------------------------------------------------------------------------------------


def measure(
    make: Callable[[], Iterator[papers.Paper]], y_dpi: int, resolution: str, every: int, keep: Path | None
) -> dict[str, Sum]:
    sums = {way: Sum() for way in WAYS}
    for paper in make():
        with tempfile.TemporaryDirectory() as scratch:
            for way, page in shown(paper, y_dpi, resolution, Path(scratch)):
                total = sums[way]
                total.seconds += page_seconds(raster.strip_size(raster.g4(page.page, y_dpi)))
                total.tones += tone(paper, page)
                words = paper.words[::every]
                texts = read([upright(page.crop(each.box, 1.0), y_dpi) for each in words], Path(scratch))
                worst = []
                for each, text in zip(words, texts, strict=True):
                    wrong = min(len(each.text), edits(each.text, text))
                    total.characters += len(each.text)
                    total.errors += wrong
                    if wrong:
                        worst.append(f"{wrong:4} {each.box[1]:5.0f} {each.text} | {text}")
                if keep:
                    name = f"{make.__name__}-{paper.name}-{way}".replace(" ", "_").replace("%", "")
                    page.page.save(keep / f"{name}.png")
                    (keep / f"{name}.txt").write_text("\n".join(worst))
    return sums


def table(results: dict[str, dict[str, Sum]]) -> str:
    """A Markdown table: errors in per cent and seconds on the line of each way, and who reads best."""
    lines = ["| class | " + " | ".join(WAYS) + " | lowest error |", "| --- |" + " ---: |" * len(WAYS) + " --- |"]
    for name, sums in results.items():
        least = min(each.rate for each in sums.values())
        best = [way for way in WAYS if sums[way].rate <= least + 1e-9]
        cells = [f"{sums[way].rate:.2f} %, {sums[way].seconds:.0f} s" for way in WAYS]
        if any(each.tones for each in sums.values()):
            cells = [f"{cell}, tones {sums[way].tone:.0f}" for way, cell in zip(WAYS, cells, strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {', '.join(best)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", choices=["fine", "standard"], default="fine")
    parser.add_argument("--class", dest="classes", action="append", choices=papers.CLASSES, default=[])
    parser.add_argument("--every", type=int, default=1, help="read each Nth line only: quicker, and less certain")
    parser.add_argument("--keep", type=Path, help="directory for the fax pages and the lines that were misread")
    arguments = parser.parse_args()
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    y_dpi = raster.grid("letter", arguments.resolution).y_dpi
    results = {}
    for name in arguments.classes or papers.CLASSES:
        results[name] = measure(papers.CLASSES[name], y_dpi, arguments.resolution, arguments.every, arguments.keep)
        print(table({name: results[name]}).splitlines()[-1], flush=True)
    print("\n" + table(results))
    failed = [
        name for name, sums in results.items()
        if sums[OURS].rate > min(each.rate for each in sums.values()) + 1e-9
        or (name in papers.TEXT_CLASSES and sums[OURS].seconds > sums[WAYS[0]].seconds)
    ]  # fmt: skip
    print("\nours reads best on every class, in no more line time on text" if not failed else f"\nnot yet: {failed}")


if __name__ == "__main__":
    main()
