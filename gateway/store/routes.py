"""Routes: which mailboxes a DID's faxes go to, and who may send how."""

from __future__ import annotations

import json
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from gateway.limits import Approval, Cap
from gateway.model import Identity, Route, RouteKind
from gateway.store.db import Tx
from gateway.store.inbound import SHORTEST, digits

_ROUTE = (
    "kind, match, mailboxes, allow, tsi, region, results_to, options, own_tsi, note, identity, created_at, caps, approval,"
    " number_in_subject"
)


def _route(row: tuple[Any, ...]) -> Route:
    (kind, match, mailboxes, allow, tsi, region, results_to, options, own_tsi, note, identity, created_at, caps,
     approval, number_in_subject) = row  # fmt: skip
    return Route(
        RouteKind(kind),
        match,
        tuple(json.loads(mailboxes)),
        bool(allow),
        tsi,
        region,
        results_to,
        json.loads(options),
        bool(own_tsi),
        note,
        Identity(identity),
        created_at,
        tuple(Cap.parse(cap) for cap in json.loads(caps)),
        _approval(json.loads(approval)),
        bool(number_in_subject),
    )


def _approval(shown: dict[str, Any]) -> Approval:
    price = shown["price"]
    return Approval(**{**shown, "price": None if price is None else Decimal(price)})


def put(tx: Tx, route: Route, now: float) -> None:
    """Add a route, or replace the one with the same kind and match."""
    approval = asdict(route.approval)
    tx.execute(
        "INSERT INTO route (kind, match, mailboxes, allow, tsi, region, results_to, options, own_tsi, note, identity,"
        " created_at, caps, approval, number_in_subject)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, match) DO UPDATE SET"
        " mailboxes = excluded.mailboxes,"
        " allow = excluded.allow, tsi = excluded.tsi, region = excluded.region, results_to = excluded.results_to,"
        " options = excluded.options, own_tsi = excluded.own_tsi, note = excluded.note, identity = excluded.identity,"
        " caps = excluded.caps, approval = excluded.approval, number_in_subject = excluded.number_in_subject",
        (
            route.kind, route.match, json.dumps(list(route.mailboxes)), int(route.allow), route.tsi, route.region,
            route.results_to, json.dumps(dict(route.options)), int(route.own_tsi), route.note, route.identity, now,
            json.dumps([str(cap) for cap in route.caps]), json.dumps(approval, default=str),
            int(route.number_in_subject),
        ),
    )  # fmt: skip


def remove(tx: Tx, kind: RouteKind, match: str) -> bool:
    """False when there was none."""
    return bool(tx.execute("DELETE FROM route WHERE kind = ? AND match = ?", (kind, match)).rowcount)


def listing(tx: Tx, kind: RouteKind | None = None) -> list[Route]:
    """All routes, or those of one kind."""
    if kind is None:
        rows = tx.execute(f"SELECT {_ROUTE} FROM route ORDER BY kind, match")
    else:
        rows = tx.execute(f"SELECT {_ROUTE} FROM route WHERE kind = ? ORDER BY match", (kind,))
    return [_route(row) for row in rows]


def for_did(tx: Tx, claimed: str) -> Route | None:
    """The route of a DID, however it is written: its own, else the one for ``*``."""
    number = digits(claimed)
    own = tx.execute(f"SELECT {_ROUTE} FROM route WHERE kind = 'did' AND match = ?", (f"+{number}",)).fetchall()
    national = number.lstrip("0")
    if not own and not claimed.startswith("+") and len(national) >= SHORTEST:  # perhaps without its country
        own = tx.execute(
            f"SELECT {_ROUTE} FROM route WHERE kind = 'did' AND match LIKE ? LIMIT 2", (f"+%{national}",)
        ).fetchall()
    if len(own) != 1:
        own = tx.execute(f"SELECT {_ROUTE} FROM route WHERE kind = 'did' AND match = '*'").fetchall()
    return _route(own[0]) if own else None


def did(tx: Tx, claimed: str) -> str:
    """The digits of a DID for comparing, with its country where a route of its own knows that."""
    route = for_did(tx, claimed)
    return (digits(route.match) if route else "") or digits(claimed)


def sender(tx: Tx, match: str) -> Route | None:
    """The sender route with this match, as it is now."""
    row = tx.execute(f"SELECT {_ROUTE} FROM route WHERE kind = 'sender' AND match = ?", (match,)).fetchone()
    return None if row is None else _route(row)
