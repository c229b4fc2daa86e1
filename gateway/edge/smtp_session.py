"""One client's conversation: aiosmtpd's protocol with its dialogue replaced (RFC 5321, 3207, 4954, 1870, 2920, 2034).

Of aiosmtpd it keeps the transport side. Commands, addresses, DATA, timers, TLS and AUTH are ours: stock aiosmtpd buffers
an endless line, cuts slow uploads, cancels a commit when the client hangs up, and drops parts of addresses.
AUTH is offered under TLS, and in clear only to loopback and unix-socket clients, where nobody can listen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Session

from gateway import telemetry
from gateway.edge.smtp_auth import MECHANISMS, credentials
from gateway.edge.smtp_clients import Clients, is_local, peer_of, tls_of
from gateway.edge.smtp_commands import BadCommand
from gateway.edge.smtp_data import Closed, Input, LineTooLong, Message, SpeaksTls, WrongLineEnds
from gateway.edge.smtp_replies import SHUTTING_DOWN, TROUBLE, Hangup, refusal, shown
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.edge.smtp_transaction import FarTooLarge, Intake, Transaction, received_line
from gateway.errors import GatewayError, TryLater
from gateway.faultpoint import reach
from gateway.model import Envelope, Peer
from gateway.spool import Draft

log = structlog.get_logger("smtpd")
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd would log every command line, numbers and all

_LINE = 2048  # bytes of a command line: RFC 3461 section 5.4 asks for 1036 and more
_READER = 128 << 10
_COMMANDS = 1000  # commands of a session, beside its recipients, without a mail that was accepted
_AUTH_FAILURES = 3
_HANDSHAKE = 60.0  # seconds, all these
_LAST_WORD = 5.0
_LINGER = 2.0
_PATIENCE = 60.0  # for the rest of a mail that is far too large
_HTTP = frozenset("GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI".split())


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
        self._context = context
        self.enable_SMTPUTF8 = False
        self.session = Session(self.loop)
        self.transport: Any = None
        self._talking: asyncio.Task[None] | None = None
        self._input: Input
        self._errors = self._commands = self._auth_failures = 0
        self._peer = Peer(listener=listener.name, address="local")
        self._esmtp = False
        self._listening = False  # waits for a line of the client's
        self._in_message = False  # what comes is the mail, not commands
        self._unconfirmed = ""
        self._reset()

    # --- transport ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport = transport
        self._input = Input(self._reader)
        if self._listener.tls == "implicit":
            self.transport.pause_reading()  # the handshake is for TLS to read
        self._talking = self.loop.create_task(self._converse(), name=f"smtp-{self._listener.name}")
        self._clients.track(self, self._talking)

    def connection_lost(self, error: Exception | None) -> None:
        """The conversation notices by itself; a commit under way is not to be cancelled."""
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self.transport = None

    def eof_received(self) -> bool | None:
        """A client that closes its sending side may still wait for our answer; under TLS there is no such state."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    async def _say(self, reply: str) -> None:
        """Send a reply. Raises ConnectionError, TimeoutError when the client does not take it."""
        async with asyncio.timeout(self._settings.command_timeout):
            await self.push(reply)

    async def _secure(self) -> None:
        """Go on under TLS. What came before is forgotten (RFC 3207 section 4.2). Raises :class:`Closed`."""
        assert self._context is not None, "a listener with TLS has its context"
        self._input.clear()
        try:
            transport = await self.loop.start_tls(
                self.transport,
                self,
                self._context,
                server_side=True,
                ssl_handshake_timeout=min(_HANDSHAKE, self._settings.command_timeout),
                ssl_shutdown_timeout=_LAST_WORD,
            )
        except OSError as error:
            log.info("TLS failed", client=self._peer.address, why=str(error) or type(error).__name__)
            raise Closed from error
        if transport is None:  # so says asyncio when the client goes in the middle of it
            raise Closed
        # as StreamWriter.start_tls does it
        self.transport = self._transport = transport
        self._reader._transport = self._writer._transport = transport  # type: ignore[attr-defined]
        self._over_ssl = True
        self._peer = replace(self._peer, tls=tls_of(transport) or "TLS", helo="", login=None)
        self._esmtp = False
        self._reset()

    # --- conversation ---------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """The door closes: a client that is waited for hears it now, one that waits for us behind its answer."""
        if self._talking is not None and self._listening:
            self._talking.cancel("shutdown")

    async def _converse(self) -> None:
        try:
            self._peer = peer_of(self.transport, self._listener)
            with self._clients.present(self._peer):
                await self._bye(await self._talk())
        except Hangup as hangup:
            await self._bye(hangup.reply)
        finally:
            if self.transport is not None:
                self.transport.close()

    async def _talk(self) -> str:
        """Answer command by command; returns what is said last, "" for nothing."""
        try:
            if self._listener.tls == "implicit":
                await self._secure()
            await self._say(f"220 {self._settings.hostname} ESMTP faxgateway")
            while not self._clients.stopping:
                await self._command(await self._next())
        except Hangup as hangup:
            return hangup.reply
        except TimeoutError:
            return "421 4.4.2 nothing was heard for too long; good bye"
        except OSError as error:  # of the connection
            if self._in_message:
                log.info("connection lost in a mail", client=self._peer.address, why=type(error).__name__)
            return ""
        except asyncio.CancelledError:  # by the door's stop: nobody else cancels a conversation
            return SHUTTING_DOWN
        except Exception:
            log.exception("conversation failed", client=self._peer.address)
            return "421 4.3.0 the gateway has trouble of its own; try again later"
        return SHUTTING_DOWN

    async def _bye(self, reply: str) -> None:
        """Say the last word, see to it that it arrives, and close."""
        if self.transport is None or (self._listener.tls == "implicit" and not self._over_ssl):
            return
        try:
            if reply:
                async with asyncio.timeout(_LAST_WORD):
                    await self._say(reply)
                if not reply.startswith("221") and not self._clients.stopping:
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
                    await self._input.chunk()

    async def _next(self) -> bytes:
        """The next command line."""
        pipelined = self._input.pending
        raw = await self._line()
        if self._unconfirmed and not pipelined:  # said after our 250 was sent: the client has read it
            self._clients.background(self._door.confirmed(self._unconfirmed))
            self._unconfirmed = ""
        return raw

    async def _line(self) -> bytes:
        self._listening = True
        try:
            return await self._input.line(_LINE, self._settings.command_timeout)
        except LineTooLong:
            raise Hangup("500 5.5.2 the command line is too long") from None
        except SpeaksTls:
            log.warning("a client speaks TLS where it is not spoken (yet)", client=self._peer.address)
            raise Hangup from None
        finally:
            self._listening = False

    async def _command(self, raw: bytes) -> None:
        word, _, argument = raw.decode("utf-8", "surrogateescape").partition(" ")
        name, argument = word.upper(), argument.strip(" \t")
        self._commands += 1
        if self._commands > _COMMANDS + self._settings.max_recipients:
            raise Hangup("421 4.7.0 too many commands; good bye")
        if name in _HTTP:  # a web page may have made a browser speak to us: not one line of it is obeyed
            log.warning("a client speaks HTTP", client=self._peer.address)
            raise Hangup("421 4.7.0 this is a mail server")
        try:
            reply = await self._handler(name, word)(argument)
        except BadCommand as error:
            await self._wrong(error.reply)
        except TryLater as error:  # no fault of the client's
            await self._say(refusal(error))
        except GatewayError as error:
            await self._wrong(refusal(error))
        except (Hangup, ConnectionError, TimeoutError):
            raise
        except Exception:
            if self._in_message:  # what follows is no command
                raise
            log.exception("command failed", command=shown(name), client=self._peer.address)
            await self._say(TROUBLE)
        else:
            if reply:
                await self._say(reply)
            if self._unconfirmed:
                reach("smtp.replied")

    def _handler(self, name: str, word: str) -> Callable[[str], Awaitable[str]]:
        handlers: dict[str, Callable[[str], Awaitable[str]]] = {
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
        }
        if name not in handlers:
            raise BadCommand(f"500 5.5.1 {shown(word)} is no command here" if word else "500 5.5.2 an empty command")
        return handlers[name]

    async def _wrong(self, reply: str) -> None:
        self._errors += 1
        if self._errors > self._settings.max_errors:
            raise Hangup("421 4.7.0 too many errors; good bye")
        await self._say(reply)

    def _reset(self) -> None:
        self._transaction = Transaction(self._door, self._settings, self._listener)

    # --- greetings ------------------------------------------------------------------------------------------------

    async def _helo(self, argument: str) -> str:
        self._greeted(argument, esmtp=False)
        return f"250 {self._settings.hostname}"

    async def _ehlo(self, argument: str) -> str:
        self._greeted(argument, esmtp=True)
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
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    def _greeted(self, helo: str, *, esmtp: bool) -> None:
        self._reset()
        self._esmtp = esmtp
        self._peer = replace(self._peer, helo=shown(helo, 255) if helo else self._peer.helo)
        self._set_protocol()

    def _set_protocol(self) -> None:
        """RFC 3848; for HELO there is no word that tells more."""
        marks = ("S" if self._peer.tls else "") + ("A" if self._peer.login else "")
        self._peer = replace(self._peer, protocol=f"ESMTP{marks}" if self._esmtp else "SMTP")

    async def _noop(self, _argument: str) -> str:
        return "250 2.0.0 OK"

    async def _rset(self, _argument: str) -> str:
        self._reset()
        return "250 2.0.0 OK"

    async def _vrfy(self, _argument: str) -> str:
        return "252 2.5.0 send the mail to find out"

    async def _help(self, _argument: str) -> str:
        return "214 2.0.0 send a mail to +15551234567@DOMAIN to fax it"

    async def _quit(self, _argument: str) -> str:
        raise Hangup("221 2.0.0 good bye")

    # --- TLS and AUTH ---------------------------------------------------------------------------------------------

    async def _starttls(self, argument: str) -> str:
        _no_argument("STARTTLS", argument)
        if self._listener.tls != "starttls":
            raise BadCommand("502 5.5.1 STARTTLS is not offered here")
        if self._peer.tls:
            raise BadCommand("503 5.5.1 this is TLS already")
        if self._input.pending:
            raise Hangup("421 4.7.0 commands after STARTTLS must wait for TLS")
        await self._say("220 2.0.0 begin TLS")
        await self._secure()
        return ""

    def _may_auth(self) -> bool:
        return self._listener.auth != "none" and not self._peer.login and bool(self._peer.tls or is_local(self._peer))

    async def _auth(self, argument: str) -> str:
        if self._listener.auth == "none":
            raise BadCommand("502 5.5.1 AUTH is not offered here")
        if self._peer.login:
            raise BadCommand("503 5.5.1 you are logged in already")
        if not self._may_auth():
            how = "begin with STARTTLS" if self._listener.tls == "starttls" else "use a port with TLS"
            raise BadCommand(f"538 5.7.11 log in under TLS only: {how}")
        if self._transaction.begun:
            raise BadCommand("503 5.5.1 AUTH comes before MAIL")
        login, password = await credentials(argument, self._ask)
        self._auth_failures += 1  # also when it is told to try later
        if not await self._door.authenticate(self._peer, login, password):
            if self._auth_failures >= _AUTH_FAILURES:
                raise Hangup("421 4.7.0 too many failed logins; good bye")
            raise BadCommand("535 5.7.8 login or password is wrong")
        self._auth_failures = 0
        self._peer = replace(self._peer, login=login)
        self._set_protocol()
        return "235 2.7.0 logged in"

    async def _ask(self, challenge: str) -> str:
        await self._say(f"334 {challenge}")
        line = await self._line()
        if line == b"*":
            raise BadCommand("501 5.7.0 login cancelled")
        return line.decode("ascii", "replace")

    # --- the mail -------------------------------------------------------------------------------------------------

    async def _mail(self, argument: str) -> str:
        return await self._transaction.mail(self._peer, argument)

    async def _rcpt(self, argument: str) -> str:
        return await self._transaction.rcpt(self._peer, argument)

    async def _data(self, argument: str) -> str:
        _no_argument("DATA", argument)
        try:
            envelope = self._transaction.envelope(self._peer)
            draft = self._door.draft()
        except (BadCommand, GatewayError):
            if self._input.pending:  # RFC 2920 section 3.1: the mail itself, which must not be taken for commands
                raise Hangup("421 4.5.0 the mail was sent before DATA was answered, and DATA is refused") from None
            raise
        intake = Intake(draft, self._settings.max_message)
        try:
            draft.write(received_line(self._peer, self._settings.hostname))
            await self._say("354 end with a dot on a line of its own")
            await self._message(intake)
        except BaseException:
            draft.discard()
            raise
        finally:
            self._reset()
        return await self._accept(envelope, draft)

    async def _message(self, intake: Intake) -> None:
        """Read a message to its end. Raises what hindered it to be taken, OSError, :class:`Hangup`."""
        message = Message(self._input)
        self._in_message = True
        try:
            await message.read(intake.write, self._settings.data_timeout)
        except FarTooLarge:
            await self._rest(message, intake)
        except WrongLineEnds:
            log.warning("a mail ends in a way that SMTP does not know", client=self._peer.address)
            raise Hangup("554 5.6.0 the lines of the mail do not end in CRLF, so its end is unknown") from None
        except TimeoutError:
            if intake.trouble is not None:
                raise Hangup(refusal(intake.trouble)) from None
            raise
        finally:
            if intake.trouble is not None:
                telemetry.rejected(intake.trouble.status, client=self._peer.address, why=intake.trouble.public)
        self._in_message = False
        if intake.trouble is not None:
            raise intake.trouble

    async def _rest(self, message: Message, intake: Intake) -> None:
        """Read on for a while, so that the client can hear the refusal. Raises :class:`Hangup` when it does not end."""
        with contextlib.suppress(TimeoutError, WrongLineEnds):
            async with asyncio.timeout(min(_PATIENCE, self._settings.data_timeout)):
                await message.read(intake.write, _LAST_WORD)
        if not message.ended:
            log.warning("endless mail", client=self._peer.address, bytes=intake.taken)
            assert intake.trouble is not None, "that is why we are here"
            raise Hangup(refusal(intake.trouble))

    async def _accept(self, envelope: Envelope, draft: Draft) -> str:
        """Have the mail made durable, come what may of the client: only then it reads 250."""
        try:
            queue_id = await asyncio.shield(self._clients.background(self._door.accept(envelope, draft)))
        except GatewayError:
            raise
        except Exception:
            log.exception("a mail could not be accepted", client=self._peer.address)
            return TROUBLE
        reach("smtp.replying")
        self._unconfirmed = queue_id
        self._commands = self._errors = 0
        return f"250 2.0.0 queued as {queue_id}"


def _no_argument(name: str, argument: str) -> None:
    if argument:
        raise BadCommand(f"501 5.5.4 {name} has no argument")
