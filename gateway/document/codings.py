"""Codings of what a PDF page is drawn from, other than Flate and those of pictures alone (ISO 32000-2, 7.4).

Each has a mark of its end, and decoders make do with what there is before it.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import Any

import pikepdf
from pikepdf import Dictionary, Name, Stream

_BASE85, _HEX = {"/ASCII85Decode", "/A85"}, {"/ASCIIHexDecode", "/AHx"}
_LZW, _RUNS = {"/LZWDecode", "/LZW"}, {"/RunLengthDecode", "/RL"}
QUICK = _BASE85 | _HEX  # to decode, and into no more than there was
KNOWN = QUICK | _LZW | _RUNS
_END_OF_RUNS = 128
_NOISE = b"\x55\xaa" * 16  # what comes behind the mark of the end of LZW changes nothing


def decoded(data: bytes, coding: str, settings: Dictionary | None = None) -> tuple[bytes, bool]:
    """What one of the KNOWN codings holds, and whether its end is marked; ``settings``: of LZW. Raises binascii.Error."""
    if coding in _BASE85:
        letters, mark, _ = data.strip().removeprefix(b"<~").partition(b"~")
        try:
            return base64.a85decode(letters), bool(mark)
        except ValueError as error:
            raise binascii.Error(str(error)) from error
    if coding in _HEX:
        letters, mark, _ = data.replace(b"\0", b"").partition(b">")
        letters = b"".join(letters.split())
        return binascii.unhexlify(letters + b"0" * (len(letters) % 2)), bool(mark)
    if coding in _RUNS:
        return _of_runs(data)
    whole = _of_lzw(data, settings)
    with contextlib.suppress(binascii.Error):
        return whole, _of_lzw(data + _NOISE, settings) == whole
    return whole, False


def _of_runs(data: bytes) -> tuple[bytes, bool]:
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        count = data[at]
        if count == _END_OF_RUNS:
            return b"".join(pieces), True
        if count < _END_OF_RUNS:
            pieces.append(data[at + 1 : at + 2 + count])
            at += 2 + count
        else:
            pieces.append(data[at + 1 : at + 2] * (257 - count))
            at += 2
    return b"".join(pieces), False


def _of_lzw(data: bytes, settings: Dictionary | None) -> bytes:
    said: dict[str, Any] = dict(settings.items()) if settings is not None else {}
    said = {key: value for key, value in said.items() if isinstance(value, int)}
    with pikepdf.new() as scratch:
        stream = Stream(scratch, data, Filter=Name.LZWDecode, DecodeParms=Dictionary(said))
        try:
            return stream.read_bytes()
        except (pikepdf.PdfError, RuntimeError) as error:
            raise binascii.Error(str(error)) from error
