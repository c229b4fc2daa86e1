"""``faxgateway limits``: how much may still be sent, and who is stopped."""

from __future__ import annotations

import shlex

import click

from gateway.cli import output
from gateway.cli.base import Command, Session, json_option, pass_session
from gateway.cli.client import ask


@click.command(cls=Command, short_help="Show what is used of the limits, and who is stopped.")
@json_option
@pass_session
def limits(session: Session, as_json: bool) -> None:
    """Show what is used of each limit on sending, and whose faxes are held for unusual use.

    Limits are those of policy.caps and of sender routes (route add --cap). Who has sent nothing is not shown.
    """
    found = ask(session, "limits.show")
    if as_json:
        output.as_json(found)
        return
    columns: dict[str, output.Cell] = {"OF": "of", "WHO": "who", "LIMIT": "cap", "USED": "used", "LEFT": "left"}
    output.listing(
        found["caps"], columns, json=False, empty="No limit is set, or nothing that counts for one was sent."
    )
    for each in found["stopped"]:
        output.say(f"Held since {output.moment(each['since'])}: {each['who']}; {each['why']}.")
        output.say(f"  To let it go: faxgateway queue release --sender {shlex.quote(each['who'])}")
