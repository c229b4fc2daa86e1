"""Every answer to the send is a clear yes, a clear no or unknown, and the send is made once whatever is answered."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
from decimal import Decimal
from urllib.parse import parse_qs

import aiohttp
import pytest
import trustme

from gateway.errors import GatewayError, KeyRefused, NotFound, OutcomeUnknown, Refused, SlowDown, TryLater
from gateway.model import FaxNumber
from gateway.ports import Submitted
from gateway.provider.calls import Calls
from gateway.provider.faxto import FaxTo, FaxToSettings

from .wire import KEY, Connection, Script, answering, http, serve

NUMBER = FaxNumber("+15551234567")
YES = b'{"status":"executed","fax_job_id":200,"user_cash_balance":100,"cost":0.15}'


async def submit(base: str, *, timeout: float = 20.0, key: str = KEY) -> Submitted | GatewayError:
    provider = FaxTo(FaxToSettings(base_url=base, api_key=key, timeout=timeout, rate=0))
    try:
        return await provider.submit(300, NUMBER, "")
    except GatewayError as error:
        return error
    finally:
        await provider.close()


def clear(body: bytes, status: int = 200, *headers: str) -> Script:
    return answering(http(status, body, *headers))


# --- whole answers ----------------------------------------------------------------------------------------------------

YESES: dict[str, tuple[bytes, int]] = {
    "as documented": (http(200, YES), 200),
    "the word in capitals": (http(200, b'{"status":"EXECUTED","fax_job_id":7}'), 7),
    "another word": (http(200, b'{"status":"Success","fax_job_id":7}'), 7),
    "queued": (http(200, b'{"status":"queued","fax_job_id":7}'), 7),
    "an unknown word": (http(200, b'{"status":"hm","fax_job_id":7}'), 7),
    "no word": (http(200, b'{"fax_job_id":7}'), 7),
    "a word that is no text": (http(200, b'{"status":["executed"],"fax_job_id":7}'), 7),
    "201": (http(201, YES), 200),
    "202": (http(202, YES), 200),
    "the id as text": (http(200, b'{"status":"executed","fax_job_id":"223561"}'), 223561),
    "the id as text with blanks": (http(200, b'{"status":"executed","fax_job_id":" 223561 "}'), 223561),
    "the id as a whole float": (http(200, b'{"status":"executed","fax_job_id":223561.0}'), 223561),
    "the largest id": (http(200, b'{"fax_job_id":9007199254740991}'), 2**53 - 1),
    "a byte order mark": (http(200, b"\xef\xbb\xbf" + YES), 200),
    "blank lines around": (http(200, b"\r\n\r\n" + YES + b"\n\n"), 200),
    "a trailing comma": (http(200, b'{"status":"executed","fax_job_id":200,}'), 200),
    "a trailing comma, and one in a text": (http(200, b'{"message":"a,}","fax_job_id":200 ,\n}'), 200),
    "HTML by its type only": (http(200, YES, "Content-Type: text/html"), 200),
    "no type": (http(200, YES, "Content-Type:"), 200),
    "a wrong charset": (http(200, b'{"message":"gr\xfc\xdfe","fax_job_id":200}', "Content-Type: a/b; charset=x-no"), 200),
    "unknown keys": (http(200, b'{"sunbscription_credit_allowance":1.5,"fax_job_id":200,"x":[{}]}'), 200),
    "one key twice, the same": (http(200, b'{"fax_job_id":200,"fax_job_id":200}'), 200),
    "a price that is none": (http(200, b'{"fax_job_id":200,"cost":"gratis","user_cash_balance":{}}'), 200),
    "a price beyond all": (http(200, b'{"fax_job_id":200,"cost":1e9999999,"user_cash_balance":-1e99999}'), 200),
    "failed, with an id": (http(200, b'{"status":"failed","fax_job_id":200,"message":"Line Busy"}'), 200),
    "without a length": (http(200, YES, length=False), 200),
    "in chunks": (
        http(200, b"", "Transfer-Encoding: chunked", length=False) + b"a\r\n" + YES[:10] + b"\r\n"
        + hex(len(YES) - 10)[2:].encode() + b"\r\n" + YES[10:] + b"\r\n0\r\n\r\n", 200,
    ),
    "continue first": (b"HTTP/1.1 100 Continue\r\n\r\n" + http(200, YES), 200),
    "hints first": (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + http(200, YES), 200),
    "a cookie that is none": (http(200, YES, "Set-Cookie: \x01;=;;", "Set-Cookie: a"), 200),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + YES, 200),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "reference"), YESES.values(), ids=YESES.keys())
async def test_a_2xx_with_an_id_is_a_yes(answer: bytes, reference: int) -> None:
    async with serve(answering(answer)) as wire:
        told = await submit(wire.base)
    assert isinstance(told, Submitted), told
    assert told.provider_ref == reference
    assert len(wire.requests) == wire.connections == 1


async def test_a_yes_tells_price_balance_and_words() -> None:
    async with serve(clear(b'{"status":"Failed","fax_job_id":2,"user_cash_balance":"1,000.20","cost":0.15}')) as wire:
        told = await submit(wire.base)
    assert told == Submitted(2, cost=Decimal("0.15"), balance=Decimal("1000.20"), failed=True, text="")
    async with serve(clear(b'{"status":"executed","fax_job_id":2,"message":"taken\\u0007 on"}')) as wire:
        told = await submit(wire.base)
    assert told == Submitted(2, text="taken on")


@pytest.mark.parametrize("cost", [b"0", b"0.00", b'"0.00"'])
async def test_a_price_of_nothing_is_none_yet(cost: bytes) -> None:
    """Or a provider that learns the price with the end of the call would send without a limit."""
    async with serve(clear(b'{"status":"executed","fax_job_id":2,"cost":' + cost + b"}")) as wire:
        told = await submit(wire.base)
    assert told == Submitted(2, cost=None)


HTML = b"<html><body><h1>Forbidden</h1></body></html>"
LARAVEL = b'{"message":"The given data was invalid.","errors":{"fax_number":["bad number"]}}'

NOES: dict[str, tuple[bytes, type[GatewayError], str]] = {
    "failed": (http(200, b'{"status":"failed","message":"No credit"}'), Refused, "No credit"),
    "FAILED": (http(200, b'{"status":"FAILED","message":"x"}'), Refused, "x"),
    "error": (http(200, b'{"status":" error ","error":"bad file"}'), Refused, "bad file"),
    "fail": (http(200, b'{"status":"fail","errors":["a","b"]}'), Refused, "a; b"),
    "failed without words": (http(200, b'{"status":"failed"}'), Refused, "said no reason"),
    "failed, id null": (http(200, b'{"status":"failed","fax_job_id":null}'), Refused, "no reason"),
    "failed, id empty": (http(200, b'{"status":"failed","fax_job_id":""}'), Refused, "no reason"),
    "failed, id 0": (http(200, b'{"status":"failed","fax_job_id":0}'), Refused, "no reason"),
    "failed, id false": (http(200, b'{"status":"failed","fax_job_id":false}'), Refused, "no reason"),
    "400": (http(400, b'{"status":"failed","message":"Invalid number"}'), Refused, "Invalid number"),
    "400 in HTML": (http(400, HTML), Refused, "HTTP 400"),
    "400 without a body": (http(400), Refused, "HTTP 400"),
    "400 with an id": (http(400, YES), Refused, "HTTP 400"),
    "400 cut": (http(400, b'{"message":"x"}')[:-3], Refused, "HTTP 400"),
    "402": (http(402, b'{"message":"Pay"}'), Refused, "payment required: Pay"),
    "402 by its name": (http(402, b'{"message":"Payment required."}'), Refused, "Payment required."),
    "402 in HTML": (http(402, HTML), Refused, "payment required"),
    "405": (http(405, b""), Refused, "HTTP 405"),
    "406": (http(406, b"no"), Refused, "HTTP 406"),
    "409": (http(409, b'{"msg":"conflict"}'), Refused, "conflict"),
    "410": (http(410, b"{}"), Refused, "HTTP 410"),
    "411": (http(411, b"{}"), Refused, "HTTP 411"),
    "413": (http(413, b'{"message":"too big"}'), Refused, "too big"),
    "415": (http(415, b"{}"), Refused, "HTTP 415"),
    "417": (http(417, b"{}"), Refused, "HTTP 417"),
    "422": (http(422, LARAVEL), Refused, "invalid"),
    "422 in nested words": (http(422, b'{"errors":{"a":["one"],"b":{"c":"two"}}}'), Refused, "one; two"),
    "426": (http(426, b"{}", "Upgrade: TLS/1.2"), Refused, "HTTP 426"),
    "451": (http(451, b"{}"), Refused, "HTTP 451"),
    "499": (http(499, b"{}"), Refused, "HTTP 499"),
    "404": (http(404, b'{"status":"failed","message":"Document not found"}'), NotFound, "Document not found"),
    "404 in HTML": (http(404, HTML), NotFound, "HTTP 404"),
    "401": (http(401, b'{"message":"Unauthorized"}'), KeyRefused, "key"),
    "401 in HTML": (http(401, HTML, "WWW-Authenticate: Basic"), KeyRefused, "key"),
    "401 without a body": (http(401), KeyRefused, "key"),
    "401 cut": (http(401, b"{" + b" " * 99)[:-9], KeyRefused, "key"),
    "403": (http(403, b'{"message":"Rate limit exceeded"}'), SlowDown, "slow down"),
    "403 in HTML": (http(403, HTML), SlowDown, "slow down"),
    "429": (http(429, b'{"message":"Too many"}', "Retry-After: 7"), SlowDown, "slow down"),
}


@pytest.mark.parametrize(("answer", "kind", "words"), NOES.values(), ids=NOES.keys())
async def test_a_clear_no_is_not_sent(answer: bytes, kind: type[GatewayError], words: str) -> None:
    async with serve(answering(answer)) as wire:
        told = await submit(wire.base)
    assert type(told) is kind, told
    assert words in told.public
    assert len(wire.requests) == wire.connections == 1


@pytest.mark.parametrize(
    ("header", "after"),
    [
        ("7", 7.0), ("99999999", 3600.0), ("9" * 400, 3600.0), ("0", None), ("-5", None), ("soon", None), ("٣", None),
        ("Sat, 28 Nov 2026 21:00:09 GMT\r\nDate: Sat, 28 Nov 2026 21:00:00 GMT", 9.0),
        ("Sat, 28 Nov 2026 20:59:00 GMT\r\nDate: Sat, 28 Nov 2026 21:00:00 GMT", None),
        ("Sat, 28 Nov 2026 21:00:09 GMT", None),  # by whose clock?
    ],
)  # fmt: skip
async def test_the_wait_the_provider_names_is_kept_within_reason(header: str, after: float | None) -> None:
    raw = http(429, b"{}", "Retry-After: RA").replace(b"RA\r", header.encode() + b"\r")
    async with serve(answering(raw)) as wire:
        told = await submit(wire.base)
    assert isinstance(told, SlowDown)
    assert told.after == after


DEEP = b'{"fax_job_id":7,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
SQUEEZED = gzip.compress(YES)
BOMB = gzip.compress(b" " * (64 << 20))

UNCLEAR: dict[str, bytes] = {
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "only hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50,
    "204": http(204),
    "205": http(205),
    "206, empty": http(206),
    **{
        str(status): http(status, YES, "Location: /api/v2/fax-history")
        for status in (300, 301, 302, 303, 304, 307, 308, 399)
    },
    "301 without a place": http(301, b""),
    "408": http(408, b'{"status":"failed","message":"timeout"}'),
    **{str(status): http(status, b'{"message":"oops"}') for status in (500, 501, 502, 503, 504, 505, 520, 599)},
    "500 with an id": http(500, YES),
    "503 with a wait": http(503, b"{}", "Retry-After: 3"),
    "502 in HTML": http(502, b"<html>Bad gateway</html>"),
    "600": http(600, YES),
    "200 in HTML": http(200, b"<!DOCTYPE html><html>Maintenance</html>"),
    "empty": http(200, b""),
    "blank": http(200, b"  \r\n "),
    "half a JSON": http(200, YES[:40]),
    "cut in the body": http(200, YES)[:-20],
    "cut in a chunk": http(200, b"", "Transfer-Encoding: chunked", length=False) + b"ff\r\n" + YES,
    "without the last chunk": (
        http(200, b"", "Transfer-Encoding: chunked", length=False) + hex(len(YES))[2:].encode() + b"\r\n" + YES + b"\r\n"
    ),
    "a chunk of no size": http(200, b"", "Transfer-Encoding: chunked", length=False) + b"zz\r\n" + YES,
    "cut in the headers": http(200, YES)[:40],
    "cut in the status line": b"HTTP/1.1 20",
    "not HTTP": b"220 mail.example.org ESMTP\r\n",
    "HTTP/0.9": YES,
    "a status that is none": http("HTTP/1.1 2xx OK", YES),
    "a version that is none": http("HTTP/9.9 200 OK", YES),
    "two lengths": http(200, YES, "Content-Length: 5"),
    "a negative length": http(200, YES, "Content-Length: -5", length=False),
    "a length too small": http(200, YES, "Content-Length: 30", length=False),
    "a NUL in a header": http(200, YES, "X: a\0b"),
    "an endless header": http(200, YES, "X: " + "a" * 100_000),
    "too many headers": http(200, YES, *(f"X{n}: a" for n in range(1000))),
    "single quotes": http(200, YES.replace(b'"', b"'")),
    "a comment": http(200, b"/* x */" + YES),
    "PHP speaks first": http(200, b"<br />\n<b>Warning</b>: x\n" + YES),
    "two answers": http(200, YES) + http(500, b"{}"),
    "two objects": http(200, YES + YES),
    "UTF-16": http(200, YES.decode().encode("utf-16")),
    "gzip unasked": http(200, SQUEEZED, "Content-Encoding: gzip"),
    "a gzip bomb": http(200, BOMB, "Content-Encoding: gzip"),
    "an unknown encoding": http(200, SQUEEZED, "Content-Encoding: zstd-x"),
    "gzip as a transfer encoding": http(200, SQUEEZED, "Transfer-Encoding: gzip, chunked", length=False),
    "a list": http(200, b"[" + YES + b"]"),
    "a text": http(200, b'"executed"'),
    "a number": http(200, b"200"),
    "null": http(200, b"null"),
    "no id": http(200, b'{"status":"executed"}'),
    "no id, Success": http(200, b'{"status":"Success","message":"ok"}'),
    "an empty object": http(200, b"{}"),
    "id null": http(200, b'{"status":"executed","fax_job_id":null}'),
    "id 0": http(200, b'{"status":"executed","fax_job_id":0}'),
    "id -5": http(200, b'{"status":"executed","fax_job_id":-5}'),
    "id -5 as text": http(200, b'{"status":"executed","fax_job_id":"-5"}'),
    "id true": http(200, b'{"status":"executed","fax_job_id":true}'),
    "id 1.5": http(200, b'{"status":"executed","fax_job_id":1.5}'),
    "id 1e30": http(200, b'{"status":"executed","fax_job_id":1e30}'),
    "id 1e999999": http(200, b'{"status":"executed","fax_job_id":1e999999}'),
    "id -1e999999": http(200, b'{"status":"failed","fax_job_id":-1e999999}'),
    "id NaN": http(200, b'{"status":"executed","fax_job_id":NaN}'),
    "id Infinity": http(200, b'{"status":"failed","fax_job_id":Infinity}'),
    "id 2**53": http(200, b'{"status":"executed","fax_job_id":9007199254740992}'),
    "id of 5000 digits": http(200, b'{"fax_job_id":' + b"9" * 5000 + b"}"),
    "id of 5000 digits as text": http(200, b'{"fax_job_id":"' + b"9" * 5000 + b'"}'),
    "id abc": http(200, b'{"status":"executed","fax_job_id":"abc"}'),
    "id in other digits": http(200, '{"status":"executed","fax_job_id":"٣"}'.encode()),
    "id in a list": http(200, b'{"status":"executed","fax_job_id":[200]}'),
    "id in an object": http(200, b'{"status":"executed","fax_job_id":{"id":200}}'),
    "failed, id -1": http(200, b'{"status":"failed","fax_job_id":-1}'),
    "failed, id abc": http(200, b'{"status":"failed","fax_job_id":"abc"}'),
    "failed, id true": http(200, b'{"status":"failed","fax_job_id":true}'),
    "failed, not quite": http(200, b'{"status":"failed to say"}'),
    "failed in a list": http(200, b'{"status":["failed"]}'),
    "an id, but elsewhere": http(200, b'{"status":"executed","data":{"fax_job_id":200}}'),
    "an id of another name": http(200, b'{"status":"executed","id":200}'),
    "two ids": http(200, b'{"fax_job_id":200,"fax_job_id":201}'),
    "two words": http(200, b'{"status":"executed","status":"failed"}'),
    "nested without end": http(200, DEEP),
    "nested in the price": http(200, b'{"fax_job_id":7,"cost":' + b"[" * 500 + b"]" * 500 + b"}"),
    "a body beyond the cap": http(200, YES[:-1] + b" " * (5 << 20) + b"}"),
    "a text without end": http(200, b'{"fax_job_id":7,"message":"' + b"x" * (3 << 20)),
}  # fmt: skip


@pytest.mark.parametrize("answer", UNCLEAR.values(), ids=UNCLEAR.keys())
async def test_everything_else_is_unknown_and_never_sent_again(answer: bytes) -> None:
    async with serve(answering(answer)) as wire:
        told = await submit(wire.base)
    assert type(told) is OutcomeUnknown, told
    assert len(wire.requests) == wire.connections == 1


# --- what happens on the connection -----------------------------------------------------------------------------------


async def _reset_at_once(connection: Connection) -> None:
    connection.reset()


async def _closed_at_once(connection: Connection) -> None:
    connection.writer.close()


async def _reset_when_read(connection: Connection) -> None:
    await connection.request()
    connection.reset()


async def _closed_when_read(connection: Connection) -> None:
    await connection.request()


async def _reset_in_the_headers(connection: Connection) -> None:
    await connection.request()
    await connection.send(http(200, YES)[:30])
    await asyncio.sleep(0.05)  # so that they arrive before the reset takes them back
    connection.reset()


async def _reset_in_the_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(http(200, YES)[:-10])
    await asyncio.sleep(0.05)
    connection.reset()


async def _answer_before_reading(connection: Connection) -> None:
    await connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    connection.writer.close()


async def _endless_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(http(200, b"", "Transfer-Encoding: chunked", length=False))
    while True:
        await connection.send(b"10000\r\n" + b" " * 65536 + b"\r\n")


async def _endless_headers(connection: Connection) -> None:
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await connection.send(b"X-Y: " + b"z" * 1000 + b"\r\n")


async def _endless_hints(connection: Connection) -> None:
    await connection.request()
    while True:
        await connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "script",
    [
        _reset_at_once, _closed_at_once, _reset_when_read, _closed_when_read, _reset_in_the_headers, _reset_in_the_body,
        _answer_before_reading, _endless_body, _endless_headers,
    ],
)  # fmt: skip
async def test_a_connection_that_breaks_once_made_leaves_it_unknown(script: Script) -> None:
    async with serve(script) as wire:
        told = await submit(wire.base)
    assert type(told) is OutcomeUnknown, told
    assert wire.connections == 1
    assert len(wire.requests) <= 1


async def _silent(connection: Connection) -> None:
    await connection.request()
    await connection.until_gone()


async def _silent_in_the_body(connection: Connection) -> None:
    await connection.request()
    await connection.send(http(200, YES)[:-10])
    await connection.until_gone()


async def _dripping(connection: Connection) -> None:
    await connection.request()
    for byte in http(200, YES):
        await connection.send(bytes([byte]))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("script", [_silent, _silent_in_the_body, _dripping, _endless_hints])
async def test_no_answer_in_time_is_unknown(script: Script) -> None:
    async with serve(script) as wire:
        told = await submit(wire.base, timeout=0.5)
    assert type(told) is OutcomeUnknown, told
    assert "Timeout" in told.detail
    assert len(wire.requests) == wire.connections == 1


async def _refusing_without_end(connection: Connection) -> None:
    await connection.request()
    await connection.send(http(401, b"", "Transfer-Encoding: chunked", length=False))
    while True:
        await connection.send(b"10000\r\n" + b" " * 65536 + b"\r\n")


async def test_a_refusal_counts_though_its_body_does_not_end() -> None:
    async with serve(_refusing_without_end) as wire:
        assert type(await submit(wire.base)) is KeyRefused


async def test_a_refused_connection_is_not_sent(unused_tcp_port: int) -> None:
    told = await submit(f"http://127.0.0.1:{unused_tcp_port}")
    assert type(told) is TryLater, told
    assert f"127.0.0.1:{unused_tcp_port}" in told.detail


async def test_a_name_that_does_not_resolve_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    told = await submit("http://fax.example.invalid/api/v2")
    assert type(told) is TryLater, told
    assert "fax.example.invalid" in told.detail


async def test_a_connection_that_is_never_made_is_not_sent() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        # its queue is filled, so that the kernel drops what else knocks
        waiting = []
        for _ in range(4):
            knock = socket.socket()
            knock.setblocking(False)
            knock.connect_ex(("127.0.0.1", port))
            waiting.append(knock)
        told = await submit(f"http://127.0.0.1:{port}", timeout=0.5)
        for knock in waiting:
            knock.close()
    assert type(told) is TryLater, told
    assert KEY not in str(told)


async def test_an_address_that_is_none_is_not_sent() -> None:
    with pytest.raises(TryLater) as caught:
        await Calls(KEY, timeout=1.0, rate=0.0).once("http://[::1/api", {})
    assert KEY not in str(caught.value)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def _context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client trusts the authority as it would one of the system's."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)


async def test_a_certificate_nobody_trusts_is_not_sent(authority: trustme.CA) -> None:
    async with serve(clear(YES), _context(authority, "127.0.0.1")) as wire:
        told = await submit(wire.base.replace("http:", "https:"))
    assert type(told) is TryLater, told
    assert "certificate" in told.detail.lower()
    assert wire.requests == []


@pytest.mark.usefixtures("trusting")
async def test_a_certificate_of_another_host_is_not_sent(authority: trustme.CA) -> None:
    async with serve(clear(YES), _context(authority, "fax.example.org")) as wire:
        told = await submit(wire.base.replace("http:", "https:"))
    assert type(told) is TryLater, told
    assert wire.requests == []


async def test_no_tls_where_tls_was_asked_is_not_sent() -> None:
    async def plain(connection: Connection) -> None:
        await connection.reader.read(10)
        await connection.send(http(400, b"plain HTTP"))

    async with serve(plain) as wire:
        told = await submit(wire.base.replace("http:", "https:"))
    assert type(told) is TryLater, told


@pytest.mark.usefixtures("trusting")
async def test_over_tls_a_yes_is_a_yes_and_a_cut_is_unknown(authority: trustme.CA) -> None:
    async with serve(clear(YES), _context(authority, "127.0.0.1")) as wire:
        assert isinstance(await submit(wire.base.replace("http:", "https:")), Submitted)
    async with serve(_reset_when_read, _context(authority, "127.0.0.1")) as wire:
        assert type(await submit(wire.base.replace("http:", "https:"))) is OutcomeUnknown
        assert len(wire.requests) == 1


# --- what goes out ----------------------------------------------------------------------------------------------------


async def test_the_request_is_one_urlencoded_post_with_the_key_in_the_query() -> None:
    async with serve(clear(YES)) as wire:
        provider = FaxTo(FaxToSettings(base_url=wire.base, api_key="a+b&c/d=é", rate=0))
        await provider.submit(300, NUMBER, "Grüße +1 & Co")
        await provider.close()
    (request,) = wire.requests
    assert request.method == "POST"
    assert request.target == "/api/v2/fax?api_key=a%2Bb%26c/d%3D%C3%A9"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["accept-encoding"] == "identity"
    assert b"fax_number=%2B15551234567" in request.body
    assert parse_qs(request.body.decode()) == {
        "fax_number": ["+15551234567"], "document_id": ["300"], "tsi_number": ["Grüße +1 & Co"],
    }  # fmt: skip


async def test_without_a_station_id_none_is_sent_and_nothing_is_ever_asked_to_be_deleted() -> None:
    async with serve(clear(YES)) as wire:
        await submit(wire.base)
    (request,) = wire.requests
    assert sorted(parse_qs(request.body.decode())) == ["document_id", "fax_number"]
    assert "delete_file" not in request.target


async def test_a_redirect_is_never_followed() -> None:
    async with serve(clear(YES)) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            async with serve(clear(b"", status, f"Location: {elsewhere.base}/fax")) as wire:
                assert type(await submit(wire.base)) is OutcomeUnknown
                assert len(wire.requests) == 1
        assert elsewhere.connections == 0


async def test_a_send_never_uses_a_kept_connection() -> None:
    """The server closes the kept connection at the very moment a request might be written to it."""
    sent: list[str] = []

    async def script(connection: Connection) -> None:
        request = await connection.request()
        sent.append(request.method)
        body = YES if request.method == "POST" else b'{"status":"success","balance":1}'
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await connection.reader.read(1)  # whatever comes next on this connection is lost

    async with serve(script) as wire:
        provider = FaxTo(FaxToSettings(base_url=wire.base, api_key=KEY, timeout=20, rate=0))
        await provider.balance()
        assert isinstance(await provider.submit(300, NUMBER, ""), Submitted)
        await provider.close()
        assert sent == ["GET", "POST"]
        assert wire.connections == 2


async def test_a_cancelled_send_stays_cancelled() -> None:
    reached = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        reached.set()
        await connection.until_gone()

    async with serve(script) as wire:
        task = asyncio.create_task(submit(wire.base))
        await asyncio.wait_for(reached.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert wire.connections == 1


@pytest.mark.parametrize("size", [10, 1000])
async def test_the_words_of_the_provider_are_cut_to_a_line(size: int) -> None:
    said = json.dumps({"status": "failed", "message": "No\r\nway " + "x" * size})
    async with serve(clear(said.encode())) as wire:
        told = await submit(wire.base)
    assert isinstance(told, Refused)
    assert told.public.startswith("No way x")
    assert len(told.public) <= 300
