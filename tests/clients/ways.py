"""The ways into the gateway that a client may take, and the letter it is to bring."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

USER, PASSWORD = "copier", "correct horse 4711"
HOST = "localhost"  # the name in the certificate


class Cannot(Exception):
    """The program has no such way; the text says what it lacks."""


@dataclass(frozen=True, slots=True)
class Way:
    """One listener, with a login or without. ``authority`` is the PEM file of who signed its certificate."""

    name: str  # plain, starttls, implicit, unix
    login: bool
    authority: Path
    port: int = 0
    socket: Path | None = None

    @property
    def tls(self) -> bool:
        return self.name in ("starttls", "implicit")

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class Letter:
    """What to bring: ``dsn`` asks for ``NOTIFY=SUCCESS``."""

    sender: str
    to: str
    dsn: bool
    place: Path  # a directory of its own
    text: str = "Please fax this page.\n.\n..and these dots\n"
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return f"From: {self.sender}\nTo: {self.to}\nSubject: A letter\n\n{self.text}"

    @property
    def file(self) -> Path:
        path = self.place / "letter.eml"
        path.write_text(self.message)
        return path


async def run(*command: str, say: str = "", env: dict[str, str] | None = None, within: float = 60.0) -> str:
    """Run a program to its end; what it said. Raises RuntimeError when it did not succeed, TimeoutError."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
    )
    try:
        async with asyncio.timeout(within):
            output, _ = await process.communicate(say.encode())
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    said = output.decode("utf-8", "replace")
    if process.returncode:
        raise RuntimeError(said.strip() or f"status {process.returncode}")
    return said
