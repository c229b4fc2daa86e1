"""Mails in parts, over time: restarts, clocks that are set, backups, and what is kept for how long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from email import message_from_bytes
from pathlib import Path

import pytest
import structlog

from gateway.errors import Refused, TryLater
from gateway.mail.compose import Letterhead, compose
from gateway.model import MailKind
from gateway.service import backup
from gateway.service.divided import DividedSettings
from gateway.store import divided, files, retention
from gateway.store.db import Tx

from .house import LETTER, PEER, START, House

DAY = 86400.0


def part(number: int, total: int, text: bytes = b"") -> bytes:
    lines = LETTER.splitlines(keepends=True)
    size = -(-len(lines) // total)
    content = text or b"".join(lines[(number - 1) * size : number * size])
    return b'Subject: [%d] Invoice\r\nContent-Type: message/partial; id="x"; number=%d; total=%d\r\n\r\n%s' % (
        number, number, total, content,
    )  # fmt: skip


@pytest.fixture(params=[1, 1 << 17], ids=["files", "rows"])
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    house = await House(tmp_path / "state", small_mail=request.param).open()
    yield house
    await house.close()


async def waits(house: House) -> int:
    return len(await house.database.read(divided.waiting))


async def test_a_kill_between_the_parts_changes_nothing(house: House) -> None:
    first = await house.submit(mail=part(1, 3))
    house = await house.crash()
    assert await house.submit(mail=part(1, 3)) == first
    await house.submit(mail=part(2, 3))
    house = await house.crash()
    whole = await house.submit(mail=part(3, 3))
    house = await house.crash()
    assert await house.submit(mail=part(3, 3)) == whole
    assert [job.submission for job in await house.jobs()] == [whole]
    await house.settle()
    assert await house.states() == ["submitted"]


async def test_a_part_that_came_before_leaves_nothing_but_a_line_in_the_log_and_the_last_one_not_that(
    house: House,
) -> None:
    with structlog.testing.capture_logs() as logs:
        first, whole = await house.submit(mail=part(1, 2)), await house.submit(mail=part(2, 2))
        assert "duplicate suppressed" not in [log["event"] for log in logs]
        await house.submit(mail=part(1, 2))
        await house.submit(mail=part(2, 2))
    assert [log["id"] for log in logs if log["event"] == "duplicate suppressed"] == [first, whole]
    assert {row[0] for row in house.on_disk("SELECT mail_file FROM submission")} - {"database"} == house.spool.names()


@pytest.mark.parametrize("order", [(3, 1, 2), (1, 3, 2), (1, 2, 3)])
async def test_how_many_parts_there_are_may_be_told_by_the_last_alone(house: House, order: tuple[int, ...]) -> None:
    """RFC 2046 section 5.2.2: total is required of the last part only."""
    for number in order:
        assert await house.jobs() == []
        await house.submit(mail=part(number, 3).replace(b"total=3", b"total=3" if number == 3 else b"x=y"))
    assert len(await house.jobs()) == 1
    assert await waits(house) == 0


async def test_what_has_ended_stays_as_it_has_ended(house: House) -> None:
    first = await house.submit(mail=part(1, 3))
    assert await house.database.write(lambda tx: divided.end(tx, first, 5.0, why="too late"))
    assert not await house.database.write(lambda tx: divided.end(tx, first, 6.0, became="S9"))
    await house.database.write(divided.set_back)
    found = await house.database.read(lambda tx: divided.of_part(tx, first))
    assert found is not None
    assert (found[1].ended_at, found[1].why, found[1].became, found[1].set_back) == (5.0, "too late", "", False)


async def test_the_same_parts_again_from_who_has_read_every_answer_are_another_fax(house: House) -> None:
    for _ in range(2):
        for number in (1, 2):
            house.accept.confirmed(await house.submit(mail=part(number, 2)))
        house.now += 3600
    assert len(await house.jobs()) == 2
    assert await house.mails() == []


async def test_a_part_again_behind_the_whole_is_known_for_as_long_as_mail_servers_try(house: House) -> None:
    first, whole = await house.submit(mail=part(1, 2)), await house.submit(mail=part(2, 2))
    house.now += 4 * DAY
    assert [await house.submit(mail=part(number, 2)) for number in (1, 2)] == [first, whole]
    house.now += 2 * DAY
    house.clock_believed = False  # or it is not known how long ago that was
    assert await house.submit(mail=part(1, 2)) == first
    house.clock_believed = True
    assert await house.submit(mail=part(1, 2)) != first
    assert len(await house.jobs()) == 1


async def test_of_a_part_again_long_after_the_whole_nobody_says_that_it_was_not_faxed(house: House) -> None:
    house.accept.confirmed(await house.submit(mail=part(1, 2)))
    house.accept.confirmed(whole := await house.submit(mail=part(2, 2)))
    house.accept.confirmed(await house.submit(mail=part(1, 2)))
    house.now += DAY
    await house.divided.give_up()
    (mail,) = await house.mails()
    assert mail.kind is MailKind.UNKNOWN
    text = " ".join(compose(mail, Letterhead("fax@example.org")).decode().split())
    assert "Not known whether faxed: [1] Invoice" in text
    assert f"came whole before, fax id {whole}, and its own result is told" in text
    assert "Do NOT send it again before you have asked" in text


async def test_the_parts_may_be_as_large_together_as_a_mail_may_be(house: House) -> None:
    first, last = part(1, 2), part(2, 2)
    for room, taken in ((len(first) + len(last) - 1, False), (len(first) + len(last), True)):
        house.divided._settings = DividedSettings(max_message=room)
        peer = replace(PEER, login=str(room))  # what was refused once is no more
        await house.submit(mail=first, peer=peer)
        if taken:
            await house.submit(mail=last, peer=peer)
        else:
            with pytest.raises(Refused, match="the mail with all its parts is larger than"):
                await house.submit(mail=last, peer=peer)
    assert len(await house.jobs()) == 1


async def test_two_last_parts_at_once_are_two_mails_of_which_nothing_is_lost(house: House) -> None:
    await house.submit(mail=part(1, 2))
    others = part(2, 2), part(2, 2, b"other text\r\n")
    ids = await asyncio.gather(*(house.submit(mail=each) for each in others))
    assert len(set(ids)) == 2
    (job,) = await house.jobs()
    assert job.submission in ids
    assert {row[0] for row in house.on_disk("SELECT mail_file FROM submission")} - {"database"} == house.spool.names()
    await house.submit(mail=part(1, 2, b"Subject: Another\r\n\r\nText\r\n"))
    assert len(await house.jobs()) == 2


async def test_a_disk_that_fails_at_the_last_part_leaves_the_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.submit(mail=part(1, 2))

    def full(*_: object, **__: object) -> None:
        raise TryLater("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(divided, "end", full)
        with pytest.raises(TryLater, match="No space left"):
            await house.submit(mail=part(2, 2))
    assert await house.jobs() == []
    assert await waits(house) == 1
    assert len(house.files("mail")) <= 1  # nothing is left of it
    await house.submit(mail=part(2, 2))
    assert len(await house.jobs()) == 1


async def test_parts_that_cannot_be_read_are_trouble_of_ours(house: House) -> None:
    await house.submit(mail=part(1, 2))
    for file in house.files("mail"):
        file.unlink()
    await house.database.write(lambda tx: tx.execute("DELETE FROM mail_body").rowcount)
    with pytest.raises(TryLater, match="cannot read the other parts"):
        await house.submit(mail=part(2, 2))
    house.now += DAY
    await house.divided.give_up()
    (mail,) = await house.mails()
    assert mail.facts["text"] == "part 2 of 2 did not come in time"


async def test_a_time_when_nobody_could_bring_parts_does_not_count(house: House) -> None:
    await house.submit(mail=part(1, 2))
    seen = house.now = house.now + DAY / 2
    house.now += 2 * DAY
    await house.divided.recover(seen)
    house.now += DAY / 2 - 10
    await house.divided.give_up()
    assert await house.mails() == []
    await house.divided.recover(house.now)
    house.now += DAY
    await house.divided.give_up()
    assert len(await house.mails()) == 1


async def test_a_clock_that_was_set_gives_nothing_up_and_keeps_nothing_for_years(house: House) -> None:
    house.now = START + 3650 * DAY
    await house.submit(mail=part(1, 2))
    house.now, house.clock_believed = START, False
    await house.divided.give_up()
    house.clock_believed = True
    await house.divided.give_up()
    assert await house.mails() == []
    house.now += DAY
    house.clock_believed = False
    await house.divided.give_up()
    assert await house.mails() == []
    house.clock_believed = True
    await house.divided.give_up()
    assert len(await house.mails()) == 1


async def test_what_waits_is_kept_and_what_has_ended_goes_with_its_history(house: House) -> None:
    first = await house.submit(mail=part(1, 3))
    await house.submit(mail=part(2, 3))

    def purge(tx: Tx) -> list[str]:
        return [*retention.forget_documents(tx, house.now + DAY), *divided.forget_content(tx)]

    assert await house.database.write(purge) == []
    assert len(await house.database.read(files.named)) == len(house.files("mail"))
    house.now += DAY
    await house.divided.give_up()
    house.spool.remove(await house.database.write(purge))
    assert house.files("mail") == []
    assert house.on_disk("SELECT count(*) FROM mail_body") == [(0,)]
    with pytest.raises(Refused, match="part 3 of 3 did not come in time"):
        await house.submit(mail=part(3, 3))
    house.now += 6 * DAY  # longer than mail servers try
    assert await house.submit(mail=part(3, 3)) != first
    assert await house.database.write(lambda tx: retention.forget_history(tx, house.now)) == 2
    assert house.on_disk("SELECT count(*) FROM part") == [(1,)]
    assert await waits(house) == 1


async def test_a_backup_holds_the_parts_and_after_a_restore_nobody_says_that_nothing_was_faxed(
    house: House, tmp_path: Path
) -> None:
    await house.submit(mail=part(1, 2))
    made = backup.create(house.root, tmp_path / "backup", version="1", now=house.now)
    assert made.missing == ()
    await house.submit(mail=part(2, 2))
    await house.settle()
    await house.database.close()
    backup.restore(tmp_path / "backup", house.root, now=house.now)
    house = await house.copy("restored").open()
    try:
        await house.reconcile.begin()
        house.now += DAY
        await house.divided.give_up()
        (mail,) = [each for each in await house.mails() if each.kind is not MailKind.OPERATOR]
        assert mail.kind is MailKind.UNKNOWN
        text = compose(mail, Letterhead("fax@example.org")).decode()
        assert "Not known whether faxed: [1] Invoice" in text
        assert "may have been faxed before" in text
        assert "Do NOT send it again before you have asked" in text
    finally:
        await house.close()


async def test_a_backup_from_before_goes_on_after_a_restore_too(house: House, tmp_path: Path) -> None:
    await house.submit(mail=part(1, 2))
    backup.create(house.root, tmp_path / "backup", version="1", now=house.now)
    await house.database.close()
    backup.restore(tmp_path / "backup", house.root, now=house.now)
    house = await house.copy("restored").open()
    try:
        whole = await house.submit(mail=part(2, 2))
        assert [job.submission for job in await house.jobs()] == [whole]
    finally:
        await house.close()


async def test_the_one_mail_names_the_parts_and_all_numbers(house: House) -> None:
    await house.submit("+12025550123", "+12025550124", mail=part(2, 3))
    house.now += DAY
    await house.divided.give_up()
    (mail,) = await house.mails()
    made = message_from_bytes(compose(mail, Letterhead("fax@example.org", hostname="gw.example")))
    assert made["subject"] == "Not faxed: [2] Invoice to 2 numbers (incomplete)"
    text, status, _ = (str(each.get_payload()) for each in made.get_payload())  # type: ignore[union-attr]
    text = " ".join(text.split())
    assert 'Your fax "[2] Invoice" to 2 numbers was not sent: your mail came in several parts' in text
    assert "Reason: parts 1 and 3 of 3 did not come in time" in text
    assert "To +1 202 555 0123, +1 202 555 0124" in text
    assert "in the device or program, switch off what divides mails" in text
    groups = message_from_bytes(compose(mail, Letterhead("x@example.org"))).get_payload(1).get_payload()  # type: ignore[union-attr]
    assert [group["final-recipient"] for group in groups[1:]] == [  # type: ignore[index,union-attr]
        "rfc822; +12025550123@fax.local",
        "rfc822; +12025550124@fax.local",
    ]
    assert {group["action"] for group in groups[1:]} == {"failed"}  # type: ignore[index,union-attr]
    assert status
