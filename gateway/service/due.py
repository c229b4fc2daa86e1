"""The loop every service runs: take what is due, a bounded number at once, sleep until the next is due or a nudge."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import structlog

from gateway.errors import GatewayError, TryLater

log = structlog.get_logger("service")

T = TypeVar("T")

_IDLE = 30.0  # seconds: a nudge may be lost and a clock may jump, so the store is asked at least this often
_SPIN = 0.05
_LONGEST_REST = 30.0
_BUSY = 1.0  # while all that is due is being handled
_MIN_POLLS = 10  # nothing is given up on age alone: a clock may jump


def backoff(tries: int, first: float, longest: float) -> float:
    """How long to wait (s) after try number ``tries``: ``first``, and twice as long after each further one."""
    return float(min(longest, first * 2 ** min(tries - 1, 20)))


def is_over(since: float, now: float, limit: float, polls: int, pause: float) -> bool:
    """Whether a wait has lasted for its ``limit``, by the clock and by questions that ``pause`` seconds lay between."""
    return now - since > limit and polls >= min(_MIN_POLLS, limit / pause)


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task that was begun, and wait until it has ended."""
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class DueLoop(Generic[T]):
    """``due(now, limit)`` lists items, ``next_due()`` says when to look again, ``handle(item)`` moves one on.

    Each item is handled by one task at a time (``key``). A handler counts its try in the store before it does anything,
    with the time of the next one, so an item whose handler raises is tried again later; where not even that could be
    stored the item rests for ``pause`` seconds, and longer each time in a row, so that a full disk does not make a hot loop.
    ``gate(limit)`` is how many may be handled at once now. Of items that are ``alone`` one is handled at a time, and those
    whose turn has not come take no place of the others.
    """

    def __init__(
        self,
        name: str,
        *,
        due: Callable[[float, int], Awaitable[list[T]]],
        next_due: Callable[[], Awaitable[float | None]],
        key: Callable[[T], Hashable],
        handle: Callable[[T], Awaitable[None]],
        limit: int,
        clock: Callable[[], float],
        gate: Callable[[int], int] = lambda most: most,
        alone: Callable[[T], bool] = lambda _: False,
        pause: float = 1.0,
    ) -> None:
        self.name = name
        self._due = due
        self._next_due = next_due
        self._key = key
        self._handle = handle
        self._limit = limit
        self._clock = clock
        self._gate = gate
        self._alone = alone
        self._lone: Hashable | None = None  # the one of these that is handled
        self._pause = pause
        self._rests = 0  # in a row
        self._busy: dict[Hashable, asyncio.Task[None]] = {}
        self._ended: set[Hashable] = set()  # while the store is read: what that shows of them may be past
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"due-{self.name}")

    def nudge(self) -> None:
        """Look at the store now."""
        self._wake.set()

    @property
    def busy(self) -> int:
        return len(self._busy)

    async def stop(self, grace: float) -> None:
        """Begin nothing more, let what runs end within ``grace`` seconds, then cancel it."""
        self._stopping.set()
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._busy:
            _, late = await asyncio.wait(self._busy.values(), timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                wait = await self._look()
            except TryLater as error:
                log.warning("store does not answer", loop=self.name, why=str(error))
                wait = 1.0
            except Exception:
                log.exception("unexpected failure", loop=self.name)
                wait = 5.0
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _look(self) -> float:
        limit = self._gate(self._limit)
        if not limit:
            return _IDLE
        begun = await self._begin(limit) if len(self._busy) < limit else 0
        if len(self._busy) >= limit:
            return _IDLE  # the end of a task wakes us
        at = await self._next_due()
        if at is None:
            return _IDLE
        wait = at - self._clock()
        if wait <= 0:  # what is due and was not begun is busy, and its end wakes us
            return _SPIN if begun else _BUSY
        return min(_IDLE, max(_SPIN, wait))

    async def _begin(self, limit: int) -> int:
        """Begin what is due while there are places; returns how many."""
        self._ended.clear()
        begun, most, hidden = 0, limit + len(self._busy), True
        while hidden:
            items = await self._due(self._clock(), most)
            hidden = False
            for item in items:
                key = self._key(item)
                if key in self._busy or key in self._ended or self._stopping.is_set():
                    continue
                if self._alone(item):
                    if self._lone is not None:
                        hidden = len(items) == most  # others may stand behind those that wait for their turn
                        continue
                    self._lone = key
                self._busy[key] = asyncio.create_task(self._one(key, item), name=f"{self.name}-{key}")
                begun += 1
                if len(self._busy) >= limit:
                    return begun
            most *= 2
        return begun

    async def _one(self, key: Hashable, item: T) -> None:
        try:
            await self._handle(item)
        except GatewayError as error:
            log.warning("step failed", loop=self.name, id=str(key), why=str(error))
            await self._rest()
        except Exception:
            log.exception("unexpected failure", loop=self.name, id=str(key))
            await self._rest()
        else:
            self._rests = 0
        finally:
            del self._busy[key]
            if key == self._lone:
                self._lone = None
            self._ended.add(key)
            self._wake.set()

    async def _rest(self) -> None:
        self._rests += 1
        seconds = backoff(self._rests, self._pause, _LONGEST_REST)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
