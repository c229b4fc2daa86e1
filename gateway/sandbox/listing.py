"""A listing, page by page: well, or as a fault wants it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from gateway.sandbox.answers import Slice
from gateway.sandbox.faults import Fault
from gateway.sandbox.store import Row

_ALL = -1
_PAGES_OF_OTHERS = 2


def page(
    rows: Callable[[int, int], Sequence[Row]],
    show: Callable[[Row], dict[str, Any]],
    stranger: Callable[[int], dict[str, Any]],
    want: Slice,
    fault: Fault | None,
) -> list[Any]:
    """The entries of a page. ``rows`` takes limit (-1: all) and offset; ``stranger`` invents an entry of somebody else."""
    offset = want.offset
    match fault.kind if fault else "":
        case "withheld":
            return []
        case "shuffled":
            every = list(rows(_ALL, 0))
            random.shuffle(every)
            return [show(row) for row in every[offset : offset + want.limit]]
        case "page-3":
            if want.page <= _PAGES_OF_OTHERS:
                return [stranger(offset + number) for number in range(want.limit)]
            return [show(row) for row in rows(want.limit, offset - _PAGES_OF_OTHERS * want.limit)]
        case "partial-pages":
            half = max(1, want.limit // 2)
            return [show(row) for row in rows(half, (want.page - 1) * half)]
        case "ignores-page":
            return [show(row) for row in rows(want.limit, 0)]
        case "broken-entries":
            whole = [show(row) for row in rows(want.limit, offset)]
            without = {name: value for name, value in stranger(offset).items() if not name.endswith("id")}
            return [None, without, *whole]
    return [show(row) for row in rows(want.limit, offset)]


def sliced(rows: Sequence[Row]) -> Callable[[int, int], Sequence[Row]]:
    """Rows that are all there, by limit (-1: all) and offset."""
    return lambda limit, offset: rows[offset:] if limit < 0 else rows[offset : offset + limit]


def meta(want: Slice, total: int, listed: Sequence[Any], url: str, fault: Fault | None) -> dict[str, Any]:
    """``meta`` of a listing, or what a fault leaves of it."""
    kind = fault.kind if fault else ""
    if kind == "no-meta":
        return {}
    match kind:
        case "page-3":
            total += 2 * want.limit
        case "partial-pages":
            want = Slice(max(1, want.limit // 2), want.page)
    found = want.meta(total, len(listed), url)
    if kind == "links-as-list":
        found["pagination"]["links"] = []
    return {"meta": found}
