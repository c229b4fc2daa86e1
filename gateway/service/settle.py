"""Learning what became of a send, and the end of a job.

A callback is a hint, the API is the truth: a receipt makes us ask, and only what status or history says is told as a
final result, unless the API is away too long. A send without a clear answer is the business of doubt.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from gateway import telemetry
from gateway.errors import GatewayError, TryLater
from gateway.model import MAY_BE_SENT, Attempt, FaxJob, JobState, MailKind, Receipt, Verdict
from gateway.ports import FaxProvider, JobStatus
from gateway.service import correction
from gateway.service.correction import Result
from gateway.service.due import is_over
from gateway.service.gate import Gate
from gateway.service.history import History
from gateway.service.notices import Notices
from gateway.store import jobs, outbox, receipts, sends, waiting
from gateway.store.db import Database, Tx

log = structlog.get_logger("settle")

T = TypeVar("T")

_RECORD_PAUSE = 5.0  # seconds between tries to store the outcome of a send
_ANSWER_WITHIN = 20.0  # seconds: who calls back will not wait for long until his own records are read to their end


@dataclass(frozen=True, slots=True)
class SettleSettings:
    """All times in seconds. The last of each ``*_after`` list repeats.

    ``confirm_after``: waits between questions while a receipt waits to be confirmed. ``doubt_*``: when a send without
    an answer counts as proven absent (at least ``min_polls`` complete negative readings over at least ``min_time``), and
    when a person must decide (``give_up_after``). ``redial``: repeats after a clear failure, by code. A fax that could
    not be sent is given up ``expire_after`` its acceptance. ``alone``: nobody else sends at the expense of the account.
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
    doubt_resends: int = 3
    redial: Mapping[str, int] = field(default_factory=dict)
    redial_after: float = 300
    expire_after: float = 5 * 86400
    alone: bool = False


