"""The functions and methods of PQL as plain functions over JSON values.

All of them take any value: a missing or wrong operand gives null or false, as the PQL reference
says, never an exception.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from app.pql import calendar, regex
from app.pql.values import (
    INT64,
    EventItem,
    Value,
    any_pair,
    equal,
    is_in,
    is_number,
    leaves,
    project,
    same,
    unequal,
)


def fold(text: str) -> str:
    """Return the text for comparison without case: simple folding, no locale."""
    if text.isascii():
        return text.lower()
    return "".join(_fold_character(character) for character in text)


def _fold_character(character: str) -> str:
    folded = character.casefold()
    if len(folded) == 1:
        return folded
    lowered = character.lower()
    return lowered if len(lowered) == 1 else character


def _text_test(
    test: Callable[[str, str], bool], *, positive: bool
) -> Callable[[Value, Value, Value], bool]:
    def one(text: Value, other: Value) -> bool:
        return isinstance(text, str) and isinstance(other, str) and test(text, other) is positive

    def folded(text: Value, other: Value) -> bool:
        if not (isinstance(text, str) and isinstance(other, str)):
            return False
        return test(fold(text), fold(other)) is positive

    def apply(text: Value, other: Value, case_sensitive: Value = True) -> bool:
        predicate = folded if case_sensitive is False else one
        if isinstance(text, list) or isinstance(other, list):
            return any_pair(predicate, text, other)
        return predicate(text, other)

    return apply


starts_with = _text_test(str.startswith, positive=True)
does_not_start_with = _text_test(str.startswith, positive=False)
ends_with = _text_test(str.endswith, positive=True)
does_not_end_with = _text_test(str.endswith, positive=False)
contains = _text_test(str.__contains__, positive=True)
does_not_contain = _text_test(str.__contains__, positive=False)
like = _text_test(regex.like, positive=True)
matches = _text_test(regex.finds, positive=True)
_equal_texts = _text_test(str.__eq__, positive=True)
_unequal_texts = _text_test(str.__eq__, positive=False)


def regex_group(text: Value, pattern: Value, number: Value) -> Value:
    """Return the text of a group of the first match; of a list one for each item that has it."""
    if isinstance(text, list):
        groups = [regex_group(item, pattern, number) for item in leaves(text)]
        return [group for group in groups if group is not None]
    if not (isinstance(text, str) and isinstance(pattern, str) and type(number) is int):
        return None
    return regex.group(text, pattern, number)


def _case_flag(arguments: Sequence[Value]) -> tuple[Sequence[Value], bool]:
    """Split `("x", false)` into the values and the flag; several strings mean any of them."""
    if len(arguments) > 1 and isinstance(arguments[-1], bool):
        return arguments[:-1], arguments[-1]
    return arguments, True


def _equal_ignoring_case(left: Value, right: Value) -> bool:
    return _equal_texts(left, right, False) or equal(left, right)


def equals(value: Value, *arguments: Value) -> bool:
    """Return `value.equals(a, b, …[, caseSensitive])`: equal to any of them."""
    others, case_sensitive = _case_flag(arguments)
    test = equal if case_sensitive else _equal_ignoring_case
    return any(test(value, other) for other in others)


def not_equal_to(value: Value, *arguments: Value) -> bool:
    """Return `value.notEqualTo(a, b, …[, caseSensitive])`: all exist and all differ."""
    others, case_sensitive = _case_flag(arguments)
    return all(_differs(value, other, case_sensitive) for other in others)


def _differs(value: Value, other: Value, case_sensitive: bool) -> bool:
    if case_sensitive:
        return unequal(value, other)
    if isinstance(value, list) != isinstance(other, list):
        return any_pair(lambda one, two: _differs(one, two, False), value, other)
    return unequal(value, other) and not _equal_ignoring_case(value, other)


def is_null(value: Value) -> bool:
    """Return whether the reference does not exist."""
    return value is None


def is_not_null(value: Value) -> bool:
    """Return whether the reference exists."""
    return value is not None


def count(value: Value) -> int:
    """Return the number of items of a list or entries of a map; 0 for anything else."""
    return len(value) if isinstance(value, list | dict) else 0


def _numbers(value: Value) -> list[int | float]:
    return [item for item in leaves(value) if is_number(item)] if isinstance(value, list) else []


def total(value: Value) -> int | float | None:
    """Return the sum of the numbers; 0 when there are none.

    Integers sum exactly; with any double the sum is the exact one, rounded once, so that the
    order of the items does not matter. Null when it is no finite number.
    """
    return _sum(_numbers(value))


def _sum(numbers: Iterable[int | float]) -> int | float | None:
    items = list(numbers)
    if all(isinstance(item, int) for item in items):
        whole = sum(items)
        return whole if -INT64 <= whole < INT64 else _sum_doubles([whole])
    return _sum_doubles(items)


def _sum_doubles(items: Sequence[int | float]) -> float | None:
    try:
        found = math.fsum(items)
    except (OverflowError, ValueError):  # too large, or both infinities
        return None
    return found if math.isfinite(found) else None


def average(value: Value) -> float | None:
    """Return the mean of the numbers as a double; null when there are none."""
    numbers = _numbers(value)
    whole = _sum(numbers)
    return None if not numbers or whole is None else whole / len(numbers)


def smallest(value: Value) -> int | float | None:
    """Return the smallest number; null when there are none."""
    return min(_numbers(value), default=None)


def largest(value: Value) -> int | float | None:
    """Return the largest number; null when there are none."""
    return max(_numbers(value), default=None)


def _holds(items: Iterable[Value], wanted: Value) -> bool:
    return any(same(item, wanted) for item in items)


def distinct(value: Value) -> list[Value] | None:
    """Return the items without repetition, in order of first occurrence, nulls dropped."""
    if not isinstance(value, list):
        return None
    found: list[Value] = []
    seen: set[object] = set()
    for item in value:
        if item is not None and not _is_seen(item, seen, found):
            found.append(item)
    return found


def _is_seen(item: Value, seen: set[object], found: list[Value]) -> bool:
    if isinstance(item, EventItem):
        key: object = id(item)
    elif isinstance(item, list | dict):
        return _holds(found, item)
    else:
        key = (isinstance(item, bool), item)
    if key in seen:
        return True
    seen.add(key)
    return False


def intersects(left: Value, right: Value) -> bool:
    """Return whether two lists share an item."""
    return bool(intersection(left, right))


def intersection(left: Value, right: Value) -> list[Value] | None:
    """Return the common items in the order of the left list, each once; null beside null."""
    if not (isinstance(left, list) and isinstance(right, list)):
        return None
    return [item for item in distinct(left) or [] if _holds(right, item)]


def subset_of(left: Value, right: Value) -> bool:
    """Return whether every item of the left list is in the right one."""
    if not (isinstance(left, list) and isinstance(right, list)):
        return False
    return all(_holds(right, item) for item in left)


def superset_of(left: Value, right: Value) -> bool:
    """Return whether every item of the right list is in the left one."""
    return subset_of(right, left)


def includes(value: Value, item: Value) -> bool:
    """Return whether the item is in the list."""
    return is_in(item, value)


def head(value: Value) -> Value:
    """Return the first item; null when there is none."""
    return value[0] if isinstance(value, list) and value else None


def get(value: Value, key: Value) -> Value:
    """Return the entry of a map; null when the key is absent."""
    return project(value, key) if isinstance(key, str) else None


def keys(value: Value) -> list[Value] | None:
    """Return the keys of a map in order of insertion; of a list of maps all of them."""
    if isinstance(value, dict):
        return list(value)
    if not isinstance(value, list):
        return None
    return [key for item in leaves(value) if isinstance(item, dict) for key in item]


def values(value: Value) -> list[Value] | None:
    """Return the values of a map in order of insertion; of a list of maps all of them."""
    if isinstance(value, dict):
        return list(value.values())
    if not isinstance(value, list):
        return None
    return [one for item in leaves(value) if isinstance(item, dict) for one in item.values()]


def _part_of_date(part: Callable[[int], int]) -> Callable[[Value], Value]:
    def apply(value: Value) -> Value:
        if isinstance(value, list):
            return [found for item in leaves(value) if (found := apply(item)) is not None]
        instant = calendar.parse_timestamp(value)
        return None if instant is None else part(instant)

    return apply


get_month = _part_of_date(calendar.month_of)
get_year = _part_of_date(calendar.year_of)
get_day_of_month = _part_of_date(calendar.day_of_month)


def date(year: Value, month: Value, day: Value) -> calendar.Day | None:
    """Return a UTC day; null when there is no such day."""
    if type(year) is not int or type(month) is not int or type(day) is not int:
        return None
    interval = calendar.day_interval(year, month, day)
    return None if interval is None else calendar.Day(interval[0])
