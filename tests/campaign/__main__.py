"""``python -m tests.campaign PART... [--full] [--times N] [--seed N] [--report FILE]``: hurt the gateway and print what came of it."""

from __future__ import annotations

import argparse
import asyncio
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from gateway import telemetry
from gateway.document.worker import WorkerPool

from . import caps, chaos, clock, disk_full, edges, io_errors, kill, power_cut, random_kill, stops, system_calls
from .daemon import CODE
from .journeys import JOURNEYS
from .kill import Run, pool
from .nursery import nursery
from .random_kill import Outcome


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done: bounded or in full, ``times`` times where a part takes a number, every so many-th place in one that
    goes through them all."""

    full: bool
    times: int | None = None
    every: int | None = None
    journeys: tuple[str, ...] = ()

    def step(self, bounded: int) -> int:
        return self.every or (1 if self.full else bounded)

    def __str__(self) -> str:
        named = {"times": self.times, "every": self.every, "journeys": ", ".join(self.journeys) or None}
        asked = [f"--{name} {value}" for name, value in named.items() if value is not None]
        return ", ".join(["full form" if self.full else "bounded form", *asked])

    def of(self, bounded: int, full: int) -> int:
        return self.times or (full if self.full else bounded)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the campaign. ``run`` takes its size, a seed, converters and an empty directory."""

    name: str
    proves: str
    run: Callable[[Size, int, WorkerPool, Path], Awaitable[Outcome]]


async def _each(what: str, runs: AsyncIterator[Run]) -> Outcome:
    """A systematic part: one run for each point."""
    outcome = Outcome(what)
    async for run in runs:
        outcome.jobs += 1
        outcome.hurts += run.died
        for breach in run.breaches:
            outcome.breaches.append(f"{run.journey}, {run.where}: {breach} (log: {run.log})")
        print(f"\r{what}: {run.journey}, {run.where}".ljust(100)[:100], end="", file=sys.stderr, flush=True)
    print("\r".ljust(100), end="\r", file=sys.stderr)
    return outcome


async def _points(size: Size, _seed: int, workers: WorkerPool, _directory: Path) -> Outcome:
    async with nursery(CODE):  # for what is started after the kill
        return await _each(
            "killed at every named point",
            kill.at_points(workers, size.step(kill.MOST), size.journeys or tuple(JOURNEYS)),
        )


async def _calls(size: Size, _seed: int, workers: WorkerPool, _directory: Path) -> Outcome:
    async with nursery(CODE):
        return await _each(
            "killed at the N-th system call",
            system_calls.run(workers, size.step(250), size.journeys or tuple(JOURNEYS)),
        )


async def _errors(size: Size, _seed: int, workers: WorkerPool, _directory: Path) -> Outcome:
    async with nursery(CODE):
        return await _each(
            "the N-th system call fails", io_errors.run(workers, size.step(100), size.journeys or ("out", "in"))
        )


