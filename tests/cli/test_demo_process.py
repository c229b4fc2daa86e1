"""``faxgateway demo`` as a process: what it prints, and that it ends cleanly and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-m", "gateway", "demo", "--any-ports", "--json", "--send"]
    started = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    yield started
    if started.poll() is None:
        started.kill()
    started.communicate()


def addresses(process: subprocess.Popen[str]) -> dict[str, str]:
    """What it prints when it is ready."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line == "}\n":
            break
    found: dict[str, str] = json.loads(text)
    return found


def state(page: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{page}state.json", timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_faxes_the_sample_and_ends_on_a_signal_without_a_trace(
    process: subprocess.Popen[str], tmp_path: Path, number: signal.Signals
) -> None:
    where = addresses(process)
    deadline = time.monotonic() + 60
    while len((found := state(where["page"]))["mails"]) < 2:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert [fax["pages"] for fax in found["faxes"]] == [2]
    assert sorted(mail["kind"] for mail in found["mails"]) == ["delivered", "inbound"]
    with urllib.request.urlopen(f"{where['page']}events", timeout=20) as events:
        events.readline()
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said
    for told in (where["page"], where["smtp"], "15551234567@fax.local", "Nothing leaves this machine", "Ctrl-C"):
        assert told in said
    asks = re.search(r"Ask +(.+) queue list -c ", said)
    assert asks
    assert subprocess.run([*shlex.split(asks[1]), "--version"], capture_output=True, check=False).returncode == 0
    assert list(tmp_path.iterdir()) == []
