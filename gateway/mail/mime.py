"""Writing mails: folded headers, encoded words, parts, all in ASCII with CRLF, so that any relay can take them.

RFC 5322, 2045-2047, 2231. Nothing that gets in can start a header of its own: every value becomes one line first.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parseaddr
from urllib.parse import quote

from gateway.mail.words import one_line

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = "January February March April May June July August September October November December".split()

_FOLD = 78  # characters of a header line, RFC 5322 section 2.1.1
_ENCODED = 76  # characters of a line with encoded words, RFC 2047 section 2
_FRAME = len("=?utf-8?B??=")
_TOKEN = 900  # characters without a blank that a header line can hold safely
_LINE = 76  # characters of a base64 line
_LONGEST = 998  # characters of any line, RFC 5322 section 2.1.1
_TYPED = str.maketrans(
    {**dict.fromkeys("‘’“”", "'"), **dict.fromkeys("–—", "-"), "…": "..."}
)  # as a typewriter has them


@dataclass(frozen=True, slots=True)
class Part:
    """One MIME part, encoded: its Content fields, folded and without a last line end, and its body."""

    fields: tuple[bytes, ...]
    body: bytes | bytearray


# --- headers ----------------------------------------------------------------------------------------------------------


def structured(name: str, value: str) -> bytes:
    """A field whose value is ASCII by its nature (addresses, ids, dates) or by a standard, folded at blanks."""
    clean = one_line(value, _TOKEN * 4).translate(_TYPED).encode("ascii", "replace").decode()
    return _folded(name, [word[:_TOKEN] for word in clean.split(" ")])


def unstructured(name: str, text: str) -> bytes:
    """A field of free text: as it is when it is ASCII, else in encoded words (RFC 2047)."""
    clean = one_line(text, _TOKEN)
    words = clean.split(" ")
    if clean.isascii() and "=?" not in clean and all(len(word) < _FOLD - len(name) - 2 for word in words):
        return _folded(name, words)
    return _folded(name, list(_encoded_words(name, clean)))


def date(at: float) -> str:
    """RFC 5322 date of a time (epoch) in UTC, for :func:`structured`."""
    time = datetime.fromtimestamp(at, UTC)
    return f"{DAYS[time.weekday()]}, {time.day} {MONTHS[time.month - 1][:3]} {time:%Y %H:%M:%S} +0000"


def mailbox(display: str, address: str) -> str:
    """``"Display" <address>`` for :func:`structured`."""
    clean = one_line(display, 100)
    if not clean:
        return address
    if clean.isascii() and "=?" not in clean:  # what looks like an encoded word must not be taken for one
        return '"{}" <{}>'.format(re.sub(r'(["\\])', r"\\\1", clean), address)
    return f"{' '.join(_encoded_words('From', clean))} <{address}>"


def split_mailbox(text: str) -> tuple[str, str]:
    """The display name and the address of ``Fax gateway <fax@example.org>``."""
    display, address = parseaddr(text)
    return display, address or text.strip()


def _encoded_words(name: str, text: str) -> Iterable[str]:
    """``text`` in pieces that fit on a line, the first of them behind the field's name."""
    room = (_ENCODED - len(f"{name}: ") - _FRAME) // 4 * 3
    chunk = b""
    for character in text:
        data = character.encode("utf-8", "replace")
        if len(chunk) + len(data) > room:
            yield _encoded_word(chunk)
            chunk = b""
        chunk += data
    if chunk:
        yield _encoded_word(chunk)


def _encoded_word(data: bytes) -> str:
    return f"=?utf-8?B?{binascii.b2a_base64(data, newline=False).decode()}?="


def _folded(name: str, words: list[str]) -> bytes:
    lines = [f"{name}:"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > _FOLD and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines).rstrip(" ").encode("ascii")


# --- parts ------------------------------------------------------------------------------------------------------------


def text(content: str) -> Part:
    """A text/plain part: 7bit when it can be, else quoted-printable UTF-8."""
    lines = [line.rstrip() for line in content.strip("\n").split("\n")]
    content = "\n".join(lines) + "\n"
    if content.isascii() and max(map(len, lines)) <= _LONGEST:
        return Part(
            (b"Content-Type: text/plain; charset=us-ascii", b"Content-Transfer-Encoding: 7bit"),
            content.replace("\n", "\r\n").encode("ascii"),
        )
    encoded = binascii.b2a_qp(content.encode("utf-8", "replace"), istext=True)
    return Part(
        (b"Content-Type: text/plain; charset=utf-8", b"Content-Transfer-Encoding: quoted-printable"),
        encoded.replace(b"\n", b"\r\n"),
    )


def lines_of(kind: str, lines: Iterable[bytes]) -> Part:
    """A part of ASCII lines that must not be encoded: message/delivery-status, text/rfc822-headers (RFC 6522)."""
    return Part((f"Content-Type: {kind}".encode("ascii"),), b"".join(line + b"\r\n" for line in lines))


def attachment(data: bytes, kind: str, name: str, disposition: str = "attachment") -> Part:
    """A document in base64; its name also in RFC 2231 form where it is not ASCII. ``disposition`` inline: to be shown."""
    body = bytearray()  # line by line, so that a large document costs no more than its length
    for start in range(0, len(data), _LINE // 4 * 3):
        body += binascii.b2a_base64(data[start : start + _LINE // 4 * 3], newline=False)
        body += b"\r\n"
    clean = one_line(name, 150)
    ascii_name = re.sub(r'["\\]', "", clean.encode("ascii", "ignore").decode())
    names = [f'filename="{ascii_name}"']
    if not clean.isascii():
        names.append(f"filename*=utf-8''{quote(clean, safe='')[:_TOKEN]}")
    return Part(
        (
            structured("Content-Type", f'{kind}; name="{ascii_name}"'),
            b"Content-Transfer-Encoding: base64",
            structured("Content-Disposition", "; ".join([disposition, *names])),
        ),
        body,
    )


def multipart(subtype: str, parts: Sequence[Part], seed: str, parameters: str = "") -> Part:
    """Parts under one roof. The boundary comes from ``seed``, so that the same mail has the same bytes."""
    boundary = _boundary(seed, parts)
    frame = b"--" + boundary
    pieces = [piece for part in parts for piece in (frame, b"\r\n", _head(part.fields), part.body, b"\r\n")]
    kind = f'multipart/{subtype};{parameters} boundary="{boundary.decode()}"'
    return Part((structured("Content-Type", kind),), b"".join([*pieces, frame, b"--\r\n"]))


def _boundary(seed: str, parts: Sequence[Part]) -> bytes:
    """Sixteen hex digits that stand in no part: a copied header may hold anything."""
    salt = 0
    while True:
        digest = hashlib.sha256(f"{salt}\0{seed}".encode("utf-8", "replace")).hexdigest()
        boundary = f"=_fax_{digest[:16]}".encode("ascii")
        if not any(boundary in part.body for part in parts):
            return boundary
        salt += 1


def message(fields: Iterable[bytes], part: Part) -> bytes:
    """The whole mail: its fields, the MIME fields of its one part, and the body."""
    return b"".join((_head([*fields, b"MIME-Version: 1.0", *part.fields]), part.body))


def _head(fields: Iterable[bytes]) -> bytes:
    return b"\r\n".join(fields) + b"\r\n\r\n"
