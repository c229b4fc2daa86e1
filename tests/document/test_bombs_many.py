"""A share of the generated bombs, always the same; all of them with ``FAXGATEWAY_BOMBS=1``, LibreOffice among the targets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.document import engine, libreoffice

from .bombs import Range, cases, htmls

ALL = bool(os.environ.get("FAXGATEWAY_BOMBS"))
_SHARE = 12
_LONG = (
    "deep",
    "columns",
    "rows",
    "10 MB",
    "cells",
    "match all",
    "variables",
    "grid",
    "counters",
    "pictures",
    "without an end",
)
_SLOW = ("html of", "41943040", "157286400", "20000", "of all characters", "of one word", "100000", "deep", "rtf at")


async def test_bombs_end_by_name(tmp_path: Path) -> None:
    wanted = cases() if ALL else [case for case in cases() if not any(word in case[0] for word in _SLOW)][::_SHARE]
    place = Range(tmp_path, libreoffice.find(libreoffice.AUTO) if ALL else "")
    await place.go(wanted)
    assert place.wrong == []
    assert sum(place.outcomes.values()) == len(wanted)


@pytest.mark.skipif(bool(engine.missing()), reason=f"HTML cannot be drawn here: {engine.missing()}")
@pytest.mark.timeout(1200)
async def test_html_that_is_made_to_hurt_is_drawn_or_printed_as_text(tmp_path: Path) -> None:
    wanted = [case for case in htmls() if ALL or not any(word in case[0] for word in _LONG)]
    place = Range(tmp_path)
    await place.go(wanted)
    assert place.wrong == []
    assert place.outcomes["crashed"] == 0
    assert place.drawn == len(wanted)


def test_there_are_three_hundred_of_them() -> None:
    assert len({name for name, _, _ in cases()}) == len(cases()) >= 300


pytestmark = [pytest.mark.slow, *([pytest.mark.timeout(7200)] if ALL else [])]
