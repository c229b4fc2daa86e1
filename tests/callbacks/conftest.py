"""A callback server on a loopback port with a sink that keeps what it is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.edge.callbacks import CallbackServer, CallbackSettings
from gateway.model import FaxArrival, Receipt
from gateway.provider import faxto_callback
from gateway.spool import Draft, Spool

TOKEN = "tokentokentokentokentoken"
PDF = b"%PDF-1.4\n" + bytes(range(256)) * 600 + b"\n%%EOF\n"
TIFF = b"II*\0" + bytes(range(256)) * 10


class Recorder:
    """Keeps receipts and arrivals; ``trouble`` is raised instead, ``wait`` is waited for first."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.receipts: list[Receipt] = []
        self.arrivals: list[tuple[FaxArrival, bytes | None, str]] = []
        self.trouble: Exception | None = None
        self.no_draft: Exception | None = None
        self.wait = asyncio.Event()
        self.wait.set()
        self.reached = asyncio.Event()

    def draft(self) -> Draft:
        if self.no_draft:
            raise self.no_draft
        return self.spool.draft()

    async def receipt(self, receipt: Receipt) -> None:
        await self._durable()
        self.receipts.append(receipt)

    async def arrival(self, arrival: FaxArrival, draft: Draft | None, file_type: str) -> None:
        try:
            await self._durable()
            self.arrivals.append((arrival, draft.path.read_bytes() if draft else None, file_type))
        finally:
            if draft is not None:
                draft.discard()

    async def _durable(self) -> None:
        self.reached.set()
        await self.wait.wait()
        if self.trouble:
            raise self.trouble


class Door:
    """The running server, as a test speaks to it."""

    def __init__(self, server: CallbackServer, sink: Recorder, client: aiohttp.ClientSession, spool: Spool) -> None:
        self.server, self.sink, self.client, self.spool = server, sink, client, spool
        self.parsed: list[str] = []  # kinds handed to the worker
        self.ready = True

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.server.address.rpartition(":")
        return host, int(port)

    @property
    def url(self) -> str:
        return f"http://{self.server.address}/callback/{TOKEN}"

    async def post(self, data: Any = None, **more: Any) -> int:
        async with self.client.post(more.pop("url", self.url), data=data, **more) as answer:
            await answer.read()
            return answer.status

    async def raw(self, data: bytes) -> bytes:
        """Write ``data`` as it is and read what is answered until the server closes."""
        reader, writer = await asyncio.open_connection(*self.place)
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(30):
                return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()

    def multipart(self, *parts: bytes, end: bytes = b"--B--\r\n", headers: bytes = b"") -> bytes:
        """A whole request; each part is its headers, an empty line and its content."""
        body = b"".join(b"--B\r\n" + part + b"\r\n" for part in parts) + end
        return self.request(body, b"Content-Type: multipart/form-data; boundary=B\r\n" + headers)

    def request(self, body: bytes, headers: bytes = b"", *, token: str = TOKEN, method: str = "POST") -> bytes:
        length = b"" if b"chunked" in headers else b"Content-Length: %d\r\n" % len(body)
        return (
            f"{method} /callback/{token} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
            + length + headers + b"\r\n" + body
        )  # fmt: skip

    def left_behind(self) -> list[str]:
        return [file.name for file in (self.spool.root / "tmp").iterdir()]


Start = Callable[..., Awaitable[Door]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start servers with other settings than the usual ones; none may leave a file behind."""
    doors: list[Door] = []
    spool = Spool(tmp_path / "spool", reserve=0, floor=0)
    spool.open()

    async def go(**settings: Any) -> Door:
        async def parse(kind: str, path: str) -> dict[str, Any]:
            door.parsed.append(kind)
            found: dict[str, Any] = await asyncio.to_thread(getattr(faxto_callback, f"parse_{kind}"), path)
            return found

        async def metrics() -> bytes:
            return b"faxgateway_up 1\n"

        sink = Recorder(spool)
        sockets = settings.pop("sockets", None)
        server = CallbackServer(
            CallbackSettings(**{"address": "127.0.0.1:0", "tokens": (TOKEN,), "max_file": 1 << 20, **settings}),
            sink, parse=parse, ready=lambda: door.ready, metrics=metrics, sockets=sockets, clock=lambda: 1000.0,
        )  # fmt: skip
        await server.start()
        door = Door(server, sink, aiohttp.ClientSession(), spool)
        doors.append(door)
        return door

    yield go
    for door in doors:
        await door.client.close()
        await door.server.stop()
        assert door.left_behind() == []


@pytest.fixture
async def door(start: Start) -> Door:
    return await start()


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not what():
            await asyncio.sleep(0.01)
