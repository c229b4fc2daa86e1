"""What a conversion is working on, told as it goes, so that one that is ended can be named."""

from __future__ import annotations

from collections.abc import Callable

_listeners: list[Callable[[str], None]] = []


def listen(listener: Callable[[str], None]) -> None:
    """Have ``listener`` called with the name of each part begun in this process."""
    _listeners.append(listener)


def begin(name: str) -> None:
    """Say that the part of this name is worked on from now on."""
    for listener in _listeners:
        listener(name)
