"""The address book: what may be a short name, whom it is for, and where a mail to it goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from admin.conftest import House
from gateway.errors import NotFound, Refused
from gateway.model import Peer

COPIER = Peer(listener="smtp0", address="192.168.7.9", trusted_network=True)
DESK = replace(COPIER, address="127.0.0.1")
SENDER = "scan@example.org"


async def _dialled(house: House, local: str, peer: Peer = DESK) -> str:
    recipient = await house.gateway.accept.check_recipient(peer, SENDER, f"{local}@fax.local")
    return recipient.number.e164


async def test_a_mail_to_a_short_name_goes_to_its_number_at_once_and_no_longer_once_it_is_removed(house: House) -> None:
    (added,) = (await house.ask("alias.add", name=" Reception@FAX.local", number="(202) 555-0123"))["aliases"]
    assert {name: added[name] for name in ("name", "number", "scope", "addressee", "note")} == {
        "name": "reception",
        "number": "+12025550123",
        "scope": "*",
        "addressee": "",
        "note": "",
    }
    assert await _dialled(house, "RECEPTION") == "+12025550123"
    recipient = await house.gateway.accept.check_recipient(DESK, SENDER, "reception/ref=4711@fax.local")
    assert (recipient.address, recipient.options) == ("reception/ref=4711@fax.local", {"ref": "4711"})
    await house.ask("alias.add", name="reception", number="+12025550177", addressee=" Front desk ", note="moved")
    (alias,) = (await house.ask("alias.list"))["aliases"]
    assert (alias["number"], alias["addressee"], alias["note"]) == ("+12025550177", "Front desk", "moved")
    assert await _dialled(house, "reception") == "+12025550177"
    assert (await house.ask("alias.remove", name="Reception"))["removed"] == [{"name": "reception", "scope": "*"}]
    with pytest.raises(Refused, match=r"reception@fax\.local cannot be faxed to"):
        await _dialled(house, "reception")
    with pytest.raises(NotFound, match="there is no short name reception for"):
        await house.ask("alias.remove", name="reception")


async def test_of_one_name_the_number_for_the_most_exact_sender_counts(house: House) -> None:
    await house.ask("alias.add", name="4711", number="+12025550111", scope="ip:192.168.7.0/24")
    with pytest.raises(Refused, match="short number or an extension"):
        await _dialled(house, "4711")
    await house.ask("alias.add", name="4711", number="+12025550122")
    await house.ask("alias.add", name="4711", number="+12025550133", scope="user:ann")
    assert await _dialled(house, "4711") == "+12025550122"
    assert await _dialled(house, "4711", COPIER) == "+12025550111"
    assert await _dialled(house, "4711", replace(COPIER, login="ann")) == "+12025550133"


@pytest.mark.parametrize(
    ("name", "told"), [("recepton", True), ("4712", True), ("5550123", False), ("+1202555", False), ("911", False)]
)
async def test_who_mistypes_a_short_name_hears_that_it_is_none(house: House, name: str, told: bool) -> None:
    with pytest.raises(Refused) as caught:
        await _dialled(house, name)
    assert caught.value.public.endswith(f"; nor is {name} a short name here for you") is told


async def test_the_policy_is_that_of_the_number_behind_it(house: House) -> None:
    await house.ask("alias.add", name="kingston", number="+1 876 555 0123")
    with pytest.raises(Refused, match="faxes to Jamaica"):
        await _dialled(house, "kingston")
    for address in ("kingston@fax.local", "kingston", "Kingston/cover=none"):
        found = await house.ask("route.test", address=address, sender=SENDER)
        assert (found["number"], found["allowed"]) == ("+18765550123", False)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "2025550123",
            "2025550123 looks like a number that can be dialled; a short name without letters has at most 6",
        ),
        ("5550123", "looks like a number"),
        ("47-11", "looks like a number"),
        ("911", "911 is an emergency number where the region is US"),
        ("201234", "201234 is a number where the region is FO"),
        ("postmaster", "means something else"),
        ("subject", "means something else"),
        ("imceafax-x", "means something else"),
        ("+4711", "is no short name"),
        ("fax=4711", "is no short name"),
        ("a b", "is no short name"),
        ("a/b", "is no short name"),
        ("", "is no short name"),
        ("x" * 65, "is no short name"),
        ("reception@example.org", "is no short name"),
        ("\u0664\u0667", "is no short name"),
    ],
)
async def test_what_could_be_a_number_or_mean_something_else_is_no_name(house: House, name: str, words: str) -> None:
    await house.ask("route.add", kind="sender", match="user:bo", region="FO")
    with pytest.raises(Refused) as caught:
        await house.ask("alias.add", name=name, number="+12025550123")
    assert words in caught.value.public
    assert (await house.ask("alias.list"))["aliases"] == []


async def test_a_name_that_has_become_a_number_is_refused_and_not_guessed_at(house: House) -> None:
    await house.ask("alias.add", name="201234", number="+12025550123")
    assert await _dialled(house, "201234") == "+12025550123"
    await house.ask("route.add", kind="sender", match="*", region="FO")
    with pytest.raises(Refused, match=r"201234 is a short name for \+12025550123 here and a number too"):
        await _dialled(house, "201234")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"number": "sales"}, "sales cannot be faxed to"),
        ({"number": "+12025550123", "scope": "anybody"}, "matches no sender"),
        ({"number": "+12025550123", "note": "a\nb"}, "a note is one line"),
    ],
)
async def test_the_rest_is_checked_too(house: House, more: dict[str, str], words: str) -> None:
    with pytest.raises(Refused) as caught:
        await house.ask("alias.add", name="reception", **more)
    assert words in caught.value.public
