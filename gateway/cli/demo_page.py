"""The demo's page: the mails that arrived and the faxes that went out, with their pages, and buttons to try it.

Everything shown was written by strangers: texts are escaped, documents are shown as pictures of ours, the browser is told
to run and load nothing but the page's own files. It answers to this machine's own names only, and takes orders only from
itself (Fetch standard, "Origin header").
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import jinja2
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.cli.demo_faxes import Fax
from gateway.cli.demo_mailbox import Attachment, Mail
from gateway.cli.output import plural
from gateway.errors import GatewayError, Refused
from gateway.model import FaxNumber
from gateway.numbers import format_human

_MAX_UPLOAD = 40 << 20
_HOSTS = {"127.0.0.1", "localhost", "::1"}
_FILES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_SAFE_TYPES = ("application/pdf", "image/tiff")
_KINDS = {"delivered": "fax result", "failed": "fax result", "unknown": "fax result", "no_result": "fax result",
          "delayed": "fax waits", "inbound": "received fax", "operator": "notice"}  # fmt: skip
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a form's Origin would be null
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


T = TypeVar("T")


class News:
    """Counts what has changed, for those who wait for it."""

    def __init__(self) -> None:
        self.count = 0
        self.ended = False
        self._told = asyncio.Event()

    def tell(self) -> None:
        """There is something new."""
        self.count += 1
        self._told.set()
        self._told = asyncio.Event()

    def end(self) -> None:
        """Nothing more will come."""
        self.ended = True
        self.tell()

    async def after(self, count: int) -> int:
        """Wait until there is more than ``count``; returns the new count."""
        while self.count == count:
            await self._told.wait()
        return self.count


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A file that came with a form."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page says of the demo: where mail goes, scenario numbers with their meaning, lines to paste with a name."""

    smtp_host: str
    smtp_port: int
    domain: str
    own: str
    numbers: Sequence[tuple[str, str]]
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the page shows, and what its buttons do: each returns a sentence or raises GatewayError."""

    mails: Callable[[], Sequence[Mail]]
    faxes: Callable[[], Sequence[Fax]]
    send: Callable[[str, Uploaded | None], Awaitable[str]]
    receive: Callable[[], Awaitable[str]]


class Page:
    """The web server, on the loopback address."""

    def __init__(self, facts: Facts, desk: Desk, news: News) -> None:
        self._facts = facts
        self._desk = desk
        self._news = news
        self._runner: web.AppRunner | None = None
        self._templates = _templates()
        folder = files("gateway.cli") / "demo_files"
        self._files = {name: (folder / name).read_bytes() for name in _FILES}

    async def start(self, port: int) -> int:
        """Listen; returns the port. Raises OSError."""
        app = web.Application(client_max_size=_MAX_UPLOAD, middlewares=[_only_ourselves])
        app.on_response_prepare.append(_harden)
        app.router.add_get("/", self._page)
        app.router.add_get("/items", self._items)
        app.router.add_get("/events", self._events)
        app.router.add_get("/state.json", self._state)
        app.router.add_get("/{file:[a-z]+\\.[a-z]+}", self._file)
        app.router.add_get("/mail/{mail:\\d+}/source", self._source)
        app.router.add_get("/mail/{mail:\\d+}/{part:\\d+}", self._part)
        app.router.add_get("/mail/{mail:\\d+}/{part:\\d+}/page/{page:\\d+}.png", self._mail_picture)
        app.router.add_get("/fax/{fax}/{page:\\d+}.png", self._fax_picture)
        app.router.add_post("/send", self._send)
        app.router.add_post("/receive", self._receive)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        bound: int = self._runner.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Tell those who follow, and close."""
        self._news.end()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- what there is to see -----------------------------------------------------------------------------------------

    async def _page(self, _request: web.Request) -> web.Response:
        return self._html("page.html", **{name: getattr(self._facts, name) for name in self._facts.__slots__})

    async def _items(self, _request: web.Request) -> web.Response:
        return self._html("both.html")

    def _html(self, template: str, **values: Any) -> web.Response:
        made = self._templates.get_template(template)
        text = made.render(mails=self._desk.mails(), faxes=self._desk.faxes(), **values)
        return web.Response(text=text, content_type="text/html")

    async def _state(self, _request: web.Request) -> web.Response:
        return web.json_response(
            {
                "mails": [_mail(each) for each in self._desk.mails()],
                "faxes": [_fax(each) for each in self._desk.faxes()],
            }
        )

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the count of changes, whenever it grows."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        count = -1
        with contextlib.suppress(ConnectionError):  # who looks elsewhere has no need to say so
            while not self._news.ended:
                count = await self._news.after(count)
                await response.write(f"data: {count}\n\n".encode())
        return response

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        if name not in self._files:
            raise web.HTTPNotFound
        return web.Response(body=self._files[name], content_type=_FILES[name], charset="utf-8")

    async def _source(self, request: web.Request) -> web.StreamResponse:
        return _sent(self._mail(request).source, "text/plain; charset=utf-8")

    async def _part(self, request: web.Request) -> web.StreamResponse:
        part = self._attachment(request)
        kind = part.type if part.type in _SAFE_TYPES else "application/octet-stream"
        return _sent(part.file, kind, **{"Content-Disposition": "attachment"})

    async def _mail_picture(self, request: web.Request) -> web.StreamResponse:
        return _sent(_numbered(self._attachment(request).pictures, request, "page"), "image/png")

    async def _fax_picture(self, request: web.Request) -> web.StreamResponse:
        for fax in self._desk.faxes():
            if fax.job.id == request.match_info["fax"]:
                return _sent(_numbered(fax.pictures, request, "page"), "image/png")
        raise web.HTTPNotFound

    def _mail(self, request: web.Request) -> Mail:
        for mail in self._desk.mails():
            if mail.number == int(request.match_info["mail"]):
                return mail
        raise web.HTTPNotFound

    def _attachment(self, request: web.Request) -> Attachment:
        return _numbered(self._mail(request).attachments, request, "part")

    # --- buttons --------------------------------------------------------------------------------------------------

    async def _send(self, request: web.Request) -> web.Response:
        return await _done(request, self._send_form(request))

    async def _send_form(self, request: web.Request) -> str:
        try:
            form = await request.post()
        except web.HTTPRequestEntityTooLarge as error:
            raise Refused(f"The file is too large: {_MAX_UPLOAD >> 20} MB at most") from error
        file = form.get("file")
        if not isinstance(file, web.FileField) or not file.filename:
            return await self._desk.send(str(form.get("to", "")), None)
        content = await asyncio.to_thread(file.file.read)
        file.file.close()
        return await self._desk.send(str(form.get("to", "")), Uploaded(file.filename, content))

    async def _receive(self, request: web.Request) -> web.Response:
        return await _done(request, self._desk.receive())


