"""Evaluates a resolved expression by brute force over attributes and all events, at one instant.

Short and obviously right: it keeps nothing, prepares nothing and looks at every event. `explain`
and small samples use it, and property tests hold the incremental engine to it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.pql import ast, occurs
from app.pql.ast import Declaration, Expr, OccursTail, Step
from app.pql.calendar import day_interval, parse_timestamp
from app.pql.functions import FUNCTIONS, EventItem, negative, project, truth
from app.pql.library import average, largest, smallest, total
from app.pql.occurs import Interval
from app.pql.values import Value, leaves

_AGGREGATES = {"sum": total, "average": average, "min": smallest, "max": largest}


@dataclass(frozen=True, slots=True)
class Event:
    """One kept event.

    Attributes:
        at_ms: When it happened, as ingestion understood it; expressions see it as `timestamp`.
        order: Position in the history, oldest first; unique in a profile.
        body: The event as it was sent.
    """

    at_ms: int
    order: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """One profile at one instant.

    Attributes:
        attributes: The profile record.
        events: The visible events, in any order; retention is applied by the caller.
        member_of: Ids of the segments it is a member of.
        now_ms: The instant of the evaluation, epoch ms.
    """

    attributes: dict[str, Any]
    events: Sequence[Event]
    member_of: Container[str]
    now_ms: int


def matches(expr: Expr, subject: Subject) -> bool:
    """Tell whether the profile belongs to the segment that a resolved expression defines."""
    return truth(evaluate(expr, subject))


def evaluate(expr: Expr, subject: Subject) -> Value:
    """Return the value of a resolved expression; null or false where data does not fit."""
    return _Interpreter(subject).value(expr, _Frame((), {}))


@dataclass(frozen=True, slots=True)
class _Frame:
    """The current items, innermost first, and the bound variables."""

    items: tuple[Value, ...]
    variables: dict[str, Value]

    def with_item(self, item: Value) -> _Frame:
        return _Frame((item, *self.items), self.variables)

    def with_variable(self, name: str, value: Value) -> _Frame:
        return _Frame(self.items, {**self.variables, name: value})


class _Interpreter:
    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        in_order = sorted(subject.events, key=lambda event: event.order)
        self._events = [EventItem(event.body, timestamp=event.at_ms) for event in in_order]

    def value(self, node: Expr, frame: _Frame) -> Value:
        return _RULES[type(node)](self, node, frame)

    def _is_true(self, node: Expr | None, frame: _Frame) -> bool:
        return node is None or truth(self.value(node, frame))

    def literal(self, node: ast.Literal, frame: _Frame) -> Value:
        return node.value

    def list_literal(self, node: ast.ListLiteral, frame: _Frame) -> Value:
        return [self.value(item, frame) for item in node.items]

    def profile(self, node: ast.ProfileRef, frame: _Frame) -> Value:
        return self._subject.attributes

    def events(self, node: ast.EventsRef, frame: _Frame) -> Value:
        return self._events

    def item(self, node: ast.ItemRef, frame: _Frame) -> Value:
        return frame.items[node.depth]

    def variable(self, node: ast.Variable, frame: _Frame) -> Value:
        return frame.variables[node.name]

    def field(self, node: ast.Field, frame: _Frame) -> Value:
        return project(self.value(node.object, frame), node.name)

    def conjunction(self, node: ast.And, frame: _Frame) -> bool:
        return all(self._is_true(operand, frame) for operand in node.operands)

    def disjunction(self, node: ast.Or, frame: _Frame) -> bool:
        return any(self._is_true(operand, frame) for operand in node.operands)

    def negation(self, node: ast.Not, frame: _Frame) -> bool:
        return not self._is_true(node.operand, frame)

    def negative(self, node: ast.Negative, frame: _Frame) -> Value:
        return negative(self.value(node.operand, frame))

    def binary(self, node: ast.Binary, frame: _Frame) -> Value:
        left, right = self.value(node.left, frame), self.value(node.right, frame)
        return _implementation(node.operator)(left, right)

    def call(self, node: ast.Call, frame: _Frame) -> Value:
        if node.function == "if":
            test, positive, otherwise = node.arguments
            return self.value(positive if self._is_true(test, frame) else otherwise, frame)
        arguments = [self.value(argument, frame) for argument in node.arguments]
        if node.function == "inSegment":
            return arguments[0] in self._subject.member_of
        if FUNCTIONS[node.function].needs_now:
            return _implementation(node.function)(self._subject.now_ms)
        return _implementation(node.function)(*arguments)

    def method_call(self, node: ast.MethodCall, frame: _Frame) -> Value:
        receiver = self.value(node.receiver, frame)
        if node.method == "filter":
            return self._filtered(receiver, node.arguments[0], frame)
        if node.method == "exists":
            return bool(self._filtered(receiver, node.arguments[0], frame))
        if FUNCTIONS[node.method].per_item and node.arguments:
            items = receiver if isinstance(receiver, list) else []
            per_item = [self.value(node.arguments[0], frame.with_item(item)) for item in items]
            return _implementation(node.method)(per_item)
        arguments = [self.value(argument, frame) for argument in node.arguments]
        return _implementation(node.method)(receiver, *arguments)

    def filter(self, node: ast.Filter, frame: _Frame) -> Value:
        return self._filtered(self.value(node.array, frame), node.condition, frame)

    def _filtered(self, array: Value, condition: Expr, frame: _Frame) -> list[Value] | None:
        if not isinstance(array, list):
            return None
        return [item for item in array if self._is_true(condition, frame.with_item(item))]

    def comprehension(self, node: ast.Comprehension, frame: _Frame) -> Value:
        if node.kind == "forall":
            return self._holds_for_all(node.declarations, frame)
        found = list(self._tuples(node.declarations, frame))
        if node.kind == "exists":
            return bool(found)
        names = [declaration.variable for declaration in node.declarations]
        rows = [[bound.variables[name] for name in names] for bound in found]
        return rows if len(names) > 1 else [row[0] for row in rows]

    def _tuples(self, declarations: Sequence[Declaration], frame: _Frame) -> Iterator[_Frame]:
        if not declarations:
            yield frame
            return
        first, *rest = declarations
        source = self.value(first.source, frame)
        for item in source if isinstance(source, list) else []:
            bound = frame.with_variable(first.variable, item)
            if self._is_true(first.condition, bound):
                yield from self._tuples(rest, bound)

    def _holds_for_all(self, declarations: Sequence[Declaration], frame: _Frame) -> bool:
        if not declarations:
            return True
        first, *rest = declarations
        source = self.value(first.source, frame)
        if not isinstance(source, list):
            return False
        bounds = [frame.with_variable(first.variable, item) for item in source]
        return all(
            self._is_true(first.condition, bound) and self._holds_for_all(rest, bound)
            for bound in bounds
        )

    def aggregate(self, node: ast.Aggregate, frame: _Frame) -> Value:
        value = node.value or ast.Variable(node.declarations[0].variable)
        found = [self.value(value, bound) for bound in self._tuples(node.declarations, frame)]
        return _AGGREGATES[node.kind](found)

    def chain(self, node: ast.Chain, frame: _Frame) -> bool:
        """Find the earliest end of each step; without upper gaps greedy is complete."""
        in_time = sorted(self._events, key=lambda event: event["timestamp"])
        end: int | None = None
        for step in node.steps:
            later = [event for event in in_time if end is None or event["timestamp"] > end]
            found = [event for event in later if self._is_step(step, event, frame)]
            count = step.count or 1
            if len(found) < count:
                return False
            end = found[count - 1]["timestamp"]
        return True

    def _is_step(self, step: Step, event: EventItem, frame: _Frame) -> bool:
        inner = frame.with_item(event)
        if step.when is not None and not self._occurs(event["timestamp"], step.when, frame):
            return False
        return self._is_true(step.what, inner) and self._is_true(step.where, inner)

    def occurs(self, node: ast.Occurs, frame: _Frame) -> bool:
        operand = self.value(node.operand, frame)
        candidates = leaves(operand) if isinstance(operand, list) else [operand]
        instants = [parse_timestamp(candidate) for candidate in candidates]
        return any(ms is not None and self._occurs(ms, node.tail, frame) for ms in instants)

    def _occurs(self, ms: int, tail: OccursTail, frame: _Frame) -> bool:
        """Apply a tail; a list of times is satisfied by any of them, no time by none."""
        if isinstance(tail, ast.OccursBetween):
            firsts, lasts = self._times(tail.start, frame), self._times(tail.end, frame)
            return any(occurs.is_between(ms, first, last) for first in firsts for last in lasts)
        return any(_satisfies(ms, tail, time) for time in self._times(tail.time, frame))

    def _times(self, node: Expr, frame: _Frame) -> list[Interval]:
        if isinstance(node, ast.Moment):
            return [occurs.moment(node, self._subject.now_ms)]
        if isinstance(node, ast.Period):
            return [occurs.period(node, self._subject.now_ms)]
        if isinstance(node, ast.Call) and node.function == "date":
            return self._day([self.value(argument, frame) for argument in node.arguments])
        found = self.value(node, frame)
        candidates = leaves(found) if isinstance(found, list) else [found]
        instants = [parse_timestamp(candidate) for candidate in candidates]
        return [occurs.instant(ms) for ms in instants if ms is not None]

    def _day(self, parts: Sequence[Value]) -> list[Interval]:
        if any(type(part) is not int for part in parts):
            return []
        bounds = day_interval(*parts)
        return [] if bounds is None else [Interval(*bounds)]


def _satisfies(
    ms: int, tail: ast.OccursOn | ast.OccursRelative | ast.OccursDistance, time: Interval
) -> bool:
    if isinstance(tail, ast.OccursOn):
        return occurs.is_on(ms, time)
    if isinstance(tail, ast.OccursRelative):
        return occurs.is_relative(ms, tail.direction, time)
    is_now = isinstance(tail.time, ast.Moment) and tail.time.word == "now"
    return occurs.is_at_distance(
        ms, tail.comparison, tail.amount, tail.unit, tail.direction, time, until_now=is_now
    )


def _implementation(name: str) -> Callable[..., Value]:
    found = FUNCTIONS[name].implementation
    if found is None:
        raise AssertionError(f"{name} is evaluated by the interpreter itself")
    return found


_RULES: dict[type[Any], Callable[[_Interpreter, Any, _Frame], Value]] = {
    ast.Literal: _Interpreter.literal,
    ast.ListLiteral: _Interpreter.list_literal,
    ast.ProfileRef: _Interpreter.profile,
    ast.EventsRef: _Interpreter.events,
    ast.ItemRef: _Interpreter.item,
    ast.Variable: _Interpreter.variable,
    ast.Field: _Interpreter.field,
    ast.Call: _Interpreter.call,
    ast.MethodCall: _Interpreter.method_call,
    ast.Filter: _Interpreter.filter,
    ast.Negative: _Interpreter.negative,
    ast.Not: _Interpreter.negation,
    ast.And: _Interpreter.conjunction,
    ast.Or: _Interpreter.disjunction,
    ast.Binary: _Interpreter.binary,
    ast.Occurs: _Interpreter.occurs,
    ast.Comprehension: _Interpreter.comprehension,
    ast.Aggregate: _Interpreter.aggregate,
    ast.Chain: _Interpreter.chain,
}

# `explain` extends the one to watch it at work, and names the places where it looks by the other.
Interpreter: TypeAlias = _Interpreter
ItemFrame: TypeAlias = _Frame
