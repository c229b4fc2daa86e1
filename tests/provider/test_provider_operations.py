"""Every operation asks as documented and understands its answer in every form the documentation shows or contradicts."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import GatewayError, KeyRefused, NotFound, OutcomeUnknown, Refused, SlowDown, TryLater
from gateway.model import FaxNumber, Verdict
from gateway.ports import HistoryEntry, StoredFile, Upload
from gateway.provider.faxto import FaxTo, FaxToSettings

from .service import Operation, service
from .wire import KEY, Connection, answering, http, serve

NUMBER = FaxNumber("+918111922311")
MARCH = 1489073728.0  # 2017-03-09 15:35:28 UTC
DATE = {"date": "2017-03-09 15:35:28.000000", "timezone_type": 3, "timezone": "UTC"}


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "x.pdf"
    path.write_bytes(b"%PDF-1.4\n" + bytes(range(256)) * 400)
    return path


# --- upload -----------------------------------------------------------------------------------------------------------

UPLOADED = {
    "status": "Success", "document_id": 11, "total_pages": 2,
    "document": {"id": 300, "total_pages": 1, "filename_uploaded": "verify.txt"},
}  # fmt: skip


async def test_an_upload_is_one_multipart_post_of_known_length(document: Path) -> None:
    async with serve(answering(http(200, json.dumps(UPLOADED).encode()))) as wire:
        client = FaxTo(FaxToSettings(base_url=wire.base, api_key=KEY, rate=0))
        assert await client.upload(document, "ABC-1.pdf") == Upload(11, 2)
        await client.close()
    (request,) = wire.requests
    assert (request.method, request.target) == ("POST", f"/api/v2/files?api_key={KEY}")
    assert request.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert "transfer-encoding" not in request.headers  # a server behind FastCGI may see no body in chunks
    head, _, rest = request.body.partition(b"\r\n\r\n")
    assert b'name="file"; filename="ABC-1.pdf"' in head
    assert b"Content-Type: application/pdf" in head
    assert rest.startswith(document.read_bytes() + b"\r\n--")


async def test_an_upload_is_streamed(tmp_path: Path) -> None:
    size = 48 << 20
    path = tmp_path / "large.pdf"
    with path.open("wb") as stream:
        stream.truncate(size)
    got = 0

    async def swallow(connection: Connection) -> None:
        nonlocal got
        head = await connection.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while got < length:
            got += len(await connection.reader.read(1 << 16))
        await connection.send(http(200, b'{"document_id":5}'))

    async with serve(swallow) as wire:
        client = FaxTo(FaxToSettings(base_url=wire.base, api_key=KEY, rate=0))
        tracemalloc.start()
        try:
            assert await client.upload(path, "x.pdf") == Upload(5, None)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        await client.close()
    assert got > size
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("answer", "upload"),
    [
        (UPLOADED, Upload(11, 2)),
        ({"document_id": "11", "total_pages": "2"}, Upload(11, 2)),
        ({"document": {"id": 300, "total_pages": 1}}, Upload(300, 1)),
        ({"document_id": 0, "document": {"id": 300}}, Upload(300, None)),
        ({"id": 7, "pages": 3}, Upload(7, 3)),
        ({"id": 7, "document": []}, Upload(7, None)),
        (b'\xef\xbb\xbf{"status":"success","document_id":11,"total_pages":2,}', Upload(11, 2)),
        ({"status": "failed", "document_id": 9}, Upload(9, None)),
    ],
)
async def test_the_id_of_an_upload_is_found_wherever_it_stands(answer: Any, upload: Upload, document: Path) -> None:
    async with service({"POST /files": answer}) as (client, _):
        assert await client.upload(document, "x.pdf") == upload


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status": "success"}, TryLater),
        ({"status": "success", "document_id": True}, TryLater),
        ({"status": "failed", "message": "No PDF", "document_id": None}, Refused),
        ({"status": "error", "code": 17}, Refused),
        ((404, b"<html>"), TryLater),  # which says nothing of the document
        ((404, b'{"message":"Not found"}'), TryLater),
        ((413, b"<html>"), Refused),
        ((422, b'{"message":"The file must be a PDF"}'), Refused),
        (b"[]", TryLater),
    ],
)
async def test_an_upload_without_an_id_is_none(answer: Any, kind: type[GatewayError], document: Path) -> None:
    async with service({"POST /files": answer}) as (client, _):
        with pytest.raises(GatewayError) as caught:
            await client.upload(document, "x.pdf")
    assert type(caught.value) is kind


async def test_an_upload_on_a_kept_connection_that_dies_is_not_repeated_unasked(document: Path) -> None:
    uploads = 0

    async def script(connection: Connection) -> None:
        nonlocal uploads
        await connection.request()
        body = b'{"status":"success","balance":"1"}'
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await connection.request()
        uploads += 1
        connection.reset()

    async with serve(script) as wire:
        client = FaxTo(FaxToSettings(base_url=wire.base, api_key=KEY, rate=0))
        assert await client.balance() == 1
        with pytest.raises(TryLater):
            await client.upload(document, "x.pdf")
        await client.close()
    assert uploads == 1
    assert wire.connections == 1


# --- price, status, history -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "cost"),
    [
        ({"status": "success", "cost": 0.10}, "0.1"),
        (b'{"status":"success","cost":0.10}', "0.10"),
        ({"cost": "0.15"}, "0.15"),
        ({"price": 1}, "1"),
        ({"cost": 0}, "0"),
        ({"cost": "1,234.50"}, "1234.50"),
    ],
)
async def test_a_price_is_money(answer: Any, cost: str) -> None:
    async with service({"GET /fax/300/costs": answer}) as (client, told):
        assert await client.cost(300, NUMBER) == Decimal(cost)
    assert told.queries == [{"api_key": KEY, "fax_number": "+918111922311"}]


@pytest.mark.parametrize("cost", [None, "gratis", "0,15", True, [], "1e5", float("1e300"), "NaN", ""])
async def test_a_price_that_is_none_is_not_invented(cost: Any) -> None:
    async with service({"GET /fax/300/costs": {"status": "success", "cost": cost}}) as (client, _):
        with pytest.raises(TryLater):
            await client.cost(300, NUMBER)


@pytest.mark.parametrize(
    ("answer", "verdict", "code"),
    [
        ({"status": "success", "message": "Sent! Fax Has Been Answered."}, Verdict.SUCCESS, "ok"),
        ({"status": "success", "message": "Fax Failed - Line Busy (x)"}, Verdict.FAILED, "busy"),
        ({"status": "success", "message": "Sending"}, Verdict.PROGRESS, ""),
        ({"status": "success"}, Verdict.PROGRESS, ""),
        ({"status": "success", "message": None}, Verdict.PROGRESS, ""),
        ({"status": "success", "message": ["Sending"]}, Verdict.PROGRESS, ""),
        ({"status": "success", "message": "Sending", "msg_code": "no_answer"}, Verdict.FAILED, "no_answer"),
        # its status is about the request; with a text that agrees it is about the fax too
        ({"status": "failed", "message": "Fax Failed - Early Hangup"}, Verdict.FAILED, "hangup"),
        ({"status": "failed", "message": "Try again in a while"}, Verdict.PROGRESS, ""),
        ({"status": "failed"}, Verdict.PROGRESS, ""),
        ({"status": "executed", "fax_status": "Fax Has Been Sent"}, Verdict.SUCCESS, "ok"),
    ],
)
async def test_a_status_is_read_from_its_text(answer: Any, verdict: Verdict, code: str) -> None:
    async with service({"GET /fax/200/status": answer}) as (client, told):
        found = await client.status(200)
    assert (found.verdict, found.code) == (verdict, code)
    assert told.queries == [{"api_key": KEY}]


HISTORY = {
    "status": "success",
    "history": [
        {"id": 92334, "created": DATE, "document_id": 112601, "document": "F.pdf", "recipient": "441224459292", "status": "success"},
    ],
}  # fmt: skip
ENTRY = HistoryEntry(92334, 112601, "441224459292", Verdict.SUCCESS, MARCH)


def _history(word: str = "success", **changes: Any) -> dict[str, Any]:
    return {"status": word, "history": [{**HISTORY["history"][0], **changes}]}  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("answer", "entry"),
    [
        (HISTORY, ENTRY),
        (_history("Success"), ENTRY),
        ({"status": "success", "data": HISTORY["history"]}, ENTRY),
        (HISTORY["history"], ENTRY),
        (_history(id="92334", document_id="112601", recipient="+44 1224 459292"), ENTRY),
        (_history(recipient=441224459292), ENTRY),
        (_history(status="failed"), HistoryEntry(92334, 112601, "441224459292", Verdict.FAILED, MARCH)),
        (_history(created="2017-03-09 15:35:28"), ENTRY),
        (_history(created=None, created_at="2017-03-09T15:35:28Z"), ENTRY),
        (_history(created=None, **{"created date": "2017-03-09 15:35:28"}), ENTRY),
        (_history(created={"date": "2017-03-09 16:35:28.0", "timezone_type": 1, "timezone": "+01:00"}), ENTRY),
        (_history(created={"date": "2017-03-09 10:35:28", "timezone_type": 2, "timezone": "EST"}), ENTRY),
        (_history(created={"date": "2017-03-09 10:35:28", "timezone_type": 3, "timezone": "America/New_York"}), ENTRY),
        (_history(created={"date": "2017-03-09 15:35:28", "timezone_type": 3, "timezone": "Mars/Base"}), ENTRY),
        (_history(created=None), HistoryEntry(92334, 112601, "441224459292", Verdict.SUCCESS, None)),
    ],
)  # fmt: skip
async def test_a_history_entry_is_read_in_every_form(answer: Any, entry: HistoryEntry) -> None:
    async with service({"GET /fax-history": answer}) as (client, told):
        page = await client.history(2, 50)
    assert (page.entries, page.skipped) == ((entry,), 0)
    assert told.queries == [{"api_key": KEY, "page": "2", "limit": "50"}]


@pytest.mark.parametrize(
    "changes", [{"id": None}, {"id": -1}, {"document_id": "x"}, {"recipient": ""}, {"recipient": None}]
)
async def test_an_entry_that_cannot_be_read_is_counted(changes: dict[str, Any]) -> None:
    async with service({"GET /fax-history": _history(**changes)}) as (client, _):
        page = await client.history(1, 50)
    assert (page.entries, page.skipped) == ((), 1)
    async with service({"GET /fax-history": {"status": "success", "history": [None, 5, HISTORY["history"][0]]}}) as (
        client,
        _,
    ):
        page = await client.history(1, 50)
    assert (page.entries, page.skipped) == ((ENTRY,), 2)


@pytest.mark.parametrize("status", [404, 405])
async def test_the_history_has_another_path(status: int) -> None:
    async with service({"GET /fax-history": (status, b"{}"), "GET /fax": HISTORY}) as (client, told):
        assert (await client.history(1, 50)).entries == (ENTRY,)
    assert told.asked == ["GET /fax-history", "GET /fax"]
    assert told.queries[0] == told.queries[1]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "failed", "history": []},
        {"status": "Error", "history": [], "message": "try again"},
        {"status": "success", "history": None},
        {"status": "success", "history": {}},
        {"status": "success"},
        b"",
        b"<html>",
        b'{"status":"success","history":[',
        b'{"status":"success","history":[],"history":[1]}',
        (500, b'{"status":"success","history":[]}'),
        (302, b'{"status":"success","history":[]}'),
        (204, b""),
    ],
)
async def test_a_history_that_is_not_one_is_no_empty_history(answer: Any) -> None:
    async with service({"GET /fax-history": answer}) as (client, _):
        with pytest.raises(TryLater):
            await client.history(1, 50)


@pytest.mark.parametrize("word", ["executed", "", "pending", None])
async def test_an_empty_history_that_does_not_say_success_proves_nothing(word: Any) -> None:
    async with service({"GET /fax-history": {"status": word, "history": []}}) as (client, _):
        page = await client.history(1, 50)
    assert page.entries == ()
    assert page.skipped


# --- receiving --------------------------------------------------------------------------------------------------------

FILE_URL = "https://fax.to/receivefax/api/v1/inbox/4/file?api_key=abd1ebe0-62d5-11e7-91c7-8590f436fefa"
INBOX: dict[str, Any] = {
    "status": "success",
    "inbox": [
        {
            "id": 772, "did_id": 7745147, "filename": "597ef3a78a2dd.pdf", "filesize": "120.45 KB",
            "number": "+918111922344", "sender": "919245657633", "total_pages": 5,
            "created_at": DATE, "preview_file": "x", "file_url": FILE_URL,
        },
    ],
    "meta": {"pagination": {"total": 7, "count": 2, "per_page": 2, "current_page": 2, "total_pages": 4, "links": []}},
}  # fmt: skip


async def test_the_inbox_names_its_faxes() -> None:
    async with service({"GET /incoming-faxes": INBOX}) as (client, told):
        page = await client.inbox(2, 100)
        last = await client.inbox(4, 100)
    assert not page.last
    assert last.last
    assert told.queries[0] == {"api_key": KEY, "page": "2", "limit": "100"}
    (entry,) = page.entries
    assert entry.created_at == MARCH
    arrival = entry.arrival
    assert (arrival.uuid, arrival.inbox_id, arrival.pages) == ("", 772, 5)
    assert (arrival.recipient, arrival.sender) == ("+918111922344", "919245657633")
    assert arrival.file_url == FILE_URL
    assert entry.sizes == (120_445, 123_346)


@pytest.mark.parametrize(
    ("meta", "page", "last"),
    [
        ({"pagination": {"total_pages": 4}}, 3, False),
        ({"pagination": {"total_pages": "4"}}, 4, True),
        ({"pagination": {"total_pages": 4, "links": {}}}, 5, True),
        ({"pagination": {"total_pages": 4, "links": None}}, 1, False),
        ({"pagination": []}, 1, False),
        ({"pagination": {"total_pages": "many"}}, 1, False),
        ([], 1, False),
        (None, 9, False),
    ],
)
async def test_the_last_page_is_known_by_its_number(meta: Any, page: int, last: bool) -> None:
    async with service({"GET /incoming-faxes": {**INBOX, "meta": meta}}) as (client, _):
        assert (await client.inbox(page, 100)).last is last


async def test_an_empty_page_is_the_last_one() -> None:
    for answer in ({"status": "success", "inbox": []}, []):
        async with service({"GET /incoming-faxes": answer}) as (client, _):
            page = await client.inbox(1, 100)
            assert (page.entries, page.last) == ((), True)


async def test_an_inbox_entry_without_an_id_is_passed_over() -> None:
    broken = [{"number": "1"}, "x", {"id": True}, {"id": "773", "number": None, "file_url": None, "total_pages": "x"}]
    async with service({"GET /incoming-faxes": {"status": "success", "inbox": broken}}) as (client, _):
        (entry,) = (await client.inbox(1, 100)).entries
    assert entry.arrival.inbox_id == 773
    assert (entry.arrival.recipient, entry.arrival.file_url, entry.arrival.pages) == ("", "", None)


async def test_the_inbox_of_one_number_is_asked_for_by_digits_then_with_a_plus() -> None:
    plain, plus = "GET /incoming-faxes/918111922311", "GET /incoming-faxes/%2B918111922311"
    async with service({plain: INBOX}) as (client, told):
        assert len((await client.inbox_of(NUMBER, 1, 100)).entries) == 1
        assert told.asked == [plain]
    for nothing in ((404, b"{}"), {"status": "success", "inbox": []}):
        async with service({plain: nothing, plus: INBOX}) as (client, told):
            assert len((await client.inbox_of(NUMBER, 1, 100)).entries) == 1
            assert told.asked == [plain, plus]
    async with service({plain: {"status": "success", "inbox": []}}) as (client, told):
        assert (await client.inbox_of(NUMBER, 2, 100)).last
        assert told.asked == [plain]


# --- documents --------------------------------------------------------------------------------------------------------

FILES: list[dict[str, Any]] = [
    {"id": 2, "filename": "faxto.pdf", "pages": 1, "size": 39942, "uploaded": "2017-03-10"},
    {"id": "3", "filename": "t.tiff", "filename_uploaded": "ABC-1.pdf"},
    {"document_id": 4},
    {"filename": "x"},
    None,  # type: ignore[list-item]
]


@pytest.mark.parametrize("answer", [FILES, {"status": "Success", "files": FILES}, {"status": "success", "data": FILES}])
async def test_files_come_as_a_list_or_in_an_object(answer: Any) -> None:
    async with service({"GET /files": answer}) as (client, told):
        found = await client.files(1, 20)
    assert found == (StoredFile(2, "faxto.pdf"), StoredFile(3, "ABC-1.pdf"), StoredFile(4, ""))
    assert told.queries == [{"api_key": KEY, "page": "1", "limit": "20"}]


@pytest.mark.parametrize("answer", [{"status": "success"}, {"status": "Success"}, b"", (204, b""), (404, b"{}"), {}])
async def test_a_document_that_is_gone_is_deleted(answer: Any) -> None:
    async with service({"DELETE /files/300": answer}) as (client, told):
        await client.delete(300)
    assert told.asked == ["DELETE /files/300"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"status": "failed", "message": "in use"}, Refused),
        (b"<html>log in</html>", TryLater),
        ((409, b'{"message":"sending"}'), Refused),
        ((500, b""), TryLater),
    ],
)
async def test_a_document_that_is_still_there_is_not_called_deleted(answer: Any, kind: type[GatewayError]) -> None:
    async with service({"DELETE /files/300": answer}) as (client, _):
        with pytest.raises(kind) as caught:
            await client.delete(300)
    assert type(caught.value) is kind


async def test_clean_and_preview() -> None:
    cleaned = {"status": "success", "id": 3, "filesize": "485432", "created date": "2017-03-10", "team_user_id": None}
    url = rb'{"status":"success","url":"http:\/\/api.fax.dev\/preview.png",}'
    async with service({"GET /file-clean": cleaned, "GET /file-generate-preview": url}) as (client, told):
        assert (await client.clean_file(3))["filesize"] == "485432"
        assert await client.preview_url(3) == "https://api.fax.dev/preview.png"
    assert told.queries == [{"api_key": KEY, "document_id": "3"}] * 2
    async with service({"GET /file-generate-preview": {"status": "success"}}) as (client, _):
        with pytest.raises(TryLater):
            await client.preview_url(3)


# --- account ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "balance"),
    [
        ({"status": "success", "balance": 100.10}, "100.1"),
        ({"balance": "100.10", "sunbscription_credit_allowance": 1.5}, "100.10"),
        ({"user_cash_balance": -3}, "-3"),
        ({"status": "failed", "balance": 5}, "5"),
    ],
)
async def test_a_balance_is_money(answer: Any, balance: str) -> None:
    async with service({"GET /balance": answer}) as (client, told):
        assert await client.balance() == Decimal(balance)
    assert told.queries == [{"api_key": KEY}]


async def test_numbers_are_read_page_by_page() -> None:
    def page(*numbers: str, key: str = "numbers") -> dict[str, Any]:
        return {"status": "success", key: [{"did_number": n, "status": "Active"} for n in numbers]}

    pages = [page("+1", "+2"), page("+3", key="data"), {"status": "success", "numbers": [None]}]
    async with service({"GET /numbers": lambda: pages.pop(0)}) as (client, told):
        assert [n["did_number"] for n in await client.numbers()] == ["+1", "+2", "+3"]
    assert [q["page"] for q in told.queries] == ["1", "2", "3"]
    # a provider that does not page repeats itself
    async with service({"GET /numbers": page("+1")}) as (client, told):
        assert len(await client.numbers()) == 1
        assert len(told.asked) == 2
    async with service({"GET /numbers": {**page("+1"), "meta": {"pagination": {"total_pages": 1}}}}) as (client, told):
        assert len(await client.numbers()) == 1
        assert len(told.asked) == 1


async def test_numbers_end_though_the_provider_does_not() -> None:
    count = 0

    def more() -> dict[str, Any]:
        nonlocal count
        count += 1
        return {"status": "success", "numbers": [{"number": f"+{count}"}]}

    async with service({"GET /numbers": more}) as (client, told):
        assert len(await client.numbers()) == 100
        assert len(told.asked) == 100


@pytest.mark.parametrize(
    ("path", "keyed"), [("/user", False), ("/user/login", False), ("/subuser", True)], ids=["register", "login", "sub"]
)
async def test_accounts_give_their_key(path: str, keyed: bool) -> None:
    async with service({f"POST {path}": {"status": "success", "api_key": "new"}}) as (client, told):
        ask = {"/user": client.register, "/user/login": client.login, "/subuser": client.add_subuser}[path]
        assert await ask("a+b@example.org", "p&w") == "new"
    assert told.queries == [{"api_key": KEY} if keyed else {}]
    assert told.forms == [{"email": "a+b@example.org", "password": "p&w"}]
    for none in ({"status": "success"}, {"status": "success", "api_key": None}, {"status": "success", "api_key": 5}):
        async with service({"POST /user": none}) as (client, _):
            with pytest.raises(TryLater):
                await client.register("a", "b")


async def test_the_catalogue() -> None:
    listed = [{"a2_code": "ARG"}]
    async with service({
        "GET /countries": {"status": "success", "data": listed},
        "GET /states/USA": {"status": "success", "states": listed},
        "GET /areacodes/USA/1": {"status": "success", "areacodes": listed},
        "GET /countries/CAN/didgroups": {"status": "success", "data": listed},
        "GET /states/..%2Fx%3Fy": {"status": "success", "states": []},
    }) as (client, told):  # fmt: skip
        assert await client.countries() == listed
        assert await client.states("USA") == listed
        assert await client.area_codes("USA", "1") == listed
        assert await client.did_groups("CAN", cityNamePattern="New York%", stateId="3") == listed
        assert await client.states("../x?y") == []
    assert told.queries[3] == {"api_key": KEY, "cityNamePattern": "New York%", "stateId": "3"}


async def test_a_number_is_bought_by_one_post_and_perhaps_bought_when_the_answer_is_unclear() -> None:
    path = "POST /countries/didgroups/5598/provision"
    bought = {"status": "success", "message": "Number has been provisioned.", "data": {"number": "+17097023976"}}
    async with service({path: bought}) as (client, told):
        assert (await client.provision(5598))["data"]["number"] == "+17097023976"
        assert told.asked == [path]
    for unclear in ((500, b""), (302, b""), b"<html>", b"", b"[]"):
        async with service({path: unclear}) as (client, told):
            with pytest.raises(OutcomeUnknown):
                await client.provision(5598)
            assert told.asked == [path]
    for no in ({"status": "failed", "message": "none left"}, (400, b'{"message":"none left"}')):
        async with service({path: no}) as (client, _):
            with pytest.raises(Refused, match="none left"):
                await client.provision(5598)


# --- every operation --------------------------------------------------------------------------------------------------


def _upload(client: FaxTo) -> Any:
    return client.upload(Path(__file__), "x.pdf")


OPERATIONS: dict[str, Operation] = {
    "upload": _upload,
    "cost": lambda c: c.cost(300, NUMBER),
    "status": lambda c: c.status(200),
    "history": lambda c: c.history(1, 50),
    "inbox": lambda c: c.inbox(1, 50),
    "inbox of": lambda c: c.inbox_of(NUMBER, 1, 50),
    "files": lambda c: c.files(1, 50),
    "delete": lambda c: c.delete(300),
    "clean": lambda c: c.clean_file(300),
    "preview": lambda c: c.preview_url(300),
    "balance": lambda c: c.balance(),
    "numbers": lambda c: c.numbers(),
    "register": lambda c: c.register("a", "b"),
    "login": lambda c: c.login("a", "b"),
    "subuser": lambda c: c.add_subuser("a", "b"),
    "countries": lambda c: c.countries(),
    "states": lambda c: c.states("USA"),
    "area codes": lambda c: c.area_codes("USA", "1"),
    "did groups": lambda c: c.did_groups("USA"),
}
every_operation = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())


@every_operation
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((401, b"{}"), KeyRefused),
        ((403, b'{"message":"Rate limit exceeded"}'), SlowDown),
        ((429, b"<html>"), SlowDown),
        ((408, b""), TryLater),
        ((500, b'{"message":"x"}'), TryLater),
        ((503, b"<html>"), TryLater),
        ((302, b""), TryLater),
        ((400, b'{"status":"failed","message":"x"}'), Refused),
        ((405, b""), Refused),
        ((422, b'{"errors":{"a":["b"]}}'), Refused),
        (b"<html>maintenance</html>", TryLater),
        (b'{"a":' * 5000, TryLater),
        (b'{"a":"' + b"x" * (5 << 20) + b'"}', TryLater),
    ],
    ids=lambda value: (str(value[0]) if isinstance(value, tuple) else repr(value[:8])) if not isinstance(value, type) else "",
)  # fmt: skip
async def test_an_error_is_told_apart_by_what_can_be_done(
    operation: Operation, answer: Any, kind: type[GatewayError]
) -> None:
    async with service({"*": answer}) as (client, _):
        with pytest.raises(GatewayError) as caught:
            await operation(client)
    assert type(caught.value) is kind


@every_operation
async def test_what_is_not_there_is_not_found(operation: Operation) -> None:
    async with service({"*": (404, b'{"status":"failed","message":"Job not found"}')}) as (client, _):
        if operation is OPERATIONS["delete"]:
            await operation(client)
            return
        with pytest.raises(TryLater if operation is OPERATIONS["upload"] else NotFound, match="Job not found"):
            await operation(client)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (f"Location: https://www.fax.example/api?api_key={KEY}", "https://www.fax.example"),
        (f"Location: https://u:{KEY}@fax.example:8443/x", "https://fax.example:8443"),
        ("Location: /elsewhere", "another place"),
        ("Location: http://[", "another place"),
        ("X: y", "another place"),
    ],
)
async def test_a_redirect_is_not_followed_and_says_where_it_leads(location: str, told: str) -> None:
    async with serve(answering(http(301, b"", location))) as wire:
        client = FaxTo(FaxToSettings(base_url=wire.base, api_key=KEY, rate=0))
        with pytest.raises(TryLater) as caught:
            await client.balance()
        await client.close()
    assert caught.value.public == f"the fax provider sends us to {told}; is provider.base_url right?"
    assert len(wire.requests) == 1


@every_operation
async def test_a_cut_answer_or_none_in_time_is_for_later(operation: Operation) -> None:
    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.until_gone()

    for script, timeout in (
        (answering(http(200, b'{"status":"success"}')[:-5]), 20.0),
        (answering(b"HTTP/1.1 2"), 20.0),
        (silent, 0.2),
    ):
        async with serve(script) as wire:
            client = FaxTo(
                FaxToSettings(base_url=wire.base, api_key=KEY, rate=0, timeout=timeout, upload_timeout=timeout)
            )
            with pytest.raises(TryLater):
                await operation(client)
            await client.close()


@every_operation
async def test_a_connection_that_cannot_be_made_is_for_later(operation: Operation, unused_tcp_port: int) -> None:
    client = FaxTo(FaxToSettings(base_url=f"http://127.0.0.1:{unused_tcp_port}", api_key=KEY, rate=0))
    with pytest.raises(TryLater):
        await operation(client)
    await client.close()


async def test_a_cut_refusal_of_the_key_stops_the_sends_all_the_same() -> None:
    async with serve(answering(http(401, b"{" + b" " * 99)[:-9])) as wire:
        client = FaxTo(FaxToSettings(base_url=wire.base, api_key=KEY, rate=0))
        with pytest.raises(KeyRefused):
            await client.balance()
        await client.close()


async def test_a_refused_key_is_not_used_again_until_a_probe_succeeds() -> None:
    replies: dict[str, Any] = {"*": (401, b"{}"), "POST /user/login": {"api_key": "new"}}
    async with service(replies) as (client, told):
        for ask in (client.status(1), client.submit(300, NUMBER, ""), client.provision(1), client.files(1, 1)):
            with pytest.raises(KeyRefused):
                await ask
        assert told.asked == ["GET /fax/1/status"]
        assert await client.login("a", "b") == "new"  # needs no key
        with pytest.raises(KeyRefused):
            await client.balance()
        replies["GET /balance"] = {"balance": 1}
        await client.balance()
        replies["GET /files"] = []
        assert await client.files(1, 1) == ()


async def test_a_send_whose_key_is_refused_stops_the_others_too() -> None:
    async with service({"*": (401, b"{}")}) as (client, told):
        for _ in range(3):
            with pytest.raises(KeyRefused):
                await client.submit(300, NUMBER, "")
        assert told.asked == ["POST /fax"]


async def test_a_password_that_is_refused_says_nothing_of_the_key() -> None:
    async with service({"POST /user/login": (401, b"{}"), "GET /files": []}) as (client, _):
        with pytest.raises(KeyRefused):
            await client.login("a", "b")
        assert await client.files(1, 1) == ()


async def test_the_wait_that_is_asked_for_is_passed_on() -> None:
    for status in (403, 429, 503):
        async with serve(answering(http(status, b"{}", "Retry-After: 30"))) as wire:
            client = FaxTo(FaxToSettings(base_url=wire.base, api_key=KEY, rate=0))
            with pytest.raises(TryLater) as caught:
                await client.balance()
            assert caught.value.after == 30.0
            await client.close()


async def test_cookies_are_not_kept() -> None:
    async with serve(answering(http(200, b'{"balance":1}', "Set-Cookie: session=1; Path=/"))) as wire:
        client = FaxTo(FaxToSettings(base_url=wire.base.replace("127.0.0.1", "localhost"), api_key=KEY, rate=0))
        await client.balance()
        await client.balance()
        await client.close()
    assert all("cookie" not in request.headers for request in wire.requests)


async def test_calls_keep_to_their_rate() -> None:
    loop = asyncio.get_running_loop()
    answers = {"GET /balance": {"balance": 1}, "POST /fax": {"status": "executed", "fax_job_id": 1}}
    async with service(answers, rate=50.0) as (client, _):
        for call in (client.balance, lambda: client.submit(300, FaxNumber("+12025550123"), "")):
            began = loop.time()
            await asyncio.gather(*(call() for _ in range(6)))
            assert loop.time() - began >= 5 / 50


async def test_a_client_can_be_closed_at_any_time() -> None:
    async with service({"GET /balance": {"balance": 1}}) as (client, _):
        await client.close()
        assert await client.balance() == 1
        await client.close()
        await client.close()
        assert await client.balance() == 1
