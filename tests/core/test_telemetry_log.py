"""Secrets stay out of the log, in every form of it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway import telemetry
from gateway.logstream import LogStream

SENDERS = Path(__file__).parents[2] / "docs" / "senders.md"
PROGRAM = """
import logging
import sys
import structlog
from gateway import telemetry

def log_in(password):
    raise ValueError("https://fax.to/api/v2/fax?api_key=k3y&x=1")

telemetry.set_up_logging("info", sys.argv[1])
log = structlog.get_logger("test")
try:
    log_in(sys.argv[2])
except ValueError:
    log.exception("it failed", url="http://127.0.0.1/callback/t0ken", number=telemetry.mask("+12025550123"))
    logging.getLogger("asyncio").exception("nobody heard of /v2/fax?api_key=k3y&y=2")
"""


@pytest.mark.parametrize("form", ["console", "json", "journal", "auto"])
def test_a_traceback_holds_no_secret_and_no_value_of_a_variable(form: str) -> None:
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, form, "hunter2"], capture_output=True, text=True, check=True
    ).stderr
    assert "it failed" in said
    assert "in log_in" in said
    assert "api_key=***&x=1" in said
    assert "/callback/***" in said
    assert "asyncio: nobody heard of /v2/fax?api_key=***&y=2\nTraceback" in said
    assert "+1202***0123" in said
    for secret in ("hunter2", "k3y", "t0ken", "5550"):
        assert secret not in said


def test_a_number_in_a_reason_is_masked_unless_it_is_refused() -> None:
    why = "+12025550123 may be sent 2 faxes an hour"
    with capture_logs() as logged:
        telemetry.retry("id-1", step="submit", wait=1.0, why=why)
        telemetry.rejected("5.7.1", client="192.0.2.1", why=why)
    assert [each["why"] for each in logged] == ["+1202***0123 may be sent 2 faxes an hour", why]


@pytest.mark.parametrize("reader", ["the journal", "another"])
def test_only_the_journal_is_told_priorities(reader: str) -> None:
    """Who is started from a desktop or a cron job of systemd's inherits the variable, whatever reads him."""
    out, into = os.pipe()
    with open(out, encoding="utf-8") as said, open(into, "w", encoding="utf-8") as writer:
        found = os.fstat(writer.fileno())
        stream = f"{found.st_dev}:{found.st_ino + (reader == 'another')}"
        subprocess.run(
            [sys.executable, "-c", PROGRAM, "auto", ""], stderr=writer, env={**os.environ, "JOURNAL_STREAM": stream},
            check=True,
        )  # fmt: skip
        writer.close()
        assert said.readline().startswith("<3>" if reader == "the journal" else "20")


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"client": "192.0.2.1", "why": "two words", "id": "dZlm8BbnPqmJ", "nrcpt": 1, "size": 287},
        {
            "quoted": 'a"b',
            "equals": "a=b",
            "newline": "a\nb",
            "empty": "",
            "nothing": None,
            "list": ["a b"],
            "umlaut": "\xfc",
        },
        {"exception": "Traceback\n  File x\nValueError: y", "why": "it's"},
    ],
)
@pytest.mark.parametrize("level", ["info", "warning", "critical"])
@pytest.mark.parametrize("timestamp", ["17:11:54", None])
def test_a_line_is_what_structlog_would_make_of_it(facts: dict[str, Any], level: str, timestamp: str | None) -> None:
    event = {"event": "what happened", "level": level, **facts, **({"timestamp": timestamp} if timestamp else {})}
    theirs = structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)(None, level, dict(event))
    assert telemetry._plain_line(None, level, dict(event)) == theirs


def test_digits_for_after_the_call_is_answered_may_be_a_pin() -> None:
    """RFC 2846 section 7. In an address, in Exchange's form of it, and in an ORCPT."""
    line = "RCPT TO:<IMCEAFAX-+2B12025550123_POSTD=98765@fax.local> ORCPT=rfc822;FAX+3D+2B12025550123/postd+3D98765@x"
    assert "98765" not in telemetry.redact(line)
    assert (
        telemetry.redact("TO:<FAX=+12025550123/POSTD=98765/ATTN=Joe@x>") == "TO:<FAX=+12025550123/POSTD=***/ATTN=Joe@x>"
    )


