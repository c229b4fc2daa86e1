"""Only CRLF.CRLF ends data, wherever the network cuts it; endless lines cost no memory."""

from __future__ import annotations

import asyncio

import pytest

from gateway.edge.smtp_data import Closed, Input, LineTooLong


async def read(*chunks: bytes, most: int = 1000) -> tuple[bytes, bytes]:
    """The message and what follows it, with the bytes arriving in these chunks."""
    reader = asyncio.StreamReader()
    source = Input(reader)
    got: list[bytes] = []

    async def feed() -> None:
        for chunk in chunks:
            reader.feed_data(chunk)
            await asyncio.sleep(0)
        reader.feed_eof()

    feeding = asyncio.create_task(feed())
    await source.data(got.append, most, 5.0)
    await feeding
    return b"".join(got), source._held + await reader.read()


STREAM = b"a\r\n..b\r\n.c\r\n\r\n.\r\nQUIT\r\n"


@pytest.mark.parametrize("cut", range(1, len(STREAM)))
async def test_the_end_is_found_wherever_it_is_cut(cut: int) -> None:
    assert await read(STREAM[:cut], STREAM[cut:]) == (b"a\r\n.b\r\nc\r\n\r\n", b"QUIT\r\n")


async def test_byte_by_byte() -> None:
    assert await read(*(STREAM[n : n + 1] for n in range(len(STREAM)))) == (b"a\r\n.b\r\nc\r\n\r\n", b"QUIT\r\n")


async def test_an_empty_message() -> None:
    assert await read(b".\r\nQUIT\r\n") == (b"", b"QUIT\r\n")


@pytest.mark.parametrize(
    "fake", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\r\n.\n\n"]
)
async def test_nothing_else_ends_it(fake: bytes) -> None:
    stream = b"a" + fake + b"MAIL FROM:<x@y>\r\n.\r\n"
    for cut in range(1, len(stream)):
        message, rest = await read(stream[:cut], stream[cut:])
        assert rest == b""
        assert b"MAIL FROM" in message


async def test_beyond_twice_the_limit_it_is_cut_off() -> None:
    with pytest.raises(LineTooLong):
        await read(*[b"x" * 500] * 6, b"\r\n.\r\n", most=1000)


async def test_a_client_that_goes_away() -> None:
    with pytest.raises(Closed):
        await read(b"half a mail\r\n")


async def test_command_lines_are_bounded() -> None:
    reader = asyncio.StreamReader()
    source = Input(reader)
    reader.feed_data(b"NOOP\r\nRSET\n")
    assert await source.line(100, 1.0) == b"NOOP"
    assert source.pending
    assert await source.line(100, 1.0) == b"RSET"
    reader.feed_data(b"x" * 200)
    with pytest.raises(LineTooLong):
        await source.line(100, 1.0)
