"""Who wrote a mail, where the mail server in front has verified it: Authentication-Results (RFC 8601), read strictly.

From is anybody's word. It counts once a field of the server that we trust says that the domain in it vouches for it: DMARC
passed, or a DKIM signature of that domain or of one above it. That a domain may send from an address (SPF) is no word on the
author. What cannot be read to its end is no result.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.mail.headers import Headers

_FROM = re.compile(
    r'(?:(?:[^<>@,;:"]*|\s*"(?:[^"\\]|\\.)*"\s*)<([^<>@\s,;:"()]+@[A-Za-z0-9.-]+)>|([^<>@\s,;:"()]+@[A-Za-z0-9.-]+))'
)
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^\s;"()]+)'
_RESULT = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*)(?:\s*/\s*[0-9]+)?\s*=\s*([A-Za-z][A-Za-z0-9-]*)")
_PROPERTY = re.compile(rf"\s+(?:reason|([A-Za-z][A-Za-z0-9-]*)\s*\.\s*([A-Za-z][A-Za-z0-9-]*))\s*=\s*({_VALUE})")
_PIECE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^";])*')

Result = tuple[str, str, dict[str, str]]  # method, result, properties such as header.d; all in lower case


def proven(headers: Headers, authserv_id: str) -> str:
    """The From address in lower case, "" unless the server ``authserv_id`` says that its domain vouches for it."""
    author = _author(headers)
    domain = author.rpartition("@")[2]
    results = [result for field in headers.every("authentication-results") for result in read(field, authserv_id)]
    dmarc = [result for result in results if result[0] == "dmarc"]
    if dmarc:  # the uppermost is the newest: it decides
        _, verdict, properties = dmarc[0]
        return author if verdict == "pass" and properties.get("header.from") == domain else ""
    for method, verdict, properties in results:
        signer = properties.get("header.d") or properties.get("header.i", "").rpartition("@")[2]
        if method == "dkim" and verdict == "pass" and _vouches(signer, domain):
            return author
    return ""


def read(field: str, authserv_id: str) -> list[Result]:
    """The results in one field; none when it is of another server, of another version, or cannot be read whole."""
    text = _without_comments(field)
    if text is None:
        return []
    head, *pieces = _pieces(text)
    words = head.split()
    if not words or words[0].strip('"').lower() != authserv_id.lower() or words[1:] not in ([], ["1"]):
        return []
    results = []
    for piece in pieces:
        if piece.strip().lower() in ("none", ""):
            continue
        result = _result(piece)
        if result is None:
            return []
        results.append(result)
    return results


def _author(headers: Headers) -> str:
    """The one address of the one From field."""
    fields = list(headers.every("from"))
    found = _FROM.fullmatch(fields[0]) if len(fields) == 1 else None
    author = found[1] or found[2] if found else ""
    return author.lower() if author.isascii() else ""  # in small letters a Kelvin sign would be a k


def _vouches(signer: str, domain: str) -> bool:
    """Whether a signature of ``signer`` speaks for ``domain``: it is that domain, or one above it that is no bare suffix."""
    return bool(domain) and (signer == domain or ("." in signer and domain.endswith(f".{signer}")))


def _without_comments(text: str) -> str | None:
    """``text`` with a blank for each comment; None when a comment or a quoted string does not end."""
    kept, depth, quoted, skip = [], 0, False, False
    for character in text:
        if skip:
            skip = False
        elif character == "\\" and (quoted or depth):
            skip = True
        elif character == '"' and not depth:
            quoted = not quoted
        elif character == "(" and not quoted:
            depth += 1
        elif character == ")" and depth:
            depth -= 1
            if not depth:
                kept.append(" ")
            continue
        if not depth:
            kept.append(character)
    return None if depth or quoted else "".join(kept)


def _pieces(text: str) -> Iterator[str]:
    """What stands between semicolons outside of quotes."""
    position = 0
    while position <= len(text):
        piece = _PIECE.match(text, position)
        assert piece is not None, "it may match nothing"
        yield piece[0]
        position = piece.end() + 1


def _result(piece: str) -> Result | None:
    found = _RESULT.match(piece)
    if found is None:
        return None
    properties: dict[str, str] = {}
    position = found.end()
    while following := _PROPERTY.match(piece, position):
        if following[1]:
            properties.setdefault(f"{following[1]}.{following[2]}".lower(), following[3].strip('"').lower())
        position = following.end()
    return None if piece[position:].strip() else (found[1].lower(), found[2].lower(), properties)
