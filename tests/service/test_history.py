"""The history is believed only when it was read whole."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import GatewayError, TryLater
from gateway.model import Verdict
from gateway.ports import HistoryEntry, HistoryPage
from gateway.service.history import History, is_alike, read_history

from .scripted import ScriptedProvider, away


def entry(ref: int, document: int = 1, at: float | None = None) -> HistoryEntry:
    return HistoryEntry(ref, document, "12025550123", Verdict.SUCCESS, at)


def pages(*refs: list[int], at: float | None = None) -> list[tuple[HistoryEntry, ...]]:
    return [tuple(entry(ref, at=None if at is None else at + ref) for ref in page) for page in refs]


class Counting(ScriptedProvider):
    """Says how often a reading was begun."""

    def __init__(self) -> None:
        super().__init__()
        self.first_pages = 0
        self.begun = asyncio.Event()

    async def history(self, page: int, limit: int) -> HistoryPage:
        self.first_pages += page == 1
        self.begun.set()
        await asyncio.sleep(0)
        return await super().history(page, limit)


async def test_it_is_read_to_the_empty_page_whatever_the_order() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([3, 9], [1, 7], [5])
    reading = await read_history(provider)
    assert reading.complete
    assert sorted(e.provider_ref for e in reading.entries) == [1, 3, 5, 7, 9]
    assert reading.find(7, 1) == entry(7)
    assert reading.find(8, 1) is None
    assert reading.find(7, 2) is None  # whose document it shows as another: it is another fax


async def test_an_empty_history_is_whole() -> None:
    provider = ScriptedProvider()
    provider.history_pages = []
    assert (await read_history(provider)).complete


async def test_an_error_on_any_page_is_no_proof() -> None:
    class Failing(ScriptedProvider):
        async def history(self, page: int, limit: int) -> HistoryPage:
            if page == 2:
                raise away()
            return await super().history(page, limit)

    provider = Failing()
    provider.history_pages = pages([1], [2], [3])
    reading = await read_history(provider)
    assert not reading.complete
    assert [e.provider_ref for e in reading.entries] == [1]


async def test_unreadable_entries_are_no_proof() -> None:
    class Odd(ScriptedProvider):
        async def history(self, page: int, limit: int) -> HistoryPage:
            return HistoryPage((entry(1),), skipped=1)

    assert not (await read_history(Odd())).complete


async def test_strict_order_lets_it_stop_at_a_fax_that_is_older() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([900, 800], [700, 600], [500])
    reading = await read_history(provider, {700})
    assert reading.complete
    assert not reading.to_the_end
    assert (len(reading.entries), reading.reach) == (4, 600)


async def test_disorder_does_not_let_it_stop() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([800, 900], [700], [950])
    reading = await read_history(provider, {700})
    assert reading.to_the_end
    assert 950 in reading.refs


async def test_faxes_of_others_do_not_let_it_stop() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([12, 11], [10, 9], [900])  # the newest come last, those of others are older
    assert 900 in (await read_history(provider, {700})).refs


async def test_a_date_in_the_past_does_not_let_it_stop() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([900], [800], at=-1e9)
    assert (await read_history(provider, {700})).to_the_end


async def test_all_who_ask_before_it_begins_share_a_reading() -> None:
    provider = Counting()
    history = History(provider)
    readings = await asyncio.gather(*(history.read({n}) for n in range(20)))
    assert provider.first_pages == 1
    assert all(reading is readings[0] for reading in readings)


async def test_who_asks_while_one_is_read_gets_the_next() -> None:
    provider = Counting()
    history = History(provider)
    early = asyncio.create_task(history.read(set()))
    await provider.begun.wait()
    late = await history.read(set())
    assert late is not await early
    assert provider.first_pages == 2


async def test_a_shared_reading_goes_as_far_as_all_need() -> None:
    provider = ScriptedProvider()
    provider.history_pages = pages([900], [800], [700], [600])
    history = History(provider)
    shared, _ = await asyncio.gather(history.read({800, 600}), history.read({600, 500}))
    assert 600 in shared.refs
    assert await history.find(800, 1) is Verdict.SUCCESS
    assert await history.find(1, 1) is None


async def test_how_a_reading_ends_is_heard() -> None:
    heard: list[GatewayError | None] = []
    provider = ScriptedProvider()
    history = History(provider, heard.append)
    await history.read(set())
    provider.history_error = away()
    await history.read(set())
    assert heard == [None, provider.history_error]


@pytest.mark.parametrize(("count", "whole"), [(3, True), (20, False), (100, False)])
async def test_a_provider_that_does_not_page(count: int, whole: bool) -> None:
    class Same(ScriptedProvider):
        async def history(self, page: int, limit: int) -> HistoryPage:
            return HistoryPage(tuple(entry(n) for n in range(count)))

    assert (await read_history(Same())).complete is whole


async def test_an_endless_history_is_given_up() -> None:
    class Endless(ScriptedProvider):
        async def history(self, page: int, limit: int) -> HistoryPage:
            return HistoryPage((entry(page),))

    reading = await read_history(Endless())
    assert not reading.complete


async def test_sends_are_told_apart_by_document_and_number() -> None:
    provider = ScriptedProvider()
    other = HistoryEntry(3, 7, "12025550124", Verdict.SUCCESS, None)
    provider.history_pages = [(entry(1, 7), entry(2, 8), other)]
    reading = await read_history(provider)
    assert [e.provider_ref for e in reading.sends_of(7, "12025550123")] == [1]


def test_scripted_errors_are_the_real_ones() -> None:
    assert isinstance(away(), TryLater)


@pytest.mark.parametrize(
    ("recipient", "is_same"),
    [
        ("12025550123", False),  # as ours
        ("0112025550123", True), ("0012025550123", True), ("912025550123", True), ("2025550123", True),
        ("02025550123", True), ("12025550124", False), ("123", False), ("0123", False), ("000", False),
    ],
)  # fmt: skip
def test_a_number_written_in_another_way(recipient: str, is_same: bool) -> None:
    assert is_alike(recipient, "12025550123") is is_same
