"""Truth tables of null, truth, coercion, equality, arithmetic and projection."""

from __future__ import annotations

from typing import Any

import pytest

from app.pql.values import (
    EventItem,
    arithmetic,
    coerce,
    compare,
    equal,
    is_in,
    is_not_in,
    negative,
    project,
    same,
    truth,
    unequal,
)

DEEP: Any = None
for _ in range(3_000):
    DEEP = [DEEP]
EVENT = EventItem(a=1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        (True, True),
        (False, False),
        ([], False),
        ([None], True),
        ({}, True),
        ("", True),
        (0, True),
        (0.0, True),
        ("x", True),
    ],
)
def test_truth(value: Any, expected: bool) -> None:
    assert truth(value) is expected


@pytest.mark.parametrize(
    ("left", "right", "is_equal", "is_unequal"),
    [
        (None, None, False, False),
        (None, 1, False, False),
        (1, None, False, False),
        (1, 1.0, True, False),
        (1, 2, False, True),
        (True, 1, False, True),
        (1, True, False, True),
        ("a", "A", False, True),
        (6, "6", True, False),
        ("6", 6, True, False),
        ("06", 6, False, True),
        (6, "06", True, False),
        (6, "six", False, True),
        (True, "true", True, False),
        (True, "yes", False, True),
        ("true", True, True, False),
        ([1, 2], [1, 2], True, False),
        ([1, 2], [2, 1], False, True),
        ([True], [1], False, True),
        ([1, 2], 2, True, True),
        (2, [2], True, False),
        ([], 2, False, False),
        ([[1], [2]], 2, True, True),
        ({"a": 1}, {"a": 1.0}, True, False),
        ({"a": 1}, {"a": True}, False, True),
        ({"a": 1}, "x", False, True),
        (EVENT, EVENT, True, False),
        (EVENT, EventItem(a=1), False, True),
        (DEEP, DEEP, True, False),
    ],
)
def test_equality(left: Any, right: Any, is_equal: bool, is_unequal: bool) -> None:
    assert equal(left, right) is is_equal
    assert compare("=", left, right) is is_equal
    assert unequal(left, right) is is_unequal
    assert compare("!=", left, right) is is_unequal


@pytest.mark.parametrize(
    ("left", "right", "less", "at_most"),
    [
        (1, 2, True, True),
        (2, 2.0, False, True),
        (3, 2, False, False),
        (None, 2, False, False),
        ("1", 2, False, False),
        (True, 2, False, False),
        (float("nan"), 2, False, False),
        ([5, 1], 2, True, True),
        ([], 2, False, False),
        ([1], [2], False, False),
    ],
)
def test_order(left: Any, right: Any, less: bool, at_most: bool) -> None:
    assert compare("<", left, right) is less
    assert compare("<=", left, right) is at_most
    assert compare(">", right, left) is less
    assert compare(">=", right, left) is at_most


@pytest.mark.parametrize(
    ("item", "collection", "inside", "outside"),
    [
        (3, [3, 6], True, False),
        (4, [3, 6], False, True),
        ("3", [3], True, False),
        (3, ["3"], True, False),
        (None, [None], False, False),
        (3, None, False, False),
        (3, "3", False, False),
        (3, [], False, True),
        ([1, 3], [3], True, True),
        (True, [1], False, True),
    ],
)
def test_membership(item: Any, collection: Any, inside: bool, outside: bool) -> None:
    assert is_in(item, collection) is inside
    assert is_not_in(item, collection) is outside


@pytest.mark.parametrize(
    ("operator", "left", "right", "expected"),
    [
        ("+", 1, 2, 3),
        ("-", 1, 2.5, -1.5),
        ("*", 3, 4, 12),
        ("/", 5, 2, 2.5),
        ("/", 5, 0, None),
        ("%", 7, 5, 2),
        ("%", -7, 5, -2),
        ("%", 7, -5, 2),
        ("%", -7.5, 5, -2.5),
        ("%", 7, 0, None),
        ("+", None, 1, None),
        ("+", "1", 1, None),
        ("+", True, 1, None),
        ("+", [1], 1, None),
        ("*", 1e300, 1e300, None),
        ("*", 10**200, 10**200, None),
        ("%", float("inf"), 2, None),
    ],
)
def test_arithmetic(operator: str, left: Any, right: Any, expected: Any) -> None:
    found = arithmetic(operator, left, right)

    assert found == expected
    assert type(found) is type(expected)


def test_integers_beyond_64_bits_become_doubles() -> None:
    found = arithmetic("*", 2**40, 2**40)

    assert found == float(2**80)
    assert isinstance(found, float)


@pytest.mark.parametrize(("value", "expected"), [(5, -5), (-2.5, 2.5), (None, None), ("5", None)])
def test_negative(value: Any, expected: Any) -> None:
    assert negative(value) == expected


@pytest.mark.parametrize(
    ("value", "like", "expected"),
    [
        ("true", False, True),
        ("TRUE", False, None),
        (1, False, None),
        ("6", 1, 6),
        (" -6.5 ", 1, -6.5),
        ("1e3", 1, 1000.0),
        ("1e999", 1, None),
        ("", 1, None),
        ("9" * 100, 1, None),
        (6, "", "6"),
        (6.5, "", "6.5"),
        (False, "", "false"),
        ([1], "", None),
    ],
)
def test_coerce(value: Any, like: Any, expected: Any) -> None:
    assert coerce(value, like) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1}, 1),
        ({}, None),
        (None, None),
        ("text", None),
        (5, None),
        ([{"a": 1}, {"b": 2}, {"a": None}, 7, {"a": [2, [3, None]]}], [1, 2, 3]),
        ([{"b": 1}], None),
        ([], None),
        ([[{"a": 1}], [{"a": 2}]], [1, 2]),
        (DEEP, None),
    ],
)
def test_project(value: Any, expected: Any) -> None:
    assert project(value, "a") == expected


def test_events_are_the_same_only_as_themselves_also_inside_lists() -> None:
    assert same([EVENT], [EVENT])
    assert not same([EVENT], [EventItem(a=1)])
    assert not same(EVENT, {"a": 1})
