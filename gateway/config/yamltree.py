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
        what = ", ".join(part for part in (error.context, error.problem) if part)
        tree.problems.append((Mark(at.line + 1, at.column + 1) if at else Mark(), (), f"this is not YAML: {what}"))
        return tree
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        tree.problems.append((Mark(line), (), f"this is not YAML: {error.reason}"))
        return tree
    if root is not None:
        tree.data = _value(root, (), tree, ())
    return tree


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
