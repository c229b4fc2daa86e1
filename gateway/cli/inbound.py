"""``faxgateway inbound``: the faxes received."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli import output
from gateway.cli.base import EX_DATA, Group, Session, json_option, pass_session
from gateway.cli.client import ask


@click.group(cls=Group)
def inbound() -> None:
    """Faxes received."""


@inbound.command("list")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many.")
@json_option
@pass_session
def list_(session: Session, limit: int, as_json: bool) -> None:
    """List received faxes, the newest first."""
    faxes = ask(session, "inbound.list", {"limit": limit})["faxes"]
    columns: dict[str, output.Cell] = {
        "ID": "id",
        "STATE": "state",
        "RECEIVED": lambda fax: output.moment(fax["received_at"]),
        "FROM": "from",
        "TO": "to",
        "PAGES": "pages",
        "MAILS": lambda fax: ", ".join(f"{mail['to']} {mail['state']}" for mail in fax["mails"]),
        "LAST ERROR": "last_error",
    }
    output.listing(faxes, columns, json=as_json, empty="No received faxes.")


@inbound.command()
@click.argument("fax", metavar="ID")
@json_option
@pass_session
def show(session: Session, fax: str, as_json: bool) -> None:
    """Show all that is known of a received fax."""
    faxes = ask(session, "inbound.show", {"id": fax})["faxes"]
    if as_json:
        output.as_json(faxes)
        return
    for each in faxes:
        output.details(_facts(each))


def _facts(fax: dict[str, Any]) -> dict[str, Any]:
    claims = fax.get("claims", {})
    return {
        "fax": fax["id"],
        "state": fax["state"],
        "received": output.moment(fax["received_at"]),
        "from": fax["from"],
        "to": fax["to"],
        "pages": fax["pages"],
        "file": f"{fax['file_type']}, {fax['size']:,} bytes" if fax.get("file_type") else "",
        "sha256": fax.get("sha256"),
        "sender's machine": claims.get("rsid"),
        "time of the call": claims.get("time"),
        "duration": claims.get("duration"),
        "speed": claims.get("speed"),
        "last error": fax.get("last_error"),
        "mails": [f"{mail['to']}: {mail['state']} {mail.get('last_error') or ''}".rstrip() for mail in fax["mails"]],
    }


@inbound.command(short_help="Mail received faxes again.")
@click.argument("ids", nargs=-1, required=True)
@click.option("--to", metavar="ADDRESS", help="Mail them here instead.")
@json_option
@pass_session
def redeliver(session: Session, ids: tuple[str, ...], to: str | None, as_json: bool) -> int:
    """Mail received faxes again, to the mailboxes that the routes of their numbers name now."""
    faxes = ask(session, "inbound.redeliver", {"ids": list(ids), **({"to": to} if to else {})})["faxes"]
    if as_json:
        output.as_json(faxes)
    else:
        for fax in faxes:
            output.say(f"{fax['id']}: {fax['why'] or output.plural(fax['mails'], 'mail') + ' queued'}")
    return EX_DATA if any(fax["why"] for fax in faxes) else 0
