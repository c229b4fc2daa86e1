"""May this client send, and to this number? Pure decisions over facts; every no is a sentence with a remedy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

from gateway.errors import Refused
from gateway.model import Alias, FaxNumber, Identity, NumberClass, Peer, Route, RouteKind
from gateway.numbers import NumberFacts, classify, format_human

T = TypeVar("T")

_SHOWN = 100  # characters of a sender that a refusal repeats


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """``countries`` are ISO 3166 codes, ``numbers`` E.164 numbers or prefixes with +, allowed beside the countries.

    ``senders``: "any" lets every identified client send, "routed" only those with a route that allows.
    """

    countries: frozenset[str] = frozenset({"US", "CA"})
    numbers: tuple[str, ...] = ()
    classes: frozenset[NumberClass] = frozenset({NumberClass.ORDINARY, NumberClass.TOLL_FREE})
    test_numbers_allowed: bool = False
    senders: Literal["any", "routed"] = "any"


# --- numbers ----------------------------------------------------------------------------------------------------------


def may_dial(number: FaxNumber, settings: PolicySettings) -> None:
    """Raise Refused (5.7.1) when faxes to this number are not allowed; everything not named is denied."""
    facts = classify(number)
    if facts.number_class is NumberClass.TEST:
        if not settings.test_numbers_allowed:
            raise _denied(number, "test numbers (+999) are not allowed here", "set policy.test_numbers to allow")
        return
    named = [entry for entry in settings.numbers if number.e164.startswith(entry)]
    if facts.region not in settings.countries and not named:
        remedy = f"add {facts.region} to policy.countries" if facts.region else f"add {facts.prefix} to policy.numbers"
        raise _denied(number, f"faxes to {facts.place} are not allowed here", remedy)
    if facts.number_class not in settings.classes and not any(
        entry == number.e164 or _names_the_class(entry, facts) for entry in named
    ):
        kind = (
            "numbers of unknown cost" if facts.number_class is NumberClass.UNKNOWN else f"{facts.number_class} numbers"
        )
        remedy = f"add {facts.number_class} to policy.classes, or the number to policy.numbers"
        raise _denied(number, f"faxes to {kind} of {facts.place} are not allowed here", remedy)


def _names_the_class(entry: str, facts: NumberFacts) -> bool:
    """Whether an entry of ``numbers`` means such numbers: +44 and +447 open no dear line, +44871 does.

    What is dear is not meant by an entry that has ordinary numbers; what is not dear by any that says more than a country.
    """
    if facts.number_class in (NumberClass.ORDINARY, NumberClass.UNKNOWN):
        return facts.region is None or len(entry) > len(facts.prefix.replace(" ", ""))
    return not _has_ordinary(entry)


@lru_cache(maxsize=1000)
def _has_ordinary(prefix: str) -> bool:
    """Whether ordinary numbers begin so, as far as a thousand of them show."""
    return any(
        classify(FaxNumber(f"{prefix}{digits:02}2345678901234"[:length])).number_class is NumberClass.ORDINARY
        for digits in range(100)
        for length in range(max(len(prefix), 8), 17)
    )


def _denied(number: FaxNumber, why: str, remedy: str) -> Refused:
    return Refused(f"{format_human(number)}: {why}; ask your administrator to {remedy}", status="5.7.1")


# --- senders ----------------------------------------------------------------------------------------------------------

_STRONG = frozenset({Identity.LOGIN, Identity.CERTIFICATE})
_ENOUGH: dict[Identity, frozenset[Identity]] = {  # for what a route asks at least
    Identity.ANY: _STRONG | {Identity.NETWORK, Identity.DKIM},
    Identity.NETWORK: _STRONG | {Identity.NETWORK},
    Identity.DKIM: _STRONG | {Identity.DKIM},
    Identity.LOGIN: _STRONG,
    Identity.CERTIFICATE: frozenset({Identity.CERTIFICATE}),
}
_REMEDY = {
    Identity.NETWORK: "log in, or ask your administrator to add the address to the networks of this listener",
    Identity.DKIM: "log in, or send through a mail server that signs with DKIM",
    Identity.LOGIN: "log in with a user name and a password",
    Identity.CERTIFICATE: "send under TLS with a client certificate",
}


def sender_route(routes: Iterable[Route], peer: Peer, sender: str) -> Route | None:
    """The most specific route: ``user:`` or ``cert:NAME``, the address, ``ip:NETWORK`` (longest prefix), ``@domain``, ``*``.

    ``sender`` is the envelope sender, a claim. It refines what applies to a client that has proven who it is, and
    counts for nothing with any other. It opens nothing to a client whose network is denied and that has no other proof.
    """
    matches = [(route.match, route) for route in routes if route.kind is RouteKind.SENDER]
    best = _most_specific(matches, peer, sender)
    if best is None or not (best.allow and peer.proofs == {Identity.NETWORK} <= _enough(best)):
        return best
    of_network = _most_specific([match for match in matches if match[0].startswith("ip:")], peer, sender)
    return of_network if of_network and not of_network.allow else best


def alias_for(aliases: Iterable[Alias], peer: Peer, sender: str) -> Alias | None:
    """Of the aliases of one name that whose scope is most specific for this client, as for :func:`sender_route`."""
    return _most_specific([(alias.scope, alias) for alias in aliases], peer, sender)


def _most_specific(candidates: Iterable[tuple[str, T]], peer: Peer, sender: str) -> T | None:
    best, best_rank = None, (0, 0)
    for match, candidate in candidates:
        rank = _rank(match, peer, sender)
        if rank > best_rank:
            best, best_rank = candidate, rank
    return best


def may_send(
    peer: Peer, sender: str, route: Route | None, settings: PolicySettings, *, mail_may_prove: bool = False
) -> None:
    """Raise Refused unless this client may send: 5.7.0 without the proof that is asked for, 5.7.1 when it is denied.

    ``route`` is what :func:`sender_route` found. ``mail_may_prove``: the mail is still to come, and its signature may
    be the proof.
    """
    who = peer.login or sender or peer.address
    if route is not None and not route.allow and (peer.proofs or mail_may_prove):
        raise Refused(
            f"{shown(who)} may not send faxes: the route for {shown(route.match)} denies it; ask your administrator to"
            " change it",
            status="5.7.1",
        )
    enough = _enough(route)
    if not peer.proofs & enough and not (mail_may_prove and Identity.DKIM in enough):
        raise _unproven(peer, route)
    if route is None and settings.senders == "routed":
        raise Refused(
            f"{shown(who)} may not send faxes: no route allows it; ask your administrator to add one with"
            " faxgateway route add",
            status="5.7.1",
        )


def may_be_so_large(size: int, most: int) -> None:
    """Raise Refused (5.3.4) for a mail of more than ``most`` bytes."""
    if size > most:
        raise Refused(
            f"the mail is larger than the {most / 1_000_000:g} MB accepted here; send fewer or smaller attachments",
            status="5.3.4",
        )


def _enough(route: Route | None) -> frozenset[Identity]:
    """The proofs that will do. A signature proves an address, so it counts for routes that name one or its domain."""
    if route is None:
        return _ENOUGH[Identity.NETWORK]
    enough = _ENOUGH[route.identity]
    return enough if names_mail(route.match) else enough - {Identity.DKIM}


def names_mail(match: str) -> bool:
    """Whether a sender route is for an address or a domain."""
    return "@" in match and not match.startswith(("user:", "cert:"))


def _unproven(peer: Peer, route: Route | None) -> Refused:
    if route is None or route.identity in (Identity.ANY, Identity.NETWORK):
        who, wanted = f"{peer.address} may not send faxes without logging in", Identity.NETWORK
    else:
        who, wanted = f"the route for {shown(route.match)} asks for more proof of who is sending", route.identity
    return Refused(f"{who}; {_REMEDY[wanted]}", status="5.7.0")


def _rank(match: str, peer: Peer, sender: str) -> tuple[int, int]:
    """How specific a match is: (kind, prefix length); (0, 0) when it does not match."""
    if match == "*":
        return 1, 0
    if match.startswith("user:"):
        return (5, 0) if peer.login and match == f"user:{peer.login}" else (0, 0)
    if match.startswith("cert:"):
        return (5, 0) if peer.certificate and match == f"cert:{peer.certificate}" else (0, 0)
    if match.startswith("ip:"):
        length = _prefix_length(match.removeprefix("ip:"), peer.address)
        return (0, 0) if length is None else (3, length)
    address = sender.lower()
    if not peer.proofs or "@" not in address:
        return 0, 0
    if match.startswith("@"):
        return (2, 0) if address.rpartition("@")[2] == match[1:].lower() else (0, 0)
    return (4, 0) if address == match.lower() else (0, 0)


def network(text: str, *, strict: bool = True) -> str:
    """A network of clients as :func:`lies_in` knows it: one of IPv4 that is written as IPv6 is one of IPv4, as its clients are.

    Raises ValueError for what is none; ``strict``: also where bits or a zone say more than a network, which else are left out.
    """
    if not strict:
        text = re.sub("%[^/]*", "", text)
    found = ipaddress.ip_network(text, strict=strict)
    if "%" in text:
        raise ValueError
    mapped = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
    return f"{mapped}/{found.prefixlen - 96}" if mapped and found.prefixlen >= 96 else str(found)


def lies_in(network: str, address: str) -> bool:
    """Whether an address lies in a network. A unix socket has none."""
    return _prefix_length(network, address) is not None


def place_of(address: str) -> str:
    """What counts as one address: with IPv6 a /64, which one client has to itself. A unix socket is one too."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network((ipaddress.ip_address(address), 64), strict=False))


def _prefix_length(network: str, address: str) -> int | None:
    """Length of the network's prefix when the address lies in it. A unix socket has no address."""
    try:
        ours, client = ipaddress.ip_network(network, strict=False), ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped:
        client = client.ipv4_mapped
    return ours.prefixlen if client in ours else None


def shown(text: str) -> str:
    """``text`` fit for one line of ASCII, behind which there is room for a remedy."""
    line = "".join(c if " " <= c <= "~" else "?" for c in text)
    return f"{line[:_SHOWN]}..." if len(line) > _SHOWN else line
