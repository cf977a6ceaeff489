"""Dotted paths into documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def values_at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """Yield what a path leads to.

    Args:
        value: A JSON document.
        path: Names from the top; a list on the way or at the end stands for each of its items.
    """
    if isinstance(value, list):
        for item in value:
            yield from values_at(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from values_at(value[path[0]], path[1:])


def texts_at(document: Any, path: Sequence[str]) -> Iterator[str]:
    """Yield what a path leads to as texts; an object has none."""
    for found in values_at(document, path):
        if not isinstance(found, dict):
            yield str(found).lower() if isinstance(found, bool) else str(found)
