"""Callbacks as they are said and as they go over the wire: the receipt, and a received fax in every shape it may have.

Fax.to API reference, "callbacks": which shape Fax.to uses for the document is not known, so all of them can be ordered.
"""

from __future__ import annotations

import base64
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gateway.sandbox.faults import Fault
from gateway.sandbox.scenarios import TEXTS

RECEIPT_SHAPE, INBOUND_SHAPE = "form", "multipart"
# faults that are a way to write a callback, not what is said in it
_RECEIPT_WIRE = ("json", "multipart", "get")
_NO_DOCUMENT = ("no-file", "url")
_URLENCODED = "application/x-www-form-urlencoded"
_UNKNOWN_JOBS = range(900_000_000, 999_999_999)
_PDF = "application/pdf"


@dataclass(frozen=True, slots=True)
class Planned:
    """A callback to be kept: what it says, in which shape, how many real seconds later, and whether it ever goes out."""

    fields: dict[str, str]
    shape: str
    delay: float = 0.0
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Posted:
    """The arguments of the HTTP request that delivers a callback."""

    method: str = "POST"
    arguments: dict[str, Any] = field(default_factory=dict)


# --- what is said -----------------------------------------------------------------------------------------------------


def verdict(code: str) -> str:
    """The status word of a receipt with this ``msg_code``."""
    return "success" if code == "ok" else "failed"


def opposite(code: str) -> str:
    """A ``msg_code`` that says the contrary."""
    return "no_answer" if code == "ok" else "ok"


def receipt_fields(job: int, code: str, line: str) -> dict[str, str]:
    """A delivery receipt: the four documented keys, and the line that made it."""
    return {
        "fax_job_id": str(job), "status": verdict(code), "msg_code": code, "message": TEXTS[code], "line": line,
    }  # fmt: skip


def receipts(job: int, code: str, line: str, fault: Fault | None, times: int = 1) -> list[Planned]:
    """The receipts of a finished fax in the order they go out."""
    kind = fault.kind if fault else ""
    true = receipt_fields(job, code, line)
    before: list[dict[str, str]] = []
    match kind:
        case "doubled":
            times = 2
        case "lie":
            true = receipt_fields(job, opposite(code), line)
        case "unknown-job":
            before = [{**true, "fax_job_id": str(random.choice(_UNKNOWN_JOBS))}]  # noqa: S311  # not a secret
        case "failed-first":
            before = [receipt_fields(job, "unknown", line)]
        case "progress-first":
            before = [{**true, "status": "executed", "msg_code": "", "message": "Sending"}]
        case "test-post":
            before = [{"test": "1", "line": line}]
        case "no-msg-code":
            del true["msg_code"]
        case "no-message":
            del true["message"]
        case "unseen-code":
            true["msg_code"] = "line_quality"
    shape = kind if kind in _RECEIPT_WIRE else RECEIPT_SHAPE
    delay = fault.seconds if fault and kind == "late" else 0.0
    lost = kind == "lost" or times == 0
    sent = [Planned(each, RECEIPT_SHAPE) for each in before]
    return sent + [Planned(true, shape, delay, lost)] * max(times, 1)


def arrivals(fields: Mapping[str, str], fault: Fault | None) -> list[Planned]:
    """The callbacks of a received fax."""
    said = dict(fields)
    kind = fault.kind if fault else INBOUND_SHAPE
    match kind:
        case "no-uuid":
            del said["uuid"]
        case "blank-for-plus":
            said |= {name: said[name].replace("+", " ", 1) for name in ("from", "to")}
        case "anonymous":
            said["from"] = "anonymous"
    delay = fault.seconds if fault and kind == "late" else 0.0
    return [Planned(said, kind, delay, kind == "lost")] * (2 if kind == "doubled" else 1)


# --- on the wire ------------------------------------------------------------------------------------------------------


def receipt(fields: Mapping[str, str], shape: str) -> Posted:
    """The request of a receipt: urlencoded unless a fault says otherwise."""
    match shape:
        case "json":
            return Posted(arguments={"json": dict(fields)})
        case "get":
            return Posted("GET", {"params": dict(fields)})
        case "multipart":
            return _multipart(fields, ())
    return Posted(arguments={"data": dict(fields)})


def document_of(shape: str) -> str:
    """Which document a shape carries: "pdf", "tiff" or "" for none."""
    if shape in _NO_DOCUMENT:
        return ""
    return "tiff" if shape == "tiff" else "pdf"


def inbound(fields: Mapping[str, str], shape: str, document: Path | None, url: str) -> Posted:
    """The request of a received fax; ``url`` is where its document can be fetched."""
    data = document.read_bytes() if document else b""
    text = base64.b64encode(data).decode()
    match shape:
        case "json":
            return Posted(arguments={"json": {**fields, "file": text}})
        case "base64":
            return _urlencoded(urlencode({**fields, "file": text}))
        case "base64-blanks":
            return _urlencoded(f"{urlencode(fields)}&file={text}")
        case "data-uri":
            return _urlencoded(urlencode({**fields, "file": f"data:application/pdf;base64,{text}"}))
        case "url":
            return _urlencoded(urlencode({**fields, "file": url}))
        case "no-file":
            return _urlencoded(urlencode(fields))
    return _multipart(fields, [_part(shape, f"{fields.get('uuid', 'fax')}.pdf", data)])


@dataclass(frozen=True, slots=True)
class _File:
    """A part with a document; ``filename`` and ``type`` may be missing."""

    name: str
    filename: str | None
    type: str | None
    data: bytes


def _part(shape: str, filename: str, data: bytes) -> _File:
    """The part with the document, or with what is left of it."""
    match shape:
        case "no-filename":
            return _File("file", None, _PDF, data)
        case "raw-text":
            return _File("file", None, None, data)
        case "other-part-name":
            return _File("document", filename, _PDF, data)
        case "tiff":
            return _File("file", filename.replace(".pdf", ".tif"), "image/tiff", data)
        case "empty-file":
            return _File("file", filename, _PDF, b"")
        case "broken-file":
            return _File("file", filename, _PDF, data[len(data) // 3 : len(data) // 2])
    return _File("file", filename, _PDF, data)


def _multipart(fields: Mapping[str, str], files: Sequence[_File]) -> Posted:
    """RFC 7578, written by hand: libraries do not write a file without a filename."""
    boundary = secrets.token_hex(16)
    parts = [_File(name, None, None, value.encode()) for name, value in fields.items()]
    body = b""
    for part in (*parts, *files):
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{part.name}"'
        head += f'; filename="{part.filename}"' if part.filename else ""
        head += f"\r\nContent-Type: {part.type}" if part.type else ""
        body += head.encode() + b"\r\n\r\n" + part.data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return Posted(arguments={"data": body, "headers": {"Content-Type": f"multipart/form-data; boundary={boundary}"}})


def _urlencoded(body: str) -> Posted:
    return Posted(arguments={"data": body.encode(), "headers": {"Content-Type": _URLENCODED}})
