"""A fax that has ended is found to have ended otherwise: its sender hears the truth, in a mail that says it corrects another.

A late receipt may tell so (settle.py). Where the provider said no, or nothing, to the last send, its history is looked into
once more before the document is deleted: a provider may do what it refused, and show it late.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from gateway.errors import TryLater
from gateway.model import Attempt, FaxJob, JobState, MailKind, OutgoingMail, Receipt, Verdict
from gateway.ports import JobStatus
from gateway.service.allowance import count_found
from gateway.service.notices import Notices
from gateway.store import jobs, outbox, receipts
from gateway.store.db import Database, Tx

log = structlog.get_logger("correction")

_ENDS = {Verdict.SUCCESS: MailKind.DELIVERED, Verdict.FAILED: MailKind.FAILED, Verdict.PROGRESS: MailKind.NO_RESULT}
_UNCONFIRMED = ("not_sent", "unknown", "absent")  # outcomes of an attempt that may have been made for all that


@dataclass(frozen=True, slots=True)
class Result:
    """A final result. ``confirmed`` is False when only a callback says so."""

    verdict: Verdict
    code: str
    text: str
    confirmed: bool = True


def is_late(job: FaxJob, receipt: Receipt) -> bool:
    """Whether it contradicts how the fax has ended. Of several calls one that arrived is enough."""
    if not job.state.terminal or receipt.verdict is Verdict.PROGRESS:
        return False
    arrived, told = receipt.verdict is Verdict.SUCCESS, job.state is JobState.DELIVERED
    if job.provider_ref != receipt.provider_ref:  # of an earlier call
        return arrived and not told
    return job.outcome == "no_result" or arrived != told


def to_operator(notices: Notices, job: FaxJob, receipt: Receipt, *, told: bool) -> OutgoingMail:
    """The notice of a late receipt; ``told``: its sender hears of it, too."""
    return notices.operator(
        f"late-receipt.{job.id}.{receipt.code}",
        receipt.received_at,
        title=f"A late receipt contradicts the result of fax {job.id}",
        text=f"The fax to {job.number} is {job.state}; of fax {receipt.provider_ref} the provider now reports"
        f" {receipt.verdict} ({receipt.code}): {receipt.text}",
        remedy="Nothing: the provider's records say so too, and the sender is told."
        if told
        else "Compare with the history at the provider and tell the sender, who was told the earlier result.",
    )


def correct(
    tx: Tx, notices: Notices, job: FaxJob, verdict: Verdict, now: float, *, code: str, text: str, confirmed: bool = True
) -> bool:
    """Tell the sender how a fax ended after all; PROGRESS: it was sent, and nobody knows. False when he was told so before.

    Of a fax that was cancelled without a word to him he hears nothing.
    """
    kind = _ENDS[verdict]
    told = [mail.kind for mail in outbox.of_cause(tx, job.id) if mail.kind in _ENDS.values()]
    if kind in told or (job.state is JobState.CANCELLED and not told):
        return False
    submission = jobs.submission_of(tx, job)
    sends = jobs.attempts(tx, job.id)
    mail = notices.result(
        kind, job, submission, now, code=code, text=text, confirmed=confirmed, submitted_at=sends[-1].started_at,
        corrects=told[-1] if told else "",
    )  # fmt: skip
    jobs.touch(
        tx, job, now, f"it ended otherwise: {code}: {text}", outcome=code, last_error=f"in the end: {code}: {text}"
    )
    return outbox.add(tx, mail)


class LateLook:
    """``listed`` finds a send that is not known in the history, ``ask`` its status; ``records`` says what is known of the call
    that a receipt tells of, or the last. ``patience`` in seconds for a result.
    """

    def __init__(
        self,
        database: Database,
        notices: Notices,
        listed: Callable[[FaxJob], Awaitable[int]],
        ask: Callable[[int], Awaitable[JobStatus | None]],
        records: Callable[[FaxJob, Receipt | None], Awaitable[Result | None]],
        *,
        patience: float,
        on_mail: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._notices = notices
        self._listed = listed
        self._ask = ask
        self._records = records
        self._patience = patience
        self._on_mail = on_mail
        self._clock = clock

    async def __call__(self, job: FaxJob) -> bool:
        """Whether all is known of a fax that has ended; it is corrected where the history belies its end."""
        attempts, told = await self._database.read(lambda tx: (jobs.attempts(tx, job.id), receipts.of_job(tx, job.id)))
        words = {receipt.provider_ref: receipt for receipt in told if receipt.verdict is not Verdict.PROGRESS}
        # the last word of a call has put right those before
        await self._weigh(job, [last for last in words.values() if is_late(job, last)])
        unsure = _unsure(attempts)
        if unsure is None:
            if job.outcome == "no_result" and job.provider_ref is not None:  # perhaps nobody could be asked then
                await self._weigh(job, [None])
            return True
        is_over = self._clock() - attempts[-1].started_at > self._patience
        try:
            ref = await self._listed(job)
        except TryLater as error:
            log.info("not known whether it was sent for all that", id=job.id, why=str(error))
            return is_over
        if not ref:
            return True
        status = await self._ask(ref)
        if status is None or status.verdict is Verdict.PROGRESS:
            if not is_over:
                return False
            status = JobStatus(
                Verdict.PROGRESS, "no_result", "the provider sent it, and what became of it could not be learned"
            )
        await self._adopt(job, unsure, ref, status)
        return True

    async def _weigh(self, job: FaxJob, told: Sequence[Receipt | None]) -> None:
        """Receipts that belie its end and came before it, or at that moment: of an earlier call of it, mostly. Without one:
        what the records themselves have.
        """
        for receipt in told:
            result = await self._records(job, receipt)
            if result is None or (receipt is not None and result.verdict is not receipt.verdict):
                continue
            now, code = self._clock(), result.code or ("ok" if result.verdict is Verdict.SUCCESS else "unknown")
            corrects = partial(correct, notices=self._notices, job=job, verdict=result.verdict, now=now)
            if await self._database.write(partial(corrects, code=code, text=result.text)):
                self._on_mail()

    async def _adopt(self, job: FaxJob, attempt: Attempt, ref: int, status: JobStatus) -> None:
        now = self._clock()
        code = status.code or {Verdict.SUCCESS: "ok"}.get(status.verdict, "unknown")

        def commit(tx: Tx) -> bool:
            what = f"found in the provider's history as fax {ref}, after it had ended"
            # beside another send, whose end was told, it counts for the sender only where it arrived
            is_news = attempt.n == job.attempts or status.verdict is Verdict.SUCCESS
            if not jobs.touch(tx, job, now, what, provider_ref=ref if is_news else job.provider_ref):
                return False
            if attempt.outcome == "not_sent":
                count_found(tx, job, attempt.n)
            jobs.end_attempt(tx, job.id, attempt.n, now, "found", provider_ref=ref)
            receipts.adopt(tx, ref, job.id)
            if not is_news:
                return False
            sent = jobs.get(tx, job.id)
            assert sent is not None
            return correct(tx, self._notices, sent, status.verdict, now, code=code, text=status.text)

        if await self._database.write(commit):
            self._on_mail()
        log.warning("a fax was sent that the provider had not confirmed", id=job.id, fax=ref, was=attempt.outcome)


def _unsure(attempts: Sequence[Attempt]) -> Attempt | None:
    """The send that may have been made for all that is known: the last without a yes, or one of which a person said that it was none."""
    for attempt in reversed(attempts):
        if attempt.detail == jobs.SAID_ABSENT:
            return attempt
        if attempt is attempts[-1] and attempt.outcome in _UNCONFIRMED:
            return attempt
    return None
