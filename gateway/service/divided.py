"""A mail that comes in several parts (message/partial): they are kept until all are here, and then it is one mail.

RFC 2046 section 5.2.2. Parts belong together where the same client sends them from the same sender to the same numbers with the
same options, under one id; so no page can come to anybody else. Whoever has read a 250 for a part learns what became of the
whole: by its results, by the refusal of another part, or by the one mail that tells which parts are missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from typing import TypeAlias

from gateway import telemetry
from gateway.errors import Refused, TryLater
from gateway.mail import partial
from gateway.mail.buffer import Buffer
from gateway.model import Recipient, Submission
from gateway.service.notices import Notices
from gateway.service.repeats import TRIED
from gateway.spool import MailDraft, Spool
from gateway.store import bodies, jobs, outbox
from gateway.store import divided as store
from gateway.store.db import Database, Tx
from gateway.store.divided import Divided, Part

_OPEN = 20  # mails of a sender that may wait for parts
_SPACE = 4  # times the largest mail: with so much waiting, a sender may begin no other

Parts: TypeAlias = Mapping[int, Part]


@dataclass(frozen=True, slots=True)
class DividedSettings:
    """``timeout`` (s) for the parts of a mail to come, 0: none is taken; ``max_message`` (bytes) of them together."""

    timeout: float = 86400.0
    max_message: int = 50_000_000


@dataclass(frozen=True, slots=True)
class Arrival:
    """A part that comes in: ``submission`` is its own, with its ``content`` where that is no file; ``total`` as in Divided.

    ``key`` tells whose mail it belongs to, ``sha256`` is of what it holds of that.
    """

    key: str
    number: int
    total: int
    sha256: str
    submission: Submission
    content: bytes | None
    recipients: tuple[Recipient, ...]


class DividedMails:
    """Owns the parts of mails while some are missing."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        notices: Notices,
        settings: DividedSettings,
        *,
        on_mail: Callable[[], None],
        clock_believed: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._spool = spool
        self._notices = notices
        self._settings = settings
        self._on_mail = on_mail
        self._clock_believed = clock_believed
        self._clock = clock

    @property
    def patience(self) -> float:
        """How long (s) a mail may wait for its other parts."""
        return self._settings.timeout

    @property
    def taken(self) -> bool:
        """Whether parts of mails are taken at all."""
        return self._settings.timeout > 0

    # --- a part comes ---------------------------------------------------------------------------------------------

    async def take(self, part: Arrival) -> str | Parts:
        """Make a part durable; returns its id for the 250, or that of the same part that came before.

        Where it is the last that was missing nothing is stored: the others are returned, to be joined with it and settled.
        Raises Refused for what cannot belong to the mail, TryLater where the sender has too much waiting.
        """
        return self._unless_refused(await self._database.write(lambda tx: self._place(tx, part)))

    async def settle(self, part: Arrival, keep: Callable[[Tx], str]) -> str:
        """All parts are here: ``keep`` stores the whole and returns its id. Returns that, or an id as :meth:`take` does.

        One transaction; of several that bring the last part at once only one comes to ``keep``. Another is the same part
        again, or has become the first of another mail.
        """
        settled = self._unless_refused(await self._database.write(lambda tx: self._place(tx, part, keep)))
        assert isinstance(settled, str), "the others are returned only without keep"
        return settled

    def _unless_refused(self, placed: str | Parts | Refused) -> str | Parts:
        if isinstance(placed, Refused):
            self._on_mail()  # it may have ended what came before
            raise placed
        return placed

    def _place(self, tx: Tx, part: Arrival, keep: Callable[[Tx], str] | None = None) -> str | Parts | Refused:
        """The one place where it is decided what becomes of a part. A Refused is returned: what it has ended stands."""
        now = self._clock()
        mail = store.latest(tx, part.key)
        if mail is not None and mail.why:
            if mail.ended_at is not None and now - mail.ended_at < TRIED:
                return Refused(mail.why, status="5.6.0")
            mail = None
        here = store.parts(tx, mail.id) if mail else {}
        same = here.get(part.number)
        is_whole = mail is not None and mail.became != ""
        if same and same.sha256 == part.sha256 and (not is_whole or self._may_return(same, now)):
            return same.submission
        if is_whole:  # another mail, with an id that was used before
            mail, here = None, {}
        if mail is not None and (refusal := self._misfit(tx, mail, here, part, now)):
            return refusal
        if len(here) + 1 == max(part.total, mail.total if mail else 0):
            return here if keep is None else self._whole(tx, mail, part, keep, now)
        if mail is None:
            self._check_room(tx, part.submission.identity)
        jobs.add(tx, part.submission, [], part.submission.id)
        if part.content is not None:
            bodies.put(tx, part.submission.id, part.content)
        if mail is None:
            mail = store.begin(tx, part.submission.id, part.key, part.submission.identity, part.recipients, now)
        store.add(tx, mail.id, part.number, part.total, part.submission.id, part.sha256)
        return part.submission.id

    def _may_return(self, part: Part, now: float) -> bool:
        """Whether a part of what is whole already comes again from a client that may not have read our 250."""
        return part.confirmed_at is None and (now - part.came_at < TRIED or not self._clock_believed())

    def _misfit(self, tx: Tx, mail: Divided, here: Parts, part: Arrival, now: float) -> Refused | None:
        """Why a part cannot belong to a mail, which has then ended: nobody knows which of its parts belong together."""
        total = part.total or mail.total
        if part.number in here:
            why = f"two different mails came as part {part.number} of one"
        elif total and (total < max(part.number, *here) or mail.total not in (0, total)):
            why = f"its parts do not agree on how many they are ({mail.total or max(here)} and {part.total or part.number})"
        elif part.submission.size + sum(each.size for each in here.values()) > self._settings.max_message:
            most = f"{self._settings.max_message / 1_000_000:g} MB"
            refusal = Refused(
                f"the mail with all its parts is larger than the {most} accepted here; send fewer or smaller attachments",
                status="5.3.4",
            )
            store.end(tx, mail.id, now, why=refusal.public)  # told by the refusal
            return refusal
        else:
            return None
        return Refused(self._give_up(tx, mail, why, now), status="5.6.0")

    def _check_room(self, tx: Tx, identity: str) -> None:
        """Raise TryLater where a sender has much waiting: nobody fills the disk with what never becomes a fax."""
        count, size = store.open_of(tx, identity)
        if count >= _OPEN or size >= _SPACE * self._settings.max_message:
            raise TryLater(
                f"{count} divided mails of yours wait for their other parts; send those first, or try again when they have"
                " been given up",
                status="4.3.1",
            )

    def _whole(self, tx: Tx, mail: Divided | None, part: Arrival, keep: Callable[[Tx], str], now: float) -> str:
        id_ = keep(tx)
        if mail is not None:  # else it is all in this one
            store.add(tx, mail.id, part.number, part.total, id_, part.sha256)
            store.end(tx, mail.id, now, became=id_)
        return id_

    # --- all are here ---------------------------------------------------------------------------------------------

    async def join(self, others: Parts, part: Arrival, draft: MailDraft) -> None:
        """Put the whole mail together in ``draft``. Raises Refused, TryLater."""
        parts = {each.number: (each.submission, each.file) for each in others.values()}
        parts[part.number] = (part.submission.id, part.submission.mail_file)
        contents: list[bytes | str] = []
        for _, (submission, file) in sorted(parts.items()):
            content = part.content if submission == part.submission.id else None
            if content is None and file == bodies.HERE:
                content = await self._database.read(lambda tx, id_=submission: bodies.get(tx, id_))  # type: ignore[misc]
            contents.append(file if content is None else content)
        try:
            await asyncio.to_thread(self._write, contents, draft)
        except (OSError, ValueError) as error:
            raise TryLater(
                "the gateway cannot read the other parts of the mail; try again later", repr(error)
            ) from error

    def _write(self, contents: list[bytes | str], draft: MailDraft) -> None:
        with ExitStack() as opened:
            for piece in partial.join([self._source(each, opened) for each in contents]):
                draft.write(piece)

    def _source(self, content: bytes | str, opened: ExitStack) -> Buffer:
        if isinstance(content, bytes):
            return content
        stream = opened.enter_context(self._spool.path(content).open("rb"))
        return opened.enter_context(mmap(stream.fileno(), 0, access=ACCESS_READ))

    async def refuse(self, part: Arrival, why: str) -> None:
        """The whole was refused, which whoever brought its last part is told: it ends, and nobody is mailed."""
        now = self._clock()

        def commit(tx: Tx) -> None:
            mail = store.latest(tx, part.key)
            if mail is not None:
                store.end(tx, mail.id, now, why=why)

        await self._database.write(commit)

    # --- some are not ---------------------------------------------------------------------------------------------

    async def recover(self, seen: float) -> None:
        """At a start: ``seen`` is when the gateway was last known to be there (epoch)."""
        now = self._clock()
        await self._database.write(lambda tx: store.outage(tx, max(0.0, now - seen), now))

    async def give_up(self) -> None:
        """End the mails whose parts have not come in time; each sender gets one mail. Not while the clock may be wrong."""
        if not self._clock_believed() or not await self._database.read(store.waiting):
            return
        now = self._clock()

        def commit(tx: Tx) -> list[Divided]:
            store.outage(tx, 0.0, now)
            late = store.waiting(tx, now - self._settings.timeout)
            for mail in late:
                self._give_up(tx, mail, f"{lacking(mail, store.parts(tx, mail.id))} did not come in time", now)
            return late

        for mail in await self._database.write(commit):
            telemetry.divided_given_up(mail.id)
            self._on_mail()

    async def cancel(self, part: str, *, silent: bool) -> bool:
        """End the mail that a part, by its id, waits for the rest of; False where it does not wait (any more).

        Its sender gets the mail that tells it, unless ``silent``.
        """
        now = self._clock()

        def commit(tx: Tx) -> bool:
            found = store.of_part(tx, part)
            if found is None or found[1].ended_at is not None:
                return False
            self._end(tx, found[1], "cancelled by the administrator", now, code="cancelled", silent=silent)
            return True

        done = await self._database.write(commit)
        if done:
            self._on_mail()
        return done

    def _give_up(self, tx: Tx, mail: Divided, why: str, now: float) -> str:
        """End a mail that never became whole, and queue the mail that tells it; returns what its other parts hear."""
        return self._end(tx, mail, why, now, remedy=f"; {partial.REMEDY}")

    def _end(
        self,
        tx: Tx,
        mail: Divided,
        why: str,
        now: float,
        *,
        remedy: str = "",
        code: str = "divided",
        silent: bool = False,
    ) -> str:
        first = next(iter(store.parts(tx, mail.id).values()))
        submission = jobs.get_submission(tx, first.submission)
        assert submission is not None
        before = store.whole_before(tx, mail.id)
        if before:  # it is perhaps that mail once more, of which only some parts were brought again
            why = f"{why}; but a mail in the same parts came whole before, fax id {before}, and its own result is told"
        elif mail.set_back:
            why = f"{why}; but the gateway's records were set back, and it may have been faxed before"
        refusal = f"this mail came in parts and is not faxed: {why}{remedy}"
        if store.end(tx, mail.id, now, why=refusal) and not silent:
            notice = self._notices.divided(
                mail.id, submission, mail.recipients, now, why, maybe=mail.set_back or bool(before), code=code
            )
            outbox.add(tx, notice)
        return refusal


def lacking(mail: Divided, here: Parts) -> str:
    """Which parts of a mail are missing: ``part 2 of 5``, ``parts 2 and 4 of 5``."""
    known = mail.total or max(here)
    missing = [str(number) for number in range(1, known + 1) if number not in here]
    if not mail.total:
        missing.append(f"what comes behind part {known} (none told how many there are)")
        return _and(missing) if len(missing) == 1 else f"part{'s' * (len(missing) > 2)} {_and(missing)}"
    return f"part{'s' * (len(missing) > 1)} {_and(missing)} of {known}"


def _and(words: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
