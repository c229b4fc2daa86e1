"""YAML as written: every scalar stays the text it is, and every value keeps its line and column.

YAML 1.1 would turn +4930123 into a number without its plus, 0123 into 83, 12:30 into 750, NO into false, and would let
a repeated key win silently. Types are the option models' business.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

Place = tuple[str | int, ...]  # path of keys and list positions
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the first is libyaml's, where PyYAML has it
_NULL = "tag:yaml.org,2002:null"
_STANDARD = "tag:yaml.org,2002:"
_REMEDIES = {  # by what the parser says
    "could not find expected ':'": "; write NAME: VALUE, with a blank behind the colon",
    "mapping values are not allowed": "; indent the line as those around it, write NAME: VALUE in the one above too, and quote a"
    " text with a colon and a blank in it",
    "found undefined alias": "; a text that begins with * needs quotes",
    "scanning an alias": "; a text that begins with * needs quotes",
    "scanning an anchor": "; a text that begins with & needs quotes",
    "scanning a quoted scalar": "; close the quotes",
    "scanning a block scalar": "; a text that begins with | or > needs quotes",
    "mapping keys are not allowed": "; a text that begins with ? needs quotes",
    "block sequence entries are not allowed": "; a list has a line for each below its name, or is written [ONE, TWO]",
    "parsing a flow": "; close each bracket, and quote a text with a bracket, comma or colon in it",
    "expected <document start>": "; write NAME: VALUE",
    "expected key": "; indent the line as those around it, and quote a text as a whole or not at all",
}


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Where something stands; both count from 1."""

    line: int = 1
    column: int = 1


@dataclass(slots=True)
class Tree:
    """``data`` has dicts, lists, texts and None only. ``problems`` are faults of form that did not stop the reading."""

    data: Any = None
    keys: dict[Place, Mark] = field(default_factory=dict)
    values: dict[Place, Mark] = field(default_factory=dict)
    problems: list[tuple[Mark, Place, str]] = field(default_factory=list)

    def mark(self, place: Place, *, key: bool = False) -> Mark:
        """Where ``place`` stands, or the nearest thing around it."""
        for end in range(len(place), -1, -1):
            found = (self.keys if key else self.values).get(place[:end]) or self.values.get(place[:end])
            if found:
                return found
        return Mark()


def parse(text: str) -> Tree:
    """Read one YAML document. A syntax error is the tree's only problem."""
    tree = Tree()
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        mark = Mark(at.line + 1, at.column + 1) if at else Mark()
        tree.problems.append((mark, (), f"this is not YAML: {_fault(error, mark, text)}"))
        return tree
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        tree.problems.append((Mark(line), (), f"this is not YAML: {error.reason}"))
        return tree
    if root is not None:
        tree.data = _value(root, (), tree, ())
    return tree


def _fault(error: yaml.MarkedYAMLError, mark: Mark, text: str) -> str:
    """The parser's words, the line that they speak of where it is another than that of ``mark``, and what to do."""
    began = error.context_mark.line + 1 if error.context_mark else mark.line
    context = error.context and f"{error.context}{f' that begins in line {began}' if began != mark.line else ''}"
    words = ", ".join(part for part in (context, error.problem) if part)
    remedy = next((remedy for sign, remedy in _REMEDIES.items() if sign in words), "")
    if "cannot start any token" in words and error.problem_mark:
        found = text[error.problem_mark.index :][:1]
        remedy = (
            "; indent with blanks, not with tabs"
            if found == "\t"
            else f"; a text that begins with {found} needs quotes"
        )
    return words + remedy


def _value(node: yaml.Node, place: Place, tree: Tree, around: tuple[yaml.Node, ...]) -> Any:
    mark = Mark(node.start_mark.line + 1, node.start_mark.column + 1)
    tree.values[place] = mark
    if any(node is outer for outer in around):
        tree.problems.append((mark, place, "an alias cannot stand inside the thing it names"))
        return None
    if not node.tag.startswith(_STANDARD):
        tree.problems.append((mark, place, f"the tag {node.tag} is not understood here"))
    inside = (*around, node)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, tree, inside)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*place, n), tree, inside) for n, item in enumerate(node.value)]
    return None if node.tag == _NULL else str(node.value)


def _mapping(node: yaml.MappingNode, place: Place, tree: Tree, inside: tuple[yaml.Node, ...]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in node.value:
        mark = Mark(key.start_mark.line + 1, key.start_mark.column + 1)
        if not isinstance(key, yaml.ScalarNode):
            tree.problems.append((mark, place, "the name of an option is a plain word"))
            continue
        name = str(key.value)
        here = (*place, name)
        if name in data:
            tree.problems.append((mark, here, f"it stands here twice, first in line {tree.keys[here].line}"))
            continue
        tree.keys[here] = mark
        data[name] = _value(value, here, tree, inside)
    return data
