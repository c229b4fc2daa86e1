"""A fax of 64 MiB passes through without the daemon growing by it, in each way it may come."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import structlog

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.edge.callbacks import CallbackServer, CallbackSettings
from gateway.model import FaxArrival, Receipt
from gateway.spool import Draft, Spool

from .conftest import TOKEN

MIB = 1 << 20
SIZE = 64 * MIB
BLOCK = b"%PDF-1.4\n" + bytes(range(256)) * 3 * 1024  # starts each, so that any cut would show
PER_BLOCK = len(BLOCK)


def _peak() -> int:
    """The most memory this process ever held, in KiB (getrusage would count what it was forked from)."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])


async def _daemon(root: str) -> None:
    """The receiving process: tells its port, then for each fax its size and how large the process ever was (KiB)."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    spool = Spool(Path(root), reserve=0, floor=0)
    spool.open()
    pool = WorkerPool(1, WorkerLimits(), fork=False)
    await pool.start()

    class Sink:
        def draft(self) -> Draft:
            return spool.draft()

        async def receipt(self, receipt: Receipt) -> None:
            raise AssertionError(receipt)

        async def arrival(self, arrival: FaxArrival, draft: Draft | None, file_type: str) -> None:
            assert draft is not None
            print(draft.size, draft.sha256, file_type, _peak(), flush=True)
            draft.discard()

    async def parse(kind: str, path: str) -> Any:
        return await pool.run(f"gateway.provider.faxto_callback:parse_{kind}", path=path)

    async def metrics() -> bytes:
        return b""

    server = CallbackServer(
        CallbackSettings("127.0.0.1:0", (TOKEN,)), Sink(), parse=parse, ready=lambda: True, metrics=metrics
    )
    await server.start()
    print(server.address, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop()
    await pool.close()
    assert list((spool.root / "tmp").iterdir()) == []


if __name__ == "__main__":
    asyncio.run(_daemon(sys.argv[1]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "callbacks.test_callbacks_memory", str(tmp_path_factory.mktemp("memory") / "spool"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process.stdout
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _document(size: int) -> AsyncIterator[bytes]:
    for at in range(0, size, PER_BLOCK):
        yield BLOCK[: size - at]


def _hash(size: int) -> str:
    digest = hashlib.sha256()
    for at in range(0, size, PER_BLOCK):
        digest.update(BLOCK[: size - at])
    return digest.hexdigest()


async def _base64(size: int) -> AsyncIterator[bytes]:
    assert PER_BLOCK % 3 == 0
    async for block in _document(size):
        yield base64.b64encode(block)


async def _urlencoded(size: int) -> AsyncIterator[bytes]:
    yield b"uuid=u&file="
    async for block in _base64(size):
        yield block.replace(b"+", b"%2B").replace(b"/", b"%2F").replace(b"=", b"%3D")


async def _json(size: int) -> AsyncIterator[bytes]:
    yield b'{"uuid":"u","file":"'
    async for block in _base64(size):
        yield block
    yield b'"}'


async def _multipart(content: AsyncIterator[bytes], head: bytes) -> AsyncIterator[bytes]:
    yield b'--B\r\nContent-Disposition: form-data; name="uuid"\r\n\r\nu\r\n--B\r\n' + head + b"\r\n\r\n"
    async for block in content:
        yield block
    yield b"\r\n--B--\r\n"


FILE = b'Content-Disposition: form-data; name="file"; filename="f.pdf"'
FIELD = b'Content-Disposition: form-data; name="file"'
MULTIPART = "multipart/form-data; boundary=B"
SHAPES: dict[str, Any] = {
    "file": (lambda size: _multipart(_document(size), FILE), MULTIPART),
    "base64 field": (lambda size: _multipart(_base64(size), FIELD), MULTIPART),
    "base64 file": (lambda size: _multipart(_base64(size), FILE + b"\r\nContent-Transfer-Encoding: base64"), MULTIPART),
    "form": (_urlencoded, "application/x-www-form-urlencoded"),
    "json": (_json, "application/json"),
    "raw": (_document, "application/pdf"),
}


@pytest.fixture(scope="module")
def smallest() -> list[int]:
    """How large the daemon was (KiB) after the first small fax: all that come later are measured against it."""
    return []


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_fax_of_64_mib_costs_no_memory(
    shape: str, daemon: tuple[str, asyncio.StreamReader], smallest: list[int]
) -> None:
    assert PER_BLOCK % 3 == 0
    address, told = daemon
    make, kind = SHAPES[shape]
    async with aiohttp.ClientSession() as client:
        for size in (MIB, SIZE):
            async with client.post(
                f"http://{address}/callback/{TOKEN}", data=make(size), headers={"Content-Type": kind}
            ) as answer:
                assert answer.status == 200
            got, digest, file_type, rss = (await told.readline()).decode().split()
            assert (int(got), digest, file_type) == (size, _hash(size), "application/pdf")
            smallest[:] = smallest or [int(rss)]
        assert int(rss) - smallest[0] < 16 * 1024, f"grew by {int(rss) - smallest[0]} KiB"
        async with client.post(
            f"http://{address}/callback/{TOKEN}", data=make(SIZE + 1), headers={"Content-Type": kind}
        ) as answer:
            assert answer.status == 413
