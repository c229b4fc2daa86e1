"""The sweep finds what no callback told, exactly once, and never takes one fax for another so that one is lost."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from thorough import times

from gateway.errors import KeyRefused, NoSpace, TryLater
from gateway.model import InboundFax, InboundState, MailKind
from gateway.ports import InboxEntry, InboxPage
from gateway.service.inbound import InboundSettings
from gateway.service.sweep import SweepSettings
from gateway.store import inbound, outbox
from gateway.store.db import get_meta

from .conftest import Build
from .house import House
from .scripted import ScriptedProvider, away
from .test_inbound import CALLER, DID, OTHER, PDF, TIFF, arrive, mailed, told

GRACE = 1800.0


def entry(house: House, n: int, data: bytes, *, at: float | None = None, **more: object) -> InboxEntry:
    """An entry of the provider's inbox, with its document."""
    url = f"https://fax.to/in/{n}"
    house.provider.documents[url] = data
    arrival = replace(told(""), inbox_id=n, file_url=url, time="", **more)  # type: ignore[arg-type]
    return InboxEntry(arrival, house.now if at is None else at)


def listed(house: House, *entries: InboxEntry) -> None:
    """The inbox, the newest first."""
    house.provider.inbox_entries = list(entries)[::-1]


async def sweep(house: House) -> int:
    found = await house.inbound.sweep()
    await house.turn("fetch")
    return found


async def documents(house: House) -> list[bytes]:
    return sorted(data for _, data in await mailed(house))


@pytest.fixture
async def desk(house: House) -> House:
    """A house that knows its inbox, and whose number leads to a desk."""
    await house.route(DID, "desk@example.org")
    await house.inbound.sweep()
    return house


# --- one fax ----------------------------------------------------------------------------------------------------------


