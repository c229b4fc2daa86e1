"""The facts of our mails: nothing in them that did not happen."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.model import FaxJob, FaxNumber, JobState, MailKind, Submission
from gateway.service.notices import Notices, NoticeSettings

SUBMISSION = Submission("s", 0.0, "mail", 1, "you@example.org", "ip:127.0.0.1", "you@example.org", "client")


@pytest.mark.parametrize(
    ("kind", "provider_ref", "told"),
    [
        (MailKind.DELIVERED, 7, "0.2"),
        (MailKind.FAILED, 7, "0.2"),
        (MailKind.FAILED, None, None),  # the provider refused it: it cost nothing
        (MailKind.UNKNOWN, None, "0.2"),
    ],
)
def test_a_price_is_told_only_of_a_fax_the_provider_may_have(
    kind: MailKind, provider_ref: int | None, told: str | None
) -> None:
    notices = Notices(NoticeSettings("fax.example.org", "fax@example.org", "admin@example.org"))
    job = FaxJob(
        "s-1", "s", "+12025550123@fax.local", FaxNumber("+12025550123"), JobState.FAILED, 0.0, 0.0,
        cost=Decimal("0.2"), provider_ref=provider_ref,
    )  # fmt: skip
    mail = notices.result(kind, job, SUBMISSION, 1.0, code="refused", text="Invalid request.")
    assert mail is not None
    assert mail.facts["cost"] == told
