"""`matches` and `like`: patterns compiled once, bounded in run time."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache

from app.pql.java_regex import RegexError, Translation, Translator

__all__ = ["RegexError", "compile_java", "compile_like", "finds", "group", "like"]

MAX_SUBJECT = 4_000
"""Longest text in which any Java pattern is looked for."""

_SHORTEST_SUBJECT = 64
_BUDGET_STEPS = 10_000_000
_MAX_PATTERN = 1_000


@dataclass(frozen=True, slots=True)
class JavaPattern:
    """A compiled pattern and the longest text in which it may be looked for."""

    pattern: re.Pattern[str]
    max_subject: int


@lru_cache(maxsize=4_096)
def compile_java(pattern: str) -> JavaPattern:
    """Translate and compile a Java pattern, and say in how long a text it may be looked for.

    Raises:
        RegexError: It is malformed, uses what Python cannot match, or may take exponential time.
    """
    if len(pattern) > _MAX_PATTERN:
        raise RegexError(f"it is longer than {_MAX_PATTERN} characters")
    translated = Translator(pattern).translate()
    max_subject = _longest_subject(translated)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return JavaPattern(re.compile(translated.text, translated.flags), max_subject)
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise RegexError(f"it is malformed: {error}") from error


def _longest_subject(translated: Translation) -> int:
    budget = _BUDGET_STEPS * math.factorial(translated.degree) // translated.choices
    longest = int(budget ** (1 / translated.degree))
    if longest < _SHORTEST_SUBJECT:
        raise RegexError(
            "it has so many repetitions that a match may take too long; make some of them "
            "possessive, such as `\\w++`, or begin it with `^`"
        )
    return min(longest, MAX_SUBJECT)


@lru_cache(maxsize=4_096)
def compile_like(pattern: str) -> tuple[re.Pattern[str], ...]:
    """Split a `like` pattern at `%`; `_` is one character, there is no escape."""
    parts = pattern.split("%")
    return tuple(
        re.compile("".join("." if one == "_" else re.escape(one) for one in part), re.DOTALL)
        for part in parts
    )


def like(text: str, pattern: str) -> bool:
    """Match the whole text in linear steps: the leftmost place of each part is good enough."""
    parts = compile_like(pattern)
    if len(parts) == 1:
        return parts[0].fullmatch(text) is not None
    head = parts[0].match(text)
    if head is None:
        return False
    position = head.end()
    for part in parts[1:-1]:
        found = part.search(text, position)
        if found is None:
            return False
        position = found.end()
    tail = len(pattern.rsplit("%", 1)[1])
    start = len(text) - tail
    return start >= position and parts[-1].fullmatch(text, start) is not None


def finds(text: str, pattern: str) -> bool:
    """Look for a Java pattern anywhere in the text.

    A pattern that cannot be used matches nothing; nothing is found in a text that is longer than
    the pattern can bear.
    """
    return _search(text, pattern) is not None


def group(text: str, pattern: str, number: int) -> str | None:
    """Return a group of the first match of a Java pattern, see `finds`; None for none."""
    found = _search(text, pattern)
    if found is None or not 0 <= number <= found.re.groups:
        return None
    return found[number]


def _search(text: str, pattern: str) -> re.Match[str] | None:
    try:
        compiled = compile_java(pattern)
    except RegexError:
        return None
    return compiled.pattern.search(text) if len(text) <= compiled.max_subject else None
