"""The services on a real database and a real spool, with a scripted provider, a clock in hand, and crashes on demand.

Loops are not started unless a test does so: :meth:`House.turn` handles what is due, in order, as they would. Documents
are made by the real converter, in this process.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.document import workshop
from gateway.errors import GatewayError, Refused, TryLater
from gateway.model import (
    Attempt,
    Envelope,
    FaxJob,
    FaxNumber,
    InboundFax,
    JobState,
    MailKind,
    Notify,
    OutgoingMail,
    Peer,
    Recipient,
    Route,
    RouteKind,
    Submission,
)
from gateway.policy import PolicySettings
from gateway.service.accept import Accept, AcceptSettings
from gateway.service.divided import DividedMails, DividedSettings
from gateway.service.due import DueLoop
from gateway.service.gate import Gate
from gateway.service.inbound import Inbound, InboundSettings
from gateway.service.notices import Notices, NoticeSettings
from gateway.service.outbound import Outbound, OutboundSettings
from gateway.service.postmaster import Postmaster
from gateway.service.reconcile import Reconcile
from gateway.spool import Spool
from gateway.store import inbound, jobs, outbox, overview, routes
from gateway.store.db import Database, Tx

from .scripted import ScriptedProvider

START = 1_795_428_900.0
NUMBER = "+12025550123"
LETTER = b"From: a@example.org\r\nSubject: Invoice\r\nMessage-ID: <m@example.org>\r\n\r\nPlease read.\r\n"
PEER = Peer(listener="smtp0", address="127.0.0.1", helo="desk", trusted_network=True)


class Crash(BaseException):
    """The process ends here."""


class Workshop:
    """A pool of no processes. ``faults`` are taken one a call: an answer as a worker gives it, or a Crash."""

    def __init__(self) -> None:
        self.faults: deque[dict[str, Any] | Crash] = deque()
        self.calls: list[str] = []

    async def run(self, function: str, /, **arguments: Any) -> Any:
        self.calls.append(function.rpartition(":")[2])
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, Crash):
            raise fault
        answer = fault if fault is not None else await asyncio.to_thread(workshop.call, function, arguments)
        if "refused" in answer:
            raise Refused(answer["refused"], status=answer.get("status") or "5.6.1")
        if "failed" in answer:
            raise TryLater(f"the document could not be converted: {answer['failed']}", status="5.6.5")
        return answer["result"]


class House:
    """``turn`` moves what is due; ``crash`` leaves what a killed process leaves, in a house of the same provider."""

    def __init__(
        self,
        root: Path,
        provider: ScriptedProvider | None = None,
        *,
        now: float = START,
        outbound: OutboundSettings | None = None,
        inbound: InboundSettings | None = None,
        policy: PolicySettings | None = None,
        notices: NoticeSettings | None = None,
        free: Callable[[Path], int] | None = None,
        steady: Callable[[], float] | None = None,
        small_mail: int = 1,  # each mail is in a file
        front: str = "",  # name of a mail server in front of us, at 127.0.0.1
    ) -> None:
        self._settings = {
            "outbound": outbound, "inbound": inbound, "policy": policy, "notices": notices, "free": free,
            "steady": steady, "small_mail": small_mail, "front": front,
        }  # fmt: skip
        self.root, self.now = root, now
        self._reborn: House | None = None
        self.provider = provider or ScriptedProvider()
        self.fatal: list[Exception] = []
        self.failed_steps: list[GatewayError] = []
        self.mail_calls = 0
        self.clock_believed = True
        self.spool = Spool(root / "spool", floor=1, reserve=0, free=free, on_fatal=self.fatal.append)
        self.database = Database(root / "faxgateway.db", on_fatal=self.fatal.append)
        self.workshop = Workshop()
        self.gate = Gate(clock=self.clock, steady=self.clock)
        self.notices = Notices(notices or NoticeSettings("gw.example", "bounce@example.org", "admin@example.org"))
        self.outbound = Outbound(
            self.database, self.spool, self.provider, self.workshop, self.notices, outbound or OutboundSettings(),  # type: ignore[arg-type]
            gate=self.gate, on_mail=self._mail, clock=self.clock, steady=steady or self.clock,
        )  # fmt: skip
        self.reconcile = Reconcile(
            self.database, self.provider, self.outbound.history, self.notices, (outbound or OutboundSettings()).settle,
            gate=self.gate, on_mail=self._mail, nudge=self.outbound.nudge, clock=self.clock, steady=steady or self.clock,
        )  # fmt: skip
        self.inbound = Inbound(
            self.database, self.spool, self.provider, self.notices, inbound or InboundSettings(), gate=self.gate,
            on_mail=self._mail, clock_believed=lambda: self.clock_believed, clock=self.clock,
        )  # fmt: skip
        self.divided = DividedMails(
            self.database, self.spool, self.notices, DividedSettings(), on_mail=self._mail,
            clock_believed=lambda: self.clock_believed, clock=self.clock,
        )  # fmt: skip
        self.accept = Accept(
            self.database, self.spool, self.workshop,  # type: ignore[arg-type]
            AcceptSettings(
                ("fax.local",), "US", policy or PolicySettings(), small_mail=small_mail,
                authserv_id=front, authserv_networks=("127.0.0.1",),
            ),
            self.outbound.allowance, on_accepted=self.outbound.accepted, clock_believed=lambda: self.clock_believed, clock=self.clock,
            steady=self.clock, divided=self.divided,
            postmaster=Postmaster(
                self.database, self.spool, self.notices, ("fax.local",), on_mail=self._mail, clock=self.clock
            ),
        )  # fmt: skip

    def clock(self) -> float:
        return self.now

    def _mail(self) -> None:
        self.mail_calls += 1

    # --- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> House:
        self.root.mkdir(exist_ok=True)
        self.spool.open()
        await self.database.open()
        return self

    async def close(self) -> None:
        """Close it and what :meth:`crash` made of it: an open database keeps the process of a failed test from ending."""
        if self._reborn is not None:
            await self._reborn.close()
        await self.database.close()

    async def crash(self) -> House:
        """The house that a process finds which starts where this one was killed; recovery is the caller's."""
        copy = self.copy(f"{self.root.name}+")
        await self.close()
        self._reborn = await copy.open()
        return self._reborn

    def copy(self, name: str) -> House:
        """The house that stands beside this one from now on; it is not opened."""
        root = self.root.with_name(name)
        shutil.copytree(self.root, root)
        return House(root, self.provider, now=self.now, **self._settings)  # type: ignore[arg-type]

    # --- work -----------------------------------------------------------------------------------------------------

    async def turn(self, *names: str) -> int:
        """Handle, one after another, all that is due now in the loops named (or all); returns how many items."""
        return sum([await self._turn(loop) for loop in self.loops if not names or loop.name in names])

    async def _turn(self, loop: DueLoop[Any]) -> int:
        done: set[Any] = set()
        while loop._gate(1):
            due = [item for item in await loop._due(self.now, 100) if loop._key(item) not in done]
            if not due:
                break
            done.add(loop._key(due[0]))
            try:
                await loop._handle(due[0])
            except GatewayError as error:  # the loop logs it
                self.failed_steps.append(error)
        return len(done)

    async def handle(self, name: str, item: Any) -> None:
        """Have a loop handle an item as if it were due."""
        (loop,) = (loop for loop in self.loops if loop.name == name)
        await loop._handle(item)

    async def settle(self) -> None:
        """Turn until nothing is due any more."""
        for _ in range(50):
            if not await self.turn():
                return
        raise AssertionError("it never comes to rest")

    @property
    def loops(self) -> list[DueLoop[Any]]:
        return [*self.outbound._loops, self.inbound._fetches]

    async def submit(
        self,
        *numbers: str,
        mail: bytes = LETTER,
        sender: str = "a@example.org",
        peer: Peer = PEER,
        notify: frozenset[Notify] = frozenset(),
        ret: str | None = None,
    ) -> str:
        """A mail comes in; returns its queue id."""
        recipients = tuple(
            Recipient(f"{number}@fax.local", FaxNumber(number.partition("/")[0]), notify=notify)
            for number in numbers or (NUMBER,)
        )
        draft = self.accept.draft()
        draft.write(mail)
        return await self.accept.accept(Envelope(peer, sender, recipients, ret=ret), draft)

    async def uploaded(self) -> FaxJob:
        """A fax that only has to be sent."""
        queue_id = await self.submit()
        await self.turn("prepare", "upload")
        return await self.job(f"{queue_id}-1")

    async def submitted(self) -> FaxJob:
        job = await self.uploaded()
        await self.turn("submit")
        return await self.job(job.id)

    # --- what is on disk ------------------------------------------------------------------------------------------

    async def job(self, id_: str) -> FaxJob:
        job = await self.database.read(lambda tx: jobs.get(tx, id_))
        assert job is not None
        return job

    async def jobs(self) -> list[FaxJob]:
        listed, _ = await self.database.read(lambda tx: overview.listing(tx, ended=True))
        return [job for job, _ in listed][::-1]

    async def states(self) -> list[str]:
        return [str(job.state) for job in await self.jobs()]

    async def submission(self, id_: str) -> Submission:
        found = await self.database.read(lambda tx: jobs.get_submission(tx, id_))
        assert found is not None
        return found

    async def attempts(self, job: str) -> list[Attempt]:
        return await self.database.read(lambda tx: jobs.attempts(tx, job))

    async def history(self, job: str) -> list[str]:
        return [event.what for event in await self.database.read(lambda tx: jobs.events(tx, job))]

    async def mails(self, kind: MailKind | None = None) -> list[OutgoingMail]:
        """All outgoing mails, the first first."""

        def read(tx: Tx) -> list[OutgoingMail]:
            ids = [row[0] for row in tx.execute("SELECT id FROM outbox ORDER BY rowid")]
            return [mail for id_ in ids if (mail := outbox.get(tx, id_)) is not None]

        return [mail for mail in await self.database.read(read) if kind in (None, mail.kind)]

    async def told(self, cause: str) -> list[tuple[str, str]]:
        """(kind, code) of what was told about a job."""
        return [
            (str(mail.kind), str(mail.facts.get("code", mail.facts.get("title"))))
            for mail in await self.mails()
            if mail.cause == cause
        ]

    async def alarms(self) -> list[str]:
        return [str(mail.facts["title"]) for mail in await self.mails(MailKind.OPERATOR)]

    async def faxes(self) -> list[InboundFax]:
        return (await self.database.read(inbound.listing))[::-1]

    async def route(self, match: str, *mailboxes: str, **more: Any) -> None:
        kind = RouteKind.DID if mailboxes else RouteKind.SENDER
        route = Route(kind, match, mailboxes, **more)
        await self.database.write(lambda tx: routes.put(tx, route, self.now))
        self.accept.senders.forget_routes()

    def files(self, kind: str) -> list[Path]:
        return sorted((self.root / "spool" / kind).iterdir())

    def on_disk(self, query: str) -> list[Any]:
        """What another process reads of the database now: only what is committed."""
        other = sqlite3.connect(f"{(self.root / 'faxgateway.db').as_uri()}?mode=ro", uri=True)
        try:
            return other.execute(query).fetchall()
        finally:
            other.close()


def state_of(job: FaxJob) -> tuple[JobState, bool]:
    """Where a job stands, and whether it is held."""
    return job.state, bool(job.hold)
