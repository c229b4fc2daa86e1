"""The sweep: the provider's inbox is compared with what callbacks have told, so that no received fax is missed.

An entry and a callback share no id. An entry is taken for a fax that a callback brought only where nothing speaks
against it; in all other cases its document is fetched and the content decides (:mod:`gateway.service.inbound`). So
each entry has its document in a mail: a doubled mail is a nuisance, a missing fax is a loss.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import structlog

from gateway.errors import GatewayError
from gateway.model import InboundFax, InboundState
from gateway.ports import FaxProvider, InboxEntry
from gateway.service.due import end
from gateway.service.gate import Gate
from gateway.store import inbound, routes
from gateway.store.db import Database, Tx, get_meta, set_meta
from gateway.store.ids import new_id

log = structlog.get_logger("sweep")

_PAGE = 100
_PAGES = 300
_WHOLE = 4  # of so many sweeps one reads the list to its end: it may be in any order, and lag behind
_ZONES = 2 * 86400.0  # seconds: more than two time zones, or a clock that is somewhat wrong, lie apart
_ASKED = 30 * 86400.0  # seconds for which a document that was given up is asked for again, with each whole reading
_STARTED = "inbox_first_start_at"
_BASELINE = "inbox_baseline_at"


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """Seconds. ``grace`` is how long a callback may take before the sweep fetches a fax itself; ``window`` how far the
    provider's time of a fax and its arrival here may lie apart and still mean the same fax; ``pause`` is the least time
    between two sweeps. With ``baseline`` what was in the inbox before the very first start is known, and not mailed.
    """

    every: float = 900.0
    grace: float = 1800.0
    window: float = 7200.0
    baseline: bool = True
    pause: float = 30.0


class Sweep:
    """``on_found`` is called when there are documents to fetch."""

    def __init__(
        self,
        database: Database,
        provider: FaxProvider,
        settings: SweepSettings,
        *,
        gate: Gate,
        on_found: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._database = database
        self._provider = provider
        self._settings = settings
        self._gate = gate
        self._on_found = on_found
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._now = asyncio.Event()
        self._sweeps = 0
        self._open: set[int] = set()  # entries that the last sweep left to be decided

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="inbox-sweep")

    def soon(self) -> None:
        """Sweep now rather than at its time."""
        self._now.set()

    async def stop(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        while True:
            self._now.clear()
            try:
                await self._mark_start()
                if self._gate.may_ask:
                    await self.sweep()
            except GatewayError as error:
                log.info("sweep did not end", why=str(error))
            except Exception:
                log.exception("unexpected failure of the sweep")
            await self._rest()

    async def _rest(self) -> None:
        """Until the next sweep is due, or one is asked for; never less than the pause."""
        await asyncio.sleep(min(self._settings.pause, self._settings.every))
        try:
            async with asyncio.timeout(max(0.0, self._settings.every - self._settings.pause)):
                await self._now.wait()
        except TimeoutError:
            return

    async def _mark_start(self) -> None:
        """What comes after the very first start is new, however long the first sweep may have to wait."""
        now = self._clock()

        def mark(tx: Tx) -> None:
            if get_meta(tx, _STARTED) is None:
                set_meta(tx, _STARTED, str(now))

        await self._database.write(mark)

    # --- one sweep ------------------------------------------------------------------------------------------------

    async def sweep(self) -> int:
        """Compare the provider's inbox with ours; returns how many faxes no callback had told. Raises GatewayError."""
        entries = await self._read_inbox()
        self._gate.answered()
        now = self._clock()
        found = await self._database.write(lambda tx: self._compare(tx, entries, now))
        self._sweeps += 1
        self._on_found()
        return found

    @property
    def _is_whole(self) -> bool:
        return self._sweeps % _WHOLE == 0

    async def _read_inbox(self) -> list[InboxEntry]:
        """The list to its end, or to a page without news while it runs from the newest to the oldest.

        It is not left before all was seen that had to wait for a decision.
        """
        whole = self._is_whole
        seen: dict[int, InboxEntry] = {}
        for page in range(1, _PAGES + 1):
            try:
                got = await self._provider.inbox(page, _PAGE)
            except GatewayError as error:
                self._gate.failed(error)
                raise
            fresh = {_id(entry): entry for entry in got.entries if _id(entry) not in seen}
            if not fresh:
                break
            seen |= fresh
            known = await self._database.read(lambda tx, fresh=fresh: [inbound.by_inbox_id(tx, id_) for id_ in fresh])  # type: ignore[misc]
            no_news = all(fax is not None and fax.state is not InboundState.PENDING for fax in known)
            ordered = list(seen) == sorted(seen, reverse=True)
            if got.last or (no_news and ordered and not whole and self._open <= seen.keys()):
                break
        else:
            log.warning("the inbox is too long to be read to its end", entries=len(seen))
        return list(seen.values())

    def _compare(self, tx: Tx, entries: Sequence[InboxEntry], now: float) -> int:
        """All entries in one transaction: what one of them is depends on how many others it may be."""
        first, whole = get_meta(tx, _BASELINE) is None, self._is_whole
        started = float(get_meta(tx, _STARTED) or now)
        unknown = []
        for entry in sorted(entries, key=lambda entry: (entry.created_at or 0.0, _id(entry))):
            known = inbound.by_inbox_id(tx, _id(entry))
            if known is not None and _is_given_again(tx, known, entry):
                inbound.unbind(tx, known.id)
                known = None
            if known is None:
                unknown.append(entry)
            elif known.state is InboundState.PENDING and entry.arrival.file_url:
                inbound.bind(tx, known.id, file_url=entry.arrival.file_url)  # addresses may go stale
            elif known.is_given_up and entry.arrival.file_url and whole and now - known.received_at < _ASKED:
                inbound.wanted(tx, known.id, entry.arrival.file_url, now)
        # a time that is yet to come is none: waited for until then, the fax would be missing
        ahead = {_id(entry) for entry in unknown if (entry.created_at or 0.0) > now + self._settings.window}
        unknown = [replace(entry, created_at=None) if _id(entry) in ahead else entry for entry in unknown]
        ours = _Ours(tx, unknown, self._settings.window, now)
        fate = {_id(entry): self._fate(ours, entry, now) for entry in unknown}
        self._open = {id_ for id_, decided in fate.items() if decided is _Fate.LATER}
        found = 0
        for entry in unknown:
            is_old = _id(entry) not in ahead and (entry.created_at is None or entry.created_at <= started)
            if first and self._settings.baseline and is_old and not ours.unbound(entry):
                self._add(tx, entry, InboundState.BASELINE, entry.created_at or now, now)
            elif fate[_id(entry)] is _Fate.OURS:
                inbound.bind(tx, ours.candidates(entry)[0].id, inbox_id=_id(entry))
            elif fate[_id(entry)] is _Fate.MISSED:
                self._add(tx, entry, InboundState.PENDING, now, now)
                told = ours.told_bare(entry)[:1]
                for fax in told:
                    inbound.merged(tx, fax.id)
                    ours.taken(entry, fax)
                found += not told
        if first:
            set_meta(tx, _BASELINE, str(now))
        return found

    def _fate(self, ours: _Ours, entry: InboxEntry, now: float) -> _Fate:
        if ours.told_bare(entry):
            return _Fate.MISSED  # a callback said that there is something to fetch: perhaps this, and else no harm
        grace = self._settings.grace
        candidates = ours.candidates(entry)
        age = float("inf") if entry.created_at is None else now - entry.created_at
        young = any(fax.received_at > now - grace for fax in candidates)
        if age < grace or (age < 2 * grace and young):
            return _Fate.LATER  # its callback may still come, or the entry of the callback that came
        if len(candidates) != 1 or young or candidates[0].is_given_up:
            return _Fate.MISSED
        return _Fate.MISSED if ours.has_rivals(entry, candidates[0]) else _Fate.OURS

    @staticmethod
    def _add(tx: Tx, entry: InboxEntry, state: InboundState, at: float, now: float) -> None:
        fax = InboundFax(
            id=f"in{new_id(now)}",
            state=state,
            received_at=at,
            arrival=entry.arrival,
            did=routes.did(tx, entry.arrival.recipient),
            next_at=now,
            listed_at=entry.created_at,
        )
        inbound.add(tx, fax)


