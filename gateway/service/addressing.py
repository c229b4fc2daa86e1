"""From a recipient address to the number that is dialled: the address book, the grammar, the options behind the number."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway import numbers, policy
from gateway.errors import Refused
from gateway.mail import options
from gateway.model import Alias, Peer, Recipient, Route, Unnumbered
from gateway.numbers import FaxAddress
from gateway.store import aliases
from gateway.store.db import Database

_LONGEST_SUBJECT = 100  # characters of one that is a number
SUBJECT = "subject"  # in the place of a number: it is the subject of the mail
_NAME, _DIGITS = re.compile(r"[a-z][a-z0-9._-]{0,63}"), re.compile(r"[0-9]{1,6}")


class Addressing:
    """``domains`` are ours; ``region`` reads numbers without a + where the sender's route names none."""

    def __init__(self, database: Database, domains: tuple[str, ...], region: str) -> None:
        self._database = database
        self._domains = domains
        self._region = region

    async def recipient(self, peer: Peer, sender: str, route: Route | None, address: str) -> Recipient:
        """The number an address names, exactly, and what is asked for with it.

        A short name counts for the senders of its scope. Raises Refused naming an accepted form or the known options.
        """
        given = numbers.read_address(address, domains=self._domains)
        asked = options.read(given.options, "in the address")
        may_choose(asked, route)
        alias = None if given.text.startswith("+") else await self._alias(peer, sender, given.text)
        region = region_of(route, self._region)
        if alias is None:
            try:
                return Recipient(address, given.number(region), asked)
            except Refused as error:
                if _is_name(given.text, region):
                    public = f"{error.public}; nor is {given.text} a short name here for you"
                    raise Refused(public, error.detail, status=error.status) from error
                raise
        if _is_number(given, region):  # in this region; where the name was added, it was none
            raise Refused(
                f"{given.text} is a short name for {alias.number} here and a number too; write the number you mean with +"
                " and country code",
                status="5.1.4",
            )
        return Recipient(address, alias.number, asked, addressee=alias.addressee)

    def unnumbered(self, route: Route | None, address: str) -> Unnumbered | None:
        """An address that leaves the number to the subject, where the sender's route lets it; else None. Raises Refused."""
        if route is None or not route.number_in_subject:
            return None
        given = numbers.read_address(address, domains=self._domains)
        if given.text.lower() != SUBJECT:
            return None
        asked = options.read(given.options, "in the address")
        may_choose(asked, route)
        return Unnumbered(address, asked)

    def numbered(self, wanted: Unnumbered, route: Route | None, subject: str) -> Recipient:
        """The number that a subject is, the whole of it; never digits out of one. Raises Refused."""
        if route is None or not route.number_in_subject:
            raise Refused("you may not give the number in the subject; write it in the address", status="5.7.1")
        if len(subject) > _LONGEST_SUBJECT:  # its end may be cut off
            raise Refused("the subject must be a fax number and nothing else: it is too long", status="5.1.3")
        try:
            number = numbers.parse_number(subject, region=region_of(route, self._region))
        except Refused as error:
            public = f"the subject must be a fax number and nothing else: {error.public}"
            raise Refused(public, error.detail, status=error.status) from error
        return Recipient(wanted.address, number, wanted.options, wanted.orcpt, wanted.notify)

    async def addressee(self, peer: Peer, sender: str, recipient: Recipient) -> str:
        """Who is behind the number, where the address book has one name for him that this sender may know, else ""."""
        if recipient.addressee:
            return recipient.addressee
        known = await self._database.read(lambda tx: aliases.addressed(tx, recipient.number))
        by_name: dict[str, list[Alias]] = {}
        for each in known:
            by_name.setdefault(each.name, []).append(each)
        found = {one.addressee for alike in by_name.values() if (one := policy.alias_for(alike, peer, sender))}
        return found.pop() if len(found) == 1 else ""

    async def _alias(self, peer: Peer, sender: str, name: str) -> Alias | None:
        known = await self._database.read(lambda tx: aliases.listing(tx, name.lower()))
        return policy.alias_for(known, peer, sender)


def region_of(route: Route | None, otherwise: str) -> str:
    """Where the numbers of a sender that have no + are dialled."""
    return (route.region if route else "") or otherwise


def _is_name(text: str, region: str) -> bool:
    """Whether a person may have meant a short name by what is no number."""
    return bool(_NAME.fullmatch(text.lower())) or bool(_DIGITS.fullmatch(text) and not numbers.meaning(text, region))


def _is_number(given: FaxAddress, region: str) -> bool:
    try:
        given.number(region)
    except Refused:
        return False
    return True


def check_same(first: Recipient | Unnumbered, again: Recipient | Unnumbered) -> None:
    """A number that is named twice gets one fax. Raises Refused where it is wanted in two ways."""
    if first.options != again.options:
        number = first.number if isinstance(first, Recipient) else "the number that is its subject"
        raise Refused(
            f"this mail goes to {number} already, with other options; send it in a separate mail",
            status="5.6.0",
        )


def may_choose(asked: Mapping[str, str], route: Route | None) -> None:
    """Raise Refused for an option this sender may not choose: a station id says who is calling."""
    if "tsi" in asked and not (route and route.own_tsi):
        raise Refused(
            "you may not choose the station id (tsi); leave it out, or ask your administrator for a route with"
            " --own-tsi",
            status="5.7.1",
        )
