"""Between a mail and its pages: archives are unpacked and office documents become PDF, each in a job of its own."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gateway.document import archive, sniff
from gateway.document.worker import FAILED, WorkerPool
from gateway.errors import TryLater
from gateway.model import MailPart


async def opened(pool: WorkerPool, found: dict[str, Any], directory: Path, office: str) -> dict[str, Any]:
    """``found`` as the mail's reader returns it, with what can be opened replaced by what is in it.

    ``office``: the directory of LibreOffice's programs, "" where office documents are to be refused. What is made lies in
    ``directory``. Raises what the jobs raise: Refused names the part.
    """
    parts = [MailPart(**part) for part in found["parts"]]
    kinds = await asyncio.to_thread(_kinds, parts)
    if not any(kinds):
        return found
    made: list[MailPart] = []
    left_out = list(found["left_out"])
    files, room = archive.MAX_FILES, archive.MAX_BYTES
    for part, kind in zip(parts, kinds, strict=True):
        inside = [(part, kind)]
        if kind in (sniff.ZIP, sniff.OFFICE) and not part.defect:
            place = _fresh(directory)
            unpacked = await pool.run(
                "gateway.document.archive:unpack",
                path=part.path, part=asdict(part), directory=str(place), files=files, room=room,
            )  # fmt: skip
            left_out += unpacked["left_out"]
            within = [MailPart(**fields) for fields in unpacked["parts"]]
            _check(place, *(each.path for each in within))
            files, room = files - len(within), room - sum(each.size for each in within)
            inside = [(part, sniff.OFFICE)] if unpacked["office"] else list(
                zip(within, await asyncio.to_thread(_kinds, within), strict=True)
            )  # fmt: skip
        for each, its in inside:
            made.append(await _converted(pool, each, its, directory, office))
    return {**found, "parts": [asdict(part) for part in made], "left_out": left_out}


async def _converted(pool: WorkerPool, part: MailPart, kind: str, directory: Path, office: str) -> MailPart:
    if kind not in sniff.OFFICES or not office or part.defect:
        return part
    place = _fresh(directory)
    path = await pool.run(
        "gateway.document.office:to_pdf",
        path=part.path, kind=kind, name=part.name, directory=str(place), office=office,
    )  # fmt: skip
    _check(place, path)
    return replace(part, path=path)


def _kinds(parts: list[MailPart]) -> list[str]:
    """What is to be opened by its kind, "" for the rest: the first bytes are looked at, nothing is read in them."""
    kinds = [sniff.sniff(Path(part.path)) if part.role == "attachment" else "" for part in parts]
    return [kind if kind == sniff.ZIP or kind in sniff.OFFICES else "" for kind in kinds]


def _check(place: Path, *paths: str) -> None:
    """A job names what it made, and the next one may read that: a document that took its job over must not choose what."""
    for path in paths:
        if Path(path).resolve().parent != place.resolve() or not Path(path).is_file():
            raise TryLater(
                "a document could not be converted: its converter named a file that is not its own", path, status=FAILED
            )


def _fresh(directory: Path) -> Path:
    """A new directory for what a job makes."""
    number = sum(1 for _ in directory.glob("opened-*"))
    made = directory / f"opened-{number}"
    made.mkdir(mode=0o700)
    return made
