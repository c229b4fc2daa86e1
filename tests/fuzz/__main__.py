"""``python -m tests.fuzz door [--seconds N] [--seed N] [--processes N] [--batch N] [--save DIR]``: see docs/fuzzing.md."""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import sys
from pathlib import Path

from . import door

_PARTS = {"door": door.run}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("part", choices=sorted(_PARTS))
    parser.add_argument("--seconds", type=float, default=20.0, help="how long (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="what to begin with; a new one each time by default")
    parser.add_argument("--processes", type=int, default=1, help="with a seed of its own each (%(default)s)")
    parser.add_argument("--batch", type=int, default=None, help="this one alone: what was found before, again")
    parser.add_argument("--save", type=Path, default=Path("fuzz-found"), help="where input goes that finds something")
    chosen = parser.parse_args()
    seed = random.SystemRandom().randrange(10**9) if chosen.seed is None else chosen.seed
    runs = [(chosen.part, chosen.seconds, seed + n, chosen.save, chosen.batch) for n in range(chosen.processes)]
    if len(runs) == 1:
        return _run(*runs[0])
    with multiprocessing.get_context("spawn").Pool(len(runs)) as pool:
        return max(pool.starmap(_run, runs))


def _run(part: str, seconds: float, seed: int, save: Path, batch: int | None) -> int:
    sessions, found = asyncio.run(_PARTS[part](seconds, seed, save=save, only=batch))
    print(f"{part}: seed {seed}, {sessions} sessions, {'nothing found' if not found else 'FOUND'}")
    for what in found:
        print(f"  {what}\n  input saved in {save}; again: python -m tests.fuzz {part} --seed {seed} --batch N")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
