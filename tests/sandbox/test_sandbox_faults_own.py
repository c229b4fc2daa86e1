"""Every fault that only one operation has does what its line says."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.sandbox.faults import CALLBACKS, OPERATIONS, faults_of

from .faulty import SOON, is_common, upload_two_pages
from .world import ANYBODY, HOME, World, until

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
    got = await upload_two_pages(w)
    listed = [entry["id"] for entry in (await w.call("GET", "/files")).json]
    assert listed[:2] == [got.json["document_id"] + 1, got.json["document_id"]]


async def _upload_wrong_pages(w: World) -> None:
    got = await upload_two_pages(w)
    assert (got.json["total_pages"], got.json["document"]["total_pages"]) == (3, 3)
    job = await w.sent(got.json["document_id"])
    assert (await w.fax(job))["pages"] == 2


async def _upload_lost_page(w: World) -> None:
    got = await upload_two_pages(w)
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
        await w.order(operation, fault, seconds=3600)
        match fault:
            case "withheld":
                assert await listed.ids(w) == []
            case "late":
                assert await listed.ids(w) == []
                await w.clear()
                await w.order(operation, fault, seconds=SOON)
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
    return [name for name in faults_of(operation) if operation in CALLBACKS or not is_common(name)]


OWN = [(operation, fault) for operation in OPERATIONS for fault in _own(operation)]


@pytest.mark.parametrize(("operation", "fault"), OWN, ids=[f"{operation}-{fault}" for operation, fault in OWN])
async def test_a_fault_of_one_operation_does_what_its_line_says(w: World, operation: str, fault: str) -> None:
    await w.upload()
    name = f"_{operation}_{fault}".replace("-", "_")
    check = globals().get(name) or _list_check(operation, fault)
    count = {} if operation in LISTS or operation == "numbers" else {"count": 1}
    await w.order(operation, fault, seconds=SOON, **count)
    await check(w)
