"""The provider's callbacks over HTTP, and the daemon's health (Fax.to API, "receipt" and "incoming fax" webhooks).

One secret URL takes receipts and received faxes in every shape they are known to come in. A document is streamed into the
spool; ``200`` is said only when everything is durable, 503 on any trouble of ours, so that the provider repeats.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog
from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway import policy
from gateway.edge.listen import Listening, addresses, listen
from gateway.edge.seldom import Seldom
from gateway.errors import Refused, TryLater
from gateway.faultpoint import reach
from gateway.model import FaxArrival, Receipt
from gateway.provider.faxto_callback import DOCUMENT_FIELDS, parse_form, parse_json, parse_text, read, text_of
from gateway.received import START, file_type
from gateway.spool import Draft

log = structlog.get_logger("callbacks")

_PARTS = 32
_FIELD = 64 << 10
_CHUNK = 256 << 10
_SMALL = 256 << 10  # bodies up to here are parsed on the event loop, larger ones in a worker
_PARSERS = {"form": parse_form, "json": parse_json, "text": parse_text}
_AS_TEXT = 1.5  # growth of a document as base64 in a form
_FRAME = 1 << 20  # what may stand around a document
_RETRY_AFTER = "60"
_LINGER = 1.0  # seconds for a client to read why its body is not read to the end
_TOO_LARGE = "5.3.4"  # RFC 3463: message too big
# how a web server in front says that it asks for somebody else, whom its own address tells nothing of (RFC 7239, RFC 9110)
_PASSED_ON = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-IP")
# what the HTTP library raises on a body that is cut or was never whole
_BROKEN = (ValueError, RuntimeError, AssertionError, ConnectionError, HttpProcessingError, web.RequestPayloadError)


def _not_a_request(record: logging.LogRecord) -> bool:
    """Drop the library's word on what is no HTTP, which quotes the request line with the token, or on a body that is none."""
    broken = (HttpProcessingError, web.RequestPayloadError)
    return not (record.exc_info and isinstance(record.exc_info[1], broken))


_http_log = logging.getLogger("gateway.callbacks")
_http_log.addFilter(_not_a_request)


class CallbackSink(Protocol):
    """Where callbacks go; durable when its calls return."""

    def draft(self) -> Draft: ...

    async def receipt(self, receipt: Receipt) -> None: ...

    async def arrival(self, arrival: FaxArrival, draft: Draft | None, file_type: str) -> None: ...


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """``tokens``: any of them opens the door. ``max_file`` in bytes. Seconds: ``body_timeout`` for a whole body,
    ``idle_timeout`` for a connection without a whole request.
    """

    address: str
    tokens: tuple[str, ...]
    max_file: int = 64 << 20
    metrics_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    body_timeout: float = 300.0
    idle_timeout: float = 60.0
    max_connections: int = 100


