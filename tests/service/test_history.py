"""The history is believed only when it was read whole."""

from __future__ import annotations

import pytest

from gateway.errors import TryLater
from gateway.model import Verdict
from gateway.ports import HistoryEntry, HistoryPage
from gateway.service.history import read_history

from .scripted import ScriptedProvider, away


def entry(ref: int, document: int = 1, at: float | None = None) -> HistoryEntry:
    return HistoryEntry(ref, document, "12025550123", Verdict.SUCCESS, at)


def pages(*refs: list[int], at: float | None = None) -> list[tuple[HistoryEntry, ...]]:
    return [tuple(entry(ref, at=None if at is None else at + ref) for ref in page) for page in refs]


async def test_it_is_read_to_the_empty_page_whatever_the_order() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([3, 9], [1, 7], [5])
    reading = await read_history(provider, 0.0)
    assert reading.complete
    assert sorted(e.provider_ref for e in reading.entries) == [1, 3, 5, 7, 9]
    assert reading.find(7) == entry(7)
    assert reading.find(8) is None


async def test_an_empty_history_is_whole() -> None:
    provider = ScriptedProvider()
    provider.history_pages = []
    assert (await read_history(provider, 0.0)).complete


async def test_an_error_on_any_page_is_no_proof() -> None:
    class Failing(ScriptedProvider):
        async def history(self, page: int, limit: int) -> HistoryPage:
            if page == 2:
                raise away()
            return await super().history(page, limit)

    provider = Failing()
    provider.history_pages = pages([1], [2], [3])
    reading = await read_history(provider, 0.0)
    assert not reading.complete
    assert [e.provider_ref for e in reading.entries] == [1]


async def test_unreadable_entries_are_no_proof() -> None:
    class Odd(ScriptedProvider):
        async def history(self, page: int, limit: int) -> HistoryPage:
            return HistoryPage((entry(1),), skipped=1)

    assert not (await read_history(Odd(), 0.0)).complete


async def test_strict_order_lets_it_stop_at_older_entries() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([900, 800], [10, 5], [4], at=10_000.0)
    reading = await read_history(provider, 10_800.0)
    assert reading.complete
    assert len(reading.entries) == 4


async def test_shuffled_entries_do_not_let_it_stop() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([10, 900], [5], [950], at=10_000.0)
    reading = await read_history(provider, 10_800.0)
    assert 950 in {e.provider_ref for e in reading.entries}


@pytest.mark.parametrize(("count", "whole"), [(3, True), (100, False)])
async def test_a_provider_that_does_not_page(count: int, whole: bool) -> None:
    class Same(ScriptedProvider):
        async def history(self, page: int, limit: int) -> HistoryPage:
            return HistoryPage(tuple(entry(n) for n in range(count)))

    assert (await read_history(Same(), 0.0)).complete is whole


async def test_an_endless_history_is_given_up() -> None:
    class Endless(ScriptedProvider):
        async def history(self, page: int, limit: int) -> HistoryPage:
            return HistoryPage((entry(page),))

    reading = await read_history(Endless(), 0.0)
    assert not reading.complete


async def test_sends_are_told_apart_by_document_and_number() -> None:
    provider = ScriptedProvider()
    other = HistoryEntry(3, 7, "12025550124", Verdict.SUCCESS, None)
    provider.history_pages = [(entry(1, 7), entry(2, 8), other)]
    reading = await read_history(provider, 0.0)
    assert [e.provider_ref for e in reading.sends_of(7, "12025550123")] == [1]


def test_scripted_errors_are_the_real_ones() -> None:
    assert isinstance(away(), TryLater)
