"""BDAT (RFC 3030): octets by count, whatever they look like, and no octet of a refused chunk is taken for a command."""

from __future__ import annotations

import asyncio

import pytest
from smtp_harness import LOCAL, Client, Doors, House, Stub, talking, until

from gateway.edge.smtp_settings import ListenerSettings
from gateway.errors import NoSpace, Refused

ENVELOPE = ("MAIL FROM:<you@example.org>", "RCPT TO:<+12025550123@fax.local>")
MAIL = b"Subject: x\r\n\r\n.\r\n..two dots\r\n.\r\nQUIT\r\n"


def body(mail: bytes) -> bytes:
    """What the client sent, behind our trace field."""
    return mail.split(b" -0000\r\n", 1)[1]


def bdat(data: bytes, last: bool = False) -> bytes:
    return b"BDAT %d%s\r\n" % (len(data), b" LAST" if last else b"") + data


async def replies(client: Client, count: int) -> list[str]:
    return [str(await client.reply()) for _ in range(count)]


async def test_chunks_make_one_mail_and_dots_mean_nothing(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        for cut in range(len(MAIL) + 1):
            assert await client.asks(*ENVELOPE) == [250, 250]
            await client.send(bdat(MAIL[:cut]))
            assert (await replies(client, 1))[0].startswith(f"250 2.0.0 {cut} octets")
            await client.send(b"bdat %d last\r\n" % (len(MAIL) - cut))
            await client.send(MAIL[cut:])
            assert str(await client.reply()) == f"250 2.0.0 queued as Q{cut + 1}"
    assert {body(mail) for _, mail in stub.mails} == {MAIL}
    assert stub.left == []


async def test_everything_in_one_go(doors: Doors, stub: Stub) -> None:
    """RFC 3030 section 4.2, with a last chunk of no octets."""
    (address,) = await doors.open(stub)
    whole = "\r\n".join(ENVELOPE).encode() + b"\r\n" + bdat(MAIL[:9]) + bdat(MAIL[9:]) + bdat(b"", last=True)
    stream = whole + whole + b"QUIT\r\n"
    for cut in (0, len(stream) // 3, len(stream) - 3):
        async with talking(address) as client:
            await client.send(stream[:cut])
            await asyncio.sleep(0.01)
            await client.send(stream[cut:])
            assert [reply[:3] for reply in await replies(client, 11)] == ["250"] * 10 + ["221"]
    assert [body(mail) for _, mail in stub.mails] == [MAIL] * 6


async def test_the_real_house_stores_it_once(doors: Doors, house: House) -> None:
    (address,) = await doors.open(house.accept)
    async with talking(address) as client:
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(bdat(b"Subject: x\r\n\r\nhel") + bdat(b"lo\r\n", last=True))
        assert [reply[:9] for reply in await replies(client, 2)] == ["250 2.0.0"] * 2
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(bdat(b"", last=True))
        assert (await client.reply()).code == 554  # nothing to fax
    assert len(await house.jobs()) == 1


@pytest.mark.parametrize("line", ["BDAT", "BDAT x", "BDAT -1", "BDAT 5 LATE", "BDAT 5 LAST x", "BDAT 1" + "0" * 20])
async def test_a_chunk_of_unknown_size_ends_the_session(doors: Doors, stub: Stub, line: str) -> None:
    """What follows may be anything: none of it may be taken for commands."""
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(line.encode() + b"\r\nMAIL FROM:<x@example.org>\r\n")
        assert (await client.closed()).startswith(b"501 5.5.4")
    assert stub.mails == []


async def test_a_chunk_out_of_order_is_read_and_refused(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    evil = b"MAIL FROM:<evil@example.org>\r\n"
    async with talking(address) as client:
        await client.send(bdat(evil))
        assert str(await client.reply()).startswith("503 5.5.1 MAIL")
        assert (await client.ask(ENVELOPE[0])).code == 250
        await client.send(bdat(evil, last=True))
        assert str(await client.reply()).startswith("554 5.5.1 no recipient")
        assert (await client.ask(ENVELOPE[1])).code == 250
        await client.send(bdat(b"Subject: x\r\n"))
        assert (await client.reply()).code == 250
        # neither DATA nor another recipient now; the chunks go on all the same
        assert await client.asks("DATA", ENVELOPE[1], ENVELOPE[0]) == [503, 503, 503]
        await client.send(bdat(b"\r\nx\r\n", last=True) + bdat(evil, last=True))
        assert [reply[:3] for reply in await replies(client, 2)] == ["250", "503"]
        assert (await client.ask("NOOP")).code == 250
    assert [body(mail) for _, mail in stub.mails] == [b"Subject: x\r\n\r\nx\r\n"]


@pytest.mark.parametrize("more", [0, 300_000])
async def test_a_chunk_out_of_order_that_does_not_end_is_refused_in_one_sentence(
    doors: Doors, stub: Stub, more: int
) -> None:
    (address,) = await doors.open(stub, max_message=100_000, data_timeout=0.2)
    async with talking(address) as client:
        await client.send(b"BDAT 1000000\r\n" + b"x" * more)
        assert str(await client.reply()) == "503 5.5.1 MAIL comes first"
        assert await client.closed() == b""


async def test_a_bare_return_at_the_very_end_is_one_too(doors: Doors, stub: Stub) -> None:
    reject = ListenerSettings("smtp", "127.0.0.1:0", networks=LOCAL, bare_newline="reject")
    (address,) = await doors.open(stub, reject)
    async with talking(address) as client:
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(bdat(b"Subject: x\r\n\r\nx\r", last=True))
        assert str(await client.reply()).startswith("550 5.6.11")
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(bdat(b"Subject: x\r\n\r\nx\r") + bdat(b"\n", last=True))
        assert [reply[:3] for reply in await replies(client, 2)] == ["250", "250"]
    assert [body(mail) for _, mail in stub.mails] == [b"Subject: x\r\n\r\nx\r\n"]


@pytest.mark.parametrize("size", [1500, 2500])
@pytest.mark.parametrize("last", [False, True])
async def test_after_a_refused_chunk_those_behind_it_are_read_and_dropped(
    doors: Doors, stub: Stub, last: bool, size: int
) -> None:
    (address,) = await doors.open(stub, max_message=1000)
    async with talking(address) as client:
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(bdat(b"x" * size, last=last) + bdat(b"RSET\r\n" * 9) * 3 + bdat(b"QUIT\r\n", last=True))
        told = await replies(client, 5)
        assert told[0].startswith("552 5.3.4 the mail is larger than")
        assert [reply[:9] for reply in told[1:]] == ["503 5.5.1"] * 4
        assert await client.asks("RSET", *ENVELOPE) == [250, 250, 250]
        await client.send(bdat(MAIL, last=True))
        assert (await client.reply()).code == 250
    assert len(stub.mails) == 1
    assert stub.left == []


async def test_our_own_trouble_is_told_at_the_first_chunk(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    stub.fail["draft"] = NoSpace("the gateway is short of disk space")
    async with talking(address) as client:
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(bdat(MAIL) + bdat(MAIL, last=True))
        told = await replies(client, 2)
        assert told[0].startswith("452 4.3.1")
        assert told[1].startswith("503 5.5.1")
        del stub.fail["draft"]
        assert await client.asks("RSET", *ENVELOPE) == [250, 250, 250]
        stub.fail["accept"] = Refused("there is nothing to fax", status="5.6.1")
        await client.send(bdat(MAIL, last=True))
        assert str(await client.reply()).startswith("554 5.6.1 there is nothing")
        assert await client.asks(*ENVELOPE) == [250, 250]
    await until(lambda: stub.left == [])


async def test_an_endless_chunk_is_cut(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_message=100_000, data_timeout=0.5)
    async with talking(address) as client:
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(b"BDAT 99999999999999999999 LAST\r\n")

        async def pour() -> None:
            while True:
                await client.send(b"x" * 65536)
                await asyncio.sleep(0.001)

        pouring = asyncio.create_task(pour())
        assert str(await client.reply()).startswith("552 5.3.4")
        pouring.cancel()
        await asyncio.gather(pouring, return_exceptions=True)
    await until(lambda: stub.left == [])


@pytest.mark.parametrize("how", ["cut", "half", "RSET", "EHLO", "QUIT", "silence"])
async def test_a_mail_whose_last_chunk_never_comes_leaves_nothing(doors: Doors, stub: Stub, how: str) -> None:
    (address,) = await doors.open(stub, data_timeout=0.2 if how == "silence" else 30.0)
    async with talking(address) as client:
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(bdat(MAIL))
        assert (await client.reply()).code == 250
        assert len(stub.left) == 1
        if how in ("RSET", "EHLO", "QUIT"):
            assert (await client.ask(how)).code in (250, 221)
        else:
            await client.send(b"BDAT 100 LAST\r\nhalf of it")
            if how == "cut":
                client.cut()
            elif how == "half":
                client.writer.write_eof()
            else:
                assert str(await client.reply()).startswith("421 4.4.2")
        await until(lambda: stub.left == [])
    assert stub.mails == []


async def test_many_chunks_are_no_waste_of_commands_unless_they_are_tiny(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, max_commands=10, max_recipients=1)
    async with talking(address) as client:
        assert await client.asks(*ENVELOPE) == [250, 250]
        await client.send(bdat(b"x" * 1022 + b"\r\n") * 40)
        assert {reply[:3] for reply in await replies(client, 40)} == {"250"}
        await client.send(bdat(b"x") * 20)
        assert b"421 4.7.0 too many commands" in await client.closed()
