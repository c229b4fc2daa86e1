"""The smarthost of a campaign: takes mails, writes down each before it says 250, and misbehaves on demand."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

FAULTS = {
    "greylist": "450 to RCPT",
    "busy": "451 to the data",
    "full": "452 to the data",
    "421": "421 in the middle of a session, and the connection closed",
    "drop": "the connection is lost before the data is answered; nothing is kept",
    "take-then-drop": "the mail is kept, and the connection is lost before the 250",
    "silent": "no greeting; the connection is closed after a while",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail the sink said 250 to, or kept without being able to say so (``told`` False)."""

    message_id: str
    kind: str  # X-Faxgateway-Kind
    sender: str
    to: str
    told: bool
    subject: str
    documents: tuple[str, ...] = ()  # sha256 of each PDF or TIFF in it


@dataclass
class Sink:
    """``fault()`` names the fault of the next session, "" for none."""

    fault: Callable[[], str] = lambda: ""
    taken: list[Taken] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    port: int = 0
    _server: asyncio.Server | None = None
    _sessions: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._session, "127.0.0.1", self.port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on, as a smarthost that is down."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._sessions:
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    def mails(self, kind: str = "") -> list[Taken]:
        return [mail for mail in self.taken if not kind or mail.kind == kind]

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        try:
            await self._talk(reader, writer, self.fault())
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self._sessions.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: str) -> None:
        if fault:
            self.faults[fault] += 1
        if fault == "silent":
            await asyncio.sleep(0.2)
            return
        sender, to = "", ""
        writer.write(b"220 sink ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-sink\r\n250-8BITMIME\r\n250 SIZE 104857600\r\n")
            elif verb == b"MAIL":
                sender = _address(line)
                writer.write(b"250 ok\r\n")
            elif verb == b"RCPT":
                to = _address(line)
                if fault == "421":
                    writer.write(b"421 4.3.2 closing\r\n")
                    await writer.drain()
                    return
                writer.write(b"450 4.7.1 greylisted\r\n" if fault == "greylist" else b"250 ok\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await writer.drain()
                message = await _data(reader)
                if fault == "drop":
                    return
                if fault in ("busy", "full"):
                    writer.write(b"451 4.3.0 later\r\n" if fault == "busy" else b"452 4.3.1 full\r\n")
                else:
                    told = fault != "take-then-drop"
                    self.taken.append(_taken(message, sender, to, told=told))
                    if not told:
                        return
                    writer.write(b"250 2.0.0 taken\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                await writer.drain()
                return
            else:
                writer.write(b"250 ok\r\n")
            await writer.drain()


def some(chance: float, seed: int) -> Callable[[], str]:
    """A fault for a share of the sessions, each kind as often as the others."""
    dice = random.Random(seed)
    kinds = sorted(FAULTS)
    return lambda: dice.choice(kinds) if dice.random() < chance else ""


def _address(line: bytes) -> str:
    return line.decode("ascii", "replace").partition("<")[2].partition(">")[0]


async def _data(reader: asyncio.StreamReader) -> bytes:
    lines = []
    while (line := await reader.readline()) != b".\r\n":
        if not line:
            raise ConnectionError
        lines.append(line[1:] if line.startswith(b".") else line)
    return b"".join(lines)


def _taken(raw: bytes, sender: str, to: str, *, told: bool) -> Taken:
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    documents = []
    for part in message.walk():
        if part.get_content_type() in ("application/pdf", "image/tiff"):
            documents.append(hashlib.sha256(part.get_payload(decode=True) or b"").hexdigest())
    return Taken(
        str(message["Message-ID"]), str(message["X-Faxgateway-Kind"]), sender, to, told, str(message["Subject"]),
        tuple(documents),
    )  # fmt: skip
