"""Doors on real sockets."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from smtp_harness import AUTHORITY, Doors, House, Stub

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.mail import parse
from gateway.policy import PolicySettings
from gateway.service.accept import AcceptSettings
from gateway.spool import Spool
from gateway.store.db import Database


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool", floor=0, reserve=0)
    spool.open()
    return spool


@pytest.fixture
def stub(spool: Spool) -> Stub:
    return Stub(spool)


@pytest.fixture
async def house(spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """All mails go into files, and through the reader process as large ones do."""
    monkeypatch.setattr(parse, "SIMPLE_SIZE", 0)
    database = Database(tmp_path / "faxgateway.db")
    reader = WorkerPool(1, WorkerLimits(), fork=False)
    await database.open()
    await reader.start()
    settings = AcceptSettings(("fax.local",), "US", PolicySettings(), max_message=1_000_000, small_mail=1)
    yield House(spool, database, reader, settings)
    await reader.close()
    await database.close()


@pytest.fixture
def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    """Doors; whatever a session lets slip into the loop, now or when it is collected, fails the test."""
    slipped: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: slipped.append(context))
    doors = Doors()
    gc.freeze()  # only what the test leaves is looked through below, not all that the process has loaded
    yield doors
    await doors.close()
    gc.collect()
    assert slipped == []
