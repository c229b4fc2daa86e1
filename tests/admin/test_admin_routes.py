"""Routes: what may be written, in which form it is kept, and what ``route.test`` says of it."""

from __future__ import annotations

from typing import Any

import pytest

from admin.conftest import House
from gateway.errors import NotFound, Refused


async def _add(house: House, kind: str, match: str, **more: Any) -> dict[str, Any]:
    (route,) = (await house.ask("route.add", kind=kind, match=match, **more))["routes"]
    return route


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("+1 (202) 555-0100", "+12025550100"),
        ("202-555-0100", "+12025550100"),
        ("+44 20 7946 0018", "+442079460018"),
        (" * ", "*"),
    ],
)
async def test_a_did_is_kept_in_one_form_however_it_is_written(house: House, given: str, kept: str) -> None:
    route = await _add(house, "did", given, mailboxes=[" desk@example.org ", "a+b@example.org", "desk@Example.ORG"])
    assert (route["match"], route["mailboxes"]) == (kept, ["desk@example.org", "a+b@example.org"])
    await _add(house, "did", kept, mailboxes=["other@example.org"], note="moved")
    (route,) = (await house.ask("route.list"))["routes"]
    assert (route["mailboxes"], route["note"]) == (["other@example.org"], "moved")
    assert (await house.ask("route.remove", kind="did", match=given))["removed"] == [{"kind": "did", "match": kept}]
    assert (await house.ask("route.list"))["routes"] == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ann@Example.ORG", "ann@example.org"),
        ("@Example.org", "@example.org"),
        ("user:Ann", "user:Ann"),
        ("cert:Scanner 2, Example", "cert:Scanner 2, Example"),
        ("ip:192.168.1.0/24", "ip:192.168.1.0/24"),
        ("ip:192.168.1.7", "ip:192.168.1.7/32"),
        ("ip:2001:db8::/32", "ip:2001:db8::/32"),
        ("ip:::ffff:192.168.1.0/120", "ip:192.168.1.0/24"),
        ("ip:::ffff:0.0.0.0/96", "ip:0.0.0.0/0"),
        ("*", "*"),
    ],
)
async def test_a_sender_is_kept_in_one_form_however_it_is_written(house: House, given: str, kept: str) -> None:
    route = await _add(
        house, "sender", given, allow=False, tsi="Example Inc. +1-202", region="gb", results_to="log@example.org"
    )
    assert {name: route[name] for name in ("match", "allow", "tsi", "region", "results_to")} == {
        "match": kept,
        "allow": False,
        "tsi": "Example Inc. +1-202",
        "region": "GB",
        "results_to": "log@example.org",
    }
    assert (await house.ask("route.remove", kind="sender", match=given))["removed"][0]["match"] == kept


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ({"kind": "fax", "match": "*"}, "a route is of the kind did or sender"),
        ({"kind": "did"}, "route.add needs match"),
        ({"kind": "did", "match": "*"}, "a did route needs at least one mailbox"),
        ({"kind": "did", "match": "abc", "mailboxes": ["a@b"]}, "abc cannot be faxed to: a number cannot contain 'a'"),
        ({"kind": "did", "match": "*", "mailboxes": ["office"]}, "'office' is not a mail address"),
        ({"kind": "did", "match": "*", "mailboxes": ["a@b c"]}, "'a@b c' is not a mail address"),
        ({"kind": "did", "match": "*", "mailboxes": ["a\nb@c"]}, "'a\\nb@c' is not a mail address"),
        ({"kind": "did", "match": "*", "mailboxes": ["\u200ba@b.c"]}, "'\\u200ba@b.c' is not a mail address"),
        ({"kind": "did", "match": "*", "mailboxes": ["a[b]@b.c"]}, "'a[b]@b.c' is not a mail address"),
        ({"kind": "did", "match": "*", "mailboxes": ["a@b..c"]}, "'a@b..c' is not a mail address"),
        ({"kind": "did", "match": "*", "mailboxes": ["a@b@c"]}, "'a@b@c' is not a mail address"),
        ({"kind": "did", "match": "*", "mailboxes": ["+1202@FAX.example"]}, "+1202@FAX.example is a fax address"),
        (
            {"kind": "did", "match": "*", "mailboxes": ["a@b"], "tsi": "x"},
            "station id, region, results, options, identity",
        ),
        (
            {"kind": "did", "match": "*", "mailboxes": ["a@b"], "allow": False},
            "options, identity, denying, caps and approval",
        ),
        ({"kind": "did", "match": "*", "mailboxes": ["a@b"], "identity": "login"}, "for sender routes"),
        ({"kind": "sender", "match": "*", "identity": "trust"}, "one of any, network, dkim, login, certificate"),
        ({"kind": "sender", "match": "*", "identity": "any"}, "everybody in who can sign a mail"),
        ({"kind": "sender", "match": "ip:10.0.0.0/8", "identity": "dkim"}, "for routes of an address or a @domain"),
        ({"kind": "sender", "match": "user:a@b.example", "identity": "dkim"}, "for routes of an address or a @domain"),
        ({"kind": "sender", "match": "cert:"}, "the name in a certificate"),
        ({"kind": "did", "match": "*", "mailboxes": ["a@b"], "caps": ["day:faxes=1"]}, "are for sender routes"),
        ({"kind": "did", "match": "*", "mailboxes": ["a@b"], "approve_pages": 3}, "are for sender routes"),
        (
            {"kind": "sender", "match": "*", "option": ["cover=blue"]},
            "there is no cover page blue; there are classic, ",
        ),
        ({"kind": "sender", "match": "*", "caps": ["5.00"]}, "'5.00' is no cap; write day:money=5.00"),
        ({"kind": "sender", "match": "*", "approve_pages": -1}, "a number of pages is not negative"),
        ({"kind": "sender", "match": "*", "approve_price": "dear"}, "'dear' is not a price such as 2.50"),
        ({"kind": "sender", "match": "*", "approver": "boss@example.org"}, "an approver needs something to approve"),
        ({"kind": "sender", "match": "*", "mailboxes": ["a@b"]}, "mailboxes are for did routes"),
        (
            {"kind": "sender", "match": "example.org"},
            "'example.org' matches no sender: a sender route is for an address",
        ),
        ({"kind": "sender", "match": ""}, "'' matches no sender"),
        ({"kind": "sender", "match": "a b@c"}, "'a b@c' matches no sender"),
        ({"kind": "sender", "match": "login:ann"}, "'login:ann' matches no sender"),
        ({"kind": "sender", "match": "user:*"}, "user:* matches no sender: a * stands alone, for everybody"),
        ({"kind": "sender", "match": "*@example.org"}, "*@example.org matches no sender: a * stands alone"),
        ({"kind": "sender", "match": "cert:*"}, "cert:* matches no sender: a * stands alone"),
        ({"kind": "sender", "match": "user:"}, "a user name has no blanks and is not empty"),
        ({"kind": "sender", "match": "ip:office"}, "'office' is not a network such as 192.168.1.0/24"),
        (
            {"kind": "sender", "match": "ip:10.0.0.7/8"},
            "10.0.0.7/8 is an address inside a network; did you mean ip:10.0",
        ),
        (
            {"kind": "sender", "match": "ip:fe80::1%eth0"},
            "fe80::1%eth0 is an address inside a network; did you mean ip:fe80::1/128?",
        ),
        ({"kind": "sender", "match": "*", "tsi": "x" * 21}, "a station id has at most 20 letters, digits, blanks"),
        ({"kind": "sender", "match": "*", "tsi": "Müller"}, "a station id has at most 20 letters, digits, blanks"),
        ({"kind": "sender", "match": "*", "region": "XX"}, "'XX' is not a country code such as US or DE"),
        ({"kind": "sender", "match": "*", "results_to": "me"}, "'me' is not a mail address"),
        ({"kind": "sender", "match": "*", "results_to": "1@fax.local"}, "1@fax.local is a fax address"),
        ({"kind": "sender", "match": "*", "note": "a\nb"}, "a note is one line of at most 200 characters"),
        ({"kind": "sender", "match": "*", "alow": False}, "route.add has no argument 'alow'; it has kind, match"),
        ({"kind": "sender", "match": "*", "allow": "no"}, "allow of route.add must be true or false"),
    ],
)
async def test_what_cannot_be_meant_is_refused_and_nothing_is_stored(
    house: House, route: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused) as caught:
        await house.ask("route.add", **route)
    assert words in caught.value.public
    assert (await house.ask("route.list"))["routes"] == []


