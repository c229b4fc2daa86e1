"""Mails that were cut into several: what a part says of itself, and that the whole is what was cut."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Refused
from gateway.mail import partial
from gateway.mail.headers import split
from gateway.mail.parse import extract, inspect

GOLDEN = [path for path in sorted((Path(__file__).parent / "golden").glob("*.eml")) if b"\r\n\r\n" in path.read_bytes()]


def read(field: str) -> tuple[str, int, int] | None:
    return partial.read(split(f"{field}\r\n\r\n".encode(), 0, len(field) + 4)[0])


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ('Content-Type: message/partial; id="a@b"; number=2; total=3', ("a@b", 2, 3)),
        ('content-type: Message/Partial;\r\n Number = 3 ; TOTAL="3" ;\r\n\tid=a@b', ("a@b", 3, 3)),
        ("Content-Type: message/partial; number=1; id=ABC (scan)", ("ABC", 1, 0)),
        ("Content-Type: message/rfc822; number=1; id=a", None),
        ("Subject: message/partial", None),
    ],
)
def test_a_part_says_which_it_is(field: str, found: tuple[str, int, int] | None) -> None:
    assert read(field) == found


@pytest.mark.parametrize(
    "parameters",
    ["", "id=a", "number=1", "id=a; number=0", "id=a; number=-1", "id=a; number=1; total=0", "id=a; number=²",
     "id=a; number=2; total=1", "id=a; number=101", "id=a; number=1; total=999999999999", 'id=""; number=1'],
)  # fmt: skip
def test_one_that_does_not_is_refused(parameters: str) -> None:
    with pytest.raises(Refused, match="in the device, switch off what divides mails"):
        read(f"Content-Type: message/partial; {parameters}")


def test_the_example_of_the_rfc() -> None:
    """RFC 2046 section 5.2.2.1."""
    first = (
        b"X-Weird-Header-1: Foo\r\nFrom: Bill@host.com\r\nTo: joe@otherhost.com\r\nDate: Fri, 26 Mar 1993 12:59:38 -0500 (EST)\r\n"
        b"Subject: Audio mail (part 1 of 2)\r\nMessage-ID: <id1@host.com>\r\nMIME-Version: 1.0\r\n"
        b'Content-type: message/partial; id="ABC@host.com"; number=1; total=2\r\n\r\n'
        b"X-Weird-Header-1: Bar\r\nX-Weird-Header-2: Hello\r\nMessage-ID: <anotherid@foo.com>\r\nSubject: Audio mail\r\n"
        b"MIME-Version: 1.0\r\nContent-type: audio/basic\r\nContent-transfer-encoding: base64\r\n\r\nfirst half\r\n"
    )
    second = (
        b"From: Bill@host.com\r\nSubject: Audio mail (part 2 of 2)\r\nMIME-Version: 1.0\r\nMessage-ID: <id2@host.com>\r\n"
        b'Content-type: message/partial; id="ABC@host.com"; number=2; total=2\r\n\r\nsecond half\r\n'
    )
    assert b"".join(partial.join([first, second])) == (
        b"X-Weird-Header-1: Foo\r\nFrom: Bill@host.com\r\nTo: joe@otherhost.com\r\nDate: Fri, 26 Mar 1993 12:59:38 -0500 (EST)\r\n"
        b"Message-Id: <anotherid@foo.com>\r\nSubject: Audio mail\r\nMime-Version: 1.0\r\nContent-Type: audio/basic\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\nfirst half\r\nsecond half\r\n"
    )


def test_lines_of_two_parts_do_not_run_into_one() -> None:
    head = b"Content-Type: message/partial; id=a; number=%d\r\n\r\n"
    joined = b"".join(partial.join([head % 1 + b"Subject: x\r\n\r\none", head % 2 + b"two\r\n"]))
    assert joined == b"Subject: x\r\n\r\none\r\ntwo\r\n"


def test_a_header_that_comes_behind_a_blank_line_is_none_of_the_whole() -> None:
    head = b"Received: by gw\r\n\r\nMessage-ID: <%d@x>\r\nContent-Type: message/partial; id=a; number=%d\r\n\r\n"
    joined = b"".join(partial.join([head % (1, 1) + b"Subject: x\r\n\r\none\r\n", head % (2, 2) + b"two\r\n"]))
    assert joined == b"Received: by gw\r\nSubject: x\r\n\r\none\r\ntwo\r\n"


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
@settings(max_examples=5)
@given(data=st.data())
def test_any_mail_is_read_as_if_it_had_come_whole(golden: Path, data: st.DataObject) -> None:
    mail = golden.read_bytes()
    mail += b"" if mail.endswith(b"\n") else b"\r\n"
    body = split(mail, 0, len(mail))[1]
    ends = [n + 1 for n in range(body - 1, len(mail)) if mail[n : n + 1] == b"\n"]
    cuts = sorted(data.draw(st.lists(st.sampled_from(ends), max_size=5)))
    pieces = [mail[start:end] for start, end in pairwise([0, *cuts, len(mail)])]
    head = b"Received: by gw\r\n"
    parts = [
        b"%sContent-Type: message/partial; id=a; number=%d\r\n\r\n%s" % (head, n, p) for n, p in enumerate(pieces, 1)
    ]
    try:
        joined = b"".join(partial.join(parts))
    except Refused:
        assert b"message/partial" in mail[:body]
        return
    assert described(joined) == described(mail)


def described(mail: bytes) -> object:
    with tempfile.TemporaryDirectory() as scratch:
        path, directory = Path(scratch, "mail"), Path(scratch, "parts")
        path.write_bytes(mail)
        directory.mkdir()
        summary = inspect(str(path))
        told = [summary[name] for name in ("subject", "message_id", "refusal", "starts")]
        try:
            found = extract(str(path), str(directory))
        except Refused as error:
            return told, error.public
        return (
            told,
            found["left_out"],
            [({**part, "path": ""}, Path(part["path"]).read_bytes()) for part in found["parts"]],
        )
