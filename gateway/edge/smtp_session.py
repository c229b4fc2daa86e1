"""One client's conversation: aiosmtpd's protocol with its dialogue replaced (RFC 5321, 3207, 4954, 1870, 2920, 2034).

Of aiosmtpd it keeps the transport side and STARTTLS. Commands, addresses, DATA, timers and AUTH are ours: stock aiosmtpd
buffers an endless line, cuts slow uploads, cancels a commit when the client hangs up, and drops parts of addresses.
AUTH is offered under TLS, and in clear only to loopback and unix-socket clients, where nobody can listen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Session, TLSSetupException

from gateway.edge.smtp_auth import MECHANISMS, credentials
from gateway.edge.smtp_clients import Clients, is_local, peer_of, tls_of
from gateway.edge.smtp_commands import BadCommand
from gateway.edge.smtp_data import Input, LineTooLong
from gateway.edge.smtp_replies import Hangup, refusal, shown
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.edge.smtp_transaction import Intake, Transaction, received_line
from gateway.errors import GatewayError
from gateway.model import Envelope, Peer
from gateway.spool import Draft

log = structlog.get_logger("smtpd")
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd would log every command line, numbers and all

_LINE = 2048  # bytes of a command line: RFC 3461 section 5.4 asks for 1036 and more
_READER = 128 << 10
_COMMANDS = 1000  # commands of a session that move nothing forward
_AUTH_FAILURES = 3
_HELLO = b"\x16\x03"  # a TLS record: handshake


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
            asyncio.StreamReader(limit=_READER, loop=self.loop),
            client_connected_cb=self._cb_client_connected,
            loop=self.loop,
        )
        self._door = door
        self._clients = clients
        self._listener = listener
        self._settings = settings
        self.tls_context = context
        self.enable_SMTPUTF8 = False
        self._original_transport: Any = None
        self._tls_protocol: Any = None
        self._tls_handshake_okay = True
        self.transport: Any = None
        self.session = Session(self.loop)
        self.envelope = None  # ours is built at the end of DATA
        self._timeout_handle = None
        self._task: asyncio.Task[None] | None = None
        self._input: Input
        self._errors = self._idle = self._auth_failures = 0
        self._peer = Peer(listener=listener.name, address="local")
        self._esmtp = False
        self._unconfirmed = ""
        self.in_data = False
        self._reset()

    def __del__(self) -> None:
        """aiosmtpd's closes its reader's loop here; ours has nothing to do."""

    # --- transport ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._original_transport is not None:  # TLS has begun: what came in clear does not count
            self._reader._transport = transport  # type: ignore[attr-defined]  # as aiosmtpd does it
            self._writer._transport = transport  # type: ignore[attr-defined]
            self.transport = transport
            self._reader._buffer.clear()  # type: ignore[attr-defined]
            self._input.clear()
            return
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport = transport
        self._input = Input(self._reader)
        self._task = self.loop.create_task(self._converse(), name=f"smtp-{self._listener.name}")
        self._clients.track(self, self._task)

    def connection_lost(self, error: Exception | None) -> None:
        """The conversation notices by itself; a commit under way is not to be cancelled."""
        if self._original_transport is not None:
            self._original_transport.close()
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None

    def eof_received(self) -> bool | None:
        """A client that closes its sending side may still wait for our answer."""
        asyncio.StreamReaderProtocol.eof_received(self)
        return not (self._original_transport is not None or self._listener.tls == "implicit")

    # --- conversation ---------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Shutting down: a client between two commands is told, one in DATA goes on."""
        if self._task is not None and not self.in_data:
            self._task.cancel("shutdown")

    async def _converse(self) -> None:
        try:
            self._peer = peer_of(self.transport, self._listener)
            self._clients.admit(self._peer)
        except Hangup as hangup:
            await self._bye(hangup.reply)
            return
        try:
            await self._commands()
        except Hangup as hangup:
            await self._bye(hangup.reply)
        except TimeoutError:
            await self._bye("421 4.4.2 nothing was heard for too long; good bye")
        except (ConnectionError, TLSSetupException, ssl.SSLError) as error:
            if self.in_data:
                log.info("connection lost in DATA", client=self._peer.address, why=type(error).__name__)
            await self._bye("")
        except asyncio.CancelledError:
            await self._bye("421 4.3.2 the gateway is shutting down; try again in a minute")
        except Exception:
            log.exception("conversation failed", client=self._peer.address)
            await self._bye("421 4.3.0 trouble of ours; try again later")
        finally:
            self._clients.leave(self._peer)

    async def _bye(self, reply: str) -> None:
        if self.transport is None:
            return
        with contextlib.suppress(ConnectionError, TimeoutError, OSError):
            if reply:
                async with asyncio.timeout(5):
                    await self.push(reply)
        if self.transport is not None:
            self.transport.close()

    async def _commands(self) -> None:
        await self.push(f"220 {self._settings.hostname} ESMTP faxgateway")
        while self.transport is not None:
            try:
                raw = await self._input.line(_LINE, self._settings.command_timeout)
            except LineTooLong:
                raise Hangup("500 5.5.2 the command line is too long") from None
            if raw.startswith(_HELLO):
                log.warning("a client speaks TLS on a plain port; let it use the TLS port", client=self._peer.address)
                raise Hangup("")
            self._confirm()
            await self._command(raw)

    def _confirm(self) -> None:
        """The client speaks again after a 250 of ours, so it has read it."""
        if self._unconfirmed:
            self._clients.background(self._door.confirmed(self._unconfirmed))
            self._unconfirmed = ""

    async def _command(self, raw: bytes) -> None:
        word, _, argument = raw.decode("utf-8", "surrogateescape").partition(" ")
        name, argument = word.upper(), argument.strip(" \t")
        handler: Callable[[str], Coroutine[Any, Any, None]] | None = {
            "HELO": self._helo,
            "EHLO": self._ehlo,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
            "AUTH": self._auth,
            "STARTTLS": self._starttls,
            "VRFY": self._vrfy,
            "HELP": self._help,
        }.get(name)
        if handler is None:
            await self._wrong(f"500 5.5.1 {shown(word)} is no command here" if word else "500 5.5.2 an empty command")
            return
        try:
            await handler(argument)
        except BadCommand as error:
            await self._wrong(error.reply)
        except GatewayError as error:
            await self._wrong(refusal(error))

    async def _wrong(self, reply: str) -> None:
        self._errors += 1
        if self._errors > self._settings.max_errors:
            raise Hangup("421 4.7.0 too many errors; good bye")
        await self.push(reply)

    async def _ok(self, reply: str) -> None:
        """A yes that moves nothing forward; a session has a budget of them."""
        self._idle += 1
        if self._idle > _COMMANDS:
            raise Hangup("421 4.7.0 too many commands; good bye")
        await self.push(reply)

    def _reset(self) -> None:
        self._transaction = Transaction(self._door, self._settings, self._listener)

    # --- greetings ------------------------------------------------------------------------------------------------

    async def _helo(self, argument: str) -> None:
        self._reset()
        self._esmtp = False
        self._set_peer(argument)
        await self._ok(f"250 {self._settings.hostname}")

    async def _ehlo(self, argument: str) -> None:
        self._reset()
        self._esmtp = True
        self._set_peer(argument)
        lines = [
            self._settings.hostname,
            f"SIZE {self._settings.max_message}",
            "8BITMIME",
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            "DSN",
        ]
        if self._listener.tls == "starttls" and not self._peer.tls:
            lines.append("STARTTLS")
        if self._may_auth():
            lines.append(f"AUTH {MECHANISMS}")
        text = "\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{line}" for n, line in enumerate(lines))
        await self._ok(text)

    def _set_peer(self, helo: str) -> None:
        protocol = "ESMTP" if self._esmtp else "SMTP"
        if self._esmtp:
            protocol += ("S" if self._peer.tls else "") + ("A" if self._peer.login else "")
        self._peer = replace(self._peer, helo=shown(helo, 255) if helo else self._peer.helo, protocol=protocol)

    async def _noop(self, _argument: str) -> None:
        await self._ok("250 2.0.0 OK")

    async def _rset(self, _argument: str) -> None:
        self._reset()
        await self._ok("250 2.0.0 OK")

    async def _vrfy(self, _argument: str) -> None:
        await self._ok("252 2.5.0 send the mail to find out")

    async def _help(self, _argument: str) -> None:
        await self._ok("214 2.0.0 send a mail to +15551234567@DOMAIN to fax it")

    async def _quit(self, _argument: str) -> None:
        raise Hangup("221 2.0.0 good bye")

    # --- TLS and AUTH ---------------------------------------------------------------------------------------------

    async def _starttls(self, argument: str) -> None:
        if argument:
            raise BadCommand("501 5.5.4 STARTTLS has no argument")
        if self._listener.tls != "starttls" or self._peer.tls or self.tls_context is None:
            raise BadCommand("502 5.5.1 STARTTLS is not offered here")
        if self._input.pending:
            raise Hangup("421 4.7.0 commands after STARTTLS must wait for TLS")
        async with asyncio.timeout(self._settings.command_timeout):
            await self.smtp_STARTTLS("")
        tls = (tls_of(self.transport) if self.transport else None) or "TLS"
        self._peer = replace(self._peer, tls=tls, helo="", login=None)
        self._esmtp = False
        self._reset()

    def _may_auth(self) -> bool:
        return self._listener.auth != "none" and not self._peer.login and bool(self._peer.tls or is_local(self._peer))

    async def _auth(self, argument: str) -> None:
        if self._listener.auth == "none":
            raise BadCommand("502 5.5.1 AUTH is not offered here")
        if self._peer.login:
            raise BadCommand("503 5.5.1 you are logged in already")
        if not self._may_auth():
            raise BadCommand("538 5.7.11 log in under TLS only: begin with STARTTLS")
        if self._transaction.begun:
            raise BadCommand("503 5.5.1 AUTH comes before MAIL")
        login, password = await credentials(argument, self._ask)
        if not await self._door.authenticate(self._peer, login, password):
            self._auth_failures += 1
            log.warning("auth failed", client=self._peer.address, user=shown(login, 64))
            if self._auth_failures >= _AUTH_FAILURES:
                raise Hangup("421 4.7.0 too many failed logins; good bye")
            raise BadCommand("535 5.7.8 login or password is wrong")
        self._peer = replace(self._peer, login=login, protocol=f"{self._peer.protocol}A")
        await self.push("235 2.7.0 logged in")

    async def _ask(self, challenge: str) -> str:
        await self.push(f"334 {challenge}")
        line = await self._input.line(_LINE, self._settings.command_timeout)
        if line == b"*":
            raise BadCommand("501 5.7.0 login cancelled")
        return line.decode("ascii", "replace")

    # --- the mail -------------------------------------------------------------------------------------------------

    async def _mail(self, argument: str) -> None:
        await self.push(await self._transaction.mail(self._peer, argument))

    async def _rcpt(self, argument: str) -> None:
        await self.push(await self._transaction.rcpt(self._peer, argument))

    async def _data(self, argument: str) -> None:
        if argument:
            raise BadCommand("501 5.5.4 DATA has no argument")
        envelope = self._transaction.envelope(self._peer)
        draft = self._door.draft()
        self.in_data = True
        try:
            await self._receive(envelope, draft)
        finally:
            draft.discard()
            self.in_data = False
        self._reset()

    async def _receive(self, envelope: Envelope, draft: Draft) -> None:
        """Take the message into the draft, have it accepted, answer."""
        most = self._settings.max_message
        intake = Intake(draft, most)
        draft.write(received_line(self._peer, self._settings.hostname))
        await self.push("354 end with a dot on a line of its own")
        try:
            await self._input.data(intake.write, most, self._settings.data_timeout)
        except LineTooLong:
            log.warning("endless message", client=self._peer.address, bytes=intake.taken)
            raise Hangup(f"552 5.3.4 the mail is far larger than the {most // 1_000_000} MB accepted here") from None
        try:
            intake.check()
            queue_id = await asyncio.shield(self._clients.background(self._door.accept(envelope, draft)))
        except GatewayError as error:
            await self._wrong(refusal(error))
            return
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a mail could not be accepted", client=self._peer.address)
            await self._wrong("451 4.3.0 the gateway could not store the mail; try again later")
            return
        self._unconfirmed = queue_id
        self._idle = 0
        await self.push(f"250 2.0.0 queued as {queue_id}")
