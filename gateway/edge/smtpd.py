"""The SMTP door: its listeners, their certificates, and how it opens and closes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import warnings

import structlog

from gateway.edge.listen import Listening, addresses, listen
from gateway.edge.smtp_clients import Clients
from gateway.edge.smtp_session import Conversation
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.errors import TryLater

log = structlog.get_logger("smtpd")

_CLOSE_GRACE = 5.0  # seconds


class SmtpDoor:
    """All listeners, and the clients they have let in. ``sockets`` are those systemd has passed, by name."""

    def __init__(
        self,
        settings: SmtpSettings,
        listeners: list[ListenerSettings],
        door: Door,
        *,
        sockets: dict[str, socket.socket] | None = None,
    ) -> None:
        self._settings = settings
        self._door = door
        self._listeners = listeners
        self._sockets = sockets or {}
        self._servers: list[Listening] = []
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._clients = Clients(settings)

    async def start(self) -> None:
        """Bind every listener, or none. Raises OSError naming the address, TryLater for a certificate or socket."""
        try:
            for listener in self._listeners:
                await self._bind(listener)
        except BaseException:
            await self.stop(0)
            raise

    async def _bind(self, listener: ListenerSettings) -> None:
        if listener.clear_auth:
            log.warning(
                "passwords may come in clear here, where others can read them on the way", listener=listener.address
            )
        if listener.tls != "none":
            self._contexts[listener.name] = _context(listener)

        def factory() -> Conversation:
            context = self._contexts.get(listener.name)
            return Conversation(self._door, self._clients, self._settings, listener, context)

        server = await listen(factory, listener.address, self._sockets)
        self._servers.append(server)
        if listener.proxies and server.sockets[0].family == socket.AF_UNIX:  # passed by systemd: no configuration tells
            raise OSError(
                f"{listener.address} is a unix socket, where proxies has no meaning: whoever opens it is trusted; pass on one"
                " of TCP, or leave proxies out"
            )

    def addresses(self) -> list[str]:
        """Where it really listens."""
        return [address for server in self._servers for address in addresses(server)]

    def reload_certificates(self) -> None:
        """Load the certificate files again, for connections from now on. Raises TryLater; the old ones stay then."""
        # a context never forgets whom it has trusted, so there are new ones, and none of them before all are good
        self._contexts = {listener.name: _context(listener) for listener in self._listeners if listener.tls != "none"}

    async def stop(self, grace: float) -> None:
        """Take nobody new, tell idle clients 421, let messages and commits under way end within ``grace`` seconds."""
        self._clients.stopping = True
        for server in self._servers:
            server.close()
        await self._clients.drain(grace)
        for server in self._servers:
            with contextlib.suppress(TimeoutError):  # from 3.12 on it waits for every connection, also one that hangs
                async with asyncio.timeout(_CLOSE_GRACE):
                    await server.wait_closed()
        self._servers.clear()


def _context(listener: ListenerSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if listener.profile == "legacy":  # RFC 8996 has taken these versions back; some devices know no other
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # without it OpenSSL 3 finds no cipher for them
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # without a password function OpenSSL would ask for one on the terminal
        context.load_cert_chain(listener.certificate or "", listener.key, password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        files = f"{listener.certificate} with {listener.key}"
        raise _unusable(f"the certificate of the listener {listener.address}", files, error) from error
    if listener.client_ca is None:
        return context
    try:
        context.load_verify_locations(listener.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(f"the client_ca of the listener {listener.address}", listener.client_ca, error) from error
    context.verify_mode = ssl.CERT_OPTIONAL  # a certificate is asked for; one that does not verify ends the handshake
    return context


def _unusable(what: str, files: object, error: OSError) -> TryLater:
    why = getattr(error, "reason", None) or error.strerror  # of OpenSSL, of the system
    remedy = "; let the gateway's user read that" if isinstance(error, PermissionError) else ""
    return TryLater(f"{what} cannot be used ({why}): {files}{remedy}", str(error))
