"""Text of others made fit for a terminal."""

from __future__ import annotations

import unicodedata

_WIDEST = 72
_BEFORE = 40


def printable(text: str) -> str:
    """Return text of equal length in which nothing moves the cursor or hides other text."""
    return text if text.isprintable() else "".join(_printable(letter) for letter in text)


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    blank = letter == "\t" or unicodedata.category(letter).startswith("Z")
    return " " if blank else "\N{MIDDLE DOT}"


def pointed(source: str, line: int, column: int) -> list[str]:
    """Return a line of a text and, below it, a caret at a column.

    Long lines are cut around the column.

    Args:
        source: The whole text.
        line: From 1.
        column: In characters, from 1; one past the end is allowed.

    Returns:
        Two lines; nothing when there is no such place in the text.
    """
    from rich.cells import cell_len

    lines = source.split("\n")
    if not (1 <= line <= len(lines) and 1 <= column <= len(lines[line - 1]) + 1):
        return []
    text, at = printable(lines[line - 1]), column - 1
    first = max(0, at - _BEFORE) if len(text) > _WIDEST else 0
    before, after = text[first:at], text[at : first + _WIDEST]
    if first:
        before = "…" + before
    if first + _WIDEST < len(text):
        after += "…"
    return [before + after, " " * cell_len(before) + "^"]
