"""How much may be sent, and what a person must see first: pure decisions over sums that are handed in.

Windows slide: a cap for a day holds for any 24 hours, not from midnight to midnight. See docs/limits.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from typing import Literal

_MONEY = 1_000_000  # millionths: no price is told in smaller parts
_MOST = 10**15  # of them: a cap is less, and thousands of them fit into 64 bits
SCHEMA = r"^(hour|day|month):(faxes|pages|money)=([0-9]{1,9}(\.[0-9]{1,6})?)$"
_CAP = re.compile(SCHEMA, re.ASCII)
_SHOWN = "day:money=5.00, hour:faxes=20 or month:pages=1000"
HOUR = 3600.0


class Scope(StrEnum):
    """Whose sends are summed up."""

    USER = "user"  # who sent the mail: a login, else an address
    CLIENT = "client"  # the address of the client
    DESTINATION = "destination"  # the number faxed to
    ROUTE = "route"  # the sender route that applied
    TOTAL = "total"


class Window(StrEnum):
    """A time that slides. A month has 31 days, so that no month of the calendar is above its cap."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def seconds(self) -> int:
        return {Window.HOUR: 3600, Window.DAY: 86400, Window.MONTH: 31 * 86400}[self]

    @property
    def span(self) -> int:
        """Length of the slots that are summed up for it (s): a window ends at most so much later than it must."""
        return FINE if self is not Window.MONTH else COARSE


FINE, COARSE = 300, 3600  # seconds


def units(money: Decimal) -> int:
    """An amount in millionths, rounded up; one that is beyond all reason counts as the most that can be summed up."""
    return min(int((money * _MONEY).to_integral_value(ROUND_CEILING)), _MOST)


def shown_money(millionths: int) -> str:
    """``0.10``, ``5.00``, ``0.0125``."""
    amount = Decimal(millionths) / _MONEY
    return f"{amount:.2f}" if amount == amount.quantize(Decimal("0.01")) else f"{amount.normalize():f}"


# --- caps -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a send, or a sum of sends, amounts to; money in millionths."""

    faxes: int = 0
    pages: int = 0
    money: int = 0

    def of(self, unit: str) -> int:
        return {"faxes": self.faxes, "pages": self.pages, "money": self.money}[unit]


@dataclass(frozen=True, slots=True)
class Slot:
    """What was sent from ``start`` (s) on, for one span."""

    start: int
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Cap:
    """``limit`` is a number of faxes or pages, or money in millionths."""

    window: Window
    unit: Literal["faxes", "pages", "money"]
    limit: int

    @classmethod
    def parse(cls, text: str) -> Cap:
        """Of ``day:money=5.00``. Raises ValueError with the rest of a sentence that starts with what is set."""
        form = _CAP.fullmatch(text.replace(" ", ""))
        if form is None:
            raise ValueError(f"{text!a} is no cap; write {_SHOWN}")
        unit: Literal["faxes", "pages", "money"] = form[2]  # type: ignore[assignment]  # the grammar says so
        amount = Decimal(form[3])
        if unit != "money" and amount != int(amount):
            raise ValueError(f"{text!a} is no cap: there are no parts of {unit}")
        if not amount:
            raise ValueError(f"{text!a} would let nothing be sent, ever; deny that with a route or policy.countries")
        return cls(Window(form[1]), unit, units(amount) if unit == "money" else int(amount))

    def __str__(self) -> str:
        return f"{self.window}:{self.unit}={shown_money(self.limit) if self.unit == 'money' else self.limit}"

    @property
    def text(self) -> str:
        """``20 faxes an hour``, ``faxes for 5.00 a day``."""
        one = {"faxes": "fax", "pages": "page"}.get(self.unit, "") if self.limit == 1 else self.unit
        what = f"faxes for {shown_money(self.limit)}" if self.unit == "money" else f"{self.limit} {one}"
        return f"{what} {'an' if self.window is Window.HOUR else 'a'} {self.window}"


@dataclass(frozen=True, slots=True)
class Capped:
    """A cap of somebody: ``who`` is an identity, an address, a number or the match of a route; "" for the total."""

    scope: Scope
    who: str
    cap: Cap

    @property
    def text(self) -> str:
        """Whose cap of how much, for people."""
        name = {
            Scope.USER: f"{self.who} may send",
            Scope.CLIENT: f"the client {self.who} may send",
            Scope.DESTINATION: f"{self.who} may be sent",
            Scope.ROUTE: f"senders of the route {self.who} may send",
            Scope.TOTAL: "all together may send",
        }[self.scope]
        return f"{name} {self.cap.text}"


