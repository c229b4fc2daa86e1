"""The Fax.to REST API, version 2: every operation, with tolerance for its contradictions (Fax.to API reference).

The send is one POST on a connection of its own, never redirected and never repeated; whether a byte of it left us decides
between "not sent" and "outcome unknown". The key travels in the query, so no URL is ever logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import aiohttp
import structlog

from gateway.errors import GatewayError, KeyRefused, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.model import FaxArrival, FaxNumber
from gateway.ports import HistoryEntry, HistoryPage, InboxEntry, InboxPage, JobStatus, StoredFile, Submitted, Upload
from gateway.provider import wording
from gateway.provider.reading import (
    Unreadable,
    as_int,
    as_money,
    as_object,
    as_time,
    clean,
    digits,
    first,
    message,
    read_json,
)

log = structlog.get_logger("provider")

_MAX_ANSWER = 4 << 20
_CHUNK = 256 << 10
_FAILED_WORDS = ("failed", "error", "fail")
_LONG_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class FaxToSettings:
    """``base_url`` as in ``https://fax.to/api/v2``; ``send_base_url`` where sends go, if elsewhere. Times in seconds.

    ``rate`` is calls a second at most (0: no limit); ``max_document`` bytes of a received document.
    """

    base_url: str
    api_key: str = field(repr=False)
    send_base_url: str = ""
    timeout: float = 60.0
    upload_timeout: float = 180.0
    rate: float = 2.0
    naive_timezone: str = "UTC"
    max_document: int = 64 << 20


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after: float | None

    def json(self) -> Any:
        return read_json(self.body)

    def says(self) -> str:
        """The provider's own words, cleaned."""
        try:
            return message(self.json())
        except Unreadable:
            return ""


class _Limiter:
    """At most ``rate`` calls a second, in the order they were asked for."""

    def __init__(self, rate: float) -> None:
        self._gap = 1.0 / rate if rate > 0 else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        if not self._gap:
            return
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + self._gap
        if at > now:
            await asyncio.sleep(at - now)


