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
    """``clock`` is believed once, at the start, and only if it is not behind what was noted before; then ``steady`` counts.

    So a clock that is set, back or forward, opens no window: not while we run, and one set back not at the next start
    either. Time that passed while we were away counts when the clock shows it.
    """

    def __init__(self, clock: Callable[[], float], steady: Callable[[], float] = uptime) -> None:
        self._clock = clock
        self._steady = steady
        self._offset: float | None = None

    def now(self, noted: Callable[[], float]) -> float:
        """Seconds; ``noted`` reads the last time that was noted, and is asked once."""
        if self._offset is None:
            self._offset = max(self._clock(), noted()) - self._steady()
        return self._steady() + self._offset
