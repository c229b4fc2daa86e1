"""Fifty attackers at once, kills and lost answers: what the provider executes never costs more than the cap."""

from __future__ import annotations

import asyncio
import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

from gateway.document.worker import WorkerPool

from . import records
from .checker import (
    Evidence,
    attempts_are_written_ahead,
    every_250_is_a_job,
    files_and_rows_agree,
    nobody_else_is_faxed,
    one_execution_a_job,
    only_allowed_changes,
)
from .kill import evidence
from .random_kill import Outcome
from .world import World, until, world

ATTACKERS = 50
_RULES = (
    every_250_is_a_job, nobody_else_is_faxed, one_execution_a_job, only_allowed_changes, attempts_are_written_ahead,
    files_and_rows_agree,
)  # fmt: skip
_PRICE = Decimal("0.10")  # of the sandbox's page
_LOST = 0.15  # of the sends are executed, and not answered
_REST = 35.0  # seconds for each of the three waits: a test that meets its own limit of 120 names nothing


async def run(workers: WorkerPool, directory: Path, kills: int, faxes: int, seed: int) -> Outcome:
    """``kills`` times kill -9 while ``ATTACKERS`` send what they can; the cap in money pays for ``faxes`` pages."""
    outcome = Outcome(f"{ATTACKERS} attackers against a cap")
    dice = random.Random(seed)
    cap = _PRICE * faxes + Decimal("0.05")  # no fax fits into the rest
    policy = f"policy: {{caps: {{total: 'day:money={cap}', client: 'month:pages={faxes + 3}'}}}}"
    async with world(directory, workers, level="warning", more=policy) as here:
        await here.order("send", "execute-then-drop", rate=_LOST, seed=seed)
        await here.gateway.start()
        enough = asyncio.Event()
        rest = max(_REST, faxes)
        with ThreadPoolExecutor(ATTACKERS) as threads:
            attack = asyncio.gather(*(_attacker(here, threads, enough, dice.random()) for _ in range(ATTACKERS)))
            try:
                for _ in range(kills):
                    await asyncio.sleep(dice.uniform(0.1, 1.2) ** 2)
                    await here.gateway.kill()
                    outcome.hurts += 1
                    if not await here.gateway.start():
                        outcome.breaches.append(f"it did not start again: status {here.gateway.status}")
                        break
                    outcome.breaches += await _too_dear(here, cap)
                await until(lambda: _spent(here, cap), rest)
            finally:
                enough.set()
                await attack
        if not await until(lambda: not _busy(here), rest):
            outcome.breaches.append(f"sends never came to an end: {_busy(here)}")
        await until(lambda: _told(here), rest)
        if status := await here.gateway.stop():
            outcome.breaches.append(f"the gateway ended with {status}")
        found = await evidence(here)
        outcome.breaches += [f"{rule.__name__}: {breach}" for rule in _RULES for breach in rule(found)]
        outcome.breaches += [*await _too_dear(here, cap), *_untrue(found, cap)]
        outcome.mails, outcome.jobs = len(here.wishes), len(found.records.jobs)
        outcome.notes.append(f"{_cost(found.faxes)} executed, the cap is {cap}")
    return outcome


async def _attacker(here: World, threads: ThreadPoolExecutor, enough: asyncio.Event, place: float) -> None:
    """One mail after another, as fast as they are taken; one that is put off is tried again a few times."""
    dice = random.Random(place)
    loop = asyncio.get_running_loop()
    while not enough.is_set():
        wish = here.wish(dice.choice((1, 1, 2, 3)))
        for _ in range(3):
            if enough.is_set() or await loop.run_in_executor(threads, here._try_send, wish):
                break
            await asyncio.sleep(0.2)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), 1.0)


def _cost(faxes: list[dict[str, object]]) -> Decimal:
    return sum((Decimal(str(fax["cost"])) for fax in faxes), Decimal(0))


async def _too_dear(here: World, cap: Decimal) -> list[str]:
    """The breach that matters, by what the sandbox has executed until now."""
    cost = _cost(await here.faxes())
    return [f"{cost} executed, the cap is {cap}"] if cost > cap else []


async def _spent(here: World, cap: Decimal) -> bool:
    """Whether the cap is reached by what was reserved: the attackers have done what they could."""
    with records.reading(here.state / "faxgateway.db") as db:
        reserved = db.execute("SELECT coalesce(sum(money), 0) FROM spending").fetchone()[0]
    return Decimal(reserved) / 1_000_000 + _PRICE > cap


async def _told(here: World) -> bool:
    """Whether the operator has been told of a cap."""
    with records.reading(here.state / "faxgateway.db") as db:
        told = "SELECT count(*) FROM outbox WHERE kind = 'operator' AND cause LIKE 'cap.%'"
        return bool(db.execute(told).fetchone()[0])


def _busy(here: World) -> list[tuple[str, ...]]:
    """Sends that are under way or in doubt, or whose result is waited for; what waits for the cap waits."""
    with records.reading(here.state / "faxgateway.db") as db:
        busy = (
            "SELECT id, state, last_error FROM job WHERE state IN ('submitting', 'in_doubt', 'submitted') AND hold = ''"
        )
        return [tuple(row) for row in db.execute(busy)]


def _untrue(found: Evidence, cap: Decimal) -> list[str]:
    """The cap let everything through that it had to, and the operator was told of it."""
    told = [row for row in found.records.outbox if row["kind"] == "operator" and row["cause"].startswith("cap.")]
    breaches = []
    if not told:
        breaches.append("the operator was not told of a cap that was used up")
    attempts = [attempt for each in found.records.attempts.values() for attempt in each]
    sums = sum(attempt["outcome"] != "not_sent" for attempt in attempts) * _PRICE
    if sums > cap or sums + _PRICE <= cap:
        breaches.append(f"attempts for {sums} were begun under a cap of {cap}")
    return breaches
