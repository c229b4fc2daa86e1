"""The exchange: a send becomes an execution, the execution a call on the line, the call a receipt; faxes come in.

An execution is recorded at the moment it happens, with how its call ends; what is answered to whoever asked for it is
decided elsewhere and never looked at here.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway.sandbox import shapes
from gateway.sandbox.answers import sql_date
from gateway.sandbox.callbacks import Callbacks
from gateway.sandbox.documents import Documents, FaxPages
from gateway.sandbox.faults import Fault, Faults
from gateway.sandbox.line import Call, Line, Outcome
from gateway.sandbox.pace import Pace
from gateway.sandbox.scenarios import SCENARIOS, scenario_of
from gateway.sandbox.store import Row, Store

_EARLY = "before-answer"
_RECEIPT_WAIT = 5.0  # seconds the answer to a send waits for its own early receipt
_STATION = re.compile(r"\+?[0-9]{7,15}")
_YES, _NO = "yes", "no"  # which words Fax.to uses for error correction is not known


@dataclass(frozen=True, slots=True)
class Fax:
    """What is to be executed; ``document`` is a row of the store, ``number`` in E.164 form."""

    document: Row
    number: str
    tsi: str = ""
    delete_file: bool = False


class Exchange:
    """Executes faxes and receives them. ``price`` is in ten-thousandths a page; ``home`` is a number of the account."""

    def __init__(
        self,
        store: Store,
        documents: Documents,
        line: Line,
        faults: Faults,
        callbacks: Callbacks,
        *,
        pace: Pace,
        price: int,
        home: str,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._documents = documents
        self._line = line
        self._faults = faults
        self._callbacks = callbacks
        self._pace = pace
        self._price = price
        self._home = home
        self._clock = clock
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Go on with the calls that were under way."""
        for job in self._store.running():
            self._later(job)

    def stop(self) -> None:
        """Break off; calls under way go on after a start."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # --- out ----------------------------------------------------------------------------------------------------------

    def cost(self, document: Row) -> int:
        """What a fax of this document costs, in ten-thousandths."""
        return int(document["pages"]) * self._price

    async def execute(self, fax: Fax) -> int | None:
        """Place the call and record it; returns the job's id, or None when the credit does not suffice (no call then).

        The call ends, and its receipt goes out, only after :meth:`release`.
        """
        scenario = scenario_of(fax.number)
        document = self._documents.path(fax.document["tiff"])
        outcome = await self._line.place(Call(document, fax.number, fax.tsi, scenario))
        received = await self._received(fax.document, outcome)
        now = self._clock()
        return self._store.execute(
            self.cost(fax.document),
            document_id=fax.document["id"], fax_number=fax.number, tsi_number=fax.tsi, scenario=scenario.name,
            pages=outcome.pages, received=received, msg_code=outcome.msg_code, line=outcome.line,
            seconds=outcome.seconds, rate=outcome.rate, ecm=outcome.ecm, compression=outcome.compression,
            delete_file=fax.delete_file, executed_at=now,
            due_at=now + outcome.seconds * self._pace.line if scenario.final else None,
        )  # fmt: skip

    async def _received(self, document: Row, outcome: Outcome) -> str:
        """The name of the TIFF that arrived, "" when no page did."""
        if not outcome.pages:
            return ""
        if outcome.received is not None:
            return self._documents.adopt(outcome.received)
        if outcome.pages == document["pages"]:
            return str(document["tiff"])
        return (await self._documents.first_pages(document["tiff"], outcome.pages)).tiff

    async def before_answer(self, job: int) -> None:
        """End a call at once and deliver its receipt, where the scenario or a fault wants it before the send's answer."""
        row = self._store.job(job)
        assert row is not None
        early = self._faults.draw("receipt", row["fax_number"], only=(_EARLY,)) is not None
        if (early or scenario_of(row["fax_number"]).early) and row["due_at"] is not None:
            await asyncio.wait([self._finish(job)], timeout=_RECEIPT_WAIT)

    def release(self, jobs: Iterable[int]) -> None:
        """Let calls end when their time has come: the send that asked for them is answered, or never will be."""
        for identifier in jobs:
            job = self._store.job(identifier)
            if job is not None and job["finished_at"] is None and job["due_at"] is not None:
                self._later(job)

    def _later(self, job: Row) -> None:
        delay = max(0.0, job["due_at"] - self._clock())
        self._timers[job["id"]] = asyncio.get_running_loop().call_later(delay, self._due, job["id"])

    def _due(self, job: int) -> None:
        del self._timers[job]
        self._finish(job)

    def _finish(self, identifier: int) -> asyncio.Task[None]:
        """The call is over: receipts and, where the called party calls back, a received fax are recorded with it."""
        arrived: list[int] = []
        with self._store.transaction():
            now = self._clock()
            job = self._store.job(identifier)
            assert job is not None
            self._store.finish(identifier, now)
            if job["delete_file"]:
                self._store.delete_document(job["document_id"], now)
            kept = self._callbacks.keep("receipt", identifier, self._receipts(job), now)
            if scenario_of(job["fax_number"]).calls_back and job["pages"]:
                arrived = self._call_back(job, now)
        if arrived:
            self._callbacks.send(arrived)
        return self._callbacks.send(kept)

    def _receipts(self, job: Row) -> list[shapes.Planned]:
        fault = self._faults.draw("receipt", job["fax_number"], but=(_EARLY,))
        times = scenario_of(job["fax_number"]).receipts
        return shapes.receipts(job["id"], job["msg_code"], job["line"], fault, times)

    # --- in -----------------------------------------------------------------------------------------------------------

    def _call_back(self, job: Row, now: float) -> list[int]:
        """The same pages come back from the number called to the caller: his station id, if it is a number, else ours."""
        tsi = re.sub(r"[ ().-]", "", job["tsi_number"])
        to = f"+{tsi.lstrip('+')}" if _STATION.fullmatch(tsi) else self._home
        outcome = Outcome(
            "ok", job["pages"], job["seconds"], job["line"], rate=job["rate"], ecm=bool(job["ecm"]),
            compression=job["compression"],
        )  # fmt: skip
        arrives_at = now + outcome.seconds * self._pace.line
        pages = FaxPages(job["received"], job["pages"])
        return self._arrive(job["fax_number"], to, pages, outcome, arrives_at, {}, None)[1]

    async def receive(self, sender: str, to: str, pages: FaxPages, said: dict[str, str], fault: Fault | None) -> str:
        """A fax arrives now, which is as ``said`` in its callback and with the ``fault``, if given. Returns its uuid."""
        outcome = await self._line.place(Call(self._documents.path(pages.tiff), to, "", SCENARIOS["0000"]))
        with self._store.transaction():
            unique, kept = self._arrive(sender, to, pages, outcome, self._clock(), said, fault)
        self._callbacks.send(kept)
        return unique

    def _arrive(
        self,
        sender: str,
        to: str,
        pages: FaxPages,
        outcome: Outcome,
        at: float,
        said: dict[str, str],
        fault: Fault | None,
    ) -> tuple[str, list[int]]:
        """Record a received fax and its callbacks, inside a transaction; its uuid and the ids of the callbacks."""
        unique = str(uuid.uuid4())
        fields = {
            "uuid": unique, "from": sender, "to": to, "time": sql_date(at), "rsid": "",
            "speed": str(outcome.rate or ""), "duration": str(round(outcome.seconds)),
            "ecm": _YES if outcome.ecm else _NO, "pages": str(pages.pages), "compression": outcome.compression or "",
            "line": outcome.line, **said,
        }  # fmt: skip
        planned = shapes.arrivals(fields, fault or self._faults.draw("inbound", to))
        number = self._store.add_inbound(
            uuid=unique, number=to, sender=planned[0].fields["from"], tiff=pages.tiff, pages=pages.pages,
            size=self._documents.path(pages.tiff).stat().st_size, created_at=at,
        )  # fmt: skip
        return unique, self._callbacks.keep("inbound", number, planned, at)
