"""A share of the generated bombs, always the same; all of them with ``FAXGATEWAY_BOMBS=1``, LibreOffice among the targets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.document import office

from .bombs import Range, cases

ALL = bool(os.environ.get("FAXGATEWAY_BOMBS"))
_SHARE = 12
_SLOW = ("41943040", "157286400", "20000", "of all characters", "of one word", "100000", "deep", "rtf at")


async def test_bombs_end_by_name(tmp_path: Path) -> None:
    wanted = cases() if ALL else [case for case in cases() if not any(word in case[0] for word in _SLOW)][::_SHARE]
    place = Range(tmp_path, office.find(office.AUTO) if ALL else "")
    await place.go(wanted)
    assert place.wrong == []
    assert sum(place.outcomes.values()) == len(wanted)


def test_there_are_three_hundred_of_them() -> None:
    assert len({name for name, _, _ in cases()}) == len(cases()) >= 300


if ALL:
    pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]
