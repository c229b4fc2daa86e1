"""What the SMTP door answers: reply codes for our errors, and text of strangers made fit for a line."""

from __future__ import annotations

from gateway.errors import GatewayError, TryLater

_CODES = {"5.1.3": 553, "5.3.4": 552, "5.2.3": 552, "5.7.0": 530, "4.3.1": 452, "4.5.3": 452, "4.7.0": 454}


class Hangup(Exception):  # not an error: the conversation ends
    """Say ``reply`` and close."""

    def __init__(self, reply: str = "") -> None:
        super().__init__(reply)
        self.reply = reply


def refusal(error: GatewayError) -> str:
    """The reply that tells an error: basic code, enhanced code (RFC 3463), the sentence for strangers."""
    return f"{_code(error)} {error.status} {shown(error.public, 400)}"


def _code(error: GatewayError) -> int:
    """The basic reply code that goes with an enhanced one."""
    if error.status in _CODES:
        return _CODES[error.status]
    if error.status.startswith("5.6."):
        return 554
    return 451 if isinstance(error, TryLater) or error.status.startswith("4") else 550


def shown(text: str, most: int = 40) -> str:
    """Text of the client's on one ASCII line."""
    line = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return line if len(line) <= most else line[: most - 3] + "..."
