"""Listeners differ in who may send through them; all share the caps, and close without losing what came in."""

from __future__ import annotations

import asyncio
import base64
import errno
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
from smtp_harness import LOCAL, Client, Doors, Stub, issue, talking, until
from structlog.testing import capture_logs

from gateway.edge.smtp_settings import ListenerSettings

ELSEWHERE = ("192.0.2.0/24",)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("networks", [(), ELSEWHERE])
async def test_a_client_outside_the_networks_is_told_what_to_ask_for(
    doors: Doors, stub: Stub, networks: tuple[str, ...]
) -> None:
    (address,) = await doors.open(stub, ListenerSettings("mail", "127.0.0.1:0", networks=networks))
    async with talking(address) as client:
        assert await client.asks("MAIL FROM:<you@example.org>") == [250]
        reply = await client.ask("RCPT TO:<+12025550123@fax.local>")
        assert str(reply) == (
            "550 5.7.1 127.0.0.1 may not send faxes here; ask the administrator to add it to the listener's networks"
        )
        assert await client.asks("DATA", "NOOP", "QUIT") == [554, 250, 221]
    assert stub.mails == []


async def test_a_client_outside_the_networks_may_log_in_where_that_is_offered(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, ListenerSettings("mail", "127.0.0.1:0", networks=ELSEWHERE, auth="optional"))
    async with talking(address) as client:
        assert str(await client.ask("MAIL FROM:<you@example.org>")).startswith("530 5.7.0 log in first: ")
        assert await client.asks("AUTH PLAIN AGNvcGllcgBzZWNyZXQ=", "MAIL FROM:<you@example.org>") == [235, 250]


@pytest.mark.parametrize(("identity", "code"), [("", 235), ("copier", 235), ("boss", 535)])
async def test_nobody_logs_in_to_act_for_another(doors: Doors, stub: Stub, identity: str, code: int) -> None:
    (address,) = await doors.open(stub, ListenerSettings("mail", "127.0.0.1:0", networks=ELSEWHERE, auth="optional"))
    word = base64.b64encode(f"{identity}\0copier\0secret".encode()).decode()
    async with talking(address) as client:
        assert (await client.ask(f"AUTH PLAIN {word}")).code == code


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
async def test_ipv6_and_an_ipv4_client_of_a_socket_for_both(doors: Doors, stub: Stub) -> None:
    both = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    listeners = [
        ListenerSettings("six", "[::1]:0", networks=("::1/128",)),
        ListenerSettings("both", "fd:both", networks=("127.0.0.1/32",)),
    ]
    six, dual = await doors.open(stub, *listeners, sockets={"both": both})
    assert six.startswith("[::1]:")
    async with talking(six) as client:
        assert (await client.mail(b"x")).code == 250
    async with talking("127.0.0.1:" + dual.rpartition(":")[2]) as client:
        assert (await client.mail(b"x")).code == 250
    assert [envelope.peer.address for envelope, _ in stub.mails] == ["::1", "127.0.0.1"]
    assert b"([IPv6:::1])" in stub.mails[0][1]


async def test_a_unix_socket_is_for_its_owner_and_group_who_are_trusted(
    doors: Doors, stub: Stub, tmp_path: Path
) -> None:
    path = tmp_path / "smtp.sock"
    for _ in range(2):  # the second one finds what the first has left
        (address,) = await doors.open(stub, ListenerSettings("local", f"unix:{path}"))
        assert address == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        async with talking(address) as client:
            assert (await client.mail(b"x")).code == 250
        await doors.close()
    assert [envelope.peer.identity for envelope, _ in stub.mails] == ["ip:local", "ip:local"]
    assert b"([local])" in stub.mails[0][1]


async def test_a_unix_socket_may_ask_for_a_login_too(doors: Doors, stub: Stub, tmp_path: Path) -> None:
    (address,) = await doors.open(stub, ListenerSettings("local", f"unix:{tmp_path / 's'}", auth="required"))
    async with talking(address) as client:
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 530
        assert await client.asks("AUTH PLAIN AGNvcGllcgBzZWNyZXQ=", "MAIL FROM:<you@example.org>") == [235, 250]


