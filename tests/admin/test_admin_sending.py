"""A mail handed over by the command line passes the same rules as at the SMTP door."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from admin.conftest import House
from gateway.errors import KeyRefused, NoSpace, NotFound, Refused
from gateway.spool import MailDraft

MAIL = b"Subject: Report\r\nMessage-ID: <1@t>\r\n\r\nPlease read.\r\n"


def _files(tmp_path: Path) -> list[Path]:
    return [file for kind in ("tmp", "mail") for file in (tmp_path / "state/spool" / kind).iterdir()]


async def test_a_number_is_taken_as_people_write_it_and_dialled_exactly(house: House) -> None:
    written = ["+1 (202) 555-0123", "(202) 555-0124", "1-202-555-0125", "+44 20 7946 0018", "+12025550126@fax.local"]
    accepted = await house.gateway.admin.send(MAIL, written, "you@example.org")
    shown = (await house.ask("queue.show", id=accepted["submission"]))["jobs"]
    assert [job["id"] for job in shown] == accepted["jobs"]
    assert [(job["to"], job["rcpt"]) for job in shown] == [
        ("+12025550123", "+12025550123@fax.local"),
        ("+12025550124", "+12025550124@fax.local"),
        ("+12025550125", "+12025550125@fax.local"),
        ("+442079460018", "+442079460018@fax.local"),
        ("+12025550126", "+12025550126@fax.local"),
    ]


async def test_options_may_stand_behind_the_number(house: House) -> None:
    submission = await house.send("(202) 555-0123/ref=4711/send-at=+2h")
    job = await house.job(submission)
    assert (job["to"], job["rcpt"], job["reference"]) == (
        "+12025550123",
        "+12025550123/ref=4711/send-at=+2h@fax.local",
        "4711",
    )
    assert job["send_at"] is not None
    assert job["options"]["reference"] == "4711"


async def test_a_number_without_a_plus_is_read_as_the_senders_route_says(house: House) -> None:
    await house.ask("route.add", kind="sender", match="ann@example.org", region="GB")
    submission = await house.send("020 7946 0018", sender="ann@example.org")
    assert (await house.job(submission))["to"] == "+442079460018"


async def test_with_one_number_refused_nothing_is_faxed_and_every_reason_is_told(house: House, tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        await house.gateway.admin.send(
            MAIL, ["+12025550123", "+49 30 901820", "12", "+12025550123@example.com"], "you@example.org"
        )
    assert caught.value.public.count("; ") >= 2
    for words in ("faxes to Germany (+49) are not allowed", "12 is a short number", "relaying denied"):
        assert words in caught.value.public
    assert (await house.ask("queue.list"))["jobs"] == []
    assert _files(tmp_path) == []


@pytest.mark.parametrize(
    ("mail", "to", "sender", "words"),
    [
        (MAIL, [], "you@example.org", "name at least one number to send to"),
        (MAIL, ["+12025550123"], "", "mails from the null sender are not faxed"),
        (MAIL, ["+12025550123"], "you", "'you' is not a mail address"),
        (MAIL, ["+12025550123"], "1@fax.local", "1@fax.local is a fax address of this gateway"),
        (b"Subject: nothing\r\n\r\n", ["+12025550123"], "you@example.org", "nothing to fax"),
        (b"x" * 200_001, ["+12025550123"], "you@example.org", "larger than"),
    ],
)
async def test_what_the_door_would_refuse_is_refused(
    house: House, tmp_path: Path, mail: bytes, to: list[str], sender: str, words: str
) -> None:
    with pytest.raises(Refused, match=words):
        await house.gateway.admin.send(mail, to, sender)
    assert _files(tmp_path) == []


async def test_a_sender_whose_route_denies_may_not_send_here_either(house: House) -> None:
    await house.ask("route.add", kind="sender", match="@example.org", allow=False)
    with pytest.raises(Refused, match=r"@example\.org denies it"):
        await house.send()


async def test_the_very_same_mail_again_is_no_second_fax(house: House) -> None:
    first = await house.gateway.admin.send(MAIL, ["+12025550123"], "you@example.org")
    assert await house.gateway.admin.send(MAIL, ["+12025550123"], "you@example.org") == first
    assert len((await house.ask("queue.list"))["jobs"]) == 1


async def test_without_room_nothing_is_accepted_and_nothing_left(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_draft: MailDraft, _data: bytes) -> None:
        raise NoSpace("the gateway's disk is full")

    monkeypatch.setattr(MailDraft, "write", full)
    with pytest.raises(NoSpace):
        await house.gateway.admin.send(MAIL, ["+12025550123"], "you@example.org")
    assert _files(tmp_path) == []


async def test_the_account_at_the_provider(house: House) -> None:
    assert await house.ask("provider.balance") == {"balance": "9.5"}
    assert await house.ask("provider.numbers") == {"numbers": house.service.owned}
    await house.reach(await house.send(), "submitted")
    assert await house.ask("provider.cost", document_ref=300, number="(202) 555-0123") == {"cost": "0.1"}
    with pytest.raises(NotFound):
        await house.ask("provider.cost", document_ref=7, number="(202) 555-0123")
    with pytest.raises(Refused, match="cannot be faxed to"):
        await house.ask("provider.cost", document_ref=300, number="12")
    house.service.key_status = 401
    with pytest.raises(KeyRefused):
        await house.ask("provider.balance")


async def test_status_tells_how_the_daemon_is(house: House) -> None:
    assert (await house.ask("status"))["provider"] == {"state": "ok", "text": ""}
    house.service.uploading = False
    await house.reach(await house.send(), "prepared")

    async with asyncio.timeout(30):  # for as long as the calls that failed are few; then sending pauses
        while (provider := (await house.ask("status"))["provider"])["state"] == "ok":
            await asyncio.sleep(0.01)
    assert provider["state"] in ("failing", "waiting")
    assert provider["text"] == "the fax provider has trouble"
    found = await house.ask("status")
    assert found["counts"] == {"prepared": 1}
    assert found["running"] is True
    assert found["listeners"] == [str(each) for each in house.gateway.addresses()["smtp"]]
    assert found["callbacks"] == house.gateway.addresses()["callbacks"]
    assert await house.ask("reload") == {"changed": ["certificates"]}
