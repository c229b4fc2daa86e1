"""``faxgateway sandbox``: starts, stops, is killed and comes back, and says in a sentence why it cannot start."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from gateway.cli.root import cli

from .world import KEY, Receiver, pdf, until

_MAIN = "from gateway.cli import main; main()"


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", _MAIN, "sandbox", *arguments]


def _run(*arguments: str) -> tuple[int, str]:
    """A start that must fail, in this process: status and what it said."""
    result = CliRunner().invoke(cli, ["sandbox", *arguments], prog_name="faxgateway")
    return result.exit_code, result.stderr


class Running:
    """The command as a process."""

    def __init__(self, process: asyncio.subprocess.Process, said: str) -> None:
        self.process = process
        self.said = said
        self.url = said.split("sandbox: ")[1].split("/api", maxsplit=1)[0]

    async def end(self, number: int) -> int:
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)


@asynccontextmanager
async def running(directory: Path, *arguments: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(
        *_command("--listen", "127.0.0.1:0", "--state-dir", str(directory), "--api-key", KEY, *arguments),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        said = (await asyncio.wait_for(process.stderr.readline(), 60)).decode()
        yield Running(process, said)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _send(session: aiohttp.ClientSession, url: str, number: str) -> int:
    form = aiohttp.FormData()
    form.add_field("file", pdf(), filename="x.pdf", content_type="application/pdf")
    async with session.post(f"{url}/api/v2/files", params={"api_key": KEY}, data=form) as answer:
        document = (await answer.json())["document_id"]
    form = aiohttp.FormData({"document_id": str(document), "fax_number": number})
    async with session.post(f"{url}/api/v2/fax", params={"api_key": KEY}, data=form) as answer:
        job: int = (await answer.json())["fax_job_id"]
        return job


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_is_serves_and_stops_when_told(tmp_path: Path, number: int) -> None:
    async with running(tmp_path / "s", "--balance", "12.5") as program, aiohttp.ClientSession() as session:
        assert program.said.rstrip().endswith("/api/v2 (line: model, pace: instant)")
        async with session.get(f"{program.url}/api/v2/balance", params={"api_key": KEY}) as answer:
            assert await answer.json() == {"status": "success", "balance": 12.5}
        assert await program.end(number) == 0
    assert oct(os.stat(tmp_path / "s" / "sandbox.db").st_mode)[-3:] == "600"


async def test_a_kill_loses_no_execution_and_no_receipt(tmp_path: Path) -> None:
    receiver = Receiver()
    await receiver.start()
    receiver.always = 503
    async with aiohttp.ClientSession() as session:
        async with running(tmp_path / "s", "--callback", receiver.url) as program:
            done = await _send(session, program.url, "+12025550123")
            await until(lambda: receiver.receipts(done))
            async with session.get(f"{program.url}/sandbox/faxes") as answer:
                before = (await answer.json())["faxes"]
            await program.end(signal.SIGKILL)
        receiver.always = 200
        async with running(tmp_path / "s", "--callback", receiver.url) as program:
            tries = len(receiver.receipts(done))
            await until(lambda: len(receiver.receipts(done)) > tries)
            async with session.get(f"{program.url}/sandbox/faxes") as answer:
                assert (await answer.json())["faxes"] == before
    await receiver.stop()


async def test_a_call_under_way_when_it_is_killed_ends_afterwards(tmp_path: Path) -> None:
    receiver = Receiver()
    await receiver.start()
    options = ("--callback", receiver.url, "--pace", "10x")
    async with aiohttp.ClientSession() as session:
        async with running(tmp_path / "s", *options) as program:
            job = await _send(session, program.url, "+12025550123")
            await program.end(signal.SIGKILL)
        assert receiver.got == []
        async with running(tmp_path / "s", *options):
            await until(lambda: receiver.receipts(job))
    await receiver.stop()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--listen", "nowhere"), "--listen wants HOST:PORT"),
        (("--listen", "127.0.0.1:99999"), "--listen wants HOST:PORT"),
        (("--listen", ":8026"), "--listen wants HOST:PORT"),
        (("--callback", "localhost:8025"), "--callback wants a URL"),
        (("--callback", "http:///x"), "--callback wants a URL"),
        (("--balance", "much"), "--balance wants an amount"),
        (("--balance", "nan"), "--balance wants an amount"),
        (("--pace", "slow"), "'slow' is not one of"),
    ],
)
def test_a_bad_option_is_a_sentence_and_status_64(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    status, said = _run("--state-dir", str(tmp_path / "s"), "--api-key", KEY, *arguments)
    assert (status, words in said, "Traceback" in said) == (64, True, False), said
    assert not (tmp_path / "s").exists()


def test_an_address_that_cannot_be_had_is_a_sentence_and_status_75(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for listen in (address, "no.such.host.invalid:8026", f"{'x' * 70}.example:8026"):
            status, said = _run("--state-dir", str(tmp_path / "s"), "--api-key", KEY, "--listen", listen)
            assert (status, f"cannot listen on {listen}" in said, "Traceback" in said) == (75, True, False), said
            assert "error while attempting" not in said


def test_a_directory_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sandbox.db").write_text("this is no database, however long it may be" * 100)
    for name in ("file", "other"):
        directory = str(tmp_path / name)
        status, said = _run("--state-dir", directory, "--api-key", KEY, "--listen", "127.0.0.1:0")
        assert (status, f"{directory} cannot be used" in said, "Traceback" in said) == (73, True, False), said


async def test_a_directory_belongs_to_one_sandbox(tmp_path: Path) -> None:
    async with running(tmp_path / "s"):
        command = _command("--state-dir", str(tmp_path / "s"), "--api-key", KEY, "--listen", "127.0.0.1:0")
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, said = await asyncio.wait_for(process.communicate(), 60)
        assert (process.returncode, b"another sandbox uses" in said) == (75, True), said


async def test_an_address_others_reach_is_pointed_out(tmp_path: Path) -> None:
    async with running(tmp_path / "s", "--listen", "0.0.0.0:0") as program:
        assert program.process.stderr is not None
        more = (await asyncio.wait_for(program.process.stderr.readline(), 60)).decode()
        assert "asks for no key" in more
