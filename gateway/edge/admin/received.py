"""Faxes received: what is known of them, and mailing them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.edge.admin import shown, words
from gateway.errors import NotFound, Refused
from gateway.service.inbound import Inbound
from gateway.store import inbound as store
from gateway.store import routes
from gateway.store.db import Database, Tx

_MOST = 1_000_000


class Received:
    def __init__(self, database: Database, inbound: Inbound, domains: Sequence[str]) -> None:
        self._database = database
        self._inbound = inbound
        self._domains = domains

    async def listing(self, limit: int = 1000) -> dict[str, Any]:
        """Received faxes, the newest first."""

        def read(tx: Tx) -> list[shown.Shown]:
            return [shown.received(tx, fax) for fax in store.listing(tx, max(1, min(limit, _MOST)))]

        return {"faxes": await self._database.read(read)}

    async def show(self, id: str) -> dict[str, Any]:
        """One fax with all that was claimed of it. Raises NotFound."""

        def read(tx: Tx) -> shown.Shown | None:
            fax = store.get(tx, id)
            return None if fax is None else shown.received_in_full(tx, fax)

        found = await self._database.read(read)
        if found is None:
            raise NotFound(f"there is no received fax {id}")
        return {"faxes": [found]}

    async def redeliver(self, ids: list[str], to: str = "") -> dict[str, Any]:
        """Mail faxes again: to ``to``, else to the mailboxes their numbers have now, else to where they went."""
        if not ids:
            raise Refused("name the received faxes by their ids")
        mailbox = words.mailbox(to, domains=self._domains) if to else ""
        done = []
        for fax_id in dict.fromkeys(ids):
            try:
                mails, why = await self._again(fax_id, mailbox), ""
            except Refused as error:
                mails, why = 0, error.public
            done.append({"id": fax_id, "mails": mails, "why": why})
        return {"faxes": done}

    async def _again(self, fax_id: str, mailbox: str) -> int:
        """How many mails. Raises Refused with why there are none."""

        def mailboxes(tx: Tx) -> tuple[str, ...]:
            fax = store.get(tx, fax_id)
            route = routes.for_did(tx, fax.arrival.recipient) if fax else None
            return route.mailboxes if route else ()

        places = (mailbox,) if mailbox else await self._database.read(mailboxes) or ("",)
        mails = sum([await self._inbound.redeliver(fax_id, place) for place in places])
        if not mails:
            raise Refused("its mails are waiting to be sent already")
        return mails
