"""While one step of a fax is taken, something else happens: at each of its awaits in turn, what one can think of.

A receipt comes, a person acts, another loop takes a step of the same fax. Then all comes to rest, and what must hold for
every fax is asked of the provider's own record, the mails and the trail. FAXGATEWAY_THOROUGH tries all there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from thorough import times

from gateway.edge.admin.queue import Queue
from gateway.errors import OutcomeUnknown, Refused, TryLater
from gateway.model import FaxJob, FaxNumber, JobState, Receipt, Verdict
from gateway.ports import JobStatus, Submitted
from gateway.service.outbound import OutboundSettings
from gateway.service.settle import SettleSettings
from gateway.store import jobs

from .house import House
from .scripted import ScriptedProvider

DONE = JobStatus(Verdict.SUCCESS, "ok", "Sent!")
BUSY = JobStatus(Verdict.FAILED, "busy", "Busy")
AWAITS = 26  # of a step at most
ENDS = ("delivered", "failed", "no_result")
SETTINGS = OutboundSettings(
    settle=SettleSettings(redial={"busy": 2}, redial_after=60.0, doubt_min_polls=1, doubt_min_time=0.0)
)


class World(ScriptedProvider):
    """Does with each send what is next in ``plan``, else sends it; calls end as ``ends`` says, else well."""

    def __init__(self) -> None:
        super().__init__()
        self.plan: list[str] = []
        self.ends: list[JobStatus] = []
        self.called: list[JobStatus] = []

    async def submit(self, document_ref: int, number: FaxNumber, tsi: str) -> Submitted:
        self.submits += 1
        self.on_submit()
        match self.plan.pop(0) if self.plan else "":
            case "later":
                raise TryLater("later")
            case "refused":
                raise Refused("Invalid fax number")
            case "lost":
                raise OutcomeUnknown("no answer")
            case how:
                self.executed.append((document_ref, number.digits))
                self.called.append(self.ends.pop(0) if self.ends else DONE)
        ref = 9000 + len(self.called) - 1
        self.statuses[ref] = self.called[-1]
        if how == "silent":
            raise OutcomeUnknown("no answer")
        return Submitted(ref, Decimal("0.10"), Decimal(9))


class Case:
    """One fax, one step of it, and what happens at the ``at``-th await of that."""

    def __init__(self, root: Path, act: str, at: int) -> None:
        self.world = World()
        self.world.on_submit = self.sends
        self.house = House(root, self.world, outbound=SETTINGS)
        self.act, self.at = act, at
        self.awaits = self.words = self.words_before = 0  # a person's words that it be sent again
        self.wrong: list[str] = []
        self.id = ""

    async def run(self, loop: str, before: str) -> None:
        """``before``: the loops whose steps bring it to where ``loop`` is to take its own."""
        house = await self.house.open()
        try:
            self.id = (await house.uploaded()).id
            for name in before.split():
                await self.turn(name)
            job = await house.job(self.id)
            self.weave()
            await house.handle(loop, job)
            self.at, self.world.hide_history = 0, False
            for _ in range(12):
                await self.turn("")
            await self.check()
        finally:
            await house.close()

    async def turn(self, name: str) -> None:
        """One loop, or all for "", half an hour later."""
        self.house.now += 1800
        await self.house.turn(*name.split())

    def weave(self) -> None:
        def around(owner: Any, name: str) -> None:
            real: Callable[..., Awaitable[Any]] = getattr(owner, name)

            async def woven(*given: Any) -> Any:  # also by what happens then, which is past the count
                self.awaits += 1
                if self.awaits == self.at:
                    await self.happen()
                return await real(*given)

            setattr(owner, name, woven)

        for name in ("read", "write"):
            around(self.house.database, name)
        for name in ("submit", "status", "history", "cost", "balance", "delete"):
            around(self.world, name)

    async def happen(self) -> None:
        house = self.house
        queue = Queue(house.database, house.outbound, house.divided, "US", house.clock)
        for word in self.act.split():
            if word in ("hold", "release"):
                await getattr(queue, word)([self.id])
            elif word == "cancel":
                await queue.cancel([self.id])
            elif word == "resend":
                job = await house.job(self.id)
                given = job.may_be_sent or (job.state is JobState.IN_DOUBT and bool(job.hold))
                self.words += given
                await queue.retry([self.id], resend=True)
            elif word in ("silent", "hidden"):
                self.world.plan, self.world.hide_history = ["silent"], word == "hidden"
            elif word == "receipt":
                for ref, status in enumerate(self.world.called, 9000):
                    await house.outbound.receipt(Receipt(ref, status.verdict, status.code, "by callback", house.now))
            else:
                await house.turn(word)

    def sends(self) -> None:
        """A call that did not fail for certain is not made again but by a person's word."""
        ((state,),) = self.house.on_disk("SELECT state FROM job")
        if state != "submitting":
            self.wrong.append(f"sent while {state}")
        if self.world.called and self.world.called[-1] is not BUSY and self.words == self.words_before:
            self.wrong.append(f"sent again behind {self.world.called}")
        self.words_before = self.words

    async def check(self) -> None:
        """It has ended or is held, and its end is told once, as the provider's own record has it."""
        job, called = await self.house.job(self.id), self.world.called
        told = [mail for mail in await self.house.mails() if mail.cause == job.id and mail.kind in ENDS]
        first = [mail for mail in told if not mail.facts.get("corrects")]
        assert self.wrong == []
        assert job.state.terminal or job.hold
        assert len(first) == job.state.terminal
        if told and told[-1].kind != "no_result":
            assert (told[-1].kind == "delivered") == (DONE in called)
        known = [attempt.provider_ref for attempt in await self.house.attempts(job.id) if attempt.provider_ref]
        assert len(set(known)) == len(known)
        await self.check_trail(job)

    async def check_trail(self, job: FaxJob) -> None:
        """Without gaps; nothing is begun while it is held; what was sent counts as spent."""
        trail = await self.house.database.read(lambda tx: jobs.events(tx, job.id))
        assert all(one.to_state == other.from_state for one, other in pairwise(trail))
        held = False
        for event in trail:
            assert not (held and event.what.endswith("begun"))
            held = (held or event.what.startswith("held: ")) and event.what != jobs.RELEASED
        ((count,),) = self.house.on_disk("SELECT count(*) FROM spending")
        assert count >= len(self.world.called)


