"""The gate before every call that sends: how many may be begun now.

Shut by a refused key, until a call with the key succeeds, and by an account without credit, until the balance is back;
while that is not told, one send tries now and then. Paused when the provider asks us to slow down or fails again and
again. Kept by ourselves while we do not know what was sent already. Behind each of these, and after a start, calls are
let through one at a time until one has succeeded.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from gateway.errors import GatewayError, KeyRefused, NoCredit, SlowDown
from gateway.service.due import backoff

_VAIN = 20  # failures: nothing is given up on age alone, as a clock may jump
_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class GateSettings:
    """``failures`` in a row pause for ``first`` seconds, doubled each time up to ``longest``."""

    failures: int = 5
    first: float = 30.0
    longest: float = 900.0


class Gate:
    """``why`` says what hinders a send, "" for nothing. ``on_change`` is called when that changes."""

    def __init__(
        self,
        settings: GateSettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings or GateSettings()
        self._clock = clock
        self._steady = steady
        self._refused = self._kept = self._unpaid = self._trouble = ""
        self._need: Decimal | None = None  # what the cheapest fax costs that was refused for want of credit
        self._unpaid_until = 0.0  # then one send may try
        self._paused_until = 0.0
        self._pauses = 0  # in a row
        self._failures = 0  # in a row
        self._vain: deque[float] = deque(maxlen=_VAIN)  # steady times of calls that failed since a send was taken
        self._proven = False  # a call has succeeded since the last trouble
        self._failing_at: float | None = None  # steady time of the first call without an answer since there was one
        self._failing_why = ""  # of the last of them
        self.shut_at = 0.0
        self.on_change: list[Callable[[], None]] = []

    # --- what it lets through ---------------------------------------------------------------------------------------

    @property
    def why(self) -> str:
        """What hinders a send now."""
        unpaid = self._unpaid if self._steady() < self._unpaid_until else ""
        return self._refused or self._kept or unpaid or (self._trouble if self._is_paused else "")

    @property
    def is_open(self) -> bool:
        """Whether a send may be begun."""
        return not self.why

    @property
    def is_shut(self) -> bool:
        """Whether the key is refused."""
        return bool(self._refused)

    @property
    def lacks_credit(self) -> bool:
        """Whether the account cannot pay."""
        return bool(self._unpaid)

    @property
    def may_ask(self) -> bool:
        """Whether the provider may be asked for what sends nothing: status, history, inbox."""
        return not self._refused and not self._is_paused

    @property
    def is_in_vain(self) -> bool:
        """Whether so many calls have failed of late, and no send was taken since, that what is too old waits in vain.

        Not while it is not known what was sent already.
        """
        return len(self._vain) == _VAIN and self._steady() - self._vain[0] < _DAY and not self._kept

    @property
    def failing_for(self) -> float:
        """Seconds since a call got no answer, or none that says anything, where none has got one since; else 0.0."""
        return 0.0 if self._failing_at is None else self._steady() - self._failing_at

    @property
    def failing_why(self) -> str:
        """Of the last of these calls; "" where there is none."""
        return "" if self._failing_at is None else self._failing_why

    def sends(self, most: int) -> int:
        """How many sends may be under way at once, ``most`` at best."""
        return self.asks(1 if self._unpaid else most) if self.is_open else 0

    def asks(self, most: int) -> int:
        """How many questions may be under way at once, ``most`` at best."""
        if not self.may_ask:
            return 0
        return most if self._proven else 1

    def tells(self, most: int) -> int:
        """As :meth:`asks`, for what has something to tell without an answer, too: while the key is refused no question leaves
        us (provider/calls.py), and no sender waits for that to end.
        """
        return 1 if self._refused else self.asks(most)

    @property
    def _is_paused(self) -> bool:
        return self._steady() < self._paused_until

    # --- what it learns ---------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """The provider is there: a list was read, which proves of a send as little as of a key that is refused since."""
        self._failing_at = None

    def succeeded(self) -> None:
        """A call with the key was answered well."""
        self.answered()
        self._failures = self._pauses = 0
        if self._refused or not self._proven:
            self._refused, self._proven = "", True
            self._tell()

    def failed(self, error: GatewayError) -> None:
        """A call failed for a reason that lies with the provider, not with the fax."""
        self._vain.append(self._steady())
        if isinstance(error, KeyRefused | NoCredit | SlowDown):
            self._failing_at = None
        elif self._failing_at is None:
            self._failing_at = self._steady()
        if isinstance(error, KeyRefused):
            self.shut(error.public)
        elif isinstance(error, NoCredit):
            known = [need for need in (self._need, error.need) if need is not None]
            self._unpaid, self._need, self._proven = error.public, min(known, default=None), False
            self._wait_for_credit()
            self._tell()
        elif isinstance(error, SlowDown):
            self._pause(error.after or self._next_pause(), error.public)
        else:
            self._failing_why = error.public
            self._failures += 1
            if self._failures >= self._settings.failures:
                self._pause(self._next_pause(), error.public)

    def _next_pause(self) -> float:
        return backoff(self._pauses + 1, self._settings.first, self._settings.longest)

    def _pause(self, seconds: float, why: str) -> None:
        if self._is_paused:  # the others that were under way when it began
            return
        self._pauses += 1
        self._failures, self._proven, self._trouble = 0, False, why
        self._paused_until = self._steady() + seconds
        asyncio.get_running_loop().call_later(seconds + 0.001, self._tell)
        self._tell()

    def shut(self, why: str) -> None:
        """The key is refused."""
        if not self._refused:
            self._refused, self.shut_at, self._proven = why, self._clock(), False
            self._tell()

    def balance(self, amount: Decimal) -> None:
        """The account holds so much: sends go on when that pays for the fax that was refused."""
        if not self._unpaid:
            return
        if amount > 0 and (self._need is None or amount >= self._need):
            self._has_credit()
        else:
            self._wait_for_credit()

    def paid(self) -> None:
        """A send was taken: the account can pay."""
        self._vain.clear()
        self._has_credit()

    def _has_credit(self) -> None:
        if self._unpaid:
            self._unpaid, self._need = "", None
            self._tell()

    def _wait_for_credit(self) -> None:
        """The balance is not known to suffice: it, or in the end a try, will tell."""
        self._unpaid_until = self._steady() + self._settings.longest
        asyncio.get_running_loop().call_later(self._settings.longest + 0.001, self._tell)

    def keep(self, why: str) -> None:
        """Hold sends back until :meth:`let_go`; questions go on."""
        self._kept = why
        self._tell()

    def let_go(self) -> None:
        """Sends may go on."""
        self._kept = ""
        self._tell()

    def _tell(self) -> None:
        for listener in self.on_change:
            listener()
