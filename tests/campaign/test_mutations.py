"""The list of mistakes does not rot: each can still be made, and changes the code it is made in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from .daemon import CODE
from .mutants import MUTATIONS, Edit, Mutation, made
from .mutations import copy


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("code")
    copy(directory)
    return directory


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_a_mutation_applies_once_and_leaves_python(mutation: Mutation, original: Path) -> None:
    before = {edit.file: (original / "gateway" / edit.file).read_text("utf-8") for edit in mutation.edits}
    try:
        made(original, mutation)
        for name, text in before.items():
            after = (original / "gateway" / name).read_text("utf-8")
            assert after != text
            if name.endswith(".py"):
                ast.parse(after)
    finally:
        for name, text in before.items():
            (original / "gateway" / name).write_text(text, "utf-8")


def test_a_mutation_that_matches_nothing_is_told(original: Path) -> None:
    rotten = Mutation("rotten", "", MUTATIONS[0].hurt, (Edit("spool.py", "no such line", ""),))
    with pytest.raises(ValueError, match="stands 0 times"):
        made(original, rotten)


def test_names_are_told_apart() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "-"))
def test_the_documentation_has_its_row(mutation: Mutation) -> None:
    text = (CODE / "docs" / "campaign.md").read_text("utf-8")
    assert f"| {mutation.name} | {mutation.breaks} | {mutation.hurt.part} |" in text
