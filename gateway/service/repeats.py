"""Which mails are ones that may be here already: whoever never read our 250 sends the same again (RFC 1047)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from gateway.model import Envelope, Identity, MailSummary
from gateway.store import repeats
from gateway.store.db import Tx

TRIED = 5 * 86400.0  # seconds for which mail servers try to hand a mail over, with pauses of hours (RFC 5321 4.5.4.1)


class Repeats:
    """``window`` (s): for how long the same mail again is the first one; 0: never. ``steady`` is a clock that is never set."""

    def __init__(
        self,
        window: float,
        *,
        clock_believed: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._window = window
        self._clock_believed = clock_believed
        self._steady = steady
        self._begun, self._begun_at = steady(), clock()

    def since(self, now: float, *, is_named: bool) -> Callable[[Tx], float]:
        """What tells, within a transaction, from when on a mail may come again.

        One that ``is_named`` may for as long as servers try. After the clock was set nobody knows how long ago something
        was. Soon after our start the time does not count in which we were not there and nobody could try again.
        """
        window = max(self._window, TRIED) if self._window and is_named else self._window
        since = now - window if self._clock_believed() or not window else 0.0
        if self._steady() - self._begun >= window:
            return lambda _tx: since
        return lambda tx: min(since, (repeats.last_accepted(tx, self._begun_at) or self._begun_at) - window)


def mail_key(envelope: Envelope, summary: MailSummary, digest: str) -> str:
    """What makes two mails the same attempt of one client: who, from, to whom, and the very same content.

    ``digest`` is that of the body. A mail server tries again from whichever of its addresses it likes, of IPv4 or IPv6: a
    mail that has a name is the same from all that are trusted for their network alone.
    """
    who, *whose = _whose(envelope)
    if summary.message_id and summary.date and envelope.peer.proofs == {Identity.NETWORK}:
        who = Identity.NETWORK
    return _digest(
        who,
        *whose,
        str(sorted(summary.options.items())),
        summary.message_id,
        summary.date,
        summary.subject,
        digest,
    )


def part_key(envelope: Envelope, id_: str) -> str:
    """What makes two mails parts of one, whose parts share ``id_``: who, from, to whom."""
    return _digest(*_whose(envelope), id_)


def _whose(envelope: Envelope) -> list[str]:
    """Who sends to whom, with which options in the addresses."""
    return [
        envelope.peer.identity,
        envelope.sender,
        *sorted({f"{recipient.number} {sorted(recipient.options.items())}" for recipient in envelope.recipients}),
    ]


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