async def test_a_unix_socket_that_systemd_passes_is_for_no_proxy(doors: Doors, stub: Stub, tmp_path: Path) -> None:
    """Nobody would be asked whom he speaks for, and all of the Internet behind the proxy be trusted."""
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(str(tmp_path / "passed.sock"))
        with pytest.raises(OSError, match="fd:mail is a unix socket"):
            await doors.open(stub, ListenerSettings("mail", "fd:mail", proxies=LOCAL), sockets={"mail": passed})


async def test_a_file_in_the_place_of_a_unix_socket_is_not_removed(doors: Doors, stub: Stub, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="cannot listen on unix:"):
        await doors.open(stub, ListenerSettings("local", f"unix:{path}"))
    assert path.read_text() == "data"


async def test_sockets_that_systemd_passed(doors: Doors, stub: Stub, tmp_path: Path) -> None:
    passed = socket.create_server(("127.0.0.1", 0))
    port = passed.getsockname()[1]
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(tmp_path / "passed.sock"))
    listeners = [ListenerSettings("smtp", "fd:smtp", networks=LOCAL), ListenerSettings("local", "fd:local")]
    addresses = await doors.open(stub, *listeners, sockets={"smtp": passed, "local": local})
    assert addresses == [f"127.0.0.1:{port}", f"unix:{tmp_path / 'passed.sock'}"]
    for address in addresses:
        async with talking(address) as client:
            assert (await client.mail(b"x")).code == 250
    assert [envelope.peer.listener for envelope, _ in stub.mails] == ["smtp", "local"]


async def test_a_socket_that_was_not_passed_stops_the_start_and_frees_the_others(doors: Doors, stub: Stub) -> None:
    first = socket.create_server(("127.0.0.1", 0))
    port = first.getsockname()[1]
    first.close()
    with pytest.raises(OSError, match="systemd has passed no socket named smtp"):
        await doors.open(stub, ListenerSettings("a", f"127.0.0.1:{port}"), ListenerSettings("b", "fd:smtp"))
    socket.create_server(("127.0.0.1", port)).close()


async def test_an_address_in_use_is_named(doors: Doors, stub: Stub) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(OSError, match=f"cannot listen on {address}"):
            await doors.open(stub, ListenerSettings("a", address))


async def test_each_listener_has_its_own_profile(doors: Doors, stub: Stub) -> None:
    inside, outside = await doors.open(
        stub,
        ListenerSettings("inside", "127.0.0.1:0", networks=LOCAL),
        ListenerSettings("outside", "127.0.0.1:0", networks=LOCAL, auth="required"),
    )
    async with talking(inside, greeting="") as client:
        assert not [line for line in (await client.ask("EHLO me")).lines if line.startswith("AUTH")]
        assert (await client.mail(b"x")).code == 250
    async with talking(outside, greeting="") as client:
        assert "AUTH PLAIN LOGIN" in (await client.ask("EHLO me")).lines
        assert (await client.ask("MAIL FROM:<you@example.org>")).code == 530
    assert [envelope.peer.listener for envelope, _ in stub.mails] == ["inside"]


# --- caps -------------------------------------------------------------------------------------------------------------


