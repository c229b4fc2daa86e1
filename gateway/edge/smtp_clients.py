"""Who is at the SMTP door: clients told apart by what is proven, counted, and waited for when the door closes."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Collection, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import structlog

from gateway.edge.smtp_replies import SHUTTING_DOWN, Hangup
from gateway.edge.smtp_settings import ListenerSettings, SmtpSettings
from gateway.errors import GatewayError
from gateway.model import Peer

log = structlog.get_logger("smtpd")

_COMMIT_GRACE = 10.0  # seconds for commits whose clients have gone
_CANCEL_GRACE = 10.0  # and for what was cancelled to clean up


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

    @contextmanager
    def present(self, peer: Peer) -> Iterator[None]:
        """A client counts while it is here. Raises :class:`Hangup` when it may not come in."""
        if self.stopping:
            raise Hangup(SHUTTING_DOWN)
        if self._counts.total() >= self._settings.max_connections:
            log.warning("too many connections", count=self._counts.total())
            raise Hangup("421 4.3.2 too many connections; try again later")
        if not is_local(peer) and self._counts[peer.address] >= self._settings.max_connections_per_client:
            log.warning("too many connections of one client", client=peer.address)
            raise Hangup("421 4.7.0 too many connections from your address; try again later")
        self._counts[peer.address] += 1
        try:
            yield
        finally:
            self._counts[peer.address] -= 1
            if not self._counts[peer.address]:
                del self._counts[peer.address]

    async def drain(self, grace: float) -> None:
        """Let clients and what they began come to an end: idle ones hear 421 now, late ones after ``grace`` seconds.

        A commit under way outlives its client and is waited for another while.
        """
        self.stopping = True
        for conversation in list(self._conversations.values()):
            conversation.interrupt()
        await _wait_for(self._conversations, grace)
        await _wait_for(self._background, _COMMIT_GRACE)


async def _wait_for(tasks: Collection[asyncio.Task[Any]], grace: float) -> None:
    """Wait for tasks to end; those that do not within ``grace`` seconds are cancelled."""
    if not tasks:
        return
    _, late = await asyncio.wait(set(tasks), timeout=grace)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=_CANCEL_GRACE)


def peer_of(transport: Any, listener: ListenerSettings) -> Peer:
    """What a connection proves by itself."""
    name = transport.get_extra_info("peername")
    if transport.get_extra_info("socket").family == socket.AF_UNIX:  # whoever may open it is trusted
        address, port, trusted = "local", 0, True
    elif not name:  # it has gone already
        raise Hangup
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
