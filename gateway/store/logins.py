"""Logins that failed, for as long as they count, and the addresses where a login was good."""

from __future__ import annotations

from gateway.store.db import Tx


def failed(tx: Tx, login: str, address: str, now: float) -> None:
    """Record a password that was verified and wrong. ``login`` is that of a user, or a digest."""
    tx.execute("INSERT INTO login_failure (at, address, login) VALUES (?, ?, ?)", (now, address, login))


def failures(tx: Tx, address: str, since: float) -> list[tuple[float, str]]:
    """When a login failed at an address, and which, the first first."""
    rows = tx.execute("SELECT at, login FROM login_failure WHERE address = ? AND at > ? ORDER BY at", (address, since))
    return rows.fetchall()


def failures_elsewhere(tx: Tx, login: str, address: str, since: float) -> int:
    """How many failed for a login at all other addresses."""
    query = "SELECT count(*) FROM login_failure WHERE login = ? AND at > ? AND address <> ?"
    return int(tx.execute(query, (login, since, address)).fetchone()[0])


def succeeded(tx: Tx, login: str, address: str, now: float) -> None:
    """Record where a login was good."""
    tx.execute(
        "INSERT INTO login_success (login, address, at) VALUES (?, ?, ?)"
        " ON CONFLICT (login, address) DO UPDATE SET at = excluded.at",
        (login, address, now),
    )


def last_success(tx: Tx, login: str, address: str) -> float | None:
    """When the login was good at this address for the last time, to a day."""
    row = tx.execute("SELECT at FROM login_success WHERE login = ? AND address = ?", (login, address)).fetchone()
    return None if row is None else float(row[0])


def familiar(tx: Tx, since: float) -> set[str]:
    """Addresses where any login was good."""
    return {address for (address,) in tx.execute("SELECT DISTINCT address FROM login_success WHERE at > ?", (since,))}


def forget(tx: Tx, *, failures_before: float, failures_after: float, successes_before: float) -> None:
    """What no longer counts goes, and failures of a time to come: a clock was wrong."""
    tx.execute("DELETE FROM login_failure WHERE at <= ? OR at > ?", (failures_before, failures_after))
    tx.execute("DELETE FROM login_success WHERE at <= ?", (successes_before,))


def forget_login(tx: Tx, login: str) -> None:
    """A login that has gone or has a new password is known nowhere."""
    tx.execute("DELETE FROM login_success WHERE login = ?", (login,))
