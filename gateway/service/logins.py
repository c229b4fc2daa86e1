"""Logins: a password is verified off the event loop, and guessing is slow while the rightful user still gets in.

What costs a guesser is not connections but verifications. Failed ones are counted for each address in a sliding window,
on disk, so that a restart gives nobody new guesses. An address where a login was good before is known for it: part of
the address's guesses is kept for such logins, and nothing that happens elsewhere counts against them. When a login is
guessed at from many addresses, each strange address has few guesses for it, but the first of them is always verified.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import argon2

from gateway import policy, precis, telemetry
from gateway.errors import LoginEnded, TryLater
from gateway.model import Peer
from gateway.store import logins, users
from gateway.store.db import Database, Tx

_DUMMY_HASH = (  # of a random password: an unknown login costs as long as a known one
    "$argon2id$v=19$m=65536,t=3,p=4$IRKDxOxuV7kUcSgAEGOPqw$TrkWxLgDb0R0tDEO5lxa4WwfsKXqXuXMQVeX9LBdNvk"
)
_DAY = 86_400.0
_KNOWN_FOR = 90 * _DAY
_UNDER_ATTACK = 2  # guesses of a strange address for a login that is guessed at from many
_REMEMBERED = 10_000  # verdicts


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """``window`` is in seconds; the other two are failed verifications within it."""

    per_address: int = 20
    per_user: int = 50
    window: float = 3600.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is on record when somebody tries a login at an address."""

    name: str  # of the login, as it is on record
    who: str  # as whom failures count
    password_hash: str | None
    known_at: float | None  # when the login was good there
    here: list[float]  # when any login failed at the address, the first first
    of_login: list[float]  # and this one
    elsewhere: int  # failures of this login at all other addresses


class Logins:
    """Whether a login's password is right."""

    def __init__(
        self, database: Database, settings: LoginSettings | None = None, *, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._settings = settings or LoginSettings()
        self._clock = clock
        self._hasher = argon2.PasswordHasher()
        self._key = os.urandom(32)
        self._verdicts: OrderedDict[str, bool] = OrderedDict()
        self._familiar: set[str] = set()  # addresses where a login was good
        self._are_read = False
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # one verification at a time, of 64 MiB each, for those that are known and one for strangers: they never wait
        # for each other
        self._known, self._strange = asyncio.Semaphore(1), asyncio.Semaphore(1)

    async def authenticate(self, peer: Peer, login: str, password: str) -> Peer | None:
        """The client as this login, if this is its password. Raises TryLater when there were too many wrong ones."""
        address = policy.place_of(peer.address)
        turn = self._turns.setdefault(address, asyncio.Lock())
        async with turn:  # one after the other: the count is right before the next is let on
            now = self._clock()
            facts = await self._database.read(lambda tx: self._facts(tx, login, address, now))
            guess = self._digest(address, facts.name, password, facts.password_hash or "")
            good = self._verdicts.get(guess)
            if good is False:  # a device with an old password tries it all day long: nothing is learned by it
                telemetry.login("repeated", client=peer.address)
                return None
            wait = self._wait(facts, now)
            if wait:
                telemetry.login("throttled", client=peer.address)
                minutes = math.ceil(wait / 60)
                raise TryLater(
                    f"too many wrong passwords; try again in {minutes} minute{'s' * (minutes != 1)}", status="4.7.0"
                )
            if good is None:
                good = await self._judge(facts, password)
                self._remember(guess, good=good)
            if good:
                telemetry.login("good", client=peer.address)
                self._familiar.add(address)
                if facts.known_at is None or now - facts.known_at > _DAY:
                    await self._database.write(lambda tx: logins.succeeded(tx, facts.name, address, now))
                return replace(peer, login=facts.name, login_proof=self._digest(facts.password_hash or ""))
            telemetry.login("wrong", client=peer.address)  # without the name: people type passwords where names belong
            await self._database.write(lambda tx: logins.failed(tx, facts.who, address, now))
            return None

    async def check(self, peer: Peer) -> None:
        """Raise LoginEnded where the login of a client is no more what it was: a session may last for days."""
        login = peer.login
        if not login or not peer.login_proof:
            return
        stored = await self._database.read(lambda tx: users.password_hash(tx, login))
        if stored is None or self._digest(stored) != peer.login_proof:
            raise LoginEnded("this login has ended or has a new password: log in again")

    async def is_familiar(self, peer: Peer) -> bool:
        """Whether any login was good at its address before."""
        if not self._are_read:
            since = self._clock() - _KNOWN_FOR
            self._familiar |= await self._database.read(lambda tx: logins.familiar(tx, since))
            self._are_read = True
        return policy.place_of(peer.address) in self._familiar

    async def purge(self) -> None:
        """Forget what no longer counts; to be asked when the clock is believed."""
        now, window = self._clock(), self._settings.window
        await self._database.write(
            lambda tx: logins.forget(
                tx, failures_before=now - window, failures_after=now + window, successes_before=now - _KNOWN_FOR
            )
        )

    def _facts(self, tx: Tx, login: str, address: str, now: float) -> Facts:
        since = now - self._settings.window
        name = users.named(tx, login) or precis.name(login)
        password_hash = users.password_hash(tx, name)
        # a user's name is on record anyhow; what is none may be a password, so its digest dies with the process
        who = self._digest(name) if password_hash is None else f"user:{name}"
        known_at = logins.last_success(tx, name, address)
        failures = logins.failures(tx, address, since)
        return Facts(
            name=name,
            who=who,
            password_hash=password_hash,
            known_at=known_at if known_at is not None and now - known_at < _KNOWN_FOR else None,
            here=[at for at, _ in failures],
            of_login=[at for at, login_ in failures if login_ == who],
            elsewhere=logins.failures_elsewhere(tx, who, address, since),
        )

    def _wait(self, facts: Facts, now: float) -> float:
        """Seconds until the next guess is verified, 0.0 for now."""
        most = self._settings.per_address
        if facts.known_at is None:
            most -= most // 4  # kept for those whose address this is
        attacked = facts.known_at is None and facts.elsewhere >= self._settings.per_user
        limits = [(facts.here, most)] + [(facts.of_login, _UNDER_ATTACK)] * attacked
        in_the_way = [failures[-few] for failures, few in limits if len(failures) >= few]  # until it counts no more
        return max(1.0, max(in_the_way) + self._settings.window - now) if in_the_way else 0.0

    async def _judge(self, facts: Facts, password: str) -> bool:
        """Whether it is the password. It takes a third of a second, so a mail server that logs in for each mail has it once."""
        async with self._strange if facts.known_at is None else self._known:
            good = await asyncio.to_thread(self._verify, facts.password_hash or _DUMMY_HASH, password)
        return good and facts.password_hash is not None

    def _verify(self, stored: str, password: str) -> bool:
        # older hashes are of what was typed
        return any(self._is_of(stored, form) for form in dict.fromkeys((precis.password(password), password)))

    def _is_of(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHash):
            return False

    def _digest(self, *texts: str) -> str:
        packed = "\0".join(texts).encode("utf-8", "surrogatepass")
        return hmac.new(self._key, packed, hashlib.sha256).hexdigest()

    def _remember(self, guess: str, *, good: bool) -> None:
        self._verdicts[guess] = good
        if len(self._verdicts) > _REMEMBERED:
            self._verdicts.popitem(last=False)
