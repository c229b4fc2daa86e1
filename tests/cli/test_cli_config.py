"""``check-config`` and ``init``: the first two commands a newcomer meets."""

from __future__ import annotations

import json
import os
import shlex
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from cli.conftest import Cli, run, write_config
from gateway.cli.root import cli
from gateway.config import load


def invoke(*args: str, **more: str) -> Result:
    result = CliRunner().invoke(cli, list(args), **more)
    assert "Traceback" not in result.output
    return result


# --- check-config -----------------------------------------------------------------------------------------------------


def test_a_good_configuration_is_called_good(offline: Cli) -> None:
    result = offline("check-config")
    assert (result.stdout, result.stderr) == ("", f"{offline.config} is good.\n")


def test_warnings_are_told_and_are_no_failure(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t" * 32)
    token.chmod(0o644)
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace(f"token: {'t' * 32}", "token: {file: token}"))
    result = invoke("check-config", "-c", str(config))
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: ")
    assert "token" in result.stderr.splitlines()[0]
    assert result.stderr.endswith(f"{config} is good, with 1 warning.\n")


def test_a_libreoffice_that_is_not_there_is_warned_of(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("document: {", f"document: {{office: {tmp_path}, "))
    result = invoke("check-config", "-c", str(config))
    assert result.exit_code == 0
    assert f"warning: document.office: there is no LibreOffice in {tmp_path}" in result.stderr


def test_all_problems_are_told_at_once_with_lines_and_what_may_be_meant(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "domian: fax.local\ndefault_region: Germany\nsmtp:\n  listeners:\n    - adress: 127.0.0.1:25\n"
        "provider: {api_key: {env: FAXTO_API_KEY}}\nhttp: {callbacks: {token: short}}\nmail: {relay: {tls: startls}}\n"
    )
    result = invoke("check-config", "-c", str(config))
    assert (result.exit_code, result.stdout) == (78, "")
    lines = result.stderr.splitlines()
    assert lines[-1] == f"{config} has {len(lines) - 1} problems"
    for line, words in (
        ("1:1: domian", "did you mean domain?"),
        ("2:17: default_region", "did you mean DE?"),
        ("5:7: smtp.listeners[0].adress", "did you mean address?"),
        ("6:21: provider.api_key", "FAXTO_API_KEY"),
        ("7:27: http.callbacks.token", "openssl rand -hex 24"),
        ("8:21: mail.relay.tls", "did you mean starttls?"),
    ):
        (found,) = [each for each in lines if each.startswith(f"{config}:{line}")]
        assert words in found
    done = run("check-config", "-c", str(config))  # as a process, too
    assert (done.returncode, done.stderr.splitlines()) == (78, lines)


def test_show_prints_all_options_in_force_without_secrets(offline: Cli, tmp_path: Path) -> None:
    shown = offline("check-config", "--show").stdout
    assert "key-of-the-account" not in shown
    options = yaml.safe_load(shown)
    assert options["provider"]["api_key"] == "***"
    assert options["smtp"]["max_message"] == "50MB"
    assert options["policy"]["countries"] == ["US", "CA"]


