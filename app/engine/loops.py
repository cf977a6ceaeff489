"""Comprehensions, their aggregates and chains over kept events, compiled to closures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from app.engine.clock_expressions import compile_occurs
from app.engine.frame import Evaluator, Frame, Test
from app.engine.scope import Scope
from app.pql import ast
from app.pql.calendar import parse_timestamp
from app.pql.functions import FUNCTIONS

if TYPE_CHECKING:
    from app.engine.compiler import Compiler

Body = Callable[[Frame], bool]
"""Called for each binding; returns True to stop."""


def compile_comprehension(compiler: Compiler, node: ast.Comprehension, scope: Scope) -> Evaluator:
    """Compile `select`, `exists` and `forall`."""
    if node.kind == "forall":
        return _forall(compiler, node, scope)
    bindings, inner = _bindings(compiler, node.declarations, scope)
    slots = [inner.variable_slot(one.variable) for one in node.declarations]
    if node.kind == "exists":

        def exists(frame: Frame) -> bool:
            return bindings(frame, lambda _: True)

        return exists

    def select(frame: Frame) -> list[Any]:
        found: list[Any] = []

        def keep(bound: Frame) -> bool:
            values = [bound.slots[slot] for slot in slots]
            found.append(values[0] if len(values) == 1 else values)
            return False

        bindings(frame, keep)
        return found

    return select


def _bindings(
    compiler: Compiler, declarations: tuple[ast.Declaration, ...], scope: Scope
) -> tuple[Callable[[Frame, Body], bool], Scope]:
    """Return a loop over all bindings that satisfy the conditions, and the scope inside."""
    levels: list[tuple[Evaluator, int, Test | None]] = []
    for one in declarations:
        source = compiler.value(one.source, scope)
        scope = scope.with_variable(one.variable)
        test = None if one.condition is None else compiler.test(one.condition, scope)
        levels.append((source, scope.variable_slot(one.variable), test))

    def run(frame: Frame, body: Body, level: int = 0) -> bool:
        if level == len(levels):
            return body(frame)
        source, slot, test = levels[level]
        items = source(frame)
        if not isinstance(items, list):
            return False
        slots = frame.slots
        for item in items:
            slots[slot] = item
            if (test is None or test(frame)) and run(frame, body, level + 1):
                return True
        return False

    return run, scope


def _forall(compiler: Compiler, node: ast.Comprehension, scope: Scope) -> Evaluator:
    """Compile `forall`: the condition is a predicate; null is false, empty is true."""
    first, rest = node.declarations[0], node.declarations[1:]
    source = compiler.value(first.source, scope)
    inner = scope.with_variable(first.variable)
    slot = inner.variable_slot(first.variable)
    test = None if first.condition is None else compiler.test(first.condition, inner)
    below = None
    if rest:
        below = _forall(compiler, ast.Comprehension("forall", rest), inner)

    def holds(frame: Frame) -> bool:
        items = source(frame)
        if not isinstance(items, list):
            return False
        slots = frame.slots
        for item in items:
            slots[slot] = item
            if test is not None and not test(frame):
                return False
            if below is not None and not below(frame):
                return False
        return True

    return holds


def compile_aggregate(compiler: Compiler, node: ast.Aggregate, scope: Scope) -> Evaluator:
    """Compile `sum e over X from …` and its short form."""
    bindings, inner = _bindings(compiler, node.declarations, scope)
    expression = node.value or ast.Variable(node.declarations[0].variable)
    value = compiler.value(expression, inner)
    function = FUNCTIONS[node.kind].implementation
    assert function is not None

    def aggregate(frame: Frame) -> Any:
        found: list[Any] = []

        def keep(bound: Frame) -> bool:
            found.append(value(bound))
            return False

        bindings(frame, keep)
        return function(found)

    return aggregate


def compile_chain(compiler: Compiler, node: ast.Chain, scope: Scope) -> Evaluator:
    """Compile a chain over any array of events: the earliest events for each step in turn."""
    source, inner = compiler.value(node.array, scope), scope.with_item()
    slot = inner.item_slot(0)
    key = compiler.value(node.key, inner)
    steps = [(_step_tests(compiler, node, step, inner), step.count or 1) for step in node.steps]

    def holds(frame: Frame) -> bool:
        items = source(frame)
        if not isinstance(items, list):
            return False
        timed: list[tuple[int, Any]] = []
        for item in items:
            frame.slots[slot] = item
            at_ms = parse_timestamp(key(frame))
            if at_ms is not None:
                timed.append((at_ms, item))
        timed.sort(key=lambda pair: pair[0])
        after_ms: int | None = None
        for tests, count in steps:
            after_ms = _end_of_step(timed, after_ms, tests, count, frame, slot)
            if after_ms is None:
                return False
        return True

    return holds


def _step_tests(
    compiler: Compiler, node: ast.Chain, step: ast.Step, inner: Scope
) -> list[Evaluator]:
    tests: list[Evaluator] = [compiler.test(step.what, inner)]
    if step.where is not None:
        tests.append(compiler.test(step.where, inner))
    if step.when is not None:
        tests.append(compile_occurs(compiler, node.key, step.when, inner))
    return tests


def _end_of_step(
    timed: list[tuple[int, Any]],
    after_ms: int | None,
    tests: list[Evaluator],
    count: int,
    frame: Frame,
    slot: int,
) -> int | None:
    """Return the time of the `count`-th event after `after_ms` that passes, or None."""
    for at_ms, item in timed:
        if after_ms is not None and at_ms <= after_ms:
            continue
        frame.slots[slot] = item
        if all(test(frame) for test in tests):
            count -= 1
            if not count:
                return at_ms
    return None
