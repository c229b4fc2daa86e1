"""The API key appears in no log line and in no exception, whatever the provider or the network says."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from typing import Any

import pytest
import structlog

from gateway import telemetry
from gateway.errors import GatewayError
from gateway.model import FaxNumber
from gateway.provider.faxto import FaxTo, FaxToSettings

from .service import Operation
from .test_provider_operations import OPERATIONS
from .wire import KEY, Connection, Script, answering, http, serve

NUMBER = FaxNumber("+15551234567")
SECRET = "another-users-new-key-5b1a"  # of an account just made, known from no setting
LEAKS = {
    "in a message": http(400, json.dumps({"message": f"unknown key {KEY}"}).encode()),
    "in an address": http(422, json.dumps({"error": f"https://fax.to/x?api_key={KEY}&y=1 failed"}).encode()),
    "in a message of a 200": http(200, json.dumps({"status": "failed", "message": f"bad {KEY}"}).encode()),
    "in a refusal": http(401, json.dumps({"message": f"api_key={KEY}"}).encode()),
    "in a 500": http(500, json.dumps({"errors": {"api_key": [KEY]}}).encode()),
    "in a redirect": http(302, b"", f"Location: https://evil.example/?api_key={KEY}"),
    "in HTML": http(200, f"<html>{KEY}</html>".encode()),
    "at the cut of an excerpt": http(200, b"x" * 285 + KEY.encode()),
    "in a JSON of the wrong kind": http(200, json.dumps({"api_key": [KEY], "balance": KEY, "url": [KEY]}).encode()),
    "in a JSON half": http(200, f'{{"status":"success","api_key":"{SECRET}","x":'.encode()),
    "in a list that is none": http(200, json.dumps({"status": "success", "api_key": SECRET, "data": 5}).encode()),
    "in a bad header": b"HTTP/1.1 200 OK\r\nX: \0" + KEY.encode() + b"\r\n\r\n",
    "in a bad status line": b"HTTP/1.1 2xx " + KEY.encode() + b"\r\n\r\n",
    "in garbage": KEY.encode() + b"\r\n\r\n",
    "in a cut body": http(200, KEY.encode() * 3)[:-1],
    "in a cookie": http(200, b"{}", f"Set-Cookie: \x01{KEY}; ;", "Set-Cookie: a=b; Domain=evil.example"),
    "nowhere": b"",
}
ALL: dict[str, Operation] = {
    **OPERATIONS,
    "send": lambda c: c.submit(300, NUMBER, ""),
    "provision": lambda c: c.provision(1),
    "fetch": lambda c: c.fetch(f"http://127.0.0.1:{_port(c)}/x?api_key={KEY}", _ignore),
}


def _port(client: FaxTo) -> int:
    port = client._downloads._base.port
    assert port is not None
    return port


async def _ignore(_chunk: bytes) -> None:
    return None


async def _tell_all(base: str, timeout: float, caplog: pytest.LogCaptureFixture) -> str:
    """Whatever any operation says, logs or raises."""
    said: list[Any] = []
    with structlog.testing.capture_logs() as lines, caplog.at_level(logging.DEBUG):
        for operation in ALL.values():
            settings = FaxToSettings(base_url=base, api_key=KEY, rate=0, timeout=timeout, upload_timeout=timeout)
            client = FaxTo(settings)
            try:
                found = await operation(client)
            except GatewayError as error:
                said += traceback.format_exception(error)
                said += [repr(error), str(error), error.public, error.detail, repr(error.__cause__)]
            else:
                said.append(getattr(found, "text", ""))  # what goes on into the journal of a job
            said += [repr(settings), repr(client), repr(vars(client))]
            await client.close()
    return "\n".join([*map(str, said), *map(str, lines), caplog.text])


@pytest.mark.parametrize("answer", LEAKS.values(), ids=LEAKS.keys())
async def test_no_answer_makes_the_client_tell_a_key(
    answer: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "_is_verbose", True)
    async with serve(answering(answer)) as wire:
        said = await _tell_all(wire.base, 20.0, caplog)
    assert KEY not in said
    assert KEY[:-1] not in said
    assert SECRET not in said


async def _silent(connection: Connection) -> None:
    await connection.request()
    await connection.until_gone()


async def _reset(connection: Connection) -> None:
    connection.reset()


@pytest.mark.parametrize("script", [_silent, _reset])
async def test_no_broken_connection_makes_the_client_tell_the_key(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve(script) as wire:
        assert KEY not in await _tell_all(wire.base, 0.1, caplog)


async def test_no_connection_that_is_not_made_makes_the_client_tell_the_key(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    assert KEY not in await _tell_all(f"http://127.0.0.1:{unused_tcp_port}/api", 20.0, caplog)
    with socket.socket() as full:  # its queue is filled: connecting takes until the time-out, whose words hold the URL
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for knock in waiting:
            knock.setblocking(False)
            knock.connect_ex(("127.0.0.1", port))
        said = await _tell_all(f"http://127.0.0.1:{port}/api", 0.1, caplog)
        for knock in waiting:
            knock.close()
    assert "Timeout" in said
    assert KEY not in said


async def test_a_short_key_does_not_garble_the_words_of_the_provider() -> None:
    async with serve(answering(http(400, b'{"message":"the key is bad"}'))) as wire:
        client = FaxTo(FaxToSettings(base_url=wire.base, api_key="key", rate=0))
        with pytest.raises(GatewayError, match="the key is bad"):
            await client.submit(300, NUMBER, "")
        async with serve(answering(http(200, b"key, key"))) as other:
            client = FaxTo(FaxToSettings(base_url=other.base, api_key="key", rate=0))
            with pytest.raises(GatewayError, match="key, key"):
                await client.submit(300, NUMBER, "")


def test_an_account_is_told_by_address_and_key_and_tells_neither() -> None:
    made = {
        FaxTo(FaxToSettings(base_url=f"https://{host}/", api_key=key)).account for host in "ab" for key in (KEY, "x")
    }
    assert len(made) == 4
    assert FaxTo(FaxToSettings(base_url="https://a", api_key=KEY)).account in made
    assert not any(KEY in account for account in made)
