"""Power cut: the state lies on an ext4 image, which is copied while mounted; the gateway goes on from the copy.

What was not synced is not in the copy: nothing is written back by itself for minutes, and ext4 is told not to guess what
should be synced. The gateway does nothing at the moment of the copy, so that it has told nobody anything that the copy
could not know.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.document.worker import WorkerPool
from gateway.faultpoint import VARIABLE

from .checker import check
from .journeys import Journey, route
from .kill import evidence, settled
from .random_kill import Load, Outcome, finish
from .world import until, world

_SIZE = 256 << 20
_PATIENCE = 60.0
_BUSY = 100  # tries to unmount, of 0.1 s


def possible(directory: Path) -> str:
    """ "" where an image can be made and mounted, else why not."""
    if os.geteuid() != 0:
        return "only root may mount an image"
    image, mount = directory / "probe.img", directory / "probe"
    mount.mkdir(parents=True, exist_ok=True)
    try:
        _make(image, _SIZE)
        _mount(image, mount)
        _run("umount", str(mount))
    except (OSError, subprocess.CalledProcessError) as error:
        return f"this machine cannot mount an image: {error}"
    finally:
        image.unlink(missing_ok=True)
    return ""


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _make(image: Path, size: int) -> None:
    with image.open("wb") as stream:
        stream.truncate(size)
    _run("mkfs.ext4", "-q", str(image))


def _mount(image: Path, mount: Path) -> None:
    _run("mount", "-o", "loop,commit=300,noauto_da_alloc", str(image), str(mount))


class Disk:
    """A mounted ext4 image. A cut is :meth:`keep`, then the end of whoever uses the disk, then :meth:`go_on`."""

    def __init__(self, directory: Path) -> None:
        self.mount = directory / "disk"
        self._image = directory / "disk.img"
        self._copy = directory / "copy.img"

    def make(self, size: int) -> None:
        self.mount.mkdir(parents=True)
        _make(self._image, size)
        _mount(self._image, self.mount)

    def keep(self) -> None:
        """Copy what would be left of it if the power failed now."""
        _run("cp", "--sparse=always", str(self._image), str(self._copy))

    def go_on(self) -> None:
        """Go on from the copy. Waits for converters that have not noticed yet that their gateway is dead."""
        for _ in range(_BUSY):
            if not subprocess.run(["umount", str(self.mount)], check=False, capture_output=True).returncode:
                break
            time.sleep(0.1)
        self._copy.replace(self._image)
        _mount(self._image, self.mount)

    def remove(self) -> None:
        subprocess.run(["umount", str(self.mount)], check=False, capture_output=True)
        for image in (self._image, self._copy):
            image.unlink(missing_ok=True)


@asynccontextmanager
async def mounted(directory: Path, size: int = _SIZE) -> AsyncIterator[Disk]:
    """A file system of its own, of so many bytes."""
    disk = Disk(directory)
    try:
        await asyncio.to_thread(disk.make, size)
        yield disk
    finally:
        await asyncio.to_thread(disk.remove)


async def run(workers: WorkerPool, directory: Path, cuts: int, seed: int) -> Outcome:
    """``cuts`` power cuts at random moments under load."""
    outcome = Outcome("power cut under load")
    dice = random.Random(seed)
    async with mounted(directory) as disk, world(directory, workers) as here:
        here.use_state(disk.mount / "state")
        await here.gateway.start()
        await route(here)
        load = Load(here, dice)
        clients = asyncio.create_task(load.clients())
        try:
            for _ in range(cuts):
                await asyncio.sleep(dice.uniform(0.1, 1.5))
                os.kill(here.gateway.pid, signal.SIGSTOP)
                await asyncio.to_thread(disk.keep)
                await here.gateway.kill()
                await asyncio.to_thread(disk.go_on)
                outcome.hurts += 1
                if not await here.gateway.start():
                    outcome.breaches.append(f"it did not start again: status {here.gateway.status}")
                    break
            load.enough.set()
            await finish(here, clients, outcome, killed=True, doubled_mails=2 * cuts)
        finally:
            clients.cancel()
            await here.gateway.kill()
    return outcome


async def at(workers: WorkerPool, directory: Path, journey: Journey, point: str) -> list[str]:
    """A power cut when the gateway comes to a named point (``NAME:N``) on a journey; returns the breaches.

    The database has one disk and the spool another, so that a sync of the one makes nothing durable on the other.
    """
    breaches: list[str] = []
    async with (
        mounted(directory / "rows") as rows,
        mounted(directory / "files") as files,
        world(directory, workers) as here,
    ):
        state = rows.mount / "state"
        state.mkdir()
        (state / "spool").symlink_to(files.mount)
        here.use_state(state)
        await here.gateway.start()  # a cut is to take what came last, not the database as a whole
        await here.gateway.stop()
        await asyncio.to_thread(os.sync)
        await here.gateway.start(env={VARIABLE: point}, wait=False)
        act = asyncio.ensure_future(journey.act(here))
        try:
            if await here.gateway.gone(_PATIENCE) is None:
                breaches.append(f"it never came to {point}")
            for disk in (rows, files):
                await asyncio.to_thread(disk.keep)
            await here.gateway.kill()
            for disk in (rows, files):
                await asyncio.to_thread(disk.go_on)
            if not await here.gateway.start():
                return [*breaches, f"it did not start again: status {here.gateway.status}"]
            await act
            if not await until(lambda: settled(here), _PATIENCE):
                breaches.append("it never came to rest")
            if status := await here.gateway.stop():
                breaches.append(f"the gateway ended with {status}")
            return breaches + check(await evidence(here, doubled_mails=2))
        finally:
            act.cancel()
            await asyncio.gather(act, return_exceptions=True)
            await here.gateway.kill()
