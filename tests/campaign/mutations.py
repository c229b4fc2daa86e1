"""``python -m tests.campaign.mutations [WORD...] [--report FILE]``: would the campaign catch a mistake?

Each mistake of :mod:`tests.campaign.mutants` is made in a copy of the gateway, and the smallest piece of the campaign
that should catch it is run on that copy. The same pieces are run on the gateway as it is, where they must find nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from gateway import telemetry
from gateway.document.worker import WorkerPool

from .daemon import CODE
from .kill import pool
from .mutants import MUTATIONS, Hurt, Mutation, made
from .world import running

_SENTENCE = 160


def copy(to: Path) -> None:
    """The gateway's package, with what is compiled of it, into a directory."""
    shutil.copytree(CODE / "gateway", to / "gateway")


async def _breaches(hurt: Hurt, workers: WorkerPool, directory: Path) -> list[str]:
    try:
        return await hurt.run(workers, directory / "world")
    except Exception as error:  # a mistake may be so bad that the piece cannot even be played
        return [f"{type(error).__name__}: {error}"]


async def caught(mutation: Mutation, workers: WorkerPool) -> list[str]:
    """The breaches that a mistake causes; none when it survives."""
    with tempfile.TemporaryDirectory(prefix="campaign-mutation-") as directory:
        code = Path(directory) / "code"
        await asyncio.to_thread(copy, code)
        made(code, mutation)
        with running(code):
            return await _breaches(mutation.hurt, workers, Path(directory))


async def _controls(hurts: Sequence[Hurt], workers: WorkerPool) -> list[str]:
    """What the pieces find where nothing is wrong."""
    found = []
    for hurt in hurts:
        with tempfile.TemporaryDirectory(prefix="campaign-control-") as directory:
            found += [f"{hurt.part}: {breach}" for breach in await _breaches(hurt, workers, Path(directory))]
    return found


def _row(mutation: Mutation, breaches: Sequence[str], seconds: float) -> str:
    # a rule of the checker says more than that something did not end
    first = (
        next((breach for breach in breaches if breach.partition(":")[0].isidentifier()), *breaches[:1])
        if breaches
        else ""
    )
    name = first.partition(":")[0]
    rule = name if name.isidentifier() else first.replace("|", "/").replace("\n", " ")[:_SENTENCE] or "**SURVIVED**"
    return f"| {mutation.name} | {mutation.breaks} | {mutation.hurt.part} | {rule} | {seconds:.0f} |"


async def _main(words: Sequence[str], report: Path | None) -> int:
    chosen = [mutation for mutation in MUTATIONS if not words or any(word in mutation.name for word in words)]
    command = " ".join(["python -m tests.campaign.mutations", *words])
    lines = [
        f"`{command}`, {time.strftime('%Y-%m-%d')}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
        f" {platform.system()} {platform.machine()}:",
        "",
        "| mutation | what it breaks | part | caught by | s |",
        "| --- | --- | --- | --- | ---: |",
    ]
    survived = 0
    async with pool() as workers:
        for mutation in chosen:
            begun = time.monotonic()
            breaches = await caught(mutation, workers)
            survived += not breaches
            lines.append(_row(mutation, breaches, time.monotonic() - begun))
            print(lines[-1], flush=True)
        hurts = {mutation.hurt.part: mutation.hurt for mutation in chosen}
        wrong = await _controls(list(hurts.values()), workers)
    lines += [
        "",
        f"{len(chosen) - survived} of {len(chosen)} caught. On the gateway as it is, the same {len(hurts)} pieces find"
        f" {len(wrong) or 'nothing'}{'.' if not wrong else ':'}",
        *(f"- {breach}" for breach in wrong),
    ]
    print("\n".join(lines[4 + len(chosen) :]))
    if report is not None:
        report.write_text("\n".join(lines) + "\n")
    return 1 if survived or wrong else 0


def main() -> None:
    """Parse the command line and run; the status is 1 when a mistake survives, or the gateway as it is has a breach."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.mutations", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only mutations that have one of these in their name")
    parser.add_argument("--report", type=Path, help="write the table there too")
    asked = parser.parse_args()
    telemetry.set_up_logging("critical", "console")  # the sandbox would tell of each callback that nobody takes
    sys.exit(asyncio.run(_main(asked.words, asked.report)))


if __name__ == "__main__":
    main()
