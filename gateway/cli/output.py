"""What commands print: data on standard output, as a table or as JSON; talk on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

Row = Mapping[str, Any]
Cell = str | Callable[[Row], Any]
_STYLES = {
    "delivered": "green", "sent": "green", "dispatched": "green", "ok": "green",
    "failed": "red", "dead": "red", "fail": "red",
    "in_doubt": "yellow", "warn": "yellow", "cancelled": "dim",
}  # fmt: skip
# columns whose words a narrow terminal breaks last: ids and numbers are copied into the next command
_WHOLE, _SHORT = ("ID", "TO", "CREATED", "RECEIVED", "WAITS FROM", "UNTIL", "STATE"), 16
_LEAST = 4
_COLOURS = {"green", "yellow", "red"}


def say(text: str) -> None:
    """Talk: progress, hints, warnings."""
    click.echo(clean(text, newlines=True), err=True)


def clean(text: Any, *, newlines: bool = False) -> str:
    """``text`` for a terminal: what strangers wrote may not steer it."""
    return "".join(c if c.isprintable() or (newlines and c == "\n") else "�" for c in str(text))


def styled(text: str) -> str:
    """``text`` in the colour of the state it names, where colours are wanted."""
    colour = _STYLES.get(text.partition(" ")[0].lower())
    return click.style(text, fg=colour) if colour in _COLOURS and not os.environ.get("NO_COLOR") else text


def as_json(data: Any) -> None:
    click.echo(json.dumps(data, indent=2))


def listing(rows: Sequence[Row], columns: Mapping[str, Cell], *, json: bool, empty: str) -> None:
    """Rows as a list of JSON objects, whole, or as a table of ``columns``: title and key, or what makes the cell."""
    if json:
        as_json(list(rows))
    elif not rows:
        say(empty)
    else:
        _table(list(columns), [[_cell(row, cell) for cell in columns.values()] for row in rows])


def details(facts: Mapping[str, Any]) -> None:
    """One thing, a line for each fact that is known; a list has a line for each entry."""
    width = max(map(len, facts), default=0)
    for title, value in facts.items():
        if value in (None, "", [], ()):
            continue
        lines = value if isinstance(value, list | tuple) else [value]
        for number, line in enumerate(lines):
            click.echo(f"{'' if number else title:<{width}}  {clean(line)}")


def moment(iso: Any) -> str:
    """An ISO time in UTC as local time to the second; "" for None."""
    return datetime.fromisoformat(str(iso)).astimezone().strftime("%Y-%m-%d %H:%M:%S") if iso else ""


def plural(count: int, noun: str) -> str:
    """``1 page``, ``2 pages``."""
    form = noun if count == 1 else f"{noun}es" if noun.endswith("x") else f"{noun}s"
    return f"{count} {form}"


def _cell(row: Row, cell: Cell) -> str:
    value = row.get(cell) if isinstance(cell, str) else cell(row)
    return "" if value is None else clean(value)


def _table(titles: list[str], cells: list[list[str]]) -> None:
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
        for line in (titles, *cells):
            click.echo("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    columns = dict(zip(titles, zip(*cells, strict=True), strict=True))
    for title, width in _widths(columns, console.width - 2 * len(columns)).items():
        table.add_column(title, overflow="fold", width=width)
    for line in cells:
        table.add_row(*(Text(text, style=_STYLES.get(text.partition(" ")[0].lower(), "")) for text in line))
    console.print(table)


def _widths(columns: Mapping[str, Sequence[str]], room: int) -> dict[str, int]:
    """The width of each column where all together have ``room``: first for words that should be whole, then shared."""
    whole = {title: max(map(len, (title, *column))) for title, column in columns.items()}
    widths = {title: min(width, _LEAST) for title, width in whole.items()}
    spare = room - sum(widths.values())
    for title in filter(widths.__contains__, _WHOLE):
        word = max(len(word) for text in columns[title] for word in (text.split() or [""]))
        more = min(max(word - widths[title], 0), max(spare, 0)) if word <= _SHORT else 0
        widths[title] += more
        spare -= more
    while spare > 0 and (broken := [title for title, width in widths.items() if width < whole[title]]):
        for title in ([title for title in broken if title not in _WHOLE] or broken)[:spare]:
            widths[title] += 1
            spare -= 1
    return widths
