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

# what Pillow asks about any file
_READERS = tuple(f"PIL.{name}ImagePlugin" for name in ("Bmp", "Gif", "Jpeg", "Ppm", "Png"))
MODULES = ("gateway.mail.parse", "gateway.document.render", *_READERS)  # imported before the first job
_SLACK = 5.0  # seconds the asyncio side waits longer than the warm process, which should have killed the child
_LINE = 65 << 20  # bytes of an answer
# mallopt(3): the C library keeps what a picture took for the next one; asking the system anew takes a third of the time of
# a conversion. What lives on after its jobs gives it back at once.
MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
_LITTLE_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 20)}
CONVERSION_FAILED = "5.6.5"  # RFC 3463: conversion failed


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """For one job: wall-clock seconds, bytes of memory beyond the warm process, bytes of a written file, open files."""

    timeout: float = 60.0
    memory: int = 512 << 20
    file_size: int = 1 << 29
    open_files: int = 128


class _Worker:
    """One warm process, spoken to by JSON lines on its standard input and output."""

    def __init__(self, limits: WorkerLimits, fork: bool, modules: tuple[str, ...]) -> None:
        self._fork = fork
        self._settings = json.dumps({**asdict(limits), "fork": fork, "modules": modules})
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        environment = {
            name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH") if name in os.environ
        }
        environment |= MEMORY if self._fork else _LITTLE_MEMORY
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "gateway.document.workshop", self._settings, str(os.getpid()),
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
            with contextlib.suppress(ConnectionError):
                await process.stdin.wait_closed()
        if process.stdout is not None:
            with contextlib.suppress(ValueError, RuntimeError):  # or else its job reads to the end
                while await process.stdout.read(1 << 16):
                    pass
        await process.wait()


class WorkerPool:
    """``size`` warm processes, which import ``modules`` before their first job.

    With ``fork=False`` jobs run in the warm process itself, for quick pure-Python work.
    """

    def __init__(
        self, size: int, limits: WorkerLimits, *, fork: bool = True, modules: tuple[str, ...] = MODULES
    ) -> None:
        self._limits = limits
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        self._all = [_Worker(limits, fork, modules) for _ in range(size)]
        self._closing = False

    async def start(self) -> None:
        """Start the processes; they warm up while the caller goes on."""
        for worker in self._all:
            await worker.start()
            self._idle.put_nowait(worker)

    async def close(self) -> None:
        """End all processes, running jobs too. Who still waits for one gets TryLater."""
        self._closing = True
        await asyncio.gather(*(worker.kill() for worker in self._all))
        for worker in self._all:
            self._idle.put_nowait(worker)  # to wake who waits, who passes it on

    async def run(self, function: str, /, **arguments: Any) -> Any:
        """Run ``"gateway.package.module:function"`` with JSON arguments; returns its JSON result.

        Raises :class:`Refused` when the function does, or when it needs more computing, memory or disk than a job may
        have; :class:`TryLater` when it crashed or was kept waiting too long (status 5.6.5), when the disk failed it, or
        when the pool closes. A cancelled caller ends the job.
        """
        worker = await self._idle.get()
        try:
            if not self._closing and not worker.alive:
                await worker.kill()
                await self._start(worker)
            self._check_open()
            async with asyncio.timeout(self._limits.timeout + _SLACK):
                answer = await worker.run(function, arguments)
        except (OSError, ValueError) as error:  # too late, gone, or no answer of ours
            await worker.kill()
            self._check_open()
            raise TryLater(
                "the document could not be converted: the converter crashed or hung; print it to a new PDF and send that",
                repr(error),
                status=CONVERSION_FAILED,
            ) from error
        except BaseException:
            await asyncio.shield(worker.kill())
            raise
        finally:
            self._idle.put_nowait(worker)
        return _result(answer)

    @staticmethod
    async def _start(worker: _Worker) -> None:
        try:
            await worker.start()
        except (OSError, RuntimeError) as error:  # too many processes, files or threads, no memory: no document's fault
            raise TryLater("the gateway cannot start a converter now", repr(error)) from error

    def _check_open(self) -> None:
        if self._closing:
            raise TryLater("the gateway is stopping", status="4.3.2")


def _result(answer: dict[str, Any]) -> Any:
    if "result" in answer:
        return answer["result"]
    if "refused" in answer:
        raise Refused(answer["refused"], answer.get("detail", ""), status=answer["status"])
    what, detail = answer.get("at") or "the document", answer.get("detail", "")[-2000:]
    if "over" in answer:
        raise Refused(
            f"{what} cannot be converted: {answer['over']}; send it simpler or smaller",
            detail,
            status=CONVERSION_FAILED,
        )
    log.warning("job failed", why=answer["failed"], detail=detail)
    text = f"{what} could not be converted: {answer['failed']}"
    if answer.get("ours"):
        raise TryLater(text)
    raise TryLater(f"{text}; print it to a new PDF and send that", status=CONVERSION_FAILED)
