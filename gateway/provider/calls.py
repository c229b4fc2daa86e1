"""Calls of the Fax.to API over HTTP: bounded answers, a clear no told from no answer, and no word of the key.

The key travels in the query and HTTP errors quote their URL, so an error is reworded here and never chained.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import structlog
from yarl import URL

from gateway import telemetry
from gateway.errors import GatewayError, KeyRefused, NotFound, OutcomeUnknown, Refused, SlowDown, TryLater
from gateway.provider.reading import Unreadable, clean, message, read_json

log = structlog.get_logger("provider")

CHUNK = 256 << 10
NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)
_MAX_ANSWER = 4 << 20
_LONG_WAIT = 3600.0
_KEY_LENGTH = 8  # what is shorter is no key of a real account, and hiding it would garble words
# a compressed answer could be a bomb, and a resent one a second fax: neither is asked for
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity"}


class Secret:
    """The API key, and the hiding of it in texts of the outside."""

    def __init__(self, key: str) -> None:
        self.key = key
        self._encoded = key.encode()

    def hide(self, text: str, length: int = 300) -> str:
        """``text`` cleaned for logs and mails, without the key."""
        return clean(text.replace(self.key, "***") if len(self.key) >= _KEY_LENGTH else text, length)

    def excerpt(self, body: bytes) -> str:
        """The start of an answer, for the log."""
        if len(self.key) >= _KEY_LENGTH:
            body = body.replace(self._encoded, b"***")
        return clean(repr(body[:300]))

    def why(self, error: BaseException) -> str:
        """A network error in words."""
        return self.hide(f"{type(error).__name__}: {error}".rstrip(": "))


@dataclass(frozen=True, slots=True)
class Answer:
    """``retry_after`` in seconds, None when the provider named none; ``moved_to``: scheme and host that a redirect names."""

    status: int
    body: bytes
    retry_after: float | None
    secret: Secret = field(repr=False)
    moved_to: str = ""

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """Raises :class:`Unreadable`, saying what the answer begins with."""
        try:
            return read_json(self.body)
        except Unreadable as error:
            raise Unreadable(f"{error}: {self.excerpt()}") from None

    def says(self) -> str:
        """The provider's own words, cleaned; "" when there are none."""
        try:
            return self.secret.hide(message(read_json(self.body)))
        except Unreadable:
            return ""

    def excerpt(self) -> str:
        return self.secret.excerpt(self.body)

    @property
    def detail(self) -> str:
        """For the log: the status and the provider's own words."""
        return f"HTTP {self.status} {self.says()}".strip()


def _is_refusal(status: int) -> bool:
    """A clear no: any 4xx but 408 (RFC 9110 section 15.5)."""
    return 400 <= status < 500 and status != 408


def _refusal(answer: Answer) -> GatewayError:
    said, detail = answer.says(), answer.detail
    if answer.status in (403, 404) and not said:
        log.warning("a refusal that is not in the provider's words: is a proxy in between?", status=answer.status)
    if answer.status == 401:
        return KeyRefused("the fax provider refuses the API key", detail)
    if answer.status in (403, 429):
        return SlowDown("the fax provider asks us to slow down", detail, after=answer.retry_after)
    if answer.status == 402:  # whatever words come with it
        is_said = "payment required" in said.lower()
        return Refused(said if is_said else f"payment required: {said}".rstrip(": "), detail)
    kind = NotFound if answer.status == 404 else Refused
    return kind(said or f"the fax provider refused (HTTP {answer.status})", detail)


