"""The values of the field: frozen, no I/O, no clock.

Times are aware of nothing but UTC: ``float`` seconds since 1970 (``*_at``). Money is :class:`decimal.Decimal` in the
account's currency. Numbers are E.164. The :data:`TRANSITIONS` table is the only list of state changes a job may make.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gateway.faxdocument import FaxDocument as FaxDocument  # noqa: PLC0414  # a value of the model
from gateway.faxdocument import FaxPage as FaxPage  # noqa: PLC0414  # a value of the model
from gateway.faxdocument import LedgerEntry as LedgerEntry  # noqa: PLC0414  # a value of the model
from gateway.limits import Approval, Cap
from gateway.peer import Identity as Identity  # noqa: PLC0414  # a value of the model
from gateway.peer import Peer as Peer  # noqa: PLC0414  # a value of the model

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True, order=True)
class FaxNumber:
    """A dialable number in E.164 form, ``+`` and 7 to 15 ASCII digits."""

    e164: str

    def __post_init__(self) -> None:
        if not _E164.fullmatch(self.e164):
            raise ValueError(f"not an E.164 number: {self.e164!r}")

    @property
    def digits(self) -> str:
        """The number without its ``+``, as providers list it."""
        return self.e164[1:]

    def __str__(self) -> str:
        return self.e164


class NumberClass(StrEnum):
    """What kind of line a number reaches, as far as its digits tell."""

    ORDINARY = "ordinary"
    TOLL_FREE = "toll-free"
    SHARED_COST = "shared-cost"
    PREMIUM = "premium"
    SATELLITE = "satellite"
    TEST = "test"  # +999...: no country, the sandbox's scenario numbers
    UNKNOWN = "unknown"


# --- the door ---------------------------------------------------------------------------------------------------------


class Notify(StrEnum):
    """RFC 3461 section 4.1."""

    NEVER = "never"
    SUCCESS = "success"
    FAILURE = "failure"
    DELAY = "delay"


@dataclass(frozen=True, slots=True)
class FaxOptions:
    """What the sender wants beside the number; "" and None: he does not say, and the configuration decides."""

    cover: str = ""  # none, auto or the name of a cover page
    header: bool | None = None  # a line with sender, number and page at the top of each page
    resolution: str = ""  # fine, standard
    paper: str = ""  # letter, a4
    body: str = ""  # when the text becomes pages: with-text, always, without-attachment, never
    reference: str = ""  # the sender's own, or a billing code
    attn: str = ""  # the person the fax is for
    org: str = ""  # and the company
    addressee: str = ""  # not asked for: what the address book calls who is behind the number
    language: str = ""  # of the cover page: en, de, fr, es
    from_company: str = ""  # the sender's
    from_department: str = ""
    from_voice: str = ""  # number at which people reach him
    tsi: str = ""  # station id
    priority: int = 0  # 1 high, -1 low
    send_at: float = 0.0  # not before

    @property
    def document(self) -> dict[str, str | bool]:
        """What changes the pages, as options of document.render."""
        asked = {name: getattr(self, name) for name in ("cover", "header", "resolution", "paper", "body")}
        return {name: value for name, value in asked.items() if value not in ("", None)}


@dataclass(frozen=True, slots=True)
class Recipient:
    """One accepted RCPT: ``address`` verbatim as received, ``number`` as it will be dialled."""

    address: str
    number: FaxNumber
    options: Mapping[str, str] = field(default_factory=dict)  # as in mail.options, of the address
    orcpt: str | None = None  # decoded xtext, case kept
    notify: frozenset[Notify] = frozenset()  # empty: the sender said nothing
    addressee: str = ""  # what the address book calls who is behind the short name that was written


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """One accepted RCPT whose number is in the subject of the mail. Fields as in :class:`Recipient`."""

    address: str
    options: Mapping[str, str] = field(default_factory=dict)
    orcpt: str | None = None
    notify: frozenset[Notify] = frozenset()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the SMTP dialogue said; ``sender`` is "" for the null reverse-path."""

    peer: Peer
    sender: str
    recipients: tuple[Recipient, ...]
    envid: str | None = None
    ret: str | None = None  # FULL or HDRS
    postmaster: str = ""  # his address as received, when the mail is for a person; then there are no recipients
    unnumbered: Unnumbered | None = None  # instead of recipients


