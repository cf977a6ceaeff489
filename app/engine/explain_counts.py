"""Conditions that hold depending on how many kept events satisfy another one."""

from __future__ import annotations

from dataclasses import dataclass

from app.engine.oracle import ItemFrame
from app.pql import ast
from app.pql.ast import Expr
from app.pql.functions import EventItem

_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_ONE = ast.Literal(1)


@dataclass(frozen=True, slots=True)
class Counting:
    """The number of events that satisfy a condition, compared with a bound.

    Attributes:
        condition: None for all events.
        variable: What the condition calls the event; empty where it is the current item.
    """

    condition: Expr | None
    variable: str = ""
    operator: str = ">="
    bound: Expr = _ONE

    def inside(self, frame: ItemFrame, event: EventItem) -> ItemFrame:
        """Return the frame in which the condition sees an event."""
        if self.variable:
            return frame.with_variable(self.variable, event)
        return frame.with_item(event)


def counting_of(node: Expr) -> Counting | None:
    """Return what a condition counts; None where it counts no events."""
    if isinstance(node, ast.Binary) and node.operator in _COMPARISONS:
        return _compared(node)
    if isinstance(node, ast.MethodCall) and node.method == "exists":
        return Counting(node.arguments[0]) if isinstance(node.receiver, ast.EventsRef) else None
    if isinstance(node, ast.Comprehension) and node.kind == "exists":
        return _declared(node)
    return _chosen(node)


def _compared(node: ast.Binary) -> Counting | None:
    sides = ((node.left, node.operator, node.right),)
    mirrored = (node.right, _MIRRORED.get(node.operator, node.operator), node.left)
    for counted, operator, bound in (*sides, mirrored):
        if isinstance(counted, ast.MethodCall) and counted.method == "count":
            found = None if counted.arguments else _chosen(counted.receiver)
            if found is not None:
                return Counting(found.condition, found.variable, operator, bound)
    return None


def _chosen(node: Expr) -> Counting | None:
    """Return what events a list holds."""
    if isinstance(node, ast.EventsRef):
        return Counting(None)
    if isinstance(node, ast.Filter) and isinstance(node.array, ast.EventsRef):
        return Counting(node.condition)
    is_filter = isinstance(node, ast.MethodCall) and node.method == "filter"
    if isinstance(node, ast.MethodCall) and is_filter and isinstance(node.receiver, ast.EventsRef):
        return Counting(node.arguments[0])
    if isinstance(node, ast.Comprehension) and node.kind == "select":
        return _declared(node)
    return None


def _declared(node: ast.Comprehension) -> Counting | None:
    first, *others = node.declarations
    if others or not isinstance(first.source, ast.EventsRef):
        return None
    return Counting(first.condition, first.variable)
