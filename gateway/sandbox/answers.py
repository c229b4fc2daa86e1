"""How Fax.to says things: answers, refusals, dates, lists in pages (Fax.to API reference, "answers", "pagination")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
# 401, 403, 404 and 500 are documented
MESSAGES = {
    400: "Invalid request.", 401: "Unauthorized", 402: "Payment required.", 403: "Rate limit exceeded",
    404: "Resource not found", 405: "Method not allowed", 408: "Request timeout", 409: "Conflict",
    413: "Payload too large", 415: "Unsupported media type", 422: "The given data was invalid.", 429: "Too many requests",
    500: "Internal server error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}  # fmt: skip
_LAST = 1_000_000_000  # page: all beyond it are as empty


@dataclass(frozen=True, slots=True)
class Answer:
    """Either JSON or, with ``file``, a document of a ``content_type``."""

    status: int
    body: Any = None
    file: Path | None = None
    content_type: str = "application/json"


class Failure(Exception):  # the name an API gives it
    """A call that is answered with an error: ``{"status": "failed", "message": ...}``; "": the usual words."""

    def __init__(self, status: int, message: str = "") -> None:
        message = message or MESSAGES[status]
        super().__init__(message)
        self.answer = Answer(status, {"status": "failed", "message": message})


def success(**fields: Any) -> Answer:
    """200 with ``status`` success."""
    return Answer(200, {"status": "success", **fields})


def php_date(at: float) -> dict[str, Any]:
    """A date as a PHP DateTime is dumped: naive text and a zone beside it."""
    text = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return {"date": text, "timezone_type": 3, "timezone": "UTC"}


def sql_date(at: float) -> str:
    """A date without a zone, as rows of a database have it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def day(at: float) -> str:
    """A date without a time."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def iso(at: float | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, for the sandbox's own routes."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def kilobytes(size: int) -> str:
    """A size as the inbox tells it: "120.45 KB"."""
    return f"{size / 1024:.2f} KB"


@dataclass(frozen=True, slots=True)
class Slice:
    """``limit`` and ``page`` of a listing; anything that is no positive number counts as not said."""

    limit: int
    page: int

    @classmethod
    def of(cls, limit: int | None, page: int | None) -> Slice:
        """From what was asked; a limit above the maximum is the maximum."""
        return cls(min(limit or DEFAULT_LIMIT, MAX_LIMIT), min(page or 1, _LAST))

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit

    def meta(self, total: int, count: int, url: str) -> dict[str, Any]:
        """``meta`` of a listing; its links hold neither key nor limit, as documented."""
        pages = max(1, -(-total // self.limit))
        links = {}
        if self.page > 1:
            links["previous"] = f"{url}?page={min(self.page - 1, pages)}"
        if self.page < pages:
            links["next"] = f"{url}?page={self.page + 1}"
        pagination = {
            "total": total, "count": count, "per_page": self.limit, "current_page": self.page, "total_pages": pages,
            "links": links,
        }  # fmt: skip
        return {"pagination": pagination}
