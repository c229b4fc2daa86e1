"""Received faxes in every shape they may come in."""

from __future__ import annotations

import asyncio
import base64
import errno
import io
import json
import os
import random
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import pytest

from gateway.errors import NoSpace, TryLater
from gateway.model import FaxArrival

from .conftest import PDF, TIFF, TOKEN, Door, Start, until

FIELDS = {
    "uuid": "u-1", "from": "+12025550199", "to": "+12025550100", "time": "2017-08-01 10:00:00", "rsid": "ACME",
    "speed": "14400", "duration": "61", "ecm": "1", "pages": "3", "compression": "MMR",
}  # fmt: skip
ARRIVAL = FaxArrival(
    uuid="u-1", sender="+12025550199", recipient="+12025550100", time="2017-08-01 10:00:00", pages=3, rsid="ACME",
    speed="14400", duration="61", ecm="1", compression="MMR",
)  # fmt: skip
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
B64 = base64.b64encode(PDF).decode()
URL = "https://fax.to/receivefax/api/v1/inbox/4/file?api_key=abc"


def form(*files: tuple[str, bytes | str, dict[str, str]], fields: dict[str, str] = FIELDS) -> aiohttp.MultipartWriter:
    """A multipart form; of a file its name and type where they are given."""
    data = aiohttp.MultipartWriter("form-data")
    for name, value in fields.items():
        data.append(value).set_content_disposition("form-data", name=name)
    for name, content, more in files:
        headers = {"Content-Type": more["content_type"]} if "content_type" in more else None
        disposition = {"name": name, **({"filename": more["filename"]} if "filename" in more else {})}
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        data.append(source, headers).set_content_disposition("form-data", **disposition)
    return data


def part(head: str, content: bytes) -> bytes:
    return head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + content


def fields_as_parts() -> list[bytes]:
    return [part(f'Content-Disposition: form-data; name="{name}"', value.encode()) for name, value in FIELDS.items()]


# --- the ladder -------------------------------------------------------------------------------------------------------

LADDER: dict[str, Any] = {
    "1 a file": lambda: form(("file", PDF, {"filename": "f.pdf", "content_type": "application/pdf"})),
    "1 a file of another type": lambda: form(("file", PDF, {"filename": "x", "content_type": "text/plain"})),
    "2 bytes without a name, typed": lambda: form(("file", PDF, {"content_type": "application/pdf"})),
    "3 the document as text": lambda: form(("file", "%PDF-1.4 x", {})),
    "4 a data URI": lambda: form(("file", f"data:application/pdf;base64,{B64}", {})),
    "5 base64": lambda: form(("file", B64, {})),
    "5 base64 with a file name": lambda: form(("file", B64.encode(), {"filename": "f.pdf"})),
    "7 a TIFF": lambda: form(("file", TIFF, {"filename": "f.tif"})),
    "document": lambda: form(("document", PDF, {"filename": "f.pdf"})),
    "fax": lambda: form(("fax", PDF, {"filename": "f.pdf"})),
    "pdf": lambda: form(("pdf", PDF, {"content_type": "application/pdf"})),
    "any file part": lambda: form(("upload", PDF, {"filename": "f.pdf"})),
    "any typed part": lambda: form(("upload", PDF, {"content_type": "application/octet-stream"})),
    "behind another file": lambda: form(
        ("preview", b"\xff\xd8\xff\xe0jpeg", {"filename": "p.jpg"}), ("file", PDF, {"filename": "f.pdf"})
    ),
    "behind another document": lambda: form(
        ("thumbnail", TIFF, {"filename": "p.tif"}), ("file", PDF, {"filename": "f.pdf"}), ("x", TIFF, {"filename": "q"})
    ),
    "before another one": lambda: form(("file", PDF, {"filename": "f.pdf"}), ("preview", TIFF, {"filename": "f.tif"})),
    "behind an empty file": lambda: form(("preview", b"", {"filename": "p.jpg"}), ("file", PDF, {"filename": "f.pdf"})),
}  # fmt: skip
EXPECTED = {"3 the document as text": b"%PDF-1.4 x", "7 a TIFF": TIFF}


@pytest.mark.parametrize("name", LADDER)
async def test_a_document_in_a_multipart_body(name: str, door: Door) -> None:
    assert await door.post(LADDER[name]()) == 200
    document = EXPECTED.get(name, PDF)
    assert door.sink.arrivals == [(ARRIVAL, document, "image/tiff" if document is TIFF else "application/pdf")]


