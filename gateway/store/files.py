"""The spool names that rows name, and what each of them is."""

from __future__ import annotations

from gateway.store.db import Tx


def named(tx: Tx) -> dict[str, str]:
    """Every spool name, with what is in it in words for people."""
    found: dict[str, str] = {}
    for sql, what in (
        ("SELECT file, id FROM inbound WHERE file <> ''", "the received fax"),
        ("SELECT file, cause FROM outbox WHERE file <> ''", "the received fax"),
        ("SELECT document_file, submission FROM job WHERE document_file <> ''", "the fax pages of mail"),
        ("SELECT mail_file, id FROM submission WHERE mail_file NOT IN ('', 'database')", "the mail"),
    ):
        found.update((str(file), f"{what} {id_}") for file, id_ in tx.execute(sql))
    return found
