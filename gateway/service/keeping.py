"""Files are removed, unless somebody copies them: a backup keeps them for as long as it says it is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Keeping:
    """``steady`` is a clock that is never set."""

    def __init__(self, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._turn = asyncio.Lock()
        self._until = 0.0

    async def keep(self, seconds: float) -> None:
        """Let no file be removed for so long; one that is removed now is gone when this returns. 0 ends it."""
        async with self._turn:
            self._until = self._steady() + seconds

    @asynccontextmanager
    async def removing(self) -> AsyncIterator[bool]:
        """Whether files may be removed within."""
        async with self._turn:
            yield self._steady() >= self._until
