"""``faxgateway provider``: the account at the fax provider."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli import output
from gateway.cli.base import Group, Session, json_option, pass_session
from gateway.cli.client import ask


@click.group(cls=Group)
def provider() -> None:
    """The account at the fax provider."""


@provider.command()
@json_option
@pass_session
def balance(session: Session, as_json: bool) -> None:
    """Show the account's balance."""
    _show(ask(session, "provider.balance", secrets=True), "balance", json=as_json)


@provider.command(short_help="Ask what a fax of an uploaded document costs.")
@click.argument("document", type=int)
@click.argument("number")
@json_option
@pass_session
def cost(session: Session, document: int, number: str, as_json: bool) -> None:
    """Ask what faxing an uploaded DOCUMENT (its id at the provider, see queue show --json) to NUMBER costs."""
    _show(
        ask(session, "provider.cost", {"document_ref": document, "number": number}, secrets=True), "cost", json=as_json
    )


def _show(answer: dict[str, Any], name: str, *, json: bool) -> None:
    if json:
        output.as_json(answer)
    else:
        click.echo(output.clean(answer[name]))


@provider.command()
@json_option
@pass_session
def numbers(session: Session, as_json: bool) -> None:
    """List the numbers of the account that receive faxes."""
    found = ask(session, "provider.numbers", secrets=True)["numbers"]
    rows = [each if isinstance(each, dict) else {"number": each} for each in found]
    titles = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, output.Cell] = {name.upper(): name for name in titles}
    output.listing(rows, columns, json=as_json, empty="No numbers.")
