"""What a conversion holds in memory, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

_DRAW = """
import sys
from pathlib import Path
from gateway.document import pdf, raster

def peak() -> int:
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("VmHWM"))

before = peak()
pages = list(pdf.pages(Path(sys.argv[1]), "scan.pdf", raster.grid("letter", "fine"), 10))
assert len(pages) == 1
print(peak() - before)
"""


def test_a_scan_in_colour_is_drawn_without_a_second_copy_of_it(tmp_path: Path) -> None:
    scan = tmp_path / "scan.pdf"
    Image.effect_noise((2550, 3300), 40).convert("RGB").save(scan, resolution=300)
    run = subprocess.run([sys.executable, "-c", _DRAW, str(scan)], capture_output=True, text=True, check=True)
    picture = 2550 * 3300 * 3 // 1024
    assert int(run.stdout) < 2.4 * picture
