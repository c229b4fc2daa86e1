"""What a comparison with the provider means for each fax: sent, held for a person, or free. One transaction for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.model import MAY_BE_SENT, FaxJob, JobState, MailKind
from gateway.ports import HistoryEntry
from gateway.service.allowance import count_found
from gateway.service.comparison import Comparison
from gateway.service.notices import Notices
from gateway.store import jobs, outbox, sends, waiting
from gateway.store.db import Tx


@dataclass(slots=True)
class Outcome:
    """What was decided."""

    found: list[tuple[FaxJob, int]] = field(default_factory=list)  # with the provider's id
    held: list[tuple[FaxJob, str]] = field(default_factory=list)  # with the reason
    free: int = 0


def may_be_sent_again(job: FaxJob, redial: Mapping[str, int]) -> bool:
    """Whether a job that has not ended may be sent without a person: one that is submitted only to dial again."""
    return job.state is not JobState.SUBMITTED or job.redials < max(redial.values(), default=0)


def decide(
    tx: Tx,
    comparison: Comparison,
    unsure: Sequence[FaxJob],
    notices: Notices,
    redial: Mapping[str, int],
    now: float,
    flaw: str,
) -> Outcome:
    """Move every job to where it is by all that is known; ``flaw``: why even one that was not found may have been sent."""
    outcome = Outcome()
    for job in unsure:
        judgement = comparison.judge(job)
        maybe = judgement.maybe or (flaw and f"the provider's history could not be relied on: {flaw}")
        if judgement.sent:
            _adopt(tx, job, judgement.sent, now)
            outcome.found.append((job, judgement.sent[-1].provider_ref))
        elif not maybe or (job.state is JobState.IN_DOUBT and not judgement.maybe):  # doubt.py goes on with that
            outcome.free += 1
        elif job.state is JobState.SUBMITTED:
            jobs.touch(tx, job, now, f"not dialled again: {maybe}", redials=max(redial.values()))
            outcome.free += 1
        elif not job.may_be_sent:
            _hold(tx, job, f"{MAY_BE_SENT}: {maybe}", notices, now)
            outcome.held.append((job, maybe))
    return outcome


def _adopt(tx: Tx, job: FaxJob, sent: Sequence[HistoryEntry], now: float) -> None:
    """Record sends that happened, as attempts, along the arrows they took."""
    if job.hold:
        jobs.release(tx, job, now)
    for fax in sent:
        job = _now(tx, job)
        if job.state is JobState.SUBMITTED:
            jobs.change(
                tx, job, JobState.UPLOADED, now, "it was dialled again", provider_ref=None, redials=job.redials + 1
            )
        job = _now(tx, job)
        if job.document_ref != fax.document_ref:
            if job.state is JobState.UPLOADED:
                jobs.change(tx, job, JobState.PREPARED, now, "it was uploaded again", document_ref=None)
            what = f"uploaded as {fax.document_ref}, as the provider's history shows"
            jobs.change(tx, _now(tx, job), JobState.UPLOADED, now, what, document_ref=fax.document_ref)
        attempt = jobs.begin_attempt(tx, _now(tx, job), now)
        assert attempt is not None, "it is uploaded, and not held"
        count_found(tx, job, attempt.n)
        what = f"found in the provider's history as fax {fax.provider_ref}"
        sends.found(tx, _now(tx, job), fax.provider_ref, now, what)


def _now(tx: Tx, job: FaxJob) -> FaxJob:
    fresh = jobs.get(tx, job.id)
    assert fresh is not None
    return fresh


def _hold(tx: Tx, job: FaxJob, why: str, notices: Notices, now: float) -> None:
    """Keep a job for a person, also one that was held for another reason; its sender hears of it."""
    jobs.hold(tx, job, now, why, instead=True)
    waiting.told(tx, job, now)  # that it was not sent would be another story
    submission = jobs.submission_of(tx, job)
    mail = notices.result(MailKind.UNKNOWN, job, submission, now, code="set_back", text=why)
    outbox.add(tx, mail)
