"""Guessing passwords is slow, on disk and in parallel, and the rightful user still gets in."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path

import argon2
import pytest
from structlog.testing import capture_logs

from gateway.errors import TryLater
from gateway.model import Peer
from gateway.service.logins import Logins, LoginSettings
from gateway.store import logins as store
from gateway.store import users

from .house import House

DOCS = Path(__file__).parents[2] / "docs" / "senders.md"
THIEF = Peer(listener="mail", address="203.0.113.66", tls="TLSv1.3")
ANN = replace(THIEF, address="198.51.100.7")
SECRET = "open sesame"


class Counted(Logins):
    """Counts what is really verified."""

    def __init__(self, *given: object, **more: object) -> None:
        super().__init__(*given, **more)  # type: ignore[arg-type]
        self.verified = 0

    def _verify(self, stored: str, password: str) -> bool:
        self.verified += 1
        return stored.startswith("$") and password == SECRET and stored != "$argon2id$dummy"


async def _door(house: House, **settings: float) -> Counted:
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(SECRET)
    for name in ("ann", "bob"):
        await house.database.write(lambda tx, name=name: users.put(tx, name, hashed, 0.0))
    return Counted(house.database, LoginSettings(**settings), clock=house.clock)  # type: ignore[arg-type]


async def _tries(door: Logins, peer: Peer, login: str, password: str) -> str:
    try:
        return "in" if await door.authenticate(peer, login, password) else "wrong"
    except TryLater as error:
        return "later" if error.status == "4.7.0" else repr(error)


async def test_many_guesses_of_one_address_cost_few_verifications_an_hour(house: House) -> None:
    door = await _door(house)
    answers = await asyncio.gather(*(_tries(door, THIEF, "ann", f"guess {n}") for n in range(1000)))
    assert answers.count("wrong") == door.verified == 15  # five of the twenty are kept for those who belong there
    assert answers.count("later") == 985
    assert await _tries(door, ANN, "ann", SECRET) == "in"
    for other in ("bob", "nobody", ""):  # other names are no way around it
        assert await _tries(door, THIEF, other, "guess") == "later"
    house.now += 3601
    answers = [await _tries(door, THIEF, "bob", f"later {n}") for n in range(30)]
    assert answers.count("wrong") == 15


@pytest.mark.parametrize("attacked", [False, True])
async def test_a_time_that_is_named_is_one_at_which_a_guess_is_verified(house: House, attacked: bool) -> None:
    """Of an office's twenty, some are those of users who are known there; of a login under attack two are at an address."""
    door = await _door(house, per_user=2 if attacked else 50)
    assert await _tries(door, ANN, "ann", SECRET) == "in"
    for n in range(13 if attacked else 18):  # some minutes apart
        await _tries(door, ANN, "ann", f"guess {n}")
        house.now += 130
    if attacked:
        for n in range(2):
            await _tries(door, replace(THIEF, address=f"203.0.113.{n}"), "bob", "guess")
            await _tries(door, ANN, "bob", f"guess {n}")
    with pytest.raises(TryLater) as caught:
        await door.authenticate(ANN, "bob", "another guess")
    minutes = re.search(r"try again in (\d+) minutes?$", caught.value.public)
    assert minutes
    house.now += 60 * int(minutes[1])
    assert await _tries(door, ANN, "bob", "another guess") == "wrong"


async def test_the_users_of_an_address_that_is_guessed_from_still_log_in_there(house: House) -> None:
    """An office behind one address, and a machine in it that guesses."""
    door = await _door(house)
    assert await _tries(door, ANN, "ann", SECRET) == "in"
    for n in range(30):
        await _tries(door, ANN, "bob", f"guess {n}")
    assert await _tries(door, ANN, "bob", "another") == "later"
    assert await _tries(door, ANN, "ann", SECRET) == "in"
    before = door.verified
    for n in range(30):  # and not even with her name are there more than twenty
        await _tries(door, ANN, "ann", f"guess {n}")
    assert door.verified - before == 5
    assert await _tries(door, replace(ANN, address="192.0.2.1"), "ann", SECRET) == "in"


