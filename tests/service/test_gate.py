"""The gate: what stops sends, how long, and how they begin again."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from gateway import telemetry
from gateway.errors import KeyRefused, NoCredit, OutcomeUnknown, SlowDown, TryLater
from gateway.service.account import Account
from gateway.service.gate import Gate, GateSettings

from .house import House


class World:
    """A gate with its clock in hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told = 0
        self.gate = Gate(GateSettings(failures=3, first=10, longest=40), clock=self.time, steady=self.time)
        self.gate.on_change.append(self._tell)

    def time(self) -> float:
        return self.now

    def _tell(self) -> None:
        self.told += 1


AWAY = TryLater("the provider is away")


def test_after_a_start_one_call_goes_before_the_others() -> None:
    gate = World().gate
    assert (gate.sends(8), gate.asks(8), gate.why) == (1, 1, "")
    gate.succeeded()
    assert (gate.sends(8), gate.asks(8)) == (8, 8)


def test_a_refused_key_stops_all_until_it_is_accepted() -> None:
    world = World()
    gate = world.gate
    gate.succeeded()
    gate.failed(KeyRefused("the key is refused"))
    gate.shut("again")
    assert (gate.sends(8), gate.asks(8), gate.why, gate.is_shut) == (0, 0, "the key is refused", True)
    world.now += 1e6
    assert not gate.may_ask
    told = world.told
    gate.succeeded()
    assert (gate.sends(8), gate.is_open, world.told) == (8, True, told + 1)


async def test_who_is_asked_to_slow_down_waits_as_long_as_asked_then_feels_his_way() -> None:
    world = World()
    gate = world.gate
    gate.succeeded()
    gate.failed(SlowDown("slow down", after=25.0))
    gate.failed(SlowDown("slow down", after=900.0))  # another that was under way: no longer pause
    world.now += 24
    assert (gate.sends(8), gate.asks(8), gate.why) == (0, 0, "slow down")
    world.now += 2
    assert (gate.sends(8), gate.why) == (1, "")


async def test_a_pause_without_a_wish_doubles_to_its_longest() -> None:
    world = World()
    waits = []
    for _ in range(4):
        begun = world.now
        world.gate.failed(SlowDown("slow down"))
        while not world.gate.is_open:
            world.now += 1
        waits.append(world.now - begun)
    assert waits == [10, 20, 40, 40]
    world.gate.succeeded()
    world.gate.failed(SlowDown("slow down"))
    world.now += 10
    assert world.gate.is_open


async def test_failures_in_a_row_pause_a_single_one_does_not() -> None:
    world = World()
    gate = world.gate
    for _ in range(5):
        gate.failed(AWAY)
        gate.failed(OutcomeUnknown("no answer"))
        gate.succeeded()
    assert gate.is_open
    for _ in range(3):
        gate.failed(AWAY)
    assert (gate.is_open, gate.why) == (False, "the provider is away")
    world.now += 10
    assert gate.sends(8) == 1


def test_what_we_keep_back_ourselves_leaves_questions_free() -> None:
    gate = World().gate
    gate.succeeded()
    gate.keep("the state may be older than reality")
    assert (gate.sends(4), gate.asks(4), gate.why) == (0, 4, "the state may be older than reality")
    gate.let_go()
    assert gate.sends(4) == 4


async def test_the_end_of_a_pause_is_told() -> None:
    gate = Gate(GateSettings(failures=1, first=0.02))
    ended = asyncio.Event()
    gate.failed(AWAY)
    gate.on_change.append(ended.set)
    async with asyncio.timeout(30):
        await ended.wait()
    assert gate.is_open


async def test_an_account_without_credit_is_tried_by_one_send_where_its_balance_is_not_told() -> None:
    world = World()
    gate = world.gate
    gate.failed(NoCredit("no credit", need=Decimal("0.10")))
    gate.succeeded()  # a question, which costs nothing
    world.now += 39
    assert (gate.sends(4), gate.asks(4), gate.lacks_credit) == (0, 4, True)
    gate.balance(Decimal("0.09"))
    world.now += 2
    assert (gate.sends(4), gate.why) == (0, "no credit")
    world.now += 38
    assert (gate.sends(4), gate.why, gate.lacks_credit) == (1, "", True)
    gate.failed(NoCredit("no credit", need=Decimal("0.10")))
    assert gate.sends(4) == 0
    world.now += 40
    gate.succeeded()
    gate.paid()
    assert (gate.sends(4), gate.lacks_credit) == (4, False)


