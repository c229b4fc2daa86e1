"""The command line as people use it: a configuration, a provider, a mail server and, where wanted, a running daemon."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from admin.double import FaxService
from aiohttp import web
from aiosmtpd.smtp import SMTP
from click.testing import CliRunner, Result

from gateway.cli.root import cli

TOKEN = "t" * 32
PROGRAM = [sys.executable, "-m", "gateway"]


@pytest.fixture(autouse=True)
def _own_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No configuration, key or address of the machine's."""
    for name in ("FAXGATEWAY_CONFIG", "FAXTO_API_KEY", "EMAIL", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))


class Outside:
    """The provider and the mail server, in a thread of their own."""

    def __init__(self) -> None:
        self.service = FaxService()
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.takes_mail = True
        self.provider_port = self.relay_port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if not self.takes_mail:
            return "451 4.3.0 later"
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        runner = web.AppRunner(self.service.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        relay = await loop.create_server(lambda: SMTP(self, loop=loop, hostname="sink"), "127.0.0.1", 0)
        self.provider_port = runner.addresses[0][1]
        self.relay_port = relay.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        relay.close()
        await runner.cleanup()

    def __enter__(self) -> Outside:
        self._thread.start()
        assert self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)


@pytest.fixture
def outside() -> Iterator[Outside]:
    with Outside() as running:
        yield running


class Cli:
    """Runs commands in this process, with the configuration of the test."""

    def __init__(self, config: Path) -> None:
        self.config = config

    def __call__(self, *args: str, status: int = 0, input: str | None = None) -> Result:
        """Run ``faxgateway ARGS``; it must end with ``status``, and never with a traceback."""
        env = {"FAXGATEWAY_CONFIG": str(self.config)}
        result = CliRunner().invoke(cli, list(args), input=input, env=env, prog_name="faxgateway")
        assert result.exit_code == status, (result.output, result.exception)
        assert "Traceback" not in result.output
        return result

    def json(self, *args: str, status: int = 0) -> Any:
        """What ``faxgateway ARGS --json`` prints."""
        result = self(*args, "--json", status=status)
        return json.loads(result.stdout)

    def until(self, what: Callable[[], Any]) -> Any:
        end = time.monotonic() + 30
        while not (found := what()):
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.02)
        return found


def write_config(directory: Path, *, provider_port: int = 1, relay_port: int = 1, more: str = "") -> Path:
    path = directory / "config.yaml"
    path.write_text(f"""
state_dir: {directory / "state"}
smtp: {{listeners: [{{address: "127.0.0.1:0", networks: [127.0.0.0/8]}}]}}
http: {{callbacks: {{address: "127.0.0.1:0", token: {TOKEN}}}}}
provider:
  base_url: http://127.0.0.1:{provider_port}/api/v2
  api_key: key-of-the-account
  rate: 0
  retry_after: 50ms
  retry_max: 50ms
  poll_after: [50ms]
  doubt: {{poll_after: [50ms], min_polls: 1000}}
mail: {{relay: {{host: 127.0.0.1, port: {relay_port}}}, fallback: admin@example.org}}
document: {{workers: 1}}
{more}
""")
    path.chmod(0o600)
    return path


@pytest.fixture
def offline(tmp_path: Path) -> Cli:
    """With a configuration, and no daemon."""
    return Cli(write_config(tmp_path))


class Daemon(Cli):
    """With a daemon running as a process of its own."""

    def __init__(self, config: Path, outside: Outside, log: Path) -> None:
        super().__init__(config)
        self.service, self.mails, self.log = outside.service, outside.mails, log
        with log.open("wb") as stream:
            self.process = subprocess.Popen([*PROGRAM, "serve", "-c", str(config)], stderr=stream, stdout=stream)
        self.until(lambda: self.process.poll() is not None or b"accepting mail" in log.read_bytes())
        assert self.process.poll() is None, log.read_text()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def send(self, to: str = "+12025550123", *more: str) -> str:
        """Fax a text; returns the mail's id."""
        return self("send", "--to", to, "--from", "you@example.org", "--text", "Please read.", *more).stdout.strip()

    def reach(self, submission: str, state: str) -> dict[str, Any]:
        """Wait until the mail's first fax is in a state."""
        job: dict[str, Any] = self.until(
            lambda: next((job for job in self.json("queue", "show", submission) if job["state"] == state), None)
        )
        return job


Start = Callable[[Path], Daemon]


@pytest.fixture
def start(tmp_path: Path, outside: Outside) -> Iterator[Start]:
    """Start daemons that do not outlive the test."""
    started: list[Daemon] = []

    def start_one(config: Path) -> Daemon:
        started.append(Daemon(config, outside, tmp_path / "log"))
        return started[-1]

    yield start_one
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def config(tmp_path: Path, outside: Outside) -> Path:
    """One whose provider and mail server are there."""
    return write_config(tmp_path, provider_port=outside.provider_port, relay_port=outside.relay_port)


@pytest.fixture
def daemon(config: Path, start: Start) -> Iterator[Daemon]:
    running = start(config)
    yield running
    assert running.stop() == 0, running.log.read_text()
    assert "Traceback" not in running.log.read_text()


def run(*args: str, env: dict[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    """``faxgateway ARGS`` as a process."""
    environ = {**os.environ, **(env or {})}
    return subprocess.run(
        [*PROGRAM, *args], check=False, env=environ, capture_output=True, text=True, timeout=60, **more
    )