async def test_a_restart_gives_nobody_new_guesses(house: House) -> None:
    door = await _door(house)
    for n in range(20):
        await _tries(door, THIEF, "ann", f"guess {n}")
    again = await _door(house)
    assert await _tries(again, THIEF, "ann", "guess 21") == "later"
    assert again.verified == 0


async def test_nor_to_those_who_guess_from_many_addresses(house: House) -> None:
    door = await _door(house, per_user=30)
    for n in range(60):
        await _tries(door, replace(THIEF, address=f"203.0.113.{n % 4}"), "ann", f"guess {n}")
    again = await _door(house, per_user=30)
    answers = [await _tries(again, replace(THIEF, address="192.0.2.1"), "ann", f"guess {n}") for n in range(10)]
    assert answers.count("wrong") == again.verified == 2


async def test_a_login_guessed_at_from_everywhere_stays_open_for_its_user(house: House) -> None:
    door = await _door(house, per_user=50)
    assert await _tries(door, ANN, "ann", SECRET) == "in"
    thieves = [replace(THIEF, address=f"203.0.113.{n}") for n in range(100)]
    for thief in thieves:
        for n in range(15):
            await _tries(door, thief, "ann", f"guess {n} of {thief.address}")
    assert 50 + 2 * 95 < door.verified < 50 + 2 * 100 + 15
    hotel = replace(ANN, address="192.0.2.9")
    for n in range(2):
        assert await _tries(door, ANN, "ann", f"slip {n}") == await _tries(door, hotel, "bob", f"{n}") == "wrong"
    at_home = await _tries(door, ANN, "ann", SECRET)
    on_a_journey = await _tries(door, hotel, "ann", SECRET)
    assert (at_home, on_a_journey) == ("in", "in")


async def test_who_logs_in_for_each_mail_is_verified_once_at_an_address(house: House) -> None:
    door = await _door(house)
    for _ in range(50):
        assert await _tries(door, ANN, "ann", SECRET) == "in"
    assert door.verified == 1
    assert await _tries(door, THIEF, "ann", SECRET) == "in"
    assert door.verified == 2
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("another")
    await house.database.write(lambda tx: users.put(tx, "ann", hashed, 0.0))
    await _tries(door, ANN, "ann", SECRET)
    assert door.verified == 3
    for n in range(20):  # and what is known does not tell a guesser more than he may know
        await _tries(door, ANN, "ann", f"guess {n}")
    assert await _tries(door, ANN, "ann", SECRET) == "later"


async def test_a_login_on_record_as_it_was_typed_once_stays_good(house: House) -> None:
    typed, composed = ("Rene\u0301", "pass\u00f6rd o\u0308"), ("Ren\u00e9", "pass\u00f6rd \u00f6")
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(typed[1])
    await house.database.write(lambda tx: users.put(tx, typed[0], hashed, 0.0))
    door = Logins(house.database, clock=house.clock)
    known = await door.authenticate(ANN, *typed)
    assert known is not None
    assert known.login == typed[0]
    assert await door.authenticate(ANN, typed[0], composed[1]) is None


async def test_a_device_with_an_old_password_locks_nobody_out(house: House) -> None:
    door = await _door(house)
    for _ in range(100):
        assert await _tries(door, ANN, "ann", "last year's") == "wrong"
    assert door.verified == 1
    assert await _tries(door, ANN, "ann", SECRET) == "in"


async def test_a_new_password_may_be_one_that_was_wrong(house: House) -> None:
    door = await _door(house)
    assert await _tries(door, ANN, "carol", SECRET) == "wrong"
    hashed = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(SECRET)
    await house.database.write(lambda tx: users.put(tx, "carol", hashed, 0.0))
    assert await _tries(door, ANN, "carol", SECRET) == "in"


async def test_an_ipv6_client_has_a_whole_network_and_counts_once(house: House) -> None:
    door = await _door(house)
    answers = [await _tries(door, replace(THIEF, address=f"2001:db8::{n:x}"), "ann", f"{n}") for n in range(1, 40)]
    assert answers.count("wrong") == 15
    assert await _tries(door, replace(THIEF, address="2001:db8:0:1::1"), "ann", SECRET) == "in"
    assert await _tries(door, replace(THIEF, address="local"), "ann", SECRET) == "in"


