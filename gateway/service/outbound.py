"""A job becomes a fax: prepare -> upload -> record the intent -> send once -> record the outcome -> learn the result.

Every step counts its try in the store before it begins, so a crash never loops hot; the send stands between two commits
and is never repeated by code that does not know what became of it. What an unclear answer leads to is in doubt.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import structlog

from gateway import telemetry
from gateway.document.worker import WorkerPool
from gateway.errors import GatewayError, KeyRefused, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.model import FaxDocument, FaxJob, JobState, Receipt
from gateway.ports import FaxProvider, Submitted
from gateway.service import leftovers
from gateway.service.doubt import Doubt
from gateway.service.due import DueLoop
from gateway.service.gate import Gate
from gateway.service.notices import Notices
from gateway.service.prepare import Prepare, PrepareSettings
from gateway.service.settle import Settle, SettleSettings
from gateway.spool import Spool
from gateway.store import jobs, receipts, waiting
from gateway.store.db import Database, Tx

log = structlog.get_logger("outbound")

_UPLOADS = 3  # sends of a job after which a document that the provider loses is not uploaded once more
_MIN_TRIES = 20  # a fax is not given up on age alone: a clock may jump, and a held one may have been released just now
_LONGEST_WAIT = 3600.0  # seconds: what a provider may ask for


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """Times in seconds. ``retry_after`` is the first pause after a failed call; it doubles up to ``retry_max``.

    The sender of a fax that was not sent ``delay_after`` its acceptance is told so, once.
    """

    workers: int = 2
    concurrency: int = 4
    retry_after: float = 30.0
    retry_max: float = 900.0
    delay_after: float = 4 * 3600.0
    prepare: PrepareSettings = field(default_factory=PrepareSettings)
    settle: SettleSettings = field(default_factory=SettleSettings)


class Outbound:
    """Owns the job's state machine from accepted to its end."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        provider: FaxProvider,
        pool: WorkerPool,
        notices: Notices,
        settings: OutboundSettings,
        *,
        gate: Gate,
        on_mail: Callable[[], None],
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._spool = spool
        self._provider = provider
        self._settings = settings
        self._gate = gate
        self._clock = clock
        self.settle = Settle(
            database, provider, notices, settings.settle, gate=gate, on_mail=on_mail, nudge=self.nudge, clock=clock
        )
        doubt = Doubt(
            database, provider, notices, settings.settle, self.settle, on_mail=on_mail, nudge=self.nudge, clock=clock,
            steady=steady,
        )  # fmt: skip
        prepare = Prepare(
            database, spool, pool, notices, settings.prepare, on_mail=on_mail, nudge=self.nudge, clock=clock
        )
        calls = settings.concurrency
        self._loops = [
            self._loop("prepare", JobState.ACCEPTED, prepare, settings.workers, by_submission=True),
            self._loop("upload", JobState.PREPARED, self._upload, calls, gated=True),
            self._loop("submit", JobState.UPLOADED, self._submit, calls, gated=True),
            self._loop("result", JobState.SUBMITTED, self.settle.result, calls),
            self._loop("doubt", JobState.IN_DOUBT, doubt, 1),
            self._erase_loop(),
            self._delay_loop(),
        ]
        gate.on_change.append(self.nudge)

    def _loop(
        self,
        name: str,
        state: JobState,
        handle: Callable[[FaxJob], Any],
        limit: int,
        *,
        gated: bool = False,
        by_submission: bool = False,
    ) -> DueLoop[FaxJob]:
        return DueLoop(
            name,
            due=lambda now, most: self._database.read(lambda tx: jobs.due(tx, state, now, most)),
            next_due=lambda: self._database.read(lambda tx: jobs.next_due(tx, [state])),
            key=(lambda job: job.submission) if by_submission else (lambda job: job.id),
            handle=handle,
            limit=limit,
            clock=self._clock,
            open_gate=(lambda: self._gate.is_open) if gated else (lambda: True),
        )

    def _erase_loop(self) -> DueLoop[FaxJob]:
        return DueLoop(
            "erase",
            due=lambda now, most: self._database.read(lambda tx: jobs.erasable(tx, now, most)),
            next_due=lambda: self._database.read(jobs.next_erasable),
            key=lambda job: job.id,
            handle=self._erase,
            limit=1,
            clock=self._clock,
            open_gate=lambda: self._gate.is_open,
        )

    def _delay_loop(self) -> DueLoop[FaxJob]:
        after = self._settings.delay_after

        async def next_due() -> float | None:
            oldest = await self._database.read(waiting.oldest_untold)
            return None if oldest is None else oldest + after

        return DueLoop(
            "delay",
            due=lambda now, most: self._database.read(lambda tx: waiting.overdue(tx, now - after, most)),
            next_due=next_due,
            key=lambda job: job.id,
            handle=self.settle.delayed,
            limit=1,
            clock=self._clock,
        )

    # --- life -----------------------------------------------------------------------------------------------------

    async def recover(self) -> int:
        """The only recovery step: a send that was begun and has no outcome is in doubt. Returns how many there were.

        Other steps that were begun are simply taken again, after no more than the pause of a failed try.
        """
        now, settings = self._clock(), self._settings

        def doubt(tx: Tx) -> int:
            begun = jobs.in_state(tx, JobState.SUBMITTING)
            for job in begun:
                jobs.end_attempt(tx, job.id, job.attempts, now, "unknown", detail="the gateway stopped while sending")
                jobs.change(
                    tx, job, JobState.IN_DOUBT, now, "the gateway stopped while sending; outcome unknown",
                    next_at=now + settings.settle.doubt_poll_after[0],
                )  # fmt: skip
            waiting.resume(tx, now, settings.retry_after, settings.retry_max)
            return len(begun)

        return await self._database.write(doubt)

    async def mend_times(self) -> None:
        """Nothing waits longer than the longest pause, whatever the clock has done."""
        settings = self._settings
        longest = max(
            _LONGEST_WAIT, settings.retry_max, 2 * settings.prepare.timeout + settings.prepare.retry_max,
            settings.settle.redial_after, *settings.settle.poll_after, *settings.settle.confirm_after,
            *settings.settle.doubt_poll_after,
        )  # fmt: skip
        latest = self._clock() + longest
        await self._database.write(lambda tx: waiting.not_after(tx, latest))

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    def nudge(self) -> None:
        """Something may be due."""
        for loop in self._loops:
            loop.nudge()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; a send under way is waited for, so that its outcome is recorded."""
        await asyncio.gather(*(loop.stop(grace) for loop in self._loops))

    # --- prepared -> uploaded -------------------------------------------------------------------------------------

    async def _upload(self, job: FaxJob) -> None:
        document = job.document
        assert document is not None
        now = self._clock()

        def begin(tx: Tx) -> tuple[int, int]:
            tries = jobs.strike(tx, job, now, now + self._settings.retry_max)
            return tries, jobs.next_upload(tx, job) if tries else 0

        tries, n = await self._database.write(begin)
        if not tries:
            return
        path = self._spool.path(document.file)
        if not await asyncio.to_thread(_is_whole, path, document):
            await self._hold(job, "the prepared document on disk is not the one that was made; it was not sent")
            return
        try:
            upload = await self._provider.upload(path, leftovers.name(job.id, n))
        except TryLater as error:
            await self._put_off(job, "upload", error, tries)
            return
        except Refused as error:
            await self.settle.fail(job, code="refused", text=error.public, status="5.6.1")
            return
        if upload.pages is not None and upload.pages != document.pages:
            await self._hold(
                job, f"the provider counts {upload.pages} pages in a document of {document.pages}; it was not sent"
            )
            return
        now = self._clock()
        try:
            changed = await self._database.write(
                lambda tx: jobs.change(
                    tx, job, JobState.UPLOADED, now, f"uploaded as {upload.document_ref}",
                    document_ref=upload.document_ref,
                )
            )  # fmt: skip
        except Exception as error:
            if not jobs.is_duplicate_document(error):
                raise
            # a provider that gives two uploads one id would mix up two faxes
            await self._hold(job, f"the provider gave the document the id {upload.document_ref}, which another job has")
            return
        if changed:
            telemetry.uploaded(job.id, document_ref=upload.document_ref)
        self.nudge()

    # --- uploaded -> submitting -> submitted ----------------------------------------------------------------------

    async def _submit(self, job: FaxJob) -> None:
        assert job.document_ref is not None
        now = self._clock()
        tries = await self._database.write(lambda tx: jobs.strike(tx, job, now, now + self._settings.retry_max))
        if not tries:
            return
        try:
            cost = await self._cost(job)
        except KeyRefused as error:
            await self._put_off(job, "cost", error, tries)
            return
        now = self._clock()
        if not self._gate.is_open:  # shut by another call meanwhile: no try of this job, which waits for the gate
            await self._database.write(lambda tx: jobs.touch(tx, job, now, next_at=now, strikes=tries - 1))
            return

        def begin(tx: Tx) -> FaxJob | None:
            return jobs.get(tx, job.id) if jobs.begin_attempt(tx, job, now, cost) else None

        sending = await self._database.write(begin)
        if sending is None:
            return
        try:
            submitted = await self._provider.submit(job.document_ref, job.number, job.tsi)
        except NotFound as error:
            await self._lost_document(sending, error)
        except Refused as error:
            await self._not_sent(sending, error)
        except TryLater as error:
            await self._not_now(sending, error, tries)
        except OutcomeUnknown as error:
            await self._in_doubt(sending, error)
        except Exception as error:
            log.exception("unexpected failure of a send", id=job.id)
            await self._in_doubt(sending, OutcomeUnknown("the send ended in an unexpected way", repr(error)))
        else:
            await self._submitted(sending, submitted)

    async def _cost(self, job: FaxJob) -> Decimal | None:
        """The price, which is wanted, not needed: a provider that cannot tell it may still send. Raises KeyRefused."""
        assert job.document_ref is not None
        try:
            return await self._provider.cost(job.document_ref, job.number)
        except KeyRefused:
            raise
        except GatewayError as error:
            log.info("cost unknown", id=job.id, why=str(error))
            return None

    async def _submitted(self, job: FaxJob, submitted: Submitted) -> None:
        now = self._clock()
        first_poll = now + self._settings.settle.poll_after[0]
        ref = submitted.provider_ref

        def commit(tx: Tx) -> bool:
            if jobs.known_refs(tx, [ref]):
                return False
            early = receipts.adopt(tx, ref, job.id)
            jobs.change(
                tx, job, JobState.SUBMITTED, now, f"the provider took it as fax {ref}",
                provider_ref=ref, cost=submitted.cost if submitted.cost is not None else job.cost,
                next_at=now if early or submitted.failed else first_poll,
            )  # fmt: skip
            jobs.end_attempt(
                tx, job.id, job.attempts, now, "sent", provider_ref=ref, cost=submitted.cost, detail=submitted.text
            )
            return True

        if not await self.settle.record(commit):
            await self._in_doubt(job, OutcomeUnknown("the provider answered with the id of another fax", f"fax {ref}"))
            return
        telemetry.submit_ended(
            job.id, number=job.number.e164, outcome="sent", provider_ref=submitted.provider_ref, why=submitted.text
        )
        if submitted.balance is not None:
            telemetry.balance(float(submitted.balance))
        self.nudge()

    async def _not_sent(self, job: FaxJob, error: Refused) -> None:
        """A clear, permanent no. Lack of credit is the operator's matter: the job waits for him."""
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="not_sent", why=str(error))
        now = self._clock()

        why = f"the fax account lacks credit: {error.public}"

        def hold(tx: Tx) -> bool:
            self._back(tx, job, error, now)
            free = jobs.get(tx, job.id)
            assert free is not None
            return self.settle.hold_in(tx, free, now, why)

        if not _about_credit(error.public):
            await self.settle.fail(job, code="refused", text=error.public, status="5.1.1", attempt="not_sent")
        elif await self.settle.record(hold):
            self.settle.held(job, why)

    async def _not_now(self, job: FaxJob, error: TryLater, tries: int) -> None:
        """Provably not sent, and worth another try: the same document goes again later."""
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="not_now", why=str(error))
        now = self._clock()
        self._note_key(error)
        if self._is_too_old(job, tries, now):
            await self._expire(job, error, attempt="not_sent")
            return
        wait = self._wait(error, tries)
        await self.settle.record(lambda tx: self._back(tx, job, error, now, strikes=tries, next_at=now + wait))
        telemetry.retry(job.id, step="submit", wait=wait, why=str(error))

    def _back(self, tx: Tx, job: FaxJob, error: GatewayError, now: float, **columns: Any) -> None:
        """An attempt that provably sent nothing: submitting -> uploaded."""
        jobs.end_attempt(tx, job.id, job.attempts, now, "not_sent", detail=error.public)
        jobs.change(tx, job, JobState.UPLOADED, now, f"not sent: {error.public}", last_error=error.public, **columns)

    async def _lost_document(self, job: FaxJob, error: NotFound) -> None:
        """The provider does not know our upload (any more): provably not sent; upload again, a few times."""
        if job.attempts >= _UPLOADS:
            await self._not_sent(job, Refused(error.public, error.detail))
            return
        now = self._clock()

        def commit(tx: Tx) -> None:
            self._back(tx, job, error, now)
            back = jobs.get(tx, job.id)
            assert back is not None
            jobs.change(
                tx, back, JobState.PREPARED, now, "the provider lost the document; uploading again",
                document_ref=None, next_at=now + self._settings.retry_after,
            )  # fmt: skip

        await self.settle.record(commit)
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="not_sent", why=str(error))

    async def _in_doubt(self, job: FaxJob, error: OutcomeUnknown) -> None:
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="unknown", why=str(error))
        now = self._clock()

        def commit(tx: Tx) -> None:
            jobs.end_attempt(tx, job.id, job.attempts, now, "unknown", detail=str(error))
            jobs.change(
                tx, job, JobState.IN_DOUBT, now, f"outcome unknown: {error}",
                next_at=now + self._settings.settle.doubt_poll_after[0], last_error=error.public,
            )  # fmt: skip

        await self.settle.record(commit)
        self.nudge()

    # --- after the end --------------------------------------------------------------------------------------------

    async def _erase(self, job: FaxJob) -> None:
        """The provider's copy of an ended fax is deleted."""
        assert job.document_ref is not None
        ref, now = job.document_ref, self._clock()
        await self._database.write(
            lambda tx: jobs.touch(tx, job, job.updated_at, next_at=now + self._settings.retry_max)
        )
        what = ""
        try:
            await self._provider.delete(ref)
        except KeyRefused as error:
            self._note_key(error)
            return
        except Refused as error:  # it will not be asked for ever, and our own files may go
            log.warning("the provider does not delete a document", id=job.id, document=ref, why=str(error))
            what = f"the provider does not delete the document {ref}: {error.public}"
        now = self._clock()
        await self._database.write(lambda tx: jobs.touch(tx, job, job.updated_at, what, erased_at=now))

    async def sweep_uploads(self, age: float) -> int:
        """Delete uploads of ours that no fax needs, older than ``age`` seconds; returns how many. Raises GatewayError."""
        if not self._gate.is_open:
            return 0
        return await leftovers.sweep(self._database, self._provider, self._clock() - age)

    # --- callbacks ------------------------------------------------------------------------------------------------

    async def receipt(self, receipt: Receipt) -> None:
        """Keep the provider's word; durable when this returns. It is a hint: the result loop confirms it."""
        await self.settle.receipt(receipt)

    # --- common ---------------------------------------------------------------------------------------------------

    def _wait(self, error: TryLater, tries: int) -> float:
        if error.after is not None:
            return max(error.after, 1.0)
        return float(min(self._settings.retry_max, self._settings.retry_after * 2 ** min(tries - 1, 20)))

    async def _put_off(self, job: FaxJob, step: str, error: TryLater, tries: int) -> None:
        """A call before the send failed: again later, until the fax has grown too old."""
        self._note_key(error)
        now = self._clock()
        if self._is_too_old(job, tries, now):
            await self._expire(job, error)
            return
        wait = self._wait(error, tries)
        await self._database.write(lambda tx: jobs.touch(tx, job, now, next_at=now + wait, last_error=error.public))
        telemetry.retry(job.id, step=step, wait=wait, why=str(error))

    def _is_too_old(self, job: FaxJob, tries: int, now: float) -> bool:
        return now - job.created_at > self._settings.settle.expire_after and tries >= _MIN_TRIES

    async def _expire(self, job: FaxJob, error: TryLater, attempt: str = "") -> None:
        text = f"it waited too long; the last trouble was: {error.public}"
        await self.settle.fail(job, code="expired", text=text, status="4.4.7", attempt=attempt)

    async def _hold(self, job: FaxJob, why: str) -> None:
        await self.settle.hold(job, why)

    def _note_key(self, error: TryLater) -> None:
        """A refused key stops every send."""
        if isinstance(error, KeyRefused):
            self.settle.key_refused(error)


def _is_whole(path: Path, document: FaxDocument) -> bool:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == document.sha256
    except OSError:
        return False


def _about_credit(text: str) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in ("credit", "insufficient", "balance", "funds"))
