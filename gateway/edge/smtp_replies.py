"""What the SMTP door answers: reply codes for our errors, and text of strangers made fit for a line."""

from __future__ import annotations

from gateway.errors import GatewayError, Refused

_CODES = {
    "5.1.3": 553,
    "5.1.7": 553,
    "5.3.4": 552,
    "5.6.11": 550,
    "5.7.0": 530,
    "4.3.1": 452,
    "4.5.3": 452,
    "4.7.0": 454,
}

SHUTTING_DOWN = "421 4.3.2 the gateway is shutting down; try again in a minute"
TOO_SLOW = "421 4.3.2 too many connections, and this one was the slowest; try again later"
TROUBLE = "451 4.3.0 the gateway has trouble of its own; try again later"


class Hangup(Exception):  # not an error: the conversation ends
    """Say ``reply`` and close."""

    def __init__(self, reply: str = "") -> None:
        super().__init__(reply)
        self.reply = reply


def refusal(error: GatewayError) -> str:
    """The reply that tells an error: basic code, enhanced code (RFC 3463), the sentence for strangers.

    What is not a :class:`Refused` is never told as permanent, whatever its status says.
    """
    permanent = isinstance(error, Refused)
    status = error.status if error.status.startswith("5" if permanent else "4") else "5.7.1" if permanent else "4.3.0"
    return f"{_code(status)} {status} {shown(error.public, 400)}"


def _code(status: str) -> int:
    """The basic reply code that goes with an enhanced one."""
    if status in _CODES:
        return _CODES[status]
    if status.startswith("5.6."):
        return 554
    return 451 if status.startswith("4") else 550


def shown(text: str, most: int = 40) -> str:
    """Text of the client's on one ASCII line."""
    line = text
    if not (text.isascii() and text.isprintable()):
        line = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return line if len(line) <= most else line[: most - 3] + "..."
