"""A door on real sockets, a gateway behind it, and a client that says exactly what it is told to say."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trustme

from gateway import numbers
from gateway.document.worker import WorkerPool
from gateway.edge.smtp_settings import Door, ListenerSettings, SmtpSettings
from gateway.edge.smtpd import SmtpDoor
from gateway.model import Envelope, FaxJob, JobState, Peer, Recipient, Submission, Unnumbered
from gateway.service.accept import Accept, AcceptSettings
from gateway.service.allowance import Allowance
from gateway.service.divided import DividedMails, DividedSettings
from gateway.service.notices import Notices, NoticeSettings
from gateway.service.postmaster import Postmaster
from gateway.spool import Draft, Spool
from gateway.store import jobs
from gateway.store.db import Database

LOCAL = ("127.0.0.0/8",)
PATIENCE = 30.0
AUTHORITY = trustme.CA()


def issue(directory: Path, name: str = "localhost") -> dict[str, str]:
    """Certificate and key files for a listener."""
    issued = AUTHORITY.issue_cert(name)
    issued.private_key_pem.write_to_path(directory / "key.pem")
    with (directory / "certificate.pem").open("wb") as stream:
        stream.writelines(blob.bytes() for blob in issued.cert_chain_pems)
    return {"certificate": str(directory / "certificate.pem"), "key": str(directory / "key.pem")}


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something that must come true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


@dataclass
class Reply:
    code: int
    lines: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


class Client:
    """Raw lines and bytes over a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, address: str, context: ssl.SSLContext | None = None) -> Client:
        """Connect; the greeting is still to be read."""
        if address.startswith("unix:"):
            return cls(*await asyncio.open_unix_connection(address[5:]))
        host, _, port = address.rpartition(":")
        name = "localhost" if context else None
        return cls(*await asyncio.open_connection(host.strip("[]"), int(port), ssl=context, server_hostname=name))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self) -> Reply:
        lines, more = [], True
        async with asyncio.timeout(PATIENCE):
            while more:
                line = (await self.reader.readuntil(b"\n")).decode("ascii")
                assert line.endswith("\r\n")
                assert line[3] in " -"
                more = line[3] == "-"
                code = int(line[:3])
                lines.append(line[4:-2])
        return Reply(code, lines)

    async def ask(self, line: str | bytes) -> Reply:
        await self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.reply()

    async def asks(self, *lines: str) -> list[int]:
        """The codes of the answers, one line after the other."""
        return [(await self.ask(line)).code for line in lines]

    async def mail(self, content: bytes, *to: str, sender: str = "you@example.org") -> Reply:
        """A whole mail; the reply to its end."""
        assert await self.asks(f"MAIL FROM:<{sender}>") == [250]
        for number in to or ("+12025550123@fax.local",):
            assert await self.asks(f"RCPT TO:<{number}>") == [250]
        assert await self.asks("DATA") == [354]
        await self.send(content + b"\r\n.\r\n")
        return await self.reply()

    async def starttls(self, context: ssl.SSLContext) -> None:
        assert (await self.ask("STARTTLS")).code == 220
        await self.writer.start_tls(context, server_hostname="localhost")

    async def closed(self) -> bytes:
        """What still comes until the other side closes."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def cut(self) -> None:
        """Go away without a word."""
        self.writer.transport.abort()


@asynccontextmanager
async def talking(address: str, context: ssl.SSLContext | None = None, greeting: str = "EHLO me") -> Any:
    """A client that has been greeted."""
    client = await Client.connect(address, context)
    try:
        assert (await client.reply()).code == 220
        if greeting:
            assert (await client.ask(greeting)).code == 250
        yield client
    finally:
        client.cut()


class Stub:
    """A gateway behind the door that takes everything into real drafts and remembers it. ``fail`` names what raises."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.mails: list[tuple[Envelope, bytes]] = []
        self.seen: list[str] = []
        self.fail: dict[str, Exception] = {}
        self.logins = {"copier": "secret"}
        self.familiar: set[str] = set()
        self.open, self.verifying = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.verifying.set()
        self.accepting = 0

    def _may_fail(self, name: str) -> None:
        if name in self.fail:
            raise self.fail[name]

    async def authenticate(self, peer: Peer, login: str, password: str) -> Peer | None:
        self._may_fail("authenticate")
        await self.verifying.wait()
        return replace(peer, login=login) if self.logins.get(login) == password else None

    async def is_familiar(self, peer: Peer) -> bool:
        self._may_fail("is_familiar")
        return peer.address in self.familiar

    async def check_sender(self, peer: Peer, sender: str, size: int | None) -> None:
        self._may_fail("check_sender")

    def is_postmaster(self, address: str) -> bool:
        return address.lower() == "postmaster"

    async def unnumbered(self, peer: Peer, sender: str, address: str) -> Unnumbered | None:
        given = numbers.read_address(address, domains=["fax.local"])
        return Unnumbered(address, dict(given.options)) if given.text.lower() == "subject" else None

    async def check_recipient(self, peer: Peer, sender: str, address: str) -> Recipient:
        self._may_fail("check_recipient")
        given = numbers.read_address(address, domains=["fax.local"])
        return Recipient(address, given.number("US"), dict(given.options))

    def draft(self) -> Draft:
        self._may_fail("draft")
        return self.spool.draft()

    async def accept(self, envelope: Envelope, draft: Draft) -> str:
        try:
            self.accepting += 1
            await self.open.wait()
            self._may_fail("accept")
            self.mails.append((envelope, draft.path.read_bytes()))
            return f"Q{len(self.mails)}"
        finally:
            self.accepting -= 1
            draft.discard()

    def confirmed(self, queue_id: str) -> None:
        self._may_fail("confirmed")
        self.seen.append(queue_id)

    @property
    def left(self) -> list[str]:
        """Files in the spool's tmp."""
        return [path.name for path in (self.spool.root / "tmp").iterdir()]


