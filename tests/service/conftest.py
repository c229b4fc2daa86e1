"""A house for each test, and more of them where a test wants other settings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from .house import House


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Traces with all variables of a house would take longer than the tests."""
    with structlog.testing.capture_logs():
        yield


Build = Callable[..., Awaitable[House]]


@pytest.fixture
async def build(tmp_path: Path) -> AsyncIterator[Build]:
    """Open houses with settings of the test's own."""
    houses: list[House] = []

    async def make(**settings: Any) -> House:
        house = await House(tmp_path / f"state{len(houses)}", **settings).open()
        houses.append(house)
        return house

    yield make
    for house in houses:
        await house.close()


@pytest.fixture
async def house(build: Build) -> House:
    return await build()
