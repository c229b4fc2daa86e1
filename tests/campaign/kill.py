"""Systematic kill: on each journey the gateway is killed at every durable or outside effect, one run for each.

Here at the fault points that the code names; without any help from the code see :mod:`.system_calls`.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.faultpoint import POINTS, VARIABLE

from . import records
from .checker import Evidence, check
from .journeys import JOURNEYS, Journey
from .world import World, until, world

MOST = 3000  # times that one thing happens in one journey: a journey that never ends is a finding, not a loop
_PATIENCE = 60.0
_WIDTH = 3  # runs at a time


@dataclass(slots=True)
class Run:
    """One run: where the gateway died, whether it did, and what the checker says."""

    journey: str
    where: str
    died: bool = False
    breaches: list[str] = field(default_factory=list)
    log: str = ""


@asynccontextmanager
async def pool() -> AsyncIterator[WorkerPool]:
    """Converters of the sandbox, for many runs."""
    workers = WorkerPool(1, WorkerLimits())
    await workers.start()
    try:
        yield workers
    finally:
        await workers.close()


async def one(
    workers: WorkerPool,
    journey: Journey,
    where: str,
    *,
    prefix: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    **options: str,
) -> Run:
    """One journey with a gateway that is armed to die; whoever finds it dead starts it again, unarmed."""
    run = Run(journey.name, where)
    directory = Path(tempfile.mkdtemp(prefix="campaign-"))
    async with world(directory, workers, converters="1", **options) as here:
        await here.gateway.start(prefix=prefix, env=env, wait=False)
        keeper = asyncio.create_task(_keep(here, run), name="keeper")
        try:
            async with asyncio.timeout(_PATIENCE):
                await journey.act(here)
            if not await until(lambda: settled(here), _PATIENCE):
                run.breaches.append("it never came to rest")
        except TimeoutError:
            run.breaches.append("it was never accepted")
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
        await _stop(here, run)
        run.breaches += check(await evidence(here, doubled_mails=2 * run.died))  # so many leave at once
        run.log = str(here.gateway.log)
    if not run.breaches:
        shutil.rmtree(directory)
    return run


async def _keep(here: World, run: Run) -> None:
    """Start the gateway again when it has died, as systemd would."""
    while True:
        if await here.gateway.gone(3600) is None:
            continue
        run.died = True
        await here.gateway.start()


async def _stop(here: World, run: Run) -> None:
    """An orderly stop; the armed gateway may die of that too, and the next one comes to rest and stops well."""
    if not here.gateway.running or await here.gateway.stop() != 0:
        run.died = True
        await here.gateway.start()
        if not await until(lambda: settled(here), _PATIENCE):
            run.breaches.append("it never came to rest after it had died of its stop")
        if status := await here.gateway.stop():
            run.breaches.append(f"the gateway ended with {status}")
    run.breaches += await ended(here)


async def ended(here: World) -> list[str]:
    """Breaches of one that was stopped at rest: what it began between the two (it looks for faxes each second) has its end."""
    while not await settled(here):
        await here.gateway.start()
        if not await until(lambda: settled(here), _PATIENCE):
            return ["it never came to rest after its stop"]
        if status := await here.gateway.stop():
            return [f"the gateway ended with {status}"]
    return []


async def settled(here: World) -> bool:
    """Nothing is under way in the gateway, and every fax that came in is there."""
    if not records.is_quiet(here.state):
        return False
    found = records.read(here.state)  # a later moment than the cheap look before it: all of the answer is from here
    return found.quiet and len(found.inbound) >= len(here.injected) and all(
        wish.settled or any(job["number"] == number for job in found.jobs.values())
        for wish in here.wishes for number in wish.numbers
    )  # fmt: skip


async def evidence(here: World, **allowed: Any) -> Evidence:
    """All records as they are now; the gateway should be stopped."""
    callbacks = (await here.ask("/sandbox/callbacks"))["callbacks"]
    brought: dict[str, list[int | None]] = {uuid: [] for uuid in here.injected}
    for callback in callbacks:
        uuid = callback["fields"].get("uuid")  # which a fault may have left out
        if callback["kind"] == "inbound" and uuid:
            brought.setdefault(uuid, []).extend(answer["status"] for answer in callback["answers"])
    faxes = [fax for fax in await here.faxes() if fax["fax_job_id"] not in here.by_hand]
    return Evidence(
        wishes=here.wishes, faxes=faxes, mails=here.sink.taken, records=records.read(here.state),
        brought=brought, **allowed,
    )  # fmt: skip


async def at_points(
    workers: WorkerPool, step: int = 1, journeys: Sequence[str] = tuple(JOURNEYS)
) -> AsyncIterator[Run]:
    """Each journey, killed at each named point at the N-th time it is reached, for N = 1, 1 + step... until it lives."""

    async def at(name: str, point: str) -> AsyncIterator[Run]:
        for n in range(1, MOST, step):
            run = await one(workers, JOURNEYS[name], f"{point}:{n}", env={VARIABLE: f"{point}:{n}"})
            yield run
            if not run.died:
                break

    async for run in side_by_side([at(name, point) for name in journeys for point in POINTS]):
        yield run


async def side_by_side(sequences: Sequence[AsyncIterator[Run]]) -> AsyncIterator[Run]:
    """The runs of all sequences, a few sequences at a time: a run waits more than it works."""
    done: asyncio.Queue[Run | None] = asyncio.Queue()
    left = iter(sequences)

    async def go_through() -> None:
        for sequence in left:
            async for run in sequence:
                done.put_nowait(run)

    async def all_of_them() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_WIDTH):
                    group.create_task(go_through())
        finally:
            done.put_nowait(None)

    going = asyncio.create_task(all_of_them())
    try:
        while (run := await done.get()) is not None:
            yield run
        await going
    finally:
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
