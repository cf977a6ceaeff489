"""What a single condition needs to become true, or false: in words, as structure, with an example.

An example is a value for a field of the profile, or an event. It is one that the oracle agrees to:
values are tried until the condition is what it is wanted to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from app.domain.model import JsonObject
from app.engine.bounds import MAX_MS, MIN_MS
from app.engine.windows import window_of
from app.pql import ast
from app.pql.ast import Expr, Node, Span
from app.pql.calendar import FIRST_MS, LAST_MS
from app.pql.functions import FUNCTIONS
from app.pql.values import Value

NeedKind: TypeAlias = Literal[
    "attribute", "events", "fewer-events", "segment", "sequence", "time", "condition"
]


_CONSTANT = (
    *(ast.Literal, ast.ListLiteral, ast.ObjectLiteral),
    *(ast.Negative, ast.Binary, ast.Not, ast.And, ast.Or, ast.MethodCall),
)


class Missing:
    """In place of a value: the field is not there."""


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value that a field is given.

    Attributes:
        of_event: The field is of the event in question, else of the profile.
    """

    path: tuple[str, ...]
    value: Any
    of_event: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that would have to be so.

    Attributes:
        words: A sentence.
        wanted: What the condition has to become.
        cost: How much has to happen; only good for comparing.
        path: The field, of an attribute.
        current: The value that decides, as it is.
        operator, operand: The relation that is needed, of a comparison with a known value.
        count: How many events.
        assignment: An example, of an attribute.
        event: An example, of events that are to come.
        segment_id: Of a membership.
    """

    kind: NeedKind
    words: str
    text: str
    span: Span
    wanted: bool
    cost: int
    path: str = ""
    current: Value = None
    operator: str = ""
    operand: Value = None
    count: int = 0
    assignment: Assignment | None = None
    event: JsonObject | None = None
    segment_id: str = ""


def path_of(node: Expr) -> tuple[tuple[str, ...], Expr] | None:
    """Return the names of a path from its root, and the root; None for what is no path."""
    names: list[str] = []
    while isinstance(node, ast.Field):
        names.insert(0, node.name)
        node = node.object
    return (tuple(names), node) if names else None


def subject_of(node: Expr) -> Expr | None:
    """Return the path that a condition is about: its operand that is no constant."""
    if isinstance(node, ast.Binary):
        sides = [side for side in (node.left, node.right) if not is_constant(side)]
        return sides[0] if len(sides) == 1 else None
    if isinstance(node, ast.MethodCall) and all(is_constant(one) for one in node.arguments):
        return node.receiver
    if isinstance(node, ast.Occurs):
        return node.operand
    return node if isinstance(node, ast.Field) else None


def is_constant(node: Node) -> bool:
    """Tell whether a node has the same value for each profile at each instant."""
    return all(
        not uses_clock(part) if isinstance(part, ast.Call) else isinstance(part, _CONSTANT)
        for part in ast.walk(node)
    )


def uses_clock(node: ast.Call) -> bool:
    """Tell whether a function reads the clock, or what is stored elsewhere."""
    spec = FUNCTIONS.get(node.function)
    return node.function == "inSegment" or (spec is not None and spec.needs_now)


def candidates(node: Expr, current: Value, now_ms: int) -> Iterator[Any]:
    """Yield values that may make a condition true or false, the most natural first."""
    if isinstance(node, ast.Occurs):
        yield from _instants(node.tail, now_ms)
    for constant in _constants(node):
        yield constant
        if isinstance(constant, bool):
            yield not constant
        elif isinstance(constant, int | float):
            yield from (constant + 1, constant - 1)
        else:
            yield from (constant.replace("%", "").replace("_", "x"), f"{constant}-other")
        yield [*(current if isinstance(current, list) else ()), constant]
    yield from ("other", 1, True, [], "", MISSING)


def _constants(node: Node) -> list[str | int | float | bool]:
    found = [part.value for part in ast.walk(node) if isinstance(part, ast.Literal)]
    return list(dict.fromkeys(found))[:8]


def _instants(tail: ast.OccursTail, now_ms: int) -> Iterator[int]:
    window = window_of(tail)
    yield now_ms
    for interval in () if window is None else window.intervals:
        for edge in (interval.low.at(now_ms), interval.high.at(now_ms)):
            if MIN_MS < edge < MAX_MS:
                yield from (at for at in (edge, edge - 1, edge + 1) if FIRST_MS < at < LAST_MS)


def assigned(document: JsonObject, assignment: Assignment) -> JsonObject | None:
    """Return a document with a field set or taken out; None where no object is on the way."""
    found = dict(document)
    at = found
    *way, last = assignment.path
    for name in way:
        inner = at.get(name)
        if inner is not None and type(inner) is not dict:
            return None
        below = dict(inner or {})
        at[name] = below
        at = below
    if isinstance(assignment.value, Missing):
        at.pop(last, None)
    else:
        at[last] = assignment.value
    return found


def relation_words(node: Expr, *, wanted: bool, subject: Expr) -> tuple[str, str]:
    """Return operator and words of the relation that a comparison is to have with its constant."""
    if isinstance(node, ast.Field):
        return "", "be true" if wanted else "be false"
    operator = _operator_of(node)
    if isinstance(node, ast.Binary) and node.right is subject:
        operator = _MIRRORED.get(operator, operator)
    if not wanted:
        operator = _NEGATED.get(operator, f"not {operator}")
    return operator, _WORDS.get(operator, operator)


def _operator_of(node: Expr) -> str:
    if isinstance(node, ast.Binary):
        return node.operator
    return node.method if isinstance(node, ast.MethodCall) else "occurs"


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "in": "includes"}
_NEGATED = {
    "=": "!=",
    "!=": "=",
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "in": "notIn",
    "includes": "not includes",
    "notIn": "in",
    "isNull": "isNotNull",
    "isNotNull": "isNull",
    "startsWith": "doesNotStartWith",
    "doesNotStartWith": "startsWith",
    "endsWith": "doesNotEndWith",
    "doesNotEndWith": "endsWith",
    "contains": "doesNotContain",
    "doesNotContain": "contains",
    "equals": "notEqualTo",
    "notEqualTo": "equals",
}
_WORDS = {
    "=": "be equal to",
    "!=": "be different from",
    "<": "be less than",
    "<=": "be at most",
    ">": "be greater than",
    ">=": "be at least",
    "in": "be one of",
    "notIn": "be none of",
    "like": "be like",
    "not like": "not be like",
    "matches": "match",
    "not matches": "not match",
    "isNull": "be missing",
    "isNotNull": "be there",
    "startsWith": "begin with",
    "doesNotStartWith": "not begin with",
    "endsWith": "end with",
    "doesNotEndWith": "not end with",
    "contains": "contain",
    "doesNotContain": "not contain",
    "equals": "be equal to",
    "notEqualTo": "be different from",
    "includes": "include",
    "not includes": "not include",
    "intersects": "share an item with",
    "not intersects": "share no item with",
    "subsetOf": "have only items of",
    "not subsetOf": "have an item that is not in",
    "supersetOf": "have all items of",
    "not supersetOf": "lack an item of",
    "occurs": "occur",
    "not occurs": "not occur",
}


def nearest_count(operator: str, bound: Value, count: int, *, wanted: bool) -> int | None:
    """Return the number nearest to `count` for which a comparison of it is true, or false."""
    compare = FUNCTIONS[operator].implementation
    if compare is None or isinstance(bound, bool) or not isinstance(bound, int | float):
        return None
    around = int(min(max(bound, -1), 1_000_000))
    tried: Sequence[int] = (count - 1, count + 1, *range(max(around - 1, 0), around + 3))
    found = [one for one in tried if one >= 0 and compare(one, bound) is wanted]
    return min(found, key=lambda one: abs(one - count), default=None)
