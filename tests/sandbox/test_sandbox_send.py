"""Sending: uploads, prices, the send, status, history, documents, and what is really executed."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from PIL import Image

from gateway.document.worker import WorkerPool
from gateway.errors import KeyRefused, NotFound, Refused, TryLater
from gateway.model import FaxNumber, Verdict

from .world import ANYBODY, KEY, World, page, pdf, pixels, until, world

NUMBER = FaxNumber(ANYBODY)


async def test_the_gateways_client_sends_a_fax_from_upload_to_receipt(w: World, tmp_path: Path) -> None:
    document = tmp_path / "fax.pdf"
    document.write_bytes(pdf(2))
    upload = await w.client.upload(document, "document.pdf")
    assert upload.pages == 2
    assert await w.client.cost(upload.document_ref, NUMBER) == Decimal("0.2")
    sent = await w.client.submit(upload.document_ref, NUMBER, "+12025550100")
    assert (sent.cost, sent.balance, sent.failed) == (Decimal("0.2"), Decimal("99.8"), False)
    receipt = (await until(lambda: w.receiver.receipts(sent.provider_ref)))[0]
    assert receipt.content_type == "application/x-www-form-urlencoded"
    assert receipt.fields == {
        "fax_job_id": str(sent.provider_ref), "status": "success", "msg_code": "ok",
        "message": "Success! Your fax has been sent!", "line": "model",
    }  # fmt: skip
    status = await w.client.status(sent.provider_ref)
    assert (status.verdict, status.code) == (Verdict.SUCCESS, "ok")
    entry = (await w.client.history(1, 20)).entries[0]
    assert (entry.provider_ref, entry.document_ref, entry.recipient, entry.verdict) == (
        sent.provider_ref, upload.document_ref, NUMBER.digits, Verdict.SUCCESS,
    )  # fmt: skip
    assert await w.client.balance() == Decimal("99.8")
    await w.client.delete(upload.document_ref)
    assert await w.client.files(1, 20) == ()
    await w.client.delete(upload.document_ref)  # absent counts as done


async def test_the_record_of_an_execution_has_the_contracts_keys_and_the_pages_as_received(w: World) -> None:
    import hashlib

    document = pdf(3)
    job = await w.sent(await w.upload(document), tsi_number="+1 202 555 0100")
    fax = await until(lambda: _over(w, job))
    assert {key: fax[key] for key in ("fax_number", "tsi_number", "pages", "outcome", "msg_code", "line")} == {
        "fax_number": ANYBODY, "tsi_number": "+1 202 555 0100", "pages": 3, "outcome": "success", "msg_code": "ok",
        "line": "model",
    }  # fmt: skip
    assert fax["sha256"] == hashlib.sha256(document).hexdigest()
    assert fax["executed_at"].endswith("Z")
    got = await w.call("GET", f"/sandbox/faxes/{job}/document")
    assert got.headers["Content-Type"] == "image/tiff"
    assert pixels(got.body) == [page(number).tobytes() for number in range(3)]


async def _over(w: World, job: int) -> dict[str, object] | None:
    fax = await w.fax(job)
    return fax if fax["outcome"] != "sending" else None


async def test_both_versions_answer_alike(w: World) -> None:
    document = await w.upload()
    for version in ("v1", "v2"):
        got = await w.call("GET", f"/fax/{document}/costs", params={"fax_number": ANYBODY}, version=version)
        assert got.json == {"status": "success", "cost": 0.1}


@pytest.mark.parametrize("how", ["query", "form", "header"])
async def test_the_key_is_taken_from_query_form_or_header(w: World, how: str) -> None:
    document = str(await w.upload())
    fields = {"document_id": document, "fax_number": ANYBODY}
    match how:
        case "query":
            got = await w.raw("POST", "/api/v2/fax", params={"api_key": KEY}, data=fields)
        case "form":
            got = await w.raw("POST", "/api/v2/fax", data={"api_key": KEY, **fields})
        case _:
            got = await w.raw("POST", "/api/v2/fax", headers={"api_key": KEY}, data=fields)
    assert got.json["status"] == "executed"


async def test_without_the_right_key_nothing_is_done(w: World) -> None:
    for key in (None, "wrong", "wröng"):
        got = await w.call("GET", "/balance", key=key)
        assert (got.status, got.json) == (401, {"status": "failed", "message": "Unauthorized"})
    got = await w.raw("POST", "/api/v2/fax", params={"api_key": "no"}, data={"document_id": "1", "fax_number": ANYBODY})
    assert got.status == 401
    assert await w.faxes() == []


async def test_the_gateways_client_knows_a_refused_key(w: World) -> None:
    from gateway.provider.faxto import FaxTo, FaxToSettings

    stranger = FaxTo(FaxToSettings(w.url("/api/v2"), "wrong", rate=0))
    with pytest.raises(KeyRefused):
        await stranger.balance()
    await stranger.close()


@pytest.mark.parametrize("encoding", ["urlencoded", "multipart", "json", "query", "multipart-without-boundary", "file"])
async def test_a_send_is_understood_in_every_encoding(w: World, encoding: str) -> None:
    fields = {"document_id": str(await w.upload()), "fax_number": ANYBODY}
    arguments: dict[str, object] = {}
    match encoding:
        case "urlencoded":
            arguments = {"data": fields}
        case "multipart":
            form = aiohttp.FormData(default_to_multipart=True)
            for name, value in fields.items():
                form.add_field(name, value)
            arguments = {"data": form}
        case "json":
            arguments = {"json": {**fields, "document_id": int(fields["document_id"])}}
        case "query":
            arguments = {"params": fields}
        case "multipart-without-boundary":
            arguments = {"params": fields, "data": b"", "headers": {"Content-Type": "multipart/form-data"}}
        case "file":
            form = aiohttp.FormData({"fax_number": ANYBODY})
            form.add_field("file", pdf(1, "direct"), filename="direct.pdf", content_type="application/pdf")
            arguments = {"data": form}
    got = await w.call("POST", "/fax", **arguments)
    assert got.json["status"] == "executed", got.body
    assert [fax["fax_number"] for fax in await w.faxes()] == [ANYBODY]


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ("fax_number=+12025550123", ANYBODY),  # a raw + arrives as a blank
        ("fax_number=%2B12025550123", ANYBODY),
        ("fax_number=%20%2012025550123", ANYBODY),
    ],
)
async def test_a_blank_before_the_digits_is_a_plus(w: World, body: str, number: str) -> None:
    document = await w.upload()
    got = await w.call(
        "POST", "/fax", data=f"document_id={document}&{body}".encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip
    assert got.json["status"] == "executed"
    assert (await w.faxes())[0]["fax_number"] == number


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"fax_number": ANYBODY}, 400, "document_id is missing"),
        ({"document_id": "3001"}, 400, "fax_number is missing"),
        ({"document_id": "9", "fax_number": ANYBODY}, 404, "does not exist"),
        ({"document_id": "3001", "fax_number": "12025550123"}, 400, "international format"),
        ({"document_id": "3001", "fax_number": "+1202555012X"}, 400, "international format"),
        ({"document_id": "3001", "fax_number": "+123"}, 400, "international format"),
        ({"document_id": "three", "fax_number": ANYBODY}, 400, "document_id is missing"),
    ],
)
async def test_a_send_that_cannot_be_is_refused_in_a_sentence(
    w: World, fields: dict[str, str], status: int, words: str
) -> None:
    await w.upload()
    got = await w.call("POST", "/fax", data=fields)
    assert (got.status, got.json["status"]) == (status, "failed")
    assert words in got.json["message"]
    assert await w.faxes() == []


@pytest.mark.parametrize(
    ("data", "headers", "status", "words"),
    [
        (b"{", {"Content-Type": "application/json"}, 400, "not valid JSON"),
        (b"[1]", {"Content-Type": "application/json"}, 400, "not a JSON object"),
        (
            b"&".join(b"a%d=1" % n for n in range(300)),
            {"Content-Type": "application/x-www-form-urlencoded"},
            400,
            "fields",
        ),
        (b"--x\r\nbroken", {"Content-Type": "multipart/form-data; boundary=x"}, 400, "broken"),
    ],
)
async def test_a_body_that_is_not_what_it_says_is_refused(
    w: World, data: bytes, headers: dict[str, str], status: int, words: str
) -> None:
    got = await w.call("POST", "/fax", data=data, headers=headers)
    assert got.status == status
    assert words in got.json["message"]


async def test_an_empty_json_body_leaves_the_query(w: World) -> None:
    got = await w.call("GET", "/balance", data=b"", headers={"Content-Type": "application/json"})
    assert got.json["balance"] == 100


async def test_fields_without_number_or_length_are_refused(w: World) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    for number in range(220):
        form.add_field(f"f{number}", "1")
    got = await w.call("POST", "/fax", data=form)
    assert (got.status, got.json["message"]) == (400, "Too many fields.")
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("fax_number", "1" * 100_000)
    got = await w.call("POST", "/fax", data=form)
    assert (got.status, got.json["message"]) == (413, "A field is too large.")


async def test_parts_within_parts_are_refused_and_a_second_file_is_passed_over(w: World) -> None:
    head = {"Content-Type": "multipart/form-data; boundary=x"}
    nested = b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\ninner\r\n--y--\r\n--x--\r\n"
    got = await w.call("POST", "/files", data=nested, headers=head)
    assert (got.status, got.json["message"]) == (400, "A part has parts within it.")
    two = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n' + pdf() + b"\r\n"
        b'--x\r\nContent-Disposition: form-data; name="other"; filename="b.txt"\r\n\r\ntext\r\n--x--\r\n'
    )
    got = await w.call("POST", "/files", data=two, headers=head)
    assert got.json["document"]["filename_uploaded"] == "a.pdf"


async def test_numbers_outside_the_scenarios_and_unknown_scenarios_work(w: World) -> None:
    document = await w.upload()
    jobs = [await w.sent(document, number) for number in (ANYBODY, "+99999999876", "+9999999001")]
    for job in jobs:
        assert (await until(lambda job=job: w.receiver.receipts(job)))[0].fields["msg_code"] == "ok"


# --- documents --------------------------------------------------------------------------------------------------------


async def test_an_upload_answers_as_documented(w: World) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", b"Hello, fax.\n", filename="C:/docs/verify.txt", content_type="text/plain")
    got = (await w.call("POST", "/files", data=form)).json
    document = got["document"]
    assert (got["status"], got["document_id"], got["total_pages"]) == ("Success", document["id"], 1)
    assert (document["filename_uploaded"], document["file_extension"], document["filesize"]) == (
        "verify.txt",
        "txt",
        12,
    )
    assert document["filename"] == document["orig_filename"] + ".tiff"
    listed = (await w.call("GET", "/files")).json
    assert [(entry["id"], entry["filename"], entry["pages"], entry["size"]) for entry in listed] == [
        (document["id"], "verify.txt", 1, 12)
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04 reports.txt", "ZIP archive"),
        (b"%PDF-1.4 broken off", "incomplete"),
        (b"\xff\xd8\xff\xe0 no JPEG", "damaged"),
    ],
)
async def test_what_cannot_be_converted_is_refused_in_a_sentence(w: World, content: bytes, words: str) -> None:
    form = aiohttp.FormData()
    form.add_field("file", content, filename="x.pdf", content_type="application/pdf")
    got = await w.call("POST", "/files", data=form)
    assert got.status == 400
    assert words in got.json["message"]
    assert (await w.call("GET", "/files")).json == []


class Broken:
    """A pool whose converters crash."""

    async def run(self, *_: object, **__: object) -> None:
        raise TryLater("the document could not be converted: the converter crashed or hung")


async def test_a_converter_that_crashes_is_an_error_of_the_servers(tmp_path: Path) -> None:
    async with world(tmp_path / "s", Broken()) as w:  # type: ignore[arg-type]  # as far as the sandbox uses it
        form = aiohttp.FormData()
        form.add_field("file", pdf(), filename="x.pdf", content_type="application/pdf")
        got = await w.call("POST", "/files", data=form)
        assert (got.status, got.json["status"]) == (500, "failed")
        assert "crashed" in got.json["message"]


async def test_a_file_over_the_limit_is_refused_and_leaves_nothing(tmp_path: Path, pool: WorkerPool) -> None:
    async with world(tmp_path / "s", pool, max_upload=1000) as w:
        form = aiohttp.FormData()
        form.add_field("file", b"x" * 1001, filename="x.txt", content_type="text/plain")
        got = await w.call("POST", "/files", data=form)
        assert (got.status, got.json["message"]) == (413, "The file is larger than 1000 bytes.")
        assert list((tmp_path / "s" / "sandbox.tmp").iterdir()) == []


async def test_the_same_bytes_are_converted_once(w: World, tmp_path: Path) -> None:
    document = pdf(1, "once")
    first = await w.upload(document)
    made = [path.stat().st_mtime_ns for path in (tmp_path / "sandbox" / "documents").iterdir()]
    second = await w.upload(document)
    assert second == first + 1
    assert [path.stat().st_mtime_ns for path in (tmp_path / "sandbox" / "documents").iterdir()] == made


async def test_without_a_pool_it_starts_workers_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path / "s", None, workers=1) as w:
        assert await w.upload() == 3001


@pytest.mark.parametrize("fields", [{}, {"file": "/etc/passwd"}, {"AddRemoteFile": "ftp://example.org/x"}])
async def test_an_upload_without_a_file_says_so(w: World, fields: dict[str, str]) -> None:
    got = await w.call("POST", "/files", data=fields)
    assert (got.status, got.json["message"]) == (400, "No file was uploaded.")


@pytest.mark.parametrize("name", ["AddRemoteFile", "file"])
async def test_remote_files_are_fetched_only_where_wanted(
    w: World, tmp_path: Path, pool: WorkerPool, name: str
) -> None:
    document = await w.upload(pdf(2))
    job = await w.sent(document)
    url = w.url(f"/sandbox/faxes/{job}/document")
    got = await w.call("POST", "/files", data={name: url})
    assert got.status == 400
    assert "fetches no remote files" in got.json["message"]
    async with world(tmp_path / "other", pool, remote_files=True) as other:
        got = await other.call("POST", "/files", data={name: url})
        assert (got.json["total_pages"], got.json["document"]["filename_uploaded"]) == (2, "document")
        for bad in (w.url("/nothing"), "http://127.0.0.1:1/x", "http://[::1"):
            got = await other.call("POST", "/files", data={name: bad})
            assert (got.status, got.json["message"]) == (400, "The remote file could not be fetched."), bad
        assert list((tmp_path / "other" / "sandbox.tmp").iterdir()) == []


async def test_cleaning_a_file_tells_its_record_and_deletes_nothing(w: World) -> None:
    document = await w.upload()
    record = await w.client.clean_file(document)
    assert (record["id"], record["filename_uploaded"], record["server_document_id"]) == (document, "document.pdf", None)
    assert isinstance(record["filesize"], str)
    assert record["created date"]
    assert len(await w.client.files(1, 20)) == 1
    with pytest.raises(NotFound):
        await w.client.clean_file(1)


async def test_a_preview_is_a_picture_of_the_first_page(w: World) -> None:
    document = await w.upload(pdf(2))
    for _ in range(2):  # made, and known
        url = (await w.call("GET", "/file-generate-preview", params={"document_id": str(document)})).json["url"]
    assert (await w.client.preview_url(document)).startswith("https://")  # the client never asks in the clear
    got = await w.raw("GET", url.removeprefix(w.url("")), params={"api_key": KEY})
    with Image.open(io.BytesIO(got.body)) as picture:
        assert picture.format == "PNG"
    for name in ("..%2Fsandbox.db", "0" * 64 + ".png", "x.tif"):
        assert (await w.call("GET", f"/member/my-documents/show-file/{name}")).status == 404


async def test_a_deleted_document_cannot_be_sent_and_stays_in_the_history(w: World) -> None:
    document = await w.upload()
    job = await w.sent(document)
    assert (await w.call("DELETE", f"/files/{document}")).json == {"status": "success"}
    assert (await w.call("DELETE", f"/files/{document}")).status == 404
    assert (await w.send(document)).status == 404
    assert (await w.call("GET", f"/fax/{document}/costs", params={"fax_number": ANYBODY})).status == 404
    assert [entry["id"] for entry in (await w.call("GET", "/fax-history")).json["history"]] == [job]


async def test_delete_file_deletes_the_document_when_the_fax_is_over(w: World) -> None:
    document = await w.upload()
    await w.sent(document, delete_file="1")
    await until(w.receiver.receipts)
    assert (await w.call("GET", "/files")).json == []


# --- money ------------------------------------------------------------------------------------------------------------


async def test_without_credit_nothing_is_executed(w: World) -> None:
    document = await w.upload(pdf(2))
    assert (await w.call("POST", "/sandbox/balance", json={"balance": 0.3})).json == {
        "status": "success",
        "balance": 0.3,
    }
    await w.client.submit(document, NUMBER, "")
    with pytest.raises(Refused, match="Insufficient credit"):
        await w.client.submit(document, NUMBER, "")
    assert len(await w.faxes()) == 1
    assert await w.client.balance() == Decimal("0.1")


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'{"balance": "much"}', b'{"balance": -1}', b'{"balance": NaN}'])
async def test_a_balance_that_is_none_is_refused(w: World, body: bytes) -> None:
    got = await w.call("POST", "/sandbox/balance", data=body)
    assert (got.status, got.json["status"]) == (400, "failed")


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_histories_and_files_come_in_pages_newest_first(w: World) -> None:
    documents = [await w.upload() for _ in range(5)]
    jobs = [await w.sent(document) for document in documents]
    for path, name, known in (("/fax-history", "history", jobs), ("/fax", "history", jobs), ("/files", "", documents)):
        pages = []
        for number in range(1, 5):
            got = (await w.call("GET", path, params={"limit": "2", "page": str(number)})).json
            pages.append([entry["id"] for entry in (got[name] if name else got)])
        assert pages == [known[:2:-1], known[2:0:-1], known[:1], []]
    assert len((await w.client.history(1, 3)).entries) == 3


@pytest.mark.parametrize(("limit", "page_", "count"), [("0", "0", 3), ("x", "-1", 3), ("100000", "1", 3), ("2", "", 2)])
async def test_a_limit_that_is_none_counts_as_not_said(w: World, limit: str, page_: str, count: int) -> None:
    document = await w.upload()
    for _ in range(3):
        await w.sent(document)
    got = await w.call("GET", "/fax-history", params={"limit": limit, "page": page_})
    assert len(got.json["history"]) == count


async def test_unknown_faxes_and_documents_are_not_found(w: World) -> None:
    for path in ("/fax/5/status", "/fax/x/status", "/fax/5/costs", "/file-clean", "/file-generate-preview"):
        got = await w.call("GET", path, params={"fax_number": ANYBODY})
        assert (got.status, got.json["status"]) == (404, "failed"), path
    assert (await w.call("GET", "/sandbox/faxes/5/document")).status == 404
    for method, path, status, words in (
        ("GET", "/nothing", 404, "Resource not found"), ("PUT", "/fax", 405, "Method not allowed"),
    ):  # fmt: skip
        got = await w.call(method, path)
        assert (got.status, got.json) == (status, {"status": "failed", "message": words})


async def test_addresses_and_methods_that_are_not_there_are_said_in_json(w: World) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("PUT", "/fax", 405),
        ("GET", "/countries/didgroups/67/provision", 405),
    ):
        got = await w.call(method, path)
        assert (got.status, got.json["status"]) == (status, "failed"), path


async def test_faxes_are_listed_from_a_job_on(w: World) -> None:
    document = await w.upload()
    jobs = [await w.sent(document) for _ in range(3)]
    got = await w.call("GET", "/sandbox/faxes", params={"after": str(jobs[0])})
    assert [fax["fax_job_id"] for fax in got.json["faxes"]] == jobs[1:]
