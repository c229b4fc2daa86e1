"""A received fax becomes mails: stored once however often and in whatever shape it is told, then one mail a mailbox.

The document, the row and the mails it causes are durable before the caller answers 200. What no callback told is found
by a sweep of the provider's inbox; the two share no id, so they are matched by numbers, pages, time and content.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import structlog

from gateway import telemetry
from gateway.errors import GatewayError, KeyRefused, NotFound, Refused
from gateway.model import FaxArrival, InboundFax, InboundState
from gateway.ports import FaxProvider, InboxEntry
from gateway.service.due import DueLoop
from gateway.service.gate import Gate
from gateway.service.notices import Notices
from gateway.spool import Draft, Spool
from gateway.store import inbound, outbox, routes
from gateway.store.db import Database, Tx, get_meta, set_meta
from gateway.store.ids import new_id

log = structlog.get_logger("inbound")

_LOST = 900.0
_PAGE = 100
_PAGES = 100
_BASELINE = "inbox_baseline_at"


@dataclass(frozen=True, slots=True)
class InboundSettings:
    """Seconds. ``grace`` is how long a callback may take before the sweep fetches a fax itself; ``window`` how far the
    provider's time of a fax and its arrival here may lie apart and still mean the same fax.
    """

    sweep_every: float = 900.0
    grace: float = 1800.0
    window: float = 7200.0
    baseline: bool = True  # the first sweep ever takes what is there as known
    retry_after: float = 30.0
    retry_max: float = 900.0
    give_up_after: float = 2 * 86400.0


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
        on_key_refused: Callable[[KeyRefused], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._spool = spool
        self._provider = provider
        self._notices = notices
        self._settings = settings
        self._gate = gate
        self._on_mail = on_mail
        self._on_key_refused = on_key_refused
        self._clock = clock
        self._sweeper: asyncio.Task[None] | None = None
        self._sweep_now = asyncio.Event()
        self._fetches = DueLoop(
            "fetch",
            due=lambda now, most: database.read(lambda tx: inbound.due(tx, now, most)),
            next_due=lambda: database.read(inbound.next_due),
            key=lambda fax: fax.id,
            handle=self._fetch,
            limit=2,
            clock=clock,
        )

    def start(self) -> None:
        self._fetches.start()
        self._sweeper = asyncio.create_task(self._sweep_loop(), name="inbox-sweep")

    def nudge(self) -> None:
        self._fetches.nudge()

    def sweep_soon(self) -> None:
        """Sweep the inbox now rather than at its time."""
        self._sweep_now.set()

    async def stop(self, grace: float) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
            self._sweeper = None
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
        await self._receive(arrival, draft, file_type, source="callback")

    async def _receive(self, arrival: FaxArrival, draft: Draft | None, file_type: str, *, source: str) -> None:
        now = self._clock()
        sha256, size, file = "", 0, ""
        if draft is not None:
            try:
                sha256, size = draft.sha256, draft.size
                file = await draft.commit("inbound")
            finally:
                draft.discard()
        if not arrival.uuid and arrival.inbox_id is None:
            arrival = replace(arrival, uuid=f"made:{sha256[:32]}:{arrival.sender}:{arrival.recipient}:{arrival.time}")
        fax = InboundFax(
            id=f"in{new_id(now)}",
            state=InboundState.DISPATCHED if file else InboundState.PENDING,
            received_at=now,
            arrival=arrival,
            did=inbound.digits(arrival.recipient),
            file=file,
            file_type=file_type,
            size=size,
            sha256=sha256,
            next_at=now,
        )
        try:
            stored, mailboxes, used = await self._database.write(lambda tx: self._store(tx, fax, now))
        except GatewayError:
            if file:
                self._spool.remove([file])
            raise
        if file and not used:
            self._spool.remove([file])
        if stored is fax:
            telemetry.received(
                fax.id, source=source, did=fax.did, pages=arrival.pages, size=size, mailboxes=len(mailboxes)
            )
        else:
            telemetry.received_again(stored.id, source=source)
        if mailboxes:
            self._on_mail()
        if not file:
            self._fetches.nudge()
            self.sweep_soon()

    def _store(self, tx: Tx, fax: InboundFax, now: float) -> tuple[InboundFax, tuple[str, ...], bool]:
        """The fax, the mails it causes, and whether the file is used; or the same fax stored before."""
        known = self._known(tx, fax)
        if known is None:
            inbound.add(tx, fax)
            return fax, self._dispatch(tx, fax, now) if fax.file else (), True
        if fax.arrival.uuid and not known.arrival.uuid:
            inbound.bind(tx, known.id, uuid=fax.arrival.uuid)
        if known.state is InboundState.PENDING and fax.file:  # told before without its document
            inbound.dispatched(tx, known.id, file=fax.file, file_type=fax.file_type, size=fax.size, sha256=fax.sha256)
            whole = inbound.get(tx, known.id)
            assert whole is not None
            return known, self._dispatch(tx, whole, now), True
        if known.state is InboundState.PENDING and fax.arrival.file_url and not known.arrival.file_url:
            inbound.bind(tx, known.id, file_url=fax.arrival.file_url)
        return known, (), False

    def _known(self, tx: Tx, fax: InboundFax) -> InboundFax | None:
        """The same fax, told before: by its uuid, or fetched by the sweep with the very same content."""
        by_uuid = inbound.by_uuid(tx, fax.arrival.uuid)
        if by_uuid is not None and (not fax.sha256 or not by_uuid.sha256 or by_uuid.sha256 == fax.sha256):
            return by_uuid
        if by_uuid is not None:
            # one uuid for two documents: keep both, the provider's name for it is not to be trusted
            log.warning("one uuid for two documents", id=by_uuid.id)
            object.__setattr__(fax, "arrival", replace(fax.arrival, uuid=f"{fax.arrival.uuid}:{fax.sha256[:16]}"))
            return inbound.by_uuid(tx, fax.arrival.uuid)
        caller = inbound.digits(fax.arrival.sender)
        span = self._settings.window
        for other in inbound.alike(tx, fax.did, caller, fax.received_at - span, fax.received_at + span):
            if not other.arrival.uuid and other.sha256 and other.sha256 == fax.sha256:
                return other
        return None

    def _dispatch(self, tx: Tx, fax: InboundFax, now: float) -> tuple[str, ...]:
        """One mail for each mailbox of the DID; without a route, to the fallback mailbox, never to nobody."""
        route = routes.for_did(tx, fax.did)
        note = ""
        mailboxes = route.mailboxes if route else ()
        if not mailboxes:
            mailboxes = (self._notices.fallback,)
            note = f"No route leads from {fax.arrival.recipient or 'this number'} to a mailbox, so it came to you."
        for n, mailbox in enumerate(dict.fromkeys(mailboxes), 1):
            outbox.add(tx, self._notices.received(fax, mailbox, now, note=note, mark=f".{n}"))
        return tuple(mailboxes)

    async def redeliver(self, fax_id: str, to: str) -> int:
        """Mail a received fax again: to its mailboxes, or to ``to``. Returns how many mails; raises NotFound."""
        now = self._clock()

        def commit(tx: Tx) -> int:
            fax = inbound.get(tx, fax_id)
            if fax is None:
                raise NotFound(f"there is no received fax {fax_id}")
            if not fax.file:
                raise Refused(f"the document of {fax_id} is not here (any more)")
            if to:
                mail = self._notices.received(fax, to, now, mark=f".again{int(now)}")
                if outbox.add(tx, mail):
                    return 1
            mails = [mail for mail in outbox.of_cause(tx, fax_id) if not to or mail.to == to]
            return sum(outbox.revive(tx, mail.id, now) for mail in mails)

        count = await self._database.write(commit)
        self._on_mail()
        return count

    # --- documents that did not come along ------------------------------------------------------------------------

    async def _fetch(self, fax: InboundFax) -> None:
        now = self._clock()
        wait = min(self._settings.retry_max, self._settings.retry_after * 2 ** min(fax.strikes, 20))
        await self._database.write(lambda tx: inbound.failed(tx, fax.id, now + max(wait, _LOST), "being fetched"))
        why = "the provider has not named its document yet"
        if fax.arrival.file_url:
            try:
                await self._take_document(fax)
                return
            except GatewayError as error:
                why = str(error)
        else:
            self.sweep_soon()
        if now - fax.received_at > self._settings.give_up_after and fax.strikes >= 10:
            await self._without_document(fax, why)
            return
        await self._database.write(lambda tx: inbound.failed(tx, fax.id, now + wait, why))
        telemetry.retry(fax.id, step="fetch", wait=wait, why=why)

    async def _download(self, url: str) -> tuple[Draft, str]:
        """The document behind ``url``, in a draft, and its type. Raises GatewayError; leaves nothing behind then."""
        draft = self._spool.draft()

        async def write(chunk: bytes) -> None:
            draft.write(chunk)

        try:
            await self._provider.fetch(url, write)
            file_type = _type_of(draft)
            if not file_type:
                raise Refused("the provider's document is neither a PDF nor a TIFF")
        except BaseException:
            draft.discard()
            raise
        return draft, file_type

    async def _take_document(self, fax: InboundFax) -> None:
        draft, file_type = await self._download(fax.arrival.file_url)
        sha256, size = draft.sha256, draft.size
        file = await draft.commit("inbound")
        now = self._clock()

        def commit(tx: Tx) -> tuple[str, ...] | None:
            if not inbound.dispatched(tx, fax.id, file=file, file_type=file_type, size=size, sha256=sha256):
                return None
            whole = inbound.get(tx, fax.id)
            assert whole is not None
            return self._dispatch(tx, whole, now)

        mailboxes = await self._database.write(commit)
        if mailboxes is None:
            self._spool.remove([file])
            return
        telemetry.received(
            fax.id, source="fetch", did=fax.did, pages=fax.arrival.pages, size=size, mailboxes=len(mailboxes)
        )
        self._on_mail()

    async def _without_document(self, fax: InboundFax, why: str) -> None:
        """Say that a fax came whose document cannot be had: better known than lost."""
        now = self._clock()

        def commit(tx: Tx) -> None:
            if inbound.dispatched(tx, fax.id, file="", file_type="", size=0, sha256=""):
                self._dispatch(tx, fax, now)

        await self._database.write(commit)
        log.error("document given up", id=fax.id, why=why)
        self._on_mail()

    # --- the sweep ------------------------------------------------------------------------------------------------

    async def _sweep_loop(self) -> None:
        while True:
            self._sweep_now.clear()
            try:
                if self._gate.is_open:
                    await self.sweep()
            except KeyRefused as error:
                self._on_key_refused(error)
            except GatewayError as error:
                log.info("sweep did not end", why=str(error))
            except Exception:
                log.exception("unexpected failure of the sweep")
            await self._pause()

    async def _pause(self) -> None:
        """Until the next sweep is due, or one is asked for; never less than a retry pause."""
        await asyncio.sleep(min(self._settings.retry_after, self._settings.sweep_every))
        try:
            async with asyncio.timeout(max(0.0, self._settings.sweep_every - self._settings.retry_after)):
                await self._sweep_now.wait()
        except TimeoutError:
            return

    async def sweep(self) -> int:
        """Compare the provider's inbox with ours and fetch what no callback brought; returns how many were new."""
        since = await self._database.read(lambda tx: get_meta(tx, _BASELINE))
        first_ever = since is None
        entries = await self._read_inbox()
        now = self._clock()
        found = 0
        for entry in entries:
            if first_ever and self._settings.baseline:
                await self._database.write(partial(self._take_baseline, entry=entry, now=now))
            elif await self._missed(entry, now):
                found += 1
        if first_ever:
            await self._database.write(lambda tx: set_meta(tx, _BASELINE, str(now)))
        return found

    async def _read_inbox(self) -> list[InboxEntry]:
        seen: dict[int, InboxEntry] = {}
        for page in range(1, _PAGES + 1):
            got = await self._provider.inbox(page, _PAGE)
            fresh = [e for e in got.entries if e.arrival.inbox_id is not None and e.arrival.inbox_id not in seen]
            if not fresh:
                break
            seen.update((e.arrival.inbox_id, e) for e in fresh if e.arrival.inbox_id is not None)
            ids = [e.arrival.inbox_id for e in fresh if e.arrival.inbox_id is not None]
            known = await self._database.read(partial(_by_inbox_ids, ids=ids))
            if got.last or all(fax is not None and fax.state is not InboundState.PENDING for fax in known):
                break
        return list(seen.values())

    def _take_baseline(self, tx: Tx, entry: InboxEntry, now: float) -> None:
        arrival = entry.arrival
        assert arrival.inbox_id is not None
        if inbound.by_inbox_id(tx, arrival.inbox_id) is not None or self._match(tx, entry) is not None:
            return
        inbound.add(
            tx,
            InboundFax(
                id=f"in{new_id(now)}",
                state=InboundState.BASELINE,
                received_at=entry.created_at or now,
                arrival=arrival,
                did=inbound.digits(arrival.recipient),
            ),
        )

    def _match(self, tx: Tx, entry: InboxEntry) -> InboundFax | None:
        """A fax of ours that this entry may be: same numbers, same pages, about the same time, bound to no other."""
        arrival, at = entry.arrival, entry.created_at or self._clock()
        span = self._settings.window
        did, caller = inbound.digits(arrival.recipient), inbound.digits(arrival.sender)
        for fax in inbound.alike(tx, did, caller, at - span, at + span):
            pages = fax.arrival.pages
            if fax.arrival.inbox_id is None and not inbound.bound(tx, fax.id) and pages in (None, arrival.pages):
                return fax
        return None

    async def _missed(self, entry: InboxEntry, now: float) -> bool:
        """Bind an entry to the fax it is, or after the grace fetch it as one no callback told."""
        inbox_id = entry.arrival.inbox_id
        assert inbox_id is not None

        def bind(tx: Tx) -> bool:
            if inbound.by_inbox_id(tx, inbox_id) is not None:
                return True
            fax = self._match(tx, entry)
            if fax is None:
                return False
            inbound.bind(tx, fax.id, inbox_id=inbox_id)
            if fax.state is InboundState.PENDING and not fax.arrival.file_url:
                inbound.bind(tx, fax.id, file_url=entry.arrival.file_url)
                inbound.due_now(tx, fax.id, now)
            return True

        if await self._database.write(bind):
            self._fetches.nudge()
            return False
        if entry.created_at is not None and now - entry.created_at < self._settings.grace:
            return False
        draft, file_type = await self._download(entry.arrival.file_url)
        await self._receive(entry.arrival, draft, file_type, source="sweep")
        return True


def _by_inbox_ids(tx: Tx, ids: list[int]) -> list[InboundFax | None]:
    return [inbound.by_inbox_id(tx, inbox_id) for inbox_id in ids]


def _type_of(draft: Draft) -> str:
    """The type of a received document by its first bytes, "" when it is none we pass on."""
    with draft.path.open("rb") as stream:
        start = stream.read(1024)
    if b"%PDF-" in start:
        return "application/pdf"
    return "image/tiff" if start[:4] in (b"II*\0", b"MM\0*") else ""
