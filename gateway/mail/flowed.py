"""Texts whose paragraphs were broken into lines for the way (RFC 3676, format=flowed) become what was written."""

from __future__ import annotations

import re
from itertools import groupby

_LINE_END = re.compile(r"\r?\r\n|\r|\n")
_SIGNATURE = "-- "


def joined(text: str, *, delsp: bool) -> str:
    """``text`` with each paragraph on one line; ``delsp``: the blank at the end of a line is none of the text."""
    lines = [_read(line) for line in _LINE_END.split(text)]
    made = []
    for (depth, is_signature), group in groupby(lines, key=lambda line: (line[0], line[1] == _SIGNATURE)):
        mark = f"{'>' * depth} " if depth else ""
        whole, is_open = "", False
        for _, line in group:  # a paragraph ends where another's words begin
            is_open = line.endswith(" ") and not is_signature
            whole += line[:-1] if is_open and delsp else line
            if not is_open:
                made.append(mark + whole)
                whole = ""
        if is_open:
            made.append(mark + whole)
    return "\n".join(made)


def _read(line: str) -> tuple[int, str]:
    """How often a line is quoted, and what it says: a blank may protect its beginning."""
    said = line.lstrip(">")
    return len(line) - len(said), said.removeprefix(" ")
