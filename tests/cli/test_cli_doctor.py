"""``doctor``: each check finds what it is for, and names the remedy."""

from __future__ import annotations

import asyncio
import datetime
import errno
import json
import os
import pwd
import re
import socket
import sqlite3
import time
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

from cli.conftest import Cli, Daemon, Outside, run, write_config
from gateway.cli import doctor_checks as checks
from gateway.cli.base import Session
from gateway.cli.doctor_checks import FAIL, OK, WARN, Finding
from gateway.config import Config, load
from gateway.errors import TryLater

NOW = 1_800_000_000.0


@pytest.fixture
def options(tmp_path: Path) -> Config:
    return load(write_config(tmp_path), {})


def _found(cli: Cli, *, status: int) -> dict[str, list[dict[str, str]]]:
    """By check; from a process of its own, as it forks one and there may be threads here."""
    found: dict[str, list[dict[str, str]]] = {}
    done = run("doctor", "--json", "-c", str(cli.config))
    assert done.returncode == status, done.stdout + done.stderr
    for finding in json.loads(done.stdout):
        assert sorted(finding) == ["check", "remedy", "state", "text"]
        found.setdefault(finding["check"], []).append(finding)
    return found


@pytest.mark.parametrize("setting", ["none", "/nowhere", "auto"])
def test_the_converters_that_are_there_are_told(setting: str) -> None:
    found = {each.check: each for each in checks.converters(setting, "text")}
    assert ("office documents" in found) is (setting != "none")
    assert setting != "/nowhere" or "are refused" in found["office documents"].text
    assert all(each.remedy for each in found.values() if each.state != OK)


def test_parts_of_libreoffice_that_are_missing_are_told_with_their_packages(tmp_path: Path) -> None:
    for name in ("libmergedlo.so", "libswlo.so"):
        (tmp_path / name).touch()
    found = next(each for each in checks.converters(str(tmp_path), "text") if each.check == "office documents")
    assert (found.state, found.remedy) == (
        WARN, "apt install libreoffice-calc-nogui libreoffice-impress-nogui libreoffice-math-nogui",
    )  # fmt: skip
    assert found.text.endswith("prints no tables and no slides and no formulas")
    for name in ("libsclo.so", "libsdlo.so", "libsmlo.so"):
        (tmp_path / name).touch()
    found = next(each for each in checks.converters(str(tmp_path), "text") if each.check == "office documents")
    assert found.state == OK


