"""The sandbox's own routes: what was really executed, faxes to let in, faults to order, callbacks and their answers.

They need no key: whoever reaches the sandbox may use them, which is why it listens on the loopback address.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from aiohttp import web

from gateway.sandbox.answers import Answer, Failure, iso, success
from gateway.sandbox.documents import Documents
from gateway.sandbox.exchange import Exchange
from gateway.sandbox.faults import OPERATIONS, Fault, Faults, canonical, faults_of
from gateway.sandbox.reading import Params, integer, json_object, read
from gateway.sandbox.shapes import INBOUND_SHAPE, verdict
from gateway.sandbox.store import Row, Store, money, units

_MOST = 1_000_000_000
# what of an inbound callback may be said otherwise; the rest follows from the fax itself
_SAID = ("time", "rsid", "speed", "duration", "ecm", "pages", "compression")


class Control:
    """``/sandbox/...``."""

    def __init__(self, store: Store, documents: Documents, exchange: Exchange, faults: Faults, max_upload: int) -> None:
        self._store = store
        self._documents = documents
        self._exchange = exchange
        self._faults = faults
        self._max_upload = max_upload

    def routes(self) -> list[web.RouteDef]:
        """Every route."""
        return [
            web.get("/sandbox/faxes", _answering(self.faxes)),
            web.get("/sandbox/faxes/{id}/document", self.document),
            web.post("/sandbox/inbound", _answering(self.inbound)),
            web.get("/sandbox/faults", _answering(self.faults)),
            web.post("/sandbox/faults", _answering(self.order)),
            web.delete("/sandbox/faults", _answering(self.clear)),
            web.get("/sandbox/callbacks", _answering(self.callbacks)),
            web.post("/sandbox/balance", _answering(self.balance)),
        ]

    async def faxes(self, request: web.Request) -> Answer:
        """What was really executed, oldest first; ``after`` leaves out those up to a ``fax_job_id``."""
        after = integer(request.query.get("after", "")) or 0
        return Answer(200, {"faxes": [_fax(row) for row in self._store.executions(after)]})

    async def document(self, request: web.Request) -> web.StreamResponse:
        """The TIFF as received."""
        job = self._store.job(integer(request.match_info["id"]) or 0)
        if job is None:
            return _respond(Failure(404, "There is no fax with this fax_job_id.").answer)
        if not job["received"]:
            return _respond(Failure(404, "No page of this fax was received.").answer)
        return web.FileResponse(self._documents.path(job["received"]), headers={"Content-Type": "image/tiff"})

    async def inbound(self, request: web.Request) -> Answer:
        """A fax arrives: ``from``, ``to``, ``file``, optional ``shape``."""
        async with read(request, self._documents.incoming, self._max_upload) as params:
            to = params.number("to")
            if not to:
                raise Failure(400, "to is missing: the number of ours that is called.")
            if params.upload is None:
                raise Failure(400, "file is missing: the document that arrives, as a multipart part with a filename.")
            fault = _shape(params)
            pages = await self._documents.convert(params.upload.path, params.upload.sha256)
            said = {name: params.fields[name] for name in _SAID if name in params.fields}
            unique = await self._exchange.receive(params.number("from"), to, pages, said, fault)
        return Answer(200, {"uuid": unique})

    async def faults(self, _request: web.Request) -> Answer:
        """Operations, their faults, and the rules in force."""
        known = {operation: faults_of(operation) for operation in OPERATIONS}
        return Answer(200, {"operations": OPERATIONS, "faults": known, "rules": self._faults.public()})

    async def order(self, request: web.Request) -> Answer:
        """Put a rule in force."""
        try:
            return success(rule=self._faults.add(json_object(await request.read())).public())
        except ValueError as error:
            raise Failure(400, f"{error}.") from error

    async def clear(self, request: web.Request) -> Answer:
        """Remove all rules, or the one whose ``id`` the query names."""
        named = request.query.get("id")
        identifier = None if named is None else integer(named)
        if named is not None and identifier is None:
            raise Failure(400, "id must be the number of a rule; without one all are removed.")
        return success(removed=self._faults.clear(identifier))

    async def callbacks(self, _request: web.Request) -> Answer:
        """Every callback, with the answers it got."""
        return Answer(200, {"callbacks": [_callback(row) for row in self._store.callbacks()]})

    async def balance(self, request: web.Request) -> Answer:
        """Set the credit of the account."""
        try:
            amount = Decimal(str(json_object(await request.read()).get("balance")))
        except InvalidOperation:
            amount = Decimal(-1)
        if not amount.is_finite() or not 0 <= amount <= _MOST:
            raise Failure(400, f"balance must be a number from 0 to {_MOST}.")
        self._store.set_balance(units(amount))
        return success(balance=money(self._store.balance()))


def _answering(handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.Response:
        try:
            answer = await handler(request)
        except Failure as failure:
            answer = failure.answer
        return _respond(answer)

    return handle


def _respond(answer: Answer) -> web.Response:
    return web.json_response(answer.body, status=answer.status)


def _shape(params: Params) -> Fault | None:
    shape = canonical(params.text("shape"))
    if shape in ("", INBOUND_SHAPE):
        return None
    known = faults_of("inbound")
    if shape not in known:
        raise Failure(400, f"shape must be {INBOUND_SHAPE} or one of: {', '.join(known)}.")
    return Fault.named(shape)


def _fax(row: Row) -> dict[str, Any]:
    over = row["finished_at"] is not None
    return {
        "fax_job_id": row["id"], "document_id": row["document_id"], "fax_number": row["fax_number"],
        "tsi_number": row["tsi_number"], "pages": row["pages"], "outcome": verdict(row["msg_code"]) if over else "sending",
        "msg_code": row["msg_code"] if over else "", "line": row["line"], "sha256": row["sha256"],
        "executed_at": iso(row["executed_at"]), "finished_at": iso(row["finished_at"]), "seconds": row["seconds"],
        "rate": row["rate"], "ecm": None if row["ecm"] is None else bool(row["ecm"]), "compression": row["compression"],
        "cost": money(row["cost"]), "scenario": row["scenario"],
    }  # fmt: skip


def _callback(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"], "kind": row["kind"], "state": row["state"], "shape": row["shape"], "fields": row["fields"],
        "created_at": iso(row["created_at"]), "due_at": iso(row["due_at"]),
        "answers": [{**answer, "at": iso(answer["at"])} for answer in row["answers"]],
    }  # fmt: skip
