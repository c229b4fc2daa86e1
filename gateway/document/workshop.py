"""The warm process: single-threaded, imports once, forks a child for each job and tells what became of it.

It reads a JSON line a job on standard input and answers a JSON line on standard output. A child has limits on memory,
CPU, files and time, no environment worth stealing, and no more of the machine than :mod:`gateway.document.walls` leaves
it: of a job's arguments, ``mail``, ``path``, ``document`` and the ``path`` of each of ``parts`` may be read, ``directory``
and the directory of ``out`` filled, and the programs in ``office`` used.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import math
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.document import progress, systemfonts, walls

_PR_SET_PDEATHSIG = 1
_SLACK = 5  # seconds of CPU time beyond the wall-clock limit, which comes first while this process lives
_MOST = 64 << 20  # bytes of an answer
_MANY = 0.5  # of its time or memory a job must have used up, for that to be why it ended
_OURS = {  # trouble that no document makes
    errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk is full", errno.EROFS: "the disk cannot be written to",
    errno.EIO: "the disk has an error", errno.ENFILE: "the system has too many files open",
}  # fmt: skip
ENDED_BY_SYSTEM = "the system ended the converter"  # which others beside it may be to blame for
_MEMORY = "it needs more memory than it may have"


def isolation() -> dict[str, bool]:
    """Which walls a child of this kernel and these privileges can put up (tried in a throw-away child)."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(asdict(walls.put_up())).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        found: dict[str, bool] = json.loads(stream.read())
    os.waitpid(child, 0)
    return found


# --- one job ----------------------------------------------------------------------------------------------------------


def call(function: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a function of this package by its name; the answer says result, refused or failed."""
    from gateway.errors import GatewayError, Refused

    try:
        module, _, name = function.partition(":")
        return {"result": getattr(importlib.import_module(module), name)(**arguments)}
    except Refused as error:
        return {"refused": error.public, "detail": error.detail, "status": error.status}
    except GatewayError as error:
        return {"failed": error.public, "detail": error.detail}
    except MemoryError:
        return {"over": _MEMORY}
    except OSError as error:
        if error.errno == errno.EFBIG:
            return {"over": "it becomes a larger file than is allowed", "detail": repr(error)}
        ours = _OURS.get(error.errno or 0)
        return {"failed": ours or "the converter failed", "ours": bool(ours), "detail": traceback.format_exc()}
    except Exception:  # noqa: BLE001  # the edge of the process: whatever a converter raises becomes an answer
        return {"failed": "the converter failed", "detail": traceback.format_exc()}


def _in_child(job: dict[str, Any], limits: dict[str, Any]) -> dict[str, Any]:
    """Fork, limit, run, collect. The parent stays single-threaded and touches no document."""
    sys.stdout.flush()
    parent = os.getpid()
    try:
        reader, writer = os.pipe()
        try:
            child = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
    except OSError as error:
        return {"failed": "the system has no room for a conversion", "ours": True, "detail": repr(error)}
    if child == 0:
        status = 1
        try:
            _confine(job["arguments"], limits, parent, writer)
            progress.listen(lambda name: _write(writer, {"at": name}))
            _write(writer, call(job["function"], job["arguments"]))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    try:
        return _collect(child, reader, limits)
    finally:
        os.close(reader)


def _confine(arguments: dict[str, Any], limits: dict[str, Any], parent: int, writer: int) -> None:
    """In the child: keep nothing of the warm process but the pipe to answer by."""
    _die_with(parent)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.closerange(3, writer)
    os.closerange(writer + 1, os.sysconf("SC_OPEN_MAX"))
    _limit(limits)
    seconds = math.ceil(limits["timeout"]) + _SLACK
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))  # the signal of the second says nothing
    walls.put_up(_readable(arguments), _writable(arguments), office=arguments.get("office", ""))


def _write(writer: int, answer: dict[str, Any]) -> None:
    view = memoryview(json.dumps(answer).encode() + b"\n")
    while view:
        view = view[os.write(writer, view) :]


def _readable(arguments: dict[str, Any]) -> Iterator[str]:
    yield from (arguments[name] for name in ("mail", "path", "document") if name in arguments)
    yield from (part["path"] for part in arguments.get("parts", ()))


def _writable(arguments: dict[str, Any]) -> Iterator[str]:
    if "directory" in arguments:
        yield arguments["directory"]
    if "out" in arguments:
        yield str(Path(arguments["out"]).parent)


def _die_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # it was gone before we could ask to be told


def _go_first() -> None:
    """Where memory runs out, the kernel ends a conversion and not the daemon, with which all that is under way would end."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(
            "1000", encoding="ascii"
        )  # the most (proc(5)), which children inherit


