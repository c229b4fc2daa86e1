"""Without a daemon: what needs one says so with status 69, all else works on the state directory under its lock."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cli.conftest import PROGRAM, Cli, Outside, write_config
from gateway.cli import client
from gateway.store.lock import StateLock


@pytest.mark.parametrize(
    "args", [["status"], ["status", "--json"], ["reload"], ["send", "--to", "+12025550123", "--text", "x"]]
)
def test_what_needs_a_daemon_says_so(offline: Cli, args: list[str]) -> None:
    result = offline(*args, status=69)
    assert result.stdout == ""
    assert result.stderr == (
        f"faxgateway: no gateway is running (nobody answers at {offline.config.parent / 'state/admin.sock'});"
        " start it with: faxgateway serve, or: systemctl start faxgateway\n"
    )


def test_a_dead_socket_is_as_no_daemon(offline: Cli, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "state/admin.sock"))
    offline("status", status=69)
    assert offline.json("queue", "list") == []


def test_a_socket_one_may_not_open_is_told_apart(offline: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir()

    def denied(_path: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(client, "_try", denied)
    result = offline("queue", "list", status=77)
    assert "only root and the gateway's own user may use" in result.stderr


def test_routes_are_kept_without_a_daemon(offline: Cli, tmp_path: Path) -> None:
    assert offline.json("route", "list") == []
    assert "No routes: received faxes go to the fallback mailbox" in offline("route", "list").stderr
    added = offline(
        "route", "add", "did", "(202) 555-0100", "a@example.org", "--mailbox", "b@example.org", "--note", "desk"
    )
    assert (added.stdout, added.stderr) == ("", "did +12025550100: to a@example.org, b@example.org\n")
    offline(
        "route",
        "add",
        "sender",
        "Ann@Example.org",
        "--tsi",
        "ACME",
        "--region",
        "gb",
        "--results-to",
        "log@example.org",
    )
    (did, sender) = offline.json("route", "list")
    assert sorted(did) == sorted(sender) == [
        "allow", "approval", "caps", "created_at", "identity", "kind", "mailboxes", "match", "note", "number_in_subject",
        "options", "own_tsi",
        "region", "results_to", "tsi",
    ]  # fmt: skip
    table = offline("route", "list").stdout.splitlines()
    assert table[0].split() == ["KIND", "MATCH", "DOES", "NOTE"]
    assert table[1].split("  ")[0] == "did"
    assert "may send (identity: network), station id ACME, numbers as in GB, results to log@example.org" in table[2]
    assert offline.json("route", "add", "sender", "*", "--deny")[0]["allow"] is False
    assert offline("route", "remove", "did", "+1 202 555 0100").stderr == "did +12025550100: removed\n"
    gone = offline("route", "remove", "did", "+12025550100", status=65)
    assert gone.stderr == "faxgateway: there is no did route for +12025550100\n"
    wrong = offline("route", "add", "did", "+12025550100", status=65)
    assert wrong.stderr == "faxgateway: a did route needs at least one mailbox\n"
    assert oct((tmp_path / "state/faxgateway.db").stat().st_mode & 0o777) == "0o600"


def test_short_names_can_be_set_before_the_first_start(offline: Cli) -> None:
    assert offline.json("alias", "list") == []
    assert "No short names." in offline("alias", "list").stderr
    said = offline("alias", "add", "Reception", "(202) 555-0123", "--name", "Front desk", "--note", "x").stderr
    assert said == "reception is +12025550123 for everybody\n"
    (added,) = offline.json("alias", "add", "4711", "+12025550177", "--for", "ip:192.168.7.0/24")
    assert {"name": "4711", "number": "+12025550177", "scope": "ip:192.168.7.0/24"}.items() <= added.items()
    table = offline("alias", "list").stdout.splitlines()
    assert [row.split() for row in table] == [
        ["NAME", "NUMBER", "FOR", "ADDRESSEE", "NOTE"],
        ["4711", "+12025550177", "ip:192.168.7.0/24"],
        ["reception", "+12025550123", "*", "Front", "desk", "x"],
    ]
    removed = offline("alias", "remove", "4711", "--for", "ip:192.168.7.0/24").stderr
    assert removed == "4711 for ip:192.168.7.0/24: removed\n"
    assert "there is no short name 4711 for *" in offline("alias", "remove", "4711", status=65).stderr


def test_route_test_explains_itself(offline: Cli) -> None:
    offline("route", "add", "sender", "user:ann", "--tsi", "ACME", "--region", "GB", "--results-to", "log@example.org")
    shown = offline("route", "test", "+1 (202) 555-0123", "--user", "ann", "--from", "ann@example.org").stdout
    assert dict(line.split("  ", 1) for line in shown.replace(":  ", ": ").splitlines()) | {} == {
        "address": "   +1 (202) 555-0123",
        "number": "    +12025550123",
        "country": "   US",
        "class": "     ordinary",
        "sender": "    ann@example.org",
        "route": "     user:ann: may send (identity: network), station id ACME, numbers as in GB, results to log@example.org",
        "station id": "ACME",
        "results to": "log@example.org",
        "faxed": "     yes",
        "because": "   the route for user:ann lets ann@example.org send;"
        " ordinary numbers of the United States (+1) are allowed",
    }
    refused = offline("route", "test", "+49 30 901820", "--client", "10.0.0.1", status=65).stdout
    assert "faxed       no" in refused
    assert "faxes to Germany (+49) are not allowed here" in refused
    assert offline.json("route", "test", "+49 30 901820", status=65)["allowed"] is False
    daemon = offline.json("route", "test", "+12025550123", "--from", "mailer-daemon@example.org", status=65)
    assert "MAILER-DAEMON are not faxed" in daemon["reason"]
    did = offline("route", "test", "--did", "(202) 555-0100").stdout
    assert "faxes go to  admin@example.org" in did
    for args in ([], [""], ["+12025550123", "--did", "+12025550100"]):
        assert "name an ADDRESS or --did NUMBER" in offline("route", "test", *args, status=64).stderr


def test_users_are_kept_without_a_daemon_and_passwords_stay_out_of_the_command_line(
    offline: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offline("user", "list").stderr == "No logins.\n"
    added = offline("user", "add", "ann", "--password-stdin", input="correct horse\nmore\n")
    assert (added.stdout, added.stderr) == ("", "ann may log in.\n")
    (user,) = offline.json("user", "list")
    assert (sorted(user), user["name"]) == (["created_at", "name"], "ann")
    assert offline("user", "list").stdout.splitlines()[1].startswith("ann ")
    again = offline("user", "add", "ann", "--password-stdin", input="correct horse\n", status=65)
    assert "faxgateway user passwd ann" in again.stderr
    assert "Error: there is no terminal to ask for the password; use --password-stdin" in (
        offline("user", "passwd", "ann", input="battery staple\n", status=64).stderr
    )
    assert "No such option '--password'" in offline("user", "add", "bob", "--password", "x", status=64).stderr
    latin = subprocess.run(
        [*PROGRAM, "user", "add", "bo", "--password-stdin", "-c", str(offline.config)],
        check=False, capture_output=True, input="pa\xdfwort\xe4".encode("latin-1"),
    )  # fmt: skip
    assert (latin.returncode, b"the password on standard input is no text in UTF-8" in latin.stderr) == (64, True)
    short = offline("user", "passwd", "ann", "--password-stdin", input="short\n", status=65)
    assert short.stderr == "faxgateway: a password has 8 to 1000 characters\n"
    monkeypatch.setattr("gateway.cli.user._has_terminal", lambda: True)
    changed = offline("user", "passwd", "ann", input="battery staple\nbattery staple\n")
    assert "battery staple" not in changed.output
    assert changed.stderr.endswith("ann has a new password.\n")
    assert "do not match" in offline("user", "passwd", "ann", input="battery staple\nother\n", status=130).stderr
    assert offline("user", "remove", "ann").stderr == "ann is removed.\n"
    assert offline("user", "remove", "ann", status=65).stderr == "faxgateway: there is no user ann\n"


def test_lists_are_empty_lists_on_a_new_state_directory(offline: Cli) -> None:
    for command in ("queue", "inbound", "route", "user"):
        assert offline.json(command, "list") == []


def test_the_provider_is_asked_without_a_daemon(tmp_path: Path, outside: Outside) -> None:
    cli = Cli(write_config(tmp_path, provider_port=outside.provider_port))
    assert cli("provider", "balance").stdout == "9.5\n"
    assert cli("provider", "cost", "7", "(202) 555-0123", status=65).stderr == "faxgateway: no such document\n"
    away = Cli(write_config(tmp_path, provider_port=1))
    assert away("provider", "balance", status=75).stderr.startswith("faxgateway: the fax provider ")


def test_only_what_speaks_to_the_provider_needs_the_key(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("api_key: key-of-the-account", "api_key: {env: NOT_SET}"))
    cli = Cli(config)
    assert cli.json("queue", "list") == []
    assert "NOT_SET" in cli("provider", "balance", status=78).stderr


def test_while_another_process_has_the_state_directory_nothing_is_touched(offline: Cli, tmp_path: Path) -> None:
    with StateLock(tmp_path / "state"):
        result = offline("queue", "list", status=75)
    assert result.stderr == f"faxgateway: another faxgateway (process {os.getpid()}) is using {tmp_path / 'state'}\n"


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    (tmp_path / "file").touch()
    config.write_text(
        config.read_text().replace(f"state_dir: {tmp_path / 'state'}", f"state_dir: {tmp_path}/file/state")
    )
    result = Cli(config)("queue", "list", status=74)
    assert result.stderr == f"faxgateway: {tmp_path}/file/state: Not a directory\n"


def test_a_database_that_is_none_is_told_without_a_traceback(offline: Cli, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/faxgateway.db").write_bytes(b"not a database" * 100)
    result = offline("queue", "list", status=70)
    assert f"the database {tmp_path / 'state/faxgateway.db'} cannot be used" in result.stderr
    assert "restore a backup" in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_without_a_daemon_writes_as_the_owner_of_the_state_directory() -> None:
    """Tried without running a command: the other user may not be allowed to read the interpreter's directory."""
    state = Path(tempfile.mkdtemp())  # not below a directory of pytest's, which nobody else may enter
    os.chown(state, 65534, 65534)
    code = (
        "import os, pathlib, sys\n"
        "from gateway.cli.client import _become_owner\n"
        "state = pathlib.Path(sys.argv[1])\n"
        "_become_owner(state)\n"
        "(state / 'lock').touch()\n"
        "print(os.getresuid(), os.getresgid(), os.getgroups())\n"
        "_become_owner(pathlib.Path('/nowhere'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(state)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "(65534, 65534, 65534) (65534, 65534, 65534) []\n"
    assert ((state / "lock").stat().st_uid, (state / "lock").stat().st_gid) == (65534, 65534)
    shutil.rmtree(state)


def test_a_password_is_read_from_a_pipe_by_a_real_process(offline: Cli) -> None:
    config = str(offline.config)
    done = subprocess.run(
        ["sh", "-c", 'printf "correct horse\\n" | "$0" -m gateway user add ann --password-stdin -c "$1"', sys.executable, config],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "ann may log in.\n")