@pytest.mark.parametrize("names", [("file", "document"), ("file", "file"), ("a", "b")])
async def test_two_documents_are_two_faxes(names: tuple[str, str], door: Door) -> None:
    one, other = names
    assert await door.post(form((one, PDF, {"filename": "f.pdf"}), (other, TIFF, {"filename": "f.tif"}))) == 200
    assert door.sink.arrivals == [(ARRIVAL, PDF, "application/pdf"), (ARRIVAL, TIFF, "image/tiff")]


@pytest.mark.parametrize("how", ["json", "form"])
async def test_two_documents_as_text_are_two_faxes(how: str, door: Door) -> None:
    fields = {**FIELDS, "file": B64, "pdf": base64.b64encode(TIFF).decode()}
    body, headers = (
        (json.dumps(fields), {"Content-Type": "application/json"}) if how == "json" else (urlencode(fields), FORM)
    )
    assert await door.post(body.encode(), headers=headers) == 200
    assert door.sink.arrivals == [(ARRIVAL, PDF, "application/pdf"), (ARRIVAL, TIFF, "image/tiff")]


async def test_bytes_without_a_name_or_a_type(door: Door) -> None:
    answer = await door.raw(
        door.multipart(*fields_as_parts(), part('Content-Disposition: form-data; name="file"', PDF))
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert door.sink.arrivals == [(ARRIVAL, PDF, "application/pdf")]


async def test_a_transfer_encoding_is_undone(door: Door) -> None:
    lines = base64.encodebytes(PDF)
    head = 'Content-Disposition: form-data; name="file"; filename="f.pdf"\nContent-Transfer-Encoding: base64'
    number = 'Content-Disposition: form-data; name="to"\nContent-Transfer-Encoding: '
    answer = await door.raw(
        door.multipart(
            *fields_as_parts()[:2], part(f"{number}base64", base64.b64encode(b"+12025550100")), part(head, lines)
        )
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    (arrival, document, _) = door.sink.arrivals[0]
    assert document == PDF
    assert arrival.recipient == "+12025550100"
    for unknown, content in (("x-own", b"+12025550100"), ("base64", b"+1202555010")):
        await door.raw(door.multipart(*fields_as_parts()[:2], part(f"{number}{unknown}", content)))
        assert door.sink.arrivals[-1][0].recipient == content.decode()


TEXTS: dict[str, str] = {
    "4 a data URI": quote(f"data:application/pdf;base64,{B64}", safe=""),
    "4 a data URI in capitals": quote(f"DATA:application/pdf;name=f.pdf;BASE64,{B64}", safe=""),
    "5 base64": quote(B64, safe=""),
    "5 base64 with blanks for +": B64.replace("=", "%3D"),
    "5 base64 for URLs": quote(base64.urlsafe_b64encode(PDF).decode(), safe=""),
    "5 base64 without its end": quote(B64.rstrip("="), safe=""),
    "5 base64 in lines": quote(base64.encodebytes(PDF).decode().replace("\n", "\r\n"), safe=""),
    "5 base64 with blanks around": quote(f"\n  {B64}  ", safe=""),
    "3 the bytes, encoded": quote(PDF, safe=""),
    "7 a TIFF, encoded": quote(TIFF, safe=""),
}


@pytest.mark.parametrize("name", TEXTS)
async def test_a_document_in_a_form(name: str, door: Door) -> None:
    assert "+" in B64
    body = f"{urlencode(FIELDS)}&file={TEXTS[name]}"
    assert await door.post(body.encode(), headers=FORM) == 200
    document = TIFF if "TIFF" in name else PDF
    assert door.sink.arrivals == [(ARRIVAL, document, "image/tiff" if document is TIFF else "application/pdf")]


@pytest.mark.parametrize("name", ["file", "document", "fax", "pdf"])
async def test_a_document_in_json(name: str, door: Door) -> None:
    assert await door.post(json={**FIELDS, "pages": 3, name: B64}) == 200
    assert await door.post(json={**FIELDS, name: PDF.decode("latin-1")}) == 200
    assert await door.post(json={**FIELDS, name: f"data:application/pdf;base64,{B64}"}) == 200
    assert door.sink.arrivals == [(ARRIVAL, PDF, "application/pdf")] * 3


async def test_a_large_form_and_a_large_json_are_read_in_a_worker(door: Door) -> None:
    large = b"%PDF-1.4\n" + random.Random(1).randbytes(1_000_000)
    text = base64.b64encode(large).decode()
    as_json = io.BytesIO(json.dumps({**FIELDS, "file": text}).encode())
    assert await door.post(as_json, headers={"Content-Type": "application/json"}) == 200
    assert await door.post(io.BytesIO(urlencode({**FIELDS, "file": text}).encode()), headers=FORM) == 200
    assert await door.post(form(("file", text.encode(), {"content_type": "text/plain"}))) == 200
    assert door.parsed == ["json", "form", "text"]
    assert door.sink.arrivals == [(ARRIVAL, large, "application/pdf")] * 3


@pytest.mark.parametrize(("document", "kind"), [(PDF, "application/pdf"), (TIFF, "image/tiff")])
@pytest.mark.parametrize("declared", ["application/pdf", "application/octet-stream", "text/plain"])
async def test_a_body_that_is_the_document(document: bytes, kind: str, declared: str, door: Door) -> None:
    assert await door.post(document, params=FIELDS, headers={"Content-Type": declared}) == 200
    assert door.sink.arrivals == [(ARRIVAL, document, kind)]


@pytest.mark.parametrize("how", ["form", "multipart", "typed multipart", "json", "query"])
async def test_6_an_address_is_kept_to_be_fetched(how: str, door: Door) -> None:
    fields = {**FIELDS, "file": URL}
    status = await {
        "form": lambda: door.post(fields),
        "multipart": lambda: door.post(form(fields=fields)),
        "typed multipart": lambda: door.post(form(("file", URL, {"filename": "x", "content_type": "text/uri-list"}))),
        "json": lambda: door.post(json=fields),
        "query": lambda: door.post(params=fields),
    }[how]()
    assert status == 200
    ((arrival, document, kind),) = door.sink.arrivals
    assert (arrival.file_url, document, kind) == (URL, None, "")


NO_DOCUMENT: dict[str, Any] = {
    "8 no file": dict(FIELDS),
    "8 an empty file": lambda: form(("file", b"", {"filename": "f.pdf"})),
    "8 an empty field": {**FIELDS, "file": ""},
    "8 rubbish": {**FIELDS, "file": "?" * 5000},
    "8 a rubbish file": lambda: form(("file", b"GIF89a" * 999, {"filename": "f.pdf"})),
    "8 base64 of rubbish": {**FIELDS, "file": base64.b64encode(b"GIF89a" * 999).decode()},
    "8 base64, then rubbish": {**FIELDS, "file": B64[:-3] + "?!"},
    "8 base64, then more behind its end": {**FIELDS, "file": B64.rstrip("=") + "=" + B64},
    "8 a data URI of another kind": {**FIELDS, "file": "data:text/plain,%PDF-"},
    "8 an address without end": {**FIELDS, "file": "https://fax.to/" + "x" * 3000},
    "8 bytes that became characters": {**FIELDS, "file": "%PDF-1.4 \ufffd\ufffd"},
}


@pytest.mark.parametrize("name", NO_DOCUMENT)
async def test_a_fax_whose_document_did_not_come_is_known_all_the_same(name: str, door: Door) -> None:
    body = NO_DOCUMENT[name]
    if name == "8 bytes that became characters":
        assert await door.post(json=body) == 200
    else:
        assert await door.post(body() if callable(body) else body) == 200
    assert door.sink.arrivals == [(ARRIVAL, None, "")]


async def test_a_fax_may_come_without_any_word(door: Door) -> None:
    assert await door.post(form(("file", PDF, {"filename": "f.pdf"}), fields={})) == 200
    assert door.sink.arrivals == [(FaxArrival("", "", ""), PDF, "application/pdf")]


@pytest.mark.parametrize(
    "fields", [{"uuid": "u"}, {"from": "1", "to": "2"}, {"file": "", "to": "2"}, {"file": "", "from": "1"}]
)
async def test_a_fax_may_come_with_few_words(fields: dict[str, str], door: Door) -> None:
    assert await door.post(fields) == 200
    assert len(door.sink.arrivals) == 1


async def test_rubbish_without_any_word_is_refused(door: Door) -> None:
    assert await door.post(form(("file", b"GIF89a" * 99, {"filename": "f.pdf"}), fields={})) == 400
    assert door.sink.arrivals == []


@pytest.mark.parametrize(
    ("sent", "read"),
    [("Bücker GmbH".encode(), "Bücker GmbH"), (b"B\xfccker GmbH", "Bücker GmbH"), ("株式会社".encode(), "株式会社")],
)
async def test_a_station_id_is_read_in_utf8_or_as_western(sent: bytes, read: str, door: Door) -> None:
    part = b'Content-Disposition: form-data; name="'
    assert (await door.raw(door.multipart(part + b'uuid"\r\n\r\nu', part + b'rsid"\r\n\r\n' + sent))).startswith(
        b"HTTP/1.1 200 "
    )
    assert door.sink.arrivals[0][0].rsid == read


async def test_a_blank_where_a_plus_was_is_put_back(door: Door) -> None:
    body = b"uuid=u&from=+12025550199&to=+12025550100"
    assert await door.post(body, headers=FORM) == 200
    (arrival, _, _) = door.sink.arrivals[0]
    assert (arrival.sender, arrival.recipient) == ("+12025550199", "+12025550100")


async def test_words_of_a_stranger_are_cut_and_cleaned(door: Door) -> None:
    words = {name: f" {name}\0\r\nBcc: x " + "y" * 3000 for name in FIELDS}
    assert await door.post(words) == 200
    (arrival, _, _) = door.sink.arrivals[0]
    for value in (arrival.uuid, arrival.sender, arrival.recipient, arrival.time, arrival.rsid, arrival.ecm):
        assert value.isprintable()
        assert len(value) <= 200


# --- trouble ----------------------------------------------------------------------------------------------------------


async def test_a_full_disk_is_503(door: Door) -> None:
    for body in (form(("file", PDF, {"filename": "f.pdf"})), FIELDS):
        door.sink.no_draft = NoSpace("full")
        assert await door.post(body) == 503
    door.sink.no_draft = None
    door.sink.trouble = TryLater("locked")
    assert await door.post(form(("file", PDF, {"filename": "f.pdf"}))) == 503
    assert door.sink.arrivals == []
    assert door.left_behind() == []


async def test_a_disk_that_fills_while_a_document_comes_is_503(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def full(descriptor: int, data: Any) -> int:
        if len(data) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full)
    assert await door.post(form(("file", PDF, {"filename": "f.pdf"}))) == 503
    assert await door.post(PDF) == 503
    assert door.left_behind() == []


async def test_a_worker_in_trouble_is_503(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(kind: str, path: str) -> dict[str, Any]:
        raise TryLater("the worker died")

    monkeypatch.setattr(door.server, "_parse", broken)
    assert await door.post({**FIELDS, "file": "A" * 500_000}) == 503
    assert door.left_behind() == []


async def test_no_answer_before_it_is_durable(door: Door) -> None:
    door.sink.wait.clear()
    asking = asyncio.create_task(door.post(form(("file", PDF, {"filename": "f.pdf"}))))
    await asyncio.wait_for(door.sink.reached.wait(), 30)
    await asyncio.sleep(0.1)  # a settle: nothing is said meanwhile
    assert not asking.done()
    door.sink.wait.set()
    assert await asking == 200
    assert len(door.sink.arrivals) == 1


async def test_a_client_that_leaves_does_not_undo_what_it_brought(door: Door) -> None:
    door.sink.wait.clear()
    _, writer = await asyncio.open_connection(*door.place)
    head = 'Content-Disposition: form-data; name="file"; filename="f.pdf"'
    writer.write(door.multipart(*fields_as_parts(), part(head, PDF)))
    await writer.drain()
    await asyncio.wait_for(door.sink.reached.wait(), 30)
    writer.close()
    await writer.wait_closed()
    door.sink.wait.set()
    await until(lambda: door.sink.arrivals)
    assert door.sink.arrivals == [(ARRIVAL, PDF, "application/pdf")]


async def test_a_stop_waits_for_what_has_begun(start: Start) -> None:
    door = await start()
    door.sink.wait.clear()
    asking = asyncio.create_task(door.post(FIELDS))
    await asyncio.wait_for(door.sink.reached.wait(), 30)
    stopping = asyncio.create_task(door.server.stop())
    await asyncio.sleep(0.05)
    with pytest.raises(aiohttp.ClientConnectionError):
        await door.post(FIELDS)
    assert not stopping.done()
    door.sink.wait.set()
    assert await asking == 200
    await stopping


async def test_json_and_token_stay_out_of_the_way(door: Door) -> None:
    """The path is the secret; a callback that names the token elsewhere gains nothing by it."""
    url = f"http://{door.server.address}/callback/wrong?token={TOKEN}"
    assert await door.post(json.dumps({"token": TOKEN, **FIELDS}).encode(), url=url) == 404
