"""Null, truth, coercion, equality and arithmetic on JSON values (PQL reference, types and null).

A value is None, a bool, a number, a string, a list or a dict; a bool is not a number. Nothing here
raises, whatever the value. `EventItem` marks experience events, which are equal only to themselves.
"""

from __future__ import annotations

import math
import operator as operators
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""A JSON value or an `EventItem`."""

_NUMBER = re.compile(r"\s*-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*", re.ASCII)
_LONGEST_NUMBER = 40
INT64 = 2**63
"""Integers from this on, either way, become doubles."""


class EventItem(dict[str, Any]):
    """An experience event as expressions see it; compared by identity, never by content.

    Build one per event and evaluation, with `timestamp` replaced by the event's epoch ms.
    """


def truth(value: Value) -> bool:
    """Return the truth value in a Boolean position.

    Null is false, a list is true when it has items, anything else that exists is true: also the
    empty string and zero (PQL reference, truth value; open point 11).
    """
    if value is True or value is False:
        return value is True
    if value is None:
        return False
    return bool(value) if isinstance(value, list) else True


def is_number(value: Value) -> bool:
    """Tell whether the value is an integer or a double; a bool is none, NaN is none."""
    kind = type(value)
    return kind is int or (kind is float and value == value)


def same(left: Value, right: Value) -> bool:
    """Compare by type and value, without coercion and without recursion.

    1 equals 1.0; true does not equal 1; null equals null; events equal only themselves.
    """
    pending = [(left, right)]
    while pending:
        first, second = pending.pop()
        if not _same_level(first, second):
            return False
        if isinstance(first, list):
            pending.extend(zip(first, second, strict=True))
        elif isinstance(first, dict) and not isinstance(first, EventItem):
            pending.extend((item, second[key]) for key, item in first.items())
    return True


def _same_level(first: Value, second: Value) -> bool:
    if isinstance(first, EventItem) or isinstance(second, EventItem):
        return first is second
    if isinstance(first, list):
        return isinstance(second, list) and len(first) == len(second)
    if isinstance(first, dict):
        return isinstance(second, dict) and first.keys() == second.keys()
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    return bool(first == second)


def coerce(value: Value, like: Value) -> Value:
    """Bring a scalar to the type of another one; None when it cannot be.

    `"true"` becomes true beside a bool, `"6"` becomes 6 beside a number, 6 becomes `"6"` beside a
    string (PQL reference, coercion).
    """
    if isinstance(like, bool):
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False}.get(value) if isinstance(value, str) else None
    if is_number(like):
        if isinstance(value, str):
            return to_number(value)
        return value if is_number(value) else None
    if isinstance(like, str):
        return _to_text(value)
    return value


def to_number(text: str) -> int | float | None:
    """Read a decimal number; None when the text is none."""
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    stripped = text.strip()
    return int(stripped) if stripped.lstrip("-").isdigit() else _finite(float(stripped))


def _to_text(value: Value) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if type(value) is int:
        return str(value) if -INT64 <= value < INT64 else None
    return repr(value) if type(value) is float else None


def equal(left: Value, right: Value) -> bool:
    """Return `left = right`.

    Null equals nothing. Two lists compare by value and order; a list beside a scalar matches when
    any item does (open point 10). Two scalars compare after the right one took the left one's
    type.
    """
    if left is None or right is None:
        return False
    if isinstance(left, list) or isinstance(right, list):
        if isinstance(left, list) and isinstance(right, list):
            return same(left, right)
        return any_pair(equal, left, right)
    return _equal_scalars(left, right)


def _equal_scalars(left: Value, right: Value) -> bool:
    if type(left) is not type(right) and not isinstance(left, dict):
        right = coerce(right, left)
        if right is None:
            return False
    return same(left, right)


def unequal(left: Value, right: Value) -> bool:
    """Return `left != right`: both exist and are not equal; with a list, any item differs."""
    if left is None or right is None:
        return False
    if isinstance(left, list) != isinstance(right, list):
        return any_pair(unequal, left, right)
    return not equal(left, right)


def any_pair(predicate: Callable[[Value, Value], bool], left: Value, right: Value) -> bool:
    """Tell whether any item of one list satisfies the predicate; nested lists are flattened."""
    lefts = list(leaves(left)) if isinstance(left, list) else [left]
    rights = list(leaves(right)) if isinstance(right, list) else [right]
    return any(predicate(first, second) for first in lefts for second in rights)


def leaves(items: list[Value]) -> Iterator[Value]:
    """Yield the items depth first, nested lists opened, nulls dropped."""
    pending = [iter(items)]
    while pending:
        for item in pending[-1]:
            if isinstance(item, list):
                pending.append(iter(item))
                break
            if item is not None:
                yield item
        else:
            pending.pop()


def compare(operator: str, left: Value, right: Value) -> bool:
    """Return `left operator right` for `= != < <= > >=`.

    The ordering operators are false unless both sides are numbers (PQL reference, null rule 8).
    """
    if operator == "=":
        return equal(left, right)
    if operator == "!=":
        return unequal(left, right)
    if isinstance(left, list) or isinstance(right, list):
        if isinstance(left, list) and isinstance(right, list):
            return False
        return any_pair(lambda first, second: compare(operator, first, second), left, right)
    if not (is_number(left) and is_number(right)):
        return False
    return ORDERINGS[operator](left, right)


ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
"""On two numbers."""


def is_in(item: Value, collection: Value) -> bool:
    """Return `item in collection`; items of the collection take the type of the scalar."""
    if item is None or not isinstance(collection, list):
        return False
    if isinstance(item, list):
        return any(is_in(one, collection) for one in leaves(item))
    return any(one is not None and _equal_scalars(item, one) for one in collection)


def is_not_in(item: Value, collection: Value) -> bool:
    """Return `item notIn collection`: both exist and no item is equal."""
    if item is None or not isinstance(collection, list):
        return False
    if isinstance(item, list):
        return any(is_not_in(one, collection) for one in leaves(item))
    return not is_in(item, collection)


def arithmetic(operator: str, left: Value, right: Value) -> int | float | None:
    """Return `left operator right` for `+ - * / %`.

    Null when a side is no number, when dividing by zero, and when the result is no finite number.
    `/` is real division; `%` takes the sign of the dividend, as in Java.
    """
    if not (is_number(left) and is_number(right)):
        return None
    if operator in "/%" and right == 0:
        return None
    try:
        return _finite(_ARITHMETIC[operator](left, right))
    except (OverflowError, ValueError):  # integers beyond doubles, and infinity % n
        return None


def _remainder(left: float, right: float) -> int | float:
    if isinstance(left, int) and isinstance(right, int):
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return math.fmod(left, right)


_ARITHMETIC: dict[str, Callable[[Any, Any], int | float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "%": _remainder,
}


def _finite(number: float) -> int | float | None:
    if isinstance(number, int):
        return number if -INT64 <= number < INT64 else float(number)
    return number if math.isfinite(number) else None


def negative(value: Value) -> int | float | None:
    """Return `-value`; null when it is no number."""
    return arithmetic("-", 0, value) if type(value) is int else arithmetic("*", -1.0, value)


def project(value: Value, name: str) -> Value:
    """Return field `name`.

    Of a list: the fields of its items, flattened, nulls dropped (open point 10); null when no item
    has it, since then nothing is referred to. Of anything but an object or a list: null.
    """
    if isinstance(value, dict):
        return value.get(name)
    if not isinstance(value, list):
        return None
    found = [item.get(name) for item in leaves(value) if isinstance(item, dict)]
    return list(leaves(found)) or None
