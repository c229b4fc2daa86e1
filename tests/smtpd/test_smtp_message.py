"""The mail itself over a real socket: where it ends, how large and how slow it may be, and what a cut leaves behind."""

from __future__ import annotations

import asyncio

import pytest
from smtp_harness import LOCAL, PATIENCE, Client, Doors, Stub, talking, until
from structlog.testing import capture_logs

from gateway.edge.smtp_settings import ListenerSettings
from gateway.errors import NoSpace

MB = 1_000_000


async def begin(client: Client, *, sender: str = "you@example.org", data: bool = True) -> None:
    """Up to the 354, or to where a BDAT may come."""
    assert await client.asks(f"MAIL FROM:<{sender}>", "RCPT TO:<+12025550123@fax.local>") == [250, 250]
    if data:
        assert (await client.ask("DATA")).code == 354


async def for_ever(client: Client, data: bytes) -> None:
    """Send until the other side has enough."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await client.send(data)
            await asyncio.sleep(0.001)


def body(mail: bytes) -> bytes:
    """What the client sent, behind our trace field."""
    return mail.split(b" -0000\r\n", 1)[1]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"..\r\n.\r\n", b".\r\n"),
        (b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
        (b"a\r\n.b\r\n.\r\n", b"a\r\nb\r\n"),
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\xff\tb \r\n.\r\n", b"a\xff\tb \r\n"),
    ],
)
async def test_dots_are_unstuffed_and_nothing_else_is_touched(
    doors: Doors, stub: Stub, sent: bytes, stored: bytes
) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        await begin(client)
        await client.send(sent)
        assert (await client.reply()).code == 250
        assert (await client.ask("NOOP")).code == 250
    assert body(stub.mails[0][1]) == stored


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (b"a\nb\r\nc\n\nd\r\n", b"a\r\nb\r\nc\r\n\r\nd\r\n"),
        (b"x: 1\r\r\n\r\r\nbody\r\n", b"x: 1\r\n\r\nbody\r\n"),  # CR CR LF is one line end
        (b"x: 1\ry: 2\r\n", b"x: 1 y: 2\r\n"),  # no header is made of the middle of another
        (b"a\0b\r\0\nc\r\n", b"ab\r\nc\r\n"),
    ],
)
@pytest.mark.parametrize("how", ["DATA", "BDAT"])
async def test_wrong_line_ends_are_put_right_or_refused_as_the_listener_says(
    doors: Doors, stub: Stub, sent: bytes, stored: bytes, how: str
) -> None:
    listeners = [
        ListenerSettings(f"smtp{n}", "127.0.0.1:0", networks=LOCAL, bare_newline=policy)
        for n, policy in enumerate(("normalise", "reject"))
    ]
    for address, code in zip(await doors.open(stub, *listeners), ("250 2.0.0", "550 5.6.11"), strict=True):
        async with talking(address) as client:
            for cut in range(1, len(sent)):
                await begin(client, data=how == "DATA")
                if how == "DATA":
                    await client.send(sent[:cut])
                    await asyncio.sleep(0.002)
                    await client.send(sent[cut:] + b".\r\n")
                    reply = await client.reply()
                else:
                    await client.send(b"BDAT %d\r\n" % cut + sent[:cut])
                    await client.send(b"BDAT %d LAST\r\n" % (len(sent) - cut) + sent[cut:])
                    first, second = await client.reply(), await client.reply()
                    reply = second if first.code == 250 else first
                    assert first.code == 250 or str(second).startswith("503 5.5.1")
                    assert (await client.ask("RSET")).code == 250
                assert str(reply).startswith(code)
    assert {body(mail) for _, mail in stub.mails} == {stored}
    assert stub.left == []


SMUGGLED = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<+12025550199@fax.local>\r\nDATA\r\nfake\r\n"
FAKES = [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\r\n.\r\r\n"]


@pytest.mark.parametrize("fake", FAKES)
async def test_what_only_looks_like_an_end_never_makes_a_second_mail(doors: Doors, stub: Stub, fake: bytes) -> None:
    """RFC 5321 section 4.1.1.4, whichever byte the network cuts at."""
    (address,) = await doors.open(stub)
    stream = b"Subject: x\r\n\r\nhello" + fake + SMUGGLED + b".\r\n"
    start = stream.index(fake)
    async with talking(address) as client:
        for cut in range(start, start + len(fake) + 1):
            await begin(client)
            await client.send(stream[:cut])
            await asyncio.sleep(0.005)  # mostly two reads on the other side; either way it must hold
            await client.send(stream[cut:])
            assert (await client.reply()).code == 250
            assert (await client.ask("NOOP")).code == 250
    assert len(stub.mails) == len(fake) + 1
    for envelope, mail in stub.mails:
        assert envelope.sender == "you@example.org"
        lines = stream[:-3].replace(b"\r\n.", b"\r\n").replace(b"\0", b"").replace(b"\r\r\n", b"\r\n")
        assert body(mail) == lines.replace(b"\r\n", b"\n").replace(b"\r", b" ").replace(b"\n", b"\r\n")


@pytest.mark.parametrize("fake", FAKES)
async def test_byte_by_byte_it_is_one_mail_too(doors: Doors, stub: Stub, fake: bytes) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        await begin(client)
        for byte in b"x" + fake + SMUGGLED + b".\r\n":
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.reply()).code == 250
    assert len(stub.mails) == 1


async def test_a_client_that_does_not_wait_for_the_354_is_understood(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        for end in (b"\r\n.\r\n", b"\r\n.\r\nNOOP\r\n"):
            assert await client.asks("MAIL FROM:<a@example.org>", "RCPT TO:<+12025550123@fax.local>") == [250, 250]
            await client.send(b"DATA\r\nSubject: x\r\n\r\n..hello" + end)
            assert [(await client.reply()).code for _ in range(2)] == [354, 250]
        assert (await client.reply()).code == 250
    assert [body(mail) for _, mail in stub.mails] == [b"Subject: x\r\n\r\n.hello\r\n"] * 2


# --- size -------------------------------------------------------------------------------------------------------------


async def test_a_mail_of_the_largest_size_is_taken_and_one_byte_more_is_not(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_message=MB)
    async with talking(address) as client:
        for extra, code in ((0, 250), (1, 552)):
            await begin(client)
            await client.send(b"x" * (MB - 2 + extra) + b"\r\n.\r\n")
            reply = await client.reply()
            assert reply.code == code
        assert reply.lines == [
            "5.3.4 the mail is larger than the 1 MB accepted here; send fewer or smaller attachments"
        ]
        assert (await client.mail(b"small")).code == 250
    assert len(stub.mails) == 2
    assert stub.left == []


async def test_a_mail_many_times_too_large_hears_why_and_the_session_goes_on(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_message=MB)
    async with talking(address) as client:
        await begin(client)
        for _ in range(20):
            await client.send(b"x" * 76 + b"\r\n" + b"y" * (MB - 80) + b"\r\n")
        await client.send(b".\r\n")
        assert str(await client.reply()).startswith("552 5.3.4 ")
        assert (await client.mail(b"small")).code == 250
    assert len(stub.mails) == 1
    assert stub.left == []


async def test_a_line_without_end_is_refused_when_it_stops(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_message=MB, data_timeout=2.0)
    line = b"x" * (20 * MB)
    async with talking(address) as client:
        await begin(client)
        await client.send(line)
        assert str(await client.reply()).startswith("552 5.3.4 ")
        assert await client.closed() == b""
    assert stub.left == []


async def test_a_line_that_goes_on_for_ever_is_cut(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_message=MB, data_timeout=0.3)
    async with talking(address) as client:
        await begin(client)
        with pytest.raises(ConnectionError):
            await for_ever(client, b"x" * 100_000)
    await until(lambda: stub.left == [])


async def test_silence_in_a_mail_that_is_too_large_hears_about_the_size(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_message=1000, data_timeout=1.0)
    async with talking(address) as client:
        await begin(client)
        await client.send(b"x" * 1500)
        assert str(await client.reply()).startswith("552 5.3.4 ")


async def test_the_first_write_that_fails_is_told_at_the_end_and_the_next_mail_is_taken(
    doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    (address,) = await doors.open(stub)
    draft_type = type(stub.spool.draft())
    for left in stub.left:
        (stub.spool.root / "tmp" / left).unlink()
    write = draft_type.write
    for error, reply in ((NoSpace("the gateway's disk is full"), "452 4.3.1"), (ZeroDivisionError(), "451 4.3.0")):

        def fail(self: object, data: bytes, error: Exception = error) -> None:
            if b"Received:" not in data:
                raise error
            write(self, data)  # type: ignore[arg-type]

        async with talking(address) as client:
            with monkeypatch.context() as patch:
                patch.setattr(draft_type, "write", fail)
                await begin(client)
                await client.send(b"x" * 100_000)
                await until(lambda: stub.left == [])  # the room is given back at once
                await client.send(b"MAIL FROM:<evil@example.org>\r\n" * 10_000 + b".\r\n")
                assert str(await client.reply()).startswith(reply)
            assert (await client.mail(b"x")).code == 250


async def test_a_disk_that_is_full_from_the_start_is_told_at_data(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    stub.spool.floor = 1 << 60
    async with talking(address) as client:
        assert await client.asks("MAIL FROM:<you@example.org>", "RCPT TO:<+12025550123@fax.local>") == [250, 250]
        assert str(await client.ask("DATA")).startswith("452 4.3.1 ")
        stub.spool.floor = 0
        assert (await client.ask("DATA")).code == 354
    await until(lambda: stub.left == [])


# --- time -------------------------------------------------------------------------------------------------------------


async def test_a_silent_client_is_told_and_closed(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, command_timeout=0.5)
    async with talking(address) as client:
        await client.send(b"NOO")
        assert str(await client.reply()).startswith("421 4.4.2 ")
        assert await client.closed() == b""


async def test_one_command_may_not_take_for_ever_byte_by_byte(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, command_timeout=0.5)
    async with talking(address) as client:
        with pytest.raises(ConnectionError):
            await for_ever(client, b"N")


async def test_silence_within_a_mail_ends_it(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, data_timeout=0.2)
    async with talking(address) as client:
        await begin(client)
        await client.send(b"Subject: x\r\n\r\nhalf a ma")
        with capture_logs() as logs:
            assert str(await client.reply()).startswith("421 4.4.2 ")
        assert [entry["event"] for entry in logs] == ["a mail never came to its end"]
        assert await client.closed() == b""
    assert stub.mails == []
    await until(lambda: stub.left == [])


@pytest.mark.parametrize("how", ["DATA", "BDAT"])
async def test_a_mail_that_trickles_is_cut(doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setattr("gateway.edge.smtp_intake._WINDOW", 0.3)
    (address,) = await doors.open(stub, data_timeout=1.0, min_data_rate=1000)
    async with talking(address) as client:
        await begin(client, data=how == "DATA")
        if how == "BDAT":
            await client.send(b"BDAT 100000 LAST\r\n")
        trickling = asyncio.create_task(for_ever(client, b"x"))
        reply = await client.reply()
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        assert str(reply) == "421 4.4.2 the mail came slower than 1000 bytes a second; goodbye"
    await until(lambda: stub.left == [])


async def test_a_slow_but_steady_client_is_not_cut(doors: Doors, stub: Stub) -> None:
    """The limits are for silence, not for the whole."""
    (address,) = await doors.open(stub, command_timeout=1.5, data_timeout=1.5)
    async with talking(address) as client:
        await begin(client)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 3.5:
            await client.send(b"a line\r\n")
            await asyncio.sleep(0.02)
        await client.send(b".\r\n")
        assert (await client.reply()).code == 250
    assert len(stub.mails) == 1


@pytest.mark.parametrize("content", [b"Subject: x\n\nhello\n.\n", b"Subject: x\n\nhello\n.\r\n"])
async def test_a_device_with_wrong_line_ends_learns_it(doors: Doors, stub: Stub, content: bytes) -> None:
    (address,) = await doors.open(stub, data_timeout=1.0)
    async with talking(address) as client:
        await begin(client)
        await client.send(content)
        reply = await client.reply()
        assert str(reply).startswith("554 5.6.0 ")
        assert "CRLF" in reply.text
        assert await client.closed() == b""
    assert stub.mails == []
    await until(lambda: stub.left == [])


# --- cuts -------------------------------------------------------------------------------------------------------------


async def test_a_client_that_leaves_in_a_mail_leaves_nothing(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        await begin(client)
        await client.send(b"x" * 100_000)
        await until(lambda: stub.left)
    await until(lambda: stub.left == [])
    assert stub.mails == []


async def test_a_client_that_half_closes_in_a_mail_has_not_sent_one(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        await begin(client)
        await client.send(b"half\r\n.")
        client.writer.write_eof()
        assert await client.closed() == b""
    assert stub.mails == []
    await until(lambda: stub.left == [])


async def test_a_client_that_half_closes_behind_its_mail_still_reads_the_answer(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    stub.open.clear()
    async with talking(address) as client:
        await begin(client)
        await client.send(b"x\r\n.\r\n")
        client.writer.write_eof()
        await until(lambda: stub.accepting)
        stub.open.set()
        assert await client.closed() == b"250 2.0.0 queued as Q1\r\n"
    assert stub.seen == []  # it said nothing more, so nobody knows whether it has read that


async def test_behind_the_final_dot_a_cut_stops_nothing(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    stub.open.clear()
    async with talking(address) as client:
        await begin(client)
        await client.send(b"x\r\n.\r\n")
        await until(lambda: stub.accepting)
    await asyncio.sleep(0.05)
    assert stub.accepting == 1
    stub.open.set()
    await until(lambda: len(stub.mails) == 1)
    await asyncio.sleep(0.05)
    assert stub.seen == []


async def test_only_what_was_said_after_the_250_shows_that_it_was_read(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        await begin(client)
        await client.send(b"x\r\n.\r\nNOOP\r\nNOOP\r\n")
        assert [(await client.reply()).code for _ in range(3)] == [250, 250, 250]
        assert stub.seen == []
        assert (await client.ask("QUIT")).code == 221
    await until(lambda: stub.seen == ["Q1"])


async def test_many_clients_at_once_each_get_their_own_mail_through(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)

    async def one(n: int) -> None:
        async with talking(address) as client:
            for turn in range(3):
                content = f"{n}-{turn}\r\n".encode() * 20_000
                assert (await client.mail(content, sender=f"{n}-{turn}@example.org")).code == 250

    await asyncio.gather(*(one(n) for n in range(20)))
    assert len(stub.mails) == 60
    for envelope, mail in stub.mails:
        line = envelope.sender.partition("@")[0].encode() + b"\r\n"
        assert body(mail) == line * 20_000 + b"\r\n"
    assert stub.left == []