def test_the_schema_needs_no_configuration() -> None:
    result = invoke("check-config", "--schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["title"] == "faxgateway configuration"


def test_an_engine_that_is_demanded_and_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.document.engine.missing", lambda: "WeasyPrint is missing: pip install it")
    config = write_config(tmp_path)
    plain = config.read_text()
    for setting, status in (("auto", 0), ("text", 0), ("engine", 78)):
        config.write_text(plain.replace("document: {", f"document: {{html: {setting}, "))
        result = invoke("check-config", "-c", str(config))
        assert result.exit_code == status
    assert (
        "document.html is engine, and HTML cannot be drawn here: WeasyPrint is missing: pip install it" in result.stderr
    )


# --- init -------------------------------------------------------------------------------------------------------------


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_init_writes_what_check_config_accepts(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.yaml"
    result = invoke(
        "init", "-c", str(path), "--domain", "fax.example.org", "--relay", "mail.example.org:2525",
        "--fallback", "office@example.org", "--sender", "fax@example.org", "--region", "de", "--listen", "127.0.0.1:2526",
        "--network", "10.0.0.0/8", "--network", "127.0.0.0/8", "--state-dir", str(tmp_path / "state"), "--api-key-stdin",
        input="my key\n",
    )  # fmt: skip
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
    assert invoke("check-config", "-c", str(path)).exit_code == 0
    config = load(path, {})
    assert (config.domains, config.default_region, config.policy.countries) == (("fax.example.org",), "DE", ("DE",))
    assert (config.mail.relay.host, config.mail.relay.port) == ("mail.example.org", 2525)
    assert (config.mail.sender, config.mail.fallback) == ("Fax gateway <fax@example.org>", "office@example.org")
    (listener,) = config.smtp.listeners
    assert (listener.address, listener.networks) == ("127.0.0.1:2526", ("10.0.0.0/8", "127.0.0.0/8"))
    assert config.provider.api_key.value == "my key"
    assert len(config.http.callbacks.token.value) >= 40
    assert config.warnings == ()
    assert {file.name: _mode(file) & 0o077 for file in path.parent.iterdir()} == {
        "config.yaml": 0, "callback_token": 0, "faxto_api_key": 0,
    }  # fmt: skip
    for step in ("Next:", f"faxgateway doctor -c {path}", f"faxgateway serve -c {path}", "/callback/$(cat"):
        assert step in result.stderr
    assert "my key" not in result.output


def test_init_without_a_terminal_takes_the_defaults_and_names_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    result = invoke("init", "-c", str(path))
    assert result.exit_code == 0
    assert "export FAXTO_API_KEY=..." in result.stderr
    assert load(path, {"FAXTO_API_KEY": "k"}).state_dir == tmp_path / "state"
    without_key = invoke("check-config", "-c", str(path))
    assert without_key.exit_code == 78
    assert "FAXTO_API_KEY" in without_key.stderr


def test_two_inits_have_two_tokens(tmp_path: Path) -> None:
    tokens = set()
    for name in ("a", "b c"):
        path = tmp_path / name / "config.yaml"
        shown = invoke("init", "-c", str(path)).stderr
        assert f"faxgateway doctor -c {shlex.quote(str(path))}\n" in shown
        tokens.add((tmp_path / name / "callback_token").read_text())
    assert len(tokens) == 2


def test_init_asks_a_person_at_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.init._has_terminal", lambda: True)
    path = tmp_path / "config.yaml"
    answers = ["fax.example.org", "mail.example.org", "office@example.org", "gb", "", "secret key"]
    result = invoke("init", "-c", str(path), input="\n".join(answers) + "\n")
    assert (result.exit_code, result.stdout) == (0, f"{path}\n")
    assert "Mail domain of the fax addresses [fax.local]:" in result.stderr
    assert "secret key" not in result.output
    config = load(path, {})
    assert (config.domains, config.mail.relay.host, config.mail.relay.port) == (
        ("fax.example.org",),
        "mail.example.org",
        25,
    )
    assert config.provider.api_key.value == "secret key"
    assert config.state_dir == tmp_path / "state"


def test_init_asks_again_for_an_answer_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cli.init._has_terminal", lambda: True)
    path = tmp_path / "config.yaml"
    answers = ["a b", "fax.example.org", "mx:x", "mx.example.org:587", "office", "office@example.org", "Germany", "DE"]
    result = invoke("init", "-c", str(path), input="\n".join([*answers, "", "key"]) + "\n")
    assert result.exit_code == 0
    for words in ("'a b' is not a domain name", "'mx:x' is not the name", "'office' is not a mail address", "mean DE?"):
        assert words in result.stderr
    config = load(path, {})
    assert (config.mail.relay.host, config.mail.relay.port) == ("mx.example.org", 587)
    assert (config.mail.fallback, config.policy.countries) == ("office@example.org", ("DE",))


def test_init_for_systemd_keeps_the_secrets_as_credentials(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    result = invoke("init", "-c", str(path), "--systemd", "--api-key-stdin", input="my key\n")
    assert result.exit_code == 0
    assert "systemctl enable --now faxgateway" in result.stderr
    assert sorted(file.name for file in (tmp_path / "credentials").iterdir()) == ["callback_token", "faxto_api_key"]
    assert _mode(tmp_path / "credentials") & 0o077 == 0
    assert '{"credential": "faxto_api_key"}' in path.read_text()
    assert invoke("check-config", "-c", str(path)).exit_code == 0  # read from beside the configuration


def test_init_for_systemd_without_a_key_says_where_it_goes(tmp_path: Path) -> None:
    """An exported variable does not reach the unit."""
    path, key = tmp_path / "config.yaml", tmp_path / "credentials" / "faxto_api_key"
    result = invoke("init", "-c", str(path), "--systemd")
    assert (result.exit_code, "FAXTO_API_KEY" in result.stderr + path.read_text()) == (0, False)
    assert f"(umask 077; cat > {key})   (the key of your Fax.to account)" in result.stderr
    assert not key.exists()
    key.write_text("my key\n")
    assert invoke("check-config", "-c", str(path)).exit_code == 0


@pytest.mark.parametrize("name", ["config.yaml", "callback_token"])
def test_init_overwrites_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious\n")
    result = invoke("init", "-c", str(tmp_path / "config.yaml"))
    assert result.exit_code == 73
    assert (
        result.stderr
        == f"faxgateway: {tmp_path / name} exists; nothing was changed; name a file in another directory with -c\n"
    )
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious\n"


def test_init_asks_for_the_key_that_did_not_come(tmp_path: Path) -> None:
    result = invoke("init", "-c", str(tmp_path / "config.yaml"), "--api-key-stdin", input="\n")
    assert (result.exit_code, "there is no API key on standard input" in result.stderr) == (64, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("relay", "host", "port"),
    [("::1", "::1", 25), ("2001:db8::25", "2001:db8::25", 25), ("[::1]", "::1", 25), ("[::1]:2626", "::1", 2626),
     ("127.0.0.1:26", "127.0.0.1", 26), ("mail.example.org", "mail.example.org", 25)],
)  # fmt: skip
def test_init_takes_the_mail_server_as_people_write_it(tmp_path: Path, relay: str, host: str, port: int) -> None:
    path = tmp_path / "config.yaml"
    assert invoke("init", "-c", str(path), "--relay", relay).exit_code == 0
    found = load(path, {"FAXTO_API_KEY": "a key"}).mail.relay
    assert (found.host, found.port) == (host, port)


def test_init_fills_a_place_that_was_made_for_a_secret(tmp_path: Path) -> None:
    (tmp_path / "callback_token").touch()
    assert invoke("init", "-c", str(tmp_path / "config.yaml")).exit_code == 0
    assert len((tmp_path / "callback_token").read_text()) > 40
    assert _mode(tmp_path / "callback_token") == 0o600


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--region", "Atlantis"], "default_region: 'ATLANTIS' is not a country code"),
        (["--network", "0.0.0.0/0"], "an open relay for faxes"),
        (["--fallback", "me@fax.local"], "lies in the fax domain"),
        (["--domain", "a b"], "is not a domain name"),
        (["--relay", ":x"], "mail.relay.host"),
        (["--listen", "nowhere"], "must be HOST:PORT"),
    ],
)
def test_init_leaves_nothing_behind_when_the_result_is_not_good(tmp_path: Path, args: list[str], words: str) -> None:
    result = invoke("init", "-c", str(tmp_path / "new" / "config.yaml"), *args)
    assert result.exit_code == 78
    assert words in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_init_as_root_lets_the_services_user_read_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With this process's own user in the role of the service's."""
    import grp
    import pwd

    me, mine = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    if me != mine:
        pytest.skip("this user has no group of the same name")
    monkeypatch.setattr("gateway.cli.init._USER", me)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    path = tmp_path / "etc" / "config.yaml"
    assert invoke("init", "-c", str(path), "--api-key-stdin", input="k\n").exit_code == 0
    assert {each.name: _mode(each) for each in (path.parent, path, path.parent / "faxto_api_key")} == {
        "etc": 0o750, "config.yaml": 0o640, "faxto_api_key": 0o600,
    }  # fmt: skip
    path = tmp_path / "unit" / "config.yaml"
    assert invoke("init", "-c", str(path), "--systemd", "--api-key-stdin", input="k\n").exit_code == 0
    assert _mode(path.parent / "credentials") == 0o700  # root alone: systemd hands them on
