"""A received fax becomes mails: stored once however often and in whatever shape it is told, then one mail a mailbox.

The document, the row and the mails it causes are durable before the caller answers 200. What no callback told is found
by a sweep of the provider's inbox; the two share no id, so where numbers and time leave a doubt the content decides.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from gateway import received, telemetry
from gateway.errors import GatewayError, NotFound, Refused, TryLater
from gateway.model import FaxArrival, InboundFax, InboundState, OutgoingMail
from gateway.ports import FaxProvider
from gateway.service.due import DueLoop, backoff
from gateway.service.gate import Gate
from gateway.service.notices import Notices
from gateway.service.sweep import Sweep, SweepSettings, same_pages
from gateway.spool import Draft, Spool
from gateway.store import inbound, outbox, routes
from gateway.store.db import Database, Tx
from gateway.store.ids import new_id

log = structlog.get_logger("inbound")

_NUMBER = re.compile(r"\+[0-9]{7,15}", re.ASCII)
_TOLD_WITHIN = 48 * 3600.0  # seconds for which the provider tries to tell of a fax, as it does with results
_MIN_TRIES = 10  # a document is not given up on age alone: a clock may jump


@dataclass(frozen=True, slots=True)
class InboundSettings:
    """Seconds. The pause after a failed fetch doubles from ``retry_after`` to ``retry_max``; after ``give_up_after`` a
    fax is mailed without its document, after ``delay_after`` the operator is told that it waits.
    """

    retry_after: float = 30.0
    retry_max: float = 900.0
    delay_after: float = 4 * 3600.0
    give_up_after: float = 2 * 86400.0
    sweep: SweepSettings = field(default_factory=SweepSettings)


class Inbound:
    """Owns received faxes."""

    def __init__(
        self,
        database: Database,
        spool: Spool,
        provider: FaxProvider,
        notices: Notices,
        settings: InboundSettings,
        *,
        gate: Gate,
        on_mail: Callable[[], None],
        clock_believed: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._spool = spool
        self._provider = provider
        self._notices = notices
        self._settings = settings
        self._on_mail = on_mail
        self._clock_believed = clock_believed
        self._clock = clock
        self._fetches = DueLoop(
            "fetch",
            due=lambda now, most: database.read(lambda tx: inbound.due(tx, now, most)),
            next_due=lambda: database.read(inbound.next_due),
            key=lambda fax: fax.id,
            handle=self._fetch,
            limit=2,
            clock=clock,
        )
        self._sweep = Sweep(
            database, provider, settings.sweep, gate=gate, on_found=self.nudge, clock=clock,
        )  # fmt: skip

    async def recover(self) -> None:
        """After a start: a fetch that never ended is taken up again soon."""
        now, settings = self._clock(), self._settings
        await self._database.write(lambda tx: inbound.resume(tx, now, settings.retry_after, settings.retry_max))

    async def mend_times(self, *, soon: bool = False) -> None:
        """Nothing waits longer than the longest pause, whatever the clock has done; ``soon``: all is due now."""
        now = self._clock()
        latest = now + (0.0 if soon else self._settings.retry_max)
        await self._database.write(lambda tx: inbound.not_after(tx, latest, now))

    def start(self) -> None:
        self._fetches.start()
        self._sweep.start()

    def nudge(self) -> None:
        self._fetches.nudge()

    def sweep_soon(self) -> None:
        """Sweep the inbox now rather than at its time."""
        self._sweep.soon()

    async def sweep(self) -> int:
        """Compare the provider's inbox with ours; returns how many faxes no callback had told. Raises GatewayError."""
        return await self._sweep.sweep()

    async def stop(self, grace: float) -> None:
        await self._sweep.stop()
        await self._fetches.stop(grace)

    def draft(self) -> Draft:
        """A file for a document that is coming in. Raises NoSpace."""
        return self._spool.draft()

    # --- arrivals -------------------------------------------------------------------------------------------------

    async def arrival(self, arrival: FaxArrival, draft: Draft | None, file_type: str) -> None:
        """Take a fax that a callback brings; durable when this returns. Takes over the draft.

        ``draft`` None: the document did not come along and is fetched later. The same fax again has no effect.
        Raises TryLater on trouble of ours.
        """
        now = self._clock()
        sha256, size, file = "", 0, ""
        if draft is not None:
            try:
                sha256, size = draft.sha256, draft.size
                file = await draft.commit("inbound")
            finally:
                draft.discard()
        fax = InboundFax(
            id=f"in{new_id(now)}",
            state=InboundState.DISPATCHED if file else InboundState.PENDING,
            received_at=now,
            arrival=arrival,
            did=inbound.digits(arrival.recipient),
            file=file,
            file_type=file_type if file else "",
            size=size,
            sha256=sha256,
            next_at=now,
        )
        try:
            stored, mailboxes = await self._database.write(lambda tx: self._store(tx, fax, now))
        except GatewayError:
            if file:
                self._spool.remove([file])
            raise
        if file and stored.file != file:
            self._spool.remove([file])
        if mailboxes:
            telemetry.received(
                stored.id, source="callback", did=stored.did, pages=arrival.pages, size=size, mailboxes=len(mailboxes)
            )
            self._on_mail()
        elif stored.id == fax.id:
            telemetry.announced(stored.id, did=stored.did, pages=arrival.pages)
        else:
            telemetry.received_again(stored.id, source="callback")
        if not file:
            self.nudge()
            self.sweep_soon()

    def _store(self, tx: Tx, fax: InboundFax, now: float) -> tuple[InboundFax, tuple[str, ...]]:
        """The row of this fax, new or told before, and the mailboxes it goes to now."""
        fax = replace(fax, did=routes.did(tx, fax.arrival.recipient))
        known, key = self._named(tx, fax, now)
        if known is None:
            known = self._swept_before(tx, fax)
            if known is None:
                inbound.add(tx, fax, key)
                return fax, self._dispatch(tx, fax, now) if fax.file else ()
            if not fax.sha256:  # perhaps another one, so its name is not given to the row
                inbound.add(tx, replace(fax, state=InboundState.MERGED), key)
            elif fax.arrival.uuid:
                inbound.bind(tx, known.id, uuid=fax.arrival.uuid)
        if known.state is InboundState.PENDING and fax.file:  # told before without its document
            return self._complete(tx, known, fax, now)
        if known.state is InboundState.PENDING and fax.arrival.file_url and not known.arrival.file_url:
            inbound.bind(tx, known.id, file_url=fax.arrival.file_url)
        return known, ()

    def _named(self, tx: Tx, fax: InboundFax, now: float) -> tuple[InboundFax | None, str]:
        """The row that has this fax by its name; and the name, which for a fax without one is made."""
        arrival = fax.arrival
        key = arrival.uuid or f"made:{fax.sha256[:32]}:{arrival.sender}:{arrival.recipient}:{arrival.time}"
        named = inbound.by_uuid(tx, key)
        if named is None:
            return None, key
        if fax.sha256 and named.sha256 not in ("", fax.sha256):
            # one uuid for two documents: keep both, the provider's name for it is not to be trusted
            self._warn_of_uuid(tx, named, now)
            key = f"{key}:{fax.sha256[:16]}"
            return inbound.by_uuid(tx, key), key
        swept = named.state is InboundState.PENDING and fax.file and self._swept_before(tx, fax) is not None
        if swept or ((fax.file or arrival.file_url) and (named.is_given_up or named.state is InboundState.MERGED)):
            # told without its document before, and now with it: of what the other row says only the name is right
            inbound.merged(tx, named.id)
            inbound.bind(tx, named.id, uuid=f"{key}:bare")
            return None, key
        return named, key

    def _swept_before(self, tx: Tx, fax: InboundFax) -> InboundFax | None:
        """The fax of a callback that the sweep was faster with: the same content; or, for a callback without any, the
        same numbers and pages: should it have been another, then that one's entry still has its document mailed.
        """
        for other in self._alike(tx, fax):
            if not other.arrival.uuid and other.arrival.inbox_id is not None:
                return other
        return None

    def _alike(self, tx: Tx, fax: InboundFax) -> list[InboundFax]:
        span = self._settings.sweep.window
        if fax.sha256:
            found = inbound.same_content(tx, fax)
            most = max(span, _TOLD_WITHIN) if self._clock_believed() else float("inf")
            return [each for each in found if abs(each.received_at - fax.received_at) <= most]
        if fax.arrival.file_url:
            return []
        caller = inbound.digits(fax.arrival.sender)
        found = inbound.alike(tx, fax.did, caller, fax.received_at - span, fax.received_at + span)
        return [other for other in found if same_pages(fax, other)]

    def _warn_of_uuid(self, tx: Tx, known: InboundFax, now: float) -> None:
        log.warning("one uuid for two documents", id=known.id)
        alarm = self._notices.operator(
            f"uuid.{known.id}", now,
            title="The provider gave two received faxes the same id",
            text=f"A callback with the id {known.arrival.uuid} of the received fax {known.id} brought another document."
            " Both are kept and mailed.",
            remedy="Ask the provider why, if it happens again.",
        )  # fmt: skip
        outbox.add(tx, alarm)

    def _complete(self, tx: Tx, known: InboundFax, found: InboundFax, now: float) -> tuple[InboundFax, tuple[str, ...]]:
        """A pending fax gets its document, and its mails go out; also where others have told it without."""
        inbound.dispatched(
            tx, known.id, file=found.file, file_type=found.file_type, size=found.size, sha256=found.sha256
        )
        outbox.forget_of(tx, known.id)
        whole = inbound.get(tx, known.id)
        assert whole is not None
        return whole, self._dispatch(tx, whole, now)

    def _dispatch(self, tx: Tx, fax: InboundFax, now: float, note: str = "") -> tuple[str, ...]:
        """One mail for each mailbox of the DID; without a route, to the fallback mailbox, never to nobody."""
        route = routes.for_did(tx, fax.arrival.recipient)
        mailboxes = tuple(dict.fromkeys(route.mailboxes)) if route else ()
        if not mailboxes:
            mailboxes = (self._notices.fallback,)
            number = fax.arrival.recipient
            note = f"{note} No route leads from {number or 'this number'} to a mailbox, so it came to you."
            if _NUMBER.fullmatch(number):  # what else it may be has no place in a command
                note += f" To give it one: faxgateway route add did {number} ADDRESS"
        note = note.strip()
        for n, mailbox in enumerate(mailboxes, 1):
            mark = f".{n}" if fax.file else f".bare.{n}"  # with its document it may follow
            outbox.add(tx, self._notices.received(fax, mailbox, now, note=note, mark=mark))
        return mailboxes

    async def redeliver(self, fax_id: str, to: str) -> int:
        """Mail a received fax again: to its mailboxes, or to ``to``. Returns how many mails; raises NotFound.

        Under Message-IDs of their own: mail systems drop what has the one of a mail that they had.
        """
        now = self._clock()

        def again(fax: InboundFax, mailbox: str) -> OutgoingMail:
            return self._notices.received(fax, mailbox, now, mark=f".{new_id(now)}")

        def commit(tx: Tx) -> int:
            fax = inbound.get(tx, fax_id)
            if fax is None:
                raise NotFound(f"there is no received fax {fax_id}")
            if not fax.file and not fax.is_given_up:
                raise Refused(f"the document of {fax_id} is not here (any more)")
            if to and outbox.add(tx, again(fax, to)):
                return 1
            mails = [mail for mail in outbox.of_cause(tx, fax_id) if not to or mail.to == to]
            return sum(outbox.revive(tx, mail, now, message_id=again(fax, mail.to).message_id) for mail in mails)

        count = await self._database.write(commit)
        self._on_mail()
        return count

    # --- documents that did not come along ------------------------------------------------------------------------

    async def _fetch(self, fax: InboundFax) -> None:
        now, settings = self._clock(), self._settings
        tries = await self._database.write(lambda tx: inbound.begin_fetch(tx, fax.id, now + settings.retry_max))
        if not tries:
            return
        trouble: GatewayError = TryLater("the provider has not named its document yet")
        if fax.arrival.file_url:
            try:
                await self._take_document(fax)
                return
            except GatewayError as error:
                trouble = error
        self.sweep_soon()  # the inbox may name it, or name a fresh address
        now = self._clock()
        if now - fax.received_at > settings.give_up_after and tries >= _MIN_TRIES:
            await self._without_document(fax, trouble)
            return
        why = str(trouble)
        wait = backoff(tries, settings.retry_after, settings.retry_max)

        def commit(tx: Tx) -> bool:
            inbound.failed(tx, fax.id, now + wait, why)
            is_late = now - fax.received_at > settings.delay_after
            return is_late and outbox.add(tx, self._notices.no_document(fax, trouble.public, now))

        if await self._database.write(commit):
            self._on_mail()
        telemetry.retry(fax.id, step="fetch", wait=wait, why=why)

    async def _download(self, url: str) -> tuple[Draft, str, bool]:
        """The document behind ``url``, in a draft, its type, and whether it breaks off. Raises GatewayError; leaves nothing
        behind then.
        """
        draft = self._spool.draft()

        async def write(chunk: bytes) -> None:
            draft.write(chunk)

        try:
            await self._provider.fetch(url, write)
            kind = _type_of(draft)
            return draft, kind, _breaks_off(draft, kind)
        except BaseException:
            draft.discard()
            raise

    async def _document(self, url: str) -> tuple[Draft, str]:
        """:meth:`_download`, once more where it breaks off: HTTP does not always tell that it was the connection.

        What ends at the same place both times is what the provider has; the mail says that it is not whole.
        """
        first, kind, is_cut = await self._download(url)
        if not is_cut:
            return first, kind
        first.discard()
        again, kind, is_cut = await self._download(url)
        if is_cut and again.size != first.size:
            again.discard()
            raise TryLater("the document breaks off, each time at another place")
        return again, kind

    async def _take_document(self, fax: InboundFax) -> None:
        draft, kind = await self._document(fax.arrival.file_url)
        sha256, size = draft.sha256, draft.size
        file = await draft.commit("inbound")
        found = replace(fax, file=file, file_type=kind, size=size, sha256=sha256)
        now, believed = self._clock(), self._clock_believed()

        def commit(tx: Tx) -> tuple[InboundFax, tuple[str, ...]]:
            current = inbound.get(tx, fax.id)
            if current is None or current.state is not InboundState.PENDING:
                return current or fax, ()
            twin = self._twin(tx, replace(found, arrival=current.arrival), clock_believed=believed)
            if twin is None:
                return self._complete(tx, current, found, now)
            inbound.remove(tx, fax.id)
            inbound.bind(tx, twin.id, inbox_id=current.arrival.inbox_id, uuid=current.arrival.uuid)
            return twin, ()

        try:
            stored, mailboxes = await self._database.write(commit)
        except GatewayError:
            self._spool.remove([file])
            raise
        if stored.file != file:
            self._spool.remove([file])
        if stored.id != fax.id:
            telemetry.received_again(stored.id, source="fetch")
        elif mailboxes:
            telemetry.received(
                fax.id, source="fetch", did=fax.did, pages=fax.arrival.pages, size=size, mailboxes=len(mailboxes)
            )
            self._on_mail()

    def _twin(self, tx: Tx, fax: InboundFax, *, clock_believed: bool) -> InboundFax | None:
        """The row that has this very fax already: the same content, and no name that tells the two apart.

        A fax of the list is also one that a callback brought at about the list's time, however late it was read, and
        that is in the list under no name; at any time where the list tells none, or the clock was set between. One that a
        callback names is also one of the list that was fetched before, however long it took to come.
        """
        window, listed = self._settings.sweep.window, fax.arrival.inbox_id is not None
        timeless = fax.listed_at is None or not clock_believed
        for other in inbound.same_content(tx, fax):
            names_differ = (other.arrival.uuid and fax.arrival.uuid) or (other.arrival.inbox_id is not None and listed)
            near = abs(other.received_at - fax.received_at) <= window
            if listed and other.arrival.inbox_id is None:
                near = near or timeless or abs(other.received_at - (fax.listed_at or 0.0)) <= window
            elif other.arrival.inbox_id is not None:
                near = abs(other.received_at - fax.received_at) <= max(window, _TOLD_WITHIN)
            if other.id != fax.id and near and not names_differ:
                return other
        return None

    async def _without_document(self, fax: InboundFax, trouble: GatewayError) -> None:
        """Say once that a fax came whose document cannot be had: better known than lost."""
        now = self._clock()

        def commit(tx: Tx) -> bool:
            is_told = bool(outbox.of_cause(tx, fax.id))
            if not inbound.dispatched(tx, fax.id, file="", file_type="", size=0, sha256="") or is_told:
                return False
            perhaps = self._perhaps(tx, fax)
            known = (
                f" It may be the fax {perhaps.id}, which was mailed already: its details are the same."
                if perhaps
                else ""
            )
            self._dispatch(tx, fax, now, f"The last trouble was: {trouble.public}.{known}")
            return True

        if await self._database.write(commit):
            log.error("document given up", id=fax.id, why=str(trouble))
            self._on_mail()

    def _perhaps(self, tx: Tx, fax: InboundFax) -> InboundFax | None:
        """One that a callback brought, and that a fax of the list may be of which no document tells it apart."""
        if fax.arrival.uuid or fax.arrival.inbox_id is None:
            return None
        at, window = fax.listed_at or fax.received_at, self._settings.sweep.window
        alike = inbound.alike(tx, fax.did, inbound.digits(fax.arrival.sender), at - window, at + window)
        return next((one for one in alike if one.file and one.arrival.inbox_id is None and same_pages(one, fax)), None)


def _breaks_off(draft: Draft, kind: str) -> bool:
    with draft.path.open("rb") as stream:
        stream.seek(-min(draft.size, received.END), os.SEEK_END)
        return received.breaks_off(stream.read(), kind)


def _type_of(draft: Draft) -> str:
    """The type of a received document by its first bytes. Raises Refused for one that we do not pass on."""
    with draft.path.open("rb") as stream:
        kind = received.file_type(stream.read(received.START))
    if not kind:
        raise Refused("the provider's document is neither a PDF nor a TIFF")
    return kind
