"""Strangers learn nothing, broken and oversized bodies cost nothing, and no file stays behind."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import itertools
import json
import logging
import socket
import struct
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog

from gateway.edge.seldom import Seldom

from .conftest import PDF, TOKEN, Door, Start, until
from .test_callbacks_inbound import FIELDS, FORM, form, part

FORM_LINE = b"Content-Type: application/x-www-form-urlencoded\r\n"
FILE = 'Content-Disposition: form-data; name="file"; filename="f.pdf"'


# --- the token --------------------------------------------------------------------------------------------------------

WRONG = [
    "wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "x" * len(TOKEN), "%20", "%2e%2e", "%ff", "%00", TOKEN + "%00",
    "x" * 4000,
]  # fmt: skip


@pytest.mark.parametrize("token", WRONG)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"])
async def test_a_wrong_token_is_a_place_that_is_not_there(token: str, method: str, door: Door) -> None:
    answer = await door.raw(door.request(b"fax_job_id=1&status=success", b"", token=token, method=method))
    nowhere = await door.raw(door.request(b"", b"", token="").replace(b"/callback/", b"/nowhere"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert body in (nowhere.partition(b"\r\n\r\n")[2], b"")
    assert _without_date(head) == _without_date(nowhere.partition(b"\r\n\r\n")[0])
    assert door.sink.receipts == []


def _without_date(head: bytes) -> list[bytes]:
    return [
        line for line in head.split(b"\r\n") if not line.startswith((b"Date:", b"Content-Length:", b"Content-Type:"))
    ]


async def test_bytes_that_are_no_text_in_the_path_are_no_token_either(door: Door) -> None:
    raw = door.request(b"", b"").replace(TOKEN.encode(), b"\xff\xfe\xe9")
    assert (await door.raw(raw)).split(b" ")[1] in (b"400", b"404")


@pytest.mark.parametrize(
    "path", ["/callback/", "/callback", "/", f"/{TOKEN}", f"/x/callback/{TOKEN}", f"/callback/{TOKEN}/x"]
)
async def test_no_other_path_leads_there(path: str, door: Door) -> None:
    assert await door.post({"fax_job_id": "1", "status": "success"}, url=f"http://{door.server.address}{path}") == 404


@pytest.mark.parametrize("path", [f"/callback/{TOKEN}/", f"//callback/{TOKEN}", f"//callback/{TOKEN}//"])
async def test_slashes_too_many_do_not_matter(path: str, door: Door) -> None:
    raw = door.request(b"fax_job_id=1&status=success", FORM_LINE).replace(f"/callback/{TOKEN}".encode(), path.encode())
    assert (await door.raw(raw)).startswith(b"HTTP/1.1 200 ")
    assert len(door.sink.receipts) == 1


async def test_two_tokens_are_good_while_one_replaces_the_other(start: Start) -> None:
    door = await start(tokens=(TOKEN, "n" * 24))
    for token, status in ((TOKEN, 200), ("n" * 24, 200), ("o" * 24, 404)):
        assert await door.post({}, url=f"http://{door.server.address}/callback/{token}") == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_only_get_and_post_are_taken(method: str, door: Door) -> None:
    assert (await door.raw(door.request(b"", b"", method=method))).startswith(b"HTTP/1.1 405 ")


async def test_a_look_at_the_address_has_no_effect(door: Door) -> None:
    look = door.request(b"", b"", method="HEAD").replace(
        TOKEN.encode(), TOKEN.encode() + b"?fax_job_id=1&status=success"
    )
    assert (await door.raw(look)).startswith(b"HTTP/1.1 200 ")
    assert door.sink.receipts == []


async def test_a_body_behind_a_wrong_token_is_not_stored(door: Door) -> None:
    head = door.request(b"", b"").replace(b"Content-Length: 0", b"Content-Length: 1000000").replace(
        TOKEN.encode(), b"w" * 24
    )  # fmt: skip
    reader, writer = await asyncio.open_connection(*door.place)
    writer.write(head + PDF)
    await writer.drain()
    assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 404 ")
    assert door.left_behind() == []
    writer.close()
    await writer.wait_closed()


async def test_guessing_tokens_does_not_fill_the_log(door: Door) -> None:
    with structlog.testing.capture_logs() as lines:
        for n in range(50):
            assert await door.post({}, url=f"http://{door.server.address}/callback/guess{n}") == 404
    (line,) = lines
    assert (line["client"], line["times"]) == ("127.0.0.1", 1)


def test_what_happens_again_and_again_is_told_now_and_then_with_how_often() -> None:
    now = 0.0
    with structlog.testing.capture_logs() as lines:
        seldom = Seldom(structlog.get_logger(), steady=lambda: now)
        for n in range(25):
            now = float(n)
            seldom.warning("knock", at=n)
        seldom.warning("ring")
    assert [(line["event"], line.get("at"), line["times"]) for line in lines] == [
        ("knock", 0, 1), ("knock", 10, 10), ("knock", 20, 10), ("ring", None, 1)
    ]  # fmt: skip


async def test_no_log_line_holds_the_token(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    good = f"POST /callback/{TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".encode()
    nasty = [
        f"POST /callback/{TOKEN} HTTP/9.9\r\n\r\n".encode(),
        f"POST /callback/{TOKEN}\r\n\r\n".encode(),
        f"P\x01T /callback/{TOKEN} HTTP/1.1\r\n\r\n".encode(),
        f"POST /callback/{TOKEN} {'x' * 9000} HTTP/1.1\r\n\r\n".encode(),
        good + b"Content-Length: x\r\n\r\n",
        good + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        good + f"Referer: http://x/callback/{TOKEN}\r\nX\0: y\r\n\r\n".encode(),
        good + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + TOKEN.encode(),
        good + b"Content-Length: 3\r\n\r\nabc" + good,
        good + b"X: " + b"y" * 9000 + b"\r\n\r\n",
        door.request(b"[", b"Content-Type: application/json\r\n"),
        door.multipart(b"broken" + TOKEN.encode()),
    ]
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.DEBUG):
        for data in nasty:
            await door.raw(data)
        door.sink.trouble = RuntimeError("bug")
        assert await door.post({"fax_job_id": "1", "status": "success"}) == 503
        logging.getLogger("gateway.callbacks").warning("a word of the library that is none on a request")
    assert "a word of the library" in caplog.text
    assert any(line["event"] == "callback failed" for line in lines)
    assert TOKEN not in caplog.text
    assert TOKEN not in str(lines)


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize("kind", ["file", "text", "raw", "base64", "form", "json"])
async def test_a_fax_up_to_the_cap_is_taken_and_one_beyond_is_413(kind: str, over: int, start: Start) -> None:
    size = 200_000
    door = await start(max_file=size)
    document = b"%PDF-1.4\n" + b"\xfb\xff\xbf" * size
    document = document[: size + over]
    text = base64.b64encode(document).decode()
    status = await {
        "file": lambda: door.post(form(("file", document, {"filename": "f"}))),
        "text": lambda: door.post(form(("file", document, {"content_type": "application/pdf"}))),
        "raw": lambda: door.post(io.BytesIO(document), params=FIELDS),
        "base64": lambda: door.post(form(("file", text, {}))),
        "form": lambda: door.post(io.BytesIO(urlencode({**FIELDS, "file": text}).encode()), headers=FORM),
        "json": lambda: door.post(io.BytesIO(json.dumps({**FIELDS, "file": text}).encode())),
    }[kind]()
    assert status == (413 if over else 200)
    assert [got for _, got, _ in door.sink.arrivals] == ([] if over else [document])


async def _status(door: Door, headers: bytes, chunks: Any) -> bytes:
    """Write chunks until the server answers or closes; returns the status line."""
    reader, writer = await asyncio.open_connection(*door.place)
    writer.write(door.request(b"", b"Transfer-Encoding: chunked\r\n" + headers))
    line = asyncio.create_task(reader.readline())
    try:
        async with asyncio.timeout(60):
            for chunk in chunks:
                if line.done():
                    break
                writer.write(b"%x\r\n" % len(chunk) + chunk + b"\r\n")
                await writer.drain()
            return await line
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("headers", "start_with"),
    [
        (b"", b"a="),
        (b"Content-Type: application/json\r\n", b'{"file":"'),
        (b"", b"%PDF-"),
        (b"Content-Type: multipart/form-data; boundary=B\r\n", b"--B\r\n" + part(FILE, b"%PDF-")),
        (b"Content-Type: multipart/form-data; boundary=B\r\n", b"--B\r\n" + part('Content-Disposition: form-data; name="file"', b"x")),
    ],
)  # fmt: skip
async def test_an_endless_body_ends_at_the_cap(headers: bytes, start_with: bytes, start: Start) -> None:
    door = await start(max_file=300_000)
    chunks = itertools.chain([start_with], itertools.repeat(b"x" * 65536))
    assert (await _status(door, headers, chunks)).startswith(b"HTTP/1.1 413 ")
    await until(lambda: door.left_behind() == [])


async def test_many_parts_together_are_no_way_around_the_cap(start: Start) -> None:
    door = await start(max_file=300_000)
    head = b"Content-Type: multipart/form-data; boundary=B\r\n"
    each = b"--B\r\n" + part('Content-Disposition: form-data; name="x"; filename="y"', b"x" * 250_000) + b"\r\n"
    assert (await _status(door, head, itertools.repeat(each, 20))).startswith(b"HTTP/1.1 413 ")
    await until(lambda: door.left_behind() == [])


async def test_a_length_beyond_the_cap_is_refused_before_the_body_comes(start: Start) -> None:
    door = await start(max_file=1000)
    reader, writer = await asyncio.open_connection(*door.place)
    writer.write(door.request(b"", FORM_LINE).replace(b"Content-Length: 0", b"Content-Length: 99999999999"))
    await writer.drain()
    assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("token", [TOKEN, "of-a-stranger"])
async def test_a_body_that_is_not_what_it_says_is_no_trouble_of_ours(
    door: Door, caplog: pytest.LogCaptureFixture, token: str
) -> None:
    headers = b"Content-Encoding: gzip\r\n" + FORM_LINE
    answer = await door.raw(door.request(b"uuid=u-1&from=1&to=2", headers, token=token))
    assert answer.startswith(b"HTTP/1.1 4")
    await asyncio.sleep(0.1)
    assert caplog.text == ""


async def test_a_compressed_body_is_measured_unpacked(start: Start) -> None:
    door = await start(max_file=1 << 20)
    bomb = gzip.compress(b"%PDF-" + b"\0" * (64 << 20))
    assert len(bomb) < 100_000
    answer = await door.raw(door.request(bomb, b"Content-Encoding: gzip\r\n"))
    assert answer.startswith(b"HTTP/1.1 413 ")
    small = gzip.compress(b"uuid=u-1&from=1&to=2")
    assert (await door.raw(door.request(small, b"Content-Encoding: gzip\r\n" + FORM_LINE))).startswith(b"HTTP/1.1 200 ")
    assert len(door.sink.arrivals) == 1


@pytest.mark.parametrize(("count", "status"), [(32, 200), (33, 400), (5000, 400)])
async def test_parts_are_counted(count: int, status: int, door: Door) -> None:
    parts = [part(f'Content-Disposition: form-data; name="f{n}"', b"x") for n in range(count - 1)]
    parts.append(part('Content-Disposition: form-data; name="uuid"', b"u"))
    assert (await door.raw(door.multipart(*parts))).split(b" ")[1] == str(status).encode()
    assert len(door.sink.arrivals) == (status == 200)


@pytest.mark.parametrize(("count", "status"), [(99, 200), (100, 400), (100_000, 400)])
async def test_fields_are_counted(count: int, status: int, start: Start) -> None:
    door = await start(max_file=4 << 20)
    fields = {**{f"f{n}": "x" for n in range(count - 1)}, "uuid": "u", "x": "y"}
    for body in ("&".join(f"{n}={v}" for n, v in fields.items()), json.dumps(fields), "&" * count + "uuid=u"):
        assert await door.post(io.BytesIO(body.encode())) == status


async def test_a_field_has_a_cap_of_its_own(door: Door) -> None:
    fine = part('Content-Disposition: form-data; name="uuid"', b"x" * (64 << 10))
    assert (await door.raw(door.multipart(fine))).startswith(b"HTTP/1.1 200 ")
    assert (await door.raw(door.multipart(fine + b"x"))).startswith(b"HTTP/1.1 400 ")
    assert len(door.sink.arrivals) == 1


# --- broken bodies ----------------------------------------------------------------------------------------------------

WHOLE = b"--B\r\n" + part('Content-Disposition: form-data; name="uuid"', b"u") + b"\r\n--B\r\n" + part(FILE, PDF)
BROKEN: dict[str, bytes] = {
    "without its end": WHOLE,
    "without its end, after a boundary": WHOLE + b"\r\n--B\r\n",
    "cut in the end": WHOLE + b"\r\n--B",
    "cut in the end's dashes": WHOLE + b"\r\n--B-",
    "cut in the document": WHOLE[:-1000],
    "cut in the headers": WHOLE[:90],
    "no boundary at all": PDF,
    "another boundary": WHOLE.replace(b"--B", b"--C") + b"\r\n--C--\r\n",
    "only the preamble": b"This is a multipart message\r\n" * 10,
    "a part within a part": b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\nx\r\n--C--\r\n\r\n--B--\r\n",
    "a header line without end": b"--B\r\nContent-Disposition: form-data; name=\"" + b"x" * 20_000 + b'"\r\n\r\nx\r\n--B--\r\n',
    "too many header lines": b"--B\r\n" + b"X: y\r\n" * 500 + b"\r\nx\r\n--B--\r\n",
    "a header that is none": b"--B\r\n\0\r\n\r\nx\r\n--B--\r\n",
    "a charset that is none": (
        b"--B\r\nContent-Disposition: form-data; name=\"_charset_\"\r\n\r\n" + b"u" * 99 + b"\r\n--B--\r\n"
    ),
    "a negative length": b"--B\r\nContent-Length: -5\r\n\r\nx\r\n--B--\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_multipart_body_is_refused_and_leaves_nothing(name: str, door: Door) -> None:
    body = BROKEN[name]
    subtype = b"mixed" if "length" in name else b"form-data"
    answer = await door.raw(door.request(body, b"Content-Type: multipart/%s; boundary=B\r\n" % subtype))
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert door.sink.arrivals == []
    assert door.left_behind() == []


async def test_a_boundary_that_is_too_long_is_refused(door: Door) -> None:
    answer = await door.raw(door.request(b"x", b"Content-Type: multipart/form-data; boundary=%s\r\n" % (b"B" * 99)))
    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_chunks_that_are_none_are_refused(door: Door) -> None:
    for headers in (FORM_LINE, b"Content-Type: multipart/form-data; boundary=B\r\n"):
        raw = door.request(b"", b"Transfer-Encoding: chunked\r\n" + headers) + b"5\r\nuuid=\r\nzz\r\n\r\n"
        assert (await door.raw(raw)).split(b" ")[1] == b"400"
    assert door.sink.arrivals == []


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("headers", [b"Content-Type: multipart/form-data; boundary=B\r\n", FORM_LINE])
async def test_a_connection_cut_in_the_middle_leaves_no_file(headers: bytes, reset: bool, door: Door) -> None:
    _, writer = await asyncio.open_connection(*door.place)
    body = b"--B\r\n" + part(FILE, PDF) if b"multipart" in headers else b"file=" + b"A" * 200_000
    writer.write(door.request(body + b"x" * 1000, headers)[:-1000])
    await writer.drain()
    await until(door.left_behind)
    if reset:
        raw: socket.socket = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await until(lambda: door.left_behind() == [])
    assert door.sink.arrivals == []


async def test_a_body_that_comes_too_slowly_is_for_later(start: Start) -> None:
    door = await start(body_timeout=0.3)
    reader, writer = await asyncio.open_connection(*door.place)
    writer.write(door.request(WHOLE + b"\r\n--B--\r\n", b"Content-Type: multipart/form-data; boundary=B\r\n")[:-10])
    await writer.drain()
    assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 503 ")
    assert door.left_behind() == []
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("begin", [b"", b"POST /call", f"POST /callback/{TOKEN} HTTP/1.1\r\nHost: x\r\nX: ".encode()])
async def test_a_connection_without_a_whole_request_is_closed(begin: bytes, start: Start) -> None:
    door = await start(idle_timeout=0.3)
    reader, writer = await asyncio.open_connection(*door.place)
    writer.write(begin)
    await writer.drain()
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await writer.wait_closed()


async def test_connections_are_counted(start: Start) -> None:
    door = await start(max_connections=3)
    held = [await asyncio.open_connection(*door.place) for _ in range(3)]
    with structlog.testing.capture_logs() as lines:
        assert await door.raw(door.request(b"", b"")) == b""
        assert await door.raw(door.request(b"", b"")) == b""
    (line,) = lines
    assert line["event"] == "too many connections, see http.callbacks.max_connections"
    for _, writer in held:
        writer.close()
        await writer.wait_closed()

    async def free() -> bool:
        return (await door.raw(door.request(b"", b""))).startswith(b"HTTP/1.1 200 ")

    async with asyncio.timeout(30):
        while not await free():
            await asyncio.sleep(0.01)


async def test_connections_that_come_at_once_are_counted(start: Start) -> None:
    door = await start(max_connections=3)
    came = await asyncio.gather(*(asyncio.open_connection(*door.place) for _ in range(30)))
    ends = [asyncio.create_task(reader.read()) for reader, _ in came]
    async with asyncio.timeout(30):
        while sum(each.done() for each in ends) < 27:
            await asyncio.sleep(0.01)
    for (_, writer), end in zip(came, ends, strict=True):
        if not end.done():
            writer.write(door.request(b"", b""))
            assert (await asyncio.wait_for(end, 30)).startswith(b"HTTP/1.1 200 ")
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in came), return_exceptions=True)


async def test_requests_follow_each_other_on_one_connection(door: Door) -> None:
    one = door.request(b"fax_job_id=1&status=failed", FORM_LINE).replace(b"Connection: close\r\n", b"")
    last = door.request(b"fax_job_id=2&status=failed", FORM_LINE)
    answer = await door.raw(one + one + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert [receipt.provider_ref for receipt in door.sink.receipts] == [1, 1, 2]
