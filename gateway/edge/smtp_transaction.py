"""One mail's transaction: MAIL, RCPT, and the chunks of a mail that comes by BDAT (RFC 5321 section 3.3, RFC 3030)."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gateway import telemetry
from gateway.edge.smtp_commands import BadCommand, MailCommand, read_mail, read_rcpt
from gateway.edge.smtp_intake import Intake
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.errors import GatewayError, Refused, TryLater
from gateway.model import Envelope, Notify, Peer, Recipient, Unnumbered
from gateway.service.addressing import check_same
from gateway.spool import MailDraft

_STRANGERS_MAIL = 1_000_000  # bytes that somebody may write to the postmaster who may not fax


class Transaction:
    """What MAIL and RCPT have said so far. Replies are returned; refusals are raised and change nothing."""

    def __init__(self, door: Door, settings: SmtpSettings, listener: ListenerSettings) -> None:
        self._door = door
        self._settings = settings
        self._listener = listener
        self._mail: MailCommand | None = None
        self._recipients: list[Recipient] = []
        self._postmaster = ""
        self._unnumbered: Unnumbered | None = None
        self._stranger: Refused | None = None  # why nothing but mail for the postmaster is taken
        self._chunks: Intake | None = None

    @property
    def begun(self) -> bool:
        """Whether MAIL was said."""
        return self._mail is not None

    @property
    def sender(self) -> str:
        """Of the envelope, "" where there is none (yet)."""
        return self._mail.sender if self._mail else ""

    @property
    def has_failed(self) -> bool:
        """Whether a chunk was refused: then only RSET, or a new greeting, leads on (RFC 3030 section 2)."""
        return self._chunks is not None and self._chunks.trouble is not None

    def discard(self) -> None:
        """Leave nothing of a mail whose last chunk has not come."""
        if self._chunks is not None:
            self._chunks.discard()

    async def mail(self, peer: Peer, argument: str) -> str:
        """MAIL: who sends, and may this client? Raises BadCommand, Refused, TryLater."""
        if self._mail is not None:
            raise BadCommand("503 5.5.1 a mail has begun already")
        with _told(peer):
            command = read_mail(argument)
        self._stranger = self._check_client(peer, command.sender)
        if self._stranger is None:
            await self._door.check_sender(peer, command.sender, command.size)
        self._mail = command
        return "250 2.1.0 sender ok"

    def _check_client(self, peer: Peer, sender: str) -> Refused | None:
        """Raise Refused for a client that has to log in; return one for a stranger where nobody can.

        A stranger may still write to the postmaster, and hears at RCPT that he may not fax. Where there is a login, the
        answer to MAIL has to ask for it: some copiers go on without one and report nothing.
        """
        if peer.login or peer.certificate or (peer.trusted_network and self._listener.auth != "required"):
            return None
        if self._listener.auth == "none":
            return Refused(
                f"{peer.address} may not send faxes here; ask the administrator to add it to the listener's networks"
            )
        tls = " under TLS (STARTTLS)" if self._listener.tls == "starttls" and not peer.tls else ""
        error = Refused(f"log in first{tls}: a user name and a password are needed here", status="5.7.0")
        telemetry.rejected(error.status, client=peer.address, sender=sender, why=error.public)
        raise error

    async def rcpt(self, peer: Peer, argument: str) -> str:
        """RCPT: one number more. Raises BadCommand, Refused, TryLater."""
        if self._mail is None:
            raise BadCommand("503 5.5.1 MAIL comes first")
        self._no_chunks()
        with _told(peer, self.sender):
            command = read_rcpt(argument)
        for_a_person = self._door.is_postmaster(command.address)
        if (self._recipients or self._unnumbered) if for_a_person else self._postmaster:
            raise TryLater("a mail for the postmaster cannot go to anybody else; send it separately", status="4.5.3")
        if for_a_person:
            self._postmaster = command.address
            return "250 2.1.5 the postmaster will read it; nothing is faxed"
        if self._stranger is not None:
            telemetry.rejected(
                self._stranger.status, client=peer.address, sender=self.sender, why=self._stranger.public
            )
            raise self._stranger
        unnumbered = await self._door.unnumbered(peer, self._mail.sender, command.address)
        if self._recipients if unnumbered else self._unnumbered:
            raise TryLater(
                "a mail whose subject is the number cannot go to others too; send those a separate mail", status="4.5.3"
            )
        if unnumbered:
            if first := self._unnumbered:
                check_same(first, unnumbered)
                self._unnumbered = replace(first, notify=_of_both(first.notify, command.notify))
            else:
                self._unnumbered = replace(unnumbered, orcpt=command.orcpt, notify=command.notify)
            return "250 2.1.5 will fax to the number in the subject"
        recipient = await self._door.check_recipient(peer, self._mail.sender, command.address)
        known = next((known for known in self._recipients if known.number == recipient.number), None)
        if known is not None:
            check_same(known, recipient)
            at = self._recipients.index(known)
            self._recipients[at] = replace(known, notify=_of_both(known.notify, command.notify))
        else:
            if len(self._recipients) >= self._settings.max_recipients:
                raise TryLater(
                    f"at most {self._settings.max_recipients} numbers per mail; send the others in another",
                    status="4.5.3",
                )
            wishes = command.orcpt or command.notify
            self._recipients.append(
                replace(recipient, orcpt=command.orcpt, notify=command.notify) if wishes else recipient
            )
        return f"250 2.1.5 will fax to {recipient.number}"

    def envelope(self, peer: Peer) -> Envelope:
        """At DATA or BDAT. Raises BadCommand while the envelope is not whole."""
        if self._mail is None:
            raise BadCommand("503 5.5.1 MAIL comes first")
        if not (self._recipients or self._postmaster or self._unnumbered):
            raise BadCommand("554 5.5.1 no recipient was accepted")
        return Envelope(
            peer, self._mail.sender, tuple(self._recipients), self._mail.envid, self._mail.ret, self._postmaster,
            self._unnumbered,
        )  # fmt: skip

    def begin(self, peer: Peer) -> Intake:
        """The intake of the mail, headed by our trace field. Raises BadCommand, Refused, TryLater."""
        self.envelope(peer)
        self._no_chunks()
        draft = self._door.draft()
        try:
            draft.write(received_line(peer, self._settings.hostname))
        except BaseException:
            draft.discard()
            raise
        return self._intake(draft)

    def chunks(self, peer: Peer) -> Intake:
        """The intake of the mail that comes by BDAT, from its first chunk on. Raises BadCommand."""
        if self._chunks is None:
            try:
                self._chunks = self.begin(peer)
            except GatewayError as error:
                self._chunks = self.lost(error)
        return self._chunks

    def lost(self, trouble: GatewayError) -> Intake:
        """An intake that only counts what it is given."""
        return self._intake(None, trouble)

    def _intake(self, draft: MailDraft | None, trouble: GatewayError | None = None) -> Intake:
        settings = self._settings
        if self._stranger is not None:
            settings = replace(settings, max_message=min(settings.max_message, _STRANGERS_MAIL))
        return Intake(draft, settings, self._listener.bare_newline, trouble)

    def _no_chunks(self) -> None:
        if self._chunks is not None:
            raise BadCommand("503 5.5.1 the mail comes by BDAT: end it with BDAT LAST, or start again with RSET")


def _of_both(one: frozenset[Notify], other: frozenset[Notify]) -> frozenset[Notify]:
    """What to tell of a number that was named twice: all that is wanted for either; without a word that is all but success."""
    if one == other or Notify.NEVER in other:
        return one
    if Notify.NEVER in one:
        return other
    return one | other | ({Notify.FAILURE, Notify.DELAY} if not (one and other) else set())


@contextmanager
def _told(peer: Peer, sender: str = "") -> Iterator[None]:
    """A command that cannot be read is a refusal like others: the log tells why this client's mails do not come."""
    try:
        with telemetry.rejections(client=peer.address, sender=sender):
            yield
    except BadCommand as error:
        _, status, why = error.reply.split(" ", 2)
        telemetry.rejected(status, client=peer.address, sender=sender, why=why)
        raise


def received_line(peer: Peer, hostname: str) -> bytes:
    """The trace field, RFC 5321 section 4.4."""
    tls = f" ({peer.tls})" if peer.tls else ""
    text = (
        f"Received: from {peer.helo or 'unknown'} ([{'IPv6:' if ':' in peer.address else ''}{peer.address}])\r\n"
        f"\tby {hostname} (faxgateway) with {peer.protocol}{tls};\r\n"
        f"\t{email.utils.formatdate(time.time())}\r\n"
    )
    return text.encode("ascii", "replace")
