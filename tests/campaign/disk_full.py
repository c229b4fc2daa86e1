"""A full disk: the state lies on a small image that is filled up under load and freed again, over and over.

Meanwhile mails are put off with 452 and callbacks with 503, nothing is sent that could not be recorded, and all goes on by
itself once there is room.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from pathlib import Path

from gateway.document.worker import WorkerPool

from .journeys import route
from .power_cut import mounted
from .random_kill import Load, Outcome, finish
from .world import world

_CHUNK = bytes(1 << 20)


def _fill(ballast: Path, leave: int) -> None:
    """Take all room but ``leave`` bytes."""
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as stream:
        while True:
            stat = os.statvfs(ballast.parent)
            free = stat.f_bavail * stat.f_frsize
            if free <= leave:
                break
            stream.write(_CHUNK[: min(len(_CHUNK), free - leave)])


async def run(workers: WorkerPool, directory: Path, times: int, seed: int) -> Outcome:
    """``times`` the disk is full for a while: to its last byte, or nearly."""
    outcome = Outcome("disk full under load")
    dice = random.Random(seed)
    async with mounted(directory, 96 << 20) as disk, world(directory, workers, more="min_free: 8MB") as here:
        ballast = disk.mount / "ballast"
        here.use_state(disk.mount / "state")
        await here.gateway.start()
        await route(here)
        load = Load(here, dice)
        clients = asyncio.create_task(load.clients())
        try:
            for _ in range(times):
                await asyncio.sleep(dice.uniform(0.2, 0.6))
                await asyncio.to_thread(_fill, ballast, dice.choice((0, 0, 50_000, 1_000_000)))
                await asyncio.sleep(dice.uniform(0.3, 1.0))
                ballast.unlink(missing_ok=True)
                outcome.hurts += 1
                if not here.gateway.running:  # it may end rather than go on with a disk that it cannot believe
                    outcome.notes.append(f"ended with {here.gateway.status}")
                    await here.gateway.start()
            load.enough.set()
            await finish(here, clients, outcome, doubled_mails=2 * times)
        finally:
            clients.cancel()
            await here.gateway.kill()
    return outcome
