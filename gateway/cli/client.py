"""Reaching the operations: at the admin socket of a running daemon or, without one, in this process."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gateway.cli import output
from gateway.cli.base import EX_PERMISSION, EX_TEMPORARY, EX_UNAVAILABLE, EX_UNKNOWN, Failed, Session

if TYPE_CHECKING:
    import aiohttp

    from gateway.config import Config
    from gateway.errors import ConfigError

_QUICK = 30.0  # seconds for how it is: a gateway that cannot say that hangs
_TIMEOUT = 300.0  # seconds for an answer: a large mail is accepted, a provider asked
Operations = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


class NotRunning(Failed):
    """Nobody listens at the admin socket."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"no gateway is running (nobody answers at {path}); start it with: faxgateway serve,"
            " or: systemctl start faxgateway",
            EX_UNAVAILABLE,
        )


class AdminClient:
    """The operations of a running daemon, over HTTP on its unix socket."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._directory = -1
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Connect. Raises NotRunning, or Failed where this user may not."""
        import aiohttp

        try:
            self._directory = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            # a socket's path may have 107 bytes: the directory is named by its descriptor
            short = f"/proc/self/fd/{self._directory}/{self._path.name}"
            _try(short)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            self._forget_directory()
            raise NotRunning(self._path) from None
        except PermissionError:
            self._forget_directory()
            raise Failed(
                f"only root and the gateway's own user may use {self._path}; try: sudo faxgateway ...", EX_PERMISSION
            ) from None
        self._session = aiohttp.ClientSession(connector=aiohttp.UnixConnector(short))
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._session.close()
        self._forget_directory()

    def _forget_directory(self) -> None:
        if self._directory != -1:
            os.close(self._directory)
            self._directory = -1

    async def __call__(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Run an operation. Raises Failed with the daemon's sentence and status."""
        return await self._post(operation, json=arguments)

    async def send(self, mail: bytes, to: list[str], sender: str) -> dict[str, Any]:
        """Have a mail accepted, as at the SMTP door; returns ``submission`` and ``jobs``."""
        query = [*(("to", number) for number in to), ("from", sender)]
        return await self._post("send", params=query, data=io.BytesIO(mail))

    async def _post(self, operation: str, **content: Any) -> dict[str, Any]:
        import aiohttp

        is_quick = operation == "status"
        wait = aiohttp.ClientTimeout(total=_QUICK if is_quick else _TIMEOUT)
        try:
            async with self._session.post(f"http://faxgateway/{operation}", timeout=wait, **content) as response:
                answer = await response.json()
        except TimeoutError as error:
            if not is_quick:
                raise _unanswered(operation, error) from error
            raise Failed(
                f"the gateway runs and does not answer within {_QUICK:.0f} s; its log may say why: journalctl -u faxgateway",
                EX_TEMPORARY,
            ) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise _unanswered(operation, error) from error
        if not isinstance(answer, dict):
            raise Failed(f"the gateway's answer to {operation} is no JSON object", EX_UNKNOWN)
        if response.status != 200:
            raise Failed(str(answer.get("error", response.reason)), int(answer.get("exit", EX_UNKNOWN)))
        return answer


def _unanswered(operation: str, error: Exception) -> Failed:
    why = error or type(error).__name__
    return Failed(f"the gateway gave no answer to {operation} ({why}); what became of it is not known", EX_UNKNOWN)


def _try(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5.0)
        probe.connect(path)


@asynccontextmanager
async def operations(config: Config) -> AsyncIterator[Operations]:
    """The operations of the running daemon or, without one, of the state directory itself, under its lock.

    Raises what :func:`gateway.app.offline` raises, Failed.
    """
    operate: Operations
    async with AsyncExitStack() as opened:
        try:
            operate = await opened.enter_async_context(AdminClient(config.admin_socket))
        except NotRunning:
            from gateway import app, telemetry

            _become_owner(config.state_dir)
            telemetry.set_up_logging("warning", "console")
            operate = await opened.enter_async_context(app.offline(config))
        yield operate


def _become_owner(state: Path) -> None:
    """Root without a daemon works as the owner of the state directory, so that the daemon can read what is written."""
    try:
        owner = state.stat()
    except OSError:
        return
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.setgroups([])
        os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
        os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)


def ask(
    session: Session, operation: str, arguments: dict[str, Any] | None = None, *, secrets: bool = False
) -> dict[str, Any]:
    """Run one operation; ``secrets`` for one that without a daemon speaks to the provider itself."""
    from gateway.errors import ConfigError

    try:
        config = session.config(secrets=secrets)
    except ConfigError as wrong:
        try:
            return ask_daemon(session, operation, arguments)
        except NotRunning:
            raise wrong from None

    async def run() -> dict[str, Any]:
        async with operations(config) as operate:
            return await operate(operation, arguments or {})

    return asyncio.run(run())


def ask_daemon(session: Session, operation: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run one operation that only a running daemon can, whatever was written into its configuration meanwhile.

    Raises NotRunning, ConfigError.
    """
    config, wrong = session.place()

    async def run() -> dict[str, Any]:
        async with AdminClient(config.admin_socket) as client:
            if wrong is not None:
                warn(wrong)
            return await client(operation, arguments or {})

    try:
        return asyncio.run(run())
    except NotRunning:
        if wrong is None:
            raise
        raise wrong from None


def warn(wrong: ConfigError) -> None:
    """Of a configuration that is not needed now."""
    output.say(f"Warning: {wrong.public}, and the gateway would not start with it; see: faxgateway check-config")
