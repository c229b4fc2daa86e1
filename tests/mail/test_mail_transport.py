"""The smarthost's door, against real servers: what they take, refuse, put off, and how they die."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from gateway.errors import Refused, TryLater
from gateway.mail.transport import RelaySettings, Transport

MESSAGE = b"From: fax@example.org\r\nTo: ann@example.com\r\nSubject: hello\r\n\r\n.a line with a dot\r\nend\r\n"


class Sink:
    """Takes mails, or answers a command with what the test says."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.mails: list[Envelope] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.over_tls: list[bool] = []

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        self.over_tls.append(session.ssl is not None)
        envelope.mail_from, envelope.mail_options = address, options
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:
        if "RCPT" not in self.answers:
            envelope.rcpt_tos.append(address)
        envelope.rcpt_options = options
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if "DATA" not in self.answers:
            self.mails.append(envelope)
        return self.answers.get("DATA", "250 2.0.0 queued as 4711")

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"right", handled=False)


@asynccontextmanager
async def relay(sink: Sink, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, loop=loop, **options), "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A server that does what no decent one does."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await script(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def yes_to_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Offers no extension, and says 250 to whatever comes, the mail itself too."""
    writer.write(b"220 hello\r\n")
    while await reader.readline():
        writer.write(b"250 relay\r\n")


async def sent(transport: Transport, mail_from: str, rcpt_to: str, message: bytes) -> str:
    async with transport.handed_over(mail_from, rcpt_to, message) as reply:
        return reply


async def probed(transport: Transport) -> None:
    await transport.probe(["", "bounce@example.org"], "ann@example.com")


def to(port: int, **settings: Any) -> Transport:
    return Transport(
        RelaySettings(**{"host": "127.0.0.1", "port": port, "timeout": 5.0, "local_hostname": "gw.example", **settings})
    )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


# --- taken ------------------------------------------------------------------------------------------------------------


async def test_mail_arrives_as_it_is() -> None:
    sink = Sink()
    async with relay(sink) as port:
        reply = await sent(to(port), "bounce@example.org", "ann@example.com", MESSAGE)
    assert reply == "250 2.0.0 queued as 4711"
    (mail,) = sink.mails
    assert mail.content == MESSAGE
    assert (mail.mail_from, mail.rcpt_tos) == ("bounce@example.org", ["ann@example.com"])
    assert f"SIZE={len(MESSAGE)}" in mail.mail_options


async def test_dots_at_the_start_of_lines_arrive() -> None:
    sink, message = Sink(), b"..\r\n.\r\n...\r\n.\r\n"
    async with relay(sink) as port:
        await sent(to(port), "", "ann@example.com", message)
    assert sink.mails[0].content == message


async def test_any_yes_at_the_end_of_the_data_is_one() -> None:
    async with relay(Sink(DATA="252 2.0.0 will try")) as port:
        assert await sent(to(port), "", "ann@example.com", MESSAGE) == "252 2.0.0 will try"


async def test_a_yes_that_comes_before_the_data_is_none() -> None:
    async with scripted(yes_to_all) as port:
        with pytest.raises(TryLater):
            await sent(to(port), "", "ann@example.com", MESSAGE)


async def test_null_sender() -> None:
    sink = Sink()
    async with relay(sink) as port:
        await sent(to(port), "", "ann@example.com", MESSAGE)
    assert sink.mails[0].mail_from in ("", "<>", None)
    assert sink.mails[0].rcpt_options == []  # the sink offers no DSN


async def test_reports_ask_for_no_reports() -> None:
    said: list[str] = []

    async def offers_dsn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := (await reader.readline()).decode():
            said.append(line.strip())
            if line.startswith("EHLO"):
                writer.write(b"250-relay\r\n250-DSN\r\n250-SIZE\r\n250 8BITMIME\r\n")
            elif line.startswith("DATA"):
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250-first line\r\n250 queued\r\n")
            elif line.startswith("QUIT"):
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")

    async with scripted(offers_dsn) as port:
        assert await sent(to(port), "", "ann@example.com", MESSAGE) == "250 first line queued"
        await sent(to(port), "bounce@example.org", "ann@example.com", "Größe\r\n".encode())
    assert "RCPT TO:<ann@example.com> NOTIFY=NEVER" in said
    assert "RCPT TO:<ann@example.com>" in said
    assert f"MAIL FROM:<> SIZE={len(MESSAGE)}" in said
    assert "MAIL FROM:<bounce@example.org> SIZE=9 BODY=8BITMIME" in said


async def test_old_server_without_ehlo() -> None:
    async def helo_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            if line.startswith(b"EHLO"):
                writer.write(b"500 what?\r\n")
            elif line.startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"250 ok\r\n")

    async with scripted(helo_only) as port:
        assert await sent(to(port), "", "ann@example.com", MESSAGE) == "250 taken"
        await probed(to(port))


async def test_a_server_that_dies_after_its_yes_has_the_mail() -> None:
    async def no_farewell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            if line.startswith(b"QUIT"):
                return
            if line.startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 ok\r\n")

    async with scripted(no_farewell) as port:
        assert await sent(to(port), "", "ann@example.com", MESSAGE) == "250 ok"


async def test_the_farewell_comes_behind_what_is_done_with_the_yes() -> None:
    said: list[bytes] = []

    async def listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            said.append(line)
            if line.startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 ok\r\n")

    async with scripted(listening) as port:
        async with to(port).handed_over("", "ann@example.com", MESSAGE) as reply:
            assert (reply, said[-1]) == ("250 ok", b"DATA\r\n")
        assert said[-1] == b"QUIT\r\n"


# --- refused and put off ----------------------------------------------------------------------------------------------


async def test_a_no_to_our_sender_is_for_no_mail_of_its_own() -> None:
    sink = Sink(MAIL="550 5.7.1 Sender not allowed")
    async with relay(sink) as port:
        with pytest.raises(TryLater, match="takes no mail from our sender"):
            await sent(to(port), "", "ann@example.com", MESSAGE)
        sink.answers["MAIL"] = "552 5.3.4 Message size exceeds fixed limit"
        with pytest.raises(Refused, match="exceeds fixed limit"):
            await sent(to(port), "", "ann@example.com", MESSAGE)


@pytest.mark.parametrize("command", ["RCPT", "DATA"])
async def test_permanent_no(command: str) -> None:
    sink = Sink(**{command: "550 5.1.1 No such user\u202e here"})
    async with relay(sink, enable_SMTPUTF8=True) as port:
        with pytest.raises(Refused) as caught:
            await sent(to(port), "bounce@example.org", "ann@example.com", MESSAGE)
    assert caught.value.public.startswith("the mail server refused the mail: 550 5.1.1 No such user")
    assert caught.value.public.isprintable()
    assert caught.value.status == "5.1.1"
    assert not sink.mails


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
async def test_greylisting(command: str) -> None:
    sink = Sink(**{command: "451 4.7.1 Greylisted, come back in 5 minutes"})
    async with relay(sink) as port:
        with pytest.raises(TryLater, match="Greylisted") as caught:
            await sent(to(port), "", "ann@example.com", MESSAGE)
        assert caught.value.status == "4.7.1"
        del sink.answers[command]
        assert await sent(to(port), "", "ann@example.com", MESSAGE) == "250 2.0.0 queued as 4711"


async def test_a_probe_says_whether_the_relay_could_take_a_mail(server_tls: ssl.SSLContext, ca_file: str) -> None:
    sink = Sink()
    async with relay(sink) as port:
        await probed(to(port))
        with pytest.raises(TryLater):
            await probed(to(port, tls="starttls", ca_file=ca_file))
        sink.answers["RCPT"] = "554 5.7.1 Relay access denied"
        with pytest.raises(Refused, match="Relay access denied"):
            await probed(to(port))
    with pytest.raises(TryLater, match="cannot be reached"):
        await probed(to(port))
    assert not sink.mails


async def test_closing_in_the_middle() -> None:
    sink = Sink(RCPT="421 4.3.2 going down")
    async with relay(sink) as port:
        with pytest.raises(TryLater, match=r"421 4\.3\.2 going down"):
            await sent(to(port), "", "ann@example.com", MESSAGE)


async def test_a_wish_for_a_login_is_no_fault_of_the_mail() -> None:
    async with relay(Sink(MAIL="530 5.7.0 Authentication required")) as port:
        with pytest.raises(TryLater, match="does not accept our login: 530"):
            await sent(to(port), "", "ann@example.com", MESSAGE)
    async with relay(Sink(MAIL="530 5.7.0 Must issue a STARTTLS command first")) as port:
        with pytest.raises(TryLater, match="wants TLS: 530"):
            await sent(to(port), "", "ann@example.com", MESSAGE)


async def test_too_large_is_said_before_anything_is_sent() -> None:
    sink = Sink()
    async with relay(sink, data_size_limit=50) as port:
        with pytest.raises(Refused, match="the mail server takes 50 at most") as caught:
            await sent(to(port), "", "ann@example.com", MESSAGE)
    assert caught.value.status == "5.3.4"
    assert not sink.over_tls  # no MAIL came


async def test_no_service_greeting() -> None:
    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"554 5.3.2 no service here\r\n")

    async with scripted(busy) as port:
        with pytest.raises(TryLater, match="does not take the mail now: 554") as caught:
            await sent(to(port), "", "ann@example.com", MESSAGE)
    assert caught.value.status == "4.3.0"


async def test_eight_bit_mail_to_a_seven_bit_server() -> None:
    async with scripted(yes_to_all) as port:
        with pytest.raises(Refused, match="8-bit"):
            await sent(to(port), "", "ann@example.com", "Größe\r\n".encode())
        with pytest.raises(Refused, match="beyond ASCII"):
            await sent(to(port), "", "jürgen@example.com", MESSAGE)


async def test_addresses_in_utf8() -> None:
    sink = Sink()
    async with relay(sink, enable_SMTPUTF8=True) as port:
        await sent(to(port), "", "jürgen@example.com", MESSAGE)
    assert sink.mails[0].rcpt_tos == ["jürgen@example.com"]


async def test_a_mere_name_is_for_the_relay_to_know() -> None:
    sink = Sink()
    async with relay(sink) as port:
        await sent(to(port), "", "copier-3", MESSAGE)
        with pytest.raises(Refused, match="is no address"):
            await sent(to(port), "copier-3", "ann@example.com", MESSAGE)
    assert [mail.rcpt_tos for mail in sink.mails] == [["copier-3"]]


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com\r\nRCPT TO:<eve@example.com>", "ann@example.com\n", "ann\0@example.com", "ann@example.com> X=Y",
        "Ann <ann@example.com>", "ann @example.com", "ann(comment)@example.com", "", "a@b,c@d", "a,b@c", "a@b>", "@b:c@d", "\"a\r\nb\"@c",
    ],
)  # fmt: skip
async def test_addresses_that_are_none(address: str) -> None:
    sink = Sink()
    async with relay(sink) as port:
        with pytest.raises(Refused, match="is no address") as caught:
            await sent(to(port), "", address, MESSAGE)
        assert caught.value.status == "5.1.3"
        if address:
            with pytest.raises(Refused):
                await sent(to(port), address, "ann@example.com", MESSAGE)
    assert not sink.over_tls


# --- trouble ----------------------------------------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    async with relay(Sink()) as port:
        pass
    with pytest.raises(TryLater, match="cannot be reached") as caught:
        await sent(to(port), "", "ann@example.com", MESSAGE)
    assert "127.0.0.1" in caught.value.detail


@pytest.mark.parametrize("greeting", [b"", b"220 hello\r\n"])
async def test_a_server_that_hangs(greeting: bytes) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await asyncio.Event().wait()

    async with scripted(hang) as port:
        with pytest.raises(TryLater, match="cannot be reached"):
            await sent(to(port, timeout=0.05), "", "ann@example.com", MESSAGE)


async def test_a_server_that_hangs_up_in_the_data() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                await reader.readline()
                return
            writer.write(b"250 ok\r\n")

    async with scripted(hang_up) as port:
        with pytest.raises(TryLater):
            await sent(to(port), "", "ann@example.com", MESSAGE)


async def test_a_server_that_talks_nonsense() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with scripted(nonsense) as port:
        with pytest.raises(TryLater):
            await sent(to(port), "", "ann@example.com", MESSAGE)


async def test_cancelling_closes_the_connection() -> None:
    reached = asyncio.Event()
    gone = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.readline()
        reached.set()
        assert await reader.read() == b""
        gone.set()

    async with scripted(hang) as port:
        sending = asyncio.create_task(sent(to(port), "", "ann@example.com", MESSAGE))
        await reached.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await gone.wait()


# --- TLS and login ----------------------------------------------------------------------------------------------------


async def test_starttls_with_a_login(server_tls: ssl.SSLContext, ca_file: str) -> None:
    sink = Sink()
    options = {"tls_context": server_tls, "require_starttls": True, "authenticator": sink.authenticate}
    async with relay(sink, **options) as port:
        relay_settings = {"tls": "starttls", "ca_file": ca_file, "user": "fax", "password": "right"}
        await sent(to(port, **relay_settings), "", "ann@example.com", MESSAGE)
        assert sink.over_tls == [True]
        assert (b"fax", b"right") in sink.logins
        with pytest.raises(TryLater, match="does not accept our login: 535"):
            await sent(to(port, **{**relay_settings, "password": "wrong"}), "", "ann@example.com", MESSAGE)


async def test_starttls_trusts_nobody_unknown(server_tls: ssl.SSLContext) -> None:
    sink = Sink()
    async with relay(sink, tls_context=server_tls) as port:
        with pytest.raises(TryLater, match="cannot be reached by TLS") as caught:
            await sent(to(port, tls="starttls"), "", "ann@example.com", MESSAGE)
        assert "certificate" in caught.value.detail.lower()
        await sent(to(port, tls="opportunistic"), "", "ann@example.com", MESSAGE)
        assert sink.over_tls == [True]
        await sent(to(port, tls="none"), "", "ann@example.com", MESSAGE)
        assert sink.over_tls == [True, False]


async def test_starttls_is_wanted_and_not_offered() -> None:
    sink = Sink()
    async with relay(sink) as port:
        with pytest.raises(TryLater) as caught:
            await sent(to(port, tls="starttls"), "", "ann@example.com", MESSAGE)
        assert "STARTTLS" in caught.value.detail
        await sent(to(port, tls="opportunistic"), "", "ann@example.com", MESSAGE)
    assert sink.over_tls == [False]


@pytest.mark.parametrize("answer", [b"454 4.7.0 TLS not available\r\n", b"220 go\r\n\x15\x03\x01\0\2\2\x28", b""])
async def test_starttls_that_does_not_work_hinders_only_where_it_is_asked_for(answer: bytes) -> None:
    taken: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 relay ESMTP\r\n")
        while line := await reader.readline():
            if line.startswith(b"EHLO"):
                writer.write(b"250-relay\r\n250 STARTTLS\r\n")
            elif line.startswith(b"STARTTLS"):
                writer.write(answer)
                await writer.drain()
                return
            elif line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                taken.append(line)
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"250 ok\r\n")

    async with scripted(script) as port:
        assert await sent(to(port, tls="opportunistic"), "", "ann@example.com", MESSAGE) == "250 taken"
        for settings in ({"tls": "starttls"}, {"tls": "opportunistic", "user": "fax", "password": "secret"}):
            with pytest.raises(TryLater):
                await sent(to(port, **settings), "", "ann@example.com", MESSAGE)
    assert len(taken) == 1


async def test_implicit_tls(server_tls: ssl.SSLContext, ca_file: str) -> None:
    sink = Sink()
    async with relay(sink, tls=server_tls) as port:
        await sent(to(port, tls="implicit", ca_file=ca_file), "", "ann@example.com", MESSAGE)
        with pytest.raises(TryLater):
            await sent(to(port, tls="implicit"), "", "ann@example.com", MESSAGE)
    assert len(sink.mails) == 1


def test_the_password_is_not_shown() -> None:
    assert "hunter2" not in repr(RelaySettings(user="fax", password="hunter2"))


def test_a_missing_ca_file_is_noticed_at_once(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Transport(RelaySettings(tls="starttls", ca_file=str(tmp_path / "missing.pem")))
