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
    """Sends are executed and listed; ``answer_submit`` says what is answered; set ``pages`` to page the history."""

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
        self.upload_error: GatewayError | None = None
        self.cost_error: GatewayError | None = None
        self.fetch_error: GatewayError | None = None
        self.balance_error: GatewayError | None = None
        self.answer_submit: Callable[[int], Submitted] = lambda ref: Submitted(ref, Decimal("0.10"), Decimal(9))
        self.execute = True
        self.names: list[str] = []
        self.submits = 0

    async def upload(self, path: Path, name: str) -> Upload:
        if self.upload_error:
            raise self.upload_error
        ref = 500 + len(self.uploads)
        self.uploads[ref] = path.read_bytes()
        self.names.append(name)
        return Upload(ref, self.upload_pages)

    async def cost(self, document_ref: int, number: FaxNumber) -> Decimal:
        if self.cost_error:
            raise self.cost_error
        return Decimal("0.10")

    async def submit(self, document_ref: int, number: FaxNumber, tsi: str) -> Submitted:
        self.submits += 1
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
                    HistoryEntry(9000 + n, ref, digits, Verdict.SUCCESS, None)
                    for n, (ref, digits) in enumerate(self.executed)
                ]
            )
            pages = [tuple(entries)]
        else:
            pages = self.history_pages
        return HistoryPage(pages[page - 1] if page <= len(pages) else ())

    async def inbox(self, page: int, limit: int) -> InboxPage:
        chunk = self.inbox_entries[(page - 1) * 2 : page * 2]
        return InboxPage(tuple(chunk), last=page * 2 >= len(self.inbox_entries))

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        if self.fetch_error:
            raise self.fetch_error
        if url not in self.documents:
            raise NotFound("no such document")
        await write(self.documents[url])

    async def files(self, page: int, limit: int) -> tuple[StoredFile, ...]:
        return ()

    async def delete(self, document_ref: int) -> None:
        self.deleted.append(document_ref)

    async def balance(self) -> Decimal:
        if self.balance_error:
            raise self.balance_error
        return Decimal(9)

    async def close(self) -> None:
        return None


def away() -> TryLater:
    return TryLater("the provider is away")