def _limit(limits: dict[str, Any]) -> None:
    mapped, _, data = _memory()
    for kind, value in (
        (resource.RLIMIT_DATA, data + limits["memory"] * 3 // 4),  # the rest is for programs and libraries
        (resource.RLIMIT_AS, mapped + 2 * limits["memory"]),  # LibreOffice maps far more than it holds
        (resource.RLIMIT_FSIZE, limits["file_size"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        resource.setrlimit(kind, (value, value))


def _memory() -> tuple[int, int, int]:
    """Bytes of this process: mapped, held in memory, and those mapped that are its own data."""
    mapped, held, _, _, _, data, _ = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(mapped) * resource.getpagesize(), int(held) * resource.getpagesize(), int(data) * resource.getpagesize()


# --- what became of it ------------------------------------------------------------------------------------------------


def _collect(child: int, reader: int, limits: dict[str, Any]) -> dict[str, Any]:
    deadline = time.monotonic() + limits["timeout"]
    chunks = bytearray()
    ended = ""
    while not ended:
        left = deadline - time.monotonic()
        if left <= 0:
            ended = "late"
        elif select.select([reader], [], [], left)[0]:
            chunk = os.read(reader, 1 << 20)
            chunks += chunk
            if not chunk:
                break
            if len(chunks) > _MOST:
                ended = "long"
    if ended:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    at, answer = _read(bytes(chunks))
    if ended == "late":
        text = f"it took longer than {limits['timeout']:g} seconds"
        busy = usage.ru_utime + usage.ru_stime > _MANY * limits["timeout"]
        answer = {"over" if busy else "failed": text}
    elif ended == "long":
        answer = {"failed": "its answer is too long"}
    else:
        held = usage.ru_maxrss * 1024 - _memory()[1]  # a child begins with what this process has
        most = held > _MANY * limits["memory"]
        answer = answer or _death(os.waitstatus_to_exitcode(status), most=most)
    return {**answer, "at": at}


def _read(said: bytes) -> tuple[str, dict[str, Any] | None]:
    """What a child worked on last, and its answer if it came to one."""
    at = ""
    for line in said.splitlines():
        try:
            told = json.loads(line)
        except ValueError:  # it was ended while it wrote
            return at, None
        if set(told) != {"at"}:
            return at, told
        at = told["at"]
    return at, None


def _death(code: int, *, most: bool) -> dict[str, Any]:
    """Why a child ended without an answer; ``most``: it held most of the memory it may have."""
    if code == -signal.SIGXCPU:
        return {"over": "it takes too much computing time"}
    if code == -signal.SIGKILL:
        return {"failed": f"{ENDED_BY_SYSTEM}, most likely for want of memory"}
    if code == -signal.SIGTRAP:  # as pdfium does, in time
        return {"over": "its converter gave up, most likely for want of memory"}
    if code and most:  # C libraries do not outlive a refused allocation
        return {"over": _MEMORY}
    if code == 0:
        return {"failed": "the converter gave no answer"}
    return {"failed": f"the converter crashed (exit {code})"}


def main() -> None:
    """Serve jobs until standard input ends."""
    settings: dict[str, Any] = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(int(sys.argv[2]))
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _go_first()
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the conversation
    for module in settings["modules"]:
        importlib.import_module(module)
    walls.system()
    systemfonts.ready()
    if not settings["fork"]:
        _limit(settings)
        walls.leave_network()
    for line in sys.stdin.buffer:
        job = json.loads(line)
        answer = _in_child(job, settings) if settings["fork"] else call(job["function"], job["arguments"])
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
