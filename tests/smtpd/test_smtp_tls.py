"""TLS begins anew, passwords travel under it alone, and only who has proven who it is may send."""

from __future__ import annotations

import asyncio
import base64
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import argon2
import pytest
from cryptography.hazmat.primitives import serialization
from smtp_harness import AUTHORITY, Client, Doors, House, Stub, issue, talking, until
from structlog.testing import capture_logs

from gateway import telemetry
from gateway.edge.smtp_settings import ListenerSettings
from gateway.errors import LoginEnded, TryLater
from gateway.store import users


def listener(tmp_path: Path, tls: str, auth: str = "none", networks: tuple[str, ...] = ()) -> ListenerSettings:
    files = issue(tmp_path) if tls != "none" else {}
    return ListenerSettings("mail", "127.0.0.1:0", networks=networks, tls=tls, auth=auth, **files)


def plain(login: str, password: str) -> str:
    return base64.b64encode(f"\0{login}\0{password}".encode()).decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# --- TLS --------------------------------------------------------------------------------------------------------------


async def test_after_starttls_everything_begins_anew(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "starttls", networks=("127.0.0.0/8",)))
    async with talking(address, greeting="") as client:
        assert "STARTTLS" in (await client.ask("EHLO me")).lines
        assert await client.asks("MAIL FROM:<you@example.org>", "RCPT TO:<+12025550123@fax.local>") == [250, 250]
        await client.starttls(trusting)
        assert (await client.ask("DATA")).code == 503  # RFC 3207 section 4.2
        reply = await client.ask("EHLO me")
        assert "STARTTLS" not in reply.lines
        assert str(await client.ask("STARTTLS")).startswith("503 5.5.1")
        assert (await client.mail(b"x")).code == 250
    envelope, mail = stub.mails[0]
    assert envelope.peer.tls is not None
    assert envelope.peer.tls.startswith("TLSv1.")
    assert envelope.peer.protocol == "ESMTPS"
    assert b"with ESMTPS (TLSv1." in mail


