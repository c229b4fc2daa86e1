"""Fax numbers: the address grammar, dial plans, number classes. Pure: no I/O, no clock.

A number is never made by keeping the digits of something: each form that is understood has a grammar, and whatever does
not fit is refused with a sentence that shows an accepted form.
"""

from __future__ import annotations

from gateway.numbers.address import FaxAddress, parse_number, read_address
from gateway.numbers.classes import NumberFacts, classify
from gateway.numbers.countries import COUNTRIES
from gateway.numbers.plan import check_region, format_human, meaning

__all__ = [
    "COUNTRIES",
    "FaxAddress",
    "NumberFacts",
    "check_region",
    "classify",
    "format_human",
    "meaning",
    "parse_number",
    "read_address",
]
