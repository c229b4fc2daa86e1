"""Received faxes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gateway.model import FaxArrival, InboundFax, InboundState
from gateway.store import pauses
from gateway.store.db import Tx

_INBOUND = (
    "id, state, received_at, arrival, did, file, file_type, size, sha256, next_at, strikes, last_error, listed_at"
)

_PENDING = "state = 'pending'"
_SOME = 100  # documents forgotten at once: others write in between
SHORTEST = 7  # digits of a number without its country


def digits(text: str) -> str:
    """The ASCII digits of a claimed number, for comparing; without a 00 before the country."""
    return "".join(character for character in text if character in "0123456789").removeprefix("00")


def may_be_one(number: str, other: str) -> bool:
    """Whether two claimed numbers may be one, written once with and once without its country."""
    if digits(number) == digits(other):
        return True
    short, long = sorted((number, other), key=lambda each: len(digits(each)))
    national = digits(short).lstrip("0")
    return not short.startswith("+") and len(national) >= SHORTEST and digits(long).endswith(national)


def _fax(row: tuple[Any, ...]) -> InboundFax:
    (id_, state, received_at, arrival, did, file, file_type, size, sha256, next_at, strikes, last_error,
     listed_at) = row  # fmt: skip
    return InboundFax(
        id=id_, state=InboundState(state), received_at=received_at, arrival=FaxArrival(**json.loads(arrival)), did=did,
        file=file, file_type=file_type, size=size, sha256=sha256, next_at=next_at, strikes=strikes,
        last_error=last_error, listed_at=listed_at,
    )  # fmt: skip


def add(tx: Tx, fax: InboundFax, key: str = "") -> None:
    """Store a received fax; ``key`` names it where its uuid does not, or not it alone.

    Raises sqlite3.IntegrityError when its uuid or inbox_id is known.
    """
    tx.execute(
        f"INSERT INTO inbound ({_INBOUND}, uuid, inbox_id, caller)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            fax.id, fax.state, fax.received_at, json.dumps(asdict(fax.arrival)), fax.did, fax.file, fax.file_type,
            fax.size, fax.sha256, fax.next_at, fax.strikes, fax.last_error, fax.listed_at, key or fax.arrival.uuid,
            fax.arrival.inbox_id, digits(fax.arrival.sender),
        ),
    )  # fmt: skip


def get(tx: Tx, fax: str) -> InboundFax | None:
    row = tx.execute(f"SELECT {_INBOUND} FROM inbound WHERE id = ?", (fax,)).fetchone()
    return None if row is None else _fax(row)


def by_uuid(tx: Tx, uuid: str) -> InboundFax | None:
    row = tx.execute(f"SELECT {_INBOUND} FROM inbound WHERE uuid = ? AND uuid <> ''", (uuid,)).fetchone()
    return None if row is None else _fax(row)


def by_inbox_id(tx: Tx, inbox_id: int) -> InboundFax | None:
    row = tx.execute(f"SELECT {_INBOUND} FROM inbound WHERE inbox_id = ?", (inbox_id,)).fetchone()
    return None if row is None else _fax(row)


def alike(tx: Tx, did: str, caller: str, since: float, until: float) -> list[InboundFax]:
    """Faxes from one number to one DID that arrived in a span of time, the first first; only ones that are mailed."""
    rows = tx.execute(
        f"SELECT {_INBOUND} FROM inbound WHERE did = ? AND caller = ? AND received_at BETWEEN ? AND ?"
        " AND state IN ('pending', 'dispatched') ORDER BY received_at, rowid",
        (did, caller, since, until),
    )
    return [_fax(row) for row in rows]


def same_content(tx: Tx, fax: InboundFax) -> list[InboundFax]:
    """Faxes with the content of this one and its two numbers, however they are written, of whenever; only ones that are mailed."""
    rows = tx.execute(
        f"SELECT {_INBOUND} FROM inbound WHERE sha256 = ? AND sha256 <> ''"
        " AND state IN ('pending', 'dispatched') ORDER BY received_at, rowid",
        (fax.sha256,),
    )
    return [
        other
        for other in map(_fax, rows)
        if may_be_one(other.arrival.sender, fax.arrival.sender)
        and (other.did == fax.did or may_be_one(other.arrival.recipient, fax.arrival.recipient))
    ]


def bind(tx: Tx, fax: str, *, inbox_id: int | None = None, uuid: str = "", file_url: str = "") -> None:
    """Note under which names the provider knows a fax, and where its document lies."""
    if inbox_id is not None:
        tx.execute(
            "UPDATE inbound SET inbox_id = ?, arrival = json_set(arrival, '$.inbox_id', ?) WHERE id = ?",
            (inbox_id, inbox_id, fax),
        )
    if uuid:
        tx.execute(
            "UPDATE inbound SET uuid = ?, arrival = json_set(arrival, '$.uuid', ?) WHERE id = ?", (uuid, uuid, fax)
        )
    if file_url:
        tx.execute("UPDATE inbound SET arrival = json_set(arrival, '$.file_url', ?) WHERE id = ?", (file_url, fax))


def unbind(tx: Tx, fax: str) -> None:
    """The provider's list has another fax under the id of this one."""
    tx.execute("UPDATE inbound SET inbox_id = NULL WHERE id = ?", (fax,))


