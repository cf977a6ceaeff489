"""Compiled forms that bind names, make maps, or read stored memberships."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.domain.model import SEGMENT_NAMESPACE
from app.domain.timestamps import iso_text
from app.engine.frame import Evaluator, Frame
from app.engine.scope import Scope
from app.pql import ast
from app.pql.forms import body_of, gives_map
from app.pql.grouping import collected, entries
from app.pql.memberships import written_membership

if TYPE_CHECKING:
    from app.engine.compiler import Compiler


@dataclass(frozen=True, slots=True)
class Segments:
    """The segments that expressions may name.

    Attributes:
        ordinals: Ordinal by segment id.
        namespaces: Namespace of memberships by segment id, of external audiences.
    """

    ordinals: Mapping[str, int] = field(default_factory=dict)
    namespaces: Mapping[str, str] = field(default_factory=dict)

    def ordinal_of(self, node: ast.MembershipRef) -> int | None:
        """Return the ordinal of a segment of this service; None for any other membership."""
        namespace = self.namespaces.get(node.segment_id, SEGMENT_NAMESPACE)
        return self.ordinals.get(node.segment_id) if namespace == node.namespace else None


def compile_membership(node: ast.MembershipRef, segments: Segments) -> Evaluator:
    """Compile a stored membership to the map that the API shows of it."""
    ordinal = segments.ordinal_of(node)
    if ordinal is None:
        return lambda frame: written_membership(frame.attributes, node)
    at = ordinal

    def membership(frame: Frame) -> Any:
        is_member = frame.members >> at & 1
        detail = frame.details.get(at)
        has_changed = (frame.before >> at & 1) != is_member
        if detail is None and not has_changed and not is_member:
            return written_membership(frame.attributes, node)
        # What changed in the step at hand is written down only at its end.
        at_ms = frame.now_ms if has_changed or detail is None else detail.at_ms
        status = "realized" if is_member else "exited"
        return {"status": status, "lastQualificationTime": iso_text(at_ms)}

    return membership


def compile_let(compiler: Compiler, node: ast.Let, scope: Scope) -> Evaluator:
    """Compile a `let` that was not replaced by what it binds."""
    value = compiler.value(node.value, scope)
    inner = scope.with_variable(node.name)
    body, slot = compiler.value(node.body, inner), inner.variable_slot(node.name)

    def bound(frame: Frame) -> Any:
        frame.slots[slot] = value(frame)
        return body(frame)

    return bound


def compile_object(compiler: Compiler, node: ast.ObjectLiteral, scope: Scope) -> Evaluator:
    """Compile a literal map."""
    parts = [(key, compiler.value(value, scope)) for key, value in node.entries]
    return lambda frame: {key: value(frame) for key, value in parts}


def compile_map(compiler: Compiler, node: ast.MethodCall, scope: Scope) -> Evaluator:
    """Compile `map` over the items of a list or the entries of a map."""
    source, inner = compiler.value(node.receiver, scope), scope.with_item()
    function, item_slot = node.arguments[0], inner.item_slot(0)
    slots: tuple[int, ...] = ()
    if isinstance(function, ast.Lambda):
        for name in function.parameters:
            inner = inner.with_variable(name)
        slots = tuple(inner.variable_slot(name) for name in function.parameters)
    body, makes_map = compiler.value(body_of(function), inner), gives_map(node)

    def mapped(frame: Frame) -> Any:
        pairs = _pairs(source(frame), bool(slots))
        if pairs is None:
            return None
        found = []
        for key, value in pairs:
            frame.slots[item_slot] = value
            if slots:
                frame.slots[slots[0]], frame.slots[slots[1]] = key, value
            found.append(body(frame))
        return collected(found) if makes_map else found

    return mapped


def _pairs(value: Any, has_keys: bool) -> Iterable[tuple[Any, Any]] | None:
    if isinstance(value, list) and not has_keys:
        return ((None, item) for item in value)
    return entries(value)


def compile_over_items(
    compiler: Compiler, node: ast.MethodCall, scope: Scope, function: Callable[..., Any]
) -> Evaluator:
    """Compile a method that needs the items beside their values: `groupBy`, `topN`, `bottomN`."""
    source, inner = compiler.value(node.receiver, scope), scope.with_item()
    value, slot = compiler.value(node.arguments[0], inner), inner.item_slot(0)
    others = [compiler.value(one, scope) for one in node.arguments[1:]]

    def apply(frame: Frame) -> Any:
        items = source(frame)
        if not isinstance(items, list):
            return None
        slots, found = frame.slots, []
        for item in items:
            slots[slot] = item
            found.append(value(frame))
        return function(items, found, *[other(frame) for other in others])

    return apply
