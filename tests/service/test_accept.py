"""The door's other side: who may fax where, and a 250 only for what is on disk, once."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import argon2
import pytest
import structlog

from gateway import spool
from gateway.errors import LoginEnded, NoSpace, Refused, TryLater
from gateway.mail import parse
from gateway.model import Envelope, FaxNumber, Identity, JobState, Notify, NumberClass, Peer, Recipient
from gateway.policy import PolicySettings
from gateway.service.repeats import TRIED, Repeats
from gateway.spool import SyncFailed
from gateway.store import files, jobs, users

from .conftest import Build
from .house import LETTER, NUMBER, PEER, START, House

STRANGER = replace(PEER, address="192.0.2.7", trusted_network=False)
ADDRESS = f"{NUMBER}@fax.local"


# --- who may send -----------------------------------------------------------------------------------------------------


async def test_a_client_that_proved_nothing_may_not_send(house: House) -> None:
    with pytest.raises(Refused) as caught:
        await house.accept.check_sender(STRANGER, "a@example.org", None)
    assert caught.value.status == "5.7.0"
    assert "log in" in caught.value.public


async def test_a_client_of_the_network_or_with_a_login_may_send(house: House) -> None:
    await house.accept.check_sender(PEER, "a@example.org", 1000)
    await house.accept.check_sender(replace(STRANGER, login="ann"), "a@example.org", None)


async def test_routes_only_lets_nobody_else_send(build: Build) -> None:
    house = await build(policy=PolicySettings(senders="routed"))
    with pytest.raises(Refused, match="no route allows it"):
        await house.accept.check_sender(PEER, "a@example.org", None)
    await house.route("@example.org")
    await house.accept.check_sender(PEER, "a@example.org", None)


async def test_a_route_may_deny_one_of_many(house: House) -> None:
    await house.route("@example.org")
    await house.route("a@example.org", allow=False)
    with pytest.raises(Refused, match="denies it"):
        await house.accept.check_sender(PEER, "a@example.org", None)
    await house.accept.check_sender(PEER, "b@example.org", None)


async def test_the_null_sender_is_no_sender(house: House) -> None:
    with pytest.raises(Refused, match="null sender") as caught:
        await house.accept.check_recipient(PEER, "", "+12025550123@fax.local")
    assert caught.value.status == "5.7.1"
    await house.route("*", results_to="desk@example.org", number_in_subject=True)
    for daemon in ("MAILER-DAEMON", "Mailer-Daemon@mx.example.org"):
        for address in ("+12025550123@fax.local", "subject@fax.local"):
            assert await house.accept.unnumbered(PEER, daemon, address) is None
            with pytest.raises(Refused, match="mails from MAILER-DAEMON are not faxed"):
                await house.accept.check_recipient(PEER, daemon, address)
    assert await house.accept.check_recipient(PEER, "mailer-daemons@example.org", "+12025550123@fax.local")


@pytest.mark.parametrize("sender", ["+12025550199@fax.local", "scan@FAX.local", "scan@fax.local."])
async def test_a_fax_address_cannot_send_for_its_results_would_come_back(house: House, sender: str) -> None:
    with pytest.raises(Refused, match="no result can be mailed to") as caught:
        await house.accept.check_sender(PEER, sender, None)
    assert caught.value.status == "5.1.8"


@pytest.mark.parametrize(
    "sender",
    ["a@example.org,b@example.org", "a@ex ample.org", '"a b"@example.org', "a@b@example.org", "x(y)@example.org", "a@", "@b",
     "team: a@example.org;", "a;b@example.org", "a@example.org\\", "<a@example.org", f"{'x' * 500}@example.org",
     "ann,bob", "second floor", "user:ann", "ann;", "(ann)"],
)  # fmt: skip
async def test_no_result_could_be_mailed_to_what_is_no_address(house: House, sender: str) -> None:
    with pytest.raises(Refused, match="is not a mail address") as caught:
        await house.accept.check_sender(PEER, sender, None)
    assert caught.value.status == "5.1.7"
    assert caught.value.public.endswith("--results-to")
    assert len(caught.value.public) < 400  # what a reply has room for
    await house.route("*", results_to="desk@example.org")
    await house.accept.check_sender(PEER, sender, None)


@pytest.mark.parametrize(
    "sender", ["a+b_c=d@example.org", '"a.b"@example.org', '"a\\"b"@example.org', "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "scanner"]
)  # fmt: skip
async def test_unusual_addresses_are_taken(house: House, sender: str) -> None:
    await house.accept.check_sender(PEER, sender, None)


async def test_a_mere_name_gets_what_its_client_gets_and_nothing_meant_for_an_address(house: House) -> None:
    await house.route("ann@example.org", tsi="Ann")
    await house.route("@ann", tsi="Domain")
    await house.route("ip:127.0.0.0/8", tsi="Desk")
    queue_id = await house.submit(sender="ann")
    assert (await house.job(f"{queue_id}-1")).tsi == "Desk"
    assert (await house.submission(queue_id)).results_to == "ann"


async def test_a_fax_address_may_send_where_a_route_says_whom_to_tell(house: House) -> None:
    await house.route("scan@fax.local", results_to="desk@example.org")
    await house.accept.check_sender(PEER, "scan@fax.local", None)
    queue_id = await house.submit(sender="scan@fax.local")
    assert (await house.submission(queue_id)).results_to == "desk@example.org"


async def test_a_mail_announced_as_too_large_is_refused_before_it_comes(house: House) -> None:
    await house.accept.check_sender(PEER, "a@example.org", 50_000_000)
    with pytest.raises(Refused, match="50 MB") as caught:
        await house.accept.check_sender(PEER, "a@example.org", 50_000_001)
    assert caught.value.status == "5.3.4"


async def test_a_full_disk_is_told_before_a_mail_comes(build: Build) -> None:
    free = [1000]
    house = await build(free=lambda _path: free[0])
    await house.accept.check_sender(PEER, "a@example.org", 999)
    with pytest.raises(NoSpace) as caught:
        await house.accept.check_sender(PEER, "a@example.org", 1000)
    assert caught.value.status == "4.3.1"
    free[0] = 0
    draft = house.accept.draft()
    draft.write(b"x")
    with pytest.raises(NoSpace):
        draft.spill()


# --- where to ---------------------------------------------------------------------------------------------------------


async def test_what_is_dialled_is_what_stands_in_the_address(house: House) -> None:
    assert (await house.accept.check_recipient(PEER, "a@example.org", ADDRESS)).number == FaxNumber(NUMBER)
    assert (await house.accept.check_recipient(PEER, "a@example.org", "202-555-0123@fax.local")).number == FaxNumber(
        NUMBER
    )


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("+442079460123@fax.local", "policy.countries"),
        ("+19005550123@fax.local", "policy.classes"),
        ("+99999990001@fax.local", "test numbers"),
        ("hello@fax.local", "cannot be faxed"),
        (f"{NUMBER}@elsewhere.example", "elsewhere.example"),
    ],
)
async def test_what_nobody_allowed_is_refused_with_the_remedy(house: House, address: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        await house.accept.check_recipient(PEER, "a@example.org", address)


async def test_named_numbers_countries_and_test_numbers_are_allowed(build: Build) -> None:
    settings = PolicySettings(
        countries=frozenset({"GB"}), numbers=("+33142",), classes=frozenset({NumberClass.ORDINARY}),
        test_numbers_allowed=True,
    )  # fmt: skip
    house = await build(policy=settings)
    for address in ("+442079460123@fax.local", "+33142345678@fax.local", "+99999990001@fax.local"):
        await house.accept.check_recipient(PEER, "a@example.org", address)
    with pytest.raises(Refused):
        await house.accept.check_recipient(PEER, "a@example.org", ADDRESS)


async def test_a_route_says_in_which_country_its_sender_dials(build: Build) -> None:
    house = await build(policy=PolicySettings(countries=frozenset({"US", "DE"})))
    await house.route("b@example.org", region="DE")
    assert (
        await house.accept.check_recipient(PEER, "b@example.org", "030123456@fax.local")
    ).number.e164 == "+4930123456"
    with pytest.raises(Refused):
        await house.accept.check_recipient(PEER, "a@example.org", "030123456@fax.local")


# --- logging in -------------------------------------------------------------------------------------------------------


async def test_a_password_opens_only_its_own_account(house: House) -> None:
    good = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash("open sesame")
    await house.database.write(lambda tx: users.put(tx, "ann", good, house.now))
    assert await house.accept.authenticate(STRANGER, "ann", "open sesame")
    assert not await house.accept.authenticate(STRANGER, "ann", "wrong")
    assert not await house.accept.authenticate(STRANGER, "bob", "open sesame")


@pytest.mark.parametrize("change", ["password", "removal"])
async def test_a_session_does_not_outlive_its_password(house: House, change: str) -> None:
    """Who has stolen one may be logged in for days, and must not go on when it is changed."""
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    old, new = hasher.hash("open sesame"), hasher.hash("close sesame")
    await house.database.write(lambda tx: users.put(tx, "ann", old, house.now))
    ann = await house.accept.authenticate(STRANGER, "ann", "open sesame")
    assert ann is not None
    await house.accept.check_sender(ann, "a@example.org", None)
    await house.submit(peer=ann)
    if change == "password":
        await house.database.write(lambda tx: users.put(tx, "ann", new, house.now))
    else:
        await house.database.write(lambda tx: users.remove(tx, "ann"))
    with pytest.raises(LoginEnded, match="log in again"):
        await house.accept.check_sender(ann, "a@example.org", None)
    with pytest.raises(LoginEnded, match="log in again"):  # whose MAIL was taken before
        await house.submit("+12025550124", peer=ann)
    assert len(await house.jobs()) == 1


async def test_a_hash_that_cannot_be_read_opens_nothing(house: House) -> None:
    await house.database.write(lambda tx: users.put(tx, "ann", "no hash at all", house.now))
    assert not await house.accept.authenticate(STRANGER, "ann", "no hash at all")


# --- accepted ---------------------------------------------------------------------------------------------------------


async def test_an_accepted_mail_is_one_job_a_number_with_all_that_was_said(house: House) -> None:
    await house.route("a@example.org", tsi="ACME 1", results_to="desk@example.org")
    queue_id = await house.submit(NUMBER, "+12025550124", notify=frozenset({Notify.SUCCESS}))
    submission = await house.submission(queue_id)
    assert (submission.sender, submission.results_to, submission.identity) == (
        "a@example.org", "desk@example.org", "ip:127.0.0.1",
    )  # fmt: skip
    assert (submission.subject, submission.message_id) == ("Invoice", "<m@example.org>")
    assert submission.client == "desk [127.0.0.1]"
    assert house.spool.path(submission.mail_file).read_bytes() == LETTER
    made = await house.jobs()
    assert [(job.id, job.number.e164, job.tsi, job.notify) for job in made] == [
        (f"{queue_id}-1", NUMBER, "ACME 1", frozenset({Notify.SUCCESS})),
        (f"{queue_id}-2", "+12025550124", "ACME 1", frozenset({Notify.SUCCESS})),
    ]
    assert {job.state for job in made} == {JobState.ACCEPTED}


async def test_a_number_named_twice_is_faxed_once(house: House) -> None:
    await house.submit(NUMBER, "+12025550124", NUMBER)
    assert [job.number.e164 for job in await house.jobs()] == [NUMBER, "+12025550124"]


async def test_when_the_client_reads_its_250_another_process_reads_the_rows(house: House) -> None:
    queue_id = await house.submit()
    assert house.on_disk("SELECT id, mail_file <> '' FROM submission") == [(queue_id, 1)]
    assert house.on_disk("SELECT state FROM job") == [("accepted",)]
    assert len(house.files("mail")) == 1
    assert house.files("tmp") == []


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"Auto-Submitted: auto-replied\r\n", "machine"),
        (b"X-Faxgateway-Loop: gw.example\r\n", "fax gateway"),
        (b"List-Id: <l.example.org>\r\n", "mailing list"),
        (b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n", "delivery report"),
        (b"Received: x\r\n" * 100, "loop"),
    ],
)
async def test_automatic_mails_are_refused_and_leave_nothing(house: House, header: bytes, why: str) -> None:
    with pytest.raises(Refused, match=why) as caught:
        await house.submit(mail=header + LETTER)
    assert caught.value.status == "5.7.1"
    assert (await house.jobs(), house.files("mail"), house.files("tmp")) == ([], [], [])


async def test_what_can_never_be_a_fax_is_refused_now_and_leaves_nothing(house: House) -> None:
    with pytest.raises(Refused, match="nothing to fax") as caught:
        await house.submit(mail=b"Subject: empty\r\n\r\n")
    assert caught.value.status == "5.6.1"
    assert (await house.jobs(), house.files("mail"), house.files("tmp")) == ([], [], [])


def _attached(name: str, content: bytes) -> bytes:
    message = EmailMessage()
    message["From"], message["Subject"] = "a@example.org", "Papers"
    message.set_content("see attached")
    message.add_attachment(content, maintype="application", subtype="pdf", filename=name)
    return message.as_bytes(policy=SMTP)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (bytes(range(256)) * 20, "scan.pdf is a file of an unknown kind, which cannot be faxed"),
        (b"MZ" + b"\0" * 100, "scan.pdf is a program"),
        (b"ID3\3" + b"x" * 9000, "scan.pdf is a sound or video file"),
        (
            b"{\\rtf1 A letter.}",
            "scan.pdf is an RTF document, which cannot be printed here, as this gateway has no LibreOffice",
        ),
    ],
)
async def test_an_attachment_that_can_never_be_pages_is_refused_in_the_dialogue(
    house: House, content: bytes, why: str
) -> None:
    with pytest.raises(Refused, match=why) as caught:
        await house.submit(mail=_attached("scan.pdf", content))
    assert caught.value.status == "5.6.1"
    assert caught.value.public.isascii()
    assert (await house.jobs(), house.files("mail"), house.files("tmp")) == ([], [], [])
    await house.submit(mail=_attached("scan.pdf", b"%PDF-1.4 whether this is whole the conversion will tell"))


async def test_a_mail_for_the_postmaster_that_cannot_be_recorded_leaves_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_work: Any) -> None:
        raise TryLater("the disk is full")

    draft = house.accept.draft()
    draft.write(b"Subject: help\r\n\r\nThe fax is broken.\r\n")
    monkeypatch.setattr(house.database, "write", full)
    with pytest.raises(TryLater):
        await house.accept.accept(Envelope(PEER, "a@example.org", (), postmaster="postmaster"), draft)
    assert (house.files("mail"), await house.mails()) == ([], [])


# --- the same mail again ----------------------------------------------------------------------------------------------


async def test_the_same_mail_whose_250_was_never_read_is_the_first_one(house: House) -> None:
    first = await house.submit(NUMBER, "+12025550124")
    house.now += 1799
    assert await house.submit("+12025550124", NUMBER) == first  # the order of recipients says nothing
    assert len(await house.jobs()) == 2
    assert len(house.files("mail")) == 1
    house.now += 2
    assert await house.submit(NUMBER, "+12025550124") != first


async def test_a_mail_server_tries_again_for_days_and_not_as_often_as_every_half_hour(house: House) -> None:
    mail = LETTER.replace(b"Subject", b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nSubject")
    first = await house.submit(mail=mail)
    for pause in (4000, 6 * 3600, 3 * 86400):
        house.now += pause
        assert await house.submit(mail=mail) == first
    house.now += 2 * 86400
    assert await house.submit(mail=mail) != first


async def test_a_device_with_one_date_and_no_ids_may_send_the_same_page_again_soon(house: House) -> None:
    mail = b"Date: Thu, 01 Jan 2004 00:00:00 +0000\r\nSubject: Scan\r\n\r\nThe form.\r\n"
    first = await house.submit(mail=mail)
    house.now += 1799
    assert await house.submit(mail=mail) == first
    house.now += 2
    assert await house.submit(mail=mail) != first


async def test_the_same_mail_is_known_however_the_domain_is_written(house: House) -> None:
    ids = set()
    for domain in ("FAX.Local.", "fax.local", "FAX.Local."):
        draft = house.accept.draft()
        draft.write(LETTER)
        recipient = Recipient(f"{NUMBER}@{domain}", FaxNumber(NUMBER))
        ids.add(await house.accept.accept(Envelope(PEER, "a@example.org", (recipient,)), draft))
    assert len(ids) == len(await house.jobs()) == 1


async def test_a_mail_that_comes_again_for_other_numbers_is_faxed_to_the_new_ones_alone(house: House) -> None:
    """One was put off at the first try, or the client divides them anew."""
    first = await house.submit(NUMBER, "+12025550124/ref=1")
    assert await house.submit(NUMBER) == first
    assert await house.submit("+12025550124/ref=1") == first
    with structlog.testing.capture_logs() as logs:
        second = await house.submit(NUMBER, "+12025550125", "+12025550124/ref=1")
    assert [(log["id"], log["nrcpt"]) for log in logs if log["event"] == "accepted"] == [(second, 1)]
    assert second != first
    assert await house.submit("+12025550125") == second
    assert await house.submit(NUMBER, "+12025550125") == first
    assert sorted(job.number.e164[-1] for job in await house.jobs()) == ["3", "4", "5"]
    await house.submit("+12025550124/ref=2")  # it is wanted in two ways
    assert len(await house.jobs()) == 4


async def test_a_mail_server_tries_again_from_whichever_of_its_addresses(house: House) -> None:
    mail = LETTER.replace(b"Subject", b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nSubject")
    first = await house.submit(mail=mail)
    for address in ("127.0.0.2", "2001:db8::7"):
        house.now += 4000
        assert await house.submit(mail=mail, peer=replace(PEER, address=address)) == first
    assert len(await house.jobs()) == 1
    assert await house.submit(mail=mail, peer=replace(PEER, login="ann")) != first
    nameless = mail.replace(b"Message-ID: <m@example.org>\r\n", b"")
    page = await house.submit(mail=nameless)
    assert await house.submit(mail=nameless, peer=replace(PEER, address="127.0.0.2")) != page


async def test_a_mail_whose_250_was_lost_in_a_long_outage_is_the_first_one(house: House) -> None:
    older = await house.submit(sender="older@example.org")
    house.now += 1801
    first = await house.submit()
    house.now += 60
    await house.submit(sender="younger@example.org")
    reborn = await house.crash()
    reborn.now += 6 * 3600.0  # nobody could try again meanwhile
    again = House(reborn.root, reborn.provider, now=reborn.now)
    await reborn.close()
    await again.open()
    try:
        again.now += 1799
        await again.submit(sender="new@example.org")
        assert await again.submit() == first
        assert await again.submit(sender="older@example.org") != older, "to that one there was time to try again"
        again.now += 2
        assert await again.submit() != first
    finally:
        await again.close()


@pytest.mark.parametrize(
    ("window", "is_named", "is_believed", "from_when"),
    [
        (1800.0, False, True, START - 1800.0),
        (1800.0, True, True, START - TRIED),
        (2 * TRIED, True, True, START - 2 * TRIED),
        (1800.0, False, False, 0.0),  # nobody knows how long ago anything was
        (0.0, True, True, START),  # never
        (0.0, True, False, START),
    ],
)
def test_from_when_on_a_mail_may_be_the_same(
    window: float, is_named: bool, is_believed: bool, from_when: float
) -> None:
    steady = [0.0]
    known = Repeats(window, clock_believed=lambda: is_believed, clock=lambda: START, steady=lambda: steady[0])
    steady[0] += 2 * TRIED
    assert known.since(START, is_named=is_named)(None) == from_when  # type: ignore[arg-type]  # no start to ask about


async def test_two_at_once_are_one(house: House) -> None:
    first, second = await house.submit(), await house.submit()
    assert first == second
    assert len(await house.jobs()) == 1


async def test_a_client_that_has_read_the_250_wishes_to_fax_again(house: House) -> None:
    first = await house.submit()
    house.accept.confirmed(first)
    assert await house.submit() != first
    assert len(await house.jobs()) == 2


async def test_a_mail_whose_250_was_lost_may_come_again_number_by_number(house: House) -> None:
    others = ("+12025550124", "+12025550125")
    first = await house.submit(NUMBER, *others)
    for number in (NUMBER, *others):
        assert await house.submit(number) == first
        house.accept.confirmed(first)
    assert await house.submit(NUMBER, *others) == first
    assert len(await house.jobs()) == 3
    house.accept.confirmed(first)
    assert await house.submit(NUMBER) != first


async def test_nor_do_sessions_that_bring_its_numbers_at_the_same_time_confirm_the_whole_mail(house: House) -> None:
    others = ("+12025550124", "+12025550125")
    first = await house.submit(NUMBER, *others)
    for number in others:
        assert await house.submit(number) == first
    for _ in others:  # only now do both go on
        house.accept.confirmed(first)
    assert not house.accept._repeated_in_part, "nothing is kept of it for as long as we run"
    assert await house.submit(NUMBER) == first
    assert len(await house.jobs()) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"sender": "b@example.org"},
        {"numbers": ("+12025550124",)},
        {"numbers": (NUMBER, "+12025550124")},
        {"mail": LETTER.replace(b"Please", b"Do")},
        {"mail": LETTER.replace(b"<m@", b"<n@")},
        {"mail": LETTER.replace(b"Invoice", b"Bill")},
        {"mail": LETTER.replace(b"Subject", b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nSubject")},
        {"mail": LETTER.replace(b"Subject", b"X-Fax-Ref: 7\r\nSubject")},
        {"peer": replace(PEER, address="127.0.0.2")},
        {"peer": replace(PEER, login="ann")},
    ],
)
async def test_any_difference_makes_it_another_mail(house: House, other: dict[str, Any]) -> None:
    first = await house.submit()
    assert await house.submit(*other.pop("numbers", (NUMBER,)), **other) != first


# --- trouble at each step ---------------------------------------------------------------------------------------------


async def nothing_is_kept(house: House) -> None:
    assert await house.jobs() == []
    assert house.on_disk("SELECT * FROM submission") == []
    for kind in ("mail", "tmp"):
        if (house.root / "spool" / kind).exists():
            assert house.files(kind) == []


async def test_no_room_for_a_draft(house: House) -> None:
    shutil.rmtree(house.root / "spool" / "tmp")
    with pytest.raises(TryLater):
        await house.submit()
    await nothing_is_kept(house)


async def test_the_disk_fills_while_the_mail_is_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool, "_ORDINARY", 0)  # or it would stay in memory
    draft = house.accept.draft()
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NoSpace):
        draft.write(LETTER)
    monkeypatch.undo()
    draft.discard()
    await nothing_is_kept(house)


async def test_the_quota_ends_in_the_middle_of_the_mail(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    real, room = os.write, [20]

    def short(descriptor: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        written = real(descriptor, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(spool, "_ORDINARY", 0)  # or it would stay in memory
    draft = house.accept.draft()
    monkeypatch.setattr(os, "write", short)
    with pytest.raises(NoSpace):
        draft.write(LETTER)
    monkeypatch.undo()
    draft.discard()
    await nothing_is_kept(house)


async def test_the_disk_is_full_when_a_mail_that_was_in_memory_becomes_a_file(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int, data: memoryview) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    draft = house.accept.draft()
    draft.write(LETTER)
    assert house.files("tmp") == []
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NoSpace):
        await house.accept.accept(Envelope(PEER, "a@example.org", (Recipient(ADDRESS, FaxNumber(NUMBER)),)), draft)
    monkeypatch.undo()
    await nothing_is_kept(house)
    assert house.spool.held == set()


async def test_so_many_mails_are_held_in_memory_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "_HELD", 2)
    monkeypatch.setattr(spool, "_ORDINARY", 1000)
    drafts = [house.accept.draft() for _ in range(4)]
    for draft in drafts[:3]:
        draft.write(b"x" * 500)
    assert len(house.files("tmp")) == 1  # the third one
    drafts[0].write(b"x" * 501)  # too large for it
    assert len(house.files("tmp")) == 2
    drafts[3].write(b"y" * 500)  # has its place
    assert len(house.files("tmp")) == 2
    assert [draft.content is None for draft in drafts] == [True, False, True, False]
    names = [await draft.keep(body=100) for draft in drafts]
    assert [house.spool.path(name).read_bytes() for name in names] == [
        b"x" * 1001, b"x" * 500, b"x" * 500, b"y" * 500,
    ]  # fmt: skip
    assert [draft.body_sha256 for draft in drafts] == [
        hashlib.sha256(each).hexdigest() for each in (b"x" * 901, b"x" * 400, b"x" * 400, b"y" * 400)
    ]
    for draft in drafts:
        draft.discard()
    assert house.spool.held == set()
    assert house.files("tmp") == []


async def test_the_mail_cannot_be_read_by_the_reader(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "SIMPLE_SIZE", 0)
    house.workshop.faults.append({"failed": "the converter failed"})
    with pytest.raises(TryLater):
        await house.submit()
    await nothing_is_kept(house)


@pytest.mark.parametrize("small_mail", [1, 100_000])
async def test_there_is_room_for_the_draft_but_not_to_accept(build: Build, small_mail: int) -> None:
    free = [10**9]
    house = await build(free=lambda _path: free[0], small_mail=small_mail)
    draft = house.accept.draft()
    draft.write(LETTER)
    free[0] = 0
    with pytest.raises(NoSpace):
        await house.accept.accept(Envelope(PEER, "a@example.org", (Recipient(ADDRESS, FaxNumber(NUMBER)),)), draft)
    await nothing_is_kept(house)


def failing_sync(code: int) -> Callable[[int], None]:
    def fail(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    return fail


async def test_a_disk_that_is_full_at_the_sync_is_told_as_such(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing_sync(errno.ENOSPC))
    with pytest.raises(NoSpace):
        await house.submit()
    monkeypatch.undo()
    assert house.fatal == []
    await nothing_is_kept(house)


async def test_a_sync_that_fails_ends_the_process_and_no_250_is_said(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing_sync(errno.EIO))
    with pytest.raises(SyncFailed):
        await house.submit()
    monkeypatch.undo()
    assert len(house.fatal) == 1
    assert await house.jobs() == []


async def test_the_file_cannot_get_its_name(house: House) -> None:
    shutil.rmtree(house.root / "spool" / "mail")
    with pytest.raises(TryLater):
        await house.submit()
    await nothing_is_kept(house)


async def test_the_rows_cannot_be_written_and_the_file_goes(house: House) -> None:
    limit = await house.database.write(lambda tx: tx.execute("PRAGMA page_count").fetchone()[0])
    await house.database.write(lambda tx: tx.execute(f"PRAGMA max_page_count = {limit}").fetchone())
    many = [f"+1202{n}" for n in range(5550000, 5550400)]
    with pytest.raises(NoSpace):
        await house.submit(*many)
    await house.database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000").fetchone())
    await nothing_is_kept(house)
    assert await house.submit(*many)


async def test_a_closed_database_accepts_nothing(house: House) -> None:
    draft = house.accept.draft()
    draft.write(LETTER)
    await house.database.close()
    with pytest.raises(TryLater):
        await house.accept.accept(Envelope(PEER, "a@example.org", (Recipient(ADDRESS, FaxNumber(NUMBER)),)), draft)
    assert house.files("mail") == house.files("tmp") == []


async def test_killed_between_file_and_row_leaves_an_orphan_that_is_swept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "add", _die)
    with pytest.raises(_Died):
        await house.submit()
    monkeypatch.undo()
    reborn = await house.crash()
    (orphan,) = reborn.files("mail")
    assert await reborn.jobs() == []
    known = set(await reborn.database.read(files.named))
    removed = reborn.spool.sweep(known, older_than=orphan.stat().st_mtime + 1)
    assert removed == [f"mail/{orphan.name}"]
    assert await reborn.submit()
    await reborn.close()


class _Died(Exception):
    pass


def _die(*_: Any) -> None:
    raise _Died


def test_root_of_a_house_is_private(tmp_path: Path) -> None:
    spool = House(tmp_path / "x").spool
    (tmp_path / "x").mkdir()
    spool.open()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "x" / "spool").iterdir()} == {0o700}


# --- who wrote it, by the word of the mail server in front ------------------------------------------------------------

VERIFIED = b"Authentication-Results: mx.example.org; dmarc=pass header.from=example.org\r\n"


async def _behind_a_server(build: Build) -> House:
    """Mails of everybody come in through one server; routes decide by who wrote them."""
    house = await build(policy=PolicySettings(senders="routed"), front="mx.example.org")
    await house.route("@example.org", identity=Identity.DKIM)
    return house


async def test_the_author_is_who_the_server_in_front_has_verified(build: Build) -> None:
    house = await _behind_a_server(build)
    await house.accept.check_sender(PEER, "a@example.org", None)
    queue_id = await house.submit(mail=VERIFIED + LETTER, sender="A@example.org")
    assert (await house.submission(queue_id)).identity == "mail:a@example.org"


@pytest.mark.parametrize(
    ("mail", "sender", "peer"),
    [
        (LETTER, "a@example.org", PEER),
        (VERIFIED.replace(b"pass", b"fail") + LETTER, "a@example.org", PEER),
        (VERIFIED.replace(b"mx.", b"mx2.") + LETTER, "a@example.org", PEER),
        (VERIFIED + LETTER, "boss@example.org", PEER),  # whom the mail does not say it is from
        (VERIFIED + LETTER, "a@example.org", replace(PEER, address="127.0.0.2")),  # our server's name, from elsewhere
    ],
)
async def test_without_its_word_nobody_is_the_author(build: Build, mail: bytes, sender: str, peer: Peer) -> None:
    house = await _behind_a_server(build)
    with pytest.raises(Refused, match="DKIM") as caught:
        await house.submit(mail=mail, sender=sender, peer=peer)
    assert (caught.value.status, house.files("mail")) == ("5.7.0", [])


async def test_what_no_mail_could_prove_is_refused_before_it_comes(build: Build) -> None:
    house = await _behind_a_server(build)
    with pytest.raises(Refused, match="no route"):
        await house.accept.check_sender(PEER, "a@elsewhere.example", None)
    with pytest.raises(Refused, match="more proof"):
        await house.accept.check_sender(replace(PEER, address="127.0.0.2"), "a@example.org", None)
    await house.accept.check_sender(replace(PEER, address="local"), "a@example.org", None)


async def test_without_a_server_in_front_no_mail_to_come_is_a_proof(house: House) -> None:
    await house.route("@example.org", identity=Identity.DKIM)
    with pytest.raises(Refused, match="more proof"):
        await house.accept.check_sender(PEER, "a@example.org", None)


async def test_a_login_is_proof_enough_without_a_signature(build: Build) -> None:
    house = await _behind_a_server(build)
    queue_id = await house.submit(peer=replace(PEER, login="ann"))
    assert (await house.submission(queue_id)).identity == "user:ann"
