"""Who may send, and to which numbers: default deny, and every no names its remedy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.model import Alias, FaxNumber, Identity, NumberClass, Peer, Route, RouteKind
from gateway.policy import PolicySettings, alias_for, may_dial, may_send, sender_route

DEFAULT = PolicySettings()
LAN = Peer(listener="smtp0", address="192.168.1.20", trusted_network=True)
ANN = Peer(listener="smtp0", address="203.0.113.9", login="ann")
STRANGER = Peer(listener="smtp0", address="203.0.113.9")


def route(match: str, **more: object) -> Route:
    return Route(kind=RouteKind.SENDER, match=match, **more)  # type: ignore[arg-type]


def denial(number: str, settings: PolicySettings = DEFAULT) -> str:
    with pytest.raises(Refused) as caught:
        may_dial(FaxNumber(number), settings)
    assert caught.value.status == "5.7.1"
    assert caught.value.public.isascii()
    return caught.value.public


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["+15551234567", "+12025550123", "+14165550123", "+18005551234"])
def test_default_allows_the_united_states_and_canada(number: str) -> None:
    may_dial(FaxNumber(number), DEFAULT)


def test_other_countries_are_denied_with_the_remedy() -> None:
    assert denial("+18765551234") == (
        "+1 876 555 1234: faxes to Jamaica (+1 876) are not allowed here;"
        " ask your administrator to add JM to policy.countries"
    )
    assert "add DE to policy.countries" in denial("+49301234567")
    may_dial(FaxNumber("+49301234567"), PolicySettings(countries=frozenset({"DE"})))


def test_numbers_of_no_country_need_an_entry_in_numbers() -> None:
    assert denial("+881612345678") == (
        "+881 6 123 45678: faxes to +881 are not allowed here; ask your administrator to add +881 to policy.numbers"
    )
    may_dial(FaxNumber("+881612345678"), PolicySettings(numbers=("+881",)))
    may_dial(FaxNumber("+883510012345"), PolicySettings(numbers=("+8835100",)))
    assert "+883 " in denial("+883510012345", PolicySettings(numbers=("+8835199",)))


@pytest.mark.parametrize(
    ("number", "number_class"),
    [("+19005551234", "premium"), ("+15005551234", "shared-cost"), ("+12129761234", "premium")],
)
def test_dear_numbers_inside_an_allowed_country_are_denied(number: str, number_class: str) -> None:
    public = denial(number)
    assert f"{number_class} numbers of the United States (+1" in public
    assert f"add {number_class} to policy.classes" in public
    may_dial(FaxNumber(number), PolicySettings(classes=frozenset({NumberClass(number_class)})))
    may_dial(FaxNumber(number), PolicySettings(numbers=(number,)))


def test_numbers_of_unknown_cost_are_denied() -> None:
    germany = PolicySettings(countries=frozenset({"DE"}))
    assert "numbers of unknown cost of Germany (+49)" in denial("+4990012", germany)
    assert "add unknown to policy.classes" in denial("+4990012", germany)


def test_an_entry_that_names_no_more_than_a_country_opens_no_premium_line() -> None:
    premium = denial("+12129761234", PolicySettings(numbers=("+1212",)))
    assert "premium numbers of the United States (+1 212) are not allowed" in premium
    for entry in ("+44", "+4"):
        settings = PolicySettings(numbers=(entry,))
        may_dial(FaxNumber("+442079460018"), settings)
        assert "premium" in denial("+448712345678", settings)
    may_dial(FaxNumber("+448712345678"), PolicySettings(numbers=("+44871",)))
    may_dial(FaxNumber("+448712345678"), PolicySettings(numbers=("+44", "+448712345678")))


@pytest.mark.parametrize(
    ("entry", "ordinary", "dear", "exact"),
    [
        ("+447", "+447700900123", "+447012345678", "+4470"),
        ("+499", "+499112345678", "+499001234567", "+49900"),
        ("+12129", "+12129551234", "+12129761234", "+1212976"),
        ("+12", "+12125551234", "+12125551212", "+12125551212"),
        ("+487", "+48713456789", "+48701123456", "+4870"),
        ("+79", "+79161234567", "+79401234567", "+7940"),
        ("+8", "+81312345678", "+881612345678", "+8816"),
    ],
)
def test_an_entry_that_has_ordinary_numbers_opens_no_dear_ones(
    entry: str, ordinary: str, dear: str, exact: str
) -> None:
    may_dial(FaxNumber(ordinary), PolicySettings(numbers=(entry,)))
    denial(dear, PolicySettings(numbers=(entry,)))
    may_dial(FaxNumber(dear), PolicySettings(numbers=(entry, exact)))


def test_an_entry_that_says_more_than_a_country_opens_what_is_not_dear_there() -> None:
    """The +1 876 of Jamaica is a country."""
    closed = PolicySettings(classes=frozenset(), numbers=("+1876",))
    assert "ordinary numbers of Jamaica (+1 876) are not allowed" in denial("+18765550123", closed)
    may_dial(FaxNumber("+18765550123"), PolicySettings(classes=frozenset(), numbers=("+18765",)))


def test_an_entry_matches_from_the_start_only() -> None:
    assert "not allowed" in denial("+493044123456", PolicySettings(numbers=("+44",)))


def test_test_numbers() -> None:
    assert denial("+99999990001") == (
        "+999 9999 0001: test numbers (+999) are not allowed here;"
        " ask your administrator to set policy.test_numbers to allow"
    )
    may_dial(FaxNumber("+99999990001"), PolicySettings(countries=frozenset(), test_numbers_allowed=True))


@given(st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True))
def test_nothing_is_allowed_where_nothing_is_named(number: str) -> None:
    denial(number, PolicySettings(countries=frozenset()))


# --- sender routes ----------------------------------------------------------------------------------------------------

BY_RANK = [
    route("user:ann"),
    route("ann@example.org"),
    route("ip:203.0.113.9"),
    route("ip:203.0.113.0/24"),
    route("ip:0.0.0.0/0"),
    route("@example.org"),
    route("*"),
]


@pytest.mark.parametrize("better", range(len(BY_RANK)))
def test_the_most_specific_route_wins_in_any_order(better: int) -> None:
    for order in itertools.permutations(BY_RANK[better : better + 3]):
        assert sender_route(order, ANN, "ann@example.org") is BY_RANK[better]


def test_a_claim_does_not_open_a_network_that_is_denied() -> None:
    guests, boss = route("ip:192.168.1.0/24", allow=False), route("boss@example.org")
    assert sender_route([boss, guests], LAN, "boss@example.org") is guests
    signed = replace(LAN, author="boss@example.org")
    for proven in (signed, replace(LAN, login="boss"), replace(LAN, certificate="boss")):
        assert sender_route([boss, guests], proven, "boss@example.org") is boss
    for asked in (Identity.LOGIN, Identity.DKIM, Identity.CERTIFICATE):  # what was claimed is still to be proven
        asking = route("boss@example.org", identity=asked)
        assert sender_route([asking, guests], LAN, "boss@example.org") is asking
    printer = route("ip:192.168.1.20")
    assert sender_route([boss, guests, printer], LAN, "boss@example.org") is boss
    assert sender_route([boss, guests, printer], LAN, "me@example.org") is printer


def test_no_route_matches() -> None:
    others = [
        route("user:bob"), route("bob@example.org"), route("ip:10.0.0.0/8"), route("@example.com"), route("nonsense"),
        route("ip:nonsense"), route("ip:2001:db8::/32"), Route(kind=RouteKind.DID, match="*"),
    ]  # fmt: skip
    assert sender_route(others, ANN, "ann@example.org") is None
    assert sender_route([], ANN, "ann@example.org") is None


@pytest.mark.parametrize(
    ("match", "sender"),
    [("Ann@Example.ORG", "ann@example.org"), ("ann@example.org", "ANN@EXAMPLE.ORG"), ("@Example.org", "x@EXAMPLE.org")],
)
def test_addresses_match_in_any_case(match: str, sender: str) -> None:
    assert sender_route([route(match)], LAN, sender) is not None


@pytest.mark.parametrize(
    ("match", "sender"),
    [
        ("a@b.co", "evil-a@b.co"),
        ("a@b.co", "a@b.co.evil.com"),
        ("@b.co", "a@evil-b.co"),
        ("@b.co", "a@sub.b.co"),
        ("@b.co", "a@b.co@evil.com"),
        ("@b.co", "b.co"),
        ("@", ""),
        ("", ""),
    ],
)
def test_addresses_match_whole(match: str, sender: str) -> None:
    assert sender_route([route(match)], LAN, sender) is None


def test_a_claimed_address_counts_only_with_a_proven_identity() -> None:
    """MAIL FROM is anybody's word: it selects no route for a client that nobody knows."""
    routes = [route("boss@example.org"), route("@example.org")]
    assert sender_route(routes, STRANGER, "boss@example.org") is None
    assert sender_route(routes, LAN, "boss@example.org") is routes[0]
    assert sender_route(routes, ANN, "boss@example.org") is routes[0]


