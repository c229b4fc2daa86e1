"""prepared -> uploaded: a document of the job's own, whole, and counted by both sides alike; and its end there."""

from __future__ import annotations

import errno
import hashlib
from decimal import Decimal
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from gateway.edge.admin.queue import Queue
from gateway.errors import KeyRefused, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.model import FaxJob, JobState, MailKind, Verdict
from gateway.ports import JobStatus
from gateway.service.outbound import OutboundSettings
from gateway.service.settle import SettleSettings
from gateway.store import jobs

from .conftest import Build
from .house import LETTER, NUMBER, House, state_of
from .scripted import away

SECOND = "+12025550124"


async def prepared(house: House, *numbers: str) -> None:
    await house.submit(*(numbers or (NUMBER,)))
    await house.turn("prepare")


async def test_each_fax_has_an_upload_of_its_own_under_a_neutral_name(house: House) -> None:
    await prepared(house, NUMBER, SECOND)
    await house.turn("upload")
    first, second = await house.jobs()
    assert (first.document_ref, second.document_ref) == (500, 501)
    assert house.provider.names == [f"{first.id}-1.pdf", f"{second.id}-1.pdf"]
    assert house.provider.uploads[500] == house.provider.uploads[501]
    assert house.on_disk("SELECT state, document_ref FROM job") == [("uploaded", 500), ("uploaded", 501)]


async def test_a_document_that_is_not_whole_is_never_sent(house: House) -> None:
    await prepared(house)
    (job,) = await house.jobs()
    assert job.document is not None
    path = house.spool.path(job.document.file)
    path.write_bytes(path.read_bytes()[:-1])
    await house.turn("upload")
    assert state_of(await house.job(job.id)) == (JobState.PREPARED, True)
    assert house.provider.names == []
    assert await house.told(job.id) == [("delayed", "held")]
    assert await house.alarms() == [f"The fax from a@example.org to {job.number} is held ({job.id})"]


async def test_a_document_that_is_gone_is_never_sent(house: House) -> None:
    await prepared(house)
    house.files("document")[0].unlink()
    await house.turn("upload")
    assert state_of((await house.jobs())[0]) == (JobState.PREPARED, True)


async def test_a_document_that_cannot_be_read_now_is_read_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await prepared(house)
    with monkeypatch.context() as patch, capture_logs() as logged:
        patch.setattr(hashlib, "file_digest", Mock(side_effect=OSError(errno.EMFILE, "too many open files")))
        await house.turn("upload")
    assert [each["why"] for each in logged if each["log_level"] == "warning"] == ["[Errno 24] too many open files"]
    (job,) = await house.jobs()
    assert (job.state, job.hold, job.last_error) == (JobState.PREPARED, "", "the gateway has trouble with its disk")
    house.now = job.next_at
    await house.turn("upload")
    assert await house.states() == ["uploaded"]


async def test_a_document_that_goes_before_its_upload_is_looked_at_again(house: House) -> None:
    await prepared(house)
    house.provider.upload_error = FileNotFoundError(errno.ENOENT, "no such file")
    await house.turn("upload")
    (job,) = await house.jobs()
    assert (job.state, job.hold, job.last_error) == (JobState.PREPARED, "", "the gateway has trouble with its disk")


async def test_another_count_of_pages_is_a_matter_for_a_person(house: House) -> None:
    house.provider.upload_pages = 7
    await prepared(house)
    await house.turn("upload")
    (job,) = await house.jobs()
    assert state_of(job) == (JobState.PREPARED, True)
    assert "counts 7 pages in a document of 1" in job.hold
    assert house.provider.submits == 0
    house.provider.upload_pages = 1
    await house.database.write(lambda tx: jobs.release(tx, job, house.now))
    await house.turn("upload")
    assert house.provider.names == [f"{job.id}-1.pdf", f"{job.id}-2.pdf"]
    assert (await house.job(job.id)).document_ref == 501


async def test_an_id_that_another_fax_has_is_never_used(house: House) -> None:
    house.provider.upload_refs = [500, 500]
    await prepared(house, NUMBER, SECOND)
    await house.turn("upload")
    first, second = await house.jobs()
    assert (first.document_ref, second.document_ref) == (500, None)
    assert state_of(second) == (JobState.PREPARED, True)
    assert "another job has" in second.hold


async def test_the_id_of_a_deleted_document_may_come_again(house: House) -> None:
    """As of a provider that counts on from the documents it keeps."""
    house.provider.upload_refs = [500, 500, 500]
    first = await house.submitted()
    house.provider.statuses[first.provider_ref or 0] = JobStatus(Verdict.SUCCESS, "ok", "Sent")
    await prepared(house, SECOND)
    house.now += 60
    await house.turn("result")
    await house.turn("upload")  # before it is known that the other is deleted
    second = (await house.jobs())[1]
    assert (second.document_ref, second.hold, second.next_at > house.now) == (None, "", True)
    await house.turn("erase")
    house.now = second.next_at
    await house.turn("upload", "submit")
    assert [(job.document_ref, job.provider_ref) for job in await house.jobs()] == [(500, 9000), (500, 9001)]


