"""Edges: one small world for each rare thing that chance would seldom bring, or not to the very moment where it matters."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.cli.client import AdminClient
from gateway.document.worker import WorkerPool
from gateway.faultpoint import VARIABLE

from . import power_cut, records
from .checker import check, files_and_rows_agree
from .journeys import BUSY, JOURNEYS, received, route
from .kill import Run, evidence, settled
from .ports import free_port
from .world import SENDER, Wish, World, until, world

_PATIENCE = 60.0
_SOON = 10.0
_IN_USE = 75  # status of a gateway that finds its directory in use
_SLOW = 0.02  # seconds that each write to the database takes on a slow disk: a commit has ten and more

_STRACE, _MOUNT = "strace", "mount"

Breaches = list[str]


@dataclass(frozen=True, slots=True)
class Edge:
    """``run`` takes converters and an empty directory, and returns the breaches; ``needs`` what not every machine has."""

    name: str
    proves: str
    run: Callable[[WorkerPool, Path], Awaitable[Breaches]]
    needs: str = ""


@dataclass(frozen=True, slots=True)
class _InAWorld:
    """``act`` hurts a running gateway and returns the breaches that it sees itself; then the checker looks.

    ``allowed`` is for the checker (:class:`~.checker.Evidence`), ``options`` for the configuration; ``prefix`` and ``env``
    are those of the first start.
    """

    act: Callable[[World], Awaitable[Breaches]]
    allowed: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    prefix: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    async def __call__(self, workers: WorkerPool, directory: Path) -> Breaches:
        async with world(directory, workers, **self.options) as here:
            if not await here.gateway.start(prefix=self.prefix, env=self.env):
                return [f"it did not start: status {here.gateway.status}"]
            try:
                async with asyncio.timeout(_PATIENCE):
                    breaches = await self.act(here)
            except TimeoutError:
                breaches = ["what it waits for never came"]
            if not await until(lambda: settled(here), _PATIENCE):
                breaches.append("it never came to rest")
            if status := await here.gateway.stop():
                breaches.append(f"the gateway ended with {status}")
            return breaches + check(await evidence(here, **self.allowed))


async def _rest(here: World) -> None:
    """Wait until what was asked for so far has ended."""
    if not await until(lambda: settled(here), _PATIENCE):
        raise TimeoutError


async def _job(here: World, wish: Wish, is_so: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """The job of a wish for one number, once it is so."""
    while True:
        for job in records.read(here.state).jobs.values():
            if job["number"] == wish.numbers[0] and is_so(job):
                return job
        await asyncio.sleep(0.02)


async def _send_all(here: World, wishes: Sequence[Wish]) -> None:
    await asyncio.gather(*(here.send(wish) for wish in wishes))


# --- clients ----------------------------------------------------------------------------------------------------------


async def _silent_client(here: World) -> Breaches:
    wish = here.wish()
    await asyncio.to_thread(_say_and_go, here.smtp_port, wish)
    await _job(here, wish, lambda _job: True)
    await here.send(wish)
    return []


def _say_and_go(port: int, wish: Wish) -> None:
    """Send a mail and leave before it is answered."""
    with socket.create_connection(("127.0.0.1", port), 10) as client, client.makefile("rb") as answers:
        answers.readline()
        rcpt = [f"RCPT TO:<{number}@fax.local>" for number in wish.numbers]
        for line in ("HELO client", f"MAIL FROM:<{SENDER}>", *rcpt, "DATA"):
            client.sendall(f"{line}\r\n".encode())
            answers.readline()
        client.sendall(wish.message.replace(b"\r\n.", b"\r\n..") + b".\r\n")


async def _two_daemons(here: World) -> Breaches:
    second = here.program("second", free_port(), free_port())
    breaches = []
    try:
        if await second.start():
            breaches.append("a second gateway works on the same directory")
        elif second.status != _IN_USE:
            breaches.append(f"a second gateway on the same directory ended with {second.status}, not {_IN_USE}")
    finally:
        await second.kill()
    await here.send(here.wish())
    return breaches


async def _cancelled(here: World) -> Breaches:
    await here.order("upload", "delay", count=1, seconds=1.0)
    wish = here.wish()
    await here.send(wish)
    job = await _job(here, wish, lambda job: job["uploads"] == 1)
    async with AdminClient(here.state / "admin.sock") as ask:
        await ask("queue.cancel", {"ids": [job["id"]]})
    await asyncio.sleep(1.5)  # the upload is answered now, and nothing may come of it
    state = records.read(here.state).jobs[job["id"]]["state"]
    return [] if state == "cancelled" else [f"a fax that was cancelled is {state}"]


# --- the provider -----------------------------------------------------------------------------------------------------


async def _lagging_history(here: World) -> Breaches:
    """The history must be known as ours before, or the account's balance alone would tell; and so would a receipt."""
    await here.send(here.wish())
    await _rest(here)
    await asyncio.sleep(2.0)
    await here.order("history", "late", seconds=2.0)
    await here.order("receipt", "lost")
    wishes = []
    for fault in ("execute-then-502", "execute-then-drop", "execute-then-html", "no-id"):
        wishes.append(here.wish())
        await here.order("send", fault, count=1, number=wishes[-1].numbers[0])
    await _send_all(here, wishes)
    return []


