"""Options of who may fax where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    NonNegativeInt,
    PositiveInt,
    field_validator,
)

from gateway.config.kinds import (
    CapOption,
    NumberPrefix,
    OneOrMore,
    PagePrice,
    Region,
)
from gateway.config.sections import Section, section
from gateway.model import NumberClass


class Caps(Section):
    user: Annotated[tuple[CapOption, ...], OneOrMore] = ()
    """of each login, or address of a client that did not log in"""
    client: Annotated[tuple[CapOption, ...], OneOrMore] = ()
    """of each address of a client"""
    destination: Annotated[tuple[CapOption, ...], OneOrMore] = ()
    """of each number faxed to"""
    route: Annotated[tuple[CapOption, ...], OneOrMore] = ()
    """of all senders of a sender route together; beside its own (route add --cap)"""
    total: Annotated[tuple[CapOption, ...], OneOrMore] = ()
    """of everybody together"""


class Anomaly(Section):
    watch: Literal["off", "logins", "all"] = "logins"
    """whose use may be unusual: logins, or all clients"""
    faxes: PositiveInt = 200
    """so many an hour are never unusual"""
    factor: PositiveInt = 3
    """nor are so many times those of the busiest hour of a month up to yesterday"""
    new_numbers: NonNegativeInt = 100
    """so many numbers an hour that the sender never faxed before are never unusual"""


class Policy(Section):
    countries: Annotated[tuple[Region, ...], OneOrMore] = ("US", "CA")
    """countries that may be faxed to (ISO 3166); all others are refused"""
    numbers: Annotated[tuple[NumberPrefix, ...], OneOrMore] = ()
    """single numbers or prefixes allowed beside the countries"""
    classes: Annotated[tuple[NumberClass, ...], OneOrMore] = (NumberClass.ORDINARY, NumberClass.TOLL_FREE)
    """kinds of numbers allowed: ordinary, toll-free, shared-cost, premium, satellite, unknown"""
    test_numbers: Literal["auto", "allow", "deny"] = "auto"
    """+999...: auto allows them when the provider is on a loopback address"""
    senders: Literal["any", "routed"] = "any"
    """any: every identified client; routed: only senders with a route that allows"""

    caps: Caps = section()
    """how much may be sent: WINDOW:WHAT=LIMIT; windows hour, day and month slide; faxes, pages or money"""
    price_unknown: PagePrice = None
    """where money is limited and no price is told: wait for one, or count so much a page"""
    anomaly: Anomaly = section()
    """more than this is unusual: the sender's faxes are held, and the operator is told"""

    @field_validator("classes")
    @classmethod
    def _test_is_no_choice(cls, classes: tuple[NumberClass, ...]) -> tuple[NumberClass, ...]:
        if NumberClass.TEST in classes:
            raise ValueError("does not rule test numbers; set policy.test_numbers: allow")
        return classes
