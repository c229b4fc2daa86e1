"""May the wall clock be believed for what cannot be undone? Not soon after it was set, nor at a start far from the last time."""

from __future__ import annotations

import time
from collections.abc import Callable

_FAR = 300.0  # seconds: more than a correction, less than what anything here waits for
_LONG = 86400.0  # seconds: how long a clock must go on without a jump until it is believed again


class WallClock:
    """``clock`` can be set by anybody, ``steady`` never is; both count seconds. Ask often: a jump is seen when asked."""

    def __init__(self, clock: Callable[[], float], *, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steady = steady
        self._ahead = clock() - steady()
        self._doubted_at: float | None = None
        self._jumped = False

    def begin(self, believed_at: float | None) -> None:
        """At a start: ``believed_at`` is when it was believed last, None in a new store."""
        if believed_at is not None and not -_FAR < self._clock() - believed_at < _LONG:
            self._doubted_at = self._steady()
            self._jumped = True

    @property
    def is_believed(self) -> bool:
        steady = self._steady()
        ahead = self._clock() - steady
        if abs(ahead - self._ahead) > _FAR:
            self._doubted_at, self._jumped = steady, True
        self._ahead = ahead  # small corrections add up
        return self._doubted_at is None or steady - self._doubted_at >= _LONG

    def take_jump(self) -> bool:
        """Whether it was set since this was asked last: what waits for a time may then wait for the wrong one."""
        jumped = not self.is_believed and self._jumped
        self._jumped = False
        return jumped
