"""The facts of our mails: nothing in them that did not happen, and nobody told who did not want it (RFC 3461)."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from itertools import combinations

import pytest

from gateway.model import (
    FaxArrival,
    FaxDocument,
    FaxJob,
    FaxNumber,
    FaxOptions,
    InboundFax,
    InboundState,
    JobState,
    LedgerEntry,
    MailKind,
    Notify,
    OutgoingMail,
    Submission,
)
from gateway.service.notices import Notices, NoticeSettings

SUBMISSION = Submission("s", 0.0, "mail", 1, "you@example.org", "ip:127.0.0.1", "you@example.org", "client")


@pytest.mark.parametrize(
    ("kind", "provider_ref", "told"),
    [
        (MailKind.DELIVERED, 7, "0.20"),
        (MailKind.FAILED, 7, "0.20"),
        (MailKind.FAILED, None, None),  # the provider refused it: it cost nothing
        (MailKind.DELAYED, None, None),
        (MailKind.UNKNOWN, None, "0.20"),
        (MailKind.NO_RESULT, 7, "0.20"),
    ],
)
def test_a_price_is_told_only_of_a_fax_the_provider_may_have(
    kind: MailKind, provider_ref: int | None, told: str | None
) -> None:
    notices = Notices(NoticeSettings("fax.example.org", "fax@example.org", "admin@example.org"))
    job = FaxJob(
        "s-1", "s", "+12025550123@fax.local", FaxNumber("+12025550123"), JobState.FAILED, 0.0, 0.0,
        cost=Decimal("0.2"), provider_ref=provider_ref,
    )  # fmt: skip
    mail = notices.result(kind, job, SUBMISSION, 1.0, code="refused", text="Invalid request.")
    assert mail is not None
    assert mail.facts["cost"] == told


NOTICES = Notices(NoticeSettings("fax.example.org", "bounce@example.org", "admin@example.org"))
JOB = FaxJob("s-1", "s", "+12025550123@fax.local", FaxNumber("+12025550123"), JobState.SUBMITTED, 0.0, 0.0)
RESULTS = (MailKind.DELIVERED, MailKind.FAILED, MailKind.DELAYED, MailKind.UNKNOWN, MailKind.NO_RESULT)
ASKED_FOR = (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)


def told(
    kind: MailKind, *notify: Notify, notices: Notices = NOTICES, to: str = "you@example.org"
) -> OutgoingMail | None:
    job, submission = replace(JOB, notify=frozenset(notify)), replace(SUBMISSION, results_to=to)
    return notices.result(kind, job, submission, 1.0, code="ok", text="x")


@pytest.mark.parametrize("kind", RESULTS)
def test_never_is_never(kind: MailKind) -> None:
    assert told(kind, Notify.NEVER) is None
    assert told(kind, *ASKED_FOR, Notify.NEVER) is None


@pytest.mark.parametrize("kind", RESULTS)
def test_nobody_is_told_where_there_is_nobody(kind: MailKind) -> None:
    """Never an answer to the null reverse-path, RFC 5321 section 4.5.5."""
    assert told(kind, to="") is None


@pytest.mark.parametrize("kind", RESULTS)
def test_who_said_nothing_is_told_all(kind: MailKind) -> None:
    assert told(kind) is not None


def test_who_said_nothing_is_told_of_successes_only_where_the_operator_wants_it() -> None:
    quiet = Notices(NoticeSettings("fax.example.org", "b@example.org", "admin@example.org", notify_success=False))
    assert told(MailKind.DELIVERED, notices=quiet) is None
    assert told(MailKind.DELIVERED, Notify.SUCCESS, notices=quiet) is not None
    for kind in RESULTS[1:]:
        assert told(kind, notices=quiet) is not None


@pytest.mark.parametrize("asked", [set(c) for n in (1, 2, 3) for c in combinations(ASKED_FOR, n)])
def test_an_outcome_is_told_exactly_where_it_was_asked_for(asked: set[Notify]) -> None:
    named = {
        MailKind.DELIVERED: Notify.SUCCESS, MailKind.FAILED: Notify.FAILURE, MailKind.DELAYED: Notify.DELAY,
    }  # fmt: skip
    for kind, word in named.items():
        assert (told(kind, *asked) is not None) is (word in asked)
    assert told(MailKind.UNKNOWN, *asked) is not None  # who does not hear of it sends his fax twice
    assert told(MailKind.NO_RESULT, *asked) is not None


@pytest.mark.parametrize(
    ("said", "later", "at_once"), [("never", 0, 0), ("scheduled", 1, 0), ("always", 1, 1)]
)  # fmt: skip
def test_who_is_told_that_a_fax_is_ready(said: str, later: int, at_once: int) -> None:
    notices = Notices(NoticeSettings("gw", "b@example.org", "admin@example.org", notify_accepted=said))
    wanted = replace(JOB, options=FaxOptions(send_at=9.0))
    for job, count in ((wanted, later), (JOB, at_once)):
        for notify, is_wanted in (
            (set(), True),
            ({Notify.DELAY}, True),
            ({Notify.SUCCESS}, False),
            ({Notify.NEVER}, False),
        ):
            told = notices.accepted([replace(job, notify=frozenset(notify))], SUBMISSION, 1.0)
            assert [mail.facts["code"] for mail in told] == ["scheduled" if job is wanted else "accepted"] * (
                count * is_wanted
            )
        assert notices.accepted([job], replace(SUBMISSION, results_to=""), 1.0) == []


def test_one_mail_tells_of_all_faxes_that_go_at_one_time_under_one_reference() -> None:
    options = [
        FaxOptions(send_at=9.0),
        FaxOptions(send_at=9.0),
        FaxOptions(send_at=9.0, reference="A"),
        FaxOptions(send_at=8.0),
    ]
    fresh = [replace(JOB, id=f"s-{n}", options=each) for n, each in enumerate(options, 1)]
    told = NOTICES.accepted(fresh, SUBMISSION, 1.0)
    assert [(mail.cause, mail.facts["job"]) for mail in told] == [("s-1", "s"), ("s-3", "s-3"), ("s-4", "s-4")]
    assert [mail.facts["reference"] for mail in told] == ["", "A", ""]


def test_a_result_is_from_the_null_sender_with_an_id_of_its_own() -> None:
    mails = [mail for kind in RESULTS if (mail := told(kind)) is not None]
    assert {mail.envelope_from for mail in mails} == {""}
    assert [mail.message_id for mail in mails] == [f"<{kind}.s-1@fax.example.org>" for kind in RESULTS]
    assert len({mail.id for mail in mails}) == len(RESULTS)


def test_the_facts_of_a_result_can_be_stored_and_say_what_the_dialogue_said() -> None:
    entries = (LedgerEntry("a.pdf", "application/pdf", 1, 2), LedgerEntry("b.p7s", "x", reason="it is a signature"))
    job = replace(
        JOB, document=FaxDocument("document/x", 2, 10, "00", 41.5, entries), orcpt="rfc822;x@y",
        notify=frozenset({Notify.FAILURE, Notify.DELAY}),
    )  # fmt: skip
    submission = replace(SUBMISSION, envid="QQ1", ret="HDRS", subject="Invoice", message_id="<m@x>")
    mail = NOTICES.result(MailKind.FAILED, job, submission, 9.0, code="busy", text="line busy")
    assert mail is not None
    facts = json.loads(json.dumps(mail.facts))
    assert facts["ledger"] == ["a.pdf: pages 1-2", "b.p7s: left out, it is a signature"]
    assert (facts["envid"], facts["ret"], facts["orcpt"]) == ("QQ1", "HDRS", "rfc822;x@y")
    assert (facts["notify"], facts["status"]) == (["delay", "failure"], "")
    assert facts["sandbox"] is False


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(50, "1 minute:"), (45 * 60, "45 minutes:"), (7199, "2 hours:"), (4 * 3600, "4 hours:"), (3 * 86400, "72 hours:")],
)
def test_how_long_faxes_wait_is_told_as_people_say_it(seconds: float, told: str) -> None:
    mail = NOTICES.waiting(JOB, "the fax provider cannot be reached", seconds)
    assert f"{JOB.id} to {JOB.number}, and perhaps others, could not be sent for {told} the fax" in mail.facts["text"]


@pytest.mark.parametrize(
    ("redials", "attempts", "ref", "dialled"),
    [(0, 1, 7, 0), (1, 1, None, 1), (1, 2, 7, 1), (3, 1, 7, 0), (0, 17, 7, 0)],
)
def test_only_calls_that_were_made_are_told(redials: int, attempts: int, ref: int | None, dialled: int) -> None:
    """A fax that may not be dialled again after a restored backup has used up its redials without a call."""
    job = replace(JOB, redials=redials, attempts=attempts, provider_ref=ref)
    mail = NOTICES.result(MailKind.FAILED, job, SUBMISSION, 9.0, code="busy", text="line busy")
    assert mail is not None
    assert mail.facts["dialled"] == dialled


def test_a_status_that_says_more_than_the_code_is_told() -> None:
    mail = NOTICES.result(MailKind.FAILED, JOB, SUBMISSION, 1.0, code="content", text="x", status="5.6.5")
    assert mail is not None
    assert mail.facts["status"] == "5.6.5"


def test_a_received_fax_is_from_the_bounce_mailbox_and_brings_its_file() -> None:
    arrival = FaxArrival("u1", "+12025550199", "+12025550100", pages=2, rsid="ACME", file_url="https://fax.to/secret")
    fax = InboundFax(
        "in1", InboundState.DISPATCHED, 5.0, arrival, "12025550100", "inbound/f", "application/pdf", 9, "ab"
    )
    mail = NOTICES.received(fax, "desk@example.org", 6.0, note="n", mark=".2")
    assert (mail.kind, mail.cause, mail.to, mail.envelope_from, mail.file) == (
        MailKind.INBOUND, "in1", "desk@example.org", "bounce@example.org", "inbound/f",
    )  # fmt: skip
    assert mail.message_id == "<inbound.in1.2@fax.example.org>"
    assert (mail.facts["from"], mail.facts["to"], mail.facts["pages"]) == ("+12025550199", "+12025550100", 2)
    assert "secret" not in json.dumps(mail.facts)


def test_a_notice_to_the_operator_goes_to_the_fallback_mailbox_and_marks_a_trial() -> None:
    trial = Notices(NoticeSettings("gw", "b@example.org", "admin@example.org", sandbox=True))
    mail = trial.operator("key", 1.0, title="t", text="x", remedy="y")
    assert (mail.to, mail.envelope_from, mail.cause, mail.facts["sandbox"]) == ("admin@example.org", "", "key", True)
    assert trial.fallback == "admin@example.org"
