"""docs/sandbox.md tells every option, scenario, fault and route, in the words of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.cli.sandbox import sandbox as command
from gateway.sandbox.faults import CALLBACKS, EXECUTE_THEN, OPERATIONS, faults_of
from gateway.sandbox.scenarios import PREFIX, SCENARIOS

TEXT = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")
ROUTES = ("/sandbox/faxes", "/sandbox/inbound", "/sandbox/faults", "/sandbox/callbacks", "/sandbox/balance")


def test_every_option_of_the_command_is_documented() -> None:
    options = {option for parameter in command.params for option in parameter.opts}
    assert {option for option in options - {"--debug"} if f"| `{option}" not in TEXT} == set()


def test_every_scenario_is_documented_with_its_own_words_and_no_other() -> None:
    rows = dict(re.findall(r"^\| \+(\d+) \| (.*?) \|", TEXT, re.M))
    assert rows.keys() == {f"{PREFIX}{suffix}".lstrip("+") for suffix in SCENARIOS}
    for suffix, scenario in SCENARIOS.items():
        assert rows[f"{PREFIX}{suffix}".lstrip("+")].startswith(scenario.name.removesuffix(" (400)"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_and_fault_is_documented_with_its_own_words_and_no_other(operation: str) -> None:
    assert f"| `{operation}` | {OPERATIONS[operation]} |" in TEXT
    common = TEXT.partition("### Of every call\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\S+)` \| (.*) \| (`.*`) \|$", TEXT, re.M)
    own = {name: what for name, what, of in rows if f"`{operation}`" in of}
    faults = {name: what for name, what in faults_of(operation).items() if not name.startswith(EXECUTE_THEN)}
    assert own.items() <= faults.items()
    for name, what in faults.items():
        assert name in own or (operation not in CALLBACKS and f"| `{name}` | {what} |" in common), name


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_has_an_example(route: str) -> None:
    commands = [line for line in TEXT.replace("\\\n", "").splitlines() if line.startswith("    curl ")]
    assert any(re.search(rf"127\.0\.0\.1:8026{route}\b", line) for line in commands)
