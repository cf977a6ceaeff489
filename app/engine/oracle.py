"""Evaluates a resolved expression by brute force over attributes and all events, at one instant.

Short and obviously right: it keeps nothing, prepares nothing and looks at every event. `explain`
and small samples use it, and property tests hold the incremental engine to it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from app.engine.oracle_time import Frame, TimeRules
from app.pql import ast
from app.pql.ast import Declaration, Expr, Step
from app.pql.forms import body_of, gives_map
from app.pql.functions import FUNCTIONS, EventItem, negative, project, truth
from app.pql.grouping import collected, entries
from app.pql.library import average, largest, smallest, total
from app.pql.memberships import written_membership
from app.pql.values import Value

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
        memberships: By namespace and id: maps with `status` and `lastQualificationTime`. What is
            not there is looked for in the record.
    """

    attributes: dict[str, Any]
    events: Sequence[Event]
    member_of: Container[str]
    now_ms: int
    memberships: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)


def matches(expr: Expr, subject: Subject) -> bool:
    """Tell whether the profile belongs to the segment that a resolved expression defines."""
    return truth(evaluate(expr, subject))


def evaluate(expr: Expr, subject: Subject) -> Value:
    """Return the value of a resolved expression; null or false where data does not fit."""
    return _Interpreter(subject).value(expr, Frame((), {}))


