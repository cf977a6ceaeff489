"""Text of others made fit for a terminal."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """Return text of equal length in which nothing moves the cursor or hides other text."""
    return text if text.isprintable() else "".join(_printable(letter) for letter in text)


def _printable(letter: str) -> str:
    if letter.isprintable():
        return letter
    blank = letter == "\t" or unicodedata.category(letter).startswith("Z")
    return " " if blank else "\N{MIDDLE DOT}"