@dataclass(frozen=True, slots=True)
class CapSettings:
    """Caps by whose sends they limit. ``page_price`` is what a page costs at most when no price is told (None: wait)."""

    caps: Mapping[Scope, tuple[Cap, ...]] = field(default_factory=dict)
    page_price: Decimal | None = None


def caps_of(settings: CapSettings, who: Mapping[Scope, str], of_route: Iterable[Cap]) -> list[Capped]:
    """All caps that limit a send of these; ``of_route`` are those that the route itself names."""
    found = [Capped(scope, name, cap) for scope, name in who.items() for cap in settings.caps.get(scope, ())]
    return found + [Capped(Scope.ROUTE, who.get(Scope.ROUTE, ""), cap) for cap in of_route]


def never_fits(cap: Cap, need: Amounts) -> bool:
    """Whether this would be too much even if nothing else was sent."""
    return need.of(cap.unit) > cap.limit


def fits(cap: Cap, used: Amounts, need: Amounts) -> bool:
    return used.of(cap.unit) + need.of(cap.unit) <= cap.limit


def opens_at(cap: Cap, slots: Sequence[Slot], need: Amounts) -> float:
    """When a send of ``need`` fits again that does not now, if nothing else is sent: the time at which enough has aged.

    ``slots`` are those of the window, the oldest first.
    """
    too_much = sum(slot.amounts.of(cap.unit) for slot in slots) + need.of(cap.unit) - cap.limit
    opens = 0.0
    for slot in slots:
        opens = float(slot.start + cap.window.span + cap.window.seconds)
        too_much -= slot.amounts.of(cap.unit)
        if too_much <= 0:
            break
    return opens


# --- approval ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Approval:
    """What a person must approve first: the first fax to a country, more than ``pages`` (0: never), a higher price.

    ``approver`` is the mailbox that is asked; "" for the operator's.
    """

    new_country: bool = False
    pages: int = 0
    price: Decimal | None = None
    approver: str = ""

    @property
    def text(self) -> str:
        """What needs approval, for people; "" for nothing."""
        parts = ["a first fax to a country"] if self.new_country else []
        parts += [f"more than {self.pages} page{'s' if self.pages > 1 else ''}"] if self.pages else []
        parts += [f"a price above {shown_money(units(self.price))}"] if self.price is not None else []
        by = f" of {self.approver}" if self.approver else ""
        return f"approval{by} for {', '.join(parts)}" if parts else ""


def must_be_approved(rule: Approval, *, new_place: str, pages: int, price: Decimal | None) -> str:
    """Why a person must approve, "" when nobody must. ``new_place`` names a country that was never faxed to.

    A price that is not known may be any, so it must be approved where a price must.
    """
    if rule.new_country and new_place:
        return f"it is the first fax of this sender to {new_place}"
    if rule.pages and pages > rule.pages:
        return f"it has {pages} pages, and more than {rule.pages} need approval"
    if rule.price is not None and (price is None or price > rule.price):
        told = "is not known" if price is None else f"is {shown_money(units(price))}"
        return f"its price {told}, and more than {shown_money(units(rule.price))} needs approval"
    return ""


# --- anomalies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnomalySettings:
    """Who is watched, and what is never unusual: ``faxes``, and ``new_numbers`` among them, an hour.

    More faxes than that are unusual when they are also more than ``factor`` times the sender's busiest hour before the last
    day.
    """

    watch: Literal["off", "logins", "all"] = "logins"
    faxes: int = 200
    factor: int = 3
    new_numbers: int = 100

    def watches(self, identity: str) -> bool:
        return self.watch == "all" or (self.watch == "logins" and not identity.startswith("ip:"))


def unusual(settings: AnomalySettings, *, faxes: int, busiest: int, new_numbers: int) -> str:
    """What is unusual about an hour of a sender, "" for nothing; ``busiest`` is the most of them in his past hours."""
    most = max(settings.faxes, settings.factor * busiest)
    if faxes > most:
        past = f"at most {busiest} an hour up to yesterday" if busiest else "none up to yesterday"
        return f"{faxes} faxes within an hour, {past}"
    if new_numbers > max(settings.new_numbers, settings.factor * busiest):
        return f"{new_numbers} numbers within an hour that this sender had never faxed to"
    return ""
