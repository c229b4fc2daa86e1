"""The sandbox put together: its settings, its parts, its HTTP server."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.document.worker import WorkerPool
from gateway.sandbox import shapes
from gateway.sandbox.answers import MESSAGES, Failure
from gateway.sandbox.api import VERSIONS, Api
from gateway.sandbox.api_account import AccountCalls
from gateway.sandbox.api_fax import FaxCalls
from gateway.sandbox.api_inbox import InboxCalls, address
from gateway.sandbox.callbacks import Callbacks
from gateway.sandbox.control import Control
from gateway.sandbox.documents import Documents
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.faults import Faults
from gateway.sandbox.line import FormulaLine, Line
from gateway.sandbox.pace import PACES
from gateway.sandbox.remote import RemoteFiles
from gateway.sandbox.store import Row, Store, units

log = structlog.get_logger("sandbox")

_SHUTDOWN = 5.0  # seconds for requests under way


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """``callback`` "": callbacks are recorded, not sent. ``listen`` is HOST:PORT, port 0 for any free one.

    ``balance`` is of a new account, ``price`` of a page. ``numbers``, one at least, are the account's from the start.
    ``clock_speed`` is how many seconds of the retry rule pass in one (0: as ``pace`` has it). ``remote_files``: whether
    documents are fetched from addresses that a client names. Sizes are in bytes, times in seconds.
    """

    state_dir: Path
    api_key: str
    callback: str = ""
    listen: str = "127.0.0.1:8026"
    pace: str = "instant"  # instant | 10x | real
    balance: Decimal = Decimal(100)
    price: Decimal = Decimal("0.10")
    numbers: tuple[str, ...] = ("+12025550100",)
    clock_speed: float = 0.0
    callback_timeout: float = 30.0
    remote_files: bool = False
    max_upload: int = 64 << 20
    workers: int = 2


class Sandbox:
    """A Fax.to-compatible server. A ``pool`` that is given converts the documents; else it starts one of its own."""

    def __init__(
        self,
        settings: SandboxSettings,
        pool: WorkerPool | None = None,
        *,
        line: Line | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._line = line or FormulaLine()
        self._clock = clock
        self._callback = settings.callback
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._store: Store | None = None
        self._documents: Documents | None = None
        self._callbacks: Callbacks | None = None
        self._exchange: Exchange | None = None
        self.address = settings.listen

    @property
    def callback(self) -> str:
        """Where callbacks go, "" for nowhere. May be set at any time, for the callbacks from then on."""
        return self._callback

    @callback.setter
    def callback(self, url: str) -> None:
        self._callback = url
        if self._callbacks is not None:
            self._callbacks.url = url

    @property
    def line(self) -> str:
        """The name of the line that places the calls."""
        return self._line.name

    async def start(self) -> None:
        """Open the state directory, bind, go on with what a stop cut off. Raises OSError naming what cannot be used."""
        settings = self._settings
        self._store = Store(settings.state_dir, settings.balance)
        try:
            await self._start(self._store)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, store: Store) -> None:
        settings, clock = self._settings, self._clock
        for number in settings.numbers:
            store.add_number(number, 0, "USA", number[2:5], None, clock())
        documents = self._documents = Documents(settings.state_dir, store, self._pool, settings.workers)
        documents.open()
        faults = Faults()
        pace = PACES[settings.pace]
        if settings.clock_speed:
            pace = pace.with_clock(settings.clock_speed)
        callbacks = self._callbacks = Callbacks(store, self._write, pace, clock, settings.callback_timeout)
        callbacks.url = self._callback
        exchange = self._exchange = Exchange(
            store, documents, self._line, faults, callbacks, pace=pace, price=units(settings.price),
            home=settings.numbers[0], clock=clock,
        )  # fmt: skip
        api = Api(
            store, documents, exchange, faults, api_key=settings.api_key, max_upload=settings.max_upload,
            closing=self._closing,
        )  # fmt: skip
        remote = RemoteFiles(documents.incoming, settings.max_upload) if settings.remote_files else None
        app = web.Application(middlewares=[_as_json])
        app.router.add_routes(Control(store, documents, exchange, faults, settings.max_upload).routes())
        for route in (
            *FaxCalls(store, documents, exchange, remote, clock).routes(), *InboxCalls(store, documents, clock).routes(),
            *AccountCalls(store, clock).routes(),
        ):  # fmt: skip
            for version in ("",) if route.bare else VERSIONS:
                # a HEAD must not do what the method does
                app.router.add_route(route.method, version + route.path, api.handler(route, version))
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN)
        await self._runner.setup()
        await self._bind(self._runner)
        await callbacks.start()
        exchange.start()

    async def _bind(self, runner: web.AppRunner) -> None:
        listen = self._settings.listen
        host, _, port = listen.rpartition(":")
        try:
            await web.TCPSite(runner, host.strip("[]"), int(port)).start()
        except OSError as error:
            # asyncio's own words name the address once more
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            raise OSError(error.errno, f"cannot listen on {listen}: {why}") from error
        except UnicodeError as error:
            raise OSError(errno.EINVAL, f"cannot listen on {listen}: that is no host") from error
        self.address = f"{host}:{runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop answering, break off what is under way; it goes on after a start with the same state directory."""
        self._closing.set()
        if self._exchange is not None:
            self._exchange.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._callbacks is not None:
            await self._callbacks.stop()
        if self._documents is not None:
            await self._documents.close()
        if self._store is not None:
            self._store.close()

    async def _write(self, callback: Row) -> shapes.Posted:
        """The request of a callback."""
        fields, shape = callback["fields"], callback["shape"]
        if callback["kind"] == "receipt":
            return shapes.receipt(fields, shape)
        assert self._store is not None and self._documents is not None
        fax = self._store.inbound(callback["about"])
        assert fax is not None
        document = None
        match shapes.document_of(shape):
            case "pdf":
                document = await self._documents.pdf(fax["tiff"])
            case "tiff":
                document = self._documents.path(fax["tiff"])
        url = address(f"http://{self.address}", fax["id"], self._settings.api_key)
        return await asyncio.to_thread(shapes.inbound, fields, shape, document, url)


@web.middleware
async def _as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the server itself refuses, and what fails in it, in the API's way."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        failure = Failure(error.status, MESSAGES.get(error.status) or error.reason)
    except ConnectionError:  # it has left in the middle of its call: nobody reads this
        failure = Failure(400, "The client has gone.")
    except Exception:
        log.exception("a call failed", path=request.path)
        failure = Failure(500)
    return web.json_response(failure.answer.body, status=failure.answer.status)
