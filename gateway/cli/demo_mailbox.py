"""The demo's mailbox: takes every mail by SMTP, keeps it in a directory, and makes pictures of its documents."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.document.worker import WorkerPool
from gateway.errors import GatewayError

log = structlog.get_logger("mailbox")

_KEPT = 500  # mails shown
_DOCUMENTS = ("application/pdf", "image/tiff")


@dataclass
class Attachment:
    """A part that is not the text; ``pictures`` are its pages, None while they are made."""

    name: str
    type: str
    content: bytes
    pictures: list[Path] | None = None

    @property
    def is_document(self) -> bool:
        return self.type in _DOCUMENTS


@dataclass
class Mail:
    """A mail that has arrived, as far as a reader wants to know it."""

    number: int
    arrived_at: float
    envelope_from: str
    to: str
    raw: bytes
    subject: str = ""
    sender: str = ""
    kind: str = ""  # delivered, failed, unknown, inbound, operator; "" for a mail that is not the gateway's
    text: str = ""
    attachments: list[Attachment] = field(default_factory=list)


class Mailbox:
    """One mailbox for all addresses. ``changed`` is called when there is something new to see."""

    def __init__(
        self, directory: Path, pool: WorkerPool, changed: Callable[[], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._pool = pool
        self._changed = changed
        self._clock = clock
        self._server: asyncio.Server | None = None
        self._sessions: set[SMTP] = set()
        self._work: set[asyncio.Task[None]] = set()
        self._mails: dict[int, Mail] = {}
        self._count = 0

    async def start(self, port: int = 0) -> int:
        """Listen on the loopback address; returns the port. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="mailbox.localhost", ident="demo mailbox", enable_SMTPUTF8=True, loop=loop),
            "127.0.0.1",
            port,
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def newest(self) -> list[Mail]:
        return list(reversed(self._mails.values()))

    def get(self, number: int) -> Mail | None:
        return self._mails.get(number)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # the name is aiosmtpd's
        """aiosmtpd's hook: the mail is kept for each of its recipients."""
        raw = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        for recipient in envelope.rcpt_tos:
            await self._keep(raw, envelope.mail_from or "", recipient)
        self._changed()
        return "250 2.0.0 in the mailbox"

    async def _keep(self, raw: bytes, envelope_from: str, to: str) -> None:
        self._count += 1
        mail = Mail(self._count, self._clock(), envelope_from, to, raw)
        _read(mail)
        await asyncio.to_thread((self._directory / f"{mail.number:04}.eml").write_bytes, raw)
        self._mails[mail.number] = mail
        while len(self._mails) > _KEPT:
            del self._mails[next(iter(self._mails))]
        if any(each.is_document for each in mail.attachments):
            task = asyncio.create_task(self._picture(mail), name=f"pictures-{mail.number}")
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _picture(self, mail: Mail) -> None:
        for index, attachment in enumerate(mail.attachments):
            if attachment.is_document:
                folder = self._directory / f"{mail.number:04}-{index}"
                attachment.pictures = await pictures(self._pool, attachment.content, folder)
        self._changed()


async def pictures(pool: WorkerPool, document: bytes, folder: Path) -> list[Path]:
    """A PNG for each page of a fax document, in ``folder``; none when it cannot be read."""
    await asyncio.to_thread(_put, folder, document)
    try:
        made = await pool.run(
            "gateway.document.render:previews", document=str(folder / "document"), directory=str(folder)
        )
    except GatewayError as error:
        log.warning("no pictures of a document", why=str(error))
        return []
    return [Path(each) for each in made]


def _put(folder: Path, document: bytes) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "document").write_bytes(document)


def _read(mail: Mail) -> None:
    """Fill in what the message says; one that cannot be read is still shown, by its source."""
    mail.subject, mail.text = "(unreadable)", mail.raw.decode("utf-8", "replace")
    with contextlib.suppress(Exception):  # the parser fails in many ways on what is no mail
        message = BytesParser(policy=policy.default).parsebytes(mail.raw)
        assert isinstance(message, EmailMessage)
        mail.sender = str(message.get("From", ""))
        mail.kind = str(message.get("X-Faxgateway-Kind", ""))
        texts: list[str] = []
        attachments: list[Attachment] = []
        for part in message.walk():
            if part.is_multipart():
                continue
            content = part.get_payload(decode=True)
            content = content if isinstance(content, bytes) else b""
            if part.get_content_type() == "text/plain" and not texts:
                texts.append(content.decode(part.get_content_charset("utf-8"), "replace"))
            else:
                name = part.get_filename() or part.get_content_type()
                attachments.append(Attachment(name, part.get_content_type(), content))
        mail.text, mail.attachments = "".join(texts), attachments
        mail.subject = str(message.get("Subject", "")) or "(no subject)"
