"""Scans that come in parts, into a running daemon that is killed in between."""

from __future__ import annotations

import smtplib
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from cli.conftest import Daemon, Outside, Start

MAIL = (
    b"Subject: Scan\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nPage one.\r\nPage two.\r\nPage three.\r\n"
)
CUTS = (0, 75, 88, len(MAIL))


def part(number: int) -> bytes:
    head = (
        f'Subject: [{number}/3] Scan\r\nContent-Type: message/partial; id="1@copier"; number={number}; total=3\r\n\r\n'
    )
    return head.encode() + MAIL[CUTS[number - 1] : CUTS[number]]


def give(daemon: Daemon, number: int) -> str:
    """Never shows that it read the 250 (no QUIT): so it may come again."""
    host, port = daemon.json("status")["listeners"][0].rsplit(":", 1)
    client = smtplib.SMTP(host, int(port), timeout=30)
    client.ehlo()
    client.mail("copier@example.org")
    client.rcpt("+12025550123@fax.local")
    code, reply = client.data(part(number))
    client.close()
    assert code == 250, reply
    return reply.decode().split()[-1]


def with_options(config: Path, more: str) -> None:
    config.write_text(config.read_text().replace("smtp: {", f"smtp: {{{more}, "))


def test_killed_between_the_parts_it_faxes_them_once(config: Path, start: Start) -> None:
    ids = {}
    for number in (3, 1, 2):
        daemon = start(config)
        ids[number] = give(daemon, number)
        daemon.process.kill()
        daemon.process.wait()
    daemon = start(config)
    assert {number: give(daemon, number) for number in (1, 2, 3)} == ids
    job = daemon.reach(ids[1], "submitted")
    assert (job["submission"], job["subject"]) == (ids[2], "Scan")
    assert len(daemon.json("queue", "list")) == 1
    assert len(daemon.service.executed) == 1
    assert "No mails wait for parts." in daemon("queue", "divided").output
    assert daemon.stop() == 0


def test_what_does_not_come_is_told_in_one_mail_and_leaves_nothing(
    config: Path, start: Start, outside: Outside, tmp_path: Path
) -> None:
    with_options(config, "small_mail: 1B, partial_timeout: 2s")
    with config.open("a") as stream:
        stream.write("retention: {purge_every: 100ms}\n")
    daemon = start(config)
    first = give(daemon, 1)
    assert "wait for parts (faxgateway queue divided)" in daemon("status").output
    assert "parts 2 and 3 of 3" in daemon("queue", "divided").output
    assert f"{first} is part 1 of a mail that is no fax" in daemon("queue", "show", first, status=65).output
    spool = tmp_path / "state" / "spool" / "mail"
    assert len(list(spool.iterdir())) == 1
    daemon.until(lambda: outside.mails and not list(spool.iterdir()) and daemon.json("status")["outbox"] == 0)
    daemon.process.kill()
    daemon.process.wait()
    daemon = start(config)
    daemon.until(lambda: daemon.json("status")["outbox"] == 0)
    assert daemon.stop() == 0
    told = [mail for mail in outside.mails if mail[1] == ["copier@example.org"]]
    assert len(told) == 1
    report: Message = message_from_bytes(told[0][2])
    assert report["subject"] == "[SANDBOX] Not faxed: [1/3] Scan to +1 202 555 0123 (incomplete)"
    assert b"parts 2 and 3 of 3 did not come in time" in told[0][2]
