"""What a check found, summed up."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from app.pql import ast
from app.pql.ast import Expr
from app.pql.errors import Problem
from app.pql.memberships import named_segment
from app.pql.scope import Findings
from app.pql.segment_checks import check_segments


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


def summarised(resolved: Expr | None, findings: Findings, known: Collection[str] | None) -> Checked:
    """Sum up a resolved tree, however wrong, and what was found in it.

    Args:
        resolved: None where the tree could not be resolved.
        findings: What was found so far.
        known: Ids of the segments there are; None accepts any.
    """
    nodes = [] if resolved is None else list(ast.walk(resolved))
    check_segments(nodes, known, findings)
    return Checked(
        expr=None if findings.problems else resolved,
        problems=tuple(sorted(findings.problems, key=_place)),
        warnings=tuple(sorted(findings.warnings, key=_place)),
        uses_events=any(isinstance(node, ast.EventsRef) for node in nodes),
        segment_ids=tuple(dict.fromkeys(found for node in nodes if (found := named_segment(node)))),
    )


def _place(problem: Problem) -> int:
    return problem.span.start
