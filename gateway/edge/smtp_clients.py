"""Who is at the SMTP door: clients told apart by what is proven, counted, and waited for when the door closes."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Protocol

import structlog

from gateway.edge.smtp_replies import Hangup
from gateway.edge.smtp_settings import ListenerSettings, SmtpSettings
from gateway.errors import GatewayError
from gateway.model import Peer

log = structlog.get_logger("smtpd")


class Interruptible(Protocol):
    """A conversation, as the register of clients sees it."""

    def interrupt(self) -> None:
        """The door closes."""
        ...


class Clients:
    """The conversations under way and the work they leave behind."""

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._conversations: dict[asyncio.Task[None], Interruptible] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._counts: Counter[str] = Counter()
        self.stopping = False

    def track(self, conversation: Interruptible, task: asyncio.Task[None]) -> None:
        self._conversations[task] = conversation
        task.add_done_callback(lambda done: self._conversations.pop(done, None))

    def background(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something that the client's leaving must not stop."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, GatewayError):
            log.warning("work after a conversation failed", why=repr(error))

    def admit(self, peer: Peer) -> None:
        """Count a client in. Raises :class:`Hangup` when there are too many."""
        self._counts[peer.address] += 1
        if self.stopping:
            raise Hangup("421 4.3.2 the gateway is shutting down; try again in a minute")
        if self._counts.total() > self._settings.max_connections:
            self.leave(peer)
            raise Hangup("421 4.3.2 too many connections; try again later")
        if not is_local(peer) and self._counts[peer.address] > self._settings.max_connections_per_client:
            self.leave(peer)
            log.warning("too many connections", client=peer.address)
            raise Hangup("421 4.7.0 too many connections from your address; try again later")

    def leave(self, peer: Peer) -> None:
        self._counts[peer.address] -= 1
        if self._counts[peer.address] <= 0:
            del self._counts[peer.address]

    async def drain(self, grace: float) -> None:
        """Tell idle clients 421, let messages and commits under way end within ``grace`` seconds."""
        self.stopping = True
        for conversation in list(self._conversations.values()):
            conversation.interrupt()
        tasks: set[asyncio.Task[Any]] = {*self._conversations, *self._background}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=10)


def peer_of(transport: Any, listener: ListenerSettings) -> Peer:
    """What a connection proves by itself."""
    name = transport.get_extra_info("peername")
    if not isinstance(name, tuple):  # a unix socket: whoever may open it is trusted
        address, port, trusted = "local", 0, True
    else:
        address, port = str(name[0]).partition("%")[0], int(name[1])
        ip = ipaddress.ip_address(address)
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        address = str(ip)
        trusted = any(ip in ipaddress.ip_network(network, strict=False) for network in listener.networks)
    return Peer(listener=listener.name, address=address, port=port, tls=tls_of(transport), trusted_network=trusted)


def tls_of(transport: Any) -> str | None:
    """Version and cipher of a connection under TLS, for the trace field (RFC 8314 section 4.3)."""
    cipher = transport.get_extra_info("cipher")
    return f"{cipher[1]} {cipher[0]}" if cipher else None


def is_local(peer: Peer) -> bool:
    """Whether nobody can listen on the way: loopback, or a unix socket."""
    return peer.address == "local" or ipaddress.ip_address(peer.address).is_loopback