def test_a_user_route_needs_that_login() -> None:
    for nobody in ("user:", "user:None", "cert:", "cert:None"):
        assert sender_route([route(nobody)], STRANGER, "") is None
    assert sender_route([route("user:Ann")], ANN, "") is None


@pytest.mark.parametrize(
    ("network", "address", "matches"),
    [
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3/8", "10.200.0.1", True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("2001:db8::/32", "2001:db8::5", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("10.0.0.0/8", "2001:db8::5", False),
        ("::/0", "10.1.2.3", False),
        ("10.0.0.0/8", "local", False),
    ],
)
def test_network_routes(network: str, address: str, matches: bool) -> None:
    peer = Peer(listener="smtp0", address=address, trusted_network=True)
    assert (sender_route([route(f"ip:{network}")], peer, "") is not None) is matches


# --- senders ----------------------------------------------------------------------------------------------------------


def refusal(peer: Peer, sender: str, found: Route | None, settings: PolicySettings = DEFAULT) -> Refused:
    with pytest.raises(Refused) as caught:
        may_send(peer, sender, found, settings)
    assert caught.value.public.isascii()
    return caught.value


@pytest.mark.parametrize("peer", [LAN, ANN])
def test_every_identified_client_may_send_by_default(peer: Peer) -> None:
    may_send(peer, "x@example.org", None, DEFAULT)
    may_send(peer, "x@example.org", route("*"), DEFAULT)


