"""What may be sent at whose expense: reserved with the intent, never above a cap, and told to those whom it stops."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway import telemetry
from gateway.errors import OutcomeUnknown, Refused, TryLater
from gateway.limits import HOUR, AnomalySettings, Approval, Cap, CapSettings, Scope
from gateway.model import JobState, MailKind, Peer
from gateway.policy import PolicySettings
from gateway.ports import JobStatus, Submitted, Verdict
from gateway.service.allowance import AllowanceSettings
from gateway.service.ledgertime import LedgerTime, uptime
from gateway.service.outbound import OutboundSettings
from gateway.service.settle import SettleSettings
from gateway.store import jobs, spending

from . import house as houses
from .conftest import Build
from .house import LETTER, START, House, Workshop, state_of
from .test_life import Quick
from .test_submit import answer

ANN = Peer(listener="smtp0", address="203.0.113.9", login="ann")
BOB = Peer(listener="smtp0", address="203.0.113.9", login="bob")
DAY = 86400.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages show is of no matter here: no conversion, a page for each mail."""
    monkeypatch.setattr(houses, "Workshop", Quick)


def settings(
    caps: dict[Scope, str] | None = None,
    *,
    page_price: str | None = None,
    anomaly: AnomalySettings | None = None,
    **settle: Any,
) -> OutboundSettings:
    parsed = {scope: tuple(Cap.parse(cap) for cap in text.split()) for scope, text in (caps or {}).items()}
    known = CapSettings(parsed, None if page_price is None else Decimal(page_price))
    return OutboundSettings(
        allowance=AllowanceSettings(known, anomaly or AnomalySettings("off")), settle=SettleSettings(**settle)
    )


async def fax(house: House, n: int, peer: Peer = ANN, number: str = "") -> str:
    """Mail number ``n``, a page to a number of its own."""
    return await house.submit(number or f"+1202555{n:04}", mail=LETTER + str(n).encode(), peer=peer)


async def send(house: House, count: int, peer: Peer = ANN, first: int = 0, number: str = "") -> None:
    for n in range(first, first + count):
        await fax(house, n, peer, number)
    await house.turn("prepare", "upload", "submit")


def sums(house: House, scope: str = "total") -> tuple[int, int, int]:
    """Faxes, pages, millionths in the slots of one kind."""
    return house.on_disk(
        f"SELECT coalesce(sum(faxes), 0), coalesce(sum(pages), 0), coalesce(sum(money), 0) FROM spent"
        f" WHERE scope = '{scope}' AND span = 300"
    )[0]


# --- caps -------------------------------------------------------------------------------------------------------------


async def test_the_price_is_reserved_before_the_request_leaves(build: Build) -> None:
    house = await build(outbound=settings())
    seen: list[Any] = []
    house.provider.on_submit = lambda: seen.append([sums(house, scope) for scope in ("total", "user", "client")])
    await send(house, 1)
    assert seen == [[(1, 1, 100_000)] * 3]


@pytest.mark.parametrize(
    ("caps", "sent"),
    [
        ({Scope.TOTAL: "day:money=0.30"}, 3),
        ({Scope.TOTAL: "day:money=0.39"}, 3),
        ({Scope.USER: "hour:faxes=2"}, 2),
        ({Scope.USER: "month:pages=4", Scope.TOTAL: "day:faxes=9"}, 4),
        ({Scope.CLIENT: "day:faxes=1"}, 1),
        ({Scope.DESTINATION: "day:faxes=1"}, 5),  # to five numbers
        ({Scope.ROUTE: "day:faxes=1"}, 5),  # none applies
    ],
)
async def test_not_one_more_is_sent_than_a_cap_allows(build: Build, caps: dict[Scope, str], sent: int) -> None:
    house = await build(outbound=settings(caps))
    await send(house, 5)
    assert (house.provider.submits, (await house.states()).count("submitted")) == (sent, sent)
    waiting = [job for job in await house.jobs() if job.state is JobState.UPLOADED]
    assert all(not job.hold and job.next_at > house.now for job in waiting)


