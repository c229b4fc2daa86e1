"""Random kill: under load the gateway is killed again and again at any moment, and started again on what it left."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.client import AdminClient
from gateway.document.worker import WorkerPool

from . import records
from .checker import check
from .journeys import received, route
from .kill import ended, evidence, settled
from .world import World, world

_CLIENTS = 4
_BACKLOG = 80  # under way at most: the gateway is to be hurt while it sends, not only while it accepts
_REST = 180.0  # seconds without any progress
_KILLED = "the gateway itself ended"


@dataclass(slots=True)
class Outcome:
    """What a campaign under load came to."""

    what: str
    hurts: int = 0
    mails: int = 0
    jobs: int = 0
    faxes_in: int = 0
    held: int = 0
    doubled_mails: int = 0
    breaches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Load:
    """Clients that send mails, and callers that fax us, until told to stop."""

    here: World
    dice: random.Random
    pause: float = 0.05
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def _hold_back(self) -> None:
        """Wait while the gateway has much to do."""
        with contextlib.suppress(sqlite3.Error):  # its disk is away just now
            while not self.enough.is_set() and records.under_way(self.here.state) > _BACKLOG:
                await asyncio.sleep(0.2)

    async def clients(self) -> None:
        """Runs until ``enough`` is set and the last mail has its answer."""
        await asyncio.gather(*(self._client() for _ in range(_CLIENTS)), self._callers())

    async def _client(self) -> None:
        while not self.enough.is_set():
            await self._hold_back()
            await self.here.send(self.here.wish(self.dice.choice((1, 1, 1, 2, 3))), within=120)
            await asyncio.sleep(self.dice.uniform(0, 4 * self.pause))

    async def _callers(self) -> None:
        while not self.enough.is_set():
            await self._hold_back()
            await self.here.fax_arrives(received(f"fax {len(self.here.injected)}"))
            await asyncio.sleep(self.dice.uniform(0, 20 * self.pause))


async def run(workers: WorkerPool, directory: Path, kills: int, seed: int) -> Outcome:
    """``kills`` times kill -9 at a random moment of a gateway at work."""
    outcome = Outcome("random kill under load")
    dice = random.Random(seed)
    async with world(directory, workers) as here:
        await here.gateway.start()
        await route(here)
        load = Load(here, dice)
        clients = asyncio.create_task(load.clients())
        for _ in range(kills):
            await asyncio.sleep(dice.uniform(0.0, 1.6) ** 2)
            await here.gateway.kill()
            outcome.hurts += 1
            if not await here.gateway.start():
                outcome.breaches.append(f"it did not start again: status {here.gateway.status}")
                break
        load.enough.set()
        await finish(here, clients, outcome, killed=True, doubled_mails=2 * kills)
    return outcome


async def _let_go(here: World) -> None:
    """Let go, as an administrator is told to, what several kills met in its conversion; then it has to end as all do."""
    jobs = records.read(here.state).jobs.values()
    if here.gateway.running and (held := [job["id"] for job in jobs if job["hold"].startswith(_KILLED)]):
        async with AdminClient(here.state / "admin.sock") as ask:
            await ask("queue.release", {"ids": held})


async def _at_rest(here: World, clients: asyncio.Task[None]) -> bool:
    """Wait until all clients have their answers and nothing is under way; False when nothing moves any more."""
    seen, since = "", time.monotonic()
    while time.monotonic() < since + _REST:
        if clients.done():
            clients.result()
            if await settled(here):
                return True
        now = f"{len(here.wishes)} {len(here.sink.taken)} {records.under_way(here.state)}"
        if now != seen:
            seen, since = now, time.monotonic()
        await asyncio.sleep(0.2)
    return False


async def finish(
    here: World, clients: asyncio.Task[None], outcome: Outcome, *, killed: bool = False, **allowed: object
) -> None:
    """Let everything come to rest, stop the gateway well, and check. ``killed``: whether it was, again and again."""
    if killed and await _at_rest(here, clients):
        await _let_go(here)
    if not await _at_rest(here, clients):
        outcome.breaches.append("it never came to rest")
    clients.cancel()
    if here.gateway.running and (status := await here.gateway.stop()):
        outcome.breaches.append(f"the gateway ended with {status}")
    elif not outcome.breaches:
        outcome.breaches += await ended(here)
    found = await evidence(here, **allowed)
    told = [mail.message_id for mail in found.mails if mail.told]
    outcome.mails = len(here.wishes)
    outcome.jobs = len(found.records.jobs)
    outcome.faxes_in = len(here.injected)
    outcome.held = sum(1 for job in found.records.jobs.values() if job["hold"] and job["finished_at"] is None)
    outcome.doubled_mails = len(told) - len(set(told))
    outcome.breaches += check(found)
