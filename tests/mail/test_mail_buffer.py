"""Reading a mapped mail in windows: the same answers, and little memory."""

from __future__ import annotations

import subprocess
import sys
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mail import buffer

_BYTES = st.binary(max_size=40).map(lambda data: bytes(b"ab-"[byte % 3] for byte in data))

_INSPECT = """
import sys
from gateway.mail import parse

def peak() -> int:
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("VmHWM"))

before = peak()
assert parse.inspect(sys.argv[1])["refusal"] == ""
print(peak() - before)
"""


@given(
    source=_BYTES, wanted=_BYTES.filter(lambda wanted: b"-" in wanted), start=st.integers(0, 45), end=st.integers(0, 45)
)
def test_it_finds_all_that_bytes_find(source: bytes, wanted: bytes, start: int, end: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffer, "WINDOW", 4)
        there = [at for at in range(start, end) if source.startswith(wanted, at, end)]
        assert list(buffer.find_all(source, wanted, start, end)) == there


@given(source=_BYTES, start=st.integers(0, 45))
def test_windows_are_all_of_it(source: bytes, start: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buffer, "WINDOW", 4)
        assert b"".join(buffer.windows(source, start)) == source[start:]


def test_a_large_mail_is_judged_in_little_memory(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail.add_attachment(bytes(24 << 20), maintype="application", subtype="pdf", filename="large.pdf")
    path = tmp_path / "mail.eml"
    path.write_bytes(mail.as_bytes())
    run = subprocess.run([sys.executable, "-c", _INSPECT, str(path)], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 8 << 10  # KiB
