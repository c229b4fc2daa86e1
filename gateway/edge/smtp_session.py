"""One client's connection: aiosmtpd's protocol with its dialogue replaced.

Of aiosmtpd it keeps the protocol that asyncio speaks to. Reading, commands, addresses, DATA, timers, TLS and AUTH are ours:
stock aiosmtpd buffers an endless line, reads mails line by line, cuts slow uploads, cancels a commit when the client hangs
up, and drops parts of addresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Session

from gateway import telemetry
from gateway.edge.smtp_clients import Clients, client_at, is_proxy, name_of, peer_of, tls_of
from gateway.edge.smtp_data import Closed, Input, LineTooLong, SpeaksTls
from gateway.edge.smtp_dialogue import Dialogue
from gateway.edge.smtp_proxy import NoHeader, read_header
from gateway.edge.smtp_replies import SHUTTING_DOWN, Hangup
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.errors import GatewayError
from gateway.model import Peer

log = structlog.get_logger("smtpd")
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd would log every command line, numbers and all

_LINE = 12_288  # bytes of a command line: what RFC 4954 section 4 asks for, of a password
_HANDSHAKE = 60.0  # seconds, all these
_PROXY_WORD = 10.0
_LAST_WORD = 5.0
_LINGER = 2.0


class Conversation(SMTP):
    """One client."""

    def __init__(
        self,
        door: Door,
        clients: Clients,
        settings: SmtpSettings,
        listener: ListenerSettings,
        context: ssl.SSLContext | None,
    ) -> None:
        # not SMTP.__init__: it looks through all its members for each connection, and its limits are not ours
        self.loop = asyncio.get_running_loop()
        asyncio.StreamReaderProtocol.__init__(
            self,
            None,  # type: ignore[arg-type]  # what comes is read by an Input
            loop=self.loop,
        )
        self._door = door
        self._clients = clients
        self._listener = listener
        self._settings = settings
        self._context = context
        self.enable_SMTPUTF8 = False
        self.session = Session(self.loop)
        self.transport: Any = None
        self.source: Input
        self._talking: asyncio.Task[None] | None = None
        self._dialogue: Dialogue | None = None
        self._comes_known = False
        self._address = ""
        self._listening = False  # waits for a word of the client's
        self._sent_away = ""

    # --- transport ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport = transport
        self.source = Input(transport)
        if self._listener.tls == "implicit" or self._listener.proxies:
            self.transport.pause_reading()  # the handshake is for TLS to read, and the words of a proxy are not SMTP
        self._talking = self.loop.create_task(self._converse(), name=f"smtp-{self._listener.name}")
        self._clients.track(self, self._talking)

    def connection_lost(self, error: Exception | None) -> None:
        """The conversation notices by itself; a commit under way is not to be cancelled."""
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.source.end(error)
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.source.feed(data)

    def eof_received(self) -> bool | None:
        """A client that closes its sending side may still wait for our answer; under TLS there is no such state."""
        self.source.end()
        return asyncio.StreamReaderProtocol.eof_received(self)

    async def say(self, reply: str, *, within: float | None = None) -> None:
        """Send a reply. Raises ConnectionError, TimeoutError when the client does not take it."""
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self.transport.write(reply.encode("ascii") + b"\r\n")
        # a word that is no command, which a 500 repeats, may be a password that went astray
        telemetry.smtp(self._address, reply=reply.partition(" ")[0] if reply.startswith("500 ") else reply)
        if self._paused:  # type: ignore[attr-defined]  # the client does not take what was said before
            with self.source.waiting():
                async with asyncio.timeout(self._settings.command_timeout if within is None else within):
                    await self._drain_helper()  # type: ignore[attr-defined]

    async def secure(self) -> tuple[str, str]:
        """Go on under TLS; returns its name and the name in the client's certificate. Raises :class:`Closed`."""
        assert self._context is not None, "a listener with TLS has its context"
        self.source.clear()
        below = self.transport
        try:
            with self.source.waiting(), self._hearing():
                transport = await self.loop.start_tls(
                    below,
                    self,
                    self._context,
                    server_side=True,
                    ssl_handshake_timeout=min(_HANDSHAKE, self._settings.command_timeout),
                    ssl_shutdown_timeout=_LAST_WORD,
                )
        except OSError as error:
            log.info("TLS failed", client=self._address, why=str(error) or type(error).__name__)
            raise Closed from error
        if transport is None:  # so says asyncio when the client goes in the middle of it
            raise Closed
        below.resume_reading()  # what came right behind the handshake may have held it back
        self.transport = self._transport = self.source.transport = transport
        self._over_ssl = True
        return tls_of(transport) or "TLS", name_of(transport)

    # --- what the register of clients asks ------------------------------------------------------------------------

    def interrupt(self) -> None:
        """The door closes: a client that is waited for hears it now, one that waits for us behind its answer."""
        if self._talking is not None and self._listening:
            self._talking.cancel("shutdown")

    @property
    def slowness(self) -> float | None:
        return self.source.slowness

    @property
    def is_known(self) -> bool:
        return self._comes_known or (self._dialogue is not None and bool(self._dialogue.peer.proofs))

    def send_away(self, reply: str) -> None:
        """End the conversation at once: only to be called while the client is waited for."""
        assert self._talking is not None, "a client without conversation has no place"
        self._sent_away = reply
        self._talking.cancel("sent away")

    # --- conversation ---------------------------------------------------------------------------------------------

    async def _converse(self) -> None:
        try:
            peer = await self._who()
            self._address = peer.address
            self._may_enter(peer)
            self._comes_known = bool(peer.proofs) or await self._is_familiar(peer)
            with self._clients.present(self, peer):
                await self._bye(await self._talk(peer))
        except Hangup as hangup:
            await self._bye(hangup.reply, linger=False)  # whoever is not let in shall not stay
        finally:
            self.source.close()
            if self.transport is not None:
                self.transport.close()

    async def _who(self) -> Peer:
        """Who it is, or for whom a proxy speaks. Raises :class:`Hangup`."""
        peer = peer_of(self.transport, self._listener)
        if not self._listener.proxies:
            return peer
        if is_proxy(peer, self._listener):
            try:
                async with asyncio.timeout(_PROXY_WORD):
                    with self._hearing(), self.transport.get_extra_info("socket").dup() as connection:
                        connection.setblocking(False)
                        client = await read_header(connection)
            except (NoHeader, OSError) as error:
                why = str(error) or type(error).__name__
                log.warning("a proxy does not say whom it speaks for (PROXY protocol)", proxy=peer.address, why=why)
                raise Hangup from None
            # one that it does not name has proven nothing, whatever networks the proxy is in
            peer = client_at(*client, self._listener) if client else replace(peer, trusted_network=False)
        if self._listener.tls != "implicit" and self.transport is not None:
            self.transport.resume_reading()
        return peer

    def _may_enter(self, peer: Peer) -> None:
        """Raise :class:`Hangup` where a listener is for others."""
        if self._listener.profile == "legacy" and not peer.trusted_network:
            log.warning("a client outside the networks of a legacy listener", client=peer.address)
            raise Hangup(
                f"554 5.7.1 this port is for named devices; ask the administrator to add {peer.address} to its networks"
            )

    async def _is_familiar(self, peer: Peer) -> bool:
        """Whether somebody logged in at its address before. It is asked only where that matters."""
        try:
            return self._clients.is_crowded and await self._door.is_familiar(peer)
        except GatewayError:  # trouble of ours
            return False

    async def _talk(self, peer: Peer) -> str:
        """Answer command by command; returns what is said last, "" for nothing."""
        dialogue = self._dialogue = Dialogue(self, peer, self._door, self._clients, self._settings, self._listener)
        try:
            if self._listener.tls == "implicit":
                dialogue.secured(*await self.secure())
            await asyncio.sleep(0)  # what came with the connection can be seen now
            dialogue.hasty("before the greeting")
            await self.say(f"220 {self._settings.hostname} ESMTP faxgateway")
            while not self._clients.stopping:
                await dialogue.command(await self._next(dialogue))
        except Hangup as hangup:
            return hangup.reply
        except TimeoutError:
            if dialogue.in_message:  # its device may show it as sent
                log.info("a mail never came to its end", client=peer.address)
            return "421 4.4.2 nothing was heard from you for too long; goodbye"
        except OSError as error:  # of the connection
            if dialogue.in_message:
                log.info("connection lost in a mail", client=peer.address, why=type(error).__name__)
            return ""
        except asyncio.CancelledError:  # by the register of clients: nobody else cancels a conversation
            return self._sent_away or SHUTTING_DOWN
        except Exception:
            log.exception("conversation failed", client=peer.address)
            return "421 4.3.0 the gateway has trouble of its own; try again later"
        finally:
            dialogue.reset()
        return SHUTTING_DOWN

    async def _next(self, dialogue: Dialogue) -> bytes:
        """The next command line."""
        pipelined = self.source.pending
        raw = await self.line()
        if dialogue.unconfirmed and not pipelined:  # said after our 250 was sent: the client has read it
            self._door.confirmed(dialogue.unconfirmed)
            dialogue.unconfirmed = ""
        return raw

    async def line(self) -> bytes:
        """A line of the client's. Raises :class:`Hangup`, OSError."""
        try:
            with self._hearing():
                return await self.source.line(_LINE, self._settings.command_timeout)
        except LineTooLong:
            raise Hangup("500 5.5.2 the command line is too long") from None
        except SpeaksTls:
            log.warning(
                "a client begins TLS where it is not spoken (yet): it needs STARTTLS, or a listener with tls: implicit",
                client=self._address,
            )
            raise Hangup from None

    @contextlib.contextmanager
    def _hearing(self) -> Iterator[None]:
        """Meanwhile the client is waited for, and nothing is lost when the door closes."""
        self._listening = True
        try:
            yield
        finally:
            self._listening = False

    async def _bye(self, reply: str, *, linger: bool = True) -> None:
        """Say the last word, see to it that it arrives, and close."""
        if self.transport is None or (self._listener.tls == "implicit" and not self._over_ssl):
            return
        try:
            if reply:
                await self.say(reply, within=_LAST_WORD)
                if linger and not (reply.startswith("221") or self._clients.stopping or self._sent_away):
                    await self._linger()
        except OSError:
            if self.transport is not None:
                self.transport.abort()

    async def _linger(self) -> None:
        """Let the client finish its sentence: closing in the middle of it would wipe out the reply on its way."""
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()
        with contextlib.suppress(TimeoutError, Closed):
            async with asyncio.timeout(_LINGER):
                while True:
                    await self.source.next(_LINGER)
