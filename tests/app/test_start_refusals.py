"""What a start refuses: each with a sentence, an exit status, and nothing accepted, sent or changed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.made import with_a_mail
from gateway import daemon
from gateway.errors import TryLater
from gateway.refusals import refusal
from gateway.store.db import migrations
from gateway.store.lock import StateLock

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "gateway"]
NOBODY = 65534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
PROMISE = "cannot start; nothing is accepted and nothing is sent"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one mail that waits to be faxed, after an orderly stop."""
    return asyncio.run(with_a_mail(tmp_path / "state"))


def write_config(state: Path) -> Path:
    config = state.parent / "config.yaml"
    config.write_text(f"""
state_dir: {state}
smtp: {{listeners: [{{address: "127.0.0.1:0", networks: [127.0.0.0/8]}}]}}
http: {{callbacks: {{address: "127.0.0.1:0", token: {"t" * 32}}}}}
provider: {{base_url: "http://127.0.0.1:9/api/v2", api_key: key}}
mail: {{relay: {{host: 127.0.0.1, port: 9}}, fallback: admin@example.org}}
document: {{workers: 1}}
""")
    return config


def refused(state: Path, status: int, *words: str, prefix: tuple[str, ...] = ()) -> str:
    """Start the daemon on ``state``; it must end by itself with ``status``, and say every one of ``words``."""
    config = state.parent / "config.yaml"
    if not config.exists():
        write_config(state)
    done = subprocess.run(
        [*prefix, *PROGRAM, "serve", "-c", str(config)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert PROMISE in said
    assert "Traceback" not in said
    for word in words:
        assert word in said, said
    return said


def listing(state: Path) -> dict[str, bytes]:
    """Every file but the lock, with its content."""
    files = (path for path in state.rglob("*") if path.is_file() and path.name not in ("lock", "reserve"))
    return {str(path.relative_to(state)): path.read_bytes() for path in files}


def test_what_is_whole_starts(state: Path) -> None:
    """Else nothing here would prove anything."""
    with subprocess.Popen(
        [*PROGRAM, "serve", "-c", str(write_config(state))], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if b"accepting mail" in line:
                break
        else:
            raise AssertionError(process.wait())
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait() == 0


def test_a_second_daemon_on_the_directory(state: Path) -> None:
    with StateLock(state):
        before = listing(state)
        refused(state, 75, f"another faxgateway (process {os.getpid()}) is using {state}")
        assert listing(state) == before


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_a_database_that_was_cut_off(state: Path, keep: float) -> None:
    database = state / "faxgateway.db"
    os.truncate(database, int(database.stat().st_size * keep))
    before = listing(state)
    words = ["is empty, but the spool"] if keep == 0 else ["faxgateway restore"]
    refused(state, 70, str(database), *words)
    assert listing(state) == before


def test_a_database_that_is_gone_while_mails_are_there(state: Path) -> None:
    (state / "faxgateway.db").unlink()
    refused(state, 70, "is missing, but the spool beside it was in use", "faxgateway restore")
    assert not (state / "faxgateway.db").exists()


def test_a_database_that_is_gone_with_all_its_small_mails(state: Path) -> None:
    """They are in the database alone, so that an empty spool tells nothing."""
    (state / "faxgateway.db").unlink()
    for file in (state / "spool").glob("*/*"):
        file.unlink()
    refused(state, 70, "is missing, but the spool beside it was in use", "move the directory spool away")


def test_a_file_that_is_no_database(state: Path) -> None:
    (state / "faxgateway.db").write_text("This is a letter and no database. " * 200)
    before = listing(state)
    refused(state, 70, "file is not a database", "faxgateway restore")
    assert listing(state) == before


def test_a_database_with_damaged_pages_after_a_crash(state: Path) -> None:
    database = state / "faxgateway.db"
    with contextlib.closing(sqlite3.connect(database)) as tx:
        tx.execute("UPDATE meta SET value = '0' WHERE key = 'clean'")
        tx.commit()
        tx.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = tx.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'job_due'").fetchone()[0]
    with database.open("r+b") as stream:
        stream.seek((page - 1) * 4096)
        stream.write(b"\xff" * 100)
    refused(state, 70, "is damaged", "faxgateway restore")


def test_a_write_ahead_log_that_has_lost_commits(state: Path, tmp_path: Path) -> None:
    live = sqlite3.connect(state / "faxgateway.db", isolation_level=None)
    for n in range(6):
        live.execute("INSERT OR REPLACE INTO meta VALUES ('n', ?)", (str(n),))
    killed = tmp_path / "killed"
    shutil.copytree(state, killed)
    live.close()
    with (killed / "faxgateway.db-wal").open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"damage")
    before = listing(killed)
    refused(killed, 70, "the write-ahead log", "is damaged, and what was recorded last is lost", "truncate -s ")
    assert listing(killed) == before


def test_a_database_of_a_newer_version(state: Path) -> None:
    with contextlib.closing(sqlite3.connect(state / "faxgateway.db")) as tx:
        tx.execute(f"PRAGMA user_version = {migrations()[-1][0] + 1}")
    refused(state, 78, "install the newer faxgateway again")


def test_a_spool_that_is_gone_as_a_whole(state: Path) -> None:
    (state / "spool").rename(state.parent / "elsewhere")
    refused(state, 70, f"{state / 'spool'} is missing, which holds 1 mails and faxes: mount or restore it")
    assert not (state / "spool").exists()  # or the next start would take it for well


def test_a_restore_that_did_not_end(state: Path) -> None:
    (state / "restoring").mkdir()
    refused(state, 70, "was begun and did not end: run faxgateway restore again")


# root whom files of others are closed to, as they are to every other user
WITHOUT_PRIVILEGES = (
    "setpriv",
    "--bounding-set",
    "-dac_override,-dac_read_search,-chown,-fowner",
    "--inh-caps",
    "-all",
)
needs_setpriv = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="only root can have files of others, and only with setpriv (util-linux) be kept from writing to them",
)


@needs_setpriv
@pytest.mark.parametrize("what", ["faxgateway.db", "lock", "spool/mail", "."])
def test_files_of_another_user(state: Path, what: str) -> None:
    (state / "lock").touch()
    path = state / what
    path.chmod(0o700 if path.is_dir() else 0o600)
    os.chown(path, NOBODY, NOBODY)
    write_config(state)
    refused(
        state, 77, str(path), "must be writable and belong to the user that the gateway runs as, whose id is 0",
        f"chown -R 0 {state}", prefix=WITHOUT_PRIVILEGES,
    )  # fmt: skip


@needs_setpriv
@pytest.mark.parametrize("what", ["faxgateway.db", "lock", "spool/tmp", "."])
def test_files_that_cannot_be_written(state: Path, what: str) -> None:
    (state / "lock").touch()
    (state / what).chmod(0o500)
    write_config(state)
    refused(state, 77, str(state / what), prefix=WITHOUT_PRIVILEGES)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A small disk of its own, of so many KiB."""
    mounts: list[Path] = []

    def mount(size: int) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(place)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("this machine cannot mount a file system")
        mounts.append(place)
        return place

    yield mount
    for place in mounts:
        subprocess.run(["umount", str(place)], check=True)


@only_root
def test_a_file_system_that_is_read_only(state: Path, disk: Callable[[int], Path]) -> None:
    place = disk(4096)
    shutil.copytree(state, place / "state")
    write_config(place / "state")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    refused(place / "state", 77, "Read-only file system")


@only_root
def test_a_full_disk(state: Path, disk: Callable[[int], Path]) -> None:
    place = disk(2048)
    shutil.copytree(state, place / "state")
    write_config(place / "state")
    with contextlib.suppress(OSError), (place / "ballast").open("wb", buffering=0) as stream:
        while True:
            stream.write(b"x" * 4096)
    before = listing(place / "state")
    refused(place / "state", 75, "the disk is full")
    assert listing(place / "state")["faxgateway.db"] == before["faxgateway.db"]


def test_a_read_only_disk_is_told_with_what_to_do() -> None:
    status, why = refusal(OSError(errno.EROFS, "Read-only file system", "/srv/fax"), "/srv/fax")
    assert (status, why.partition(";")[0]) == (77, "/srv/fax: Read-only file system")
    assert "mount its disk for writing" in why


def test_a_refusal_has_words_and_no_numbers_of_the_system() -> None:
    port = OSError(errno.EACCES, "cannot listen on 0.0.0.0:25: Permission denied; a port below 1024 comes from systemd")
    assert refusal(port, "/state") == (77, port.strerror)
    assert refusal(OSError(None, "cannot listen on fd:smtp: why"), "/state") == (75, "cannot listen on fd:smtp: why")
    assert refusal(FileNotFoundError(errno.ENOENT, "No such file", "/x"), "/state") == (75, "/x: No such file")
    no_directory = "/state is no directory; name one as state_dir, or take away what is there"
    assert refusal(FileExistsError(errno.EEXIST, "File exists", "/state"), "/state") == (78, no_directory)
    not_there = refusal(PermissionError(errno.EACCES, "Permission denied", "/state"), "/state")
    assert not_there[1].endswith(f": install -d -m 0700 -o {os.geteuid()} /state")


async def test_no_thread_is_begun_after_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """When memory is short one may never come up, and the loop would wait for it for ever."""
    asyncio.get_running_loop().set_default_executor(daemon._threads())

    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        done = await asyncio.gather(*(asyncio.to_thread(lambda n=n: n) for n in range(100)))  # type: ignore[misc]
    assert done == list(range(100))


def test_a_system_without_room_for_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    start, begun = threading.Thread.start, itertools.count()

    def some(thread: threading.Thread) -> None:
        if next(begun) == 3:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", some)
    with pytest.raises(TryLater, match="no room for more threads") as caught:
        daemon._threads()
    assert refusal(caught.value, "/state")[0] == 75
