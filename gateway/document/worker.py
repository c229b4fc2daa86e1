"""Warm processes that run one function a job, each job in a forked child that is thrown away.

A warm process (:mod:`gateway.document.workshop`) imports the heavy libraries once and forks a child for each job, so a
job starts in milliseconds and takes its limits, its crash and its memory with it. This module is the asyncio side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from gateway.errors import Refused, TryLater

log = structlog.get_logger("worker")

_SLACK = 5.0  # seconds the asyncio side waits longer than the warm process, which should have killed the child
_LINE = 64 << 20  # bytes of a result


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """For one job: wall-clock and CPU seconds, bytes of memory beyond the warm process, bytes of a written file."""

    timeout: float = 60.0
    cpu: int = 60
    memory: int = 1 << 30
    file_size: int = 1 << 30
    open_files: int = 128


class _Worker:
    """One warm process, spoken to by JSON lines on its standard input and output."""

    def __init__(self, limits: WorkerLimits, fork: bool) -> None:
        self._limits = limits
        self._fork = fork
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = {
            name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH") if name in os.environ
        }
        # a test run's coverage measures these processes too
        environment |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        settings = json.dumps({**asdict(self._limits), "fork": self._fork})
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway.document.workshop", settings, str(os.getpid()),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env=environment, start_new_session=True,
            limit=_LINE,
        )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def run(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"function": function, "arguments": arguments}).encode() + b"\n")
        await self.process.stdin.drain()
        line = await self.process.stdout.readline()
        if not line:
            raise ConnectionResetError("the worker process ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def kill(self) -> None:
        """End the process and whatever child it has (they are one session, hence one group unless a job left it)."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        if process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                await process.stdin.wait_closed()
        if process.stdout is not None:
            with contextlib.suppress(ValueError):
                while await process.stdout.read(1 << 16):
                    pass
        await process.wait()


class WorkerPool:
    """``size`` warm processes. With ``fork=False`` jobs run in the warm process itself, for quick pure-Python work."""

    def __init__(self, size: int, limits: WorkerLimits, *, fork: bool = True) -> None:
        self._limits = limits
        self._fork = fork
        self._size = size
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._all: list[_Worker] = []
        self._closing = False

    async def start(self) -> None:
        """Start the processes; they warm up while the caller goes on."""
        for _ in range(self._size):
            worker = _Worker(self._limits, self._fork)
            await worker.start()
            self._all.append(worker)
            self._idle.put_nowait(worker)

    async def close(self) -> None:
        """End all processes, running jobs too."""
        self._closing = True
        await asyncio.gather(*(worker.kill() for worker in self._all))
        self._all.clear()

    async def run(self, function: str, /, **arguments: Any) -> Any:
        """Run ``"gateway.package.module:function"`` with JSON arguments; returns its JSON result.

        Raises :class:`Refused` when the function does, :class:`TryLater` (status 5.6.5) when it took too long, too much
        memory or crashed. A cancelled caller ends the job.
        """
        worker = await self._idle.get()
        try:
            if not worker.alive:
                await worker.kill()
                await worker.start()
            async with asyncio.timeout(self._limits.timeout + _SLACK):
                answer = await worker.run(function, arguments)
        except (TimeoutError, ConnectionError, ValueError, OSError) as error:
            await worker.kill()
            raise TryLater(
                "the document could not be converted: the converter crashed or hung", repr(error), status="5.6.5"
            ) from error
        except BaseException:
            await asyncio.shield(worker.kill())
            raise
        finally:
            if not self._closing:
                self._idle.put_nowait(worker)
        return _result(answer)


def _result(answer: dict[str, Any]) -> Any:
    if "result" in answer:
        return answer["result"]
    if "refused" in answer:
        raise Refused(answer["refused"], answer.get("detail", ""), status=answer.get("status") or "5.6.1")
    log.warning("job failed", why=answer.get("failed", ""), detail=answer.get("detail", "")[-2000:])
    raise TryLater(f"the document could not be converted: {answer.get('failed', 'unknown')}", status="5.6.5")
