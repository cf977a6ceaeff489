"""The event types a filter asks for, so that other events need not look at it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.engine.attribute_index import may_be_coerced
from app.pql import ast
from app.pql.library import fold

_EVENT_TYPE = ast.Field(ast.ItemRef(0), "eventType")


@dataclass(frozen=True, slots=True)
class EventGate:
    """A filter parted into its event types and the rest.

    Attributes:
        event_types: Accepted types; None when the filter does not say.
        folds: The types are case-folded, and so must the type of the event be.
        rest: Conditions that still have to be tested.
    """

    event_types: tuple[str, ...] | None
    folds: bool
    rest: tuple[ast.Expr, ...]


def event_gate(conditions: tuple[ast.Expr, ...]) -> EventGate:
    """Part the conditions of a filter."""
    for index, condition in enumerate(conditions):
        found = _types(condition)
        if found is not None:
            types, folds = found
            rest = conditions[:index] + conditions[index + 1 :]
            return EventGate(types, folds, rest)
    return EventGate(None, False, conditions)


def _types(condition: Any) -> tuple[tuple[str, ...], bool] | None:
    match condition:
        case ast.Binary("=", left, ast.Literal(str(name))) if left == _EVENT_TYPE:
            return _plain((name,))
        case ast.Binary("=", ast.Literal(str(name)), right) if right == _EVENT_TYPE:
            return _plain((name,))
        case ast.Binary("in", left, ast.ListLiteral(items)) if left == _EVENT_TYPE:
            names = [item.value for item in items if isinstance(item, ast.Literal)]
            if len(names) == len(items) and all(isinstance(name, str) for name in names):
                return _plain(tuple(str(name) for name in names))
        case ast.MethodCall(receiver, "equals", (ast.Literal(str(name)), *flag)) if (
            receiver == _EVENT_TYPE and flag in ([], [ast.Literal(True)], [ast.Literal(False)])
        ):
            if flag == [ast.Literal(False)]:
                return ((fold(name),), True) if not may_be_coerced(name) else None
            return _plain((name,))
    return None


def _plain(names: tuple[str, ...]) -> tuple[tuple[str, ...], bool] | None:
    # A type such as "6" could equal a number; such a filter is tested in full.
    if any(may_be_coerced(name) for name in names):
        return None
    return tuple(dict.fromkeys(names)), False
