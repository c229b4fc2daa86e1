"""Mails that come in several parts: which of them are here, and what became of the whole.

Each part is a submission without jobs; the last one to come is the whole mail. A set of parts that has ended stays known for as
long as its submissions, so that a part which comes again, or too late, is not taken for the first of another mail.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.model import FaxNumber, Notify, Recipient
from gateway.store import bodies
from gateway.store.db import Tx

_DIVIDED = "id, total, waits_from, recipients, ended_at, became, why, set_back"


@dataclass(frozen=True, slots=True)
class Divided:
    """``id`` is that of the part that came first, ``total`` 0 while no part has told; it waits from ``waits_from`` on.

    One that has ended ``became`` a submission, or never will be one, and ``why``. One that was ``set_back``, with the whole
    database, may have become one after that.
    """

    id: str
    total: int
    waits_from: float
    recipients: tuple[Recipient, ...]
    ended_at: float | None = None
    became: str = ""
    why: str = ""
    set_back: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """``file`` as a submission's ``mail_file``, ``size`` in bytes; ``confirmed_at``: since when its client has shown that it
    read our 250."""

    number: int
    submission: str
    sha256: str
    file: str
    size: int
    came_at: float
    confirmed_at: float | None


def _divided(row: tuple[Any, ...]) -> Divided:
    id_, total, waits_from, recipients, ended_at, became, why, set_back = row
    told = (
        Recipient(address, FaxNumber(number), orcpt=orcpt, notify=frozenset(map(Notify, notify)))
        for address, number, orcpt, notify in json.loads(recipients)
    )
    return Divided(id_, total, waits_from, tuple(told), ended_at, became, why, bool(set_back))


def latest(tx: Tx, key: str) -> Divided | None:
    """The mail of this key that began last."""
    row = tx.execute(f"SELECT {_DIVIDED} FROM divided WHERE key = ? ORDER BY rowid DESC LIMIT 1", (key,)).fetchone()
    return None if row is None else _divided(row)


def parts(tx: Tx, divided: str) -> dict[int, Part]:
    """The parts that came, by their numbers, in order."""
    rows = tx.execute(
        "SELECT part.number, part.submission, part.sha256, mail_file, size, created_at, confirmed_at FROM part"
        " JOIN submission ON submission.id = part.submission WHERE divided = ? ORDER BY number",
        (divided,),
    )
    found = [Part(*row) for row in rows]
    return {part.number: part for part in found}


def whole_before(tx: Tx, divided: str) -> str:
    """What a mail of the same key became that came before this one, the last of them; "" for none."""
    row = tx.execute(
        "SELECT became FROM divided WHERE key = (SELECT key FROM divided WHERE id = ?) AND became <> ''"
        " ORDER BY rowid DESC LIMIT 1",
        (divided,),
    ).fetchone()
    return "" if row is None else str(row[0])


def of_part(tx: Tx, submission: str) -> tuple[int, Divided] | None:
    """Which part of which mail a submission is."""
    row = tx.execute(
        f"SELECT number, {_DIVIDED} FROM part JOIN divided ON divided.id = part.divided WHERE submission = ?"
        " ORDER BY divided.rowid DESC",
        (submission,),
    ).fetchone()
    return None if row is None else (row[0], _divided(row[1:]))


def open_of(tx: Tx, identity: str) -> tuple[int, int]:
    """How many mails of a sender wait for parts, and the bytes of the parts that are here."""
    row = tx.execute(
        "SELECT count(DISTINCT divided.id), coalesce(sum(size), 0) FROM divided JOIN part ON part.divided = divided.id"
        " JOIN submission ON submission.id = part.submission WHERE ended_at IS NULL AND divided.identity = ?",
        (identity,),
    ).fetchone()
    return int(row[0]), int(row[1])


def waiting(tx: Tx, before: float | None = None) -> list[Divided]:
    """Mails that wait for parts, all or those that wait from ``before`` or earlier on; the first first."""
    rows = tx.execute(
        f"SELECT {_DIVIDED} FROM divided WHERE ended_at IS NULL AND (? IS NULL OR waits_from <= ?) ORDER BY rowid",
        (before, before),
    )
    return [_divided(row) for row in rows]


# --- changing ---------------------------------------------------------------------------------------------------------


def begin(tx: Tx, id_: str, key: str, identity: str, recipients: Sequence[Recipient], now: float) -> Divided:
    """A mail whose first part has come; the part is still to be added."""
    told = [(each.address, each.number.e164, each.orcpt, sorted(each.notify)) for each in recipients]
    tx.execute(
        "INSERT INTO divided (id, key, identity, total, waits_from, recipients) VALUES (?, ?, ?, 0, ?, ?)",
        (id_, key, identity, now, json.dumps(told)),
    )
    return Divided(id_, 0, now, tuple(recipients))


def add(tx: Tx, divided: str, number: int, total: int, submission: str, sha256: str) -> None:
    """A part has come; ``total`` is 0 where it does not tell how many there are."""
    tx.execute(
        "INSERT INTO part (divided, number, submission, sha256) VALUES (?, ?, ?, ?)",
        (divided, number, submission, sha256),
    )
    tx.execute("UPDATE divided SET total = max(total, ?) WHERE id = ?", (total, divided))


def end(tx: Tx, divided: str, now: float, *, became: str = "", why: str = "") -> bool:
    """It waits no more; False when it had ended before."""
    changed = tx.execute(
        "UPDATE divided SET ended_at = ?, became = ?, why = ? WHERE id = ? AND ended_at IS NULL",
        (now, became, why, divided),
    ).rowcount
    return bool(changed)


def outage(tx: Tx, seconds: float, now: float) -> None:
    """Nobody could bring a part for so long; and none waits from a time that has not come."""
    tx.execute("UPDATE divided SET waits_from = min(waits_from + ?, ?) WHERE ended_at IS NULL", (seconds, now))


def set_back(tx: Tx) -> None:
    """The database is older than reality: what it says of mails that wait may be wrong."""
    tx.execute("UPDATE divided SET set_back = 1 WHERE ended_at IS NULL")


def forget_content(tx: Tx) -> list[str]:
    """Drop the content of the parts of mails that have ended; returns the spool names to unlink."""
    rows = tx.execute(
        "SELECT DISTINCT s.id, s.mail_file FROM divided CROSS JOIN part ON part.divided = divided.id"  # in this order
        " CROSS JOIN submission s ON s.id = part.submission WHERE ended_at IS NOT NULL AND NOT cleared AND s.mail_file <> ''"
        " AND NOT EXISTS (SELECT 1 FROM job WHERE job.submission = s.id)"
    ).fetchall()
    for submission, _ in rows:
        bodies.forget(tx, submission)
        tx.execute("UPDATE submission SET mail_file = '' WHERE id = ?", (submission,))
    tx.execute("UPDATE divided SET cleared = 1 WHERE ended_at IS NOT NULL AND NOT cleared")
    return [file for _, file in rows if file != bodies.HERE]


def forget(tx: Tx, submission: str) -> None:
    """Forget a submission as a part; with the part that came first, that all others were parts."""
    tx.execute("DELETE FROM part WHERE submission = ? OR divided = ?", (submission, submission))
    tx.execute("DELETE FROM divided WHERE id = ?", (submission,))