async def test_implicit_tls_greets_under_tls(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", networks=("127.0.0.0/8",)))
    async with talking(address, trusting, greeting="") as client:
        assert "STARTTLS" not in (await client.ask("EHLO me")).lines
        assert (await client.ask("STARTTLS")).code == 502
        assert (await client.mail(b"x" * 3_000_000)).code == 250
        assert (await client.ask("QUIT")).code == 221
        assert await client.closed() == b""
    assert stub.mails[0][0].peer.protocol == "ESMTPS"
    await until(lambda: stub.seen == ["Q1"])


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_what_comes_right_behind_the_handshake_is_heard(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext, tls: str
) -> None:
    """The end of the handshake and the first command may come in one segment."""
    (address,) = await doors.open(stub, listener(tmp_path, tls))
    for _ in range(20):
        async with talking(address, trusting if tls == "implicit" else None, greeting="") as client:
            if tls == "starttls":
                await client.starttls(trusting)
            await client.send(b"EHLO me\r\nNOOP\r\n")
            assert [(await client.reply()).code for _ in range(2)] == [250, 250]


def _pipelined(address: str, trusting: ssl.SSLContext, tls: str, said: bytes, stall: Callable[[], None]) -> bytes:
    """Send all of ``said`` in one piece with the end of the handshake, after ``stall``; returns what is answered."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        for command in (b"", b"EHLO me\r\n", b"STARTTLS\r\n") if tls == "starttls" else ():
            wire.sendall(command)
            wire.recv(1000)
        coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = trusting.wrap_bio(coming, going, server_hostname="localhost")
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                wire.sendall(going.read())
                coming.write(wire.recv(65536))
        client.write(said)
        stall()
        wire.sendall(going.read())
        answered = b""
        while b"221" not in answered:
            try:
                answered += client.read(65536) or b"221 (closed)"
            except ssl.SSLWantReadError:
                coming.write(wire.recv(65536))
        return answered


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
async def test_a_whole_mail_right_behind_the_handshake_is_taken_by_a_busy_gateway(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext, tls: str
) -> None:
    settings = listener(tmp_path, tls, networks=("127.0.0.0/8",))
    (address,) = await doors.open(stub, settings, command_timeout=5.0, data_timeout=5.0)
    loop = asyncio.get_running_loop()

    def stall() -> None:
        loop.call_soon_threadsafe(time.sleep, 0.4)
        time.sleep(0.05)

    said = b"EHLO me\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<+12025550123@fax.local>\r\nDATA\r\n"
    said += (b"x" * 70 + b"\r\n") * 5500 + b".\r\nQUIT\r\n"
    answered = await asyncio.to_thread(_pipelined, address, trusting, tls, said, stall)
    assert b"250 2.0.0 queued as" in answered
    assert len(stub.mails) == 1


@pytest.mark.parametrize("behind", [b"NOOP\r\n", b"x", b"MAIL FROM:<evil@example.org>\r\n" * 1000])
async def test_commands_put_behind_starttls_in_clear_are_refused(
    doors: Doors, stub: Stub, tmp_path: Path, behind: bytes
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "starttls"))
    async with talking(address) as client:
        await client.send(b"STARTTLS\r\n" + behind)
        assert str(await client.reply()).startswith("421 4.7.0 ")
        assert await client.closed() == b""


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("noise", [b"EHLO me\r\n", b"\x16\x03\x01\x00\x05hello", b""])
async def test_a_handshake_that_fails_closes_and_is_no_trouble(
    doors: Doors, stub: Stub, tmp_path: Path, tls: str, noise: bytes
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, tls), max_connections=1)
    with capture_logs() as logs:
        await fail_to_shake_hands(doors, address, tls, noise)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("TLS failed", "info")] * 3


async def fail_to_shake_hands(doors: Doors, address: str, tls: str, noise: bytes) -> None:
    for _ in range(3):  # each one is gone again, or the next would find the house full
        client = await Client.connect(address)
        if tls == "starttls":
            assert (await client.reply()).code == 220
            assert (await client.ask("STARTTLS")).code == 220
        if noise:
            await client.send(noise)
        else:
            client.writer.write_eof()
        assert b"EHLO" not in await client.closed()
        client.cut()
        await until(doors.empty)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_handshake_that_stops_is_given_up(doors: Doors, stub: Stub, tmp_path: Path, tls: str) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, tls), command_timeout=0.5)
    client = await Client.connect(address)
    if tls == "starttls":
        assert (await client.reply()).code == 220
        assert (await client.ask("STARTTLS")).code == 220
    assert await client.closed() == b""
    client.cut()


async def test_old_tls_is_not_spoken(doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit"))
    trusting.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    trusting.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await Client.connect(address, trusting)


async def test_a_mail_cut_off_under_tls_leaves_nothing_and_one_past_its_dot_is_kept(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", networks=("127.0.0.0/8",)))
    for end, seen in ((b"", lambda: stub.left), (b"\r\n.\r\n", lambda: stub.mails)):
        async with talking(address, trusting) as client:
            assert await client.asks("MAIL FROM:<a@example.org>", "RCPT TO:<+12025550123@fax.local>", "DATA") == [
                250, 250, 354,
            ]  # fmt: skip
            await client.send(b"x" * 500_000 + end)
            await until(seen)
        await until(lambda: stub.left == [])
    assert len(stub.mails) == 1


async def test_new_certificates_serve_new_clients_and_a_broken_one_changes_nothing(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (tmp_path / "second").mkdir()
    two = [
        listener(tmp_path, "implicit"),
        ListenerSettings("other", "127.0.0.1:0", tls="starttls", **issue(tmp_path / "second")),
    ]
    address, _ = await doors.open(stub, *two)

    async def serial() -> int:
        async with talking(address, trusting) as client:
            return int(client.writer.get_extra_info("peercert")["serialNumber"], 16)

    first = await serial()
    async with talking(address, trusting) as old:
        issue(tmp_path)
        assert await serial() == first
        (tmp_path / "second" / "key.pem").write_text("no key")
        with pytest.raises(TryLater, match=r"cannot be used \(.*PEM.*\): .*certificate.pem with .*key.pem"):
            doors.opened[0].reload_certificates()
        assert await serial() == first
        issue(tmp_path / "second")
        doors.opened[0].reload_certificates()
        assert await serial() != first
        assert (await old.ask("NOOP")).code == 250


@pytest.mark.parametrize("broken", ["certificate", "key", "encrypted"])
async def test_a_certificate_that_cannot_be_used_stops_the_start(
    doors: Doors, stub: Stub, tmp_path: Path, broken: str
) -> None:
    wrong = listener(tmp_path, "implicit")
    if broken == "encrypted":  # OpenSSL would ask for the password on the terminal, and wait
        key = tmp_path / "key.pem"
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        sealed = serialization.BestAvailableEncryption(b"password")
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        key.write_bytes(private.private_bytes(*form, sealed))
    else:
        (tmp_path / f"{broken}.pem").write_text("nothing")
    with pytest.raises(TryLater, match="cannot be used"):
        await doors.open(stub, wrong)


# --- AUTH -------------------------------------------------------------------------------------------------------------


def offered(lines: list[str]) -> str:
    return next((line for line in lines if line.startswith("AUTH")), "")


@pytest.mark.parametrize("word", ["PLAIN", "plain", "Plain"])
async def test_auth_plain_in_any_case_with_and_without_initial_response(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext, word: str
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required"))
    for initial in (True, False):
        async with talking(address, trusting, greeting="") as client:
            assert offered((await client.ask("EHLO me")).lines) == "AUTH PLAIN LOGIN"
            if initial:
                assert (await client.ask(f"AUTH {word} {plain('copier', 'secret')}")).code == 235
            else:
                reply = await client.ask(f"auth {word}")
                assert (reply.code, reply.lines) == (334, [""])
                assert (await client.ask(plain("copier", "secret"))).code == 235
            assert offered((await client.ask("EHLO me")).lines) == ""
            assert (await client.ask("AUTH PLAIN")).code == 503
            assert (await client.mail(b"x")).code == 250
    peer = stub.mails[0][0].peer
    assert (peer.login, peer.identity, peer.protocol) == ("copier", "user:copier", "ESMTPSA")


async def test_the_log_of_a_dialogue_at_debug_has_all_but_passwords(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required"))
    for level in ("info", "debug"):
        telemetry.set_up_logging(level, "console")
        with capture_logs() as logs:
            async with talking(address, trusting) as client:
                assert await client.asks("AUTH LOGIN", b64("copier"), b64("secret")) == [334, 334, 235]
                assert await client.asks(f"AUTH PLAIN {plain('copier', 'secret')}", "secret", b64("secret")) == [
                    503,
                    500,
                    500,
                ]
                assert (await client.mail(b"x", "+12025550123@fax.local")).code == 250
        lines = [line.get("command") or line["reply"] for line in logs if line["event"] == "smtp"]
        assert bool(lines) == (level == "debug")
        assert not any(word in str(logs) for word in ("secret", "SECRET", b64("secret"), b64("secret").upper()))
    assert [line for line in lines if "AUTH" in line][-2:] == ["AUTH ***", "AUTH ***"]
    assert "RCPT TO:<+12025550123@fax.local>" in lines


@pytest.mark.parametrize("word", ["LOGIN", "login", "Login"])
async def test_auth_login_in_any_case_with_the_prompts_that_copiers_know(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext, word: str
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required"))
    for initial in (True, False):
        async with talking(address, trusting, greeting="HELO me") as client:  # some devices say HELO and log in
            if initial:
                reply = await client.ask(f"AUTH {word} {b64('copier')}")
            else:
                assert (await client.ask(f"AUTH {word}")).lines == ["VXNlcm5hbWU6"]
                reply = await client.ask(b64("copier") + " ")
            assert (reply.code, reply.lines) == (334, ["UGFzc3dvcmQ6"])
            assert (await client.ask(b64("secret"))).code == 235
            assert (await client.mail(b"x")).code == 250
    assert [envelope.peer.protocol for envelope, _ in stub.mails] == ["SMTP", "SMTP"]


@pytest.mark.parametrize("charset", ["utf-8", "latin-1"])
async def test_a_password_in_the_letters_of_the_device(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext, charset: str
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required"))
    stub.logins = {"müller": "schlüssel"}
    async with talking(address, trusting) as client:
        said = base64.b64encode("\0müller\0schlüssel".encode(charset)).decode()
        assert (await client.ask(f"AUTH PLAIN {said}")).code == 235


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        (["AUTH"], "504 5.5.4"),
        (["AUTH CRAM-MD5"], "504 5.5.4"),
        (["AUTH PLAIN !!!"], "501 5.5.2"),
        (["AUTH PLAIN ="], "501 5.5.2"),
        (["AUTH PLAIN YQ=="], "501 5.5.2"),
        (["AUTH PLAIN", "*"], "501 5.7.0"),
        (["AUTH LOGIN", "*"], "501 5.7.0"),
        (["AUTH LOGIN", b64("copier"), "*"], "501 5.7.0"),
        (["AUTH LOGIN", "\xff\xff"], "501 5.5.2"),
        (["AUTH LOGIN =", ""], "535 5.7.8"),
        ([f"AUTH PLAIN {plain('copier', 'wrong')}"], "535 5.7.8"),
        ([f"AUTH PLAIN {plain('nobody', 'secret')}"], "535 5.7.8"),
        ([f"AUTH PLAIN {plain('', '')}"], "535 5.7.8"),
        (["MAIL FROM:<you@example.org>"], "530 5.7.0"),
    ],
)
async def test_what_is_no_login_opens_nothing(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext, lines: list[str], reply: str
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required", ("127.0.0.0/8",)))
    async with talking(address, trusting) as client:
        for line in lines[:-1]:
            assert (await client.ask(line)).code == 334
        assert str(await client.ask(lines[-1])).startswith(reply)
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 530
        assert (await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}")).code == 235
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 250
        assert (await client.ask("AUTH PLAIN")).code == 503


async def test_three_failed_logins_are_enough(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required"))
    async with talking(address, trusting) as client:
        wrong = f"AUTH PLAIN {plain('copier', 'guess')}"
        assert await client.asks(wrong, wrong, wrong) == [535, 535, 421]
        assert await client.closed() == b""


async def test_login_and_mail_in_any_order_but_one(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    """With auth: optional a client of the networks may send as it is, and any other one by logging in."""
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "optional", ("127.0.0.0/8",)))
    async with talking(address, trusting) as client:
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 250
        assert str(await client.ask("AUTH PLAIN")).startswith("503 5.5.1")
        assert await client.asks("RSET", f"AUTH PLAIN {plain('copier', 'secret')}") == [250, 235]


async def test_trouble_in_checking_a_password_is_no_wrong_password(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required"))
    async with talking(address, trusting) as client:
        for error in (TryLater("not now"), ZeroDivisionError()):
            stub.fail = {"authenticate": error}
            for _ in range(4):
                assert (await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}")).code == 451
        stub.fail = {}
        assert (await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}")).code == 235


@pytest.mark.parametrize("at", ["check_sender", "accept"])
async def test_a_session_ends_with_its_login(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext, at: str
) -> None:
    """It cannot log in again (RFC 4954 section 4): a client comes anew, and does."""
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required"))
    async with talking(address, trusting) as client:
        assert (await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}")).code == 235
        stub.fail = {at: LoginEnded("this login has a new password: log in again")}
        said = await (client.ask("MAIL FROM:<you@example.org>") if at == "check_sender" else client.mail(b"x"))
        assert str(said) == "421 4.7.0 this login has a new password: log in again"
        assert await client.closed() == b""


async def test_who_guesses_too_often_is_told_to_wait_and_shown_out(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "implicit", "required"))
    stub.fail = {"authenticate": TryLater("too many wrong passwords; try again in 40 minutes", status="4.7.0")}
    async with talking(address, trusting) as client:
        for _ in range(2):
            said = str(await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}"))
            assert said == "454 4.7.0 too many wrong passwords; try again in 40 minutes"
        assert (await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}")).code == 421
        assert await client.closed() == b""


async def test_a_password_is_taken_under_tls_alone(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Local clients cannot be listened to; here they count as remote ones."""
    (address,) = await doors.open(stub, listener(tmp_path, "starttls", "required"))
    async with talking(address, greeting="") as client:
        assert offered((await client.ask("EHLO me")).lines) == "AUTH PLAIN LOGIN"
    monkeypatch.setattr("gateway.edge.smtp_dialogue.is_local", lambda _peer: False)
    async with talking(address, greeting="") as client:
        assert offered((await client.ask("EHLO me")).lines) == ""
        reply = await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}")
        assert str(reply) == "538 5.7.11 log in under TLS only: begin with STARTTLS"
        assert "STARTTLS" in str(await client.ask("MAIL FROM:<you@example.org>"))
        await client.starttls(trusting)
        assert offered((await client.ask("EHLO me")).lines) == "AUTH PLAIN LOGIN"
        assert (await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}")).code == 235
        assert (await client.mail(b"x")).code == 250


