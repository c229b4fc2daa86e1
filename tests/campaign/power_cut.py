"""Power cut: the state lies on an ext4 image, which is copied while mounted; the gateway goes on from the copy.

What was not synced is not in the copy. The gateway is stopped for the moment of the copy, so that it has told nobody
anything that the copy could not know.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.document.worker import WorkerPool

from .journeys import route
from .random_kill import Load, Outcome, finish
from .world import world

_SIZE = 256 << 20


def possible(directory: Path) -> str:
    """ "" where an image can be made and mounted, else why not."""
    if os.geteuid() != 0:
        return "only root may mount an image"
    image, mount = directory / "probe.img", directory / "probe"
    mount.mkdir(parents=True, exist_ok=True)
    try:
        _make(image)
        _run("mount", "-o", "loop", str(image), str(mount))
        _run("umount", str(mount))
    except (OSError, subprocess.CalledProcessError) as error:
        return f"this machine cannot mount an image: {error}"
    finally:
        image.unlink(missing_ok=True)
    return ""


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@asynccontextmanager
async def mounted(directory: Path, size: int = _SIZE) -> AsyncIterator[Path]:
    """A directory on an ext4 file system of its own."""
    image, mount = directory / "disk.img", directory / "disk"
    mount.mkdir(parents=True)
    _make(image, size)
    await asyncio.to_thread(_run, "mount", "-o", "loop", str(image), str(mount))
    try:
        yield mount
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", str(mount)], check=False, capture_output=True)
        image.unlink(missing_ok=True)


def _make(image: Path, size: int = _SIZE) -> None:
    with image.open("wb") as stream:
        stream.truncate(size)
    _run("mkfs.ext4", "-q", str(image))


async def run(workers: WorkerPool, directory: Path, cuts: int, seed: int) -> Outcome:
    """``cuts`` power cuts at random moments under load."""
    outcome = Outcome("power cut under load")
    dice = random.Random(seed)
    image = directory / "disk.img"
    try:
        async with mounted(directory) as mount, world(directory, workers) as here:
            here.use_state(mount / "state")
            await here.gateway.start()
            await route(here)
            load = Load(here, dice)
            clients = asyncio.create_task(load.clients())
            try:
                for n in range(cuts):
                    await asyncio.sleep(dice.uniform(0.1, 1.5))
                    os.kill(here.gateway.pid, signal.SIGSTOP)
                    copy = directory / f"cut-{n}.img"
                    await asyncio.to_thread(_run, "cp", "--sparse=always", str(image), str(copy))
                    await here.gateway.kill()
                    await asyncio.to_thread(_run, "umount", str(mount))
                    image.unlink()
                    image = copy
                    await asyncio.to_thread(_run, "mount", "-o", "loop", str(image), str(mount))
                    outcome.hurts += 1
                    if not await here.gateway.start():
                        outcome.breaches.append(f"it did not start again: status {here.gateway.status}")
                        break
                load.enough.set()
                await finish(here, clients, outcome, doubled_mails=2 * cuts)
            finally:
                clients.cancel()
                await here.gateway.kill()
    finally:
        image.unlink(missing_ok=True)
    return outcome
