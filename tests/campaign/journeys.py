"""The five journeys that every hurt is tried on: out, in parts, out without an answer, in, and what is told of a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO

from PIL import Image, ImageDraw

from gateway.cli.base import Failed
from gateway.cli.client import AdminClient

from .world import DESK, DID, World

BUSY = "+99999990001"  # the sandbox's number that is busy


@dataclass(frozen=True, slots=True)
class Journey:
    """``act`` asks for it and returns when it was accepted; its end shows in the records."""

    name: str
    act: Callable[[World], Awaitable[None]]


@cache
def received(text: str = "A fax for you") -> bytes:
    """A fax that arrives: a page as PDF."""
    page = Image.new("1", (1728, 2200), 1)
    ImageDraw.Draw(page).text((200, 200), text, fill=0)
    out = BytesIO()
    page.save(out, format="PDF", resolution=204)
    return out.getvalue()


async def route(world: World) -> None:
    """Send received faxes to the desk, over the gateway's admin socket, however often the gateway dies of it."""
    while True:
        try:
            async with AdminClient(world.state / "admin.sock") as ask:
                known = (await ask("route.list", {}))["routes"]
                if not known:
                    await ask("route.add", {"kind": "did", "match": DID, "mailboxes": [DESK]})
        except Failed:
            await asyncio.sleep(0.05)
        else:
            return


async def _out(world: World) -> None:
    await world.send(world.wish(2))


async def _parts(world: World) -> None:
    wish = world.wish(2)
    wish.parts = 3
    await world.send(wish)


async def _unknown(world: World) -> None:
    await world.order("send", "execute-then-drop", count=1)
    await world.send(world.wish(1))


async def _failure(world: World) -> None:
    await world.send(world.wish(0, also=(BUSY,)))


async def _in(world: World) -> None:
    await route(world)
    await world.fax_arrives(received())


JOURNEYS = {
    "out": Journey("mail to fax", _out),
    "parts": Journey("mail in parts to fax", _parts),
    "unknown": Journey("mail to fax, the answer to the send is lost", _unknown),
    "in": Journey("fax to mail", _in),
    "failure": Journey("a failed fax and the mail that tells it", _failure),
}