async def _killed_in_the_send(here: World) -> Breaches:
    """A history that lags behind does not show it at the next start, so only what was written ahead can help."""
    await here.order("history", "late", seconds=6.0)
    await here.send(here.wish())
    await here.gateway.gone(_PATIENCE)
    return await _again(here)


async def _page_three(here: World) -> Breaches:
    await here.order("history", "page-3")
    await here.order("send", "execute-then-drop", count=1)
    await here.send(here.wish())
    return []


async def _by_hand(here: World) -> Breaches:
    await here.send(here.wish())
    await _rest(here)
    other_number, other_document = here.wish(), here.wish()
    for wish in (other_number, other_document):
        await here.order("send", "drop", count=1, number=wish.numbers[0])
    await here.send(other_number)
    job = await _job(here, other_number, lambda job: job["state"] == "in_doubt")
    await here.send_by_hand("+12025550123", job["document_ref"])
    await here.send(other_document)
    await _job(here, other_document, lambda job: job["state"] == "in_doubt")
    await here.send_by_hand(other_document.numbers[0], received("by hand"))
    return []


async def _old_id(here: World) -> Breaches:
    await here.send(here.wish())
    await _rest(here)
    await here.order("send", "old-id", count=1)
    await here.send(here.wish())
    return []


async def _rate_limit(here: World) -> Breaches:
    for fault in ("403", "429"):
        wish = here.wish()
        await here.order("send", fault, count=1, number=wish.numbers[0])
        await here.send(wish)
    return []


async def _refused_twice(here: World) -> Breaches:
    for _ in range(2):
        await here.order("send", "401", count=1)
        await here.send(here.wish())
        await _rest(here)
    return []


async def _lost_page(here: World) -> Breaches:
    await here.order("upload", "lost-page")
    wish = here.wish(text="\n".join(f"Line {n}" for n in range(120)))
    await here.send(wish)
    await _rest(here)
    job = await _job(here, wish, lambda _job: True)
    return [] if job["hold"] else [f"a document that lost a page at the provider is not held, but {job['state']}"]


async def _lying_receipts(here: World) -> Breaches:
    await here.order("receipt", "lie")
    await here.send(here.wish(1, also=(BUSY,)))
    return []


async def _doubled_callback(here: World) -> Breaches:
    await route(here)
    await here.order("inbound", "doubled", count=1)
    await here.fax_arrives(received())
    return []


# --- the smarthost, and what is kept ----------------------------------------------------------------------------------


