"""What every command has in common: help, versions, statuses, streams, quick starts and quiet ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli.conftest import PROGRAM, Cli, run, write_config
from gateway import __version__
from gateway.cli import base
from gateway.cli.root import COMMANDS, cli
from gateway.errors import KeyRefused, NoSpace, NotFound, OutcomeUnknown, Refused
from gateway.store.db import StoreBroken

HEAVY = {
    "pydantic", "aiohttp", "aiosmtpd", "aiosmtplib", "aiosqlite", "argon2", "structlog", "phonenumbers",
    "PIL", "pikepdf", "pypdfium2", "img2pdf", "rich", "yaml", "prometheus_client", "asyncio",
}  # fmt: skip


def _commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        found.append((name,))
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            found += [(name, below) for below in command.list_commands(click.Context(command))]
    return found


def test_the_line_of_a_command_in_a_list_is_whole() -> None:
    for group in {name for name, *below in _commands() if below}:
        assert not re.search(r"[a-z]\.\.\.$", CliRunner().invoke(cli, [group, "--help"]).output, re.M), group


def _imported(*runs: tuple[str, ...]) -> list[set[str]]:
    """The top-level modules that a process has imported after each of these runs of the program, one after another."""
    code = (
        "import json, sys\n"
        "from gateway.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    sys.argv[1:] = arguments\n"
        "    try:\n        main()\n    except SystemExit as end:\n        status = end.code\n"
        "    sys.stdout.flush()\n"
        "    print(json.dumps([status, *sorted({name.partition('.')[0] for name in sys.modules})]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(runs)], capture_output=True, text=True, timeout=60, check=True
    )
    found = []
    for arguments, line in zip(runs, done.stderr.splitlines(), strict=True):
        status, *modules = json.loads(line)
        assert status == 0, arguments
        found.append(set(modules))
    return found


def test_help_imports_nothing_heavy() -> None:
    for modules in _imported(("--help",), ("--version",)):
        assert modules & HEAVY == set()


def test_the_help_of_a_command_imports_no_library_it_needs_only_to_run() -> None:
    runs = [(command, "--help") for command in COMMANDS]
    for (command, _), modules in zip(runs, _imported(*runs), strict=True):
        assert modules & HEAVY <= {"asyncio"}, command


@pytest.mark.parametrize("args", _commands(), ids=" ".join)
def test_every_command_has_a_help_text_and_the_common_options(args: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli, [*args, "--help"], prog_name="faxgateway")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: faxgateway {' '.join(args)} ")
    assert "--debug" in result.stdout
    _usage, text, *_ = result.stdout.split("\n\n")
    assert re.search(r"^  [A-Z].*\.$", text, re.M | re.S), text
    assert not re.search(r"^  --?[a-z][^ ]*( [A-Z]+)?$", result.stdout, re.M), "an option without a help text"
    for name in COMMANDS:
        assert name in CliRunner().invoke(cli, ["--help"]).stdout


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.stdout.splitlines()[0] == f"faxgateway {__version__}"
    assert re.search(r"Python 3\.\d+\.\d+, SQLite 3\.\d+", result.stdout)
    assert run("--version").stdout == result.stdout  # python -m gateway
    installed = subprocess.run(
        [Path(sys.executable).parent / "faxgateway", "--version"], capture_output=True, text=True, check=True
    )
    assert installed.stdout == result.stdout


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["qeue"], "there is no command qeue; did you mean queue?"),
        (["queue", "lst"], "there is no command lst; did you mean list?"),
        (["xyzzy"], "there is no command xyzzy\n"),
        (["queue", "list", "--jsn"], "No such option '--jsn'."),
        (["queue", "show"], "Missing argument 'ID'"),
        (["queue", "list", "--limit", "0"], "0 is not in the range x>=1"),
        (["route", "add", "fax", "*"], "'fax' is not one of 'did', 'sender'"),
        (["route", "add", "sender", "*", "--allow", "--deny"], "--allow or --deny, not both"),
        (["provider", "cost", "x", "y"], "'x' is not a valid integer"),
        (["send", "--to", "+12025550123", "--text", "x", "--timeout", "3"], "--timeout goes with --wait"),
    ],
)
def test_a_wrong_usage_has_status_64_and_goes_to_standard_error(offline: Cli, args: list[str], words: str) -> None:
    result = offline(*args, status=64)
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("args", [[], ["queue"], ["route"]])
def test_a_command_that_needs_another_word_shows_its_help(offline: Cli, args: list[str]) -> None:
    result = offline(*args, status=64)
    assert "Commands:" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (Refused("the number is none"), 65, "faxgateway: the number is none\n"),
        (NoSpace("the disk is full"), 75, "faxgateway: the disk is full\n"),
        (KeyRefused("the key is refused", "detail"), 77, "faxgateway: the key is refused\n"),
        (OutcomeUnknown("no answer came"), 76, "faxgateway: no answer came\n"),
        (StoreBroken("the database is broken"), 70, "faxgateway: the database is broken\n"),
        (base.Failed("nobody there", 69), 69, "faxgateway: nobody there\n"),
        (PermissionError(13, "Permission denied", "/x"), 77, "faxgateway: /x: Permission denied\n"),
        (OSError(5, "Input/output error"), 74, "faxgateway: Input/output error\n"),
        (OSError("odd"), 74, "faxgateway: odd\n"),
        (KeyError("x"), 70, "faxgateway: KeyError: 'x' (this should not happen; --debug shows where it did)\n"),
        (click.ClickException("bad file"), 65, "Error: bad file\n"),
        (click.Abort(), 130, "Aborted.\n"),
        (KeyboardInterrupt(), 130, "\nAborted.\n"),
    ],
)
def test_every_error_ends_in_one_sentence_and_a_status_of_sysexits(
    offline: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, said: str
) -> None:
    def broken(*_args: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr("gateway.cli.route.ask", broken)
    result = offline("route", "list", status=status)
    assert (result.stdout, result.stderr) == ("", said)


def test_a_program_that_calls_it_gets_the_errors_themselves(offline: Cli) -> None:
    with pytest.raises(NotFound):
        cli.main(["queue", "show", "x", "-c", str(offline.config)], standalone_mode=False)


def test_debug_shows_where_it_happened_and_keeps_the_status(offline: Cli, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("domian: x\n")
    quiet = CliRunner().invoke(cli, ["check-config", "-c", str(broken)])
    loud = run("check-config", "--debug", "-c", str(broken))
    assert (quiet.exit_code, loud.returncode) == (78, 78)
    assert "Traceback" not in quiet.stderr
    assert "Traceback (most recent call last)" in loud.stderr
    assert loud.stderr.endswith(quiet.stderr)
    assert "Traceback" not in CliRunner().invoke(cli, ["check-config", "--debug", "--nonsense"]).stderr
    above = CliRunner().invoke(cli, ["--debug", "queue", "show", "x", "-c", str(offline.config)])
    assert above.stderr.startswith("Traceback")


def test_the_configuration_may_be_named_before_or_after_the_command(tmp_path: Path) -> None:
    config = str(write_config(tmp_path))
    for args in (
        ["-c", config, "route", "list"],
        ["route", "-c", config, "list"],
        ["route", "list", "--config", config],
    ):
        assert CliRunner().invoke(cli, args).exit_code == 0
    last_wins = CliRunner().invoke(cli, ["-c", "/nowhere", "route", "list", "-c", config])
    assert last_wins.exit_code == 0


def test_without_a_configuration_it_says_where_it_looked() -> None:
    result = CliRunner().invoke(cli, ["queue", "list"])
    assert result.exit_code == 78
    assert "looked for ./config.yaml" in result.stderr
    assert "faxgateway init" in result.stderr
    result = CliRunner().invoke(cli, ["queue", "list", "-c", "nope.yaml"])
    assert (result.exit_code, result.stderr) == (78, "there is no configuration file nope.yaml\n")


@pytest.mark.parametrize("command", ["check-config --schema", "--help", "queue list --help"])
def test_a_reader_that_has_had_enough_is_met_with_silence(command: str) -> None:
    writer = subprocess.Popen(
        [*PROGRAM, *command.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=0
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    assert writer.stderr.read() == ""
    assert writer.wait(60) == 74
    writer.stderr.close()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_nobodys_fault(offline: Cli, closed: str) -> None:
    command = ["sh", "-c", f'"$0" -m gateway route list --json -c "$1" {closed}', sys.executable, str(offline.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if closed.startswith((">", "<&- >")) else "[]\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_the_output_is_told_in_one_sentence(offline: Cli) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "check-config", "--schema"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (74, "faxgateway: No space left on device\n")


def test_what_strangers_wrote_does_not_steer_the_terminal(offline: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    route = {"kind": "did", "match": "\x1b[2J+1", "mailboxes": ["a@b\n"], "note": "\u202e"}
    monkeypatch.setattr("gateway.cli.route.ask", lambda *_: {"routes": [route]})
    shown = offline("route", "list").stdout
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert len(shown.splitlines()) == 2


def _on_a_terminal(code: str, columns: int) -> str:
    """What a program prints on a terminal so wide, without its colours."""
    parent, child = os.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns)}
    subprocess.run([sys.executable, "-c", code], env=env, stdout=child, timeout=60, check=True)
    os.close(child)
    shown = os.read(parent, 10_000).decode()
    os.close(parent)
    return re.sub(r"\x1b\[\d*m", "", shown)


def test_a_narrow_terminal_does_not_break_what_is_copied() -> None:
    code = (
        "from gateway.cli import output\n"
        "row = {'i': 'dZpNL7jgmC3d-1', 'w': 'many words ' * 20, 'x': 'someone@example.org', 't': '+99999990001'}\n"
        "output.listing([row], {'ID': 'i', 'WHY': 'w', 'FROM': 'x', 'TO': 't'}, json=False, empty='')\n"
    )
    shown = _on_a_terminal(code, 50)
    assert "dZpNL7jgmC3d-1" in shown
    assert "+99999990001" in shown
    assert all(len(line) <= 50 for line in shown.splitlines())


def test_a_list_of_faxes_on_80_columns_has_whole_dates_and_words() -> None:
    why = "Fax Failed - Line Busy (The fax machine could be busy)"
    fax = {
        "id": "dZpNL7jgmC3d-1", "state": "failed", "created_at": "2026-11-24T08:14:23Z", "from": "you@example.com",
        "to": "+99999990001", "pages": 3, "hold": "", "last_error": why,
    }  # fmt: skip
    faxes = [fax, {**fax, "state": "delivered", "last_error": ""}]
    code = (
        "from gateway.cli import queue\n"
        f"queue.ask = lambda *_: {{'jobs': {faxes!r}}}\n"
        "queue.list_(['-c', 'config.yaml'])\n"
    )
    shown = _on_a_terminal(code, 80)
    assert shown.count("  2026-11-24  ") == 2
    assert {*why.split()} <= {*shown.split()}
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_on_a_terminal_tables_are_coloured_unless_no_color_says_no(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from gateway.cli import output\n"
        "output.listing([{'s': 'failed', 'n': None}, {'s': 'odd \\x1b', 'n': 3}], {'S': 's', 'N': 'n'}, json=False, empty='')\n"
        "print(output.styled('FAIL'), output.styled('plain'))\n"
    )
    for env, coloured in (({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False)):
        parent, child = os.openpty()
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TERM": "xterm", **env},
            stdout=child,
            timeout=60,
            check=True,
        )
        os.close(child)
        shown = os.read(parent, 10_000).decode()
        os.close(parent)
        assert done.returncode == 0
        assert ("\x1b[31m" in shown) is coloured
        assert "odd �" in shown
