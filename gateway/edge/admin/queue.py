"""The operator's hand on faxes going out. Each change is made to the job as it stands in that transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from gateway import numbers
from gateway.edge.admin import shown, words
from gateway.errors import NotFound, Refused
from gateway.model import NEEDS_APPROVAL, FaxJob, JobState, Submission
from gateway.service.divided import DividedMails, lacking
from gateway.service.outbound import Outbound
from gateway.store import divided, jobs, overview, spending, waiting
from gateway.store.db import Database, Tx

_MOST = 1_000_000
_PIECE = 200
_ALL = ["ALL"]
_MAY_BE_SENT = (
    "it may have been faxed already: ask the recipient, then cancel it, or send it again with"
    " faxgateway queue retry --resend"
)
Change = Callable[[Tx, FaxJob, float], str]  # why it could not be made, or ""


class Queue:
    """Faxes, and mails that wait for their other parts."""

    def __init__(
        self, database: Database, outbound: Outbound, parts: DividedMails, region: str, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._outbound = outbound
        self._region = region
        self._parts = parts
        self._clock = clock

    async def listing(
        self,
        state: str = "",
        to: str = "",
        sender: str = "",
        message_id: str = "",
        held: bool = False,
        open: bool = False,
        limit: int = 1000,
    ) -> dict[str, Any]:
        """Jobs, the newest first. Raises Refused for a state or number that is none."""
        wanted = _state(state) if state else None
        number = numbers.parse_number(to, region=self._region).e164 if to else ""
        most = max(1, min(limit, _MOST))
        found: list[tuple[FaxJob, Submission]] = []
        below: int | None = None
        while len(found) < most and below != 0:  # a piece at a time: others read in between
            piece = partial(
                overview.listing, state=wanted, number=number, sender=sender, message_id=message_id, held=held, ended=not open,
                limit=min(_PIECE, most - len(found)), below=below,
            )  # fmt: skip
            more, below = await self._database.read(piece)
            found += more
        return {"jobs": [shown.job(job, submission) for job, submission in found]}

    async def divided(self) -> dict[str, Any]:
        """Mails that wait for their other parts, the first first."""

        def read(tx: Tx) -> list[shown.Shown]:
            return [shown.divided(tx, mail, self._parts.patience) for mail in divided.waiting(tx)]

        return {"mails": await self._database.read(read)}

    async def show(self, id: str) -> dict[str, Any]:
        """One job, or all of a mail, with their history; a part of a mail stands for it. Raises NotFound."""
        found = await self._database.read(lambda tx: _show(tx, id))
        if not found:
            why = await self._database.read(lambda tx: _why_none(tx, id))
            raise NotFound(why or f"there is no fax or mail with the id {id}")
        return {"jobs": found}

    async def hold(self, ids: list[str], reason: str = "") -> dict[str, Any]:
        why = words.line(reason, "a reason") or "by the operator"

        def change(tx: Tx, job: FaxJob, now: float) -> str:
            return "" if jobs.hold(tx, job, now, why) else f"it is {'held already' if job.hold else job.state}"

        return await self._each(ids, self._changing(change))

    async def release(self, ids: list[str] | None = None, sender: str = "") -> dict[str, Any]:
        """Let held jobs go on: those named, or those of a sender, who may then send again if he was stopped; what needs an
        approval has to be named.
        """
        if not sender:
            return await self._each(ids or [], self._changing(_release))
        lifted = await self._database.write(lambda tx: _let_go(tx, sender))
        held = await self._database.read(lambda tx: waiting.held_of(tx, sender))
        done = await self._each(held, self._changing(_release_unseen)) if held else {"changed": [], "unchanged": []}
        return {**done, "lifted": lifted}

    async def retry(self, ids: list[str], resend: bool = False) -> dict[str, Any]:
        """Make jobs due now; those named even where they are held, with ``resend`` even one that may have been faxed."""
        named = ids != _ALL
        return await self._each(
            ids, self._changing(lambda tx, job, now: _retry(tx, job, now, resend=resend, named=named))
        )

    async def cancel(self, ids: list[str] | None = None, silent: bool = False, sender: str = "") -> dict[str, Any]:
        """End jobs that the provider does not have, those named or the held ones of a sender; by the id of a part, a mail that
        waits for the others.

        ``silent`` tells the sender nothing.
        """
        if sender:
            ids = await self._database.read(lambda tx: waiting.held_of(tx, sender))
            if not ids:
                return {"changed": [], "unchanged": []}

        async def act(job_id: str) -> str:
            job = await self._get(job_id)
            if job is None:
                return "" if await self._parts.cancel(job_id, silent=silent) else "there is no such fax"
            is_looked_for = job.state is JobState.IN_DOUBT and not job.hold
            if not is_looked_for and await self._outbound.settle.cancel(job, silent=silent):
                return ""
            now = await self._get(job_id) or job
            if now.state is JobState.IN_DOUBT:
                return "its outcome is being found out; hold it first"
            if now.state.terminal:
                return f"it is {now.state}"
            told = "; release it, or its sender does not hear its result" if now.hold else ""
            return f"it is {now.state}: the provider has it, and cannot be stopped{told}"

        return await self._each(ids or [], act)

    async def _get(self, job_id: str) -> FaxJob | None:
        return await self._database.read(lambda tx: jobs.get(tx, job_id))

    def _changing(self, change: Change) -> Callable[[str], Awaitable[str]]:
        async def act(job_id: str) -> str:
            now = self._clock()

            def commit(tx: Tx) -> str:
                job = jobs.get(tx, job_id)
                return "there is no such fax" if job is None else change(tx, job, now)

            return await self._database.write(commit)

        return act

    async def _each(self, ids: list[str], act: Callable[[str], Awaitable[str]]) -> dict[str, Any]:
        """Do ``act`` to each job named; it returns why it could not, or ""."""
        if not ids:
            raise Refused("name the faxes by their ids, or ALL")
        changed: list[str] = []
        unchanged: list[dict[str, str]] = []
        for job_id in await self._database.read(lambda tx: _select(tx, ids)):
            why = await act(job_id)
            if why:
                unchanged.append({"id": job_id, "why": why})
            else:
                changed.append(job_id)
        self._outbound.nudge()
        return {"changed": changed, "unchanged": unchanged}


def _state(text: str) -> JobState:
    try:
        return JobState(text)
    except ValueError:
        raise Refused(f"{text!a} is no state of a fax; there are {', '.join(JobState)}") from None


def _show(tx: Tx, wanted: str) -> list[shown.Shown]:
    one = jobs.get(tx, wanted)
    return [shown.job_in_full(tx, job) for job in ([one] if one else _of_mail(tx, wanted))]


def _of_mail(tx: Tx, wanted: str) -> list[FaxJob]:
    """The faxes of a mail; those of the whole for a part of one."""
    part = divided.of_part(tx, wanted)
    return jobs.of_submission(tx, (part and part[1].became) or wanted)


def _why_none(tx: Tx, wanted: str) -> str:
    """What a mail is that has no faxes: a part of one that is not whole."""
    part = divided.of_part(tx, wanted)
    if part is None:
        return ""
    number, mail = part
    why = mail.why or f"it waits for {lacking(mail, divided.parts(tx, mail.id))} (faxgateway queue divided)"
    return f"{wanted} is part {number} of a mail that is no fax: {why}"


def _select(tx: Tx, ids: list[str]) -> list[str]:
    """The ids of the jobs named, each once; a mail's id stands for all its jobs, what is unknown for itself."""
    if ids == _ALL:
        return waiting.open_ids(tx)
    found: dict[str, None] = {}
    for wanted in ids:
        several = [] if jobs.get(tx, wanted) else _of_mail(tx, wanted)
        found.update(dict.fromkeys([job.id for job in several] or [wanted]))
    return list(found)


