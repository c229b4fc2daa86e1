"""What the sandbox's tests share: documents, a raw client, a place where callbacks arrive."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import img2pdf
from aiohttp import web
from PIL import Image, ImageDraw

from gateway.document.worker import WorkerPool
from gateway.provider.faxto import FaxTo, FaxToSettings
from gateway.sandbox.server import Sandbox, SandboxSettings

KEY = "test-key-1"
HOME = "+12025550100"
ANYBODY = "+12025550123"


def page(number: int, text: str = "") -> Image.Image:
    """A fax page that looks like no other."""
    image = Image.new("1", (1728, 2156), 1)
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((100, 100 + 150 * number, 1600, 180 + 150 * number), fill=0)
    canvas.text((100, 2000), f"page {number} {text}", fill=0)
    return image


@functools.cache
def pdf(pages: int = 1, text: str = "") -> bytes:
    """A PDF of fax pages, as the gateway uploads it."""
    sheets = []
    for number in range(pages):
        out = io.BytesIO()
        page(number, text).save(out, format="TIFF", compression="group4", dpi=(204, 196))
        sheets.append(out.getvalue())
    made: bytes = img2pdf.convert(sheets, nodate=True, producer="", engine=img2pdf.Engine.internal)
    return made


def pixels(document: bytes) -> list[bytes]:
    """The pages of a TIFF as bytes of their pixels."""
    with Image.open(io.BytesIO(document)) as tiff:
        found = []
        for frame in range(getattr(tiff, "n_frames", 1)):
            tiff.seek(frame)
            found.append(tiff.convert("1").tobytes())
        return found


async def until(what: Callable[[], Any], limit: float = 30.0) -> Any:
    """Wait for something to be true (or to be there) and return it."""
    deadline = time.monotonic() + limit
    while True:
        found = what()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.01)


@dataclass
class Got:
    """What a raw call was answered; ``error`` when it was not, or not wholly."""

    status: int = 0
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def json(self) -> Any:
        """The body by a strict reader."""

        def no_constant(name: str) -> Any:
            raise ValueError(f"{name} is not JSON")

        return json.loads(self.body, parse_constant=no_constant)


@dataclass
class Callback:
    """A callback as it came: ``fields`` without the file."""

    method: str
    content_type: str
    fields: dict[str, str]
    files: dict[str, tuple[str | None, str | None, bytes]]  # name -> filename, content type, content
    raw: bytes = b""
    at: float = 0.0


class Receiver:
    """The customer's end of the callbacks: keeps them and answers 200, or what ``answers`` says, one after the other."""

    def __init__(self) -> None:
        self.got: list[Callback] = []
        self.answers: list[int] = []
        self.always = 200
        self.url = ""
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/callback/token", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}/callback/token"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def receipts(self, job: int = 0) -> list[Callback]:
        return [each for each in self.got if "fax_job_id" in each.fields and job in (0, int(each.fields["fax_job_id"]))]

    def arrivals(self) -> list[Callback]:
        return [each for each in self.got if "to" in each.fields]

    async def _take(self, request: web.Request) -> web.Response:
        callback = Callback(request.method, request.content_type, dict(request.query), {}, at=time.time())
        if request.content_type == "multipart/form-data":
            reader = await request.multipart()
            while (part := await reader.next()) is not None:
                assert isinstance(part, aiohttp.BodyPartReader)
                content = bytes(await part.read())
                if part.name in ("file", "document"):
                    kind = part.headers.get("Content-Type")
                    callback.files[part.name] = (part.filename, kind, content)
                else:
                    callback.fields[part.name or ""] = content.decode()
        elif request.content_type == "application/json":
            callback.fields |= await request.json()
        else:
            callback.raw = await request.read()
            callback.fields |= {name: str(value) for name, value in (await request.post()).items()}
        self.got.append(callback)
        return web.Response(text="noted", status=self.answers.pop(0) if self.answers else self.always)