async def test_one_users_cap_is_not_anothers_and_a_number_has_its_own(build: Build) -> None:
    house = await build(outbound=settings({Scope.USER: "day:faxes=1", Scope.DESTINATION: "day:faxes=2"}))
    await send(house, 2, ANN)
    await send(house, 2, BOB, first=2)
    assert house.provider.submits == 2
    for n, name in enumerate(("cid", "dan", "eve")):
        await send(house, 1, Peer("smtp0", "203.0.113.9", login=name), first=10 + n, number="+12025550199")
    assert house.provider.submits == 4


async def test_the_caps_of_a_route_hold_for_all_its_senders_and_as_it_is_now(build: Build) -> None:
    house = await build(outbound=settings())
    await house.route("*", caps=(Cap.parse("day:faxes=1"),))
    await send(house, 1, ANN)
    await send(house, 1, BOB, first=1)
    assert house.provider.submits == 1
    await house.route("*", caps=(Cap.parse("day:faxes=2"),))
    (job,) = [job for job in await house.jobs() if job.state is JobState.UPLOADED]
    await house.database.write(lambda tx: jobs.touch(tx, job, house.now, next_at=house.now))
    await house.turn("submit")
    assert house.provider.submits == 2


async def test_what_waits_for_a_cap_goes_by_itself_and_not_before_it_may(build: Build) -> None:
    house = await build(outbound=settings({Scope.USER: "hour:faxes=1"}))
    await send(house, 2)
    (job,) = [job for job in await house.jobs() if job.state is JobState.UPLOADED]
    assert 3600 < job.next_at - house.now <= 3900
    assert "user:ann may send 1 fax an hour, and this is used up until 20" in job.last_error
    house.now = job.next_at - 1
    await house.turn("submit")
    assert house.provider.submits == 1
    house.now += 1
    await house.turn("submit")
    assert house.provider.submits == 2


async def test_at_the_minute_that_is_told_there_is_room_by_whatever_clock(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await build(outbound=settings({Scope.USER: "hour:faxes=1"}), policy=PolicySettings())
    await send(house, 1)
    ahead = 59.0  # as the clock is put right while we run
    monkeypatch.setattr(house.outbound.allowance, "_clock", lambda: house.now + ahead)
    with pytest.raises(TryLater, match="used up until") as caught:
        await house.accept.check_recipient(ANN, "a@example.org", "+12025550123@fax.local")
    told = caught.value.public.partition("until ")[2].partition(" UTC")[0]
    house.now = datetime.strptime(f"{told}Z", "%Y-%m-%d %H:%M%z").timestamp() - ahead
    await house.accept.check_recipient(ANN, "a@example.org", "+12025550123@fax.local")


async def test_the_operator_and_each_sender_are_told_once_not_for_each_fax(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}))
    await send(house, 5)
    assert await house.alarms() == ["A limit is used up: faxes wait"]
    (told,) = await house.mails(MailKind.DELAYED)
    assert "all together may send 1 fax a day" in told.facts["text"]
    assert "Other faxes of yours may wait" in told.facts["text"]
    assert told.facts["status"] == "4.7.1"  # as the door says it
    (alarm,) = await house.mails(MailKind.OPERATOR)
    assert "policy.caps.total" in alarm.facts["remedy"]


async def test_a_fax_that_alone_is_too_much_fails_and_says_of_what(build: Build) -> None:
    house = await build(outbound=settings({Scope.USER: "day:money=0.05"}))
    job = await house.submitted()
    assert (job.state, job.outcome) == (JobState.FAILED, "over_limit")
    assert job.last_error == "ip:127.0.0.1 may send faxes for 0.05 a day, and this fax alone costs 0.10"
    assert house.provider.submits == 0


