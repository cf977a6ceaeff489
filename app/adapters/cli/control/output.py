"""What a command shows: a table or fields for people, or the API's JSON. Messages: standard error.

With `--json` nothing but JSON is on standard output: one line for a document, and one line for each
object of a list.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from app.domain.model import JsonObject
from app.domain.text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

_UNBOUNDED = 100_000
ID_WIDTH = 36


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, or one field of an object.

    Attributes:
        value: Takes it from an object; None shows as nothing.
        width: Cells that it always takes, so that the pages of a list stand below each other; the
            last column has what is left.
    """

    title: str
    value: Callable[[JsonObject], Any]
    width: int = 0


def named(title: str, field: str, width: int = 0) -> Column:
    """Return a column that shows a field of an object as it is."""
    return Column(title, lambda one: one.get(field), width)


def at_ms(field: str) -> Callable[[JsonObject], str]:
    """Return what shows a field of epoch milliseconds as a timestamp."""

    def shown(one: JsonObject) -> str:
        value = one.get(field)
        if not isinstance(value, int):
            return ""
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"

    return shown


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes.

    Attributes:
        json: Whether standard output takes JSON instead of tables.
    """

    json: bool = False

    def rows(
        self, pages: Iterable[Sequence[JsonObject]], columns: Sequence[Column], none: str
    ) -> None:
        """Show the objects of a list, each page as soon as it is there.

        Args:
            none: Says, on standard error, that there is nothing in the list.
        """
        is_first = True
        for page in pages:
            if not page:
                continue
            if self.json:
                _write("".join(_line(one) for one in page))
            else:
                _print(_table(page, columns, with_titles=is_first))
            is_first = False
        if is_first:
            self.note(none)

    def document(self, document: JsonObject, fields: Sequence[Column]) -> None:
        """Show one object; fields without a value are left out."""
        if self.json:
            _write(_line(document))
        else:
            _print(fields_table(document, fields))

    def parts(self, document: JsonObject, parts: Callable[[], Iterable[RenderableType]]) -> None:
        """Show one object that is more than fields; `parts` is not called for JSON."""
        if self.json:
            _write(_line(document))
            return
        for part in parts():
            _print(part)

    def done(self, document: JsonObject, text: str) -> None:
        """Tell that something is done; as JSON, what the API answered, which may be nothing."""
        if not self.json:
            _write(f"{printable(text)}\n")
        elif document:
            _write(_line(document))

    def note(self, text: str) -> None:
        """Write a message to standard error."""
        sys.stderr.write(f"{text}\n")


def _line(document: JsonObject) -> str:
    return orjson.dumps(document).decode() + "\n"


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _table(page: Sequence[JsonObject], columns: Sequence[Column], *, with_titles: bool) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=with_titles)
    for column in columns:
        width = column.width or None
        table.add_column(column.title, min_width=width, no_wrap=True, overflow="ellipsis")
    for one in page:
        table.add_row(*(printable(_text(column.value(one))) for column in columns))
    return table


def fields_table(document: JsonObject, fields: Sequence[Column]) -> Table:
    """Return the fields of one object, those that have a value."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for field in fields:
        text = _text(field.value(document))
        if text:
            table.add_row(field.title, "\n".join(printable(line) for line in text.split("\n")))
    return table


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)
    return "" if value is None else str(value)


def _print(part: RenderableType) -> None:
    if sys.stdout.isatty():
        _console().print(part)
        return
    # Into a pipe or file nothing is cut, and lines do not end in blanks.
    console = _console(_UNBOUNDED)
    with console.capture() as captured:
        console.print(part)
    _write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def _console(width: int | None = None) -> Console:
    from rich.console import Console

    return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)
