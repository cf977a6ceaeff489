"""Bounds on an expression, so that no text can exhaust the stack or the memory."""

from __future__ import annotations

from app.pql.ast import Node, children

MAX_CHARACTERS = 20_000
"""Longest accepted text: checked in about 0.1 s, for which the API answers nobody else."""

MAX_NESTING = 60
"""Deepest accepted nesting of brackets and prefixes in a text."""

MAX_DEPTH = 100
"""Deepest accepted tree; a path or a sum of n parts is n levels deep."""

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