class House:
    """What really stands behind the door: the service over a real database, spool and reader process."""

    def __init__(self, spool: Spool, database: Database, reader: WorkerPool, settings: AcceptSettings) -> None:
        self.spool, self.database, self.reader = spool, database, reader
        self.woken = 0
        self.mails_queued = 0
        notices = Notices(NoticeSettings("fax.local", "bounce@example.org", "admin@example.org"))
        postmaster = Postmaster(database, spool, notices, settings.domains, on_mail=self._queued)
        self.divided = DividedMails(
            database, spool, notices, DividedSettings(max_message=settings.max_message), on_mail=self._queued
        )
        self.accept = Accept(
            database, spool, reader, settings, Allowance(notices), on_accepted=self._wake, postmaster=postmaster,
            divided=self.divided,
        )  # fmt: skip

    def _queued(self) -> None:
        self.mails_queued += 1

    def _wake(self) -> None:
        self.woken += 1

    async def jobs(self) -> list[FaxJob]:
        return await self.database.read(lambda tx: jobs.in_state(tx, JobState.ACCEPTED))

    async def submissions(self) -> list[Submission]:
        ids = sorted({job.submission for job in await self.jobs()})
        found = [await self.database.read(lambda tx, id_=id_: jobs.get_submission(tx, id_)) for id_ in ids]
        return [submission for submission in found if submission is not None]

    @property
    def files(self) -> list[str]:
        """Everything that lies in the spool."""
        return sorted(str(path.relative_to(self.spool.root)) for path in self.spool.root.rglob("*") if path.is_file())


class Doors:
    """Opens doors, and closes them all."""

    def __init__(self) -> None:
        self.opened: list[SmtpDoor] = []

    async def open(
        self, behind: Door, *listeners: ListenerSettings, sockets: dict[str, Any] | None = None, **settings: Any
    ) -> list[str]:
        """Where the listeners are; without one, there is one for local clients."""
        chosen = listeners or (ListenerSettings("smtp0", "127.0.0.1:0", networks=LOCAL),)
        door = SmtpDoor(SmtpSettings(hostname="fax.local", **settings), list(chosen), behind, sockets=sockets)
        self.opened.append(door)
        await door.start()
        return door.addresses()

    def empty(self) -> bool:
        """Whether nobody is in the door opened last."""
        clients = self.opened[-1]._clients
        return not clients._counts and not clients._conversations

    async def close(self) -> None:
        for door in self.opened:
            await door.stop(0.2)
