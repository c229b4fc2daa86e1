"""The example shows every option with its default, the schema too, so neither can drift from the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.config import Config, json_schema, load
from gateway.config.schema import all_options
from gateway.config.yamltree import parse

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
Read = Callable[[str], Config]


def _paths(value: Any, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all keys, ``smtp.listeners[].tls``."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield f"{prefix}{name}"
            yield from _paths(below, f"{prefix}{name}.")
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from _paths(item, f"{prefix.removesuffix('.')}[].")


def test_the_example_loads_and_is_exactly_the_defaults(write: Callable[[str], Path]) -> None:
    environ = {"FAXTO_API_KEY": "k"}
    example = load(write(EXAMPLE.read_text(encoding="utf-8")), environ)
    assert example == load(write(""), environ)
    assert example.warnings == ()


def test_the_example_has_every_option_in_the_order_of_the_code() -> None:
    sources = ("env", "file")  # inside secrets
    shown = [
        path for path in _paths(parse(EXAMPLE.read_text(encoding="utf-8")).data) if path.split(".")[-1] not in sources
    ]
    assert shown == list(all_options())


def test_every_option_of_the_example_has_a_comment() -> None:
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if re.match(r"\s*(- )?[a-z_]+:\s+\S", line):
            assert re.search(r"\S\s+# \S", line), line
        assert len(line) <= 120


def test_a_newcomer_adapts_six_lines() -> None:
    marked = [
        line.split(":")[0].strip() for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if "# <===" in line
    ]
    assert marked == ["state_dir", "token", "api_key", "relay", "sender", "fallback"]


def _schema_paths(schema: dict[str, Any], definitions: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, option in schema["properties"].items():
        yield f"{prefix}{name}"
        inner = option.get("items", option)
        if "$ref" in inner:
            below = definitions[inner["$ref"].rpartition("/")[2]]
            yield from _schema_paths(below, definitions, f"{prefix}{name}{'[]' if inner is not option else ''}.")


def test_the_schema_has_every_option_and_no_other() -> None:
    schema = json_schema()
    assert list(_schema_paths(schema, schema["$defs"])) == list(all_options())
    sections = [each for each in (schema, *schema["$defs"].values()) if "properties" in each]
    assert all(section["additionalProperties"] is False for section in sections)


def test_the_schema_shows_defaults_as_they_are_written(read: Read) -> None:
    schema, defaults = json_schema(), read("").masked()

    def check(part: dict[str, Any], shown: dict[str, Any]) -> int:
        count = 0
        for name, option in part["properties"].items():
            if "$ref" in option:
                count += check(schema["$defs"][option["$ref"].rpartition("/")[2]], shown[name])
            elif "default" in option:
                assert option["default"] == shown[name]
                count += 1
        return count

    assert check(schema, defaults) + check(schema["$defs"]["Listener"], defaults["smtp"]["listeners"][0]) > 70


def test_the_schema_describes_options_in_the_words_of_the_code() -> None:
    schema = json_schema()
    assert schema["properties"]["default_region"]["description"].startswith("country (ISO 3166)")
    assert schema["$defs"]["Redial"]["properties"]["after"]["description"] == "pause before a repeat"
    assert "description" not in schema["$defs"]["Redial"]["properties"]["busy"]


def test_the_schema_asks_for_a_unit_where_the_gateway_does() -> None:
    sections = json_schema()["$defs"]
    assert sections["Retention"]["properties"]["history"]["type"] == "string"
    assert {"type": "number"} in sections["Retention"]["properties"]["purge_every"]["anyOf"]


def test_the_schema_takes_one_value_where_a_list_may_stand() -> None:
    domain = json_schema()["properties"]["domain"]
    assert domain["anyOf"] == [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
    assert "default" not in json_schema()["$defs"]["Smtp"]["properties"]["listeners"]
