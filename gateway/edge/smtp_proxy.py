"""The PROXY protocol, versions 1 and 2: whom a proxy in front of the door speaks for.

Source: https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt, sections 2.1 and 2.2. The header is read to its last
byte and not further: what follows it belongs to TLS or SMTP.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LONGEST_LINE = 107  # bytes of a version 1 header
_MOST = 4096  # bytes of a version 2 header that are read; addresses and TLVs of a proxy are far fewer


class NoHeader(ValueError):
    """The client did not begin as a proxy has to."""


async def read_header(connection: socket.socket) -> tuple[str, int] | None:
    """Address and port of the client that a proxy speaks for; None when it speaks for itself (a health check).

    ``connection`` does not block. Raises :class:`NoHeader`, OSError.
    """
    start = await _exactly(connection, len(_SIGNATURE))
    if start == _SIGNATURE:
        return await _version_2(connection)
    if not start.startswith(b"PROXY "):
        raise NoHeader("it begins with something else")
    line = start
    while not line.endswith(b"\r\n"):
        if len(line) >= _LONGEST_LINE:
            raise NoHeader("its line is too long")
        line += await _exactly(connection, 1)
    return _version_1(line)


def _version_1(line: bytes) -> tuple[str, int] | None:
    words = line[:-2].split(b" ")
    if words[1:2] == [b"UNKNOWN"]:
        return None
    if len(words) != 6 or words[1] not in (b"TCP4", b"TCP6"):
        raise NoHeader("its line cannot be read")
    try:
        address, port = ipaddress.ip_address(words[2].decode("ascii")), int(words[4])
    except ValueError:
        raise NoHeader("its line names no address") from None
    if address.version != int(words[1][-1:]) or not 0 <= port <= 65535:
        raise NoHeader("its line names no address")
    return str(address), port


async def _version_2(connection: socket.socket) -> tuple[str, int] | None:
    version, family, size = struct.unpack("!BBH", await _exactly(connection, 4))
    if version not in (0x20, 0x21) or size > _MOST:
        raise NoHeader("its version, command or length is not known")
    rest = await _exactly(connection, size)
    width = {0x11: 4, 0x21: 16}.get(family)  # TCP over IPv4 and IPv6
    if version == 0x20 or width is None:  # LOCAL, or a family that names no address
        return None
    if size < 2 * width + 4:
        raise NoHeader("its addresses are not whole")
    (port,) = struct.unpack("!H", rest[2 * width : 2 * width + 2])
    return str(ipaddress.ip_address(rest[:width])), port


async def _exactly(connection: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    found = b""
    while len(found) < size:
        data = await loop.sock_recv(connection, size - len(found))
        if not data:
            raise NoHeader("it closed the connection")
        found += data
    return found
