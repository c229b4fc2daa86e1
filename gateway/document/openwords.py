"""The words of an OpenDocument that are to be seen as they stand in it."""

from __future__ import annotations

import re
from xml.parsers import expat

# some of it is not to be seen, or is drawn as shapes
_UNREADABLE = re.compile(
    rb":(?:display|visibility)=\"(?:none|false|hidden|collapse|filter)\"|table:print(?:=\"false\"|-ranges=\"[^\"])|<text:hidden-|:text-path=\"true\""
)
_TEXT = {"p", "h", "span", "a"}  # what holds words that nobody works out anew
_WITHIN = {"span", "a"}
_APART = {  # what is printed by another, or not at all
    "annotation", "tracked-changes", "notes", "object", "forms", "ruby-text", "covered-table-cell", "title", "desc", "styles",
    "automatic-styles", "master-styles", "content-validations", "dde-links",
}  # fmt: skip
_OFFICE, _PRESENTATION = (f"urn:oasis:names:tc:opendocument:xmlns:{name}:1.0 " for name in ("office", "presentation"))


def of(content: bytes) -> str:
    """Those of a ``content.xml``, one behind the other; "" where it cannot be told which are to be seen. Raises ExpatError."""
    if _UNREADABLE.search(content):
        return ""
    found: list[str] = []
    holds: list[bool | None] = [False]  # words, of each open element; None where nothing in it does

    def start(name: str, said: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        is_apart = holds[-1] is None or tag in _APART or said.get(_PRESENTATION + "placeholder") == "true"
        is_number = said.get(_OFFICE + "value-type", "string") != "string"
        holds.append(None if is_apart or is_number else tag in _TEXT)
        if tag not in _WITHIN:
            found.append(" ")

    def end(name: str) -> None:
        holds.pop()
        if name.rpartition(" ")[2] not in _WITHIN:
            found.append(" ")

    def words(text: str) -> None:
        if holds[-1]:
            found.append(text)

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, words
    parser.Parse(content, True)
    return "".join(found)
