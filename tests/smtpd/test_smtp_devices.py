"""Old devices, proxies in front of the door, and clients that show a certificate."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
import struct
import warnings
from pathlib import Path

import pytest
import trustme
from smtp_harness import AUTHORITY, LOCAL, Client, Doors, House, Stub, issue, talking, until
from structlog.testing import capture_logs

from gateway.edge.smtp_settings import ListenerSettings
from gateway.errors import TryLater

OTHERS = ("192.0.2.0/24",)
MAIL = b"Subject: x\r\n\r\nx"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return issue(tmp_path)


# --- old devices ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3"])
async def test_a_legacy_listener_speaks_every_tls_there_is(
    doors: Doors, stub: Stub, files: dict[str, str], trusting: ssl.SSLContext, version: str
) -> None:
    (address,) = await doors.open(
        stub, ListenerSettings("old", "127.0.0.1:0", networks=LOCAL, tls="implicit", profile="legacy", **files)
    )
    trusting.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion[version]
    async with talking(address, trusting, greeting="HELO ") as client:
        assert (await client.mail(MAIL)).code == 250
    assert (stub.mails[0][0].peer.tls or "").startswith("TLSv1")


async def test_a_legacy_listener_is_for_its_networks_alone(doors: Doors, stub: Stub) -> None:
    listener = ListenerSettings("old", "127.0.0.1:0", networks=OTHERS, profile="legacy", auth="required")
    (address,) = await doors.open(stub, listener)
    client = await Client.connect(address)
    assert str(await client.reply()).startswith(
        "554 5.7.1 this port is for named devices; ask the administrator to add"
    )
    assert await client.closed() == b""
    client.cut()


async def test_a_password_in_clear_only_where_the_listener_says_so(
    doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edge.smtp_dialogue.is_local", lambda _peer: False)
    word = base64.b64encode(b"\0copier\0secret").decode()
    with capture_logs() as logs:
        strict, lenient, early = await doors.open(
            stub,
            ListenerSettings("strict", "127.0.0.1:0", auth="required"),
            ListenerSettings("lenient", "127.0.0.1:0", auth="required", clear_auth=True),
            ListenerSettings("early", "127.0.0.1:0", auth="required", clear_auth=True, auth_after_helo=False),
        )
        assert len([entry for entry in logs if "in clear" in entry["event"]]) == 2
    async with talking(strict) as client:
        assert (await client.ask(f"AUTH PLAIN {word}")).code == 538
    async with talking(lenient, greeting="") as client:
        assert "AUTH PLAIN LOGIN" in (await client.ask("EHLO x")).lines
        assert (await client.ask("HELO x")).code == 250
        with capture_logs() as logs:
            assert (await client.ask(f"AUTH PLAIN {word}")).code == 235
        assert any("a password came in clear" in entry["event"] for entry in logs)
        assert (await client.mail(MAIL)).code == 250
    async with talking(early, greeting="HELO x") as client:
        assert str(await client.ask(f"AUTH PLAIN {word}")).startswith("503 5.5.1")


@pytest.mark.parametrize(
    "greeting", ["HELO ", "HELO 192.168.1.20", "EHLO NPI65E56-", "EHLO [IPV6:fe80::1]", "EHLO a copier"]
)
async def test_a_copier_that_sends_a_document_and_no_word(doors: Doors, house: House, greeting: str) -> None:
    """No Date, no Message-ID, an empty subject and an empty text, and lines that end in LF."""
    listener = ListenerSettings("old", "127.0.0.1:0", networks=LOCAL, profile="legacy")
    (address,) = await doors.open(house.accept, listener)
    scan = (
        b"From: scan\nTo: fax\nSubject: \nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
        b"Content-Type: text/plain\n\n\n--b\nContent-Type: application/pdf; name=DOC001.PDF\n"
        b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(b"%PDF-1.4\n" + b"x" * 99) + b"--b--"
    )
    async with talking(address, greeting=greeting) as client:
        assert str(await client.mail(scan)).startswith("250 2.0.0 queued as ")
    assert len(await house.jobs()) == 1


async def test_talking_before_the_greeting_is_logged(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    with capture_logs() as logs:
        client = await Client.connect(address)
        await client.send(b"EHLO bot\r\nMAIL FROM:<a@example.org>\r\n")
        assert [(await client.reply()).code for _ in range(3)] == [220, 250, 250]
    assert len([entry for entry in logs if entry["event"] == "a client does not wait for the answer"]) == 1
    client.cut()


# --- certificates -----------------------------------------------------------------------------------------------------


async def test_a_client_that_shows_its_certificate_is_known_by_it(
    doors: Doors, stub: Stub, files: dict[str, str], trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    shown = dict(auth="required", client_ca=str(tmp_path / "ca.pem"), **files)
    implicit, starttls = await doors.open(
        stub,
        ListenerSettings("a", "127.0.0.1:0", tls="implicit", **shown),
        ListenerSettings("b", "127.0.0.1:0", tls="starttls", **shown),
    )
    async with talking(implicit, trusting) as client:
        assert (await client.ask("MAIL FROM:<a@example.org>")).code == 530
    AUTHORITY.issue_cert("copier.example", common_name="Copier, 2nd floor", organization_name="Acme").configure_cert(
        trusting
    )
    async with talking(implicit, trusting) as client:
        assert (await client.mail(MAIL)).code == 250
    async with talking(starttls) as client:
        await client.starttls(trusting)
        assert (await client.mail(MAIL)).code == 250
    AUTHORITY.issue_cert("copier.example").configure_cert(trusting)
    async with talking(implicit, trusting) as client:
        assert (await client.mail(MAIL)).code == 250
    certificates = [envelope.peer.certificate for envelope, _ in stub.mails]
    assert certificates == ["Copier, 2nd floor", "Copier, 2nd floor", "copier.example"]


async def test_a_certificate_of_somebody_else_opens_nothing(
    doors: Doors, stub: Stub, files: dict[str, str], trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    AUTHORITY.cert_pem.write_to_path(tmp_path / "ca.pem")
    (address,) = await doors.open(
        stub, ListenerSettings("a", "127.0.0.1:0", tls="implicit", client_ca=str(tmp_path / "ca.pem"), **files)
    )
    trustme.CA().issue_cert("copier.example").configure_cert(trusting)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        async with talking(address, trusting):
            pass
    (tmp_path / "broken.pem").write_text("nothing")
    with pytest.raises(TryLater, match="client_ca"):
        await doors.open(
            stub, ListenerSettings("a", "127.0.0.1:0", tls="implicit", client_ca=str(tmp_path / "broken.pem"), **files)
        )


async def test_an_authority_that_was_replaced_opens_nothing_any_more(
    doors: Doors, stub: Stub, files: dict[str, str], trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    authority = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(authority)
    (address,) = await doors.open(
        stub, ListenerSettings("a", "127.0.0.1:0", tls="implicit", client_ca=str(authority), **files)
    )
    AUTHORITY.issue_cert("copier.example").configure_cert(trusting)
    async with talking(address, trusting) as client:
        assert (await client.mail(MAIL)).code == 250
    trustme.CA().cert_pem.write_to_path(authority)
    doors.opened[0].reload_certificates()
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        async with talking(address, trusting):
            pass


async def test_a_handshake_that_never_comes_keeps_nobody_out(
    doors: Doors, stub: Stub, files: dict[str, str], trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edge.smtp_clients._SLOW", 0.1)
    listener = ListenerSettings("a", "127.0.0.1:0", networks=LOCAL, tls="implicit", **files)
    (address,) = await doors.open(stub, listener, max_connections=1)
    silent = await Client.connect(address)
    await asyncio.sleep(0.3)
    async with talking(address, trusting) as client:
        assert (await client.mail(MAIL)).code == 250
    assert await silent.closed() == b""
    silent.cut()


# --- proxies ----------------------------------------------------------------------------------------------------------

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def version_2(source: str, *, command: int = 0x21, family: int | None = None, more: bytes = b"") -> bytes:
    address = ipaddress.ip_address(source)
    both = address.packed + ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1").packed
    body = both + struct.pack("!HH", 4711, 25) + more
    chosen = family if family is not None else {4: 0x11, 6: 0x21}[address.version]
    return SIGNATURE + struct.pack("!BBH", command, chosen, len(body)) + body


@pytest.mark.parametrize(
    ("header", "address", "trusted"),
    [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 25\r\n", "192.0.2.7", True),
        (b"PROXY TCP6 2001:db8::7 ::1 4711 25\r\n", "2001:db8::7", False),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1", False),
        (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "127.0.0.1", False),
        (version_2("192.0.2.7"), "192.0.2.7", True),
        (version_2("192.0.2.7", more=b"\x04\0\x01x"), "192.0.2.7", True),
        (version_2("::ffff:192.0.2.7"), "192.0.2.7", True),
        (version_2("2001:db8::7"), "2001:db8::7", False),
        (version_2("192.0.2.7", command=0x20), "127.0.0.1", False),
        (version_2("192.0.2.7", family=0), "127.0.0.1", False),
    ],
)
@pytest.mark.parametrize("tls", ["none", "implicit"])
async def test_whom_a_proxy_speaks_for(
    doors: Doors, stub: Stub, files: dict[str, str], trusting: ssl.SSLContext,
    header: bytes, address: str, trusted: bool, tls: str,
) -> None:  # fmt: skip
    listener = ListenerSettings(
        "front",
        "127.0.0.1:0",
        networks=OTHERS,
        proxies=LOCAL,
        tls=tls,
        auth="optional",
        **(files if tls != "none" else {}),
    )
    (door,) = await doors.open(stub, listener)
    client = await Client.connect(door)
    try:
        if tls == "implicit":
            await client.send(header)
            await client.writer.start_tls(trusting, server_hostname="localhost")
        else:  # and what comes in the same packet is SMTP
            await client.send(header + b"NOOP\r\n")
        assert (await client.reply()).code == 220
        if tls == "none":
            assert (await client.reply()).code == 250
        assert (await client.ask("MAIL FROM:<a@example.org>")).code == (250 if trusted else 530)
        peers = [guest._address for guest in doors.opened[-1]._clients._present]
        assert peers == [address]
    finally:
        client.cut()


async def test_a_client_that_a_proxy_does_not_name_is_not_trusted_for_the_address_of_the_proxy(
    doors: Doors, stub: Stub
) -> None:
    listener = ListenerSettings("front", "127.0.0.1:0", networks=LOCAL, proxies=LOCAL)
    (door,) = await doors.open(stub, listener)
    client = await Client.connect(door)
    try:
        await client.send(b"PROXY UNKNOWN\r\n")
        assert (await client.reply()).code == 220
        await client.ask("MAIL FROM:<a@example.org>")
        assert (await client.ask("RCPT TO:<+12025550123@fax.local>")).code == 550
    finally:
        client.cut()


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO somebody\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4711\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 4711 25\r\n",
        b"PROXY TCP4 example 127.0.0.1 4711 25\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 99999 25\r\n",
        b"PROXY " + b"x" * 200 + b"\r\n",
        SIGNATURE + b"\x31\x11\0\x0c" + b"\0" * 12,
        SIGNATURE + b"\x21\x11\xff\xff" + b"\0" * 12,
        SIGNATURE + b"\x21\x11\0\x04" + b"\0" * 4,
        b"PROXY TCP4 192.0.2",
    ],
)
async def test_a_proxy_that_does_not_say_it_is_closed(doors: Doors, stub: Stub, header: bytes) -> None:
    (address,) = await doors.open(stub, ListenerSettings("front", "127.0.0.1:0", networks=LOCAL, proxies=LOCAL))
    client = await Client.connect(address)
    with capture_logs() as logs:
        await client.send(header)
        client.writer.write_eof()
        assert await client.closed() == b""
    client.cut()
    assert [entry["event"] for entry in logs] == ["a proxy does not say whom it speaks for (PROXY protocol)"]
    await until(doors.empty)


async def test_who_is_no_proxy_may_not_pretend(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, ListenerSettings("front", "127.0.0.1:0", networks=LOCAL, proxies=OTHERS))
    async with talking(address, greeting="") as client:
        assert (await client.ask("PROXY TCP4 192.0.2.7 127.0.0.1 4711 25")).code == 500
