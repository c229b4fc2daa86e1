"""What happens when a part fails, a client goes away, or the parts are used in another order."""

from __future__ import annotations

import asyncio
import io
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from gateway.document.worker import WorkerPool
from gateway.sandbox.answers import Slice
from gateway.sandbox.line import Call, FormulaLine, Outcome
from gateway.sandbox.pages import first_pages
from gateway.sandbox.server import Sandbox, SandboxSettings
from gateway.sandbox.store import Store

from .world import KEY, World, page, pdf, pixels, until, world


class Slow(FormulaLine):
    """Places no call before it may."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may = asyncio.Event()

    async def place(self, call: Call) -> Outcome:
        self.asked.set()
        await self.may.wait()
        return await super().place(call)


async def test_a_fax_whose_client_has_gone_is_executed_and_its_receipt_comes(tmp_path: Path, pool: WorkerPool) -> None:
    line = Slow()
    async with world(tmp_path / "s", pool, line=line) as w:
        document = await w.upload()
        send = asyncio.create_task(w.send(document))
        await line.asked.wait()
        send.cancel()
        await asyncio.gather(send, return_exceptions=True)
        line.may.set()
        fax = (await until(w.faxes))[0]
        assert (await until(lambda: w.receiver.receipts(fax["fax_job_id"])))[0].fields["status"] == "success"


class Broken(FormulaLine):
    """Breaks."""

    async def place(self, call: Call) -> Outcome:
        raise RuntimeError("the line is down")


async def test_a_call_that_fails_in_the_server_is_a_500_in_json_and_executes_nothing(
    tmp_path: Path, pool: WorkerPool
) -> None:
    async with world(tmp_path / "s", pool, line=Broken()) as w:
        got = await w.send(await w.upload())
        assert (got.status, got.json) == (500, {"status": "failed", "message": "Internal server error"})
        assert await w.faxes() == []
        assert await w.client.balance() == 100


async def test_a_client_that_breaks_off_its_upload_leaves_nothing(
    w: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def half() -> None:
        host, port = w.sandbox.address.split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST /api/v2/files?api_key={KEY} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            '--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-'.encode()
        )
        await writer.drain()
        await until(lambda: list((tmp_path / "sandbox" / "sandbox.tmp").iterdir()))
        writer.transport.abort()

    await half()
    await until(lambda: not list((tmp_path / "sandbox" / "sandbox.tmp").iterdir()))
    assert (await w.call("GET", "/files")).json == []
    assert "Traceback" not in caplog.text


async def test_what_an_interrupted_upload_left_is_removed_at_the_start(tmp_path: Path, pool: WorkerPool) -> None:
    left = tmp_path / "s" / "sandbox.tmp" / "left"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    theirs = tmp_path / "s" / "tmp" / "precious"  # somebody's home may be the directory, or /
    theirs.parent.mkdir()
    theirs.touch()
    async with world(tmp_path / "s", pool):
        assert not left.exists()
        assert theirs.exists()


async def test_a_remote_file_over_the_limit_is_refused(w: World, tmp_path: Path, pool: WorkerPool) -> None:
    job = await w.sent(await w.upload(pdf(3)))
    async with world(tmp_path / "other", pool, remote_files=True, max_upload=100) as other:
        got = await other.call("POST", "/files", data={"file": w.url(f"/sandbox/faxes/{job}/document")})
        assert (got.status, got.json["message"]) == (413, "The file is larger than 100 bytes.")
        assert list((tmp_path / "other" / "sandbox.tmp").iterdir()) == []


async def test_the_callback_may_be_set_before_the_start_and_a_stop_may_come_first(tmp_path: Path) -> None:
    sandbox = Sandbox(SandboxSettings(tmp_path / "s", KEY, listen="127.0.0.1:0"))
    sandbox.callback = "http://127.0.0.1:9/x"
    await sandbox.stop()
    assert (sandbox.callback, sandbox.address) == ("http://127.0.0.1:9/x", "127.0.0.1:0")


async def test_a_start_that_fails_lets_go_of_everything(tmp_path: Path, pool: WorkerPool) -> None:
    async with world(tmp_path / "s", pool) as w:
        second = Sandbox(SandboxSettings(tmp_path / "t", KEY, listen=w.sandbox.address), pool)
        with pytest.raises(OSError, match="cannot listen on"):
            await second.start()
    async with world(tmp_path / "t", pool):  # the directory is free
        pass


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Decimal(5))

    def break_off() -> None:
        with store.transaction():
            store.set_balance(1)
            store.add_number("+12025550100", 0, "USA", "202", None, 1.0)
            raise LookupError

    with pytest.raises(LookupError):
        break_off()
    assert (store.balance(), store.numbers()) == (50_000, [])
    store.close()


def test_first_pages_are_pixel_by_pixel_the_same(tmp_path: Path) -> None:
    whole, first = tmp_path / "whole.tif", tmp_path / "first.tif"
    sheets = [page(number) for number in range(3)]
    sheets[0].save(whole, format="TIFF", compression="group4", dpi=(204, 196), save_all=True, append_images=sheets[1:])
    assert first_pages(str(whole), str(first), 2) == {"pages": 2}
    assert pixels(first.read_bytes()) == [sheet.tobytes() for sheet in sheets[:2]]
    with Image.open(io.BytesIO(first.read_bytes())) as tiff:
        assert tuple(map(round, tiff.info["dpi"])) == (204, 196)


@pytest.mark.parametrize(("limit", "page_", "meant"), [(None, None, (20, 1)), (0, 0, (20, 1)), (5000, 3, (100, 3))])
def test_limit_and_page_have_defaults_and_a_maximum(
    limit: int | None, page_: int | None, meant: tuple[int, int]
) -> None:
    want = Slice.of(limit, page_)
    assert (want.limit, want.page) == meant


@pytest.mark.slow
async def test_a_thousand_sends_are_each_executed_and_told_once(tmp_path: Path, pool: WorkerPool) -> None:
    """Eight at a time; none is lost, none executed twice, every receipt comes once."""
    async with world(tmp_path / "s", pool, balance=Decimal(10_000)) as w:
        document = await w.upload()
        async with aiohttp.ClientSession() as session:
            slots = asyncio.Semaphore(8)

            async def send(number: int) -> int:
                fields = {"document_id": str(document), "fax_number": f"+1202555{number:04}"}
                async with slots, session.post(w.url(f"/api/v2/fax?api_key={KEY}"), data=fields) as answer:
                    return int((await answer.json())["fax_job_id"])

            jobs = await asyncio.gather(*(send(number) for number in range(1000)))
        assert len(set(jobs)) == 1000
        assert {fax["fax_number"] for fax in await w.faxes()} == {f"+1202555{number:04}" for number in range(1000)}
        await until(lambda: len(w.receiver.got) >= 1000, 60)
        assert sorted(int(each.fields["fax_job_id"]) for each in w.receiver.got) == sorted(jobs)
