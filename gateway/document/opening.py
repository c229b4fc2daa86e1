"""Between a mail and its pages: archives are unpacked, office documents and HTML become PDF, each in a job of its own."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gateway.document import archive, sniff
from gateway.document.worker import CONVERSION_FAILED, WorkerPool
from gateway.errors import Refused, TryLater
from gateway.model import MailPart

_NOT_DRAWN = "printed as text: drawing its HTML failed or took too much time or memory"
_SHOWN = "it is shown in the message text"


async def opened(
    pool: WorkerPool, found: dict[str, Any], directory: Path, office: str, drawing: dict[str, Any] | None = None
) -> dict[str, Any]:
    """``found`` as the mail's reader returns it, with what can be opened replaced by what is in it.

    ``office``: the directory of LibreOffice's programs, "" where office documents are to be refused. ``drawing``: options of
    document.render where HTML is to be drawn and not printed as text. What is made lies in ``directory``. Raises what the
    jobs raise: Refused names the part. HTML that cannot be drawn stays as it is, with a note.
    """
    parts = [MailPart(**part) for part in found["parts"]]
    kinds = await asyncio.to_thread(_kinds, parts)
    if any(kinds):
        found = await _unpacked(pool, found, parts, kinds, directory, office)
    return found if drawing is None else await _Drawing(pool, directory, drawing)(found)


async def _unpacked(
    pool: WorkerPool, found: dict[str, Any], parts: list[MailPart], kinds: list[str], directory: Path, office: str
) -> dict[str, Any]:
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
    made = await pool.run(
        "gateway.document.office:to_pdf",
        path=part.path, kind=kind, name=part.name, directory=str(place), office=office,
    )  # fmt: skip
    _check(place, made["path"])
    return replace(part, path=made["path"], note=made["note"])


def _kinds(parts: list[MailPart]) -> list[str]:
    """What is to be opened by its kind, "" for the rest: the first bytes are looked at, nothing is read in them."""
    kinds = [sniff.sniff(Path(part.path)) if part.role == "attachment" else "" for part in parts]
    return [kind if kind == sniff.ZIP or kind in sniff.OFFICES else "" for kind in kinds]


def _check(place: Path, *paths: str) -> None:
    """A job names what it made, and the next one may read that: a document that took its job over must not choose what."""
    for path in paths:
        if Path(path).resolve().parent != place.resolve() or not Path(path).is_file():
            raise TryLater(
                "a document could not be converted: its converter named a file that is not its own",
                path,
                status=CONVERSION_FAILED,
            )


def _fresh(directory: Path) -> Path:
    """A new directory for what a job makes."""
    return Path(tempfile.mkdtemp(prefix="opened-", dir=directory))


# --- HTML -------------------------------------------------------------------------------------------------------------


class _Drawing:
    """Has the HTML of one mail drawn."""

    def __init__(self, pool: WorkerPool, directory: Path, options: dict[str, Any]) -> None:
        self._pool, self._directory, self._options = pool, directory, options
        self._failed = False
        self._pictures: list[dict[str, Any]] = []
        self._shown: set[str] = set()

    async def __call__(self, found: dict[str, Any]) -> dict[str, Any]:
        parts = [MailPart(**part) for part in found["parts"]]
        self._pictures = [asdict(part) for part in parts if part.content_id]
        wanted = await asyncio.to_thread(_html, parts, self._options["body"])
        left_out, rich = found["left_out"], found.get("rich")
        made: list[MailPart] = []
        for part, is_html in zip(parts, wanted, strict=True):
            if is_html:
                part = await self._drawn(part, alone=True)
            elif rich and part.role == "body-text" and _is_printed(parts, self._options["body"]):
                other = await self._drawn(MailPart(**rich["part"]), alone=False)
                if other.role == "body-drawn":
                    part, left_out = other, rich["left_out"]
                else:
                    part = replace(part, note=other.note)
            made.append(part)
        shown = [part for part in made if part.path in self._shown and part.referenced]
        left_out = left_out + [{"part": each.name, "type": each.declared_type, "reason": _SHOWN} for each in shown]
        return {**found, "parts": [asdict(part) for part in made if part not in shown], "left_out": left_out}

    async def _drawn(self, part: MailPart, *, alone: bool) -> MailPart:
        """An HTML text as its pages; as it was where it is not drawn, with a note where it should have been."""
        if self._failed:  # each might take as long as one may
            return replace(part, note=_NOT_DRAWN)
        place = _fresh(self._directory)
        try:
            answer = await self._pool.run(
                "gateway.document.html:draw",
                path=part.path, part=asdict(part), parts=self._pictures, directory=str(place),
                paper=self._options["paper"], alone=alone, covered=bool(self._options["cover"]),
            )  # fmt: skip
        except (Refused, TryLater) as error:
            if isinstance(error, TryLater) and error.status != CONVERSION_FAILED:
                raise
            self._failed = True
            return replace(part, note=_NOT_DRAWN)
        if not answer["path"]:
            return replace(part, note=answer["why"] and f"printed as text: {answer['why']}")
        _check(place, answer["path"])
        self._shown.update(answer["shown"])
        role = "attachment" if part.role == "attachment" else "body-drawn"
        return replace(part, path=answer["path"], role=role, note="; ".join(answer["notes"]))


def _html(parts: list[MailPart], body: str) -> list[bool]:
    """Which parts are HTML that becomes pages."""
    printed = _is_printed(parts, body)
    return [
        not part.defect and (
            printed if part.role == "body-html"
            else part.role == "attachment" and sniff.sniff(Path(part.path)) == sniff.HTML
        )
        for part in parts
    ]  # fmt: skip


def _is_printed(parts: list[MailPart], body: str) -> bool:
    """Whether the message text may become pages."""
    if body == "without-attachment":
        return not any(part.is_document and not part.referenced for part in parts)
    return body != "never"
