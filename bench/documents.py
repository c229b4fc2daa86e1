"""Pages a second, and their size: PDFs to G4 fax pages by ours and by Ghostscript's tiffg4, in the same run.

    python bench/documents.py [--rounds N]

Ours is timed as the gateway runs it, in a process that has its libraries loaded and keeps memory as its converters do;
Ghostscript is given all papers of a kind in one call, so that its start is shared among them. Times are of the processor,
so that what else the machine does counts little; medians of the rounds, which take turns.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import papers
import pypdfium2
from PIL import Image, ImageSequence

from gateway.document import raster, sniff, sources
from gateway.document.bilevel import inked
from gateway.document.worker import MEMORY

LIMITS = {
    "text": (1.5, 1.1),
    "vector": (1.0, 1.0),
    "grey scan": (1.0, 1.0),
    "scan": (1.0, 1.0),
}  # of Ghostscript's time and size


def text() -> Iterator[papers.Paper]:
    yield from papers.black_text()


def vector() -> Iterator[papers.Paper]:
    """Drawings: a map of contour lines over a grid, with a chart of filled bars and labels."""
    for n in range(3):
        sheet = papers.Sheet(200 + n)
        dice = sheet.dice
        for k in range(31):
            sheet.rule(60 + k * 16, 60, 60 + k * 16, 540, 0.3, papers.grey(0.6))
            sheet.rule(60, 60 + k * 16, 540, 60 + k * 16, 0.3, papers.grey(0.6))
        for _ in range(8):
            x, y = dice.uniform(150, 450), dice.uniform(150, 450)
            bumps = [dice.uniform(0.8, 1.2) for _ in range(24)]
            for ring in range(1, 16):
                at = [
                    (x + ring * 6 * bump * math.cos(k * math.pi / 12), y + ring * 6 * bump * math.sin(k * math.pi / 12))
                    for k, bump in enumerate(bumps)
                ]
                for k in range(0, 24, 3):
                    around = [at[(k + step) % 24] for step in range(4)]
                    sheet.curve([v for point in around for v in point], 0.8 if ring % 5 == 0 else 0.4)
        for bar in range(12):
            height = dice.uniform(30, 150)
            sheet.box(80 + bar * 38, 740 - height, 26, height, papers.COLOURS[bar % len(papers.COLOURS)])
            sheet.text(80 + bar * 38, 752, f"{height:.1f}", 8)
        yield sheet.paper(f"drawing {n + 1}")


def scan() -> Iterator[papers.Paper]:
    """Pages as a copier in colour sends them: 300 dpi, a tint of paper, grain."""
    for n, paper in enumerate(papers.scans()):
        document = pypdfium2.PdfDocument(paper.pdf)
        grey = document[0].render(scale=300 / 72, grayscale=True).to_pil().convert("L")
        document.close()
        tint = [grey.point([round(v * share) for v in range(256)]) for share in (1.0, 0.98, 0.9)]
        sheet = papers.Sheet(300 + n)
        sheet.picture(0, 0, *papers.LETTER, Image.merge("RGB", tint), 75)
        yield sheet.paper(paper.name)


KINDS: dict[str, Callable[[], Iterator[papers.Paper]]] = {
    "text": text,
    "vector": vector,
    "grey scan": papers.scans,
    "scan": scan,
}


def ghostscript(paths: list[Path], out: Path) -> int:
    """Bytes of G4 that Ghostscript makes."""
    environment = {name: value for name, value in os.environ.items() if name not in MEMORY}
    subprocess.run(
        ["gs", "-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sDEVICE=tiffg4", "-r204x196", "-g1728x2156", "-dFIXEDMEDIA",
         f"-sOutputFile={out}", *map(str, paths)],
        check=True, env=environment,
    )  # fmt: skip
    with Image.open(out) as tiff:
        return sum(raster.strip_bytes(frame) for frame in ImageSequence.Iterator(tiff))


def ours(paths: list[Path]) -> list[bytes]:
    """Each page as a TIFF of ours."""
    target = raster.grid("letter", "fine")
    return [
        raster.g4(inked(page.image, page.y_dpi)[0], page.y_dpi)
        for path in paths for page in sources.pages(path, sniff.PDF, path.name, target)
    ]  # fmt: skip


def spent() -> float:
    """Seconds of processor time of the programs run so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print("| pages | gs ms a page | ours | gs KB a page | ours | time | size | holds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for kind, make in KINDS.items():
        with tempfile.TemporaryDirectory() as scratch:
            paths = []
            for n, paper in enumerate(make()):
                paths.append(Path(scratch, f"{n}.pdf"))
                paths[-1].write_bytes(paper.pdf)
            theirs, mine, sizes = [], [], (0, 0)
            for _ in range(rounds):
                start = time.process_time()
                made = ours(paths)
                mine.append(time.process_time() - start)
                start = spent()
                sizes = ghostscript(paths, Path(scratch, "gs.tif")), sum(map(raster.strip_size, made))
                theirs.append(spent() - start)
            gs, we = (1000 * statistics.median(times) / len(paths) for times in (theirs, mine))
            longer, larger = we / gs, sizes[1] / sizes[0]
            most = LIMITS[kind]
            holds = "yes" if longer <= most[0] and larger <= most[1] else "no"
            kilobytes = [size / 1000 / len(paths) for size in sizes]
            print(
                f"| {kind} | {gs:.0f} | {we:.0f} | {kilobytes[0]:.0f} | {kilobytes[1]:.0f}"
                f" | {longer:.2f} of {most[0]} | {larger:.2f} of {most[1]} | {holds} |",
                flush=True,
            )


if __name__ == "__main__":
    if not MEMORY.items() <= os.environ.items():  # which is read when a program starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **MEMORY})
    main()
