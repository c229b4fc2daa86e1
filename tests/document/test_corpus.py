"""Real documents and mails of other projects: each ends as pages or as a named refusal, and none hurts.

Switched on by ``FAXGATEWAY_CORPORA``, a folder with ``mail``, ``pdf`` and ``tiff`` in it. Every file is taken: six hundred
in about two minutes on two cores. ``FAXGATEWAY_CORPORA_SHARE=0.25`` takes every fourth, always the same. A table of what
became of them is printed (``pytest -s``).
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.errors import Refused, TryLater

from .made import letters

CORPORA = Path(os.environ.get("FAXGATEWAY_CORPORA", ""))
SHARE = float(os.environ.get("FAXGATEWAY_CORPORA_SHARE", "1"))
LIMITS = WorkerLimits(timeout=60, memory=1 << 30)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get("FAXGATEWAY_CORPORA"), reason="FAXGATEWAY_CORPORA names no folder of corpora"
    ),
]


def sample(folder: str) -> list[Path]:
    """Every so-many-th file of a folder, in order of their names."""
    files = sorted(path for path in (CORPORA / folder).rglob("*") if path.is_file())
    assert files, f"there is nothing in {CORPORA / folder}"
    return [path for n, path in enumerate(files) if int(n * SHARE) != int((n - 1) * SHARE)]


class Run:
    """Sends files through workers and counts what became of them."""

    def __init__(self, pool: WorkerPool, scratch: Path) -> None:
        self._pool = pool
        self._scratch = scratch
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest: list[tuple[float, str]] = []

    async def document(self, path: Path) -> None:
        part = {
            "path": str(path), "role": "attachment", "name": path.name, "declared_type": "application/octet-stream",
            "size": path.stat().st_size, "disposition": "attachment",
        }  # fmt: skip
        await self._counted(path, lambda work: self._render([part], [], work))

    async def mail(self, path: Path) -> None:
        await self._counted(path, lambda work: self._mail(path, work))

    async def _mail(self, path: Path, work: Path) -> dict[str, Any]:
        summary = await self._pool.run("gateway.mail.parse:inspect", mail=str(path))
        if summary["refusal"]:
            raise Refused(summary["refusal"])
        parts = work / "parts"
        parts.mkdir()
        found = await self._pool.run("gateway.mail.parse:extract", mail=str(path), directory=str(parts))
        return await self._render(found["parts"], found["left_out"], work)

    async def _render(self, parts: list[dict[str, Any]], left_out: list[dict[str, str]], work: Path) -> dict[str, Any]:
        made: dict[str, Any] = await self._pool.run(
            "gateway.document.render:render", parts=parts, left_out=left_out, out=str(work / "fax.pdf"), options={}
        )
        assert made["size"] == (work / "fax.pdf").stat().st_size
        accounted = [entry for entry in made["ledger"] if entry["first_page"]]
        assert sum(entry["last_page"] - entry["first_page"] + 1 for entry in accounted) == made["pages"]
        return made

    async def _counted(self, path: Path, send: Any) -> None:
        name = str(path.relative_to(CORPORA)) if path.is_relative_to(CORPORA) else path.name
        work = self._scratch / f"{len(self.slowest)}-{path.name[:40]}"
        work.mkdir()
        began = time.monotonic()
        try:
            made = await send(work)
            outcome = "a fax of " + ("1 page" if made["pages"] == 1 else "several pages")
        except Refused as refused:
            outcome = "refused: " + _reason(refused.public)
            if not _is_sentence(refused.public):
                self.wrong.append(f"{name}: {refused.public!r} says too little")
        except TryLater as failed:
            outcome = "failed: " + _reason(failed.public)
            self.wrong.append(f"{name}: {failed}")
        self.outcomes[outcome] += 1
        self.slowest.append((time.monotonic() - began, name))

    def table(self) -> str:
        rows = [f"{count:6}  {outcome}" for outcome, count in self.outcomes.most_common()]
        slow = [f"{seconds:6.1f}  {name}" for seconds, name in sorted(self.slowest, reverse=True)[:5]]
        return "\n".join(["", *rows, "slowest (s):", *slow])


def _is_sentence(text: str) -> bool:
    return len(text.split()) >= 4 and text.isprintable()


def _reason(text: str) -> str:
    """A refusal without its names and numbers."""
    for pattern in (
        r"is (protected by a password)", r"(damaged[\w ]*PDF|damaged or incomplete image|damaged image|damaged fax page)",
        r"(page \d+ of .* is damaged)", r"(which cannot be faxed)", r"(too many pixels)", r"(nothing to fax)", r"(incomplete)",
        r"(room for \w+ more)", r"(without a page)", r"cannot be converted: ([^;]*)", r"cannot be faxed: ([^;]*)",
    ):  # fmt: skip
        found = re.search(pattern, text)
        if found:
            return re.sub(r"\d+", "N", found[1]) if "page" not in pattern[:8] else "a page is damaged"
    return re.sub(r"\d+", "N", text)[:70]


async def through(files: list[Path], scratch: Path, *, mails: bool = False) -> Run:
    pool = WorkerPool(2, LIMITS)
    await pool.start()
    try:
        run = Run(pool, scratch)
        queue = iter(files)

        async def lane() -> None:
            for path in queue:
                await (run.mail(path) if mails else run.document(path))

        await asyncio.gather(lane(), lane())
    finally:
        await pool.close()
    print(run.table())
    assert run.wrong == []
    assert sum(run.outcomes.values()) == len(files)
    return run


@pytest.mark.parametrize("folder", ["pdf", "tiff"])
async def test_every_document_ends_as_pages_or_a_named_refusal(folder: str, tmp_path: Path) -> None:
    run = await through(sample(folder), tmp_path)
    assert sum(count for outcome, count in run.outcomes.items() if outcome.startswith("a fax")) > 10


async def test_every_mail_ends_as_pages_or_a_named_refusal(tmp_path: Path) -> None:
    await through(sample("mail"), tmp_path, mails=True)


async def test_every_mail_with_a_document_in_it_becomes_a_fax_or_says_why(tmp_path: Path) -> None:
    """Real structures with a real document: each mail as the first part of one that has a PDF attached."""
    document = base64.encodebytes(letters(1)).replace(b"\n", b"\r\n")
    grafted = []
    for n, path in enumerate(sample("mail")[::4]):
        raw = re.sub(rb"\r?\n", b"\r\n", path.read_bytes())
        head, _, body = raw.partition(b"\r\n\r\n")
        fields = re.findall(rb"(?im)^[\w-]+:.*(?:\r\n[ \t].*)*", head)
        content = [field for field in fields if field.lower().startswith(b"content-")]
        others = [field for field in fields if not field.lower().startswith((b"content-", b"mime-version"))]
        mail = tmp_path / f"graft-{n}.eml"
        mail.write_bytes(
            b"\r\n".join([*others, b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="graft"', b"", b"--graft"])
            + b"\r\n" + b"\r\n".join([*content, b"", body])
            + b'\r\n--graft\r\nContent-Type: application/pdf; name="doc.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
            + b'Content-Disposition: attachment; filename="doc.pdf"\r\n\r\n' + document + b"\r\n--graft--\r\n"
        )  # fmt: skip
        grafted.append(mail)
    run = await through(grafted, tmp_path, mails=True)
    assert sum(count for outcome, count in run.outcomes.items() if outcome.startswith("a fax")) > len(grafted) / 2
