"""Uploads that no fax needs are deleted at the provider; whatever may still matter is not."""

from __future__ import annotations

import pytest

from gateway.errors import KeyRefused, NotFound, OutcomeUnknown, Refused, TryLater
from gateway.model import JobState
from gateway.ports import StoredFile, Submitted
from gateway.store.ids import new_id, time_of

from .house import NUMBER, Crash, House
from .scripted import ScriptedProvider, away

DAY = 86400.0


async def crash_after_upload(house: House) -> House:
    """The upload is made, and the process ends before it is recorded."""
    await house.submit()
    await house.turn("prepare")
    real = house.provider.upload

    async def upload(*arguments: object) -> object:
        await real(*arguments)  # type: ignore[arg-type]
        raise Crash

    house.provider.upload = upload  # type: ignore[method-assign, assignment]
    with pytest.raises(Crash):
        await house.turn("upload")
    house.provider.upload = real  # type: ignore[method-assign]
    reborn = await house.crash()
    await reborn.outbound.recover()
    return reborn


async def test_an_upload_that_a_crash_left_is_deleted_a_day_later_and_the_fax_is_sent_once(house: House) -> None:
    reborn = await crash_after_upload(house)
    reborn.now += 100
    await reborn.settle()
    assert [name.rpartition("-")[2] for name in house.provider.names] == ["1.pdf", "2.pdf"]
    assert house.provider.executed == [(501, NUMBER[1:])]
    assert await reborn.outbound.sweep_uploads(DAY) == 0
    reborn.now += DAY
    assert await reborn.outbound.sweep_uploads(DAY) == 1
    assert house.provider.deleted == [500]
    assert await reborn.states() == ["submitted"]
    await reborn.close()


async def test_the_latest_upload_of_a_waiting_fax_may_be_on_its_way(house: House) -> None:
    reborn = await crash_after_upload(house)
    reborn.now += 2 * DAY
    assert await reborn.outbound.sweep_uploads(DAY) == 0
    await reborn.settle()
    assert await reborn.outbound.sweep_uploads(DAY) == 1
    assert house.provider.deleted == [500]
    await reborn.close()


@pytest.mark.parametrize("state", [JobState.UPLOADED, JobState.SUBMITTING, JobState.IN_DOUBT, JobState.SUBMITTED])
async def test_what_an_open_fax_refers_to_stays(house: House, state: JobState) -> None:
    if state is JobState.SUBMITTING:
        house.provider.on_submit = _crash
    elif state is JobState.IN_DOUBT:
        house.provider.answer_submit = _no_answer
    job = await house.uploaded()
    if state is JobState.SUBMITTING:
        with pytest.raises(Crash):
            await house.turn("submit")
    elif state is not JobState.UPLOADED:
        await house.turn("submit")
    assert (await house.job(job.id)).state is state
    house.now += 30 * DAY
    assert await house.outbound.sweep_uploads(DAY) == 0
    assert house.provider.deleted == []


async def test_an_upload_that_was_sent_stays_while_its_fax_is_open_even_when_another_took_its_place(
    house: House,
) -> None:
    """The history is searched by the documents of all attempts."""
    job = await house.uploaded()
    house.provider.stored = [StoredFile(500, f"{job.id}-1.pdf")]
    house.provider.execute = False
    house.provider.answer_submit = _lost
    await house.turn("submit")
    house.provider.execute = True
    house.provider.answer_submit = Submitted
    house.now += 100
    await house.turn("upload", "submit")
    assert (await house.job(job.id)).document_ref == 501
    house.now += 2 * DAY
    assert await house.outbound.sweep_uploads(DAY) == 0


async def test_uploads_of_ended_and_of_forgotten_faxes_go(house: House) -> None:
    job = await house.uploaded()
    ended, forgotten, fresh = (
        f"{job.id}-7.pdf",
        f"{new_id(house.now)}-1-1.pdf",
        f"{new_id(house.now + 2 * DAY)}-1-1.pdf",
    )
    house.provider.stored = [StoredFile(1, ended), StoredFile(2, forgotten), StoredFile(3, fresh)]
    await house.outbound.settle.cancel(job, silent=True)
    house.now += DAY - 1
    assert await house.outbound.sweep_uploads(DAY) == 0
    house.now += 2
    assert await house.outbound.sweep_uploads(DAY) == 2
    assert house.provider.deleted == [1, 2]


