"""Three independent records against the store: what clients were told, what the sandbox executed, what the sink took.

Every rule is a function of the evidence that yields a sentence for each breach. None of them asks the gateway.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gateway.model import TRANSITIONS, JobState
from gateway.store import bodies

from .records import Records
from .sink import Taken
from .world import DESK, Wish

_ENDED = ("delivered", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Evidence:
    """``in_doubt_allowed``: jobs may be held because the provider withheld its history. ``doubled_mails``: how many
    mails may have been taken twice by the sink (kills between its 250 and our commit). ``brought``: uuids of received
    faxes, with the answers their callbacks got. ``dead_allowed``: mails may have been given up.
    """

    wishes: list[Wish]
    faxes: list[dict[str, Any]]
    mails: list[Taken]
    records: Records
    brought: dict[str, list[int | None]]
    failures_allowed: bool = False  # the provider refuses faxes for reasons of its own
    in_doubt_allowed: bool = False
    doubled_mails: int = 0
    dead_allowed: bool = False

    def jobs_to(self, number: str) -> list[dict[str, Any]]:
        return [job for job in self.records.jobs.values() if job["number"] == number]


def check(evidence: Evidence) -> list[str]:
    """Every breach, as the rule and a sentence; an empty list is the proof."""
    return [f"{rule.__name__}: {breach}" for rule in RULES for breach in rule(evidence)]


def every_250_is_a_job(e: Evidence) -> Iterator[str]:
    for wish in e.wishes:
        if len(set(wish.told)) > 1:
            yield f"one mail got the ids {sorted(set(wish.told))}: a client that sent it again caused a second fax"
        for told in set(wish.told):
            jobs = [job for job in e.records.jobs.values() if job["submission"] == told]
            if Counter(job["number"] for job in jobs) != Counter(wish.numbers):
                yield f"250 for {told} to {wish.numbers}, on disk are jobs to {[job['number'] for job in jobs]}"


def nobody_else_is_faxed(e: Evidence) -> Iterator[str]:
    wished = {number for wish in e.wishes for number in wish.numbers}
    for fax in e.faxes:
        if fax["fax_number"] not in wished:
            yield f"fax {fax['fax_job_id']} went to {fax['fax_number']}, which nobody asked for"


def one_execution_a_job(e: Evidence) -> Iterator[str]:
    executed = Counter(fax["fax_number"] for fax in e.faxes)
    for number, times in executed.items():
        if times > 1:
            yield f"{number} was faxed {times} times: {[f['fax_job_id'] for f in e.faxes if f['fax_number'] == number]}"
    for wish in e.wishes:
        for number in wish.numbers:
            if wish.told and len(e.jobs_to(number)) != 1:
                yield f"{number} has {len(e.jobs_to(number))} jobs"


def every_job_ends(e: Evidence) -> Iterator[str]:
    for job in e.records.open_jobs:
        yield f"job {job['id']} is stuck in {job['state']}: {job['last_error']}"
    for job in e.records.jobs.values():
        if job["hold"] and job["finished_at"] is None and not e.in_doubt_allowed:
            yield f"job {job['id']} is held: {job['hold']}"


def the_end_is_the_truth(e: Evidence) -> Iterator[str]:
    by_number = {fax["fax_number"]: fax for fax in e.faxes}
    for job in e.records.jobs.values():
        fax = by_number.get(job["number"])
        if job["state"] == "delivered" and (fax is None or fax["msg_code"] != "ok"):
            yield f"job {job['id']} is told delivered, but the sandbox says {fax and fax['msg_code']}"
        if job["state"] in ("failed", "cancelled") and fax is not None and fax["msg_code"] == "ok":
            yield f"job {job['id']} is told {job['state']} ({job['last_error']}), but its fax was delivered"
        if fax is not None and job["provider_ref"] not in (None, fax["fax_job_id"]):
            yield f"job {job['id']} believes to be fax {job['provider_ref']}, it is {fax['fax_job_id']}"


def what_can_be_delivered_is(e: Evidence) -> Iterator[str]:
    for job in e.records.jobs.values():
        if not (e.failures_allowed or job["number"].startswith("+999")) and job["state"] == "failed":
            yield f"job {job['id']} failed ({job['outcome']}: {job['last_error']})"


def the_right_pages_arrive(e: Evidence) -> Iterator[str]:
    jobs = {job["number"]: job for job in e.records.jobs.values()}
    for fax in e.faxes:
        job = jobs.get(fax["fax_number"])
        if job is not None and fax["sha256"] != job["document_sha256"]:
            yield f"{fax['fax_number']} was sent another document than job {job['id']} has"
        if job is not None and fax["msg_code"] == "ok" and fax["pages"] != job["document_pages"]:
            yield f"{fax['fax_number']} got {fax['pages']} pages of {job['document_pages']}"


def one_notice_an_end(e: Evidence) -> Iterator[str]:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for row in e.records.outbox:
        rows[row["cause"]][row["kind"]] += 1
    for job in e.records.jobs.values():
        told = rows[job["id"]]
        ends = told["delivered"] + told["failed"] + told["no_result"]
        if job["state"] in _ENDED and ends != 1:
            yield f"job {job['id']} ended {job['state']} with the notices {dict(told)}"
        if job["state"] not in _ENDED and ends:
            yield f"job {job['id']} is {job['state']} and was told as ended: {dict(told)}"
        if job["hold"] and job["state"] == "in_doubt" and told["unknown"] != 1:
            yield f"job {job['id']} is held in doubt with the notices {dict(told)}"


def every_mail_arrives(e: Evidence) -> Iterator[str]:
    taken = Counter(mail.message_id for mail in e.mails)
    for row in e.records.outbox:
        times = taken.pop(row["message_id"], 0)
        if row["state"] == "queued":
            yield f"mail {row['message_id']} still waits: {row['last_error']}"
        elif row["state"] == "sent" and not times:
            yield f"mail {row['message_id']} counts as sent, the smarthost never had it"
        elif row["state"] == "dead" and not e.dead_allowed:
            yield f"mail {row['message_id']} was given up: {row['last_error']}"
    for message_id in taken:
        yield f"the smarthost took {message_id}, of which no row knows"
    doubled = sum(Counter(mail.message_id for mail in e.mails if mail.told).values()) - len(
        {mail.message_id for mail in e.mails if mail.told}
    )
    if doubled > e.doubled_mails:
        yield f"{doubled} mails were taken twice, {e.doubled_mails} could be"


def every_200_is_a_fax(e: Evidence) -> Iterator[str]:
    desk = Counter(row["cause"] for row in e.records.outbox if row["kind"] == "inbound" and row["recipient"] == DESK)
    by_uuid: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in e.records.inbound:
        by_uuid[row["uuid"]].append(row)
        if row["state"] == "merged":  # found to be another that was there before
            continue
        if row["state"] != "dispatched" or not row["sha256"]:
            yield f"received fax {row['id']} is {row['state']}: {row['last_error']}"
        elif desk[row["id"]] != 1:
            yield f"received fax {row['id']} has {desk[row['id']]} mails"
    for uuid, answers in e.brought.items():
        if 200 in answers and len(by_uuid[uuid]) != 1:
            yield f"the callback of {uuid} was answered 200, on disk are {len(by_uuid[uuid])} faxes"
    found = sum(row["state"] != "merged" for row in e.records.inbound)
    if found < len(e.brought) or found - len(e.brought) > e.doubled_mails:
        yield f"{len(e.brought)} faxes were sent to us, on disk are {found}"
    arrived = Counter(sum((mail.documents for mail in e.mails if mail.kind == "inbound"), ()))
    for row in e.records.inbound:
        if row["sha256"] and not arrived[row["sha256"]]:
            yield f"the document of received fax {row['id']} is in no mail"


def only_allowed_changes(e: Evidence) -> Iterator[str]:
    for job in e.records.jobs.values():
        history = e.records.events.get(job["id"], [])
        if not history or history[-1]["to_state"] != job["state"]:
            yield f"job {job['id']} is {job['state']}, its history ends otherwise"
        for event in history:
            old, new = event["from_state"], event["to_state"]
            if old and old != new and JobState(new) not in TRANSITIONS[JobState(old)]:
                yield f"job {job['id']} went from {old} to {new}"
        for before, after in pairwise(history):
            if after["from_state"] != before["to_state"]:
                yield f"the history of job {job['id']} has a gap: {before['to_state']}, then {after['from_state']}"


def attempts_are_written_ahead(e: Evidence) -> Iterator[str]:
    known = {(attempt["document_ref"], attempt["number"]) for each in e.records.attempts.values() for attempt in each}
    for fax in e.faxes:
        if (fax["document_id"], fax["fax_number"]) not in known:
            yield f"fax {fax['fax_job_id']} was executed and no attempt knows of it"
    for job, attempts in e.records.attempts.items():
        if sum(attempt["outcome"] in ("sent", "found", "unknown", "") for attempt in attempts) > 1:
            yield f"job {job} has the attempts {[attempt['outcome'] for attempt in attempts]}"


def files_and_rows_agree(e: Evidence) -> Iterator[str]:
    sizes = {}
    for mail in e.records.submissions.values():
        if mail["mail_file"] != bodies.HERE:
            sizes[mail["mail_file"]] = mail["size"]
        elif e.records.bodies.get(mail["id"]) != mail["size"]:
            yield f"the mail {mail['id']} has {mail['size']} bytes, {e.records.bodies.get(mail['id'])} are kept"
    for submission in e.records.bodies.keys() - {
        m["id"] for m in e.records.submissions.values() if m["mail_file"] == bodies.HERE
    }:
        yield f"the content of {submission} is kept, and nothing says so"
    sizes |= {row["document_file"]: row["document_size"] for row in e.records.jobs.values()}
    sizes |= {row["file"]: row["size"] for row in e.records.inbound}
    named = (sizes.keys() | {row["file"] for row in e.records.outbox}) - {""}
    for name in e.records.files.keys() - named:
        yield f"no row knows the file {name}"
    for name in named - e.records.files.keys():
        yield f"the file {name} is missing"
    for name in named & sizes.keys() & e.records.files.keys():
        if e.records.files[name] != sizes[name]:
            yield f"the file {name} has {e.records.files[name]} bytes, its row says {sizes[name]}"
    for name in e.records.drafts:
        yield f"the draft {name} was left behind"


RULES: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    every_250_is_a_job, nobody_else_is_faxed, one_execution_a_job, every_job_ends, what_can_be_delivered_is,
    the_end_is_the_truth,
    the_right_pages_arrive, one_notice_an_end, every_mail_arrives, every_200_is_a_fax, only_allowed_changes,
    attempts_are_written_ahead, files_and_rows_agree,
)  # fmt: skip
