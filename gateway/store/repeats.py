"""Mails that may come again: their clients never showed that they read our 250."""

from __future__ import annotations

import math

from gateway.model import FaxNumber
from gateway.store.db import Tx


def unconfirmed(tx: Tx, dedupe_key: str, since: float) -> list[str]:
    """Ids of equal submissions accepted after ``since`` whose client never showed that it saw our 250, the newest first."""
    rows = tx.execute(
        "SELECT id FROM submission WHERE dedupe_key = ? AND confirmed_at IS NULL AND created_at >= ?"
        " ORDER BY created_at DESC",
        (dedupe_key, since),
    )
    return [str(id_) for (id_,) in rows]


def may_be_one(tx: Tx, identity: str, sender: str, number: FaxNumber, since: float) -> bool:
    """Whether a mail of this identity, sender and number may be such a one, accepted after ``since``; an address is any."""
    row = tx.execute(
        "SELECT 1 FROM submission s INDEXED BY submission_unconfirmed JOIN job ON job.submission = s.id"
        " WHERE s.confirmed_at IS NULL AND s.created_at >= ? AND s.sender = ? AND job.number = ?"
        " AND (s.identity = ? OR (s.identity LIKE 'ip:%' AND ? LIKE 'ip:%')) LIMIT 1",
        (since, sender, number.e164, identity, identity),
    ).fetchone()
    return row is not None


def last_accepted(tx: Tx, before: float = math.inf) -> float | None:
    """When the last mail before a time was accepted; None when there was none."""
    rows = tx.execute(  # two, as each has an index
        "SELECT max(created_at) FROM submission WHERE mail_file <> '' AND created_at < ? UNION ALL"
        " SELECT max(created_at) FROM submission WHERE mail_file = '' AND created_at < ?",
        (before, before),
    )
    return max((at for (at,) in rows if at is not None), default=None)


def confirm(tx: Tx, submission: str, now: float) -> None:
    """The client has seen our 250."""
    tx.execute("UPDATE submission SET confirmed_at = ? WHERE id = ? AND confirmed_at IS NULL", (now, submission))
