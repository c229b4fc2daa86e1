"""From a mail to its fax document: one process takes it apart, others open its parts, another makes pages of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.document.opening import opened
from gateway.document.worker import WorkerPool


async def make(
    pool: WorkerPool,
    mail: Path,
    parts: Path,
    out: Path,
    options: Mapping[str, Any],
    *,
    trim: Sequence[str],
    office: str,
    html: bool,
    cover_facts: Callable[[dict[str, str]], dict[str, Any]],
) -> dict[str, Any]:
    """Make the document ``out`` of a raw ``mail``, by way of the empty directory ``parts``; returns what document.render does.

    ``options`` are those of document.render; what a cover page says is made by ``cover_facts`` of the header fields.
    ``trim``: what message texts lose at their end; ``office``: the directory of LibreOffice's programs, "" where there is
    none; ``html``: whether HTML is drawn. Raises Refused and TryLater, as the processes do.
    """
    mine = dict(options)
    found = await pool.run(
        "gateway.mail.parse:extract", mail=str(mail), directory=str(parts), trim=list(trim),
        head=mine.get("body") == "always" and not mine["cover"], html=html,
    )  # fmt: skip
    found = await opened(pool, found, parts, office, mine if html else None)
    made: dict[str, Any] = await pool.run(
        "gateway.document.render:render", parts=found["parts"], left_out=found["left_out"], out=str(out),
        options={**mine, "cover_facts": cover_facts(found["headers"])},
    )  # fmt: skip
    return made