def _let_go(tx: Tx, sender: str) -> list[str]:
    return [sender] if spending.let_go(tx, sender) else []


def _release(tx: Tx, job: FaxJob, now: float) -> str:
    """One in doubt is looked for again; another that may have been faxed would be sent at once."""
    if job.may_be_sent and job.state is not JobState.IN_DOUBT:
        return _MAY_BE_SENT
    return "" if jobs.release(tx, job, now) else "it is not held"


def _release_unseen(tx: Tx, job: FaxJob, now: float) -> str:
    """As one of many: whoever has to approve one looks at that one."""
    return f"{job.hold}; approve it by its id" if job.hold.startswith(NEEDS_APPROVAL) else _release(tx, job, now)


def _retry(tx: Tx, job: FaxJob, now: float, *, resend: bool, named: bool) -> str:
    """Make a job due now; one held as it may have been sent is, by the operator's word that it was not, sent again.

    What waits for a person or for its time is meant only where it is ``named``.
    """
    if job.state.terminal:
        return f"it is {job.state}; send the mail again for a new fax"
    is_doubtful = job.may_be_sent or (job.state is JobState.IN_DOUBT and job.hold != "")
    if is_doubtful and not resend:
        return _MAY_BE_SENT
    if job.hold and not named:
        return f"it is held: {job.hold}; let it go by its id"
    if job.options.send_at > now and job.state in waiting.UNSENT and not named:
        return "its sender wants it later; send it now by its id"
    if job.options.send_at > now and job.state is JobState.ACCEPTED and not job.hold:
        return "its pages are not ready yet; send it now when they are"
    if is_doubtful:
        jobs.say_absent(tx, job)
    if is_doubtful and job.state is JobState.IN_DOUBT:
        jobs.change(tx, job, JobState.UPLOADED, now, "sent again by the operator's word")
        job = replace(job, state=JobState.UPLOADED)
    if job.hold:
        jobs.release(tx, job, now)
        if job.options.send_at <= now:
            return ""
    if job.state is JobState.SUBMITTING:
        return "it is being sent at this moment"
    jobs.touch(tx, job, now, "due now, by the operator's word", next_at=now, strikes=0)
    return ""
