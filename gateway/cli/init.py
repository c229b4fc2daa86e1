"""``faxgateway init``: a first configuration with its secrets, checked before it is left behind."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import secrets
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.cli import output
from gateway.cli.base import EX_CANTCREAT, Command, Failed, Session, pass_session

_SYSTEM = Path("/etc/faxgateway/config.yaml")
_USER = "faxgateway"  # the service's user, where there is one
_ELSEWHERE = "nothing was changed; name a file in another directory with -c"
_KEY, _TOKEN = "faxto_api_key", "callback_token"  # names of credentials, as in the systemd unit


@click.command(cls=Command)
@click.option("--domain", help="Mail domain of the fax addresses.")
@click.option("--relay", metavar="HOST[:PORT]", help="Mail server that takes the results and received faxes.")
@click.option("--fallback", metavar="ADDRESS", help="Mailbox for notices and for received faxes without a route.")
@click.option("--sender", metavar="ADDRESS", help="From of the gateway's mails; else the fallback address.")
@click.option("--region", metavar="CC", help="Country of numbers without a +; also the one that may be faxed to.")
@click.option("--listen", metavar="HOST:PORT", help="Where mails come in.")
@click.option("--network", "networks", multiple=True, metavar="NETWORK", help="Clients that may send; repeatable.")
@click.option("--state-dir", metavar="DIR", help="Database and spool, on a local disk.")
@click.option("--api-key-stdin", is_flag=True, help="Read the Fax.to API key from standard input.")
@click.option("--systemd", is_flag=True, help="Keep the secrets as credentials of the systemd unit.")
@pass_session
def init(session: Session, /, api_key_stdin: bool, systemd: bool, **answers: Any) -> None:
    """Write a first configuration and its secrets, asking for what no option says.

    Writes to the file named by -c, else /etc/faxgateway/config.yaml for root, else ./config.yaml. Nothing that exists is
    overwritten, and nothing is left behind when the result is not good. Without a terminal the defaults are taken.
    """
    from gateway.config import kinds

    as_root = os.geteuid() == 0
    path = Path(session.config_path or (_SYSTEM if as_root else "config.yaml")).absolute()
    if path.exists():
        raise Failed(f"{path} exists; {_ELSEWHERE}", EX_CANTCREAT)
    key = sys.stdin.readline().strip() if api_key_stdin else ""
    if api_key_stdin and not key:
        raise click.UsageError("there is no API key on standard input")
    chosen = _Answers(answers, ask=_has_terminal() and not api_key_stdin)
    domain = chosen("domain", "Mail domain of the fax addresses", "fax.local", _is(kinds.Domain))
    relay = chosen("relay", "Your mail server", "localhost:25", lambda answer: _is(kinds.Host)(_place(answer)[0]))
    fallback = chosen(
        "fallback", "Mailbox for notices and faxes without a route", "admin@example.org", _is(kinds.MailAddress)
    )
    region = chosen("region", "Your country, two letters", "US", _is(kinds.Region)).upper()
    state = chosen("state_dir", "Directory for database and spool", str(_state_default(path)))
    if chosen.ask and not key:
        key = click.prompt(
            f"Fax.to API key (empty: {'later' if systemd else 'from $FAXTO_API_KEY'})", "",
            hide_input=True, show_default=False, err=True,
        )  # fmt: skip
    host, port = _place(relay)
    folder = path.parent / "credentials" if systemd else path.parent
    text = _text(
        domain=domain,
        state_dir=state,
        region=region,
        listener={
            "address": answers["listen"] or "127.0.0.1:2525",
            "networks": list(answers["networks"]) or ["127.0.0.0/8"],
        },
        token={"credential": _TOKEN} if systemd else {"file": _TOKEN},
        api_key={"credential": _KEY} if systemd else {"file": _KEY} if key else {"env": "FAXTO_API_KEY"},
        relay={"host": host, "port": port},
        sender=f"Fax gateway <{answers['sender'] or fallback}>",
        fallback=fallback,
    )
    made = _Made(for_service=as_root, root_only=systemd)
    try:
        made.directory(path.parent)
        made.directory(folder)
        made.secret(folder / _TOKEN, secrets.token_urlsafe(32))
        if key:
            made.secret(folder / _KEY, key)
        made.config(path, text)
        Session(str(path)).config(secrets=bool(key))
    except BaseException:
        made.undo()
        raise
    click.echo(path)
    lacks = "" if key else str(folder / _KEY) if systemd else "FAXTO_API_KEY"
    _next_steps(path, folder / _TOKEN, lacks=lacks, systemd=systemd)


def _place(relay: str) -> tuple[str, int]:
    """Host and port of ``HOST[:PORT]``; an address of IPv6 has its port behind brackets."""
    host, colon, port = relay.rpartition(":")
    has_port = colon and port.isdecimal() and (":" not in host or host.endswith("]"))
    return (host, int(port)) if has_port else (relay, 25)


def _has_terminal() -> bool:
    return sys.stdin.isatty()


class _Answers:
    """What options say, else what a person at the terminal answers, else the default."""

    def __init__(self, given: dict[str, Any], *, ask: bool) -> None:
        self._given = given
        self.ask = ask

    def __call__(
        self, name: str, question: str, default: str, check: Callable[[str], object] = lambda _answer: None
    ) -> str:
        """``check`` raises UsageError for an answer that is none: it is asked for again."""

        def checked(answer: str) -> str:
            check(answer)
            return answer

        if self._given[name] is not None:
            return str(self._given[name])
        return str(click.prompt(question, default, err=True, value_proc=checked)) if self.ask else default


def _is(kind: Any) -> Callable[[str], object]:
    """The check of an answer that is to be of a kind of the configuration's."""
    from pydantic import TypeAdapter, ValidationError

    def check(answer: str) -> None:
        try:
            TypeAdapter(kind).validate_python(answer)
        except ValidationError as error:
            raise click.UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None

    return check


