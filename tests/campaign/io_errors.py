"""I/O errors: the N-th call of a kind fails with EIO or ENOSPC (by strace), for every N on each journey.

Whatever the gateway does then, it must not have said 250 or 200 for what it does not have; it may end, and is started
again on a healed disk.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Sequence

from gateway.document.worker import WorkerPool

from .journeys import JOURNEYS
from .kill import Run, one

ERRORS = ("EIO", "ENOSPC")
CALLS = ("pwrite64", "fsync", "fdatasync", "rename", "unlink", "openat")
_MOST = 400
_OPENED_FOR_READING = 12  # openat is called hundreds of times for modules: only a few of them are tried


async def run(workers: WorkerPool, step: int = 1, journeys: Sequence[str] = ("out", "in")) -> AsyncIterator[Run]:
    """Every ``step``-th call of each kind fails, one run for each."""
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed: apt-get install strace")
    for name in journeys:
        for error in ERRORS:
            for call in CALLS:
                counts = range(1, _MOST, step) if call != "openat" else range(1, _MOST, _OPENED_FOR_READING * step)
                for n in counts:
                    run_ = await one(
                        workers, JOURNEYS[name], f"{error} at {call} number {n}",
                        prefix=(
                            "strace", "-D", "-f", "-qqq", "-o", os.devnull, "--seccomp-bpf", "-e", f"trace={call}",
                            "-e", f"inject={call}:error={error}:when={n}",
                        ),
                    )  # fmt: skip
                    yield run_
                    if n > 40 and not run_.died and not run_.breaches:
                        break
