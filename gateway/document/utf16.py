"""Text in UTF-16 that has lost its mark, as old programs save it: known by its letters, in the order of bytes that makes sense."""

from __future__ import annotations

from collections import Counter

_ORDERS = ("utf-16-le", "utf-16-be")
_LETTERS = (  # of scripts that are written in words of their own, or together
    ("Greek", (0x0370, 0x0400)),
    ("Cyrillic", (0x0400, 0x0530)),
    ("Armenian", (0x0530, 0x0590)),
    ("Hebrew", (0x0590, 0x0600)),
    ("Arabic", (0x0600, 0x0700), (0x0750, 0x0780), (0xFB50, 0xFE00), (0xFE70, 0xFEFF)),
    ("Indian", (0x0900, 0x0E00)),
    ("Thai", (0x0E00, 0x0E80)),
    ("Georgian", (0x10A0, 0x1100)),
    ("Chinese, Japanese and Korean", (0x3000, 0x3040), (0x3040, 0x3100), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xFF00, 0xFFF0)),
)  # fmt: skip
_SCRIPT = {at: name for name, *spans in _LETTERS for span in spans for at in range(*span)}
_COMMON = ((0, 0x250), (0x2000, 0x2700))  # Latin letters, signs and lines, which stand among all of them
_LEAST = 4  # letters
_MOSTLY = 0.9  # of them are of one script
_MARKS = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\ufeff"  # which are not seen


def charset(start: bytes) -> str:
    """Of a text by its first bytes, "" of anything else, and of what might be read either way."""
    start = start[: len(start) & ~1]
    for order, zeros, others in zip(_ORDERS, (start[1::2], start[::2]), (start[::2], start[1::2]), strict=True):
        if zeros.count(0) * 2 > len(zeros) and not others.count(0):
            return order if _is_text(start.decode(order, "replace")) else ""
    found = [order for order in _ORDERS if _is_foreign(start, order)] if b"\0" in start else []
    return found[0] if len(found) == 1 else ""


def _is_text(text: str) -> bool:
    return all(
        each.isprintable() or each in "\t\n\r\f" or (each > "\x80" and each.isspace()) or each in _MARKS
        for each in text
    )


def _is_foreign(start: bytes, order: str) -> bool:
    """Whether it makes words of one script, as bytes that are no text do not: there is a line end or a blank as well, which
    no 8-bit text has so.
    """
    text = start.decode(order, "replace").removesuffix("\ufffd")  # a pair may be cut
    if "\ufffd" in text or not any(each in "\n\r\t " for each in text) or not _is_text(text):
        return False
    scripts = Counter(
        _SCRIPT.get(ord(each)) for each in text if not any(first <= ord(each) < end for first, end in _COMMON)
    )
    ((script, count),) = scripts.most_common(1) or [(None, 0)]
    return script is not None and count >= max(_LEAST, _MOSTLY * scripts.total())
