"""How many loops over the kept events of a profile an expression nests in each other.

Each of them multiplies the time of an evaluation by the number of events, and it stands for as long
as the evaluation takes: so what is nested deeper than an operator allows is refused (our decision).
"""

from __future__ import annotations

from collections.abc import Iterable

from app.pql import ast
from app.pql.ast import Declaration, Node
from app.pql.words import PER_ITEM_METHODS


def event_loops(node: Node, events: frozenset[str] = frozenset()) -> int:
    """Return the number of nested loops of a resolved tree; 0 where it reads no events.

    Args:
        node: Any part of the tree.
        events: Names that `let` has bound to something made of events.
    """
    if isinstance(node, ast.EventsRef) or (isinstance(node, ast.Variable) and node.name in events):
        return 1
    if isinstance(node, ast.Comprehension | ast.Aggregate):
        return _over(node.declarations, events) + _most(ast.children(node), events)
    if isinstance(node, ast.Declaration):
        # That its source is walked was counted with the others.
        inner = [] if node.condition is None else [node.condition]
        within = event_loops(node.source, events) - _reads(node.source, events)
        return max(within, _most(inner, events))
    if isinstance(node, ast.Filter):
        return _per_item(node.array, [node.condition], events)
    if isinstance(node, ast.MethodCall) and node.method in PER_ITEM_METHODS:
        return _per_item(node.receiver, node.arguments, events)
    if isinstance(node, ast.Chain):
        return 1 + _most(node.steps, events)
    if isinstance(node, ast.Let):
        inside = events | {node.name} if _reads(node.value, events) else events - {node.name}
        return max(event_loops(node.value, events), event_loops(node.body, inside))
    return _most(ast.children(node), events)


def _per_item(array: Node, inner: Iterable[Node], events: frozenset[str]) -> int:
    return max(event_loops(array, events), _reads(array, events) + _most(inner, events))


def _over(declarations: Iterable[Declaration], events: frozenset[str]) -> int:
    return sum(_reads(one.source, events) for one in declarations)


def _most(nodes: Iterable[Node], events: frozenset[str]) -> int:
    return max((event_loops(node, events) for node in nodes), default=0)


def _reads(node: Node, events: frozenset[str]) -> bool:
    """Tell whether a value is made of events."""
    return any(
        isinstance(one, ast.EventsRef) or (isinstance(one, ast.Variable) and one.name in events)
        for one in ast.walk(node)
    )
