"""What is said at the SMTP door: each command and its answer (RFC 5321, 3207, 4954, 1870, 2920, 2034, 3030, 3461).

AUTH is offered under TLS, to loopback and unix-socket clients, where nobody can listen, and in clear only where the
listener says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import structlog

from gateway import telemetry
from gateway.edge.smtp_auth import MECHANISMS, credentials
from gateway.edge.smtp_clients import Clients, is_local
from gateway.edge.smtp_commands import BadCommand, read_bdat
from gateway.edge.smtp_data import Chunk, Input, Message, Source, WrongLineEnds
from gateway.edge.smtp_intake import FarTooLarge, Intake
from gateway.edge.smtp_replies import TROUBLE, Hangup, refusal, shown
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.edge.smtp_transaction import Transaction
from gateway.errors import GatewayError, LoginEnded, TryLater
from gateway.faultpoint import reach
from gateway.model import Envelope, Peer
from gateway.spool import MailDraft

log = structlog.get_logger("smtpd")

_AUTH_FAILURES = 3
_SMALL_CHUNK = 1024  # bytes; larger ones are the mail coming forward, not commands that lead nowhere
_LAST_PATIENCE = 60.0  # seconds for the rest of a mail that is far too large
_LAST_SILENCE = 5.0  # and for one silence in it
_HTTP = frozenset("GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PRI".split())
_ALONE = frozenset(("HELO", "EHLO", "DATA", "VRFY", "EXPN", "NOOP", "AUTH"))  # last of a group: RFC 2920 section 3.1


class Wire(Protocol):
    """The connection, as the dialogue needs it."""

    source: Input

    async def say(self, reply: str) -> None: ...

    async def line(self) -> bytes: ...

    async def secure(self) -> tuple[str, str]: ...


class Dialogue:
    """One client's state, and the answers to its commands. ``unconfirmed`` is the id of a 250 that may not have arrived."""

    def __init__(
        self,
        wire: Wire,
        peer: Peer,
        door: Door,
        clients: Clients,
        settings: SmtpSettings,
        listener: ListenerSettings,
    ) -> None:
        self.peer = peer
        self.in_message = False  # what comes is the mail, not commands
        self.unconfirmed = ""
        self._wire = wire
        self._door = door
        self._clients = clients
        self._settings = settings
        self._listener = listener
        self._errors = self._commands = self._auth_failures = 0
        self._esmtp = False
        self._hasty = False
        self._transaction = Transaction(door, settings, listener)

    async def command(self, raw: bytes) -> None:
        """Obey one command line and say its reply. Raises :class:`Hangup`, OSError."""
        word, _, argument = raw.decode("utf-8", "surrogateescape").partition(" ")
        name, argument = word.upper(), argument.strip(" \t")
        if name in _ANSWERS:
            told = f"{name} ***" if name == "AUTH" else f"{name} {shown(argument, 400)}"
            telemetry.smtp(self.peer.address, command=told.rstrip())
        self._look(name)
        try:
            reply = await self._answer(name)(self, argument)
        except BadCommand as error:
            await self._wrong(error.reply)
        except GatewayError as error:
            await self._refused(error)
        except (Hangup, ConnectionError, TimeoutError):
            raise
        except Exception:
            if self.in_message:  # what follows is no command
                raise
            log.exception("command failed", command=shown(name), client=self.peer.address)
            await self._wire.say(TROUBLE)
        else:
            if reply:
                await self._wire.say(reply)
            if self.unconfirmed:
                reach("smtp.replied")

    def _look(self, name: str) -> None:
        """What is to be seen before a command is obeyed. Raises :class:`Hangup`."""
        self._commands += 1
        if self._commands > self._settings.max_commands + self._settings.max_recipients:
            raise Hangup("421 4.7.0 too many commands; goodbye")
        if name in _HTTP:  # a web page may have made a browser speak to us: not one line of it is obeyed
            log.warning("a client speaks HTTP", client=self.peer.address)
            raise Hangup("421 4.7.0 this is a mail server")
        if name in _ALONE:
            self.hasty(f"after {name}")

    def _answer(self, name: str) -> Callable[[Dialogue, str], Awaitable[str]]:
        if name not in _ANSWERS:
            raise BadCommand(f"500 5.5.1 {shown(name)} is no command here" if name else "500 5.5.2 an empty command")
        return _ANSWERS[name]

    def hasty(self, where: str) -> None:
        """Log, once, a client that talks where it has to wait for an answer: such mails may be forged by smuggling."""
        if self._wire.source.pending and not self._hasty:
            self._hasty = True
            log.info("a client does not wait for the answer", client=self.peer.address, where=where)

    def secured(self, tls: str, certificate: str) -> None:
        """The connection is under TLS now. What came before is forgotten (RFC 3207 section 4.2)."""
        self.peer = replace(self.peer, tls=tls, certificate=certificate or None, helo="", login=None)
        self._esmtp = False
        self.reset()

    def reset(self) -> None:
        """Begin anew; nothing is left of a mail that was not accepted."""
        self._transaction.discard()
        self._transaction = Transaction(self._door, self._settings, self._listener)

    async def _refused(self, error: GatewayError) -> None:
        if isinstance(error, LoginEnded):  # RFC 4954 section 4: after a good AUTH there is no other in a session
            raise Hangup(f"421 {error.status} {error.public}")
        # trouble of ours is no fault of the client's, and one wrong number, or mail, of many must not cost the others
        # their answer
        if isinstance(error, TryLater) or self.peer.proofs:
            await self._wire.say(refusal(error))
        else:
            await self._wrong(refusal(error))

    async def _wrong(self, reply: str) -> None:
        self._errors += 1
        if self._errors > self._settings.max_errors:
            raise Hangup("421 4.7.0 too many errors; goodbye")
        await self._wire.say(reply)

    # --- greetings ------------------------------------------------------------------------------------------------

    async def helo(self, argument: str) -> str:
        self._greeted(argument, esmtp=False)
        return f"250 {self._settings.hostname}"

    async def ehlo(self, argument: str) -> str:
        self._greeted(argument, esmtp=True)
        lines = [
            self._settings.hostname,
            f"SIZE {self._settings.max_message}",
            "8BITMIME",
            "PIPELINING",
            "ENHANCEDSTATUSCODES",
            "DSN",
            "CHUNKING",
        ]
        if self._listener.tls == "starttls" and not self.peer.tls:
            lines.append("STARTTLS")
        if self._may_auth():
            lines.append(f"AUTH {MECHANISMS}")
        return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])

    def _greeted(self, helo: str, *, esmtp: bool) -> None:
        self.reset()
        self._esmtp = esmtp
        self._is_now(shown(helo, 255) if helo else self.peer.helo, self.peer.login)

    def _is_now(self, helo: str, login: str | None) -> None:
        """What the client has said; the protocol is what RFC 3848 calls it, for HELO no word tells more."""
        marks = ("S" if self.peer.tls else "") + ("A" if login else "")
        self.peer = replace(self.peer, helo=helo, login=login, protocol=f"ESMTP{marks}" if self._esmtp else "SMTP")

    async def noop(self, _argument: str) -> str:
        return "250 2.0.0 OK"

    async def rset(self, _argument: str) -> str:
        self.reset()
        return "250 2.0.0 OK"

    async def vrfy(self, _argument: str) -> str:
        return "252 2.5.0 send the mail to find out"

    async def expn(self, _argument: str) -> str:
        raise BadCommand("502 5.5.1 there are no lists here: name each fax number with RCPT")

    async def etrn(self, _argument: str) -> str:
        raise BadCommand("502 5.5.1 nothing is kept here to be fetched")

    async def help(self, _argument: str) -> str:
        return "214 2.0.0 send a mail to +15551234567@DOMAIN to fax it"

    async def quit(self, _argument: str) -> str:
        raise Hangup("221 2.0.0 goodbye")

    # --- TLS and AUTH ---------------------------------------------------------------------------------------------

    async def starttls(self, argument: str) -> str:
        _no_argument("STARTTLS", argument)
        if self._listener.tls != "starttls":
            raise BadCommand("502 5.5.1 STARTTLS is not offered here")
        if self.peer.tls:
            raise BadCommand("503 5.5.1 this is TLS already")
        if self._wire.source.pending:
            log.warning("a client talks in clear behind STARTTLS: it is broken or attacked", client=self.peer.address)
            raise Hangup("421 4.7.0 commands after STARTTLS must wait for TLS")
        await self._wire.say("220 2.0.0 begin TLS")
        self.secured(*await self._wire.secure())
        return ""

    def _may_auth(self) -> bool:
        if self._listener.auth == "none" or self.peer.login:
            return False
        return bool(self.peer.tls or is_local(self.peer) or self._listener.clear_auth)

    async def auth(self, argument: str) -> str:
        if self._listener.auth == "none":
            raise BadCommand("502 5.5.1 AUTH is not offered here")
        if self.peer.login:
            raise BadCommand("503 5.5.1 you are logged in already")
        if not self._may_auth():
            how = "begin with STARTTLS" if self._listener.tls == "starttls" else "use a port with TLS"
            raise BadCommand(f"538 5.7.11 log in under TLS only: {how}")
        if not self._esmtp and not self._listener.auth_after_helo:
            raise BadCommand("503 5.5.1 AUTH comes behind EHLO here, not behind HELO")
        if self._transaction.begun:
            raise BadCommand("503 5.5.1 AUTH comes before MAIL")
        login, password = await credentials(argument, self._ask)
        if not self.peer.tls and not is_local(self.peer):
            log.warning("a password came in clear, where others can read it on the way", client=self.peer.address)
        failure = "535 5.7.8 login or password is wrong"
        try:
            known = await self._door.authenticate(self.peer, login, password)
        except TryLater as error:
            if error.status != "4.7.0":  # trouble of ours
                raise
            known, failure = None, refusal(error)
        if known is None:
            self._auth_failures += 1
            if self._auth_failures >= _AUTH_FAILURES:
                raise Hangup("421 4.7.0 too many failed logins; goodbye")
            raise BadCommand(failure)
        self._auth_failures = 0
        self.peer = known
        self._is_now(known.helo, known.login)
        return "235 2.7.0 logged in"

    async def _ask(self, challenge: str) -> str:
        await self._wire.say(f"334 {challenge}")
        line = await self._wire.line()
        if line == b"*":
            raise BadCommand("501 5.7.0 login cancelled")
        return line.decode("ascii", "replace")

    # --- the mail -------------------------------------------------------------------------------------------------

    async def mail(self, argument: str) -> str:
        return await self._transaction.mail(self.peer, argument)

    async def rcpt(self, argument: str) -> str:
        return await self._transaction.rcpt(self.peer, argument)

    async def data(self, argument: str) -> str:
        _no_argument("DATA", argument)
        try:
            envelope = self._transaction.envelope(self.peer)
            intake = self._transaction.begin(self.peer)
        except (BadCommand, GatewayError):
            if self._wire.source.pending:  # RFC 2920 section 3.1: the mail itself, which must not be taken for commands
                raise Hangup("421 4.5.0 the mail was sent before DATA was answered, and DATA is refused") from None
            raise
        try:
            await self._wire.say("354 end with a dot on a line of its own")
            await self._read(Message(self._wire.source), intake)
            draft = self._whole(intake)
        except BaseException:
            intake.discard()
            raise
        finally:
            self.reset()
        return await self._accept(envelope, draft)

    async def bdat(self, argument: str) -> str:
        """RFC 3030 section 2: what was announced is read, whatever the answer is going to be."""
        try:
            size, last = read_bdat(argument)
        except BadCommand as error:
            raise Hangup(error.reply) from None  # where the next command begins is not known
        has_failed = self._transaction.has_failed
        try:
            intake = self._transaction.chunks(self.peer)
        except BadCommand as error:
            try:
                await self._read(Chunk(self._wire.source, size), self._transaction.lost(TryLater(error.reply)))
            except Hangup:
                raise Hangup(error.reply) from None
            raise
        await self._read(Chunk(self._wire.source, size), intake)
        if has_failed:
            return "503 5.5.1 the mail was refused already; start again with RSET"
        if not last:
            if intake.trouble is not None:
                raise intake.trouble
            self._commands -= size >= _SMALL_CHUNK
            return f"250 2.0.0 {size} octets taken"
        try:
            envelope, draft = self._transaction.envelope(self.peer), self._whole(intake)
        except BaseException:
            self.reset()
            raise
        self._transaction = Transaction(self._door, self._settings, self._listener)  # the draft is the door's now
        return await self._accept(envelope, draft)

    def _whole(self, intake: Intake) -> MailDraft:
        """What the intake has taken. Raises what has hindered it."""
        draft = intake.finish()
        if draft is None:
            assert intake.trouble is not None, "otherwise there is a draft"
            raise intake.trouble
        if intake.mended:
            log.info("line ends of a mail were put right", client=self.peer.address)
        return draft

    async def _read(self, source: Source, intake: Intake) -> None:
        """Read a message or chunk to its end. Raises OSError, :class:`Hangup`; other trouble is in the intake."""
        trouble = intake.trouble
        self.in_message = True
        try:
            if intake.is_far_too_large:  # by earlier chunks
                await self._rest(source, intake)
            else:
                await source.read(intake.write, self._settings.data_timeout)
        except FarTooLarge:
            await self._rest(source, intake)
        except WrongLineEnds:
            log.warning("the lines of a mail do not end in CRLF, so its end is unknown", client=self.peer.address)
            raise Hangup("554 5.6.0 the lines of the mail do not end in CRLF, so its end is unknown") from None
        except TimeoutError:
            if intake.trouble is not None:
                raise Hangup(refusal(intake.trouble)) from None
            raise
        finally:
            if intake.trouble is not None and trouble is None:
                sender, why = self._transaction.sender, intake.trouble.public
                telemetry.rejected(intake.trouble.status, client=self.peer.address, sender=sender, why=why)
        self.in_message = False

    async def _rest(self, source: Source, intake: Intake) -> None:
        """Read on for a while, so that the client can hear the refusal. Raises :class:`Hangup` when it does not end."""
        with contextlib.suppress(TimeoutError, WrongLineEnds):
            async with asyncio.timeout(min(_LAST_PATIENCE, self._settings.data_timeout)):
                await source.read(intake.write, _LAST_SILENCE)
        if not source.ended:
            log.warning("endless mail", client=self.peer.address, bytes=intake.taken)
            assert intake.trouble is not None, "that is why we are here"
            raise Hangup(refusal(intake.trouble))

    async def _accept(self, envelope: Envelope, draft: MailDraft) -> str:
        """Have the mail made durable, come what may of the client: only then it reads 250."""
        try:
            with self._clients.committing():
                queue_id = await self._door.accept(envelope, draft)
        except GatewayError:
            raise
        except Exception:
            log.exception("a mail could not be accepted", client=self.peer.address)
            return TROUBLE
        reach("smtp.replying")
        self.unconfirmed = queue_id
        self._commands = self._errors = 0
        self._wire.source.forgive()
        return f"250 2.0.0 queued as {queue_id}"


_ANSWERS: dict[str, Callable[[Dialogue, str], Awaitable[str]]] = {
    "HELO": Dialogue.helo,
    "EHLO": Dialogue.ehlo,
    "MAIL": Dialogue.mail,
    "RCPT": Dialogue.rcpt,
    "DATA": Dialogue.data,
    "BDAT": Dialogue.bdat,
    "RSET": Dialogue.rset,
    "NOOP": Dialogue.noop,
    "QUIT": Dialogue.quit,
    "AUTH": Dialogue.auth,
    "STARTTLS": Dialogue.starttls,
    "VRFY": Dialogue.vrfy,
    "EXPN": Dialogue.expn,
    "ETRN": Dialogue.etrn,
    "HELP": Dialogue.help,
}


def _no_argument(name: str, argument: str) -> None:
    if argument:
        raise BadCommand(f"501 5.5.4 {name} has no argument")
