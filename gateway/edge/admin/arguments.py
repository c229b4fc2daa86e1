"""From the JSON arguments of an operation to a call: names and kinds are those of the operation's own parameters."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args, get_type_hints

from gateway.errors import Refused

Operation = Callable[..., Awaitable[dict[str, Any]]]
_KINDS: dict[Any, str] = {
    str: "a text",
    int: "a whole number",
    bool: "true or false",
    list[str]: "a list of texts",
}


def bind(name: str, operation: Operation, given: Mapping[str, Any]) -> dict[str, Any]:
    """What to call ``operation`` with; null counts as not given.

    Raises Refused for an argument that is unknown, missing or of another kind: nothing is guessed, nothing ignored.
    """
    parameters, kinds = inspect.signature(operation).parameters, get_type_hints(operation)
    arguments = {key: value for key, value in given.items() if value is not None}
    unknown = [key for key in arguments if key not in parameters]
    if unknown:
        takes = f"it has {', '.join(parameters)}" if parameters else "it takes none"
        raise Refused(f"{name} has no argument {', '.join(map(repr, unknown))}; {takes}")
    missing = [key for key, each in parameters.items() if each.default is each.empty and key not in arguments]
    if missing:
        raise Refused(f"{name} needs {' and '.join(missing)}")
    for key, value in arguments.items():
        kind = _without_none(kinds[key])
        if not _fits(value, kind):
            raise Refused(f"{key} of {name} must be {_KINDS[kind]}")
    return arguments


def _without_none(kind: Any) -> Any:
    """``list[str]`` of ``list[str] | None``."""
    return kind if kind in _KINDS else next(each for each in get_args(kind) if each in _KINDS)


def _fits(value: Any, kind: Any) -> bool:
    if kind == list[str]:
        return isinstance(value, list) and all(_fits(each, str) for each in value)
    return type(value) is kind and (kind is not str or _is_unicode(value))


def _is_unicode(text: str) -> bool:
    """JSON can write half a surrogate pair, which nothing can store."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
