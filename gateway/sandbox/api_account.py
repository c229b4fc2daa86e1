"""The account: users, credit, numbers, and where numbers can be had (Fax.to API reference, "account", "catalogue")."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from gateway.sandbox import catalogue
from gateway.sandbox.answers import Answer, Failure, day, success
from gateway.sandbox.api import Ask, Route
from gateway.sandbox.listing import meta
from gateway.sandbox.store import Row, Store, money

_YEAR = 365 * 86_400.0
_FIRST_DID = 6_988_000
_TRUNK = 8934
_LOCAL = 5_550_100  # local numbers are made from here on: 555-01xx belongs to nobody


class AccountCalls:
    """The calls about the account. All users share its documents, faxes and credit."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def routes(self) -> list[Route]:
        """Every call of these."""
        return [
            Route("POST", "/user", "register", self.register),
            Route("POST", "/user/login", "login", self.login),
            Route("POST", "/subuser", "subuser", self.subuser),
            Route("GET", "/balance", "balance", self.balance),
            Route("GET", "/numbers", "numbers", self.numbers),
            Route("GET", "/provision-numbers", "numbers", self.numbers),
            Route("POST", "/provision-numbers", "provision", self.provision),
            Route("POST", "/countries/didgroups/{id}/provision", "provision", self.provision),
            Route("GET", "/countries", "countries", self.countries),
            Route("GET", "/states/{country}", "states", self.states),
            Route("GET", "/areacodes/{country}/{state}", "areacodes", self.area_codes),
            Route("GET", "/countries/{country}/didgroups", "didgroups", self.did_groups),
        ]

    # --- users --------------------------------------------------------------------------------------------------------

    async def register(self, ask: Ask) -> Answer:
        """``POST /user``."""
        return await self._add(ask, needs_password=True)

    async def subuser(self, ask: Ask) -> Answer:
        """``POST /subuser``; the password may be missing."""
        return await self._add(ask, needs_password=False)

    async def _add(self, ask: Ask, *, needs_password: bool) -> Answer:
        email, password = ask.params.text("email").lower(), ask.params.fields.get("password", "")
        if "@" not in email:
            raise Failure(400, "email is missing or not valid.")
        if needs_password and not password:
            raise Failure(400, "password is missing.")
        salt, key = secrets.token_bytes(16), str(uuid.uuid1())
        if not self._store.add_user(email, salt, await _hash(password or secrets.token_hex(), salt), key):
            raise Failure(400, "The email has already been taken.")
        return success(api_key=key)

    async def login(self, ask: Ask) -> Answer:
        """``POST /user/login``."""
        user = self._store.user(ask.params.text("email").lower())
        salt = user["salt"] if user else b"0" * 16
        given = await _hash(ask.params.fields.get("password", ""), salt)
        if user is None or not hmac.compare_digest(given, user["password"]):
            raise Failure(400, "The email or the password is wrong.")
        return success(api_key=user["api_key"])

    async def balance(self, _ask: Ask) -> Answer:
        """``GET /balance``."""
        return success(balance=money(self._store.balance()))

    # --- numbers ------------------------------------------------------------------------------------------------------

    async def numbers(self, ask: Ask) -> Answer:
        """``GET /numbers``, and its stray form."""
        want, kind = ask.slice(), ask.kind
        owned = self._store.numbers()
        listed = [_number(row) for row in owned[want.offset : want.offset + want.limit]]
        name = "data" if kind == "as-data" else "numbers"
        return success(**{name: listed}, **meta(want, len(owned), listed, f"{ask.root}/numbers", ask.fault))

    async def provision(self, ask: Ask) -> Answer:
        """Buy a number of a group; here it costs nothing."""
        group = catalogue.group(ask.id("id") if "id" in ask.path else ask.params.integer("did_group_id") or 0)
        if group is None:
            raise Failure(404, "The DID group does not exist.")
        row = self._buy(group)
        if ask.kind == "repeat":
            self._buy(group)
        data = {
            "id": row["id"], "didid": _FIRST_DID + row["id"], "did_group_id": group["did_group_id"],
            "country_code": group["country_code"], "city_name": group["city_name"], "area_code": group["area_code"],
            "number": row["number"], "type": "GEOGRAPHIC", "trunk_id": _TRUNK,
        }  # fmt: skip
        return success(message="Number has been provisioned.", data=data)

    def _buy(self, group: dict[str, Any]) -> Row:
        taken = self._store.numbers()
        number = f"+{group['dial']}{group['area_code']}{_LOCAL + len(taken)}"
        identifier = self._store.add_number(
            number, group["did_group_id"], group["country_code"], group["area_code"], group["city_name"], self._clock()
        )
        return next(row for row in self._store.numbers() if row["id"] == identifier)

    # --- catalogue ----------------------------------------------------------------------------------------------------

    async def countries(self, _ask: Ask) -> Answer:
        """``GET /countries``."""
        return success(data=catalogue.countries())

    async def states(self, ask: Ask) -> Answer:
        """``GET /states/{country}``."""
        return success(states=catalogue.states(_country(ask)))

    async def area_codes(self, ask: Ask) -> Answer:
        """``GET /areacodes/{country}/{state}``."""
        return success(areacodes=catalogue.area_codes(_country(ask), ask.path["state"]))

    async def did_groups(self, ask: Ask) -> Answer:
        """``GET /countries/{country}/didgroups``."""
        said = ask.params
        city = said.text("cityNamePattern") or said.text("cityPattern")
        groups = catalogue.did_groups(
            _country(ask), said.text("didGroupIds"), said.text("stateId"), city, said.text("areaCode")
        )
        return success(data=groups)


def _country(ask: Ask) -> str:
    code = ask.path["country"].upper()
    if catalogue.country_name(code) is None:
        raise Failure(404, "The country is not covered.")
    return code


def _number(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"], "order_reference": None, "country_code": row["country_code"],
        "country": catalogue.country_name(row["country_code"]), "city_name": row["city_name"],
        "area_code": row["area_code"], "did_group_id": row["did_group_id"], "did_number": row["number"],
        "expiration_date": day(row["created_at"] + _YEAR), "status": "Active",
    }  # fmt: skip


async def _hash(password: str, salt: bytes) -> bytes:
    return await asyncio.to_thread(hashlib.scrypt, password.encode(), salt=salt, n=1 << 12, r=8, p=1)
