"""A document as bytes becomes pages, and a list of files a fax."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from gateway.document import raster, sniff, sources
from gateway.document.raster import Page
from gateway.document.refusal import Unfaxable
from gateway.document.render import render
from gateway.model import MailPart

Pages = Callable[..., list[Page]]


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    """``pages(data)`` of a document called ``x.bin``; its kind is sniffed."""

    def convert(
        data: bytes, *, paper: str = "letter", resolution: str = "fine", name: str = "x.bin", **more: Any
    ) -> list[Page]:
        path = tmp_path / "document"
        path.write_bytes(data)
        return list(sources.pages(path, sniff.sniff(path), name, raster.grid(paper, resolution), **more))

    return convert


@pytest.fixture
def refusal(pages: Pages) -> Callable[..., Unfaxable]:
    """``refusal(data)``: the refusal of a document called ``x.bin``, which it names."""

    def refused(data: bytes, **more: Any) -> Unfaxable:
        with pytest.raises(Unfaxable) as caught:
            pages(data, **more)
        assert "x.bin" in caught.value.public
        return caught.value

    return refused


class Fax:
    """Makes one fax of several parts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.out = directory / "fax.pdf"

    def part(self, name: str, data: bytes, role: str = "attachment", **fields: Any) -> dict[str, Any]:
        path = self._directory / f"{len(list(self._directory.glob('*.part'))):03}.part"
        path.write_bytes(data)
        given = {"declared_type": "application/octet-stream", "disposition": "attachment", **fields}
        return asdict(MailPart(str(path), role, name, size=len(data), **given))

    def text(self, content: str, name: str = "message text", **fields: Any) -> dict[str, Any]:
        return self.part(name, content.encode(), "body-text", disposition="", charset="utf-8", **fields)

    def html(self, content: str, **fields: Any) -> dict[str, Any]:
        return self.part("message text", content.encode(), "body-html", disposition="", charset="utf-8", **fields)

    def make(self, *parts: dict[str, Any], left_out: tuple[dict[str, str], ...] = (), **options: Any) -> dict[str, Any]:
        return render(list(parts), list(left_out), str(self.out), options)


@pytest.fixture
def fax(tmp_path: Path) -> Fax:
    return Fax(tmp_path)
