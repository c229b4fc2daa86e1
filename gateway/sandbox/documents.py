"""Documents of the sandbox: any upload becomes a fax TIFF, and a fax TIFF a PDF or a picture, in worker processes.

Files are named after the content they were made of, so the same document is converted once and never changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.errors import Refused, TryLater
from gateway.sandbox.answers import Failure
from gateway.sandbox.store import Store

_RENDER = "gateway.document.render"
_OPTIONS = {"paper": "letter", "resolution": "fine"}


@dataclass(frozen=True, slots=True)
class FaxPages:
    """A fax TIFF by its name in the directory."""

    tiff: str
    pages: int


class Documents:
    """``documents/`` and ``sandbox.tmp/`` of the state directory, which may hold other things: the second is emptied, so
    its name is nobody else's. A ``pool`` that is given is used, else one is started when needed.
    """

    def __init__(self, directory: Path, store: Store, pool: WorkerPool | None, workers: int) -> None:
        self._directory = directory / "documents"
        self.incoming = directory / "sandbox.tmp"
        self._store = store
        self._pool = pool
        self._own: WorkerPool | None = None
        self._workers = workers
        self._starting = asyncio.Lock()

    def open(self) -> None:
        """Make the directories; what an interrupted upload left is removed."""
        if self.incoming.exists():
            shutil.rmtree(self.incoming)
        for directory in (self._directory, self.incoming):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def close(self) -> None:
        """End the workers, if they are ours."""
        if self._own is not None:
            await self._own.close()

    def path(self, name: str) -> Path:
        """Where a file of ours is."""
        return self._directory / name

    async def convert(self, source: Path, sha256: str) -> FaxPages:
        """The fax pages of an uploaded document, whose bytes have this hash.

        Raises :class:`Failure`: 400 with the converter's sentence for what cannot be converted, 500 when it crashed.
        """
        known = self._store.conversion(sha256)
        if known is not None:
            return FaxPages(known["tiff"], known["pages"])
        name = f"{sha256}.tif"
        made = await self._make(name, f"{_RENDER}:to_tiff", path=str(source), options=_OPTIONS)
        self._store.add_conversion(sha256, name, int(made["pages"]))
        return FaxPages(name, int(made["pages"]))

    def adopt(self, tiff: Path) -> str:
        """Take over a TIFF that a line has received; returns its name."""
        name = f"{hashlib.sha256(tiff.read_bytes()).hexdigest()}.tif"
        shutil.move(tiff, self.path(name))
        return name

    async def first_pages(self, tiff: str, count: int) -> FaxPages:
        """A TIFF with only the first pages of another."""
        name = f"{Path(tiff).stem}-{count}.tif"
        if not self.path(name).exists():
            await self._make(name, "gateway.sandbox.pages:first_pages", path=str(self.path(tiff)), count=count)
        return FaxPages(name, count)

    async def pdf(self, tiff: str) -> Path:
        """The PDF of a fax TIFF, pixel by pixel the same."""
        name = f"{Path(tiff).stem}.pdf"
        if not self.path(name).exists():
            await self._make(name, f"{_RENDER}:tiff_to_pdf", path=str(self.path(tiff)))
        return self.path(name)

    async def preview(self, tiff: str) -> Path:
        """A picture of the first page."""
        name = f"{Path(tiff).stem}.png"
        if not self.path(name).exists():
            first = await self.first_pages(tiff, 1)
            with tempfile.TemporaryDirectory(dir=self.incoming) as scratch:
                made = await self._run(f"{_RENDER}:previews", document=str(self.path(first.tiff)), directory=scratch)
                os.replace(made[0], self.path(name))  # noqa: PTH105  # the name is a string here
        return self.path(name)

    async def _make(self, name: str, function: str, **arguments: Any) -> Any:
        """Have a file written beside and put it in place whole."""
        with tempfile.TemporaryDirectory(dir=self.incoming) as scratch:
            out = Path(scratch) / name
            made = await self._run(function, out=str(out), **arguments)
            out.replace(self.path(name))
        return made

    async def _run(self, function: str, **arguments: Any) -> Any:
        async with self._starting:
            if self._pool is None:
                self._pool = self._own = WorkerPool(self._workers, WorkerLimits())
                await self._own.start()
        try:
            return await self._pool.run(function, **arguments)
        except Refused as error:
            raise Failure(400, error.public) from error
        except TryLater as error:
            raise Failure(500, error.public) from error
