"""The table of operations. Each takes JSON values by name and returns a JSON object."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway import __version__
from gateway.edge.admin import shown
from gateway.edge.admin.account import Account, Asked
from gateway.edge.admin.aliases import Aliases
from gateway.edge.admin.arguments import Operation, bind
from gateway.edge.admin.limits import Limits
from gateway.edge.admin.queue import Queue
from gateway.edge.admin.received import Received
from gateway.edge.admin.routes import Routes
from gateway.edge.admin.sending import Sending
from gateway.edge.admin.users import Users
from gateway.errors import NotFound, Refused
from gateway.service.accept import Accept, AcceptSettings
from gateway.service.divided import DividedMails
from gateway.service.inbound import Inbound
from gateway.service.outbound import Outbound
from gateway.store import divided, inbound, outbox, overview
from gateway.store.db import Database

_LONGEST_KEPT = 600


class Admin:
    """``status`` gives the daemon's own facts, ``reload`` re-reads what can change,
    ``keep_files`` lets no file be removed for some seconds; ``fallback``: see Routes."""

    def __init__(
        self,
        database: Database,
        accept: Accept,
        outbound: Outbound,
        inbound: Inbound,
        provider: Asked,
        settings: AcceptSettings,
        *,
        fallback: str,
        parts: DividedMails,
        status: Callable[[], dict[str, Any]],
        reload: Callable[[], Awaitable[list[str]]],
        keep_files: Callable[[float], Awaitable[None]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._status = status
        self._reload = reload
        self._keep_files = keep_files
        self.max_mail = settings.max_message
        self.send = Sending(database, accept, settings).send
        queue = Queue(database, outbound, parts, settings.region, clock)
        received = Received(database, inbound, settings.domains)
        routes = Routes(database, settings, fallback, clock, accept.senders, outbound.allowance)
        aliases = Aliases(database, settings, clock)
        spent = Limits(database, outbound)
        users = Users(database, clock)
        account = Account(provider, settings.region)
        self.operations: Mapping[str, Operation] = {
            "status": self._daemon_status,
            "reload": self._daemon_reload,
            "files.keep": self._files_keep,
            "queue.list": queue.listing,
            "queue.divided": queue.divided,
            "queue.show": queue.show,
            "queue.hold": queue.hold,
            "queue.release": queue.release,
            "queue.retry": queue.retry,
            "queue.cancel": queue.cancel,
            "inbound.list": received.listing,
            "inbound.show": received.show,
            "inbound.redeliver": received.redeliver,
            "route.list": routes.listing,
            "route.add": routes.add,
            "route.remove": routes.remove,
            "route.test": routes.test,
            "alias.list": aliases.listing,
            "alias.add": aliases.add,
            "alias.remove": aliases.remove,
            "limits.show": spent.show,
            "user.list": users.listing,
            "user.add": users.add,
            "user.remove": users.remove,
            "user.passwd": users.passwd,
            "provider.balance": account.balance,
            "provider.cost": account.cost,
            "provider.numbers": account.numbers,
        }

    async def __call__(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Run an operation. Raises NotFound for one that is not there, Refused for arguments that are not its own."""
        operation = self.operations.get(name)
        if operation is None:
            raise NotFound(f"there is no operation {name}")
        return await operation(**bind(name, operation, arguments))

    async def _daemon_status(self) -> dict[str, Any]:
        status = self._status()
        counts = await self._database.read(overview.counts)
        mails = await self._database.read(outbox.counts)
        return {
            "version": __version__,
            "pid": os.getpid(),
            **status,
            "started_at": shown.iso(status["started_at"]),
            "counts": {state: count for state, count in counts.items() if state != "held"},
            "held": counts["held"],
            "received_pending": await self._database.read(inbound.pending),
            "outbox": mails["queued"],
            "dead_mails": mails["dead"],
            "divided": len(await self._database.read(divided.waiting)),
        }

    async def _daemon_reload(self) -> dict[str, Any]:
        return {"changed": await self._reload()}

    async def _files_keep(self, seconds: int) -> dict[str, Any]:
        """Let no file be removed for some seconds, so that all can be copied; 0 ends it. Raises Refused."""
        if not 0 <= seconds <= _LONGEST_KEPT:
            raise Refused(f"files are kept for 0 to {_LONGEST_KEPT} seconds at a time")
        await self._keep_files(seconds)
        return {"seconds": seconds}
