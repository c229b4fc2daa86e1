"""AUTH PLAIN and LOGIN: the exchange of lines that ends in a login and a password (RFC 4954, RFC 4616)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from gateway.edge.smtp_commands import BadCommand

MECHANISMS = "PLAIN LOGIN"

# "Username:" and "Password:": some copiers hang up on other words
_USERNAME = "VXNlcm5hbWU6"
_PASSWORD = "UGFzc3dvcmQ6"  # noqa: S105  # a prompt


async def credentials(argument: str, ask: Callable[[str], Awaitable[str]]) -> tuple[str, str]:
    """Login and password of ``AUTH argument``, with an initial response or without; the word in any case.

    ``ask`` sends a challenge and returns the client's line. Raises :class:`BadCommand`, and what ``ask`` raises.
    """
    mechanism, _, initial = argument.partition(" ")
    if mechanism.upper() == "PLAIN":
        packed = _decoded(initial.strip() or await ask("")).split(b"\0")
        if len(packed) != 3:
            raise BadCommand("501 5.5.2 AUTH PLAIN wants identity, login and password")
        login, password = packed[1], packed[2]
        # RFC 4616 section 2: who wishes to be another must not become himself instead
        if packed[0] not in (b"", login):
            raise BadCommand("535 5.7.8 nobody may act for another login here: leave the identity empty")
    elif mechanism.upper() == "LOGIN":
        login = _decoded(initial.strip() or await ask(_USERNAME))
        password = _decoded(await ask(_PASSWORD))
    else:
        raise BadCommand("504 5.5.4 AUTH is PLAIN or LOGIN here")
    return _text(login), _text(password)


def _text(data: bytes) -> str:
    """RFC 4616 wants UTF-8; old devices send what their keys make, Latin-1."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _decoded(text: str) -> bytes:
    text = text.rstrip(" \t")  # as of devices that fill a line up
    if text == "=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadCommand("501 5.5.2 that is not base64") from None
