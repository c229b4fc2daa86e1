"""The kinds of value an option can have: durations, sizes, addresses... each with its way in, out and into the schema.

The functions raise ValueError with the rest of a sentence that starts with the option's name.
"""

from __future__ import annotations

import ipaddress
import os
import re
import zoneinfo
from collections.abc import Sequence
from decimal import Decimal
from email.utils import getaddresses, parseaddr
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

from gateway import policy
from gateway.config.secrets import surroundings
from gateway.limits import SCHEMA, Cap
from gateway.numbers import COUNTRIES

# --- durations and sizes ----------------------------------------------------------------------------------------------

_LONGEST, _LARGEST = 36500 * 86400.0, 10**15  # what is more is a slip, and more than the system can count
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?\s*(?:ms|s|m|h|d|w)\s*)+")
_BYTES = {
    "GiB": 1 << 30, "GB": 10**9, "MiB": 1 << 20, "MB": 10**6, "KiB": 1 << 10, "kB": 10**3, "B": 1,
}  # fmt: skip
_UNCLEAR = 4096
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmg]i?b|b|)", re.IGNORECASE)


def _duration(value: Any) -> float:
    """Seconds of ``30s``, ``1h30m``, ``250ms``; a bare number is in seconds."""
    seconds = _seconds(value)
    if seconds > _LONGEST:
        raise ValueError(f"must be at most {format_duration(_LONGEST)}")
    return seconds


def _seconds(value: Any) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
            return float(value)
        if _DURATION.fullmatch(value):
            return sum(float(n) * _SECONDS[unit] for n, unit in re.findall(r"([0-9.]+)\s*([a-z]+)", value))
    raise ValueError("must be a duration such as 30s, 5m, 2h or 7d")


def _positive_duration(value: Any) -> float:
    seconds = _duration(value)
    if seconds <= 0:
        raise ValueError("must be longer than 0s")
    return seconds


def _age(value: Any) -> float:
    """How old a thing may grow: with its unit, as who writes 7 means days, and would lose what is older than seconds."""
    seconds = _positive_duration(value)
    if isinstance(value, int) or (isinstance(value, str) and re.fullmatch(r"[0-9.]+", value)):
        raise ValueError(f"has no unit; write {seconds:g}d for days, {seconds:g}h for hours")
    return seconds


def format_duration(seconds: float) -> str:
    """``5m``: in the largest unit that makes a whole number."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{round(seconds / _SECONDS[unit])}{unit}"
    return f"{seconds:g}s"


def _size(value: Any) -> int:
    """Bytes of ``25MB`` (millions), ``64MiB``; a bare number is in bytes, but for a small one, which means megabytes."""
    if isinstance(value, int):
        return value
    form = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not form:
        raise ValueError("must be a size such as 25MB or 64MiB")
    unit = next((n for name, n in _BYTES.items() if name.lower() == form[2].lower()), 1)
    size = float(form[1]) * unit
    if size > _LARGEST:
        raise ValueError(f"must be at most {format_size(_LARGEST)}")
    if round(size) <= 0:
        raise ValueError("must be more than 0 bytes")
    if not form[2] and size <= _UNCLEAR:
        raise ValueError(f"has no unit; write {value}MB, or {value}B for bytes")
    return round(size)


def format_size(size: int) -> str:
    """``25MB``: in the largest unit that makes a whole number."""
    return next(f"{size // n}{unit}" for unit, n in _BYTES.items() if size % n == 0 and size >= n)


def _text_schema(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


_WITH_UNIT = r"^([0-9.]+\s*(ms|s|m|h|d|w)\s*)+$"
_DURATION_SCHEMA = WithJsonSchema(
    {"anyOf": [{"type": "string", "pattern": _WITH_UNIT}, {"type": "number"}], "examples": ["30s", "5m"]}
)
Duration = Annotated[
    float, BeforeValidator(_positive_duration), PlainSerializer(format_duration, return_type=str), _DURATION_SCHEMA
]
Age = Annotated[
    float,
    BeforeValidator(_age),
    PlainSerializer(format_duration, return_type=str),
    _text_schema(_WITH_UNIT, "7d", "12h"),
]
DurationOrZero = Annotated[
    float, BeforeValidator(_duration), PlainSerializer(format_duration, return_type=str), _DURATION_SCHEMA
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}], "examples": ["25MB", "64MiB"]}),
]


# --- words ------------------------------------------------------------------------------------------------------------


def _matching(pattern: str, words: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is not {words}")
        return text

    return AfterValidator(check)


def _word(pattern: str, words: str, example: str) -> Any:
    """A text that is ``pattern`` as a whole; ``words`` say to an administrator what that is."""
    return Annotated[str, _matching(pattern, words), _text_schema(f"^{pattern}$", example)]


ServerName = _word("[A-Za-z0-9._-]{1,255}", "a name such as mx.example.org", "mx.example.org")
TemplateName = _word("[a-z0-9][a-z0-9_-]{0,39}", "a name in small letters, digits, - and _, such as classic", "classic")


# --- places in the network --------------------------------------------------------------------------------------------

_QUOTES = frozenset("\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb")  # of word processors; YAML takes them for letters
_HOST = re.compile(r"(?!.*\.\.)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]/]*):([0-9]{1,5})")
_LONGEST_SOCKET = 107  # bytes of its path, unix(7)


def host_and_port(address: str) -> tuple[str, int] | None:
    """Of ``127.0.0.1:25`` or ``[::1]:25``; None for ``unix:`` and ``fd:`` addresses."""
    form = _LISTEN.fullmatch(address)
    return (form[1].strip("[]"), int(form[2])) if form else None


def is_any_port(address: str) -> bool:
    """Whether a listener takes whatever port is free."""
    parts = host_and_port(address)
    return parts is not None and parts[1] == 0


def is_loopback(host: str) -> bool:
    """Whether the host is this machine and nobody else's."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") in {"localhost", "localhost.localdomain"}


