"""The account at the provider: while its key is refused, it cannot pay or nothing answers, the balance is asked for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from gateway import telemetry
from gateway.errors import GatewayError, KeyRefused
from gateway.model import OutgoingMail
from gateway.ports import FaxProvider
from gateway.service.due import end
from gateway.service.gate import Gate
from gateway.service.notices import Notices
from gateway.store import outbox
from gateway.store.db import Database

log = structlog.get_logger("account")

_AWAY = 900.0  # seconds: what is shorter has mostly ended before a person has read of it


class Account:
    """Asks every ``every`` seconds, which opens the gate.

    The operator hears of a refused key, and of a provider that has long been away, as soon as that can be written down.
    """

    def __init__(
        self,
        database: Database,
        provider: FaxProvider,
        notices: Notices,
        gate: Gate,
        every: float,
        *,
        on_mail: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._provider = provider
        self._notices = notices
        self._gate = gate
        self._every = every
        self._on_mail = on_mail
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._shut = asyncio.Event()  # since the last look
        self._why = ""  # what hindered a send when the gate last changed
        gate.on_change.append(self._gate_changed)

    @property
    def state(self) -> str:
        """For people."""
        if self._gate.is_shut:
            return "key refused"
        if self._gate.lacks_credit:
            return "no credit"
        if not self._gate.is_open:
            return "waiting"
        return "failing" if self._gate.failing_for else "ok"

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="account")

    async def stop(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._shut.wait()
                self._shut.clear()
            except TimeoutError:
                await self.look()
            now = self._clock()
            if self._gate.is_shut:
                await self._tell_operator(self._notices.key_refused(self._gate.why, self._gate.shut_at, now))
            if (silence := self._gate.failing_for) > _AWAY:
                await self._tell_operator(self._notices.unreachable(self._gate.failing_why, silence, now))

    async def look(self) -> None:
        """Ask for the balance where that may open the gate. Raises nothing."""
        is_closed = self._gate.is_shut or self._gate.lacks_credit
        if not (is_closed or self._gate.failing_for):
            return
        try:
            amount = await self._provider.balance()
        except GatewayError as error:
            log.info("the balance is not told", why=str(error))
            if isinstance(error, KeyRefused):
                self._gate.failed(error)
        except Exception:
            log.exception("unexpected failure while the balance was asked for")
        else:
            telemetry.balance(float(amount))
            if is_closed:
                self._gate.succeeded()
                self._gate.balance(amount)
            else:  # of what fails it proves nothing
                self._gate.answered()

    # --- what is told -----------------------------------------------------------------------------------------------

    def _gate_changed(self) -> None:
        was, self._why = self._why, self._gate.why
        if self._why == was:
            return
        if not self._why:
            log.info("sending is tried again" if self._gate.failing_for else "sending goes on")
            return
        log.warning("nothing is sent for now", why=self._why)
        if self._gate.is_shut:
            telemetry.provider_trouble("key-refused", self._why)
            self._shut.set()

    async def _tell_operator(self, mail: OutgoingMail) -> None:
        """Nobody hears it twice: a mail that cannot be stored on a full disk is tried again at the next look."""
        try:
            if await self._database.write(lambda tx: outbox.add(tx, mail)):
                self._on_mail()
        except GatewayError as error:
            log.warning("the operator cannot be told yet", what=mail.facts["title"], why=str(error))
        except Exception:
            log.exception("unexpected failure while the operator was told")