async def _edges(_size: Size, _seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    outcome = await _each("rare things, each at the moment where it matters", edges.run(workers, directory))
    outcome.notes += [f"without those that need {need}: {why}" for need, why in edges.lacking(directory).items()]
    return outcome


async def _kills(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    return await random_kill.run(workers, directory, size.of(40, 3000), seed)


async def _cuts(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    if why := power_cut.possible(directory / "probe"):
        return Outcome("power cut under load", notes=[f"not run: {why}"])
    return await power_cut.run(workers, directory / "cuts", size.of(10, 300), seed)


async def _full(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    if why := power_cut.possible(directory / "probe"):
        return Outcome("disk full under load", notes=[f"not run: {why}"])
    return await disk_full.run(workers, directory / "full", size.of(8, 200), seed)


async def _stops(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    return await stops.run(workers, directory, size.of(15, 200), seed)


async def _caps(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    return await caps.run(workers, directory, size.of(10, 300), size.of(40, 1500), seed)


async def _clock(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    if why := clock.lacking():
        return Outcome("the clock is set under load", notes=[f"not run: {why}"])
    return await clock.run(workers, directory, size.of(24, 500), seed)


async def _provider(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    return await chaos.provider(workers, directory, size.of(300, 10_000), share=0.3, seed=seed)


async def _withheld(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    return await chaos.provider(workers, directory, size.of(100, 1000), share=0.3, seed=seed, withheld=True)


async def _smarthost(size: Size, seed: int, workers: WorkerPool, directory: Path) -> Outcome:
    return await chaos.smarthost(workers, directory, size.of(100, 3000), share=0.3, seed=seed)


PARTS = (
    Part("points", "killed at each named fault point of each journey: nothing lost, nothing doubled", _points),
    Part("calls", "killed at the N-th write, sync, rename, unlink or send to a socket, for every N", _calls),
    Part("edges", "rare things, each at its moment: silent clients, lagging histories, lies, cuts at a point", _edges),
    Part("kills", "kill -9 at random moments under load", _kills),
    Part("cuts", "power cut: only what was synced is left", _cuts),
    Part("errors", "EIO or ENOSPC at the N-th call, for every N: no false 250 or 200", _errors),
    Part("full", "a full disk: put off, recorded, and going on by itself", _full),
    Part("stops", "SIGTERM under load: in time, and no outcome made unknown", _stops),
    Part("caps", "50 attackers at once, kills and lost answers: never a cent above the cap, nothing doubled", _caps),
    Part("clock", "the clock is set on and back by up to five years, and to 1970", _clock),
    Part("provider", "30 % of the provider's answers are wrong in every way the sandbox knows", _provider),
    Part("withheld", "the same with a history that is withheld: held, never sent twice", _withheld),
    Part("smarthost", "30 % of the smarthost's sessions fail in every way", _smarthost),
)


def _line(name: str, outcome: Outcome, seconds: float) -> str:
    numbers = (
        f"{outcome.hurts} hurts, {outcome.jobs} {'runs' if not outcome.mails else 'jobs'}"
        f"{f', {outcome.mails} mails, {outcome.faxes_in} faxes in' if outcome.mails else ''}"
        f"{f', {outcome.held} held' if outcome.held else ''}"
        f"{f', {outcome.doubled_mails} mails doubled' if outcome.doubled_mails else ''}, {seconds:.0f} s"
    )
    verdict = "no breach" if not outcome.breaches else f"{len(outcome.breaches)} BREACHES"
    return f"| {name} | {outcome.what} | {numbers}{''.join(f'; {note}' for note in outcome.notes)} | {verdict} |"


async def _main(names: list[str], *, size: Size, seed: int, report: Path | None) -> int:
    lines = [
        f"Campaign, {size}, {time.strftime('%Y-%m-%d')}, seed {seed},"
        f" Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()} {platform.machine()}",
        "",
        "| part | what | numbers | verdict |",
        "| --- | --- | --- | --- |",
    ]
    broken = 0
    for part in PARTS:
        if part.name not in names:
            continue
        begun = time.monotonic()
        directory = Path(tempfile.mkdtemp(prefix=f"campaign-{part.name}-"))
        async with pool() as workers:
            outcome = await part.run(size, seed, workers, directory)
        broken += len(outcome.breaches)
        lines.append(_line(part.name, outcome, time.monotonic() - begun))
        print(lines[-1], flush=True)
        for breach in outcome.breaches[:50]:
            print(f"    {breach}", flush=True)
    if report is not None:
        report.write_text("\n".join(lines) + "\n")
    return 1 if broken else 0


def main() -> None:
    """Parse the command line and run; the status is 1 when there was a breach."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    known = [part.name for part in PARTS]
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(known)}; all without any")
    parser.add_argument("--full", action="store_true", help="hours instead of minutes")
    parser.add_argument("--times", type=int, help="kills, cuts, jobs: how many, in the parts that take a number")
    parser.add_argument("--every", type=int, help="points, calls, errors: each of them, each second one...")
    parser.add_argument(
        "--journey",
        action="append",
        default=[],
        choices=tuple(JOURNEYS),
        help="points, calls, errors: on this one only",
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="write the table there too")
    asked = parser.parse_args()
    telemetry.set_up_logging("error", "console")  # the sandbox would tell of each callback that a dead gateway missed
    unknown = [name for name in asked.parts if name not in known]
    if unknown:
        parser.error(f"there is no part {', '.join(unknown)}; there are: {', '.join(known)}")
    size = Size(asked.full, asked.times, asked.every, tuple(asked.journey))
    sys.exit(asyncio.run(_main(asked.parts or known, size=size, seed=asked.seed, report=asked.report)))


if __name__ == "__main__":
    main()
