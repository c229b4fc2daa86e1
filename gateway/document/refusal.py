"""The refusal of a document's content, and names out of it that stand there."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from gateway.errors import Refused

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+")
_LONGEST = 120  # characters of a name


class Unfaxable(Refused):
    """Something that cannot become pages. The sentence names it, why, and what to send instead."""

    default_status = "5.6.1"  # RFC 3463: media not supported


class TooLong(Unfaxable):
    """More pages, pixels or bytes than a fax may have."""

    default_status = "5.2.3"  # message length exceeds an administrative limit


def file_name(claimed: str) -> str:
    """A name as a document or an archive claims it, as one to show; on disk it is none."""
    return short(PurePosixPath(claimed.replace("\\", "/")).name)


def short(claimed: str) -> str:
    """As :func:`file_name`, of what is no file."""
    name = _CONTROLS.sub("", claimed).strip()
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
