"""``backup`` and ``restore`` as people use them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from cli.conftest import Cli, Daemon, Start
from gateway.store.lock import StateLock


def test_a_backup_of_a_running_gateway_is_told_and_restores(
    daemon: Daemon, tmp_path: Path, start: Start, config: Path
) -> None:
    daemon.service.uploading = False
    submission = daemon.send()
    daemon.reach(submission, "prepared")
    shown = daemon("backup", str(tmp_path / "b1")).stdout
    assert re.search(rf"^backup +{tmp_path / 'b1'}$", shown, re.M)
    assert re.search(r"^made +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d by faxgateway \d", shown, re.M)
    assert re.search(r"^faxes under way +1$", shown, re.M)
    assert re.search(r"^files +1, [\d,]+ bytes with the database$", shown, re.M)
    assert "missing" not in shown
    in_use = daemon("restore", "--yes", str(tmp_path / "b1"), status=75).stderr
    assert f"another faxgateway (process {daemon.process.pid}) is using" in in_use
    assert daemon.stop() == 0

    restored = daemon("restore", "--yes", str(tmp_path / "b1"))
    assert restored.stdout == ""
    kept = re.search(r"^What was there is kept in (\S+); remove it when you need it no more\.$", restored.stderr, re.M)
    assert kept
    assert (Path(kept[1]) / "faxgateway.db").exists()
    assert "At the next start nothing is sent before the provider's history was compared, which takes 30 minutes" in (
        restored.stderr
    )
    again = start(config)
    assert "nothing yet: the state was restored from a backup of" in again("status").stdout
    assert again.json("status")["reconcile"]["why"].startswith("the state was restored from a backup of")
    assert again.json("queue", "list")[0]["submission"] == submission


def test_a_backup_without_a_daemon_is_made_under_the_lock(offline: Cli, tmp_path: Path) -> None:
    offline("route", "add", "did", "+12025550100", "a@example.org")
    made = offline.json("backup", str(tmp_path / "b1"))
    assert (made["files"], made["open_jobs"], made["missing"]) == (0, 0, [])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["created_at"])
    quiet = offline("backup", "--quiet", str(tmp_path / "quiet"))
    assert (quiet.stdout, quiet.stderr) == ("", "")
    (tmp_path / "state/lock").touch()
    with StateLock(tmp_path / "state"):
        assert "another faxgateway" in offline("backup", str(tmp_path / "b2"), status=75).stderr
    assert not (tmp_path / "b2").exists()
    offline("route", "remove", "did", "+12025550100")
    told = offline.json("restore", "--yes", str(tmp_path / "b1"))
    assert told["state_dir"] == str(tmp_path / "state")
    assert Path(told["kept"]).is_dir()
    words = offline("restore", "--yes", str(tmp_path / "b1")).stderr
    assert "No fax waits in it that may have been sent since, so sending goes on at the next start." in words
    assert "minutes" not in words
    assert [route["match"] for route in offline.json("route", "list")] == ["+12025550100"]


def test_a_backup_of_nothing_says_so(offline: Cli, tmp_path: Path) -> None:
    assert "there is no database" in offline("backup", str(tmp_path / "b1"), status=65).stderr
    assert not (tmp_path / "b1").exists()


def test_restore_asks_and_a_no_changes_nothing(offline: Cli, tmp_path: Path) -> None:
    offline("route", "add", "did", "+12025550100", "a@example.org")
    offline("backup", str(tmp_path / "b1"))
    offline("route", "remove", "did", "+12025550100")
    asked = offline("restore", str(tmp_path / "b1"), input="n\n", status=130)
    assert f"Put this in the place of what is in {tmp_path / 'state'}? [y/N]" in asked.stderr
    assert re.search(r"^received faxes +0$", asked.stdout, re.M)
    assert offline.json("route", "list") == []
    offline("restore", str(tmp_path / "b1"), input="", status=130)  # nobody there to ask
    offline("restore", str(tmp_path / "b1"), input="y\n")
    assert len(offline.json("route", "list")) == 1


def test_what_is_no_backup_is_refused_before_anybody_is_asked(offline: Cli, tmp_path: Path) -> None:
    assert "is no backup of a gateway" in offline("restore", str(tmp_path), status=65).stderr
    assert "is no backup of a gateway" in offline("restore", str(tmp_path / "none"), status=65).stderr


def test_files_that_are_missing_are_told_and_the_rest_is_saved(daemon: Daemon, tmp_path: Path) -> None:
    daemon.service.uploading = False
    daemon.reach(daemon.send(), "prepared")
    (pages,) = (tmp_path / "state/spool/document").iterdir()
    pages.unlink()
    result = daemon("backup", str(tmp_path / "b1"), status=65)
    assert result.stderr == f"missing, and not in the backup: document/{pages.name}\n"
    assert "1 files were missing when it was made" in result.stdout
    assert json.loads((tmp_path / "b1/manifest.json").read_text())["missing"] == [f"document/{pages.name}"]


def test_while_a_backup_is_made_the_daemon_removes_no_file(daemon: Daemon, tmp_path: Path) -> None:
    """The lease is asked for before the first byte is copied, and given back."""
    log = tmp_path / "trace"
    env = {**os.environ, "FAXGATEWAY_CONFIG": str(daemon.config)}
    code = (
        "import sys\n"
        "from gateway.cli import client\n"
        "asked = client.AdminClient.__call__\n"
        "async def tracing(self, operation, arguments):\n"
        f"    open({str(log)!r}, 'a').write(f'{{operation}} {{arguments}}\\n')\n"
        "    return await asked(self, operation, arguments)\n"
        "client.AdminClient.__call__ = tracing\n"
        "from gateway.service import backup\n"
        "create = backup.create\n"
        f"backup.create = lambda *a, **k: (open({str(log)!r}, 'a').write('copy\\n'), create(*a, **k))[1]\n"
        "from gateway.cli import main\n"
        "sys.argv = ['faxgateway', 'backup', sys.argv[1]]\n"
        "main()\n"
    )
    import sys

    subprocess.run([sys.executable, "-c", code, str(tmp_path / "b1")], env=env, check=True, timeout=60)
    assert log.read_text().splitlines() == [
        "files.keep {'seconds': 120}", "copy", "files.keep {'seconds': 0}",
    ]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can work for another user")
def test_root_makes_no_lock_that_shuts_the_daemon_out(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    with StateLock(state):
        assert (state / "lock").stat().st_uid == 65534
