"""What an operator writes: fax numbers, mailboxes, what a sender route matches. Everything is checked, little is guessed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from decimal import Decimal

from gateway import numbers, policy, precis
from gateway.errors import Refused
from gateway.limits import Cap
from gateway.mail.options import Asked, read

_DOMAIN = re.compile(r"(?!.*\.\.)[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.IGNORECASE | re.ASCII)
# RFC 5321 section 4.1.2, with the letters of RFC 6531, and dots anywhere; nothing unseen, as a paste from a web page has it
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]{1,64}")
# T.30 has 20 characters for it, and no others that all machines print
_STATION_ID = re.compile(r"[A-Za-z0-9+. -]{0,20}")
_SHORT_NAME = re.compile(r"[a-z][a-z0-9._-]*|[0-9]{1,6}", re.ASCII | re.IGNORECASE)
_PRICE = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
_LONGEST_LINE = 200
SENDER_MATCHES = "an address, @domain, user:NAME, cert:NAME, ip:NETWORK or *"


def fax_address(text: str, *, domains: Sequence[str], region: str) -> str:
    """A fax address: one as it is, or a number as people write it, ``+1 (202) 555-0123``, or a short name of the address
    book, at our first domain; options may stand behind it.

    Raises Refused for what is no number.
    """
    if "@" in text:
        return text
    number, slash, asked = text.partition("/")
    if _SHORT_NAME.fullmatch(number):  # or a short number, which is refused later
        return f"{text}@{domains[0]}"
    return f"{numbers.parse_number(number, region=region).e164}{slash}{asked}@{domains[0]}"


def mailbox(text: str, *, domains: Sequence[str]) -> str:
    """A mail address that is none of our fax addresses, its domain in lower case: one mailbox is written one way. Raises
    Refused.
    """
    address = text.strip()
    local, _, domain = address.rpartition("@")
    if not _LOCAL_PART.fullmatch(local) or not _DOMAIN.fullmatch(domain):
        raise Refused(f"{text!a} is not a mail address such as office@example.org")
    if domain.lower() in {ours.lower() for ours in domains}:
        raise Refused(f"{address} is a fax address of this gateway: mails to it would be faxed")
    return f"{local}@{domain.lower()}"


def did_match(text: str, *, region: str) -> str:
    """A number of ours in E.164 form, or ``*``. Raises Refused."""
    return "*" if text.strip() == "*" else numbers.parse_number(text, region=region).e164


def sender_match(text: str) -> str:
    """What a sender route matches, in the one form it is stored in. Raises Refused."""
    match = text.strip()
    if match == "*":
        return match
    kind, colon, value = match.partition(":")
    if colon and kind == "user":
        return f"user:{login(value)}"
    if colon and kind == "cert":
        if not value.strip():
            raise Refused("cert: needs the name in a certificate")
        return f"cert:{line(value.strip(), 'the name in a certificate')}"
    if colon and kind == "ip":
        return f"ip:{_network(value)}"
    local, at, domain = match.rpartition("@")
    if at and (not local or _LOCAL_PART.fullmatch(local)) and _DOMAIN.fullmatch(domain):
        return match.lower()
    raise Refused(f"{text!a} matches no sender: a sender route is for {SENDER_MATCHES}")


def new_sender_match(text: str) -> str:
    """As :func:`sender_match`, for what is yet to be. Raises Refused for a * that would stand for itself and for nobody else."""
    match = sender_match(text)
    if match == "cert:*" or ("*" in match and match != "*" and not match.startswith("cert:")):
        raise Refused(
            f"{match} matches no sender: a * stands alone, for everybody (with --identity login for all who log in);"
            " @example.org is for a whole domain"
        )
    return match


def _network(text: str) -> str:
    try:
        return policy.network(text)
    except ValueError:
        pass
    try:
        meant = policy.network(text, strict=False)
    except ValueError:
        raise Refused(f"{text!a} is not a network such as 192.168.1.0/24") from None
    raise Refused(f"{text} is an address inside a network; did you mean ip:{meant}?")


def client(text: str) -> str:
    """The address of a client. Raises Refused."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Refused(f"{text!a} is no IP address such as 192.168.7.3") from None


def login(text: str) -> str:
    """The name of a user, in the one form it is stored in. Raises Refused."""
    if not text or any(c.isspace() or not c.isprintable() for c in text):
        raise Refused("a user name has no blanks and is not empty")
    return precis.name(text)


def station_id(text: str) -> str:
    """Raises Refused for what cannot be sent as a TSI (T.30 section 5.3.6.2.5)."""
    if not _STATION_ID.fullmatch(text):
        raise Refused("a station id has at most 20 letters, digits, blanks and + - .")
    return text


def options(pairs: Sequence[str]) -> Asked:
    """Options of faxes, ``cover=none`` each, that a route may set. Raises Refused."""
    given = [(name, value) for name, _, value in (pair.partition("=") for pair in pairs)]
    asked = read(given, "in the route")
    if strange := {"tsi", "send-at"} & asked.keys():
        raise Refused(f"{min(strange)} is no option of a route; a station id is set with --tsi")
    return asked


def caps(texts: Sequence[str]) -> tuple[Cap, ...]:
    """Caps of a route, each as ``day:money=5.00``. Raises Refused."""
    try:
        return tuple(dict.fromkeys(Cap.parse(text) for text in texts))
    except ValueError as error:
        raise Refused(str(error)) from None


def pages(number: int) -> int:
    """Raises Refused for what is no number of pages."""
    if number < 0:
        raise Refused("a number of pages is not negative")
    return number


def price(text: str) -> Decimal:
    """An amount of money. Raises Refused."""
    if not _PRICE.fullmatch(text):
        raise Refused(f"{text!a} is not a price such as 2.50")
    return Decimal(text)


def line(text: str, what: str) -> str:
    """One line for people. Raises Refused."""
    if len(text) > _LONGEST_LINE or not text.isprintable():
        raise Refused(f"{what} is one line of at most {_LONGEST_LINE} characters")
    return text
