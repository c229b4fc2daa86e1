"""The address book: short names for numbers, for everybody or for some senders."""

from __future__ import annotations

from typing import Any

from gateway.model import Alias, FaxNumber
from gateway.store.db import Tx

_ALIAS = "name, number, scope, addressee, note, created_at"


def put(tx: Tx, alias: Alias) -> None:
    """Add a name, or replace the one with the same scope."""
    tx.execute(
        f"INSERT INTO alias ({_ALIAS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name, scope) DO UPDATE SET"
        " number = excluded.number, addressee = excluded.addressee, note = excluded.note",
        (alias.name, alias.number.e164, alias.scope, alias.addressee, alias.note, alias.created_at),
    )


def remove(tx: Tx, name: str, scope: str) -> bool:
    """False when there was none."""
    return bool(tx.execute("DELETE FROM alias WHERE name = ? AND scope = ?", (name, scope)).rowcount)


def listing(tx: Tx, name: str | None = None) -> list[Alias]:
    """All aliases, or those of one name (in lower case)."""
    only = "" if name is None else "WHERE name = ?"
    rows = tx.execute(f"SELECT {_ALIAS} FROM alias {only} ORDER BY name, scope", () if name is None else (name,))
    return [_alias(row) for row in rows]


def addressed(tx: Tx, number: FaxNumber) -> list[Alias]:
    """Those of a number that say who is behind it."""
    rows = tx.execute(f"SELECT {_ALIAS} FROM alias WHERE number = ? AND addressee <> ''", (number.e164,))
    return [_alias(row) for row in rows]


def _alias(row: tuple[Any, ...]) -> Alias:
    name, number, *rest = row
    return Alias(name, FaxNumber(number), *rest)
