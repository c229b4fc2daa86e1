"""Behind the 200 of a real gateway stand a row, its mails and a file; without them it is 503."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.app import Gateway
from gateway.config import load
from gateway.errors import TryLater

from .conftest import PDF, TOKEN
from .test_callbacks_inbound import FIELDS, form

RECEIPT = {"fax_job_id": "77", "status": "failed", "msg_code": "busy", "message": "Fax Failed - Line Busy"}


class House:
    """A running gateway that reaches nobody, and its disk as another process sees it."""

    def __init__(self, gateway: Gateway, client: aiohttp.ClientSession, state: Path) -> None:
        self.gateway, self.client, self.state = gateway, client, state

    async def post(self, data: Any) -> int:
        url = f"http://{self.gateway.addresses()['callbacks']}/callback/{TOKEN}"
        async with self.client.post(url, data=data) as answer:
            return answer.status

    async def get(self, path: str) -> tuple[int, str]:
        async with self.client.get(f"http://{self.gateway.addresses()['callbacks']}{path}") as answer:
            return answer.status, await answer.text()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{self.state / 'faxgateway.db'}?mode=ro", uri=True)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def files(self, kind: str) -> list[bytes]:
        return [file.read_bytes() for file in (self.state / "spool" / kind).iterdir()]


@pytest.fixture
async def house(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[House]:
    (tmp_path / "config.yaml").write_text(f"""
state_dir: {tmp_path / "state"}
smtp: {{listeners: [{{address: "127.0.0.1:0"}}]}}
http: {{callbacks: {{address: "127.0.0.1:0", token: {TOKEN}}}}}
provider: {{base_url: "http://127.0.0.1:{unused_tcp_port}/api/v2", api_key: key, rate: 0}}
mail: {{relay: {{host: 127.0.0.1, port: {unused_tcp_port}}}, fallback: admin@example.org}}
document: {{workers: 1}}
""")
    gateway = Gateway(load(tmp_path / "config.yaml"))
    await gateway.start()
    async with aiohttp.ClientSession() as client:
        yield House(gateway, client, tmp_path / "state")
    await gateway.stop(1.0)


async def test_a_fax_is_on_disk_with_its_mail_when_its_200_is_read(house: House) -> None:
    assert await house.post(form(("file", PDF, {"filename": "f.pdf"}))) == 200
    assert house.rows("SELECT uuid, state, size FROM inbound") == [("u-1", "dispatched", len(PDF))]
    assert house.rows("SELECT kind, recipient FROM outbox") == [("inbound", "admin@example.org")]
    assert house.files("inbound") == [PDF]
    assert house.files("tmp") == []
    status, text = await house.get("/metrics")
    assert status == 200
    assert 'faxgateway_faxes_received_total{source="callback"}' in text


async def test_the_same_fax_told_many_times_at_once_is_one(house: House) -> None:
    answers = await asyncio.gather(*(house.post(form(("file", PDF, {"filename": "f.pdf"}))) for _ in range(12)))
    assert answers == [200] * 12
    assert len(house.rows("SELECT 1 FROM inbound")) == len(house.rows("SELECT 1 FROM outbox")) == 1
    assert house.files("inbound") == [PDF]


async def test_a_receipt_is_kept_once_though_nobody_knows_its_fax(house: House) -> None:
    for _ in range(3):
        assert await house.post(RECEIPT) == 200
    assert house.rows("SELECT provider_ref, verdict, code FROM receipt") == [(77, "failed", "busy")]
    assert await house.post({**RECEIPT, "status": "success", "msg_code": "ok", "message": "sent"}) == 200
    assert len(house.rows("SELECT 1 FROM receipt")) == 2


async def test_a_fax_without_its_document_waits_and_takes_it_when_it_is_told_again(house: House) -> None:
    assert await house.post(dict(FIELDS)) == 200
    assert house.rows("SELECT uuid, state FROM inbound") == [("u-1", "pending")]
    assert house.rows("SELECT 1 FROM outbox WHERE kind = 'inbound'") == []
    large = b"%PDF-1.4\n" + bytes(500_000)
    text = base64.b64encode(large)  # read in the reader process
    assert await house.post(form(("file", text, {"content_type": "text/plain"}))) == 200
    assert house.rows("SELECT uuid, state FROM inbound") == [("u-1", "dispatched")]
    assert house.files("inbound") == [large]
    assert house.files("tmp") == []


async def test_a_short_disk_is_503_and_not_ready(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.gateway.spool, "floor", 1 << 60)
    assert await house.post(form(("file", PDF, {"filename": "f.pdf"}))) == 503
    assert (await house.get("/readyz"))[0] == 503
    assert (await house.get("/livez"))[0] == 200
    monkeypatch.setattr(house.gateway.spool, "floor", 0)
    assert (await house.get("/readyz"))[0] == 200
    assert await house.post(form(("file", PDF, {"filename": "f.pdf"}))) == 200
    assert house.files("inbound") == [PDF]


async def test_a_commit_that_fails_is_503_and_leaves_no_file(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def locked(_work: Any) -> None:
        raise TryLater("the database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(house.gateway.database, "write", locked)
        assert await house.post(form(("file", PDF, {"filename": "f.pdf"}))) == 503
        assert await house.post(RECEIPT) == 503
    assert house.files("inbound") == house.files("tmp") == []
    assert house.rows("SELECT 1 FROM inbound UNION ALL SELECT 1 FROM receipt") == []


async def test_nothing_is_answered_while_the_commit_is_under_way(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    write, go = house.gateway.database.write, asyncio.Event()
    begun = asyncio.Event()

    async def slow(work: Any) -> Any:
        begun.set()
        await go.wait()
        return await write(work)

    monkeypatch.setattr(house.gateway.database, "write", slow)
    asking = asyncio.create_task(house.post(form(("file", PDF, {"filename": "f.pdf"}))))
    await asyncio.wait_for(begun.wait(), 30)
    await asyncio.sleep(0.1)  # a settle: nothing is said meanwhile
    assert not asking.done()
    go.set()
    assert await asking == 200
    assert len(house.rows("SELECT 1 FROM inbound")) == 1
