"""The life of faxes under random interleavings of steps, faults, crashes, clocks and operators, on a real store.

Whatever happens: states change along the arrows only, a fax is executed at most once, what is told is true, and each
end is told exactly once.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections import Counter, defaultdict
from collections.abc import Coroutine
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from thorough import times

from gateway.edge.admin.queue import _retry
from gateway.errors import GatewayError, KeyRefused, NotFound, OutcomeUnknown, Refused, SlowDown, TryLater
from gateway.model import TRANSITIONS, FaxJob, FaxNumber, JobState, Receipt, Verdict
from gateway.ports import HistoryEntry, HistoryPage, JobStatus, Submitted, Upload
from gateway.service.outbound import OutboundSettings
from gateway.service.settle import SettleSettings
from gateway.store import jobs
from gateway.store.db import Tx

from .house import LETTER, Crash, House, Workshop
from .scripted import ScriptedProvider

ENDS = ("delivered", "failed", "no_result")
LAG = 1500.0  # seconds by which the history lags, less than a proof of absence takes
LOOPS = ("prepare", "upload", "submit", "result", "doubt", "erase", "delay")
SENDS = (
    "yes", "yes", "yes", "executed, no answer", "lost on the way", "executed, a bug", "refused", "no credit", "later",
    "slow down", "key refused", "document lost", "killed before", "killed after", "unrecordable", "executed, refused",
)  # fmt: skip
UPLOADS = ("yes", "yes", "yes", "away", "refused", "killed after", "key refused", "wrong pages")


class World(ScriptedProvider):
    """A provider that keeps the truth: what it executed when. How it answers is chosen before each turn."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.sending = self.uploading = "yes"
        self.away = False
        self.times: list[float] = []
        self.denied: set[str] = set()  # to whom it sent a fax that it refused, for as long as the history lags
        self.break_store: Any = None

    async def upload(self, path: Path, name: str) -> Upload:
        match self.uploading:
            case "away":
                raise TryLater("away")
            case "refused":
                raise Refused("not this file")
            case "key refused":
                raise KeyRefused("the key is refused")
        self.upload_pages = 9 if self.uploading == "wrong pages" else 1
        made = await super().upload(path, name)
        if self.uploading == "killed after":
            raise Crash
        return made

    async def submit(self, document_ref: int, number: FaxNumber, tsi: str) -> Submitted:
        nos: dict[str, BaseException] = {
            "refused": Refused("Invalid fax number"), "no credit": Refused("Insufficient credit"),
            "later": TryLater("later"), "slow down": SlowDown("slow down", after=60.0),
            "key refused": KeyRefused("the key is refused"), "document lost": NotFound("Document not found"),
            "lost on the way": OutcomeUnknown("no answer"), "killed before": Crash(),
        }  # fmt: skip
        if self.sending in nos:
            raise nos[self.sending]
        ref = 9000 + len(self.executed)
        self.executed.append((document_ref, number.digits))
        self.times.append(self.now)
        self.amount -= Decimal("0.10")
        match self.sending:
            case "executed, no answer":
                raise OutcomeUnknown("no answer")
            case "executed, a bug":
                raise RuntimeError("a bug")
            case "executed, refused":
                self.denied.add(number.digits)
                raise Refused("Invalid fax number")
            case "killed after":
                raise Crash
            case "unrecordable":
                self.break_store()
        return Submitted(ref, Decimal("0.10"), self.amount)

    async def status(self, provider_ref: int) -> JobStatus:
        if self.away:
            raise TryLater("away")
        return await super().status(provider_ref)

    async def history(self, page: int, limit: int) -> HistoryPage:
        if self.away:
            raise TryLater("away")
        listed = [
            HistoryEntry(9000 + n, ref, digits, self._verdict(9000 + n), self.times[n])
            for n, (ref, digits) in enumerate(self.executed)
            if self.times[n] <= self.now - LAG or self.now <= 0
        ][::-1]
        return HistoryPage(tuple(listed[(page - 1) * 3 : page * 3]))