def remove(tx: Tx, fax: str) -> None:
    """Forget a pending fax that turned out to be one we have."""
    tx.execute("DELETE FROM inbound WHERE id = ? AND state = 'pending'", (fax,))


def merged(tx: Tx, fax: str) -> None:
    """pending -> merged: another row has the document."""
    tx.execute("UPDATE inbound SET state = 'merged' WHERE id = ? AND state = 'pending'", (fax,))


def dispatched(tx: Tx, fax: str, *, file: str, file_type: str, size: int, sha256: str) -> bool:
    """pending -> dispatched with its document; False when it was no longer pending."""
    return bool(
        tx.execute(
            "UPDATE inbound SET state = 'dispatched', file = ?, file_type = ?, size = ?, sha256 = ?, last_error = ''"
            " WHERE id = ? AND state = 'pending'",
            (file, file_type, size, sha256, fax),
        ).rowcount
    )


def wanted(tx: Tx, fax: str, file_url: str, now: float) -> None:
    """A fax that was mailed without its document -> pending: it is asked for once more, if no mail of it waits."""
    tx.execute(
        "UPDATE inbound SET state = 'pending', next_at = ?, arrival = json_set(arrival, '$.file_url', ?)"
        " WHERE id = ? AND state = 'dispatched' AND sha256 = ''"
        " AND NOT EXISTS (SELECT 1 FROM outbox WHERE cause = inbound.id AND state = 'queued')",
        (now, file_url, fax),
    )


def begin_fetch(tx: Tx, fax: str, again_at: float) -> int:
    """Count a try to fetch a pending fax's document before it is made; 0 when it is no longer pending."""
    row = tx.execute(
        "UPDATE inbound SET strikes = strikes + 1, next_at = ? WHERE id = ? AND state = 'pending' RETURNING strikes",
        (again_at, fax),
    ).fetchone()
    return 0 if row is None else int(row[0])


def failed(tx: Tx, fax: str, next_at: float, why: str) -> None:
    """The document of a pending fax could not be fetched now."""
    tx.execute(
        "UPDATE inbound SET next_at = ?, last_error = ? WHERE id = ? AND state = 'pending'", (next_at, why[:1000], fax)
    )


def resume(tx: Tx, now: float, first: float, most: float) -> None:
    pauses.resume(tx, "inbound", _PENDING, tries="strikes", now=now, first=first, most=most)


def not_after(tx: Tx, latest: float, now: float) -> None:
    pauses.not_after(tx, "inbound", _PENDING, latest, now)


def due(tx: Tx, now: float, limit: int) -> list[InboundFax]:
    """Pending faxes whose document should be fetched now."""
    rows = tx.execute(
        f"SELECT {_INBOUND} FROM inbound WHERE state = 'pending' AND next_at <= ? ORDER BY next_at LIMIT ?",
        (now, limit),
    )
    return [_fax(row) for row in rows]


def next_due(tx: Tx) -> float | None:
    return pauses.next_due(tx, "inbound", _PENDING)


def pending(tx: Tx) -> int:
    """How many faxes wait for their documents."""
    return int(tx.execute("SELECT count(*) FROM inbound INDEXED BY inbound_due WHERE state = 'pending'").fetchone()[0])


def listing(tx: Tx, limit: int = 1000) -> list[InboundFax]:
    """Received faxes, the newest first: each once, without the baseline."""
    rows = tx.execute(
        f"SELECT {_INBOUND} FROM inbound WHERE state IN ('pending', 'dispatched')"
        " ORDER BY received_at DESC, rowid DESC LIMIT ?",
        (limit,),
    )
    return [_fax(row) for row in rows]


def forget_documents(tx: Tx, before: float, *, since: float = 0.0) -> list[str]:
    """Unname documents received between ``since`` and ``before`` that were delivered; returns the spool names to unlink.

    Delivered: no mail with it waits, and where one was given up a later one was sent instead.
    """
    rows = tx.execute(
        "SELECT id, file FROM inbound WHERE file <> '' AND received_at >= ? AND received_at < ? AND state = 'dispatched'"
        " AND NOT EXISTS"
        " (SELECT 1 FROM outbox o WHERE o.file = inbound.file AND o.file <> '' AND (o.state = 'queued' OR o.state = 'dead' AND NOT EXISTS"
        " (SELECT 1 FROM outbox i WHERE i.file = o.file AND i.file <> '' AND i.state = 'sent' AND i.rowid > o.rowid))) LIMIT ?",
        (since, before, _SOME),
    ).fetchall()
    for fax, file in rows:
        tx.execute("UPDATE inbound SET file = '' WHERE id = ?", (fax,))
        tx.execute("UPDATE outbox SET file = '' WHERE file = ? AND file <> ''", (file,))
    return [row[1] for row in rows]
