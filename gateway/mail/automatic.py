"""Mails that no person sent for faxing: reports, automatic answers, lists, mails that go round, mails of ours.

Nobody reads a fax of them, and an answer to one could be answered again. They are refused, and never answered.
RFC 3834 section 2, RFC 5321 section 6.3, RFC 2919, and what mail servers write that say the same in their own words.
"""

from __future__ import annotations

import re

from gateway.mail.headers import Headers
from gateway.mail.words import one_line
from gateway.model import MailKind

LOOP_HEADER = "X-Faxgateway-Loop"  # in every mail we make; a mail that has it came from us

_LIST_FIELDS = {
    "list-id", "list-post", "list-help", "list-subscribe", "list-unsubscribe", "list-owner", "list-archive",
    "list-unsubscribe-post", "mailing-list", "x-mailing-list",
}  # fmt: skip
_ANSWERS = {  # fields that only automatic answers and reports have
    "x-autoreply", "x-autoreply-from", "x-autorespond", "x-autoresponder", "x-auto-reply", "x-autoresponse",
    "x-failed-recipients", "x-fc-machinegenerated", "x-mail-autoreply", "x-ms-exchange-generated-message-source",
    "x-post-messageclass", "x-vacation",
}  # fmt: skip
_BULK = {"bulk", "list", "junk", "auto_reply"}
_BULK_FIELDS = ("precedence", "x-precedence", "preference")
_DAEMON = re.compile(r"(?:\s*|.*<)mailer-daemon@", re.IGNORECASE | re.DOTALL)  # no person's address
_REPORTS = (
    "multipart/report",
    "message/delivery-status",
    "message/disposition-notification",
    "message/feedback-report",
)
_OURS = re.compile(rf"<(?:{'|'.join(MailKind)})\.[^@\s]+@([^@\s]+)>")
_WORD = re.compile(r"[\w-]*")
_COMMENTS = re.compile(r'(?:\s|\([^()]*\))*"?')


def reason(headers: Headers, *, hops: int, hostname: str) -> str:
    """Why a mail is automatic, "" when a person may have sent it.

    ``hops`` Received fields prove a loop; ``hostname`` is the right side of our own Message-IDs.
    """
    names = list(headers.names())
    submitted = {_word(value) for value in headers.every("auto-submitted")}
    machine = sorted(submitted - {"", "no"})
    if machine:
        return f"it says that a machine sent it (Auto-Submitted: {one_line(machine[0], 40)})"
    ours = _OURS.fullmatch(headers.raw("message-id"))
    if LOOP_HEADER.lower() in names or (ours and ours[1].lower() == hostname.lower()):
        return "it is a mail of a fax gateway (write a new mail to send its content on)"
    is_null = any("".join(value.split()) == "<>" for value in headers.every("return-path"))
    is_daemons = any(_DAEMON.match(value) for value in headers.every("from"))
    if is_null or is_daemons or _behind_comments(headers.raw("content-type")).lower().startswith(_REPORTS):
        return "it is a delivery report"
    answer = sorted(_ANSWERS.intersection(names))
    if answer:
        return f"it is an automatic answer or a report ({answer[0].title()})"
    mailing_list = sorted(_LIST_FIELDS.intersection(names))
    if mailing_list:
        return f"it comes from a mailing list ({mailing_list[0].title()})"
    for name in _BULK_FIELDS:
        bulk = sorted({_word(value) for value in headers.every(name)} & _BULK)
        if bulk:
            return f"it is bulk mail ({name.title()}: {bulk[0]})"
    if names.count("received") >= hops:
        return f"it went through {names.count('received')} servers, so it goes round in a loop"
    return ""


def _word(value: str) -> str:
    """The first word of a field: parameters and comments may follow."""
    found = _WORD.match(_behind_comments(value.lower()))
    return found[0] if found else ""


def _behind_comments(value: str) -> str:
    """A value from its first word on, which may be quoted."""
    return _COMMENTS.sub("", value, count=1)
