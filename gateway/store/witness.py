"""What speaks for or against a send without an answer: other sends, by the order in which they were recorded.

Order is told by the ids of events, never by times: clocks are wrong at times, ids only grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from gateway.store.db import Tx

_NEWEST = 200  # sends: more would prove no more


@dataclass(frozen=True, slots=True)
class Balance:
    """The account's balance as the provider told it, and after which event."""

    amount: Decimal
    event: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """A send without an answer: when it was begun, by events, and what the account held before."""

    begun: int
    before: Balance | None


def last_event(tx: Tx) -> int:
    """The id of the newest event."""
    return int(tx.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()[0])


def note_balance(tx: Tx, job: str, n: int, balance: Balance) -> None:
    """Keep what the account held before attempt ``n``; in the transaction that begins it."""
    tx.execute(
        "UPDATE attempt SET balance = ?, balance_event = ? WHERE job = ? AND n = ?",
        (str(balance.amount), balance.event, job, n),
    )


def suspect(tx: Tx, job: str, n: int) -> Suspect:
    """Attempt ``n`` of a job."""
    begun, amount, event = tx.execute(
        "SELECT begun_event, balance, balance_event FROM attempt WHERE job = ? AND n = ?", (job, n)
    ).fetchone()
    return Suspect(int(begun), None if amount is None else Balance(Decimal(amount), int(event)))


def sent_before(tx: Tx, event: int) -> set[int]:
    """The provider's ids of sends that were answered before an event: older than any send begun after it."""
    rows = tx.execute(
        "SELECT provider_ref FROM attempt WHERE provider_ref IS NOT NULL AND ended_event < ?"
        " ORDER BY ended_event DESC LIMIT ?",
        (event, _NEWEST),
    )
    return {row[0] for row in rows}


def listed_by_rights(tx: Tx) -> set[int]:
    """The provider's ids of our newest sends whose documents it still has: a whole history shows each of them."""
    rows = tx.execute(  # from the few jobs to their attempts, never through all that were sent
        "SELECT provider_ref FROM (SELECT id FROM job INDEXED BY job_open WHERE finished_at IS NULL"
        " UNION ALL SELECT id FROM job INDEXED BY job_erasable WHERE erasable) CROSS JOIN attempt ON job = id"
        " WHERE provider_ref IS NOT NULL ORDER BY ended_event DESC LIMIT ?",
        (_NEWEST,),
    )
    return {row[0] for row in rows}


def known(tx: Tx) -> set[int]:
    """The provider's ids of our newest sends: a list that shows one of them is of our account."""
    rows = tx.execute(
        "SELECT provider_ref FROM attempt WHERE provider_ref IS NOT NULL ORDER BY ended_event DESC LIMIT ?", (_NEWEST,)
    )
    return {row[0] for row in rows}


def erased(tx: Tx) -> set[int]:
    """The provider's ids of our newest sends whose documents it was asked to delete."""
    rows = tx.execute(
        "SELECT attempt.provider_ref FROM attempt JOIN job ON job.id = attempt.job"
        " WHERE attempt.provider_ref IS NOT NULL AND job.erased_at IS NOT NULL ORDER BY ended_event DESC LIMIT ?",
        (_NEWEST,),
    )
    return {row[0] for row in rows}


def last_balance(tx: Tx) -> Balance | None:
    """The newest balance that is known."""
    row = tx.execute(
        "SELECT balance, balance_event FROM attempt WHERE balance IS NOT NULL ORDER BY balance_event DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Balance(Decimal(row[0]), int(row[1]))


def spent_since(tx: Tx, balance: Balance, job: str) -> Decimal:
    """What the sends of other jobs have cost that were answered after the balance was told."""
    rows = tx.execute(
        "SELECT cost FROM attempt WHERE ended_event > ? AND provider_ref IS NOT NULL AND cost IS NOT NULL AND job <> ?",
        (balance.event, job),
    )
    return sum((Decimal(row[0]) for row in rows), Decimal(0))