@pytest.mark.parametrize(("setting", "state"), [("auto", "WARN"), ("engine", "FAIL"), ("text", OK)])
def test_what_html_lacks_is_told(setting: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.document.engine.missing", lambda: "WeasyPrint is missing: pip install it")
    found = next(each for each in checks.converters("none", setting) if each.check == "HTML")
    assert found.state == state
    assert found.remedy == (
        "" if setting == "text" else "WeasyPrint is missing: pip install it; or set document.html: text"
    )
    monkeypatch.setattr("gateway.document.engine.missing", lambda: "")
    found = next(each for each in checks.converters("none", setting) if each.check == "HTML")
    assert found.state == OK


# --- the command ------------------------------------------------------------------------------------------------------


def test_with_a_daemon_and_everything_in_place_nothing_fails(daemon: Daemon) -> None:
    found = _found(daemon, status=0)
    assert list(found) == [
        "python", "sqlite", "fonts", "isolation", "conversion", "configuration", "office documents",
        "HTML", "photos of iPhones", "state directory", "gateway", "mail server", "provider",
    ]  # fmt: skip
    assert "FAIL" not in [each["state"] for several in found.values() for each in several]
    assert found["gateway"][0]["text"].endswith(f"runs as process {daemon.process.pid}")
    assert found["provider"][0]["text"].endswith("/api/v2, balance 9.5")
    shown = run("doctor", "-c", str(daemon.config))
    assert shown.returncode == 0
    assert re.search(r"^OK    conversion: 1 page from a mail in \d+\.\d s$", shown.stdout, re.M)
    assert re.fullmatch(r"\d+ fine, \d+ warnings?, 0 failed\n", shown.stderr)
    daemon.service.uploading = False
    daemon.reach(daemon.send(), "prepared")
    daemon("queue", "hold", "ALL")
    os.utime(daemon.config, (time.time() + 60,) * 2)
    changed, held = _found(daemon, status=0)["gateway"][1:]
    assert (changed["state"], changed["remedy"]) == (WARN, "systemctl restart faxgateway")
    assert "the configuration was changed" in changed["text"]
    assert (held["state"], held["text"]) == (WARN, "1 fax is held for a person")
    assert held["remedy"] == "faxgateway queue list --held"


def test_what_fails_is_told_with_its_remedy_and_status_1(offline: Cli) -> None:
    found = _found(offline, status=1)
    (gateway,) = found["gateway"]
    assert (gateway["state"], gateway["remedy"]) == (WARN, "faxgateway serve, or: systemctl start faxgateway")
    assert found["mail server"][0]["state"] == FAIL
    assert "results and received faxes wait for 127.0.0.1:1" in found["mail server"][0]["remedy"]
    assert found["provider"][0]["state"] == FAIL
    assert "can be reached from here" in found["provider"][0]["remedy"]
    shown = run("doctor", "-c", str(offline.config))
    assert shown.returncode == 1
    assert re.search(r"^FAIL  mail server: .*\n      -> see mail.relay", shown.stdout, re.M)


def test_a_gateway_that_has_run_here_and_does_not_fails(offline: Cli, tmp_path: Path) -> None:
    (tmp_path / "state" / "spool" / "mail").mkdir(parents=True)
    (gateway,) = _found(offline, status=1)["gateway"]
    assert (gateway["state"], gateway["text"]) == (FAIL, "it does not run")


def test_a_configuration_with_problems_is_told_whole_and_ends_the_look(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "domian: x\npolicy: {countries: [XX]}\nhttp: {callbacks: {token: short}}\nprovider: {api_key: k}\n"
    )
    found = _found(Cli(config), status=1)
    assert [each["state"] for each in found["configuration"]] == [FAIL] * 3
    assert "did you mean domain?" in found["configuration"][0]["text"]
    assert "check-config" in found["configuration"][0]["remedy"]
    assert list(found)[-1] == "configuration"
    missing = Cli(tmp_path / "nope.yaml")
    assert "no configuration file" in _found(missing, status=1)["configuration"][0]["text"]


def test_an_account_that_nothing_protects_is_told(tmp_path: Path) -> None:
    here = load(write_config(tmp_path), {})
    assert list(checks.limits(here)) == []  # a provider on this machine costs nothing
    text = write_config(tmp_path).read_text()
    real = re.sub(r"base_url: .*", "base_url: https://fax.example/api/v2", text)
    (tmp_path / "real.yaml").write_text(real)
    (found,) = checks.limits(load(tmp_path / "real.yaml", {}))
    assert (found.state, found.text) == (WARN, "nothing limits what may be spent on faxes")
    (tmp_path / "real.yaml").write_text(f"{real}\npolicy: {{caps: {{total: 'month:money=200'}}}}\n")
    assert list(checks.limits(load(tmp_path / "real.yaml", {}))) == []


def test_a_mailbox_that_nobody_reads_is_told(tmp_path: Path) -> None:
    assert list(checks.mailboxes(load(write_config(tmp_path), {}))) == []  # with a sandbox
    text = re.sub(r"base_url: .*", "base_url: https://fax.example/api/v2", write_config(tmp_path).read_text())
    (tmp_path / "real.yaml").write_text(text)
    told = [(each.state, each.text) for each in checks.mailboxes(load(tmp_path / "real.yaml", {}))]
    assert told == [
        (WARN, "mail.fallback is admin@example.org, which nobody reads"),
        (WARN, "mail.sender is fax@example.org, which nobody reads"),
    ]
    mine = "sender: Fax <fax@hospital.example>, fallback: it@hospital.example"
    (tmp_path / "real.yaml").write_text(text.replace("fallback: admin@example.org", mine))
    assert list(checks.mailboxes(load(tmp_path / "real.yaml", {}))) == []


def test_warnings_of_the_configuration_are_findings(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    config.write_text(
        config.read_text().replace(
            "networks: [127.0.0.0/8]}]", 'networks: [127.0.0.0/8]}, {address: "0.0.0.0:0", auth: required}]'
        )
    )
    findings, read = checks.configuration(Session(str(config)))
    assert read is not None
    (finding,) = findings
    assert finding.state == WARN
    assert "set tls: starttls" in finding.text


def test_the_provider_and_the_relay_are_asked(tmp_path: Path, outside: Outside) -> None:
    cli = Cli(write_config(tmp_path, provider_port=outside.provider_port, relay_port=outside.relay_port))
    found = _found(cli, status=0)
    assert found["mail server"][0]["text"] == f"127.0.0.1:{outside.relay_port} answers (tls: none)"
    outside.service.balance = 0
    provider = _found(cli, status=0)["provider"][0]
    assert (provider["state"], provider["text"]) == (WARN, "the balance is 0")
    assert "top up the account" in provider["remedy"]
    outside.service.key_status = 401
    provider = _found(cli, status=1)["provider"][0]
    assert provider["state"] == FAIL
    assert provider["remedy"] == "put the right key where provider.api_key points"


# --- this machine -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "state"),
    [
        ((3, 36, 0), FAIL),
        ((3, 37, 0), WARN),
        ((3, 40, 1), WARN),
        ((3, 44, 5), WARN),
        ((3, 44, 6), OK),
        ((3, 45, 0), WARN),
        ((3, 50, 6), WARN),
        ((3, 50, 7), OK),
        ((3, 51, 2), WARN),
        ((3, 51, 3), OK),
        ((3, 52, 0), OK),
    ],
)
def test_sqlite_versions_that_lose_commits_are_known(version: tuple[int, ...], state: str) -> None:
    finding = checks.sqlite(version)
    assert finding.state == state
    assert bool(finding.remedy) is (state != OK)


def test_fonts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fonts = tmp_path / "fonts"
    fonts.mkdir()
    monkeypatch.setattr(checks, "_FONTS", (fonts, tmp_path / "nope"))
    finding = checks.fonts()
    assert (finding.state, finding.remedy) == (WARN, "apt install fonts-noto-cjk, if you get such mails")
    (fonts / "noto").mkdir()
    (fonts / "noto" / "NotoSansCJK-Regular.ttc").touch()
    assert checks.fonts().state == OK
    monkeypatch.setattr("gateway.document.__file__", str(tmp_path / "nowhere" / "__init__.py"))
    finding = checks.fonts()
    assert (finding.state, finding.remedy) == (FAIL, "install the package again")


def test_isolation(monkeypatch: pytest.MonkeyPatch) -> None:
    for network, files, text in (
        (True, True, "conversions run without network and see only their own files"),
        (False, True, "conversions cannot give up the network"),
        (False, False, "conversions cannot give up the network and can see other files"),
    ):
        walls = {"network": network, "files": files}
        monkeypatch.setattr("gateway.document.workshop.isolation", lambda walls=walls: walls)
        finding = checks.isolation()
        assert finding.state == (OK if network and files else WARN)
        assert finding.text == text
        assert bool(finding.remedy) is (finding.state == WARN)


async def test_a_conversion_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise TryLater("the document could not be converted", "no pikepdf")

    monkeypatch.setattr("gateway.cli.preview.fax_of_mail", broken)
    finding = await checks.conversion(None)
    assert (finding.state, finding.text) == (FAIL, "the document could not be converted (no pikepdf)")


async def test_a_machine_that_starts_no_conversion_is_told_and_what_else_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python3")
    finding = await checks.conversion(None)
    assert (finding.state, "/nowhere/python3" in finding.text) == (FAIL, True)


async def test_the_limits_of_the_configuration_are_tried_out(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("document: {workers: 1}", "document: {memory: 1MiB}"))
    finding = await checks.conversion(load(config, {}))
    assert finding.state == FAIL
    assert "raise document.memory" in finding.remedy


# --- the state directory ----------------------------------------------------------------------------------------------


def _state(options: Config) -> list[Finding]:
    return list(checks.state_directory(options))


def test_a_state_directory_that_can_be_made(options: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = _state(options)
    assert (finding.state, finding.text) == (OK, f"{options.state_dir} will be made at the first start")
    assert not options.state_dir.exists()
    monkeypatch.setattr(os, "access", lambda *_: False)
    (finding,) = _state(options)
    assert (finding.state, finding.text) == (FAIL, f"{options.state_dir} is missing")
    assert finding.remedy == f"as root: install -d -m 0700 -o faxgateway {options.state_dir}"


def test_a_good_state_directory_and_one_that_others_can_read(options: Config) -> None:
    options.state_dir.mkdir(mode=0o700)
    (finding,) = _state(options)
    assert finding.state == OK
    assert finding.text.startswith(f"{options.state_dir}, ")
    assert list(options.state_dir.iterdir()) == []  # the probe is gone
    options.state_dir.chmod(0o755)
    finding = _state(options)[0]
    assert (finding.state, finding.remedy) == (WARN, f"chmod 700 {options.state_dir}")


@pytest.mark.parametrize("closed", ["faxgateway.db", "lock", "spool", "spool/tmp", "spool/inbound"])
def test_what_the_gateways_user_may_not_use_in_it(options: Config, closed: str) -> None:
    state = options.state_dir
    state.mkdir(mode=0o700)
    for name in ("spool", "spool/tmp", "spool/inbound"):
        (state / name).mkdir(mode=0o700)
    for name in ("faxgateway.db", "lock"):
        (state / name).touch(0o600)
    assert [each.state for each in _state(options)] == [OK]
    (state / closed).chmod(0o500 if (state / closed).is_dir() else 0o400)
    finding = _state(options)[0]
    assert (finding.state, finding.text) == (FAIL, f"{state / closed}: the gateway's user may not use it")
    (state / closed).chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_of_another_user_than_the_database_are_told_to_root(options: Config) -> None:
    options.state_dir.mkdir(mode=0o700)
    (options.state_dir / "spool").mkdir(mode=0o700)
    (options.state_dir / "faxgateway.db").touch(0o600)
    os.chown(options.state_dir / "faxgateway.db", 4711, -1)
    assert f"{options.state_dir / 'spool'}: " in _state(options)[0].text


def test_a_state_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (finding,) = checks.state_directory(load(_with_state(tmp_path, "/proc/self/fd"), {}))
    assert finding.state == FAIL
    assert "write there" in finding.remedy


def _with_state(tmp_path: Path, state: str) -> Path:
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace(f"state_dir: {tmp_path / 'state'}", f"state_dir: {state}"))
    return config


def _set_version(database: Path, version: int) -> None:
    with closing(sqlite3.connect(database)) as tx:
        tx.execute(f"PRAGMA user_version = {version}")


def test_a_database_is_looked_at_without_a_daemon(offline: Cli, tmp_path: Path) -> None:
    assert "database" not in _found(offline, status=1)
    offline("route", "add", "sender", "*")  # makes one
    (whole,) = _found(offline, status=1)["database"]
    assert whole["state"] == OK
    path = tmp_path / "state/faxgateway.db"
    os.truncate(path, path.stat().st_size // 2)
    (half,) = _found(offline, status=1)["database"]
    assert (half["state"], half["remedy"]) == (
        FAIL,
        "the gateway does not start with it; restore a backup (faxgateway restore)",
    )
    assert str(path) in half["text"]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda state: _set_version(state / "faxgateway.db", 999), "install the newer"),
        (lambda state: os.truncate(state / "faxgateway.db", 0), "is empty"),
        (lambda state: (state / "faxgateway.db").unlink(), "is missing"),
        (lambda state: (state / "restoring").mkdir(), "run faxgateway restore again"),
    ],
)
def test_a_database_that_no_gateway_starts_with_is_not_called_whole(
    offline: Cli, tmp_path: Path, harm: Callable[[Path], object], told: str
) -> None:
    offline("route", "add", "sender", "*")
    harm(tmp_path / "state")
    (found,) = checks.database(tmp_path / "state")
    assert found.state == FAIL
    assert told in found.text
    assert told in offline("route", "list", status=78 if "newer" in told else 70).stderr  # as a start says


