"""Definitions taken apart: a Boolean tree whose leaves the engine can follow one by one.

Leaves are tried from the cheapest to the dearest: a membership bit, a condition on attributes, a
comparison of a term, a chain, an expression over terms, and last an expression over the kept
events, which is evaluated again whenever anything it reads has changed. Whatever a leaf reads is
written down in it; the analysis may only err towards evaluating too much.
"""

from __future__ import annotations

from typing import Any

from app.engine.binding import bind_item, without_lets
from app.engine.bounds import Sliding
from app.engine.leaves import (
    AllOf,
    AnyOf,
    AttributeLeaf,
    ChainLeaf,
    ChainSpec,
    Condition,
    ExpressionLeaf,
    FilterSpec,
    HistoryLeaf,
    Negation,
    SegmentLeaf,
    TermLeaf,
    TermRef,
    TermSpec,
)
from app.engine.rewrite import conjuncts, reads_of, rebuild
from app.engine.terms import TermKind
from app.engine.windows import ALWAYS, Interval, intersect, window_of
from app.pql import ast
from app.pql.forms import gives_map
from app.pql.words import MIRRORED

AGGREGATES: dict[str, TermKind] = {
    "count": "count",
    "sum": "sum",
    "average": "average",
    "min": "min",
    "max": "max",
}


def condition_of(expression: ast.Expr, retention_ms: int) -> Condition:
    """Take a resolved Boolean expression apart.

    Args:
        retention_ms: Outer window of every event condition.
    """
    return _Decomposer(retention_ms).condition(expression)


