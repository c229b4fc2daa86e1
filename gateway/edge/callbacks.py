"""The provider's callbacks over HTTP, and the daemon's health (Fax.to API, "receipt" and "incoming fax" webhooks).

One secret URL takes receipts and received faxes in every shape they are known to come in. A document is streamed into the
spool; ``200`` is said only when everything is durable, 503 on any trouble of ours, so that the provider repeats.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog
from aiohttp import BodyPartReader, MultipartReader, web

from gateway.errors import Refused, TryLater
from gateway.model import FaxArrival, Receipt
from gateway.provider.faxto_callback import DOCUMENT_FIELDS, decode_document, file_type, read
from gateway.spool import Draft

log = structlog.get_logger("callbacks")

_PARTS = 32
_FIELD = 64 << 10
_CHUNK = 256 << 10
_SMALL = 256 << 10  # bodies up to here are parsed on the event loop
_BASE64 = 1.4  # growth of a document as text
_RETRY_AFTER = "60"


class CallbackSink(Protocol):
    """Where callbacks go; durable when its calls return."""

    def draft(self) -> Draft: ...

    async def receipt(self, receipt: Receipt) -> None: ...

    async def arrival(self, arrival: FaxArrival, draft: Draft | None, file_type: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """``tokens``: any of them opens the door. ``max_file`` in bytes, ``body_timeout`` in seconds for a whole body."""

    address: str
    tokens: tuple[str, ...]
    max_file: int = 64 << 20
    metrics_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    body_timeout: float = 300.0
    max_connections: int = 100


class CallbackServer:
    """``parse(kind, path)`` reads a large JSON or form body in a worker: {"fields": {...}, "document": path or None}."""

    def __init__(
        self,
        settings: CallbackSettings,
        sink: CallbackSink,
        *,
        parse: Callable[[str, str], Awaitable[dict[str, Any]]],
        ready: Callable[[], bool],
        metrics: Callable[[], Awaitable[bytes]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._parse = parse
        self._ready = ready
        self._metrics = metrics
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self._slots = asyncio.Semaphore(settings.max_connections)
        self.address = settings.address

    async def start(self) -> None:
        """Bind. Raises OSError naming the address."""
        app = web.Application(client_max_size=round(self._settings.max_file * _BASE64) + (1 << 20))
        app.router.add_route("*", "/callback/{token}", self._callback)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/healthz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=10.0)
        await self._runner.setup()
        host, _, port = self._settings.address.rpartition(":")
        try:
            site = web.TCPSite(self._runner, host.strip("[]"), int(port))
            await site.start()
        except OSError as error:
            await self.stop()
            raise OSError(error.errno, f"cannot listen on {self._settings.address}: {error.strerror}") from error
        bound = self._runner.addresses[0]
        self.address = f"{host}:{bound[1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- health ---------------------------------------------------------------------------------------------------

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if self._ready() else web.Response(text="not ready\n", status=503)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        try:
            client = ipaddress.ip_address(request.remote or "")
        except ValueError:
            raise web.HTTPNotFound from None
        networks = map(ipaddress.ip_network, self._settings.metrics_networks)
        if not any(client in network for network in networks):
            raise web.HTTPNotFound
        return web.Response(body=await self._metrics(), content_type="text/plain", charset="utf-8")

    # --- callbacks ------------------------------------------------------------------------------------------------

    async def _callback(self, request: web.Request) -> web.Response:
        token = request.match_info["token"].encode()
        if not any([hmac.compare_digest(token, good.encode()) for good in self._settings.tokens]):
            raise web.HTTPNotFound
        if request.method not in ("GET", "POST"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "POST"])
        taken = _Taken(self._sink, self._settings.max_file)
        try:
            async with self._slots, asyncio.timeout(self._settings.body_timeout):
                await self._read_body(request, taken)
            return await self._hand_over(request, taken)
        except Refused as error:
            log.warning("callback refused", why=str(error))
            return web.Response(text="refused\n", status=413 if error.status == "5.3.4" else 400)
        except (TryLater, TimeoutError) as error:
            log.warning("callback not taken now", why=str(error) or "the body came too slowly")
            return _later()
        except web.HTTPException:
            raise
        except (ValueError, ConnectionError) as error:
            log.warning("callback unreadable", why=repr(error))
            return web.Response(text="unreadable\n", status=400)
        except Exception:
            log.exception("callback failed")
            return _later()
        finally:
            taken.discard()

    async def _hand_over(self, request: web.Request, taken: _Taken) -> web.Response:
        fields = {**dict(request.query), **taken.fields}
        if taken.draft is not None:
            fields.setdefault("file", "")
        word = read(fields, self._clock())
        if isinstance(word, Receipt):
            await asyncio.shield(self._sink.receipt(word))
        elif isinstance(word, FaxArrival):
            draft, kind = taken.release()
            if draft is not None and not kind:
                log.warning("a document that is neither PDF nor TIFF; asking the inbox for it", size=draft.size)
                draft.discard()
                draft = None
            if draft is None and not word.recipient and not word.uuid and not word.file_url:
                raise Refused("the callback brings neither a document nor a number")
            await asyncio.shield(self._sink.arrival(word, draft, kind))
        else:
            log.info("a callback that says nothing we know", fields=sorted(fields)[:20])
        return web.Response(text="OK\n")

    async def _read_body(self, request: web.Request, taken: _Taken) -> None:
        kind = request.content_type
        if kind.startswith("multipart/"):
            await self._read_multipart(await request.multipart(), taken)
            return
        if not request.can_read_body:
            return
        parser = "json" if kind == "application/json" else "form"
        body = taken.new_draft()
        try:
            async for chunk in request.content.iter_chunked(_CHUNK):
                if parser == "form" and not body.size and chunk.lstrip()[:1] in (b"{", b"["):
                    parser = "json"
                if body.size + len(chunk) > self._settings.max_file * _BASE64 + _FIELD:
                    raise Refused("the callback is larger than allowed", status="5.3.4")
                body.write(chunk)
            if not body.size:
                return
            document = Path(f"{body.path}.document")
            try:
                found = await self._parse(parser, str(body.path))
                taken.fields.update(found["fields"])
                if found["document"]:
                    await taken.take_file(document)
            finally:
                document.unlink(missing_ok=True)
        finally:
            body.discard()

    async def _read_multipart(self, reader: MultipartReader, taken: _Taken) -> None:
        count = 0
        while (part := await reader.next()) is not None:
            count += 1
            if count > _PARTS:
                raise Refused("the callback has too many parts")
            if isinstance(part, MultipartReader):
                raise Refused("the callback has parts within parts")
            assert isinstance(part, BodyPartReader)
            name = part.name or ""
            if (
                part.filename
                or name in DOCUMENT_FIELDS
                or (part.headers.get("Content-Type", "")).startswith("application/")
            ):
                await self._read_document(part, name, taken)
            else:
                taken.fields[name] = (await self._short(part)).decode("utf-8", "replace")

    async def _short(self, part: BodyPartReader) -> bytes:
        data = b""
        while chunk := await part.read_chunk(_CHUNK):
            data += chunk
            if len(data) > _FIELD:
                raise Refused("a field of the callback is too long")
        return bytes(part.decode(data))

    async def _read_document(self, part: BodyPartReader, name: str, taken: _Taken) -> None:
        """A part that is a document, or the text or address of one."""
        draft = taken.new_draft()
        try:
            while chunk := await part.read_chunk(_CHUNK):
                if draft.size + len(chunk) > self._settings.max_file * _BASE64:
                    raise Refused("the fax is larger than allowed", status="5.3.4")
                draft.write(chunk)
            with draft.path.open("rb") as stream:
                start = stream.read(1024)
            if file_type(start) or part.filename:
                if draft.size > self._settings.max_file:
                    raise Refused("the fax is larger than allowed", status="5.3.4")
                if draft.size and taken.draft is None:
                    taken.keep(draft)
                    draft = None  # type: ignore[assignment]  # it is kept now
                return
            await self._from_text(draft, name or "file", taken)
        finally:
            if draft is not None:
                draft.discard()

    async def _from_text(self, draft: Draft, name: str, taken: _Taken) -> None:
        text = (await asyncio.to_thread(draft.path.read_bytes)).decode("latin-1")
        data = await asyncio.to_thread(decode_document, text)
        if data is not None:
            decoded = taken.new_draft()
            taken.keep(decoded)
            decoded.write(data)
        else:
            taken.fields[name] = text[:4000]


class _Taken:
    """What a callback has brought so far; its draft is discarded unless released."""

    def __init__(self, sink: CallbackSink, max_file: int) -> None:
        self._sink = sink
        self._max_file = max_file
        self.fields: dict[str, str] = {}
        self.draft: Draft | None = None

    def new_draft(self) -> Draft:
        return self._sink.draft()

    def keep(self, draft: Draft) -> None:
        if self.draft is not None:
            self.draft.discard()
        self.draft = draft

    async def take_file(self, path: Path) -> None:
        if path.stat().st_size > self._max_file:
            raise Refused("the fax is larger than allowed", status="5.3.4")
        draft = self.new_draft()
        self.keep(draft)
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                draft.write(chunk)
                await asyncio.sleep(0)

    def release(self) -> tuple[Draft | None, str]:
        """The draft, now the caller's, and its type ("" for no document we know)."""
        draft, self.draft = self.draft, None
        if draft is None:
            return None, ""
        with draft.path.open("rb") as stream:
            return draft, file_type(stream.read(1024))

    def discard(self) -> None:
        if self.draft is not None:
            self.draft.discard()
            self.draft = None


def _later() -> web.Response:
    return web.Response(text="try again later\n", status=503, headers={"Retry-After": _RETRY_AFTER})
