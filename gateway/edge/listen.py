"""Listening on an address as the configuration writes it: ``host:port``, ``unix:/path`` or ``fd:NAME``."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

_BACKLOG = 512  # connections that wait to be taken
_AT_ONCE = 1  # taken one after another, with others between: asyncio fails for each of them when descriptors run out
_REMEDIES = {
    errno.EADDRINUSE: "; end what has it (ss -lp tells), or choose another address",
    errno.EACCES: "; a port below 1024 comes from systemd: fd:smtp, and faxgateway-smtp.socket",
    errno.EADDRNOTAVAIL: "; this machine has no such address (ip address tells those it has)",
}


async def listen(
    factory: Callable[[], asyncio.BaseProtocol], address: str, passed: Mapping[str, socket.socket]
) -> asyncio.Server:
    """Bind and listen; ``passed`` are the sockets systemd has passed, by name. Raises OSError naming the address."""
    try:
        server = await _bind(factory, address, passed)
        for bound in server.sockets:
            with socket.socket(fileno=os.dup(bound.fileno())) as same:
                same.listen(_BACKLOG)
        return server
    except OSError as error:
        # asyncio's own words name the address once more
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        remedy = "" if address.startswith("unix:") else _REMEDIES.get(error.errno or 0, "")
        raise OSError(error.errno, f"cannot listen on {address}: {why}{remedy}") from error


async def _bind(
    factory: Callable[[], asyncio.BaseProtocol], address: str, passed: Mapping[str, socket.socket]
) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return await loop.create_unix_server(factory, sock=_unix_socket(Path(rest)), backlog=_AT_ONCE)
    if kind == "fd":
        return await loop.create_server(factory, sock=_named(rest, passed), backlog=_AT_ONCE)
    host, _, port = address.rpartition(":")
    return await loop.create_server(factory, host.strip("[]"), int(port), backlog=_AT_ONCE, reuse_address=True)


def addresses(server: asyncio.Server) -> list[str]:
    """Where it really listens."""
    found = []
    for bound in server.sockets:
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
