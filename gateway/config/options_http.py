"""Options of the HTTP server."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    PositiveInt,
    ValidationInfo,
    field_validator,
)

from gateway.config.kinds import (
    Duration,
    ListenAddress,
    Network,
    OneOrMore,
    Size,
)
from gateway.config.secrets import OptionalSecret, Secret, SecretOption, surroundings
from gateway.config.sections import Section, section

_TOKEN_LENGTH = 22  # characters of a 64-letter alphabet that hold 128 bits
_TOKEN_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986 unreserved


class Callbacks(Section):
    address: ListenAddress = "127.0.0.1:8025"
    """where Fax.to's callbacks arrive, as POST /callback/TOKEN; also /livez, /readyz and /metrics"""
    token: SecretOption = Secret(source={"file": "callback-token"})
    """the secret part of the callback URL, at least 22 letters and digits"""
    old_token: OptionalSecret = None
    """one that stays good until the new one is set at Fax.to"""
    max_file: Size = 64 << 20
    """largest received fax taken"""
    body_timeout: Duration = 300.0
    """a callback must be whole within it"""
    idle_timeout: Duration = 60.0
    """a connection without a whole request is closed after it"""
    max_connections: PositiveInt = 100
    """connections at once"""

    @field_validator("token", "old_token")
    @classmethod
    def _token_is_strong(cls, token: Secret | None, info: ValidationInfo) -> Secret | None:
        if token is None or (not surroundings(info).secrets and not token.value):
            return token
        if len(token.value) < _TOKEN_LENGTH:
            raise ValueError(
                f"has {len(token.value)} characters, at least {_TOKEN_LENGTH} are needed so that nobody guesses it;"
                " make one with: openssl rand -hex 24"
            )
        if not _TOKEN_LETTERS.issuperset(token.value):
            raise ValueError("may hold letters, digits and - . _ ~ only, as it stands in a URL")
        return token


class Http(Section):
    callbacks: Callbacks = section()
    metrics_networks: Annotated[tuple[Network, ...], OneOrMore] = ("127.0.0.0/8", "::1/128")
    """clients that may read /metrics"""
