"""I/O errors: the N-th call of a kind fails with EIO or ENOSPC (by strace), for every N on each journey.

Whatever the gateway does then, it must not have said 250 or 200 for what it does not have; it may end, and is started
again on a healed disk.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from gateway.document.worker import WorkerPool

from .journeys import JOURNEYS
from .kill import Run, one

ERRORS = ("EIO", "ENOSPC")
CALLS = ("pwrite64", "fsync", "fdatasync", "rename", "unlink")
_MOST = 400
_QUIET = 3  # runs in a row in which nothing failed: the call is not made so often


async def run(workers: WorkerPool, step: int = 1, journeys: Sequence[str] = ("out", "in")) -> AsyncIterator[Run]:
    """Every ``step``-th call of each kind fails, one run for each."""
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed: apt-get install strace")
    with tempfile.TemporaryDirectory(prefix="campaign-errors-") as directory:
        trace = Path(directory) / "trace"
        for name in journeys:
            for error in ERRORS:
                for call in CALLS:
                    quiet = 0
                    for n in range(1, _MOST, step):
                        yield await one(
                            workers, JOURNEYS[name], f"{error} at {call} number {n}",
                            prefix=(
                                "strace", "-D", "-f", "-qqq", "-o", str(trace), "--seccomp-bpf", "-e", f"trace={call}",
                                "-e", f"inject={call}:error={error}:when={n}",
                            ),
                        )  # fmt: skip
                        # the number counts for each process and thread of the gateway, and most errors it survives
                        quiet = 0 if b"(INJECTED)" in trace.read_bytes() else quiet + 1
                        if quiet >= _QUIET:
                            break
