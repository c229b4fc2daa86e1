"""Jobs that misbehave, for worker processes to survive. Their answers are what they managed to do."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Any

from gateway.document import progress
from gateway.errors import Refused, TryLater


def add(a: int, b: int) -> int:
    return a + b


def who() -> dict[str, Any]:
    """The process, its parent and its environment."""
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "environment": sorted(os.environ),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
    }


def faults(pictures: int) -> int:
    """How many pages of memory the system had to give for pictures of 4 MB that were made and dropped."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(pictures):
        bytearray(b"\1") * (4 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def open_files() -> list[int]:
    found = []
    for number in range(256):
        with contextlib.suppress(OSError):
            os.fstat(number)
            found.append(number)
    return found


def refuse(name: str) -> None:
    progress.begin(name)
    raise Refused(f"{name} is not wanted", "because", status="5.6.1")


def later() -> None:
    raise TryLater("the converter has a headache")


def fail(name: str = "") -> None:
    if name:
        progress.begin(name)
    raise KeyError("a bug")


def unserialisable() -> Any:
    return {1, 2, 3}


def print_nonsense() -> str:
    print('{"result": "forged"}', flush=True)
    os.write(1, b'{"result": "forged"}\n')
    sys.stdin.read()
    return "said nothing"


def crash(name: str = "broken.pdf") -> None:
    progress.begin(name)
    ctypes.string_at(0)


def leave(code: int) -> None:
    os._exit(code)


def be_killed() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 6))
    while True:
        pass


def spin(name: str = "slow.pdf") -> None:
    progress.begin(name)
    while True:
        pass


def sleep(seconds: float, name: str = "sleepy.pdf") -> float:
    progress.begin(name)
    time.sleep(seconds)
    return seconds


def close_and_sleep() -> None:
    """Say that it is done, and stay."""
    for number in open_files()[2:]:
        os.close(number)
    time.sleep(3600)


def touch_and_sleep(out: str) -> None:
    Path(out).write_text(str(os.getpid()))
    time.sleep(3600)


def eat(name: str = "huge.tif") -> None:
    progress.begin(name)
    held = []
    while True:
        held.append(bytearray(64 << 20))


def hold() -> int:
    """As much as is given; returns how many bytes that were."""
    held = []
    with contextlib.suppress(MemoryError):
        while True:
            held.append(b"x" * (4 << 20))
    return len(held) * (4 << 20)


def eat_in_c(name: str = "huge.pdf") -> None:
    """As a C library does that cannot go on without memory."""
    progress.begin(name)
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    while held := libc.malloc(16 << 20):
        ctypes.memset(held, 1, 16 << 20)
    ctypes.string_at(0)


def fill(out: str, name: str = "endless.tif") -> None:
    progress.begin(name)
    with open(out, "wb") as stream:
        while True:
            stream.write(bytes(1 << 20))


def write(out: str, content: str) -> int:
    return Path(out).write_text(content)


def talk(size: int) -> str:
    return "x" * size


def talk_for_ever() -> None:
    while True:
        progress.begin("x" * 1_000_000)


def read(path: str, other: str) -> dict[str, str]:
    """What can be read of the job's own file, and of another."""
    return {"own": _attempt(lambda: Path(path).read_text()), "other": _attempt(lambda: Path(other).read_text())}


def read_directory(path: str) -> bytes:
    return Path(path).read_bytes()


def read_parts(parts: list[dict[str, str]]) -> list[str]:
    return [Path(part["path"]).read_text() for part in parts]


def fill_directory(directory: str) -> int:
    for name in ("a", "b"):
        Path(directory, name).write_text("x")
    return len(os.listdir(directory))


def spoil(out: str, other: str) -> dict[str, str]:
    """What can be written beside the job's own result, and elsewhere."""
    return {
        "own": _attempt(lambda: str(Path(out).write_text("own"))),
        "beside": _attempt(lambda: str((Path(out).parent / "beside").write_text("own"))),
        "other": _attempt(lambda: str(Path(other).write_text("spoilt"))),
        "link": _attempt(lambda: str((Path(out).parent / "link").symlink_to(other))),
        "remove": _attempt(lambda: str(Path(other).unlink())),
        "list": _attempt(lambda: str(os.listdir(Path(other).parent))),
    }


def reach(port: int) -> dict[str, str]:
    """Ways out of the process."""

    def connect(family: int, kind: int, address: Any) -> str:
        with socket.socket(family, kind) as stream:
            stream.connect(address)
            if kind == socket.SOCK_DGRAM:
                stream.send(b"x")
        return "connected"

    def thread() -> str:
        import threading

        running = threading.Thread(target=print)
        running.start()
        running.join()
        return "ran"

    def fork() -> str:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        return "forked"

    def run() -> str:
        os.execv("/bin/true", ["true"])
        return ""

    return {
        "tcp": _attempt(lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))),
        "udp": _attempt(lambda: connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port))),
        "unix": _attempt(lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0faxgateway-test")),
        "pair": _attempt(lambda: str(socket.socketpair())),
        "resolve": _attempt(lambda: str(socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM))[:9]),
        "fork": _attempt(fork),
        "thread": _attempt(thread),
        "run": _attempt(run),
        "kill": _attempt(lambda: str(os.kill(os.getppid(), 0))),
        "memory": _attempt(lambda: str(Path(f"/proc/{os.getppid()}/environ").read_bytes())),
    }


def _attempt(action: Any) -> str:
    try:
        return str(action())
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, repr(error))
    except RuntimeError as error:
        return repr(error)