class Settle:
    """Owns submitted, the holds, and every way into a terminal state after the upload."""

    def __init__(
        self,
        database: Database,
        provider: FaxProvider,
        history: History,
        notices: Notices,
        settings: SettleSettings,
        *,
        gate: Gate,
        on_mail: Callable[[], None],
        nudge: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._provider = provider
        self._history = history
        self._notices = notices
        self._settings = settings
        self._gate = gate
        self._on_mail = on_mail
        self._nudge = nudge
        self._clock = clock

    # --- receipts -------------------------------------------------------------------------------------------------

    async def receipt(self, receipt: Receipt) -> None:
        """Keep a receipt; whom it concerns is asked about at once. Durable when this returns."""
        truth = await self._belied(receipt)
        arrived = f"{MAY_BE_SENT}: an earlier send of it, {receipt.provider_ref}, is now reported as successful"

        def commit(tx: Tx) -> tuple[bool, FaxJob | None, bool]:
            fresh = receipts.add(tx, receipt)
            job = jobs.by_provider_ref(tx, receipt.provider_ref)
            held = False
            if not fresh:
                return False, job, held
            if job is None:  # perhaps the answer to a send we know nothing of: look now
                for doubtful in jobs.in_state(tx, JobState.IN_DOUBT):
                    jobs.touch(tx, doubtful, doubtful.updated_at, next_at=receipt.received_at)
                return True, None, held
            jobs.note(
                tx, job.id, receipt.received_at, f"receipt: {receipt.verdict} {receipt.code} {receipt.text}".strip()
            )
            current = job.provider_ref == receipt.provider_ref
            if job.state is JobState.SUBMITTED and current:
                jobs.touch(tx, job, job.updated_at, next_at=receipt.received_at, polls=0)
            late = correction.is_late(job, receipt)
            again = not job.state.terminal and not current and receipt.verdict is Verdict.SUCCESS
            if again and job.state in (*waiting.UNSENT, JobState.IN_DOUBT) and not job.may_be_sent:  # it may go again
                # what else held it no longer counts: a release from that would send it
                held = self.hold_in(
                    tx, job, receipt.received_at, arrived, instead=True, tell=MailKind.UNKNOWN, code="late",
                    remedy=f"Ask the recipient. {_choice(job)}",
                )  # fmt: skip
            elif late or again:
                told = truth is not None and correction.correct(
                    tx, self._notices, job, truth.verdict, receipt.received_at,
                    code=truth.code or ("ok" if truth.verdict is Verdict.SUCCESS else "unknown"), text=truth.text,
                    confirmed=truth.confirmed,
                )  # fmt: skip
                outbox.add(tx, correction.to_operator(self._notices, job, receipt, told=told))
            return True, job, held

        fresh, job, held = await self._database.write(commit)
        telemetry.receipt(receipt.provider_ref, job=job.id if job else None, code=receipt.code, fresh=fresh)
        if fresh:
            self._nudge()
            self._on_mail()
        if held and job is not None:
            self.held(job, arrived)

    async def _belied(self, receipt: Receipt) -> Result | None:
        """What the provider's records say of a fax that has ended otherwise than this receipt has it; None for nothing.

        Asked before the receipt is kept: after a kill the provider tells it again. Where that takes too long it is left to a
        person, as where the provider is away.
        """
        job = await self._database.read(lambda tx: jobs.by_provider_ref(tx, receipt.provider_ref))
        if job is None or not correction.is_late(job, receipt):
            return None
        if not self._settings.confirm_receipts:
            return Result(receipt.verdict, receipt.code, receipt.text, confirmed=False)
        try:
            async with asyncio.timeout(_ANSWER_WITHIN):
                return await self.records(job, receipt)
        except TimeoutError:
            log.warning("the provider's records are slow; a late receipt is left to a person", fax=receipt.provider_ref)
            return None

    async def records(self, job: FaxJob, receipt: Receipt | None) -> Result | None:
        """What status and history have to say of the call that a receipt tells of, or the last; None for nothing certain."""
        ref, at = (receipt.provider_ref, receipt.received_at) if receipt else (job.provider_ref, self._clock())
        assert ref is not None
        return await self._judge(job, receipt, await self.ask(ref), at, agreed=False)

    # --- submitted -> delivered | failed --------------------------------------------------------------------------

    async def result(self, job: FaxJob) -> None:
        """Ask what became of a fax, and end it when the answer is final."""
        assert job.provider_ref is not None
        now = self._clock()
        heard = await self._database.read(lambda tx: receipts.of_job(tx, job.id))
        words = [r for r in heard if r.provider_ref == job.provider_ref and r.verdict is not Verdict.PROGRESS]
        told = words[-1] if words else None
        waits = self._settings.confirm_after if told else self._settings.poll_after

        polls = await self._database.write(lambda tx: jobs.count_poll(tx, job, waits, now))
        if not polls:
            return
        if told and not self._settings.confirm_receipts:
            await self._end(job, Result(told.verdict, told.code, told.text, confirmed=False), heard)
            return
        status = await self.ask(job.provider_ref)
        final = await self._judge(job, told, status, now, agreed=len({r.verdict for r in words}) == 1)
        if final is not None:
            await self._end(job, final, heard)
            return
        started = await self._database.read(lambda tx: jobs.attempts(tx, job.id))
        if is_over(started[-1].started_at, now, self._settings.result_timeout, polls, waits[-1]):
            await self._no_result(job, heard)

    async def ask(self, provider_ref: int) -> JobStatus | None:
        """The provider's word now; None when it cannot be had."""
        try:
            status = await self._provider.status(provider_ref)
        except GatewayError as error:
            if isinstance(error, TryLater):
                self._gate.failed(error)
            log.info("status not known", fax=provider_ref, why=str(error))
            return None
        self._gate.succeeded()
        return status

    async def _judge(
        self, job: FaxJob, told: Receipt | None, status: JobStatus | None, now: float, *, agreed: bool
    ) -> Result | None:
        """What is final: what status and receipt say alike; where they differ, or one is missing, what history says too.

        Asked of the call that ``told`` is of, else of the last. Of one whose id the history alone told it decides where its
        ids are its own: others speak of another fax by that id. Receipts that have not ``agreed`` are told only where another
        word confirms the last.
        """
        ref = told.provider_ref if told is not None else job.provider_ref
        attempts = await self._database.read(lambda tx: jobs.attempts(tx, job.id))
        call = next(attempt for attempt in attempts if attempt.provider_ref == ref)
        assert ref is not None
        if call.outcome == "found":
            reading = await self._history.read({ref})
            if reading.has_own_ids(await self._database.read(sends.answered)):
                entry = reading.find(ref, call.document_ref)
                if entry is None or entry.verdict is Verdict.PROGRESS:
                    return None
                return Result(entry.verdict, "", "told by its history alone")
        if status is not None and status.verdict is not Verdict.PROGRESS:
            if told is not None and told.verdict is status.verdict:
                # the receipt names the cause, the status mostly only a text
                return Result(status.verdict, told.code or status.code, told.text or status.text)
            listed = await self._history.find(ref, call.document_ref)
            if listed is status.verdict or (told is None and listed in (None, Verdict.PROGRESS)):
                return Result(status.verdict, status.code, status.text)
            if told is not None and listed is told.verdict:
                return Result(told.verdict, told.code, told.text)
        if told is not None and now - told.received_at > self._settings.confirm_timeout:
            if status is not None and status.verdict is not Verdict.PROGRESS:  # the API is the truth
                return Result(status.verdict, status.code, status.text)
            listed = await self._history.find(ref, call.document_ref)
            if listed in (Verdict.SUCCESS, Verdict.FAILED) and listed is not told.verdict:
                return Result(listed, "", "as the provider's history shows; its receipt said otherwise")
            if listed is told.verdict or agreed:
                return Result(told.verdict, told.code, told.text, confirmed=listed is told.verdict)
        return None

    async def _end(self, job: FaxJob, result: Result, heard: Sequence[Receipt]) -> None:
        """End it so, or dial again where that may be; where more than ``heard`` was told meanwhile, all is weighed anew."""
        earlier_arrived = any(r.provider_ref != job.provider_ref and r.verdict is Verdict.SUCCESS for r in heard)
        allowed = 0 if earlier_arrived else self._settings.redial.get(result.code, 0)
        # on the mere hint of a callback nothing is sent again, unless callbacks are to be believed
        sure = result.confirmed or not self._settings.confirm_receipts
        if result.verdict is Verdict.FAILED and job.redials < allowed and sure:
            now = self._clock()
            redials = await self._database.write(
                lambda tx: receipts.of_job(tx, job.id) == heard and jobs.change(
                    tx, job, JobState.UPLOADED, now,
                    f"{result.code}: {result.text}; dialling again ({job.redials + 1} of {allowed})",
                    redials=job.redials + 1, next_at=now + self._settings.redial_after, last_error=result.text,
                    provider_ref=None,
                )
            )  # fmt: skip
            if redials:
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
            heard=heard,
        )

    async def _no_result(self, job: FaxJob, heard: Sequence[Receipt]) -> None:
        """No final word ever came: end it as the history has it, else as not known, and say so."""
        assert job.provider_ref is not None
        listed = await self._history.find(job.provider_ref, job.document_ref)
        if listed in (Verdict.SUCCESS, Verdict.FAILED):
            await self._end(job, Result(listed, "", "told by its history alone"), heard)
            return
        await self._finish(
            job,
            JobState.FAILED,
            MailKind.NO_RESULT,
            code="no_result",
            text="the provider took the fax, and what became of it could not be learned",
            heard=heard,
        )

    # --- common ends ----------------------------------------------------------------------------------------------

    async def record(self, commit: Callable[[Tx], T]) -> T:
        """Store the outcome of a send, however long that takes: until then its place begins no other send."""
        while True:
            try:
                return await self._database.write(commit)
            except (TryLater, MemoryError) as error:
                log.error("the outcome of a send cannot be recorded yet", why=str(error) or repr(error))  # noqa: TRY400  # no fault here
                await asyncio.sleep(_RECORD_PAUSE)

    async def fail(self, job: FaxJob, *, code: str, text: str, attempt: str = "") -> None:
        """End a job as failed, with its notice; ``attempt`` is the outcome of the send it ends, if it ends one."""
        await self._finish(job, JobState.FAILED, MailKind.FAILED, code=code, text=text, attempt=attempt)

    async def _finish(
        self,
        job: FaxJob,
        state: JobState,
        kind: MailKind,
        *,
        code: str,
        text: str,
        confirmed: bool = True,
        attempt: str = "",
        heard: Sequence[Receipt] | None = None,
    ) -> None:
        """The final state and the mail that tells it, in one commit."""
        now = self._clock()

        def commit(tx: Tx) -> bool:
            if heard is not None and receipts.of_job(tx, job.id) != heard:  # more was told meanwhile
                return False
            if heard is None and not attempt and (current := jobs.get(tx, job.id)) and current.may_be_sent:
                return False  # as a receipt of an earlier call told meanwhile
            if attempt:
                jobs.end_attempt(tx, job.id, job.attempts, now, attempt, detail=text)
            made = jobs.attempts(tx, job.id)
            if not jobs.change(
                tx, job, state, now, f"{code}: {text}" + ("" if confirmed else " (reported by callback, not confirmed)"),
                outcome=code, last_error="" if state is JobState.DELIVERED else text, next_at=self._done_at(made, now),
            ):  # fmt: skip
                return False
            submission = jobs.submission_of(tx, job)
            mail = self._notices.result(
                kind, job, submission, now, code=code, text=text, confirmed=confirmed,
                submitted_at=made[-1].started_at if made else None, promised=_is_promised(tx, job),
            )  # fmt: skip
            outbox.add(tx, mail)
            return True

        if await (self.record(commit) if attempt else self._database.write(commit)):
            telemetry.ended(job.id, number=job.number.e164, state=state, code=code, why=text, took=now - job.created_at)
        self._on_mail()
        self._nudge()  # the provider's copy may go now

    def _done_at(self, made: Sequence[Attempt], now: float) -> float:
        """When the document of an ended fax is deleted: where it may have been sent for all that, the history is to show it."""
        unconfirmed = bool(made) and made[-1].provider_ref is None
        return now + (self._settings.doubt_min_time if unconfirmed else 0.0)

    async def cancel(self, job: FaxJob, *, silent: bool) -> bool:
        """Stop a job that was not submitted, or one in doubt that a person has decided about. False when too late."""
        now = self._clock()

        def commit(tx: Tx) -> bool:
            current = jobs.get(tx, job.id) or job  # what holds it may be new, and it may have been sent in vain
            # no one knows that it failed
            is_doubtful = current.state is JobState.IN_DOUBT or current.may_be_sent
            if current.state not in waiting.UNSENT and not current.state is job.state is JobState.IN_DOUBT:
                return False
            jobs.change(
                tx, current, JobState.CANCELLED, now, "cancelled by the operator",
                outcome="no_result" if is_doubtful else "cancelled", next_at=self._done_at(jobs.attempts(tx, job.id), now),
            )  # fmt: skip
            submission = jobs.submission_of(tx, job)
            kind = MailKind.NO_RESULT if is_doubtful else MailKind.FAILED
            if not silent:
                mail = self._notices.result(
                    kind, job, submission, now, code="cancelled", text="cancelled by the administrator",
                    promised=_is_promised(tx, job),
                )  # fmt: skip
                outbox.add(tx, mail)
            return True

        done = await self._database.write(commit)
        if done:
            telemetry.ended(
                job.id, number=job.number.e164, state="cancelled", code="cancelled", took=now - job.created_at
            )
            self._on_mail()
            self._nudge()
        return done

    async def hold(
        self, job: FaxJob, why: str, *, tell: MailKind = MailKind.DELAYED, remedy: str = "", to: str = ""
    ) -> bool:
        """Keep a job for a person; he is told, at ``to`` or as the operator, and the sender by a mail of the kind ``tell``."""
        now = self._clock()
        held = await self._database.write(lambda tx: self.hold_in(tx, job, now, why, tell=tell, remedy=remedy, to=to))
        if held:
            self.held(job, why)
        return held

    async def leave_to_person(self, job: FaxJob, why: str) -> None:
        """Hold one of which nobody knows whether it was sent."""
        remedy = f"Look for it in the history at the provider. {_choice(job)}"
        if job.state is JobState.IN_DOUBT:  # what hindered its proof, a refused key say, may be over
            remedy += f" To have it looked for again by itself: faxgateway queue release {job.id}."
        await self.hold(job, f"{MAY_BE_SENT}: {why}", tell=MailKind.UNKNOWN, remedy=remedy)

    def hold_in(
        self,
        tx: Tx,
        job: FaxJob,
        now: float,
        why: str,
        *,
        instead: bool = False,
        tell: MailKind = MailKind.DELAYED,
        code: str = "held",
        remedy: str = "",
        to: str = "",
    ) -> bool:
        """:meth:`hold` within a transaction, ``instead`` of what holds it already; :meth:`held` follows its commit."""
        if not jobs.hold(tx, job, now, why, instead=instead):
            return False
        submission = jobs.submission_of(tx, job)
        about = f' "{submission.subject}"' if submission.subject else ""
        outbox.add(
            tx,
            self._notices.operator(
                f"held.{job.id}.{int(now)}",
                now,
                title=f"The fax from {submission.sender} to {job.number} is held ({job.id})",
                text=f"The fax{about} from {submission.sender} to {job.number} is held: {why}",
                remedy=remedy or f"Mend the cause, then: faxgateway queue release {job.id} (or cancel it).",
                to=to,
            ),
        )
        is_news = waiting.told(tx, job, now)  # and no later mail says that it was not sent
        if tell is MailKind.DELAYED and not is_news:
            return True
        mail = self._notices.result(tell, job, submission, now, code=code, text=why)
        outbox.add(tx, mail)
        return True

    def held(self, job: FaxJob, why: str) -> None:
        telemetry.held(job.id, why=why)
        self._on_mail()

    async def delayed(self, job: FaxJob) -> None:
        """Tell the sender, once, that his fax waits, and the operator, once a day, that faxes wait for so long."""
        now = self._clock()

        def commit(tx: Tx) -> bool:
            current = jobs.get(tx, job.id)
            if current is None or current.state not in waiting.UNSENT or not waiting.told(tx, current, now):
                return False
            submission = jobs.submission_of(tx, current)
            code, why = "waiting", current.last_error or self._gate.why or "it has not had its turn yet"
            if current.hold:
                code, why = "held", "the people who run the gateway hold it"
            else:
                outbox.add(tx, self._notices.waiting(current, why, now))
            jobs.note(tx, current.id, now, f"the sender is told that it waits: {why}")
            waits, until = code == "waiting", current.wanted_at + self._settings.expire_after
            mail = self._notices.result(  # after a long stop these times may be past
                MailKind.DELAYED, current, submission, now, code=code, text=why,
                next_at=current.next_at if waits and self._gate.is_open and current.next_at > now else None,
                retry_until=until if waits and until > now else None,
            )  # fmt: skip
            outbox.add(tx, mail)
            return True

        if await self._database.write(commit):
            self._on_mail()


def _is_promised(tx: Tx, job: FaxJob) -> bool:
    """Whether the sender was told that he hears how the fax ends."""
    return any(mail.kind in (MailKind.DELAYED, MailKind.UNKNOWN) for mail in outbox.of_cause(tx, job.id))


def _choice(job: FaxJob) -> str:
    """What a person does about a fax that may have been sent."""
    return f"If it was not sent: faxgateway queue retry --resend {job.id}. If it was: faxgateway queue cancel {job.id}."
