"""What a supervisor and a monitoring system see, and from where."""

from __future__ import annotations

import pytest

from .conftest import Door, Start


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


async def test_an_address_in_use_is_named(door: Door, start: Start) -> None:
    with pytest.raises(OSError, match="cannot listen on " + door.server.address.replace(".", r"\.")):
        await start(address=door.server.address)


async def test_it_starts_again_after_a_stop(door: Door) -> None:
    await door.server.stop()
    await door.server.stop()
    await door.server.start()
    assert (await _get(door, "/livez"))[0] == 200
