"""The API's way of working: who may call, which fault strikes, the call, its answer. The calls stand in ``api_*.py``."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.sandbox.answers import Answer, Failure, Slice
from gateway.sandbox.documents import Documents
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.faults import NOT_JSON, SPOILED, Fault, Faults
from gateway.sandbox.reading import Params, integer, read
from gateway.sandbox.scenarios import scenario_of
from gateway.sandbox.spoil import Wire
from gateway.sandbox.store import Store

log = structlog.get_logger("sandbox")

VERSIONS = ("/api/v1", "/api/v2")
_KEYLESS = ("register", "login")


@dataclass(slots=True)
class Ask:
    """One call: its parameters, the variables of its path, the fault that strikes it.

    ``origin`` is the address it was made to, ``root`` the same with the API's version. ``jobs`` are those it executed.
    """

    params: Params
    path: Mapping[str, str]
    origin: str
    root: str
    key: str
    fault: Fault | None = None
    jobs: list[int] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The fault's name without "execute-then-", "" without a fault."""
        return self.fault.kind if self.fault else ""

    def id(self, name: str) -> int:
        """A number in the path; a path that has none there is not found."""
        number = integer(self.path[name])
        if number is None:
            raise Failure(404)
        return number

    def before(self, now: float) -> float:
        """The instant whose things a listing shows."""
        return now - (self.fault.seconds if self.fault and self.kind == "late" else 0.0)

    def slice(self) -> Slice:
        """``limit`` and ``page``."""
        return Slice.of(self.params.integer("limit"), self.params.integer("page"))


@dataclass(frozen=True, slots=True)
class Route:
    """A call of the API; ``path`` is under the version unless ``bare``."""

    method: str
    path: str
    operation: str
    handler: Callable[[Ask], Awaitable[Answer]]
    bare: bool = False


@dataclass(frozen=True, slots=True)
class Api:
    """Everything a call needs; ``closing`` is set when the server stops."""

    store: Store
    documents: Documents
    exchange: Exchange
    faults: Faults
    api_key: str
    max_upload: int
    closing: asyncio.Event

    def handler(self, route: Route, version: str) -> Handler:
        """The HTTP handler of a call."""

        async def handle(request: web.Request) -> web.StreamResponse:
            wire = Wire(request, self.closing)
            origin = f"{request.scheme}://{request.host}"
            try:
                async with read(request, self.documents.incoming, self.max_upload) as params:
                    key = params.text("api_key") or request.headers.get("api_key", "")
                    ask = Ask(params, request.match_info, origin, origin + version, key)
                    if route.operation not in _KEYLESS:
                        self._check_key(ask.key)
                    ask.fault = self._strike(route.operation, ask)
                    return await self._respond(route, ask, wire, request)
            except Failure as failure:
                return await wire.answer(failure.answer)

        return handle

    def _check_key(self, key: str) -> None:
        if not hmac.compare_digest(key.encode(), self.api_key.encode()) and not self.store.is_user_key(key):
            raise Failure(401)

    def _strike(self, operation: str, ask: Ask) -> Fault | None:
        """The fault that was ordered, or the one that a scenario number has in itself."""
        number = ask.params.number("fax_number")
        if operation == "status":
            job = self.store.job(integer(ask.path["id"]) or 0)
            number = job["fax_number"] if job else ""
        fault = self.faults.draw(operation, number, but=SPOILED if operation in NOT_JSON else ())
        if fault is None and operation == "send" and (scenario := scenario_of(number)).fault:
            return Fault.named(scenario.fault)
        return fault

    async def _respond(self, route: Route, ask: Ask, wire: Wire, request: web.Request) -> web.StreamResponse:
        fault = ask.fault
        if fault is None:
            response = await wire.answer(await self._call(route, ask))
            if ask.jobs:  # their receipts come behind the answer
                await _write(response, request)
                self.exchange.release(ask.jobs)
            return response
        if not fault.executes:
            return await wire.spoiled(Answer(200), fault)
        if fault.kind == "late-execution":
            await self._sleep(fault.seconds)
        answer = await self._call(route, ask)
        self.exchange.release(ask.jobs)
        if fault.kind == "delay":
            await wire.wait(fault.seconds)
        return await wire.spoiled(answer, fault)

    async def _call(self, route: Route, ask: Ask) -> Answer:
        try:
            return await route.handler(ask)
        except Failure as failure:
            return failure.answer

    async def _sleep(self, seconds: float) -> None:
        """Wait whether or not the client is still there; a server that stops executes nothing more."""
        try:
            async with asyncio.timeout(seconds):
                await self.closing.wait()
        except TimeoutError:
            return
        raise Failure(503, "The sandbox stops.")


async def _write(response: web.StreamResponse, request: web.Request) -> None:
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        log.info("the client did not wait for its answer", path=request.path)
