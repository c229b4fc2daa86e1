"""The time by which spending is counted: it goes forward as time really passes, whatever is done to the clock."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path


def uptime() -> float:
    """Seconds since the machine was started, those in which it slept included where the system tells them."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


def boot_id() -> str:
    """Names the run of the machine that :func:`uptime` counts in; where nobody tells it, this process."""
    if told := os.environ.get("FAXGATEWAY_BOOT_ID"):  # the unit sets it, as its walls hide the file
        return told
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return uuid.uuid4().hex


class LedgerTime:
    """``clock`` is believed once in a run of the machine, and only if it is not behind what was noted before; then ``steady``
    counts.

    So a clock that is set, back or forward, opens no window: not while we run, nor with a start of ours, and one set back
    not with one of the machine either. Time that passed while the machine was off counts when the clock shows it.
    """

    def __init__(self, clock: Callable[[], float], steady: Callable[[], float], boot: str = "") -> None:
        self._clock = clock
        self._steady = steady
        self._boot = boot or boot_id()
        self._offset: float | None = None

    def now(self, noted: Callable[[], tuple[float, str]]) -> float:
        """Seconds; ``noted`` reads the last time that was noted, with the :attr:`run` it was noted in, and is asked once."""
        if self._offset is None:
            latest, run = noted()
            boot, _, offset = run.partition(" ")
            ours = float(offset) if boot == self._boot else self._clock() - self._steady()
            self._offset = max(ours, latest - self._steady())
        return self._steady() + self._offset

    @property
    def run(self) -> str:
        """The run of the machine, and by how much this time differs from the clock that is never set in it."""
        return f"{self._boot} {self._offset!r}"