class _Decomposer:
    def __init__(self, retention_ms: int) -> None:
        self._kept = Interval(Sliding(1 - retention_ms), ALWAYS.high)

    def condition(self, node: ast.Expr) -> Condition:
        match node:
            case ast.And(operands):
                return AllOf(tuple(self.condition(operand) for operand in operands))
            case ast.Or(operands):
                return AnyOf(tuple(self.condition(operand) for operand in operands))
            case ast.Not(operand):
                return Negation(self.condition(operand))
            case ast.Call("inSegment", (ast.Literal(segment_id),)):
                return SegmentLeaf(str(segment_id))
            case ast.Let():
                plain = without_lets(node)
                if not isinstance(plain, ast.Let):
                    return self.condition(plain)
        if not reads_of(node).events:
            return AttributeLeaf(node)
        return (
            self._existence(node)
            or self._chain(node)
            or self._comparison(node)
            or self._over_terms(node)
            or HistoryLeaf(node)
        )

    def _existence(self, node: ast.Expr) -> Condition | None:
        """A set of events in boolean position: is there one?"""
        if isinstance(node, ast.Comprehension) and node.kind == "forall":
            return self._forall(node)
        conditions = self._events(node)
        if conditions is None and isinstance(node, ast.Comprehension):
            conditions = self._nested_events(node)
        if conditions is None and isinstance(node, ast.MethodCall) and node.method == "exists":
            inner = self._events(node.receiver)
            conditions = None if inner is None else [*inner, *node.arguments]
        return self._at_least_one(conditions)

    def _forall(self, node: ast.Comprehension) -> Condition | None:
        """`forall E from S where c` fails exactly where an E of S has `not c`."""
        if len(node.declarations) != 1:
            return None
        declaration = node.declarations[0]
        conditions = self._events(declaration.source)
        if conditions is None:
            return None
        if declaration.condition is not None:
            conditions.append(ast.Not(bind_item(declaration.condition, declaration.variable)))
        else:
            conditions.append(ast.Literal(False))
        found = self._at_least_one(conditions)
        return None if found is None else Negation(found)

    def _at_least_one(self, conditions: list[ast.Expr] | None) -> Condition | None:
        spec = None if conditions is None else self._term("count", conditions, None)
        return None if spec is None else TermLeaf(spec, ">=", 1)

    def _events(self, node: Any) -> list[ast.Expr] | None:
        """Return the conditions of a set of events, or None if the node is no such set."""
        match node:
            case ast.EventsRef():
                return []
            case ast.Filter(array, condition):
                return self._narrowed(array, condition)
            case ast.MethodCall(array, "filter", (condition,)):
                return self._narrowed(array, condition)
            case ast.Comprehension("select" | "exists", (only,)):
                return self._declared(only)
        return None

    def _narrowed(self, array: ast.Expr, condition: ast.Expr) -> list[ast.Expr] | None:
        conditions = self._events(array)
        return None if conditions is None else [*conditions, condition]

    def _declared(self, declaration: ast.Declaration) -> list[ast.Expr] | None:
        conditions = self._events(declaration.source)
        if conditions is None or declaration.condition is None:
            return conditions
        return [*conditions, bind_item(declaration.condition, declaration.variable)]

    def _nested_events(self, node: ast.Comprehension) -> list[ast.Expr] | None:
        """`exists E from xEvent where c, I from E.items where d`: one condition on E."""
        first, rest = node.declarations[0], node.declarations[1:]
        if not rest or reads_of(ast.Comprehension("exists", rest)).events:
            return None
        conditions = self._declared(first)
        if conditions is None:
            return None
        return [*conditions, bind_item(ast.Comprehension("exists", rest), first.variable)]

    def _term(
        self, kind: TermKind, conditions: list[ast.Expr], value: ast.Expr | None
    ) -> TermSpec | None:
        split = self._split(conditions)
        if split is None or (value is not None and not reads_of(value).only_item):
            return None
        pure, interval = split
        return TermSpec(kind, FilterSpec(pure, value), interval)

    def _split(self, conditions: list[ast.Expr]) -> tuple[tuple[ast.Expr, ...], Interval] | None:
        """Part the conditions on one event into those on the event alone and its window."""
        pure: dict[str, ast.Expr] = {}
        interval = self._kept
        for part in (part for condition in conditions for part in conjuncts(condition)):
            if reads_of(part).only_item:
                pure[repr(part)] = part
                continue
            window = moving_window(part)
            if window is None:
                return None
            interval = intersect(interval, window)
        return tuple(pure[text] for text in sorted(pure)), interval

    def _chain(self, node: Any) -> Condition | None:
        if not isinstance(node, ast.Chain):
            return None
        conditions = self._events(node.array)
        if conditions is None:
            return None
        steps = []
        for step in node.steps:
            parts = [*conditions, step.what]
            if step.where is not None:
                parts.append(step.where)
            if step.when is not None:
                parts.append(ast.Occurs(_EVENT_TIME, step.when))
            split = self._split(parts)
            if split is None:
                return None
            steps.append((FilterSpec(split[0]), split[1], step.count or 1))
        if len(steps) == 1:
            filter_spec, interval, count = steps[0]
            return TermLeaf(TermSpec("count", filter_spec, interval), ">=", count)
        return ChainLeaf(ChainSpec(tuple(steps)))

    def _comparison(self, node: Any) -> Condition | None:
        if not isinstance(node, ast.Binary) or node.operator not in MIRRORED:
            return None
        left, right = node.left, node.right
        operator: str = node.operator
        if _number(left) is not None:
            left, right, operator = right, left, MIRRORED[operator]
        constant = _number(right)
        spec = self._aggregate(left)
        if constant is None or spec is None:
            return None
        return TermLeaf(spec, operator, constant)

    def _aggregate(self, node: Any) -> TermSpec | None:
        match node:
            case ast.MethodCall(ast.MethodCall(array, "map", (value,)) as mapped, method, ()) if (
                method in AGGREGATES and not isinstance(value, ast.Lambda)
            ):
                # What is added up of a `map` is the `sum` of its body.
                if gives_map(mapped):
                    return None
                arguments = () if method == "count" else (value,)
                return self._aggregate(ast.MethodCall(array, method, arguments))
            case ast.MethodCall(array, "count", ()):
                conditions = self._events(array)
                return None if conditions is None else self._term("count", conditions, None)
            case ast.MethodCall(array, method, (value,)) if method in AGGREGATES:
                conditions = self._events(array)
                if conditions is None:
                    return None
                return self._term(AGGREGATES[method], conditions, value)
            case ast.Aggregate(kind, value, (only,)) if value is not None:
                conditions = self._declared(only)
                if conditions is None:
                    return None
                return self._term(kind, conditions, bind_item(value, only.variable))
        return None

    def _over_terms(self, node: ast.Expr) -> Condition | None:
        specs: list[TermSpec] = []

        def change(part: Any, depth: int) -> Any:
            spec = self._aggregate(part) if depth == 0 else None
            if spec is None:
                return None
            specs.append(spec)
            return TermRef(spec)

        expression = rebuild(node, change)
        if not specs or reads_of(expression).events:
            return None
        return ExpressionLeaf(expression, tuple(dict.fromkeys(specs)))


_EVENT_TIME = ast.Field(ast.ItemRef(0), "timestamp")


def is_event_time(node: Any) -> bool:
    """Tell whether an expression is the `timestamp` of the current event."""
    return bool(node == _EVENT_TIME)


def moving_window(part: Any) -> Interval | None:
    """Return the window that a condition puts on the time of the event, if it is one interval."""
    if not isinstance(part, ast.Occurs) or not is_event_time(part.operand):
        return None
    window = window_of(part.tail)
    if window is None or window.negated or len(window.intervals) != 1:
        return None
    return window.intervals[0]


def _number(node: Any) -> int | float | None:
    if isinstance(node, ast.Negative):
        inner = _number(node.operand)
        return None if inner is None else -inner
    if isinstance(node, ast.Literal) and type(node.value) in (int, float):
        return node.value  # type: ignore[return-value]  # narrowed by the type test
    return None
