"""What a callback of Fax.to says (Fax.to API, "receipt" and "incoming fax" webhooks).

First its body becomes fields, and a document that came as text becomes a file again; these functions take and leave files,
so that a large body can be read in a worker process. Then the fields tell a receipt or a received fax.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

from gateway import charsets
from gateway.errors import Refused
from gateway.model import FaxArrival, Receipt, Verdict
from gateway.provider import wording
from gateway.provider.reading import as_int, clean
from gateway.received import START, file_type

DOCUMENT_FIELDS = ("file", "document", "fax", "pdf")
_FIELDS = 100
_FIELD = 4000
_TEXT = 1000
_URL = 2000
_BLOCK = 1 << 20
_TAIL = 64  # of base64, kept back until its end is known
# base64 with blanks for its +, in the alphabet for URLs, in lines (RFC 4648 sections 4 and 5)
_ALPHABET = bytes.maketrans(b" -_", b"++/")
_LINES = b"\r\n\t"
_BASE64_ESCAPES = ((b"%2B", b"+"), (b"%2F", b"/"), (b"%3D", b"="))  # quickly, as there are millions in a large document


# --- fields: a receipt, or a received fax -----------------------------------------------------------------------------


def read(fields: Mapping[str, str], now: float) -> Receipt | FaxArrival | None:
    """Tell a receipt from an arrival by its keys; None for neither (the settings page's test post)."""
    reference = as_int(fields.get("fax_job_id", ""))
    if reference is not None:
        return _receipt(fields, reference, now)
    if fields.get("uuid") or (fields.get("from") and fields.get("to")) or any(n in fields for n in DOCUMENT_FIELDS):
        return _arrival(fields)
    return None


def _receipt(fields: Mapping[str, str], reference: int, now: float) -> Receipt:
    """A receipt whose status and code contradict each other counts as progress: it makes us ask, and decides nothing."""
    text = clean(fields.get("message", ""), _TEXT)
    code = fields.get("msg_code", "").strip().lower()
    if fields.get("status", "").strip():
        verdict = wording.verdict_of_word(fields["status"])
        if code in wording.CODES and (code == "ok") != (verdict is Verdict.SUCCESS):
            verdict = Verdict.PROGRESS
    else:
        verdict, code = wording.classify(text, code)
    if verdict is Verdict.PROGRESS:
        code = ""
    elif code not in wording.CODES:
        code = "ok" if verdict is Verdict.SUCCESS else wording.cause(text)
    return Receipt(reference, verdict, code, text, now)


def _number(text: str) -> str:
    """A number field: an unencoded + in a form arrives as a blank."""
    return clean(re.sub(r"^ +(?=\d)", "+", text), 64)


def _arrival(fields: Mapping[str, str]) -> FaxArrival:
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
        file_url=next(filter(None, (_address(fields.get(name, "")) for name in DOCUMENT_FIELDS)), ""),
    )


def _address(text: str) -> str:
    """A document given by its address; which host it names is looked at when it is asked. "" for what is none."""
    text = text.strip()
    return text if text.lower().startswith(("http://", "https://")) and len(text) <= _URL else ""


# --- bodies: fields, and the document in a file -----------------------------------------------------------------------


