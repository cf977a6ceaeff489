"""The tree of an expression with the value of every node, as the oracle finds them.

The walk knows few kinds of nodes. It evaluates one and watches which of its parts are asked for,
and in which frames: a part that was asked once has a value, one that was asked for each of several
items a tally. A part that was left aside, since another one decided, is asked afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from app.engine.explain_watch import Watcher
from app.engine.oracle import ItemFrame
from app.pql import ast
from app.pql.ast import Expr, Node, Span
from app.pql.functions import truth
from app.pql.printer import to_text
from app.pql.values import Value

_STRUCTURE = (
    ast.OccursOn,
    ast.OccursBetween,
    ast.OccursRelative,
    ast.OccursDistance,
    ast.Declaration,
    ast.Step,
    ast.Lambda,
)
_REFERENCES = (ast.ProfileRef, ast.EventsRef, ast.ItemRef, ast.Variable, ast.Literal)


@dataclass(frozen=True, slots=True)
class Tally:
    """Of how many items a condition was asked, and for how many it holds."""

    items: int
    holds: int


@dataclass(frozen=True, slots=True)
class Explained:
    """One node.

    Attributes:
        node: Of the resolved tree.
        kind: Name of the node's kind, operator or function.
        text: As it was written.
        span: Place in the source; empty for what was not written, such as a default.
        frames: Where it was asked for: one frame, or one for each item.
        has_value: False where it has no value by itself, or one for each item.
        tally: Where it was asked for each of several items.
        accepted: Those of these frames in which it holds.
        deciding: It is among the conditions that make the whole what it is.
    """

    node: Expr
    kind: str
    text: str
    span: Span
    frames: tuple[ItemFrame, ...]
    has_value: bool
    value: Value = None
    tally: Tally | None = None
    accepted: tuple[ItemFrame, ...] = ()
    deciding: bool = False
    children: tuple[Explained, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it is true where a condition stands."""
        return self.has_value and truth(self.value)


class TreeBuilder:
    """Makes trees of one profile and one text.

    Args:
        watcher: The oracle on the profile.
        source: What the expression was parsed from.
    """

    def __init__(self, watcher: Watcher, source: str) -> None:
        self._watcher = watcher
        self._source = source

    def tree(self, node: Expr, frame: ItemFrame) -> Explained:
        """Return the tree of an expression that stands in a frame, with what decided marked."""
        return _marked(self._explained(node, [frame], is_single=True))

    def _explained(self, node: Expr, frames: list[ItemFrame], *, is_single: bool) -> Explained:
        parts = [] if _is_plain(node) else [*_expressions_below(node)]
        asked = [_Asked(part) for part in parts]
        values = [self._evaluated(node, frame, asked) for frame in frames]
        has_value = is_single and len(values) == 1
        accepted = [at for at, value in zip(frames, values, strict=True) if truth(value)]
        return Explained(
            node,
            kind_of(node),
            text_of(node, self._source),
            node.span,
            tuple(frames),
            has_value=has_value,
            value=values[0] if has_value else None,
            tally=None if is_single else Tally(len(values), len(accepted)),
            accepted=() if is_single else tuple(accepted),
            children=tuple(
                self._explained(one.part, one.frames, is_single=is_single and not one.per_item)
                for one in asked
                if one.is_shown(node, is_single=is_single and not one.per_item)
            ),
        )

    def _evaluated(self, node: Expr, frame: ItemFrame, asked: list[_Asked]) -> Value:
        value, calls = self._watcher.watch(node, frame)
        for one in asked:
            inner = [at for called, at, _ in calls if called is one.part]
            one.frames += inner
            if any(at is not frame for at in inner) and not isinstance(node, ast.Let):
                one.per_item = True
            if not inner and _chooses(node):
                # Left aside, since another one decided.
                self._watcher.value(one.part, frame)
                one.frames.append(frame)
        return value


@dataclass(slots=True)
class _Asked:
    """An expression directly below a node, and the frames in which it was asked for."""

    part: Expr
    frames: list[ItemFrame] = field(default_factory=list)
    per_item: bool = False

    def is_shown(self, above: Expr, *, is_single: bool) -> bool:
        """Tell whether it is worth a place.

        A constant is its own value, and a path has another one for each item. What nobody asked
        for is shown where that is for want of items.
        """
        if isinstance(self.part, ast.Literal) or (not is_single and _is_plain(self.part)):
            return False
        if self.frames:
            return True
        self.per_item = True
        return not isinstance(above, ast.Occurs | ast.Chain) and not _is_plain(self.part)


def _chooses(node: Expr) -> bool:
    """Tell whether some parts of a node may be left aside, all in its own frame."""
    return isinstance(node, ast.And | ast.Or) or (
        isinstance(node, ast.Call) and node.function == "if"
    )


def _expressions_below(node: Node) -> Iterator[Expr]:
    for child in ast.children(node):
        if isinstance(child, _STRUCTURE):
            yield from _expressions_below(child)
        else:
            yield child


def _is_plain(node: Expr) -> bool:
    """Tell whether a node is a constant or a path: there is nothing to show below it."""
    while isinstance(node, ast.Field):
        node = node.object
    return isinstance(node, (*_REFERENCES, ast.Moment, ast.Period))


def kind_of(node: Node) -> str:
    """Return what a node is called: its operator, its function, or the name of its kind."""
    if isinstance(node, ast.Binary):
        return node.operator
    if isinstance(node, ast.Call):
        return node.function
    if isinstance(node, ast.MethodCall):
        return node.method
    if isinstance(node, ast.Comprehension | ast.Aggregate):
        return node.kind
    return _KINDS.get(type(node)) or type(node).__name__.lower()


_KINDS: dict[type[Any], str] = {
    ast.Field: "field",
    ast.ProfileRef: "profile",
    ast.EventsRef: "xEvent",
    ast.ItemRef: "item",
    ast.ListLiteral: "list",
    ast.ObjectLiteral: "object",
    ast.Negative: "-",
}


def text_of(node: Node, source: str) -> str:
    """Return a node as it was written, on one line."""
    span = node.span
    written = source[span.start : span.end] if span.end > span.start else ""
    return " ".join(written.split()) or to_text(node)


def _marked(root: Explained) -> Explained:
    """Mark what decided: the root, and below what chooses those parts that made it what it is."""
    children = tuple(
        _marked(child) if decides else child
        for child, decides in zip(root.children, _deciders(root), strict=True)
    )
    return replace(root, deciding=True, children=children)


def _deciders(above: Explained) -> list[bool]:
    """Tell of each child whether it makes the node above what it is; only of logical ones."""
    node, children = above.node, above.children
    if isinstance(node, ast.Not):
        return [True for _ in children]
    if isinstance(node, ast.And | ast.Or):
        # All operands of a true `and`, the false ones of a false one; `or` mirrors it.
        return [child.has_value and child.holds is above.holds for child in children]
    if isinstance(node, ast.Call) and node.function == "if" and len(children) == 3:
        return [True, children[0].holds, not children[0].holds]
    return [isinstance(node, ast.Let) and child.node is node.body for child in children]
