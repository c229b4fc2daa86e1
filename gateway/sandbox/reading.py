"""What a request says, however it says it: query, urlencoded form, multipart, JSON, or several at once.

Fax.to API reference, oddities of its own samples: a multipart type without a boundary and everything in the query, a raw
``+`` that arrives as a blank, a URL or a path where the file should be.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.sandbox.answers import Failure

_MAX_FIELD = 64 << 10  # bytes of a text field
_MAX_FIELDS = 200
_CHUNK = 256 << 10


@dataclass(frozen=True, slots=True)
class Upload:
    """A file part, in a temporary file that lives as long as the request; ``sha256`` is of its bytes."""

    path: Path
    name: str
    size: int
    sha256: str


@dataclass(slots=True)
class Params:
    """Query and body together (the body wins), and the file that came along."""

    fields: dict[str, str] = field(default_factory=dict)
    upload: Upload | None = None

    def text(self, name: str) -> str:
        """A field without the blanks around it; "" when it is missing."""
        return self.fields.get(name, "").strip()

    def integer(self, name: str) -> int | None:
        """A field of digits; None when it is missing or anything else."""
        return integer(self.text(name))

    def number(self, name: str) -> str:
        """A telephone number, with the + restored that a form made a blank of."""
        return restore_plus(self.fields.get(name, ""))


def integer(text: str) -> int | None:
    """A short run of ASCII digits as a number, else None."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def restore_plus(text: str) -> str:
    """Blank and digits become + and digits; other blanks around go."""
    return re.sub(r"\A +(?=[0-9])", "+", text).strip()


@contextlib.asynccontextmanager
async def read(request: web.Request, directory: Path, max_upload: int) -> AsyncIterator[Params]:
    """The parameters of a request; an uploaded file is kept in ``directory`` until the block ends.

    Raises :class:`Failure` 400 for a body that is not what it says, 413 for one that is too large.
    """
    params = Params(dict(request.query))
    try:
        match request.content_type:
            case "multipart/form-data":
                await _multipart(request, params, directory, max_upload)
            case "application/x-www-form-urlencoded":
                text = (await request.read()).decode("utf-8", "replace")
                params.fields |= dict(_pairs(text))
            case "application/json":
                params.fields |= _said(await request.read())
        yield params
    finally:
        if params.upload is not None:
            params.upload.path.unlink(missing_ok=True)


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise Failure(400, "Too many fields.") from error


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is. Raises :class:`Failure` 400."""
    try:
        record = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Failure(400, "The body is not valid JSON.") from error
    if not isinstance(record, dict):
        raise Failure(400, "The body is not a JSON object.")
    return record


def _said(body: bytes) -> dict[str, str]:
    """The fields of a JSON body, which may be empty."""
    record = json_object(body) if body.strip() else {}
    return {name: str(value) for name, value in record.items() if value is not None}


async def _multipart(request: web.Request, params: Params, directory: Path, max_upload: int) -> None:
    try:
        reader = await request.multipart()
    except ValueError:  # no boundary: the parameters stand in the query, as in a sample of the documentation
        await request.read()
        return
    try:
        while (part := await reader.next()) is not None:
            if not isinstance(part, BodyPartReader):
                raise Failure(400, "A part has parts within it.")
            if params.upload is None and _is_file(part):
                params.upload = await _keep(part, directory, max_upload)
            else:
                params.fields[part.name or ""] = await _text(part)
            if len(params.fields) > _MAX_FIELDS:
                raise Failure(400, "Too many fields.")
    except (ValueError, HttpProcessingError) as error:
        raise Failure(400, "The multipart body is broken.") from error


def _is_file(part: BodyPartReader) -> bool:
    return part.filename is not None or part.headers.get("Content-Type", "").startswith(("application/", "image/"))


async def _text(part: BodyPartReader) -> str:
    kept = bytearray()
    while chunk := await part.read_chunk(_CHUNK):
        kept += chunk
        if len(kept) > _MAX_FIELD:
            raise Failure(413, "A field is too large.")
    return kept.decode("utf-8", "replace")


async def _keep(part: BodyPartReader, directory: Path, max_upload: int) -> Upload:
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as stream:
        try:
            size, sha256 = await copy(_chunks(part), stream, max_upload)
        except BaseException:
            os.unlink(stream.name)  # noqa: PTH108  # the name is a string here
            raise
    name = re.split(r"[/\\]", part.filename or "")[-1] or "document"
    return Upload(Path(stream.name), name, size, sha256)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_CHUNK):
        yield chunk


async def copy(chunks: AsyncIterator[bytes], stream: IO[bytes], max_upload: int) -> tuple[int, str]:
    """Write what is uploaded to a file; its size and hash. Raises :class:`Failure` 413."""
    digest, size = hashlib.sha256(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_upload:
            raise Failure(413, f"The file is larger than {max_upload} bytes.")
        digest.update(chunk)
        stream.write(chunk)
    return size, digest.hexdigest()
