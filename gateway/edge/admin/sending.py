"""A mail handed over at the admin socket: the same rules, the same durability as at the SMTP door."""

from __future__ import annotations

from typing import Any

from gateway.edge.admin import words
from gateway.errors import Refused
from gateway.model import Envelope, Peer, Recipient
from gateway.service.accept import Accept, AcceptSettings
from gateway.service.addressing import region_of
from gateway.store import jobs
from gateway.store.db import Database


class Sending:
    def __init__(self, database: Database, accept: Accept, settings: AcceptSettings) -> None:
        self._database = database
        self._accept = accept
        self._settings = settings

    async def send(self, mail: bytes, to: list[str], sender: str) -> dict[str, Any]:
        """Accept a mail for all of ``to``, fax addresses or numbers, or for none of them.

        Returns the ids of the submission and its jobs. Raises Refused with every reason, TryLater.
        """
        peer = Peer(listener="admin", address="local", helo="localhost", trusted_network=True)
        if sender:
            words.mailbox(sender, domains=self._settings.domains)  # results go there
        await self._accept.check_sender(peer, sender, len(mail))
        recipients = await self._recipients(peer, sender, to)
        draft = self._accept.draft()
        try:
            draft.write(mail)
        except BaseException:
            draft.discard()
            raise
        submission = await self._accept.accept(Envelope(peer, sender, recipients), draft)
        made = await self._database.read(lambda tx: jobs.of_submission(tx, submission))
        return {"submission": submission, "jobs": [job.id for job in made]}

    async def _recipients(self, peer: Peer, sender: str, to: list[str]) -> tuple[Recipient, ...]:
        route = await self._accept.senders.route(peer, sender)
        region = region_of(route, self._settings.region)
        recipients, refusals = [], []
        for text in to:
            try:
                address = words.fax_address(text, domains=self._settings.domains, region=region)
                recipients.append(await self._accept.check_recipient(peer, sender, address))
            except Refused as error:
                refusals.append(error.public)
        if refusals:
            raise Refused("; ".join(refusals))
        if not recipients:
            raise Refused("name at least one number to send to")
        return tuple(recipients)
