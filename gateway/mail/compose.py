"""The mails we write, composed from the facts of an outbox row: same row, same bytes.

Results follow RFC 3464 and 6522 (delivery status notifications), RFC 3834 (automatic mails) and RFC 3458 (message
context). Facts are claims of strangers: each becomes one clean line before it is used.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from gateway.errors import Refused
from gateway.mail import advice, dsn, mime
from gateway.mail.advice import Advice
from gateway.mail.automatic import LOOP_HEADER
from gateway.mail.mime import Part
from gateway.mail.options import zone_of
from gateway.mail.words import one_line
from gateway.model import FaxNumber, MailKind, OutgoingMail
from gateway.numbers import format_human, parse_number
from gateway.received import END, breaks_off, file_type

_WIDTH = 78  # characters of a text line
_LABEL = 12  # characters of a table's first column: a SHA-256 still fits behind it
_CELL = 65_536  # characters of its second: each of many recipients is named
_SUBJECT = 200  # characters kept of the sender's subject
_ID = re.compile(r"<[!-;=?-~]{3,900}>")
_MARK = "*** SANDBOX: this was a trial run. Nothing was really faxed. ***\n\n"
_NO_ANSWERS = "DR, RN, NRN, OOF, AutoReply"  # but bounces: they are how a lost fax is noticed
_PROVIDERS_WORD = (MailKind.DELIVERED, MailKind.FAILED)  # their text is what the provider said
_UNENDED = (MailKind.ACCEPTED, MailKind.DELAYED)
_EXTENSIONS = {"application/pdf": "pdf", "image/tiff": "tif"}

Clock: TypeAlias = Callable[[float], datetime]  # what a clock shows at a time (epoch)


def _in_utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who the mails come from. ``sender`` is a mailbox people may answer to.

    ``hostname`` names the gateway in reports and marks; ``domain`` is the fax domain. ``clock``: of those who receive faxes;
    a sender's is told by his mail.
    """

    sender: str
    hostname: str = "localhost"
    domain: str = "fax.local"
    version: str = ""
    clock: Clock = _in_utc


def compose(
    mail: OutgoingMail,
    letterhead: Letterhead,
    attachment: bytes | None = None,
    pictures: Sequence[tuple[str, bytes]] = (),
    pages: int | None = None,
    original: bytes = b"",
) -> bytes:
    """The whole mail (RFC 5322): ASCII, CRLF, no line longer than 998 characters, deterministic.

    ``attachment`` is the document of a received fax or the mail for the postmaster, None when there is none. ``pictures``
    are PNGs, with their names, of the pages that a result warns of. ``pages`` has the document of a received fax, whatever
    number of them was told; None where nobody counted them. ``original`` is the sender's mail or its beginning.
    """
    facts = {key: _clean(key, value) for key, value in mail.facts.items()}
    match mail.kind:
        case MailKind.INBOUND:
            fields, part = _inbound(mail, facts, letterhead, attachment, pages)
        case MailKind.OPERATOR:
            fields, part = _operator(facts, letterhead)
        case MailKind.POSTMASTER:
            fields, part = _postmaster(mail, facts, letterhead, attachment)
        case _:
            fields, part = _result(mail, facts, letterhead, pictures, original)
    display, address = mime.split_mailbox(letterhead.sender)
    head = [
        mime.structured("Date", mime.date(mail.created_at)),
        mime.structured("From", mime.mailbox(fields.pop("from", display), address)),
        mime.structured("To", mail.to if mail.to.isascii() else "undisclosed-recipients:;"),
        mime.unstructured("Subject", ("[SANDBOX] " if facts.get("sandbox") else "") + fields.pop("subject")),
        mime.structured("Message-ID", _message_id(mail, letterhead)),
        mime.structured("X-Auto-Response-Suppress", _NO_ANSWERS),
        mime.structured(LOOP_HEADER, letterhead.hostname),
        mime.structured("X-Faxgateway-Kind", mail.kind),
    ]
    if facts.get("sandbox"):
        fields["X-Faxgateway-Sandbox"] = "yes"
    for name, value in fields.items():
        if value:  # our own fields carry strangers' words, the others addresses, ids and tokens
            head.append((mime.unstructured if name.startswith("X-") else mime.structured)(name, value))
    return mime.message(head, part)


# --- facts ------------------------------------------------------------------------------------------------------------


def _clean(key: str, value: Any) -> Any:
    """A fact without surprises: one line of text, numbers and flags as they are."""
    if isinstance(value, str):
        return value if key in ("text", "remedy", "note") else one_line(value)
    if isinstance(value, list | tuple):
        return [_clean("", item) for item in value]
    return value


def _sentence(facts: dict[str, Any], key: str) -> str:
    return one_line(str(facts.get(key) or ""), 1000)


