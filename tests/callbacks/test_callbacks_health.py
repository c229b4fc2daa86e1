"""What a supervisor and a monitoring system see, and from where."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import aiohttp
import pytest

from .conftest import TOKEN, Door, Start


async def _get(door: Door, path: str) -> tuple[int, str, str]:
    async with door.client.get(f"http://{door.server.address}{path}") as answer:
        return answer.status, await answer.text(), answer.headers.get("Content-Type", "")


async def test_it_lives_though_it_is_not_ready(door: Door) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert (await _get(door, path))[:2] == (200, "ok\n")
    door.ready = False
    assert (await _get(door, "/livez"))[:2] == (200, "ok\n")
    for path in ("/readyz", "/healthz"):
        assert (await _get(door, path))[:2] == (503, "not ready\n")


@pytest.mark.parametrize(
    ("networks", "status"),
    [
        (("127.0.0.0/8", "::1/128"), 200),
        (("0.0.0.0/0",), 200),
        (("::/0",), 404),
        (("10.0.0.0/8", "127.0.0.2/32"), 404),
        ((), 404),
    ],
)
async def test_metrics_are_for_their_networks(networks: tuple[str, ...], status: int, start: Start) -> None:
    door = await start(metrics_networks=networks)
    got, text, kind = await _get(door, "/metrics")
    assert got == status
    assert (text == "faxgateway_up 1\n") == (status == 200)
    if status == 404:
        assert (got, text, kind) == await _get(door, "/nowhere")
    else:
        assert kind == "text/plain; charset=utf-8"


async def test_metrics_over_ipv6(start: Start) -> None:
    door = await start(address="[::1]:0")
    assert (await _get(door, "/metrics"))[0] == 200
    door = await start(address="[::1]:0", metrics_networks=("127.0.0.0/8",))
    assert (await _get(door, "/metrics"))[0] == 404


@pytest.mark.parametrize("field", ["Forwarded", "via", "X-Forwarded-For", "x-real-ip"])
async def test_metrics_are_not_passed_on(field: str, door: Door) -> None:
    async with door.client.get(f"http://{door.server.address}/metrics", headers={field: "192.0.2.7"}) as answer:
        assert answer.status == 404
    async with door.client.get(f"http://{door.server.address}/livez", headers={field: "192.0.2.7"}) as answer:
        assert answer.status == 200


async def test_an_address_in_use_is_named(door: Door, start: Start) -> None:
    with pytest.raises(OSError, match="cannot listen on " + door.server.address.replace(".", r"\.")):
        await start(address=door.server.address)


async def test_it_listens_on_a_unix_socket_behind_a_proxy(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "callbacks.sock"
    door = await start(address=f"unix:{path}")
    assert door.server.address == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client:
        async with client.post(f"http://x/callback/{TOKEN}", data={"fax_job_id": "1", "status": "failed"}) as answer:
            assert answer.status == 200
        # whoever comes through the proxy has no address of ours
        async with client.get("http://x/metrics") as answer:
            assert answer.status == 404
        async with client.get("http://x/livez") as answer:
            assert answer.status == 200
    assert len(door.sink.receipts) == 1


async def test_it_takes_a_socket_that_systemd_passed(start: Start) -> None:
    passed = socket.create_server(("127.0.0.1", 0))  # the server's from then on
    passed.setblocking(False)
    port = passed.getsockname()[1]
    door = await start(address="fd:callbacks", sockets={"callbacks": passed})
    assert door.server.address == f"127.0.0.1:{port}"
    assert (await _get(door, "/livez"))[0] == 200
    with pytest.raises(OSError, match="cannot listen on fd:other: systemd has passed no socket named other; enable "):
        await start(address="fd:other")


async def test_it_starts_again_after_a_stop(door: Door) -> None:
    await door.server.stop()
    await door.server.stop()
    await door.server.start()
    assert (await _get(door, "/livez"))[0] == 200
