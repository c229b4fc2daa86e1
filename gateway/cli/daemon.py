"""``faxgateway status`` and ``faxgateway reload``: a word with the running daemon."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli import output
from gateway.cli.base import Command, Session, json_option, pass_session
from gateway.cli.client import ask_daemon


@click.command(cls=Command)
@json_option
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Show how the running gateway is. The status is 69 when none runs."""
    found = ask_daemon(session, "status")
    if as_json:
        output.as_json(found)
    else:
        output.details(_facts(found))


def _facts(found: dict[str, Any]) -> dict[str, Any]:
    counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items() if count)
    dead, pending = found.get("dead_mails"), found.get("received_pending")
    provider = found.get("provider") or {}
    reconcile = found.get("reconcile") or {}
    return {
        "version": found["version"],
        "process": found["pid"],
        "since": output.moment(found["started_at"]),
        "listens on": found.get("listeners"),
        "callbacks at": found.get("callbacks"),
        "provider": ": ".join(filter(None, (provider.get("state"), provider.get("text")))),
        "disk": found.get("disk"),
        "sending": [f"nothing yet: {reconcile['why']}", *filter(None, [reconcile.get("trouble")])] if reconcile else "",
        "faxes": counts or "none under way",
        "held": found["held"] and f"{found['held']} (faxgateway queue list --held)",
        "divided": f"{found['divided']} wait for parts (faxgateway queue divided)" if found["divided"] else "",
        "received": f"{pending} waiting for the document (faxgateway inbound list)" if pending else "",
        "mails": f"{found['outbox']} waiting{f', {dead} given up (received faxes: faxgateway inbound list)' if dead else ''}",
    }


@click.command(cls=Command)
@json_option
@pass_session
def reload(session: Session, as_json: bool) -> None:
    """Take up new certificates and try again at once what is waiting. Options need a restart, routes nothing."""
    session.config(secrets=False)  # tells what is wrong with a certificate, in more words than the daemon
    found = ask_daemon(session, "reload")
    if as_json:
        output.as_json(found)
    else:
        changed = ", ".join(map(str, found.get("changed") or ()))
        output.say(f"Reloaded{f': {changed}' if changed else ''}. Options need a restart.")