class FaxTo:
    """A :class:`~gateway.ports.FaxProvider`."""

    def __init__(self, settings: FaxToSettings) -> None:
        self._settings = settings
        self._base = settings.base_url.rstrip("/")
        self._send_base = (settings.send_base_url or settings.base_url).rstrip("/")
        self._limiter = _Limiter(settings.rate)
        self._zone = ZoneInfo(settings.naive_timezone)
        self._session: aiohttp.ClientSession | None = None
        parts = urlsplit(self._base)
        self._host, self._scheme, self._port = parts.hostname or "", parts.scheme, parts.port

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- sending --------------------------------------------------------------------------------------------------

    async def upload(self, path: Path, name: str) -> Upload:
        """``POST /files`` with the document under a neutral ``name``."""
        with path.open("rb") as stream:
            form = aiohttp.FormData()
            form.add_field("file", _chunks(stream), filename=name, content_type="application/pdf")
            answer = await self._call("POST", "/files", data=form, timeout=self._settings.upload_timeout)
        record = self._object(answer)
        document = record.get("document")
        inner = document if isinstance(document, Mapping) else {}
        reference = as_int(first(record, "document_id")) or as_int(first(inner, "id")) or as_int(first(record, "id"))
        if reference is None:
            raise TryLater("the fax provider's answer to an upload names no document", clean(repr(answer.body[:300])))
        pages = as_int(first(record, "total_pages", "pages")) or as_int(first(inner, "total_pages", "pages"))
        return Upload(reference, pages)

    async def cost(self, document_ref: int, number: FaxNumber) -> Decimal:
        """``GET /fax/{document_id}/costs``."""
        answer = await self._call("GET", f"/fax/{document_ref}/costs", {"fax_number": number.e164})
        cost = as_money(first(self._object(answer), "cost", "price"))
        if cost is None:
            raise TryLater("the fax provider told no price")
        return cost

    async def submit(self, document_ref: int, number: FaxNumber, tsi: str) -> Submitted:
        """``POST /fax``, once. Refused, KeyRefused and TryLater: provably not sent. OutcomeUnknown: everything unclear."""
        await self._limiter.wait()
        form = {"fax_number": number.e164, "document_id": str(document_ref)}
        if tsi:
            form["tsi_number"] = tsi
        written = SimpleNamespace(begun=False)
        try:
            answer = await self._send_once(form, written)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            text = type(error).__name__
            if isinstance(error, aiohttp.ClientConnectorError) or not written.begun:
                raise TryLater("the fax provider cannot be reached", text, status="4.4.1") from error
            raise OutcomeUnknown("the fax provider did not answer the send", text) from error
        return self._sent(answer)

    async def _send_once(self, form: dict[str, str], written: SimpleNamespace) -> _Answer:
        """On a connection of its own: a kept one might have died with our request in it."""
        trace = aiohttp.TraceConfig()

        async def begun(*_: Any) -> None:
            written.begun = True

        # fired just before the first byte: from here on, no answer means unknown
        trace.on_connection_create_end.append(begun)
        connector = aiohttp.TCPConnector(force_close=True, limit=1)
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout)
        async with (
            aiohttp.ClientSession(
                connector=connector, timeout=timeout, trace_configs=[trace], auto_decompress=False
            ) as session,
            session.post(
                f"{self._send_base}/fax",
                params={"api_key": self._settings.api_key},
                data=form,
                allow_redirects=False,
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            ) as response,
        ):
            try:
                body = await _bounded(response)
            except Unreadable:
                body = b""
            return _Answer(response.status, body, _retry_after(response))

    def _sent(self, answer: _Answer) -> Submitted:
        """The classification: a clear yes, a clear no, or unknown."""
        said = answer.says()
        if answer.status == 401:
            raise KeyRefused("the fax provider refuses the API key", said)
        if answer.status in (403, 429):
            if not said:
                log.warning("a refusal that is not the provider's JSON", status=answer.status)
            raise TryLater(
                "the fax provider asks us to slow down",
                said or f"HTTP {answer.status}",
                after=answer.retry_after or None,
            )
        if 400 <= answer.status < 500 and answer.status != 408:
            text = said or f"the fax provider refused the fax (HTTP {answer.status})"
            raise (NotFound if answer.status == 404 else Refused)(text, f"HTTP {answer.status}", status="5.1.1")
        if not 200 <= answer.status < 300:
            raise OutcomeUnknown("the fax provider gave no clear answer to the send", f"HTTP {answer.status} {said}")
        try:
            record = as_object(answer.json())
        except Unreadable as error:
            raise OutcomeUnknown("the fax provider's answer to the send is unreadable", str(error)) from error
        word = str(record.get("status", "")).strip().lower()
        reference = as_int(record.get("fax_job_id"))
        if reference is not None:
            return Submitted(
                reference,
                cost=as_money(record.get("cost")),
                balance=as_money(record.get("user_cash_balance")),
                failed=word in _FAILED_WORDS,
                text=said,
            )
        if word in _FAILED_WORDS and record.get("fax_job_id") in (None, "", 0):
            raise Refused(said or "the fax provider did not send the fax and said no reason", status="5.1.1")
        raise OutcomeUnknown("the fax provider's answer to the send names no fax", clean(repr(dict(record))))

    async def status(self, provider_ref: int) -> JobStatus:
        """``GET /fax/{fax_job_id}/status``: its ``status`` is about the request, its ``message`` about the fax."""
        record = self._object(await self._call("GET", f"/fax/{provider_ref}/status"))
        text = clean(str(first(record, "message", "fax_status") or ""))
        verdict, code = wording.classify(text, str(record.get("msg_code") or ""))
        return JobStatus(verdict, code, text)

    async def history(self, page: int, limit: int) -> HistoryPage:
        """``GET /fax-history``, or its alias ``GET /fax`` where that is not there."""
        query = {"limit": str(limit), "page": str(page)}
        try:
            answer = await self._call("GET", "/fax-history", query)
        except NotFound:
            answer = await self._call("GET", "/fax", query)
        listed = self._list(answer, "history", "data", "faxes")
        entries, skipped = [], 0
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
        """``GET /incoming-faxes/{recipient}``, bare digits first, then with a plus."""
        query = {"limit": str(limit), "page": str(page)}
        try:
            return self._inbox(await self._call("GET", f"/incoming-faxes/{recipient.digits}", query), page)
        except NotFound:
            return self._inbox(await self._call("GET", f"/incoming-faxes/%2B{recipient.digits}", query), page)

    def _inbox(self, answer: _Answer, page: int) -> InboxPage:
        listed = self._list(answer, "inbox", "data", "faxes")
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
            entries.append(InboxEntry(arrival, self._time(record)))
        return InboxPage(tuple(entries), self._is_last(answer, page, bool(listed)))

    @staticmethod
    def _is_last(answer: _Answer, page: int, any_entry: bool) -> bool:
        record = answer.json()
        meta = record.get("meta") if isinstance(record, Mapping) else None
        pagination = meta.get("pagination") if isinstance(meta, Mapping) else None
        total = as_int(pagination.get("total_pages")) if isinstance(pagination, Mapping) else None
        return not any_entry or (total is not None and page >= total)

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Download a received document; only from the provider's own hosts, without redirects, within the size cap."""
        host = self._check_url(url)
        connector = aiohttp.TCPConnector(force_close=True, resolver=_PublicResolver(trusted=self._host))
        timeout = aiohttp.ClientTimeout(total=self._settings.upload_timeout)
        got = 0
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False) as session,
                session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
            ):
                if response.status == 401:
                    raise TryLater("the provider does not give the document out (401)")
                if response.status == 404:
                    raise NotFound("the provider no longer has the document")
                if response.status != 200:
                    raise TryLater("the provider does not give the document out", f"HTTP {response.status} of {host}")
                async for chunk in response.content.iter_chunked(_CHUNK):
                    got += len(chunk)
                    if got > self._settings.max_document:
                        raise Refused("the received document is larger than allowed")
                    await write(chunk)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TryLater("the received document could not be fetched", type(error).__name__) from error

    def _check_url(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower().rstrip("."), parts.port
        except ValueError as error:
            raise Refused("the document's address is none") from error
        ours = host == self._host and (port or _default(parts.scheme)) == (self._port or _default(self._scheme))
        theirs = host == "fax.to" or host.endswith(".fax.to")
        if ours and parts.scheme == self._scheme:
            return host
        if theirs and parts.scheme == "https" and port in (None, 443):
            return host
        raise Refused(f"the document lies on a host that is not the provider's: {clean(host, 100)}")

    # --- documents ------------------------------------------------------------------------------------------------

    async def files(self, page: int, limit: int) -> tuple[StoredFile, ...]:
        """``GET /files``: a bare list, or an object that holds one."""
        listed = self._list(
            await self._call("GET", "/files", {"limit": str(limit), "page": str(page)}), "files", "data"
        )
        found = []
        for record in listed:
            if isinstance(record, Mapping) and (reference := as_int(first(record, "id", "document_id"))) is not None:
                found.append(StoredFile(reference, str(first(record, "filename_uploaded", "filename") or "")))
        return tuple(found)

    async def delete(self, document_ref: int) -> None:
        """``DELETE /files/{document_id}``; one that is not there counts as deleted."""
        with contextlib.suppress(NotFound):
            await self._call("DELETE", f"/files/{document_ref}")

    async def clean_file(self, document_ref: int) -> Mapping[str, Any]:
        """``GET /file-clean``: the provider's image clean-up. It deletes nothing."""
        return self._object(await self._call("GET", "/file-clean", {"document_id": str(document_ref)}))

    async def preview_url(self, document_ref: int) -> str:
        """``GET /file-generate-preview``; always https."""
        record = self._object(await self._call("GET", "/file-generate-preview", {"document_id": str(document_ref)}))
        return str(record.get("url") or "").replace("\\", "").replace("http://", "https://", 1)

    # --- account --------------------------------------------------------------------------------------------------

    async def balance(self) -> Decimal:
        """``GET /balance``."""
        found = as_money(first(self._object(await self._call("GET", "/balance")), "balance", "user_cash_balance"))
        if found is None:
            raise TryLater("the fax provider told no balance")
        return found

    async def numbers(self) -> list[Mapping[str, Any]]:
        """``GET /numbers``, all pages."""
        found: dict[str, Mapping[str, Any]] = {}
        for page in range(1, 101):
            answer = await self._call("GET", "/numbers", {"limit": "100", "page": str(page)})
            listed = [r for r in self._list(answer, "numbers", "data") if isinstance(r, Mapping)]
            fresh = {digits(first(r, "did_number", "number") or ""): r for r in listed}
            if not fresh.keys() - found.keys():
                break
            found |= fresh
            if self._is_last(answer, page, True):
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
        return str(self._object(answer).get("api_key") or "")

    async def countries(self) -> list[Any]:
        """``GET /countries``."""
        return self._list(await self._call("GET", "/countries"), "data", "countries")

    async def states(self, country: str) -> list[Any]:
        """``GET /states/{COUNTRY_CODE}`` (ISO 3166-1 alpha-3)."""
        return self._list(await self._call("GET", f"/states/{country}"), "states", "data")

    async def area_codes(self, country: str, state: str) -> list[Any]:
        """``GET /areacodes/{COUNTRY_CODE}/{STATE_ID}``."""
        return self._list(await self._call("GET", f"/areacodes/{country}/{state}"), "areacodes", "data")

    async def did_groups(self, country: str, **filters: str) -> list[Any]:
        """``GET /countries/{COUNTRY_CODE}/didgroups`` with ``stateId``, ``cityNamePattern``, ``areaCode``."""
        return self._list(await self._call("GET", f"/countries/{country}/didgroups", filters), "data", "didgroups")

    async def provision(self, did_group_id: int) -> Mapping[str, Any]:
        """``POST /countries/didgroups/{id}/provision``: buys a number. Only ever on a person's explicit command."""
        return self._object(await self._call("POST", f"/countries/didgroups/{did_group_id}/provision"))

    # --- calls ----------------------------------------------------------------------------------------------------

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        data: Any = None,
        timeout: float | None = None,  # noqa: ASYNC109  # handed to the HTTP library, which times the whole call
        keyed: bool = True,
    ) -> _Answer:
        """A call that may safely be repeated by whoever made it. Raises the error tree for anything but a 2xx."""
        await self._limiter.wait()
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
        params = {**(query or {}), **({"api_key": self._settings.api_key} if keyed else {})}
        try:
            async with self._session.request(
                method,
                self._base + path,
                params=params,
                data=data,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout or self._settings.timeout),
                headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            ) as response:
                answer = _Answer(response.status, await _bounded(response), _retry_after(response))
        except Unreadable as error:
            raise TryLater("the fax provider's answer is too long", str(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TryLater("the fax provider cannot be reached", type(error).__name__, status="4.4.1") from error
        _raise_for(answer)
        return answer

    @staticmethod
    def _object(answer: _Answer) -> Mapping[str, Any]:
        try:
            record = as_object(answer.json())
        except Unreadable as error:
            raise TryLater("the fax provider's answer is unreadable", str(error)) from error
        word = str(record.get("status", "")).strip().lower()
        if word in _FAILED_WORDS and not record.keys() - {"status", "message", "error", "errors", "msg"}:
            raise Refused(message(record) or "the fax provider refused", status="5.3.0")
        return record

    @staticmethod
    def _list(answer: _Answer, *names: str) -> list[Any]:
        try:
            found = answer.json()
        except Unreadable as error:
            raise TryLater("the fax provider's answer is unreadable", str(error)) from error
        if isinstance(found, Mapping):
            found = first(found, *names)
        if not isinstance(found, list):
            raise TryLater("the fax provider's answer holds no list", clean(repr(answer.body[:200])))
        return found


def _raise_for(answer: _Answer) -> None:
    if 200 <= answer.status < 300:
        return
    said = answer.says()
    detail = f"HTTP {answer.status} {said}".strip()
    error: GatewayError
    if answer.status == 401:
        error = KeyRefused("the fax provider refuses the API key", detail)
    elif answer.status in (403, 429):
        error = TryLater("the fax provider asks us to slow down", detail, after=answer.retry_after)
    elif answer.status in (404, 405):
        error = NotFound(said or "the fax provider does not know it", detail)
    elif 400 <= answer.status < 500 and answer.status != 408:
        error = Refused(said or f"the fax provider refused (HTTP {answer.status})", detail, status="5.3.0")
    else:
        error = TryLater("the fax provider has trouble", detail, after=answer.retry_after, status="4.4.1")
    raise error


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, up to the cap. Raises :class:`Unreadable` beyond it."""
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(_CHUNK):
        size += len(chunk)
        if size > _MAX_ANSWER:
            raise Unreadable("the answer does not end")
        chunks.append(chunk)
    return b"".join(chunks)


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return min(float(text), _LONG_WAIT) if text.isascii() and text.isdigit() else None


def _default(scheme: str) -> int:
    return 443 if scheme == "https" else 80


async def _chunks(stream: Any) -> AsyncIterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


class _PublicResolver(aiohttp.abc.AbstractResolver):
    """Resolves once and hands out only public addresses, so that no name leads into the network at home.

    The configured provider itself is trusted: a sandbox lives on a loopback address.
    """

    def __init__(self, trusted: str) -> None:
        self._trusted = trusted
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host != self._trusted and not all(ipaddress.ip_address(entry["host"]).is_global for entry in found):
            raise OSError(f"{host} leads to an address that is not public")
        return found

    async def close(self) -> None:
        await self._resolver.close()