async def _smarthost_away(here: World) -> Breaches:
    """The document of a received fax is kept beyond its time, until a smarthost has taken it."""
    await route(here)
    here.sink.fault = lambda: "busy"
    await here.fax_arrives(received())
    await until(lambda: here.sink.faults["busy"], _PATIENCE)
    await asyncio.sleep(2.5)
    here.sink.fault = lambda: ""
    return []


async def _killed_while_forgetting(here: World) -> Breaches:
    """At the moment of the kill a file may have lost its row, but no row its file."""
    await here.send(here.wish())
    await here.gateway.gone(_PATIENCE)
    at_death = await evidence(here)
    gone = [each for each in files_and_rows_agree(at_death) if each.endswith("is missing")]
    await here.gateway.start()
    return [f"files_and_rows_agree: {each}, and was removed before its row" for each in gone]


async def _sync_fails(here: World) -> Breaches:
    """A file whose sync has failed is lost without a word, so whoever was told of it was told wrong."""
    fault = ("-e", "trace=fsync", "-e", "inject=fsync:error=EIO")
    tracer = await asyncio.create_subprocess_exec(
        "strace", "-f", "-qqq", "-o", os.devnull, *fault, "-p", str(here.gateway.pid)
    )
    wish = here.wish()
    try:
        await until(lambda: _is_traced(here.gateway.pid), _PATIENCE)
        await here.try_send(wish)
        ended = await here.gateway.gone(_SOON)
    finally:
        if here.gateway.running:
            tracer.terminate()
        await tracer.wait()  # it ends with what it traces
    breaches = [] if ended else ["it went on after a sync had failed"]
    if wish.told:
        breaches.append("250 was said for a mail whose sync had failed")
    breaches += await _again(here)
    await here.send(wish)
    return breaches


def _is_traced(pid: int) -> bool:
    return "TracerPid:\t0" not in Path(f"/proc/{pid}/status").read_text()


# --- a slow disk ------------------------------------------------------------------------------------------------------


async def _killed_at_250(here: World) -> Breaches:
    await here.send(here.wish())
    return await _again(here)


async def _killed_at_200(here: World) -> Breaches:
    await route(here)
    await here.fax_arrives(received())
    while True:
        callbacks = (await here.ask("/sandbox/callbacks"))["callbacks"]
        if any(answer["status"] == 200 for each in callbacks for answer in each["answers"]):
            return await _again(here)
        await asyncio.sleep(0.01)


async def _killed_at_the_end(here: World) -> Breaches:
    wish = here.wish()
    await here.send(wish)
    await _job(here, wish, lambda job: job["finished_at"])
    return await _again(here)


async def _again(here: World) -> Breaches:
    """Kill it, and start it on a disk that is quick again."""
    await here.gateway.kill()
    return [] if await here.gateway.start() else [f"it did not start again: status {here.gateway.status}"]


def _on_a_slow_disk(act: Callable[[World], Awaitable[Breaches]]) -> _InAWorld:
    late = f"inject=pwrite64:delay_enter={round(_SLOW * 1e6)}"
    prefix = (
        "strace", "-D", "-f", "-qqq", "-o", os.devnull, "--seccomp-bpf", "-e", "trace=pwrite64", "-e", late,
    )  # fmt: skip
    return _InAWorld(act, {"doubled_mails": 2}, prefix=prefix)


# --- the power fails --------------------------------------------------------------------------------------------------


def _power_cut(journey: str, point: str) -> Callable[[WorkerPool, Path], Awaitable[Breaches]]:
    async def cut(workers: WorkerPool, directory: Path) -> Breaches:
        return await power_cut.at(workers, directory, JOURNEYS[journey], point)

    return cut


_FORGETFUL = "retention: {documents: 1s, inbound: 1s, orphans: 1s, purge_every: 300ms}"