BAIT = r"""
import structlog, sys
from gateway import telemetry

telemetry.set_up_logging("info", sys.argv[1])
telemetry.login("wrong", client="203.0.113.66")
bait = "login failed client=198.51.100.7 why=wrong"
telemetry.rejected("5.4.6", client="203.0.113.66", sender=f'"{bait}"@x', why=bait)
structlog.get_logger("x").info("x", why="a\x1b[31mb\x0b\u2028\x9b", id="a\nb")
"""


@pytest.mark.parametrize("form", ["console", "journal"])
def test_what_a_stranger_says_is_no_line_of_its_own_and_bans_nobody(form: str) -> None:
    """Neither for a terminal nor for fail2ban, with the expression of the documentation."""
    (expression,) = re.findall(r"^failregex = (.*)$", SENDERS.read_text(), re.MULTILINE)
    program = [sys.executable, "-W", "error", "-c", BAIT, form]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stderr
    found = re.findall(expression.replace("<HOST>", r"(\S+)"), said, re.MULTILINE)
    assert found == ["203.0.113.66"]
    first, second, third = said.removesuffix("\n").split("\n")
    assert "login failed" in first
    assert "rejected" in second
    assert third.endswith("why=a?[31mb???")
    assert said.replace("\n", "").isprintable()


def test_a_series_of_an_alarm_is_there_before_its_first_event() -> None:
    """``increase()`` of one that begins at 1 is 0, and a balance of 0 is an alarm."""
    lines = set(telemetry.render_metrics().decode().splitlines())
    names = {line.partition(" ")[0] for line in lines}
    for name in (
        'faxgateway_provider_errors_total{kind="key-refused"}',
        'faxgateway_provider_errors_total{kind="no-credit"}',
        'faxgateway_mails_out_total{result="dead"}',
        'faxgateway_faxes_received_total{source="fetch"}',
        'faxgateway_submits_total{outcome="unknown"}',
    ):
        assert name in names
    assert not [name for name in names if "_created" in name]


STUBBORN = """
import os, sys
from gateway import telemetry
import structlog

telemetry.set_up_logging("info", "console")
log = structlog.get_logger("test")
for n in range(2000):
    log.info("x" * 100)
print("it goes on", flush=True)
sys.stdin.readline()
log.info("the first that is read again")
"""


@pytest.mark.parametrize("how", ["gone", "standing still"])
def test_whoever_reads_the_log_hinders_nobody(how: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUBBORN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        if how == "gone":
            process.stderr.close()
        assert process.stdout.readline() == "it goes on\n"
        rest = "" if how == "gone" else os.read(process.stderr.fileno(), 1 << 20).decode()
        process.stdin.write("\n")
        process.stdin.flush()
        if how != "gone":
            *_, last = (rest + process.stderr.read()).splitlines()
            assert re.search(r"the first that is read again lost_lines=1\d{3}$", last)
        assert process.wait(30) == 0


def test_a_line_that_was_begun_is_ended_before_the_next() -> None:
    out, into = os.pipe()
    with open(out, "rb", buffering=0) as reader, open(into, "w", encoding="utf-8") as writer:
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 2 * select.PIPE_BUF)
        stream = LogStream(writer)
        line = "x" * 3 * select.PIPE_BUF + "\n"
        stream.write(line)
        assert stream.lost == 0
        for lost in (1, 2):
            stream.write("nobody takes this\n")
            assert stream.lost == lost
        taken = reader.read(1 << 20)
        stream.write("the next\n")
        assert stream.lost == 0
        assert (taken + reader.read(1 << 20)).decode() == f"{line}the next\n"


def test_a_full_disk_under_the_log_hinders_nobody() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", STUBBORN], input="\n", stdout=subprocess.PIPE, stderr=full, text=True, check=True
        )
    assert done.stdout == "it goes on\n"
