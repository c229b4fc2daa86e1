"""What housekeeping, a start and the metrics look for costs no more for all that has ended."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from gateway.model import JobState
from gateway.store import (
    divided,
    files,
    inbound,
    outbox,
    overview,
    receipts,
    repeats,
    retention,
    sends,
    uploads,
    waiting,
    witness,
)
from gateway.store.db import Tx, migrations

_NOW = 1_795_428_900.0


def _history(count: int) -> Tx:
    """A store with so many faxes that were delivered long ago and whose files are gone, and one that waits."""
    tx = sqlite3.connect(":memory:", isolation_level=None)
    for _, script in migrations():
        tx.executescript(script)
    for n in range(count + 1):
        ended = n < count
        at = _NOW - 30 * 86400 + n
        tx.execute(
            "INSERT INTO submission VALUES (?, ?, ?, 1, 'a@x', 'ip:1', 'a@x', 'c', '', '', '', NULL, NULL, '', '', ?, ?)",
            (f"S{n}", at, "" if ended else "mail/S", f"key{n}", at),
        )
        tx.execute(
            "INSERT INTO job (id, submission, rcpt, number, state, created_at, updated_at, next_at, document_ref,"
            " provider_ref, erased_at, finished_at) VALUES (?, ?, '1@x', '+12025550123', ?, ?, ?, ?, ?, ?, ?, ?)",
            (f"S{n}-1", f"S{n}", "delivered" if ended else "submitted", at, at, at, n, n, *((at, at) if ended else (None, None))),
        )  # fmt: skip
        tx.execute(
            "INSERT INTO attempt (job, n, document_ref, number, started_at, outcome, provider_ref, ended_event)"
            " VALUES (?, 1, ?, '+12025550123', ?, 'sent', ?, ?)", (f"S{n}-1", n, at, n, n),
        )  # fmt: skip
        tx.execute("INSERT INTO receipt VALUES (NULL, ?, 'success', 'ok', '', ?, ?)", (n, at, f"S{n}-1"))
        tx.execute(
            "INSERT INTO outbox (id, kind, cause, recipient, envelope_from, message_id, created_at, facts, file, state,"
            " next_at, ended_at) VALUES (?, 'delivered', ?, 'a@x', '', '', ?, '{}', '', 'sent', 0, ?)",
            (f"M{n}", f"S{n}-1", at, at),
        )
        tx.execute(
            "INSERT INTO inbound (id, uuid, state, received_at, did, caller, arrival, file, file_type, size, sha256, next_at)"
            " VALUES (?, ?, 'dispatched', ?, '', '', '{}', '', '', 1, '', 0)", (f"I{n}", f"U{n}", at),
        )  # fmt: skip
    return tx


def _with_files_to_forget(count: int) -> Tx:
    """As :func:`_history`, where the files of the newest fax and of one received have served their time."""
    tx = _history(count)
    tx.execute("UPDATE job SET state = 'delivered', erased_at = 1, finished_at = updated_at WHERE finished_at IS NULL")
    tx.execute(
        "INSERT INTO inbound (id, uuid, state, received_at, did, caller, arrival, file, file_type, size, sha256, next_at)"
        " VALUES ('I', '', 'dispatched', 1, '', '', '{}', 'inbound/I', '', 1, '', 0)"
    )
    tx.execute("UPDATE outbox SET file = 'inbound/I' WHERE id = 'M0'")
    return tx


def _steps(tx: Tx, what: Callable[[Tx], Any]) -> int:
    """How many instructions SQLite needs for it."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    tx.set_progress_handler(step, 1)
    what(tx)
    tx.set_progress_handler(None, 1)
    return steps


@pytest.mark.parametrize(
    "what",
    [
        files.named,
        overview.counts,
        outbox.counts,
        repeats.last_accepted,
        witness.listed_by_rights,
        lambda tx: sends.sent(tx, range(10)),
        lambda tx: uploads.owners(tx, range(10)),
        lambda tx: retention.forget_documents(tx, _NOW),
        lambda tx: retention.forget_history(tx, 0.0),
        lambda tx: inbound.forget_documents(tx, _NOW),
        lambda tx: outbox.forget(tx, 0.0),
        lambda tx: receipts.purge_orphans(tx, _NOW),
        divided.forget_content,
        lambda tx: waiting.too_old(tx, _NOW, 10),
        lambda tx: waiting.held_of(tx, "a@x"),
    ],
)
def test_it_costs_the_same_after_years(what: Callable[[Tx], Any]) -> None:
    young, old = _history(50), _history(2000)
    assert _steps(old, what) < _steps(young, what) + 200
    young.close()
    old.close()


@pytest.mark.parametrize("forget", [retention.forget_documents, inbound.forget_documents])
def test_to_forget_a_file_costs_the_same_after_years(forget: Callable[[Tx, float], list[str]]) -> None:
    young, old = _with_files_to_forget(50), _with_files_to_forget(2000)
    forgotten: list[str] = []
    steps = _steps(old, lambda tx: forgotten.extend(forget(tx, _NOW)))
    assert steps < _steps(young, lambda tx: forget(tx, _NOW)) + 200
    assert len(forgotten) == 1
    young.close()
    old.close()


@pytest.mark.parametrize("wanted", [{"state": JobState.FAILED}, {"number": "+2", "ended": True}, {"held": True}, {}])
def test_a_listing_looks_at_a_piece_of_the_history(wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_SPAN", 50)
    young, old = _history(50), _history(2000)
    listing = partial(overview.listing, **wanted)
    assert _steps(old, listing) < _steps(young, listing) + 200
    young.close()
    old.close()


def test_pieces_of_a_listing_are_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_SPAN", 7)
    tx = _history(50)
    tx.execute("DELETE FROM job WHERE rowid < 5 OR rowid BETWEEN 12 AND 29")
    found, below = overview.listing(tx, ended=True, limit=3)
    while below:
        more, below = overview.listing(tx, ended=True, limit=3, below=below)
        found += more
    assert [job.id for job, _ in found] == [f"S{n - 1}-1" for n in range(51, 4, -1) if not 12 <= n <= 29]
    tx.execute("DELETE FROM job")
    assert overview.listing(tx, ended=True) == ([], 0)
    tx.close()


def test_a_send_that_counts_is_found_from_its_job() -> None:
    tx = _history(50)
    assert witness.listed_by_rights(tx) == {50}
    assert sends.sent(tx, [3, 4, 77]) == {3, 4, 50}
    assert uploads.owners(tx, [3, 77]) == {3: "S3-1"}
    assert repeats.last_accepted(tx) == _NOW - 30 * 86400 + 50
    tx.close()
