"""Logins of the SMTP door."""

from __future__ import annotations

from gateway import precis
from gateway.model import User
from gateway.store.db import Tx


def put(tx: Tx, name: str, password_hash: str, now: float) -> None:
    """Add a login, or give it a new password. ``password_hash`` is an argon2id PHC string."""
    tx.execute(
        "INSERT INTO user (name, password_hash, created_at) VALUES (?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash",
        (name, password_hash, now),
    )


def remove(tx: Tx, name: str) -> bool:
    """False when there was none."""
    return bool(tx.execute("DELETE FROM user WHERE name = ?", (name,)).rowcount)


def named(tx: Tx, name: str) -> str | None:
    """The login that a name means: as it is written, as older ones may be on record, or as names are compared."""
    for each in (name, precis.name(name)):
        if tx.execute("SELECT 1 FROM user WHERE name = ?", (each,)).fetchone():
            return each
    return None


def password_hash(tx: Tx, name: str) -> str | None:
    """The hash of a login, or None, as for one that somebody has disabled in the database by hand."""
    row = tx.execute("SELECT password_hash FROM user WHERE name = ? AND disabled = 0", (name,)).fetchone()
    return None if row is None else str(row[0])


def listing(tx: Tx) -> list[User]:
    return [User(*row) for row in tx.execute("SELECT name, created_at FROM user ORDER BY name")]