class CallbackServer:
    """``parse(kind, path)`` runs ``parse_KIND`` of the provider's callback module on a large body in a worker;
    ``sockets`` are those systemd has passed, by name.
    """

    def __init__(
        self,
        settings: CallbackSettings,
        sink: CallbackSink,
        *,
        parse: Callable[[str, str], Awaitable[dict[str, Any]]],
        ready: Callable[[], bool],
        metrics: Callable[[], Awaitable[bytes]],
        sockets: Mapping[str, socket.socket] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._parse = parse
        self._ready = ready
        self._metrics = metrics
        self._sockets = sockets or {}
        self._clock = clock
        self._seldom = Seldom(log)
        self._runner: web.AppRunner | None = None
        self._listener: Listening | None = None
        self.address = settings.address

    async def start(self) -> None:
        """Bind. Raises OSError naming the address."""
        app = web.Application()
        app.router.add_route("*", "/{_:/*}callback/{token}{__:/*}", self._callback)  # slashes too many come by hand
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/healthz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_http_log,
            handle_signals=False,
            shutdown_timeout=10.0,
            keepalive_timeout=self._settings.idle_timeout,
            lingering_time=_LINGER,
        )
        await self._runner.setup()
        try:
            self._listener = await listen(self._connect, self._settings.address, self._sockets)
        except OSError:
            await self.stop()
            raise
        self.address = addresses(self._listener)[0]

    def _connect(self) -> asyncio.Protocol:
        return _Newcomer(self._runner.server if self._runner else None, self._settings.max_connections, self._seldom)

    async def stop(self) -> None:
        """Take no more; what has begun may end (10 s)."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- health ---------------------------------------------------------------------------------------------------

    async def _livez(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n") if self._ready() else web.Response(text="not ready\n", status=503)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        is_known = any(policy.lies_in(network, request.remote or "") for network in self._settings.metrics_networks)
        if not is_known or any(name in request.headers for name in _PASSED_ON):
            raise web.HTTPNotFound
        return web.Response(body=await self._metrics(), content_type="text/plain", charset="utf-8")

    # --- callbacks ------------------------------------------------------------------------------------------------

    def _opens(self, token: str) -> bool:
        """Compared with every token to its end, so that the time it takes tells nothing."""
        given, opens = token.encode("utf-8", "surrogateescape"), False
        for good in self._settings.tokens:
            opens |= hmac.compare_digest(given, good.encode())
        return opens

    async def _callback(self, request: web.Request) -> web.Response:
        if not self._opens(request.match_info["token"]):
            self._seldom.warning(
                "a callback with a wrong token; the provider has another than http.callbacks", client=request.remote
            )
            raise web.HTTPNotFound
        if request.method == "HEAD":  # somebody looks whether the address is good
            return _ok()
        if request.method not in ("GET", "POST"):
            raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD", "POST"])
        taken = _Taken(self._sink, self._settings.max_file)
        try:
            async with asyncio.timeout(self._settings.body_timeout):
                await self._read_body(request, taken)
            return await self._hand_over(request, taken)
        except Refused as error:
            log.warning("callback refused", why=str(error), uuid=taken.fields.get("uuid", "")[:100] or None)
            return web.Response(text="refused\n", status=413 if error.status == _TOO_LARGE else 400)
        except (TryLater, TimeoutError) as error:
            log.warning("callback not taken now", why=str(error) or "the body came too slowly")
        except Exception:
            log.exception("callback failed")
        finally:
            taken.discard()
        return web.Response(text="try again later\n", status=503, headers={"Retry-After": _RETRY_AFTER})

    async def _hand_over(self, request: web.Request, taken: _Taken) -> web.Response:
        """Give what was read to the sink; 200 once that is durable."""
        fields = {**request.query, **taken.fields}
        documents = taken.documents()
        if documents or taken.unreadable:
            fields.setdefault("file", "")
        word = read(fields, self._clock())
        if isinstance(word, Receipt):
            await asyncio.shield(self._sink.receipt(word))
            return _ok()
        if isinstance(word, FaxArrival):
            if not documents and taken.unreadable and not word.file_url:
                log.warning("a document that is neither PDF nor TIFF; asking the inbox for it", size=taken.unreadable)
            for draft in documents:  # more than one are as many faxes: none of them is the other
                taken.release(draft)
                await asyncio.shield(self._sink.arrival(word, draft, file_type(_start_of(draft))))
            if documents:
                return _ok()
            if word.uuid or word.recipient or word.sender or word.file_url:
                await asyncio.shield(self._sink.arrival(word, None, ""))
                return _ok()
            if taken.unreadable:
                raise Refused("the callback brings neither a document nor a number")
        log.info("a callback that says nothing we know", fields=sorted(fields)[:20])
        return _ok()

    async def _read_body(self, request: web.Request, taken: _Taken) -> None:
        if not request.can_read_body:
            return
        if (request.content_length or 0) > taken.most:
            raise Refused(
                f"the callback is larger than {taken.most} bytes, see http.callbacks.max_file", status=_TOO_LARGE
            )
        described = request.headers.get("Content-Type", "").lower()
        if described.startswith("multipart/") and "boundary=" in described:
            await self._read_multipart(request, taken)
        else:
            await self._read_whole(request, taken)

    async def _read_whole(self, request: web.Request, taken: _Taken) -> None:
        """A body that is JSON, a form, or the document itself with its fields in the query."""
        body = taken.new_draft()
        async for chunk in _pieces(request):
            taken.write(body, chunk)
        start = _start_of(body)
        if start.startswith(b"%PDF-") or file_type(start) == "image/tiff":
            taken.offer(body, "file")
        elif body.size:
            text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
            is_json = request.content_type == "application/json" or text.startswith(b"{")
            taken.fields.update(await self._unpack("json" if is_json else "form", body, "file", taken))

    async def _read_multipart(self, request: web.Request, taken: _Taken) -> None:
        count = 0
        async for part in _parts(request):
            count += 1
            if count > _PARTS:
                raise Refused("the callback has too many parts")
            if isinstance(part, MultipartReader):
                raise Refused("the callback has parts within parts")
            name = part.name or ""
            described = part.headers.get("Content-Type", "").lower()
            if part.filename or name in DOCUMENT_FIELDS or described.startswith(("application/", "image/")):
                await self._read_document(part, name or "file", taken)
            else:
                taken.fields[name] = text_of(await _short(part))

    async def _read_document(self, part: BodyPartReader, name: str, taken: _Taken) -> None:
        """A part that is a document, or the text or address of one."""
        draft = taken.new_draft()
        async for chunk in _chunks(part):
            taken.write(draft, chunk)
        if file_type(_start_of(draft)):
            taken.offer(draft, name)
        elif draft.size:
            size = draft.size
            if text := (await self._unpack("text", draft, name, taken))["file"]:
                taken.fields[name], taken.unreadable = text, size

    async def _unpack(self, kind: str, body: Draft, name: str, taken: _Taken) -> dict[str, str]:
        """Fields of a body; a document among them is offered under ``name``."""
        path = str(body.path)
        found = _PARSERS[kind](path) if body.size <= _SMALL else await self._parse(kind, path)
        for each in found["documents"]:
            taken.offer(await taken.copy(f"{path}.{each}"), name if kind == "text" else each)
        body.discard()
        fields: dict[str, str] = found["fields"]
        return fields


class _Taken:
    """What a callback has brought so far; its files are removed by :meth:`discard`, but for those released."""

    def __init__(self, sink: CallbackSink, max_file: int) -> None:
        self._sink = sink
        self._max_file = max_file
        self.most = round(max_file * _AS_TEXT) + _FRAME
        self._size = 0
        self._drafts: list[Draft] = []
        self._offered: list[tuple[Draft, str]] = []  # with the names of their fields
        self.fields: dict[str, str] = {}
        self.unreadable = 0  # size of what came in a document's place and is none

    def new_draft(self) -> Draft:
        draft = self._sink.draft()
        self._drafts.append(draft)
        return draft

    def write(self, draft: Draft, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self.most:
            raise Refused(
                f"the callback is larger than {self.most} bytes, see http.callbacks.max_file", status=_TOO_LARGE
            )
        draft.write(chunk)

    async def copy(self, path: str) -> Draft:
        """A draft of what a parser wrote."""
        draft = self.new_draft()
        for chunk in _file_chunks(path):
            draft.write(chunk)
            await asyncio.sleep(0)
        return draft

    def offer(self, draft: Draft, name: str) -> None:
        """Keep a document that came in the field ``name``."""
        if draft.size > self._max_file:
            raise Refused(
                f"the fax has {draft.size} bytes, more than the {self._max_file} of http.callbacks.max_file",
                status=_TOO_LARGE,
            )
        self._offered.append((draft, name))

    def documents(self) -> list[Draft]:
        """Those in fields of known names or, without any, all of them."""
        known = [draft for draft, name in self._offered if name in DOCUMENT_FIELDS]
        if known and len(known) < len(self._offered):
            others = [name for _, name in self._offered if name not in DOCUMENT_FIELDS]
            log.warning("documents beside the fax are not kept", fields=others, uuid=self.fields.get("uuid", "")[:100])
        return known or [draft for draft, _ in self._offered]

    def release(self, draft: Draft) -> None:
        """It is the caller's now."""
        self._drafts.remove(draft)

    def discard(self) -> None:
        for draft in self._drafts:
            draft.discard()
            for name in DOCUMENT_FIELDS:  # of a body that was read, or could not be
                Path(f"{draft.path}.{name}").unlink(missing_ok=True)


