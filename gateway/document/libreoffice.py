"""Where LibreOffice is, and what of it is missing: it is looked for here, nothing of it is run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

AUTO, NONE = "auto", "none"  # values of document.office, beside a directory

_PLACES = ("/usr/lib/libreoffice", "/usr/lib64/libreoffice", "/opt/libreoffice*", "/usr/local/lib/libreoffice")
_LIBRARIES = ("libmergedlo.so", "libsofficeapp.so")  # which has the kit in it
_MODULES = {  # what each kind of document takes beside them, and Debian's package that has it
    "texts": ("libswlo.so", "libreoffice-writer-nogui"),
    "tables": ("libsclo.so", "libreoffice-calc-nogui"),
    "slides": ("libsdlo.so", "libreoffice-impress-nogui"),
    "formulas": ("libsmlo.so", "libreoffice-math-nogui"),
}


def find(setting: str) -> str:
    """The directory of programs that ``setting`` (auto, none or that directory) means, "" where there is none."""
    if setting == NONE:
        return ""
    if setting != AUTO:
        return setting if kit(Path(setting)) else ""
    return next((str(place) for place in _places() if kit(place)), "")


def lacking(place: str) -> dict[str, str]:
    """What the LibreOffice there cannot print (texts, tables, slides, formulas), and the package that helps."""
    return {kind: package for kind, (name, package) in _MODULES.items() if not Path(place, name).is_file()}


def _places() -> Iterator[Path]:
    for name in ("soffice", "libreoffice"):
        if started := shutil.which(name):
            yield Path(started).resolve().parent
    for place in _PLACES:
        for root in sorted(Path("/").glob(place.lstrip("/")), reverse=True):
            yield root / "program"


def kit(place: Path) -> Path | None:
    """The library in a directory of programs that has LibreOfficeKit in it."""
    return next((place / name for name in _LIBRARIES if (place / name).is_file()), None)
