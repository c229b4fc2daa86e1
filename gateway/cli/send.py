"""``faxgateway send``: hand a mail to the running daemon, and wait for what becomes of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import click

from gateway.cli import letter, output
from gateway.cli.base import EX_DATA, EX_TEMPORARY, EX_UNKNOWN, Command, Session, json_option, pass_session
from gateway.cli.client import AdminClient, NotRunning, warn
from gateway.model import JobState

_TRY_AGAIN = {"busy", "no_answer", "hangup", "unknown"}  # outcomes after which the same fax may arrive another time
_NO_RESULT = "no_result"  # the outcome of one that may have arrived: the provider took it and never told
_POLL = 1.0  # seconds
_ENDED = {state.value for state in JobState if state.terminal}


@click.command(cls=Command)
@click.option(
    "--to", "to", multiple=True, required=True, metavar="NUMBER", help="Fax number or fax address; repeatable."
)
@click.option("--from", "sender", metavar="ADDRESS", help="Sender, who gets the results; else $EMAIL or mail.fallback.")
@click.option("--subject", metavar="TEXT", default="", help="Subject of the result; else the names of the files.")
@click.option(
    "--text", metavar="TEXT", default="", help="Text to fax before the files; - reads it from standard input."
)
@click.option("--wait", is_flag=True, help="Wait for the results, and tell them by the status.")
@click.option(
    "--timeout", type=click.FloatRange(0, min_open=True), metavar="SECONDS", help="With --wait: no longer than this."
)
@json_option
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@pass_session
def send(
    session: Session,
    /,
    to: tuple[str, ...],
    sender: str | None,
    subject: str,
    text: str,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    files: tuple[Path, ...],
) -> int:
    """Fax FILES, a text, or both, through the running gateway.

    Prints the id of the mail. With --wait the status is 0 when every fax was delivered; 75 when one failed in a way that
    sending again may mend; 65 when one failed for good or was cancelled; 76 when the outcome of one is not known (yet),
    or a person closed that doubt: do not send that again.
    """
    if timeout is not None and not wait:
        raise click.UsageError("--timeout goes with --wait")
    config, wrong = session.place()
    sender = sender or os.environ.get("EMAIL") or ""
    if wrong is not None:
        if not sender:  # mail.fallback is not known
            raise wrong
        warn(wrong)
    sender = sender or config.mail.fallback
    mail = letter.make(files, to=to, sender=sender, subject=subject, text=text, domain=config.domains[0])

    async def run() -> int:
        async with AdminClient(config.admin_socket) as client:
            accepted = await client.send(mail, list(to), sender)
            if not wait:
                _print(accepted, json=as_json)
                return 0
            output.say(f"{accepted['submission']}: accepted, {output.plural(len(accepted['jobs']), 'fax')}")
            try:
                async with asyncio.timeout(timeout):
                    jobs = await _follow(client, accepted["submission"])
            except TimeoutError:
                jobs = (await client("queue.show", {"id": accepted["submission"]}))["jobs"]
                if EX_UNKNOWN in map(_status, jobs):
                    look = f"faxgateway queue show {accepted['submission']}"
                    output.say(f"Still under way; do not send it again, look with: {look}")
        _print({**accepted, "results": jobs}, json=as_json)
        return max(map(_status, jobs), key=[0, EX_TEMPORARY, EX_DATA, EX_UNKNOWN].index)

    try:
        return asyncio.run(run())
    except NotRunning as error:
        raise wrong or error from None


async def _follow(client: AdminClient, submission: str) -> list[dict[str, Any]]:
    """Tell every change of state until all faxes have ended or are held."""
    told: dict[str, str] = {}
    while True:
        jobs: list[dict[str, Any]] = (await client("queue.show", {"id": submission}))["jobs"]
        for job in jobs:
            news = _news(job)
            if told.get(job["id"]) != news:
                told[job["id"]] = news
                output.say(f"{job['id']} {job['to']}: {news}")
        if all(job["state"] in _ENDED or job.get("hold") for job in jobs):
            return jobs
        await asyncio.sleep(_POLL)


def _news(job: dict[str, Any]) -> str:
    pages = f", {output.plural(job['pages'], 'page')}" if job.get("pages") and job["state"] == "prepared" else ""
    why = job.get("hold") or job.get("last_error")
    return f"{'held in state ' if job.get('hold') else ''}{job['state']}{pages}{f': {why}' if why else ''}"


def _print(accepted: dict[str, Any], *, json: bool) -> None:
    if json:
        output.as_json(accepted)
    else:
        click.echo(output.clean(accepted["submission"]))


def _status(job: dict[str, Any]) -> int:
    if job["state"] == JobState.DELIVERED:
        return 0
    if job["state"] not in _ENDED or job.get("outcome") == _NO_RESULT:
        return EX_UNKNOWN
    return EX_TEMPORARY if job.get("outcome") in _TRY_AGAIN else EX_DATA
