"""Walking and rebuilding resolved trees with their scopes in view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from app.pql import ast
from app.pql.memberships import ROOT as MEMBERSHIPS
from app.pql.words import PER_ITEM_METHODS

CLOCK_FUNCTIONS = frozenset({"currentMonth", "currentYear", "currentDayOfMonth"})

N = TypeVar("N")


def scoped_children(node: Any) -> Iterator[tuple[Any, int]]:
    """Yield the direct children of a node with the number of item scopes (0 or 1) it opens."""
    opening = _opening_parts(node)
    for name in ast.part_names(node):
        found: list[Any] = []
        ast.add_nodes(getattr(node, name), found)
        opened = 1 if name in opening else 0
        for child in found:
            yield child, opened


_OPENING: dict[type[Any], tuple[str, ...]] = {
    ast.Filter: ("condition",),
    ast.Step: ("what", "where"),
}


def _opening_parts(node: Any) -> tuple[str, ...]:
    """Return the parts of a node that see an item of their own."""
    if type(node) is ast.MethodCall:
        return ("arguments",) if node.method in PER_ITEM_METHODS else ()
    return _OPENING.get(type(node), ())


def rebuild(node: N, change: Callable[[Any, int], Any], depth: int = 0) -> N:
    """Return the tree with `change(node, depth)` applied from the top.

    Args:
        change: Returns a replacement, which is not entered, or None to go on below.
        depth: Item scopes opened between the root of the call and the node.
    """
    changed = change(node, depth)
    if changed is not None:
        return changed  # type: ignore[no-any-return]  # the caller replaces like by like
    updates: dict[str, Any] = {}
    opening = _opening_parts(node)
    for name in ast.part_names(node):
        old = getattr(node, name)
        inner = depth + 1 if name in opening else depth
        new = _rebuild_value(old, change, inner)
        if new is not old:
            updates[name] = new
    return replace(node, **updates) if updates else node  # type: ignore[type-var]  # as above


def _rebuild_value(value: Any, change: Callable[[Any, int], Any], depth: int) -> Any:
    if isinstance(value, tuple):
        parts = tuple(_rebuild_value(part, change, depth) for part in value)
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else parts
    return rebuild(value, change, depth) if hasattr(value, "span") else value


@dataclass(slots=True)
class Reads:
    """What the answer of an expression depends on.

    Attributes:
        paths: Paths of the profile record; the empty path stands for all of it.
        segments: Ids in `inSegment` and of stored memberships.
        memberships: Any use of stored memberships.
        events: Any use of `xEvent`.
        clock: Any use of the current time.
        outer: A variable that is not bound inside, or an item beyond the current one.
    """

    paths: set[tuple[str, ...]] = field(default_factory=set)
    segments: set[str] = field(default_factory=set)
    memberships: bool = False
    events: bool = False
    clock: bool = False
    outer: bool = False

    @property
    def only_item(self) -> bool:
        """True if nothing but the current item is read: a pure condition on one event."""
        return not (self.paths or self.segments or self.events or self.clock or self.outer)


def reads_of(node: Any) -> Reads:
    """Return what an expression depends on."""
    reads = Reads()
    _collect(node, 0, frozenset(), reads)
    return reads


def _collect(node: Any, depth: int, bound: frozenset[str], reads: Reads) -> None:
    kind = type(node)
    if kind is ast.Literal:
        return
    if kind is ast.Field or kind is ast.ProfileRef:
        path = profile_path(node)
        if path is not None:
            reads.paths.add(path)
            return
    elif kind in _READING:
        _collect_node(node, depth, bound, reads)
    elif kind is ast.Comprehension or kind is ast.Aggregate:
        _collect_declared(node, depth, bound, reads)
        return
    elif kind is ast.Let:
        _collect(node.value, depth, bound, reads)
        _collect(node.body, depth, bound | {node.name}, reads)
        return
    elif kind is ast.Lambda:
        bound = bound | set(node.parameters)
    for child, opened in scoped_children(node):
        _collect(child, depth + opened, bound, reads)


_READING = frozenset(
    {
        ast.EventsRef,
        ast.Moment,
        ast.Period,
        ast.Call,
        ast.MembershipRef,
        ast.ItemRef,
        ast.Variable,
    }
)


def _collect_node(node: Any, depth: int, bound: frozenset[str], reads: Reads) -> None:
    match node:
        case ast.EventsRef():
            reads.events = True
        case ast.Moment() | ast.Period():
            reads.clock = True
        case ast.Call(function) if function in CLOCK_FUNCTIONS:
            reads.clock = True
        case ast.Call("inSegment", (ast.Literal(segment_id),)):
            reads.segments.add(str(segment_id))
        case ast.MembershipRef(namespace, segment_id):
            reads.memberships = True
            reads.segments.add(segment_id)
            reads.paths.add((MEMBERSHIPS, namespace, segment_id))
        case ast.ItemRef(level) if level > depth:
            reads.outer = True
        case ast.Variable(name) if name not in bound:
            reads.outer = True


def _collect_declared(
    node: ast.Comprehension | ast.Aggregate, depth: int, bound: frozenset[str], reads: Reads
) -> None:
    for declaration in node.declarations:
        _collect(declaration.source, depth, bound, reads)
        bound = bound | {declaration.variable}
        if declaration.condition is not None:
            _collect(declaration.condition, depth, bound, reads)
    if isinstance(node, ast.Aggregate) and node.value is not None:
        _collect(node.value, depth, bound, reads)


def profile_path(node: Any) -> tuple[str, ...] | None:
    """Return the path of a plain field chain below the profile, or None for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Field):
        names.append(node.name)
        node = node.object
    return tuple(reversed(names)) if isinstance(node, ast.ProfileRef) else None


def conjuncts(condition: Any) -> list[Any]:
    """Return the operands of nested `and`s."""
    if isinstance(condition, ast.And):
        return [part for operand in condition.operands for part in conjuncts(operand)]
    return [condition]
