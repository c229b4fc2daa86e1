"""A mail becomes a fax document, once for all its jobs that want the same pages.

Each try is counted for all jobs of the mail before it begins. A mail whose conversion dies again and again is set aside
with a notice, so that the others go on; trouble of ours, such as a full disk, is never held against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from gateway import telemetry
from gateway.document.cover_choice import CoverChoice
from gateway.document.cover_facts import gather
from gateway.document.worker import CONVERSION_FAILED, WorkerPool
from gateway.document.workshop import ENDED_BY_SYSTEM
from gateway.errors import GatewayError, Refused, TryLater
from gateway.model import FaxDocument, FaxJob, FaxPage, JobState, LedgerEntry, MailKind, OutgoingMail, Submission
from gateway.service.due import backoff
from gateway.service.making import make
from gateway.service.notices import Notices
from gateway.spool import Spool
from gateway.store import bodies, jobs, outbox, waiting
from gateway.store.db import Database, Tx

_TOGETHER = 10  # times as long as one conversion may take
LARGE = 8_000_000  # bytes of a mail, beyond which its conversion may take much memory


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """Seconds. ``tries`` of a conversion before a mail is set aside; ``large`` mails at once; ``document``: options of
    document.render; ``office``: the directory of LibreOffice's programs, "" where there is none; ``html``: whether HTML is
    drawn; ``trim``: what message texts lose at their end.
    """

    tries: int = 3
    large: int = 1
    timeout: float = 60.0  # of a conversion; a mail takes two, or many if it brings office documents
    retry_after: float = 30.0
    retry_max: float = 900.0
    document: dict[str, Any] = field(default_factory=dict)
    office: str = ""
    html: bool = False
    trim: tuple[str, ...] = ()
    cover: CoverChoice = field(default_factory=CoverChoice)
    cover_facts: dict[str, str] = field(default_factory=dict)  # what the configuration says of the sender


class Prepare:
    """The step from accepted to prepared, or to failed for what can never become a fax."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        pool: WorkerPool,
        notices: Notices,
        settings: PrepareSettings,
        *,
        on_mail: Callable[[], None],
        nudge: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._spool = spool
        self._pool = pool
        self._notices = notices
        self._settings = settings
        self._on_mail = on_mail
        self._nudge = nudge
        self._clock = clock
        self._large = asyncio.Semaphore(settings.large)
        self._door = asyncio.Lock()  # through which each conversion begins
        self._under_way = 0
        self._alone = asyncio.Event()  # nothing is under way
        self._alone.set()

    async def __call__(self, job: FaxJob) -> None:
        """Prepare the mail of ``job``; a large one when its turn has come, so that some of the memory is left to others."""
        submission = await self._database.read(lambda tx: jobs.submission_of(tx, job))
        async with self._large if submission.size > LARGE else contextlib.nullcontext(), self._turn(job):
            await self._prepare(job, submission)

    @contextlib.asynccontextmanager
    async def _turn(self, job: FaxJob) -> AsyncIterator[None]:
        """Where the gateway itself ended each time, or the system its converter, the last try of a mail is made with no other
        beside it: whose fault it is shows then, and all memory is its own.
        """
        suspect = not job.last_error or ENDED_BY_SYSTEM in job.last_error
        async with self._door:
            if job.strikes and job.strikes + 1 >= self._settings.tries and suspect:
                await self._alone.wait()
                yield
                return
            self._under_way += 1
            self._alone.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._alone.set()

    async def _prepare(self, job: FaxJob, submission: Submission) -> None:
        now = self._clock()
        settings = self._settings
        tries = await self._database.write(
            lambda tx: jobs.strike_mail(tx, job, now, now + 2 * settings.timeout + settings.retry_max)
        )
        if not tries:
            return
        if tries > settings.tries:
            await self._set_aside(job, submission)
            return
        for alike in await self._database.read(lambda tx: self._alike(tx, job.submission)):
            if not await self._make(job, submission, alike, tries):
                return

    async def _make(self, job: FaxJob, submission: Submission, alike: list[FaxJob], tries: int) -> bool:
        """Make the document of ``alike``, jobs that want the same pages; False when it is to be tried later."""
        try:
            document = await self._render(submission, alike[0])
        except Refused as error:
            await self._failed(submission, error, alike)
        except TryLater as error:
            await self._put_off(job, error, tries)
            return False
        except OSError as error:
            telemetry.disk_trouble(job.id, why=str(error))
            await self._put_off(job, TryLater("the gateway has trouble with its disk", str(error)), tries)
            return False
        else:
            await self._prepared(submission, document, alike)
        return True

    async def _render(self, submission: Submission, job: FaxJob) -> FaxDocument:
        self._spool.check_room()
        work = self._spool.work_directory()
        try:
            mail, parts, out = await self._mail(submission, work), work / "parts", work / "fax.pdf"
            parts.mkdir(mode=0o700)
            making = make(
                self._pool, mail, parts, out, self._options(submission, job),
                trim=self._settings.trim, office=self._settings.office, html=self._settings.html,
                cover_facts=partial(self._facts, submission, job),
            )  # fmt: skip
            made = await self._within_time(making)
            file = await self._spool.adopt(out, "document")
        finally:
            await asyncio.to_thread(shutil.rmtree, work, ignore_errors=True)
        return FaxDocument(
            file=file,
            pages=made["pages"],
            size=made["size"],
            sha256=made["sha256"],
            seconds=made["seconds"],
            ledger=tuple(LedgerEntry(**entry) for entry in made["ledger"]),
            sheets=tuple(FaxPage.of(page) for page in made["sheets"]),
        )

    async def _within_time(self, making: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """What is made of a mail. Raises TryLater where all its conversions together take so long that others would starve."""
        most = _TOGETHER * self._settings.timeout
        try:
            async with asyncio.timeout(most):
                return await making
        except TimeoutError as error:
            raise TryLater(
                f"the documents of the mail together took longer than {most / 60:g} minutes to convert; send fewer of them, or"
                " print them to one PDF and send that",
                status=CONVERSION_FAILED,
            ) from error

    def _options(self, submission: Submission, job: FaxJob) -> dict[str, Any]:
        """Options of document.render for a job: the configuration's, then what its sender said, and what a header says."""
        facts = {
            "date": datetime.fromtimestamp(self._clock()).astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            "from": job.tsi or submission.sender,
            "to": job.number.e164,
        }
        front = self._settings.cover(job.options.cover)
        return {**self._settings.document, **job.options.document, "cover": front, "header_facts": facts}

    def _facts(self, submission: Submission, job: FaxJob, headers: dict[str, str]) -> dict[str, Any]:
        return gather(
            headers, job.options, self._settings.cover_facts,
            rcpt=job.rcpt, number=job.number.e164, sender=submission.sender, subject=submission.subject,
            at=submission.created_at,
        )  # fmt: skip

    async def _mail(self, submission: Submission, work: Path) -> Path:
        """The mail as a file, in ``work`` when it is kept in the database. Raises Refused when it, or a piece, is lost."""
        if submission.mail_file == bodies.HERE:
            content = await self._database.read(lambda tx: bodies.get(tx, submission.id))
            if content is not None:
                source = work / "mail.eml"
                await asyncio.to_thread(source.write_bytes, content)
                return source
        elif (source := self._spool.path(submission.mail_file)).is_file():
            if source.stat().st_size == submission.size:
                return source
            raise Refused("the file of this mail is no longer whole at the gateway; send it again", status="5.3.0")
        raise Refused("the gateway has lost the file of this mail; send it again", status="5.3.0")

    async def _prepared(self, submission: Submission, document: FaxDocument, alike: list[FaxJob]) -> None:
        now = self._clock()
        ids = {job.id for job in alike}

        def commit(tx: Tx) -> list[FaxJob]:
            changed = []
            for job in jobs.of_submission(tx, submission.id):
                if job.id in ids and job.state is JobState.ACCEPTED and jobs.change(
                    tx, job, JobState.PREPARED, now, f"{document.pages} page{'s' * (document.pages != 1)} prepared",
                    next_at=max(now, job.options.send_at),
                ):  # fmt: skip
                    jobs.set_document(tx, job.id, document)
                    changed.append(replace(job, document=document))
            for mail in self._notices.accepted(changed, submission, now):
                outbox.add(tx, mail)
            return changed

        try:
            changed = await self._database.write(commit)
        except GatewayError:
            self._spool.remove([document.file])
            raise
        if not changed:  # cancelled meanwhile
            self._spool.remove([document.file])
        for job in changed:
            telemetry.prepared(job.id, pages=document.pages, size=document.size, seconds=document.seconds)
        self._nudge()
        self._on_mail()

    async def _put_off(self, job: FaxJob, error: TryLater, tries: int) -> None:
        """Not now. Only a conversion that died while there was room counts against the mail."""
        blamed = tries if error.status == CONVERSION_FAILED and self._has_room() else tries - 1
        wait = backoff(tries, self._settings.retry_after, self._settings.retry_max)
        now = self._clock()
        await self._database.write(lambda tx: jobs.put_off_mail(tx, job, now, now + wait, error.public, strikes=blamed))
        telemetry.retry(job.id, step="prepare", wait=wait, why=str(error))

    def _has_room(self) -> bool:
        try:
            self._spool.check_room()
        except TryLater:
            return False
        return True

    def _alike(self, tx: Tx, submission: str) -> list[list[FaxJob]]:
        """The jobs of a mail that wait for their document, those together that want the same pages.

        A header line names the number it goes to and a cover page its recipient, so each has pages of its own then.
        """
        groups: dict[str, list[FaxJob]] = {}
        for job in jobs.of_submission(tx, submission):
            if job.state is JobState.ACCEPTED:
                groups.setdefault(self._look(job), []).append(job)
        return list(groups.values())

    def _look(self, job: FaxJob) -> str:
        """The same for jobs whose pages are the same."""
        wanted = {**self._settings.document, **job.options.document}
        try:
            covered = bool(self._settings.cover(job.options.cover))
        except Refused:  # to be told when its pages are made
            covered = True
        headed = (job.number.e164, job.tsi) if wanted.get("header") else ()
        return str((job.options.document, headed, (job.rcpt, job.number, job.options) if covered else ()))

    # --- what cannot be faxed -------------------------------------------------------------------------------------

    async def _as_file(self, submission: Submission) -> str:
        """The spool name of a mail that a person is to look at."""
        if submission.mail_file != bodies.HERE:
            return submission.mail_file
        content = await self._database.read(lambda tx: bodies.get(tx, submission.id))
        draft = self._spool.mail_draft(0)
        try:
            draft.write(content or b"")
            file = await draft.keep()
        finally:
            draft.discard()
        await self._database.write(lambda tx: bodies.move(tx, submission.id, file))
        return file

    async def _set_aside(self, job: FaxJob, submission: Submission) -> None:
        """A mail whose conversion dies fails. Where we ended instead, it may be the machine's fault: a person looks at it."""
        file = await self._as_file(submission)
        look = f"copy the file spool/{file} to set-aside.eml and see what happens: faxgateway preview set-aside.eml"
        tries = self._settings.tries
        if not job.last_error:
            why = f"the gateway itself ended each of the {tries} times it worked on this mail"
            remedy = f"If the machine was at fault: faxgateway queue release {submission.id}; else {look}"
            await self._hold(submission, why, remedy)
            return
        error = Refused(
            f"the gateway could not convert this mail in {tries} tries: {job.last_error}", status=CONVERSION_FAILED
        )
        alarm = self._alarm(
            submission, f"{error.public}. Its faxes have failed, and the sender was told.", f"While it is kept, {look}"
        )
        await self._failed(submission, error, [], alarm=lambda tx: outbox.add(tx, alarm))

    def _alarm(self, submission: Submission, text: str, remedy: str) -> OutgoingMail:
        return self._notices.operator(
            f"set-aside.{submission.id}.{int(self._clock())}",
            self._clock(),
            title=f"The mail {submission.id} is set aside",
            text=f"The mail from {submission.sender or 'nobody'}: {text}",
            remedy=remedy,
        )

    async def _hold(self, submission: Submission, why: str, remedy: str) -> None:
        """Keep its faxes for a person; the sender is told that they wait."""
        now = self._clock()
        alarm = self._alarm(submission, f"{why}. Its faxes are held, and the sender was told.", remedy)

        def commit(tx: Tx) -> list[FaxJob]:
            held = []
            for job in jobs.of_submission(tx, submission.id):
                if job.state is JobState.ACCEPTED and jobs.hold(tx, job, now, why):
                    held.append(job)
                    if waiting.told(tx, job, now):
                        mail = self._notices.result(MailKind.DELAYED, job, submission, now, code="held", text=why)
                        outbox.add(tx, mail)
            outbox.add(tx, alarm)
            return held

        for job in await self._database.write(commit):
            telemetry.held(job.id, why=why)
        self._on_mail()

    async def _failed(
        self,
        submission: Submission,
        error: Refused,
        alike: list[FaxJob],
        *,
        alarm: Callable[[Tx], object] = lambda _tx: None,
    ) -> None:
        """What the mail holds can never become these faxes, or any when none is named: they fail, each with its notice.

        Nothing of the kind is said of one that may have been sent: a person decides about that.
        """
        ids = {job.id for job in alike}
        now = self._clock()

        def commit(tx: Tx) -> list[FaxJob]:
            failed = []
            for job in jobs.of_submission(tx, submission.id):
                if job.state is not JobState.ACCEPTED or job.may_be_sent or (ids and job.id not in ids):
                    continue
                if jobs.change(tx, job, JobState.FAILED, now, error.public, outcome="content", last_error=error.public):
                    failed.append(job)
                    mail = self._notices.result(
                        MailKind.FAILED, job, submission, now,
                        code="content", text=error.public, status=error.status,
                    )  # fmt: skip
                    outbox.add(tx, mail)
            alarm(tx)
            return failed

        for job in await self._database.write(commit):
            telemetry.ended(
                job.id, number=job.number.e164, state="failed", code="content", why=str(error),
                took=now - job.created_at,
            )  # fmt: skip
        self._on_mail()
