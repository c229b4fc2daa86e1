"""The account at the fax provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from gateway import numbers
from gateway.model import FaxNumber


class Asked(Protocol):
    """The part of a provider that an administrator asks directly."""

    async def balance(self) -> Decimal: ...

    async def cost(self, document_ref: int, number: FaxNumber) -> Decimal: ...

    async def numbers(self) -> Sequence[Mapping[str, Any]]: ...


class Account:
    """Raises what the provider raises: TryLater, KeyRefused, Refused, NotFound."""

    def __init__(self, provider: Asked, region: str) -> None:
        self._provider = provider
        self._region = region

    async def balance(self) -> dict[str, Any]:
        return {"balance": str(await self._provider.balance())}

    async def cost(self, document_ref: int, number: str) -> dict[str, Any]:
        """Of faxing an uploaded document to a number."""
        dialled = numbers.parse_number(number, region=self._region)
        return {"cost": str(await self._provider.cost(document_ref, dialled))}

    async def numbers(self) -> dict[str, Any]:
        """Our numbers that receive faxes, as the provider describes them."""
        return {"numbers": [dict(number) for number in await self._provider.numbers()]}
