"""What an administrator sees of mails that come in parts."""

from __future__ import annotations

import pytest

from admin.conftest import House
from gateway.errors import NotFound, Refused

MAIL = b"Subject: Scan\r\n\r\nPlease read.\r\nIt is short.\r\n"


def part(number: int, total: int = 2) -> bytes:
    content = MAIL[:25] if number == 1 else MAIL[25:]
    head = f'Subject: [{number}] Scan\r\nContent-Type: message/partial; id="x"; number={number}; total={total}\r\n\r\n'
    return head.encode() + content


async def give(house: House, mail: bytes) -> str:
    return str((await house.gateway.admin.send(mail, ["+12025550123"], "you@example.org"))["submission"])


async def test_what_waits_is_listed_and_a_part_stands_for_the_whole(house: House) -> None:
    assert await house.ask("queue.divided") == {"mails": []}
    last = await give(house, part(2))
    (mail,) = (await house.ask("queue.divided"))["mails"]
    assert {name: mail[name] for name in ("id", "from", "to", "subject", "parts", "total", "missing")} == {
        "id": last, "from": "you@example.org", "to": ["+12025550123"], "subject": "[2] Scan", "parts": [2],
        "total": 2, "missing": "part 1 of 2",
    }  # fmt: skip
    assert mail["waits_from"] < mail["given_up_at"]
    assert (await house.ask("status"))["divided"] == 1
    with pytest.raises(NotFound, match=rf"{last} is part 2 of a mail that is no fax: it waits for part 1 of 2"):
        await house.ask("queue.show", id=last)
    whole = await give(house, part(1))
    assert await house.ask("queue.divided") == {"mails": []}
    assert (await house.job(last))["submission"] == whole
    assert (await house.ask("queue.hold", ids=[last]))["changed"] == [f"{whole}-1"]
    with pytest.raises(NotFound, match="there is no fax or mail with the id nothing"):
        await house.ask("queue.show", id="nothing")


@pytest.mark.parametrize("silent", [False, True])
async def test_what_waits_can_be_cancelled_by_any_of_its_parts(house: House, silent: bool) -> None:
    await give(house, part(1, 3))
    third = await give(house, part(3, 3))
    assert await house.ask("queue.cancel", ids=[third], silent=silent) == {"changed": [third], "unchanged": []}
    assert await house.ask("queue.divided") == {"mails": []}
    mails = await house.gateway.database.read(lambda tx: tx.execute("SELECT recipient, facts FROM outbox").fetchall())
    assert [recipient for recipient, _ in mails] == ([] if silent else ["you@example.org"])
    assert all("cancelled by the administrator" in facts for _, facts in mails)
    with pytest.raises(Refused, match=r"not faxed: cancelled by the administrator$"):
        await give(house, part(2, 3))
    again = await house.ask("queue.cancel", ids=[third])
    assert again["unchanged"] == [{"id": third, "why": "there is no such fax"}]


async def test_what_was_given_up_says_why(house: House) -> None:
    first = await give(house, part(1))
    await house.gateway.database.write(lambda tx: tx.execute("UPDATE divided SET waits_from = 0").rowcount)
    await house.gateway.divided.give_up()
    with pytest.raises(NotFound, match="part 2 of 2 did not come in time"):
        await house.ask("queue.show", id=first)
    assert (await house.ask("status"))["divided"] == 0
