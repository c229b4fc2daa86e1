"""Real gateways on restored, copied and set-back state directories, with the sandbox as provider: no fax goes twice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from campaign import records
from campaign.journeys import received, route
from campaign.kill import pool, settled
from campaign.ports import free_port
from campaign.random_kill import Load
from campaign.world import World, until, world
from thorough import times

from app.made import with_a_mail
from gateway.cli.base import Failed
from gateway.cli.client import AdminClient
from gateway.document.worker import WorkerPool

ROOT = Path(__file__).parents[2]
SOON = 300.0  # seconds within which anything happens, on however busy a machine
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
async def workers() -> AsyncIterator[WorkerPool]:
    async with pool() as converters:
        yield converters


@pytest.fixture
async def here(workers: WorkerPool, tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "world", workers) as made:
        yield made


async def faxgateway(*args: str, status: int = 0) -> tuple[str, str]:
    """Run a command; returns what it prints and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *args, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await process.communicate()
    assert process.returncode == status, (out, said)
    return out.decode(), said.decode()


async def status(here: World) -> dict[str, Any]:
    async with AdminClient(here.state / "admin.sock") as ask:
        return await ask("status", {})


async def compared(here: World) -> None:
    """Wait until sending goes on, and all that it leads to has come to rest."""

    async def is_over() -> bool:
        now = await status(here)
        return now["reconcile"] is None and now["provider"]["state"] == "ok"

    assert await until(is_over, SOON), await status(here)
    assert await until(lambda: records.is_quiet(here.state), SOON), records.read(here.state).open_jobs


async def executed(here: World) -> Counter[str]:
    return Counter(fax["fax_number"] for fax in await here.faxes())


def held(state: Path) -> list[dict[str, Any]]:
    return [job for job in records.read(state).jobs.values() if job["hold"] and job["finished_at"] is None]


async def test_backups_made_under_load_all_restore_and_no_fax_is_sent_again(here: World, tmp_path: Path) -> None:
    await here.gateway.start()
    await route(here)
    load = Load(here, random.Random(20), pause=0.5)
    clients = asyncio.create_task(load.clients())
    made: list[dict[str, Any]] = []
    wanted = times(4, 20)
    while len(made) < wanted or not any(one["open_jobs"] for one in made):
        n = len(made)
        assert n < 20, "no backup caught a fax under way"
        await asyncio.sleep(random.Random(n).uniform(0, 0.3))
        out, _ = await faxgateway("backup", str(tmp_path / f"backup{n}"), "-c", str(here.config), "--json")
        made.append(json.loads(out))
    load.enough.set()
    await clients
    assert await until(lambda: settled(here), SOON)
    assert await here.gateway.stop() == 0
    before = await executed(here)
    assert set(before.values()) == {1}

    for one in made:
        here.use_state(tmp_path / f"restored-{Path(one['path']).name}")
        await faxgateway("restore", "--yes", one["path"], "-c", str(here.config))
        assert records.integrity(here.state) == "ok"
        assert await here.gateway.start(), here.gateway.log.read_text()
        await compared(here)
        assert await here.gateway.stop() == 0
        assert records.integrity(here.state) == "ok"
        assert await executed(here) == before, f"{one['path']} sent a fax again"
        found = records.read(here.state)
        assert len(found.jobs) >= one["open_jobs"]
        for job in found.jobs.values():  # delivered as in reality, or a person knows of it
            assert job["state"] == "delivered" or job["hold"].startswith("the fax may have been sent"), job
        told = {row["cause"] for row in found.outbox if row["kind"] == "unknown"}
        assert {job["id"] for job in held(here.state)} == told


async def busy(here: World) -> None:
    """A gateway with six faxes that wait: three are uploaded, and held by the operator; three cannot be uploaded."""
    await here.gateway.start()
    await here.order("send", "no-credit", rate=1.0)
    for _ in range(3):
        await here.send(here.wish(1))
    assert await until(lambda: Counter(_states(here.state)) == {"uploaded": 3}, SOON)
    async with AdminClient(here.state / "admin.sock") as ask:
        while len(held(here.state)) < 3:  # those that are refused at this moment are asked again
            await ask("queue.hold", {"ids": ["ALL"]})
    await here.order("upload", "503", rate=1.0)
    for _ in range(3):
        await here.send(here.wish(1))
    assert await until(lambda: Counter(_states(here.state)) == {"uploaded": 3, "prepared": 3}, SOON)


