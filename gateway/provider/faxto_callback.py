"""What a callback of Fax.to says, once its fields are read (Fax.to API, "receipt" and "incoming fax" webhooks)."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.errors import Refused
from gateway.model import FaxArrival, Receipt, Verdict
from gateway.provider import wording
from gateway.provider.reading import as_int, clean

_FIELD = 1000
DOCUMENT_FIELDS = ("file", "document", "fax", "pdf")


def read(fields: Mapping[str, str], now: float) -> Receipt | FaxArrival | None:
    """Tell a receipt from an arrival by its keys; None for neither (the settings page's test post)."""
    reference = as_int(fields.get("fax_job_id", ""))
    if reference is not None:
        return _receipt(fields, reference, now)
    if fields.get("uuid") or (fields.get("from") and fields.get("to")) or any(n in fields for n in DOCUMENT_FIELDS):
        return _arrival(fields)
    return None


def _receipt(fields: Mapping[str, str], reference: int, now: float) -> Receipt:
    text = clean(fields.get("message", ""), _FIELD)
    verdict = wording.verdict_of_word(fields.get("status", ""))
    code = fields.get("msg_code", "").strip().lower()
    if not fields.get("status", "").strip():
        verdict, code = wording.classify(text, code)
    if code not in wording.CODES:
        code = {Verdict.SUCCESS: "ok", Verdict.FAILED: wording.cause(text), Verdict.PROGRESS: ""}[verdict]
    return Receipt(reference, verdict, code, text, now)


def _number(text: str) -> str:
    """A number field: an unencoded + in a form arrives as a blank."""
    return clean(re.sub(r"^ +(?=\d)", "+", text), 64)


def _arrival(fields: Mapping[str, str]) -> FaxArrival:
    url = next(
        (fields[n].strip() for n in DOCUMENT_FIELDS if fields.get(n, "").strip().startswith(("http:", "https:"))), ""
    )

    def short(name: str) -> str:
        return clean(fields.get(name, ""), 100)

    return FaxArrival(
        uuid=clean(fields.get("uuid", ""), 200),
        sender=_number(fields.get("from", "")),
        recipient=_number(fields.get("to", "")),
        time=short("time"),
        pages=as_int(fields.get("pages", "")),
        rsid=short("rsid"),
        speed=short("speed"),
        duration=short("duration"),
        ecm=short("ecm"),
        compression=short("compression"),
        file_url=url[:2000],
    )


def file_type(start: bytes) -> str:
    """The type of a received document by its first bytes (1024), "" when it is neither PDF nor TIFF."""
    if b"%PDF-" in start[:1024]:
        return "application/pdf"
    return "image/tiff" if start[:4] in (b"II*\0", b"MM\0*") else ""


def decode_document(text: str) -> bytes | None:
    """A document given as text: itself, a data URI, or base64 whose + may have become blanks; None when it is none."""
    if text.startswith("%PDF-"):
        return text.encode("latin-1", "replace")
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            return None
    packed = re.sub(r"[\r\n\t]", "", text.strip()).replace(" ", "+").replace("-", "+").replace("_", "/")
    packed = packed.rstrip("=")
    try:
        data = base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if file_type(data[:1024]) else None


def parse_json(path: str) -> dict[str, Any]:
    """Worker function: read a JSON callback from ``path``; its document is decoded into ``path + ".document"``.

    Returns ``fields`` (strings) and ``document`` (path or None). Raises Refused for what is no JSON object.
    """
    try:
        body = json.loads(Path(path).read_bytes().decode("utf-8", "replace"))
    except (ValueError, RecursionError) as error:
        raise Refused("the callback is not JSON") from error
    if not isinstance(body, dict):
        raise Refused("the callback is not a JSON object")
    return split_document({str(k): _flat(v) for k, v in body.items()}, path)


def parse_form(path: str) -> dict[str, Any]:
    """Worker function: as :func:`parse_json` for an urlencoded body."""
    from urllib.parse import unquote_plus

    fields: dict[str, str] = {}
    for pair in Path(path).read_bytes().decode("ascii", "replace").split("&"):
        name, _, value = pair.partition("=")
        if name:
            fields[unquote_plus(name, errors="replace")] = unquote_plus(value, errors="replace")
        if len(fields) > 100:
            raise Refused("the callback has too many fields")
    return split_document(fields, path)


def split_document(fields: dict[str, str], path: str) -> dict[str, Any]:
    """Take a document that came as text out of ``fields`` and write it beside ``path``."""
    for name in DOCUMENT_FIELDS:
        data = decode_document(fields[name]) if len(fields.get(name, "")) > 8 else None
        if data is not None:
            target = f"{path}.document"
            Path(target).write_bytes(data)
            return {"fields": {**_short(fields), name: ""}, "document": target}
    return {"fields": _short(fields), "document": None}


def _short(fields: dict[str, str]) -> dict[str, str]:
    return {name: value if len(value) <= 4000 else value[:100] for name, value in fields.items()}


def _flat(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)