def _when(at: Any, clock: Clock) -> str:
    """``Mon 23 November 2026, 10:15 UTC+01:00``; "" when there is no time."""
    if not isinstance(at, int | float):
        return ""
    time = clock(at)
    return f"{mime.DAYS[time.weekday()]} {time.day} {mime.MONTHS[time.month - 1]} {time:%Y, %H:%M %Z}"


def _number(text: str) -> FaxNumber | None:
    """The number a claim names beyond doubt: digits of a number that exists, with or without the plus."""
    digits = re.sub(r"[ ().-]", "", text).removeprefix("+")
    if not re.fullmatch(r"[1-9][0-9]{7,14}", digits, re.ASCII):
        return None
    try:
        return parse_number(f"+{digits}", region="US")  # a number with a plus has no region
    except Refused:
        return None


def _spoken(text: str) -> str:
    """A number for people; a claim that is none is shown as it came."""
    number = _number(text)
    return format_human(number) if number else text


def _message_id(mail: OutgoingMail, letterhead: Letterhead) -> str:
    if _ID.fullmatch(mail.message_id):
        return mail.message_id
    return f"<{hashlib.sha256(mail.message_id.encode('utf-8', 'replace')).hexdigest()[:32]}@{letterhead.hostname}>"


# --- results ----------------------------------------------------------------------------------------------------------


def _result(
    mail: OutgoingMail,
    facts: dict[str, Any],
    letterhead: Letterhead,
    pictures: Sequence[tuple[str, bytes]],
    original: bytes,
) -> tuple[dict[str, str], Part]:
    code = str(facts.get("code") or "")
    verb, told = _verdict(mail.kind, code, confirmed=bool(facts.get("confirmed", True)))
    if facts.get("dialled") and mail.kind in (MailKind.DELAYED, MailKind.FAILED):
        told = advice.after_calls(told, facts["dialled"])
    recipients = dsn.recipients(facts)
    number = _spoken(recipients[0]["number"]) if len(recipients) == 1 else f"{len(recipients)} numbers"
    subject = one_line(str(facts.get("subject") or ""), _SUBJECT)
    text = _render(
        "result.txt",
        facts,
        letterhead,
        fax=f'Your fax "{subject}" to {number}' if subject else f"Your fax to {number}",
        advice=told,
        headed=mail.kind is not MailKind.DELIVERED,
        corrects=advice.CORRECTS.get(str(facts.get("corrects") or ""), ""),
        reason=_sentence(facts, "text") if told.ours else "",
        ledger=facts.get("ledger") or [],
        warnings=facts.get("warnings") or [],
        pictures=[name for name, _ in pictures],
        table=_table(_result_rows(mail, facts, told)),
    )
    named = _ID.search(str(facts.get("message_id") or ""))  # a comment may follow
    reference = named[0] if named else ""
    fields = {
        "subject": f"{verb}: {subject} to {number}" if subject else f"{verb} to {number}",
        "In-Reply-To": reference,
        "References": reference,
        "Auto-Submitted": "auto-replied",
        "X-Faxgateway-Job": str(facts.get("job") or ""),
        "X-Faxgateway-Number": str(facts.get("number") or ""),
        "X-Faxgateway-Reference": str(facts.get("reference") or ""),
        "X-Faxgateway-Code": code,
    }
    if facts.get("corrects"):
        fields["subject"] = f"Correction: {fields['subject']}"
    if told.short:
        fields["subject"] += f" ({told.short})"
    action = dsn.action(mail.kind, facts)
    part = mime.text(text)
    if pictures:  # within a report they belong to what is for people (RFC 6522 section 3)
        shown = [mime.attachment(data, "image/png", name, "inline") for name, data in pictures]
        part = mime.multipart("mixed", [part, *shown], mail.message_id)
    if not action:
        return fields, part
    return fields, dsn.report(
        part, facts, action, told.status, original, hostname=letterhead.hostname, message_id=mail.message_id
    )


def _verdict(kind: MailKind, code: str, *, confirmed: bool) -> tuple[str, Advice]:
    """How the subject begins, and what the mail says."""
    if kind is MailKind.ACCEPTED:
        return ("Scheduled" if code == "scheduled" else "Accepted"), advice.ACCEPTED.get(
            code, advice.ACCEPTED["accepted"]
        )
    if kind is MailKind.DELIVERED:
        return ("Faxed", advice.DELIVERED) if confirmed else ("Reported as faxed", advice.REPORTED)
    if kind is MailKind.DELAYED:
        return "Not faxed yet", advice.DELAYED.get(code, advice.DELAYED["waiting"])
    if kind in (MailKind.UNKNOWN, MailKind.NO_RESULT):
        known = advice.UNKNOWN if kind is MailKind.UNKNOWN else advice.NO_RESULT
        return "Not known whether faxed", known.get(code, advice.UNCLEAR)
    return "Not faxed whole" if code == "hangup" else "Not faxed", advice.FAILED.get(code, advice.OTHER)