async def test_all_is_in_vain_when_much_has_failed_of_late_and_no_send_was_taken() -> None:
    world = World()
    gate = world.gate
    for hour in range(29):
        assert not gate.is_in_vain, "it fails now and then"
        gate.failed(AWAY)
        world.now += 3600 if hour > 8 else 86400
    assert gate.is_in_vain
    gate.succeeded()  # a question is not a send
    assert gate.is_in_vain
    gate.keep("the history is read first")
    assert not gate.is_in_vain
    gate.let_go()
    gate.paid()
    assert not gate.is_in_vain


async def test_how_long_nothing_was_answered_is_known_whatever_the_pauses() -> None:
    world = World()
    gate = world.gate
    assert gate.failing_for == 0
    for _ in range(9):
        gate.failed(AWAY)
        world.now += 10
    assert (gate.failing_for, gate.failing_why) == (90, "the provider is away")
    gate.failed(SlowDown("slow down"))  # an answer
    assert gate.failing_for == 0
    gate.failed(OutcomeUnknown("no whole answer"))
    world.now += 5
    assert (gate.failing_for, gate.failing_why) == (5, "no whole answer")
    gate.succeeded()
    world.now += 5
    assert gate.failing_for == 0


# --- the account ------------------------------------------------------------------------------------------------------


@pytest.fixture
def account(house: House) -> Account:
    return Account(
        house.database, house.provider, house.notices, house.gate, 60.0, on_mail=house._mail, clock=house.clock
    )


async def test_the_account_is_told_in_words_and_each_change_is_logged_once(house: House, account: Account) -> None:
    states, gate = [account.state], house.gate
    with capture_logs() as logs:
        gate.shut("the key is refused")
        states.append(account.state)
        gate.shut("the key is refused")
        gate.succeeded()
        states.append(account.state)
        gate.failed(NoCredit("no credit", need=Decimal(5)))
        gate.failed(NoCredit("no credit", need=Decimal(5)))
        states.append(account.state)
        gate.balance(Decimal(10))
        gate.keep("the history is compared")
        states.append(account.state)
        gate.let_go()
    assert states == ["ok", "key refused", "ok", "no credit", "waiting"]
    assert [(line["event"], line.get("why", "")) for line in logs if line["log_level"] in ("info", "warning")] == [
        ("nothing is sent for now", "the key is refused"), ("sending goes on", ""),
        ("nothing is sent for now", "no credit"), ("sending goes on", ""),
        ("nothing is sent for now", "the history is compared"), ("sending goes on", ""),
    ]  # fmt: skip


async def test_a_try_behind_a_pause_is_not_told_as_if_the_provider_were_there(house: House, account: Account) -> None:
    assert account.state == "ok"
    with capture_logs() as logs:
        for _ in range(5):
            house.gate.failed(AWAY)
        house.now += 3600
        house.gate.let_go()  # has it looked at
    assert [line["event"] for line in logs] == ["nothing is sent for now", "sending is tried again"]


async def test_the_balance_is_asked_for_only_where_it_may_open_the_gate(house: House, account: Account) -> None:
    house.provider.balance_error = AssertionError("asked for nothing")  # type: ignore[assignment]
    with capture_logs() as logs:
        await account.look()
    assert logs == []
    house.provider.balance_error, house.provider.amount = None, Decimal(3)
    house.gate.failed(NoCredit("no credit", need=Decimal(5)))
    await account.look()
    assert (account.state, telemetry.registry.get_sample_value("faxgateway_provider_balance")) == ("no credit", 3.0)
    house.provider.balance_error = AWAY
    await account.look()
    assert account.state == "no credit"
    house.provider.balance_error = KeyRefused("the key is refused")
    await account.look()
    assert account.state == "key refused"
    house.provider.balance_error, house.provider.amount = None, Decimal(7)
    await account.look()
    assert account.state == "ok"


async def test_a_refused_key_is_told_to_the_operator_at_once(house: House, account: Account) -> None:
    account.start()
    house.gate.shut("the key is refused")
    async with asyncio.timeout(30):
        while not house.mail_calls:
            await asyncio.sleep(0.01)
    await account.stop()
    assert await house.alarms() == ["The fax provider refuses the API key: nothing is being sent"]
