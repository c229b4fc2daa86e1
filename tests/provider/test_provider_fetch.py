"""A received document is fetched from the provider's own hosts alone, whole, within the cap, and without our key."""

from __future__ import annotations

import asyncio
import gzip
import socket

import pytest

from gateway.errors import GatewayError, NoSpace, NotFound, Refused, TryLater
from gateway.provider.faxto import FaxTo, FaxToSettings

from .wire import KEY, Connection, answering, http, serve

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 2000 + b"\n%%EOF\n"


async def fetch(url: str, base: str = "https://fax.to/api/v2", **settings: object) -> bytes | GatewayError:
    provider = FaxTo(FaxToSettings(base_url=base, api_key=KEY, **{"upload_timeout": 20.0, **settings}))  # type: ignore[arg-type]
    got = bytearray()

    async def write(chunk: bytes) -> None:
        got.extend(chunk)

    try:
        await provider.fetch(url, write)
    except GatewayError as error:
        return error
    return bytes(got)


async def test_a_document_comes_whole_and_our_key_is_not_added() -> None:
    async with serve(answering(http(200, PDF, "Content-Type: application/pdf"))) as wire:
        path = "/receivefax/api/v1/inbox/4/file?api_key=abc%2Bd&x=a+b"
        assert await fetch(f"http://u:p@127.0.0.1:{wire.port}{path}#part", wire.base) == PDF
    (request,) = wire.requests
    assert request.target == path
    assert request.headers["host"] == f"127.0.0.1:{wire.port}"
    assert KEY not in str(request)
    assert not {"authorization", "cookie"} & request.headers.keys()


FOREIGN = [
    "",
    "file",
    "/etc/passwd",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "//fax.to/x",
    "http://",
    "http://[::1/",
    "https://fax.to:99999/",
    "https://fax.to@evil.example/",
    "https://fax.to\\@evil.example/",
    "https://evil.example\\.fax.to/",
    "https://evil.example#.fax.to/",
    "https://evil.example?.fax.to/",
    "https://fax.to.evil.example/",
    "https://notfax.to/",
    "https://api.fax.dev/x",
    "https://fax.to:8443/",
    "http://fax.to:8080/",
    "ftp://fax.to/x",
    "http://127.0.0.1/",
    "https://127.0.0.1/",
    "https://[::1]/",
    "http://localhost:25/",
    "http://169.254.169.254/latest/meta-data/",
    "https://0x7f000001/",
    "https://2130706433/",
]


@pytest.mark.parametrize("url", FOREIGN)
async def test_an_address_on_a_foreign_host_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", asked)
    assert type(await fetch(url)) is Refused


@pytest.mark.parametrize("change", ["scheme", "port", "host"])
async def test_the_configured_provider_is_trusted_as_configured_only(change: str) -> None:
    async with serve(answering(http(200, PDF))) as wire:
        url = {
            "scheme": f"https://127.0.0.1:{wire.port}/x",
            "port": f"http://127.0.0.1:{wire.port + 1}/x",
            "host": f"http://127.0.0.2:{wire.port}/x",
        }[change]
        assert type(await fetch(url, wire.base)) is Refused
        assert wire.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://fax.to/x?api_key=k", "https://api.fax.to/x", "https://FAX.to:443/x", "https://fax.to./x",
        "http://fax.to/x",  # upgraded
    ],
)  # fmt: skip
@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1"])
async def test_a_name_of_the_provider_that_leads_home_is_not_followed(
    url: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, object]] = []

    async def lead_home(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append((host, port))
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        place = (address, port, 0, 0) if ":" in address else (address, port)
        return [(family, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port)), (family, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lead_home)
    told = await fetch(url, "https://sandbox.example/api/v2")
    assert type(told) is TryLater, told
    assert "not public" in told.detail
    assert [port for _, port in asked] == [443]


async def test_the_configured_provider_may_live_at_home() -> None:
    async with serve(answering(http(200, PDF))) as wire:
        base = wire.base.replace("127.0.0.1", "localhost")
        assert await fetch(f"http://LOCALHOST:{wire.port}/x", base) == PDF
        assert wire.requests[0].headers["host"] == f"localhost:{wire.port}"


async def test_a_redirect_is_not_followed() -> None:
    async with serve(answering(http(200, PDF))) as elsewhere:
        for status in (301, 302, 303, 307, 308):
            answer = http(status, b"", f"Location: http://127.0.0.1:{elsewhere.port}/x")
            async with serve(answering(answer)) as wire:
                told = await fetch(f"http://127.0.0.1:{wire.port}/x", wire.base)
                assert type(told) is TryLater
                assert str(status) in told.detail
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(401, b"no"), TryLater),
        (http(403, b"no"), TryLater),
        (http(404, b"no"), NotFound),
        (http(410, b"no"), NotFound),
        (http(204), TryLater),
        (http(206, PDF), TryLater),
        (http(500, b"no"), TryLater),
        (http(200, PDF)[:-1], TryLater),
        (http(200, PDF)[:20], TryLater),
        (http(200, b"", "Transfer-Encoding: chunked", length=False) + b"ff\r\nshort", TryLater),
        (b"garbage\r\n\r\n", TryLater),
        (http(200, PDF + b"x"), Refused),
    ],
)
async def test_what_is_not_the_whole_document_is_an_error(answer: bytes, kind: type[GatewayError]) -> None:
    async with serve(answering(answer)) as wire:
        told = await fetch(
            f"http://127.0.0.1:{wire.port}/x?api_key={KEY}", wire.base, max_document=len(PDF), upload_timeout=10.0
        )
    assert type(told) is kind, told
    assert KEY not in str(told)


async def test_a_document_that_says_it_is_too_large_is_not_fetched() -> None:
    async def large(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n%PDF-")
        await connection.until_gone()

    async with serve(large) as wire:
        told = await fetch(f"http://127.0.0.1:{wire.port}/x", wire.base, max_document=1 << 20)
    assert (type(told), str(told)) == (Refused, "the received document is larger than http.callbacks.max_file allows")


async def test_an_endless_document_ends_at_the_cap() -> None:
    async def endless(connection: Connection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%PDF-")
        while True:
            await connection.send(b"x" * 65536)

    async with serve(endless) as wire:
        told = await fetch(f"http://127.0.0.1:{wire.port}/x", wire.base, max_document=1 << 20)
    assert type(told) is Refused


async def test_a_document_that_does_not_come_is_given_up() -> None:
    async def slow(connection: Connection) -> None:
        await connection.request()
        await connection.send(http(200, PDF)[:-1])
        await connection.until_gone()

    async with serve(slow) as wire:
        told = await fetch(f"http://127.0.0.1:{wire.port}/x", wire.base, upload_timeout=0.3)
    assert type(told) is TryLater


async def test_a_full_disk_is_told_as_such() -> None:
    async def write(_chunk: bytes) -> None:
        raise NoSpace("full")

    async with serve(answering(http(200, PDF))) as wire:
        provider = FaxTo(FaxToSettings(base_url=wire.base, api_key=KEY))
        with pytest.raises(NoSpace):
            await provider.fetch(f"http://127.0.0.1:{wire.port}/x", write)


async def test_a_compressed_document_is_not_unpacked() -> None:
    packed = gzip.compress(b"%PDF-" + b"\0" * (8 << 20))
    async with serve(answering(http(200, packed, "Content-Encoding: gzip"))) as wire:
        assert await fetch(f"http://127.0.0.1:{wire.port}/x", wire.base) == packed
        assert wire.requests[0].headers["accept-encoding"] == "identity"