def _result_rows(mail: OutgoingMail, facts: dict[str, Any], told: Advice) -> list[tuple[str, Any]]:
    pages = facts.get("pages")
    zone = zone_of(str(facts.get("date") or ""))

    def clock(at: float) -> datetime:  # the sender's
        return datetime.fromtimestamp(at, zone)

    confirmed = sent = None
    price = "the provider's price"
    if facts.get("dialled"):
        price += " of one call"
    if mail.kind is MailKind.FAILED:
        price += "; it does not say whether a failed fax is charged"
    elif mail.kind in (MailKind.UNKNOWN, MailKind.NO_RESULT):
        price += ", if it was sent"
    if mail.kind is MailKind.DELIVERED:
        sent = "sent to the provider"
        confirmed = "no, only reported by the provider"
        if facts.get("confirmed", True):
            confirmed = "yes, by the provider's records, but not page by page"
    ids = str(facts.get("job") or "")
    if facts.get("provider_ref") is not None:
        ids += f" (at the provider: {facts['provider_ref']})"
    return [
        ("Subject", facts.get("subject")),
        ("Reference", facts.get("reference")),
        ("Your mail", facts.get("date") if not facts.get("subject") else None),
        ("To", ", ".join(_to(each["number"], each["rcpt"]) for each in dsn.recipients(facts))),
        ("Pages", pages and f"{pages} {sent or 'prepared'}"),
        ("Confirmed", confirmed),
        ("Provider", _sentence(facts, "text") if mail.kind in _PROVIDERS_WORD and not told.ours else None),
        ("Accepted", _when(facts.get("accepted_at"), clock)),
        ("Sent" if mail.kind is MailKind.DELIVERED else "Last try", _when(facts.get("submitted_at"), clock)),
        ("Reported", _when(facts.get("finished_at"), clock) if mail.kind not in _UNENDED else None),
        ("Not before" if mail.kind is MailKind.ACCEPTED else "Next try", _when(facts.get("next_at"), clock)),
        ("Tried until", _when(facts.get("retry_until"), clock)),
        ("Tries", dsn.tries(facts)),
        ("Cost", facts.get("cost") and f"{facts['cost']} ({price})"),
        ("Fax id", ids),
    ]


def _to(number: str, rcpt: str) -> str:
    written = rcpt.partition("@")[0].strip('"').lstrip("+")
    return _spoken(number) + (f" (you wrote {rcpt})" if rcpt and written != number.lstrip("+") else "")


# --- received faxes ---------------------------------------------------------------------------------------------------


def _inbound(
    mail: OutgoingMail, facts: dict[str, Any], letterhead: Letterhead, attachment: bytes | None, there: int | None
) -> tuple[dict[str, str], Part]:
    claimed = str(facts.get("from") or "")
    number = _number(claimed)
    caller = format_human(number) if number else one_line(claimed, 40) or "an unknown number"
    kind = _document_type(attachment, str(facts.get("file_type") or ""))
    name = ""
    if attachment is not None:
        day = letterhead.clock(facts.get("received_at", mail.created_at)).strftime("%Y-%m-%d-%H%M")
        digits = re.sub(r"[ ().+-]", "", claimed)
        who = digits if re.fullmatch(r"[0-9]{3,20}", digits, re.ASCII) else "unknown"
        name = f"fax-{day}-from-{who}.{_EXTENSIONS.get(kind, 'bin')}"
    told = facts.get("pages")
    missing = bool(told and there is not None and there < told)
    pages = there or told
    counted = f", {there} of {told} pages" if missing else f", {pages} page{'s' * (str(pages) != '1')}" if pages else ""
    fields = {
        "subject": f"Fax from {caller}{counted}" + ("" if name else " (document missing)"),
        "from": f"Fax from {caller}",
        "Auto-Submitted": "auto-generated",
        "Message-Context": "fax-message",
        "X-Faxgateway-Inbound": str(facts.get("inbound") or ""),
        "X-Faxgateway-From": claimed,
        "X-Faxgateway-To": str(facts.get("to") or ""),
        "X-Faxgateway-Station": str(facts.get("rsid") or ""),
        "X-Faxgateway-Pages": str(told or ""),
    }
    text = _render(
        "inbound.txt",
        facts,
        letterhead,
        file_name=name,
        note=_sentence(facts, "note"),
        breaks_off=attachment is not None and breaks_off(attachment[-END:], kind),
        unreadable=missing and there == 0,
        missing=missing,
        table=_table(_inbound_rows(facts, caller, kind, attachment, there, letterhead.clock)),
    )
    part = mime.text(text)
    if attachment is None:
        return fields, part
    return fields, mime.multipart("mixed", [part, mime.attachment(attachment, kind, name)], mail.message_id)


