"""The unit files: what they name exists, systemd understands them, and they give nothing away."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from gateway.cli.root import cli
from gateway.config import SEARCHED
from gateway.config.options import Config
from gateway.service.ledgertime import boot_id

UNITS = Path(__file__).parents[2] / "systemd"
SERVICE = UNITS / "faxgateway.service"
SOCKETS = sorted(UNITS.glob("*.socket"))

analyze = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(analyze is None, reason="systemd-analyze is not installed")


def options(unit: Path) -> dict[str, list[str]]:
    """The settings of a unit; each may stand several times."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_commands_it_runs_exist() -> None:
    service = options(SERVICE)
    ran = [line.lstrip("-") for name in ("ExecStartPre", "ExecStart", "ExecReload") for line in service[name]]
    ours = [line.split() for line in ran if "faxgateway" in line]
    assert [words[1] for words in ours] == ["check-config", "serve", "check-config"]
    for program, command, option, path in ours:
        assert program == "/opt/faxgateway/bin/faxgateway"
        assert command in cli.lazy
        assert option == "-c"
        assert path in SEARCHED, "the command line finds the same file by itself"
    assert "/bin/kill -HUP $MAINPID" in ran


def test_it_keeps_its_state_where_the_configuration_says() -> None:
    service = options(SERVICE)
    assert f"/var/lib/{service['StateDirectory'][0]}" == str(Config.model_fields["state_dir"].default)
    assert service["StateDirectoryMode"] == ["0700"]
    assert service["UMask"] == ["0077"]


def test_a_bad_configuration_is_not_tried_again() -> None:
    service = options(SERVICE)
    assert service["RestartPreventExitStatus"] == ["78"]
    assert service["ExecStartPre"][0].startswith("-"), "a failing ExecStartPre is restarted whatever its status"
    assert service["Type"] == ["notify"]
    assert service["WatchdogSec"] == ["60"]


def test_a_start_has_the_time_to_read_all_of_a_large_database() -> None:
    assert options(SERVICE)["TimeoutStartSec"] == ["1h"]


def test_it_tells_the_run_of_the_machine_that_it_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    service = options(SERVICE)
    assert service["ProcSubset"] == ["pid"]
    (told,) = (line.removesuffix("=%b") for line in service["Environment"])
    monkeypatch.setenv(told, "a-boot")
    assert boot_id() == "a-boot"
    monkeypatch.delenv(told)
    assert boot_id() == boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_users_directories_and_credentials_fit_together() -> None:
    service = options(SERVICE)
    users = (UNITS / "sysusers.d" / "faxgateway.conf").read_text()
    places = {line.split()[1]: line.split() for line in _lines(UNITS / "tmpfiles.d" / "faxgateway.conf")}
    assert re.search(rf"^u {service['User'][0]} ", users, re.MULTILINE)
    for credential in service["LoadCredential"]:
        name, _, path = credential.partition(":")
        assert Path(path).name == name, "the command line reads the same file outside of systemd"
        assert places[path][0] == "f", "a missing file would stop the unit"
        assert places[path][2:5] == ["0600", "root", "root"]
    assert places["/var/lib/faxgateway"][2:5] == ["0700", service["User"][0], service["Group"][0]]


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("unit", SOCKETS, ids=lambda unit: unit.stem)
def test_each_socket_has_the_name_its_listener_asks_for(unit: Path) -> None:
    socket = options(unit)
    assert socket["Service"] == ["faxgateway.service"]
    comment = "\n".join(line.removeprefix("#")[1:] for line in unit.read_text().splitlines() if line.startswith("#  "))
    shown = yaml.safe_load(comment[comment.index("  smtp:") :])["smtp"]["listeners"][0]
    assert shown["address"] == f"fd:{socket['FileDescriptorName'][0]}"
    port = socket["ListenStream"][0]
    assert {"25": "none", "587": "starttls", "465": "implicit"}[port] == shown.get("tls", "none")
    assert shown["networks"] or shown["auth"] == "required"


def test_three_ports_are_served() -> None:
    assert sorted(options(unit)["ListenStream"][0] for unit in SOCKETS) == ["25", "465", "587"]


@pytest.mark.system
@needs_systemd
def test_exposure() -> None:
    """systemd's own judgement; 2.0 and below is its best grade."""
    done = subprocess.run(
        [str(analyze), "security", "--offline=true", "--threshold=20", "--no-pager", str(SERVICE)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr
    level = re.search(r"exposure level for faxgateway.service: ([0-9.]+)", done.stdout)
    assert level
    assert float(level[1]) <= 1.5


@pytest.mark.system
@needs_systemd
def test_systemd_has_nothing_to_say_against_them(tmp_path: Path) -> None:
    """In a root of its own, where the program is installed."""
    units = tmp_path / "etc/systemd/system"
    targets = tmp_path / "usr/lib/systemd/system"
    for directory in (units, targets, tmp_path / "opt/faxgateway/bin", tmp_path / "bin"):
        directory.mkdir(parents=True)
    for target in Path("/usr/lib/systemd/system").glob("*.target"):
        shutil.copy(target, targets)
    for program in ("opt/faxgateway/bin/faxgateway", "bin/kill"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    names = [Path(shutil.copy(unit, units)).name for unit in (SERVICE, *SOCKETS)]
    done = subprocess.run(
        [str(analyze), "verify", f"--root={tmp_path}", *names], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
