"""Doors on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from smtp_harness import Doors, Stub

from gateway.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool", floor=0, reserve=0)
    spool.open()
    return spool


@pytest.fixture
def stub(spool: Spool) -> Stub:
    return Stub(spool)


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    doors = Doors()
    yield doors
    await doors.close()
