"""Reading the provider's history to its end, believing neither its order nor its page size."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import GatewayError
from gateway.ports import FaxProvider, HistoryEntry

_LIMIT = 100  # entries asked for a page; the provider may give fewer
_PAGES = 500
_MARGIN = 600.0  # seconds by which the provider's clock may differ from ours


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen. ``complete`` only if an entry made after ``since`` cannot have been missed."""

    entries: tuple[HistoryEntry, ...]
    complete: bool
    why: str = ""  # why it is not complete

    def sends_of(self, document_ref: int, digits: str) -> list[HistoryEntry]:
        """Entries of one upload to one number: since each job has its own upload, these are its sends."""
        return [entry for entry in self.entries if entry.document_ref == document_ref and entry.recipient == digits]

    def find(self, provider_ref: int) -> HistoryEntry | None:
        return next((entry for entry in self.entries if entry.provider_ref == provider_ref), None)


async def read_history(provider: FaxProvider, since: float) -> Reading:
    """Read all pages, or as far as entries older than ``since`` (epoch) while everything seen is in strict order.

    An error of the provider makes the reading incomplete; it is not raised.
    """
    entries: dict[int, HistoryEntry] = {}
    for page in range(1, _PAGES + 1):
        try:
            got = await provider.history(page, _LIMIT)
        except GatewayError as error:
            return Reading(tuple(entries.values()), False, str(error))
        if got.skipped:
            return Reading(tuple({**entries, **_by_ref(got.entries)}.values()), False, "entries could not be read")
        if not got.entries:
            return Reading(tuple(entries.values()), True)
        fresh = {ref: entry for ref, entry in _by_ref(got.entries).items() if ref not in entries}
        if not fresh:
            # the same page again: either the end, or a provider that does not page at all
            whole = len(entries) < _LIMIT or _reaches(list(entries.values()), since)
            return Reading(tuple(entries.values()), whole, "" if whole else "the provider repeats its first page")
        entries.update(fresh)
        if _reaches(list(entries.values()), since):
            return Reading(tuple(entries.values()), True)
    return Reading(tuple(entries.values()), False, "the history is too long")


def _by_ref(entries: tuple[HistoryEntry, ...]) -> dict[int, HistoryEntry]:
    return {entry.provider_ref: entry for entry in entries}


def _reaches(entries: list[HistoryEntry], since: float) -> bool:
    """Whether entries come newest first without exception and the last is older than ``since`` with a margin."""
    times = [entry.created_at for entry in entries]
    refs = [entry.provider_ref for entry in entries]
    if any(time is None for time in times) or refs != sorted(refs, reverse=True):
        return False
    known = [time for time in times if time is not None]
    return known == sorted(known, reverse=True) and bool(known) and known[-1] < since - _MARGIN