async def test_what_no_callback_told_is_fetched_after_the_grace_exactly_once(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    assert await sweep(desk) == 0
    desk.now += GRACE - 1
    assert await sweep(desk) == 0
    desk.now += 1
    assert await sweep(desk) == 1
    for _ in range(3):
        desk.now += 900
        assert await sweep(desk) == 0
    assert await mailed(desk) == [("desk@example.org", PDF)]


async def test_callback_then_sweep_is_one_fax(desk: House) -> None:
    await arrive(desk, told())
    listed(desk, entry(desk, 7, PDF))
    for _ in range(5):
        desk.now += 900
        assert await sweep(desk) == 0
    assert await documents(desk) == [PDF]
    assert desk.provider.fetched == []
    (fax,) = await desk.faxes()
    assert (fax.arrival.uuid, fax.arrival.inbox_id) == ("u1", 7)


@pytest.mark.parametrize(
    ("by_callback", "in_list"), [("2025550100", DID), ("(202) 555-0100", "12025550100"), (DID, "2025550100")]
)
async def test_a_number_written_in_two_ways_is_one_fax(by_callback: str, in_list: str, desk: House) -> None:
    await arrive(desk, told(recipient=by_callback))
    listed(desk, entry(desk, 7, PDF, recipient=in_list), entry(desk, 8, OTHER, recipient=in_list))
    for _ in range(5):
        desk.now += 900
        await sweep(desk)
    await arrive(desk, told("u2", recipient=by_callback), OTHER)
    assert await documents(desk) == sorted([PDF, OTHER])


@pytest.mark.parametrize(
    ("by_callback", "in_list", "is_one"),
    [
        ("2025550199", CALLER, True), (CALLER, "(202) 555-0199", True), ("020 7946 0018", "+442079460018", True),
        ("+2025550199", CALLER, False), ("5550177", "+2025550177", True), ("550177", CALLER, False),
        ("", CALLER, False), ("2025550178", CALLER, False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("listed_first", [False, True])
async def test_a_caller_written_in_two_ways_is_one_fax(
    by_callback: str, in_list: str, is_one: bool, listed_first: bool, desk: House
) -> None:
    listed(desk, entry(desk, 7, PDF, sender=in_list), entry(desk, 8, OTHER, sender=in_list))
    calls = [(told("u1", sender=by_callback), PDF), (told("u2", sender=by_callback), OTHER)]
    if not listed_first:
        await arrive(desk, *calls[0])
    desk.now += 2 * GRACE
    await sweep(desk)
    for call in calls:
        await arrive(desk, *call)
    assert await documents(desk) == sorted([PDF, OTHER] * (1 if is_one else 2))


async def test_sweep_then_callback_is_one_fax(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.now += GRACE
    assert await sweep(desk) == 1
    await arrive(desk, told())
    await arrive(desk, told())
    assert await documents(desk) == [PDF]
    (fax,) = await desk.faxes()
    assert (fax.arrival.uuid, fax.arrival.inbox_id) == ("u1", 7)
    assert len(desk.files("inbound")) == 1


async def test_sweep_then_a_callback_that_only_names_its_document_is_one_fax(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.now += GRACE
    assert await sweep(desk) == 1
    desk.provider.documents["https://fax.to/1"] = PDF
    await arrive(desk, told(file_url="https://fax.to/1"), None)
    await desk.turn("fetch")
    assert await documents(desk) == [PDF]
    (fax,) = await desk.faxes()
    assert (fax.arrival.uuid, fax.arrival.inbox_id) == ("u1", 7)


@pytest.mark.parametrize("file_url", ["", "https://fax.to/1"])
async def test_a_callback_that_comes_a_day_after_the_sweep_is_the_same_fax(file_url: str, desk: House) -> None:
    """The web server in front was away; what is new is in the list besides."""
    first, again = entry(desk, 7, PDF), entry(desk, 8, PDF, at=desk.now + 86400)
    listed(desk, first)
    desk.now += GRACE
    await sweep(desk)
    desk.provider.documents[file_url] = PDF
    desk.now += 86400
    await arrive(desk, told(file_url=file_url), None if file_url else PDF)
    await desk.turn("fetch")
    assert await documents(desk) == [PDF]
    listed(desk, first, again)
    await sweep(desk)
    assert await documents(desk) == [PDF, PDF]


async def test_a_callback_during_the_fetch_is_the_same_fax(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.now += GRACE
    await desk.inbound.sweep()
    await arrive(desk, told())
    await desk.turn("fetch")
    assert await documents(desk) == [PDF]
    (fax,) = await desk.faxes()
    assert (fax.arrival.uuid, fax.arrival.inbox_id) == ("u1", 7)
    assert len(desk.files("inbound")) == 1


async def test_the_same_content_later_under_another_id_is_another_fax(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.now += GRACE
    await sweep(desk)
    await arrive(desk, told("u1"))
    await arrive(desk, told("u2"))
    assert await documents(desk) == [PDF, PDF]


async def test_a_callback_without_its_document_gets_it_from_the_inbox_at_once(desk: House) -> None:
    await arrive(desk, told(), None)
    await desk.turn("fetch")
    listed(desk, entry(desk, 7, PDF))
    assert await sweep(desk) == 0
    assert await documents(desk) == [PDF]
    desk.now += 2 * GRACE
    assert await sweep(desk) == 0
    assert len(await desk.faxes()) == 1


async def test_a_callback_without_its_document_that_comes_with_it_after_all_is_the_same_fax(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.now += GRACE
    await sweep(desk)
    await arrive(desk, told(), None)
    await arrive(desk, told(), None)
    await arrive(desk, told())
    assert await documents(desk) == [PDF]
    (fax,) = await desk.faxes()
    assert (fax.arrival.uuid, fax.arrival.inbox_id) == ("u1", 7)


async def test_a_callback_without_its_document_is_not_taken_for_another_fax(desk: House) -> None:
    """It was for the second of two that look alike; the first one's callback comes late."""
    await arrive(desk, told("u2"), None)
    listed(desk, entry(desk, 7, PDF), entry(desk, 8, OTHER))
    await sweep(desk)
    await arrive(desk, told("u1"), PDF)
    for _ in range(8):
        desk.now += 900
        await sweep(desk)
    assert await documents(desk) == [PDF, OTHER]


async def test_of_two_callbacks_without_their_documents_none_is_waited_for_when_all_have_come(desk: House) -> None:
    await arrive(desk, told("u1"), None)
    await arrive(desk, told("u2"), None)
    listed(desk, entry(desk, 7, PDF))
    await sweep(desk)
    await arrive(desk, told("u2"), PDF)
    await arrive(desk, told("u1"), OTHER)
    assert await documents(desk) == [PDF, OTHER]
    assert {fax.state for fax in await desk.faxes()} == {InboundState.DISPATCHED}


async def test_a_callback_without_its_document_after_the_sweep_is_the_same_fax(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.now += GRACE
    await sweep(desk)
    await arrive(desk, told(), None)
    assert await documents(desk) == [PDF]
    assert len(await desk.faxes()) == 1
    assert await desk.turn("fetch") == 0


async def test_an_address_that_went_stale_is_taken_fresh_from_the_list(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.now += GRACE
    del desk.provider.documents["https://fax.to/in/7"]
    await sweep(desk)
    assert await documents(desk) == []
    fresh = desk.provider.inbox_entries[0]
    desk.provider.inbox_entries = [replace(fresh, arrival=replace(fresh.arrival, file_url="https://fax.to/new"))]
    desk.provider.documents["https://fax.to/new"] = PDF
    desk.now += 900
    await sweep(desk)
    assert await documents(desk) == [PDF]


async def test_a_document_that_cannot_be_fetched_does_not_hinder_the_others(desk: House) -> None:
    listed(desk, entry(desk, 7, b"<html>gone</html>"), entry(desk, 8, PDF), entry(desk, 9, OTHER))
    del desk.provider.documents["https://fax.to/in/9"]
    desk.now += GRACE
    assert await sweep(desk) == 3
    assert await documents(desk) == [PDF]


async def test_an_entry_without_a_time_is_fetched_and_compared(desk: House) -> None:
    await arrive(desk, told())
    desk.now += GRACE
    listed(desk, replace(entry(desk, 7, PDF), created_at=None), replace(entry(desk, 8, OTHER), created_at=None))
    await sweep(desk)
    assert await documents(desk) == [PDF, OTHER]


async def test_an_entry_without_a_time_may_be_each_fax_beside_one_with_a_time(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF), replace(entry(desk, 8, OTHER), created_at=None))
    await arrive(desk, told(), OTHER)
    desk.now += 2 * GRACE
    assert [await sweep(desk) for _ in range(2)] == [2, 0]
    assert await documents(desk) == [PDF, OTHER]


async def test_a_clock_of_the_provider_hours_away_costs_a_fetch_and_no_second_mail(desk: House) -> None:
    await arrive(desk, told())
    listed(desk, entry(desk, 7, PDF, at=desk.now - 5 * 3600))
    assert await sweep(desk) == 1
    assert await documents(desk) == [PDF]
    assert len(await desk.faxes()) == 1


@pytest.mark.parametrize("ahead", [3 * 3600.0, 365 * 86400.0])
async def test_a_fax_of_the_future_is_not_waited_for(desk: House, ahead: float) -> None:
    """No callback is late of one that is yet to come: that clock is wrong, and says nothing."""
    listed(desk, entry(desk, 7, PDF, at=desk.now + ahead), entry(desk, 8, OTHER, at=desk.now + ahead))
    await arrive(desk, told("u2"), OTHER)
    for _ in range(4):
        await sweep(desk)
        desk.now += 1800
    assert await documents(desk) == sorted([OTHER, PDF])


@pytest.mark.parametrize("by_callback", [True, False])
async def test_an_id_that_the_provider_gives_again_is_another_fax(desk: House, by_callback: bool) -> None:
    if by_callback:
        await arrive(desk, told("u2"), OTHER)
    listed(desk, entry(desk, 7, OTHER))
    for _ in range(4):
        desk.now += GRACE
        await sweep(desk)
    desk.now += 9 * 86400
    listed(desk, entry(desk, 7, OTHER))  # the same fax, at whatever time
    for _ in range(4):
        desk.now += GRACE
        await sweep(desk)
    assert await documents(desk) == [OTHER]
    listed(desk, entry(desk, 7, PDF, sender="+12025550177"))
    for _ in range(4):
        desk.now += GRACE
        await sweep(desk)
    assert await documents(desk) == sorted([OTHER, PDF])


async def test_an_entry_that_says_something_else_of_about_the_same_time_is_the_same_fax(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    at = desk.now
    desk.now += GRACE
    await sweep(desk)
    listed(desk, entry(desk, 7, OTHER, at=at + 3600, pages=9))
    for _ in range(4):
        desk.now += GRACE
        await sweep(desk)
    assert await documents(desk) == [PDF]


async def test_other_numbers_and_other_pages_are_other_faxes(desk: House) -> None:
    await arrive(desk, told())
    listed(
        desk, entry(desk, 7, b"%PDF a", pages=2), entry(desk, 8, b"%PDF- b", sender="+12025550198"),
        entry(desk, 9, b"%PDF- c", recipient="+12025550101"), entry(desk, 10, PDF),
    )  # fmt: skip
    desk.provider.documents["https://fax.to/in/7"] = b"%PDF- a"
    desk.now += 2 * GRACE
    assert await sweep(desk) == 3
    assert await documents(desk) == [b"%PDF- a", b"%PDF- b", b"%PDF- c", PDF]


# --- faxes that look alike --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("came", ["first", "second", "both", "none"])
@pytest.mark.parametrize("newest_first", [True, False])
async def test_of_two_that_look_alike_none_is_lost_whichever_callback_came(
    desk: House, came: str, newest_first: bool
) -> None:
    """Same caller, same number, same pages, half an hour apart: only the content tells them apart."""
    first = entry(desk, 7, PDF)
    if came in ("first", "both"):
        await arrive(desk, told("u1"), PDF)
    desk.now += GRACE
    second = entry(desk, 8, OTHER)
    if came in ("second", "both"):
        await arrive(desk, told("u2"), OTHER)
    desk.provider.inbox_entries = [second, first] if newest_first else [first, second]
    for _ in range(8):
        await sweep(desk)
        desk.now += 600
    assert await documents(desk) == [PDF, OTHER]
    assert {fax.arrival.inbox_id for fax in await desk.faxes()} == {7, 8}


@pytest.mark.parametrize("came", [0, 1])
@pytest.mark.parametrize("forms", [(DID, DID), ("12025550100", "2025550100")])
async def test_a_fax_of_which_no_pages_are_told_may_be_each_of_two_that_differ_in_them(
    desk: House, came: int, forms: tuple[str, str]
) -> None:
    listed(desk, *(entry(desk, n, (PDF, OTHER)[n], pages=n + 1, recipient=forms[n]) for n in (0, 1)))
    await arrive(desk, told(pages=None), (PDF, OTHER)[came])
    desk.now += 2 * GRACE
    await sweep(desk)
    assert await documents(desk) == [PDF, OTHER]


async def test_a_fax_of_which_no_pages_are_told_may_be_one_whose_document_is_late(desk: House) -> None:
    second = entry(desk, 8, OTHER, pages=2)
    listed(desk, second)
    desk.provider.documents.clear()
    desk.now += GRACE
    assert await sweep(desk) == 1
    await arrive(desk, told(pages=None), OTHER)
    listed(desk, entry(desk, 7, PDF), second)
    desk.now += 2 * GRACE
    await sweep(desk)
    desk.provider.documents[second.arrival.file_url] = OTHER
    desk.now += GRACE
    await sweep(desk)
    assert await documents(desk) == [PDF, OTHER]


async def test_a_fax_of_which_no_pages_are_told_is_the_only_one_of_the_list(desk: House) -> None:
    await arrive(desk, told(pages=None), PDF)
    listed(desk, replace(entry(desk, 7, PDF), sizes=(len(PDF), len(PDF))))
    desk.now += 2 * GRACE
    assert await sweep(desk) == 0
    assert desk.provider.fetched == []
    assert await documents(desk) == [PDF]


async def test_a_callback_whose_entry_is_not_listed_yet_is_not_taken_for_an_older_one(desk: House) -> None:
    older = entry(desk, 7, PDF)
    desk.now += GRACE + 60
    await arrive(desk, told("u2"), OTHER)
    listed(desk, older)
    await sweep(desk)
    listed(desk, older, entry(desk, 8, OTHER))
    for _ in range(8):
        desk.now += 900
        await sweep(desk)
    assert await documents(desk) == [PDF, OTHER]


async def test_an_older_entry_is_not_taken_for_a_fax_that_came_just_now(desk: House) -> None:
    older = entry(desk, 7, PDF)
    desk.now += 2 * GRACE
    await arrive(desk, told("u2"), OTHER)
    listed(desk, older)
    assert await sweep(desk) == 1
    listed(desk, older, entry(desk, 8, OTHER))
    desk.now += 2 * GRACE
    await sweep(desk)
    assert await documents(desk) == [PDF, OTHER]


@pytest.mark.parametrize("others", [[], [OTHER]])  # from the same caller, about the same time
@pytest.mark.parametrize("file_url", ["", "https://fax.to/gone"])
async def test_a_document_that_the_inbox_gives_out_only_after_it_was_given_up_is_mailed(
    file_url: str, others: list[bytes], desk: House
) -> None:
    at = desk.now
    await arrive(desk, told(file_url=file_url), None)
    for other in others:
        await arrive(desk, told("u2"), other)
    while InboundState.PENDING in {fax.state for fax in await desk.faxes()}:
        await desk.turn("fetch")
        desk.now += 6 * 3600
    assert await documents(desk) == sorted([b"", *others])
    listed(desk, entry(desk, 7, PDF, at=at))
    for _ in range(3):
        await sweep(desk)
    assert await documents(desk) == sorted([b"", PDF, *others])


async def test_a_callback_that_the_list_was_faster_than_is_that_fax_though_the_clock_was_set_between(
    desk: House,
) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.now -= 3 * 86400
    await sweep(desk)
    desk.now += 3 * 86400 + GRACE
    desk.clock_believed = False
    await arrive(desk, told())
    listed(desk, entry(desk, 7, PDF), entry(desk, 8, OTHER, at=desk.now))
    for _ in range(3):
        desk.now += GRACE
        await sweep(desk)
    assert await documents(desk) == [PDF, OTHER]


async def test_a_listed_fax_that_was_mailed_without_its_document_is_asked_for_again_and_told_once(desk: House) -> None:
    listed(desk, entry(desk, 7, PDF))
    desk.provider.fetch_error = away()
    desk.now += GRACE
    await sweep(desk)
    while (await desk.faxes())[0].state is InboundState.PENDING:
        desk.now += 6 * 3600
        await desk.turn("fetch")
    (bare,) = await desk.mails(MailKind.INBOUND)
    await desk.database.write(lambda tx: outbox.sent(tx, bare.id, desk.now, "250"))
    for _ in range(8):
        desk.now += 900
        await sweep(desk)
    assert [mail.id for mail in await desk.mails(MailKind.INBOUND)] == [bare.id]
    asked = len(desk.provider.fetched)
    desk.provider.fetch_error = None
    for _ in range(4):
        desk.now += 900
        await sweep(desk)
    assert len(desk.provider.fetched) == asked + 1
    (whole,) = await desk.mails(MailKind.INBOUND)
    assert (whole.cause, await documents(desk)) == (bare.cause, [PDF])
    assert whole.message_id != bare.message_id  # or mail systems take it for the one they had


async def test_a_fax_without_its_document_that_may_be_one_of_those_that_are_here_says_so(desk: House) -> None:
    await arrive(desk, told("u1"))
    await arrive(desk, told("u2"), OTHER)
    listed(desk, entry(desk, 7, PDF), entry(desk, 8, PDF, sender="+12025550177"))
    desk.provider.fetch_error = away()
    desk.now += GRACE
    assert await desk.inbound.sweep() == 2
    while any(fax.state is InboundState.PENDING for fax in await desk.faxes()):
        await desk.turn("fetch")
        desk.now += 900
    first, _, listed_one, strange = sorted(await desk.mails(MailKind.INBOUND), key=lambda mail: mail.created_at)
    assert listed_one.facts["note"].endswith(
        f"It may be the fax {first.cause}, which was mailed already: its details are the same."
    )
    assert strange.facts["note"] == "The last trouble was: the provider is away."


async def test_an_entry_of_another_size_is_another_fax_though_that_ones_own_entry_is_never_listed(desk: House) -> None:
    await arrive(desk, told(), PDF)
    missed = replace(entry(desk, 8, OTHER + b" longer"), sizes=(len(OTHER) + 5, len(OTHER) + 9))
    desk.now += 2 * GRACE
    listed(desk, missed)
    await sweep(desk)
    assert await documents(desk) == [PDF, OTHER + b" longer"]


async def test_an_entry_whose_size_is_told_wrongly_costs_a_fetch_and_no_second_mail(desk: House) -> None:
    await arrive(desk, told(), PDF)
    listed(desk, replace(entry(desk, 7, PDF), sizes=(900, 1000)))
    desk.now += 2 * GRACE
    await sweep(desk)
    assert (await documents(desk), desk.provider.fetched) == ([PDF], ["https://fax.to/in/7"])
    (fax,) = await desk.faxes()
    assert (fax.arrival.uuid, fax.arrival.inbox_id) == ("u1", 7)


async def test_a_callback_with_a_tiff_is_the_entry_whose_pdf_has_another_size(desk: House) -> None:
    await arrive(desk, told(), TIFF, "image/tiff")
    listed(desk, replace(entry(desk, 7, PDF), sizes=(900, 1000)))
    desk.now += 2 * GRACE
    await sweep(desk)
    assert await documents(desk) == [TIFF]


@pytest.mark.parametrize("first", ["callback", "list"])
async def test_a_number_told_without_its_country_is_one_with_it_though_no_route_is_its_own(
    first: str, house: House
) -> None:
    await house.route("*", "desk@example.org")
    await house.inbound.sweep()
    if first == "callback":
        await arrive(house, told(recipient=DID[2:]))
    listed(house, entry(house, 7, PDF))
    house.now += 2 * GRACE
    await sweep(house)
    if first == "list":
        await arrive(house, told(recipient=DID[2:]))
    assert await documents(house) == [PDF]


async def test_a_steady_stream_from_one_caller_does_not_keep_a_missed_fax_away(desk: House) -> None:
    missed = entry(desk, 100, b"%PDF- missed")
    entries = [missed]
    for n in range(12):
        desk.now += 600
        data = b"%PDF- " + str(n).encode()
        entries.append(entry(desk, 101 + n, data))
        await arrive(desk, told(f"u{n}"), data)
        listed(desk, *entries)
        await sweep(desk)
    assert (await documents(desk)).count(b"%PDF- missed") == 1
    for _ in range(8):
        desk.now += 900
        await sweep(desk)
    assert len(await documents(desk)) == 13


async def test_killed_in_the_middle_of_a_sweep_nothing_is_lost(desk: House) -> None:
    first, second = entry(desk, 7, PDF), entry(desk, 8, OTHER)
    await arrive(desk, told("u1"), PDF)
    listed(desk, first, second)
    desk.now += 2 * GRACE
    await desk.inbound.sweep()  # both are to be compared, and the process ends
    reborn = await desk.crash()
    await reborn.inbound.recover()
    for _ in range(3):
        await sweep(reborn)
        reborn.now += 900
    assert await documents(reborn) == [PDF, OTHER]
    await reborn.close()


@pytest.mark.parametrize("away_for", [0, 5000])
@pytest.mark.parametrize("block", range(5))
async def test_whatever_happens_in_whatever_order_every_fax_is_mailed_once(
    build: Build, block: int, away_for: int
) -> None:
    """Faxes that look alike; callbacks dropped, late, doubled or without document; a list that lags, or cannot be read until some are
    mailed without their documents.
    """
    settings = InboundSettings(retry_max=300.0, give_up_after=1800.0) if away_for else InboundSettings()
    for seed in range(block, block + 5 * times(10, 40), 5):
        dice = random.Random(seed)
        house = await build(provider=ScriptedProvider(), inbound=settings)
        await house.inbound.sweep()
        began, faxes = house.now, [b"%PDF- fax " + str(n).encode() for n in range(dice.randint(2, 5))]
        sent = [began + dice.randint(0, 5400) for _ in faxes]
        happenings = [(began + wait, "sweep", 0) for wait in range(300, 20_000, 300 if away_for else 900)]
        for n, at in enumerate(sent):
            happenings.append((at + dice.choice([0, 0, 60, 1700]), "list", n))
            for _ in range(dice.choice([0, 1, 1, 2])):
                happenings.append(
                    (at + dice.choice([1, 5, 1000, 2500, 20_000]), dice.choice(["call", "call", "bare"]), n)
                )
        entries: list[InboxEntry] = []
        for at, what, n in sorted(happenings):
            house.now = at
            if what == "list":
                entries.append(entry(house, n + 1, faxes[n], at=sent[n]))
                listed(house, *entries)
            elif what == "sweep":
                await (sweep(house) if at > began + away_for else house.turn("fetch"))
            else:
                await arrive(house, told(f"u{n}"), faxes[n] if what == "call" else None)
        found = await documents(house)
        assert list(filter(None, found)) == sorted(faxes), f"seed {seed}"
        assert away_for or all(found)
        await house.close()


# --- the first run ----------------------------------------------------------------------------------------------------


async def test_what_was_there_before_the_first_start_is_known_and_not_mailed(house: House) -> None:
    listed(house, entry(house, 5, PDF, at=house.now - 86400), entry(house, 6, OTHER, at=house.now - 60))
    assert await sweep(house) == 0
    house.now += 10 * GRACE
    assert await sweep(house) == 0
    assert await mailed(house) == []
    assert await house.faxes() == []
    listed(house, *house.provider.inbox_entries[::-1], entry(house, 7, PDF))
    house.now += GRACE
    assert await sweep(house) == 1


async def test_what_was_there_before_is_mailed_where_that_is_wanted(build: Build) -> None:
    house = await build(inbound=InboundSettings(sweep=SweepSettings(baseline=False)))
    listed(house, entry(house, 5, PDF, at=house.now - 86400))
    assert await sweep(house) == 1
    assert await documents(house) == [PDF]


async def test_what_comes_before_a_first_sweep_that_had_to_wait_is_not_old(house: House) -> None:
    """The key was wrong for a day: faxes of that day are new."""
    await house.inbound._sweep._mark_start()
    listed(house, entry(house, 5, PDF, at=house.now - 10))
    house.now += 86400
    listed(house, *house.provider.inbox_entries, entry(house, 6, OTHER, at=house.now - 3600))
    await house.inbound._sweep._mark_start()
    assert await sweep(house) == 1
    assert await documents(house) == [OTHER]


async def test_a_callback_before_the_first_sweep_is_not_taken_for_old(house: House) -> None:
    await arrive(house, told())
    listed(house, entry(house, 7, PDF))
    for _ in range(4):
        await sweep(house)
        house.now += GRACE
    assert await documents(house) == [PDF]
    (fax,) = await house.faxes()
    assert fax.arrival.inbox_id == 7


async def test_a_first_sweep_that_could_not_be_ended_is_the_first_one_again(house: House) -> None:
    listed(house, entry(house, 5, PDF, at=house.now - 86400))
    real = house.provider.inbox

    async def inbox(page: int, limit: int) -> InboxPage:
        raise away()

    house.provider.inbox = inbox  # type: ignore[method-assign]
    with pytest.raises(TryLater):
        await house.inbound.sweep()
    assert await house.database.read(lambda tx: get_meta(tx, "inbox_baseline_at")) is None
    house.provider.inbox = real  # type: ignore[method-assign]
    await sweep(house)
    assert await mailed(house) == []


# --- reading the list -------------------------------------------------------------------------------------------------


async def test_a_list_from_the_oldest_to_the_newest_is_read_to_its_end(desk: House) -> None:
    old = [entry(desk, n, b"%PDF- old " + str(n).encode(), sender=f"+120255502{n:02}") for n in range(10)]
    desk.provider.inbox_entries = old
    desk.now += GRACE
    assert await sweep(desk) == 10
    desk.provider.inbox_entries = [*old, entry(desk, 10, PDF)]
    desk.now += GRACE
    assert await sweep(desk) == 1


async def test_a_list_from_the_newest_is_read_only_as_far_as_there_is_news(desk: House) -> None:
    desk.provider.inbox_entries = [
        entry(desk, n, b"%PDF- " + str(n).encode(), sender=f"+120255502{n:02}") for n in range(10, 0, -1)
    ]
    desk.now += GRACE
    assert await sweep(desk) == 10
    pages: list[int] = []
    real = desk.provider.inbox

    async def inbox(page: int, limit: int) -> InboxPage:
        pages.append(page)
        return await real(page, limit)

    desk.provider.inbox = inbox  # type: ignore[method-assign]
    assert await sweep(desk) == 0
    assert pages == [1]
    await sweep(desk)
    pages.clear()
    await sweep(desk)  # now and then to its end, for what was listed late
    assert pages == [1, 2, 3, 4, 5]


async def test_what_waits_for_a_decision_is_not_forgotten_behind_what_is_known(desk: House) -> None:
    waiting = entry(desk, 1, PDF)
    known = [entry(desk, n, b"%PDF- " + str(n).encode(), sender=f"+120255502{n:02}") for n in range(2, 8)]
    for one in known:
        await arrive(desk, told(f"u{one.arrival.inbox_id}", sender=one.arrival.sender), b"%PDF- x")
    listed(desk, waiting, *(replace(one, created_at=desk.now - 3 * GRACE) for one in known))
    desk.now += GRACE - 1
    await sweep(desk)
    desk.now += 2 * GRACE
    await sweep(desk)
    assert PDF in await documents(desk)


async def test_a_list_that_does_not_page_or_never_ends_is_read_within_bounds(desk: House) -> None:
    same = entry(desk, 1, PDF)
    pages: list[int] = []

    async def no_pages(page: int, limit: int) -> InboxPage:
        pages.append(page)
        return InboxPage((same,), last=False)

    desk.provider.inbox = no_pages  # type: ignore[method-assign]
    await desk.inbound.sweep()
    assert pages == [1, 2]
    pages.clear()

    async def endless(page: int, limit: int) -> InboxPage:
        pages.append(page)
        return InboxPage((entry(desk, page + 10, b"%PDF- x"),), last=False)

    desk.provider.inbox = endless  # type: ignore[method-assign]
    await desk.inbound.sweep()
    assert len(pages) == 300


# --- running ----------------------------------------------------------------------------------------------------------


def quick(**more: float) -> InboundSettings:
    return InboundSettings(
        retry_after=0.01, sweep=SweepSettings(**{"every": 0.02, "pause": 0.01, "grace": 0.0, **more})
    )  # type: ignore[arg-type]


async def until(condition: object) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_running_it_sweeps_now_and_then(build: Build) -> None:
    house = await build(inbound=quick())
    house.inbound.start()

    async def begun() -> bool:
        return await house.database.read(lambda tx: get_meta(tx, "inbox_baseline_at")) is not None

    await until(begun)
    house.now += 100
    listed(house, entry(house, 7, PDF))
    house.now += 1

    async def came() -> bool:
        return await documents(house) == [PDF]

    await until(came)
    await house.inbound.stop(5.0)


async def test_a_callback_without_its_document_brings_the_sweep_forward(build: Build) -> None:
    house = await build(inbound=quick(every=3600.0, pause=0.01))
    house.inbound.start()

    async def swept() -> bool:
        return await house.database.read(lambda tx: get_meta(tx, "inbox_baseline_at")) is not None

    await until(swept)
    listed(house, entry(house, 7, PDF))
    await arrive(house, told(), None)

    async def came() -> bool:
        return await documents(house) == [PDF]

    await until(came)
    await house.inbound.stop(5.0)


@pytest.mark.parametrize("error", [away(), KeyRefused("the key is refused"), ValueError("a bug")])
async def test_trouble_does_not_end_the_sweeping(build: Build, error: Exception) -> None:
    house = await build(inbound=quick())
    real = house.provider.inbox
    failed = 0

    async def inbox(page: int, limit: int) -> InboxPage:
        nonlocal failed
        failed += 1
        raise error

    house.provider.inbox = inbox  # type: ignore[method-assign]
    house.inbound.start()

    async def tried() -> bool:
        return failed > 0

    await until(tried)
    assert house.gate.is_open is not isinstance(error, KeyRefused)
    house.provider.inbox = real  # type: ignore[method-assign]
    house.gate.succeeded()
    house.now += 100
    listed(house, entry(house, 7, PDF))

    async def came() -> bool:
        house.gate.succeeded()
        return await documents(house) == [PDF]

    await until(came)
    await house.inbound.stop(5.0)


async def test_a_full_disk_of_ours_is_no_trouble_of_the_provider(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await build(inbound=quick())
    tries = 0

    async def write(_function: object) -> None:
        nonlocal tries
        tries += 1
        raise NoSpace("the gateway's disk is full")

    async def tried_again() -> bool:
        return tries > 1

    monkeypatch.setattr(house.database, "write", write)
    house.inbound.start()
    await until(tried_again)
    house.now += 1000
    assert (house.gate.failing_for, house.gate.failing_why) == (0, "")
    await house.inbound.stop(5.0)


async def test_a_list_that_was_read_opens_no_gate(build: Build) -> None:
    house = await build(inbound=quick(every=60.0))
    real = house.provider.inbox
    asked, answers = asyncio.Event(), asyncio.Event()

    async def inbox(page: int, limit: int) -> InboxPage:
        asked.set()
        await answers.wait()
        return await real(page, limit)

    house.provider.inbox = inbox  # type: ignore[method-assign]
    house.inbound.start()
    await asked.wait()
    house.gate.shut("the key is refused")  # by a send, meanwhile
    house.gate.failed(TryLater("the provider is away"))
    house.now += 5
    assert house.gate.failing_for == 5
    answers.set()

    async def heard() -> bool:
        return house.gate.failing_for == 0

    await until(heard)
    assert (house.gate.is_shut, house.gate.asks(4)) == (True, 0)
    await house.inbound.stop(5.0)


async def test_a_shut_gate_sweeps_nothing(build: Build) -> None:
    house = await build(inbound=quick())
    house.gate.shut("the key is refused")
    listed(house, entry(house, 7, PDF))
    house.inbound.start()
    await asyncio.sleep(0.1)
    await house.inbound.stop(5.0)
    assert await house.database.read(lambda tx: get_meta(tx, "inbox_baseline_at")) is None
    assert [fax for fax in await house.faxes() if fax.state is InboundState.PENDING] == []


def test_the_caller_and_the_number_differ() -> None:
    assert CALLER != DID


# --- many -------------------------------------------------------------------------------------------------------------


async def test_many_faxes_of_one_caller_are_read_once_for_a_comparison(
    desk: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them anew for each entry kept the writer for minutes with a thousand faxes."""
    entries = []
    for n in range(60):
        await arrive(desk, told(f"u{n}"), PDF + b"%d" % n)
        entries.append(entry(desk, n, PDF + b"%d" % n))
    listed(desk, *entries)
    desk.now += 2 * GRACE
    asked = 0

    def counted(*args: Any) -> list[InboundFax]:
        nonlocal asked
        asked += 1
        return alike(*args)

    alike = inbound.alike
    monkeypatch.setattr(inbound, "alike", counted)
    await desk.inbound.sweep()
    assert asked == 1


async def test_a_fax_that_came_while_the_clock_was_wrong_is_not_mailed_again(desk: House) -> None:
    right = desk.now
    listed(desk, entry(desk, 7, PDF))
    desk.now -= 20 * 365 * 86400
    await arrive(desk, told("u1"), PDF)
    desk.now = right + 2 * GRACE
    desk.clock_believed = False
    for _ in range(3):
        await sweep(desk)
        desk.now += GRACE
    assert await documents(desk) == [PDF]


async def test_the_same_form_again_whose_callback_was_lost_is_mailed_though_the_first_was_never_listed(
    desk: House,
) -> None:
    await arrive(desk, told("u1"), PDF)
    desk.now += 40 * 86400
    listed(desk, entry(desk, 7, PDF))
    for _ in range(3):
        await sweep(desk)
        desk.now += GRACE
    assert await documents(desk) == [PDF, PDF]


async def test_of_two_alike_that_callbacks_brought_each_is_mailed_once_though_the_list_is_read_days_later(
    desk: House,
) -> None:
    for name, data in (("u1", PDF), ("u2", OTHER)):
        await arrive(desk, told(name), data)
        desk.now += 60
    listed(desk, entry(desk, 7, PDF), entry(desk, 8, OTHER))
    desk.now += 3 * 86400
    for _ in range(3):
        await sweep(desk)
        desk.now += GRACE
    assert len(desk.provider.fetched) == 2
    assert await documents(desk) == sorted([PDF, OTHER])