def _inbound_rows(
    facts: dict[str, Any], caller: str, kind: str, attachment: bytes | None, there: int | None, clock: Clock
) -> list[tuple[str, Any]]:
    told = facts.get("pages")
    called = facts.get("time") and f"{facts['time']} (as the provider gives it)"
    if not called and (listed := _when(facts.get("listed_at"), clock)):
        called = f"{listed} (by the provider's list)"
    document = None
    if attachment is not None:
        document = f"{_EXTENSIONS.get(kind, 'file').upper()}, {len(attachment):,} bytes"
    return [
        ("From", caller),
        ("Station id", facts.get("rsid")),
        ("To", _spoken(str(facts.get("to") or ""))),
        ("Received", _when(facts.get("received_at"), clock)),
        ("Call time", called),
        ("Pages", told if there in (None, told) else f"{there} in the document, {told} reported by the provider"),
        ("Duration", facts.get("duration")),
        ("Speed", facts.get("speed")),
        ("ECM", facts.get("ecm")),
        ("Compression", facts.get("compression")),
        ("Document", document),
        ("SHA-256", facts.get("sha256")),
        ("Fax id", facts.get("inbound")),
    ]


def _document_type(attachment: bytes | None, claimed: str) -> str:
    return file_type(attachment or b"") or (claimed if claimed in _EXTENSIONS else "application/octet-stream")


# --- notices to the operator ------------------------------------------------------------------------------------------


def _operator(facts: dict[str, Any], letterhead: Letterhead) -> tuple[dict[str, str], Part]:
    paragraphs = [one_line(line, 2000) for line in str(facts.get("text") or "").splitlines()]
    remedy = _sentence(facts, "remedy")
    text = _render("operator.txt", facts, letterhead, paragraphs=paragraphs, remedy=remedy, table="")
    title = str(facts.get("title") or "Notice")
    return {"subject": f"[{letterhead.hostname}] {title}", "Auto-Submitted": "auto-generated"}, mime.text(text)


def _postmaster(
    mail: OutgoingMail, facts: dict[str, Any], letterhead: Letterhead, attachment: bytes | None
) -> tuple[dict[str, str], Part]:
    sender = str(facts.get("sender") or "")
    rows = [
        ("From", sender or "nobody: it is a report or an automatic answer"),
        ("To", facts.get("to")),
        ("Client", facts.get("client")),
        ("Received", _when(mail.created_at, letterhead.clock)),
    ]
    paragraphs = [
        f"This mail came for the postmaster of {letterhead.domain}. It was not faxed; it is attached as it came."
    ]
    text = _render("operator.txt", facts, letterhead, paragraphs=paragraphs, remedy="", table=_table(rows))
    fields = {
        "subject": f"Mail for the postmaster of {letterhead.domain}"
        + (f" from {one_line(sender, 80)}" if sender else ""),
        "Auto-Submitted": "auto-generated",
    }
    if attachment is None:
        return fields, mime.text(text)
    # not message/rfc822: that may not be encoded, and what came may be anything
    kept = mime.attachment(attachment, "application/octet-stream", "mail.eml")
    return fields, mime.multipart("mixed", [mime.text(text), kept], mail.message_id)


# --- text -------------------------------------------------------------------------------------------------------------


def _para(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_on_hyphens=False)


def _item(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="  - ", subsequent_indent="    ", break_on_hyphens=False)


def _table(rows: Iterable[tuple[str, Any]]) -> str:
    """Label and value, a row each; rows without a value are left out."""
    indent = " " * (_LABEL + 2)
    return "\n".join(
        textwrap.fill(
            one_line(str(value), _CELL),
            _WIDTH,
            initial_indent=f"  {label:<{_LABEL}}"[: _LABEL + 2],
            subsequent_indent=indent,
            break_on_hyphens=False,
        )
        for label, value in rows
        if value not in (None, "", 0)
    )


@cache
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(
        loader=jinja2.PackageLoader("gateway.mail"),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # plain text
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["para"] = _para
    environment.filters["item"] = _item
    return environment


def _render(template: str, facts: dict[str, Any], letterhead: Letterhead, **values: Any) -> str:
    mark = _MARK if facts.get("sandbox") else ""
    body = _environment().get_template(template).render(values).strip()
    program = f"faxgateway {letterhead.version}".strip()
    return f"{mark}{body}\n\n{_para(f'Sent by the fax gateway {letterhead.hostname} ({program}).')}\n"
