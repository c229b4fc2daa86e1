"""How much of a mail is read while others wait: each step of its reading is linear in something that is counted here."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from gateway.mail.buffer import Buffer
from gateway.mail.headers import header_size

_LEVELS = 5  # of parts within parts
_TAG = 8  # steps


class TooMuch(Exception):
    """There is no room for it."""


@dataclass(slots=True)
class Room:
    """What there is room for; it grows less. Without limits nothing is counted. All methods raise :class:`TooMuch`."""

    bytes_of_text: float = inf  # still encoded
    bytes_of_header: float = inf  # of all parts
    steps: float = inf  # lines of what is decoded; in texts what stands for something else, too

    @property
    def is_limited(self) -> bool:
        return self.steps < inf

    def level(self, depth: int) -> None:
        """A part is opened."""
        if self.is_limited and depth > _LEVELS:
            raise TooMuch

    def header(self, source: Buffer, start: int, end: int) -> None:
        """The header of a part is read."""
        if self.is_limited:
            most = start + int(self.bytes_of_header) + 1
            self._take(header=header_size(source, start, min(end, most)))

    def encoded(self, source: Buffer, start: int, end: int) -> None:
        """A text is decoded."""
        if self.is_limited:
            self._take(text=end - start)
            self.lines(source, start, end)

    def text(self, text: bytes) -> None:
        """A decoded text is looked at: its lines, entities, escapes in addresses, and tags most of all."""
        if self.is_limited:
            self._take(steps=text.count(b"\n") + text.count(b"&") + text.count(b"%") + _TAG * text.count(b"<"))

    def lines(self, source: Buffer, start: int, end: int) -> None:
        """So many lines may be looked at one by one."""
        if self.is_limited:
            self._take(steps=source[start:end].count(b"\n"))

    def _take(self, *, text: int = 0, header: int = 0, steps: int = 0) -> None:
        self.bytes_of_text -= text
        self.bytes_of_header -= header
        self.steps -= steps
        if min(self.bytes_of_text, self.bytes_of_header, self.steps) < 0:
            raise TooMuch
