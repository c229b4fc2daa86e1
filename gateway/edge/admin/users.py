"""Logins of the SMTP door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import argon2

from gateway import precis
from gateway.edge.admin import shown, words
from gateway.errors import NotFound, Refused
from gateway.store import logins, users
from gateway.store.db import Database, Tx

_SHORTEST, _LONGEST = 8, 1000  # characters of a password


class Users:
    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    async def listing(self) -> dict[str, Any]:
        found = await self._database.read(users.listing)
        return {"users": [{"name": user.name, "created_at": shown.iso(user.created_at)} for user in found]}

    async def add(self, name: str, password: str) -> dict[str, Any]:
        """Raises Refused for a name that is taken or none, or a bad password."""
        return await self._set_password(words.login(name), password, new=True)

    async def passwd(self, name: str, password: str) -> dict[str, Any]:
        """Raises NotFound, or Refused for a bad password."""
        return await self._set_password(await self._database.read(lambda tx: _known(tx, name)), password, new=False)

    async def _set_password(self, name: str, password: str, *, new: bool) -> dict[str, Any]:
        if new:
            await self._database.read(lambda tx: _check_new(tx, name))
        if not _SHORTEST <= len(password) <= _LONGEST:
            raise Refused(f"a password has {_SHORTEST} to {_LONGEST} characters")
        hashed = await asyncio.to_thread(argon2.PasswordHasher().hash, precis.password(password))
        now = self._clock()

        def commit(tx: Tx) -> None:
            (_check_new if new else _known)(tx, name)  # hashing takes a while
            users.put(tx, name, hashed, now)
            logins.forget_login(tx, name)

        await self._database.write(commit)
        return {"users": [{"name": name}]}

    async def remove(self, name: str) -> dict[str, Any]:
        """Raises NotFound."""

        def commit(tx: Tx) -> str:
            known = _known(tx, name)
            logins.forget_login(tx, known)
            users.remove(tx, known)
            return known

        return {"removed": [{"name": await self._database.write(commit)}]}


def _known(tx: Tx, name: str) -> str:
    """The login that a name means. Raises NotFound."""
    known = users.named(tx, name)
    if known is None:
        raise NotFound(f"there is no user {name}")
    return known


def _check_new(tx: Tx, name: str) -> None:
    """Raises Refused."""
    if users.named(tx, name) is not None:
        raise Refused(f"the user {name} is there already; change its password with: faxgateway user passwd {name}")
