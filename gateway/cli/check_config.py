"""``faxgateway check-config``: every problem of the configuration at once."""

from __future__ import annotations

import json
import time

import click

from gateway.cli import output
from gateway.cli.base import Command, Session, pass_session


@click.command(cls=Command)
@click.option("--show", is_flag=True, help="Print all options in force as YAML, secrets masked.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of the file, for editors; reads no configuration.")
@pass_session
def check_config(session: Session, show: bool, schema: bool) -> None:
    """Check the configuration, and tell every problem at once with its line and remedy.

    The status is 78 when the gateway could not start with it.
    """
    from gateway import settings
    from gateway.config import find, json_schema

    if schema:
        click.echo(json.dumps(json_schema(), indent=2))
        return
    path = find(session.config_path)
    config = session.config()
    settings.check_document(config.document)
    if show:
        import yaml

        click.echo(yaml.safe_dump(_plain(config.masked()), sort_keys=False, allow_unicode=True), nl=False)
    warnings = (*config.warnings, *settings.office_warnings(config.document), *config.expiring(time.time()))
    for warning in warnings:
        output.say(f"warning: {warning}")
    count = f", with {output.plural(len(warnings), 'warning')}" if warnings else ""
    output.say(f"{path} is good{count}.")


def _plain(value: object) -> object:
    """Tuples as lists, which YAML knows."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
