"""``faxgateway user``: the logins of the SMTP door."""

from __future__ import annotations

import sys

import click

from gateway.cli import output
from gateway.cli.base import Group, Session, json_option, pass_session
from gateway.cli.client import ask


@click.group(cls=Group)
def user() -> None:
    """Logins of the SMTP door, for listeners with auth: optional or required.

    A password is asked for, or read from standard input; it never stands on the command line.
    """


_from_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input, up to the end of the line."
)


def _password(name: str, *, from_stdin: bool) -> str:
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        try:
            password.encode()
        except UnicodeEncodeError:
            raise click.UsageError("the password on standard input is no text in UTF-8") from None
        return password
    if not _has_terminal():
        raise click.UsageError("there is no terminal to ask for the password; use --password-stdin")
    return str(click.prompt(f"Password for {name}", hide_input=True, confirmation_prompt=True, err=True))


def _has_terminal() -> bool:
    return sys.stdin.isatty()


@user.command("list")
@json_option
@pass_session
def list_(session: Session, as_json: bool) -> None:
    """List the logins."""
    users = ask(session, "user.list")["users"]
    columns: dict[str, output.Cell] = {
        "NAME": "name",
        "CREATED": lambda each: output.moment(each["created_at"]),
    }
    output.listing(users, columns, json=as_json, empty="No logins.")


@user.command()
@click.argument("name")
@_from_stdin
@pass_session
def add(session: Session, name: str, password_stdin: bool) -> None:
    """Add a login."""
    ask(session, "user.add", {"name": name, "password": _password(name, from_stdin=password_stdin)})
    output.say(f"{name} may log in.")


@user.command()
@click.argument("name")
@_from_stdin
@pass_session
def passwd(session: Session, name: str, password_stdin: bool) -> None:
    """Change a login's password."""
    ask(session, "user.passwd", {"name": name, "password": _password(name, from_stdin=password_stdin)})
    output.say(f"{name} has a new password.")


@user.command()
@click.argument("name")
@pass_session
def remove(session: Session, name: str) -> None:
    """Remove a login."""
    ask(session, "user.remove", {"name": name})
    output.say(f"{name} is removed.")
