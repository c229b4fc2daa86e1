"""How fast mails are accepted durably: the gateway and Postfix (to its hold queue) in turns, under Postfix's smtp-source.

Shows mails per second and the CPU of the whole server for a mail, and the ratios to Postfix, which alone mean something
on another machine. --fsync-us 5000 stands for a disk that takes 5 ms for a sync. Needs postfix (run as root).

    python bench/accept.py                                              # all sizes, 10 and 50 sessions, 5 rounds
    python bench/accept.py --fsync-us 5000 --sizes 4K --sessions 1,50   # a slow disk
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import harness
import peers

_SIZES = {"4K": 4_000, "100K": 100_000, "1M": 1_000_000, "10M": 10_000_000}
_WARM = 50  # mails


def main() -> None:
    options = harness.parser(__doc__, rounds=5)
    options.add_argument("--sizes", default="4K,100K,1M,10M", help="of a mail (default %(default)s)")
    options.add_argument("--sessions", default="10,50", help="at once (default %(default)s)")
    options.add_argument("--fsync-us", type=int, default=0, help="microseconds that each sync takes longer")
    options.add_argument("--bytes", type=int, default=100_000_000, help="sent in a run, about (default %(default)s)")
    options.add_argument("--most", type=int, default=1500, help="mails in a run (default %(default)s)")
    options.add_argument("--servers", default="postfix,gateway", help="default %(default)s")
    options.add_argument("--converting", action="store_true", help="the gateway also converts what it has accepted")
    chosen = options.parse_args()
    found: dict[tuple[str, int, str], list[tuple[float, float]]] = {}
    with harness.work_directory(chosen.workdir) as folder:
        environment = harness.slow_sync(folder, chosen.fsync_us)
        files = {}
        for size in chosen.sizes.split(","):
            files[size] = folder / f"{size}.eml"
            files[size].write_bytes(peers.mail(_SIZES[size]))
        for _ in range(chosen.rounds):
            for server in chosen.servers.split(","):
                if server == "postfix":
                    running = peers.postfix(folder, environment)
                else:
                    running = peers.gateway(chosen.gateway, folder, environment, converting=chosen.converting)
                with running as (port, pid):
                    peers.smtp_source(port, files[next(iter(files))], _WARM, 10)
                    for size, file in files.items():
                        for sessions in map(int, chosen.sessions.split(",")):
                            count = max(sessions, 10, min(chosen.most, chosen.bytes // _SIZES[size]))
                            if sessions == 1:
                                count = max(10, count // 5)
                            measured = _run(port, pid, file, count, sessions)
                            found.setdefault((size, sessions, server), []).append(measured)
    rows = _rows(found)
    harness.table(rows)
    harness.save(chosen.out, rows)


def _run(port: int, pid: int, file: Path, count: int, sessions: int) -> tuple[float, float]:
    """Mails per second, CPU ms per mail."""
    before = harness.cpu(pid)
    try:
        seconds = peers.smtp_source(port, file, count, sessions)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"smtp-source failed: {error}") from error
    return count / seconds, (harness.cpu(pid) - before) / count * 1000


def _rows(found: dict[tuple[str, int, str], list[tuple[float, float]]]) -> list[dict[str, Any]]:
    rows = []
    for (size, sessions, server), runs in found.items():
        rate, cpu = harness.median([run[0] for run in runs]), harness.median([run[1] for run in runs])
        peer = found.get((size, sessions, "postfix"))
        row = {"mail": size, "sessions": sessions, "server": server, "mails/s": rate, "CPU ms/mail": cpu}
        row["spread %"] = 100 * (max(run[0] for run in runs) - min(run[0] for run in runs)) / rate
        row["rate/Postfix"] = rate / harness.median([run[0] for run in peer]) if peer else "-"
        row["CPU/Postfix"] = cpu / harness.median([run[1] for run in peer]) if peer else "-"
        rows.append(row)
    return sorted(rows, key=lambda row: (list(_SIZES).index(row["mail"]), row["sessions"], row["server"]))


if __name__ == "__main__":
    main()
