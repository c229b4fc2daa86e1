"""A gateway among its neighbours: the sandbox as the provider, a sink as the smarthost, clients that remember.

All clocks of the gateway are short, so that what takes hours for an administrator takes seconds here.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import aiohttp

from gateway.document.worker import WorkerPool
from gateway.sandbox.server import Sandbox, SandboxSettings

from .daemon import CODE, Program
from .ports import free_port
from .sink import Sink

TOKEN = "campaign-" + "t" * 24
KEY = "campaign-key"
DID = "+12025550100"
OPERATOR = "operator@example.org"
DESK = "desk@example.org"
SENDER = "ann@example.org"

_code: ContextVar[Path] = ContextVar("code", default=CODE)

_CONFIG = """
state_dir: {state}
domain: fax.local
smtp:
  listeners: [{{address: "127.0.0.1:{smtp}", networks: [127.0.0.0/8]}}]
  small_mail: 1KB
  max_connections: 500
  max_connections_per_client: 500
http: {{callbacks: {{address: "127.0.0.1:{http}", token: {token}}}}}
provider:
  base_url: http://{sandbox}/api/v2
  api_key: {key}
  rate: 0
  concurrency: 8
  timeout: 3s
  upload_timeout: 10s
  key_check_every: 300ms
  poll_after: [300ms, 500ms, 1s]
  confirm_timeout: 20s
  result_timeout: 5m
  retry_after: 200ms
  retry_max: 1s
  doubt: {{poll_after: [200ms, 300ms, 500ms], min_polls: 3, min_time: {min_time}, give_up_after: {give_up}, resend: {resend}}}
  inbox: {{sweep_every: 1s, grace: {grace}, first_run: deliver}}
mail:
  relay: {{host: 127.0.0.1, port: {sink}, timeout: 3s}}
  fallback: {operator}
  retry_after: 200ms
  retry_max: 1s
  concurrency: 8