class _Newcomer(asyncio.Protocol):
    """A connection of which is decided when it is made whether it is one too many: several may be on their way at once."""

    def __init__(self, server: web.Server | None, most: int, seldom: Seldom) -> None:
        self._server = server
        self._most = most
        self._seldom = seldom

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._server is None or len(self._server.connections) >= self._most:
            self._seldom.warning("too many connections, see http.callbacks.max_connections", count=self._most)
            transport.close()
            return
        handler = self._server()
        transport.set_protocol(handler)
        handler.connection_made(transport)


def _ok() -> web.Response:
    reach("callback.replying")
    return web.Response(text="OK\n")


def _start_of(draft: Draft) -> bytes:
    with draft.path.open("rb") as stream:
        return stream.read(START)


def _file_chunks(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


# --- reading, with the library's errors translated --------------------------------------------------------------------


async def _pieces(request: web.Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.content.iter_chunked(_CHUNK):
            yield chunk
    except _BROKEN as error:
        raise Refused("the callback's body is broken", type(error).__name__) from None


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader | MultipartReader]:
    """The parts of a multipart body; its end must be there (RFC 2046 section 5.1.1)."""
    try:
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            yield part
    except _BROKEN as error:
        raise Refused("the callback's body is broken", type(error).__name__) from None


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    try:
        while chunk := await part.read_chunk(_CHUNK):
            yield chunk
    except _BROKEN as error:
        raise Refused("the callback's body is broken", type(error).__name__) from None


async def _short(part: BodyPartReader) -> bytes:
    """A field, decoded where its transfer encoding is known."""
    data = b""
    async for chunk in _chunks(part):
        data += chunk
        if len(data) > _FIELD:
            raise Refused("a field of the callback is too long")
    try:
        return bytes(part.decode(data))
    except (ValueError, RuntimeError):
        return data
