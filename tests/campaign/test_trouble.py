"""Trouble at the provider, with the real daemon: it stops soon, loses nobody's place, and goes on by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from . import caps
from .kill import evidence, pool, settled
from .world import World, until, world

pytestmark = pytest.mark.slow

_SENDING = ("upload", "cost", "send")


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[World]:
    async with pool() as workers, world(tmp_path, workers) as made:
        await made.gateway.start()
        yield made


async def fired(here: World) -> int:
    """How many calls met a fault."""
    return sum(rule["fired"] for rule in (await here.ask("/sandbox/faults"))["rules"] if rule["operation"] in _SENDING)


async def delivered(here: World) -> list[str]:
    """Come to rest; the numbers faxed, in the order in which they were."""
    await here.no_faults()
    assert await until(lambda: settled(here), 60)
    found = await evidence(here)
    assert {job["state"] for job in found.records.jobs.values()} == {"delivered"}
    return [fax["fax_number"] for fax in found.faxes]


async def test_a_refused_key_stops_all_after_two_calls_accepts_mail_alarms_and_goes_on(here: World) -> None:
    for operation in _SENDING:
        await here.order(operation, "401")
    await here.order("balance", "401")
    wishes = [here.wish(5) for _ in range(3)]
    for wish in wishes:
        await here.send(wish)
        assert wish.told
    assert await until(lambda: any("refuses the API key" in mail.subject for mail in here.sink.taken), 20)
    assert await fired(here) <= 2
    assert len(await delivered(here)) == 15


async def test_a_key_refused_in_mid_work_stops_the_rest(here: World) -> None:
    await here.order("send", "401", skip=3)
    await here.order("balance", "401")
    await here.send(here.wish(12))
    assert await until(lambda: any("refuses the API key" in mail.subject for mail in here.sink.taken), 20)
    assert await fired(here) <= 2
    assert len(await delivered(here)) == 12


@pytest.mark.parametrize("status", ["403", "429"])
async def test_who_is_asked_to_slow_down_pauses_and_keeps_the_order(here: World, status: str) -> None:
    wish = here.wish(10)
    await here.order("send", status, count=4)
    await here.send(wish)
    assert await until(lambda: _has_fired(here, 4), 30)
    order = [wish.numbers.index(number) for number in await delivered(here)]
    assert all(abs(place - n) <= 2 for n, place in enumerate(order)), order  # two are sent at once


async def _has_fired(here: World, count: int) -> bool:
    return await fired(here) >= count


@pytest.mark.parametrize("fault", ["500", "drop", "html"])
async def test_a_provider_that_fails_again_and_again_is_left_in_peace_for_a_while(here: World, fault: str) -> None:
    await here.order("upload", fault)
    await here.send(here.wish(20))
    assert await until(lambda: "nothing is sent for now" in here.gateway.log.read_text(), 20)
    assert len(await delivered(here)) == 20


async def test_fifty_attackers_and_kills_cost_no_more_than_the_cap(tmp_path: Path) -> None:
    async with pool() as workers:
        outcome = await caps.run(workers, tmp_path, kills=2, faxes=12, seed=1)
    assert outcome.breaches == []
    assert (outcome.hurts, outcome.jobs > 12) == (2, True)


async def test_an_account_without_credit_alarms_once_and_goes_on_by_itself(here: World) -> None:
    await here.set_balance(0)
    for _ in range(3):
        await here.send(here.wish(2))
    assert await until(lambda: any("lacks credit" in mail.subject for mail in here.sink.taken), 20)
    await here.set_balance(100)
    assert len(await delivered(here)) == 6
    assert sum("lacks credit" in mail.subject for mail in here.sink.taken) == 1
