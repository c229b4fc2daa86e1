"""One mail's transaction: MAIL, RCPT, and the message on its way into its draft (RFC 5321 section 3.3)."""

from __future__ import annotations

import email.utils
import time

from gateway.edge.smtp_commands import BadCommand, MailCommand, read_mail, read_rcpt
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.errors import GatewayError, Refused, TryLater
from gateway.model import Envelope, Peer, Recipient
from gateway.spool import Draft


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
        if not peer.login and (self._listener.auth == "required" or not peer.trusted_network):
            if self._listener.auth == "none":
                raise Refused(
                    f"{peer.address} may not send faxes here; ask the administrator to add it to the listener's networks"
                )
            raise Refused("log in first: this door wants a user name and a password", status="5.7.0")
        await self._door.check_sender(peer, command.sender, command.size)
        self._mail = command
        return "250 2.1.0 sender ok"

    async def rcpt(self, peer: Peer, argument: str) -> str:
        """RCPT: one number more. Raises BadCommand, Refused, TryLater."""
        if self._mail is None:
            raise BadCommand("503 5.5.1 MAIL comes first")
        command = read_rcpt(argument)
        number = await self._door.check_recipient(peer, self._mail.sender, command.address)
        if all(known.number != number for known in self._recipients):
            if len(self._recipients) >= self._settings.max_recipients:
                raise TryLater(
                    f"at most {self._settings.max_recipients} numbers a mail; send the others with another",
                    status="4.5.3",
                )
            self._recipients.append(Recipient(command.address, number, command.orcpt, command.notify))
        return f"250 2.1.5 will fax to {number}"

    def envelope(self, peer: Peer) -> Envelope:
        """At DATA. Raises BadCommand while the envelope is not whole."""
        if self._mail is None:
            raise BadCommand("503 5.5.1 MAIL comes first")
        if not self._recipients:
            raise BadCommand("554 5.5.1 no recipient was accepted")
        return Envelope(peer, self._mail.sender, tuple(self._recipients), self._mail.envid, self._mail.ret)


class Intake:
    """The sink of a message's bytes: its draft. Errors in writing are told after the message's end."""

    def __init__(self, draft: Draft, most: int) -> None:
        self._draft = draft
        self._most = most
        self._trouble: GatewayError | None = None
        self.taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)
        if self.taken > self._most or self._trouble is not None:
            return
        try:
            self._draft.write(data)
        except GatewayError as error:
            self._trouble = error

    def check(self) -> None:
        """Raise what hindered it: Refused for a message too large, TryLater for trouble in writing."""
        if self.taken > self._most:
            raise Refused(
                f"the mail is larger than the {self._most // 1_000_000} MB accepted here;"
                " send fewer or smaller attachments",
                status="5.3.4",
            )
        if self._trouble is not None:
            raise self._trouble


def received_line(peer: Peer, hostname: str) -> bytes:
    """The trace field, RFC 5321 section 4.4."""
    tls = f" ({peer.tls})" if peer.tls else ""
    text = (
        f"Received: from {peer.helo or 'unknown'} ([{peer.address}])\r\n"
        f"\tby {hostname} (faxgateway) with {peer.protocol}{tls};\r\n"
        f"\t{email.utils.formatdate(time.time())}\r\n"
    )
    return text.encode("ascii", "replace")
