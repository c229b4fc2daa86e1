"""Real documents and mails through all steps of a fax, and a table of what became of them.

``nice python -m tests.document.corpus FOLDER``: a folder with ``mail``, ``pdf`` and ``tiff`` in it. ``--keep DIR`` keeps the
pages of each, to look at.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gateway.document import libreoffice, sniff
from gateway.document.opening import opened
from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.errors import Refused, TryLater
from gateway.mail import trim

FOLDERS = ("mail", "pdf", "tiff")
LIMITS = WorkerLimits(timeout=60, memory=512 << 20)
OFFICE = libreoffice.find(libreoffice.AUTO)


class Run:
    """Sends files through workers and counts what became of them. ``keep``: where the pages go, None for nowhere."""

    def __init__(self, pool: WorkerPool, scratch: Path, keep: Path | None = None) -> None:
        self._pool = pool
        self._scratch = scratch
        self._keep = keep
        self.faxes = 0
        self.outcomes: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.refusals: list[str] = []
        self.wrong: list[str] = []
        self.slowest: list[tuple[float, str]] = []

    async def document(self, path: Path) -> None:
        """A file, as if it were attached."""
        part = {
            "path": str(path), "role": "attachment", "name": path.name, "declared_type": "application/octet-stream",
            "size": path.stat().st_size, "disposition": "attachment",
        }  # fmt: skip
        await self._counted(path, lambda work: self._fax({"parts": [part], "left_out": []}, work))

    async def mail(self, path: Path) -> None:
        """A mail, as the gateway takes it."""
        await self._counted(path, lambda work: self._mail(path, work))

    async def _mail(self, path: Path, work: Path) -> dict[str, Any]:
        summary = await self._pool.run("gateway.mail.parse:inspect", mail=str(path))
        refusal = summary["refusal"]
        for name, start in summary["starts"]:
            kinds = {sniff.ZIP, *(sniff.OFFICES if OFFICE else ())}
            refusal = refusal or sniff.refusal(sniff.sniff_bytes(start.encode("latin-1")), name, opened=kinds)
        if refusal:
            raise Refused(refusal)
        parts = work / "parts"
        parts.mkdir()
        found = await self._pool.run(
            "gateway.mail.parse:extract", mail=str(path), directory=str(parts), trim=list(trim.ALL)
        )
        try:
            made = await self._fax(found, work)
        except Refused:
            if not summary["automatic"]:
                raise
        if summary["automatic"]:  # which the gateway would not have looked into
            raise Refused(f"automatic mails are not faxed: {summary['automatic']}")
        return made

    async def _fax(self, found: dict[str, Any], work: Path) -> dict[str, Any]:
        found = await opened(self._pool, found, work, OFFICE)
        made: dict[str, Any] = await self._pool.run(
            "gateway.document.render:render",
            parts=found["parts"], left_out=found["left_out"], out=str(work / "fax.pdf"), options={},
        )  # fmt: skip
        assert made["size"] == (work / "fax.pdf").stat().st_size
        accounted = [entry for entry in made["ledger"] if entry["first_page"]]
        assert sum(entry["last_page"] - entry["first_page"] + 1 for entry in accounted) == made["pages"]
        return made

    async def _counted(self, path: Path, send: Any) -> None:
        name = "/".join(path.parts[-3:])
        work = Path(tempfile.mkdtemp(dir=self._scratch))
        began = time.monotonic()
        try:
            made = await send(work)
        except Refused as refused:
            outcome = f"refused: {_reason(refused.public)}"
            self.refusals.append(f"{name}: {refused.public}")
            if not _is_sentence(refused.public):
                self.wrong.append(f"{name}: {refused.public!r} says too little")
        except TryLater as failed:
            outcome = f"failed: {_reason(failed.public)}"
            self.wrong.append(f"{name}: {failed}")
        else:
            outcome = _pages(made["pages"])
            self.faxes += 1
            self.left_out.update(entry["reason"] for entry in made["ledger"] if entry["reason"])
            if self._keep:
                shutil.copyfile(work / "fax.pdf", self._keep / f"{name.replace('/', '--')}.pdf")
        self.outcomes[outcome] += 1
        self.slowest.append((time.monotonic() - began, name))
        shutil.rmtree(work)


def _pages(count: int) -> str:
    return "1 page" if count == 1 else "2 to 9 pages" if count < 10 else "10 pages or more"


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= 4 and text.isprintable()


_VERBS = r"(?=(?:is|has|holds|says|needs|cannot|could not) )"
_ABOUT = re.compile(rf"^.*\.\w{{1,5}} {_VERBS}|^.*? {_VERBS}")


def _reason(text: str) -> str:
    """A refusal without its names, numbers and remedy."""
    general = re.sub(r"\d+", "N", _ABOUT.sub("it ", text.partition(";")[0]))
    return general if len(general) <= 120 else f"{general[:119]}…"


async def through(files: list[Path], scratch: Path, *, mails: bool = False, keep: Path | None = None) -> Run:
    """All of them, two at a time."""
    pool = WorkerPool(2, LIMITS)
    await pool.start()
    try:
        run = Run(pool, scratch, keep)
        queue = iter(files)

        async def lane() -> None:
            for path in queue:
                await (run.mail(path) if mails else run.document(path))

        await asyncio.gather(lane(), lane())
    finally:
        await pool.close()
    return run


def files_of(folder: Path, share: float = 1.0) -> list[Path]:
    """Every so-many-th file of a folder, in order of their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise FileNotFoundError(f"there is nothing in {folder}")
    return [path for n, path in enumerate(files) if int(n * share) != int((n - 1) * share)]


