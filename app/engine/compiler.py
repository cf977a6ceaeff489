"""Resolved trees compiled to closures over a frame.

The closures use the same value functions as the oracle and differ from it in three ways: names are
bound to slots when compiling, common comparisons with a constant take a short cut, and every use of
the clock lowers `frame.next_ms` to the first instant at which its own answer changes. Until the
lowest of those no other value in the expression can change either, so that is when to ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.engine.clock_expressions import compile_clock_function, compile_occurs
from app.engine.forms import Segments, compile_let, compile_membership, compile_object
from app.engine.frame import Evaluator, Frame, Test
from app.engine.leaves import TermRef, TermSpec
from app.engine.loops import compile_aggregate, compile_chain, compile_comprehension
from app.engine.methods import compile_call, compile_method
from app.engine.scope import Scope
from app.engine.tables import Number
from app.engine.tests_of import all_of, any_of, membership
from app.pql import ast
from app.pql.values import (
    ORDERINGS,
    arithmetic,
    compare,
    equal,
    is_in,
    is_not_in,
    is_number,
    leaves,
    negative,
    project,
    truth,
    unequal,
)

NO_SEGMENTS = Segments()
TermReader = Callable[[TermSpec], Evaluator]


def compile_value(
    expression: Any, segments: Segments = NO_SEGMENTS, terms: TermReader | None = None
) -> Evaluator:
    """Compile an expression over a profile to its value."""
    return Compiler(segments, terms).value(expression, Scope())


def compile_test(
    expression: Any,
    segments: Segments = NO_SEGMENTS,
    terms: TermReader | None = None,
    *,
    item: bool = False,
) -> Test:
    """Compile an expression to its truth.

    Args:
        expression: A resolved tree.
        segments: What `inSegment` and stored memberships refer to.
        terms: How to read the terms standing in the expression.
        item: The expression is about one event, which will be in slot 0.
    """
    scope = Scope().with_item() if item else Scope()
    return Compiler(segments, terms).test(expression, scope)


def compile_numbers(expression: Any) -> Callable[[Frame], Sequence[Number]]:
    """Compile an expression about the event in slot 0 to its numbers.

    None or one, as a rule; an aggregate takes a list apart, so a list has all it holds.
    """
    value = Compiler(NO_SEGMENTS, None).value(expression, Scope().with_item())

    def numbers(frame: Frame) -> Sequence[Number]:
        found = value(frame)
        if isinstance(found, list):
            return [one for one in leaves(found) if is_number(one)]
        return (found,) if is_number(found) else ()

    return numbers


class Compiler:
    """Compiles one expression."""

    def __init__(self, segments: Segments, terms: TermReader | None) -> None:
        self._segments = segments
        self._terms = terms

    def test(self, node: Any, scope: Scope) -> Test:
        """Compile to a truth value."""
        match node:
            case ast.And(operands):
                return all_of([self.test(operand, scope) for operand in operands])
            case ast.Or(operands):
                return any_of([self.test(operand, scope) for operand in operands])
        value = self.value(node, scope)
        if is_boolean(node):
            return value
        return lambda frame: truth(value(frame))

    def value(self, node: Any, scope: Scope) -> Evaluator:
        """Compile to a value."""
        match node:
            case ast.Literal(constant):
                return lambda frame: constant
            case ast.ProfileRef():
                return lambda frame: frame.attributes
            case ast.EventsRef():
                return lambda frame: list(frame.events)
            case ast.ItemRef(depth):
                return _slot(scope.item_slot(depth))
            case ast.Variable(name):
                return _slot(scope.variable_slot(name))
            case ast.Field():
                return self._field(node, scope)
            case TermRef(spec):
                assert self._terms is not None
                return self._terms(spec)
        return self._operation(node, scope)

    def _operation(self, node: Any, scope: Scope) -> Evaluator:
        match node:
            case ast.And() | ast.Or():
                return self.test(node, scope)
            case ast.Not(operand):
                test = self.test(operand, scope)
                return lambda frame: not test(frame)
            case ast.Negative(operand):
                inner = self.value(operand, scope)
                return lambda frame: negative(inner(frame))
            case ast.Binary():
                return self._binary(node, scope)
            case ast.Occurs(operand, tail):
                return compile_occurs(self, operand, tail, scope)
            case ast.ListLiteral(items):
                return self._list(items, scope)
        return self._over_items(node, scope)

    def _over_items(self, node: Any, scope: Scope) -> Evaluator:
        match node:
            case ast.Filter(array, condition):
                return self._filter(array, condition, scope)
            case ast.Comprehension():
                return compile_comprehension(self, node, scope)
            case ast.Aggregate():
                return compile_aggregate(self, node, scope)
            case ast.Chain():
                return compile_chain(self, node, scope)
            case ast.MethodCall():
                return compile_method(self, node, scope)
            case ast.Call():
                return self._call(node, scope)
        return self._form(node, scope)

    def _form(self, node: Any, scope: Scope) -> Evaluator:
        match node:
            case ast.Let():
                return compile_let(self, node, scope)
            case ast.ObjectLiteral():
                return compile_object(self, node, scope)
            case ast.MembershipRef():
                return compile_membership(node, self._segments)
            case ast.Parameter() | ast.ContextReference():
                return lambda frame: None
        raise AssertionError(f"the checker let {type(node).__name__} through")

    def _call(self, node: ast.Call, scope: Scope) -> Evaluator:
        match node:
            case ast.Call("inSegment", (ast.Literal(segment_id),)):
                return membership(self._segments.ordinals.get(str(segment_id)))
            case ast.Call("if", (condition, positive, otherwise)):
                return self._choice(condition, positive, otherwise, scope)
        return compile_clock_function(node.function) or compile_call(self, node, scope)

    def _list(self, items: tuple[Any, ...], scope: Scope) -> Evaluator:
        if all(isinstance(item, ast.Literal) for item in items):
            constants = [item.value for item in items]
            return lambda frame: constants
        values = [self.value(item, scope) for item in items]
        return lambda frame: [value(frame) for value in values]

    def _field(self, node: ast.Field, scope: Scope) -> Evaluator:
        base: Any = node
        names: list[str] = []
        while isinstance(base, ast.Field):
            names.append(base.name)
            base = base.object
        path = tuple(reversed(names))
        source = self.value(base, scope)
        if len(path) == 1:
            name = path[0]

            def field(frame: Frame) -> Any:
                value = source(frame)
                return value.get(name) if isinstance(value, dict) else project(value, name)

            return field

        def nested(frame: Frame) -> Any:
            value = source(frame)
            for name in path:
                if isinstance(value, dict):
                    value = value.get(name)
                elif value is None:
                    return None
                else:
                    value = project(value, name)
            return value

        return nested

    def _binary(self, node: ast.Binary, scope: Scope) -> Evaluator:
        left, right = self.value(node.left, scope), self.value(node.right, scope)
        operator = node.operator
        if operator in ("*", "/", "%", "+", "-"):
            return lambda frame: arithmetic(operator, left(frame), right(frame))
        if isinstance(node.right, ast.Literal):
            shortcut = _against_constant(operator, left, node.right.value)
            if shortcut is not None:
                return shortcut
        match operator:
            case "=":
                return lambda frame: equal(left(frame), right(frame))
            case "!=":
                return lambda frame: unequal(left(frame), right(frame))
            case "in":
                return lambda frame: is_in(left(frame), right(frame))
            case "notIn":
                return lambda frame: is_not_in(left(frame), right(frame))
            case "like" | "matches":
                return compile_method(
                    self, ast.MethodCall(node.left, operator, (node.right,)), scope
                )
        return lambda frame: compare(operator, left(frame), right(frame))

    def _filter(self, array: Any, condition: Any, scope: Scope) -> Evaluator:
        source = self.value(array, scope)
        inner = scope.with_item()
        test, slot = self.test(condition, inner), inner.item_slot(0)

        def kept(frame: Frame) -> Any:
            items = source(frame)
            if not isinstance(items, list):
                return None
            slots, found = frame.slots, []
            for item in items:
                slots[slot] = item
                if test(frame):
                    found.append(item)
            return found

        return kept

    def _choice(self, condition: Any, positive: Any, otherwise: Any, scope: Scope) -> Evaluator:
        test = self.test(condition, scope)
        first, second = self.value(positive, scope), self.value(otherwise, scope)
        return lambda frame: first(frame) if test(frame) else second(frame)


def _slot(index: int) -> Evaluator:
    return lambda frame: frame.slots[index]


def _against_constant(operator: str, left: Evaluator, constant: Any) -> Evaluator | None:
    """Return a quicker comparison for the type the constant has; others take the long way."""
    if operator == "=" and isinstance(constant, str):

        def is_text(frame: Frame) -> bool:
            value = left(frame)
            return value == constant if type(value) is str else equal(value, constant)

        return is_text
    if type(constant) not in (int, float) or operator not in ORDERINGS:
        return None
    ordering = ORDERINGS[operator]

    def is_beyond(frame: Frame) -> bool:
        value = left(frame)
        if type(value) is int:
            return ordering(value, constant)
        return compare(operator, value, constant)

    return is_beyond


_BOOLEAN_OPERATORS = frozenset({"=", "!=", "<", "<=", ">", ">=", "in", "notIn", "like", "matches"})


def is_boolean(node: Any) -> bool:
    """Tell whether an expression can only be true or false."""
    match node:
        case ast.Not() | ast.And() | ast.Or() | ast.Occurs() | ast.Chain():
            return True
        case ast.Comprehension("exists" | "forall"):
            return True
        case ast.Binary(operator):
            return operator in _BOOLEAN_OPERATORS
        case ast.Call("inSegment"):
            return True
    return False
