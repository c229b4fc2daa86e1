"""Every fault that GET /sandbox/faults lists can be ordered and does what its line says; executions tell the truth."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from gateway.document.worker import WorkerPool
from gateway.sandbox.faults import CALLBACKS, EXECUTE_THEN, OPERATIONS, SPOILED, STATUSES, UNANSWERED, WIRE, faults_of

from .world import ANYBODY, HOME, KEY, Got, Receiver, World, pdf, until, world

SOON = 0.05


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory, pool: WorkerPool) -> AsyncIterator[World]:
    """One sandbox for the thousand calls below, with credit for them."""
    async with world(tmp_path_factory.mktemp("faults"), pool, balance=Decimal(10**6)) as here:
        await here.upload()
        await here.inject()
        yield here


@pytest_asyncio.fixture(loop_scope="session")
async def s(shared: World) -> AsyncIterator[World]:
    await shared.clear()
    yield shared
    await shared.clear()


# --- a good call of every operation, and what it changes --------------------------------------------------------------


async def _upload(w: World) -> Got:
    form = aiohttp.FormData()
    form.add_field("file", pdf(2), filename="document.pdf", content_type="application/pdf")
    return await w.call("POST", "/files", data=form)


_emails = iter(range(10**6))


def _somebody() -> dict[str, str]:
    return {"email": f"user{next(_emails)}@example.org", "password": "x"}


async def _faxes(w: World) -> int:
    return len(await w.faxes())


GOOD: dict[str, Callable[[World], Awaitable[Got]]] = {
    "send": lambda w: w.send(3001),
    "upload": _upload,
    "cost": lambda w: w.call("GET", "/fax/3001/costs", params={"fax_number": ANYBODY}),
    "status": lambda w: w.call("GET", "/fax/200001/status"),
    "history": lambda w: w.call("GET", "/fax-history", params={"limit": "3"}),
    "files": lambda w: w.call("GET", "/files", params={"limit": "3"}),
    "delete": lambda w: w.call("DELETE", "/files/3002"),
    "clean": lambda w: w.call("GET", "/file-clean", params={"document_id": "3001"}),
    "preview": lambda w: w.call("GET", "/file-generate-preview", params={"document_id": "3001"}),
    "balance": lambda w: w.call("GET", "/balance"),
    "register": lambda w: w.call("POST", "/user", key=None, data=_somebody()),
    "login": lambda w: w.call("POST", "/user/login", key=None, data={"email": "ann@example.org", "password": "x"}),
    "subuser": lambda w: w.call("POST", "/subuser", data=_somebody()),
    "numbers": lambda w: w.call("GET", "/numbers", params={"limit": "2"}),
    "provision": lambda w: w.call("POST", "/countries/didgroups/67/provision"),
    "inbox": lambda w: w.call("GET", "/incoming-faxes", params={"limit": "3"}),
    "fetch": lambda w: w.call("GET", "/receivefax/api/v1/inbox/1/file"),
    "countries": lambda w: w.call("GET", "/countries"),
    "states": lambda w: w.call("GET", "/states/USA"),
    "areacodes": lambda w: w.call("GET", "/areacodes/USA/1"),
    "didgroups": lambda w: w.call("GET", "/countries/USA/didgroups"),
}


def test_every_operation_is_called_here() -> None:
    assert OPERATIONS.keys() == GOOD.keys() | set(CALLBACKS)


def test_every_operation_has_every_fault_of_its_kind() -> None:
    for operation in GOOD:
        known = faults_of(operation).keys()
        assert known >= {*UNANSWERED, *STATUSES, *WIRE, *(f"{EXECUTE_THEN}{name}" for name in (*UNANSWERED, *STATUSES))}
        assert (known >= SPOILED.keys()) == (operation != "fetch")


# --- the faults that all have -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", sorted(GOOD))
async def test_an_operations_faults_do_what_their_lines_say(s: World, operation: str) -> None:
    if operation == "login":
        await s.call("POST", "/user", key=None, data={"email": "ann@example.org", "password": "x"})
    if operation in ("status", "history"):
        await s.sent(3001)
    good = GOOD[operation]
    common = [name for name in faults_of(operation) if _is_common(name)]
    for name in common:
        if operation == "delete":
            s_document = await s.upload()
            good = lambda w, document=s_document: w.call("DELETE", f"/files/{document}")  # noqa: E731
        rule = await s.order(operation, name, count=1, seconds=SOON)
        begun = time.monotonic()
        got = await good(s) if name.removeprefix(EXECUTE_THEN) != "endless" else await _endless(s, good)
        _check(name, got, time.monotonic() - begun, operation)
        fired = next(
            each for each in (await s.call("GET", "/sandbox/faults")).json["rules"] if each["id"] == rule["id"]
        )
        assert fired["fired"] == 1, name
        well = await good(s)  # a count of one is over
        assert well.status in (200, 404), name  # 404: what is deleted is deleted
        assert not well.error, name
        await s.call("DELETE", "/sandbox/faults", params={"id": str(rule["id"])})


def _is_common(name: str) -> bool:
    return name.removeprefix(EXECUTE_THEN) in {*UNANSWERED, *STATUSES, *WIRE, *SPOILED}


async def _endless(w: World, good: Callable[[World], Awaitable[Got]]) -> Got:
    raw = w.raw
    w.raw = lambda *a, **k: raw(*a, most=1 << 20, **k)  # type: ignore[method-assign]
    try:
        return await good(w)
    finally:
        del w.raw  # type: ignore[method-assign]


def _check(name: str, got: Got, seconds: float, operation: str) -> None:
    """What a client sees of a fault."""
    kind = name.removeprefix(EXECUTE_THEN)
    where = f"{operation} {name}: {got}"[:600]
    if kind in ("drop", "hang"):
        assert got.error and not got.status, where
        assert kind == "drop" or seconds >= SOON, where
    elif kind == "html":
        assert (got.status, got.headers["Content-Type"]) == (200, "text/html; charset=utf-8"), where
    elif kind == "empty":
        assert (got.status, got.body) == (200, b""), where
    elif kind == "endless":
        assert got.error == "too much", where
    elif kind in STATUSES:
        assert got.status == int(kind), where
        if kind.startswith("3"):
            assert got.headers["Location"], where
        elif kind in ("502", "503", "504"):
            assert b"<html>" in got.body, where
        elif kind == "422":
            assert got.json["errors"]["fax_number"], where
        else:
            assert got.json["status"] == "failed", where
        assert kind != "429" or got.headers["Retry-After"] == "1", where
    elif kind == "cut":
        assert got.error and got.body and len(got.body) < int(got.headers["Content-Length"]), where
    elif kind in ("slow", "delay", "late-execution"):
        assert seconds >= SOON * 0.9 and got.status == 200, where
    else:
        _check_spoiled(kind, got, where)


def _check_spoiled(kind: str, got: Got, where: str) -> None:
    assert not got.error and got.status in (200, 404), where
    if kind in ("half-json", "invalid-json", "nan", "trailing-commas", "bom"):
        text = got.body.decode()
        if kind == "nan" and "NaN" not in text:
            return  # an answer without a number
        with pytest.raises(ValueError):  # noqa: PT011  # whatever the reader says of it
            json.loads(text, parse_constant=_no_constant)
        match kind:
            case "trailing-commas":
                json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
            case "bom":
                json.loads(got.body.decode("utf-8-sig"))
            case "nan":
                json.loads(text)
            case "invalid-json":
                assert "'" in text and '"' not in text, where
        return
    said = got.json
    leaves = list(_leaves(said))
    match kind:
        case "wrong-types":
            assert all(path[-1] == "value" for path, leaf in leaves if isinstance(leaf, int | float)), where
            assert not isinstance(said, dict) or isinstance(said["status"], list), where
        case "nulls":
            assert {leaf for _, leaf in leaves} <= {None}, where
        case "no-id":
            assert not any(path and path[-1] in ("id", "fax_job_id", "document_id") for path, _ in leaves), where
        case "huge-int":
            assert all(leaf == 10**30 for _, leaf in leaves if isinstance(leaf, int)), where
        case "int-as-string":
            assert not any(isinstance(leaf, int | float) for _, leaf in leaves), where
        case "capital-success":
            assert all(leaf[0].isupper() for path, leaf in leaves if path[-1:] == ("status",)), where
        case "extra-keys":
            assert "sunbscription_credit_allowance" in (said if isinstance(said, dict) else said[-1]), where
        case "huge":
            assert len(got.body) > 8 << 20, where
        case "lie":
            assert said == {"status": "failed", "message": "Unknown error."}, where
        case _:
            raise AssertionError(f"nothing is said here of {kind}")


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value


# --- what is executed -------------------------------------------------------------------------------------------------


async def _numbers(w: World) -> int:
    return int((await w.call("GET", "/numbers")).json["meta"]["pagination"]["total"])


async def _documents(w: World) -> int:
    return (await w.call("GET", "/files", params={"limit": "1"})).json[0]["id"]  # type: ignore[no-any-return]


EFFECT: dict[str, Callable[[World], Awaitable[int]]] = {"send": _faxes, "upload": _documents, "provision": _numbers}


@pytest.mark.parametrize("operation", sorted(EFFECT))
async def test_a_fault_executes_what_its_line_says(s: World, operation: str) -> None:
    for name in faults_of(operation):
        if not _is_common(name) or name.endswith(("huge", "endless")):
            continue
        before = await EFFECT[operation](s)
        rule = await s.order(operation, name, count=1, seconds=SOON)
        await GOOD[operation](s)
        kind = name.removeprefix(EXECUTE_THEN)
        executed = name.startswith(EXECUTE_THEN) or kind not in {*UNANSWERED, *STATUSES}
        assert await EFFECT[operation](s) - before == executed, name
        await s.call("DELETE", "/sandbox/faults", params={"id": str(rule["id"])})


async def test_a_late_execution_happens_though_the_client_has_gone(s: World) -> None:
    before = await _faxes(s)
    await s.order("send", "late-execution", count=1, seconds=0.5)
    got = await s.raw(
        "POST", "/api/v2/fax", params={"api_key": KEY}, data={"document_id": "3001", "fax_number": ANYBODY},
        timeout=aiohttp.ClientTimeout(total=0.2),
    )  # fmt: skip
    assert got.error
    assert await _faxes(s) == before
    await until(lambda: _more(s, before))


async def _more(w: World, before: int) -> bool:
    return await _faxes(w) == before + 1


async def test_the_receipt_of_a_fax_whose_send_was_dropped_comes_all_the_same(w: World) -> None:
    await w.order("send", "execute-then-drop", count=1)
    got = await w.send(await w.upload())
    assert got.error
    job = (await w.faxes())[0]["fax_job_id"]
    assert (await until(lambda: w.receiver.receipts(job)))[0].fields["status"] == "success"


async def test_a_server_that_stops_executes_nothing_more(tmp_path: Path, pool: WorkerPool) -> None:
    import asyncio

    async with world(tmp_path / "s", pool) as w:
        document = await w.upload()
        await w.order("send", "late-execution", count=1, seconds=600)
        await w.order("balance", "hang", count=1)
        late = asyncio.create_task(w.send(document))
        hanging = asyncio.create_task(w.call("GET", "/balance"))
        await until(lambda: _fired(w, 2))
    assert (await late).status in (0, 503)
    assert (await hanging).error
    async with world(tmp_path / "s", pool) as w:
        assert await w.faxes() == []


async def _fired(w: World, count: int) -> bool:
    return sum(rule["fired"] for rule in (await w.call("GET", "/sandbox/faults")).json["rules"]) == count


# --- faults of one operation ------------------------------------------------------------------------------------------

Check = Callable[[World], Awaitable[None]]


async def _send_repeat(w: World) -> None:
    got = await w.send(3001)
    first, second = await w.faxes()
    assert got.json["fax_job_id"] == first["fax_job_id"]
    assert (first["document_id"], first["fax_number"]) == (second["document_id"], second["fax_number"])
    await until(lambda: w.receiver.receipts(first["fax_job_id"]) and w.receiver.receipts(second["fax_job_id"]))


async def _send_no_credit(w: World) -> None:
    got = await w.send(3001)
    assert (got.status, got.json) == (400, {"status": "failed", "message": "Insufficient credit."})
    assert await w.faxes() == []


async def _send_failed_without_id(w: World) -> None:
    got = await w.send(3001)
    assert (got.status, got.json["status"], "fax_job_id" in got.json) == (200, "failed", False)
    assert await w.faxes() == []


async def _send_failed_with_id(w: World) -> None:
    got = await w.send(3001)
    assert (got.json["status"], got.json["fax_job_id"]) == ("failed", (await w.faxes())[0]["fax_job_id"])


async def _send_say_executed(w: World) -> None:
    got = await w.send(3001)
    assert got.json["status"] == "executed"
    assert await w.faxes() == []
    assert (await w.call("GET", f"/fax/{got.json['fax_job_id']}/status")).status == 404


async def _send_old_id(w: World) -> None:
    first = (await w.send(3001)).json["fax_job_id"]  # there is none before it
    await w.order("send", "old-id", count=1)
    got = await w.send(3001)
    assert got.json["fax_job_id"] == first
    assert [fax["fax_job_id"] for fax in await w.faxes()] == [first, first + 1]


async def _upload_repeat(w: World) -> None:
    got = await _upload(w)
    listed = [entry["id"] for entry in (await w.call("GET", "/files")).json]
    assert listed[:2] == [got.json["document_id"] + 1, got.json["document_id"]]


async def _upload_wrong_pages(w: World) -> None:
    got = await _upload(w)
    assert (got.json["total_pages"], got.json["document"]["total_pages"]) == (3, 3)
    job = await w.sent(got.json["document_id"])
    assert (await w.fax(job))["pages"] == 2


async def _upload_lost_page(w: World) -> None:
    got = await _upload(w)
    assert got.json["total_pages"] == 1
    job = await w.sent(got.json["document_id"])
    assert (await w.fax(job))["pages"] == 1


async def _status_of_busy(w: World) -> Any:
    job = await w.sent(3001, "+99999990001")
    await until(lambda: w.receiver.receipts(job))
    return (await w.call("GET", f"/fax/{job}/status")).json


async def _status_in_progress(w: World) -> None:
    assert (await _status_of_busy(w))["message"] == "Sending"


async def _status_unknown_text(w: World) -> None:
    assert (await _status_of_busy(w))["message"] == "Under observation"


async def _status_with_msg_code(w: World) -> None:
    assert (await _status_of_busy(w))["msg_code"] == "busy"
    await w.order("status", "with-msg-code", count=1)
    job = await w.sent(3001, "+99999990024")  # never over: no code yet
    assert "msg_code" not in (await w.call("GET", f"/fax/{job}/status")).json


async def _status_wrong_verdict(w: World) -> None:
    assert (await _status_of_busy(w))["message"] == "Sent! Fax Has Been Answered."
    await w.order("status", "wrong-verdict", count=1)
    job = await w.sent(3001)
    assert (await w.call("GET", f"/fax/{job}/status")).json["message"].startswith("Fax Failed")


@dataclass(frozen=True)
class Listed:
    """A list: its path, the name it has in the answer, something to fill it with."""

    path: str
    name: str
    add: Callable[[World], Awaitable[Any]]

    async def ids(self, w: World, page: int = 1, limit: int = 2) -> list[Any]:
        got = (await w.call("GET", self.path, params={"limit": str(limit), "page": str(page)})).json
        found = got[self.name] if self.name else got
        return [entry.get("id") if isinstance(entry, dict) else entry for entry in found]


LISTS = {
    "history": Listed("/fax-history", "history", lambda w: w.sent(3001)),
    "files": Listed("/files", "", lambda w: w.upload()),
    "inbox": Listed("/incoming-faxes", "inbox", lambda w: w.inject()),
}


def _list_check(operation: str, fault: str) -> Check:
    async def check(w: World) -> None:
        listed = LISTS[operation]
        await w.clear()
        for _ in range(5):
            await listed.add(w)
        true = await listed.ids(w, limit=100)
        await w.order(operation, fault, seconds=0.4)
        match fault:
            case "withheld":
                assert await listed.ids(w) == []
            case "late":
                assert await listed.ids(w) == []
                await until(lambda: listed.ids(w))
            case "shuffled":
                orders = [await listed.ids(w, limit=100) for _ in range(20)]
                assert all(sorted(order) == sorted(true) for order in orders)
                assert len({tuple(order) for order in orders}) > 1
            case "page-3":
                for number in (1, 2):
                    others = await listed.ids(w, number)
                    assert len(others) == 2 and not set(others) & set(true)
                assert await listed.ids(w, 3) == true[:2]
                assert await listed.ids(w, 4) == true[2:4]
            case "partial-pages":
                assert [await listed.ids(w, number) for number in range(1, 6)] == [[each] for each in true[:5]]
            case "ignores-page":
                assert await listed.ids(w, 3) == true[:2]
            case "broken-entries":
                for number in (1, 2):
                    assert await listed.ids(w, number) == [None, None, *true[2 * number - 2 : 2 * number]]

    return check


async def _history_forget_deleted(w: World) -> None:
    document = await w.upload()
    job = await w.sent(document)
    assert job in await LISTS["history"].ids(w)
    await w.call("DELETE", f"/files/{document}")
    assert await LISTS["history"].ids(w) == []


async def _history_entry(w: World) -> Any:
    await w.sent(3001)
    return (await w.call("GET", "/fax-history")).json["history"][0]


async def _history_with_plus(w: World) -> None:
    assert (await _history_entry(w))["recipient"] == ANYBODY


async def _history_unseen_status(w: World) -> None:
    assert (await _history_entry(w))["status"] == "archived"


async def _history_naive_date(w: World) -> None:
    assert isinstance((await _history_entry(w))["created"], str)


async def _files_as_object(w: World) -> None:
    got = (await w.call("GET", "/files")).json
    assert (got["status"], got["files"][0]["id"]) == ("success", 3001)
    assert len(await w.client.files(1, 10)) == 1


async def _numbers_no_meta(w: World) -> None:
    assert (await w.call("GET", "/numbers")).json.keys() == {"status", "numbers"}


async def _numbers_links_as_list(w: World) -> None:
    assert (await w.call("GET", "/numbers")).json["meta"]["pagination"]["links"] == []


async def _numbers_as_data(w: World) -> None:
    assert (await w.call("GET", "/numbers")).json["data"][0]["did_number"] == HOME
    assert len(await w.client.numbers()) == 1


async def _provision_repeat(w: World) -> None:
    await w.client.provision(67)
    assert len(await w.client.numbers()) == 3


async def _inbox_no_meta(w: World) -> None:
    assert (await w.call("GET", "/incoming-faxes")).json.keys() == {"status", "inbox"}


async def _inbox_links_as_list(w: World) -> None:
    assert (await w.call("GET", "/incoming-faxes")).json["meta"]["pagination"]["links"] == []


async def _receipts(w: World, count: int, number: str = "+99999990001") -> list[Any]:
    """What comes of a busy fax: its callbacks in order, and that no more come."""
    job = await w.sent(3001, number)
    await until(lambda: len(w.receiver.got) >= count)
    await until(lambda: _none_waits(w))
    assert len(w.receiver.got) == count
    assert all(each.fields["line"] == "model" for each in w.receiver.got)
    true = {"fax_job_id": str(job), "status": "failed", "msg_code": "busy"}
    return [
        {**true, "message": "Fax Failed - Line Busy (The fax machine could be busy)", "line": "model"},
        *w.receiver.got,
    ]


async def _none_waits(w: World) -> bool:
    return all(each["state"] != "waiting" for each in await w.callbacks())


async def _receipt_lost(w: World) -> None:
    await w.sent(3001)
    await until(w.callbacks)
    assert [each["state"] for each in await w.callbacks()] == ["lost"]


async def _receipt_doubled(w: World) -> None:
    true, *got = await _receipts(w, 2)
    assert [each.fields for each in got] == [true, true]


async def _receipt_before_answer(w: World) -> None:
    job = await w.sent(3001)
    assert len(w.receiver.receipts(job)) == 1


async def _receipt_late(w: World) -> None:
    begun = time.time()
    await _receipts(w, 1)
    assert w.receiver.got[0].at - begun >= SOON


async def _receipt_lie(w: World) -> None:
    true, got = await _receipts(w, 1)
    assert (got.fields["fax_job_id"], got.fields["status"], got.fields["msg_code"]) == (
        true["fax_job_id"],
        "success",
        "ok",
    )
    assert (await w.faxes())[0]["outcome"] == "failed"


async def _receipt_unknown_job(w: World) -> None:
    true, stray, got = await _receipts(w, 2)
    assert got.fields == true
    assert (await w.call("GET", f"/fax/{stray.fields['fax_job_id']}/status")).status == 404


async def _receipt_failed_first(w: World) -> None:
    job = await w.sent(3001)
    await until(lambda: len(w.receiver.receipts(job)) == 2)
    assert [each.fields["status"] for each in w.receiver.receipts(job)] == ["failed", "success"]


async def _receipt_progress_first(w: World) -> None:
    true, first, got = await _receipts(w, 2)
    assert (first.fields["status"], got.fields) == ("executed", true)


async def _receipt_test_post(w: World) -> None:
    true, first, got = await _receipts(w, 2)
    assert not {"fax_job_id", "uuid", "file", "from", "to"} & first.fields.keys()
    assert got.fields == true


async def _receipt_no_msg_code(w: World) -> None:
    true, got = await _receipts(w, 1)
    assert got.fields == {name: value for name, value in true.items() if name != "msg_code"}


async def _receipt_no_message(w: World) -> None:
    true, got = await _receipts(w, 1)
    assert got.fields == {name: value for name, value in true.items() if name != "message"}


async def _receipt_unseen_code(w: World) -> None:
    _, got = await _receipts(w, 1)
    assert got.fields["msg_code"] == "line_quality"


async def _receipt_json(w: World) -> None:
    true, got = await _receipts(w, 1)
    assert (got.content_type, got.fields) == ("application/json", true)


async def _receipt_multipart(w: World) -> None:
    true, got = await _receipts(w, 1)
    assert (got.content_type, got.fields) == ("multipart/form-data", true)


async def _receipt_get(w: World) -> None:
    true, got = await _receipts(w, 1)
    assert (got.method, got.fields) == ("GET", true)


async def _arrived(w: World, count: int = 1) -> Any:
    await w.inject()
    await until(lambda: len(w.receiver.arrivals()) == count)
    return w.receiver.arrivals()[0]


async def _inbound_lost(w: World) -> None:
    await w.inject()
    assert [each["state"] for each in await w.callbacks()] == ["lost"]
    assert len((await w.call("GET", "/incoming-faxes")).json["inbox"]) == 1


async def _inbound_doubled(w: World) -> None:
    await _arrived(w, 2)
    first, second = w.receiver.arrivals()
    assert (first.fields, first.files) == (second.fields, second.files)
    assert len((await w.call("GET", "/incoming-faxes")).json["inbox"]) == 1


async def _inbound_late(w: World) -> None:
    begun = time.time()
    assert (await _arrived(w)).at - begun >= SOON


async def _inbound_no_filename(w: World) -> None:
    filename, kind, content = (await _arrived(w)).files["file"]
    assert (filename, kind, content[:5]) == (None, "application/pdf", b"%PDF-")


async def _inbound_other_part_name(w: World) -> None:
    assert (await _arrived(w)).files["document"][2].startswith(b"%PDF-")


async def _inbound_raw_text(w: World) -> None:
    filename, kind, content = (await _arrived(w)).files["file"]
    assert (filename, kind, content[:5]) == (None, None, b"%PDF-")


async def _inbound_data_uri(w: World) -> None:
    got = await _arrived(w)
    assert got.content_type == "application/x-www-form-urlencoded"
    assert got.fields["file"].startswith("data:application/pdf;base64,JVBERi")


async def _inbound_base64(w: World) -> None:
    assert (await _arrived(w)).fields["file"].startswith("JVBERi")


async def _inbound_base64_blanks(w: World) -> None:
    got = await _arrived(w)
    assert got.fields["file"].startswith("JVBERi")
    assert b"%2B" not in got.raw.partition(b"&file=")[2]
    assert " " in got.fields["file"]


async def _inbound_json(w: World) -> None:
    got = await _arrived(w)
    assert (got.content_type, got.fields["file"][:6]) == ("application/json", "JVBERi")


async def _inbound_url(w: World) -> None:
    url = (await _arrived(w)).fields["file"]
    assert (await w.raw("GET", url.removeprefix(w.url("")))).body.startswith(b"%PDF-")


async def _inbound_tiff(w: World) -> None:
    filename, kind, content = (await _arrived(w)).files["file"]
    assert (filename[-4:], kind, content[:4]) == (".tif", "image/tiff", b"II*\0")


async def _inbound_no_file(w: World) -> None:
    got = await _arrived(w)
    assert "file" not in got.fields and not got.files


async def _inbound_empty_file(w: World) -> None:
    assert (await _arrived(w)).files["file"][2] == b""


async def _inbound_broken_file(w: World) -> None:
    content = (await _arrived(w)).files["file"][2]
    assert content and b"%PDF-" not in content


async def _inbound_no_uuid(w: World) -> None:
    assert "uuid" not in (await _arrived(w)).fields


async def _inbound_blank_for_plus(w: World) -> None:
    got = await _arrived(w)
    assert (got.fields["from"], got.fields["to"]) == (" 14155550111", " 12025550100")
    assert (await w.call("GET", "/incoming-faxes")).json["inbox"][0]["sender"] == "14155550111"


async def _inbound_anonymous(w: World) -> None:
    assert (await _arrived(w)).fields["from"] == "anonymous"


def _own(operation: str) -> list[str]:
    return [name for name in faults_of(operation) if operation in CALLBACKS or not _is_common(name)]


OWN = [(operation, fault) for operation in OPERATIONS for fault in _own(operation)]


@pytest.mark.parametrize(("operation", "fault"), OWN, ids=[f"{operation}-{fault}" for operation, fault in OWN])
async def test_a_fault_of_one_operation_does_what_its_line_says(w: World, operation: str, fault: str) -> None:
    await w.upload()
    name = f"_{operation}_{fault}".replace("-", "_")
    check = globals().get(name) or _list_check(operation, fault)
    count = {} if operation in LISTS or operation == "numbers" else {"count": 1}
    await w.order(operation, fault, seconds=SOON, **count)
    await check(w)


# --- ordering ---------------------------------------------------------------------------------------------------------


async def test_operations_faults_and_rules_are_listed(s: World) -> None:
    await s.order("send", "Execute then DROP", count=2)
    got = (await s.call("GET", "/sandbox/faults")).json
    assert got["operations"] == OPERATIONS
    assert got["faults"] == {operation: faults_of(operation) for operation in OPERATIONS}
    assert [(rule["operation"], rule["fault"], rule["count"]) for rule in got["rules"]] == [
        ("send", "execute-then-drop", 2)
    ]
    assert (await s.call("DELETE", "/sandbox/faults")).json == {"status": "success", "removed": 1}
    assert (await s.call("GET", "/sandbox/faults")).json["rules"] == []


@pytest.mark.parametrize(("alias", "name"), [("5xx", "500"), ("half a json", "half-json"), ("rate_limit", "403")])
async def test_faults_have_names_people_say(s: World, alias: str, name: str) -> None:
    assert (await s.order("balance", alias))["fault"] == name


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"operation": "dance", "fault": "drop"}, "operation must be any or one of: send"),
        ({"operation": "send", "fault": "explode"}, "faults of send are: drop"),
        ({"operation": "any", "fault": "repeat"}, "faults of any are: drop"),
        ({"operation": "send", "fault": "drop", "often": 1}, "unknown: often"),
        ({"operation": "send", "fault": "drop", "count": -1}, "count must be a whole number"),
        ({"operation": "send", "fault": "drop", "count": True}, "count must be a whole number"),
        ({"operation": "send", "fault": "drop", "rate": 2}, "rate must be a number from 0 to 1"),
        ({"operation": "send", "fault": "drop", "seconds": "soon"}, "seconds must be a number"),
        ({}, "operation must be"),
    ],
)
async def test_what_cannot_be_ordered_is_refused_with_what_can(s: World, order: dict[str, Any], words: str) -> None:
    got = await s.call("POST", "/sandbox/faults", json=order)
    assert got.status == 400
    assert words in got.json["message"]
    assert (await s.call("GET", "/sandbox/faults")).json["rules"] == []


async def test_a_rate_with_a_seed_hits_the_same_calls_again(s: World) -> None:
    runs = []
    for _ in range(2):
        rule = await s.order("balance", "500", rate=0.3, seed=7)
        runs.append([(await s.call("GET", "/balance")).status for _ in range(40)])
        await s.call("DELETE", "/sandbox/faults", params={"id": str(rule["id"])})
    assert runs[0] == runs[1]
    assert 4 <= runs[0].count(500) <= 20


async def test_a_rule_may_be_for_one_number_and_skip_calls_that_go_well(w: World) -> None:
    document = await w.upload()
    await w.order("send", "400", number="+12025550199", skip=1)
    await w.order("status", "404", number="12025550199")
    first = await w.send(document, "+12025550199")
    answers = [first, await w.send(document), await w.send(document, "+12025550199")]
    assert [got.status for got in answers] == [200, 200, 400]
    statuses = [(await w.call("GET", f"/fax/{got.json['fax_job_id']}/status")).status for got in answers[:2]]
    assert statuses == [404, 200]


async def test_any_means_every_call_but_no_callback(w: World) -> None:
    await w.order("any", "500")
    assert [(await w.call("GET", path)).status for path in ("/balance", "/files", "/countries")] == [500] * 3
    await w.clear()
    await w.order("any", "extra-keys")  # a document has no JSON to be spoiled
    await w.inject()
    assert (await w.call("GET", "/receivefax/api/v1/inbox/1/file")).body.startswith(b"%PDF-")
    assert (await until(w.receiver.arrivals))[0].files


async def test_the_first_rule_that_strikes_decides(s: World) -> None:
    await s.order("balance", "404", count=1)
    await s.order("balance", "500", count=1)
    assert [(await s.call("GET", "/balance")).status for _ in range(3)] == [404, 500, 200]


async def test_a_hang_ends_with_its_client(tmp_path: Path, pool: WorkerPool) -> None:
    receiver = Receiver()
    await receiver.start()
    async with world(tmp_path / "s", pool, receiver) as w:
        await w.order("balance", "hang", count=1)
        got = await w.raw("GET", "/api/v2/balance", params={"api_key": KEY}, timeout=aiohttp.ClientTimeout(total=0.2))
        assert "Timeout" in got.error
        assert (await w.call("GET", "/balance")).status == 200
    await receiver.stop()