class _Ours:
    """The faxes on record that an entry of the list may be, within one transaction.

    Those of two numbers are read once: many faxes of one caller must not make a comparison long.
    """

    def __init__(self, tx: Tx, entries: Sequence[InboxEntry], window: float, now: float) -> None:
        times = [now if entry.created_at is None else entry.created_at for entry in entries]
        all_told = all(entry.created_at is not None for entry in entries)
        self._since = min(times, default=now) - window if all_told else 0.0
        self._until = max(times, default=now) + window
        self._tx = tx
        self._window = window
        self._now = now
        self._read: dict[tuple[str, str], list[InboundFax]] = {}
        self._dids: dict[str, str] = {}  # by what is claimed
        self._entries: dict[tuple[str, str], list[InboxEntry]] = {}
        for entry in entries:
            self._entries.setdefault(self._numbers(entry), []).append(entry)

    def candidates(self, entry: InboxEntry) -> list[InboundFax]:
        """Faxes that this entry may be."""
        return [fax for fax in self.unbound(entry) if not _is_bare(fax) and _has_size(fax, entry)]

    def told_bare(self, entry: InboxEntry) -> list[InboundFax]:
        """Callbacks without a document that this entry may be meant by."""
        return [fax for fax in self.unbound(entry) if _is_bare(fax)]

    def unbound(self, entry: InboxEntry) -> list[InboundFax]:
        """Faxes with the same numbers and pages, about the same time, that are no other entry."""
        return [fax for fax in self._alike(entry) if fax.arrival.inbox_id is None and same_pages(fax, entry)]

    def has_rivals(self, entry: InboxEntry, fax: InboundFax) -> bool:
        """Whether another entry may be the fax that this one may be: one of the list, or one whose document is yet to come."""
        span = 2 * self._window
        listed = self._entries[self._numbers(entry)]
        near = (other for other in listed if other is not entry and _are_near(entry, other, span))
        undecided = (
            other
            for other in self._alike(entry)
            if other.state is InboundState.PENDING and other.arrival.inbox_id is not None and not other.arrival.uuid
        )
        return any(same_pages(other, fax) for other in near) or any(same_pages(other, fax) for other in undecided)

    def taken(self, entry: InboxEntry, fax: InboundFax) -> None:
        """This fax is this entry, and so no other."""
        self._read[self._numbers(entry)].remove(fax)

    def _alike(self, entry: InboxEntry) -> list[InboundFax]:
        numbers = self._numbers(entry)
        if numbers not in self._read:
            self._read[numbers] = inbound.alike(self._tx, *numbers, self._since, self._until)
        if entry.created_at is None:
            since, until = 0.0, self._now
        else:
            since, until = entry.created_at - self._window, entry.created_at + self._window
        all_ = self._read[numbers]
        first = bisect.bisect_left(all_, since, key=_received_at)
        return all_[first : bisect.bisect_right(all_, until, key=_received_at)]

    def _numbers(self, entry: InboxEntry) -> tuple[str, str]:
        claimed = entry.arrival.recipient
        if claimed not in self._dids:
            self._dids[claimed] = routes.did(self._tx, claimed)
        return self._dids[claimed], inbound.digits(entry.arrival.sender)


