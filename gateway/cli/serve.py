"""``faxgateway serve``: run the daemon."""

from __future__ import annotations

import asyncio
import os

import click

from gateway.cli.base import Command, Session, pass_session


@click.command(cls=Command)
@pass_session
def serve(session: Session) -> int:
    """Run the gateway until SIGTERM or SIGINT; SIGHUP does what reload does.

    Everything it accepted is on disk at any time: it may be killed. The status is 78 for a bad configuration.
    """
    config = session.config()
    from gateway import daemon

    os.umask(0o077)
    return asyncio.run(daemon.serve(config))
