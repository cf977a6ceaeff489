"""All that is wrong with a text that cannot be parsed.

The parser stops at the first problem. What `and` and `or` join outside of brackets can be read
without the rest, so each such part is read by itself and the problems of all are told at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from app.pql.ast import Span
from app.pql.checker import check
from app.pql.errors import PqlError, Problem
from app.pql.lexer import TOKEN
from app.pql.parser import parse

_MOST_PARTS = 100
_WHOLE_TEXT = frozenset({"too-long", "too-deep"})
_BINDS = re.compile(r"=>|\b(?:let|from)\b", re.IGNORECASE)
_DEPTH = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}


def diagnose(text: str, error: PqlError) -> tuple[Problem, ...]:
    """Return the problems of a text in order of place.

    Args:
        error: What `parse` raised for it.
    """
    first = error.problems[0]
    if first.code in _WHOLE_TEXT:
        return error.problems
    parts = list(_parts(text))
    if not 1 < len(parts) <= _MOST_PARTS:
        return error.problems
    # A name that one part binds means something else in the others.
    with_types = _BINDS.search(text) is None
    # Places stay what they are when everything before a part is blank.
    blank = re.sub(r"[^\n]", " ", text)
    found: list[Problem] = []
    for part in parts:
        source = blank[: part.start] + text[part.start : part.end]
        is_first = part.start <= first.span.start <= part.end
        found += [first] if is_first else _problems(source, with_types=with_types)
    return tuple(found) if first in found else error.problems


def _problems(source: str, *, with_types: bool) -> tuple[Problem, ...]:
    if not source.strip():
        return ()
    try:
        tree = parse(source)
    except PqlError as error:
        return error.problems
    return check(tree).problems if with_types else ()


def _parts(text: str) -> Iterator[Span]:
    """Yield what the `and` and `or` outside of brackets join; not the `and` of `between`."""
    start = depth = between = 0
    for word, span in _words(text):
        depth += _DEPTH.get(word, 0)
        if depth:
            if depth < 0:
                break
        elif word == "between":
            between += 1
        elif word == "and" and between:
            between -= 1
        elif word in {"and", "or"}:
            yield Span(start, span.start)
            start = span.end
    yield Span(start, len(text))


def _words(text: str) -> Iterator[tuple[str, Span]]:
    position = 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is not None:
            end, kind = match.end(), match.lastgroup
            if kind in {"name", "symbol"} and text[position - 1 : position] != ".":
                yield match.group().lower(), Span(position, end)
        elif text[position] in "\"'":  # a string that is not closed: the rest of the line
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
        else:
            end = position + 1
        position = end