async def test_the_door_says_when_a_cap_opens_that_is_used_up(build: Build) -> None:
    house = await build(outbound=settings({Scope.USER: "day:faxes=1"}), policy=PolicySettings())
    await house.accept.check_recipient(ANN, "a@example.org", "+12025550123@fax.local")
    await send(house, 1)
    with pytest.raises(TryLater) as caught:
        await house.accept.check_recipient(ANN, "a@example.org", "+12025550123@fax.local")
    assert caught.value.status == "4.7.1"
    assert caught.value.public.startswith("user:ann may send 1 fax a day, and this is used up until 20")
    await house.accept.check_recipient(BOB, "a@example.org", "+12025550123@fax.local")
    house.now += DAY + 301
    await house.accept.check_recipient(ANN, "a@example.org", "+12025550123@fax.local")


async def test_no_cap_keeps_a_client_from_hearing_that_its_mail_is_here_already(build: Build) -> None:
    """Put off until the cap opens, it would come when nobody knows the mail any more, and be faxed twice."""
    house = await build(outbound=settings({Scope.USER: "day:faxes=1"}))
    first = await fax(house, 1)
    await house.turn("prepare", "upload", "submit")
    for address in (ANN.address, "203.0.113.10"):  # as a phone has it, there and on the way
        await house.accept.check_recipient(replace(ANN, address=address), "a@example.org", "+12025550001@fax.local")
    assert await fax(house, 1) == first
    for peer, sender, number in (
        (ANN, "a@example.org", "+12025550002"),
        (ANN, "b@example.org", "+12025550001"),
    ):
        with pytest.raises(TryLater, match="used up"):
            await house.accept.check_recipient(peer, sender, f"{number}@fax.local")
    house.accept.confirmed(first)
    await house.database.write(lambda _tx: None)  # it comes along
    with pytest.raises(TryLater, match="used up"):
        await house.accept.check_recipient(ANN, "a@example.org", "+12025550001@fax.local")


async def test_nor_a_mail_server_that_tries_again_from_another_address(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}))
    server = Peer(listener="smtp0", address="203.0.113.9", trusted_network=True)
    await fax(house, 1, peer=server)
    await house.turn("prepare", "upload", "submit")
    for peer in (server, replace(server, address="2001:db8::9")):
        house.now += 6 * 3600
        await house.accept.check_recipient(peer, "a@example.org", "+12025550001@fax.local")
    with pytest.raises(TryLater, match="used up"):
        await house.accept.check_recipient(ANN, "a@example.org", "+12025550001@fax.local")


async def test_the_operator_hears_of_a_cap_that_only_refuses_once_a_day(build: Build) -> None:
    """All of it is refused at RCPT and nothing waits: nobody but who is refused would know."""
    house = await build(outbound=settings({Scope.USER: "month:faxes=1"}), policy=PolicySettings())
    await send(house, 1)

    async def refused(peer: Peer = ANN) -> None:
        with pytest.raises(TryLater):
            await house.accept.check_recipient(peer, "a@example.org", "+12025550123@fax.local")

    await refused()
    await refused()
    (alarm,) = await house.mails(MailKind.OPERATOR)
    assert alarm.facts["title"] == "A limit is used up: faxes are refused"
    assert "user:ann may send 1 fax a month, and this is used up until 20" in alarm.facts["text"]
    assert "A fax of user:ann to +12025550123 was refused" in alarm.facts["text"]
    assert "policy.caps.user" in alarm.facts["remedy"]
    await send(house, 1, BOB, first=1)
    await refused(BOB)
    assert len(await house.alarms()) == 2
    house.now += DAY
    await refused()
    assert len(await house.alarms()) == 3


async def test_who_raises_the_cap_of_a_route_is_reminded_of_what_else_it_says(build: Build) -> None:
    house = await build(outbound=settings(), policy=PolicySettings())
    await house.route("*", caps=(Cap.parse("day:faxes=1"),))
    await send(house, 2)
    (alarm,) = await house.mails(MailKind.OPERATOR)
    assert (
        "route add sender '*' --cap ... with all its other options, as it replaces the route" in alarm.facts["remedy"]
    )


