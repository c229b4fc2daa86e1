"""Crowds of strangers, told apart by a proxy: whoever has proven who he is gets in, and stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from smtp_harness import LOCAL, Client, Doors, Stub

from gateway.edge.smtp_settings import ListenerSettings
from gateway.errors import TryLater

FRONT = ListenerSettings(
    "front", "127.0.0.1:0", networks=("192.0.2.0/24",), proxies=LOCAL, auth="optional", clear_auth=True
)
KNOWN = "192.0.2.7"
MAIL = b"Subject: x\r\n\r\nx"

Come = Callable[[str, str], Awaitable[tuple[Client, str]]]


@pytest.fixture
async def come() -> AsyncIterator[Come]:
    """Connects from an address; the client and how it is greeted."""
    async with AsyncExitStack() as leave:

        async def come(door: str, source: str) -> tuple[Client, str]:
            client = await Client.connect(door)
            leave.callback(client.cut)
            await client.send(f"PROXY TCP{6 if ':' in source else 4} {source} {source} 4711 25\r\n".encode())
            return client, str(await client.reply())

        yield come


async def test_strangers_however_quick_keep_nobody_out_who_is_known(doors: Doors, stub: Stub, come: Come) -> None:
    (door,) = await doors.open(stub, FRONT, max_connections=2)
    assert [(await come(door, f"198.51.100.{n}"))[1][:3] for n in (1, 2)] == ["220", "220"]
    assert (await come(door, "198.51.100.3"))[1] == "421 4.3.2 too many connections; try again later"
    known, greeting = await come(door, KNOWN)
    assert greeting.startswith("220")
    assert (await known.mail(MAIL)).code == 250


async def test_strangers_of_few_addresses_share_with_who_comes_from_another(
    doors: Doors, stub: Stub, come: Come
) -> None:
    (door,) = await doors.open(stub, FRONT, max_connections=8)
    flood = [await come(door, f"198.51.100.{n % 2}") for n in range(6)]
    assert all(greeting.startswith("220") for _, greeting in flood)
    assert (await come(door, "198.51.100.1"))[1].startswith("421")
    user, greeting = await come(door, "203.0.113.5")
    assert greeting.startswith("220")
    assert await user.asks("AUTH LOGIN Y29waWVy", "c2VjcmV0") == [334, 235]
    sent_away = [each for each, _ in flood if (await each.send(b"NOOP\r\n")) or (await each.reply()).code == 421]
    assert len(sent_away) == 1


@pytest.mark.parametrize("proof", ["network", "login"])
async def test_strangers_throw_nobody_out_who_is_known_and_pauses(
    doors: Doors, stub: Stub, come: Come, monkeypatch: pytest.MonkeyPatch, proof: str
) -> None:
    monkeypatch.setattr("gateway.edge.smtp_clients._SLOW", 0.1)
    (door,) = await doors.open(stub, FRONT, max_connections=2)
    known, _ = await come(door, KNOWN if proof == "network" else "198.51.100.9")
    if proof == "login":
        assert await known.asks("AUTH LOGIN Y29waWVy", "c2VjcmV0") == [334, 235]
    await asyncio.sleep(0.3)
    for n in (1, 2, 3):  # each takes the place of the one before
        assert (await come(door, f"198.51.100.{n}"))[1].startswith("220")
        await asyncio.sleep(0.2)
    assert (await known.mail(MAIL)).code == 250


@pytest.mark.parametrize("known", [KNOWN, "198.51.100.9"])
async def test_guessers_whose_guesses_wait_their_turn_do_not_take_every_place(
    doors: Doors, stub: Stub, come: Come, known: str
) -> None:
    """While it is our turn nobody can be sent away."""
    (door,) = await doors.open(stub, FRONT, max_connections=4)
    stub.verifying.clear()
    stub.familiar = {"198.51.100.9"}
    for n in (1, 2, 3):
        guesser, _ = await come(door, f"198.51.100.{n}")
        assert (await guesser.ask("AUTH LOGIN Y29waWVy")).code == 334
        await guesser.send(b"Z3Vlc3M=\r\n")
    assert (await come(door, "198.51.100.4"))[1].startswith("421 4.3.2")
    assert (await come(door, known))[1].startswith("220")
    stub.verifying.set()


async def test_a_store_in_trouble_makes_strangers_of_all_who_have_to_log_in(
    doors: Doors, stub: Stub, come: Come
) -> None:
    (door,) = await doors.open(stub, FRONT, max_connections=1)
    stub.fail["is_familiar"] = TryLater("no disk")
    assert (await come(door, "198.51.100.1"))[1].startswith("220")
    assert (await come(door, "198.51.100.2"))[1].startswith("421 4.3.2")


async def test_a_network_of_ipv6_is_one_client_but_where_its_addresses_are_known(
    doors: Doors, stub: Stub, come: Come
) -> None:
    """Who has one address of IPv6 has 2**64 of them."""
    (door,) = await doors.open(stub, replace(FRONT, networks=("2001:db8:1::/48",)), max_connections_per_client=1)
    for source, code in [
        ("2001:db8:1::1", 220),
        ("2001:db8:1::2", 220),
        ("2001:db8:2::1", 220),
        ("2001:db8:2::2", 421),
        ("2001:db8:2:1::1", 220),
    ]:
        assert (await come(door, source))[1].startswith(str(code)), source
