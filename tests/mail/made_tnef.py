"""A winmail.dat as Outlook makes it, from what is in it (MS-OXTNEF, MS-OXRTFCP)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime

STRING, UNICODE, BINARY, OBJECT, LONG, BOOLEAN, TIME = 0x1E, 0x1F, 0x102, 0x0D, 3, 0x0B, 0x40
Property = tuple["int | tuple[bytes, int]", int, "bytes | int"]
APPOINTMENTS = bytes.fromhex("0220060000000000c000000000000046")  # a set of properties


def stream(*attributes: bytes) -> bytes:
    return b"\x78\x9f\x3e\x22" + b"\x01\x00" + b"".join(attributes)


def attribute(level: int, name: int, value: bytes, kind: int = 6) -> bytes:
    return struct.pack("<BHHI", level, name, kind, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def properties(*wanted: Property) -> bytes:
    out = struct.pack("<I", len(wanted))
    for name, kind, value in wanted:
        if isinstance(name, int):
            out += struct.pack("<HH", kind, name)
        else:
            out += struct.pack("<HH", kind, 0x8000) + name[0] + struct.pack("<II", 0, name[1])
        if isinstance(value, int):
            out += struct.pack("<Q" if kind == TIME else "<I", value)
        else:
            out += struct.pack("<II", 1, len(value)) + value + bytes(-len(value) % 4)
    return out


def moment(*date: int) -> int:
    """As a property says it: tenths of microseconds since 1601."""
    return int((datetime(*date, tzinfo=UTC) - datetime(1601, 1, 1, tzinfo=UTC)).total_seconds()) * 10**7  # type: ignore[misc, arg-type]


_BERLIN = -60, 0, -60
_CHANGES = struct.pack("<8H", 0, 10, 0, 5, 3, 0, 0, 0), struct.pack("<8H", 0, 3, 0, 5, 2, 0, 0, 0)
ZONE_OF_ALL = struct.pack("<3iH16sH16s", *_BERLIN, 0, _CHANGES[0], 0, _CHANGES[1])


def zone(name: str) -> bytes:
    """The definition of Berlin's time under a name, with a rule that held before."""
    wide = name.encode("utf-16-le")
    old = struct.pack("<BBHHH14x3i32x", 2, 1, 62, 0, 1601, 0, 0, 0)
    rule = struct.pack("<BBHHH14x3i16s16s", 2, 1, 62, 2, 2007, *_BERLIN, *_CHANGES)
    return struct.pack("<BBHHH", 2, 1, 6 + len(wide), 2, len(name)) + wide + struct.pack("<H", 2) + old + rule


def wide(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


def stored(rtf: bytes) -> bytes:
    """Compressed RTF that is not compressed."""
    return struct.pack("<II4sI", len(rtf) + 12, len(rtf), b"MELA", 0) + rtf


def message(*wanted: Property) -> bytes:
    return attribute(1, 0x9007, struct.pack("<II", 1252, 0)) + attribute(1, 0x9003, properties(*wanted))


def file(name: str, data: bytes, *more: Property, short: str = "FILE~1.PDF") -> bytes:
    return (
        attribute(2, 0x9002, struct.pack("<HIHHI", 1, 0xFFFFFFFF, 32, 32, 0))
        + attribute(2, 0x8010, short.encode("ascii") + b"\0", 1)
        + attribute(2, 0x800F, data)
        + attribute(2, 0x9005, properties((0x3707, UNICODE, wide(name)), (0x3705, LONG, 1), *more))
    )


def held(method: int, data: bytes, kind: int = OBJECT) -> bytes:
    """An attachment that is no plain file: 5 a mail, 6 an object of another program, 7 a reference."""
    return attribute(2, 0x9002, struct.pack("<HIHHI", 1, 0, 32, 32, 0)) + attribute(
        2, 0x9005, properties((0x3705, LONG, method), (0x3701, kind, data))
    )


def inner(content: bytes) -> bytes:
    """A mail in a mail: the id of its interface comes before."""
    return held(5, bytes(16) + content)


def mail(content: bytes, text: str = "", parts: Sequence[str] = ()) -> bytes:
    """A mail with a winmail.dat in it."""
    import base64

    pieces = [f"Content-Type: text/plain\n\n{text}"] if text else []
    encoded = base64.encodebytes(content).decode()
    pieces += [
        "Content-Type: application/ms-tnef; name=winmail.dat\nContent-Transfer-Encoding: base64\n\n" + encoded,
        *parts,
    ]
    body = "".join(f"--b\n{piece}\n" for piece in pieces)
    return (
        ("From: ann@example.com\nSubject: Offer\nContent-Type: multipart/mixed; boundary=b\n\n" + body + "--b--\n")
        .replace("\n", "\r\n")
        .encode()
    )
