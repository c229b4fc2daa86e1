"""Options of who may fax where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    field_validator,
)

from gateway.config.kinds import (
    NumberPrefix,
    OneOrMore,
    Region,
)
from gateway.config.sections import Section
from gateway.model import NumberClass


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

    @field_validator("classes")
    @classmethod
    def _test_is_no_choice(cls, classes: tuple[NumberClass, ...]) -> tuple[NumberClass, ...]:
        if NumberClass.TEST in classes:
            raise ValueError("does not rule test numbers; set policy.test_numbers: allow")
        return classes
