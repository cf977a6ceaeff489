"""What a check found, summed up."""

from __future__ import annotations

from dataclasses import dataclass

from app.pql import ast
from app.pql.ast import Expr
from app.pql.errors import Problem
from app.pql.scope import Findings


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found.

    Attributes:
        expr: The resolved tree; None when there is a problem.
        problems: What makes the expression unusable, in order of place.
        warnings: What is allowed but perhaps not meant.
        uses_events: Whether the answer depends on experience events.
        segment_ids: The segments it refers to, each once, in order of place.
    """

    expr: Expr | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    uses_events: bool
    segment_ids: tuple[str, ...]


def summarised(resolved: Expr | None, findings: Findings) -> Checked:
    """Sum up a resolved tree, however wrong, and what was found in it."""
    nodes = [] if resolved is None else list(ast.walk(resolved))
    return Checked(
        expr=None if findings.problems else resolved,
        problems=tuple(sorted(findings.problems, key=_place)),
        warnings=tuple(sorted(findings.warnings, key=_place)),
        uses_events=any(isinstance(node, ast.EventsRef) for node in nodes),
        segment_ids=tuple(dict.fromkeys(found for node in nodes if (found := _segment_id(node)))),
    )


def _place(problem: Problem) -> int:
    return problem.span.start


def _segment_id(node: ast.Node) -> str | None:
    if not isinstance(node, ast.Call) or node.function != "inSegment" or not node.arguments:
        return None
    first = node.arguments[0]
    return first.value if isinstance(first, ast.Literal) and isinstance(first.value, str) else None
