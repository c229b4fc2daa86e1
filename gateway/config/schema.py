"""The tree of options as data: its sections and paths, and its JSON schema for editors."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from gateway.config.options import Config
from gateway.config.sections import Section


def section_of(annotation: Any) -> type[Section] | None:
    """The section that a field of this type holds, itself or in a list; None for a plain option."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def all_options(section: type[Section] = Config, prefix: str = "") -> Iterator[str]:
    """Dotted paths of all sections and options, ``smtp.listeners[].tls``, in their order."""
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}"
        below = section_of(field.annotation)
        if below is not None:
            yield from all_options(below, f"{prefix}{name}{'' if below is field.annotation else '[]'}.")


def json_schema() -> dict[str, Any]:
    """The JSON schema of the configuration file; defaults are written as in the file."""
    schema = Config.model_json_schema()
    _polish(Config, schema)
    for section in _sections(Config):
        _polish(section, schema["$defs"][section.__name__])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "faxgateway configuration"}


def _sections(section: type[Section]) -> Iterator[type[Section]]:
    for field in section.model_fields.values():
        below = section_of(field.annotation)
        if below is not None:
            yield below
            yield from _sections(below)


def _polish(section: type[Section], schema: dict[str, Any]) -> None:
    """Defaults as a person writes them, one value where a list may stand, no titles that only repeat the name."""
    plain = {name for name, field in section.model_fields.items() if section_of(field.annotation) is None}
    defaults = section.model_construct().model_dump(mode="json", include=plain, warnings=False)
    texts = _texts_under_options(section)
    for name, option in schema["properties"].items():
        option.pop("title", None)
        if name in texts:
            option["description"] = texts[name]
        if name not in defaults:
            continue
        option["default"] = defaults[name]
        if option.get("type") == "array":
            option["anyOf"] = [option["items"], {"type": "array", "items": option.pop("items")}]
            del option["type"]


def _texts_under_options(section: type[Section]) -> dict[str, str]:
    """The string under each option in the source; read when a schema is asked for, as it takes time."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef), "a section is a class"
    return {
        option.target.id: below.value.value
        for option, below in itertools.pairwise(definition.body)
        if isinstance(option, ast.AnnAssign) and isinstance(option.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
