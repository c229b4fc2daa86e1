"""``faxgateway backup`` and ``faxgateway restore``: all that the gateway has on disk, to a directory and back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway import __version__
from gateway.cli import output
from gateway.cli.base import EX_DATA, Command, Failed, Session, json_option, pass_session
from gateway.cli.client import AdminClient, NotRunning, warn

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.service.backup import Backup

_KEPT = 120  # seconds for which the daemon removes no file; asked for again and again while the copy is made
_ASK_AGAIN = 30.0


@click.command(cls=Command)
@click.option("--quiet", is_flag=True, help="Say nothing where all is well, for cron.")
@json_option
@click.argument("directory", type=click.Path(path_type=Path))
@pass_session
def backup(session: Session, directory: Path, quiet: bool, as_json: bool) -> int:
    """Copy the database, mails and faxes to DIRECTORY, which must not exist.

    The gateway may run meanwhile. The copy is read again and checked before it counts. The configuration is not in it. The
    status is 65 when files are missing that should be there.
    """
    config, wrong = session.place()
    if wrong is not None:
        warn(wrong)
    made = asyncio.run(_backup(config, directory))
    if as_json:
        output.as_json(_as_json(made))
    elif not quiet:
        output.details(_facts(made))
    for name in made.missing[:20]:
        output.say(f"missing, and not in the backup: {name}")
    return EX_DATA if made.missing else 0


async def _backup(config: Config, directory: Path) -> Backup:
    from gateway.service.backup import create
    from gateway.store.lock import StateLock

    def make() -> Backup:
        return create(Path(config.state_dir), directory, version=__version__, now=time.time())

    os.umask(0o077)
    try:
        async with AdminClient(config.admin_socket) as ask:
            await ask("files.keep", {"seconds": _KEPT})
            copying = asyncio.create_task(asyncio.to_thread(make))
            while not (await asyncio.wait([copying], timeout=_ASK_AGAIN))[0]:
                with contextlib.suppress(Failed):  # one that has ended removes nothing
                    await ask("files.keep", {"seconds": _KEPT})
            with contextlib.suppress(Failed):
                await ask("files.keep", {"seconds": 0})
            return await copying
    except NotRunning:
        with StateLock(Path(config.state_dir)):
            return await asyncio.to_thread(make)


@click.command(cls=Command)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@click.argument("directory", type=click.Path(path_type=Path))
@pass_session
def restore(session: Session, directory: Path, yes: bool, as_json: bool) -> None:
    """Put the backup in DIRECTORY in the place of the state, while no gateway runs.

    What is there now moves into a directory before-restore-DATE in there. The next start compares the faxes that wait in it with the provider's history
    before anything is sent, so that none is sent again.
    """
    config = session.config(secrets=False)
    from gateway.service.backup import check
    from gateway.service.backup import restore as put

    os.umask(0o077)
    state = Path(config.state_dir)
    found = check(directory)
    if not yes:
        if not as_json:
            output.details(_facts(found))
        click.confirm(f"Put this in the place of what is in {state}?", abort=True, err=True)
    _, kept = put(directory, state, now=time.time())
    if as_json:
        output.as_json({**_as_json(found), "state_dir": str(state), "kept": str(kept) if kept else None})
        return
    output.say(f"Restored to {state}.")
    if kept:
        output.say(f"What was there is kept in {kept}; remove it when you need it no more.")
    if found.open_jobs:
        output.say(
            "At the next start nothing is sent before the provider's history was compared, which takes"
            f" {max(1, round(config.provider.doubt.min_time / 60))} minutes or more: see faxgateway status."
        )
    else:
        output.say("No fax waits in it that may have been sent since, so sending goes on at the next start.")


def _facts(found: Backup) -> dict[str, Any]:
    return {
        "backup": found.path,
        "made": f"{output.moment(_iso(found.created_at))} by faxgateway {found.version}",
        "faxes under way": found.open_jobs,
        "received faxes": found.received,
        "mails waiting": found.mails,
        "files": f"{found.files}, {found.size:,} bytes with the database",
        "missing": f"{len(found.missing)} files were missing when it was made" if found.missing else "",
    }


def _as_json(found: Backup) -> dict[str, Any]:
    return {**asdict(found), "path": str(found.path), "created_at": _iso(found.created_at)}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
