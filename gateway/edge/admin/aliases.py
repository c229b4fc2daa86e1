"""The address book: short names for numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from gateway import numbers
from gateway.edge.admin import shown, words
from gateway.errors import NotFound, Refused
from gateway.model import Alias, RouteKind
from gateway.service.accept import AcceptSettings
from gateway.service.addressing import SUBJECT
from gateway.store import aliases, routes
from gateway.store.db import Database

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_RESERVED = ("postmaster", "imcea")  # how names begin that mean something else
_LONGEST = 6  # digits: with seven it could be a number with its country code


class Aliases:
    def __init__(self, database: Database, settings: AcceptSettings, clock: Callable[[], float]) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    async def listing(self) -> dict[str, Any]:
        found = await self._database.read(aliases.listing)
        return {"aliases": [shown.alias(alias) for alias in found]}

    async def add(
        self, name: str, number: str, scope: str = "*", addressee: str = "", note: str = ""
    ) -> dict[str, Any]:
        """Add a name, or replace the one with the same scope. Raises Refused for what could be taken for a number."""
        alias = Alias(
            await self._name(name),
            numbers.parse_number(number, region=self._settings.region),
            words.new_sender_match(scope),
            words.line(addressee.strip(), "a name for cover pages"),
            words.line(note, "a note"),
            self._clock(),
        )
        await self._database.write(lambda tx: aliases.put(tx, alias))
        return {"aliases": [shown.alias(alias)]}

    async def _name(self, text: str) -> str:
        name = text.strip().lower()
        for domain in self._settings.domains:
            name = name.removesuffix(f"@{domain.lower()}")
        if name.startswith(_RESERVED) or name == SUBJECT:
            raise Refused(f"{text!a} means something else in an address; take another short name")
        if not _NAME.fullmatch(name):
            raise Refused(f"{text!a} is no short name: it has letters, digits and . - _, like reception or 4711")
        if re.search("[a-z]", name):
            return name
        if not name.isdigit() or len(name) > _LONGEST:
            raise Refused(
                f"{name} looks like a number that can be dialled; a short name without letters has at most {_LONGEST} digits"
            )
        known = await self._database.read(lambda tx: routes.listing(tx, RouteKind.SENDER))
        for region in sorted({self._settings.region, *(route.region for route in known if route.region)}):
            meaning = numbers.meaning(name, region)
            if meaning:
                raise Refused(f"{name} is {meaning} where the region is {region}; take another short name")
        return name

    async def remove(self, name: str, scope: str = "*") -> dict[str, Any]:
        """Raises NotFound."""
        known, of = name.strip().lower().partition("@")[0], words.sender_match(scope)
        if not await self._database.write(lambda tx: aliases.remove(tx, known, of)):
            raise NotFound(f"there is no short name {known} for {of}; faxgateway alias list shows those that are")
        return {"removed": [{"name": known, "scope": of}]}
