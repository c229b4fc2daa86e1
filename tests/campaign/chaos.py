"""Chaos: a share of all answers is wrong, of the provider in every way the sandbox knows, or of the smarthost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gateway.document.worker import WorkerPool

from .journeys import received, route
from .random_kill import Outcome, finish
from .sink import some
from .world import World, world

# What no client can make up for: the provider itself faxes twice, or tells consistently what is not so.
_LIES = {
    "send": {
        "repeat",
        "say-executed",
        "old-id",
        "lie",
        *(f"execute-then-{n}" for n in (400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 429)),
    },
    "upload": {"wrong-pages", "lost-page"},
    "status": {"wrong-verdict"},
    "history": {"withheld", "forget-deleted"},
    "receipt": {"lie"},
    "inbox": {
        "withheld",
        "page-3",
    },  # which fills two pages with what is never there again: believed when it comes twice
}
_OPERATIONS = (
    "upload",
    "cost",
    "send",
    "status",
    "history",
    "delete",
    "balance",
    "receipt",
    "inbound",
    "inbox",
    "fetch",
)
_BY_DESIGN = {"no-credit"}  # the operator must pay
_SLOW = {"hang", "delay", "late-execution", "slow", "late"}
_SHUTS = {"401", "execute-then-401"}  # alone stops everything for a minute: a campaign of its own tests it


async def _order(here: World, share: float, seed: int, extra: Iterable[tuple[str, str]] = ()) -> int:
    """Faults for ``share`` of the answers of each operation, every kind as likely; returns how many kinds."""
    listed = await here.ask("/sandbox/faults")
    kinds = 0
    for operation in _OPERATIONS:
        names = [
            name
            for name in listed["faults"][operation]
            if name not in _LIES.get(operation, ()) and name not in _SHUTS | _BY_DESIGN
        ]
        names += [fault for where, fault in extra if where == operation]
        for n, fault in enumerate(names):
            how: dict[str, Any] = {"rate": share / len(names), "seed": seed + n}
            if fault.removeprefix("execute-then-") in _SLOW:
                how["seconds"] = 0.5
            await here.order(operation, fault, **how)
        kinds += len(names)
    return kinds


async def provider(
    workers: WorkerPool, directory: Path, jobs: int, *, share: float, seed: int, withheld: bool = False
) -> Outcome:
    """``jobs`` faxes, ``share`` of all answers faulted; ``withheld``: the history now and then shows nothing."""
    outcome = Outcome(f"provider chaos, {share:.0%} of the answers" + (", history withheld" if withheld else ""))
    dice = random.Random(seed)
    # of thousands some meet four lost sends in a row; each is proven, so that more tries do no harm here
    async with world(directory, workers, give_up="60s", min_time="5s", resend="20", level="warning") as here:
        extra = [("history", "withheld")] * 4 if withheld else []
        outcome.notes.append(f"{await _order(here, share, seed, extra)} kinds of faults")
        await here.gateway.start()
        await route(here)

        async def load() -> None:
            left = jobs
            while left > 0:
                wish = here.wish(min(left, dice.choice((1, 5, 20, 40))))
                left -= len(wish.numbers)
                await here.send(wish)
                if dice.random() < 0.2:
                    await here.fax_arrives(received(f"fax {len(here.injected)}"))

        await finish(here, asyncio.create_task(load()), outcome, in_doubt_allowed=withheld, failures_allowed=True)
        outcome.hurts = sum(rule["fired"] for rule in (await here.ask("/sandbox/faults"))["rules"])
    return outcome


async def smarthost(workers: WorkerPool, directory: Path, mails: int, *, share: float, seed: int) -> Outcome:
    """``mails`` faxes and as many results, ``share`` of all SMTP sessions of the smarthost faulted."""
    outcome = Outcome(f"smarthost chaos, {share:.0%} of the sessions")
    dice = random.Random(seed)
    async with world(directory, workers, level="warning") as here:
        here.sink.fault = some(share, seed)
        await here.gateway.start()
        await route(here)

        async def load() -> None:
            left = mails
            while left > 0:
                wish = here.wish(min(left, dice.choice((1, 2, 10))))
                left -= len(wish.numbers)
                await here.send(wish)
                await here.fax_arrives(received(f"fax {len(here.injected)}"))

        # a mail that the sink kept but could not say 250 to comes again, as it must
        await finish(here, asyncio.create_task(load()), outcome)
        outcome.hurts = sum(here.sink.faults.values())
    return outcome
