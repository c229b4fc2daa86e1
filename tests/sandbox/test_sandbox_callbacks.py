"""Callbacks: the rule of tries, what survives a stop, and that the gateway's own door takes every shape."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.document.worker import WorkerPool
from gateway.edge.callbacks import CallbackServer, CallbackSettings
from gateway.model import FaxArrival, Receipt
from gateway.provider import faxto_callback
from gateway.sandbox.faults import faults_of
from gateway.sandbox.pace import PACES
from gateway.spool import Draft, Spool

from .world import HOME, Receiver, World, pdf, server, until, world

FAST = 9000.0  # of the retry rule's seconds in one: fifteen minutes are 0.1 s


@pytest.mark.parametrize(
    ("pace", "after", "given_up"), [("instant", 1, 192), ("10x", 90, 17_280), ("real", 900, 172_800)]
)
def test_fifteen_minutes_for_forty_eight_hours_at_every_pace(pace: str, after: float, given_up: float) -> None:
    assert (PACES[pace].retry_after, PACES[pace].retry_for) == (after, given_up)


@pytest.mark.parametrize("status", [503, 500, 404, 302, 201, 204])
async def test_anything_but_200_is_tried_again_until_it_is_taken(tmp_path: Path, pool: WorkerPool, status: int) -> None:
    async with world(tmp_path / "s", pool, clock_speed=FAST) as w:
        w.receiver.answers = [status, status]
        job = await w.sent(await w.upload())
        await until(lambda: len(w.receiver.receipts(job)) == 3)
        record = await until(lambda: _settled(w))
        assert [answer["status"] for answer in record["answers"]] == [status, status, 200]
        first, second, third = (each.at for each in w.receiver.receipts(job))
        assert second - first >= 0.09 and third - second >= 0.09
        assert record["answers"][-1]["text"] == "noted"


async def _settled(w: World) -> dict[str, Any] | None:
    record = (await w.callbacks())[0]
    return record if record["state"] != "waiting" else None


async def test_a_receiver_that_is_not_there_is_tried_again(tmp_path: Path, pool: WorkerPool) -> None:
    receiver = Receiver()
    await receiver.start()
    await receiver.stop()  # the port stays its own
    async with world(tmp_path / "s", pool, receiver, clock_speed=FAST) as w:
        job = await w.sent(await w.upload())
        await until(lambda: _answers(w))
        await receiver.start()
        await until(lambda: receiver.receipts(job))
        record = await until(lambda: _settled(w))
        assert record["answers"][0]["status"] is None
        assert "ClientConnectorError" in record["answers"][0]["text"]
    await receiver.stop()


async def _answers(w: World) -> list[Any]:
    answers: list[Any] = (await w.callbacks())[0]["answers"]
    return answers


async def test_after_forty_eight_hours_a_callback_is_given_up(tmp_path: Path, pool: WorkerPool) -> None:
    ahead = 0.0
    async with world(tmp_path / "s", pool, clock_speed=FAST, clock=lambda: time.time() + ahead) as w:
        w.receiver.always = 503
        job = await w.sent(await w.upload())
        await until(lambda: len(w.receiver.receipts(job)) > 20)
        assert await _settled(w) is None
        ahead = 48 * 3600 / FAST
        record = await until(lambda: _settled(w))
        assert record["state"] == "expired"
        tries = len(record["answers"])
        assert tries > 20
        await asyncio.sleep(0.2)
        assert len(await _answers(w)) == tries


async def test_a_receiver_that_takes_too_long_is_tried_again(tmp_path: Path, pool: WorkerPool) -> None:
    async with world(tmp_path / "s", pool, clock_speed=FAST, callback_timeout=0.2) as w, server() as (url, _asked):
        w.sandbox.callback = url
        job = await w.sent(await w.upload())
        await until(lambda: _answers(w))
        w.sandbox.callback = w.receiver.url
        await until(lambda: w.receiver.receipts(job))
        assert (await _answers(w))[0]["text"].startswith("TimeoutError")


async def test_an_answer_that_breaks_off_behind_its_200_counts(tmp_path: Path, pool: WorkerPool) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    async with world(tmp_path / "s", pool) as w, server(half) as (url, _asked):
        w.sandbox.callback = url
        await w.sent(await w.upload())
        record = await until(lambda: _settled(w))
        assert (record["state"], record["answers"][0]["text"]) == ("delivered", "")


async def test_without_an_address_callbacks_are_recorded_and_not_sent(tmp_path: Path, pool: WorkerPool) -> None:
    async with world(tmp_path / "s", pool, callbacks=False) as w:
        assert w.sandbox.callback == ""
        await w.sent(await w.upload())
        await until(w.callbacks)
        assert [(each["state"], each["answers"]) for each in await w.callbacks()] == [("unsent", [])]
        w.sandbox.callback = w.receiver.url
        job = await w.sent(await w.upload())
        await until(lambda: w.receiver.receipts(job))
        assert len(w.receiver.got) == 1


async def test_the_record_of_callbacks_tells_kind_fields_shape_and_answers(w: World) -> None:
    job = await w.sent(await w.upload())
    unique = (await w.inject()).json["uuid"]
    await until(lambda: w.receiver.receipts() and w.receiver.arrivals())
    receipt, inbound = await until(lambda: _both_delivered(w))
    assert (receipt["kind"], receipt["fields"]["fax_job_id"], receipt["shape"]) == ("receipt", str(job), "form")
    assert (inbound["kind"], inbound["fields"]["uuid"], inbound["shape"]) == ("inbound", unique, "multipart")
    assert receipt["answers"][0]["status"] == 200


async def _both_delivered(w: World) -> list[dict[str, Any]]:
    records = await w.callbacks()
    return records if {each["state"] for each in records} == {"delivered"} else []


# --- a stop in the middle ---------------------------------------------------------------------------------------------


async def test_what_waits_goes_out_after_a_start(tmp_path: Path, pool: WorkerPool) -> None:
    receiver = Receiver()
    await receiver.start()
    receiver.always = 503
    async with world(tmp_path / "s", pool, receiver, clock_speed=FAST) as w:
        job = await w.sent(await w.upload())
        unique = (await w.inject()).json["uuid"]
        await until(lambda: receiver.receipts() and receiver.arrivals())
        before = await w.faxes()
    receiver.always = 200
    receiver.got.clear()
    async with world(tmp_path / "s", pool, receiver, clock_speed=FAST) as w:
        await until(lambda: receiver.receipts(job) and receiver.arrivals())
        assert receiver.arrivals()[0].fields["uuid"] == unique
        assert receiver.arrivals()[0].files["file"][2].startswith(b"%PDF-")
        assert await w.faxes() == before
        assert await w.client.balance() < 100
        assert await w.upload() > 3001  # ids go on
    await receiver.stop()


async def test_a_call_under_way_ends_after_a_start(tmp_path: Path, pool: WorkerPool) -> None:
    async with world(tmp_path / "s", pool, pace="real") as w:
        job = await w.sent(await w.upload(), "+99999990003")  # a minute of line
        assert (await w.fax(job))["outcome"] == "sending"
        assert (await w.client.status(job)).text == "Sending"
    async with world(tmp_path / "s", pool, pace="real", clock=lambda: time.time() + 100) as w:
        await until(lambda: w.receiver.receipts(job))
        assert (await w.fax(job))["outcome"] == "failed"


async def test_a_fax_that_comes_back_takes_its_time_too_and_arrives_after_a_start(
    tmp_path: Path, pool: WorkerPool
) -> None:
    async with world(tmp_path / "s", pool, pace="real") as w:
        job = await w.sent(await w.upload(pdf(9)), "+99999990099")
    async with world(tmp_path / "s", pool, pace="real", clock=lambda: time.time() + 100) as w:
        await until(lambda: w.receiver.receipts(job))
        assert (await w.call("GET", "/incoming-faxes")).json["inbox"] == []  # it is on its way
    async with world(tmp_path / "s", pool, pace="real", clock=lambda: time.time() + 200) as w:
        await until(w.receiver.arrivals)
        assert len((await w.call("GET", "/incoming-faxes")).json["inbox"]) == 1


async def test_a_clock_behind_the_timer_keeps_a_callback_waiting(tmp_path: Path, pool: WorkerPool) -> None:
    slow = _SlowClock()
    async with world(tmp_path / "s", pool, clock_speed=FAST, clock=slow) as w:
        w.receiver.answers = [503]
        job = await w.sent(await w.upload())
        await until(lambda: len(w.receiver.receipts(job)) == 2)
        first, second = (each.at for each in w.receiver.receipts(job))
        assert second - first >= 0.15  # by its own clock it was 0.1 s


@dataclass
class _SlowClock:
    """Half as fast as time."""

    begun: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.begun + (time.time() - self.begun) / 2


async def test_a_stop_while_a_callback_is_under_way_leaves_it_waiting(tmp_path: Path, pool: WorkerPool) -> None:
    async with server() as (url, asked), world(tmp_path / "s", pool) as w:
        w.sandbox.callback = url
        job = await w.sent(await w.upload())
        await asyncio.wait_for(asked.wait(), 30)
    async with world(tmp_path / "s", pool) as w:
        await until(lambda: w.receiver.receipts(job))


# --- the gateway's door takes it all ----------------------------------------------------------------------------------


class Sink:
    """What the gateway's callback door hands over."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.receipts: list[Receipt] = []
        self.arrivals: list[tuple[FaxArrival, bytes, str]] = []

    def draft(self) -> Draft:
        return Draft(self.spool)

    async def receipt(self, receipt: Receipt) -> None:
        self.receipts.append(receipt)

    async def arrival(self, arrival: FaxArrival, draft: Draft | None, file_type: str) -> None:
        content = b""
        if draft is not None:
            content = draft.path.read_bytes()
            draft.discard()
        self.arrivals.append((arrival, content, file_type))


