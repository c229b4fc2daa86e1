"""What every benchmark needs: processes that end with it, CPU and memory of a process tree, medians, tables, a slow disk.

Only numbers of one run compare: a machine has fast and slow hours, so whoever is compared takes turns in each round.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def parser(doc: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that all benchmarks have."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped too
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--rounds", type=int, default=rounds, help="rounds; the median is shown (default %(default)s)")
    made.add_argument("--workdir", help="folder on the disk that is measured (default: /var/tmp; never a RAM disk)")
    made.add_argument("--out", help="file for the results as JSON")
    made.add_argument(
        "--gateway", default=str(Path(sys.executable).with_name("faxgateway")), help="the faxgateway command"
    )
    return made


@contextlib.contextmanager
def work_directory(base: str | None) -> Iterator[Path]:
    """A fresh folder, removed at the end. /tmp may be a RAM disk, where a sync is free."""
    path = Path(tempfile.mkdtemp(prefix="faxgateway-bench-", dir=base or "/var/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def save(path: str | None, rows: list[dict[str, Any]]) -> None:
    if path:
        facts = {"when": time.strftime("%F %T"), "python": platform.python_version(), "cores": os.cpu_count()}
        Path(path).write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


# --- numbers ----------------------------------------------------------------------------------------------------------


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def table(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table in Markdown."""
    if not rows:
        return
    cells = [list(rows[0]), *([_shown(row[name]) for name in rows[0]] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print("\n".join(lines), flush=True)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


# --- processes --------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: Sequence[object], **options: Any) -> subprocess.Popen[bytes]:
    """A process that ends when the benchmark does."""
    return subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  # no threads here
        **options,
    )


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port: int, process: subprocess.Popen[bytes] | None = None, timeout: float = 60) -> None:
    """Raises RuntimeError when nobody listens in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the server ended at once with {process.returncode}: {process.args!r}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"nobody listens at port {port}")


def _stat(pid: int | str) -> list[str]:
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def tree(pid: int) -> list[int]:
    """A process and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(entry)[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def cpu(pid: int) -> float:
    """CPU seconds of a process and its descendants, with those that have ended."""
    ticks = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            ticks += sum(map(int, _stat(member)[11:15]))
    return ticks / _TICK


def memory(pid: int, field: str = "VmRSS") -> float:
    """Bytes of a process: ``VmRSS`` now, ``VmHWM`` at its peak since :func:`forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024.0
    return 0.0


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


# --- a disk whose sync takes long -------------------------------------------------------------------------------------

_SLOW_SYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slowly(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int)) dlsym(RTLD_NEXT, name);
    const char *wait = getenv("BENCH_SYNC_US");
    int result = real(fd);
    if (wait)
        usleep(atoi(wait));
    return result;
}

int fsync(int fd) { return slowly("fsync", fd); }
int fdatasync(int fd) { return slowly("fdatasync", fd); }
"""


def slow_sync(folder: Path, microseconds: int) -> dict[str, str]:
    """Environment that makes each fsync and fdatasync take so much longer; needs a C compiler. Nothing for 0."""
    if not microseconds:
        return {}
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("--fsync-us needs a C compiler (gcc)")
    library = folder / "slowsync.so"
    if not library.exists():
        source = library.with_suffix(".c")
        source.write_text(_SLOW_SYNC)
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "BENCH_SYNC_US": str(microseconds)}
