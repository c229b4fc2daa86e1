"""The gateway as a process: signals, systemd's notifications and watchdog, exit statuses."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import structlog

from gateway import settings, systemd, telemetry
from gateway.app import Gateway
from gateway.config import Config
from gateway.edge.seldom import Seldom
from gateway.errors import GatewayError, TryLater
from gateway.refusals import refusal
from gateway.spool import SyncFailed

log = structlog.get_logger("gateway")

_OWN_DESCRIPTORS = 100  # files and connections beside those of clients
_DESCRIPTORS = 65536  # a client has a connection and a file; a shell grants 1024 until more are asked for
# while no DNS server answers, each name that is asked for keeps one, and files of mails must not wait for it
_THREADS = 16


async def serve(config: Config) -> int:
    """Run the daemon until a signal; returns the exit status.

    0 clean, 70 on a broken disk or database, 75 busy, 77 not permitted, 78 configuration.
    """
    telemetry.set_up_logging(config.log.level, config.log.format)
    for warning in (*config.warnings, *settings.office_warnings(config.document), *config.expiring(time.time())):
        log.warning("configuration", why=warning)
    _ask_for_descriptors(config)
    gateway = Gateway(config)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(partial(_unhandled, Seldom(log)))
    notifier = systemd.Notifier()

    hangup = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    try:
        loop.set_default_executor(_threads())
        await gateway.start(systemd.listen_sockets())
    except (GatewayError, OSError, SyncFailed) as error:
        status, why = refusal(error, str(config.state_dir))
        log.critical("cannot start; nothing is accepted and nothing is sent", why=why)
        return status
    notifier.ready("accepting mail")
    gc.freeze()  # what the program is made of is no garbage: to look at it again and again takes some per cent of a mail
    tasks = [
        loop.create_task(_watchdog(gateway, notifier), name="watchdog"),
        loop.create_task(_reloads(gateway, notifier, hangup), name="reloads"),
    ]
    waits = [loop.create_task(stopping.wait()), loop.create_task(gateway.failed.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for task in (*waits, *tasks):
        task.cancel()
    await asyncio.gather(*waits, *tasks, return_exceptions=True)
    if gateway.failed.is_set():
        # nothing that needs the disk may follow, not even an orderly stop
        os._exit(os.EX_SOFTWARE)
    notifier.stopping()
    log.info("stopping")
    await gateway.stop()
    log.info("stopped")
    return 0


def _ask_for_descriptors(config: Config) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    needed = 2 * (config.smtp.max_connections + config.http.callbacks.max_connections) + _OWN_DESCRIPTORS
    if wanted < needed:
        log.warning(
            "the system lets us open too few files for max_connections; see ulimit -n", files=wanted, needed=needed
        )


def _unhandled(seldom: Seldom, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Connections that cannot be taken are told again and again by asyncio, each with a traceback."""
    if isinstance(error := context.get("exception"), OSError) and "accept()" in context["message"]:
        seldom.warning("a connection cannot be taken now; it waits", why=str(error))
    else:
        loop.default_exception_handler(context)


def _threads() -> ThreadPoolExecutor:
    """All threads that there will be, begun now: who begins one when memory is short may wait for it for ever.

    Raises TryLater where the system has no room for them.
    """
    pool = ThreadPoolExecutor(_THREADS)
    together = threading.Barrier(_THREADS)  # or the first would do the work of all
    try:
        list(pool.map(lambda _: together.wait(), range(_THREADS)))
    except RuntimeError as error:
        together.abort()
        raise TryLater(
            "the system has no room for more threads; grant more of them, or memory: ulimit -u and -v, TasksMax and MemoryMax",
            str(error),
        ) from error
    return pool


async def _reloads(gateway: Gateway, notifier: systemd.Notifier, hangup: asyncio.Event) -> None:
    """Reload whenever ``hangup`` was set, be it during the start: one after another, as each ends with word that we are ready."""
    while True:
        await hangup.wait()
        hangup.clear()
        notifier.reloading()
        try:
            log.info("reloaded; options need a restart", changed=", ".join(await gateway.reload()))
        except GatewayError as error:
            log.warning("not all was reloaded", why=str(error))
        except Exception:
            log.exception("unexpected failure of a reload")
        notifier.ready()


async def _watchdog(gateway: Gateway, notifier: systemd.Notifier) -> None:
    """Tell systemd we live, as long as the loop turns and the database answers, be it that it cannot record anything now."""
    interval = notifier.watchdog_interval()
    if interval is None:
        return
    while True:
        with contextlib.suppress(TryLater):
            await gateway.database.write(lambda _tx: None)
        notifier.watchdog()
        await asyncio.sleep(interval / 2)
