"""A running gateway, its provider and nothing else; mails to people wait in the outbox."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from admin.double import FaxService
from gateway.app import Gateway
from gateway.config import load

TOKEN = "t" * 32


class House:
    def __init__(self, gateway: Gateway, service: FaxService) -> None:
        self.gateway, self.service = gateway, service

    async def ask(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """An operation by the names the socket has; ``from_`` and the like are not needed."""
        return await self.gateway.admin(operation, arguments)

    async def send(self, to: str = "+12025550123", text: str = "Please read.", **more: Any) -> str:
        """Have a mail accepted; returns its id."""
        mail = f"Subject: Report\r\nMessage-ID: <{uuid.uuid4()}@t>\r\n\r\n{text}\r\n".encode()
        accepted = await self.gateway.admin.send(mail, [to], more.get("sender", "you@example.org"))
        return str(accepted["submission"])

    async def job(self, submission: str) -> dict[str, Any]:
        return (await self.ask("queue.show", id=submission))["jobs"][0]

    async def reach(self, submission: str, state: str) -> dict[str, Any]:
        """Wait until the mail's first job is in a state."""
        async with asyncio.timeout(30):
            while (job := await self.job(submission))["state"] != state:
                await asyncio.sleep(0.01)
        return job

    async def until(self, what: Callable[[], Any]) -> None:
        async with asyncio.timeout(30):
            while not what():
                await asyncio.sleep(0.01)


@pytest.fixture
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    """With a parameter: how long it looks for a send in doubt."""
    service = FaxService()
    runner = web.AppRunner(service.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    (tmp_path / "config.yaml").write_text(f"""
state_dir: {tmp_path / "state"}
domain: [fax.local, fax.example]
smtp: {{listeners: [{{address: "127.0.0.1:0", networks: [127.0.0.0/8]}}], max_message: 200kB}}
http: {{callbacks: {{address: "127.0.0.1:0", token: {TOKEN}}}}}
provider:
  base_url: http://127.0.0.1:{runner.addresses[0][1]}/api/v2
  api_key: key
  rate: 0
  retry_after: 50ms
  retry_max: 50ms
  poll_after: [50ms]
  doubt: {{poll_after: [50ms], min_polls: 1000, give_up_after: {getattr(request, "param", "4h")}}}
mail: {{relay: {{host: 127.0.0.1, port: 1}}, fallback: admin@example.org}}
policy: {{countries: [US, GB]}}
document: {{workers: 1}}
""")
    gateway = Gateway(load(tmp_path / "config.yaml"))
    await gateway.start()
    yield House(gateway, service)
    await gateway.stop(5.0)
    await runner.cleanup()
