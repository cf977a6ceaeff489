"""Calls of the functions and methods of the one table, compiled to closures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.engine.forms import compile_map, compile_over_items
from app.engine.frame import Evaluator, Frame
from app.engine.scope import Scope
from app.pql import ast
from app.pql.functions import FUNCTIONS

if TYPE_CHECKING:
    from app.engine.compiler import Compiler


def compile_call(compiler: Compiler, node: ast.Call, scope: Scope) -> Evaluator:
    """Compile a function of plain values."""
    spec = FUNCTIONS[node.function]
    assert spec.implementation is not None
    return _applied(spec.implementation, [compiler.value(one, scope) for one in node.arguments])


def compile_method(compiler: Compiler, node: ast.MethodCall, scope: Scope) -> Evaluator:
    """Compile a method; those with a per-item argument run it over the receiver's items."""
    if node.method == "filter":
        return compiler.value(ast.Filter(node.receiver, node.arguments[0]), scope)
    if node.method == "exists":
        return _some(compiler, node, scope)
    if node.method == "map":
        return compile_map(compiler, node, scope)
    spec = FUNCTIONS[node.method]
    assert spec.implementation is not None
    if spec.sees_items:
        return compile_over_items(compiler, node, scope, spec.implementation)
    if spec.per_item and node.arguments:
        return _per_item(compiler, node, scope, spec.implementation)
    values = [compiler.value(one, scope) for one in (node.receiver, *node.arguments)]
    return _applied(spec.implementation, values)


def _applied(function: Any, values: list[Evaluator]) -> Evaluator:
    if len(values) == 1:
        only = values[0]
        return lambda frame: function(only(frame))
    if len(values) == 2:
        first, second = values
        return lambda frame: function(first(frame), second(frame))
    return lambda frame: function(*[value(frame) for value in values])


def _some(compiler: Compiler, node: ast.MethodCall, scope: Scope) -> Evaluator:
    source, inner = compiler.value(node.receiver, scope), scope.with_item()
    test, slot = compiler.test(node.arguments[0], inner), inner.item_slot(0)

    def found(frame: Frame) -> bool:
        items = source(frame)
        if not isinstance(items, list):
            return False
        slots = frame.slots
        for item in items:
            slots[slot] = item
            if test(frame):
                return True
        return False

    return found


def _per_item(compiler: Compiler, node: ast.MethodCall, scope: Scope, function: Any) -> Evaluator:
    source, inner = compiler.value(node.receiver, scope), scope.with_item()
    value, slot = compiler.value(node.arguments[0], inner), inner.item_slot(0)

    def apply(frame: Frame) -> Any:
        items = source(frame)
        if not isinstance(items, list):
            return function(None)
        slots, found = frame.slots, []
        for item in items:
            slots[slot] = item
            found.append(value(frame))
        return function(found)

    return apply
