"""The table of addresses (addresses.txt): each form as the door reads it, to its exact number or the words of its refusal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.edge.smtp_commands import read_rcpt
from gateway.errors import Refused
from gateway.mail import options
from gateway.numbers import read_address

ROOT = Path(__file__).parents[2]
DOMAINS = ("fax.local", "fax.example.org", "[192.0.2.1]")
ROW = re.compile(r"([A-Z]{2})  (.*?)  ->  (\+[0-9]+.*|5\.[0-9]\.[0-9] .*)")


def _table() -> list[tuple[str, str, str]]:
    lines = (Path(__file__).with_name("addresses.txt")).read_text(encoding="utf-8").splitlines()
    rows = [ROW.fullmatch(line) for line in lines if line and not line.startswith("#")]
    return [(row[1], row[2], row[3]) for row in rows if row or pytest.fail("a line that is no row")]


def became(form: str, region: str) -> str:
    """What becomes of an address, in the words of the table."""
    try:
        address = read_address(read_rcpt(f"TO:<{form}>").address, domains=DOMAINS)
        asked = options.read(address.options, "in the address")
        return " ".join([address.number(region).e164, *(f"{name}={value}" for name, value in asked.items())])
    except Refused as error:
        return f"{error.status} {error.public}"


@pytest.mark.parametrize(("region", "form", "told"), _table())
def test_table(region: str, form: str, told: str) -> None:
    result = became(form, region)
    if told.startswith("+"):
        assert result == told
        return
    status, _, words = told.partition(" ")
    assert result.startswith(f"{status} ")
    assert words in result
    assert result.isascii()
    assert len(result) < 400, "two lines of a reply"


def test_the_table_is_large_and_of_many_countries() -> None:
    assert len(_table()) >= 250
    assert len({region for region, _, told in _table() if told.startswith("+")}) >= 30


def test_the_manual_tells_no_form_otherwise_than_the_code() -> None:
    """docs/addresses.md: each row of its tables is tried."""
    manual = (ROOT / "docs" / "addresses.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (?:([A-Z]{2}) \| )?`([^`]+@[^`]+)` \| (?:`(\+[0-9]+)`|refused \((5\.[0-9]\.[0-9])\))", manual, re.M
    )
    assert len(rows) >= 25
    for region, form, number, status in rows:
        result = became(form, region or "US")
        assert result.partition(" ")[0] == (number or status), form


def test_the_manual_of_options_has_each_name_and_value() -> None:
    """docs/options.md: a row of its table has options, or one with its other names."""
    manual = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    told = []
    for cell, values in re.findall(r"^\| (`[a-z-]+`.*?) \| (.*?) \| .*? \|$", manual, re.M):
        names = re.findall(r"`([a-z-]+)`", cell)
        told += names
        assert all(name in options.OPTIONS or options.OTHER_NAMES[name] == names[0] for name in names), cell
        for value in re.findall(r"`([^` ]{2,})`", values):
            assert options.read([(names[0], value)], "in the manual"), value
    assert sorted(told) == sorted([*options.OPTIONS, *options.OTHER_NAMES])
