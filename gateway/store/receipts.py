"""Receipts: the provider's word by callback, kept even when no job of ours is known to it (yet)."""

from __future__ import annotations

from typing import Any

from gateway.model import Receipt, Verdict
from gateway.store.db import Tx

_RECEIPT = "provider_ref, verdict, code, text, received_at"


def _receipt(row: tuple[Any, ...]) -> Receipt:
    provider_ref, verdict, code, text, received_at = row
    return Receipt(provider_ref, Verdict(verdict), code, text, received_at)


def add(tx: Tx, receipt: Receipt) -> bool:
    """Keep a receipt, bound to the job that has its provider_ref; False when the same was there already.

    One that was there for no job is not the same: the provider has used its id before.
    """
    return bool(
        tx.execute(
            f"INSERT INTO receipt ({_RECEIPT}, job) VALUES (?, ?, ?, ?, ?, (SELECT job FROM attempt WHERE provider_ref = ?))"
            " ON CONFLICT DO UPDATE SET text = excluded.text, received_at = excluded.received_at, job = excluded.job"
            " WHERE job IS NULL AND excluded.job IS NOT NULL",
            (
                receipt.provider_ref, receipt.verdict, receipt.code, receipt.text[:1000], receipt.received_at,
                receipt.provider_ref,
            ),
        ).rowcount
    )  # fmt: skip


def adopt(tx: Tx, provider_ref: int, job: str) -> int:
    """Bind receipts that came before their job was known; returns how many.

    None from before its mail: that was of another fax, to which the provider gave the same id.
    """
    return tx.execute(
        "UPDATE receipt SET job = ? WHERE provider_ref = ? AND job IS NULL"
        " AND received_at >= (SELECT created_at FROM job WHERE id = ?)",
        (job, provider_ref, job),
    ).rowcount


def of_job(tx: Tx, job: str) -> list[Receipt]:
    """Receipts of a job, the first first."""
    rows = tx.execute(f"SELECT {_RECEIPT} FROM receipt WHERE job = ? ORDER BY id", (job,))
    return [_receipt(row) for row in rows]


def strange(tx: Tx, since: float) -> set[int]:
    """The provider's ids of faxes that receipts told of since then, and that are none of ours as far as is known."""
    rows = tx.execute("SELECT provider_ref FROM receipt WHERE job IS NULL AND received_at >= ?", (since,))
    return {row[0] for row in rows}


def purge_orphans(tx: Tx, before: float) -> int:
    """Forget receipts of jobs that never were ours."""
    return tx.execute("DELETE FROM receipt WHERE job IS NULL AND received_at < ?", (before,)).rowcount
