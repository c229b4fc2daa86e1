"""``faxgateway queue``: the faxes going out."""

from __future__ import annotations

import sys
from typing import Any

import click

from gateway.cli import output
from gateway.cli.base import EX_DATA, Group, Session, json_option, pass_session
from gateway.cli.client import ask
from gateway.model import JobState

_STATES = [state.value for state in JobState]
# in JSON, with last_error
_LISTED = ("id", "submission", "state", "to", "from", "pages", "created_at", "reference", "send_at")


@click.group(cls=Group)
def queue() -> None:
    """Faxes going out.

    IDS are ids of faxes or of mails (as told in the 250); a mail's id stands for all its faxes. ALL, in capitals, is
    every fax that has not ended; - reads ids from standard input, one a line.
    """


@queue.command("list")
@click.option("--state", type=click.Choice(_STATES), help="Only faxes in this state.")
@click.option("--to", metavar="NUMBER", help="Only faxes to this number (+15551234567).")
@click.option("--sender", metavar="WHO", help="Only faxes of user:NAME, ip:ADDRESS or an envelope sender.")
@click.option("--message-id", metavar="ID", help="Only faxes of the mail with this Message-ID.")
@click.option("--held", is_flag=True, help="Only faxes held for a person.")
@click.option("--open", "only_open", is_flag=True, help="Only faxes that have not ended.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True, help="At most so many.")
@json_option
@pass_session
def list_(session: Session, /, only_open: bool, as_json: bool, **wanted: Any) -> None:
    """List faxes, the newest first.

    As JSON each has id, submission (the id told in the 250), state, to, from, pages, created_at, reference and send_at (the
    sender's own), and last_error, which for a held fax says why it is held.
    """
    wanted["open"] = only_open
    jobs = ask(session, "queue.list", {name: value for name, value in wanted.items() if value})["jobs"]
    if as_json:
        output.as_json([{**{name: job[name] for name in _LISTED}, "last_error": _trouble(job)} for job in jobs])
        return
    columns: dict[str, output.Cell] = {
        "ID": "id",
        "STATE": _state,
        "CREATED": lambda job: output.moment(job["created_at"]),
        "FROM": "from",
        "TO": "to",
        "PAGES": "pages",
        "LAST ERROR": _trouble,
    }
    output.listing(jobs, columns, json=False, empty="No faxes.")


def _state(job: output.Row) -> str:
    if job.get("hold"):
        return f"{job['state']} (held)"
    waits = job["state"] in ("accepted", "prepared") and job.get("send_at")
    return f"{job['state']} (not before {output.moment(job['send_at'])})" if waits else str(job["state"])


def _trouble(job: output.Row) -> str:
    return str(job["hold"] or job["last_error"])


@queue.command(short_help="List mails that came in parts and wait for the others.")
@json_option
@pass_session
def divided(session: Session, as_json: bool) -> None:
    """List mails that came in several parts, and wait for the others, the longest waiting first.

    As JSON each has id, from, to, subject, parts (the numbers of those that are here), total (null while none has told),
    missing, size, waits_from, and given_up_at, when its sender is told that it was not faxed.
    """
    mails = ask(session, "queue.divided", {})["mails"]
    columns: dict[str, output.Cell] = {
        "ID": "id",
        "WAITS FROM": lambda mail: output.moment(mail["waits_from"]),
        "UNTIL": lambda mail: output.moment(mail["given_up_at"]),
        "FROM": "from",
        "TO": lambda mail: ", ".join(mail["to"]),
        "MISSING": "missing",
    }
    output.listing(mails, columns, json=as_json, empty="No mails wait for parts.")


@queue.command()
@click.argument("job", metavar="ID")
@json_option
@pass_session
def show(session: Session, job: str, as_json: bool) -> None:
    """Show all that is known of one fax, or of all faxes of one mail."""
    jobs = ask(session, "queue.show", {"id": job})["jobs"]
    if as_json:
        output.as_json(jobs)
        return
    for number, each in enumerate(jobs):
        if number:
            click.echo()
        output.details(_facts(each))


def _facts(job: dict[str, Any]) -> dict[str, Any]:
    document = job.get("document") or {}
    receipts = [f"{output.moment(r['at'])}  {r['code']}: {r['text']}" for r in job.get("receipts", ())]
    tries = [
        f"{output.moment(a['started_at'])}  {a['outcome'] or 'under way'} {a['detail']}".rstrip()
        for a in job.get("attempts_made", ())
    ]
    mails = [
        f'"{mail["kind"]}" to {mail["to"]}: {mail["state"]}{_after(mail)} {mail["last_error"]}'.rstrip()
        for mail in job.get("mails", ())
    ]
    return {
        "fax": job["id"],
        "mail": f"{job['submission']} from {job['from']}",
        "subject": job.get("subject"),
        "message id": job.get("message_id"),
        "to": f"{job['to']} (mail to {job.get('rcpt', job['to'])})",
        "options": [f"{name}: {value}" for name, value in job.get("options", {}).items()],
        "client": job.get("client"),
        "state": job["state"],
        "held": job.get("hold"),
        "outcome": job.get("outcome"),
        "last error": job.get("last_error"),
        "not before": output.moment(job.get("send_at")),
        "next step": output.moment(job.get("next_at")),
        "pages": document
        and f"{document['pages']} ({document['size']:,} bytes, about {document['seconds']:.0f} s on the line)",
        "weights": " + ".join(f"{page['seconds']:.0f}" for page in document.get("sheets", ())) + " s, page by page"
        if document.get("sheets")
        else None,
        "warnings": [
            f"page {n} {text}" for n, page in enumerate(document.get("sheets", ()), 1) for text in page["warnings"]
        ],
        "parts": job.get("ledger"),
        "cost": job.get("cost"),
        "provider": job.get("provider_ref") and f"fax {job['provider_ref']}",
        "sends": tries,
        "receipts": receipts,
        "mails": mails,
        "history": [_event(event) for event in job.get("events", ())],
    }


def _after(mail: dict[str, Any]) -> str:
    return f" after {mail['tries']} tries" if mail["tries"] > 1 else ""


def _event(event: dict[str, Any]) -> str:
    step = event["to"] if event.get("from") in (None, "", event["to"]) else f"{event['from']} -> {event['to']}"
    return f"{output.moment(event['at'])}  {step}{': ' + event['what'] if event.get('what') else ''}"


_ids = click.argument("ids", nargs=-1, required=True)


@queue.command()
@_ids
@click.option("--reason", metavar="TEXT", help="Why; shown in the list.")
@json_option
@pass_session
def hold(session: Session, ids: tuple[str, ...], reason: str | None, as_json: bool) -> int:
    """Hold faxes: they stay as they are until released."""
    return _change(session, "hold", _read(ids), {"reason": reason} if reason else {}, json=as_json)


_ids_or_sender = click.argument("ids", nargs=-1)
_sender = click.option(
    "--sender", metavar="WHO", help="The held faxes of user:NAME, ip:ADDRESS or an envelope sender, instead of IDS."
)


@queue.command(short_help="Let held faxes go on; this approves them, too.")
@_ids_or_sender
@_sender
@json_option
@pass_session
def release(session: Session, ids: tuple[str, ...], sender: str | None, as_json: bool) -> int:
    """Let held faxes go on where they were; one that needs approval is approved by this, where its id is named.

    With --sender a sender who was stopped for unusual use may send again.
    """
    return _change(session, "release", _named(ids, sender), {"sender": sender} if sender else {}, json=as_json)


@queue.command()
@_ids
@click.option(
    "--resend", is_flag=True, help="Send again even a fax that is held in doubt: it may then be faxed a second time."
)
@json_option
@pass_session
def retry(session: Session, ids: tuple[str, ...], resend: bool, as_json: bool) -> int:
    """Take the next step of waiting faxes now.

    Those that are held, or wanted later, only where they are named. A fax that is held because its
    outcome is unknown may have been sent: with --resend it is sent again.
    """
    return _change(session, "retry", _read(ids), {"resend": resend}, json=as_json)


@queue.command(short_help="End faxes that the provider does not have yet.")
@_ids_or_sender
@_sender
@click.option("--silent", is_flag=True, help="Do not tell the sender.")
@json_option
@pass_session
def cancel(session: Session, ids: tuple[str, ...], sender: str | None, silent: bool, as_json: bool) -> int:
    """End faxes that the provider does not have yet, and held ones in doubt, and tell their senders.

    With --sender all held faxes of that sender; one who was stopped stays so until he is released.
    """
    more = {"silent": silent, **({"sender": sender} if sender else {})}
    return _change(session, "cancel", _named(ids, sender), more, json=as_json)


def _named(ids: tuple[str, ...], sender: str | None) -> list[str]:
    """The ids named, or none with a sender. Raises UsageError for both or neither."""
    if bool(ids) == bool(sender):
        raise click.UsageError("name faxes by their ids, or --sender WHO")
    return _read(ids) if ids else []


def _read(ids: tuple[str, ...]) -> list[str]:
    """The ids named, those of standard input for a ``-``, each once. Raises UsageError."""
    named: list[str] = []
    for each in ids:
        named += sys.stdin.read().split() if each == "-" else [each]
    if any(each.upper() == "ALL" for each in named):
        if named != ["ALL"]:
            raise click.UsageError("ALL stands alone and in capitals")
    elif not named:
        raise click.UsageError("no ids on standard input")
    return list(dict.fromkeys(named))


def _change(session: Session, verb: str, ids: list[str], more: dict[str, Any], *, json: bool) -> int:
    """Do it to all of them; the status says whether it was done to every one."""
    done = ask(session, f"queue.{verb}", {"ids": ids, **more})
    changed, unchanged = done.get("changed", []), done.get("unchanged", [])
    if json:
        output.as_json([{"id": each, "changed": True, "why": ""} for each in changed]
                       + [{"id": each["id"], "changed": False, "why": each["why"]} for each in unchanged])  # fmt: skip
    else:
        for each in changed:
            click.echo(output.clean(each))
        for each in unchanged:
            output.say(f"{each['id']}: {each['why']}")
        for each in done.get("lifted", []):
            output.say(f"{each} may send again.")
        if not changed and not unchanged and not done.get("lifted"):
            output.say(f"No faxes of {more['sender']} are held." if more.get("sender") else "No faxes.")
    return EX_DATA if unchanged else 0
