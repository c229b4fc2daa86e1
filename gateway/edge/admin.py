"""The administrator's operations, and the unix socket on which a running daemon takes them.

Each operation takes a JSON object and returns one. The command line speaks to the socket of a running daemon; without
one it opens the state directory itself, under its lock, and calls the same operations.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import argon2
import structlog
from aiohttp import web

from gateway import __version__, numbers, policy
from gateway.errors import GatewayError, KeyRefused, NotFound, Refused, TryLater
from gateway.model import (
    Envelope,
    FaxJob,
    FaxNumber,
    JobState,
    OutgoingMail,
    Peer,
    Recipient,
    Route,
    RouteKind,
    Submission,
)
from gateway.service.accept import Accept, AcceptSettings
from gateway.service.inbound import Inbound
from gateway.service.outbound import Outbound
from gateway.store import inbound as inbound_store
from gateway.store import jobs, outbox, receipts, routes, users
from gateway.store.db import Database, Tx

log = structlog.get_logger("admin")

_MAX_MAIL = 256 << 20
_MIN_PASSWORD = 8
_TSI_LENGTH = 20  # T.30: 20 characters
Arguments = dict[str, Any]
Operation = Callable[[Arguments], Awaitable[dict[str, Any]]]


class Account(Protocol):
    """The part of a provider that an administrator asks directly."""

    async def balance(self) -> Any: ...

    async def cost(self, document_ref: int, number: FaxNumber) -> Any: ...

    async def numbers(self) -> Any: ...


class Admin:
    """``status`` gives the daemon's own facts; ``reload`` re-reads what can change."""

    def __init__(
        self,
        database: Database,
        accept: Accept,
        outbound: Outbound,
        inbound: Inbound,
        account: Account,
        settings: AcceptSettings,
        *,
        status: Callable[[], dict[str, Any]],
        reload: Callable[[], Awaitable[list[str]]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._accept = accept
        self._outbound = outbound
        self._inbound = inbound
        self._account = account
        self._settings = settings
        self._status = status
        self._reload = reload
        self._clock = clock
        self.operations: Mapping[str, Operation] = {
            "status": self._do_status,
            "reload": self._do_reload,
            "queue.list": self._queue_list,
            "queue.show": self._queue_show,
            "queue.hold": self._queue_hold,
            "queue.release": self._queue_release,
            "queue.retry": self._queue_retry,
            "queue.cancel": self._queue_cancel,
            "inbound.list": self._inbound_list,
            "inbound.show": self._inbound_show,
            "inbound.redeliver": self._inbound_redeliver,
            "route.list": self._route_list,
            "route.add": self._route_add,
            "route.remove": self._route_remove,
            "route.test": self._route_test,
            "user.list": self._user_list,
            "user.add": self._user_add,
            "user.remove": self._user_remove,
            "user.passwd": self._user_passwd,
            "provider.balance": self._provider_balance,
            "provider.cost": self._provider_cost,
            "provider.numbers": self._provider_numbers,
        }

    async def __call__(self, operation: str, arguments: Arguments) -> dict[str, Any]:
        """Run an operation. Raises NotFound for one that is not there, Refused for bad arguments."""
        run = self.operations.get(operation)
        if run is None:
            raise NotFound(f"there is no operation {operation}")
        return await run(arguments)

    # --- daemon ---------------------------------------------------------------------------------------------------

    async def _do_status(self, _arguments: Arguments) -> dict[str, Any]:
        counts = await self._database.read(jobs.counts)
        mails = await self._database.read(outbox.counts)
        return {
            "version": __version__,
            "pid": os.getpid(),
            **self._status(),
            "counts": {state: count for state, count in counts.items() if state != "held"},
            "held": counts["held"],
            "outbox": mails["queued"],
            "dead_mails": mails["dead"],
        }

    async def _do_reload(self, _arguments: Arguments) -> dict[str, Any]:
        return {"changed": await self._reload()}

    # --- queue ----------------------------------------------------------------------------------------------------

    async def _queue_list(self, arguments: Arguments) -> dict[str, Any]:
        state = JobState(arguments["state"]) if arguments.get("state") else None
        number = str(arguments.get("to") or "")
        found = await self._database.read(
            lambda tx: jobs.listing(
                tx,
                state=state,
                number=number,
                held=bool(arguments.get("held")),
                ended=not arguments.get("open"),
                limit=int(arguments.get("limit") or 1000),
            )
        )
        return {"jobs": [_job(job, submission) for job, submission in found]}

    async def _queue_show(self, arguments: Arguments) -> dict[str, Any]:
        wanted = str(arguments.get("id", ""))
        shown = await self._database.read(lambda tx: _show(tx, wanted))
        if not shown:
            raise NotFound(f"there is no fax or mail with the id {wanted}")
        return {"jobs": shown}

    async def _each(self, arguments: Arguments, act: Callable[[FaxJob], Awaitable[str]]) -> dict[str, Any]:
        """Do ``act`` to each job named; it returns why it could not, or ""."""
        changed, unchanged = [], []
        ids = arguments.get("ids")
        if not isinstance(ids, list) or not ids:
            raise Refused("name the faxes by their ids, or ALL")
        for job_id, job in await self._database.read(lambda tx: _select(tx, ids)):
            why = "there is no such fax" if job is None else await act(job)
            if why:
                unchanged.append({"id": job_id, "why": why})
            else:
                changed.append(job_id)
        self._outbound.nudge()
        return {"changed": changed, "unchanged": unchanged}

    async def _queue_hold(self, arguments: Arguments) -> dict[str, Any]:
        why = str(arguments.get("reason") or "by the operator")

        async def act(job: FaxJob) -> str:
            now = self._clock()
            held = await self._database.write(lambda tx: jobs.hold(tx, job, now, why))
            return "" if held else f"it is {'held already' if job.hold else job.state}"

        return await self._each(arguments, act)

    async def _queue_release(self, arguments: Arguments) -> dict[str, Any]:
        async def act(job: FaxJob) -> str:
            now = self._clock()
            return "" if await self._database.write(lambda tx: jobs.release(tx, job, now)) else "it is not held"

        return await self._each(arguments, act)

    async def _queue_retry(self, arguments: Arguments) -> dict[str, Any]:
        async def act(job: FaxJob) -> str:
            now = self._clock()
            return await self._database.write(lambda tx: _retry(tx, job, now))

        return await self._each(arguments, act)

    async def _queue_cancel(self, arguments: Arguments) -> dict[str, Any]:
        async def act(job: FaxJob) -> str:
            if job.state is JobState.IN_DOUBT and not job.hold:
                return "its outcome is being found out; hold it first"
            if await self._outbound.settle.cancel(job, silent=bool(arguments.get("silent"))):
                return ""
            return f"it is {job.state}: the provider has it, and it cannot be called back"

        return await self._each(arguments, act)

    # --- inbound --------------------------------------------------------------------------------------------------

    async def _inbound_list(self, arguments: Arguments) -> dict[str, Any]:
        limit = int(arguments.get("limit") or 1000)

        def read(tx: Tx) -> list[dict[str, Any]]:
            return [_fax(tx, fax) for fax in inbound_store.listing(tx, limit)]

        return {"faxes": await self._database.read(read)}

    async def _inbound_show(self, arguments: Arguments) -> dict[str, Any]:
        wanted = str(arguments.get("id", ""))

        def read(tx: Tx) -> dict[str, Any] | None:
            fax = inbound_store.get(tx, wanted)
            if fax is None:
                return None
            claims = {name: value for name, value in asdict(fax.arrival).items() if name != "file_url"}
            return {**_fax(tx, fax), "sha256": fax.sha256, "file_type": fax.file_type, "claims": claims}

        shown = await self._database.read(read)
        if shown is None:
            raise NotFound(f"there is no received fax {wanted}")
        return {"faxes": [shown]}

    async def _inbound_redeliver(self, arguments: Arguments) -> dict[str, Any]:
        ids = arguments.get("ids") or []
        to = str(arguments.get("to") or "")
        return {"mails": sum([await self._inbound.redeliver(str(fax), to) for fax in ids])}

    # --- routes ---------------------------------------------------------------------------------------------------

    async def _route_list(self, _arguments: Arguments) -> dict[str, Any]:
        found = await self._database.read(routes.listing)
        return {"routes": [_route(route) for route in found]}

    async def _route_add(self, arguments: Arguments) -> dict[str, Any]:
        route = self._read_route(arguments)
        now = self._clock()
        await self._database.write(lambda tx: routes.put(tx, route, now))
        return {"routes": [_route(route)]}

    def _read_route(self, arguments: Arguments) -> Route:
        try:
            kind = RouteKind(str(arguments.get("kind", "")))
        except ValueError:
            raise Refused("a route is of the kind did or sender") from None
        match = str(arguments.get("match") or "").strip()
        if not match:
            raise Refused("a route needs what it matches: a number, an address, @domain, user:NAME, ip:NETWORK or *")
        mailboxes = tuple(str(mailbox).strip() for mailbox in arguments.get("mailboxes") or ())
        if kind is RouteKind.DID:
            if match != "*":
                match = numbers.parse_number(match, region=self._settings.region).e164
            if not mailboxes:
                raise Refused("a DID route needs at least one mailbox")
            for mailbox in mailboxes:
                self._check_mailbox(mailbox)
        tsi = str(arguments.get("tsi") or "")
        if len(tsi) > _TSI_LENGTH or any(not (c.isascii() and (c.isalnum() or c in "+ -.")) for c in tsi):
            raise Refused("a station id has at most 20 letters, digits, blanks and + - .")
        results_to = str(arguments.get("results_to") or "")
        if results_to:
            self._check_mailbox(results_to)
        region = str(arguments.get("region") or "").upper()
        if region:
            numbers.check_region(region)
        allow = arguments.get("allow")
        return Route(
            kind=kind,
            match=match,
            mailboxes=mailboxes,
            allow=True if allow is None else bool(allow),
            tsi=tsi,
            region=region,
            results_to=results_to,
            note=str(arguments.get("note") or ""),
            created_at=self._clock(),
        )

    def _check_mailbox(self, mailbox: str) -> None:
        local, _, domain = mailbox.rpartition("@")
        if not local or not domain or any(c.isspace() or not c.isprintable() for c in mailbox):
            raise Refused(f"{mailbox!r} is not a mail address")
        if domain.lower().rstrip(".") in {d.lower() for d in self._settings.domains}:
            raise Refused(f"{mailbox} is a fax address of this gateway: mails to it would be faxed")

    async def _route_remove(self, arguments: Arguments) -> dict[str, Any]:
        kind = RouteKind(str(arguments.get("kind", "")))
        match = str(arguments.get("match") or "")
        if kind is RouteKind.DID and match != "*":
            match = numbers.parse_number(match, region=self._settings.region).e164
        if not await self._database.write(lambda tx: routes.remove(tx, kind, match)):
            raise NotFound(f"there is no {kind} route for {match}")
        return {"removed": [{"kind": kind, "match": match}]}

    async def _route_test(self, arguments: Arguments) -> dict[str, Any]:
        """What would happen to a fax address, or to a fax received on a DID."""
        if arguments.get("did"):
            did = numbers.parse_number(str(arguments["did"]), region=self._settings.region)
            route = await self._database.read(lambda tx: routes.for_did(tx, did.digits))
            return {
                "did": did.e164,
                "route": _route(route) if route else None,
                "mailboxes": list(route.mailboxes) if route else [],
                "reason": "" if route else "no route: its faxes go to the fallback mailbox",
            }
        sender = str(arguments.get("sender") or "")
        address = str(arguments.get("address") or "")
        if "@" not in address:
            address = f"{address}@{self._settings.domains[0]}"
        peer = Peer(listener="test", address="local", trusted_network=True)
        known = await self._database.read(lambda tx: routes.listing(tx, RouteKind.SENDER))
        route = policy.sender_route(known, peer, sender)
        facts: dict[str, Any] = {"address": address, "sender": sender, "route": _route(route) if route else None}
        region = route.region if route and route.region else self._settings.region
        try:
            number = numbers.parse_address(address, domains=self._settings.domains, region=region)
            about = numbers.classify(number)
            facts |= {"number": number.e164, "class": about.number_class, "country": about.region}
            policy.may_dial(number, self._settings.policy)
            policy.may_send(peer, sender, route, self._settings.policy)
        except GatewayError as error:
            return {**facts, "allowed": False, "reason": error.public}
        return {**facts, "allowed": True, "reason": ""}

    # --- users ----------------------------------------------------------------------------------------------------

    async def _user_list(self, _arguments: Arguments) -> dict[str, Any]:
        found = await self._database.read(users.listing)
        return {
            "users": [
                {"name": user.name, "created_at": _iso(user.created_at), "disabled": user.disabled} for user in found
            ]
        }

    async def _user_add(self, arguments: Arguments) -> dict[str, Any]:
        name = str(arguments.get("name") or "")
        known = await self._database.read(users.listing)
        if any(user.name == name for user in known):
            raise Refused(f"the user {name} is there already; change its password with: faxgateway user passwd {name}")
        return await self._set_password(name, str(arguments.get("password") or ""))

    async def _user_passwd(self, arguments: Arguments) -> dict[str, Any]:
        name = str(arguments.get("name") or "")
        known = await self._database.read(users.listing)
        if not any(user.name == name for user in known):
            raise NotFound(f"there is no user {name}")
        return await self._set_password(name, str(arguments.get("password") or ""))

    async def _set_password(self, name: str, password: str) -> dict[str, Any]:
        if not name or any(c.isspace() or not c.isprintable() for c in name):
            raise Refused("a user name has no blanks and is not empty")
        if len(password) < _MIN_PASSWORD:
            raise Refused(f"a password has at least {_MIN_PASSWORD} characters")
        hashed = await asyncio.to_thread(argon2.PasswordHasher().hash, password)
        now = self._clock()
        await self._database.write(lambda tx: users.put(tx, name, hashed, now))
        return {"users": [{"name": name}]}

    async def _user_remove(self, arguments: Arguments) -> dict[str, Any]:
        name = str(arguments.get("name") or "")
        if not await self._database.write(lambda tx: users.remove(tx, name)):
            raise NotFound(f"there is no user {name}")
        return {"removed": [{"name": name}]}

    # --- provider -------------------------------------------------------------------------------------------------

    async def _provider_balance(self, _arguments: Arguments) -> dict[str, Any]:
        return {"balance": str(await self._account.balance())}

    async def _provider_cost(self, arguments: Arguments) -> dict[str, Any]:
        number = numbers.parse_number(str(arguments.get("number") or ""), region=self._settings.region)
        return {"cost": str(await self._account.cost(int(arguments.get("document_ref") or 0), number))}

    async def _provider_numbers(self, _arguments: Arguments) -> dict[str, Any]:
        return {"numbers": [_plain(number) for number in await self._account.numbers()]}

    # --- send -----------------------------------------------------------------------------------------------------

    async def send(self, mail: bytes, to: list[str], sender: str) -> dict[str, Any]:
        """Accept a mail from the command line: same rules, same durability as at the SMTP door."""
        peer = Peer(listener="admin", address="local", helo="localhost", trusted_network=True)
        await self._accept.check_sender(peer, sender, len(mail))
        recipients = []
        for address in to:
            full = address if "@" in address else f"{address}@{self._settings.domains[0]}"
            recipients.append(Recipient(full, await self._accept.check_recipient(peer, sender, full)))
        if not recipients:
            raise Refused("name at least one number to send to")
        draft = self._accept.draft()
        try:
            draft.write(mail)
        except TryLater:
            draft.discard()
            raise
        submission = await self._accept.accept(Envelope(peer, sender, tuple(recipients)), draft)
        made = await self._database.read(lambda tx: jobs.of_submission(tx, submission))
        return {"submission": submission, "jobs": [job.id for job in made]}


class AdminServer:
    """The operations over HTTP on a unix socket that only its owner may open."""

    def __init__(self, admin: Admin, path: Path) -> None:
        self._admin = admin
        self._path = path
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Bind. The state directory's lock is held, so an old socket is a dead one. Raises OSError."""
        app = web.Application(client_max_size=_MAX_MAIL)
        app.router.add_post("/send", self._send)
        app.router.add_post("/{operation}", self._operation)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=5.0)
        await self._runner.setup()
        self._path.unlink(missing_ok=True)
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # a socket's path may have 107 bytes: name the directory by its descriptor
            await web.UnixSite(self._runner, f"/proc/self/fd/{directory}/{self._path.name}").start()
        finally:
            os.close(directory)
        self._path.chmod(0o600)

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self._path.unlink(missing_ok=True)

    async def _operation(self, request: web.Request) -> web.Response:
        try:
            arguments = await request.json() if request.can_read_body else {}
        except json.JSONDecodeError:
            arguments = None
        if not isinstance(arguments, dict):
            return web.json_response({"error": "the arguments are not a JSON object", "exit": 64}, status=400)
        return await self._answer(self._admin(request.match_info["operation"], arguments))

    async def _send(self, request: web.Request) -> web.Response:
        to = request.query.getall("to", [])
        return await self._answer(self._admin.send(await request.read(), to, request.query.get("from", "")))

    async def _answer(self, work: Awaitable[dict[str, Any]]) -> web.Response:
        try:
            return web.json_response(await work)
        except NotFound as error:
            return web.json_response({"error": error.public, "exit": 65}, status=404)
        except Refused as error:
            return web.json_response({"error": error.public, "exit": 65}, status=400)
        except KeyRefused as error:
            return web.json_response({"error": error.public, "exit": 77}, status=403)
        except (GatewayError, ValueError) as error:
            text = error.public if isinstance(error, GatewayError) else str(error)
            return web.json_response({"error": text, "exit": 75 if isinstance(error, TryLater) else 65}, status=400)
        except Exception:
            log.exception("operation failed")
            return web.json_response(
                {"error": "the operation failed; the daemon's log says why", "exit": 70}, status=500
            )


# --- what is shown ----------------------------------------------------------------------------------------------------


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _plain(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _job(job: FaxJob, submission: Submission) -> dict[str, Any]:
    return {
        "id": job.id,
        "submission": job.submission,
        "state": job.state,
        "hold": job.hold,
        "to": job.number.e164,
        "from": submission.sender,
        "subject": submission.subject,
        "pages": job.document.pages if job.document else None,
        "created_at": _iso(job.created_at),
        "updated_at": _iso(job.updated_at),
        "next_at": None if job.state.terminal or job.hold else _iso(job.next_at),
        "attempts": job.attempts,
        "last_error": job.last_error,
        "outcome": job.outcome,
        "cost": None if job.cost is None else str(job.cost),
        "provider_ref": job.provider_ref,
    }


def _mail(mail: OutgoingMail) -> dict[str, Any]:
    return {"kind": mail.kind, "to": mail.to, "state": mail.state, "tries": mail.tries, "last_error": mail.last_error}


def _show(tx: Tx, wanted: str) -> list[dict[str, Any]]:
    one = jobs.get(tx, wanted)
    shown = []
    for job in [one] if one else jobs.of_submission(tx, wanted):
        submission = jobs.get_submission(tx, job.submission)
        assert submission is not None
        document = job.document
        shown.append(
            {
                **_job(job, submission),
                "rcpt": job.rcpt,
                "client": submission.client,
                "identity": submission.identity,
                "message_id": submission.message_id,
                "document_ref": job.document_ref,
                "document": None
                if document is None
                else {
                    "pages": document.pages,
                    "size": document.size,
                    "sha256": document.sha256,
                    "seconds": document.seconds,
                },
                "ledger": [entry.text for entry in document.ledger] if document else [],
                "events": [
                    {"at": _iso(event.at), "from": event.from_state, "to": event.to_state, "what": event.what}
                    for event in jobs.events(tx, job.id)
                ],
                "attempts_made": [
                    {
                        "n": attempt.n,
                        "started_at": _iso(attempt.started_at),
                        "ended_at": _iso(attempt.ended_at),
                        "outcome": attempt.outcome,
                        "provider_ref": attempt.provider_ref,
                        "detail": attempt.detail,
                    }
                    for attempt in jobs.attempts(tx, job.id)
                ],
                "receipts": [
                    {"at": _iso(r.received_at), "verdict": r.verdict, "code": r.code, "text": r.text}
                    for r in receipts.of_job(tx, job.id)
                ],
                "mails": [_mail(mail) for mail in outbox.of_cause(tx, job.id)],
            }
        )
    return shown


def _select(tx: Tx, ids: list[Any]) -> list[tuple[str, FaxJob | None]]:
    """The jobs named, a submission's id standing for all its jobs."""
    if ids == ["ALL"]:
        return [(job.id, job) for job, _ in jobs.listing(tx, ended=False, limit=1_000_000)]
    found: list[tuple[str, FaxJob | None]] = []
    for wanted in map(str, ids):
        job = jobs.get(tx, wanted)
        several = [job] if job else jobs.of_submission(tx, wanted)
        found.extend((each.id, each) for each in several)
        if not several:
            found.append((wanted, None))
    return found


def _retry(tx: Tx, job: FaxJob, now: float) -> str:
    """Make a job due now; one in doubt that is held is, by the operator's word, sent again. Returns why not, or ""."""
    if job.state.terminal:
        return f"it is {job.state}; send the mail again for a new fax"
    if job.state is JobState.IN_DOUBT and job.hold:
        jobs.end_attempt(tx, job.id, job.attempts, now, "absent", detail="the operator says it was not sent")
        jobs.release(tx, job, now)
        jobs.change(tx, job, JobState.UPLOADED, now, "sent again by the operator's word")
        return ""
    if job.hold:
        jobs.release(tx, job, now)
        return ""
    jobs.touch(tx, job, now, "due now, by the operator's word", next_at=now, strikes=0)
    return ""


def _fax(tx: Tx, fax: Any) -> dict[str, Any]:
    return {
        "id": fax.id,
        "state": fax.state,
        "from": fax.arrival.sender,
        "to": fax.arrival.recipient,
        "received_at": _iso(fax.received_at),
        "pages": fax.arrival.pages,
        "size": fax.size,
        "mails": [_mail(mail) for mail in outbox.of_cause(tx, fax.id)],
        "last_error": fax.last_error,
    }


def _route(route: Route) -> dict[str, Any]:
    shown = asdict(route)
    shown.pop("id")
    return {**shown, "created_at": _iso(route.created_at), "mailboxes": list(route.mailboxes)}
