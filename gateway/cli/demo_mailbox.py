"""The demo's mailbox: takes every mail by SMTP, keeps it in a directory, and makes pictures of its fax documents."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.charsets import to_text
from gateway.document.worker import WorkerPool
from gateway.errors import GatewayError
from gateway.mail.words import decode_words, file_name, one_line

log = structlog.get_logger("mailbox")

_KEPT = 200  # mails shown
_TEXT = 100_000  # bytes shown of a text
_DOCUMENTS = ("application/pdf", "image/tiff")
_PARSER = BytesParser(policy=policy.compat32)  # the one that takes every mail
_SOURCE = "message.eml"


@dataclass(slots=True)
class Attachment:
    """A part that is not the text; ``pictures`` are the pages of a fax document, once they are made, or the picture it is."""

    name: str
    type: str
    file: Path
    size: int
    pictures: list[Path] = field(default_factory=list)


@dataclass(slots=True)
class Mail:
    """A mail that has arrived, as far as a reader wants to know it. Every text in it is a stranger's."""

    number: int
    folder: Path
    arrived_at: float
    envelope_from: str
    to: str
    subject: str = ""
    sender: str = ""
    kind: str = ""  # as X-Faxgateway-Kind tells it; "" for a mail that is not the gateway's
    text: str = ""
    attachments: list[Attachment] = field(default_factory=list)

    @property
    def source(self) -> Path:
        return self.folder / _SOURCE


class Mailbox:
    """One mailbox for all addresses, on the loopback address. ``changed`` is called when there is something new to see."""

    def __init__(self, directory: Path, pool: WorkerPool, changed: Callable[[], None]) -> None:
        self._directory = directory
        self._pool = pool
        self._changed = changed
        self._server: asyncio.Server | None = None
        self._sessions: weakref.WeakSet[SMTP] = weakref.WeakSet()
        self._work: set[asyncio.Task[None]] = set()
        self._mails: dict[int, Mail] = {}
        self._count = 0

    async def start(self) -> int:
        """Read what is there and listen on a free port, which is returned. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for source in sorted(self._directory.glob(f"*/{_SOURCE}")):
            mail = await asyncio.to_thread(_read, int(source.parent.name), source.parent, source.stat().st_mtime)
            self._put(mail)
        self._server = await asyncio.get_running_loop().create_server(self._session, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Take no more mails, end the pictures."""
        if self._server is not None:
            self._server.close()
            for session in list(self._sessions):
                if session.transport is not None:
                    session.transport.close()
            await self._server.wait_closed()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def newest(self) -> list[Mail]:
        """All mails, the newest first."""
        return list(reversed(self._mails.values()))

    def _session(self) -> SMTP:
        loop = asyncio.get_running_loop()
        session = SMTP(
            self, hostname="mailbox.localhost", ident="demo mailbox", enable_SMTPUTF8=True, loop=loop, data_size_limit=None
        )  # fmt: skip
        self._sessions.add(session)
        return session

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep the mail for each of its recipients, marked as a delivery agent does (RFC 5321 section 4.4). The name
        is aiosmtpd's.
        """
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        sender = (envelope.mail_from or "").strip("<>")
        for recipient in envelope.rcpt_tos:
            marks = f"Return-Path: <{sender}>\r\nDelivered-To: {recipient}\r\n".encode()
            self._count += 1
            folder = self._directory / f"{self._count:05}"
            self._put(await asyncio.to_thread(_keep, self._count, folder, time.time(), marks + content))
        self._changed()
        return "250 2.0.0 in the mailbox"

    def _put(self, mail: Mail) -> None:
        self._count = max(self._count, mail.number)
        self._mails[mail.number] = mail
        while len(self._mails) > _KEPT:
            del self._mails[min(self._mails)]
        if any(each.type in _DOCUMENTS for each in mail.attachments):
            task = asyncio.create_task(self._picture(mail), name=f"pictures-{mail.number}")
            self._work.add(task)
            task.add_done_callback(self._work.discard)

    async def _picture(self, mail: Mail) -> None:
        for attachment in mail.attachments:
            if attachment.type in _DOCUMENTS:
                attachment.pictures = await pictures(self._pool, attachment.file)
        self._changed()


async def pictures(pool: WorkerPool, document: Path) -> list[Path]:
    """A PNG for each page of a fax document, in a folder beside it; none when it cannot be read."""
    folder = document.with_name(f"{document.name}.pages")
    if not folder.exists():
        scratch = tempfile.mkdtemp(dir=document.parent)
        try:
            await pool.run("gateway.document.render:previews", document=str(document), directory=scratch)
            shutil.move(scratch, folder)
        except GatewayError as error:
            log.warning("no pictures of a document", why=str(error))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return sorted(folder.glob("*.png"))


# --- reading a mail ---------------------------------------------------------------------------------------------------


def _keep(number: int, folder: Path, at: float, content: bytes) -> Mail:
    folder.mkdir(mode=0o700)
    (folder / _SOURCE).write_bytes(content)
    return _read(number, folder, at)


def _read(number: int, folder: Path, at: float) -> Mail:
    message = _PARSER.parsebytes((folder / _SOURCE).read_bytes())
    mail = Mail(
        number,
        folder,
        at,
        envelope_from=_header(message, "Return-Path").strip("<>"),
        to=_header(message, "Delivered-To"),
        subject=_header(message, "Subject"),
        sender=_header(message, "From").replace('"', ""),
        kind=_header(message, "X-Faxgateway-Kind"),
    )
    for index, part in enumerate(_leaves(message)):
        content = _content(part)
        if part.get_content_type() == "text/plain" and not mail.text:
            mail.text = to_text(content[:_TEXT], part.get_content_charset()).replace("\r\n", "\n")
            continue
        file = folder / f"part-{index}"
        file.write_bytes(content)
        name = file_name(decode_words(part.get_filename() or "")) or part.get_content_type()
        is_picture = mail.kind and part.get_content_type() == "image/png"
        mail.attachments.append(
            Attachment(name, part.get_content_type(), file, len(content), [file] if is_picture else [])
        )
    return mail


def _header(message: Message[Any, Any], name: str) -> str:
    return one_line(decode_words(str(message.get(name, ""))))


def _leaves(message: Message[Any, Any]) -> Iterator[Message[Any, Any]]:
    """The parts that hold something; a message in the message, or a delivery status, is one part."""
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in message.get_payload():
            assert isinstance(part, Message)
            yield from _leaves(part)
    else:
        yield message


def _content(part: Message[Any, Any]) -> bytes:
    if part.is_multipart():  # message/...
        inner = [each.as_bytes() for each in part.get_payload() if isinstance(each, Message)]
        return b"\n".join(inner)
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