async def go_on(here: World) -> None:
    """The provider takes everything, and all is sent."""
    await here.no_faults()
    async with AdminClient(here.state / "admin.sock") as ask:
        await ask("queue.release", {"ids": ["ALL"]})
    assert await until(lambda: settled(here), SOON)
    assert Counter((await executed(here)).values()) == {1: 6}


def _states(state: Path) -> list[str]:
    return [job["state"] for job in records.read(state).jobs.values()]


async def test_a_copied_directory_sends_nothing_that_the_original_sends(here: World, tmp_path: Path) -> None:
    await busy(here)
    os.kill(here.gateway.pid, signal.SIGSTOP)
    shutil.copytree(here.state, tmp_path / "copy", ignore=shutil.ignore_patterns("admin.sock"))
    os.kill(here.gateway.pid, signal.SIGCONT)
    options = {**here.options, "min_time": "20s"}  # longer than what the original has put off
    copy = World(here.directory, here.sink, here.sandbox, free_port(), free_port(), options)
    copy.use_state(tmp_path / "copy")
    try:
        assert await copy.gateway.start(), copy.gateway.log.read_text()
        shown = (await status(copy))["reconcile"]
        assert shown is not None
        assert "the state directory is a copy" in shown["why"]
        out, _ = await faxgateway("status", "-c", str(copy.config))
        assert "nothing yet: the state directory is a copy" in out
        await go_on(here)  # the original sends at last, while the copy looks
        await compared(copy)
        assert Counter((await executed(here)).values()) == {1: 6}
        # and it is a gateway: new mail is sent, and received faxes are taken
        await copy.send(wish := copy.wish(1, "For the copy alone."))
        (number,) = wish.numbers
        assert await until(lambda: _is_delivered(copy.state, wish.told[0]), SOON)
        assert (await executed(here))[number] >= 1
    finally:
        if copy.gateway.running:
            assert await copy.gateway.stop() == 0
    assert await here.gateway.stop() == 0


def _is_delivered(state: Path, submission: str) -> bool:
    jobs = [job for job in records.read(state).jobs.values() if job["submission"] == submission]
    return bool(jobs) and all(job["state"] == "delivered" for job in jobs)


async def test_a_machine_that_is_set_back_sends_nothing_again(here: World, tmp_path: Path) -> None:
    await busy(here)
    assert await here.gateway.stop() == 0
    shutil.copytree(here.state, tmp_path / "then")
    await here.gateway.start()
    await go_on(here)
    assert await here.gateway.stop() == 0
    before = await executed(here)

    for file in (tmp_path / "then").rglob("*"):  # the disk as it was: same files, same inodes, old content
        place = here.state / file.relative_to(tmp_path / "then")
        if file.is_file():
            with place.open("r+b" if place.exists() else "wb") as stream:
                stream.truncate()
                stream.write(file.read_bytes())
    await here.gateway.start()
    assert await until(lambda: _asked(here), SOON)
    await compared(here)
    assert await executed(here) == before
    jobs = records.read(here.state).jobs.values()
    assert {job["state"] == "delivered" or job["hold"].startswith("the fax may have been sent") for job in jobs} == {
        True
    }
    assert "records are older than what was sent" in here.gateway.log.read_text()
    assert await here.gateway.stop() == 0


async def _asked(here: World) -> bool:
    """Whether the first question to the provider was answered."""
    now = await status(here)
    return now["reconcile"] is not None or now["provider"]["state"] == "ok"


async def test_killed_while_it_compares_it_compares_again(here: World, tmp_path: Path) -> None:
    await busy(here)
    await faxgateway("backup", str(tmp_path / "backup"), "-c", str(here.config))
    await go_on(here)
    assert await here.gateway.stop() == 0
    before = await executed(here)
    await faxgateway("restore", "--yes", str(tmp_path / "backup"), "-c", str(here.config))
    for seconds in (0.2, 0.9, 1.6):
        assert await here.gateway.start(), here.gateway.log.read_text()
        await asyncio.sleep(seconds)
        await here.gateway.kill()
        assert await executed(here) == before
    assert await here.gateway.start()
    await compared(here)
    assert await executed(here) == before
    assert await here.gateway.stop() == 0
    told = Counter((row["kind"], row["cause"]) for row in records.read(here.state).outbox)
    assert set(told.values()) == {1}


