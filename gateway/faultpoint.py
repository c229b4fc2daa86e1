"""Named points right before or after every durable or outside effect, where a test may end the process.

``FAXGATEWAY_KILL_AT=NAME:N`` kills this process, as a power cut would, when it comes to the point for the N-th time.
Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "FAXGATEWAY_KILL_AT"
POINTS = (
    "spool.written",  # all bytes written, not synced
    "spool.synced",
    "spool.renamed",  # in place, its directory not synced
    "spool.kept",  # durable
    "spool.unlinked",
    "store.begun",  # a transaction is written, not committed
    "store.committed",
    "smtp.replying",  # the mail is ours, the client has not read 250
    "smtp.replied",  # 250 is written
    "callback.replying",  # the callback is ours, the provider has not read 200
    "provider.uploaded",  # the provider has answered, nothing of it is recorded
    "provider.sending",  # the intent is recorded, no byte has left
    "provider.sent",
    "provider.erased",
    "relay.sending",
    "relay.taken",  # the smarthost has said 250, nothing of it is recorded
)

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)


def reach(name: str) -> None:
    """Come to a point; does not return when it is the one to die at."""
    global _left  # noqa: PLW0603  # one process, one death
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