def test_who_may_not_use_the_state_is_not_told_to_restore(
    offline: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline("route", "add", "sender", "*")
    state = tmp_path / "state"
    options = load(offline.config, {})

    def refuse(_path: Path, *_: str) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    (found,) = checks.database(state)
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert (found.state, found.text) == (FAIL, f"{state}/faxgateway.db: Permission denied")
    assert found.remedy == f"run this as root, or as the gateway's user; if {me} is that: chown -R {me} {state}"
    monkeypatch.setattr(Path, "exists", refuse)
    (directory,) = checks.state_directory(options)
    assert (directory.state, directory.remedy) == (FAIL, found.remedy)


Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize(("free", "state"), [(2 << 30, OK), (512 << 20, WARN), (100 << 20, FAIL)])
def test_little_space_is_told(options: Config, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    options.state_dir.mkdir(mode=0o700)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(1 << 40, 0, free))
    finding = _state(options)[-1]
    assert finding.state == state
    assert ("MiB free" in finding.text) is (state != OK)


def test_a_remote_file_system_is_no_place_for_the_database(options: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    options.state_dir.mkdir(mode=0o700)
    mounts = f"server:/x {options.state_dir.parent} nfs4 rw 0 0\nproc /proc proc rw 0 0\n/dev/sda / ext4 rw 0 0\n"
    read_text = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **more: mounts if str(path) == "/proc/self/mounts" else read_text(path, **more)
    )
    finding = _state(options)[0]
    assert (finding.state, finding.remedy) == (FAIL, "move it to a local disk")
    assert "is on nfs4" in finding.text
    assert checks._filesystem(Path("/proc/self")) == "proc"
    assert checks._filesystem(Path("/var")) == "ext4"


def test_an_owner_without_a_name_is_shown_by_number() -> None:
    assert checks._user(os.getuid()) != ""
    assert checks._user(4_000_000) == "4000000"


# --- certificates -----------------------------------------------------------------------------------------------------


def _certificates(path: Path, now: float) -> list[Finding]:
    listeners = [
        SimpleNamespace(tls="starttls", certificate=path),
        SimpleNamespace(tls="implicit", certificate=path),
        SimpleNamespace(tls="none", certificate=path),
        SimpleNamespace(tls="implicit", certificate=None),
    ]
    return list(checks.certificates(SimpleNamespace(smtp=SimpleNamespace(listeners=listeners)), now))  # type: ignore[arg-type]


@pytest.mark.parametrize("year", [2027, 2060])  # UTCTime and GeneralizedTime
def test_the_end_of_a_certificate_is_read_and_told_in_time(tmp_path: Path, year: int) -> None:
    end = datetime.datetime(year, 6, 1, tzinfo=datetime.UTC)
    issued = trustme.CA().issue_cert("fax.example", not_before=end - datetime.timedelta(90), not_after=end)
    path = tmp_path / "chain.pem"
    path.write_bytes(b"comment\n" + issued.cert_chain_pems[0].bytes())
    day = 86400.0
    for before, state, words in ((30, OK, "is valid until"), (7, WARN, "expires on"), (-1, FAIL, "expired on")):
        (finding,) = _certificates(path, end.timestamp() - before * day)
        assert (finding.state, finding.text) == (state, f"{path} {words} {year}-06-01")
        assert finding.remedy == ("" if state == OK else "renew it; faxgateway reload")


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nTWFu\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----"]
)
def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "chain.pem"
    path.write_text(text)
    (finding,) = _certificates(path, NOW)
    assert (finding.state, finding.text) == (WARN, f"{path}: its end cannot be read")


