"""What the conversion of a mail made: its fax document, page by page, with the fate of each part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """The fate of one part of the mail: pages, or a reason it became none."""

    part: str  # "invoice.pdf", "message text"
    type: str  # detected type, "application/pdf"
    first_page: int | None = None
    last_page: int | None = None
    reason: str = ""  # why it was left out; "" when it became pages
    note: str = ""  # what else is to say of its pages

    @property
    def text(self) -> str:
        """One line a sender understands."""
        if self.first_page is None:
            return f"{self.part}: left out, {self.reason}"
        note = f"; {self.note}" if self.note else ""
        if self.first_page == self.last_page:
            return f"{self.part}: page {self.first_page}{note}"
        return f"{self.part}: pages {self.first_page}-{self.last_page}{note}"


@dataclass(frozen=True, slots=True)
class FaxPage:
    """One page of a fax document: seconds on the line at 14,400 bit/s, what will be hard to read on it, and where.

    ``region``: left, top, right, bottom in pixels of the part of the page where that is seen; None for all of it.
    """

    seconds: float
    warnings: tuple[str, ...] = ()
    region: tuple[int, int, int, int] | None = None

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> FaxPage:
        """From its fields as JSON gives them."""
        region = fields.get("region")
        return cls(fields["seconds"], tuple(fields["warnings"]), region and tuple(region))


@dataclass(frozen=True, slots=True)
class FaxDocument:
    """A finished fax document in the spool: an image-only PDF of 1-bit fax pages."""

    file: str  # spool name
    pages: int
    size: int  # bytes
    sha256: str
    seconds: float  # estimate of its time on the line at 14,400 bit/s
    ledger: tuple[LedgerEntry, ...] = ()
    sheets: tuple[FaxPage, ...] = ()  # its pages in order

    @property
    def warnings(self) -> list[str]:
        """A line for each thing on a page that will be hard to read: "page 2 has light writing on it"."""
        return [f"page {n} {text}" for n, page in enumerate(self.sheets, 1) for text in page.warnings]
