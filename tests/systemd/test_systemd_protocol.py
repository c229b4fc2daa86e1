"""What systemd reads from us, over real datagram sockets, and the sockets it passes, over real descriptors."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from gateway import daemon
from gateway.config import Config
from gateway.edge.seldom import Seldom
from gateway.errors import NoSpace, TryLater
from gateway.systemd import Notifier, listen_sockets


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, dict[str, str]]]:
    """The service manager's socket and the environment it starts us with."""
    name = f"@faxgateway-{os.getpid()}-{tmp_path.name}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        manager.settimeout(5)
        yield manager, {"NOTIFY_SOCKET": name, "OTHER": "stays"}


def test_each_message_arrives_as_systemd_expects_it(manager: tuple[socket.socket, dict[str, str]]) -> None:
    receiver, environ = manager
    notifier = Notifier(environ)
    assert environ == {"OTHER": "stays"}, "a child would speak for us"

    def said() -> str:
        return receiver.recv(4096).decode()

    notifier.ready("accepting\nmail")
    assert said() == "READY=1\nSTATUS=accepting mail"
    notifier.ready()
    assert said() == "READY=1"
    notifier.stopping()
    assert said() == "STOPPING=1"
    notifier.watchdog()
    assert said() == "WATCHDOG=1"


def test_a_reload_carries_the_time_it_began(manager: tuple[socket.socket, dict[str, str]]) -> None:
    receiver, environ = manager
    before = time.monotonic_ns() // 1000
    Notifier(environ).reloading()
    first, second = receiver.recv(4096).decode().splitlines()
    assert first == "RELOADING=1"
    name, _, value = second.partition("=")
    assert name == "MONOTONIC_USEC"
    assert before <= int(value) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize("address", ["", "relative/path", "/nowhere/at/all", "@nobody-listens-here", "vsock:2:1"])
def test_a_message_nobody_takes_is_dropped(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).ready("all well")


def test_without_systemd_nothing_is_sent() -> None:
    notifier = Notifier({})
    notifier.ready()
    assert notifier.watchdog_interval() is None


@pytest.mark.parametrize(
    ("environ", "interval"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_interval(environ: dict[str, str], interval: float | None) -> None:
    assert Notifier(environ).watchdog_interval() == interval
    assert environ == {}


async def test_a_full_disk_or_a_lock_of_another_is_an_answer_of_the_database(
    manager: tuple[socket.socket, dict[str, str]],
) -> None:
    receiver, environ = manager
    receiver.setblocking(False)

    async def write(_: object) -> None:
        raise NoSpace("the gateway's disk is full")

    gateway = SimpleNamespace(database=SimpleNamespace(write=write))
    notifier = Notifier({**environ, "WATCHDOG_USEC": "20000"})
    alive = asyncio.create_task(daemon._watchdog(gateway, notifier))  # type: ignore[arg-type]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        said = [await loop.sock_recv(receiver, 4096) for _ in range(3)]
    alive.cancel()
    assert said == [b"WATCHDOG=1"] * 3


def test_connections_that_cannot_be_taken_are_told_now_and_then() -> None:
    loop = asyncio.new_event_loop()
    full = {"message": "socket.accept() out of system resource", "exception": OSError(24, "Too many open files")}
    with capture_logs() as said:
        seldom = Seldom(daemon.log)
        for _ in range(1000):
            daemon._unhandled(seldom, loop, full)
    loop.close()
    assert [(line["event"], line["times"]) for line in said] == [("a connection cannot be taken now; it waits", 1)]


def test_too_few_descriptors_for_as_many_clients_are_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1024, 1024))
    config = Config.model_construct(
        smtp=SimpleNamespace(max_connections=200), http=SimpleNamespace(callbacks=SimpleNamespace(max_connections=100))
    )
    with capture_logs() as said:
        daemon._ask_for_descriptors(config)
        config.smtp.max_connections = 2000  # type: ignore[misc]
        daemon._ask_for_descriptors(config)
    assert [(line["files"], line["needed"]) for line in said] == [(1024, 4300)]


async def test_hangups_that_come_together_are_one_reload_after_another(
    manager: tuple[socket.socket, dict[str, str]],
) -> None:
    """The word that ends one must not end another, and none may come before the start has ended."""
    receiver, environ = manager
    receiver.setblocking(False)
    loop, hangup, reloads = asyncio.get_running_loop(), asyncio.Event(), 0

    async def reload() -> list[str]:
        nonlocal reloads
        reloads += 1
        if reloads == 1:
            for _ in range(1000):
                hangup.set()
        await asyncio.sleep(0)
        raise TryLater("a broken certificate")

    task = asyncio.create_task(daemon._reloads(SimpleNamespace(reload=reload), Notifier(environ), hangup))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    hangup.set()
    async with asyncio.timeout(5):
        said = [(await loop.sock_recv(receiver, 4096)).partition(b"=")[0] for _ in range(4)]
    await asyncio.sleep(0.01)
    task.cancel()
    assert (said, reloads) == ([b"RELOADING", b"READY"] * 2, 2)


def _passed(*sockets: socket.socket) -> int:
    """Put sockets on consecutive descriptors, as systemd does from 3 on, and return the first."""
    first = 200
    for index, each in enumerate(sockets):
        os.dup2(each.fileno(), first + index, inheritable=True)
        each.close()
    return first


def test_passed_sockets_come_by_name_and_are_not_inherited() -> None:
    smtp, web = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    port = smtp.getsockname()[1]
    first = _passed(smtp, web)
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "smtp:web", "OTHER": "stays"}
    found = listen_sockets(environ, first)
    assert environ == {"OTHER": "stays"}
    assert list(found) == ["smtp", "web"]
    assert found["smtp"].getsockname()[1] == port
    assert found["smtp"].family is socket.AF_INET
    assert found["smtp"].type is socket.SOCK_STREAM
    for each in found.values():
        assert not each.get_inheritable()
        assert not each.getblocking()
        each.close()


def test_names_that_repeat_or_are_missing() -> None:
    first = _passed(*(socket.socket(socket.AF_UNIX) for _ in range(4)))
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "4", "LISTEN_FDNAMES": "smtp:smtp:"}
    found = listen_sockets(environ, first)
    assert list(found) == ["smtp", "smtp-2", "unknown", "unknown-2"]
    for each in found.values():
        each.close()


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "x"},
    ],
)
def test_sockets_meant_for_another_process_are_left_alone(environ: dict[str, str]) -> None:
    assert listen_sockets(environ) == {}
    assert environ == {}


def test_the_process_environment_is_the_default() -> None:
    """In a process of its own: descriptor 3 really is the socket, and the real environment is cleaned."""
    program = (
        "import os, socket\n"
        "from gateway.systemd import Notifier, listen_sockets\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "os.environ['LISTEN_FDS'] = '1'\n"
        "os.environ['LISTEN_FDNAMES'] = 'smtp'\n"
        "os.environ['WATCHDOG_USEC'] = '1000000'\n"
        "print(*listen_sockets(), Notifier().watchdog_interval())\n"
        "print([name for name in os.environ if name.startswith(('LISTEN_', 'WATCHDOG_', 'NOTIFY_'))])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            ["/bin/sh", "-c", 'exec "$@" 3<&0', "sh", sys.executable, "-c", program],
            stdin=server.fileno(), capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.stdout.splitlines() == ["smtp 1.0", "[]"], done.stderr
