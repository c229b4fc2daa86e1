"""Listening on an address as the configuration writes it: ``host:port``, ``unix:/path`` or ``fd:NAME``."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_BACKLOG = 512  # connections that wait to be taken
_AT_ONCE = 16  # taken one after another, with others between
_REMEDIES = {
    errno.EADDRINUSE: "; end what has it (ss -lp tells), or choose another address",
    errno.EACCES: "; a port below 1024 comes from systemd: fd:smtp, and faxgateway-smtp.socket",
    errno.EADDRNOTAVAIL: "; this machine has no such address (ip address tells those it has)",
}


class Listening:
    """An address that is listened on: a name may stand for several of them, each with a socket."""

    def __init__(self) -> None:
        self.sockets: list[_Bound] = []
        self.servers: list[asyncio.Server] = []

    def close(self) -> None:
        """Take nobody new."""
        for server in self.servers:
            server.close()
        for bound in self.sockets:  # also one that could not be listened on
            bound.close()

    async def wait_closed(self) -> None:
        for server in self.servers:
            await server.wait_closed()


class _Bound(socket.socket):
    """A socket of which asyncio takes several connections at once. When descriptors run out it would fail, and set a timer,
    for each of them; after the first failure it hears that no more wait.
    """

    _has_failed = False

    def accept(self) -> tuple[socket.socket, Any]:
        if self._has_failed:
            self._has_failed = False
            raise BlockingIOError
        try:
            return super().accept()
        except BlockingIOError:
            raise
        except OSError:
            self._has_failed = True
            raise


async def listen(
    factory: Callable[[], asyncio.BaseProtocol], address: str, passed: Mapping[str, socket.socket]
) -> Listening:
    """Bind and listen; ``passed`` are the sockets systemd has passed, by name. Raises OSError naming the address."""
    loop = asyncio.get_running_loop()
    listening = Listening()
    try:
        listening.sockets += await _bind(address, passed)
        for bound in listening.sockets:
            listening.servers.append(await loop.create_server(factory, sock=bound, backlog=_AT_ONCE))
            bound.listen(_BACKLOG)
        return listening
    except OSError as error:
        listening.close()
        # asyncio's own words name the address once more
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        remedy = "" if address.startswith("unix:") else _REMEDIES.get(error.errno or 0, "")
        raise OSError(error.errno, f"cannot listen on {address}: {why}{remedy}") from error


async def _bind(address: str, passed: Mapping[str, socket.socket]) -> list[_Bound]:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return [_Bound(fileno=_unix_socket(Path(rest)).detach())]
    if kind == "fd":
        return [_Bound(fileno=_named(rest, passed).detach())]
    host, _, port = address.rpartition(":")
    try:
        bound = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, host.strip("[]"), int(port), reuse_address=True, start_serving=False
        )
    except OSError as error:
        if error.errno is None:  # from Python 3.13 on, where this machine has no such address
            raise OSError(errno.EADDRNOTAVAIL, str(error)) from error
        raise
    try:
        return [_Bound(fileno=os.dup(each.fileno())) for each in bound.sockets]
    finally:
        bound.close()


def addresses(listening: Listening) -> list[str]:
    """Where it really listens."""
    found = []
    for bound in listening.sockets:
        name = bound.getsockname()
        if isinstance(name, str):
            found.append(f"unix:{name}")
        else:
            found.append(f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}")
    return found


def _named(name: str, passed: Mapping[str, socket.socket]) -> socket.socket:
    if name not in passed:
        raise OSError(
            f"systemd has passed no socket named {name}; enable the socket unit that has FileDescriptorName={name}"
        )
    return passed[name]


def _unix_socket(path: Path) -> socket.socket:
    """Bind a socket that the owner and the group may connect to, in place of one that was left there. Raises OSError."""
    if path.is_socket():
        path.unlink()
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(path))
        path.chmod(0o660)
    except OSError:
        bound.close()
        raise
    return bound
