"""Only CRLF.CRLF ends data, wherever the network cuts it; endless lines cost no memory."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.edge import smtp_data, smtp_intake
from gateway.edge.smtp_data import CHUNK, Closed, Input, LineTooLong, Message, SpeaksTls, WrongLineEnds


class Wire:
    """A transport as far as an Input needs one."""

    is_reading = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


async def read(*chunks: bytes) -> tuple[bytes, bytes]:
    """The message and what follows it, with the bytes arriving in these chunks."""
    source = Input(Wire())
    got: list[bytes] = []

    async def feed() -> None:
        for chunk in chunks:
            source.feed(chunk)
            await asyncio.sleep(0)
        source.end()

    feeding = asyncio.create_task(feed())
    await Message(source).read(got.append, 5.0)
    await feeding
    return b"".join(got), source._held + b"".join(source._arrived)


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


def expected(stream: bytes) -> tuple[bytes, bytes] | None:
    """By the letter of RFC 5321 section 4.5.2: line by line, where only CRLF ends a line; None without an end."""
    lines = stream.split(b"\r\n")
    for n, line in enumerate(lines[:-1]):
        if line == b".":
            message = [each.removeprefix(b".") + b"\r\n" for each in lines[:n]]
            return b"".join(message), b"\r\n".join(lines[n + 1 :])
    return None


@settings(max_examples=300)
@pytest.mark.parametrize("few", [0, 2, 100])
@given(
    st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"x", b"\0"]), max_size=40),
    st.lists(st.integers(0, 80), max_size=12),
)
@example(pieces=[b"\r", b".", b"\r"], cuts=[2])
def test_however_it_is_cut_it_reads_as_the_standard_says(few: int, pieces: list[bytes], cuts: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smtp_data, "_FEW_DOTS", few)
        check_as_the_standard_says(pieces, cuts)


def check_as_the_standard_says(pieces: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(pieces)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    wanted = expected(stream)
    if wanted is None:
        # what only its client can take for the end is told as that, at least where no line ends as it should
        ends_wrong = re.search(rb"(?:\n\.\r?\n|\r\.\r)(?:quit\r?\n?)?\Z", b"\r\n" + stream, re.IGNORECASE)
        told = (WrongLineEnds,) if ends_wrong and b"\r\n" not in stream else (Closed, WrongLineEnds)
        with pytest.raises(told if ends_wrong else Closed):
            asyncio.run(read(*chunks))
    else:
        assert asyncio.run(read(*chunks)) == wanted


async def test_a_client_that_goes_away() -> None:
    with pytest.raises(Closed):
        await read(b"half a mail\r\n")


async def test_command_lines_are_bounded() -> None:
    source = Input(Wire())
    source.feed(b"NOOP\r\nRSET\n" + b"y" * 100 + b"\r\n")
    assert await source.line(100, 1.0) == b"NOOP"
    assert source.pending
    assert await source.line(100, 1.0) == b"RSET"
    assert await source.line(100, 1.0) == b"y" * 100
    assert not source.pending


@pytest.mark.parametrize("line", [b"x" * 200, b"x" * 101 + b"\n", b"x" * 101 + b"\r\n"])
async def test_a_longer_command_line_is_none(line: bytes) -> None:
    source = Input(Wire())
    source.feed(line)
    with pytest.raises(LineTooLong):
        await source.line(100, 1.0)


async def test_a_sink_that_stops_the_reading_loses_nothing() -> None:
    source = Input(Wire())
    message = Message(source)
    source.feed(b"one\r\n..two\r\n.\r\n")
    got: list[bytes] = []

    def once(data: bytes) -> None:
        got.append(data)
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await message.read(once, 1.0)
    assert message.ended
    await message.read(got.append, 1.0)
    assert b"".join(got) == b"one\r\n.two\r\n"


@pytest.mark.parametrize("stream", [b"one\n.\n", b".\n", b"one\ntwo\n.\r\n", b"one\r.\r", b"one\n.\nQUIT\n"])
@pytest.mark.parametrize("closes", [False, True])
async def test_an_end_in_wrong_line_ends_is_noticed_when_nothing_follows(stream: bytes, closes: bool) -> None:
    source = Input(Wire())
    source.feed(stream)
    if closes:  # as netcat does at the end of what a script has written
        source.end()
    with pytest.raises(WrongLineEnds):
        await Message(source).read(lambda _data: None, 0.05)


@pytest.mark.parametrize("stream", [b"one\r\ntwo\n.\n", b"one\n..\n", b"one\n.\nmore"])
async def test_silence_in_a_mail_is_only_silence(stream: bytes) -> None:
    source = Input(Wire())
    source.feed(stream)
    with pytest.raises(TimeoutError):
        await Message(source).read(lambda _data: None, 0.05)


async def test_a_mail_without_a_line_end_is_handed_on_chunk_by_chunk() -> None:
    source = Input(Wire())
    sizes: list[int] = []
    reading = asyncio.create_task(Message(source).read(lambda data: sizes.append(len(data)), 5.0))
    for _ in range(40):
        source.feed(b"x" * 100_000)
        await asyncio.sleep(0)
    source.feed(b"\r\n.\r\n")
    await reading
    assert sum(sizes) == 4_000_002
    assert max(sizes) <= 100_000 + 4


async def test_small_pieces_that_wait_are_few() -> None:
    source = Input(Wire())
    for _ in range(CHUNK // 2):
        source.feed(b"ab")
    assert len(source._arrived) <= CHUNK // 4096 + 1
    assert b"".join(source._arrived) == b"ab" * (CHUNK // 2)


async def test_a_client_that_is_not_listened_to_is_held_back() -> None:
    wire = Wire()
    source = Input(wire)
    source.feed(b"x" * CHUNK)
    assert wire.is_reading
    source.feed(b"y")
    assert not wire.is_reading
    await source.next(1.0)
    assert wire.is_reading


@pytest.mark.parametrize("cut", [1, 2, 3, 50])
async def test_tls_where_a_command_belongs_is_recognised(cut: int) -> None:
    hello = b"\x16\x03\x01\x02\x00" + b"x" * 100
    source = Input(Wire())
    reading = asyncio.create_task(source.line(2048, 5.0))
    for piece in (hello[:cut], hello[cut:]):
        source.feed(piece)
        await asyncio.sleep(0.01)
    with pytest.raises(SpeaksTls):
        await reading


async def test_a_connection_that_breaks_is_a_closed_one() -> None:
    source = Input(Wire())
    source.end(OSError(113, "No route to host"))
    with pytest.raises(Closed):
        await source.line(100, 1.0)


def _lines(drawn: tuple[int, int, int, str]) -> str:
    """Lines of one length, of which one character may be another."""
    length, count, at, other = drawn
    text = ("x" * length + "\r\n") * count
    return text[:at] + other + text[at + 1 :]


@pytest.mark.slow
@pytest.mark.parametrize(("head", "foot"), [(0, 0), (3, 2), (0, 9), (9, 0)])
@given(
    st.one_of(
        st.text("\r\n\0ab", max_size=12),
        st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 40), st.sampled_from("\r\n\0a")).map(_lines),
    )
)
@settings(max_examples=500)
def test_clean_line_ends_are_known_in_lines_of_one_length_too(head: int, foot: int, text: str) -> None:
    data = text.rstrip("\r").encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(smtp_intake, "_HEAD", head)
        patch.setattr(smtp_intake, "_FOOT", foot)
        found = smtp_intake._is_clean(data)
    assert found == (re.search(r"\0|\r(?!\n)|(?<!\r)\n", data.decode()) is None)