EDGES = (
    Edge("silent-client", "a client that leaves before its 250 and comes again causes one fax", _InAWorld(_silent_client)),
    Edge("two-daemons", "a second gateway on the same directory does not start", _InAWorld(_two_daemons)),
    Edge("cancelled", "what is cancelled while it is uploaded stays cancelled", _InAWorld(_cancelled)),
    Edge(
        "lagging-history", "502, no answer, HTML, no id: nothing is sent again while the history lags behind",
        _InAWorld(_lagging_history, options={"min_time": "3s", "give_up": "30s"}),
    ),
    Edge(
        "killed-in-the-send", "killed before the answer to a send is recorded, and the history lags behind",
        _InAWorld(_killed_in_the_send, options={"min_time": "8s", "give_up": "60s"}, env={VARIABLE: "provider.sent:1"}),
    ),
    Edge("page-three", "a send without an answer is found on page 3 of the history", _InAWorld(_page_three)),
    Edge("by-hand", "what a person sends beside the gateway is not taken for its own", _InAWorld(_by_hand)),
    Edge("old-id", "the answer to a send names the fax before", _InAWorld(_old_id)),
    Edge("rate-limit", "403 and 429 put a fax off", _InAWorld(_rate_limit)),
    Edge("refused-twice", "the key is refused twice within an hour: the operator hears of it once", _InAWorld(_refused_twice)),
    Edge("lost-page", "a document that has fewer pages at the provider is not sent", _InAWorld(_lost_page, {"in_doubt_allowed": True})),
    Edge("lying-receipts", "receipts tell the contrary of what happened", _InAWorld(_lying_receipts)),
    Edge("doubled-callback", "a received fax is told twice", _InAWorld(_doubled_callback)),
    Edge("smarthost-away", "a received fax is kept until it is delivered", _InAWorld(_smarthost_away, options={"more": _FORGETFUL})),
    Edge(
        "killed-while-forgetting", "a row is forgotten before its file",
        _InAWorld(_killed_while_forgetting, options={"more": _FORGETFUL}, env={VARIABLE: "spool.unlinked:1"}),
    ),
    Edge("sync-fails", "a sync fails: no 250, and the gateway ends", _InAWorld(_sync_fails), _STRACE),
    Edge("killed-at-250", "slow disk, killed as soon as the client has its 250", _on_a_slow_disk(_killed_at_250), _STRACE),
    Edge("killed-at-200", "slow disk, killed as soon as the provider has its 200", _on_a_slow_disk(_killed_at_200), _STRACE),
    Edge("killed-at-the-end", "slow disk, killed as soon as the end of a fax is recorded", _on_a_slow_disk(_killed_at_the_end), _STRACE),
    Edge("cut-at-250", "the power fails when the client has its 250", _power_cut("out", "smtp.replied:1"), _MOUNT),
    Edge("cut-at-the-send", "the power fails when the provider has answered a send", _power_cut("out", "provider.sent:1"), _MOUNT),
    Edge("cut-at-200", "the power fails when a received fax is about to be answered 200", _power_cut("in", "callback.replying:1"), _MOUNT),
    Edge("cut-at-delivery", "the power fails when the smarthost has taken a received fax", _power_cut("in", "relay.taken:1"), _MOUNT),
)  # fmt: skip


def named(name: str) -> Edge:
    """The edge of this name."""
    return next(edge for edge in EDGES if edge.name == name)


def lacking(directory: Path) -> dict[str, str]:
    """What edges need and this machine does not have, and why not."""
    found = {
        _STRACE: "" if shutil.which("strace") else "strace is not installed",
        _MOUNT: power_cut.possible(directory),
    }
    return {need: why for need, why in found.items() if why}


async def run(workers: WorkerPool, directory: Path) -> AsyncIterator[Run]:
    """Every edge that can be played here, one run for each."""
    lacks = lacking(directory)
    for edge in EDGES:
        if edge.needs not in lacks:
            yield Run(
                "edge", edge.name, True, await edge.run(workers, directory / edge.name), str(directory / edge.name)
            )
