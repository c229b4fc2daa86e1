"""The Fax.to REST API, version 2: every operation, with tolerance for its contradictions (Fax.to API reference).

The send is one POST on a connection of its own, never redirected and never repeated; whether a byte of it left us decides
between "not sent" and "outcome unknown". The key travels in the query, so no URL is ever logged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import aiohttp
import structlog

from gateway.errors import GatewayError, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.model import FaxArrival, FaxNumber
from gateway.ports import HistoryEntry, HistoryPage, InboxEntry, InboxPage, JobStatus, StoredFile, Submitted, Upload
from gateway.provider import wording
from gateway.provider.calls import Answer, Calls
from gateway.provider.download import Downloads
from gateway.provider.reading import (
    Unreadable,
    as_int,
    as_money,
    as_object,
    as_price,
    as_sizes,
    as_time,
    clean,
    digits,
    first,
)

log = structlog.get_logger("provider")

_FAILED_WORDS = ("failed", "error", "fail")
_SUCCESS_WORDS = ("success", "ok")


@dataclass(frozen=True, slots=True)
class FaxToSettings:
    """``base_url`` as in ``https://fax.to/api/v2``. Times in seconds; ``rate`` is calls a second at most (0: no limit);
    ``max_document`` bytes of a received document.
    """

    base_url: str
    api_key: str = field(repr=False)
    timeout: float = 60.0
    upload_timeout: float = 180.0
    rate: float = 2.0
    naive_timezone: str = "UTC"
    max_document: int = 64 << 20


class FaxTo:
    """A :class:`~gateway.ports.FaxProvider`."""

    def __init__(self, settings: FaxToSettings) -> None:
        self._base = settings.base_url.rstrip("/")
        self._upload_timeout = settings.upload_timeout
        self._account = hashlib.sha256(f"{self._base} {settings.api_key}".encode()).hexdigest()[:16]
        self._zone = ZoneInfo(settings.naive_timezone)
        self._calls = Calls(settings.api_key, timeout=settings.timeout, rate=settings.rate)
        self._downloads = Downloads(
            settings.base_url, self._calls.secret, timeout=settings.upload_timeout, max_size=settings.max_document
        )

    @property
    def account(self) -> str:
        """A digest of address and key."""
        return self._account

    async def close(self) -> None:
        await self._calls.close()

    async def _call(self, method: str, path: str, query: Mapping[str, str] | None = None, **options: Any) -> Answer:
        return await self._calls.call(method, self._base + path, query, **options)

    # --- sending --------------------------------------------------------------------------------------------------

    async def upload(self, path: Path, name: str) -> Upload:
        """``POST /files`` with the document under a neutral ``name``. Raises TryLater for a 404, which is not about that."""
        with path.open("rb") as stream:
            form = aiohttp.FormData()
            form.add_field("file", stream, filename=name, content_type="application/pdf")
            try:
                answer = await self._call("POST", "/files", data=form, timeout=self._upload_timeout)
            except NotFound as error:
                why = "the fax provider takes no documents at this address; is provider.base_url right?"
                raise TryLater(why, error.detail) from None
        record = _record(answer)
        document = record.get("document")
        inner = document if isinstance(document, Mapping) else {}
        reference = as_int(first(record, "document_id")) or as_int(first(inner, "id")) or as_int(first(record, "id"))
        if reference is None:
            raise _lacking(answer, record, "to an upload names no document")
        pages = as_int(first(record, "total_pages", "pages")) or as_int(first(inner, "total_pages", "pages"))
        return Upload(reference, pages)

    async def cost(self, document_ref: int, number: FaxNumber) -> Decimal:
        """``GET /fax/{document_id}/costs``."""
        answer = await self._call("GET", f"/fax/{document_ref}/costs", {"fax_number": number.e164})
        record = _record(answer)
        cost = as_price(first(record, "cost", "price"))
        if cost is None:
            raise _lacking(answer, record, "tells no price")
        return cost

    async def submit(self, document_ref: int, number: FaxNumber, tsi: str) -> Submitted:
        """``POST /fax``, once. Refused, KeyRefused and TryLater: provably not sent. OutcomeUnknown: everything unclear."""
        form = {"fax_number": number.e164, "document_id": str(document_ref)}
        if tsi:
            form["tsi_number"] = tsi
        answer = await self._calls.once(f"{self._base}/fax", form)
        try:
            record = as_object(answer.json())
        except Unreadable as error:
            raise OutcomeUnknown("the fax provider's answer to the send is unreadable", str(error)) from None
        reference = as_int(record.get("fax_job_id"))
        if reference is not None:
            return Submitted(
                reference,
                # 0 may mean that it is not known yet: what is free was quoted so
                cost=as_price(record.get("cost")) or None,
                balance=as_money(record.get("user_cash_balance")),
                failed=_failed(record),
                text=answer.says(),
            )
        if _failed(record) and record.get("fax_job_id") in (None, "", 0):
            raise Refused(answer.says() or "the fax provider did not send the fax and said no reason")
        raise OutcomeUnknown("the fax provider's answer to the send names no fax", answer.excerpt())

    async def status(self, provider_ref: int) -> JobStatus:
        """``GET /fax/{fax_job_id}/status``: its ``status`` is about the request, its ``message`` about the fax."""
        answer = await self._call("GET", f"/fax/{provider_ref}/status")
        record = _record(answer)
        text = self._calls.secret.hide(str(first(record, "message", "fax_status") or ""))
        verdict, code = wording.classify(text, str(record.get("msg_code") or ""))
        return JobStatus(verdict, code, text)

    async def history(self, page: int, limit: int) -> HistoryPage:
        """``GET /fax-history``, or its alias ``GET /fax`` where that is refused.

        A page that does not say success counts as one that could not wholly be read.
        """
        query = {"limit": str(limit), "page": str(page)}
        try:
            answer = await self._call("GET", "/fax-history", query)
        except Refused:
            answer = await self._call("GET", "/fax", query)
        listed = _list(answer, "history", "data", "faxes")
        entries, skipped = [], 0 if _succeeded(answer) else 1
        for record in listed:
            entry = self._history_entry(record)
            if entry is None:
                skipped += 1
            else:
                entries.append(entry)
        return HistoryPage(tuple(entries), skipped)

    def _history_entry(self, record: Any) -> HistoryEntry | None:
        if not isinstance(record, Mapping):
            return None
        reference, document = as_int(first(record, "id", "fax_job_id")), as_int(record.get("document_id"))
        recipient = digits(first(record, "recipient", "fax_number", "number") or "")
        if reference is None or document is None or not recipient:
            return None
        verdict = wording.verdict_of_word(str(record.get("status", "")))
        return HistoryEntry(reference, document, recipient, verdict, self._time(record))

    def _time(self, record: Mapping[str, Any]) -> float | None:
        return as_time(first(record, "created", "created_at", "created_date", "created date", "uploaded"), self._zone)

    # --- receiving ------------------------------------------------------------------------------------------------

    async def inbox(self, page: int, limit: int) -> InboxPage:
        """``GET /incoming-faxes``."""
        return self._inbox(await self._call("GET", "/incoming-faxes", {"limit": str(limit), "page": str(page)}), page)

    async def inbox_of(self, recipient: FaxNumber, page: int, limit: int) -> InboxPage:
        """``GET /incoming-faxes/{recipient}``, bare digits first; with a plus where that is not found or empty."""
        query = {"limit": str(limit), "page": str(page)}
        try:
            found = self._inbox(await self._call("GET", f"/incoming-faxes/{recipient.digits}", query), page)
            if found.entries or page > 1:
                return found
        except NotFound:
            pass
        return self._inbox(await self._call("GET", f"/incoming-faxes/%2B{recipient.digits}", query), page)

    def _inbox(self, answer: Answer, page: int) -> InboxPage:
        listed = _list(answer, "inbox", "data", "faxes")
        entries = []
        for record in listed:
            if not isinstance(record, Mapping) or (number := as_int(record.get("id"))) is None:
                log.warning("an inbox entry cannot be read")
                continue
            arrival = FaxArrival(
                uuid="",
                sender=clean(str(record.get("sender") or ""), 64),
                recipient=clean(str(record.get("number") or ""), 64),
                pages=as_int(first(record, "total_pages", "pages")),
                file_url=str(record.get("file_url") or ""),
                inbox_id=number,
            )
            entries.append(InboxEntry(arrival, self._time(record), as_sizes(record.get("filesize"))))
        return InboxPage(tuple(entries), _is_last(answer, page, bool(listed)))

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Download a received document; only from the provider's own hosts, without redirects, within the size cap."""
        await self._downloads.fetch(url, write)

    # --- documents ------------------------------------------------------------------------------------------------

    async def files(self, page: int, limit: int) -> tuple[StoredFile, ...]:
        """``GET /files``: a bare list, or an object that holds one."""
        listed = _list(await self._call("GET", "/files", {"limit": str(limit), "page": str(page)}), "files", "data")
        found = []
        for record in listed:
            if isinstance(record, Mapping) and (reference := as_int(first(record, "id", "document_id"))) is not None:
                found.append(StoredFile(reference, str(first(record, "filename_uploaded", "filename") or "")))
        return tuple(found)

    async def delete(self, document_ref: int) -> None:
        """``DELETE /files/{document_id}``; one that is not there counts as deleted."""
        try:
            answer = await self._call("DELETE", f"/files/{document_ref}")
        except NotFound:
            return
        if answer.body:
            _succeed(answer)

    async def clean_file(self, document_ref: int) -> Mapping[str, Any]:
        """``GET /file-clean``: the provider's image clean-up. It deletes nothing."""
        return _succeed(await self._call("GET", "/file-clean", {"document_id": str(document_ref)}))

    async def preview_url(self, document_ref: int) -> str:
        """``GET /file-generate-preview``; always https."""
        answer = await self._call("GET", "/file-generate-preview", {"document_id": str(document_ref)})
        record = _record(answer)
        url = str(record.get("url") or "").replace("http://", "https://", 1)
        if not url:
            raise _lacking(answer, record, "names no preview")
        return url

    # --- account --------------------------------------------------------------------------------------------------

    async def balance(self) -> Decimal:
        """``GET /balance``."""
        answer = await self._call("GET", "/balance", probe=True)
        record = _record(answer)
        found = as_money(first(record, "balance", "user_cash_balance"))
        if found is None:
            raise _lacking(answer, record, "tells no balance")
        return found

    async def numbers(self) -> list[Mapping[str, Any]]:
        """``GET /numbers``, all pages."""
        found: dict[str, Mapping[str, Any]] = {}
        for page in range(1, 101):
            answer = await self._call("GET", "/numbers", {"limit": "100", "page": str(page)})
            listed = [r for r in _list(answer, "numbers", "data") if isinstance(r, Mapping)]
            fresh = {digits(first(r, "did_number", "number") or ""): r for r in listed}
            if not fresh.keys() - found.keys():
                break
            found |= fresh
            if _is_last(answer, page, True):
                break
        return list(found.values())

    async def register(self, email: str, password: str) -> str:
        """``POST /user``: returns the new account's API key."""
        return await self._key("/user", email, password, keyed=False)

    async def login(self, email: str, password: str) -> str:
        """``POST /user/login``: returns the account's API key."""
        return await self._key("/user/login", email, password, keyed=False)

    async def add_subuser(self, email: str, password: str) -> str:
        """``POST /subuser``: returns the subuser's API key."""
        return await self._key("/subuser", email, password, keyed=True)

    async def _key(self, path: str, email: str, password: str, *, keyed: bool) -> str:
        answer = await self._call("POST", path, data={"email": email, "password": password}, keyed=keyed)
        record = _record(answer)
        key = record.get("api_key")
        if not isinstance(key, str) or not key:
            raise _lacking(answer, record, "holds no key")
        return key

    async def countries(self) -> list[Any]:
        """``GET /countries``."""
        return _list(await self._call("GET", "/countries"), "data", "countries")

    async def states(self, country: str) -> list[Any]:
        """``GET /states/{COUNTRY_CODE}`` (ISO 3166-1 alpha-3)."""
        return _list(await self._call("GET", f"/states/{_segment(country)}"), "states", "data")

    async def area_codes(self, country: str, state: str) -> list[Any]:
        """``GET /areacodes/{COUNTRY_CODE}/{STATE_ID}``."""
        return _list(await self._call("GET", f"/areacodes/{_segment(country)}/{_segment(state)}"), "areacodes", "data")

    async def did_groups(self, country: str, **filters: str) -> list[Any]:
        """``GET /countries/{COUNTRY_CODE}/didgroups`` with ``stateId``, ``cityNamePattern``, ``areaCode``."""
        return _list(await self._call("GET", f"/countries/{_segment(country)}/didgroups", filters), "data", "didgroups")

    async def provision(self, did_group_id: int) -> Mapping[str, Any]:
        """``POST /countries/didgroups/{id}/provision``: buys a number. Only ever on a person's explicit command.

        Made once, as a send is; OutcomeUnknown: it may have been bought.
        """
        answer = await self._calls.once(f"{self._base}/countries/didgroups/{did_group_id}/provision", {})
        try:
            return _succeed(answer)
        except TryLater as error:
            raise OutcomeUnknown(error.public, error.detail) from None


