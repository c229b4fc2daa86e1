"""A job becomes a fax: prepare -> upload -> record the intent -> send once -> record the outcome -> learn the result.

Every step counts its try in the store before it begins, so a crash never loops hot; the send stands between two commits
and is never repeated by code that does not know what became of it. What an unclear answer leads to is in doubt.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import structlog

from gateway import telemetry
from gateway.document.worker import WorkerPool
from gateway.errors import GatewayError, Refused, TryLater
from gateway.faultpoint import reach
from gateway.model import FaxDocument, FaxJob, JobState, OutgoingMail, Receipt
from gateway.ports import FaxProvider
from gateway.service import leftovers
from gateway.service.absence import Absence
from gateway.service.allowance import Allowance, AllowanceSettings
from gateway.service.correction import LateLook
from gateway.service.credit import Credit
from gateway.service.doubt import Doubt
from gateway.service.due import DueLoop
from gateway.service.gate import Gate
from gateway.service.history import History
from gateway.service.ledgertime import uptime
from gateway.service.notices import Notices
from gateway.service.patience import LONGEST, Patience
from gateway.service.prepare import Prepare, PrepareSettings
from gateway.service.settle import Settle, SettleSettings
from gateway.service.submit import Submit
from gateway.spool import Spool
from gateway.store import jobs, origin, uploads, waiting
from gateway.store.db import Database, Tx

log = structlog.get_logger("outbound")

Wanted: TypeAlias = tuple[  # jobs that are due, and when the next one is
    Callable[[Tx, float, int], list[FaxJob]], Callable[[Tx], float | None]
]

_SENDS = 2  # at once: so many more may be made, at most, when the first is answered that the key is refused
_DOUBTS = 32  # at once: they share the readings of the history


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
    allowance: AllowanceSettings = field(default_factory=AllowanceSettings)


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
        steady: Callable[[], float] = uptime,
    ) -> None:
        self._database = database
        self._spool = spool
        self._provider = provider
        self._settings = settings
        self._gate = gate
        self._on_mail = on_mail
        self._clock = clock
        self.history = history = History(provider, self._heard)
        self.settle = Settle(
            database, provider, history, notices, settings.settle, gate=gate, on_mail=on_mail, nudge=self.nudge,
            clock=clock,
        )  # fmt: skip
        self._patience = Patience(
            database, self.settle, settings.retry_after, settings.retry_max, settings.settle.expire_after
        )
        self._credit = Credit(provider, gate, notices, settings.retry_max, clock)
        absence = Absence(database, provider, history, alone=settings.settle.alone)
        doubt = Doubt(
            database, absence, notices, settings.settle, self.settle, on_mail=on_mail, nudge=self.nudge, clock=clock,
            steady=steady,
        )  # fmt: skip
        self.allowance = Allowance(notices, settings.allowance, clock=clock, steady=steady)
        submit = Submit(
            database, provider, history, absence, settings.settle, self.settle, self._patience, self.allowance,
            self._credit, gate=gate, on_mail=on_mail, nudge=self.nudge, clock=clock, steady=steady,
        )  # fmt: skip
        self._give_up = submit.give_up
        self._late_look = LateLook(
            database, notices, submit.listed, self.settle.ask, self.settle.records, patience=settings.settle.result_timeout,
            on_mail=on_mail, clock=clock,
        )  # fmt: skip
        prepare = Prepare(
            database, spool, pool, notices, settings.prepare, on_mail=on_mail, nudge=self.nudge, clock=clock
        )
        calls = settings.concurrency
        self._loops = [
            self._loop(
                "prepare", _in(JobState.ACCEPTED), prepare, settings.workers, key=lambda job: job.submission,
                alone=lambda job: job.strikes > 0,  # what hung or crashed may do so again
            ),
            self._loop("upload", _in(JobState.PREPARED), self._upload, calls, gate.sends),
            self._loop("submit", _in(JobState.UPLOADED), submit, min(calls, _SENDS), gate.sends),
            self._loop("result", _in(JobState.SUBMITTED), self.settle.result, calls, gate.tells),
            self._loop("doubt", _in(JobState.IN_DOUBT), doubt, _DOUBTS, gate.tells),
            self._loop("erase", (uploads.erasable, uploads.next_erasable), self._erase, 1, gate.asks),
            self._loop("delay", _untold(settings.delay_after), self.settle.delayed, 1),
            self._loop(
                "expire", _too_old(settings.settle.expire_after), self._give_up, 1,
                lambda most: most if gate.is_in_vain else 0,
            ),
        ]  # fmt: skip
        gate.on_change.append(self.nudge)

    def _loop(
        self,
        name: str,
        wanted: Wanted,
        handle: Callable[[FaxJob], Awaitable[None]],
        limit: int,
        gate: Callable[[int], int] = lambda most: most,
        *,
        key: Callable[[FaxJob], str] = lambda job: job.id,
        alone: Callable[[FaxJob], bool] = lambda _: False,
    ) -> DueLoop[FaxJob]:
        due, next_due = wanted
        return DueLoop(
            name,
            due=lambda now, most: self._database.read(lambda tx: due(tx, now, most)),
            next_due=lambda: self._database.read(next_due),
            key=key,
            handle=handle,
            limit=limit,
            clock=self._clock,
            gate=gate,
            alone=alone,
        )

    # --- life -----------------------------------------------------------------------------------------------------

    async def recover(self) -> int:
        """The only recovery step: a send that was begun and has no outcome is in doubt. Returns how many there were.

        Other steps that were begun are simply taken again: at once, unless more than one try has failed.
        """
        now, settings = self._clock(), self._settings

        def doubt(tx: Tx) -> int:
            self.allowance.note_time(tx)  # of this start, whatever is done to the clock before the first fax
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

    async def mend_times(self, *, soon: bool = False) -> None:
        """Nothing waits longer than the longest pause, whatever the clock has done; ``soon``: all is due now."""
        settings = self._settings
        longest = max(
            LONGEST, settings.retry_max, 2 * settings.prepare.timeout + settings.prepare.retry_max,
            settings.settle.redial_after, *settings.settle.poll_after, *settings.settle.confirm_after,
            *settings.settle.doubt_poll_after,
        )  # fmt: skip
        now = self._clock()
        latest = now + (0.0 if soon else longest)
        kept = now + max(longest, settings.settle.doubt_min_time)  # nobody waits for a document to be deleted

        def mend(tx: Tx) -> None:
            waiting.not_after(tx, latest, now)
            uploads.not_after(tx, kept, now)

        await self._database.write(mend)

    def _heard(self, error: GatewayError | None) -> None:
        if error is None:
            self._gate.succeeded()
        elif isinstance(error, TryLater):
            self._gate.failed(error)

    def start(self) -> None:
        for loop in self._loops:
            loop.start()

    def nudge(self) -> None:
        """Something may be due."""
        for loop in self._loops:
            loop.nudge()

    def accepted(self) -> None:
        """A mail has become jobs: its first step is due, and nothing else."""
        self._loops[0].nudge()

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
            return tries, uploads.next_number(tx, job) if tries else 0

        tries, n = await self._database.write(begin)
        if not tries:
            return
        path = self._spool.path(document.file)
        try:
            if not await asyncio.to_thread(_is_whole, path, document):
                await self.settle.hold(
                    job, "the prepared document on disk is not the one that was made; it was not sent"
                )
                return
            upload = await self._provider.upload(path, leftovers.name(job.id, n))
        except OSError as error:
            telemetry.disk_trouble(job.id, why=str(error))
            trouble = TryLater("the gateway has trouble with its disk", str(error))
            await self._later(job, trouble, tries)
            return
        except TryLater as error:
            self._gate.failed(error)
            await self._later(job, error, tries)
            return
        except Refused as error:
            self._gate.succeeded()
            await self._upload_refused(job, error, tries)
            return
        reach("provider.uploaded")
        self._gate.succeeded()
        if upload.pages is not None and upload.pages != document.pages:
            counted = f"{upload.pages} page{'s' * (upload.pages != 1)}"
            await self.settle.hold(
                job, f"the provider counts {counted} in a document of {document.pages}; it was not sent"
            )
            return
        now = self._clock()

        def uploaded(tx: Tx) -> bool:
            origin.use(tx, self._provider.account)
            return jobs.change(
                tx, job, JobState.UPLOADED, now, f"uploaded as {upload.document_ref}",
                document_ref=upload.document_ref, next_at=job.next_at,  # sent in the order of acceptance
            )  # fmt: skip

        try:
            changed = await self._database.write(uploaded)
        except Exception as error:
            if not uploads.is_duplicate(error):
                raise
            await self._id_is_taken(job, upload.document_ref, tries)
            return
        if changed:
            telemetry.uploaded(job.id, document_ref=upload.document_ref)
        self.nudge()

    async def _id_is_taken(self, job: FaxJob, ref: int, tries: int) -> None:
        """A provider that gives two uploads one id would mix up two faxes; one may have the id again of a deleted one."""
        why = f"the provider gave the document the id {ref}, which another job has"
        other = await self._database.read(lambda tx: uploads.job_of(tx, ref))
        if other is not None and not other.state.terminal:
            await self.settle.hold(job, why)
        else:  # whose deletion is not known yet
            await self._later(job, TryLater(why), tries)

    async def _upload_refused(self, job: FaxJob, error: Refused, tries: int) -> None:
        """A permanent no; one for want of credit lasts until the account is paid."""
        if not self._credit.is_wanted(error):
            await self.settle.fail(job, code="file_refused", text=error.public)
            return
        verdict, alarm = await self._credit.lacks(job, error)
        await self._later(job, verdict, tries, alarm=alarm)
        self._on_mail()

    async def _later(self, job: FaxJob, error: TryLater, tries: int, *, alarm: OutgoingMail | None = None) -> None:
        """Uploaded later, or given up; an earlier send of it, to which the provider said no, is looked for before that."""
        now = self._clock()
        if self._patience.is_too_old(job, tries, now):
            await self._give_up(replace(job, last_error=error.public))
        else:
            await self._patience.put_off(job, "upload", error, tries, now, alarm=alarm)

    # --- after the end --------------------------------------------------------------------------------------------

    async def _erase(self, job: FaxJob) -> None:
        """The provider's copy of an ended fax is deleted, once all is known of it."""
        assert job.document_ref is not None
        ref, now = job.document_ref, self._clock()
        await self._database.write(
            lambda tx: jobs.touch(tx, job, job.updated_at, next_at=now + self._settings.retry_max)
        )
        if not await self._late_look(job):
            return
        what, account = "", self._provider.account
        if await self._database.read(lambda tx: uploads.is_elsewhere(tx, job, account)):
            what = f"the document {ref} is left where it is: this may be another account, where its id is of another document"
        else:
            try:
                await self._provider.delete(ref)
                reach("provider.erased")
            except TryLater as error:
                self._gate.failed(error)
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


def _in(state: JobState) -> Wanted:
    return (lambda tx, now, most: jobs.due(tx, state, now, most)), (lambda tx: jobs.next_due(tx, [state]))


def _untold(after: float) -> Wanted:
    """Whose sender is to be told that it waits."""

    def next_due(tx: Tx) -> float | None:
        oldest = waiting.oldest_untold(tx)
        return None if oldest is None else oldest + after

    return (lambda tx, now, most: waiting.overdue(tx, now - after, most)), next_due


def _too_old(after: float) -> Wanted:
    """What nobody tries any more, as all wait for the provider, is given up all the same; whenever something else is due."""
    return (lambda tx, now, most: waiting.too_old(tx, now - after, most)), (lambda _tx: None)


def _is_whole(path: Path, document: FaxDocument) -> bool:
    """Raises OSError when that cannot be told now: too many open files, a disk that fails."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == document.sha256
    except FileNotFoundError:
        return False
