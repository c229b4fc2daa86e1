"""A step towards a send did not work now: when it is taken again, and when a fax has waited too long."""

from __future__ import annotations

from dataclasses import dataclass

from gateway import telemetry
from gateway.errors import KeyRefused, NoCredit, SlowDown, TryLater
from gateway.model import FaxJob, OutgoingMail
from gateway.service.due import backoff
from gateway.service.settle import Settle
from gateway.store import jobs, outbox
from gateway.store.db import Database, Tx

LONGEST = 2 * 3600.0  # seconds: what a provider or a cap may ask for; a longer pause was computed by a wrong clock
_MIN_TRIES = 20  # a fax is not given up on age alone: a clock may jump, and a held one may have been released just now


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: the pause doubles from ``first`` to ``longest``; a fax is given up ``expire_after`` the time it is wanted."""

    database: Database
    settle: Settle
    first: float
    longest: float
    expire_after: float

    def wait(self, error: TryLater, tries: int) -> float:
        """The pause after try number ``tries``: the provider's wish, or until a cap opens, or ours."""
        if error.after is not None:
            return min(max(error.after, 1.0), LONGEST)
        return backoff(tries, self.first, self.longest)

    def after(self, error: TryLater, job: FaxJob, tries: int, now: float) -> dict[str, float | int]:
        """Columns of a job that is tried again: later, or in its old place when the trouble is everybody's."""
        if is_of_all(error):
            return {"next_at": job.next_at, "strikes": tries - 1}
        return {"next_at": now + self.wait(error, tries), "strikes": tries}

    async def put_off(
        self, job: FaxJob, step: str, error: TryLater, tries: int, now: float, *, alarm: OutgoingMail | None = None
    ) -> None:
        """A call before the send failed: again later, until the fax has grown too old; ``alarm`` is committed with that."""
        if self.is_too_old(job, tries, now):
            await self.expire(job, error.public)
            return
        columns = self.after(error, job, tries, now)

        def commit(tx: Tx) -> None:
            jobs.touch(tx, job, now, "", last_error=error.public, **columns)
            outbox.add(tx, alarm)

        await self.database.write(commit)
        telemetry.retry(job.id, step=step, wait=max(0.0, columns["next_at"] - now), why=str(error))

    def is_too_old(self, job: FaxJob, tries: int, now: float) -> bool:
        return now - job.wanted_at > self.expire_after and tries >= _MIN_TRIES

    async def expire(self, job: FaxJob, trouble: str) -> None:
        """End it, with its notice."""
        text = f"it waited too long; the last trouble was: {trouble}"
        await self.settle.fail(job, code="expired", text=text)


def is_of_all(error: TryLater) -> bool:
    """Whether it says nothing of the one fax: every other would have met it too, and the gate sees to it."""
    return isinstance(error, KeyRefused | SlowDown | NoCredit)
