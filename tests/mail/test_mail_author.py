"""Authentication-Results: what the mail server in front says of the author, and what only looks like it."""

from __future__ import annotations

import pytest

from gateway.mail.author import proven, read
from gateway.mail.headers import split

US = "mx.example.net"


def author(*fields: str, sender: str = "Ann <ann@example.org>") -> str:
    raw = "".join(f"{field}\r\n" for field in (*fields, f"From: {sender}")).encode() + b"\r\ntext"
    return proven(split(raw, 0, len(raw))[0], US)


@pytest.mark.parametrize(
    "field",
    [
        "mx.example.net; dmarc=pass header.from=example.org",
        "MX.example.net 1; spf=fail smtp.mailfrom=x@y; dmarc = pass (p=reject dis=none) header.from=Example.ORG",
        "mx.example.net; dkim=pass header.d=example.org header.s=k1 header.b=abc/def+==",
        'mx.example.net; dkim=pass (2048-bit key; "unprotected") reason="good; really" header.i=@example.org',
        "mx.example.net; dkim=fail header.d=other.example; dkim/1=pass header.d=example.org",
        "mx.example.net;\r\n\tdkim=pass\r\n\t header.d=example.org",
        '"mx.example.net"; dkim=pass header.d="example.org"',
        "mx.example.net (a (nested \\) one) ; x=y); dkim=pass header.d=example.org;",
    ],
)
def test_what_proves_the_author(field: str) -> None:
    assert author(f"Authentication-Results: {field}") == "ann@example.org"


@pytest.mark.parametrize(
    "field",
    [
        "other.example.net; dmarc=pass header.from=example.org",
        "mx.example.net.evil.example; dmarc=pass header.from=example.org",
        "evil.example (mx.example.net); dmarc=pass header.from=example.org",
        "mx.example.net 2; dmarc=pass header.from=example.org",
        "mx.example.net; none",
        "mx.example.net",
        "",
        "mx.example.net; dmarc=fail header.from=example.org; dkim=pass header.d=example.org",
        "mx.example.net; dmarc=pass header.from=evil.example",
        "mx.example.net; dmarc=pass",
        "mx.example.net; dmarc=bestguesspass header.from=example.org",
        "mx.example.net; spf=pass smtp.mailfrom=ann@example.org",
        "mx.example.net; dkim=pass header.d=evil.example",
        "mx.example.net; dkim=pass header.d=org",
        "mx.example.net; dkim=pass header.d=evil-example.org",
        "mx.example.net; dkim=pass header.d=sub.example.org",
        "mx.example.net; dkim=fail (dkim=pass header.d=example.org)",
        'mx.example.net; dkim=fail reason="x; dkim=pass header.d=example.org"',
        "mx.example.net; dkim=pass header.d=example.org (no end",
        'mx.example.net; dkim=pass header.d="example.org',
        "mx.example.net; dkim=pass header.d=example.org and more",
        "mx.example.net; =pass; dkim=pass header.d=example.org",
        "mx.example.net; dkim=pass header.d=evil.example header.d=example.org",
    ],
)
def test_what_does_not(field: str) -> None:
    assert author(f"Authentication-Results: {field}") == ""


@pytest.mark.parametrize(
    ("sender", "address"),
    [
        ("ann@example.org", "ann@example.org"),
        ('"Ann, of @Example" <Ann@Example.org>', "ann@example.org"),
        ("ann@sub.example.org", "ann@sub.example.org"),  # its parent signs for it
        ("ann@example.org, eve@example.org", ""),
        ("eve@evil.example <ann@example.org>", ""),
        ("a: ann@example.org;", ""),
        ("Ann <ann@example.org> <eve@example.org>", ""),
        ("Ann <ann@evil.example@example.org>", ""),
        ("", ""),
        ("Ann", ""),
        ("mar\u212a@example.org", ""),  # in small letters it is mark
    ],
)
def test_one_author_with_one_address(sender: str, address: str) -> None:
    assert author(f"Authentication-Results: {US}; dkim=pass header.d=example.org", sender=sender) == address


def test_two_from_fields_are_nobody() -> None:
    assert author(f"Authentication-Results: {US}; dkim=pass header.d=example.org", "From: eve@example.org") == ""


def test_the_uppermost_verdict_of_our_server_counts() -> None:
    """What stands below may have come with the mail."""
    forged = f"Authentication-Results: {US}; dmarc=pass header.from=example.org"
    real = f"Authentication-Results: {US}; dmarc=fail header.from=example.org"
    foreign = "Authentication-Results: evil.example; dmarc=pass header.from=example.org"
    assert author(real, forged) == ""
    assert author(foreign, real) == ""
    assert author(foreign, forged, real) == "ann@example.org"


def test_nothing_is_read_of_a_field_without_a_name() -> None:
    assert read("; dkim=pass header.d=example.org", US) == []
    assert read(f"{US}; dkim=pass header.d=example.org", "") == []


FORGED = "mx.example.net; dmarc=pass header.from=example.org"


@pytest.mark.parametrize(
    "fields",
    [
        (f"Authentication-Results : {FORGED}",),
        (f"Authentication-Results\t: {FORGED}",),
        ("no field at all", f"Authentication-Results: {FORGED}", "MIME-Version: 1.0"),
        ("X-One: 1", ": no name", f"Authentication-Results: {FORGED}", "MIME-Version: 1.0"),
    ],
)
def test_a_field_that_the_server_may_not_have_taken_for_one_proves_nothing(fields: tuple[str, ...]) -> None:
    """What it does not take for a field of its own, or for the header any more, it does not remove."""
    assert author(*fields) == ""


def test_other_fields_are_read_as_generously_as_ever() -> None:
    raw = b"From : ann@example.org\r\nno field\r\nSubject\t: hello\r\nMIME-Version: 1.0\r\n\r\ntext"
    headers, _ = split(raw, 0, len(raw))
    assert (headers.raw("from"), headers.raw("subject")) == ("ann@example.org", "hello")