def _received_at(fax: InboundFax) -> float:
    return fax.received_at


class _Fate(Enum):
    """What becomes of an entry that no row knows."""

    OURS = "a fax that a callback told"
    LATER = "decided at a later sweep"
    MISSED = "to be fetched: no callback brought it, or its content must say which it is"


def _id(entry: InboxEntry) -> int:
    assert entry.arrival.inbox_id is not None, "the port promises it"
    return entry.arrival.inbox_id


def _are_near(one: InboxEntry, other: InboxEntry, span: float) -> bool:
    return one.created_at is None or other.created_at is None or abs(one.created_at - other.created_at) <= span


def _is_given_again(tx: Tx, known: InboundFax, entry: InboxEntry) -> bool:
    """Whether the provider has given the id of a fax to another one: with a date that no time zone explains, and unlike it."""
    at = known.received_at if known.listed_at is None else known.listed_at
    if entry.created_at is None or abs(entry.created_at - at) <= _ZONES:
        return False
    same_caller = inbound.digits(entry.arrival.sender) == inbound.digits(known.arrival.sender)
    return not (same_caller and routes.did(tx, entry.arrival.recipient) == known.did and same_pages(known, entry))


def same_pages(one: InboundFax | InboxEntry, other: InboundFax | InboxEntry) -> bool:
    """Whether the pages told do not speak against two being one."""
    return None in (one.arrival.pages, other.arrival.pages) or one.arrival.pages == other.arrival.pages


def _has_size(fax: InboundFax, entry: InboxEntry) -> bool:
    """Whether the size told does not speak against an entry being this fax: the list tells that of a PDF."""
    return entry.sizes is None or fax.file_type != "application/pdf" or entry.sizes[0] <= fax.size <= entry.sizes[1]


def _is_bare(fax: InboundFax) -> bool:
    """Told by a callback that brought neither a document nor its address."""
    return fax.state is InboundState.PENDING and not fax.arrival.file_url
