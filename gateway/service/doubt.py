"""A send without a clear answer: found in the provider's history, proven absent, or left to a person.

Each job has an upload of its own, so (document, number) is its identity in the history. Nothing is sent meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Set

import structlog

from gateway import telemetry
from gateway.model import FaxJob, JobState
from gateway.service.absence import Absence
from gateway.service.due import is_over
from gateway.service.ledgertime import boot_id
from gateway.service.notices import Notices
from gateway.service.settle import Settle, SettleSettings
from gateway.store import jobs, outbox, receipts, sends
from gateway.store.db import Database, Tx

log = structlog.get_logger("doubt")


class Doubt:
    """The step from in_doubt to submitted or uploaded, or to a hold. ``steady`` counts from the start of the machine."""

    def __init__(
        self,
        database: Database,
        absence: Absence,
        notices: Notices,
        settings: SettleSettings,
        settle: Settle,
        *,
        on_mail: Callable[[], None],
        nudge: Callable[[], None],
        clock: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._database = database
        self._absence = absence
        self._notices = notices
        self._settings = settings
        self._settle = settle
        self._on_mail = on_mail
        self._nudge = nudge
        self._clock = clock
        self._steady = steady
        self._boot = boot_id()

    async def __call__(self, job: FaxJob) -> None:
        """Look for a send without an answer in the history: adopt it, prove it absent, or leave it to a person."""
        assert job.document_ref is not None
        now = self._clock()
        polls = await self._database.write(lambda tx: jobs.count_poll(tx, job, self._settings.doubt_poll_after, now))
        if not polls:
            return
        attempts = await self._database.read(lambda tx: jobs.attempts(tx, job.id))
        attempt = attempts[-1]
        strange = await self._database.read(lambda tx: receipts.strange(tx, attempt.started_at))
        found = await self._absence.look(job)
        listed = {entry.provider_ref for entry in found.reading.sends_of(job.document_ref, job.number.digits)}
        listed -= {earlier.provider_ref for earlier in attempts if earlier.provider_ref is not None}
        listed -= await self._database.read(lambda tx: sends.of_others(tx, job))
        taken = await self._database.read(lambda tx: jobs.known_refs(tx, listed))
        ours = sorted(listed - taken)
        now = self._clock()
        if ours:
            await self._adopt(job, ours, now)
            return
        if taken:
            await self._settle.leave_to_person(
                job, f"the provider's history has it under the id of another fax, {min(taken)}"
            )
            return
        if not found.flaw:  # the proof goes on, and ends, however long nothing could be read before
            await self._absent(job, now, attempt.started_at, strange)
            return
        log.warning("the history proves nothing", id=job.id, why=found.flaw)
        await self._database.write(lambda tx: jobs.note(tx, job.id, now, f"no proof in the history: {found.flaw}"))
        waits = self._settings.doubt_poll_after
        if is_over(attempt.started_at, now, self._settings.doubt_give_up_after, polls, waits[-1]):
            await self._settle.leave_to_person(job, f"its outcome could not be found out ({found.flaw})")

    async def _adopt(self, job: FaxJob, refs: list[int], now: float) -> None:
        ref = refs[0]

        def commit(tx: Tx) -> bool:
            current = jobs.get(tx, job.id) or job
            hold = "" if current.may_be_sent else current.hold  # as a receipt of an earlier send told meanwhile
            if not sends.found(tx, job, ref, now, f"found in the provider's history as fax {ref}", hold=hold):
                return False
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

    async def _absent(self, job: FaxJob, now: float, begun_at: float, strange: Set[int]) -> None:
        """A reading does not show it; ``strange``: of which faxes only receipts had told since it was begun, before that reading."""
        # by a clock that is never set, for no wrong one may shorten the proof: time with the machine off is none
        boot, steady = self._boot, self._steady()
        polls, seconds = await self._database.write(lambda tx: jobs.good_poll(tx, job.id, job.attempts, boot, steady))
        if polls < self._settings.doubt_min_polls or seconds < self._settings.doubt_min_time:
            return
        earlier = await self._database.read(lambda tx: jobs.attempts(tx, job.id))
        if sum(attempt.outcome == "absent" for attempt in earlier) >= self._settings.doubt_resends:
            await self._settle.leave_to_person(job, "the provider's history does not show it")
            return

        def commit(tx: Tx) -> bool:
            if receipts.strange(tx, begun_at) - strange:
                return False  # it may be this one: all is looked at anew
            if not jobs.change(
                tx, job, JobState.UPLOADED, now,
                f"proven not sent: {polls} complete readings of the history over {round(seconds)} s do not show it;"
                " sending again",
            ):  # fmt: skip
                return False
            jobs.end_attempt(tx, job.id, job.attempts, now, "absent", detail=f"{polls} negative readings")
            return True

        if await self._database.write(commit):
            telemetry.submit_ended(job.id, number=job.number.e164, outcome="absent")
        self._nudge()
