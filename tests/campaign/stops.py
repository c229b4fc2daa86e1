"""Stops: SIGTERM under load, often twice, and a start on what was left: status 0 in time, and no outcome made unknown."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from pathlib import Path

from gateway.document.worker import WorkerPool

from . import records
from .journeys import route
from .random_kill import Load, Outcome, finish
from .world import world

_IN_TIME = 30.0  # seconds


async def run(workers: WorkerPool, directory: Path, stops: int, seed: int) -> Outcome:
    """``stops`` times SIGTERM at a random moment, every third time a second one while it drains."""
    outcome = Outcome("SIGTERM under load")
    dice = random.Random(seed)
    slowest = 0.0
    async with world(directory, workers) as here:
        await here.order("send", "delay", rate=0.5, seed=seed, seconds=0.3)  # so that sends are under way
        await here.gateway.start()
        await route(here)
        load = Load(here, dice)
        clients = asyncio.create_task(load.clients())
        for n in range(stops):
            await asyncio.sleep(dice.uniform(0.05, 0.6))
            begun = time.monotonic()
            os.kill(here.gateway.pid, signal.SIGTERM)
            if n % 3 == 2:
                await asyncio.sleep(dice.uniform(0.0, 0.1))
                if here.gateway.running:
                    os.kill(here.gateway.pid, signal.SIGTERM)
            status = await here.gateway.gone(2 * _IN_TIME)
            took = time.monotonic() - begun
            slowest = max(slowest, took)
            outcome.hurts += 1
            if status != 0 or took > _IN_TIME:
                outcome.breaches.append(f"stop {n} ended with {status} after {took:.1f} s")
                break
            if not await here.gateway.start():
                outcome.breaches.append(f"it did not start again: status {here.gateway.status}")
                break
        load.enough.set()
        await finish(here, clients, outcome)
        found = records.read(here.state)
        unknown = sum(attempt["outcome"] != "sent" for each in found.attempts.values() for attempt in each)
        if unknown:
            outcome.breaches.append(f"{unknown} sends lost their outcome in a stop")
    outcome.notes.append(f"slowest {slowest:.1f} s")
    return outcome
