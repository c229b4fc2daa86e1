"""Why a start is refused: the exit status (sysexits.h), and what a person can do about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gateway.errors import ConfigError
from gateway.spool import SyncFailed
from gateway.store.file import StoreBroken

READ_ONLY = (
    "mount its disk for writing, and see the system's log, as a kernel takes that away from a disk that fails; of the unit of"
    " systemd ReadWritePaths= must name it"
)


def refusal(error: Exception, state_dir: str) -> tuple[int, str]:
    """The exit status of a start that failed, and what a person can do about it."""
    match error:
        case ConfigError():
            return os.EX_CONFIG, error.public
        case StoreBroken():
            return os.EX_SOFTWARE, error.public
        case SyncFailed():
            return os.EX_SOFTWARE, f"the disk cannot be believed: {error}"
        case OSError(errno=errno.EROFS):
            return os.EX_NOPERM, f"{_words(error)}; the gateway has to write to all of {state_dir}: {READ_ONLY}"
        case OSError(errno=errno.EEXIST | errno.ENOTDIR, filename=str(path)) if path.startswith(state_dir):
            return os.EX_CONFIG, f"{path} is no directory; name one as state_dir, or take away what is there"
        case OSError(errno=errno.EACCES | errno.EPERM, filename=str(path)) if path.startswith(state_dir):
            user = os.geteuid()
            remedy = f"chown -R {user}" if Path(state_dir).exists() else f"install -d -m 0700 -o {user}"
            return os.EX_NOPERM, (
                f"{path}: {error.strerror}; all of {state_dir} must be writable and belong to the user that the"
                f" gateway runs as, whose id is {user}: {remedy} {state_dir}"
            )
        case OSError(errno=errno.EACCES | errno.EPERM, filename=None):  # a listener
            return os.EX_NOPERM, _words(error)
        case OSError():
            return os.EX_TEMPFAIL, _words(error)
        case _:
            return os.EX_TEMPFAIL, str(error)


def _words(error: OSError) -> str:
    """What went wrong, without the number that Python puts in front."""
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what
