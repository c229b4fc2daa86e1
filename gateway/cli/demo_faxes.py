"""The faxes of the demo: what the gateway says of each, beside what the sandbox really executed, with its pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import structlog

from gateway.cli.demo_mailbox import pictures
from gateway.document.worker import WorkerPool
from gateway.errors import GatewayError
from gateway.model import FaxJob, JobState, Submission
from gateway.service.due import end
from gateway.store import overview
from gateway.store.db import Database

log = structlog.get_logger("demo")

_SHOWN = 200
_LOOK_AGAIN = 2.0  # seconds, while something is under way of which no event may tell
Execution = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fax:
    """A fax as the gateway has it. ``executed`` are the calls the sandbox made for it: more than one would be a fault."""

    job: FaxJob
    submission: Submission
    executed: tuple[Execution, ...]
    pictures: tuple[Path, ...]  # of the pages that arrived

    @property
    def state(self) -> str:
        """For people: ``delivered``, ``failed``, ``cancelled``, ``in doubt``, ``held`` or ``on its way``."""
        if self.job.hold:
            return "held"
        if self.job.state.terminal:
            return self.job.state.value
        return "in doubt" if self.job.state is JobState.IN_DOUBT else "on its way"


class FaxWatch:
    """Keeps the list up to date, from the gateway's database and the sandbox at ``address`` (HOST:PORT)."""

    def __init__(
        self, database: Database, address: str, pool: WorkerPool, directory: Path, changed: Callable[[], None]
    ) -> None:
        self._database = database
        self._address = address
        self._pool = pool
        self._directory = directory
        self._changed = changed
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._faxes: list[Fax] = []
        self._pictures: dict[int, tuple[Path, ...]] = {}  # by the sandbox's id of the fax

    def start(self) -> None:
        """Keep looking."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._task = asyncio.create_task(self._watch(), name="fax-watch")
        self.nudge()

    async def stop(self) -> None:
        """Look no more."""
        await end(self._task)

    def nudge(self) -> None:
        """Something may have changed."""
        self._news.set()

    def newest(self) -> list[Fax]:
        """All faxes, the newest first."""
        return self._faxes

    async def _watch(self) -> None:
        while True:
            busy = any(not fax.job.state.terminal for fax in self._faxes)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN if busy else None):
                    await self._news.wait()
            self._news.clear()
            try:
                async with aiohttp.ClientSession(f"http://{self._address}", raise_for_status=True) as client:
                    await self._look(client)
            except (aiohttp.ClientError, TimeoutError, GatewayError) as error:
                log.warning("the sandbox cannot be asked", why=str(error))

    async def _look(self, client: aiohttp.ClientSession) -> None:
        """Show what is known, then fetch the pages that arrived and show them too."""
        async with client.get("/sandbox/faxes") as answer:
            executed: list[Execution] = (await answer.json())["faxes"]
        # a document is uploaded for one job, so its id and the number called tell whose execution it is
        calls: dict[tuple[int | None, str], list[Execution]] = {}
        for each in executed:
            calls.setdefault((each["document_id"], each["fax_number"].lstrip("+")), []).append(each)
        listed, _ = await self._database.read(lambda tx: overview.listing(tx, ended=True, limit=_SHOWN))
        faxes = [
            self._fax(job, submission, calls.get((job.document_ref, job.number.digits), ()))
            for job, submission in listed
        ]
        self._set(faxes)
        for fax in faxes:
            for call in fax.executed:
                if call["pages"] and call["fax_job_id"] not in self._pictures:
                    await self._fetch(client, call["fax_job_id"])
        self._set([self._fax(fax.job, fax.submission, fax.executed) for fax in faxes])

    def _set(self, faxes: list[Fax]) -> None:
        if faxes != self._faxes:
            self._faxes = faxes
            self._changed()

    def _fax(self, job: FaxJob, submission: Submission, calls: Sequence[Execution]) -> Fax:
        pages = [self._pictures.get(call["fax_job_id"], ()) for call in calls]
        return Fax(job, submission, tuple(calls), sum(pages, ()))

    async def _fetch(self, client: aiohttp.ClientSession, number: int) -> None:
        document = self._directory / f"{number}.tif"
        async with client.get(f"/sandbox/faxes/{number}/document", raise_for_status=False) as answer:
            if answer.status != 200:  # nothing has arrived (yet)
                return
            document.write_bytes(await answer.read())
        self._pictures[number] = tuple(await pictures(self._pool, document))
