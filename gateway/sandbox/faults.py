"""Faults to order: which calls go wrong, and how.

A rule names an operation, a fault and how often: a ``count`` of calls, or a ``rate`` with a ``seed`` (the same calls in
the same order then meet the same faults), or neither: every time until it is removed. What was really executed never
depends on what is told: see :mod:`gateway.sandbox.store`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

EXECUTE_THEN = "execute-then-"
_ANY = "any"

OPERATIONS = {
    "send": "POST /fax",
    "upload": "POST /files",
    "cost": "GET /fax/{document_id}/costs",
    "status": "GET /fax/{fax_job_id}/status",
    "history": "GET /fax-history and GET /fax",
    "files": "GET /files",
    "delete": "DELETE /files/{document_id}",
    "clean": "GET /file-clean",
    "preview": "GET /file-generate-preview",
    "balance": "GET /balance",
    "register": "POST /user",
    "login": "POST /user/login",
    "subuser": "POST /subuser",
    "numbers": "GET /numbers and GET /provision-numbers",
    "provision": "POST /countries/didgroups/{did_group_id}/provision and POST /provision-numbers",
    "inbox": "GET /incoming-faxes and GET /incoming-faxes/{recipient}",
    "fetch": "GET /receivefax/api/v1/inbox/{n}/file and /preview, and the previews of documents",
    "countries": "GET /countries",
    "states": "GET /states/{country_code}",
    "areacodes": "GET /areacodes/{country_code}/{state_id}",
    "didgroups": "GET /countries/{country_code}/didgroups",
    "receipt": "the callback that tells the outcome of a fax",
    "inbound": "the callback that brings a received fax",
}
CALLBACKS = ("receipt", "inbound")

# Nothing is executed; with "execute-then-" in front the call is executed, and this is what is answered.
UNANSWERED = {
    "drop": "the connection is closed without an answer",
    "hang": "no answer, ever; with seconds: the connection is closed after so long",
    "html": "200 with a page of HTML",
    "empty": "200 with an empty body",
    "endless": "200 with a body that does not end",
}
STATUSES = {
    "301": "Moved Permanently, to the same address",
    "302": "Found, to the same address",
    "303": "See Other, to the same address",
    "307": "Temporary Redirect, to the same address",
    "308": "Permanent Redirect, to the same address",
    "400": "Bad Request",
    "401": "Unauthorized",
    "402": "Payment Required",
    "403": "Rate limit exceeded (as documented)",
    "404": "Resource not found",
    "405": "Method Not Allowed",
    "408": "Request Timeout",
    "409": "Conflict",
    "413": "Payload Too Large",
    "415": "Unsupported Media Type",
    "422": "Unprocessable, with errors by field",
    "429": "Too Many Requests, with Retry-After",
    "500": "Internal server error",
    "502": "Bad Gateway, in HTML",
    "503": "Service Unavailable, in HTML",
    "504": "Gateway Timeout, in HTML",
}
# The call is executed and its true answer spoiled.
SPOILED = {
    "half-json": "the first half of the answer, as if it were all",
    "invalid-json": "the answer with single quotes",
    "wrong-types": "every value of another type",
    "nulls": "every value null",
    "no-id": "the answer without its ids",
    "huge-int": "every whole number beyond any range",
    "nan": "every number NaN",
    "int-as-string": "every number as a string",
    "capital-success": "Success, Executed, Failed with a capital letter",
    "trailing-commas": "a comma behind every last value",
    "bom": "a byte order mark in front",
    "extra-keys": "keys nobody knows",
    "huge": "8 MiB of padding in the answer",
    "lie": "executed, and answered: failed",
}
WIRE = {
    "cut": "the connection is closed in the middle of the answer",
    "slow": "the answer comes drop by drop, within seconds",
    "delay": "executed at once, answered after seconds",
    "late-execution": "executed after seconds, then answered",
}
_LISTS = {
    "late": "entries appear only when they are seconds old",
    "withheld": "no entry appears",
    "shuffled": "in another order on every call",
    "page-3": "the newest entries are on page 3, those of others before them",
    "partial-pages": "pages with half of what was asked for, and more behind them",
    "ignores-page": "every page is the first",
    "broken-entries": "an entry that is null and one without its ids on every page",
}
_META = {
    "no-meta": "no meta",
    "links-as-list": "the links of the pagination are an empty list",
}
_OWN: dict[str, dict[str, str]] = {
    "send": {
        "repeat": "executed twice, answered once",
        "no-credit": "400, the credit is exhausted; nothing is executed",
        "failed-without-id": "failed, no job is named; nothing is executed",
        "failed-with-id": "executed, and answered: failed, with the job's id",
        "say-executed": "executed is answered, with an invented id; nothing is executed",
        "old-id": "executed, and answered with the id of the job before",
    },
    "upload": {
        "repeat": "executed twice, answered once",
        "wrong-pages": "one page more is told than there is",
        "lost-page": "the conversion loses the last page, and says so",
    },
    "status": {
        "in-progress": "still sending, whatever happened",
        "unknown-text": "a text nobody has seen",
        "with-msg-code": "the answer has a msg_code",
        "wrong-verdict": "the opposite of what happened",
    },
    "history": {
        **_LISTS,
        "forget-deleted": "faxes whose document is deleted are missing",
        "with-plus": "recipients with a +",
        "unseen-status": "a status word nobody has seen",
        "naive-date": "dates without a zone",
    },
    "files": {**_LISTS, "as-object": "an object with the list in it"},
    "numbers": {**_META, "as-data": "the list under the name data"},
    "provision": {"repeat": "executed twice, answered once"},
    "inbox": {**_LISTS, **_META},
    "receipt": {
        "lost": "never sent",
        "doubled": "sent twice",
        "before-answer": "sent before the send is answered",
        "late": "sent seconds later",
        "lie": "the opposite of what happened",
        "unknown-job": "a receipt for a job nobody knows comes first",
        "failed-first": "a receipt that says failed comes first",
        "progress-first": "a receipt that says executed comes first",
        "no-msg-code": "without msg_code",
        "no-message": "without message",
        "unseen-code": "with a msg_code nobody has seen",
        "json": "as JSON",
        "multipart": "as multipart",
        "get": "as GET with a query",
        "test-post": "a test post with neither kind of keys comes first",
    },
    "inbound": {
        "lost": "never sent",
        "doubled": "sent twice",
        "late": "sent seconds later",
        "no-filename": "the file part has no filename",
        "other-part-name": "the file part is called document",
        "raw-text": "the PDF is a text field",
        "data-uri": "the PDF is a data: URI, urlencoded",
        "base64": "the PDF is base64, urlencoded",
        "base64-blanks": "the PDF is base64 whose + were not encoded",
        "json": "everything as JSON, the PDF in base64",
        "url": "the file is the URL of the document",
        "tiff": "the file is a TIFF",
        "no-file": "no file at all",
        "empty-file": "the file is empty",
        "broken-file": "the file is cut off and no PDF",
        "no-uuid": "no uuid",
        "blank-for-plus": "numbers begin with a blank",
        "anonymous": "the sender withholds his number",
    },
}
NOT_JSON = ("fetch",)  # operations whose answer is a file
_SECONDS = {"late": 5.0, "hang": math.inf}
_USUAL_SECONDS = 2.0
_ALIASES = {
    "5xx": "500", "3xx": "302", "4xx": "400", "half-a-json": "half-json", "html-200": "html", "rate-limit": "403",
    "duplicate": "doubled", "double": "doubled",
}  # fmt: skip


def faults_of(operation: str) -> dict[str, str]:
    """Every fault an operation can have, and what it does."""
    own = _OWN.get(operation, {})
    if operation in CALLBACKS:
        return own
    plain = {**UNANSWERED, **STATUSES}
    executed = {f"{EXECUTE_THEN}{name}": f"executed, then: {text}" for name, text in plain.items()}
    return {**plain, **executed, **WIRE, **({} if operation in NOT_JSON else SPOILED), **own}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that strikes now; ``seconds`` is its delay."""

    name: str
    seconds: float = _USUAL_SECONDS

    @classmethod
    def named(cls, name: str, seconds: float | None = None) -> Fault:
        """The fault of this name with its usual delay, unless another is given."""
        bare = name.removeprefix(EXECUTE_THEN)
        return cls(name, _SECONDS.get(bare, _USUAL_SECONDS) if seconds is None else seconds)

    @property
    def kind(self) -> str:
        """The name without "execute-then-"."""
        return self.name.removeprefix(EXECUTE_THEN)

    @property
    def executes(self) -> bool:
        """Whether the call has its effect (where the fault is one of the answer)."""
        return self.name.startswith(EXECUTE_THEN) or (self.kind not in UNANSWERED and self.kind not in STATUSES)


