"""What is used of the limits on sending, and whose faxes are held for unusual use."""

from __future__ import annotations

from typing import Any

from gateway.edge.admin.shown import iso
from gateway.limits import shown_money
from gateway.service.outbound import Outbound
from gateway.store import spending
from gateway.store.db import Database


class Limits:
    def __init__(self, database: Database, outbound: Outbound) -> None:
        self._database = database
        self._outbound = outbound

    async def show(self) -> dict[str, Any]:
        """Each cap with what is used of it, and the senders that are stopped."""
        usage = await self._database.read(self._outbound.allowance.usage)
        stopped = await self._database.read(spending.all_stopped)
        caps = []
        for capped, used in usage:
            show = shown_money if capped.cap.unit == "money" else str
            left = max(0, capped.cap.limit - used)
            caps.append(
                {"of": capped.scope, "who": capped.who, "cap": str(capped.cap), "used": show(used), "left": show(left)}
            )
        return {
            "caps": caps,
            "stopped": [{"who": who, "since": iso(at), "why": why} for who, at, why in stopped],
        }
