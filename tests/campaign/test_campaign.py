"""The campaign in small: the journeys unhurt, a kill at the moments that matter most, and a checker that sees each breach."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.faultpoint import VARIABLE

from . import checker, records
from .checker import Evidence, check
from .daemon import CODE
from .journeys import JOURNEYS, received, route
from .kill import evidence, one, pool, settled
from .nursery import nursery
from .records import Records
from .system_calls import made, tracing
from .world import until, world

pytestmark = pytest.mark.slow

_ROUNDS = {
    "out": ("smtp.replied:1", "provider.sending:1", "provider.sent:2", "relay.taken:1"),
    "parts": ("smtp.replied:1", "smtp.replying:2", "spool.renamed:2", "smtp.replying:3"),
    "unknown": ("store.committed:3",),
    "in": ("callback.replying:1", "relay.sending:1"),
    "failure": ("spool.kept:2",),
}


@pytest.mark.parametrize("name", JOURNEYS)
async def test_a_journey_unhurt(name: str) -> None:
    async with pool() as workers:
        run = await one(workers, JOURNEYS[name], "nowhere")
    assert (run.died, run.breaches) == (False, [])


@pytest.mark.parametrize(("name", "point"), [(name, point) for name, points in _ROUNDS.items() for point in points])
async def test_killed_where_it_matters(name: str, point: str) -> None:
    async with pool() as workers:
        run = await one(workers, JOURNEYS[name], point, env={VARIABLE: point})
    assert (run.died, run.breaches) == (True, [])


async def test_a_forked_gateway_lives_and_dies_as_a_started_one_does() -> None:
    async with nursery(CODE), pool() as workers:
        unhurt = await one(workers, JOURNEYS["out"], "nowhere")
        killed = await one(workers, JOURNEYS["out"], "provider.sending:1", env={VARIABLE: "provider.sending:1"})
    assert (unhurt.died, unhurt.breaches) == (False, [])
    assert (killed.died, killed.breaches) == (True, [])


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("n", [9, 30, 1000])
async def test_a_forked_gateway_is_killed_at_the_very_call(n: int, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    async with nursery(CODE), pool() as workers:
        run = await one(workers, JOURNEYS["in"], "", prefix=tracing(trace, "pwrite64", f"signal=KILL:when={n}"))
    assert run.breaches == []
    assert run.died == (n < 1000)
    assert made(trace) == n if run.died else n > made(trace) > 30


async def test_what_comes_between_two_looks_is_not_at_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A received fax and its mail may be committed right after the cheap look that found nothing under way."""
    async with pool() as workers, world(tmp_path, workers) as here:
        monkeypatch.setattr(records, "is_quiet", lambda _state: True)
        monkeypatch.setattr(records, "read", lambda _state: Records(outbox=[{"state": "queued"}]))
        assert not await settled(here)
        monkeypatch.setattr(records, "read", lambda _state: Records(outbox=[{"state": "sent"}]))
        assert await settled(here)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """The evidence of two faxes out and one in."""

    async def gather(directory: Path) -> Evidence:
        async with pool() as workers, world(directory, workers) as here:
            await here.gateway.start()
            await route(here)
            await here.send(here.wish(2))
            await here.fax_arrives(received())
            assert await until(lambda: settled(here), 60)
            assert await here.gateway.stop() == 0
            return await evidence(here)

    return asyncio.run(gather(tmp_path_factory.mktemp("world")))


def _with(records: Records, table: str, **changes: Any) -> Records:
    """Records whose first row of a table is changed."""
    rows = getattr(records, table)
    if isinstance(rows, dict):
        first = next(iter(rows))
        return replace(records, **{table: {**rows, first: {**rows[first], **changes}}})
    return replace(records, **{table: [{**rows[0], **changes}, *rows[1:]]})


def _histories(records: Records, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Records:
    return replace(records, events={job: change(events) for job, events in records.events.items()})


def _spoiled(e: Evidence) -> Iterator[tuple[str, Evidence]]:
    """The evidence, spoiled so that one rule must see it."""
    job = next(iter(e.records.jobs))
    rest = {name: row for name, row in e.records.jobs.items() if name != job}
    yield "every_250_is_a_job", replace(e, records=replace(e.records, jobs=rest))
    yield "every_250_is_a_job", replace(e, wishes=[replace(e.wishes[0], told=[*e.wishes[0].told, "another"])])
    yield "nobody_else_is_faxed", replace(e, faxes=[{**e.faxes[0], "fax_number": "+12025550123"}, *e.faxes])
    yield "one_execution_a_job", replace(e, faxes=[*e.faxes, {**e.faxes[0], "fax_job_id": 1}])
    yield "every_job_ends", replace(e, records=_with(e.records, "jobs", finished_at=None))
    yield "every_job_ends", replace(e, records=_with(e.records, "jobs", finished_at=None, hold="why"))
    yield "what_can_be_delivered_is", replace(e, records=_with(e.records, "jobs", state="failed"))
    yield "the_end_is_the_truth", replace(e, faxes=[{**fax, "msg_code": "busy"} for fax in e.faxes])
    yield "the_end_is_the_truth", replace(e, records=_with(e.records, "jobs", provider_ref=1))
    yield "the_right_pages_arrive", replace(e, records=_with(e.records, "jobs", document_sha256="0"))
    yield "the_right_pages_arrive", replace(e, records=_with(e.records, "jobs", document_pages=7))
    outbox = [row for row in e.records.outbox if row["cause"] != job]
    yield "one_notice_an_end", replace(e, records=replace(e.records, outbox=outbox))
    yield "every_mail_arrives", replace(e, mails=e.mails[1:])
    yield "every_mail_arrives", replace(e, mails=[*e.mails, e.mails[0]])
    yield "every_mail_arrives", replace(e, records=_with(e.records, "outbox", state="dead"))
    yield "every_200_is_a_fax", replace(e, records=replace(e.records, inbound=[]))
    yield "every_200_is_a_fax", replace(e, records=replace(e.records, inbound=e.records.inbound * 2))
    yield "only_allowed_changes", replace(e, records=_with(e.records, "jobs", state="in_doubt"))
    yield "only_allowed_changes", replace(e, records=_histories(e.records, lambda events: events[:2] + events[4:]))
    yield "attempts_are_written_ahead", replace(e, records=replace(e.records, attempts={}))
    twice = {name: attempts * 2 for name, attempts in e.records.attempts.items()}
    yield "attempts_are_written_ahead", replace(e, records=replace(e.records, attempts=twice))
    yield "files_and_rows_agree", replace(e, records=replace(e.records, files={}))
    yield "files_and_rows_agree", replace(e, records=replace(e.records, files={**e.records.files, "mail/x": 1}))
    emptied = dict.fromkeys(e.records.files, 0)
    yield "files_and_rows_agree", replace(e, records=replace(e.records, files=emptied))
    yield "files_and_rows_agree", replace(e, records=replace(e.records, drafts=frozenset({"x"})))


def test_the_checker_finds_nothing_where_nothing_is(good: Evidence) -> None:
    assert check(good) == []


def test_the_checker_sees_each_breach(good: Evidence) -> None:
    seen = set()
    for name, spoiled in _spoiled(good):
        rule = getattr(checker, name)
        assert list(rule(spoiled)), name
        seen.add(rule)
    assert seen == set(checker.RULES)