@dataclass(slots=True)
class Rule:
    """A fault that was ordered.

    ``number`` (digits): only for calls about this fax number, or about a fax received at it; ``skip``: so many calls go
    well first.
    """

    id: int
    operation: str
    fault: str
    count: int | None = None
    rate: float | None = None
    seed: int | None = None
    seconds: float | None = None
    number: str = ""
    skip: int = 0
    seen: int = 0
    fired: int = 0
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def strikes(self, operation: str, number: str) -> bool:
        """Whether this call is hit; counts it."""
        if self.operation not in (operation, _ANY) or (self.operation == _ANY and operation in CALLBACKS):
            return False
        if self.number and self.number != number.lstrip("+"):
            return False
        if self.count is not None and self.fired >= self.count:
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.rate is not None and self._random.random() >= self.rate):
            return False
        self.fired += 1
        return True

    def public(self) -> dict[str, Any]:
        """As ``GET /sandbox/faults`` lists it."""
        names = ("id", "operation", "fault", "count", "rate", "seed", "seconds", "number", "skip", "seen", "fired")
        return {name: getattr(self, name) for name in names}


class Faults:
    """The rules in force, in the order they were given: the first that strikes decides."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._ids = itertools.count(1)

    def add(self, order: Mapping[str, Any]) -> Rule:
        """Put a rule in force. Raises ValueError with a sentence that says what can be ordered."""
        rule = _rule(next(self._ids), order)
        self._rules.append(rule)
        return rule

    def clear(self, identifier: int | None = None) -> int:
        """Remove one rule or all; returns how many."""
        kept = [] if identifier is None else [rule for rule in self._rules if rule.id != identifier]
        removed = len(self._rules) - len(kept)
        self._rules = kept
        return removed

    def public(self) -> list[dict[str, Any]]:
        """The rules in force."""
        return [rule.public() for rule in self._rules]

    def draw(
        self, operation: str, number: str = "", *, only: Collection[str] = (), but: Collection[str] = ()
    ) -> Fault | None:
        """The fault that strikes this call; ``only`` and ``but`` narrow to faults that can strike at this point."""
        for rule in self._rules:
            if (only and rule.fault not in only) or rule.fault in but:
                continue
            if rule.strikes(operation, number):
                return Fault.named(rule.fault, rule.seconds)
        return None


def _rule(identifier: int, order: Mapping[str, Any]) -> Rule:
    unknown = order.keys() - {"operation", "fault", "count", "rate", "seed", "seconds", "number", "skip"}
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(map(str, unknown)))}")
    operation = str(order.get("operation", "")).strip().lower()
    if operation not in OPERATIONS and operation != _ANY:
        raise ValueError(f"operation must be any or one of: {', '.join(OPERATIONS)}")
    fault = canonical(str(order.get("fault", "")))
    known = faults_of("balance" if operation == _ANY else operation)  # balance has no faults of its own
    if fault not in known:
        raise ValueError(f"faults of {operation} are: {', '.join(known)}")
    rate = _number(order, "rate", 0, 1)
    seed = _whole(order, "seed")
    return Rule(
        identifier, operation, fault,
        count=_whole(order, "count"), rate=rate, seed=seed, seconds=_number(order, "seconds", 0, 1e6),
        number=str(order.get("number") or "").strip().lstrip("+"), skip=_whole(order, "skip") or 0,
        _random=random.Random(seed),  # noqa: S311  # repeatable chance is what is wanted
    )  # fmt: skip


def canonical(text: str) -> str:
    """A fault's name as it stands in the lists, from however somebody writes it."""
    name = text.strip().lower().replace(" ", "-").replace("_", "-")
    prefix = EXECUTE_THEN if name.startswith(EXECUTE_THEN) else ""
    bare = name.removeprefix(EXECUTE_THEN)
    return prefix + _ALIASES.get(bare, bare)


def _whole(order: Mapping[str, Any], name: str) -> int | None:
    value = order.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name} must be a whole number, 0 or more")
    return value


def _number(order: Mapping[str, Any], name: str, low: float, high: float) -> float | None:
    value = order.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}")
    return float(value)
