"""The demo put together: gateway, sandbox, mailbox and page in one process, each on the loopback address."""

from __future__ import annotations

import asyncio
import io
import json
import secrets
import socket
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import aiosmtplib

from gateway import telemetry
from gateway.app import Gateway
from gateway.cli import demo_sample, letter
from gateway.cli.demo_faxes import FaxWatch
from gateway.cli.demo_mailbox import Mailbox
from gateway.cli.demo_page import Desk, Facts, News, Page, Uploaded
from gateway.config import load
from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.errors import Refused, TryLater
from gateway.mail.words import file_name
from gateway.sandbox.scenarios import CALL_BACK, PREFIX
from gateway.sandbox.server import Sandbox, SandboxSettings
from gateway.store.lock import StateLock

HOST = "127.0.0.1"
DOMAIN = "fax.local"
YOU, RECEPTION = "you@example.org", "reception@example.org"
OWN_NUMBER = "+12025550100"  # the sandbox's account has it
SOMEBODY = "+12025550123"
ORDINARY = "+15551234567"
NUMBERS = (
    (ORDINARY, "takes the fax"),
    (CALL_BACK, "faxes the pages back"),
    (f"{PREFIX}0001", "is busy"),
    (f"{PREFIX}0004", "hangs up on page 2"),
    (f"{PREFIX}0035", "loses the answer"),
    ("+442079460000", "is not allowed here"),
)
_KEY = "demo"
_GRACE = 3.0  # seconds for a send under way when the demo ends


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen on the loopback address; 0, or a port that is taken: any free one."""

    smtp: int = 2525
    callbacks: int = 8025
    sandbox: int = 8026
    page: int = 8080


ANY_PORTS = Ports(0, 0, 0, 0)


class Demo:
    """Everything, with its state in ``directory``."""

    def __init__(self, directory: Path, ports: Ports) -> None:
        self.directory = directory
        self.config_file = directory / "config.yaml"
        self.news = News()
        self._ports = ports
        self._lock = StateLock(directory)
        self._pool = WorkerPool(2, WorkerLimits())
        self._mailbox = Mailbox(directory / "mailbox", self._pool, self.news.tell)
        self._sandbox: Sandbox | None = None
        self._gateway: Gateway | None = None
        self._watch: FaxWatch | None = None
        self._page: Page | None = None
        self._page_port = 0

    async def start(self) -> None:
        """Start everything, in the order in which one needs another. Raises Refused, TryLater, OSError."""
        if self.config_file.exists() and not self.config_file.read_text(encoding="utf-8").startswith(_OURS):
            raise Refused(f"{self.config_file} was not made by the demo; name another directory, nothing was changed")
        self._lock.acquire()
        try:
            await self._pool.start()
            relay = await self._mailbox.start()
            sandbox = self._sandbox = Sandbox(
                SandboxSettings(
                    self.directory / "sandbox", _KEY, listen=_listen(self._ports.sandbox), numbers=(OWN_NUMBER,)
                ),
                self._pool,
            )
            await sandbox.start()
            token = secrets.token_urlsafe(24)
            await asyncio.to_thread(self._configure, relay, token)
            gateway = Gateway(load(self.config_file))
            await gateway.start()
            self._gateway = gateway
            sandbox.callback = f"http://{gateway.addresses()['callbacks']}/callback/{token}"
            await self._add_routes(gateway)
            self._watch = FaxWatch(
                gateway.database, sandbox.address, self._pool, self.directory / "faxes", self.news.tell
            )
            self._watch.start()
            telemetry.listen(self._event)
            desk = Desk(self._mailbox.newest, self._watch.newest, self.send, self.receive)
            page = Page(self._facts(), desk, self.news)
            self._page_port = await page.start(_free(self._ports.page))
            self._page = page
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop everything, in the opposite order."""
        if self._page is not None:
            await self._page.stop()
        if self._watch is not None:
            telemetry.unlisten(self._event)
            await self._watch.stop()
        if self._gateway is not None:
            await self._gateway.stop(_GRACE)
        if self._sandbox is not None:
            await self._sandbox.stop()
        await self._mailbox.stop()
        await self._pool.close()
        self._lock.release()

    @property
    def failed(self) -> asyncio.Event:
        """Set when the gateway cannot go on."""
        assert self._gateway is not None
        return self._gateway.failed

    def addresses(self) -> dict[str, str]:
        """Where everything listens, as really bound, and the configuration for other commands."""
        assert self._gateway is not None and self._sandbox is not None
        bound = self._gateway.addresses()
        return {
            "page": f"http://{HOST}:{self._page_port}/",
            "smtp": str(bound["smtp"][0]),
            "callbacks": str(bound["callbacks"]),
            "sandbox": self._sandbox.address,
            "config": str(self.config_file),
        }

    def taken(self) -> list[int]:
        """The usual ports that others have."""
        wanted = {"smtp": self._ports.smtp, "callbacks": self._ports.callbacks, "sandbox": self._ports.sandbox,
                  "page": self._ports.page}  # fmt: skip
        used = self.addresses()
        return [port for name, port in wanted.items() if port and f":{port}" not in used[name]]

    def _event(self, _event: str, _facts: dict[str, Any]) -> None:
        """The gateway has done something."""
        assert self._watch is not None
        self._watch.nudge()

    # --- configuration ------------------------------------------------------------------------------------------------

    def _configure(self, relay: int, token: str) -> None:
        assert self._sandbox is not None
        text = _CONFIG.format(
            state=json.dumps(str(self.directory / "gateway")), domain=DOMAIN, smtp=_listen(self._ports.smtp),
            callbacks=_listen(self._ports.callbacks), token=token, sandbox=self._sandbox.address, key=_KEY, host=HOST,
            relay=relay,
        )  # fmt: skip
        self.config_file.write_text(text, encoding="utf-8")
        self.config_file.chmod(0o600)

    async def _add_routes(self, gateway: Gateway) -> None:
        """Our number's faxes go to a mailbox, and we send as that number."""
        note = "made by the demo"
        await gateway.admin("route.add", {"kind": "did", "match": OWN_NUMBER, "mailboxes": [RECEPTION], "note": note})
        await gateway.admin("route.add", {"kind": "sender", "match": "*", "tsi": OWN_NUMBER, "note": note})

    def _facts(self) -> Facts:
        host, _, port = self.addresses()["smtp"].rpartition(":")
        return Facts(host, int(port), DOMAIN, OWN_NUMBER, NUMBERS, lines(host, int(port)))

    # --- what the buttons do ------------------------------------------------------------------------------------------

    async def send(self, to: str, file: Uploaded | None) -> str:
        """Send a mail to a number through the SMTP door, with a file or the sample. Raises Refused, TryLater."""
        if not (to.isascii() and to.removeprefix("+").isdecimal()):
            raise Refused("Name a number to send to")
        mail = await asyncio.to_thread(_mail, to, file)
        host, _, port = self.addresses()["smtp"].rpartition(":")
        try:
            _, answer = await aiosmtplib.send(
                mail, sender=YOU, recipients=[f"{to}@{DOMAIN}"], hostname=host, port=int(port), start_tls=False
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            reply = error.recipients[0]
            raise Refused(f"The gateway answered: {reply.code} {reply.message}") from error
        except aiosmtplib.SMTPResponseException as error:
            raise Refused(f"The gateway answered: {error.code} {error.message}") from error
        except (aiosmtplib.SMTPException, ValueError) as error:
            raise TryLater(f"The mail could not be handed over: {error}") from error
        return f"The gateway answered: 250 {answer}"

    async def receive(self) -> str:
        """Let a fax with the sample's pages arrive at our number. Raises TryLater."""
        document = await asyncio.to_thread(demo_sample.pdf, heading="A fax for you", at=datetime.now().astimezone())
        form = aiohttp.FormData({"from": SOMEBODY, "to": OWN_NUMBER})
        form.add_field("file", io.BytesIO(document), filename="fax.pdf", content_type="application/pdf")
        url = f"http://{self.addresses()['sandbox']}/sandbox/inbound"
        try:
            async with aiohttp.ClientSession() as client, client.post(url, data=form, raise_for_status=True):
                return f"A fax is coming in; it is mailed to {RECEPTION}."
        except aiohttp.ClientError as error:
            raise TryLater(f"The sandbox did not take it: {error}") from error


def lines(host: str, port: int) -> tuple[tuple[str, str], ...]:
    """Lines to paste: a program's name, and how it sends a fax."""
    to = f"{ORDINARY.removeprefix('+')}@{DOMAIN}"
    return (
        ("swaks", f"swaks --server {host}:{port} \\\n  --from {YOU} \\\n  --to {to} \\\n  --attach @README.md"),
        (
            "curl",
            f"curl smtp://{host}:{port} \\\n  --mail-from {YOU} \\\n  --mail-rcpt {to} \\\n"
            "  -H 'Subject: Hello' -F '=My first fax.' \\\n  -F 'file=@README.md;type=text/plain'",
        ),
        (
            "Python",
            f"import smtplib\nwith smtplib.SMTP('{host}', {port}) as door:\n"
            f"    door.sendmail('{YOU}', '{to}', 'Subject: Hello\\n\\nMy first fax.')",
        ),
    )


def _mail(to: str, file: Uploaded | None) -> bytes:
    """A mail as a mail program makes it."""
    with tempfile.TemporaryDirectory(prefix="faxgateway-") as scratch:
        path = Path(scratch, file_name(file.name) or "file" if file else "sample.pdf")
        content = file.content if file else demo_sample.pdf(at=datetime.now().astimezone())
        path.write_bytes(content)
        subject = "" if file else "A sample fax"
        return letter.make([path], to=[to], sender=YOU, subject=subject, domain=DOMAIN)


def _free(port: int) -> int:
    """``port`` when nobody has it, else 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return 0
    return port


def _listen(port: int) -> str:
    return f"{HOST}:{_free(port)}"


_OURS = "# Written by faxgateway demo"
_CONFIG = (
    f"""\
{_OURS} whenever it starts. Other commands find the demo by it: faxgateway queue list -c THIS_FILE
"""
    + """
state_dir: {state}
domain: {domain}
default_region: US
smtp:
  listeners:
    - {{address: "{smtp}", networks: [127.0.0.0/8]}}
http:
  callbacks: {{address: "{callbacks}", token: {token}}}
provider:
  base_url: http://{sandbox}/api/v2   # the sandbox, not Fax.to
  api_key: {key}
  rate: 0
  timeout: 10s
  poll_after: [2s, 5s, 15s]           # impatient, as befits a demo
  doubt: {{poll_after: [2s], min_polls: 3, min_time: 6s, give_up_after: 2m}}
  retry_after: 2s
mail:
  relay: {{host: {host}, port: {relay}}}   # the mailbox: every mail ends there
  sender: Fax gateway <fax@example.org>
  fallback: admin@example.org
  retry_after: 2s
policy:
  countries: [US, CA]
  test_numbers: allow                 # +999...: the sandbox's scenarios
document: {{workers: 1}}
"""
)
