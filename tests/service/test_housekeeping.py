"""What the daemon does now and then by itself, on a whole gateway: what has served its time goes, nothing else does."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from aiohttp import web

from gateway import telemetry
from gateway.app import Gateway
from gateway.config import Config, load
from gateway.errors import NoSpace, TryLater
from gateway.model import (
    Envelope,
    FaxJob,
    FaxNumber,
    JobState,
    MailKind,
    OutgoingMail,
    Peer,
    Recipient,
    Submission,
)
from gateway.store import jobs, outbox, overview
from gateway.store.db import Tx
from gateway.store.ids import new_id

TOKEN = "t" * 32
PEER = Peer(listener="smtp0", address="127.0.0.1", trusted_network=True)


class Files:
    """The provider's documents, and a key that may be refused."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.key_is_good = True
        self.asked = self.swept = 0

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/api/v2/files", self.files)
        app.router.add_delete("/api/v2/files/{ref}", self.delete)
        app.router.add_get("/api/v2/balance", self.balance)
        app.router.add_get("/api/v2/incoming-faxes", self.inbox)
        return app

    def answer(self, value: Any) -> web.Response:
        return web.json_response(value) if self.key_is_good else web.json_response({"status": "error"}, status=401)

    async def files(self, request: web.Request) -> web.Response:
        self.asked += 1
        listed = [{"id": ref, "filename_uploaded": name} for ref, name in self.names.items()]
        return self.answer(listed if request.query["page"] == "1" else [])

    async def delete(self, request: web.Request) -> web.Response:
        self.names.pop(int(request.match_info["ref"]), None)
        return self.answer({"status": "success"})

    async def balance(self, _request: web.Request) -> web.Response:
        return self.answer({"status": "success", "balance": 9})

    async def inbox(self, _request: web.Request) -> web.Response:
        self.swept += 1
        return self.answer({"status": "success", "inbox": []})


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.01)


@pytest.fixture
async def provider() -> AsyncIterator[tuple[Files, int]]:
    files = Files()
    runner = web.AppRunner(files.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield files, runner.addresses[0][1]
    await runner.cleanup()


@pytest.fixture
def purge_every() -> str:
    return "30ms"


@pytest.fixture
async def gateway(
    tmp_path: Path, provider: tuple[Files, int], unused_tcp_port: int, purge_every: str
) -> AsyncIterator[Gateway]:
    (tmp_path / "config.yaml").write_text(f"""
state_dir: {tmp_path / "state"}
min_free: 1MB
smtp: {{small_mail: 1B, listeners: [{{address: "127.0.0.1:0"}}]}}
http: {{callbacks: {{address: "127.0.0.1:0", token: {TOKEN}}}}}
provider:
  base_url: http://127.0.0.1:{provider[1]}/api/v2
  api_key: key
  rate: 0
  key_check_every: 50ms
  inbox: {{sweep_every: 1h}}
mail: {{relay: {{host: 127.0.0.1, port: {unused_tcp_port}}}}}
document: {{workers: 1}}
retention: {{documents: 1ms, history: 1ms, orphans: 10s, uploads: 1ms, purge_every: {purge_every}}}
""")
    gateway = Gateway(load(tmp_path / "config.yaml"))
    await gateway.start()
    yield gateway
    await gateway.stop(5.0)


async def accepted(gateway: Gateway) -> str:
    draft = gateway.accept.draft()
    draft.write(b"Subject: x\r\n\r\nPlease read.\r\n")
    number = FaxNumber("+12025550123")
    return await gateway.accept.accept(
        Envelope(PEER, "a@example.org", (Recipient(f"{number}@fax.local", number),)), draft
    )


async def test_what_has_ended_goes_the_row_first_and_what_is_open_stays(gateway: Gateway) -> None:
    await gateway.outbound.stop(5.0)  # nothing moves but what this test moves
    ended, open_ = await accepted(gateway), None
    job = await gateway.database.read(lambda tx: jobs.get(tx, f"{ended}-1"))
    assert job is not None
    await gateway.outbound.settle.cancel(job, silent=True)

    async def forgotten() -> bool:
        return await gateway.database.read(lambda tx: jobs.get_submission(tx, ended)) is None

    await until(forgotten)
    await until(lambda: not list((gateway.spool.root / "mail").iterdir()))
    open_ = await accepted(gateway)
    await asyncio.sleep(0.1)
    submission = await gateway.database.read(lambda tx: jobs.get_submission(tx, open_))
    assert submission is not None
    assert gateway.spool.path(submission.mail_file).exists()


@pytest.mark.parametrize("purge_every", ["1h"])
async def test_all_that_has_served_its_time_goes_however_much_it_is(gateway: Gateway) -> None:
    await gateway.outbound.stop(5.0)
    at = time.time()
    number, most = FaxNumber("+12025550123"), 250

    def add(tx: Tx) -> None:
        for n in range(most):
            mail = Submission(
                id=f"S{n}", created_at=at, mail_file=f"mail/S{n}", size=1, sender="a@example.org", identity="ip:1",
                results_to="a@example.org", client="desk", subject="", message_id="", date="",
            )  # fmt: skip
            job = FaxJob(
                id=f"S{n}-1", submission=mail.id, rcpt=f"{number}@fax.local", number=number,
                state=JobState.ACCEPTED, created_at=at, updated_at=at, next_at=at,
            )  # fmt: skip
            jobs.add(tx, mail, [job], f"key{n}")
            jobs.change(tx, job, JobState.CANCELLED, at, "")

    await gateway.database.write(add)
    for n in range(most):
        (gateway.spool.root / "mail" / f"S{n}").write_bytes(b"x")
    await asyncio.sleep(0.01)
    await gateway._purge()
    assert await gateway.database.read(lambda tx: overview.listing(tx, ended=True)) == ([], 0)
    assert not list((gateway.spool.root / "mail").iterdir())


async def test_files_that_nothing_names_go_when_they_are_old(gateway: Gateway) -> None:
    folder = gateway.spool.root / "inbound"
    old, fresh = folder / "old", folder / "fresh"
    for path in (old, fresh):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 11, time.time() - 11))
    await until(lambda: not old.exists())
    assert fresh.exists()


