"""Which mails are ones that may be here already: whoever never read our 250 sends the same again (RFC 1047)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from gateway import numbers
from gateway.model import Envelope, FaxJob, FaxNumber, Identity, MailSummary
from gateway.store import jobs, repeats
from gateway.store.db import Tx

TRIED = 5 * 86400.0  # seconds for which mail servers try to hand a mail over, with pauses of hours (RFC 5321 4.5.4.1)


class Repeats:
    """``window`` (s): for how long the same mail again is the first one; 0: never. ``steady`` is a clock that is never set."""

    def __init__(
        self,
        window: float,
        *,
        clock_believed: Callable[[], bool],
        clock: Callable[[], float],
        steady: Callable[[], float],
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


def unseen(tx: Tx, key: str, since: float, wanted: Sequence[FaxJob]) -> tuple[list[FaxJob], str, bool]:
    """Those of a mail's faxes that are not here since its client tried before, the id of the mail with the first, or "", and
    whether that has faxes beside the wanted.

    ``key`` is that of :func:`mail_key`. Numbers may differ between two tries: one was put off at the first.
    """
    earlier = repeats.unconfirmed(tx, key, since)
    if not earlier:
        return list(wanted), "", False
    here = {_wish(job): id_ for id_ in earlier for job in jobs.of_submission(tx, id_)}
    wishes = [_wish(job) for job in wanted]
    first = here.get(wishes[0], "")
    has_others = any(id_ == first and wish not in wishes for wish, id_ in here.items())
    return [job for job, wish in zip(wanted, wishes, strict=True) if wish not in here], first, has_others


def _wish(job: FaxJob) -> tuple[FaxNumber, str]:
    """A number with the options in the address."""
    asked = numbers.read_address(job.rcpt, domains=(job.rcpt.rpartition("@")[2],)).options
    return job.number, str(sorted(asked))


def mail_key(envelope: Envelope, summary: MailSummary, digest: str) -> str:
    """What makes two mails the same attempt of one client: who, from, and the very same content.

    ``digest`` is that of the body. A mail server tries again from whichever of its addresses it likes, of IPv4 or IPv6: a
    mail that has a name is the same from all that are trusted for their network alone.
    """
    is_named = summary.message_id and summary.date
    return _digest(
        Identity.NETWORK if is_named and envelope.peer.proofs == {Identity.NETWORK} else envelope.peer.identity,
        envelope.sender,
        str(sorted(summary.options.items())),
        summary.message_id,
        summary.date,
        summary.subject,
        digest,
    )


def part_key(envelope: Envelope, id_: str) -> str:
    """What makes two mails parts of one, whose parts share ``id_``: who, from, to whom."""
    to = sorted({f"{recipient.number} {sorted(recipient.options.items())}" for recipient in envelope.recipients})
    return _digest(envelope.peer.identity, envelope.sender, *to, id_)


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()
