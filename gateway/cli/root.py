"""``faxgateway``: its commands, in the order a newcomer meets them."""

from __future__ import annotations

import platform

import click

from gateway import __version__
from gateway.cli.base import Root

COMMANDS = {
    "demo": ("gateway.cli.demo:demo", "Try it all on this machine: gateway, sandbox, mailbox."),
    "init": ("gateway.cli.init:init", "Write a first configuration."),
    "check-config": ("gateway.cli.check_config:check_config", "Check the configuration, all problems at once."),
    "doctor": ("gateway.cli.doctor:doctor", "Check all that the gateway needs; name the remedies."),
    "serve": ("gateway.cli.serve:serve", "Run the gateway."),
    "status": ("gateway.cli.daemon:status", "Show how the running gateway is."),
    "reload": ("gateway.cli.daemon:reload", "Take up new certificates; try again what waits."),
    "send": ("gateway.cli.send:send", "Fax files or a text."),
    "preview": ("gateway.cli.preview:preview", "Make pictures of the pages as they will arrive."),
    "queue": ("gateway.cli.queue:queue", "Faxes going out: list divided show hold release retry cancel."),
    "limits": ("gateway.cli.limits:limits", "Show what is used of the limits, and who is stopped."),
    "inbound": ("gateway.cli.inbound:inbound", "Faxes received: list show redeliver."),
    "route": ("gateway.cli.route:route", "Who may send, where faxes go: list add remove test."),
    "alias": ("gateway.cli.alias:alias", "Short names for numbers: list add remove."),
    "user": ("gateway.cli.user:user", "Logins of the SMTP door: list add passwd remove."),
    "backup": ("gateway.cli.backup:backup", "Copy database, mails and faxes, also of a running gateway."),
    "restore": ("gateway.cli.backup:restore", "Put a backup in the place of what is there."),
    "sandbox": ("gateway.cli.sandbox:sandbox", "Run a server that behaves like Fax.to; nothing leaves this machine."),
    "provider": ("gateway.cli.provider:provider", "The account at the fax provider: balance cost numbers."),
}


def _version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        import sqlite3

        click.echo(f"faxgateway {__version__}")
        click.echo(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}")
        context.exit()


@click.group(
    cls=Root, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show versions.")
def cli() -> None:
    """One daemon between mail and fax.

    Mails to +15551234567@your.fax.domain become faxes, received faxes become mails.
    """
