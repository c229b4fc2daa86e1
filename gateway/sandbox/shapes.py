"""Callbacks as they are said and as they go over the wire: the receipt, and a received fax in every shape it may have.

Fax.to API reference, "callbacks": which shape Fax.to uses for the document is not known, so all of them can be ordered.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import FormData

from gateway.sandbox.faults import Fault
from gateway.sandbox.scenarios import TEXTS

RECEIPT_SHAPE, INBOUND_SHAPE = "form", "multipart"
# faults that are a way to write a callback, not what is said in it
_RECEIPT_WIRE = ("json", "multipart", "get")
_NO_DOCUMENT = ("no-file", "url")
_URLENCODED = "application/x-www-form-urlencoded"
_UNKNOWN_JOBS = range(900_000_000, 999_999_999)
_TIFF = "tiff"


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
            return Posted(arguments={"data": _form(fields)})
    return Posted(arguments={"data": dict(fields)})


def document_of(shape: str) -> str:
    """Which document a shape carries: "pdf", "tiff" or "" for none."""
    if shape in _NO_DOCUMENT:
        return ""
    return _TIFF if shape == _TIFF else "pdf"


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
    return Posted(arguments={"data": _with_part(fields, shape, data)})


def _with_part(fields: Mapping[str, str], shape: str, data: bytes) -> FormData:
    """The fields and a part with the document, or with what is left of it."""
    form = _form(fields)
    name, kind, filename = "file", "application/pdf", f"{fields.get('uuid', 'fax')}.pdf"
    match shape:
        case "no-filename":
            form.add_field(name, data, content_type=kind)
            return form
        case "raw-text":
            form.add_field(name, data, content_type="text/plain")
            return form
        case "tiff":
            kind, filename = "image/tiff", filename.replace(".pdf", ".tif")
        case "empty-file":
            data = b""
        case "broken-file":
            data = data[len(data) // 3 : len(data) // 2]
        case "other-part-name":
            name = "document"
    form.add_field(name, data, filename=filename, content_type=kind)
    return form


def _form(fields: Mapping[str, str]) -> FormData:
    form = FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    return form


def _urlencoded(body: str) -> Posted:
    return Posted(arguments={"data": body.encode(), "headers": {"Content-Type": _URLENCODED}})
