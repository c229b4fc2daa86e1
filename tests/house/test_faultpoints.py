"""Each fault point stands in the code, and nothing stands there that is no fault point."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import gateway
from gateway.faultpoint import POINTS, VARIABLE


def test_every_point_is_reached_somewhere_and_no_other() -> None:
    code = "".join(path.read_text() for path in Path(gateway.__file__).parent.rglob("*.py"))
    assert set(re.findall(r'\breach\("([^"]+)"\)', code)) == set(POINTS)


def test_the_process_dies_at_the_nth_time_and_not_before() -> None:
    program = "from gateway.faultpoint import reach\nfor n in range(5): reach('spool.kept'); print(n, flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, VARIABLE: "spool.kept:3"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (-9, b"0\n1\n")


def test_without_the_variable_nothing_happens() -> None:
    program = "from gateway.faultpoint import reach\nreach('spool.kept'); print('alive')"
    environ = {name: value for name, value in os.environ.items() if name != VARIABLE}
    assert (
        b"alive" in subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, check=True).stdout
    )
