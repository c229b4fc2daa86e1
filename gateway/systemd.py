"""Talking with systemd: readiness, watchdog and passed sockets, over plain sockets and environment variables.

Sources: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3). Without systemd everything here does nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

_FIRST_FD = 3  # SD_LISTEN_FDS_START
_PATIENCE = 2.0  # seconds for a full queue on systemd's side
Environment = MutableMapping[str, str]


class Notifier:
    """Tells the service manager how we are. Takes its variables out of ``environ``, so that no child speaks for us.

    A message that cannot be delivered is dropped: the service matters more than its report.
    """

    def __init__(self, environ: Environment | None = None) -> None:
        environ = os.environ if environ is None else environ
        address = environ.pop("NOTIFY_SOCKET", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._watchdog = _watchdog(environ)

    def ready(self, status: str = "") -> None:
        """Every listener is bound, or a reload is over; ``status`` is a line for ``systemctl status``."""
        self._send("READY=1", status)

    def reloading(self) -> None:
        """A reload begins; :meth:`ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The orderly stop begins."""
        self._send("STOPPING=1")

    def watchdog(self) -> None:
        """We are alive."""
        self._send("WATCHDOG=1")

    def watchdog_interval(self) -> float | None:
        """Seconds within which :meth:`watchdog` must be called again and again; None when nobody waits for it."""
        return self._watchdog

    def _send(self, state: str, status: str = "") -> None:
        if self._address[:1] not in ("/", "\0"):
            return
        if status:
            state += f"\nSTATUS={' '.join(status.split())}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_PATIENCE)
            try:
                sender.sendto(state.encode(), self._address)
            except OSError:
                return


def _watchdog(environ: Environment) -> float | None:
    interval, process = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
    if not interval.isdecimal() or int(interval) == 0 or (process and process != str(os.getpid())):
        return None
    return int(interval) / 1_000_000


def listen_sockets(environ: Environment | None = None, first: int = _FIRST_FD) -> dict[str, socket.socket]:
    """The sockets passed to this process, by their FileDescriptorName; call once.

    A second socket of the same name becomes ``NAME-2``, and so on. The variables go, and no child inherits a socket.
    """
    environ = os.environ if environ is None else environ
    process, count, names = (environ.pop(key, "") for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    found: dict[str, socket.socket] = {}
    if process != str(os.getpid()) or not count.isdecimal():
        return found
    given = [name or "unknown" for name in names.split(":")]
    given += ["unknown"] * (int(count) - len(given))
    for index, name in enumerate(given[: int(count)]):
        os.set_inheritable(first + index, False)
        passed = socket.socket(fileno=first + index)
        passed.setblocking(False)
        same = given[:index].count(name)
        found[f"{name}-{same + 1}" if same else name] = passed
    return found