async def test_removing_what_is_not_there(house: House) -> None:
    with pytest.raises(NotFound, match=r"there is no did route for \+12025550100"):
        await house.ask("route.remove", kind="did", match="2025550100")
    with pytest.raises(NotFound, match=r"there is no sender route for \*"):
        await house.ask("route.remove", kind="sender", match="*")
    with pytest.raises(Refused, match="kind did or sender"):
        await house.ask("route.remove", kind="x", match="*")


async def test_the_test_tells_what_would_be_dialled_and_why(house: House) -> None:
    found = await house.ask("route.test", address="+1 (202) 555-0123", sender="ann@example.org")
    assert found == {
        "address": "+1 (202) 555-0123",
        "sender": "ann@example.org",
        "route": None,
        "number": "+12025550123",
        "options": {},
        "class": "ordinary",
        "country": "US",
        "station_id": "",
        "results_to": "ann@example.org",
        "allowed": True,
        "reason": "no sender route applies, and policy.senders lets any identified client send;"
        " ordinary numbers of the United States (+1) are allowed",
    }
    await _add(house, "sender", "@example.org", region="GB", tsi="ACME", results_to="log@example.org")
    found = await house.ask("route.test", address="020 7946 0018", sender="ann@example.org")
    assert (found["number"], found["country"], found["route"]["match"]) == ("+442079460018", "GB", "@example.org")
    assert (found["station_id"], found["results_to"]) == ("ACME", "log@example.org")
    assert found["reason"].startswith("the route for @example.org lets ann@example.org send; ordinary numbers of the U")
    found = await house.ask("route.test", address="020 7946 0018/ref=4711", sender="ann@example.org")
    assert (found["number"], found["options"]) == ("+442079460018", {"ref": "4711"})
    found = await house.ask("route.test", address="020 7946 0018", sender="ann@example.org")
    by_address = await house.ask("route.test", address="02079460018@fax.example", sender="ann@example.org")
    assert {**by_address, "address": found["address"]} == found


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("+49 30 901820", "faxes to Germany (+49) are not allowed here; ask your administrator to add DE"),
        ("+1 900 234 5678", "faxes to premium numbers"),
        ("12", "12@fax.local cannot be faxed to: 12 is a short number"),
        ("+12025550123@example.com", "relaying denied: example.com is not one of this gateway's domains"),
        ("fax", "fax@fax.local cannot be faxed to: a number cannot contain 'f'"),
        ("+12025550123/cover=blue@fax.local", "there is no cover page blue; there are classic, "),
        ("+12025550123/send-at=+31d@fax.local", "send-at=+31d is too far ahead"),
        ("+12025550123/send-at=2020-01-01T08:00@fax.local", "is in the past"),
    ],
)
async def test_the_test_tells_why_a_number_is_refused(house: House, address: str, words: str) -> None:
    found = await house.ask("route.test", address=address)
    assert found["allowed"] is False
    assert words in found["reason"]


