"""MAIL and RCPT are read exactly: nothing dropped, and what cannot be read is refused with the right form."""

from __future__ import annotations

import pytest

from gateway.edge.smtp_commands import BadCommand, read_mail, read_rcpt
from gateway.errors import Refused
from gateway.model import Notify


@pytest.mark.parametrize(
    ("line", "sender"),
    [
        ("FROM:<a@b.example>", "a@b.example"),
        ("from: <a@b.example>", "a@b.example"),
        ("FROM:<>", ""),
        ("FROM:\t<a@b.example>", "a@b.example"),
        ("FROM:a@b.example", "a@b.example"),
        ('FROM:<"a>b"@c.example>', '"a>b"@c.example'),
        (r'FROM:<"a\">b"@c.example> BODY=7BIT', r'"a\">b"@c.example'),
        ("FROM:<@relay.example:a@b.example>", "a@b.example"),
        ("FROM:<a:b@c.example>", "a:b@c.example"),
        ("FROM:<@b.example>", "@b.example"),
        ("FROM:< a@b.example >", "a@b.example"),
        ("FROM:<<a@b.example> BODY=8bitmime", "<a@b.example"),
        ("FROM:<a\\>", "a\\"),
        ("FROM:<a@b.example> BODY=8BITMIME AUTH=<>", "a@b.example"),
        ("FROM:<a@b.example.>", "a@b.example"),
        ('FROM:<"a"@b.example>', "a@b.example"),
        (r'FROM:<"a\.\b"@b.example>', "a.b@b.example"),
        ('FROM:<"a..b"@c.example>', '"a..b"@c.example'),
        ('FROM:<""@c.example>', '""@c.example'),
        ("FROM:<printer.>", "printer."),
    ],
)
def test_reverse_paths(line: str, sender: str) -> None:
    assert read_mail(line).sender == sender


def test_mail_parameters_keep_their_case() -> None:
    command = read_mail("FROM:<a@b> SIZE=1234 RET=hdrs ENVID=Ab+2Bc")
    assert (command.size, command.ret, command.envid) == (1234, "HDRS", "Ab+c")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("TO:<a@b>", "501"),
        ("FROM:", "501"),
        ("FROM:<a@b", "501"),
        ("FROM:<a@b> SIZE=x", "501"),
        ("FROM:<a@b> SIZE=٣", "501"),
        (f"FROM:<a@b> SIZE={'9' * 5000}", "501"),
        ("FROM:<a@b> BODY=BINARYMIME", "501"),
        ("FROM:<a@b> RET=SOME", "501"),
        ("FROM:<a@b> ENVID=a+2", "501"),
        ("FROM:<a@b> ENVID=a+0D+0ABcc:+20c@d", "501"),
        ("FROM:<a@b> ENVID=", "501"),
        ("FROM:<a@b> AUTH=", "501"),
        ("FROM:<a@b> SMTPUTF8", "555"),
        ("FROM:<a@b> =x", "501"),
        ("FROM:<a@b> SIZE=1 size=2", "501"),
    ],
)
def test_bad_mail(line: str, code: str) -> None:
    with pytest.raises(BadCommand) as caught:
        read_mail(line)
    assert caught.value.reply.startswith(code)


def test_who_asks_for_two_things_at_once_is_not_guessed_at() -> None:
    for words in ("NOTIFY=NEVER NOTIFY=SUCCESS", "ORCPT=rfc822;a@b ORCPT=rfc822;c@d"):
        with pytest.raises(BadCommand, match="is given twice"):
            read_rcpt(f"TO:<+15551234567@fax.local> {words}")


def test_a_stranger_chooses_neither_the_length_of_a_reply_nor_that_of_a_line_of_the_log() -> None:
    for read, line in ((read_mail, "FROM:<a@b>"), (read_rcpt, "TO:<+15551234567@fax.local>")):
        for words in (f" {'A' * 9000}", f" {'A' * 9000}=1 {'A' * 9000}=2"):
            with pytest.raises(BadCommand) as caught:
                read(line + words)
            assert len(caught.value.reply) < 100
    with pytest.raises(Refused, match="far too long") as refused:
        read_mail(f"FROM:<{'a' * 9000}@example.org>")
    assert refused.value.status == "5.1.7"


def test_rcpt_with_dsn_parameters() -> None:
    command = read_rcpt("TO:<+15551234567@fax.local> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;FAX+3D+2B1555@x")
    assert command.address == "+15551234567@fax.local"
    assert command.orcpt == "rfc822;FAX=+1555@x"
    assert command.notify == {Notify.SUCCESS, Notify.FAILURE}


@pytest.mark.parametrize("orcpt", ["rfc822;+12025550123@fax.local", "rfc822;a+@x", "FAX=+2B1"])
def test_whom_the_sender_wrote_to_is_no_reason_to_refuse(orcpt: str) -> None:
    """Programs forget that a plus sign has to be +2B there, and each fax address has one."""
    assert read_rcpt(f"TO:<+12025550123@fax.local> ORCPT={orcpt}").orcpt in (orcpt, "FAX=+1")


def test_doubled_brackets_are_forgiven() -> None:
    assert read_rcpt("TO:<<+15551234567@fax.local>>").address == "+15551234567@fax.local"


@pytest.mark.parametrize(
    "line", ["TO:<1 (555) 123-4567@fax>", "TO:<+1555\u0663@fax>", "TO:<+1555\x01@fax>", 'TO:<"1"(555)@fax>']
)
def test_addresses_nobody_may_guess_at(line: str) -> None:
    with pytest.raises(Refused) as caught:
        read_rcpt(line)
    assert caught.value.status == "5.1.3"


@pytest.mark.parametrize(
    "line",
    [
        "TO:<>",
        "TO:<a@b> NOTIFY=NEVER,SUCCESS",
        "TO:<a@b> NOTIFY=x",
        "TO:<a@b> FOO=1",
        "TO:<a@b> ORCPT=",
        "TO:<a@b> ORCPT=\xe9",
    ],
)
def test_bad_rcpt(line: str) -> None:
    with pytest.raises(BadCommand):
        read_rcpt(line)
