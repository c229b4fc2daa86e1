"""I/O errors: the N-th call of a kind fails with EIO or ENOSPC (by strace), for every N on each journey.

Whatever the gateway does then, it must not have said 250 or 200 for what it does not have; it may end, and is started
again on a healed disk.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from gateway.document.worker import WorkerPool

from .journeys import JOURNEYS
from .kill import MOST, Run, one, side_by_side
from .system_calls import made_by_a_start, tracing

ERRORS = ("EIO", "ENOSPC")
CALLS = ("pwrite64", "fsync", "fdatasync", "rename", "unlink")
_QUIET = 3  # runs in a row in which nothing failed: the call is not made so often


async def run(workers: WorkerPool, step: int = 1, journeys: Sequence[str] = ("out", "in")) -> AsyncIterator[Run]:
    """Every ``step``-th call of each kind fails, one run for each.

    The start is the same on all journeys, so it is gone through on the first only.
    """
    with tempfile.TemporaryDirectory(prefix="campaign-errors-") as directory:

        async def each(name: str, error: str, call: str) -> AsyncIterator[Run]:
            trace = Path(directory) / f"{name}-{error}-{call}"
            first = 1 if name == journeys[0] else await made_by_a_start(workers, trace, call)
            quiet = 0
            for n in range(first, MOST, step):
                prefix = tracing(trace, call, f"error={error}:when={n}")
                yield await one(workers, JOURNEYS[name], f"{error} at {call} number {n}", prefix=prefix)
                # most errors it survives, so that its life says nothing about whether the call failed
                quiet = 0 if b"(INJECTED)" in trace.read_bytes() else quiet + 1
                if quiet >= _QUIET:
                    break

        sequences = [each(name, error, call) for name in journeys for error in ERRORS for call in CALLS]
        async for run_ in side_by_side(sequences):
            yield run_
