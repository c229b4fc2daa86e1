"""Whether a reading of the history proves that a send never happened: the list must show what it should by all we know.

A list that is complete may still be stale, cached, or of another account. Our own sends are its witnesses: those whose
documents the provider still has must all be there, and faxes that receipts told of and the provider knows. Where none of
ours is listed, or the account is ours alone, the balance must not have fallen by more than other sends explain.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from decimal import Decimal

from gateway.errors import GatewayError, Refused
from gateway.model import Attempt, FaxJob
from gateway.ports import FaxProvider
from gateway.service.credit import Credit
from gateway.service.history import History, Reading
from gateway.store import jobs, origin, receipts, witness
from gateway.store.db import Database, Tx

_TOLERANCE = Decimal("0.0001")
_ASKED = 10  # faxes of which only a receipt tells, in one look


@dataclass(frozen=True, slots=True)
class Finding:
    """A reading; ``flaw`` is why what it does not list may have been sent all the same, "" when nothing speaks for that."""

    reading: Reading
    flaw: str


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What a list must show to prove that it lacks nothing since a send. Sets are of the provider's ids of faxes."""

    rightful: Set[int]  # a whole list has them
    strange: Set[int]  # of which only receipts have told since: those that the provider knows
    elsewhere: Set[int] | None  # sent before: one of them, where the account may have become another since


def witnesses(tx: Tx, account: str, attempt: Attempt) -> Witnesses:
    """Those of what was sent since an attempt was begun; ``account`` is that of today."""
    begun = witness.suspect(tx, attempt.job, attempt.n).begun
    return Witnesses(
        rightful=witness.listed_by_rights(tx),
        strange=receipts.strange(tx, attempt.started_at),
        elsewhere=witness.sent_before(tx, begun) if origin.moved_after(tx, account) >= begun else None,
    )


class Absence:
    """Reads the history and judges it. ``alone``: nobody else sends at the expense of the account."""

    def __init__(self, database: Database, provider: FaxProvider, history: History, *, alone: bool) -> None:
        self._database = database
        self._provider = provider
        self._history = history
        self._alone = alone

    async def look(self, job: FaxJob) -> Finding:
        """Read the history for the last attempt of a job. Raises nothing: what hinders is in the finding."""
        facts = await self._database.read(lambda tx: _facts(tx, job, self._provider.account))
        reading = await self._history.read(facts.older)
        assert job.document_ref is not None
        flaw = await self.flaw_of(reading, facts.witnesses) or reading.astray(
            job.document_ref, job.number.digits, facts.earlier
        )
        if flaw:
            return Finding(reading, flaw)
        seen = not reading.refs.isdisjoint(facts.known | facts.older)
        if seen and not self._alone:
            return Finding(reading, "")
        return Finding(reading, await money_is_gone(self._database, self._provider, facts.before, job.id))

    async def flaw_of(self, reading: Reading, by: Witnesses) -> str:
        """Why a reading proves nothing of what it does not list; "" when nothing speaks against it."""
        if not reading.complete:
            return reading.why
        if flaw := lacks(reading, by.rightful) or await self._denies(reading, by.strange):
            return flaw
        if by.elsewhere is not None and reading.refs.isdisjoint(by.elsewhere):
            return "the key is another now, and the list shows no fax that was sent with the old one"
        return ""

    async def _denies(self, reading: Reading, strange: Set[int]) -> str:
        """Which fax the provider knows and a receipt told of, that its list should show and does not; "" for none."""
        for ref in sorted(_unlisted(reading, strange))[:_ASKED]:
            try:
                await self._provider.status(ref)
            except Refused:  # nobody knows it: the receipt was made up, or is of another account
                continue
            except GatewayError as error:
                return f"a receipt told of fax {ref}, about which the provider cannot be asked: {error.public}"
            return f"the list lacks fax {ref}, of which a receipt told"
        return ""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known of a send without an answer, and of others. Sets are of the provider's ids of faxes."""

    before: witness.Balance | None  # what the account held
    older: Set[int]
    known: Set[int]
    earlier: Set[int | None]  # of the same job
    witnesses: Witnesses


def _facts(tx: Tx, job: FaxJob, account: str) -> _Facts:
    suspect, attempts = witness.suspect(tx, job.id, job.attempts), jobs.attempts(tx, job.id)
    return _Facts(
        before=suspect.before,
        older=witness.sent_before(tx, suspect.begun),
        known=witness.known(tx),
        earlier={attempt.provider_ref for attempt in attempts},
        witnesses=witnesses(tx, account, attempts[-1]),
    )


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
    missing = _unlisted(reading, witnesses)
    return f"the list lacks fax {min(missing)}, which the provider has taken" if missing else ""


def _unlisted(reading: Reading, refs: Set[int]) -> Set[int]:
    """Those of ``refs`` that it does not show, though it goes back so far."""
    missing = refs - reading.refs
    return missing if reading.to_the_end else {ref for ref in missing if ref > reading.reach}