class _Interpreter(TimeRules):
    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        in_order = sorted(subject.events, key=lambda event: event.order)
        self._events = [EventItem(event.body, timestamp=event.at_ms) for event in in_order]

    @property
    def now_ms(self) -> int:
        return self._subject.now_ms

    def value(self, node: Expr, frame: Frame) -> Value:
        return _RULES[type(node)](self, node, frame)

    def _is_true(self, node: Expr | None, frame: Frame) -> bool:
        return node is None or truth(self.value(node, frame))

    def null(self, node: Expr, frame: Frame) -> None:
        return None

    def literal(self, node: ast.Literal, frame: Frame) -> Value:
        return node.value

    def list_literal(self, node: ast.ListLiteral, frame: Frame) -> Value:
        return [self.value(item, frame) for item in node.items]

    def object_literal(self, node: ast.ObjectLiteral, frame: Frame) -> Value:
        return {key: self.value(value, frame) for key, value in node.entries}

    def profile(self, node: ast.ProfileRef, frame: Frame) -> Value:
        return self._subject.attributes

    def events(self, node: ast.EventsRef, frame: Frame) -> Value:
        return self._events

    def membership(self, node: ast.MembershipRef, frame: Frame) -> Value:
        stored = self._subject.memberships.get(node.namespace, {}).get(node.segment_id)
        return stored or written_membership(self._subject.attributes, node)

    def item(self, node: ast.ItemRef, frame: Frame) -> Value:
        return frame.items[node.depth]

    def variable(self, node: ast.Variable, frame: Frame) -> Value:
        return frame.variables[node.name]

    def let(self, node: ast.Let, frame: Frame) -> Value:
        bound = frame.with_variable(node.name, self.value(node.value, frame))
        return self.value(node.body, bound)

    def field(self, node: ast.Field, frame: Frame) -> Value:
        return project(self.value(node.object, frame), node.name)

    def conjunction(self, node: ast.And, frame: Frame) -> bool:
        return all(self._is_true(operand, frame) for operand in node.operands)

    def disjunction(self, node: ast.Or, frame: Frame) -> bool:
        return any(self._is_true(operand, frame) for operand in node.operands)

    def negation(self, node: ast.Not, frame: Frame) -> bool:
        return not self._is_true(node.operand, frame)

    def negative(self, node: ast.Negative, frame: Frame) -> Value:
        return negative(self.value(node.operand, frame))

    def binary(self, node: ast.Binary, frame: Frame) -> Value:
        left, right = self.value(node.left, frame), self.value(node.right, frame)
        return _implementation(node.operator)(left, right)

    def call(self, node: ast.Call, frame: Frame) -> Value:
        if node.function == "if":
            test, positive, otherwise = node.arguments
            return self.value(positive if self._is_true(test, frame) else otherwise, frame)
        arguments = [self.value(argument, frame) for argument in node.arguments]
        if node.function == "inSegment":
            return arguments[0] in self._subject.member_of
        if FUNCTIONS[node.function].needs_now:
            return _implementation(node.function)(self._subject.now_ms)
        return _implementation(node.function)(*arguments)

    def method_call(self, node: ast.MethodCall, frame: Frame) -> Value:
        receiver = self.value(node.receiver, frame)
        if node.method == "filter":
            return self._filtered(receiver, node.arguments[0], frame)
        if node.method == "exists":
            return bool(self._filtered(receiver, node.arguments[0], frame))
        if node.method == "map":
            return self._mapped(receiver, node, frame)
        spec = FUNCTIONS[node.method]
        if not (spec.per_item and node.arguments):
            arguments = [self.value(argument, frame) for argument in node.arguments]
            return _implementation(node.method)(receiver, *arguments)
        items = receiver if isinstance(receiver, list) else []
        per_item = [self.value(node.arguments[0], frame.with_item(item)) for item in items]
        if not spec.sees_items:
            return _implementation(node.method)(per_item)
        others = [self.value(argument, frame) for argument in node.arguments[1:]]
        return _implementation(node.method)(receiver, per_item, *others)

    def _mapped(self, receiver: Value, node: ast.MethodCall, frame: Frame) -> Value:
        """Evaluate the body once per item of a list or entry of a map."""
        function, body = node.arguments[0], body_of(node.arguments[0])
        pairs = entries(receiver)
        if pairs is None and isinstance(receiver, list) and not isinstance(function, ast.Lambda):
            pairs = ((None, item) for item in receiver)
        if pairs is None:
            return None
        found: list[Value] = []
        for key, value in pairs:
            inner = frame.with_item(value)
            if isinstance(function, ast.Lambda):
                key_name, value_name = function.parameters
                inner = inner.with_variable(key_name, key).with_variable(value_name, value)
            found.append(self.value(body, inner))
        return collected(found) if gives_map(node) else found

    def filter(self, node: ast.Filter, frame: Frame) -> Value:
        return self._filtered(self.value(node.array, frame), node.condition, frame)

    def _filtered(self, array: Value, condition: Expr, frame: Frame) -> list[Value] | None:
        if not isinstance(array, list):
            return None
        return [item for item in array if self._is_true(condition, frame.with_item(item))]

    def comprehension(self, node: ast.Comprehension, frame: Frame) -> Value:
        if node.kind == "forall":
            return self._holds_for_all(node.declarations, frame)
        found = list(self._tuples(node.declarations, frame))
        if node.kind == "exists":
            return bool(found)
        names = [declaration.variable for declaration in node.declarations]
        rows = [[bound.variables[name] for name in names] for bound in found]
        return rows if len(names) > 1 else [row[0] for row in rows]

    def _tuples(self, declarations: Sequence[Declaration], frame: Frame) -> Iterator[Frame]:
        if not declarations:
            yield frame
            return
        first, *rest = declarations
        source = self.value(first.source, frame)
        for item in source if isinstance(source, list) else []:
            bound = frame.with_variable(first.variable, item)
            if self._is_true(first.condition, bound):
                yield from self._tuples(rest, bound)

    def _holds_for_all(self, declarations: Sequence[Declaration], frame: Frame) -> bool:
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

    def aggregate(self, node: ast.Aggregate, frame: Frame) -> Value:
        value = node.value or ast.Variable(node.declarations[0].variable)
        found = [self.value(value, bound) for bound in self._tuples(node.declarations, frame)]
        return _AGGREGATES[node.kind](found)

    def chain(self, node: ast.Chain, frame: Frame) -> bool:
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

    def _is_step(self, step: Step, event: EventItem, frame: Frame) -> bool:
        inner = frame.with_item(event)
        if step.when is not None and not self.holds(event["timestamp"], step.when, frame):
            return False
        return self._is_true(step.what, inner) and self._is_true(step.where, inner)


def _implementation(name: str) -> Callable[..., Value]:
    found = FUNCTIONS[name].implementation
    if found is None:
        raise AssertionError(f"{name} is evaluated by the interpreter itself")
    return found


_RULES: dict[type[Any], Callable[[_Interpreter, Any, Frame], Value]] = {
    ast.Literal: _Interpreter.literal,
    ast.ListLiteral: _Interpreter.list_literal,
    ast.ProfileRef: _Interpreter.profile,
    ast.EventsRef: _Interpreter.events,
    ast.ObjectLiteral: _Interpreter.object_literal,
    ast.MembershipRef: _Interpreter.membership,
    ast.Parameter: _Interpreter.null,
    ast.ContextReference: _Interpreter.null,
    ast.Let: _Interpreter.let,
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
ItemFrame: TypeAlias = Frame
