"""Callbacks on their way: each is tried until it is answered 200, every fifteen minutes for 48 hours.

What is to go out stands in the database before it does, so a restart goes on where a stop or a kill cut in. Every answer is
recorded. The documented rule is for receipts; received faxes are treated alike, which is not known of Fax.to.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import structlog

from gateway.sandbox.pace import Pace
from gateway.sandbox.shapes import Planned, Posted
from gateway.sandbox.store import Row, Store

log = structlog.get_logger("sandbox")

WAITING, DELIVERED, EXPIRED, LOST, UNSENT = "waiting", "delivered", "expired", "lost", "unsent"
_AT_ONCE = 16  # callbacks under way
_TEXT = 200  # characters of an answer that are kept


class Callbacks:
    """The callbacks of an account, all to one ``url`` ("": they are recorded, not sent).

    ``write`` makes the request of a callback. Raises nothing: what goes wrong is an answer like any other.
    """

    def __init__(
        self,
        store: Store,
        write: Callable[[Row], Awaitable[Posted]],
        pace: Pace,
        clock: Callable[[], float],
        timeout: float,  # seconds for one try, handed to the HTTP library
    ) -> None:
        self.url = ""
        self._store = store
        self._write = write
        self._pace = pace
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timers: dict[int, asyncio.TimerHandle] = {}

    async def start(self) -> None:
        """Go on with what is waiting."""
        self._session = aiohttp.ClientSession(
            timeout=self._timeout, headers={"User-Agent": "faxgateway-sandbox"}, auto_decompress=False
        )
        for row in self._store.waiting_callbacks():
            self._later(row["id"], row["due_at"])

    async def stop(self) -> None:
        """Break off; what has no answer yet is tried again after a start."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def keep(self, kind: str, about: int, planned: Sequence[Planned], now: float) -> list[int]:
        """Record callbacks about a job or a received fax; inside a transaction of the caller. Returns their ids."""
        kept = []
        for each in planned:
            state = LOST if each.lost else WAITING if self.url else UNSENT
            kept.append(
                self._store.add_callback(
                    kind, about, each.fields, shape=each.shape, state=state, due_at=now + each.delay, now=now
                )
            )
        return kept

    def send(self, identifiers: Sequence[int]) -> asyncio.Task[None]:
        """Send what was kept, one after the other; those whose time has not come wait for it on their own."""
        task = asyncio.create_task(self._in_turn(identifiers), name=f"callbacks-{identifiers[:1]}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _in_turn(self, identifiers: Sequence[int]) -> None:
        for identifier in identifiers:
            row = self._store.callback(identifier)
            if row["state"] != WAITING:
                continue
            if row["due_at"] > self._clock():
                self._later(identifier, row["due_at"])
            else:
                await self._try(row)

    def _later(self, identifier: int, due_at: float) -> None:
        self._timers[identifier] = asyncio.get_running_loop().call_later(
            max(0.0, due_at - self._clock()), self._due, identifier
        )

    def _due(self, identifier: int) -> None:
        del self._timers[identifier]
        due_at = self._store.callback(identifier)["due_at"]
        if due_at > self._clock():  # the timer ran ahead of the clock
            self._later(identifier, due_at)
        else:
            self.send([identifier])

    async def _try(self, row: Row) -> None:
        async with self._slots:
            status, text = await self._post(row)
        now = self._clock()
        due_at = now + self._pace.retry_after
        state = WAITING
        if status == 200:
            state = DELIVERED
        elif due_at > row["created_at"] + self._pace.retry_for:
            state = EXPIRED
        self._store.answer(row["id"], now, status, text, state, due_at)
        if state == WAITING:
            log.info("callback not taken", id=row["id"], kind=row["kind"], status=status, answer=text)
            self._later(row["id"], due_at)

    async def _post(self, row: Row) -> tuple[int | None, str]:
        """One try: the status and the beginning of the text, or None and what went wrong."""
        assert self._session is not None
        try:
            posted = await self._write(row)
            async with self._session.request(
                posted.method, self.url, allow_redirects=False, **posted.arguments
            ) as response:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    return response.status, (await response.content.read(_TEXT)).decode("utf-8", "replace")
                return response.status, ""
        except Exception as error:  # noqa: BLE001  # a failed try of any kind is recorded and repeated
            return None, f"{type(error).__name__}: {error}"[:_TEXT]
