"""Documents that a client names by their address instead of uploading them (``AddRemoteFile``); off unless wanted."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import aiohttp

from gateway.sandbox.answers import Failure
from gateway.sandbox.reading import Upload, copy

_TIMEOUT = 30.0
_CHUNK = 256 << 10


class RemoteFiles:
    """Fetches into ``directory``, up to ``max_upload`` bytes."""

    def __init__(self, directory: Path, max_upload: int) -> None:
        self._directory = directory
        self._max_upload = max_upload

    async def fetch(self, url: str) -> Upload:
        """The document at an address. Raises :class:`Failure` 400 when it cannot be had."""
        with tempfile.NamedTemporaryFile(dir=self._directory, delete=False) as stream:
            try:
                size, sha256 = await self._copy(url, stream)
            except BaseException as error:
                os.unlink(stream.name)  # noqa: PTH108  # the name is a string here
                if isinstance(error, aiohttp.ClientError | TimeoutError | ValueError):
                    raise Failure(400, "The remote file could not be fetched.") from error
                raise
        return Upload(Path(stream.name), urlsplit(url).path.rsplit("/")[-1] or "document", size, sha256)

    async def _copy(self, url: str, stream: IO[bytes]) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, raise_for_status=True) as response,
        ):
            return await copy(response.content.iter_chunked(_CHUNK), stream, self._max_upload)
