"""Web pages that were saved as a mail, and mails written like them (RFC 2557): what a text shows lies beside it, by its address.

Such a picture gets a Content-ID, as pictures of mails have one, and the text shows it by that.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin

from gateway.mail import bodies

if TYPE_CHECKING:
    from gateway.mail.structure import Leaf

_SHOWN = re.compile(r"""(\b(?:src|background)\s*=\s*)("[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)""", re.IGNORECASE)
_LOOKS = re.compile(  # what only browsers want of a page
    r"text/css|(?:text|application)/(?:x-)?(?:java|ecma)script|font/.*|application/(?:x-)?font.*|application/vnd\.ms-fontobject"
    r"|image/svg\+xml|image/(?:x-icon|vnd\.microsoft\.icon)"
)
_WHY = "it belongs to the look of a web page"


def tie(leaves: Sequence[Leaf]) -> frozenset[str]:
    """Tie the texts of a multipart/related to what they show; returns the Content-IDs of that, in lower case."""
    beside = {leaf.location: leaf for leaf in leaves if leaf.location and not leaf.is_html and not leaf.disposition}
    for leaf in beside.values():
        leaf.content_id = leaf.content_id or leaf.location
    for leaf in leaves:
        if _LOOKS.fullmatch(leaf.type) and not leaf.disposition and (leaf.location or leaf.content_id):
            leaf.left_out = leaf.left_out or _WHY
    shown: frozenset[str] = frozenset()
    for page in leaves:
        if beside and page.is_html and page.data:
            _show(page, beside)
            shown |= page.pictures
    return shown


def _show(page: Leaf, beside: dict[str, Leaf]) -> None:

    def by_id(match: re.Match[str]) -> str:
        address = html.unescape(match[2].strip("\"'")).strip()
        leaf = beside.get(address) or beside.get(_whole(page.location, address))
        return f'{match[1]}"cid:{quote(leaf.content_id or "", safe="")}"' if leaf else match[0]

    text, charset = page.editable
    page.rewrite(_SHOWN.sub(by_id, text), charset)
    page.pictures = bodies.shown_ids(page.data or b"", page.charset)


def _whole(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:  # it is none
        return ""
