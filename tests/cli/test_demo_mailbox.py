"""The demo's mailbox by itself: whatever comes by SMTP is kept and can be read."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.demo_mailbox import Mailbox
from gateway.document.worker import WorkerLimits, WorkerPool


@pytest.fixture
async def pool() -> AsyncIterator[WorkerPool]:
    workers = WorkerPool(1, WorkerLimits())
    await workers.start()
    yield workers
    await workers.close()


async def deliver(port: int, message: bytes, *to: str, sender: str = "") -> None:
    def run() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as door:
            door.sendmail(sender, to, message)

    await asyncio.to_thread(run)


async def test_every_mail_is_kept_for_each_recipient(tmp_path: Path, pool: WorkerPool) -> None:
    changes: list[None] = []
    box = Mailbox(tmp_path / "box", pool, lambda: changes.append(None))
    port = await box.start()
    await deliver(port, b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nHello\r\n", "a@example.org", "b@example.org")
    assert [(mail.to, mail.subject, mail.text) for mail in box.newest()] == [
        ("b@example.org", "Grüße", "Hello\n"), ("a@example.org", "Grüße", "Hello\n"),
    ]  # fmt: skip
    assert changes
    await box.stop()


async def test_no_mail_is_too_large(tmp_path: Path, pool: WorkerPool) -> None:
    """A received fax may be larger than what mail servers usually take."""
    box = Mailbox(tmp_path / "box", pool, lambda: None)
    port = await box.start()
    await deliver(port, b"Subject: large\r\n\r\n" + b"x" * 70 + (b"\r\n" + b"x" * 998) * 34_000, "a@example.org")
    assert [mail.subject for mail in box.newest()] == ["large"]
    await box.stop()


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\r\n\r\n",
        b"no header at all",
        b"Subject: \xff\xfe\r\nFrom: \x00\r\n\r\n\xff\xfe",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n--x--",
        b"Content-Type: text/plain; charset=nonsense\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"Content-Type: application/pdf; name*=utf-8''..%2f..%2fx\r\n\r\nno PDF",
        b"Content-Type: multipart/mixed; boundary*0*=bad''%zz\r\n\r\n--%zz\r\n\r\nx\r\n--%zz--",
    ],
)
async def test_a_broken_mail_is_shown_all_the_same(tmp_path: Path, pool: WorkerPool, message: bytes) -> None:
    box = Mailbox(tmp_path / "box", pool, lambda: None)
    port = await box.start()
    await deliver(port, message, "a@example.org", sender="b@example.org")
    (mail,) = box.newest()
    assert (mail.to, mail.envelope_from) == ("a@example.org", "b@example.org")
    assert mail.source.read_bytes().startswith(b"Return-Path: <b@example.org>\r\nDelivered-To: a@example.org\r\n")
    assert all(part.file.parent == tmp_path / "box" / "00001" for part in mail.attachments)
    assert all("/" not in part.name or part.name == part.type for part in mail.attachments)
    await box.stop()


async def test_a_stop_does_not_wait_for_a_client_that_says_nothing(tmp_path: Path, pool: WorkerPool) -> None:
    box = Mailbox(tmp_path / "box", pool, lambda: None)
    reader, writer = await asyncio.open_connection("127.0.0.1", await box.start())
    assert (await reader.readline()).startswith(b"220 ")
    async with asyncio.timeout(30):
        await box.stop()
        assert await reader.read() == b""
    writer.close()