async def test_mail_and_received_faxes_are_taken_while_it_compares(here: World, tmp_path: Path) -> None:
    await here.gateway.start()
    await route(here)
    await here.order("upload", "503", rate=1.0)
    await here.send(here.wish(1))
    await faxgateway("backup", str(tmp_path / "backup"), "-c", str(here.config))
    await here.fax_arrives(received("since the backup"))
    assert await until(lambda: _inbound_mails(here) == 1, SOON)
    assert await here.gateway.stop() == 0
    await faxgateway("restore", "--yes", str(tmp_path / "backup"), "-c", str(here.config))
    await here.order("history", "503", rate=1.0)
    assert await here.gateway.start()
    await here.send(new := here.wish(1))
    assert await until(lambda: _inbound_mails(here) == 2, SOON)  # by the sweep: better twice than never
    now = await status(here)
    assert "HTTP 503" in now["reconcile"]["trouble"]
    assert await executed(here) == {}
    await here.no_faults()
    await compared(here)
    assert Counter((await executed(here)).values()) == {1: 2}
    assert (await executed(here))[new.numbers[0]] == 1
    assert await here.gateway.stop() == 0


def _inbound_mails(here: World) -> int:
    return sum(mail.kind == "inbound" for mail in here.sink.taken)


async def test_what_no_row_names_is_kept_when_a_database_is_put_over_newer_files(here: World, tmp_path: Path) -> None:
    """By hand, as people do: the database alone, from the backup."""
    await here.gateway.start()
    await faxgateway("backup", str(tmp_path / "backup"), "-c", str(here.config))
    await here.order("upload", "503", rate=1.0)
    await here.send(wish := here.wish(1, "Do not lose me."))
    assert await here.gateway.stop() == 0
    (here.state / "faxgateway.db").write_bytes((tmp_path / "backup" / "faxgateway.db").read_bytes())
    assert await here.gateway.start()
    kept = [file.read_bytes() for file in (here.state / "spool/orphan").iterdir()]
    assert any(wish.text.encode() in mail for mail in kept)
    assert "files that no row names are set aside" in here.gateway.log.read_text()
    assert await here.gateway.stop() == 0


async def test_a_backup_of_a_gateway_that_does_not_run_and_a_restore_of_one_that_does(
    here: World, tmp_path: Path
) -> None:
    await here.gateway.start()
    await here.send(here.wish(1))
    assert await until(lambda: settled(here), SOON)
    _, said = await faxgateway("restore", "--yes", str(tmp_path), "-c", str(here.config), status=65)
    assert "is no backup of a gateway" in said
    await faxgateway("backup", str(tmp_path / "one"), "-c", str(here.config))
    _, said = await faxgateway("backup", str(tmp_path / "one"), "-c", str(here.config), status=65)
    assert "exists already: name a new directory" in said
    _, said = await faxgateway("restore", "--yes", str(tmp_path / "one"), "-c", str(here.config), status=75)
    assert "another faxgateway" in said
    assert await here.gateway.stop() == 0
    out, _ = await faxgateway("backup", str(tmp_path / "two"), "-c", str(here.config), "--json")
    assert json.loads(out)["files"] == 2
    with pytest.raises(Failed):
        await status(here)


async def lost(here: World, kind: str) -> None:
    """Remove the file of a job, start the gateway, and see that the operator hears of it."""
    (file,) = (here.state / "spool" / kind).iterdir()
    file.unlink()
    assert await here.gateway.start()
    assert await until(lambda: records.is_quiet(here.state), SOON)
    alarms = [json.loads(row["facts"]) for row in records.read(here.state).outbox if row["kind"] == "operator"]
    (missing,) = [alarm for alarm in alarms if alarm["title"] == "Files are missing in the spool"]
    assert f"(spool/{kind}/{file.name})" in missing["text"]
    assert await executed(here) == {}


def told(here: World, job: str) -> list[str]:
    return [row["kind"] for row in records.read(here.state).outbox if row["cause"] == job]


async def test_a_fax_whose_mail_is_lost_fails_and_its_sender_is_told(here: World) -> None:
    await with_a_mail(here.state)
    await lost(here, "mail")
    assert records.read(here.state).jobs["S1-1"]["state"] == "failed"
    assert told(here, "S1-1") == ["failed"]
    assert await here.gateway.stop() == 0


async def test_a_fax_whose_pages_are_lost_is_held_and_its_sender_is_told(here: World) -> None:
    await here.gateway.start()
    await here.order("upload", "503", rate=1.0)
    await here.send(wish := here.wish(1))
    job = f"{wish.told[0]}-1"
    assert await until(lambda: records.read(here.state).jobs[job]["state"] == "prepared", SOON)
    assert await here.gateway.stop() == 0
    await here.no_faults()
    await lost(here, "document")
    assert "document on disk is not the one that was made" in records.read(here.state).jobs[job]["hold"]
    assert told(here, job) == ["delayed"]
    assert await here.gateway.stop() == 0