def test_a_stranger_may_not_send_whatever_the_routes_say() -> None:
    for found in (None, route("*"), route("ip:203.0.113.9")):
        refused = refusal(STRANGER, "boss@example.org", found)
        assert refused.status == "5.7.0"
        assert "log in" in refused.public


def test_a_route_may_deny() -> None:
    refused = refusal(ANN, "ann@example.org", route("user:ann", allow=False))
    assert refused.status == "5.7.1"
    assert "ann may not send faxes: the route for user:ann denies it" in refused.public
    assert (
        refusal(STRANGER, "ann@example.org", route("*", allow=False)).status == "5.7.0"
    )  # who is none of its senders yet


def test_routed_senders_need_a_route() -> None:
    routed = PolicySettings(senders="routed")
    refused = refusal(LAN, "scanner\u00e9@example.org", None, routed)
    assert refused.status == "5.7.1"
    assert "scanner?@example.org may not send faxes: no route allows it" in refused.public
    may_send(LAN, "scanner@example.org", route("@example.org"), routed)
    assert "192.168.1.20 may not" in refusal(LAN, "", None, routed).public
    assert "denies" in refusal(LAN, "", route("*", allow=False), routed).public


# --- how much proof ---------------------------------------------------------------------------------------------------

SIGNED = Peer(listener="smtp0", address="203.0.113.9", author="ann@example.org")
CERTIFIED = Peer(listener="smtp0", address="203.0.113.9", certificate="scanner")
EVERYBODY = {"network": LAN, "dkim": SIGNED, "login": ANN, "certificate": CERTIFIED, "nobody": STRANGER}
ENOUGH = {
    Identity.ANY: {"network", "dkim", "login", "certificate"},
    Identity.NETWORK: {"network", "login", "certificate"},
    Identity.DKIM: {"dkim", "login", "certificate"},
    Identity.LOGIN: {"login", "certificate"},
    Identity.CERTIFICATE: {"certificate"},
}