# --- ports ------------------------------------------------------------------------------------------------------------


async def _ports(tmp_path: Path, *addresses: str) -> list[Finding]:
    listeners = ", ".join(f'{{address: "{address}"}}' for address in addresses)
    config = write_config(tmp_path)
    config.write_text(re.sub(r"smtp: .*", f"smtp: {{listeners: [{listeners}]}}", config.read_text()))
    return [each async for each in checks._ports(load(config, {}))]


async def test_ports_that_are_free_taken_or_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        findings = await _ports(tmp_path, address, "unix:x.sock", "fd:smtp", "127.0.0.1:0")
    (finding,) = findings
    assert (finding.state, finding.text) == (FAIL, f"cannot listen on {address}: Address already in use")
    assert finding.remedy == "end what has it (ss -lp tells), or choose another address"
    (finding,) = await _ports(tmp_path, address)
    assert (finding.state, finding.text) == (OK, f"{address} is free")
    everywhere = address.replace("127.0.0.1", "0.0.0.0")
    assert [finding.state for finding in await _ports(tmp_path, address, everywhere)] == [OK, FAIL]
    (finding,) = await _ports(tmp_path, "192.0.2.1:2525")
    assert finding.remedy == "this machine has no such address (ip address tells those it has)"

    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", denied)
    (finding,) = await _ports(tmp_path, "[::1]:25")
    assert (finding.state, finding.text) == (FAIL, "cannot listen on [::1]:25: Permission denied")
    assert "faxgateway-smtp.socket" in finding.remedy


