"""The gate before every send: shut by a refused key, opened again by the first call the provider accepts."""

from __future__ import annotations

import time
from collections.abc import Callable


class Gate:
    """``why`` is "" while open. ``on_change`` is called when it opens or shuts."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.why = ""
        self.shut_at = 0.0
        self.on_change: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        return not self.why

    def shut(self, why: str) -> bool:
        """False when it was shut already."""
        if self.why:
            return False
        self.why, self.shut_at = why, self._clock()
        self._tell()
        return True

    def open(self) -> bool:
        """False when it was open already."""
        if not self.why:
            return False
        self.why = ""
        self._tell()
        return True

    def _tell(self) -> None:
        for listener in self.on_change:
            listener()
