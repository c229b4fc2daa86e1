"""Logins: argon2id in the database, nothing readable, no surprise."""

from __future__ import annotations

import asyncio
from pathlib import Path

import argon2
import pytest

from admin.conftest import House
from gateway.errors import NotFound, Refused
from gateway.model import Peer
from gateway.store import users

PEER = Peer(listener="smtp0", address="127.0.0.1")


async def test_a_user_logs_in_with_the_password_given_and_no_other(house: House, tmp_path: Path) -> None:
    await house.ask("user.add", name="ann", password="correct horse")
    assert await house.gateway.accept.authenticate(PEER, "ann", "correct horse")
    assert not await house.gateway.accept.authenticate(PEER, "ann", "correct hors")
    stored = await house.gateway.database.read(lambda tx: users.password_hash(tx, "ann"))
    assert stored is not None
    assert argon2.extract_parameters(stored).type is argon2.Type.ID
    (listed,) = (await house.ask("user.list"))["users"]
    assert (listed["name"], sorted(listed)) == ("ann", ["created_at", "name"])
    for file in (tmp_path / "state").glob("faxgateway.db*"):
        assert b"correct horse" not in file.read_bytes()


async def test_a_new_password_replaces_the_old_one(house: House) -> None:
    await house.ask("user.add", name="ann", password="correct horse")
    await house.ask("user.passwd", name="ann", password="battery staple")
    assert not await house.gateway.accept.authenticate(PEER, "ann", "correct horse")
    assert await house.gateway.accept.authenticate(PEER, "ann", "battery staple")


async def test_a_removed_user_is_gone(house: House) -> None:
    await house.ask("user.add", name="ann", password="correct horse")
    assert (await house.ask("user.remove", name="ann"))["removed"] == [{"name": "ann"}]
    assert not await house.gateway.accept.authenticate(PEER, "ann", "correct horse")
    assert (await house.ask("user.list"))["users"] == []
    for operation, given in (("user.remove", {}), ("user.passwd", {"password": "correct horse"})):
        with pytest.raises(NotFound, match="there is no user ann"):
            await house.ask(operation, name="ann", **given)


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("", "correct horse", "a user name has no blanks and is not empty"),
        ("ann lee", "correct horse", "a user name has no blanks and is not empty"),
        ("ann\0", "correct horse", "a user name has no blanks and is not empty"),
        ("ann", "short", "a password has 8 to 1000 characters"),
        ("ann", "x" * 1001, "a password has 8 to 1000 characters"),
        ("ann", "correct \udc80 horse", "password of user.add must be a text"),
    ],
)
async def test_bad_names_and_passwords_are_refused(house: House, name: str, password: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        await house.ask("user.add", name=name, password=password)
    assert caught.value.public == words
    assert (await house.ask("user.list"))["users"] == []


async def test_a_name_is_one_user_however_it_is_typed(house: House) -> None:
    composed, decomposed, wide = "Ren\u00e9", "Rene\u0301", "\uff32en\u00e9"
    await house.ask("user.add", name=decomposed, password="Stra\u00dfe \u00fcber")
    for typed in (composed, decomposed, wide):
        known = await house.gateway.accept.authenticate(PEER, typed, "Stra\u00dfe u\u0308ber")
        assert known is not None
        assert known.login == composed
        with pytest.raises(Refused, match="is there already"):
            await house.ask("user.add", name=typed, password="correct horse")
    await house.ask("route.add", kind="sender", match=f"user:{decomposed}", allow=False)
    tested = await house.ask("route.test", address="+12025550123", sender="a@example.org", user=wide)
    assert not tested["allowed"]
    assert (await house.ask("user.passwd", name=wide, password="correct\u00a0horse"))["users"] == [{"name": composed}]
    assert await house.gateway.accept.authenticate(PEER, composed, "correct horse")
    assert (await house.ask("user.remove", name=decomposed))["removed"] == [{"name": composed}]


async def test_two_who_add_the_same_user_at_once_do_not_share_it(house: House) -> None:
    both = await asyncio.gather(
        house.ask("user.add", name="ann", password="correct horse"),
        house.ask("user.add", name="ann", password="battery staple"),
        return_exceptions=True,
    )
    refused = [each for each in both if isinstance(each, Refused)]
    assert len(refused) == 1
    assert "faxgateway user passwd ann" in refused[0].public
    good = [await house.gateway.accept.authenticate(PEER, "ann", word) for word in ("correct horse", "battery staple")]
    assert sorted(map(bool, good)) == [False, True]
