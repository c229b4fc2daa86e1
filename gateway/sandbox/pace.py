"""How fast the sandbox's time goes: calls on the line, and the fifteen minutes between two tries of a callback."""

from __future__ import annotations

from dataclasses import dataclass

RETRY_AFTER = 15 * 60.0  # seconds, Fax.to API, "delivery receipt"
RETRY_FOR = 48 * 3600.0


@dataclass(frozen=True, slots=True)
class Pace:
    """``line``: real seconds that a second of a call takes; ``clock``: seconds of the retry rule in a real one."""

    line: float
    clock: float

    def with_clock(self, clock: float) -> Pace:
        """The same line with another clock."""
        return Pace(self.line, clock)

    @property
    def retry_after(self) -> float:
        """Real seconds between two tries of a callback."""
        return RETRY_AFTER / self.clock

    @property
    def retry_for(self) -> float:
        """Real seconds after which a callback is given up."""
        return RETRY_FOR / self.clock


PACES = {"instant": Pace(0.0, 900.0), "10x": Pace(0.1, 10.0), "real": Pace(1.0, 1.0)}
