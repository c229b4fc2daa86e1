"""A copy of the database at one instant, made beside a running gateway, and its preparation for a new life."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.errors import Refused, TryLater
from gateway.store import inbound, jobs, outbox
from gateway.store.db import Tx, set_meta

DATABASE = "faxgateway.db"
RECONCILE = "reconcile"  # meta: why nothing may be sent before the provider's history was read; "" once it was


def copy(source: Path, target: Path) -> set[str]:
    """Copy a database in one read transaction (SQLite, ``VACUUM INTO``); returns the spool names its rows name.

    Raises TryLater when it cannot be read or written.
    """
    try:
        reader = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0, isolation_level=None)
        try:
            reader.execute("VACUUM INTO ?", (str(target),))
        finally:
            reader.close()
        made: Tx = sqlite3.connect(target)
        try:
            return jobs.files(made) | inbound.files(made) | outbox.files(made)
        finally:
            made.close()
    except sqlite3.Error as error:
        raise TryLater(f"the database cannot be copied: {error}") from error


def mark(database: Path, why: str) -> None:
    """Check a copy and have its gateway compare it with the provider's history first. Raises Refused when damaged."""
    try:
        tx: Tx = sqlite3.connect(database, isolation_level=None)
        try:
            found = tx.execute("PRAGMA quick_check(3)").fetchall()
            if found != [("ok",)]:
                raise Refused(f"the database is damaged: {found[0][0]}")
            set_meta(tx, RECONCILE, why)
        finally:
            tx.close()
    except sqlite3.Error as error:
        raise Refused(f"the database is damaged: {error}") from error
