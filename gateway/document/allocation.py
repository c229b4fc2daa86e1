"""Memory that was refused to a library which then goes on without, or blames the file: pdfium leaves out what it has no room to draw."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator
from contextlib import contextmanager

_last_error = ctypes.CDLL(None).__errno_location  # of this thread; what succeeds leaves it as it is
_last_error.restype = ctypes.POINTER(ctypes.c_int)


@contextmanager
def checked() -> Iterator[None]:
    """Raise MemoryError at the end where malloc(3) or mmap(2) had none for what a library did within."""
    _last_error()[0] = 0
    try:
        yield
    finally:
        if _last_error()[0] == errno.ENOMEM:
            raise MemoryError
