"""How long what waits has to wait, whichever table it is in; ``waits`` is the condition in SQL of what waits there."""

from __future__ import annotations

from typing import Any

from gateway.store.db import Tx


def next_due(tx: Tx, table: str, waits: str) -> float | None:
    """When the first is due."""
    row = tx.execute(f"SELECT min(next_at) FROM {table} WHERE {waits}").fetchone()
    return None if row[0] is None else float(row[0])


def resume(tx: Tx, table: str, waits: str, *values: Any, tries: str, now: float, first: float, most: float) -> None:
    """After a start: what was tried once is taken again at once, as the last end most likely broke that try off.

    What was tried n times, by the column ``tries``, waits ``first`` seconds, doubled n - 2 times, ``most`` at most, lest it
    is what ends us.
    """
    tx.execute(
        f"UPDATE {table} SET next_at = min(next_at, ? + min(?, ? * ({tries} > 1) * (1 << max(0, min({tries} - 2, 20)))))"
        f" WHERE {waits} AND {tries} > 0",
        (now, most, first, *values),
    )


def not_after(tx: Tx, table: str, waits: str, latest: float, now: float) -> None:
    """What waits beyond ``latest`` is due now: a clock that was wrong computed that."""
    tx.execute(f"UPDATE {table} SET next_at = ? WHERE {waits} AND next_at > ?", (min(now, latest), latest))
