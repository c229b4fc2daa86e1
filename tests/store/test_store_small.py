"""The small tables: routes, users, outgoing mails, and what has served its time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import TryLater
from gateway.model import (
    FaxJob,
    FaxNumber,
    JobState,
    MailKind,
    MailState,
    OutgoingMail,
    Route,
    RouteKind,
    Submission,
    User,
)
from gateway.store import files, jobs, outbox, routes, uploads, users, waiting
from gateway.store.db import Database
from gateway.store.lock import StateLock

SUBMISSION = Submission("S1", 1000.0, "mail/S1", 10, "a@example.org", "ip:127.0.0.1", "a@example.org", "c")


def job(id_: str = "S1-1") -> FaxJob:
    number = FaxNumber("+12025550123")
    return FaxJob(id_, "S1", f"{number}@fax.local", number, JobState.ACCEPTED, 1000.0, 1000.0)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "db.sqlite")
    await database.open()
    yield database
    await database.close()


# --- routes -----------------------------------------------------------------------------------------------------------


async def test_a_route_is_put_listed_replaced_and_removed(database: Database) -> None:
    desk = Route(RouteKind.DID, "+12025550100", ("desk@example.org",), note="x")
    ann = Route(RouteKind.SENDER, "ann@example.org", allow=False, tsi="A", region="DE", results_to="b@example.org")
    for route in (desk, ann):
        await database.write(lambda tx, route=route: routes.put(tx, route, 5.0))  # type: ignore[misc]
    stored = await database.read(routes.listing)
    assert [(r.kind, r.match, r.mailboxes, r.allow, r.tsi, r.region, r.results_to, r.note) for r in stored] == [
        ("did", "+12025550100", ("desk@example.org",), True, "", "", "", "x"),
        ("sender", "ann@example.org", (), False, "A", "DE", "b@example.org", ""),
    ]
    assert [r.match for r in await database.read(lambda tx: routes.listing(tx, RouteKind.SENDER))] == [
        "ann@example.org"
    ]
    await database.write(lambda tx: routes.put(tx, Route(RouteKind.DID, "+12025550100", ("all@example.org",)), 6.0))
    found = await database.read(lambda tx: routes.for_did(tx, "12025550100"))
    assert found is not None
    assert (found.mailboxes, found.created_at) == (("all@example.org",), 5.0)
    assert await database.write(lambda tx: routes.remove(tx, RouteKind.DID, "+12025550100"))
    assert not await database.write(lambda tx: routes.remove(tx, RouteKind.DID, "+12025550100"))
    assert await database.read(lambda tx: routes.for_did(tx, "12025550100")) is None


async def test_a_numbers_own_route_goes_before_the_one_for_all(database: Database) -> None:
    for match, box in (("*", "all@example.org"), ("+12025550100", "desk@example.org")):
        route = Route(RouteKind.DID, match, (box,))
        await database.write(lambda tx, route=route: routes.put(tx, route, 5.0))  # type: ignore[misc]
    for digits, box in (
        ("12025550100", "desk@example.org"),
        ("12025550101", "all@example.org"),
        ("", "all@example.org"),
    ):
        found = await database.read(lambda tx, digits=digits: routes.for_did(tx, digits))  # type: ignore[misc]
        assert found is not None
        assert found.mailboxes == (box,)


# --- users ------------------------------------------------------------------------------------------------------------


async def test_a_user_is_put_listed_and_removed_and_a_disabled_one_has_no_password(database: Database) -> None:
    await database.write(lambda tx: users.put(tx, "ann", "hash one", 5.0))
    await database.write(lambda tx: users.put(tx, "ann", "hash two", 6.0))
    assert await database.read(lambda tx: users.password_hash(tx, "ann")) == "hash two"
    assert await database.read(users.listing) == [User("ann", 5.0)]
    await database.write(lambda tx: tx.execute("UPDATE user SET disabled = 1").rowcount)
    assert await database.read(lambda tx: users.password_hash(tx, "ann")) is None
    assert await database.write(lambda tx: users.remove(tx, "ann"))
    assert not await database.write(lambda tx: users.remove(tx, "ann"))


# --- outgoing mails ---------------------------------------------------------------------------------------------------


def mail(n: int, kind: MailKind = MailKind.FAILED, file: str = "") -> OutgoingMail:
    return OutgoingMail(
        f"M{n}", kind, f"S{n}-1", "a@example.org", "", f"<{n}@x>", 10.0, {"n": n}, file, next_at=float(n)
    )


async def test_mails_come_in_the_order_of_their_times_and_what_is_sent_or_dead_stays_so(database: Database) -> None:
    for n in (3, 1, 2):
        assert await database.write(lambda tx, n=n: outbox.add(tx, mail(n)))  # type: ignore[misc]
    due = await database.read(lambda tx: outbox.due(tx, 2.0, 10))
    assert [one.id for one in due] == ["M1", "M2"]
    assert due[0] == mail(1)
    assert await database.read(outbox.next_due) == 1.0
    await database.write(lambda tx: outbox.sent(tx, "M1", 20.0, "250 ok"))
    assert await database.write(lambda tx: outbox.dead(tx, "M2", 20.0, "550 no"))
    assert not await database.write(lambda tx: outbox.dead(tx, "M1", 21.0, "550 no"))
    await database.write(lambda tx: outbox.sent(tx, "M2", 21.0, "250 ok"))
    await database.write(lambda tx: outbox.deferred(tx, "M2", 21.0, "later"))
    assert await database.write(lambda tx: outbox.begin_try(tx, mail(2), 30.0)) == 0
    states = {}
    for n in (1, 2, 3):
        one = await database.read(lambda tx, n=n: outbox.get(tx, f"M{n}"))  # type: ignore[misc]
        assert one is not None
        states[n] = (one.state, one.last_error)
    assert states == {
        1: (MailState.SENT, "250 ok"), 2: (MailState.DEAD, "550 no"), 3: (MailState.QUEUED, ""),
    }  # fmt: skip
    assert await database.read(outbox.counts) == {"queued": 1, "dead": 1}
    assert await database.read(lambda tx: outbox.get(tx, "M9")) is None


async def test_what_was_given_up_counts_until_it_is_made_good_or_told_and_is_forgotten_in_time(
    database: Database,
) -> None:
    await database.write(lambda tx: [outbox.add(tx, mail(n, file="inbound/1" if n == 1 else "")) for n in (1, 2, 3)])
    await database.write(lambda tx: [outbox.dead(tx, f"M{n}", 20.0, "550") for n in (1, 2, 3)])
    for n, cause, left in (
        (4, outbox.death(mail(1)), 3),
        (5, outbox.death(mail(2)), 2),
        (6, "S1-1", 1),
    ):  # M1 has a document
        later = replace(mail(n, MailKind.OPERATOR), cause=cause, created_at=11.0)
        before = await database.read(outbox.counts)
        await database.write(lambda tx, later=later: outbox.add(tx, later))  # type: ignore[misc]
        assert (await database.read(outbox.counts))["dead"] == before["dead"]
        await database.write(lambda tx, later=later: outbox.sent(tx, later.id, 21.0, "250"))  # type: ignore[misc]
        assert (await database.read(outbox.counts))["dead"] == left
    assert await database.write(lambda tx: outbox.forget(tx, 30.0)) == 5
    assert await database.read(outbox.counts) == {"queued": 0, "dead": 1}
    assert await database.read(lambda tx: outbox.get(tx, "M1"))


async def test_only_what_was_sent_long_ago_is_forgotten(database: Database) -> None:
    for n, kind in enumerate((MailKind.FAILED, MailKind.INBOUND, MailKind.FAILED, MailKind.FAILED)):
        await database.write(lambda tx, n=n, kind=kind: outbox.add(tx, mail(n, kind, file=f"inbound/{n}")))  # type: ignore[misc]
    await database.write(lambda tx: [outbox.sent(tx, f"M{n}", 20.0 + n, "250") for n in (0, 1)])
    await database.write(lambda tx: outbox.dead(tx, "M2", 20.0, "550"))
    assert await database.write(lambda tx: outbox.forget(tx, 20.0)) == 0
    assert await database.write(lambda tx: outbox.forget(tx, 21.0)) == 1
    assert set(await database.read(files.named)) == {"inbound/1", "inbound/2", "inbound/3"}


# --- waiting ----------------------------------------------------------------------------------------------------------


async def test_a_wait_is_told_once_and_only_of_what_was_not_sent(database: Database) -> None:
    await database.write(lambda tx: jobs.add(tx, SUBMISSION, [job(), job("S1-2")], "key"))
    assert await database.read(waiting.oldest_untold) == 1000.0
    assert await database.read(lambda tx: waiting.overdue(tx, 1000.0, 5)) == []
    assert [one.id for one in await database.read(lambda tx: waiting.overdue(tx, 1001.0, 5))] == ["S1-1", "S1-2"]
    assert await database.write(lambda tx: waiting.told(tx, job(), 1500.0))
    assert not await database.write(lambda tx: waiting.told(tx, job(), 1600.0))
    await database.write(lambda tx: jobs.change(tx, job("S1-2"), JobState.FAILED, 1500.0, "x"))
    assert await database.read(waiting.oldest_untold) is None


async def test_a_note_on_a_fax_that_is_not_there_is_nothing(database: Database) -> None:
    await database.write(lambda tx: jobs.note(tx, "S9-1", 1.0, "x"))
    assert await database.read(lambda tx: jobs.events(tx, "S9-1")) == []
    assert await database.read(lambda tx: uploads.begun(tx, ["S9-1"])) == {}


# --- one daemon a directory -------------------------------------------------------------------------------------------


def test_a_directory_has_one_holder_at_a_time(tmp_path: Path) -> None:
    with StateLock(tmp_path / "new"):
        second = StateLock(tmp_path / "new")
        with pytest.raises(TryLater, match=r"process [0-9]+"):
            second.acquire()
        second.release()
    with second:
        assert (tmp_path / "new" / "lock").stat().st_mode & 0o777 == 0o600
