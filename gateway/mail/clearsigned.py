"""Texts that are signed where they stand (RFC 9580 section 7): what PGP writes around them is nothing to print."""

from __future__ import annotations

import re

_BEGIN, _SIGNATURE = b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----BEGIN PGP SIGNATURE-----"
_HEAD = re.compile(rb"[ \t]*\r?\n(?:[A-Za-z]+: [^\r\n]*\r?\n)*[ \t]*\r?\n")
_DASH = re.compile(rb"^- ", re.MULTILINE)  # before a line that begins with one
# nothing but what a signature is made of, or words of the sender would go with it
_ARMOUR = re.compile(
    rb"-----BEGIN PGP SIGNATURE-----[ \t]*\r?\n(?:[A-Za-z]+: [^\r\n]*\r?\n)*(?:[A-Za-z0-9+/=]*[ \t]*\r?\n)*"
    rb"-----END PGP SIGNATURE-----[ \t]*(?:\r?\n|\Z)"
)


def opened(text: bytes) -> bytes:
    """``text`` without the frames of its signed passages; one that is not whole stays."""
    kept: list[bytes] = []
    done = 0
    while (begin := _line(text, _BEGIN, done)) >= 0:
        head = _HEAD.match(text, begin + len(_BEGIN))
        signature = _line(text, _SIGNATURE, head.end() - 1) if head else -1
        armour = _ARMOUR.match(text, signature) if signature >= 0 else None
        if head is None or armour is None:
            break
        kept += [text[done:begin], _DASH.sub(b"", text[head.end() : signature])]
        done = armour.end()
    return b"".join(kept) + text[done:]


def _line(text: bytes, line: bytes, start: int) -> int:
    """Where a line begins so, from ``start`` on; -1 where none does."""
    if start == 0 and text.startswith(line):
        return 0
    at = text.find(b"\n" + line, max(0, start - 1))
    return at + 1 if at >= 0 else -1
