"""The refusal of a document's content."""

from __future__ import annotations

from gateway.errors import Refused


class Unfaxable(Refused):
    """Something that cannot become pages. The sentence names it, why, and what to send instead."""

    default_status = "5.6.1"  # RFC 3463: media not supported


class TooLong(Unfaxable):
    """More pages, pixels or bytes than a fax may have."""

    default_status = "5.2.3"  # message length exceeds an administrative limit
