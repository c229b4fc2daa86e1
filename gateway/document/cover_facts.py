"""What stands on a cover page: gathered from the mail, its options, and the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import getaddresses, parseaddr
from typing import Any

from gateway.model import FaxOptions


def gather(
    headers: Mapping[str, str], options: FaxOptions, ours: Mapping[str, str],
    *, rcpt: str, number: str, sender: str, subject: str, at: float,
) -> dict[str, Any]:  # fmt: skip
    """Fields of :data:`~gateway.document.cover.FIELDS`, ``language`` and ``at`` (s).

    ``headers`` are those of the mail for people, by lower-case name; ``ours`` the configuration's fields, which what the
    sender or his route says goes before; ``rcpt`` the address as received.
    """
    name, address = parseaddr(headers.get("from", ""))
    return {
        **ours,
        "to": options.attn or _name_of(rcpt, headers) or options.addressee,
        "to_company": options.org,
        "to_fax": number,
        "from": name or ours.get("from", "") or address or sender,
        "from_email": address or sender,
        "from_company": options.from_company or ours.get("from_company", ""),
        "from_department": options.from_department or ours.get("from_department", ""),
        "from_voice": options.from_voice or ours.get("from_voice", ""),
        "regarding": subject,
        "reference": options.reference,
        "language": options.language or ours.get("language", "en"),
        "at": at,
    }


def _name_of(address: str, headers: Mapping[str, str]) -> str:
    """The name that stands beside an address in To or Cc, "" when none does or it is only the address or number again."""
    wanted = address.strip("<>").lower()
    for name, found in getaddresses([headers.get("to", ""), headers.get("cc", "")]):
        says = "@" not in name and name.lower() != wanted.partition("@")[0] and any(map(str.isalpha, name))
        if found.lower() == wanted and says:
            return name
    return ""
