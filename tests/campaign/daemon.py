"""Programs a campaign starts and kills: the gateway and the sandbox, each a process group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import aiohttp

from . import nursery
from .nursery import Fork

CODE = Path(__file__).parents[2]
_PATIENCE = 60.0  # seconds within which a program must be ready or gone


class Program:
    """``python -m gateway ARGUMENTS`` in the directory ``code``; ``url`` answers 200 once it is ready.

    Its output goes to a file.
    """

    def __init__(self, arguments: Sequence[str], url: str, log: Path, code: Path = CODE) -> None:
        self.code = code
        self._arguments = arguments
        self._url = url
        self.log = log
        self._process: asyncio.subprocess.Process | Fork | None = None

    async def start(
        self, *, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None, wait: bool = True
    ) -> bool:
        """Start; ``prefix`` is a program to run it under. False when it ended before it was ready."""
        if (warm := nursery.current.get()) is not None and env is None:
            self._process = await warm.fork(self._arguments, self.log, prefix)
            return await self.ready() if wait else True
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *prefix, sys.executable, "-m", "gateway", *self._arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                cwd=self.code, env={**nursery.environment(self.code), **(env or {})},
            )  # fmt: skip
        return await self.ready() if wait else True

    async def ready(self) -> bool:
        """Wait until it answers; False when it has ended."""
        async with aiohttp.ClientSession() as client, asyncio.timeout(_PATIENCE):
            while self.running:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(self._url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                        if answer.status == 200:
                            return True
                await asyncio.sleep(0.02)
        return False

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs or before it was started."""
        return self._process.returncode if self._process is not None else None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """SIGKILL to it and all it started."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM, wait for its end, and see that nothing of its group is left; returns the exit status."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_PATIENCE):
                status = await self._process.wait()
        finally:
            await self.kill()
        return status

    async def gone(self, within: float = _PATIENCE) -> int | None:
        """Wait for it to end by itself; None when it did not."""
        assert self._process is not None
        try:
            async with asyncio.timeout(within):
                return await self._process.wait()
        except TimeoutError:
            return None
