"""Caps, approval and what is unusual: pure decisions, each limit met exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import (
    Amounts,
    AnomalySettings,
    Approval,
    Cap,
    Capped,
    CapSettings,
    Scope,
    Slot,
    Window,
    caps_of,
    fits,
    must_be_approved,
    never_fits,
    opens_at,
    shown_money,
    units,
    unusual,
)


@pytest.mark.parametrize(
    ("text", "shown", "words"),
    [
        ("day:money=5.00", "day:money=5.00", "faxes for 5.00 a day"),
        ("day:money=5", "day:money=5.00", "faxes for 5.00 a day"),
        (" month : money = 0.0125 ", "month:money=0.0125", "faxes for 0.0125 a month"),
        ("hour:faxes=20", "hour:faxes=20", "20 faxes an hour"),
        ("hour:faxes=1", "hour:faxes=1", "1 fax an hour"),
        ("day:pages=1", "day:pages=1", "1 page a day"),
        ("month:pages=1000.0", "month:pages=1000", "1000 pages a month"),
    ],
)
def test_a_cap_is_read_and_told(text: str, shown: str, words: str) -> None:
    cap = Cap.parse(text)
    assert (str(cap), cap.text) == (shown, words)
    assert Cap.parse(str(cap)) == cap


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5.00", "is no cap; write day:money=5.00"),
        ("week:faxes=3", "is no cap"),
        ("day:faxes=", "is no cap"),
        ("day:faxes=-3", "is no cap"),
        ("day:faxes=٣", "is no cap"),  # an Arabic three
        ("day:money=1e3", "is no cap"),
        ("day:pages=1.5", "no parts of pages"),
        ("day:money=0.00", "nothing be sent, ever"),
    ],
)
def test_what_is_no_cap(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Cap.parse(text)


def test_money_is_counted_in_millionths_and_rounded_up() -> None:
    assert units(Decimal("0.1")) == 100_000
    assert units(Decimal("0.00000001")) == 1
    assert units(Decimal(10**12)) == 10**15
    assert never_fits(Cap.parse("day:money=999999999.999999"), Amounts(1, 1, units(Decimal(10**12))))
    assert [shown_money(each) for each in (100_000, 5_000_000, 12_500, 0)] == ["0.10", "5.00", "0.0125", "0.00"]


def test_whose_caps_apply() -> None:
    day, hour, own = Cap.parse("day:faxes=1"), Cap.parse("hour:pages=9"), Cap.parse("day:money=3")
    settings = CapSettings({Scope.USER: (day,), Scope.TOTAL: (hour,), Scope.ROUTE: (day,)})
    who = {Scope.USER: "user:ann", Scope.CLIENT: "192.0.2.1", Scope.TOTAL: ""}
    assert caps_of(settings, who, ()) == [Capped(Scope.USER, "user:ann", day), Capped(Scope.TOTAL, "", hour)]
    assert caps_of(settings, {Scope.ROUTE: "*"}, [own]) == [
        Capped(Scope.ROUTE, "*", day), Capped(Scope.ROUTE, "*", own),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scope", "who", "text"),
    [
        (Scope.USER, "user:ann", "user:ann may send 1 fax a day"),
        (Scope.CLIENT, "192.0.2.1", "the client 192.0.2.1 may send 1 fax a day"),
        (Scope.DESTINATION, "+12025550123", "+12025550123 may be sent 1 fax a day"),
        (Scope.ROUTE, "@example.org", "senders of the route @example.org may send 1 fax a day"),
        (Scope.TOTAL, "", "all together may send 1 fax a day"),
    ],
)
def test_a_cap_is_told_with_its_owner(scope: Scope, who: str, text: str) -> None:
    assert Capped(scope, who, Cap.parse("day:faxes=1")).text == text


def test_a_cap_is_met_exactly() -> None:
    cap = Cap.parse("day:money=0.30")
    assert fits(cap, Amounts(2, 2, 200_000), Amounts(1, 1, 100_000))
    assert not fits(cap, Amounts(2, 2, 200_000), Amounts(1, 1, 100_001))
    assert never_fits(cap, Amounts(1, 1, 300_001))
    assert not never_fits(cap, Amounts(1, 1, 300_000))


def test_a_window_opens_when_enough_has_aged() -> None:
    cap = Cap.parse("hour:faxes=5")
    slots = [Slot(0, Amounts(2)), Slot(300, Amounts(1)), Slot(900, Amounts(2))]
    assert opens_at(cap, slots, Amounts(1)) == 300 + 3600
    assert opens_at(cap, slots, Amounts(3)) == 300 + 300 + 3600
    assert opens_at(cap, slots, Amounts(4)) == 900 + 300 + 3600
    assert opens_at(cap, [], Amounts(6)) == 0.0


@given(
    st.sampled_from(list(Window)), st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4)), unique_by=lambda slot: slot[0], min_size=1),
)  # fmt: skip
def test_when_it_opens_it_fits_and_not_before(window: Window, limit: int, sent: list[tuple[int, int]]) -> None:
    cap, need = Cap(window, "faxes", limit), Amounts(1)
    slots = [Slot(n * window.span, Amounts(faxes)) for n, faxes in sorted(sent)]

    def used(at: float) -> Amounts:
        return Amounts(sum(s.amounts.faxes for s in slots if s.start > at - window.seconds - window.span))

    if fits(cap, used(21 * window.span), need):
        return
    opens = opens_at(cap, slots, need)
    assert fits(cap, used(opens), need)
    assert not fits(cap, used(opens - 1), need)


# --- approval ---------------------------------------------------------------------------------------------------------

RULE = Approval(new_country=True, pages=20, price=Decimal("2.50"), approver="boss@example.org")


@pytest.mark.parametrize(
    ("rule", "place", "pages", "price", "why"),
    [
        (RULE, "Germany (+49)", 1, "0.10", "it is the first fax of this sender to Germany (+49)"),
        (RULE, "", 21, "0.10", "it has 21 pages, and more than 20 need approval"),
        (RULE, "", 20, "2.51", "its price is 2.51, and more than 2.50 needs approval"),
        (RULE, "", 20, None, "its price is not known, and more than 2.50 needs approval"),
        (RULE, "", 20, "2.50", ""),
        (Approval(), "Germany (+49)", 999, None, ""),
    ],
)
def test_what_needs_approval(rule: Approval, place: str, pages: int, price: str | None, why: str) -> None:
    told = None if price is None else Decimal(price)
    assert must_be_approved(rule, new_place=place, pages=pages, price=told) == why


def test_a_rule_is_told() -> None:
    assert RULE.text == (
        "approval of boss@example.org for a first fax to a country, more than 20 pages, a price above 2.50"
    )
    assert Approval(pages=3).text == "approval for more than 3 pages"
    assert Approval(pages=1).text == "approval for more than 1 page"
    assert Approval().text == ""


# --- anomalies --------------------------------------------------------------------------------------------------------

WATCH = AnomalySettings(faxes=10, factor=3, new_numbers=5)


@pytest.mark.parametrize(
    ("faxes", "busiest", "new", "why"),
    [
        (10, 0, 5, ""),
        (11, 0, 0, "11 faxes within an hour, none up to yesterday"),
        (30, 10, 30, ""),
        (31, 10, 0, "31 faxes within an hour, at most 10 an hour up to yesterday"),
        (6, 0, 6, "6 numbers within an hour that this sender had never faxed to"),
    ],
)
def test_what_is_unusual(faxes: int, busiest: int, new: int, why: str) -> None:
    assert unusual(WATCH, faxes=faxes, busiest=busiest, new_numbers=new) == why


def test_who_is_watched() -> None:
    assert [AnomalySettings("off").watches(who) for who in ("user:ann", "ip:192.0.2.1")] == [False, False]
    assert [AnomalySettings("logins").watches(who) for who in ("user:ann", "ip:192.0.2.1")] == [True, False]
    assert [AnomalySettings("all").watches(who) for who in ("user:ann", "ip:192.0.2.1")] == [True, True]
