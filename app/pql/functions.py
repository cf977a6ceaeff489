"""The one table of functions, methods and operators.

The checker, the oracle and the compiled engine read it; `docs/pql-functions.md` is made from it.
The helpers on values are exported from here too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from app.pql import calendar, grouping, library
from app.pql.types import Type
from app.pql.values import (
    EventItem,
    arithmetic,
    coerce,
    compare,
    equal,
    is_in,
    is_not_in,
    is_number,
    negative,
    project,
    same,
    truth,
    unequal,
)
from app.pql.words import PER_ITEM_METHODS

__all__ = [
    "FUNCTIONS",
    "EventItem",
    "FunctionSpec",
    "arithmetic",
    "coerce",
    "compare",
    "equal",
    "is_in",
    "is_not_in",
    "is_number",
    "negative",
    "project",
    "same",
    "truth",
    "unequal",
]

Kind: TypeAlias = Literal["function", "method", "operator"]


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """What is known of one function.

    Attributes:
        receiver: Type of the value before the dot, or of the left operand.
        arguments: Types of the arguments; the last one repeats when there are more.
        minimum, maximum: How many arguments; None is no limit.
        implementation: On plain values, the receiver first. None where the interpreter decides
            what is evaluated at all: `and`, `or`, `not`, `if`, `filter`, `exists`, `map`,
            `inSegment`.
            For a per-item method it takes the list of the values of the argument, with
            `sees_items` after the receiver and before the other arguments. With `needs_now` it
            takes the current instant in epoch ms instead.
        per_item: The first argument is evaluated per item, which is its innermost scope.
    """

    name: str
    kind: Kind
    receiver: Type
    arguments: tuple[Type, ...]
    minimum: int
    maximum: int | None
    result: Type
    implementation: Callable[..., Any] | None
    doc: str
    per_item: bool = False
    needs_now: bool = False
    sees_items: bool = False


def _function(
    name: str,
    arguments: tuple[Type, ...],
    result: Type,
    implementation: Callable[..., Any] | None,
    doc: str,
    **more: bool,
) -> FunctionSpec:
    size = len(arguments)
    return FunctionSpec(
        name, "function", "any", arguments, size, size, result, implementation, doc, **more
    )


def _method(
    name: str,
    receiver: Type,
    arguments: tuple[Type, ...],
    bounds: tuple[int, int | None],
    result: Type,
    implementation: Callable[..., Any] | None,
    doc: str,
    **more: bool,
) -> FunctionSpec:
    per_item = name in PER_ITEM_METHODS
    return FunctionSpec(
        name,
        "method",
        receiver,
        arguments,
        *bounds,
        result,
        implementation,
        doc,
        per_item=per_item,
        **more,
    )


def _operator(
    name: str, left: Type, right: Type, result: Type, apply: Callable[..., Any] | None, doc: str
) -> FunctionSpec:
    return FunctionSpec(name, "operator", left, (right,), 1, 1, result, apply, doc)


def _text(name: str, apply: Callable[..., Any], doc: str) -> FunctionSpec:
    types: tuple[Type, ...] = ("string", "boolean")
    return _method(name, "string", types, (1, 2), "boolean", apply, doc)


def _sets(name: str, result: Type, apply: Callable[..., Any], doc: str) -> FunctionSpec:
    return _method(name, "array", ("array",), (1, 1), result, apply, doc)


def _aggregate(name: str, apply: Callable[..., Any], doc: str) -> FunctionSpec:
    return _method(name, "array", ("number",), (0, 1), "number", apply, doc)


def _comparison(name: str, doc: str) -> FunctionSpec:
    def apply(left: Any, right: Any) -> bool:
        return compare(name, left, right)

    is_ordering = name not in {"=", "!="}
    operand: Type = "number" if is_ordering else "any"
    return _operator(name, operand, operand, "boolean", apply, doc)


def _calculation(name: str, doc: str) -> FunctionSpec:
    def apply(left: Any, right: Any) -> int | float | None:
        return arithmetic(name, left, right)

    return _operator(name, "number", "number", "number", apply, doc)


def _best(name: str, apply: Callable[..., Any], doc: str) -> FunctionSpec:
    types: tuple[Type, ...] = ("any", "number")
    return _method(name, "array", types, (2, 2), "array", apply, doc, sees_items=True)


_TABLE = (
    _operator("and", "any", "any", "boolean", None, "both are true; null is false"),
    _operator("or", "any", "any", "boolean", None, "either is true; null is false"),
    _operator("not", "any", "any", "boolean", None, "is not true; `not null` is true"),
    _comparison("=", "equal; false beside null"),
    _comparison("!=", "both exist and differ"),
    _comparison("<", "both are numbers, less"),
    _comparison("<=", "both are numbers, less or equal"),
    _comparison(">", "both are numbers, greater"),
    _comparison(">=", "both are numbers, greater or equal"),
    _calculation("+", "sum; null beside null"),
    _calculation("-", "difference"),
    _calculation("*", "product"),
    _calculation("/", "real division; null when dividing by zero"),
    _calculation("%", "remainder with the sign of the dividend; null for % 0"),
    _operator("in", "any", "array", "boolean", is_in, "is an item of the list"),
    _operator("notIn", "any", "array", "boolean", is_not_in, "both exist, no item is equal"),
    _operator(
        "like",
        "string",
        "string",
        "boolean",
        library.like,
        "whole text; % is any run, _ any one",
    ),
    _function("if", ("any", "any", "any"), "any", None, "second argument when the first is true"),
    _function("inSegment", ("string",), "boolean", None, "is a member of the segment"),
    _function("date", ("number", "number", "number"), "date", library.date, "a UTC day"),
    _function(
        "currentMonth", (), "number", calendar.month_of, "month of the run, UTC", needs_now=True
    ),
    _function(
        "currentYear", (), "number", calendar.year_of, "year of the run, UTC", needs_now=True
    ),
    _function(
        "currentDayOfMonth",
        (),
        "number",
        calendar.day_of_month,
        "day of the month of the run, UTC",
        needs_now=True,
    ),
    _text("startsWith", library.starts_with, "begins with the text"),
    _text("doesNotStartWith", library.does_not_start_with, "both exist, does not begin with it"),
    _text("endsWith", library.ends_with, "ends with the text"),
    _text("doesNotEndWith", library.does_not_end_with, "both exist, does not end with it"),
    _text("contains", library.contains, "holds the text"),
    _text("doesNotContain", library.does_not_contain, "both exist, does not hold it"),
    _method(
        "matches",
        "string",
        ("string",),
        (1, 1),
        "boolean",
        library.matches,
        "a Java regular expression is found in it; also infix",
    ),
    _method(
        "equals",
        "any",
        ("any",),
        (1, None),
        "boolean",
        library.equals,
        "equal to any of the arguments; a last Boolean after another argument is the case flag",
    ),
    _method(
        "notEqualTo",
        "any",
        ("any",),
        (1, None),
        "boolean",
        library.not_equal_to,
        "all exist and all differ; case flag as in equals",
    ),
    _method("isNull", "any", (), (0, 0), "boolean", library.is_null, "does not exist"),
    _method("isNotNull", "any", (), (0, 0), "boolean", library.is_not_null, "exists"),
    _method(
        "count", "collection", (), (0, 0), "number", library.count, "number of items; 0 of null"
    ),
    _aggregate("sum", library.total, "sum of the numbers; 0 of nothing"),
    _aggregate("average", library.average, "mean of the numbers; null of nothing"),
    _aggregate("min", library.smallest, "smallest number; null of nothing"),
    _aggregate("max", library.largest, "largest number; null of nothing"),
    _sets("intersects", "boolean", library.intersects, "both lists exist and share an item"),
    _sets("intersection", "array", library.intersection, "common items"),
    _sets("subsetOf", "boolean", library.subset_of, "every item is in the other list"),
    _sets("supersetOf", "boolean", library.superset_of, "holds every item of the other list"),
    _method("includes", "array", ("any",), (1, 1), "boolean", library.includes, "holds the item"),
    _method("distinct", "array", (), (0, 0), "array", library.distinct, "repetitions dropped"),
    _method("head", "array", (), (0, 0), "any", library.head, "first item; null of nothing"),
    _method("filter", "array", ("any",), (1, 1), "array", None, "items that satisfy the condition"),
    _method("exists", "array", ("any",), (1, 1), "boolean", None, "some item satisfies it"),
    _method("get", "object", ("string",), (1, 1), "any", library.get, "entry of a map, or null"),
    _method("keys", "object", (), (0, 0), "array", library.keys, "keys of a map"),
    _method("values", "object", (), (0, 0), "array", library.values, "values of a map"),
    _method("getMonth", "any", (), (0, 0), "number", library.get_month, "month in UTC"),
    _method("getYear", "any", (), (0, 0), "number", library.get_year, "year in UTC"),
    _method(
        "getDayOfMonth",
        "any",
        (),
        (0, 0),
        "number",
        library.get_day_of_month,
        "day of the month in UTC",
    ),
    _method(
        "map",
        "collection",
        ("any",),
        (1, 1),
        "any",
        None,
        "list of one value per item, or per value of a map; a map, where that is a `mapEntry`",
    ),
    _method(
        "groupBy",
        "array",
        ("any",),
        (1, 1),
        "object",
        grouping.group_by,
        "map from each key to its items; items whose key is no string, number or Boolean are "
        "left out",
        sees_items=True,
    ),
    _best("topN", grouping.top_n, "the n items with the largest numbers, descending"),
    _best("bottomN", grouping.bottom_n, "the n items with the smallest numbers, ascending"),
    _method(
        "regexGroup",
        "string",
        ("string", "number"),
        (2, 2),
        "string",
        library.regex_group,
        "text of a group of the first match, 0 for all of it; null when there is none",
    ),
    _function(
        "mapEntry",
        ("any", "any"),
        "any",
        grouping.map_entry,
        "key and value of the map that `map` makes; stands only as its argument",
    ),
)

FUNCTIONS: Final[dict[str, FunctionSpec]] = {spec.name: spec for spec in _TABLE}
"""By name; `matches` is a method that can also be written infix."""
