"""The mails a change of state causes, as rows for the outbox. Who hears of what is decided here; mail.compose words it.

A notice goes out from the null reverse-path and never in answer to it (RFC 5321 section 4.5.5, RFC 3834); a received
fax goes out from the bounce mailbox, so that a bounce of it reaches a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway import limits
from gateway.model import FaxJob, InboundFax, MailKind, Notify, OutgoingMail, Recipient, Submission
from gateway.store.ids import new_id

_LISTED = 50  # lines of a list in a notice
_HOUR, _DAY, _WEEK = 3600, 86400, 7 * 86400  # seconds


def capital(words: str) -> str:
    """``words`` as the beginning of a sentence."""
    return words[:1].upper() + words[1:]


def _once(key: str, at: float, each: int) -> str:
    """The key of a notice that goes out once in ``each`` so many seconds."""
    return f"{key}.{int(at // each)}"


def _span(seconds: float) -> str:
    """``45 minutes``; hours from two on."""
    minutes = round(seconds / 60)
    return f"{round(seconds / 3600)} hours" if minutes >= 120 else f"{minutes} minute{'s' * (minutes != 1)}"


def _of_all(facts: dict[str, Any], jobs: Sequence[FaxJob]) -> dict[str, Any]:
    """The facts of a mail about several jobs of a submission, from those of one."""
    shared = {key: value for key, value in facts.items() if key not in ("rcpt", "number", "orcpt")}
    told = [{"rcpt": job.rcpt, "number": job.number.e164, "orcpt": job.orcpt} for job in jobs]
    return {**shared, "job": facts["submission"], "recipients": told}


@dataclass(frozen=True, slots=True)
class NoticeSettings:
    """``hostname`` ends Message-IDs; ``bounce`` and ``fallback`` are mailboxes; ``sandbox`` marks a test line.

    ``notify_accepted``: ``scheduled`` (senders of faxes that go later), ``always``, ``never``.
    """

    hostname: str
    bounce: str
    fallback: str
    notify_accepted: str = "scheduled"
    notify_success: bool = True
    sandbox: bool = False


class Notices:
    def __init__(self, settings: NoticeSettings) -> None:
        self._settings = settings

    @property
    def fallback(self) -> str:
        """The mailbox for what has no other."""
        return self._settings.fallback

    def _mail(
        self,
        kind: MailKind,
        cause: str,
        to: str,
        now: float,
        facts: dict[str, Any],
        *,
        bounce: str = "",
        mark: str = "",
    ) -> OutgoingMail:
        return OutgoingMail(
            id=new_id(now),
            kind=kind,
            cause=cause,
            to=to,
            envelope_from=bounce,
            message_id=f"<{kind}.{cause}{mark}@{self._settings.hostname}>",
            created_at=now,
            facts={"sandbox": self._settings.sandbox, **facts},
            next_at=now,
        )

    def result(
        self,
        kind: MailKind,
        job: FaxJob,
        submission: Submission,
        now: float,
        *,
        code: str,
        text: str,
        status: str = "",
        confirmed: bool = True,
        next_at: float | None = None,
        retry_until: float | None = None,
        submitted_at: float | None = None,
        corrects: str = "",
        promised: bool = False,
    ) -> OutgoingMail | None:
        """The mail that tells the sender what became of a job; None when he asked for none or cannot be reached.

        ``status``: an enhanced one (RFC 3463) that says more than that of ``code``. ``corrects``: the kind of the mail that
        told him otherwise, who is then not left with that. ``promised``: one has told him that this one comes.
        """
        is_wanted = Notify.NEVER not in job.notify if corrects or promised else self._is_wanted(kind, job.notify)
        if not submission.results_to or not is_wanted:
            return None
        document = job.document
        # a price that was asked for is none that was paid, when the provider never had the fax
        charged = kind not in (MailKind.FAILED, MailKind.DELAYED) or job.provider_ref is not None
        before = max(0, job.attempts - (job.provider_ref is not None))
        facts: dict[str, Any] = {
            "job": job.id,
            "submission": submission.id,
            "rcpt": job.rcpt,
            "number": job.number.e164,
            "subject": submission.subject,
            "reference": job.options.reference,
            "message_id": submission.message_id,
            "date": submission.date,
            "accepted_at": submission.created_at,
            "submitted_at": submitted_at,
            "finished_at": now,
            "pages": document.pages if document else None,
            "ledger": [entry.text for entry in document.ledger] if document else [],
            "warnings": document.warnings if document else [],
            "dialled": min(job.redials, before),  # more are none to come, after a restored backup
            "cost": limits.shown_money(limits.units(job.cost)) if job.cost is not None and charged else None,
            "provider_ref": job.provider_ref,
            "code": code,
            "text": text,
            "status": status,
            "confirmed": confirmed,
            "notify": sorted(job.notify),
            "orcpt": job.orcpt,
            "envid": submission.envid,
            "ret": submission.ret,
            "next_at": next_at,
            "retry_until": retry_until,
            "corrects": corrects,
        }
        return self._mail(kind, job.id, submission.results_to, now, facts)

    def accepted(self, fresh: Sequence[FaxJob], submission: Submission, now: float) -> list[OutgoingMail]:
        """The mails that tell the sender that pages are ready, and when they go: one for all of one time and reference.

        ``fresh`` are jobs of the submission that have their document now; when one that is held goes, nobody knows.
        """
        said = self._settings.notify_accepted
        groups: dict[tuple[float, str], list[FaxJob]] = {}
        for job in fresh:
            is_told = said == "always" or (said == "scheduled" and job.options.send_at > now)
            if is_told and not job.hold and self._is_wanted(MailKind.ACCEPTED, job.notify):
                groups.setdefault((job.options.send_at, job.options.reference), []).append(job)
        mails = []
        for (at, _), jobs in groups.items():
            code, next_at = ("scheduled", at) if at > now else ("accepted", None)
            mail = self.result(MailKind.ACCEPTED, jobs[0], submission, now, code=code, text="", next_at=next_at)
            if mail is not None:
                mails.append(mail if len(jobs) == 1 else replace(mail, facts=_of_all(mail.facts, jobs)))
        return mails

    def divided(
        self,
        id_: str,
        part: Submission,
        recipients: Sequence[Recipient],
        now: float,
        why: str,
        *,
        maybe: bool,
        code: str = "divided",
    ) -> OutgoingMail | None:
        """The one mail that tells that a mail which came in parts was not faxed, to none of its recipients.

        ``part`` is the first that is here. ``maybe`` it was faxed, and is not known here. ``code`` as for :meth:`result`, and
        None too.
        """
        kind = MailKind.UNKNOWN if maybe else MailKind.FAILED
        told: list[dict[str, Any]] = [
            {"rcpt": each.address, "number": each.number.e164, "orcpt": each.orcpt}
            for each in recipients
            if self._is_wanted(kind, each.notify)
        ]
        if not part.results_to or not told:
            return None
        facts: dict[str, Any] = {
            "job": id_,
            **(told[0] if len(told) == 1 else {"recipients": told}),
            "subject": part.subject,
            "message_id": part.message_id,
            "date": part.date,
            "accepted_at": part.created_at,
            "finished_at": now,
            "code": code,
            "text": why,
            "envid": part.envid,
        }
        return self._mail(kind, id_, part.results_to, now, facts)

    def _is_wanted(self, kind: MailKind, notify: frozenset[Notify]) -> bool:
        """RFC 3461 section 5.2: NOTIFY=NEVER silences all, a NOTIFY that does not name an outcome silences that outcome.

        Without NOTIFY failures and delays are told, a success where the operator wants it. That an outcome is not known
        has no name in NOTIFY and is always told: who does not hear of it sends his fax twice. That a fax is ready counts as
        a delay: it does not go yet.
        """
        if Notify.NEVER in notify:
            return False
        match kind:
            case MailKind.DELIVERED:
                return Notify.SUCCESS in notify if notify else self._settings.notify_success
            case MailKind.FAILED:
                return not notify or Notify.FAILURE in notify
            case MailKind.DELAYED | MailKind.ACCEPTED:
                return not notify or Notify.DELAY in notify
            case _:
                return True

    def operator(self, key: str, now: float, *, title: str, text: str, remedy: str, to: str = "") -> OutgoingMail:
        """A notice to the operator, or to whom he has named; ``key`` makes it unique, so that a trouble is told once."""
        facts = {"title": title, "text": text, "remedy": remedy}
        return self._mail(MailKind.OPERATOR, key, to or self._settings.fallback, now, facts)

    def key_refused(self, why: str, shut_at: float, now: float) -> OutgoingMail:
        """The alarm that nothing is sent, once an hour, however often it comes and goes."""
        return self.operator(
            _once("key-refused", shut_at, _HOUR),
            now,
            title="The fax provider refuses the API key: nothing is being sent",
            text=f"{capital(why)}. Mail is still accepted and waits.",
            remedy="Put the right key where provider.api_key points and restart; sending goes on by itself.",
        )

    def certificates(self, what: Sequence[str], now: float) -> OutgoingMail:
        """The notice of certificates that clients will soon take no more, once a week."""
        return self.operator(
            _once("certificates", now, _WEEK),
            now,
            title="A certificate of the SMTP door must be renewed",
            text="\n".join(f"{capital(each)}." for each in what),
            remedy="Devices and mail programs that look at it send nothing once it has expired. faxgateway doctor shows whether"
            " the new one is good.",
        )

    def disk(self, why: str, now: float) -> OutgoingMail:
        """The alarm that nothing is accepted, once a day."""
        return self.operator(
            _once("disk", now, _DAY),
            now,
            title="The disk is nearly full: no mail and no fax is accepted",
            text=f"{capital(why)}. Mail servers and the fax provider try again meanwhile; people are told to.",
            remedy="Make room on the disk of the state directory, or lower retention.documents and retention.inbound and restart."
            " Nothing else need be done.",
        )

    def no_document(self, fax: InboundFax, why: str, now: float) -> OutgoingMail:
        """The alarm that a received fax waits for its document, once a day."""
        sender, recipient = fax.arrival.sender or "an unknown number", fax.arrival.recipient or "an unknown one"
        return self.operator(
            _once("no-document", now, _DAY),
            now,
            title="A received fax waits for its document",
            text=f"The fax {fax.id} from {sender} to {recipient} was told {_span(now - fax.received_at)} ago, and"
            f" its document cannot be had: {why.rstrip('.')}. It is asked for again and again; after"
            " provider.inbox.give_up_after its mailboxes are told that it is missing.",
            remedy="Look for it in the inbox on the provider's pages, and ask the provider why it does not give it out."
            " faxgateway inbound list shows all that wait; what can be had after all is mailed by itself.",
        )

    def mail_waits(self, mail: OutgoingMail, why: str, now: float) -> OutgoingMail:
        """The alarm that the mail with a received fax waits, once a day."""
        return self.operator(
            _once("mail-waits", now, _DAY),
            now,
            title="A received fax could not be delivered yet",
            text=f"The mail with the fax {mail.cause} to {mail.to}, and perhaps others, could not be handed over for"
            f" {_span(now - mail.created_at)}: {why.rstrip('.')}. It is tried until mail.expire_after.",
            remedy="See faxgateway inbound list. If the fax is urgent, have it mailed to another mailbox: faxgateway inbound"
            f" redeliver {mail.cause} --to ADDRESS",
        )

    def waiting(self, job: FaxJob, why: str, now: float) -> OutgoingMail:
        """The alarm that faxes could not be sent for long, once a day."""
        return self.operator(
            _once("waiting", now, _DAY),
            now,
            title="Faxes wait for long",
            text=f"The fax {job.id} to {job.number}, and perhaps others, could not be sent for"
            f" {_span(now - job.wanted_at)}: {why}",
            remedy="See faxgateway queue list and faxgateway doctor.",
        )

    def unreachable(self, why: str, seconds: float, now: float) -> OutgoingMail:
        """The alarm that the provider has not answered for so long, once a day."""
        return self.operator(
            _once("unreachable", now, _DAY),
            now,
            title="The fax provider does not answer: faxes wait",
            text=f"For {_span(seconds)} no call has had a good answer; the last trouble: {why}. Mail is still accepted,"
            " and no fax is lost.",
            remedy="See whether this machine reaches the address in provider.base_url (faxgateway doctor tells), and whether the"
            " provider has trouble. Sending goes on by itself.",
        )

    def no_credit(self, why: str, now: float) -> OutgoingMail:
        """The alarm that the account cannot pay, once a day."""
        return self.operator(
            _once("no-credit", now, _DAY),
            now,
            title="The fax account lacks credit: faxes wait",
            text=f"{capital(why.rstrip('.'))}. Mail is still accepted, and no fax is lost.",
            remedy="Pay in at the provider. Sending goes on by itself when the balance is back; nothing need be released.",
        )

    def for_postmaster(self, submission: Submission, address: str, now: float) -> OutgoingMail:
        """What sends a mail for the postmaster on. Without a bounce: an undeliverable one stays visible here."""
        facts = {"sender": submission.sender, "client": submission.client, "to": address}
        mail = self._mail(MailKind.POSTMASTER, submission.id, self._settings.fallback, now, facts)
        return replace(mail, file=submission.mail_file)

    def missing(self, what: Sequence[str], now: float) -> OutgoingMail:
        """The notice of files that are lost, once a day."""
        more = [f"and {len(what) - _LISTED} more"] if len(what) > _LISTED else []
        return self.operator(
            _once("missing", now, _DAY),
            now,
            title="Files are missing in the spool",
            text="\n".join(("The records name files that are not there:", *what[:_LISTED], *more)),
            remedy="Put them back if you can, and see whether the disk is well. Faxes whose pages are lost are held, those"
            " whose mail is lost fail, and their senders are told. A received fax may still be in the provider's inbox.",
        )

    def received(self, fax: InboundFax, mailbox: str, now: float, *, note: str = "", mark: str = "") -> OutgoingMail:
        """The mail that brings a received fax to one mailbox."""
        arrival = asdict(fax.arrival)
        facts = {
            "inbound": fax.id,
            "from": arrival.pop("sender"),
            "to": arrival.pop("recipient"),
            "received_at": fax.received_at,
            "listed_at": fax.listed_at,
            "file_type": fax.file_type,
            "sha256": fax.sha256,
            "note": note,
            **{name: arrival[name] for name in ("time", "pages", "rsid", "speed", "duration", "ecm", "compression")},
        }
        mail = self._mail(MailKind.INBOUND, fax.id, mailbox, now, facts, bounce=self._settings.bounce, mark=mark)
        return replace(mail, file=fax.file)
