"""A no for want of credit, to an upload or to a send: the account has to be paid, the fax waits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from gateway import telemetry
from gateway.errors import GatewayError, NoCredit, Refused, TryLater
from gateway.model import FaxJob, OutgoingMail
from gateway.ports import FaxProvider
from gateway.service.gate import Gate
from gateway.service.notices import Notices


@dataclass(frozen=True, slots=True)
class Credit:
    """``pause``: the seconds that a fax waits for which there is money after all."""

    provider: FaxProvider
    gate: Gate
    notices: Notices
    pause: float
    clock: Callable[[], float]

    @staticmethod
    def is_wanted(error: Refused) -> bool:
        """Whether it is for want of credit that the provider said no."""
        said = error.public.lower()
        return any(word in said for word in ("credit", "insufficient", "balance", "funds", "payment"))

    async def lacks(self, job: FaxJob, error: Refused) -> tuple[TryLater, OutgoingMail]:
        """How ``job`` waits, and the alarm, which its caller commits with that.

        Nothing is sent until the balance is back; where it would pay for this fax, only this one waits.
        """
        amount = None
        with contextlib.suppress(GatewayError):
            amount = await self.provider.balance()
        why = f"the fax account lacks credit: {error.public}"
        suffices = amount is not None and job.cost is not None and amount >= job.cost
        verdict = TryLater(why, after=self.pause) if suffices else NoCredit(why, need=job.cost)
        if not suffices:
            telemetry.provider_trouble("no-credit", why)
            self.gate.failed(verdict)
        return verdict, self.notices.no_credit(why, self.clock())