@dataclass(frozen=True, slots=True)
class MailSummary:
    """What the structure of a mail says before anything is converted. Header values are decoded and on one line."""

    message_id: str = ""
    subject: str = ""
    exact_subject: str = ""  # with what nobody sees, too; of several, a line each
    date: str = ""
    automatic: str = ""  # why this is an automatic mail that must not become a fax; "" when it is none
    body_at: int = 0  # where the header block has ended
    body_sha256: str = ""  # of everything from there on; "" where nobody has looked yet
    refusal: str = ""  # why this can never become a fax; "" when it may
    refusal_status: str = "5.6.1"  # the enhanced status that goes with it
    options: Mapping[str, str] = field(default_factory=dict)  # as in mail.options, of header, subject and text
    starts: Sequence[tuple[str, str]] = ()  # name and first bytes, as Latin-1, of each attachment
    author: str = ""  # the From address, lower case, where the mail server in front says its domain vouches for it
    partial: tuple[str, int, int] | None = None  # of a mail that is a part of another, as mail.partial reads it


@dataclass(frozen=True, slots=True)
class MailPart:
    """One decoded leaf of a mail, written to ``path``. ``role`` says what it is for, not what type it has."""

    path: str
    role: str  # "body-text", "body-html", "body-drawn" (pages made of an HTML text), "attachment"
    name: str  # display name, cleaned; never a path
    declared_type: str
    size: int
    charset: str | None = None
    content_id: str | None = None
    referenced: bool = False  # a cid: in the HTML body points here
    logo: bool = False  # and shows it as small as a logo
    disposition: str = ""  # "attachment", "inline" or ""
    defect: str = ""  # why it cannot be trusted to be whole; "" when it is
    note: str = ""  # what the ledger is to say of its pages

    @property
    def is_document(self) -> bool:
        """Whether it is none of the message's own: its text, and when and where of an invitation."""
        return self.role == "attachment" and (self.declared_type != "text/calendar" or bool(self.disposition))


# --- outbound ---------------------------------------------------------------------------------------------------------


