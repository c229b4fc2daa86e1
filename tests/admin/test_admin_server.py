"""The admin socket: who may use it, and that nothing a client does there hurts the daemon."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from admin.conftest import House
from gateway.edge.admin import AdminServer
from gateway.store import retention

MAIL = b"Subject: Report\r\nMessage-ID: <1@t>\r\n\r\nPlease read.\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state/admin.sock"


@pytest.fixture
async def client(house: House, path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession("http://x", connector=aiohttp.UnixConnector(str(path))) as session:
        yield session


async def _post(client: aiohttp.ClientSession, where: str, body: Any = b"{}") -> tuple[int, dict[str, Any]]:
    async with client.post(where, data=io.BytesIO(body) if isinstance(body, bytes) else body) as response:
        answer = await response.json()
        assert isinstance(answer, dict)
        return response.status, answer


async def _raw(path: Path, data: bytes) -> bytes:
    """What comes back for these bytes until the server closes."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(data)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    return answer


# --- who --------------------------------------------------------------------------------------------------------------


async def test_only_the_owner_can_open_the_socket(house: House, path: Path) -> None:
    mode = path.lstat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert path.stat().st_uid == os.geteuid()


async def test_another_user_is_refused_by_what_the_kernel_says_of_him(house: House, tmp_path: Path) -> None:
    server = AdminServer(house.gateway.admin, tmp_path / "other.sock", users=frozenset({os.geteuid() + 4711}))
    await server.start()
    try:
        connector = aiohttp.UnixConnector(str(tmp_path / "other.sock"))
        async with aiohttp.ClientSession("http://x", connector=connector) as client:
            for where in ("/status", "/send?to=%2B12025550123&from=you@example.org", "/nonsense"):
                status, answer = await _post(client, where, MAIL)
                assert (status, answer["exit"]) == (403, 77)
                assert "only root and the gateway's own user" in answer["error"]
    finally:
        await server.stop()
    assert (await house.ask("queue.list"))["jobs"] == []


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """One that everybody can enter, unlike those of pytest."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play another user")
async def test_another_user_is_refused_even_where_the_file_mode_lets_him(house: House, open_directory: Path) -> None:
    place = open_directory / "admin.sock"
    server = AdminServer(house.gateway.admin, place)
    await server.start()
    place.chmod(0o666)
    with socket.socket(socket.AF_UNIX) as other:
        os.seteuid(65534)
        try:
            other.connect(str(place))
        finally:
            os.seteuid(0)
        other.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(other, b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert (await loop.sock_recv(other, 100)).startswith(b"HTTP/1.1 403 ")
    await server.stop()


# --- what is asked ----------------------------------------------------------------------------------------------------


async def test_operations_and_mails_are_taken(client: aiohttp.ClientSession, house: House) -> None:
    status, answer = await _post(client, "/status")
    assert (status, answer["pid"]) == (200, os.getpid())
    assert (await _post(client, "/status", b""))[0] == 200
    status, accepted = await _post(client, "/send?to=%2B1%20(202)%20555-0123&from=you@example.org", MAIL)
    assert status == 200
    status, listed = await _post(client, "/queue.list", b'{"limit": 5}')
    assert [job["submission"] for job in listed["jobs"]] == [accepted["submission"]]


@pytest.mark.parametrize(
    ("where", "body", "status", "exit_status", "words"),
    [
        ("/status", b"{", 400, 64, "not a JSON object"),
        ("/status", b"[]", 400, 64, "not a JSON object"),
        ("/status", b"null", 400, 64, "not a JSON object"),
        ("/status", b"\xff\xfe", 400, 64, "not a JSON object"),
        ("/status", b"[" * 500_000, 400, 64, "not a JSON object"),
        ("/status", b'{"a": ' * 150_000, 400, 64, "not a JSON object"),
        ("/status", b'{"x": 1}', 400, 65, "status has no argument 'x'"),
        ("/queue.list", b'{"limit": NaN}', 400, 65, "limit of queue.list must be a whole number"),
        ("/queue.show", b'{"id": "x"}', 404, 65, "no fax or mail with the id x"),
        ("/queue.burn", b"{}", 404, 65, "there is no operation queue.burn"),
        ("/a/b", b"{}", 404, 64, "Not Found: POST /a/b"),
        ("/", b"{}", 404, 64, "Not Found: POST /"),
        ("/send?to=%2B12025550123", b"", 400, 65, "null sender"),
        ("/send?from=you@example.org", MAIL, 400, 65, "name at least one number"),
        ("/queue.list", b" " * (1 << 20) + b"{}", 413, 64, HTTPStatus(413).phrase),
        (
            "/send?to=1&from=you@example.org",
            b"x" * 200_001,
            413,
            65,
            "more than 200,000 bytes; fax less at a time, or raise smtp.max_message",
        ),
    ],
)
async def test_what_is_malformed_or_huge_is_answered_in_words(
    client: aiohttp.ClientSession, where: str, body: bytes, status: int, exit_status: int, words: str
) -> None:
    got, answer = await _post(client, where, body)
    assert (got, answer["exit"]) == (status, exit_status)
    assert words in answer["error"]
    assert (await _post(client, "/status"))[0] == 200


async def test_another_verb_than_post_is_answered_in_words(client: aiohttp.ClientSession) -> None:
    async with client.get("/status") as response:
        assert response.status == 405
        assert (await response.json())["error"] == "Method Not Allowed: GET /status"


async def test_an_endless_body_is_cut_off(client: aiohttp.ClientSession) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while given < 1 << 30:
            given += 1 << 16
            yield b"x" * (1 << 16)

    try:
        status, answer = await _post(client, "/send?to=1&from=you@example.org", endless())
        assert (status, answer["exit"]) == (413, 65)
    except aiohttp.ClientError:  # it stopped listening before we had read its answer
        pass
    assert given < 1 << 26
    assert (await _post(client, "/status"))[0] == 200


@pytest.mark.parametrize(
    "data",
    [b"\0" * 100, b"\xff\xfe\n" * 1000, b"QUIT\r\n", b"POST /status HTTP/9.9\r\n\r\n", b"A" * 100_000, b"\x16\x03\x01\x02\0"],
)  # fmt: skip
async def test_what_is_not_even_http_hurts_nobody(client: aiohttp.ClientSession, path: Path, data: bytes) -> None:
    answer = await _raw(path, data)
    assert answer == b"" or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert (await _post(client, "/status"))[0] == 200


async def test_trouble_of_others_and_of_ours_has_its_own_status(
    client: aiohttp.ClientSession, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.service.key_status = 401
    status, answer = await _post(client, "/provider.balance")
    assert (status, answer["exit"], answer["error"]) == (403, 77, "the fax provider refuses the API key")
    house.service.key_status = 503
    status, answer = await _post(client, "/provider.balance")
    assert (status, answer["exit"], answer["error"]) == (503, 75, "the fax provider has trouble")

    async def broken() -> dict[str, Any]:
        raise RuntimeError("secret detail")

    monkeypatch.setitem(house.gateway.admin.operations, "status", broken)
    with structlog.testing.capture_logs() as logs:
        status, answer = await _post(client, "/status")
    assert (status, answer["exit"]) == (500, 70)
    assert answer["error"] == "the operation failed; the daemon's log says why"
    assert [each["operation"] for each in logs if each["event"] == "operation failed"] == ["/status"]


# --- who comes and goes -----------------------------------------------------------------------------------------------


async def test_one_who_waits_does_not_make_the_others_wait(
    client: aiohttp.ClientSession, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = asyncio.Event()

    async def slow() -> dict[str, Any]:
        await go.wait()
        return {}

    monkeypatch.setitem(house.gateway.admin.operations, "provider.balance", slow)
    waiting = asyncio.create_task(_post(client, "/provider.balance"))
    answers = await asyncio.gather(*(_post(client, "/queue.list") for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert not waiting.done()
    go.set()
    assert (await waiting)[0] == 200


async def test_two_clients_at_once_do_not_mix(client: aiohttp.ClientSession, house: House) -> None:
    async def send(n: int) -> tuple[str, str]:
        mail = MAIL.replace(b"<1@t>", b"<%d@t>" % n)
        status, answer = await _post(client, f"/send?to=%2B120255501{n:02}&from=you@example.org", mail)
        assert status == 200
        return answer["submission"], f"+120255501{n:02}"

    sent = dict(await asyncio.gather(*(send(n) for n in range(10))))
    listed = (await house.ask("queue.list"))["jobs"]
    assert {job["submission"]: job["to"] for job in listed} == sent


async def test_a_client_that_goes_before_its_mail_has_come_has_sent_nothing(house: House, path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(
            b"POST /send?to=%2B12025550123&from=you@example.org HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"
        )
        writer.write(MAIL)
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.1)
    assert [each for each in logs if each["event"] == "operation failed"] == []
    assert (await house.ask("queue.list"))["jobs"] == []
    assert list((path.parent / "spool/tmp").iterdir()) == []


async def test_a_client_that_goes_before_the_answer_has_sent_its_mail(house: House, path: Path) -> None:
    _, writer = await asyncio.open_unix_connection(path)
    writer.write(b"POST /send?to=%2B12025550123&from=you@example.org HTTP/1.1\r\nHost: x\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(MAIL), MAIL))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(30):
        while not (listed := (await house.ask("queue.list"))["jobs"]):
            await asyncio.sleep(0.01)
    assert [job["to"] for job in listed] == ["+12025550123"]


# --- the file ---------------------------------------------------------------------------------------------------------


async def test_a_socket_left_by_a_crash_is_replaced_and_the_own_one_removed(house: House, tmp_path: Path) -> None:
    place = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    server = AdminServer(house.gateway.admin, place)
    await server.start()
    async with aiohttp.ClientSession("http://x", connector=aiohttp.UnixConnector(str(place))) as client:
        assert (await _post(client, "/status"))[0] == 200
    await server.stop()
    assert not place.exists()
    await server.stop()


async def test_what_is_no_socket_is_not_removed(house: House, tmp_path: Path) -> None:
    place = tmp_path / "precious"
    place.write_text("text")
    server = AdminServer(house.gateway.admin, place)
    with pytest.raises(FileExistsError, match="is no socket"):
        await server.start()
    await server.stop()
    assert place.read_text() == "text"


async def test_a_path_longer_than_a_socket_address_may_be(house: House, tmp_path: Path) -> None:
    place = tmp_path / ("d" * 120) / "admin.sock"
    place.parent.mkdir()
    server = AdminServer(house.gateway.admin, place)
    await server.start()
    assert stat.S_ISSOCK(place.lstat().st_mode)
    await server.stop()
    assert not place.exists()


# --- files ------------------------------------------------------------------------------------------------------------


async def test_files_are_kept_for_a_while_and_no_longer_than_a_while(
    house: House, client: aiohttp.ClientSession
) -> None:
    assert await _post(client, "/files.keep", b'{"seconds": 60}') == (200, {"seconds": 60})
    async with house.gateway._keeping.removing() as may:
        assert not may
    assert await _post(client, "/files.keep", b'{"seconds": 0}') == (200, {"seconds": 0})
    async with house.gateway._keeping.removing() as may:
        assert may
    for seconds in (-1, 601):
        status, answer = await _post(client, "/files.keep", b'{"seconds": %d}' % seconds)
        assert (status, answer["error"]) == (400, "files are kept for 0 to 600 seconds at a time")


async def test_while_files_are_kept_nothing_is_purged_and_nothing_swept(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(retention, "forget_documents", lambda *_, **__: done.append("purge") or [])
    monkeypatch.setattr(house.gateway.spool, "sweep", lambda *_, **__: done.append("sweep") or [])
    await house.ask("files.keep", seconds=60)
    await house.gateway._purge()
    await house.gateway._sweep_orphans()
    assert done == []
    await house.ask("files.keep", seconds=0)
    await house.gateway._purge()
    await house.gateway._sweep_orphans()
    assert done == ["purge", "sweep"]
