"""The send: the intent is committed, the request made once, the answer committed. Nothing here sends twice.

The price is asked for before, and the account's balance noted: where no answer comes it is a witness of what happened.
A no is believed, but before it is told as final, and before a fax is tried again, the history is looked into: a provider
may say no to what it does, and show it late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import structlog

from gateway import telemetry
from gateway.errors import (
    GatewayError,
    KeyRefused,
    NotFound,
    OutcomeUnknown,
    Refused,
    SlowDown,
    TryLater,
)
from gateway.faultpoint import reach
from gateway.model import MAY_BE_SENT, Attempt, FaxJob, JobState, OutgoingMail, Verdict
from gateway.ports import FaxProvider, Submitted
from gateway.service.absence import Absence, Witnesses, witnesses
from gateway.service.allowance import Allowance, How, Stop
from gateway.service.credit import Credit
from gateway.service.due import is_over
from gateway.service.gate import Gate
from gateway.service.history import History
from gateway.service.patience import Patience
from gateway.service.settle import Settle, SettleSettings
from gateway.store import jobs, outbox, receipts, sends, uploads, witness
from gateway.store.db import Database, Tx

log = structlog.get_logger("submit")

_UPLOADS = 3  # sends of a job after which a document that the provider loses is not uploaded once more
_STALE = 600.0  # seconds after which the balance is asked for again


class Submit:
    """The step from uploaded to submitted, in_doubt, back to uploaded or prepared, or to a failure."""

    def __init__(
        self,
        database: Database,
        provider: FaxProvider,
        history: History,
        absence: Absence,
        settings: SettleSettings,
        settle: Settle,
        patience: Patience,
        allowance: Allowance,
        credit: Credit,
        *,
        gate: Gate,
        on_mail: Callable[[], None],
        nudge: Callable[[], None],
        clock: Callable[[], float],
        steady: Callable[[], float],
    ) -> None:
        self._database = database
        self._provider = provider
        self._history = history
        self._absence = absence
        self._settings = settings
        self._settle = settle
        self._patience = patience
        self._allowance = allowance
        self._credit = credit
        self._gate = gate
        self._on_mail = on_mail
        self._nudge = nudge
        self._clock = clock
        self._steady = steady
        self._balance: witness.Balance | None = None
        self._balance_at = -math.inf  # steady time of the last answer

    async def __call__(self, job: FaxJob) -> None:
        """Send a fax, unless something speaks against it."""
        now = self._clock()

        def strike(tx: Tx) -> int:
            self._allowance.note_time(tx)
            return jobs.strike(tx, job, now, now + self._patience.longest)

        tries = await self._database.write(strike)
        if not tries:
            return
        account = self._provider.account
        earlier, told, events, is_elsewhere, strange = await self._database.read(
            lambda tx: (
                jobs.attempts(tx, job.id), receipts.of_job(tx, job.id), jobs.events(tx, job.id),
                uploads.is_elsewhere(tx, job, account), receipts.strange(tx, job.created_at),
            )
        )  # fmt: skip
        since = _let_go_at(events)  # what was told before, that person has seen; behind it stands a redial in vain
        arrived = [each.provider_ref for each in told if each.verdict is Verdict.SUCCESS and each.received_at > since]
        if arrived:
            await self._settle.leave_to_person(job, f"an earlier send of it, {arrived[0]}, is reported as successful")
            return
        listed = await self._look(job, earlier, tries)
        if listed is None:
            return
        if is_elsewhere and not listed:
            await self._database.write(lambda tx: uploads.again(tx, job, self._clock()))
            self._nudge()
            return
        try:
            cost = job.cost if listed else await self._cost(job)
        except TryLater as error:
            self._gate.failed(error)
            await self._patience.put_off(job, "cost", error, tries, self._clock())
            return
        balance = await self._known_balance()
        now = self._clock()
        if not self._gate.is_open:  # shut by another call meanwhile: no try of this job, which waits for the gate
            await self._database.write(lambda tx: jobs.touch(tx, job, now, next_at=job.next_at, strikes=tries - 1))
            return

        def begin(tx: Tx) -> FaxJob | Stop | None:
            if _may_be_listed(earlier) and receipts.strange(tx, job.created_at) - strange:
                return None  # it may be this one: all is looked at anew
            is_counted = bool(listed) and earlier[-1].outcome == "absent"  # that send, which stays in the sums
            return self._begin(tx, job, cost, balance, now, listed=bool(listed), is_counted=is_counted)

        begun = await self._database.write(begin)
        if isinstance(begun, Stop):
            await self._stop(job, begun, tries)
        elif begun is not None and listed:
            await self._found(begun, listed)
        elif begun is not None:
            await self._send(begun, tries, place=job.next_at)

    async def _look(self, job: FaxJob, earlier: Sequence[Attempt], tries: int) -> int | None:
        """The id of a send that the provider had denied and shows now, 0 for none; None where none may be made, which is seen to."""
        if not _may_be_listed(earlier):
            stop = await self._database.read(lambda tx: self._allowance.judge(tx, job, None, asked=False))
            if stop is None:
                return 0
            await self._stop(job, stop, tries)
            return None
        try:
            listed = await self.listed(job)
        except TryLater as error:
            await self._not_told(job, earlier[-1], error, tries)
            return None
        if not listed and self._patience.is_too_old(job, tries, self._clock()):
            await self._patience.expire(job, job.last_error or earlier[-1].detail)
            return None
        return listed

    def _begin(
        self,
        tx: Tx,
        job: FaxJob,
        cost: Decimal | None,
        balance: witness.Balance | None,
        now: float,
        *,
        listed: bool,
        is_counted: bool,
    ) -> FaxJob | Stop | None:
        """The intent of a send, with what it takes from the limits: both or neither. None when the job is not free."""
        stop = self._allowance.judge(tx, job, cost) if not listed else None
        if stop is not None:
            return stop
        attempt = jobs.begin_attempt(tx, job, now, cost)
        if attempt is None:
            return None
        if not is_counted:
            self._allowance.reserve(tx, job, attempt.n, cost)
        if balance is not None:
            witness.note_balance(tx, job.id, attempt.n, balance)
        return jobs.get(tx, job.id)

    async def _send(self, job: FaxJob, tries: int, *, place: float) -> None:
        """The one request; ``place`` is the job's place in the queue. However it goes, it ends: no loop takes up a send."""
        try:
            await self._request(job, tries, place)
        except Exception as error:
            log.exception("unexpected failure of a send", id=job.id)
            await self._in_doubt(job, OutcomeUnknown("the send ended in an unexpected way", repr(error)))

    async def _request(self, job: FaxJob, tries: int, place: float) -> None:
        assert job.document_ref is not None
        try:
            reach("provider.sending")
            submitted = await self._provider.submit(job.document_ref, job.number, job.tsi)
            reach("provider.sent")
        except Refused as error:
            self._gate.succeeded()
            await self._refused(job, error, tries, place=place)
        except TryLater as error:
            self._gate.failed(error)
            await self._not_now(job, error, tries, place=place)
        except OutcomeUnknown as error:
            self._gate.failed(error)
            await self._in_doubt(job, error)
        else:
            self._gate.succeeded()
            self._gate.paid()
            await self._submitted(job, submitted)

    async def _cost(self, job: FaxJob) -> Decimal | None:
        """The price, which is wanted, not needed: a provider that cannot tell it may still send.

        Raises KeyRefused, SlowDown.
        """
        assert job.document_ref is not None
        try:
            return await self._provider.cost(job.document_ref, job.number)
        except (KeyRefused, SlowDown):
            raise
        except GatewayError as error:
            log.info("cost unknown", id=job.id, why=str(error))
            return None

    async def _known_balance(self) -> witness.Balance | None:
        """What the account holds, as far as we know; asked for when that was told long ago, or never."""
        if self._steady() - self._balance_at > _STALE:
            try:
                await self._learn(await self._provider.balance())
            except GatewayError as error:
                self._balance = None
                if isinstance(error, Refused):  # a provider that tells none is not asked before every send
                    self._balance_at = self._steady()
                log.info("balance unknown", why=str(error))
        return self._balance

    async def _learn(self, amount: Decimal) -> None:
        event = await self._database.read(witness.last_event)
        self._balance, self._balance_at = witness.Balance(amount, event), self._steady()
        telemetry.balance(float(amount))

    async def _submitted(self, job: FaxJob, submitted: Submitted) -> None:
        now = self._clock()
        first_poll = now + self._settings.poll_after[0]
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

        if not await self._settle.record(commit):
            await self._in_doubt(job, OutcomeUnknown("the provider answered with the id of another fax", f"fax {ref}"))
            return
        telemetry.submit_ended(
            job.id, number=job.number.e164, outcome="sent", provider_ref=submitted.provider_ref, why=submitted.text
        )
        if submitted.balance is not None:
            await self._learn(submitted.balance)
        self._nudge()

    async def _stop(self, job: FaxJob, stop: Stop, tries: int) -> None:
        """It may not be sent now: nothing was begun."""
        now = self._clock()
        match stop.how:
            case How.WAITS:
                await self._database.write(lambda tx: self._allowance.tell(tx, job, stop, now))
                await self._patience.put_off(job, "limit", TryLater(stop.why, after=stop.after), tries, now)
            case How.HELD:
                remedy = (
                    f"{stop.about} To let it go: faxgateway queue release {job.id}. To end it: faxgateway queue cancel"
                    f" {job.id}."
                )
                await self._settle.hold(job, stop.why, remedy=remedy, to=stop.approver)
            case How.STOPS:
                for held in await self._database.write(lambda tx: self._allowance.stop_sender(tx, job, stop, now)):
                    telemetry.held(held.id, why=stop.why)
            case How.FAILS:
                code = "over_limit" if stop.cap else "denied"
                await self._settle.fail(job, code=code, text=stop.why)
        self._on_mail()

    async def _refused(self, job: FaxJob, error: Refused, tries: int, *, place: float) -> None:
        """A clear no, unless the history shows the fax. Where that cannot be seen, nothing is told as final."""
        is_lost = isinstance(error, NotFound) and job.attempts < _UPLOADS
        listed = 0
        try:
            listed = await self.listed(job)
        except TryLater as trouble:
            if is_lost:  # before it is sent again, the history is asked
                await self._not_now(job, trouble, tries, place)
                return
            if not self._credit.is_wanted(error):  # else so too
                why = f"the provider said no ({error.public}), and its history cannot be read to be sure of it"
                await self._in_doubt(job, OutcomeUnknown(why, str(trouble)))
                return
        if listed:
            await self._found(job, listed)
        elif is_lost:
            await self._lost_document(job, error)
        else:
            await self._not_sent(job, error, tries, place=place)

    async def listed(self, job: FaxJob) -> int:
        """The provider's id of a send of this job that the history shows and we do not know, 0 for none.

        Raises TryLater when the provider cannot tell now.
        """

        account = self._provider.account

        def facts(tx: Tx) -> tuple[list[Attempt], set[int], Witnesses | None]:
            attempts, begun = jobs.attempts(tx, job.id), witness.suspect(tx, job.id, 1).begun
            proven = (attempt for attempt in attempts if attempt.outcome == "absent" and not _is_said(attempt))
            by = next((witnesses(tx, account, attempt) for attempt in proven), None)
            return attempts, witness.sent_before(tx, begun), by

        attempts, older, by = await self._database.read(facts)
        reading = await self._history.read(older)
        documents = {attempt.document_ref for attempt in attempts}
        shown = {entry.provider_ref for ref in documents for entry in reading.sends_of(ref, job.number.digits)}
        if unknown := shown - await self._database.read(lambda tx: jobs.known_refs(tx, shown)):
            return min(unknown)
        if isinstance(reading.error, TryLater):
            raise reading.error
        # good lists have proven it absent, and no worse one shows that it still is
        if by is not None and (flaw := await self._absence.flaw_of(reading, by)):
            raise TryLater(flaw)
        earlier = {attempt.provider_ref for attempt in attempts}
        astray = (reading.astray(ref, job.number.digits, earlier) for ref in documents)
        if flaw := next(filter(None, astray), ""):
            raise TryLater(flaw)
        return 0

    async def _not_told(self, job: FaxJob, last: Attempt, error: TryLater, tries: int) -> None:
        """The history cannot tell whether a no was a lie: asked again later, until the fax is too old to be sent. One that it
        did not show for long is in doubt again, and no longer than that.
        """
        now, settings = self._clock(), self._settings
        limit, pause = settings.doubt_give_up_after, settings.doubt_poll_after[-1]
        if last.outcome == "absent" and is_over(last.started_at, now, limit, tries, pause):
            await self._settle.leave_to_person(job, f"its outcome could not be found out ({error.public})")
        elif self._patience.is_too_old(job, tries, now):
            await self._settle.leave_to_person(job, _unsure(error))
        else:
            await self._patience.put_off(job, "history", error, tries, now)

    async def give_up(self, job: FaxJob) -> None:
        """End a fax that is too old while nothing can be sent for anybody; a person decides where it may have been sent."""
        attempts = await self._database.read(lambda tx: jobs.attempts(tx, job.id))
        if _may_be_listed(attempts):
            try:
                listed = await self.listed(job)
            except TryLater as error:
                await self._settle.leave_to_person(job, _unsure(error))
                return
            if listed:
                await self._settle.leave_to_person(
                    job, f"by the provider's word it was not, and its history shows it as fax {listed}"
                )
                return
        await self._patience.expire(job, job.last_error or self._gate.why or "the fax provider takes nothing")

    async def _found(self, job: FaxJob, ref: int) -> None:
        """The provider sent a fax to which it said no, or that its history did not show for long."""
        now = self._clock()

        def commit(tx: Tx) -> None:
            what = f"found in the provider's history as fax {ref}, though by its word it was not sent"
            sends.found(tx, job, ref, now, what)

        await self._settle.record(commit)
        log.warning("a fax was sent that the provider had refused or not shown", id=job.id, fax=ref)
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="found", provider_ref=ref)
        self._nudge()

    async def _not_sent(self, job: FaxJob, error: Refused, tries: int, *, place: float) -> None:
        """A clear, permanent no; one for want of credit lasts until the account is paid."""
        if self._credit.is_wanted(error):
            verdict, alarm = await self._credit.lacks(job, error)
            await self._not_now(job, verdict, tries, place, alarm=alarm)
            return
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="not_sent", why=str(error))
        await self._settle.fail(job, code="refused", text=error.public, attempt="not_sent")

    async def _not_now(
        self, job: FaxJob, error: TryLater, tries: int, place: float, *, alarm: OutgoingMail | None = None
    ) -> None:
        """Provably not sent, and worth another try: the same document goes again later, or is given up by then."""
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="not_now", why=str(error))
        now = self._clock()
        columns = self._patience.after(error, replace(job, next_at=place), tries, now)

        def commit(tx: Tx) -> None:
            self._back(tx, job, error, now, **columns)
            outbox.add(tx, alarm)

        await self._settle.record(commit)
        self._on_mail()
        telemetry.retry(job.id, step="submit", wait=max(0.0, columns["next_at"] - now), why=str(error))

    def _back(self, tx: Tx, job: FaxJob, error: GatewayError, now: float, **columns: Any) -> None:
        """An attempt that provably sent nothing: submitting -> uploaded."""
        jobs.end_attempt(tx, job.id, job.attempts, now, "not_sent", detail=error.public)
        jobs.change(tx, job, JobState.UPLOADED, now, f"not sent: {error.public}", last_error=error.public, **columns)

    async def _lost_document(self, job: FaxJob, error: Refused) -> None:
        """The provider does not know our upload (any more): provably not sent; upload again, a few times."""
        now = self._clock()

        def commit(tx: Tx) -> None:
            self._back(tx, job, error, now)
            back = jobs.get(tx, job.id)
            assert back is not None
            jobs.change(
                tx, back, JobState.PREPARED, now, "the provider lost the document; uploading again",
                document_ref=None, next_at=now + self._patience.first,
            )  # fmt: skip

        await self._settle.record(commit)
        telemetry.submit_ended(job.id, number=job.number.e164, outcome="not_sent", why=str(error))

    async def _in_doubt(self, job: FaxJob, error: OutcomeUnknown) -> None:
        now = self._clock()

        def commit(tx: Tx) -> bool:
            if not jobs.change(
                tx, job, JobState.IN_DOUBT, now, f"outcome unknown: {error}",
                next_at=now + self._settings.doubt_poll_after[0], last_error=error.public,
            ):  # fmt: skip
                return False  # its outcome is recorded, and what failed came behind that
            jobs.end_attempt(tx, job.id, job.attempts, now, "unknown", detail=str(error))
            return True

        if await self._settle.record(commit):
            telemetry.submit_ended(job.id, number=job.number.e164, outcome="unknown", why=str(error))
        self._nudge()


def _may_be_listed(attempts: Sequence[Attempt]) -> bool:
    """Whether the history may show the last send by now: the provider said no to it, or did not list it for long.

    What a person said of it stands.
    """
    last = attempts[-1] if attempts else None
    return last is not None and last.outcome in ("not_sent", "absent") and not _is_said(last)


def _is_said(attempt: Attempt) -> bool:
    """Whether a person says that it was not sent."""
    return attempt.detail == jobs.SAID_ABSENT


def _unsure(error: GatewayError) -> str:
    return f"by the provider's word it was not, and its history cannot be read to be sure of it ({error.public})"


def _let_go_at(events: Sequence[jobs.Event]) -> float:
    """When a person was the last time asked whether a fax was sent, and let it go for all that.

    Who releases one in doubt has it looked for once more, and says nothing of that.
    """
    at, is_asked = -math.inf, False
    for event in events:
        if event.what.startswith(f"held: {MAY_BE_SENT}"):
            is_asked = True
        elif event.what == jobs.RELEASED and is_asked and event.to_state != JobState.IN_DOUBT:
            at, is_asked = event.at, False
    return at
