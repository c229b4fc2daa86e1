"""The content of small mails: a row shares the sync of a commit, a file needs two of its own."""

from __future__ import annotations

from gateway.store.db import Tx

HERE = "database"  # as a submission's mail_file: its content is kept here


def put(tx: Tx, submission: str, content: bytes) -> None:
    """Keep a mail, in the transaction that accepts it."""
    tx.execute("INSERT INTO mail_body (submission, content) VALUES (?, ?)", (submission, content))


def get(tx: Tx, submission: str) -> bytes | None:
    """A mail that is kept here."""
    row = tx.execute("SELECT content FROM mail_body WHERE submission = ?", (submission,)).fetchone()
    return None if row is None else bytes(row[0])


def forget(tx: Tx, submission: str) -> None:
    tx.execute("DELETE FROM mail_body WHERE submission = ?", (submission,))


def move(tx: Tx, submission: str, file: str) -> None:
    """It is now in the spool as ``file``."""
    forget(tx, submission)
    tx.execute("UPDATE submission SET mail_file = ? WHERE id = ?", (file, submission))