document: {{workers: {converters}}}
log: {{format: json, level: {level}}}
{more}
"""


@dataclass
class Wish:
    """A mail somebody wants faxed: its client sends it again until it has read an answer, as mail servers do."""

    numbers: tuple[str, ...]
    text: str
    message_id: str
    told: list[str] = field(default_factory=list)  # queue ids of every 250 read
    refused: str = ""  # a 5xx that was read
    large: bool = True  # kept as a file; a small one in the database
    parts: int = 1  # mails that it comes in (message/partial)
    taken: int = 0  # of them but the last: those whose 250 was read

    @property
    def settled(self) -> bool:
        return bool(self.told or self.refused)

    @property
    def message(self) -> bytes:
        """The mail, the same each time."""
        made = EmailMessage(policy=SMTP)
        made["From"], made["To"], made["Subject"] = SENDER, "fax@fax.local", "Campaign"
        made["Message-ID"], made["Date"] = self.message_id, "Tue, 24 Nov 2026 10:00:00 +0000"
        if self.large:
            made["X-Bulk"] = "x" * 1000
        made.set_content(self.text)
        return made.as_bytes()

    @property
    def mails(self) -> list[bytes]:
        """What is sent: the mail, or its parts (RFC 2046 section 5.2.2), the first of which is large."""
        if self.parts == 1:
            return [self.message]
        lines = self.message.splitlines(keepends=True)
        size = -(-len(lines) // self.parts)
        head = f"From: {SENDER}\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\n{'X-Bulk: ' + 'x' * 900}\r\n"
        return [
            f"{head if n == 0 else ''}Subject: part {n + 1}\r\nContent-Type: message/partial; number={n + 1};"
            f' total={self.parts}; id="{self.message_id}"\r\n\r\n'.encode()
            + b"".join(lines[n * size : (n + 1) * size])
            for n in range(self.parts)
        ]


@dataclass
class World:
    """What lasts while gateways come and go. Use :func:`world`."""

    directory: Path
    sink: Sink
    sandbox: Sandbox
    smtp_port: int
    http_port: int
    options: dict[str, str]
    state: Path = Path()
    wishes: list[Wish] = field(default_factory=list)
    injected: list[str] = field(default_factory=list)  # uuids of faxes sent to us
    by_hand: list[int] = field(default_factory=list)  # faxes that a person sent at the provider, beside the gateway
    _numbers: int = 0

    def __post_init__(self) -> None:
        self.use_state(self.directory / "state")

    # --- the gateway ----------------------------------------------------------------------------------------------

    def use_state(self, state: Path) -> None:
        """Let the next gateway live in this directory."""
        self.state = state
        self.gateway = self.program(state.name, self.smtp_port, self.http_port)

    @property
    def config(self) -> Path:
        """The configuration of the gateway that lives in the present state directory."""
        return self.directory / f"{self.state.name}.yaml"

    def program(self, name: str, smtp_port: int, http_port: int) -> Program:
        """A gateway that would live in the present state directory, with its configuration and log under ``name``."""
        config = self.directory / f"{name}.yaml"
        options = {
            "min_time": "1500ms",
            "give_up": "15s",
            "grace": "1s",
            "level": "info",
            "more": "",
            "converters": "2",
            "resend": "3",
            **self.options,
        }
        config.write_text(
            _CONFIG.format(
                state=self.state, smtp=smtp_port, http=http_port, token=TOKEN, sandbox=self.sandbox.address, key=KEY,
                sink=self.sink.port, operator=OPERATOR, **options,
            )
        )  # fmt: skip
        url, log = f"http://127.0.0.1:{http_port}/readyz", self.directory / f"{name}.log"
        return Program(("serve", "-c", str(config)), url, log, _code.get())

    # --- clients --------------------------------------------------------------------------------------------------

    def wish(self, recipients: int = 1, text: str = "", also: tuple[str, ...] = ()) -> Wish:
        """A new mail to numbers that nobody else is faxed at, so that a number tells whose fax it is."""
        numbers = (*(f"+1202{2_000_000 + self._numbers + n:07d}" for n in range(recipients)), *also)
        self._numbers += recipients
        made = Wish(numbers, text or f"For {', '.join(numbers)}.", f"<wish-{self._numbers}@client.example.org>")
        made.large = len(self.wishes) % 2 == 0
        self.wishes.append(made)
        return made

    async def try_send(self, wish: Wish) -> bool:
        """One try to hand the mail over; True when an answer to it was read."""
        return await asyncio.to_thread(self._try_send, wish)

    def _try_send(self, wish: Wish) -> bool:
        try:
            with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=30) as client:
                client.ehlo_or_helo_if_needed()
                for mail in wish.mails[wish.taken : -1]:
                    code, reply = self._hand_over(client, wish, mail)
                    if code != 250:
                        return self._note(wish, code, reply)
                    wish.taken += 1
                return self._note(wish, *self._hand_over(client, wish, wish.mails[-1]))
        except (OSError, smtplib.SMTPException):
            return wish.settled

    @staticmethod
    def _hand_over(client: smtplib.SMTP, wish: Wish, mail: bytes) -> tuple[int, bytes]:
        client.mail(SENDER)
        for number in wish.numbers:
            code, reply = client.rcpt(f"{number}@fax.local")
            if code != 250:
                return code, reply
        return client.data(mail)

    @staticmethod
    def _note(wish: Wish, code: int, reply: bytes) -> bool:
        if code == 250:
            wish.told.append(reply.split()[-1].decode())
        elif code >= 500:
            wish.refused = f"{code} {reply.decode('utf-8', 'replace')}"
        return wish.settled

    async def send(self, wish: Wish, within: float = 60.0) -> None:
        """Try until an answer was read."""
        async with asyncio.timeout(within):
            while not await self.try_send(wish):
                await asyncio.sleep(0.05)

    # --- the provider ---------------------------------------------------------------------------------------------

    async def ask(self, path: str) -> Any:
        """A route of the sandbox's own."""
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://{self.sandbox.address}{path}") as answer,
        ):
            return await answer.json()

    async def faxes(self) -> list[dict[str, Any]]:
        """What the sandbox really executed."""
        found: list[dict[str, Any]] = (await self.ask("/sandbox/faxes"))["faxes"]
        return found

    async def order(self, operation: str, fault: str, **how: Any) -> None:
        """Put a fault in force."""
        async with (
            aiohttp.ClientSession() as client,
            client.post(
                f"http://{self.sandbox.address}/sandbox/faults",
                json={"operation": operation, "fault": fault, **how},
            ) as answer,
        ):
            if answer.status >= 300:
                raise ValueError(await answer.text())

    async def set_balance(self, amount: float) -> None:
        """What the account holds from now on."""
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"http://{self.sandbox.address}/sandbox/balance", json={"balance": amount}) as answer,
        ):
            answer.raise_for_status()

    async def no_faults(self) -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.delete(f"http://{self.sandbox.address}/sandbox/faults"),
        ):
            pass

    async def send_by_hand(self, number: str, document: int | bytes) -> None:
        """A person faxes with the provider's account, beside the gateway: an upload of ours by its id, or a document."""
        async with aiohttp.ClientSession(f"http://{self.sandbox.address}") as client:
            if isinstance(document, bytes):
                form = aiohttp.FormData()
                form.add_field("file", document, filename="hand.pdf", content_type="application/pdf")
                async with client.post("/api/v2/files", params={"api_key": KEY}, data=form) as answer:
                    document = int((await answer.json())["document_id"])
            fax = {"fax_number": number, "document_id": str(document)}
            async with client.post("/api/v2/fax", params={"api_key": KEY}, data=fax) as answer:
                self.by_hand.append((await answer.json())["fax_job_id"])

    async def fax_arrives(self, document: bytes, *, shape: str = "") -> str:
        """Somebody faxes us; returns the uuid."""
        form = aiohttp.FormData({"from": "+12025550199", "to": DID})
        form.add_field("file", document, filename="fax.pdf", content_type="application/pdf")
        if shape:
            form.add_field("shape", shape)
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"http://{self.sandbox.address}/sandbox/inbound", data=form) as answer,
        ):
            uuid: str = (await answer.json())["uuid"]
        self.injected.append(uuid)
        return uuid


