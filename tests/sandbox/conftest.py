"""One pool of converters for all of the sandbox's tests, hence one event loop: theirs is the session's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.document.worker import WorkerLimits, WorkerPool

from .world import World, world


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here) and isinstance(item, pytest.Function) and _is_async(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def _is_async(item: pytest.Function) -> bool:
    return bool(getattr(item.function, "__code__", None)) and bool(item.function.__code__.co_flags & 0x80)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def pool() -> AsyncIterator[WorkerPool]:
    made = WorkerPool(2, WorkerLimits())
    await made.start()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def w(tmp_path: Path, pool: WorkerPool) -> AsyncIterator[World]:
    async with world(tmp_path / "sandbox", pool) as here:
        yield here
