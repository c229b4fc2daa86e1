"""Reading the provider's history to its end, believing neither its order nor its page size nor its freshness."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from itertools import pairwise

from gateway.errors import GatewayError
from gateway.model import Verdict
from gateway.ports import FaxProvider, HistoryEntry

_LIMIT = 100  # entries asked for a page; the provider may give fewer
_PAGES = 1000
SHORTEST = 5  # digits of a number without its country
_SMALLEST_PAGE = 10  # no provider has smaller ones: a list that is shorter is all there is


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen. ``complete`` only if nothing newer than what was asked for can have been missed."""

    entries: tuple[HistoryEntry, ...]
    complete: bool
    why: str = ""  # why it is not complete
    to_the_end: bool = False  # not only as far as was asked
    error: GatewayError | None = None  # that ended it

    def sends_of(self, document_ref: int, digits: str) -> list[HistoryEntry]:
        """Entries of one upload to one number: since each job has its own upload, these are its sends."""
        return [entry for entry in self.entries if entry.document_ref == document_ref and entry.recipient == digits]

    def astray(self, document_ref: int, digits: str, known: Set[int | None]) -> str:
        """Says where one upload went by a number written in another way than ours, but for ``known`` faxes; "" for nowhere."""
        others = (e for e in self.entries if e.document_ref == document_ref and e.provider_ref not in known)
        alike = (e for e in others if is_alike(e.recipient, digits))
        return next((f"the list shows its document as sent to {e.recipient}, fax {e.provider_ref}" for e in alike), "")

    def find(self, provider_ref: int, document_ref: int | None) -> HistoryEntry | None:
        """The entry of a fax. One of its id with another document is another fax: the list may count in its own way."""
        wanted = (provider_ref, document_ref)
        return next((entry for entry in self.entries if (entry.provider_ref, entry.document_ref) == wanted), None)

    def has_own_ids(self, answered: Iterable[tuple[int, int]]) -> bool:
        """Whether it gives faxes other ids than the answers to their sends, of which document and id are told here."""
        told: dict[int, set[int]] = defaultdict(set)
        shown: dict[int, set[int]] = defaultdict(set)
        for document_ref, provider_ref in answered:
            told[document_ref].add(provider_ref)
        for entry in self.entries:
            shown[entry.document_ref].add(entry.provider_ref)
        return any(document in shown and not refs & shown[document] for document, refs in told.items())

    @property
    def refs(self) -> Set[int]:
        """Ids of the faxes listed."""
        return {entry.provider_ref for entry in self.entries}

    @property
    def reach(self) -> int:
        """How far back it goes: the smallest id listed, 0 for nothing."""
        return min(self.refs, default=0)


def is_alike(recipient: str, digits: str) -> bool:
    """Whether a list means the number ``digits`` by another: with a prefix, as it was dialled, or without its country."""
    national = recipient.lstrip("0")
    ends = recipient.endswith(digits) or (len(national) >= SHORTEST and digits.endswith(national))
    return ends and recipient != digits


async def read_history(provider: FaxProvider, older: Set[int] = frozenset()) -> Reading:
    """Read all pages, or as far as one of the faxes ``older``, while everything seen is in strict order of its ids.

    What is looked for must have been sent after all of ``older``; dates are not asked, for clocks are wrong at times. An
    error of the provider makes the reading incomplete; it is not raised.
    """
    entries: dict[int, HistoryEntry] = {}
    for page in range(1, _PAGES + 1):
        try:
            got = await provider.history(page, _LIMIT)
        except GatewayError as error:
            return Reading(tuple(entries.values()), False, str(error), error=error)
        fresh = {entry.provider_ref: entry for entry in got.entries if entry.provider_ref not in entries}
        entries |= fresh
        if got.skipped:
            return Reading(tuple(entries.values()), False, "entries could not be read")
        if not got.entries:
            return Reading(tuple(entries.values()), True, to_the_end=True)
        if _is_ordered(entries) and not older.isdisjoint(entries):
            return Reading(tuple(entries.values()), True)
        if not fresh:  # the same page again: a provider that does not page
            whole = len(entries) < _SMALLEST_PAGE
            why = "" if whole else "the provider repeats its first page"
            return Reading(tuple(entries.values()), whole, why, to_the_end=whole)
    return Reading(tuple(entries.values()), False, "the history is too long")


def _is_ordered(refs: Iterable[int]) -> bool:
    """Newest first, without exception."""
    return all(before > after for before, after in pairwise(refs))


class History:
    """The history for many who ask at once: one reading serves all who asked before it began.

    ``heard`` is told how each reading ended: None, or the error that ended it.
    """

    def __init__(
        self, provider: FaxProvider, heard: Callable[[GatewayError | None], None] = lambda _error: None
    ) -> None:
        self._provider = provider
        self._heard = heard
        self._turn = asyncio.Lock()
        self._older: set[int] | None = None
        self._next: asyncio.Task[Reading] | None = None

    async def read(self, older: Set[int]) -> Reading:
        """See :func:`read_history`. The reading begins after this call, so it may show what was sent before the call."""
        self._older = set(older) if self._older is None else self._older & older
        if self._next is None:
            self._next = asyncio.create_task(self._read(), name="history")
        return await asyncio.shield(self._next)

    async def _read(self) -> Reading:
        async with self._turn:
            older, self._older, self._next = self._older or set(), None, None
            reading = await read_history(self._provider, older)
        self._heard(reading.error)
        return reading

    async def find(self, provider_ref: int, document_ref: int | None) -> Verdict | None:
        """What the history says of one fax; None when it does not list it, or cannot be read."""
        found = (await self.read({provider_ref})).find(provider_ref, document_ref)
        return None if found is None else found.verdict
