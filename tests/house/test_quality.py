"""The house rules that a program can check: style, types, one-way imports, short modules, no trace of a machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 500  # lines; a longer module wants to be two
LONGER: dict[str, str] = {}  # path: why it may be longer
MACHINE_PATH = re.compile(r"(?<![\w.~])/(?:home|root|Users|work)/(?!ann\b)\w")  # Ann is the example's user
SKIPPED = {"__pycache__", "build", "dist", "htmlcov", "node_modules", "venv"}


def _run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"


def _files() -> list[Path]:
    """The files of the project: what git knows, or outside of a repository all that is not made by tools."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(part in SKIPPED or part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]


def test_ruff_finds_nothing() -> None:
    _run("ruff", "check", "--no-cache", ".")


def test_ruff_would_format_nothing() -> None:
    _run("ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_types_hold() -> None:
    _run("mypy")


@pytest.mark.timeout(300)
def test_imports_go_one_way() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_what_only_converters_need_is_not_loaded_at_the_start() -> None:
    heavy = {"PIL", "pikepdf", "pypdfium2", "img2pdf", "charset_normalizer", "weasyprint"}
    code = f"import sys, gateway.app, gateway.cli.root; print({heavy} & set(sys.modules) or 'none')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("none", "")


def test_modules_are_short() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / "gateway").rglob("*.py")
    }
    assert len(lengths) > 50
    assert {name: length for name, length in lengths.items() if length > LONGEST and name not in LONGER} == {}
    assert [name for name in LONGER if lengths.get(name, 0) <= LONGEST] == [], "an exception that is no longer one"


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "gateway").rglob("*.py")
        if not re.match(r'r?"""\S', path.read_text(encoding="utf-8"))
    ]
    assert silent == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found, read = [], 0
    for path in _files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        read += 1
        found += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(text.splitlines(), 1)
            if MACHINE_PATH.search(line) or str(ROOT) in line
        ]
    assert read > 100
    assert found == []
