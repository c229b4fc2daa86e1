"""Tolerant readers of what Fax.to answers: strict JSON first, then the slips its documentation shows."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_STRING_OR_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])')
_MAX_INT = 2**53
_MAX_DEPTH = 40
_TEXT = 300


class Unreadable(ValueError):
    """The answer is not what the API promises."""


def read_json(body: bytes) -> Any:
    """Parse an answer. Raises :class:`Unreadable` for anything but JSON of sensible depth."""
    text = body.decode("utf-8-sig", "replace").strip()
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=Decimal)
    except (ValueError, RecursionError):
        mended = _STRING_OR_COMMA.sub(lambda match: match[1] or "", text)
    try:
        return json.loads(mended, parse_constant=_no_constant, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {clean(text)!r}") from error


def _no_constant(name: str) -> Any:
    raise Unreadable(f"{name} is no number")


def as_object(value: Any) -> Mapping[str, Any]:
    """The answer as an object. Raises :class:`Unreadable`."""
    if not isinstance(value, dict):
        raise Unreadable(f"an object was promised, not {type(value).__name__}")
    return value


def as_int(value: Any) -> int | None:
    """A positive integer from an int, a whole float or a digit string; None for everything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        if not value.isascii() or not value.isdigit() or len(value) > 18:
            return None
        value = int(value)
    if isinstance(value, Decimal | float):
        if not Decimal(value).is_finite() or value % 1 != 0:
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 < value < _MAX_INT else None


def as_money(value: Any) -> Decimal | None:
    """Money from a number or numeric string; None for everything else."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        money = Decimal(str(value).strip().replace(",", ""))
    except InvalidOperation:
        return None
    return money if money.is_finite() and abs(money) < 10**12 else None


def as_time(value: Any, naive: tzinfo = UTC) -> float | None:
    """Epoch seconds from a PHP date object, ``Y-m-d H:i:s``, a date or ISO 8601; naive times are in ``naive``."""
    zone: tzinfo = naive
    if isinstance(value, Mapping):
        name = str(value.get("timezone") or "")
        zone = _zone(name, naive)
        value = value.get("date")
    if not isinstance(value, str):
        return None
    text = re.sub(r"\.\d+", "", value.strip()).replace("Z", "+00:00")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()


def _zone(name: str, default: tzinfo) -> tzinfo:
    """timezone_type 1 is an offset, 2 an abbreviation, 3 an identifier."""
    if offset := re.fullmatch(r"([+-])(\d\d):?(\d\d)", name):
        return datetime.fromisoformat(f"2000-01-01T00:00:00{offset[1]}{offset[2]}:{offset[3]}").tzinfo or UTC
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    try:
        return ZoneInfo(name) if name else default
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def first(record: Mapping[str, Any], *names: str) -> Any:
    """The first of these keys that is there and not null."""
    return next((record[name] for name in names if record.get(name) is not None), None)


def digits(value: Any) -> str:
    """The ASCII digits of a number however it is written."""
    return "".join(c for c in str(value) if c in "0123456789")


def clean(text: str, length: int = _TEXT) -> str:
    """Text of the outside for logs and mails: one line, no control characters, no keys, not long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    line = re.sub(r"(api_key=)[^&\s\"']+", r"\1***", line)
    return line if len(line) <= length else line[: length - 1] + "…"


def message(answer: Any) -> str:
    """What an answer says went wrong, in whichever key it says it."""
    if not isinstance(answer, Mapping):
        return ""
    for name in ("message", "error", "errors", "msg"):
        found = _words(answer.get(name))
        if found:
            return clean(found)
    return ""


def _words(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return value
    if depth > 3:
        return ""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return "; ".join(filter(None, (_words(item, depth + 1) for item in value[:10])))
    return ""