def parse_json(path: str) -> dict[str, Any]:
    """Read a JSON body from ``path``: its ``fields`` (strings), and the names of those that were ``documents``, each of which
    is then in ``path + "." + name``. Raises Refused for what is no JSON object.
    """
    try:
        body = json.loads(Path(path).read_bytes().decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise Refused("the callback is not JSON") from error
    if not isinstance(body, dict):
        raise Refused("the callback is not a JSON object")
    if len(body) > _FIELDS:
        raise Refused("the callback has too many fields")
    fields = {name: _flat(value) for name, value in body.items()}
    values = {}
    for name in DOCUMENT_FIELDS:
        try:
            values[name] = fields.get(name, "").encode("latin-1")
        except UnicodeEncodeError:  # bytes that became characters for good: no longer the document that was sent
            continue
    return _split(fields, values, path)


def parse_form(path: str) -> dict[str, Any]:
    """As :func:`parse_json` for an urlencoded body. Of a field that stands there twice the last counts, as in PHP, which the
    provider's own examples read theirs with: it is no more than a hint, and a second document stands in the inbox too.
    """
    pairs = Path(path).read_bytes().split(b"&", _FIELDS)
    if len(pairs) > _FIELDS:
        raise Refused("the callback has too many fields")
    fields: dict[str, str] = {}
    values: dict[str, bytes] = {}
    for pair in pairs:
        packed_name, _, packed = pair.partition(b"=")
        name = _unquote(packed_name).decode("utf-8", "replace")
        value = _unquote(packed)
        if name:
            fields[name] = text_of(value[:_FIELD])
        if name in DOCUMENT_FIELDS:
            values[name] = value
    return _split(fields, values, path)


def parse_text(path: str) -> dict[str, Any]:
    """As :func:`parse_json` for a body that is one value: a document, as text or by its address."""
    with Path(path).open("rb") as stream:
        text = stream.read(_FIELD).decode("utf-8", "replace")
        stream.seek(0)
        is_document = _unpack(stream, f"{path}.file")
    return {"fields": {"file": "" if is_document else text}, "documents": ["file"] if is_document else []}


def text_of(value: bytes) -> str:
    """The text of a field: UTF-8, or Western where it is none, as a station id may be that is passed on as it came."""
    return charsets.to_text(value, "utf-8")


def _unquote(packed: bytes) -> bytes:
    """Undo the encoding of a form, block by block: the library makes an object of every escape."""
    value = bytearray()
    at = 0
    while at < len(packed):
        end = at + _BLOCK
        split = packed.rfind(b"%", end - 2, end)  # an escape is not cut in two
        end = end if split < 0 else split
        block = packed[at:end].replace(b"+", b" ")
        for escape, sign in _BASE64_ESCAPES:
            block = block.replace(escape, sign)
        value += unquote_to_bytes(block)
        at = end
    return bytes(value)


def _flat(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value)


def _split(fields: dict[str, str], values: Mapping[str, bytes], path: str) -> dict[str, Any]:
    """Take documents that came as text out of the fields and write them beside ``path``."""
    documents = [name for name, value in values.items() if _unpack(io.BytesIO(value), f"{path}.{name}")]
    short = {name: value[:_FIELD] for name, value in fields.items()}
    return {"fields": {**short, **dict.fromkeys(documents, "")}, "documents": documents}


def _unpack(source: BinaryIO, target: str) -> bool:
    """Write the document that ``source`` is: itself, a data URI, or base64. False, and no file, when it is none."""
    start = source.read(START)
    offset = 0
    if start[:5].lower() == b"data:":
        head, comma, _ = start.partition(b",")
        if not head.lower().endswith(b";base64"):
            return False
        offset = len(head + comma)
    source.seek(offset)
    plain = file_type(start)
    try:
        pieces = _decoded(source)
        first = start if plain else next(pieces)
        if not file_type(first):
            return False
        with Path(target).open("wb") as out:
            if plain:
                shutil.copyfileobj(source, out)
            else:
                out.write(first)
                out.writelines(pieces)
    except binascii.Error:
        Path(target).unlink(missing_ok=True)
        return False
    return True


def _decoded(source: BinaryIO) -> Iterator[bytes]:
    """Base64 decoded block by block. Raises :class:`binascii.Error` where it is none."""
    rest = source.read(_BLOCK).lstrip().translate(_ALPHABET, _LINES)
    while block := source.read(_BLOCK):
        rest += block.translate(_ALPHABET, _LINES)
        whole = max(0, len(rest) - _TAIL) // 4 * 4
        yield base64.b64decode(rest[:whole], validate=True)
        rest = rest[whole:]
    data, _, padding = rest.partition(b"=")
    if padding.strip(b"=+"):  # a + here was a blank behind the end
        raise binascii.Error("text behind the end")
    yield base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
