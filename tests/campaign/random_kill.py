"""Random kill: under load the gateway is killed again and again at any moment, and started again on what it left."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from pathlib import Path

from gateway.document.worker import WorkerPool

from .checker import check
from .journeys import received, route
from .kill import evidence, settled
from .world import World, until, world

_CLIENTS = 4
_REST = 180.0


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

    async def clients(self) -> None:
        """Runs until ``enough`` is set and the last mail has its answer."""
        await asyncio.gather(*(self._client() for _ in range(_CLIENTS)), self._callers())

    async def _client(self) -> None:
        while not self.enough.is_set():
            await self.here.send(self.here.wish(self.dice.choice((1, 1, 1, 2, 3))), within=120)
            await asyncio.sleep(self.dice.uniform(0, 4 * self.pause))

    async def _callers(self) -> None:
        while not self.enough.is_set():
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
            await asyncio.sleep(dice.uniform(0.0, 1.2) ** 2)
            await here.gateway.kill()
            outcome.hurts += 1
            if not await here.gateway.start():
                outcome.breaches.append(f"it did not start again: status {here.gateway.status}")
                break
        load.enough.set()
        await finish(here, clients, outcome, doubled_mails=2 * kills)
    return outcome


async def finish(here: World, clients: asyncio.Task[None], outcome: Outcome, **allowed: object) -> None:
    """Let everything come to rest, stop the gateway well, and check."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(clients, 150)
    if not await until(lambda: settled(here), _REST):
        outcome.breaches.append("it never came to rest")
    if here.gateway.running and (status := await here.gateway.stop()):
        outcome.breaches.append(f"the gateway ended with {status}")
    found = await evidence(here, **allowed)
    told = [mail.message_id for mail in found.mails if mail.told]
    outcome.mails = len(here.wishes)
    outcome.jobs = len(found.records.jobs)
    outcome.faxes_in = len(here.injected)
    outcome.held = sum(1 for job in found.records.jobs.values() if job["hold"] and job["finished_at"] is None)
    outcome.doubled_mails = len(told) - len(set(told))
    outcome.breaches += check(found)