@asynccontextmanager
async def server(answer: bytes = b"") -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Takes any request and writes this, or nothing until its client has gone. Its URL, and whether it was asked."""
    asked = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        with contextlib.suppress(ConnectionError):
            if answer:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
            else:
                await reader.read(-1)
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/", asked


class World:
    """A running sandbox and its neighbours."""

    def __init__(self, sandbox: Sandbox, session: aiohttp.ClientSession, receiver: Receiver) -> None:
        self.sandbox = sandbox
        self.session = session
        self.receiver = receiver
        self.client = FaxTo(FaxToSettings(f"http://{sandbox.address}/api/v2", KEY, rate=0, timeout=10))

    def url(self, path: str) -> str:
        return f"http://{self.sandbox.address}{path}"

    async def call(
        self, method: str, path: str, *, key: str | None = KEY, version: str = "v2", **arguments: Any
    ) -> Got:
        """A call of the API with the key in the query; a ``path`` with /receivefax, /member or /sandbox is whole."""
        whole = path.startswith(("/receivefax", "/member", "/sandbox"))
        params = dict(arguments.pop("params", {}))
        if key is not None and not path.startswith("/sandbox"):
            params.setdefault("api_key", key)
        return await self.raw(method, path if whole else f"/api/{version}{path}", params=params, **arguments)

    async def raw(self, method: str, path: str, *, most: int = 16 << 20, **arguments: Any) -> Got:
        got = Got()
        arguments.setdefault("timeout", aiohttp.ClientTimeout(total=20))
        try:
            async with self.session.request(method, self.url(path), allow_redirects=False, **arguments) as response:
                got.status, got.headers = response.status, dict(response.headers)
                async for chunk in response.content.iter_any():
                    got.body += chunk
                    if len(got.body) > most:
                        got.error = "too much"
                        break
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            got.error = type(error).__name__
        return got

    # --- shorthands ---------------------------------------------------------------------------------------------------

    async def upload(self, document: bytes | None = None, name: str = "document.pdf") -> int:
        form = aiohttp.FormData()
        form.add_field("file", document or pdf(), filename=name, content_type="application/pdf")
        got = await self.call("POST", "/files", data=form)
        assert got.status == 200, got.body
        return int(got.json["document_id"])

    async def send(self, document: int, number: str = ANYBODY, **fields: str) -> Got:
        return await self.call("POST", "/fax", data={"document_id": str(document), "fax_number": number, **fields})

    async def sent(self, document: int, number: str = ANYBODY, **fields: str) -> int:
        return int((await self.send(document, number, **fields)).json["fax_job_id"])

    async def faxes(self) -> list[dict[str, Any]]:
        faxes: list[dict[str, Any]] = (await self.call("GET", "/sandbox/faxes")).json["faxes"]
        return faxes

    async def fax(self, job: int) -> dict[str, Any]:
        return next(fax for fax in await self.faxes() if fax["fax_job_id"] == job)

    async def callbacks(self) -> list[dict[str, Any]]:
        callbacks: list[dict[str, Any]] = (await self.call("GET", "/sandbox/callbacks")).json["callbacks"]
        return callbacks

    async def inject(self, **fields: str | bytes) -> Got:
        """A fax arrives."""
        form = aiohttp.FormData()
        for name, value in {"from": "+14155550111", "to": HOME, "file": pdf(), **fields}.items():
            if isinstance(value, bytes):
                form.add_field(name, value, filename="in.pdf", content_type="application/pdf")
            else:
                form.add_field(name, value)
        return await self.call("POST", "/sandbox/inbound", data=form)

    async def order(self, operation: str, fault: str, **more: Any) -> dict[str, Any]:
        got = await self.call("POST", "/sandbox/faults", json={"operation": operation, "fault": fault, **more})
        assert got.status == 200, got.body
        rule: dict[str, Any] = got.json["rule"]
        return rule

    async def clear(self) -> None:
        await self.call("DELETE", "/sandbox/faults")


@asynccontextmanager
async def world(
    directory: Path,
    pool: WorkerPool | None,
    receiver: Receiver | None = None,
    *,
    callbacks: bool = True,
    **settings: Any,
) -> AsyncIterator[World]:
    """A sandbox that calls back to a receiver (of its own, unless given)."""
    own = receiver is None
    receiver = receiver or Receiver()
    if own:
        await receiver.start()
    line, clock = settings.pop("line", None), settings.pop("clock", time.time)
    chosen = {
        "listen": "127.0.0.1:0",
        "balance": Decimal(100),
        "callback": receiver.url if callbacks else "",
        **settings,
    }
    sandbox = Sandbox(SandboxSettings(directory, KEY, **chosen), pool, line=line, clock=clock)
    await sandbox.start()
    async with aiohttp.ClientSession() as session:
        session._retry_connection = False  # a call that was dropped shall not be repeated by the library
        here = World(sandbox, session, receiver)
        try:
            yield here
        finally:
            await here.client.close()
            await sandbox.stop()
            if own:
                await receiver.stop()
