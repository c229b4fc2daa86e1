"""What the tests of faults share."""

from __future__ import annotations

import aiohttp

from gateway.sandbox.faults import EXECUTE_THEN, SPOILED, STATUSES, UNANSWERED, WIRE

from .world import Got, World, pdf

SOON = 0.05  # seconds of the faults that have them


def is_common(name: str) -> bool:
    """A fault that every call can have."""
    return name.removeprefix(EXECUTE_THEN) in {*UNANSWERED, *STATUSES, *WIRE, *SPOILED}


async def upload_two_pages(w: World) -> Got:
    """A good upload, with its answer."""
    form = aiohttp.FormData()
    form.add_field("file", pdf(2), filename="document.pdf", content_type="application/pdf")
    return await w.call("POST", "/files", data=form)
