"""A server on a bare socket that answers what the test says, byte for byte, and counts what it was sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

KEY = "f1a99500-7ce0-11e7-9fb1-0580e1fcb90c"


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Connection:
    """One accepted connection, as a script sees it."""

    server: Wire
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> Request:
        """Read one request to its end."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method, target, headers, body)
        self.server.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End it by RST."""
        raw: socket.socket = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Read until the client goes away."""
        while await self.reader.read(65536):
            pass


Script = Callable[[Connection], Awaitable[None]]


@dataclass
class Wire:
    script: Script
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    failure: BaseException | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v2"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            # the client may go away at any time
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.script(Connection(self, reader, writer))
        except Exception as error:
            self.failure = error
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def serve(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Serve ``script`` on a loopback port; a script that fails fails the test."""
    wire = Wire(script)
    server = await asyncio.start_server(wire._connected, "127.0.0.1", 0, ssl=context)
    wire.port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
        await server.wait_closed()
    if wire.failure is not None:
        raise wire.failure


def http(status: int | str, body: bytes = b"", *headers: str, length: bool = True) -> bytes:
    """A whole response; ``length`` False ends the body by closing."""
    lines = [f"HTTP/1.1 {status} X" if isinstance(status, int) else status, *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    if not any(line.lower().startswith("content-type") for line in lines):
        lines.append("Content-Type: application/json")
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body


def answering(data: bytes) -> Script:
    """Read one request, write ``data``, close."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)

    return script