# --- what answers say -------------------------------------------------------------------------------------------------


def _segment(text: str) -> str:
    """One segment of a path."""
    return quote(text, safe="")


def _record(answer: Answer) -> Mapping[str, Any]:
    try:
        return as_object(answer.json())
    except Unreadable as error:
        raise TryLater("the fax provider's answer is unreadable", str(error)) from None


def _word(record: Mapping[str, Any]) -> str:
    return str(record.get("status", "")).strip().lower()


def _failed(record: Mapping[str, Any]) -> bool:
    return _word(record) in _FAILED_WORDS


def _succeed(answer: Answer) -> Mapping[str, Any]:
    """The record of a success. Raises Refused when it says that it failed."""
    record = _record(answer)
    if _failed(record):
        raise Refused(answer.says() or "the fax provider refused")
    return record


def _lacking(answer: Answer, record: Mapping[str, Any], what: str) -> GatewayError:
    """The error for an answer without what it was asked for: a no, or one that cannot be used."""
    if _failed(record):
        return Refused(answer.says() or "the fax provider refused")
    return TryLater(f"the fax provider's answer {what}", answer.excerpt())


def _list(answer: Answer, *names: str) -> list[Any]:
    """The list an answer is or holds. Raises TryLater for a failure, whatever else it holds."""
    try:
        found = answer.json()
    except Unreadable as error:
        raise TryLater("the fax provider's answer is unreadable", str(error)) from None
    if isinstance(found, Mapping):
        if _failed(found):
            raise TryLater("the fax provider has trouble", answer.says() or answer.excerpt())
        found = first(found, *names)
    if not isinstance(found, list):
        raise TryLater("the fax provider's answer holds no list", answer.excerpt())
    return found


def _succeeded(answer: Answer) -> bool:
    record = answer.json()
    return not isinstance(record, Mapping) or _word(record) in _SUCCESS_WORDS


def _is_last(answer: Answer, page: int, any_entry: bool) -> bool:
    """Whether ``meta.pagination`` says so; no entry is the end too."""
    record = answer.json()
    meta = record.get("meta") if isinstance(record, Mapping) else None
    pagination = meta.get("pagination") if isinstance(meta, Mapping) else None
    total = as_int(pagination.get("total_pages")) if isinstance(pagination, Mapping) else None
    return not any_entry or (total is not None and page >= total)
