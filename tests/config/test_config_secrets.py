"""Secrets: read from where they are named, shown nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import settings
from gateway.config import Config, Secret, load
from gateway.config.secrets import Surroundings

Read = Callable[[str], Config]
Problems = Callable[..., list[str]]
Write = Callable[[str], Path]
KEY = "key-of-the-account"
TOKEN = "0123456789abcdef0123456789abcdef"


def test_from_the_environment_and_from_a_file(read: Read) -> None:
    config = read("")
    assert config.provider.api_key.value == KEY
    assert config.http.callbacks.token.value == TOKEN, "without the newline of the file"


def test_a_file_of_notepad(read: Read, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xef\xbb\xbfsecret\r\n")
    config = read("provider: {api_key: {file: key}}")
    assert config.provider.api_key.value == "secret"


def test_a_plain_text(read: Read) -> None:
    assert read("provider: {api_key: 0123}").provider.api_key.value == "0123"
    assert read("mail: {relay: {password: ~}}").mail.relay.password is None


def test_no_repr_or_dump_shows_a_secret(read: Read) -> None:
    config = read("provider: {api_key: hunter2}\nmail: {relay: {user: me, password: hunter3}}")
    shown = f"{config!r} {config!s} {config.masked()} {config.provider.api_key} {config.model_dump_json()}"
    assert "hunter" not in shown
    assert TOKEN not in shown
    assert str(Secret("hunter2")) == "***"
    assert Secret("hunter2") == Secret("hunter2", {"env": "X"}) != Secret("hunter3")


def test_masked_shows_the_source(read: Read) -> None:
    masked = read("mail: {relay: {user: me, password: hunter3}}").masked()
    assert masked["provider"]["api_key"] == {"env": "FAXTO_API_KEY"}
    assert masked["http"]["callbacks"]["token"] == {"file": "callback-token"}
    assert masked["mail"]["relay"]["password"] == "***"


def test_from_systemd(write: Write, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "faxto").write_text("from systemd\r\n")
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    config = load(write("provider: {api_key: {credential: faxto}}"), environ)
    assert config.provider.api_key.value == "from systemd"
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("secret", "environ", "problem"),
    [
        ("{env: NOPE}", {}, "the environment variable NOPE is not set; set it"),
        ("{env: EMPTY}", {"EMPTY": ""}, "the environment variable EMPTY is empty; set it"),
        ("{env: LINES}", {"LINES": "a\nb"}, "a secret is one line"),
        ("{env: BLANK}", {"BLANK": " a"}, "a secret is one line, without blanks before or behind it"),
        ("{file: nowhere}", {}, "nowhere cannot be read (No such file or directory); put the secret into it"),
        ("{file: .}", {}, "cannot be read (Is a directory)"),
        ("{file: empty}", {}, "the file empty is empty"),
        ("{file: binary}", {}, "cannot be read (not UTF-8 text)"),
        ("{credential: x}", {}, "there is no $CREDENTIALS_DIRECTORY; start under systemd with LoadCredential=x:/path"),
        ("{credential: x}", {"CREDENTIALS_DIRECTORY": "/nowhere"}, "add LoadCredential=x:/path/to/file to the unit"),
        ("{credential: ../x}", {"CREDENTIALS_DIRECTORY": "/nowhere"}, "the name of a credential has no slash"),
        ("{credential: binary}", {"CREDENTIALS_DIRECTORY": "."}, "cannot be read (not UTF-8 text)"),
        ("{vault: x}", {}, "must be a text or one of {env: NAME}, {file: PATH}, {credential: NAME}"),
        ("{env: A, file: b}", {"A": "x"}, "must be a text or one of"),
        ("[a]", {}, "must be a text or one of"),
        ("{env: }", {}, "env needs a name"),
        ("{env: [A]}", {}, "env needs a name"),
        ("''", {}, "is empty"),
        ("", {}, "needs a value"),
    ],
)
def test_a_secret_that_is_missing(
    problems: Problems,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    secret: str,
    environ: dict[str, str],
    problem: str,
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.chdir(tmp_path)
    (found,) = problems(f"provider:\n  api_key: {secret}\n", environ)
    assert found.startswith("2:")
    assert "provider.api_key: " in found
    assert problem in found


def test_a_missing_token_file_has_a_command_as_remedy(problems: Problems, tmp_path: Path) -> None:
    (found,) = problems("http: {callbacks: {token: {file: secrets/token}}}")
    path = tmp_path / "secrets" / "token"
    assert f"create it with: (umask 077; openssl rand -hex 24 > {path})" in found


def test_a_default_that_is_missing_is_told_too(problems: Problems) -> None:
    assert problems("domain: a.b", {}) == [
        "1:1: provider.api_key: the environment variable FAXTO_API_KEY is not set; set it, or use {file: PATH}"
    ]


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        ("short", "has 5 characters, at least 22 are needed"),
        ("x" * 21, "has 21 characters"),
        ("0123456789abcdef/0123456789", "letters, digits and - . _ ~ only"),
        ("0123456789abcdef0123456789\u00e9", "letters, digits and - . _ ~ only"),
    ],
)
@pytest.mark.parametrize("option", ["token", "old_token"])
def test_a_weak_callback_token(problems: Problems, option: str, token: str, problem: str) -> None:
    (found,) = problems(f"http: {{callbacks: {{{option}: {token}}}}}")
    assert problem in found
    assert token not in found


def test_a_token_of_128_bits_will_do(read: Read) -> None:
    token = "AbCdEfGhIjKlMnOpQr-_~."
    assert read(f"http: {{callbacks: {{token: {token}}}}}").http.callbacks.token.value == token


def test_an_old_token_is_good_beside_the_new_one(read: Read) -> None:
    assert settings.callbacks(read(f"http: {{callbacks: {{token: {TOKEN}}}}}")).tokens == (TOKEN,)
    both = f"http: {{callbacks: {{token: {TOKEN}, old_token: {TOKEN[::-1]}}}}}"
    assert settings.callbacks(read(both)).tokens == (TOKEN, TOKEN[::-1])


def test_warnings_about_files_that_others_can_read(write: Write, tmp_path: Path) -> None:
    path = write("provider: {api_key: inline}")
    assert load(path, {}).warnings == ()
    path.chmod(0o644)
    (tmp_path / "callback-token").chmod(0o604)
    assert load(path, {}).warnings == (
        f"others can read the secret in {tmp_path / 'callback-token'}: chmod 600 {tmp_path / 'callback-token'}",
        f"{path} holds a secret and others can read it: chmod 600 {path}",
    )


@pytest.mark.parametrize(("owner", "count"), [(0, 0), (4711, 1)])
def test_a_group_to_which_root_has_given_a_file_may_read_it(
    write: Write, monkeypatch: pytest.MonkeyPatch, owner: int, count: int
) -> None:
    """The daemon's own group, as init gives it, or else some group of the one who wrote it."""
    path = write("provider: {api_key: inline}")
    path.chmod(0o640)
    found = path.stat()
    seen = os.stat_result([*found[:4], owner, *found[5:10]])
    monkeypatch.setattr(Path, "stat", lambda self, **how: seen if self == path else os.stat(self, **how))
    warnings = load(path, {}).warnings
    assert len(warnings) == count
    remedy = f"let the gateway's user own it, and chmod 600 {path}"  # whom the mode alone would shut out
    assert all(each.endswith(remedy) for each in warnings)


