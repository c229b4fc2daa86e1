"""What the SMTP door is told: its settings, and the gateway behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gateway.model import Envelope, Peer, Recipient, Unnumbered
from gateway.spool import MailDraft


class Door(Protocol):
    """The gateway behind the door: decides and makes durable."""

    async def authenticate(self, peer: Peer, login: str, password: str) -> Peer | None: ...

    async def is_familiar(self, peer: Peer) -> bool: ...

    async def check_sender(self, peer: Peer, sender: str, size: int | None) -> None: ...

    def is_postmaster(self, address: str) -> bool: ...

    async def unnumbered(self, peer: Peer, sender: str, address: str) -> Unnumbered | None: ...

    async def check_recipient(self, peer: Peer, sender: str, address: str) -> Recipient: ...

    def draft(self) -> MailDraft: ...

    async def accept(self, envelope: Envelope, draft: MailDraft) -> str: ...

    def confirmed(self, queue_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener. ``address`` is ``host:port``, ``[::1]:port``, ``unix:/path`` or ``fd:NAME``; files are PEM.

    A ``legacy`` listener serves old devices in ``networks`` alone, with whatever TLS they have. Clients in ``proxies``
    say whom they speak for (PROXY protocol).
    """

    name: str
    address: str
    networks: tuple[str, ...] = ()
    tls: str = "none"  # none, starttls, implicit
    auth: str = "none"  # none, optional, required
    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None  # who signs the certificates of clients
    profile: str = "standard"  # standard, legacy
    bare_newline: str = "normalise"  # normalise, reject
    clear_auth: bool = False
    auth_after_helo: bool = True
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Bytes, counts and seconds. Time limits are for one command and for one silence within a mail, never for a session.

    ``min_data_rate`` (bytes per second, 0 for none) is what a mail must come in at within each ``data_timeout``, or minute
    where that is longer.
    """

    hostname: str
    max_message: int = 50_000_000
    max_recipients: int = 100
    command_timeout: float = 300.0
    data_timeout: float = 180.0
    max_connections: int = 200
    max_connections_per_client: int = 50
    max_errors: int = 20
    max_commands: int = 1000  # of a session, beside its recipients, without a mail that was accepted
    min_data_rate: int = 500
