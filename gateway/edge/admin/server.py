"""The operations over HTTP on a unix socket, for root and the user the daemon runs as.

``POST /OPERATION`` with a JSON object as body, or ``POST /send?to=NUMBER&from=ADDRESS`` with a mail as body; the answer
is a JSON object. Any other status than 200 comes with ``{"error": sentence, "exit": status of sysexits.h}``.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import structlog
from aiohttp import web

from gateway.edge.admin.operations import Admin
from gateway.edge.listen import Listening, listen
from gateway.errors import KeyRefused, NotFound, Refused, TryLater

log = structlog.get_logger("admin")

_MAX_ARGUMENTS = 1 << 20  # bytes
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): process, user, group
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AdminServer:
    """``users`` may use it: their numeric ids; by default root and the user of this process."""

    def __init__(self, admin: Admin, path: Path, *, users: frozenset[int] = frozenset()) -> None:
        self._admin = admin
        self._path = path
        self._users = users or frozenset({0, os.geteuid()})
        self._runner: web.AppRunner | None = None
        self._listener: Listening | None = None

    async def start(self) -> None:
        """Bind. The state directory's lock is held, so a socket that is there is a dead one. Raises OSError."""
        _remove_socket(self._path)
        app = web.Application(middlewares=[self._guard])
        app.router.add_post("/send", self._send)
        app.router.add_post("/{operation}", self._operation)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=5.0)
        await self._runner.setup()
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # a socket's path may have 107 bytes: name the directory by its descriptor
            assert self._runner.server is not None
            self._listener = await listen(self._runner.server, f"unix:/proc/self/fd/{directory}/{self._path.name}", {})
        finally:
            os.close(directory)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Let answers under way end, then go."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
            try:
                _remove_socket(self._path)
            except OSError as error:  # the next start removes it
                log.warning("the admin socket is left behind", path=str(self._path), why=str(error))

    # --- one request ----------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Who may not is told so; who may gets an answer in JSON whatever happens."""
        user = _user(request)
        if user not in self._users:
            log.warning("refused", user=user)
            return _error("only root and the gateway's own user may use this socket", os.EX_NOPERM, 403)
        try:
            return await handler(request)
        except NotFound as error:
            return _error(error.public, os.EX_DATAERR, 404)
        except KeyRefused as error:
            return _error(error.public, os.EX_NOPERM, 403)
        except TryLater as error:
            return _error(error.public, os.EX_TEMPFAIL, 503)
        except Refused as error:
            return _error(error.public, os.EX_DATAERR, 400)
        except web.HTTPException as error:
            return _error(f"{error.reason}: {request.method} {request.path}", os.EX_USAGE, error.status)
        except ConnectionError:
            raise
        except Exception:
            log.exception("operation failed", operation=request.path)
            return _error("the operation failed; the daemon's log says why", os.EX_SOFTWARE, 500)

    async def _operation(self, request: web.Request) -> web.Response:
        body = await _body(request, _MAX_ARGUMENTS)
        try:
            arguments = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            arguments = None
        if not isinstance(arguments, dict):
            return _error("the arguments are not a JSON object", os.EX_USAGE, 400)
        return web.json_response(await self._admin(request.match_info["operation"], arguments))

    async def _send(self, request: web.Request) -> web.Response:
        most = self._admin.max_mail
        try:
            mail = await _body(request, most)
        except web.HTTPRequestEntityTooLarge:
            sentence = f"the mail has more than {most:,} bytes; fax less at a time, or raise smtp.max_message"
            return _error(sentence, os.EX_DATAERR, 413)
        return web.json_response(
            await self._admin.send(mail, request.query.getall("to", []), request.query.get("from", ""))
        )


async def _body(request: web.Request, limit: int) -> bytes:
    """The whole body. Raises HTTPRequestEntityTooLarge as soon as it is longer than ``limit``."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise web.HTTPRequestEntityTooLarge(max_size=limit, actual_size=len(body))
    return bytes(body)


def _error(sentence: str, status: int, http_status: int) -> web.Response:
    return web.json_response({"error": sentence, "exit": status}, status=http_status)


def _user(request: web.Request) -> int | None:
    """Who connected, as the kernel knows it; None when the client has gone."""
    peer: Any = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None:
        return None
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(credentials)[1]
    return user


def _remove_socket(path: Path) -> None:
    """Remove a socket; what is none stays. Raises FileExistsError then."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise FileExistsError(f"admin.socket: {path} is there and is no socket")
    path.unlink(missing_ok=True)
