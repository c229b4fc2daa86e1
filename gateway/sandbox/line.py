"""The line: what a call takes and how it ends. The formula line here needs nothing but the TIFF."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from PIL import Image

from gateway.document import raster
from gateway.sandbox.scenarios import Scenario

_BLOCK = 65_536  # bytes of an error-correction block, ITU-T T.30 annex A
_FINE = 150  # dots per inch down: more is fine resolution (196), less is standard (98)
_WITHOUT_ECM = 1.44  # MR instead of MMR: how many more bits a letter has, measured
_NOT_AT_THIS_RESOLUTION = 7.1  # seconds until the caller learns it, measured


@dataclass(frozen=True, slots=True)
class Page:
    """What of a page matters to the line: bytes of its G4 data, and whether it is in fine resolution."""

    size: int
    fine: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A fax TIFF, to whom, from whom (the station id), and what kind of machine is there."""

    document: Path
    number: str
    tsi: str
    called: Scenario


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended.

    ``pages`` arrived; ``seconds`` on the line; ``line`` names what says so. ``rate`` (bit/s), ``ecm`` and ``compression``
    are None where nothing was negotiated. ``received`` is the TIFF that arrived, where the line really carried one: None
    means the first ``pages`` pages of the document, unchanged.
    """

    msg_code: str
    pages: int
    seconds: float
    line: str
    rate: int | None = None
    ecm: bool | None = None
    compression: str | None = None
    received: Path | None = None


class Line(Protocol):
    """Something that places calls."""

    @property
    def name(self) -> str: ...

    async def place(self, call: Call) -> Outcome:
        """Place a call; the time it takes on the line is computed or measured, not waited for."""
        ...


@lru_cache(maxsize=1024)  # a document's file never changes
def read_pages(document: Path) -> tuple[Page, ...]:
    """The pages of a fax TIFF."""
    with Image.open(document) as image:
        pages = []
        for frame in range(getattr(image, "n_frames", 1)):
            image.seek(frame)
            pages.append(Page(raster.strip_bytes(image), float(image.info.get("dpi", (0, 0))[1]) > _FINE))
        return tuple(pages)


def call_seconds(pages: Sequence[Page], rate: int, *, ecm: bool = True) -> float:
    """Line time in seconds: a least-squares fit over measured T.30 calls, within 3 % of them."""
    bits = 8 * sum(page.size for page in pages)
    blocks = sum(-(-page.size // _BLOCK) for page in pages) if ecm else 0
    return 11.6 + 1.6 * len(pages) + 2.6 * blocks + 1.053 * bits * (1 if ecm else _WITHOUT_ECM) / rate


class FormulaLine:
    """A line without a modem: the scenario says how the call ends, a formula how long it takes."""

    name = "model"

    async def place(self, call: Call) -> Outcome:
        """See :class:`Line`."""
        pages = await asyncio.to_thread(read_pages, call.document)
        called = call.called
        if called.standard_only and any(page.fine for page in pages):
            return Outcome("unknown", 0, _NOT_AT_THIS_RESOLUTION, self.name)
        if called.seconds is not None:
            return Outcome(called.msg_code, 0, called.seconds, self.name)
        if called.pages is not None:  # who hangs up never has confirmed the last page
            pages = pages[: min(called.pages, len(pages) - 1)]
        seconds = call_seconds(pages, called.rate, ecm=called.ecm) * called.stretch
        return Outcome(
            called.msg_code, len(pages), round(seconds, 2), self.name,
            rate=called.rate, ecm=called.ecm, compression="MMR" if called.ecm else "MR",
        )  # fmt: skip
