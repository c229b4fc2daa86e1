"""Mails that were cut into several (message/partial, RFC 2046 section 5.2.2): what a part says of itself, and the whole.

"Part" is here one of these mails, never a part of a multipart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gateway.errors import Refused
from gateway.mail import buffer, transfer
from gateway.mail.buffer import Buffer
from gateway.mail.headers import Headers, of_mail, split
from gateway.mail.parameters import parse, without_comment

TYPE = "message/partial"
MOST = 100  # parts of a mail

_SETTING = "what divides mails ('divided data', 'split by data size'), or raise the largest mail size, and send again"
REMEDY = f"in the device, switch off {_SETTING}"
CUT = f"the device cut the mail into several: in its settings, switch off {_SETTING}"

_OF_THE_WHOLE = {"subject", "message-id", "encrypted", "mime-version"}  # and content-*: these the first part encloses
_NUMBER = re.compile(r"[0-9]{1,9}")


def read(headers: Headers) -> tuple[str, int, int] | None:
    """The id that all parts of a mail share, the number of this one, and how many there are, 0 where it does not tell.

    None for a mail that is whole. Raises Refused for a part that does not say which it is, or is one of too many.
    """
    kind, parameters = parse(headers.raw("content-type"))
    if kind != TYPE:
        return None
    id_, number, total = (without_comment(parameters.get(name, "")) for name in ("id", "number", "total"))
    counts = [int(word) if _NUMBER.fullmatch(word) else 0 for word in (number, total or "0")]
    if not id_ or not counts[0] or (total and counts[0] > counts[1]):
        raise Refused(
            f"this part of a divided mail does not say which it is (id, number, total): {REMEDY}", status="5.6.0"
        )
    if transfer.encoding(headers.raw("content-transfer-encoding")):
        raise Refused(f"this part of a divided mail is encoded, which no part may be: {REMEDY}", status="5.6.0")
    if max(counts) > MOST:
        raise Refused(f"the mail was divided into more than {MOST} parts: {REMEDY}", status="5.6.0")
    return id_, counts[0], counts[1]


def join(parts: Sequence[Buffer]) -> Iterator[bytes]:
    """The whole mail, in pieces, of all its ``parts``, the first first. RFC 2046 section 5.2.2.1.

    Raises Refused where it is itself a part of another, or its header is too large.
    """
    first = parts[0]
    outer, body = of_mail(first, 0, len(first))
    inner, body = split(first, body, len(first))
    if parse(inner.raw("content-type"))[0] == TYPE:
        raise Refused(f"the mail that came in parts is itself a part of another mail: {REMEDY}", status="5.6.1")
    yield from (_line(name, value) for name, value in outer.fields() if not _is_of_the_whole(name))
    yield from (_line(name, value) for name, value in inner.fields() if _is_of_the_whole(name))
    yield b"\r\n"
    for part in parts:
        last = b"\n"
        for window in buffer.windows(part, body if part is first else of_mail(part, 0, len(part))[1]):
            last = window[-1:]
            yield window
        if last != b"\n":  # a mail is divided between its lines
            yield b"\r\n"


def _is_of_the_whole(name: str) -> bool:
    return name.startswith("content-") or name in _OF_THE_WHOLE


def _line(name: str, value: bytes) -> bytes:
    return b"%s:%s\r\n" % (name.title().encode("ascii"), value.rstrip(b"\r\n"))