async def test_wrong_passwords_are_remembered_within_bounds(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.service.logins._REMEMBERED", 3)
    door = await _door(house, per_address=1000)
    for n in range(5):
        await _tries(door, ANN, "ann", f"guess {n}")
    assert len(door._verdicts) == 3
    assert len(door._turns) == 0


async def test_what_no_longer_counts_is_forgotten(house: House) -> None:
    door = await _door(house)
    await _tries(door, ANN, "ann", SECRET)
    await _tries(door, THIEF, "ann", "guess")
    house.now += 3601
    await door.purge()

    async def rows() -> list[int]:
        def count(tx: object) -> list[int]:
            return [tx.execute(f"SELECT count(*) FROM login_{each}").fetchone()[0] for each in ("failure", "success")]  # type: ignore[attr-defined]

        return await house.database.read(count)

    assert await rows() == [0, 1]
    house.now += 91 * 86400
    for n in range(30):
        await _tries(door, ANN, "ann", f"guess {n}")
    assert door.verified == 2 + 15  # as many as of a stranger
    await door.purge()
    assert await rows() == [15, 0]


async def test_nobody_is_shut_out_for_the_years_that_a_clock_was_ahead(house: House) -> None:
    door = await _door(house)
    house.now += 5 * 365 * 86400
    for n in range(20):
        await _tries(door, ANN, "ann", f"guess {n}")
    house.now -= 5 * 365 * 86400
    assert await _tries(door, ANN, "ann", SECRET) == "later"
    await door.purge()  # once the clock is believed
    assert await _tries(door, ANN, "ann", SECRET) == "in"


async def test_a_new_password_makes_every_address_strange(house: House) -> None:
    door = await _door(house)
    await _tries(door, ANN, "ann", SECRET)
    await house.database.write(lambda tx: store.forget_login(tx, "ann"))
    for n in range(30):
        await _tries(door, ANN, "ann", f"guess {n}")
    assert door.verified == 1 + 15


async def test_the_database_holds_no_word_that_was_typed(house: House) -> None:
    door = await _door(house)
    await _tries(door, THIEF, "my-password-in-the-wrong-field", "guess")
    stored = (house.root / "faxgateway.db").read_bytes() + (house.root / "faxgateway.db-wal").read_bytes()
    assert b"my-password" not in stored


async def test_fail2ban_finds_who_guesses(house: House) -> None:
    """The expression in the documentation matches the line that is really logged, for each way to fail."""
    (expression,) = re.findall(r"^failregex = (.*)$", DOCS.read_text(), re.MULTILINE)
    door = await _door(house, per_address=2)
    with capture_logs() as logs:
        for guess in ("a", "a", "b", "c"):
            await _tries(door, THIEF, "ann", guess)
        await _tries(door, ANN, "ann", SECRET)
    assert [line.get("why") for line in logs] == ["wrong", "repeated", "wrong", "throttled"]
    for line in logs:
        text = f"{line['event']} " + " ".join(f"{k}={v}" for k, v in line.items() if k not in ("event", "log_level"))
        found = re.search(expression.replace("<HOST>", r"(?P<host>\S+)"), text)
        assert found
        assert found["host"] == THIEF.address


async def test_where_somebody_logged_in_is_familiar_also_after_a_restart(house: House) -> None:
    neighbour = replace(ANN, address="2001:db8::2")
    door = await _door(house)
    assert await _tries(door, ANN, "ann", SECRET) == "in"
    assert await _tries(door, THIEF, "ann", "guess") == "wrong"
    for again in (door, Logins(house.database, clock=house.clock)):
        assert await again.is_familiar(replace(ANN, port=4711))
        assert not await again.is_familiar(THIEF)
        assert not await again.is_familiar(neighbour)
    assert await _tries(door, replace(ANN, address="2001:db8::1"), "ann", SECRET) == "in"
    assert await door.is_familiar(neighbour)  # the same /64
    house.now += 60 * 86400
    assert await _tries(door, ANN, "ann", SECRET) == "in"
    house.now += 60 * 86400
    assert await Logins(house.database, clock=house.clock).is_familiar(ANN)
    house.now += 31 * 86400
    assert not await Logins(house.database, clock=house.clock).is_familiar(ANN)