class Quick(Workshop):
    """Conversions that take no time: a document for each mail."""

    async def run(self, function: str, /, **arguments: Any) -> Any:
        if self.faults or function.endswith("inspect"):
            return await super().run(function, **arguments)
        if function.endswith("extract"):
            return {"parts": [], "left_out": [], "headers": {}}
        data = b"%PDF-1.4 " + hashlib.sha256(arguments["out"].encode()).digest()
        Path(arguments["out"]).write_bytes(data)
        return {
            "pages": 1, "size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "seconds": 30.0, "ledger": [],
            "sheets": [{"seconds": 30.0, "warnings": []}],
        }  # fmt: skip


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.quiet = structlog.testing.capture_logs()
        self.quiet.__enter__()
        self.runner = asyncio.Runner()
        self.place = tempfile.TemporaryDirectory()
        self.world = World()
        self.house = House(
            Path(self.place.name) / "state", self.world,
            outbound=OutboundSettings(settle=SettleSettings(doubt_resends=2)),
        )  # fmt: skip
        self.mails = 0
        self.by_word: Counter[str] = Counter()  # sends that the operator has ordered against a doubt
        self.silent: set[str] = set()
        self.corrected: set[str] = set()  # faxes whose senders were told another end

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        self.world.now = self.house.now
        return self.runner.run(what)

    def teardown(self) -> None:
        try:
            self.at_rest()
        finally:
            self.run(self.house.close())
            self.runner.close()
            self.place.cleanup()
            self.quiet.__exit__(None, None, None)

    # --- what happens ---------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        self.run(self.house.open())
        self._rewire(Quick())

    def _rewire(self, workshop: Workshop) -> None:
        """A house has been opened: quick conversions, and a store that breaks on demand."""
        house = self.house
        house.workshop = workshop
        (prepare,) = (loop for loop in house.outbound._loops if loop.name == "prepare")
        prepare._handle._pool = workshop  # type: ignore[attr-defined]

        def break_store() -> None:
            house.database._broken = OSError("disk I/O error")

        self.world.break_store = break_store

    @rule(recipients=st.integers(1, 3))
    def a_mail_comes(self, recipients: int) -> None:
        self.mails += 1
        numbers = [f"+1202555{self.mails:03}{n}" for n in range(recipients)]
        self.run(self.house.submit(*numbers, mail=LETTER + str(self.mails).encode()))

    @rule(recipients=st.integers(1, 2), sending=st.sampled_from(SENDS))
    def a_mail_comes_and_is_sent(self, recipients: int, sending: str) -> None:
        self.a_mail_comes(recipients)
        self.world.sending, self.world.uploading, self.world.away = sending, "yes", False
        self.the_key_is_good()
        self._turn("prepare", "upload", "submit")

    @rule(minutes=st.sampled_from([3, 15]), sending=st.sampled_from(SENDS), away=st.booleans())
    def hours_pass(self, minutes: int, sending: str, away: bool) -> None:
        """Long enough for what the history proves."""
        self.world.sending, self.world.uploading, self.world.away = sending, "yes", away
        for _ in range(20):
            self.house.now += minutes * 60
            self._turn()

    @rule(
        loops=st.sets(st.sampled_from(LOOPS), min_size=1), sending=st.sampled_from(SENDS),
        uploading=st.sampled_from(UPLOADS), away=st.booleans(), dies=st.booleans(),
    )  # fmt: skip
    def things_are_done(self, loops: set[str], sending: str, uploading: str, away: bool, dies: bool) -> None:
        world = self.world
        world.sending, world.uploading, world.away = sending, uploading, away
        if dies and "prepare" in loops:
            self.house.workshop.faults.append({"failed": "the converter crashed"})
        self._turn(*loops)

    @rule(loop=st.sampled_from(LOOPS), sending=st.sampled_from(SENDS))
    def one_thing_is_done(self, loop: str, sending: str) -> None:
        self.world.sending, self.world.uploading, self.world.away = sending, "yes", False
        self._turn(loop)

    def _turn(self, *loops: str) -> None:
        try:
            self.run(asyncio.wait_for(self.house.turn(*loops), 0.3 if self.world.sending == "unrecordable" else 60))
        except (Crash, TimeoutError):
            self.killed()
        self.house.workshop.faults.clear()

    @rule(seconds=st.sampled_from([1, 30, 130, 900, 2000, 4000, 20_000, 100_000]))
    def time_passes(self, seconds: float) -> None:
        self.house.now += seconds

    @rule()
    def killed(self) -> None:
        workshop = self.house.workshop
        self.house = self.run(self.house.crash())
        self._rewire(workshop)
        self.run(self.house.outbound.recover())

    @precondition(lambda self: self.world.executed)
    @rule(
        n=st.integers(0, 50), verdict=st.sampled_from([Verdict.SUCCESS, Verdict.FAILED]), told=st.booleans(),
        lie=st.booleans(),
    )  # fmt: skip
    def a_fax_ends(self, n: int, verdict: Verdict, told: bool, lie: bool) -> None:
        """The line ends; perhaps a receipt tells it, perhaps a wrong one."""
        ref = 9000 + n % len(self.world.executed)
        code = "ok" if verdict is Verdict.SUCCESS else "busy"
        final = self.world.statuses.setdefault(ref, JobStatus(verdict, code, f"text of {code}"))
        assert isinstance(final, JobStatus)
        if told or lie:
            says = (
                final.verdict if not lie else (Verdict.FAILED if final.verdict is Verdict.SUCCESS else Verdict.SUCCESS)
            )
            self._receipt(ref, says)

    @rule(ref=st.integers(8990, 9010), verdict=st.sampled_from(list(Verdict)))
    def a_receipt_from_nowhere(self, ref: int, verdict: Verdict) -> None:
        if ref - 9000 not in range(len(self.world.executed)):
            self._receipt(ref, verdict)

    def _receipt(self, ref: int, verdict: Verdict) -> None:
        code = {Verdict.SUCCESS: "ok", Verdict.FAILED: "busy", Verdict.PROGRESS: ""}[verdict]
        self.run(self.house.outbound.receipt(Receipt(ref, verdict, code, "by callback", self.house.now)))

    @rule(
        n=st.integers(0, 50), what=st.sampled_from(["hold", "release", "retry", "resend", "cancel", "cancel silently"])
    )
    def the_operator_acts(self, n: int, what: str) -> None:
        known = self.run(self.house.jobs())
        if not known:
            return
        job, house = known[n % len(known)], self.house
        if what.startswith("cancel"):
            if job.state is JobState.IN_DOUBT and not job.hold:
                return  # the command line refuses it
            if self.run(house.outbound.settle.cancel(job, silent="silently" in what)) and "silently" in what:
                self.silent.add(job.id)
            return

        def act(tx: Tx) -> None:
            if what == "hold":
                jobs.hold(tx, job, house.now, "by the operator")
            elif what == "release":
                jobs.release(tx, job, house.now)
            else:
                why = _retry(tx, job, house.now, resend=what == "resend", named=True)
                if not why and job.state is JobState.IN_DOUBT and job.hold:
                    self.by_word[job.id] += 1

        self.run(house.database.write(act))

    @rule(n=st.integers(0, 50), what=st.sampled_from(["resend", "resend", "cancel"]))
    def a_person_decides_about_a_doubt(self, n: int, what: str) -> None:
        held = [n for n, job in enumerate(self.run(self.house.jobs())) if job.state is JobState.IN_DOUBT and job.hold]
        if held:
            self.the_operator_acts(held[n % len(held)], what)

    @rule()
    def the_key_is_good(self) -> None:
        self.run(self._succeed())

    async def _succeed(self) -> None:
        self.house.gate.succeeded()

    @rule()
    def leftovers_are_swept(self) -> None:
        self.world.away = False
        try:
            self.run(self.house.outbound.sweep_uploads(86400.0))
        except GatewayError:
            return

    # --- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def all_is_well(self) -> None:
        if self.house.database._task is None:
            return
        known = self.run(self.house.jobs())
        events = self.run(self.house.database.read(lambda tx: {job.id: jobs.events(tx, job.id) for job in known}))
        attempts = self.run(self.house.database.read(lambda tx: {job.id: jobs.attempts(tx, job.id) for job in known}))
        told: dict[str, Counter[str]] = defaultdict(Counter)
        facts: dict[tuple[str, str], dict[str, Any]] = {}
        corrections = []
        for mail in self.run(self.house.mails()):
            if mail.facts.get("corrects"):
                corrections.append(mail)
                continue
            told[mail.cause][str(mail.kind)] += 1
            facts[mail.cause, str(mail.kind)] = mail.facts
        for job in known:
            self._check_history(job, events[job.id])
            self._check_sends(job, {attempt.document_ref for attempt in attempts[job.id]})
            self._check_told(job, told[job.id], facts)
        ended = {job.id: job for job in known if job.state.terminal}
        for mail in corrections:
            assert told[mail.cause][mail.facts["corrects"]] == 1
            self._check_truth(ended[mail.cause], str(mail.kind), mail.facts)
        self.corrected = {mail.cause for mail in corrections}

    def _check_history(self, job: FaxJob, events: list[jobs.Event]) -> None:
        assert events[-1].to_state == job.state
        for event in events[1:]:
            old, new = JobState(event.from_state), JobState(event.to_state)
            assert old is new or new in TRANSITIONS[old], (job.id, old, new)
        for before, after in pairwise(events):
            assert before.to_state == after.from_state

    def _check_sends(self, job: FaxJob, documents: set[int]) -> None:
        digits = job.number.digits
        sends = [ref for ref, number in self.world.executed if number == digits]
        assert len(sends) <= 1 + self.by_word[job.id], (job.id, sends)
        assert set(sends) <= documents, "a send that no attempt names"
        if not job.state.terminal:
            assert not (documents | {job.document_ref}) & set(self.world.deleted), "the document of an open fax is gone"

    def _check_told(self, job: FaxJob, told: Counter[str], facts: dict[tuple[str, str], dict[str, Any]]) -> None:
        ends = {kind: told[kind] for kind in ENDS if told[kind]}
        if job.id in self.silent or not job.state.terminal:
            assert not ends, (job.id, job.state, ends)
        else:
            assert sum(ends.values()) == 1, (job.id, job.state, ends)
        assert told["delayed"] <= 1
        assert told["unknown"] <= 1
        assert not (job.hold and job.state.terminal)
        if ends and not self.by_word[job.id]:
            (kind,) = ends
            self._check_truth(job, kind, facts[job.id, kind])

    def _check_truth(self, job: FaxJob, kind: str, told: dict[str, Any]) -> None:
        refs = [9000 + n for n, (_, digits) in enumerate(self.world.executed) if digits == job.number.digits]
        verdicts = {status.verdict for ref in refs if isinstance(status := self.world.statuses.get(ref), JobStatus)}
        if told["confirmed"] and kind == "delivered":
            # of two sends, the second by a person's word, one that arrived is enough
            assert Verdict.SUCCESS in verdicts if self.by_word[job.id] else verdicts == {Verdict.SUCCESS}, (
                job.id,
                refs,
            )
        is_denied = job.number.digits in self.world.denied  # told otherwise once the history shows it, see at_rest
        if told["confirmed"] and kind == "failed" and not is_denied:
            assert Verdict.SUCCESS not in verdicts, (job.id, told["code"], refs)
        if (
            kind == "failed"
            and told["code"] in ("refused", "file_refused", "content", "expired", "cancelled")
            and not is_denied
        ):
            assert not refs, (job.id, told["code"], "was executed")

    def at_rest(self) -> None:
        """With a provider that works, every fax comes to an end, or is held for a person who was told."""
        if self.house.database._task is None:
            return
        world = self.world
        world.sending, world.uploading, world.away = "yes", "yes", False
        for _ in range(60):
            for n in range(len(world.executed)):
                world.statuses.setdefault(9000 + n, JobStatus(Verdict.SUCCESS, "ok", "Sent!"))
            self.the_key_is_good()
            self._turn()
            self.house.now += 1800
        self.all_is_well()
        alarms = self.run(self.house.alarms())
        for job in self.run(self.house.jobs()):
            assert job.state.terminal or job.hold, (job.id, job.state, job.last_error)
            if job.number.digits in world.denied and job.state is JobState.FAILED and job.id not in self.corrected:
                sends = [n for n, (_, digits) in enumerate(world.executed) if digits == job.number.digits]
                assert all(world._verdict(9000 + n) is Verdict.FAILED for n in sends), (
                    job.id,
                    "arrived, and was told as failed",
                )
            if job.hold and job.hold != "by the operator":
                assert f"The fax from a@example.org to {job.number} is held ({job.id})" in alarms


Life.TestCase.settings = settings(
    max_examples=times(15, 100), stateful_step_count=30, suppress_health_check=list(HealthCheck)
)
TestLife = pytest.mark.slow(Life.TestCase)