async def test_the_test_knows_of_a_cap_that_is_used_up(house: House) -> None:
    await _add(house, "sender", "*", caps=["day:faxes=1"])
    assert (await house.ask("route.test", address="2025550123"))["allowed"]
    await house.reach(await house.send(), "submitted")
    found = await house.ask("route.test", address="2025550123")
    assert found["allowed"] is False
    assert "senders of the route * may send 1 fax a day, and this is used up until 20" in found["reason"]


@pytest.mark.parametrize("sender", ["scan@fax.local", "ann,bob"])
async def test_the_test_knows_that_results_must_find_the_sender(house: House, sender: str) -> None:
    found = await house.ask("route.test", address="2025550123", sender=sender)
    assert (found["allowed"], "no result can be mailed to" in found["reason"]) == (False, True)
    await _add(house, "sender", "*", results_to="desk@example.org")
    assert (await house.ask("route.test", address="2025550123", sender=sender))["allowed"]


async def test_the_test_knows_that_the_subject_may_name_the_number(house: House) -> None:
    assert not (await house.ask("route.test", address="subject@fax.local"))["allowed"]
    await _add(house, "sender", "*", number_in_subject=True)
    for address in ("subject", "Subject/ref=4711@fax.local"):
        found = await house.ask("route.test", address=address, sender="ann@example.org")
        assert (found["allowed"], "number" in found) == (True, False)
        assert "the subject of the mail is its number" in found["reason"]
    assert found["options"] == {"ref": "4711"}
    await _add(house, "sender", "*", number_in_subject=True, allow=False)
    assert not (await house.ask("route.test", address="subject@fax.local"))["allowed"]


async def test_the_test_takes_no_address_that_no_client_has(house: House) -> None:
    with pytest.raises(Refused, match=r"'300\.1\.1\.1' is no IP address such as 192\.168\.7\.3"):
        await house.ask("route.test", address="2025550123", client="300.1.1.1")


async def test_the_test_of_a_signature_alone_speaks_of_no_client_that_is_there(house: House) -> None:
    found = await house.ask("route.test", address="2025550123", sender="ann@example.org", signed=True)
    assert found["reason"].startswith("a client like this may not send faxes without logging in; ")
    found = await house.ask(
        "route.test", address="2025550123", sender="ann@example.org", signed=True, client="10.1.2.3"
    )
    assert found["allowed"]


