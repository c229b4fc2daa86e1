"""What a conversion is working on, told as it goes, so that one that is ended can be named; and what it could not show."""

from __future__ import annotations

from collections.abc import Callable, Collection

_listeners: list[Callable[[str], None]] = []
_lacking: dict[str, None] = {}  # characters, in the order they were met
_notes: list[str] = []
_NAMED = 8  # so many characters that no font has, or pages, are named


def listen(listener: Callable[[str], None]) -> None:
    """Have ``listener`` called with the name of each part begun in this process."""
    _listeners.append(listener)


def begin(name: str) -> None:
    """Say that the part of this name is worked on from now on."""
    _lacking.clear()
    _notes.clear()
    for listener in _listeners:
        listener(name)


def note(text: str) -> None:
    """Say what its sender should know of the pages of the part begun last."""
    _notes.append(text)


def note_pages(text: str, where: Collection[int]) -> None:
    """Say it of these pages of the part begun last, which are counted from 0; nothing where there are none."""
    if where:
        numbers = _some([str(number + 1) for number in sorted(where)], ", ")
        note(f"{text}: {'page' if len(where) == 1 else 'pages'} {numbers}")


def the(count: int, what: str) -> str:
    """So many of what there is: "the file", "the 3 files"."""
    return f"the {what}" if count == 1 else f"the {count} {what}s"


def notes() -> list[str]:
    """What is to say of the part begun last."""
    if not _lacking:
        return list(_notes)
    named = _some([f"U+{ord(each):04X}" for each in _lacking], " ")
    return [
        *_notes,
        f"characters that no font of this gateway has are shown as boxes or not at all: {named}; if they matter, send a PDF with its"
        " fonts embedded",
    ]


def lacking(character: str) -> None:
    """Say that no font has this character."""
    _lacking[character] = None


def _some(names: list[str], between: str) -> str:
    """The first of them, and whether there are others."""
    return between.join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")
