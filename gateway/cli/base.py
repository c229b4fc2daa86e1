"""What every command has: the options -c and --debug, one way to fail, exit statuses.

Nothing heavy is imported here, so that ``--help`` is there at once.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib
import os
import sys
import traceback
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.errors import ConfigError

# sysexits.h
EX_USAGE, EX_DATA, EX_UNAVAILABLE, EX_SOFTWARE, EX_CANTCREAT, EX_IO = 64, 65, 69, 70, 73, 74
EX_TEMPORARY, EX_UNKNOWN, EX_PERMISSION, EX_CONFIG = 75, 76, 77, 78
_INTERRUPTED = 130


class ReaderGone(Exception):
    """Whoever read our output has had enough."""


class Failed(Exception):
    """The command ends here: a sentence for the person at the keyboard, and the exit status."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass
class Session:
    """What the common options say; the object of every click context."""

    config_path: str | None = None
    debug: bool = False

    def config(self, *, secrets: bool = True) -> Config:
        """Find and read the configuration. Raises ConfigError.

        ``{credential: NAME}`` is read from $CREDENTIALS_DIRECTORY or, outside of systemd, from the directory
        ``credentials`` beside the configuration, where the unit takes them from.
        """
        from gateway.config import find, load

        path = find(self.config_path)
        beside = path.absolute().parent / "credentials"
        environ: Mapping[str, str] = os.environ
        if beside.is_dir():
            environ = ChainMap(dict(os.environ), {"CREDENTIALS_DIRECTORY": str(beside)})
        return load(path, environ, secrets=secrets)

    def place(self) -> tuple[Config, ConfigError | None]:
        """Where the state and the daemon are: ``state_dir`` and ``admin_socket`` of the configuration.

        Somebody may have written into it what is wrong while the daemon runs on with what it has read: then no more than
        these two can be believed, and the error is the second. Raises it where not even they are told.
        """
        from gateway.config import find, load_place
        from gateway.errors import ConfigError

        try:
            return self.config(secrets=False), None
        except ConfigError as error:
            found = load_place(find(self.config_path))
            if found is None:
                raise
            return found, error


pass_session = click.make_pass_decorator(Session, ensure=True)


def _set_config(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Session).config_path = value


def _set_debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Session).debug = True


def _common(*, config: bool) -> list[click.Parameter]:
    debug = click.Option(
        ["--debug"], is_flag=True, expose_value=False, callback=_set_debug, help="Show tracebacks of errors."
    )
    if not config:
        return [debug]
    path = click.Option(
        ["-c", "--config"],
        metavar="FILE",
        expose_value=False,
        callback=_set_config,
        help="Configuration file; else $FAXGATEWAY_CONFIG, ./config.yaml, ~/.config/faxgateway/config.yaml or"
        " /etc/faxgateway/config.yaml.",
    )
    return [path, debug]


class Command(click.Command):
    """A command with the common options; ``configured=False`` for one that reads no configuration."""

    def __init__(self, *args: Any, configured: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common(config=configured)


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _common(config=True)

    def list_commands(self, _context: click.Context) -> list[str]:
        """In the order in which they are written, not of the alphabet."""
        return list(self.commands)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(context, args)
        except click.UsageError as error:
            meant = difflib.get_close_matches(args[0], self.list_commands(context), 1)
            hint = f"; did you mean {meant[0]}?" if meant else ""
            raise click.UsageError(f"there is no command {args[0]}{hint}", context) from error


# for listings
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


class Root(Group):
    """The program: its commands live in modules of their own, imported when used; errors end in words and a status.

    ``lazy`` maps a command's name to its place (``MODULE:ATTRIBUTE``) and its one line in the overview.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy = lazy

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in self.lazy:
            return None
        module, _, attribute = self.lazy[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.lazy.items()])

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line, which prints ``--help`` and ``--version``."""
        with _own_end_at_a_broken_pipe():
            return super().make_context(*args, **kwargs)

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        with _own_end_at_a_broken_pipe():
            result = super().invoke(context)
            sys.stdout.flush()
        return result

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run; in standalone mode the process ends with a status of sysexits.h and never with a traceback."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        session = Session()
        _open_streams()
        try:
            status = super().main(args, prog_name, complete_var, standalone_mode=False, obj=session, **extra)
        except Exception as error:  # noqa: BLE001  # an edge: every error ends in words and a status
            if session.debug and not isinstance(error, click.ClickException | click.Abort | ReaderGone):
                traceback.print_exception(error)
            status = _explain(error)
        sys.exit(status if isinstance(status, int) else 0)


@contextlib.contextmanager
def _own_end_at_a_broken_pipe() -> Iterator[None]:
    """Click's has no status of sysexits.h."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGone from error


def _open_streams() -> None:
    """Where we were started with a stream closed (``>&-``), no file of ours may take its place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # standard error
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _explain(error: Exception) -> int:
    """Say in words what went wrong; returns the exit status."""
    from gateway.errors import ConfigError, GatewayError

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return EX_USAGE
    if isinstance(error, click.Abort):
        click.echo("Aborted.", err=True)
        return _INTERRUPTED
    if isinstance(error, click.ClickException):
        error.show()
        return EX_USAGE if isinstance(error, click.UsageError) else EX_DATA
    if isinstance(error, ReaderGone):
        _forget_output()
        return EX_IO
    if isinstance(error, ConfigError):
        for problem in error.problems:
            click.echo(problem, err=True)
        if error.problems != (error.public,):
            click.echo(error.public, err=True)
        return EX_CONFIG
    sentence, status = str(error), EX_SOFTWARE
    if isinstance(error, Failed):
        status = error.status
    elif isinstance(error, GatewayError):
        sentence, status = error.public, _status(error)
    elif isinstance(error, OSError):
        sentence = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)
        status = EX_PERMISSION if isinstance(error, PermissionError) else EX_IO
        if error.errno == errno.ENOSPC:
            _forget_output()
    else:
        sentence = f"{type(error).__name__}: {error} (this should not happen; --debug shows where it did)"
    click.echo(f"faxgateway: {sentence}", err=True)
    return status


def _forget_output() -> None:
    """What could not be written must not be tried again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _status(error: Exception) -> int:
    from gateway.errors import KeyRefused, OutcomeUnknown, Refused, TryLater

    statuses = {KeyRefused: EX_PERMISSION, TryLater: EX_TEMPORARY, Refused: EX_DATA, OutcomeUnknown: EX_UNKNOWN}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), EX_SOFTWARE)
