"""``faxgateway route``: where received faxes go, and who may send how."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli import output
from gateway.cli.base import EX_DATA, Group, Session, json_option, pass_session
from gateway.cli.client import ask
from gateway.model import Identity, RouteKind

_KINDS = click.Choice([kind.value for kind in RouteKind])


@click.group(cls=Group)
def route() -> None:
    """Where received faxes go, and who may send how.

    A did route names the mailboxes for a number of yours (or * for all others). A sender route says whether an address,
    @domain, user:NAME, cert:NAME, ip:NETWORK or * may send, how, and with which proof. Changes work at once.
    """


@route.command("list")
@json_option
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List all routes."""
    routes = ask(session, "route.list")["routes"]
    columns: dict[str, output.Cell] = {
        "KIND": "kind",
        "MATCH": "match",
        "DOES": _effect,
        "NOTE": "note",
    }
    output.listing(
        routes,
        columns,
        json=as_json,
        empty="No routes: received faxes go to the fallback mailbox, policy.senders decides.",
    )


def _effect(route: output.Row) -> str:
    """What a route does, in words."""
    if route["kind"] == RouteKind.DID:
        return f"to {', '.join(route['mailboxes'])}"
    words = [f"may send (identity: {route['identity']})" if route["allow"] else "may not send"]
    words += [f"station id {route['tsi']}"] if route["tsi"] else []
    words += [f"numbers as in {route['region']}"] if route["region"] else []
    words += [f"results to {route['results_to']}"] if route["results_to"] else []
    words += [f"{name}={value}" for name, value in route["options"].items()]
    words += ["may choose its station id"] if route["own_tsi"] else []
    words += ["the subject of a mail to subject@ is its number"] if route["number_in_subject"] else []
    words += [f"at most {' and '.join(route['caps'])}"] if route["caps"] else []
    words += [route["approval"]["text"]] if route["approval"]["text"] else []
    return ", ".join(words)


@route.command()
@click.argument("kind", type=_KINDS)
@click.argument("match")
@click.argument("mailboxes", nargs=-1, metavar="[MAILBOX]...")
@click.option("--mailbox", "more", multiple=True, metavar="ADDRESS", help="did: a mailbox for its faxes; repeatable.")
@click.option("--allow", is_flag=True, help="sender: it may send; the default.")
@click.option("--deny", is_flag=True, help="sender: it may not.")
@click.option("--tsi", metavar="TEXT", help="sender: station id on the faxes, at most 20 characters.")
@click.option("--region", metavar="CC", help="sender: country of numbers without a +.")
@click.option("--results-to", metavar="ADDRESS", help="sender: results go here instead of to the sender.")
@click.option(
    "--option", multiple=True, metavar="NAME=VALUE", help="sender: for faxes that do not say themselves; repeatable."
)
@click.option("--own-tsi", is_flag=True, help="sender: may choose the station id in the mail.")
@click.option(
    "--number-in-subject", is_flag=True, help="sender: a mail to subject@ goes to the number that is its subject."
)
@click.option(
    "--identity",
    type=click.Choice([each.value for each in Identity]),
    help="sender: the least proof of who sends; default network.",
)
@click.option("--cap", "caps", multiple=True, metavar="CAP", help="sender: such as day:money=5.00; repeatable.")
@click.option("--approve-new-country", is_flag=True, help="sender: hold the first fax to a country for approval.")
@click.option("--approve-pages", type=click.IntRange(1), metavar="N", help="sender: hold faxes of more pages.")
@click.option("--approve-price", metavar="AMOUNT", help="sender: hold faxes that cost more.")
@click.option("--approver", metavar="ADDRESS", help="sender: who is asked to approve, instead of the operator.")
@click.option("--note", metavar="TEXT", help="For people.")
@json_option
@pass_session
def add(
    session: Session,
    /,
    kind: str,
    match: str,
    mailboxes: tuple[str, ...],
    more: tuple[str, ...],
    allow: bool,
    deny: bool,
    option: tuple[str, ...],
    caps: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Add a route, or replace the one with the same kind and MATCH.

    MATCH of a did route is a number of yours, in any form people write it, or * for all others. MATCH of a sender route
    is an address, @domain, user:NAME, cert:NAME (of a client certificate), ip:NETWORK or *; the most exact route counts, in
    the order user or cert, address, network, domain, *.
    """
    if allow and deny:
        raise click.UsageError("--allow or --deny, not both")
    fields = {
        "kind": kind, "match": match, "mailboxes": [*mailboxes, *more], "allow": not deny, "option": [*option],
        "caps": [*caps], **options,
    }  # fmt: skip
    routes = ask(session, "route.add", {name: value for name, value in fields.items() if value is not None})["routes"]
    if as_json:
        output.as_json(routes)
        return
    for each in routes:
        output.say(f"{each['kind']} {each['match']}: {_effect(each)}")


@route.command()
@click.argument("kind", type=_KINDS)
@click.argument("match")
@pass_session
def remove(session: Session, kind: str, match: str) -> None:
    """Remove a route."""
    for each in ask(session, "route.remove", {"kind": kind, "match": match})["removed"]:
        output.say(f"{each['kind']} {each['match']}: removed")


@route.command(short_help="Tell what would happen to a fax, and why.")
@click.argument("address", required=False)
@click.option("--from", "sender", metavar="ADDRESS", help="As if this sender wrote.")
@click.option("--user", metavar="NAME", help="As if the client had logged in as this user.")
@click.option(
    "--client", metavar="IP", help="As if a client with this address, in the networks of its listener, wrote."
)
@click.option("--certificate", metavar="NAME", help="As if the client had a certificate with this name.")
@click.option("--signed", is_flag=True, help="As if a DKIM signature proved the address of --from.")
@click.option("--did", metavar="NUMBER", help="Where a fax received at this number would go, instead.")
@json_option
@pass_session
def test(
    session: Session,
    address: str | None,
    sender: str | None,
    user: str | None,
    client: str | None,
    certificate: str | None,
    signed: bool,
    did: str | None,
    as_json: bool,
) -> int:
    """Tell what would happen to a mail to ADDRESS (or to a bare number) and why, without sending anything.

    The status is 0 when it would be faxed, 65 when it would be refused.
    """
    if bool(address) == bool(did):
        raise click.UsageError("name an ADDRESS or --did NUMBER")
    wanted = {
        "address": address, "sender": sender, "user": user, "client": client, "certificate": certificate,
        "signed": signed or None, "did": did,
    }  # fmt: skip
    found = ask(session, "route.test", {name: value for name, value in wanted.items() if value is not None})
    if as_json:
        output.as_json(found)
    elif did is not None:
        output.details({"number": found["did"], "faxes go to": found["mailboxes"], "because": found["reason"]})
    else:
        rule = found.get("route")
        output.details(
            {
                "address": found["address"],
                "number": found.get("number"),
                "country": found.get("country"),
                "class": found.get("class"),
                "options": [f"{name}={value}" for name, value in found.get("options", {}).items()],
                "sender": found.get("sender"),
                "route": rule and f"{rule['match']}: {_effect(rule)}",
                "station id": found["station_id"],
                "results to": found["results_to"],
                "faxed": "yes" if found["allowed"] else "no",
                "because": found["reason"],
            }
        )
    return 0 if found.get("allowed", True) else EX_DATA