async def test_the_test_takes_the_part_of_a_user_or_a_client(house: House) -> None:
    await _add(house, "sender", "user:ann", tsi="ANN")
    await _add(house, "sender", "ip:10.0.0.0/8", allow=False)
    found = await house.ask("route.test", address="2025550123", user="ann", client="10.1.2.3")
    assert (found["allowed"], found["station_id"]) == (True, "ANN")
    assert found["reason"].startswith("the route for user:ann lets ann send")
    found = await house.ask("route.test", address="+49 30 901820", client="10.1.2.3")
    assert found["allowed"] is False
    assert "the route for ip:10.0.0.0/8 denies it" in found["reason"]
    assert "faxes to Germany (+49) are not allowed here" in found["reason"]  # all reasons at once


async def test_the_test_tells_where_a_received_fax_would_go_and_why(house: House) -> None:
    found = await house.ask("route.test", did="202 555 0100")
    assert (found["did"], found["route"], found["mailboxes"]) == ("+12025550100", None, ["admin@example.org"])
    assert "mail.fallback" in found["reason"]
    await _add(house, "did", "*", mailboxes=["all@example.org"])
    found = await house.ask("route.test", did="+12025550100")
    assert (found["mailboxes"], found["reason"]) == (["all@example.org"], "the route for all other numbers says so")
    await _add(house, "did", "+12025550100", mailboxes=["desk@example.org"])
    found = await house.ask("route.test", did="+12025550100")
    assert (found["mailboxes"], found["reason"]) == (["desk@example.org"], "the route for +12025550100 says so")


@pytest.mark.parametrize("given", [{}, {"address": "2025550123", "did": "2025550100"}])
async def test_the_test_needs_one_thing_to_test(house: House, given: dict[str, str]) -> None:
    with pytest.raises(Refused, match="needs an address or a did"):
        await house.ask("route.test", **given)


async def test_what_the_test_says_is_what_the_gateway_does(house: House) -> None:
    await _add(house, "sender", "bad@example.org", allow=False)
    await _add(house, "sender", "@example.net", region="GB", tsi="ACME", results_to="log@example.org")
    for sender, to in (
        ("bad@example.org", "+12025550123"),
        ("ann@example.net", "020 7946 0018"),
        ("ann@example.org", "020 7946 0018"),
        ("ann@example.org", "+4930901820"),
        ("ann@example.org", "(202) 555-0123"),
    ):
        said = await house.ask("route.test", address=to, sender=sender)
        if not said["allowed"]:
            with pytest.raises(Refused):
                await house.send(to, sender=sender)
            continue
        submission = await house.send(to, sender=sender)
        job = await house.reach(submission, "submitted")
        assert (job["to"], house.service.sends[-1]["fax_number"]) == (said["number"], said["number"])
        assert house.service.sends[-1].get("tsi_number", "") == said["station_id"]


@pytest.mark.parametrize(
    ("identity", "who", "allowed"),
    [
        ("network", {}, True),
        ("network", {"user": "ann"}, True),
        ("network", {"signed": True}, False),
        ("any", {"signed": True}, True),
        ("any", {"client": "10.0.0.7"}, True),
        ("dkim", {"signed": True}, True),
        ("dkim", {"client": "10.0.0.7"}, False),
        ("dkim", {"user": "ann"}, True),
        ("login", {"client": "10.0.0.7"}, False),
        ("login", {"user": "ann"}, True),
        ("login", {"certificate": "scanner"}, True),
        ("certificate", {"user": "ann"}, False),
        ("certificate", {"certificate": "scanner"}, True),
    ],
)
async def test_the_proof_a_route_asks_for(house: House, identity: str, who: dict[str, Any], allowed: bool) -> None:
    route = await _add(house, "sender", "ann@example.org", identity=identity)
    assert route["identity"] == identity
    found = await house.ask("route.test", address="+12025550123", sender="ann@example.org", **who)
    assert found["allowed"] is allowed, found["reason"]
    if not allowed:
        assert "log in" in found["reason"] or "certificate" in found["reason"]


async def test_a_route_of_a_certificate(house: House) -> None:
    await _add(house, "sender", "cert:scanner", tsi="Scanner")
    found = await house.ask("route.test", address="+12025550123", sender="a@example.org", certificate="scanner")
    assert found["station_id"] == "Scanner"
    assert "cert:scanner lets a@example.org send" in found["reason"]


async def test_a_route_counts_at_once_and_so_does_its_end(house: House) -> None:
    """The door reads routes once, for as long as nobody changes them."""

    async def allowed() -> bool:
        return bool((await house.ask("route.test", address="+12025550123", sender="ann@example.org"))["allowed"])

    assert await allowed()
    await _add(house, "sender", "ann@example.org", allow=False)
    assert not await allowed()
    await _add(house, "sender", "ann@example.org", allow=True)
    assert await allowed()
    await _add(house, "sender", "ann@example.org", allow=False)
    assert not await allowed()
    await house.ask("route.remove", kind="sender", match="ann@example.org")
    assert await allowed()
