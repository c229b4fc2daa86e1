"""Texts that are signed where they stand (RFC 9580 section 7): what PGP writes around them is nothing to print."""

from __future__ import annotations

import re

_BEGIN, _SIGNATURE, _END = (
    b"-----BEGIN PGP SIGNED MESSAGE-----",
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----END PGP SIGNATURE-----",
)
_HEAD = re.compile(rb"[ \t]*\r?\n(?:[A-Za-z]+: [^\r\n]*\r?\n)*[ \t]*\r?\n")
_DASH = re.compile(rb"^- ", re.MULTILINE)  # before a line that begins with one
_LINE_END = re.compile(rb"[ \t]*(?:\r?\n|\Z)")


def opened(text: bytes) -> bytes:
    """``text`` without the frames of its signed passages; one that is not whole stays."""
    kept: list[bytes] = []
    done = 0
    while (begin := _line(text, _BEGIN, done)) >= 0:
        head = _HEAD.match(text, begin + len(_BEGIN))
        signature = _line(text, _SIGNATURE, head.end() - 1) if head else -1
        end = _line(text, _END, signature) if signature >= 0 else -1
        after = _LINE_END.match(text, end + len(_END)) if end >= 0 else None
        if head is None or after is None:
            break
        kept += [text[done:begin], _DASH.sub(b"", text[head.end() : signature])]
        done = after.end()
    return b"".join(kept) + text[done:]


def _line(text: bytes, line: bytes, start: int) -> int:
    """Where a line begins so, from ``start`` on; -1 where none does."""
    if start == 0 and text.startswith(line):
        return 0
    at = text.find(b"\n" + line, max(0, start - 1))
    return at + 1 if at >= 0 else -1