# the loop whose step it is, those before it, what the provider does with the sends, and how the calls end
SCENES: dict[str, tuple[str, str, list[str], list[JobStatus]]] = {
    "sent": ("submit", "", [], [DONE]),
    "sent, no answer": ("submit", "", ["silent"], [DONE]),
    "lost": ("submit", "", ["lost"], []),
    "not now": ("submit", "", ["later"], []),
    "refused": ("submit", "", ["refused"], []),
    "dialled again": ("submit", "submit result", [], [BUSY, DONE]),
    "dialled again, no answer": ("submit", "submit result", ["", "silent"], [BUSY, BUSY, DONE]),
    "ends well": ("result", "submit", [], [DONE]),
    "ends busy": ("result", "submit", [], [BUSY, DONE]),
    "in doubt, sent": ("doubt", "submit", ["silent"], [DONE]),
    "in doubt, lost": ("doubt", "submit", ["lost"], []),
    "refused, and erased": ("erase", "submit", ["refused"], []),
}
ACTS = (
    "receipt", "hold", "hold release", "hold cancel", "cancel", "hold resend", "hidden hold resend submit", "silent submit",
    "submit", "result", "doubt",
)  # fmt: skip


@pytest.mark.parametrize("scene", SCENES)
async def test_what_happens_meanwhile_harms_no_fax(scene: str, tmp_path: Path) -> None:
    loop, before, plan, ends = SCENES[scene]
    whole = list(product(ACTS, range(1, AWAITS + 1)))
    for number, (act, at) in enumerate(whole[:: max(1, len(whole) // times(3, len(whole)))]):
        if loop in act.split():  # a fax is handled by one task of a loop
            continue
        case = Case(tmp_path / str(number), act, at)
        case.world.plan, case.world.ends = list(plan), list(ends)
        try:
            async with asyncio.timeout(30):
                await case.run(loop, before)
        except AssertionError as error:
            raise AssertionError(f"{scene}: {act} at await {at}") from error
