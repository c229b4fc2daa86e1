"""A mail whose number is its subject: only where the sender's route says so, and never digits out of a subject."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.errors import Refused, TryLater
from gateway.limits import Cap
from gateway.model import Envelope, Notify, Unnumbered

from .house import PEER, House

ADDRESS = "subject@fax.local"


async def sent(house: House, subject: str, *, more: str = "", **said: Any) -> str:
    draft = house.accept.draft()
    draft.write(f"Subject: {subject}\r\n{more}\r\nPlease read.\r\n".encode())
    unnumbered = await house.accept.unnumbered(PEER, "a@example.org", said.pop("address", ADDRESS))
    assert unnumbered is not None
    return await house.accept.accept(Envelope(PEER, "a@example.org", (), unnumbered=unnumbered), draft)


async def test_without_a_route_it_is_an_address_as_any(house: House) -> None:
    assert await house.accept.unnumbered(PEER, "a@example.org", ADDRESS) is None
    await house.route("*")
    assert await house.accept.unnumbered(PEER, "a@example.org", ADDRESS) is None
    with pytest.raises(Refused, match="a number cannot contain 's'"):
        await house.accept.check_recipient(PEER, "a@example.org", ADDRESS)


@pytest.mark.parametrize(
    "local", ["+12025550123", "12025550123", "reception", "subjects", "my.subject", "FAX=+12025550123"]
)
async def test_an_address_that_says_more_is_never_left_to_the_subject(house: House, local: str) -> None:
    await house.route("@example.org", number_in_subject=True)
    assert await house.accept.unnumbered(PEER, "a@example.org", f"{local}@fax.local") is None


async def test_options_that_are_unknown_are_refused_with_the_address(house: House) -> None:
    await house.route("@example.org", number_in_subject=True)
    with capture_logs() as logs, pytest.raises(Refused, match="colour"):
        await house.accept.unnumbered(PEER, "a@example.org", "subject/colour=red@fax.local")
    assert [entry["event"] for entry in logs] == ["rejected"]


@pytest.mark.parametrize(
    "subject",
    ["+12025550124", "12025550124", " (202) 555-0124 ", "+1 202 555 0124", "=?utf-8?B?KzEyMDI1NTUwMTI0?=",
     "+12025550124 [fax: resolution=standard]"],
)  # fmt: skip
async def test_the_whole_subject_is_the_number(house: House, subject: str) -> None:
    await house.route("@example.org", number_in_subject=True)
    await sent(house, subject)
    (job,) = await house.jobs()
    assert (job.number.e164, job.rcpt) == ("+12025550124", ADDRESS)


@pytest.mark.parametrize(
    "subject",
    ["", "Scan", "Fax +12025550124", "Re: +12025550124", "+12025550124 Invoice 4711", "+12025550124, +12025550125",
     "+12025550124 ext. 5", "+1202555O124", "+１２０２５５５０１２４", "1-800-FLOWERS", "911", "5550124", "FAX=+12025550124",
     "Invoice 12025550124", "=?utf-8?q?+1202=E2=80=8B5550124?=", "=?utf-8?q?=E2=80=AE+12025550124?=",
     "+1\t202 5550124", "+12025550124" + " " * 600 + "no", "+12025550124\r\nSubject: +12025550125",
     "+1202555\r\nSubject: 0124", "+12025550124\r\nSubject: Scan"],
)  # fmt: skip
async def test_what_is_more_or_less_than_a_number_is_refused(house: House, subject: str) -> None:
    await house.route("@example.org", number_in_subject=True)
    with pytest.raises(Refused, match="the subject must be a fax number and nothing else: ") as caught:
        await sent(house, subject)
    assert caught.value.status == "5.1.3"
    assert await house.jobs() == []


async def test_what_may_be_dialled_is_asked_as_for_any_number(house: House) -> None:
    await house.route("@example.org", number_in_subject=True, region="GB")
    with pytest.raises(Refused, match="faxes to the United Kingdom"):
        await sent(house, "020 7946 0018")
    await house.route("@example.org", number_in_subject=True, caps=(Cap.parse("day:faxes=1"),))
    with pytest.raises(Refused, match="premium"):
        await sent(house, "+19005551234")
    await sent(house, "+12025550124")
    await house.turn("prepare", "upload", "submit")
    with pytest.raises(TryLater, match="used up"):
        await sent(house, "+12025550125")


async def test_options_and_reports_are_those_of_the_address(house: House) -> None:
    await house.route("@example.org", number_in_subject=True)
    assert await house.accept.unnumbered(PEER, "a@example.org", "Subject/ref=4711@fax.local") == Unnumbered(
        "Subject/ref=4711@fax.local", {"ref": "4711"}
    )
    draft = house.accept.draft()
    draft.write(b"Subject: +12025550124\r\n\r\nPlease read.\r\n")
    asked = Unnumbered(ADDRESS, {"ref": "4711"}, "rfc822;a@b", frozenset({Notify.NEVER}))
    await house.accept.accept(Envelope(PEER, "a@example.org", (), unnumbered=asked), draft)
    (job,) = await house.jobs()
    assert (job.options.reference, job.orcpt, job.notify) == ("4711", "rfc822;a@b", frozenset({Notify.NEVER}))


async def test_a_route_that_has_gone_meanwhile_counts_no_more(house: House) -> None:
    await house.route("@example.org", number_in_subject=True)
    unnumbered = await house.accept.unnumbered(PEER, "a@example.org", ADDRESS)
    await house.route("@example.org")
    draft = house.accept.draft()
    draft.write(b"Subject: +12025550124\r\n\r\nPlease read.\r\n")
    with pytest.raises(Refused, match="you may not give the number in the subject"):
        await house.accept.accept(Envelope(PEER, "a@example.org", (), unnumbered=unnumbered), draft)


async def test_a_part_of_a_mail_cannot_be_sent_so(house: House) -> None:
    await house.route("@example.org", number_in_subject=True)
    with pytest.raises(Refused, match="the device cut the mail into several"):
        await sent(house, "+12025550124", more='Content-Type: message/partial; id="x"; number=1; total=2\r\n')