def test_a_file_that_its_reader_may_not_read(
    problems: Problems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    (found,) = problems("provider: {api_key: {file: key}}\nhttp: {callbacks: {token: aaaaaaaaaaaaaaaaaaaaaaaaaaaa}}")
    assert found.endswith(
        f"the file {tmp_path / 'key'} cannot be read (Permission denied); let the gateway's user read it"
    )


def test_the_mode_of_the_configuration_matters_only_with_a_secret_in_it(write: Write) -> None:
    path = write("")
    path.chmod(0o644)
    assert load(path, {"FAXTO_API_KEY": "k"}).warnings == ()


def test_options_without_a_file(tmp_path: Path) -> None:
    """A program that makes its own options has no file whose mode could matter."""
    around = Surroundings(tmp_path / "nowhere.yaml", {})
    config = Config.model_validate(
        {"provider": {"api_key": "k"}, "http": {"callbacks": {"token": TOKEN}}, "state_dir": "x"}, context=around
    )
    assert config.state_dir == tmp_path / "x"
    assert around.warnings == []


def test_whoever_needs_no_secret_reads_the_rest_without_them(write: Write) -> None:
    path = write("http: {callbacks: {token: {file: not-there}}}\nmail: {relay: {user: me, password: {credential: no}}}")
    config = load(path, {}, secrets=False)
    assert config.provider.api_key == config.http.callbacks.token == config.mail.relay.password == Secret("")
    assert config.masked()["http"]["callbacks"]["token"] == {"file": "not-there"}
    assert config.mail.relay.user == "me"