@contextlib.contextmanager
def running(code: Path) -> Iterator[None]:
    """Every gateway of worlds made meanwhile runs the package ``gateway`` in the directory ``code``."""
    token = _code.set(code)
    try:
        yield
    finally:
        _code.reset(token)


@contextlib.asynccontextmanager
async def world(directory: Path, pool: WorkerPool, **options: str) -> AsyncIterator[World]:
    """Sandbox and sink, running; the gateway is not started. ``options`` fill in the configuration's."""
    directory.mkdir(parents=True, exist_ok=True)
    smtp_port, http_port = free_port(), free_port()
    settings = SandboxSettings(
        state_dir=directory / "sandbox",
        api_key=KEY,
        callback=f"http://127.0.0.1:{http_port}/callback/{TOKEN}",
        listen="127.0.0.1:0",
        balance=Decimal(100_000),
    )
    sandbox, sink = Sandbox(settings, pool), Sink()
    await sandbox.start()
    await sink.start()
    made = World(directory, sink, sandbox, smtp_port, http_port, options)
    try:
        yield made
    finally:
        await made.gateway.kill()
        await sandbox.stop()
        await sink.stop()


async def until(what: Callable[[], Any], within: float) -> bool:
    """Poll until ``what()`` is true; False when it never was. ``what`` may be a coroutine function."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        found = what()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return True
        await asyncio.sleep(0.05)
    return False