async def test_trouble_of_the_provider_is_waited_for_longer_and_longer(house: House) -> None:
    await prepared(house)
    house.provider.upload_error = away()
    pauses = []
    for _ in range(8):
        await house.turn("upload")
        (job,) = await house.jobs()
        pauses.append(job.next_at - house.now)
        assert await house.turn("upload") == 0
        house.now = job.next_at
    assert pauses == [30, 60, 120, 240, 480, 900, 900, 900]
    house.provider.upload_error = None
    await house.turn("upload")
    assert await house.states() == ["uploaded"]


async def test_a_provider_that_names_the_pause_is_heeded(house: House) -> None:
    await prepared(house)
    house.provider.upload_error = TryLater("slow down", after=1234.0)
    await house.turn("upload")
    assert (await house.jobs())[0].next_at == house.now + 1234
    house.now += 1234
    house.provider.upload_error = TryLater("slow down", after=0.0)
    await house.turn("upload")
    assert (await house.jobs())[0].next_at == house.now + 1


async def test_a_document_that_is_refused_fails_the_fax_with_the_providers_words(house: House) -> None:
    await prepared(house)
    house.provider.upload_error = Refused("the file type is not allowed")
    await house.turn("upload")
    (job,) = await house.jobs()
    assert (job.state, job.outcome, job.last_error) == (JobState.FAILED, "file_refused", "the file type is not allowed")
    assert await house.told(job.id) == [("failed", "file_refused")]


async def test_an_upload_refused_for_want_of_credit_waits_until_the_account_is_paid(house: House) -> None:
    house.provider.upload_error, house.provider.amount = Refused("payment required"), Decimal(0)
    await prepared(house, NUMBER, SECOND)
    assert await house.turn("upload") == 1  # the second was not even tried
    assert (house.gate.is_open, house.gate.lacks_credit) == (False, True)
    assert await house.alarms() == ["The fax account lacks credit: faxes wait"]
    assert [state_of(job) for job in await house.jobs()] == [(JobState.PREPARED, False)] * 2
    house.provider.upload_error = None
    house.gate.balance(Decimal("0.10"))
    await house.settle()
    assert await house.states() == ["submitted", "submitted"]
    assert len(await house.mails()) == 1


async def test_a_fax_is_given_up_when_no_balance_makes_the_provider_take_its_document(house: House) -> None:
    """Some money is there, and no price to compare it with: each look at the balance leads to one try."""
    house.provider.upload_error, house.provider.amount = Refused("payment required"), Decimal("0.01")
    await prepared(house)
    house.now += 6 * 86400
    for _ in range(25):
        await house.turn("upload", "expire")
        house.now += 60
        house.gate.balance(house.provider.amount)
    (job,) = await house.jobs()
    assert (job.state, job.outcome) == (JobState.FAILED, "expired")
    assert "lacks credit" in str((await house.mails(MailKind.FAILED))[0].facts["text"])


async def test_a_refused_key_stops_the_uploads_and_nothing_fails(house: House) -> None:
    await prepared(house, NUMBER, SECOND)
    house.provider.upload_error = KeyRefused("the key is refused")
    assert await house.turn("upload") == 1  # the second was not even tried
    assert not house.gate.is_open
    house.provider.upload_error = None
    house.gate.succeeded()
    house.now += 30
    await house.turn("upload")
    assert await house.states() == ["uploaded", "uploaded"]


async def test_a_fax_cancelled_during_its_upload_is_not_sent(house: House) -> None:
    await prepared(house)
    (job,) = await house.jobs()
    real = house.provider.upload

    async def upload(*arguments: object) -> object:
        await house.outbound.settle.cancel(job, silent=True)
        return await real(*arguments)  # type: ignore[arg-type]

    house.provider.upload = upload  # type: ignore[method-assign, assignment]
    await house.settle()
    assert await house.states() == ["cancelled"]
    assert house.provider.submits == 0


