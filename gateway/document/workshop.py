"""The warm process: single-threaded, imports once, forks a limited child for each job.

It reads a JSON line a job on standard input and answers a JSON line on standard output. A child has no network where the
kernel lets it give it up, limits on memory, CPU, files and time, and no environment worth stealing.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from typing import Any

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_MODULES = ("gateway.mail.parse", "gateway.document.render")


def isolation() -> dict[str, bool]:
    """Which walls a child of this kernel and these privileges can put up (tried in a throw-away child)."""
    child = os.fork()
    if child == 0:
        os._exit(0 if _leave_network() else 1)
    return {"network": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0}


def _leave_network() -> bool:
    """Move into a network namespace without interfaces; False where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.unshare(_CLONE_NEWNET) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _mapped() -> int:
    with open("/proc/self/statm", encoding="ascii") as stream:  # noqa: PTH123  # a kernel file, not a path of ours
        return int(stream.read().split()[0]) * resource.getpagesize()


def _limit(limits: dict[str, Any]) -> None:
    for kind, value in (
        (resource.RLIMIT_CPU, int(limits["cpu"])),
        (resource.RLIMIT_AS, _mapped() + int(limits["memory"])),
        (resource.RLIMIT_FSIZE, int(limits["file_size"])),
        (resource.RLIMIT_NOFILE, int(limits["open_files"])),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))


def call(function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a function of this package by its name; the answer says result, refused or failed."""
    from gateway.errors import GatewayError, Refused

    try:
        module, _, name = function.partition(":")
        if not module.startswith("gateway.") or name.startswith("_"):
            return {"failed": f"{function} is no function of the gateway"}
        return {"result": getattr(importlib.import_module(module), name)(**arguments)}
    except Refused as error:
        return {"refused": error.public, "detail": error.detail, "status": error.status}
    except GatewayError as error:
        return {"failed": error.public, "detail": error.detail}
    except MemoryError:
        return {"failed": "it needs more memory than it may have"}
    except OSError as error:
        return {"failed": "the disk is full or the file too large", "detail": repr(error)}
    except Exception:  # noqa: BLE001  # the edge of the process: whatever a converter raises becomes an answer
        return {"failed": "the converter failed", "detail": traceback.format_exc()}


def _in_child(job: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """Fork, limit, run, collect. The parent stays single-threaded and touches no document."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(reader)
            _die_with_parent()
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            _leave_network()
            _limit(limits)
            answer = json.dumps(call(job["function"], job["arguments"])).encode()
            _save_coverage()
            view = memoryview(answer)
            while view:
                view = view[os.write(writer, view) :]
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    try:
        return _collect(child, reader, limits)
    finally:
        os.close(reader)


def _collect(child: int, reader: int, limits: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + float(limits["timeout"])
    chunks: list[bytes] = []
    late = False
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            late = True
            os.kill(child, signal.SIGKILL)
            break
        if not select.select([reader], [], [], left)[0]:
            continue
        chunk = os.read(reader, 1 << 20)
        if not chunk:
            break
        chunks.append(chunk)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if late:
        return {"failed": f"it took longer than {limits['timeout']:g} seconds"}
    if code == -signal.SIGXCPU or code == -signal.SIGKILL:
        return {"failed": f"it took more than {limits['cpu']} seconds of computing or too much memory"}
    if code != 0:
        return {"failed": f"the converter crashed (exit {code})"}
    try:
        answer: dict[str, Any] = json.loads(b"".join(chunks))
    except ValueError:
        return {"failed": "the converter gave no answer"}
    return answer


def _save_coverage() -> None:
    """A forked child skips the exit handlers; a measured one still writes down what it ran."""
    if "COVERAGE_PROCESS_CONFIG" in os.environ or "COVERAGE_PROCESS_START" in os.environ:
        import coverage

        current = coverage.Coverage.current()
        if current is not None:
            current.stop()
            current.save()


def main() -> None:
    """Serve jobs until standard input ends."""
    limits: dict[str, Any] = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    if os.getppid() != int(sys.argv[2]):
        return  # the gateway was gone before we could ask to be told
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the conversation
    for module in _MODULES:
        importlib.import_module(module)
    for line in sys.stdin.buffer:
        job = json.loads(line)
        answer = _in_child(job, limits) if limits["fork"] else call(job["function"], job["arguments"])
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
