"""Lists turned into maps and put in order: `groupBy`, `mapEntry`, `topN`, `bottomN`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from app.pql.values import INT64, Value, is_number


class Groups(dict[str, Any]):
    """What `groupBy` gives: lists of items by the text of their key.

    Attributes:
        originals: The key itself, as the first item of the group has it, by its text.
    """

    __slots__ = ("originals",)

    def __init__(self) -> None:
        super().__init__()
        self.originals: dict[str, Value] = {}


def key_text(value: Value) -> str | None:
    """Return a value as the key of a map; None for what cannot be one.

    Keys are strings (PQL reference, `get`): 6, 6.0 and `"6"` are one key, as they are equal.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if not is_number(value):
        return None
    is_whole = type(value) is float and value.is_integer() and abs(value) < INT64
    return str(int(value) if is_whole else value)


def group_by(items: Value, keys: Sequence[Value]) -> Groups | None:
    """Return the items by their key, in order of first occurrence; those without one are left out.

    Args:
        items: The receiver; anything but a list gives null.
        keys: One per item.
    """
    if not isinstance(items, list):
        return None
    groups = Groups()
    for item, key in zip(items, keys, strict=True):
        text = key_text(key)
        if text is None:
            continue
        if text not in groups:
            groups[text] = []
            groups.originals[text] = key
        groups[text].append(item)
    return groups


def entries(value: Value) -> Iterator[tuple[Value, Value]] | None:
    """Yield key and value of each entry of a map; None for anything else."""
    if isinstance(value, Groups):
        return ((value.originals[text], items) for text, items in value.items())
    return iter(value.items()) if isinstance(value, dict) else None


def map_entry(key: Value, value: Value) -> tuple[Value, Value]:
    """Return `mapEntry(key, value)`, which `collected` puts into a map."""
    return key, value


def collected(found: Sequence[tuple[Value, Value]]) -> dict[str, Value]:
    """Return the map of some entries; a key that comes twice has its last value."""
    texts = ((key_text(key), value) for key, value in found)
    return {text: value for text, value in texts if text is not None}


def _ordered(*, is_descending: bool) -> Callable[[Value, Sequence[Value], Value], Value]:
    def apply(items: Value, keys: Sequence[Value], count: Value) -> list[Value] | None:
        if not isinstance(items, list) or type(count) is not int:
            return None
        pairs = list(zip(keys, items, strict=True))
        known = [pair for pair in pairs if is_number(pair[0])]
        known.sort(key=lambda pair: pair[0], reverse=is_descending)
        others = [pair for pair in pairs if not is_number(pair[0])]
        return [item for _, item in (known + others)[: max(count, 0)]]

    return apply


top_n = _ordered(is_descending=True)
"""The items with the largest numbers, descending; those without a number after all others."""

bottom_n = _ordered(is_descending=False)
"""The items with the smallest numbers, ascending; those without a number after all others."""
