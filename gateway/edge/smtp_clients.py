"""Who is at the SMTP door: clients told apart by what is proven, counted, and waited for when the door closes."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Protocol

import structlog

from gateway import policy
from gateway.edge.seldom import Seldom
from gateway.edge.smtp_replies import SHUTTING_DOWN, TOO_SLOW, Hangup
from gateway.edge.smtp_settings import ListenerSettings, SmtpSettings
from gateway.model import Peer

log = structlog.get_logger("smtpd")

_COMMIT_GRACE = 10.0  # seconds for commits whose clients have gone
_CANCEL_GRACE = 10.0  # and for what was cancelled to clean up
_LOOPBACK = ("127.0.0.0/8", "::1/128")
_SLOW = 1.0  # seconds of slowness from which a client may lose its place to another
_TRUST = 60.0  # and of one that is known, from which a stranger may have its place


class Guest(Protocol):
    """A conversation, as the register of clients sees it."""

    @property
    def slowness(self) -> float | None:
        """Seconds the client has kept us waiting; None while it is our turn."""
        ...

    @property
    def is_known(self) -> bool:
        """Whether it has proven who it is, or comes from where somebody did."""
        ...

    def interrupt(self) -> None:
        """The door closes."""
        ...

    def send_away(self, reply: str) -> None:
        """Its place is wanted."""
        ...


class Clients:
    """The conversations under way."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._conversations: dict[asyncio.Task[None], Guest] = {}
        self._committing: set[asyncio.Task[Any]] = set()
        self._present: dict[Guest, str] = {}
        self._counts: Counter[str] = Counter()
        self._seldom = Seldom(log)
        self.stopping = False

    def track(self, conversation: Guest, task: asyncio.Task[None]) -> None:
        self._conversations[task] = conversation
        task.add_done_callback(lambda done: self._conversations.pop(done, None))

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Meanwhile this conversation makes a mail durable, and is not to be stopped."""
        task = asyncio.current_task()
        assert task is not None
        self._committing.add(task)
        try:
            yield
        finally:
            self._committing.discard(task)

    @property
    def is_crowded(self) -> bool:
        """Whether it may matter soon whether a client is known."""
        return len(self._present) >= self._for_strangers

    @property
    def _for_strangers(self) -> int:
        """How many places they may have."""
        return self._settings.max_connections - self._settings.max_connections // 4

    @contextmanager
    def present(self, guest: Guest, peer: Peer) -> Iterator[None]:
        """A client counts while it is here. Raises :class:`Hangup` when it may not come in.

        When all places are taken, the client that keeps us waiting longest has to go, strangers first: mails get
        through, however many connections say nothing, or say it slowly.
        """
        if self.stopping:
            raise Hangup(SHUTTING_DOWN)
        place = peer.address if peer.trusted_network else policy.place_of(peer.address)
        if not is_local(peer) and self._counts[place] >= self._settings.max_connections_per_client:
            self._seldom.warning("too many connections of one client", client=peer.address)
            raise Hangup("421 4.7.0 too many connections from your address; try again later")
        if self.is_crowded and not self._has_room(guest, place):
            self._seldom.warning("too many connections", count=len(self._present))
            raise Hangup("421 4.3.2 too many connections; try again later")
        self._present[guest] = place
        self._counts[place] += 1
        try:
            yield
        finally:
            self._leaves(guest)

    def _has_room(self, guest: Guest, place: str) -> bool:
        """Whether there is a place for one more, or is made.

        However quick strangers are, they cannot keep out who is known, nor throw him out while he pauses, nor can those
        of a few addresses keep out who comes from another, to log in.
        """
        has_place = len(self._present) < self._settings.max_connections
        if guest.is_known:
            return has_place or self._make_room(known=False) or self._make_room(known=True, slow=_SLOW)
        if sum(not each.is_known for each in self._present) >= self._for_strangers:
            return self._make_room(known=False, slow=_SLOW) or self._has_share(place)
        return has_place or self._make_room(known=False, slow=_SLOW) or self._make_room(known=True, slow=_TRUST)

    def _has_share(self, place: str) -> bool:
        """Whether a stranger gets the place of another, of the address that has the most of them."""
        strangers = Counter(at for guest, at in self._present.items() if not guest.is_known)
        (most_at, most), *_ = strangers.most_common(1)
        return most > strangers[place] + 1 and self._make_room(known=False, at=most_at)

    def _make_room(self, *, known: bool, slow: float = -math.inf, at: str = "") -> bool:
        """Send the slowest client of a kind, or of an address, away, if it is that ``slow`` (s)."""
        waited_for = [
            (slowness, guest)
            for guest, place in self._present.items()
            if guest.is_known == known
            and at in ("", place)
            and (slowness := guest.slowness) is not None
            and slowness >= slow
        ]
        if not waited_for:
            return False
        slowness, slowest = max(waited_for, key=lambda entry: entry[0])
        self._seldom.warning(
            "too many connections: the slowest goes", client=self._present[slowest], seconds=round(slowness)
        )
        self._leaves(slowest)
        slowest.send_away(TOO_SLOW)
        return True

    def _leaves(self, guest: Guest) -> None:
        place = self._present.pop(guest, None)
        if place is None:  # it was sent away before
            return
        self._counts[place] -= 1
        if not self._counts[place]:
            del self._counts[place]

    async def drain(self, grace: float) -> None:
        """Let clients and what they began come to an end: idle ones hear 421 now, late ones after ``grace`` seconds.

        A commit under way is waited for another while, whether its client is still there or not.
        """
        self.stopping = True
        for conversation in list(self._conversations.values()):
            conversation.interrupt()
        if not self._conversations:
            return
        _, late = await asyncio.wait(self._conversations, timeout=grace)
        for task in late - self._committing:
            task.cancel()
        if self._committing:
            _, late_commits = await asyncio.wait(self._committing, timeout=_COMMIT_GRACE)
            for task in late_commits:
                task.cancel()
        if late:
            await asyncio.wait(late, timeout=_CANCEL_GRACE)


def peer_of(transport: Any, listener: ListenerSettings) -> Peer:
    """What a connection proves by itself."""
    name = transport.get_extra_info("peername")
    if transport.get_extra_info("socket").family == socket.AF_UNIX:  # whoever may open it is trusted
        return Peer(listener=listener.name, address="local", trusted_network=True)
    if not name:  # it has gone already
        raise Hangup
    return client_at(str(name[0]).partition("%")[0], int(name[1]), listener)


def client_at(address: str, port: int, listener: ListenerSettings) -> Peer:
    """A client at an IP address, which may be one of IPv4 written as IPv6."""
    address = _canonical(address)
    trusted = _is_in(address, listener.networks)
    return Peer(listener=listener.name, address=address, port=port, trusted_network=trusted)


def is_proxy(peer: Peer, listener: ListenerSettings) -> bool:
    """Whether the client speaks for others."""
    return peer.address != "local" and _is_in(peer.address, listener.proxies)


@lru_cache(maxsize=4096)
def _canonical(address: str) -> str:
    ip = ipaddress.ip_address(address)
    return str(ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped else ip)


@lru_cache(maxsize=4096)
def _is_in(address: str, networks: tuple[str, ...]) -> bool:
    ip = ipaddress.ip_address(address)
    return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)


def name_of(transport: Any) -> str:
    """The name in the client certificate that was verified: its common name, else its first e-mail or DNS name; or ""."""
    found = transport.get_extra_info("peercert") or {}
    names = [value for part in found.get("subject", ()) for kind, value in part if kind == "commonName"]
    names += [value for kind, value in found.get("subjectAltName", ()) if kind in ("email", "DNS")]
    return "".join(c if c.isprintable() else "?" for c in names[0]) if names else ""


def tls_of(transport: Any) -> str | None:
    """Version and cipher of a connection under TLS, for the trace field (RFC 8314 section 4.3)."""
    cipher = transport.get_extra_info("cipher")
    return f"{cipher[1]} {cipher[0]}" if cipher else None


def is_local(peer: Peer) -> bool:
    """Whether nobody can listen on the way: loopback, or a unix socket."""
    return peer.address == "local" or _is_in(peer.address, _LOOPBACK)
