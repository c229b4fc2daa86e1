"""The error tree: every failure the gateway can name, and what it means for the one who waits.

::

    GatewayError(public, detail)      public may reach a stranger, detail only the log
    ├── ConfigError                   the start is refused, exit status 78
    ├── Refused                       permanent: 5xx at the door, a failed job, a dead mail
    │   └── NotFound                  the provider does not know this id
    ├── TryLater(after=...)           temporary: 4xx at the door, the job stays, 503 to a callback
    │   ├── KeyRefused                the provider does not accept our key: stop every send
    │   ├── SlowDown                  the provider wants fewer calls
    │   ├── NoCredit                  the account cannot pay: nothing is sent until it can
    │   ├── LoginEnded                the client's login is no more what it was: a new session is the way on
    │   └── NoSpace                   the disk is full or nearly so
    └── OutcomeUnknown                the effect may have happened; only the provider's send raises it

Adapters translate outside errors into these at their own door.
"""

from __future__ import annotations

from decimal import Decimal


class GatewayError(Exception):
    """Base of all. ``public`` is one sentence a stranger may read; ``detail`` is for the log only.

    ``status`` is an enhanced mail status code (RFC 3463), e.g. ``5.1.3``, for what a mail is answered with.
    """

    default_status = "5.0.0"

    def __init__(self, public: str, detail: str = "", *, status: str | None = None) -> None:
        super().__init__(public)
        self.public = public
        self.detail = detail
        self.status = status or self.default_status

    def __str__(self) -> str:
        return f"{self.public} ({self.detail})" if self.detail else self.public


class ConfigError(GatewayError):
    """The configuration cannot be used. ``problems`` holds every one of them, a line each."""

    def __init__(self, public: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(public, "; ".join(problems))
        self.problems = problems or (public,)


class Refused(GatewayError):
    """It will never work as asked: do not try again."""

    default_status = "5.7.1"


class NotFound(Refused):
    """The other side does not know the thing named."""

    default_status = "5.1.1"


class TryLater(GatewayError):
    """It did not work now and provably had no effect; ``after`` is the wait in seconds, where one was named."""

    default_status = "4.3.0"

    def __init__(self, public: str, detail: str = "", *, status: str | None = None, after: float | None = None) -> None:
        super().__init__(public, detail, status=status)
        self.after = after


class KeyRefused(TryLater):
    """The provider refused our key (401): no send may start until a call with the key succeeds."""


class SlowDown(TryLater):
    """The provider asks for fewer calls (Fax.to: 403; elsewhere 429): everybody pauses, and nobody loses his place."""


class NoCredit(TryLater):
    """The provider sends nothing more for want of credit. ``need`` is what the refused fax costs, where that is known."""

    def __init__(self, public: str, *, need: Decimal | None = None) -> None:
        super().__init__(public)
        self.need = need


class LoginEnded(TryLater):
    """The login of a session was removed, or has a new password. No session logs in twice, so this one is over."""

    default_status = "4.7.0"


class NoSpace(TryLater):
    """No room to store something durably."""

    default_status = "4.3.1"


class OutcomeUnknown(GatewayError):
    """The request left us and no clear answer came: the fax may have been sent."""

    default_status = "4.4.2"
