"""A place in a text as people see it: line and column, the line itself, the place underlined.

The HTTP answer, the command line and the log show what this module makes.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from app.domain.text import printable

_WIDEST = 72
_BEFORE = 40


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is in a text.

    Attributes:
        line, column: Of its first character, both from 1.
        length: How many characters of that line it takes, at least 1.
        excerpt: The line, cut around the place if it is long, and below it a line that underlines
            the place. Nothing in it moves the cursor or hides other text.
    """

    line: int
    column: int
    length: int
    excerpt: str


def locate(source: str, offset: int) -> tuple[int, int]:
    """Return line and column of a character offset, both counted from 1."""
    before = source[:offset]
    return before.count("\n") + 1, offset - before.rfind("\n")


def place_of(source: str, start: int, end: int) -> Place:
    """Return the place of the characters from `start` up to `end`; they may be none."""
    line, column = locate(source, start)
    text = source[start - column + 1 :].split("\n", 1)[0]
    length = max(min(end - start, len(text) - column + 1), 1)
    return Place(line, column, length, _excerpt(text, column - 1, length))


def _excerpt(text: str, at: int, length: int) -> str:
    first = max(0, at - _BEFORE) if len(text) > _WIDEST else 0
    before, after = printable(text[first:at]), printable(text[at : first + _WIDEST])
    underlined = max(_cells(after[:length]), 1)
    if first:
        before = "…" + before
    if first + _WIDEST < len(text):
        after += "…"
    return f"{before}{after}\n{' ' * _cells(before)}{'^' * underlined}"


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(_width(letter) for letter in text)


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1
