"""Web pages that were saved as a mail, and mails written like them (RFC 2557): what a text shows lies beside it, by its address.

Such a picture gets a Content-ID, as pictures of mails have one, and the text shows it by that.
"""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Sequence
from urllib.parse import quote, urljoin

from gateway.mail import bodies
from gateway.mail.leaf import Leaf

_SHOWN = re.compile(r"""(\b(?:src|background)\s*=\s*)("[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)""", re.IGNORECASE)
_LOOKS = re.compile(  # what only browsers want of a page, and what Word and Outlook write beside what they show
    r"text/css|(?:text|application)/(?:x-)?(?:java|ecma)script|font/.*|application/(?:x-)?font.*|application/vnd\.ms-fontobject"
    r"|image/svg\+xml|image/(?:x-icon|vnd\.microsoft\.icon)|(?:text|application)/xml|application/x-mso|image/x-[ew]mz"
    r"|application/vnd\.ms-officetheme|.*\.(?:mso|emz|wmz|thmx)"
)
_MOST = 2000  # addresses on a page that are looked up: each takes as long as a hundred of its letters
_START = 4096  # bytes of a file that tell whether it is such a page
_WORD = re.compile(rb"[A-Za-z-]+(?::|\Z)")
# possessive: a text whose first line looks like a field, with many lines set in below it, would take for ever
_HEAD = re.compile(rb"(?:[!-9;-~]++:[^\n]*+\n(?:[ \t][^\n]*+\n)*+){2,}")
_OF_PARTS = re.compile(rb"^content-type:\s*multipart/", re.IGNORECASE | re.MULTILINE)
_VERSION = re.compile(rb"^mime-version:", re.IGNORECASE | re.MULTILINE)
_WHY = "it only serves the look of a web page"


def is_saved(leaf: Leaf) -> bool:
    """Whether a file is a page saved so, whatever its name says: ``.doc`` and ``.xls`` of web programs are, too."""
    end = min(leaf.end, leaf.start + _START)
    is_base64 = leaf.encoding == "base64"
    first = leaf.source[leaf.start : min(end, leaf.start + 8)]
    if not _WORD.match(_decoded(first) if is_base64 else first):  # the usual case, at little cost
        return False
    start = leaf.source[leaf.start : end]
    start = _decoded(start) if is_base64 else start
    head = _HEAD.match(start)
    return bool(head and _OF_PARTS.search(head[0]) and _VERSION.search(head[0]))


def _decoded(data: bytes) -> bytes:
    symbols = data.translate(None, b"\r\n")
    try:
        return binascii.a2b_base64(symbols[: len(symbols) & ~3])
    except binascii.Error:
        return b""


def tie(leaves: Sequence[Leaf]) -> frozenset[str]:
    """Tie the texts of a multipart/related to what they show; returns the Content-IDs of that, in lower case."""
    if not any(leaf.is_html for leaf in leaves):
        return frozenset()  # RFC 2387 has other things in it than pages
    beside = {leaf.location: leaf for leaf in leaves if leaf.location and not leaf.is_html and not leaf.disposition}
    for leaf in beside.values():
        leaf.content_id = leaf.content_id or leaf.location
    for leaf in leaves:
        is_look = _LOOKS.fullmatch(leaf.type) or _LOOKS.fullmatch(leaf.name.lower())
        if is_look and leaf.disposition != "attachment" and (leaf.location or leaf.content_id):
            leaf.left_out = leaf.left_out or _WHY
    shown: frozenset[str] = frozenset()
    for page in leaves:
        if beside and page.is_html and page.data:
            _show(page, beside)
            shown |= page.pictures
    return shown


def _show(page: Leaf, beside: dict[str, Leaf]) -> None:
    """Have a page show what lies beside it by its Content-ID."""

    def by_id(match: re.Match[str]) -> str:
        address = html.unescape(match[2].strip("\"'")).strip()
        leaf = beside.get(address) or beside.get(_whole(page.location, address))
        return f'{match[1]}"cid:{quote(leaf.content_id or "", safe="")}"' if leaf else match[0]

    text, charset = page.editable
    page.rewrite(_SHOWN.sub(by_id, text, count=_MOST), charset)
    page.pictures = bodies.shown_ids(page.data or b"", page.charset)


def _whole(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:  # it is none
        return ""
