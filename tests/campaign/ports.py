"""Ports at which nobody listens, each given to one test alone, of whatever process: a gateway may be dead for a while."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

_FIRST, _END, _EACH = 15_000, 32_000, 100  # below those that the system gives to whoever asks for any
_MOST = 40  # ranges of ports for one process
_claims: list[socket.socket] = []  # one for each range; the system ends them with the process


def free_port() -> int:
    """A port of 127.0.0.1 that nobody else is given until this process has gone round all of its own."""
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is left")


def _own_ports() -> Iterator[int]:
    own: list[int] = []
    while len(_claims) < _MOST:
        new = _claimed()
        yield from new
        own += new
    while True:  # what had the first of them ended long ago
        yield from own


def _claimed() -> range:
    """The ports of a range that is now this process's, by a name that only one socket of the machine can have."""
    starts = list(range(_FIRST, _END, _EACH))
    random.shuffle(starts)  # those of a process that has just ended may still be in use
    for start in starts:
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0faxgateway-tests-{start}")
        except OSError:
            claim.close()
        else:
            _claims.append(claim)
            return range(start, start + _EACH)
    raise OSError(f"other tests have all ports from {_FIRST} to {_END}")


_ports = _own_ports()
