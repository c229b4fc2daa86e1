"""The keys by which a mail is known again stand in databases: those of another version would fax a mail twice."""

from __future__ import annotations

import dataclasses

from gateway.model import Envelope, FaxNumber, MailSummary, Recipient
from gateway.peer import Peer
from gateway.service.repeats import mail_key, part_key

MAIL = Envelope(
    Peer("smtp", "192.0.2.7", trusted_network=True),
    "ann@example.org",
    (Recipient("+12025550123/ref=4711@fax.local", FaxNumber("+12025550123"), options={"reference": "4711"}),),
)
SUMMARY = MailSummary(
    message_id="<1@example.org>", subject="Zwölf", date="Sun, 29 Nov 2026 10:00:00 +0000",
    options={"resolution": "standard", "cover": "none"},
)  # fmt: skip


def test_the_key_of_a_mail_is_what_it_was() -> None:
    assert mail_key(MAIL, SUMMARY, "d" * 64) == "14cff9e684cc24bbdad9cacaf77e497f4fba170d58fee4587d0f6fbbb21d12fa"
    nameless = dataclasses.replace(SUMMARY, message_id="")
    assert mail_key(MAIL, nameless, "d" * 64) == "a4dbd679f58e2bd7ab68ccc02f367261b60ad9248a6be2d60a90755c6200191b"


def test_the_key_of_a_part_is_what_it_was() -> None:
    assert part_key(MAIL, "id@example.org") == "d773794d63fca701bbdd1fe3d00e3bacab3667a6a4855b11e0a0e07ee3eade6f"
