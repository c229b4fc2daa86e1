"""systemd/requirements.txt pins what pyproject.toml asks for, for each Python that we name, and says nothing of where from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PINS = (ROOT / "systemd" / "requirements.txt").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", name)]
EXTRAS = PROJECT["optional-dependencies"]
WANTED = [Requirement(text) for text in [*PROJECT["dependencies"], *EXTRAS["html"], *EXTRAS["heic"]]]


def _entries() -> list[tuple[Requirement, str]]:
    """Each pin, and what stands behind it: its hashes."""
    entries = PINS.replace("\\\n", "").splitlines()
    return [(Requirement(pin), hashes) for pin, _, hashes in (entry.partition(" --hash=") for entry in entries)]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_dependency_has_one_pin_within_its_range(python: str) -> None:
    here = {"python_version": python, "python_full_version": f"{python}.0"}
    pinned = [pin for pin, _ in _entries() if pin.marker is None or pin.marker.evaluate(here)]
    for wanted in WANTED:
        (pin,) = (pin for pin in pinned if canonicalize_name(pin.name) == canonicalize_name(wanted.name))
        (version,) = (each.version for each in pin.specifier if each.operator == "==")
        assert wanted.specifier.contains(version), f"{wanted}: pinned is {version}"


def test_each_pin_is_exact_and_has_its_hashes_alone() -> None:
    entries = _entries()
    assert len(entries) > len(WANTED)
    for pin, hashes in entries:
        assert [each.operator for each in pin.specifier] == ["=="]
        assert "*" not in str(pin.specifier)
        assert re.fullmatch(r"sha256:[0-9a-f]{64}(?: +--hash=sha256:[0-9a-f]{64})*", hashes), pin.name


def test_no_place_is_named() -> None:
    assert re.findall(r".*(?:://|@|--(?!hash=)|^ *-(?!-hash=)|^#).*", PINS, re.M) == []
