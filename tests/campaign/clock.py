"""Clock jumps: under load the wall clock is set an hour, a day or five years on and back, and to 1970, as a whim takes it.

The clock that is never set goes on as it is. Needs libfaketime, which reads the offset from a file.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from gateway.document.worker import WorkerPool

from .journeys import route
from .random_kill import Load, Outcome, finish
from .world import world

_LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
)
_HOUR, _DAY, _YEAR = 3600, 86400, 365 * 86400
# what is looked after now and then must be looked after within the test
_MORE = "retention: {purge_every: 500ms}"


def lacking() -> str:
    """Why clocks cannot be set here; empty when they can."""
    return "" if _library() else "libfaketime is not installed"


def _library() -> str:
    return next((path for path in _LIBRARIES if Path(path).is_file()), "")


async def run(workers: WorkerPool, directory: Path, jumps: int, seed: int) -> Outcome:
    """``jumps`` times the clock of a gateway at work is set; every fourth time it is killed and starts in the new time."""
    outcome = Outcome("the clock is set under load")
    dice = random.Random(seed)
    async with world(directory, workers, more=_MORE) as here:
        offset = here.directory / "offset"
        env = {
            "LD_PRELOAD": _library(), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
        }  # fmt: skip
        _set(offset, 0)
        # a send that is never answered stays in doubt over some of the jumps
        await here.order("send", "execute-then-drop", rate=0.2, seed=seed)
        await here.order("send", "drop", rate=0.1, seed=seed + 1)
        await here.gateway.start(env=env)
        await route(here)
        load = Load(here, dice, pause=0.2)
        clients = asyncio.create_task(load.clients())
        ways = (_HOUR, -_HOUR, _DAY, -_DAY, 5 * _YEAR, -5 * _YEAR, int(-time.time()) + _HOUR, 0)
        for n in range(jumps):
            await asyncio.sleep(dice.uniform(0.2, 1.5))
            _set(offset, dice.choice(ways))
            outcome.hurts += 1
            if n % 4 == 3:
                await here.gateway.kill()
                if not await here.gateway.start(env=env):
                    outcome.breaches.append(f"it did not start again: status {here.gateway.status}")
                    break
        _set(offset, 0)
        load.enough.set()
        await finish(here, clients, outcome, killed=True, doubled_mails=jumps // 2)
    return outcome


def _set(file: Path, seconds: int) -> None:
    new = file.with_suffix(".new")
    new.write_text(f"{seconds:+d}")
    new.replace(file)
