"""The arguments of MAIL and RCPT, read from the raw line: nothing dropped, nothing folded, nothing guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.errors import Refused
from gateway.model import Notify

_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,30}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DOT_ATOM = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_MAX_PATH = 512  # characters; RFC 5321 section 4.5.3.1.3 demands 256


class BadCommand(ValueError):
    """``reply`` is the whole SMTP answer."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class MailCommand:
    """MAIL FROM: the reverse-path ("" for null) in its plainest spelling, and its parameters (RFC 5321, 1870, 3461, 4954)."""

    sender: str
    size: int | None = None
    ret: str | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """RCPT TO: the forward-path as received, without source route, and its DSN parameters (RFC 3461)."""

    address: str
    orcpt: str | None = None
    notify: frozenset[Notify] = field(default_factory=frozenset)


def read_mail(argument: str) -> MailCommand:
    """Parse what follows ``MAIL``. Raises :class:`BadCommand`, or Refused for an address no report could go to."""
    path, rest = _path(argument, "FROM:", "MAIL FROM:<you@example.org>")
    if len(path) > _MAX_PATH:
        raise Refused("the sender's address is far too long; send from one like you@example.org", status="5.1.7")
    if not _is_plain(path):
        raise Refused(
            "the sender's address has characters that are not plain ASCII; send from an address like you@example.org",
            status="5.1.7",
        )
    size = ret = envid = None
    for keyword, value in _parameters(rest):
        if keyword == "SIZE":
            if not value.isascii() or not value.isdigit() or len(value) > 20:
                raise BadCommand("501 5.5.4 SIZE wants a number of bytes")
            size = int(value)
        elif keyword == "BODY":
            if value.upper() not in ("7BIT", "8BITMIME"):
                raise BadCommand("501 5.5.4 BODY is 7BIT or 8BITMIME here")
        elif keyword == "RET":
            if value.upper() not in ("FULL", "HDRS"):
                raise BadCommand("501 5.5.4 RET is FULL or HDRS")
            ret = value.upper()
        elif keyword == "ENVID":
            envid = _xtext(value, "ENVID")
        elif keyword == "AUTH":  # RFC 4954 section 5: accepted, and never taken for an identity
            _xtext(value, "AUTH")
        else:
            raise BadCommand(f"555 5.5.4 MAIL has no parameter {keyword} here")
    return MailCommand(_plainest(path), size, ret, envid)


def read_rcpt(argument: str) -> RcptCommand:
    """Parse what follows ``RCPT``. Raises :class:`BadCommand`, or Refused for an address nobody should guess at."""
    path, rest = _path(argument, "TO:", "RCPT TO:<+15551234567@fax.local>")
    if not path:
        raise BadCommand("501 5.1.3 RCPT wants an address, for example RCPT TO:<+15551234567@fax.local>")
    if not _is_plain(path):
        raise Refused(
            "the address has characters that are not plain ASCII; write +15551234567@fax.local", status="5.1.3"
        )
    unquoted = "".join(path.split('"')[::2])  # a quote that is escaped is in no number
    if "(" in unquoted or ")" in unquoted:
        raise Refused(
            "the address has a part in parentheses, which mail programs take for a comment and drop;"
            " write the number without them, like +15551234567@fax.local",
            status="5.1.3",
        )
    orcpt, notify = None, frozenset[Notify]()
    for keyword, value in _parameters(rest):
        if keyword == "NOTIFY":
            notify = _notify(value)
        elif keyword == "ORCPT":
            orcpt = _original(value)
        else:
            raise BadCommand(f"555 5.5.4 RCPT has no parameter {keyword} here")
    return RcptCommand(path, orcpt, notify)


def read_bdat(argument: str) -> tuple[int, bool]:
    """Parse what follows ``BDAT``: how many octets, and whether they are the last (RFC 3030). Raises :class:`BadCommand`."""
    match = re.fullmatch(r"([0-9]{1,20})(?:[ \t]+(LAST))?", argument, re.ASCII | re.IGNORECASE)
    if match is None:
        raise BadCommand("501 5.5.4 write BDAT SIZE or BDAT SIZE LAST; goodbye")
    return int(match[1]), match[2] is not None


def _path(argument: str, word: str, example: str) -> tuple[str, str]:
    """The address between the angle brackets and what follows; blanks after the colon and missing brackets are forgiven."""
    if argument[: len(word)].upper() != word:
        raise BadCommand(f"501 5.5.4 write {example}")
    text = argument[len(word) :].lstrip(" \t")
    if not text.startswith("<"):
        path, _, rest = text.partition(" ")
        if not path:
            raise BadCommand(f"501 5.5.4 write {example}")
        return path, rest
    quoted = escaped = False
    for n, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\" and quoted:
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == ">" and not quoted:
            path, rest = text[1:n], text[n + 1 :]
            if path.startswith("<") and rest.startswith(">"):  # swaks doubles the brackets it is given
                path, rest = path[1:], rest[1:]
            return _without_route(path.strip(" ")), rest
    raise BadCommand(f"501 5.5.4 the address lacks its closing >; write {example}")


def _without_route(path: str) -> str:
    """RFC 5321 appendix C: a source route is ignored, the last hop counts."""
    if path.startswith("@") and ":" in path:
        return path.partition(":")[2]
    return path


def _plainest(path: str) -> str:
    """The same address without quotes that protect nothing (RFC 5321 section 4.1.2) and without the dot of the DNS root.

    Routes know a sender by one spelling, and not every mail server takes the others.
    """
    local, at, domain = path.rpartition("@")
    quoted = _QUOTED.fullmatch(local)
    text = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else ""
    return f"{text if _DOT_ATOM.fullmatch(text) else local}@{domain.removesuffix('.')}" if at else path


def _is_plain(text: str) -> bool:
    """Whether ``text`` is printable ASCII: what may stand in a header of ours."""
    return text.isascii() and text.isprintable()


def _parameters(rest: str) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for word in rest.split():
        keyword, _, value = word.partition("=")
        if not _KEYWORD.fullmatch(keyword):
            raise BadCommand("501 5.5.4 what follows the address is not a parameter; write one address, in <>")
        if found.setdefault(keyword.upper(), value) != value:
            raise BadCommand(f"501 5.5.4 {keyword.upper()} is given twice")
    return list(found.items())


def _xtext(value: str, keyword: str) -> str:
    """RFC 3461 section 4: ``+2B`` is a plus sign. What it stands for is printable (sections 4.2 and 4.4)."""
    text = _XTEXT.sub(lambda match: chr(int(match[1], 16)), value)
    if not value or not _is_plain(text) or re.search(r"\+(?![0-9A-F]{2})", value):
        raise BadCommand(f"501 5.5.4 {keyword} is not xtext (RFC 3461)")
    return text


def _original(value: str) -> str:
    """ORCPT, which is only repeated in reports: as it is written where that is no xtext, as by who forgets about the plus sign."""
    try:
        return _xtext(value, "ORCPT")
    except BadCommand:
        if not value or not _is_plain(value):
            raise
        return value


def _notify(value: str) -> frozenset[Notify]:
    words = value.lower().split(",")
    try:
        found = frozenset(Notify(word) for word in words)
    except ValueError:
        raise BadCommand("501 5.5.4 NOTIFY is NEVER, or of SUCCESS, FAILURE, DELAY") from None
    if Notify.NEVER in found and len(words) > 1:
        raise BadCommand("501 5.5.4 NOTIFY=NEVER stands alone")
    return found
