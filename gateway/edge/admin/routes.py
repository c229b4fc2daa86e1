"""Routes: where faxes to our numbers go, who may send how, and what would become of a fax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Any

from gateway import numbers, policy
from gateway.edge.admin import shown, words
from gateway.errors import GatewayError, NotFound, Refused, TryLater
from gateway.limits import Approval
from gateway.mail.options import decide
from gateway.model import FaxNumber, Identity, Peer, Recipient, Route, RouteKind
from gateway.service.accept import AcceptSettings
from gateway.service.addressing import Addressing, region_of
from gateway.service.allowance import Allowance
from gateway.service.senders import Senders, check_no_daemon, check_reachable
from gateway.store import routes
from gateway.store.db import Database


class Routes:
    """``fallback`` is the mailbox for faxes to a number without a route."""

    def __init__(
        self,
        database: Database,
        settings: AcceptSettings,
        fallback: str,
        clock: Callable[[], float],
        senders: Senders,
        allowance: Allowance,
    ) -> None:
        self._database = database
        self._settings = settings
        self._fallback = fallback
        self._clock = clock
        self._addressing = Addressing(database, settings.domains, settings.region)
        self._senders = senders
        self._allowance = allowance

    async def listing(self) -> dict[str, Any]:
        found = await self._database.read(routes.listing)
        return {"routes": [shown.route(route) for route in found]}

    async def add(
        self,
        kind: str,
        match: str,
        mailboxes: list[str] | None = None,
        allow: bool = True,
        tsi: str = "",
        region: str = "",
        results_to: str = "",
        option: list[str] | None = None,
        own_tsi: bool = False,
        note: str = "",
        identity: str = "",
        caps: list[str] | None = None,
        approve_new_country: bool = False,
        approve_pages: int = 0,
        approve_price: str = "",
        approver: str = "",
        number_in_subject: bool = False,
    ) -> dict[str, Any]:
        """Add a route, or replace the one with the same kind and match. Raises Refused for what cannot be meant."""
        now, note = self._clock(), words.line(note, "a note")
        approval = Approval(
            approve_new_country,
            words.pages(approve_pages),
            words.price(approve_price) if approve_price else None,
            self._mailbox(approver) if approver else "",
        )
        if approver and not approval.text:
            raise Refused("an approver needs something to approve: a new country, pages or a price")
        if _kind(kind) is RouteKind.DID:
            of_senders = tsi, region, results_to, option, own_tsi, identity, caps, number_in_subject
            if any(of_senders) or not allow or approval != Approval():
                raise Refused(
                    "numbers in subjects, station id, region, results, options, identity, denying, caps and approval are for"
                    " sender routes"
                )
            route = self._of_did(match, mailboxes or [], note, now)
        else:
            if mailboxes:
                raise Refused("mailboxes are for did routes; results of a sender go elsewhere with --results-to")
            if region:
                numbers.check_region(region.upper())
            sender = words.new_sender_match(match)
            route = Route(
                RouteKind.SENDER,
                sender,
                allow=allow,
                tsi=words.station_id(tsi),
                region=region.upper(),
                results_to=self._mailbox(results_to) if results_to else "",
                options=self._options(option or []),
                own_tsi=own_tsi,
                note=note,
                identity=_identity(identity, sender),
                created_at=now,
                caps=words.caps(caps or []),
                approval=approval,
                number_in_subject=number_in_subject,
            )
        await self._database.write(lambda tx: routes.put(tx, route, route.created_at))
        self._senders.forget_routes()
        return {"routes": [shown.route(route)]}

    def _of_did(self, match: str, mailboxes: list[str], note: str, now: float) -> Route:
        if not mailboxes:
            raise Refused("a did route needs at least one mailbox")
        number = words.did_match(match, region=self._settings.region)
        places = tuple(dict.fromkeys(self._mailbox(each) for each in mailboxes))
        return Route(RouteKind.DID, number, places, note=note, created_at=now)

    def _options(self, texts: list[str]) -> Mapping[str, str]:
        """Raises Refused, also for a cover page that there is not: every mail of the route would be refused for it."""
        options = words.options(texts)
        self._settings.cover(options.get("cover", ""))
        return options

    def _mailbox(self, text: str) -> str:
        return words.mailbox(text, domains=self._settings.domains)

    async def remove(self, kind: str, match: str) -> dict[str, Any]:
        """Raises NotFound."""
        of = _kind(kind)
        wanted = (
            words.did_match(match, region=self._settings.region) if of is RouteKind.DID else words.sender_match(match)
        )
        removed = await self._database.write(lambda tx: routes.remove(tx, of, wanted))
        self._senders.forget_routes()
        if not removed:
            raise NotFound(f"there is no {of} route for {wanted}")
        return {"removed": [{"kind": of, "match": wanted}]}

    # --- what would happen ----------------------------------------------------------------------------------------

    async def test(
        self,
        address: str = "",
        sender: str = "",
        user: str = "",
        client: str = "",
        certificate: str = "",
        signed: bool = False,
        did: str = "",
    ) -> dict[str, Any]:
        """What would become of a fax to ``address``, or of one received at ``did``, and why; nothing is sent.

        The mail comes from ``sender``, of a client that has proven to be ``user`` or to own ``certificate``, whose mail
        is ``signed`` by the sender's domain, or whose address ``client`` lies in the networks of its listener; with
        none of these it is one in the networks. Raises Refused when neither address nor did is given, or both.
        """
        if bool(address) == bool(did):
            raise Refused("route.test needs an address or a did")
        if did:
            return await self._test_did(numbers.parse_number(did, region=self._settings.region))
        peer = Peer(
            listener="test",
            address=words.client(client) if client else "a client like this",
            login=words.login(user) if user else None,
            certificate=certificate or None,
            author=sender.lower() if signed else None,
            trusted_network=bool(client) or not (user or certificate or signed),
        )
        route = await self._senders.route(peer, sender)
        region = region_of(route, self._settings.region)
        reasons, refusals = [_who(route, sender or user or certificate or client)], []
        facts: dict[str, Any] = {"address": address, "sender": sender, "route": shown.route(route) if route else None}
        try:
            policy.may_send(peer, sender, route, self._settings.policy)
            if sender:
                check_no_daemon(sender)
                check_reachable(sender, route, self._settings.domains)
        except GatewayError as error:
            refusals.append(error.public)
        try:
            full = words.fax_address(address, domains=self._settings.domains, region=region)
            unnumbered = self._addressing.unnumbered(route, full)
            recipient = unnumbered or await self._addressing.recipient(peer, sender, route, full)
            facts["options"] = dict(recipient.options)
            now, defaults = self._clock(), route.options if route else {}
            date = formatdate(now, localtime=True)  # a mail written here
            asked = decide(recipient.options, defaults, now=now, date=date, most=self._settings.max_delay)
            self._settings.cover(asked.cover)
            if isinstance(recipient, Recipient):
                about = numbers.classify(recipient.number)
                facts |= {"number": recipient.number.e164, "class": about.number_class, "country": about.region}
                reasons.append(f"{about.number_class} numbers of {about.place} are allowed")
                await self._may_be_dialled(peer, route, recipient.number)
            else:
                reasons.append("the subject of the mail is its number: test that too")
        except GatewayError as error:
            refusals.append(error.public)
        return {
            **facts,
            "station_id": route.tsi if route else "",
            "results_to": (route.results_to if route else "") or sender,
            "allowed": not refusals,
            "reason": "; ".join(refusals or reasons),
        }

    async def _may_be_dialled(self, peer: Peer, route: Route | None, number: FaxNumber) -> None:
        """Raises Refused, TryLater."""
        policy.may_dial(number, self._settings.policy)
        caps = self._allowance.caps(peer, route, number)
        if stop := await self._database.read(lambda tx: self._allowance.at_the_door(tx, caps)):
            raise TryLater(f"not now: {stop.why}")

    async def _test_did(self, did: FaxNumber) -> dict[str, Any]:
        route = await self._database.read(lambda tx: routes.for_did(tx, did.e164))
        reason = "no route leads from it to a mailbox, so its faxes go to mail.fallback"
        if route:
            reason = f"the route for {'all other numbers' if route.match == '*' else route.match} says so"
        return {
            "did": did.e164,
            "route": shown.route(route) if route else None,
            "mailboxes": list(route.mailboxes) if route else [self._fallback],
            "reason": reason,
        }


def _kind(text: str) -> RouteKind:
    try:
        return RouteKind(text)
    except ValueError:
        raise Refused("a route is of the kind did or sender") from None


def _identity(text: str, match: str) -> Identity:
    """The least proof a sender route for ``match`` asks for. Raises Refused for one that could never be, or lets all in."""
    if not text:
        return Identity.NETWORK
    try:
        identity = Identity(text)
    except ValueError:
        raise Refused(f"the identity of a route is one of {', '.join(Identity)}") from None
    if identity in (Identity.ANY, Identity.DKIM) and not policy.names_mail(match):
        raise Refused(
            f"the identity {identity} is for routes of an address or a @domain: a signature proves nothing else,"
            f" and {match} would let everybody in who can sign a mail"
        )
    return identity


def _who(route: Route | None, who: str) -> str:
    if route is None:
        return "no sender route applies, and policy.senders lets any identified client send"
    return f"the route for {route.match} lets {who or 'the sender'} send"