async def test_a_daemon_that_answers_nonsense_is_told(options: Config) -> None:
    options.state_dir.mkdir()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1000):  # b"" from one who only looks whether we are here
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n[]")
            await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(answer, options.admin_socket):
        (finding,) = [each async for each in checks.daemon(options)]
    assert (finding.state, finding.text) == (FAIL, "the gateway's answer to status is no JSON object")


async def test_a_relay_by_an_address_of_ipv6_is_told_with_brackets(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(path.read_text().replace("relay: {host: 127.0.0.1, port: 1}", 'relay: {host: "::1", port: 1}'))
    finding = await checks.relay(load(path, {}))
    assert finding.remedy == "see mail.relay; results and received faxes wait for [::1]:1"


async def _relay(tmp_path: Path, greeting: bytes, answer: Callable[[bytes], bytes], more: str = "") -> Finding:
    """What is said of a mail server with this greeting, and these answers to its lines."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while line := await reader.readline():
            writer.write(answer(line))
        writer.close()
        gone.set()

    gone = asyncio.Event()
    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        path = write_config(tmp_path)
        wanted = f"relay: {{host: 127.0.0.1, port: {port}, timeout: 1s{more}}}"
        path.write_text(path.read_text().replace("relay: {host: 127.0.0.1, port: 1}", wanted))
        finding = await checks.relay(load(path, {}))
        await gone.wait()
    return finding


@pytest.mark.parametrize(
    ("greeting", "tls", "remedy"),
    [
        (b"", "none", "set mail.relay.tls: implicit, if the port speaks TLS at once"),  # it waits for us to begin
        (b"220 mx\r\n", "implicit", "set mail.relay.tls: starttls, as the port does not speak TLS at once"),
        (b"220 mx\r\n", "starttls", "set mail.relay.tls: none, or implicit"),
        (b"220 mx\r\n", "none, user: ann, password: secret", "set mail.relay.tls: starttls, if it takes passwords"),
    ],
)
async def test_how_the_mail_server_wants_its_tls_is_told(
    tmp_path: Path, greeting: bytes, tls: str, remedy: str
) -> None:
    finding = await _relay(tmp_path, greeting, lambda _: b"250 mx\r\n" if greeting else b"", f", tls: {tls}")
    assert finding.state == FAIL
    assert finding.remedy.startswith(remedy), finding


@pytest.mark.parametrize(
    ("command", "reply", "remedy"),
    [
        (b"MAIL FROM:<>", b"530 5.7.0 Must issue a STARTTLS command first", "set mail.relay.tls: starttls"),
        (b"MAIL FROM:<fax@", b"553 5.7.1 not owned by user", "see mail.relay"),
        (
            b"RCPT",
            b"554 5.7.1 Relay access denied",
            "have it take mails from <> and fax@example.org to admin@example.org",
        ),
    ],
)
async def test_what_the_mail_server_says_to_sender_and_recipient_is_told(
    tmp_path: Path, command: bytes, reply: bytes, remedy: str
) -> None:
    heard = []

    def answer(line: bytes) -> bytes:
        heard.append(line[:4])
        return reply + b"\r\n" if line.startswith(command) else b"250 mx\r\n"

    finding = await _relay(tmp_path, b"220 mx\r\n", answer)
    assert (finding.state, finding.remedy.startswith(remedy)) == (FAIL, True), finding
    assert reply.decode() in finding.text
    assert b"DATA" not in heard


async def test_a_relay_by_a_name_that_is_none_is_told(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    path.write_text(
        path.read_text().replace("relay: {host: 127.0.0.1, port: 1}", "relay: {host: nowhere.invalid, port: 25}")
    )
    finding = await checks.relay(load(path, {}))
    assert finding.state == FAIL
    assert "nowhere.invalid" in finding.text
