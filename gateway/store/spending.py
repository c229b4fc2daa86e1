"""What was sent at whose expense: reserved with the intent of a send, summed up in slots of time.

A reservation is made in the transaction that begins the attempt, and corrected in the one that ends it: what provably
was not sent is taken out, a price that differs is put right, and all that is not known stays spent. Times here are those
of the ledger (service/allowance.py), which go forward only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.limits import COARSE, FINE, Amounts, Cap, Capped, Scope, Slot, Window, units
from gateway.store.db import Tx

_SPANS = (FINE, COARSE)
_LEDGER, _RUN = "ledger_at", "ledger_run"


@dataclass(frozen=True, slots=True)
class Spender:
    """At whose expense a fax is sent, and to whom; ``route`` is "" where none applied."""

    identity: str
    client: str
    destination: str
    route: str = ""

    @property
    def scopes(self) -> dict[Scope, str]:
        """Whose sums it counts in."""
        named = {
            Scope.USER: self.identity,
            Scope.CLIENT: self.client,
            Scope.DESTINATION: self.destination,
            Scope.ROUTE: self.route,
        }
        return {scope: who for scope, who in named.items() if who} | {Scope.TOTAL: ""}


# --- time -------------------------------------------------------------------------------------------------------------


def latest(tx: Tx) -> float:
    """The last time that was noted; 0 before the first."""
    return noted(tx)[0]


def noted(tx: Tx) -> tuple[float, str]:
    """The last time that was noted, and the run it was noted in; 0 and "" before the first."""
    known = dict(tx.execute("SELECT key, value FROM meta WHERE key IN (?, ?)", (_LEDGER, _RUN)))
    return float(known.get(_LEDGER, 0)), known.get(_RUN, "")


def note_time(tx: Tx, at: float, run: str) -> None:
    """So late it is at least, whatever a clock says after the next start."""
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        " WHERE value <> excluded.value",
        (_RUN, run),
    )
    tx.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        " WHERE CAST(value AS REAL) < ?",
        (_LEDGER, repr(at), at),
    )


# --- sums -------------------------------------------------------------------------------------------------------------


def used(tx: Tx, capped: Capped, at: float) -> Amounts:
    """What was sent within the window that ends now."""
    faxes, pages, money = tx.execute(
        "SELECT coalesce(sum(faxes), 0), coalesce(sum(pages), 0), coalesce(sum(money), 0) FROM spent"
        " WHERE scope = ? AND who = ? AND span = ? AND start > ?",
        _window(capped, at),
    ).fetchone()
    return Amounts(faxes, pages, money)


def slots(tx: Tx, capped: Capped, at: float) -> list[Slot]:
    """The same, slot by slot, the oldest first."""
    rows = tx.execute(
        "SELECT start, faxes, pages, money FROM spent WHERE scope = ? AND who = ? AND span = ? AND start > ? ORDER BY start",
        _window(capped, at),
    )
    return [Slot(start, Amounts(faxes, pages, money)) for start, faxes, pages, money in rows]


def _window(capped: Capped, at: float) -> tuple[str, str, int, float]:
    window = capped.cap.window
    return capped.scope, capped.who, window.span, at - window.seconds - window.span


def spenders(tx: Tx, scope: Scope, cap: Cap, at: float, limit: int) -> list[tuple[str, Amounts]]:
    """Who has sent anything within the window of a cap, those that have used most of it first."""
    unit = {"faxes": "sum(faxes)", "pages": "sum(pages)", "money": "sum(money)"}[cap.unit]
    rows = tx.execute(
        "SELECT who, sum(faxes), sum(pages), sum(money) FROM spent WHERE scope = ? AND span = ? AND start > ?"
        f" GROUP BY who HAVING {unit} > 0 ORDER BY {unit} DESC LIMIT ?",
        (scope, cap.window.span, at - cap.window.seconds - cap.window.span, limit),
    )
    return [(who, Amounts(faxes, pages, money)) for who, faxes, pages, money in rows]


def _add(tx: Tx, scopes: Mapping[Scope, str], at: float, *, faxes: int, pages: int, money: int) -> None:
    """Add to the sums of a time, or subtract; a slot that was forgotten since is not missed."""
    rows = [
        (scope, who, span, int(at // span) * span, faxes, pages, money)
        for scope, who in scopes.items()
        for span in _SPANS
    ]
    if faxes > 0:
        tx.executemany(
            "INSERT INTO spent (scope, who, span, start, faxes, pages, money) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET faxes = faxes + excluded.faxes, pages = pages + excluded.pages,"
            " money = money + excluded.money",
            rows,
        )
    else:
        tx.executemany(
            "UPDATE spent SET faxes = faxes + ?, pages = pages + ?, money = money + ?"
            " WHERE scope = ? AND who = ? AND span = ? AND start = ?",
            [(*row[4:], *row[:4]) for row in rows],
        )


# --- one send ---------------------------------------------------------------------------------------------------------


def reserve(
    tx: Tx,
    spender: Spender,
    job: str,
    n: int,
    at: float,
    *,
    pages: int,
    money: int,
    country: str,
    released: bool,
) -> None:
    """Count attempt ``n`` of a job, in the transaction that begins it; ``money`` in millionths."""
    tx.execute(
        "INSERT INTO spending (job, n, at, identity, client, destination, route, pages, money, approved)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            job, n, at, spender.identity, spender.client, spender.destination, spender.route, pages, money,
            int(released),
        ),
    )  # fmt: skip
    _add(tx, spender.scopes, at, faxes=1, pages=pages, money=money)
    tx.execute(
        "INSERT INTO destination (identity, number, country, first_at, last_at, approved) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET last_at = excluded.last_at",
        (spender.identity, spender.destination, country, at, at, int(released)),
    )


def settle(tx: Tx, job: str, n: int, outcome: str, cost: Decimal | None) -> None:
    """An attempt has ended. Only one that was not sent, by the provider's own word, is taken out of the sums.

    One without an answer stays in them even when the history never shows it: a list proves little about money.
    """
    row = tx.execute(
        "SELECT at, identity, client, destination, route, pages, money FROM spending WHERE job = ? AND n = ?", (job, n)
    ).fetchone()
    if row is None:
        return
    at, identity, client, destination, route, pages, money = row
    scopes = Spender(identity, client, destination, route).scopes
    if outcome == "not_sent":
        tx.execute("DELETE FROM spending WHERE job = ? AND n = ?", (job, n))
        _add(tx, scopes, at, faxes=-1, pages=-pages, money=-money)
    elif cost is not None and units(cost) != money:
        tx.execute("UPDATE spending SET money = ? WHERE job = ? AND n = ?", (units(cost), job, n))
        _add(tx, scopes, at, faxes=0, pages=0, money=units(cost) - money)


# --- what is usual ----------------------------------------------------------------------------------------------------


def faxes_since(tx: Tx, identity: str, since: float) -> int:
    """Sends of a sender after ``since`` that nobody had looked at."""
    return int(
        tx.execute(
            "SELECT count(*) FROM spending WHERE NOT approved AND identity = ? AND at > ?", (identity, since)
        ).fetchone()[0]
    )


def busiest_hour(tx: Tx, identity: str, before: float) -> int:
    """The most faxes of a sender in any hour (by the clock) that had ended before a time, as far back as sums are kept."""
    row = tx.execute(
        "SELECT coalesce(max(faxes), 0) FROM spent WHERE scope = ? AND who = ? AND span = ? AND start <= ?",
        (Scope.USER, identity, COARSE, before - COARSE),
    ).fetchone()
    return int(row[0])


def new_numbers(tx: Tx, identity: str, since: float) -> int:
    """How many numbers a sender has faxed after ``since`` for the first time, and nobody had looked at it."""
    return int(
        tx.execute(
            "SELECT count(*) FROM destination WHERE NOT approved AND identity = ? AND first_at > ?", (identity, since)
        ).fetchone()[0]
    )


def knows_number(tx: Tx, identity: str, number: str) -> bool:
    """Whether a sender has ever faxed a number."""
    found = tx.execute("SELECT 1 FROM destination WHERE identity = ? AND number = ?", (identity, number)).fetchone()
    return found is not None


def knows_country(tx: Tx, identity: str, country: str) -> bool:
    """Whether a sender has ever faxed to a country."""
    found = tx.execute(
        "SELECT 1 FROM destination WHERE identity = ? AND country = ? LIMIT 1", (identity, country)
    ).fetchone()
    return found is not None


# --- stops ------------------------------------------------------------------------------------------------------------


def stop(tx: Tx, identity: str, now: float, why: str) -> None:
    """Hold the faxes of a sender until :func:`let_go`."""
    tx.execute(
        "INSERT INTO stopped (identity, at, why) VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET at = excluded.at, why = excluded.why",
        (identity, now, why),
    )


def stopped(tx: Tx, identity: str) -> str:
    """Why the faxes of a sender are held, "" when they are not."""
    row = tx.execute("SELECT why FROM stopped WHERE identity = ?", (identity,)).fetchone()
    return "" if row is None else str(row[0])


def all_stopped(tx: Tx) -> list[tuple[str, float, str]]:
    """Senders whose faxes are held, since when, and why."""
    return tx.execute("SELECT identity, at, why FROM stopped WHERE why <> '' ORDER BY at").fetchall()


def let_go(tx: Tx, identity: str) -> bool:
    """A person has looked at what a sender did; only what comes after counts as unusual. False when he was not stopped.

    The last time that was noted may be before his last send.
    """
    return bool(
        tx.execute(
            "UPDATE stopped SET why = '', released_at = max(?, coalesce("
            "(SELECT max(at) FROM spending WHERE NOT approved AND identity = ?), 0)) WHERE identity = ? AND why <> ''",
            (latest(tx), identity, identity),
        ).rowcount
    )


def released_at(tx: Tx, identity: str) -> float:
    """When a sender was last let go; 0 for never."""
    row = tx.execute("SELECT released_at FROM stopped WHERE identity = ?", (identity,)).fetchone()
    return 0.0 if row is None else float(row[0])


def tell_once(tx: Tx, what: str, now: float) -> bool:
    """Whether this was not told yet, which it is now; in the transaction that queues the mail."""
    return bool(tx.execute("INSERT INTO told (what, at) VALUES (?, ?) ON CONFLICT DO NOTHING", (what, now)).rowcount)


# --- forgetting -------------------------------------------------------------------------------------------------------


def forget(tx: Tx, now: float, history: float) -> None:
    """Sums that no window reaches any more, and numbers not faxed to for ``history`` seconds."""
    at = latest(tx)
    for window in (Window.DAY, Window.MONTH):
        tx.execute(
            "DELETE FROM spent WHERE span = ? AND start < ?", (window.span, at - window.seconds - 2 * window.span)
        )
    tx.execute("DELETE FROM destination WHERE last_at < ?", (at - history,))
    tx.execute("DELETE FROM told WHERE at < ?", (now - history,))
