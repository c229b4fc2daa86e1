"""The administrator's operations, and the unix socket on which a running daemon takes them.

Each operation takes a JSON object and returns one. The command line speaks to the socket of a running daemon; without
one it opens the state directory itself, under its lock, and calls the same operations.
"""

from __future__ import annotations

from gateway.edge.admin.operations import Admin
from gateway.edge.admin.server import AdminServer

__all__ = ["Admin", "AdminServer"]
