"""The documentation shows every command and option in an example, and every example is one the program understands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway.cli.root import COMMANDS, cli

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs" / "cli.md"
COMMON = {"config", "debug", "help", "as_json"}


def _leaves() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something: ``faxgateway queue list``."""
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        if isinstance(command, click.Group):
            yield from ((f"faxgateway {name} {each}", below) for each, below in command.commands.items())
        else:
            assert command is not None
            yield f"faxgateway {name}", command


LEAVES = dict(_leaves())


def _section(title: str) -> str:
    text = MANUAL.read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    assert found, f"docs/cli.md has no section '## {title}'"
    return found[1]


def _examples(text: str) -> list[list[str]]:
    """The words behind ``faxgateway`` of every command in a block of shell commands."""
    blocks = re.findall(r"^```sh\n(.*?)^```|^    (?=\S*faxgateway)(.*?)(?=^\S)", text, re.M | re.S)
    lines = "\n".join(fenced or indented for fenced, indented in blocks).replace("\\\n", " ").splitlines()
    examples = []
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>&;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if re.fullmatch(r"[|<>&;]+", word):
                if words and words[0].split("/")[-1] == "faxgateway":
                    examples.append(words[1:])
                words = []
            else:
                words.append(word)
    return examples


def _parse(args: list[str]) -> tuple[str, set[str]]:
    """The command an example runs and the options it uses, as the program's own parser understands them."""
    context: click.Context = cli.make_context("faxgateway", list(args))
    used = _given(context)
    while isinstance(context.command, click.Group):
        name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None
        context = command.make_context(name, list(rest), parent=context)
        used |= _given(context)
    return context.command_path, used


def _given(context: click.Context) -> set[str]:
    return {
        name
        for name in (parameter.name for parameter in context.command.params if isinstance(parameter, click.Option))
        if name and context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    }


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files the examples name."""
    for name in ("report.pdf", "letter.txt", "mail.eml", "README.md"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("title", LEAVES)
def test_every_command_has_a_section_with_an_example_that_uses_each_of_its_options(title: str) -> None:
    section = _section(title)
    examples = [_parse(args) for args in _examples(section)]
    mine = [used for path, used in examples if path == title]
    assert mine, f"no example of {title}"
    options = [each for each in LEAVES[title].params if isinstance(each, click.Option) and each.name not in COMMON]
    for option in options:
        for name in (*option.opts, *option.secondary_opts):
            assert re.search(rf"`{name}[` ]", section), f"{name} of {title} is not in its table"
    assert {option.name for option in options} - set().union(*mine) == set(), f"options of {title} without an example"


@pytest.mark.parametrize("title", LEAVES)
def test_no_section_has_an_option_that_is_not_there(title: str) -> None:
    there = {name for each in LEAVES[title].params for name in (*each.opts, *each.secondary_opts)}
    listed = re.findall(r"^\| (`-.*?) \|", _section(title).replace("\\|", "/"), re.M)
    assert {name for cell in listed for name in re.findall(r"`(--?[a-z-]+)", cell)} <= there


def test_every_section_is_of_a_command_that_is_there() -> None:
    sections = re.findall(r"^## (faxgateway .*)$", MANUAL.read_text(encoding="utf-8"), re.M)
    assert sorted(sections) == sorted(LEAVES)


def test_the_common_options_and_statuses_are_told() -> None:
    section = _section("Options of every command")
    for name in ("-c", "--config", "--debug", "-h", "--help", "--json", "--version"):
        assert re.search(rf"`{name}[` ]", section), name
    from gateway.cli import base

    statuses = {value for name, value in vars(base).items() if name.startswith("EX_")}
    told = {int(status) for status in re.findall(r"^\| (\d+) \|", _section("Exit statuses"), re.M)}
    assert statuses <= told


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda path: path.name
)
def test_every_example_anywhere_is_one_the_program_understands(path: Path) -> None:
    for args in _examples(path.read_text(encoding="utf-8")):
        if "--version" in args or "--help" in args:
            continue  # the parser would act on them
        try:
            _parse(args)
        except click.ClickException as error:
            raise AssertionError(f"{path.name}: faxgateway {shlex.join(args)}: {error.format_message()}") from None
