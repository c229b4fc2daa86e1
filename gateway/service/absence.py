"""Whether a reading of the history proves that a send never happened: the list must show what it should by all we know.

A list that is complete may still be stale, cached, or of another account. Our own sends are its witnesses: those whose
documents the provider still has must all be there. Where none of ours is listed, or the account is ours alone, the
balance must not have fallen by more than other sends explain.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from decimal import Decimal

from gateway.errors import GatewayError, Refused
from gateway.model import FaxJob
from gateway.ports import FaxProvider
from gateway.service.credit import Credit
from gateway.service.history import History, Reading
from gateway.store import jobs, origin, witness
from gateway.store.db import Database, Tx

_TOLERANCE = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Finding:
    """A reading; ``flaw`` is why what it does not list may have been sent all the same, "" when nothing speaks for that."""

    reading: Reading
    flaw: str


class Absence:
    """Reads the history and judges it. ``alone``: nobody else sends at the expense of the account."""

    def __init__(self, database: Database, provider: FaxProvider, history: History, *, alone: bool) -> None:
        self._database = database
        self._provider = provider
        self._history = history
        self._alone = alone

    async def look(self, job: FaxJob) -> Finding:
        """Read the history for the last attempt of a job. Raises nothing: what hinders is in the finding."""

        def facts(tx: Tx) -> tuple[witness.Suspect, set[int], set[int], set[int], set[int | None], bool]:
            suspect = witness.suspect(tx, job.id, job.attempts)
            earlier = {attempt.provider_ref for attempt in jobs.attempts(tx, job.id)}
            moved = origin.moved_after(tx, self._provider.account)
            older, rightful = witness.sent_before(tx, suspect.begun), witness.listed_by_rights(tx)
            return suspect, older, rightful, witness.known(tx), earlier, moved >= suspect.begun

        suspect, older, witnesses, known, earlier, moved = await self._database.read(facts)
        reading = await self._history.read(older)
        if not reading.complete:
            return Finding(reading, reading.why)
        assert job.document_ref is not None
        if flaw := lacks(reading, witnesses) or reading.astray(job.document_ref, job.number.digits, earlier):
            return Finding(reading, flaw)
        if moved and reading.refs.isdisjoint(older):
            return Finding(reading, "the key is another now, and the list shows no fax that was sent with the old one")
        seen = not reading.refs.isdisjoint(known | older)
        if seen and not self._alone:
            return Finding(reading, "")
        return Finding(reading, await money_is_gone(self._database, self._provider, suspect.before, job.id))


async def money_is_gone(database: Database, provider: FaxProvider, before: witness.Balance | None, job: str) -> str:
    """What the balance has against it that nothing was sent but what is known, and perhaps ``job``, since ``before``.

    "" when nothing, or where it cannot be had.
    """
    if before is None:
        return ""
    try:
        now = await provider.balance()
    except GatewayError as error:
        if isinstance(error, Refused) and not Credit.is_wanted(error):  # this provider tells none
            return ""
        return f"the balance cannot be read: {error.public}"
    spent = await database.read(lambda tx: witness.spent_since(tx, before, job))
    if now < before.amount - spent - _TOLERANCE:
        return f"the balance fell from {before.amount} to {now}, and other faxes explain {spent} of it"
    return ""


def lacks(reading: Reading, witnesses: Set[int]) -> str:
    """Which of our own sends a reading should list and does not; "" when it has them all."""
    missing = witnesses - reading.refs
    if not reading.to_the_end:
        missing = {ref for ref in missing if ref > reading.reach}
    return f"the list lacks fax {min(missing)}, which the provider has taken" if missing else ""
