"""Mails to be sent: a row per mailbox, committed with the change that causes it. (kind, cause, recipient) is unique."""

from __future__ import annotations

import json
from typing import Any

from gateway.model import MailKind, MailState, OutgoingMail
from gateway.store import pauses
from gateway.store.db import Tx

_MAIL = (
    "id, kind, cause, recipient, envelope_from, message_id, created_at, facts, file, state, tries, next_at, last_error"
)

_QUEUED = "state = 'queued'"
_SOME = 200  # mails forgotten at once: others write in between


def _mail(row: tuple[Any, ...]) -> OutgoingMail:
    id_, kind, cause, to, envelope_from, message_id, created_at, facts, file, state, tries, next_at, last_error = row
    return OutgoingMail(
        id=id_, kind=MailKind(kind), cause=cause, to=to, envelope_from=envelope_from, message_id=message_id,
        created_at=created_at, facts=json.loads(facts), file=file, state=MailState(state), tries=tries, next_at=next_at,
        last_error=last_error,
    )  # fmt: skip


def add(tx: Tx, mail: OutgoingMail | None) -> bool:
    """Queue a mail; False where nobody wants one, or its cause has already sent one of this kind to this mailbox."""
    return mail is not None and bool(
        tx.execute(
            f"INSERT INTO outbox ({_MAIL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (kind, cause, recipient) DO NOTHING",
            (
                mail.id, mail.kind, mail.cause, mail.to, mail.envelope_from, mail.message_id, mail.created_at,
                json.dumps(mail.facts), mail.file, mail.state, mail.tries, mail.next_at, mail.last_error,
            ),
        ).rowcount
    )  # fmt: skip


def due(tx: Tx, now: float, limit: int) -> list[OutgoingMail]:
    """Queued mails whose time has come, the longest waiting first."""
    rows = tx.execute(
        f"SELECT {_MAIL} FROM outbox WHERE state = 'queued' AND next_at <= ? ORDER BY next_at LIMIT ?", (now, limit)
    )
    return [_mail(row) for row in rows]


def next_due(tx: Tx) -> float | None:
    return pauses.next_due(tx, "outbox", _QUEUED)


def begin_try(tx: Tx, mail: OutgoingMail, again_at: float) -> int:
    """Count a try before it is made, due again at ``again_at`` if it never ends; 0 when it is no longer queued."""
    row = tx.execute(
        "UPDATE outbox SET tries = tries + 1, next_at = ? WHERE id = ? AND state = 'queued' RETURNING tries",
        (again_at, mail.id),
    ).fetchone()
    return 0 if row is None else int(row[0])


def resume(tx: Tx, now: float, first: float, most: float) -> None:
    pauses.resume(tx, "outbox", _QUEUED, tries="tries", now=now, first=first, most=most)


def not_after(tx: Tx, latest: float, now: float) -> None:
    pauses.not_after(tx, "outbox", _QUEUED, latest, now)


def sent(tx: Tx, mail: str, now: float, reply: str) -> None:
    """The smarthost took it."""
    tx.execute(
        "UPDATE outbox SET state = 'sent', ended_at = ?, last_error = ? WHERE id = ? AND state = 'queued'",
        (now, reply[:500], mail),
    )


def deferred(tx: Tx, mail: str, next_at: float, why: str) -> None:
    """It did not go now."""
    tx.execute(
        "UPDATE outbox SET next_at = ?, last_error = ? WHERE id = ? AND state = 'queued'", (next_at, why[:500], mail)
    )


def dead(tx: Tx, mail: str, now: float, why: str) -> bool:
    """Given up; the row stays visible."""
    return bool(
        tx.execute(
            "UPDATE outbox SET state = 'dead', ended_at = ?, last_error = ? WHERE id = ? AND state = 'queued'",
            (now, why[:500], mail),
        ).rowcount
    )


def death(mail: OutgoingMail) -> str:
    """The cause of the notice that a mail was given up; another one once it was revived, and dies again."""
    return f"dead.{mail.id}.{int(mail.created_at)}"


def revive(tx: Tx, mail: OutgoingMail, now: float, *, message_id: str) -> bool:
    """Queue a mail again that was sent or given up; its age begins anew."""
    return bool(
        tx.execute(
            "UPDATE outbox SET state = 'queued', tries = 0, next_at = ?, created_at = ?, message_id = ?, ended_at = NULL"
            " WHERE id = ? AND state <> 'queued'",
            (now, now, message_id, mail.id),
        ).rowcount
    )


def get(tx: Tx, mail: str) -> OutgoingMail | None:
    row = tx.execute(f"SELECT {_MAIL} FROM outbox WHERE id = ?", (mail,)).fetchone()
    return None if row is None else _mail(row)


def of_cause(tx: Tx, cause: str) -> list[OutgoingMail]:
    """All mails one thing has caused, the first first."""
    return [_mail(row) for row in tx.execute(f"SELECT {_MAIL} FROM outbox WHERE cause = ? ORDER BY rowid", (cause,))]


def forget_of(tx: Tx, cause: str) -> None:
    """Delete what one thing has caused and is not waiting: it is to be mailed anew."""
    tx.execute("DELETE FROM outbox WHERE cause = ? AND state <> 'queued'", (cause,))


def counts(tx: Tx) -> dict[str, int]:
    """How many mails wait, and how many were given up of which a person has still to make good or to be told."""
    queued = tx.execute("SELECT count(*) FROM outbox WHERE state = 'queued'").fetchone()[0]
    dead_ = tx.execute(
        "SELECT count(*) FROM outbox o INDEXED BY outbox_dead WHERE state = 'dead' AND NOT EXISTS"
        " (SELECT 1 FROM outbox WHERE state = 'sent' AND created_at > o.created_at"
        "  AND cause IN (o.cause, iif(o.file = '', printf('dead.%s.%d', o.id, o.created_at), o.cause)))"
    ).fetchone()[0]
    return {"queued": int(queued), "dead": int(dead_)}


def forget(tx: Tx, before: float, *, since: float = 0.0) -> int:
    """Delete mails that ended between ``since`` and ``before``, some at once; returns how many. One that was given up stays
    while it has a document, which nobody has then.
    """
    return tx.execute(
        "DELETE FROM outbox WHERE rowid IN (SELECT rowid FROM outbox INDEXED BY outbox_ended"
        " WHERE ended_at >= ? AND ended_at < ? AND (state = 'sent' OR file = '') LIMIT ?)",
        (since, before, _SOME),
    ).rowcount