@pytest.mark.parametrize("proof", EVERYBODY)
@pytest.mark.parametrize("identity", Identity)
def test_a_route_asks_for_the_least_proof(identity: Identity, proof: str) -> None:
    for match in ("ann@example.org", "@example.org"):
        found = route(match, identity=identity)
        if proof in ENOUGH[identity]:
            may_send(EVERYBODY[proof], "ann@example.org", found, DEFAULT)
        else:
            refused = refusal(EVERYBODY[proof], "ann@example.org", found)
            assert refused.status == "5.7.0"
            assert "; log in" in refused.public or "certificate" in refused.public


@pytest.mark.parametrize(
    ("identity", "who", "remedy"),
    [
        (Identity.ANY, "203.0.113.9 may not send faxes without logging in", "add the address to the networks"),
        (Identity.NETWORK, "203.0.113.9 may not send faxes without logging in", "add the address to the networks"),
        (
            Identity.DKIM,
            "the route for @example.org asks for more proof of who is sending",
            "a mail server that signs with DKIM",
        ),
        (
            Identity.LOGIN,
            "the route for @example.org asks for more proof of who is sending",
            "log in with a user name and a password",
        ),
        (
            Identity.CERTIFICATE,
            "the route for @example.org asks for more proof of who is sending",
            "TLS with a client certificate",
        ),
    ],
)
def test_who_has_too_little_proof_learns_what_would_do(identity: Identity, who: str, remedy: str) -> None:
    refused = refusal(STRANGER, "ann@example.org", route("@example.org", identity=identity)).public
    assert refused.startswith(who)
    assert remedy in refused


@pytest.mark.parametrize("match", ["*", "ip:203.0.113.9", "user:ann@example.org", "cert:ann@example.org"])
@pytest.mark.parametrize("identity", [Identity.ANY, Identity.DKIM])
def test_a_signature_opens_no_route_that_names_no_mail_address(match: str, identity: Identity) -> None:
    assert refusal(SIGNED, "ann@example.org", route(match, identity=identity)).status == "5.7.0"
    assert refusal(SIGNED, "ann@example.org", None).status == "5.7.0"


def test_the_mail_may_prove_later_what_is_claimed_now() -> None:
    routes = [route("@example.org", identity=Identity.ANY), route("eve@example.org", allow=False)]
    may_send(STRANGER, "ann@example.org", routes[0], DEFAULT, mail_may_prove=True)
    refusal(STRANGER, "ann@example.org", routes[0])
    with pytest.raises(Refused, match="denies it"):
        may_send(STRANGER, "eve@example.org", routes[1], DEFAULT, mail_may_prove=True)
    for other in (None, route("@example.org"), route("@example.org", identity=Identity.LOGIN)):
        with pytest.raises(Refused, match="log in"):
            may_send(STRANGER, "ann@example.org", other, DEFAULT, mail_may_prove=True)


def test_a_certificate_has_routes_of_its_own() -> None:
    ours = route("cert:scanner")
    assert sender_route([ours, route("*")], CERTIFIED, "x@example.org") is ours
    assert sender_route([ours], ANN, "x@example.org") is None
    assert sender_route([route("cert:")], STRANGER, "") is None


def test_limits_hang_on_the_strongest_proof() -> None:
    assert [EVERYBODY[proof].identity for proof in EVERYBODY] == [
        "ip:192.168.1.20", "mail:ann@example.org", "user:ann", "cert:scanner", "ip:203.0.113.9"
    ]  # fmt: skip


# --- short names ------------------------------------------------------------------------------------------------------


def test_of_the_aliases_of_a_name_that_for_the_most_exact_sender_counts() -> None:
    number = FaxNumber("+12025550123")
    for_all, for_network, for_ann = [Alias("desk", number, scope) for scope in ("*", "ip:192.168.1.0/24", "user:ann")]
    known = [for_all, for_network, for_ann]
    assert alias_for(known, ANN, "ann@example.org") is for_ann
    assert alias_for(known, LAN, "bob@example.org") is for_network
    assert alias_for([for_network, for_ann], STRANGER, "ann@example.org") is None
    assert alias_for([], ANN, "ann@example.org") is None