class Calls:
    """``timeout`` in seconds for a whole call; ``rate`` calls a second at most (0: no limit)."""

    def __init__(self, key: str, *, timeout: float, rate: float) -> None:
        self.secret = Secret(key)
        self._timeout = timeout
        self._limiter = _Limiter(rate)
        self._session: aiohttp.ClientSession | None = None
        self._refused = False  # the key: nobody asks with it again but a probe

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(
        self,
        method: str,
        url: str,
        query: Mapping[str, str] | None = None,
        *,
        data: Any = None,
        timeout: float | None = None,  # noqa: ASYNC109  # handed to the HTTP library, which times the whole call
        keyed: bool = True,
        probe: bool = False,
    ) -> Answer:
        """A call that may safely be repeated by whoever made it. Raises the error tree for anything but a 2xx.

        Once the key was refused, only a ``probe`` is made with it, until one succeeds.
        """
        await self._limiter.wait()
        if keyed and not probe:
            self._check_key()
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())
        params = {**(query or {}), **({"api_key": self.secret.key} if keyed else {})}
        try:
            async with self._session.request(
                method,
                url,
                params=params,
                data=data,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout or self._timeout),
                headers=_HEADERS,
            ) as response:
                answer = await self._read(response)
        except Unreadable as error:
            raise TryLater("the fax provider's answer is unreadable", str(error)) from None
        except NETWORK_ERRORS as error:
            raise TryLater("the fax provider cannot be reached", self.secret.why(error)) from None
        if _is_refusal(answer.status):
            self._refused |= keyed and answer.status == 401
            raise _refusal(answer)
        if 300 <= answer.status < 400:  # followed nowhere: neither documents nor the key are for others
            where = answer.moved_to or "another place"
            raise TryLater(
                f"the fax provider sends us to {where}; is provider.base_url right?", f"HTTP {answer.status}"
            )
        if not answer.ok:
            raise TryLater("the fax provider has trouble", answer.detail, after=answer.retry_after)
        if keyed:
            self._refused = False
        return answer

    def _check_key(self) -> None:
        if self._refused:
            raise KeyRefused("the fax provider refuses the API key", "not asked again before the key is checked")

    async def once(self, url: str, form: Mapping[str, str]) -> Answer:
        """A POST that is made once, on a connection of its own: a kept one might die with the request in it.

        Returns a 2xx. Raises Refused, KeyRefused and TryLater when it provably had no effect (a clear no, or no byte of
        it left us), OutcomeUnknown otherwise.
        """
        await self._limiter.wait()
        self._check_key()
        begun = False

        async def connected(*_: Any) -> None:
            nonlocal begun
            begun = True

        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(connected)  # after the TLS handshake, before the first byte
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(force_close=True),
                    timeout=aiohttp.ClientTimeout(total=self._timeout),
                    trace_configs=[trace],
                    auto_decompress=False,
                ) as session,
                session.post(
                    url, params={"api_key": self.secret.key}, data=form, allow_redirects=False, headers=_HEADERS
                ) as response,
            ):
                answer = await self._read(response)
        except (Unreadable, *NETWORK_ERRORS) as error:
            if not begun:
                raise TryLater("the fax provider cannot be reached", self.secret.why(error)) from None
            raise OutcomeUnknown("the fax provider gave no whole answer", self.secret.why(error)) from None
        if _is_refusal(answer.status):
            self._refused |= answer.status == 401
            raise _refusal(answer)
        if not answer.ok:
            raise OutcomeUnknown("the fax provider gave no clear answer", answer.detail)
        return answer

    async def _read(self, response: aiohttp.ClientResponse) -> Answer:
        """Raises :class:`Unreadable` for a body beyond the cap, a network error for one that is cut."""
        wait, origin = _wait(response.headers), self._origin(response.headers.get("Location", ""))
        head = Answer(response.status, b"", wait, self.secret, origin)
        try:
            answer = replace(head, body=await _bounded(response))
            telemetry.asked(response.method, response.url.path, status=answer.status, size=len(answer.body))
            return answer
        except (Unreadable, *NETWORK_ERRORS):
            if _is_refusal(head.status):
                return head  # the status line alone is a clear no
            raise

    def _origin(self, location: str) -> str:
        """Scheme and host of an address, without what else is in it; "" for one on the same host."""
        try:
            return self.secret.hide(str(URL(location).origin()), 100)
        except ValueError:
            return ""


def _wait(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait, within reason, or until a time by its own clock (RFC 9110 section 10.2.3)."""
    after = headers.get("Retry-After", "")
    try:
        if after.isascii() and after.isdigit():
            wait = float(after)
        else:
            wait = (parsedate_to_datetime(after) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(wait, _LONG_WAIT) if wait > 0 else None


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


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, up to the cap. Raises :class:`Unreadable` beyond it."""
    chunks, size = [], 0
    async for chunk in response.content.iter_chunked(CHUNK):
        size += len(chunk)
        if size > _MAX_ANSWER:
            raise Unreadable("the answer does not end")
        chunks.append(chunk)
    return b"".join(chunks)
