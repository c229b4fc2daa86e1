"""The SMTP door: aiosmtpd's protocol with its conversation replaced (RFC 5321, 3207, 4954, 1870, 2920, 3461, 2034).

Of aiosmtpd it keeps the transport side and STARTTLS. Commands, addresses, DATA, timers and AUTH are ours: stock aiosmtpd
buffers an endless line, cuts slow uploads, cancels a commit when the client hangs up, and drops parts of addresses.
AUTH is offered under TLS, and in clear only to loopback and unix-socket clients, where nobody can listen.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import email.utils
import ipaddress
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import structlog
from aiosmtpd.smtp import SMTP, Session, TLSSetupException

from gateway.edge.smtp_commands import BadCommand, read_mail, read_rcpt
from gateway.edge.smtp_data import Input, LineTooLong
from gateway.errors import GatewayError, Refused, TryLater
from gateway.model import Envelope, FaxNumber, Peer, Recipient
from gateway.spool import Draft

log = structlog.get_logger("smtpd")
logging.getLogger("mail.log").setLevel(logging.ERROR)  # aiosmtpd would log every command line, numbers and all

_LINE = 2048  # bytes of a command line: RFC 3461 section 5.4 asks for 1036 and more
_READER = 128 << 10
_COMMANDS = 1000  # commands of a session that move nothing forward
_AUTH_FAILURES = 3
_HELLO = b"\x16\x03"  # a TLS record: handshake


class Door(Protocol):
    """The gateway behind the door: decides and makes durable."""

    async def authenticate(self, peer: Peer, login: str, password: str) -> bool: ...

    async def check_sender(self, peer: Peer, sender: str, size: int | None) -> None: ...

    async def check_recipient(self, peer: Peer, sender: str, address: str) -> FaxNumber: ...

    def draft(self) -> Draft: ...

    async def accept(self, envelope: Envelope, draft: Draft) -> str: ...

    async def confirmed(self, queue_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One listener. ``address`` is ``host:port``, ``[::1]:port``, ``unix:/path`` or ``fd:NAME``; files are PEM."""

    name: str
    address: str
    networks: tuple[str, ...] = ()
    tls: str = "none"  # none, starttls, implicit
    auth: str = "none"  # none, optional, required
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Bytes, counts and seconds. Time limits are for one command and for one silence within DATA, never for a session."""

    hostname: str
    max_message: int = 50_000_000
    max_recipients: int = 100
    command_timeout: float = 300.0
    data_timeout: float = 180.0
    max_connections: int = 200
    max_connections_per_client: int = 50
    max_errors: int = 20


class _Hangup(Exception):  # not an error: the conversation ends
    """Say ``reply`` and close."""

    def __init__(self, reply: str = "") -> None:
        super().__init__(reply)
        self.reply = reply


class Conversation(SMTP):
    """One client."""

    def __init__(self, door: SmtpDoor, listener: ListenerSettings, context: ssl.SSLContext | None) -> None:
        # not SMTP.__init__: it looks through all its members for each connection, and its limits are not ours
        self.loop = asyncio.get_running_loop()
        asyncio.StreamReaderProtocol.__init__(
            self,
            asyncio.StreamReader(limit=_READER, loop=self.loop),
            client_connected_cb=self._cb_client_connected,
            loop=self.loop,
        )
        self._server = door
        self._listener = listener
        self._settings = door.settings
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
        self._server.track(self, self._task)

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
            self._peer = _peer_of(self.transport, self._listener)
            self._server.admit(self._peer)
        except _Hangup as hangup:
            await self._bye(hangup.reply)
            return
        try:
            await self._commands()
        except _Hangup as hangup:
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
            self._server.leave(self._peer)

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
                raise _Hangup("500 5.5.2 the command line is too long") from None
            if raw.startswith(_HELLO):
                log.warning("a client speaks TLS on a plain port; let it use the TLS port", client=self._peer.address)
                raise _Hangup("")
            self._confirm()
            await self._command(raw)

    def _confirm(self) -> None:
        """The client speaks again after a 250 of ours, so it has read it."""
        if self._unconfirmed:
            self._server.background(self._server.door.confirmed(self._unconfirmed))
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
            await self._wrong(f"500 5.5.1 {_shown(word)} is no command here" if word else "500 5.5.2 an empty command")
            return
        try:
            await handler(argument)
        except BadCommand as error:
            await self._wrong(error.reply)
        except GatewayError as error:
            await self._no(error)

    async def _wrong(self, reply: str) -> None:
        self._errors += 1
        if self._errors > self._settings.max_errors:
            raise _Hangup("421 4.7.0 too many errors; good bye")
        await self.push(reply)

    async def _no(self, error: GatewayError) -> None:
        await self._wrong(f"{_code(error)} {error.status} {_shown(error.public, 400)}")

    async def _ok(self, reply: str) -> None:
        """A yes that moves nothing forward; a session has a budget of them."""
        self._idle += 1
        if self._idle > _COMMANDS:
            raise _Hangup("421 4.7.0 too many commands; good bye")
        await self.push(reply)

    def _reset(self) -> None:
        self._mail_command: Any = None
        self._recipients: list[Recipient] = []

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
            lines.append("AUTH PLAIN LOGIN")
        text = "\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{line}" for n, line in enumerate(lines))
        await self._ok(text)

    def _set_peer(self, helo: str) -> None:
        protocol = "ESMTP" if self._esmtp else "SMTP"
        if self._esmtp:
            protocol += ("S" if self._peer.tls else "") + ("A" if self._peer.login else "")
        self._peer = replace(self._peer, helo=_shown(helo, 255) if helo else self._peer.helo, protocol=protocol)

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
        raise _Hangup("221 2.0.0 good bye")

    # --- TLS and AUTH ---------------------------------------------------------------------------------------------

    async def _starttls(self, argument: str) -> None:
        if argument:
            raise BadCommand("501 5.5.4 STARTTLS has no argument")
        if self._listener.tls != "starttls" or self._peer.tls or self.tls_context is None:
            raise BadCommand("502 5.5.1 STARTTLS is not offered here")
        if self._input.pending:
            raise _Hangup("421 4.7.0 commands after STARTTLS must wait for TLS")
        async with asyncio.timeout(self._settings.command_timeout):
            await self.smtp_STARTTLS("")
        cipher = self.transport.get_extra_info("cipher") if self.transport else None
        tls = f"{cipher[1]} {cipher[0]}" if cipher else "TLS"
        self._peer = replace(self._peer, tls=tls, helo="", login=None)
        self._esmtp = False
        self._reset()

    def _may_auth(self) -> bool:
        return self._listener.auth != "none" and not self._peer.login and bool(self._peer.tls or _is_local(self._peer))

    async def _auth(self, argument: str) -> None:
        if self._listener.auth == "none":
            raise BadCommand("502 5.5.1 AUTH is not offered here")
        if self._peer.login:
            raise BadCommand("503 5.5.1 you are logged in already")
        if not self._may_auth():
            raise BadCommand("538 5.7.11 log in under TLS only: begin with STARTTLS")
        if self._mail_command is not None:
            raise BadCommand("503 5.5.1 AUTH comes before MAIL")
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "PLAIN":
            packed = _decoded(initial.strip() or await self._ask("")).split(b"\0")
            if len(packed) != 3:
                raise BadCommand("501 5.5.2 AUTH PLAIN wants identity, login and password")
            login, password = packed[1], packed[2]
        elif mechanism.upper() == "LOGIN":
            login = _decoded(initial.strip() or await self._ask("VXNlcm5hbWU6"))
            password = _decoded(await self._ask("UGFzc3dvcmQ6"))
        else:
            raise BadCommand("504 5.5.4 AUTH is PLAIN or LOGIN here")
        name = login.decode("utf-8", "replace")
        if not await self._server.door.authenticate(self._peer, name, password.decode("utf-8", "replace")):
            self._auth_failures += 1
            log.warning("auth failed", client=self._peer.address, user=_shown(name, 64))
            if self._auth_failures >= _AUTH_FAILURES:
                raise _Hangup("421 4.7.0 too many failed logins; good bye")
            raise BadCommand("535 5.7.8 login or password is wrong")
        self._peer = replace(self._peer, login=name, protocol=f"{self._peer.protocol}A")
        await self.push("235 2.7.0 logged in")

    async def _ask(self, challenge: str) -> str:
        await self.push(f"334 {challenge}")
        line = await self._input.line(_LINE, self._settings.command_timeout)
        if line == b"*":
            raise BadCommand("501 5.7.0 login cancelled")
        return line.decode("ascii", "replace")

    # --- the mail -------------------------------------------------------------------------------------------------

    async def _mail(self, argument: str) -> None:
        if self._mail_command is not None:
            raise BadCommand("503 5.5.1 a mail has begun already")
        command = read_mail(argument)
        if not self._peer.login and (self._listener.auth == "required" or not self._peer.trusted_network):
            if self._listener.auth == "none":
                raise Refused(
                    f"{self._peer.address} may not send faxes here; ask the administrator to add it to the listener's networks"
                )
            raise Refused("log in first: this door wants a user name and a password", status="5.7.0")
        await self._server.door.check_sender(self._peer, command.sender, command.size)
        self._mail_command = command
        self._recipients = []
        await self.push("250 2.1.0 sender ok")

    async def _rcpt(self, argument: str) -> None:
        if self._mail_command is None:
            raise BadCommand("503 5.5.1 MAIL comes first")
        command = read_rcpt(argument)
        number = await self._server.door.check_recipient(self._peer, self._mail_command.sender, command.address)
        if all(known.number != number for known in self._recipients):
            if len(self._recipients) >= self._settings.max_recipients:
                raise TryLater(
                    f"at most {self._settings.max_recipients} numbers a mail; send the others with another",
                    status="4.5.3",
                )
            self._recipients.append(Recipient(command.address, number, command.orcpt, command.notify))
        await self.push(f"250 2.1.5 will fax to {number}")

    async def _data(self, argument: str) -> None:
        if argument:
            raise BadCommand("501 5.5.4 DATA has no argument")
        if self._mail_command is None:
            raise BadCommand("503 5.5.1 MAIL comes first")
        if not self._recipients:
            raise BadCommand("554 5.5.1 no recipient was accepted")
        draft = self._server.door.draft()
        self.in_data = True
        try:
            await self._receive(draft)
        finally:
            draft.discard()
            self.in_data = False
        self._reset()

    async def _receive(self, draft: Draft) -> None:
        """Take the message into the draft, have it accepted, answer. Errors in writing are told after its end."""
        trouble: GatewayError | None = None
        taken = 0
        most = self._settings.max_message

        def sink(data: bytes) -> None:
            nonlocal trouble, taken
            taken += len(data)
            if taken > most or trouble is not None:
                return
            try:
                draft.write(data)
            except GatewayError as error:
                trouble = error

        envelope = Envelope(
            self._peer,
            self._mail_command.sender,
            tuple(self._recipients),
            self._mail_command.envid,
            self._mail_command.ret,
        )
        draft.write(self._received_line())
        await self.push("354 end with a dot on a line of its own")
        try:
            await self._input.data(sink, most, self._settings.data_timeout)
        except LineTooLong:
            log.warning("endless message", client=self._peer.address, bytes=taken)
            raise _Hangup(f"552 5.3.4 the mail is far larger than the {most // 1_000_000} MB accepted here") from None
        if taken > most:
            trouble = Refused(
                f"the mail is larger than the {most // 1_000_000} MB accepted here; send fewer or smaller attachments",
                status="5.3.4",
            )
        try:
            if trouble is not None:
                raise trouble
            queue_id = await self._server.accepted(envelope, draft)
        except GatewayError as error:
            await self._no(error)
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

    def _received_line(self) -> bytes:
        """The trace field, RFC 5321 section 4.4."""
        p = self._peer
        tls = f" ({p.tls})" if p.tls else ""
        text = (
            f"Received: from {p.helo or 'unknown'} ([{p.address}])\r\n"
            f"\tby {self._settings.hostname} (faxgateway) with {p.protocol}{tls};\r\n"
            f"\t{email.utils.formatdate(time.time())}\r\n"
        )
        return text.encode("ascii", "replace")


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
        self.settings = settings
        self.door = door
        self._listeners = listeners
        self._sockets = sockets or {}
        self._servers: list[asyncio.Server] = []
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._conversations: dict[asyncio.Task[None], Conversation] = {}
        self._background: set[asyncio.Task[Any]] = set()
        self._clients: Counter[str] = Counter()
        self._stopping = False

    async def start(self) -> None:
        """Bind every listener, or none. Raises OSError naming the address, TryLater for a certificate or socket."""
        try:
            for listener in self._listeners:
                await self._bind(listener)
        except BaseException:
            await self.stop(0)
            raise

    async def _bind(self, listener: ListenerSettings) -> None:
        context = None
        if listener.tls != "none":
            context = self._contexts[listener.name] = _context(listener)
        implicit = context if listener.tls == "implicit" else None
        loop = asyncio.get_running_loop()

        def factory() -> Conversation:
            return Conversation(self, listener, context)

        kind, _, rest = listener.address.partition(":")
        try:
            if kind == "unix":
                Path(rest).unlink(missing_ok=True)
                server = await loop.create_unix_server(factory, rest, ssl=implicit)
                Path(rest).chmod(0o660)
            elif kind == "fd":
                if rest not in self._sockets:
                    raise OSError(f"systemd has passed no socket named {rest}")
                server = await loop.create_server(factory, sock=self._sockets[rest], ssl=implicit)
            else:
                host, _, port = listener.address.rpartition(":")
                server = await loop.create_server(
                    factory, host.strip("[]"), int(port), ssl=implicit, backlog=512, reuse_address=True
                )
        except OSError as error:
            raise OSError(error.errno, f"cannot listen on {listener.address}: {error.strerror or error}") from error
        self._servers.append(server)

    def addresses(self) -> list[str]:
        """Where it really listens."""
        found = []
        for server in self._servers:
            for bound in server.sockets:
                name = bound.getsockname()
                if isinstance(name, str):
                    found.append(f"unix:{name}")
                else:
                    found.append(f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}")
        return found

    def reload_certificates(self) -> None:
        """Load the certificate files again, for connections from now on. Raises TryLater; the old ones stay then."""
        for listener in self._listeners:
            if listener.name in self._contexts:
                _context(listener)  # a broken file must not replace a good one
                _load(self._contexts[listener.name], listener)

    async def stop(self, grace: float) -> None:
        """Take nobody new, tell idle clients 421, let messages and commits under way end within ``grace`` seconds."""
        self._stopping = True
        for server in self._servers:
            server.close()
        for conversation in list(self._conversations.values()):
            conversation.interrupt()
        tasks: set[asyncio.Task[Any]] = {*self._conversations, *self._background}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=10)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    # --- what a conversation asks ---------------------------------------------------------------------------------

    def track(self, conversation: Conversation, task: asyncio.Task[None]) -> None:
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

    async def accepted(self, envelope: Envelope, draft: Draft) -> str:
        """Have a mail made durable, come what may of the client; returns the queue id."""
        return str(await asyncio.shield(self.background(self.door.accept(envelope, draft))))

    def admit(self, peer: Peer) -> None:
        """Count a client in. Raises the refusal when there are too many."""
        self._clients[peer.address] += 1
        if self._stopping:
            raise _Hangup("421 4.3.2 the gateway is shutting down; try again in a minute")
        if self._clients.total() > self.settings.max_connections:
            self.leave(peer)
            raise _Hangup("421 4.3.2 too many connections; try again later")
        if not _is_local(peer) and self._clients[peer.address] > self.settings.max_connections_per_client:
            self.leave(peer)
            log.warning("too many connections", client=peer.address)
            raise _Hangup("421 4.7.0 too many connections from your address; try again later")

    def leave(self, peer: Peer) -> None:
        self._clients[peer.address] -= 1
        if self._clients[peer.address] <= 0:
            del self._clients[peer.address]


def _context(listener: ListenerSettings) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, listener)
    return context


def _load(context: ssl.SSLContext, listener: ListenerSettings) -> None:
    try:
        context.load_cert_chain(listener.certificate or "", listener.key)
    except (OSError, ssl.SSLError) as error:
        raise TryLater(
            f"the certificate of the listener {listener.address} cannot be used: {listener.certificate}", str(error)
        ) from error


def _peer_of(transport: Any, listener: ListenerSettings) -> Peer:
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
    cipher = transport.get_extra_info("cipher")
    return Peer(
        listener=listener.name,
        address=address,
        port=port,
        tls=f"{cipher[1]} {cipher[0]}" if cipher else None,
        trusted_network=trusted,
    )


def _is_local(peer: Peer) -> bool:
    return peer.address == "local" or ipaddress.ip_address(peer.address).is_loopback


def _decoded(text: str) -> bytes:
    if text == "=":
        return b""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadCommand("501 5.5.2 that is not base64") from None


_REPLIES = {"5.1.3": 553, "5.3.4": 552, "5.2.3": 552, "5.7.0": 530, "4.3.1": 452, "4.5.3": 452, "4.7.0": 454}


def _code(error: GatewayError) -> int:
    """The basic reply code that goes with an enhanced one."""
    if error.status in _REPLIES:
        return _REPLIES[error.status]
    if error.status.startswith("5.6."):
        return 554
    return 451 if isinstance(error, TryLater) or error.status.startswith("4") else 550


def _shown(text: str, most: int = 40) -> str:
    """Text of the client's on one ASCII line."""
    line = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return line if len(line) <= most else line[: most - 3] + "..."
