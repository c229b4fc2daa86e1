"""A database that may be older than reality: nothing is sent before each fax was looked for in the provider's history.

So it is after a restored backup (the database is marked), on a copied state directory (its file is at another place), and
after a machine was set back (the provider shows what the database does not know). Mail and received faxes are accepted
meanwhile. What is decided is decided in one transaction, so that a kill only means to look again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Set

import structlog

from gateway import telemetry
from gateway.errors import GatewayError, TryLater
from gateway.model import FaxJob, OutgoingMail
from gateway.ports import FaxProvider, HistoryEntry, StoredFile
from gateway.service import leftovers
from gateway.service.absence import lacks, money_is_gone
from gateway.service.aftermath import Outcome, decide, may_be_sent_again
from gateway.service.comparison import Comparison, Known, Shown
from gateway.service.due import end
from gateway.service.gate import Gate
from gateway.service.history import History, Reading
from gateway.service.notices import Notices, capital
from gateway.service.settle import SettleSettings
from gateway.store import divided, origin, outbox, repeats, sends, uploads, witness
from gateway.store.db import Database, Tx
from gateway.store.origin import Compared, Mark

log = structlog.get_logger("reconcile")

_COPIED = "the state directory is a copy, and the one it was copied from may have sent faxes since"
_LISTED = 50  # faxes named in a notice
_PAUSE = 5.0  # seconds after a failure of ours


class Reconcile:
    """Keeps the gate until what is not known was looked for. ``steady`` is a clock that is never set."""

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
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
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
        self._steady = steady
        self._mark: Mark | None = None
        self._last = 0  # row of the last job that was there at the start
        self._accepted_at = 0.0  # when its mail came
        self._task: asyncio.Task[None] | None = None
        self._seen: dict[int, HistoryEntry] = {}  # in any reading
        self._readings = 0  # good ones
        self._began = 0.0  # steady time of the first look
        self._good_since: float | None = None
        self._flawed_since: float | None = None
        self._trouble = ""

    @property
    def state(self) -> dict[str, str] | None:
        """Why nothing is sent, and what hinders; None when all is well."""
        return None if self._mark is None else {"why": self._mark.why, "trouble": self._trouble}

    # --- life -----------------------------------------------------------------------------------------------------

    async def begin(self) -> bool:
        """At a start, before anything is sent: whether :meth:`look` is needed. Keeps the gate then."""
        now, place = self._clock(), self._database.place

        def commit(tx: Tx) -> tuple[Mark | None, int, float, bool]:
            mark = origin.read(tx)
            if origin.was_elsewhere(tx, place):
                mark = origin.mark(tx, mark.why if mark else _COPIED, now)
            origin.settle_at(tx, place)
            last = mark.last if mark else origin.newest_row(tx)
            waits = bool(self._unsure(tx, last))
            if mark:
                divided.set_back(tx)
            if mark and waits:
                outbox.add(tx, self._alarm(mark, now))
            elif mark:
                self._decide(tx, mark, None, now, "")
            return mark, last, repeats.last_accepted(tx) or 0.0, waits

        mark, self._last, self._accepted_at, waits = await self._database.write(commit)
        self._began = self._steady()
        if mark and waits:
            self._enter(mark)
        elif waits:
            self._gate.keep("the provider is asked first whether it has faxes that are not known here")
        return waits

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="reconcile")

    async def stop(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        wait: float | None = 0.0
        while wait is not None:
            await asyncio.sleep(wait)
            try:
                wait = await self.look()
            except GatewayError as error:
                log.warning("the comparison with the provider did not end", why=str(error))
                wait = _PAUSE
            except Exception:
                log.exception("unexpected failure; nothing is sent meanwhile")
                wait = _PAUSE
        self._seen.clear()

    # --- one look -------------------------------------------------------------------------------------------------

    async def look(self) -> float | None:
        """Ask the provider once; returns when to ask again, in seconds, or None when sends may go on."""
        waits = self._settings.doubt_poll_after
        if not self._gate.may_ask:
            return waits[0]
        if self._mark is None:
            return await self._check()
        reading, files, flaw = await self._ask(frozenset())
        flaw = flaw or await self._forgets(reading)
        now = self._steady()
        if flaw and flaw != self._trouble:
            log.warning("the history proves nothing yet", why=flaw)
        self._trouble = flaw
        if not flaw:
            self._readings += 1
            self._good_since = now if self._good_since is None else self._good_since
            left = self._settings.doubt_min_time - (now - self._good_since)
            if self._readings >= self._settings.doubt_min_polls and left <= 0:
                await self._end(files, "")
                return None
            pause = waits[min(self._readings, len(waits)) - 1]
            return min(pause, left) if left > 0 else pause
        if reading.entries or reading.error is None:  # the provider answers, and still it proves nothing
            self._flawed_since = now if self._flawed_since is None else self._flawed_since
            if now - self._flawed_since > self._settings.doubt_give_up_after:
                await self._end(files, flaw)
                return None
        return waits[0]

    async def _check(self) -> float | None:
        """After a start like any other: does the provider show anything that a database of today would know?"""
        known = await self._database.read(lambda tx: witness.sent_before(tx, witness.last_event(tx) + 1))
        _, files, flaw = await self._ask(known)
        now = self._clock()

        def commit(tx: Tx) -> Mark | None:
            old = self._comparison(tx, self._shown(files), now).is_old(self._unsure(tx, self._last))
            if not old:
                return None
            mark = origin.mark(tx, f"the gateway's records are older than what was sent: {old}", now, self._last)
            divided.set_back(tx)
            outbox.add(tx, self._alarm(mark, now))
            return mark

        mark = await self._database.write(commit)
        if mark:
            self._enter(mark)
            return 0.0
        if flaw and self._steady() - self._began < self._settings.doubt_min_time:
            log.info("the provider cannot be asked yet what was sent", why=flaw)
            return self._settings.doubt_poll_after[0]
        if flaw:
            log.warning("the provider could not be asked what was sent; sending all the same", why=flaw)
        self._gate.let_go()
        return None

    def _enter(self, mark: Mark) -> None:
        self._mark = mark
        log.warning("nothing is sent before it was looked for in the provider's history", why=mark.why)
        self._gate.keep(f"{mark.why}; what was sent is looked up at the provider first")
        self._on_mail()

    async def _ask(self, older: Set[int]) -> tuple[Reading, list[StoredFile] | None, str]:
        """The history and the documents; the text says why they prove nothing, "" when they do."""
        witnesses = await self._database.read(witness.listed_by_rights)
        reading = await self._history.read(older)
        self._seen.update((entry.provider_ref, entry) for entry in reading.entries)
        flaw = lacks(reading, witnesses) if reading.complete else reading.why
        try:
            return reading, await leftovers.listed(self._provider), flaw
        except TryLater as error:
            self._gate.failed(error)
            return reading, None, flaw or f"the documents at the provider cannot be listed: {error.public}"
        except GatewayError:  # this provider lists none
            return reading, None, flaw

    async def _forgets(self, reading: Reading) -> str:
        """Why a whole list may lack faxes all the same, above all such as have ended; "" when nothing tells so."""

        def facts(tx: Tx) -> tuple[Set[int], Set[int], Set[int], witness.Balance | None]:
            return witness.erased(tx), witness.known(tx), sends.sent(tx, reading.refs), witness.last_balance(tx)

        erased, known, sent, balance = await self._database.read(facts)
        if erased and reading.refs.isdisjoint(erased):
            return "the list shows no fax whose document was deleted: it forgets them, or is of another account"
        seen = not reading.refs.isdisjoint(known)
        if reading.refs <= sent and (self._settings.alone or not seen):
            return await money_is_gone(self._database, self._provider, balance, "")
        return ""

    # --- the end --------------------------------------------------------------------------------------------------

    async def _end(self, files: list[StoredFile] | None, flaw: str) -> None:
        """Decide about all faxes at once, and let sends go on. ``flaw``: why even what was not found may have been sent."""
        assert self._mark is not None
        mark, now = self._mark, self._clock()
        outcome = await self._database.write(lambda tx: self._decide(tx, mark, files, now, flaw))
        for job, ref in outcome.found:
            telemetry.submit_ended(job.id, number=job.number.e164, outcome="found", provider_ref=ref)
        for job, why in outcome.held:
            telemetry.held(job.id, why=why)
        log.warning(
            "compared with the provider's history; sending goes on", found=len(outcome.found), held=len(outcome.held),
            free=outcome.free,
        )  # fmt: skip
        self._mark, self._trouble = None, ""
        self._gate.let_go()
        self._nudge()
        self._on_mail()

    def _decide(self, tx: Tx, mark: Mark, files: list[StoredFile] | None, now: float, flaw: str) -> Outcome:
        shown = self._shown(files)
        comparison = self._comparison(tx, shown, now)
        outcome = decide(
            tx, comparison, self._unsure(tx, mark.last), self._notices, self._settings.redial, now, flaw
        )  # fmt: skip
        for _, named in shown.uploads:
            uploads.at_least(tx, named.job, named.n)
        outbox.add(tx, self._report(mark, outcome, comparison, now))
        newest_upload = max((named.accepted_at for _, named in shown.uploads), default=0.0)
        origin.clear(tx, Compared(shown.newest, newest_upload))
        return outcome

    def _unsure(self, tx: Tx, last: int) -> list[FaxJob]:
        """The faxes that are to be looked for."""
        redial = self._settings.redial
        return [job for job in sends.unsure(tx, last) if may_be_sent_again(job, redial)]

    def _shown(self, files: list[StoredFile] | None) -> Shown:
        return Shown(tuple(self._seen.values()), files)

    def _comparison(self, tx: Tx, shown: Shown, now: float) -> Comparison:
        compared = origin.compared_to(tx)
        known = Known(
            sends=sends.sent(tx, {fax.provider_ref for fax in shown.faxes}),
            documents=uploads.owners(tx, {fax.document_ref for fax in shown.faxes}),
            uploads=uploads.begun(tx, {named.job for _, named in shown.uploads}),
            compared=compared.fax,
            accepted_at=max(self._accepted_at, compared.upload),
        )
        return Comparison(known, shown, now)

    # --- what the operator is told --------------------------------------------------------------------------------

    def _alarm(self, mark: Mark, now: float) -> OutgoingMail:
        minutes = max(1, round(self._settings.doubt_min_time / 60))
        return self._notices.operator(
            f"set-back.{mark.last}.{int(mark.at)}",
            now,
            title="Nothing is sent before it was looked for in the provider's history",
            text=f"{capital(mark.why)}. So each fax that waits is looked for at the provider first, which"
            f" takes {minutes} minutes or more. Mail is accepted and received faxes are delivered meanwhile.",
            remedy="Nothing, but see that no other gateway runs on the same faxes: both would send them. How far it is"
            " tells faxgateway status; another mail comes when it is over.",
        )

    def _report(self, mark: Mark, outcome: Outcome, comparison: Comparison, now: float) -> OutgoingMail:
        lines = [f"{capital(mark.why)}. Faxes that had not ended were looked for at the provider."]
        if outcome.found:
            lines.append(f"{_faxes(len(outcome.found))} had been sent already: results are reported as usual.")
        if outcome.held:
            lines.append(
                f"{_faxes(len(outcome.held))} may have been sent: held for you to decide, and senders told not to send again"
                " before asking:"
            )
            lines += [f"{job.id} to {job.number}: {why}" for job, why in outcome.held[:_LISTED]]
        if outcome.free:
            lines.append(f"{_faxes(outcome.free)} had not been sent, and can go now.")
        if strangers := comparison.newer:
            lines.append(
                f"The provider's history shows {_faxes(strangers)} newer than all that the gateway has records of:"
                " no results are mailed for that."
            )
        first = outcome.held[0][0].id if outcome.held else ""
        return self._notices.operator(
            f"compared.{mark.last}.{int(mark.at)}",
            now,
            title="Sending goes on: the faxes were compared with the provider's history",
            text="\n".join(lines),
            remedy="See faxgateway queue list --held. Look for each fax in the history at the provider, or ask the recipient."
            f" If it was not sent: faxgateway queue retry --resend {first}. If it was: faxgateway queue cancel {first}."
            if first
            else "Nothing.",
        )


def _faxes(count: int) -> str:
    return "1 fax" if count == 1 else f"{count} faxes"
