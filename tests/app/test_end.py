"""The end of a gateway: each part of it ends, whatever the others do."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import load


async def test_what_does_not_end_well_keeps_nothing_else_alive(
    tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text(f"""
state_dir: {tmp_path / "state"}
smtp: {{listeners: [{{address: "127.0.0.1:0"}}]}}
http: {{callbacks: {{address: "127.0.0.1:0", token: {"t" * 24}}}}}
provider: {{base_url: "http://127.0.0.1:{unused_tcp_port}/api/v2", api_key: key}}
mail: {{relay: {{host: 127.0.0.1, port: {unused_tcp_port}}}}}
document: {{workers: 1}}
""")
    gateway = Gateway(load(tmp_path / "config.yaml"))
    await gateway.start()

    async def fails(*_: object) -> None:
        raise OSError("the disk")

    for part in (gateway._callbacks, gateway._admin_server, gateway.postman):
        monkeypatch.setattr(part, "stop", fails)
    with pytest.raises(OSError, match="the disk"):
        await gateway.stop(5.0)
    monkeypatch.undo()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith(("outbound", "inbound", "sweep"))]
    again = Gateway(load(tmp_path / "config.yaml"))  # which needs the lock and the database
    await again.open()
    await again.close()
    await gateway._callbacks.stop()  # type: ignore[union-attr]
    await gateway._admin_server.stop()  # type: ignore[union-attr]
    await gateway.postman.stop(1.0)
