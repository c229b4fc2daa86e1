"""What a conversion holds in memory, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import img2pdf
from PIL import Image

from gateway.document import raster

from .made import fax_page

_DRAW = """
import sys
from pathlib import Path
from gateway.document import pdf, raster

def peak() -> int:
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("VmHWM"))

before = peak()
pages = pdf.pages(Path(sys.argv[1]), "scan.pdf", raster.grid("letter", "fine"), 100)
assert sum(1 for page in pages) == int(sys.argv[2])
print(peak() - before)
"""

_SHOW = _DRAW.replace("import pdf, raster", "import picture, raster").replace(
    'pdf.pages(Path(sys.argv[1]), "scan.pdf"', 'picture.pages(Path(sys.argv[1]), "image/png", "photo.png"'
)


def peak(document: Path, pages: int, draw: str = _DRAW) -> int:
    """Kilobytes that drawing it takes."""
    run = subprocess.run(
        [sys.executable, "-c", draw, str(document), str(pages)], capture_output=True, text=True, check=True
    )
    return int(run.stdout)


def test_a_scan_in_colour_is_drawn_without_a_second_copy_of_it(tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    Image.effect_noise((2550, 3300), 40).convert("RGB").save(scan, resolution=300)
    picture = 2550 * 3300 * 3 // 1024
    assert peak(scan, 1) < 2.4 * picture


def test_the_pages_of_a_long_fax_are_held_packed(tmp_path: Path) -> None:
    fax = tmp_path / "fax.pdf"
    fax.write_bytes(img2pdf.convert([raster.g4(fax_page(), raster.FINE)] * 60, nodate=True))
    page = 1728 * 2156 // 1024  # as Pillow holds it, a byte a point
    assert peak(fax, 60) < 20 * page


def test_a_photo_in_colour_is_turned_without_a_second_copy_of_it(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((4000, 3000), 40).convert("RGB").save(photo, exif=exif)
    decoded = 4000 * 3000 * 4 // 1024  # as Pillow holds colours
    assert peak(photo, 1, _SHOW) < 1.8 * decoded
