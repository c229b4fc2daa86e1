"""From a file to a :class:`Config`: find it, read it, and tell every problem at once with line, column and remedy."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.options import Config
from gateway.config.schema import all_options, section_of
from gateway.config.secrets import Surroundings
from gateway.config.sections import Section
from gateway.config.yamltree import Mark, Place, Tree, parse
from gateway.errors import ConfigError

SEARCHED = ("./config.yaml", "~/.config/faxgateway/config.yaml", "/etc/faxgateway/config.yaml")
_VARIABLE = "FAXGATEWAY_CONFIG"
_MOST = 60  # letters of a value that are shown: it may be a whole file of another kind
_EXPECTED = {  # pydantic's error types whose own words are not for administrators
    "model_type": "must be a section: lines of NAME: VALUE below it",
    "model_attributes_type": "must be a section: lines of NAME: VALUE below it",
    "tuple_type": "must be a list: [ONE, TWO], or a line - ONE for each below it",
    "string_type": "must be a text",
    "string_too_short": "must be a text of one letter or more",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number, and not one so long",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be yes or no",
    "bool_parsing": "must be yes or no",
}


def find(path: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """The configuration file to use: the one named, $FAXGATEWAY_CONFIG, or the first of :data:`SEARCHED` that exists.

    Raises ConfigError when there is none.
    """
    named = path if path is not None else (os.environ if environ is None else environ).get(_VARIABLE) or None
    if named is not None:
        origin = "" if path is not None else f" (named by ${_VARIABLE})"
        if not str(named):
            raise ConfigError("-c names no file: it is empty")
        chosen = _at(named)
        if chosen is None:
            raise ConfigError(f"there is no configuration file {named}{origin}")
        return chosen
    for place in SEARCHED:
        candidate = _at(place)
        if candidate is not None:
            return candidate
    raise ConfigError(
        f"no configuration file: looked for {', '.join(SEARCHED)}; name one with -c, or make one with faxgateway init"
    )


def _at(place: str | Path) -> Path | None:
    """The file there, or the pipe; None for a directory and for nothing. Raises ConfigError where that cannot be seen."""
    try:
        found = Path(place).expanduser()
        return None if stat.S_ISDIR(found.stat().st_mode) else found
    except PermissionError as error:
        raise _unreadable(Path(place), error) from error
    except (OSError, RuntimeError, ValueError):  # the second: there is no home
        return None


def load(path: str | Path, environ: Mapping[str, str] | None = None, *, secrets: bool = True) -> Config:
    """Read and check a configuration file, secrets included unless ``secrets`` is false: then those are empty.

    Raises ConfigError with all problems, each ``FILE:LINE:COLUMN: OPTION: what is wrong``.
    """
    path = Path(path)
    tree = parse(_text(path))
    surroundings = Surroundings(path, os.environ if environ is None else environ, secrets)
    problems = list(tree.problems)
    config = None
    if tree.data is not None or not problems:  # nothing can be said about a file that is not YAML
        try:
            config = Config.model_validate(tree.data, context=surroundings)
        except ValidationError as error:
            for details in error.errors(include_url=False, include_input=True):
                problems += _explain(details, tree)
    if problems or config is None:
        ordered = sorted(problems, key=lambda problem: problem[0])
        lines = tuple(dict.fromkeys(_line(path, *problem) for problem in ordered))
        count = "a problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise ConfigError(f"{path} has {count}", lines)
    config._warnings = tuple(dict.fromkeys(surroundings.warnings))
    return config


def load_place(path: str | Path) -> Config | None:
    """Where the state and the daemon are, by a file whose other options may be wrong: they have their defaults in the result.

    None where it does not say so itself: a default may be meant for another state. Raises ConfigError for one that
    cannot be read.
    """
    text = _text(Path(path))
    tree = parse(text)
    lines = text.splitlines(keepends=True)
    while tree.data is None and tree.problems and lines:  # what stands above the line that is no YAML
        del lines[min(tree.problems[0][0].line, len(lines)) - 1 :]
        tree = parse("".join(lines))
    if not isinstance(tree.data, dict):
        return None
    said = {name: tree.data[name] for name in ("state_dir", "admin") if name in tree.data}
    try:
        config = Config.model_validate(said, context=Surroundings(Path(path), {}, secrets=False))
    except ValidationError:
        return None
    return config if "state_dir" in said or config.admin.socket else None


def _text(path: Path) -> str:
    content = b""
    try:
        content = path.read_bytes()
        return content.decode("utf-8-sig")
    except PermissionError as error:
        raise _unreadable(path, error) from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text; save it as UTF-8") from None


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot read {path}: {error.strerror}; let the user that runs this read it")


# --- problems ---------------------------------------------------------------------------------------------------------


def _line(path: Path, mark: Mark, place: Place, sentence: str) -> str:
    option = dotted(place)
    return f"{path}:{mark.line}:{mark.column}: {option + ': ' if option else ''}{sentence}"


def dotted(place: Place) -> str:
    """``smtp.listeners[0].tls``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _explain(details: ErrorDetails, tree: Tree) -> Iterator[tuple[Mark, Place, str]]:
    """The problems, in words, of one error of pydantic's."""
    place: Place = details["loc"]
    kind, context = details["type"], details.get("ctx", {})
    if kind == "problems":
        for below, sentence in context["problems"]:
            yield tree.mark((*place, *below)), (*place, *below), sentence
        return
    if kind == "extra_forbidden":
        yield tree.mark(place, key=True), place, _unknown(place)
        return
    names = f"; here are {', '.join(_section_at(Config, place).model_fields)}" if kind == "model_type" else ""
    yield tree.mark(place), place, _sentence(details, kind, context) + names


def _sentence(details: ErrorDetails, kind: str, context: Mapping[str, Any]) -> str:
    given = details["input"]
    shown = f", not {given if len(given) <= _MOST else given[:_MOST] + '...'!r}" if isinstance(given, str) else ""
    if kind in ("literal_error", "enum"):
        choices = re.findall("'([^']*)'", context["expected"])
        hint = _did_you_mean(str(given), choices) if isinstance(given, str) else ""
        return f"must be one of {', '.join(choices)}{shown}{hint}"
    if given is None and kind != "value_error":
        return "needs a value; without the line the default holds"
    if kind in _EXPECTED:
        return f"{_EXPECTED[kind]}{shown}"
    message = details["msg"].removeprefix("Value error, ").removeprefix("Input should ")
    return message if kind == "value_error" else f"must {message}{shown}"


def _unknown(place: Place) -> str:
    """An unknown option, and the known one that may be meant: in the same section, or elsewhere by the same name."""
    name = str(place[-1])
    if not name.isprintable():  # from a web page, mostly
        return f"{name!r} holds a sign that only looks like a blank; type the line anew"
    section = _section_at(Config, place[:-1])
    hint = _did_you_mean(name.replace("-", "_"), list(section.model_fields))
    if not hint:
        elsewhere = [option for option in all_options() if option.rpartition(".")[2] == name]
        hint = f"; did you mean {' or '.join(elsewhere)}?" if elsewhere else ""
    return f"there is no such option{hint or '; here are ' + ', '.join(section.model_fields)}"


def _did_you_mean(name: str, choices: list[str]) -> str:
    close = difflib.get_close_matches(name.lower(), choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _section_at(section: type[Section], place: Place) -> type[Section]:
    for part in place:
        if isinstance(part, str):
            section = section_of(section.model_fields[part].annotation) or section
    return section