async def test_the_reserve_is_filled_again(gateway: Gateway) -> None:
    assert gateway.spool.release_reserve()
    await until(gateway.spool.reserve.exists)


async def test_a_time_that_a_wrong_clock_has_set_is_cut(gateway: Gateway) -> None:
    await gateway.outbound.stop(5.0)
    queue_id = await accepted(gateway)
    far = time.time() + 1e8
    job = await gateway.database.read(lambda tx: jobs.get(tx, f"{queue_id}-1"))
    assert job is not None
    await gateway.database.write(lambda tx: jobs.touch(tx, job, time.time(), next_at=far))

    async def cut() -> bool:
        now = await gateway.database.read(lambda tx: jobs.get(tx, job.id))
        return now is not None and now.next_at < far

    await until(cut)


async def test_uploads_that_no_fax_needs_go_and_others_stay(gateway: Gateway, provider: tuple[Files, int]) -> None:
    files = provider[0]
    leftover, foreign = f"{new_id(time.time() - 3600)}-1-1.pdf", "invoice.pdf"
    files.names = {1: leftover, 2: foreign}
    await until(lambda: 1 not in files.names)
    asked = files.asked
    await until(lambda: files.asked > asked + 2)
    assert files.names == {2: foreign}


async def test_work_that_fails_hinders_no_other(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gateway.store.retention.forget_documents", bug)
    monkeypatch.setattr(gateway.outbound, "mend_times", bug)
    await asyncio.sleep(0.1)
    assert gateway.spool.release_reserve()
    await until(gateway.spool.reserve.exists)


async def test_a_certificate_that_expires_is_told_once_and_shown(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = time.time() + 5 * 86400
    monkeypatch.setattr(Config, "certificates", lambda _: {"/tls/chain.pem": end})

    async def told() -> list[str]:
        return await gateway.database.read(
            lambda tx: [
                text for (text,) in tx.execute("SELECT facts ->> 'text' FROM outbox WHERE cause LIKE 'certificates.%'")
            ]
        )

    async def is_told() -> bool:
        return bool(await told())

    await until(is_told)
    await asyncio.sleep(0.2)
    assert len(found := await told()) == 1
    assert found[0].startswith("The certificate in /tls/chain.pem expires on 20")
    await gateway.reload()
    line = next(line for line in telemetry.render_metrics().decode().splitlines() if "chain.pem" in line)
    name, _, value = line.partition(" ")
    assert (name, float(value)) == ('faxgateway_certificate_expires_seconds{file="/tls/chain.pem"}', end)


async def test_a_disk_that_is_nearly_full_is_told_once(gateway: Gateway) -> None:
    gateway.spool.floor = 1 << 62

    async def told() -> list[tuple[str, ...]]:
        return await gateway.database.read(
            lambda tx: tx.execute("SELECT facts ->> 'title', facts ->> 'text' FROM outbox").fetchall()
        )

    async def is_told() -> bool:
        return bool(await told())

    await until(is_told)
    await asyncio.sleep(0.2)
    ((title, text),) = await told()
    assert title == "The disk is nearly full: no mail and no fax is accepted"
    assert re.search(r"short of disk space \(\d+ MiB free, 4398046511104 MiB needed\)", text)


async def test_a_refused_key_is_told_once_tried_again_and_nothing_is_lost(
    gateway: Gateway, provider: tuple[Files, int]
) -> None:
    files = provider[0]
    files.key_is_good = False
    hour = time.time() // 3600
    gateway.gate.shut("the fax provider refuses the API key")

    async def alarmed() -> bool:
        rows = await gateway.database.read(lambda tx: outbox.due(tx, 1e12, 100))
        return [mail.kind for mail in rows] == [MailKind.OPERATOR]

    await until(alarmed)
    ((text,),) = await gateway.database.read(lambda tx: tx.execute("SELECT facts ->> 'text' FROM outbox").fetchall())
    assert text == "The fax provider refuses the API key. Mail is still accepted and waits."
    await asyncio.sleep(0.2)
    assert gateway.gate.is_shut
    files.key_is_good = True
    await until(lambda: not gateway.gate.is_shut)
    gateway.gate.shut("the fax provider refuses the API key")
    await until(lambda: not gateway.gate.is_shut)
    # not one mail for each time that it comes and goes, but one an hour
    assert await alarmed() or time.time() // 3600 != hour


async def test_a_refused_key_that_cannot_be_written_down_is_told_when_it_can(
    gateway: Gateway, provider: tuple[Files, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    provider[0].key_is_good = False
    add, tries = outbox.add, 0

    def full_at_first(tx: Tx, mail: OutgoingMail) -> bool:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise NoSpace("the disk is full")
        return add(tx, mail)

    monkeypatch.setattr(outbox, "add", full_at_first)
    gateway.gate.shut("the fax provider refuses the API key")

    async def alarmed() -> bool:
        return bool(await gateway.database.read(lambda tx: outbox.due(tx, 1e12, 100)))

    await until(alarmed)


async def test_a_provider_that_does_not_answer_is_told_once_and_measured(
    gateway: Gateway, provider: tuple[Files, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told() -> list[tuple[str, ...]]:
        return await gateway.database.read(
            lambda tx: tx.execute("SELECT facts ->> 'title', facts ->> 'text' FROM outbox").fetchall()
        )

    async def is_told() -> bool:
        return bool(await told())

    def is_failing() -> bool:
        gateway.gate.failed(TryLater("the fax provider cannot be reached"))
        return gateway.gate.failing_for > 0.1

    monkeypatch.setattr(
        gateway.provider, "balance", AsyncMock(side_effect=TryLater("the fax provider cannot be reached"))
    )
    await until(lambda: provider[0].swept > 0)  # the only sweep, of which the answer would be one
    gateway.gate.failed(TryLater("the fax provider cannot be reached"))
    assert gateway._status()["provider"] == {"state": "failing", "text": "the fax provider cannot be reached"}
    await until(is_failing)
    (shown,) = re.findall(r"^faxgateway_provider_failing_seconds (\S+)$", (await gateway._metrics()).decode(), re.M)
    assert 0.1 < float(shown) < 30
    await asyncio.sleep(0.2)  # it looks now and then
    assert not await told()
    monkeypatch.setattr("gateway.service.account._AWAY", 0.0)
    await until(is_told)
    await asyncio.sleep(0.2)
    ((title, text),) = await told()
    assert title == "The fax provider does not answer: faxes wait"
    assert "the last trouble: the fax provider cannot be reached." in text
    monkeypatch.undo()
    await until(lambda: gateway.gate.failing_for == 0)  # the balance was told again
    assert gateway.gate.failing_why == ""


async def test_a_balance_that_is_told_forgets_no_other_failures(gateway: Gateway) -> None:
    while gateway.gate.is_open:
        gateway.gate.failed(TryLater("the fax provider cannot be reached"))
    pauses = gateway.gate._pauses
    await gateway._account.look()
    assert gateway.gate.failing_for == 0
    assert (gateway.gate.is_open, gateway.gate._pauses) == (False, pauses)
