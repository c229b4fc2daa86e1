"""Office documents of today are ZIP packages of files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path


def change(document: Path, changed: Mapping[str, bytes]) -> None:
    """Write a package anew with this content of some of its files. Raises OSError, and what zipfile does."""
    if not changed:
        return
    made = document.with_suffix(".new")
    with zipfile.ZipFile(document) as source, zipfile.ZipFile(made, "w") as target:
        for entry in source.infolist():
            target.writestr(entry, changed.get(entry.filename) or source.read(entry))
    made.replace(document)
