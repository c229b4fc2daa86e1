"""The manual hangs together: its links lead somewhere, and what it names of the program is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from gateway.config.schema import all_options
from gateway.document.cover import FIELDS
from gateway.document.cover_words import WORDS
from gateway.document.layout import _ANYWHERE, _ATTRIBUTES
from gateway.edge import smtp_replies
from gateway.errors import Refused, TryLater

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPTIONS = {option.replace("[]", "") for option in all_options()}
SECTIONS = {option.rpartition(".")[0] for option in OPTIONS} - {""}
NAMED = rf"((?:{'|'.join(sorted({name.partition('.')[0] for name in SECTIONS}))})(?:\.[a-z_]+)+)"
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


@cache
def _prose(page: Path) -> str:
    """A page without its examples, in which # begins a comment."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


@cache
def _anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", _prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(page: Path) -> Iterator[tuple[str, Path, str]]:
    for link in re.findall(r"\]\(([^)\s]+)\)", _prose(page)):
        if "://" not in link:
            file, _, anchor = link.partition("#")
            yield link, (page.parent / file).resolve() if file else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link, target, anchor in _links(page):
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def test_every_page_is_found_from_the_front_page() -> None:
    found, new = set(), {ROOT / "README.md"}
    while new:
        found |= new
        linked = {target for page in new for _, target, _ in _links(page)}
        folders = {page for target in linked if target.is_dir() for page in target.glob("*.md")}
        new = {target for target in linked | folders if target.suffix == ".md"} - found
    assert [page for page in PAGES if page not in found] == []


def test_every_page_that_the_program_names_is_there() -> None:
    files = [path for folder in ("gateway", "systemd") for path in (ROOT / folder).rglob("*") if path.is_file()]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in (ROOT / "config.example.yaml", *files)]
    named = {name for text in texts for name in re.findall(r"docs/[\w-]+\.md", text)}
    assert named
    assert {name for name in named if not (ROOT / name).is_file()} == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_option_of_the_configuration_that_is_named_is_there(page: Path) -> None:
    named = set(re.findall(rf"`{NAMED}(?<!\.py)\b", _prose(page)))
    assert named - OPTIONS - SECTIONS == set()


def test_every_option_that_a_message_names_is_there() -> None:
    named = {
        (path.name, name)
        for path in (ROOT / "gateway").rglob("*.py")
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
        for name in re.findall(rf"(?<![\w./@-]){NAMED}", text)
    }
    assert len(named) > 20
    assert {each for each in named if each[1] not in OPTIONS | SECTIONS} == set()


def _texts(module: ast.Module) -> Iterator[str]:
    """The texts of more than a word in a module, but for those that describe it."""
    described = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        value = node.value if isinstance(node, ast.Constant) and id(node) not in described else None
        if isinstance(value, str) and " " in value:
            yield value


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_reply_of_the_door_has_the_basic_code_that_it_gives(page: Path) -> None:
    for code, status in re.findall(r"`([45]\d\d) ([45]\.\d\.\d)`", _prose(page)):
        kind = Refused if status.startswith("5") else TryLater
        assert smtp_replies.refusal(kind("no", status=status)).startswith(f"{code} {status} ")


def test_the_page_on_cover_pages_has_every_element_field_and_word() -> None:
    text = (ROOT / "docs" / "cover-pages.md").read_text(encoding="utf-8")
    template = text.partition("## Your own")[2]
    rows = {row[0]: row[1] for row in re.findall(r"^\| `<(\w+)[^|]*\|(.*)\|$", template, re.M)}
    assert rows.keys() | {"column"} == _ATTRIBUTES.keys()
    rows["field"] += " `label`"  # in the name of its row
    for element, row in rows.items():
        assert set(re.findall(r"`([a-z-]+)(?:=[^`]*)?`", row)) == set(_ATTRIBUTES[element].split()), element
    everywhere, _, _ = template.partition("All take ")[2].partition(". Lengths")
    words = re.sub(r"\([^)]*`[^)]*\)", "", everywhere)
    assert set(re.findall(r"`([a-z]+)(?:=[^`]*)?`", words)) == set(_ANYWHERE.split())
    fields, _, words = template.partition("The fields: ")[2].partition("\n\n")[0].partition("; and the words")
    assert set(re.findall(r"`(\w+)`", fields)) == {*FIELDS, "language", "sender"} - {"from"}
    assert {word.removeprefix("words.") for word in re.findall(r"`([\w.]+)`", words)} == WORDS["en"].keys() - {"notice"}