async def _done(request: web.Request, work: Awaitable[str]) -> web.Response:
    """Do it, and answer the script in JSON; a browser without one is sent back to the page, or reads why not."""
    try:
        said, status = await work, 200
    except GatewayError as error:
        said, status = error.public, 400
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response({"said": said}, status=status)
    if status == 200:
        raise web.HTTPSeeOther("/")
    return web.Response(text=said, status=status)


def _numbered(found: Sequence[T], request: web.Request, name: str) -> T:
    """The one of this number, counted from 1. Raises HTTPNotFound."""
    number = int(request.match_info[name])
    if not 1 <= number <= len(found):
        raise web.HTTPNotFound
    return found[number - 1]


def _sent(path: Path, content_type: str, **headers: str) -> web.StreamResponse:
    return web.FileResponse(path, headers={"Content-Type": content_type, **headers})


# --- who may ask ------------------------------------------------------------------------------------------------------


@web.middleware
async def _only_ourselves(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A foreign name that leads to this machine is refused, and so is what another page asks to be done."""
    try:
        host = urlsplit(f"//{request.host}").hostname
    except ValueError:
        host = None
    if host not in _HOSTS:
        return web.Response(status=403, text="This page is for this machine only: use its loopback address.\n")
    if request.method not in ("GET", "HEAD") and request.headers.get("Origin") != f"http://{request.host}":
        return web.Response(status=403, text="This can be asked for from the demo's own page only.\n")
    return await handler(request)


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)


# --- how it is written ------------------------------------------------------------------------------------------------


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.cli", "demo_files"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "clock": lambda at: datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S"),
        "count": plural,
        "spoken": lambda number: format_human(FaxNumber(number)),
        "size": lambda size: f"{size:,} bytes" if size < 10_000 else f"{size // 1000:,} kB",
        "kind_name": lambda kind: _KINDS.get(kind, "mail"),
        "kind_class": lambda kind: kind if kind in _KINDS else "mail",
    }
    return environment


def _mail(mail: Mail) -> dict[str, Any]:
    return {
        "number": mail.number, "kind": mail.kind, "envelope_from": mail.envelope_from, "to": mail.to,
        "from": mail.sender, "subject": mail.subject, "text": mail.text,
        "attachments": [
            {"name": part.name, "type": part.type, "size": part.size, "pages": len(part.pictures)}
            for part in mail.attachments
        ],
    }  # fmt: skip


def _fax(fax: Fax) -> dict[str, Any]:
    job = fax.job
    return {
        "id": job.id, "to": job.number.e164, "state": fax.state, "subject": fax.submission.subject,
        "pages": job.document.pages if job.document else None, "last_error": job.last_error,
        "ledger": [entry.text for entry in job.document.ledger] if job.document else [],
        "executed": [int(each["fax_job_id"]) for each in fax.executed], "arrived": len(fax.pictures),
    }  # fmt: skip
