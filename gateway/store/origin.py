"""Whether the database may be older than reality: the mark that a backup carries, and where its file was in use before; and
whether the account at the provider is still the one that it knows.

While it is marked nothing may be sent before the provider's history was compared with it. What was accepted since is
told apart by the order of rows, for clocks are wrong at times.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.store import witness
from gateway.store.db import Tx, get_meta, set_meta
from gateway.store.file import is_same_place

_WHY, _LAST, _AT, _PLACE = "reconcile", "reconcile_last", "reconcile_since", "place"
_FAX, _UPLOAD = "compared_fax", "compared_upload"
_ACCOUNT, _MOVED = "account", "account_event"


@dataclass(frozen=True, slots=True)
class Mark:
    """``why`` the database may be older than reality; ``last``: the row of the last job that it may be wrong about."""

    why: str
    last: int
    at: float


@dataclass(frozen=True, slots=True)
class Compared:
    """How far an earlier comparison went: the provider's newest ``fax``, the time in the name of its newest ``upload``."""

    fax: int
    upload: float


def read(tx: Tx) -> Mark | None:
    """The mark; None when there is none."""
    why = get_meta(tx, _WHY)
    return Mark(why, int(get_meta(tx, _LAST) or 0), float(get_meta(tx, _AT) or 0)) if why else None


def mark(tx: Tx, why: str, now: float, last: int | None = None) -> Mark:
    """Distrust what is known of jobs up to the row ``last``, or of all; in the place of an earlier mark."""
    made = Mark(why, newest_row(tx) if last is None else last, now)
    for key, value in ((_WHY, made.why), (_LAST, made.last), (_AT, made.at)):
        set_meta(tx, key, str(value))
    return made


def clear(tx: Tx, compared: Compared) -> None:
    """All was compared with what the provider has, as far as that went."""
    tx.execute("DELETE FROM meta WHERE key IN (?, ?, ?)", (_WHY, _LAST, _AT))
    before = compared_to(tx)
    set_meta(tx, _FAX, str(max(compared.fax, before.fax)))
    set_meta(tx, _UPLOAD, str(max(compared.upload, before.upload)))


def compared_to(tx: Tx) -> Compared:
    """How far the last comparison went."""
    return Compared(int(get_meta(tx, _FAX) or 0), float(get_meta(tx, _UPLOAD) or 0))


def newest_row(tx: Tx) -> int:
    """The row of the job accepted last."""
    return int(tx.execute("SELECT coalesce(max(rowid), 0) FROM job").fetchone()[0])


def was_elsewhere(tx: Tx, place: str) -> bool:
    """Whether the file was in use at another place before."""
    before = get_meta(tx, _PLACE)
    return before is not None and not is_same_place(before, place)


def settle_at(tx: Tx, place: str) -> None:
    """From now on the file is at home here."""
    set_meta(tx, _PLACE, place)


def is_other(tx: Tx, account: str) -> bool:
    """Whether ``account`` is another than the one that has taken documents of ours. A mistyped key's has taken none."""
    return get_meta(tx, _ACCOUNT) not in (None, account)


def use(tx: Tx, account: str) -> None:
    """A document was uploaded to ``account``."""
    if is_other(tx, account):
        set_meta(tx, _MOVED, str(witness.last_event(tx)))
    set_meta(tx, _ACCOUNT, account)


def moved_after(tx: Tx, account: str) -> int:
    """The newest event when the account last became ``account``; 0 when it never was another."""
    return witness.last_event(tx) if is_other(tx, account) else int(get_meta(tx, _MOVED) or 0)
