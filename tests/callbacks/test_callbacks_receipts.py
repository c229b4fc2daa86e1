"""Receipts in every shape they may come in, and what is neither receipt nor fax."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest

from gateway.errors import TryLater
from gateway.model import Receipt, Verdict

from .conftest import Door

FIELDS = {
    "fax_job_id": "223561", "status": "failed", "msg_code": "no_answer",
    "message": "Fax Failed - No Answer from Fax machine",
}  # fmt: skip
RECEIPT = Receipt(223561, Verdict.FAILED, "no_answer", FIELDS["message"], 1000.0)


def _parts(fields: dict[str, str]) -> aiohttp.MultipartWriter:
    form = aiohttp.MultipartWriter("form-data")
    for name, value in fields.items():
        form.append(value).set_content_disposition("form-data", name=name)
    return form


SHAPES: dict[str, dict[str, Any]] = {
    "urlencoded": {"data": FIELDS},
    "multipart": {"data": _parts},
    "JSON": {"json": FIELDS},
    "JSON with a number": {"json": {**FIELDS, "fax_job_id": 223561}},
    "JSON with a float": {"json": {**FIELDS, "fax_job_id": 223561.0, "extra": None, "more": [1]}},
    "JSON by another name": {
        "data": json.dumps(FIELDS).encode(), "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    },
    "JSON behind a byte order mark": {"data": b"\xef\xbb\xbf " + json.dumps(FIELDS).encode()},
    "text": {"data": urlencode(FIELDS).encode(), "headers": {"Content-Type": "text/plain"}},
    "no type": {"data": urlencode(FIELDS).encode(), "skip_auto_headers": ["Content-Type"]},
    "query": {"params": FIELDS},
    "query, and an empty body that says multipart": {
        "params": FIELDS, "data": b"", "headers": {"Content-Type": "multipart/form-data"},
    },
    "urlencoded that says multipart": {
        "data": urlencode(FIELDS).encode(), "headers": {"Content-Type": "multipart/form-data"},
    },
    "in chunks": {"data": urlencode(FIELDS).encode(), "chunked": True},
    "with a document nobody asked for": {"data": {**FIELDS, "file": "%PDF-1.4"}},
    "with a document of its own": {"params": FIELDS, "data": b"%PDF-1.4"},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
async def test_a_receipt_is_read_in_every_shape(shape: dict[str, Any], door: Door) -> None:
    shape = {**shape, "data": _parts(FIELDS)} if shape.get("data") is _parts else shape
    assert await door.post(**shape) == 200
    assert door.sink.receipts == [RECEIPT]
    assert door.sink.arrivals == []
    assert door.parsed == []  # small bodies wait for no worker


async def test_a_receipt_by_get(door: Door) -> None:
    async with door.client.get(door.url, params=FIELDS) as answer:
        assert answer.status == 200
        assert await answer.text() == "OK\n"
    assert door.sink.receipts == [RECEIPT]


@pytest.mark.parametrize("kind", ["data", "json"])
async def test_the_body_wins_over_the_query(kind: str, door: Door) -> None:
    query = {"fax_job_id": "1", "status": "success", "msg_code": "ok", "message": "from the query"}
    assert (
        await door.post(params=query, **{kind: {"fax_job_id": "223561", "status": "failed", "msg_code": "busy"}}) == 200
    )
    assert door.sink.receipts == [Receipt(223561, Verdict.FAILED, "busy", "from the query", 1000.0)]


async def test_a_receipt_told_twice_is_taken_twice(door: Door) -> None:
    assert [await door.post(FIELDS) for _ in range(2)] == [200, 200]
    assert door.sink.receipts == [RECEIPT, RECEIPT]  # the store knows them for the same


async def test_a_text_in_another_charset_is_read_as_western(door: Door) -> None:
    body = b"fax_job_id=5&status=failed&message=can%92t+say%00%0d%0aX: y"
    assert await door.post(body, headers={"Content-Type": "application/x-www-form-urlencoded"}) == 200
    assert door.sink.receipts[0].text == "can’t say X: y"


NOTHING: dict[str, dict[str, Any]] = {
    "an empty body": {},
    "an empty form": {"data": {}},
    "an empty body in chunks": {"data": b"", "chunked": True},
    "an empty object": {"json": {}},
    "a test post": {"data": {"test": "1"}},
    "a test of a fax": {"data": {"uuid": "", "from": "", "to": "", "file": ""}},
    "an id that is none": {"data": {**FIELDS, "fax_job_id": "abc"}},
    "an id 0": {"data": {**FIELDS, "fax_job_id": "0"}},
    "words": {"data": b"hello"},
    "only signs": {"data": b"&=&==&"},
    "an empty query": {"params": {"": ""}},
}


@pytest.mark.parametrize("shape", NOTHING.values(), ids=NOTHING.keys())
async def test_what_says_nothing_we_know_is_answered_and_forgotten(shape: dict[str, Any], door: Door) -> None:
    assert await door.post(**shape) == 200
    assert door.sink.receipts == []
    assert door.sink.arrivals == []


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"{", b'{"a":', b'{"a":' * 3000, b"{" + b'"a":1,' * 5 + b"}", b"nul"])
async def test_what_says_it_is_json_and_is_none_is_refused(body: bytes, door: Door) -> None:
    assert await door.post(body, headers={"Content-Type": "application/json"}) == 400


@pytest.mark.parametrize("trouble", [TryLater("full"), RuntimeError("bug"), OSError(5, "I/O"), TimeoutError()])
async def test_trouble_of_ours_is_503_so_that_it_is_told_again(trouble: Exception, door: Door) -> None:
    door.sink.trouble = trouble
    async with door.client.post(door.url, data=FIELDS) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "60"
    door.sink.trouble = None
    assert await door.post(FIELDS) == 200
    assert door.sink.receipts == [RECEIPT]
