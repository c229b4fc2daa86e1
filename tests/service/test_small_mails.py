"""A small mail is kept in the database: durable with its row, made into pages, shown, set aside and forgotten from there."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import threading
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gateway.errors import NoSpace, TryLater
from gateway.mail import parse
from gateway.model import MailKind, Route, RouteKind
from gateway.store import bodies, files, jobs, retention, routes
from gateway.store.db import Database

from .conftest import Build
from .house import LETTER, PEER, House

SMALL = 1000


@pytest.fixture
async def house(build: Build) -> House:
    return await build(small_mail=SMALL)


def letter(size: int) -> bytes:
    return LETTER + b"x" * (size - len(LETTER))


async def test_it_is_on_disk_with_its_row_and_in_no_file(house: House) -> None:
    queue_id = await house.submit()
    assert house.on_disk("SELECT submission, content FROM mail_body") == [(queue_id, LETTER)]
    assert (await house.submission(queue_id)).mail_file == bodies.HERE
    assert house.files("mail") == house.files("tmp") == []
    assert await house.database.read(files.named) == {}
    assert house.workshop.calls == []  # it was looked at where it came in


@pytest.mark.parametrize(("count", "is_there"), [(5, True), (6, False)])
async def test_one_for_many_is_written_outside_of_the_event_loop(
    house: House, monkeypatch: pytest.MonkeyPatch, count: int, is_there: bool
) -> None:
    """A job is two rows; two hundred mails of a hundred jobs that are committed together would hold the loop for long."""
    threads: list[threading.Thread] = []
    real = jobs.add
    monkeypatch.setattr(jobs, "add", lambda *what: (threads.append(threading.current_thread()), real(*what))[1])
    queue_id = await house.submit(*(f"+1202555{n:04}" for n in range(count)))
    assert [each is threading.main_thread() for each in threads] == [is_there]
    assert [job.submission for job in await house.jobs()] == [queue_id] * count


@pytest.mark.parametrize(("size", "where"), [(SMALL, bodies.HERE), (SMALL + 1, "mail/")])
async def test_one_byte_more_and_it_is_a_file(house: House, size: int, where: str) -> None:
    queue_id = await house.submit(mail=letter(size))
    submission = await house.submission(queue_id)
    assert submission.mail_file.startswith(where)
    assert submission.size == size
    if where != bodies.HERE:
        assert house.spool.path(submission.mail_file).read_bytes() == letter(size)
    assert house.workshop.calls == []  # a file too is looked at where it came in, while it is simple


async def test_what_is_not_simple_is_read_by_the_reader_and_kept_all_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parse, "summary_of_simple", lambda _mail, **_asked: None)
    queue_id = await house.submit()
    assert house.workshop.calls == ["inspect"]
    assert house.on_disk("SELECT submission FROM mail_body") == [(queue_id,)]
    assert house.files("mail") == house.files("tmp") == []


async def test_it_becomes_a_fax(house: House) -> None:
    await house.submit()
    await house.turn("prepare")
    assert await house.states() == ["prepared"]
    assert house.files("tmp") == []


async def test_its_row_is_lost(house: House) -> None:
    queue_id = await house.submit()
    await house.database.write(lambda tx: bodies.forget(tx, queue_id))
    await house.turn("prepare")
    (mail,) = await house.mails()
    assert "lost the file" in mail.facts["text"]


async def test_set_aside_it_is_a_file_that_a_person_can_look_at(house: House) -> None:
    queue_id = await house.submit()
    for _ in range(4):
        house.workshop.faults.append({"failed": "it crashed"})
        await house.turn("prepare")
        house.now = (await house.jobs())[0].next_at
    assert await house.states() == ["failed"]
    submission = await house.submission(queue_id)
    assert house.spool.path(submission.mail_file).read_bytes() == LETTER
    assert house.on_disk("SELECT * FROM mail_body") == []
    assert any(submission.mail_file in str(mail.facts) for mail in await house.mails())
    assert len(await house.mails(MailKind.FAILED)) == 1
    assert set(await house.database.read(files.named)) == {submission.mail_file}


async def test_it_goes_with_what_has_served_its_time(house: House) -> None:
    queue_id = await house.submit()
    (job,) = await house.jobs()
    await house.outbound.settle.cancel(job, silent=True)
    assert await house.database.write(lambda tx: retention.forget_documents(tx, house.now + 1)) == []
    assert house.on_disk("SELECT mail_file FROM submission") == [("",)]
    assert house.on_disk("SELECT * FROM mail_body") == []
    assert await house.database.write(lambda tx: retention.forget_history(tx, house.now + 1)) == 1
    assert await house.database.read(lambda tx: jobs.get_submission(tx, queue_id)) is None


async def test_what_is_not_stored_leaves_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise NoSpace("the gateway's disk is full")

    monkeypatch.setattr(bodies, "put", full)
    with pytest.raises(NoSpace):
        await house.submit()
    assert house.on_disk("SELECT * FROM submission") == house.on_disk("SELECT * FROM mail_body") == []


async def test_sent_again_unread_it_is_stored_once(house: House) -> None:
    assert await house.submit() == await house.submit()
    assert len(house.on_disk("SELECT * FROM mail_body")) == 1


# --- what else the quick way needs ------------------------------------------------------------------------------------


def simple(**changed: int) -> bytes:
    counts = {"fields": 1, "dashes": 0, "tags": 0, "text": 200, "file": 0, **changed}
    text = (b"-" * counts["dashes"] + b"<" * counts["tags"]).ljust(counts["text"], b"x")
    file = base64.encodebytes(bytes(counts["file"] * 57 // 78)).replace(b"\n", b"\r\n")
    return (
        b"X-A: 1\r\n" * counts["fields"] + b"Content-Type: multipart/mixed; boundary=limit\r\n\r\n--limit\r\n\r\n" + text
        + b"\r\n--limit\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + file
        + b"--limit--\r\n"
    )  # fmt: skip


@pytest.mark.parametrize("changed", [{}, {"file": 1_000_000}, {"text": 200_000}])
def test_a_simple_mail_is_read_as_any(tmp_path: Path, changed: dict[str, int]) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(simple(**changed))
    found = parse.summary_of_simple(path.read_bytes())
    assert found is not None
    assert asdict(found) == parse.inspect(str(path))


@pytest.mark.parametrize(
    "changed", [{"fields": 5000}, {"dashes": 5000}, {"tags": 5000}, {"text": 300_000}, {"file": 3_000_000}]
)
def test_a_mail_that_could_take_long_to_read_is_not_simple(changed: dict[str, int]) -> None:
    assert parse.summary_of_simple(simple(**changed)) is None


def encoded(text: bytes, kind: bytes = b"text/html") -> bytes:
    return (
        b"Content-Type: " + kind + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(text).replace(b"\n", b"\r\n")
    )  # fmt: skip


def parts(*each: bytes) -> bytes:
    inner = b"".join(b"--x\r\n" + part + b"\r\n" for part in each)
    return b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + inner + b"--x--\r\n"


BASE64 = b"Content-Transfer-Encoding: base64\r\n\r\n"


@pytest.mark.parametrize(
    "mail",
    [
        pytest.param(parts(*[b"a:\r\n" * 20_000 + b"\r\nhello"] * 19), id="fields"),
        pytest.param(parts(*[b"a:\r\n" * 100 + b"\r\nhello"] * 150), id="fields of many parts"),
        pytest.param(parts(*[b"X: y\r\n" * 1000 + b" " + b"z" * 80_000 + b"\r\n\r\nhello"] * 19), id="long fields"),
        pytest.param(encoded(b"<p>fax" * 20_000), id="tags"),
        pytest.param(encoded(b"&amp;" * 30_000), id="entities"),
        pytest.param(encoded(b"cid:" + b"%41" * 50_000), id="escapes"),
        pytest.param(encoded(b"> a\n" * 40_000, b"text/plain; format=flowed"), id="lines"),
        pytest.param(BASE64 + b"AAAA" + b"\r\n" * 100_000 + b"AAAA", id="lines of base64"),
        pytest.param(
            parts(*[b"Content-Type: application/pdf\r\n" + BASE64 + b"AA==\r\n" * 1500] * 150), id="lines of files"
        ),
        pytest.param(encoded(b"x" * 1000, b"application/ms-tnef"), id="a mail that is wrapped"),
        pytest.param(
            parts(
                b"Content-Location: p.png\r\nContent-Type: image/png\r\n\r\nx",
                b"Content-Location: http://x.example/\r\nContent-Type: text/html\r\n\r\n" + b"src=a " * 40_000,
            ).replace(b"mixed", b"related"),
            id="addresses on a web page",
        ),
    ],
)
def test_nor_is_one_that_was_made_to_take_long(mail: bytes) -> None:
    """Such ones kept everybody waiting for up to a second and a half, as they came in."""
    assert len(mail) <= parse.SIMPLE_SIZE
    assert parse.summary_of_simple(mail) is None


def test_a_mail_whose_header_does_not_end_is_not_simple() -> None:
    assert parse.summary_of_simple(b"Subject: no end of the header\r\n") is None


async def test_a_route_counts_from_its_first_moment_and_no_longer(house: House) -> None:
    await house.submit()
    denied = Route(RouteKind.SENDER, "*", allow=False)
    await house.database.write(lambda tx: routes.put(tx, denied, house.now))
    house.accept.senders.forget_routes()
    with pytest.raises(Exception, match="denies"):
        await house.accept.check_sender(PEER, "a@example.org", None)
    await house.database.write(lambda tx: routes.put(tx, replace(denied, allow=True), house.now))
    house.accept.senders.forget_routes()
    await house.accept.check_sender(PEER, "a@example.org", None)


async def test_routes_that_change_while_they_are_read_are_read_again(house: House) -> None:
    house.accept.senders.forget_routes()
    read = house.database.read

    async def late(function: object) -> object:
        found = await read(function)  # type: ignore[arg-type]
        await house.database.write(lambda tx: routes.put(tx, Route(RouteKind.SENDER, "*", allow=False), house.now))
        house.accept.senders.forget_routes()
        return found

    house.database.read = late  # type: ignore[method-assign,assignment]
    await house.accept.check_sender(PEER, "a@example.org", None)  # asked before the change
    house.database.read = read  # type: ignore[method-assign]
    with pytest.raises(Exception, match="denies"):
        await house.accept.check_sender(PEER, "a@example.org", None)


def _confirmed(database: Database) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{database.path}?mode=ro", uri=True)) as tx:
        return tx.execute("SELECT confirmed_at IS NOT NULL FROM submission ORDER BY created_at").fetchall()


async def test_a_confirmation_stands_before_what_is_written_after_it(house: House) -> None:
    first = await house.submit()
    house.accept.confirmed(first)
    second = await house.submit()  # the same mail: a new wish
    assert second != first
    assert _confirmed(house.database) == [(1,), (0,)]


async def test_alone_it_waits_only_a_moment(house: House) -> None:
    house.accept.confirmed(await house.submit())
    async with asyncio.timeout(30):
        while _confirmed(house.database) != [(1,)]:
            await asyncio.sleep(0.01)


async def test_and_a_close_takes_it_along(house: House) -> None:
    first = await house.submit()
    house.accept.confirmed(first)
    await house.database.close()
    assert _confirmed(house.database) == [(1,)]


async def test_nothing_is_taken_that_cannot_be_recorded(house: House) -> None:
    await house.accept.check_sender(PEER, "a@example.org", None)
    await house.database.close()
    with pytest.raises(TryLater):
        await house.accept.check_sender(PEER, "a@example.org", None)
