"""Who sends: the route that is meant for a client, the proof that it asks for, and where results find the sender."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from gateway import policy
from gateway.errors import Refused
from gateway.model import Envelope, MailSummary, Peer, Route, RouteKind
from gateway.store import routes
from gateway.store.db import Database

_ADDRESS = re.compile(
    r"""(?=.{1,254}\Z)(?:"(?:[^"\\\s]|\\\S)*"|[^\s"(),:;<>@\[\]\\]+)(?:@(?:[^\s"(),:;<>@\[\]\\]+|\[[^\s"\[\]\\]+\]))?"""
)  # RFC 5321, roughly; with a domain or without


class Senders:
    """``domains`` are ours; ``front``: the networks of the mail server whose word on the author of a mail is believed."""

    def __init__(
        self, database: Database, settings: policy.PolicySettings, domains: Sequence[str], front: Sequence[str] | None
    ) -> None:
        self._database = database
        self._settings = settings
        self._domains = domains
        self._front = front
        self._routes: list[Route] | None = None  # of senders, while they are known to be those of the database
        self._asked: object = None

    def forget_routes(self) -> None:
        """The routes have changed: they are read again when they are next asked for."""
        self._routes = self._asked = None

    async def route(self, peer: Peer, sender: str) -> Route | None:
        """The route that counts. Raises TryLater when the database is broken."""
        self._database.check()
        known = self._routes
        if known is None:
            asked = self._asked = object()
            known = await self._database.read(lambda tx: routes.listing(tx, RouteKind.SENDER))
            if asked is self._asked:  # or else they have changed meanwhile
                self._routes = known
        return policy.sender_route(known, peer, sender)

    def mail_may_prove(self, peer: Peer) -> bool:
        """Whether the client is the mail server whose word on the author of a mail is taken."""
        if self._front is None:
            return False
        return peer.address == "local" or any(policy.lies_in(network, peer.address) for network in self._front)

    async def check(self, peer: Peer, sender: str) -> None:
        """At MAIL: may this client send at all, and does a result find it? Raises Refused, TryLater."""
        route = await self.route(peer, sender)
        policy.may_send(peer, sender, route, self._settings, mail_may_prove=self.mail_may_prove(peer))
        check_reachable(sender, route, self._domains)

    async def proven(self, envelope: Envelope, summary: MailSummary) -> tuple[Envelope, Route | None]:
        """The envelope with the author, once he is proven, and the route that counts then. Raises Refused.

        The author counts where he is the envelope sender: that is who the route was chosen for, and who hears of it.
        """
        if summary.author and summary.author == envelope.sender.lower():
            envelope = replace(envelope, peer=replace(envelope.peer, author=summary.author))
        route = await self.route(envelope.peer, envelope.sender)
        policy.may_send(envelope.peer, envelope.sender, route, self._settings)
        return envelope, route


def is_daemon(sender: str) -> bool:
    """Whether a mail server speaks for itself: the null sender, and the name that some write instead."""
    return sender.lower().partition("@")[0] in ("", "mailer-daemon")


def check_no_daemon(sender: str) -> None:
    """What a mail server says for itself is not faxed. Raises Refused."""
    if is_daemon(sender):
        who = "MAILER-DAEMON" if sender else "the null sender"
        raise Refused(
            f"mails from {who} are not faxed: they are reports and automatic answers; a device or program that sends faxes"
            " needs a sender address of its own",
            status="5.7.1",
        )


def check_reachable(sender: str, route: Route | None, domains: Sequence[str]) -> None:
    """A result must find the sender; one mailed to a fax address of ours would come back to us. Raises Refused.

    A mere name is taken, as of devices that know no domain: no route of an address or a domain is meant for it, results
    go where the smarthost takes such a name to be, and if that is nowhere the operator hears of it.
    """
    if not _ADDRESS.fullmatch(sender) and not (route and route.results_to):
        raise Refused(
            f"{policy.shown(sender)} is not a mail address, so no result can be mailed to it; send from one like"
            " you@example.org, or ask your administrator for a route with --results-to",
            status="5.1.7",
        )
    domain = sender.rpartition("@")[2].lower().rstrip(".")
    if domain in {ours.lower() for ours in domains} and not (route and route.results_to):
        raise Refused(
            f"{policy.shown(sender)} is a fax address, and no result can be mailed to it; send from a mail address of"
            " yours, or ask your administrator for a route with --results-to",
            status="5.1.8",
        )
