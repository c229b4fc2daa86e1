"""Kill without help from the code: at the N-th system call that makes something durable or tells somebody (by strace)."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from gateway.document.worker import WorkerPool

from .journeys import JOURNEYS
from .kill import MOST, Run, one, side_by_side
from .world import world

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "sendto")


def tracing(trace: Path, call: str, injection: str) -> tuple[str, ...]:
    """The command to run the gateway under; ``trace`` gets the calls of the kind, made by it and by its converters."""
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed: apt-get install strace")
    inject = ("-e", f"inject={call}:{injection}") if injection else ()
    return ("strace", "-D", "-f", "-qqq", "-o", str(trace), "-e", f"trace={call}", *inject)


async def run(workers: WorkerPool, step: int = 1, journeys: Sequence[str] = tuple(JOURNEYS)) -> AsyncIterator[Run]:
    """Each journey, killed at the N-th system call of each kind, for N = 1, 1 + step... until none makes so many.

    The start is the same on all journeys, so it is gone through on the first only.
    """
    with tempfile.TemporaryDirectory(prefix="campaign-calls-") as directory:

        async def each(name: str, call: str) -> AsyncIterator[Run]:
            trace = Path(directory) / f"{name}-{call}"
            first = 1 if name == journeys[0] else await made_by_a_start(workers, trace, call)
            for n in range(first, MOST, step):
                # not --seccomp-bpf: with it strace sends no signal but at the first call
                prefix = tracing(trace, call, f"signal=KILL:when={n}")
                yield await one(workers, JOURNEYS[name], f"{call} number {n}", prefix=prefix)
                if (count := made(trace)) > n:
                    raise RuntimeError(f"strace did not kill at {call} number {n}: the thread went on to {count}")
                if count < n:
                    break

        async for run_ in side_by_side([each(name, call) for name in journeys for call in CALLS]):
            yield run_


async def made_by_a_start(workers: WorkerPool, trace: Path, call: str) -> int:
    """How often a gateway makes a call until it is ready, at least once."""
    async with world(trace.with_suffix(".start"), workers, converters="1") as here:
        await here.gateway.start(prefix=tracing(trace, call, ""))
        return max(1, made(trace))


def made(trace: Path) -> int:
    """How often one thread or process has made the traced call at most."""
    calls = (line.split(maxsplit=2) for line in trace.read_text(errors="replace").splitlines())
    count = Counter(words[0] for words in calls if words[1:] and "(" in words[1])  # other lines tell of ends
    return max(count.values(), default=0)
