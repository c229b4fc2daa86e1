"""The loop of every service: bounded, never hot, stopped without losing what runs."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from gateway.errors import Refused, TryLater
from gateway.service.due import DueLoop


class Store:
    """Items with a time; handling takes them off."""

    def __init__(self, *items: str) -> None:
        self.items = dict.fromkeys(items, 0.0)
        self.running = self.most = 0
        self.handled: list[str] = []
        self.release = asyncio.Event()
        self.asked = 0

    async def due(self, now: float, limit: int) -> list[str]:
        self.asked += 1
        return [item for item, at in self.items.items() if at <= now][:limit]

    async def next_due(self) -> float | None:
        return min(self.items.values(), default=None)

    async def handle(self, item: str) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.release.wait()
        self.running -= 1
        self.handled.append(item)
        self.items.pop(item, None)


def loop_over(store: Store, **settings: object) -> DueLoop[str]:
    return DueLoop(
        "test", due=store.due, next_due=store.next_due, key=lambda item: item,
        handle=settings.pop("handle", store.handle), limit=settings.pop("limit", 2), clock=time.time, **settings,
    )  # type: ignore[arg-type]  # fmt: skip


async def until(what: object) -> None:
    async with asyncio.timeout(30):
        while not what():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_all_are_handled_but_never_more_than_the_limit_at_once() -> None:
    store = Store(*"abcdefg")
    loop = loop_over(store)
    loop.start()
    await until(lambda: store.running == 2)
    assert loop.busy == 2
    store.release.set()
    await until(lambda: len(store.handled) == 7)
    assert store.most == 2
    await loop.stop(1.0)


async def test_what_is_put_off_while_the_store_is_read_is_not_taken_at_once_again() -> None:
    store = Store("a", "b")
    reading = asyncio.Event()
    tries: list[str] = []

    async def due(now: float, limit: int) -> list[str]:
        found = await Store.due(store, now, limit)
        if tries:  # what it has read is past when it answers
            reading.set()
            await until(lambda: "a" not in loop._busy)
        return found

    async def handle(item: str) -> None:
        tries.append(item)
        await (reading.wait() if item == "a" else asyncio.sleep(0))
        store.items[item] = time.time() + 60

    store.due = due  # type: ignore[method-assign]
    loop = loop_over(store, handle=handle)
    loop.start()
    await until(reading.is_set)
    await asyncio.sleep(0.2)
    assert tries == ["a", "b"]
    await loop.stop(1.0)


async def test_a_nudge_wakes_it() -> None:
    store = Store()
    store.release.set()
    loop = loop_over(store)
    loop.start()
    await until(lambda: store.asked)
    store.items["new"] = 0.0
    loop.nudge()
    await until(lambda: store.handled == ["new"])
    await loop.stop(1.0)


async def test_a_failing_handler_stops_nothing() -> None:
    store = Store("a", "b", "c")
    raised = iter([Refused("no"), ValueError("odd"), TryLater("later")])

    async def handle(item: str) -> None:
        store.items.pop(item)
        raise next(raised)

    loop = loop_over(store, handle=handle, limit=1, pause=0.01)
    loop.start()
    await until(lambda: not store.items)
    store.items["d"] = time.time() + 1000
    await loop.stop(1.0)


@pytest.mark.parametrize("error", [TryLater("the disk is full"), ValueError("odd")])
async def test_who_fails_again_and_again_rests_longer_each_time(error: Exception) -> None:
    store = Store("a")
    tried: list[float] = []

    async def handle(_item: str) -> None:
        tried.append(time.monotonic())
        raise error

    loop = loop_over(store, handle=handle, pause=0.02)
    loop.start()
    await until(lambda: len(tried) == 5)
    await loop.stop(1.0)
    for n, (before, after) in enumerate(pairwise(tried)):
        assert after - before >= 0.02 * 2**n


@pytest.mark.parametrize("error", [TryLater("away"), ValueError("odd")])
async def test_a_store_that_fails_is_asked_again(error: Exception) -> None:
    store = Store("a")
    store.release.set()
    failures = [error]
    real = store.due

    async def due(now: float, limit: int) -> list[str]:
        if failures:
            raise failures.pop()
        return await real(now, limit)

    store.due = due  # type: ignore[method-assign]
    loop = loop_over(store)
    loop.start()
    await until(lambda: not failures)
    loop.nudge()
    await until(lambda: store.handled == ["a"])
    await loop.stop(1.0)


async def test_a_shut_gate_begins_nothing() -> None:
    store = Store("a")
    store.release.set()
    open_ = [False]
    loop = loop_over(store, gate=lambda most: most if open_[0] else 0)
    loop.start()
    await asyncio.sleep(0.02)
    assert store.handled == []
    open_[0] = True
    loop.nudge()
    await until(lambda: store.handled == ["a"])
    await loop.stop(1.0)


async def test_stopping_waits_for_what_runs_and_cancels_what_is_late() -> None:
    store = Store("a")
    loop = loop_over(store)
    loop.start()
    await until(lambda: store.running == 1)
    asyncio.get_running_loop().call_later(0.05, store.release.set)
    await loop.stop(5.0)
    assert store.handled == ["a"]
    stuck = Store("b")
    loop = loop_over(stuck)
    loop.start()
    await until(lambda: stuck.running == 1)
    await loop.stop(0.01)
    assert stuck.handled == []


async def test_items_that_go_alone_wait_for_each_other_and_keep_no_place_from_others() -> None:
    store = Store(*(f"large {n}" for n in range(9)), "a", "b")
    loop = loop_over(store, limit=3, alone=lambda item: item.startswith("large"))
    loop.start()
    await until(lambda: store.running == 3)
    assert set(loop._busy) == {"large 0", "a", "b"}
    store.release.set()
    await until(lambda: not store.items)
    await loop.stop(1)
    assert store.handled[3:] == [f"large {n}" for n in range(1, 9)]
