"""The pictures that an HTML text may show: those of its mail, by their Content-ID (RFC 2392), and those written into it."""

from __future__ import annotations

import base64
import binascii
import io
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from gateway.document import picture, raster, sniff
from gateway.document.refusal import Unfaxable
from gateway.model import MailPart

_LONG = 2.5  # times as high as wide


class Pictures:
    """Hands the engine what it may show, and remembers the rest: its ``url_fetcher``."""

    _fail_on_errors = False  # a picture that is missing is no reason not to draw the others

    def __init__(self, parts: list[MailPart]) -> None:
        self._parts = {part.content_id.strip("<> ").lower(): part for part in reversed(parts) if part.content_id}
        self.shown: set[str] = set()  # paths of parts of which nothing is missing
        self.damaged: set[str] = set()
        self.missing: set[str] = set()  # of the mail, by their addresses
        self.exhausted = False  # the memory was

    def __call__(self, url: str) -> Any:
        """A picture of the mail or of the text itself; for all else ValueError, with which the engine goes on."""
        from weasyprint.urls import URLFetcherResponse

        data = self._data(url)
        kind = sniff.sniff_bytes(data)
        if kind not in sniff.IMAGES:
            self.damaged.add(url)
            raise ValueError("no picture")
        try:
            image = picture.inside(data, "a picture in it", raster.WIDTH)
        except Unfaxable:
            self.damaged.add(url)
            raise
        except MemoryError:
            self.exhausted = True
            raise
        out = io.BytesIO()
        image.save(out, format="PNG", compress_level=1)
        is_long = image.height > _LONG * image.width  # a receipt, say, which is no more than a strip within a text
        if (part := self._part(url)) and not is_long and not picture.has_pages(data):
            self.shown.add(part.path)
        return URLFetcherResponse(url, out.getvalue(), {"Content-Type": "image/png"})

    def _part(self, url: str) -> MailPart | None:
        return self._parts.get(unquote(url[4:]).strip("<> ").lower()) if url[:4].lower() == "cid:" else None

    def _data(self, url: str) -> bytes:
        if part := self._part(url):
            return Path(part.path).read_bytes()
        if url[:4].lower() == "cid:":
            self.missing.add(url)
        if url[:5].lower() != "data:":
            raise ValueError("it lies elsewhere")
        head, _, data = url[5:].partition(",")
        octets = unquote_to_bytes(data)
        if not head.lower().rstrip().endswith(";base64"):
            return octets
        try:
            return base64.b64decode(octets + b"==")  # as browsers do, which miss no padding
        except binascii.Error:
            return b""

    def area(self, url: str, width: float, height: float) -> float:
        """CSS pixels that a picture takes, 0 where it is not there; ``width`` and ``height``: what the text says of it."""
        try:
            across, down = picture.size(io.BytesIO(self._data(url)))
        except ValueError:
            return 0.0
        if not across or not down:
            return 0.0
        return (width or height * across / down or across) * (height or width * down / across or down)
