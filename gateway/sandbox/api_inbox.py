"""Receiving: the list of received faxes, and their documents (Fax.to API reference, "receiving side")."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gateway.sandbox.answers import Answer, Failure, kilobytes, php_date, success
from gateway.sandbox.api import Ask, Route
from gateway.sandbox.documents import Documents
from gateway.sandbox.listing import meta, page, sliced
from gateway.sandbox.store import Row, Store

_BASE = "/receivefax/api/v1/inbox"
# The number in a document's address is not the entry's id (as documented): nobody shall build the address himself.
_FIRST_ENTRY = 771
_FIRST_DID = 7_745_000
_OTHERS = 900_000


class InboxCalls:
    """The calls about received faxes."""

    def __init__(self, store: Store, documents: Documents, clock: Callable[[], float]) -> None:
        self._store = store
        self._documents = documents
        self._clock = clock

    def routes(self) -> list[Route]:
        """Every call of these."""
        return [
            Route("GET", "/incoming-faxes", "inbox", self.inbox),
            Route("GET", "/incoming-faxes/{recipient}", "inbox", self.inbox),
            Route("GET", _BASE + "/{id}/file", "fetch", self.file, bare=True),
            Route("GET", _BASE + "/{id}/preview", "fetch", self.preview, bare=True),
        ]

    async def inbox(self, ask: Ask) -> Answer:
        """``GET /incoming-faxes`` and ``GET /incoming-faxes/{recipient}``, newest first."""
        recipient = ask.path.get("recipient", "").strip().lstrip("+")
        faxes = self._store.inbox(ask.before(self._clock()), recipient)
        dids = {row["number"]: row["id"] for row in self._store.numbers()}

        def show(row: Row) -> dict[str, Any]:
            return _entry(row, dids.get(row["number"], 0), address(ask.origin, row["id"], ask.key))

        want = ask.slice()
        listed = page(sliced(faxes), show, _others_entry, want, ask.fault)
        path = "/incoming-faxes" + (f"/{recipient}" if recipient else "")
        total = 0 if ask.kind == "withheld" else len(faxes)
        return success(inbox=listed, **meta(want, total, listed, ask.root + path, ask.fault))

    async def file(self, ask: Ask) -> Answer:
        """The PDF of a received fax."""
        return Answer(200, file=await self._documents.pdf(self._fax(ask)["tiff"]), content_type="application/pdf")

    async def preview(self, ask: Ask) -> Answer:
        """A picture of its first page."""
        return Answer(200, file=await self._documents.preview(self._fax(ask)["tiff"]), content_type="image/png")

    def _fax(self, ask: Ask) -> Row:
        row = self._store.inbound(ask.id("id"))
        if row is None:
            raise Failure(404)
        return row


def address(origin: str, number: int, key: str) -> str:
    """Where the document of a received fax is; it holds the key, as documented."""
    return f"{origin}{_BASE}/{number}/file?api_key={key}"


def _entry(row: Row, did: int, url: str) -> dict[str, Any]:
    return {
        "id": _FIRST_ENTRY + row["id"], "did_id": _FIRST_DID + did, "filename": f"{row['uuid'][:13]}.pdf",
        "filesize": kilobytes(row["size"]), "number": row["number"], "sender": row["sender"].strip().lstrip("+"),
        "total_pages": row["pages"], "created_at": php_date(row["created_at"]),
        "preview_file": url.replace("/file?", "/preview?"), "file_url": url,
    }  # fmt: skip


def _others_entry(number: int) -> dict[str, Any]:
    return {
        "id": _OTHERS + number, "did_id": _FIRST_DID, "filename": "theirs.pdf", "filesize": "3.56 KB",
        "number": "+12025550177", "sender": "12025550178", "total_pages": 1, "created_at": php_date(time.time()),
        "preview_file": None, "file_url": None,
    }  # fmt: skip
