"""Delivery status notifications (RFC 3464, 3461, 6522): a result in words that mail programs understand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from gateway.mail import mime
from gateway.mail.mime import Part
from gateway.mail.words import one_line
from gateway.model import MailKind

RETURNED = 50_000  # bytes of a mail that goes back whole; Postfix returns as much (bounce_size_limit)
_HEADERS = 20_000  # bytes of the original header that go back
_LONGEST = 998  # bytes of a line, RFC 5322 section 2.1.1


def recipients(facts: dict[str, Any]) -> list[dict[str, str]]:
    """``rcpt``, ``number`` and ``orcpt`` of the job that the mail is about, or of all to whom a mail was not faxed."""
    return [
        {name: one_line(str(each.get(name) or "")) for name in ("rcpt", "number", "orcpt")}
        for each in facts.get("recipients") or [facts]
    ]


def action(kind: MailKind, facts: dict[str, Any]) -> str:
    """The DSN action for a result, "" when it is told in an ordinary mail (RFC 3461 section 5.2)."""
    notify = facts.get("notify") or []
    if kind is MailKind.ACCEPTED:
        return ""
    if kind is MailKind.FAILED:
        return "failed"
    if kind is MailKind.DELIVERED:
        return "delivered" if "success" in notify else ""
    if kind is MailKind.NO_RESULT:
        return "relayed" if "success" in notify and facts.get("provider_ref") is not None else ""
    return "delayed" if kind is MailKind.DELAYED or "delay" in notify else ""


def tries(facts: dict[str, Any]) -> int:
    """How often the provider took the fax to dial it. What it refused, for want of credit say, rang nobody's telephone."""
    return int(facts.get("dialled") or 0) + (facts.get("provider_ref") is not None)


def report(
    people: Part, facts: dict[str, Any], effect: str, status: str, original: bytes, *, hostname: str, message_id: str
) -> Part:
    """A multipart/report: for ``people``, for machines, and the mail it was about.

    ``effect`` is what :func:`action` gives, ``status`` the enhanced one where the facts name none that goes with it.
    Of the ``original`` the header goes back, and all of it with a failure where RET=FULL asks for that (RFC 3461
    section 4.3), if it is small and needs no encoding, which a mail within a mail cannot have (RFC 2046 section 5.2.1).
    """
    machines = mime.lines_of("message/delivery-status", _delivery_status(facts, effect, status, hostname))
    if effect == "failed" and facts.get("ret") == "FULL" and _is_plain(original):
        returned = Part((b"Content-Type: message/rfc822",), original)
    else:
        returned = mime.lines_of("text/rfc822-headers", _original_headers(facts, original))
    parts = [people, machines, *([returned] if returned.body else [])]
    return mime.multipart("report", parts, message_id, " report-type=delivery-status;")


def _delivery_status(facts: dict[str, Any], action: str, otherwise: str, hostname: str) -> Iterable[bytes]:
    """RFC 3464 section 2: fields of the message, and behind a blank line each the fields of a recipient."""
    status = str(facts.get("status") or "")
    if action in ("delivered", "relayed"):
        status = status if status.startswith("2.") else "2.0.0"
    elif not re.fullmatch(rf"[{4 if action == 'delayed' else 45}]\.[0-9]{{1,3}}\.[0-9]{{1,3}}", status):
        status = otherwise
    diagnostic = f"X-Fax; {facts.get('code') or 'unknown'} {one_line(str(facts.get('text') or ''), 1000)}"
    message = [
        ("Reporting-MTA", f"dns; {hostname}"),
        ("Original-Envelope-Id", facts.get("envid")),
        ("Arrival-Date", _date_of(facts.get("accepted_at"))),
    ]
    groups = [
        [
            ("Original-Recipient", _typed(each["orcpt"])),
            ("Final-Recipient", f"rfc822; {each['rcpt']}"),
            ("Action", action),
            ("Status", status),
            ("Diagnostic-Code", diagnostic if action in ("failed", "delayed") else None),
            ("Last-Attempt-Date", _date_of(facts.get("submitted_at"))),
            ("Will-Retry-Until", _date_of(facts.get("retry_until")) if action == "delayed" else None),
            ("Final-Log-Id", facts.get("job")),
            ("X-Faxgateway-Number", each["number"]),
            ("X-Faxgateway-Pages", facts.get("pages")),
            ("X-Faxgateway-Tries", tries(facts)),
            ("X-Faxgateway-Cost", facts.get("cost")),
            ("X-Faxgateway-Provider-Job", facts.get("provider_ref")),
        ]
        for each in recipients(facts)
    ]
    for group in (message, *groups):
        if group is not message:
            yield b""
        for name, value in group:
            if value not in (None, ""):
                yield mime.structured(name, str(value))


def _typed(orcpt: str) -> str:
    """RFC 3461 section 4.2: an address with its type."""
    if orcpt and not re.match(r"[A-Za-z0-9-]+;", orcpt):
        orcpt = f"rfc822;{orcpt}"
    return orcpt.replace(";", "; ", 1) if "; " not in orcpt else orcpt


def _date_of(at: Any) -> str:
    return mime.date(at) if isinstance(at, int | float) else ""


def _is_plain(original: bytes) -> bool:
    """Whether it is whole and 7bit data (RFC 2045 section 2.7)."""
    lines = original.split(b"\r\n")
    return (
        0 < len(original) <= RETURNED
        and original.isascii()
        and b"\0" not in original
        and not any(len(line) > _LONGEST or b"\r" in line or b"\n" in line for line in lines)
    )


def _original_headers(facts: dict[str, Any], original: bytes) -> Iterable[bytes]:
    """The header of the sender's mail, or what is known of it."""
    given = (b"\r\n" + original[:_HEADERS]).partition(b"\r\n\r\n")[0]  # a mail may begin with its text
    lines = [re.sub(rb"[^\t -~]", b"?", line)[:990].rstrip() for line in re.split(rb"\r\n|\r|\n", given)]
    kept = [line for line in lines if line]
    if kept:
        return kept
    known = (("Date", facts.get("date")), ("Subject", facts.get("subject")), ("Message-ID", facts.get("message_id")))
    return [mime.unstructured(name, str(value)) for name, value in known if value]
