"""Mails leave: each outbox row is composed anew from its facts and handed to the smarthost, as often as it takes.

A mail is at least once, with a fixed Message-ID; the try is counted before it is made. A received fax that cannot be
delivered goes to the fallback mailbox and stays visible; its document is kept until a smarthost has taken it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

import structlog

from gateway import telemetry
from gateway.document.worker import WorkerPool
from gateway.errors import GatewayError, Refused, TryLater
from gateway.faultpoint import reach
from gateway.mail import dsn
from gateway.mail.compose import Letterhead, compose
from gateway.model import MailKind, OutgoingMail
from gateway.service.due import DueLoop, backoff
from gateway.service.notices import Notices
from gateway.spool import Spool
from gateway.store import bodies, inbound, jobs, outbox
from gateway.store.db import Database, Tx

log = structlog.get_logger("postman")

_SPREAD = 0.1
_PICTURES = 3  # of a mail at most
_COUNTED_WITHIN = 30.0  # seconds: a received fax does not wait longer for others that are converted
_LARGE = 8_000_000  # bytes of a document; its mail is in memory several times over
_MIN_TRIES = 5  # a mail is not given up on age alone: a clock may jump


class Carrier(Protocol):
    """Hands one message to the smarthost; gives its reply as soon as it has it, raises Refused or TryLater."""

    def handed_over(self, mail_from: str, rcpt_to: str, message: bytes) -> AbstractAsyncContextManager[str]: ...


@dataclass(frozen=True, slots=True)
class PostmanSettings:
    """Seconds. The pause doubles from ``retry_after`` to ``retry_max``; after ``expire_after`` a mail is given up, after
    ``delay_after`` the operator is told that one with a received fax waits.

    ``pictures``: a result that warns of pages shows them.
    """

    concurrency: int = 5
    retry_after: float = 300.0
    retry_max: float = 3600.0
    expire_after: float = 5 * 86400.0
    delay_after: float = 4 * 3600.0
    pictures: bool = True


class Postman:
    """Owns the outbox."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        pool: WorkerPool,
        carrier: Carrier,
        letterhead: Letterhead,
        notices: Notices,
        settings: PostmanSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._spool = spool
        self._pool = pool
        self._carrier = carrier
        self._letterhead = letterhead
        self._notices = notices
        self._settings = settings
        self._clock = clock
        self._loop = DueLoop(
            "postman",
            due=lambda now, most: database.read(lambda tx: outbox.due(tx, now, most)),
            next_due=lambda: database.read(outbox.next_due),
            key=lambda mail: mail.id,
            handle=self._deliver,
            limit=settings.concurrency,
            alone=self._is_large,
            clock=clock,
        )

    async def recover(self) -> None:
        """After a start: a try that never ended is made again soon."""
        now, settings = self._clock(), self._settings
        await self._database.write(lambda tx: outbox.resume(tx, now, settings.retry_after, settings.retry_max))

    async def mend_times(self, *, soon: bool = False) -> None:
        """Nothing waits longer than the longest pause, whatever the clock has done; ``soon``: all is due now."""
        now = self._clock()
        latest = now + (0.0 if soon else self._settings.retry_max * (1 + _SPREAD))
        await self._database.write(lambda tx: outbox.not_after(tx, latest, now))

    def start(self) -> None:
        self._loop.start()

    def nudge(self) -> None:
        self._loop.nudge()

    async def stop(self, grace: float) -> None:
        await self._loop.stop(grace)

    async def _deliver(self, mail: OutgoingMail) -> None:
        now = self._clock()
        tries = await self._database.write(lambda tx: outbox.begin_try(tx, mail, now + self._settings.retry_max))
        if not tries:
            return
        try:
            await self._hand_over(mail)
        except Refused as error:
            if mail.kind is MailKind.OPERATOR and mail.to == self._notices.fallback:
                # nobody else is left to be told: a mail server that refuses everybody may be mended
                await self._later(mail, tries, TryLater(str(error)))
            else:
                await self._give_up(mail, str(error))
        except TryLater as error:
            await self._later(mail, tries, error)
        except Exception as error:
            log.exception("unexpected failure", id=mail.id, kind=mail.kind)
            await self._later(mail, tries, TryLater("the mail could not be made or handed over", repr(error)))

    def _is_large(self, mail: OutgoingMail) -> bool:
        """Whether it goes alone among others like it: a fax to many mailboxes must not take all memory."""
        try:
            return bool(mail.file) and self._spool.path(mail.file).stat().st_size > _LARGE
        except OSError:
            return False  # told where it is read

    async def _hand_over(self, mail: OutgoingMail) -> None:
        pictures, pages, original = await self._pictures(mail), await self._pages(mail), await self._original(mail)
        message = await asyncio.to_thread(self._compose, mail, pictures, pages, original)
        reach("relay.sending")
        async with self._carrier.handed_over(mail.envelope_from, mail.to, message) as reply:
            reach("relay.taken")
            now = self._clock()
            await self._database.write(lambda tx: outbox.sent(tx, mail.id, now, reply))
            self._tell(mail, "sent", "")

    async def _pictures(self, mail: OutgoingMail) -> list[tuple[str, bytes]]:
        """The first pages that a result warns of, with their names; none where nothing of the mail is to come back (RET=HDRS,
        RFC 3461 section 4.3), once the document is gone, or if it cannot be: the words matter more.
        """
        if not self._settings.pictures or not mail.facts.get("warnings") or mail.facts.get("ret") == "HDRS":
            return []
        job = await self._database.read(lambda tx: jobs.get(tx, mail.cause))
        if job is None or job.document is None or not job.document.file:
            return []
        wanted = [
            {"page": number, "region": sheet.region}
            for number, sheet in enumerate(job.document.sheets, 1) if sheet.warnings
        ][:_PICTURES]  # fmt: skip
        document = self._spool.path(job.document.file)
        if not document.exists():
            return []
        try:
            made = await self._pool.run("gateway.document.snapshots:snapshots", document=str(document), wanted=wanted)
        except GatewayError as error:
            log.warning("no pictures of pages", id=mail.id, fax=job.id, why=str(error))
            return []
        return [
            (f"{'part-of-' if each['region'] else ''}page-{each['page']}.png", base64.b64decode(picture))
            for each, picture in zip(wanted, made, strict=True)
        ]

    async def _pages(self, mail: OutgoingMail) -> int | None:
        """The pages that the document of a received fax has, if another number may have been told; None if it cannot be seen."""
        if mail.kind is not MailKind.INBOUND or not mail.file or not mail.facts.get("pages"):
            return None
        document = str(self._spool.path(mail.file))
        try:
            async with asyncio.timeout(_COUNTED_WITHIN):
                return int(await self._pool.run("gateway.document.pagecount:pagecount", document=document))
        except (GatewayError, TimeoutError) as error:
            why = str(error) or "no converter was free in time"
            log.warning("the pages of a received fax cannot be counted", id=mail.cause, why=why)
            return None

    async def _original(self, mail: OutgoingMail) -> bytes:
        """The beginning of the mail that a result is about, for a report to return; nothing once it is gone."""
        about = str(mail.facts.get("submission") or "")
        if not about or not dsn.action(mail.kind, mail.facts):
            return b""
        submission = await self._database.read(lambda tx: jobs.get_submission(tx, about))
        if submission is None or not submission.mail_file:
            return b""
        if submission.mail_file == bodies.HERE:
            return await self._database.read(lambda tx: bodies.get(tx, submission.id)) or b""
        try:
            return await asyncio.to_thread(self._read_start, submission.mail_file)
        except OSError:
            return b""

    def _read_start(self, file: str) -> bytes:
        with self._spool.path(file).open("rb") as stream:
            return stream.read(dsn.RETURNED + 1)

    def _compose(
        self, mail: OutgoingMail, pictures: list[tuple[str, bytes]], pages: int | None, original: bytes
    ) -> bytes:
        attachment = None
        if mail.file:
            try:
                attachment = self._spool.path(mail.file).read_bytes()
            except OSError as error:
                raise TryLater("the received document cannot be read", str(error)) from error
            known = mail.facts.get("sha256")  # of a received fax
            if known and hashlib.sha256(attachment).hexdigest() != known:
                raise Refused("the received document on disk is not the one that came")
        return compose(mail, self._letterhead, attachment, pictures, pages, original)

    async def _later(self, mail: OutgoingMail, tries: int, error: TryLater) -> None:
        now = self._clock()
        if now - mail.created_at > self._settings.expire_after and tries >= _MIN_TRIES:
            await self._give_up(mail, f"not delivered in time; the last answer: {error}")
            return
        wait = backoff(tries, self._settings.retry_after, self._settings.retry_max)
        # full minutes are when everybody retries
        wait = max(error.after or 0.0, wait * random.uniform(1 - _SPREAD, 1 + _SPREAD))  # noqa: S311  # not a secret
        is_late = mail.kind is MailKind.INBOUND and now - mail.created_at > self._settings.delay_after

        def commit(tx: Tx) -> bool:
            outbox.deferred(tx, mail.id, now + wait, str(error))
            return is_late and outbox.add(tx, self._notices.mail_waits(mail, str(error), now))

        if await self._database.write(commit):
            self.nudge()
        self._tell(mail, "deferred", str(error))

    async def _give_up(self, mail: OutgoingMail, why: str) -> None:
        """Dead, and visible as such. A received fax goes to the fallback mailbox; other deaths are told there."""
        now = self._clock()

        def commit(tx: Tx) -> None:
            if not outbox.dead(tx, mail.id, now, why):
                return
            fax = inbound.get(tx, mail.cause) if mail.kind is MailKind.INBOUND else None
            elsewhere = mail.to != self._notices.fallback
            if fax is not None and elsewhere:
                note = f"This fax could not be delivered to {mail.to}: {why.rstrip('.')}. If that mailbox is gone,"
                note += " mend the route of the number: faxgateway route list"
                told = self._notices.received(fax, self._notices.fallback, now, note=note, mark=".fallback")
                if outbox.add(tx, told):  # else he has it already, and does not know of this mailbox
                    return
            if (
                fax is not None or elsewhere or mail.kind is MailKind.POSTMASTER
            ):  # may be taken where a document was not
                outbox.add(tx, self._death(mail, now, why))

        await self._database.write(commit)
        self._tell(mail, "dead", why)
        self.nudge()

    def _death(self, mail: OutgoingMail, now: float, why: str) -> OutgoingMail:
        """The notice of a mail that was given up: what it was, and what a person can do in its stead."""
        facts = mail.facts
        match mail.kind:
            case MailKind.INBOUND:
                kept = f" The document is kept in the state directory: spool/{mail.file}" if mail.file else ""
                title = f"The received fax {mail.cause} could not be delivered to {mail.to}"
                text = f"{facts.get('note', '')}\nThe mail with it was given up: {why}.{kept}".lstrip()
                remedy = f"Mend the cause, then: faxgateway inbound redeliver {mail.cause} (--to ADDRESS for another mailbox)"
            case MailKind.POSTMASTER:
                title = "A mail for the postmaster could not be delivered"
                text = f"The mail from {facts['sender'] or 'nobody'}, client {facts['client']}, was given up: {why}"
                remedy = f"Read it in the state directory while it is kept: spool/{mail.file}"
            case MailKind.OPERATOR:  # what was to be approved by somebody who cannot be reached
                title, remedy = facts["title"], facts["remedy"]
                text = f"{facts['text']}\nThe mail that asks {mail.to} was given up: {why}"
            case _:
                title = f"A result mail to {mail.to} could not be delivered"
                text = f"The mail about fax {mail.cause} ({mail.kind}) was given up: {why}"
                remedy = f"Tell the sender yourself: faxgateway queue show {mail.cause}"
        return self._notices.operator(outbox.death(mail), now, title=title, text=text, remedy=remedy)

    def _tell(self, mail: OutgoingMail, result: str, why: str) -> None:
        telemetry.mail(mail.id, kind=mail.kind, cause=mail.cause, to=mail.to, result=result, why=why)
