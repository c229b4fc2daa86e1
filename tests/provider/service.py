"""The provider as a test wants it: canned answers by method and path, and a record of what was asked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from gateway.provider.faxto import FaxTo, FaxToSettings

from .wire import KEY

Reply = bytes | tuple[int, bytes] | dict[str, Any] | list[Any]


class Service:
    """``replies`` by "METHOD /path"; a list of them is given one after the other, the last one repeats."""

    def __init__(self, replies: dict[str, Reply | Callable[[], Reply]]) -> None:
        self.replies = replies
        self.asked: list[str] = []  # "METHOD raw-path", in order
        self.queries: list[dict[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.base = ""

    async def answer(self, request: web.Request) -> web.Response:
        raw = request.raw_path.partition("?")[0].removeprefix("/api/v2")
        self.asked.append(f"{request.method} {raw}")
        self.queries.append(dict(request.query))
        if request.content_type == "application/x-www-form-urlencoded":
            self.forms.append({name: str(value) for name, value in (await request.post()).items()})
        else:
            await request.read()
        reply = self.replies.get(self.asked[-1], self.replies.get("*", (404, b'{"message":"no such thing"}')))
        if callable(reply):
            reply = reply()
        status, body = reply if isinstance(reply, tuple) else (200, reply)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return web.Response(status=status, body=body, content_type="application/json")


@contextlib.asynccontextmanager
async def service(replies: dict[str, Any], **settings: Any) -> AsyncIterator[tuple[FaxTo, Service]]:
    """A client and the service it speaks to."""
    told = Service(replies)
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", told.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told.base = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v2"
    client = FaxTo(FaxToSettings(**{"base_url": told.base, "api_key": KEY, "rate": 0, "timeout": 20.0, **settings}))
    try:
        yield client, told
    finally:
        await client.close()
        await runner.cleanup()


Operation = Callable[[FaxTo], Awaitable[Any]]