# --- the table --------------------------------------------------------------------------------------------------------


def table(runs: dict[str, Run]) -> str:
    """What became of the files of each run, as Markdown."""
    lines = [
        f"| what became of it | {' | '.join(runs)} |",
        f"|---|{'---:|' * len(runs)}",
    ]
    total: Counter[str] = sum((run.outcomes for run in runs.values()), Counter())
    fates = sorted(
        total, key=lambda fate: (not fate[0].isdigit(), len(fate) if fate[0].isdigit() else -total[fate], fate)
    )
    lines += [f"| {fate} | {' | '.join(str(run.outcomes[fate] or '') for run in runs.values())} |" for fate in fates]
    lines.append(f"| all | {' | '.join(str(sum(run.outcomes.values())) for run in runs.values())} |")
    left_out: Counter[str] = sum((run.left_out for run in runs.values()), Counter())
    if left_out:
        lines += ["", "| parts that became no page of a fax | |", "|---|---:|"]
        lines += [f"| {reason} | {count} |" for reason, count in left_out.most_common()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.document.corpus", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of the files (%(default)s)")
    parser.add_argument("--refusals", action="store_true", help="list them word by word")
    parser.add_argument("--keep", type=Path, help="a directory for the pages of each")
    chosen = parser.parse_args()
    if chosen.keep:
        chosen.keep.mkdir(parents=True, exist_ok=True)
    runs = {}
    for kind in FOLDERS:
        with tempfile.TemporaryDirectory(prefix="faxgateway-corpus-") as scratch:
            files = files_of(chosen.folder / kind, chosen.share)
            runs[kind] = asyncio.run(through(files, Path(scratch), mails=kind == "mail", keep=chosen.keep))
    print(table(runs))
    if chosen.refusals:
        print("", *sorted(line for run in runs.values() for line in run.refusals), sep="\n")
    slowest = sorted((each for run in runs.values() for each in run.slowest), reverse=True)[:5]
    print("\nslowest:", ", ".join(f"{name} {seconds:.1f} s" for seconds, name in slowest))
    wrong = [what for run in runs.values() for what in run.wrong]
    print("\n".join(["", "WRONG:", *wrong] if wrong else ["nothing crashed, hung or was refused without a reason"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
