"""Bounds on an expression, so that no text can exhaust the stack or the memory.

The constants are what this program can bear, and all that workers look at. What an operator allows,
within them, is in `ExpressionLimits`: the API holds new definitions to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.pql import ast
from app.pql.ast import Expr, Node, Span, children
from app.pql.errors import Problem

MAX_CHARACTERS = 20_000
"""Longest text: checked in about 0.1 s, for which the API answers nobody else."""

MAX_NESTING = 60
"""Deepest nesting of brackets and prefixes in a text."""

MAX_DEPTH = 100
"""Deepest tree; a path or a sum of n parts is n levels deep."""

MAX_VARIABLES = 16
"""Variables of one `select`, `exists`, `forall` or aggregate."""

MAX_STEPS = 6
"""Steps of a chain (PQL reference, guardrails)."""

MAX_JSON_CHARACTERS = 750_000
"""Longest accepted pql/json: what the longest text can become in it."""

MAX_JSON_NODES = 15_000
"""Most nodes of a pql/json; the longest text has no more. Read in about twice its time."""


def is_deeper_than(node: Node, limit: int) -> bool:
    """Tell whether the tree has more than `limit` levels; needs no recursion."""
    level: list[Node] = [node]
    for _ in range(limit):
        level = [child for parent in level for child in children(parent)]
        if not level:
            return False
    return True


@dataclass(frozen=True, slots=True)
class ExpressionLimits:
    """What an operator allows of an expression.

    Attributes:
        characters: Of the text.
        depth: Levels of the tree.
        nodes: Of the tree.
        steps: Of one chain.
        list_items: Of one list.
        state_bytes: Estimated state of a profile for this expression alone.
        event_loops: Over the kept events of a profile, nested in each other.
    """

    characters: int = MAX_CHARACTERS
    depth: int = MAX_DEPTH
    nodes: int = 5_000
    steps: int = MAX_STEPS
    list_items: int = 1_000
    state_bytes: int = 1_048_576
    event_loops: int = 2


_SPLIT = "split it into segments joined by inSegment"


def check_length(text: str, limits: ExpressionLimits) -> list[Problem]:
    """Return what is wrong with the length of a text, before it is parsed."""
    if len(text) <= limits.characters:
        return []
    message = f"the expression has {len(text):,} characters, {limits.characters:,} are allowed"
    return [Problem("too-long", message, Span(limits.characters, len(text)), _SPLIT)]


def check_size(tree: Expr, limits: ExpressionLimits) -> list[Problem]:
    """Return what is too large of a parsed tree."""
    return [problem for problem in _excesses(tree, limits) if problem is not None]


def _excesses(tree: Expr, limits: ExpressionLimits) -> Iterator[Problem | None]:
    if is_deeper_than(tree, limits.depth):
        message = f"the expression is more than {limits.depth} levels deep"
        yield Problem("too-deep", message, tree.span, f"flatten it, or {_SPLIT}")
    nodes = list(ast.walk(tree))
    if len(nodes) > limits.nodes:
        message = f"the expression has {len(nodes):,} parts, {limits.nodes:,} are allowed"
        yield Problem("too-many-nodes", message, tree.span, _SPLIT)
    for node in nodes:
        if isinstance(node, ast.ListLiteral):
            hint = "use several lists joined by `or`"
            yield _too_many("items", len(node.items), limits.list_items, node, hint)
        elif isinstance(node, ast.Chain) and len(node.steps) <= MAX_STEPS:
            hint = "join two chains with `and`"
            yield _too_many("steps", len(node.steps), limits.steps, node, hint)


def _too_many(what: str, found: int, limit: int, node: Node, hint: str) -> Problem | None:
    if found <= limit:
        return None
    message = f"{found:,} {what} are here, {limit:,} are allowed"
    return Problem(f"too-many-{what}", message, node.span, hint)
