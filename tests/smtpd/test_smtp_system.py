"""Programs that people and mail servers really send with."""

from __future__ import annotations

import asyncio
import base64
import shutil
from pathlib import Path

import pytest
from smtp_harness import Doors, House

from gateway.edge.smtp_settings import ListenerSettings

pytestmark = pytest.mark.system


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


async def run(*command: str) -> tuple[int, str]:
    """Exit status and everything it said."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode("utf-8", "replace")


@needs("swaks")
@pytest.mark.parametrize("extra", [(), ("--pipeline",), ("--protocol", "SMTP")])
async def test_swaks_sends_an_attachment_and_hears_of_a_wrong_number(
    doors: Doors, house: House, tmp_path: Path, extra: tuple[str, ...]
) -> None:
    (address,) = await doors.open(house.accept)
    (tmp_path / "list.txt").write_text("one\n.\n..two\n" * 1000)
    status, said = await run(
        "swaks", "--server", address, "--from", "you@example.org",
        "--to", "<+12025550123@fax.local>,<1@fax.local>,<FAX=+12025550124@fax.local>",
        "--attach-type", "text/plain", "--attach", f"@{tmp_path / 'list.txt'}", *extra,
    )  # fmt: skip
    assert status == 0, said
    assert "553 5.1.3 1@fax.local cannot be faxed to" in said
    (submission,) = await house.submissions()
    assert f"250 2.0.0 queued as {submission.id}" in said
    assert sorted(job.number.e164 for job in await house.jobs()) == ["+12025550123", "+12025550124"]
    stored = house.spool.path(submission.mail_file).read_bytes()
    assert base64.b64encode(b"one\n.\n..two\n")[:15] in stored.replace(b"\r\n", b"")


@needs("swaks")
async def test_swaks_logs_in(doors: Doors, house: House) -> None:
    (address,) = await doors.open(
        house.accept, ListenerSettings("mail", "127.0.0.1:0", networks=("127.0.0.0/8",), auth="required")
    )
    login = ("--auth-user", "copier", "--auth-password", "wrong")
    command = ("swaks", "--server", address, "--from", "you@example.org", "--to", "<+12025550123@fax.local>")
    status, said = await run(*command)
    assert (status, "530 5.7.0" in said) == (23, True), said
    for mechanism in ("PLAIN", "LOGIN"):
        status, said = await run(*command, "--auth", mechanism, *login)
        assert (status, "535 5.7.8" in said) == (28, True), said
    assert await house.jobs() == []


@needs("smtp-source")
@pytest.mark.parametrize("extra", [(), ("-d",)])
async def test_postfix_sends_many_mails_over_many_connections(
    doors: Doors, house: House, extra: tuple[str, ...]
) -> None:
    """``-d``: one connection carries many mails."""
    (address,) = await doors.open(house.accept)
    status, said = await run(
        "smtp-source", "-s", "5", "-m", "40", "-l", "20000", "-f", "you@example.org", "-t", "+12025550123@fax.local",
        *extra, address,
    )  # fmt: skip
    assert (status, said) == (0, "")
    submissions = await house.submissions()
    assert len(submissions) == 40
    assert len({submission.message_id for submission in submissions}) == 40
    assert len(house.files) == 40


@needs("smtp-source")
async def test_postfix_hears_a_refusal(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept)
    status, said = await run("smtp-source", "-f", "you@example.org", "-t", "1@fax.local", address)
    assert status != 0
    assert "553 5.1.3" in said
    assert house.files == []