class _Made:
    """Files and directories made, private from the first moment, and taken back when something fails.

    Made by root for the service's user, the configuration can be read by the service, secrets by it alone, or with
    ``root_only`` by nobody but root, who hands them on.
    """

    def __init__(self, *, for_service: bool, root_only: bool) -> None:
        self._made: list[Path] = []
        self._root_only = root_only
        self._user = self._group = -1
        if for_service:
            with contextlib.suppress(KeyError):
                self._user, self._group = pwd.getpwnam(_USER).pw_uid, grp.getgrnam(_USER).gr_gid

    def directory(self, path: Path) -> None:
        if not path.exists():
            path.mkdir(mode=0o700, parents=True)
            self._made.append(path)
            if self._group != -1 and not (self._root_only and path.name == "credentials"):
                os.chown(path, -1, self._group)
                path.chmod(0o750)

    def secret(self, path: Path, value: str) -> None:
        self._write(path, f"{value}\n")
        if self._user != -1 and not self._root_only:
            os.chown(path, self._user, self._group)

    def config(self, path: Path, text: str) -> None:
        self._write(path, text)
        if self._group != -1:
            os.chown(path, -1, self._group)
            path.chmod(0o640)

    def _write(self, path: Path, text: str) -> None:
        """Raises Failed when the file exists; an empty one, made as a place for a secret, is filled."""
        if path.exists() and path.stat().st_size == 0:
            path.unlink()
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise Failed(f"{path} exists; {_ELSEWHERE}", EX_CANTCREAT) from None
        self._made.append(path)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)

    def undo(self) -> None:
        for path in reversed(self._made):
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)


def _state_default(path: Path) -> Path:
    return Path("/var/lib/faxgateway") if path == _SYSTEM else path.parent / "state"


def _text(**values: Any) -> str:
    """The file; values are written as JSON, which is YAML that needs no further quoting."""
    shown = {name: json.dumps(value) for name, value in values.items()}
    return f"""\
# faxgateway; all options and their defaults: config.example.yaml. Check changes with: faxgateway check-config

state_dir: {shown["state_dir"]}
domain: {shown["domain"]}
default_region: {shown["region"]}
smtp:
  listeners:
    - {shown["listener"]}
http:
  callbacks:
    address: 127.0.0.1:8025
    token: {shown["token"]}
provider:
  api_key: {shown["api_key"]}
mail:
  relay: {shown["relay"]}
  sender: {shown["sender"]}
  fallback: {shown["fallback"]}
policy:
  countries: [{shown["region"]}]   # all others are refused
"""


def _next_steps(path: Path, token: Path, *, lacks: str, systemd: bool) -> None:
    """``lacks``: the file or the variable in which the key is still to be put."""
    option = "" if path == _SYSTEM else f" -c {shlex.quote(str(path))}"
    steps = []
    if lacks:
        put = f"(umask 077; cat > {shlex.quote(lacks)})" if systemd else f"export {lacks}=..."
        steps.append(f"{put}   (the key of your Fax.to account)")
    steps += [
        f"faxgateway doctor{option}",
        "systemctl enable --now faxgateway" if systemd else f"faxgateway serve{option}",
        f"faxgateway route add did +12025550100 reception@example.org{option}   (where faxes to your number go)",
        f'At Fax.to, set the callback URL: https://YOUR.HOST/callback/$(cat "{token}")',
        "   where YOUR.HOST is a web server with TLS that passes /callback/ on to 127.0.0.1:8025 (docs/callbacks.md)",
    ]
    output.say("Next:\n" + "\n".join(f"  {step}" for step in steps))
