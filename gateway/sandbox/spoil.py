"""Write an answer to the wire: well, or as a fault wants it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from gateway.sandbox.answers import MESSAGES, Answer, Failure
from gateway.sandbox.faults import SPOILED, STATUSES, UNANSWERED, Fault

_HUGE = 8 << 20
_CHUNK = b"x" * (64 << 10)
_DROPS = 20  # pieces of a slow answer
_LOOK = 0.1  # seconds between two looks whether the client is still there
_HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


class Wire:
    """The way back to one client; ``closing`` is set when the server stops, so that nothing hangs longer."""

    def __init__(self, request: web.Request, closing: asyncio.Event) -> None:
        self._request = request
        self._closing = closing

    async def answer(self, answer: Answer) -> web.StreamResponse:
        """An answer without a fault."""
        if answer.file is not None:
            return web.FileResponse(answer.file, headers={"Content-Type": answer.content_type})
        return _response(answer.status, json.dumps(answer.body).encode())

    async def spoiled(self, answer: Answer, fault: Fault) -> web.StreamResponse:
        """The answer as the fault wants it; a fault of the call itself, or a delay, changes nothing here."""
        kind = fault.kind
        if kind in UNANSWERED:
            return await self._unanswered(kind, fault.seconds)
        if kind in STATUSES:
            return self._status(int(kind))
        if kind in SPOILED:
            return _response(answer.status, _spoil(answer.body, kind))
        if kind in ("cut", "slow"):
            return await self._in_pieces(answer, kind, fault.seconds)
        return await self.answer(answer)

    async def wait(self, seconds: float) -> bool:
        """Wait; False when the client went away or the server stops before."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._closing.is_set() or self._gone():
                return False
            await asyncio.sleep(min(left, _LOOK))
        return True

    def _gone(self) -> bool:
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def _drop(self) -> web.StreamResponse:
        if self._request.transport is not None:
            self._request.transport.abort()
        return web.Response()  # never written: the connection is gone

    async def _unanswered(self, kind: str, seconds: float) -> web.StreamResponse:
        match kind:
            case "html":
                return _html(200, "Welcome to the login page")
            case "empty":
                return _response(200, b"")
            case "endless":
                return await self._endless()
            case "hang":
                await self.wait(seconds)
        return self._drop()

    def _status(self, status: int) -> web.StreamResponse:
        if status < 400:
            return web.Response(status=status, headers={"Location": str(self._request.rel_url)})
        if status in (502, 503, 504):
            return _html(status, MESSAGES[status])
        body: dict[str, Any] = Failure(status).answer.body
        if status == 422:
            body = {"message": MESSAGES[422], "errors": {"fax_number": ["The fax number format is invalid."]}}
        response = _response(status, json.dumps(body).encode())
        if status == 429:
            response.headers["Retry-After"] = "1"
        return response

    async def _endless(self) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(self._request)
        try:
            await response.write(b'{"status": "success", "padding": "')
            while await self.wait(0.001):
                await response.write(_CHUNK)
        except ConnectionError:
            pass  # the client had enough
        return self._drop()

    async def _in_pieces(self, answer: Answer, kind: str, seconds: float) -> web.StreamResponse:
        if answer.file is not None:
            body = await asyncio.to_thread(answer.file.read_bytes)
        else:
            body = json.dumps(answer.body).encode()
        response = web.StreamResponse(
            status=answer.status, headers={"Content-Type": answer.content_type, "Content-Length": str(len(body))}
        )
        try:
            await response.prepare(self._request)
            if kind == "cut":
                await response.write(body[: len(body) // 2])
                await self.wait(_LOOK)  # what was written shall arrive
                return self._drop()
            step = max(1, len(body) // _DROPS)
            for start in range(0, len(body), step):
                await response.write(body[start : start + step])
                await self.wait(seconds / _DROPS)
            await response.write_eof()
        except ConnectionError:
            return self._drop()
        return response


def _response(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")


def _html(status: int, title: str) -> web.Response:
    return web.Response(status=status, text=_HTML.format(title), content_type="text/html")


# --- spoiled answers --------------------------------------------------------------------------------------------------


def _spoil(value: Any, kind: str) -> bytes:
    match kind:
        case "half-json":
            body = json.dumps(value)
            return body[: len(body) // 2].encode()
        case "invalid-json":
            return json.dumps(value).replace('"', "'").encode()
        case "trailing-commas":  # no text holds a line break, so only closing brackets are met
            return re.sub(r"(?<=[^\[{,])(\n *[\]}])", r",\1", json.dumps(value, indent=1)).encode()
        case "bom":
            return b"\xef\xbb\xbf" + json.dumps(value).encode()
        case "lie":
            return json.dumps({"status": "failed", "message": "Unknown error."}).encode()
        case "huge":
            return json.dumps(_with(value, {"padding": "x" * _HUGE})).encode()
        case "extra-keys":
            return json.dumps(_with(value, {"sunbscription_credit_allowance": 0.5, "team": {"id": None}})).encode()
        case "no-id":
            return json.dumps(_without_ids(value)).encode()
        case "capital-success":
            return json.dumps(_capital(value)).encode()
        case _:
            return json.dumps(_each(value, _LEAVES[kind])).encode()


def _with(value: Any, extra: dict[str, Any]) -> Any:
    return {**extra, **value} if isinstance(value, dict) else [*value, extra]


def _each(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The value with every leaf replaced."""
    if isinstance(value, dict):
        return {name: _each(item, leaf) for name, item in value.items()}
    if isinstance(value, list):
        return [_each(item, leaf) for item in value]
    return leaf(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_LEAVES: dict[str, Callable[[Any], Any]] = {
    "wrong-types": lambda value: {"value": value} if _is_number(value) else [value],
    "nulls": lambda _: None,
    "huge-int": lambda value: 10**30 if isinstance(value, int) else value,
    "nan": lambda value: float("nan") if _is_number(value) else value,
    "int-as-string": lambda value: str(value) if _is_number(value) else value,
}


def _without_ids(value: Any) -> Any:
    if isinstance(value, dict):
        ids = ("id", "fax_job_id", "document_id")
        return {name: _without_ids(item) for name, item in value.items() if name not in ids}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value


def _capital(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: item.capitalize() if name == "status" and isinstance(item, str) else _capital(item)
            for name, item in value.items()
        }
    return [_capital(item) for item in value] if isinstance(value, list) else value
