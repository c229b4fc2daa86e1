"""``faxgateway sandbox``: run the Fax.to-compatible server."""

from __future__ import annotations

import asyncio
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gateway.cli.base import EX_CANTCREAT, EX_TEMPORARY, EX_USAGE, Command, Failed

if TYPE_CHECKING:
    from gateway.sandbox.server import SandboxSettings


@click.command(cls=Command, configured=False)
@click.option(
    "--listen", metavar="HOST:PORT", default="127.0.0.1:8026", show_default=True, help="Port 0: any free one."
)
@click.option("--state-dir", metavar="DIR", required=True, help="Its database and documents.")
@click.option(
    "--api-key", metavar="KEY", required=True, envvar="FAXTO_API_KEY", show_envvar=True, help="The key of its account."
)
@click.option("--callback", metavar="URL", default="", help="POST /callback/TOKEN of the gateway; else none are sent.")
@click.option(
    "--pace",
    type=click.Choice(["instant", "10x", "real"]),
    default="instant",
    show_default=True,
    help="How long a call takes: no time, a tenth of it, all of it.",
)
@click.option("--balance", metavar="AMOUNT", default="100", show_default=True, help="Credit of a new account.")
@click.option("--remote-files", is_flag=True, help="Fetch documents that AddRemoteFile names by an address.")
def sandbox(
    listen: str, state_dir: str, api_key: str, callback: str, pace: str, balance: str, remote_files: bool
) -> int:
    """Run a server that behaves like Fax.to and on which nothing leaves this machine.

    Set the gateway's provider.base_url to http://HOST:PORT/api/v2. Numbers +9999999xxxx are scenarios; docs/sandbox.md
    lists them.
    """
    from gateway.sandbox.server import SandboxSettings

    _check(listen, callback)
    settings = SandboxSettings(
        Path(state_dir), api_key, callback=callback, listen=listen, pace=pace, balance=_money(balance),
        remote_files=remote_files,
    )  # fmt: skip
    from gateway import telemetry

    telemetry.set_up_logging("info", "auto")
    os.umask(0o077)
    return asyncio.run(_serve(settings))


def _check(listen: str, callback: str) -> None:
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise Failed(f"--listen wants HOST:PORT, as 127.0.0.1:8026, not {listen}", EX_USAGE)
    if callback and (not callback.startswith(("http://", "https://")) or not urlsplit(callback).hostname):
        raise Failed(f"--callback wants a URL, as http://127.0.0.1:8025/callback/TOKEN, not {callback}", EX_USAGE)


def _money(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except ArithmeticError:
        amount = Decimal(-1)
    if not amount.is_finite() or not 0 <= amount <= 10**9:
        raise Failed(f"--balance wants an amount of money, as 100, not {text}", EX_USAGE)
    return amount


async def _serve(settings: SandboxSettings) -> int:
    from gateway.sandbox.server import Sandbox
    from gateway.sandbox.store import InUse

    server = Sandbox(settings)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await server.start()
    except InUse as error:
        raise Failed(str(error), EX_TEMPORARY) from error
    except OSError as error:
        if str(error.strerror).startswith("cannot listen"):
            raise Failed(str(error.strerror), EX_TEMPORARY) from error
        raise Failed(f"{settings.state_dir} cannot be used: {error.strerror}", EX_CANTCREAT) from error
    click.echo(f"sandbox: http://{server.address}/api/v2 (line: {server.line}, pace: {settings.pace})", err=True)
    if not server.address.startswith(("127.", "[::1]", "localhost:")):
        click.echo("sandbox: whoever reaches this address can use /sandbox/..., which asks for no key", err=True)
    try:
        await stopped.wait()
    finally:
        await server.stop()
    return 0
