"""What operations show: plain JSON values of jobs, received faxes, mails and routes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from gateway.model import Alias, FaxDocument, FaxJob, InboundFax, OutgoingMail, Route, Submission
from gateway.service.divided import lacking
from gateway.store import divided as store
from gateway.store import jobs, outbox, receipts
from gateway.store.db import Tx
from gateway.store.divided import Divided

Shown = dict[str, Any]


def iso(at: float | None) -> str | None:
    """``2026-01-31T12:00:00Z``."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def job(job: FaxJob, submission: Submission) -> Shown:
    """A job as a line of a list."""
    return {
        "id": job.id,
        "submission": job.submission,
        "state": job.state,
        "hold": job.hold,
        "to": job.number.e164,
        "from": submission.sender,
        "subject": submission.subject,
        "pages": job.document.pages if job.document else None,
        "created_at": iso(job.created_at),
        "updated_at": iso(job.updated_at),
        "next_at": None if job.state.terminal or job.hold else iso(job.next_at),
        "attempts": job.attempts,
        "last_error": job.last_error,
        "outcome": job.outcome,
        "cost": None if job.cost is None else str(job.cost),
        "provider_ref": job.provider_ref,
        "reference": job.options.reference,
        "priority": job.options.priority,
        "send_at": iso(job.options.send_at or None),
    }


def job_in_full(tx: Tx, one: FaxJob) -> Shown:
    """A job with all that is recorded of it."""
    submission = jobs.submission_of(tx, one)
    return {
        **job(one, submission),
        "rcpt": one.rcpt,
        "options": {
            name: value
            for name, value in asdict(one.options).items()
            if value not in ("", None, 0) and name != "send_at"
        },
        "client": submission.client,
        "identity": submission.identity,
        "message_id": submission.message_id,
        "document_ref": one.document_ref,
        "document": _document(one.document),
        "ledger": [entry.text for entry in one.document.ledger] if one.document else [],
        "events": [
            {"at": iso(event.at), "from": event.from_state, "to": event.to_state, "what": event.what}
            for event in jobs.events(tx, one.id)
        ],
        "attempts_made": [
            {
                "n": attempt.n,
                "started_at": iso(attempt.started_at),
                "ended_at": iso(attempt.ended_at),
                "outcome": attempt.outcome,
                "provider_ref": attempt.provider_ref,
                "detail": attempt.detail,
            }
            for attempt in jobs.attempts(tx, one.id)
        ],
        "receipts": [
            {"at": iso(r.received_at), "verdict": r.verdict, "code": r.code, "text": r.text}
            for r in receipts.of_job(tx, one.id)
        ],
        "mails": [mail(each) for each in outbox.of_cause(tx, one.id)],
    }


def divided(tx: Tx, mail: Divided, patience: float) -> Shown:
    """A mail that waits for its other parts; it is given up after ``patience`` seconds."""
    parts = store.parts(tx, mail.id)
    first = jobs.get_submission(tx, next(iter(parts.values())).submission)
    assert first is not None
    return {
        "id": mail.id,
        "from": first.sender,
        "to": [recipient.number.e164 for recipient in mail.recipients],
        "subject": first.subject,
        "parts": list(parts),
        "total": mail.total or None,
        "missing": lacking(mail, parts),
        "size": sum(part.size for part in parts.values()),
        "waits_from": iso(mail.waits_from),
        "given_up_at": iso(mail.waits_from + patience),
    }


def _document(document: FaxDocument | None) -> Shown | None:
    if document is None:
        return None
    return {
        "pages": document.pages,
        "size": document.size,
        "sha256": document.sha256,
        "seconds": document.seconds,
        "sheets": [{"seconds": page.seconds, "warnings": list(page.warnings)} for page in document.sheets],
    }


def mail(mail: OutgoingMail) -> Shown:
    return {"kind": mail.kind, "to": mail.to, "state": mail.state, "tries": mail.tries, "last_error": mail.last_error}


def received(tx: Tx, fax: InboundFax) -> Shown:
    """A received fax as a line of a list."""
    return {
        "id": fax.id,
        "state": fax.state,
        "from": fax.arrival.sender,
        "to": fax.arrival.recipient,
        "received_at": iso(fax.received_at),
        "pages": fax.arrival.pages,
        "size": fax.size,
        "mails": [mail(each) for each in outbox.of_cause(tx, fax.id)],
        "last_error": fax.last_error,
    }


def received_in_full(tx: Tx, fax: InboundFax) -> Shown:
    """A received fax with all that was claimed of it; the address of its document is a secret."""
    claims = {name: value for name, value in asdict(fax.arrival).items() if name != "file_url"}
    return {**received(tx, fax), "sha256": fax.sha256, "file_type": fax.file_type, "claims": claims}


def alias(alias: Alias) -> Shown:
    return {**asdict(alias), "number": alias.number.e164, "created_at": iso(alias.created_at)}


def route(route: Route) -> Shown:
    approval, price = asdict(route.approval), route.approval.price
    return {
        **asdict(route),
        "created_at": iso(route.created_at),
        "mailboxes": list(route.mailboxes),
        "caps": [str(cap) for cap in route.caps],
        "approval": {**approval, "price": None if price is None else str(price), "text": route.approval.text},
    }
