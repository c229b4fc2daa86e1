"""Forgetting what has served its time: the row first, then the caller removes the files.

A time before ``since``, when the store was made, is the mark of a wrong clock and tells no age.
"""

from __future__ import annotations

from gateway.store import bodies, divided
from gateway.store.db import Tx

_SOME = 100  # mails at once: others write in between


def forget_documents(tx: Tx, before: float, *, since: float = 0.0) -> list[str]:
    """Unname the files of submissions all of whose jobs ended before ``before``; returns the spool names to unlink.

    A mail that itself is sent on is kept until that ended before ``before`` too, and a part of one while that waits.
    """
    rows = tx.execute(
        "SELECT id, mail_file FROM submission s WHERE mail_file <> '' AND created_at >= ? AND created_at < ?"
        " AND NOT EXISTS (SELECT 1 FROM part JOIN divided ON divided.id = part.divided WHERE part.submission = s.id AND divided.ended_at IS NULL)"
        " AND NOT EXISTS (SELECT 1 FROM outbox WHERE cause = s.id AND (state = 'queued' OR ended_at >= ?)) AND NOT EXISTS"
        " (SELECT 1 FROM job WHERE submission = s.id AND (finished_at IS NULL OR finished_at < ? OR finished_at >= ? OR erasable))"
        " LIMIT ?",
        (since, before, before, since, before, _SOME),
    ).fetchall()
    names: list[str] = []
    for submission, mail_file in rows:
        if mail_file == bodies.HERE:
            bodies.forget(tx, submission)
        else:
            names.append(mail_file)
            tx.execute("UPDATE outbox SET file = '' WHERE file = ? AND file <> ''", (mail_file,))
        files = tx.execute(
            "SELECT DISTINCT document_file FROM job WHERE submission = ? AND document_file <> ''", (submission,)
        )
        names.extend(row[0] for row in files)
        tx.execute("UPDATE submission SET mail_file = '' WHERE id = ?", (submission,))
        tx.execute("UPDATE job SET document_file = '' WHERE submission = ?", (submission,))
    return names


def forget_history(tx: Tx, before: float, *, since: float = 0.0) -> int:
    """Delete submissions whose files are gone and whose jobs ended before ``before``; returns how many."""
    rows = tx.execute(
        "SELECT id FROM submission s WHERE mail_file = '' AND created_at >= ? AND created_at < ? AND NOT EXISTS"
        " (SELECT 1 FROM job WHERE submission = s.id AND (finished_at IS NULL OR finished_at < ? OR finished_at >= ?)) LIMIT ?",
        (since, before, since, before, _SOME),
    ).fetchall()
    for (submission,) in rows:
        mine = "(SELECT id FROM job WHERE submission = ?)"
        for table in ("event", "attempt", "spending", "receipt"):
            tx.execute(f"DELETE FROM {table} WHERE job IN {mine}", (submission,))
        tx.execute("DELETE FROM job WHERE submission = ?", (submission,))
        divided.forget(tx, submission)
        tx.execute("DELETE FROM submission WHERE id = ?", (submission,))
    return len(rows)