async def test_a_cap_of_which_the_operator_knows_is_not_told_again_at_the_door(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}), policy=PolicySettings())
    await send(house, 2)
    with pytest.raises(TryLater):
        await house.accept.check_recipient(ANN, "a@example.org", "+12025550123@fax.local")
    assert await house.alarms() == ["A limit is used up: faxes wait"]


# --- what counts ------------------------------------------------------------------------------------------------------


async def test_a_no_of_the_provider_gives_back_what_was_reserved(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}))
    house.provider.execute, house.provider.answer_submit = False, answer(Refused("Invalid fax number"))
    await send(house, 1)
    assert sums(house) == (0, 0, 0)
    house.provider.execute, house.provider.answer_submit = True, Submitted
    await send(house, 1, first=1)
    assert house.provider.submits == 2


async def test_a_send_without_an_answer_counts_and_so_does_its_repetition(build: Build) -> None:
    """A history that shows nothing proves little about money."""
    house = await build(outbound=settings(doubt_poll_after=(60,), doubt_min_time=60, doubt_min_polls=2))
    house.provider.execute, house.provider.answer_submit = False, answer(OutcomeUnknown("no answer"))
    await send(house, 1)
    assert sums(house) == (1, 1, 100_000)
    house.provider.execute, house.provider.answer_submit = True, Submitted
    for _ in range(4):
        house.now += 60
        await house.turn("doubt", "submit")
    assert house.provider.submits == 2
    assert sums(house) == (2, 2, 200_000)


@pytest.mark.parametrize(("told", "counted"), [("0.25", 250_000), ("0.04", 40_000)])
async def test_what_the_provider_took_in_the_end_is_what_counts(build: Build, told: str, counted: int) -> None:
    house = await build(outbound=settings())
    house.provider.answer_submit = lambda ref: Submitted(ref, Decimal(told))
    await send(house, 1)
    assert sums(house) == (1, 1, counted)


async def test_a_fax_that_is_dialled_again_counts_again(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}, redial={"busy": 1}))
    house.provider.answer_submit = lambda ref: Submitted(ref, failed=True)
    house.provider.statuses[9000] = JobStatus(Verdict.FAILED, "busy", "Fax Failed - Line Busy")
    await send(house, 1)
    await house.turn("result")
    house.now += 300
    await house.turn("submit")
    (job,) = await house.jobs()
    assert (house.provider.submits, job.state) == (1, JobState.UPLOADED)
    assert "used up" in job.last_error


