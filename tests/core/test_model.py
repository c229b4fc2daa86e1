"""The values: what may not be made, and a state machine that is closed and ends."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.model import (
    MAY_BE_SENT,
    TRANSITIONS,
    Envelope,
    FaxJob,
    FaxNumber,
    FaxOptions,
    JobState,
    LedgerEntry,
    Notify,
    Peer,
    Recipient,
    Route,
    RouteKind,
)

TERMINAL = {JobState.DELIVERED, JobState.FAILED, JobState.CANCELLED}


@pytest.mark.parametrize("text", ["+1234567", "+15551234567", "+123456789012345"])
def test_fax_number(text: str) -> None:
    number = FaxNumber(text)
    assert str(number) == number.e164 == text
    assert number.digits == text[1:]


@pytest.mark.parametrize(
    "text",
    [
        "", "+", "15551234567", "+05551234567", "+123456", "+1234567890123456", "+1555 1234567", "+1555123456\u0667",
        "+15551234567\n", " +15551234567", "+1555123456\uff17", "+1-555-123-4567",
    ],
)  # fmt: skip
def test_fax_number_refuses_what_is_not_e164(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an E\.164 number"):
        FaxNumber(text)


def test_values_are_frozen() -> None:
    number = FaxNumber("+15551234567")
    with pytest.raises(dataclasses.FrozenInstanceError):
        number.e164 = "+15551234568"  # type: ignore[misc]
    assert FaxNumber("+15551234567") == number
    assert len({number, FaxNumber("+15551234567")}) == 1


def test_transitions_are_closed() -> None:
    assert set(TRANSITIONS) == set(JobState)
    assert frozenset().union(*TRANSITIONS.values()) <= set(JobState)


def test_terminal_states_have_no_way_out_and_all_others_have_one() -> None:
    for state in JobState:
        assert state.terminal == (state in TERMINAL)
        assert bool(TRANSITIONS[state]) == (state not in TERMINAL)


def test_no_state_leads_to_itself() -> None:
    assert all(state not in ways for state, ways in TRANSITIONS.items())


def _reachable(start: JobState) -> set[JobState]:
    found: set[JobState] = set()
    open_states = [start]
    while open_states:
        state = open_states.pop()
        for after in TRANSITIONS[state] - found:
            found.add(after)
            open_states.append(after)
    return found


def test_every_state_is_reached_from_accepted_and_every_job_can_end() -> None:
    assert _reachable(JobState.ACCEPTED) | {JobState.ACCEPTED} == set(JobState)
    for state in set(JobState) - TERMINAL:
        assert _reachable(state) & TERMINAL
        assert JobState.FAILED in _reachable(state)


def test_a_job_that_may_have_been_sent_never_goes_back_to_be_prepared_or_cancelled_unseen() -> None:
    assert TRANSITIONS[JobState.SUBMITTING] == {
        JobState.SUBMITTED, JobState.UPLOADED, JobState.IN_DOUBT, JobState.FAILED,
    }  # fmt: skip
    assert JobState.CANCELLED not in TRANSITIONS[JobState.SUBMITTING]
    assert JobState.CANCELLED not in TRANSITIONS[JobState.SUBMITTED]
    assert {JobState.DELIVERED, JobState.FAILED}.isdisjoint(TRANSITIONS[JobState.IN_DOUBT]), (
        "found, it is submitted first"
    )


def test_only_submitting_leads_to_doubt_and_only_uploaded_to_submitting() -> None:
    assert [state for state in JobState if JobState.IN_DOUBT in TRANSITIONS[state]] == [JobState.SUBMITTING]
    assert [state for state in JobState if JobState.SUBMITTING in TRANSITIONS[state]] == [JobState.UPLOADED]
    assert [state for state in JobState if JobState.DELIVERED in TRANSITIONS[state]] == [JobState.SUBMITTED]


def test_identity_is_the_login_or_else_the_address() -> None:
    peer = Peer(listener="smtp0", address="192.0.2.1", helo="anything")
    assert peer.identity == "ip:192.0.2.1"
    assert dataclasses.replace(peer, login="ann").identity == "user:ann"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (LedgerEntry("invoice.pdf", "application/pdf", 1, 1), "invoice.pdf: page 1"),
        (LedgerEntry("invoice.pdf", "application/pdf", 2, 5), "invoice.pdf: pages 2-5"),
        (LedgerEntry("logo.png", "image/png", reason="a logo"), "logo.png: left out, a logo"),
    ],
)
def test_ledger_lines(entry: LedgerEntry, text: str) -> None:
    assert entry.text == text


def test_defaults_say_nothing_that_was_not_said() -> None:
    recipient = Recipient("+15551234567@fax.local", FaxNumber("+15551234567"))
    envelope = Envelope(Peer("smtp0", "192.0.2.1"), "", (recipient,))
    assert recipient.notify == frozenset()
    assert envelope.envid is envelope.ret is recipient.orcpt is None
    assert Route(RouteKind.SENDER, "*").allow
    assert {*Notify} == {"never", "success", "failure", "delay"}


def test_a_fax_is_wanted_when_it_is_accepted_or_later_if_its_sender_says_so() -> None:
    job = FaxJob("s-1", "s", "1@fax.local", FaxNumber("+15551234567"), JobState.ACCEPTED, 100.0, 100.0)
    assert job.wanted_at == 100.0
    assert dataclasses.replace(job, options=FaxOptions(send_at=200.0)).wanted_at == 200.0
    assert not job.may_be_sent
    assert dataclasses.replace(job, hold=f"{MAY_BE_SENT}: ask").may_be_sent
