"""Every scenario number does what its line says; the line, its formula and its honesty."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from gateway.document.worker import WorkerPool
from gateway.errors import OutcomeUnknown, Refused, TryLater
from gateway.model import FaxNumber
from gateway.sandbox.faults import faults_of
from gateway.sandbox.line import Call, FormulaLine, Outcome, Page, call_seconds, read_pages
from gateway.sandbox.scenarios import SCENARIOS, TEXTS, scenario_of

from .world import ANYBODY, World, page, pdf, pixels, until, world

# number -> msg_code of the receipt, pages of three that arrived, seconds of the call where the scenario fixes them
ENDED = {
    "0000": ("ok", 3, None),
    "0001": ("busy", 0, 0.0),
    "0002": ("no_answer", 0, 30.0),
    "0003": ("no_answer", 0, 60.0),
    "0004": ("hangup", 1, None),
    "0005": ("hangup", 0, 3.0),
    "0006": ("file_error", 0, 0.0),
    "0007": ("unknown", 0, 32.5),
    "0010": ("ok", 3, None),
    "0011": ("ok", 3, None),
    "0012": ("unknown", 0, 7.1),
    "0013": ("ok", 3, None),
    "0099": ("ok", 3, None),
}
# number -> what the gateway's client makes of the send's answer, and whether the fax was executed
SEND = {
    "0023": (Refused, False),
    "0030": (Refused, False),
    "0031": (Refused, False),
    "0032": (TryLater, False),
    "0033": (OutcomeUnknown, False),
    "0035": (OutcomeUnknown, True),
    "0036": (OutcomeUnknown, True),
    "0037": (OutcomeUnknown, True),
}
OTHERS = {"0020", "0021", "0022", "0024", "0034"}


def test_every_scenario_is_tried_here() -> None:
    assert SCENARIOS.keys() == ENDED.keys() | SEND.keys() | OTHERS
    assert {each.fault for each in SCENARIOS.values()} <= {"", *faults_of("send")}


def test_receipts_have_the_documented_words() -> None:
    """Down to the one character that is not ASCII, as the gateway has to pass it on."""
    assert TEXTS == {
        "ok": "Success! Your fax has been sent!",
        "unknown": "Fax Failed - Unknown Error (We don\u2019t know exactly what went wrong - contact us for more info)",
        "no_answer": "Fax Failed - No Answer from Fax machine",
        "busy": "Fax Failed - Line Busy (The fax machine could be busy)",
        "file_error": "Fax Failed - File conversion failed. Re-upload and Retry",
        "hangup": "Fax Failed - Early Hangup",
    }


@pytest.mark.parametrize("suffix", sorted(ENDED))
async def test_a_call_ends_as_its_scenario_says(w: World, suffix: str) -> None:
    code, pages, seconds = ENDED[suffix]
    job = await w.sent(await w.upload(pdf(3)), f"+9999999{suffix}")
    receipt = (await until(lambda: w.receiver.receipts(job)))[0].fields
    assert (receipt["msg_code"], receipt["message"], receipt["line"]) == (code, TEXTS[code], "model")
    assert receipt["status"] == ("success" if code == "ok" else "failed")
    fax = await w.fax(job)
    assert (fax["msg_code"], fax["pages"], fax["outcome"]) == (code, pages, receipt["status"])
    assert seconds is None or fax["seconds"] == seconds
    document = await w.call("GET", f"/sandbox/faxes/{job}/document")
    if pages:
        assert pixels(document.body) == [page(number).tobytes() for number in range(pages)]
    else:
        assert (document.status, document.json["message"]) == (404, "No page of this fax was received.")
        assert fax["rate"] is fax["ecm"] is fax["compression"] is None  # nothing was negotiated, nothing is told
    status = await w.client.status(job)
    assert status.code == code
    assert (await w.client.history(1, 1)).entries[0].verdict == status.verdict


@pytest.mark.parametrize("suffix", sorted(SEND))
async def test_a_send_is_answered_as_its_scenario_says(w: World, suffix: str) -> None:
    error, executed = SEND[suffix]
    document = await w.upload()
    with pytest.raises(error):
        await w.client.submit(document, FaxNumber(f"+9999999{suffix}"), "")
    faxes = await w.faxes()
    assert len(faxes) == executed
    if executed:  # the call goes on whatever was told
        await until(lambda: w.receiver.receipts(faxes[0]["fax_job_id"]))


async def test_a_machine_of_standard_resolution_takes_a_fax_in_standard(w: World) -> None:
    out = io.BytesIO()
    page(1).resize((1728, 1078)).save(out, format="TIFF", compression="group4", dpi=(204, 98))
    job = await w.sent(await w.upload(out.getvalue(), "standard.tif"), "+99999990012")
    assert (await until(lambda: w.receiver.receipts(job)))[0].fields["msg_code"] == "ok"


async def test_a_lost_receipt_is_recorded_and_never_sent(w: World) -> None:
    job = await w.sent(await w.upload(), "+99999990020")
    await until(w.callbacks)
    assert [(each["state"], each["answers"]) for each in await w.callbacks()] == [("lost", [])]
    assert (await w.client.status(job)).code == "ok"
    assert w.receiver.got == []


async def test_a_receipt_comes_twice(w: World) -> None:
    job = await w.sent(await w.upload(), "+99999990021")
    await until(lambda: len(w.receiver.receipts(job)) == 2)
    first, second = w.receiver.receipts(job)
    assert first.fields == second.fields


async def test_a_receipt_comes_before_the_send_is_answered(w: World) -> None:
    job = await w.sent(await w.upload(), "+99999990022")
    assert len(w.receiver.receipts(job)) == 1


async def test_otherwise_no_receipt_comes_before_the_answer_is_written(tmp_path: Path, pool: WorkerPool) -> None:
    async with world(tmp_path / "s", pool) as w:
        document = await w.upload()
        job = await w.sent(document)
        fax = await until(lambda: w.fax(job))
        await until(lambda: w.receiver.receipts(job))
        assert fax["executed_at"] <= (await w.fax(job))["finished_at"]


async def test_a_call_that_never_ends_is_sending_for_good(w: World) -> None:
    job = await w.sent(await w.upload(), "+99999990024")
    done = await w.sent(await w.upload())
    await until(lambda: w.receiver.receipts(done))
    fax = await w.fax(job)
    assert (fax["outcome"], fax["msg_code"], fax["finished_at"]) == ("sending", "", None)
    assert (await w.client.status(job)).code == ""
    entry = (await w.call("GET", "/fax-history")).json["history"][1]
    assert (entry["id"], entry["status"]) == (job, "executed")
    assert w.receiver.receipts(job) == []


async def test_a_send_that_is_never_answered_executes_nothing(w: World) -> None:
    document = await w.upload()
    got = await w.raw(
        "POST", "/api/v2/fax", params={"api_key": "test-key-1"},
        data={"document_id": str(document), "fax_number": "+99999990034"}, timeout=aiohttp.ClientTimeout(total=0.3),
    )  # fmt: skip
    assert "Timeout" in got.error
    assert await w.faxes() == []


def test_the_scenario_range_ends_where_it_says() -> None:
    ok = SCENARIOS["0000"]
    assert scenario_of("+99999990001").msg_code == "busy"
    for number in (ANYBODY, "+999999900010", "+9999999001", "+99999999999"):
        assert scenario_of(number) is ok


# --- pace and line ----------------------------------------------------------------------------------------------------


async def test_at_a_pace_a_call_takes_its_time(tmp_path: Path, pool: WorkerPool) -> None:
    async with world(tmp_path / "s", pool, pace="10x") as w:
        job = await w.sent(await w.upload(), "+99999990005")  # hangs up after 3 seconds of line
        receipt = (await until(lambda: w.receiver.receipts(job)))[0]
        fax = await w.fax(job)
        assert fax["seconds"] == 3.0
        assert receipt.at - datetime.fromisoformat(fax["executed_at"]).timestamp() >= 0.29


class Wire:
    """A line that carries something else than was sent."""

    name = "wire"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    async def place(self, call: Call) -> Outcome:
        received = self.directory / "received.tif"
        page(7).save(received, format="TIFF", compression="group4", dpi=(204, 196))
        return Outcome("ok", 1, 12.0, self.name, rate=9600, ecm=False, compression="MH", received=received)


async def test_what_a_line_really_carried_is_what_was_received(tmp_path: Path, pool: WorkerPool) -> None:
    async with world(tmp_path / "s", pool, line=Wire(tmp_path)) as w:
        job = await w.sent(await w.upload(pdf(1)))
        assert pixels((await w.call("GET", f"/sandbox/faxes/{job}/document")).body) == [page(7).tobytes()]
        fax = await w.fax(job)
        assert (fax["line"], fax["rate"], fax["ecm"], fax["compression"]) == ("wire", 9600, False, "MH")
        assert (await until(lambda: w.receiver.receipts(job)))[0].fields["line"] == "wire"


async def test_slow_machines_and_bad_lines_take_longer(tmp_path: Path) -> None:
    path = tmp_path / "fax.tif"
    page(1).save(path, format="TIFF", compression="group4", dpi=(204, 196))
    seconds = {}
    for suffix in ("0000", "0011", "0013"):
        outcome = await FormulaLine().place(Call(path, ANYBODY, "", SCENARIOS[suffix]))
        seconds[suffix] = outcome.seconds
    assert seconds["0000"] < min(seconds["0011"], seconds["0013"])
    with Image.open(path) as tiff:
        assert sum(tiff.tag_v2[279]) == read_pages(path)[0].size  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sizes", "measured"), [((26_800,), 32.2), ((71_700, 71_700, 71_700), 157.8), ((471_000,), 308.9)]
)
def test_the_formula_is_within_three_per_cent_of_measured_calls(sizes: tuple[int, ...], measured: float) -> None:
    assert call_seconds([Page(size, True) for size in sizes], 14_400) == pytest.approx(measured, rel=0.03)
