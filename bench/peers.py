"""The servers that are measured, each with a configuration, a port and a folder of its own, and what is sent to them."""

from __future__ import annotations

import base64
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import harness
import yaml

NUMBER = "+15552368001@fax.local"
SENDER = "ann@example.org"

_MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
daemon_directory = {daemons}
command_directory = {commands}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = peer.example.org
mydestination =
mynetworks = 127.0.0.0/8
relay_domains = fax.local
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_client_restrictions = static:hold
smtpd_peername_lookup = no
disable_dns_lookups = yes
local_recipient_maps =
alias_maps =
alias_database =
message_size_limit = 100000000
queue_minfree = 0
in_flow_delay = 0
smtpd_client_connection_count_limit = 0
default_process_limit = 200
maillog_file =
import_environment = MAIL_CONFIG LANG=C LD_PRELOAD BENCH_SYNC_US
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
"""


@contextlib.contextmanager
def postfix(folder: Path, environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Postfix that puts every mail into its hold queue: the price of accepting alone. Yields port and pid. Needs root."""
    home, port = folder / "postfix", harness.free_port()
    settings = home / "etc"
    for directory in (home, settings, home / "queue", home / "data"):
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
    os.chown(home / "data", pwd.getpwnam("postfix").pw_uid, -1)
    daemons, commands = _default("daemon_directory"), _default("command_directory")
    (settings / "main.cf").write_text(_MAIN.format(home=home, daemons=daemons, commands=commands))
    (settings / "master.cf").write_text(_MASTER.format(port=port))
    for name in ("dynamicmaps.cf", "postfix-files"):
        if (Path("/etc/postfix") / name).exists():
            shutil.copy(Path("/etc/postfix") / name, settings)

    def control(verb: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["postfix", "-c", settings, verb], env={**os.environ, **environment}, capture_output=True, check=False
        )

    started = control("start")
    if started.returncode:
        raise RuntimeError(f"Postfix does not start: {started.stderr.decode()}")
    try:
        harness.wait_for_port(port)
        yield port, int((home / "queue/pid/master.pid").read_text())
    finally:
        control("stop")
        end = time.monotonic() + 10
        while time.monotonic() < end and control("status").returncode == 0:
            time.sleep(0.1)
        shutil.rmtree(home, ignore_errors=True)


def _default(name: str) -> str:
    return subprocess.run(["postconf", "-dh", name], capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def gateway(
    command: str, folder: Path, environment: dict[str, str], *, converting: bool = False
) -> Iterator[tuple[int, int]]:
    """A real ``faxgateway serve`` with a provider that is not there. Yields port and pid.

    ``converting``: whether it also makes pages of what it has accepted; otherwise the processes that would are stopped,
    so that, as with Postfix's hold queue, the price of accepting alone is seen.
    """
    home = folder / "gateway"
    home.mkdir()
    port, log = harness.free_port(), folder / "gateway.log"
    config = home / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "state_dir": str(home / "state"),
                "smtp": {
                    "listeners": [{"address": f"127.0.0.1:{port}", "networks": ["127.0.0.0/8"]}],
                    "repeat_window": "0s",  # smtp-source sends one mail again and again: each is to be a fax
                    "max_connections": 400,
                },
                "http": {"callbacks": {"address": f"127.0.0.1:{harness.free_port()}", "token": "t" * 32}},
                "provider": {"base_url": f"http://127.0.0.1:{harness.free_port()}/api/v2", "api_key": "bench"},
                "mail": {
                    "relay": {"host": "127.0.0.1", "port": harness.free_port()},
                    "sender": "Fax <fax@example.org>",
                    "fallback": "admin@example.org",
                },
            }
        )
    )
    with log.open("ab") as stream:
        server = harness.start(
            [*command.split(), "-c", config, "serve"], env={**os.environ, **environment}, stdout=stream, stderr=stream
        )
    converters: list[int] = []
    try:
        harness.wait_for_port(port, server)
        if not converting:
            converters = [pid for pid in harness.tree(server.pid) if _is_converter(pid)]
            for pid in converters:
                os.kill(pid, signal.SIGSTOP)
        yield port, server.pid
    finally:
        for pid in converters:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        harness.stop(server)
        shutil.rmtree(home, ignore_errors=True)


def _is_converter(pid: int) -> bool:
    with contextlib.suppress(OSError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"gateway.document.workshop" in line and b'"fork": true' in line
    return False


def mail(size: int, number: int = 0) -> bytes:
    """A mail of about ``size`` bytes: a sentence and a PDF that is none but for its first bytes. Lines end in LF."""
    head = (
        f"From: {SENDER}\nTo: {NUMBER}\nSubject: papers\nMessage-ID: <{number}.{random.random()}@example.org>\n"
        "Date: Mon, 02 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\n"
        'Content-Type: multipart/mixed; boundary="limit"\n\n'
        "--limit\nContent-Type: text/plain; charset=utf-8\n\nThe papers as we agreed.\n\n"
        '--limit\nContent-Type: application/pdf; name="papers.pdf"\nContent-Transfer-Encoding: base64\n'
        'Content-Disposition: attachment; filename="papers.pdf"\n\n'
    ).encode()
    tail = b"--limit--\n"
    room = max(0, (size - len(head) - len(tail)) * 57 // 77 - 9)
    return head + base64.encodebytes(b"%PDF-1.4\n" + os.urandom(room)) + tail


class Replies(Protocol):
    """What a server says, line by line."""

    def readline(self) -> bytes: ...


def envelope(client: socket.socket, replies: Replies, *, first: bool = True) -> None:
    """Speak up to the 354 of DATA. Raises SystemExit when the server refuses."""
    said = ["EHLO load.example.org"] if first else []
    for command in (*said, f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{NUMBER}>", "DATA"):
        client.sendall(command.encode() + b"\r\n")
        while (reply := replies.readline())[3:4] == b"-":
            pass
        if reply[:1] not in (b"2", b"3"):
            raise SystemExit(f"{command}: {reply!r}")


def smtp_source(port: int, file: Path, count: int, sessions: int) -> float:
    """Send ``count`` times the mail in ``file``, a connection each; returns seconds. Raises CalledProcessError."""
    begun = time.perf_counter()
    subprocess.run(
        ["smtp-source", "-4", "-s", str(sessions), "-m", str(count), "-F", file, "-f", SENDER, "-t", NUMBER,
         "-M", "load.example.org", f"127.0.0.1:{port}"],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return time.perf_counter() - begun
