"""Learning what became of a send: results, doubt, and the end of a job.

A callback is a hint, the API is the truth: a receipt makes us ask, and only what status or history says is told as a
final result, unless the API is away too long. A send without a clear answer is settled by the history alone: each job
has an upload of its own, so (document, number) is its identity there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from gateway import telemetry
from gateway.errors import GatewayError, KeyRefused
from gateway.model import TRANSITIONS, FaxJob, JobState, MailKind, OutgoingMail, Receipt, Submission, Verdict
from gateway.ports import FaxProvider, JobStatus
from gateway.service.gate import Gate
from gateway.service.history import read_history
from gateway.service.notices import Notices
from gateway.store import jobs, outbox, receipts
from gateway.store.db import Database, Tx

log = structlog.get_logger("settle")


@dataclass(frozen=True, slots=True)
class SettleSettings:
    """All times in seconds. The last of each ``*_after`` list repeats.

    ``confirm_after``: waits between questions while a receipt waits to be confirmed. ``doubt_*``: when a send without
    an     answer counts as proven absent (at least ``min_polls`` complete negative readings over at least ``min_time``), and
    when a person must decide (``give_up_after``). ``redial``: repeats after a clear failure, by code.
    """

    poll_after: tuple[float, ...] = (60, 120, 300, 900, 1800)
    confirm_after: tuple[float, ...] = (1, 5, 15, 60)
    confirm_receipts: bool = True
    confirm_timeout: float = 3600
    result_timeout: float = 49 * 3600
    doubt_poll_after: tuple[float, ...] = (120, 300, 900, 1800, 3600)
    doubt_min_polls: int = 3
    doubt_min_time: float = 1800
    doubt_give_up_after: float = 4 * 3600
    doubt_resend: bool = True
    redial: Mapping[str, int] = field(default_factory=dict)
    redial_after: float = 300


@dataclass(frozen=True, slots=True)
class Result:
    """A final result. ``confirmed`` is False when only a callback says so."""

    verdict: Verdict
    code: str
    text: str
    confirmed: bool = True


class Settle:
    """Owns submitted and in_doubt, and every way into a terminal state after the upload."""

    def __init__(
        self,
        database: Database,
        provider: FaxProvider,
        notices: Notices,
        settings: SettleSettings,
        *,
        gate: Gate,
        on_mail: Callable[[], None],
        nudge: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._provider = provider
        self._notices = notices
        self._settings = settings
        self._gate = gate
        self._on_mail = on_mail
        self._nudge = nudge
        self._clock = clock

    # --- receipts -------------------------------------------------------------------------------------------------

    async def receipt(self, receipt: Receipt) -> None:
        """Keep a receipt; whom it concerns is asked about at once. Durable when this returns."""

        def commit(tx: Tx) -> tuple[bool, FaxJob | None, bool]:
            fresh = receipts.add(tx, receipt)
            job = jobs.by_provider_ref(tx, receipt.provider_ref)
            if not fresh:
                return False, job, False
            if job is None:  # perhaps the answer to a send we know nothing of: look now
                for doubtful in jobs.in_state(tx, JobState.IN_DOUBT):
                    jobs.touch(tx, doubtful, doubtful.updated_at, next_at=receipt.received_at)
                return True, None, False
            jobs.note(
                tx, job.id, receipt.received_at, f"receipt: {receipt.verdict} {receipt.code} {receipt.text}".strip()
            )
            current = job.provider_ref == receipt.provider_ref
            if job.state is JobState.SUBMITTED and current:
                jobs.touch(tx, job, job.updated_at, next_at=receipt.received_at, polls=0)
            late = job.state.terminal and current and _contradicts(job, receipt)
            if late:
                outbox.add(tx, self._late_receipt(job, receipt))
            return True, job, late

        fresh, job, mailed = await self._database.write(commit)
        telemetry.receipt(receipt.provider_ref, job=job.id if job else None, code=receipt.code, fresh=fresh)
        if fresh:
            self._nudge()
        if mailed:
            self._on_mail()

    def _late_receipt(self, job: FaxJob, receipt: Receipt) -> OutgoingMail:
        return self._notices.operator(
            f"late-receipt.{job.id}.{receipt.code}",
            receipt.received_at,
            title=f"A late receipt contradicts the result of fax {job.id}",
            text=f"The fax to {job.number} ended as {job.state}; the provider now reports {receipt.verdict}"
            f" ({receipt.code}): {receipt.text}",
            remedy="Compare with the history at the provider and tell the sender, who was told the earlier result.",
        )

    # --- submitted -> delivered | failed --------------------------------------------------------------------------

    async def result(self, job: FaxJob) -> None:
        """Ask what became of a fax, and end it when the answer is final."""
        assert job.provider_ref is not None
        now = self._clock()
        known = await self._database.read(lambda tx: receipts.of_job(tx, job.id))
        told = next(
            (r for r in reversed(known) if r.provider_ref == job.provider_ref and r.verdict is not Verdict.PROGRESS),
            None,
        )
        waits = self._settings.confirm_after if told else self._settings.poll_after

        polls = await self._database.write(lambda tx: jobs.count_poll(tx, job, waits, now))
        if not polls:
            return
        if told and not self._settings.confirm_receipts:
            await self._end(job, Result(told.verdict, told.code, told.text, confirmed=False))
            return
        status = await self._ask(job.provider_ref)
        final = await self._judge(job, told, status, now)
        if final is not None:
            await self._end(job, final)
            return
        started = await self._database.read(lambda tx: jobs.attempts(tx, job.id))
        if now - started[-1].started_at > self._settings.result_timeout:
            await self._no_result(job)

    async def _ask(self, provider_ref: int) -> JobStatus | None:
        """The provider's word now; None when it cannot be had."""
        try:
            status = await self._provider.status(provider_ref)
        except KeyRefused as error:
            self.key_refused(error)
            return None
        except GatewayError as error:
            log.info("status not known", fax=provider_ref, why=str(error))
            return None
        self._gate.open()
        return status

    async def _judge(self, job: FaxJob, told: Receipt | None, status: JobStatus | None, now: float) -> Result | None:
        """What is final: status when it agrees with the receipt or stands alone, history when they differ."""
        assert job.provider_ref is not None
        if status is not None and status.verdict is not Verdict.PROGRESS:
            if told is None or told.verdict is status.verdict:
                # the receipt names the cause, the status mostly only a text
                code = told.code if told else status.code
                return Result(status.verdict, code or status.code, (told.text if told else "") or status.text)
            listed = (await read_history(self._provider, job.created_at)).find(job.provider_ref)
            if listed is not None and listed.verdict is status.verdict:
                return Result(status.verdict, status.code, status.text)
            if listed is not None and listed.verdict is told.verdict:
                return Result(told.verdict, told.code, told.text)
        if told is not None and now - told.received_at > self._settings.confirm_timeout:
            return Result(told.verdict, told.code, told.text, confirmed=False)
        return None

    async def _end(self, job: FaxJob, result: Result) -> None:
        allowed = self._settings.redial.get(result.code, 0)
        if result.verdict is Verdict.FAILED and job.redials < allowed:
            now = self._clock()
            await self._database.write(
                lambda tx: jobs.change(
                    tx, job, JobState.UPLOADED, now,
                    f"{result.code}: {result.text}; dialling again ({job.redials + 1} of {allowed})",
                    redials=job.redials + 1, next_at=now + self._settings.redial_after, last_error=result.text,
                    provider_ref=None,
                )
            )  # fmt: skip
            telemetry.retry(job.id, step="redial", wait=self._settings.redial_after, why=result.text)
            return
        delivered = result.verdict is Verdict.SUCCESS
        await self._finish(
            job,
            JobState.DELIVERED if delivered else JobState.FAILED,
            MailKind.DELIVERED if delivered else MailKind.FAILED,
            code=result.code or ("ok" if delivered else "unknown"),
            text=result.text,
            confirmed=result.confirmed,
        )

    async def _no_result(self, job: FaxJob) -> None:
        """No final word ever came: end it as not known, and say so."""
        await self._finish(
            job,
            JobState.FAILED,
            MailKind.UNKNOWN,
            code="no_result",
            text="the provider took the fax but never reported what became of it",
        )

    # --- in_doubt -> submitted | uploaded | held ------------------------------------------------------------------

    async def doubt(self, job: FaxJob) -> None:
        """Look for a send without an answer in the history: adopt it, prove it absent, or leave it to a person."""
        assert job.document_ref is not None
        now = self._clock()
        polls = await self._database.write(lambda tx: jobs.count_poll(tx, job, self._settings.doubt_poll_after, now))
        if not polls:
            return
        attempt = (await self._database.read(lambda tx: jobs.attempts(tx, job.id)))[-1]
        reading = await read_history(self._provider, attempt.started_at)
        known = await self._database.read(lambda tx: jobs.known_refs(tx, job.id))
        ours = sorted(
            e.provider_ref for e in reading.sends_of(job.document_ref, job.number.digits) if e.provider_ref not in known
        )
        now = self._clock()
        if ours:
            await self._adopt(job, ours, now)
        elif reading.complete:
            await self._absent(job, now)
        else:
            log.warning("history not readable", id=job.id, why=reading.why)
            await self._database.write(lambda tx: jobs.note(tx, job.id, now, f"history not readable: {reading.why}"))
        if not ours and now - attempt.started_at > self._settings.doubt_give_up_after:
            await self._leave_to_person(job, "its outcome could not be found out")

    async def _adopt(self, job: FaxJob, refs: list[int], now: float) -> None:
        ref = refs[0]

        def commit(tx: Tx) -> bool:
            if not jobs.change(
                tx, job, JobState.SUBMITTED, now, f"found in the provider's history as fax {ref}", provider_ref=ref
            ):
                return False
            jobs.end_attempt(tx, job.id, job.attempts, now, "found", provider_ref=ref)
            receipts.adopt(tx, ref, job.id)
            if len(refs) > 1:
                outbox.add(
                    tx,
                    self._notices.operator(
                        f"duplicate.{job.id}",
                        now,
                        title=f"The provider has fax {job.id} twice",
                        text=f"Its history shows {len(refs)} sends of the same document to {job.number}:"
                        f" {', '.join(map(str, refs))}.",
                        remedy="Ask the provider why; the recipient may have received the fax more than once.",
                    ),
                )
            return True

        if await self._database.write(commit):
            telemetry.submit_ended(job.id, number=job.number.e164, outcome="found", provider_ref=ref)
        self._nudge()
        self._on_mail()

    async def _absent(self, job: FaxJob, now: float) -> None:
        polls, first = await self._database.write(lambda tx: jobs.good_poll(tx, job.id, job.attempts, now))
        if polls < self._settings.doubt_min_polls or now - first < self._settings.doubt_min_time:
            return
        earlier = await self._database.read(lambda tx: jobs.attempts(tx, job.id))
        if not self._settings.doubt_resend or any(attempt.outcome == "absent" for attempt in earlier):
            await self._leave_to_person(job, "the provider's history does not show it")
            return

        def commit(tx: Tx) -> bool:
            if not jobs.change(
                tx, job, JobState.UPLOADED, now,
                f"proven not sent: {polls} complete readings of the history over {round(now - first)} s do not show it;"
                " sending once more",
            ):  # fmt: skip
                return False
            jobs.end_attempt(tx, job.id, job.attempts, now, "absent", detail=f"{polls} negative readings")
            return True

        if await self._database.write(commit):
            telemetry.submit_ended(job.id, number=job.number.e164, outcome="absent")
        self._nudge()

    async def _leave_to_person(self, job: FaxJob, why: str) -> None:
        await self.hold(
            job,
            f"the fax may have been sent: {why}",
            tell=MailKind.UNKNOWN,
            remedy="Look for it in the history at the provider."
            f" If it was not sent: faxgateway queue retry {job.id}. If it was: faxgateway queue cancel {job.id}.",
        )

    # --- common ends ----------------------------------------------------------------------------------------------

    async def fail(self, job: FaxJob, *, code: str, text: str, status: str = "", attempt: str = "") -> None:
        """End a job as failed, with its notice; ``attempt`` is the outcome of the send it ends, if it ends one."""
        await self._finish(job, JobState.FAILED, MailKind.FAILED, code=code, text=text, status=status, attempt=attempt)

    async def _finish(
        self,
        job: FaxJob,
        state: JobState,
        kind: MailKind,
        *,
        code: str,
        text: str,
        status: str = "",
        confirmed: bool = True,
        attempt: str = "",
    ) -> None:
        """The final state and the mail that tells it, in one commit."""
        now = self._clock()

        def commit(tx: Tx) -> bool:
            if attempt:
                jobs.end_attempt(tx, job.id, job.attempts, now, attempt, detail=text)
            if not jobs.change(
                tx, job, state, now, f"{code}: {text}" + ("" if confirmed else " (reported by callback, not confirmed)"),
                outcome=code, last_error="" if state is JobState.DELIVERED else text,
            ):  # fmt: skip
                return False
            submission = jobs.get_submission(tx, job.submission)
            assert submission is not None
            mail = self._notices.result(
                kind, job, submission, now, code=code, text=text, status=status, confirmed=confirmed
            )
            if mail:
                outbox.add(tx, mail)
            return True

        if await self._database.write(commit):
            telemetry.ended(job.id, number=job.number.e164, state=state, code=code, why=text, took=now - job.created_at)
        self._on_mail()
        self._nudge()  # the provider's copy may go now

    async def cancel(self, job: FaxJob, *, silent: bool) -> bool:
        """Stop a job that was not submitted, or one in doubt that a person has decided about. False when too late."""
        now = self._clock()

        def commit(tx: Tx) -> bool:
            if JobState.CANCELLED not in TRANSITIONS[job.state] or not jobs.change(
                tx, job, JobState.CANCELLED, now, "cancelled by the operator", outcome="cancelled", hold=""
            ):
                return False
            submission = jobs.get_submission(tx, job.submission)
            assert submission is not None
            mail = None
            if not silent:
                mail = self._notices.result(
                    MailKind.FAILED, job, submission, now, code="cancelled", text="cancelled by the administrator"
                )
            if mail:
                outbox.add(tx, mail)
            return True

        done = await self._database.write(commit)
        if done:
            telemetry.ended(job.id, number=job.number.e164, state="cancelled", code="cancelled")
            self._on_mail()
            self._nudge()
        return done

    async def hold(self, job: FaxJob, why: str, *, tell: MailKind | None = None, remedy: str = "") -> bool:
        """Keep a job for a person and tell the operator; ``tell`` is the mail to the sender, if he should hear of it."""
        now = self._clock()

        def commit(tx: Tx) -> bool:
            if not jobs.hold(tx, job, now, why):
                return False
            submission = jobs.get_submission(tx, job.submission)
            assert submission is not None
            outbox.add(tx, self._held_notice(job, submission, now, why, remedy))
            mail = self._notices.result(tell, job, submission, now, code="held", text=why) if tell else None
            if mail:
                outbox.add(tx, mail)
            return True

        held = await self._database.write(commit)
        if held:
            telemetry.held(job.id, why=why)
            self._on_mail()
        return held

    def _held_notice(self, job: FaxJob, submission: Submission, now: float, why: str, remedy: str) -> OutgoingMail:
        return self._notices.operator(
            f"held.{job.id}.{int(now)}",
            now,
            title=f"Fax {job.id} is held",
            text=f"The fax from {submission.sender} to {job.number} is held: {why}",
            remedy=remedy or f"Mend the cause, then: faxgateway queue release {job.id} (or cancel it).",
        )

    def key_refused(self, error: KeyRefused) -> None:
        """Stop every send; the composition root raises the alarm and tries the key until it is right."""
        telemetry.provider_trouble("key-refused", str(error))
        self._gate.shut(error.public)


def _contradicts(job: FaxJob, receipt: Receipt) -> bool:
    if receipt.verdict is Verdict.PROGRESS:
        return False
    return (receipt.verdict is Verdict.SUCCESS) != (job.state is JobState.DELIVERED)
