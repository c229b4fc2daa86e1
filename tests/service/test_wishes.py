"""What a sender asks for in his mail is what his fax is like, when it is sent, and what he is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.document import cover
from gateway.document.cover_choice import CoverChoice
from gateway.edge.admin.queue import Queue
from gateway.errors import OutcomeUnknown, Refused
from gateway.model import Alias, Envelope, FaxJob, FaxNumber, FaxOptions, JobState, MailKind
from gateway.store import aliases, jobs, waiting

from .house import LETTER, NUMBER, PEER, START, House

SECOND, THIRD = "+12025550124", "+12025550125"
HOUR = 3600.0


def letter(subject: str = "Invoice", text: str = "Please read.") -> bytes:
    return f"From: a@example.org\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


async def send(house: House, *to: str, mail: bytes = LETTER) -> list[FaxJob]:
    """A mail comes in at the door; the jobs it makes."""
    recipients = [await house.accept.check_recipient(PEER, "a@example.org", f"{local}@fax.local") for local in to]
    draft = house.accept.draft()
    draft.write(mail)
    queue_id = await house.accept.accept(Envelope(PEER, "a@example.org", tuple(recipients)), draft)
    return await house.database.read(lambda tx: jobs.of_submission(tx, queue_id))


async def test_the_address_counts_before_the_mail_and_the_mail_before_the_route(house: House) -> None:
    await house.route("a@example.org", options={"cover": "formal", "resolution": "standard", "ref": "route"})
    mail = letter("Invoice [fax: cover=auto, ref=mail]", "[fax: cover=none, priority=high]\r\nPlease read.")
    first, second = await send(house, NUMBER, f"{SECOND}/ref=address/cover=none/attn=Joe", mail=mail)
    assert first.options == FaxOptions(cover="auto", resolution="standard", reference="mail", priority=1)
    assert second.options == FaxOptions(
        cover="none", resolution="standard", reference="address", attn="Joe", priority=1
    )
    assert (await house.submission(first.submission)).subject == "Invoice"
    assert await house.job(second.id) == second, "as it was stored"


async def test_a_reference_is_told_with_the_result(house: House) -> None:
    await send(house, f"{NUMBER}/ref=4711")
    house.workshop.faults.append({"refused": "it is a picture of a cat", "status": "5.6.1"})
    await house.turn("prepare")
    (mail,) = await house.mails(MailKind.FAILED)
    assert mail.facts["reference"] == "4711"


# --- pages ------------------------------------------------------------------------------------------------------------


async def test_faxes_that_want_the_same_pages_share_a_document_and_others_have_their_own(house: House) -> None:
    await send(house, NUMBER, f"{SECOND}/resolution=standard", f"{THIRD}/ref=4711")
    await house.turn("prepare")
    first, second, third = [job.document for job in await house.jobs()]
    assert first is not None
    assert second is not None
    assert first == third
    assert first.file != second.file
    assert first.seconds > second.seconds
    assert house.workshop.calls == ["extract", "render", "extract", "render"]
    assert len(house.files("document")) == 2


async def test_what_makes_one_fax_impossible_does_not_hinder_the_others(house: House) -> None:
    await send(house, f"{NUMBER}/body=never", SECOND)
    await house.turn("prepare")
    first, second = await house.jobs()
    assert (first.state, second.state) == (JobState.FAILED, JobState.PREPARED)
    assert await house.told(first.id) == [("failed", "content")]
    assert await house.told(second.id) == []


async def test_a_conversion_to_be_tried_again_leaves_alone_what_is_made(house: House) -> None:
    await send(house, NUMBER, f"{SECOND}/paper=a4")
    (first, _) = await house.jobs()
    real = house.workshop.run

    async def run(function: str, /, **arguments: Any) -> Any:
        if house.workshop.calls.count("render") == 1:  # the second document
            house.workshop.faults.append({"failed": "the converter crashed"})
        return await real(function, **arguments)

    house.workshop.run = run  # type: ignore[method-assign]
    await house.turn("prepare")
    assert await house.states() == ["prepared", "accepted"]
    made = (await house.job(first.id)).document
    house.workshop.run = real  # type: ignore[method-assign]
    house.now += HOUR
    await house.turn("prepare")
    assert await house.states() == ["prepared", "prepared"]
    assert (await house.job(first.id)).document == made


# --- when -------------------------------------------------------------------------------------------------------------


async def test_a_fax_for_later_is_prepared_at_once_and_sent_when_it_is_wanted(house: House) -> None:
    (job,) = await send(house, f"{NUMBER}/send-at=+2d")
    assert job.options.send_at == START + 48 * HOUR
    await house.settle()
    job = await house.job(job.id)
    assert (job.state, job.next_at) == (JobState.PREPARED, START + 48 * HOUR)
    house.now += 47 * HOUR
    await house.outbound.mend_times()
    await house.settle()
    assert await house.states() == ["prepared"]
    assert [mail.kind for mail in await house.mails()] == [MailKind.ACCEPTED], "it is not late"
    house.now += HOUR
    await house.settle()
    assert await house.states() == ["submitted"]
    assert (await house.jobs())[0].attempts == 1


async def test_the_sender_of_faxes_for_later_is_told_once_when_they_go(house: House) -> None:
    numbers = [f"+1202555010{n}" for n in range(4)]
    await send(house, f"{numbers[0]}/send-at=+2d", f"{numbers[1]}/send-at=+2d", f"{numbers[2]}/send-at=+1d", numbers[3])
    await house.settle()
    told = [mail for mail in await house.mails() if mail.kind is MailKind.ACCEPTED]
    assert [mail.facts["next_at"] for mail in told] == [START + 48 * HOUR, START + 24 * HOUR]
    both, one = told
    assert [each["number"] for each in both.facts["recipients"]] == numbers[:2]
    assert both.facts["job"] == both.facts["submission"]
    assert one.facts["number"] == numbers[2]
    assert all(mail.facts["pages"] and mail.facts["ledger"] for mail in told)


async def test_a_fax_that_is_held_is_not_told_as_one_that_goes(house: House) -> None:
    held, free = await send(house, f"{NUMBER}/send-at=+2d", "+12025550199/send-at=+2d")
    await house.database.write(lambda tx: jobs.hold(tx, held, house.now, "wrong letter?"))
    await house.turn("prepare")
    assert await house.states() == ["prepared", "prepared"]
    assert [mail.facts["number"] for mail in await house.mails()] == [free.number.e164]


async def test_a_fax_that_was_cancelled_while_it_was_prepared_is_not_told_as_ready(house: House) -> None:
    (job,) = await send(house, f"{NUMBER}/send-at=+2d")
    real = house.workshop.run

    async def run(function: str, /, **arguments: Any) -> Any:
        made = await real(function, **arguments)
        if function.endswith(":render"):
            assert await house.outbound.settle.cancel(await house.job(job.id), silent=True)
        return made

    house.workshop.run = run  # type: ignore[method-assign]
    await house.settle()
    assert await house.states() == ["cancelled"]
    assert await house.mails() == []


async def test_waiting_is_counted_from_the_time_a_fax_is_wanted(house: House) -> None:
    (job,) = await send(house, f"{NUMBER}/send-at=+2d")
    await house.turn("prepare")
    assert await house.database.read(waiting.oldest_untold) == START + 48 * HOUR
    assert await house.database.read(lambda tx: waiting.overdue(tx, START + 48 * HOUR, 9)) == []
    assert await house.database.read(lambda tx: waiting.overdue(tx, START + 49 * HOUR, 9)) == [await house.job(job.id)]


async def test_a_fax_for_later_that_a_person_has_sent_now_is_looked_for_as_any(house: House) -> None:
    (job,) = await send(house, f"{NUMBER}/send-at=+2d")
    queue = Queue(house.database, house.outbound, house.divided, "US", house.clock)
    (refused,) = (await queue.retry([job.id]))["unchanged"]
    assert refused["why"] == "its pages are not ready yet; send it now when they are"
    await house.turn("prepare")
    assert (await queue.retry([job.id]))["changed"] == [job.id]
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    await house.turn("upload", "submit")
    for state in ("in_doubt", "submitted"):
        assert await house.states() == [state]
        await queue.hold([job.id])
        await queue.release([job.id])
        assert (await house.job(job.id)).next_at == house.now
        await house.turn("doubt")


async def test_a_fax_for_later_that_a_person_has_sent_again_is_due(house: House) -> None:
    (job,) = await send(house, f"{NUMBER}/send-at=+2d")
    queue = Queue(house.database, house.outbound, house.divided, "US", house.clock)
    await house.turn("prepare")
    await queue.retry([job.id])
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    await house.turn("upload", "submit")
    await queue.hold([job.id])
    assert (await queue.retry([job.id], resend=True))["changed"] == [job.id]
    assert (await house.states(), (await house.job(job.id)).next_at) == (["uploaded"], house.now)


async def test_a_fax_for_later_can_be_held_released_and_cancelled(house: House) -> None:
    (job,) = await send(house, f"{NUMBER}/send-at=+2h")
    await house.turn("prepare")

    async def prepared() -> FaxJob:
        return await house.job(job.id)

    held = await prepared()
    assert await house.database.write(lambda tx: jobs.hold(tx, held, house.now, "by the operator"))
    assert await house.database.write(lambda tx: jobs.release(tx, held, house.now))
    assert (await prepared()).next_at == START + 2 * HOUR, "released, it still waits for its time"
    assert await house.outbound.settle.cancel(await prepared(), silent=False)
    house.now += 3 * HOUR
    await house.settle()
    assert await house.states() == ["cancelled"]
    assert house.provider.names == []


async def test_of_those_due_the_faxes_of_high_priority_go_first(house: House) -> None:
    for n, priority in enumerate(["low", "normal", "high", "normal", "high"]):
        await send(house, f"+120255501{n:02}/priority={priority}", mail=letter(f"{n}"))
        house.now += 1
    due = await house.database.read(lambda tx: jobs.due(tx, JobState.ACCEPTED, house.now, 9))
    assert [job.number.e164[-1] for job in due] == ["2", "4", "1", "3", "0"]
    some = await house.database.read(lambda tx: jobs.due(tx, JobState.ACCEPTED, house.now, 3))
    assert [job.number.e164[-1] for job in some] == ["2", "4", "1"]
    assert await house.database.read(lambda tx: jobs.next_due(tx, [JobState.ACCEPTED])) == START


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mail", [letter("x [fax: tsi=911]"), letter(text="[fax: tsi=911]\r\nHi")])
async def test_a_station_id_is_not_for_everybody_to_choose(house: House, mail: bytes) -> None:
    with pytest.raises(Refused, match="the station id") as caught:
        await send(house, f"{NUMBER}/tsi=911")
    assert caught.value.status == "5.7.1"
    with pytest.raises(Refused, match="the station id"):
        await send(house, NUMBER, mail=mail)
    assert await house.jobs() == []
    await house.route("a@example.org", tsi="Example Inc.", own_tsi=True)
    (job,) = await send(house, NUMBER, mail=mail)
    assert job.tsi == "911"
    (job,) = await send(house, SECOND)
    assert job.tsi == "Example Inc."


async def test_an_option_that_is_none_is_refused_at_the_address_and_at_the_end_of_the_mail(house: House) -> None:
    with pytest.raises(Refused, match="covr in the address is not a fax option; there are cover, header") as caught:
        await send(house, f"{NUMBER}/covr=none")
    assert caught.value.status == "5.6.0"
    with pytest.raises(Refused, match="covr in the subject is not a fax option") as caught:
        await send(house, NUMBER, mail=letter("x [fax: covr=none]"))
    assert caught.value.status.startswith("5.6")
    with pytest.raises(Refused, match="is in the past"):
        await send(house, f"{NUMBER}/send-at=2020-01-01T0800")
    assert await house.jobs() == []
    assert house.files("mail") == house.files("tmp") == []


async def test_one_number_in_two_ways_is_refused_and_twice_in_one_way_is_one_fax(house: House) -> None:
    with pytest.raises(Refused, match=r"this mail goes to \+12025550123 already, with other options"):
        await send(house, NUMBER, f"{NUMBER}/ref=4711")
    assert len(await send(house, f"{NUMBER}/ref=4711", "2025550123/reference=4711")) == 1


async def test_the_same_mail_with_other_options_is_another_wish(house: House) -> None:
    first = await send(house, f"{NUMBER}/ref=1")
    assert await send(house, f"{NUMBER}/ref=1") == first, "its 250 was not read"
    assert await send(house, f"{NUMBER}/ref=2") != first


# --- cover pages ------------------------------------------------------------------------------------------------------


async def test_a_cover_page_that_there_is_not_is_refused_in_the_dialogue_with_those_there_are(house: House) -> None:
    covers = CoverChoice("on-request", "classic", ("classic", "modern"))
    house.accept._settings = replace(house.accept._settings, cover=covers)
    with pytest.raises(Refused, match="there is no cover page blue; there are classic, modern, or say cover=none"):
        await send(house, NUMBER, mail=letter("Invoice [fax: cover=blue]"))
    (job,) = await send(house, NUMBER, mail=letter("Invoice [fax: cover=mod]"))
    assert job.options.cover == "mod"
    with pytest.raises(Refused, match="there is no cover page blue"):  # at RCPT: others of the mail are faxed
        await house.accept.check_recipient(PEER, "a@example.org", f"{NUMBER}/cover=blue@fax.local")


async def test_where_a_route_enforces_a_cover_page_the_mail_chooses_only_which(house: House) -> None:
    covers = CoverChoice("on-request", "classic", ("classic", "modern"))
    house.accept._settings = replace(house.accept._settings, cover=covers)
    await house.route("a@example.org", options={"cover": "enforced"})
    for subject, expected in (
        ("Invoice [fax: cover=none]", "classic"),
        ("Order [fax: cover=on-request]", "classic"),
        ("A", "classic"),
        ("B [fax: cover=modern]", "modern"),
    ):
        (job,) = await send(house, NUMBER, mail=letter(subject))
        assert covers(job.options.cover) == expected


async def known(house: House, *entries: tuple[str, str, str, str]) -> None:
    """The address book: short name, number, whom it is for, who is behind it."""
    for name, number, scope, addressee in entries:
        alias = Alias(name, FaxNumber(number), scope, addressee)
        await house.database.write(lambda tx, alias=alias: aliases.put(tx, alias))


async def test_a_cover_page_names_who_is_behind_a_short_name_or_number(house: House) -> None:
    await known(
        house,
        ("reception", NUMBER, "*", "Front desk"), ("4711", NUMBER, "*", "Front desk"), ("plain", SECOND, "*", ""),
    )  # fmt: skip
    for local, expected in (("reception", "Front desk"), ("4711", "Front desk"), (NUMBER, "Front desk"), ("plain", "")):
        (job,) = await send(house, local, mail=letter(f"For {local} [fax: cover=auto]"))
        assert job.options.addressee == expected
    (job,) = await send(house, "reception")
    assert job.options.addressee == ""  # no cover page


async def test_a_number_of_several_names_has_none_for_who_dials_it(house: House) -> None:
    await known(house, ("reception", NUMBER, "*", "Front desk"), ("ward", NUMBER, "*", "Ward 3"))
    for local, expected in (("ward", "Ward 3"), (NUMBER, "")):
        (job,) = await send(house, local, mail=letter(f"For {local} [fax: cover=auto]"))
        assert job.options.addressee == expected


async def test_names_for_other_senders_stand_on_no_cover_page(house: House) -> None:
    await known(
        house,
        ("reception", NUMBER, "*", "Front desk"),
        ("reception", NUMBER, "a@example.org", "St. Mary"),
        ("them", NUMBER, "user:ann", "The slow ones"),
        ("other", SECOND, "user:ann", "Ward 3"),
    )
    for local, expected in ((NUMBER, "St. Mary"), (SECOND, "")):
        (job,) = await send(house, local, mail=letter(f"For {local} [fax: cover=auto]"))
        assert job.options.addressee == expected


async def test_the_name_stands_on_the_page(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    real = cover.page

    def page(options: dict[str, Any], *rest: Any) -> Any:
        drawn.append(options["cover_facts"]["to"])
        return real(options, *rest)

    monkeypatch.setattr(cover, "page", page)
    await known(house, ("reception", NUMBER, "*", "Front desk"))
    await send(house, "reception", mail=letter("Invoice [fax: cover=auto]"))
    await house.turn("prepare")
    assert set(drawn) == {"Front desk"}
