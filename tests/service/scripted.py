"""A fax provider that does what the test says: for the answers no honest server gives in a chosen order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

from gateway.errors import GatewayError, NotFound, TryLater
from gateway.model import FaxNumber, Verdict
from gateway.ports import (
    HistoryEntry,
    HistoryPage,
    InboxEntry,
    InboxPage,
    JobStatus,
    StoredFile,
    Submitted,
    Upload,
)


class ScriptedProvider:
    """Sends are executed and listed; ``answer_submit`` says what is answered; set ``history_pages`` to page the history."""

    def __init__(self) -> None:
        self.uploads: dict[int, bytes] = {}
        self.executed: list[tuple[int, str]] = []  # (document_ref, number)
        self.statuses: dict[int, JobStatus | GatewayError] = {}
        self.deleted: list[int] = []
        self.history_pages: list[tuple[HistoryEntry, ...]] | None = None
        self.history_error: GatewayError | None = None
        self.hide_history = False
        self.inbox_entries: list[InboxEntry] = []
        self.documents: dict[str, bytes] = {}
        self.upload_pages: int | None = None
        self.upload_error: GatewayError | OSError | None = None
        self.cost_error: GatewayError | None = None
        self.fetch_error: GatewayError | None = None
        self.balance_error: GatewayError | None = None
        self.answer_submit: Callable[[int], Submitted] = lambda ref: Submitted(ref, Decimal("0.10"), Decimal(9))
        self.execute = True
        self.names: list[str] = []
        self.submits = 0
        self.amount = Decimal(9)  # the balance
        self.on_submit: Callable[[], None] = lambda: None  # called while a send is under way
        self.upload_refs: list[int] = []  # ids for the next uploads, in place of fresh ones
        self.delete_error: GatewayError | None = None
        self.stored: list[StoredFile] | None = None  # instead of the uploads that were not deleted
        self.fetched: list[str] = []
        self.cuts: list[int | None] = []  # after how many bytes the next fetches break off, without an error
        self.account = "ours"

    async def upload(self, path: Path, name: str) -> Upload:
        if self.upload_error:
            raise self.upload_error
        ref = self.upload_refs.pop(0) if self.upload_refs else 500 + len(self.names)
        self.uploads[ref] = path.read_bytes()
        self.names.append(name)
        return Upload(ref, self.upload_pages)

    async def cost(self, document_ref: int, number: FaxNumber) -> Decimal:
        if self.cost_error:
            raise self.cost_error
        return Decimal("0.10")

    async def submit(self, document_ref: int, number: FaxNumber, tsi: str) -> Submitted:
        self.submits += 1
        self.on_submit()
        ref = 9000 + len(self.executed)
        if self.execute:
            self.executed.append((document_ref, number.digits))
        return self.answer_submit(ref)

    async def status(self, provider_ref: int) -> JobStatus:
        found = self.statuses.get(provider_ref, JobStatus(Verdict.PROGRESS, "", "sending"))
        if isinstance(found, GatewayError):
            raise found
        return found

    async def history(self, page: int, limit: int) -> HistoryPage:
        if self.history_error:
            raise self.history_error
        if self.history_pages is None:
            entries = (
                []
                if self.hide_history
                else [
                    HistoryEntry(9000 + n, ref, digits, self._verdict(9000 + n), None)
                    for n, (ref, digits) in enumerate(self.executed)
                ]
            )
            pages = [tuple(entries)]
        else:
            pages = self.history_pages
        return HistoryPage(pages[page - 1] if page <= len(pages) else ())

    def _verdict(self, ref: int) -> Verdict:
        known = self.statuses.get(ref)
        return known.verdict if isinstance(known, JobStatus) else Verdict.PROGRESS

    async def inbox(self, page: int, limit: int) -> InboxPage:
        chunk = self.inbox_entries[(page - 1) * 2 : page * 2]
        return InboxPage(tuple(chunk), last=page * 2 >= len(self.inbox_entries))

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        self.fetched.append(url)
        if self.fetch_error:
            raise self.fetch_error
        if url not in self.documents:
            raise NotFound("no such document")
        await write(self.documents[url][: self.cuts.pop(0) if self.cuts else None])

    async def files(self, page: int, limit: int) -> tuple[StoredFile, ...]:
        stored = self.stored
        if stored is None:
            named = zip(self.uploads, self.names, strict=True)
            stored = [StoredFile(ref, name) for ref, name in named if ref not in self.deleted]
        return tuple(stored[(page - 1) * 2 : page * 2])

    async def delete(self, document_ref: int) -> None:
        if self.delete_error:
            raise self.delete_error
        self.deleted.append(document_ref)

    async def balance(self) -> Decimal:
        if self.balance_error:
            raise self.balance_error
        return self.amount

    async def close(self) -> None:
        return None


def away() -> TryLater:
    return TryLater("the provider is away")
