"""What an opaque S/MIME part holds (RFC 8551 section 3.5, RFC 5652): a signed mail carries its content in clear.

Only the way to that content is read, in DER and in the BER of streaming signers; no signature is judged.
"""

from __future__ import annotations

import binascii

_SIGNED, _COMPRESSED = bytes.fromhex("2a864886f70d010702"), bytes.fromhex("2a864886f70d0109100109")
_SEQUENCE, _OCTETS, _OID, _FIRST, _CONSTRUCTED = 0x30, 0x04, 0x06, 0xA0, 0x20
_DEEPEST = 8  # octet strings in octet strings


class NotSigned(Exception):
    """It is no signed data: encrypted, or nothing that can be read."""


class Compressed(NotSigned):
    """It is compressed data (RFC 3274)."""


def content(data: bytes) -> bytes:
    """The signed content, a MIME entity or a file; b"" when there is none (a list of certificates). Raises NotSigned."""
    try:
        data = _binary(data)
        info, _ = _open(data, 0, _SEQUENCE)
        start, end = info
        oid, start = _open(data, start, _OID)
        if data[oid[0] : oid[1]] != _SIGNED:
            raise Compressed if data[oid[0] : oid[1]] == _COMPRESSED else NotSigned
        explicit, _ = _open(data, start, _FIRST)
        (start, end), _ = _open(data, explicit[0], _SEQUENCE)
        for _ in range(2):  # the version, and the digests used
            _, start = _element(data, start)
        (start, end), _ = _open(data, start, _SEQUENCE)
        _, start = _open(data, start, _OID)
        if start >= end or data[start] != _FIRST:
            return b""
        (start, end), _ = _open(data, start, _FIRST)
        return b"".join(_octets(data, start, 0)[0])
    except (IndexError, ValueError) as error:
        raise NotSigned from error


def _binary(data: bytes) -> bytes:
    """What signing programs also write in base64, with or without the lines of PEM around it. Raises ValueError."""
    if data[:1] == bytes([_SEQUENCE]):
        return data
    return binascii.a2b_base64(b"".join(line for line in data.split(b"\n") if not line.startswith(b"-----")))


def _header(data: bytes, at: int) -> tuple[int, int, int | None]:
    """Tag, offset of the content, and its length: None when an end mark ends it. ValueError when it leaves the data."""
    tag, size = data[at], data[at + 1]
    at += 2
    if size == 0x80:
        return tag, at, None
    if size > 0x80:
        count = size & 0x7F
        if count > 4:
            raise ValueError("a length of too many bytes")
        size = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + size > len(data):
        raise ValueError("the data is cut off")
    return tag, at, size


def _open(data: bytes, at: int, wanted: int) -> tuple[tuple[int, int], int]:
    """The span of the content of an element with the ``wanted`` tag, and where the next begins; open ends reach to the end."""
    tag, start, size = _header(data, at)
    if tag != wanted:
        raise ValueError(f"tag {tag:#x} where {wanted:#x} belongs")
    end = len(data) if size is None else start + size
    return (start, end), end


def _element(data: bytes, at: int) -> tuple[int, int]:
    """The tag of an element and where the next begins."""
    tag, start, size = _header(data, at)
    if size is None:
        raise ValueError("an open end where none belongs")
    return tag, start + size


def _octets(data: bytes, at: int, depth: int) -> tuple[list[bytes], int]:
    """The pieces of an octet string, which may be made of others, and where the next element begins."""
    tag, start, size = _header(data, at)
    if tag == _OCTETS and size is not None:
        return [data[start : start + size]], start + size
    if tag != _OCTETS | _CONSTRUCTED or depth == _DEEPEST:
        raise ValueError("no octet string")
    pieces: list[bytes] = []
    end = None if size is None else start + size
    while start != end:
        if end is None and data[start : start + 2] == b"\0\0":
            return pieces, start + 2
        found, start = _octets(data, start, depth + 1)
        pieces += found
        if end is not None and start > end:
            raise ValueError("an octet string that leaves its frame")
    return pieces, start
