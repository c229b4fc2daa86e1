"""The pages of a received document are counted by what can be had of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from gateway.document.pagecount import pagecount

from .made import letters


@pytest.mark.parametrize("count", [1, 3])
def test_the_pages_of_a_pdf(tmp_path: Path, count: int) -> None:
    path = tmp_path / "fax"
    path.write_bytes(letters(count))
    assert pagecount(str(path)) == count


def test_a_page_that_is_not_there_does_not_count(tmp_path: Path) -> None:
    boasting, times = re.subn(rb"/Count 2\b", b"/Count 5", letters(2, qdf=True))
    assert times == 1
    path = tmp_path / "fax"
    path.write_bytes(boasting)
    assert pagecount(str(path)) == 2


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_pages_of_a_tiff(tmp_path: Path, count: int) -> None:
    path = tmp_path / "fax"
    pages = [Image.new("1", (1728, 100 + n), 1) for n in range(count)]
    pages[0].save(path, "TIFF", compression="group4", save_all=True, append_images=pages[1:])
    assert pagecount(str(path)) == count


@pytest.mark.parametrize("content", [b"%PDF-1.4 one %%EOF", b"II*\x00"])
def test_what_cannot_be_opened_has_no_pages(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fax"
    path.write_bytes(content)
    assert pagecount(str(path)) == 0
