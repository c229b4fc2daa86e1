"""A job becomes a fax: prepare -> upload -> record the intent -> send once -> record the outcome -> learn the result.

Every step counts its try in the store before it begins, so a crash never loops hot; the send stands between two commits
and is never repeated by code that does not know what became of it. What an unclear answer leads to is in settle.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from gateway import telemetry
from gateway.document.worker import WorkerPool
from gateway.errors import GatewayError, KeyRefused, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.model import FaxDocument, FaxJob, JobState, LedgerEntry, MailKind, Receipt, Submission
from gateway.ports import FaxProvider, Submitted
from gateway.service.due import DueLoop
from gateway.service.gate import Gate
from gateway.service.notices import Notices
from gateway.service.settle import Settle, SettleSettings
from gateway.spool import Spool
from gateway.store import jobs, outbox, receipts
from gateway.store.db import Database, Tx

log = structlog.get_logger("outbound")

_STRIKES = 3  # tries of the content before a mail is set aside
_LOST = 3600.0  # seconds after which a step that never ended is taken up again
_HEADERS = 16_384  # bytes of the original's header shown in a failure report


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """Times in seconds. ``retry_after`` is the first pause after a failed call; it doubles up to ``retry_max``."""

    workers: int = 2
    concurrency: int = 4
    retry_after: float = 30.0
    retry_max: float = 900.0
    conversion_timeout: float = 60.0
    document: dict[str, Any] = field(default_factory=dict)  # options of document.render
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
    ) -> None:
        self._database = database
        self._spool = spool
        self._provider = provider
        self._pool = pool
        self._notices = notices
        self._settings = settings
        self._gate = gate
        self._clock = clock
        self._on_mail = on_mail
        self.settle = Settle(
            database, provider, notices, settings.settle, gate=gate, on_mail=on_mail, nudge=self.nudge, clock=clock
        )
        calls = settings.concurrency
        self._loops = [
            self._loop("prepare", JobState.ACCEPTED, self._prepare, settings.workers, by_submission=True),
            self._loop("upload", JobState.PREPARED, self._upload, calls, gated=True),
            self._loop("submit", JobState.UPLOADED, self._submit, calls, gated=True),
            self._loop("result", JobState.SUBMITTED, self.settle.result, calls),
            self._loop("doubt", JobState.IN_DOUBT, self.settle.doubt, 1),
            self._erase_loop(),
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

    # --- life -----------------------------------------------------------------------------------------------------

    async def recover(self) -> int:
        """The only recovery step: a send that was begun and has no outcome is in doubt. Returns how many there were."""
        now = self._clock()

        def doubt(tx: Tx) -> int:
            begun = jobs.in_state(tx, JobState.SUBMITTING)
            for job in begun:
                jobs.end_attempt(tx, job.id, job.attempts, now, "unknown", detail="the gateway stopped while sending")
                jobs.change(
                    tx, job, JobState.IN_DOUBT, now, "the gateway stopped while sending; outcome unknown",
                    next_at=now + self._settings.settle.doubt_poll_after[0],
                )  # fmt: skip
            return len(begun)

        return await self._database.write(doubt)

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

    # --- accepted -> prepared -------------------------------------------------------------------------------------

    async def _prepare(self, job: FaxJob) -> None:
        """Make the fax document of a mail, once for all its jobs."""
        now = self._clock()
        tries = await self._database.write(
            lambda tx: jobs.strike(tx, job, now, now + 2 * self._settings.conversion_timeout + 60)
        )
        if not tries:
            return
        submission = await self._database.read(lambda tx: jobs.get_submission(tx, job.submission))
        assert submission is not None
        if tries > _STRIKES:
            await self._content_failed(
                submission,
                Refused(
                    "the gateway could not convert this mail in three tries; it is kept for the administrator",
                    job.last_error,
                    status="5.6.5",
                ),
            )
            return
        try:
            document = await self._render(submission)
        except Refused as error:
            await self._content_failed(submission, error)
        except TryLater as error:
            await self._put_off(job, "prepare", error, tries)
        else:
            await self._prepared(submission, document)

    async def _render(self, submission: Submission) -> FaxDocument:
        work = self._spool.work_directory()
        try:
            parts = work / "parts"
            parts.mkdir(mode=0o700)
            mail = await self._pool.run(
                "gateway.mail.parse:extract",
                mail=str(self._spool.path(submission.mail_file)),
                directory=str(parts),
            )
            out = work / "fax.pdf"
            made = await self._pool.run(
                "gateway.document.render:render",
                parts=mail["parts"],
                left_out=mail["left_out"],
                out=str(out),
                options=self._settings.document,
            )
            file = await self._spool.adopt(out, "document")
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
        return FaxDocument(
            file=file,
            pages=made["pages"],
            size=made["size"],
            sha256=made["sha256"],
            seconds=made["seconds"],
            ledger=tuple(LedgerEntry(**entry) for entry in made["ledger"]),
        )

    async def _prepared(self, submission: Submission, document: FaxDocument) -> None:
        now = self._clock()

        def commit(tx: Tx) -> list[FaxJob]:
            changed = []
            for job in jobs.of_submission(tx, submission.id):
                if job.state is JobState.ACCEPTED and jobs.change(
                    tx, job, JobState.PREPARED, now, f"{document.pages} pages prepared"
                ):
                    jobs.set_document(tx, job.id, document)
                    changed.append(job)
            return changed

        changed = await self._database.write(commit)
        if not changed:  # cancelled meanwhile
            self._spool.remove([document.file])
        for job in changed:
            telemetry.prepared(job.id, pages=document.pages, size=document.size, seconds=document.seconds)
        self.nudge()

    async def _content_failed(self, submission: Submission, error: Refused) -> None:
        """What the mail holds can never become a fax: all its jobs fail, each with its notice."""
        headers = await self._headers(submission)
        now = self._clock()

        def commit(tx: Tx) -> list[FaxJob]:
            failed = []
            for job in jobs.of_submission(tx, submission.id):
                if job.state is not JobState.ACCEPTED:
                    continue
                if jobs.change(tx, job, JobState.FAILED, now, error.public, outcome="content", last_error=error.public):
                    failed.append(job)
                    mail = self._notices.result(
                        MailKind.FAILED, job, submission, now,
                        code="content", text=error.public, status=error.status, headers=headers,
                    )  # fmt: skip
                    if mail:
                        outbox.add(tx, mail)
            return failed

        for job in await self._database.write(commit):
            telemetry.ended(job.id, number=job.number.e164, state="failed", code="content", why=str(error))
        self._on_mail()

    async def _headers(self, submission: Submission) -> str:
        return await asyncio.to_thread(self._read_headers, submission.mail_file)

    def _read_headers(self, mail_file: str) -> str:
        try:
            with self._spool.path(mail_file).open("rb") as stream:
                start = stream.read(_HEADERS)
        except (OSError, ValueError):
            return ""
        return start.partition(b"\r\n\r\n")[0].decode("ascii", "replace")

    # --- prepared -> uploaded -------------------------------------------------------------------------------------

    async def _upload(self, job: FaxJob) -> None:
        document = job.document
        assert document is not None
        now = self._clock()

        def begin(tx: Tx) -> tuple[int, int]:
            tries = jobs.strike(tx, job, now, now + _LOST)
            return tries, jobs.next_upload(tx, job) if tries else 0

        tries, n = await self._database.write(begin)
        if not tries:
            return
        path = self._spool.path(document.file)
        if not await asyncio.to_thread(_is_whole, path, document):
            await self._hold(job, "the prepared document on disk is not the one that was made; it was not sent")
            return
        try:
            upload = await self._provider.upload(path, f"{job.id}-{n}.pdf")
        except KeyRefused as error:
            self._shut(error)
            await self._put_off(job, "upload", error, tries)
            return
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
        tries = await self._database.write(lambda tx: jobs.strike(tx, job, now, now + _LOST))
        if not tries:
            return
        cost = None
        try:
            cost = await self._provider.cost(job.document_ref, job.number)
        except KeyRefused as error:
            self._shut(error)
            await self._put_off(job, "cost", error, tries)
            return
        except GatewayError as error:
            # the price is wanted, not needed: a provider that cannot tell it may still send
            log.info("cost unknown", id=job.id, why=str(error))
        now = self._clock()
        attempt = await self._database.write(lambda tx: jobs.begin_attempt(tx, job, now, cost))
        if attempt is None:
            return
        sending = await self._database.read(lambda tx: jobs.get(tx, job.id))
        assert sending is not None
        try:
            submitted = await self._provider.submit(job.document_ref, job.number, job.tsi)
        except NotFound as error:
            await self._lost_document(sending, error)
        except Refused as error:
            await self._not_sent(sending, error)
        except KeyRefused as error:
            self._shut(error)
            await self._not_now(sending, error, tries)
        except TryLater as error:
            await self._not_now(sending, error, tries)
        except OutcomeUnknown as error:
            await self._in_doubt(sending, error)
        except Exception as error:
            log.exception("unexpected failure of a send", id=job.id)
            await self._in_doubt(sending, OutcomeUnknown("the send ended in an unexpected way", repr(error)))
        else:
            await self._submitted(sending, submitted)

    async def _submitted(self, job: FaxJob, submitted: Submitted) -> None:
        now = self._clock()
        first_poll = now + self._settings.settle.poll_after[0]

        def commit(tx: Tx) -> bool:
            ref = submitted.provider_ref
            jobs.end_attempt(
                tx, job.id, job.attempts, now, "sent", provider_ref=ref, cost=submitted.cost, detail=submitted.text
            )
            early = receipts.adopt(tx, ref, job.id)
            return jobs.change(
                tx, job, JobState.SUBMITTED, now, f"the provider took it as fax {ref}",
                provider_ref=ref, cost=submitted.cost if submitted.cost is not None else job.cost,
                next_at=now if early or submitted.failed else first_poll,
            )  # fmt: skip

        await self._database.write(commit)
        telemetry.submit_ended(
            job.id, number=job.number.e164, outcome="sent", provider_ref=submitted.provider_ref, why=submitted.text
        )
        if submitted.balance is not None:
            telemetry.balance(float(submitted.balance))
        self.nudge()

    async def _not_sent(self, job: FaxJob, error: Refused) -> None:
        """A clear, permanent no. Lack of credit is the operator's matter: the job waits for him."""
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="not_sent", why=str(error))
        if _about_credit(error.public):
            now = self._clock()

            def commit(tx: Tx) -> None:
                jobs.end_attempt(tx, job.id, job.attempts, now, "not_sent", detail=error.public)
                jobs.change(tx, job, JobState.UPLOADED, now, f"not sent: {error.public}", last_error=error.public)

            await self._database.write(commit)
            waiting = await self._database.read(lambda tx: jobs.get(tx, job.id))
            assert waiting is not None
            await self._hold(waiting, f"the fax account lacks credit: {error.public}")
            return
        await self.settle.fail(job, code="refused", text=error.public, status="5.1.1", attempt="not_sent")

    async def _not_now(self, job: FaxJob, error: TryLater, tries: int) -> None:
        """Provably not sent, and worth another try: the same document goes again later."""
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="not_now", why=str(error))
        now = self._clock()
        wait = self._wait(error, tries)

        def commit(tx: Tx) -> None:
            jobs.end_attempt(tx, job.id, job.attempts, now, "not_sent", detail=error.public)
            jobs.change(
                tx, job, JobState.UPLOADED, now, f"not sent: {error.public}",
                strikes=tries, next_at=now + wait, last_error=error.public,
            )  # fmt: skip

        await self._database.write(commit)
        telemetry.retry(job.id, step="submit", wait=wait, why=str(error))

    async def _lost_document(self, job: FaxJob, error: NotFound) -> None:
        """The provider does not know our upload (any more): provably not sent; upload again, a few times."""
        if job.attempts >= _STRIKES:
            await self._not_sent(job, Refused(error.public, error.detail))
            return
        now = self._clock()

        def commit(tx: Tx) -> None:
            jobs.end_attempt(tx, job.id, job.attempts, now, "not_sent", detail=error.public)
            jobs.change(tx, job, JobState.UPLOADED, now, f"not sent: {error.public}", last_error=error.public)
            back = jobs.get(tx, job.id)
            assert back is not None
            jobs.change(
                tx, back, JobState.PREPARED, now, "the provider lost the document; uploading again",
                document_ref=None, next_at=now + self._settings.retry_after,
            )  # fmt: skip

        await self._database.write(commit)
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

        await self._database.write(commit)
        self.nudge()

    # --- after the end --------------------------------------------------------------------------------------------

    async def _erase(self, job: FaxJob) -> None:
        """The provider's copy of an ended fax is deleted."""
        assert job.document_ref is not None
        now = self._clock()
        ref = job.document_ref
        await self._database.write(
            lambda tx: jobs.touch(tx, job, job.updated_at, next_at=now + self._settings.retry_max)
        )
        await self._provider.delete(ref)
        now = self._clock()
        await self._database.write(lambda tx: jobs.touch(tx, job, job.updated_at, erased_at=now))

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
        wait = self._wait(error, tries)
        now = self._clock()
        await self._database.write(lambda tx: jobs.touch(tx, job, now, next_at=now + wait, last_error=error.public))
        telemetry.retry(job.id, step=step, wait=wait, why=str(error))

    async def _hold(self, job: FaxJob, why: str) -> None:
        await self.settle.hold(job, why)

    def _shut(self, error: KeyRefused) -> None:
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
