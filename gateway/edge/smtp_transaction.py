"""One mail's transaction: MAIL, RCPT, and the message on its way into its draft (RFC 5321 section 3.3)."""

from __future__ import annotations

import email.utils
import time
from dataclasses import replace

import structlog

from gateway import telemetry
from gateway.edge.smtp_commands import BadCommand, MailCommand, read_mail, read_rcpt
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.errors import GatewayError, Refused, TryLater
from gateway.model import Envelope, Peer, Recipient
from gateway.service.addressing import check_same
from gateway.spool import Draft

log = structlog.get_logger("smtpd")


class Transaction:
    """What MAIL and RCPT have said so far. Replies are returned; refusals are raised and change nothing."""

    def __init__(self, door: Door, settings: SmtpSettings, listener: ListenerSettings) -> None:
        self._door = door
        self._settings = settings
        self._listener = listener
        self._mail: MailCommand | None = None
        self._recipients: list[Recipient] = []

    @property
    def begun(self) -> bool:
        """Whether MAIL was said."""
        return self._mail is not None

    async def mail(self, peer: Peer, argument: str) -> str:
        """MAIL: who sends, and may this client? Raises BadCommand, Refused, TryLater."""
        if self._mail is not None:
            raise BadCommand("503 5.5.1 a mail has begun already")
        command = read_mail(argument)
        self._check_client(peer)
        await self._door.check_sender(peer, command.sender, command.size)
        self._mail = command
        return "250 2.1.0 sender ok"

    def _check_client(self, peer: Peer) -> None:
        """Raise Refused for a client that has not proven who it is, as this listener wants it proven."""
        if peer.login or (peer.trusted_network and self._listener.auth != "required"):
            return
        if self._listener.auth == "none":
            error = Refused(
                f"{peer.address} may not send faxes here; ask the administrator to add it to the listener's networks"
            )
        else:
            tls = " under TLS (STARTTLS)" if self._listener.tls == "starttls" and not peer.tls else ""
            error = Refused(f"log in first{tls}: this door wants a user name and a password", status="5.7.0")
        telemetry.rejected(error.status, client=peer.address, why=error.public)
        raise error

    async def rcpt(self, peer: Peer, argument: str) -> str:
        """RCPT: one number more. Raises BadCommand, Refused, TryLater."""
        if self._mail is None:
            raise BadCommand("503 5.5.1 MAIL comes first")
        command = read_rcpt(argument)
        recipient = await self._door.check_recipient(peer, self._mail.sender, command.address)
        known = next((known for known in self._recipients if known.number == recipient.number), None)
        if known is not None:
            check_same(known, recipient)
        else:
            if len(self._recipients) >= self._settings.max_recipients:
                raise TryLater(
                    f"at most {self._settings.max_recipients} numbers a mail; send the others with another",
                    status="4.5.3",
                )
            self._recipients.append(replace(recipient, orcpt=command.orcpt, notify=command.notify))
        return f"250 2.1.5 will fax to {recipient.number}"

    def envelope(self, peer: Peer) -> Envelope:
        """At DATA. Raises BadCommand while the envelope is not whole."""
        if self._mail is None:
            raise BadCommand("503 5.5.1 MAIL comes first")
        if not self._recipients:
            raise BadCommand("554 5.5.1 no recipient was accepted")
        return Envelope(peer, self._mail.sender, tuple(self._recipients), self._mail.envid, self._mail.ret)


class FarTooLarge(Exception):  # not an error: it only stops the reading
    """The message has grown to twice the size that may be."""


class Intake:
    """The sink of a message's bytes: its draft. ``trouble`` is what hindered it, to be told at the message's end."""

    def __init__(self, draft: Draft, most: int) -> None:
        self._draft = draft
        self._most = most
        self.taken = 0  # bytes
        self.trouble: GatewayError | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes; those too many, or behind a failed write, are dropped. Raises :class:`FarTooLarge` once."""
        before, self.taken = self.taken, self.taken + len(data)
        if self.trouble is None:
            self.trouble = self._written(data)
            if self.trouble is not None:
                self._draft.discard()
        if before <= 2 * self._most < self.taken:
            raise FarTooLarge

    def _written(self, data: bytes) -> GatewayError | None:
        if self.taken > self._most:
            return Refused(
                f"the mail is larger than the {self._most / 1_000_000:g} MB accepted here;"
                " send fewer or smaller attachments",
                status="5.3.4",
            )
        try:
            self._draft.write(data)
        except GatewayError as error:
            return error
        except Exception as error:  # the message must be read to its end: it is not to be taken for commands
            log.exception("a mail could not be written")
            return TryLater("the gateway could not store the mail; try again later", repr(error))
        return None


def received_line(peer: Peer, hostname: str) -> bytes:
    """The trace field, RFC 5321 section 4.4."""
    tls = f" ({peer.tls})" if peer.tls else ""
    text = (
        f"Received: from {peer.helo or 'unknown'} ([{'IPv6:' if ':' in peer.address else ''}{peer.address}])\r\n"
        f"\tby {hostname} (faxgateway) with {peer.protocol}{tls};\r\n"
        f"\t{email.utils.formatdate(time.time())}\r\n"
    )
    return text.encode("ascii", "replace")
