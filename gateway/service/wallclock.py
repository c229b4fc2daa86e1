"""May the wall clock be believed for what cannot be undone? Not soon after it was set, nor at a start far from the last time."""

from __future__ import annotations

from collections.abc import Callable

from gateway.service.ledgertime import uptime

_FAR = 300.0  # seconds: more than a correction, less than what anything here waits for
_LONG = 86400.0  # seconds: how long we must have seen a clock go on without a jump until it is believed again


class WallClock:
    """``clock`` can be set by anybody, ``steady`` never is; both count seconds. Ask often: a jump is seen when asked."""

    def __init__(self, clock: Callable[[], float], *, steady: Callable[[], float] = uptime) -> None:
        self._clock = clock
        self._steady = steady
        self._since = steady()
        self._ahead = clock() - self._since
        self._before = _LONG  # how long it had gone on at that time
        self._jumped = False

    def begin(self, noted: tuple[float, float] | None) -> None:
        """At a start: what the clock showed and what :attr:`calm` was, when they were noted last; None in a new store.

        A machine that is off at night is on for a day in a few days.
        """
        if noted is None:
            return
        shown, calm = noted
        if -_FAR < self._clock() - shown < _LONG:
            self._before = calm
        else:
            self._before, self._jumped = 0.0, True

    @property
    def calm(self) -> float:
        """For how long it has gone on without a jump while we saw it (s), as far as that matters."""
        steady = self._steady()
        ahead = self._clock() - steady
        if abs(ahead - self._ahead) > _FAR:
            self._before, self._since, self._jumped = 0.0, steady, True
        self._ahead = ahead  # small corrections add up
        return min(_LONG, self._before + steady - self._since)

    @property
    def is_believed(self) -> bool:
        return self.calm >= _LONG

    def take_jump(self) -> bool:
        """Whether it was set since this was asked last: what waits for a time may then wait for the wrong one."""
        jumped = not self.is_believed and self._jumped
        self._jumped = False
        return jumped