async def test_the_house_is_full_and_has_room_again(doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.edge.smtp_clients._SLOW", 60.0)
    (address,) = await doors.open(stub, max_connections=2)
    async with talking(address) as first, talking(address):
        with capture_logs() as logs:
            for _ in range(5):
                third = await Client.connect(address)
                assert str(await third.reply()) == "421 4.3.2 too many connections; try again later"
                assert await third.closed() == b""
                third.cut()
        assert [entry["event"] for entry in logs] == ["too many connections"]  # a crowd must not fill the log
        assert (await first.ask("NOOP")).code == 250
    await until(doors.empty)
    async with talking(address):
        pass


async def test_one_client_cannot_take_every_place(doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of this machine are exempt: a mail server beside the gateway may open as many as it likes."""
    (address,) = await doors.open(stub, max_connections_per_client=1)
    async with talking(address), talking(address):
        pass
    monkeypatch.setattr("gateway.edge.smtp_clients.is_local", lambda _peer: False)
    await until(doors.empty)
    async with talking(address):
        second = await Client.connect(address)
        assert str(await second.reply()) == "421 4.7.0 too many connections from your address; try again later"
        second.cut()


@pytest.mark.parametrize("talk", ["nothing", "commands", "a mail", "chunks"])
async def test_when_the_house_is_full_the_slowest_has_to_go(
    doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch, talk: str
) -> None:
    """Clients that trickle cannot keep others out, and one whose mail is being stored is never sent away."""
    monkeypatch.setattr("gateway.edge.smtp_clients._SLOW", 0.2)
    (address,) = await doors.open(stub, max_connections=3)
    stub.open.clear()
    async with talking(address) as storing, talking(address) as slow:
        envelope = ("MAIL FROM:<a@example.org>", "RCPT TO:<+12025550123@fax.local>")
        assert await storing.asks(*envelope, "DATA") == [250, 250, 354]
        await storing.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        await until(lambda: stub.accepting)
        if talk in ("a mail", "chunks"):
            assert await slow.asks(*envelope) == [250, 250]
            await slow.send(b"DATA\r\n" if talk == "a mail" else b"BDAT 1000 LAST\r\n")
        for _ in range(6):
            await asyncio.sleep(0.05)
            if talk != "nothing":
                await slow.send(b"x")
        async with talking(address) as other, talking(address) as good:
            stub.open.set()
            assert (await good.mail(b"Subject: x\r\n\r\nhello")).code == 250
            assert (await other.ask("NOOP")).code == 250
        assert (await storing.reply()).code == 250
        assert b"421 4.3.2 too many connections, and this one was the slowest" in await slow.closed()
    await until(lambda: stub.left == [])


async def test_who_reads_no_answer_goes_first_however_much_he_has_said(
    doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transport's word that it can send no more is given by hand, as below."""
    monkeypatch.setattr("gateway.edge.smtp_clients._SLOW", 0.1)
    monkeypatch.setattr("gateway.edge.smtp_data._CREDIT", 0.1)
    (address,) = await doors.open(stub, max_connections=1)
    async with talking(address) as deaf:
        (conversation,) = doors.opened[0]._clients._conversations.values()
        conversation.pause_writing()
        await deaf.send(b"NOOP\r\n" * 20_000)
        await asyncio.sleep(0.3)
        async with talking(address) as good:
            assert (await good.mail(b"Subject: x\r\n\r\nhello")).code == 250


async def test_what_was_sent_quickly_buys_no_long_silence(
    doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.edge.smtp_clients._SLOW", 0.1)
    monkeypatch.setattr("gateway.edge.smtp_data._CREDIT", 0.1)
    (address,) = await doors.open(stub, max_connections=1)
    async with talking(address) as silent:
        assert await silent.asks("MAIL FROM:<a@example.org>", "RCPT TO:<+12025550123@fax.local>") == [250, 250]
        await silent.send(b"BDAT 1000000\r\n" + b"x" * 1_000_000)
        assert (await silent.reply()).code == 250
        await asyncio.sleep(0.4)
        async with talking(address) as good:
            assert (await good.mail(b"Subject: x\r\n\r\nhello")).code == 250


# --- closing ----------------------------------------------------------------------------------------------------------


async def test_closing_tells_the_idle_and_waits_for_mails_under_way(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as idle, talking(address) as writing, talking(address) as committing:
        stub.open.clear()
        lines = ("MAIL FROM:<you@example.org>", "RCPT TO:<+12025550123@fax.local>", "DATA")
        for client in (writing, committing):
            assert await client.asks(*lines) == [250, 250, 354]
        await committing.send(b"one\r\n.\r\n")
        await writing.send(b"two\r\n")
        await until(lambda: stub.accepting)
        stopping = asyncio.create_task(doors.opened[0].stop(30))
        assert str(await idle.reply()).startswith("421 4.3.2 the gateway is shutting down")
        assert await idle.closed() == b""
        with pytest.raises(ConnectionRefusedError):
            await Client.connect(address)
        assert not stopping.done()
        stub.open.set()
        await writing.send(b".\r\n")
        for client in (writing, committing):
            assert [(await client.reply()).code for _ in range(2)] == [250, 421]
            assert await client.closed() == b""
        await asyncio.wait_for(stopping, 30)
    assert len(stub.mails) == 2


async def test_a_client_that_does_not_come_to_an_end_is_told_after_the_grace(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    async with talking(address) as client:
        assert await client.asks("MAIL FROM:<a@example.org>", "RCPT TO:<+12025550123@fax.local>", "DATA") == [
            250, 250, 354,
        ]  # fmt: skip
        await client.send(b"half")
        await doors.opened[0].stop(0.1)
        assert (await client.reply()).code == 421
    assert stub.mails == []
    assert stub.left == []


async def test_a_commit_goes_on_when_its_client_has_gone_and_the_door_closes(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    stub.open.clear()
    async with talking(address) as client:
        assert await client.asks("MAIL FROM:<a@example.org>", "RCPT TO:<+12025550123@fax.local>", "DATA") == [
            250, 250, 354,
        ]  # fmt: skip
        await client.send(b"x\r\n.\r\n")
        await until(lambda: stub.accepting)
    stopping = asyncio.create_task(doors.opened[0].stop(0.05))  # the client has gone
    await asyncio.sleep(0.2)
    assert not stopping.done()
    stub.open.set()
    await asyncio.wait_for(stopping, 30)
    assert len(stub.mails) == 1


async def test_a_client_that_says_its_login_hears_of_the_closing(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub, ListenerSettings("a", "127.0.0.1:0", networks=LOCAL, auth="optional"))
    async with talking(address) as client:
        assert (await client.ask("AUTH LOGIN")).code == 334
        await doors.opened[0].stop(30)
        assert (await client.reply()).code == 421


async def test_closing_waits_for_no_client_that_says_nothing_of_tls_or_of_whom_it_speaks_for(
    doors: Doors, stub: Stub, tmp_path: Path
) -> None:
    files = issue(tmp_path)
    front, implicit, later = await doors.open(
        stub,
        ListenerSettings("front", "127.0.0.1:0", networks=LOCAL, proxies=LOCAL),
        ListenerSettings("tls", "127.0.0.1:0", networks=LOCAL, tls="implicit", **files),
        ListenerSettings("starttls", "127.0.0.1:0", networks=LOCAL, tls="starttls", **files),
    )
    async with talking(later) as client:
        assert await client.asks("STARTTLS") == [220]
        silent = [await Client.connect(address) for address in (front, implicit)]
        await until(lambda: all(each._listening for each in doors.opened[0]._clients._conversations.values()))
        await asyncio.wait_for(doors.opened[0].stop(30), 5)
        for each in (*silent, client):
            assert await each.closed() == b""
            each.cut()


async def test_who_comes_while_it_closes_is_sent_away(doors: Doors, stub: Stub) -> None:
    (address,) = await doors.open(stub)
    doors.opened[0]._clients.stopping = True  # as between the last accept and the end of the listeners
    client = await Client.connect(address)
    assert str(await client.reply()).startswith("421 4.3.2 the gateway is shutting down")
    assert await client.closed() == b""
    client.cut()


async def test_a_client_that_reads_no_answer_is_given_up(
    doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are few and small, so the transport's word that it can send no more is given by hand."""
    monkeypatch.setattr("gateway.edge.smtp_session._LAST_WORD", 0.1)
    (address,) = await doors.open(stub, command_timeout=0.3)
    client = await Client.connect(address)
    await until(lambda: doors.opened[0]._clients._conversations)
    (conversation,) = doors.opened[0]._clients._conversations.values()
    conversation.pause_writing()
    await client.send(b"HELP\r\n")
    await until(doors.empty)
    client.cut()


async def test_while_descriptors_are_lacking_the_loop_tries_once_a_second(
    doors: Doors, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure of asyncio's is told, and sets a timer for the next: as many at once as may wait would grow without end."""
    (address,) = await doors.open(stub, ListenerSettings("mail", "127.0.0.1:0", networks=LOCAL))
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    def lacking(_socket: socket.socket) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", lacking)
    client = await Client.connect(address)
    await asyncio.sleep(1.5)
    assert 1 <= len(told) <= 2
    monkeypatch.undo()
    assert (await client.reply()).code == 220
    client.cut()