_MANY = {4: 2**25, 6: 2 ** (128 - 20)}  # more public addresses than any one owner has: an IPv4 /7, an IPv6 /20


def is_everybody(networks: Sequence[str]) -> bool:
    """Whether the networks together hold a good part of the public Internet, however it is cut into pieces."""
    known = [ipaddress.ip_network(network) for network in networks]
    four = ipaddress.collapse_addresses(network for network in known if isinstance(network, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(network for network in known if isinstance(network, ipaddress.IPv6Network))
    return any(
        sum(network.num_addresses for network in of_version if not network.is_private) > _MANY[version]
        for version, of_version in ((4, four), (6, six))
    )


def is_local(address: str) -> bool:
    """Whether a listener takes connections of this machine only; of a passed socket that is not known."""
    parts = host_and_port(address)
    return is_loopback(parts[0]) if parts else address.startswith("unix:")


def _listen_address(value: str, info: ValidationInfo) -> str:
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if not path:
            raise ValueError("unix: needs the path of a socket")
        whole = surroundings(info).directory / path
        if len(os.fsencode(whole)) > _LONGEST_SOCKET:
            raise ValueError(f"is too long: the path of a socket has at most {_LONGEST_SOCKET} bytes, not {whole}")
        return f"unix:{whole}"
    if value.startswith("fd:"):
        if not re.fullmatch(r"fd:[^:\s]+", value):
            raise ValueError("fd: needs the name of a socket that systemd passes on")
        return value
    parts = host_and_port(value)
    if not parts or not parts[0] or parts[1] > 65535:
        raise ValueError("must be HOST:PORT such as 127.0.0.1:2525 or [::1]:2525, or unix:/PATH, or fd:NAME")
    return value


def _network(value: str) -> str:
    try:
        return policy.network(value)
    except ValueError:
        pass
    try:
        meant = policy.network(value, strict=False)
    except ValueError:
        raise ValueError(f"{value!r} is not a network such as 192.168.1.0/24") from None
    raise ValueError(f"{value!r} is an address inside a network; did you mean {meant}?")


def _domain(value: str) -> str:
    try:
        name = value if value.isascii() else value.encode("idna").decode("ascii")
        if set(value) & _QUOTES:
            name = ""
    except UnicodeError:
        name = ""
    name = name.lower().removesuffix(".")
    literal = name.startswith("[") and name.endswith("]")
    if not _HOST.fullmatch(name) and not (literal and re.fullmatch(r"\[[0-9a-f:.]+\]", name)):
        raise ValueError(f"{value!r} is not a domain name")
    return name


def _host(value: str) -> str:
    """A name, or an address, which for IPv6 may stand in brackets and is then without them."""
    try:
        return str(ipaddress.ip_address(value.removeprefix("[").removesuffix("]")))
    except ValueError:
        pass
    try:
        return _domain(value)
    except ValueError:
        own = "; the port is an option of its own" if ":" in value else ""
        raise ValueError(f"{value!r} is not the name or address of a host{own}") from None


def _base_url(value: str) -> str:
    try:
        url = urlsplit(value)
        host, _port = url.hostname or "", url.port
    except ValueError:
        raise ValueError("must be a URL such as https://fax.to/api/v2") from None
    if url.scheme not in ("http", "https") or not host:
        raise ValueError("must be a URL such as https://fax.to/api/v2")
    if url.username or url.password or url.query or url.fragment:
        raise ValueError("must be a plain URL: no user, query or fragment (the key is provider.api_key)")
    if url.scheme != "https" and not is_loopback(host):
        raise ValueError("must start with https://: the API key would travel in the clear")
    return value.rstrip("/")


def _time_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r} is not a time zone such as UTC or Europe/Berlin") from None
    return value


def _cap(value: Any) -> Cap:
    return value if isinstance(value, Cap) else Cap.parse(str(value))


def _page_price(value: Any) -> Decimal | None:
    """``wait``, or an amount of money."""
    if value is None or value == "wait":
        return None
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", str(value)) and Decimal(str(value)) > 0:
        return Decimal(str(value))
    raise ValueError("must be wait, or what a page costs at most, such as 0.50")


CapOption = Annotated[
    Cap, BeforeValidator(_cap), PlainSerializer(str, return_type=str), _text_schema(SCHEMA, "day:money=5.00")
]
PagePrice = Annotated[
    Decimal | None,
    BeforeValidator(_page_price),
    PlainSerializer(lambda price: "wait" if price is None else str(price), return_type=str),
    WithJsonSchema({"anyOf": [{"const": "wait"}, {"type": "number"}]}),
]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
Network = Annotated[str, AfterValidator(_network)]
Domain = Annotated[str, AfterValidator(_domain)]
Host = Annotated[str, AfterValidator(_host)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]


# --- mail, numbers, files ---------------------------------------------------------------------------------------------


def address_of(mailbox: str) -> str:
    """The bare address of ``Fax gateway <fax@example.org>``."""
    return parseaddr(mailbox)[1]


def _mail_address(value: str) -> str:
    local, at, domain = value.rpartition("@")
    if not at or not local or not _HOST.fullmatch(domain) or not re.fullmatch(r'[^\s<>,;:"()\\\x00-\x1f\x7f]+', value):
        raise ValueError(f"{value!r} is not a mail address such as admin@example.org")
    return value


def _mailbox(value: str) -> str:
    if not value.isprintable():
        raise ValueError("must be on one line")
    found = getaddresses([value])
    if len(found) != 1 or not found[0][1]:  # of more than one the first would be taken, which may be a part of the name
        example = """'"NAME" <fax@example.org>'"""
        raise ValueError(
            f"{value!r} is not one mail address; a name with a comma or @ has quotes of its own: {example}"
        )
    _mail_address(found[0][1])
    return value


def _region(value: str) -> str:
    code = value.upper()
    if code in COUNTRIES:
        return code
    names = {name.lower().removeprefix("the "): key for key, name in COUNTRIES.items()} | {"uk": "GB", "england": "GB"}
    meant = names.get(value.lower().removeprefix("the "))
    hint = f"; did you mean {meant}?" if meant else ", two letters such as US or DE (ISO 3166)"
    raise ValueError(f"{value!r} is not a country code{hint}")


def _number_prefix(value: str) -> str:
    """``+8835100``: blanks, dots and hyphens are for the eye only."""
    prefix = re.sub(r"[ .-]", "", value)
    if not re.fullmatch(r"\+[1-9][0-9]{0,14}", prefix):
        raise ValueError(f"{value!r} is not a number or the start of one, with + and country code: +8835100")
    return prefix


def _path(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, (str, Path)) and str(value):
        return surroundings(info).path(str(value))
    if value is None:
        return None
    raise ValueError("must be a path")


MailAddress = Annotated[str, AfterValidator(_mail_address)]
Mailbox = Annotated[str, AfterValidator(_mailbox)]
Region = Annotated[str, AfterValidator(_region), _text_schema("^[A-Za-z]{2}$", "US", "DE")]
NumberPrefix = Annotated[str, AfterValidator(_number_prefix), _text_schema(r"^\+[1-9][0-9 .-]*$", "+8835100")]
FilePath = Annotated[
    Path, BeforeValidator(_path), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
OptionalPath = Annotated[
    Path | None,
    BeforeValidator(_path),
    PlainSerializer(lambda path: None if path is None else str(path)),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}]}),
]


def _listed(value: Any) -> Any:
    """One value where a list may stand is a list of one."""
    if isinstance(value, str) and "," in value:
        raise ValueError("has a comma; a list of several is written [ONE, TWO]")
    return [value] if isinstance(value, str) else value


def _not_empty(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("needs at least one entry")
    return value


OneOrMore = BeforeValidator(_listed)
NotEmpty = AfterValidator(_not_empty)