async def test_a_fax_that_ended_just_now_is_left_to_its_own_step(house: House) -> None:
    job = await house.uploaded()
    house.now += 2 * DAY
    await house.outbound.settle.cancel(job, silent=True)
    assert await house.outbound.sweep_uploads(DAY) == 0


async def test_names_that_we_did_not_make_are_left_alone(house: House) -> None:
    id_ = new_id(house.now)
    names = ["", "invoice.pdf", f"{id_}.pdf", f"{id_}-1.pdf", f"{id_}-1-1.PDF", f"x{id_}-1-1.pdf", f"{id_}-1-1.pdf.bak",
             f"{id_[:-1]}-1-1.pdf", f"{id_}-0-1.pdf", f"{id_}-1-0.pdf", f"{'A' * 12}-1-1.pdf", f"{id_}-1-1.pdf\n",
             f"../{id_}-1-1.pdf"]  # fmt: skip
    house.provider.stored = [StoredFile(n, name) for n, name in enumerate(names)]
    house.now += 10 * DAY
    assert await house.outbound.sweep_uploads(DAY) == 0
    assert house.provider.deleted == []


async def test_one_that_cannot_be_deleted_does_not_hinder_the_others(house: House) -> None:
    names = [StoredFile(n, f"{new_id(house.now)}-1-1.pdf") for n in (1, 2, 3)]
    house.provider.stored = names
    house.now += 2 * DAY
    real = house.provider.delete

    async def delete(document_ref: int) -> None:
        if document_ref == 2:
            raise Refused("not yours")
        await real(document_ref)

    house.provider.delete = delete  # type: ignore[method-assign]
    assert await house.outbound.sweep_uploads(DAY) == 2
    assert house.provider.deleted == [1, 3]


async def test_a_list_that_cannot_be_read_or_a_refused_key_ends_the_sweep(house: House) -> None:
    house.provider.stored = [StoredFile(1, f"{new_id(house.now)}-1-1.pdf")]
    house.now += 2 * DAY
    house.provider.delete_error = KeyRefused("the key is refused")
    with pytest.raises(KeyRefused):
        await house.outbound.sweep_uploads(DAY)
    house.provider.delete_error = None

    async def files(page: int, limit: int) -> tuple[StoredFile, ...]:
        raise away()

    house.provider.files = files  # type: ignore[method-assign]
    with pytest.raises(TryLater):
        await house.outbound.sweep_uploads(DAY)
    assert house.provider.deleted == []


async def test_a_shut_gate_asks_nothing(house: House) -> None:
    house.provider.stored = [StoredFile(1, f"{new_id(house.now)}-1-1.pdf")]
    house.now += 2 * DAY
    house.gate.shut("the key is refused")
    assert await house.outbound.sweep_uploads(DAY) == 0
    assert house.provider.deleted == []


async def test_a_provider_that_does_not_page_is_read_once(house: House) -> None:
    file = StoredFile(1, f"{new_id(house.now)}-1-1.pdf")
    house.now += 2 * DAY

    class Same(ScriptedProvider):
        pages = 0

        async def files(self, page: int, limit: int) -> tuple[StoredFile, ...]:
            self.pages += 1
            return (file,)

    house.outbound._provider = same = Same()
    assert await house.outbound.sweep_uploads(DAY) == 1
    assert (same.pages, same.deleted) == (2, [1])


def test_an_id_tells_when_it_was_made() -> None:
    for at in (0.000001, 1_795_428_900.123456, 2_500_000_000.0):
        made = time_of(new_id(at))
        assert made is not None
        assert abs(made - at) < 0.000002
    assert time_of("short") is None
    assert time_of("A" * 12) is None


def _crash() -> None:
    raise Crash


def _no_answer(_ref: int) -> Submitted:
    raise OutcomeUnknown("no answer")


def _lost(_ref: int) -> Submitted:
    raise NotFound("Document not found")
