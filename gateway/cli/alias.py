"""``faxgateway alias``: short names for numbers."""

from __future__ import annotations

import click

from gateway.cli import output
from gateway.cli.base import Group, Session, json_option, pass_session
from gateway.cli.client import ask


@click.group(cls=Group)
def alias() -> None:
    """Short names for numbers: mail to reception@fax.local or 4711@fax.local goes to the number behind it.

    A name is for everybody or for some senders. The rules on numbers are those for the number behind it. Changes work at
    once.
    """


_scope = click.option(
    "--for",
    "scope",
    default="*",
    show_default=True,
    metavar="MATCH",
    help="Whom it is for: an address, @domain, user:NAME, cert:NAME, ip:NETWORK or *.",
)


@alias.command("list")
@json_option
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List all short names."""
    columns: dict[str, output.Cell] = {
        "NAME": "name", "NUMBER": "number", "FOR": "scope", "ADDRESSEE": "addressee", "NOTE": "note",
    }  # fmt: skip
    output.listing(ask(session, "alias.list")["aliases"], columns, json=as_json, empty="No short names.")


@alias.command(short_help="Add a short NAME for a NUMBER, or replace it.")
@click.argument("name")
@click.argument("number")
@_scope
@click.option("--name", "addressee", metavar="TEXT", default="", help="Who is behind it, for cover pages.")
@click.option("--note", metavar="TEXT", default="", help="For people.")
@json_option
@pass_session
def add(session: Session, name: str, number: str, scope: str, addressee: str, note: str, as_json: bool) -> None:
    """Add a short NAME for a NUMBER, or replace the one for the same senders.

    NAME has letters, digits and . - _; one of digits alone is shorter than any number. Of several with one name, that for
    the most exact sender counts, as with routes.
    """
    asked = {"name": name, "number": number, "scope": scope, "addressee": addressee, "note": note}
    aliases = ask(session, "alias.add", asked)["aliases"]
    if as_json:
        output.as_json(aliases)
        return
    for each in aliases:
        output.say(f"{each['name']} is {each['number']} for {_whom(each['scope'])}")


@alias.command()
@click.argument("name")
@_scope
@pass_session
def remove(session: Session, name: str, scope: str) -> None:
    """Remove a short name."""
    for each in ask(session, "alias.remove", {"name": name, "scope": scope})["removed"]:
        output.say(f"{each['name']} for {_whom(each['scope'])}: removed")


def _whom(scope: str) -> str:
    return "everybody" if scope == "*" else scope
