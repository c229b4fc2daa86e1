"""Fetching a received document from the address the provider gave for it, and from nowhere else.

The address comes from outside (an inbox entry or a callback nobody signed), so it may name only the provider's own hosts,
and no name may lead to an address that is not public.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from gateway.errors import NotFound, Refused, TryLater
from gateway.provider.calls import CHUNK, NETWORK_ERRORS, Secret
from gateway.provider.reading import clean

_TOO_LARGE = "the received document is larger than http.callbacks.max_file allows"


class Downloads:
    """``base_url`` is the provider as configured, ``timeout`` seconds for a whole document of at most ``max_size`` bytes."""

    def __init__(self, base_url: str, secret: Secret, *, timeout: float, max_size: int) -> None:
        self._base = URL(base_url).origin()
        self._secret = secret
        self._timeout = timeout
        self._max_size = max_size

    async def fetch(self, url: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Download chunk by chunk into ``write``. Raises Refused, NotFound or TryLater."""
        target = self._allowed(url)
        got = 0
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(force_close=True, resolver=_PublicResolver(self._base.host or "")),
                    timeout=aiohttp.ClientTimeout(total=self._timeout),
                    auto_decompress=False,
                    cookie_jar=aiohttp.DummyCookieJar(),
                ) as session,
                session.get(target, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as response,
            ):
                if response.status in (404, 410):
                    raise NotFound("the provider no longer has the document")
                if response.status != 200:
                    raise TryLater(
                        "the provider does not give the document out", f"HTTP {response.status} of {target.host}"
                    )
                if (response.content_length or 0) > self._max_size:
                    raise Refused(_TOO_LARGE)
                async for chunk in response.content.iter_chunked(CHUNK):
                    got += len(chunk)
                    if got > self._max_size:
                        raise Refused(_TOO_LARGE)
                    await write(chunk)
        except NETWORK_ERRORS as error:
            raise TryLater("the received document could not be fetched", self._secret.why(error)) from None

    def _allowed(self, url: str) -> URL:
        """The address as it will be asked. Raises Refused for a host that is not the provider's.

        The very object that was checked is used, so that no second parser may read another host into it.
        """
        try:
            target = URL(url).with_user(None).with_fragment(None)
            if target.origin() == self._base:
                return target
        except ValueError:
            raise Refused("the document's address is none") from None
        host = (target.host or "").rstrip(".")
        if host == "fax.to" or host.endswith(".fax.to"):
            if target.scheme == "http" and target.explicit_port is None:
                target = target.with_scheme("https")
            if target.scheme == "https" and target.port == 443:
                return target
        raise Refused(f"the document lies on a host that is not the provider's: {clean(host, 100)}")


class _PublicResolver(AbstractResolver):
    """Resolves once and hands out only public addresses, so that no name leads into the network at home.

    The configured provider itself is trusted: a sandbox lives on a loopback address.
    """

    def __init__(self, trusted: str) -> None:
        self._trusted = trusted
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host != self._trusted and not all(ipaddress.ip_address(entry["host"]).is_global for entry in found):
            raise OSError(errno.EPERM, f"{host} leads to an address that is not public")
        return found

    async def close(self) -> None:
        await self._resolver.close()