@pytest.mark.parametrize("step", ["upload", "submit"])
async def test_who_cancels_a_fax_that_takes_its_next_step_meanwhile_is_told_as_it_is(
    house: House, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await house.uploaded() if step == "submit" else await house.job(f"{await house.submit()}-1")
    await house.turn("prepare")
    house.provider.answer_submit = lambda _ref: (_ for _ in ()).throw(OutcomeUnknown("no answer"))
    queue = Queue(house.database, house.outbound, house.divided, "US", house.clock)
    cancel = house.outbound.settle.cancel

    async def meanwhile(job: FaxJob, *, silent: bool) -> bool:
        await house.turn(step)
        return await cancel(job, silent=silent)

    monkeypatch.setattr(house.outbound.settle, "cancel", meanwhile)
    told = await queue.cancel([job.id])
    unchanged = [{"id": job.id, "why": "its outcome is being found out; hold it first"}] if step == "submit" else []
    assert told["unchanged"] == unchanged
    assert await house.states() == ["in_doubt" if step == "submit" else "cancelled"]


async def test_the_jobs_that_wait_longest_go_first(house: House) -> None:
    for n in range(3):
        await house.submit(f"+1202555010{n}", mail=LETTER + str(n).encode())
        await house.turn("prepare")
        house.now += 1
    house.provider.upload_error = away()
    await house.turn("upload")  # pauses end in the order they began
    house.now += 29
    house.provider.upload_error = None
    await house.submit("+12025550109", mail=LETTER + b"new")
    await house.turn("prepare")
    house.now += 2
    await house.turn("upload")
    numbers = {job.id: job.number.e164[-1] for job in await house.jobs()}
    assert [numbers[name.rpartition("-")[0]] for name in house.provider.names] == ["9", "0", "1", "2"]


async def test_what_is_given_up_before_another_upload_is_looked_for_in_the_history(house: House) -> None:
    """The provider said that it has no such document, sent the fax, and showed it late."""
    job = await house.uploaded()
    house.provider.answer_submit = Mock(side_effect=NotFound("no such document"))
    house.provider.hide_history = True
    await house.turn("submit")
    assert await house.states() == ["prepared"]
    house.provider.upload_error, house.provider.hide_history = away(), False
    for _ in range(30):
        house.now += 6 * 3600
        await house.turn("upload")
    held = await house.job(job.id)
    assert state_of(held) == (JobState.PREPARED, True)
    assert "shows it as fax 9000" in held.hold
    assert [kind for kind, _ in await house.told(job.id)] == ["unknown"]


# --- after the end ----------------------------------------------------------------------------------------------------


async def ended(house: House) -> str:
    await prepared(house)
    await house.turn("upload")
    (job,) = await house.jobs()
    await house.outbound.settle.cancel(job, silent=True)
    return job.id


async def test_the_providers_copy_goes_when_the_fax_has_ended(house: House) -> None:
    await ended(house)
    await house.turn("erase")
    assert house.provider.deleted == [500]
    assert await house.turn("erase") == 0
    assert house.on_disk("SELECT erased_at IS NOT NULL FROM job") == [(1,)]


async def test_a_copy_that_cannot_be_deleted_now_is_deleted_later(house: House) -> None:
    await ended(house)
    house.provider.delete_error = away()
    await house.turn("erase")
    assert await house.turn("erase") == 0
    house.now += 900
    house.provider.delete_error = None
    await house.turn("erase")
    assert house.provider.deleted == [500]


async def test_a_copy_that_is_never_deleted_is_noted_and_not_asked_for_again(house: House) -> None:
    job = await ended(house)
    house.provider.delete_error = Refused("not yours")
    await house.turn("erase")
    assert "does not delete the document 500: not yours" in (await house.history(job))[-1]
    house.now += 10_000
    assert await house.turn("erase") == 0


async def test_a_copy_that_is_not_there_is_deleted(house: House) -> None:
    await ended(house)
    house.provider.delete_error = NotFound("no such file")
    await house.turn("erase")
    house.now += 10_000
    assert await house.turn("erase") == 0


async def test_a_refused_key_leaves_the_copy_for_later(house: House) -> None:
    await ended(house)
    house.provider.delete_error = KeyRefused("the key is refused")
    await house.turn("erase")
    assert not house.gate.is_open
    house.provider.delete_error = None
    house.now += 900
    assert await house.turn("erase") == 0
    house.gate.succeeded()
    await house.turn("erase")
    assert house.provider.deleted == [500]


@pytest.mark.parametrize(("min_time", "soon"), [(1800.0, True), (3 * 3600.0, False)])
async def test_a_copy_that_is_to_stay_a_while_stays_at_a_reload_and_while_times_are_mended(
    build: Build, min_time: float, soon: bool
) -> None:
    """Its fax was refused, and its history may show for all that: then its sender is told so, before the copy goes."""
    house = await build(outbound=OutboundSettings(settle=SettleSettings(doubt_min_time=min_time)))
    await house.uploaded()
    house.provider.execute = False
    house.provider.answer_submit = Mock(side_effect=Refused("invalid number"))
    await house.turn("submit")
    assert await house.states() == ["failed"]
    await house.outbound.mend_times(soon=soon)
    house.now += min_time - 1
    assert await house.turn("erase") == 0
    house.now += 1
    assert await house.turn("erase") == 1
    assert house.provider.deleted == [500]


@pytest.mark.parametrize("soon", [True, False])
async def test_a_copy_is_deleted_though_a_wrong_clock_has_put_that_far_away(house: House, soon: bool) -> None:
    job = await house.job(await ended(house))
    await house.database.write(lambda tx: jobs.touch(tx, job, house.now, next_at=house.now + 5 * 365 * 86400))
    await house.outbound.mend_times(soon=soon)
    await house.turn("erase")
    assert house.provider.deleted == [500]


# --- senders hear of a long wait --------------------------------------------------------------------------------------


async def test_a_sender_is_told_once_that_his_fax_waits_and_until_when(house: House) -> None:
    await prepared(house)
    accepted_at = house.now
    house.provider.upload_error = away()
    for _ in range(40):
        await house.turn("upload", "delay")
        house.now += 900
        if house.now - accepted_at <= 4 * 3600:
            assert await house.mails() == []
    (job,) = await house.jobs()
    assert await house.told(job.id) == [("delayed", "waiting")]
    (mail,) = await house.mails(MailKind.DELAYED)
    assert (mail.facts["text"], mail.facts["retry_until"]) == ("the provider is away", accepted_at + 5 * 86400)
    assert await house.alarms() == ["Faxes wait for long"]


async def test_after_a_long_stop_no_time_that_is_past_is_named(house: House) -> None:
    await prepared(house)
    house.now += 6 * 86400
    await house.turn("delay")
    (mail,) = await house.mails(MailKind.DELAYED)
    assert (mail.facts["next_at"], mail.facts["retry_until"]) == (None, None)


async def test_the_operator_is_told_once_a_day_however_many_wait(house: House) -> None:
    house.provider.upload_error = away()
    await prepared(house, *(f"+1202555{n:04}" for n in range(100, 120)))
    await house.turn("upload")
    house.now += 4 * 3600 + 1
    await house.turn("delay")
    assert len(await house.mails(MailKind.DELAYED)) == 20
    assert len(await house.alarms()) == 1
    assert await house.turn("delay") == 0


async def test_a_shut_gate_is_told_as_the_reason(house: House) -> None:
    await prepared(house)
    house.gate.shut("the fax provider refuses the API key")
    house.now += 4 * 3600 + 1
    await house.turn()
    assert (await house.mails(MailKind.DELAYED))[0].facts["text"] == "the fax provider refuses the API key"


async def test_a_fax_that_the_operator_holds_is_told_without_his_reason(house: House) -> None:
    await prepared(house)
    (job,) = await house.jobs()
    await house.database.write(lambda tx: jobs.hold(tx, job, house.now, "smells of fraud"))
    house.now += 4 * 3600 + 1
    await house.turn()
    (mail,) = await house.mails()
    assert (mail.facts["code"], mail.facts["text"]) == ("held", "the people who run the gateway hold it")


async def test_who_was_told_that_his_fax_waits_is_not_told_again_when_it_is_held(house: House) -> None:
    await prepared(house)
    house.now += 4 * 3600 + 1
    await house.turn("delay")
    (job,) = await house.jobs()
    assert await house.outbound.settle.hold(job, "it needs approval")
    assert await house.told(job.id) == [("delayed", "waiting")]
    assert await house.alarms() == [
        "Faxes wait for long",
        f"The fax from a@example.org to {job.number} is held ({job.id})",
    ]


async def test_a_fax_that_only_waits_for_its_turn_is_told_so(house: House) -> None:
    await house.submit()
    house.now += 4 * 3600 + 1
    await house.turn("delay")
    assert (await house.mails(MailKind.DELAYED))[0].facts["text"] == "it has not had its turn yet"


async def test_a_fax_that_was_handed_over_meanwhile_is_not_told_as_waiting(house: House) -> None:
    job = await house.uploaded()
    await house.outbound.settle.cancel(job, silent=True)
    await house.outbound.settle.delayed(job)
    assert await house.mails() == []


async def test_a_fax_that_nobody_can_send_is_given_up_after_days_and_real_tries(house: House) -> None:
    await prepared(house)
    house.provider.upload_error = away()
    house.now += 6 * 86400
    tries = 0
    while (await house.states()) == ["prepared"]:
        await house.turn("upload")
        tries += 1
        house.now += 900
    assert tries == 20
    (job,) = await house.jobs()
    assert (job.state, job.outcome) == (JobState.FAILED, "expired")
    assert await house.told(job.id) == [("failed", "expired")]
    assert "the provider is away" in (await house.mails(MailKind.FAILED))[0].facts["text"]