async def _parse(kind: str, path: str) -> dict[str, Any]:
    parse: Callable[[str], dict[str, Any]] = getattr(faxto_callback, f"parse_{kind}")
    return await asyncio.to_thread(parse, path)


async def _nothing() -> bytes:
    return b""


@pytest_asyncio.fixture(loop_scope="session")
async def door(tmp_path: Path) -> AsyncIterator[tuple[str, Sink]]:
    """The gateway's callback address, and what it hands over."""
    spool = Spool(tmp_path / "spool")
    spool.open()
    sink = Sink(spool)
    token = "t" * 24
    opened = CallbackServer(
        CallbackSettings("127.0.0.1:0", (token,)), sink, parse=_parse, ready=lambda: True, metrics=_nothing
    )
    await opened.start()
    yield f"http://{opened.address}/callback/{token}", sink
    await opened.stop()


NO_DOCUMENT = {"no-file", "url", "empty-file", "broken-file"}


@pytest.mark.parametrize("shape", sorted({"multipart", *faults_of("inbound")} - {"lost", "late"}))
async def test_the_gateways_door_takes_a_received_fax_in_every_shape(
    w: World, door: tuple[str, Sink], shape: str
) -> None:
    w.sandbox.callback, sink = door
    unique = (await w.inject(file=pdf(2), shape=shape)).json["uuid"]
    await until(lambda: sink.arrivals, 40)
    arrival, content, kind = sink.arrivals[0]
    assert (arrival.sender, arrival.recipient) == ("anonymous" if shape == "anonymous" else "+14155550111", HOME)
    assert arrival.uuid == ("" if shape == "no-uuid" else unique)
    assert arrival.pages == 2
    expected = "" if shape in NO_DOCUMENT else "image/tiff" if shape == "tiff" else "application/pdf"
    assert kind == expected
    if kind == "application/pdf":
        file = await w.call("GET", "/receivefax/api/v1/inbox/1/file")
        assert content == file.body  # to the byte, whatever way it went
    if shape == "url":
        got: list[bytes] = []

        async def write(chunk: bytes) -> None:
            got.append(chunk)

        await w.client.fetch(arrival.file_url, write)
        assert b"".join(got).startswith(b"%PDF-")


@pytest.mark.parametrize("fault", ["form", "json", "multipart", "get"])
async def test_the_gateways_door_takes_a_receipt_in_every_shape(w: World, door: tuple[str, Sink], fault: str) -> None:
    w.sandbox.callback, sink = door
    if fault != "form":
        await w.order("receipt", fault)
    job = await w.sent(await w.upload(), "+99999990001")
    await until(lambda: sink.receipts)
    receipt = sink.receipts[0]
    assert (receipt.provider_ref, receipt.verdict, receipt.code) == (job, "failed", "busy")