class JobState(StrEnum):
    """A state names a fact on disk; waiting, holding and retrying are columns."""

    ACCEPTED = "accepted"
    PREPARED = "prepared"
    UPLOADED = "uploaded"
    SUBMITTING = "submitting"
    IN_DOUBT = "in_doubt"
    SUBMITTED = "submitted"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return not TRANSITIONS[self]


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.ACCEPTED: frozenset({JobState.PREPARED, JobState.FAILED, JobState.CANCELLED}),
    JobState.PREPARED: frozenset({JobState.UPLOADED, JobState.FAILED, JobState.CANCELLED}),
    # back to prepared: the provider no longer has the document
    JobState.UPLOADED: frozenset({JobState.SUBMITTING, JobState.PREPARED, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUBMITTING: frozenset({JobState.SUBMITTED, JobState.UPLOADED, JobState.IN_DOUBT, JobState.FAILED}),
    # to cancelled only by a person's word (queue cancel) on a held job
    JobState.IN_DOUBT: frozenset({JobState.SUBMITTED, JobState.UPLOADED, JobState.CANCELLED}),
    # back to uploaded: busy, no answer... with tries left
    JobState.SUBMITTED: frozenset({JobState.DELIVERED, JobState.FAILED, JobState.UPLOADED}),
    JobState.DELIVERED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Submission:
    """One accepted mail."""

    id: str  # the queue id told in the 250
    created_at: float
    mail_file: str  # spool name, or that it is in the database (store.bodies); "" once it is gone
    size: int
    sender: str  # envelope sender, "" for null
    identity: str  # Peer.identity at acceptance
    results_to: str  # where results go; "" for nobody
    client: str  # Peer.named
    subject: str = ""
    message_id: str = ""
    date: str = ""
    envid: str | None = None
    ret: str | None = None
    address: str = ""  # Peer.address
    route: str = ""  # match of the sender route that applied; "" for none


MAY_BE_SENT = "the fax may have been sent"  # how a hold begins that only a person's word on that may end
NEEDS_APPROVAL = "it needs approval"  # and one of a fax that its approver has to see


@dataclass(frozen=True, slots=True)
class FaxJob:
    """One submission to one number."""

    id: str
    submission: str
    rcpt: str  # the address as received
    number: FaxNumber
    state: JobState
    created_at: float
    updated_at: float
    next_at: float = 0.0  # nothing is due before
    hold: str = ""  # why a person must release it; "" when free
    released: bool = False  # a person has let it go: it is not unusual, nor too old
    approved: bool = False  # he did where it needed approval: only caps may stop it
    strikes: int = 0  # tries of the present step begun
    attempts: int = 0  # sends recorded, see Attempt
    redials: int = 0  # sends repeated after a clear busy, no answer...
    document: FaxDocument | None = None
    document_ref: int | None = None  # the provider's id of our upload
    provider_ref: int | None = None  # the provider's id of the fax (fax_job_id)
    tsi: str = ""
    options: FaxOptions = FaxOptions()
    orcpt: str | None = None
    notify: frozenset[Notify] = frozenset()
    cost: Decimal | None = None
    outcome: str = ""  # ok, busy, no_answer, hangup, file_error, unknown, refused, file_refused, content, ...
    last_error: str = ""  # a sentence for people

    @property
    def wanted_at(self) -> float:
        """When it should have been sent at best: waiting is counted from here."""
        return max(self.created_at, self.options.send_at)

    @property
    def may_be_sent(self) -> bool:
        """Whether it is held because a send of it may have happened."""
        return self.hold.startswith(MAY_BE_SENT)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One submit of a job, recorded before it is made."""

    job: str
    n: int
    document_ref: int
    number: FaxNumber
    started_at: float
    ended_at: float | None = None
    outcome: str = ""  # "", sent, not_sent, unknown, found, absent
    provider_ref: int | None = None
    cost: Decimal | None = None
    detail: str = ""


class Verdict(StrEnum):
    """What a status text or receipt says about a fax."""

    PROGRESS = "progress"
    SUCCESS = "success"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider's word on an attempt, by callback; a hint until confirmed."""

    provider_ref: int
    verdict: Verdict
    code: str  # ok, unknown, no_answer, busy, file_error, hangup
    text: str
    received_at: float


# --- inbound ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FaxArrival:
    """An inbound fax as a callback or the inbox list tells it; every text is the provider's or the caller's claim."""

    uuid: str  # unique id, "" when the provider gave none
    sender: str  # raw
    recipient: str  # raw: our number (DID)
    time: str = ""  # raw
    pages: int | None = None
    rsid: str = ""
    speed: str = ""
    duration: str = ""
    ecm: str = ""
    compression: str = ""
    file_url: str = ""  # where to fetch the document, when it did not come along
    inbox_id: int | None = None  # id in the inbox list


class InboundState(StrEnum):
    """``pending``: known, the document still has to be fetched. ``dispatched``: its mails stand in the outbox."""

    PENDING = "pending"
    DISPATCHED = "dispatched"
    MERGED = "merged"  # a callback without a document, for which the inbox has one: that is a row of its own
    BASELINE = "baseline"  # was in the inbox before the gateway's first start: known, not mailed


@dataclass(frozen=True, slots=True)
class InboundFax:
    """A received fax."""

    id: str
    state: InboundState
    received_at: float
    arrival: FaxArrival
    did: str  # digits of our number
    file: str = ""  # spool name
    file_type: str = ""  # application/pdf or image/tiff
    size: int = 0
    sha256: str = ""
    next_at: float = 0.0
    strikes: int = 0
    last_error: str = ""
    listed_at: float | None = None  # of one that the inbox list told: the provider's time of it

    @property
    def is_given_up(self) -> bool:
        """Whether it was mailed without its document, which could not be had."""
        return self.state is InboundState.DISPATCHED and not self.sha256


# --- mail out ---------------------------------------------------------------------------------------------------------


class MailKind(StrEnum):
    """What a mail of ours is about; with its cause it is unique."""

    ACCEPTED = "accepted"  # no result yet: its pages are ready, and it goes when it is wanted
    DELIVERED = "delivered"  # fax result: success
    FAILED = "failed"  # fax result: failure (multipart/report)
    NO_RESULT = "no_result"  # fax result: none was ever known
    UNKNOWN = "unknown"  # no result yet: it may have been sent or not, a person is looking into it
    DELAYED = "delayed"  # no result yet: it was not sent and waits
    INBOUND = "inbound"  # a received fax
    OPERATOR = "operator"  # a notice to the operator
    POSTMASTER = "postmaster"  # a mail for the postmaster, sent on


class MailState(StrEnum):
    QUEUED = "queued"
    SENT = "sent"
    DEAD = "dead"  # given up; stays visible


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """One mail to one mailbox. ``facts`` is all that composing needs, so that a retry composes the same mail."""

    id: str
    kind: MailKind
    cause: str  # job id, inbound id, or the operator notice's key; (kind, cause, to) is unique
    to: str
    envelope_from: str  # "" for the null reverse-path
    message_id: str
    created_at: float
    facts: dict[str, Any] = field(default_factory=dict)
    file: str = ""  # spool name of the attachment
    state: MailState = MailState.QUEUED
    tries: int = 0
    next_at: float = 0.0
    last_error: str = ""


# --- routes -----------------------------------------------------------------------------------------------------------


class RouteKind(StrEnum):
    DID = "did"  # our number -> mailboxes
    SENDER = "sender"  # who may send, and how


@dataclass(frozen=True, slots=True)
class Route:
    """``match`` is, for a DID, a number or ``*``; for a sender an address, ``@domain``, ``user:NAME``, ``cert:NAME``,
    ``ip:NETWORK`` or ``*``.
    """

    kind: RouteKind
    match: str
    mailboxes: tuple[str, ...] = ()  # did: where its faxes go
    allow: bool = True  # sender: may send at all
    tsi: str = ""  # sender: station id to send with, at most 20 characters
    region: str = ""  # sender: region for numbers without a +
    results_to: str = ""  # sender: results go here instead of the envelope sender
    options: Mapping[str, str] = field(default_factory=dict)  # sender: as in mail.options, where a mail says nothing
    own_tsi: bool = False  # sender: may choose the station id in the mail
    note: str = ""
    identity: Identity = Identity.NETWORK  # sender: the least proof it asks for
    created_at: float = 0.0
    caps: tuple[Cap, ...] = ()  # sender: of all sends of this route together
    approval: Approval = field(default_factory=Approval)  # sender: what a person must see first
    number_in_subject: bool = False  # sender: a mail to subject@ goes to the number that its subject is


@dataclass(frozen=True, slots=True)
class Alias:
    """A short name for a number: ``reception@`` our domain. ``scope``: whom it is for, as a sender route's ``match``.

    ``addressee``: who is behind the number, for cover pages.
    """

    name: str
    number: FaxNumber
    scope: str = "*"
    addressee: str = ""
    note: str = ""
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class User:
    """A login of the SMTP door."""

    name: str
    created_at: float