async def test_a_killed_process_has_spent_what_it_had_begun_to_spend(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:money=0.10"}))
    job = await house.uploaded()
    await house.database.write(lambda tx: (jobs.begin_attempt(tx, job, house.now), house.outbound.allowance.reserve(tx, job, 1, Decimal("0.10"))))  # fmt: skip
    house = await house.crash()
    await house.outbound.recover()
    await send(house, 1, first=1)
    assert (house.provider.submits, sums(house)) == (0, (1, 1, 100_000))


# --- prices -----------------------------------------------------------------------------------------------------------


async def test_without_a_price_nothing_is_sent_where_money_is_limited(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:money=9"}))
    house.provider.cost_error = Refused("no price list")
    await send(house, 1)
    (job,) = await house.jobs()
    assert (house.provider.submits, job.next_at, job.hold) == (0, house.now + 300, "")
    assert job.last_error == "its price is not known, and what may be spent is limited"
    house.provider.cost_error = None
    house.now += 300
    await house.turn("submit")
    assert house.provider.submits == 1


async def test_a_price_that_is_not_told_counts_as_assumed(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:money=1.00"}, page_price="0.40"))
    house.provider.cost_error = Refused("no price list")
    house.provider.answer_submit = Submitted
    await send(house, 3)
    assert (house.provider.submits, sums(house)) == (2, (2, 2, 800_000))


async def test_a_price_that_is_not_told_is_assumed_of_each_page(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(houses, "Workshop", Workshop)
    house = await build(outbound=settings({Scope.TOTAL: "day:money=9.00"}, page_price="0.40"))
    house.provider.cost_error = Refused("no price list")
    house.provider.answer_submit = Submitted
    await house.submit(mail=LETTER + b"One more line.\r\n" * 80)
    await house.turn("prepare", "upload", "submit")
    assert (house.provider.submits, sums(house)) == (1, (1, 2, 800_000))


# --- clocks -----------------------------------------------------------------------------------------------------------


async def test_no_clock_that_is_set_opens_a_window(build: Build) -> None:
    steady = [0.0]
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}), steady=lambda: steady[0])
    await send(house, 1)
    for n, leap in enumerate((-30 * DAY, 70 * DAY), 1):
        house.now += leap
        await send(house, 1, first=n)
        assert house.provider.submits == 1
    house.now = START - 300 * DAY
    house = await house.crash()  # and a start with a clock that is wrong
    await send(house, 1, first=5)
    assert house.provider.submits == 1
    steady[0] += DAY + 301  # a day really passes
    house.now += DAY + 301
    await house.turn("submit")
    assert house.provider.submits == 2


def test_the_time_of_the_ledger() -> None:
    clock, steady = [1000.0], [5.0]
    time = LedgerTime(lambda: clock[0], lambda: steady[0])
    assert time.now(lambda: (1200.0, "")) == 1200.0
    clock[0], steady[0] = 9_999_999.0, 15.0
    assert time.now(lambda: (5000.0, "")) == 1210.0
    assert 0 < uptime() <= uptime()


def test_the_clock_is_believed_once_in_a_run_of_the_machine() -> None:
    """One that was behind when we started, and is right at our next start, made what was sent between look old."""
    clock, steady = [1000.0], [5.0]

    def started(boot: str) -> LedgerTime:
        return LedgerTime(lambda: clock[0], lambda: steady[0], boot)

    first = started("one")
    assert first.now(lambda: (2000.0, "zero 0.0")) == 2000.0
    clock[0], steady[0] = 9000.0, 15.0
    assert started("one").now(lambda: (2005.0, first.run)) == 2010.0
    steady[0] = 1.0
    assert started("two").now(lambda: (2010.0, first.run)) == 9000.0


async def test_the_clock_that_is_believed_is_that_of_the_start(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was set between a start and the first fax after it."""
    steady = [0.0]
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}), steady=lambda: steady[0])
    await send(house, 1)
    monkeypatch.setenv("FAXGATEWAY_BOOT_ID", "of another run of the machine")
    house = await house.crash()
    await house.outbound.recover()
    house.now += 2 * DAY
    await send(house, 1, first=1)
    assert house.provider.submits == 1


async def test_what_no_window_reaches_is_forgotten(build: Build) -> None:
    house = await build(outbound=settings())
    await send(house, 1)
    count = "SELECT (SELECT count(*) FROM spent), (SELECT count(*) FROM destination)"
    assert house.on_disk(count) == [(8, 1)]
    house.now += 2 * DAY
    await send(house, 1, first=1)
    await house.database.write(lambda tx: spending.forget(tx, house.now, 400 * DAY))
    assert house.on_disk("SELECT count(*) FROM spent WHERE span = 300") == [(4,)]
    house.now += 401 * DAY
    await house.database.write(house.outbound.allowance.note_time)
    await house.database.write(lambda tx: spending.forget(tx, house.now, 400 * DAY))
    assert house.on_disk(count) == [(0, 0)]


async def test_what_a_window_still_reaches_is_not_forgotten(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}))
    await send(house, 1)
    house.now += DAY - 60
    await house.database.write(house.outbound.allowance.note_time)
    await house.database.write(lambda tx: spending.forget(tx, house.now, 400 * DAY))
    await send(house, 1, first=1)
    assert house.provider.submits == 1


async def test_what_is_used_of_a_cap_is_shown_for_as_long_as_it_counts(build: Build) -> None:
    house = await build(outbound=settings({Scope.USER: "hour:faxes=5"}))
    await send(house, 2)

    async def shown() -> list[tuple[str, int]]:
        return [(cap.who, used) for cap, used in await house.database.read(house.outbound.allowance.usage)]

    assert await shown() == [("user:ann", 2)]
    house.now += 2 * HOUR
    assert await shown() == []


async def test_a_price_that_is_told_late_brings_no_forgotten_sum_back(build: Build) -> None:
    house = await build(outbound=settings())
    await send(house, 1)
    (job,) = await house.jobs()
    house.now += 40 * DAY
    await house.database.write(house.outbound.allowance.note_time)
    await house.database.write(lambda tx: spending.forget(tx, house.now, 400 * DAY))
    await house.database.write(lambda tx: spending.settle(tx, job.id, 1, "sent", Decimal("0.90")))
    assert house.on_disk("SELECT count(*) FROM spent") == [(0,)]


async def test_a_price_that_is_told_twice_counts_once_and_goes_whole(build: Build) -> None:
    house = await build(outbound=settings())
    await send(house, 1)
    (job,) = await house.jobs()
    for outcome, cost, left in (
        ("sent", "0.90", (1, 1, 900_000)),
        ("sent", "0.90", (1, 1, 900_000)),
        ("not_sent", "0", (0, 0, 0)),
    ):
        await house.database.write(lambda tx, told=(outcome, Decimal(cost)): spending.settle(tx, job.id, 1, *told))  # type: ignore[misc]
        assert sums(house) == left


# --- approval ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (Approval(new_country=True), "it is the first fax of this sender to the United States (+1)"),
        (Approval(price=Decimal("0.09")), "its price is 0.10, and more than 0.09 needs approval"),
    ],
)
async def test_what_needs_approval_is_held_until_a_person_releases_it(build: Build, rule: Approval, why: str) -> None:
    house = await build(outbound=settings())
    await house.route("user:ann", approval=Approval(rule.new_country, 0, rule.price, "boss@example.org"))
    await send(house, 1)
    (job,) = await house.jobs()
    assert state_of(job) == (JobState.UPLOADED, True)
    assert job.hold == f"it needs approval: {why}"  # the sender reads this
    assert await house.told(job.id) == [("delayed", "held")]
    (asked,) = await house.mails(MailKind.OPERATOR)
    assert asked.to == "boss@example.org"
    assert asked.facts["remedy"].startswith(
        f"It comes from user:ann. Pages: 1, price: 0.10. To let it go: faxgateway queue release {job.id}."
    )
    submission = await house.database.read(lambda tx: jobs.get_submission(tx, job.submission))
    assert submission is not None
    assert asked.facts["text"].startswith(f'The fax "{submission.subject}" from {submission.sender} to {job.number}')
    assert asked.facts["title"] == f"The fax from {submission.sender} to {job.number} is held ({job.id})"
    await house.database.write(lambda tx: jobs.release(tx, job, house.now))
    await house.turn("submit")
    assert await house.states() == ["submitted"]


@pytest.mark.parametrize("stopped", [True, False])
async def test_what_was_let_go_for_another_reason_still_needs_its_approver(build: Build, *, stopped: bool) -> None:
    """Nobody had asked for him while it was held."""
    house = await build(outbound=settings(anomaly=WATCH))
    await house.route("user:ann", approval=Approval(True, 0, None, "boss@example.org"))
    await fax(house, 1, ANN, number="+14165550123")
    await house.turn("prepare", "upload")
    (job,) = await house.jobs()
    if stopped:
        await house.database.write(lambda tx: spending.stop(tx, "user:ann", house.now, "a burst"))
        await house.turn("submit")
        assert await house.database.write(lambda tx: spending.let_go(tx, "user:ann"))
    else:
        await house.database.write(lambda tx: jobs.hold(tx, job, house.now, "wrong letter?"))
    assert await house.database.write(lambda tx: jobs.release(tx, job, house.now))
    await house.turn("submit")
    (held,) = await house.jobs()
    assert (held.hold, house.provider.submits) == (
        "it needs approval: it is the first fax of this sender to Canada (+1 416)",
        0,
    )
    assert [mail.to for mail in await house.mails(MailKind.OPERATOR)] == ["boss@example.org"]

    assert await house.database.write(lambda tx: jobs.release(tx, held, house.now))
    assert await house.database.write(lambda tx: jobs.hold(tx, held, house.now, "one more look"))
    assert await house.database.write(lambda tx: jobs.release(tx, held, house.now))
    await house.turn("submit")
    assert (await house.states(), house.provider.submits) == (["submitted"], 1)  # what was approved stays so


async def test_a_country_that_was_faxed_once_needs_no_approval_again_of_this_sender(build: Build) -> None:
    house = await build(outbound=settings())
    await send(house, 1, ANN)
    await house.route("*", approval=Approval(new_country=True))
    await send(house, 1, ANN, first=1)
    await send(house, 1, BOB, first=2)
    assert [bool(job.hold) for job in await house.jobs()] == [False, False, True]


async def test_what_is_no_country_is_known_by_its_code(build: Build) -> None:
    satellite = PolicySettings(numbers=("+881", "+882"))
    house = await build(outbound=replace(settings(), allowance=AllowanceSettings(policy=satellite)))
    await send(house, 1, number="+881612345678")
    await house.route("*", approval=Approval(new_country=True))
    await send(house, 1, first=1, number="+881612345679")
    await send(house, 1, first=2, number="+88216123456")
    assert [bool(job.hold) for job in await house.jobs()] == [False, False, True]


async def test_what_may_not_be_faxed_any_more_is_not_sent_whatever_was_accepted(build: Build) -> None:
    narrow = replace(settings(), allowance=AllowanceSettings(policy=PolicySettings(countries=frozenset({"CA"}))))
    house = await build(outbound=narrow)
    await fax(house, 1)
    await fax(house, 2, number="+14165550123")
    await house.turn("prepare", "upload", "submit")
    assert await house.states() == ["failed", "submitted"]
    (mail,) = await house.mails(MailKind.FAILED)
    assert mail.facts["code"] == "denied"
    assert "faxes to the United States (+1) are not allowed here" in mail.facts["text"]


async def test_tags_of_an_address_are_no_other_senders(build: Build) -> None:
    house = await build(outbound=settings({Scope.USER: "day:faxes=2"}))
    for n in range(4):
        await fax(house, n, Peer("smtp0", "192.0.2.1", trusted_network=True, author=f"ann+{n}@example.org"))
    await house.turn("prepare", "upload", "submit")
    assert house.provider.submits == 2


# --- the stop ---------------------------------------------------------------------------------------------------------

WATCH = AnomalySettings("logins", faxes=3, factor=3, new_numbers=100)


async def test_a_burst_of_a_login_is_stopped_told_once_and_released_as_a_whole(build: Build) -> None:
    house = await build(outbound=settings(anomaly=WATCH))
    counted = telemetry.registry.get_sample_value("faxgateway_faxes_held_total") or 0.0
    await send(house, 8)
    await send(house, 2, BOB, first=20)
    assert telemetry.registry.get_sample_value("faxgateway_faxes_held_total") == counted + 5
    held = [job for job in await house.jobs() if job.hold]
    assert (house.provider.submits, len(held)) == (5, 5)
    assert await house.alarms() == ["The faxes of user:ann are held: unusual use"]
    (alarm,) = await house.mails(MailKind.OPERATOR)
    assert (
        "4 faxes within an hour, none up to yesterday. 5 faxes that were not sent yet are held" in alarm.facts["text"]
    )
    assert alarm.facts["remedy"].count("faxgateway queue release --sender user:ann") == 2
    await send(house, 1, first=30)  # what comes now is accepted, and held
    assert sum(bool(job.hold) for job in await house.jobs()) == 6
    assert len(await house.alarms()) == 1
    assert [who for who, _, _ in await house.database.read(spending.all_stopped)] == ["user:ann"]

    assert await house.database.write(lambda tx: spending.let_go(tx, "user:ann"))
    assert not await house.database.write(lambda tx: spending.let_go(tx, "user:ann"))
    for job in [job for job in await house.jobs() if job.hold]:
        await house.database.write(lambda tx, job=job: jobs.release(tx, job, house.now))  # type: ignore[misc]
    await house.turn("submit")
    assert house.provider.submits == 11
    house.now += 1
    await send(house, 3, first=40)  # only what comes after the release counts
    assert house.provider.submits == 14
    await send(house, 1, first=50)
    assert house.provider.submits == 14


async def test_a_send_that_was_under_way_at_the_stop_counts_no_more_after_the_release(build: Build) -> None:
    house = await build(outbound=settings(anomaly=WATCH))
    await send(house, 4)
    first = (await house.jobs())[0]
    house.now += 1  # no other fax has noted the time since
    await house.database.write(lambda tx: house.outbound.allowance.reserve(tx, first, 2, None))
    assert await house.database.write(lambda tx: spending.let_go(tx, "user:ann"))
    house.now += 1
    await send(house, 3, first=40)
    assert house.provider.submits == 6


async def test_what_a_sender_always_does_is_not_unusual(build: Build) -> None:
    house = await build(outbound=settings(anomaly=WATCH))
    for day in range(2):
        await send(house, 3, first=10 * day)
        house.now += DAY + 2 * 3600
    await send(house, 9, first=50)
    assert house.provider.submits == 15
    await send(house, 1, first=70)
    assert house.provider.submits == 15


async def test_what_was_sent_a_few_hours_ago_is_not_usual_yet(build: Build) -> None:
    """Else a thief would send thrice as much every other hour, all night long."""
    house = await build(outbound=settings(anomaly=WATCH))
    for hour in range(4):
        await send(house, 3, first=10 * hour)
        house.now += 2 * 3600
    assert house.provider.submits == 12
    await send(house, 4, first=50)
    assert house.provider.submits == 15


async def test_numbers_never_faxed_before_are_unusual_and_known_ones_are_not(build: Build) -> None:
    house = await build(outbound=settings(anomaly=AnomalySettings("all", faxes=100, factor=3, new_numbers=2)))
    await send(house, 2)
    await send(house, 2, number="+12025550000", first=10)
    assert house.provider.submits == 4
    await send(house, 1, first=20)
    assert house.provider.submits == 4
    assert "3 numbers within an hour" in (await house.mails(MailKind.OPERATOR))[0].facts["text"]


async def test_clients_without_a_login_are_not_watched_unless_asked(build: Build) -> None:
    house = await build(outbound=settings(anomaly=WATCH))
    await send(house, 6, Peer("smtp0", "192.0.2.1", trusted_network=True))
    assert house.provider.submits == 6


async def test_what_waits_long_for_a_cap_is_no_trick_of_the_clock(build: Build) -> None:
    house = await build(outbound=settings({Scope.TOTAL: "day:faxes=1"}))
    await send(house, 2)
    (job,) = [job for job in await house.jobs() if job.state is JobState.UPLOADED]
    for _ in range(30):  # as housekeeping does every few minutes
        house.now += 60
        await house.outbound.mend_times()
        await house.turn("submit")
    again = await house.job(job.id)
    assert (again.strikes, again.next_at) == (1, job.next_at)
    assert job.next_at == START + 7200, "it is looked at again now and then"
    house.now += DAY
    await house.turn("submit")
    assert house.provider.submits == 2


async def test_what_a_person_let_go_is_not_unusual_again(build: Build) -> None:
    house = await build(outbound=settings(anomaly=AnomalySettings("all", faxes=100, factor=3, new_numbers=2)))
    await send(house, 8)
    assert house.provider.submits == 2
    house.now += 60
    await house.database.write(lambda tx: spending.let_go(tx, "user:ann"))
    for job in [job for job in await house.jobs() if job.hold]:
        await house.database.write(lambda tx, job=job: jobs.release(tx, job, house.now))  # type: ignore[misc]
    await house.turn("submit")
    assert house.provider.submits == 8
    house.now += 60
    await send(house, 1, first=20)
    assert house.provider.submits == 9
    assert len(await house.alarms()) == 1
