"""What all tests have: files that need no disk, modules compiled once for their many processes, a log, a port."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from campaign.ports import free_port
from hypothesis import settings

_MEMORY = Path("/dev/shm")
_ENOUGH = 2 << 30  # bytes; all tests together hold some hundred MiB at once


def _memory_for_files() -> None:
    """Temporary files in memory where there is enough of it.

    Every commit waits for the disk, and the disk is shared; a file system in memory keeps the same promises to a
    process that is killed. What a power cut leaves is tried by the campaign, on a disk of its own.
    """
    if "TMPDIR" in os.environ or not _MEMORY.is_dir() or not os.access(_MEMORY, os.W_OK):
        return
    if os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC or shutil.disk_usage(_MEMORY).free < _ENOUGH:
        return
    os.environ["TMPDIR"] = str(_MEMORY)  # for the processes that tests start, too
    tempfile.tempdir = None


def _compiled_modules() -> None:
    """Hundreds of interpreters are started: none shall compile what another has compiled."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


_memory_for_files()
_compiled_modules()
settings.register_profile("untimed", deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """The thousands of tests themselves stay: what is garbage is not looked for among them over and over."""
    gc.freeze()


@pytest.fixture(autouse=True)
def _process_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command has set for its process, its log and whoever may read its files, ends with the test that ran it."""
    monkeypatch.setattr("gateway.telemetry._is_verbose", False)
    mask = os.umask(0o022)
    yield
    os.umask(mask)
    structlog.reset_defaults()


@pytest.fixture
def unused_tcp_port() -> int:
    """Nobody listens there for the whole test: the one the system would give is the next client's, too."""
    return free_port()
