"""``faxgateway demo``: gateway, sandbox and mailbox in one process, to try it all on one machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway import __version__
from gateway.cli import output
from gateway.cli.base import EX_SOFTWARE, Command

if TYPE_CHECKING:
    from gateway.cli.demo_stage import Demo


@click.command(cls=Command, configured=False)
@click.option("--send", is_flag=True, help="Send a sample fax at once, to a number that faxes it back.")
@click.option(
    "--state-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything here for the next time; else it is in a temporary directory, removed at the end.",
)  # fmt: skip
@click.option("--any-ports", is_flag=True, help="Take any free ports instead of 2525, 8025, 8026 and 8080.")
@click.option("--json", "as_json", is_flag=True, help="Print where everything listens as JSON.")
def demo(send: bool, state_dir: Path | None, any_ports: bool, as_json: bool) -> int:
    """Try it all: the gateway, a sandbox in place of the fax service, and a mailbox with a web page.

    Needs no account and no configuration, and nothing leaves the machine. Ports that are taken are replaced by free ones.
    Ends with Ctrl-C or SIGTERM.
    """
    from gateway import telemetry

    telemetry.set_up_logging("warning", "console")  # until the welcome is said
    os.umask(0o077)
    directory = state_dir.absolute() if state_dir else Path(tempfile.mkdtemp(prefix="faxgateway-demo-"))
    try:
        return asyncio.run(_run(directory, send=send, kept=state_dir is not None, any_ports=any_ports, as_json=as_json))
    finally:
        if not state_dir:
            shutil.rmtree(directory, ignore_errors=True)


async def _run(directory: Path, *, send: bool, kept: bool, any_ports: bool, as_json: bool) -> int:
    from gateway import telemetry
    from gateway.cli.demo_stage import ANY_PORTS, Demo, Ports

    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    stage = Demo(directory, ANY_PORTS if any_ports else Ports())
    await stage.start()
    try:
        if as_json:
            output.as_json(stage.addresses())
        output.say(_welcome(stage, kept=kept))
        telemetry.set_up_logging("info", "console")
        if send:
            await _send_sample(stage)
        await _first(stopping, stage.failed)
        if stage.failed.is_set():
            os._exit(EX_SOFTWARE)  # the disk cannot be trusted: nothing that needs it may follow
        output.say("Stopping.")
    finally:
        await stage.stop()
    return 0


async def _send_sample(stage: Demo) -> None:
    from gateway.errors import GatewayError
    from gateway.sandbox.scenarios import CALL_BACK

    try:
        await stage.send(CALL_BACK, None)
    except GatewayError as error:
        output.say(error.public)


async def _first(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _called() -> str:
    """How this program is called here: it need not be on the PATH."""
    if shutil.which("faxgateway"):
        return "faxgateway"
    return f"{sys.executable} -m gateway" if sys.argv[0].endswith("__main__.py") else sys.argv[0]


def _welcome(stage: Demo, *, kept: bool) -> str:
    from gateway.cli.demo_stage import lines

    where = stage.addresses()
    host, _, port = where["smtp"].rpartition(":")
    line = lines(host, int(port))[0][1].replace(" \\\n  ", " ")
    end = f"the state stays in {stage.directory}" if kept else "the state goes with it"
    told = [
        f"faxgateway {__version__} demo: gateway, sandbox and mailbox in one process. Nothing leaves this machine.",
        "",
        f"  Open    {where['page']}   faxes, mails, and buttons to try it",
        f"  Send    to NUMBER@fax.local by SMTP at {where['smtp']}, without encryption or login:",
        f"          {line}",
        f"  Ask     {_called()} queue list -c {where['config']}",
        f"  Stop    Ctrl-C; {end}",
    ]
    if stage.taken():
        ports = ", ".join(map(str, stage.taken()))
        told.append(f"  Note    taken by another program, so free ports are used instead of {ports}")
    return "\n".join(["", *told, ""])
