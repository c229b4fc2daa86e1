"""Warnings of what anybody may cause as often as he likes: now and then a line of the log, with how often it was."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

_SILENCE = 10.0  # seconds between two lines about the same


class Seldom:
    """``log`` is where the lines go; ``steady`` a clock in seconds that is never set."""

    def __init__(self, log: Any, *, steady: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._steady = steady
        self._unsaid: Counter[str] = Counter()
        self._silent_until: dict[str, float] = {}

    def warning(self, event: str, **facts: Any) -> None:
        """Log an event, of which there are only a few; ``facts`` are those of the time at which the line is written."""
        self._unsaid[event] += 1
        now = self._steady()
        if now >= self._silent_until.get(event, 0.0):
            self._log.warning(event, times=self._unsaid.pop(event), **facts)
            self._silent_until[event] = now + _SILENCE
