"""Gateways without their imports: forked from a process that has made them, so that a start costs a third.

For the parts of thousands of runs. What is forked goes on as ``python -m gateway ARGUMENTS`` does from its first line,
in a session of its own. To run under strace it waits, stopped, until strace has attached.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import runpy
import select
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

_PATIENCE = 30.0  # seconds for strace to attach

current: ContextVar[Nursery | None] = ContextVar("nursery", default=None)


def environment(code: Path) -> dict[str, str]:
    """That of a gateway of this ``code``."""
    return {**os.environ, "PYTHONPATH": str(code)}


class Fork:
    """A forked gateway, with as much of a process's interface as a campaign needs."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.tracer: asyncio.subprocess.Process | None = None

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self.ended.result() if self.ended.done() else None

    def send_signal(self, number: int) -> None:
        """Raises ProcessLookupError when it has ended."""
        if self.ended.done():
            raise ProcessLookupError
        os.kill(self.pid, number)

    async def wait(self) -> int:
        """Wait for its end, and for its tracer's, whose trace is whole then."""
        status = await asyncio.shield(self.ended)
        if self.tracer is not None:
            await self.tracer.wait()
        return status


class Nursery:
    """The process that forks. Use :func:`nursery`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._awaited: list[asyncio.Future[Fork]] = []  # births, in the order in which they were asked for
        self._children: dict[int, Fork] = {}

    async def fork(self, arguments: Sequence[str], log: Path, prefix: Sequence[str] = ()) -> Fork:
        """Start a gateway; ``prefix`` is the strace it runs under."""
        assert self._process.stdin is not None
        order = {"arguments": list(arguments), "log": str(log), "stopped": bool(prefix)}
        birth: asyncio.Future[Fork] = asyncio.get_running_loop().create_future()
        self._awaited.append(birth)
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        try:
            child = await birth
            if prefix:
                await _trace(child, prefix)
        except asyncio.CancelledError:
            if birth.done() and not birth.cancelled():
                birth.result().send_signal(signal.SIGKILL)
            raise
        return child

    async def listen(self) -> None:
        """Take what the process tells of births and deaths, until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "status" in told:
                self._children.pop(told["pid"]).ended.set_result(told["status"])
                continue
            child = self._children[told["pid"]] = Fork(told["pid"])
            birth = self._awaited.pop(0)
            if birth.cancelled():  # nobody waits for it any more
                child.send_signal(signal.SIGKILL)
            else:
                birth.set_result(child)
        for birth in self._awaited:
            if not birth.done():
                birth.set_exception(RuntimeError("the nursery has ended"))


async def _trace(child: Fork, strace: Sequence[str]) -> None:
    """Wait for the child to stop, attach, then let it go on. Its converters, programs of their own, are left alone."""
    attach = [word for word in strace if word != "-D"]  # which needs a program to start
    async with asyncio.timeout(_PATIENCE):
        while "State:\tT" not in _status(child):
            await asyncio.sleep(0.002)
        child.tracer = await asyncio.create_subprocess_exec(
            *attach, "-b", "execve", "-p", str(child.pid), stdin=asyncio.subprocess.DEVNULL
        )
        while "TracerPid:\t0\n" in _status(child):
            await asyncio.sleep(0.002)
    child.send_signal(signal.SIGCONT)


def _status(child: Fork) -> str:
    return Path(f"/proc/{child.pid}/status").read_text()


@contextlib.asynccontextmanager
async def nursery(code: Path) -> AsyncIterator[None]:
    """Gateways that are started meanwhile without an environment of their own are forked."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", __file__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=code,
        env=environment(code),
    )  # fmt: skip
    made = Nursery(process)
    listening = asyncio.create_task(made.listen(), name="nursery")
    token = current.set(made)
    try:
        yield
    finally:
        current.reset(token)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
        await listening


# --- in the process that forks --------------------------------------------------------------------------------------


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def _bury() -> None:
    """Tell of each child that has ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell(pid=ended[0], status=os.waitstatus_to_exitcode(ended[1]))


def _become(order: dict[str, Any]) -> None:
    """Be what ``python -m gateway`` would be; returns or raises when the gateway ends."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for descriptor, like in ((0, null), (1, log), (2, log)):
        os.dup2(like, descriptor)
    os.close(null)
    os.close(log)
    sys.argv = ["gateway", *order["arguments"]]
    if order["stopped"]:
        os.kill(os.getpid(), signal.SIGSTOP)
    runpy.run_module("gateway", run_name="__main__", alter_sys=True)


def _main() -> None:
    import gateway.app
    import gateway.cli.serve  # noqa: F401  # what a gateway imports at its start

    ended, woken = os.pipe()
    for end in (ended, woken):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    orders = b""
    while True:
        readable = select.select([0, ended], [], [])[0]
        if ended in readable:
            os.read(ended, 1 << 10)
            _bury()
        if 0 not in readable:
            continue
        if not (more := os.read(0, 1 << 16)):
            return
        *lines, orders = (orders + more).split(b"\n")
        for line in lines:
            if pid := os.fork():
                _tell(pid=pid)
                continue
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(ended)
            os.close(woken)
            _become(json.loads(line))
            return


if __name__ == "__main__":
    _main()
