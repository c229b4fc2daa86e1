"""The fuzzer runs, says the same for the same seed, and finds what is there to be found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.edge import smtp_dialogue

from . import door


async def test_a_little_of_it_finds_nothing(tmp_path: Path) -> None:
    sessions, found = await door.run(60, 7, save=tmp_path, only=3)
    assert (sessions, found) == (door.SESSIONS, [])
    assert list(tmp_path.iterdir()) == []


def test_a_seed_says_the_same_again() -> None:
    assert list(door.plan(1, 2)) == list(door.plan(1, 2))
    assert list(door.plan(1, 2)) != list(door.plan(1, 3))


@pytest.mark.parametrize("mistake", ["traceback", "no enhanced code", "a draft is left"])
async def test_what_is_wrong_is_found_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    async def broken(_dialogue: smtp_dialogue.Dialogue, _argument: str) -> str:
        if mistake == "traceback":
            raise ZeroDivisionError
        if mistake == "a draft is left":
            _dialogue._door.draft()
        return "250 OK"

    monkeypatch.setattr(door, "_PATIENCE", 2.0)
    monkeypatch.setitem(smtp_dialogue._ANSWERS, "MAIL", broken)
    _, found = await door.run(60, 7, save=tmp_path, only=3)
    assert len(found) == 1
    (saved,) = tmp_path.iterdir()
    report = json.loads(saved.read_text())
    assert (report["seed"], report["batch"], len(report["sessions"])) == (7, 3, door.SESSIONS)
    assert report["why"] in found[0]
