"""The SMTP door under random clients: a real door, database, spool and reader process in this process.

A session may be refused, cut off or accepted; it may not leave a traceback, hang, or cost memory, descriptors or
temporary files for longer than it lasts, and what was told with a 250 stands in the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

from structlog.testing import capture_logs

from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.edge.smtp_settings import ListenerSettings, SmtpSettings
from gateway.edge.smtpd import SmtpDoor
from gateway.policy import PolicySettings
from gateway.service.accept import AcceptSettings
from gateway.spool import Spool
from gateway.store import jobs
from gateway.store.db import Database

from . import words

SESSIONS = 16  # at once; after each such batch the house is looked at
_HOUSES = 250  # batches until it is closed and built anew
_PATIENCE = 30.0  # seconds for a session to end after its client has said everything
_GROWTH = 96 << 20  # bytes that the process may grow by, once it is warm
_WARM = 20  # batches
_LOCAL = ("127.0.0.0/8",)
_REPLY = re.compile(r"(?P<code>[2-5][0-9]{2})(?P<more>[ -])(?P<enhanced>[245]\.\d{1,3}\.\d{1,3} )?[ -~]*")
_PLAIN = ("220", "334", "354")  # and what answers HELO and EHLO: replies without an enhanced code (RFC 2034 section 4)


class Found(Exception):
    """Something that must not be."""


def plan(seed: int, batch: int) -> Iterator[tuple[int, bytes, list[bytes], str]]:
    """The sessions of a batch: listener, all that is said, its pieces, and how the client ends."""
    for n in range(SESSIONS):
        random = Random(f"{seed}/{batch}/{n}")
        listener = random.randint(0, 2)
        said = words.stream(random)
        yield listener, said, words.pieces(random, said), random.choice(["wait", "wait", "half", "cut"])


async def run(seconds: float, seed: int, *, save: Path, only: int | None = None) -> tuple[int, list[str]]:
    """Fuzz for so long, or the batch ``only`` once; returns the number of sessions, and what was found."""
    until = time.monotonic() + seconds
    batch, found, baseline = only or 0, list[str](), 0
    while not found and (only is None or batch == only) and (only is not None or time.monotonic() < until):
        with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
            async with _house(Path(directory)) as house:
                for _ in range(_HOUSES):
                    try:
                        await house.batch(seed, batch)
                        if batch == _WARM:
                            baseline = _resident()
                        _check_growth(baseline)
                    except Found as error:
                        found.append(f"seed {seed}, batch {batch}: {error}")
                        _save(save, seed, batch, str(error))
                    batch += 1
                    if found or only is not None or time.monotonic() >= until:
                        break
    return (batch - (only or 0)) * SESSIONS, found


def _save(directory: Path, seed: int, batch: int, why: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    said = [{"listener": listener, "end": end, "pieces": [piece.hex() for piece in pieces]} for listener, _, pieces, end in plan(seed, batch)]  # fmt: skip
    report = {"why": why, "seed": seed, "batch": batch, "sessions": said}
    (directory / f"door-{seed}-{batch}.json").write_text(json.dumps(report, indent=1))


class _House:
    """What is behind the door, and the door itself."""

    def __init__(self, spool: Spool, database: Database, door: SmtpDoor, slipped: list[Any]) -> None:
        self.spool, self.database, self.door, self.slipped = spool, database, door, slipped
        self.addresses = door.addresses()
        self.descriptors = 0

    async def batch(self, seed: int, batch: int) -> None:
        """Raises :class:`Found`."""
        with capture_logs() as logs:
            told = await asyncio.gather(
                *(self._session(listener, pieces, end) for listener, _, pieces, end in plan(seed, batch))
            )
            await self._empty()
        bad = [entry for entry in logs if entry["log_level"] in ("error", "critical") or entry.get("exc_info")]
        if bad or self.slipped:
            raise Found(f"trouble of our own: {[*bad, *self.slipped][0]}")
        for id_ in {id_ for ids in told for id_ in ids}:
            if await self.database.read(lambda tx, id_=id_: jobs.get_submission(tx, id_)) is None:
                raise Found(f"{id_} was told with a 250 and is not kept")
        open_files = len(os.listdir("/proc/self/fd"))
        if not self.descriptors and batch >= 2:
            self.descriptors = open_files
        if self.descriptors and open_files > self.descriptors + 2:
            raise Found(f"{open_files} descriptors are open, at first it was {self.descriptors}")

    async def _session(self, listener: int, pieces: list[bytes], end: str) -> list[str]:
        """Say it; returns the ids that were told. Raises :class:`Found`."""
        host, _, port = self.addresses[listener].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        heard = asyncio.create_task(reader.read())  # to its end
        try:
            with contextlib.suppress(OSError):  # also of a socket that is gone
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.002)
                if end == "half":
                    writer.write_eof()
                if end == "cut":
                    writer.transport.abort()
            async with asyncio.timeout(_PATIENCE):
                with contextlib.suppress(OSError):
                    return _ids(await heard)
        except TimeoutError:
            raise Found("a session hangs") from None
        finally:
            heard.cancel()
            writer.transport.abort()
        return []

    async def _empty(self) -> None:
        """Wait until nothing of the sessions is left. Raises :class:`Found`."""
        clients = self.door._clients
        tmp = self.spool.root / "tmp"
        try:
            async with asyncio.timeout(_PATIENCE):
                while clients._conversations or clients._committing or clients._present or any(tmp.iterdir()):
                    await asyncio.sleep(0.005)
        except TimeoutError:
            left = [path.name for path in tmp.iterdir()]
            raise Found(f"left over: {list(clients._conversations)} {list(clients._committing)} {left}") from None
        gc.collect(0)


def _ids(heard: bytes) -> list[str]:
    """The ids in what a client heard. Raises :class:`Found` for what is no SMTP reply."""
    lines = heard.decode("latin-1").split("\r\n")
    if lines.pop():
        raise Found(f"an answer does not end: {heard[-200:]!r}")
    ids, greeting = [], False
    for line in lines:
        match = _REPLY.fullmatch(line)
        if match is None:
            raise Found(f"this is no SMTP reply: {line!r}")
        greeting = line in ("250 gw.example", "250-gw.example") or (greeting and match["more"] == "-")
        last_of_greeting = line.startswith("250 ") and not match["enhanced"] and re.match(r"250 (AUTH|STARTTLS|CHUNKING|gw)", line)  # fmt: skip
        if not (match["enhanced"] or match["code"] in _PLAIN or greeting or last_of_greeting):
            raise Found(f"an answer without an enhanced code: {line!r}")
        if line.startswith("250 2.0.0 queued as "):
            ids.append(line.rpartition(" ")[2])
    return ids


@contextlib.asynccontextmanager
async def _house(directory: Path) -> AsyncIterator[_House]:
    from tests.smtpd.smtp_harness import House

    spool = Spool(directory / "spool", floor=0, reserve=0)
    spool.open()
    database = Database(directory / "faxgateway.db")
    reader = WorkerPool(1, WorkerLimits(), fork=False)
    await database.open()
    await reader.start()
    slipped: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: slipped.append(context))
    accept = House(spool, database, reader, AcceptSettings(("fax.local",), "US", PolicySettings())).accept
    settings = SmtpSettings(
        "gw.example", max_message=60_000, command_timeout=0.4, data_timeout=0.4, max_commands=60, max_recipients=5
    )
    listeners = [
        ListenerSettings("plain", "127.0.0.1:0", networks=_LOCAL),
        ListenerSettings("strict", "127.0.0.1:0", networks=_LOCAL, bare_newline="reject"),
        ListenerSettings("login", "127.0.0.1:0", networks=_LOCAL, auth="optional"),
    ]
    door = SmtpDoor(settings, listeners, accept)
    await door.start()
    try:
        yield _House(spool, database, door, slipped)
    finally:
        await door.stop(1.0)
        await reader.close()
        await database.close()
        loop.set_exception_handler(None)


def _check_growth(baseline: int) -> None:
    """Raises :class:`Found`."""
    if baseline and _resident() - baseline > _GROWTH:
        raise Found(f"the process has grown by {(_resident() - baseline) >> 20} MiB")


def _resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
