"""The composition root: from a configuration to running objects, in the order in which they may be started and stopped.

Only this module knows everybody. Start: lock, spool, database, recovery, services, listeners, READY. Stop: listeners,
services (a send under way is waited for), database, lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from gateway import __version__, settings, telemetry
from gateway.config import Config
from gateway.document.worker import WorkerLimits, WorkerPool
from gateway.edge.admin import Admin, AdminServer
from gateway.edge.callbacks import CallbackServer
from gateway.edge.smtpd import SmtpDoor
from gateway.errors import GatewayError
from gateway.mail.transport import Transport
from gateway.model import FaxArrival, Receipt
from gateway.provider.faxto import FaxTo
from gateway.service.accept import Accept
from gateway.service.account import Account
from gateway.service.backup import refuse_half_restored
from gateway.service.divided import DividedMails
from gateway.service.gate import Gate, GateSettings
from gateway.service.inbound import Inbound
from gateway.service.keeping import Keeping
from gateway.service.notices import Notices
from gateway.service.outbound import Outbound
from gateway.service.postman import Postman
from gateway.service.postmaster import Postmaster
from gateway.service.reconcile import Reconcile
from gateway.service.wallclock import WallClock
from gateway.spool import Draft, Spool
from gateway.store import divided, files, outbox, overview, receipts, retention, spending
from gateway.store import inbound as inbound_store
from gateway.store.db import Database, Tx, get_meta, set_meta
from gateway.store.file import StoreBroken
from gateway.store.lock import StateLock

log = structlog.get_logger("gateway")

_BREATH = 0.1  # seconds between two steps of a purge
_CLOCK = "clock"  # what it showed when we last looked, and for how long it had gone on then
_READING = ("gateway.mail.parse", "gateway.provider.faxto_callback")  # what the reader process imports at its start


class Sink:
    """What a callback may do: hand over a receipt, or a received fax."""

    def __init__(self, outbound: Outbound, inbound: Inbound) -> None:
        self._outbound = outbound
        self._inbound = inbound

    def draft(self) -> Draft:
        return self._inbound.draft()

    async def receipt(self, receipt: Receipt) -> None:
        await self._outbound.receipt(receipt)

    async def arrival(self, arrival: FaxArrival, draft: Draft | None, file_type: str) -> None:
        await self._inbound.arrival(arrival, draft, file_type)


class Gateway:
    """The daemon as an object: :meth:`open` the state, :meth:`start` everything, :meth:`stop`."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.failed: asyncio.Event = asyncio.Event()  # set when the process must end
        self.started_at = time.time()
        state = Path(config.state_dir)
        self._lock = StateLock(state)
        self.spool = Spool(state / "spool", floor=config.min_free, on_fatal=self._fatal)
        self.database = Database(state / "faxgateway.db", on_fatal=self._fatal, on_full=self.spool.release_reserve)
        limits = WorkerLimits(timeout=config.document.timeout, memory=config.document.memory)
        self._pool = WorkerPool(config.document.workers, limits)
        self._reader = WorkerPool(1, limits, fork=False, modules=_READING)
        self.provider = FaxTo(settings.provider(config))
        self.gate = Gate(GateSettings(first=config.provider.retry_after, longest=config.provider.retry_max))
        self.notices = Notices(settings.notices(config))
        self._transport = Transport(settings.relay(config))
        self.postman = Postman(
            self.database, self.spool, self._pool, self._transport, settings.letterhead(config), self.notices,
            settings.postman(config),
        )  # fmt: skip
        self.outbound = Outbound(
            self.database, self.spool, self.provider, self._pool, self.notices, settings.outbound(config),
            gate=self.gate, on_mail=self.postman.nudge,
        )  # fmt: skip
        self.inbound = Inbound(
            self.database, self.spool, self.provider, self.notices, settings.inbound(config), gate=self.gate,
            on_mail=self.postman.nudge, clock_believed=lambda: self._wall.is_believed,
        )  # fmt: skip
        self.reconcile = Reconcile(
            self.database, self.provider, self.outbound.history, self.notices, settings.outbound(config).settle,
            gate=self.gate, on_mail=self.postman.nudge, nudge=self.outbound.nudge,
        )  # fmt: skip
        self._account = Account(
            self.database, self.provider, self.notices, self.gate, config.provider.key_check_every,
            on_mail=self.postman.nudge,
        )  # fmt: skip
        self._keeping = Keeping()
        self._wall = WallClock(time.time)
        accept_settings = settings.accept(config)
        self.divided = DividedMails(
            self.database, self.spool, self.notices, settings.divided(config), on_mail=self.postman.nudge,
            clock_believed=lambda: self._wall.is_believed,
        )  # fmt: skip
        self.accept = Accept(
            self.database, self.spool, self._reader, accept_settings, self.outbound.allowance,
            on_accepted=self.outbound.accepted,
            postmaster=Postmaster(
                self.database, self.spool, self.notices, accept_settings.domains, on_mail=self.postman.nudge
            ),
            divided=self.divided,
            clock_believed=lambda: self._wall.is_believed,
        )  # fmt: skip
        self.admin = Admin(
            self.database, self.accept, self.outbound, self.inbound, self.provider, accept_settings,
            fallback=config.mail.fallback, parts=self.divided, status=self._status, reload=self.reload,
            keep_files=self._keeping.keep,
        )  # fmt: skip
        self._door: SmtpDoor | None = None
        self._callbacks: CallbackServer | None = None
        self._admin_server: AdminServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False
        self._uploads_due = 0.0  # when leftovers at the provider are looked for, by the clock that is never set

    # --- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take the state directory. Raises TryLater when another process has it, StoreBroken, ConfigError, OSError."""
        self._lock.acquire()
        try:
            refuse_half_restored(Path(self.config.state_dir))
            await self.database.open(may_be_new=not self.spool.was_opened)
            await self._expect_spool()
            self.spool.open()
        except BaseException:
            await self.database.close()
            self._lock.release()
            raise

    async def _expect_spool(self) -> None:
        """Raises StoreBroken where the whole spool has gone: perhaps it is not mounted."""
        named = await self.database.read(files.named)
        if named and not self.spool.root.is_dir():
            raise StoreBroken(
                f"the directory {self.spool.root} is missing, which holds {len(named)} mails and faxes: mount or restore it;"
                " to go on without them, make it: faxes whose pages are lost are then held or fail, and senders are told"
            )

    async def close(self) -> None:
        """Let go of the state directory."""
        async with contextlib.AsyncExitStack() as ends:
            ends.callback(self._lock.release)
            ends.push_async_callback(self.provider.close)
            ends.push_async_callback(self.database.close)

    async def start(self, sockets: dict[str, Any] | None = None) -> None:
        """Start everything; when this returns, every listener is bound and mail is accepted."""
        await self.open()
        try:
            noted = await self.database.read(lambda tx: get_meta(tx, _CLOCK))
            shown, calm = map(float, noted.split()) if noted else (time.time(), 0.0)
            self._wall.begin((shown, calm) if noted else None)
            await self.divided.recover(shown)
            await self._note_time()
            doubtful = await self.outbound.recover()
            if doubtful:
                log.warning("sends without an outcome are in doubt", count=doubtful)
            await asyncio.gather(self.inbound.recover(), self.postman.recover())
            await self._set_orphans_aside()
            must_look = await self.reconcile.begin()
            await asyncio.gather(self._pool.start(), self._reader.start())
            self._start_edges(sockets or {})
            assert self._door is not None and self._callbacks is not None and self._admin_server is not None
            await self._callbacks.start()
            await self._admin_server.start()
            await self._door.start()
            if must_look:
                self.reconcile.start()
            self.outbound.start()
            self.inbound.start()
            self.postman.start()
            self._account.start()
            works = (
                self._note_time, self.divided.give_up, self._sweep_orphans, self._mend_times, self._sweep_uploads,
                self._keep_reserve, self._warn,
            )  # fmt: skip
            self._tasks = [
                asyncio.create_task(self._housekeeping(*works), name="housekeeping"),
                asyncio.create_task(self._housekeeping(self._purge), name="purge"),
            ]
            telemetry.certificates(self.config.certificates())
            telemetry.started()
            self._ready = True
        except BaseException:
            await self.stop(grace=0.0)
            raise
        log.info(
            "accepting mail",
            version=__version__,
            smtp=", ".join(map(str, self._door.addresses())),
            callbacks=self._callbacks.address,
            provider=self.config.provider.base_url,
            state=str(self.config.state_dir),
        )

    def _start_edges(self, sockets: dict[str, Any]) -> None:
        config = self.config
        self._door = SmtpDoor(
            settings.smtp(config), [settings.listener(i, each) for i, each in enumerate(config.smtp.listeners)],
            self.accept, sockets=sockets,
        )  # fmt: skip
        self._callbacks = CallbackServer(
            settings.callbacks(config),
            Sink(self.outbound, self.inbound),
            parse=self._parse,
            ready=self._is_ready,
            metrics=self._metrics,
            sockets=sockets,
        )
        self._admin_server = AdminServer(self.admin, config.admin_socket)

    async def stop(self, grace: float | None = None) -> None:
        """Accept nothing more, begin no send, wait ``grace`` seconds for the one under way, record it, let go."""
        grace = self.config.stop_timeout if grace is None else grace
        self._ready = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        # from the last that is pushed to the first, each of them whatever the others do
        async with contextlib.AsyncExitStack() as ends:
            ends.push_async_callback(self.close)
            for pool in (self._pool, self._reader):
                ends.push_async_callback(pool.close)
            ends.push_async_callback(self._stop_services, grace)
            ends.push_async_callback(self.reconcile.stop)
            ends.push_async_callback(self._account.stop)
            if self._admin_server is not None:
                ends.push_async_callback(self._admin_server.stop)
            if self._callbacks is not None:
                ends.push_async_callback(self._callbacks.stop)
            if self._door is not None:
                ends.push_async_callback(self._door.stop, min(grace, 10.0))

    async def _stop_services(self, grace: float) -> None:
        results = await asyncio.gather(
            self.outbound.stop(grace), self.inbound.stop(min(grace, 5.0)), self.postman.stop(min(grace, 10.0)),
            return_exceptions=True,
        )  # fmt: skip
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def reload(self) -> list[str]:
        """Try again at once what waits, and take up new certificates; routes are always read fresh.

        Raises TryLater for a broken certificate; the old one stays in use then.
        """
        await self._account.look()
        await self._mend_times(soon=True)
        self.inbound.sweep_soon()
        if self._door is None:
            return []
        self._door.reload_certificates()
        telemetry.certificates(self.config.certificates())
        return ["certificates"]

    def addresses(self) -> dict[str, Any]:
        """Where it listens, as really bound."""
        assert self._door is not None and self._callbacks is not None
        return {"smtp": self._door.addresses(), "callbacks": self._callbacks.address}

    # --- trouble --------------------------------------------------------------------------------------------------

    def _fatal(self, error: Exception) -> None:
        """The disk or the database cannot be believed: no reply and no send may follow."""
        self.spool.freeze()
        log.critical("stopping: the state cannot be recorded", why=str(error))
        self.failed.set()

    # --- housekeeping ---------------------------------------------------------------------------------------------

    async def _set_orphans_aside(self) -> None:
        """At a start, when nothing is under way: what no row names is kept for a while, what is missing is told."""
        named = await self.database.read(files.named)
        orphans = await asyncio.to_thread(self.spool.set_aside, named.keys())
        if orphans:
            log.warning("files that no row names are set aside", count=len(orphans), directory=str(self.spool.orphans))
        missing = sorted(named.keys() - self.spool.names())
        if missing:
            log.error("files are missing", count=len(missing), first=missing[0])
            now = time.time()
            alarm = self.notices.missing([f"{named[name]} (spool/{name})" for name in missing], now)
            await self.database.write(lambda tx: outbox.add(tx, alarm))

    async def _note_time(self) -> None:
        """A start far from the last time is no time to throw anything away."""
        noted = f"{time.time()} {self._wall.calm}"
        await self.database.write(lambda tx: set_meta(tx, _CLOCK, noted))

    async def _sweep_orphans(self) -> None:
        known = await self.database.read(files.named)
        before = time.time() - self.config.retention.orphans
        if not self._wall.is_believed:
            return
        async with self._keeping.removing() as may:
            removed = await asyncio.to_thread(self.spool.sweep, known.keys(), older_than=before) if may else []
        if removed:
            log.info("files without a row removed", count=len(removed))

    async def _housekeeping(self, *works: Callable[[], Awaitable[object]]) -> None:
        """Do each of ``works`` now and then, one after another."""
        while True:
            await asyncio.sleep(self.config.retention.purge_every)
            for work in works:
                try:
                    await work()
                except (GatewayError, OSError) as error:
                    log.warning("housekeeping did not end", what=work.__name__.strip("_"), why=str(error))
                except Exception:
                    log.exception("unexpected failure of housekeeping", what=work.__name__.strip("_"))

    async def _mend_times(self, *, soon: bool = False) -> None:
        """Nothing waits longer than the longest pause; ``soon``, and when the clock was set, all is due now."""
        jumped = self._wall.take_jump()
        for each in (self.outbound, self.inbound, self.postman):
            await each.mend_times(soon=soon or jumped)
            each.nudge()
        if jumped:
            log.warning("the clock was set: what waited is looked at now")

    async def _sweep_uploads(self) -> None:
        """Once in the time that leftovers are kept, and again at the next purge where the provider is away."""
        age = self.config.retention.uploads
        if time.monotonic() >= self._uploads_due and self.gate.is_open:
            await self.outbound.sweep_uploads(age)
            self._uploads_due = time.monotonic() + age

    async def _keep_reserve(self) -> None:
        await asyncio.to_thread(self.spool.keep_reserve)

    async def _warn(self) -> None:
        now = time.time()
        short, expiring = self._disk_trouble(), await asyncio.to_thread(self.config.expiring, now)
        found = [self.notices.disk(short, now)] if short else []
        found += [self.notices.certificates(expiring, now)] if expiring else []
        for notice in found:
            if await self.database.write(partial(outbox.add, mail=notice)):
                log.warning(notice.facts["title"], why=notice.facts["text"])
                self.postman.nudge()

    async def _purge(self) -> None:
        """What has served its time goes, a little at a time with others between, until nothing of it is left."""
        more = True
        while more:
            more = await self._purge_some()
            await asyncio.sleep(_BREATH)
        await self.accept.logins.purge()

    async def _purge_some(self) -> bool:
        """The row first, then the file. False when nothing was left to do."""
        keep, now = self.config.retention, time.time()
        if not self._wall.is_believed:
            log.info("nothing is purged: the clock was set, or stood long; it must go on for a day")
            return False

        def purge(tx: Tx) -> tuple[list[str], bool]:
            changes = tx.total_changes
            since = float(get_meta(tx, "created_at") or 0.0)  # what is older was stamped by a wrong clock
            names = retention.forget_documents(tx, now - keep.documents, since=since)
            names += inbound_store.forget_documents(tx, now - keep.inbound, since=since)
            names += divided.forget_content(tx)
            retention.forget_history(tx, now - keep.history, since=since)
            outbox.forget(tx, now - keep.history, since=since)
            spending.forget(tx, now, keep.history)
            receipts.purge_orphans(tx, now - keep.history)
            return names, tx.total_changes > changes

        async with self._keeping.removing() as may:
            if not may:
                return False
            names, is_some = await self.database.write(purge)
            await asyncio.to_thread(self.spool.remove, names)
        return is_some

    # --- what the edges ask ---------------------------------------------------------------------------------------

    async def _parse(self, kind: str, path: str) -> dict[str, Any]:
        """A callback's JSON or form body, read in the reader process."""
        found: dict[str, Any] = await self._reader.run(f"gateway.provider.faxto_callback:parse_{kind}", path=path)
        return found

    def _is_ready(self) -> bool:
        return self._ready and not self.failed.is_set() and not self._disk_trouble()

    def _disk_trouble(self) -> str:
        """Why no mail and no fax is taken, "" when there is room."""
        try:
            self.spool.check_room()
        except GatewayError as error:
            return f"{error}; nothing is taken until there is room"
        return ""

    async def _metrics(self) -> bytes:
        counts = await self.database.read(overview.counts)
        mails = await self.database.read(outbox.counts)
        telemetry.queue_sizes(counts, mails)
        telemetry.provider_failing(self.gate.failing_for)
        return telemetry.render_metrics()

    def _status(self) -> dict[str, Any]:
        return {
            "started_at": self.started_at,
            "running": self._ready,
            "listeners": [str(address) for address in self._door.addresses()] if self._door and self._ready else [],
            "callbacks": self._callbacks.address if self._callbacks and self._ready else "",
            "provider": {"state": self._account.state, "text": self.gate.why or self.gate.failing_why},
            "disk": self._disk_trouble(),
            "reconcile": self.reconcile.state,
        }


# --- without a daemon ---------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def offline(
    config: Config,
) -> AsyncIterator[Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]]:
    """The operations without a daemon, under the state directory's lock. Raises as :meth:`Gateway.open`."""
    gateway = Gateway(config)
    await gateway.open()
    try:
        yield gateway.admin
    finally:
        await gateway.close()