async def test_a_login_before_starttls_does_not_count_after_it(
    doors: Doors, stub: Stub, tmp_path: Path, trusting: ssl.SSLContext
) -> None:
    (address,) = await doors.open(stub, listener(tmp_path, "starttls", "required"))
    async with talking(address) as client:
        assert (await client.ask(f"AUTH PLAIN {plain('copier', 'secret')}")).code == 235
        await client.starttls(trusting)
        assert (await client.ask("EHLO me")).code == 250
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 530


async def test_smtplib_logs_in_as_users_of_the_real_store(doors: Doors, house: House, tmp_path: Path) -> None:
    hashed = argon2.PasswordHasher().hash("correct horse")
    assert hashed.startswith("$argon2id$")
    await house.database.write(lambda tx: users.put(tx, "desk", hashed, 0.0))
    await house.database.write(lambda tx: users.put(tx, "broken", "no hash", 0.0))
    (address,) = await doors.open(house.accept, listener(tmp_path, "starttls", "required"))
    port = int(address.rpartition(":")[2])
    certificate = tmp_path / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(certificate)

    def attempt(user: str, password: str) -> int:
        context = ssl.create_default_context(cafile=str(certificate))
        with smtplib.SMTP("localhost", port, timeout=20) as client:
            client.starttls(context=context)
            try:
                client.login(user, password)
            except smtplib.SMTPAuthenticationError as error:
                return error.smtp_code
            client.sendmail("you@example.org", ["+12025550123@fax.local"], "Subject: x\n\nhello")
            return 250

    with capture_logs() as logs:
        assert await asyncio.to_thread(attempt, "desk", "correct horse") == 250
        assert await asyncio.to_thread(attempt, "desk", "wrong horse") in (535, 421)
        assert await asyncio.to_thread(attempt, "broken", "no hash") in (535, 421)
        assert await asyncio.to_thread(attempt, "mistyped-secret", "x") in (535, 421)
    assert len(await house.submissions()) == 1
    assert (await house.submissions())[0].identity == "user:desk"
    said = str(logs)
    assert said.count("login failed") >= 3
    for secret in ("horse", "mistyped", b64("desk"), plain("desk", "wrong horse")):
        assert secret not in said
