"""What a fax provider must do, on one page.

Every method raises :class:`~gateway.errors.TryLater` when the provider cannot answer now,
:class:`~gateway.errors.KeyRefused` on a refused key and :class:`~gateway.errors.Refused` on a permanent no.
Only :meth:`FaxProvider.submit` may raise :class:`~gateway.errors.OutcomeUnknown`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from gateway.model import FaxArrival, FaxNumber, Verdict


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded document; ``pages`` is the provider's own count, None when it told none."""

    document_ref: int
    pages: int | None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A clear yes to a send: the provider has a job. ``failed`` when it says in the same breath that the job failed."""

    provider_ref: int
    cost: Decimal | None = None
    balance: Decimal | None = None
    failed: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What the provider says of a job now."""

    verdict: Verdict
    code: str  # ok, busy, no_answer, hangup, file_error, unknown; "" while in progress
    text: str


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of the provider's history."""

    provider_ref: int
    document_ref: int
    recipient: str  # digits
    verdict: Verdict
    created_at: float | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page of history; ``skipped`` counts entries that could not be read (then the page is no proof of absence)."""

    entries: tuple[HistoryEntry, ...]
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """One line of the provider's inbox; ``arrival.inbox_id`` and ``arrival.file_url`` are set.

    ``sizes``: the least and the most bytes that its document has by what is told; None where nothing is.
    """

    arrival: FaxArrival
    created_at: float | None
    sizes: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class InboxPage:
    entries: tuple[InboxEntry, ...]
    last: bool  # the provider says no page follows


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A document the provider keeps for us; ``name`` is the name we uploaded it under, where the list tells."""

    document_ref: int
    name: str


class FaxProvider(Protocol):
    """A fax service: upload a document, send it, learn what became of it, receive."""

    @property
    def account(self) -> str:
        """Tells whose documents and faxes it shows: where this differs, it may be another account."""
        ...

    async def upload(self, path: Path, name: str) -> Upload: ...

    async def cost(self, document_ref: int, number: FaxNumber) -> Decimal: ...

    async def submit(self, document_ref: int, number: FaxNumber, tsi: str) -> Submitted:
        """Have it sent: one request, never repeated. Refused and TryLater mean *provably not sent*."""
        ...

    async def status(self, provider_ref: int) -> JobStatus: ...

    async def history(self, page: int, limit: int) -> HistoryPage:
        """``page`` counts from 1. An empty page is the end."""
        ...

    async def inbox(self, page: int, limit: int) -> InboxPage: ...

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Download a received document, from the provider's own hosts only, chunk by chunk into ``write``."""
        ...

    async def files(self, page: int, limit: int) -> tuple[StoredFile, ...]: ...

    async def delete(self, document_ref: int) -> None:
        """Erase an upload; absent counts as done."""
        ...

    async def balance(self) -> Decimal: ...

    async def close(self) -> None: ...
