"""Tolerant readers of what Fax.to answers: strict JSON first, then the slips its documentation shows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

log = structlog.get_logger("provider")

# possessive, so that a string without an end costs no memory
_STRING_OR_COMMA = re.compile(r'("(?:[^"\\]++|\\.)*+")|,(?=\s*[}\]])')
_MONEY = re.compile(r"-?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?", re.ASCII)
_KEY = re.compile(r"(api_key[\\\"']{0,4}\s*[=:]\s*[\\\"']{0,4})[^\s&\\\"',;}]+", re.IGNORECASE)
_SIZE = re.compile(r"([0-9]{1,15}(?:\.([0-9]{1,6}))?)\s?(?:([KMG])?(?:i?B)?|bytes?)", re.ASCII | re.IGNORECASE)
_MAX_INT = 2**53
_MAX_MONEY = 10**12
_MAX_DEPTH = 40
_NO_JSON = (ValueError, RecursionError, ArithmeticError)  # the last: a number with an exponent beyond Decimal's
_TEXT = 300


class Unreadable(ValueError):
    """The answer is not what the API promises."""


def read_json(body: bytes) -> Any:
    """Parse an answer. Raises :class:`Unreadable` for anything but JSON of sensible depth that says each thing once."""
    text = body.decode("utf-8-sig", "replace")
    try:
        value = _parse(text)
    except _NO_JSON:
        try:
            value = _parse(_STRING_OR_COMMA.sub(lambda match: match[1] or "", text))
        except _NO_JSON:
            raise Unreadable("not JSON") from None
    if _too_deep(value):
        raise Unreadable("JSON that is nested too deeply")
    return value


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_no_constant, parse_float=Decimal, object_pairs_hook=_once)


def _no_constant(name: str) -> Any:
    raise Unreadable(f"{name} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one that gives a name two values says nothing clear (RFC 8259 section 4)."""
    record = dict(pairs)
    if len(record) != len(pairs) and any(record[name] != value for name, value in pairs):
        raise Unreadable("a name with two values")
    return record


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


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
        # the range first: arithmetic with 1e999999 fails or takes for ever
        if not 0 < value < _MAX_INT or value % 1 != 0:
            return None
        value = int(value)
    return value if isinstance(value, int) and 0 < value < _MAX_INT else None


def as_sizes(value: Any) -> tuple[int, int] | None:
    """The least and the most bytes that a size means for people ("120.45 KB", of 1000 or 1024 bytes); None for no size."""
    found = _SIZE.fullmatch(str(value).strip())
    if not found:
        return None
    told, step = float(found[1]), 0.5 * 10.0 ** -len(found[2] or "")
    power = "KMG".find((found[3] or " ").upper()) + 1
    return math.floor((told - step) * 1000**power), math.ceil((told + step) * 1024**power)


def as_money(value: Any) -> Decimal | None:
    """Money from a number or a numeric string ("1,234.50"); None for everything else, also "0,15"."""
    if isinstance(value, str):
        value = value.strip()
        if len(value) > 40 or not _MONEY.fullmatch(value):
            return None
        value = Decimal(value.replace(",", ""))
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, float):
        value = Decimal(repr(value))
    money = Decimal(value)
    return money if money.is_finite() and -_MAX_MONEY < money < _MAX_MONEY else None


def as_price(value: Any) -> Decimal | None:
    """Money that may be asked for something: never less than nothing, or it would pay for other faxes."""
    money = as_money(value)
    return money if money is not None and money >= 0 else None


def as_time(value: Any, naive: tzinfo = UTC) -> float | None:
    """Epoch seconds from a PHP date object, ``Y-m-d H:i:s``, a date or ISO 8601; naive times are in ``naive``."""
    zone: tzinfo = naive
    if isinstance(value, Mapping):
        name = str(value.get("timezone") or "")
        zone = _zone(name, naive)
        value = value.get("date")
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(re.sub(r"\.\d+", "", value.strip()))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()


def _zone(name: str, default: tzinfo) -> tzinfo:
    """timezone_type 1 is an offset, 2 an abbreviation, 3 an identifier; an unknown one counts as UTC."""
    if not name:
        return default
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    try:
        if offset := re.fullmatch(r"([+-]\d\d):?(\d\d)", name, re.ASCII):
            return datetime.strptime(f"{offset[1]}{offset[2]}", "%z").tzinfo or UTC
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        log.info("a time zone not known counts as UTC", zone=clean(name, 60))
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
    line = _KEY.sub(r"\1***", line)
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
