"""Ids name one thing each, also when many are wanted at once."""

from __future__ import annotations

import pytest

from gateway.store.ids import new_id, time_of


def test_ids_of_one_instant_are_all_different() -> None:
    assert len({new_id(1_800_000_000.123456) for _ in range(20_000)}) == 20_000


def test_ids_sort_by_time_and_tell_it() -> None:
    earlier, later = new_id(1_800_000_000.1), new_id(1_800_000_000.2)
    assert earlier < later
    assert time_of(later) == pytest.approx(1_800_000_000.2, abs=1e-5)
    assert time_of("no id") is None
